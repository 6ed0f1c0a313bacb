//! What to ask REST next, for all lanes of a process: one request in flight at a time, nobody starved, nothing for
//! ever.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::budget::{Kind, WeightBudget};
use super::hole::{Outcome, Tracked, after, nanos};
use super::lane::{Flight, Lane, Refusal};
use super::notice::{Notice, remedy};
use super::{Answer, Ask, GiveUpReason, Hole, Page, Reply, Request, RestError};
use crate::clock::ClockOffset;
use crate::snapshot::Stamp;
use crate::units::{Symbol, UnixMillis};

/// A refused lane is not asked again before.
const LANE_REFUSED: Duration = Duration::from_secs(60);
/// After 451 nobody is asked again before.
const ALL_REFUSED: Duration = Duration::from_secs(600);
/// After 403 everybody waits so long, and the time counts.
const FORBIDDEN: Duration = Duration::from_secs(60);
/// After so many bans without one answer between, everything is given up: else it would wait for ever.
const BANS: u32 = 100;
/// While holes keep REST busy, every so many requests one for the newest trade gets its turn.
const GAPS_PER_PROBE: u32 = 8;
/// Weight that runs out again within this time is still the same shortage.
const SHORTAGE: Duration = Duration::from_secs(60);
/// Notices that nobody took; later ones are lost.
const NOTICES: usize = 64;

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
    flight: Option<Flight>,
    /// A question about something else than trades is out, since then.
    errand: Option<Stamp>,
    /// Time is counted up to here.
    counted: Stamp,
    /// The lanes that were asked for last.
    gap_turn: usize,
    probe_turn: usize,
    gaps_since_probe: u32,
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
}

impl Planner {
    /// Nothing missing yet. `deadline`: how long REST may bring nothing for a hole.
    pub fn new(budget: WeightBudget, deadline: Duration) -> Self {
        Self {
            budget,
            ahead_ns: 0,
            deadline: nanos(deadline),
            lanes: BTreeMap::new(),
            flight: None,
            errand: None,
            counted: Stamp::default(),
            gap_turn: 0,
            probe_turn: 0,
            gaps_since_probe: 0,
            everybody: None,
            bans: 0,
            short_at: None,
            notices: VecDeque::new(),
            calls: 0,
            repair_calls: 0,
            idle: None,
        }
    }

    /// How far our wall clock is from the exchange's; without it the two are taken to agree.
    pub fn clock_offset(&mut self, offset: Option<ClockOffset>) {
        // At the latest reading: a ban that ends a little late costs less than one that is broken.
        self.ahead_ns = offset.map_or(0, |offset| ((offset.offset_ms - offset.error_ms) * 1e6) as i64);
    }

    /// A moment as the exchange's wall clock shows it.
    fn there(&self, now: Stamp) -> Stamp {
        Stamp { wall_ns: now.wall_ns.saturating_add(self.ahead_ns), ..now }
    }

    /// The holes a lane has now, ascending and disjoint; none if nothing is missing. To be called whenever they have
    /// changed. Of more than [`HOLES_PER_LANE`](super::HOLES_PER_LANE) the first are worked on; one that does not
    /// begin after the end of the one before is left out.
    pub fn want(&mut self, lane: usize, symbol: &Symbol, holes: &[Hole], now: Stamp) {
        if holes.is_empty() && !self.lanes.contains_key(&lane) {
            return;
        }
        self.count_time(now);
        self.idle = None;
        let hold = self.everybody.filter(|all| all.is_forbidden(now)).map(|all| all.until);
        self.lanes.entry(lane).or_insert_with(|| Lane::new(symbol)).want(holes, hold, now);
        self.forget_if_idle(lane);
    }

    /// The newest id of a lane is wanted. One that is wanted already is not asked for twice; while REST refuses the
    /// lane, it is not asked for at all.
    pub fn probe(&mut self, lane: usize, symbol: &Symbol, now: Stamp) {
        let in_flight = self.flight.as_ref().is_some_and(|f| f.lane == lane && f.hole.is_none());
        if in_flight || self.is_refused(lane, now) {
            return;
        }
        self.idle = None;
        self.lanes.entry(lane).or_insert_with(|| Lane::new(symbol)).probe.get_or_insert_default();
    }

