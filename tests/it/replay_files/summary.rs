//! What a replay says at its end, and that its speed changes nothing of it.

use std::path::PathBuf;
use std::time::Duration;

use super::finding::{MAY, rows};
use super::{Folder, gzipped};
use cvd_stream::app::{App, AppError};
use cvd_stream::config::{Config, OutputFormat, ReplayConfig, Speed};
use cvd_stream::replay::{Replay, ReplayOptions};
use cvd_stream::report::output::Output;
use serde_json::Value;
use tokio::time::Instant;

/// Two files of BTCUSDT with a hole, a repeated trade, and one without a quantity; and one of ETHUSDT.
fn files(folder: &Folder) -> Vec<PathBuf> {
    let void = format!("500,100,0,1,1,{},true\n", MAY + 500 * 60_000);
    let first = rows(0..500) + &void + &rows(501..1000);
    vec![
        folder.write("BTCUSDT-aggTrades-2024-05-01.csv", first.as_bytes()),
        folder.write("BTCUSDT-aggTrades-2024-05-02.csv.gz", &gzipped(rows(999..1440).as_bytes())),
        folder.write("BTCUSDT-aggTrades-2024-05-03.csv", rows(1500..1600).as_bytes()),
        folder.write("ETHUSDT-aggTrades-2024-05-01.csv", rows(3..9).as_bytes()),
        folder.path.join("is-not-there.csv"),
    ]
}

async fn replayed(files: Vec<PathBuf>, output: OutputFormat, speed: Speed, threads: usize) -> Vec<u8> {
    let replay = ReplayConfig { speed, threads: Some(threads), ..ReplayConfig::default() };
    written(files, Config { output, replay, print_every: 1, ..Config::default() }).await
}

async fn written(files: Vec<PathBuf>, config: Config) -> Vec<u8> {
    let replay = Replay::open(files, ReplayOptions::default()).unwrap();
    let (output, mut chunks) = Output::piped();
    let reading = tokio::spawn(async move {
        let mut written = Vec::new();
        while let Some(chunk) = chunks.recv().await {
            written.extend(chunk);
        }
        written
    });
    let app = App::new(config).output(output);
    app.replay_files(replay, std::future::pending()).await.unwrap();
    reading.await.unwrap()
}

fn text(records: Vec<u8>) -> String {
    String::from_utf8(records).unwrap()
}

