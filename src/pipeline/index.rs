//! Which lane a symbol of a market has: the one look-up of every frame.

use std::hash::BuildHasher;

use crate::snapshot::Market;

/// From the name of a symbol to its lane, without an allocation and with one multiplication of its bytes.
///
/// A name of 16 bytes or less, as nearly all are, is compared as two words; a longer one also byte by byte. A look-up
/// passes by at most 16 places, of names that were made up to collide too: when a name would need more, everything is
/// scattered anew, and only if that does not help, they become more.
#[derive(Debug, Clone)]
pub struct LaneIndex {
    /// A power of two of them, at most a quarter of them taken.
    places: Vec<Place>,
    taken: usize,
    /// No name is further from where it belongs than this many places.
    reach: usize,
    /// How names are scattered: another one in each process, so that nobody can know.
    seed: u64,
    /// Names of more than 16 bytes, by [`Place::long`].
    long: Vec<Box<str>>,
}

/// A place of the table.
#[derive(Debug, Clone, Copy)]
struct Place {
    words: Words,
    lane: u32,
    /// Where the whole of a long name is.
    long: u32,
}

/// The first and the last eight bytes of a name, its length and its market: all of a name of 16 bytes or less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Words {
    first: u64,
    last: u64,
    /// Length, then market in the lowest two bits.
    kind: u32,
}

const EMPTY: Place = Place { words: Words { first: 0, last: 0, kind: u32::MAX }, lane: 0, long: 0 };
const SHORT: usize = 16;
const FEWEST_PLACES: usize = 32;
/// As far as a name may be from where it belongs before everything is scattered anew.
const REACH: usize = 16;
/// How often that is tried for one name.
const ATTEMPTS: usize = 8;

impl Default for LaneIndex {
    fn default() -> Self {
        Self {
            places: vec![EMPTY; FEWEST_PLACES],
            taken: 0,
            reach: REACH,
            seed: std::hash::RandomState::new().hash_one(0),
            long: Vec::new(),
        }
    }
}

impl LaneIndex {
    /// The lane of a symbol, if it has one. The name is compared as it is: upper and lower case differ.
    #[inline]
    pub fn lane(&self, market: Market, name: &str) -> Option<usize> {
        self.place_of(Words::of(market, name.as_bytes()), name).map(|at| self.places[at].lane as usize)
    }

    /// Where a name is.
    #[inline]
    fn place_of(&self, words: Words, name: &str) -> Option<usize> {
        let last = self.places.len() - 1;
        let mut at = self.home(words, name.as_bytes());
        for _ in 0..self.reach {
            let place = &self.places[at & last];
            if place.words == words && self.is_whole(place, name) {
                return Some(at & last);
            }
            if place.words == EMPTY.words {
                return None;
            }
            at = at.wrapping_add(1);
        }
        None
    }

    /// Gives a symbol a lane, or another one than it had.
    ///
    /// # Panics
    /// If the lane or the name is beyond 32 bits.
    pub fn insert(&mut self, market: Market, name: &str, lane: usize) {
        let lane = u32::try_from(lane).expect("a lane has 32 bits, because there are 4,096 at most");
        let words = Words::of(market, name.as_bytes());
        if let Some(known) = self.place_of(words, name) {
            self.places[known].lane = lane;
            return;
        }
        let long = if name.len() > SHORT {
            self.long.push(name.into());
            u32::try_from(self.long.len() - 1).expect("a lane has 32 bits, because there are 4,096 at most")
        } else {
            0
        };
        self.taken += 1;
        let place = Place { words, lane, long };
        if self.taken * 4 <= self.places.len() && self.put(place) {
            return;
        }
        self.scatter(place);
    }

    /// Whether the words of a place, which are those of the name, are all there is to compare.
    #[inline]
    fn is_whole(&self, place: &Place, name: &str) -> bool {
        name.len() <= SHORT || *self.long[place.long as usize] == *name
    }

    /// Puts a new name as near to where it belongs as it can; `false` if that is too far.
    fn put(&mut self, place: Place) -> bool {
        let last = self.places.len() - 1;
        let home = match place.words.is_short() {
            true => self.home(place.words, &[]),
            false => self.home(place.words, self.long[place.long as usize].as_bytes()),
        };
        let mut near = (0..self.reach).map(|step| home.wrapping_add(step) & last);
        match near.find(|at| self.places[*at] == EMPTY) {
            Some(at) => self.places[at] = place,
            None => return false,
        }
        true
    }

    /// Makes room for one name more.
    fn scatter(&mut self, new: Place) {
        let mut all: Vec<Place> = self.places.iter().copied().filter(|place| *place != EMPTY).collect();
        all.push(new);
        let mut size = self.places.len();
        for attempt in 0.. {
            // Twice the room first, then another order, and at last a longer way.
            size = if attempt == 0 { (all.len() * 4).next_power_of_two().max(size) } else { size };
            if attempt > 0 {
                self.seed = scrambled(self.seed, attempt as u64);
            }
            if attempt >= ATTEMPTS {
                self.reach = (self.reach * 2).min(size);
            }
            self.places.clear();
            self.places.resize(size, EMPTY);
            if all.iter().all(|place| self.put(*place)) {
                return;
            }
        }
    }

