//! Who is followed: patterns by what the exchange lists, and what comes and goes while it runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cvd_stream::app::App;
use cvd_stream::clock::Clock;
use cvd_stream::config::Config;
use cvd_stream::exchange::{Act, AtEnd, Exchange, Listing, Script};
use cvd_stream::feed::endpoint::Endpoint;
use cvd_stream::feed::{Network, SystemNetwork};
use cvd_stream::repair::RestError;
use cvd_stream::repair::rest::{RestBase, RestClient};
use cvd_stream::roster::{Asking, Listings, Roster, RosterSettings, Selection, Selector, ask_listings};
use cvd_stream::snapshot::{Instrument, Market, Stamp};
use cvd_stream::source::RosterChange;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::support::*;

fn client(network: Arc<dyn Network>, exchange: &Exchange) -> (Market, RestClient) {
    let base = RestBase::parse(&exchange.rest_url(), false).expect("an address on this machine");
    (exchange.market(), RestClient::new(network, base, exchange.market()))
}

fn over_sockets(exchange: &Exchange) -> (Market, RestClient) {
    client(Arc::new(SystemNetwork::default()), exchange)
}

fn selection(wanted: &str) -> Selection {
    Selection { wanted: Selector::parse_list(wanted, Market::UsdM).unwrap(), ..Selection::default() }
}

fn told(asking: &Asking<'_>) -> String {
    match asking {
        Asking::Asked { market } => format!("asked {market}"),
        Asking::Failed { wait, .. } => format!("failed {}", wait.as_secs()),
        Asking::Listed { market, symbols } => format!("{market} lists {symbols}"),
    }
}

fn names(instruments: &[Instrument]) -> Vec<String> {
    instruments.iter().map(Instrument::to_string).collect()
}

