//! What the exchange lists of each market, found by name.

use std::collections::HashMap;
use std::sync::Arc;

use crate::repair::rest::Listed;
use crate::snapshot::{Instrument, Market};
use crate::units::Symbol;

/// The newest list of each market, as far as there is one. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Listings {
    markets: [Option<Arc<MarketListings>>; Market::ALL.len()],
}

#[derive(Debug)]
struct MarketListings {
    listed: Vec<Listed>,
    by_symbol: HashMap<Symbol, usize>,
}

impl Listings {
    /// The list of one market alone.
    pub fn of(market: Market, listed: Vec<Listed>) -> Self {
        let mut listings = Self::default();
        listings.replace(market, listed);
        listings
    }

    /// Takes a newer list of a market. An empty one says nothing and is not taken.
    pub fn replace(&mut self, market: Market, listed: Vec<Listed>) {
        if listed.is_empty() {
            return;
        }
        let by_symbol = listed.iter().enumerate().map(|(at, listed)| (listed.symbol.clone(), at)).collect();
        self.markets[market as usize] = Some(Arc::new(MarketListings { listed, by_symbol }));
    }

    /// Takes the newer lists of another.
    pub fn update(&mut self, newer: &Self) {
        for (old, new) in self.markets.iter_mut().zip(&newer.markets) {
            if new.is_some() {
                old.clone_from(new);
            }
        }
    }

    /// Whether there is a list of a market.
    pub fn knows(&self, market: Market) -> bool {
        self.markets[market as usize].is_some()
    }

    /// What a market lists, in the exchange's order; nothing where there is no list.
    pub fn market(&self, market: Market) -> &[Listed] {
        self.markets[market as usize].as_ref().map_or(&[], |market| &market.listed)
    }

    /// What is listed of an instrument; `None` if it is not, or if there is no list of its market.
    pub fn find(&self, instrument: &Instrument) -> Option<&Listed> {
        let market = self.markets[instrument.market as usize].as_ref()?;
        market.by_symbol.get(&instrument.symbol).map(|at| &market.listed[*at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str) -> Listed {
        Listed::new(Symbol::new(name).unwrap(), "TRADING")
    }

    #[test]
    fn a_list_is_of_its_own_market_and_a_newer_one_takes_its_place() {
        let mut listings = Listings::of(Market::Spot, vec![listed("BTCUSDT"), listed("ETHUSDT")]);
        let instrument = |text: &str| text.parse::<Instrument>().unwrap();
        assert!(listings.knows(Market::Spot) && !listings.knows(Market::UsdM));
        assert_eq!(listings.find(&instrument("spot:ETHUSDT")), Some(&listed("ETHUSDT")));
        assert_eq!(listings.find(&instrument("usdm:ETHUSDT")), None);
        assert_eq!(listings.market(Market::UsdM), []);

        listings.replace(Market::Spot, Vec::new());
        assert_eq!(listings.market(Market::Spot).len(), 2, "an empty list says nothing");
        let mut newer = Listings::of(Market::Spot, vec![listed("SOLUSDT")]);
        newer.replace(Market::UsdM, vec![listed("ETHUSDT")]);
        listings.update(&newer);
        assert_eq!(listings.find(&instrument("spot:ETHUSDT")), None);
        assert!(listings.find(&instrument("usdm:ETHUSDT")).is_some());
        listings.update(&Listings::default());
        assert!(listings.knows(Market::UsdM));
    }
}
