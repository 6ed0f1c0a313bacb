//! How the lines of a redundant feed do: which of them is first, and by how much.

use crate::feed::{LineId, Place, ShardId};
use crate::pipeline::{LiveSession, Race};
use crate::snapshot::Stamp;

/// A line, at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LineRecord {
    /// Which.
    pub place: Place,
    /// The age of its connection in seconds; `None` while it has none.
    pub connected_s: Option<f64>,
    /// Trades it brought before any other line did, while several were up.
    pub first: u64,
    /// By how much it was first, in milliseconds: the median and the 99th percentile of those that another line brought
    /// too, and the largest.
    pub lead_ms: Option<[f64; 3]>,
}

impl LineRecord {
    /// All of so many lines of a shard, which is `among` several or not.
    pub fn all(
        shard: ShardId,
        among: bool,
        lines: u8,
        races: &[Race],
        live: &[LiveSession],
        now: Stamp,
    ) -> Vec<Self> {
        let record = |line: u8| {
            let race = races.get(usize::from(line))?;
            let newest = live.iter().rev().find(|live| live.line == LineId::of(shard, line));
            let age = |live: &LiveSession| now.mono_ns.saturating_sub(live.opened_at.mono_ns) as f64 / 1e9;
            let lead = |q| race.lead_us.quantile(q).map(|us| us / 1e3);
            Some(Self {
                place: Place { shard: among.then_some(shard), copy: Some(line) },
                connected_s: newest.map(age),
                first: race.first,
                lead_ms: lead(0.5).zip(lead(0.99)).zip(lead(1.0)).map(|((p50, p99), max)| [p50, p99, max]),
            })
        };
        (0..lines).filter_map(record).collect()
    }
}
