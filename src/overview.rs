//! What a live run looks like at a moment, once a second, for whoever looks at it from outside: metrics, health, the
//! API, alerts, the service manager. A value: whoever has it needs nothing else, and takes no time of the run's.

mod health;
mod latencies;
mod link;
mod posted;

use crate::clock::ClockOffset;
use crate::metrics::MonitoringMetrics;
use crate::queue::QueueStats;
use crate::snapshot::{Instrument, LaneSummary, Quality, Stamp};
use crate::trade::AggTrade;
use crate::units::Price;

pub use health::{DEAD_AFTER_S, Health, REASONS, REPAIRING_TOO_LONG_S, Reason, STUCK_AFTER_S, Verdict};
pub use latencies::{BOUNDS_US, Latencies, LatencyBuckets};
pub use link::{LinkOverview, ReconnectReason, Reconnects};
pub use posted::{Posted, Poster, posted};

/// A live run at a moment.
#[derive(Debug, Clone, Default)]
pub struct Overview {
    /// When it was looked at.
    pub at: Stamp,
    /// Every symbol that is followed, in order of first sight.
    pub lanes: Vec<LaneOverview>,
    /// The connections, shard by shard.
    pub links: Vec<LinkOverview>,
    /// All counters of the run.
    pub metrics: MonitoringMetrics,
    /// The queue between socket and calculation.
    pub queue: QueueOverview,
    /// Where the time from a trade to its record goes, over the whole run.
    pub latencies: Latencies,
    /// How far our clock is from the exchange's, where that is known.
    pub clock: Option<ClockOffset>,
    /// Symbols that ended before the run did.
    pub ended_symbols: u64,
    /// The number of the last record that was [told](crate::report::Broadcast) before.
    pub told: u64,
    /// The run is ending: nothing later will come.
    pub is_last: bool,
}

/// A symbol at a moment.
#[derive(Debug, Clone)]
pub struct LaneOverview {
    /// What it adds up to, and which ids that covers.
    pub summary: LaneSummary,
    /// Trades that were given up, all epochs together.
    pub missing_trades: u64,
    /// The price of its last trade, where that is known.
    pub last_price: Option<Price>,
    /// How long its oldest hole has been waited for, in seconds; `None` while none is open.
    pub repairing_s: Option<f64>,
    /// The trade of the greatest worth since the moment before, where somebody asks for it.
    pub largest: Option<LargeTrade>,
    /// The market trades on, but nothing of it arrives, while other symbols of its connection do.
    pub is_undelivered: bool,
}

/// A trade and what it is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LargeTrade {
    /// The trade.
    pub trade: AggTrade,
    /// What it is worth in 1e-16 of the quote asset: price × quantity, on COIN-M contracts × contract size.
    pub notional: i128,
}

/// The queue at a moment, in frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueOverview {
    /// What went through.
    pub stats: QueueStats,
    /// How many may wait.
    pub capacity: u64,
}

impl LaneOverview {
    /// What it is of.
    pub fn instrument(&self) -> Instrument {
        Instrument::new(self.summary.market, self.summary.symbol.clone())
    }

    /// Which share of its ids has come, 0 to 1: 1 is whole. Of no ids it is 1.
    pub fn completeness(&self) -> f64 {
        let (seen, missing) = (self.summary.ids_seen, self.summary.coverage.missing_trades);
        match seen.saturating_add(missing) {
            0 => 1.0,
            all => seen as f64 / all as f64,
        }
    }
}

impl Overview {
    /// How many symbols are complete, repairing and missing.
    pub fn qualities(&self) -> [(Quality, u64); 3] {
        let count = |quality| {
            let of = self.lanes.iter().filter(|lane| lane.summary.coverage.quality == quality);
            (quality, of.count() as u64)
        };
        [Quality::Complete, Quality::Repairing, Quality::Missing].map(count)
    }

    /// How long the symbol has waited that waits longest for a hole to be filled, in seconds.
    pub fn longest_repair_s(&self) -> Option<f64> {
        self.lanes.iter().filter_map(|lane| lane.repairing_s).reduce(f64::max)
    }
}
