//! The whole: wires feed, queue, pipeline and report, and shuts them down. The only room that knows both ends.

mod error;
pub(crate) mod following;
mod replay;
mod watchers;

use following::{Following, following};
use watchers::Watchers;

use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use rustls::ClientConfig;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::bars::NotionalBars;
use crate::clock::Clock;
use crate::config::{BarsConfig, Config};
use crate::doorbell::Doorbell;
use crate::feed::endpoint::Endpoint;
use crate::feed::liveness::LivenessLimits;
use crate::feed::tls::{CaFileError, ExtraRoots};
use crate::feed::{ConnectionBudget, FeedError, Live, LiveSettings, Network, Steering, SystemNetwork};
pub use crate::latency::runtime;
use crate::metrics::MonitoringMetrics;
#[cfg(feature = "ops")]
use crate::ops::Service;
use crate::pipeline::{Pipeline, PipelineConfig, Wanted};
use crate::processor::{Board, Checkpoints, LiveParts, OnTrade, Processor, Recording, RosterDesk, Summary};
use crate::progress::{ReplayProgress, ReplayStatistics};
use crate::queue::drop_oldest;
use crate::repair::Repairs;
use crate::repair::rest::RestClient;
use crate::report::events::Events;
use crate::report::output::{LogWriter, Output};
use crate::report::sink::{RowFile, RowThread, RowWriter, TableSettings, WriteError};
use crate::report::{Pick, ReportSettings, Reporter, Scope};
use crate::roster::Selector;
use crate::snapshot::{Snapshot, TradeSource};
use crate::source::Source;
pub use error::AppError;
pub use following::check_selection;

/// How long everything together may take to end once it is asked to.
pub const SHUTDOWN_LIMIT: Duration = Duration::from_secs(4);
const GOODBYE_LIMIT: Duration = Duration::from_secs(1);

/// A monitor that is ready to run.
pub struct App {
    config: Config,
    output: Option<Output>,
    log: Option<LogWriter>,
    on_trade: Option<OnTrade>,
    tls: Option<Arc<ClientConfig>>,
    jitter_seed: Option<u64>,
    network: Option<Arc<dyn Network>>,
    clock: Option<Clock>,
    budget: ConnectionBudget,
    color: bool,
    rotate: Duration,
    recording_patience: Duration,
    /// How far the reading of files is.
    files: Option<ReplayProgress>,
    silent_until: Option<i64>,
    /// Asks for the symbols file to be read again.
    reload: Option<Arc<Notify>>,
    #[cfg(feature = "ops")]
    service: Option<Service>,
    #[cfg(feature = "ops")]
    on_http: Option<OnHttp>,
}

/// Called with the address that HTTP is served on.
#[cfg(feature = "ops")]
type OnHttp = Box<dyn FnOnce(std::net::SocketAddr) + Send>;

/// How long the end waits for the last of a recording.
const RECORDING_PATIENCE: Duration = Duration::from_millis(1_500);
/// How much time a file of a recording holds.
const RECORDED_AT_ONCE: Duration = Duration::from_secs(3_600);

