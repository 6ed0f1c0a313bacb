//! Which connection carries which instrument. Pure.
//!
//! A shard carries instruments of one market, at most so many. An instrument moves in two steps: both shards carry it until
//! it is known to arrive over the new one, so that a move loses nothing.

mod balance;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use crate::feed::{MAX_SHARDS, ShardId};
use crate::snapshot::{Instrument, Market};

pub use balance::MOST_MOVES;

/// The shards and what each carries.
#[derive(Debug, Clone)]
pub struct Shards {
    /// How many instruments a shard carries at most, at least 1.
    room: usize,
    shards: BTreeMap<ShardId, Shard>,
    places: HashMap<Instrument, Place>,
    /// Shards up to here have been used. An old number would be taken for the old shard by whoever still deals with that.
    next: u16,
    /// Numbers that are free again, the one that is free for longest first.
    freed: VecDeque<ShardId>,
}

/// What a shard carries.
#[derive(Debug, Clone)]
pub struct Shard {
    /// The market of all of it.
    pub market: Market,
    /// What it carries, in the order in which it came; what is on its way here or from here, too.
    pub instruments: Vec<Instrument>,
}

/// Where an instrument is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Its shard.
    pub shard: ShardId,
    /// The shard that it comes from and that still carries it.
    pub from: Option<ShardId>,
    /// Trades a second, as measured last; `None` if that was never measured.
    rate: Option<f64>,
}

impl Shards {
    /// No shards yet; each will carry at most so many instruments (0 counts as 1).
    pub fn new(streams_per_connection: usize) -> Self {
        Self {
            room: streams_per_connection.max(1),
            shards: BTreeMap::new(),
            places: HashMap::new(),
            next: 0,
            freed: VecDeque::new(),
        }
    }

