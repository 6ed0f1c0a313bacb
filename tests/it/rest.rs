//! REST, asked by the client that repairs holes: pages equal the ledger, and nothing that answers can hang it, fill
//! its memory or leave it unusable.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cvd_stream::exchange::{Act, Exchange};
use cvd_stream::feed::{Destination, Dialing, Network, SystemNetwork};
use cvd_stream::repair::rest::{RestBase, RestClient, RestLimits};
use cvd_stream::repair::{Ask, Page, Request, RestError};
use cvd_stream::snapshot::Market;
use cvd_stream::trade::AggTrade;
use cvd_stream::units::{AggTradeId, UnixMillis};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::support::*;

/// A network whose connections are counted.
struct Counted {
    network: Arc<dyn Network>,
    dialed: AtomicUsize,
}

impl Network for Counted {
    fn dial<'a>(&'a self, to: Destination<'a>) -> Dialing<'a> {
        self.dialed.fetch_add(1, Ordering::Relaxed);
        self.network.dial(to)
    }
}

/// A client, and how many connections it made.
struct Asking {
    client: RestClient,
    network: Arc<Counted>,
    symbol: &'static str,
}

impl Asking {
    fn of(exchange: &Exchange, symbol: &'static str) -> Self {
        Self { symbol, ..Self::at(&exchange.rest_url(), exchange.market()) }
    }

    fn at(base: &str, market: Market) -> Self {
        Self::over(Arc::new(SystemNetwork::default()), base, market)
    }

    fn over(network: Arc<dyn Network>, base: &str, market: Market) -> Self {
        let network = Arc::new(Counted { network, dialed: AtomicUsize::new(0) });
        let base = RestBase::parse(base, false).expect("a base on this machine");
        let client = RestClient::new(Arc::clone(&network) as Arc<dyn Network>, base, market);
        Self { client, network, symbol: "BTCUSDT" }
    }

    /// From now on with this deadline, and pages of 64 KiB at most.
    fn limited(self, deadline: Duration) -> Self {
        let limits = RestLimits { deadline, body: 64 * 1024 };
        Self { client: self.client.with_limits(limits), ..self }
    }

    async fn ask(&mut self, ask: Ask) -> Result<Page, RestError> {
        let request = Request { lane: 0, symbol: symbol(self.symbol), ask };
        self.client.fetch(&request).await
    }

    async fn newest(&mut self) -> Result<Page, RestError> {
        self.ask(Ask::Newest).await
    }

    fn dialed(&self) -> usize {
        self.network.dialed.load(Ordering::Relaxed)
    }
}

fn from_id(from: i64, limit: u32) -> Ask {
    Ask::FromId { from: AggTradeId(from), limit }
}

/// What the ledger holds, as REST can tell it.
fn told_by_rest(exchange: &Exchange, name: &str) -> Vec<AggTrade> {
    let mut trades = exchange.ledger().trades(&symbol(name));
    for trade in &mut trades {
        trade.event_at = None;
        if exchange.market() != Market::UsdM {
            trade.qty_without_rpi = None;
        }
    }
    trades
}

