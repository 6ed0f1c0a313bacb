use proptest::prelude::*;

use super::*;
use crate::cvd::Reading;
use crate::pipeline::Worth;
use crate::units::AggTradeId;

/// A lane whose totals a test moves.
#[derive(Debug, Clone)]
struct Made {
    instrument: Instrument,
    trades: u64,
    cvd: i128,
    volume: i128,
    worth: Option<Worth>,
    z: Option<f64>,
    coverage: Coverage,
}

fn made(name: &str) -> Made {
    let coverage =
        Coverage { first_id: Some(AggTradeId(1)), last_id: Some(AggTradeId(1)), ..Coverage::default() };
    let worth = Some(Worth::default());
    Made { instrument: name.parse().unwrap(), trades: 0, cvd: 0, volume: 0, worth, z: None, coverage }
}

impl Made {
    /// So many trades that moved CVD and its worth so far.
    fn moved(&mut self, trades: u64, delta: i128, worth: i128) {
        self.trades += trades;
        self.cvd += delta;
        self.volume += delta.abs();
        if let Some(sum) = &mut self.worth {
            sum.delta += worth;
            sum.volume += worth.abs();
            sum.last_price = Some(Price::from_units(5));
        }
    }

    fn totals(&self, lane: usize) -> LaneTotals<'_> {
        LaneTotals {
            lane,
            instrument: &self.instrument,
            contract_size: None,
            trades: self.trades,
            reading: Reading { cvd: QtyDelta::from_units(self.cvd), z: self.z, ..reading() },
            coverage: &self.coverage,
            volume: QtyDelta::from_units(self.volume),
            worth: self.worth,
        }
    }
}

fn reading() -> Reading {
    crate::cvd::Cvd::new(crate::cvd::CvdConfig::default()).unwrap().reading()
}

fn at(seconds: u64) -> Stamp {
    Stamp { wall_ns: 1_000_000_000, mono_ns: seconds * 1_000_000_000 }
}

const TOP: Ranking = Ranking { by: RankBy::AbsDelta, top: 20 };

fn second(movers: &mut Movers, seconds: u64, lanes: &[Made], ranking: Ranking) -> Option<Interval> {
    let totals = lanes.iter().enumerate().map(|(lane, made)| made.totals(lane));
    movers.second(at(seconds), totals, ranking, |_, _| true)
}

fn names(interval: &Interval) -> Vec<&str> {
    interval.movers.iter().map(|mover| mover.instrument.symbol.as_str()).collect()
}

#[test]
fn an_interval_tells_what_has_moved_since_the_last_one() {
    let mut movers = Movers::new(Duration::from_secs(10));
    let mut lanes = [made("usdm:BTCUSDT"), made("spot:ETHUSDT"), made("usdm:QUIETUSDT")];
    lanes[0].moved(900, 5_000, 7);
    assert_eq!(second(&mut movers, 1, &lanes, TOP), None, "the first second begins the interval");
    lanes[0].moved(20, -300, -6_000);
    lanes[1].moved(5, 100, 9_000);
    lanes[1].z = Some(-2.5);
    assert_eq!(second(&mut movers, 10, &lanes, TOP), None);
    let interval = second(&mut movers, 11, &lanes, TOP).unwrap();
    assert_eq!(names(&interval), ["ETHUSDT", "BTCUSDT"], "who did not trade is no mover");
    assert_eq!((interval.seconds, interval.trades), (10.0, 25));
    let counts = interval.lanes;
    assert_eq!((counts.followed, counts.traded, counts.complete, counts.joined), ([2, 0, 1], 2, 3, 0));
    let btc = &interval.movers[1];
    assert_eq!((btc.delta.units(), btc.cvd.units(), btc.trades, btc.rate), (-300, 4_700, 20, 2.0));
    assert_eq!((btc.quote_delta, btc.volume.units(), btc.quote_volume), (Some(-6_000), 300, Some(6_000)));
    assert_eq!(interval.movers[0].z, Some(-2.5));
    // The next one begins where this ended.
    lanes[0].moved(1, 2, 3);
    let next = second(&mut movers, 21, &lanes, TOP).unwrap();
    assert_eq!((names(&next), next.movers[0].delta.units()), (vec!["BTCUSDT"], 2));
}

#[test]
fn a_late_second_makes_a_longer_interval_and_not_a_higher_rate() {
    let mut movers = Movers::new(Duration::from_secs(10));
    let mut lanes = [made("usdm:BTCUSDT")];
    second(&mut movers, 0, &lanes, TOP);
    lanes[0].moved(100, 1, 1);
    let interval = second(&mut movers, 50, &lanes, TOP).unwrap();
    assert_eq!((interval.seconds, interval.movers[0].rate), (50.0, 2.0));
}

