//! Sessions over a pipe in memory, on a paused clock.
#![allow(clippy::disallowed_methods, reason = "what a story says is bounded by the story")]

use std::sync::atomic::AtomicBool;

use super::*;
use crate::clock::Clock;
use crate::feed::endpoint::Endpoint;
use crate::feed::place::Badge;
use crate::feed::steering::Steering;
use crate::feed::subscriptions::Subscriptions;
use crate::queue::{QueueLimits, drop_oldest};
use tokio::io::DuplexStream;
use tokio_tungstenite::tungstenite::protocol::Role;

const TRADE: &str =
    r#"{"e":"aggTrade","E":1,"s":"BTCUSDT","a":1,"p":"1","q":"1","f":1,"l":1,"T":1,"m":true}"#;

type Server = WebSocketStream<DuplexStream>;

/// Runs a session over an in-memory pipe against `server` on a paused clock; tells how it ended and
/// after how many seconds.
async fn session<F: Future<Output = ()> + Send + 'static>(
    server: impl FnOnce(Server) -> F,
) -> (SessionReport, u64, u64) {
    observed(server, &|_: FeedEvent<'_>| {}).await
}

async fn observed<F: Future<Output = ()> + Send + 'static>(
    server: impl FnOnce(Server) -> F,
    observer: &dyn FeedObserver,
) -> (SessionReport, u64, u64) {
    asking(server, observer, &[]).await
}

async fn asking<F: Future<Output = ()> + Send + 'static>(
    server: impl FnOnce(Server) -> F,
    observer: &dyn FeedObserver,
    subscribe: &[String],
) -> (SessionReport, u64, u64) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let clock = Clock::simulated(0);
    let (queue, _receiver) = drop_oldest(QueueLimits::default());
    let (_stop, mut stopped) = watch::channel(false);
    let socket = WebSocketStream::from_raw_socket(Timed::new(ours, clock), Role::Client, None).await;
    let theirs = WebSocketStream::from_raw_socket(theirs, Role::Server, None).await;
    let mut playing = tokio::spawn(server(theirs));
    let started = Instant::now();
    let among_shards = AtomicBool::new(false);
    let badge = Badge { line: LineId(0), is_redundant: false, among_shards: &among_shards };
    let session = Session {
        socket,
        line: LineId(0),
        id: SessionId(1),
        limits: LivenessLimits::with_heartbeat(Duration::from_secs(60)),
        queue: &queue,
        observer,
        control: Control::new(Subscriptions::new(&[], subscribe, started), observer, badge),
    };
    let plan = ShardPlan { streams: subscribe.to_vec(), ..ShardPlan::of(Endpoint::default()) };
    let (_plan, mut plan) = watch::channel(Arc::new(plan));
    let mut heard = Steering::default().listen(SessionId(1), LineId(0));
    let report = session.run(Ears { stop: &mut stopped, heard: &mut heard, plan: &mut plan }).await;
    let seconds = started.elapsed().as_secs();
    // It may still be hearing our last words.
    if timeout(Duration::from_secs(1), &mut playing).await.is_err() {
        playing.abort();
    }
    (report, seconds, queue.gauge().stats().pushed)
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_stops_reading_and_writing_is_a_dead_link_after_thirteen_seconds() {
    let (report, seconds, _) = session(|server| async move {
        let _held_open = server;
        std::future::pending::<()>().await;
    })
    .await;
    assert!(matches!(report.end, SessionEnd::DeadLink(_)), "{report:?}");
    assert_eq!(seconds, 13);
}

const FIVE_MINUTES: Duration = Duration::from_secs(300);

#[tokio::test(start_paused = true)]
async fn what_came_while_the_process_stood_still_is_read_before_anything_is_judged() {
    let (report, seconds, pushed) = session(|mut server| async move {
        for _ in 0..3 {
            server.send(Message::text(TRADE)).await.expect("the session reads");
        }
        tokio::time::advance(FIVE_MINUTES).await;
        server.close(None).await.expect("the session reads");
    })
    .await;
    assert!(matches!(report.end, SessionEnd::Closed { .. }), "{report:?}");
    assert_eq!((seconds, pushed), (300, 3));
}

