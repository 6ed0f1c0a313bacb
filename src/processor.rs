//! The thin async shell around the pipeline: takes bursts from a source, steps the pipeline, reports.

mod checkpoints;
mod jumps;
mod lag;
mod link_state;
mod run_state;
mod steer;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use checkpoints::Checkpoints;
use run_state::RunState;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::decode::Control;
use crate::feed::{LinkChange, Steering};
use crate::metrics::MonitoringMetrics;
use crate::pipeline::{Event, Pipeline};
use crate::queue::QueueGauge;
use crate::repair::rest::Listed;
use crate::repair::{Notice, Outcome, Repair, Reply};
use crate::report::events::Events;
use crate::report::{OutputClosed, Reporter, StatRecord, Timings, covered, totals};
use crate::silence::{Route, SymbolProblem, check, unknown};
use crate::snapshot::{LaneSummary, Market, Snapshot, TradeSource};
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
    /// Keeps what a restart goes on from; `None` where nothing is kept.
    pub checkpoints: Option<Checkpoints>,
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
    /// Lets what the frames show steer the feed that brings them.
    pub steering: Steering,
    /// How many lines there are.
    pub redundancy: u8,
    /// Lag of a connection beyond which it is replaced; zero for never.
    pub max_lag: Duration,
    /// Whether trades can come over the address at all.
    pub route: Route,
    /// How long a session may go without data.
    pub heartbeat_timeout: Duration,
    /// The market that is watched.
    pub market: Market,
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
    /// Nobody writes the log any more.
    #[error("the thread that writes the log has ended unexpectedly: please report it")]
    LogEnded,
    /// The thread that keeps checkpoints has panicked.
    #[error("the thread that keeps checkpoints has ended unexpectedly ({0}): please report it")]
    CheckpointsEnded(String),
    /// The exchange lists no such symbol, and no trade of it has come. Names all of them and what may have been meant.
    #[error("{0}")]
    UnknownSymbol(String),
}

