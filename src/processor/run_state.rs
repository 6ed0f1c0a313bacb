//! What a run remembers between bursts: the connection as it is told, and the statistics.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::LiveParts;
use super::lag::LagWatch;
use super::link_state::LinkSettings;
use super::told::Counted;
use super::watch::{News, Watch};
use crate::bars::BarBuilder;
use crate::clock::{Clock, ClockOffset, OffsetEstimator, StepWatch};
use crate::feed::SessionId;
use crate::report::Timings;

/// What a run remembers between bursts.
#[derive(Debug)]
pub(super) struct RunState {
    pub(super) tick: tokio::time::Interval,
    pub(super) clock: Option<Clock>,
    /// The connection as it is told; `None` where there is none.
    pub(super) watch: Option<Watch>,
    /// What the last input let know besides.
    pub(super) news: Vec<News>,
    pub(super) offset: OffsetEstimator,
    pub(super) steps: StepWatch,
    /// The output held up ticks since the last one.
    pub(super) held_up: bool,
    pub(super) last_stat: Instant,
    pub(super) interval: Timings,
    pub(super) whole_run: Timings,
    /// Whether a connection falls behind.
    pub(super) lag: LagWatch,
    /// Connections whose end the exchange has announced.
    pub(super) announced: Vec<SessionId>,
    /// The bars that whoever replays asks for, once a recording has begun with its own.
    pub(super) asked_bars: Option<Vec<BarBuilder>>,
    /// Whether what is replayed lies before what is wanted.
    pub(super) is_silent: bool,
    /// The recorded run that is replayed.
    pub(super) run: Option<String>,
    /// Trades that were applied here and count.
    pub(super) counted: Counted,
    /// Bursts whose records are not handed to the output yet.
    pub(super) unflushed: u32,
}

const TICK: Duration = Duration::from_secs(1);

impl RunState {
    /// Before the first burst. `symbols`: how many are followed.
    pub(super) fn new(live: Option<&LiveParts>, symbols: usize) -> Self {
        let now = Instant::now();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let watch = live.map(|live| Watch::new(live.link_settings(symbols), live.clock.now()));
        Self {
            tick,
            clock: live.map(|live| live.clock),
            watch,
            news: Vec::new(),
            offset: OffsetEstimator::default(),
            steps: StepWatch::new(TICK),
            held_up: false,
            last_stat: now,
            interval: Timings::default(),
            whole_run: Timings::default(),
            lag: LagWatch::new(live.map_or(Duration::ZERO, |live| live.max_lag)),
            announced: Vec::new(),
            asked_bars: None,
            is_silent: false,
            run: None,
            counted: Counted::default(),
            unflushed: 0,
        }
    }

    /// How far our clock is from the exchange's, as far as it is known.
    pub(super) fn clock_offset(&self) -> Option<ClockOffset> {
        self.offset.estimate(self.clock?.now())
    }
}

impl LiveParts {
    /// What the state of the connection depends on. `symbols`: how many are followed.
    pub(super) fn link_settings(&self, symbols: usize) -> LinkSettings {
        LinkSettings {
            awaits_ack: self.awaits_ack,
            route: self.route.clone(),
            symbols,
            heartbeat_timeout: self.heartbeat_timeout,
        }
    }
}
