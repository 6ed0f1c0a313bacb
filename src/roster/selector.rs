//! What a user writes to say which instruments are meant: `[market:]name-or-pattern`, alone or in a list.

use std::fmt;

use super::pattern::Pattern;
use crate::snapshot::{Instrument, Market};
use crate::text::{edits, escaped};
use crate::units::Symbol;

/// More items than this are no list that somebody wrote.
pub(super) const MOST_SELECTORS: usize = 65_536;

/// Instruments of one market, by name or by pattern; written `usdm:BTCUSDT` or `usdm:*USDT`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    /// The market.
    pub market: Market,
    /// Which of its symbols.
    pub pattern: Pattern,
}

impl Selector {
    /// Everything a market has.
    pub fn everything(market: Market) -> Self {
        Self { market, pattern: Pattern::everything() }
    }

    /// Reads one: `BTCUSDT` of the market by default, `spot:BTCUSDT`, `coinm:*_PERP`.
    ///
    /// # Errors
    /// [`SelectorError`] names what is wrong and what to do.
    pub fn parse(text: &str, market_by_default: Market) -> Result<Self, SelectorError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(SelectorError::Nothing);
        }
        if text.starts_with('!') {
            return Err(SelectorError::Exclusion { text: escaped(text.as_bytes()) });
        }
        let (market, name) = match text.split_once(':') {
            None => (market_by_default, text),
            Some((market, name)) => (market_of(market, name)?, name),
        };
        if name.is_empty() {
            return Err(SelectorError::NoSymbol { market });
        }
        let not_a_symbol = || SelectorError::NotASymbol { text: escaped(name.as_bytes()) };
        Ok(Self { market, pattern: Pattern::new(name).ok_or_else(not_a_symbol)? })
    }

    /// Reads a list of them, separated by commas or blanks.
    ///
    /// # Errors
    /// [`SelectorError`] about the first item that is none; an empty list, and nothing between two commas, are errors
    /// too.
    pub fn parse_list(text: &str, market_by_default: Market) -> Result<Vec<Self>, SelectorError> {
        if text.trim().is_empty() {
            return Err(SelectorError::Nothing);
        }
        let mut selectors = Vec::new();
        for part in text.split(',') {
            if part.trim().is_empty() {
                return Err(SelectorError::EmptyItem);
            }
            for item in part.split_whitespace() {
                if selectors.len() == MOST_SELECTORS {
                    return Err(SelectorError::TooMany);
                }
                selectors.push(Self::parse(item, market_by_default)?);
            }
        }
        Ok(selectors)
    }

    /// Whether it names one instrument, rather than a pattern of them.
    pub fn is_name(&self) -> bool {
        self.instrument().is_some()
    }

    /// The instrument that it names; `None` if it is a pattern.
    pub fn instrument(&self) -> Option<Instrument> {
        self.pattern.name().map(|symbol| Instrument::new(self.market, symbol))
    }

    /// Whether an instrument is among those it means.
    pub fn matches(&self, instrument: &Instrument) -> bool {
        self.covers(instrument.market, &instrument.symbol)
    }

    /// Whether a symbol of a market is among those it means.
    pub(super) fn covers(&self, market: Market, symbol: &Symbol) -> bool {
        self.market == market && self.pattern.matches(symbol)
    }
}

impl From<Instrument> for Selector {
    fn from(Instrument { market, symbol }: Instrument) -> Self {
        Self { market, pattern: symbol.into() }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.market, self.pattern)
    }
}

/// Why an item of a list says nothing. What it shows of the text is escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SelectorError {
    /// Nothing at all.
    Nothing,
    /// Nothing between two commas, or before the first, or behind the last.
    EmptyItem,
    /// A word before the colon that is no market.
    UnknownMarket {
        /// The word.
        market: String,
        /// What was probably meant: the whole item.
        did_you_mean: Option<String>,
    },
    /// A market and nothing behind it.
    NoSymbol {
        /// The market.
        market: Market,
    },
    /// Neither a symbol nor a pattern.
    NotASymbol {
        /// What stands there.
        text: String,
    },
    /// An exclamation mark where nothing can be excluded.
    Exclusion {
        /// What stands there.
        text: String,
    },
    /// More than 65,536 items.
    TooMany,
}

