//! Files of results: the same rows as on standard output, in every format, whole or not at all.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use cvd_stream::app::{App, AppError};
use cvd_stream::bars::BarSpec;
use cvd_stream::config::{BarsConfig, Config, OutputFormat};
use cvd_stream::exchange::{Act, AtEnd, Exchange, Script};
use cvd_stream::replay::{Replay, ReplayOptions};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::Value;

use crate::recorded::shared;
use crate::support::*;

/// A directory of its own, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("sinks-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

const HEADER: &str =
    "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n";

/// So many trades, with a hole behind every 50th and a void row behind every 70th.
fn table(rows: i64) -> String {
    let mut table = String::from(HEADER);
    for row in 0..rows {
        let (id, at) = (1_000 + row + row / 50, 1_795_132_800_000 + row * 97 + row / 200 * 9_000);
        let (price, qty) =
            if row % 70 == 69 { (0, 0) } else { (6_433_920 + row % 91, 1 + row * row % 1_999) };
        let (cents, lots) = (price % 100, qty % 1_000);
        table += &format!(
            "{id},{}.{cents:02},{}.{lots:03},{id}0,{id}{},{at},{}\n",
            price / 100,
            qty / 1_000,
            row % 10,
            row % 3 == 0
        );
    }
    table
}

fn bars() -> BarsConfig {
    let specs = ["1s", "ticks:7", "notional:1e5"].map(|text| text.parse::<BarSpec>().unwrap());
    BarsConfig { specs: specs.into(), empty: true }
}

fn config(bars: BarsConfig, write: PathBuf) -> Config {
    Config { output: OutputFormat::Json, print_every: 1, bars, write: Some(write), ..Config::default() }
}

async fn replay(file: &Path, config: Config) -> Result<Written, AppError> {
    let replay = Replay::open(vec![file.to_owned()], ReplayOptions::default()).unwrap();
    let records = Written::default();
    let app = App::new(config).write_to(records.clone()).unwrap();
    app.replay_files(replay, std::future::pending()).await.map(|_| records)
}

fn lines_of(records: &Written, kind: &str) -> String {
    let text = String::from_utf8(records.now()).unwrap();
    let mark = format!("{{\"v\":1,\"type\":\"{kind}\"");
    text.lines().filter(|line| line.starts_with(&mark)).map(|line| format!("{line}\n")).collect()
}

#[tokio::test]
async fn json_lines_are_the_records_of_standard_output_byte_for_byte() {
    story(async {
        let folder = Folder::new("jsonl");
        let file = folder.path("BTCUSDT-aggTrades-2026-11-20.csv");
        fs::write(&file, table(10_000)).unwrap();
        for (kind, bars) in [("cvd", BarsConfig::default()), ("bar", bars())] {
            let plain = folder.path("results.jsonl");
            let records = replay(&file, config(bars.clone(), plain.clone())).await.unwrap();
            let expected = lines_of(&records, kind);
            assert!(expected.lines().count() > 1_000);
            assert_eq!(fs::read_to_string(&plain).unwrap(), expected);
            let compressed = folder.path("results.JSONL.zst");
            // What is printed makes no difference.
            let quiet = Config { print_every: 0, ..config(bars, compressed.clone()) };
            replay(&file, quiet).await.unwrap();
            let text = zstd::decode_all(File::open(&compressed).unwrap()).unwrap();
            assert_eq!(String::from_utf8(text).unwrap(), expected);
            assert!(fs::metadata(&compressed).unwrap().len() * 5 < expected.len() as u64);
        }
        assert_eq!(
            folder.names(),
            ["BTCUSDT-aggTrades-2026-11-20.csv", "results.JSONL.zst", "results.jsonl"]
        );
    })
    .await;
}

