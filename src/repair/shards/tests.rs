//! Stories of several shards.

use super::*;
use crate::feed::LineId;
use crate::repair::looks::Looks;
use crate::repair::{Ask, Kind, Page, Planner, Request, Step, WeightBudget};
use crate::snapshot::Market;
use crate::trade::{AggTrade, Aggressor};
use crate::units::{Price, Qty, Symbol, UnixMillis};

fn at(seconds: f64) -> Stamp {
    Stamp { wall_ns: 0, mono_ns: (seconds * 1e9) as u64 }
}

fn instrument(lane: usize) -> Instrument {
    Instrument::new(Market::UsdM, Symbol::new(&format!("LANE{lane}USDT")).expect("a symbol"))
}

fn rest(id: i64) -> Option<Newest> {
    Some(Newest { id: AggTradeId(id), traded_at: UnixMillis(0) })
}

fn session(shard: u16, session: u64, change: LinkChange) -> LinkEvent {
    let line = LineId::of(ShardId(shard), 0);
    LinkEvent { line, session: SessionId(session), at: Stamp::default(), change }
}

/// Some lanes: where each is, and its newest id.
struct Sight {
    shards: Shards,
    lanes: BTreeMap<usize, (Instrument, u16, Option<i64>)>,
}

impl Sight {
    /// So many lanes on each of so many shards, all connected.
    fn new(shards: u16, each: usize, looks_per_minute: u64) -> Self {
        let mut sight = Self { shards: Shards::new(looks_per_minute), lanes: BTreeMap::new() };
        for shard in 0..shards {
            let first = usize::from(shard) * each;
            sight
                .lanes
                .extend((first..first + each).map(|lane| (lane, (instrument(lane), shard, Some(100)))));
            sight.shards.link(&session(shard, u64::from(shard) + 1, LinkChange::Opened), at(0.0));
        }
        sight
    }

    fn tick(&mut self, now: Stamp) -> BTreeMap<usize, Seen> {
        self.shards.begin_tick(now);
        let mut seen = BTreeMap::new();
        for (lane, (instrument, shard, newest)) in &self.lanes {
            let (lane, shard, newest) = (*lane, ShardId(*shard), newest.map(AggTradeId));
            let (holes, in_doubt) = (Vec::new(), false);
            let ids = LaneIds { lane, instrument, shard, applied: 0, newest, holes, in_doubt };
            seen.insert(lane, self.shards.see(&ids, now));
        }
        self.shards.end_tick();
        seen
    }

    fn trades(&mut self, lane: usize) {
        let newest = &mut self.lanes.get_mut(&lane).expect("it is followed").2;
        *newest = newest.map(|id| id + 1);
    }

    /// The lanes that want to be looked at, after which they are.
    fn looks(&mut self, second: u32) -> Vec<usize> {
        let now = at(f64::from(second));
        let wants = |seen: &Seen| matches!(seen.tail, Tail::Probe(_));
        let lanes: Vec<_> = self.tick(now).iter().filter(|(_, s)| wants(s)).map(|(lane, _)| *lane).collect();
        lanes.iter().for_each(|lane| self.shards.looked(*lane, now));
        lanes
    }
}

#[test]
fn a_connection_that_comes_back_and_a_loss_of_ours_raise_doubts_about_its_own_lanes_only() {
    let mut sight = Sight::new(2, 2, 18);
    (1..20).for_each(|second| drop(sight.looks(second)));
    let now = at(20.0);
    sight.shards.link(&session(0, 1, LinkChange::Closed), now);
    assert!(sight.shards.is_first(&session(0, 3, LinkChange::Opened)));
    assert!(!sight.shards.is_first(&session(1, 3, LinkChange::Opened)), "another line is up there");
    sight.shards.link(&session(0, 3, LinkChange::Opened), now);
    assert_eq!(sight.looks(20), [0_usize; 0]);
    assert_eq!(sight.looks(21), [0, 1]);
    // Whose session it was is known, or is not.
    for (of, expected) in [(Some(SessionId(2)), vec![2, 3]), (Some(SessionId(99)), vec![0, 1, 2, 3])] {
        let mut sight = Sight::new(2, 2, 18);
        (1..=20).for_each(|second| drop(sight.looks(second)));
        sight.shards.disturbed(of);
        assert_eq!(sight.looks(21), [0_usize; 0]);
        assert_eq!(sight.looks(22), expected);
    }
}

