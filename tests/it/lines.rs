//! A line that never lets go: hand-overs, redundant lines, a month of cuts. On a paused clock, so that days cost nothing.

use std::time::Duration;

use cvd_stream::exchange::{Act, AtEnd, Exchange, ExchangeBuilder, Script};
use tokio::time::{sleep, timeout};

use crate::support::*;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// A story on the paused clock: one that takes longer than two months of it hangs.
async fn months<T>(told: impl Future<Output = T>) -> T {
    timeout(60 * DAY, told).await.expect("the story must not hang")
}

fn in_memory(at_end: AtEnd) -> ExchangeBuilder {
    btcusdt().in_memory().script(Script::new([]).at_end(at_end))
}

async fn market(per_second: u32) -> Exchange {
    in_memory(AtEnd::Market { per_second }).start().await.expect("memory has ports")
}

async fn seldom(every: Duration) -> Exchange {
    in_memory(AtEnd::SlowMarket { every }).start().await.expect("memory has ports")
}

/// Nothing was lost, repaired or asked for.
fn assert_untroubled(ended: &Ended) {
    let metrics = ended.summary.metrics;
    assert_eq!((metrics.gaps, metrics.repaired_trades, metrics.missing_trades), (0, 0, 0));
    assert_eq!(metrics.repair_calls, 0, "nothing had to be fetched");
    assert_eq!((metrics.duplicate_trades, metrics.conflicts), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn thirty_days_with_a_cut_every_24_hours_cost_no_gap_and_no_question() {
    months(async {
        let exchange = seldom(Duration::from_secs(20)).await;
        let monitor = Monitor::simulated(&exchange, |config| config.print_every = 0);
        sleep(30 * DAY).await;
        let ended = monitor.stop().await.unwrap();
        ended.assert_whole(&exchange, "BTCUSDT");
        assert_untroubled(&ended);
        let metrics = ended.summary.metrics;
        assert_eq!(metrics.reconnect_count, 0, "every connection was replaced before it was cut");
        assert!((30..=33).contains(&metrics.hand_overs), "{}", metrics.hand_overs);
        assert!(metrics.applied_trades > 129_000, "{}", metrics.applied_trades);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_symbol_with_one_trade_in_ten_minutes_is_not_reconnected_once_in_a_day() {
    months(async {
        let exchange = seldom(10 * MINUTE).await;
        let monitor = Monitor::simulated(&exchange, |_| {});
        sleep(DAY).await;
        let ended = monitor.stop().await.unwrap();
        ended.assert_whole(&exchange, "BTCUSDT");
        assert_untroubled(&ended);
        let metrics = ended.summary.metrics;
        assert_eq!((metrics.reconnect_count, metrics.hand_overs), (0, 1));
        let states = ended.records("state");
        assert!(!states.iter().any(|state| state.contains("\"stale\"")), "{states:?}");
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_announced_shutdown_costs_nothing() {
    months(async {
        let exchange = market(50).await;
        let monitor = Monitor::simulated(&exchange, |_| {});
        monitor.trades.reach(100).await;
        let announced = r#"{"e":"serverShutdown","E":1770123456789}"#.to_owned();
        exchange.play(Act::Frame(announced).on(1)).await;
        exchange.wait_for(|stats| stats.connections == 2 && stats.open == 1).await;
        let made = monitor.trades.now().len();
        monitor.trades.reach(made + 100).await;
        let ended = monitor.stop().await.unwrap();
        ended.assert_whole(&exchange, "BTCUSDT");
        assert_untroubled(&ended);
        assert_eq!((ended.summary.metrics.hand_overs, ended.summary.metrics.reconnect_count), (1, 0));
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_that_brings_nothing_does_not_take_over() {
    months(async {
        let exchange = market(20).await;
        let monitor = Monitor::simulated(&exchange, |config| config.lines.handover_after = 10 * MINUTE);
        monitor.trades.reach(100).await;
        exchange.play(Act::AckWithoutData).await;
        exchange.wait_for(|stats| stats.connections == 2).await;
        // It is given up, and the third one takes over.
        exchange.wait_for(|stats| stats.connections == 3 && stats.open == 1).await;
        let made = monitor.trades.now().len();
        monitor.trades.reach(made + 100).await;
        let ended = monitor.stop().await.unwrap();
        ended.assert_whole(&exchange, "BTCUSDT");
        assert_untroubled(&ended);
        assert_eq!((ended.summary.metrics.hand_overs, ended.summary.metrics.reconnect_count), (1, 0));
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn killing_either_of_two_lines_costs_no_gap_and_no_question() {
    months(async {
        let exchange = market(100).await;
        let monitor = Monitor::simulated(&exchange, |config| config.lines.redundancy = 2);
        exchange.wait_for(|stats| stats.receiving == 2).await;
        let mut made = 0;
        for (killed, act) in [(1, Act::Drop), (2, Act::Reset), (3, Act::Mute), (4, Act::HalfOpen)] {
            monitor.trades.reach(made + 200).await;
            exchange.play(act.on(killed)).await;
            exchange.wait_for(|stats| stats.connections == killed + 2).await;
            made = monitor.trades.now().len();
        }
        monitor.trades.reach(made + 200).await;
        let ended = monitor.stop().await.unwrap();
        ended.assert_whole(&exchange, "BTCUSDT");
        assert_untroubled(&ended);
        let metrics = ended.summary.metrics;
        assert_eq!(metrics.reconnect_count, 4);
        assert!(metrics.copied_trades > 400, "{}", metrics.copied_trades);
        let lines = &ended.last()["lines"];
        let first = |line: usize| lines[line]["first"].as_u64().unwrap();
        // While only one of them was up there was nobody to be first before.
        assert!(first(0) > 200 && first(1) > 200, "{lines}");
        assert!(first(0) + first(1) <= metrics.applied_trades, "{lines}");
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_week_of_two_lines_is_handed_over_one_line_at_a_time() {
    months(async {
        let exchange = seldom(Duration::from_secs(30)).await;
        let monitor = Monitor::simulated(&exchange, |config| {
            config.print_every = 0;
            config.lines.redundancy = 2;
        });
        let mut most = 0;
        for _ in 0..7 * 24 * 4 {
            sleep(HOUR / 4).await;
            most = most.max(exchange.stats().open);
        }
        assert!(most <= 3, "{most} connections at once");
        let ended = monitor.stop().await.unwrap();
        ended.assert_whole(&exchange, "BTCUSDT");
        assert_untroubled(&ended);
        assert_eq!(ended.summary.metrics.reconnect_count, 0);
        assert!(
            (14..=16).contains(&ended.summary.metrics.hand_overs),
            "{}",
            ended.summary.metrics.hand_overs
        );
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_line_that_falls_behind_is_replaced_without_a_gap() {
    months(async {
        let exchange = market(50).await;
        let monitor = Monitor::simulated(&exchange, |config| config.lines.max_lag = Duration::from_secs(3));
        monitor.trades.reach(500).await;
        // About a tenth of what the market makes.
        exchange.play(Act::SlowBytes { per_second: 1_000 }.on(1)).await;
        exchange.wait_for(|stats| stats.connections == 2 && stats.open == 1).await;
        let made = monitor.trades.now().len();
        monitor.trades.reach(made + 500).await;
        let ended = monitor.stop().await.unwrap();
        ended.assert_whole(&exchange, "BTCUSDT");
        assert_eq!((ended.summary.metrics.hand_overs, ended.summary.metrics.reconnect_count), (1, 0));
        assert_eq!(ended.summary.metrics.missing_trades, 0);
        stopped_in_peace(exchange).await;
    })
    .await;
}
