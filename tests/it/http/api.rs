//! Each path, and what `docs/openapi.json` says about it.

use std::collections::BTreeSet;

use cvd_stream::exchange::{Act, Script};
use serde_json::{Value, json};

use super::client::*;
use crate::support::*;

fn openapi() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Whether a body is what the description says of this path and status.
fn assert_described(path: &str, answer: &Answer) {
    let document = openapi();
    let described = &document["paths"][path]["get"]["responses"][answer.status.to_string()]["content"];
    let types = described.as_object().unwrap_or_else(|| panic!("{path} may not answer {}", answer.status));
    let (content_type, described) = types.iter().next().expect("one type");
    assert!(answer.head.contains(&format!("content-type: {content_type}")), "{path}: {}", answer.head);
    if content_type.ends_with("json") {
        let schema = json!({ "allOf": [described["schema"]], "components": document["components"] });
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        let faults: Vec<_> = validator.iter_errors(&answer.json()).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{path}: {faults:?}: {}", answer.body);
    }
}

fn assert_strict(answer: &Answer) {
    for header in [
        "cache-control: no-store",
        "content-security-policy: default-src 'none'; frame-ancestors 'none'",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
    ] {
        assert!(answer.head.contains(header), "no {header} in {}", answer.head);
    }
    assert!(!answer.head.contains("access-control-allow"), "{}", answer.head);
}