#[tokio::test(start_paused = true)]
async fn a_quiet_peer_is_asked_before_it_is_judged_when_the_process_stood_still() {
    for answers in [true, false] {
        let (report, seconds, _) = session(move |mut server| async move {
            // Late enough that a ping is on its way.
            tokio::time::sleep(Duration::from_millis(5_001)).await;
            tokio::time::advance(FIVE_MINUTES).await;
            let listening = async { while server.next().await.is_some() {} };
            if answers {
                drop(timeout(Duration::from_secs(30), listening).await);
                server.close(None).await.expect("the session reads");
            }
            std::future::pending::<()>().await;
        })
        .await;
        match answers {
            true => {
                assert!(matches!(report.end, SessionEnd::Closed { .. }), "{report:?}");
                assert_eq!(seconds, 335);
            }
            false => {
                assert!(matches!(report.end, SessionEnd::DeadLink(_)), "{report:?}");
                assert!((306..=313).contains(&seconds), "{seconds}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn many_streams_are_asked_for_below_the_exchange_s_limit_while_trades_are_read() {
    let names: Vec<String> = (0..1_050).map(|number| format!("s{number}@aggTrade")).collect();
    let (told, mut requests) = tokio::sync::mpsc::unbounded_channel();
    let server = |mut server: Server| async move {
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until {
            tokio::select! {
                message = server.next() => match message {
                    Some(Ok(message)) => told.send((Instant::now(), message)).expect("the test listens"),
                    _ => return,
                },
                _ = tick.tick() => server.send(Message::text(TRADE)).await.expect("the session reads"),
            }
        }
    };
    let (_, _, pushed) = asking(server, &|_: FeedEvent<'_>| {}, &names).await;
    assert!(pushed >= 99, "{pushed}");
    let (mut asked, mut at) = (Vec::new(), Vec::new());
    while let Some((when, message)) = requests.recv().await {
        at.push(when);
        if let Message::Text(text) = message {
            let request: serde_json::Value = serde_json::from_str(&text).expect("a request is JSON");
            let params = request["params"].as_array().expect("a list of streams");
            asked.extend(params.iter().map(|name| name.as_str().expect("a name").to_owned()));
        }
    }
    assert_eq!(asked, names);
    for five in at.windows(5) {
        assert!(five[4] - five[0] > Duration::from_secs(1), "{at:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_pings_but_sends_no_trade_is_left_after_the_heartbeat_timeout() {
    let (report, seconds, _) = session(|mut server| async move {
        // Reading is what answers pings.
        while server.next().await.is_some() {}
    })
    .await;
    assert!(matches!(report.end, SessionEnd::NoData(_)), "{report:?}");
    assert_eq!(seconds, 60);
}

#[tokio::test(start_paused = true)]
async fn every_frame_reaches_the_queue_and_the_time_of_data_is_told() {
    let (report, _, pushed) = session(|mut server| async move {
        for _ in 0..90 {
            server.send(Message::text(TRADE)).await.expect("the session reads");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        server.close(None).await.expect("the session reads");
    })
    .await;
    assert!(matches!(report.end, SessionEnd::Closed { .. }), "{report:?}");
    assert_eq!(pushed, 90);
    assert!(report.data_for >= Duration::from_secs(87), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_ping_is_answered_with_its_payload_while_trades_flow() {
    let (sender, mut answers) = tokio::sync::mpsc::channel(1);
    let (_, _, pushed) = session(|mut server| async move {
        server.send(Message::text(TRADE)).await.expect("the session reads");
        server.send(Message::Ping(Bytes::from_static(b"1763690000000"))).await.expect("the session reads");
        while let Some(Ok(message)) = server.next().await {
            if let Message::Pong(payload) = message {
                sender.send(payload).await.expect("the test listens");
                break;
            }
        }
    })
    .await;
    assert_eq!(answers.recv().await.as_deref(), Some(&b"1763690000000"[..]));
    assert_eq!(pushed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_close_frame_is_told_with_its_code_and_its_words_escaped() {
    let (report, ..) = session(|mut server| async move {
        let reason = "Too many\u{1b}[31m requests".into();
        let frame = CloseFrame { code: 1008.into(), reason };
        server.close(Some(frame)).await.expect("the session reads");
    })
    .await;
    assert_eq!(report.end.to_string(), "1008 Too many\\u{1b}[31m requests");
}

/// What is observed and what the server hears when it sends a message that cannot be read.
async fn complained_of(raw: Vec<u8>) -> (Vec<Unreadable>, Option<CloseFrame>) {
    let (sender, mut heard) = tokio::sync::mpsc::channel(1);
    let seen = std::sync::Mutex::new(Vec::new());
    let observer = |event: FeedEvent<'_>| {
        if let FeedEvent::Unreadable { reason } = event {
            seen.lock().expect("nobody panics here").push(reason);
        }
    };
    let server = |mut server: Server| async move {
        use tokio::io::AsyncWriteExt;
        server.get_mut().write_all(&raw).await.expect("the session reads");
        while let Some(Ok(message)) = server.next().await {
            if let Message::Close(frame) = message {
                sender.send(frame).await.expect("the test listens");
            }
        }
    };
    let (report, ..) = observed(server, &observer).await;
    assert!(matches!(report.end, SessionEnd::Broken(_)), "{report:?}");
    (seen.into_inner().expect("nobody panics here"), heard.recv().await.flatten())
}

#[tokio::test(start_paused = true)]
async fn text_that_is_not_utf_8_is_told_and_answered_with_1007() {
    let (seen, heard) = complained_of(vec![0x81, 2, 0xff, 0xfe]).await;
    assert_eq!(seen, [Unreadable::NotUtf8]);
    assert_eq!(heard.map(|frame| u16::from(frame.code)), Some(1007));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_too_long_is_told_and_answered_with_1009() {
    let (seen, heard) = complained_of(vec![0x81, 127, 0, 0, 1, 0, 0, 0, 0, 0]).await;
    assert!(matches!(seen[..], [Unreadable::TooLong { size: 0x100_0000_0000, .. }]), "{seen:?}");
    assert_eq!(heard.map(|frame| u16::from(frame.code)), Some(1009));
}
