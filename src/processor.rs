//! The thin async shell around the pipeline: takes bursts from a source, steps the pipeline, reports.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::clock::Clock;
use crate::decode::Control;
use crate::feed::LinkChange;
use crate::metrics::MonitoringMetrics;
use crate::pipeline::{Event, Pipeline};
use crate::queue::QueueGauge;
use crate::report::events::Events;
use crate::report::{LinkStatus, OutputClosed, Reporter, StatRecord, StateRecord, Timings, totals};
use crate::snapshot::{LaneSummary, Snapshot};
use crate::source::{Burst, Source, SourceError};

/// Called with every applied trade, before it is reported.
pub type OnTrade = Box<dyn FnMut(&Snapshot<'_>) + Send>;

/// Everything a processor works with.
pub struct Processor<'a> {
    /// The pure middle.
    pub pipeline: Pipeline,
    /// Where records go.
    pub reporter: Reporter,
    /// Where occurrences go.
    pub events: &'a Events,
    /// The queue's counters in a live run; `None` in a replay, which has neither queue nor clock.
    pub live: Option<LiveParts>,
    /// Ends the run after so many applied trades, all lanes together.
    pub count: Option<u64>,
    /// A listener of the library's user.
    pub on_trade: Option<OnTrade>,
}

/// What only a live run has.
#[derive(Debug)]
pub struct LiveParts {
    /// The queue's counters.
    pub queue: QueueGauge,
    /// The clocks.
    pub clock: Clock,
    /// The time between `[STAT]` records; zero for none.
    pub stats_interval: Duration,
    /// Whether a subscription has to be acknowledged before trades can come.
    pub awaits_ack: bool,
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The source has no more.
    SourceEnded,
    /// `count` trades are applied.
    CountReached,
    /// Nobody reads the output any more.
    ReaderGone,
}

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Every lane's totals.
    pub lanes: Vec<LaneSummary>,
    /// All counters.
    pub metrics: MonitoringMetrics,
    /// Why it ended.
    pub ending: Ending,
}

/// A run that could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessorError {
    /// The source failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The output failed.
    #[error(transparent)]
    Output(OutputClosed),
}

