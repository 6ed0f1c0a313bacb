//! The records as they come: nothing twice, nothing left out, whenever somebody comes and goes.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use cvd_stream::exchange::Act;
use serde_json::Value;

use super::client::*;
use crate::support::*;

/// An event, as it came.
#[derive(Debug, Clone)]
struct Heard {
    id: Option<String>,
    kind: String,
    data: Value,
}

/// Listens behind an event, if one is named, until an event is as it should be, or until the stream ends.
async fn listen(
    address: SocketAddr,
    after: Option<&str>,
    query: &str,
    is_last: impl Fn(&Heard) -> bool + Send + 'static,
) -> Vec<Heard> {
    let after = after.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
    let request =
        format!("GET /api/v1/stream{query} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{after}\r\n");
    let listening = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).expect("somebody listens");
        stream.set_read_timeout(Some(Duration::from_secs(50))).expect("a timeout");
        stream.write_all(request.as_bytes()).expect("it is taken");
        let (mut heard, mut id, mut kind) = (Vec::new(), None, String::new());
        for line in BufReader::new(stream).lines() {
            let line = line.expect("UTF-8, in time");
            if let Some(word) = line.strip_prefix("id: ") {
                id = Some(word.to_owned());
            } else if let Some(word) = line.strip_prefix("event: ") {
                kind = word.to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                let data = serde_json::from_str(data).expect("JSON");
                let event = Heard { id: id.take(), kind: std::mem::take(&mut kind), data };
                let ends = is_last(&event);
                heard.push(event);
                if ends {
                    break;
                }
            }
        }
        heard
    });
    listening.await.expect("the listener does not panic")
}

fn trade(event: &Heard) -> Option<i64> {
    (event.kind == "cvd").then(|| event.data["agg_trade_id"].as_i64().unwrap())
}

fn is_trade(id: i64) -> impl Fn(&Heard) -> bool + Send + 'static {
    move |event| trade(event) == Some(id)
}

const FIRST: i64 = 3_339_472_001;

#[tokio::test]
async fn a_snapshot_comes_first_and_then_every_record_until_the_run_is_over() {
    story(async {
        let exchange = exchange([Act::Trades(50)]).await;
        let (monitor, address) = served(&exchange, |config| config.print_every = 1).await;
        monitor.trades.reach(50).await;
        let symbols = until(address, "/api/v1/symbols", |answer| answer.body.contains("\"trades\":50")).await;
        assert_eq!(symbols.status, 200);
        let listening = tokio::spawn(listen(address, None, "", |_| false));
        until(address, "/metrics", |answer| answer.body.contains("cvd_stream_stream_clients 1\n")).await;
        exchange.play(Act::Trades(30)).await;
        monitor.trades.reach(80).await;
        let ended = monitor.stop().await.unwrap();
        let heard = listening.await.unwrap();

        assert_eq!(heard[0].kind, "snapshot");
        assert_eq!(heard[0].data["trades"], 50);
        let trades: Vec<_> = heard.iter().filter_map(trade).collect();
        assert_eq!(trades, (FIRST + 50..FIRST + 80).collect::<Vec<_>>());
        let last = heard.last().unwrap();
        assert_eq!(last.kind, "final", "the last record is heard");
        assert_eq!(last.data.to_string(), ended.last().to_string());
        // Word for word what the records are, with numbers that leave none out.
        let records = ended.text();
        for event in &heard[1..] {
            let is_it = |line: &str| serde_json::from_str::<Value>(line).unwrap() == event.data;
            assert!(records.lines().any(is_it), "{event:?}");
        }
        let numbers: Vec<u64> = heard.iter().map(number).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
        stopped_in_peace(exchange).await;
    })
    .await;
}

fn number(event: &Heard) -> u64 {
    let id = event.id.as_ref().expect("an id");
    id.split_once('-').expect("an epoch and a number").1.parse().expect("a number")
}

