//! What a run is told: typed settings, their defaults and their ranges.
//!
//! A program fills in a [`Config`] and calls [`Config::validate`]. The command reads one from flags, the
//! environment, `.env` and a configuration file; see `resolve`.

#[cfg(feature = "cli")]
mod dotenv;
mod fault;
#[cfg(feature = "cli")]
mod file;
mod http;
pub(crate) mod ledger;
pub mod options;
mod replaying;
#[cfg(feature = "cli")]
pub mod resolve;
mod symbols;
#[cfg(feature = "cli")]
mod values;
mod violations;

use std::path::PathBuf;
use std::time::Duration;

use crate::bars::{BarBuilder, BarSpec};
use crate::cvd::CvdConfig;
use crate::feed::Proxies;
use crate::feed::endpoint::Endpoint;
use crate::repair::rest::RestBase;
use crate::roster::Selection;
use crate::snapshot::Market;

#[cfg(feature = "cli")]
pub use dotenv::DotEnv;
pub use fault::{ConfigError, Fault, Origin};
#[cfg(feature = "cli")]
pub use file::ConfigFile;
pub use http::HttpConfig;
pub use options::{Command, OPTIONS, OptionSpec};
pub use replaying::{Bound, FetchConfig, ReplayConfig, Showing, Speed};
pub use symbols::SymbolsConfig;

pub use crate::queue::QueueLimits;
pub use crate::report::RecordFormat as OutputFormat;

/// Everything a run is told. The default follows ETHUSDT on USDⓈ-M.
///
/// ```
/// use cvd_stream::config::Config;
///
/// let mut config = Config::default();
/// config.print_every = 1_000;
/// config.validate().expect("the defaults are in range, and so is this");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The market of the trades; the same as the endpoint's.
    pub market: Market,
    /// Where the trades come from, and of which symbols.
    pub endpoint: Endpoint,
    /// Bounds of the queue between socket and calculation.
    pub queue: QueueLimits,
    /// A CVD record for every so many trades; 0 turns the periodic ones off.
    pub print_every: u64,
    /// Silence after which a connection is given up. 100 ms to 1 h.
    pub heartbeat_timeout: Duration,
    /// The longest wait between two attempts to connect. 10 ms to 1 h.
    pub backoff_max: Duration,
    /// Which symbols are followed, and which are shown.
    pub symbols: SymbolsConfig,
    /// Of other markets: where their trades come from. None if everything is of one market.
    pub other_endpoints: Vec<Endpoint>,
    /// How many symbols a connection carries at most, 1 to 1,024.
    pub streams_per_connection: usize,
    /// Whether waiting is traded for processor time.
    pub latency: LatencyMode,
    /// How many connections there are, and when one is replaced.
    pub lines: LinesConfig,
    /// Through what the stream and REST are reached.
    pub proxies: Proxies,
    /// A file of root certificates that are trusted too.
    pub ca_file: Option<PathBuf>,
    /// How missing trades are found again.
    pub repair: RepairConfig,
    /// What is kept for a restart.
    pub state: StateConfig,
    /// Time between two statistics records, 1 s to 1 day; zero turns them off.
    pub stats_interval: Duration,
    /// The calculator's settings.
    pub calculator: CvdConfig,
    /// How records look.
    pub output: OutputFormat,
    /// How many symbols are shown side by side, and which.
    pub table: TableConfig,
    /// What gathers the trades.
    pub bars: BarsConfig,
    /// A file for every trade, or for every bar if there are bars: `.csv`, `.jsonl`, `.jsonl.zst` or `.parquet`.
    pub write: Option<PathBuf>,
    /// What is kept of the inputs.
    pub record: RecordConfig,
    /// How files are replayed.
    pub replay: ReplayConfig,
    /// How archive files are fetched.
    pub fetch: FetchConfig,
    /// What is served over HTTP.
    pub http: HttpConfig,
    /// What is watched, and who is told; `None` for the built-in rules, where somebody watches at all.
    #[cfg(feature = "ops")]
    pub alerts: Option<crate::alerts::AlertsConfig>,
    /// How diagnostics look, and how many there are.
    pub log: LogConfig,
    /// End after this time, 1 ms to 3650 days; `None` for never.
    pub duration: Option<Duration>,
    /// End after this many trades, at least 1; `None` for never.
    pub count: Option<u64>,
}

