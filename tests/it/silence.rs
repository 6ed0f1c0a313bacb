//! Silence is never mistaken for health: what a monitor says of it, on a paused clock.

use std::time::Duration;

use cvd_stream::config::{Config, OutputFormat};
use cvd_stream::exchange::{Act, AtEnd, Exchange, Listing, Script};
use cvd_stream::feed::endpoint::Endpoint;
use cvd_stream::repair::rest::RestBase;
use tokio::time::{Instant, sleep, timeout};

use crate::support::*;

/// A story on the paused clock: one that takes longer than three days of it hangs.
async fn days<T>(told: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(3 * 86_400), told).await.expect("the story must not hang")
}

/// An exchange whose market trades for ever, after these acts.
async fn market(acts: impl IntoIterator<Item = Act>) -> Exchange {
    let script = Script::new(acts).at_end(AtEnd::Market { per_second: 20 });
    btcusdt().in_memory().script(script).start().await.expect("memory has ports")
}

/// What a state record says: state and cause.
fn said(line: &str) -> (String, String) {
    let field = |name| raw_field(line, name).trim_matches('"').to_owned();
    (field("state"), field("cause"))
}

fn is_state(line: &str, state: &str) -> bool {
    line.contains("\"type\":\"state\"") && raw_field(line, "state").trim_matches('"') == state
}

fn is_cause(line: &str, cause: &str) -> bool {
    line.contains("\"type\":\"state\"") && raw_field(line, "cause").trim_matches('"') == cause
}

fn detail(line: &str) -> String {
    let record: serde_json::Value = serde_json::from_str(line).expect("a record is JSON");
    record["detail"].as_str().expect("a cause has a sentence").to_owned()
}

/// The different things the state records say, in order, but for the end of the run.
fn story_of(ended: &Ended) -> Vec<String> {
    let (schema, records) = (schema(), ended.records("state"));
    records.iter().for_each(|line| assert_valid(&schema, line));
    let mut told: Vec<_> =
        records.iter().map(|line| said(line)).map(|(state, cause)| format!("{state} {cause}")).collect();
    told.dedup();
    told.pop_if(|last| last == "disconnected null");
    told
}

/// A monitor of an address of the exchange.
fn of(exchange: &Exchange, path: &str) -> impl FnOnce(&mut Config) {
    let url = format!("{}{path}", exchange.stream_base());
    move |config| config.endpoint = Endpoint::from_url(&url, None, None, false).expect("a URL")
}