impl App {
    /// A monitor with these settings; records go to standard output unless [`App::output`] says otherwise.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            output: None,
            log: None,
            on_trade: None,
            tls: None,
            jitter_seed: None,
            network: None,
            clock: None,
            budget: ConnectionBudget::default(),
            color: false,
            files: None,
            rotate: RECORDED_AT_ONCE,
            recording_patience: RECORDING_PATIENCE,
            silent_until: None,
            reload: None,
            #[cfg(feature = "ops")]
            service: None,
            #[cfg(feature = "ops")]
            on_http: None,
        }
    }

    /// Sends the records elsewhere.
    ///
    /// # Errors
    /// When the system gives no thread for it.
    pub fn write_to(self, into: impl Write + Send + 'static) -> Result<Self, AppError> {
        let output = Output::new(Box::new(into)).map_err(AppError::Output)?;
        Ok(self.output(output))
    }

    /// Sends the records to an output that is open already.
    pub fn output(mut self, output: Output) -> Self {
        self.output = Some(output);
        self
    }

    /// Calls a listener with every applied trade. It runs on the thread that reads the socket: be quick.
    pub fn on_trade(mut self, listener: impl FnMut(&Snapshot<'_>) + Send + 'static) -> Self {
        self.on_trade = Some(Box::new(listener));
        self
    }

    /// Counts the log lines that this writer has to drop among the metrics.
    pub fn log(mut self, log: LogWriter) -> Self {
        self.log = Some(log);
        self
    }

    /// TLS settings other than the system's root certificates; the settings' `ca_file` adds nothing to them.
    pub fn tls(mut self, tls: Arc<ClientConfig>) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Makes the waits between connections repeatable.
    pub fn jitter_seed(mut self, seed: u64) -> Self {
        self.jitter_seed = Some(seed);
        self
    }

    /// Another network than the system's, for streams and for REST: a simulation's.
    pub fn network(mut self, network: Arc<dyn Network>) -> Self {
        self.network = Some(network);
        self
    }

    /// Another clock than the system's: a simulation's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// A budget of connection attempts that is shared with others, or has other limits than the exchange's.
    pub fn connection_budget(mut self, budget: ConnectionBudget) -> Self {
        self.budget = budget;
        self
    }

    /// Begins a new file of a recording whenever so much time has passed, instead of every hour.
    pub fn record_in_files_of(mut self, time: Duration) -> Self {
        self.rotate = time;
        self
    }

    /// Waits so long at the end for the last of a recording, instead of a second: a simulation has the time.
    pub fn wait_for_recording(mut self, limit: Duration) -> Self {
        self.recording_patience = limit;
        self
    }

    /// Reads the symbols file again whenever this is notified.
    pub fn reload_on(mut self, asked: Arc<Notify>) -> Self {
        self.reload = Some(asked);
        self
    }

    /// Tells the service manager how a live run does.
    #[cfg(feature = "ops")]
    pub fn service(mut self, service: Option<Service>) -> Self {
        self.service = service;
        self
    }

    /// Calls a listener with the address that HTTP is served on, once it is: of port 0, with the port that was taken.
    #[cfg(feature = "ops")]
    pub fn on_http(mut self, listener: impl FnOnce(std::net::SocketAddr) + Send + 'static) -> Self {
        self.on_http = Some(Box::new(listener));
        self
    }

    /// Colours text records.
    pub fn color(mut self, color: bool) -> Self {
        self.color = color;
        self
    }

    /// Runs live until `shutdown` is ready, the settings' `duration` or `count` is reached, or nobody reads
    /// the output any more. Ends within [`SHUTDOWN_LIMIT`] of being asked to, queued frames included.
    ///
    /// # Errors
    /// [`AppError`]: the exchange refuses for good, the output fails, or the end takes too long.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<Summary, AppError> {
        let clock = self.clock.unwrap_or_else(Clock::system);
        let events = Events::new(self.log.take());
        let network = match self.network.take() {
            Some(network) => network,
            None => Arc::new(system_network(&self.config, self.tls.take())?),
        };
        let watchers = self.watchers(clock, &network)?;
        let duration = self.config.duration.take();
        let mut asked = pin!(async {
            match duration {
                None => shutdown.await,
                Some(duration) => drop(timeout(duration, shutdown).await),
            }
        });
        let Some(following) =
            following(&self.config, self.reload.take(), &network, &events, clock, &mut asked).await?
        else {
            return Ok(Summary::nothing());
        };
        let Following { wanted, links, plans, desk, endpoints } = following;
        let (sender, receiver) = drop_oldest(self.config.queue);
        // `supervise` polls the feed, then the processor.
        let sender = sender.beside_receiver();
        let steering = Steering::default();
        let live_parts = LiveParts {
            queue: sender.gauge(),
            clock,
            stats_interval: self.config.stats_interval,
            links,
            steering: steering.clone(),
            redundancy: self.config.lines.redundancy,
            max_lag: self.config.lines.max_lag,
            heartbeat_timeout: self.config.heartbeat_timeout,
            records_apart: self.config.latency.records_apart(),
        };
        let repair = self.repair(&endpoints, &network, clock, &steering, &events);
        let settings = LiveSettings {
            plans,
            liveness: LivenessLimits::with_heartbeat(self.config.heartbeat_timeout),
            backoff_max: self.config.backoff_max,
            jitter_seed: self.jitter_seed,
            redundancy: self.config.lines.redundancy,
            handover_after: self.config.lines.handover_after,
        };
        let live = Live::new(settings, sender, &events, clock)?
            .with_network(Arc::clone(&network))
            .with_steering(steering);
        let live = live.with_budget(self.budget.clone());
        let (stop, stopped) = watch::channel(false);
        let frames_from = TradeSource::Stream;
        let parts = Parts { live: Some((live_parts, desk)), repair, wanted, frames_from, watchers };
        self.supervise(parts, receiver, &events, live.run(stopped), stop, asked).await
    }

    /// Who fetches what is missing: nobody, where that is switched off or where it is not known whom to ask.
    fn repair(
        &self,
        endpoints: &[Endpoint],
        network: &Arc<dyn Network>,
        clock: Clock,
        steering: &Steering,
        events: &Events,
    ) -> Option<Repairs> {
        let repair = &self.config.repair;
        if !repair.enabled {
            return None;
        }
        let mut clients = Vec::new();
        for endpoint in endpoints {
            match self.config.rest_of(endpoint) {
                Some(base) => clients.push(RestClient::new(Arc::clone(network), base, endpoint.market)),
                None => events.repair_off(&endpoint.host),
            }
        }
        let heartbeat_timeout = self.config.heartbeat_timeout;
        let are_some = !clients.is_empty();
        are_some.then(|| Repairs::new(clients, repair.deadline, heartbeat_timeout, clock, steering))
    }

    /// Runs feed and processor side by side and ends them in order: the feed first, then what it left.
    async fn supervise(
        self,
        parts: Parts,
        source: impl Source,
        events: &Events,
        feed: impl Future<Output = Result<(), FeedError>>,
        stop: watch::Sender<bool>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Summary, AppError> {
        let Self { config, output, on_trade, color, rotate, recording_patience, files, silent_until, .. } =
            self;
        let Parts { live, repair, wanted, frames_from, mut watchers } = parts;
        let (live, roster) = live.unzip();
        let instruments = match &wanted {
            Wanted::Only(seats) => seats.iter().map(|seat| seat.instrument.clone()).collect(),
            Wanted::Everything => Vec::new(),
        };
        let output = match output {
            Some(output) => output,
            None => Output::new(Box::new(std::io::stdout())).map_err(AppError::Output)?,
        };
        let is_live = live.is_some();
        let settings = ReportSettings {
            format: config.output,
            print_every: config.print_every,
            prints_many: config.table.with_trades,
            is_table_asked: config.table.top.is_some(),
            color,
        };
        let scope = Scope { market: config.market, instruments };
        let calculator = config.calculator;
        NotionalBars::check(config.market, config.bars.specs.iter().copied())?;
        let mut pipeline = Pipeline::new(PipelineConfig {
            market: config.market,
            frames_from,
            wanted,
            calculator,
            repairs: repair.is_some(),
            hold_size: config.repair.hold_size,
            bars: config.bars.builders(),
            counts_worth: is_live,
        })?;
        let checkpoints = match &live {
            Some(live) => {
                let endpoints = following::endpoints(&config);
                Checkpoints::open(&config, &endpoints, &mut pipeline, live.clock, events, repair.is_some())?
            }
            None => None,
        };
        let (rows, rows_thread) = results(&config)?;
        let mut processor = Processor {
            pipeline,
            reporter: Reporter::new(settings, scope, output.writer)
                .with_rows(rows)
                .with_broadcast(watchers.broadcast.take())
                .only(picked(&config.symbols.only)),
            board: Board::new(&config.table, config.symbols.groups.clone()),
            events,
            live,
            roster,
            repair,
            checkpoints,
            silent_until,
            recording: if is_live {
                Recording::new(&config.record, rotate, recording_patience)
            } else {
                None
            },
            count: config.count,
            on_trade,
            files,
            poster: watchers.poster.take(),
        };

        let mut doorbell = Doorbell::default();
        let asked = pin!(async {
            match config.duration {
                None => shutdown.await,
                Some(duration) => drop(timeout(duration, shutdown).await),
            }
        });
        let mut asked = doorbell.guard(asked);
        let mut end = End::default();
        let mut feed = pin!(supervised("feed", feed));
        let mut feed_result = None;
        let mut work = Box::pin(supervised("processor", processor.run(source)));
        let worked = loop {
            tokio::select! {
                biased;
                // In the direction of the data.
                result = &mut feed, if feed_result.is_none() => {
                    let result = match result {
                        Ok(()) if is_live && !end.asked => {
                            Err(AppError::TaskEnded { task: "feed", what: String::new() })
                        }
                        result => result,
                    };
                    if result.is_err() {
                        end.begin();
                    }
                    feed_result = Some(result);
                }
                result = &mut work => break Some(result),
                () = &mut asked, if !end.asked => {
                    end.ask();
                    watchers.stopping();
                    stop.send_replace(true);
                }
                () = end.deadline() => break None,
            }
        };
        drop(work);
        watchers.stopping();
        stop.send_replace(true);
        let Some(worked) = worked else {
            // The records have no way out; the log may have one.
            processor.totals().iter().for_each(|line| tracing::error!(event = "final_unwritten", "{line}"));
            feed_result.unwrap_or(Ok(()))?;
            return Err(AppError::ShutdownDeadline(SHUTDOWN_LIMIT));
        };
        if feed_result.is_none() {
            // The processor ended first, because it has what it wanted; the feed only says good-bye.
            feed_result = timeout(GOODBYE_LIMIT, feed).await.ok();
        }
        // The writer goes, so that the writing thread ends with the last chunk; it may take its time unless
        // somebody asked for an end.
        drop(processor);
        // Of files that nobody had the patience for there is nothing to keep.
        let is_kept = |summary: &Summary| {
            let is_empty = summary.files.is_some() && summary.metrics.applied_trades == 0;
            nothing_of_files(summary).is_none() && !(is_empty && end.asked)
        };
        let is_whole = !matches!(feed_result, Some(Err(_))) && worked.as_ref().is_ok_and(is_kept);
        let mut writing = pin!(async {
            let written = output.thread.finish().await.map_err(AppError::OutputClosed);
            finish_results(rows_thread, is_whole, events).await?;
            written
        });
        let written = async {
            loop {
                tokio::select! {
                    biased;
                    written = &mut writing => break written,
                    () = &mut asked, if !end.asked => end.ask(),
                    () = end.deadline() => break Err(AppError::ShutdownDeadline(SHUTDOWN_LIMIT)),
                }
            }
        };
        let (written, ()) = tokio::join!(written, watchers.finish());
        feed_result.unwrap_or(Ok(()))?;
        match (worked, written) {
            // Its own thread knows why.
            (_, Err(error @ AppError::Write(_))) => Err(error),
            (worked, written) => {
                let summary = worked?;
                written.map(|()| summary)
            }
        }
    }
}

