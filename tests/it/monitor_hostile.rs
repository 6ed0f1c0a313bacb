//! What an exchange, or somebody in between, should never send: every kind is counted in a counter of its own, the
//! numbers stay what they are, and the connection lives on.

use cvd_stream::config::Config;
use cvd_stream::decode::{Control, Message, decode};
use cvd_stream::exchange::Act;
use cvd_stream::metrics::MonitoringMetrics;
use cvd_stream::queue::QueueLimits;
use cvd_stream::units::QtyDelta;

use crate::support::*;

const FOREIGN: &str =
    r#"{"e":"aggTrade","E":1,"s":"DOGEUSDT","a":1,"p":"1","q":"1","f":1,"l":1,"T":1,"m":true}"#;
const STRING_M: &str =
    r#"{"e":"aggTrade","E":1,"s":"BTCUSDT","a":1,"p":"1","q":"1","f":1,"l":1,"T":1,"m":"false"}"#;
const KLINE: &str = r#"{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":1,"s":"BTCUSDT"}}"#;
const ACK: &str = r#"{"result":null,"id":9}"#;
const REFUSAL: &str = r#"{"code":2,"msg":"Invalid request: unknown \u001b[31mstream","id":9}"#;

#[tokio::test]
async fn each_kind_of_message_has_its_own_counter_and_none_moves_the_numbers() {
    story(async {
        let frame = |text: &str| Act::Frame(text.into());
        let exchange = exchange([
            Act::Trades(400),
            frame("hello"),
            frame(""),
            frame("{}"),
            frame("{\"e\":\"aggTrade\""),
            frame(STRING_M),
            frame(&"x".repeat(70_000)),
            frame(ACK),
            frame(REFUSAL),
            frame(KLINE),
            frame(FOREIGN),
            frame(FOREIGN),
            Act::ZeroQty(1),
            Act::Binary(b"\x00\xff{}".to_vec()),
            Act::Trades(400),
        ])
        .await;
        let monitor = Monitor::of(&exchange);
        monitor.trades.reach(800).await;
        let ended = monitor.stop().await.unwrap();
        let expected = MonitoringMetrics {
            applied_trades: 800,
            total_messages: 800 + 13,
            parse_errors: 7,
            bad_points: 1,
            unrequested_trades: 2,
            control_messages: 2,
            other_messages: 1,
            suppressed_warnings: ended.summary.metrics.suppressed_warnings,
            ..MonitoringMetrics::default()
        };
        assert_eq!(ended.summary.metrics, expected);
        let lane = &ended.summary.lanes[0];
        let (btc, ledger) = (symbol("BTCUSDT"), exchange.ledger());
        assert_eq!((lane.trades, lane.reading.cvd), (800, ledger.cvd(&btc)));
        assert_eq!(
            (lane.coverage.first_id, lane.coverage.last_id),
            (ledger.first_id(&btc), ledger.last_id(&btc))
        );
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn text_that_is_not_utf_8_ends_the_session_and_only_that() {
    story(async {
        let exchange = exchange([
            Act::Trades(50),
            Act::Garbage(vec![b'{', 0xff, 0xfe, b'}']),
            Act::WaitForConnection(2),
            Act::Trades(50),
            Act::Garbage(vec![0xc3]),
            Act::WaitForConnection(3),
            Act::Trades(50),
        ])
        .await;
        let monitor = Monitor::of(&exchange);
        monitor.trades.reach(150).await;
        let ended = monitor.stop().await.unwrap();
        ended.assert_equals_ledger(&exchange, "BTCUSDT");
        assert_eq!(ended.summary.metrics.reconnect_count, 2);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn a_broken_websocket_frame_ends_the_session_and_only_that() {
    story(async {
        // Reserved bits; an unknown opcode; a continuation of nothing; a message of 2^62 bytes; an oversized ping.
        let broken = [
            vec![0xf1, 0x01, b'x'],
            vec![0x83, 0x00],
            vec![0x80, 0x01, b'x'],
            vec![0x81, 127, 0x40, 0, 0, 0, 0, 0, 0, 0],
            [&[0x89, 126, 0x01, 0x00][..], &[0; 256]].concat(),
        ];
        let mut acts = vec![Act::Trades(10)];
        for (session, bytes) in (2..).zip(broken) {
            acts.extend([Act::Raw(bytes), Act::WaitForConnection(session), Act::Trades(10)]);
        }
        let exchange = exchange(acts).await;
        let monitor = Monitor::of(&exchange);
        monitor.trades.reach(60).await;
        let ended = monitor.stop().await.unwrap();
        ended.assert_equals_ledger(&exchange, "BTCUSDT");
        assert_eq!(ended.summary.metrics.reconnect_count, 5);
        stopped_in_peace(exchange).await;
    })
    .await;
}

/// At full speed the socket is always ready; the clock must be looked at all the same.
#[tokio::test]
async fn a_flood_without_a_trade_in_it_is_a_stream_without_data() {
    story(async {
        let exchange = exchange([]).await;
        let heartbeat_timeout = std::time::Duration::from_millis(300);
        let monitor = Monitor::with(Config { heartbeat_timeout, ..config(&exchange.stream_url()) });
        let flood = framed(&vec![KLINE.to_owned(); 5_000]);
        while exchange.connections() < 2 {
            exchange.play(Act::Raw(flood.clone())).await;
        }
        // The exchange knows of a connection before we do; a trade over it shows that we do.
        exchange.play(Act::Trades(1)).await;
        monitor.trades.reach(1).await;
        let metrics = monitor.stop().await.unwrap().summary.metrics;
        assert!(metrics.reconnect_count >= 1 && metrics.other_messages >= 5_000, "{metrics:?}");
        assert_eq!(metrics.other_messages + metrics.queue_dropped + 1, metrics.total_messages);
        stopped_in_peace(exchange).await;
    })
    .await;
}

/// Ten million bytes: half random text, half frames with a few bytes changed.
#[tokio::test]
async fn ten_megabytes_of_random_and_mutated_frames_are_counted_to_the_last_one() {
    story(async {
        let mut dice = fastrand::Rng::with_seed(20261121);
        let (mut texts, mut bytes) = (Vec::new(), 0);
        while bytes < 10_000_000 {
            let text = if bytes < 5_000_000 { random_text(&mut dice) } else { mutated(&mut dice) };
            bytes += text.len();
            texts.push(text);
        }
        let mut expected = MonitoringMetrics::default();
        for text in &texts {
            expected.total_messages += 1;
            match decode(text.as_bytes()) {
                Message::Trade { symbol, .. } if symbol == "BTCUSDT" => expected.applied_trades += 1,
                Message::Trade { .. } => expected.unrequested_trades += 1,
                Message::Control(Control::Ack { .. } | Control::Error { .. }) => {
                    expected.control_messages += 1
                }
                Message::Other { .. } => expected.other_messages += 1,
                Message::Malformed(_) => expected.parse_errors += 1,
            }
        }
        // The mutations must reach every branch, else this proves little.
        assert!(expected.parse_errors > 10_000 && expected.applied_trades > 1_000, "{expected:?}");
        assert!(expected.unrequested_trades > 10 && expected.other_messages > 10, "{expected:?}");

        let exchange = btcusdt().no_server_ping().start().await.unwrap();
        let queue = QueueLimits { frames: 1 << 20, bytes: 1 << 30 };
        let monitor = Monitor::with(Config { queue, ..config(&exchange.stream_url()) });
        for texts in texts.chunks(200) {
            exchange.play(Act::Raw(framed(texts))).await;
        }
        exchange.play(Act::Trades(10)).await;
        let last = exchange.ledger().last_id(&symbol("BTCUSDT"));
        monitor.trades.until(|seen| seen.last().map(|seen| seen.trade.id) == last).await;
        let ended = monitor.stop().await.unwrap();

        let told = ended.summary.metrics;
        let kinds = |metrics: &MonitoringMetrics| {
            let MonitoringMetrics { total_messages, parse_errors, unrequested_trades, .. } = *metrics;
            (
                total_messages,
                parse_errors,
                unrequested_trades,
                metrics.control_messages,
                metrics.other_messages,
            )
        };
        expected.total_messages += 10;
        expected.applied_trades += 10;
        assert_eq!(kinds(&told), kinds(&expected));
        // Mutated ids repeat, jump and go back: whatever is not applied has a name.
        let fates = [told.applied_trades, told.bad_points, told.duplicate_trades, told.implausible_trades];
        assert_eq!(fates.iter().sum::<u64>(), expected.applied_trades, "{told:?}");
        let lane = &ended.summary.lanes[0];
        let epoch = ended.trades.iter().rev().take(lane.ids_seen as usize);
        let epoch: Vec<_> = epoch.filter(|seen| Some(seen.trade.id) >= lane.coverage.first_id).collect();
        let sum = epoch.iter().map(|seen| seen.trade.delta().units()).sum();
        assert_eq!(lane.reading.cvd, QtyDelta::from_units(sum));
        stopped_in_peace(exchange).await;
    })
    .await;
}

/// UTF-8 of every width, control characters and JSON's own included.
fn random_text(dice: &mut fastrand::Rng) -> String {
    let length = if dice.u8(..) == 0 { dice.usize(..100_000) } else { dice.usize(..600) };
    let character = |dice: &mut fastrand::Rng| match dice.u8(..8) {
        0..=3 => char::from(dice.u8(..0x80)),
        4 => char::from(*dice.choice(b"{}[]\":,0123456789eE+-.\\").expect("not empty")),
        _ => dice.char(..),
    };
    (0..length).map(|_| character(dice)).collect()
}

/// A good frame, or one with a byte or two replaced, removed, doubled, or its end cut off.
fn mutated(dice: &mut fastrand::Rng) -> String {
    let (id, qty, side) = (dice.u32(..), dice.u16(1..), dice.bool());
    let trade = format!(
        "{{\"e\":\"aggTrade\",\"E\":1795132800123,\"a\":{id},\"s\":\"BTCUSDT\",\"p\":\"64339.20\",\"q\":\"0.{qty}\",\
         \"f\":1,\"l\":2,\"T\":1795132800100,\"m\":{side}}}"
    );
    let wrapped = format!("{{\"stream\":\"btcusdt@aggTrade\",\"data\":{trade}}}");
    let mut bytes = if dice.bool() { wrapped } else { trade }.into_bytes();
    for _ in 0..dice.u8(0..3) {
        let at = dice.usize(..bytes.len());
        match dice.u8(..5) {
            0 | 1 => bytes[at] = dice.u8(0x20..0x7f),
            2 => drop(bytes.remove(at)),
            3 => bytes.insert(at, bytes[at]),
            _ if dice.u8(..4) == 0 => bytes.truncate(at.max(1)),
            _ => bytes[at] ^= 1 << dice.u8(..7),
        }
    }
    String::from_utf8(bytes).expect("every byte stays below 0x80")
}

/// Texts as unmasked WebSocket messages, one after another.
fn framed(texts: &[String]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for text in texts {
        match text.len() {
            length @ 0..=125 => bytes.extend([0x81, length as u8]),
            length @ 126..=0xffff => {
                bytes.extend([0x81, 126]);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => {
                bytes.extend([0x81, 127]);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend(text.as_bytes());
    }
    bytes
}
