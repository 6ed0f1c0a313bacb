//! What the pipeline does where several connections bring the same trades: the first copy counts, and a hole is one
//! only once every connection has passed it.

use super::lane::Lane;
use super::lines::{LiveSession, MAX_LINES, Origin, Overlap, Race, Side};
use super::roster::NOWHERE;
use super::shard::Shard;
use super::{Event, Pipeline};
use crate::bars::MOST_EMPTY_BARS;
use crate::feed::{LinkEvent, SessionId, ShardId};
use crate::snapshot::{Instrument, Stamp};
use crate::trade::AggTrade;

/// So long a hole may be filled by another connection before it is one.
pub const GRACE_NS: u64 = 250_000_000;
/// So long nobody may have traded before a new connection without a trade is taken for an old one without.
const QUIET_OVERLAP_NS: u64 = 10_000_000_000;
/// A symbol that the old connection brings so long after the new one opened has to come over the new one too.
const SETTLED_NS: u64 = 2_000_000_000;
/// A connection that brings nothing for so long, while others bring so many trades, is of no use.
const SILENT_NS: u64 = 15_000_000_000;
const SILENT_TRADES: u64 = 10;

impl Pipeline {
    /// When [`Input::Tick`](crate::source::Input::Tick) has to come at the latest, by the monotonic clock; `None` while nothing depends on it.
    pub fn tick_due(&self) -> Option<u64> {
        let since = self.doubtful.iter().filter_map(|at| self.lanes[*at].sequence.tentative_since());
        since.map(|since| since.mono_ns.saturating_add(GRACE_NS)).min()
    }

    /// The connections that are up, shard by shard, in the order in which they opened.
    pub fn live_sessions(&self) -> Vec<LiveSession> {
        self.shards.iter().flat_map(|shard| shard.lines.live()).copied().collect()
    }

    /// How often each line of a shard was first; `None` if there is no such shard.
    pub fn races(&self, shard: ShardId) -> Option<&[Race; MAX_LINES]> {
        self.shards.get(usize::from(shard.0)).map(|shard| shard.lines.races())
    }

    /// Connections that bring nothing while others of their shard do.
    pub fn silent_sessions(&self, now: Stamp) -> impl Iterator<Item = SessionId> {
        self.shards.iter().flat_map(move |shard| shard.lines.silent(now, SILENT_NS, SILENT_TRADES))
    }

    /// Whether a connection that was opened to replace an older one of its line may take over from it.
    pub fn overlap(&self, new: SessionId, now: Stamp) -> Overlap {
        let mut lives = self.shards.iter().map(|shard| shard.lines.live());
        let Some(live) = lives.find(|live| live.iter().any(|live| live.session == new)) else {
            return Overlap::Waiting;
        };
        let Some(new) = live.iter().find(|live| live.session == new) else { return Overlap::Waiting };
        let Some(old) = live.iter().find(|old| old.line == new.line && old.session < new.session) else {
            return Overlap::Waiting;
        };
        let settled = new.opened_at.mono_ns.saturating_add(SETTLED_NS);
        let mut brought_any = false;
        let shard = new.line.shard();
        for Lane { side, sequence, .. } in self.lanes.iter().filter(|lane| lane.shard == shard) {
            match (side.reach(new.session), side.reach(old.session)) {
                // Everything before what it brought first has come.
                (Some(reach), _) if sequence.last_id().is_some_and(|last| last.0 >= reach.first) => {
                    brought_any = true;
                }
                (Some(_), _) => return Overlap::Waiting,
                // The old one brings what the new one does not.
                (None, Some(reach)) if reach.at > settled => return Overlap::Waiting,
                (None, _) => {}
            }
        }
        let is_quiet = now.mono_ns.saturating_sub(new.opened_at.mono_ns) >= QUIET_OVERLAP_NS
            && old.received.is_none_or(|received| received.mono_ns <= settled);
        match brought_any {
            true => Overlap::Proven,
            false if is_quiet => Overlap::Quiet,
            false => Overlap::Waiting,
        }
    }

