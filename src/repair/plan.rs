//! What to ask REST next, for all lanes of a weight pool: one request in flight at a time, the most liquid first, nobody
//! starved, nothing for ever.

mod failures;
mod time;
mod turns;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::budget::{Kind, WeightBudget};
use super::hole::{Outcome, after, nanos};
use super::lane::{Flight, HOLES_PER_LANE, Lane, Refusal};
use super::notice::Notice;
use super::{Answer, Ask, Hole, Page, Reply, Request, RestError};
use crate::clock::ClockOffset;
use crate::snapshot::Stamp;
use crate::units::Symbol;

use turns::Turns;

/// Holes that are worked on at the same time, all lanes together, as long as each has at least [`HOLES_EACH`] of them.
const HOLES_IN_ALL: usize = 16_384;
const HOLES_EACH: usize = 16;
/// While nobody can be asked, changes are gathered for so long: with hundreds of lanes there may be thousands a second.
const GATHERED: Duration = Duration::from_millis(20);
/// While holes keep REST busy, every so many requests one for the newest trade gets its turn.
const GAPS_PER_PROBE: u32 = 8;

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Ask REST this, and hand what it brings to [`Planner::answered`]. Until then nothing else is to be asked.
    Ask(Request),
    /// Hand this to the pipeline, and call again.
    Reply(Reply),
    /// Nothing before this moment of the monotonic clock (in nanoseconds), unless something is wanted or answered;
    /// `None`: nothing until then.
    Wait(Option<u64>),
}

/// Decides what REST is asked, when, and when to give up. Knows no clock, no I/O and no link: a repair goes on while
/// the stream is away.
///
/// The pipeline tells the holes it has ([`Planner::want`]), the shell fetches what [`Planner::next`] says and brings
/// the result to [`Planner::answered`]. Whether an answer helped is seen from the holes that are wanted after it.
///
/// A hole is given up when REST brought none of its ids for the deadline. Only time in which REST was tried counts:
/// while a request for its lane is in flight, and in the pauses between two attempts; not while the weight of the
/// minute is used up, during a ban, or while others have their turn. An exchange that answers with nothing but bans is
/// taken for one that refuses after a hundred of them.
#[derive(Debug)]
pub struct Planner {
    budget: WeightBudget,
    /// How far the exchange's clock is ahead of ours, in nanoseconds: the ends of its bans, its minutes and the times of
    /// its trades are by its own.
    ahead_ns: i64,
    deadline: u64,
    lanes: BTreeMap<usize, Lane>,
    /// How many of them have holes.
    missing: usize,
    flight: Option<Flight>,
    /// A question about something else than trades is out, since then.
    errand: Option<Stamp>,
    /// Time is counted up to here, of a lane whose holes have changed since up to then.
    counted: Stamp,
    /// From when on a pause counts that was going on at `counted`, once that was asked.
    counts_from: Option<u64>,
    turns: Turns,
    gaps_since_probe: u32,
    /// The weight, or a ban, allows no request for missing trades before.
    blocked_until: u64,
    /// REST refuses everybody (451, bans without end), or sends everybody away for a while (403).
    everybody: Option<Refusal>,
    /// Bans since REST last brought something.
    bans: u32,
    short_at: Option<u64>,
    notices: VecDeque<Notice>,
    calls: u64,
    repair_calls: u64,
    /// What [`Planner::next`] said when it had nothing to do, as long as nothing changed.
    idle: Option<Option<u64>>,
    /// How often all lanes were looked through.
    #[cfg(test)]
    passes: u64,
}

impl Planner {
    /// Nothing missing yet. `deadline`: how long REST may bring nothing for a hole.
    pub fn new(budget: WeightBudget, deadline: Duration) -> Self {
        Self {
            budget,
            ahead_ns: 0,
            deadline: nanos(deadline),
            lanes: BTreeMap::new(),
            missing: 0,
            flight: None,
            errand: None,
            counted: Stamp::default(),
            counts_from: None,
            turns: Turns::default(),
            gaps_since_probe: 0,
            blocked_until: 0,
            everybody: None,
            bans: 0,
            short_at: None,
            notices: VecDeque::new(),
            calls: 0,
            repair_calls: 0,
            idle: None,
            #[cfg(test)]
            passes: 0,
        }
    }

