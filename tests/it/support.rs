//! A monitor that runs beside the test, and what it wrote and said so far, to be awaited instead of slept for.

use std::fmt::Debug;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use cvd_stream::app::{App, AppError};
use cvd_stream::clock::Clock;
use cvd_stream::config::{Config, OutputFormat};
use cvd_stream::cvd::{Cvd, CvdConfig, Reading};
use cvd_stream::exchange::{Exchange, ExchangeBuilder, ExchangeReport, Script};
use cvd_stream::feed::endpoint::Endpoint;
use cvd_stream::processor::Summary;
use cvd_stream::repair::rest::RestBase;
use cvd_stream::replay::Replay;
use cvd_stream::report::output::Output;
use cvd_stream::snapshot::{Quality, Snapshot};
use cvd_stream::trade::AggTrade;
use cvd_stream::units::Symbol;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A test that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A story with an end: one that hangs fails.
pub(crate) async fn story<T>(told: impl Future<Output = T>) -> T {
    timeout(PATIENCE, told).await.expect("the story must not hang")
}

/// The settings of a monitor of this address: the one place that builds them.
pub(crate) fn config(url: &str) -> Config {
    let endpoint = Endpoint::from_url(url, None, None, false).expect("a URL that can be connected to");
    Config {
        endpoint,
        output: OutputFormat::Json,
        backoff_max: Duration::from_millis(50),
        ..Config::default()
    }
}

/// An exchange that lists BTCUSDT.
pub(crate) fn btcusdt() -> ExchangeBuilder {
    Exchange::builder().symbol("BTCUSDT").seed(7)
}

/// An exchange of BTCUSDT that plays these acts.
pub(crate) async fn exchange(script: impl Into<Script>) -> Exchange {
    btcusdt().script(script).start().await.expect("loopback has a free port")
}

/// A symbol.
pub(crate) fn symbol(text: &str) -> Symbol {
    Symbol::new(text).expect("a symbol")
}

/// Ends an exchange that must not have been treated against its rules.
pub(crate) async fn stopped_in_peace(exchange: Exchange) -> ExchangeReport {
    let report = exchange.stop().await.expect("the ports work to the end");
    assert_eq!(report.violations, [""; 0]);
    report
}

/// A value that grows, and whose growth can be awaited.
#[derive(Debug)]
pub(crate) struct Growing<T>(Arc<watch::Sender<T>>);

impl<T> Clone for Growing<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Default> Default for Growing<T> {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(T::default())))
    }
}

impl<T: Clone> Growing<T> {
    pub(crate) fn grow(&self, change: impl FnOnce(&mut T)) {
        self.0.send_modify(change);
    }

    pub(crate) fn now(&self) -> T {
        self.0.borrow().clone()
    }

    pub(crate) async fn until(&self, condition: impl FnMut(&T) -> bool) -> T {
        let mut receiver = self.0.subscribe();
        let value = receiver.wait_for(condition).await.expect("the sender is held here");
        value.clone()
    }
}

/// Everything written so far.
pub(crate) type Written = Growing<Vec<u8>>;

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.grow(|written| written.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    /// Waits for a line that fulfils a condition, and gives it.
    pub(crate) async fn line_where(&self, condition: impl Fn(&str) -> bool) -> String {
        let text = self.until(|bytes| whole_lines(bytes).any(&condition)).await;
        let line = whole_lines(&text).find(|line| condition(line)).expect("it was waited for");
        line.to_owned()
    }
}

fn whole_lines(bytes: &[u8]) -> impl Iterator<Item = &str> {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    std::str::from_utf8(&bytes[..end]).expect("records are UTF-8").lines()
}

/// A trade as the listener saw it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) symbol: String,
    pub(crate) trade: AggTrade,
    pub(crate) reading: Reading,
}

/// The trades that were applied so far.
pub(crate) type Trades = Growing<Vec<Seen>>;

impl Trades {
    fn see(&self, snapshot: &Snapshot<'_>) {
        let (symbol, trade, reading) = (snapshot.symbol.to_string(), *snapshot.trade, snapshot.reading);
        self.grow(|seen| seen.push(Seen { symbol, trade, reading }));
    }

    /// Waits until so many trades are applied.
    pub(crate) async fn reach(&self, count: usize) -> Vec<Seen> {
        self.until(|seen| seen.len() >= count).await
    }
}

/// When the clock of a simulation starts, in nanoseconds since 1970: as the exchange's does.
const START_NS: i64 = 1_795_132_800_000_000_000;

/// A monitor at work.
pub(crate) struct Monitor {
    pub(crate) records: Written,
    pub(crate) trades: Trades,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<Summary, AppError>>,
}

impl Monitor {
    /// Watches with JSON records of every hundredth trade, and short waits between connections.
    pub(crate) fn of(exchange: &Exchange) -> Self {
        Self::with(config(&exchange.stream_url()))
    }

    pub(crate) fn with(config: Config) -> Self {
        Self::watch(App::new(config))
    }

