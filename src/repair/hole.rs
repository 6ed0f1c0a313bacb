//! One hole on its way to being filled: how it is asked for, when next, and how much of its time is over.

use std::time::Duration;

use super::{Ask, Hole};
use crate::snapshot::Stamp;
use crate::trade::AggTrade;
use crate::units::{AggTradeId, UnixMillis};

/// The most rows REST answers with.
pub const PAGE_ROWS: u32 = 1_000;
/// How long to wait after the first, second, … answer without any of the missing trades; the last for all later ones.
/// REST trails the stream, mostly by less than a second.
pub const PAUSES: [Duration; 5] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// Both ends of a window of time are inclusive, and REST refuses one of an hour or more.
const WINDOW_MS: i64 = 3_600_000 - 1;
/// Windows of one sweep that may bring nothing: four days of silence.
const FRUITLESS_WINDOWS: u32 = 100;
/// A hole whose first id has not come in so many times the deadline is given up even if others of it come and go.
const FRONT_DEADLINES: u64 = 3;

/// A hole that is being repaired.
#[derive(Debug, Clone)]
pub(super) struct Tracked {
    pub(super) hole: Hole,
    pub(super) state: State,
}

/// What is known about the repair of a hole, apart from its ids.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// Whether REST was asked at all; before that, no time is counted.
    pub(super) asked: bool,
    /// Not to be asked again before this moment.
    pub(super) retry_at: u64,
    /// Time that counts, since some of the ids came last.
    spent: u64,
    /// Time that counts, since the first id came last.
    front: u64,
    /// Answers in a row without progress.
    failures: usize,
    /// The last page would have held every missing id up to this one.
    through: i64,
    way: Way,
    /// The present or last request was made when the time was over.
    last_call: bool,
    /// When it was given up. It stays until the pipeline does not want it any more.
    pub(super) given_up: Option<u64>,
}

/// How a hole is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    ById,
    /// Older than a day: by windows of time.
    ByTime(Sweep),
}

/// How far a search through time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sweep {
    /// Where the next window starts; `None` to begin at the last trade before the hole.
    start: Option<UnixMillis>,
    /// A millisecond holds more rows than a page: the next ones, by id.
    step: Option<AggTradeId>,
    /// Windows without progress.
    fruitless: u32,
}

/// What an answer was, as far as the way of asking is concerned.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome<'a> {
    Rows(&'a [AggTrade]),
    TooOldForIds,
    Passing,
}

impl State {
    pub(super) fn new(now: Stamp) -> Self {
        Self {
            asked: false,
            retry_at: now.mono_ns,
            spent: 0,
            front: 0,
            failures: 0,
            through: i64::MIN,
            way: Way::ById,
            last_call: false,
            given_up: None,
        }
    }

    /// The state of a hole that takes the place of this one.
    ///
    /// `came`: some ids of this one are not missing any more.
    fn passed_on(&self, from: &Hole, to: &Hole, came: bool, now: Stamp) -> Self {
        let mut state = self.clone();
        if to.ids.from > from.ids.from {
            state.front = 0;
        }
        if to.ids.from < from.ids.from || to.ids.to > from.ids.to {
            state.given_up = None;
        }
        if !came {
            return state;
        }
        state.spent = 0;
        state.last_call = false;
        if to.ids.from.0 > self.through {
            // Nobody has looked beyond the page yet.
            state.failures = 0;
            state.retry_at = now.mono_ns;
            if let Way::ByTime(sweep) = &mut state.way {
                sweep.fruitless = 0;
            }
        } else {
            state.failures = 1;
            let soon = after(now, PAUSES[0]);
            state.retry_at = match &mut state.way {
                Way::ById => self.retry_at.min(soon),
                // What the search has passed without finding it: from the beginning.
                Way::ByTime(sweep) => {
                    *sweep = Sweep::default();
                    soon
                }
            };
        }
        state
    }

    /// Counts time: `all` while a request for the lane is in flight, else what of the pause lies after `from`.
    pub(super) fn count(&mut self, all: Option<u64>, from: u64, now: Stamp) {
        if self.asked && self.given_up.is_none() {
            let time = all.unwrap_or_else(|| now.mono_ns.min(self.retry_at).saturating_sub(from));
            self.spent = self.spent.saturating_add(time);
            self.front = self.front.saturating_add(time);
        }
    }

    /// Time left until it is given up.
    fn left(&self, deadline: u64) -> u64 {
        let front = deadline.saturating_mul(FRONT_DEADLINES).saturating_sub(self.front);
        deadline.saturating_sub(self.spent).min(front)
    }

    pub(super) fn is_due(&self, now: Stamp) -> bool {
        self.given_up.is_none() && self.retry_at <= now.mono_ns
    }

    /// Whether its time is over. A hole whose turn to be asked has come is asked once more first.
    pub(super) fn is_over(&self, deadline: u64, now: Stamp) -> bool {
        let in_turn = self.is_due(now) && !self.last_call;
        self.asked && self.given_up.is_none() && self.left(deadline) == 0 && !in_turn
    }

    /// When something changes by time alone, if nothing is asked: it is due, or over. `counts_from`: until then time
    /// does not count.
    pub(super) fn wakes_at(&self, deadline: u64, counts_from: u64, now: Stamp) -> Option<u64> {
        if self.given_up.is_some() || self.retry_at <= now.mono_ns {
            return None;
        }
        let over = now.mono_ns.max(counts_from).saturating_add(self.left(deadline));
        Some(if self.asked { over.min(self.retry_at) } else { self.retry_at })
    }

