//! Where the streams of each market are, and whether more can be had there.

use crate::feed::endpoint::Endpoint;
use crate::snapshot::Market;
use crate::units::Symbol;

/// A few symbols by name are named in the URL itself, so that nothing has to be subscribed to.
const MOST_IN_URL: usize = 10;

/// The addresses of all markets that a run can reach.
#[derive(Debug, Clone)]
pub(super) struct Addresses(Vec<Address>);

#[derive(Debug, Clone)]
struct Address {
    endpoint: Endpoint,
    /// It names its streams. Asked of each symbol, and to find out compares all of them.
    is_fixed: bool,
}

impl Addresses {
    pub(super) fn new(endpoints: Vec<Endpoint>) -> Self {
        let address =
            |endpoint: Endpoint| Address { is_fixed: endpoint.without_streams().is_none(), endpoint };
        Self(endpoints.into_iter().map(address).collect())
    }

    fn of(&self, market: Market) -> Option<&Endpoint> {
        self.address_of(market).map(|address| &address.endpoint)
    }

    fn address_of(&self, market: Market) -> Option<&Address> {
        self.0.iter().find(|address| address.endpoint.market == market)
    }

    /// Whether anything of a market can be had at all.
    pub(super) fn reach(&self, market: Market) -> bool {
        self.of(market).is_some()
    }

    /// The symbols of an address that names its streams, as its user wrote it: those and no others come.
    pub(super) fn fixed(&self, market: Market) -> Option<&[Symbol]> {
        let Address { endpoint, is_fixed } = self.address_of(market)?;
        is_fixed.then_some(&endpoint.symbols)
    }

    /// The address of a shard, which stays as it is for as long as there is the shard.
    pub(super) fn shard(&self, market: Market) -> Endpoint {
        let given = self.of(market).cloned().unwrap_or_else(|| Endpoint::bare(market, false));
        given.without_streams().unwrap_or(given)
    }

    /// The address of the only shard there is, which carries these and hardly ever others.
    pub(super) fn only_shard(&self, market: Market, symbols: &[Symbol]) -> Endpoint {
        match self.of(market).and_then(Endpoint::own_network) {
            Some(testnet) if symbols.len() <= MOST_IN_URL => Endpoint::for_symbols(market, testnet, symbols),
            _ => self.shard(market),
        }
    }
}
