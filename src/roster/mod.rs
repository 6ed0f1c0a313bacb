//! Who is followed, and over which connection. Pure, but for the question that goes before a run (`ask`).
//!
//! A [`Selection`] is what the user wrote; with what the exchange lists ([`Listings`]) it becomes instruments. The
//! [`Roster`] gives each a place on a shard and turns every change of what is wanted, listed or busy into a
//! [`RosterChange`] for the pipeline and a list of [`ShardPlan`]s for the feed.

mod address;
mod ask;
mod contracts;
mod file;
mod group;
mod listings;
mod pattern;
mod problem;
mod selection;
mod selector;
pub mod shards;

use std::collections::{HashMap, HashSet};

pub use ask::{AskError, Asking, ask_listings};
pub use contracts::{Contracts, ContractsError};
pub use file::{LARGEST_FILE, SymbolsFile, SymbolsFileError};
pub use group::{GroupError, GroupSpec, MOST_GROUPS, MOST_MEMBERS};
pub use listings::Listings;
pub use pattern::Pattern;
pub use problem::{LeftOut, Problem};
pub use selection::{Resolution, Selection, check_size};
pub use selector::{Selector, SelectorError};

use crate::feed::ShardId;
use crate::feed::ShardPlan;
use crate::feed::endpoint::{Endpoint, stream_name};
use crate::pipeline::MAX_LANES;
use crate::snapshot::{Instrument, Market, Stamp};
use crate::source::{Arrival, Departure, DepartureReason, RosterChange, Seat, usual_contract_size};
use address::Addresses;
use shards::Shards;

/// So many lists one after the other must lack a symbol until it is gone: one may be wrong.
const LISTS_TO_BELIEVE: u8 = 2;

/// What a roster is made of.
#[derive(Debug, Clone)]
pub struct RosterSettings {
    /// What is wanted.
    pub selection: Selection,
    /// How many instruments a shard carries at most.
    pub streams_per_connection: usize,
    /// Where the trades of each market come from: one for every market that is wanted or may be.
    pub endpoints: Vec<Endpoint>,
    /// Whether what is wanted may change while this runs, by a symbols file that is read again.
    pub may_change: bool,
}

/// Which instruments are followed, and which shard carries each.
#[derive(Debug, Clone)]
pub struct Roster {
    selection: Selection,
    addresses: Addresses,
    /// In the order in which they came.
    members: Vec<Instrument>,
    shards: Shards,
    /// The address of each shard, from its first moment to its last.
    endpoints: HashMap<ShardId, Endpoint>,
    listings: Listings,
    /// The contract sizes that have been told.
    sizes: HashMap<Instrument, u32>,
    /// How many lists in a row have not had a member any more.
    unlisted: HashMap<Instrument, u8>,
    /// Everything that ever was a member, for which the pipeline keeps a lane.
    known: HashSet<Instrument>,
    /// Each once, until they are taken.
    problems: Vec<Problem>,
}

impl Roster {
    /// A roster of these instruments, each once. What is listed already, if anything is, tells contract sizes.
    ///
    /// # Errors
    /// [`Problem`] if there are too many, none, or one that no address brings.
    pub fn new(
        settings: RosterSettings,
        instruments: Vec<Instrument>,
        listings: Listings,
    ) -> Result<Self, Problem> {
        let RosterSettings { selection, streams_per_connection, endpoints, may_change } = settings;
        let addresses = Addresses::new(endpoints);
        if instruments.is_empty() {
            return Err(Problem::NothingLeft);
        }
        for Instrument { market, symbol } in &instruments {
            if !addresses.reach(*market) {
                return Err(Problem::NoAddress { market: *market });
            }
            if addresses.fixed(*market).is_some_and(|symbols| !symbols.contains(symbol)) {
                return Err(Problem::FixedAddress { market: *market });
            }
        }
        let (fixed, free): (Vec<_>, Vec<_>) =
            instruments.iter().cloned().partition(|one| addresses.fixed(one.market).is_some());
        check_size(&free, streams_per_connection)?;
        if instruments.len() > MAX_LANES {
            return Err(Problem::TooMany { instruments: instruments.len() });
        }

        let mut shards = Shards::new(streams_per_connection);
        for market in Market::ALL {
            let together: Vec<_> = fixed.iter().filter(|one| one.market == market).cloned().collect();
            if !together.is_empty() {
                shards.add_together(market, &together);
            }
        }
        shards.add(&free);
        let by_name_for_good = !selection.needs_listings() && !may_change;
        let mut roster = Self {
            selection,
            addresses,
            known: instruments.iter().cloned().collect(),
            members: instruments,
            shards,
            endpoints: HashMap::new(),
            listings,
            sizes: HashMap::new(),
            unlisted: HashMap::new(),
            problems: Vec::new(),
        };
        if by_name_for_good && roster.shards.iter().count() == 1 {
            let symbols: Vec<_> = roster.members.iter().map(|member| member.symbol.clone()).collect();
            let only: Vec<_> = roster.shards.iter().map(|(id, shard)| (id, shard.market)).collect();
            for (id, market) in only {
                roster.endpoints.insert(id, roster.addresses.only_shard(market, &symbols));
            }
        }
        roster.settle();
        Ok(roster)
    }