#[tokio::test]
async fn patterns_mean_what_each_market_lists() {
    story(async {
        let futures = Exchange::builder().symbol("BTCUSDT").symbol("BTCUSDT_261225").symbol("ETHUSDC");
        let mut shares = Listing::new(symbol("TSLAUSDT"));
        shares.contract_type = "TRADIFI_PERPETUAL".into();
        let mut halted = Listing::new(symbol("LUNAUSDT"));
        halted.status = "SETTLING".into();
        let futures = futures.listing(shares).listing(halted).start().await.unwrap();
        let spot = Exchange::builder().market(Market::Spot).symbol("BTCUSDT").symbol("ETHBTC");
        let spot = spot.start().await.unwrap();
        let coins = Exchange::builder().market(Market::CoinM).symbol("BTCUSD_PERP").symbol("ETHUSD_PERP");
        let coins = coins.start().await.unwrap();

        let mut clients = [&futures, &spot, &coins].map(over_sockets);
        let mut heard = Vec::new();
        let asked = ask_listings(&mut clients, Clock::system(), |asking| heard.push(told(&asking)), std::future::pending());
        let listings = asked.await.unwrap().expect("nobody stopped it");
        let expected =
            ["asked usdm", "usdm lists 5", "asked spot", "spot lists 2", "asked coinm", "coinm lists 2"];
        assert_eq!(heard, expected);

        let meant = |wanted: &str, contracts: &str| {
            let selection = Selection { contracts: contracts.parse().unwrap(), ..selection(wanted) };
            let resolution = selection.resolve(&listings);
            assert_eq!(resolution.fault(), None);
            names(&resolution.instruments).join(" ")
        };
        assert_eq!(meant("*USDT,spot:*,coinm:BTC*", "perpetual"), "usdm:BTCUSDT spot:BTCUSDT spot:ETHBTC coinm:BTCUSD_PERP");
        assert_eq!(meant("BTC*", "dated"), "usdm:BTCUSDT_261225");
        assert_eq!(meant("*USDT", "perpetual,tradfi"), "usdm:TSLAUSDT usdm:BTCUSDT");
        let fault = selection("BTCUSD,TESLA*").resolve(&listings).fault().unwrap();
        assert_eq!(
            fault,
            "the exchange lists no BTCUSD on usdm; did you mean BTCUSDT or BTCUSDT_261225?; usdm:TESLA* matches nothing that trades"
        );

        let endpoints = vec![Endpoint::bare(Market::CoinM, false)];
        let wanted = selection("coinm:*");
        let settings =
            RosterSettings { selection: wanted.clone(), streams_per_connection: 200, endpoints, may_change: false };
        let roster = Roster::new(settings, wanted.resolve(&listings).instruments, listings.clone()).unwrap();
        let sizes: Vec<_> = roster.seats().iter().map(|seat| seat.contract_size).collect();
        assert_eq!(sizes, [Some(100), Some(10)]);
        for exchange in [futures, spot, coins] {
            stopped_in_peace(exchange).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_question_is_asked_again_ever_more_rarely_until_it_is_answered() {
    let exchange = btcusdt().in_memory().start().await.unwrap();
    exchange.play(Act::RefuseRest { status: 503, retry_after: None, times: 6 }).await;
    let mut clients = [client(exchange.network(), &exchange)];
    let (mut heard, asked) = (Vec::new(), Instant::now());
    let listings = ask_listings(
        &mut clients,
        Clock::system(),
        |asking| heard.push(told(&asking)),
        std::future::pending(),
    );
    assert!(listings.await.unwrap().unwrap().knows(Market::UsdM));
    let expected = [
        "asked usdm",
        "failed 1",
        "failed 2",
        "failed 4",
        "failed 8",
        "failed 16",
        "failed 30",
        "usdm lists 1",
    ];
    assert_eq!(heard, expected);
    assert_eq!(asked.elapsed().as_secs(), 61);

    // Asking during a ban would be a violation.
    let ban = |status, times| Act::RefuseRest { status, retry_after: Some("100".into()), times };
    exchange.play(ban(429, 1)).await;
    let asked = Instant::now();
    let listings = ask_listings(&mut clients, Clock::system(), |_| {}, std::future::pending()).await;
    assert!(listings.unwrap().is_some());
    assert_eq!(asked.elapsed().as_secs(), 100);
    stopped_in_peace(exchange).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_is_asked_to_stop_asks_no_more_and_a_refusal_for_good_ends_it() {
    let exchange = btcusdt().in_memory().start().await.unwrap();
    exchange.play(Act::RefuseRest { status: 503, retry_after: None, times: 100 }).await;
    let mut clients = [client(exchange.network(), &exchange)];
    let stop = tokio::time::sleep(Duration::from_secs(300));
    let stopped = ask_listings(&mut clients, Clock::system(), |_| {}, stop).await.unwrap();
    assert!(stopped.is_none());

    exchange.play(Act::RefuseRest { status: 503, retry_after: None, times: 0 }).await;
    exchange.play(Act::RefuseRest { status: 451, retry_after: None, times: 1 }).await;
    let refused =
        ask_listings(&mut clients, Clock::system(), |_| {}, std::future::pending()).await.unwrap_err();
    assert!(matches!(refused.cause, RestError::Refused { status: 451, .. }));
    assert_eq!(
        refused.to_string(),
        "what usdm lists cannot be asked, and without that no pattern means anything: the exchange does not serve this place: run from one that it serves"
    );
    stopped_in_peace(exchange).await;
}

/// `+usdm:NEWUSDT`, `-usdm:LUNAUSDT delisted`
fn short(change: Option<RosterChange>) -> Vec<String> {
    let Some(RosterChange { seats, ended, .. }) = change else { return Vec::new() };
    let joined = seats.iter().map(|seat| format!("+{} {}", seat.instrument, seat.joined.as_str()));
    joined.chain(ended.iter().map(|gone| format!("-{} {}", gone.instrument, gone.why.as_str()))).collect()
}

#[tokio::test]
async fn what_the_exchange_lists_and_delists_joins_and_leaves() {
    story(async {
        let exchange = Exchange::builder().symbol("BTCUSDT").symbol("LUNAUSDT").start().await.unwrap();
        let (_, mut client) = over_sockets(&exchange);
        let endpoint =
            Endpoint::from_url(&format!("{}/market/stream", exchange.stream_base()), None, None, false);
        let wanted = selection("*USDT");
        let mut listings = Listings::of(Market::UsdM, client.listings().await.unwrap());
        let settings = RosterSettings {
            selection: wanted.clone(),
            streams_per_connection: 2,
            endpoints: vec![endpoint.unwrap()],
            may_change: false,
        };
        let mut roster =
            Roster::new(settings, wanted.resolve(&listings).instruments, listings.clone()).unwrap();
        assert_eq!(names(roster.members()), ["usdm:BTCUSDT", "usdm:LUNAUSDT"]);

        exchange.play(Act::List(Listing::new(symbol("NEWUSDT")))).await;
        exchange.play(Act::List(Listing::new(symbol("NEWUSDC")))).await;
        exchange.play(Act::Status(symbol("BTCUSDT"), "HALT".into())).await;
        exchange.play(Act::Status(symbol("LUNAUSDT"), "SETTLING".into())).await;
        listings.replace(Market::UsdM, client.listings().await.unwrap());
        assert_eq!(short(roster.listed(&listings, Stamp::default())), ["+usdm:NEWUSDT listed"]);
        let streams: Vec<_> = roster.plans().into_iter().map(|plan| plan.streams.join(" ")).collect();
        assert_eq!(streams, ["btcusdt@aggTrade lunausdt@aggTrade", "newusdt@aggTrade"]);

        exchange.play(Act::Delist(symbol("LUNAUSDT"))).await;
        listings.replace(Market::UsdM, client.listings().await.unwrap());
        assert_eq!(short(roster.listed(&listings, Stamp::default())), ["-usdm:LUNAUSDT delisted"]);
        assert_eq!(names(roster.members()), ["usdm:BTCUSDT", "usdm:NEWUSDT"]);
        stopped_in_peace(exchange).await;
    })
    .await;
}

/// The settings of a monitor that follows what it is told to, over an address that names nothing.
fn following(exchange: &Exchange, wanted: &str) -> Config {
    let mut config = config(&format!("{}/market/stream", exchange.stream_base()));
    config.print_every = 1;
    config.repair.rest_url =
        Some(RestBase::parse(&exchange.rest_url(), false).expect("an address of this machine"));
    config.symbols.selection = Some(if wanted.is_empty() { Selection::default() } else { selection(wanted) });
    config
}

/// Waits until a monitor has seen so many trades of a symbol, be it later than those that were made before it was there.
async fn seen(monitor: &Monitor, name: &str, count: usize) {
    monitor.trades.until(|trades| trades.iter().filter(|seen| seen.symbol == name).count() >= count).await;
}

/// Waits for the record of a symbol that joins or ends.
async fn told_of(monitor: &Monitor, name: &str, event: &str) -> serde_json::Value {
    let marks = [
        format!("\"symbol\":\"{name}\""),
        format!("\"event\":\"{event}\""),
        "\"type\":\"symbol\"".to_owned(),
    ];
    let line = monitor.records.line_where(|line| marks.iter().all(|mark| line.contains(mark))).await;
    serde_json::from_str(&line).expect("a record is JSON")
}

/// A symbols file that is removed at the end.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        let name = format!("symbols-{name}-{}", std::process::id());
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.0, text).expect("a directory that can be written to");
    }
}

impl Drop for File {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap_or_default();
    }
}

#[tokio::test]
async fn a_changed_file_lets_symbols_join_and_leave_and_nobody_else_notices() {
    story(async {
        let market = Script::default().at_end(AtEnd::Market { per_second: 300 });
        let exchange =
            Exchange::builder().symbol("BTCUSDT").symbol("ETHUSDT").symbol("SOLUSDT").script(market);
        let exchange = exchange.start().await.unwrap();
        let file = File::new("changed");
        file.write("BTCUSDT # the first\nETHUSDT\n");
        let mut config = following(&exchange, "");
        config.symbols.file = Some(file.0.clone());
        let asked = Arc::new(Notify::new());
        let monitor = Monitor::watch(App::new(config).reload_on(Arc::clone(&asked)));
        seen(&monitor, "BTCUSDT", 10).await;
        seen(&monitor, "ETHUSDT", 10).await;

        file.write("BTCUSDT,SOL*\n!ETHUSDT\n");
        asked.notify_one();
        let joined = told_of(&monitor, "SOLUSDT", "joined").await;
        assert_eq!((&joined["reason"], &joined["market"]), (&"asked".into(), &"usdm".into()));
        let ended = told_of(&monitor, "ETHUSDT", "ended").await;
        assert_eq!(ended["reason"], "removed");
        seen(&monitor, "SOLUSDT", 10).await;
        let so_far = monitor.trades.now().iter().filter(|seen| seen.symbol == "BTCUSDT").count();
        seen(&monitor, "BTCUSDT", so_far + 10).await;
        let connections = exchange.connections();

        let monitor = monitor.stop().await.unwrap();
        assert_eq!(connections, 1, "nobody was reconnected");
        monitor.assert_whole(&exchange, "BTCUSDT");
        monitor.assert_whole(&exchange, "SOLUSDT");
        assert_eq!(monitor.gaps(), [""; 0]);
        // The final record of the one that left: all its trades up to there, to the last bit.
        let ended = &ended["ended"];
        let of_eth: Vec<_> = monitor.trades.iter().filter(|seen| seen.symbol == "ETHUSDT").collect();
        let last = of_eth.last().unwrap();
        assert_eq!(ended["cvd"], last.reading.cvd.to_string());
        assert_eq!(ended["last_id"], last.trade.id.0);
        assert_eq!(ended["quality"], "complete");
        let final_record = monitor.last();
        let lanes: Vec<_> =
            final_record["symbols"].as_array().unwrap().iter().map(|lane| lane["symbol"].clone()).collect();
        assert_eq!(lanes, ["BTCUSDT", "SOLUSDT"]);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn a_changed_file_opens_a_connection_where_it_needs_one_more_and_gives_it_up_again() {
    story(async {
        let market = Script::default().at_end(AtEnd::Market { per_second: 300 });
        let exchange = Exchange::builder().symbol("BTCUSDT").symbol("ETHUSDT").script(market);
        let exchange = exchange.start().await.unwrap();
        let file = File::new("connections");
        file.write("BTCUSDT");
        let mut config = Config { streams_per_connection: 1, ..following(&exchange, "") };
        config.symbols.file = Some(file.0.clone());
        let asked = Arc::new(Notify::new());
        let monitor = Monitor::watch(App::new(config).reload_on(Arc::clone(&asked)));
        seen(&monitor, "BTCUSDT", 10).await;
        assert_eq!(exchange.stats().open, 1);

        file.write("BTCUSDT ETHUSDT");
        asked.notify_one();
        seen(&monitor, "ETHUSDT", 10).await;
        assert_eq!(exchange.stats().open, 2);
        file.write("BTCUSDT");
        asked.notify_one();
        told_of(&monitor, "ETHUSDT", "ended").await;
        exchange.wait_for(|stats| stats.open == 1).await;
        let so_far = monitor.trades.now().len();
        monitor.trades.reach(so_far + 10).await;
        assert_eq!(exchange.connections(), 2);

        let monitor = monitor.stop().await.unwrap();
        monitor.assert_whole(&exchange, "BTCUSDT");
        assert_eq!(monitor.gaps(), [""; 0]);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn a_wrong_name_ends_the_run_with_suggestions() {
    story(async {
        let exchange = Exchange::builder().symbol("BTCUSDT").symbol("ETHUSDT").start().await.unwrap();
        // A plain list begins at once, and ends when the first list of the exchange comes …
        let failed = Monitor::with(following(&exchange, "ETHUSDT,BTCUSD")).end().await.unwrap_err().to_string();
        assert!(failed.contains("the exchange lists no BTCUSD on usdm; did you mean BTCUSDT?"), "{failed}");
        // … and with a pattern it does not begin.
        let failed = Monitor::with(following(&exchange, "ETH*,BTCUSD,DOGE*")).end().await.unwrap_err().to_string();
        assert_eq!(
            failed,
            "the exchange lists no BTCUSD on usdm; did you mean BTCUSDT?; usdm:DOGE* matches nothing that trades"
        );
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_listed_joins_a_pattern_and_what_is_delisted_ends_with_its_final_record() {
    let exchange = Exchange::builder().symbol("BTCUSDT").symbol("LUNAUSDT").in_memory();
    let market = Script::default().at_end(AtEnd::SlowMarket { every: Duration::from_secs(5) });
    let exchange = exchange.script(market).start().await.unwrap();
    let monitor = Monitor::simulated(&exchange, |config| {
        *config = Config { backoff_max: config.backoff_max, ..following(&exchange, "*") };
    });
    seen(&monitor, "LUNAUSDT", 10).await;
    exchange.play(Act::List(Listing::new(symbol("NEWUSDT")))).await;
    // Within the hour.
    let joined = told_of(&monitor, "NEWUSDT", "joined").await;
    assert_eq!(joined["reason"], "listed");
    seen(&monitor, "NEWUSDT", 10).await;

    exchange.play(Act::Delist(symbol("LUNAUSDT"))).await;
    let last = exchange.ledger().trades(&symbol("LUNAUSDT")).last().unwrap().id;
    let began = Instant::now();
    let ended = told_of(&monitor, "LUNAUSDT", "ended").await;
    assert_eq!(ended["reason"], "delisted");
    assert_eq!(
        (&ended["ended"]["last_id"], &ended["ended"]["quality"]),
        (&last.0.into(), &"complete".into())
    );
    let took = began.elapsed();
    assert!(took > Duration::from_secs(600), "a list may be wrong, so that two have to say it: {took:?}");

    // Further lists without it end nothing, and when it trades again it joins again, with numbers from zero.
    tokio::time::sleep(Duration::from_secs(7_500)).await;
    let before = monitor.trades.now().iter().filter(|seen| seen.symbol == "LUNAUSDT").count();
    exchange.play(Act::List(Listing::new(symbol("LUNAUSDT")))).await;
    assert_eq!(told_of(&monitor, "LUNAUSDT", "joined").await["reason"], "listed");
    seen(&monitor, "LUNAUSDT", before + 10).await;
    let trades = monitor.trades.now();
    let first = trades.iter().filter(|seen| seen.symbol == "LUNAUSDT").nth(before).unwrap();
    assert_eq!(first.reading.cvd.units().unsigned_abs(), i128::from(first.trade.qty.units()).unsigned_abs());

    let monitor = monitor.stop().await.unwrap();
    monitor.assert_whole(&exchange, "BTCUSDT");
    monitor.assert_whole(&exchange, "NEWUSDT");
    stopped_in_peace(exchange).await;
}

#[tokio::test(start_paused = true)]
async fn a_symbol_that_never_traded_can_be_delisted_without_ending_the_run() {
    let exchange =
        Exchange::builder().symbol("BTCUSDT").symbol("QUIETUSDT").in_memory().start().await.unwrap();
    let monitor = Monitor::simulated(&exchange, |config| {
        *config = Config { backoff_max: config.backoff_max, ..following(&exchange, "*") };
    });
    exchange.play(Act::Trades(3).of(symbol("BTCUSDT"))).await;
    seen(&monitor, "BTCUSDT", 3).await;
    exchange.play(Act::Delist(symbol("QUIETUSDT"))).await;
    let ended = told_of(&monitor, "QUIETUSDT", "ended").await;
    assert_eq!((&ended["reason"], &ended["ended"]["trades"]), (&"delisted".into(), &0.into()));
    exchange.play(Act::Trades(3).of(symbol("BTCUSDT"))).await;
    seen(&monitor, "BTCUSDT", 6).await;
    monitor.stop().await.unwrap().assert_whole(&exchange, "BTCUSDT");
    stopped_in_peace(exchange).await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_connection_gives_some_of_its_symbols_to_an_idle_one_and_nothing_is_lost() {
    // Two connections of three symbols at most: BTC and SOL share the first, ETH and XRP the second.
    let names = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"];
    let exchange = names.iter().fold(Exchange::builder().in_memory(), |builder, name| {
        let mut listing = Listing::new(symbol(name));
        listing.weight = if matches!(*name, "BTCUSDT" | "SOLUSDT") { 50 } else { 1 };
        builder.listing(listing)
    });
    let exchange = exchange.start().await.unwrap();
    let monitor = Monitor::simulated(&exchange, |config| {
        let wanted = following(&exchange, &names.join(","));
        *config =
            Config { streams_per_connection: 3, print_every: 0, backoff_max: config.backoff_max, ..wanted };
    });
    exchange.play(Act::WaitForSymbols).await;
    // More than 40 trades a second in ten minutes, nearly all of them over the first connection.
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(300)).await;
    exchange.play(Act::Trades(26_000)).await;
    monitor.trades.reach(26_000).await;
    let twice = async |trades| {
        let before = exchange.stats().frames_sent;
        exchange.play(Act::Trades(trades)).await;
        exchange.stats().frames_sent - before - trades
    };
    assert_eq!(twice(100).await, 0);
    tokio::time::sleep_until(began + Duration::from_secs(608)).await;
    assert!(twice(100).await > 20, "both carry what moves");
    tokio::time::sleep_until(began + Duration::from_secs(640)).await;
    assert_eq!(twice(100).await, 0);
    monitor.trades.reach(26_300).await;
    assert_eq!(exchange.connections(), 2, "nobody was reconnected");

    let monitor = monitor.stop().await.unwrap();
    for name in names {
        monitor.assert_whole(&exchange, name);
    }
    assert_eq!(monitor.gaps(), [""; 0]);
    stopped_in_peace(exchange).await;
}

#[tokio::test]
async fn three_markets_are_followed_side_by_side() {
    story(async {
        let of = async |market: Market, name: &str| {
            let script = Script::default().at_end(AtEnd::Market { per_second: 200 });
            let exchange = Exchange::builder().market(market).symbol(name).symbol("OTHERUSDT").script(script);
            exchange.start().await.unwrap()
        };
        let usdm = of(Market::UsdM, "BTCUSDT").await;
        let spot = of(Market::Spot, "BTCUSDT").await;
        let coinm = of(Market::CoinM, "BTCUSD_PERP").await;
        let mut config = following(&usdm, "BTCUSDT,spot:BTC*,coinm:BTCUSD_PERP");
        for exchange in [&spot, &coinm] {
            let url = format!("{}/stream", exchange.stream_base());
            let endpoint = Endpoint::from_url(&url, None, Some(exchange.market()), false).unwrap();
            config.other_endpoints.push(endpoint);
            let rest = RestBase::parse(&exchange.rest_url(), false).unwrap();
            config.repair.other_rest_urls.push((exchange.market(), rest));
        }
        let monitor = Monitor::with(config);
        seen(&monitor, "BTCUSD_PERP", 50).await;
        // One of the futures, one of spot.
        seen(&monitor, "BTCUSDT", 200).await;
        let ended = monitor.stop().await.unwrap();
        let lanes = &ended.summary.lanes;
        assert_eq!(
            lanes.iter().map(|lane| lane.market).collect::<Vec<_>>(),
            [Market::UsdM, Market::CoinM, Market::Spot]
        );
        for (exchange, lane) in [&usdm, &coinm, &spot].into_iter().zip(lanes) {
            let trades = exchange.ledger().trades(&lane.symbol);
            let range = lane.coverage.first_id..=lane.coverage.last_id;
            let inside = trades.iter().filter(|trade| range.contains(&Some(trade.id)));
            let cvd: i128 = inside.map(|trade| trade.delta().units()).sum();
            assert_eq!((lane.reading.cvd.units(), lane.coverage.missing_trades), (cvd, 0), "{}", lane.market);
            assert!(lane.trades > 0);
        }
        for exchange in [usdm, spot, coinm] {
            stopped_in_peace(exchange).await;
        }
    })
    .await;
}
