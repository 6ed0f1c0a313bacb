//! What is counted about the inputs: what went through, and what we lost ourselves.

use serde::{Deserialize, Serialize};

use crate::sequence::MOST_COUNTED;
use crate::snapshot::GapCause;

/// What went through, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PipelineCounts {
    /// Frames, rows and damaged lines digested.
    pub messages: u64,
    /// Trades that moved the numbers.
    pub applied: u64,
    /// Trades refused by the calculator.
    pub bad_points: u64,
    /// Frames that cannot be read, and damaged lines.
    pub malformed: u64,
    /// Answers to our requests.
    pub control: u64,
    /// Other events of the exchange.
    pub other: u64,
    /// Trades of symbols nobody asked for.
    pub unrequested: u64,
    /// Trades that another connection had brought before.
    pub copies: u64,
}

impl PipelineCounts {
    /// Whether they can have been counted.
    pub(super) fn are_sound(&self) -> bool {
        let Self { messages, applied, bad_points, malformed, control, other, unrequested, copies } = *self;
        let all = [messages, applied, bad_points, malformed, control, other, unrequested, copies];
        all.iter().all(|count| *count <= MOST_COUNTED)
            && messages >= malformed + control + other + unrequested
    }

    /// Trades that came, whatever became of them.
    pub fn arrived(&self) -> u64 {
        self.messages - self.malformed - self.control - self.other - self.unrequested
    }
}

/// When we lost something ourselves, by a count of such occurrences.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Losses {
    pub(super) count: u64,
    pub(super) last_evicted: u64,
    pub(super) last_malformed: u64,
}

impl Losses {
    pub(super) fn evicted(&mut self) {
        self.count += 1;
        self.last_evicted = self.count;
    }

    pub(super) fn malformed(&mut self) {
        self.count += 1;
        self.last_malformed = self.count;
    }

    /// Where something was lost after the count stood at `seen`.
    pub(super) fn cause_since(&self, seen: u64) -> GapCause {
        if self.last_evicted > seen {
            GapCause::Queue
        } else if self.last_malformed > seen {
            GapCause::Malformed
        } else {
            GapCause::Wire
        }
    }
}