impl Processor<'_> {
    /// Runs until the source ends, the count is reached, or the output is gone; then writes the final record.
    ///
    /// # Errors
    /// [`ProcessorError`] if the source or the output fails. What was computed until then is reported first.
    pub async fn run(&mut self, mut source: impl Source) -> Result<Summary, ProcessorError> {
        let mut state = RunState::new(self.live.as_ref());
        let mut burst = Burst::default();
        let ended = loop {
            match self.next_step(&mut source, &mut burst, &mut state).await {
                Ok(None) => {}
                Ok(Some(ending)) => break Ok(ending),
                Err(ProcessorError::Output(OutputClosed::ReaderGone)) => break Ok(Ending::ReaderGone),
                Err(error) => break Err(error),
            }
        };
        self.events.over();
        let metrics = self.metrics();
        let lanes = self.pipeline.summaries();
        let at_ms = self.now_ms();
        state.whole_run.absorb(&mut state.interval);
        self.reporter.last(&lanes, &StatRecord { metrics: &metrics, timings: &state.whole_run, at_ms });
        let flushed = self.flush().await;
        let ending = ended?;
        match flushed {
            Ok(()) => Ok(Summary { lanes, metrics, ending }),
            Err(OutputClosed::ReaderGone) => Ok(Summary { lanes, metrics, ending: Ending::ReaderGone }),
            Err(failed) => Err(ProcessorError::Output(failed)),
        }
    }

    /// What everything adds up to so far, as text lines: for the log, when the output takes no more.
    pub fn totals(&self) -> Vec<String> {
        let timings = Timings::default();
        let record = StatRecord { metrics: &self.metrics(), timings: &timings, at_ms: None };
        totals(&self.pipeline.summaries(), &record)
    }

    /// Waits for a tick, a burst or a log line, and deals with it.
    async fn next_step(
        &mut self,
        source: &mut impl Source,
        burst: &mut Burst,
        state: &mut RunState,
    ) -> Result<Option<Ending>, ProcessorError> {
        let more = if self.live.is_some() {
            tokio::select! {
                biased;
                _ = state.tick.tick() => {
                    self.tick(state);
                    self.flush().await.map_err(ProcessorError::Output)?;
                    return Ok(None);
                }
                more = source.next(burst) => more?,
                () = nothing_left(), if state.unflushed > 0 => {
                    state.unflushed = 0;
                    self.flush().await.map_err(ProcessorError::Output)?;
                    return Ok(None);
                }
                () = self.reporter.log_line_arrived() => {
                    self.flush().await.map_err(ProcessorError::Output)?;
                    return Ok(None);
                }
            }
        } else {
            source.next(burst).await?
        };
        if !more {
            return Ok(Some(Ending::SourceEnded));
        }
        let ending = self.digest(burst, state).await.map_err(ProcessorError::Output)?;
        state.unflushed += 1;
        if self.live.is_none() || state.unflushed >= BURSTS_PER_FLUSH {
            state.unflushed = 0;
            self.flush().await.map_err(ProcessorError::Output)?;
        }
        Ok(ending)
    }

    /// Hands the records over; says so when their reader takes nothing for long.
    async fn flush(&mut self) -> Result<(), OutputClosed> {
        let begun = Instant::now();
        let mut patience = FIRST_COMPLAINT;
        loop {
            match tokio::time::timeout(patience, self.reporter.flush()).await {
                Ok(flushed) => return flushed,
                Err(_elapsed) => {
                    let dropped = self.live.as_ref().map_or(0, |live| live.queue.stats().dropped);
                    self.events.output_blocked(begun.elapsed(), dropped);
                    patience = NEXT_COMPLAINT;
                }
            }
        }
    }

    async fn digest(
        &mut self,
        burst: &mut Burst,
        state: &mut RunState,
    ) -> Result<Option<Ending>, OutputClosed> {
        let before = self.pipeline.counts().applied;
        let mut begun = Instant::now();
        let mut waited = Duration::ZERO;
        let evicted: u64 = burst.evicted.iter().map(|(_, frames)| frames).sum();
        if evicted > 0 {
            self.events.evicted(evicted);
        }
        let mut ending = None;
        for input in &burst.inputs {
            let Self { pipeline, reporter, events, on_trade, .. } = self;
            pipeline.step(input, &mut |event| react(event, reporter, events, on_trade, state));
            if self.count.is_some_and(|count| self.pipeline.counts().applied >= count) {
                ending = Some(Ending::CountReached);
                break;
            }
            if self.reporter.is_full() {
                let full = Instant::now();
                self.flush().await?;
                waited += full.elapsed();
            }
        }
        if self.live.is_some() {
            begun += waited;
            let trades = self.pipeline.counts().applied - before;
            if trades > 0 {
                state.last_trade = Instant::now();
            }
            state.interval.processing.record(begun.elapsed(), trades);
        }
        Ok(ending)
    }

    /// Once a second: the state if nothing moves, the statistics when they are due.
    fn tick(&mut self, state: &mut RunState) {
        self.events.tick();
        if state.status == LinkStatus::Streaming {
            state.notice_silence(&mut self.reporter);
        } else if Instant::now() >= state.remind_at {
            state.remind_later();
            state.tell(&mut self.reporter);
        }
        let every = self.live.as_ref().map_or(Duration::ZERO, |live| live.stats_interval);
        if !every.is_zero() && state.last_stat.elapsed() >= every {
            // Ticks that a blocked output held up are not made up for.
            let due = state.last_stat.elapsed().as_nanos() / every.as_nanos();
            state.last_stat += every.saturating_mul(u32::try_from(due).unwrap_or(u32::MAX));
            let (metrics, at_ms) = (self.metrics(), self.now_ms());
            self.reporter.stat(&StatRecord { metrics: &metrics, timings: &state.interval, at_ms });
            state.whole_run.absorb(&mut state.interval);
        }
    }

    fn now_ms(&self) -> Option<i64> {
        self.live.as_ref().map(|live| live.clock.now().wall_ms())
    }

    fn metrics(&self) -> MonitoringMetrics {
        let counts = self.pipeline.counts();
        let mut metrics = MonitoringMetrics {
            total_messages: counts.messages,
            parse_errors: counts.malformed,
            applied_trades: counts.applied,
            bad_points: counts.bad_points,
            unrequested_trades: counts.unrequested,
            control_messages: counts.control,
            other_messages: counts.other,
            ..MonitoringMetrics::default()
        };
        if let Some(live) = &self.live {
            let queue = live.queue.stats();
            metrics.queue_dropped = queue.dropped;
            metrics.total_messages = queue.pushed;
        }
        self.events.add_to(&mut metrics);
        metrics
    }
}

