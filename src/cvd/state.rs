//! Everything a calculator carries from one trade to the next, to be stored and continued from.

use super::config::{CvdConfig, CvdConfigError};
use super::ema::Ema;
use super::tick_rule::TickRuleState;
use super::zscore::LevelWindow;
use super::{Cvd, Reading};
use crate::units::QtyDelta;

/// The complete state of a [`Cvd`], but for its settings. A calculator made from it with the same settings
/// gives the same bits as the one it was read from, for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "net", derive(serde::Serialize, serde::Deserialize))]
pub struct CvdState {
    /// Where CVD began, and begins again after [`Cvd::reset`].
    pub start: QtyDelta,
    /// CVD after the last accepted trade; `start` before the first.
    pub cvd: QtyDelta,
    /// What the last accepted trade added; zero before the first.
    pub delta: QtyDelta,
    /// The EMA, by [`f64::to_bits`]; `None` before the first trade.
    pub ema_bits: Option<u64>,
    /// The last CVD values, oldest first, at most `z_window` of them; the last one is `cvd`. Empty before the first
    /// trade and after [`Cvd::restart_window`].
    pub window: Vec<QtyDelta>,
    /// Trades refused so far.
    pub bad_points: u64,
    /// What the tick rule remembers.
    pub tick_rule: TickRuleState,
}

/// Why no calculator can be in a state.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CvdStateError {
    /// The settings themselves are out of range.
    #[error("the settings are out of range")]
    Config(#[source] CvdConfigError),
    /// More values than the window holds: the state belongs to other settings.
    #[error("the window holds {held} values but z_window is {z_window}; use the settings it was stored with")]
    WindowTooLong {
        /// How many values there are.
        held: usize,
        /// How many there may be.
        z_window: usize,
    },
    /// Neighbours in the window that no single trade connects: equal, or too far apart.
    #[error("no trade leads from value {} of the window to value {}", .0 - 1, .0)]
    Step(usize),
    /// CVD is not the newest value of the window, or not `start` before the first trade.
    #[error("cvd is {cvd} but the window says {window}")]
    Cvd {
        /// The state's CVD.
        cvd: QtyDelta,
        /// The value it should have.
        window: QtyDelta,
    },
    /// The last delta is not what leads to CVD.
    #[error("the last delta {0} does not lead to the stored cvd")]
    Delta(QtyDelta),
    /// The EMA is there without a trade, missing after one, or not a finite number.
    #[error("the ema is missing, out of place, or not a finite number")]
    Ema,
    /// The tick rule remembers what no run of trades leaves behind.
    #[error("the tick rule's memory is not what trades leave behind")]
    TickRule,
}

impl Cvd {
    /// Everything that later readings depend on. Allocates; not for every trade.
    pub fn state(&self) -> CvdState {
        CvdState {
            start: self.start,
            cvd: self.last.cvd,
            delta: self.last.delta,
            ema_bits: self.ema.value().map(f64::to_bits),
            window: self.window.values(self.last.cvd),
            bad_points: self.last.bad_points,
            tick_rule: self.tick_rule,
        }
    }

    /// A calculator that continues from a state.
    ///
    /// # Errors
    /// [`CvdStateError`] if the settings are out of range or no run of trades leads to the state with them.
    pub fn from_state(config: CvdConfig, state: CvdState) -> Result<Self, CvdStateError> {
        let mut cvd = Self::with_start(config, state.start).map_err(CvdStateError::Config)?;
        if state.window.len() > config.z_window {
            return Err(CvdStateError::WindowTooLong { held: state.window.len(), z_window: config.z_window });
        }
        cvd.window =
            LevelWindow::from_values(config.baseline_values(), &state.window).map_err(CvdStateError::Step)?;
        let has_past = state.has_past();
        let ema = state.ema_bits.map(f64::from_bits);
        if ema.is_some() != has_past || ema.is_some_and(|ema| !ema.is_finite()) {
            return Err(CvdStateError::Ema);
        }
        state.check_sums()?;
        cvd.ema = Ema::new(config.ema_alpha, ema);
        // Every accepted trade leaves a side behind, and nothing else does.
        if !state.tick_rule.is_possible() || state.tick_rule.last_side.is_some() != has_past {
            return Err(CvdStateError::TickRule);
        }
        cvd.tick_rule = state.tick_rule;
        let (z, warmup, std_zero) = cvd.level();
        cvd.last = Reading {
            delta: state.delta,
            cvd: state.cvd,
            z,
            ema,
            warmup,
            std_zero,
            bad_points: state.bad_points,
        };
        Ok(cvd)
    }
}

impl CvdState {
    /// Whether there was a trade. Each leaves a delta, an EMA and a side; where one of them contradicts the other two,
    /// it is the one that is wrong.
    fn has_past(&self) -> bool {
        let traces =
            [self.delta != QtyDelta::ZERO, self.ema_bits.is_some(), self.tick_rule.last_side.is_some()];
        traces.into_iter().filter(|trace| *trace).count() >= 2
    }