    /// Runs an app whose records the test keeps.
    pub(crate) fn watch(app: App) -> Self {
        let records = Written::default();
        let app = app.write_to(records.clone()).expect("a thread");
        Self { records, ..Self::run(app) }
    }

    /// Watches an exchange in memory, by the paused clock, with REST to ask; its records are read at once.
    pub(crate) fn simulated(exchange: &Exchange, change: impl FnOnce(&mut Config)) -> Self {
        Self::simulated_slowly(exchange, Duration::ZERO, change)
    }

    /// The same, with a reader of the records that takes so long for each chunk of them.
    pub(crate) fn simulated_slowly(
        exchange: &Exchange,
        for_a_chunk: Duration,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        Self::simulation(exchange, for_a_chunk, change, |app| app)
    }

    /// The same, of an app that is changed.
    pub(crate) fn simulated_with(
        exchange: &Exchange,
        change: impl FnOnce(&mut Config),
        with: impl FnOnce(App) -> App,
    ) -> Self {
        Self::simulation(exchange, Duration::ZERO, change, with)
    }

    fn simulation(
        exchange: &Exchange,
        for_a_chunk: Duration,
        change: impl FnOnce(&mut Config),
        with: impl FnOnce(App) -> App,
    ) -> Self {
        let mut config = Config { print_every: 1, ..config(&exchange.stream_url()) };
        config.backoff_max = Duration::from_secs(30);
        config.repair.rest_url =
            Some(RestBase::parse(&exchange.rest_url(), false).expect("an address on this machine"));
        change(&mut config);
        let (output, mut chunks) = Output::piped();
        let records = Written::default();
        let mut into = records.clone();
        tokio::spawn(async move {
            while let Some(chunk) = chunks.recv().await {
                into.write_all(&chunk).expect("memory takes everything");
                if !for_a_chunk.is_zero() {
                    tokio::time::sleep(for_a_chunk).await;
                }
            }
        });
        let app =
            App::new(config).network(exchange.network()).clock(Clock::simulated(START_NS)).output(output);
        Self { records, ..Self::run(with(app)) }
    }

    /// Runs an app whose records go where it has been told.
    pub(crate) fn run(app: App) -> Self {
        let trades = Trades::default();
        let listener = trades.clone();
        let app = app.on_trade(move |snapshot| listener.see(snapshot)).jitter_seed(1);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(app.run(async move { drop(stopped.await) }));
        Self { records: Written::default(), trades, stop, task }
    }

    /// Reads recorded files to their end.
    pub(crate) async fn replay(app: App, replay: Replay) -> Ended {
        let (trades, records) = (Trades::default(), Written::default());
        let listener = trades.clone();
        let app = app.on_trade(move |snapshot| listener.see(snapshot));
        let app = app.write_to(records.clone()).expect("a thread");
        let summary = app.replay_files(replay, std::future::pending()).await.expect("the files are good");
        Ended { summary, records, trades: trades.now() }
    }

    /// Asks it to stop, and waits for the end.
    pub(crate) async fn stop(self) -> Result<Ended, AppError> {
        // An error means that it has ended by itself, which the task will tell.
        self.stop.send(()).ok();
        let summary = self.task.await.expect("the monitor must not panic")?;
        Ok(Ended { summary, records: self.records, trades: self.trades.now() })
    }

    /// Waits until it ends by itself.
    pub(crate) async fn end(self) -> Result<Ended, AppError> {
        let summary = self.task.await.expect("the monitor must not panic")?;
        drop(self.stop);
        Ok(Ended { summary, records: self.records, trades: self.trades.now() })
    }
}

/// What a monitor came to.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) summary: Summary,
    pub(crate) trades: Vec<Seen>,
    records: Written,
}