impl SelectorError {
    /// What is wrong, without the remedy: lower case, one line.
    pub fn problem(&self) -> String {
        match self {
            Self::Nothing => "names no symbol".to_owned(),
            Self::EmptyItem => "nothing stands between two commas, or at an end of the list".to_owned(),
            Self::UnknownMarket { market, .. } => format!("`{market}` is no market"),
            Self::NoSymbol { market } => format!("no symbol stands behind {market}:"),
            Self::NotASymbol { text } => {
                format!(
                    "`{text}` is neither a symbol nor a pattern: 1 to 32 letters, digits, _ or -, with * and ?"
                )
            }
            Self::Exclusion { text } => {
                format!("`{text}` has an exclamation mark, which excludes in a symbols file only")
            }
            Self::TooMany => format!("more than {MOST_SELECTORS} items"),
        }
    }

    /// What to do about it: lower case, one line.
    pub fn remedy(&self) -> String {
        match self {
            Self::Nothing => "write symbols separated by commas: BTCUSDT,spot:ETHUSDT,usdm:*USDC".to_owned(),
            Self::EmptyItem => "remove a comma".to_owned(),
            Self::UnknownMarket { did_you_mean: Some(meant), .. } => format!("did you mean {meant}?"),
            Self::UnknownMarket { .. } => "write usdm:, coinm: or spot:".to_owned(),
            Self::NoSymbol { market } => format!("write {market}:BTCUSDT, or {market}:* for all of it"),
            Self::NotASymbol { .. } => {
                "write it as the exchange does: BTCUSDT, BTCUSD_PERP, or a pattern such as *USDT".to_owned()
            }
            Self::Exclusion { .. } => "name what is not wanted with --exclude".to_owned(),
            Self::TooMany => "use patterns, such as usdm:*USDT, or --all".to_owned(),
        }
    }
}

impl fmt::Display for SelectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.problem(), self.remedy())
    }
}

impl std::error::Error for SelectorError {}

/// What others call the markets.
const OTHER_NAMES: [(&str, Market); 16] = [
    ("um", Market::UsdM),
    ("usd", Market::UsdM),
    ("usds", Market::UsdM),
    ("usdt", Market::UsdM),
    ("usd-m", Market::UsdM),
    ("usds-m", Market::UsdM),
    ("linear", Market::UsdM),
    ("fapi", Market::UsdM),
    ("perp", Market::UsdM),
    ("futures", Market::UsdM),
    ("cm", Market::CoinM),
    ("coin", Market::CoinM),
    ("coin-m", Market::CoinM),
    ("inverse", Market::CoinM),
    ("dapi", Market::CoinM),
    ("delivery", Market::CoinM),
];

