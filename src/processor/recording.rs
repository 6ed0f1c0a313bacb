//! What a live run records of itself, and how a replay goes on from that.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::link_state::LinkSettings;
use super::run_state::RunState;
use super::watches::Watches;
use super::{Board, Processor, ProcessorError};
use crate::bars::{BarBuilder, BarSpec, NotionalBars};
use crate::config::{BarsConfig, RecordConfig};
use crate::cvd::CvdConfig;
use crate::metrics::MonitoringMetrics;
use crate::movers::Movers;
use crate::pipeline::{Pipeline, PipelineConfig, PipelineState, RestoreError, Wanted};
use crate::recording::{RecordError, RecordSettings, Recorder};
use crate::report::Scope;
use crate::snapshot::{Market, TradeSource};
use crate::source::{Beginning, Seat};

/// The recording of a live run.
#[derive(Debug)]
pub struct Recording {
    config: RecordConfig,
    rotate: Duration,
    /// How long the end waits for the last of it.
    patience: Duration,
    /// Once the run has begun.
    recorder: Option<Recorder>,
}

/// A recording that cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BeginError {
    /// Its settings or its state cannot be read.
    #[error(
        "the beginning of a recorded segment cannot be read: {0}; replay the recording from another segment"
    )]
    Unreadable(#[from] serde_json::Error),
    /// Its settings are out of range.
    #[error("the settings of a recording are out of range: {0}")]
    Settings(#[from] crate::cvd::CvdConfigError),
    /// No monitor can have been in its state.
    #[error(
        "the state at the beginning of a recorded segment contradicts itself; replay from another segment"
    )]
    State(#[from] RestoreError),
    /// No trade of a contract tells what it is worth.
    #[error(transparent)]
    Bars(#[from] NotionalBars),
}

/// What the monitor was told, as far as its numbers and records depend on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Settings {
    market: Market,
    seats: Vec<Seat>,
    z_window: usize,
    z_warmup: Option<usize>,
    /// Its bits: no reader of JSON may round it.
    ema_alpha_bits: u64,
    repairs: bool,
    hold_size: usize,
    bars: Vec<BarSpec>,
    empty_bars: bool,
    links: Vec<LinkSettings>,
}

/// Where the monitor stood.
#[derive(Debug, Serialize, Deserialize)]
struct State<P, W, M> {
    pipeline: P,
    watches: W,
    /// Where many symbols are compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    movers: Option<M>,
}

impl Recording {
    /// A recording that begins with the run; `None` if there is to be none. A new segment begins with every `rotate`, and
    /// the end waits for the disk for `patience`.
    pub fn new(config: &RecordConfig, rotate: Duration, patience: Duration) -> Option<Self> {
        config.dir.as_ref()?;
        Some(Self { config: config.clone(), rotate, patience, recorder: None })
    }

    /// Adds what is recorded, and what is not.
    pub(super) fn add_to(&self, metrics: &mut MonitoringMetrics) {
        let health = self.recorder.as_ref().map(Recorder::health).unwrap_or_default();
        metrics.recorded_inputs = health.inputs;
        metrics.unrecorded_inputs = health.not_recorded;
    }

    /// Records an input.
    #[inline]
    pub(super) fn input(&mut self, input: &crate::source::Input) {
        if let Some(recorder) = &mut self.recorder {
            recorder.input(input);
        }
    }
}

