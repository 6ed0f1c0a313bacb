//! Is the stream where the exchange is? A loss after the last trade has no later id that would show it, and a
//! connection that delivers nothing looks like a market in which nobody trades. REST knows the newest id.

mod lane;

use std::collections::BTreeMap;
use std::time::Duration;

use lane::{Ahead, Lane};

use super::hole::nanos;
use crate::clock::ClockOffset;
use crate::silence::Newest;
use crate::snapshot::Stamp;
use crate::units::AggTradeId;

/// The heartbeat timeout that is assumed unless another is told.
const HEARTBEAT: Duration = Duration::from_secs(60);
/// No silence is taken for longer than this for granted, however rare a lane's trades are; half the heartbeat timeout,
/// if that is shorter.
const LONGEST_PATIENCE: Duration = Duration::from_secs(30);
/// Two looks at a lane that stands still are at most so far apart; half the heartbeat timeout, if that is shorter.
const LONGEST_DISTANCE: Duration = Duration::from_secs(60);
const SHORTEST_DISTANCE: Duration = Duration::from_secs(2);
/// Of the lanes of which nothing is known yet, the first so many are looked at early, to be soon sure of the
/// connection.
const CANARIES: usize = 4;
/// REST may know a trade before the stream brings it (100 ms is normal): so long the stream has to catch up.
const BEHIND_AFTER: Duration = Duration::from_millis(800);
/// The same, before a connection is called broken.
const BROKEN_AFTER: Duration = Duration::from_secs(3);
/// A connection is called broken so long after the last one at the earliest; twice as long each time …
const BROKEN_AGAIN: Duration = Duration::from_secs(60);
/// … up to this …
const BROKEN_AGAIN_MAX: Duration = Duration::from_secs(3_600);
/// … and from the beginning after so long without one.
const BROKEN_FORGOTTEN: Duration = Duration::from_secs(2 * 3_600);
/// A trade that happened sooner after the connection opened than this may have passed before the subscription held.
const SUBSCRIBING_MS: f64 = 2_000.0;
/// So many lanes, or all if there are fewer, have to be where REST is before the silence of a connection is the
/// market's.
const WITNESSES: usize = 8;

/// What is known about the end of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// Nothing to do.
    Quiet,
    /// The newest id is to be asked for, and the answer handed to [`TailWatch::newest`].
    Probe,
    /// The exchange has nothing that has not arrived: nobody trades.
    Agreed,
    /// The exchange has a later id. The stream may be about to bring it; [`TailWatch::tick`] will tell, a second or
    /// three later.
    Wait,
    /// The ids up to this one were lost before, or while we were unable to take them: they are missing.
    Behind(AggTradeId),
    /// The market trades and this connection delivers nothing: connect anew; the ids up to this one are missing. A
    /// lane that never had a trade has no first id that could be missing.
    Broken(AggTradeId),
    /// The same, but connecting anew did not help a short while ago.
    Mute(AggTradeId),
}

/// Watches the ends of all lanes of a connection. Knows no clock: ticked once a second.
///
/// No lane whose head moves is ever called behind or broken, whatever REST says. How long a lane may stand still before
/// it is looked at follows from how often it moved: see [`Rate`](crate::silence::Rate).
#[derive(Debug)]
pub struct TailWatch {
    lanes: BTreeMap<usize, Lane>,
    link_up: bool,
    limits: Limits,
    offset: Option<ClockOffset>,
    /// When the connection opened.
    opened_at: u64,
    /// Counts disturbances, of all lanes: a connection that opened, frames that were lost here.
    disturbances: u64,
    broken_told: bool,
    broken: Option<Broken>,
}

/// How long is long, for this heartbeat timeout.
#[derive(Debug, Clone, Copy)]
struct Limits {
    patience: Duration,
    distance: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Broken {
    at: u64,
    pause: u64,
}

impl Default for TailWatch {
    fn default() -> Self {
        Self::new(HEARTBEAT)
    }
}

impl TailWatch {
    /// No lane and no link yet. Looks at a lane that stands still are less than `heartbeat` apart, if that is more than
    /// 4 s, so that who vouches for a silence by what they find does so in time.
    pub fn new(heartbeat: Duration) -> Self {
        Self {
            lanes: BTreeMap::new(),
            link_up: false,
            limits: Limits {
                patience: LONGEST_PATIENCE.min(heartbeat / 2),
                distance: LONGEST_DISTANCE.min(heartbeat / 2).max(SHORTEST_DISTANCE),
            },
            offset: None,
            opened_at: 0,
            disturbances: 0,
            broken_told: false,
            broken: None,
        }
    }

    /// How far our wall clock is from the exchange's, as far as it is known now.
    pub fn clock_offset(&mut self, offset: Option<ClockOffset>) {
        self.offset = offset;
    }

    /// A connection opened, after there was none.
    pub fn opened(&mut self, now: Stamp) {
        self.link_up = true;
        self.opened_at = now.mono_ns;
        self.broken_told = false;
        for lane in self.lanes.values_mut() {
            lane.opened();
        }
        self.disturbed(now);
    }

    /// The last connection closed. Its last trades have been seen before this is called.
    pub fn closed(&mut self) {
        self.link_up = false;
        self.lanes.values_mut().for_each(|lane| lane.ahead = None);
    }

    /// Frames were lost here, or could not be read. Any lane may have lost its last trade.
    pub fn disturbed(&mut self, now: Stamp) {
        self.disturbances += 1;
        for (index, lane) in &mut self.lanes {
            lane.restart(*index < CANARIES, self.limits, now);
            if let Some(ahead) = &mut lane.ahead {
                // What we wait for may have been lost right now.
                ahead.broken = false;
            }
        }
    }

