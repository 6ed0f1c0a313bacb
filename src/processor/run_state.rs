//! What a run remembers between bursts: the connection as it is told, and the statistics.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::lag::LagWatch;
use super::link_state::LinkSettings;
use super::observer::Observer;
use super::shards::ShardsTold;
use super::told::Counted;
use super::watch::News;
use super::watches::Watches;
use super::{LiveParts, ShardLink};
use crate::bars::BarBuilder;
use crate::clock::{Clock, ClockOffset, OffsetEstimator, StepWatch};
use crate::feed::{SessionId, ShardId};
use crate::pipeline::Pipeline;
use crate::report::Timings;
use crate::snapshot::Instrument;

/// What a run remembers between bursts.
#[derive(Debug)]
pub(super) struct RunState {
    pub(super) tick: tokio::time::Interval,
    pub(super) clock: Option<Clock>,
    /// The connections as they are told; `None` where there are none.
    pub(super) watches: Option<Watches>,
    /// What the last input let know besides.
    pub(super) news: Vec<News>,
    pub(super) offset: OffsetEstimator,
    pub(super) steps: StepWatch,
    /// The output held up ticks since the last one.
    pub(super) held_up: bool,
    pub(super) last_stat: Instant,
    pub(super) interval: Timings,
    pub(super) whole_run: Timings,
    /// What the shards had come to when they were told last.
    pub(super) shards_told: ShardsTold,
    /// Whether a connection falls behind.
    pub(super) lag: LagWatch,
    /// Lanes that were opened by the last input.
    pub(super) opened: Vec<(usize, Instrument)>,
    /// Connections whose end the exchange has announced.
    pub(super) announced: Vec<SessionId>,
    /// Connections that brought a frame of the present burst that could not be read.
    pub(super) unreadable: Vec<SessionId>,
    /// The bars that whoever replays asks for, once a recording has begun with its own.
    pub(super) asked_bars: Option<Vec<BarBuilder>>,
    /// Whether what is replayed lies before what is wanted.
    pub(super) is_silent: bool,
    /// The recorded run that is replayed.
    pub(super) run: Option<String>,
    /// Trades that were applied here and count.
    pub(super) counted: Counted,
    /// Something may wait to be handed to the output.
    pub(super) is_unflushed: bool,
    /// How far apart records are handed to the output, at least.
    records_apart: Duration,
    /// When the output was last handed what there was.
    pub(super) flushed: Instant,
    /// When the last burst had been digested.
    pub(super) digested: Instant,
    /// What those see who look from outside; `None` where nobody does.
    pub(super) observer: Option<Observer>,
}

const TICK: Duration = Duration::from_secs(1);

impl RunState {
    /// Before the first burst.
    pub(super) fn new(live: Option<&LiveParts>, pipeline: &Pipeline) -> Self {
        let now = Instant::now();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let watches =
            live.map(|live| Watches::new(live.link_settings(pipeline), live.clock.now()).placed(pipeline));
        Self {
            tick,
            clock: live.map(|live| live.clock),
            watches,
            news: Vec::new(),
            offset: OffsetEstimator::default(),
            steps: StepWatch::new(TICK),
            held_up: false,
            last_stat: now,
            shards_told: ShardsTold::at(now),
            interval: Timings::default(),
            whole_run: Timings::default(),
            lag: LagWatch::new(live.map_or(Duration::ZERO, |live| live.max_lag)),
            opened: Vec::new(),
            announced: Vec::new(),
            unreadable: Vec::new(),
            asked_bars: None,
            is_silent: false,
            run: None,
            counted: Counted::default(),
            is_unflushed: false,
            records_apart: live.map_or(Duration::ZERO, |live| live.records_apart),
            flushed: now,
            digested: now,
            observer: None,
        }
    }

    /// When what waits may be handed to the output.
    pub(super) fn flush_due(&self) -> Instant {
        self.flushed + self.records_apart
    }

    /// How far our clock is from the exchange's, as far as it is known.
    pub(super) fn clock_offset(&self) -> Option<ClockOffset> {
        self.offset.estimate(self.clock?.now())
    }
}

impl LiveParts {
    /// What the states of the connections depend on, shard by shard.
    fn link_settings(&self, pipeline: &Pipeline) -> Vec<LinkSettings> {
        let links = (0..).map(ShardId).zip(&self.links);
        let settings = |(shard, link): (ShardId, &ShardLink)| LinkSettings {
            awaits_ack: link.awaits_ack,
            route: link.route.clone(),
            symbols: pipeline.coverages_of(shard).count(),
            heartbeat_timeout: self.heartbeat_timeout,
        };
        links.map(settings).collect()
    }
}
