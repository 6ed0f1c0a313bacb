//! A planner, a pretended exchange and a pretended pipeline in virtual time.

mod by_time;
mod chaos;
mod giving_up;
mod holes;
mod newest;
mod refusals;
mod scale;
mod turns;

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
