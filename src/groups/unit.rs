//! What the quantities of an instrument count, as its name tells.

use std::fmt;

use crate::snapshot::{Instrument, Market};

/// An asset: `BTC`, `USDT`. Read out of the name of an instrument.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unit(String);

/// The assets that quotes are in, longest first where one ends with another.
const QUOTES: [&str; 26] = [
    "FDUSD", "BFUSD", "USDT", "USDC", "BUSD", "TUSD", "USDP", "USDE", "USD1", "USDS", "DAI", "EURI", "EUR",
    "TRY", "BRL", "JPY", "GBP", "ARS", "MXN", "PLN", "ZAR", "IDRT", "BTC", "ETH", "BNB", "USD",
];

/// Names of the dollar, or of what promises to be one.
const DOLLARS: [&str; 12] =
    ["FDUSD", "BFUSD", "USDT", "USDC", "BUSD", "TUSD", "USDP", "USDE", "USD1", "USDS", "DAI", "USD"];

impl Unit {
    /// The asset that is traded: `BTC` of `spot:BTCUSDT` and of `coinm:BTCUSD_PERP`. `None` where the name does not tell.
    pub fn base_of(instrument: &Instrument) -> Option<Self> {
        parts(instrument).map(|(base, _)| Self(base.to_owned()))
    }

    /// The asset that it is paid with: `USDT` of `spot:BTCUSDT`, `USD` of `coinm:BTCUSD_PERP`. `None` where the name
    /// does not tell.
    pub fn quote_of(instrument: &Instrument) -> Option<Self> {
        parts(instrument).map(|(_, quote)| Self(quote.to_owned()))
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_dollar(&self) -> bool {
        DOLLARS.contains(&self.as_str())
    }
}

/// Base and quote. A dated contract has a date behind them: `BTCUSDT_260327`.
fn parts(instrument: &Instrument) -> Option<(&str, &str)> {
    let name = instrument.symbol.as_str();
    let pair = match instrument.market {
        Market::Spot => name,
        Market::UsdM | Market::CoinM => name.split_once('_').map_or(name, |(pair, _)| pair),
    };
    let quote = match instrument.market {
        Market::CoinM => "USD",
        Market::UsdM | Market::Spot => QUOTES.into_iter().find(|quote| pair.ends_with(quote))?,
    };
    let base = pair.strip_suffix(quote).filter(|base| !base.is_empty())?;
    Some((base, quote))
}

/// The assets that the members of a group count: each once, in the order of the members.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Units {
    names: Vec<Unit>,
}

impl Units {
    /// Those of some members; a name that tells none is left out.
    pub(super) fn of(units: impl Iterator<Item = Option<Unit>>) -> Self {
        let mut names: Vec<Unit> = Vec::new();
        for unit in units.flatten() {
            if !names.contains(&unit) {
                names.push(unit);
            }
        }
        Self { names }
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(Unit::as_str)
    }

    /// Whether amounts may be added up: one asset, or different names of the dollar.
    pub fn are_one(&self) -> bool {
        self.names.len() <= 1 || self.names.iter().all(Unit::is_dollar)
    }
}

impl fmt::Display for Units {
    /// `USDT`, `USDT+USD`; nothing where no name tells one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in self.names().enumerate() {
            if at > 0 {
                f.write_str("+")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_instrument_tells_its_assets() {
        for (instrument, told) in [
            ("usdm:BTCUSDT", "BTC/USDT"),
            ("usdm:BTCUSDC", "BTC/USDC"),
            ("usdm:BTCUSDT_260327", "BTC/USDT"),
            ("usdm:1000PEPEUSDT", "1000PEPE/USDT"),
            ("spot:BTCFDUSD", "BTC/FDUSD"),
            ("spot:BTCTUSD", "BTC/TUSD"),
            ("spot:ETHBTC", "ETH/BTC"),
            ("spot:EURUSDT", "EUR/USDT"),
            ("coinm:BTCUSD_PERP", "BTC/USD"),
            ("coinm:ETHUSD_260327", "ETH/USD"),
            ("spot:币安人生USDT", "币安人生/USDT"),
            ("spot:NOBODYKNOWS", "none"),
            ("spot:USDT", "none"),
        ] {
            let instrument: Instrument = instrument.parse().unwrap();
            let (base, quote) = (Unit::base_of(&instrument), Unit::quote_of(&instrument));
            let said = base.zip(quote).map(|(base, quote)| format!("{}/{}", base.as_str(), quote.as_str()));
            assert_eq!(said.as_deref().unwrap_or("none"), told, "{instrument}");
        }
    }

    #[test]
    fn dollars_of_different_names_are_added_up_and_nothing_else() {
        let units = |names: &[&str]| Units::of(names.iter().map(|name| Some(Unit((*name).to_owned()))));
        assert!(units(&["USDT", "USD", "USDC"]).are_one());
        assert!(units(&["BTC", "BTC"]).are_one());
        assert!(Units::default().are_one());
        assert!(!units(&["USDT", "BTC"]).are_one());
        assert!(!units(&["1000PEPE", "PEPE"]).are_one());
        assert_eq!(units(&["USDT", "USD", "USDT"]).to_string(), "USDT+USD");
    }
}
