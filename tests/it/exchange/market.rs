//! A whole market: many symbols, bursts, listings that come and go.

use std::collections::HashMap;

use cvd_stream::exchange::{Act, AtEnd, Exchange, Listing, Script};
use cvd_stream::units::Symbol;
use serde_json::{Value, json};

use super::{ask, connect_to, event, get, ids, signed_units, within};

fn symbol(name: &str) -> Symbol {
    Symbol::new(name).unwrap()
}

#[tokio::test]
async fn a_busy_market_sends_each_trade_to_whoever_carries_it_and_the_ledger_is_exact() {
    let script = [Act::WaitForSymbols, Act::Bursts { n: 3_000, per_second: 30_000 }];
    let exchange =
        Exchange::builder().universe(40).seed(7).wall_clock().script(script).start().await.unwrap();
    let symbols = exchange.listed();
    // One connection names its streams in the URL, the other asks for them.
    let path = |part: &[Symbol]| {
        let streams: Vec<_> =
            part.iter().map(|symbol| format!("{}@aggTrade", symbol.stream_name())).collect();
        format!("/market/stream?streams={}", streams.join("/"))
    };
    let mut first = connect_to(&exchange, &path(&symbols[..10])).await.unwrap();
    let mut second = connect_to(&exchange, "/market/stream").await.unwrap();
    let names: Vec<_> =
        symbols[10..].iter().map(|symbol| format!("{}@aggTrade", symbol.stream_name())).collect();
    assert_eq!(ask(&mut second, json!({"method": "SUBSCRIBE", "params": names, "id": 1})).await["id"], 1);

    let mut sums = HashMap::<String, (i128, u64)>::new();
    for _ in 0..3_000 {
        let event = tokio::select! {
            event = event(&mut first) => event,
            event = event(&mut second) => event,
        };
        let (sum, count) = sums.entry(event["s"].as_str().unwrap().to_owned()).or_default();
        (*sum, *count) = (*sum + signed_units(&event), *count + 1);
    }
    within(exchange.wait_for(|stats| stats.script_finished)).await;
    let ledger = exchange.ledger();
    for symbol in &symbols {
        let (sum, count) = sums.remove(symbol.as_str()).unwrap_or_default();
        assert_eq!((ledger.cvd(symbol).units(), ledger.made(symbol)), (sum, count), "{symbol}");
        assert_eq!(ledger.sent(symbol), count);
    }
    let report = exchange.stop().await.unwrap();
    assert_eq!((report.stats.frames_sent, report.violations), (3_000, vec![]));
}

#[tokio::test]
async fn the_same_seed_gives_a_busy_market_the_same_trades() {
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        let script = [Act::Bursts { n: 300, per_second: 100_000 }];
        let exchange = Exchange::builder().universe(5).seed(seed).script(script).start().await.unwrap();
        let path = exchange.stream_url().replace(&exchange.stream_base(), "");
        let mut client = connect_to(&exchange, &path).await.unwrap();
        let mut trades = Vec::new();
        for _ in 0..300 {
            trades.push(event(&mut client).await);
        }
        exchange.stop().await.unwrap();
        runs.push(trades);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test]
async fn acts_are_played_between_the_events_of_a_busy_market() {
    let script = Script::default().at_end(AtEnd::Bursts { per_second: 20_000 });
    let exchange = Exchange::builder().universe(3).seed(7).wall_clock().script(script).start().await.unwrap();
    let path = exchange.stream_url().replace(&exchange.stream_base(), "");
    let mut client = connect_to(&exchange, &path).await.unwrap();
    event(&mut client).await;
    within(exchange.play(Act::SkipIds(50).of(symbol("ETHUSDT")))).await;
    // The market goes on, with a hole in its ids.
    let mut last = None;
    loop {
        let event = event(&mut client).await;
        if event["s"] == "ETHUSDT" {
            let id = event["a"].as_i64().unwrap();
            if last.replace(id).is_some_and(|last| id != last + 1) {
                break;
            }
        }
    }
    within(exchange.play(Act::Drop)).await;
    let mut client = connect_to(&exchange, &path).await.unwrap();
    event(&mut client).await;
    exchange.stop().await.unwrap();
}

