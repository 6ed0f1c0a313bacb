//! The thin async shell around the pipeline: takes bursts from a source, steps the pipeline, reports.

mod run_state;

use std::time::Duration;

use run_state::RunState;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::decode::Control;
use crate::feed::LinkChange;
use crate::metrics::MonitoringMetrics;
use crate::pipeline::{Event, Pipeline};
use crate::queue::QueueGauge;
use crate::repair::{Notice, Outcome, Repair, Reply};
use crate::report::events::Events;
use crate::report::{LinkStatus, OutputClosed, Reporter, StatRecord, Timings, covered, totals};
use crate::snapshot::{LaneSummary, Snapshot};
use crate::source::{Burst, Input, Source, SourceError};

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
    /// Fetches what is missing; `None` where nobody can be asked.
    pub repair: Option<Repair>,
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
        let is_alone = self.pipeline.coverages().count() == 1;
        let mut state = RunState::new(self.live.as_ref(), is_alone);
        let mut burst = Burst::default();
        self.pipeline.stop_after(self.count.unwrap_or(u64::MAX));
        let mut ended = loop {
            match self.next_step(&mut source, &mut burst, &mut state).await {
                Ok(None) => {}
                Ok(Some(ending)) => break Ok(ending),
                Err(ProcessorError::Output(OutputClosed::ReaderGone)) => break Ok(Ending::ReaderGone),
                Err(error) => break Err(error),
            }
        };
        if matches!(ended, Ok(Ending::SourceEnded))
            && let Err(closed) = self.finish_repairs(&mut state).await
        {
            ended = match closed {
                OutputClosed::ReaderGone => Ok(Ending::ReaderGone),
                failed => Err(ProcessorError::Output(failed)),
            };
        }
        self.conclude(&mut state);
        self.events.over();
        let metrics = self.metrics();
        let lanes = self.pipeline.summaries();
        let at_ms = self.now_ms();
        state.whole_run.absorb(&mut state.interval);
        let coverage = covered(self.pipeline.coverages());
        let record = StatRecord { metrics: &metrics, timings: &state.whole_run, at_ms, coverage };
        self.reporter.last(&lanes, &record);
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
        let coverage = covered(self.pipeline.coverages());
        let record = StatRecord { metrics: &self.metrics(), timings: &timings, at_ms: None, coverage };
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
                // Before the frames, which at full speed never end.
                outcome = next_outcome(&mut self.repair) => {
                    let ending = self.heed(outcome, state);
                    self.flush().await.map_err(ProcessorError::Output)?;
                    return Ok(ending);
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
        let (before, arrived) = (self.pipeline.counts().applied, self.pipeline.counts().arrived());
        let mut begun = Instant::now();
        let mut waited = Duration::ZERO;
        self.admit_evictions(burst, state);
        let malformed = self.pipeline.counts().malformed;
        let mut ending = None;
        for input in &burst.inputs {
            self.step(input, state);
            if self.has_counted_enough() {
                ending = Some(Ending::CountReached);
                break;
            }
            if self.reporter.is_full() {
                let full = Instant::now();
                self.flush().await?;
                waited += full.elapsed();
            }
        }
        if self.pipeline.counts().malformed > malformed
            && let Some(repair) = &mut self.repair
        {
            repair.disturbed();
        }
        self.pass_on_changes(state);
        if self.live.is_some() {
            begun += waited;
            let trades = self.pipeline.counts().applied - before;
            if self.pipeline.counts().arrived() > arrived {
                state.last_trade = Instant::now();
                if state.status != LinkStatus::Streaming {
                    state.enter(LinkStatus::Streaming, &mut self.reporter);
                }
            }
            state.interval.processing.record(begun.elapsed(), trades);
        }
        Ok(ending)
    }

    /// Once a second: the state if nothing moves, the statistics when they are due.
    fn tick(&mut self, state: &mut RunState) {
        self.events.tick();
        if let Some(repair) = &mut self.repair {
            repair.tick(self.pipeline.all_ids());
        }
        state.coverage = covered(self.pipeline.coverages());
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
            let coverage = state.coverage;
            self.reporter.stat(&StatRecord { metrics: &metrics, timings: &state.interval, at_ms, coverage });
            state.whole_run.absorb(&mut state.interval);
        }
    }

    /// One input, and what it means outside of the pipeline.
    #[inline]
    fn step(&mut self, input: &Input, state: &mut RunState) {
        let Self { pipeline, reporter, events, on_trade, .. } = self;
        if let Input::Link(event) = input {
            state.coverage = covered(pipeline.coverages());
            if let Some(repair) = &mut self.repair {
                repair.link(event, pipeline.all_ids());
            }
        }
        pipeline.step(input, &mut |event| react(event, reporter, events, on_trade, state));
    }

    fn has_counted_enough(&self) -> bool {
        self.count.is_some_and(|count| self.pipeline.counts().applied >= count)
    }

    /// What the queue had to evict: it comes before the frames that are left.
    fn admit_evictions(&mut self, burst: &Burst, state: &mut RunState) {
        for (session, frames) in &burst.evicted {
            self.step(&Input::Evicted { session: *session, frames: *frames }, state);
        }
        let evicted: u64 = burst.evicted.iter().map(|(_, frames)| frames).sum();
        if evicted > 0 {
            self.events.evicted(evicted, self.repair.is_some());
            if let Some(repair) = &mut self.repair {
                repair.disturbed();
            }
        }
    }

    /// Tells the repair what is missing now, and the world what that makes of the numbers.
    fn pass_on_changes(&mut self, state: &mut RunState) {
        if !self.pipeline.has_changed() {
            return;
        }
        for lane in self.pipeline.take_changed() {
            if let Some(repair) = &mut self.repair {
                repair.want(lane, &self.pipeline.ids(lane));
            }
        }
        let coverage = covered(self.pipeline.coverages());
        let has_changed = coverage.quality != state.coverage.quality;
        state.coverage = coverage;
        if has_changed {
            state.tell(&mut self.reporter);
        }
    }

    /// Deals with what came of asking REST.
    fn heed(&mut self, outcome: Outcome, state: &mut RunState) -> Option<Ending> {
        let reply = match outcome {
            Outcome::Reply(reply) => reply,
            Outcome::Notice(notice) => {
                self.tell_of_rest(&notice);
                return None;
            }
            Outcome::Failed(error) => {
                self.events.rest_failed(&error);
                return None;
            }
            Outcome::Broken { symbol, newest, ours, reply } => {
                self.events.feed_broken(&symbol, newest, ours);
                reply
            }
        };
        self.answer(reply, state)
    }

    fn answer(&mut self, reply: Reply, state: &mut RunState) -> Option<Ending> {
        self.step(&Input::Reply(reply), state);
        self.pass_on_changes(state);
        self.has_counted_enough().then_some(Ending::CountReached)
    }

    fn tell_of_rest(&self, notice: &Notice) {
        match notice {
            Notice::Banned { status, wait, .. } => self.events.rest_banned(*status, *wait),
            Notice::Refused { symbol, status, message, remedy, .. } => {
                self.events.rest_refused(symbol.as_ref(), *status, message, remedy);
            }
            Notice::BudgetExhausted { used, ceiling, wait } => {
                self.events.rest_exhausted(*used, *ceiling, *wait);
            }
        }
    }

    /// The source has ended with holes open: a little time to fill them.
    async fn finish_repairs(&mut self, state: &mut RunState) -> Result<(), OutputClosed> {
        if self.repair.is_none() {
            return Ok(());
        }
        self.pass_on_changes(state);
        let until = Instant::now() + LAST_REPAIRS;
        while self.pipeline.is_repairing() {
            match tokio::time::timeout_at(until, next_outcome(&mut self.repair)).await {
                Ok(outcome) => {
                    if self.heed(outcome, state).is_some() {
                        break;
                    }
                    self.flush().await?;
                }
                Err(_elapsed) => break,
            }
        }
        Ok(())
    }

    /// Nothing more will come.
    fn conclude(&mut self, state: &mut RunState) {
        let Self { pipeline, reporter, events, on_trade, .. } = self;
        pipeline.finish(&mut |event| react(event, reporter, events, on_trade, state));
    }

    fn now_ms(&self) -> Option<i64> {
        self.live.as_ref().map(|live| live.clock.now().wall_ms())
    }

    fn metrics(&self) -> MonitoringMetrics {
        let (counts, ids) = (self.pipeline.counts(), self.pipeline.sequence_counts());
        let mut metrics = MonitoringMetrics {
            gaps: ids.gaps,
            repaired_trades: ids.repaired,
            missing_trades: ids.missing,
            duplicate_trades: ids.duplicates,
            conflicts: ids.conflicts,
            implausible_trades: ids.implausible,
            resets: ids.resets,
            held_trades: self.pipeline.held() as u64,
            rest_calls: self.repair.as_ref().map_or(0, Repair::calls),
            rest_used_weight: self.repair.as_ref().map_or(0, Repair::used_weight),
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

/// How long holes may still be filled once the source has ended.
const LAST_REPAIRS: Duration = Duration::from_secs(3);

/// What comes of asking REST; never anything where nobody can be asked.
async fn next_outcome(repair: &mut Option<Repair>) -> Outcome {
    match repair {
        Some(repair) => repair.next().await,
        None => std::future::pending().await,
    }
}

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
                if state.is_alone {
                    state.coverage = *snapshot.coverage;
                }
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
        Event::Gap(gap) => reporter.gap(&gap),
        Event::Discarded { symbol, trades, missing } => events.falling_behind(symbol, missing, trades),
        Event::Suspicious { symbol, id, newest } => events.suspicious(symbol, id, newest),
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
