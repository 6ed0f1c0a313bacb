//! The holes of one lane and their turns, and what an answer means for them.

use std::time::Duration;

use super::hole::{Outcome, State, Tracked, after, nanos};
use super::{Ask, Hole, PAGE_ROWS};
use crate::snapshot::Stamp;
use crate::units::{AggTradeId, IdRange, Symbol};

/// Holes of one lane that are worked on at the same time; later ones have to be wanted again when these are done.
pub const HOLES_PER_LANE: usize = 1_024;

/// Attempts to learn the newest trade, until somebody wants it again.
const PROBE_ATTEMPTS: usize = 4;
/// How long after a failure the newest trade is asked for again.
const PROBE_PAUSE: Duration = Duration::from_secs(2);
/// A hole that is still wanted so long after it was given up is given up again.
const TOLD_AGAIN: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) symbol: Symbol,
    /// Ascending and disjoint.
    pub(super) holes: Vec<Tracked>,
    /// The time of its holes is counted up to here.
    counted: u64,
    /// Up to this id its holes had their turn.
    turn: AggTradeId,
    pub(super) probe: Option<Probe>,
    /// Kept after its time, so that the same refusal is not told again.
    pub(super) refusal: Option<Refusal>,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Probe {
    pub(super) retry_at: u64,
    failures: usize,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: Option<i64>,
    pub(super) until: u64,
}

#[derive(Debug)]
pub(super) struct Flight {
    pub(super) lane: usize,
    pub(super) ask: Ask,
    /// The hole it was made for; `None` for the newest trade.
    pub(super) hole: Option<IdRange>,
    pub(super) at: Stamp,
    /// The lane has ended meanwhile.
    pub(super) is_void: bool,
}

impl Lane {
    pub(super) fn new(symbol: &Symbol, now: Stamp) -> Self {
        Self {
            symbol: symbol.clone(),
            holes: Vec::new(),
            counted: now.mono_ns,
            turn: AggTradeId(i64::MIN),
            probe: None,
            refusal: None,
        }
    }

    /// Takes over the holes the pipeline has now, without those that are out of order or overlap: of two that did,
    /// one could never be told from the other. `hold`: nobody is to be asked before.
    pub(super) fn want(&mut self, holes: &[Hole], hold: Option<u64>, now: Stamp) {
        let is_same = self.holes.iter().map(|tracked| &tracked.hole).eq(holes);
        if !is_same {
            self.replace(holes, hold, now);
        }
        for Tracked { state, .. } in &mut self.holes {
            state.given_up = state.given_up.filter(|at| now.mono_ns.saturating_sub(*at) < nanos(TOLD_AGAIN));
        }
    }

    /// Other holes take the place of those that were worked on, and take over what is known of them.
    fn replace(&mut self, holes: &[Hole], hold: Option<u64>, now: Stamp) {
        let old = std::mem::take(&mut self.holes);
        let came: Vec<bool> = old.iter().map(|o| !is_within(&o.hole.ids, holes)).collect();
        let fresh = |hole| {
            let mut state = State::new(now);
            if let Some(until) = hold {
                state.hold(until);
            }
            Tracked { hole, state }
        };
        let mut end = None;
        let in_order = |hole: &&Hole| {
            let ok = end < Some(hole.ids.from) && hole.ids.from <= hole.ids.to;
            end = if ok { Some(hole.ids.to) } else { end };
            ok
        };
        self.holes = holes
            .iter()
            .filter(in_order)
            .take(HOLES_PER_LANE)
            .map(|hole| Tracked::from_old(*hole, &old, &came, now).unwrap_or_else(|| fresh(*hole)))
            .collect();
    }

    /// Adds the time since this was called last: all of it while a request for the lane is in flight, else that of
    /// pauses, from a moment on.
    pub(super) fn count_time(&mut self, is_flying: bool, counts_from: u64, now: Stamp) {
        let from = self.counted;
        self.counted = from.max(now.mono_ns);
        let all = is_flying.then_some(now.mono_ns.saturating_sub(from));
        self.holes.iter_mut().for_each(|t| t.state.count(all, counts_from.max(from), now));
    }

    /// How many pages it takes at least to bring what is missing, if REST has everything.
    pub(super) fn requests_left(&self) -> u64 {
        let page = i64::from(PAGE_ROWS);
        let (mut pages, mut through) = (0, i64::MIN);
        for Tracked { hole, .. } in self.holes.iter().filter(|t| t.state.given_up.is_none()) {
            let from = hole.ids.from.0.max(through.saturating_add(1));
            if from <= hole.ids.to.0 {
                let more = hole.ids.to.0.abs_diff(from) / u64::from(PAGE_ROWS) + 1;
                pages += more;
                through =
                    from.saturating_add(page.saturating_mul(i64::try_from(more).unwrap_or(i64::MAX)) - 1);
            }
        }
        pages
    }

    pub(super) fn is_idle(&self) -> bool {
        self.holes.is_empty() && self.probe.is_none() && self.refusal.is_none()
    }

