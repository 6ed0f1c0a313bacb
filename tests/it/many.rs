//! Many symbols in one run: the table instead of a flood, records that the schema describes, and the same again from a
//! recording.

use std::collections::BTreeSet;
use std::time::Duration;

use cvd_stream::app::App;
use cvd_stream::config::{Config, OutputFormat};
use cvd_stream::exchange::{Act, AtEnd, Exchange, Script};
use cvd_stream::feed::endpoint::Endpoint;
use cvd_stream::recording::RecordingReader;
use cvd_stream::roster::GroupSpec;
use cvd_stream::snapshot::Market;
use cvd_stream::trade::AggTrade;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::*;

const SYMBOLS: usize = 12;

fn name(at: usize) -> String {
    format!("S{at}USDT")
}

/// A market of a dozen symbols, in memory.
async fn dozen() -> Exchange {
    let builder = (1..SYMBOLS).fold(Exchange::builder().symbol(&name(0)), |all, at| all.symbol(&name(at)));
    let script = Script::new([]).at_end(AtEnd::Market { per_second: 200 });
    builder.seed(11).in_memory().script(script).start().await.expect("memory has ports")
}

#[tokio::test(start_paused = true)]
async fn a_dozen_symbols_are_told_by_a_table_and_by_their_final_lines() {
    let exchange = dozen().await;
    let monitor = Monitor::simulated(&exchange, |config| {
        config.output = OutputFormat::Text;
        config.table.top = Some(3);
        config.stats_interval = Duration::ZERO;
    });
    sleep(Duration::from_secs(25)).await;
    let ended = monitor.stop().await.unwrap();
    let text = ended.text();
    assert!(!text.contains(" CVD "), "{text}");
    let tables: Vec<_> = text.lines().filter(|line| line.contains(" MOVERS 12 usdm | ")).collect();
    assert_eq!(tables.len(), 2, "{text}");
    assert!(tables[1].contains("over 10 s | 12 traded, ") && tables[1].ends_with("| all complete"), "{text}");
    let rows = text.lines().filter(|line| line.contains(" MOVER ")).count();
    assert_eq!(rows, 2 * (1 + 3), "a heading and three rows each");
    assert!(text.lines().filter(|line| line.contains(" MOVER")).all(|line| line.chars().count() <= 120));
    assert_eq!(text.lines().filter(|line| line.contains(" [FINAL] S")).count(), SYMBOLS);
    for lane in &ended.summary.lanes {
        // The market goes on while the monitor says good-bye.
        let ledger = exchange.ledger().trades(&lane.symbol);
        let told = ledger.iter().filter(|trade| Some(trade.id) <= lane.coverage.last_id);
        let sum: i128 = told.map(|trade| trade.delta().units()).sum();
        assert_eq!(lane.reading.cvd.units(), sum, "{}", lane.symbol);
    }
    stopped_in_peace(exchange).await;
}

