//! When checkpoints are taken: the first before the first record, every later one only of trades whose records are
//! written. The writing itself is the keeper's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Processor, ProcessorError};
use crate::checkpoint::disk::make_directory;
use crate::checkpoint::{CheckpointError, DirectoryLock, Identity, Keeper, Kept, Store, SystemDisk};
use crate::clock::Clock;
use crate::config::Config;
use crate::config::ledger::identity;
use crate::cvd::CvdConfig;
use crate::feed::endpoint::Endpoint;
use crate::metrics::MonitoringMetrics;
use crate::pipeline::{LaneState, Pipeline};
use crate::report::events::Events;
use crate::report::{OutputProgress, Reporter};
use crate::snapshot::{Instrument, Market, Stamp};
use crate::units::AggTradeId;

/// How long the first record of a symbol waits for its checkpoint.
const FIRST_LIMIT: Duration = Duration::from_secs(5);
/// How long the end waits for the last checkpoint, and how long after the source has ended it does at most: everything
/// together has [`SHUTDOWN_LIMIT`](crate::app::SHUTDOWN_LIMIT).
const LAST_LIMIT: Duration = Duration::from_secs(2);
const LAST_LIMIT_IN_ALL: Duration = Duration::from_millis(3_200);
/// Saving takes at most 5 % of the time.
const SHARE: u32 = 20;
/// A failure that lasts is told again so often.
const COMPLAINT: Duration = Duration::from_secs(60);

/// What a run with a state directory works with.
#[derive(Debug)]
pub struct Checkpoints {
    keeper: Keeper,
    /// By number.
    lanes: Vec<Lane>,
    /// Whose ids each market's stream carries, and what the numbers are computed with: of lanes that join later.
    ledgers: BTreeMap<Market, String>,
    calculator: CvdConfig,
    interval: Duration,
    /// Of so many parts of the time at most one is spent on saving.
    share: u32,
    clock: Clock,
    /// The epochs of the lanes as far as they were looked at.
    epochs_begun: u64,
    /// When the last states were taken, and how long that took.
    taken: Option<(Instant, Duration)>,
    /// States whose records are on their way to the output.
    waiting: Option<Waiting>,
    /// When a failure is told the next time; `None` while there is none.
    complain_at: Option<Instant>,
}

/// How many symbols are told one by one, and have a durable checkpoint before their first record.
const FEW: usize = 10;

/// What many symbols go on from.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Resumption {
    /// Symbols that go on from their checkpoints.
    pub(crate) resumed: usize,
    /// Symbols that have none.
    pub(crate) anew: usize,
    /// The age of the oldest of the checkpoints.
    pub(crate) oldest: Duration,
}

fn identity_of(
    instrument: &Instrument,
    ledgers: &BTreeMap<Market, String>,
    calculator: CvdConfig,
) -> Identity {
    let Instrument { market, symbol } = instrument.clone();
    let ledger = ledgers.get(&market).cloned().unwrap_or_default();
    Identity { ledger, market, symbol, calculator }
}

#[derive(Debug)]
struct Lane {
    identity: Arc<Identity>,
    /// The epoch of which a checkpoint was asked for; 0 for none.
    epoch: u32,
    /// Where its ids stood when its state was taken last.
    position: Option<(u32, AggTradeId)>,
}

#[derive(Debug)]
struct Waiting {
    /// They may be saved when so many chunks of records are written.
    handed: u64,
    states: Vec<(usize, Kept)>,
}

