//! What the monitor writes: JSON that its schema describes, text as people know it, states while it waits, and the
//! same numbers again from a recording.

use std::path::PathBuf;
use std::time::Duration;

use cvd_stream::app::App;
use cvd_stream::clock::Clock;
use cvd_stream::config::{Config, OutputFormat};
use cvd_stream::exchange::{Act, AtEnd, Exchange, Script};
use cvd_stream::feed::endpoint::Endpoint;
use cvd_stream::feed::liveness::LivenessLimits;
use cvd_stream::feed::{FeedEvent, Live, LiveSettings};
use cvd_stream::queue::{QueueLimits, drop_oldest};
use cvd_stream::replay::{Replay, ReplayOptions};
use cvd_stream::source::{Burst, Input, Source};
use cvd_stream::units::UnixMillis;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::*;

fn states(ended: &Ended) -> Vec<String> {
    ended.records("state").iter().map(|line| raw_field(line, "state").trim_matches('"').to_owned()).collect()
}

/// Waits for a state that has lasted so long.
async fn lasts(records: &Written, state: &str, seconds: f64) -> String {
    let mark = format!("\"state\":\"{state}\"");
    let lasting = |line: &str| {
        line.contains(&mark) && raw_field(line, "seconds").parse::<f64>().expect("a number") >= seconds
    };
    records.line_where(lasting).await
}

