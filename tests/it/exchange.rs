//! The practice exchange, watched by a plain WebSocket client and plain HTTP.

mod in_memory;
mod market;

use std::sync::Arc;
use std::time::Duration;

use cvd_stream::exchange::{Act, AtEnd, Exchange, ExchangeBuilder, Routing, Script};
use cvd_stream::snapshot::Market;
use cvd_stream::units::{Qty, Symbol};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

type Client = WebSocketStream<TcpStream>;

const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a story with a deadline, so that a fault shows as a failure rather than as a hang.
async fn within<T>(story: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, story).await.expect("the story should end well within 30 s")
}

async fn connect_to(exchange: &Exchange, path: &str) -> Result<Client, Error> {
    let socket = TcpStream::connect(exchange.addr()).await.unwrap();
    let (client, _) = client_async(format!("{}{path}", exchange.stream_base()), socket).await?;
    Ok(client)
}

async fn connect(exchange: &Exchange) -> Client {
    let path = exchange.stream_url().replace(&exchange.stream_base(), "");
    connect_to(exchange, &path).await.unwrap()
}

/// The next text message.
async fn text(client: &mut Client) -> String {
    loop {
        if let Message::Text(text) = within(client.next()).await.unwrap().unwrap() {
            return text.as_str().to_owned();
        }
    }
}

async fn event(client: &mut Client) -> Value {
    let value: Value = serde_json::from_str(&text(client).await).unwrap();
    value.get("data").cloned().unwrap_or(value)
}

async fn ids(client: &mut Client, n: usize) -> Vec<i64> {
    let mut ids = Vec::new();
    for _ in 0..n {
        ids.push(event(client).await["a"].as_i64().unwrap());
    }
    ids
}

async fn ask(client: &mut Client, request: Value) -> Value {
    client.send(Message::text(request.to_string())).await.unwrap();
    serde_json::from_str(&text(client).await).unwrap()
}

/// What ends a connection: everything up to the end, and how it ended.
async fn end(client: &mut Client) -> Ending {
    loop {
        match within(client.next()).await {
            Some(Ok(Message::Close(frame))) => return Ending::Closed(frame),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Ending::Broken(error),
            None => return Ending::Gone,
        }
    }
}

#[derive(Debug)]
enum Ending {
    Closed(Option<CloseFrame>),
    Broken(Error),
    Gone,
}

impl Ending {
    fn code(&self) -> Option<u16> {
        match self {
            Self::Closed(Some(frame)) => Some(frame.code.into()),
            _ => None,
        }
    }
}

fn btc() -> Symbol {
    Symbol::new("BTCUSDT").unwrap()
}

fn exchange(script: impl Into<Script>) -> ExchangeBuilder {
    Exchange::builder().symbol("BTCUSDT").seed(7).script(script)
}

fn signed_units(event: &Value) -> i128 {
    let qty: Qty = event["q"].as_str().unwrap().parse().unwrap();
    let sign = if event["m"].as_bool().unwrap() { -1 } else { 1 };
    sign * i128::from(qty.units())
}

#[tokio::test]
async fn a_client_sees_consecutive_ids_whose_sum_is_the_ledgers() {
    let exchange = exchange([Act::Trades(5_000)]).start().await.unwrap();
    let mut client = connect(&exchange).await;
    let (mut sum, mut last) = (0, None);
    for _ in 0..5_000 {
        let event = event(&mut client).await;
        let id = event["a"].as_i64().unwrap();
        assert!(last.is_none_or(|last| id == last + 1), "{id} after {last:?}");
        last = Some(id);
        sum += signed_units(&event);
    }
    let ledger = exchange.ledger();
    assert_eq!(ledger.cvd(&btc()).units(), sum);
    assert_eq!((ledger.made(&btc()), ledger.sent(&btc())), (5_000, 5_000));
    assert_eq!(ledger.last_id(&btc()).map(|id| id.0), last);
    let report = exchange.stop().await.unwrap();
    assert_eq!((report.stats.connections, report.stats.frames_sent), (1, 5_000));
    assert!(report.violations.is_empty());
}