impl Checkpoints {
    /// Opens the state directory, if there is to be one, and lets every lane of the pipeline go on from its checkpoint.
    /// `endpoints`: where everything that may be followed comes from; `repairs` tells whether the trades since then can be
    /// fetched.
    ///
    /// # Errors
    /// [`CheckpointError`]: the directory cannot be made, belongs to another process, or has checkpoints none of which
    /// can be used.
    pub fn open(
        config: &Config,
        endpoints: &[Endpoint],
        pipeline: &mut Pipeline,
        clock: Clock,
        events: &Events,
        repairs: bool,
    ) -> Result<Option<Self>, CheckpointError> {
        let Some(directory) = &config.state.dir else { return Ok(None) };
        let failed = |source| CheckpointError::Directory { directory: directory.clone(), source };
        make_directory(directory).map_err(failed)?;
        let lock = DirectoryLock::take(directory)?;
        let mut store = Store::new(SystemDisk, directory);
        let ledgers = endpoints.iter().map(|endpoint| (endpoint.market, identity(endpoint).to_owned()));
        let (ledgers, calculator) = (ledgers.collect(), config.calculator);
        let mut lanes = Vec::new();
        let instruments: Vec<_> = pipeline.all_ids().map(|ids| ids.instrument.clone()).collect();
        let (is_told_each, mut resumption) = (instruments.len() <= FEW, Resumption::default());
        for instrument in &instruments {
            let identity = identity_of(instrument, &ledgers, calculator);
            let loaded = store.load(&identity)?;
            let mut lane = Lane { identity: Arc::new(identity), epoch: 0, position: None };
            match &loaded {
                None if is_told_each => events.begins_anew(&instrument.symbol, directory),
                None => resumption.anew += 1,
                Some(loaded) => {
                    let state = &loaded.checkpoint.state;
                    let symbol = instrument.symbol.clone();
                    pipeline.resume(state).map_err(|source| CheckpointError::Resume { symbol, source })?;
                    lane.epoch = state.epoch;
                    let age = since(clock.now(), loaded.checkpoint.saved_at_ms);
                    if is_told_each {
                        events.resumed(loaded, age, repairs);
                    } else {
                        events.damaged_checkpoints(loaded);
                        resumption.resumed += 1;
                        resumption.oldest = resumption.oldest.max(age);
                    }
                }
            }
            lane.position = pipeline.position(lanes.len());
            lanes.push(lane);
        }
        if !is_told_each {
            events.many_resumed(&resumption, repairs);
        }
        let interval = config.state.interval_for(lanes.len());
        let keeper = Keeper::start(store, Some(lock)).map_err(CheckpointError::Thread)?;
        let checkpoints = Self::new(keeper, lanes, interval, clock);
        Ok(Some(Self { ledgers, calculator, ..checkpoints }))
    }

    fn new(keeper: Keeper, lanes: Vec<Lane>, interval: Duration, clock: Clock) -> Self {
        Self {
            keeper,
            lanes,
            ledgers: BTreeMap::new(),
            calculator: CvdConfig::default(),
            interval,
            share: SHARE,
            clock,
            epochs_begun: 0,
            taken: None,
            waiting: None,
            complain_at: None,
        }
    }

    /// A lane was opened, perhaps with a number that another one had: nothing of it is kept yet.
    pub(super) fn opened(&mut self, at: usize, instrument: &Instrument) {
        let identity = Arc::new(identity_of(instrument, &self.ledgers, self.calculator));
        let lane = Lane { identity, epoch: 0, position: None };
        // Lanes are opened in the order of their numbers.
        match self.lanes.get_mut(at) {
            Some(known) => *known = lane,
            None => self.lanes.push(lane),
        }
        if let Some(waiting) = &mut self.waiting {
            waiting.states.retain(|(lane, _)| *lane != at);
        }
    }

    /// Before records are handed over: a symbol whose first trade may be among them has a durable checkpoint from right
    /// before it, or it is said why not. The same when the exchange has begun to number anew. Of more than [`FEW`] symbols
    /// the checkpoints follow as fast as the disk takes them.
    pub(super) async fn secure_first(&mut self, pipeline: &Pipeline, events: &Events) {
        if pipeline.epochs_begun() == self.epochs_begun {
            return;
        }
        self.epochs_begun = pipeline.epochs_begun();
        let mut saves = Vec::new();
        for at in 0..self.lanes.len() {
            let Some((epoch, _)) = pipeline.position(at) else { continue };
            if epoch > self.lanes[at].epoch
                && let Some(state) = pipeline.anchor_state(at)
            {
                self.lanes[at].epoch = epoch;
                if let Some(waiting) = &mut self.waiting {
                    // It would come later than this one, and is older.
                    waiting.states.retain(|(lane, _)| *lane != at);
                }
                saves.push(self.keeper.save(at, self.kept(at, state)));
            }
        }
        // The records of many symbols cannot wait for so many files.
        let waits = !saves.is_empty() && self.lanes.len() <= FEW;
        if waits && timeout(FIRST_LIMIT, join_all(saves)).await.is_err() {
            events.checkpoint_late(FIRST_LIMIT);
        }
        self.tell(events);
    }

    /// After records were handed over: takes the states that are due, and has those saved whose records are written.
    pub(super) fn after_flush(&mut self, pipeline: &Pipeline, progress: OutputProgress, events: &Events) {
        self.pass_on(progress);
        if self.waiting.is_none() && self.is_due() {
            self.tell(events);
            if self.keeper.is_idle() {
                self.take(pipeline, progress);
                self.pass_on(progress);
            }
        }
    }

    /// After the last record: saves what has moved, once its records are written, and ends the thread.
    async fn finish(mut self, pipeline: &Pipeline, reporter: &Reporter, events: &Events, limit: Duration) {
        let until = Instant::now() + limit;
        self.pass_on(reporter.progress());
        self.take(pipeline, reporter.progress());
        drop(timeout_at(until, reporter.all_written()).await);
        self.pass_on(reporter.progress());
        let is_missed = self.waiting.is_some();
        let Self { keeper, .. } = &self;
        let durable = timeout_at(until, keeper.settled()).await.is_ok();
        self.tell(events);
        if is_missed || !durable {
            events.last_checkpoint_missed();
        }
        self.keeper.end(until.saturating_duration_since(Instant::now())).await;
    }