#[tokio::test]
async fn every_path_answers_what_its_description_says_and_there_is_no_other() {
    story(async {
        let exchange = exchange([Act::Trades(100), Act::SkipIds(5), Act::Trades(100)]).await;
        let (monitor, address) = served(&exchange, |_| {}).await;
        monitor.trades.reach(205).await;
        until(address, "/api/v1/gaps", |answer| answer.json()["total"] == 2).await;
        until(address, "/api/v1/symbols", |answer| answer.body.contains("\"trades\":205")).await;
        let described: Vec<String> = openapi()["paths"].as_object().unwrap().keys().cloned().collect();
        for path in &described {
            let target =
                if path.ends_with("snapshot") { format!("{path}?symbol=usdm:BTCUSDT") } else { path.clone() };
            if path.ends_with("stream") {
                continue;
            }
            let answer = get(address, &target).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
            assert_described(path, &answer);
            assert_strict(&answer);
        }
        for (target, status) in [
            ("/", 404),
            ("/metrics/", 404),
            ("//metrics", 404),
            ("/api/v1", 404),
            ("/api/v1/snapshot", 400),
            ("/api/v1/snapshot?symbol=", 400),
            ("/api/v1/snapshot?symbol=a%00b", 400),
            ("/api/v1/snapshot?symbol=nowhere:BTCUSDT", 400),
            ("/api/v1/snapshot?symbol=ETHUSDT", 404),
            ("/api/v1/stream?symbol=ETHUSDT", 404),
        ] {
            let answer = get(address, target).await;
            assert_eq!(answer.status, status, "{target}: {}", answer.body);
            assert_eq!(answer.json()["status"], status, "{target}");
            assert_strict(&answer);
            let path = target.split('?').next().unwrap();
            if described.iter().any(|known| known == path) {
                assert_described(path, &answer);
            }
        }
        let schema = schema();
        let gaps = get(address, "/api/v1/gaps").await.json();
        for gap in gaps["gaps"].as_array().unwrap() {
            assert_valid(&schema, &gap.to_string());
        }
        assert_eq!(gaps["gaps"][0]["event"], "opened");
        assert_eq!(gaps["gaps"][1]["event"], "repaired");
        let ended = monitor.stop().await.unwrap();
        ended.assert_whole(&exchange, "BTCUSDT");
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn the_metrics_are_those_of_the_final_record() {
    story(async {
        let exchange = exchange([Act::Trades(300), Act::SkipIds(7), Act::Trades(50), Act::Corrupt(1)]).await;
        let (monitor, address) = served(&exchange, |_| {}).await;
        monitor.trades.reach(357).await;
        let has = |line: &'static str| move |answer: &Answer| answer.body.lines().any(|known| known == line);
        let of = "{symbol=\"BTCUSDT\",market=\"usdm\"}";
        until(address, "/metrics", has("cvd_stream_parse_errors_total 1")).await;
        let metrics = until(address, "/metrics", |answer| {
            answer.body.contains("cvd_stream_quality{symbol=\"BTCUSDT\",market=\"usdm\"} 0")
        })
        .await;
        assert!(
            metrics.head.contains("application/openmetrics-text; version=1.0.0; charset=utf-8"),
            "{}",
            metrics.head
        );
        let ended = monitor.stop().await.unwrap();
        let lane = &ended.summary.lanes[0];
        for (name, value) in [
            (format!("cvd_stream_trades_total{of}"), lane.trades.to_string()),
            (format!("cvd_stream_gaps_total{of}"), lane.holes.to_string()),
            (format!("cvd_stream_repaired_trades_total{of}"), lane.repaired_trades.to_string()),
            (format!("cvd_stream_missing_trades_total{of}"), "0".to_owned()),
            (format!("cvd_stream_completeness_ratio{of}"), "1.0".to_owned()),
            ("cvd_stream_queue_pushed_total".to_owned(), ended.summary.metrics.total_messages.to_string()),
            ("cvd_stream_queue_dropped_total".to_owned(), "0".to_owned()),
            ("cvd_stream_symbols_by_quality{quality=\"complete\"}".to_owned(), "1".to_owned()),
            (
                "cvd_stream_connection_state{market=\"usdm\",shard=\"1\",state=\"disconnected\"}".to_owned(),
                "0".to_owned(),
            ),
        ] {
            let line = format!("{name} {value}");
            assert!(metrics.body.lines().any(|known| known == line), "no {line} in\n{}", metrics.body);
        }
        let cvd =
            metrics.body.lines().find_map(|line| line.strip_prefix(&format!("cvd_stream_cvd{of} "))).unwrap();
        let (told, exact): (f64, f64) = (cvd.parse().unwrap(), lane.reading.cvd.to_string().parse().unwrap());
        assert_eq!(told, exact);
        exchange.stop().await.unwrap();
    })
    .await;
}

/// The names in the first column of the table of metrics in `docs/output.md`.
fn documented() -> BTreeSet<String> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/output.md")).unwrap();
    let section = text.split("\n## Metrics\n").nth(1).and_then(|rest| rest.split("\n## ").next());
    let rows =
        section.expect("there is a section on metrics").lines().filter_map(|line| line.strip_prefix("| `"));
    let names = rows.filter_map(|row| row.split_once('`')).map(|(name, _)| name.to_owned());
    names.filter(|name| name.starts_with("cvd_stream_") || name.starts_with("process_")).collect()
}

#[tokio::test]
async fn every_metric_is_documented_and_every_documented_metric_is_there() {
    story(async {
        let exchange = exchange(Script::new([Act::Trades(400)])).await;
        let (monitor, address) = served(&exchange, |_| {}).await;
        monitor.trades.reach(400).await;
        let metrics =
            until(address, "/metrics", |answer| answer.body.contains("cvd_stream_cvd_zscore{")).await;
        let is_type = |line: &&str| line.starts_with("# TYPE ");
        let shown: BTreeSet<String> = metrics
            .body
            .lines()
            .filter(is_type)
            .map(|line| {
                let mut words = line.split(' ').skip(2);
                let (name, kind) = (words.next().unwrap(), words.next().unwrap());
                if kind == "counter" { format!("{name}_total") } else { name.to_owned() }
            })
            .collect();
        assert_eq!(shown, documented());
        // Each trade once, and none before its time.
        for part in ["exchange", "network", "own"] {
            let count = format!("cvd_stream_{part}_latency_seconds_count 400");
            assert!(metrics.body.lines().any(|line| line == count), "no {count} in\n{}", metrics.body);
        }
        monitor.stop().await.unwrap();
        stopped_in_peace(exchange).await;
    })
    .await;
}
