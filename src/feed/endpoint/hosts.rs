//! The exchange's hosts: which market each serves, and the REST host that belongs to it.

use crate::snapshot::Market;

/// A host of the exchange.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownHost {
    /// Lower case.
    pub(super) name: &'static str,
    pub(super) market: Market,
    /// The REST host with the same trades.
    pub(super) rest: &'static str,
    /// Streams are split into the categories `/market`, `/public` and `/private`, and only `/market`
    /// carries trades.
    pub(super) routed: bool,
}

/// The host of that name, in any case and with or without the final dot of a full domain name.
pub(super) fn known(host: &str) -> Option<&'static KnownHost> {
    let host = host.strip_suffix('.').unwrap_or(host);
    HOSTS.iter().find(|known| known.name.eq_ignore_ascii_case(host))
}

/// Where a market's combined streams are: host, then path.
pub(super) const fn stream_base(market: Market, testnet: bool) -> (&'static str, &'static str) {
    match (market, testnet) {
        (Market::UsdM, false) => ("fstream.binance.com", "/market/stream"),
        (Market::UsdM, true) => ("fstream.binancefuture.com", "/market/stream"),
        (Market::CoinM, false) => ("dstream.binance.com", "/stream"),
        (Market::CoinM, true) => ("dstream.binancefuture.com", "/stream"),
        (Market::Spot, false) => ("stream.binance.com", "/stream"),
        (Market::Spot, true) => ("stream.testnet.binance.vision", "/stream"),
    }
}

const HOSTS: [KnownHost; 14] = [
    host("fstream.binance.com", Market::UsdM, "https://fapi.binance.com", true),
    host("fstream-auth.binance.com", Market::UsdM, "https://fapi.binance.com", true),
    host("fstream-mm.binance.com", Market::UsdM, "https://fapi.binance.com", true),
    host("fstream.binancefuture.com", Market::UsdM, "https://testnet.binancefuture.com", false),
    host("stream.binancefuture.com", Market::UsdM, "https://testnet.binancefuture.com", false),
    host("demo-fstream.binance.com", Market::UsdM, "https://demo-fapi.binance.com", false),
    host("dstream.binance.com", Market::CoinM, "https://dapi.binance.com", false),
    host("dstream.binancefuture.com", Market::CoinM, "https://testnet.binancefuture.com", false),
    host("stream.binance.com", Market::Spot, "https://api.binance.com", false),
    host("data-stream.binance.vision", Market::Spot, "https://data-api.binance.vision", false),
    host("stream.testnet.binance.vision", Market::Spot, "https://testnet.binance.vision", false),
    host("testnet.binance.vision", Market::Spot, "https://testnet.binance.vision", false),
    host("demo-stream.binance.com", Market::Spot, "https://demo-api.binance.com", false),
    host("stream.binance.us", Market::Spot, "https://api.binance.us", false),
];

const fn host(name: &'static str, market: Market, rest: &'static str, routed: bool) -> KnownHost {
    KnownHost { name, market, rest, routed }
}