#[test]
fn a_second_that_comes_a_moment_early_ends_the_interval_all_the_same() {
    let mut movers = Movers::new(Duration::from_secs(3));
    let lanes = [made("usdm:BTCUSDT")];
    let mut comes = |ms: u64| {
        let now = Stamp { wall_ns: 0, mono_ns: ms * 1_000_000 };
        let totals = lanes.iter().enumerate().map(|(lane, made)| made.totals(lane));
        movers.second(now, totals, TOP, |_, _| true).map(|interval| interval.seconds)
    };
    let told = [0, 1_001, 2_000, 2_999, 4_001, 5_000, 6_002].map(&mut comes);
    assert_eq!(told, [None, None, None, Some(2.999), None, None, Some(3.003)]);
}

#[test]
fn a_lane_that_has_nothing_to_be_compared_with_gets_no_delta() {
    let mut movers = Movers::new(Duration::from_secs(10));
    let mut lanes = vec![made("usdm:BTCUSDT"), made("usdm:ETHUSDT"), made("usdm:BACKUSDT")];
    lanes[2].moved(9, 900, 900);
    second(&mut movers, 0, &lanes, TOP);
    // One goes on from a checkpoint, one is numbered anew, one ended and came back.
    lanes.push(made("usdm:NEWUSDT"));
    lanes[3].moved(1_000, 123_456, 789);
    lanes[1].coverage.epoch = 2;
    lanes[1].moved(3, -50, -50);
    lanes[2] = made("usdm:BACKUSDT");
    lanes[2].coverage.first_id = Some(AggTradeId(500));
    lanes[2].moved(20, 5, 5);
    lanes[0].moved(1, 1, 1);
    let interval = second(&mut movers, 10, &lanes, TOP).unwrap();
    assert_eq!(names(&interval), ["BTCUSDT"]);
    assert_eq!((interval.lanes.joined, interval.lanes.new_epochs, interval.lanes.all()), (2, 1, 4));
    lanes.iter_mut().for_each(|lane| lane.moved(2, 10, 10));
    let next = second(&mut movers, 20, &lanes, TOP).unwrap();
    assert_eq!(next.movers.len(), 4, "each of them is compared from here on");
    assert!(next.movers.iter().all(|mover| mover.delta.units() == 10));
}

#[test]
fn a_lane_that_ended_is_forgotten() {
    let mut movers = Movers::new(Duration::from_secs(10));
    let mut lanes = [made("usdm:AUSDT"), made("usdm:BUSDT")];
    second(&mut movers, 0, &lanes, TOP);
    let without = lanes[1].totals(1);
    let interval = movers.second(at(10), std::iter::once(without), TOP, |_, _| true).unwrap();
    assert_eq!(interval.lanes.all(), 1);
    lanes[0].moved(1, 1, 1);
    let interval = second(&mut movers, 20, &lanes, TOP).unwrap();
    assert_eq!((interval.lanes.joined, interval.movers.len()), (1, 0));
}

#[test]
fn a_first_trade_within_the_interval_counts_from_zero() {
    let mut movers = Movers::new(Duration::from_secs(10));
    let mut lanes = [made("usdm:AUSDT")];
    lanes[0].coverage = Coverage::default();
    second(&mut movers, 0, &lanes, TOP);
    lanes[0].coverage.first_id = Some(AggTradeId(77));
    lanes[0].moved(2, -8, -8);
    let interval = second(&mut movers, 10, &lanes, TOP).unwrap();
    assert_eq!(interval.movers[0].delta.units(), -8);
}

#[test]
fn what_was_lost_is_said() {
    let mut movers = Movers::new(Duration::from_secs(10));
    let mut lanes = [made("usdm:AUSDT"), made("usdm:BUSDT")];
    lanes[0].coverage.missing_trades = 4;
    second(&mut movers, 0, &lanes, TOP);
    lanes[0].moved(1, 1, 1);
    (lanes[0].coverage.quality, lanes[0].coverage.missing_trades) = (Quality::Missing, 10);
    lanes[1].coverage.quality = Quality::Repairing;
    let interval = second(&mut movers, 10, &lanes, TOP).unwrap();
    assert_eq!((interval.movers[0].lost, interval.movers[0].coverage.quality), (6, Quality::Missing));
    let counts = interval.lanes;
    assert_eq!((counts.complete, counts.repairing, counts.missing), (0, 1, 1));
}

#[test]
fn a_lane_whose_worth_is_not_known_comes_last_and_keeps_its_delta() {
    let mut movers = Movers::new(Duration::from_secs(10));
    let mut lanes = [made("usdm:AUSDT"), made("usdm:BUSDT")];
    lanes[0].worth = None;
    second(&mut movers, 0, &lanes, TOP);
    lanes.iter_mut().for_each(|lane| lane.moved(1, 5, 5));
    let interval = second(&mut movers, 10, &lanes, TOP).unwrap();
    assert_eq!(names(&interval), ["BUSDT", "AUSDT"]);
    let unknown = &interval.movers[1];
    assert_eq!((unknown.quote_delta, unknown.price, unknown.delta.units()), (None, None, 5));
}