#[tokio::test]
async fn pages_by_id_and_by_time_equal_the_ledger_over_one_connection() {
    story(async {
        for (market, name) in
            [(Market::UsdM, "币安人生USDT"), (Market::CoinM, "BTCUSD_PERP"), (Market::Spot, "BTCUSDT")]
        {
            let exchange = Exchange::builder().market(market).symbol(name).seed(7).start().await.unwrap();
            exchange.play(Act::SkipIds(2_500)).await;
            let trades = told_by_rest(&exchange, name);
            let mut asking = Asking::of(&exchange, name);

            let (mut by_id, mut next) = (Vec::new(), trades[0].id.0);
            loop {
                let page = asking.ask(from_id(next, 1_000)).await.unwrap();
                let Some(last) = page.trades.last() else { break };
                next = last.id.0 + 1;
                by_id.extend(page.trades);
            }
            assert_eq!(by_id, trades);

            let (start, end) = (trades[1_000].traded_at, trades[1_010].traded_at);
            let window = Ask::Window { start, end: UnixMillis(end.0.min(start.0 + 3_599_999)), limit: 1_000 };
            let page = asking.ask(window).await.unwrap();
            let within = |trade: &&AggTrade| trade.traded_at >= start && trade.traded_at <= end;
            assert_eq!(page.trades, trades.iter().filter(within).copied().collect::<Vec<_>>());
            assert!(page.trades.len() >= 11);

            let page = asking.newest().await.unwrap();
            assert_eq!(page.trades, trades[2_499..]);
            assert_eq!(page.used_weight, Some(exchange.stats().rest_weight));
            assert_eq!(asking.client.used_weight(), page.used_weight);
            assert_eq!(asking.dialed(), 1);
            stopped_in_peace(exchange).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_page_that_breaks_off_passes_and_the_next_question_gets_a_new_connection() {
    story(async {
        let exchange = exchange([Act::SkipIds(100), Act::CutRest(1)]).await;
        exchange.wait_for(|stats| stats.script_finished).await;
        let first = told_by_rest(&exchange, "BTCUSDT")[0].id.0;
        let mut asking = Asking::of(&exchange, "BTCUSDT");
        let cut = asking.ask(from_id(first, 100)).await;
        assert!(matches!(&cut, Err(RestError::Passing(why)) if why.contains("no whole answer")), "{cut:?}");
        let page = asking.ask(from_id(first, 100)).await.unwrap();
        assert_eq!(page.trades, told_by_rest(&exchange, "BTCUSDT"));
        assert_eq!(asking.dialed(), 2);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn a_refusal_is_told_by_kind_and_does_not_cost_the_connection() {
    story(async {
        let exchange = exchange([Act::SkipIds(1)]).await;
        let mut asking = Asking::of(&exchange, "BTCUSDT");
        let refuse = |status, retry_after: Option<&str>| Act::RefuseRest {
            status,
            retry_after: retry_after.map(str::to_owned),
            times: 1,
        };
        for (status, retry_after) in [(429, Some("0")), (418, Some("0"))] {
            exchange.play(refuse(status, retry_after)).await;
            let refused = asking.newest().await.unwrap_err();
            let expected = RestError::TooManyRequests {
                status,
                retry_after: retry_after.map(|_| Duration::from_secs(1)),
                banned_until: None,
                used_weight: Some(exchange.stats().rest_weight),
                message: "Too many requests.".into(),
            };
            assert_eq!(refused, expected);
        }
        exchange.play(refuse(451, None)).await;
        let refused = asking.newest().await.unwrap_err();
        assert!(matches!(refused, RestError::Refused { status: 451, code: Some(0), .. }), "{refused:?}");
        assert!(refused.to_string().contains("restricted location"), "{refused}");
        exchange.play(refuse(503, None)).await;
        let refused = asking.newest().await.unwrap_err();
        assert!(matches!(&refused, RestError::Passing(why) if why.contains("503")), "{refused:?}");

        asking.symbol = "NOSUCHUSDT";
        let refused = asking.newest().await.unwrap_err();
        let expected =
            RestError::Refused { status: 400, code: Some(-1121), message: "Invalid symbol.".into() };
        assert_eq!(refused, expected);
        asking.symbol = "BTCUSDT";
        assert_eq!(asking.newest().await.unwrap().trades.len(), 1);

        exchange.play(refuse(418, None)).await;
        let banned = asking.newest().await.unwrap_err();
        let until = exchange.ledger().last_traded_at();
        let RestError::TooManyRequests { retry_after: None, banned_until, .. } = banned else {
            panic!("{banned:?}")
        };
        assert!(banned_until > until, "{banned_until:?} is after {until:?}");
        assert_eq!(asking.dialed(), 1);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn ids_that_are_too_old_are_named_and_found_by_time() {
    story(async {
        let exchange = btcusdt().rest_from_id_reach(Duration::ZERO).start().await.unwrap();
        exchange.play(Act::SkipIds(1_000)).await;
        let trades = told_by_rest(&exchange, "BTCUSDT");
        let mut asking = Asking::of(&exchange, "BTCUSDT");
        assert_eq!(asking.ask(from_id(trades[0].id.0, 10)).await, Err(RestError::TooOldForIds));
        let start = trades[0].traded_at;
        let window = Ask::Window { start, end: UnixMillis(start.0 + 3_599_999), limit: 10 };
        assert_eq!(asking.ask(window).await.unwrap().trades, trades[..10]);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn what_rest_lacks_or_does_not_show_yet_is_simply_not_in_the_page() {
    story(async {
        let exchange = btcusdt().start().await.unwrap();
        exchange.play(Act::SkipIds(20)).await;
        let trades = told_by_rest(&exchange, "BTCUSDT");
        exchange.play(Act::LagRest(5)).await;
        let mut asking = Asking::of(&exchange, "BTCUSDT");
        assert_eq!(asking.ask(from_id(trades[0].id.0, 1_000)).await.unwrap().trades, trades[..15]);
        assert_eq!(asking.ask(from_id(trades[15].id.0, 1_000)).await.unwrap().trades, []);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn ten_seconds_are_enough_for_a_question_and_thirty_too_many_for_a_rest() {
    let exchange = btcusdt().in_memory().start().await.unwrap();
    exchange.play(Act::SkipIds(1)).await;
    let mut asking = Asking::over(exchange.network(), &exchange.rest_url(), exchange.market());
    assert_eq!(asking.newest().await.unwrap().trades.len(), 1);

    exchange.play(Act::SlowRest(Duration::from_secs(11))).await;
    let asked = Instant::now();
    let late = asking.newest().await.unwrap_err();
    assert_eq!(asked.elapsed().as_secs(), 10);
    assert!(late.to_string().ends_with("within 10s"), "{late}");
    exchange.play(Act::SlowRest(Duration::from_secs(9))).await;
    assert!(asking.newest().await.is_ok());
    assert_eq!(asking.dialed(), 2);

    exchange.play(Act::SlowRest(Duration::ZERO)).await;
    for (rest, dialed) in [(29, 2), (31, 3)] {
        tokio::time::sleep(Duration::from_secs(rest)).await;
        assert!(asking.newest().await.is_ok());
        assert_eq!(asking.dialed(), dialed, "after {rest} s");
    }
    stopped_in_peace(exchange).await;
}

#[tokio::test]
async fn the_time_and_the_listings_are_told_over_the_connection_of_the_trades() {
    story(async {
        for (market, names) in [
            (Market::UsdM, ["BTCUSDT", "币安人生USDT"]),
            (Market::CoinM, ["BTCUSD_PERP", "ETHUSD_PERP"]),
            (Market::Spot, ["BTCUSDT", "ETHBTC"]),
        ] {
            let exchange = Exchange::builder().market(market).symbol(names[0]).symbol(names[1]);
            let exchange = exchange.script([Act::SkipIds(1)]).start().await.unwrap();
            exchange.wait_for(|stats| stats.script_finished).await;
            let mut asking = Asking::of(&exchange, names[0]);
            asking.client.connect().await.unwrap();
            let last = exchange.ledger().last_traded_at().unwrap();
            let told = asking.client.time().await.unwrap();
            assert!((0..60_000).contains(&(told.at.0 - last.0)), "{told:?} after {last:?}");
            assert_eq!(told.used_weight, Some(exchange.stats().rest_weight));
            assert_eq!(asking.client.used_weight(), told.used_weight);

            let listed = asking.client.listings().await.unwrap();
            let told: Vec<_> = listed.iter().map(|one| (one.symbol.as_str(), one.is_trading())).collect();
            assert_eq!(told, names.map(|name| (name, true)));
            // A contract of bitcoin is 100 dollars, any other 10.
            let size = |size| (market == Market::CoinM).then_some(size);
            let sizes: Vec<_> = listed.iter().map(|one| one.contract_size).collect();
            assert_eq!(sizes, [size(100), size(10)]);
            assert_eq!(asking.client.used_weight(), Some(exchange.stats().rest_weight));
            assert!(asking.newest().await.is_ok());
            assert_eq!(asking.dialed(), 1);
            stopped_in_peace(exchange).await;
        }
    })
    .await;
}

#[tokio::test]
async fn refusals_of_the_time_and_the_listings_are_those_of_trades() {
    story(async {
        let exchange = exchange([Act::SkipIds(1)]).await;
        let mut asking = Asking::of(&exchange, "BTCUSDT");
        let refuse = |status| Act::RefuseRest { status, retry_after: Some("0".into()), times: 2 };
        for status in [429, 451, 503] {
            exchange.play(refuse(status)).await;
            for error in
                [asking.client.time().await.unwrap_err(), asking.client.listings().await.unwrap_err()]
            {
                match (&error, status) {
                    (RestError::TooManyRequests { status: 429, retry_after: Some(_), .. }, 429)
                    | (RestError::Refused { status: 451, .. }, 451) => {}
                    (RestError::Passing(why), 503) => assert!(why.contains("503"), "{why}"),
                    _ => panic!("{error:?} for {status}"),
                }
            }
        }
        exchange.play(Act::CutRest(2)).await;
        assert!(matches!(asking.client.time().await, Err(RestError::Passing(_))));
        assert!(matches!(asking.client.listings().await, Err(RestError::Passing(_))));
        assert!(asking.client.time().await.is_ok());
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn listings_may_be_longer_than_a_page_but_not_endless() {
    story(async {
        let mut server = Played::locally().await;
        let asking = Asking::at(&format!("http://{}", server.address), Market::Spot);
        let mut asking = asking.limited(PATIENT);
        let row = r#"{"symbol":"BTCUSDT","status":"TRADING","permissionSets":[["SPOT"]]},"#;
        let long = format!(r#"{{"symbols":[{}{{"symbol":"LAST"}}]}}"#, row.repeat(10_000));
        let playing = async {
            let (mut socket, head) = server.next().await;
            assert!(head.starts_with("GET /api/v3/exchangeInfo HTTP/1.1\r\n"), "{head}");
            say(&mut socket, &answer("200 OK", &long)).await;
            assert!(heard(&mut socket).await.starts_with("GET /api/v3/time HTTP/1.1\r\n"));
            say(&mut socket, &answer("200 OK", &long)).await;
            // What is no time is not waited for: nor is what is no list.
            for _ in 0..2 {
                let (mut socket, _) = server.next().await;
                say(&mut socket, "HTTP/1.1 200 OK\r\n\r\n").await;
                endlessly(&mut socket, &[b' '; 65_536], None).await;
            }
        };
        let asks = async {
            assert_eq!(asking.client.listings().await.unwrap().len(), 10_001);
            let long = asking.client.time().await.unwrap_err();
            assert!(long.to_string().contains("4096 bytes"), "{long}");
            let long = asking.client.time().await.unwrap_err();
            assert!(long.to_string().contains("4096 bytes"), "{long}");
            let long = asking.client.listings().await.unwrap_err();
            assert!(long.to_string().contains("33554432 bytes"), "{long}");
        };
        tokio::join!(playing, asks);
        assert_eq!(asking.dialed(), 3);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_made_ready_is_used_for_the_next_question() {
    let exchange = btcusdt().in_memory().start().await.unwrap();
    exchange.play(Act::SkipIds(1)).await;
    let mut asking = Asking::over(exchange.network(), &exchange.rest_url(), exchange.market());
    for (rest, dialed) in [(0, 1), (29, 1), (31, 2)] {
        tokio::time::sleep(Duration::from_secs(rest)).await;
        asking.client.connect().await.unwrap();
        assert_eq!(asking.dialed(), dialed, "after {rest} s");
        assert!(asking.client.time().await.is_ok());
        assert_eq!(asking.dialed(), dialed, "after {rest} s");
    }
    stopped_in_peace(exchange).await;
    let error = asking.client.connect().await;
    assert!(error.is_ok(), "a connection that rests is taken for good");
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert!(matches!(asking.client.connect().await, Err(RestError::Passing(_))));
}

/// A port whose connections are played by hand: each has heard one question, whose head it is given.
struct Played {
    address: SocketAddr,
    connections: mpsc::Receiver<(TcpStream, String)>,
}

impl Played {
    async fn on(address: impl Into<std::net::IpAddr>) -> std::io::Result<Self> {
        let listener = TcpListener::bind((address.into(), 0)).await?;
        let address = listener.local_addr()?;
        let (sender, connections) = mpsc::channel(8);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let head = heard(&mut socket).await;
                if sender.send((socket, head)).await.is_err() {
                    break;
                }
            }
        });
        Ok(Self { address, connections })
    }

    async fn locally() -> Self {
        Self::on(Ipv4Addr::LOCALHOST).await.expect("loopback has a free port")
    }

    async fn next(&mut self) -> (TcpStream, String) {
        self.connections.recv().await.expect("the port is open")
    }
}

async fn heard(socket: &mut TcpStream) -> String {
    let (mut head, mut space) = (Vec::new(), [0; 1024]);
    while !head.ends_with(b"\r\n\r\n") {
        let taken = socket.read(&mut space).await.expect("a client that asks");
        if taken == 0 {
            break;
        }
        head.extend_from_slice(&space[..taken]);
    }
    String::from_utf8(head).expect("a head is ASCII")
}

async fn say(socket: &mut TcpStream, text: &str) {
    socket.write_all(text.as_bytes()).await.expect("a client that listens");
}

/// An answer with the length of its body.
fn answer(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Goes on for ever, or until nobody listens.
async fn endlessly(socket: &mut TcpStream, bytes: &[u8], every: Option<Duration>) {
    while socket.write_all(bytes).await.is_ok() {
        if let Some(pause) = every {
            tokio::time::sleep(pause).await;
        }
    }
}

/// Asks a server that begins like this and then goes on for ever.
async fn asked_of(
    deadline: Duration,
    begin: &'static str,
    bytes: &'static [u8],
    every: Option<Duration>,
) -> RestError {
    let mut server = Played::locally().await;
    let mut asking = Asking::at(&format!("http://{}", server.address), Market::UsdM).limited(deadline);
    let playing = async {
        let (mut socket, _) = server.next().await;
        say(&mut socket, begin).await;
        endlessly(&mut socket, bytes, every).await;
        // It was let go. The next one is as good as any.
        let (mut socket, _) = server.next().await;
        say(&mut socket, &answer("200 OK", "[]")).await;
    };
    let asks = async {
        let error = asking.newest().await.unwrap_err();
        asking = asking.limited(Duration::from_secs(60));
        assert_eq!(asking.newest().await.unwrap().trades, []);
        assert_eq!(asking.dialed(), 2);
        error
    };
    tokio::join!(playing, asks).1
}

const DRIP: Option<Duration> = Some(Duration::from_millis(20));
/// So long that only a limit can end it first.
const PATIENT: Duration = Duration::from_secs(600);

#[tokio::test]
async fn a_server_that_drips_is_left_when_its_time_is_over() {
    story(async {
        let soon = Duration::from_millis(500);
        let long = "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n[";
        let (head, body) =
            tokio::join!(asked_of(soon, "HTTP/1.1 200 OK\r\n", b"x", DRIP), asked_of(soon, long, b" ", DRIP));
        for error in [head, body] {
            assert!(matches!(&error, RestError::Passing(why) if why.ends_with("within 500ms")), "{error:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_never_ends_is_left_at_the_limit() {
    story(async {
        let bare = "HTTP/1.1 200 OK\r\n\r\n";
        let announced = "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n";
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (bare, announced, chunked, head) = tokio::join!(
            asked_of(PATIENT, bare, &[b' '; 4096], None),
            asked_of(PATIENT, announced, &[b' '; 4096], None),
            asked_of(PATIENT, chunked, b"10\r\n[[[[[[[[[[[[[[[[\r\n", None),
            asked_of(PATIENT, "HTTP/1.1 200 OK\r\n", b"X-Header: words, words, words\r\n", None),
        );
        for error in [bare, announced, chunked] {
            assert!(matches!(&error, RestError::Passing(why) if why.contains("65536 bytes")), "{error:?}");
        }
        assert!(matches!(&head, RestError::Passing(why) if why.contains("no whole answer")), "{head:?}");
    })
    .await;
}

#[tokio::test]
async fn a_limit_is_heeded_even_when_its_words_never_end() {
    story(async {
        let head = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nX-MBX-USED-WEIGHT-1M: 2400\r\n\r\n";
        let (dripped, endless) = tokio::join!(
            asked_of(Duration::from_secs(4), head, b" ", DRIP),
            asked_of(PATIENT, head, &[b' '; 4096], None)
        );
        for error in [dripped, endless] {
            let RestError::TooManyRequests { status, retry_after, used_weight, .. } = error else {
                panic!("{error:?}")
            };
            let heeded = (status, retry_after, used_weight);
            assert_eq!(heeded, (429, Some(Duration::from_secs(7)), Some(2_400)));
        }
    })
    .await;
}

#[tokio::test]
async fn the_end_of_a_ban_is_read_from_the_words() {
    story(async {
        let mut server = Played::locally().await;
        let mut asking = Asking::at(&format!("http://{}", server.address), Market::UsdM);
        let body =
            r#"{"code":-1003,"msg":"Way too many requests; IP(203.0.113.7) banned until 1795132800123."}"#;
        let playing = async {
            let (mut socket, _) = server.next().await;
            say(&mut socket, &answer("418 I'm a teapot", body)).await;
            // Kept open: what was read to its end is good for another question.
            assert!(heard(&mut socket).await.starts_with("GET /fapi/v1/aggTrades?symbol=BTCUSDT&limit=1 "));
            say(&mut socket, &answer("200 OK", "[]")).await;
        };
        let (refused, ()) = tokio::join!(
            async {
                let refused = asking.newest().await.unwrap_err();
                assert!(asking.newest().await.is_ok());
                refused
            },
            playing
        );
        let RestError::TooManyRequests { banned_until, message, .. } = refused else { panic!("{refused:?}") };
        assert_eq!(banned_until, Some(UnixMillis(1_795_132_800_123)));
        assert!(!message.contains("203.0.113.7"), "{message}");
        assert_eq!(asking.dialed(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_ended_while_it_rested_is_replaced_unnoticed() {
    story(async {
        let mut server = Played::locally().await;
        let mut asking = Asking::at(&format!("http://{}", server.address), Market::UsdM);
        let playing = async {
            for _ in 0..3 {
                let (mut socket, _) = server.next().await;
                say(&mut socket, &answer("200 OK", "[]")).await;
            }
        };
        let asks = async {
            for _ in 0..3 {
                assert_eq!(asking.newest().await.unwrap().trades, []);
            }
        };
        tokio::join!(playing, asks);
        assert_eq!(asking.dialed(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_hangs_up_on_every_question_is_asked_once() {
    story(async {
        let mut server = Played::locally().await;
        let mut asking = Asking::at(&format!("http://{}", server.address), Market::UsdM);
        let playing = async { drop(server.next().await) };
        let (refused, ()) = tokio::join!(asking.newest(), playing);
        assert!(matches!(refused, Err(RestError::Passing(_))), "{refused:?}");
        assert_eq!(asking.dialed(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_question_that_is_given_up_leaves_a_client_that_can_ask_another() {
    story(async {
        let mut server = Played::locally().await;
        let mut asking = Asking::at(&format!("http://{}", server.address), Market::UsdM);
        let half = async {
            let (mut socket, _) = server.next().await;
            say(&mut socket, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[").await;
            socket
        };
        let socket = tokio::select! {
            answered = asking.newest() => panic!("{answered:?} of half an answer"),
            socket = half => socket,
        };
        let playing = async {
            let (mut socket, _) = server.next().await;
            say(&mut socket, &answer("200 OK", "[]")).await;
        };
        let (page, ()) = tokio::join!(asking.newest(), playing);
        assert_eq!(page.unwrap().trades, []);
        assert_eq!(asking.dialed(), 2);
        drop(socket);
    })
    .await;
}

#[tokio::test]
async fn a_prefix_and_an_address_in_brackets_are_asked_as_they_are_written() {
    story(async {
        let Ok(mut server) = Played::on(Ipv6Addr::LOCALHOST).await else {
            println!("skipped: this machine has no IPv6");
            return;
        };
        let base = format!("http://{}/some/where/", server.address);
        let mut asking = Asking::at(&base, Market::Spot);
        let playing = async {
            let (mut socket, head) = server.next().await;
            say(&mut socket, &answer("200 OK", "[]")).await;
            (socket, head)
        };
        let (page, (_socket, head)) = tokio::join!(asking.ask(from_id(3, 1_000)), playing);
        assert_eq!(page.unwrap().trades, []);
        let question = "GET /some/where/api/v3/aggTrades?symbol=BTCUSDT&fromId=3&limit=1000 HTTP/1.1\r\n";
        assert!(head.starts_with(question), "{head}");
        assert!(head.to_ascii_lowercase().contains(&format!("host: {}\r\n", server.address)), "{head}");
    })
    .await;
}

#[tokio::test]
async fn a_redirection_is_not_followed_and_nobody_at_the_port_is_said_so() {
    story(async {
        let mut server = Played::locally().await;
        let url = format!("http://{}", server.address);
        let mut asking = Asking::at(&url, Market::UsdM);
        let playing = async {
            let (mut socket, _) = server.next().await;
            let head = format!("301 Moved\r\nLocation: {url}/fapi/v1/aggTrades?token=s3cret");
            say(&mut socket, &answer(&head, "")).await;
        };
        let (refused, ()) = tokio::join!(asking.newest(), playing);
        let refused = refused.unwrap_err();
        assert!(matches!(refused, RestError::Refused { status: 301, .. }), "{refused:?}");
        assert!(!refused.to_string().contains("s3cret"));
        assert_eq!(asking.dialed(), 1);

        let exchange = exchange([]).await;
        let mut asking = Asking::of(&exchange, "BTCUSDT");
        stopped_in_peace(exchange).await;
        let refused = asking.newest().await.unwrap_err();
        assert!(refused.to_string().contains("cannot connect to 127.0.0.1"), "{refused}");
    })
    .await;
}
