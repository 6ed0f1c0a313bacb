//! What records are made of: the settings of a reporter, states of connections, statistics.

use serde::{Deserialize, Serialize};

use super::{LineRecord, Timings};
use crate::clock::ClockOffset;
use crate::feed::ShardId;
use crate::metrics::MonitoringMetrics;
use crate::progress::ReplayStatistics;
use crate::silence::Cause;
use crate::snapshot::{Coverage, Market};

/// How records look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RecordFormat {
    /// Log lines for people.
    #[default]
    Text,
    /// One JSON object per line; see `docs/output.md`.
    Json,
}

/// The settings of a reporter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportSettings {
    /// How records look.
    pub format: RecordFormat,
    /// A CVD record for every so many trades of a lane; 0 for none.
    pub print_every: u64,
    /// Somebody asked for these, so that they come as text too where symbols are [many](super::FEW).
    pub prints_many: bool,
    /// Somebody asked for the table of movers, so that it comes of few symbols too, and as JSON.
    pub is_table_asked: bool,
    /// Colours in text records.
    pub color: bool,
}

/// Every lane shows its first trades one by one.
pub const FIRST_TRADES: u64 = 5;

/// The state of the connection, as records show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkStatus {
    /// No connection, none since the start.
    Connecting,
    /// Connected, the subscription is not acknowledged yet.
    Connected,
    /// Connected and subscribed, no trade since.
    Subscribed,
    /// Trades arrive: the last one came within the time that is normal for this stream.
    Streaming,
    /// None came for longer than that, and REST confirms that nobody trades, or cannot be asked, or has not answered
    /// yet.
    Quiet,
    /// The market trades, or must be taken to, and nothing of it arrives.
    Stale,
    /// The connection is lost; the next attempt is waiting.
    Disconnected,
}

impl LinkStatus {
    /// The name in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Subscribed => "subscribed",
            Self::Streaming => "streaming",
            Self::Quiet => "quiet",
            Self::Stale => "stale",
            Self::Disconnected => "disconnected",
        }
    }
}

/// A change of state, or a reminder of one that lasts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StateRecord<'a> {
    /// The state.
    pub status: LinkStatus,
    /// How long it has lasted, in seconds.
    pub seconds: f64,
    /// Why it is so, where there is something to say.
    pub cause: Option<&'a Cause>,
    /// Wall clock, milliseconds since 1970.
    pub at_ms: Option<i64>,
    /// Which ids the numbers cover; see [`covered`].
    pub coverage: Coverage,
    /// Which share of the symbols it is about; `None` where there is one only.
    pub shard: Option<ShardScope>,
}

/// A share of the symbols that connections of its own carry, where there are several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardScope {
    /// Which; people count from 1.
    pub shard: ShardId,
    /// Its market.
    pub market: Market,
    /// How many symbols it carries.
    pub symbols: usize,
}

/// What several lanes cover together: one lane's coverage as it is; of more than one the worst quality, the sum of what
/// is missing, the highest epoch, and no ids.
pub fn covered<'a>(mut lanes: impl Iterator<Item = &'a Coverage>) -> Coverage {
    let first = lanes.next().copied().unwrap_or_default();
    lanes.fold(first, |all, lane| Coverage {
        epoch: all.epoch.max(lane.epoch),
        first_id: None,
        last_id: None,
        // In the order of the names: complete, repairing, missing.
        quality: all.quality.max(lane.quality),
        missing_trades: all.missing_trades + lane.missing_trades,
    })
}

/// A periodic or final record of MonitoringMetrics.
#[derive(Debug, Clone, Copy)]
pub struct StatRecord<'a> {
    /// The counters.
    pub metrics: &'a MonitoringMetrics,
    /// Processing times and latencies.
    pub timings: &'a Timings,
    /// How far our clock is from the exchange's, where that is known.
    pub clock: Option<ClockOffset>,
    /// Wall clock, milliseconds since 1970; `None` in a replay.
    pub at_ms: Option<i64>,
    /// Which ids the numbers cover; see [`covered`].
    pub coverage: Coverage,
    /// The lines of a redundant feed; empty where there is one only.
    pub lines: &'a [LineRecord],
    /// What became of the files of a replay.
    pub files: Option<ReplayStatistics>,
    /// Symbols that ended before the run did, each with a record of its own.
    pub ended_symbols: u64,
}
