//! Which connections are up and what each of them brings: for holes that another connection may fill, for the question
//! whether a new one may take over from an old one, and for who is first.

use serde::{Deserialize, Serialize};

use crate::feed::{COPIES, LineId, LinkChange, LinkEvent, SessionId};
use crate::metrics::Histogram;
use crate::sequence::MOST_COUNTED;
use crate::snapshot::Stamp;
use crate::units::UnixMillis;

/// Most sessions that are followed at the same time: three lines, each being replaced.
pub const MAX_SESSIONS: usize = 6;
/// Lines a shard can have.
pub const MAX_LINES: usize = COPIES as usize;

/// Every connection of a shard that is up.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Lines {
    /// In the order in which they opened.
    live: Vec<LiveSession>,
    /// Told in statistics alone, which no recording has to give again.
    #[serde(skip)]
    races: [Race; MAX_LINES],
    /// Trades that sessions brought which are over.
    brought_before: u64,
}

/// A connection that is up, and the last trade it brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveSession {
    /// The line it is a session of.
    pub line: LineId,
    /// The session.
    pub session: SessionId,
    /// When it opened.
    pub opened_at: Stamp,
    /// Trades it brought, copies included.
    pub trades: u64,
    /// When the last one arrived.
    pub received: Option<Stamp>,
    /// The exchange's event time of the last one.
    pub event_at: Option<UnixMillis>,
    /// What the other sessions had brought in all when this one brought its last.
    pub(crate) others: u64,
}

/// How often a line was first, and by how much.
#[derive(Debug, Clone, Default)]
pub struct Race {
    /// Trades it brought before any other line did, while there were several.
    pub first: u64,
    /// By how many microseconds, for those that another line brought too.
    pub lead_us: Histogram,
}

/// Where a frame came from and when, for the account of its session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) line: LineId,
    pub(super) session: SessionId,
    pub(super) received: Option<Stamp>,
}

impl Lines {
    /// A session opened or closed.
    pub(super) fn link(&mut self, event: &LinkEvent) {
        self.forget(|live| live.session == event.session);
        if event.change == LinkChange::Opened {
            if self.live.len() == MAX_SESSIONS {
                // Its end was never told; it cannot be missed.
                let oldest = self.live[0].session;
                self.forget(|live| live.session == oldest);
            }
            let others = self.live.iter().map(|live| live.trades).sum();
            self.live.push(LiveSession {
                line: event.line,
                session: event.session,
                opened_at: event.at,
                trades: 0,
                received: None,
                event_at: None,
                others,
            });
        }
    }

    fn forget(&mut self, is_over: impl Fn(&LiveSession) -> bool) {
        let over = self.live.iter().filter(|live| is_over(live)).map(|live| live.trades);
        self.brought_before = self.brought_before.saturating_add(over.sum());
        self.live.retain(|live| !is_over(live));
    }

    /// Trades that came over its connections so far, copies included.
    pub(super) fn arrived(&self) -> u64 {
        let live = self.live.iter().map(|live| live.trades);
        live.fold(self.brought_before, u64::saturating_add)
    }

    /// Whether the counts can have come about.
    pub(super) fn is_sound(&self) -> bool {
        let brought = self.live.iter().flat_map(|live| [live.trades, live.others]);
        self.live.len() <= MAX_SESSIONS
            && brought.chain([self.brought_before]).all(|count| count <= MOST_COUNTED)
    }

    /// Whether more than one is up.
    #[inline]
    pub(super) fn are_several(&self) -> bool {
        self.live.len() > 1
    }

    pub(super) fn live(&self) -> &[LiveSession] {
        &self.live
    }

    /// A session brought a trade.
    #[inline]
    pub(super) fn brought(&mut self, from: Origin, event_at: Option<UnixMillis>) {
        match self.live.as_mut_slice() {
            [only] => only.take(from, event_at),
            // A recording does not tell of its connections.
            [] => {}
            _ => self.one_of_several(from, event_at),
        }
    }

    #[cold]
    fn one_of_several(&mut self, from: Origin, event_at: Option<UnixMillis>) {
        let all: u64 = self.live.iter().map(|live| live.trades).sum();
        if let Some(live) = self.live.iter_mut().find(|live| live.session == from.session) {
            live.others = all - live.trades;
            live.take(from, event_at);
        }
    }