    /// What is wanted.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// What was listed last.
    pub fn listings(&self) -> &Listings {
        &self.listings
    }

    /// Whether something of a market may join while this runs.
    pub fn reaches(&self, market: Market) -> bool {
        self.addresses.reach(market)
    }

    /// Who is followed, in the order in which they came.
    pub fn members(&self) -> &[Instrument] {
        &self.members
    }

    /// The places of all members, in their order.
    pub fn seats(&self) -> Vec<Seat> {
        self.members.iter().filter_map(|member| self.seat(member, Arrival::Asked)).collect()
    }

    /// The shard of an instrument: the new one, while it moves.
    pub fn shard_of(&self, instrument: &Instrument) -> Option<ShardId> {
        self.shards.place(instrument).map(|place| place.shard)
    }

    /// What each shard is to carry, in the order of their numbers.
    pub fn plans(&self) -> Vec<ShardPlan> {
        let plan = |(id, shard): (ShardId, &shards::Shard)| {
            let endpoint = self.endpoints.get(&id).cloned();
            let endpoint = endpoint.unwrap_or_else(|| self.addresses.shard(shard.market));
            let streams = shard.instruments.iter().map(|one| stream_name(&one.symbol)).collect();
            ShardPlan { shard: id, endpoint, streams }
        };
        self.shards.iter().map(plan).collect()
    }

    /// What a contract of an instrument stands for, in dollars, as far as is known; `None` but on COIN-M.
    pub fn contract_size(&self, instrument: &Instrument) -> Option<u32> {
        let usual = usual_contract_size(instrument)?;
        Some(self.listings.find(instrument).and_then(|listed| listed.contract_size).unwrap_or(usual))
    }

    /// What went wrong since this was asked last: what could not join, and what is wrong with a selection that was
    /// taken.
    pub fn take_problems(&mut self) -> Vec<Problem> {
        std::mem::take(&mut self.problems)
    }

    /// These are wanted now and no others: who is new joins, who is not among them leaves. `None` if that is nobody. The
    /// last one never leaves.
    pub fn want(&mut self, instruments: &[Instrument], at: Stamp) -> Option<RosterChange> {
        let wanted: HashSet<_> = instruments.iter().collect();
        let leaving = self.members.iter().filter(|member| !wanted.contains(member)).cloned().collect();
        self.change(leaving, DepartureReason::Removed, instruments.to_vec(), Arrival::Asked, at)
    }

    /// Why another selection had better not take the place of the old one, in one line: it names what the exchange does
    /// not list, which would end symbols because of a slip, or nothing would be left. What is followed is no slip.
    pub fn fault(&self, selection: &Selection) -> Option<String> {
        let Resolution { instruments, problems } = selection.resolve(&self.listings);
        let is_followed = |instrument: &Instrument| self.shards.place(instrument).is_some();
        let stays = |member: &Instrument| selection.wants(member);
        let faults: Vec<_> = problems
            .into_iter()
            .filter(|problem| match problem {
                Problem::Unknown { instrument, .. } => !is_followed(instrument),
                Problem::NothingLeft => instruments.is_empty() && !self.members.iter().any(stays),
                _ => false,
            })
            .collect();
        Problem::fault(&faults)
    }

