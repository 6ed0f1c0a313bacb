//! What a run remembers between bursts: the state of the connection as it is told, and the statistics.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::LiveParts;
use crate::clock::Clock;
use crate::report::{LinkStatus, Reporter, StateRecord, Timings};
use crate::snapshot::Coverage;

/// What a run remembers between bursts.
#[derive(Debug)]
pub(super) struct RunState {
    pub(super) tick: tokio::time::Interval,
    pub(super) clock: Option<Clock>,
    pub(super) status: LinkStatus,
    pub(super) since: Instant,
    pub(super) remind_at: Instant,
    pub(super) reminder: Duration,
    pub(super) awaits_ack: bool,
    pub(super) last_stat: Instant,
    pub(super) last_trade: Instant,
    pub(super) interval: Timings,
    pub(super) whole_run: Timings,
    /// What the numbers covered when that was last looked at.
    pub(super) coverage: Coverage,
    /// There is one lane only, so that its coverage is everything's.
    pub(super) is_alone: bool,
    /// Bursts whose records are not handed to the output yet.
    pub(super) unflushed: u32,
}

const FIRST_REMINDER: Duration = Duration::from_secs(3);
/// No trade for so long, after there were some, is a state of its own.
const QUIET_AFTER: Duration = Duration::from_secs(10);
const LAST_REMINDER: Duration = Duration::from_secs(60);

impl RunState {
    /// Before the first burst.
    pub(super) fn new(live: Option<&LiveParts>, is_alone: bool) -> Self {
        let now = Instant::now();
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            tick,
            clock: live.map(|live| live.clock),
            status: LinkStatus::Connecting,
            since: now,
            remind_at: now + FIRST_REMINDER,
            reminder: FIRST_REMINDER,
            awaits_ack: live.is_some_and(|live| live.awaits_ack),
            last_stat: now,
            last_trade: now,
            interval: Timings::default(),
            whole_run: Timings::default(),
            coverage: Coverage::default(),
            is_alone,
            unflushed: 0,
        }
    }

    /// A new state begins.
    pub(super) fn enter(&mut self, status: LinkStatus, reporter: &mut Reporter) {
        let now = Instant::now();
        self.status = status;
        self.since = now;
        self.reminder = FIRST_REMINDER;
        self.remind_at = now + FIRST_REMINDER;
        self.tell(reporter);
    }

    /// Trades came, but none for a while.
    pub(super) fn notice_silence(&mut self, reporter: &mut Reporter) {
        if self.last_trade.elapsed() < QUIET_AFTER {
            return;
        }
        let last_trade = self.last_trade;
        self.status = LinkStatus::Quiet;
        self.since = last_trade;
        self.reminder = QUIET_AFTER;
        self.remind_at = Instant::now() + QUIET_AFTER;
        self.tell(reporter);
    }

    /// Records the state, if there is a connection that could have one.
    pub(super) fn tell(&self, reporter: &mut Reporter) {
        let Some(clock) = self.clock else { return };
        let at_ms = Some(clock.now().wall_ms());
        let seconds = self.since.elapsed().as_secs_f64();
        reporter.state(&StateRecord { status: self.status, seconds, at_ms, coverage: self.coverage });
    }

    /// Reminders come after 3 s, then ever more rarely, down to one a minute.
    pub(super) fn remind_later(&mut self) {
        self.reminder = (self.reminder * 2).min(LAST_REMINDER);
        self.remind_at += self.reminder;
    }
}
