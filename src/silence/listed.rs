//! Whether the exchange knows the symbols that were asked for, and which ones were meant.

use std::collections::HashMap;
use std::fmt::Write;

use crate::repair::rest::Listed;
use crate::snapshot::Market;
use crate::text::edits;
use crate::units::Symbol;

/// Suggestions per unknown symbol.
const SUGGESTIONS: usize = 3;
/// More slips than this are another word.
const NEAR: usize = 2;
/// What prices are quoted in, the longer ones before those they end with.
const QUOTES: [&str; 14] =
    ["FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USD1", "USD", "EUR", "TRY", "BRL", "JPY", "BTC", "ETH", "BNB"];
/// Contracts of many coins at once carry the number in front.
const MULTIPLES: [&str; 4] = ["1000000", "10000", "1000", "1M"];

/// What is wrong with a symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SymbolProblem {
    /// The exchange does not list it.
    Unknown {
        /// The symbol.
        symbol: Symbol,
        /// Up to three that it may have been meant to be, the likeliest first.
        did_you_mean: Vec<Symbol>,
    },
    /// It is listed, but cannot be traded now.
    NotTrading {
        /// The symbol.
        symbol: Symbol,
        /// The exchange's word for it, escaped: `HALT`, `BREAK`, `SETTLING`, …
        status: String,
    },
}

impl SymbolProblem {
    /// The symbol it is about.
    pub fn symbol(&self) -> &Symbol {
        match self {
            Self::Unknown { symbol, .. } | Self::NotTrading { symbol, .. } => symbol,
        }
    }
}

/// What is wrong with these symbols, in their order. An empty list says nothing about anything.
pub fn check(listings: &[Listed], symbols: &[Symbol]) -> Vec<SymbolProblem> {
    if listings.is_empty() {
        return Vec::new();
    }
    // Many are asked about once in a while: none of them is worth a walk along the whole list.
    let by_symbol: HashMap<&Symbol, &Listed> =
        listings.iter().map(|listed| (&listed.symbol, listed)).collect();
    let problem = |symbol: &Symbol| match by_symbol.get(symbol) {
        // Without a word there is nothing to say.
        Some(listed) if listed.is_trading() || listed.status.is_empty() => None,
        Some(listed) => Some(SymbolProblem::NotTrading {
            symbol: symbol.clone(),
            status: listed.status.as_ref().to_owned(),
        }),
        None => {
            Some(SymbolProblem::Unknown { symbol: symbol.clone(), did_you_mean: meant(symbol, listings) })
        }
    };
    symbols.iter().filter_map(problem).collect()
}

/// One line that names all the unknown symbols among these problems and what may have been meant; `None` if there is
/// none.
pub fn unknown(problems: &[SymbolProblem], market: Market) -> Option<String> {
    let mut line = String::new();
    for problem in problems {
        let SymbolProblem::Unknown { symbol, did_you_mean } = problem else { continue };
        let before = if line.is_empty() { "the exchange lists no " } else { "; and no " };
        write!(line, "{before}{symbol} on {market}").expect("a String takes every write");
        for (at, meant) in did_you_mean.iter().enumerate() {
            let before = if at == 0 { "; did you mean " } else { " or " };
            write!(line, "{before}{meant}").expect("a String takes every write");
        }
        if !did_you_mean.is_empty() {
            line.push('?');
        }
    }
    (!line.is_empty()).then_some(line)
}

/// Near in letters, or of the same coin; in case of doubt one that trades, then the one the exchange lists first.
pub(crate) fn meant(symbol: &Symbol, listings: &[Listed]) -> Vec<Symbol> {
    let coin = base(symbol.as_str());
    let mut candidates: Vec<_> = listings
        .iter()
        .filter_map(|listed| {
            let name = listed.symbol.as_str();
            let (slips, same_coin) = (edits(symbol.as_str(), name), base(name) == coin);
            let far = slips + if same_coin { 0 } else { NEAR };
            (same_coin || slips <= NEAR).then_some((!listed.is_trading(), far, listed))
        })
        .collect();
    candidates.sort_by_key(|(halted, far, _)| (*halted, *far));
    candidates.into_iter().take(SUGGESTIONS).map(|(_, _, listed)| listed.symbol.clone()).collect()
}