    /// CVD, the last delta, the start and the window have to agree.
    fn check_sums(&self) -> Result<(), CvdStateError> {
        let has_past = self.has_past();
        let nothing = if has_past { self.cvd } else { self.start };
        let newest = self.window.last().copied().unwrap_or(nothing);
        if self.cvd != newest {
            return Err(CvdStateError::Cvd { cvd: self.cvd, window: newest });
        }
        // A window that holds fewer than two values may have been restarted; then nothing tells the value before.
        let before = match self.window.len() {
            0 | 1 => None,
            len => Some(self.window[len - 2]),
        };
        let is_a_trade = self.delta.units().unsigned_abs() <= i64::MAX as u128
            && (self.delta != QtyDelta::ZERO) == has_past
            && (has_past || self.window.is_empty());
        if is_a_trade && before.is_none_or(|before| before.checked_add(self.delta) == Some(self.cvd)) {
            Ok(())
        } else {
            Err(CvdStateError::Delta(self.delta))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trade::Aggressor;
    use crate::units::{Price, Qty, UnixMillis};

    const CONFIG: CvdConfig = CvdConfig { z_window: 4, z_warmup: Some(2), ema_alpha: 0.2 };

    fn used() -> Cvd {
        let mut cvd = Cvd::with_start(CONFIG, QtyDelta::from_units(1_000)).unwrap();
        for qty in [5, 6, 7, 8, 9] {
            cvd.apply_sided(Qty::from_units(qty), Aggressor::Seller).unwrap();
        }
        cvd.apply_unsided(Price::from_units(3), Qty::from_units(1), Some(UnixMillis(1))).unwrap_err();
        cvd
    }

    #[test]
    fn a_state_shows_everything_and_leads_back() {
        let cvd = used();
        let state = cvd.state();
        assert_eq!(state.window, [989, 982, 974, 965].map(QtyDelta::from_units));
        assert_eq!((state.cvd, state.bad_points), (QtyDelta::from_units(965), 1));
        let again = Cvd::from_state(CONFIG, state.clone()).unwrap();
        assert_eq!(again.reading(), cvd.reading());
        assert_eq!(again.state(), state);
        let fresh = Cvd::new(CONFIG).unwrap();
        assert_eq!(Cvd::from_state(CONFIG, fresh.state()).unwrap().reading(), fresh.reading());
    }

    #[test]
    fn an_impossible_state_is_refused_by_name() {
        let refused = |change: fn(&mut CvdState)| {
            let mut state = used().state();
            change(&mut state);
            Cvd::from_state(CONFIG, state).unwrap_err()
        };
        let units = QtyDelta::from_units;
        assert_eq!(
            refused(|state| state.window.insert(0, QtyDelta::ZERO)),
            CvdStateError::WindowTooLong { held: 5, z_window: 4 }
        );
        assert_eq!(refused(|state| state.window[1] = state.window[0]), CvdStateError::Step(1));
        assert_eq!(
            refused(|state| state.cvd = QtyDelta::ZERO),
            CvdStateError::Cvd { cvd: QtyDelta::ZERO, window: units(965) }
        );
        assert_eq!(refused(|state| state.delta = QtyDelta::from_units(9)), CvdStateError::Delta(units(9)));
        assert_eq!(
            refused(|state| state.window.truncate(1)),
            CvdStateError::Cvd { cvd: units(965), window: units(989) }
        );
        assert_eq!(refused(|state| state.ema_bits = None), CvdStateError::Ema);
        assert_eq!(refused(|state| state.ema_bits = Some(f64::NAN.to_bits())), CvdStateError::Ema);
        assert_eq!(refused(|state| state.tick_rule.repeats = 1), CvdStateError::TickRule);
        assert_eq!(refused(|state| state.tick_rule.last_side = None), CvdStateError::TickRule);
        let config = CvdConfig { ema_alpha: 2.0, ..CONFIG };
        assert_eq!(
            Cvd::from_state(config, used().state()).unwrap_err(),
            CvdStateError::Config(CvdConfigError::Alpha(2.0))
        );
    }

    #[test]
    fn a_restarted_window_leads_back_too() {
        let mut cvd = used();
        for trades in 0..4 {
            let again = Cvd::from_state(CONFIG, cvd.state()).unwrap();
            assert_eq!((again.reading(), again.state()), (cvd.reading(), cvd.state()));
            if trades == 0 {
                cvd.restart_window();
                assert_eq!((cvd.reading().z, cvd.reading().warmup), (None, true));
            } else {
                let reading = cvd.apply_sided(Qty::from_units(trades), Aggressor::Buyer).unwrap();
                // Two values before it are needed, and none of them may be from before the restart.
                assert_eq!(reading.warmup, trades < 3, "{trades}");
            }
        }
        assert_eq!(cvd.reading().cvd, QtyDelta::from_units(965 + 6));
    }

    #[test]
    fn a_fresh_state_cannot_have_a_past() {
        let refused = |change: fn(&mut CvdState)| {
            let mut state = Cvd::new(CONFIG).unwrap().state();
            change(&mut state);
            Cvd::from_state(CONFIG, state).unwrap_err()
        };
        assert!(matches!(refused(|state| state.cvd = QtyDelta::from_units(1)), CvdStateError::Cvd { .. }));
        assert!(matches!(refused(|state| state.delta = QtyDelta::from_units(1)), CvdStateError::Delta(_)));
        assert_eq!(refused(|state| state.ema_bits = Some(0)), CvdStateError::Ema);
        assert_eq!(
            refused(|state| state.tick_rule.last_side = Some(Aggressor::Buyer)),
            CvdStateError::TickRule
        );
    }
}
