//! What REST tells besides trades: the time, and which symbols there are.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};

use super::RestClient;
use crate::repair::RestError;
use crate::snapshot::Market;
use crate::text::escaped;
use crate::units::{Symbol, UnixMillis};

/// The exchange's clock, as one answer told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerTime {
    /// What it showed.
    pub at: UnixMillis,
    /// `X-MBX-USED-WEIGHT-1M`, where the exchange told it.
    pub used_weight: Option<u64>,
}

/// A symbol that the exchange lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The symbol.
    pub symbol: Symbol,
    /// Its status in the exchange's word, escaped: `TRADING`, `HALT`, `BREAK`, `SETTLING`, …; empty if it told none.
    pub status: String,
}

impl Listed {
    /// Whether it trades now.
    pub fn is_trading(&self) -> bool {
        self.status == "TRADING"
    }
}

/// The longest list of symbols, in bytes: spot's has about 10 MB, and what it says of a symbol grows.
const LISTINGS_BODY: usize = 32 * 1024 * 1024;
/// More symbols than this are no exchange's; spot has about 3,500.
const MOST_SYMBOLS: usize = 100_000;
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

/// The one field of `exchangeInfo` that is read; whatever else there is, is passed over without being kept.
#[derive(Deserialize)]
struct Info {
    symbols: Symbols,
}

/// A symbol as the exchange writes it; COIN-M has `contractStatus` where the others have `status`.
#[derive(Deserialize)]
struct Row {
    symbol: String,
    status: Option<String>,
    #[serde(rename = "contractStatus")]
    contract_status: Option<String>,
}

struct Symbols(Vec<Listed>);

impl<'de> Deserialize<'de> for Symbols {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        struct Rows;
        impl<'de> Visitor<'de> for Rows {
            type Value = Symbols;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of symbols")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Symbols, A::Error> {
                let mut listed = Vec::new();
                while let Some(row) = rows.next_element::<Row>()? {
                    // Nobody could ask for one that is no symbol to us.
                    let Ok(symbol) = Symbol::new(&row.symbol) else { continue };
                    let status = row.contract_status.or(row.status);
                    if listed.len() == MOST_SYMBOLS {
                        return Err(A::Error::custom(format_args!("more than {MOST_SYMBOLS} symbols")));
                    }
                    let status = status.map_or_else(String::new, |status| escaped(status.as_bytes()));
                    listed.push(Listed { symbol, status });
                }
                Ok(Symbols(listed))
            }
        }
        source.deserialize_seq(Rows)
    }
}

fn listings(body: &[u8]) -> Result<Vec<Listed>, String> {
    let info: Info = serde_json::from_slice(body).map_err(|fault| escaped_fault(&fault))?;
    let Symbols(listed) = info.symbols;
    // Taken at its word it would make every symbol an unknown one.
    if listed.is_empty() { Err("it names no symbol".to_owned()) } else { Ok(listed) }
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

    fn told(body: &str) -> Result<Vec<(String, String)>, String> {
        let told = |listed: Listed| (listed.symbol.to_string(), listed.status);
        listings(body.as_bytes()).map(|all| all.into_iter().map(told).collect())
    }

    #[test]
    fn of_a_listing_only_symbols_and_their_status_are_read() {
        let body = r#"{"timezone":"UTC","rateLimits":[{"limit":2400}],"symbols":[
            {"symbol":"BTCUSDT","pair":"BTCUSDT","status":"TRADING","filters":[{"tickSize":"0.10"}],"x":null},
            {"contractStatus":"PENDING_TRADING","symbol":"BTCUSD_PERP"},
            {"symbol":"no symbol","status":"TRADING"},
            {"symbol":"币安人生USDT","status":"a\u001b[31mb"},
            {"symbol":"NEWUSDT"}
        ],"assets":[{"asset":"USDT"}]}"#;
        let expected = [
            ("BTCUSDT", "TRADING"),
            ("BTCUSD_PERP", "PENDING_TRADING"),
            ("币安人生USDT", r"a\u{1b}[31mb"),
            ("NEWUSDT", ""),
        ];
        let expected = expected.map(|(symbol, status)| (symbol.to_owned(), status.to_owned()));
        assert_eq!(told(body), Ok(expected.to_vec()));
        let listed = listings(body.as_bytes()).unwrap();
        let trading: Vec<bool> = listed.iter().map(Listed::is_trading).collect();
        assert_eq!(trading, [true, false, false, false]);
    }

    #[test]
    fn what_is_no_list_of_symbols_is_refused() {
        for (body, fault) in [
            ("", "EOF"),
            ("[]", "expected"),
            ("{}", "missing field `symbols`"),
            (r#"{"symbols":{}}"#, "expected a list of symbols"),
            (r#"{"symbols":[]}"#, "it names no symbol"),
            (r#"{"symbols":[{"symbol":"?"}]}"#, "it names no symbol"),
            (r#"{"symbols":[{"status":"TRADING"}]}"#, "missing field `symbol`"),
            (r#"{"symbols":[{"symbol":7}]}"#, "invalid type"),
            (r#"{"symbols":[{"symbol":"A"},"#, "EOF"),
        ] {
            let refused = told(body).unwrap_err();
            assert!(refused.contains(fault), "{body}: {refused}");
        }
    }

    #[test]
    fn so_many_symbols_are_kept_and_not_one_more() {
        let of = |count: usize| {
            let rows: Vec<String> = (0..count).map(|at| format!(r#"{{"symbol":"S{at}"}}"#)).collect();
            listings(format!(r#"{{"symbols":[{}]}}"#, rows.join(",")).as_bytes())
        };
        assert_eq!(of(MOST_SYMBOLS).map(|listed| listed.len()), Ok(MOST_SYMBOLS));
        assert!(of(MOST_SYMBOLS + 1).unwrap_err().contains("more than 100000 symbols"));
    }

    #[test]
    fn words_from_outside_are_made_safe() {
        let refused = time("{\"serverTime\":\"\u{1b}[31m\"}".as_bytes()).unwrap_err();
        assert!(!refused.contains('\u{1b}'), "{refused}");
    }
}
