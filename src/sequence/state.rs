//! Where a sequence stands, to be stored and continued from.

use std::collections::VecDeque;

use super::{Arrival, GIVEN_UP_REMEMBERED, MAX_ID, Sequence, SequenceCounts};
use crate::units::{AggTradeId, IdRange, UnixMillis};

/// The complete state of a [`Sequence`](super::Sequence) but for what waits behind a hole, which is fetched again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceState {
    /// The first id of the epoch.
    pub first: AggTradeId,
    /// The id that comes next.
    pub next: AggTradeId,
    /// Trades of the epoch that were given up.
    pub missing: u64,
    /// The last ids of the epoch that were given up, ascending; at most 64 ranges.
    pub given_up: Vec<IdRange>,
    /// The newest time of a delivered trade.
    pub newest: UnixMillis,
    /// What was counted since the beginning.
    pub counts: SequenceCounts,
}

/// Why no sequence can be in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SequenceStateError {
    /// The next id is before the first, or no id can be so small or so large.
    #[error("the ids from {first} to before {next} are none")]
    Ids {
        /// The first id.
        first: AggTradeId,
        /// The next one.
        next: AggTradeId,
    },
    /// More is missing than there are ids.
    #[error("{missing} trades are missing of {ids} ids")]
    Missing {
        /// How many are missing.
        missing: u64,
        /// How many ids there are.
        ids: u64,
    },
    /// A count beyond everything that can have been counted.
    #[error("a count is beyond {MOST_COUNTED}")]
    Count,
    /// The ranges that were given up overlap, lie elsewhere, or are more than are missing.
    #[error("the ids that were given up are not among those that are missing, in order")]
    GivenUp,
}

/// No process counts so many of anything; sums of counts stay far from where they would overflow.
pub(crate) const MOST_COUNTED: u64 = 1 << 50;
/// How long before the newest trade the first one may have been made, where the first is forgotten already.
const BEFORE_THE_FIRST_MS: i64 = 60_000;

impl Sequence {
    /// Where it stands; `None` before the first trade.
    pub fn state(&self) -> Option<SequenceState> {
        self.first_id()?;
        Some(SequenceState {
            first: AggTradeId(self.first),
            next: AggTradeId(self.next),
            missing: self.missing,
            given_up: self.given_up.iter().copied().collect(),
            newest: self.newest,
            counts: self.counts,
        })
    }

    /// Where it stood right before the first trade of the epoch; `None` before the first trade of all.
    pub(crate) fn anchor_state(&self) -> Option<SequenceState> {
        let first = self.first_id()?;
        let newest = match self.recent.find(first.0) {
            Some(trade) => trade.traded_at,
            None => UnixMillis(self.newest.0.saturating_sub(BEFORE_THE_FIRST_MS)),
        };
        Some(SequenceState::anchor(first, newest, self.counts))
    }

    /// A sequence that goes on where another stood. The ids from `next` to the first one that comes, or to what REST
    /// has, open as a hole when it comes. For `repairs` and `hold_limit` see [`Sequence::new`].
    ///
    /// # Errors
    /// [`SequenceStateError`] if no run of trades leads to the state.
    pub fn from_state(
        state: &SequenceState,
        repairs: bool,
        hold_limit: usize,
    ) -> Result<Self, SequenceStateError> {
        state.check()?;
        let mut sequence = Self::new(repairs, hold_limit);
        sequence.started = true;
        // Right at its anchor its first trade is still to come, which is more than the next one.
        sequence.plain = state.next > state.first;
        (sequence.first, sequence.next, sequence.known) = (state.first.0, state.next.0, state.next.0 - 1);
        sequence.missing = state.missing;
        sequence.given_up = VecDeque::from_iter(state.given_up.iter().copied());
        sequence.newest = state.newest;
        sequence.counts = state.counts;
        Ok(sequence)
    }
}

impl Sequence {
    /// Whether trades can have left it like this: read from a file, it must not lead anywhere that they do not.
    pub(crate) fn is_sound(&self) -> bool {
        let is_id = |id: i64| (0..=MAX_ID).contains(&id);
        let is_run = |run: &VecDeque<Arrival>| {
            run.iter().all(|arrival| is_id(arrival.trade.id.0))
                && run.iter().zip(run.iter().skip(1)).all(|(one, next)| one.trade.id.0 < next.trade.id.0)
        };
        let (first, next, known) = (self.first, self.next, self.known);
        is_id(first)
            && (0..=MAX_ID + 1).contains(&next)
            && next >= first
            && (-1..=MAX_ID).contains(&known)
            && self
                .held
                .iter()
                .all(|(id, held)| (next..=known).contains(id) && held.arrival.trade.id.0 == *id)
            && self.holes.are_sound(next, known)
            && self.filled.iter().all(|hole| hole.is_sound(first, known))
            && is_run(&self.restart)
            && is_run(self.suspects.run())
            && self.recent.is_sound()
            && self.given_up.len() <= GIVEN_UP_REMEMBERED
            && self.given_up.iter().all(|ids| is_id(ids.from.0) && is_id(ids.to.0) && ids.from <= ids.to)
            && self.counts.are_countable()
            && self.missing <= MOST_COUNTED
            && self.hold_limit > 0
    }
}

