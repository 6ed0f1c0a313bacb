//! The shards of a weight pool: which lanes each carries, which of its sessions are up, and how far its ends are watched.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::tail::{Crowd, Tail, TailWatch};
use crate::clock::ClockOffset;
use crate::feed::{LinkChange, LinkEvent, SessionId, ShardId};
use crate::pipeline::LaneIds;
use crate::silence::Newest;
use crate::snapshot::{Instrument, Stamp};
use crate::units::AggTradeId;

/// The heartbeat timeout that is assumed unless another is told.
const HEARTBEAT: Duration = Duration::from_secs(60);
/// Where no rate of a lane is known: a symbol has traded as often as its newest id says, in several years of hours.
const TRADES_OF_AN_HOUR: i64 = 50_000;

/// Watches the ends of all lanes, those of each shard by themselves: what one connection fails to bring says nothing of
/// another.
#[derive(Debug)]
pub(super) struct Shards {
    heartbeat: Duration,
    offset: Option<ClockOffset>,
    shards: BTreeMap<ShardId, Shard>,
    lanes: BTreeMap<usize, Followed>,
    /// Counts ticks: a lane that one does not name has ended.
    ticks: u64,
    crowd: Crowd,
    /// How many requests for the newest trade a minute may have.
    looks_per_minute: u64,
}

#[derive(Debug, Default)]
struct Shard {
    watch: TailWatch,
    /// Those that are up.
    sessions: BTreeSet<SessionId>,
    /// Lanes of which the present connection let trades pass, and up to which id.
    undelivered: BTreeMap<usize, AggTradeId>,
    /// Something was lost on our side since the last tick.
    is_disturbed: bool,
    lanes: usize,
}

/// A lane as the last tick saw it.
#[derive(Debug)]
struct Followed {
    instrument: Instrument,
    shard: ShardId,
    head: Option<AggTradeId>,
    seen: u64,
}

/// What a tick saw of a lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) tail: Tail,
    pub(super) shard: ShardId,
    /// Its head is not what it was at the last tick.
    pub(super) has_moved: bool,
}

/// What REST's newest trade of a lane means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judged {
    /// Nothing yet.
    Open,
    /// Nobody trades. `vouches`: so all silence of this shard was the market's.
    Quiet { vouches: Option<ShardId> },
}

impl Shards {
    pub(super) fn new(looks_per_minute: u64) -> Self {
        Self {
            heartbeat: HEARTBEAT,
            offset: None,
            shards: BTreeMap::new(),
            lanes: BTreeMap::new(),
            ticks: 0,
            crowd: Crowd::default(),
            looks_per_minute,
        }
    }

    /// Watches for a feed that ends a session without data for so long, unless somebody vouches for it.
    pub(super) fn with_heartbeat(mut self, heartbeat: Duration) -> Self {
        self.heartbeat = heartbeat;
        self
    }

    pub(super) fn clock_offset(&mut self, offset: Option<ClockOffset>) {
        self.offset = offset;
        self.shards.values_mut().for_each(|shard| shard.watch.clock_offset(offset));
    }

    pub(super) fn instrument(&self, lane: usize) -> Option<&Instrument> {
        self.lanes.get(&lane).map(|followed| &followed.instrument)
    }

    /// Whether all lanes are few enough to be looked after closely.
    pub(super) const fn are_few(&self) -> bool {
        !self.crowd.is_many()
    }

    /// Whether a session that opens is the first one of its shard.
    pub(super) fn is_first(&self, event: &LinkEvent) -> bool {
        let sessions = self.shards.get(&event.line.shard()).map(|shard| &shard.sessions);
        event.change == LinkChange::Opened && sessions.is_none_or(BTreeSet::is_empty)
    }

    /// Whether the connections of any shard bring nothing.
    pub(super) fn are_silent(&self, now: Stamp) -> bool {
        self.silent(now) > 0
    }

    fn silent(&self, now: Stamp) -> usize {
        self.shards.values().filter(|shard| shard.lanes > 0 && shard.watch.is_silent(now)).count()
    }

    /// A session opened or closed. Of those of a shard only the first that opens raises doubts about what was before, and
    /// only the last that closes ends the watch: another line, or a hand-over, asks nothing.
    pub(super) fn link(&mut self, event: &LinkEvent, now: Stamp) {
        let is_first = self.is_first(event);
        let shard = self.shard(event.line.shard());
        match event.change {
            LinkChange::Opened => {
                if shard.sessions.insert(event.session) && is_first {
                    shard.watch.opened(now);
                    shard.undelivered.clear();
                }
            }
            LinkChange::Closed => {
                if shard.sessions.remove(&event.session) && shard.sessions.is_empty() {
                    shard.watch.closed();
                }
            }
        }
    }

    /// Something was lost on our side: of a session, or nobody knows of which. Whether it was the newest, only REST can
    /// tell.
    pub(super) fn disturbed(&mut self, session: Option<SessionId>) {
        let knows = |shard: &Shard| session.is_some_and(|session| shard.sessions.contains(&session));
        let known = self.shards.values().any(knows);
        for shard in self.shards.values_mut().filter(|shard| !known || knows(shard)) {
            shard.is_disturbed = true;
        }
    }

