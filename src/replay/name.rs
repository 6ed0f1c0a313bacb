//! What the name of a file or of a symbol tells.

use crate::calendar::{Day, Month};
use crate::snapshot::Market;
use crate::units::{Symbol, UnixMillis};

/// First words of file names that are not symbols.
const NOT_SYMBOLS: [&str; 6] = ["aggtrades", "data", "download", "file", "stdin", "trades"];

/// The symbol in the name of an exchange's file: all before `-aggTrades`, in `BTCUSD_PERP-aggTrades-2024-05`.
pub(super) fn published_symbol(name: &str) -> Option<Symbol> {
    let at = name.to_ascii_lowercase().find("-aggtrades")?;
    plausible(&name[..at])
}

/// The symbol in any other name: the leading letters and digits, in `btcusdt_recorder_a.csv.gz`.
pub(super) fn leading_symbol(name: &str) -> Option<Symbol> {
    let end = name.find(|c: char| !c.is_alphanumeric()).unwrap_or(name.len());
    plausible(&name[..end])
}

/// The days that a published file is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Period {
    pub(super) start: UnixMillis,
    /// Exclusive.
    pub(super) end: UnixMillis,
}

/// The day or the month in the name of an exchange's file: `BTCUSDT-aggTrades-2024-05-01`, `…-2024-05`.
pub(super) fn published_period(name: &str) -> Option<Period> {
    const KIND: &str = "-aggtrades-";
    let at = name.to_ascii_lowercase().find(KIND)?;
    let stem = name[at + KIND.len()..].split('.').next()?;
    match (Day::parse(stem), Month::parse(stem)) {
        (Some(day), _) => Some(Period { start: day.start(), end: day.plus(1).start() }),
        (None, Some(month)) => {
            Some(Period { start: month.first().start(), end: month.next().first().start() })
        }
        (None, None) => None,
    }
}

fn plausible(text: &str) -> Option<Symbol> {
    let plausible = text.chars().count() >= 3
        && text.chars().any(char::is_alphabetic)
        && !NOT_SYMBOLS.contains(&text.to_ascii_lowercase().as_str());
    if plausible { Symbol::new(text).ok() } else { None }
}

/// The market that a symbol gives away: contracts against US dollars (`BTCUSD_PERP`, `BTCUSD_240628`) are
/// COIN-M; `BTCUSDT_240628` is a delivery contract of USDⓈ-M.
pub(crate) fn market_of(symbol: &Symbol) -> Option<Market> {
    let (pair, suffix) = symbol.as_str().rsplit_once('_')?;
    let delivery = suffix.len() == 6 && suffix.bytes().all(|byte| byte.is_ascii_digit());
    let coin_margined = suffix == "PERP" || delivery && pair.ends_with("USD");
    match (coin_margined, delivery) {
        (true, _) => Some(Market::CoinM),
        (false, true) => Some(Market::UsdM),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_name_is_cut_before_its_kind() {
        for (name, symbol) in [
            ("BTCUSDT-aggTrades-2024-05-01.csv.zip", Some("BTCUSDT")),
            ("BTCUSD_PERP-aggTrades-2024-05.zip", Some("BTCUSD_PERP")),
            ("btcusd_240628-aggtrades-2024-05.csv", Some("BTCUSD_240628")),
            ("币安人生USDT-aggTrades-2026-01-01.zip", Some("币安人生USDT")),
            ("1000SHIBUSDT-aggTrades-2024-05-01.zip", Some("1000SHIBUSDT")),
            ("-aggTrades-2024.zip", None),
            ("ethusdt_20230202.csv.gz", None),
        ] {
            assert_eq!(published_symbol(name).as_ref().map(Symbol::as_str), symbol, "{name}");
        }
    }

    #[test]
    fn a_published_name_tells_its_days() {
        const DAY: i64 = 86_400_000;
        for (name, days) in [
            ("BTCUSDT-aggTrades-2024-05-01.csv.zip", Some((19_844, 19_845))),
            ("BTCUSDT-aggTrades-2024-02.zip", Some((19_754, 19_783))),
            ("BTCUSD_PERP-aggTrades-2023-12.csv", Some((19_692, 19_723))),
            ("BTCUSDT-aggtrades-1970-01-01", Some((0, 1))),
            ("BTCUSDT-aggTrades-2024.csv", None),
            ("BTCUSDT-aggTrades-2024-13.csv", None),
            ("BTCUSDT-aggTrades-2024-05-99.csv", None),
            ("BTCUSDT-trades-2024-05-01.csv", None),
            ("btcusdt_recorder.csv", None),
        ] {
            let found = published_period(name).map(|found| (found.start.0, found.end.0));
            assert_eq!(found, days.map(|(start, end)| (start * DAY, end * DAY)), "{name}");
        }
    }

    #[test]
    fn another_name_is_cut_at_its_first_separator() {
        for (name, symbol) in [
            ("ethusdt_20230202_aggtrades_1000.csv.gz", Some("ETHUSDT")),
            ("btcusdt_testnet_recorder_a.csv.gz", Some("BTCUSDT")),
            ("ETHUSDT", Some("ETHUSDT")),
            ("20240501.csv", None),
            ("ab.csv", None),
            ("trades.csv", None),
            ("stdin", None),
            ("", None),
        ] {
            assert_eq!(leading_symbol(name).as_ref().map(Symbol::as_str), symbol, "{name}");
        }
    }

    #[test]
    fn a_contract_gives_its_market_away() {
        for (symbol, market) in [
            ("BTCUSD_PERP", Some(Market::CoinM)),
            ("BTCUSD_240628", Some(Market::CoinM)),
            ("BTCUSDT_240628", Some(Market::UsdM)),
            ("BTCUSDT", None),
        ] {
            assert_eq!(market_of(&Symbol::new(symbol).unwrap()), market, "{symbol}");
        }
    }
}