    /// Another selection takes the place of the old one, by what was listed last. Names that the exchange does not list,
    /// and what cannot be reached, are left out and told by [`Roster::take_problems`]; a selection of nothing is not
    /// taken.
    pub fn reload(&mut self, selection: Selection, at: Stamp) -> Option<RosterChange> {
        let Resolution { mut instruments, problems } = selection.resolve(&self.listings);
        let named: HashSet<_> = selection.names().into_iter().collect();
        // Whoever is followed and still meant stays, even if it is halted, or not listed just now.
        let stays = |member: &&Instrument| {
            let is_taken = match self.listings.find(member) {
                Some(listed) => selection.contracts.takes(listed.contract),
                None => true,
            };
            selection.wants(member) && (is_taken || named.contains(*member))
        };
        let there: HashSet<_> = instruments.iter().cloned().collect();
        let staying = self.members.iter().filter(|member| !there.contains(*member)).filter(stays);
        instruments.extend(staying.cloned());
        problems
            .into_iter()
            .filter(|problem| *problem != Problem::NothingLeft)
            .for_each(|one| self.tell(one));
        if instruments.is_empty() {
            self.tell(Problem::NothingLeft);
            return None;
        }
        for market in selection.markets_to_list() {
            if !self.listings.knows(market) {
                self.tell(Problem::NotListedYet { market });
            }
        }
        self.selection = selection;
        self.want(&instruments, at)
    }

    /// Newer lists of some markets have come: what patterns mean now and what is traded again joins; what two lists in a
    /// row do not have, or have as settled, delivered or closed, leaves. What is halted stays, and so does the last one.
    pub fn listed(&mut self, newer: &Listings, at: Stamp) -> Option<RosterChange> {
        self.listings.update(newer);
        let mut leaving = Vec::new();
        for member in self.members.iter().filter(|member| newer.knows(member.market)) {
            if newer.find(member).is_some_and(|listed| !listed.is_final()) {
                self.unlisted.remove(member);
                continue;
            }
            let times = self.unlisted.entry(member.clone()).or_default();
            *times = times.saturating_add(1);
            // An address that names its streams goes on naming this one.
            if *times >= LISTS_TO_BELIEVE && self.addresses.fixed(member.market).is_none() {
                leaving.push(member.clone());
            }
        }
        let is_there = |one: &Instrument| newer.find(one).is_some_and(|listed| !listed.is_final());
        let wanted = self.selection.resolve(newer).instruments.into_iter().filter(is_there).collect();
        self.change(leaving, DepartureReason::Delisted, wanted, Arrival::Listed, at)
    }

    /// Begins to move instruments from busy shards to idle ones by what each does, in trades a second; `None` if nothing
    /// is to move. Until [`Roster::finish_moves`] both shards carry them.
    pub fn rebalance(
        &mut self,
        rate: impl Fn(&Instrument) -> Option<f64>,
        at: Stamp,
    ) -> Option<RosterChange> {
        let moved = self.shards.rebalance(rate);
        self.moved(&moved, at)
    }

    /// Whether anything is on its way from one shard to another.
    pub fn is_moving(&self) -> bool {
        self.shards.is_moving()
    }

    /// What is on its way from one shard to another.
    pub fn moving(&self) -> impl Iterator<Item = &Instrument> {
        self.shards.moving()
    }

