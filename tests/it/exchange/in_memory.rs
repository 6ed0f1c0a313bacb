//! The exchange without sockets, under a paused clock: an hour costs nothing, and the same seed gives the same bytes.

use std::sync::Arc;

use cvd_stream::feed::{ByteStream, ConnectError, Destination, Network};
use cvd_stream::units::UnixMillis;
use tokio::time::{Instant, advance, sleep};

use super::*;

type Pipe = Box<dyn ByteStream>;

/// A whole minute of the clock, so that weight is counted from its beginning.
const START: UnixMillis = UnixMillis(1_795_132_800_000);

fn builder() -> ExchangeBuilder {
    exchange([]).in_memory().start_time(START)
}

async fn dial(network: &Arc<dyn Network>, url: &str) -> Result<Pipe, ConnectError> {
    let (_, address) = url.split_once("://").unwrap();
    let (host, port) = address.split('/').next().unwrap().split_once(':').unwrap();
    network.dial(Destination { host, port: port.parse().unwrap(), tls: false, turn: 0 }).await
}

async fn listen_to(exchange: &Exchange) -> WebSocketStream<Pipe> {
    let socket = dial(&exchange.network(), &exchange.stream_url()).await.unwrap();
    client_async(exchange.stream_url(), socket).await.unwrap().0
}

async fn next_event(client: &mut WebSocketStream<Pipe>) -> Value {
    loop {
        if let Message::Text(text) = client.next().await.unwrap().unwrap() {
            return serde_json::from_str::<Value>(&text).unwrap()["data"].clone();
        }
    }
}

async fn next_ids(client: &mut WebSocketStream<Pipe>, n: usize) -> Vec<i64> {
    let mut ids = Vec::new();
    for _ in 0..n {
        ids.push(next_event(client).await["a"].as_i64().unwrap());
    }
    ids
}

async fn ask_rest(exchange: &Exchange, path: &str) -> Answered {
    let mut socket = dial(&exchange.network(), &exchange.rest_url()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Answered { head: head.to_owned(), body: body.to_owned() }
}

const ANY: &str = "/fapi/v1/aggTrades?symbol=BTCUSDT";

#[tokio::test(start_paused = true)]
async fn trades_happen_when_they_are_made_and_a_day_costs_nothing() {
    let script = [Act::Trades(1), Act::Stall(Duration::from_secs(3_600)), Act::Trades(5_000)];
    let exchange = builder().script(script).start().await.unwrap();
    let mut client = listen_to(&exchange).await;
    let begun = Instant::now();
    let first = next_event(&mut client).await;
    let ids = next_ids(&mut client, 5_000).await;
    assert!(begun.elapsed() >= Duration::from_secs(3_600));
    assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1));
    assert!((START.0 - 1_000..=START.0).contains(&first["T"].as_i64().unwrap()), "{first}");
    let last = exchange.ledger().last_traded_at().unwrap();
    assert!((3_599_000..=3_601_000).contains(&(last.0 - START.0)), "{last:?}");
    // The client, which reads, answers every ping.
    let reading = async { while client.next().await.is_some() {} };
    drop(tokio::time::timeout(Duration::from_secs(20 * 3_600), reading).await);
    let report = exchange.stop().await.unwrap();
    assert!(report.violations.is_empty() && report.stats.pongs_received > 390, "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_no_ping_is_left_after_ten_minutes() {
    let exchange = builder().start().await.unwrap();
    let client = listen_to(&exchange).await;
    let begun = Instant::now();
    exchange.wait_for(|stats| stats.violations == 1).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(180 + 600));
    drop(client);
    exchange.stop().await.unwrap();
}