/// What a run is made of.
struct Parts {
    /// What only a live run has.
    live: Option<(LiveParts, RosterDesk)>,
    repair: Option<Repairs>,
    wanted: Wanted,
    frames_from: TradeSource,
    watchers: Watchers,
}

/// Which symbols are shown; `None` for all.
fn picked(only: &[Selector]) -> Option<Pick> {
    let only = only.to_vec();
    let pick: Option<Pick> = match only.is_empty() {
        true => None,
        false => Some(Box::new(move |instrument| only.iter().any(|selector| selector.matches(instrument)))),
    };
    pick
}

/// What is wrong with files of which not one row is good.
fn nothing_of_files(summary: &Summary) -> Option<AppError> {
    let ReplayStatistics { files, skipped_files, .. } = summary.files?;
    let MonitoringMetrics { total_messages, applied_trades, parse_errors, .. } = summary.metrics;
    if total_messages == 0 && files == 0 && skipped_files > 0 {
        return Some(AppError::NothingReplayed);
    }
    (applied_trades == 0 && parse_errors > 0).then_some(AppError::NothingReadable { damaged: parse_errors })
}

/// The file of results, if there is to be one.
fn results(config: &Config) -> Result<(Option<RowWriter>, Option<RowThread>), WriteError> {
    let Some(path) = &config.write else { return Ok((None, None)) };
    let BarsConfig { specs, empty } = config.bars.clone();
    let Config { market, calculator, .. } = *config;
    let RowFile { writer, thread } =
        RowFile::create(path, &TableSettings { market, calculator, bars: specs, empty_bars: empty })?;
    Ok((Some(writer), Some(thread)))
}

