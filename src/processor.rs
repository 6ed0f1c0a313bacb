//! The thin async shell around the pipeline: takes bursts from a source, steps the pipeline, reports.

mod answers;
mod board;
mod checkpoints;
mod counters;
mod jumps;
mod lag;
mod link_state;
mod observer;
mod react;
mod recording;
mod roster;
mod run_state;
mod shards;
mod steer;
mod told;
mod watch;
mod watches;

use std::io;
use std::time::Duration;

pub use board::Board;
pub use checkpoints::Checkpoints;
pub(crate) use checkpoints::Resumption;
use observer::Observer;
use react::{react, tell_news};
pub(crate) use recording::recorded_bars;
pub use recording::{BeginError, Recording};
pub(crate) use roster::read_file;
pub use roster::{Reload, RosterDesk};
use run_state::RunState;
use tokio::time::{Instant, sleep_until};

use crate::clock::Clock;
use crate::feed::{ShardId, Steering};
use crate::metrics::MonitoringMetrics;
use crate::overview::Poster;
use crate::pipeline::Pipeline;
use crate::progress::{ReplayProgress, ReplayStatistics};
use crate::queue::QueueGauge;
use crate::recording::RecordError;
use crate::repair::{Outcome, Repairs};
use crate::report::events::{Events, nothing_in_range};
use crate::report::{OutputClosed, Reporter, StatRecord, Timings, covered, totals};
use crate::silence::Route;
use crate::snapshot::{Instrument, LaneSummary, Snapshot};
use crate::source::{Burst, Input, Note, Rows, Source, SourceError, Surroundings};

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
    /// Decides who is followed; `None` where that never changes.
    pub roster: Option<RosterDesk>,
    /// Fetches what is missing; `None` where nobody can be asked.
    pub repair: Option<Repairs>,
    /// What is told of many symbols together.
    pub board: Board,
    /// Keeps what a restart goes on from; `None` where nothing is kept.
    pub checkpoints: Option<Checkpoints>,
    /// Records what is digested; `None` where nothing is.
    pub recording: Option<Recording>,
    /// Records nothing of what came before this, in nanoseconds since 1970; `None` for everything.
    pub silent_until: Option<i64>,
    /// Ends the run after so many applied trades, all lanes together.
    pub count: Option<u64>,
    /// A listener of the library's user.
    pub on_trade: Option<OnTrade>,
    /// How far the reading of files is; `None` where none are read.
    pub files: Option<ReplayProgress>,
    /// Where the run posts what it looks like; `None` where nobody looks.
    pub poster: Option<Poster>,
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
    /// The connections of each shard, by number.
    pub links: Vec<ShardLink>,
    /// Lets what the frames show steer the feed that brings them.
    pub steering: Steering,
    /// How many lines there are.
    pub redundancy: u8,
    /// Lag of a connection beyond which it is replaced; zero for never.
    pub max_lag: Duration,
    /// How long a session may go without data.
    pub heartbeat_timeout: Duration,
    /// How far apart records are handed to the output, at least.
    pub records_apart: Duration,
}

/// What the connections of a shard are like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShardLink {
    /// Whether a subscription has to be acknowledged before trades can come.
    pub awaits_ack: bool,
    /// Whether trades can come over the address at all.
    pub route: Route,
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
    /// What became of the files of a replay.
    pub files: Option<ReplayStatistics>,
    /// Why it ended.
    pub ending: Ending,
}

