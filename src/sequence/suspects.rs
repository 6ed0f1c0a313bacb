//! Trades whose ids make no sense yet: far ahead of the others, or below them although they are newer. Broken,
//! forged, or the first of a new numbering: three in a row, or REST, will tell.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::Arrival;

/// So many consecutive ids confirm each other.
pub(super) const CONFIRMING: usize = 3;
/// More are not kept: what is not confirmed by then is a repetition.
const MOST: usize = 1_024;

/// A run of consecutive suspicious ids.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Suspects {
    run: VecDeque<Arrival>,
}

impl Suspects {
    pub(super) fn is_empty(&self) -> bool {
        self.run.is_empty()
    }

    /// All of them, ascending.
    pub(super) fn run(&self) -> &VecDeque<Arrival> {
        &self.run
    }

    pub(super) fn first_id(&self) -> Option<i64> {
        self.run.front().map(|arrival| arrival.trade.id.0)
    }

    pub(super) fn last_id(&self) -> Option<i64> {
        self.run.back().map(|arrival| arrival.trade.id.0)
    }

    /// Whether this id goes on where the run ends.
    pub(super) fn continued_by(&self, id: i64) -> bool {
        self.last_id().is_some_and(|last| last + 1 == id)
    }

    /// Adds one that goes on; drops the oldest when there are too many. Gives how many were dropped.
    pub(super) fn add(&mut self, arrival: Arrival) -> u64 {
        let full = self.run.len() == MOST;
        if full {
            self.run.pop_front();
        }
        self.run.push_back(arrival);
        u64::from(full)
    }

    pub(super) fn confirm_each_other(&self) -> bool {
        self.run.len() >= CONFIRMING
    }

    pub(super) fn take(&mut self) -> VecDeque<Arrival> {
        std::mem::take(&mut self.run)
    }
}
