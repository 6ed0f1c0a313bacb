//! The calculator: exact CVD, its EMA and its Z-score, trade by trade. Pure: no I/O, no clock.
//!
//! Sums are integers of 1e-8 units; doubles begin at the EMA and at the last division of the Z-score and
//! never flow back. A trade costs the same whatever the window, and allocates nothing. `docs/math.md` has
//! every formula.

mod config;
mod ema;
mod state;
mod tick_rule;
mod wide;
mod zscore;

pub use config::{CvdConfig, CvdConfigError};
pub use state::{CvdState, CvdStateError};
pub use tick_rule::{MAX_REPEATS, MAX_SIDE_AGE_MS, TickRuleState};

use self::ema::Ema;
use self::zscore::{Level, LevelWindow};
use crate::trade::{AggTrade, Aggressor, signed};
use crate::units::{Price, Qty, QtyDelta, UnixMillis};

/// What the calculator says after a trade.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// What this trade added.
    pub delta: QtyDelta,
    /// The exact sum since the anchor.
    pub cvd: QtyDelta,
    /// Level Z-score of the current CVD against the previous window; `None` while warming up.
    pub z: Option<f64>,
    /// Exponential moving average of CVD per trade, in whole units; `None` before the first.
    pub ema: Option<f64>,
    /// Too few values for a Z-score yet.
    pub warmup: bool,
    /// All values of the window are equal (exactly); `z` is then 0. Because every accepted trade moves
    /// CVD, this happens only while the window holds a single previous value.
    pub std_zero: bool,
    /// Trades refused so far: quantity or price ≤ 0, no side, or a sum beyond `i128`.
    pub bad_points: u64,
}

/// Why a trade was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPointReason {
    /// Quantity zero or negative.
    #[error("quantity is not positive")]
    Quantity,
    /// Price zero or negative: a row that the exchange has voided.
    #[error("price is not positive")]
    Price,
    /// No side, and the tick rule cannot tell it.
    #[error("no side, and the tick rule cannot tell")]
    NoSide,
    /// The sum would leave `i128`.
    #[error("the sum would overflow")]
    Overflow,
}

/// A refused trade; the state is as before but for the count (and, when no side could be told, the tick
/// rule's count of repeats, which begins again).
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("bad point: {reason}")]
pub struct BadPoint {
    /// Why.
    pub reason: BadPointReason,
    /// A delta of zero, the last CVD and EMA, no Z-score, `warmup` set.
    pub reading: Reading,
}

/// The calculator of one symbol.
///
/// ```
/// use cvd_stream::cvd::{Cvd, CvdConfig};
/// use cvd_stream::trade::Aggressor;
///
/// let mut cvd = Cvd::new(CvdConfig::default())?;
/// cvd.apply_sided("0.3".parse()?, Aggressor::Buyer)?;
/// let reading = cvd.apply_sided("0.1".parse()?, Aggressor::Seller)?;
/// assert_eq!(reading.cvd.to_string(), "0.2");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Cvd {
    config: CvdConfig,
    start: QtyDelta,
    warmup_values: usize,
    ema: Ema,
    window: LevelWindow,
    tick_rule: TickRuleState,
    /// The reading of the last accepted trade, with the current count of bad points.
    last: Reading,
}

impl Cvd {
    /// A calculator at zero. Reserves 8 bytes per value of the window, once.
    ///
    /// # Errors
    /// [`CvdConfigError`] if a setting is out of its range.
    pub fn new(config: CvdConfig) -> Result<Self, CvdConfigError> {
        Self::with_start(config, QtyDelta::ZERO)
    }

    /// A calculator whose CVD begins at `start`. The start is not a value of the window, and no Z-score
    /// depends on it.
    ///
    /// # Errors
    /// [`CvdConfigError`] if a setting is out of its range.
    pub fn with_start(config: CvdConfig, start: QtyDelta) -> Result<Self, CvdConfigError> {
        config.validate()?;
        Ok(Self::at_start(config, start))
    }

