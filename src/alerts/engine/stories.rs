//! What a rule says, told by the second.

use std::time::Duration;

use super::*;
use crate::alerts::kind::Kind;
use crate::alerts::rule::{Bound, Severity, Sinks};
use crate::feed::ShardId;
use crate::overview::{LargeTrade, LinkOverview};
use crate::report::LinkStatus;
use crate::silence::Cause;
use crate::snapshot::{Coverage, Flow, Instrument, LaneSummary, Market, Stamp};
use crate::trade::{AggTrade, Aggressor};
use crate::units::{AggTradeId, QtyDelta, Symbol, UnixMillis};

pub(super) const SECOND: u64 = 1_000_000_000;

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A rule without patience.
pub(super) fn rule(on: Kind, bound: Bound) -> Rule {
    Rule {
        name: "it".into(),
        on,
        symbols: Vec::new(),
        rearm: bound.threshold(),
        bound,
        hold: Duration::ZERO,
        within: seconds(60),
        cooldown: Duration::ZERO,
        severity: Severity::Warning,
        sinks: Sinks::ALL,
    }
}

pub(super) fn engine(rules: Vec<Rule>) -> Engine {
    Engine::new(&AlertsConfig { rules, webhook: None, command: None })
}

pub(super) fn lane(symbol: &str) -> LaneOverview {
    let reading = crate::cvd::Reading {
        delta: QtyDelta::ZERO,
        cvd: QtyDelta::ZERO,
        z: None,
        ema: None,
        warmup: true,
        std_zero: false,
        bad_points: 0,
    };
    let summary = LaneSummary {
        market: Market::UsdM,
        symbol: Symbol::new(symbol).unwrap(),
        trades: 0,
        reading,
        coverage: Coverage::default(),
        ids_seen: 0,
        repaired_trades: 0,
        duplicate_trades: 0,
        conflicts: 0,
        held_trades: 0,
        open: None,
        holes: 0,
        flow: Flow::default(),
    };
    LaneOverview {
        summary,
        missing_trades: 0,
        last_price: None,
        repairing_s: None,
        largest: None,
        is_undelivered: false,
    }
}

pub(super) fn at(overview: Overview, second: u64) -> Overview {
    Overview { at: Stamp { wall_ns: 0, mono_ns: second * SECOND }, ..overview }
}

fn z(value: Option<f64>) -> Overview {
    let mut btc = lane("BTCUSDT");
    btc.summary.reading.z = value;
    Overview { lanes: vec![btc], ..Overview::default() }
}

fn cvd(whole: i64, epoch: u32) -> Overview {
    let mut btc = lane("BTCUSDT");
    btc.summary.reading.cvd = QtyDelta::from_units(i128::from(whole) * 100_000_000);
    btc.summary.coverage.epoch = epoch;
    Overview { lanes: vec![btc], ..Overview::default() }
}

fn link(status: LinkStatus, lasts: f64) -> Overview {
    let link = LinkOverview {
        shard: ShardId(1),
        market: Market::Spot,
        symbols: 3,
        status,
        seconds: lasts,
        cause: Some(Cause::ConnectionLost { told: "words \u{1b}[31m of others".into() }),
        connected_s: None,
        last_frame_s: None,
        reconnects: Default::default(),
    };
    let idle = LinkOverview { shard: ShardId(0), symbols: 0, ..link.clone() };
    Overview { links: vec![idle, link], ..Overview::default() }
}

/// What is said about one look a second, with the second.
fn told(rules: Vec<Rule>, looks: impl IntoIterator<Item = Overview>) -> String {
    let mut engine = engine(rules);
    let mut story = Vec::new();
    for (second, overview) in looks.into_iter().enumerate() {
        for notice in engine.look(&at(overview, second as u64)) {
            story.push(format!("{second} {} {}", notice.what.as_str(), notice.text));
        }
    }
    story.join("\n")
}

/// Numbers at once, separated by spaces; `-` is unknown.
fn numbers(text: &str) -> impl Iterator<Item = Option<f64>> {
    text.split(' ').map(|word| word.parse().ok())
}

