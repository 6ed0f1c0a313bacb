//! What the pipeline does where several connections bring the same trades: the first copy counts, and a hole is one
//! only once every connection has passed it.

use super::lane::Lane;
use super::lines::{LiveSession, MAX_LINES, Origin, Overlap, Race, Side};
use super::{Event, Pipeline};
use crate::bars::MOST_EMPTY_BARS;
use crate::feed::{LinkEvent, SessionId};
use crate::snapshot::Stamp;
use crate::trade::AggTrade;
use crate::units::IdRange;

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

    /// The connections that are up, in the order in which they opened.
    pub fn live_sessions(&self) -> &[LiveSession] {
        self.lines.live()
    }

    /// How often each line was first.
    pub fn races(&self) -> &[Race; MAX_LINES] {
        self.lines.races()
    }

    /// Connections that bring nothing while others do.
    pub fn silent_sessions(&self, now: Stamp) -> impl Iterator<Item = SessionId> {
        self.lines.silent(now, SILENT_NS, SILENT_TRADES)
    }

    /// Whether a connection that was opened to replace an older one of its line may take over from it.
    pub fn overlap(&self, new: SessionId, now: Stamp) -> Overlap {
        let live = self.lines.live();
        let Some(new) = live.iter().find(|live| live.session == new) else { return Overlap::Waiting };
        let Some(old) = live.iter().find(|old| old.line == new.line && old.session < new.session) else {
            return Overlap::Waiting;
        };
        let settled = new.opened_at.mono_ns.saturating_add(SETTLED_NS);
        let mut brought_any = false;
        for Lane { side, sequence, .. } in &self.lanes {
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
        self.lines.link(event);
        let several = self.lines.are_several();
        for lane in &mut self.lanes {
            lane.sequence.set_grace(several);
            if !several {
                lane.side = Side::default();
            }
        }
        if self.lines.live().is_empty() {
            // Nobody is left who could bring them.
            self.believe_all(None, |_| true, emit);
        }
        emit(Event::Link { event, up: self.lines.live().len() });
    }

    /// One of several connections brought a trade: whether it is a copy of what another one had brought.
    #[cold]
    pub(super) fn is_copy(
        &mut self,
        at: usize,
        trade: &AggTrade,
        from: Origin,
        emit: &mut impl FnMut(Event<'_>),
    ) -> bool {
        let lane = &mut self.lanes[at];
        let before = lane.side.brought(trade.id.0, from);
        let is_copy = match before {
            Some((first, lead_ns)) if lane.sequence.has(trade) => {
                self.lines.copied(first, lead_ns, from.line);
                self.counts.copies += 1;
                true
            }
            Some(_) => false,
            None => {
                self.lines.won(from.line);
                false
            }
        };
        if lane.sequence.tentative_since().is_some() {
            self.believe_all(from.received, |_| false, emit);
        }
        is_copy
    }

    /// Doubts become holes once every connection has passed them, or had its time.
    pub(super) fn believe_all(
        &mut self,
        now: Option<Stamp>,
        is_lost: impl Fn(IdRange) -> bool,
        emit: &mut impl FnMut(Event<'_>),
    ) {
        self.bar_room = MOST_EMPTY_BARS;
        for at in std::mem::take(&mut self.doubtful) {
            let (lane, live) = (&mut self.lanes[at], self.lines.live());
            let side = &lane.side;
            lane.sequence.believe_holes(|ids, since| {
                let waited = now.map_or(0, |now| now.mono_ns.saturating_sub(since.mono_ns));
                waited >= GRACE_NS || is_lost(ids) || side.all_beyond(ids.to.0, live)
            });
            if lane.sequence.tentative_since().is_some() {
                self.doubtful.push(at);
            }
            self.settle(at, now, emit);
        }
    }
}
