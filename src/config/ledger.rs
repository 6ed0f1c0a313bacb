//! Whose trades a REST host has. The same ids mean other trades on another ledger, so an address of the
//! exchange that cannot belong to the stream is refused before anything of it is merged.

use crate::feed::endpoint::{Endpoint, split_port};
use crate::repair::rest::RestBase;
use crate::snapshot::Market;

/// A REST address whose trades are not the stream's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Foreign {
    pub(super) problem: String,
    pub(super) remedy: String,
}

/// Whether `rest` may have the trades of `endpoint`. A host that is not the exchange's may have any.
///
/// # Errors
/// [`Foreign`] if it serves another market, or another network than the stream's host.
pub(super) fn check(rest: &RestBase, endpoint: &Endpoint) -> Result<(), Foreign> {
    let Some(given) = ledger(&rest.to_string()) else { return Ok(()) };
    let own = endpoint.rest_base();
    let problem = if !given.markets.contains(&endpoint.market) {
        format!("{} has no trades of {}, which the stream carries", given.host, endpoint.market)
    } else if let Some(of_stream) = own.as_deref().and_then(ledger)
        && of_stream.network != given.network
    {
        let (there, here) = (given.network.name(), of_stream.network.name());
        format!("{} has the trades of {there}, but {} streams those of {here}", given.host, endpoint.host)
    } else {
        return Ok(());
    };
    let remedy = match own {
        Some(own) => format!("leave it out: the stream's own is {own}"),
        None => format!("give the address of the REST that has the stream's own {} trades", endpoint.market),
    };
    Err(Foreign { problem, remedy })
}

/// Whose ids the stream carries: `binance`, `binance-test` or `binance-us`; `other` for a host that is not the
/// exchange's, which may be a relay and move.
pub(crate) fn identity(endpoint: &Endpoint) -> &'static str {
    match endpoint.rest_base().as_deref().and_then(ledger).map(|ledger| ledger.network) {
        Some(Network::Real) => "binance",
        Some(Network::Practice) => "binance-test",
        Some(Network::Us) => "binance-us",
        None => "other",
    }
}

/// A REST host of the exchange.
#[derive(Debug, Clone, Copy)]
struct Ledger {
    host: &'static str,
    markets: &'static [Market],
    network: Network,
}

/// Networks with ids of their own. The test network and the demonstration are not told apart, because which of their
/// names share a ledger has changed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Network {
    Real,
    Practice,
    Us,
}

impl Network {
    const fn name(self) -> &'static str {
        match self {
            Self::Real => "the real market",
            Self::Practice => "a test network",
            Self::Us => "Binance.US",
        }
    }
}

const HOSTS: [(&str, &[Market], Network); 15] = [
    ("fapi.binance.com", &[Market::UsdM], Network::Real),
    ("dapi.binance.com", &[Market::CoinM], Network::Real),
    ("api.binance.com", &[Market::Spot], Network::Real),
    ("api1.binance.com", &[Market::Spot], Network::Real),
    ("api2.binance.com", &[Market::Spot], Network::Real),
    ("api3.binance.com", &[Market::Spot], Network::Real),
    ("api4.binance.com", &[Market::Spot], Network::Real),
    ("api-gcp.binance.com", &[Market::Spot], Network::Real),
    ("data-api.binance.vision", &[Market::Spot], Network::Real),
    ("testnet.binancefuture.com", &[Market::UsdM, Market::CoinM], Network::Practice),
    ("demo-fapi.binance.com", &[Market::UsdM], Network::Practice),
    ("demo-dapi.binance.com", &[Market::CoinM], Network::Practice),
    ("testnet.binance.vision", &[Market::Spot], Network::Practice),
    ("demo-api.binance.com", &[Market::Spot], Network::Practice),
    ("api.binance.us", &[Market::Spot], Network::Us),
];

/// What is known of the host in `https://host[:port][/prefix]`.
fn ledger(address: &str) -> Option<Ledger> {
    let (_, rest) = address.split_once("://")?;
    let authority = rest.split('/').next().unwrap_or(rest);
    let host = split_port(authority).0;
    let host = host.strip_suffix('.').unwrap_or(host);
    let known = HOSTS.iter().find(|(name, ..)| name.eq_ignore_ascii_case(host))?;
    Some(Ledger { host: known.0, markets: known.1, network: known.2 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(url: &str, market: Option<Market>) -> Endpoint {
        Endpoint::from_url(url, None, market, false).unwrap()
    }

    fn judged(rest: &str, endpoint: &Endpoint) -> Result<(), Foreign> {
        check(&RestBase::parse(rest, false).unwrap(), endpoint)
    }

    #[test]
    fn the_own_rest_of_every_stream_is_not_foreign() {
        for market in Market::ALL {
            for testnet in [false, true] {
                let endpoint = Endpoint::for_symbols(market, testnet, &[]);
                let own = endpoint.rest_base().unwrap();
                assert!(ledger(&own).is_some(), "{own}");
                assert_eq!(judged(&own, &endpoint), Ok(()));
            }
        }
    }

    #[test]
    fn another_name_of_the_same_ledger_and_a_host_of_somebody_else_are_let_through() {
        let vision = stream("wss://data-stream.binance.vision/ws/btcusdt@aggTrade", None);
        let relay = stream("wss://relay.example/ws/btcusdt@aggTrade", Some(Market::Spot));
        for (rest, endpoint) in [
            ("https://api.binance.com", &vision),
            ("https://API3.binance.com.:8443/x", &vision),
            ("https://proxy.example/binance", &vision),
            ("http://[::1]:8080", &vision),
            ("https://api.binance.com", &relay),
            ("https://testnet.binance.vision", &relay),
        ] {
            assert_eq!(judged(rest, endpoint), Ok(()), "{rest} for {}", endpoint.display);
        }
    }

    #[test]
    fn whose_ids_they_are_is_known_of_the_exchanges_own_hosts_alone() {
        let of = |url: &str| identity(&stream(url, None));
        assert_eq!(identity(&Endpoint::default()), "binance");
        assert_eq!(of("wss://data-stream.binance.vision/ws/btcusdt@aggTrade"), "binance");
        assert_eq!(identity(&Endpoint::for_symbols(Market::Spot, true, &[])), "binance-test");
        assert_eq!(of("wss://stream.binance.us:9443/ws/btcusdt@aggTrade"), "binance-us");
        assert_eq!(of("wss://relay.example/ws/btcusdt@aggTrade"), "other");
    }

    #[test]
    fn another_market_or_another_network_is_named_with_what_to_write_instead() {
        let testnet = Endpoint::for_symbols(Market::UsdM, true, &[]);
        let foreign = judged("https://fapi.binance.com", &testnet).unwrap_err();
        assert_eq!(
            foreign.problem,
            "fapi.binance.com has the trades of the real market, but fstream.binancefuture.com streams those of a \
             test network"
        );
        assert_eq!(foreign.remedy, "leave it out: the stream's own is https://testnet.binancefuture.com");

        let relay = stream("wss://relay.example/ws/btcusdt@aggTrade", None);
        let foreign = judged("https://api.binance.com/x", &relay).unwrap_err();
        assert_eq!(foreign.problem, "api.binance.com has no trades of usdm, which the stream carries");
        assert!(foreign.remedy.contains("usdm trades"), "{}", foreign.remedy);

        let us = stream("wss://stream.binance.us:9443/ws/btcusdt@aggTrade", None);
        assert!(judged("https://api.binance.com", &us).is_err());
        assert!(judged("https://dapi.binance.com", &Endpoint::default()).is_err());
    }
}