/// Everything that came over one connection of each port.
async fn all_bytes(seed: u64) -> (Vec<u8>, Vec<u8>) {
    let script = [
        Act::Trades(300),
        Act::Stall(Duration::from_millis(700)),
        Act::Reorder(9),
        Act::Conflict(4),
        Act::ZeroQty(2),
        Act::Corrupt(2),
        Act::Drop,
    ];
    let builder = builder().symbol("ETHUSDT").symbol("XRPUSDT").seed(seed);
    let exchange = builder.script(script).start().await.unwrap();
    let mut socket = dial(&exchange.network(), &exchange.stream_url()).await.unwrap();
    let path = exchange.stream_url().replace(&exchange.stream_base(), "");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut streamed = Vec::new();
    socket.read_to_end(&mut streamed).await.unwrap();
    let page = ask_rest(&exchange, ANY).await;
    exchange.stop().await.unwrap();
    (streamed, format!("{}{}", page.head, page.body).into_bytes())
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_bytes_on_both_ports() {
    let first = all_bytes(7).await;
    assert!(first.0.len() > 50_000 && first.1.len() > 10_000);
    assert!(first == all_bytes(7).await);
    assert!(first != all_bytes(8).await);
}

#[tokio::test(start_paused = true)]
async fn a_reset_takes_what_was_not_read_yet_and_a_drop_lets_it_arrive() {
    for (end, arrives) in [(Act::Drop, true), (Act::Reset, false)] {
        let exchange = builder().start().await.unwrap();
        let mut client = listen_to(&exchange).await;
        exchange.play(Act::Trades(20)).await;
        exchange.play(end).await;
        if arrives {
            next_ids(&mut client, 20).await;
        }
        let ending = client.next().await;
        let was_reset = matches!(
            &ending,
            Some(Err(Error::Io(error))) if error.kind() == std::io::ErrorKind::ConnectionReset
        );
        assert_eq!(was_reset, !arrives, "{ending:?}");
        exchange.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_half_open_pipe_says_nothing_for_a_day() {
    let exchange = builder().start().await.unwrap();
    let mut client = listen_to(&exchange).await;
    exchange.play(Act::HalfOpen).await;
    client.send(Message::Ping(vec![1].into())).await.unwrap();
    let day = Duration::from_secs(24 * 3_600);
    assert!(tokio::time::timeout(day, client.next()).await.is_err(), "nothing, not even an end");
    assert_eq!(exchange.stats().pings_received, 0);
    exchange.stop().await.unwrap();
    assert!(client.next().await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_waits_holds_the_exchange_up() {
    let exchange = builder().start().await.unwrap();
    let mut client = listen_to(&exchange).await;
    let mut playing = Box::pin(exchange.play(Act::Trades(5_000)));
    let patience = tokio::time::timeout(Duration::from_secs(60), &mut playing).await;
    assert!(patience.is_err(), "a pipe holds no more than a socket does");
    let ((), ids) = tokio::join!(playing, next_ids(&mut client, 5_000));
    assert_eq!(ids.last().copied(), exchange.ledger().last_id(&btc()).map(|id| id.0));
    exchange.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn nobody_can_dial_while_the_port_is_away() {
    let exchange = builder().start().await.unwrap();
    let (network, url) = (exchange.network(), exchange.stream_url());
    let mut client = listen_to(&exchange).await;
    exchange.stop_listening().await;
    assert!(client.next().await.unwrap().is_err());
    let Err(ConnectError::Tcp { cause, .. }) = dial(&network, &url).await else { panic!("nobody listens") };
    assert_eq!(cause.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(dial(&network, "ws://127.0.0.1:3").await.is_err(), "a port that never was");
    assert_eq!(ask_rest(&exchange, ANY).await.status(), 200, "REST stays");
    exchange.listen_again().await.unwrap();
    let mut client = listen_to(&exchange).await;
    exchange.play(Act::Trades(1)).await;
    next_ids(&mut client, 1).await;
    exchange.stop().await.unwrap();
    assert!(dial(&network, &url).await.is_err(), "a stopped exchange takes no calls");
}

#[tokio::test]
async fn an_exchange_with_sockets_has_a_network_too() {
    let exchange = exchange([Act::Trades(3)]).start().await.unwrap();
    within(async { next_ids(&mut listen_to(&exchange).await, 3).await }).await;
    exchange.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn too_much_weight_waits_for_the_minute_and_going_on_is_banned_ever_longer() {
    let exchange = builder().rest_weight_limit(40).start().await.unwrap();
    advance(Duration::from_secs(50)).await;
    for status in [200, 200, 429] {
        assert_eq!(ask_rest(&exchange, ANY).await.status(), status);
    }
    assert!(exchange.violations().is_empty());
    advance(Duration::from_secs(10)).await;
    assert_eq!(ask_rest(&exchange, ANY).await.status(), 200, "a new minute");

    ask_rest(&exchange, ANY).await;
    let told = ask_rest(&exchange, ANY).await;
    assert_eq!((told.status(), told.header("retry-after")), (429, Some("60")));
    for ban in ["120", "240", "480"] {
        advance(Duration::from_secs(59)).await;
        let banned = ask_rest(&exchange, ANY).await;
        assert_eq!((banned.status(), banned.header("retry-after")), (418, Some(ban)));
    }
    assert_eq!(exchange.violations(), ["a REST request before Retry-After was over"; 3]);
    advance(Duration::from_secs(480)).await;
    assert_eq!(ask_rest(&exchange, ANY).await.status(), 200);
    exchange.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refusal_without_retry_after_holds_for_its_minute_or_until_the_time_it_tells() {
    let refuse = |status| Act::RefuseRest { status, retry_after: None, times: 1 };
    for (status, seconds) in [(429, 30), (418, 120)] {
        for early in [true, false] {
            let exchange = builder().start().await.unwrap();
            exchange.play(refuse(status)).await;
            advance(Duration::from_secs(30)).await;
            let refused = ask_rest(&exchange, ANY).await;
            assert_eq!((refused.status(), refused.header("retry-after")), (status, None));
            let told = refused.json()["msg"].as_str().unwrap().to_owned();
            let until = format!("banned until {}", START.0 + 150_000);
            assert_eq!(told.contains(&until), status == 418, "{told}");
            advance(Duration::from_millis(seconds * 1_000 - u64::from(early))).await;
            ask_rest(&exchange, ANY).await;
            assert_eq!(exchange.stop().await.unwrap().stats.violations, u64::from(early), "{status}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_and_a_time_in_one_question_break_a_rule_and_a_high_limit_is_answered_as_each_market_does() {
    for (market, path, status) in [(Market::UsdM, "/fapi/v1", 400), (Market::Spot, "/api/v3", 200)] {
        let exchange = builder().market(market).script([Act::SkipIds(1_200)]).start().await.unwrap();
        exchange.wait_for(|stats| stats.script_finished).await;
        let high = ask_rest(&exchange, &format!("{path}/aggTrades?symbol=BTCUSDT&limit=1001")).await;
        assert_eq!(high.status(), status);
        match market {
            Market::Spot => assert_eq!(page_ids(&high.json()).len(), 1_000),
            _ => assert_eq!(high.json()["code"], -1130),
        }
        assert!(exchange.violations().is_empty());
        ask_rest(&exchange, &format!("{path}/aggTrades?symbol=BTCUSDT&fromId=1&startTime=1")).await;
        assert_eq!(exchange.stop().await.unwrap().violations, ["a REST request with fromId and a time"]);
    }
}

#[tokio::test(start_paused = true)]
async fn trades_conflict_are_voided_and_lie_about_their_id() {
    let exchange = builder().start().await.unwrap();
    let mut client = listen_to(&exchange).await;
    exchange.play(Act::Trades(3)).await;
    let mut events = Vec::new();
    for _ in 0..3 {
        events.push(next_event(&mut client).await);
    }
    let ledger = exchange.ledger();
    let cvd = ledger.cvd(&btc());

    exchange.play(Act::Conflict(2)).await;
    for event in &events[1..] {
        let other = next_event(&mut client).await;
        assert_eq!((&other["a"], &other["p"], &other["T"]), (&event["a"], &event["p"], &event["T"]));
        assert_ne!(other["q"], event["q"]);
    }
    exchange.play(Act::Implausible(i64::MAX)).await;
    assert_eq!(next_event(&mut client).await["a"], i64::MAX);
    assert_eq!((ledger.made(&btc()), ledger.cvd(&btc())), (3, cvd), "none of it happened");

    exchange.play(Act::ZeroQty(2)).await;
    exchange.play(Act::Trades(1)).await;
    let last = events[2]["a"].as_i64().unwrap();
    for id in [last + 1, last + 2] {
        let void = next_event(&mut client).await;
        assert_eq!(void["a"], id);
        assert_eq!((&void["p"], &void["q"], &void["f"]), (&json!("0"), &json!("0"), &json!(-1)), "{void}");
    }
    assert_eq!(next_ids(&mut client, 1).await, [last + 3]);
    let rows = ask_rest(&exchange, ANY).await.json();
    assert_eq!((&rows[3]["q"], &rows[4]["l"], rows.as_array().unwrap().len()), (&json!("0"), &json!(-1), 6));
    assert_eq!(ledger.trades(&btc())[3].delta().units(), 0);
    exchange.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn rest_can_trail_by_time_take_its_time_and_lose_trades_for_good() {
    let exchange = builder().symbol("ETHUSDT").start().await.unwrap();
    let eth = Symbol::new("ETHUSDT").unwrap();
    let known = async |exchange: &Exchange| page_ids(&ask_rest(exchange, ANY).await.json()).len();
    exchange.play(Act::LagRestTime(Duration::from_secs(5))).await;
    exchange.play(Act::SkipIds(10).of(btc())).await;
    sleep(Duration::from_secs(3)).await;
    exchange.play(Act::SkipIds(10).of(btc())).await;
    assert_eq!(known(&exchange).await, 0);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(known(&exchange).await, 10);
    exchange.play(Act::LagRestTime(Duration::ZERO)).await;
    assert_eq!(known(&exchange).await, 20);

    exchange.play(Act::SlowRest(Duration::from_secs(30))).await;
    let begun = Instant::now();
    let meanwhile = async {
        sleep(Duration::from_secs(1)).await;
        exchange.play(Act::SkipIds(1).of(btc())).await;
    };
    let (slow, ()) = tokio::join!(known(&exchange), meanwhile);
    assert_eq!((slow, begun.elapsed()), (20, Duration::from_secs(30)), "as it was when asked");
    exchange.play(Act::SlowRest(Duration::ZERO)).await;

    exchange.play(Act::LoseFromRest(5).of(btc())).await;
    exchange.play(Act::SkipIds(4).of(btc())).await;
    assert_eq!(known(&exchange).await, 20);
    let last = exchange.ledger().last_id(&btc()).unwrap().0;
    let lost: Vec<_> = exchange.lost_from_rest(&btc()).iter().map(|ids| (ids.from.0, ids.to.0)).collect();
    assert_eq!(lost, [(last - 8, last - 4)]);
    assert!(exchange.lost_from_rest(&eth).is_empty());
    exchange.stop().await.unwrap();
}
