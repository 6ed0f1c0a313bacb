//! The same monitor over what was recorded: archive files, frames, and recordings of a monitor.

#[cfg(feature = "replay")]
use std::collections::HashSet;

use std::path::Path;

use tokio::sync::watch;

#[cfg(feature = "replay")]
use super::nothing_of_files;
use super::watchers::Watchers;
use super::{App, AppError, Parts};
use crate::config::{Bound, Speed};
use crate::feed::stopped;
use crate::paced::Paced;
use crate::pipeline::Wanted;
use crate::processor::{Summary, recorded_bars};
use crate::recording::{RecordingReader, RecordingThread};
use crate::report::events::Events;
#[cfg(feature = "replay")]
use crate::report::events::nothing_in_range;
use crate::snapshot::TradeSource;
use crate::source::{Burst, DamagedLine, Input, Source, SourceError};
use crate::text::shown;

impl App {
    /// Runs recorded inputs through the same code: same numbers, same records; no queue, no clock, no
    /// `stat` records.
    ///
    /// # Errors
    /// [`AppError`]: the source or the output fails.
    pub async fn replay(
        mut self,
        source: impl Source,
        wanted: Wanted,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Summary, AppError> {
        let events = Events::for_replay(self.log.take());
        let (stop, stopped) = watch::channel(false);
        let source = Stoppable { source, stopped };
        let no_feed = std::future::ready(Ok(()));
        let watchers = Watchers::default();
        let parts = Parts { live: None, repair: None, wanted, frames_from: TradeSource::File, watchers };
        self.supervise(parts, source, &events, no_feed, stop, shutdown).await
    }

    /// Replays files; see [`App::replay`].
    ///
    /// # Errors
    /// [`AppError`]: the files belong to different markets, or the source or the output fails.
    #[cfg(feature = "replay")]
    pub async fn replay_files(
        mut self,
        replay: crate::replay::Replay,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Summary, AppError> {
        let lanes = replay.lanes();
        let market = lanes.first().map_or(self.config.market, |lane| lane.market);
        if let Some(other) = lanes.iter().find(|lane| lane.market != market) {
            return Err(AppError::MixedMarkets(market, other.market));
        }
        self.spare_inputs(lanes.iter().map(|lane| lane.file.as_path()))?;
        let symbols: Option<Vec<_>> = lanes.iter().map(|lane| lane.symbols.clone()).collect();
        let wanted = match symbols {
            None => Wanted::Everything,
            Some(symbols) => {
                let mut seen = HashSet::new();
                let each_once = symbols.into_iter().flatten().filter(|symbol| seen.insert(symbol.clone()));
                Wanted::of(market, &each_once.collect::<Vec<_>>())
            }
        };
        self.config.market = market;
        let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4));
        let threads = self.config.replay.threads.unwrap_or_else(cores);
        self.files = Some(replay.progress());
        let has_range = self.config.replay.from.is_some() || self.config.replay.to.is_some();
        let replay = crate::replay::ReplaySource::start(replay, threads).map_err(AppError::Thread)?;
        let summary = self.replay_at_speed(replay, wanted, shutdown).await?;
        if has_range && summary.metrics.applied_trades == 0 {
            nothing_in_range();
        }
        nothing_of_files(&summary).map_or(Ok(summary), Err)
    }

