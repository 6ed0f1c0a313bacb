//! Whose turn it is.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Whose turn it is: of those who want something, who was asked for longest ago; of those who were not asked for yet,
/// the most liquid. So of n who want something each is asked for within n turns.
#[derive(Debug, Default)]
pub(super) struct Turns {
    lanes: BTreeMap<usize, Place>,
    turn: u64,
    /// The turn with which the present outage began: what was before counts no more.
    began: u64,
}

#[derive(Debug, Default)]
struct Place {
    trades_per_hour: u64,
    /// The turns it was asked in last; 0 for never.
    gap: u64,
    probe: u64,
}

/// Smaller comes first.
type Rank = (u64, Reverse<u64>, usize);

impl Turns {
    pub(super) fn liquidity(&mut self, lane: usize, trades_per_hour: u64) {
        self.lanes.entry(lane).or_default().trades_per_hour = trades_per_hour;
    }

    pub(super) fn forget(&mut self, lane: usize) {
        self.lanes.remove(&lane);
    }

    /// An outage begins: the most liquid first.
    pub(super) fn begin(&mut self) {
        self.began = self.turn;
    }

    pub(super) fn asked(&mut self, lane: usize) {
        self.turn += 1;
        self.lanes.entry(lane).or_default().gap = self.turn;
    }

    pub(super) fn probed(&mut self, lane: usize) {
        self.turn += 1;
        self.lanes.entry(lane).or_default().probe = self.turn;
    }

    pub(super) fn of_gaps(&self, lane: usize) -> Rank {
        self.rank(lane, |place| if place.gap > self.began { place.gap } else { 0 })
    }

    pub(super) fn of_probes(&self, lane: usize) -> Rank {
        self.rank(lane, |place| place.probe)
    }

    fn rank(&self, lane: usize, turn: impl Fn(&Place) -> u64) -> Rank {
        let place = self.lanes.get(&lane);
        (place.map_or(0, turn), Reverse(place.map_or(0, |place| place.trades_per_hour)), lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(turns: &mut Turns, lanes: &[usize], asked: usize) -> Vec<usize> {
        (0..asked)
            .map(|_| {
                let lane = *lanes.iter().min_by_key(|lane| turns.of_gaps(**lane)).expect("somebody wants");
                turns.asked(lane);
                lane
            })
            .collect()
    }

    #[test]
    fn the_most_liquid_comes_first_and_everybody_in_turn_after_that() {
        let mut turns = Turns::default();
        [(0, 5), (1, 900), (2, 70)].into_iter().for_each(|(lane, rate)| turns.liquidity(lane, rate));
        assert_eq!(order(&mut turns, &[0, 1, 2, 3], 9), [1, 2, 0, 3, 1, 2, 0, 3, 1]);
        // Who comes later has not had a turn.
        assert_eq!(order(&mut turns, &[0, 1, 2, 3, 4], 3), [4, 2, 0]);
        turns.begin();
        assert_eq!(order(&mut turns, &[0, 1, 2], 3), [1, 2, 0]);
    }
}
