//! Is the stream where the exchange is? A loss after the last trade has no later id that would show it, and a
//! connection that delivers nothing looks like a market in which nobody trades. REST knows the newest id.

mod crowd;
mod lane;

use std::collections::BTreeMap;
use std::time::Duration;

pub use crowd::Crowd;
use lane::{Ahead, Lane};

use super::hole::nanos;
use crate::clock::ClockOffset;
use crate::silence::{Newest, Rate};
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
/// Where there are many lanes, both, of a lane whose connection brings others.
const RARE: Duration = Duration::from_secs(3_600);
/// A connection that has brought nothing yet is silent after so long, and no other one before; until then its lanes are
/// no witnesses.
const SILENT_AFTER: Duration = Duration::from_secs(3);
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
    /// The newest id is to be asked for: [`TailWatch::looked`] is to be told when it is, and the answer handed to
    /// [`TailWatch::newest`]. Told again until then.
    Probe(Urgency),
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

/// How much depends on a look, the most urgent first. Where there are [few](Crowd) lanes it makes no difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// The connection is silent, and this lane can tell whether that is the market's silence.
    Witness,
    /// It stands still for longer than its rate explains.
    Silent,
    /// Its last trade may have been lost.
    Unsure,
    /// Nothing is suspicious: it has been still for long.
    Idle,
}

/// Watches the ends of all lanes of a shard: of what one connection brings, or several side by side. Knows no clock:
/// ticked once a second.
///
/// No lane whose head moves is ever called behind or broken, whatever REST says. How long a lane may stand still before
/// it is looked at follows from how often it moved: see [`Rate`](crate::silence::Rate). Where there are many lanes (see
/// [`Crowd`]) the silence of one means little while the connection brings others, and only a few witnesses are asked
/// about the silence of a connection.
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
    crowd: Crowd,
    /// When this connection moved any lane last.
    moved_at: Option<u64>,
    /// How often it moves any.
    rate: Rate,
    /// Who is asked about the silence of the connection, as of this moment.
    witnesses: (u64, Vec<usize>),
}

/// How long is long, for this heartbeat timeout and this lane.
#[derive(Debug, Clone, Copy)]
struct Limits {
    patience: Duration,
    distance: Duration,
    /// A lane of which nothing is known may be looked at early.
    early: bool,
    /// The connection depends on what is found.
    urgent: bool,
    /// There are many lanes.
    many: bool,
}

#[derive(Debug, Clone, Copy)]
struct Broken {
    at: u64,
    pause: u64,
}

/// A lane on its way to another shard, and how often it traded.
pub(super) struct Leaving(Lane);