#[tokio::test(start_paused = true)]
async fn a_server_that_acknowledges_and_stays_silent_is_stale_within_20_seconds_and_never_streams() {
    days(async {
        // Every connection of the story.
        let exchange = market(std::iter::repeat_n(Act::AckWithoutData, 40)).await;
        let begun = Instant::now();
        let monitor = Monitor::simulated(&exchange, |_| {});
        let stale = monitor.records.line_where(|line| is_state(line, "stale")).await;
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        assert_eq!(said(&stale).1, "not_delivered");
        assert!(detail(&stale).contains("BTCUSDT is at id 33394"), "{stale}");
        // The next connection is no better, and that is said as soon.
        exchange.wait_for(|stats| stats.connections == 2).await;
        let again = Instant::now();
        sleep(Duration::from_secs(600)).await;
        let ended = monitor.stop().await.unwrap();
        let story = story_of(&ended);
        assert_eq!(
            story[..7],
            [
                "subscribed null",
                "stale not_delivered",
                "disconnected connection_lost",
                "subscribed null",
                "stale not_delivered",
                "disconnected connection_lost",
                "subscribed null"
            ]
        );
        assert!(again.elapsed() >= Duration::from_secs(600));
        assert!(story.iter().all(|told| !told.starts_with("streaming")), "{story:?}");
        // It cannot be cured, so it is not tried over and over.
        let reconnects = ended.summary.metrics.reconnect_count;
        assert!((2..=10).contains(&reconnects), "{reconnects} in ten minutes");
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_goes_mute_is_stale_within_seconds_of_its_last_trade_at_its_own_rate() {
    days(async {
        let exchange = market([Act::TradesPaced { n: 600, per_second: 20 }, Act::Mute]).await;
        let monitor = Monitor::simulated(&exchange, |_| {});
        monitor.trades.reach(600).await;
        let mute = Instant::now();
        monitor.records.line_where(|line| is_cause(line, "not_delivered")).await;
        assert!(mute.elapsed() < Duration::from_secs(8), "{:?}", mute.elapsed());
        monitor.trades.reach(1_000).await;
        let ended = monitor.stop().await.unwrap();
        ended.assert_whole(&exchange, "BTCUSDT");
        assert_eq!(ended.summary.metrics.reconnect_count, 1);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_market_in_which_nobody_trades_is_quiet_and_rest_confirms_it() {
    days(async {
        let exchange = btcusdt().in_memory().script([Act::Trades(10)]).start().await.unwrap();
        let monitor =
            Monitor::simulated(&exchange, |config| config.heartbeat_timeout = Duration::from_secs(3_600));
        monitor.trades.reach(10).await;
        let quiet = monitor.records.line_where(|line| is_cause(line, "quiet_market")).await;
        assert_eq!(said(&quiet).0, "quiet");
        assert!(detail(&quiet).contains("the newest trade of BTCUSDT is still id 3339472010"), "{quiet}");
        exchange.play(Act::Trades(1)).await;
        monitor.trades.reach(11).await;
        let ended = monitor.stop().await.unwrap();
        let story = story_of(&ended);
        assert_eq!(story.last().map(String::as_str), Some("streaming null"), "{story:?}");
        assert!(!story.iter().any(|told| told.starts_with("stale")), "{story:?}");
        assert_eq!(ended.summary.metrics.repair_calls, 0);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_address_that_carries_no_trades_is_named_as_such() {
    days(async {
        let path = "/stream?streams=btcusdt@aggTrade";
        let exchange = market([]).await;
        // The exchange's own host: known without asking anybody.
        let begun = Instant::now();
        let monitor = Monitor::simulated(&exchange, |config| {
            of(&exchange, path)(config);
            config.endpoint.unrouted_warning = Some("nothing will arrive; use /market".into());
            config.repair.enabled = false;
        });
        let stale = monitor.records.line_where(|line| is_cause(line, "wrong_route")).await;
        assert!(begun.elapsed() <= Duration::from_secs(6), "{:?}", begun.elapsed());
        assert_eq!(
            (said(&stale).0.as_str(), detail(&stale).as_str()),
            ("stale", "nothing will arrive; use /market")
        );
        monitor.stop().await.unwrap();
        // A host of nobody we know: suspected once REST shows that the market trades.
        let begun = Instant::now();
        let monitor = Monitor::simulated(&exchange, of(&exchange, path));
        let stale = monitor.records.line_where(|line| is_state(line, "stale")).await;
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        assert_eq!(said(&stale).1, "wrong_route");
        assert!(detail(&stale).contains("/market/stream?streams=btcusdt@aggTrade"), "{stale}");
        let ended = monitor.stop().await.unwrap();
        assert_eq!(
            story_of(&ended),
            ["subscribed null", "stale wrong_route", "disconnected connection_lost"]
        );
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn where_rest_cannot_be_asked_the_silence_says_so() {
    days(async {
        let exchange = btcusdt().in_memory().script([Act::Trades(10)]).start().await.unwrap();
        let monitor = Monitor::simulated(&exchange, |config| {
            config.repair.rest_url = Some(RestBase::parse("http://127.0.0.1:9", false).unwrap());
        });
        let quiet = monitor.records.line_where(|line| is_cause(line, "no_answer")).await;
        assert_eq!(said(&quiet).0, "quiet");
        assert!(
            detail(&quiet).contains("REST cannot be asked: no whole answer from http://127.0.0.1:9"),
            "{quiet}"
        );
        monitor.stop().await.unwrap();
        let monitor = Monitor::simulated(&exchange, |config| config.repair.enabled = false);
        let quiet = monitor.records.line_where(|line| is_cause(line, "no_answer")).await;
        assert!(detail(&quiet).contains("repair is off"), "{quiet}");
        monitor.stop().await.unwrap();
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_link_that_died_without_a_word_is_named_when_it_is_given_up() {
    days(async {
        let exchange = market([Act::Trades(10), Act::HalfOpen]).await;
        let monitor = Monitor::simulated(&exchange, |config| config.repair.enabled = false);
        monitor.trades.reach(10).await;
        let begun = Instant::now();
        let dead = monitor.records.line_where(|line| is_state(line, "disconnected")).await;
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
        assert_eq!(said(&dead).1, "dead_link");
        assert_eq!(detail(&dead), "dead link: nothing came for 8s after a ping");
        monitor.stop().await.unwrap();
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_exchange_that_is_not_there_is_named() {
    days(async {
        let exchange = market([]).await;
        exchange.stop_listening().await;
        let monitor = Monitor::simulated(&exchange, |_| {});
        let line = monitor.records.line_where(|line| is_cause(line, "not_connected")).await;
        assert_eq!(said(&line).0, "connecting");
        monitor.stop().await.unwrap();
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_unknown_symbol_ends_the_run_and_says_what_may_have_been_meant() {
    days(async {
        let exchange = market([]).await;
        let begun = Instant::now();
        let monitor = Monitor::simulated(&exchange, of(&exchange, "/market/stream?streams=btcusd@aggTrade"));
        let error = monitor.end().await.expect_err("nothing can come");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert_eq!(
            error.to_string(),
            "the exchange lists no BTCUSD on usdm; did you mean BTCUSDT? (--symbol)"
        );
        // With REST away nothing is concluded.
        let monitor = Monitor::simulated(&exchange, |config| {
            of(&exchange, "/market/stream?streams=btcusd@aggTrade")(config);
            config.repair.rest_url = Some(RestBase::parse("http://127.0.0.1:9", false).unwrap());
        });
        monitor.records.line_where(|line| is_cause(line, "no_answer")).await;
        monitor.stop().await.unwrap();
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_symbol_that_is_halted_is_named_with_its_status_and_followed_on() {
    days(async {
        let halted = Listing { status: "HALT".into(), ..Listing::new(symbol("BTCUSDT")) };
        let exchange = Exchange::builder().listing(halted).in_memory().script([]).start().await.unwrap();
        let monitor =
            Monitor::simulated(&exchange, |config| config.heartbeat_timeout = Duration::from_secs(3_600));
        let line = monitor.records.line_where(|line| is_cause(line, "not_trading")).await;
        assert_eq!(said(&line).0, "quiet");
        assert!(detail(&line).contains("the exchange's status of it is HALT"), "{line}");
        exchange.play(Act::Trades(5)).await;
        monitor.trades.reach(5).await;
        let ended = monitor.stop().await.unwrap();
        assert_eq!(story_of(&ended).last().map(String::as_str), Some("streaming null"));
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_trade_in_ten_minutes_costs_no_reconnection_in_a_day() {
    days(async {
        let script = Script::new([]).at_end(AtEnd::SlowMarket { every: Duration::from_secs(600) });
        let exchange = btcusdt().in_memory().script(script).no_server_ping().start().await.unwrap();
        let monitor = Monitor::simulated(&exchange, |_| {});
        sleep(Duration::from_secs(23 * 3_600)).await;
        let ended = monitor.stop().await.unwrap();
        assert_eq!(ended.summary.metrics.reconnect_count, 0);
        assert_eq!(ended.trades.len(), 137);
        let story = story_of(&ended);
        assert!(!story.iter().any(|told| told.starts_with("stale")), "{story:?}");
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn as_text_a_silence_is_one_line_with_its_cause() {
    days(async {
        let exchange = market([Act::AckWithoutData]).await;
        let monitor = Monitor::simulated(&exchange, |config| config.output = OutputFormat::Text);
        let line = monitor.records.line_where(|line| line.contains("stale")).await;
        let line = line.split_once("Z ").expect("a stamp").1;
        assert!(line.starts_with(" WARN connected, but no trade for "), "{line}");
        assert!(
            line.contains(
                " s: stale | not_delivered: the market trades on and nothing of it arrives: BTCUSDT"
            ),
            "{line}"
        );
        monitor.stop().await.unwrap();
        stopped_in_peace(exchange).await;
    })
    .await;
}