impl Summary {
    /// Of a run that was asked to end before it began.
    pub(crate) fn nothing() -> Self {
        let (lanes, metrics) = (Vec::new(), MonitoringMetrics::default());
        Self { lanes, metrics, files: None, ending: Ending::SourceEnded }
    }
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
    /// Nothing can be recorded.
    #[error(transparent)]
    Recording(#[from] RecordError),
    /// A recording cannot be replayed.
    #[error(transparent)]
    Begin(#[from] BeginError),
}

impl Processor<'_> {
    /// Runs until the source ends, the count is reached, or the output is gone; then writes the final record.
    ///
    /// # Errors
    /// [`ProcessorError`] if the source or the output fails. What was computed until then is reported first.
    pub async fn run(&mut self, mut source: impl Source) -> Result<Summary, ProcessorError> {
        let mut state = RunState::new(self.live.as_ref(), &self.pipeline);
        state.observer = self.poster.take().map(Observer::new);
        let mut burst = Burst::default();
        if self.on_trade.is_none() {
            self.pipeline.tell(self.reporter.telling());
        }
        self.start_recording(&state)?;
        self.silence(self.silent_until.is_some(), &mut state);
        self.limit_count(&state);
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
        if state.is_silent && self.pipeline.counts().applied > 0 {
            nothing_in_range();
        }
        let metrics = self.metrics();
        let lanes = self.pipeline.summaries();
        let at_ms = self.now_ms();
        self.post(&mut state, true);
        Self::next_interval(&mut state);
        let coverage = covered(self.pipeline.coverages());
        let lines = &self.line_records();
        let (timings, clock) = (&state.whole_run, state.clock_offset());
        let files = self.files.as_ref().map(ReplayProgress::statistics);
        let record = StatRecord {
            metrics: &metrics,
            timings,
            clock,
            at_ms,
            coverage,
            lines,
            files,
            ended_symbols: self.pipeline.ended(),
        };
        self.board.tell_groups(&self.pipeline, &mut self.reporter, at_ms);
        self.reporter.last(&lanes, &record);
        let flushed = self.flush(&mut state).await;
        self.finish_recording().await;
        self.finish_checkpoints(ended_at).await;
        let ending = ended?;
        match flushed {
            Ok(()) => Ok(Summary { lanes, metrics, files, ending }),
            Err(OutputClosed::ReaderGone) => {
                Ok(Summary { lanes, metrics, files, ending: Ending::ReaderGone })
            }
            Err(failed) => Err(ProcessorError::Output(failed)),
        }
    }

    /// What everything adds up to so far, as text lines: for the log, when the output takes no more.
    pub fn totals(&self) -> Vec<String> {
        let timings = Timings::default();
        let coverage = covered(self.pipeline.coverages());
        let metrics = &self.metrics();
        let record = StatRecord {
            metrics,
            timings: &timings,
            clock: None,
            at_ms: None,
            coverage,
            lines: &[],
            files: None,
            ended_symbols: self.pipeline.ended(),
        };
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
            let flush_due = state.flush_due();
            tokio::select! {
                biased;
                _ = state.tick.tick() => {
                    self.tick(state);
                    if self.events.log_has_ended() {
                        return Err(ProcessorError::LogEnded);
                    }
                    self.check_checkpoints()?;
                    self.tend_recording(state);
                    self.flush(state).await.map_err(ProcessorError::Output)?;
                    return Ok(None);
                }
                // Before the frames, which at full speed never end.
                outcome = next_outcome(&mut self.repair) => {
                    let ending = self.heed(outcome, state)?;
                    self.flush(state).await.map_err(ProcessorError::Output)?;
                    return Ok(ending);
                }
                read = next_reload(&mut self.roster) => {
                    self.reloaded(&read, state);
                    state.is_unflushed = true;
                    return Ok(None);
                }
                () = tick_due(&self.live, &self.pipeline) => {
                    let now = self.live.as_ref().map(|live| live.clock.now()).unwrap_or_default();
                    self.step(&Input::Tick(now), state);
                    self.pass_on_changes();
                    state.is_unflushed = true;
                    return Ok(None);
                }
                more = source.next(burst) => more?,
                () = async { sleep_until(flush_due).await }, if state.is_unflushed => {
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
        let ending = self.digest(burst, state).await?;
        let is_kept = self.recording.is_some() || self.checkpoints.is_some();
        state.is_unflushed |= is_kept || self.reporter.has_to_flush();
        if self.live.is_none() || (state.is_unflushed && state.digested >= state.flush_due()) {
            self.flush(state).await.map_err(ProcessorError::Output)?;
        }
        Ok(ending)
    }

    /// Hands the records over; says so when their reader takes nothing for long.
    async fn flush(&mut self, state: &mut RunState) -> Result<(), OutputClosed> {
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.secure_first(&self.pipeline, self.events).await;
        }
        self.hand_over_recorded(state);
        let begun = Instant::now();
        (state.flushed, state.is_unflushed) = (begun, false);
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
                    match self.reporter.awaited_file() {
                        Some(path) => self.events.file_blocked(path, begun.elapsed(), dropped),
                        None => self.events.output_blocked(begun.elapsed(), dropped),
                    }
                    patience = NEXT_COMPLAINT;
                }
            }
        }
    }

    async fn digest(
        &mut self,
        burst: &mut Burst,
        state: &mut RunState,
    ) -> Result<Option<Ending>, ProcessorError> {
        let before = self.pipeline.counts().applied;
        let mut begun = Instant::now();
        let mut waited = Duration::ZERO;
        self.admit_evictions(burst, state);
        let first_received = burst.inputs.iter().find_map(|input| match input {
            Input::Frame(frame) => frame.received,
            _ => None,
        });
        let mut ending = None;
        for input in &burst.inputs {
            self.end_silence(input, state);
            match input {
                // A row may lead to many empty bars.
                Input::Rows(rows) if self.pipeline.makes_empty_bars() => {
                    for trade in &rows.trades {
                        let row = Rows::one(rows.market, rows.symbol.clone(), *trade);
                        self.step(&Input::Rows(row), state);
                        if self.reporter.is_full() {
                            self.flush(state).await.map_err(ProcessorError::Output)?;
                        }
                    }
                }
                Input::Begin(beginning) => self.begin(beginning, state)?,
                _ => self.step(input, state),
            }
            if self.has_counted_enough(state) {
                ending = Some(Ending::CountReached);
                break;
            }
            if self.reporter.is_full() {
                let full = Instant::now();
                self.flush(state).await.map_err(ProcessorError::Output)?;
                waited += full.elapsed();
            }
        }
        for session in state.unreadable.drain(..) {
            if let Some(repair) = &mut self.repair {
                repair.disturbed(Some(session));
            }
        }
        self.pass_on_changes();
        for session in state.announced.drain(..) {
            self.shutdown_announced(session);
        }
        if let Some(live) = &self.live {
            begun += waited;
            let trades = self.pipeline.counts().applied - before;
            let done = Instant::now();
            state.digested = done;
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
        self.look_around(state);
        self.tend_roster(state);
        if let Some(live) = &self.live {
            let now = live.clock.now();
            self.step(&Input::Note(Note::Second(now)), state);
        }
        let every = self.live.as_ref().map_or(Duration::ZERO, |live| live.stats_interval);
        if !every.is_zero() && state.last_stat.elapsed() >= every {
            // Ticks that a blocked output held up are not made up for.
            let due = state.last_stat.elapsed().as_nanos() / every.as_nanos();
            state.last_stat += every.saturating_mul(u32::try_from(due).unwrap_or(u32::MAX));
            let (metrics, at_ms) = (self.metrics(), self.now_ms());
            let coverage = covered(self.pipeline.coverages());
            let (metrics, lines) = (&metrics, &self.line_records());
            let (timings, clock) = (&state.interval, state.clock_offset());
            let ended_symbols = self.pipeline.ended();
            self.reporter.stat(&StatRecord {
                metrics,
                timings,
                clock,
                at_ms,
                coverage,
                lines,
                files: None,
                ended_symbols,
            });
            Self::next_interval(state);
            self.tell_shards(state);
        }
        self.post(state, false);
    }

    /// Notes what others know of the connection, if that has changed.
    fn look_around(&mut self, state: &mut RunState) {
        if self.live.is_none() {
            return;
        }
        let offset_ms = state.clock_offset().map_or(0, |offset| offset.offset_ms as i64);
        for shard in (0..).map(ShardId).take(self.pipeline.shards()) {
            let market = self.pipeline.market_of(shard);
            let trouble = match &self.repair {
                Some(repair) if repair.asks(market) => repair.trouble_of(market).map(str::to_owned),
                _ => Some(NO_REST.to_owned()),
            };
            let ended = self.events.last_end(shard);
            let around = Surroundings { shard, ended, trouble, offset_ms };
            let known = state.watches.as_ref().and_then(|watches| watches.around(shard));
            if known.is_some_and(|known| *known != around) {
                self.step(&Input::Note(Note::Around(around)), state);
            }
        }
    }

    /// One input, and what it means outside of the pipeline.
    #[inline]
    fn step(&mut self, input: &Input, state: &mut RunState) {
        if let Input::Link(event) = input {
            self.look_around(state);
            if let Some(repair) = &mut self.repair {
                repair.link(event, self.pipeline.all_ids());
            }
        }
        let Self { pipeline, reporter, events, on_trade, recording, checkpoints, board, .. } = self;
        if let Some(recording) = recording {
            recording.input(input);
        }
        if let Some(watches) = &mut state.watches {
            watches.before(input, pipeline);
        }
        pipeline.step(input, &mut |event| react(event, reporter, events, on_trade, state));
        if !state.opened.is_empty() {
            seat(checkpoints, &mut state.opened);
        }
        if let Some(watches) = &mut state.watches {
            watches.after(input, pipeline, reporter, &mut state.news);
            if !state.news.is_empty() {
                tell_news(events, state);
            }
        }
        board.after(input, pipeline, reporter);
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
                for (session, _) in &burst.evicted {
                    repair.disturbed(Some(*session));
                }
            }
        }
    }

    /// Tells the repair what is missing now.
    fn pass_on_changes(&mut self) {
        if !self.pipeline.has_changed() {
            return;
        }
        for lane in self.pipeline.take_changed() {
            if let Some(repair) = &mut self.repair {
                repair.want(lane, &self.pipeline.ids(lane));
            }
        }
    }

    /// Nothing more will come.
    fn conclude(&mut self, state: &mut RunState) {
        let Self { pipeline, reporter, events, on_trade, .. } = self;
        pipeline.finish(&mut |event| react(event, reporter, events, on_trade, state));
    }

    fn now_ms(&self) -> Option<i64> {
        self.live.as_ref().map(|live| live.clock.now().wall_ms())
    }
}