impl Config {
    /// The defaults, but trades from `endpoint`.
    pub fn with_endpoint(endpoint: Endpoint) -> Self {
        Self {
            market: endpoint.market,
            endpoint,
            queue: QueueLimits::default(),
            print_every: 100,
            heartbeat_timeout: Duration::from_secs(60),
            backoff_max: Duration::from_secs(30),
            symbols: SymbolsConfig::default(),
            other_endpoints: Vec::new(),
            streams_per_connection: 200,
            latency: LatencyMode::default(),
            lines: LinesConfig::default(),
            proxies: Proxies::default(),
            ca_file: None,
            repair: RepairConfig::default(),
            state: StateConfig::default(),
            stats_interval: Duration::from_secs(60),
            calculator: CvdConfig::default(),
            output: OutputFormat::default(),
            table: TableConfig::default(),
            bars: BarsConfig::default(),
            write: None,
            record: RecordConfig::default(),
            replay: ReplayConfig::default(),
            fetch: FetchConfig::default(),
            http: HttpConfig::default(),
            #[cfg(feature = "ops")]
            alerts: None,
            log: LogConfig::default(),
            duration: None,
            count: None,
        }
    }

    /// Where trades come from, market by market.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        std::iter::once(&self.endpoint).chain(&self.other_endpoints)
    }

    /// Where the trades of a market come from; `None` if nothing of it is followed.
    pub fn endpoint_of(&self, market: Market) -> Option<&Endpoint> {
        self.endpoints().find(|endpoint| endpoint.market == market)
    }

    /// Where missing trades of the first market are asked for; `None` where nobody is.
    pub fn rest(&self) -> Option<RestBase> {
        self.rest_of(&self.endpoint)
    }

    /// Where missing trades of an endpoint are asked for; `None` where nobody is.
    pub fn rest_of(&self, endpoint: &Endpoint) -> Option<RestBase> {
        if self.repair.enabled { self.rest_address(endpoint) } else { None }
    }

    /// Where the REST of an endpoint's market is, whether or not missing trades are asked for there.
    pub fn rest_address(&self, endpoint: &Endpoint) -> Option<RestBase> {
        let own = || RestBase::parse(&endpoint.rest_base()?, false).ok();
        let others = self.repair.other_rest_urls.iter();
        let given = match endpoint.market == self.market {
            true => self.repair.rest_url.as_ref(),
            false => others.rev().find(|(market, _)| *market == endpoint.market).map(|(_, base)| base),
        };
        given.cloned().or_else(own)
    }

    /// What is followed, besides what a symbols file says.
    pub fn selection(&self) -> Selection {
        self.symbols.selection(&self.endpoint)
    }

    /// Checks every setting against its range.
    ///
    /// # Errors
    /// [`ConfigError`] with every fault at once.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let faults = violations::of(self).into_iter().map(|violation| {
            let fault = Fault::of(violation.option, &violation.value, None, violation.problem);
            match violation.remedy {
                Some(remedy) => fault.with_remedy(remedy),
                None => fault,
            }
        });
        ConfigError::check(faults.collect())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::with_endpoint(Endpoint::default())
    }
}

/// The table of movers, for many symbols.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableConfig {
    /// Time between two tables and two records of groups, 1 s to 1 day.
    pub every: Duration,
    /// Rows at most, 1 to 4,096; `None` for 20, and in JSON for no such records.
    pub top: Option<usize>,
    /// By what symbols are ranked.
    pub by: RankBy,
    /// Records of trades come as text too where symbols are many: somebody asked for them with `--print-every`.
    pub with_trades: bool,
}

impl TableConfig {
    /// Rows, where nobody says how many.
    pub const ROWS: usize = 20;
}

impl Default for TableConfig {
    fn default() -> Self {
        Self { every: Duration::from_secs(10), top: None, by: RankBy::default(), with_trades: false }
    }
}

/// By what symbols are ranked, the largest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RankBy {
    /// The delta of the interval in the quote asset, whichever its sign.
    #[default]
    AbsDelta,
    /// The Z-score, whichever its sign.
    Z,
    /// The volume of the interval in the quote asset.
    Volume,
    /// Trades in the interval.
    Rate,
}

impl RankBy {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::AbsDelta, Self::Z, Self::Volume, Self::Rate];

    /// `absdelta`, `z`, `volume` or `rate`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AbsDelta => "absdelta",
            Self::Z => "z",
            Self::Volume => "volume",
            Self::Rate => "rate",
        }
    }
}

/// Whether waiting is traded for processor time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LatencyMode {
    /// Wakes when something arrives.
    #[default]
    Default,
    /// Never sleeps: takes a core for itself, and what arrives is seen at once.
    Low,
    /// Wakes at most every two milliseconds.
    Eco,
}

