//! Bars against a straightforward computation in exact integers; live against replay; and what they look like.

use cvd_stream::app::App;
use cvd_stream::bars::{Bar, BarBuilder, BarSpec};
use cvd_stream::config::{BarsConfig, Config, OutputFormat};
use cvd_stream::cvd::CvdConfig;
use cvd_stream::exchange::{Act, Exchange};
use cvd_stream::pipeline::{Event, Pipeline, PipelineConfig, Wanted};
use cvd_stream::replay::{Replay, ReplayOptions};
use cvd_stream::snapshot::{GapEvent, Market, TradeSource};
use cvd_stream::source::{Input, Rows};
use cvd_stream::trade::{AggTrade, Aggressor};
use cvd_stream::units::{AggTradeId, Price, Qty, UnixMillis};
use proptest::prelude::*;

use crate::recorded::shared;
use crate::support::*;

/// What a trade that counted tells, and whether trades were given up before it.
#[derive(Debug, Clone, Copy)]
struct Counted {
    trade: AggTrade,
    after_a_hole: bool,
}

/// A bar with everything that can be read off it, in plain integers and texts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plain {
    interval: [i64; 2],
    prices: [i64; 4],
    /// Volume, buys, sells, delta, lowest and highest delta, CVD open, high, low, close.
    sums: [i128; 10],
    notional: String,
    vwap: Option<i64>,
    trades: usize,
    fills: Option<i64>,
    ids: Option<[i64; 2]>,
    times: Option<[i64; 2]>,
    complete: bool,
}

impl Plain {
    fn of(bar: &Bar) -> Self {
        let sums = [
            bar.volume(),
            bar.buy_volume,
            bar.sell_volume,
            bar.delta(),
            bar.min_delta,
            bar.max_delta,
            bar.cvd_open,
            bar.cvd_high(),
            bar.cvd_low(),
            bar.cvd_close(),
        ];
        Self {
            interval: [bar.start.0, bar.end.0],
            prices: [bar.open, bar.high, bar.low, bar.close].map(Price::units),
            sums: sums.map(|sum| sum.units()),
            notional: bar.notional.to_string(),
            vwap: bar.vwap(Market::UsdM).map(Price::units),
            trades: usize::try_from(bar.trades).unwrap(),
            fills: bar.fills.map(|fills| i64::try_from(fills).unwrap()),
            ids: bar.first_id.zip(bar.last_id).map(|(first, last)| [first.0, last.0]),
            times: bar.first_trade_at.zip(bar.last_trade_at).map(|(first, last)| [first.0, last.0]),
            complete: bar.complete,
        }
    }

    /// Adds everything up, one number after the other.
    fn add_up(trades: &[Counted], cvd_open: i128, interval: Option<[i64; 2]>, complete: bool) -> Self {
        let all: Vec<AggTrade> = trades.iter().map(|counted| counted.trade).collect();
        let qty = |side: Aggressor| -> i128 {
            all.iter()
                .filter(|trade| trade.aggressor == side)
                .map(|trade| i128::from(trade.qty.units()))
                .sum()
        };
        let (buys, sells) = (qty(Aggressor::Buyer), qty(Aggressor::Seller));
        // The delta after each trade, and 0 before the first.
        let mut deltas = vec![0];
        for trade in &all {
            deltas.push(deltas[deltas.len() - 1] + trade.delta().units());
        }
        let (lowest, highest) = (*deltas.iter().min().unwrap(), *deltas.iter().max().unwrap());
        let prices = || all.iter().map(|trade| trade.price.units());
        let notional: u128 =
            all.iter().map(|trade| trade.price.units() as u128 * trade.qty.units() as u128).sum();
        let volume = (buys + sells) as u128;
        let (first, last) = (all[0], all[all.len() - 1]);
        let fills: i64 = all.iter().map(|trade| trade.last_trade_id - trade.first_trade_id + 1).sum();
        let times = [first.traded_at.0, last.traded_at.0];
        Self {
            interval: interval.unwrap_or(times),
            prices: [
                first.price.units(),
                prices().max().unwrap(),
                prices().min().unwrap(),
                last.price.units(),
            ],
            sums: [
                buys + sells,
                buys,
                sells,
                buys - sells,
                lowest,
                highest,
                cvd_open,
                cvd_open + highest,
                cvd_open + lowest,
                cvd_open + buys - sells,
            ],
            notional: decimal(notional),
            vwap: Some(half_even(notional, volume)),
            trades: all.len(),
            fills: all.iter().all(|trade| trade.first_trade_id >= 0).then_some(fills),
            ids: Some([first.id.0, last.id.0]),
            times: Some(times),
            complete,
        }
    }