    /// Applies a trade.
    ///
    /// # Errors
    /// [`BadPoint`] if its quantity or its price is not positive or the sum would leave `i128`.
    #[inline(always)]
    pub fn apply(&mut self, trade: &AggTrade) -> Result<Reading, BadPoint> {
        if trade.price.units() <= 0 && trade.qty.units() > 0 {
            return Err(self.refuse(BadPointReason::Price));
        }
        let reading = self.add(trade.qty, trade.aggressor)?;
        self.tick_rule.remember(Some(trade.price), trade.aggressor, Some(trade.traded_at));
        Ok(reading)
    }

    /// Applies a trade of which only the quantity and the side are known.
    ///
    /// # Errors
    /// [`BadPoint`] if its quantity is not positive or the sum would leave `i128`.
    pub fn apply_sided(&mut self, qty: Qty, aggressor: Aggressor) -> Result<Reading, BadPoint> {
        let reading = self.add(qty, aggressor)?;
        self.tick_rule.remember(None, aggressor, None);
        Ok(reading)
    }

    /// Applies a trade that does not tell its side; the tick rule does: a buy above the last accepted
    /// price, a sell below it, and at the same price the last side, at most [`MAX_REPEATS`] times in a row
    /// and, if both times are known, no longer than [`MAX_SIDE_AGE_MS`] after it.
    ///
    /// # Errors
    /// [`BadPoint`] if its quantity is not positive, if the tick rule cannot tell, or if the sum would leave
    /// `i128`.
    pub fn apply_unsided(
        &mut self,
        price: Price,
        qty: Qty,
        traded_at: Option<UnixMillis>,
    ) -> Result<Reading, BadPoint> {
        if qty.units() <= 0 {
            return Err(self.refuse(BadPointReason::Quantity));
        }
        let (side, repeats) = self.tick_rule.infer(price, traded_at);
        let Some(side) = side else {
            self.tick_rule.repeats = repeats;
            return Err(self.refuse(BadPointReason::NoSide));
        };
        let reading = self.add(qty, side)?;
        self.tick_rule.repeats = repeats;
        self.tick_rule.remember(Some(price), side, traded_at);
        Ok(reading)
    }

    /// The reading of the last accepted trade, with all bad points so far; before the first trade CVD is at
    /// its start and the rest is unknown.
    pub fn reading(&self) -> Reading {
        self.last
    }

    /// The settings it was made with.
    pub fn config(&self) -> CvdConfig {
        self.config
    }

    /// Trades are missing before the next one: CVD, EMA and everything else go on, but the window of the Z-score begins
    /// anew, because no value from before can be compared with those to come.
    pub fn restart_window(&mut self) {
        self.window = LevelWindow::new(self.config.baseline_values());
        (self.last.z, self.last.warmup, self.last.std_zero) = (None, true, false);
    }

    /// Forgets every trade: CVD is at its start again, the window, the EMA, the tick rule and the count of
    /// bad points begin anew.
    pub fn reset(&mut self) {
        *self = Self::at_start(self.config, self.start);
    }

    /// With settings that are known to be in range.
    fn at_start(config: CvdConfig, start: QtyDelta) -> Self {
        Self {
            config,
            start,
            warmup_values: config.warmup_values(),
            ema: Ema::new(config.ema_alpha, None),
            window: LevelWindow::new(config.baseline_values()),
            tick_rule: TickRuleState::default(),
            last: Reading {
                delta: QtyDelta::ZERO,
                cvd: start,
                z: None,
                ema: None,
                warmup: true,
                std_zero: false,
                bad_points: 0,
            },
        }
    }

