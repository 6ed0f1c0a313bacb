//! How each shard does, for whoever looks for the reason of something.

use tokio::time::Instant;

use super::Processor;
use super::run_state::RunState;
use crate::feed::ShardId;
use crate::report::events::ShardLine;

/// What the shards had come to when they were told last.
#[derive(Debug)]
pub(super) struct ShardsTold {
    at: Instant,
    /// Trades of each.
    trades: Vec<u64>,
}

impl ShardsTold {
    /// Not yet.
    pub(super) fn at(now: Instant) -> Self {
        Self { at: now, trades: Vec::new() }
    }
}

impl Processor<'_> {
    /// Tells how each of several shards does, if anybody wants to know.
    pub(super) fn tell_shards(&self, state: &mut RunState) {
        let (pipeline, Some(live)) = (&self.pipeline, &self.live) else { return };
        if pipeline.shards() < 2 || !self.events.tells_shards() {
            return;
        }
        let (now, sessions, clock) = (live.clock.now(), pipeline.live_sessions(), state.clock_offset());
        let offset_ms = clock.map_or(0.0, |clock| clock.offset_ms);
        let seconds = state.shards_told.at.elapsed().as_secs_f64().max(1e-3);
        let before = std::mem::take(&mut state.shards_told.trades);
        state.shards_told.at = Instant::now();
        for shard in (0..).map(ShardId).take(pipeline.shards()) {
            let trades = pipeline.arrived(shard);
            let since = trades.saturating_sub(before.get(usize::from(shard.0)).copied().unwrap_or(0));
            let newest = sessions.iter().rev().find(|session| session.line.shard() == shard);
            let latest = sessions
                .iter()
                .filter(|session| session.line.shard() == shard)
                .filter_map(|session| session.received.zip(session.event_at))
                .max_by_key(|(received, _)| received.mono_ns);
            let lag = latest.map(|(received, event_at)| received.wall_ms().saturating_sub(event_at.0) as f64);
            self.events.shard(&ShardLine {
                shard,
                market: pipeline.market_of(shard),
                symbols: pipeline.coverages_of(shard).count(),
                connected_s: newest
                    .map(|session| now.mono_ns.saturating_sub(session.opened_at.mono_ns) as f64 / 1e9),
                trades,
                rate: since as f64 / seconds,
                lag_ms: lag.map(|lag| lag + offset_ms),
            });
            state.shards_told.trades.push(trades);
        }
    }
}
