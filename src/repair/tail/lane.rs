//! One lane of the watch: how it moved, and when it is looked at next.

use std::time::Duration;

use super::super::hole::{after, nanos};
use super::{BEHIND_AFTER, BROKEN_AFTER, Limits, Tail};
use crate::silence::Rate;
use crate::snapshot::Stamp;
use crate::units::AggTradeId;

/// After a connection opened, or something was lost here: a lane that has not moved for so long is looked at.
const UNSURE: Duration = Duration::from_secs(1);
/// Two looks of that kind at one lane are so far apart at least.
const UNSURE_AGAIN: Duration = Duration::from_secs(3);
/// When a lane of unknown rate is looked at that this connection has not moved yet: after 3 s, 4 s after that, 8 s …
const FRESH: [Duration; 4] =
    [Duration::from_secs(3), Duration::from_secs(4), Duration::from_secs(8), Duration::from_secs(15)];

#[derive(Debug)]
pub(super) struct Lane {
    head: Option<AggTradeId>,
    rate: Rate,
    /// When it moved last; `None` where the time until the next move says nothing of the rate.
    moved_at: Option<u64>,
    /// It moved since the connection opened.
    moved_here: bool,
    /// REST was asked for what the stream did not bring: the next move is no sign of life.
    pub(super) refetched: bool,
    /// When it moved last, or a disturbance began to raise doubts.
    still_since: u64,
    /// The next look while nothing moves, and how far the one after it is.
    idle_at: u64,
    distance: Duration,
    /// The looks since nothing moves, and whether they follow [`FRESH`].
    looks: usize,
    fresh: bool,
    /// The disturbance up to which the end is known to be right.
    sure_of: u64,
    /// The head was seen after a disturbance: if it moves on from there, what was lost before will show as a hole.
    doubt: Option<Doubt>,
    /// The last look, and the last disturbance before it.
    looked_at: Option<u64>,
    looked_for: u64,
    /// The exchange has a later id, and the lane has not moved since.
    pub(super) ahead: Option<Ahead>,
    /// A lane without any trade: the newest id that the first look found.
    pub(super) floor: Option<AggTradeId>,
    /// REST had nothing new since it stands still.
    pub(super) agreed: bool,
    /// The market trades on, and this connection brought nothing of it.
    pub(super) mute: bool,
}

#[derive(Debug, Clone, Copy)]
struct Doubt {
    since: u64,
    disturbance: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Ahead {
    pub(super) id: AggTradeId,
    pub(super) until: u64,
    pub(super) broken: bool,
}

impl Lane {
    pub(super) fn new(
        head: Option<AggTradeId>,
        disturbances: u64,
        canary: bool,
        limits: Limits,
        now: Stamp,
    ) -> Self {
        let mut lane = Self {
            head,
            rate: Rate::default(),
            moved_at: None,
            moved_here: false,
            refetched: false,
            still_since: 0,
            idle_at: 0,
            distance: Duration::ZERO,
            looks: 0,
            fresh: false,
            sure_of: disturbances,
            doubt: None,
            looked_at: None,
            looked_for: disturbances,
            ahead: None,
            floor: None,
            agreed: false,
            mute: false,
        };
        lane.restart(canary, limits, now);
        lane
    }

    /// Another connection: what the last one did not bring says nothing of it.
    pub(super) fn opened(&mut self) {
        self.ahead = None;
        self.moved_here = false;
        self.mute = false;
    }

    /// The rhythm of looks begins anew, and the time until the next move says nothing of the rate.
    pub(super) fn restart(&mut self, canary: bool, limits: Limits, now: Stamp) {
        self.moved_at = None;
        self.stand(canary, limits, now);
    }

    fn stand(&mut self, canary: bool, limits: Limits, now: Stamp) {
        self.still_since = now.mono_ns;
        self.fresh = canary && !self.moved_here && self.rate.mean().is_none();
        self.looks = 0;
        let first = if self.fresh { FRESH[0] } else { self.rate.patience(limits.patience) };
        self.distance = first;
        self.idle_at = after(now, first.min(limits.distance));
        self.floor = None;
        self.agreed = false;
    }

    /// Whether it stands still for longer than its rate explains.
    pub(super) fn is_silent(&self, limits: Limits, now: Stamp) -> bool {
        now.mono_ns.saturating_sub(self.still_since) >= nanos(self.rate.patience(limits.patience))
    }

    /// Takes note of the head. A lane that moves is sound: what was lost before shows as a hole.
    pub(super) fn saw(&mut self, head: Option<AggTradeId>, disturbances: u64, limits: Limits, now: Stamp) {
        if head == self.head {
            return;
        }
        let before = std::mem::replace(&mut self.head, head);
        self.ahead = None;
        if std::mem::take(&mut self.refetched) {
            self.moved_at = None;
        } else {
            self.moved_here = true;
            self.mute = false;
            if let (Some(at), Some(before), Some(head)) = (self.moved_at, before, head) {
                let trades = u64::try_from(head.0.saturating_sub(before.0)).unwrap_or(1);
                self.rate.moved(Duration::from_nanos(now.mono_ns.saturating_sub(at)), trades);
            }
            self.moved_at = Some(now.mono_ns);
        }
        self.stand(self.fresh, limits, now);
        if let Some(doubt) = self.doubt.take() {
            self.sure_of = doubt.disturbance;
        }
        if before.is_none() {
            self.sure_of = disturbances;
        } else if self.sure_of != disturbances {
            // It may have moved before that disturbance: only the next move is proof.
            self.doubt = Some(Doubt { since: now.mono_ns, disturbance: disturbances });
        }
    }

    /// The exchange has a later id.
    pub(super) fn is_ahead(&mut self, id: AggTradeId, disturbances: u64, now: Stamp) -> Tail {
        // Not moved since the last disturbance: it may have been lost then, and the connection be sound.
        let broken = self.head.is_none() || self.sure_of == disturbances;
        let wait = if broken { BROKEN_AFTER } else { BEHIND_AFTER };
        self.agreed = false;
        self.ahead.get_or_insert(Ahead { id, until: after(now, wait), broken });
        Tail::Wait
    }

    pub(super) fn wants_look(
        &mut self,
        head: Option<AggTradeId>,
        disturbances: u64,
        limits: Limits,
        now: Stamp,
    ) -> bool {
        let idle = now.mono_ns >= self.idle_at;
        if idle {
            self.looks += 1;
            self.distance = match FRESH.get(self.looks) {
                Some(next) if self.fresh => *next,
                _ => self.distance * 2,
            };
            self.distance = self.distance.min(limits.distance);
            self.idle_at = after(now, self.distance);
        }
        let looks = self.is_unsure(head, disturbances, now) || idle;
        if looks {
            self.looked_for = disturbances;
            self.looked_at = Some(now.mono_ns);
        }
        looks
    }

    /// Whether the last trade may have been lost, and nobody has looked since.
    fn is_unsure(&mut self, head: Option<AggTradeId>, disturbances: u64, now: Stamp) -> bool {
        if head.is_none() || self.sure_of == disturbances {
            return false;
        }
        let doubt = Doubt { since: self.still_since, disturbance: disturbances };
        let since = self.doubt.get_or_insert(doubt).since;
        let rested = self.looked_at.is_none_or(|at| now.mono_ns.saturating_sub(at) >= nanos(UNSURE_AGAIN));
        self.looked_for != disturbances && rested && now.mono_ns.saturating_sub(since) >= nanos(UNSURE)
    }
}