const HOUR: Duration = Duration::from_secs(3_600);

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
                early: true,
                urgent: true,
                many: false,
            },
            offset: None,
            opened_at: 0,
            disturbances: 1,
            broken_told: false,
            broken: None,
            crowd: Crowd::default(),
            moved_at: None,
            rate: Rate::default(),
            witnesses: (0, Vec::new()),
        }
    }

    /// How many lanes there are, of all shards that share a weight, and what may be asked.
    pub fn crowd(&mut self, crowd: Crowd) {
        self.crowd = crowd;
    }

    /// Whether the connection is up, and brings nothing for longer than the rate of all its lanes explains.
    pub fn is_silent(&self, now: Stamp) -> bool {
        let (since, patience) = match self.moved_at {
            None => (self.opened_at, SILENT_AFTER),
            Some(at) => (at, self.rate.patience(self.limits.patience).max(SILENT_AFTER)),
        };
        self.link_up && now.mono_ns.saturating_sub(since) >= nanos(patience)
    }

    /// The connection moved a lane.
    fn moved(&mut self, now: Stamp) {
        if let Some(at) = self.moved_at.replace(now.mono_ns).filter(|at| *at != now.mono_ns) {
            self.rate.moved(Duration::from_nanos(now.mono_ns.saturating_sub(at)), 1);
        }
    }

    /// How often a lane trades, in trades an hour; `None` while too little is known.
    pub fn trades_per_hour(&self, lane: usize) -> Option<u64> {
        let interval = self.lanes.get(&lane)?.interval()?;
        u64::try_from(HOUR.as_nanos() / interval.as_nanos().max(1)).ok()
    }

    /// A lane is not followed here any more.
    pub(super) fn leave(&mut self, lane: usize) -> Option<Leaving> {
        self.lanes.remove(&lane).map(Leaving)
    }

    /// A lane that was followed elsewhere is from now on brought here.
    pub(super) fn join(&mut self, lane: usize, leaving: Leaving, now: Stamp) {
        let Leaving(mut joining) = leaving;
        joining.joined(self.disturbances, self.lanes.len() < CANARIES, now);
        self.lanes.insert(lane, joining);
    }

    /// How far our wall clock is from the exchange's, as far as it is known now.
    pub fn clock_offset(&mut self, offset: Option<ClockOffset>) {
        self.offset = offset;
    }

    /// A connection opened, after there was none.
    pub fn opened(&mut self, now: Stamp) {
        self.link_up = true;
        self.opened_at = now.mono_ns;
        self.moved_at = None;
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
        for (place, lane) in self.lanes.values_mut().enumerate() {
            lane.restart(place < CANARIES, now);
            if let Some(ahead) = &mut lane.ahead {
                // What we wait for may have been lost right now.
                ahead.broken = false;
            }
        }
    }

    /// Once a second for each lane: its newest known id (those held behind a hole included) and whether a hole is open.
    /// Never answers [`Tail::Wait`] or [`Tail::Agreed`].
    pub fn tick(&mut self, lane: usize, head: Option<AggTradeId>, hole_open: bool, now: Stamp) -> Tail {
        let (disturbances, canary) = (self.disturbances, self.lanes.len() < CANARIES);
        let entry = self.lanes.entry(lane).or_insert_with(|| Lane::new(head, disturbances, canary, now));
        let has_moved = entry.saw(head, disturbances, now);
        let is_out = !self.link_up || hole_open;
        let ahead = entry.ahead.filter(|ahead| !is_out && now.mono_ns < ahead.until);
        let over = std::mem::replace(&mut entry.ahead, ahead).filter(|_| !is_out && ahead.is_none());
        if has_moved {
            self.moved(now);
        }
        if is_out || ahead.is_some() {
            return Tail::Quiet;
        }
        if let Some(over) = over {
            return self.confirmed(lane, head, over, now);
        }
        let limits = self.limits_of(lane, now);
        let wants = self.lanes.get_mut(&lane).and_then(|l| l.wants_look(head, disturbances, limits, now));
        wants.map_or(Tail::Quiet, Tail::Probe)
    }

    /// A lane is being looked at: its newest id is asked for now.
    pub fn looked(&mut self, lane: usize, now: Stamp) {
        let limits = self.limits_of(lane, now);
        if let Some(entry) = self.lanes.get_mut(&lane) {
            entry.looked(self.disturbances, limits, now);
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
        let disturbances = self.disturbances;
        let Some(since) = self.lanes.get(&lane).map(|lane| lane.since) else { return Tail::Quiet };
        let is_ours = newest.and_then(|newest| self.is_of_this_connection(newest, since, now));
        let Some(entry) = self.lanes.get_mut(&lane) else { return Tail::Quiet };
        if entry.saw(head, disturbances, now) {
            self.moved(now);
        }
        if !self.link_up {
            return Tail::Quiet;
        }
        let Some(entry) = self.lanes.get_mut(&lane) else { return Tail::Quiet };
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
        let agreed = self.lanes.values().filter(|lane| lane.agreed).count();
        let needed = match self.crowd.is_many {
            // Those whose silence means something trade often, and their silence means it soonest.
            true => self.crowd.witnesses.min(self.lanes.len()),
            false => {
                let is_still = |lane: &&Lane| lane.agreed || lane.is_silent(self.limits, now);
                self.lanes.values().filter(is_still).count().min(WITNESSES)
            }
        };
        let contradicted = self.lanes.values().any(|lane| lane.mute || lane.ahead.is_some_and(|a| a.broken));
        self.link_up && !contradicted && agreed > 0 && agreed >= needed
    }

    /// How long is long for a lane now.
    fn limits_of(&mut self, lane: usize, now: Stamp) -> Limits {
        if !self.crowd.is_many {
            return self.limits;
        }
        let is_witness = self.is_silent(now) && self.is_witness(lane, now);
        match is_witness {
            true => Limits { many: true, ..self.limits },
            false => Limits { patience: RARE, distance: RARE, early: false, urgent: false, many: true },
        }
    }

    /// Whether a lane is one of those that are asked about a silence: those that trade most often, as far as REST
    /// tells anything of them.
    fn is_witness(&mut self, lane: usize, now: Stamp) -> bool {
        if self.witnesses.0 != now.mono_ns {
            let mut lanes: Vec<_> = self
                .lanes
                .iter()
                .map(|(index, lane)| (lane.is_mum(), lane.interval().unwrap_or(Duration::MAX), *index))
                .collect();
            lanes.sort_unstable();
            let first = lanes.iter().take(self.crowd.witnesses.max(1)).map(|(.., index)| *index);
            self.witnesses = (now.mono_ns, first.collect());
        }
        self.witnesses.1.contains(&lane)
    }

    /// Whether a trade happened while this connection should have brought it, for a lane that is there since then; `None`
    /// if our clocks cannot tell.
    fn is_of_this_connection(&self, newest: Newest, since: u64, now: Stamp) -> Option<bool> {
        let offset = self.offset?;
        let exchange_now = now.wall_ns as f64 / 1e6 + offset.offset_ms;
        let since = self.opened_at.max(since);
        let subscribed = exchange_now - now.mono_ns.saturating_sub(since) as f64 / 1e6 + SUBSCRIBING_MS;
        Some(newest.traded_at.0 as f64 > subscribed + offset.error_ms)
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