    /// A connection opened or closed.
    pub(super) fn link(&mut self, event: &LinkEvent, emit: &mut impl FnMut(Event<'_>)) {
        let shard = event.line.shard();
        let Some(Shard { lines, .. }) = self.shards.get_mut(usize::from(shard.0)) else { return };
        lines.link(event);
        let (several, up) = (lines.are_several(), lines.live().len());
        for lane in self.lanes.iter_mut().filter(|lane| lane.shard == shard) {
            let is_shared = several || lane.is_moving;
            lane.sequence.set_grace(is_shared);
            if !is_shared {
                lane.side = Side::default();
            }
        }
        if up == 0 {
            // Nobody is left who could bring them.
            self.believe_all(None, shard, emit);
        }
        emit(Event::Link { event, up });
    }

    /// A trade came that another connection may have brought before: whether it is a copy of what that had brought, or is
    /// of no use any more.
    #[cold]
    pub(super) fn is_copy(
        &mut self,
        at: usize,
        trade: &AggTrade,
        from: Origin,
        emit: &mut impl FnMut(Event<'_>),
    ) -> bool {
        let lane = &mut self.lanes[at];
        if lane.has_ended() {
            // Its stream has not ended yet.
            self.counts.unrequested += 1;
            return true;
        }
        let before = lane.side.brought(trade.id.0, from);
        let is_known = lane.sequence.has(trade);
        let lines = &mut self.shards[usize::from(from.line.shard().0)].lines;
        let is_copy = match before {
            Some((first, lead_ns)) if is_known => {
                lines.copied(first, lead_ns, from.line);
                true
            }
            Some(_) => false,
            // Where a lane comes from and where it goes, nothing is remembered of what was before.
            None if is_known && (lane.is_moving || lane.shard != from.line.shard()) => true,
            None => {
                lines.won(from.line);
                false
            }
        };
        self.counts.copies += u64::from(is_copy);
        if self.lanes[at].sequence.tentative_since().is_some() {
            self.bar_room = MOST_EMPTY_BARS;
            if !self.believe(at, from.received, NOWHERE, emit) {
                self.doubtful.retain(|doubtful| *doubtful != at);
            }
        }
        is_copy
    }

    /// Doubts become holes once every connection has passed them, or had its time, or is gone: those of the shard `lost`.
    pub(super) fn believe_all(
        &mut self,
        now: Option<Stamp>,
        lost: ShardId,
        emit: &mut impl FnMut(Event<'_>),
    ) {
        self.bar_room = MOST_EMPTY_BARS;
        for at in std::mem::take(&mut self.doubtful) {
            if self.believe(at, now, lost, emit) {
                self.doubtful.push(at);
            }
        }
    }

    /// The same for one lane: whether it still has doubts.
    fn believe(
        &mut self,
        at: usize,
        now: Option<Stamp>,
        lost: ShardId,
        emit: &mut impl FnMut(Event<'_>),
    ) -> bool {
        let lane = &mut self.lanes[at];
        let shard = self.shards.get(usize::from(lane.shard.0));
        let live = shard.map_or(&[][..], |shard| shard.lines.live());
        // While it moves, the shard that it comes from may still bring them.
        let (side, is_moving, is_lost) = (&lane.side, lane.is_moving, lane.shard == lost && !lane.is_moving);
        lane.sequence.believe_holes(|ids, since| {
            let waited = now.map_or(0, |now| now.mono_ns.saturating_sub(since.mono_ns));
            let is_passed = !is_moving && side.all_beyond(ids.to.0, live);
            waited >= GRACE_NS || is_lost || is_passed
        });
        let is_doubtful = lane.sequence.tentative_since().is_some();
        self.settle(at, now, emit);
        is_doubtful
    }

    /// Whether a lane that moves has come over its new shard; or nobody has brought it since it moves, though its new
    /// shard is up.
    pub fn has_moved(&self, instrument: &Instrument) -> bool {
        let Some(lane) = self.lane_of(instrument).map(|at| &self.lanes[at]) else { return true };
        let shard = self.shards.get(usize::from(lane.shard.0));
        let live = shard.map_or(&[][..], |shard| shard.lines.live());
        let has_come = live.iter().any(|live| lane.side.reach(live.session).is_some());
        has_come || (lane.side.is_blank() && !live.is_empty())
    }

    /// How many lanes have not ended and no connection that is up.
    pub fn disconnected(&self) -> u64 {
        self.running().filter(|(_, lane)| !self.is_up(lane.shard)).count() as u64
    }

    /// Whether a connection of a shard is up.
    pub fn is_up(&self, shard: ShardId) -> bool {
        self.shards.get(usize::from(shard.0)).is_some_and(|shard| !shard.lines.live().is_empty())
    }
}
