//! Which lanes are looked at next, where there are too many to look at all of them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::tail::Urgency;
use crate::snapshot::Stamp;

/// So many wait to be asked for at a time: a lane that moves meanwhile need not be looked at any more.
const WAITING: usize = 4;
/// What is not urgent may take so many looks at once …
const AT_ONCE: u64 = 3;
/// … and one in so many of all of them after that, so that there is always room for what is urgent …
const ONE_IN: u64 = 3;
/// … and one in so many of those while connections are silent.
const ONE_IN_SILENCE: u64 = 3;

const MINUTE: u64 = 60_000_000_000;

/// Chooses the lanes that are looked at: the urgent ones first, and of the others the most liquid, at a pace.
#[derive(Debug)]
pub(super) struct Looks {
    /// What a look that is not urgent takes of [`Looks::saved`].
    price: u64,
    /// Time that nothing was taken of.
    saved: u64,
    counted: u64,
    wanted: Vec<Wanted>,
    /// When a lane was chosen last, counted in choices.
    chosen: BTreeMap<usize, u64>,
    choices: u64,
}

/// Smaller comes first.
type Wanted = (Urgency, u64, Reverse<u64>, usize);

impl Looks {
    /// So many looks may be made a minute in all.
    pub(super) fn new(looks_per_minute: u64) -> Self {
        let price = MINUTE * ONE_IN / looks_per_minute.max(1);
        Self {
            price,
            saved: price * AT_ONCE,
            counted: 0,
            wanted: Vec::new(),
            chosen: BTreeMap::new(),
            choices: 0,
        }
    }

    /// A lane wants to be looked at.
    pub(super) fn want(&mut self, urgency: Urgency, lane: usize, trades_per_hour: u64) {
        // Where more connections are silent than can be asked about at once, each has its turn.
        let turn = match urgency {
            Urgency::Witness => self.chosen.get(&lane).copied().unwrap_or(0),
            Urgency::Silent | Urgency::Unsure | Urgency::Idle => 0,
        };
        self.wanted.push((urgency, turn, Reverse(trades_per_hour), lane));
    }

    /// A lane has ended.
    pub(super) fn forget(&mut self, lane: usize) {
        self.chosen.remove(&lane);
    }

    /// Chooses among those that were wanted since the last time, while so many are waiting. `is_silent`: connections are,
    /// and need looks to be vouched for.
    pub(super) fn choose(&mut self, waiting: usize, is_silent: bool, now: Stamp) -> Vec<usize> {
        let passed = now.mono_ns.saturating_sub(std::mem::replace(&mut self.counted, now.mono_ns));
        let passed = if is_silent { passed / ONE_IN_SILENCE } else { passed };
        self.saved = self.saved.saturating_add(passed).min(self.price * AT_ONCE);
        self.wanted.sort_unstable();
        let mut chosen = Vec::new();
        for (urgency, .., lane) in self.wanted.drain(..) {
            if chosen.len() + waiting >= WAITING {
                break;
            }
            if urgency != Urgency::Witness {
                match self.saved.checked_sub(self.price) {
                    Some(rest) => self.saved = rest,
                    None => break,
                }
            }
            self.choices += 1;
            self.chosen.insert(lane, self.choices);
            chosen.push(lane);
        }
        self.wanted.clear();
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Stamp {
        Stamp { wall_ns: 0, mono_ns: second * 1_000_000_000 }
    }

    #[test]
    fn what_is_urgent_comes_first_and_what_is_not_leaves_it_room() {
        let mut looks = Looks::new(18);
        let (mut idle, mut urgent) = (Vec::new(), Vec::new());
        for second in 0..600 {
            (0..300).for_each(|lane| looks.want(Urgency::Idle, lane, lane as u64 % 50));
            looks.want(Urgency::Unsure, 300, 0);
            if second % 10 == 0 {
                looks.want(Urgency::Witness, 301, 0);
            }
            let chosen = looks.choose(0, false, at(second));
            if second % 10 == 0 {
                assert_eq!(chosen.first(), Some(&301));
            }
            urgent.extend(chosen.iter().filter(|lane| **lane == 301).map(|_| second));
            idle.extend(chosen.iter().filter(|lane| **lane != 301).map(|lane| (second, *lane)));
        }
        assert_eq!(urgent.len(), 60);
        assert_eq!(idle[..3], [(0, 300), (0, 49), (0, 99)], "the unsure, then the most liquid");
        for minute in 0..10 {
            let of_it = idle.iter().filter(|(second, _)| second / 60 == minute).count();
            assert!((5..=9).contains(&of_it), "{of_it} looks that nobody needs in minute {minute}");
        }
    }

    #[test]
    fn nothing_is_chosen_while_enough_wait() {
        let mut looks = Looks::new(18);
        (0..9).for_each(|lane| looks.want(Urgency::Witness, lane, 0));
        assert_eq!(looks.choose(3, false, at(0)), [0]);
        assert_eq!(
            looks.choose(0, false, at(1)),
            [0_usize; 0],
            "what was wanted before is wanted again, or is not"
        );
    }
}