fn market_of(written: &str, name: &str) -> Result<Market, SelectorError> {
    let lower = written.to_ascii_lowercase();
    if let Some(market) = Market::ALL.into_iter().find(|market| market.as_str() == lower) {
        return Ok(market);
    }
    let near = || Market::ALL.into_iter().find(|market| edits(&lower, market.as_str()) <= 2);
    let other = OTHER_NAMES.iter().find(|(other, _)| *other == lower).map(|(_, market)| *market);
    let meant = other.or_else(near).map(|market| (market, name));
    // BTCUSDT:spot
    let turned = || {
        let market = Market::ALL.into_iter().find(|market| market.as_str().eq_ignore_ascii_case(name));
        market.map(|market| (market, written))
    };
    let did_you_mean = turned().or(meant).and_then(|(market, name)| {
        let pattern = Pattern::new(name)?;
        Some(Selector { market, pattern }.to_string())
    });
    Err(SelectorError::UnknownMarket { market: escaped(written.as_bytes()), did_you_mean })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Result<Vec<String>, String> {
        let selectors = Selector::parse_list(text, Market::UsdM).map_err(|error| error.to_string())?;
        Ok(selectors.iter().map(Selector::to_string).collect())
    }

    #[test]
    fn a_list_is_separated_by_commas_or_blanks_and_has_a_market_by_default() {
        for text in [
            "btcusdt,spot:ETHUSDT,COINM:*_perp",
            " BTCUSDT , spot:ethusdt\tcoinm:*_PERP\n",
            "BTCUSDT spot:ETHUSDT, coinm:*_PERP",
        ] {
            assert_eq!(list(text).unwrap(), ["usdm:BTCUSDT", "spot:ETHUSDT", "coinm:*_PERP"], "{text:?}");
        }
        assert_eq!(Selector::parse("币安人生usdt", Market::Spot).unwrap().to_string(), "spot:币安人生USDT");
    }

    #[test]
    fn what_an_item_is_not_is_said_with_what_to_do() {
        for (text, told) in [
            ("", "names no symbol; write symbols"),
            (" \t", "names no symbol; write symbols"),
            (
                "BTCUSDT,,ETHUSDT",
                "nothing stands between two commas, or at an end of the list; remove a comma",
            ),
            ("BTCUSDT,", "remove a comma"),
            (",", "remove a comma"),
            ("um:BTCUSDT", "`um` is no market; did you mean usdm:BTCUSDT?"),
            ("sport:btcusdt", "`sport` is no market; did you mean spot:BTCUSDT?"),
            ("coin-m:BTCUSD_PERP", "did you mean coinm:BTCUSD_PERP?"),
            ("BTCUSDT:spot", "`BTCUSDT` is no market; did you mean spot:BTCUSDT?"),
            ("kraken:BTCUSDT", "`kraken` is no market; write usdm:, coinm: or spot:"),
            (":BTCUSDT", "`` is no market; write usdm:"),
            ("usdm:", "no symbol stands behind usdm:; write usdm:BTCUSDT, or usdm:* for all of it"),
            ("btcusdt@aggTrade", "`btcusdt@aggTrade` is neither a symbol nor a pattern"),
            ("BTC/USDT", "write it as the exchange does: BTCUSDT"),
            ("!BTCUSDT", "name what is not wanted with --exclude"),
            ("spot:!BTCUSDT", "neither a symbol nor a pattern"),
            ("a\u{1b}[31m", r"a\u{1b}[31m"),
        ] {
            let refused = list(text).unwrap_err();
            assert!(refused.contains(told), "{text:?}: {refused}");
            assert!(!refused.contains('\u{1b}'));
        }
    }

    #[test]
    fn a_list_has_an_end() {
        assert!(list(&"A,".repeat(MOST_SELECTORS - 1)).unwrap_err().contains("remove a comma"));
        assert_eq!(
            Selector::parse_list(&"A ".repeat(MOST_SELECTORS), Market::Spot).unwrap().len(),
            MOST_SELECTORS
        );
        assert_eq!(
            Selector::parse_list(&"A ".repeat(MOST_SELECTORS + 1), Market::Spot),
            Err(SelectorError::TooMany)
        );
    }

    #[test]
    fn a_selector_means_instruments_of_its_own_market_only() {
        let pattern = Selector::parse("spot:*USDT", Market::UsdM).unwrap();
        assert!(!pattern.is_name());
        assert!(pattern.matches(&"spot:BTCUSDT".parse().unwrap()));
        assert!(!pattern.matches(&"usdm:BTCUSDT".parse().unwrap()));
        let name: Selector = Instrument::new(Market::CoinM, Symbol::new("BTCUSD_PERP").unwrap()).into();
        assert!(name.is_name() && name.matches(&"coinm:BTCUSD_PERP".parse().unwrap()));
        assert!(Selector::everything(Market::Spot).matches(&"spot:币安人生USDT".parse().unwrap()));
    }
}