#[test]
fn a_silence_is_vouched_for_by_lanes_of_its_own_shard() {
    let mut sight = Sight::new(2, 2, 18);
    (1..=11).for_each(|second| drop(sight.looks(second)));
    let quiet = |sight: &mut Sight, lane| sight.shards.newest(lane, rest(100), at(11.5));
    assert_eq!(quiet(&mut sight, 0), Judged::Quiet { vouches: None });
    assert_eq!(quiet(&mut sight, 2), Judged::Quiet { vouches: None });
    assert_eq!(quiet(&mut sight, 3), Judged::Quiet { vouches: Some(ShardId(1)) });
    assert_eq!(sight.shards.newest(1, rest(101), at(11.5)), Judged::Open);
    assert_eq!(quiet(&mut sight, 0), Judged::Quiet { vouches: None }, "the other one contradicts");
}

#[test]
fn what_one_shard_does_not_deliver_breaks_that_shard() {
    let mut sight = Sight::new(2, 1, 18);
    (1..=2).for_each(|second| {
        sight.trades(0);
        sight.trades(1);
        sight.looks(second);
    });
    let looked: Vec<u32> = (3..=20).filter(|second| !sight.looks(*second).is_empty()).collect();
    assert_eq!(looked.first(), Some(&12));
    assert_eq!(sight.shards.newest(1, rest(110), at(20.1)), Judged::Open);
    let tails: Vec<_> = (21..=24).map(|second| sight.tick(at(f64::from(second)))[&1].tail).collect();
    assert!(tails.contains(&Tail::Broken(AggTradeId(110))), "{tails:?}");
    sight.shards.link(&session(1, 2, LinkChange::Closed), at(25.0));
    assert_eq!(sight.shards.newest(0, rest(102), at(25.1)), Judged::Quiet { vouches: Some(ShardId(0)) });
}

#[test]
fn a_lane_that_moves_keeps_its_rate_and_is_looked_at_once_if_it_does_not_go_on() {
    let mut sight = Sight::new(2, 1, 18);
    for second in 0..20 {
        sight.trades(0);
        sight.looks(second);
    }
    let rate = sight.shards.trades_per_hour(0);
    assert!((3_000..4_000).contains(&rate), "{rate}");
    sight.lanes.get_mut(&0).expect("it is followed").1 = 1;
    assert!(!sight.looks(20).contains(&0));
    assert_eq!(sight.shards.trades_per_hour(0), rate);
    assert!(sight.looks(21).contains(&0));
    assert_eq!(sight.shards.newest(0, rest(121), at(21.1)), Judged::Open);
    // Lost on the way: nobody is called broken for it.
    let tails: Vec<_> = (22..=23).map(|second| sight.tick(at(f64::from(second)))[&0].tail).collect();
    assert!(tails.contains(&Tail::Behind(AggTradeId(121))), "{tails:?}");
    assert!(!sight.looks(30).contains(&0));
    sight.shards.link(&session(0, 1, LinkChange::Closed), at(31.0));
    assert!((31..90).any(|second| sight.looks(second).contains(&0)), "its old connection is nothing to it");
}

#[test]
fn a_lane_that_ends_is_forgotten_and_begins_anew_when_it_comes_back() {
    let mut sight = Sight::new(1, 2, 18);
    (1..=30).for_each(|second| drop(sight.looks(second)));
    let gone = sight.lanes.remove(&1).expect("it was there");
    sight.shards.begin_tick(at(31.0));
    assert_eq!(sight.shards.end_tick(), [0, 1], "a tick that shows nothing ends all");
    sight.tick(at(32.0));
    assert_eq!(sight.shards.newest(1, rest(7), at(33.0)), Judged::Open, "nobody asks any more");
    sight.lanes.insert(1, gone);
    let looked = (33..60).find(|second| sight.looks(*second).contains(&1));
    assert!(looked.is_some(), "its looks begin anew");
}

#[test]
fn where_no_rate_is_known_the_newest_id_tells_how_liquid_a_symbol_is() {
    let mut sight = Sight::new(1, 2, 18);
    sight.lanes.get_mut(&1).expect("it is followed").2 = Some(3_339_472_001);
    sight.tick(at(1.0));
    assert!(sight.shards.trades_per_hour(1) > sight.shards.trades_per_hour(0));
}

/// A day of many lanes, whose trades all arrive: what is asked, and what is said of them.
#[derive(Debug, Default)]
struct Day {
    /// The seconds of all looks.
    looks: Vec<u32>,
    /// Lanes that were looked at.
    lanes: BTreeSet<usize>,
    /// The longest time without a trade or a voucher, of any shard.
    longest: u32,
    /// How often a lane was called behind, broken or mute.
    alarms: usize,
}

fn row(id: i64) -> AggTrade {
    AggTrade {
        id: AggTradeId(id),
        price: Price::from_units(1),
        qty: Qty::from_units(1),
        qty_without_rpi: None,
        first_trade_id: id,
        last_trade_id: id,
        traded_at: UnixMillis(0),
        event_at: None,
        aggressor: Aggressor::Buyer,
    }
}