    /// How often all lanes were looked through.
    #[cfg(test)]
    pub(super) const fn passes(&self) -> u64 {
        self.passes
    }

    /// How far our wall clock is from the exchange's; without it the two are taken to agree.
    pub fn clock_offset(&mut self, offset: Option<ClockOffset>) {
        // At the latest reading: a ban that ends a little late costs less than one that is broken.
        self.ahead_ns = offset.map_or(0, |offset| ((offset.offset_ms - offset.error_ms) * 1e6) as i64);
        self.counts_from = None;
    }

    /// How often a lane trades, in trades an hour: of those that were not asked for yet in an outage, the most liquid
    /// comes first.
    pub fn liquidity(&mut self, lane: usize, trades_per_hour: u64) {
        self.turns.liquidity(lane, trades_per_hour);
    }

    /// A moment as the exchange's wall clock shows it.
    fn there(&self, now: Stamp) -> Stamp {
        Stamp { wall_ns: now.wall_ns.saturating_add(self.ahead_ns), ..now }
    }

    /// The holes a lane has now, ascending and disjoint; none if nothing is missing. To be called whenever they have
    /// changed. Of more than [`HOLES_PER_LANE`](super::HOLES_PER_LANE) the first are worked on, of fewer where many
    /// lanes have some; one that does not begin after the end of the one before is left out.
    pub fn want(&mut self, lane: usize, symbol: &Symbol, holes: &[Hole], now: Stamp) {
        if holes.is_empty() && !self.lanes.contains_key(&lane) {
            return;
        }
        let counts_from = self.counts_from(self.counted);
        let is_flying = self.is_flying_for(lane);
        let hold = self.everybody.filter(|all| all.is_forbidden(now)).map(|all| all.until);
        if self.missing == 0 && !holes.is_empty() {
            self.turns.begin();
        }
        let room = (HOLES_IN_ALL / self.missing.max(1)).clamp(HOLES_EACH, HOLES_PER_LANE);
        let entry = self.lanes.entry(lane).or_insert_with(|| Lane::new(symbol, now));
        entry.count_time(is_flying, counts_from, now);
        let missed = !entry.holes.is_empty();
        entry.want(&holes[..holes.len().min(room)], hold, now);
        let misses = !entry.holes.is_empty();
        self.missing = self.missing + usize::from(misses) - usize::from(missed);
        self.changed(now);
        self.forget_if_idle(lane);
    }

    /// A lane has ended: nothing is wanted for it, and an answer that is on its way is nobody's.
    pub fn forget(&mut self, lane: usize, now: Stamp) {
        if let Some(flight) = self.flight.as_mut().filter(|flight| flight.lane == lane) {
            flight.is_void = true;
        }
        if let Some(gone) = self.lanes.remove(&lane) {
            self.missing -= usize::from(!gone.holes.is_empty());
            self.changed(now);
        }
        self.turns.forget(lane);
    }

    /// How many lanes have holes.
    pub const fn lanes_missing(&self) -> usize {
        self.missing
    }

    /// How many requests it takes at least to fill what is missing, as far as it is known.
    pub fn requests_left(&self) -> u64 {
        self.lanes.values().map(Lane::requests_left).sum()
    }

    /// How many lanes wait to be asked for their newest trade.
    pub fn probes_waiting(&self) -> usize {
        self.lanes.values().filter(|lane| lane.probe.is_some()).count()
    }

    /// The newest id of a lane is not wanted any more, unless it is being asked for right now.
    pub fn withdraw_probe(&mut self, lane: usize) {
        let is_out = self.flight.as_ref().is_some_and(|f| f.lane == lane && f.hole.is_none());
        if let Some(entry) = self.lanes.get_mut(&lane).filter(|entry| !is_out && entry.probe.is_some()) {
            entry.probe = None;
            self.idle = None;
            self.forget_if_idle(lane);
        }
    }

    /// Something is wanted otherwise than before. While nobody can be asked, that has a little time.
    fn changed(&mut self, now: Stamp) {
        let nobody_asks = self.flight.is_some() || self.errand.is_some() || now.mono_ns < self.blocked_until;
        let soon = after(now, GATHERED);
        self.idle =
            self.idle.filter(|_| nobody_asks).map(|wait| Some(wait.map_or(soon, |wait| wait.min(soon))));
    }