    pub(super) fn is_refused(&self, now: Stamp) -> bool {
        self.refusal.is_some_and(|refusal| now.mono_ns < refusal.until)
    }

    /// The next hole to ask for: the first that may be asked after those that had their turn, else the first.
    pub(super) fn due(&self, now: Stamp) -> Option<usize> {
        let mut due = (0..self.holes.len()).filter(|at| self.holes[*at].state.is_due(now));
        let first = due.next()?;
        let later = |at: &usize| self.holes[*at].hole.ids.from > self.turn;
        Some(if later(&first) { first } else { due.find(later).unwrap_or(first) })
    }

    /// The question for a hole, marking all that its answer will cover.
    pub(super) fn ask(&mut self, at: usize, deadline: u64) -> Ask {
        let chosen = &self.holes[at];
        let last = self.holes.iter().rev().find(|t| t.state.given_up.is_none()).unwrap_or(chosen).hole.ids.to;
        let (ask, by_time, ids) = (chosen.ask(last), chosen.state.is_by_time(), chosen.hole.ids);
        self.turn = ids.to;
        self.holes[at].state.asking(deadline);
        if let (Ask::FromId { from, limit }, false) = (ask, by_time) {
            let end = AggTradeId(from.0.saturating_add(i64::from(limit) - 1));
            self.turn = ids.to.max(end);
            for tracked in self.holes.iter_mut().skip(at + 1).filter(|t| t.hole.ids.from <= end) {
                if !tracked.state.is_by_time() {
                    tracked.state.asking(deadline);
                }
            }
        }
        ask
    }

    /// Notes what an answer means for the next question. Whether it brought missing ids is seen later, from the holes.
    pub(super) fn brought(&mut self, flight: &Flight, outcome: Outcome<'_>, now: Stamp) {
        let Some(range) = flight.hole else {
            let failures = self.probe.map_or(0, |probe| probe.failures + 1);
            self.probe = match outcome {
                Outcome::Passing if failures < PROBE_ATTEMPTS => {
                    Some(Probe { retry_at: after(now, PROBE_PAUSE), failures })
                }
                _ => None,
            };
            return;
        };
        let chosen =
            self.holes.iter().position(|t| t.hole.ids.to >= range.from && t.hole.ids.from <= range.to);
        match (flight.ask, chosen) {
            (_, Some(at)) if self.holes[at].state.is_by_time() => {
                self.holes[at].swept(flight.ask, outcome, now)
            }
            (Ask::FromId { from, limit }, _) => self.brought_by_id(chosen, from, limit, outcome, now),
            // A window whose hole is gone, or goes by id by now.
            _ => {}
        }
    }

    fn brought_by_id(
        &mut self,
        chosen: Option<usize>,
        from: AggTradeId,
        limit: u32,
        outcome: Outcome<'_>,
        now: Stamp,
    ) {
        let end = from.0.saturating_add(i64::from(limit) - 1);
        match outcome {
            Outcome::Rows(rows) => {
                // A page that is not full ends where REST ends.
                let last = rows.last().map(|row| row.id.0).filter(|_| rows.len() >= limit as usize);
                let through = last.unwrap_or(i64::MAX);
                self.covered(chosen, from, last.unwrap_or(end))
                    .for_each(|state| state.looked_through(through, now));
            }
            Outcome::Passing => self.covered(chosen, from, end).for_each(|state| state.pause(now)),
            Outcome::TooOldForIds => {
                if let Some(at) = chosen {
                    self.holes[at].state.go_by_time(now);
                }
            }
        }
    }

    /// The states of the holes that a page by id is about.
    fn covered(
        &mut self,
        chosen: Option<usize>,
        from: AggTradeId,
        through: i64,
    ) -> impl Iterator<Item = &mut State> {
        self.holes
            .iter_mut()
            .enumerate()
            .filter(move |(at, t)| {
                let inside = t.hole.ids.from >= from && t.hole.ids.from.0 <= through;
                !t.state.is_by_time() && t.state.given_up.is_none() && (inside || Some(*at) == chosen)
            })
            .map(|(_, t)| &mut t.state)
    }
}

impl Refusal {
    pub(super) fn is_refused(&self, now: Stamp) -> bool {
        self.status != 403 && now.mono_ns < self.until
    }

    pub(super) fn is_forbidden(&self, now: Stamp) -> bool {
        self.status == 403 && now.mono_ns < self.until
    }
}

/// Whether all of these ids are in the holes, which are ascending and disjoint.
fn is_within(ids: &IdRange, holes: &[Hole]) -> bool {
    let mut next = ids.from;
    for hole in &holes[holes.partition_point(|hole| hole.ids.to < ids.from)..] {
        if hole.ids.from > next {
            return false;
        }
        if hole.ids.to >= ids.to {
            return true;
        }
        next = AggTradeId(hole.ids.to.0.saturating_add(1));
    }
    false
}
