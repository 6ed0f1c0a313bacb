//! A planner, a pretended exchange and a pretended pipeline in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::snapshot::Market;
use crate::trade::Aggressor;
use crate::units::{Price, Qty};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
const HOUR_MS: i64 = 3_600_000;
/// The wall clock at monotonic 0, ten seconds after a full minute.
const WALL_MS: i64 = 1_800_000_000_000 + 10_000;

fn row(id: i64, at_ms: i64) -> AggTrade {
    AggTrade {
        id: AggTradeId(id),
        price: Price::from_units(1),
        qty: Qty::from_units(1),
        qty_without_rpi: None,
        first_trade_id: id,
        last_trade_id: id,
        traded_at: UnixMillis(at_ms),
        event_at: None,
        aggressor: Aggressor::Buyer,
    }
}

/// All trades of a symbol: id is the index.
#[derive(Clone)]
struct Tape {
    times: Vec<i64>,
    /// Ids REST does not have.
    omitted: BTreeSet<i64>,
    /// How many REST knows by now.
    visible: i64,
    /// Ids below this one are too old to be asked for by id.
    too_old: i64,
}

impl Tape {
    fn every_second(trades: i64) -> Self {
        let times = (0..trades).map(|id| WALL_MS - (trades - id) * 1_000).collect();
        Self { times, omitted: BTreeSet::new(), visible: trades, too_old: 0 }
    }

    fn page(&self, ask: Ask) -> Result<Page, RestError> {
        let rows = |from: usize, limit: u32, end: i64| {
            let ids = (from as i64..self.visible).filter(|id| !self.omitted.contains(id));
            let rows = ids.map(|id| row(id, self.times[id as usize])).take_while(|r| r.traded_at.0 <= end);
            Ok(Page { trades: rows.take(limit as usize).collect(), used_weight: None })
        };
        match ask {
            Ask::FromId { from, .. } if from.0 < self.too_old => Err(RestError::TooOldForIds),
            Ask::FromId { from, limit } => rows(from.0 as usize, limit, i64::MAX),
            Ask::Window { start, end, limit } => {
                assert!(end.0 - start.0 < HOUR_MS && end >= start, "{start:?} to {end:?}");
                rows(self.times.partition_point(|at| *at < start.0), limit, end.0)
            }
            Ask::Newest => rows((self.visible - 1).max(0) as usize, 1, i64::MAX),
        }
    }
}

/// What is missing, as a pipeline keeps it.
fn without(holes: &[Hole], ids: impl IntoIterator<Item = (i64, i64)>) -> Vec<Hole> {
    let mut left = holes.to_vec();
    for (id, at) in ids {
        let Some(index) = left.iter().position(|h| h.ids.from.0 <= id && id <= h.ids.to.0) else { continue };
        let hole = left.remove(index);
        if id < hole.ids.to.0 {
            let ids = IdRange::new(id + 1, hole.ids.to.0);
            left.insert(index, Hole { ids, after: UnixMillis(at) });
        }
        if hole.ids.from.0 < id {
            left.insert(index, Hole { ids: IdRange::new(hole.ids.from.0, id - 1), after: hole.after });
        }
    }
    left
}

struct World {
    planner: Planner,
    mono: u64,
    tapes: Vec<Tape>,
    holes: BTreeMap<usize, Vec<Hole>>,
    /// When, whom, what.
    asked: Vec<(u64, usize, Ask)>,
    given_up: Vec<(u64, usize, IdRange, GiveUpReason)>,
    newest: Vec<(usize, i64)>,
    notices: Vec<Notice>,
}

impl World {
    fn new(tapes: Vec<Tape>) -> Self {
        Self {
            planner: Planner::new(WeightBudget::of(Market::UsdM), Duration::from_secs(60)),
            mono: 0,
            tapes,
            holes: BTreeMap::new(),
            asked: Vec::new(),
            given_up: Vec::new(),
            newest: Vec::new(),
            notices: Vec::new(),
        }
    }

    fn now(&self) -> Stamp {
        Stamp { wall_ns: WALL_MS * MS as i64 + self.mono as i64, mono_ns: self.mono }
    }

    fn symbol(lane: usize) -> Symbol {
        Symbol::new(&format!("LANE{lane}")).unwrap()
    }

    fn lose(&mut self, lane: usize, ranges: &[(i64, i64)]) {
        let after = |id: i64| UnixMillis(self.tapes[lane].times[(id - 1) as usize]);
        let holes =
            ranges.iter().map(|(a, b)| Hole { ids: IdRange::new(*a, *b), after: after(*a) }).collect();
        self.holes.insert(lane, holes);
        self.want(lane);
    }

    fn want(&mut self, lane: usize) {
        let now = self.now();
        self.planner.want(lane, &Self::symbol(lane), &self.holes[&lane], now);
    }

