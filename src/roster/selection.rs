//! What is wanted, as it was told, and what that means by what the exchange lists.

use std::collections::{BTreeMap, HashSet};

use super::contracts::{Contracts, word};
use super::file::SymbolsFile;
use super::group::GroupSpec;
use super::listings::Listings;
use super::problem::{LeftOut, Problem};
use super::selector::Selector;
use crate::feed::MAX_SHARDS;
use crate::pipeline::MAX_LANES;
use crate::repair::rest::Listed;
use crate::silence::meant;
use crate::snapshot::{Instrument, Market};

/// Wrong names beyond these are told without a guess at what was meant.
const MOST_GUESSES: usize = 20;

/// Which instruments are wanted, by names and patterns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// What is wanted: names are taken whatever the exchange says of them, patterns take what trades.
    pub wanted: Vec<Selector>,
    /// What is not, whatever else asks for it.
    pub exclude: Vec<Selector>,
    /// Which contract types patterns take.
    pub contracts: Contracts,
}

/// What a selection means.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolution {
    /// The instruments, each once: those that are named, in that order, then what each pattern takes, in the
    /// exchange's. Names that the exchange does not list are not among them.
    pub instruments: Vec<Instrument>,
    /// What is wrong with the selection.
    pub problems: Vec<Problem>,
}

impl Resolution {
    /// The problems for which a run cannot begin, in one line; `None` if there are none.
    pub fn fault(&self) -> Option<String> {
        Problem::fault(&self.problems)
    }
}

impl Selection {
    /// These instruments and no others.
    pub fn of(instruments: impl IntoIterator<Item = Instrument>) -> Self {
        Self { wanted: instruments.into_iter().map(Selector::from).collect(), ..Self::default() }
    }

    /// With what a symbols file says besides.
    #[must_use]
    pub fn with_file(&self, file: &SymbolsFile) -> Self {
        let mut selection = self.clone();
        selection.wanted.extend(file.wanted.iter().cloned());
        selection.exclude.extend(file.exclude.iter().cloned());
        selection
    }

    /// With the members of groups, which are followed.
    #[must_use]
    pub fn with_groups(&self, groups: &[GroupSpec]) -> Self {
        let mut selection = self.clone();
        for member in groups.iter().flat_map(|group| group.members.iter().cloned()).map(Selector::from) {
            if !selection.wanted.contains(&member) {
                selection.wanted.push(member);
            }
        }
        selection
    }

    /// Whether it has patterns, which mean something only by what the exchange lists.
    pub fn needs_listings(&self) -> bool {
        self.wanted.iter().any(|selector| !selector.is_name())
    }

    /// The markets with patterns, whose lists are needed.
    pub fn markets_to_list(&self) -> Vec<Market> {
        markets_of(self.wanted.iter().filter(|selector| !selector.is_name()))
    }

    /// The markets of what is wanted, in the order in which they are named first.
    pub fn markets(&self) -> Vec<Market> {
        markets_of(self.wanted.iter())
    }

    /// The instruments that are named, in order, each once, without what is excluded.
    pub fn names(&self) -> Vec<Instrument> {
        let mut seen = HashSet::new();
        let named = self.wanted.iter().filter_map(Selector::instrument);
        named.filter(|name| !self.excludes(name) && seen.insert(name.clone())).collect()
    }

    /// Whether an instrument is excluded.
    pub fn excludes(&self, instrument: &Instrument) -> bool {
        self.exclude.iter().any(|selector| selector.matches(instrument))
    }

    /// Whether an instrument is wanted, as far as its name tells.
    pub fn wants(&self, instrument: &Instrument) -> bool {
        !self.excludes(instrument) && self.wanted.iter().any(|selector| selector.matches(instrument))
    }

    /// What it means by what is listed. Of a market without a list, names are taken at their word, and patterns take
    /// nothing.
    pub fn resolve(&self, listings: &Listings) -> Resolution {
        let mut problems = Vec::new();
        let mut instruments = self.listed_names(listings, &mut problems);
        let mut seen: HashSet<Instrument> = instruments.iter().cloned().collect();
        let patterns: Vec<_> = self.wanted.iter().filter(|selector| !selector.is_name()).collect();
        for (at, selector) in patterns.iter().enumerate() {
            if !listings.knows(selector.market) || patterns[..at].contains(selector) {
                continue;
            }
            let (mut matched, mut left_out) = (false, LeftOut::default());
            for listed in listings.market(selector.market) {
                if !selector.covers(selector.market, &listed.symbol) {
                    continue;
                }
                let instrument = Instrument::new(selector.market, listed.symbol.clone());
                if self.excludes(&instrument) {
                    left_out.excluded += 1;
                } else if self.is_taken(listed, &mut left_out) {
                    matched = true;
                    if seen.insert(instrument.clone()) {
                        instruments.push(instrument);
                    }
                }
            }
            if !matched {
                problems.push(Problem::MatchesNothing { selector: (*selector).clone(), left_out });
            }
        }
        self.check_exclusions(listings, &mut problems);
        if instruments.is_empty() {
            problems.push(Problem::NothingLeft);
        }
        Resolution { instruments, problems }
    }