    #[inline(always)]
    fn add(&mut self, qty: Qty, side: Aggressor) -> Result<Reading, BadPoint> {
        if qty.units() <= 0 {
            return Err(self.refuse(BadPointReason::Quantity));
        }
        let delta = signed(side, qty);
        let Some(cvd) = self.last.cvd.checked_add(delta) else {
            return Err(self.refuse(BadPointReason::Overflow));
        };
        // Lossless: a quantity is 1 to i64::MAX.
        self.window.push(delta.units() as i64);
        let ema = Some(self.ema.push(cvd.to_f64_lossy()));
        let (z, warmup, std_zero) = self.level();
        self.last = Reading { delta, cvd, z, ema, warmup, std_zero, bad_points: self.last.bad_points };
        Ok(self.last)
    }

    /// `z`, `warmup` and `std_zero` of the window as it is.
    #[inline]
    fn level(&self) -> (Option<f64>, bool, bool) {
        match self.window.level(self.warmup_values) {
            Level::WarmingUp => (None, true, false),
            Level::Flat => (Some(0.0), false, true),
            Level::Z(z) => (Some(z), false, false),
        }
    }

    #[cold]
    fn refuse(&mut self, reason: BadPointReason) -> BadPoint {
        self.last.bad_points = self.last.bad_points.saturating_add(1);
        let reading = Reading { delta: QtyDelta::ZERO, z: None, warmup: true, std_zero: false, ..self.last };
        BadPoint { reason, reading }
    }
}

#[cfg(test)]
mod tests {
    use super::Aggressor::{Buyer, Seller};
    use super::*;

    fn qty(units: i64) -> Qty {
        Qty::from_units(units)
    }

    #[test]
    fn the_first_z_of_the_defaults_comes_with_trade_61() {
        let mut cvd = Cvd::new(CvdConfig::default()).unwrap();
        for ordinal in 1..=400 {
            let reading = cvd.apply_sided(qty(ordinal), Buyer).unwrap();
            assert_eq!(reading.z.is_some(), ordinal >= 61, "trade {ordinal}");
            assert_eq!(reading.warmup, ordinal < 61, "trade {ordinal}");
        }
    }

    #[test]
    fn a_bad_quantity_changes_nothing_but_the_count() {
        let mut cvd = Cvd::new(CvdConfig { z_window: 5, z_warmup: Some(2), ema_alpha: 0.2 }).unwrap();
        for units in [3, 4, 9] {
            cvd.apply_sided(qty(units), Buyer).unwrap();
        }
        let (before, reading) = (cvd.state(), cvd.reading());
        assert!(reading.z.is_some());
        for (count, units) in [(1, 0), (2, -1), (3, i64::MIN)] {
            let bad = cvd.apply_sided(qty(units), Seller).unwrap_err();
            assert_eq!(bad.reason, BadPointReason::Quantity);
            assert_eq!(bad.reading.bad_points, count);
            assert_eq!((bad.reading.cvd, bad.reading.ema), (reading.cvd, reading.ema));
            assert_eq!((bad.reading.delta, bad.reading.z), (QtyDelta::ZERO, None));
            assert_eq!((bad.reading.warmup, bad.reading.std_zero), (true, false));
        }
        assert_eq!(cvd.state(), CvdState { bad_points: 3, ..before });
        assert_eq!(cvd.reading(), Reading { bad_points: 3, ..reading });
    }

    #[test]
    fn a_sum_beyond_the_range_is_refused_and_the_last_one_kept() {
        let start = QtyDelta::from_units(i128::MAX - 10);
        let mut cvd = Cvd::with_start(CvdConfig::default(), start).unwrap();
        cvd.apply_sided(qty(10), Buyer).unwrap();
        let bad = cvd.apply_sided(qty(1), Buyer).unwrap_err();
        assert_eq!((bad.reason, bad.reading.bad_points), (BadPointReason::Overflow, 1));
        assert_eq!(bad.reading.cvd, QtyDelta::from_units(i128::MAX));
        assert_eq!(cvd.apply_sided(qty(1), Seller).unwrap().cvd, QtyDelta::from_units(i128::MAX - 1));
        assert_eq!(cvd.state().window.len(), 2);
    }