    fn empty(interval: [i64; 2], price: i64, cvd: i128, complete: bool) -> Self {
        Self {
            interval,
            prices: [price; 4],
            sums: [0, 0, 0, 0, 0, 0, cvd, cvd, cvd, cvd],
            notional: "0".into(),
            vwap: None,
            trades: 0,
            fills: Some(0),
            ids: None,
            times: None,
            complete,
        }
    }
}

/// In units of 1e-16.
fn decimal(units: u128) -> String {
    let text = format!("{:017}", units);
    let (whole, fraction) = text.split_at(text.len() - 16);
    format!("{whole}.{fraction}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn half_even(dividend: u128, divisor: u128) -> i64 {
    let candidates = [dividend / divisor, dividend / divisor + 1];
    let distance = candidates.map(|candidate| (candidate * divisor).abs_diff(dividend));
    let nearest = match distance[0].cmp(&distance[1]) {
        std::cmp::Ordering::Less => candidates[0],
        std::cmp::Ordering::Greater => candidates[1],
        std::cmp::Ordering::Equal => *candidates.iter().find(|candidate| *candidate % 2 == 0).unwrap(),
    };
    i64::try_from(nearest).unwrap()
}

/// The bars of a run, computed the slow way: the trades are cut into groups, and each is added up.
fn slowly(spec: BarSpec, empty: bool, trades: &[Counted]) -> Vec<Plain> {
    let mut groups: Vec<(Option<i64>, Vec<Counted>)> = Vec::new();
    let mut latest = i64::MIN;
    for counted in trades {
        let trade = &counted.trade;
        let begins = match spec {
            BarSpec::Time { ms } => {
                let interval = trade.traded_at.0.div_euclid(ms) * ms;
                let later = interval > latest;
                latest = latest.max(interval);
                later
            }
            _ => groups.last().is_none_or(|(_, group)| is_reached(spec, group)),
        };
        if begins {
            let start = matches!(spec, BarSpec::Time { .. }).then_some(latest);
            groups.push((start, Vec::new()));
        }
        groups.last_mut().unwrap().1.push(*counted);
    }
    let mut bars = Vec::new();
    let mut cvd = 0;
    for (at, (start, group)) in groups.iter().enumerate() {
        let whole = group.iter().all(|counted| !counted.after_a_hole);
        match (spec, start) {
            (BarSpec::Time { ms }, Some(start)) => {
                let next = groups.get(at + 1);
                let next_is_whole = next.is_some_and(|(_, next)| !next[0].after_a_hole);
                let complete = at > 0 && whole && next_is_whole;
                bars.push(Plain::add_up(group, cvd, Some([*start, start + ms]), complete));
                cvd = bars.last().unwrap().sums[9];
                if let (true, Some((Some(until), _))) = (empty, next) {
                    let close = bars.last().unwrap().prices[3];
                    for between in (start / ms + 1..until / ms).map(|number| number * ms) {
                        bars.push(Plain::empty([between, between + ms], close, cvd, next_is_whole));
                    }
                }
            }
            _ => {
                bars.push(Plain::add_up(group, cvd, None, whole && is_reached(spec, group)));
                cvd = bars.last().unwrap().sums[9];
            }
        }
    }
    bars
}

fn is_reached(spec: BarSpec, group: &[Counted]) -> bool {
    let qty = |counted: &Counted| i128::from(counted.trade.qty.units());
    match spec {
        BarSpec::Time { .. } => false,
        BarSpec::Ticks(ticks) => group.len() as u64 >= ticks,
        BarSpec::Volume(least) => group.iter().map(qty).sum::<i128>() >= i128::from(least.units()),
        BarSpec::Notional(least) => {
            let worth = |counted: &Counted| qty(counted) * i128::from(counted.trade.price.units());
            group.iter().map(worth).sum::<i128>() >= i128::from(least) * 100_000_000
        }
    }
}

/// What the pipeline makes of rows of a file: the trades that counted, and the bars of each kind.
fn by_the_pipeline(specs: &[BarSpec], empty: bool, rows: &[AggTrade]) -> (Vec<Counted>, Vec<Vec<Plain>>) {
    let mut pipeline = Pipeline::new(PipelineConfig {
        market: Market::UsdM,
        frames_from: TradeSource::File,
        wanted: Wanted::Everything,
        calculator: CvdConfig::default(),
        repairs: false,
        hold_size: 1_000,
        bars: specs.iter().map(|spec| BarBuilder::new(*spec, empty)).collect(),
        counts_worth: true,
    })
    .unwrap();
    let (mut counted, mut hole) = (Vec::new(), false);
    let mut bars = vec![Vec::new(); specs.len()];
    let mut take = |event: Event<'_>| match event {
        Event::Trade(snapshot) => {
            counted.push(Counted { trade: *snapshot.trade, after_a_hole: std::mem::take(&mut hole) });
        }
        Event::Gap(gap) if gap.event == GapEvent::Unrepaired => hole = true,
        Event::Bar(closed) => {
            let at = specs.iter().position(|spec| *spec == closed.spec).unwrap();
            bars[at].push(Plain::of(closed.bar));
        }
        _ => {}
    };
    for block in rows.chunks(7) {
        let rows = Rows { market: Market::UsdM, symbol: symbol("BTCUSDT"), trades: block.to_vec() };
        pipeline.step(&Input::Rows(rows), &mut take);
    }
    pipeline.finish(&mut take);
    (counted, bars)
}