    /// The shards there are.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> {
        self.shards.iter().map(|(id, _)| id)
    }

    /// Ends the moves that [`Roster::rebalance`] began: what has moved has arrived over its new shard, and the old one
    /// carries it no more.
    pub fn finish_moves(&mut self, at: Stamp) -> Option<RosterChange> {
        let moved = self.shards.finish_moves();
        self.moved(&moved, at)
    }

    fn moved(&mut self, moved: &[Instrument], at: Stamp) -> Option<RosterChange> {
        self.settle();
        let seats: Vec<_> = moved.iter().filter_map(|one| self.seat(one, Arrival::Asked)).collect();
        (!seats.is_empty()).then(|| RosterChange { at, seats, ended: Vec::new() })
    }

    fn change(
        &mut self,
        mut leaving: Vec<Instrument>,
        why: DepartureReason,
        wanted: Vec<Instrument>,
        joined: Arrival,
        at: Stamp,
    ) -> Option<RosterChange> {
        let stuck = |one: &Instrument| self.addresses.fixed(one.market).map(|_| one.market);
        let stays = leaving.iter().find_map(stuck);
        leaving.retain(|one| stuck(one).is_none());
        if let Some(market) = stays {
            self.tell(Problem::FixedAddress { market });
        }
        let mut joining = self.who_can_join(wanted, &leaving);
        if leaving.len() == self.members.len() && joining.is_empty() {
            leaving.pop();
        }
        let placeless = self.shards.exchange(&leaving, &joining);
        if !placeless.is_empty() {
            let placeless: HashSet<_> = placeless.into_iter().collect();
            joining.retain(|one| !placeless.contains(one));
            self.tell(Problem::NoRoom { instruments: placeless.len() });
        }
        let gone: HashSet<_> = leaving.iter().collect();
        self.members.retain(|member| !gone.contains(member));
        for one in &leaving {
            self.unlisted.remove(one);
            self.sizes.remove(one);
        }
        self.members.extend(joining.iter().cloned());
        self.known.extend(joining.iter().cloned());

        let resized = self.settle();
        let new: HashSet<_> = joining.iter().collect();
        let resized = resized.iter().filter(|one| !new.contains(one));
        let seats: Vec<_> = joining.iter().chain(resized).filter_map(|one| self.seat(one, joined)).collect();
        let ended: Vec<_> = leaving.into_iter().map(|instrument| Departure { instrument, why }).collect();
        (!seats.is_empty() || !ended.is_empty()).then_some(RosterChange { at, seats, ended })
    }

    /// Those of the wanted that are not followed and can be.
    fn who_can_join(&mut self, wanted: Vec<Instrument>, leaving: &[Instrument]) -> Vec<Instrument> {
        let (mut joining, mut seen) = (Vec::new(), HashSet::new());
        let (mut lanes, mut too_many) = (self.known.len(), 0);
        for one in wanted {
            if self.shards.place(&one).is_some() || leaving.contains(&one) || !seen.insert(one.clone()) {
                continue;
            }
            let (market, is_known) = (one.market, self.known.contains(&one));
            if !self.addresses.reach(market) {
                self.tell(Problem::NoAddress { market });
            } else if self.addresses.fixed(market).is_some() {
                self.tell(Problem::FixedAddress { market });
            } else if !is_known && lanes >= MAX_LANES {
                too_many += 1;
            } else {
                lanes += usize::from(!is_known);
                joining.push(one);
            }
        }
        if too_many > 0 {
            self.tell(Problem::TooMany { instruments: lanes + too_many });
        }
        joining
    }

    fn tell(&mut self, problem: Problem) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Sees to it that every shard has its address, and no other has. Returns members whose contract size is another
    /// than was told before.
    fn settle(&mut self) -> Vec<Instrument> {
        let there: HashMap<ShardId, Market> =
            self.shards.iter().map(|(id, shard)| (id, shard.market)).collect();
        self.endpoints.retain(|id, _| there.contains_key(id));
        for (id, market) in there {
            self.endpoints.entry(id).or_insert_with(|| self.addresses.shard(market));
        }
        let mut resized = Vec::new();
        for member in self.members.iter().filter(|member| member.market == Market::CoinM) {
            let Some(size) = self.contract_size(member) else { continue };
            if self.sizes.insert(member.clone(), size).is_some_and(|told| told != size) {
                resized.push(member.clone());
            }
        }
        resized
    }

    fn seat(&self, instrument: &Instrument, joined: Arrival) -> Option<Seat> {
        let place = self.shards.place(instrument)?;
        Some(Seat {
            instrument: instrument.clone(),
            shard: place.shard,
            contract_size: self.contract_size(instrument),
            is_moving: place.from.is_some(),
            joined,
        })
    }
}

#[cfg(test)]
mod tests;
