//! Everything that can happen to a connection: the monitor comes back, counts rightly, and gives up only where trying
//! again cannot help.

use std::sync::Arc;
use std::time::Duration;

use cvd_stream::app::{App, AppError};
use cvd_stream::clock::Clock;
use cvd_stream::config::Config;
use cvd_stream::exchange::{Act, AtEnd, Exchange, Script};
use cvd_stream::feed::endpoint::Endpoint;
use cvd_stream::feed::liveness::LivenessLimits;
use cvd_stream::feed::tls::client_config_with;
use cvd_stream::feed::{FeedError, FeedEvent, Live, LiveSettings, SystemNetwork};
use cvd_stream::queue::{QueueLimits, drop_oldest};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::RootCertStore;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::support::*;

/// Plays 100 trades, what ends the connection, and 100 trades more; the monitor must have seen all 200.
async fn comes_back_after(ending: impl IntoIterator<Item = Act>, reconnects: u64) {
    story(async {
        let exchange = btcusdt().start().await.unwrap();
        let monitor = Monitor::of(&exchange);
        exchange.play(Act::Trades(100)).await;
        // Only what has arrived survives a reset.
        monitor.trades.reach(100).await;
        for act in ending {
            exchange.play(act).await;
        }
        exchange.wait_for(|stats| stats.connections > reconnects && stats.receiving == 1).await;
        exchange.play(Act::Trades(100)).await;
        monitor.trades.reach(200).await;
        let ended = monitor.stop().await.unwrap();
        ended.assert_equals_ledger(&exchange, "BTCUSDT");
        assert_eq!(ended.last()["reconnect_count"], reconnects);
        assert_eq!(exchange.connections(), reconnects + 1);
        stopped_in_peace(exchange).await;
    })
    .await;
}

fn refuse(status: u16, retry_after: Option<&str>, times: u32) -> Act {
    Act::Refuse { status, retry_after: retry_after.map(str::to_owned), times }
}

fn close(code: u16, reason: &str) -> Act {
    Act::Close { code, reason: reason.into() }
}

#[tokio::test]
async fn it_comes_back_when_the_server_says_good_bye() {
    comes_back_after([close(1001, "going away")], 1).await;
}

#[tokio::test]
async fn it_comes_back_when_the_server_hangs_up() {
    comes_back_after([Act::Drop], 1).await;
}

#[tokio::test]
async fn it_comes_back_after_a_reset() {
    comes_back_after([Act::Reset], 1).await;
}

#[tokio::test]
async fn it_comes_back_when_the_next_connection_closes_at_once() {
    comes_back_after([Act::AcceptThenClose, Act::AcceptThenClose, Act::Drop], 3).await;
}

#[tokio::test]
async fn it_comes_back_after_refusals_that_pass_and_these_are_no_reconnects() {
    comes_back_after([refuse(503, None, 3), refuse(500, None, 1), Act::Drop], 1).await;
}

#[tokio::test]
async fn it_comes_back_after_a_limit_with_a_short_retry_after() {
    comes_back_after([refuse(429, Some("1"), 1), Act::Drop], 1).await;
}

#[tokio::test]
async fn it_comes_back_after_a_restart_on_the_same_port() {
    story(async {
        let exchange = btcusdt().start().await.unwrap();
        let monitor = Monitor::of(&exchange);
        for round in 1..=3 {
            exchange.play(Act::Trades(100)).await;
            monitor.trades.reach(round * 100).await;
            exchange.stop_listening().await;
            exchange.listen_again().await.unwrap();
        }
        exchange.play(Act::Trades(100)).await;
        monitor.trades.reach(400).await;
        let ended = monitor.stop().await.unwrap();
        ended.assert_equals_ledger(&exchange, "BTCUSDT");
        assert_eq!(ended.summary.metrics.reconnect_count, 3);
        stopped_in_peace(exchange).await;
    })
    .await;
}

