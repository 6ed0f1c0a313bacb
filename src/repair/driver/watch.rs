//! Once a second: which lanes should be looked at, what follows from their tails, and how far an outage is.

use super::super::progress::Work;
use super::super::shards::{Judged, Seen};
use super::super::{Answer, Outcome, Reply, Tail};
use super::Repair;
use crate::pipeline::LaneIds;
use crate::silence::{Finding, Newest};
use crate::snapshot::Stamp;
use crate::units::AggTradeId;

/// Ticks after which suspicious ids that are still there are asked about again.
const DOUBT_AGAIN: u64 = 5;

impl Repair {
    /// Once a second: looks for lanes whose silence should be questioned.
    pub fn tick<'a>(&mut self, lanes: impl Iterator<Item = LaneIds<'a>>) {
        let now = self.begin_tick();
        lanes.for_each(|ids| self.see(&ids, now));
        self.end_tick(now);
    }

    /// A tick begins.
    pub(in crate::repair) fn begin_tick(&mut self) -> Stamp {
        let now = self.clock.now();
        self.ticks += 1;
        self.idle = false;
        self.shards.begin_tick(now);
        now
    }

    /// A lane as the tick finds it.
    pub(in crate::repair) fn see(&mut self, ids: &LaneIds<'_>, now: Stamp) {
        if !self.asks(ids.instrument.market) {
            return;
        }
        let lane = ids.lane;
        let Seen { tail, shard, has_moved } = self.shards.see(ids, now);
        let is_few = self.shards.are_few();
        // The first question about it may have remained without an answer.
        if ids.in_doubt && self.ticks.is_multiple_of(DOUBT_AGAIN) {
            self.doubtful.insert(lane);
            self.planner.probe(lane, &ids.instrument.symbol, now);
        } else if has_moved && !is_few && !self.doubtful.contains(&lane) {
            // Whatever was to be learnt of it, the stream has told.
            self.planner.withdraw_probe(lane);
        }
        match tail {
            Tail::Quiet | Tail::Wait | Tail::Agreed => {}
            Tail::Probe(urgency) => {
                if ids.newest.is_none() {
                    self.errands.is_silent(ids.instrument.market, now);
                }
                if is_few {
                    self.shards.looked(lane, now);
                    self.planner.probe(lane, &ids.instrument.symbol, now);
                } else {
                    self.looks.want(urgency, lane, self.shards.trades_per_hour(lane));
                }
            }
            Tail::Behind(id) => self.is_behind(lane, id, now),
            Tail::Mute(newest) => {
                self.not_delivered(newest, ids);
                if ids.newest.is_some() {
                    self.is_behind(lane, newest, now);
                }
            }
            Tail::Broken(newest) => {
                self.steering.reconnect(shard);
                self.not_delivered(newest, ids);
                let reply = Reply { lane, at: now, answer: Answer::Newest(newest) };
                let (instrument, ours) = (ids.instrument.clone(), ids.newest);
                self.outcomes.push_back(Outcome::Broken { instrument, shard, newest, ours, reply });
            }
        }
    }

    /// The tick has seen all lanes.
    pub(in crate::repair) fn end_tick(&mut self, now: Stamp) {
        for lane in self.shards.end_tick() {
            self.planner.forget(lane, now);
            self.progress.lane(lane, false, self.planner.repair_calls(), now);
            self.doubtful.remove(&lane);
            self.looks.forget(lane);
        }
        for lane in self.looks.choose(self.planner.probes_waiting(), self.shards.are_silent(now), now) {
            self.shards.looked(lane, now);
            if let Some(instrument) = self.shards.instrument(lane) {
                self.planner.probe(lane, &instrument.symbol, now);
            }
        }
        let (cost, ceiling) = self.planner.weights();
        let each = Work { requests: 0, cost, ceiling, used: self.planner.used_weight(now) };
        let left = || self.planner.requests_left();
        let notices = self.progress.tick(each, left, self.planner.repair_calls(), now);
        self.outcomes.extend(notices.into_iter().map(Outcome::Notice));
    }

    /// What lies between where a lane stands and this id is missing.
    fn is_behind(&mut self, lane: usize, newest: AggTradeId, now: Stamp) {
        let reply = Reply { lane, at: now, answer: Answer::Newest(newest) };
        self.outcomes.push_back(Outcome::Reply(reply));
    }

    fn not_delivered(&mut self, newest: AggTradeId, ids: &LaneIds<'_>) {
        let finding = Finding::NotDelivered { newest, ours: ids.newest };
        let (lane, instrument) = (ids.lane, ids.instrument.clone());
        self.outcomes.push_back(Outcome::Silence { lane, instrument, finding });
    }

    /// The newest id is news for the pipeline only where it confirms suspicious ones; otherwise the watch waits whether
    /// the stream brings it.
    pub(super) fn judge(&mut self, lane: usize, newest: Option<Newest>, now: Stamp) -> Option<Reply> {
        if let Some(newest) = newest
            && self.doubtful.remove(&lane)
        {
            return Some(Reply { lane, at: now, answer: Answer::Confirm(newest.id) });
        }
        if let Judged::Quiet { vouches } = self.shards.newest(lane, newest, now) {
            if let Some(instrument) = self.shards.instrument(lane).cloned() {
                self.errands.is_silent(instrument.market, now);
                self.outcomes.push_back(Outcome::Silence {
                    lane,
                    instrument,
                    finding: Finding::Quiet(newest),
                });
            }
            if let Some(shard) = vouches {
                self.steering.vouch(shard);
            }
        }
        None
    }
}