fn specs(texts: &[&str]) -> Vec<BarSpec> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn the_bars_of_the_recorded_sets_equal_a_slow_exact_computation() {
    let Some(shared) = shared() else { return };
    let kinds = specs(&[
        "1s",
        "5s",
        "1m",
        "1h",
        "1d",
        "ticks:1",
        "ticks:100",
        "volume:0.5",
        "volume:50",
        "notional:5e3",
        "notional:1e6",
    ]);
    for (set, rows) in [
        ("ethusdt_testnet_2h_20251017", 14_501),
        ("btcusdt_testnet_40min_20251018", 3_399),
        ("ethusdt_mainnet_aggtrades_20230202", 1_000),
    ] {
        let path = shared.join(format!("data/golden/{set}.level-v1.csv.gz"));
        let trades = golden(&path);
        assert_eq!(trades.len(), rows);
        for empty in [false, true] {
            let (counted, bars) = by_the_pipeline(&kinds, empty, &trades);
            assert_eq!(counted.len(), rows, "{set}");
            for (spec, bars) in kinds.iter().zip(bars) {
                let slowly = slowly(*spec, empty, &counted);
                assert_eq!(bars.len(), slowly.len(), "{set} {spec}");
                for (at, pair) in bars.iter().zip(&slowly).enumerate() {
                    assert_eq!(pair.0, pair.1, "{set} {spec} bar {at}");
                }
                println!("{set}: {} bars of {spec}", bars.len());
            }
        }
    }
}

/// A recorded set, numbered where it has no ids.
fn golden(path: &std::path::Path) -> Vec<AggTrade> {
    let mut text = String::new();
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(file), &mut text).unwrap();
    let mut lines = text.lines();
    let header: Vec<_> = lines.next().unwrap().split(',').collect();
    let trade = |(at, line): (usize, &str)| {
        let fields: Vec<_> = line.split(',').collect();
        let field = |name: &str| fields[header.iter().position(|column| *column == name).unwrap()];
        AggTrade {
            id: AggTradeId(field("agg_trade_id").parse().unwrap_or(1 + at as i64)),
            price: field("price").parse().unwrap(),
            qty: field("qty").parse().unwrap(),
            qty_without_rpi: None,
            first_trade_id: -1,
            last_trade_id: -1,
            traded_at: UnixMillis(field("event_time_ms").parse().unwrap()),
            event_at: None,
            aggressor: if field("is_buy") == "true" { Aggressor::Buyer } else { Aggressor::Seller },
        }
    };
    lines.enumerate().map(trade).collect()
}

/// What happens from one trade to the next: time and id go on, and it is worth something, or is void.
type Next = (i64, i64, i64, i64, bool);

