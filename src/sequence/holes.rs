//! The open holes of a lane: ranges of ids that are known to exist and have not come.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::repair::Hole;
use crate::snapshot::{GapCause, Stamp};
use crate::units::{IdRange, UnixMillis};

/// A hole from the moment it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OpenHole {
    /// What is missing now; never empty.
    from: i64,
    to: i64,
    /// What was missing at first.
    pub(super) found: IdRange,
    pub(super) cause: GapCause,
    pub(super) opened_at: Option<Stamp>,
    /// When the last trade before what is missing now happened.
    after: UnixMillis,
    /// When the last trade before what was missing at first happened.
    pub(super) found_after: UnixMillis,
    /// Answers of REST that brought some of them.
    pub(super) pages: u32,
    /// Nobody waits for it any more.
    pub(super) given_up: bool,
    /// Another connection may be about to bring what is missing: nothing is lost yet, and nobody has been told.
    pub(super) tentative: bool,
}

impl OpenHole {
    pub(super) fn new(ids: IdRange, cause: GapCause, opened_at: Option<Stamp>, after: UnixMillis) -> Self {
        let (from, to) = (ids.from.0, ids.to.0);
        Self {
            from,
            to,
            found: ids,
            cause,
            opened_at,
            after,
            found_after: after,
            pages: 0,
            given_up: false,
            tentative: false,
        }
    }

    pub(super) fn missing(&self) -> IdRange {
        IdRange::new(self.from, self.to)
    }

    pub(super) fn after(&self) -> UnixMillis {
        self.after
    }

    /// How many of `found` have come: all but what is missing.
    pub(super) fn filled(&self) -> u64 {
        self.found.count() - self.missing().count()
    }
}

impl OpenHole {
    /// Whether it lies within these ids, and what is missing now within what was missing at first.
    pub(super) fn is_sound(&self, from: i64, to: i64) -> bool {
        let found = self.found;
        from <= found.from.0
            && found.from.0 <= self.from
            && self.from <= self.to
            && self.to <= found.to.0
            && found.to.0 <= to
    }
}

/// What became of a hole when one of its ids came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Filled {
    /// It was a doubt only.
    pub(super) tentative: bool,
    /// The hole, if that id was its last.
    pub(super) whole: Option<OpenHole>,
}

/// Open holes, ascending and disjoint.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Holes {
    list: VecDeque<OpenHole>,
}

impl Holes {
    /// Whether they lie within these ids, ascending.
    pub(super) fn are_sound(&self, from: i64, to: i64) -> bool {
        let mut last = from - 1;
        self.list.iter().all(|hole| {
            let is_next = hole.from > last;
            last = hole.to;
            is_next && hole.is_sound(0, to)
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn first(&self) -> Option<&OpenHole> {
        self.list.front()
    }

    pub(super) fn take_first(&mut self) -> Option<OpenHole> {
        self.list.pop_front()
    }

    /// What has come of the first hole is told.
    pub(super) fn tell_filled(&mut self) {
        if let Some(first) = self.list.front_mut() {
            first.found = first.missing();
        }
    }

    /// Adds a hole behind all others.
    pub(super) fn open(&mut self, hole: OpenHole) {
        self.list.push_back(hole);
    }

    /// Those that are more than a doubt.
    pub(super) fn true_ones(&self) -> impl DoubleEndedIterator<Item = &OpenHole> {
        self.list.iter().filter(|hole| !hole.tentative)
    }

    /// Those that may be filled by another connection.
    pub(super) fn tentative(&mut self) -> impl Iterator<Item = &mut OpenHole> {
        self.list.iter_mut().filter(|hole| hole.tentative)
    }

    /// When the oldest doubt began.
    pub(super) fn tentative_since(&self) -> Option<Stamp> {
        self.list.iter().filter(|hole| hole.tentative).find_map(|hole| hole.opened_at)
    }

    /// Those that somebody waits for, as the repair wants to know them.
    pub(super) fn wanted(&self) -> impl Iterator<Item = Hole> + '_ {
        let waiting = self.true_ones().filter(|hole| !hole.given_up);
        waiting.map(|hole| Hole { ids: hole.missing(), after: hole.after })
    }

    /// A missing id has come, of a trade that happened `at`. `Err` if it was not missing.
    pub(super) fn fill(&mut self, id: i64, at: UnixMillis) -> Result<Filled, ()> {
        let place = self.list.partition_point(|hole| hole.to < id);
        let Some(hole) = self.list.get_mut(place).filter(|hole| hole.from <= id) else { return Err(()) };
        let tentative = hole.tentative;
        if hole.from == hole.to {
            return Ok(Filled { tentative, whole: self.list.remove(place) });
        }
        if id == hole.from {
            (hole.from, hole.after) = (id + 1, at);
        } else if id == hole.to {
            hole.to = id - 1;
        } else {
            // Two holes from now on; the one that has come is the account of the first.
            let mut behind = OpenHole { from: id + 1, after: at, found_after: at, ..*hole };
            behind.found.from.0 = id + 1;
            (hole.to, hole.found.to.0) = (id - 1, id);
            self.list.insert(place + 1, behind);
        }
        Ok(Filled { tentative, whole: None })
    }

    /// An answer of REST brought trades within these ids.
    pub(super) fn count_page(&mut self, from: i64, to: i64) {
        for hole in self.list.iter_mut().filter(|hole| hole.from <= to && from <= hole.to) {
            hole.pages = hole.pages.saturating_add(1);
        }
    }

    /// Nobody waits any more for what of these ids is missing.
    pub(super) fn give_up(&mut self, ids: IdRange) {
        let (from, to) = (ids.from.0, ids.to.0);
        let mut at = 0;
        while let Some(hole) = self.list.get(at).copied() {
            if !hole.given_up && !hole.tentative && hole.from <= to && from <= hole.to {
                // What lies outside goes on being wanted.
                if hole.to > to {
                    let mut behind = OpenHole { from: to + 1, ..hole };
                    behind.found.from.0 = to + 1;
                    self.list[at].to = to;
                    self.list[at].found.to.0 = to;
                    self.list.insert(at + 1, behind);
                }
                if hole.from < from {
                    let mut within = OpenHole { from, ..self.list[at] };
                    within.found.from.0 = from;
                    self.list[at].to = from - 1;
                    self.list[at].found.to.0 = from - 1;
                    self.list.insert(at + 1, within);
                    at += 1;
                }
                self.list[at].given_up = true;
            }
            at += 1;
        }
    }

    /// Makes one hole of everything from the first one's beginning to `to`, lost in our own buffers; gives it.
    pub(super) fn merge(&mut self, to: i64) -> Option<OpenHole> {
        let first = *self.list.front()?;
        let pages = self.list.iter().map(|hole| hole.pages).fold(0, u32::saturating_add);
        // What has come of the first one's beginning is delivered; everything else that has come is discarded.
        let merged = OpenHole {
            to,
            found: IdRange::new(first.found.from.0, to),
            cause: GapCause::Queue,
            pages,
            given_up: false,
            tentative: false,
            ..first
        };
        self.list.clear();
        self.list.push_back(merged);
        Some(merged)
    }
}
