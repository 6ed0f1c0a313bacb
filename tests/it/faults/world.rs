//! Runs a plan: the whole monitor against the practice exchange, through the weather, under a paused clock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cvd_stream::app::App;
use cvd_stream::clock::Clock;
use cvd_stream::config::{Config, OutputFormat, QueueLimits, RepairConfig};
use cvd_stream::exchange::{Exchange, ExchangeReport, Script};
use cvd_stream::feed::endpoint::Endpoint;
use cvd_stream::processor::Summary;
use cvd_stream::repair::rest::RestBase;
use cvd_stream::report::output::Output;
use cvd_stream::trade::AggTrade;
use cvd_stream::units::{AggTradeId, UnixMillis};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::chaos::{Chaos, Damage};
use super::schedule::Plan;
use crate::support::{raw_field, told};

/// 20 seconds before a full minute.
pub(super) const START: UnixMillis = UnixMillis(1_795_132_840_000);
/// A script that takes longer has come to a stop.
const SCRIPT_LIMIT: Duration = Duration::from_secs(24 * 3_600);
/// What is not whole so long after everything is calm never will be.
const HEAL_LIMIT: Duration = Duration::from_secs(6 * 3_600);
const END_LIMIT: Duration = Duration::from_secs(10);

/// What a run came to.
pub(crate) struct Outcome {
    /// Why it did not end as it should, if so.
    pub(crate) stuck: Option<String>,
    /// The monitor's own account, or its error.
    pub(crate) summary: Result<Summary, String>,
    /// What it wrote.
    pub(crate) records: Vec<u8>,
    /// What truly happened, by symbol of the plan.
    pub(crate) truth: Vec<Truth>,
    pub(crate) exchange: ExchangeReport,
    pub(crate) damage: Arc<Damage>,
    /// How long it took, by the paused clock.
    pub(crate) took: Duration,
}

/// What truly happened to a symbol.
#[derive(Debug)]
pub(crate) struct Truth {
    /// Every trade made, oldest first; of several epochs, one after the other.
    pub(crate) trades: Vec<AggTrade>,
}

/// Runs a plan to its end on this thread.
pub(crate) fn run(plan: &Plan) -> Outcome {
    paused(play(plan, |app| app, |_| {}))
}

/// The same, with another configuration and another build of the monitor.
pub(crate) fn run_with(
    plan: &Plan,
    build: impl FnOnce(App) -> App,
    change: impl FnOnce(&mut Config),
) -> Outcome {
    paused(play(plan, build, change))
}

/// Does something on this thread under a paused clock.
pub(crate) fn paused<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(work)
}