impl LatencyMode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Default, Self::Low, Self::Eco];

    /// `default`, `low` or `eco`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Low => "low",
            Self::Eco => "eco",
        }
    }

    /// How far apart records are handed to the output, at least. To wake the thread that writes costs as much as dozens of
    /// trades: the first record goes at once, and what follows within this time goes together.
    pub const fn records_apart(self) -> Duration {
        match self {
            Self::Default => Duration::from_millis(2),
            Self::Low => Duration::ZERO,
            Self::Eco => Duration::from_millis(10),
        }
    }
}

/// How missing trades are found again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairConfig {
    /// Whether REST is asked at all; without it every hole is given up at once.
    pub enabled: bool,
    /// Where REST is; `None` for the host that belongs to the stream's. A stream host that is not the exchange's has
    /// none, and then nothing is repaired.
    pub rest_url: Option<RestBase>,
    /// The same for other markets than the first.
    pub other_rest_urls: Vec<(Market, RestBase)>,
    /// How long REST may bring nothing for a hole until it is given up, 100 ms to 1 day. Time in which REST must not be
    /// asked does not count.
    pub deadline: Duration,
    /// Trades of one symbol that may wait behind a hole, 1 to 16,777,216.
    pub hold_size: usize,
}

impl Default for RepairConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            rest_url: None,
            other_rest_urls: Vec::new(),
            deadline: Duration::from_secs(60),
            hold_size: 65_536,
        }
    }
}

/// How many connections there are, and when one is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinesConfig {
    /// Connections that carry the same trades side by side, 1 to 3.
    pub redundancy: u8,
    /// Age at which a connection is replaced before the exchange cuts it, 10 s to 1 day; zero for never.
    pub handover_after: Duration,
    /// Lag behind the exchange beyond which a connection is replaced, 100 ms to 1 h; zero for never.
    pub max_lag: Duration,
}

impl Default for LinesConfig {
    fn default() -> Self {
        let (handover_after, max_lag) = (Duration::from_secs(23 * 3_600), Duration::from_secs(10));
        Self { redundancy: 1, handover_after, max_lag }
    }
}

/// What is kept for a restart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StateConfig {
    /// Where checkpoints are kept; `None` keeps nothing.
    pub dir: Option<PathBuf>,
    /// Time between two checkpoints of a symbol, 100 ms to 1 h; `None` for 1 s up to 10 symbols and 15 s above.
    pub interval: Option<Duration>,
}

impl StateConfig {
    /// Time between two checkpoints of a symbol, where so many symbols are followed.
    pub fn interval_for(&self, symbols: usize) -> Duration {
        let usual = if symbols <= 10 { Duration::from_secs(1) } else { Duration::from_secs(15) };
        self.interval.unwrap_or(usual)
    }
}

/// What gathers the trades.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BarsConfig {
    /// Each of these, at most 16.
    pub specs: Vec<BarSpec>,
    /// Whether an interval without a trade has a bar.
    pub empty: bool,
}

impl BarsConfig {
    /// What gathers the bars of a symbol, before its first trade.
    pub fn builders(&self) -> Vec<BarBuilder> {
        self.specs.iter().map(|spec| BarBuilder::new(*spec, self.empty)).collect()
    }
}

/// What is kept of the inputs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordConfig {
    /// Where they are recorded; `None` records nothing.
    pub dir: Option<PathBuf>,
    /// Age at which files are deleted, 1 h to 3650 days; `None` for never.
    pub keep: Option<Duration>,
    /// Bytes of all files beyond which the oldest are deleted, 1 MiB or more; `None` for no limit.
    pub limit: Option<u64>,
}

/// How diagnostics look, where they go, and how many there are. Records are not diagnostics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// How they look.
    pub format: LogFormat,
    /// Where they go.
    pub output: LogOutput,
    /// Directives separated by commas, levels in lower case: `info`, `warn,cvd_stream::feed=debug`.
    pub level: String,
    /// Colours, in records too.
    pub color: ColorChoice,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::default(),
            output: LogOutput::default(),
            level: "info".to_owned(),
            color: ColorChoice::default(),
        }
    }
}

/// How diagnostics look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
    /// One line of `name=value` pairs each.
    Logfmt,
}

/// Where diagnostics go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogOutput {
    /// Standard error.
    #[default]
    Stderr,
    /// Standard output, among the records.
    Stdout,
}

/// When text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ColorChoice {
    /// On a terminal, and not when `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}
