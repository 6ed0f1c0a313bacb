//! From frames in memory to readings and records: everything per trade but the socket and the queue.
//!
//! `cargo bench --bench pipeline` measures times. For counting instructions there is a plain mode, one pass
//! over a fixed number of frames without criterion:
//!
//! ```text
//! cargo bench --bench pipeline -- --profile-frames 200000 [--symbols 100] [--records text|json]
//! valgrind --tool=callgrind --toggle-collect='*profiled*' target/release/deps/pipeline-… --profile-frames 200000
//! ```

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput};
use cvd_stream::cvd::CvdConfig;
use cvd_stream::feed::{Frame, LineId, SessionId};
use cvd_stream::pipeline::index::LaneIndex;
use cvd_stream::pipeline::{Event, Pipeline, PipelineConfig, Wanted};
use cvd_stream::report::output::Output;
use cvd_stream::report::{RecordFormat, ReportSettings, Reporter, Scope};
use cvd_stream::snapshot::{Market, Stamp, TradeSource};
use cvd_stream::source::Input;
use cvd_stream::units::Symbol;
use tokio::runtime::Runtime;

/// Enough to fill the window of each of a hundred symbols.
const FRAMES: usize = 32_768;

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let value = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
    let number = |name| value(name).map(|text| text.parse().expect("a number follows the name"));
    let Some(frames) = number("--profile-frames") else {
        return measure();
    };
    let symbols = symbols(number("--symbols").unwrap_or(1));
    let format = match value("--records").map(String::as_str) {
        None => None,
        Some("text") => Some(RecordFormat::Text),
        Some("json") => Some(RecordFormat::Json),
        Some(other) => panic!("--records is text or json, not {other}"),
    };
    let inputs = inputs(frames, &symbols);
    let whole = Whole::new(&symbols, format);
    println!("{} trades of {} symbols", profiled(whole, &inputs), symbols.len());
}

/// What is counted; never inlined, so that its name can be asked for.
#[inline(never)]
fn profiled(whole: Whole, inputs: &[Input]) -> u64 {
    whole.run(inputs)
}

fn measure() {
    let mut criterion = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let mut group = criterion.benchmark_group("pipeline");
    group.throughput(Throughput::Elements(FRAMES as u64));
    for (name, count, format) in [
        ("1 symbol", 1, None),
        ("100 symbols", 100, None),
        ("1 symbol, a line of text per trade", 1, Some(RecordFormat::Text)),
        ("1 symbol, a JSON record per trade", 1, Some(RecordFormat::Json)),
        ("100 symbols, a JSON record per trade", 100, Some(RecordFormat::Json)),
    ] {
        let symbols = symbols(count);
        let inputs = inputs(FRAMES, &symbols);
        group.bench_function(name, |bencher| {
            let fresh = || Whole::new(&symbols, format);
            bencher.iter_batched(fresh, |whole| whole.run(black_box(&inputs)), BatchSize::PerIteration);
        });
    }
    group.finish();
    look_ups(&mut criterion);
    criterion.final_summary();
}

/// The lane of each frame's symbol, in random order, against the library's map.
fn look_ups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lane");
    group.throughput(Throughput::Elements(FRAMES as u64));
    for count in [1, 10, 100, 600] {
        let symbols = symbols(count);
        let (mut index, mut map) = (LaneIndex::default(), HashMap::<Box<str>, usize>::new());
        for (lane, symbol) in symbols.iter().enumerate() {
            index.insert(Market::UsdM, symbol.as_str(), lane);
            map.insert(symbol.as_str().into(), lane);
        }
        let mut random = fastrand::Rng::with_seed(7);
        let names: Vec<String> = (0..FRAMES).map(|_| symbols[random.usize(..count)].to_string()).collect();
        group.bench_function(format!("{count} symbols"), |bencher| {
            bencher.iter(|| {
                names.iter().filter_map(|name| index.lane(Market::UsdM, black_box(name))).sum::<usize>()
            });
        });
        group.bench_function(format!("{count} symbols, the library's map"), |bencher| {
            bencher.iter(|| {
                names.iter().filter_map(|name| map.get(black_box(name.as_str())).copied()).sum::<usize>()
            });
        });
    }
    group.finish();
}

