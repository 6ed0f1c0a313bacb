//! The first ones out of many, without putting all of them in order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Mover;
use super::then::Then;
use crate::config::RankBy;
use crate::pipeline::LaneTotals;

/// What is compared, the largest first; a lane where it is not known comes last.
pub(super) fn key(by: RankBy, then: &Then, now: &LaneTotals<'_>, trades: u64) -> Option<u128> {
    match by {
        RankBy::AbsDelta => then.quote_delta(now).map(i128::unsigned_abs),
        // The bits of doubles that are not negative are in the order of the numbers.
        RankBy::Z => now.reading.z.filter(|z| z.is_finite()).map(|z| u128::from(z.abs().to_bits())),
        RankBy::Volume => then.quote_volume(now).map(i128::unsigned_abs),
        RankBy::Rate => Some(u128::from(trades)),
    }
}

/// The best so far. Of equal ones the lane with the lower number is the better one, so that the order is always the same.
pub(super) struct Best {
    top: usize,
    /// The worst of them on top.
    heap: BinaryHeap<Reverse<Ranked>>,
}

struct Ranked {
    rank: Rank,
    mover: Mover,
}

type Rank = (Option<u128>, Reverse<usize>);

impl Best {
    /// At most so many.
    pub(super) fn new(top: usize) -> Self {
        Self { top, heap: BinaryHeap::new() }
    }

    /// Takes a lane in if it is among the best so far.
    pub(super) fn offer(&mut self, key: Option<u128>, lane: usize, mover: impl FnOnce() -> Mover) {
        let rank = (key, Reverse(lane));
        if self.heap.len() >= self.top {
            match self.heap.peek() {
                Some(Reverse(worst)) if worst.rank < rank => self.heap.pop(),
                _ => return,
            };
        }
        self.heap.push(Reverse(Ranked { rank, mover: mover() }));
    }

    /// The best first.
    pub(super) fn into_ranked(self) -> Vec<Mover> {
        self.heap.into_sorted_vec().into_iter().map(|Reverse(ranked)| ranked.mover).collect()
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}
