//! What it costs to read a frame, against `serde_json::Value` on the same text.
//!
//! After criterion's groups a table of ratios is printed, each of the fastest of 400 alternating rounds,
//! because neighbours on the machine only ever add. The texts have the shapes of the exchange's frames.
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use cvd_stream::decode::{Message, decode, looks_like_trade};
use serde_json::Value;

/// Name, the ratio to `Value` that may not be exceeded, text.
const FRAMES: [(&str, f64, &str); 11] = [
    (
        "usdm wrapped",
        0.15,
        r#"{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1700000000123,"a":2000000001,"s":"BTCUSDT","p":"37123.40","q":"0.015","f":4200000001,"l":4200000003,"T":1700000000045,"m":true}}"#,
    ),
    (
        "usdm wrapped nq",
        0.15,
        r#"{"stream":"zecusdt@aggTrade","data":{"e":"aggTrade","E":1700000000123,"a":320000001,"s":"ZECUSDT","p":"371.23","q":"0.141","nq":"0.141","f":720000001,"l":720000003,"T":1700000000045,"m":false}}"#,
    ),
    (
        "usdm wrapped nq st (205 bytes)",
        0.15,
        r#"{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1700000000123,"a":2000000001,"s":"BTCUSDT","p":"37123.40","q":"1.015","nq":"10.010","f":4200000001,"l":4200000003,"T":1700000000045,"m":true,"st":1}}"#,
    ),
    (
        "usdm bare nq st",
        0.15,
        r#"{"e":"aggTrade","E":1700000000123,"a":2000000001,"s":"BTCUSDT","p":"37123.40","q":"0.015","nq":"0.010","f":4200000001,"l":4200000003,"T":1700000000045,"m":true,"st":1}"#,
    ),
    (
        "usdm wrapped, cheap coin",
        0.15,
        r#"{"stream":"gasusdt@aggTrade","data":{"e":"aggTrade","E":1700000000043,"a":3800001,"s":"GASUSDT","p":"6.123000","q":"141.2","f":15100001,"l":15100004,"T":1700000000001,"m":false}}"#,
    ),
    (
        "usdm wrapped, beyond ASCII",
        0.15,
        r#"{"stream":"币安人生usdt@aggTrade","data":{"e":"aggTrade","E":1700000000123,"a":17000001,"s":"币安人生USDT","p":"0.1720400","q":"58","nq":"58","f":39000001,"l":39000001,"T":1700000000045,"m":false}}"#,
    ),
    (
        "coinm wrapped st",
        0.15,
        r#"{"stream":"btcusd_perp@aggTrade","data":{"e":"aggTrade","E":1700000000123,"a":900000001,"s":"BTCUSD_PERP","p":"37123.4","q":"12","f":1200000001,"l":1200000001,"T":1700000000045,"m":false,"st":2}}"#,
    ),
    (
        "spot wrapped",
        0.15,
        r#"{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1700000000123,"s":"BTCUSDT","a":3000000001,"p":"37123.40000000","q":"0.01500000","f":5200000001,"l":5200000003,"T":1700000000045,"m":true,"M":true}}"#,
    ),
    (
        "shuffled, unknown fields",
        0.4,
        r#"{"stream":"btcusdt@aggTrade","data":{"m":true,"x":"NA","T":1700000000045,"l":4200000003,"st":1,"f":4200000001,"nq":"0.010","q":"0.015","p":"37123.40","ps":"BTCUSDT","s":"BTCUSDT","a":2000000001,"E":1700000000123,"e":"aggTrade"}}"#,
    ),
    (
        "shuffled, spaced, data first",
        0.4,
        r#"{"data": {"p": "37123.40", "y": -1.50, "s": "BTCUSDT", "q": "0.015", "m": true, "e": "aggTrade", "z": null, "T": 1700000000045, "E": 1700000000123, "a": 2000000001, "l": 4200000003, "f": 4200000001}, "stream": "btcusdt@aggTrade"}"#,
    ),
    (
        "nested unknown field (referee)",
        1.0,
        r#"{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1700000000123,"a":2000000001,"s":"BTCUSDT","p":"37123.40","q":"0.015","f":4200000001,"l":4200000003,"T":1700000000045,"m":true,"x":{"y":[1,2]}}}"#,
    ),
];

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(50)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    for (name, _, text) in FRAMES {
        assert!(matches!(decode(text.as_bytes()), Message::Trade { .. }), "{name}");
        let mut group = criterion.benchmark_group(format!("decode/{name}"));
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function("decode", |b| b.iter(|| decode(black_box(text.as_bytes()))));
        group.bench_function("serde_json::Value", |b| {
            b.iter(|| serde_json::from_str::<Value>(black_box(text)))
        });
        group.finish();
    }
    let text = FRAMES[2].2.as_bytes();
    criterion.bench_function("looks_like_trade", |b| b.iter(|| looks_like_trade(black_box(text))));
    criterion.final_summary();
    // Only a whole, real run has a use for the table: not a test of the benches, a list or a filter.
    if std::env::args().skip(1).all(|argument| argument == "--bench") {
        print_ratios();
    }
}

fn print_ratios() {
    println!(
        "{:<34} {:>6} {:>10} {:>10} {:>7} {:>7}",
        "frame", "bytes", "decode ns", "Value ns", "ratio", "goal"
    );
    for (name, goal, text) in FRAMES {
        let (mut decoded, mut tree) = (f64::MAX, f64::MAX);
        for _ in 0..400 {
            decoded = decoded.min(nanoseconds(|| drop(black_box(decode(black_box(text.as_bytes()))))));
            tree = tree.min(nanoseconds(|| drop(black_box(serde_json::from_str::<Value>(black_box(text))))));
        }
        let ratio = decoded / tree;
        let verdict = if ratio <= goal { "" } else { "  MISSED" };
        println!(
            "{name:<34} {:>6} {decoded:>10.1} {tree:>10.1} {ratio:>7.3} {goal:>7.2}{verdict}",
            text.len()
        );
    }
}

fn nanoseconds(mut work: impl FnMut()) -> f64 {
    const TIMES: u32 = 200;
    let began = Instant::now();
    for _ in 0..TIMES {
        work();
    }
    began.elapsed().as_nanos() as f64 / f64::from(TIMES)
}