#[tokio::test]
async fn the_same_seed_gives_the_same_frames_byte_for_byte() {
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let script = [Act::Trades(300), Act::Reorder(9), Act::Repeat(4), Act::Corrupt(2)];
        let builder = Exchange::builder().symbol("BTCUSDT").symbol("ETHUSDT").seed(seed).script(script);
        let exchange = builder.start().await.unwrap();
        let mut client = connect(&exchange).await;
        let mut frames = Vec::new();
        for _ in 0..315 {
            frames.push(text(&mut client).await);
        }
        runs.push(frames);
        exchange.stop().await.unwrap();
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test]
async fn an_unrouted_path_connects_acknowledges_and_stays_silent() {
    let exchange = exchange([]).start().await.unwrap();
    for path in ["/stream?streams=btcusdt@aggTrade", "/ws/btcusdt@aggTrade", "/public/ws/btcusdt@aggTrade"] {
        let mut client = connect_to(&exchange, path).await.unwrap();
        let ack =
            ask(&mut client, json!({"method": "SUBSCRIBE", "params": ["btcusdt@aggTrade"], "id": 1})).await;
        assert_eq!(ack, json!({"result": null, "id": 1}), "{path}");
        assert_eq!(exchange.stats().receiving, 0, "{path}");
    }
    let mut routed = connect(&exchange).await;
    exchange.play(Act::Trades(3)).await;
    ids(&mut routed, 3).await;
    assert_eq!(exchange.stop().await.unwrap().stats.frames_sent, 3);
}

#[tokio::test]
async fn an_unrouted_market_delivers_on_every_path() {
    let builder = Exchange::builder().market(Market::Spot).symbol("BTCUSDT").routing(Routing::Unrouted);
    let exchange = builder.script([Act::WaitForConnection(2), Act::Trades(1)]).start().await.unwrap();
    let mut bare = connect_to(&exchange, "/ws/btcusdt@aggTrade").await.unwrap();
    let mut combined = connect_to(&exchange, "/market/stream?streams=btcusdt@aggTrade").await.unwrap();
    let wrapped: Value = serde_json::from_str(&text(&mut combined).await).unwrap();
    assert_eq!(wrapped["stream"], "btcusdt@aggTrade");
    let event: Value = serde_json::from_str(&text(&mut bare).await).unwrap();
    assert_eq!((&event, &event["M"]), (&wrapped["data"], &json!(true)));
    exchange.stop().await.unwrap();
}

#[tokio::test]
async fn subscriptions_steer_what_arrives() {
    let builder = Exchange::builder().symbol("BTCUSDT").symbol("币安人生USDT").seed(7);
    let exchange = builder.start().await.unwrap();
    let mut client = connect_to(&exchange, "/market/ws").await.unwrap();
    let upper =
        ask(&mut client, json!({"method": "SUBSCRIBE", "params": ["BTCUSDT@aggTrade"], "id": 1})).await;
    assert_eq!(upper, json!({"result": null, "id": 1}));
    assert_eq!(exchange.stats().receiving, 0, "an upper-case name is acknowledged and delivers nothing");

    ask(&mut client, json!({"method": "SUBSCRIBE", "params": ["币安人生usdt@aggTrade"], "id": 2})).await;
    let list = ask(&mut client, json!({"method": "LIST_SUBSCRIPTIONS", "id": 3})).await;
    assert_eq!(list["result"], json!(["BTCUSDT@aggTrade", "币安人生usdt@aggTrade"]));
    let other = Symbol::new("币安人生USDT").unwrap();
    exchange.play(Act::Trades(5).of(btc())).await;
    exchange.play(Act::Trades(1).of(other)).await;
    assert_eq!(event(&mut client).await["s"], "币安人生USDT");

    ask(&mut client, json!({"method": "UNSUBSCRIBE", "params": ["币安人生usdt@aggTrade"], "id": 4})).await;
    assert_eq!(exchange.stats().receiving, 0);
    assert_eq!(ask(&mut client, json!({"method": "NONSENSE", "id": 5})).await["code"], 2);
    exchange.stop().await.unwrap();
}

