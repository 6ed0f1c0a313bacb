//! Outages of many symbols: a shard's failure touches its own symbols, and what they missed is fetched within the weight.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cvd_stream::config::Config;
use cvd_stream::exchange::{Act, AtEnd, Exchange, ExchangeBuilder, Script};
use cvd_stream::feed::endpoint::Endpoint;
use cvd_stream::repair::rest::RestBase;
use cvd_stream::roster::{Selection, Selector};
use cvd_stream::snapshot::Market;

use crate::support::*;

const SYMBOLS: usize = 60;
/// What may be used of the exchange's 2,400.
const CEILING: u64 = 1_800;

/// An exchange of sixty symbols in memory that refuses what is above our own ceiling.
fn sixty() -> ExchangeBuilder {
    Exchange::builder().universe(SYMBOLS).seed(3).in_memory().rest_weight_limit(CEILING)
}

/// The settings of a monitor that follows all of them, twenty over each connection.
fn on_three_shards(exchange: &Exchange, config: &mut Config) {
    let bare = format!("{}/market/stream", exchange.stream_base());
    config.endpoint = Endpoint::from_url(&bare, None, None, false).expect("a URL that can be connected to");
    let wanted = Selector::parse_list(&names(exchange).join(","), Market::UsdM).expect("names");
    config.symbols.selection = Some(Selection { wanted, ..Selection::default() });
    config.streams_per_connection = SYMBOLS / 3;
    config.print_every = 10_000;
}

fn names(exchange: &Exchange) -> Vec<String> {
    exchange.listed().iter().map(ToString::to_string).collect()
}

/// The symbols of the gap records with this event.
fn symbols_with(event: &str, records: &[u8]) -> BTreeSet<String> {
    let end = records.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let text = std::str::from_utf8(&records[..end]).expect("records are UTF-8");
    let mark = format!("\"event\":\"{event}\"");
    let gaps = text.lines().filter(|line| line.contains("\"type\":\"gap\"") && line.contains(&mark));
    gaps.map(|line| raw_field(line, "symbol").trim_matches('"').to_owned()).collect()
}

/// Waits until so many symbols have a gap record with this event.
async fn told_of(monitor: &Monitor, event: &str, symbols: usize) -> BTreeSet<String> {
    let records = monitor.records.until(|records| symbols_with(event, records).len() >= symbols).await;
    symbols_with(event, &records)
}

#[tokio::test(start_paused = true)]
async fn of_three_shards_one_is_cut_and_only_its_symbols_miss_something_and_all_are_whole_afterwards() {
    let market = Script::new([Act::WaitForSymbols]).at_end(AtEnd::Market { per_second: 300 });
    let exchange = sixty().script(market).start().await.unwrap();
    let monitor = Monitor::simulated(&exchange, |config| on_three_shards(&exchange, config));
    monitor.trades.reach(3_000).await;
    assert_eq!(exchange.stats().open, 3);
    // It tries again after one, two, four and eight seconds.
    exchange.play(Act::Refuse { status: 503, retry_after: None, times: 4 }).await;
    exchange.play(Act::Drop.on(2)).await;
    let repaired = told_of(&monitor, "repaired", SYMBOLS / 3).await;
    monitor.trades.reach(12_000).await;
    let ended = monitor.stop().await.unwrap();

    let opened = symbols_with("opened", ended.text().as_bytes());
    assert_eq!((opened.len(), opened), (SYMBOLS / 3, repaired));
    for name in names(&exchange) {
        ended.assert_whole(&exchange, &name);
    }
    let metrics = ended.summary.metrics;
    assert_eq!((metrics.missing_trades, metrics.queue_dropped), (0, 0), "{metrics:?}");
    // One page each, and none for the others.
    assert!((20..30).contains(&metrics.repair_calls), "{metrics:?}");
    let report = stopped_in_peace(exchange).await;
    assert_eq!((report.stats.connections, report.stats.rest_refused), (4, 0));
}