    fn deliver(&mut self, reply: Reply) {
        let lane = reply.lane;
        let before = self.holes.get(&lane).cloned().unwrap_or_default();
        let after = match reply.answer {
            Answer::Newest(id) | Answer::Confirm(id) => {
                self.newest.push((lane, id.0));
                return;
            }
            Answer::Trades(rows) => without(&before, rows.iter().map(|r| (r.id.0, r.traded_at.0))),
            Answer::GaveUp { ids, reason } => {
                assert!(before.iter().any(|h| h.ids == ids), "{ids} is no hole of lane {lane}: {before:?}");
                self.given_up.push((self.mono, lane, ids, reason));
                before.iter().filter(|h| h.ids != ids).copied().collect()
            }
        };
        if after != before {
            self.holes.insert(lane, after);
            self.want(lane);
        }
    }

    /// Goes on until nothing is left to do, or until a moment.
    fn run(
        &mut self,
        until: u64,
        mut rest: impl FnMut(&mut Self, &Request) -> (Result<Page, RestError>, Duration),
    ) {
        loop {
            let now = self.now();
            let step = self.planner.next(now);
            self.take_notices();
            match step {
                Step::Reply(reply) => self.deliver(reply),
                Step::Wait(None) => return,
                Step::Wait(Some(at)) => {
                    assert!(at > self.mono, "waiting for a moment that has passed");
                    if at > until {
                        self.mono = until;
                        return;
                    }
                    self.mono = at;
                }
                Step::Ask(request) => {
                    assert_eq!(request.symbol, Self::symbol(request.lane));
                    self.asked.push((self.mono, request.lane, request.ask));
                    let (result, latency) = rest(self, &request);
                    let back = self.mono + latency.as_nanos() as u64;
                    while self.mono < back {
                        let now = self.now();
                        match self.planner.next(now) {
                            Step::Ask(request) => panic!("two requests at once: {request:?}"),
                            Step::Reply(reply) => {
                                assert_ne!(reply.lane, request.lane, "an answer may still help");
                                self.deliver(reply);
                            }
                            Step::Wait(at) => self.mono = at.unwrap_or(u64::MAX).min(back),
                        }
                    }
                    let now = self.now();
                    let reply = self.planner.answered(result, now);
                    self.take_notices();
                    if let Some(reply) = reply {
                        self.deliver(reply);
                    }
                }
            }
        }
    }

    /// An exchange that tells the truth, in 100 ms.
    fn run_truly(&mut self, until: u64) {
        self.run(until, |world, request| {
            (world.tapes[request.lane].page(request.ask), Duration::from_millis(100))
        });
    }

    fn run_failing(&mut self, until: u64, error: RestError) {
        self.run(until, |_, _| (Err(error.clone()), Duration::from_millis(100)));
    }

    fn take_notices(&mut self) {
        while let Some(notice) = self.planner.take_notice() {
            self.notices.push(notice);
        }
    }

    fn missing(&self) -> usize {
        self.holes.values().map(Vec::len).sum()
    }

    fn asked_ms(&self) -> Vec<u64> {
        self.asked.iter().map(|(at, ..)| at / MS).collect()
    }
}

fn by_id(from: i64, limit: u32) -> Ask {
    Ask::FromId { from: AggTradeId(from), limit }
}

fn passing() -> RestError {
    RestError::Passing("a broken connection".into())
}

fn refused(status: u16, code: Option<i64>) -> RestError {
    RestError::Refused { status, code, message: "no".into() }
}

fn too_many(seconds: u64) -> RestError {
    RestError::TooManyRequests {
        status: 429,
        retry_after: Some(Duration::from_secs(seconds)),
        banned_until: None,
        used_weight: None,
        message: "slow down".into(),
    }
}

#[test]
fn one_page_fills_all_the_holes_it_covers() {
    let mut world = World::new(vec![Tape::every_second(5_000)]);
    world.lose(0, &[(100, 149), (200, 200), (900, 1_000)]);
    world.run_truly(60 * SECOND);
    assert_eq!(world.asked, [(0, 0, by_id(100, 901))]);
    assert_eq!(world.missing(), 0);
    assert_eq!(world.planner.rest_calls(), 1);
}

#[test]
fn a_long_hole_is_fetched_page_after_page_without_a_pause() {
    let mut world = World::new(vec![Tape::every_second(5_000)]);
    world.lose(0, &[(100, 3_099)]);
    world.run_truly(60 * SECOND);
    let pages =
        [(0, 0, by_id(100, 1_000)), (100 * MS, 0, by_id(1_100, 1_000)), (200 * MS, 0, by_id(2_100, 1_000))];
    assert_eq!(world.asked, pages);
    assert_eq!(world.missing(), 0);
}

