//! Every state of the feed, and what `/readyz` and `/healthz` say of it.

use std::time::Duration;

use cvd_stream::exchange::{Act, AtEnd, Exchange, Script};
use cvd_stream::feed::endpoint::Endpoint;
use cvd_stream::overview::REPAIRING_TOO_LONG_S;
use tokio::time::{sleep, timeout};

use super::client::*;
use crate::support::*;

async fn days<T>(told: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(3 * 86_400), told).await.expect("the story must not hang")
}

async fn in_memory(script: impl Into<Script>) -> Exchange {
    btcusdt().in_memory().script(script).start().await.expect("memory has ports")
}

/// What is said: the status, the word, and the first reason with its cause.
async fn said(address: std::net::SocketAddr) -> String {
    let ready = get(address, "/readyz").await;
    let alive = get(address, "/healthz").await;
    assert_eq!(alive.status, 200, "whatever the feed does, the process is alive");
    let json = ready.json();
    let reason = &json["reasons"][0];
    let word = |value: &serde_json::Value| value.as_str().unwrap_or("-").to_owned();
    format!(
        "{} {} {} {}",
        ready.status,
        word(&json["status"]),
        word(&reason["reason"]),
        word(&reason["cause"])
    )
}

#[tokio::test(start_paused = true)]
async fn without_a_connection_it_is_not_ready_and_says_why() {
    days(async {
        let exchange = in_memory([Act::Refuse { status: 503, retry_after: None, times: 1_000 }]).await;
        let (monitor, address) = served_in_memory(&exchange, |_| {}).await;
        sleep(Duration::from_secs(5)).await;
        assert_eq!(said(address).await, "503 not_ready connecting not_connected");
        monitor.stop().await.unwrap();
        exchange.stop().await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn subscribed_is_not_streaming_and_a_market_that_is_known_to_be_quiet_is_ready() {
    days(async {
        let exchange = in_memory(Script::new([])).await;
        let (monitor, address) = served_in_memory(&exchange, |_| {}).await;
        sleep(Duration::from_secs(3)).await;
        assert_eq!(said(address).await, "503 not_ready subscribed -");
        exchange.play(Act::Trades(5)).await;
        sleep(Duration::from_secs(2)).await;
        assert_eq!(said(address).await, "200 ready - -");
        sleep(Duration::from_secs(40)).await;
        assert_eq!(said(address).await, "200 ready - -", "REST confirms that nobody trades");
        monitor.stop().await.unwrap();
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_market_that_trades_while_nothing_arrives_is_stale_and_named() {
    days(async {
        let exchange = in_memory(Script::default().at_end(AtEnd::Market { per_second: 20 })).await;
        let url = format!("{}/stream?streams=btcusdt@aggTrade", exchange.stream_base());
        let (monitor, address) = served_in_memory(&exchange, |config| {
            config.endpoint = Endpoint::from_url(&url, None, None, false).expect("a URL");
            config.endpoint.unrouted_warning = Some("nothing will arrive; use /market".into());
            config.repair.enabled = false;
        })
        .await;
        sleep(Duration::from_secs(10)).await;
        assert_eq!(said(address).await, "503 not_ready stale wrong_route");
        monitor.stop().await.unwrap();
        exchange.stop().await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_named_while_it_lasts() {
    days(async {
        let refuse = Act::Refuse { status: 503, retry_after: None, times: 4 };
        let exchange = in_memory([Act::TradesPaced { n: 100, per_second: 20 }]).await;
        let (monitor, address) = served_in_memory(&exchange, |_| {}).await;
        monitor.trades.reach(100).await;
        exchange.play(refuse).await;
        exchange.play(Act::Drop).await;
        sleep(Duration::from_secs(3)).await;
        assert_eq!(said(address).await, "503 not_ready disconnected not_connected");
        monitor.stop().await.unwrap();
        exchange.stop().await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_hole_is_a_fault_once_it_takes_too_long_and_none_any_more_once_it_is_filled() {
    days(async {
        let exchange = in_memory(Script::new([Act::Trades(50)])).await;
        let (monitor, address) =
            served_in_memory(&exchange, |config| config.repair.deadline = Duration::from_secs(600)).await;
        monitor.trades.reach(50).await;
        exchange.play(Act::RefuseRest { status: 503, retry_after: None, times: 10_000 }).await;
        exchange.play(Act::SkipIds(3)).await;
        // The stream goes on, so that nothing else is the matter.
        let streams = async |seconds: u32| {
            let n = u64::from(seconds) * 5;
            exchange.play(Act::TradesPaced { n, per_second: 5 }).await;
        };
        streams(REPAIRING_TOO_LONG_S as u32 / 2).await;
        assert_eq!(said(address).await, "200 ready - -");
        streams(REPAIRING_TOO_LONG_S as u32).await;
        assert_eq!(said(address).await, "503 not_ready repairing -");
        exchange.play(Act::RefuseRest { status: 503, retry_after: None, times: 0 }).await;
        streams(90).await;
        assert_eq!(said(address).await, "200 ready - -");
        let ended = monitor.stop().await.unwrap();
        ended.assert_whole(&exchange, "BTCUSDT");
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_minute_that_is_lost_for_good_degrades_it_for_ever_and_never_takes_it_out() {
    days(async {
        let exchange = in_memory(Script::new([Act::Trades(50), Act::SkipIds(60)])).await;
        let (monitor, address) = served_in_memory(&exchange, |config| config.repair.enabled = false).await;
        monitor.trades.reach(50).await;
        for _ in 0..3 {
            exchange.play(Act::TradesPaced { n: 3_600, per_second: 10 }).await;
            assert_eq!(said(address).await, "200 degraded - -");
        }
        let ready = get(address, "/readyz").await.json();
        assert_eq!((&ready["complete"], &ready["missing_trades"]), (&false.into(), &60.into()));
        monitor.stop().await.unwrap();
        stopped_in_peace(exchange).await;
    })
    .await;
}