impl Processor<'_> {
    /// Begins the recording, if there is to be one.
    pub(super) fn start_recording(&mut self, state: &RunState) -> Result<(), RecordError> {
        let Self { recording: Some(recording), live: Some(live), pipeline, reporter, board, .. } = self
        else {
            return Ok(());
        };
        let (Some(watches), Some(directory)) = (&state.watches, recording.config.dir.clone()) else {
            return Ok(());
        };
        let now = live.clock.now();
        let Scope { market, instruments } = reporter.scope();
        let market = *market;
        let symbols: Vec<_> = instruments.iter().map(|instrument| instrument.symbol.clone()).collect();
        let settings = Settings::of(pipeline.config(), watches.settings());
        let RecordConfig { keep, limit, .. } = recording.config;
        let settings = RecordSettings {
            directory,
            keep,
            limit,
            rotate: recording.rotate,
            market,
            symbols,
            settings: json(&settings),
        };
        recording.recorder = Some(Recorder::start(settings, now, state_of(pipeline, watches, board))?);
        Ok(())
    }

    /// Once a second: a new segment when it is due, what is waiting to be written, and what there is to tell.
    pub(super) fn tend_recording(&mut self, state: &RunState) {
        let Self { recording: Some(recording), live: Some(live), pipeline, events, board, .. } = self else {
            return;
        };
        let (Some(recorder), Some(watches)) = (&mut recording.recorder, &state.watches) else { return };
        let now = live.clock.now();
        if recorder.due(now) {
            recorder.rotate(now, state_of(pipeline, watches, board));
        }
        recorder.flush(now);
        for notice in recorder.take_notices() {
            events.recording(&notice);
        }
    }

    /// After bursts: what was recorded goes to its thread, if it is time.
    #[inline]
    pub(super) fn hand_over_recorded(&mut self, state: &RunState) {
        if let Some(Recording { recorder: Some(recorder), .. }) = &mut self.recording
            && let Some(watches) = &state.watches
        {
            recorder.flush(watches.now());
        }
    }

    /// The run is over: what was recorded is written to the end.
    pub(super) async fn finish_recording(&mut self) {
        let Self { recording: Some(recording), live: Some(live), events, .. } = self else { return };
        let (Some(recorder), limit) = (recording.recorder.take(), recording.patience) else { return };
        let (health, notices) = recorder.finish(live.clock.now(), limit).await;
        notices.iter().for_each(|notice| events.recording(notice));
        events.recording_ended(&health);
    }

    /// Goes on from where a recorded monitor stood.
    pub(super) fn begin(
        &mut self,
        beginning: &Beginning,
        state: &mut RunState,
    ) -> Result<(), ProcessorError> {
        self.restore(beginning, state).map_err(ProcessorError::Begin)
    }

    fn restore(&mut self, beginning: &Beginning, state: &mut RunState) -> Result<(), BeginError> {
        let settings: Settings = serde_json::from_str(&beginning.settings)?;
        let state_then: State<PipelineState, Watches, Movers> = serde_json::from_str(&beginning.state)?;
        let State { pipeline, watches, movers } = state_then;
        let config = settings.pipeline_config();
        config.calculator.validate()?;
        let asked = state.asked_bars.get_or_insert_with(|| self.pipeline.config().bars.clone()).clone();
        if config.calculator != self.pipeline.config().calculator {
            self.events.recorded_settings(&config.calculator);
        }
        let other_bars = !asked.is_empty() && asked != config.bars;
        NotionalBars::check(settings.market, asked.iter().map(BarBuilder::spec))?;
        let mut pipeline = Pipeline::restore(config, pipeline)?;
        if other_bars {
            pipeline.gather(asked);
        }
        if state.run.as_ref().is_some_and(|run| *run != beginning.run) {
            // That one has told at its end what was left open, and so do we.
            self.conclude(state);
            self.events.next_run(&self.pipeline.summaries());
        }
        state.run = Some(beginning.run.clone());
        if !state.is_silent {
            state.counted.add(self.pipeline.counts().applied);
        }
        state.counted.go_on(pipeline.counts().applied);
        self.pipeline = pipeline;
        self.silence(self.silent_until.is_some_and(|until| beginning.at.wall_ns < until), state);
        self.limit_count(state);
        // Those that have joined since the run began are among them, those that have ended are not.
        let instruments = self.pipeline.totals().map(|totals| totals.instrument.clone()).collect();
        let scope = Scope { market: settings.market, instruments };
        self.reporter.watch(scope, self.pipeline.config().calculator);
        self.board.go_on(movers);
        state.watches = Some(watches);
        Ok(())
    }
}

impl Settings {
    fn of(config: &PipelineConfig, links: Vec<LinkSettings>) -> Self {
        let PipelineConfig { market, wanted, calculator, repairs, hold_size, bars, .. } = config;
        let seats = match wanted {
            Wanted::Only(seats) => seats.clone(),
            Wanted::Everything => Vec::new(),
        };
        Self {
            market: *market,
            seats,
            z_window: calculator.z_window,
            z_warmup: calculator.z_warmup,
            ema_alpha_bits: calculator.ema_alpha.to_bits(),
            repairs: *repairs,
            hold_size: *hold_size,
            bars: bars.iter().map(BarBuilder::spec).collect(),
            empty_bars: bars.iter().any(BarBuilder::makes_empty_bars),
            links,
        }
    }

    fn pipeline_config(&self) -> PipelineConfig {
        PipelineConfig {
            market: self.market,
            frames_from: TradeSource::Stream,
            wanted: Wanted::Only(self.seats.clone()),
            calculator: CvdConfig {
                z_window: self.z_window,
                z_warmup: self.z_warmup,
                ema_alpha: f64::from_bits(self.ema_alpha_bits),
            },
            repairs: self.repairs,
            hold_size: self.hold_size,
            bars: self.bars.iter().map(|spec| BarBuilder::new(*spec, self.empty_bars)).collect(),
            counts_worth: true,
        }
    }
}

/// The bars of a recorded monitor, by its settings; none if they cannot be read.
pub(crate) fn recorded_bars(settings: &str) -> BarsConfig {
    let settings = serde_json::from_str(settings).ok();
    settings.map_or_else(BarsConfig::default, |Settings { bars: specs, empty_bars: empty, .. }| BarsConfig {
        specs,
        empty,
    })
}

fn state_of(pipeline: &Pipeline, watches: &Watches, board: &Board) -> String {
    json(&State { pipeline: pipeline.memory(), watches, movers: board.movers() })
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("numbers, texts, lists, and maps whose keys are numbers or texts")
}
