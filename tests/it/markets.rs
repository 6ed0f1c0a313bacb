//! Several markets in one run: one that goes down, and the same again after a restart and from a recording.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cvd_stream::app::App;
use cvd_stream::config::{Config, OutputFormat};
use cvd_stream::exchange::{Act, Exchange, ExchangeBuilder};
use cvd_stream::feed::endpoint::Endpoint;
use cvd_stream::recording::RecordingReader;
use cvd_stream::repair::rest::RestBase;
use cvd_stream::roster::{GroupSpec, Selection, Selector};
use cvd_stream::snapshot::Market;
use cvd_stream::trade::Aggressor;
use rust_decimal::Decimal;
use serde_json::Value;
use tokio::sync::Notify;

use crate::support::*;

/// Three exchanges, one for each market.
struct World([Exchange; 3]);

/// What each of them lists.
const LISTED: [(Market, &[&str]); 3] = [
    (Market::UsdM, &["BTCUSDT", "ETHUSDT"]),
    (Market::Spot, &["BTCUSDT", "SOLUSDT"]),
    (Market::CoinM, &["BTCUSD_PERP", "ETHUSD_PERP"]),
];

impl World {
    /// Each plays these acts.
    async fn of(acts: impl Fn() -> Vec<Act>) -> Self {
        let start = |(market, symbols): (Market, &'static [&'static str])| {
            let builder = Exchange::builder().market(market).seed(5).script(acts());
            let add = |builder: ExchangeBuilder, symbol: &&str| builder.symbol(symbol);
            symbols.iter().fold(builder, add).start()
        };
        let [first, second, third] = LISTED.map(start);
        let listening = "loopback has a free port";
        Self([first.await.expect(listening), second.await.expect(listening), third.await.expect(listening)])
    }

    fn exchange(&self, market: Market) -> &Exchange {
        self.0.iter().find(|exchange| exchange.market() == market).expect("there are all of them")
    }

    /// The settings of a monitor that follows `wanted`.
    fn config(&self, wanted: &str) -> Config {
        let endpoint = |exchange: &Exchange| {
            let path = if exchange.market() == Market::UsdM { "/market/stream" } else { "/stream" };
            let url = exchange.stream_base() + path;
            let endpoint = Endpoint::from_url(&url, None, Some(exchange.market()), false);
            endpoint.expect("an address").without_streams().expect("it names none")
        };
        let rest = |exchange: &Exchange| RestBase::parse(&exchange.rest_url(), false).expect("an address");
        let [first, others @ ..] = &self.0;
        let mut config =
            Config { output: OutputFormat::Json, print_every: 1, ..Config::with_endpoint(endpoint(first)) };
        config.other_endpoints = others.iter().map(endpoint).collect();
        config.repair.rest_url = Some(rest(first));
        config.repair.other_rest_urls = others.iter().map(|other| (other.market(), rest(other))).collect();
        config.backoff_max = std::time::Duration::from_millis(50);
        config.symbols.selection = Some(selection(wanted));
        config
    }

    async fn stopped_in_peace(self) {
        for exchange in self.0 {
            stopped_in_peace(exchange).await;
        }
    }
}

fn selection(wanted: &str) -> Selection {
    let wanted = Selector::parse_list(wanted, Market::UsdM).expect("selectors");
    Selection { wanted, ..Selection::default() }
}

fn group(text: &str) -> Vec<GroupSpec> {
    GroupSpec::parse_list(text, Market::UsdM).expect("a group")
}

/// What an exchange's trades of a symbol up to an id are worth, with the sign of their aggressor; contracts are of `size`
/// dollars.
fn worth(exchange: &Exchange, name: &str, size: Option<u32>, to: i64) -> Decimal {
    let trades = exchange.ledger().trades(&symbol(name));
    let signed = trades.iter().filter(|trade| trade.id.0 <= to).map(|trade| {
        let sign = if trade.aggressor == Aggressor::Buyer { Decimal::ONE } else { -Decimal::ONE };
        let factor = size.map_or(Decimal::new(trade.price.units(), 8), Decimal::from);
        sign * Decimal::new(trade.qty.units(), 8) * factor
    });
    signed.sum()
}

fn decimal(value: &Value) -> Decimal {
    value.as_str().expect("a decimal is a text").parse().expect("a decimal")
}

/// Waits until so many trades are applied.
async fn reached(monitor: &Monitor, trades: usize) {
    monitor.trades.reach(trades).await;
}

