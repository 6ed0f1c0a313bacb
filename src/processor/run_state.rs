//! What a run remembers between bursts: the state of the connection as it is told, and the statistics.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::LiveParts;
use super::lag::LagWatch;
use super::link_state::{Change, LinkSettings, LinkState, Surroundings};
use crate::clock::{Clock, ClockOffset, OffsetEstimator, StepWatch};
use crate::feed::SessionId;
use crate::report::{LinkStatus, Reporter, StateRecord, Timings};
use crate::snapshot::Coverage;

/// What a run remembers between bursts.
#[derive(Debug)]
pub(super) struct RunState {
    pub(super) tick: tokio::time::Interval,
    pub(super) clock: Option<Clock>,
    pub(super) link: LinkState,
    /// What others know about the connection, as of the last tick.
    pub(super) around: Surroundings,
    pub(super) remind_at: Instant,
    pub(super) reminder: Duration,
    pub(super) offset: OffsetEstimator,
    pub(super) steps: StepWatch,
    /// The output held up ticks since the last one.
    pub(super) held_up: bool,
    /// What is being digested is what has just come over the connection.
    pub(super) from_stream: bool,
    pub(super) last_stat: Instant,
    pub(super) interval: Timings,
    pub(super) whole_run: Timings,
    /// What the numbers covered when that was last looked at.
    pub(super) coverage: Coverage,
    /// There is one lane only, so that its coverage is everything's.
    pub(super) is_alone: bool,
    /// Whether a connection falls behind.
    pub(super) lag: LagWatch,
    /// Connections whose end the exchange has announced.
    pub(super) announced: Vec<SessionId>,
    /// Bursts whose records are not handed to the output yet.
    pub(super) unflushed: u32,
}

const TICK: Duration = Duration::from_secs(1);
const FIRST_REMINDER: Duration = Duration::from_secs(3);
const LAST_REMINDER: Duration = Duration::from_secs(60);

impl RunState {
    /// Before the first burst. `symbols`: how many are followed.
    pub(super) fn new(live: Option<&LiveParts>, symbols: usize) -> Self {
        let now = Instant::now();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let settings = live.map_or_else(LinkSettings::default, |live| LinkSettings {
            awaits_ack: live.awaits_ack,
            route: live.route.clone(),
            symbols,
            heartbeat_timeout: live.heartbeat_timeout,
        });
        Self {
            tick,
            clock: live.map(|live| live.clock),
            link: LinkState::new(settings, now),
            around: Surroundings::default(),
            remind_at: now + FIRST_REMINDER,
            reminder: FIRST_REMINDER,
            offset: OffsetEstimator::default(),
            steps: StepWatch::new(TICK),
            held_up: false,
            from_stream: false,
            last_stat: now,
            interval: Timings::default(),
            whole_run: Timings::default(),
            coverage: Coverage::default(),
            is_alone: symbols == 1,
            lag: LagWatch::new(live.map_or(Duration::ZERO, |live| live.max_lag)),
            announced: Vec::new(),
            unflushed: 0,
        }
    }

    /// Whether trades are known to arrive, so that another one changes nothing. In a replay nobody asks.
    #[inline]
    pub(super) fn is_streaming(&self) -> bool {
        self.link.status == LinkStatus::Streaming || self.clock.is_none()
    }

    /// How far our clock is from the exchange's, as far as it is known.
    pub(super) fn clock_offset(&self) -> Option<ClockOffset> {
        self.offset.estimate(self.clock?.now())
    }

    /// Tells the state if it has changed.
    pub(super) fn look(&mut self, reporter: &mut Reporter) {
        let now = Instant::now();
        match self.link.look(&self.around, now) {
            Change::Nothing => {}
            Change::Cause => self.tell(reporter),
            Change::State => {
                self.reminder = FIRST_REMINDER;
                self.remind_at = now + FIRST_REMINDER;
                self.tell(reporter);
            }
        }
    }

    /// Tells a state that lasts: after 3 s, then ever more rarely, down to once a minute.
    pub(super) fn remind(&mut self, reporter: &mut Reporter) {
        if self.link.status == LinkStatus::Streaming || Instant::now() < self.remind_at {
            return;
        }
        self.reminder = (self.reminder * 2).min(LAST_REMINDER);
        self.remind_at += self.reminder;
        self.tell(reporter);
    }

    /// Records the state, if there is a connection that could have one.
    pub(super) fn tell(&self, reporter: &mut Reporter) {
        let Some(clock) = self.clock else { return };
        let at_ms = Some(clock.now().wall_ms());
        reporter.state(&StateRecord {
            status: self.link.status,
            seconds: self.link.since.elapsed().as_secs_f64(),
            cause: self.link.cause.as_ref(),
            at_ms,
            coverage: self.coverage,
        });
    }
}