#[tokio::test]
async fn a_write_can_carry_its_time() {
    let script = [Act::Bursts { n: 100, per_second: 100_000 }];
    let exchange =
        Exchange::builder().universe(2).wall_clock().stamp_writes().script(script).start().await.unwrap();
    let path = exchange.stream_url().replace(&exchange.stream_base(), "");
    let mut client = connect_to(&exchange, &path).await.unwrap();
    let mut before = 0;
    for _ in 0..100 {
        let event = event(&mut client).await;
        let written = event["f"].as_i64().unwrap();
        assert_eq!(event["l"], written);
        // Never before the one before, and no earlier than the exchange's own stamp of the trade.
        let traded = event["T"].as_i64().unwrap() * 1_000_000 % 100_000_000_000_000_000;
        assert!(written >= before && written - 100_000_000_000_000_000 >= traded, "{event}");
        before = written;
    }
    exchange.stop().await.unwrap();
}

/// The listing of a symbol, if there is one.
async fn listed(exchange: &Exchange, name: &str) -> Option<Value> {
    let info: Value = serde_json::from_str(&get(exchange, "/fapi/v1/exchangeInfo").await.body).unwrap();
    info["symbols"].as_array().unwrap().iter().find(|listed| listed["symbol"] == name).cloned()
}

#[tokio::test]
async fn a_symbol_can_be_listed_change_its_status_end_and_come_back() {
    let exchange = Exchange::builder().symbol("BTCUSDT").seed(7).start().await.unwrap();
    // Subscribed before it is listed, as whoever reads an announcement would.
    let mut client = connect_to(&exchange, "/market/ws/btcusdt@aggTrade/newusdt@aggTrade").await.unwrap();
    let mut new = Listing::new(symbol("NEWUSDT"));
    (new.first_id, new.contract_type) = (1, "TRADIFI_PERPETUAL".into());
    assert_eq!(listed(&exchange, "NEWUSDT").await, None);

    within(exchange.play(Act::List(new.clone()))).await;
    let entry = listed(&exchange, "NEWUSDT").await.unwrap();
    assert_eq!((&entry["contractType"], &entry["status"]), (&json!("TRADIFI_PERPETUAL"), &json!("TRADING")));
    assert_eq!((&entry["baseAsset"], &entry["marginAsset"]), (&json!("NEW"), &json!("USDT")));
    within(exchange.play(Act::Trades(3).of(symbol("NEWUSDT")))).await;
    assert_eq!(ids(&mut client, 3).await, [1, 2, 3]);

    within(exchange.play(Act::Status(symbol("NEWUSDT"), "SETTLING".into()))).await;
    assert_eq!(listed(&exchange, "NEWUSDT").await.unwrap()["status"], "SETTLING");
    within(exchange.play(Act::Delist(symbol("NEWUSDT")))).await;
    assert_eq!(listed(&exchange, "NEWUSDT").await, None);
    assert_eq!(get(&exchange, "/fapi/v1/aggTrades?symbol=NEWUSDT").await.status(), 400);
    within(exchange.play(Act::Trades(20))).await;
    for _ in 0..20 {
        assert_eq!(event(&mut client).await["s"], "BTCUSDT");
    }

    new.first_id = 1_000;
    within(exchange.play(Act::List(new))).await;
    within(exchange.play(Act::Trades(2).of(symbol("NEWUSDT")))).await;
    assert_eq!(ids(&mut client, 2).await, [1_000, 1_001]);
    assert_eq!(exchange.ledger().made(&symbol("NEWUSDT")), 5);
    let page = get(&exchange, "/fapi/v1/aggTrades?symbol=NEWUSDT&fromId=0").await;
    assert_eq!(serde_json::from_str::<Value>(&page.body).unwrap().as_array().unwrap().len(), 2);
    exchange.stop().await.unwrap();
}

#[tokio::test]
async fn the_listings_read_as_each_market_writes_them() {
    use cvd_stream::snapshot::Market;
    for (market, path, told) in [
        (Market::UsdM, "/fapi/v1/exchangeInfo", ["status", "contractType"]),
        (Market::CoinM, "/dapi/v1/exchangeInfo", ["contractStatus", "contractSize"]),
        (Market::Spot, "/api/v3/exchangeInfo", ["status", "baseAsset"]),
    ] {
        let exchange = Exchange::builder().market(market).universe(2).start().await.unwrap();
        let info: Value = serde_json::from_str(&get(&exchange, path).await.body).unwrap();
        let first = &info["symbols"][0];
        assert!(told.iter().all(|key| !first[key].is_null()), "{first}");
        assert_eq!(first["contractType"].is_null(), market == Market::Spot, "{first}");
        exchange.stop().await.unwrap();
    }
}
