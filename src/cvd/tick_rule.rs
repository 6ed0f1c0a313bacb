//! The side of a trade that does not tell its own, from the price before it; `docs/math.md`, "Tick rule".

use crate::trade::Aggressor;
use crate::units::{Price, UnixMillis};

/// So many unchanged prices in a row may reuse the side; the next one is refused.
pub const MAX_REPEATS: u8 = 5;
/// A side older than this, in milliseconds, is not reused.
pub const MAX_SIDE_AGE_MS: i64 = 2_000;

/// What the tick rule remembers of the accepted trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "net", derive(serde::Serialize, serde::Deserialize))]
pub struct TickRuleState {
    /// The price of the last accepted trade that had one.
    pub last_price: Option<Price>,
    /// The side of the last accepted trade, told or inferred.
    pub last_side: Option<Aggressor>,
    /// When the last accepted trade that had a time was made.
    pub last_traded_at: Option<UnixMillis>,
    /// How often in a row a side was reused at an unchanged price, 0 to [`MAX_REPEATS`]. Trades that tell
    /// their side leave it alone.
    pub repeats: u8,
}

impl TickRuleState {
    /// The side of a trade at `price`, or `None` if nothing tells it, and the count of repeats afterwards.
    pub(super) fn infer(&self, price: Price, traded_at: Option<UnixMillis>) -> (Option<Aggressor>, u8) {
        let Some(last_price) = self.last_price else { return (None, 0) };
        if price > last_price {
            return (Some(Aggressor::Buyer), 0);
        }
        if price < last_price {
            return (Some(Aggressor::Seller), 0);
        }
        let repeats = self.repeats.saturating_add(1);
        if repeats <= MAX_REPEATS && !self.is_old(traded_at) { (self.last_side, repeats) } else { (None, 0) }
    }

    /// Whether both times are known and the last side is too old to be reused.
    fn is_old(&self, traded_at: Option<UnixMillis>) -> bool {
        match (traded_at, self.last_traded_at) {
            (Some(now), Some(then)) => now.0.saturating_sub(then.0) > MAX_SIDE_AGE_MS,
            _ => false,
        }
    }

    /// Takes in an accepted trade; what it does not have stays as it was.
    #[inline]
    pub(super) fn remember(&mut self, price: Option<Price>, side: Aggressor, traded_at: Option<UnixMillis>) {
        self.last_side = Some(side);
        if price.is_some() {
            self.last_price = price;
        }
        if traded_at.is_some() {
            self.last_traded_at = traded_at;
        }
    }

    /// Whether a run of trades can lead here: a price, a time or a count implies a side.
    pub(super) fn is_possible(&self) -> bool {
        let (priced, sided) = (self.last_price.is_some(), self.last_side.is_some());
        self.repeats <= MAX_REPEATS
            && (sided || self.last_traded_at.is_none())
            && (sided || !priced)
            && (priced || self.repeats == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::Aggressor::{Buyer, Seller};
    use super::*;

    fn after(price: i64, side: Aggressor, at: i64) -> TickRuleState {
        let mut state = TickRuleState::default();
        state.remember(Some(Price::from_units(price)), side, Some(UnixMillis(at)));
        state
    }

    #[test]
    fn a_rise_is_a_buy_and_a_fall_is_a_sell() {
        let state = TickRuleState { repeats: 3, ..after(100, Seller, 0) };
        assert_eq!(state.infer(Price::from_units(101), None), (Some(Buyer), 0));
        assert_eq!(state.infer(Price::from_units(99), None), (Some(Seller), 0));
        assert_eq!(state.infer(Price::from_units(100), None), (Some(Seller), 4));
    }

    #[test]
    fn without_a_price_before_it_nothing_can_be_told() {
        assert_eq!(TickRuleState::default().infer(Price::from_units(1), Some(UnixMillis(5))), (None, 0));
        let mut sided = TickRuleState::default();
        sided.remember(None, Buyer, None);
        assert_eq!(sided.infer(Price::from_units(1), None), (None, 0));
    }

    #[test]
    fn the_sixth_unchanged_price_is_refused_and_the_cycle_begins_again() {
        let mut state = after(100, Buyer, 0);
        let mut told = Vec::new();
        for _ in 0..14 {
            let (side, repeats) = state.infer(Price::from_units(100), None);
            state.repeats = repeats;
            told.push(side.is_some());
        }
        let cycle = [true, true, true, true, true, false];
        assert!(told.iter().eq(cycle.iter().cycle().take(14)), "{told:?}");
    }

    #[test]
    fn a_side_older_than_two_seconds_is_not_reused() {
        let state = after(100, Seller, 10_000);
        let same = Price::from_units(100);
        assert_eq!(state.infer(same, Some(UnixMillis(12_000))), (Some(Seller), 1));
        assert_eq!(state.infer(same, Some(UnixMillis(12_001))), (None, 0));
        assert_eq!(state.infer(same, None), (Some(Seller), 1));
        assert_eq!(state.infer(same, Some(UnixMillis(i64::MIN))), (Some(Seller), 1));
        assert_eq!(after(100, Seller, i64::MIN).infer(same, Some(UnixMillis(i64::MAX))), (None, 0));
    }
}
