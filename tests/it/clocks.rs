//! Clocks that differ, and time that does not pass as it should.

use std::time::Duration;

use cvd_stream::clock::{Clock, ClockOffset, OffsetEstimator};
use cvd_stream::exchange::{Act, AtEnd, Exchange, Script};
use cvd_stream::repair::rest::{RestBase, RestClient};
use tokio::time::sleep;

use crate::monitor_records::diagnostics;
use crate::support::*;

/// When the exchange's clock starts, in nanoseconds since 1970.
const START_NS: i64 = 1_795_132_800_000_000_000;

fn client(exchange: &Exchange) -> RestClient {
    let base = RestBase::parse(&exchange.rest_url(), false).expect("a base on this machine");
    RestClient::new(exchange.network(), base, exchange.market())
}

async fn round_trip(client: &mut RestClient, clock: Clock, estimator: &mut OffsetEstimator) {
    client.connect().await.unwrap();
    let sent = clock.now();
    let told = client.time().await.unwrap();
    estimator.sample(sent, clock.now(), told.at);
}

#[tokio::test(start_paused = true)]
async fn the_exchanges_clock_is_found_within_the_error_that_is_told() {
    for ahead_ms in [0, 250, -4_321, 86_400_000, -31_536_000_000] {
        let clock = Clock::simulated(START_NS);
        let exchange = btcusdt().in_memory().clock_ahead(ahead_ms).start().await.unwrap();
        let (mut client, mut estimator) = (client(&exchange), OffsetEstimator::default());
        let truly = |told: ClockOffset, least_error_ms: f64| {
            let off = (told.offset_ms - ahead_ms as f64).abs();
            assert!(off <= told.error_ms, "{told} for {ahead_ms}");
            assert!((told.error_ms - least_error_ms).abs() < 0.1, "{told}");
        };
        // The exchange looks at its clock at once and takes its time to answer: nothing could be more uneven.
        for (after_us, slow_ms, error_ms) in [(300, 900, 450.5), (999_950, 40, 20.5), (70_700, 200, 20.5)] {
            exchange.play(Act::SlowRest(Duration::from_millis(slow_ms))).await;
            sleep(Duration::from_micros(after_us)).await;
            round_trip(&mut client, clock, &mut estimator).await;
            truly(estimator.estimate(clock.now()).unwrap(), error_ms);
        }
        exchange.play(Act::SlowRest(Duration::from_secs(6))).await;
        round_trip(&mut client, clock, &mut estimator).await;
        truly(estimator.estimate(clock.now()).unwrap(), 20.5 + 0.3);
        stopped_in_peace(exchange).await;
    }
}

fn lines_with(log: &Written, part: &str) -> Vec<String> {
    let text = String::from_utf8(log.now()).expect("diagnostics are UTF-8");
    text.lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
}

fn milliseconds(line: &str, name: &str) -> f64 {
    raw_field(line, name).parse().unwrap_or_else(|error| panic!("{name}: {error} in {line}"))
}

#[tokio::test(start_paused = true)]
async fn latency_is_split_and_corrected_by_what_the_clocks_differ_by() {
    for ahead_ms in [0, 8_000, -3_600_000] {
        let script = Script::new([]).at_end(AtEnd::Market { per_second: 50 });
        let exchange = btcusdt().in_memory().clock_ahead(ahead_ms).script(script).start().await.unwrap();
        let monitor = Monitor::simulated(&exchange, |config| config.stats_interval = Duration::from_secs(10));
        let is_known =
            |line: &str| line.contains(r#""type":"stat""#) && raw_field(line, "clock_offset_ms") != "null";
        let line = monitor.records.line_where(is_known).await;
        let of = |name: &str| milliseconds(&line, name);
        let ahead = ahead_ms as f64;
        assert!((of("clock_offset_ms") - ahead).abs() <= of("clock_error_ms"), "{line}");
        assert!(of("clock_error_ms") < 2.0, "nothing takes time in memory: {line}");
        // Trades are made up to so long before the exchange's clock, and become events until then.
        let made_within = -2.0..=200.0;
        assert!(made_within.contains(&of("exchange_p50_ms")), "{line}");
        assert!(of("exchange_p95_ms") >= of("exchange_p50_ms"));
        for quantile in ["p50_ms", "p95_ms", "p99_ms"] {
            let (raw, corrected) = (of(&format!("latency_{quantile}")), of(&format!("network_{quantile}")));
            assert!(made_within.contains(&corrected), "{line}");
            assert!((raw + ahead - corrected).abs() <= of("clock_error_ms"), "{line}");
        }
        assert!(of("own_p50_ms") <= of("own_p95_ms") && of("own_p95_ms") < 1_000.0, "{line}");
        monitor.stop().await.unwrap();
        stopped_in_peace(exchange).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_negative_latency_is_explained_by_how_far_the_clock_is_behind() {
    let (log, _guard) = diagnostics();
    let script = Script::new([]).at_end(AtEnd::Market { per_second: 50 });
    let exchange = btcusdt().in_memory().clock_ahead(8_000).script(script).start().await.unwrap();
    let monitor = Monitor::simulated(&exchange, |_| {});
    monitor.trades.reach(1_000).await;
    monitor.stop().await.unwrap();
    let told = lines_with(&log, "latency is negative");
    assert_eq!(told.len(), 1, "{told:?}");
    let behind = told[0].split_once("this machine's clock is ").expect("whose clock it is").1;
    let (behind_ms, error) = behind.split_once(" ms behind the exchange's (±").expect("by how much");
    assert!((behind_ms.parse::<f64>().unwrap() - 8_000.0).abs() < 2.0, "{}", told[0]);
    assert!(error.split_once(')').unwrap().0.parse::<f64>().unwrap() < 2.0, "{}", told[0]);
    stopped_in_peace(exchange).await;
}

#[tokio::test(start_paused = true)]
async fn without_rest_nothing_is_claimed_about_the_clock() {
    let (log, _guard) = diagnostics();
    let script = Script::new([]).at_end(AtEnd::Market { per_second: 50 });
    let exchange = btcusdt().in_memory().clock_ahead(8_000).script(script).start().await.unwrap();
    let monitor = Monitor::simulated(&exchange, |config| {
        config.stats_interval = Duration::from_secs(1);
        config.repair.rest_url = None;
    });
    monitor.trades.reach(1_000).await;
    let ended = monitor.stop().await.unwrap();
    for line in ended.records("stat").iter().chain(&ended.records("final")) {
        for name in ["network_p50_ms", "network_p99_ms", "clock_offset_ms", "clock_error_ms"] {
            assert_eq!(raw_field(line, name), "null");
        }
        assert!(
            raw_field(line, "trades") == "0" || milliseconds(line, "latency_p50_ms") < -7_000.0,
            "{line}"
        );
    }
    assert_eq!(lines_with(&log, "this machine's clock is behind the exchange's. The").len(), 1);
    stopped_in_peace(exchange).await;
}