    /// Replays a recording: the same records as the live run gave, byte for byte. Of the settings' range only times count;
    /// what came before its beginning moves the numbers and is not shown.
    ///
    /// # Errors
    /// [`AppError`]: the recording cannot be read, the range is one of ids, or the output fails.
    pub async fn replay_recording(
        mut self,
        mut recording: RecordingReader,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Summary, AppError> {
        let wall_ns = |bound: Option<Bound>| match bound {
            None => Ok(None),
            Some(Bound::Time(at)) => Ok(Some(at.0.saturating_mul(1_000_000))),
            Some(Bound::Id(_)) => Err(AppError::RecordingByIds),
        };
        let (from, to) = (wall_ns(self.config.replay.from)?, wall_ns(self.config.replay.to)?);
        self.spare_inputs(recording.segments().map(|(file, _)| file))?;
        let market = recording.segments().next().map_or(self.config.market, |(_, header)| header.market);
        if let Some((_, other)) = recording.segments().find(|(_, header)| header.market != market) {
            return Err(AppError::MixedMarkets(market, other.market));
        }
        self.config.market = market;
        if let Some(from) = from {
            recording.skip_to(from);
        }
        if let Some(to) = to {
            recording.end_at(to);
        }
        if self.config.write.is_some() && self.config.bars.specs.is_empty() {
            // A file has columns of its own: those of the bars that were recorded, if any were.
            self.config.bars =
                recording.first_settings().map(|text| recorded_bars(&text)).unwrap_or_default();
        }
        self.silent_until = from;
        let is_strict = self.config.replay.strict;
        let thread = RecordingThread::start(recording).map_err(AppError::Thread)?;
        let source = Until { source: thread, to, over: None, run: String::new() };
        self.replay_at_speed(Unbroken { source, is_strict, lost: None }, Wanted::Everything, shutdown).await
    }

    /// The results must not take the place of what they are made of.
    fn spare_inputs<'a>(&self, mut files: impl Iterator<Item = &'a Path>) -> Result<(), AppError> {
        let Some(write) = &self.config.write else { return Ok(()) };
        let Ok(target) = write.canonicalize() else { return Ok(()) };
        if files.any(|file| file.canonicalize().is_ok_and(|file| file == target)) {
            return Err(AppError::WriteReplacesInput(write.clone()));
        }
        Ok(())
    }

    /// Replays at the speed of the settings.
    async fn replay_at_speed(
        self,
        source: impl Source,
        wanted: Wanted,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Summary, AppError> {
        match self.config.replay.speed {
            Speed::Max => self.replay(source, wanted, shutdown).await,
            Speed::Times(times) => {
                let paced = Paced::new(source, times).from(self.silent_until);
                self.replay(paced, wanted, shutdown).await
            }
        }
    }
}

/// A source that ends when it is told to.
struct Stoppable<S> {
    source: S,
    stopped: watch::Receiver<bool>,
}

impl<S: Source> Source for Stoppable<S> {
    async fn next(&mut self, burst: &mut Burst) -> Result<bool, SourceError> {
        tokio::select! {
            biased;
            () = stopped(&mut self.stopped) => {
                burst.inputs.clear();
                Ok(false)
            }
            more = self.source.next(burst) => more,
        }
    }
}

/// A source that leaves out what each run recorded from a time on.
struct Until<S> {
    source: S,
    /// In nanoseconds since 1970; `None` for never.
    to: Option<i64>,
    /// The run that is read.
    run: String,
    /// The run of which nothing more is wanted.
    over: Option<String>,
}

impl<S> Until<S> {
    fn is_wanted(&mut self, input: &Input) -> bool {
        if let Input::Begin(beginning) = input {
            self.run.clone_from(&beginning.run);
        }
        if let (Some(to), Some(at)) = (self.to, input.at())
            && at.wall_ns >= to
        {
            self.over = Some(self.run.clone());
        }
        self.over.as_ref() != Some(&self.run)
    }
}

impl<S: Source> Source for Until<S> {
    async fn next(&mut self, burst: &mut Burst) -> Result<bool, SourceError> {
        loop {
            let more = self.source.next(burst).await?;
            if self.to.is_some() {
                burst.inputs.retain(|input| self.is_wanted(input));
            }
            if !more || !burst.inputs.is_empty() {
                return Ok(more);
            }
        }
    }
}

/// A source that ends with an error where something is missing, if it is to.
struct Unbroken<S> {
    source: S,
    is_strict: bool,
    lost: Option<SourceError>,
}

impl<S: Source> Source for Unbroken<S> {
    async fn next(&mut self, burst: &mut Burst) -> Result<bool, SourceError> {
        if let Some(lost) = self.lost.take() {
            burst.inputs.clear();
            return Err(lost);
        }
        let more = self.source.next(burst).await?;
        let lost = burst.inputs.iter().position(|input| matches!(input, Input::Lost(_)));
        if self.is_strict
            && let Some(at) = lost
        {
            // What comes before it is told first.
            if let Some(Input::Lost(DamagedLine { file, line, reason, .. })) = burst.inputs.drain(at..).next()
            {
                let what = format!("{}:{line}: {reason} (--strict)", shown(&file));
                self.lost = Some(SourceError { what, cause: None });
            }
        }
        match self.lost.take_if(|_| burst.inputs.is_empty()) {
            Some(lost) => Err(lost),
            None => Ok(more),
        }
    }
}