#[test]
fn a_value_fires_beyond_the_bound_and_again_only_after_it_was_back() {
    let rule = Rule { rearm: Measure::Number(2.5), ..rule(Kind::Z, Bound::Beyond(Measure::Number(3.0))) };
    insta::assert_snapshot!(told(vec![rule], numbers("- 3 3.1 4 2.8 3.5 2.5 2.9 -3.2 -2 3.01").map(z)), @r"
    2 fired it: z of usdm:BTCUSDT is 3.1, beyond ±3
    6 resolved it is over: z of usdm:BTCUSDT is 2.5
    8 fired it: z of usdm:BTCUSDT is -3.2, beyond ±3
    9 resolved it is over: z of usdm:BTCUSDT is -2
    10 fired it: z of usdm:BTCUSDT is 3.01, beyond ±3
    ");
}

#[test]
fn a_value_must_hold_before_it_fires_and_what_is_not_known_holds_nothing() {
    let rule = Rule { hold: seconds(2), ..rule(Kind::Z, Bound::Below(Measure::Number(-2.0))) };
    insta::assert_snapshot!(told(vec![rule], numbers("-3 -3 0 -3 -3 - -3 -3 -3 - - -1").map(z)), @r"
    8 fired it: z of usdm:BTCUSDT is -3, below -2
    11 resolved it is over: z of usdm:BTCUSDT is -1
    ");
}

#[test]
fn between_two_firings_is_the_cool_down_and_then_what_still_holds_fires() {
    let rule = Rule { cooldown: seconds(5), ..rule(Kind::Z, Bound::Above(Measure::Number(3.0))) };
    insta::assert_snapshot!(told(vec![rule], numbers("4 0 4 0 4 4 4 0").map(z)), @r"
    0 fired it: z of usdm:BTCUSDT is 4, above 3
    1 resolved it is over: z of usdm:BTCUSDT is 0
    5 fired it: z of usdm:BTCUSDT is 4, above 3
    7 resolved it is over: z of usdm:BTCUSDT is 0
    ");
}

#[test]
fn a_change_of_cvd_is_that_of_the_window_and_never_that_of_a_new_epoch() {
    let bound = Bound::Beyond(Measure::Quantity(QtyDelta::from_units(100 * 100_000_000)));
    let rule = rule(Kind::CvdChange, bound);
    let looks = (0..130).map(|second| match second {
        0..10 => cvd(1_000, 1),
        10..80 => cvd(880, 1),
        80..100 => cvd(979, 1),
        _ => cvd(0, 2),
    });
    insta::assert_snapshot!(told(vec![rule], looks), @r"
    10 fired it: CVD of usdm:BTCUSDT has changed by -120 within 60s, beyond ±100
    70 resolved it is over: CVD of usdm:BTCUSDT has changed by 0 within 60s
    ");
}

#[test]
fn a_large_trade_fires_each_time_but_for_the_cool_down_and_never_resolves() {
    let rule = Rule {
        cooldown: seconds(2),
        ..rule(Kind::LargeTrade, Bound::AtLeast(Measure::Worth(1_000_000 * 10i128.pow(16))))
    };
    let looks = [1_000_000, 999_999, 2_000_000, 3_000_000, 0, 1_500_000].map(|whole: i64| {
        let trade = AggTrade {
            id: AggTradeId(17),
            price: "100000".parse().unwrap(),
            qty: "10".parse().unwrap(),
            qty_without_rpi: None,
            first_trade_id: 1,
            last_trade_id: 1,
            traded_at: UnixMillis(0),
            event_at: None,
            aggressor: Aggressor::Seller,
        };
        let mut btc = lane("BTCUSDT");
        btc.largest =
            Some(LargeTrade { trade, notional: i128::from(whole) * 10i128.pow(16) }).filter(|_| whole > 0);
        Overview { lanes: vec![btc], ..Overview::default() }
    });
    insta::assert_snapshot!(told(vec![rule], looks), @r"
    0 fired it: usdm:BTCUSDT sell 10 at 100000 (id 17) is worth 1000000, at least 1000000
    2 fired it: usdm:BTCUSDT sell 10 at 100000 (id 17) is worth 2000000, at least 1000000
    5 fired it: usdm:BTCUSDT sell 10 at 100000 (id 17) is worth 1500000, at least 1000000
    ");
}

#[test]
fn a_hole_that_stays_open_fires_and_its_repair_resolves() {
    let rule = rule(Kind::Gap, Bound::Above(Measure::Number(2.0)));
    let looks = numbers("- 0.5 1.5 2.5 3.5 - 0.2").map(|open| {
        let mut btc = lane("BTCUSDT");
        btc.repairing_s = open;
        Overview { lanes: vec![btc], ..Overview::default() }
    });
    insta::assert_snapshot!(told(vec![rule], looks), @r"
    3 fired it: the oldest hole in the ids of usdm:BTCUSDT has been open for 2.5 s, above 2
    5 resolved it is over: no hole is open in the ids of usdm:BTCUSDT
    ");
}

#[test]
fn trades_that_are_given_up_now_fire_and_those_of_an_earlier_run_do_not() {
    let rule = Rule { within: seconds(3), ..rule(Kind::Missing, Bound::Above(Measure::Count(0))) };
    let looks = [7, 7, 12, 12, 12, 12, 13, 13].map(|missing| {
        let mut btc = lane("BTCUSDT");
        btc.missing_trades = missing;
        Overview { lanes: vec![btc], ..Overview::default() }
    });
    insta::assert_snapshot!(told(vec![rule], looks), @r"
    2 fired it: 5 trades of usdm:BTCUSDT were given up within 3s (12 in all), above 0
    5 resolved it is over: 0 trades of usdm:BTCUSDT were given up within 3s (12 in all)
    6 fired it: 1 trades of usdm:BTCUSDT were given up within 3s (13 in all), above 0
    ");
}

#[test]
fn a_connection_that_brings_nothing_fires_whatever_its_states_are_called() {
    use LinkStatus::*;
    let rule = rule(Kind::Stale, Bound::Above(Measure::Number(3.0)));
    let states = [Streaming, Disconnected, Connecting, Connected, Disconnected, Subscribed, Streaming, Stale];
    let looks = states.map(|status| link(status, 0.5));
    insta::assert_snapshot!(told(vec![rule], looks), @r"
    4 fired it: no trades over shard 2 (spot, 3 symbols) for 3.5 s: disconnected, connection_lost, above 3
    6 resolved it is over: shard 2 (spot, 3 symbols) is well again: streaming
    ");
}

#[test]
fn reconnects_and_unreadable_messages_count_from_the_start_of_the_run() {
    let run = |reconnects, parse_errors| {
        let mut overview = Overview::default();
        overview.metrics.reconnect_count = reconnects;
        overview.metrics.parse_errors = parse_errors;
        overview
    };
    let rules = vec![
        Rule { within: seconds(4), ..rule(Kind::Reconnects, Bound::Above(Measure::Count(3))) },
        Rule { within: seconds(2), ..rule(Kind::ParseErrors, Bound::Above(Measure::Count(0))) },
    ];
    let looks = [run(1, 1), run(2, 1), run(3, 1), run(4, 1), run(4, 1), run(4, 1)];
    insta::assert_snapshot!(told(rules, looks), @r"
    0 fired it: 1 messages could not be read within 2s, above 0
    2 resolved it is over: 0 messages could not be read within 2s
    3 fired it: 4 reconnects within 4s, above 3
    4 resolved it is over: 3 reconnects within 4s
    ");
}

#[test]
fn dropped_frames_count_as_their_share_of_the_messages() {
    let rule = rule(Kind::QueueDropped, Bound::Above(Measure::Number(0.005)));
    let looks = [(0, 1_000), (5, 1_000), (6, 1_000), (6, 2_000)].map(|(dropped, all)| {
        let mut overview = Overview::default();
        (overview.metrics.queue_dropped, overview.metrics.total_messages) = (dropped, all);
        overview
    });
    insta::assert_snapshot!(told(vec![rule], looks), @r"
    2 fired it: the queue dropped a share of 0.006 of the messages within 60s (6 in all), above 0.005
    3 resolved it is over: the queue dropped a share of 0.003 of the messages within 60s (6 in all)
    ");
}

#[test]
fn a_slow_network_is_told_with_what_is_not_known_of_the_clocks() {
    let rules = vec![
        Rule { within: seconds(2), ..rule(Kind::Latency, Bound::Above(Measure::Number(1.0))) },
        rule(Kind::NegativeLatency, Bound::Above(Measure::Count(0))),
    ];
    let run = |fast, slow, negative| {
        let mut overview = Overview::default();
        overview.latencies.network.counts[6] = fast;
        overview.latencies.network.counts[9] = slow;
        overview.latencies.network.negative = negative;
        overview
    };
    let looks = [run(100, 5, 0), run(100, 15, 0), run(100, 15, 2), run(100, 15, 2), run(200, 15, 2)];
    insta::assert_snapshot!(told(rules, looks), @r"
    1 fired it: 95 % of trades took at most 1.867776 s on the network within 2s, above 1 (this machine's clock is not compared with the exchange's, and what it is off is part of this)
    2 fired it: 2 trades arrived before they were sent within 60s, above 0: this machine's clock is behind
    4 resolved it is over: 95 % of trades took at most 0.039424 s on the network within 2s
    ");
}

#[test]
fn a_symbol_that_ends_while_it_fires_is_resolved_and_forgotten() {
    let rule = rule(Kind::Z, Bound::Above(Measure::Number(3.0)));
    let looks = [z(Some(4.0)), Overview::default(), z(Some(4.0))];
    insta::assert_snapshot!(told(vec![rule], looks), @r"
    0 fired it: z of usdm:BTCUSDT is 4, above 3
    1 resolved it is over: usdm:BTCUSDT is not followed any more
    2 fired it: z of usdm:BTCUSDT is 4, above 3
    ");
}

#[test]
fn a_rule_of_some_symbols_looks_at_no_others() {
    let mut rule = rule(Kind::Z, Bound::Above(Measure::Number(3.0)));
    rule.symbols = vec![Instrument::new(Market::Spot, Symbol::new("BTCUSDT").unwrap())];
    let mut engine = engine(vec![rule]);
    assert_eq!(engine.look(&at(z(Some(9.0)), 0)), []);
    let mut spot = z(Some(9.0));
    spot.lanes[0].summary.market = Market::Spot;
    assert_eq!(engine.look(&at(spot, 1)).len(), 1);
    assert_eq!(engine.firing().collect::<Vec<_>>(), [1]);
}