    /// Where a name belongs, before it is cut to the size of the table.
    #[inline]
    fn home(&self, words: Words, name: &[u8]) -> usize {
        let Words { first, last, kind } = words;
        let mut middle = self.seed;
        if name.len() > SHORT {
            let chunks = name[8..].chunks_exact(8);
            middle = chunks.fold(middle, |sum, chunk| scrambled(sum, word(chunk) ^ !self.seed));
        }
        // The high half is the one that every bit has reached.
        (scrambled(first ^ middle, last ^ u64::from(kind).rotate_left(40)) >> 16) as usize
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.words == other.words
    }
}

impl Words {
    #[inline]
    fn of(market: Market, name: &[u8]) -> Self {
        let size = name.len();
        let (first, last) = if size >= 8 {
            (word(&name[..8]), word(&name[size - 8..]))
        } else if size >= 4 {
            (half(&name[..4]), half(&name[size - 4..]))
        } else {
            let byte = |at: usize| name.get(at).map_or(0, |byte| u64::from(*byte));
            (byte(0), byte(1) | byte(2) << 8)
        };
        Self { first, last, kind: (size as u32) << 2 | market as u32 }
    }

    fn is_short(self) -> bool {
        (self.kind >> 2) as usize <= SHORT
    }
}

#[inline]
fn word(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("eight bytes, because the caller has cut them"))
}

#[inline]
fn half(bytes: &[u8]) -> u64 {
    u64::from(u32::from_le_bytes(bytes.try_into().expect("four bytes, because the caller has cut them")))
}

/// Both halves of a product, folded: each bit of either factor reaches all of it.
#[inline]
fn scrambled(one: u64, other: u64) -> u64 {
    let product = u128::from(one ^ 0x9e37_79b9_7f4a_7c15) * u128::from(other ^ 0xd1b5_4a32_d192_ed03);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_name_finds_its_lane_and_no_other() {
        let mut index = LaneIndex { seed: 7, ..LaneIndex::default() };
        let names: Vec<String> = (0..4_096).map(|at| format!("{at}COIN{}USDT", at % 7)).collect();
        for (lane, name) in names.iter().enumerate() {
            assert_eq!(index.lane(Market::UsdM, name), None);
            index.insert(Market::UsdM, name, lane);
        }
        for (lane, name) in names.iter().enumerate() {
            assert_eq!(index.lane(Market::UsdM, name), Some(lane));
            assert_eq!(index.lane(Market::Spot, name), None);
        }
        assert_eq!(index.reach, REACH, "ordinary names never have far to go");
    }

    #[test]
    fn names_that_belong_to_one_place_are_scattered_until_none_is_far_away() {
        let mut index = LaneIndex { seed: 7, ..LaneIndex::default() };
        // As one who knew the seed would choose them: all for one place of the table.
        let hostile: Vec<String> = (0u32..)
            .map(|at| format!("A{at}"))
            .filter(|name| index.home(Words::of(Market::Spot, name.as_bytes()), &[]) & 0xff == 5)
            .take(60)
            .collect();
        for (lane, name) in hostile.iter().enumerate() {
            index.insert(Market::Spot, name, lane);
        }
        assert_ne!(index.seed, 7);
        assert_eq!(index.reach, REACH);
        for (lane, name) in hostile.iter().enumerate() {
            assert_eq!(index.lane(Market::Spot, name), Some(lane));
        }
    }

    /// Names of every length, many of them alike at both ends.
    fn name() -> impl Strategy<Value = String> {
        prop_oneof!["[AB]{1,10}", "[A-Z0-9]{1,20}", "AAAAAAAA[AB]{0,20}AAAAAAAA", "[币安A]{1,32}"]
    }

    proptest! {
        #[test]
        fn it_behaves_like_a_map(
            names in prop::collection::vec((name(), 0usize..3), 0..300),
            others in prop::collection::vec(name(), 0..50),
        ) {
            let (mut index, mut map) = (LaneIndex::default(), HashMap::new());
            for (lane, (name, market)) in names.iter().enumerate() {
                let market = Market::ALL[*market];
                prop_assert_eq!(index.lane(market, name), map.get(&(market, name.clone())).copied());
                index.insert(market, name, lane);
                map.insert((market, name.clone()), lane);
            }
            for market in Market::ALL {
                for name in names.iter().map(|(name, _)| name).chain(&others) {
                    prop_assert_eq!(index.lane(market, name), map.get(&(market, name.clone())).copied());
                }
            }
        }
    }
}
