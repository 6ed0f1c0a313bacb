//! The time that counts for holes, and what it ends.

use super::super::budget::Kind;
use super::super::hole::Tracked;
use super::super::{Answer, GiveUpReason, Reply};
use super::Planner;
use crate::snapshot::Stamp;

impl Planner {
    /// The first hole whose time is over, or whose lane is refused. A lane that waits for an answer may yet be helped.
    pub(super) fn give_up(&mut self, now: Stamp) -> Option<Reply> {
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
    pub(super) fn count_time(&mut self, now: Stamp) {
        if now.mono_ns <= self.counted.mono_ns {
            self.counts_from = None;
            return;
        }
        let counts_from = self.counts_from(self.counted);
        let flying = self.flight.as_ref().filter(|f| f.hole.is_some()).map(|f| f.lane);
        for (index, lane) in &mut self.lanes {
            lane.count_time(flying == Some(*index), counts_from, now);
        }
        self.counted = now;
        self.counts_from = None;
    }

    /// From when on a pause counts: not while a request could not be made anyway.
    pub(super) fn counts_from(&mut self, now: Stamp) -> u64 {
        if let Some(known) = self.counts_from.filter(|_| now == self.counted) {
            return known;
        }
        let ready = self.budget.ready_at(self.there(now), Kind::Gap);
        let from = ready.map_or_else(|until| until.mono_ns, |()| now.mono_ns);
        if now == self.counted {
            self.counts_from = Some(from);
        }
        from
    }

    /// When time alone changes something.
    pub(super) fn wakes_at(&mut self, now: Stamp) -> Option<u64> {
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
}