#[test]
fn while_rest_trails_the_stream_it_is_asked_again_soon_and_then_less_often() {
    let mut world = World::new(vec![Tape::every_second(500)]);
    world.tapes[0].visible = 400;
    world.lose(0, &[(400, 410)]);
    world.run(30 * SECOND, |world, request| {
        if world.mono >= 20 * SECOND {
            world.tapes[0].visible = 500;
        }
        (world.tapes[0].page(request.ask), Duration::ZERO)
    });
    assert_eq!(world.asked_ms(), [0, 250, 750, 1_750, 3_750, 8_750, 13_750, 18_750, 23_750]);
    assert_eq!(world.missing(), 0);
}

#[test]
fn progress_resets_the_pause() {
    let mut world = World::new(vec![Tape::every_second(500)]);
    world.tapes[0].visible = 400;
    world.lose(0, &[(400, 410)]);
    world.run(30 * SECOND, |world, request| {
        // One more id each time REST was asked twice.
        world.tapes[0].visible = 400 + world.asked.len() as i64 / 2;
        (world.tapes[0].page(request.ask), Duration::ZERO)
    });
    assert_eq!(world.missing(), 0);
    let asked = world.asked_ms();
    assert!(asked.windows(2).all(|pair| pair[1] - pair[0] <= 500), "{asked:?}");
}

#[test]
fn a_hole_that_rest_does_not_have_is_given_up_after_the_deadline_and_no_other() {
    let mut world = World::new(vec![Tape::every_second(5_000)]);
    world.tapes[0].omitted = (120..=125).collect();
    world.lose(0, &[(100, 149), (3_000, 3_001)]);
    world.run_truly(600 * SECOND);
    let [(at, 0, ids, GiveUpReason::Deadline)] = world.given_up[..] else { panic!("{:?}", world.given_up) };
    assert_eq!(ids, IdRange::new(120, 125));
    // From the answer that brought the rest at 100 ms.
    assert!((60 * SECOND..=61 * SECOND).contains(&at), "{at}");
    assert_eq!(world.missing(), 0);
    let second = world.asked.iter().find(|(_, _, ask)| *ask == by_id(3_000, 2)).expect("asked in its turn");
    assert!(second.0 < SECOND, "the first hole must not hold up the second");
}

#[test]
fn a_ban_stops_everything_and_its_time_does_not_count() {
    let mut world = World::new(vec![Tape::every_second(500), Tape::every_second(500)]);
    world.lose(0, &[(400, 410)]);
    world.lose(1, &[(400, 410)]);
    let mut bans = 0;
    world.run(3_600 * SECOND, |_, _| {
        bans += 1;
        let error = if bans <= 2 { too_many(600) } else { passing() };
        (Err(error), Duration::ZERO)
    });
    assert_eq!(world.asked_ms()[..3], [0, 600_000, 1_200_000]);
    assert_eq!(world.given_up.len(), 2);
    for (at, ..) in &world.given_up {
        assert!((1_260 * SECOND..1_266 * SECOND).contains(at), "{at}");
    }
    let banned = world.notices.iter().filter(|n| matches!(n, Notice::Banned { status: 429, .. })).count();
    assert_eq!(banned, 2, "{:?}", world.notices);
}

#[test]
fn bans_without_end_are_a_refusal_in_the_end() {
    let mut world = World::new(vec![Tape::every_second(500), Tape::every_second(500)]);
    world.lose(0, &[(400, 410)]);
    world.lose(1, &[(400, 410)]);
    world.run_failing(u64::MAX, too_many(60));
    assert_eq!((world.asked.len(), world.missing()), (100, 0));
    assert!(world.given_up.iter().all(|(.., reason)| *reason == GiveUpReason::Refused));
    // After the last ban a new hole tries again, and it may be over.
    world.mono += 60 * SECOND;
    world.lose(1, &[(400, 410)]);
    world.run_truly(u64::MAX);
    assert_eq!((world.asked.len(), world.missing(), world.given_up.len()), (101, 0, 2));
}

#[test]
fn time_without_weight_does_not_count() {
    let mut world = World::new(vec![Tape::every_second(500)]);
    world.lose(0, &[(400, 410)]);
    world.run(3_600 * SECOND, |world, _| {
        // Somebody else uses the weight up for the first ten minutes.
        let used = if world.mono < 600 * SECOND { 2_300 } else { 20 };
        (Ok(Page { trades: Vec::new(), used_weight: Some(used) }), Duration::ZERO)
    });
    let [(at, ..)] = world.given_up[..] else { panic!("{:?}", world.given_up) };
    // The first minute with weight begins at 650 s.
    assert!((705 * SECOND..=711 * SECOND).contains(&at), "{at}");
    let short = world.notices.iter().filter(|n| matches!(n, Notice::BudgetExhausted { .. })).count();
    assert!((1..=11).contains(&short), "{:?}", world.notices);
}