    /// A tick begins: each lane is to be shown with [`Shards::see`], and [`Shards::end_tick`] to be called after that.
    pub(super) fn begin_tick(&mut self, now: Stamp) {
        self.ticks += 1;
        let silent = self.silent(now);
        self.crowd = Crowd::new(self.lanes.len(), silent, self.looks_per_minute, self.heartbeat);
        for shard in self.shards.values_mut() {
            shard.lanes = 0;
            shard.watch.crowd(self.crowd);
            if std::mem::take(&mut shard.is_disturbed) {
                shard.watch.disturbed(now);
            }
        }
    }

    /// A lane as it stands now.
    pub(super) fn see(&mut self, ids: &LaneIds<'_>, now: Stamp) -> Seen {
        let mut has_moved = false;
        let mut leaving = None;
        let seen = self.ticks;
        match self.lanes.get_mut(&ids.lane) {
            Some(followed) => {
                has_moved = followed.head != ids.newest;
                followed.head = ids.newest;
                followed.seen = seen;
                let from = std::mem::replace(&mut followed.shard, ids.shard);
                if from != ids.shard {
                    leaving = self.shards.get_mut(&from).and_then(|shard| {
                        shard.undelivered.remove(&ids.lane);
                        shard.watch.leave(ids.lane)
                    });
                }
            }
            None => {
                let (instrument, shard, head) = (ids.instrument.clone(), ids.shard, ids.newest);
                self.lanes.insert(ids.lane, Followed { instrument, shard, head, seen });
            }
        }
        let shard = self.shard(ids.shard);
        shard.lanes += 1;
        if let Some(leaving) = leaving {
            shard.watch.join(ids.lane, leaving, now);
        }
        let tail = shard.watch.tick(ids.lane, ids.newest, !ids.holes.is_empty(), now);
        if let Tail::Behind(id) | Tail::Mute(id) = tail {
            shard.undelivered.insert(ids.lane, id);
        }
        Seen { tail, shard: ids.shard, has_moved }
    }

    /// Takes note of a lane that no tick has seen yet.
    pub(super) fn meet(&mut self, ids: &LaneIds<'_>) {
        let (seen, head) = (self.ticks, ids.newest);
        self.lanes.entry(ids.lane).or_insert_with(|| {
            let (instrument, shard) = (ids.instrument.clone(), ids.shard);
            Followed { instrument, shard, head, seen }
        });
    }

    /// The lanes that have ended since the last tick.
    pub(super) fn end_tick(&mut self) -> Vec<usize> {
        let seen = self.ticks;
        let is_gone = |(lane, followed): (&usize, &Followed)| (followed.seen != seen).then_some(*lane);
        let ended: Vec<usize> = self.lanes.iter().filter_map(is_gone).collect();
        for lane in &ended {
            let Some(followed) = self.lanes.remove(lane) else { continue };
            if let Some(shard) = self.shards.get_mut(&followed.shard) {
                shard.watch.leave(*lane);
                shard.undelivered.remove(lane);
            }
        }
        ended
    }

    /// A lane's newest trade is being asked for, because its tail wanted that.
    pub(super) fn looked(&mut self, lane: usize, now: Stamp) {
        if let Some(shard) = self.lanes.get(&lane).and_then(|lane| self.shards.get_mut(&lane.shard)) {
            shard.watch.looked(lane, now);
        }
    }

    /// How often a lane trades, in trades an hour, as far as that is known: by its rate here, else by how often it ever
    /// did.
    pub(super) fn trades_per_hour(&self, lane: usize) -> u64 {
        let Some(followed) = self.lanes.get(&lane) else { return 0 };
        let measured = self.shards.get(&followed.shard).and_then(|shard| shard.watch.trades_per_hour(lane));
        let ever = followed.head.map_or(0, |head| head.0.max(0) / TRADES_OF_AN_HOUR);
        measured.unwrap_or_else(|| ever.unsigned_abs())
    }

    /// REST told the newest trade of a lane.
    pub(super) fn newest(&mut self, lane: usize, newest: Option<Newest>, now: Stamp) -> Judged {
        let Some(followed) = self.lanes.get(&lane) else { return Judged::Open };
        let Some(shard) = self.shards.get_mut(&followed.shard) else { return Judged::Open };
        let head = followed.head;
        if shard.watch.newest(lane, newest, head, now) != Tail::Agreed {
            return Judged::Open;
        }
        // A connection that let something pass is no witness until it has brought something newer.
        if head.is_some_and(|head| shard.undelivered.get(&lane).is_some_and(|id| head > *id)) {
            shard.undelivered.remove(&lane);
        }
        let vouches = shard.undelivered.is_empty() && shard.watch.vouches(now);
        Judged::Quiet { vouches: vouches.then_some(followed.shard) }
    }

    fn shard(&mut self, shard: ShardId) -> &mut Shard {
        let (heartbeat, offset, crowd) = (self.heartbeat, self.offset, self.crowd);
        self.shards.entry(shard).or_insert_with(|| {
            let mut watch = TailWatch::new(heartbeat);
            watch.clock_offset(offset);
            watch.crowd(crowd);
            Shard { watch, ..Shard::default() }
        })
    }
}

#[cfg(test)]
mod tests;
