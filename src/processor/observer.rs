//! Once a second: what the run looks like, for those who look at it from outside. Nothing here moves a number.

use std::collections::BTreeMap;

use super::Processor;
use super::link_state::LinkState;
use super::run_state::RunState;
use crate::clock::ClockOffset;
use crate::feed::ShardId;
use crate::overview::{LaneOverview, LargeTrade, Latencies, LinkOverview, Overview, Poster, QueueOverview};
use crate::pipeline::Pipeline;
use crate::report::Timings;
use crate::snapshot::{LaneTotals, Market, Snapshot, Stamp};
use crate::trade::AggTrade;
use crate::units::AggTradeId;

/// What is remembered from one look to the next.
#[derive(Debug)]
pub(super) struct Observer {
    poster: Poster,
    /// Of each lane, the trade of the greatest worth since the last look.
    largest: Vec<Option<AggTrade>>,
    /// Of each lane that waits: the first id that it waits for, and since when.
    waiting: BTreeMap<usize, (AggTradeId, u64)>,
    /// Lanes of which nothing arrives although they trade, and the last id that had arrived.
    undelivered: BTreeMap<usize, Option<AggTradeId>>,
    latencies: Latencies,
    /// What of `latencies` has been taken from the present interval.
    taken: Latencies,
}

impl Observer {
    pub(super) fn new(poster: Poster) -> Self {
        Self {
            poster,
            largest: Vec::new(),
            waiting: BTreeMap::new(),
            undelivered: BTreeMap::new(),
            latencies: Latencies::default(),
            taken: Latencies::default(),
        }
    }

    /// A trade is applied.
    #[inline]
    pub(super) fn heed(&mut self, snapshot: &Snapshot<'_>) {
        if self.poster.wants_largest() {
            self.compare(snapshot);
        }
    }

    #[inline]
    fn compare(&mut self, snapshot: &Snapshot<'_>) {
        if self.largest.len() <= snapshot.lane {
            self.largest.resize(snapshot.lane + 1, None);
        }
        let largest = &mut self.largest[snapshot.lane];
        let worth = |trade: &AggTrade| worth(snapshot.market, trade, 1);
        if largest.as_ref().is_none_or(|largest| worth(largest) < worth(snapshot.trade)) {
            *largest = Some(*snapshot.trade);
        }
    }

    /// A lane's trades do not arrive although there are some.
    pub(super) fn not_delivered(&mut self, lane: usize, ours: Option<AggTradeId>) {
        self.undelivered.insert(lane, ours);
    }

    /// Takes what the interval has come to; to be called before it is counted anew.
    pub(super) fn take(&mut self, interval: &Timings) {
        let now = interval.buckets();
        self.latencies.grow(&self.taken, &now);
        self.taken = now;
    }

    /// The interval has been counted anew, and holds nothing that was not taken.
    pub(super) fn go_on(&mut self, interval: &Timings) {
        self.taken = interval.buckets();
    }

    fn lanes(&mut self, pipeline: &Pipeline, now: Stamp) -> Vec<LaneOverview> {
        let mut waiting = BTreeMap::new();
        let mut lanes = Vec::new();
        for (totals, summary, missing_trades) in pipeline.looks() {
            let LaneTotals { lane, instrument, contract_size, worth: told, .. } = totals;
            let since = summary.open.map(|open| match self.waiting.get(&lane) {
                Some((from, since)) if *from == open.from => (open.from, *since),
                _ => (open.from, now.mono_ns),
            });
            waiting.extend(since.map(|since| (lane, since)));
            let last_id = summary.coverage.last_id;
            if self.undelivered.get(&lane).is_some_and(|ours| *ours != last_id) {
                self.undelivered.remove(&lane);
            }
            let largest = self.largest.get_mut(lane).and_then(Option::take).map(|trade| LargeTrade {
                trade,
                notional: worth(instrument.market, &trade, contract_size.unwrap_or(1)),
            });
            lanes.push(LaneOverview {
                missing_trades,
                last_price: told.and_then(|worth| worth.last_price),
                repairing_s: since.map(|(_, since)| seconds(now, since)),
                largest,
                is_undelivered: self.undelivered.contains_key(&lane),
                summary,
            });
        }
        self.waiting = waiting;
        lanes
    }
}

/// In 1e-16 of the quote asset. Contracts are worth their size whatever the price.
fn worth(market: Market, trade: &AggTrade, contract_size: u32) -> i128 {
    let qty = i128::from(trade.qty.units());
    match market {
        Market::CoinM => qty * i128::from(contract_size) * 100_000_000,
        Market::UsdM | Market::Spot => qty * i128::from(trade.price.units()),
    }
}

fn seconds(now: Stamp, since: u64) -> f64 {
    now.mono_ns.saturating_sub(since) as f64 / 1e9
}

impl Processor<'_> {
    /// Posts what the run looks like, if anybody may look.
    pub(super) fn post(&self, state: &mut RunState, is_last: bool) {
        let (Some(live), Some(mut observer)) = (&self.live, state.observer.take()) else { return };
        let now = live.clock.now();
        observer.take(&state.interval);
        let lanes = observer.lanes(&self.pipeline, now);
        observer.poster.post(Overview {
            at: now,
            lanes,
            links: self.links(state, now),
            metrics: self.metrics(),
            queue: QueueOverview { stats: live.queue.stats(), capacity: live.queue.capacity() as u64 },
            latencies: observer.latencies,
            clock: state.clock_offset(),
            ended_symbols: self.pipeline.ended(),
            told: self.reporter.told(),
            is_last,
        });
        state.observer = Some(observer);
    }

    fn links(&self, state: &RunState, now: Stamp) -> Vec<LinkOverview> {
        let (pipeline, sessions) = (&self.pipeline, self.pipeline.live_sessions());
        let Some(watches) = &state.watches else { return Vec::new() };
        let of_shard = |shard| {
            let LinkState { status, since, cause, .. } = watches.link(shard)?;
            let newest = sessions.iter().rev().find(|session| session.line.shard() == shard);
            Some(LinkOverview {
                shard,
                market: pipeline.market_of(shard),
                symbols: pipeline.coverages_of(shard).count(),
                status: *status,
                seconds: seconds(now, *since),
                cause: cause.clone(),
                connected_s: newest.map(|session| seconds(now, session.opened_at.mono_ns)),
                reconnects: self.events.reconnects(shard),
                last_frame_s: watches.last_frame(shard).map(|at| seconds(now, at)),
            })
        };
        (0..).map(ShardId).take(pipeline.shards()).filter_map(of_shard).collect()
    }

    /// The clocks are known to differ by so much.
    pub(super) fn learn_clock(state: &mut RunState, offset: ClockOffset) {
        if let Some(observer) = &mut state.observer {
            observer.take(&state.interval);
        }
        state.interval.clocks_differ(offset);
        if let Some(observer) = &mut state.observer {
            observer.go_on(&state.interval);
        }
    }

    /// The interval is over; the next one begins.
    pub(super) fn next_interval(state: &mut RunState) {
        if let Some(observer) = &mut state.observer {
            observer.take(&state.interval);
        }
        state.whole_run.absorb(&mut state.interval);
        if let Some(observer) = &mut state.observer {
            observer.go_on(&state.interval);
        }
    }
}