#[tokio::test]
async fn a_symbol_beyond_ascii_is_found_by_its_percent_encoded_name() {
    let builder = Exchange::builder().symbol("币安人生USDT").script([Act::Trades(1)]);
    let exchange = builder.start().await.unwrap();
    assert!(exchange.stream_url().is_ascii(), "{}", exchange.stream_url());
    let mut client = connect(&exchange).await;
    assert_eq!(event(&mut client).await["s"], "币安人生USDT");
    exchange.stop().await.unwrap();
}

#[tokio::test]
async fn a_ping_of_the_server_that_is_answered_is_fine() {
    let exchange =
        exchange([]).server_ping(Duration::from_millis(5)).messages_per_second(10_000).start().await.unwrap();
    let mut client = connect(&exchange).await;
    // Reading answers pings.
    let story = async {
        tokio::select! {
            _ = exchange.wait_for(|stats| stats.pongs_received >= 5) => {}
            ended = end(&mut client) => panic!("{ended:?}"),
        }
    };
    within(story).await;
    let report = exchange.stop().await.unwrap();
    assert!(report.violations.is_empty(), "{:?}", report.violations);
}

#[tokio::test]
async fn a_ping_of_the_server_that_is_not_answered_ends_the_connection() {
    let builder = exchange([]).server_ping(Duration::from_millis(5)).pong_deadline(Duration::from_millis(20));
    let exchange = builder.start().await.unwrap();
    let client = connect(&exchange).await;
    // The client does not read, so it does not answer.
    within(exchange.wait_for(|stats| stats.violations == 1)).await;
    drop(client);
    within(exchange.wait_for(|stats| stats.open == 0)).await;
    assert_eq!(
        exchange.stop().await.unwrap().violations,
        ["connection 1: no pong with the payload of the ping in time"]
    );
}

#[tokio::test]
async fn an_eleventh_message_within_a_second_is_one_too_many() {
    let exchange = exchange([]).start().await.unwrap();
    for (messages, expected) in [(10, None), (11, Some(1008))] {
        let mut client = connect(&exchange).await;
        for n in 0..messages {
            let message = match n % 3 {
                0 => Message::Ping(vec![1].into()),
                1 => Message::Pong(vec![2].into()),
                _ => Message::text(json!({"method": "LIST_SUBSCRIPTIONS", "id": n}).to_string()),
            };
            client.feed(message).await.unwrap();
        }
        client.flush().await.unwrap();
        if expected.is_none() {
            client.send(Message::Close(None)).await.unwrap();
        }
        assert_eq!(end(&mut client).await.code(), expected);
    }
    let report = exchange.stop().await.unwrap();
    assert_eq!(report.violations, ["connection 2: more than 10 messages within a second"]);
}

#[tokio::test]
async fn a_connection_ends_with_its_life_and_too_many_are_noted() {
    let life = Duration::from_millis(10);
    let builder = exchange([]).connection_life(life).connection_limit(2, Duration::from_secs(300));
    let exchange = builder.start().await.unwrap();
    for _ in 0..3 {
        assert!(matches!(end(&mut connect(&exchange).await).await, Ending::Broken(_) | Ending::Gone));
    }
    assert_eq!(exchange.stop().await.unwrap().violations, ["more than 2 connections within 300s"]);
}

#[tokio::test]
async fn skipped_repeated_and_reordered_trades_are_what_they_say() {
    let script = [Act::Trades(3), Act::SkipIds(2), Act::Trades(1), Act::Repeat(2), Act::Reorder(3)];
    let exchange = exchange(script).start().await.unwrap();
    let mut client = connect(&exchange).await;
    let ids = ids(&mut client, 9).await;
    let from_first: Vec<_> = ids.iter().map(|id| id - ids[0]).collect();
    assert_eq!(from_first, [0, 1, 2, 5, 2, 5, 8, 7, 6]);
    let ledger = exchange.ledger();
    assert_eq!((ledger.made(&btc()), ledger.sent(&btc())), (9, 7));
    exchange.stop().await.unwrap();
}