#[tokio::test]
async fn a_market_that_goes_down_is_no_affair_of_the_others() {
    story(async {
        let world = World::of(Vec::new).await;
        let monitor = Monitor::with(world.config("usdm:BTCUSDT,spot:BTCUSDT,coinm:BTCUSD_PERP"));
        for exchange in &world.0 {
            exchange.play(Act::Trades(100)).await;
        }
        let spot = world.exchange(Market::Spot);
        spot.stop_listening().await;
        // Shards are numbered in the order of the markets: usdm, coinm, spot.
        let down = |line: &str| line.contains("\"disconnected\"") && line.contains("\"shard\":3");
        monitor.records.line_where(down).await;
        let before = monitor.trades.now().len();
        for market in [Market::UsdM, Market::CoinM] {
            world.exchange(market).play(Act::Trades(100)).await;
        }
        let grown = |name: &'static str, market: Market| {
            let made = world.exchange(market).ledger().made(&symbol(name));
            let whole =
                format!("\"last_id\":{}", world.exchange(market).ledger().last_id(&symbol(name)).unwrap());
            (made, whole)
        };
        for (name, market) in [("BTCUSDT", Market::UsdM), ("BTCUSD_PERP", Market::CoinM)] {
            let (_, last) = grown(name, market);
            let mark = format!("\"symbol\":\"{name}\",\"market\":\"{market}\"");
            monitor.records.line_where(|line| line.contains(&mark) && line.contains(&last)).await;
        }
        assert!(monitor.trades.now().len() > before);
        spot.listen_again().await.unwrap();
        spot.play(Act::Trades(50)).await;
        let (_, last) = grown("BTCUSDT", Market::Spot);
        let mark = "\"symbol\":\"BTCUSDT\",\"market\":\"spot\"";
        monitor.records.line_where(|line| line.contains(mark) && line.contains(&last)).await;
        let ended = monitor.stop().await.unwrap();
        let states = ended.records("state");
        let (schema, shards) = (schema(), ["\"shard\":1", "\"shard\":2"]);
        states.iter().for_each(|line| assert_valid(&schema, line));
        let ends_of_others = states.iter().filter(|line| {
            line.contains("\"disconnected\"") && shards.iter().any(|shard| line.contains(shard))
        });
        // All of them are disconnected at the end, and not before.
        assert!(ends_of_others.count() <= 2, "{states:?}");
        for (market, name) in
            [(Market::UsdM, "BTCUSDT"), (Market::Spot, "BTCUSDT"), (Market::CoinM, "BTCUSD_PERP")]
        {
            let lanes = &ended.summary.lanes;
            let lane =
                lanes.iter().find(|lane| lane.market == market && lane.symbol == symbol(name)).unwrap();
            assert_eq!(
                lane.reading.cvd,
                world.exchange(market).ledger().cvd(&symbol(name)),
                "{market} {name}"
            );
            assert_eq!(lane.coverage.missing_trades, 0);
        }
        world.stopped_in_peace().await;
    })
    .await;
}

/// A directory that is removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let name = format!("markets-{name}-{}", std::process::id());
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

#[tokio::test]
async fn an_unknown_member_of_a_group_is_blamed_on_the_group() {
    story(async {
        let world = World::of(Vec::new).await;
        let stories = [
            ("BTCUSDT", "BTC=BTCUSDT+BTCUSX", "--group"),
            ("BTCUSDT,ETHUSX", "BTC=BTCUSDT+BTCUSX", "--symbol and --group"),
            ("BTCUSX", "ETH=BTCUSDT+ETHUSDT", "--symbol"),
        ];
        for (wanted, grouped, by) in stories {
            let mut config = world.config(wanted);
            config.symbols.groups = group(grouped);
            let error = Monitor::with(config).end().await.expect_err("nothing can come of it").to_string();
            assert!(
                error.starts_with("the exchange lists no BTCUSX on usdm; did you mean BTCUSDT?"),
                "{error}"
            );
            assert!(error.ends_with(&format!(" ({by})")), "{error}");
        }
        world.stopped_in_peace().await;
    })
    .await;
}

