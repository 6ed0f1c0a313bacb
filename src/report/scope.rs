//! What a run watches, and what that is called in records.

use std::fmt;

use crate::snapshot::{Instrument, LaneSummary, Market};
use crate::units::Symbol;

/// More symbols than this are many: one by one their records would be a flood for whoever reads them.
pub const FEW: usize = 10;

/// What a run watches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// The market; of several, the first.
    pub market: Market,
    /// The symbols; empty when whatever comes is taken.
    pub instruments: Vec<Instrument>,
}

impl Scope {
    /// Symbols of one market.
    pub fn of(market: Market, symbols: &[Symbol]) -> Self {
        let instruments = symbols.iter().map(|symbol| Instrument::new(market, symbol.clone())).collect();
        Self { market, instruments }
    }

    /// The one market that everything is of, if it is one.
    pub fn only_market(&self) -> Option<Market> {
        match self.instruments.split_first() {
            None => Some(self.market),
            Some((first, rest)) => {
                rest.iter().all(|other| other.market == first.market).then_some(first.market)
            }
        }
    }

    /// Whether there are more than [`FEW`].
    pub fn are_many(&self) -> bool {
        self.instruments.len() > FEW
    }

    /// It is watched from here on.
    pub(super) fn join(&mut self, instrument: &Instrument) {
        if !self.instruments.contains(instrument) {
            self.instruments.push(instrument.clone());
        }
    }

    /// It is not watched any more.
    pub(super) fn leave(&mut self, market: Market, symbol: &Symbol) {
        self.instruments.retain(|instrument| instrument.market != market || instrument.symbol != *symbol);
    }
}

/// What a lane is called in text: the symbol, where there are several markets with its market.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name<'a> {
    pub(crate) market: Market,
    pub(crate) symbol: &'a Symbol,
    pub(crate) is_one_of_several_markets: bool,
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_one_of_several_markets {
            f.write_str(self.market.as_str())?;
            f.write_str(":")?;
        }
        f.write_str(self.symbol.as_str())
    }
}

/// Summaries with what their lanes are called.
pub(crate) fn named(lanes: &[LaneSummary]) -> impl Iterator<Item = (&LaneSummary, Name<'_>)> {
    let is_one_of_several_markets = lanes.iter().any(|lane| lane.market != lanes[0].market);
    lanes.iter().map(move |lane| {
        (lane, Name { market: lane.market, symbol: &lane.symbol, is_one_of_several_markets })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_of_one_market_until_one_of_another_joins() {
        let symbol = Symbol::new("BTCUSDT").unwrap();
        let mut scope = Scope::of(Market::UsdM, std::slice::from_ref(&symbol));
        assert_eq!(scope.only_market(), Some(Market::UsdM));
        let spot = Instrument::new(Market::Spot, symbol.clone());
        scope.join(&spot);
        scope.join(&spot);
        assert_eq!((scope.only_market(), scope.instruments.len()), (None, 2));
        scope.leave(Market::UsdM, &symbol);
        assert_eq!((scope.only_market(), scope.instruments), (Some(Market::Spot), vec![spot]));
        let anything = Scope { market: Market::CoinM, instruments: Vec::new() };
        assert_eq!(anything.only_market(), Some(Market::CoinM));
    }

    #[test]
    fn more_than_ten_are_many() {
        let symbols: Vec<_> = (0..11).map(|at| Symbol::new(&format!("S{at}USDT")).unwrap()).collect();
        assert!(!Scope::of(Market::Spot, &symbols[..10]).are_many());
        assert!(Scope::of(Market::Spot, &symbols).are_many());
    }
}