    /// What the thread said when it panicked, once it has.
    pub(super) fn panicked(&self) -> Option<String> {
        self.keeper.panicked()
    }

    /// Adds what was counted here.
    pub(super) fn add_to(&self, metrics: &mut MonitoringMetrics) {
        let counts = self.keeper.counts();
        metrics.checkpoints = counts.saved;
        metrics.checkpoint_failures = counts.failed;
        metrics.checkpoint_age_ms =
            counts.last_taken.map(|taken| u64::try_from(taken.elapsed().as_millis()).unwrap_or(u64::MAX));
    }

    fn is_due(&self) -> bool {
        let Some((taken, took)) = self.taken else { return true };
        let passed = taken.elapsed();
        // Most of the time the first comparison is enough.
        passed >= self.interval && passed >= self.pause(took + self.keeper.counts().round)
    }

    /// The time between two checkpoints of a symbol, where taking and saving the last ones took so long.
    fn pause(&self, took: Duration) -> Duration {
        self.interval.max(took.saturating_mul(self.share))
    }

    /// Takes the states of the lanes that have moved.
    fn take(&mut self, pipeline: &Pipeline, progress: OutputProgress) {
        let begun = Instant::now();
        let mut states = Vec::new();
        for at in 0..self.lanes.len() {
            let position = pipeline.position(at);
            if position.is_some()
                && position != self.lanes[at].position
                && let Some(state) = pipeline.lane_state(at)
            {
                self.lanes[at].position = position;
                states.push((at, self.kept(at, state)));
            }
        }
        // Those that still wait for their records are older, and some of them have not moved since.
        for (at, kept) in self.waiting.take().map(|waiting| waiting.states).unwrap_or_default() {
            if !states.iter().any(|(lane, _)| *lane == at) {
                states.push((at, kept));
            }
        }
        self.taken = Some((begun, begun.elapsed()));
        if !states.is_empty() {
            self.waiting = Some(Waiting { handed: progress.handed, states });
        }
    }

    /// Has the states saved that wait, if their records are written.
    fn pass_on(&mut self, progress: OutputProgress) {
        if let Some(waiting) = self.waiting.take_if(|waiting| progress.written >= waiting.handed) {
            for (at, kept) in waiting.states {
                self.keeper.keep(at, kept);
            }
        }
    }

    fn kept(&self, at: usize, state: LaneState) -> Kept {
        let identity = Arc::clone(&self.lanes[at].identity);
        Kept { identity, state, at_ms: self.clock.now().wall_ms(), taken: Instant::now() }
    }

    /// Says what has failed, at once and then once a minute; and when it is over.
    fn tell(&mut self, events: &Events) {
        let counts = self.keeper.counts();
        for (file, now) in self.keeper.take_made_room() {
            events.checkpoint_made_room(&file, &now);
        }
        match self.keeper.take_failure() {
            Some(failure) => {
                if self.complain_at.is_none_or(|at| Instant::now() >= at) {
                    let age = counts.last_taken.map(|taken| taken.elapsed());
                    events.checkpoint_failed(&failure, age, counts.failed);
                    self.complain_at = Some(Instant::now() + COMPLAINT);
                }
                // What could not be saved is to be saved even if nothing moves any more.
                self.lanes.iter_mut().for_each(|lane| lane.position = None);
            }
            None if self.complain_at.is_some() && self.keeper.is_idle() && counts.last_succeeded => {
                self.complain_at = None;
                events.checkpoints_again(counts.failed);
            }
            None => {}
        }
    }
}

impl Processor<'_> {
    /// The thread that saves must not be gone without a word.
    pub(super) fn check_checkpoints(&self) -> Result<(), ProcessorError> {
        match self.checkpoints.as_ref().and_then(Checkpoints::panicked) {
            Some(what) => Err(ProcessorError::CheckpointsEnded(what)),
            None => Ok(()),
        }
    }

    /// The run is over and its last record handed over; the source ended at `ended_at`.
    pub(super) async fn finish_checkpoints(&mut self, ended_at: Instant) {
        if let Some(checkpoints) = self.checkpoints.take() {
            let left = LAST_LIMIT_IN_ALL.saturating_sub(ended_at.elapsed());
            checkpoints.finish(&self.pipeline, &self.reporter, self.events, LAST_LIMIT.min(left)).await;
        }
    }
}

/// How long ago a wall clock showed something; nothing where it was set back since.
fn since(now: Stamp, at_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(now.wall_ms().saturating_sub(at_ms)).unwrap_or(0))
}

#[cfg(test)]
mod tests;
