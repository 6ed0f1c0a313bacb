//! What a review found: losses that went uncounted, refusals that came too late to be final, and a demonstration that
//! ignored its market.

use std::time::Duration;

use cvd_stream::app::App;
use cvd_stream::clock::Clock;
use cvd_stream::config::Config;
use cvd_stream::demo;
use cvd_stream::exchange::Act;
use cvd_stream::feed::endpoint::Endpoint;
use cvd_stream::feed::liveness::LivenessLimits;
use cvd_stream::feed::{FeedEvent, Live, LiveSettings};
use cvd_stream::queue::{QueueLimits, drop_oldest};
use cvd_stream::snapshot::Market;
use tokio::sync::watch;

use crate::support::*;

#[tokio::test]
async fn messages_that_cannot_even_be_read_are_counted_before_their_session_ends() {
    story(async {
        let exchange = exchange([
            Act::Trades(10),
            Act::Garbage(vec![b'{', 0xff, 0xfe, b'}']),
            Act::WaitForConnection(2),
            Act::Trades(10),
            // The head of a message of 2^40 bytes.
            Act::Raw(vec![0x81, 127, 0, 0, 1, 0, 0, 0, 0, 0]),
            Act::WaitForConnection(3),
            Act::Trades(10),
        ])
        .await;
        let monitor = Monitor::of(&exchange);
        monitor.trades.reach(30).await;
        let ended = monitor.stop().await.unwrap();
        ended.assert_equals_ledger(&exchange, "BTCUSDT");
        let metrics = ended.summary.metrics;
        assert_eq!((metrics.parse_errors, metrics.total_messages, metrics.reconnect_count), (2, 32, 2));
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn a_refusal_after_a_good_connection_is_waited_out_and_told_with_its_remedy() {
    story(async {
        for status in [400, 404, 451] {
            let exchange =
                exchange([Act::Trades(1), Act::Refuse { status, retry_after: None, times: 1 }, Act::Drop])
                    .await;
            let settings = LiveSettings {
                liveness: LivenessLimits::with_heartbeat(Duration::from_secs(60)),
                backoff_max: Duration::from_millis(50),
                jitter_seed: Some(1),
                ..LiveSettings::of(Endpoint::from_url(&exchange.stream_url(), None, None, false).unwrap())
            };
            let failed = Growing::<Option<(Duration, bool)>>::default();
            let telling = failed.clone();
            let (stop, stopped) = watch::channel(false);
            let feed = tokio::spawn(async move {
                let clock = Clock::system();
                let (queue, _receiver) = drop_oldest(QueueLimits::default());
                let observer = move |event: FeedEvent<'_>| {
                    if let FeedEvent::Failed { wait, remedy, .. } = event {
                        telling.grow(|failed| *failed = Some((wait, remedy.is_some())));
                    }
                };
                Live::new(settings, queue, &observer, clock)?.run(stopped).await
            });
            let (wait, has_remedy) = failed.until(Option::is_some).await.unwrap();
            assert!(has_remedy, "{status}");
            assert!(wait >= Duration::from_secs(60) && wait <= Duration::from_secs(66), "{status}: {wait:?}");
            stop.send_replace(true);
            feed.await.unwrap().unwrap();
            stopped_in_peace(exchange).await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_demonstration_keeps_to_the_market_it_is_given() {
    story(async {
        for (market, name) in
            [(Market::CoinM, "BTCUSD_PERP"), (Market::Spot, "ETHUSDT"), (Market::UsdM, "ETHUSDT")]
        {
            let config = Config { market, count: Some(20), ..Config::default() };
            let records = Written::default();
            let build = |config| Ok(App::new(config).write_to(records.clone()).expect("a thread"));
            let mut said = String::new();
            let say = |line: &str| said = format!("{said}{line}\n");
            let summary =
                demo::run(config, demo::Weather::Fair, build, std::future::pending(), say).await.unwrap();
            let lane = &summary.lanes[0];
            assert_eq!((lane.market, lane.symbol.as_str(), lane.trades), (market, name, 20));
            assert!(said.contains("CVD = ledger: ") && said.contains(name), "{said}");
        }
    })
    .await;
}
