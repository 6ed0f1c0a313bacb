//! The calculator: exact CVD, its EMA and its Z-score, trade by trade. Pure: no I/O, no clock.

use crate::trade::AggTrade;
use crate::units::QtyDelta;

/// What the calculator says after a trade.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// What this trade added.
    pub delta: QtyDelta,
    /// The exact sum since the anchor.
    pub cvd: QtyDelta,
    /// Level Z-score of the current CVD against the previous window; `None` while warming up.
    pub z: Option<f64>,
    /// Exponential moving average of CVD per trade; `None` before the first.
    pub ema: Option<f64>,
    /// Too few values for a Z-score yet.
    pub warmup: bool,
    /// All values of the window are equal (exactly); `z` is then 0.
    pub std_zero: bool,
    /// Trades refused so far: quantity ≤ 0 or no side.
    pub bad_points: u64,
}

/// The calculator's settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CvdConfig {
    /// `z_window` W: the Z-score looks at no more than W − 1 previous values. 2 to 1,000,000.
    pub z_window: usize,
    /// Previous values needed for a Z-score; `None` means `max(5, z_window / 5)`.
    pub z_warmup: Option<usize>,
    /// EMA weight of the newest value, over 0 to 1.
    pub ema_alpha: f64,
}

impl Default for CvdConfig {
    fn default() -> Self {
        Self { z_window: 300, z_warmup: None, ema_alpha: 0.2 }
    }
}

/// Why a trade was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPointReason {
    /// Quantity zero or negative.
    #[error("quantity is not positive")]
    Quantity,
    /// No side, and the tick rule cannot tell it.
    #[error("no side, and the tick rule cannot tell")]
    NoSide,
    /// The sum would leave `i128`.
    #[error("the sum would overflow")]
    Overflow,
}

/// A refused trade; the state is as before but for the count.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("bad point: {reason}")]
pub struct BadPoint {
    /// Why.
    pub reason: BadPointReason,
    /// The last CVD and EMA, no Z-score, `warmup` set.
    pub reading: Reading,
}

/// The calculator of one symbol.
#[derive(Debug, Clone)]
pub struct Cvd {
    reading: Reading,
}

impl Cvd {
    /// A calculator at zero.
    pub fn new(_config: CvdConfig) -> Self {
        let reading = Reading {
            delta: QtyDelta::ZERO,
            cvd: QtyDelta::ZERO,
            z: None,
            ema: None,
            warmup: true,
            std_zero: false,
            bad_points: 0,
        };
        Self { reading }
    }

    /// Applies a trade.
    ///
    /// # Errors
    /// [`BadPoint`] if its quantity is not positive.
    pub fn apply(&mut self, trade: &AggTrade) -> Result<Reading, BadPoint> {
        self.reading.delta = trade.delta();
        self.reading.cvd = self.reading.cvd.checked_add(trade.delta()).expect("placeholder");
        Ok(self.reading)
    }

    /// The last reading.
    pub fn reading(&self) -> Reading {
        self.reading
    }
}