#[tokio::test]
async fn csv_has_the_fields_of_the_records_as_text_and_nothing_for_null() {
    story(async {
        let folder = Folder::new("csv");
        let file = folder.path("BTCUSD_PERP-aggTrades-2026-11-20.csv");
        fs::write(&file, table(500)).unwrap();
        let mut bars = bars();
        bars.specs.retain(|spec| !matches!(spec, BarSpec::Notional(_)));
        for (kind, bars, columns) in [("cvd", BarsConfig::default(), 17), ("bar", bars, 29)] {
            let csv = folder.path("results.csv");
            let records = lines_of(&replay(&file, config(bars, csv.clone())).await.unwrap(), kind);
            let text = fs::read_to_string(&csv).unwrap();
            let mut lines = text.lines();
            let header: Vec<_> = lines.next().unwrap().split(',').collect();
            assert_eq!(header.len(), columns);
            assert_eq!(lines.clone().count(), records.lines().count());
            let mut nulls = 0;
            for (line, record) in lines.zip(records.lines()) {
                let fields: Vec<_> = line.split(',').collect();
                assert_eq!(fields.len(), header.len(), "{line}");
                for (name, field) in header.iter().zip(fields) {
                    let wanted = raw_field(record, name).trim_matches('"');
                    nulls += u32::from(wanted == "null");
                    assert_eq!(field, if wanted == "null" { "" } else { wanted }, "{name}: {line}\n{record}");
                }
            }
            assert!(nulls > 50, "{nulls}");
        }
    })
    .await;
}

/// A value of Parquet as the JSON of the records has it.
fn as_json(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Str(text) => text.clone().into(),
        Field::Long(value) | Field::TimestampMillis(value) => (*value).into(),
        Field::Double(value) => (*value).into(),
        Field::Bool(value) => (*value).into(),
        Field::Decimal(decimal) => {
            let bytes = decimal.data();
            let sign = if bytes[0] >= 0x80 { 0xff } else { 0 };
            let mut wide = [sign; 16];
            wide[16 - bytes.len()..].copy_from_slice(bytes);
            let units = i128::from_be_bytes(wide);
            let scale = usize::try_from(decimal.scale()).unwrap();
            let digits = format!("{:0width$}", units.unsigned_abs(), width = scale + 1);
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            let text = format!("{whole}.{fraction}");
            let sign = if units < 0 { "-" } else { "" };
            format!("{sign}{}", text.trim_end_matches('0').trim_end_matches('.')).into()
        }
        other => panic!("{other:?}"),
    }
}

/// The name of a column among the fields of a record.
fn field_of(column: &str) -> String {
    match column {
        "start_time" => "start_ms".to_owned(),
        "end_time" => "end_ms".to_owned(),
        time if time.ends_with("_time") => format!("{time}_ms"),
        same => same.to_owned(),
    }
}

#[tokio::test]
async fn parquet_read_back_has_every_digit_of_the_records() {
    story(async {
        let folder = Folder::new("parquet");
        let file = folder.path("BTCUSDT-aggTrades-2026-11-20.csv");
        fs::write(&file, table(3_000)).unwrap();
        for (kind, bars, columns) in [("cvd", BarsConfig::default(), 17), ("bar", bars(), 29)] {
            let path = folder.path("results.parquet");
            let records = lines_of(&replay(&file, config(bars, path.clone())).await.unwrap(), kind);
            let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
            let metadata = reader.metadata().file_metadata().clone();
            let pairs = metadata.key_value_metadata().unwrap().clone();
            let value =
                |key: &str| pairs.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.as_deref());
            assert_eq!(value("cvd_stream.version"), Some(env!("CARGO_PKG_VERSION")));
            assert_eq!((value("cvd_stream.market"), value("cvd_stream.unit")), (Some("usdm"), Some("base")));
            assert_eq!(
                (value("cvd_stream.z_window"), value("cvd_stream.z_warmup")),
                (Some("300"), Some("60"))
            );
            let listed = (kind == "bar").then_some("1s,ticks:7,notional:100000");
            assert_eq!(value("cvd_stream.bars"), listed);
            let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
            assert_eq!(rows.len(), records.lines().count());
            for (row, record) in rows.iter().zip(records.lines()) {
                let record: Value = serde_json::from_str(record).unwrap();
                assert_eq!(row.len(), columns);
                for (name, field) in row.get_column_iter() {
                    assert_eq!(as_json(field), record[field_of(name)], "{name} of {record}");
                }
            }
        }
    })
    .await;
}