async fn play(plan: &Plan, build: impl FnOnce(App) -> App, change: impl FnOnce(&mut Config)) -> Outcome {
    let begun = Instant::now();
    let clock = Clock::simulated(START.0 * 1_000_000);
    let mut builder = Exchange::builder().market(plan.market).seed(plan.seed).in_memory().start_time(START);
    for symbol in &plan.symbols {
        builder = builder.symbol(symbol.as_str());
    }
    let exchange = builder.script(Script::new(plan.acts.clone())).start().await.unwrap();
    let (calm, damage) = (Arc::new(AtomicBool::new(false)), Arc::<Damage>::default());
    let network = Chaos::new(&exchange, plan.weather, plan.seed, Arc::clone(&calm), Arc::clone(&damage));

    let (output, chunks) = Output::piped();
    let records = Arc::<Mutex<Vec<u8>>>::default();
    let reached = Arc::new(watch::Sender::new(vec![[None; 2]; plan.symbols.len()]));
    let reader = Reading {
        plan: plan.clone(),
        calm: Arc::clone(&calm),
        records: Arc::clone(&records),
        reached: Arc::clone(&reached),
    };
    let reading = tokio::spawn(reader.run(chunks));
    let (symbols, listener) = (plan.symbols.clone(), Arc::clone(&reached));
    let (stop, stopped) = oneshot::channel::<()>();
    let mut config = config(plan, &exchange);
    change(&mut config);
    let app = build(App::new(config))
        .network(Arc::new(network))
        .clock(clock)
        .jitter_seed(plan.seed)
        .output(output)
        .on_trade(move |snapshot| {
            let lane = symbols.iter().position(|symbol| symbol == snapshot.symbol).unwrap();
            listener.send_modify(|reached| reached[lane][0] = Some(snapshot.trade.id));
        });
    let mut running = tokio::spawn(app.run(async move { drop(stopped.await) }));

    let mut stuck = None;
    let story = async {
        if timeout(SCRIPT_LIMIT, exchange.wait_for(|stats| stats.script_finished)).await.is_err() {
            return Some(format!("act {} of the script does not end", exchange.stats().acts_played));
        }
        calm.store(true, Ordering::Relaxed);
        // A pause of the reader that has begun ends with its time.
        sleep(Duration::from_millis(plan.reader.pause_ms)).await;
        let limit = Instant::now() + HEAL_LIMIT;
        for act in &plan.finish {
            if timeout_at(limit, exchange.play(act.clone())).await.is_err() {
                return Some(format!("{act:?} does not end although all is calm"));
            }
        }
        let last: Vec<_> = plan.symbols.iter().map(|symbol| exchange.ledger().last_id(symbol)).collect();
        let is_last = |(reached, last): (&[Option<AggTradeId>; 2], _)| reached.contains(last);
        let mut progress = reached.subscribe();
        let whole = progress.wait_for(|reached| reached.iter().zip(&last).all(is_last));
        if timeout_at(limit, whole).await.is_err() {
            let reached = reached.borrow().clone();
            return Some(format!("it stays at {reached:?} although {last:?} are there and all is calm"));
        }
        None
    };
    let ended_early = tokio::select! {
        biased;
        ended = &mut running => Some(ended),
        end = story => {
            stuck = end;
            None
        }
    };
    // Whatever is stuck, the reader of the output is not what holds it.
    calm.store(true, Ordering::Relaxed);
    drop(stop);
    let ended = match ended_early {
        Some(ended) => {
            stuck = Some("it ended before it was asked to".to_owned());
            Some(ended)
        }
        None => timeout(END_LIMIT, &mut running).await.ok(),
    };
    let summary = match ended {
        Some(ended) => ended.expect("the monitor must not panic").map_err(|error| told(&error)),
        None => {
            running.abort();
            Err(format!("it does not end within {END_LIMIT:?} of being asked to"))
        }
    };
    // Nothing is written any more; what was, is read.
    reading.abort();
    drop(reading.await);
    let truth = plan.symbols.iter().map(|symbol| Truth { trades: exchange.ledger().trades(symbol) });
    let truth = truth.collect();
    let exchange = exchange.stop().await.expect("the ports work to the end");
    let records = std::mem::take(&mut *records.lock().unwrap());
    Outcome { stuck, summary, records, truth, exchange, damage, took: begun.elapsed() }
}

fn config(plan: &Plan, exchange: &Exchange) -> Config {
    let settings = &plan.settings;
    let url = exchange.stream_url();
    let endpoint = Endpoint::from_url(&url, None, Some(plan.market), false).expect("a URL of the exchange");
    Config {
        queue: QueueLimits::for_frames(settings.queue),
        print_every: 1,
        heartbeat_timeout: settings.heartbeat,
        backoff_max: settings.backoff_max,
        stats_interval: settings.stats_interval,
        repair: RepairConfig {
            rest_url: Some(RestBase::parse(&exchange.rest_url(), false).expect("loopback needs no TLS")),
            deadline: settings.repair_deadline,
            hold_size: settings.hold,
            ..RepairConfig::default()
        },
        output: OutputFormat::Json,
        ..Config::with_endpoint(endpoint)
    }
}

/// Reads what the monitor writes, at the reader's pace while the weather lasts.
struct Reading {
    plan: Plan,
    calm: Arc<AtomicBool>,
    records: Arc<Mutex<Vec<u8>>>,
    reached: Arc<Reached>,
}

/// By symbol: the id of the last trade that was applied, and the last id that was given up.
type Reached = watch::Sender<Vec<[Option<AggTradeId>; 2]>>;

impl Reading {
    async fn run(self, mut chunks: mpsc::Receiver<Vec<u8>>) {
        let reader = self.plan.reader;
        let mut dice = fastrand::Rng::with_seed(self.plan.seed);
        while let Some(chunk) = chunks.recv().await {
            self.records.lock().unwrap().extend_from_slice(&chunk);
            let text = String::from_utf8_lossy(&chunk);
            text.lines()
                .filter(|line| line.contains("\"event\":\"unrepaired\""))
                .for_each(|line| self.note(line));
            let pauses = reader.pause_one_in > 0 && dice.u32(0..reader.pause_one_in) == 0;
            if pauses && !self.calm.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(dice.u64(0..=reader.pause_ms))).await;
            }
        }
    }

    /// Notes what was given up.
    fn note(&self, line: &str) {
        let name = raw_field(line, "symbol").trim_matches('"');
        let lane =
            self.plan.symbols.iter().position(|symbol| symbol.as_str() == name).expect("a symbol of ours");
        let id = raw_field(line, "to_id").parse().expect("an id");
        self.reached.send_modify(|reached| reached[lane][1] = Some(AggTradeId(id)));
    }
}
