//! The whole monitor against the practice exchange: what comes in, what is counted, how it ends.

use std::io::ErrorKind;
use std::time::Duration;

use cvd_stream::app::{App, AppError, SHUTDOWN_LIMIT};
use cvd_stream::config::Config;
use cvd_stream::exchange::{Act, AtEnd, Exchange, Script};
use cvd_stream::processor::Ending;
use cvd_stream::queue::QueueLimits;
use cvd_stream::units::QtyDelta;

use crate::support::*;

#[tokio::test]
async fn the_final_record_is_the_ledger_to_the_last_digit() {
    story(async {
        let exchange = exchange([Act::Trades(3_000)]).await;
        let monitor = Monitor::of(&exchange);
        monitor.trades.reach(3_000).await;
        let ended = monitor.stop().await.unwrap();
        ended.assert_equals_ledger(&exchange, "BTCUSDT");
        assert_eq!(ended.summary.ending, Ending::SourceEnded);
        let last = ended.last();
        assert_eq!((&last["total_messages"], &last["queue_dropped"]), (&3_000.into(), &0.into()));
        assert_eq!((&last["reconnect_count"], &last["parse_errors"]), (&0.into(), &0.into()));
        // The first five, then every hundredth.
        assert_eq!(ended.records("cvd").len(), 5 + 30);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn count_ends_after_exactly_so_many_trades_of_all_symbols_together() {
    story(async {
        let script = Script::default().at_end(AtEnd::Market { per_second: 5_000 });
        let builder = Exchange::builder().symbol("BTCUSDT").symbol("ETHUSDT").seed(7).script(script);
        let exchange = builder.start().await.unwrap();
        let config = Config { count: Some(777), print_every: 1, ..config(&exchange.stream_url()) };
        let ended = Monitor::with(config).end().await.unwrap();
        assert_eq!(ended.summary.ending, Ending::CountReached);
        assert_eq!((ended.trades.len(), ended.records("cvd").len()), (777, 777));
        let [btc, eth] = &ended.summary.lanes[..] else { panic!("two symbols, two lanes") };
        assert_eq!(btc.trades + eth.trades, 777);
        assert!(btc.trades > 0 && eth.trades > 0);
        for lane in [btc, eth] {
            // The market may have begun before we were there.
            let mut trades = exchange.ledger().trades(&lane.symbol);
            trades.retain(|trade| Some(trade.id) >= lane.coverage.first_id);
            let sum = trades[..lane.trades as usize].iter().map(|trade| trade.delta().units()).sum();
            assert_eq!(lane.reading.cvd, QtyDelta::from_units(sum));
            assert_eq!(lane.coverage.last_id, Some(trades[lane.trades as usize - 1].id));
        }
        assert_eq!(ended.last()["trades"], 777);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[test]
fn at_full_speed_the_default_queue_loses_nothing() {
    let frames = 1_000_000;
    // A peer of its own thread, as a real one is.
    let peer = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let exchange = peer.block_on(exchange([Act::Trades(frames)]));
    let ours = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config { count: Some(frames), ..config(&exchange.stream_url()) };
    let app = App::new(config).write_to(std::io::sink()).unwrap();
    let summary = ours.block_on(story(app.run(std::future::pending()))).unwrap();
    let lane = &summary.lanes[0];
    assert_eq!(lane.reading.cvd, exchange.ledger().cvd(&lane.symbol));
    assert_eq!(lane.trades, frames);
    assert_eq!((summary.metrics.queue_dropped, summary.metrics.total_messages), (0, frames));
    peer.block_on(stopped_in_peace(exchange));
}

#[tokio::test]
async fn a_blocked_output_costs_frames_that_are_counted_but_never_a_pong() {
    story(async {
        let builder = btcusdt()
            .server_ping(Duration::from_millis(100))
            .pong_deadline(Duration::from_secs(20))
            .messages_per_second(10_000);
        let exchange = builder.start().await.unwrap();
        let config = Config {
            queue: QueueLimits { frames: 4, ..QueueLimits::default() },
            print_every: 1,
            ..config(&exchange.stream_url())
        };
        let written = Written::default();
        let (gate, key) = Gate::shut(written.clone());
        let monitor = Monitor::run(App::new(config).write_to(gate).unwrap());
        key.tried.until(|tried| *tried > 0).await;

        exchange.play(Act::Trades(20_000)).await;
        // Two seconds of pings, all of them answered although nothing has been written yet.
        let before = exchange.stats().pongs_received;
        exchange.wait_for(|stats| stats.pongs_received >= before + 20).await;
        assert_eq!(written.now(), b"");
        drop(key);
        let ended = monitor.stop().await.unwrap();

        let metrics = ended.summary.metrics;
        assert!(metrics.queue_dropped > 0, "{metrics:?}");
        assert_eq!(metrics.total_messages, 20_000, "{metrics:?}");
        assert_eq!(metrics.applied_trades + metrics.queue_dropped, metrics.total_messages, "{metrics:?}");
        assert_eq!(metrics.reconnect_count, 0, "{metrics:?}");
        let text = String::from_utf8(written.now()).unwrap();
        let ids: Vec<_> = text.lines().filter(|line| line.contains("\"type\":\"cvd\"")).map(id_of).collect();
        assert_eq!(ids.len() as u64, metrics.applied_trades);
        assert!(ids.is_sorted());
        let ledger = exchange.ledger().trades(&symbol("BTCUSDT"));
        assert_eq!(ids.last(), ledger.last().map(|trade| trade.id.0).as_ref(), "the newest is never lost");
        let applied = ledger.iter().filter(|trade| ids.contains(&trade.id.0));
        let sum = QtyDelta::from_units(applied.map(|trade| trade.delta().units()).sum());
        let last = text.lines().last().unwrap();
        assert!(
            last.contains("\"type\":\"final\"") && last.contains(&format!("\"cvd\":\"{sum}\"")),
            "{last}"
        );
        stopped_in_peace(exchange).await;
    })
    .await;
}

fn id_of(record: &str) -> i64 {
    raw_field(record, "agg_trade_id").parse().unwrap()
}

#[tokio::test]
async fn asked_to_stop_under_load_it_drains_and_writes_the_final_record_in_time() {
    story(async {
        let exchange = exchange([Act::Trades(u64::MAX)]).await;
        let monitor = Monitor::of(&exchange);
        monitor.trades.reach(10_000).await;
        let asked = tokio::time::Instant::now();
        let ended = monitor.stop().await.unwrap();
        assert!(asked.elapsed() < SHUTDOWN_LIMIT);
        let metrics = ended.summary.metrics;
        assert_eq!(metrics.applied_trades, metrics.total_messages - metrics.queue_dropped);
        let last = ended.last();
        assert_eq!(last["trades"], metrics.applied_trades);
        let trades = exchange.ledger().trades(&symbol("BTCUSDT"));
        let sum: i128 =
            trades[..metrics.applied_trades as usize].iter().map(|trade| trade.delta().units()).sum();
        assert_eq!(last["symbols"][0]["cvd"], QtyDelta::from_units(sum).to_string());
        assert_eq!(metrics.queue_dropped, 0);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn an_output_that_never_gives_way_ends_the_run_with_an_error_at_the_deadline() {
    story(async {
        let exchange = exchange([Act::Trades(100)]).await;
        let (gate, _key) = Gate::shut(Written::default());
        let monitor = Monitor::run(App::new(config(&exchange.stream_url())).write_to(gate).unwrap());
        monitor.trades.reach(100).await;
        let error = monitor.stop().await.unwrap_err();
        assert!(matches!(error, AppError::ShutdownDeadline(_)), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_has_gone_is_a_quiet_end() {
    story(async {
        let exchange = exchange(Script::default().at_end(AtEnd::Market { per_second: 1_000 })).await;
        let app = App::new(config(&exchange.stream_url())).write_to(Failing(ErrorKind::BrokenPipe)).unwrap();
        let ended = Monitor::run(app).end().await.unwrap();
        assert_eq!(ended.summary.ending, Ending::ReaderGone);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn an_output_that_cannot_be_written_is_an_error_that_says_so() {
    story(async {
        let exchange = exchange(Script::default().at_end(AtEnd::Market { per_second: 1_000 })).await;
        let app = App::new(config(&exchange.stream_url())).write_to(Failing(ErrorKind::StorageFull)).unwrap();
        let error = Monitor::run(app).end().await.unwrap_err();
        assert!(told(&error).contains("cannot write the output"), "{}", told(&error));
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn a_duration_ends_the_run_as_a_stop_does() {
    story(async {
        let exchange = exchange([Act::Trades(10)]).await;
        let config = Config { duration: Some(Duration::from_millis(500)), ..config(&exchange.stream_url()) };
        let ended = Monitor::with(config).end().await.unwrap();
        assert_eq!(ended.summary.ending, Ending::SourceEnded);
        assert_eq!(ended.last()["type"], "final");
        stopped_in_peace(exchange).await;
    })
    .await;
}