#[tokio::test(start_paused = true)]
async fn more_missing_trades_than_a_minute_allows_are_whole_in_the_minutes_after_it() {
    let exchange = sixty().start().await.unwrap();
    let monitor = Monitor::simulated(&exchange, |config| on_three_shards(&exchange, config));
    exchange.play(Act::WaitForSymbols).await;
    exchange.play(Act::Trades(600)).await;
    monitor.trades.reach(600).await;
    // Two pages for each: 2,400 of weight.
    for symbol in exchange.listed() {
        exchange.play(Act::SkipIds(1_200).of(symbol)).await;
    }
    exchange.play(Act::Trades(1_200)).await;
    told_of(&monitor, "repaired", SYMBOLS).await;
    monitor.trades.reach(600 + 1_200 + SYMBOLS * 1_200).await;
    let ended = monitor.stop().await.unwrap();
    for name in names(&exchange) {
        ended.assert_whole(&exchange, &name);
        ended.assert_equals_ledger(&exchange, &name);
    }
    assert!(ended.summary.metrics.repair_calls >= 120, "{:?}", ended.summary.metrics);
    let report = stopped_in_peace(exchange).await;
    assert_eq!(report.stats.rest_refused, 0, "never more than the ceiling in a minute");
}

#[tokio::test(start_paused = true)]
async fn sixty_symbols_that_hardly_trade_are_vouched_for_and_nobody_is_reconnected() {
    // Each of them once in ten minutes.
    let market = Script::new([Act::WaitForSymbols, Act::Trades(600)])
        .at_end(AtEnd::SlowMarket { every: Duration::from_secs(10) });
    let exchange = sixty().script(market).start().await.unwrap();
    let monitor = Monitor::simulated(&exchange, |config| on_three_shards(&exchange, config));
    monitor.trades.reach(600 + 2 * 360).await;
    let ended = monitor.stop().await.unwrap();
    for name in names(&exchange) {
        ended.assert_whole(&exchange, &name);
    }
    assert_eq!((ended.gaps(), ended.summary.metrics.repair_calls), (vec![], 0));
    assert!(!ended.text().contains("\"state\":\"stale\""), "{}", ended.text());
    let report = stopped_in_peace(exchange).await;
    assert_eq!((report.stats.connections, report.stats.rest_refused), (3, 0));
    // Two hours: a fifth of the weight at most, besides the time and the listings.
    assert!(report.stats.rest_weight <= 120 * CEILING / 5, "{}", report.stats.rest_weight);
}

/// A directory for a state, removed when dropped.
struct State(PathBuf);

impl State {
    fn new() -> Self {
        let name = format!("outage-{}", std::process::id());
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }
}

impl Drop for State {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

#[tokio::test]
async fn a_start_with_the_state_of_sixty_symbols_asks_for_those_that_missed_something_and_no_other() {
    story(async {
        let exchange = Exchange::builder().universe(SYMBOLS).seed(3).rest_weight_limit(CEILING);
        let exchange = exchange.start().await.unwrap();
        let state = State::new();
        let settings = || {
            let mut config = config(&exchange.stream_url());
            on_three_shards(&exchange, &mut config);
            config.state.dir = Some(state.0.clone());
            config.repair.rest_url = RestBase::parse(&exchange.rest_url(), false).ok();
            config
        };
        for (run, missed) in [0, 0, 7].into_iter().enumerate() {
            for symbol in exchange.listed().into_iter().take(missed) {
                exchange.play(Act::SkipIds(5).of(symbol)).await;
            }
            let monitor = Monitor::with(settings());
            let open = 3 * (run as u64 + 1);
            exchange.wait_for(|stats| stats.connections == open).await;
            exchange.play(Act::WaitForSymbols).await;
            for symbol in exchange.listed() {
                exchange.play(Act::Trades(5).of(symbol)).await;
            }
            monitor.trades.reach(5 * (SYMBOLS + missed)).await;
            let ended = monitor.stop().await.unwrap();
            let metrics = ended.summary.metrics;
            assert_eq!((metrics.missing_trades, metrics.repair_calls), (0, missed as u64), "run {run}");
            for lane in &ended.summary.lanes {
                assert_eq!(
                    lane.reading.cvd,
                    exchange.ledger().cvd(&lane.symbol),
                    "{} of run {run}",
                    lane.symbol
                );
            }
        }
        stopped_in_peace(exchange).await;
    })
    .await;
}