    /// Once a second for each lane: its newest known id (those held behind a hole included) and whether a hole is open.
    /// Never answers [`Tail::Wait`] or [`Tail::Agreed`].
    pub fn tick(&mut self, lane: usize, head: Option<AggTradeId>, hole_open: bool, now: Stamp) -> Tail {
        let (disturbances, limits, canary) = (self.disturbances, self.limits, lane < CANARIES);
        let link_up = self.link_up;
        let entry =
            self.lanes.entry(lane).or_insert_with(|| Lane::new(head, disturbances, canary, limits, now));
        entry.saw(head, disturbances, limits, now);
        if !link_up || hole_open {
            entry.ahead = None;
            return Tail::Quiet;
        }
        if let Some(ahead) = entry.ahead {
            if now.mono_ns < ahead.until {
                return Tail::Quiet;
            }
            entry.ahead = None;
            return self.confirmed(lane, head, ahead, now);
        }
        match entry.wants_look(head, disturbances, limits, now) {
            true => Tail::Probe,
            false => Tail::Quiet,
        }
    }

    /// The newest trade the exchange has for a lane (`None`: it never had one), and what the lane's head is now:
    /// [`Tail::Agreed`], [`Tail::Quiet`] if nothing follows from it, or [`Tail::Wait`]. REST may know a trade before the
    /// stream brings it, so it is [`TailWatch::tick`] that tells the rest.
    pub fn newest(
        &mut self,
        lane: usize,
        newest: Option<Newest>,
        head: Option<AggTradeId>,
        now: Stamp,
    ) -> Tail {
        let (disturbances, limits) = (self.disturbances, self.limits);
        let is_ours = newest.and_then(|newest| self.is_of_this_connection(newest, now));
        let Some(entry) = self.lanes.get_mut(&lane) else { return Tail::Quiet };
        entry.saw(head, disturbances, limits, now);
        if !self.link_up {
            return Tail::Quiet;
        }
        let agrees = match (newest, head) {
            (None, head) => head.is_none(),
            (Some(newest), Some(head)) if newest.id > head => {
                return entry.is_ahead(newest.id, disturbances, now);
            }
            (Some(newest), Some(head)) => newest.id == head,
            (Some(newest), None) => {
                let first_look = entry.floor.is_none();
                let floor = *entry.floor.get_or_insert(newest.id);
                if newest.id > floor || is_ours == Some(true) {
                    return entry.is_ahead(newest.id, disturbances, now);
                }
                // An old trade is one that happened before, or that was the newest when we looked before.
                is_ours == Some(false) || !first_look
            }
        };
        entry.agreed |= agrees;
        if agrees { Tail::Agreed } else { Tail::Quiet }
    }

    /// Whether all silence up to now was the market's: REST knew nothing new of the lanes that stand still, or of
    /// enough of them, and nothing contradicts it.
    pub fn vouches(&self, now: Stamp) -> bool {
        let still = self.lanes.values().filter(|lane| lane.agreed || lane.is_silent(self.limits, now));
        let (still, agreed) =
            still.fold((0, 0), |(still, agreed), lane| (still + 1, agreed + usize::from(lane.agreed)));
        let contradicted = self.lanes.values().any(|lane| lane.mute || lane.ahead.is_some_and(|a| a.broken));
        self.link_up && !contradicted && agreed > 0 && agreed >= still.min(WITNESSES)
    }

    /// Whether a trade happened while this connection should have brought it; `None` if our clocks cannot tell.
    fn is_of_this_connection(&self, newest: Newest, now: Stamp) -> Option<bool> {
        let offset = self.offset?;
        let exchange_now = now.wall_ns as f64 / 1e6 + offset.offset_ms;
        let opened = exchange_now - now.mono_ns.saturating_sub(self.opened_at) as f64 / 1e6;
        Some(newest.traded_at.0 as f64 > opened + offset.error_ms + SUBSCRIBING_MS)
    }

    fn confirmed(&mut self, lane: usize, head: Option<AggTradeId>, ahead: Ahead, now: Stamp) -> Tail {
        let may_cut = ahead.broken && !self.broken_told && self.may_tell_broken(now);
        if let Some(entry) = self.lanes.get_mut(&lane) {
            entry.floor = Some(ahead.id);
            entry.mute |= ahead.broken;
            // What moves it next comes from REST.
            entry.refetched = head.is_some();
        }
        match ahead.broken {
            true if may_cut => {
                self.broken_told = true;
                Tail::Broken(ahead.id)
            }
            // Connecting anew did not help: then at least nothing is lost.
            true => Tail::Mute(ahead.id),
            false if head.is_some() => Tail::Behind(ahead.id),
            false => Tail::Quiet,
        }
    }

    /// Less and less often, because a symbol that is never delivered must not cut off the others.
    fn may_tell_broken(&mut self, now: Stamp) -> bool {
        let first = nanos(BROKEN_AGAIN);
        let pause = match self.broken {
            None => first,
            Some(last) => match now.mono_ns.saturating_sub(last.at) {
                since if since < last.pause => return false,
                since if since >= nanos(BROKEN_FORGOTTEN) => first,
                _ => last.pause.saturating_mul(2).min(nanos(BROKEN_AGAIN_MAX)),
            },
        };
        self.broken = Some(Broken { at: now.mono_ns, pause });
        true
    }
}

#[cfg(test)]
mod tests;