/// Data tools as people have them, or `None` with a word on standard error.
fn python() -> Option<String> {
    if let Ok(python) = std::env::var("CVD_STREAM_PYTHON") {
        return Some(python);
    }
    let required = std::env::var_os("CVD_STREAM_PYTHON_REQUIRED").is_some_and(|value| value == "1");
    assert!(!required, "CVD_STREAM_PYTHON names no Python, but CVD_STREAM_PYTHON_REQUIRED is 1");
    let why = "skipped: no Python with duckdb, polars and pandas (CVD_STREAM_PYTHON is not set)\n";
    std::io::Write::write_all(&mut std::io::stderr(), why.as_bytes()).ok();
    None
}

#[tokio::test]
async fn duckdb_polars_and_pandas_read_the_same_digits_from_parquet() {
    let Some(python) = python() else { return };
    story(async {
        let folder = Folder::new("python");
        let made = folder.path("BTCUSDT-aggTrades-2026-11-20.csv");
        fs::write(&made, table(3_000)).unwrap();
        let recorded =
            shared().map(|shared| shared.join("data/trades/ethusdt_20230202_aggtrades_1000.csv.gz"));
        for file in std::iter::once(made).chain(recorded) {
            for bars in [BarsConfig::default(), bars()] {
                let (lines, parquet) = (folder.path("results.jsonl"), folder.path("results.parquet"));
                replay(&file, config(bars.clone(), lines.clone())).await.unwrap();
                replay(&file, config(bars, parquet.clone())).await.unwrap();
                let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/read_parquet.py");
                let output = Command::new(&python).arg(script).args([lines, parquet]).output().unwrap();
                let told = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{told}");
                print!("{}", String::from_utf8_lossy(&output.stdout));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_file_that_exists_is_replaced_by_a_whole_one_and_by_nothing_else() {
    story(async {
        let folder = Folder::new("replace");
        let (good, bad) = (folder.path("BTCUSDT-aggTrades-1.csv"), folder.path("BTCUSDT-aggTrades-2.csv"));
        fs::write(&good, table(100)).unwrap();
        fs::write(&bad, format!("{HEADER}a,b,c,d,e,f,g\n1,1,1,1,1,1,maybe\n")).unwrap();
        let results = folder.path("results.csv");
        fs::write(&results, "of yesterday").unwrap();
        let all = ["BTCUSDT-aggTrades-1.csv", "BTCUSDT-aggTrades-2.csv", "results.csv"];
        let error = replay(&bad, config(bars(), results.clone())).await.unwrap_err();
        assert!(matches!(error, AppError::NothingReadable { damaged: 2 }), "{error}");
        assert_eq!(fs::read_to_string(&results).unwrap(), "of yesterday");
        assert_eq!(folder.names(), all);
        replay(&good, config(bars(), results.clone())).await.unwrap();
        assert!(fs::read_to_string(&results).unwrap().starts_with("symbol,market,bar,"));
        assert_eq!(folder.names(), all);
    })
    .await;
}

#[tokio::test]
async fn a_file_that_cannot_be_made_is_named_before_anything_is_read() {
    story(async {
        let folder = Folder::new("impossible");
        let file = folder.path("BTCUSDT-aggTrades-1.csv");
        fs::write(&file, table(10)).unwrap();
        let nowhere = folder.path("no/such/directory/results.csv");
        let error = replay(&file, config(bars(), nowhere.clone())).await.unwrap_err();
        let what = told(&error);
        assert!(what.starts_with(&format!("cannot write {}: ", nowhere.display())), "{what}");
        assert!(what.contains("No such file"), "{what}");
        let directory = folder.path("results.csv");
        fs::create_dir(&directory).unwrap();
        let error = replay(&file, config(bars(), directory)).await.unwrap_err();
        assert!(told(&error).ends_with("it is a directory"), "{}", told(&error));
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_read_is_not_replaced() {
    story(async {
        let folder = Folder::new("itself");
        let file = folder.path("BTCUSDT-aggTrades-1.csv");
        fs::write(&file, table(10)).unwrap();
        let roundabout =
            folder.path("../").join(folder.0.file_name().unwrap()).join(file.file_name().unwrap());
        let error = replay(&file, config(bars(), roundabout)).await.unwrap_err();
        assert!(error.to_string().ends_with("choose another name for --write"), "{error}");
        assert_eq!(fs::read_to_string(&file).unwrap(), table(10));
    })
    .await;
}

#[tokio::test]
async fn what_does_not_fit_a_decimal_is_refused_and_never_written_wrong() {
    story(async {
        let folder = Folder::new("decimals");
        let file = folder.path("BTCUSDT-aggTrades-1.csv");
        let row = |id: i64, price: &str, qty: &str| format!("{id},{price},{qty},1,1,1795132800000,true\n");
        let most =
            format!("{HEADER}{}{}", row(1, "9999999999.99999999", "92233720368.54775807"), row(2, "1", "1"));
        fs::write(&file, most).unwrap();
        let results = folder.path("results.parquet");
        replay(&file, config(BarsConfig::default(), results.clone())).await.unwrap();
        let reader = SerializedFileReader::new(File::open(&results).unwrap()).unwrap();
        let first = reader.get_row_iter(None).unwrap().next().unwrap().unwrap();
        let fields: Vec<_> =
            first.get_column_iter().map(|(name, field)| (name.clone(), as_json(field))).collect();
        for (name, value) in [
            ("price", "9999999999.99999999"),
            ("qty", "92233720368.54775807"),
            ("cvd", "-92233720368.54775807"),
        ] {
            assert!(fields.contains(&(name.to_owned(), value.into())), "{fields:?}");
        }
        fs::remove_file(&results).unwrap();
        fs::write(&file, format!("{HEADER}{}", row(1, "10000000000", "1"))).unwrap();
        let error = replay(&file, config(BarsConfig::default(), results.clone())).await.unwrap_err();
        let what = told(&error);
        assert!(what.contains("10000000000 in column price has more digits"), "{what}");
        assert_eq!(folder.names(), ["BTCUSDT-aggTrades-1.csv"]);
        replay(&file, config(BarsConfig::default(), folder.path("results.csv"))).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_live_run_writes_every_trade_however_it_ends() {
    story(async {
        let folder = Folder::new("live");
        for (name, count) in [("stopped.jsonl", None), ("counted.jsonl", Some(5_000))] {
            let script = Script::new([Act::Trades(5_000)]).at_end(AtEnd::Market { per_second: 100 });
            let exchange = exchange(script).await;
            let write = Some(folder.path(name));
            let monitor =
                Monitor::with(Config { write, count, ..crate::support::config(&exchange.stream_url()) });
            monitor.trades.reach(5_000).await;
            // Nothing bears the name before it is whole.
            assert!(count.is_some() || !folder.path(name).exists());
            let ended =
                if count.is_some() { monitor.end().await.unwrap() } else { monitor.stop().await.unwrap() };
            let text = fs::read_to_string(folder.path(name)).unwrap();
            assert_eq!(text.lines().count() as u64, ended.summary.lanes[0].trades);
            let ids: Vec<_> = text.lines().map(|line| raw_field(line, "agg_trade_id").to_owned()).collect();
            let seen: Vec<_> = ended.trades.iter().map(|seen| seen.trade.id.to_string()).collect();
            assert_eq!(ids, seen);
            stopped_in_peace(exchange).await;
        }
        assert_eq!(folder.names(), ["counted.jsonl", "stopped.jsonl"]);
    })
    .await;
}

#[tokio::test]
async fn several_symbols_share_a_file() {
    story(async {
        let folder = Folder::new("symbols");
        let exchange = Exchange::builder().symbol("BTCUSDT").symbol("ETHUSDT").seed(3);
        let exchange = exchange.script([Act::Trades(500)]).start().await.unwrap();
        let path = folder.path("both.parquet");
        let write = Some(path.clone());
        let monitor = Monitor::with(Config { write, ..crate::support::config(&exchange.stream_url()) });
        monitor.trades.reach(500).await;
        let ended = monitor.stop().await.unwrap();
        let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        let read: Vec<_> = reader
            .get_row_iter(None)
            .unwrap()
            .map(|row| {
                let row = row.unwrap();
                let of = |name: &str| {
                    as_json(row.get_column_iter().find(|(column, _)| *column == name).unwrap().1)
                };
                (of("symbol"), of("agg_trade_id"), of("cvd"))
            })
            .collect();
        let seen = ended.trades.iter().map(|seen| {
            let cvd = seen.reading.cvd.to_string();
            (seen.symbol.clone().into(), seen.trade.id.0.into(), cvd.into())
        });
        assert_eq!(read, seen.collect::<Vec<(Value, Value, Value)>>());
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_run_that_does_not_end_in_time_leaves_nothing_behind() {
    story(async {
        let folder = Folder::new("late");
        let script = Script::new([Act::Trades(2_000)]).at_end(AtEnd::Market { per_second: 1_000 });
        let exchange = btcusdt().in_memory().script(script).start().await.unwrap();
        let write = Some(folder.path("results.csv"));
        // Nobody reads the records, so they never end.
        let hours = Duration::from_secs(1_000_000);
        let monitor = Monitor::simulated_slowly(&exchange, hours, |config| config.write = write);
        monitor.trades.reach(2_000).await;
        let error = monitor.stop().await.unwrap_err();
        assert!(matches!(error, AppError::ShutdownDeadline(_)), "{error}");
        assert_eq!(folder.names(), [""; 0]);
        stopped_in_peace(exchange).await;
    })
    .await;
}

/// A limit of the shell's on the size of files stands for a disk that is full.
#[cfg(unix)]
#[test]
fn a_full_disk_ends_the_run_with_the_name_of_the_file_and_leaves_nothing_behind() {
    let folder = Folder::new("full");
    let file = folder.path("BTCUSDT-aggTrades-1.csv");
    fs::write(&file, table(20_000)).unwrap();
    for ending in ["csv", "jsonl", "parquet"] {
        let results = folder.path(&format!("results.{ending}"));
        // Blocks of 1 KiB or of 512 bytes; without the signal, writing beyond is an error.
        let limited = "trap '' XFSZ; ulimit -f 100; exec \"$@\"";
        let output = Command::new("bash")
            .args(["-c", limited, "bash", env!("CARGO_BIN_EXE_cvd-stream"), "replay"])
            .arg(&file)
            .arg("--write")
            .arg(&results)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .current_dir(&folder.0)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains(&format!("cannot write {}: nothing of it is kept", results.display())),
            "{said}"
        );
        assert!(said.contains("File too large"), "{said}");
        assert_eq!(folder.names(), ["BTCUSDT-aggTrades-1.csv"]);
    }
}

#[test]
fn the_schema_of_a_file_is_that_of_the_documents() {
    let folder = Folder::new("schema");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let file = folder.path("BTCUSDT-aggTrades-1.csv");
    fs::write(&file, table(20)).unwrap();
    let documents = include_str!("../../docs/output.md");
    for bars in [BarsConfig::default(), bars()] {
        let path = folder.path("results.parquet");
        runtime.block_on(replay(&file, config(bars, path.clone()))).unwrap();
        let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        let schema = Arc::clone(&reader.metadata().file_metadata().schema_descr_ptr());
        for column in schema.columns() {
            let name = column.name();
            assert!(documents.contains(&format!("`{name}`")), "{name} is not in docs/output.md");
            assert!(documents.contains(&format!("`{}`", field_of(name))), "{name}");
        }
    }
}