    /// A line was the first to bring a trade.
    pub(super) fn won(&mut self, line: LineId) {
        if let Some(race) = self.races.get_mut(usize::from(line.copy())) {
            race.first += 1;
        }
    }

    /// A copy of a trade that `first` had brought.
    pub(super) fn copied(&mut self, first: LineId, lead_ns: u64, by: LineId) {
        if first != by
            && let Some(race) = self.races.get_mut(usize::from(first.copy()))
        {
            race.lead_us.record(i64::try_from(lead_ns / 1_000).unwrap_or(i64::MAX), 1);
        }
    }

    pub(super) fn races(&self) -> &[Race; MAX_LINES] {
        &self.races
    }

    /// Sessions that have brought nothing for `patience`, while the others brought at least `trades`.
    pub(super) fn silent(&self, now: Stamp, patience: u64, trades: u64) -> impl Iterator<Item = SessionId> {
        let all: u64 = self.live.iter().map(|live| live.trades).sum();
        self.live
            .iter()
            .filter(move |live| {
                let since = live.received.unwrap_or(live.opened_at).mono_ns;
                let by_others = (all - live.trades).saturating_sub(live.others);
                now.mono_ns.saturating_sub(since) >= patience && by_others >= trades
            })
            .map(|live| live.session)
    }
}

impl LiveSession {
    #[inline]
    fn take(&mut self, from: Origin, event_at: Option<UnixMillis>) {
        self.trades += 1;
        self.received = from.received;
        self.event_at = event_at;
    }
}

/// The trades of one lane while several sessions are up: what each of them has reached, and who brought the last ones.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Side {
    reaches: Vec<Reach>,
    /// A ring by id; empty until the first trade.
    brought: Vec<Brought>,
}

/// What a session has brought of a lane since there were several.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Reach {
    pub(super) session: SessionId,
    pub(super) first: i64,
    pub(super) last: i64,
    /// When the last one arrived.
    pub(super) at: u64,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Brought {
    id: i64,
    session: SessionId,
    line: LineId,
    at: u64,
}

/// Trades whose bringer is remembered: more than any line is ahead of another in ordinary life.
const REMEMBERED: usize = 512;

impl Side {
    /// Whether no session has brought anything.
    pub(super) fn is_blank(&self) -> bool {
        self.reaches.is_empty()
    }

    /// A session brought an id. Gives who brought it before, if that was another one, and how long ago.
    pub(super) fn brought(&mut self, id: i64, from: Origin) -> Option<(LineId, u64)> {
        let at = from.received.map_or(0, |received| received.mono_ns);
        match self.reaches.iter_mut().find(|reach| reach.session == from.session) {
            Some(reach) => {
                reach.last = reach.last.max(id);
                reach.first = reach.first.min(id);
                reach.at = at;
            }
            None => {
                if self.reaches.len() == MAX_SESSIONS {
                    self.reaches.remove(0);
                }
                self.reaches.push(Reach { session: from.session, first: id, last: id, at });
            }
        }
        if self.brought.is_empty() {
            let nobody = Brought { id: i64::MIN, session: from.session, line: from.line, at };
            self.brought.resize(REMEMBERED, nobody);
        }
        let place = &mut self.brought[(id as u64 % REMEMBERED as u64) as usize];
        if place.id == id {
            return (place.session != from.session).then(|| (place.line, at.saturating_sub(place.at)));
        }
        if place.id < id {
            *place = Brought { id, session: from.session, line: from.line, at };
        }
        None
    }

    /// Whether trades can have left it like this.
    pub(super) fn is_sound(&self) -> bool {
        self.reaches.len() <= MAX_SESSIONS && (self.brought.is_empty() || self.brought.len() == REMEMBERED)
    }

    /// What a session has brought of this lane.
    pub(super) fn reach(&self, session: SessionId) -> Option<&Reach> {
        self.reaches.iter().find(|reach| reach.session == session)
    }

    /// Whether every one of these sessions has brought an id beyond `id`.
    pub(super) fn all_beyond(&self, id: i64, live: &[LiveSession]) -> bool {
        live.iter().all(|live| self.reach(live.session).is_some_and(|reach| reach.last > id))
    }
}

/// Whether a new session carries what the old one of its line carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// Everything from its first trades on is in, and so is everything before.
    Proven,
    /// Nobody has traded since it opened, for as long as one might wait.
    Quiet,
    /// Not yet.
    Waiting,
}

#[cfg(test)]
mod tests;