#[test]
fn only_those_that_are_told_are_movers_and_all_are_counted() {
    let mut movers = Movers::new(Duration::from_secs(10));
    let mut lanes = [made("usdm:AUSDT"), made("usdm:BUSDT")];
    second(&mut movers, 0, &lanes, TOP);
    lanes.iter_mut().for_each(|lane| lane.moved(3, 5, 5));
    let totals = lanes.iter().enumerate().map(|(lane, made)| made.totals(lane));
    let interval = movers.second(at(10), totals, TOP, |lane, _| lane == 1).unwrap();
    assert_eq!((names(&interval), interval.trades), (vec!["BUSDT"], 6));
}

#[test]
fn movers_go_on_from_what_a_recording_keeps_of_them() {
    let mut movers = Movers::new(Duration::from_secs(10));
    let mut lanes = [made("usdm:AUSDT"), made("usdm:BUSDT")];
    lanes[0].moved(3, i128::from(i64::MAX) * 8, i128::MAX / 3);
    second(&mut movers, 0, &lanes, TOP);
    let kept = serde_json::to_string(&movers).unwrap();
    let mut again: Movers = serde_json::from_str(&kept).unwrap();
    assert_eq!(again, movers);
    lanes[0].moved(3, -7, -i128::MAX / 2);
    assert_eq!(second(&mut again, 10, &lanes, TOP), second(&mut movers, 10, &lanes, TOP));
}

#[test]
fn a_clock_that_begins_anew_begins_a_new_interval() {
    let mut movers = Movers::new(Duration::from_secs(10));
    let mut lanes = [made("usdm:AUSDT")];
    second(&mut movers, 100, &lanes, TOP);
    lanes[0].moved(1, 1, 1);
    assert_eq!(second(&mut movers, 3, &lanes, TOP), None);
    lanes[0].moved(1, 2, 1);
    assert_eq!(second(&mut movers, 13, &lanes, TOP).unwrap().movers[0].delta.units(), 2);
}

proptest! {
    /// The first ones of all put in order.
    #[test]
    fn the_best_are_those_of_a_sorted_list(
        moves in prop::collection::vec((0..6u64, -40..40i128, -3..4i32), 0..60),
        top in 0..12usize,
        by in prop::sample::select(&RankBy::ALL),
    ) {
        let mut movers = Movers::new(Duration::from_secs(1));
        let mut lanes: Vec<_> = (0..moves.len()).map(|at| made(&format!("usdm:S{at}USDT"))).collect();
        second(&mut movers, 0, &lanes, TOP);
        for (lane, (trades, worth, z)) in lanes.iter_mut().zip(&moves) {
            lane.moved(*trades, 0, if *trades > 0 { *worth } else { 0 });
            lane.z = (*z != 3).then_some(f64::from(*z) / 2.0);
        }
        let interval = second(&mut movers, 1, &lanes, Ranking { by, top }).unwrap();
        let mut expected: Vec<_> = (0..moves.len()).filter(|lane| moves[*lane].0 > 0).collect();
        // A stable sort: of equal ones the lower number comes first.
        expected.sort_by(|one, other| {
            let key = |lane: usize| {
                let (trades, worth, _) = moves[lane];
                match by {
                    RankBy::AbsDelta | RankBy::Volume => worth.abs() as f64,
                    RankBy::Z => lanes[lane].z.map_or(-1.0, f64::abs),
                    RankBy::Rate => trades as f64,
                }
            };
            key(*other).total_cmp(&key(*one))
        });
        expected.truncate(top);
        let told: Vec<_> = interval.movers.iter().map(|mover| mover.lane).collect();
        prop_assert_eq!(told, expected);
    }

    /// What the intervals tell adds up to what there is.
    #[test]
    fn deltas_of_all_intervals_add_up_to_cvd(
        rounds in prop::collection::vec(prop::collection::vec((0..4u64, -1_000..1_000i128), 3), 1..12),
    ) {
        let mut movers = Movers::new(Duration::from_secs(1));
        let mut lanes = [made("usdm:AUSDT"), made("spot:BUSDT"), made("usdm:CUSDT")];
        second(&mut movers, 0, &lanes, TOP);
        let (mut deltas, mut worth, mut trades) = ([0i128; 3], [0i128; 3], 0);
        for (round, moves) in rounds.iter().enumerate() {
            for (lane, (count, delta)) in lanes.iter_mut().zip(moves) {
                if *count > 0 {
                    lane.moved(*count, *delta, delta * 7);
                }
            }
            let interval = second(&mut movers, round as u64 + 1, &lanes, TOP).unwrap();
            trades += interval.trades;
            for mover in &interval.movers {
                deltas[mover.lane] += mover.delta.units();
                worth[mover.lane] += mover.quote_delta.unwrap();
            }
        }
        prop_assert_eq!(deltas, [0, 1, 2].map(|lane: usize| lanes[lane].cvd));
        prop_assert_eq!(worth, [0, 1, 2].map(|lane: usize| lanes[lane].worth.unwrap().delta));
        prop_assert_eq!(trades, lanes.iter().map(|lane| lane.trades).sum::<u64>());
    }
}