#[test]
fn the_turns_of_others_do_not_count_and_nobody_is_starved() {
    // Requests that hang for 8 s each: of a lane's time, 8 s in 80 are its own, and a pause.
    let mut world = World::new((0..10).map(|_| Tape::every_second(500)).collect());
    (0..10).for_each(|lane| world.lose(lane, &[(400, 410)]));
    world.run(3_600 * SECOND, |_, _| (Err(passing()), Duration::from_secs(8)));
    assert_eq!(world.given_up.len(), 10);
    for lane in 0..10 {
        let asked = world.asked.iter().filter(|(_, l, _)| *l == lane).count();
        assert!(asked >= 5, "lane {lane} was asked {asked} times only");
    }
    let first: Vec<usize> = world.asked[..20].iter().map(|(_, lane, _)| *lane).collect();
    for (turn, lane) in first.iter().enumerate() {
        assert_eq!(*lane, (turn + 1) % 10, "each lane in its turn: {first:?}");
    }
}

#[test]
fn a_long_hole_does_not_keep_a_later_one_or_another_lane_waiting() {
    let mut world = World::new(vec![Tape::every_second(50_000), Tape::every_second(500)]);
    world.lose(0, &[(100, 30_000), (40_000, 40_001)]);
    world.lose(1, &[(400, 410)]);
    world.run_truly(600 * SECOND);
    assert_eq!(world.missing(), 0);
    let place = |ask: Ask| world.asked.iter().position(|(_, _, a)| *a == ask).expect("asked");
    assert!(place(by_id(40_000, 2)) <= 3, "{:?}", &world.asked[..5]);
    assert!(place(by_id(400, 11)) <= 3, "{:?}", &world.asked[..5]);
    assert!(world.given_up.is_empty(), "{:?}", world.given_up);
}

#[test]
fn ids_that_came_start_the_time_anew_and_more_missing_ids_do_not() {
    for (second, expected) in [((403, 410), 90), ((400, 420), 60)] {
        let mut world = World::new(vec![Tape::every_second(500)]);
        world.tapes[0].visible = 400;
        world.lose(0, &[(400, 410)]);
        world.run_truly(30 * SECOND);
        world.lose(0, &[second]);
        world.run_truly(600 * SECOND);
        let [(at, _, ids, _)] = world.given_up[..] else { panic!("{:?}", world.given_up) };
        assert_eq!(ids, IdRange::new(second.0, second.1));
        assert!((expected * SECOND..(expected + 6) * SECOND).contains(&at), "{at} for {second:?}");
    }
}

#[test]
fn holes_that_become_one_win_no_time_by_it() {
    let mut world = World::new(vec![Tape::every_second(500)]);
    world.tapes[0].visible = 400;
    world.lose(0, &[(400, 410)]);
    world.run_truly(40 * SECOND);
    world.lose(0, &[(400, 410), (420, 430)]);
    world.run_truly(50 * SECOND);
    world.lose(0, &[(400, 430)]);
    world.run_truly(600 * SECOND);
    let [(at, _, ids, _)] = world.given_up[..] else { panic!("{:?}", world.given_up) };
    assert_eq!(ids, IdRange::new(400, 430));
    assert!((60 * SECOND..66 * SECOND).contains(&at), "{at}");
}

#[test]
fn a_hole_whose_time_is_over_while_others_had_their_turn_is_asked_for_once_more() {
    // Twenty holes too far apart for one page, and 8 s for each answer.
    let mut world = World::new(vec![Tape::every_second(50_000)]);
    world.tapes[0].visible = 2_000;
    let holes: Vec<(i64, i64)> = (1..=20).map(|n| (n * 2_000, n * 2_000 + 5)).collect();
    world.lose(0, &holes);
    world.run(3_600 * SECOND, |world, request| {
        world.tapes[0].visible = if world.asked.len() > 20 { 50_000 } else { 2_000 };
        (world.tapes[0].page(request.ask), Duration::from_secs(8))
    });
    assert_eq!((world.given_up.len(), world.missing()), (0, 0));
}

#[test]
fn a_search_through_silent_years_ends() {
    let mut world = World::new(vec![Tape::every_second(500)]);
    world.holes.insert(0, vec![Hole { ids: IdRange::new(400, 410), after: UnixMillis(0) }]);
    world.want(0);
    world.run(24 * 3_600 * SECOND, |_, request| match request.ask {
        Ask::FromId { .. } => (Err(RestError::TooOldForIds), Duration::ZERO),
        _ => (Ok(Page { trades: Vec::new(), used_weight: None }), Duration::ZERO),
    });
    assert_eq!((world.given_up.len(), world.missing()), (1, 0));
    assert!(world.mono < 3_600 * SECOND, "took {} s", world.mono / SECOND);
}