/// The coin of a symbol, as far as its name tells: `BTC` of `BTCUSDT`, `BTCUSD_PERP` and `BTC`.
fn base(name: &str) -> &str {
    let name = name.split('_').next().unwrap_or(name);
    let coin = MULTIPLES.iter().find_map(|multiple| name.strip_prefix(multiple)).unwrap_or(name);
    let quoted = QUOTES.iter().find_map(|quote| coin.strip_suffix(quote).filter(|base| !base.is_empty()));
    quoted.unwrap_or(coin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listings() -> Vec<Listed> {
        let trading = [
            "BTCUSDT",
            "ETHUSDT",
            "BCHUSDT",
            "BTCUSDC",
            "ETHBTC",
            "1000PEPEUSDT",
            "DOGEUSDT",
            "BTCUSDT_260327",
        ];
        let listed = |(name, status): (&str, &str)| Listed::new(Symbol::new(name).unwrap(), status);
        let halted = [("LUNAUSDT", "SETTLING"), ("ETHUSDD", "HALT"), ("SOLUSDT", "")];
        trading.map(|name| (name, "TRADING")).into_iter().chain(halted).map(listed).collect()
    }

    fn told(names: &[&str]) -> Vec<String> {
        let symbols: Vec<_> = names.iter().map(|name| Symbol::new(name).unwrap()).collect();
        let told = |problem: SymbolProblem| match problem {
            SymbolProblem::Unknown { symbol, did_you_mean } => {
                let meant: Vec<_> = did_you_mean.iter().map(Symbol::as_str).collect();
                format!("{symbol}: {}", meant.join(" "))
            }
            SymbolProblem::NotTrading { symbol, status } => format!("{symbol} is {status}"),
        };
        check(&listings(), &symbols).into_iter().map(told).collect()
    }

    #[test]
    fn what_was_meant_is_near_or_of_the_same_coin() {
        for (name, expected) in [
            ("BTCUSD", "BTCUSD: BTCUSDT BTCUSDC BTCUSDT_260327"),
            ("BTCUSTD", "BTCUSTD: BTCUSDT BTCUSDC"),
            ("BTC", "BTC: BTCUSDT BTCUSDC BTCUSDT_260327"),
            ("BTCUSD_PERP", "BTCUSD_PERP: BTCUSDT BTCUSDC BTCUSDT_260327"),
            ("PEPEUSDT", "PEPEUSDT: 1000PEPEUSDT"),
            ("DOGE", "DOGE: DOGEUSDT"),
            // What does not trade comes last.
            ("ETHUSD", "ETHUSD: ETHUSDT ETHBTC ETHUSDD"),
            ("QWERTYUIOP", "QWERTYUIOP: "),
        ] {
            assert_eq!(told(&[name]), [expected]);
        }
    }

    #[test]
    fn what_is_listed_and_trades_is_no_problem_and_what_is_halted_is_named_with_its_status() {
        assert_eq!(told(&["BTCUSDT", "LUNAUSDT", "SOLUSDT", "ETHBTC"]), ["LUNAUSDT is SETTLING"]);
    }

    #[test]
    fn an_empty_list_says_nothing() {
        assert_eq!(check(&[], &[Symbol::new("BTCUSDT").unwrap()]), []);
    }

    #[test]
    fn one_line_names_every_unknown_symbol_and_no_other() {
        let symbols = ["BTCUSD", "LUNAUSDT", "QWERTYUIOP"].map(|name| Symbol::new(name).unwrap());
        let problems = check(&listings()[..4], &symbols[..1]);
        assert_eq!(
            unknown(&problems, Market::UsdM).unwrap(),
            "the exchange lists no BTCUSD on usdm; did you mean BTCUSDT or BTCUSDC?"
        );
        let problems = check(&listings(), &symbols);
        let line = unknown(&problems, Market::UsdM).unwrap();
        assert!(line.ends_with("?; and no QWERTYUIOP on usdm"), "{line}");
        assert!(!line.contains("LUNA"), "{line}");
        assert_eq!(unknown(&problems[1..2], Market::UsdM), None);
    }
}