#[tokio::test]
async fn whoever_comes_back_goes_on_behind_the_last_event_and_misses_nothing() {
    story(async {
        let exchange = exchange([Act::Trades(100)]).await;
        let (monitor, address) = served(&exchange, |config| config.print_every = 1).await;
        monitor.trades.reach(100).await;
        until(address, "/api/v1/symbols", |answer| answer.body.contains("\"trades\":100")).await;
        exchange.play(Act::Trades(50)).await;
        let heard = listen(address, None, "", is_trade(FIRST + 119)).await;
        let last = heard.last().unwrap().id.clone().unwrap();
        // It hears what came meanwhile, and no snapshot again.
        exchange.play(Act::Trades(50)).await;
        let again = listen(address, Some(&last), "", is_trade(FIRST + 199)).await;
        let trades: Vec<_> = again.iter().filter_map(trade).collect();
        assert_eq!(trades, (FIRST + 120..FIRST + 200).collect::<Vec<_>>());
        assert!(again.iter().all(|event| event.kind != "snapshot"), "{again:?}");
        // The same by the query, which a browser cannot do otherwise the first time.
        let query = format!("?last_event_id={last}");
        let by_query = listen(address, None, &query, is_trade(FIRST + 199)).await;
        assert_eq!(by_query.iter().filter_map(trade).collect::<Vec<_>>(), trades);
        monitor.stop().await.unwrap();
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn an_event_of_another_run_or_one_that_is_gone_or_made_up_begins_anew_with_a_reset() {
    story(async {
        let exchange = exchange([Act::Trades(100)]).await;
        let (monitor, address) = served(&exchange, |config| config.print_every = 1).await;
        monitor.trades.reach(100).await;
        until(address, "/api/v1/symbols", |answer| answer.body.contains("\"trades\":100")).await;
        let snapshot = get(address, "/api/v1/snapshot?symbol=BTCUSDT").await.json();
        let (epoch, _) = snapshot["event_id"].as_str().unwrap().split_once('-').unwrap();
        for (after, reason) in [
            ("0-5".to_owned(), "other_run"),
            ("nonsense".to_owned(), "other_run"),
            (format!("{epoch}-x"), "other_run"),
            (format!("{epoch}-999999"), "gone"),
            (format!("{epoch}-18446744073709551615"), "gone"),
        ] {
            let heard = listen(address, Some(&after), "", |event| event.kind == "snapshot").await;
            assert_eq!(heard[0].kind, "reset", "{after}");
            assert_eq!(heard[0].data["reason"], reason, "{after}");
            assert_eq!(heard[1].data["trades"], 100, "{after}");
        }
        monitor.stop().await.unwrap();
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn one_symbol_can_be_listened_to_alone() {
    story(async {
        let exchange = btcusdt().symbol("ETHUSDT").script([Act::Trades(40)]).start().await.unwrap();
        let (monitor, address) = served(&exchange, |config| config.print_every = 1).await;
        monitor.trades.reach(40).await;
        until(address, "/api/v1/symbols", |answer| answer.body.contains("ETHUSDT")).await;
        let listening = tokio::spawn(listen(address, None, "?symbol=eth%55sdt", |_| false));
        until(address, "/metrics", |answer| answer.body.contains("cvd_stream_stream_clients 1\n")).await;
        exchange.play(Act::Trades(40)).await;
        monitor.trades.reach(80).await;
        monitor.stop().await.unwrap();
        let heard = listening.await.unwrap();
        assert!(heard.iter().any(|event| trade(event).is_some()), "{heard:?}");
        for event in heard.iter().filter(|event| event.kind == "cvd" || event.kind == "snapshot") {
            assert_eq!(event.data["symbol"], "ETHUSDT");
        }
        assert_eq!(heard.iter().filter(|event| event.kind == "snapshot").count(), 1);
        stopped_in_peace(exchange).await;
    })
    .await;
}