/// With so short a timeout a slow machine may reconnect once more than needed: what must agree is the count.
async fn comes_back_from_silence(silence: Act) {
    story(async {
        let exchange = btcusdt().start().await.unwrap();
        let config =
            Config { heartbeat_timeout: Duration::from_millis(300), ..config(&exchange.stream_url()) };
        let monitor = Monitor::with(config);
        exchange.play(Act::Trades(100)).await;
        monitor.trades.reach(100).await;
        exchange.play(silence).await;
        let before = exchange.connections();
        exchange.wait_for(|stats| stats.connections > before && stats.receiving == 1).await;
        exchange.play(Act::Trades(100)).await;
        monitor.trades.reach(200).await;
        let ended = monitor.stop().await.unwrap();
        ended.assert_equals_ledger(&exchange, "BTCUSDT");
        assert!(ended.summary.metrics.reconnect_count >= 1);
        assert_eq!(ended.summary.metrics.reconnect_count, exchange.connections() - 1);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn it_leaves_a_peer_that_has_vanished_without_a_word() {
    comes_back_from_silence(Act::HalfOpen).await;
}

#[tokio::test]
async fn it_leaves_a_subscription_that_was_lost_on_a_living_link() {
    comes_back_from_silence(Act::Mute).await;
}

/// What an attempt, a session or its end was, and the wait after it.
#[derive(Debug, Clone, PartialEq)]
enum Said {
    Connected { again: bool },
    Waits { why: String, wait: Duration },
}

/// A feed alone whose events are kept.
struct Feed {
    said: Growing<Vec<Said>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), FeedError>>,
}

impl Feed {
    fn of(url: &str, backoff_max: Duration, tls: Option<Arc<rustls::ClientConfig>>) -> Self {
        let said = Growing::<Vec<Said>>::default();
        let (stop, stopped) = watch::channel(false);
        let settings = LiveSettings {
            liveness: LivenessLimits::with_heartbeat(Duration::from_secs(60)),
            backoff_max,
            jitter_seed: Some(1),
            ..LiveSettings::of(Endpoint::from_url(url, None, None, false).unwrap())
        };
        let told = said.clone();
        let task = tokio::spawn(async move {
            let clock = Clock::system();
            let (queue, _receiver) = drop_oldest(QueueLimits::default());
            let observer = move |event: FeedEvent<'_>| {
                let event = match event {
                    FeedEvent::Connected { again, .. } => Said::Connected { again },
                    FeedEvent::Ended { end, wait, .. } => Said::Waits { why: end.to_string(), wait },
                    FeedEvent::Failed { error, wait, .. } => {
                        Said::Waits { why: super::support::told(error), wait }
                    }
                    _ => return,
                };
                told.grow(|said| said.push(event));
            };
            let network = Arc::new(SystemNetwork::new(tls));
            Live::new(settings, queue, &observer, clock)?.with_network(network).run(stopped).await
        });
        Self { said, stop, task }
    }

    /// The first so many waits, with their reasons.
    async fn waits(&self, count: usize) -> Vec<(String, Duration)> {
        let waits = |said: &Vec<Said>| -> Vec<_> {
            let wait = |said: &Said| match said {
                Said::Waits { why, wait } => Some((why.clone(), *wait)),
                Said::Connected { .. } => None,
            };
            said.iter().filter_map(wait).collect()
        };
        waits(&self.said.until(|said| waits(said).len() >= count).await)
    }

    async fn stop(self) -> Result<(), FeedError> {
        self.stop.send_replace(true);
        self.task.await.expect("the feed must not panic")
    }
}

#[tokio::test]
async fn a_storm_of_connections_that_close_at_once_waits_ever_longer() {
    story(async {
        let exchange = exchange(vec![Act::AcceptThenClose; 50]).await;
        let feed = Feed::of(&exchange.stream_url(), Duration::from_secs(30), None);
        let waits = feed.waits(3).await;
        for ((why, wait), ceiling) in waits.iter().zip([1, 2, 4]) {
            let ceiling = Duration::from_secs(ceiling);
            assert!(*wait >= ceiling / 2 && *wait <= ceiling, "{wait:?} of {ceiling:?} after {why}");
        }
        let connected: Vec<_> =
            feed.said.now().into_iter().filter(|said| matches!(said, Said::Connected { .. })).collect();
        assert_eq!(connected, [false, true, true].map(|again| Said::Connected { again }));
        assert_eq!(exchange.connections(), 3);
        feed.stop().await.unwrap();
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn a_limit_is_waited_for_as_long_as_it_says() {
    story(async {
        let exchange = exchange([refuse(429, Some("7"), 1)]).await;
        let feed = Feed::of(&exchange.stream_url(), Duration::from_millis(50), None);
        let (why, wait) = feed.waits(1).await.remove(0);
        assert_eq!(why, "the server answered 429");
        assert!(wait >= Duration::from_secs(7) && wait <= Duration::from_millis(7_700), "{wait:?}");
        feed.stop().await.unwrap();

        let exchange = self::exchange([Act::Trades(1), close(1008, "Too many requests")]).await;
        let feed = Feed::of(&exchange.stream_url(), Duration::from_millis(50), None);
        let (why, wait) = feed.waits(1).await.remove(0);
        assert_eq!(why, "1008 Too many requests");
        assert!(wait >= Duration::from_secs(60) && wait <= Duration::from_secs(66), "{wait:?}");
        feed.stop().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_no_attempt_can_cure_ends_the_run_with_what_to_do() {
    story(async {
        for (status, remedy) in [(400, "check --url"), (404, "check --url"), (451, "run where it does")] {
            let exchange = exchange([refuse(status, Some("1"), 1)]).await;
            let error = Monitor::of(&exchange).end().await.unwrap_err();
            assert!(matches!(error, AppError::Feed(FeedError::Refused { .. })), "{error:?}");
            let told = told(&error);
            assert!(told.contains(remedy) && told.contains(&status.to_string()), "{told}");
            assert_eq!(exchange.stats().attempts, 1);
            stopped_in_peace(exchange).await;
        }
        // A path that the exchange itself does not know.
        let exchange = exchange([]).await;
        let url = format!("{}/nowhere/btcusdt@aggTrade", exchange.stream_base());
        let error = Monitor::with(config(&url)).end().await.unwrap_err();
        assert!(told(&error).contains("check --url"), "{}", told(&error));
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn any_other_refusal_is_tried_again() {
    story(async {
        for status in [401, 402, 403, 405, 408, 410, 418, 426, 429, 500, 502, 503, 504, 520, 599] {
            let exchange = exchange([refuse(status, None, 1)]).await;
            let feed = Feed::of(&exchange.stream_url(), Duration::from_millis(50), None);
            let (why, wait) = feed.waits(1).await.remove(0);
            assert_eq!(why, format!("the server answered {status}"));
            let patient = [403, 418, 429].contains(&status);
            assert_eq!(wait >= Duration::from_secs(60), patient, "{status} waits {wait:?}");
            feed.stop().await.unwrap();
            stopped_in_peace(exchange).await;
        }
    })
    .await;
}

#[tokio::test]
async fn nobody_at_the_port_is_tried_again_until_asked_to_stop() {
    story(async {
        let exchange = exchange([]).await;
        let url = exchange.stream_url();
        stopped_in_peace(exchange).await;
        let feed = Feed::of(&url, Duration::from_millis(10), None);
        let waits = feed.waits(5).await;
        assert!(waits.iter().all(|(why, _)| why.contains("cannot connect to 127.0.0.1")), "{waits:?}");
        feed.stop().await.unwrap();
    })
    .await;
}

/// A port that speaks TLS with this certificate and passes what it hears on to the exchange.
async fn tls_in_front_of(exchange: &Exchange, certificate: &CertifiedKey<KeyPair>) -> u16 {
    let key = PrivateKeyDer::Pkcs8(certificate.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, behind) = (listener.local_addr().unwrap().port(), exchange.addr());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust us ends here.
                let Ok(mut outside) = acceptor.accept(socket).await else { return };
                let mut inside = TcpStream::connect(behind).await.unwrap();
                tokio::io::copy_bidirectional(&mut outside, &mut inside).await.ok();
            });
        }
    });
    port
}

fn trust_in(certificate: &CertifiedKey<KeyPair>) -> Arc<rustls::ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.cert.der().clone()).unwrap();
    client_config_with(roots).unwrap()
}

fn tls_url(port: u16) -> String {
    format!("wss://127.0.0.1:{port}/market/stream?streams=btcusdt@aggTrade")
}

#[tokio::test]
async fn trades_come_over_tls_too() {
    story(async {
        let exchange = exchange([Act::Trades(2_000)]).await;
        let certificate = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let port = tls_in_front_of(&exchange, &certificate).await;
        let monitor = Monitor::watch(App::new(config(&tls_url(port))).tls(trust_in(&certificate)));
        monitor.trades.reach(2_000).await;
        let ended = monitor.stop().await.unwrap();
        ended.assert_equals_ledger(&exchange, "BTCUSDT");
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn a_certificate_of_another_name_or_of_an_unknown_authority_is_refused() {
    story(async {
        let exchange = exchange([Act::Trades(1)]).await;
        let of_another = generate_simple_self_signed(["fstream.example".to_owned()]).unwrap();
        let ours = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        for (shown, trusted, reason) in
            [(&of_another, &of_another, "not valid for"), (&ours, &of_another, "invalid peer certificate")]
        {
            let port = tls_in_front_of(&exchange, shown).await;
            let feed = Feed::of(&tls_url(port), Duration::from_millis(10), Some(trust_in(trusted)));
            let (why, _) = feed.waits(2).await.remove(1);
            assert!(why.starts_with("TLS with 127.0.0.1 failed") && why.contains(reason), "{why}");
            feed.stop().await.unwrap();
        }
        assert_eq!(exchange.stats().attempts, 0, "nothing may get through");
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn tls_with_a_port_that_does_not_speak_it_is_tried_again() {
    story(async {
        let exchange = exchange([]).await;
        let url = exchange.stream_url().replace("ws://", "wss://");
        // With the system's own roots, so that the provider is chosen as it is in a real run.
        let feed = Feed::of(&url, Duration::from_millis(10), None);
        let exchange_hangs_up = async {
            // The exchange waits for a handshake that never comes; a restart cuts it short.
            exchange.wait_for(|stats| stats.attempts >= 1).await;
            exchange.stop_listening().await;
        };
        let (waits, ()) = tokio::join!(feed.waits(1), exchange_hangs_up);
        assert!(waits[0].0.starts_with("TLS with 127.0.0.1 failed"), "{waits:?}");
        feed.stop().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_market_that_goes_on_without_us_shows_as_a_hole_and_the_numbers_stay_those_of_what_came() {
    story(async {
        let exchange = exchange(
            Script::new([
                Act::Trades(100),
                Act::SkipIds(30),
                Act::Trades(100),
                Act::Drop,
                Act::SkipIds(50),
                Act::Trades(100),
            ])
            .at_end(AtEnd::Hold),
        )
        .await;
        let monitor = Monitor::of(&exchange);
        let seen = monitor.trades.reach(300).await;
        let ended = monitor.stop().await.unwrap();
        let lane = &ended.summary.lanes[0];
        let btc = symbol("BTCUSDT");
        assert_eq!((lane.trades, exchange.ledger().made(&btc)), (300, 380));
        assert_eq!(lane.coverage.last_id, exchange.ledger().last_id(&btc));
        let sum: i128 = seen.iter().map(|seen| seen.trade.delta().units()).sum();
        assert_eq!(lane.reading.cvd.units(), sum);
        stopped_in_peace(exchange).await;
    })
    .await;
}