    /// A request that covers this hole is being made.
    pub(super) fn asking(&mut self, deadline: u64) {
        self.last_call = self.asked && self.left(deadline) == 0;
        self.asked = true;
    }

    pub(super) fn is_by_time(&self) -> bool {
        matches!(self.way, Way::ByTime(_))
    }

    /// REST knows ids of the last day only: from now on by time, at once.
    pub(super) fn go_by_time(&mut self, now: Stamp) {
        self.way = Way::ByTime(Sweep::default());
        self.retry_at = now.mono_ns;
    }

    /// REST sends everybody away until then; that counts as an attempt.
    pub(super) fn hold(&mut self, until: u64) {
        self.asked = true;
        self.retry_at = self.retry_at.max(until);
    }

    /// A page by id held everything up to `through`.
    pub(super) fn looked_through(&mut self, through: i64, now: Stamp) {
        self.through = through;
        self.pause(now);
    }

    pub(super) fn pause(&mut self, now: Stamp) {
        self.retry_at = after(now, PAUSES[self.failures.min(PAUSES.len() - 1)]);
        self.failures = self.failures.saturating_add(1);
    }
}

impl Tracked {
    /// A hole that the pipeline wants filled, with the state of the holes it overlaps. `old` are ascending; beside each
    /// stands whether some of its ids came.
    pub(super) fn from_old(hole: Hole, old: &[Self], came: &[bool], now: Stamp) -> Option<Self> {
        let first = old.partition_point(|o| o.hole.ids.to < hole.ids.from);
        let overlapping =
            old.iter().zip(came).skip(first).take_while(|(o, _)| o.hole.ids.from <= hole.ids.to);
        let state =
            overlapping.map(|(o, came)| o.state.passed_on(&o.hole, &hole, *came, now)).reduce(|a, b| {
                State {
                    asked: a.asked || b.asked,
                    retry_at: a.retry_at.min(b.retry_at),
                    // Holes that became one because what lay between was lost again: no time is won by that.
                    spent: a.spent.max(b.spent),
                    front: a.front.max(b.front),
                    given_up: a.given_up.and(b.given_up),
                    ..a
                }
            })?;
        Some(Self { hole, state })
    }

    /// What to ask for it. `last`: the last id that the lane misses.
    pub(super) fn ask(&self, last: AggTradeId) -> Ask {
        match self.state.way {
            Way::ById => by_id(self.hole.ids.from, last),
            Way::ByTime(Sweep { step: Some(from), .. }) => by_id(from, AggTradeId(i64::MAX)),
            Way::ByTime(Sweep { start, .. }) => {
                let start = start.unwrap_or(self.hole.after);
                Ask::Window { start, end: UnixMillis(start.0.saturating_add(WINDOW_MS)), limit: PAGE_ROWS }
            }
        }
    }

    /// The request that [`Tracked::ask`] named while the hole went by time was answered.
    pub(super) fn swept(&mut self, ask: Ask, outcome: Outcome<'_>, now: Stamp) {
        let Way::ByTime(sweep) = &mut self.state.way else { return };
        let start = match ask {
            Ask::Window { start, .. } => start,
            Ask::FromId { .. } | Ask::Newest => sweep.start.unwrap_or(self.hole.after),
        };
        let next_ms = UnixMillis(start.0.saturating_add(1));
        let beyond = |rows: &[AggTrade]| rows.last().is_some_and(|row| row.id >= self.hole.ids.to);
        let next = match (ask, outcome) {
            (_, Outcome::Rows(rows)) if beyond(rows) => None,
            (Ask::Window { end, limit, .. }, Outcome::Rows(rows)) => match rows.last() {
                Some(last) if rows.len() >= limit as usize && last.traded_at > start => {
                    Some((last.traded_at.min(end), None))
                }
                Some(last) if rows.len() >= limit as usize => Some((start, following(last.id))),
                _ => Some((UnixMillis(end.0.saturating_add(1)), None)),
            },
            (Ask::FromId { from, .. }, Outcome::Rows(rows)) => match rows.last() {
                Some(last) if last.traded_at > start => Some((last.traded_at, None)),
                Some(last) if last.id >= from => Some((start, following(last.id))),
                _ => Some((next_ms, None)),
            },
            (Ask::FromId { .. }, Outcome::TooOldForIds) => Some((next_ms, None)),
            _ => {
                self.state.pause(now);
                return;
            }
        };
        sweep.fruitless += 1;
        let through = match outcome {
            Outcome::Rows(rows) => rows.last().map_or(self.state.through, |row| row.id.0),
            _ => self.state.through,
        };
        match next {
            Some((start, step)) if start.0 <= now.wall_ms() && sweep.fruitless < FRUITLESS_WINDOWS => {
                *sweep = Sweep { start: Some(start), step, fruitless: sweep.fruitless };
                self.state.through = through;
                self.state.retry_at = now.mono_ns;
            }
            _ => {
                *sweep = Sweep::default();
                self.state.looked_through(i64::MAX, now);
            }
        }
    }
}

fn by_id(from: AggTradeId, last: AggTradeId) -> Ask {
    let missing = if last < from { 1 } else { last.0.abs_diff(from.0).saturating_add(1) };
    // At most a page, hence no truncation.
    Ask::FromId { from, limit: missing.min(u64::from(PAGE_ROWS)) as u32 }
}

fn following(id: AggTradeId) -> Option<AggTradeId> {
    id.0.checked_add(1).map(AggTradeId)
}

pub(super) fn after(now: Stamp, pause: Duration) -> u64 {
    now.mono_ns.saturating_add(nanos(pause))
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