/// How long the output may take nothing before that is said, and how long until it is said again.
const FIRST_COMPLAINT: Duration = Duration::from_secs(5);
const NEXT_COMPLAINT: Duration = Duration::from_secs(60);

/// Waking the writing thread costs as much as dozens of trades; while burst follows burst it may sleep so long.
const BURSTS_PER_FLUSH: u32 = 16;

/// Ready when the feed has had its turn and the queue is still empty. Twice, because the feed, which shares
/// our task, may be polled before us in one round and after us in the next.
async fn nothing_left() {
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
}

/// What an event of the pipeline means outside of it.
#[inline]
fn react(
    event: Event<'_>,
    reporter: &mut Reporter,
    events: &Events,
    on_trade: &mut Option<OnTrade>,
    state: &mut RunState,
) {
    match event {
        Event::Trade(snapshot) => {
            if state.status != LinkStatus::Streaming {
                state.enter(LinkStatus::Streaming, reporter);
            }
            if let Some(latency) = snapshot.latency_ms() {
                state.interval.latency_ms(latency);
                if latency < 0.0 {
                    events.negative_latency(latency);
                }
            }
            if let Some(on_trade) = on_trade {
                on_trade(&snapshot);
            }
            if reporter.shows(snapshot.ordinal) {
                reporter.trade(&snapshot);
            }
        }
        Event::BadPoint { symbol, trade, bad } => events.bad_point(symbol, trade.id, bad.reason),
        Event::Malformed { reason, text } => events.parse_error(reason, text),
        Event::Damaged(line) => events.damaged(line),
        Event::Control(Control::Ack { .. }) => {
            if state.status == LinkStatus::Connected {
                state.enter(LinkStatus::Subscribed, reporter);
            }
        }
        Event::Control(Control::Error { code, msg, .. }) => events.control_error(code, &msg),
        Event::Unrequested { symbol } => events.unrequested(symbol),
        Event::Other => {}
        Event::Link(link) => {
            let status = match link.change {
                LinkChange::Opened if state.awaits_ack => LinkStatus::Connected,
                LinkChange::Opened => LinkStatus::Subscribed,
                LinkChange::Closed => LinkStatus::Disconnected,
            };
            state.enter(status, reporter);
        }
    }
}

/// What a run remembers between bursts.
#[derive(Debug)]
struct RunState {
    tick: tokio::time::Interval,
    clock: Option<Clock>,
    status: LinkStatus,
    since: Instant,
    remind_at: Instant,
    reminder: Duration,
    awaits_ack: bool,
    last_stat: Instant,
    last_trade: Instant,
    interval: Timings,
    whole_run: Timings,
    /// Bursts whose records are not handed to the output yet.
    unflushed: u32,
}

const FIRST_REMINDER: Duration = Duration::from_secs(3);
/// No trade for so long, after there were some, is a state of its own.
const QUIET_AFTER: Duration = Duration::from_secs(10);
const LAST_REMINDER: Duration = Duration::from_secs(60);

impl RunState {
    fn new(live: Option<&LiveParts>) -> Self {
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
            unflushed: 0,
        }
    }

    /// A new state begins.
    fn enter(&mut self, status: LinkStatus, reporter: &mut Reporter) {
        let now = Instant::now();
        self.status = status;
        self.since = now;
        self.reminder = FIRST_REMINDER;
        self.remind_at = now + FIRST_REMINDER;
        self.tell(reporter);
    }

    /// Trades came, but none for a while.
    fn notice_silence(&mut self, reporter: &mut Reporter) {
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
    fn tell(&self, reporter: &mut Reporter) {
        let Some(clock) = self.clock else { return };
        let at_ms = Some(clock.now().wall_ms());
        let seconds = self.since.elapsed().as_secs_f64();
        reporter.state(&StateRecord { status: self.status, seconds, at_ms });
    }

    /// Reminders come after 3 s, then ever more rarely, down to one a minute.
    fn remind_later(&mut self) {
        self.reminder = (self.reminder * 2).min(LAST_REMINDER);
        self.remind_at += self.reminder;
    }
}
