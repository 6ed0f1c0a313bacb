//! `--latency`: whichever way the monitor waits, nothing is lost and it ends when it is told to.

use std::thread;
use std::time::Duration;

use cvd_stream::app::{App, runtime};
use cvd_stream::config::{Config, LatencyMode};
use cvd_stream::exchange::{Act, AtEnd, Exchange, Script};
use cvd_stream::latency::block_on;
use cvd_stream::processor::Summary;

use super::support::{btcusdt, config, story, symbol};

/// Runs a monitor on a runtime and a thread of its own, until `shutdown` at the latest.
fn watched(
    mode: LatencyMode,
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> thread::JoinHandle<Summary> {
    thread::spawn(move || {
        let runtime = runtime(mode).expect("the system has an event queue left");
        let app = App::new(config).write_to(std::io::sink()).expect("the system has a thread left");
        block_on(&runtime, app.run(shutdown)).expect("a monitor that ends in peace")
    })
}

#[tokio::test]
async fn a_burst_beyond_the_queue_and_the_sockets_loses_nothing_however_the_monitor_waits() {
    const TRADES: u64 = 60_000;
    for mode in LatencyMode::ALL {
        let script =
            [Act::Trades(TRADES / 2), Act::Stall(Duration::from_millis(20)), Act::Trades(TRADES / 2)];
        let exchange = btcusdt().script(script).start().await.unwrap();
        let config = Config { count: Some(TRADES), ..config(&exchange.stream_url()) };
        let monitor = watched(mode, config, std::future::pending());
        let summary = story(tokio::task::spawn_blocking(|| monitor.join())).await.unwrap().unwrap();
        let lane = &summary.lanes[0];
        assert_eq!((lane.trades, summary.metrics.queue_dropped), (TRADES, 0), "{mode:?}");
        assert_eq!(lane.reading.cvd, exchange.ledger().cvd(&symbol("BTCUSDT")), "{mode:?}");
        exchange.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_monitor_ends_when_it_is_told_to_however_it_waits() {
    for mode in LatencyMode::ALL {
        let script = Script::default().at_end(AtEnd::Market { per_second: 500 });
        let exchange: Exchange = btcusdt().script(script).start().await.unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let monitor = watched(mode, config(&exchange.stream_url()), async {
            stopped.await.expect("the test says when");
        });
        story(exchange.wait_for(|stats| stats.frames_sent > 50)).await;
        stop.send(()).expect("the monitor listens");
        let summary = story(tokio::task::spawn_blocking(|| monitor.join())).await.unwrap().unwrap();
        assert!(summary.metrics.applied_trades > 0, "{mode:?}");
        exchange.stop().await.unwrap();
    }
}