#[tokio::test]
async fn the_table_at_the_end_tells_what_the_trades_add_up_to() {
    let folder = Folder::new();
    let records = replayed(files(&folder), OutputFormat::Text, Speed::Max, 2).await;
    let text = text(records);
    let table: Vec<_> = text.lines().skip_while(|line| !line.starts_with("symbol")).collect();
    insta::assert_snapshot!(table.join("\n"), @r"
    symbol         BTCUSDT (usdm)             ETHUSDT (usdm)
    trades         1,539                      6
    first          2024-05-01T00:00:00.000Z   2024-05-01T00:03:00.000Z
    last           2024-05-02T02:39:00.000Z   2024-05-01T00:08:00.000Z
    quantities in  the base asset             the base asset
    buy            4354.25                    15
    sell           2180.5                     11.5
    delta          2173.75                    3.5
    CVD lowest     -1.25                      -4.25
    CVD highest    2178                       7.25
    holes          1                          0
    missing        60                         0
    duplicates     1                          0
    refused        1                          0
    files          4 read, 1 skipped (see the errors)
    ");
}

#[tokio::test]
async fn what_is_told_has_the_time_of_the_trades_even_where_none_of_them_is_shown() {
    let folder = Folder::new();
    let text = text(written(files(&folder), Config { print_every: 0, ..Config::default() }).await);
    let at =
        |what| text.lines().filter(|line| line.contains(what)).map(|line| &line[..24]).collect::<Vec<_>>();
    // What is missing begins after minute 1439; the last trade is of minute 1599.
    assert_eq!(at("GAP"), ["2024-05-01T23:59:00.000Z"]);
    assert_eq!(at("[FINAL]"), ["2024-05-02T02:39:00.000Z"; 3]);
}

#[tokio::test]
async fn the_final_record_holds_the_same() {
    let folder = Folder::new();
    let records = replayed(files(&folder), OutputFormat::Json, Speed::Max, 1).await;
    let text = text(records);
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let btcusdt = &last["symbols"][0];
    let (buy, sell): (f64, f64) = (number(&btcusdt["buy_volume"]), number(&btcusdt["sell_volume"]));
    assert_eq!(number(&btcusdt["delta"]), buy - sell);
    assert_eq!(btcusdt["delta"], btcusdt["cvd"]);
    let cvds = text.lines().filter_map(|line| {
        let record: Value = serde_json::from_str(line).unwrap();
        (record["type"] == "cvd" && record["symbol"] == "BTCUSDT").then(|| number(&record["cvd"]))
    });
    let cvds: Vec<_> = cvds.collect();
    assert_eq!(number(&btcusdt["cvd_low"]), cvds.iter().copied().fold(f64::INFINITY, f64::min));
    assert_eq!(number(&btcusdt["cvd_high"]), cvds.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    assert_eq!(btcusdt["first_trade_time_ms"], MAY);
    assert_eq!(btcusdt["last_trade_time_ms"], MAY + 1599 * 60_000);
    assert_eq!((&btcusdt["holes"], &btcusdt["missing_trades"]), (&1.into(), &60.into()));
    let files = &last["files"];
    assert_eq!(
        (&files["read"], &files["skipped"], &files["overlapping_rows"]),
        (&4.into(), &1.into(), &1.into())
    );
}

fn number(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn trades_without_a_record_add_up_like_those_with_one() {
    let folder = Folder::new();
    let mut flows = Vec::new();
    for print_every in [1, 0] {
        let replay = Replay::open(files(&folder), ReplayOptions::default()).unwrap();
        let app = App::new(Config { print_every, ..Config::default() }).write_to(std::io::sink()).unwrap();
        let summary = app.replay_files(replay, std::future::pending()).await.unwrap();
        flows.push(summary.lanes.iter().map(|lane| lane.flow).collect::<Vec<_>>());
    }
    assert_eq!(flows[0], flows[1]);
}

#[test]
fn the_records_are_the_same_bytes_at_any_speed_and_on_any_number_of_threads() {
    let folder = Folder::new();
    let files = files(&folder);
    let as_fast_as_it_can = |threads| {
        let runtime = super::runtime_with_time();
        runtime.block_on(replayed(files.clone(), OutputFormat::Json, Speed::Max, threads))
    };
    let expected = as_fast_as_it_can(1);
    assert!(expected == as_fast_as_it_can(2));
    let span = Duration::from_secs(1599 * 60 + 5 * 60);
    for times in [1.0, 60.0, 0.5] {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let begun = Instant::now();
            let records = replayed(files.clone(), OutputFormat::Json, Speed::Times(times), 1).await;
            assert!(records == expected, "{times}");
            let took = begun.elapsed().as_secs_f64() * times / span.as_secs_f64();
            assert!((0.999..1.2).contains(&took), "{times}: {took}");
        });
    }
}

#[tokio::test]
async fn files_that_are_all_bad_when_their_turn_comes_are_an_error() {
    let folder = Folder::new();
    let file = folder.write("BTCUSDT-aggTrades-2024-05-01.csv", rows(0..10).as_bytes());
    folder.write("BTCUSDT-aggTrades-2024-05-01.csv.CHECKSUM", b"nonsense");
    let replay = Replay::open(vec![file], ReplayOptions::default()).unwrap();
    let results = folder.write("results.csv", b"of another run");
    let config = Config { write: Some(results.clone()), ..Config::default() };
    let app = App::new(config).write_to(std::io::sink()).unwrap();
    let error = app.replay_files(replay, std::future::pending()).await.unwrap_err();
    assert!(matches!(error, AppError::NothingReplayed), "{error}");
    assert_eq!(std::fs::read(results).unwrap(), b"of another run");
}