#[test]
fn a_hole_whose_first_id_never_comes_ends_even_if_its_end_comes_and_goes() {
    let mut world = World::new(vec![Tape::every_second(500)]);
    world.tapes[0].visible = 400;
    world.lose(0, &[(400, 410)]);
    while world.given_up.is_empty() && world.mono < 1_000 * SECOND {
        let until = world.mono + 20 * SECOND;
        let end = if (world.mono / (20 * SECOND)).is_multiple_of(2) { 405 } else { 410 };
        world.lose(0, &[(400, end)]);
        world.run_truly(until);
    }
    assert!(world.mono <= 200 * SECOND, "given up after {} s", world.mono / SECOND);
}

#[test]
fn the_later_of_two_holes_can_be_given_up_first() {
    let mut world = World::new(vec![Tape::every_second(5_000)]);
    world.tapes[0].omitted = (3_000..3_010).chain(100..200).collect();
    world.lose(0, &[(100, 199), (3_000, 3_009)]);
    world.run_truly(30 * SECOND);
    world.lose(0, &[(150, 199), (3_000, 3_009)]);
    world.run_truly(600 * SECOND);
    let order: Vec<IdRange> = world.given_up.iter().map(|(_, _, ids, _)| *ids).collect();
    assert_eq!(order, [IdRange::new(3_000, 3_009), IdRange::new(150, 199)]);
}

#[test]
fn a_451_gives_up_every_hole_and_one_may_try_again_after_ten_minutes() {
    let mut world = World::new(vec![Tape::every_second(500), Tape::every_second(500)]);
    world.lose(0, &[(400, 410), (420, 421)]);
    world.lose(1, &[(400, 410)]);
    world.run_failing(SECOND, refused(451, None));
    assert_eq!(world.asked.len(), 1);
    assert_eq!(world.given_up.len(), 3);
    assert!(world.given_up.iter().all(|(.., reason)| *reason == GiveUpReason::Refused));
    let [Notice::Refused { symbol: None, status: 451, .. }] = world.notices[..] else {
        panic!("{:?}", world.notices)
    };
    // A new one is given up at once, and nobody asks.
    world.mono = 500 * SECOND;
    world.lose(1, &[(430, 431)]);
    world.planner.probe(0, &World::symbol(0), world.now());
    world.run_truly(510 * SECOND);
    assert_eq!((world.asked.len(), world.given_up.len()), (1, 4));
    // Later one asks again, in vain; the other is given up without.
    world.mono = 601 * SECOND;
    world.lose(0, &[(440, 441)]);
    world.lose(1, &[(440, 441)]);
    world.run_failing(602 * SECOND, refused(451, None));
    assert_eq!((world.asked.len(), world.given_up.len(), world.notices.len()), (2, 6, 1));
    // And at last it helps.
    world.mono = 1_300 * SECOND;
    world.lose(0, &[(440, 441)]);
    world.lose(1, &[(440, 441)]);
    world.run_truly(1_400 * SECOND);
    assert_eq!((world.asked.len(), world.given_up.len(), world.missing()), (4, 6, 0));
    // After an answer, a new refusal is news.
    world.lose(0, &[(440, 441)]);
    world.run_failing(1_500 * SECOND, refused(451, None));
    assert_eq!(world.notices.len(), 2);
}

#[test]
fn after_a_403_everybody_waits_a_minute_and_the_deadline_decides() {
    let mut world = World::new(vec![Tape::every_second(500), Tape::every_second(500)]);
    world.lose(0, &[(400, 410)]);
    world.lose(1, &[(400, 410)]);
    world.run_failing(600 * SECOND, refused(403, None));
    let asked = world.asked_ms();
    assert_eq!(asked[..2], [0, 60_000]);
    assert_eq!(world.given_up.len(), 2);
    for (at, _, _, reason) in &world.given_up {
        assert!((60 * SECOND..=121 * SECOND).contains(at), "{at}");
        assert_eq!(*reason, GiveUpReason::Deadline);
    }
    assert_eq!(world.notices.len(), 1, "{:?}", world.notices);
}

#[test]
fn an_unknown_symbol_is_given_up_alone_and_asked_again_after_a_minute_at_the_earliest() {
    let mut world = World::new(vec![Tape::every_second(500), Tape::every_second(500)]);
    world.lose(1, &[(400, 410), (420, 430)]);
    world.run_failing(SECOND, refused(400, Some(-1121)));
    world.lose(0, &[(400, 410)]);
    world.lose(1, &[(440, 441)]);
    world.run_truly(2 * SECOND);
    assert_eq!(world.asked.len(), 2, "lane 0 is asked for, lane 1 not: {:?}", world.asked);
    let lanes: Vec<usize> = world.given_up.iter().map(|(_, lane, ..)| *lane).collect();
    assert_eq!(lanes, [1, 1, 1]);
    let [Notice::Refused { symbol: Some(symbol), remedy, .. }] = &world.notices[..] else {
        panic!("{:?}", world.notices)
    };
    assert_eq!((symbol.as_str(), remedy.contains("symbol")), ("LANE1", true));
    world.mono = 62 * SECOND;
    world.lose(1, &[(440, 441)]);
    world.run_truly(70 * SECOND);
    assert_eq!((world.asked.len(), world.missing()), (3, 0));
}