#[tokio::test]
async fn ids_can_begin_anew() {
    let exchange = exchange([Act::Trades(2), Act::RestartIds(0), Act::Trades(2)]).start().await.unwrap();
    let mut client = connect(&exchange).await;
    assert_eq!(ids(&mut client, 4).await[2..], [0, 1]);
    let page = get(&exchange, "/fapi/v1/aggTrades?symbol=BTCUSDT").await.json();
    assert_eq!(page.as_array().unwrap().len(), 2, "REST knows nothing older");
    exchange.stop().await.unwrap();
}

#[tokio::test]
async fn any_frame_at_all_can_be_sent() {
    let script = [Act::Frame("{\"e\":\"serverShutdown\"}".into()), Act::Binary(vec![1, 2]), Act::Corrupt(1)];
    let exchange = exchange(script).start().await.unwrap();
    let mut client = connect(&exchange).await;
    assert_eq!(text(&mut client).await, "{\"e\":\"serverShutdown\"}");
    assert_eq!(within(client.next()).await.unwrap().unwrap(), Message::Binary(vec![1, 2].into()));
    let corrupt = text(&mut client).await;
    assert!(serde_json::from_str::<Value>(&corrupt).is_err(), "{corrupt}");

    exchange.play(Act::Garbage(vec![0xFF, 0xFE])).await;
    assert!(matches!(end(&mut client).await, Ending::Broken(Error::Utf8(_))));
    let mut client = connect(&exchange).await;
    // A masked frame, which no server may send.
    exchange.play(Act::Raw(vec![0x81, 0x81, 0, 0, 0, 0, b'x']).on(2)).await;
    assert!(matches!(end(&mut client).await, Ending::Broken(Error::Protocol(_))));
    exchange.stop().await.unwrap();
}

#[tokio::test]
async fn connections_end_in_every_way_and_the_script_goes_on() {
    let close = Act::Close { code: 1001, reason: "going away".into() };
    let trades = || Act::Trades(1);
    let script = [trades(), close, trades(), Act::Drop, trades(), Act::Reset, trades()];
    let exchange = exchange(script).start().await.unwrap();
    let mut seen = Vec::new();

    let mut client = connect(&exchange).await;
    seen.extend(ids(&mut client, 1).await);
    assert_eq!(end(&mut client).await.code(), Some(1001));

    let mut client = connect(&exchange).await;
    seen.extend(ids(&mut client, 1).await);
    assert!(matches!(end(&mut client).await, Ending::Broken(Error::Protocol(_)) | Ending::Gone));

    let mut client = connect(&exchange).await;
    seen.extend(ids(&mut client, 1).await);
    let ending = end(&mut client).await;
    assert!(
        matches!(&ending, Ending::Broken(Error::Io(error)) if error.kind() == std::io::ErrorKind::ConnectionReset),
        "{ending:?}"
    );

    let mut client = connect(&exchange).await;
    seen.extend(ids(&mut client, 1).await);
    assert!(seen.windows(2).all(|pair| pair[1] == pair[0] + 1), "one market across reconnects: {seen:?}");
    assert_eq!(exchange.connections(), 4);
    exchange.stop().await.unwrap();
}