    fn is_flying_for(&self, lane: usize) -> bool {
        self.flight.as_ref().is_some_and(|flight| flight.hole.is_some() && flight.lane == lane)
    }

    /// The newest id of a lane is wanted. One that is wanted already is not asked for twice; while REST refuses the
    /// lane, it is not asked for at all.
    pub fn probe(&mut self, lane: usize, symbol: &Symbol, now: Stamp) {
        let in_flight = self.flight.as_ref().is_some_and(|f| f.lane == lane && f.hole.is_none());
        if in_flight || self.is_refused(lane, now) {
            return;
        }
        self.idle = None;
        self.lanes.entry(lane).or_insert_with(|| Lane::new(symbol, now)).probe.get_or_insert_default();
    }

    /// What to do now. To be called after every other call, after a [`Step::Reply`] was handed on, and when the moment
    /// of [`Step::Wait`] has come.
    pub fn next(&mut self, now: Stamp) -> Step {
        if let Some(wait) = self.idle
            && wait.is_none_or(|at| now.mono_ns < at)
        {
            return Step::Wait(wait);
        }
        #[cfg(test)]
        {
            self.passes += 1;
        }
        self.count_time(now);
        if let Some(reply) = self.give_up(now) {
            return Step::Reply(reply);
        }
        self.blocked_until = 0;
        let blocked = match self.flight.is_some() || self.errand.is_some() {
            true => None,
            false => match self.ask(now) {
                Ok(request) => return Step::Ask(request),
                Err(until) => until,
            },
        };
        let wait = [blocked, self.wakes_at(now)].into_iter().flatten().min();
        self.idle = Some(wait);
        Step::Wait(wait)
    }

    /// What came of the request in flight. The reply, if there is one, is for the pipeline; it has to be handed on
    /// before [`Planner::next`] is called again.
    pub fn answered(&mut self, result: Result<Page, RestError>, now: Stamp) -> Option<Reply> {
        self.count_time(now);
        self.idle = None;
        let flight = self.flight.take()?;
        let there = self.there(now);
        let answer = match result {
            Ok(page) => {
                self.budget.answered(self.there(now), page.used_weight);
                self.everybody = None;
                self.bans = 0;
                if let Some(lane) = self.lanes.get_mut(&flight.lane) {
                    lane.refusal = None;
                    lane.brought(&flight, Outcome::Rows(&page.trades), there);
                }
                match flight.hole {
                    None => page.trades.iter().map(|row| row.id).max().map(Answer::Newest),
                    Some(_) => Some(page.trades).filter(|rows| !rows.is_empty()).map(Answer::Trades),
                }
            }
            Err(error) => {
                self.failed(&flight, error, now);
                None
            }
        };
        self.forget_if_idle(flight.lane);
        answer.filter(|_| !flight.is_void).map(|answer| Reply { lane: flight.lane, at: now, answer })
    }

    /// Whether something else than trades may be asked for now; if so it is to be asked, and what it brings handed to
    /// [`Planner::errand_answered`]. To be called when [`Planner::next`] has nothing to ask: missing trades come first.
    pub fn errand(&mut self, kind: Kind, now: Stamp) -> bool {
        let forbidden = self.everybody.is_some_and(|all| all.is_forbidden(now) || all.is_refused(now));
        let busy = self.flight.is_some() || self.errand.is_some();
        if busy || forbidden || self.budget.ready_at(self.there(now), kind).is_err() {
            return false;
        }
        self.count_time(now);
        self.idle = None;
        self.budget.spend(self.there(now), kind);
        self.calls += 1;
        self.errand = Some(now);
        true
    }

    /// What came of a question about something else than trades: the weight that was told with it, or the error.
    pub fn errand_answered(&mut self, result: Result<Option<u64>, RestError>, now: Stamp) {
        self.count_time(now);
        self.idle = None;
        let Some(at) = self.errand.take() else { return };
        match result {
            Ok(used_weight) => {
                self.budget.answered(self.there(now), used_weight);
                self.everybody = None;
                self.bans = 0;
            }
            Err(RestError::TooManyRequests { status, retry_after, banned_until, used_weight, message }) => {
                self.banned(status, retry_after, banned_until, used_weight, message, now);
            }
            Err(RestError::Refused { status, code, message }) => {
                self.budget.answered(self.there(now), None);
                // Other refusals say nothing of trades.
                if matches!(status, 451 | 403) {
                    let nobody =
                        Flight { lane: usize::MAX, ask: Ask::Newest, hole: None, at, is_void: false };
                    self.refused(&nobody, status, code, message, now);
                }
            }
            Err(_) => {}
        }
    }