#[tokio::test]
async fn a_stream_without_data_is_told_with_the_time_it_lasts() {
    story(async {
        let exchange = exchange([Act::AckWithoutData]).await;
        let monitor = Monitor::of(&exchange);
        let told = lasts(&monitor.records, "subscribed", 2.5).await;
        assert_eq!(raw_field(&told, "symbol"), "\"BTCUSDT\"");
        let ended = monitor.stop().await.unwrap();
        let states = states(&ended);
        assert_eq!(states.first().map(String::as_str), Some("subscribed"));
        assert!(!states.contains(&"streaming".to_owned()), "{states:?}");
        let last = ended.last();
        assert_eq!((&last["trades"], &last["symbols"][0]["cvd"]), (&json!(0), &json!("0")));
        assert_eq!(last["symbols"][0]["first_id"], Value::Null);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn text_says_that_no_trade_has_come_yet() {
    story(async {
        let exchange = exchange([Act::AckWithoutData]).await;
        let monitor = Monitor::with(text_of(&exchange));
        let line = monitor.records.line_where(|line| line.contains("no trade yet")).await;
        let (_, said) = line.split_once(" INFO ").expect("a level");
        assert!(said.starts_with("connected, subscribed, no trade yet (") && said.ends_with(" s)"), "{line}");
        monitor.stop().await.unwrap();
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn a_bare_address_is_connected_then_subscribed_then_streaming() {
    story(async {
        let exchange = Exchange::builder().symbol("ETHUSDT").script([Act::Trades(10)]).start().await.unwrap();
        let monitor = Monitor::with(config(&format!("{}/market/ws", exchange.stream_base())));
        monitor.trades.reach(10).await;
        let ended = monitor.stop().await.unwrap();
        assert_eq!(states(&ended), ["connected", "subscribed", "streaming", "disconnected"]);
        ended.assert_equals_ledger(&exchange, "ETHUSDT");
        assert_eq!((exchange.stats().requests_received, ended.summary.metrics.control_messages), (1, 1));
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn a_path_without_its_category_stays_subscribed_while_the_market_trades() {
    story(async {
        let exchange = exchange(Script::default().at_end(AtEnd::Market { per_second: 1_000 })).await;
        let url = format!("{}/stream?streams=btcusdt@aggTrade", exchange.stream_base());
        let monitor = Monitor::with(config(&url));
        lasts(&monitor.records, "subscribed", 2.5).await;
        let ended = monitor.stop().await.unwrap();
        assert!(!states(&ended).contains(&"streaming".to_owned()));
        assert_eq!((ended.summary.metrics.total_messages, ended.records("cvd").len()), (0, 0));
        assert!(exchange.ledger().made(&symbol("BTCUSDT")) > 1_000);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn statistics_come_on_a_busy_stream_too() {
    story(async {
        let exchange = exchange([Act::Trades(u64::MAX)]).await;
        let stats_interval = Duration::from_millis(10);
        let monitor = Monitor::with(Config { stats_interval, ..config(&exchange.stream_url()) });
        let counted = |least: u64| {
            move |line: &str| {
                line.contains("\"type\":\"stat\"")
                    && raw_field(line, "trades").parse::<u64>().unwrap() > least
            }
        };
        let first = monitor.records.line_where(counted(0)).await;
        let trades = raw_field(&first, "trades").parse().unwrap();
        let second = monitor.records.line_where(counted(trades)).await;
        for line in [first, second] {
            // Times speak of the time since the record before.
            for time in ["avg_proc_ms", "proc_p99_ms", "latency_p50_ms"] {
                assert!(raw_field(&line, time).parse::<f64>().is_ok(), "{line}");
            }
        }
        monitor.stop().await.unwrap();
        stopped_in_peace(exchange).await;
    })
    .await;
}

/// Two symbols, every kind of message, a reconnect, statistics every second.
async fn eventful() -> Ended {
    let builder = Exchange::builder().symbol("BTCUSDT").symbol("ETHUSDT").seed(3);
    let exchange = builder
        .script([
            Act::Trades(500),
            Act::Frame("hello".into()),
            Act::Frame(r#"{"result":null,"id":1}"#.into()),
            Act::Drop,
            Act::Trades(500),
        ])
        .start()
        .await
        .unwrap();
    let config = Config {
        print_every: 1,
        stats_interval: Duration::from_millis(10),
        ..config(&exchange.stream_url())
    };
    let monitor = Monitor::with(config);
    monitor.trades.reach(1_000).await;
    // The first statistics may come before the first trade.
    let with_trades = |line: &str| line.contains("\"type\":\"stat\"") && raw_field(line, "trades") == "1000";
    monitor.records.line_where(with_trades).await;
    let ended = monitor.stop().await.unwrap();
    stopped_in_peace(exchange).await;
    ended
}

#[tokio::test]
async fn every_json_record_is_what_the_schema_says() {
    story(async {
        let (schema, ended) = (schema(), eventful().await);
        let text = ended.text();
        text.lines().for_each(|line| assert_valid(&schema, line));
        for kind in ["cvd", "stat", "state", "final"] {
            assert!(!ended.records(kind).is_empty(), "no {kind} record to be looked at");
        }
        assert!(states(&ended).contains(&"disconnected".to_owned()));
        assert_eq!(ended.last()["symbol"], Value::Null, "two symbols");
    })
    .await;
}

#[tokio::test]
async fn the_numbers_of_a_record_are_those_of_the_calculator_to_the_last_bit() {
    story(async {
        let ended = eventful().await;
        let records = ended.records("cvd");
        assert_eq!(records.len(), ended.trades.len());
        for (record, seen) in records.iter().zip(&ended.trades) {
            let text = |name| raw_field(record, name).trim_matches('"');
            let (trade, reading) = (&seen.trade, &seen.reading);
            assert_eq!(text("symbol"), seen.symbol);
            assert_eq!(text("agg_trade_id"), trade.id.to_string());
            assert_eq!(raw_field(record, "price"), format!("\"{}\"", trade.price));
            assert_eq!(raw_field(record, "qty"), format!("\"{}\"", trade.qty));
            assert_eq!(raw_field(record, "delta"), format!("\"{}\"", trade.delta()));
            assert_eq!(raw_field(record, "cvd"), format!("\"{}\"", reading.cvd));
            assert_eq!(text("side"), trade.aggressor.side());
            let bits = |name| match text(name) {
                "null" => None,
                number => Some(number.parse::<f64>().expect("a number").to_bits()),
            };
            assert_eq!(bits("z"), reading.z.map(f64::to_bits), "{record}");
            assert_eq!(bits("ema"), reading.ema.map(f64::to_bits), "{record}");
            assert_eq!(text("warmup"), reading.warmup.to_string());
        }
        // Both kinds of Z must have been there.
        assert!(records.iter().any(|record| raw_field(record, "z") == "null"));
        assert!(records.iter().any(|record| raw_field(record, "z").contains('.')));
    })
    .await;
}

#[tokio::test]
async fn the_schema_refuses_a_record_with_a_field_too_few_too_many_or_of_another_type() {
    story(async {
        let (schema, ended) = (schema(), eventful().await);
        for kind in ["cvd", "stat", "state", "final"] {
            let line = ended.records(kind).pop().expect("one of each");
            let record: Value = serde_json::from_str(&line).unwrap();
            let fields: Vec<_> = record.as_object().unwrap().keys().cloned().collect();
            for field in &fields {
                let mut less = record.clone();
                less.as_object_mut().unwrap().remove(field);
                // A live run's final record has times, a replay's has none.
                let optional = kind == "final"
                    && field.ends_with("_ms")
                    && field != "at_ms"
                    && field != "checkpoint_age_ms";
                assert_eq!(schema.is_valid(&less), optional, "{kind} without {field}");
                let mut other = record.clone();
                other[field] = json!({ "of": "another type" });
                assert!(!schema.is_valid(&other), "{kind} with an object as {field}");
            }
            let mut more = record.clone();
            more["surprise"] = json!(1);
            assert!(!schema.is_valid(&more), "{kind} with a field more");
        }
        let cvd: Value = serde_json::from_str(&ended.records("cvd")[0]).unwrap();
        for (field, value) in [
            ("cvd", json!(1.5)),
            ("cvd", json!("1.50")),
            ("cvd", json!("1e5")),
            ("side", json!("BUY")),
            ("v", json!(2)),
            ("type", json!("CVD")),
            ("z", json!("none")),
            ("agg_trade_id", json!(1.5)),
        ] {
            let mut other = cvd.clone();
            other[field] = value;
            assert!(!schema.is_valid(&other), "{field}: {}", other[field]);
        }
    })
    .await;
}

fn scratch(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.{}", std::process::id()));
    std::fs::write(&path, text).expect("the build's folder can be written");
    path
}

/// What a replay of a file writes.
async fn replayed(file: PathBuf) -> Ended {
    let replay = Replay::open(vec![file.clone()], ReplayOptions::default()).unwrap();
    let config = Config { output: OutputFormat::Json, print_every: 1, ..Config::default() };
    let ended = Monitor::replay(App::new(config), replay).await;
    std::fs::remove_file(file).expect("it was written a moment ago");
    ended
}

#[tokio::test]
async fn a_table_gives_records_that_the_schema_describes_without_any_clock_of_ours() {
    story(async {
        let exchange = exchange([Act::SkipIds(500)]).await;
        exchange.wait_for(|stats| stats.script_finished).await;
        let mut table = String::from(
            "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n",
        );
        for trade in exchange.ledger().trades(&symbol("BTCUSDT")) {
            let (price, qty, time) = (trade.price, trade.qty, trade.traded_at.0);
            let seller = trade.delta().units() < 0;
            let (first, last) = (trade.first_trade_id, trade.last_trade_id);
            table += &format!("{},{price},{qty},{first},{last},{time},{seller}\n", trade.id);
        }
        let ended = replayed(scratch("BTCUSDT-aggTrades-2026-11-20.csv", &table)).await;
        ended.assert_equals_ledger(&exchange, "BTCUSDT");
        let (schema, text) = (schema(), ended.text());
        text.lines().for_each(|line| assert_valid(&schema, line));
        let records = ended.records("cvd");
        assert_eq!((records.len(), text.lines().count()), (500, 501), "no stat, no state");
        for field in ["event_time_ms", "received_at_ms", "latency_ms"] {
            assert_eq!(raw_field(&records[0], field), "null");
        }
        assert_eq!((raw_field(&records[0], "source"), &ended.last()["at_ms"]), ("\"file\"", &Value::Null));
        stopped_in_peace(exchange).await;
    })
    .await;
}

/// Records so many frames, stamps in front, as a plain client of the feed sees them.
async fn recording(url: String, frames: usize) -> String {
    let clock = Clock::system();
    let (queue, mut receiver) = drop_oldest(QueueLimits::for_frames(1 << 20));
    let settings = LiveSettings {
        liveness: LivenessLimits::with_heartbeat(Duration::from_secs(60)),
        backoff_max: Duration::from_millis(50),
        jitter_seed: Some(1),
        ..LiveSettings::of(Endpoint::from_url(&url, None, None, false).unwrap())
    };
    let (stop, stopped) = watch::channel(false);
    let feed = tokio::spawn(async move {
        let observer = |_: FeedEvent<'_>| {};
        Live::new(settings, queue, &observer, clock)?.run(stopped).await
    });
    let (mut lines, mut burst, mut count) = (String::new(), Burst::default(), 0);
    while count < frames && receiver.next(&mut burst).await.unwrap() {
        for input in &burst.inputs {
            let Input::Frame(frame) = input else { continue };
            lines += &format!("{} {}\n", frame.received.unwrap().wall_ns, frame.text);
            count += 1;
        }
    }
    stop.send_replace(true);
    feed.await.unwrap().unwrap();
    lines
}

#[tokio::test]
async fn a_recording_gives_the_same_bits_again() {
    story(async {
        let exchange = btcusdt().start().await.unwrap();
        let monitor = Monitor::with(Config { print_every: 1, ..config(&exchange.stream_url()) });
        let recording = tokio::spawn(recording(exchange.stream_url(), 2_002));
        exchange.wait_for(|stats| stats.receiving == 2).await;
        exchange.play(Act::Trades(1_000)).await;
        exchange.play(Act::Frame("hello".into())).await;
        exchange.play(Act::SkipIds(7)).await;
        exchange.play(Act::Repeat(1)).await;
        exchange.play(Act::Trades(1_000)).await;
        monitor.trades.reach(2_000).await;
        let live = monitor.stop().await.unwrap();
        let again = replayed(scratch("frames.txt", &recording.await.unwrap())).await;

        assert_eq!(live.trades, again.trades);
        let numbers = |ended: &Ended| -> Vec<_> {
            let of =
                |line: &String| ["agg_trade_id", "cvd", "z", "ema"].map(|f| raw_field(line, f).to_owned());
            ended.records("cvd").iter().map(of).collect()
        };
        assert_eq!(numbers(&live), numbers(&again));
        assert_eq!(numbers(&live).len(), 2_000);
        // What was lost on the way is lost in the recording too; what came twice counts once.
        assert_eq!(live.last()["symbols"][0]["missing_trades"], 7);
        assert_eq!(live.last()["symbols"][0]["duplicate_trades"], 1);
        let malformed = |ended: &Ended| ended.summary.metrics.parse_errors;
        assert_eq!((malformed(&live), malformed(&again)), (1, 1));
        assert_eq!(live.last()["symbols"], again.last()["symbols"]);
        stopped_in_peace(exchange).await;
    })
    .await;
}

fn text_of(exchange: &Exchange) -> Config {
    Config { output: OutputFormat::Text, ..config(&exchange.stream_url()) }
}

/// The line without the stamp, its latency and times replaced.
fn still(line: &str) -> String {
    let (stamp, rest) = line.split_at(24);
    assert!(stamp.ends_with('Z') && &stamp[4..5] == "-" && &stamp[10..11] == "T", "{line}");
    let words = rest.split(' ').map(|word| match word.split_once('=') {
        Some((name, value)) if value.ends_with("ms") => {
            let number = value.trim_end_matches("ms");
            number.parse::<f64>().unwrap_or_else(|error| panic!("{error}: {line}"));
            let decimals = number.split_once('.').map_or(0, |(_, decimals)| decimals.len());
            format!("{name}=<{decimals} decimals>ms")
        }
        _ => word.to_owned(),
    });
    format!("<stamp>{}", words.collect::<Vec<_>>().join(" "))
}

#[tokio::test]
async fn the_text_records_are_the_lines_people_know() {
    story(async {
        let exchange = exchange([Act::Trades(400)]).await;
        let config = Config { stats_interval: Duration::from_millis(10), ..text_of(&exchange) };
        let monitor = Monitor::with(config);
        monitor.trades.reach(400).await;
        monitor.records.line_where(|line| line.contains("[STAT] trades=400")).await;
        let ended = monitor.stop().await.unwrap();
        let text = ended.text();
        let lines =
            |mark: &str| -> Vec<_> { text.lines().filter(|line| line.contains(mark)).map(still).collect() };

        let cvd = lines("CVD ");
        assert_eq!(cvd.len(), 5 + 4);
        insta::assert_snapshot!(cvd[..5].join("\n"), @r"
        <stamp>  INFO CVD BTCUSDT | cvd=0.004000 z=none ema=0.004000 | warmup=true std_zero=false bad=0 | latency=<1 decimals>ms
        <stamp>  INFO CVD BTCUSDT | cvd=-0.004000 z=none ema=0.002400 | warmup=true std_zero=false bad=0 | latency=<1 decimals>ms
        <stamp>  INFO CVD BTCUSDT | cvd=-0.016000 z=none ema=-0.001280 | warmup=true std_zero=false bad=0 | latency=<1 decimals>ms
        <stamp>  INFO CVD BTCUSDT | cvd=-0.020000 z=none ema=-0.005024 | warmup=true std_zero=false bad=0 | latency=<1 decimals>ms
        <stamp>  INFO CVD BTCUSDT | cvd=-0.068000 z=none ema=-0.017619 | warmup=true std_zero=false bad=0 | latency=<1 decimals>ms
        ");
        insta::assert_snapshot!(
            cvd[8],
            @"<stamp>  INFO CVD BTCUSDT | cvd=6.828000 z=2.078 ema=6.812900 | warmup=false std_zero=false bad=0 | latency=<1 decimals>ms"
        );
        let stat = text.lines().find(|line| line.contains("[STAT] trades=400")).map(still).unwrap();
        insta::assert_snapshot!(
            stat,
            @"<stamp>  INFO [STAT] trades=400 avg_proc=<4 decimals>ms p50=<4 decimals>ms p95=<4 decimals>ms p99=<4 decimals>ms latency_p50=<1 decimals>ms latency_p95=<1 decimals>ms latency_p99=<1 decimals>ms | reconnect_count=0 queue_dropped=0 total_messages=400 parse_errors=0 queue_dropped_rate=0.000000 | gaps=0 repaired=0 missing=0 duplicates=0 rest_calls=0 | exchange_p50=<0 decimals>ms exchange_p95=<0 decimals>ms network_p50=none network_p95=none own_p50=<3 decimals>ms own_p95=<3 decimals>ms clock=none"
        );
        insta::assert_snapshot!(lines("[FINAL]").join("\n"), @r"
        <stamp>  INFO [FINAL] BTCUSDT | trades=400 first_id=3339472001 last_id=3339472400 | cvd=6.828 z=2.078 ema=6.812900 | warmup=false std_zero=false bad=0 | quality=complete ids_seen=400 repaired=0 missing=0 duplicates=0
        <stamp>  INFO [FINAL] trades=400 avg_proc=<4 decimals>ms p50=<4 decimals>ms p95=<4 decimals>ms p99=<4 decimals>ms latency_p50=<1 decimals>ms latency_p95=<1 decimals>ms latency_p99=<1 decimals>ms | reconnect_count=0 queue_dropped=0 total_messages=400 parse_errors=0 queue_dropped_rate=0.000000 | gaps=0 repaired=0 missing=0 duplicates=0 rest_calls=0 | exchange_p50=<0 decimals>ms exchange_p95=<0 decimals>ms network_p50=none network_p95=none own_p50=<3 decimals>ms own_p95=<3 decimals>ms clock=none
        ");
        assert!(text.lines().last().unwrap().contains("[FINAL]"));
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn without_data_text_says_none() {
    story(async {
        let exchange = exchange([]).await;
        let monitor = Monitor::with(text_of(&exchange));
        exchange.wait_for(|stats| stats.receiving == 1).await;
        let ended = monitor.stop().await.unwrap();
        let text = ended.text();
        let lines: Vec<_> = text.lines().filter(|line| line.contains("[FINAL]")).map(still).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        <stamp>  INFO [FINAL] BTCUSDT | trades=0 first_id=none last_id=none | cvd=0 z=none ema=none | warmup=true std_zero=false bad=0 | quality=complete ids_seen=0 repaired=0 missing=0 duplicates=0
        <stamp>  INFO [FINAL] trades=0 avg_proc=none p50=none p95=none p99=none latency_p50=none latency_p95=none latency_p99=none | reconnect_count=0 queue_dropped=0 total_messages=0 parse_errors=0 queue_dropped_rate=0.000000 | gaps=0 repaired=0 missing=0 duplicates=0 rest_calls=0 | exchange_p50=none exchange_p95=none network_p50=none network_p95=none own_p50=none own_p95=none clock=none
        ");
        stopped_in_peace(exchange).await;
    })
    .await;
}

/// Diagnostics of this thread, as the command would log them.
pub(crate) fn diagnostics() -> (Written, tracing::subscriber::DefaultGuard) {
    let log = Written::default();
    let into = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || into.clone()).finish();
    (log, tracing::subscriber::set_default(subscriber))
}

fn count(log: &Written, part: &str) -> usize {
    String::from_utf8(log.now()).unwrap().lines().filter(|line| line.contains(part)).count()
}

#[tokio::test]
async fn a_negative_latency_is_shown_and_explained_once() {
    story(async {
        let (log, _guard) = diagnostics();
        let ahead = UnixMillis(4_102_444_800_000);
        let exchange = btcusdt().start_time(ahead).script([Act::Trades(300)]).start().await.unwrap();
        let monitor = Monitor::with(text_of(&exchange));
        monitor.trades.reach(300).await;
        let ended = monitor.stop().await.unwrap();
        let text = ended.text();
        for line in text.lines().filter(|line| line.contains("CVD ")) {
            let (_, latency) = line.split_once("latency=").unwrap();
            assert!(latency.trim_end_matches("ms").parse::<f64>().unwrap() < 0.0, "{line}");
        }
        assert_eq!(count(&log, "latency is negative"), 1);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn diagnostics_tell_of_every_connection_and_its_end() {
    story(async {
        let (log, _guard) = diagnostics();
        let exchange = exchange([
            Act::Trades(10),
            Act::Close { code: 1001, reason: "maintenance \u{1b}[31m".into() },
            Act::Trades(10),
            Act::Drop,
            Act::Trades(10),
        ])
        .await;
        let monitor = Monitor::of(&exchange);
        monitor.trades.reach(30).await;
        monitor.stop().await.unwrap();
        assert_eq!(count(&log, &format!("Connected: {}", exchange.stream_url())), 3);
        assert_eq!(count(&log, "[METRICS] reconnect_count=1"), 1);
        assert_eq!(count(&log, "[METRICS] reconnect_count=2"), 1);
        assert_eq!(count(&log, r"Connection closed: 1001 maintenance \u{1b}[31m; next attempt in "), 1);
        assert_eq!(count(&log, "Connection closed: the server hung up without a close frame; next"), 1);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_garbage_is_logged_a_little_and_counted_wholly() {
    story(async {
        let (log, _guard) = diagnostics();
        let mut acts = vec![Act::Frame("hello \u{1b}[2J\n world".into()); 300];
        acts.push(Act::Trades(1));
        let exchange = exchange(acts).await;
        let monitor = Monitor::of(&exchange);
        monitor.trades.reach(1).await;
        let metrics = monitor.stop().await.unwrap().summary.metrics;
        assert_eq!(metrics.parse_errors, 300);
        let told = count(&log, r"Parse error on message (truncated): hello \u{1b}[2J\n world | not JSON");
        assert!(told >= 5);
        assert_eq!(told as u64 + metrics.suppressed_warnings, 300);
        assert!(metrics.suppressed_warnings > 0);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_waits_for_a_slow_reader_for_as_long_as_it_takes() {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("BTCUSDT-aggTrades-slow.csv");
    let rows = (1..=20_000).map(|id| format!("{id},64339.2,0.001,1,1,1763690000000,false\n"));
    std::fs::write(&path, rows.collect::<String>()).unwrap();
    let replay = cvd_stream::replay::Replay::open(vec![path], Default::default()).unwrap();
    let config = Config { print_every: 1, output: OutputFormat::Json, ..Config::default() };
    let written = Written::default();
    let (gate, key) = Gate::shut(written.clone());
    let app = App::new(config).write_to(gate).unwrap();
    let reader = async {
        // Virtual time: longer than any deadline, and over at once.
        tokio::time::sleep(std::time::Duration::from_secs(600)).await;
        drop(key);
    };
    let (summary, ()) = tokio::join!(app.replay_files(replay, std::future::pending()), reader);
    assert_eq!(summary.unwrap().metrics.applied_trades, 20_000);
    assert_eq!(written.now().iter().filter(|byte| **byte == b'\n').count(), 20_001);
}