#[tokio::test]
async fn handshakes_are_refused_stalled_and_betrayed_as_armed() {
    let script = [
        Act::Refuse { status: 429, retry_after: Some("7".into()), times: 2 },
        Act::AcceptThenClose,
        Act::AckWithoutData,
        Act::StallHandshake,
        Act::Trades(1),
        Act::Close { code: 1001, reason: String::new() },
        Act::Refuse { status: 503, retry_after: None, times: 1 },
    ];
    let exchange = exchange(script).start().await.unwrap();
    let path = exchange.stream_url().replace(&exchange.stream_base(), "");
    for _ in 0..2 {
        match connect_to(&exchange, &path).await {
            Err(Error::Http(response)) => {
                assert_eq!(response.status(), 429);
                assert_eq!(response.headers()["retry-after"], "7");
            }
            other => panic!("{other:?}"),
        }
    }
    let mut betrayed = connect(&exchange).await;
    assert!(matches!(end(&mut betrayed).await, Ending::Broken(_) | Ending::Gone));

    let mut mute = connect(&exchange).await;
    let ask_again = json!({"method": "SUBSCRIBE", "params": ["btcusdt@aggTrade"], "id": 1});
    assert_eq!(ask(&mut mute, ask_again).await["result"], Value::Null);
    assert_eq!(exchange.stats().receiving, 0);

    let stalled = TcpStream::connect(exchange.addr()).await.unwrap();
    let url = exchange.stream_url();
    let mut handshake = Box::pin(client_async(url, stalled));
    within(async {
        tokio::select! {
            shaken = &mut handshake => panic!("{:?}", shaken.map(|_| ())),
            _ = exchange.wait_for(|stats| stats.attempts == 5) => {}
        }
    })
    .await;

    let mut client = connect(&exchange).await;
    ids(&mut client, 1).await;
    end(&mut client).await;
    // The close is not over yet, because the client has not answered it; the refusal behind it holds already.
    match connect_to(&exchange, &path).await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 503),
        other => panic!("{other:?}"),
    }
    assert_eq!(exchange.stop().await.unwrap().stats.refused, 3);
}

#[tokio::test]
async fn a_half_open_connection_neither_reads_nor_writes_nor_ends() {
    let exchange = exchange([Act::Trades(1), Act::HalfOpen, Act::Trades(1)]).start().await.unwrap();
    let mut dead = connect(&exchange).await;
    ids(&mut dead, 1).await;
    within(exchange.wait_for(|stats| stats.open == 0)).await;
    dead.send(Message::Ping(vec![1].into())).await.unwrap();
    let mut alive = connect(&exchange).await;
    ids(&mut alive, 1).await;
    exchange.play(Act::Trades(1)).await;
    ids(&mut alive, 1).await;
    assert_eq!(exchange.stats().pings_received, 0);
    assert!(futures_util::FutureExt::now_or_never(dead.next()).is_none(), "nothing came, not even an end");
    exchange.stop().await.unwrap();
}

#[tokio::test]
async fn a_lost_subscription_pings_but_brings_no_data() {
    let exchange = exchange([Act::Trades(1), Act::Mute, Act::SkipIds(4)]).start().await.unwrap();
    let mut client = connect(&exchange).await;
    ids(&mut client, 1).await;
    within(exchange.wait_for(|stats| stats.script_finished)).await;
    client.send(Message::Ping(vec![9].into())).await.unwrap();
    assert_eq!(within(client.next()).await.unwrap().unwrap(), Message::Pong(vec![9].into()));
    assert_eq!((exchange.ledger().made(&btc()), exchange.stats().frames_sent), (5, 1));
    exchange.stop().await.unwrap();
}

#[tokio::test]
async fn pings_are_answered_while_data_stalls() {
    let exchange = exchange([Act::Trades(1), Act::Stall(Duration::from_secs(3_600))]).start().await.unwrap();
    let mut client = connect(&exchange).await;
    ids(&mut client, 1).await;
    client.send(Message::Ping(vec![9].into())).await.unwrap();
    assert_eq!(within(client.next()).await.unwrap().unwrap(), Message::Pong(vec![9].into()));
    assert!(!exchange.stats().script_finished);
    exchange.stop().await.unwrap();
}