#[test]
fn trades_older_than_a_day_are_found_by_time() {
    let mut world = World::new(vec![Tape::every_second(100_000)]);
    world.tapes[0].too_old = 13_600;
    world.lose(0, &[(1_000, 9_999), (50_000, 50_010)]);
    world.run_truly(600 * SECOND);
    assert_eq!(world.missing(), 0);
    assert!(world.given_up.is_empty(), "{:?}", world.given_up);
    // The later hole was tried by id, and that helped; it did not wait for the end of the search.
    assert!(world.asked.iter().take(3).any(|(_, _, ask)| *ask == by_id(50_000, 11)), "{:?}", world.asked);
    let windows = world.asked.iter().filter(|(_, _, ask)| matches!(ask, Ask::Window { .. })).count();
    assert!((9..=11).contains(&windows), "{windows} windows");
}

#[test]
fn two_searches_through_time_take_turns() {
    let mut world = World::new(vec![Tape::every_second(200_000)]);
    world.tapes[0].too_old = 100_000;
    world.lose(0, &[(1_000, 20_000), (40_000, 60_000)]);
    world.run_truly(600 * SECOND);
    assert_eq!((world.missing(), world.given_up.len()), (0, 0));
    let starts: Vec<bool> = world
        .asked
        .iter()
        .filter_map(|(_, _, ask)| match ask {
            Ask::Window { start, .. } => Some(start.0 < world.tapes[0].times[30_000]),
            _ => None,
        })
        .collect();
    assert!(starts[..20].windows(2).all(|pair| pair[0] != pair[1]), "{starts:?}");
}

#[test]
fn silent_hours_are_passed_over() {
    let mut tape = Tape::every_second(100_000);
    for at in &mut tape.times[..1_001] {
        *at -= 5 * HOUR_MS;
    }
    tape.too_old = 13_600;
    let mut world = World::new(vec![tape]);
    // After id 1,000 nothing happened for five hours.
    world.lose(0, &[(1_001, 1_010)]);
    world.run_truly(600 * SECOND);
    assert_eq!((world.missing(), world.given_up.len()), (0, 0));
    assert!(world.asked.len() <= 8, "{:?}", world.asked);
}

#[test]
fn a_millisecond_with_more_rows_than_a_page_is_stepped_through_by_id() {
    for refusing in [false, true] {
        let mut tape = Tape::every_second(100_000);
        let at = tape.times[1_000];
        tape.times[1_000..=3_500].fill(at);
        tape.too_old = if refusing { 13_600 } else { 1_500 };
        let mut world = World::new(vec![tape]);
        world.lose(0, &[(1_200, 3_600)]);
        world.run_truly(600 * SECOND);
        assert_eq!(world.missing(), 0);
        let lost: u64 = world.given_up.iter().map(|(_, _, ids, _)| ids.count()).sum();
        // By time one page of that millisecond is to be had: up to id 1,999.
        assert_eq!(lost, if refusing { 1_501 } else { 0 }, "{:?}", world.given_up);
        assert!(world.asked.iter().any(|(_, _, ask)| *ask == by_id(2_000, 1_000)));
        // The millisecond is left after one refusal: four requests each time the search begins anew.
        assert!(world.asked.len() <= 70, "{} requests", world.asked.len());
    }
}

#[test]
fn the_newest_trade_is_asked_for_once_and_after_the_holes() {
    let mut world = World::new(vec![Tape::every_second(500), Tape::every_second(600)]);
    world.planner.probe(0, &World::symbol(0), world.now());
    world.planner.probe(0, &World::symbol(0), world.now());
    world.lose(1, &[(400, 410)]);
    world.run_truly(60 * SECOND);
    assert_eq!(world.asked, [(0, 1, by_id(400, 11)), (100 * MS, 0, Ask::Newest)]);
    assert_eq!(world.newest, [(0, 499)]);
}

#[test]
fn holes_that_keep_rest_busy_leave_the_newest_trade_a_turn() {
    let mut world = World::new(vec![Tape::every_second(90_000), Tape::every_second(600)]);
    world.lose(0, &[(100, 80_000)]);
    world.planner.probe(1, &World::symbol(1), world.now());
    world.run_truly(10 * SECOND);
    assert_eq!(world.asked.iter().position(|(_, _, ask)| *ask == Ask::Newest), Some(8));
}

#[test]
fn the_newest_trade_is_not_asked_for_again_and_again_when_that_fails() {
    let mut world = World::new(vec![Tape::every_second(500)]);
    world.planner.probe(0, &World::symbol(0), world.now());
    world.run_failing(600 * SECOND, passing());
    assert_eq!(world.asked.len(), 4);
    assert!(world.newest.is_empty());
}

