//! What a lane had come to when an interval began.

use serde::{Deserialize, Serialize};

use crate::pipeline::LaneTotals;
use crate::units::{AggTradeId, QtyDelta};

/// What a lane had come to when an interval began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Then {
    trades: u64,
    cvd: QtyDelta,
    volume: QtyDelta,
    /// Signed and unsigned, in the quote unit; `None` where that is not known.
    worth: Option<(i128, i128)>,
    epoch: u32,
    first_id: Option<AggTradeId>,
    missing: u64,
}

/// How a lane's numbers compare with those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change<'a> {
    /// It was not there, or another one was under its number.
    Joined,
    /// Its numbers began anew.
    NewEpoch,
    /// They went on.
    Trades {
        /// By so many.
        trades: u64,
        /// From here.
        then: &'a Then,
    },
}

impl<'a> Change<'a> {
    pub(super) fn since(then: Option<&'a Then>, now: &LaneTotals<'_>) -> Self {
        let Some(then) = then else { return Self::Joined };
        let is_same_beginning = then.first_id.is_none() || then.first_id == now.coverage.first_id;
        match now.trades.checked_sub(then.trades) {
            _ if now.coverage.epoch > then.epoch => Self::NewEpoch,
            Some(trades) if is_same_beginning && now.coverage.epoch == then.epoch => {
                Self::Trades { trades, then }
            }
            // It ended and came back, with numbers from zero.
            _ => Self::Joined,
        }
    }
}

impl Then {
    /// What a lane has come to.
    pub(super) fn of(now: &LaneTotals<'_>) -> Self {
        Self {
            trades: now.trades,
            cvd: now.reading.cvd,
            volume: now.volume,
            worth: now.worth.map(|worth| (worth.delta, worth.volume)),
            epoch: now.coverage.epoch,
            first_id: now.coverage.first_id,
            missing: now.coverage.missing_trades,
        }
    }

    pub(super) fn missing(&self) -> u64 {
        self.missing
    }

    pub(super) fn delta(&self, now: &LaneTotals<'_>) -> QtyDelta {
        apart(now.reading.cvd, self.cvd)
    }

    pub(super) fn volume(&self, now: &LaneTotals<'_>) -> QtyDelta {
        apart(now.volume, self.volume)
    }

    /// In steps of 1e-16 of the quote unit.
    pub(super) fn quote_delta(&self, now: &LaneTotals<'_>) -> Option<i128> {
        now.worth?.delta.checked_sub(self.worth?.0)
    }

    /// In steps of 1e-16 of the quote unit.
    pub(super) fn quote_volume(&self, now: &LaneTotals<'_>) -> Option<i128> {
        now.worth?.volume.checked_sub(self.worth?.1)
    }
}

/// Both are sums of trades that somebody has seen, far within the range.
fn apart(now: QtyDelta, then: QtyDelta) -> QtyDelta {
    QtyDelta::from_units(now.units().saturating_sub(then.units()))
}