#[tokio::test]
async fn bytes_can_drip_and_flow_again() {
    let script = [Act::WaitForConnection(1), Act::SlowBytes { per_second: 2_000 }, Act::Trades(1)];
    let exchange = exchange(script).start().await.unwrap();
    let mut client = connect(&exchange).await;
    ids(&mut client, 1).await;
    exchange.play(Act::SlowBytes { per_second: 0 }).await;
    exchange.play(Act::Trades(1_000)).await;
    ids(&mut client, 1_000).await;
    // At this rate the next frame needs more than ten seconds.
    exchange.play(Act::SlowBytes { per_second: 15 }).await;
    let before = exchange.stats();
    within(async {
        tokio::select! {
            () = exchange.play(Act::Trades(1)) => panic!("a frame cannot be written yet"),
            stats = exchange.wait_for(|stats| stats.bytes_sent >= before.bytes_sent + 3) => {
                assert_eq!(stats.frames_sent, before.frames_sent);
            }
        }
    })
    .await;
    exchange.stop().await.unwrap();
}

#[tokio::test]
async fn a_test_steers_by_signals_instead_of_sleeping() {
    let signal = Arc::new(Notify::new());
    let exchange =
        exchange([Act::Trades(1), Act::Until(signal.clone()), Act::Trades(1)]).start().await.unwrap();
    let mut client = connect(&exchange).await;
    ids(&mut client, 1).await;
    within(exchange.wait_for(|stats| stats.acts_played == 1)).await;
    assert_eq!(exchange.ledger().made(&btc()), 1);
    signal.notify_one();
    ids(&mut client, 1).await;
    within(exchange.wait_for(|stats| stats.script_finished)).await;
    within(exchange.play(Act::Trades(2))).await;
    assert_eq!(exchange.stats().frames_sent, 4);
    exchange.stop().await.unwrap();
}

#[tokio::test]
async fn redundant_lines_see_the_same_trades_unless_an_act_is_aimed() {
    let script = [Act::WaitForConnection(2), Act::Trades(10), Act::Drop.on(1), Act::Trades(5)];
    let exchange = exchange(script).start().await.unwrap();
    let (mut first, mut second) = (connect(&exchange).await, connect(&exchange).await);
    within(exchange.wait_for(|stats| stats.script_finished)).await;
    let all = ids(&mut second, 15).await;
    assert_eq!(ids(&mut first, 10).await, all[..10]);
    assert!(end(&mut first).await.code().is_none());
    exchange.stop().await.unwrap();
}

#[tokio::test]
async fn the_market_at_the_end_trades_until_the_exchange_stops() {
    let script = Script::new([]).at_end(AtEnd::Market { per_second: 20_000 });
    let exchange = exchange(script).wall_clock().start().await.unwrap();
    let mut client = connect(&exchange).await;
    let ids = ids(&mut client, 500).await;
    assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1));
    within(exchange.play(Act::Close { code: 1000, reason: String::new() })).await;
    assert_eq!(end(&mut client).await.code(), Some(1000));
    exchange.stop().await.unwrap();
}

#[tokio::test]
async fn the_port_can_go_away_and_come_back() {
    let exchange = exchange([]).start().await.unwrap();
    let mut client = connect(&exchange).await;
    within(exchange.stop_listening()).await;
    assert!(end(&mut client).await.code().is_none());
    assert!(TcpStream::connect(exchange.addr()).await.is_err());
    within(exchange.listen_again()).await.unwrap();
    let mut client = connect(&exchange).await;
    exchange.play(Act::Trades(1)).await;
    ids(&mut client, 1).await;
    let port = exchange.addr().port();
    exchange.stop().await.unwrap();

    let again = Exchange::builder().port(port).script([Act::Trades(1)]).start().await.unwrap();
    ids(&mut connect(&again).await, 1).await;
    again.stop().await.unwrap();
}

struct Answered {
    head: String,
    body: String,
}