#[test]
fn a_hole_that_is_still_wanted_after_it_was_given_up_is_not_told_again_at_once() {
    let mut world = World::new(vec![Tape::every_second(500)]);
    world.tapes[0].visible = 400;
    world.lose(0, &[(400, 410)]);
    world.run_truly(70 * SECOND);
    assert_eq!(world.given_up.len(), 1);
    let mut planner = Planner::new(WeightBudget::of(Market::UsdM), Duration::from_secs(1));
    let hole = Hole { ids: IdRange::new(5, 6), after: UnixMillis(0) };
    let at = |mono_ns| Stamp { wall_ns: 0, mono_ns };
    planner.want(0, &World::symbol(0), &[hole], at(0));
    assert!(matches!(planner.next(at(0)), Step::Ask(_)));
    assert_eq!(planner.answered(Err(refused(404, None)), at(1)), None);
    assert!(matches!(planner.next(at(1)), Step::Reply(_)));
    planner.want(0, &World::symbol(0), &[hole], at(2));
    assert_eq!(planner.next(at(2)), Step::Wait(None));
    planner.want(0, &World::symbol(0), &[hole], at(6 * SECOND));
    assert!(matches!(planner.next(at(6 * SECOND)), Step::Reply(_)));
}

#[test]
fn an_answer_nobody_waits_for_is_ignored() {
    let mut planner = Planner::new(WeightBudget::of(Market::Spot), Duration::from_secs(60));
    let page = Page { trades: vec![row(1, 1)], used_weight: Some(5) };
    assert_eq!(planner.answered(Ok(page), Stamp::default()), None);
    assert_eq!(planner.next(Stamp::default()), Step::Wait(None));
}

/// How a pretended REST behaves for one request.
#[derive(Debug, Clone, Copy)]
enum Mood {
    Truth,
    Nothing,
    Known,
    Half,
    Passing,
    TooOld,
    Ban(u64),
    Refused(u16),
    Garbage(i64),
}

fn moods() -> impl Strategy<Value = Mood> {
    prop_oneof![
        6 => Just(Mood::Truth),
        2 => Just(Mood::Nothing),
        2 => Just(Mood::Known),
        2 => Just(Mood::Half),
        3 => Just(Mood::Passing),
        2 => Just(Mood::TooOld),
        1 => (0u64..200).prop_map(Mood::Ban),
        1 => prop::sample::select(vec![400, 403, 404, 451]).prop_map(Mood::Refused),
        1 => any::<i64>().prop_map(Mood::Garbage),
    ]
}

