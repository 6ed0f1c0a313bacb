//! What REST tells besides trades: the time, and which symbols there are.

use serde::Deserialize;

use super::RestClient;
use super::listed::{Listed, listings};
use crate::repair::RestError;
use crate::snapshot::Market;
use crate::text::escaped;
use crate::units::UnixMillis;

/// The exchange's clock, as one answer told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerTime {
    /// What it showed.
    pub at: UnixMillis,
    /// `X-MBX-USED-WEIGHT-1M`, where the exchange told it.
    pub used_weight: Option<u64>,
}

/// The longest list of symbols, in bytes: spot's has about 10 MB, and what it says of a symbol grows.
const LISTINGS_BODY: usize = 32 * 1024 * 1024;
/// A time has 28 bytes.
const TIME_BODY: usize = 4 * 1024;

impl RestClient {
    /// Asks for the exchange's time. Weight 1. For a round trip that measures the way and nothing else, let
    /// [`RestClient::connect`] go before.
    ///
    /// # Errors
    /// [`RestError`] as for trades.
    ///
    /// # Cancel safety
    /// As for [`RestClient::fetch`].
    pub async fn time(&mut self) -> Result<ServerTime, RestError> {
        let answered = self.answer(&self.fact("time"), TIME_BODY).await?;
        let used_weight = answered.used_weight;
        answered.fact("time", |body| Ok(ServerTime { at: time(body)?, used_weight }))
    }

    /// Asks which symbols there are. Weight 1 on the futures, 20 on spot; the answer may have 32 MiB.
    ///
    /// # Errors
    /// [`RestError`] as for trades. A list without a single symbol, or with more than 100,000, is
    /// [`RestError::Passing`].
    ///
    /// # Cancel safety
    /// As for [`RestClient::fetch`].
    pub async fn listings(&mut self) -> Result<Vec<Listed>, RestError> {
        let answered = self.answer(&self.fact("exchangeInfo"), LISTINGS_BODY).await?;
        answered.fact("list of symbols", listings)
    }

    fn fact(&self, name: &str) -> String {
        let version = match self.market {
            Market::UsdM => "/fapi/v1/",
            Market::CoinM => "/dapi/v1/",
            Market::Spot => "/api/v3/",
        };
        format!("{}{version}{name}", self.base.prefix)
    }
}

#[derive(Deserialize)]
struct Time {
    #[serde(rename = "serverTime")]
    server_time: i64,
}

fn time(body: &[u8]) -> Result<UnixMillis, String> {
    let Time { server_time } = serde_json::from_slice(body).map_err(|fault| escaped_fault(&fault))?;
    Ok(UnixMillis::from_exchange(server_time))
}

/// A fault may repeat what was read.
fn escaped_fault(fault: &serde_json::Error) -> String {
    escaped(fault.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_in_milliseconds_or_microseconds_and_nothing_else() {
        assert_eq!(time(br#"{"serverTime":1499827319559}"#), Ok(UnixMillis(1_499_827_319_559)));
        assert_eq!(time(br#"{"x":[{}],"serverTime":1499827319559123}"#), Ok(UnixMillis(1_499_827_319_559)));
        for no_time in [
            "",
            "{}",
            "[]",
            r#"{"serverTime":null}"#,
            r#"{"serverTime":"1"}"#,
            r#"{"serverTime":1.5}"#,
            r#"{"serverTime":1e12}"#,
            r#"{"serverTime":99999999999999999999}"#,
            r#"{"serverTime":1,"serverTime":2}"#,
            r#"{"serverTime":1"#,
        ] {
            assert!(time(no_time.as_bytes()).is_err(), "{no_time}");
        }
    }

    #[test]
    fn words_from_outside_are_made_safe() {
        let refused = time("{\"serverTime\":\"\u{1b}[31m\"}".as_bytes()).unwrap_err();
        assert!(!refused.contains('\u{1b}'), "{refused}");
    }
}
