//! A symbol of a market: the same name means something else on another.

use std::fmt;
use std::str::FromStr;

use super::Market;
use crate::units::{Symbol, SymbolError};

/// A symbol of a market, written `usdm:BTCUSDT`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "net", derive(serde::Serialize, serde::Deserialize))]
pub struct Instrument {
    /// The market.
    pub market: Market,
    /// The symbol on it.
    pub symbol: Symbol,
}

impl Instrument {
    /// A symbol of a market.
    pub const fn new(market: Market, symbol: Symbol) -> Self {
        Self { market, symbol }
    }
}

impl fmt::Display for Instrument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.market, self.symbol)
    }
}

/// A text that names no instrument.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InstrumentError {
    /// Nothing before a colon.
    #[error("no market: write usdm:, coinm: or spot: before the symbol")]
    NoMarket,
    /// Another word before the colon.
    #[error("`{0}` is no market: write usdm:, coinm: or spot:")]
    UnknownMarket(String),
    /// What follows is no symbol.
    #[error(transparent)]
    Symbol(#[from] SymbolError),
}

impl FromStr for Instrument {
    type Err = InstrumentError;

    /// Reads `usdm:BTCUSDT`, in any case.
    fn from_str(text: &str) -> Result<Self, InstrumentError> {
        let (market, symbol) = text.split_once(':').ok_or(InstrumentError::NoMarket)?;
        let known = Market::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(market));
        let unknown = || InstrumentError::UnknownMarket(market.chars().take(20).collect());
        Ok(Self { market: known.ok_or_else(unknown)?, symbol: Symbol::new(symbol)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instrument_is_read_as_it_is_written() {
        for text in ["usdm:BTCUSDT", "spot:BTCUSDT", "coinm:BTCUSD_PERP"] {
            assert_eq!(text.parse::<Instrument>().unwrap().to_string(), text);
        }
        assert_eq!("USDM:btcusdt".parse::<Instrument>().unwrap().to_string(), "usdm:BTCUSDT");
        assert_eq!("BTCUSDT".parse::<Instrument>(), Err(InstrumentError::NoMarket));
        assert_eq!("um:BTCUSDT".parse::<Instrument>(), Err(InstrumentError::UnknownMarket("um".into())));
        assert!(matches!("spot:".parse::<Instrument>(), Err(InstrumentError::Symbol(_))));
    }
}