fn answer(mood: Mood, tape: &Tape, ask: Ask) -> Result<Page, RestError> {
    let page = |trades| Ok(Page { trades, used_weight: Some(100) });
    match mood {
        Mood::Truth => tape.page(ask),
        Mood::Nothing => page(Vec::new()),
        Mood::Known => page((0..1_000).map(|id| row(id, tape.times[id as usize])).collect()),
        Mood::Half => tape.page(ask).map(|mut page| {
            page.trades.truncate(page.trades.len() / 2);
            page
        }),
        Mood::Passing => Err(passing()),
        Mood::TooOld => Err(RestError::TooOldForIds),
        Mood::Ban(seconds) => Err(too_many(seconds)),
        Mood::Refused(status) => Err(refused(status, None)),
        Mood::Garbage(seed) => page(
            (0..seed.rem_euclid(1_001)).map(|i| row(seed.wrapping_mul(i), seed.wrapping_add(i))).collect(),
        ),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_hole_ends_whatever_rest_does_and_no_request_is_made_inside_a_ban(
        lanes in prop::collection::vec(prop::collection::vec((1i64..40, 1i64..1_500), 1..6), 1..5),
        moods in prop::collection::vec((moods(), 0u64..12_000), 1..25),
        too_old in prop_oneof![Just(0i64), 0i64..5_000],
    ) {
        let mut tape = Tape::every_second(10_000);
        tape.too_old = too_old;
        let mut world = World::new(lanes.iter().map(|_| tape.clone()).collect());
        for (lane, holes) in lanes.iter().enumerate() {
            let mut next = 10;
            let ranges: Vec<_> = holes.iter().map(|(between, length)| {
                let from = next + between;
                next = from + length + 1;
                (from, from + length)
            }).collect();
            world.lose(lane, &ranges);
        }
        let mut banned_until = 0;
        let mut turn = 0;
        let mut requests: Vec<u64> = Vec::new();
        world.run(u64::MAX, |world, request| {
            assert!(world.mono >= banned_until, "asked at {} inside a ban until {banned_until}", world.mono);
            requests.push(world.mono);
            assert!(requests.len() < 10_000, "it never ends");
            let (mood, latency) = moods[turn % moods.len()];
            turn += 1;
            if let Mood::Ban(seconds) = mood {
                banned_until = world.mono + latency * MS + seconds * SECOND;
            }
            (answer(mood, &world.tapes[request.lane], request.ask), Duration::from_millis(latency))
        });
        prop_assert_eq!(world.missing(), 0);
        prop_assert!(world.mono <= requests.len() as u64 * 300 * SECOND + 120 * SECOND, "waits without asking");
        for (index, at) in requests.iter().enumerate().skip(90) {
            prop_assert!(at - requests[index - 90] >= 60 * SECOND, "more than 90 requests in a minute");
        }
        prop_assert_eq!(world.planner.next(world.now()), Step::Wait(None));
    }

    #[test]
    fn a_truthful_exchange_fills_everything_whatever_happens_on_the_way(
        lanes in prop::collection::vec(prop::collection::vec((1i64..1_000, 1i64..1_500), 1..4), 1..4),
        moods in prop::collection::vec((moods().prop_filter("no refusal", |m| !matches!(m, Mood::Refused(_))), 0u64..2_000), 0..8),
    ) {
        let mut world = World::new(lanes.iter().map(|_| Tape::every_second(10_000)).collect());
        for (lane, holes) in lanes.iter().enumerate() {
            let mut next = 10;
            let ranges: Vec<_> = holes.iter().map(|(between, length)| {
                let from = next + between;
                next = from + length + 1;
                (from, from + length)
            }).collect();
            world.lose(lane, &ranges);
        }
        let mut turn = 0;
        world.run(u64::MAX, |world, request| {
            let (mood, latency) = moods.get(turn).copied().unwrap_or((Mood::Truth, 50));
            turn += 1;
            (answer(mood, &world.tapes[request.lane], request.ask), Duration::from_millis(latency))
        });
        prop_assert_eq!(world.missing(), 0);
        prop_assert!(world.given_up.is_empty(), "{:?}", world.given_up);
    }

    #[test]
    fn a_random_walk_of_holes_never_panics_and_ends(
        walk in prop::collection::vec(
            (0usize..3, prop::collection::vec((any::<i64>(), any::<i64>()), 0..6), moods(), any::<bool>(), 0u64..90_000),
            1..60),
    ) {
        let tape = Tape::every_second(2_000);
        let mut planner = Planner::new(WeightBudget::of(Market::CoinM), Duration::from_secs(60));
        let mut mono = 0u64;
        for (lane, ranges, mood, probe, pause) in walk {
            mono += pause * MS;
            let now = Stamp { wall_ns: pause as i64 * mono as i64, mono_ns: mono };
            let symbol = World::symbol(lane);
            // Even holes out of order, overlapping and inside out.
            let holes: Vec<Hole> = ranges
                .iter()
                .map(|(a, b)| Hole { ids: IdRange::new(a >> (b & 63), *b), after: UnixMillis(*a) })
                .collect();
            planner.want(lane, &symbol, &holes, now);
            if probe {
                planner.probe(lane, &symbol, now);
            }
            for _ in 0..5 {
                match planner.next(now) {
                    Step::Ask(request) => {
                        let result = match (mood, request.ask) {
                            (Mood::Truth | Mood::Half, _) => Ok(Page { trades: vec![row(7, 8)], used_weight: None }),
                            (mood, ask) => answer(mood, &tape, ask),
                        };
                        planner.answered(result, now);
                    }
                    Step::Reply(_) => {}
                    Step::Wait(at) => {
                        prop_assert!(at.is_none_or(|at| at > mono));
                        break;
                    }
                }
            }
        }
        // What is left over ends when REST never brings anything.
        for _ in 0..100_000 {
            let now = Stamp { wall_ns: 0, mono_ns: mono };
            match planner.next(now) {
                Step::Ask(_) => { planner.answered(Err(passing()), now); }
                Step::Reply(Reply { lane, .. }) => planner.want(lane, &World::symbol(lane), &[], now),
                Step::Wait(None) => return Ok(()),
                Step::Wait(Some(at)) => mono = at,
            }
        }
        prop_assert!(false, "it never ends");
    }

    #[test]
    fn lanes_take_turns_whatever_each_of_them_misses(
        holes in prop::collection::vec(1i64..6_000, 2..7),
    ) {
        let mut world = World::new(holes.iter().map(|_| Tape::every_second(8_000)).collect());
        for (lane, length) in holes.iter().enumerate() {
            world.lose(lane, &[(100, 100 + length)]);
        }
        world.run_truly(u64::MAX);
        prop_assert_eq!(world.missing(), 0);
        // While a lane has something to ask, nobody is asked twice before it.
        for lane in 0..holes.len() {
            let turns: Vec<usize> =
                world.asked.iter().enumerate().filter(|(_, (_, l, _))| *l == lane).map(|(at, _)| at).collect();
            prop_assert!(turns[0] < holes.len());
            for pair in turns.windows(2) {
                prop_assert!(pair[1] - pair[0] <= holes.len(), "lane {} waited: {:?}", lane, world.asked);
            }
        }
    }
}