impl Day {
    /// `trades`: whether a lane trades in a second. As a repair asks, with the weight of the futures.
    fn spent(shards: u16, each: usize, seconds: u32, trades: impl Fn(usize, u32) -> bool) -> Self {
        let mut planner = Planner::new(WeightBudget::of(Market::UsdM), Duration::from_secs(60));
        let mut sight = Sight::new(shards, each, planner.probes_per_minute());
        let mut looks = Looks::new(planner.probes_per_minute());
        let mut day = Self::default();
        let mut alive = vec![0; usize::from(shards)];
        for second in 0..seconds {
            let now = at(f64::from(second));
            let traded: Vec<usize> = (0..sight.lanes.len()).filter(|lane| trades(*lane, second)).collect();
            for lane in traded {
                sight.trades(lane);
                alive[usize::from(sight.lanes[&lane].1)] = second;
            }
            for (lane, seen) in sight.tick(now) {
                if seen.has_moved {
                    planner.withdraw_probe(lane);
                }
                match seen.tail {
                    Tail::Probe(urgency) => looks.want(urgency, lane, sight.shards.trades_per_hour(lane)),
                    Tail::Behind(_) | Tail::Broken(_) | Tail::Mute(_) => day.alarms += 1,
                    Tail::Quiet | Tail::Wait | Tail::Agreed => {}
                }
            }
            for lane in looks.choose(planner.probes_waiting(), sight.shards.are_silent(now), now) {
                sight.shards.looked(lane, now);
                planner.probe(lane, &instrument(lane).symbol, now);
            }
            while let Step::Ask(Request { lane, ask: Ask::Newest, .. }) = planner.next(now) {
                day.looks.push(second);
                day.lanes.insert(lane);
                let newest = sight.lanes[&lane].2.expect("all have traded");
                planner.answered(Ok(Page { trades: vec![row(newest)], used_weight: None }), now);
                if let Judged::Quiet { vouches: Some(shard) } = sight.shards.newest(lane, rest(newest), now) {
                    alive[usize::from(shard.0)] = second;
                }
            }
            let silent = alive.iter().map(|at| second - at).max().unwrap_or(0);
            day.longest = day.longest.max(silent);
        }
        day
    }

    fn most_in_a_minute(&self) -> usize {
        let within = |at: &u32| self.looks.iter().filter(|look| (*at..at + 60).contains(look)).count();
        self.looks.iter().map(within).max().unwrap_or(0)
    }
}

/// Some trade every other second, half of them once in ten minutes, a few hardly ever.
fn of_a_quiet_day(lane: usize, second: u32) -> bool {
    let every = match lane % 20 {
        0 => 3_600 * 5,
        1..=10 => 600,
        _ => 2 + (lane as u32 % 7),
    };
    (second + lane as u32 * 7_919).is_multiple_of(every)
}

#[test]
fn six_hundred_lanes_of_which_half_trade_once_in_ten_minutes_fit_the_share_of_looks() {
    let day = Day::spent(3, 200, 1_800, of_a_quiet_day);
    assert_eq!(day.alarms, 0);
    assert!(day.most_in_a_minute() <= 18, "{}", day.most_in_a_minute());
    // Lively connections need no voucher: what is asked is a fraction of what may be.
    assert!(day.looks.len() < 30 * 9, "{} looks", day.looks.len());
    assert!(day.longest < 10, "{} s", day.longest);
}

#[test]
fn when_nobody_trades_all_night_every_connection_is_vouched_for_in_time() {
    for (shards, each) in [(3, 200), (1, 100), (8, 50)] {
        let day =
            Day::spent(shards, each, 600, |lane, second| second < 60 && lane % 3 == second as usize % 3);
        assert_eq!(day.alarms, 0);
        assert!(day.most_in_a_minute() <= 18, "{}", day.most_in_a_minute());
        assert!(day.longest < 60, "{shards} shards: {} s without a sign of life", day.longest);
        assert!(day.lanes.len() > 20, "in turn others are looked at too: {}", day.lanes.len());
    }
}

#[test]
fn the_share_of_looks_is_what_the_weight_says() {
    for (market, looks) in [(Market::UsdM, 18), (Market::CoinM, 18), (Market::Spot, 225)] {
        let budget = WeightBudget::of(market);
        assert_eq!(budget.probes_per_minute(), looks);
        let now = at(1.0);
        let mut spent = budget.clone();
        (0..looks).for_each(|_| spent.spend(now, Kind::Probe));
        assert!(spent.ready_at(now, Kind::Probe).is_err());
    }
}