/// The schema refuses a record with a field too few, too many or of another type, in its first row too.
fn assert_strict(schema: &jsonschema::Validator, record: &Value) {
    for rows in ["", "/movers/0", "/inside/0"] {
        let Some(object) = record.pointer(rows).and_then(Value::as_object) else { continue };
        for field in object.keys() {
            let changed = |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
                let mut other = record.clone();
                change(other.pointer_mut(rows).and_then(Value::as_object_mut).expect("it was there"));
                schema.is_valid(&other)
            };
            assert!(!changed(&|object| drop(object.remove(field))), "{rows} without {field}");
            let odd = || json!({ "of": "another type" });
            assert!(
                !changed(&|object| drop(object.insert(field.clone(), odd()))),
                "{rows} with an odd {field}"
            );
            assert!(!changed(&|object| drop(object.insert("surprise".into(), json!(1)))), "{rows} with more");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn movers_as_json_are_what_the_schema_says_and_add_up_to_cvd() {
    let exchange = dozen().await;
    let monitor = Monitor::simulated(&exchange, |config| config.table.top = Some(SYMBOLS));
    sleep(Duration::from_secs(35)).await;
    let ended = monitor.stop().await.unwrap();
    let (schema, text) = (schema(), ended.text());
    text.lines().for_each(|line| assert_valid(&schema, line));
    let movers: Vec<Value> =
        ended.records("movers").iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(movers.len(), 3);
    assert_strict(&schema, &movers[2]);
    // CVD at the end of one table and the delta of the next make CVD of the next.
    let of = |table: &Value, symbol: &Value, field: &str| -> f64 {
        let rows = table["movers"].as_array().unwrap();
        let row = rows.iter().find(|row| row["symbol"] == *symbol).expect("all of them trade");
        row[field].as_str().unwrap().parse().unwrap()
    };
    for row in movers[2]["movers"].as_array().unwrap() {
        let (symbol, delta) = (&row["symbol"], of(&movers[2], &row["symbol"], "delta"));
        let (before, after) = (of(&movers[1], symbol, "cvd"), of(&movers[2], symbol, "cvd"));
        assert!((after - before - delta).abs() < 1e-9, "{symbol}: {before} + {delta} is not {after}");
    }
    stopped_in_peace(exchange).await;
}

#[tokio::test(start_paused = true)]
async fn a_recording_gives_the_same_tables_again() {
    let exchange = dozen().await;
    let directory =
        std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("many.{}", std::process::id()));
    let monitor = Monitor::simulated(&exchange, |config| {
        config.output = OutputFormat::Json;
        config.table.top = Some(5);
        config.record.dir = Some(directory.clone());
    });
    sleep(Duration::from_secs(32)).await;
    let live = monitor.stop().await.unwrap();
    stopped_in_peace(exchange).await;
    let recording =
        RecordingReader::of(std::slice::from_ref(&directory)).unwrap().expect("it is a recording");
    let mut config = Config { output: OutputFormat::Json, print_every: 1, ..Config::default() };
    config.table.top = Some(5);
    let again = Written::default();
    let app = App::new(config).write_to(again.clone()).unwrap();
    app.replay_recording(recording, std::future::pending()).await.unwrap();
    std::fs::remove_dir_all(directory).expect("it was written a moment ago");
    let again = String::from_utf8(again.now()).unwrap();
    let again: Vec<_> = again.lines().filter(|line| line.contains("\"type\":\"movers\"")).collect();
    assert_eq!(again.len(), 3);
    assert_eq!(live.records("movers"), again);
}

/// One exchange of each market, each with a symbol of bitcoin and so many trades.
async fn three_markets(trades: u64) -> Vec<(Market, &'static str, Exchange)> {
    let mut exchanges = Vec::new();
    for (at, (market, name)) in
        [(Market::UsdM, "BTCUSDT"), (Market::Spot, "BTCUSDT"), (Market::CoinM, "BTCUSD_PERP")]
            .into_iter()
            .enumerate()
    {
        let builder = Exchange::builder().market(market).symbol(name).seed(at as u64 + 3);
        let exchange = builder.script([Act::Trades(trades)]).start().await.expect("loopback has a free port");
        exchanges.push((market, name, exchange));
    }
    exchanges
}

/// What trades add up to, step by step in integers that are wide enough: the sum in units of 1e-8 coins, and the quote
/// sum in units of 1e-16. Coins are rounded half to even by remainders.
fn added_up(market: Market, trades: &[AggTrade]) -> (i128, i128) {
    trades.iter().fold((0, 0), |(base, quote), trade| {
        let (delta, price) = (trade.delta().units(), i128::from(trade.price.units()));
        if market != Market::CoinM {
            return (base + delta, quote + delta * price);
        }
        let dollars = delta * 100 * 100_000_000;
        let (whole, rest) = (dollars.abs() / price, dollars.abs() % price);
        let up = 2 * rest > price || (2 * rest == price && whole % 2 == 1);
        (base + dollars.signum() * (whole + i128::from(up)), quote + dollars)
    })
}

/// A decimal in steps of so many digits.
fn steps(record: &Value, field: &str, digits: usize) -> i128 {
    let text = record[field].as_str().expect("a decimal");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{fraction:0<digits$}").parse().expect("digits")
}

#[tokio::test]
async fn a_group_of_three_markets_is_the_exact_sum_of_their_ledgers() {
    story(async {
        let exchanges = three_markets(400).await;
        let endpoint = |(market, _, exchange): &(Market, &str, Exchange)| {
            Endpoint::from_url(&exchange.stream_url(), None, Some(*market), false).expect("a URL")
        };
        let mut config = config(&exchanges[0].2.stream_url());
        config.endpoint = endpoint(&exchanges[0]);
        config.other_endpoints = exchanges[1..].iter().map(endpoint).collect();
        let group = "BTC=usdm:BTCUSDT+spot:BTCUSDT+coinm:BTCUSD_PERP";
        config.symbols.groups = GroupSpec::parse_list(group, Market::UsdM).unwrap();
        let monitor = Monitor::with(config);
        monitor.trades.reach(1_200).await;
        let ended = monitor.stop().await.unwrap();
        let (schema, text) = (schema(), ended.text());
        text.lines().for_each(|line| assert_valid(&schema, line));

        let group: Value = serde_json::from_str(ended.records("group").last().expect("at the end")).unwrap();
        let sums: Vec<_> = exchanges
            .iter()
            .map(|(market, name, exchange)| added_up(*market, &exchange.ledger().trades(&symbol(name))))
            .collect();
        let [usdm, spot, coinm] = sums[..] else { panic!("three markets") };
        assert_strict(&schema, &group);
        assert_eq!(steps(&group, "base", 8), usdm.0 + spot.0 + coinm.0);
        assert_eq!(steps(&group, "quote", 16), usdm.1 + spot.1 + coinm.1);
        assert_eq!(steps(&group, "spread_base", 8), spot.0 - usdm.0 - coinm.0);
        assert_eq!(steps(&group, "spread_quote", 16), spot.1 - usdm.1 - coinm.1);
        assert_eq!(group["base_error"], "0.000002", "half of 1e-8 for each of 400 trades");
        assert_eq!((&group["base_units"], &group["quote_units"]), (&json!(["BTC"]), &json!(["USDT", "USD"])));
        for (member, (market, name, exchange)) in group["inside"].as_array().unwrap().iter().zip(&exchanges) {
            assert_eq!(member["market"], market.as_str());
            assert_eq!(member["cvd"], exchange.ledger().cvd(&symbol(name)).to_string());
        }
        // Each connection has a state of its own, of its market alone.
        let shards: BTreeSet<_> = ended
            .records("state")
            .iter()
            .map(|line| (raw_field(line, "shard").to_owned(), raw_field(line, "market").to_owned()))
            .collect();
        assert_eq!(shards.len(), 3, "{shards:?}");
        assert_eq!(ended.last()["market"], Value::Null, "several markets");
        for (_, _, exchange) in exchanges {
            stopped_in_peace(exchange).await;
        }
    })
    .await;
}
