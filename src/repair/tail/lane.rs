//! One lane of the watch: how it moved, and when it is looked at next.

use std::time::Duration;

use super::super::hole::{after, nanos};
use super::{BEHIND_AFTER, BROKEN_AFTER, Limits, Tail, Urgency};
use crate::silence::Rate;
use crate::snapshot::Stamp;
use crate::units::AggTradeId;

/// After a connection opened, or something was lost here: a lane that has not moved for so long is looked at.
const UNSURE: Duration = Duration::from_secs(1);
/// Where there are many lanes, one of a known rate gets the time of so many trades to show by itself, up to …
const UNSURE_INTERVALS: u32 = 3;
/// … this, and one of an unknown rate …
const UNSURE_LONGEST: Duration = Duration::from_secs(30);
/// … this.
const UNSURE_UNKNOWN: Duration = Duration::from_secs(3);
/// Two looks of that kind at one lane are so far apart at least.
const UNSURE_AGAIN: Duration = Duration::from_secs(3);
/// When a lane of unknown rate is looked at that this connection has not moved yet: after 3 s, 4 s after that, 8 s …
const FRESH: [Duration; 4] =
    [Duration::from_secs(3), Duration::from_secs(4), Duration::from_secs(8), Duration::from_secs(15)];

#[derive(Debug)]
pub(super) struct Lane {
    /// When it was first seen here: what happened before need not have come over this connection.
    pub(super) since: u64,
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
    /// The last look because nothing moves, or when that began.
    idle_since: u64,
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
    pub(super) fn new(head: Option<AggTradeId>, disturbances: u64, canary: bool, now: Stamp) -> Self {
        let mut lane = Self {
            since: now.mono_ns,
            head,
            rate: Rate::default(),
            moved_at: None,
            moved_here: false,
            refetched: false,
            still_since: 0,
            idle_since: 0,
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
        lane.restart(canary, now);
        lane
    }

    /// Another connection: what the last one did not bring says nothing of it.
    pub(super) fn opened(&mut self) {
        self.ahead = None;
        self.moved_here = false;
        self.mute = false;
    }

    /// It comes from another connection, which may have brought something that this one will not.
    pub(super) fn joined(&mut self, disturbances: u64, canary: bool, now: Stamp) {
        self.opened();
        self.since = now.mono_ns;
        self.sure_of = disturbances.wrapping_sub(1);
        self.looked_for = self.sure_of;
        self.doubt = None;
        self.restart(canary, now);
    }

    /// The rhythm of looks begins anew, and the time until the next move says nothing of the rate.
    pub(super) fn restart(&mut self, canary: bool, now: Stamp) {
        self.moved_at = None;
        self.stand(canary, now);
    }

    fn stand(&mut self, canary: bool, now: Stamp) {
        self.still_since = now.mono_ns;
        self.idle_since = now.mono_ns;
        self.fresh = canary && !self.moved_here && self.rate.mean().is_none();
        self.looks = 0;
        self.floor = None;
        self.agreed = false;
    }

    /// The mean time between its trades; `None` while too little is known.
    pub(super) fn interval(&self) -> Option<Duration> {
        self.rate.mean()
    }

    /// Looks brought nothing, for whatever reason: it is no witness.
    pub(super) fn is_mum(&self) -> bool {
        self.looks >= 2 && !self.agreed
    }

    /// How long after the last look, or since nothing moves, the next one is due.
    fn distance(&self, limits: Limits) -> Duration {
        let (first, times) = match (self.fresh && limits.early, FRESH.get(self.looks)) {
            (true, Some(next)) => (*next, 0),
            (true, None) => (FRESH[FRESH.len() - 1], self.looks + 1 - FRESH.len()),
            (false, _) => (self.rate.patience(limits.patience), self.looks),
        };
        first.saturating_mul(1 << times.min(20)).min(limits.distance)
    }

    /// Whether it stands still for longer than its rate explains.
    pub(super) fn is_silent(&self, limits: Limits, now: Stamp) -> bool {
        now.mono_ns.saturating_sub(self.still_since) >= nanos(self.rate.patience(limits.patience))
    }

    /// Takes note of the head. A lane that moves is sound: what was lost before shows as a hole. Whether the stream
    /// moved it.
    pub(super) fn saw(&mut self, head: Option<AggTradeId>, disturbances: u64, now: Stamp) -> bool {
        if head == self.head {
            return false;
        }
        let before = std::mem::replace(&mut self.head, head);
        self.ahead = None;
        let is_refetched = std::mem::take(&mut self.refetched);
        if is_refetched {
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
        self.stand(self.fresh, now);
        if let Some(doubt) = self.doubt.take() {
            self.sure_of = doubt.disturbance;
        }
        if before.is_none() {
            self.sure_of = disturbances;
        } else if self.sure_of != disturbances {
            // It may have moved before that disturbance: only the next move is proof.
            self.doubt = Some(Doubt { since: now.mono_ns, disturbance: disturbances });
        }
        !is_refetched
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

    /// Whether it should be looked at now, and how urgently.
    pub(super) fn wants_look(
        &mut self,
        head: Option<AggTradeId>,
        disturbances: u64,
        limits: Limits,
        now: Stamp,
    ) -> Option<Urgency> {
        let unsure = self.is_unsure(head, disturbances, limits, now).then_some(Urgency::Unsure);
        let idle = (now.mono_ns >= after_ns(self.idle_since, self.distance(limits))).then(|| {
            let is_new = self.looks == 0 && self.rate.mean().is_some();
            match (limits.urgent, is_new) {
                (true, _) => Urgency::Witness,
                (false, true) => Urgency::Silent,
                (false, false) => Urgency::Idle,
            }
        });
        unsure.into_iter().chain(idle).min()
    }

    /// Somebody looks at it now.
    pub(super) fn looked(&mut self, disturbances: u64, limits: Limits, now: Stamp) {
        if now.mono_ns >= after_ns(self.idle_since, self.distance(limits)) {
            self.looks += 1;
            self.idle_since = now.mono_ns;
        }
        self.looked_for = disturbances;
        self.looked_at = Some(now.mono_ns);
    }

    /// Whether the last trade may have been lost, and nobody has looked since.
    fn is_unsure(&mut self, head: Option<AggTradeId>, disturbances: u64, limits: Limits, now: Stamp) -> bool {
        if head.is_none() || self.sure_of == disturbances {
            return false;
        }
        let doubt = Doubt { since: self.still_since, disturbance: disturbances };
        let since = self.doubt.get_or_insert(doubt).since;
        let rested = self.looked_at.is_none_or(|at| now.mono_ns.saturating_sub(at) >= nanos(UNSURE_AGAIN));
        let patience = match (limits.many, self.rate.mean()) {
            (false, _) => UNSURE,
            (true, None) => UNSURE_UNKNOWN,
            (true, Some(mean)) => mean.saturating_mul(UNSURE_INTERVALS).clamp(UNSURE, UNSURE_LONGEST),
        };
        self.looked_for != disturbances && rested && now.mono_ns.saturating_sub(since) >= nanos(patience)
    }
}

fn after_ns(from: u64, pause: Duration) -> u64 {
    from.saturating_add(nanos(pause))
}
