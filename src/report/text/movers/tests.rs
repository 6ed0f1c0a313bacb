use super::*;
use crate::config::RankBy;
use crate::snapshot::{Coverage, Stamp};
use crate::units::{AggTradeId, QtyDelta};

const QUOTE: i128 = 10_000_000_000_000_000;

fn mover(name: &str, cvd: &str, delta: &str, quote: i128, trades: u64, price: &str) -> Mover {
    Mover {
        lane: 0,
        instrument: name.parse().unwrap(),
        cvd: cvd.parse().unwrap(),
        delta: delta.parse().unwrap(),
        quote_delta: Some(quote * QUOTE),
        trades,
        rate: trades as f64 / 10.0,
        volume: QtyDelta::ZERO,
        quote_volume: Some(quote.abs() * 15 * QUOTE),
        z: Some(quote as f64 / 400_000.0),
        price: Some(price.parse().unwrap()),
        coverage: Coverage {
            first_id: Some(AggTradeId(1)),
            last_id: Some(AggTradeId(900)),
            ..Coverage::default()
        },
        lost: 0,
    }
}

fn interval(movers: Vec<Mover>) -> Interval {
    let followed = [570, 0, 12];
    let lanes = LaneCounts { followed, complete: 582, traded: 431, ..LaneCounts::default() };
    let at = Stamp::default();
    Interval { at, seconds: 10.0004, by: RankBy::AbsDelta, lanes, trades: 51_234, movers }
}

fn usdm() -> Vec<Mover> {
    vec![
        mover("usdm:BTCUSDT", "-15180.334", "-12.4", -803_211, 812, "64339.2"),
        mover("usdm:1000PEPEUSDT", "1203456789", "-2309812", 25_300, 96, "0.0109531"),
        mover("usdm:币安人生USDT", "92011.5", "1200.25", 812, 4, "0.29"),
    ]
}

#[test]
fn a_table_is_aligned_and_fits_a_terminal() {
    let lines = movers(&interval(usdm()), false, false);
    assert_eq!(
        lines,
        [
            "MOVERS 570 usdm, 12 spot | by absdelta over 10 s | 431 traded, 5.123k/s | all complete",
            "MOVER symbol        cvd[base] delta[base] =[quote]     z rate/s vol[quote]     price",
            "MOVER BTCUSDT      -15180.334       -12.4  -803.2k -2.01  81.20     12.05M   64339.2",
            "MOVER 1000PEPEUSDT 1203456789    -2309812   25.30k  0.06  9.600     379.5k 0.0109531",
            "MOVER 币安人生USDT    92011.5     1200.25    812.0  0.00  0.400     12.18k      0.29",
        ]
    );
    let short = movers(&interval(usdm().drain(..1).collect()), false, false);
    assert!(
        short[1].contains("symbol    cvd[base]  delta[base]  =[quote]"),
        "where there is room: {}",
        short[1]
    );
    for line in &lines {
        assert!("2026-11-21T03:15:10.000Z  INFO ".len() + columns_of(line) <= 120, "{line}");
    }
}

#[test]
fn several_markets_are_named_and_their_units_too() {
    let mut coins = mover("coinm:BTCUSD_PERP", "-120", "-3", -300, 2, "64340");
    coins.z = None;
    coins.price = None;
    let lines = movers(&interval(vec![usdm().remove(0), coins.clone()]), true, true);
    assert!(lines[0].ends_with(" | rows: --only"), "{}", lines[0]);
    assert!(lines[1].starts_with("MOVER symbol            cvd[base|ct] delta[base|ct] "), "{}", lines[1]);
    assert!(lines[2].starts_with("MOVER usdm:BTCUSDT "), "{}", lines[2]);
    assert!(lines[3].contains(" none ") && lines[3].ends_with(" none"), "{}", lines[3]);
    let alone = movers(&interval(vec![coins]), false, false);
    assert!(alone[1].contains("cvd[contracts] delta[contracts]"), "{}", alone[1]);
}

#[test]
fn what_is_not_complete_is_told_in_the_headline_and_in_the_row() {
    let mut lost = usdm().remove(0);
    (lost.coverage.quality, lost.coverage.missing_trades, lost.lost) = (Quality::Missing, 12, 3);
    let mut all = interval(vec![lost]);
    (all.lanes.complete, all.lanes.repairing, all.lanes.missing) = (580, 1, 1);
    (all.lanes.joined, all.lanes.new_epochs) = (3, 1);
    let lines = movers(&all, false, false);
    assert!(
        lines[0].ends_with("| 580 complete, 1 repairing, 1 missing, 3 joined, 1 numbered anew"),
        "{}",
        lines[0]
    );
    assert!(lines[2].ends_with("64339.2 | quality=missing missing=12 lost=3"), "{}", lines[2]);
}

#[test]
fn of_an_interval_without_a_trade_the_headline_is_all() {
    let mut quiet = interval(Vec::new());
    (quiet.trades, quiet.lanes.traded, quiet.seconds) = (0, 0, 10.26);
    let lines = movers(&quiet, false, false);
    assert_eq!(lines, ["MOVERS 570 usdm, 12 spot | by absdelta over 10.3 s | 0 traded, 0/s | all complete"]);
}

#[test]
fn nothing_is_called_complete_while_the_connection_of_some_is_down() {
    let mut cut = interval(usdm());
    cut.lanes.disconnected = 200;
    let headline = movers(&cut, false, false).remove(0);
    assert!(headline.ends_with(" | none missing, 200 not connected"), "{headline}");
    (cut.lanes.complete, cut.lanes.repairing) = (580, 2);
    let headline = movers(&cut, false, false).remove(0);
    assert!(headline.ends_with(" | 580 complete, 2 repairing, 200 not connected"), "{headline}");
}