    #[test]
    fn a_single_previous_value_is_a_flat_window() {
        let mut cvd = Cvd::new(CvdConfig { z_window: 10, z_warmup: Some(1), ema_alpha: 0.2 }).unwrap();
        assert_eq!(cvd.apply_sided(qty(1), Buyer).unwrap().z, None);
        let second = cvd.apply_sided(qty(1), Buyer).unwrap();
        assert_eq!((second.z, second.std_zero, second.warmup), (Some(0.0), true, false));
        let third = cvd.apply_sided(qty(1), Buyer).unwrap();
        assert_eq!((third.z, third.std_zero), (Some(3.0), false));
    }

    #[test]
    fn a_trade_without_a_side_takes_it_from_the_accepted_price_before() {
        let mut cvd = Cvd::new(CvdConfig::default()).unwrap();
        let mut unsided = |price, at| {
            cvd.apply_unsided(Price::from_units(price), qty(1), Some(UnixMillis(at)))
                .map(|reading| reading.cvd.units())
                .map_err(|bad| bad.reason)
        };
        assert_eq!(unsided(100, 0), Err(BadPointReason::NoSide));
        // The refused trade left no price behind.
        assert_eq!(unsided(101, 1), Err(BadPointReason::NoSide));

        cvd.apply(&sided_at(100, 5, Buyer, 10)).unwrap();
        let mut unsided = |price, at| {
            cvd.apply_unsided(Price::from_units(price), qty(1), Some(UnixMillis(at)))
                .map(|reading| reading.cvd.units())
                .map_err(|bad| bad.reason)
        };
        assert_eq!(unsided(99, 20), Ok(4));
        assert_eq!(unsided(99, 30), Ok(3));
        assert_eq!(unsided(100, 40), Ok(4));
        assert_eq!(unsided(100, 2_041), Err(BadPointReason::NoSide));
        assert_eq!(unsided(100, 2_040), Ok(5));
    }

    #[test]
    fn a_told_side_is_reused_but_does_not_restart_the_count_of_repeats() {
        let mut cvd = Cvd::new(CvdConfig::default()).unwrap();
        cvd.apply(&sided_at(100, 1, Buyer, 0)).unwrap();
        for _ in 0..5 {
            cvd.apply_unsided(Price::from_units(100), qty(1), None).unwrap();
        }
        cvd.apply(&sided_at(100, 1, Seller, 0)).unwrap();
        let bad = cvd.apply_unsided(Price::from_units(100), qty(1), None).unwrap_err();
        assert_eq!(bad.reason, BadPointReason::NoSide);
        // The refusal restarts it, and the side is that of the seller.
        let delta = cvd.apply_unsided(Price::from_units(100), qty(1), None).unwrap().delta;
        assert_eq!(delta, QtyDelta::from_units(-1));
    }

    #[test]
    fn a_bad_quantity_does_not_use_up_a_repeat() {
        let mut cvd = Cvd::new(CvdConfig::default()).unwrap();
        cvd.apply(&sided_at(100, 1, Buyer, 0)).unwrap();
        let before = cvd.state().tick_rule;
        let bad = cvd.apply_unsided(Price::from_units(100), qty(0), None).unwrap_err();
        assert_eq!(bad.reason, BadPointReason::Quantity);
        assert_eq!(cvd.state().tick_rule, before);
    }

    fn sided_at(price: i64, units: i64, aggressor: Aggressor, traded_at: i64) -> AggTrade {
        AggTrade {
            id: crate::units::AggTradeId(1),
            price: Price::from_units(price),
            qty: qty(units),
            qty_without_rpi: None,
            first_trade_id: 1,
            last_trade_id: 1,
            traded_at: UnixMillis(traded_at),
            event_at: None,
            aggressor,
        }
    }
}