impl Ended {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.records.now()).expect("records are UTF-8")
    }

    /// The lines of one type of record.
    pub(crate) fn records(&self, kind: &str) -> Vec<String> {
        let mark = format!("\"type\":\"{kind}\"");
        self.text().lines().filter(|line| line.contains(&mark)).map(str::to_owned).collect()
    }

    /// The final record, which must be the last one.
    pub(crate) fn last(&self) -> serde_json::Value {
        let text = self.text();
        let line = text.lines().last().expect("there are records");
        let record: serde_json::Value = serde_json::from_str(line).expect("a record is JSON");
        assert_eq!(record["type"], "final", "{line}");
        record
    }

    /// The records of gaps, in short: event, ids, trades, cause.
    pub(crate) fn gaps(&self) -> Vec<String> {
        let short = |line: String| {
            let field = |name| raw_field(&line, name).trim_matches('"').to_owned();
            let [event, from, to, trades, cause] =
                ["event", "from_id", "to_id", "trades", "cause"].map(field);
            format!("{event} {from}-{to} {trades} {cause}")
        };
        let (schema, records) = (schema(), self.records("gap"));
        records.iter().for_each(|line| assert_valid(&schema, line));
        records.into_iter().map(short).collect()
    }

    /// Whether CVD, EMA and Z-score are, to the last bit, those of an unbroken run over the ledger's trades from the
    /// first id to the last, each of which came once and in order.
    pub(crate) fn assert_whole(&self, exchange: &Exchange, name: &str) {
        let (ledger, symbol) = (exchange.ledger().trades(&symbol(name)), symbol(name));
        let lane = self.summary.lanes.iter().find(|lane| lane.symbol == symbol).expect("a lane of it");
        let range = lane.coverage.first_id..=lane.coverage.last_id;
        let ids = ledger.iter().filter(|trade| range.contains(&Some(trade.id)));
        let mut unbroken = Cvd::new(CvdConfig::default()).expect("the defaults are in range");
        let mut readings = Vec::new();
        for trade in ids.clone() {
            readings.extend(unbroken.apply(trade).map(|reading| (trade.id, reading)));
        }
        let seen: Vec<_> = self
            .trades
            .iter()
            .filter(|seen| seen.symbol == name)
            .map(|seen| (seen.trade.id, seen.reading))
            .collect();
        assert_eq!(seen, readings, "readings of {name}");
        assert_eq!(lane.reading, unbroken.reading());
        assert_eq!(lane.coverage.quality, Quality::Complete, "{:?}", lane.coverage);
        assert_eq!((lane.coverage.missing_trades, lane.ids_seen), (0, ids.count() as u64));
        assert_eq!((lane.open, lane.held_trades), (None, 0));
    }

    /// Whether the numbers of the only symbol are those of the exchange, to the last digit and id.
    pub(crate) fn assert_equals_ledger(&self, exchange: &Exchange, name: &str) {
        let (ledger, symbol) = (exchange.ledger(), symbol(name));
        let lane = self.summary.lanes.iter().find(|lane| lane.symbol == symbol).expect("a lane of it");
        assert_eq!(lane.reading.cvd, ledger.cvd(&symbol), "CVD of {name}");
        assert_eq!(lane.trades, ledger.made(&symbol), "trades of {name}");
        let ids = (ledger.first_id(&symbol), ledger.last_id(&symbol));
        assert_eq!((lane.coverage.first_id, lane.coverage.last_id), ids, "ids of {name}");

        let last = self.last();
        let lanes = last["symbols"].as_array().expect("the final record has symbols");
        let record = lanes.iter().find(|lane| lane["symbol"] == name).expect("a summary of it");
        assert_eq!(record["cvd"], ledger.cvd(&symbol).to_string(), "CVD of {name} in the record");
        assert_eq!(record["trades"], ledger.made(&symbol));
        assert_eq!(record["first_id"], ledger.first_id(&symbol).map_or(0, |id| id.0));
        assert_eq!(record["last_id"], ledger.last_id(&symbol).map_or(0, |id| id.0));
    }
}

/// What `docs/record.schema.json` says about a record.
pub(crate) fn schema() -> jsonschema::Validator {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/record.schema.json");
    let schema = std::fs::read_to_string(path).expect("the schema is part of the package");
    jsonschema::validator_for(&serde_json::from_str(&schema).expect("JSON")).expect("a schema")
}

pub(crate) fn assert_valid(schema: &jsonschema::Validator, line: &str) {
    let record: serde_json::Value =
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let faults: Vec<_> = schema.iter_errors(&record).map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{faults:?}: {line}");
}

/// The text of a field of a JSON record, as written.
pub(crate) fn raw_field<'a>(record: &'a str, name: &str) -> &'a str {
    let mark = format!("\"{name}\":");
    let at = record.find(&mark).unwrap_or_else(|| panic!("no `{name}` in {record}")) + mark.len();
    let rest = &record[at..];
    &rest[..rest.find([',', '}']).expect("a field ends")]
}

/// An output that takes nothing until it is let go.
pub(crate) struct Gate {
    into: Written,
    shut: Receiver<()>,
    tried: Growing<u64>,
}

/// Opens the gate when dropped.
pub(crate) struct Key {
    /// How often something was written, or tried to be.
    pub(crate) tried: Growing<u64>,
    _open: SyncSender<()>,
}

impl Gate {
    pub(crate) fn shut(into: Written) -> (Self, Key) {
        let (open, shut) = sync_channel(1);
        let tried = Growing::default();
        (Self { into, shut, tried: tried.clone() }, Key { tried, _open: open })
    }
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tried.grow(|tried| *tried += 1);
        // Nothing is ever sent: the end of the sender opens the gate for good.
        if self.shut.try_recv() != Err(TryRecvError::Disconnected) {
            self.shut.recv().unwrap_or_default();
        }
        self.into.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An output that fails from the beginning.
#[derive(Debug)]
pub(crate) struct Failing(pub(crate) io::ErrorKind);

impl Write for Failing {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(self.0.into())
    }
}

/// An error and its causes on one line.
pub(crate) fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