    /// Something for the operator, oldest first. To be called after every [`Planner::next`] and
    /// [`Planner::answered`].
    pub fn take_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// Requests that were made, of all kinds.
    pub const fn rest_calls(&self) -> u64 {
        self.calls
    }

    /// Those among them that asked for missing trades.
    pub const fn repair_calls(&self) -> u64 {
        self.repair_calls
    }

    /// The weight of a request for trades, and how much of it a minute may have.
    pub const fn weights(&self) -> (u64, u64) {
        (self.budget.cost(Kind::Gap), self.budget.ceiling())
    }

    /// How many requests for the newest trade a minute may have.
    pub const fn probes_per_minute(&self) -> u64 {
        self.budget.probes_per_minute()
    }

    /// REST weight used in this minute; see [`WeightBudget::used_weight`].
    pub fn used_weight(&self, now: Stamp) -> u64 {
        self.budget.used_weight(self.there(now))
    }

    /// The next request, or when the weight or a ban allows one.
    fn ask(&mut self, now: Stamp) -> Result<Request, Option<u64>> {
        if let Some(all) = self.everybody
            && all.is_forbidden(now)
        {
            return Err(Some(all.until));
        }
        let due = self.lanes.iter().filter(|(_, lane)| lane.due(now).is_some());
        let gap = due.map(|(lane, _)| *lane).min_by_key(|lane| self.turns.of_gaps(*lane));
        let wanting =
            self.lanes.iter().filter(|(_, lane)| lane.probe.is_some_and(|p| p.retry_at <= now.mono_ns));
        let probe = wanting.map(|(lane, _)| *lane).min_by_key(|lane| self.turns.of_probes(*lane));
        let probes_turn = gap.is_none() || self.gaps_since_probe >= GAPS_PER_PROBE;
        if let Some(lane) = probe
            && probes_turn
        {
            match self.budget.ready_at(self.there(now), Kind::Probe) {
                Ok(()) => return self.fly(lane, None, now).ok_or(None),
                Err(until) if gap.is_none() => return Err(Some(until.mono_ns)),
                Err(_) => {}
            }
        }
        let Some(lane) = gap else { return Err(None) };
        let hole = self.lanes.get(&lane).and_then(|entry| entry.due(now));
        match self.budget.ready_at(self.there(now), Kind::Gap) {
            Ok(()) => self.fly(lane, hole, now).ok_or(None),
            Err(until) => {
                self.blocked_until = until.mono_ns;
                if !until.ban {
                    self.short(until.mono_ns, now);
                }
                Err(Some(until.mono_ns))
            }
        }
    }

    /// Makes a request for a hole of a lane, or for its newest trade.
    fn fly(&mut self, lane: usize, hole: Option<usize>, now: Stamp) -> Option<Request> {
        let entry = self.lanes.get_mut(&lane)?;
        let (ask, range, kind) = match hole {
            None => (Ask::Newest, None, Kind::Probe),
            Some(at) => {
                let range = entry.holes.get(at)?.hole.ids;
                (entry.ask(at, self.deadline), Some(range), Kind::Gap)
            }
        };
        match kind {
            Kind::Probe => {
                self.turns.probed(lane);
                self.gaps_since_probe = 0;
            }
            _ => {
                self.repair_calls += 1;
                self.turns.asked(lane);
                self.gaps_since_probe = self.gaps_since_probe.saturating_add(1);
            }
        }
        let request = Request { lane, symbol: entry.symbol.clone(), ask };
        self.budget.spend(self.there(now), kind);
        self.calls += 1;
        self.flight = Some(Flight { lane, ask, hole: range, at: now, is_void: false });
        Some(request)
    }

    fn is_refused(&self, lane: usize, now: Stamp) -> bool {
        self.everybody.is_some_and(|all| all.is_refused(now))
            || self.lanes.get(&lane).is_some_and(|lane| lane.is_refused(now))
    }

    fn forget_if_idle(&mut self, lane: usize) {
        if self.lanes.get(&lane).is_some_and(Lane::is_idle) {
            self.lanes.remove(&lane);
        }
    }
}

#[cfg(test)]
mod tests;
