//! Which lanes are told: all, or those that `--only` picks. Decided once for each lane, never for a trade.

use std::fmt;

use crate::snapshot::{Instrument, Market};
use crate::units::Symbol;

/// Whether an instrument is to be told.
pub type Pick = Box<dyn Fn(&Instrument) -> bool + Send + Sync>;

/// The lanes that are told.
#[derive(Default)]
pub(super) struct Picked {
    /// `None` where all are.
    pick: Option<Pick>,
    /// What was decided so far, by the numbers of the lanes.
    lanes: Vec<Option<bool>>,
}

impl Picked {
    pub(super) fn by(pick: Option<Pick>) -> Self {
        Self { pick, lanes: Vec::new() }
    }

    /// Whether only some are told.
    pub(super) fn are_some(&self) -> bool {
        self.pick.is_some()
    }

    /// Whether a lane is told, as far as that was decided; one that was not is let through.
    #[inline]
    pub(super) fn may(&self, lane: usize) -> bool {
        self.pick.is_none() || self.lanes.get(lane).copied().flatten() != Some(false)
    }

    /// Whether a lane is told.
    #[inline]
    pub(super) fn is(&mut self, lane: usize, market: Market, symbol: &Symbol) -> bool {
        match (&self.pick, self.lanes.get(lane)) {
            (None, _) => true,
            (_, Some(Some(is_told))) => *is_told,
            _ => self.decide(lane, market, symbol),
        }
    }

    /// Lanes have other numbers from here on.
    pub(super) fn forget(&mut self) {
        self.lanes.clear();
    }

    #[cold]
    fn decide(&mut self, lane: usize, market: Market, symbol: &Symbol) -> bool {
        let instrument = Instrument::new(market, symbol.clone());
        let is_told = self.pick.as_ref().is_none_or(|pick| pick(&instrument));
        if self.lanes.len() <= lane {
            self.lanes.resize(lane + 1, None);
        }
        self.lanes[lane] = Some(is_told);
        is_told
    }
}

impl fmt::Debug for Picked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Picked").field("some", &self.are_some()).field("lanes", &self.lanes).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_lane_is_decided_upon_once() {
        let asked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&asked);
        let mut picked = Picked::by(Some(Box::new(move |instrument| {
            count.fetch_add(1, Ordering::Relaxed);
            instrument.market == Market::Spot
        })));
        let symbol = Symbol::new("BTCUSDT").unwrap();
        assert!(picked.may(7), "nobody has looked yet");
        for _ in 0..3 {
            assert!(!picked.is(7, Market::UsdM, &symbol));
            assert!(picked.is(2, Market::Spot, &symbol));
        }
        assert!(!picked.may(7) && picked.may(2));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        picked.forget();
        assert!(picked.is(7, Market::Spot, &symbol), "another lane under the same number");
    }

    #[test]
    fn without_a_choice_all_are_told() {
        let mut picked = Picked::default();
        assert!(picked.may(1) && picked.is(1, Market::UsdM, &Symbol::new("BTCUSDT").unwrap()));
    }
}
