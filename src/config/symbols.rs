//! Which symbols are followed: what was asked for, and where each market's trades come from.

use std::path::PathBuf;

use crate::feed::endpoint::Endpoint;
use crate::roster::{GroupSpec, Selection, Selector};
use crate::snapshot::{Instrument, Market};

/// Which symbols are followed, and which of them are shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SymbolsConfig {
    /// What is followed; `None` for the symbols of the endpoint.
    pub selection: Option<Selection>,
    /// A file with more of it, which may be read again while the monitor runs.
    pub file: Option<PathBuf>,
    /// What is added up. Members are followed.
    pub groups: Vec<GroupSpec>,
    /// What records and rows are shown of; empty for everything.
    pub only: Vec<Selector>,
}

impl SymbolsConfig {
    /// What is followed besides what the file says, where the one endpoint is this.
    pub fn selection(&self, endpoint: &Endpoint) -> Selection {
        let of_endpoint = || {
            let instrument = |symbol: &_| Instrument::new(endpoint.market, Clone::clone(symbol));
            Selection::of(endpoint.symbols.iter().map(instrument))
        };
        self.selection.clone().unwrap_or_else(of_endpoint).with_groups(&self.groups)
    }

    /// The markets that are followed by what is said here, the one of unprefixed symbols first.
    pub fn markets(&self, endpoint: &Endpoint) -> Vec<Market> {
        let mut markets = self.selection(endpoint).markets();
        markets.sort_by_key(|market| *market != endpoint.market);
        markets
    }
}