/// Gives the file of results its name, or removes it.
async fn finish_results(
    thread: Option<RowThread>,
    is_whole: bool,
    events: &Events,
) -> Result<(), WriteError> {
    let Some(thread) = thread else { return Ok(()) };
    let path = thread.path().to_owned();
    thread.finish(is_whole).await?;
    events.results(&path, is_whole);
    Ok(())
}

/// The system's network, as the settings say. TLS settings of a program's own know their roots themselves.
///
/// # Errors
/// If the file of `--ca-file` cannot be used.
pub fn system_network(config: &Config, tls: Option<Arc<ClientConfig>>) -> Result<SystemNetwork, CaFileError> {
    let roots = match &config.ca_file {
        Some(path) if tls.is_none() => ExtraRoots::from_file(path)?,
        _ => ExtraRoots::default(),
    };
    Ok(SystemNetwork::new(tls).with_proxies(config.proxies.clone()).with_extra_roots(roots))
}

/// Runs a part of the whole; a panic in it becomes an error that names it.
async fn supervised<T, E: Into<AppError>>(
    task: &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, AppError> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(result) => result.map_err(Into::into),
        Err(panic) => {
            let what = panic.downcast_ref::<&str>().copied().map(str::to_owned);
            let what = what.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Err(AppError::TaskEnded { task, what })
        }
    }
}

/// When everything has to be over.
#[derive(Debug, Default)]
struct End {
    asked: bool,
    at: Option<Instant>,
}

impl End {
    /// Somebody asked for it.
    fn ask(&mut self) {
        self.asked = true;
        self.begin();
    }

    fn begin(&mut self) {
        self.at.get_or_insert_with(|| Instant::now() + SHUTDOWN_LIMIT);
    }

    /// Ready at the deadline; never, while there is none.
    async fn deadline(&self) {
        match self.at {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}