#[tokio::test]
async fn a_restart_goes_on_with_every_symbol_and_what_their_trades_are_worth() {
    story(async {
        let world = World::of(Vec::new).await;
        let state = Directory::new("restart");
        let config = || {
            let mut config = world.config("usdm:*,spot:*,coinm:*");
            config.symbols.groups = group("BTC=usdm:BTCUSDT+spot:BTCUSDT+coinm:BTCUSD_PERP");
            config.state.dir = Some(state.0.clone());
            config
        };
        let mut last = None;
        for round in 1..=3 {
            let monitor = Monitor::with(config());
            for exchange in &world.0 {
                exchange.play(Act::Trades(200)).await;
            }
            // What is made while nobody is there comes over REST.
            reached(&monitor, if round == 1 { 600 } else { 1_200 }).await;
            last = Some(monitor.stop().await.unwrap());
            for exchange in &world.0 {
                exchange.play(Act::SkipIds(200)).await;
            }
        }
        let ended = last.expect("three rounds");
        assert_eq!(ended.summary.lanes.len(), 6);
        let record: Value = serde_json::from_str(ended.records("group").last().unwrap()).unwrap();
        assert_eq!(record["quality"], "complete");
        for (inside, market) in
            record["inside"].as_array().unwrap().iter().zip(LISTED.map(|(market, _)| market))
        {
            let name = if market == Market::CoinM { "BTCUSD_PERP" } else { "BTCUSDT" };
            let size = (market == Market::CoinM).then_some(100);
            // Without those that were made after the last round.
            let to = inside["last_id"].as_i64().unwrap();
            assert_eq!(decimal(&inside["quote"]), worth(world.exchange(market), name, size, to), "{market}");
        }
        world.stopped_in_peace().await;
    })
    .await;
}

#[tokio::test]
async fn a_recording_of_markets_and_symbols_that_come_and_go_gives_the_same_records_again() {
    story(async {
        let world = World::of(Vec::new).await;
        let recorded = Directory::new("recorded");
        let file = Directory::new("symbols");
        std::fs::write(&file.0, "usdm:BTCUSDT spot:BTCUSDT").unwrap();
        let mut config = world.config("coinm:BTCUSD_PERP");
        config.symbols.file = Some(file.0.clone());
        config.symbols.groups = group("BTC=usdm:BTCUSDT+coinm:BTCUSD_PERP");
        config.table.every = std::time::Duration::from_secs(1);
        config.record.dir = Some(recorded.0.clone());
        let asked = Arc::new(Notify::new());
        let monitor = Monitor::watch(App::new(config).reload_on(Arc::clone(&asked)));
        for exchange in &world.0 {
            exchange.play(Act::Trades(100)).await;
        }
        reached(&monitor, 100).await;
        std::fs::write(&file.0, "usdm:BTCUSDT usdm:ETHUSDT spot:SOLUSDT").unwrap();
        asked.notify_one();
        for (event, name) in [("ended", "BTCUSDT"), ("joined", "SOLUSDT")] {
            let marks = [format!("\"event\":\"{event}\""), format!("\"symbol\":\"{name}\"")];
            monitor.records.line_where(|line| marks.iter().all(|mark| line.contains(mark))).await;
        }
        world.exchange(Market::CoinM).play(Act::Reset).await;
        // Until the new streams are subscribed to, their trades are nobody's.
        let are_seen = |name: &str| monitor.trades.now().iter().any(|seen| seen.symbol == name);
        while !(are_seen("ETHUSDT") && are_seen("SOLUSDT")) {
            for exchange in &world.0 {
                exchange.play(Act::TradesPaced { n: 20, per_second: 200 }).await;
            }
        }
        let live = monitor.stop().await.unwrap();
        world.stopped_in_peace().await;

        let recording = RecordingReader::of(std::slice::from_ref(&recorded.0)).unwrap().expect("a recording");
        let again = Written::default();
        let mut config = Config { output: OutputFormat::Json, print_every: 1, ..Config::default() };
        config.symbols.groups = group("BTC=usdm:BTCUSDT+coinm:BTCUSD_PERP");
        config.table.every = std::time::Duration::from_secs(1);
        let app = App::new(config).write_to(again.clone()).unwrap();
        app.replay_recording(recording, std::future::pending()).await.unwrap();
        let again = String::from_utf8(again.now()).unwrap();
        for kind in ["cvd", "gap", "state", "symbol"] {
            let mark = format!("\"type\":\"{kind}\"");
            let of_kind: Vec<_> = again.lines().filter(|line| line.contains(&mark)).collect();
            assert_eq!(live.records(kind), of_kind, "{kind}");
        }
        assert!(!live.records("symbol").is_empty());
    })
    .await;
}