/// How long the output may take nothing before that is said, and how long until it is said again.
const FIRST_COMPLAINT: Duration = Duration::from_secs(5);
const NEXT_COMPLAINT: Duration = Duration::from_secs(60);

/// Why nobody is asked.
const NO_REST: &str = "repair is off, or it is not known where to ask (--rest-url)";

/// Lanes that were opened have checkpoints of their own.
#[cold]
fn seat(checkpoints: &mut Option<Checkpoints>, opened: &mut Vec<(usize, Instrument)>) {
    for (lane, instrument) in opened.drain(..) {
        if let Some(checkpoints) = checkpoints {
            checkpoints.opened(lane, &instrument);
        }
    }
}

/// Ready when the pipeline wants to know the time; never, while nothing in it depends on that.
async fn tick_due(live: &Option<LiveParts>, pipeline: &Pipeline) {
    match live.as_ref().zip(pipeline.tick_due()) {
        Some((live, due)) => sleep_until(live.clock.instant(due)).await,
        None => std::future::pending().await,
    }
}

/// What comes of asking REST; never anything where nobody can be asked.
async fn next_outcome(repair: &mut Option<Repairs>) -> Outcome {
    match repair {
        Some(repair) => repair.next().await,
        None => std::future::pending().await,
    }
}

/// What the symbols file says now, when somebody has asked for it to be read again; never, where there is none.
async fn next_reload(roster: &mut Option<RosterDesk>) -> io::Result<Vec<u8>> {
    match roster {
        Some(desk) => desk.reloaded().await,
        None => std::future::pending().await,
    }
}