impl Processor<'_> {
    /// Runs until the source ends, the count is reached, or the output is gone; then writes the final record.
    ///
    /// # Errors
    /// [`ProcessorError`] if the source or the output fails. What was computed until then is reported first.
    pub async fn run(&mut self, mut source: impl Source) -> Result<Summary, ProcessorError> {
        let mut state = RunState::new(self.live.as_ref(), self.pipeline.coverages().count());
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
        let ended_at = Instant::now();
        if matches!(ended, Ok(Ending::SourceEnded))
            && let Err(failed) = self.finish_repairs(&mut state).await
        {
            ended = match failed {
                ProcessorError::Output(OutputClosed::ReaderGone) => Ok(Ending::ReaderGone),
                failed => Err(failed),
            };
        }
        self.conclude(&mut state);
        self.events.over();
        let metrics = self.metrics();
        let lanes = self.pipeline.summaries();
        let at_ms = self.now_ms();
        state.whole_run.absorb(&mut state.interval);
        let coverage = covered(self.pipeline.coverages());
        let lines = &self.line_records();
        let (timings, clock) = (&state.whole_run, state.clock_offset());
        let record = StatRecord { metrics: &metrics, timings, clock, at_ms, coverage, lines };
        self.reporter.last(&lanes, &record);
        let flushed = self.flush(&mut state).await;
        self.finish_checkpoints(ended_at).await;
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
        let metrics = &self.metrics();
        let record =
            StatRecord { metrics, timings: &timings, clock: None, at_ms: None, coverage, lines: &[] };
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
                    if self.events.log_has_ended() {
                        return Err(ProcessorError::LogEnded);
                    }
                    self.check_checkpoints()?;
                    self.flush(state).await.map_err(ProcessorError::Output)?;
                    return Ok(None);
                }
                // Before the frames, which at full speed never end.
                outcome = next_outcome(&mut self.repair) => {
                    let ending = self.heed(outcome, state)?;
                    self.flush(state).await.map_err(ProcessorError::Output)?;
                    return Ok(ending);
                }
                () = tick_due(&self.live, &self.pipeline) => {
                    let now = self.live.as_ref().map(|live| live.clock.now()).unwrap_or_default();
                    self.step(&Input::Tick(now), state);
                    self.pass_on_changes(state);
                    return Ok(None);
                }
                more = source.next(burst) => more?,
                () = nothing_left(), if state.unflushed > 0 => {
                    state.unflushed = 0;
                    self.flush(state).await.map_err(ProcessorError::Output)?;
                    return Ok(None);
                }
                () = self.reporter.log_line_arrived() => {
                    self.flush(state).await.map_err(ProcessorError::Output)?;
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
            self.flush(state).await.map_err(ProcessorError::Output)?;
        }
        Ok(ending)
    }

    /// Hands the records over; says so when their reader takes nothing for long.
    async fn flush(&mut self, state: &mut RunState) -> Result<(), OutputClosed> {
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.secure_first(&self.pipeline, self.events).await;
        }
        let begun = Instant::now();
        let mut patience = FIRST_COMPLAINT;
        loop {
            match tokio::time::timeout(patience, self.reporter.flush()).await {
                Ok(flushed) => {
                    if let Some(checkpoints) = &mut self.checkpoints {
                        checkpoints.after_flush(&self.pipeline, self.reporter.progress(), self.events);
                    }
                    return flushed;
                }
                Err(_elapsed) => {
                    state.held_up = true;
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
        let first_received = burst.inputs.iter().find_map(|input| match input {
            Input::Frame(frame) => frame.received,
            _ => None,
        });
        let mut ending = None;
        state.from_stream = true;
        for input in &burst.inputs {
            self.step(input, state);
            if self.has_counted_enough() {
                ending = Some(Ending::CountReached);
                break;
            }
            if self.reporter.is_full() {
                let full = Instant::now();
                self.flush(state).await?;
                waited += full.elapsed();
            }
        }
        state.from_stream = false;
        if self.pipeline.counts().malformed > malformed
            && let Some(repair) = &mut self.repair
        {
            repair.disturbed();
        }
        self.pass_on_changes(state);
        for session in state.announced.drain(..) {
            self.shutdown_announced(session);
        }
        if let Some(live) = &self.live {
            begun += waited;
            let trades = self.pipeline.counts().applied - before;
            if self.pipeline.counts().arrived() > arrived {
                state.link.traded(Instant::now());
                if !state.is_streaming() {
                    state.look(&mut self.reporter);
                }
            }
            let done = Instant::now();
            state.interval.processing.record(done.saturating_duration_since(begun), trades);
            if let Some(since) = first_received {
                let done_ns = live.clock.mono_ns(done);
                state.interval.emitted(Duration::from_nanos(done_ns.saturating_sub(since.mono_ns)), trades);
            }
        }
        Ok(ending)
    }

    /// Once a second: the state if nothing moves, the statistics when they are due.
    fn tick(&mut self, state: &mut RunState) {
        self.events.tick();
        self.heed_time(state);
        if let Some(repair) = &mut self.repair {
            repair.tick(self.pipeline.all_ids());
        }
        if let Some(now) = self.live.as_ref().map(|live| live.clock.now()) {
            self.steer(state, now);
        }
        state.coverage = covered(self.pipeline.coverages());
        state.link.count(self.pipeline.counts().arrived(), Instant::now());
        self.look(state);
        state.remind(&mut self.reporter);
        let every = self.live.as_ref().map_or(Duration::ZERO, |live| live.stats_interval);
        if !every.is_zero() && state.last_stat.elapsed() >= every {
            // Ticks that a blocked output held up are not made up for.
            let due = state.last_stat.elapsed().as_nanos() / every.as_nanos();
            state.last_stat += every.saturating_mul(u32::try_from(due).unwrap_or(u32::MAX));
            let (metrics, at_ms) = (self.metrics(), self.now_ms());
            let coverage = state.coverage;
            let (metrics, lines) = (&metrics, &self.line_records());
            let (timings, clock) = (&state.interval, state.clock_offset());
            self.reporter.stat(&StatRecord { metrics, timings, clock, at_ms, coverage, lines });
            state.whole_run.absorb(&mut state.interval);
        }
    }

    /// Takes in what others know of the connection, and tells its state if that has changed.
    fn look(&mut self, state: &mut RunState) {
        let Some(live) = &self.live else { return };
        let trouble = match &self.repair {
            Some(repair) => repair.trouble().map(str::to_owned),
            None => Some(NO_REST.to_owned()),
        };
        let offset_ms = state.clock_offset().map_or(0.0, |offset| offset.offset_ms);
        state.around.trouble = trouble;
        state.around.ended = self.events.last_end();
        state.around.exchange_now_ms = live.clock.now().wall_ms().saturating_add(offset_ms as i64);
        state.look(&mut self.reporter);
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
    fn heed(&mut self, outcome: Outcome, state: &mut RunState) -> Result<Option<Ending>, ProcessorError> {
        let reply = match outcome {
            Outcome::Reply(reply) => reply,
            Outcome::Broken { symbol, newest, ours, reply } => {
                self.events.feed_broken(&symbol, newest, ours);
                reply
            }
            Outcome::Notice(notice) => {
                self.tell_of_rest(&notice);
                return Ok(None);
            }
            Outcome::Failed(error) => {
                self.events.rest_failed(&error);
                return Ok(None);
            }
            Outcome::Silence { lane, symbol, finding } => {
                if state.link.found(lane, &symbol, finding, Instant::now()) {
                    self.events.symbol_not_delivered(&symbol, finding);
                }
                self.look(state);
                return Ok(None);
            }
            Outcome::Clock { sent, received, server } => {
                state.offset.sample(sent, received, server);
                let offset = state.clock_offset();
                if let Some(offset) = offset {
                    state.interval.clocks_differ(offset);
                    self.events.clock_known(offset);
                }
                if let Some(repair) = &mut self.repair {
                    repair.clock_offset(offset);
                }
                return Ok(None);
            }
            Outcome::Listings(listed) => return self.heed_listings(&listed, state).map(|()| None),
        };
        Ok(self.answer(reply, state))
    }

    /// What the exchange lists is said about symbols that are silent; a trade that has come is stronger.
    fn heed_listings(&mut self, listed: &[Listed], state: &mut RunState) -> Result<(), ProcessorError> {
        let Some(live) = &self.live else { return Ok(()) };
        let has_traded: BTreeMap<_, _> =
            self.pipeline.all_ids().map(|ids| (ids.symbol.clone(), ids.newest.is_some())).collect();
        let symbols: Vec<_> = has_traded.keys().cloned().collect();
        let (mut halted, mut unlisted) = (BTreeMap::new(), BTreeSet::new());
        let mut missing = Vec::new();
        for problem in check(listed, &symbols) {
            match problem {
                SymbolProblem::NotTrading { symbol, status } => drop(halted.insert(symbol, status)),
                SymbolProblem::Unknown { symbol, .. } if has_traded.get(&symbol) == Some(&true) => {
                    unlisted.insert(symbol);
                }
                SymbolProblem::Unknown { .. } => missing.push(problem),
            }
        }
        for (symbol, status) in state.link.not_trading(halted) {
            self.events.not_trading(&symbol, &status);
        }
        for symbol in state.link.unlisted(unlisted) {
            self.events.not_listed(&symbol);
        }
        match unknown(&missing, live.market) {
            Some(line) => Err(ProcessorError::UnknownSymbol(line)),
            None => Ok(()),
        }
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
    async fn finish_repairs(&mut self, state: &mut RunState) -> Result<(), ProcessorError> {
        if self.repair.is_none() {
            return Ok(());
        }
        self.pass_on_changes(state);
        let until = Instant::now() + LAST_REPAIRS;
        while self.pipeline.is_repairing() {
            match tokio::time::timeout_at(until, next_outcome(&mut self.repair)).await {
                Ok(outcome) => {
                    if self.heed(outcome, state)?.is_some() {
                        break;
                    }
                    self.flush(state).await.map_err(ProcessorError::Output)?;
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
            copied_trades: counts.copies,
            conflicts: ids.conflicts,
            implausible_trades: ids.implausible,
            resets: ids.resets,
            held_trades: self.pipeline.held() as u64,
            rest_calls: self.repair.as_ref().map_or(0, Repair::calls),
            repair_calls: self.repair.as_ref().map_or(0, Repair::repair_calls),
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
        if let Some(checkpoints) = &self.checkpoints {
            checkpoints.add_to(&mut metrics);
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

/// Why nobody is asked.
const NO_REST: &str = "repair is off, or it is not known where to ask (--rest-url)";

/// How long holes may still be filled once the source has ended.
const LAST_REPAIRS: Duration = Duration::from_secs(3);

/// Ready when the pipeline wants to know the time; never, while nothing in it depends on that.
async fn tick_due(live: &Option<LiveParts>, pipeline: &Pipeline) {
    match live.as_ref().zip(pipeline.tick_due()) {
        Some((live, due)) => tokio::time::sleep_until(live.clock.instant(due)).await,
        None => std::future::pending().await,
    }
}

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
            // A trade that REST brought, or that waited behind a hole, says nothing of the connection.
            if !state.is_streaming() && state.from_stream && snapshot.source == TradeSource::Stream {
                if state.is_alone {
                    state.coverage = *snapshot.coverage;
                }
                state.link.traded(Instant::now());
                state.look(reporter);
            }
            if let (Some(latency_ns), Some(event_at)) = (snapshot.latency_ns(), snapshot.trade.event_at) {
                let at_exchange_ms = event_at.0.saturating_sub(snapshot.trade.traded_at.0);
                state.interval.arrived(at_exchange_ms, latency_ns / 1_000);
                if latency_ns < 0 {
                    events.negative_latency(latency_ns, || state.clock_offset());
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
            state.link.acknowledged();
            state.look(reporter);
        }
        Event::Control(Control::Error { code, msg, .. }) => events.control_error(code, &msg),
        Event::Unrequested { symbol } => events.unrequested(symbol),
        Event::Gap(gap) => reporter.gap(&gap),
        Event::Discarded { symbol, trades, missing } => events.falling_behind(symbol, missing, trades),
        Event::Suspicious { symbol, id, newest } => events.suspicious(symbol, id, newest),
        Event::Other => {}
        Event::Shutdown { session } => state.announced.push(session),
        Event::Link { event, .. } => {
            let now = Instant::now();
            match event.change {
                LinkChange::Opened => state.link.opened(event.session, now),
                LinkChange::Closed => state.link.closed(event.session, now),
            }
            state.around.ended = events.last_end();
            state.look(reporter);
        }
    }
}