    /// The shards, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (ShardId, &Shard)> {
        self.shards.iter().map(|(id, shard)| (*id, shard))
    }

    /// Where an instrument is.
    pub fn place(&self, instrument: &Instrument) -> Option<Place> {
        self.places.get(instrument).copied()
    }

    /// How many instruments are carried.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nothing is carried.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Gives places to instruments that have none: each to the shard of its market that does least and has room, by its
    /// rate where rates are known. New shards are opened first if the old ones have no room for all, so that many spread
    /// evenly. Returns those that found no place, because there are 256 shards already.
    pub fn add(&mut self, instruments: &[Instrument]) -> Vec<Instrument> {
        self.exchange(&[], instruments)
    }

    /// Takes an instrument's place away; a shard without any is dropped. Whether it had one.
    pub fn remove(&mut self, instrument: &Instrument) -> bool {
        let had_one = self.places.contains_key(instrument);
        self.exchange(std::slice::from_ref(instrument), &[]);
        had_one
    }

    /// Takes the places of some away and gives others theirs, as [`Shards::add`] does. What is free now is taken first.
    pub fn exchange(&mut self, leaving: &[Instrument], joining: &[Instrument]) -> Vec<Instrument> {
        for instrument in leaving {
            let Some(place) = self.places.remove(instrument) else { continue };
            self.leave(place.shard, instrument);
            if let Some(from) = place.from {
                self.leave(from, instrument);
            }
        }
        let mut seen = HashSet::new();
        let new: Vec<_> = joining
            .iter()
            .filter(|instrument| !self.places.contains_key(*instrument) && seen.insert(*instrument))
            .collect();
        let mut placeless = Vec::new();
        for market in Market::ALL {
            let new = || new.iter().copied().filter(|instrument| instrument.market == market);
            self.open_for(market, new().count());
            let usual = self.usual_rate(market);
            let mut open: Vec<(ShardId, f64)> =
                self.of_market(market).map(|id| (id, self.load(id, usual))).collect();
            for instrument in new() {
                let has_room = |id: ShardId| self.shards[&id].instruments.len() < self.room;
                let idlest =
                    open.iter_mut().filter(|(id, _)| has_room(*id)).min_by(|a, b| a.1.total_cmp(&b.1));
                let Some((id, load)) = idlest else {
                    placeless.push(instrument.clone());
                    continue;
                };
                *load += usual;
                let id = *id;
                self.seat(instrument, id);
            }
        }
        self.drop_empty();
        placeless
    }

    /// Opens a shard of its own for instruments of one market that nothing joins or leaves, however many they are.
    pub fn add_together(&mut self, market: Market, instruments: &[Instrument]) {
        let Some(id) = self.number() else { return };
        self.shards.insert(id, Shard { market, instruments: Vec::new() });
        for instrument in instruments {
            if !self.places.contains_key(instrument) {
                self.seat(instrument, id);
            }
        }
        self.drop_empty();
    }

    /// Whether anything is on its way from one shard to another.
    pub fn is_moving(&self) -> bool {
        self.places.values().any(|place| place.from.is_some())
    }

    /// What is on its way from one shard to another.
    pub fn moving(&self) -> impl Iterator<Item = &Instrument> {
        self.places.iter().filter(|(_, place)| place.from.is_some()).map(|(instrument, _)| instrument)
    }

    /// Ends all moves: the old shards carry what has moved no more. Returns what has moved, in the order of the shards.
    pub fn finish_moves(&mut self) -> Vec<Instrument> {
        let all: Vec<_> = self.shards.values().flat_map(|shard| shard.instruments.iter().cloned()).collect();
        let mut moved = Vec::new();
        for instrument in all {
            let Some(place) = self.places.get_mut(&instrument) else { continue };
            if let Some(from) = place.from.take() {
                self.leave(from, &instrument);
                moved.push(instrument);
            }
        }
        self.drop_empty();
        moved
    }

    /// A second shard carries an instrument too, on its way there.
    fn begin_move(&mut self, instrument: &Instrument, to: ShardId) {
        let (Some(place), Some(shard)) = (self.places.get_mut(instrument), self.shards.get_mut(&to)) else {
            return;
        };
        place.from = Some(place.shard);
        place.shard = to;
        shard.instruments.push(instrument.clone());
    }

    fn leave(&mut self, id: ShardId, instrument: &Instrument) {
        let Some(shard) = self.shards.get_mut(&id) else { return };
        shard.instruments.retain(|other| other != instrument);
    }

    fn seat(&mut self, instrument: &Instrument, id: ShardId) {
        let Some(shard) = self.shards.get_mut(&id) else { return };
        shard.instruments.push(instrument.clone());
        self.places.insert(instrument.clone(), Place { shard: id, from: None, rate: None });
    }

    fn drop_empty(&mut self) {
        let freed = &mut self.freed;
        self.shards.retain(|id, shard| {
            let is_empty = shard.instruments.is_empty();
            if is_empty {
                freed.push_back(*id);
            }
            !is_empty
        });
    }

    /// Opens shards of a market until there is room for so many more, as far as there are numbers.
    fn open_for(&mut self, market: Market, more: usize) {
        let taken = |id: ShardId| self.shards[&id].instruments.len();
        let mut free: usize = self.of_market(market).map(|id| self.room - taken(id).min(self.room)).sum();
        while free < more {
            let Some(id) = self.number() else { return };
            self.shards.insert(id, Shard { market, instruments: Vec::new() });
            free += self.room;
        }
    }

    fn number(&mut self) -> Option<ShardId> {
        if usize::from(self.next) < MAX_SHARDS {
            self.next += 1;
            return Some(ShardId(self.next - 1));
        }
        self.freed.pop_front()
    }

    fn of_market(&self, market: Market) -> impl Iterator<Item = ShardId> {
        self.shards.iter().filter(move |(_, shard)| shard.market == market).map(|(id, _)| *id)
    }

    /// What an instrument of a market does whose rate was never measured: as much as the others do on average. While
    /// nothing is measured all do the same, and it is their number that counts.
    fn usual_rate(&self, market: Market) -> f64 {
        let of_market = self.places.iter().filter(|(instrument, _)| instrument.market == market);
        let known = of_market.filter_map(|(_, place)| place.rate);
        let (count, sum) = known.fold((0_u32, 0.0), |(count, sum), rate| (count + 1, sum + rate));
        let mean = if count == 0 { 0.0 } else { sum / f64::from(count) };
        if mean > 0.0 { mean } else { 1.0 }
    }

    /// What a shard does when all moves are over.
    fn load(&self, id: ShardId, usual: f64) -> f64 {
        let Some(shard) = self.shards.get(&id) else { return 0.0 };
        let rate = |instrument| match self.places.get(instrument) {
            Some(place) if place.shard == id => place.rate.unwrap_or(usual),
            _ => 0.0,
        };
        shard.instruments.iter().map(rate).sum()
    }
}

#[cfg(test)]
mod tests;