    /// What is named and not unknown, in order, each once.
    fn listed_names(&self, listings: &Listings, problems: &mut Vec<Problem>) -> Vec<Instrument> {
        let mut guesses = 0;
        let mut is_listed = |instrument: &Instrument| {
            if !listings.knows(instrument.market) {
                return true;
            }
            match listings.find(instrument) {
                // Without a word there is nothing to say.
                Some(listed) if listed.is_trading() || listed.status.is_empty() => true,
                Some(Listed { status, .. }) => {
                    let status = status.as_ref().to_owned();
                    problems.push(Problem::NotTrading { instrument: instrument.clone(), status });
                    true
                }
                None => {
                    guesses += 1;
                    let did_you_mean =
                        if guesses <= MOST_GUESSES { guess(instrument, listings) } else { Vec::new() };
                    problems.push(Problem::Unknown { instrument: instrument.clone(), did_you_mean });
                    false
                }
            }
        };
        self.names().into_iter().filter(|name| is_listed(name)).collect()
    }

    /// Whether patterns take what is listed so.
    pub(super) fn takes(&self, listed: &Listed) -> bool {
        listed.is_trading() && self.contracts.takes(listed.contract)
    }

    fn is_taken(&self, listed: &Listed, left_out: &mut LeftOut) -> bool {
        if !listed.is_trading() {
            left_out.not_trading += 1;
        } else if let Some(contract) =
            listed.contract.filter(|contract| !self.contracts.takes(Some(*contract)))
        {
            *left_out.contracts.entry(word(contract)).or_default() += 1;
        }
        self.takes(listed)
    }

    /// An exclusion that excludes nothing of what is wanted is most likely a slip.
    fn check_exclusions(&self, listings: &Listings, problems: &mut Vec<Problem>) {
        for selector in &self.exclude {
            let is_wanted = |symbol| self.wanted.iter().any(|wanted| wanted.covers(selector.market, symbol));
            let mut names = self.wanted.iter().filter_map(Selector::instrument);
            let excludes_something = !listings.knows(selector.market)
                && self.markets_to_list().contains(&selector.market)
                || names.any(|name| selector.matches(&name))
                || listings
                    .market(selector.market)
                    .iter()
                    .any(|listed| selector.pattern.matches(&listed.symbol) && is_wanted(&listed.symbol));
            if !excludes_something {
                problems.push(Problem::ExcludesNothing { selector: selector.clone() });
            }
        }
    }
}

/// Whether so many instruments can be followed, with so many streams on a connection.
///
/// # Errors
/// [`Problem::TooMany`] or [`Problem::TooManyShards`], with the number and what to do.
pub fn check_size(instruments: &[Instrument], streams_per_connection: usize) -> Result<(), Problem> {
    if instruments.len() > MAX_LANES {
        return Err(Problem::TooMany { instruments: instruments.len() });
    }
    let mut by_market: BTreeMap<Market, usize> = BTreeMap::new();
    instruments.iter().for_each(|instrument| *by_market.entry(instrument.market).or_default() += 1);
    let shards = by_market.values().map(|count| count.div_ceil(streams_per_connection.max(1))).sum();
    if shards > MAX_SHARDS {
        let instruments = instruments.len();
        return Err(Problem::TooManyShards { instruments, streams_per_connection, shards });
    }
    Ok(())
}

fn markets_of<'a>(selectors: impl Iterator<Item = &'a Selector>) -> Vec<Market> {
    let mut markets = Vec::new();
    for selector in selectors {
        if !markets.contains(&selector.market) {
            markets.push(selector.market);
        }
    }
    markets
}

/// The same name on another market, or names that are near on its own.
fn guess(instrument: &Instrument, listings: &Listings) -> Vec<Instrument> {
    let near = meant(&instrument.symbol, listings.market(instrument.market));
    let near = near.into_iter().map(|symbol| Instrument::new(instrument.market, symbol));
    let elsewhere = Market::ALL.map(|market| Instrument::new(market, instrument.symbol.clone()));
    elsewhere.into_iter().filter(|there| listings.find(there).is_some()).chain(near).take(3).collect()
}

#[cfg(test)]
mod tests;