/// A pipeline at zero, and a reporter whose output goes nowhere.
struct Whole {
    pipeline: Pipeline,
    reporter: Option<Reporter>,
    runtime: Runtime,
}

impl Whole {
    fn new(symbols: &[Symbol], format: Option<RecordFormat>) -> Self {
        let config = PipelineConfig {
            market: Market::UsdM,
            frames_from: TradeSource::Stream,
            wanted: Wanted::of(Market::UsdM, symbols),
            calculator: CvdConfig::default(),
            repairs: true,
            hold_size: 65_536,
            bars: Vec::new(),
            counts_worth: true,
        };
        let reporter = format.map(|format| {
            let output = Output::new(Box::new(std::io::sink())).expect("the system gives a thread");
            let settings = ReportSettings {
                format,
                print_every: 1,
                prints_many: true,
                is_table_asked: false,
                color: false,
            };
            Reporter::new(settings, Scope::default(), output.writer)
        });
        Self {
            pipeline: Pipeline::new(config).expect("the default calculator is in range"),
            reporter,
            runtime: tokio::runtime::Builder::new_current_thread().build().expect("a runtime without I/O"),
        }
    }

    /// Every input once; tells how many trades came out.
    fn run(mut self, inputs: &[Input]) -> u64 {
        for input in inputs {
            let reporter = &mut self.reporter;
            self.pipeline.step(input, &mut |event| match (event, reporter.as_mut()) {
                (Event::Trade(snapshot), Some(reporter)) => reporter.trade(&snapshot),
                (Event::Trade(snapshot), None) => _ = black_box(snapshot),
                (other, _) => panic!("a frame that is no trade: {other:?}"),
            });
            if let Some(reporter) = reporter.as_mut().filter(|reporter| reporter.is_full()) {
                self.runtime.block_on(reporter.flush()).expect("the sink takes everything");
            }
        }
        self.pipeline.counts().applied
    }
}

fn symbols(count: usize) -> Vec<Symbol> {
    let name = |at| if at == 0 { "BTCUSDT".to_owned() } else { format!("COIN{at}USDT") };
    (0..count).map(|at| Symbol::new(&name(at)).expect("letters and digits")).collect()
}

/// Frames as the exchange writes them today (about 205 bytes), symbols at random, ids consecutive for each.
fn inputs(frames: usize, symbols: &[Symbol]) -> Vec<Input> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut ids = vec![2_000_000_000u64; symbols.len()];
    let streams: Vec<String> = symbols.iter().map(Symbol::stream_name).collect();
    let mut tenths = 640_000i64;
    let frame = |at: usize| {
        let which = random.usize(0..symbols.len());
        ids[which] += 1;
        let (id, symbol, stream) = (ids[which], &symbols[which], &streams[which]);
        tenths += random.i64(-3..=3);
        let (whole, tenth) = (tenths / 10, tenths % 10);
        let thousandths = random.u64(1..3_000);
        let (qty, rest) = (thousandths / 1_000, thousandths % 1_000);
        let sold = random.bool();
        let (first, event) = (420_000_000 + at as u64 * 2, 1_790_870_843_144 + at as u64 / 20);
        let (last, traded) = (first + random.u64(0..2), event - random.u64(1..80));
        let text = format!(
            r#"{{"stream":"{stream}@aggTrade","data":{{"e":"aggTrade","E":{event},"a":{id},"s":"{symbol}","p":"{whole}.{tenth}0","q":"{qty}.{rest:03}","nq":"{qty}.{rest:03}","f":{first},"l":{last},"T":{traded},"m":{sold},"st":1}}}}"#
        );
        let received = Some(Stamp { wall_ns: (event as i64 + 31) * 1_000_000, mono_ns: at as u64 * 1_000 });
        let (line, session) = (LineId(0), SessionId(1));
        Input::Frame(Frame { line, session, ordinal: at as u64 + 1, received, text: text.into() })
    };
    (0..frames).map(frame).collect()
}