fn next() -> impl Strategy<Value = Next> {
    let time = prop_oneof![6 => 0..400i64, 2 => -500..0i64, 2 => 900..1_100i64, 1 => 3_000..20_000i64];
    let id = prop_oneof![12 => Just(1i64), 1 => 2..4i64];
    let price = prop_oneof![4 => 1..1_000i64, 2 => 6_000_000_000_000..7_000_000_000_000i64, 1 => Just(0i64)];
    let qty = prop_oneof![6 => 1..300i64, 2 => 100_000_000..900_000_000_000i64, 1 => Just(0i64)];
    (time, id, price, qty, any::<bool>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn random_trades_give_the_bars_of_the_slow_computation(
        steps in prop::collection::vec(next(), 1..120),
        ticks in 1..20u64,
        volume in prop_oneof![1..1_000i64, 1..5_000_000_000_000i64],
        notional in prop_oneof![1..5i64, 1..50_000_000_000_000_000i64],
        empty: bool,
    ) {
        let (mut id, mut at) = (1_000, 1_795_132_800_250i64);
        let rows: Vec<_> = steps.iter().map(|(later, step, price, qty, is_buy)| {
            (id, at) = (id + step, at + later);
            AggTrade {
                id: AggTradeId(id),
                price: Price::from_units(*price),
                qty: Qty::from_units(*qty),
                qty_without_rpi: None,
                first_trade_id: 3 * id,
                last_trade_id: 3 * id + price % 3,
                traded_at: UnixMillis(at),
                event_at: None,
                aggressor: if *is_buy { Aggressor::Buyer } else { Aggressor::Seller },
            }
        }).collect();
        let kinds = [
            BarSpec::Time { ms: 1_000 },
            BarSpec::Time { ms: 5_000 },
            BarSpec::Ticks(ticks),
            BarSpec::Volume(Qty::from_units(volume)),
            BarSpec::Notional(notional),
        ];
        let (counted, bars) = by_the_pipeline(&kinds, empty, &rows);
        prop_assert_eq!(counted.len(), rows.iter().filter(|row| row.price.units() > 0 && row.qty.units() > 0).count());
        for (spec, bars) in kinds.iter().zip(bars) {
            let slowly = slowly(*spec, empty, &counted);
            prop_assert_eq!(bars, slowly, "{}", spec);
        }
    }
}

/// The ledger's trades as the exchange publishes them.
fn table(exchange: &Exchange, of: &str) -> String {
    let mut table = String::from(
        "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n",
    );
    for trade in exchange.ledger().trades(&symbol(of)) {
        let AggTrade { id, price, qty, first_trade_id: first, last_trade_id: last, .. } = trade;
        let (time, seller) = (trade.traded_at.0, trade.aggressor == Aggressor::Seller);
        table += &format!("{id},{price},{qty},{first},{last},{time},{seller}\n");
    }
    table
}

async fn replayed(name: &str, table: &str, config: Config) -> Ended {
    let folder =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bars-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join(name);
    std::fs::write(&file, table).unwrap();
    let replay = Replay::open(vec![file.clone()], ReplayOptions::default()).unwrap();
    let ended = Monitor::replay(App::new(config), replay).await;
    std::fs::remove_file(file).unwrap();
    ended
}

fn bars(list: &[&str]) -> BarsConfig {
    BarsConfig { specs: specs(list), empty: true }
}

#[tokio::test(start_paused = true)]
async fn bars_of_a_broken_live_stream_are_those_of_the_archive_byte_for_byte() {
    story(async {
        let acts = [
            Act::Trades(400),
            Act::Stall(std::time::Duration::from_millis(2_500)),
            Act::SkipIds(30),
            Act::Trades(200),
            Act::Drop,
            Act::Trades(400),
            Act::Reorder(20),
            Act::ZeroQty(2),
            Act::Trades(100),
        ];
        let exchange = btcusdt().in_memory().script(acts).start().await.unwrap();
        let kinds = bars(&["1s", "5s", "ticks:7", "volume:0.5", "notional:2e4"]);
        let of_live = kinds.clone();
        let monitor = Monitor::simulated(&exchange, move |config| config.bars = of_live);
        monitor.trades.reach(1_150).await;
        let live = monitor.stop().await.unwrap();
        live.assert_whole(&exchange, "BTCUSDT");
        let lines = live.records("bar");
        let schema = schema();
        lines.iter().for_each(|line| assert_valid(&schema, line));
        for kind in &kinds.specs {
            assert!(
                lines.iter().filter(|line| line.contains(&format!("\"bar\":\"{kind}\""))).count() > 1,
                "{kind}"
            );
        }
        // Files are read by a thread that knows nothing of a paused clock.
        tokio::time::resume();
        let config = Config { output: OutputFormat::Json, bars: kinds, ..Config::default() };
        let again = replayed("BTCUSDT-aggTrades-2026-11-20.csv", &table(&exchange, "BTCUSDT"), config).await;
        assert_eq!(again.records("bar"), lines);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_new_numbering_ends_the_bar_before_its_record_and_begins_another() {
    story(async {
        let acts = [
            Act::Trades(10),
            Act::Stall(std::time::Duration::from_millis(5)),
            Act::RestartIds(1),
            Act::Trades(20),
        ];
        let exchange = btcusdt().in_memory().script(acts).start().await.unwrap();
        let monitor = Monitor::simulated(&exchange, |config| config.bars = bars(&["ticks:8", "1d"]));
        monitor.trades.reach(30).await;
        let ended = monitor.stop().await.unwrap();
        let short: Vec<_> = ended
            .text()
            .lines()
            .filter(|line| line.contains("\"type\":\"bar\"") || line.contains("\"event\":\"reset\""))
            .map(|line| match line.contains("\"type\":\"bar\"") {
                true => ["bar", "trades", "epoch", "complete"].map(|name| raw_field(line, name)).join(" "),
                false => "reset".to_owned(),
            })
            .collect();
        assert_eq!(
            short,
            [
                "\"ticks:8\" 8 1 true",
                "\"ticks:8\" 2 1 false",
                "\"1d\" 10 1 false",
                "reset",
                "\"ticks:8\" 8 2 true",
                "\"ticks:8\" 8 2 true",
                "\"ticks:8\" 4 2 false",
                "\"1d\" 20 2 false",
            ]
        );
        stopped_in_peace(exchange).await;
    })
    .await;
}

const TABLE: &str = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n\
    7,64339.20,0.001,70,71,1795132800001,true\n\
    8,64339.3,2,72,72,1795132801002,false\n\
    9,64338,0.5,73,75,1795132801900,true\n\
    10,64340,0.25,76,76,1795132804000,false\n";

#[tokio::test]
async fn a_bar_as_text_is_one_line() {
    story(async {
        let config = Config {
            print_every: 0,
            output: OutputFormat::Text,
            bars: bars(&["1s", "ticks:3"]),
            ..Config::default()
        };
        let ended = replayed("BTCUSDT-aggTrades-2026-11-21.csv", TABLE, config).await;
        let text = ended.text();
        let lines: Vec<_> = text.lines().filter(|line| line.contains(" BAR ")).collect();
        insta::assert_snapshot!("bars_as_text", lines.join("\n"));
    })
    .await;
}

#[tokio::test]
async fn a_bar_as_json_has_every_field() {
    story(async {
        let config = Config { output: OutputFormat::Json, bars: bars(&["1s"]), ..Config::default() };
        let ended = replayed("BTCUSDT-aggTrades-2026-11-22.csv", TABLE, config.clone()).await;
        let lines = ended.records("bar");
        insta::assert_snapshot!("bars_as_json", lines.join("\n"));
        let schema = schema();
        lines.iter().for_each(|line| assert_valid(&schema, line));
        let ended = replayed("BTCUSD_PERP-aggTrades-2026-11-22.csv", TABLE, config).await;
        for line in ended.records("bar") {
            assert_valid(&schema, &line);
            assert_eq!(
                (raw_field(&line, "unit"), raw_field(&line, "quote_volume")),
                ("\"contracts\"", "null")
            );
            assert_eq!(raw_field(&line, "vwap"), "null");
        }
    })
    .await;
}

#[tokio::test]
async fn the_schema_refuses_a_bar_with_a_field_too_few_too_many_or_of_another_type() {
    story(async {
        let config = Config { output: OutputFormat::Json, bars: bars(&["1s"]), ..Config::default() };
        let ended = replayed("BTCUSDT-aggTrades-2026-11-23.csv", TABLE, config).await;
        let (schema, line) = (schema(), ended.records("bar").remove(1));
        let record: serde_json::Value = serde_json::from_str(&line).unwrap();
        for field in record.as_object().unwrap().keys() {
            let mut less = record.clone();
            less.as_object_mut().unwrap().remove(field);
            assert!(!schema.is_valid(&less), "without {field}");
            let mut other = record.clone();
            other[field] = serde_json::json!({ "of": "another type" });
            assert!(!schema.is_valid(&other), "with an object as {field}");
        }
        let mut more = record;
        more["surprise"] = serde_json::json!(1);
        assert!(!schema.is_valid(&more));
    })
    .await;
}

#[tokio::test]
async fn contracts_cannot_be_gathered_by_their_worth() {
    story(async {
        let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
        let file = folder.join(format!("BTCUSD_PERP-aggTrades-2026-11-2{}.csv", std::process::id()));
        std::fs::write(&file, TABLE).unwrap();
        let replay = Replay::open(vec![file.clone()], ReplayOptions::default()).unwrap();
        let app = App::new(Config { bars: bars(&["1m", "notional:1e6"]), ..Config::default() });
        let error = app.replay_files(replay, std::future::pending()).await.unwrap_err();
        assert!(error.to_string().contains("take volume:N, in contracts"), "{error}");
        std::fs::remove_file(file).unwrap();
    })
    .await;
}
