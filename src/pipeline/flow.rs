//! What a lane's trades add up to besides its numbers.

use serde::{Deserialize, Serialize};

use crate::snapshot::Flow;
use crate::trade::AggTrade;
use crate::units::{QtyDelta, UnixMillis};

/// Adds up in as few operations as possible: it is done for every trade.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct FlowSum {
    /// By aggressor: buyer, seller.
    volume: [i128; 2],
    lowest: QtyDelta,
    highest: QtyDelta,
    begun: UnixMillis,
    ended: UnixMillis,
}

impl FlowSum {
    /// Of no trade yet.
    pub(super) const NONE: Self = Self {
        volume: [0; 2],
        lowest: QtyDelta::from_units(i128::MAX),
        highest: QtyDelta::from_units(i128::MIN),
        begun: UnixMillis(i64::MAX),
        ended: UnixMillis(i64::MIN),
    };

    /// Adds a trade that brought CVD to this value.
    #[inline(always)]
    pub(super) fn add(&mut self, trade: &AggTrade, cvd: QtyDelta) {
        // No sum of so many positive i64 as anybody can count overflows an i128.
        self.volume[trade.aggressor as usize] += i128::from(trade.qty.units());
        self.lowest = self.lowest.min(cvd);
        self.highest = self.highest.max(cvd);
        self.begun = self.begun.min(trade.traded_at);
        self.ended = self.ended.max(trade.traded_at);
    }

    /// Whether trades can have led to it.
    pub(super) fn is_sound(&self) -> bool {
        self.volume.iter().all(|volume| (0..1 << 120).contains(volume))
    }

    pub(super) fn told(&self) -> Flow {
        let any = self.begun <= self.ended;
        let [buy, sell] = self.volume.map(QtyDelta::from_units);
        Flow {
            buy,
            sell,
            cvd: any.then_some((self.lowest, self.highest)),
            span: any.then_some((self.begun, self.ended)),
        }
    }
}
