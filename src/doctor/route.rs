//! What it means when nothing comes: pure.

use std::time::Duration;

use super::finding::{Check, Finding};
use crate::feed::endpoint::Endpoint;
use crate::silence::Route;
use crate::units::AggTradeId;

/// What REST says about the time of silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Witness {
    /// Its newest ids, early in the silence and at its end.
    Saw(Option<AggTradeId>, Option<AggTradeId>),
    /// It could not be asked.
    Absent,
}

/// A stream opened, and brought no trade for so long.
pub(super) fn silence(
    endpoint: &Endpoint,
    acknowledged: bool,
    waited: Duration,
    witness: Witness,
) -> Finding {
    let opened = if acknowledged { "acknowledged" } else { "opened" };
    let none = format!("{opened}, but no trade in {} s", waited.as_secs_f64().round());
    let wrong = match endpoint.route() {
        Route::Fine => None,
        Route::Suspected(told) | Route::Wrong(told) => Some(told),
    };
    match (witness, wrong) {
        (Witness::Saw(before, after), wrong) if after > before => {
            let newer = match (before, after) {
                (Some(before), Some(after)) => format!("{} newer ones", after.0.saturating_sub(before.0)),
                _ => "newer ones".to_owned(),
            };
            let held = "the exchange, or something in between, keeps them back: try again, leave --url out, and look \
                        for a proxy that holds frames";
            let said = format!("{none} although REST has {newer}");
            Finding::fail(Check::Route, said, wrong.unwrap_or_else(|| held.to_owned()))
        }
        (Witness::Saw(..), _) => Finding::warn(
            Check::Route,
            format!("{none}, nor has REST any: a quiet market"),
            "nothing is known to be wrong; to be sure of the route, ask with a busy --symbol such as BTCUSDT",
        ),
        (Witness::Absent, Some(wrong)) => Finding::fail(Check::Route, none, wrong),
        (Witness::Absent, None) => Finding::warn(
            Check::Route,
            format!("{none}, and REST cannot tell whether the market is quiet"),
            "ask with a busy --symbol such as BTCUSDT, and with --rest-url",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    fn at(url: &str) -> Endpoint {
        Endpoint::from_url(url, None, None, false).unwrap()
    }

    fn saw(before: i64, after: i64) -> Witness {
        Witness::Saw(Some(AggTradeId(before)), Some(AggTradeId(after)))
    }

    #[test]
    fn silence_is_a_failure_only_where_the_market_trades() {
        let waited = Duration::from_secs(10);
        let (routed, unrouted) = ("wss://fstream.binance.com/market/ws", "wss://fstream.binance.com/ws");
        for (url, witness, level, said, remedy) in [
            (unrouted, saw(5, 9), Level::Fail, "4 newer ones", "use wss://fstream.binance.com/market/ws"),
            (routed, saw(5, 9), Level::Fail, "4 newer ones", "in between"),
            (routed, saw(5, 5), Level::Warn, "quiet market", "BTCUSDT"),
            (routed, Witness::Saw(None, None), Level::Warn, "quiet market", "BTCUSDT"),
            (routed, Witness::Saw(None, Some(AggTradeId(1))), Level::Fail, "newer ones", "in between"),
            (routed, Witness::Absent, Level::Warn, "cannot tell", "--rest-url"),
            (unrouted, Witness::Absent, Level::Fail, "no trade in 10 s", "/market/ws"),
        ] {
            let finding = silence(&at(url), true, waited, witness);
            let told = finding.remedy.unwrap();
            assert!(
                finding.level == level && finding.said.contains(said) && told.contains(remedy),
                "{url} {witness:?}: {:?} {} {told}",
                finding.level,
                finding.said
            );
        }
    }
}