    /// What to do now. To be called after every other call, after a [`Step::Reply`] was handed on, and when the moment
    /// of [`Step::Wait`] has come.
    pub fn next(&mut self, now: Stamp) -> Step {
        if let Some(wait) = self.idle
            && wait.is_none_or(|at| now.mono_ns < at)
        {
            return Step::Wait(wait);
        }
        self.count_time(now);
        if let Some(reply) = self.give_up(now) {
            return Step::Reply(reply);
        }
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
        answer.map(|answer| Reply { lane: flight.lane, at: now, answer })
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
                    let nobody = Flight { lane: usize::MAX, ask: Ask::Newest, hole: None, at };
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

    /// REST weight used in this minute; see [`WeightBudget::used_weight`].
    pub fn used_weight(&self, now: Stamp) -> u64 {
        self.budget.used_weight(self.there(now))
    }

    fn failed(&mut self, flight: &Flight, error: RestError, now: Stamp) {
        let there = self.there(now);
        let outcome = match error {
            RestError::TooManyRequests { status, retry_after, banned_until, used_weight, message } => {
                self.banned(status, retry_after, banned_until, used_weight, message, now);
                return;
            }
            RestError::Refused { status, code, message } => {
                self.budget.answered(self.there(now), None);
                self.refused(flight, status, code, message, now);
                return;
            }
            RestError::TooOldForIds => {
                self.budget.answered(self.there(now), None);
                Outcome::TooOldForIds
            }
            RestError::Passing(_) => Outcome::Passing,
        };
        if let Some(lane) = self.lanes.get_mut(&flight.lane) {
            lane.brought(flight, outcome, there);
        }
    }

    fn banned(
        &mut self,
        status: u16,
        retry_after: Option<Duration>,
        banned_until: Option<UnixMillis>,
        used_weight: Option<u64>,
        message: String,
        now: Stamp,
    ) {
        let wait = self.budget.banned(self.there(now), status, used_weight, retry_after, banned_until);
        self.bans = self.bans.saturating_add(1);
        if self.bans >= BANS {
            self.everybody = Some(Refusal { status, code: None, until: after(now, wait) });
        }
        self.notice(Notice::Banned { status, wait, message });
    }

    fn refused(&mut self, flight: &Flight, status: u16, code: Option<i64>, message: String, now: Stamp) {
        let for_all = matches!(status, 451 | 403);
        let until = match status {
            451 => after(now, ALL_REFUSED),
            403 => after(flight.at, FORBIDDEN).max(now.mono_ns),
            _ => after(now, LANE_REFUSED),
        };
        let refusal = Refusal { status, code, until };
        let mut symbol = None;
        let before = if for_all {
            // A 403 is an answer to everybody, so that everybody's time runs.
            for lane in self.lanes.values_mut().filter(|_| status == 403) {
                lane.holes.iter_mut().for_each(|tracked| tracked.state.hold(until));
            }
            self.everybody.replace(refusal)
        } else {
            let Some(lane) = self.lanes.get_mut(&flight.lane) else { return };
            lane.probe = None;
            symbol = Some(lane.symbol.clone());
            lane.refusal.replace(refusal)
        };
        if status == 451 {
            self.lanes.values_mut().for_each(|lane| lane.probe = None);
        }
        if before.is_none_or(|b| (b.status, b.code) != (status, code)) {
            self.notice(Notice::Refused { symbol, status, code, message, remedy: remedy(status, code) });
        }
    }

    /// The next request, or when the weight or a ban allows one.
    fn ask(&mut self, now: Stamp) -> Result<Request, Option<u64>> {
        if let Some(all) = self.everybody
            && all.is_forbidden(now)
        {
            return Err(Some(all.until));
        }
        let gap = in_turn(&self.lanes, self.gap_turn, |lane| lane.due(now).is_some());
        let probe = in_turn(&self.lanes, self.probe_turn, |lane| {
            lane.probe.is_some_and(|p| p.retry_at <= now.mono_ns)
        });
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
                self.probe_turn = lane;
                self.gaps_since_probe = 0;
            }
            _ => {
                self.repair_calls += 1;
                self.gap_turn = lane;
                self.gaps_since_probe = self.gaps_since_probe.saturating_add(1);
            }
        }
        let request = Request { lane, symbol: entry.symbol.clone(), ask };
        self.budget.spend(self.there(now), kind);
        self.calls += 1;
        self.flight = Some(Flight { lane, ask, hole: range, at: now });
        Some(request)
    }

    /// The first hole whose time is over, or whose lane is refused. A lane that waits for an answer may yet be helped.
    fn give_up(&mut self, now: Stamp) -> Option<Reply> {
        let flying = self.flight.as_ref().map(|flight| flight.lane);
        let all = self.everybody.is_some_and(|all| all.is_refused(now));
        for (index, lane) in self.lanes.iter_mut().filter(|(index, _)| Some(**index) != flying) {
            let refused = all || lane.is_refused(now);
            for Tracked { hole, state } in lane.holes.iter_mut().filter(|t| t.state.given_up.is_none()) {
                let reason = match refused {
                    true => GiveUpReason::Refused,
                    false if state.is_over(self.deadline, now) => GiveUpReason::Deadline,
                    false => continue,
                };
                state.given_up = Some(now.mono_ns);
                let answer = Answer::GaveUp { ids: hole.ids, reason };
                return Some(Reply { lane: *index, at: now, answer });
            }
        }
        None
    }

    /// Adds the time since the last call to the holes it counts for. Whatever decides that has not changed between.
    fn count_time(&mut self, now: Stamp) {
        let from = std::mem::replace(&mut self.counted, now);
        let passed = now.mono_ns.saturating_sub(from.mono_ns);
        if passed == 0 {
            return;
        }
        let counts_from = self.counts_from(from);
        let flying = self.flight.as_ref().filter(|f| f.hole.is_some()).map(|f| f.lane);
        for (index, lane) in &mut self.lanes {
            let all = (flying == Some(*index)).then_some(passed);
            lane.holes.iter_mut().for_each(|t| t.state.count(all, counts_from, now));
        }
    }

    /// From when on a pause counts: not while a request could not be made anyway.
    fn counts_from(&self, now: Stamp) -> u64 {
        self.budget.ready_at(self.there(now), Kind::Gap).map_or_else(|until| until.mono_ns, |()| now.mono_ns)
    }

    /// When time alone changes something.
    fn wakes_at(&self, now: Stamp) -> Option<u64> {
        let counts_from = self.counts_from(now);
        let flying = self.flight.as_ref().map(|flight| flight.lane);
        let waiting = self.lanes.iter().filter(|(index, _)| Some(**index) != flying);
        waiting
            .flat_map(|(_, lane)| {
                let holes =
                    lane.holes.iter().filter_map(|t| t.state.wakes_at(self.deadline, counts_from, now));
                let probe = lane.probe.map(|p| p.retry_at).filter(|at| *at > now.mono_ns);
                holes.chain(probe)
            })
            .min()
    }

    fn short(&mut self, until: u64, now: Stamp) {
        let before = self.short_at.replace(now.mono_ns);
        if before.is_none_or(|at| now.mono_ns.saturating_sub(at) >= nanos(SHORTAGE)) {
            self.notice(Notice::BudgetExhausted {
                used: self.budget.used_weight(self.there(now)),
                ceiling: self.budget.ceiling(),
                wait: Duration::from_nanos(until.saturating_sub(now.mono_ns)),
            });
        }
    }

    fn notice(&mut self, notice: Notice) {
        if self.notices.len() < NOTICES {
            self.notices.push_back(notice);
        }
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

/// The first lane after `turn` that has something to do, else the first up to it.
fn in_turn(lanes: &BTreeMap<usize, Lane>, turn: usize, has: impl Fn(&Lane) -> bool) -> Option<usize> {
    let later = lanes.range(turn.saturating_add(1)..);
    later.chain(lanes.range(..=turn)).find(|(_, lane)| has(lane)).map(|(index, _)| *index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Market;
    use crate::units::{AggTradeId, IdRange};

    const HOUR_MS: i64 = 3_600_000;

    /// How long a ban is that ends in a minute by the exchange's clock, which is so far ahead of ours.
    fn ban(ahead_ms: i64, known: bool) -> Duration {
        let mut planner = Planner::new(WeightBudget::of(Market::UsdM), Duration::from_secs(60));
        let now = Stamp { wall_ns: 1_800_000_000_000_000_000, mono_ns: 1 };
        let offset = ClockOffset { offset_ms: ahead_ms as f64, error_ms: 0.0 };
        planner.clock_offset(known.then_some(offset));
        let (from, to) = (AggTradeId(5), AggTradeId(6));
        let hole = Hole { ids: IdRange { from, to }, after: UnixMillis(now.wall_ms() - 1_000) };
        planner.want(0, &Symbol::new("BTCUSDT").unwrap(), &[hole], now);
        assert!(matches!(planner.next(now), Step::Ask(_)));
        let banned = RestError::TooManyRequests {
            status: 418,
            retry_after: None,
            banned_until: Some(UnixMillis(now.wall_ms() + ahead_ms + 60_000)),
            used_weight: None,
            message: String::new(),
        };
        assert_eq!(planner.answered(Err(banned), now), None);
        match planner.take_notice() {
            Some(Notice::Banned { wait, .. }) => wait,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_ban_ends_by_the_exchanges_clock_and_not_by_ours() {
        for ahead_ms in [0, 8_000, HOUR_MS, -8_000, -HOUR_MS] {
            assert_eq!(ban(ahead_ms, true), Duration::from_secs(60), "{ahead_ms}");
        }
        assert_eq!(ban(8_000, false), Duration::from_secs(68), "while nothing is known, both clocks are one");
    }
}