impl Answered {
    fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

async fn get(exchange: &Exchange, path: &str) -> Answered {
    let mut socket = TcpStream::connect(exchange.rest_addr()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(socket.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Answered { head: head.to_owned(), body: body.to_owned() }
}

fn page_ids(page: &Value) -> Vec<i64> {
    page.as_array().unwrap().iter().map(|row| row["a"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn rest_pages_agree_with_the_ledger_and_with_the_stream() {
    let exchange = exchange([Act::Trades(1_500), Act::SkipIds(1_000)]).start().await.unwrap();
    let mut client = connect(&exchange).await;
    let mut streamed = Vec::new();
    for _ in 0..1_500 {
        streamed.push(event(&mut client).await);
    }
    within(exchange.wait_for(|stats| stats.script_finished)).await;
    let trades = exchange.ledger().trades(&btc());
    let (mut next, mut rows) = (trades[0].id.0, Vec::new());
    loop {
        let path = format!("/fapi/v1/aggTrades?symbol=BTCUSDT&fromId={next}&limit=1000");
        let page = get(&exchange, &path).await;
        assert_eq!(page.header("x-mbx-used-weight-1m").map(str::len), Some(2));
        let page = page.json();
        let page = page.as_array().unwrap();
        let Some(last) = page.last() else { break };
        next = last["a"].as_i64().unwrap() + 1;
        rows.extend(page.clone());
    }
    assert_eq!(rows.len(), 2_500);
    let sum: i128 = rows.iter().map(signed_units).sum();
    assert_eq!(exchange.ledger().cvd(&btc()).units(), sum);
    for (row, event) in rows.iter().zip(&streamed) {
        for key in ["a", "p", "q", "nq", "f", "l", "T", "m"] {
            assert_eq!(row[key], event[key], "{key}");
        }
    }
    let start = trades[700].traded_at.0;
    let path = format!("/fapi/v1/aggTrades?symbol=BTCUSDT&startTime={start}&endTime={}", start + 500);
    let within_window = trades.iter().filter(|trade| (start..=start + 500).contains(&trade.traded_at.0));
    let expected: Vec<_> = within_window.map(|trade| trade.id.0).collect();
    assert_eq!(page_ids(&get(&exchange, &path).await.json()), expected);
    let newest = page_ids(&get(&exchange, "/fapi/v1/aggTrades?symbol=BTCUSDT").await.json());
    assert_eq!((newest.len(), newest[499]), (500, trades[2_499].id.0));
    exchange.stop().await.unwrap();
}

#[tokio::test]
async fn rest_refuses_what_the_exchange_refuses() {
    let reach = Duration::from_secs(10);
    let exchange = exchange([Act::SkipIds(5_000)]).rest_from_id_reach(reach).start().await.unwrap();
    within(exchange.wait_for(|stats| stats.script_finished)).await;
    let first = exchange.ledger().first_id(&btc()).unwrap();
    for (path, code) in [
        ("aggTrades".to_owned(), -1102),
        ("aggTrades?symbol=NONSENSE".to_owned(), -1121),
        ("aggTrades?symbol=btcusdt".to_owned(), -1121),
        ("aggTrades?symbol=BTCUSDT&startTime=0&endTime=3600000".to_owned(), -1127),
        ("aggTrades?symbol=BTCUSDT&fromId=x".to_owned(), -1100),
        ("aggTrades?symbol=BTCUSDT&fromId=1&startTime=1".to_owned(), -1128),
        (format!("aggTrades?symbol=BTCUSDT&fromId={first}"), -1000),
    ] {
        let answer = get(&exchange, &format!("/fapi/v1/{path}")).await;
        assert_eq!((answer.status(), answer.json()["code"].as_i64()), (400, Some(code)), "{path}");
    }
    let fine = get(&exchange, "/fapi/v1/aggTrades?symbol=BTCUSDT&startTime=0&endTime=3599999").await;
    assert_eq!((fine.status(), fine.body.as_str()), (200, "[]"));
    assert_eq!(get(&exchange, "/fapi/v1/nonsense").await.status(), 404);
    exchange.stop().await.unwrap();
}

#[tokio::test]
async fn rest_plays_refusals_lag_holes_and_cut_answers() {
    let first = 3_339_472_001;
    let builder = exchange([Act::SkipIds(100)]).rest_missing(first + 10..=first + 19).rest_lag(30);
    let exchange = builder.start().await.unwrap();
    within(exchange.wait_for(|stats| stats.script_finished)).await;
    let path = format!("/fapi/v1/aggTrades?symbol=BTCUSDT&fromId={first}");
    let expected: Vec<_> = (first..first + 10).chain(first + 20..first + 70).collect();
    assert_eq!(page_ids(&get(&exchange, &path).await.json()), expected);
    exchange.play(Act::LagRest(0)).await;
    assert_eq!(page_ids(&get(&exchange, &path).await.json()).len(), 90);

    exchange.play(Act::CutRest(1)).await;
    let cut = get(&exchange, &path).await;
    let announced: usize = cut.header("content-length").unwrap().parse().unwrap();
    assert!(cut.status() == 200 && cut.body.len() < announced, "{} of {announced}", cut.body.len());
    assert_eq!(get(&exchange, &path).await.status(), 200);

    let refuse = Act::RefuseRest { status: 418, retry_after: Some("120".into()), times: 1 };
    exchange.play(refuse).await;
    let banned = get(&exchange, &path).await;
    assert_eq!((banned.status(), banned.header("retry-after")), (418, Some("120")));
    assert!(exchange.violations().is_empty());
    get(&exchange, &path).await;
    assert_eq!(exchange.stop().await.unwrap().violations, ["a REST request before Retry-After was over"]);
}

#[tokio::test]
async fn rest_weight_is_counted_and_limited() {
    let exchange = exchange([Act::SkipIds(1)]).rest_weight_limit(45).start().await.unwrap();
    let path = "/fapi/v1/aggTrades?symbol=BTCUSDT";
    for used in ["20", "40"] {
        assert_eq!(get(&exchange, path).await.header("x-mbx-used-weight-1m"), Some(used));
    }
    let refused = get(&exchange, path).await;
    assert_eq!((refused.status(), refused.json()["code"].as_i64()), (429, Some(-1003)));
    assert!(refused.header("retry-after").is_some());
    exchange.stop().await.unwrap();
}

#[tokio::test]
async fn the_listings_and_the_time_come_from_the_same_market() {
    let exchange = exchange([Act::SkipIds(10)]).start().await.unwrap();
    within(exchange.wait_for(|stats| stats.script_finished)).await;
    let info = get(&exchange, "/fapi/v1/exchangeInfo").await.json();
    assert_eq!(info["symbols"][0]["symbol"], "BTCUSDT");
    assert_eq!(info["symbols"][0]["filters"][0]["tickSize"], "0.1");
    assert_eq!(info["symbols"][0]["status"], "TRADING");
    let coin = get(&exchange, "/dapi/v1/exchangeInfo").await.json();
    assert_eq!(coin["symbols"][0]["contractStatus"], "TRADING");
    let now = exchange.ledger().last_traded_at().unwrap().0;
    assert_eq!(get(&exchange, "/api/v3/time").await.json(), json!({"serverTime": now}));
    exchange.stop().await.unwrap();
}

#[tokio::test]
async fn a_million_trades_are_cheap_to_send() {
    let exchange = exchange([Act::Trades(1_000_000)]).ledger_capacity(1_000).start().await.unwrap();
    let mut socket = TcpStream::connect(exchange.addr()).await.unwrap();
    let request = "GET /market/ws/btcusdt@aggTrade HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write_all(request.as_bytes()).await.unwrap();
    let reading = async {
        let mut buffer = vec![0; 1 << 20];
        while socket.read(&mut buffer).await.unwrap() > 0 {}
    };
    within(async {
        tokio::select! {
            () = reading => panic!("the connection ended"),
            _ = exchange.wait_for(|stats| stats.script_finished) => {}
        }
    })
    .await;
    assert_eq!(exchange.ledger().made(&btc()), 1_000_000);
    assert_eq!(exchange.stop().await.unwrap().stats.frames_sent, 1_000_000);
}