impl SequenceCounts {
    /// Whether a process can have counted so many.
    fn are_countable(self) -> bool {
        let Self { gaps, repaired, missing, duplicates, conflicts, implausible, resets } = self;
        [gaps, repaired, missing, duplicates, conflicts, implausible, resets]
            .into_iter()
            .all(|count| count <= MOST_COUNTED)
    }
}

impl SequenceState {
    /// Right before the first trade of an epoch, which was not made before `newest`.
    pub(crate) fn anchor(first: AggTradeId, newest: UnixMillis, counts: SequenceCounts) -> Self {
        Self { first, next: first, missing: 0, given_up: Vec::new(), newest, counts }
    }

    /// How many ids there are from the first to the last that was delivered or given up.
    pub(crate) fn ids(&self) -> u64 {
        u64::try_from(self.next.0.saturating_sub(self.first.0)).unwrap_or(0)
    }

    fn check(&self) -> Result<(), SequenceStateError> {
        let (first, next) = (self.first, self.next);
        if first.0 < 0 || next < first || next.0 > MAX_ID + 1 {
            return Err(SequenceStateError::Ids { first, next });
        }
        if self.missing > self.ids() {
            return Err(SequenceStateError::Missing { missing: self.missing, ids: self.ids() });
        }
        if !self.counts.are_countable() || self.missing > MOST_COUNTED {
            return Err(SequenceStateError::Count);
        }
        let mut from = first;
        let mut count: u64 = 0;
        for ids in &self.given_up {
            if ids.from < from || ids.to < ids.from || ids.to >= next {
                return Err(SequenceStateError::GivenUp);
            }
            from = AggTradeId(ids.to.0 + 1);
            count += ids.count();
        }
        if count > self.missing || self.given_up.len() > GIVEN_UP_REMEMBERED {
            return Err(SequenceStateError::GivenUp);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> SequenceState {
        SequenceState {
            first: AggTradeId(10),
            next: AggTradeId(100),
            missing: 7,
            given_up: vec![IdRange::new(20, 22), IdRange::new(23, 24)],
            newest: UnixMillis(1_000),
            counts: SequenceCounts { gaps: 3, missing: 7, ..SequenceCounts::default() },
        }
    }

    #[test]
    fn a_state_leads_to_a_sequence_in_that_state() {
        let sequence = Sequence::from_state(&state(), true, 8).unwrap();
        assert_eq!(sequence.state(), Some(state()));
        assert_eq!((sequence.first_id(), sequence.last_id()), (Some(AggTradeId(10)), Some(AggTradeId(99))));
        assert_eq!(sequence.newest_known(), Some(AggTradeId(99)));
        let anchor = SequenceState::anchor(AggTradeId(10), UnixMillis(1), SequenceCounts::default());
        let sequence = Sequence::from_state(&anchor, true, 8).unwrap();
        assert_eq!((sequence.first_id(), sequence.newest_known()), (None, Some(AggTradeId(9))));
    }

    #[test]
    fn an_impossible_state_is_refused_by_name() {
        let refused = |change: fn(&mut SequenceState)| {
            let mut state = state();
            change(&mut state);
            Sequence::from_state(&state, true, 8).unwrap_err()
        };
        let ids = |first, next| SequenceStateError::Ids { first: AggTradeId(first), next: AggTradeId(next) };
        assert_eq!(refused(|state| state.next = AggTradeId(9)), ids(10, 9));
        assert_eq!(refused(|state| state.first = AggTradeId(-1)), ids(-1, 100));
        assert_eq!(refused(|state| state.next = AggTradeId(i64::MAX)), ids(10, i64::MAX));
        assert_eq!(refused(|state| state.missing = 91), SequenceStateError::Missing { missing: 91, ids: 90 });
        assert_eq!(refused(|state| state.counts.conflicts = u64::MAX), SequenceStateError::Count);
        let given_up = SequenceStateError::GivenUp;
        assert_eq!(refused(|state| state.missing = 4), given_up);
        assert_eq!(refused(|state| state.given_up.reverse()), given_up);
        assert_eq!(refused(|state| state.given_up[0] = IdRange::new(9, 10)), given_up);
        assert_eq!(refused(|state| state.given_up[1] = IdRange::new(99, 100)), given_up);
        assert_eq!(refused(|state| state.given_up[1] = IdRange::new(24, 23)), given_up);
        assert_eq!(
            refused(|state| {
                state.missing = 90;
                state.given_up = (0..65).map(|at| IdRange::new(10 + at, 10 + at)).collect();
            }),
            given_up
        );
    }
}
