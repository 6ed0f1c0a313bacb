//! Where the trades of a symbol are: host, path and stream names, from a market or from a URL. Pure.

mod error;
mod hosts;
mod redact;

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tokio_tungstenite::tungstenite::http::Uri;

use crate::silence::Route;
use crate::snapshot::Market;
use crate::units::Symbol;

pub use error::EndpointError;
pub use redact::redact_url;

/// The kind of stream this program reads.
const AGG_TRADE: &str = "@aggTrade";
/// Longer addresses are cut by the exchange; the streams are then subscribed to after connecting.
const LONGEST_URL: usize = 7_000;
/// The symbol that is followed when nothing says otherwise.
pub const DEFAULT_SYMBOL: &str = "ETHUSDT";

/// A WebSocket address and what it delivers.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// What to connect to. May hold credentials: show [`Endpoint::display`] instead.
    pub url: String,
    /// The URL without credentials, unknown query values and listen keys: safe to show and to log.
    pub display: String,
    /// Host name or address; an IPv6 address without its brackets.
    pub host: String,
    /// TCP port, 1 to 65535.
    pub port: u16,
    /// Whether the connection is encrypted (`wss`).
    pub tls: bool,
    /// The market whose trades arrive.
    pub market: Market,
    /// The symbols whose trades arrive, each once, in the order of the URL.
    pub symbols: Vec<Symbol>,
    /// Stream names to SUBSCRIBE to after connecting: empty when the URL names its streams.
    pub subscribe: Vec<String>,
    /// One line for the operator when nothing will arrive over this address, and why.
    pub unrouted_warning: Option<String>,
}

impl Endpoint {
    /// The exchange's own address for the trades of `symbols` (at least one, else nothing arrives).
    pub fn for_symbols(market: Market, testnet: bool, symbols: &[Symbol]) -> Self {
        let (host, path) = hosts::stream_base(market, testnet);
        let mut endpoint = Self {
            url: format!("wss://{host}{path}"),
            display: String::new(),
            host: host.to_owned(),
            port: 443,
            tls: true,
            market,
            symbols: each_once(symbols.iter().cloned()),
            subscribe: Vec::new(),
            unrouted_warning: None,
        };
        let names: Vec<String> = endpoint.symbols.iter().map(stream_name).collect();
        let encoded: Vec<String> = names.iter().map(|name| encode(name)).collect();
        let with_streams = format!("{}?streams={}", endpoint.url, encoded.join("/"));
        if with_streams.len() <= LONGEST_URL && !names.is_empty() {
            endpoint.url = with_streams;
        } else {
            endpoint.subscribe = names;
        }
        endpoint.display = redact_url(&endpoint.url);
        endpoint
    }

    /// The exchange's own address, which names no streams: they are subscribed to after connecting.
    pub fn bare(market: Market, testnet: bool) -> Self {
        Self::for_symbols(market, testnet, &[])
    }

    /// Whether it is the exchange's own address as [`Endpoint::for_symbols`] makes it, and if so whether that of the test
    /// network.
    pub fn own_network(&self) -> Option<bool> {
        [false, true]
            .into_iter()
            .filter(|testnet| self.host == hosts::stream_base(self.market, *testnet).0)
            .find(|testnet| *self == Self::for_symbols(self.market, *testnet, &self.symbols))
    }

    /// The same address without streams, which are then subscribed to; `None` if a user gave it with its streams.
    pub fn without_streams(&self) -> Option<Self> {
        if let Some(testnet) = self.own_network() {
            return Some(Self::bare(self.market, testnet));
        }
        let names_streams = self.subscribe.is_empty() && !self.symbols.is_empty();
        (!names_streams).then(|| Self { symbols: Vec::new(), subscribe: Vec::new(), ..self.clone() })
    }

    /// Reads an address that the user gave: `…/ws/<name>[/<name>]`, `…/stream?streams=<name>/<name>`, or
    /// one that names no stream; then `explicit_symbol` (or ETHUSDT) is subscribed to after connecting.
    /// Each `<symbol>@aggTrade` is a lane; other streams are let through. Raw non-ASCII symbols are
    /// percent-encoded. The market is the known host's, else `explicit_market`, else USDⓈ-M.
    ///
    /// # Errors
    /// [`EndpointError`] names the reason and the remedy: a scheme that is not `wss` (or `ws` to this
    /// machine, or anywhere with `allow_plaintext`), an unreadable address, stream names the exchange would
    /// ignore, no aggTrade among the streams, or a symbol or market that the address contradicts.
    pub fn from_url(
        text: &str,
        explicit_symbol: Option<&Symbol>,
        explicit_market: Option<Market>,
        allow_plaintext: bool,
    ) -> Result<Self, EndpointError> {
        let address = Address::read(text)?;
        if !address.tls && !allow_plaintext && !is_loopback(&address.host) {
            return Err(EndpointError::Plaintext { host: address.host });
        }
        let known = hosts::known(&address.host);
        let market = match (known.map(|known| known.market), explicit_market) {
            (Some(served), Some(market)) if served != market => {
                return Err(EndpointError::MarketContradicted { market, host: address.host, served });
            }
            (served, explicit) => served.or(explicit).unwrap_or_default(),
        };

        let names = address.stream_names(known.is_some())?;
        let mut symbols = lanes(&names, known.is_some())?;
        let mut subscribe = Vec::new();
        if names.is_empty() {
            let symbol = explicit_symbol.cloned().unwrap_or_else(default_symbol);
            subscribe.push(stream_name(&symbol));
            symbols.push(symbol);
        } else if let Some(symbol) = explicit_symbol
            && !symbols.contains(symbol)
        {
            return Err(EndpointError::SymbolContradicted { symbol: symbol.clone(), streamed: symbols });
        }

        let display = redact_url(&address.url);
        let unrouted_warning = known.filter(|known| known.routed).and_then(|_| unrouted(&display));
        let Address { url, host, port, tls, .. } = address;
        Ok(Self { url, display, host, port, tls, market, symbols, subscribe, unrouted_warning })
    }

    /// Whether trades can come over this address: known of the exchange's hosts, suspected of others.
    pub fn route(&self) -> Route {
        if let Some(told) = &self.unrouted_warning {
            return Route::Wrong(told.clone());
        }
        if self.market != Market::UsdM || hosts::known(&self.host).is_some() {
            return Route::Fine;
        }
        unrouted(&self.display).map_or(Route::Fine, Route::Suspected)
    }

    /// The REST host with the same trades, such as `https://fapi.binance.com`; `None` for a host that is
    /// not the exchange's.
    pub fn rest_base(&self) -> Option<String> {
        hosts::known(&self.host).map(|known| known.rest.to_owned())
    }
}

impl Default for Endpoint {
    /// ETHUSDT on USDⓈ-M.
    fn default() -> Self {
        Self::for_symbols(Market::UsdM, false, &[default_symbol()])
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.display)
    }
}

impl fmt::Debug for Endpoint {
    /// Without [`Endpoint::url`], which may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("display", &self.display)
            .field("market", &self.market)
            .field("symbols", &self.symbols)
            .field("subscribe", &self.subscribe)
            .field("unrouted_warning", &self.unrouted_warning)
            .finish_non_exhaustive()
    }
}

/// The parts of a URL that was read without fault.
struct Address {
    url: String,
    uri: Uri,
    host: String,
    port: u16,
    tls: bool,
}

impl Address {
    fn read(text: &str) -> Result<Self, EndpointError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(EndpointError::NoScheme)?;
        let scheme = scheme.to_ascii_lowercase();
        let tls = match scheme.as_str() {
            "wss" => true,
            "ws" => false,
            "http" | "https" => return Err(EndpointError::HttpScheme { scheme }),
            _ => return Err(EndpointError::UnknownScheme { scheme: scheme.chars().take(20).collect() }),
        };
        if rest.contains('#') {
            return Err(EndpointError::Fragment);
        }
        let authority = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
        let host_and_port = authority.rsplit_once('@').map_or(authority, |(_, after)| after);
        let (host, port) = split_port(host_and_port);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || !host.is_ascii() {
            return Err(EndpointError::BadHost);
        }
        let port = match port {
            None if tls => 443,
            None => 80,
            Some(port) => parse_port(port).ok_or(EndpointError::BadPort)?,
        };
        let url = format!("{scheme}://{}", utf8_percent_encode(rest, &NOTHING_ASCII));
        let uri = url
            .parse::<Uri>()
            .map_err(|e| EndpointError::Unreadable { reason: e.to_string().to_ascii_lowercase() })?;
        Ok(Self { url, uri, host, port, tls })
    }

    /// Every stream the address names, percent-decoded.
    fn stream_names(&self, known: bool) -> Result<Vec<String>, EndpointError> {
        let mut segments = self.uri.path().split('/').filter(|segment| !segment.is_empty());
        let last = segments.clone().next_back();
        let mut names = Vec::new();
        if segments.any(|segment| segment == "ws") {
            for segment in segments {
                names.push(decode(segment)?);
            }
        }
        for pair in self.uri.query().unwrap_or_default().split('&') {
            if let Some(list) = pair.strip_prefix("streams=") {
                let before = names.len();
                names.extend(decode(list)?.split('/').filter(|name| !name.is_empty()).map(str::to_owned));
                if known && names.len() > before && last != Some("stream") {
                    return Err(EndpointError::MisplacedStreams);
                }
            }
        }
        Ok(names)
    }
}

/// The symbols of the aggTrade streams among `names`, each once.
fn lanes(names: &[String], known: bool) -> Result<Vec<Symbol>, EndpointError> {
    let mut symbols = Vec::new();
    for name in names {
        let Some((text, kind)) = name.rsplit_once('@') else { continue };
        if !kind.eq_ignore_ascii_case(&AGG_TRADE[1..]) || (!known && kind != &AGG_TRADE[1..]) {
            continue;
        }
        let bad_name = |_| EndpointError::BadStreamName { name: name.chars().take(80).collect() };
        let symbol = Symbol::new(text).map_err(bad_name)?;
        let correct = stream_name(&symbol);
        if known && *name != correct {
            return Err(EndpointError::StreamCase { name: name.clone(), correct });
        }
        symbols.push(symbol);
    }
    match names.first() {
        // The name may be a listen key, which is a secret.
        Some(name) if symbols.is_empty() => {
            Err(EndpointError::NoAggTrade { name: redact::redact_names(name).chars().take(40).collect() })
        }
        _ => Ok(each_once(symbols.into_iter())),
    }
}

/// The warning for an address of a routed host that is not in the category of trades. `display` is the
/// redacted URL.
fn unrouted(display: &str) -> Option<String> {
    let after_scheme = display.find("://")? + 3;
    let path_at = display[after_scheme..].find(['/', '?']).map_or(display.len(), |at| after_scheme + at);
    let (base, path) = display.split_at(path_at);
    let trimmed = path.trim_start_matches('/');
    let category = trimmed.split(['/', '?']).next().unwrap_or_default();
    let (situation, tail) = match category {
        "market" => return None,
        "public" | "private" => {
            (format!("the category /{category} never carries aggTrade"), &trimmed[category.len()..])
        }
        _ => (
            "since 2026-04-23 the exchange accepts and acknowledges this un-routed address but sends no aggTrade over it"
                .to_owned(),
            path,
        ),
    };
    let tail = if tail.is_empty() || tail == "/" { "/ws" } else { tail };
    Some(format!("nothing will arrive from {display}: {situation}; use {base}/market{tail}"))
}

/// Whether a host is this machine for certain.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Host and port text; the colons of an IPv6 address in brackets separate nothing.
pub(crate) fn split_port(host_and_port: &str) -> (&str, Option<&str>) {
    match host_and_port.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (host_and_port, None),
    }
}

/// A port in digits; `parse` alone would let a `+` through.
pub(crate) fn parse_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

/// The stream of a symbol's trades: `btcusdt@aggTrade`.
pub(crate) fn stream_name(symbol: &Symbol) -> String {
    symbol.stream_name() + AGG_TRADE
}

fn default_symbol() -> Symbol {
    Symbol::new(DEFAULT_SYMBOL).expect("ETHUSDT is a symbol because it holds letters only")
}

fn each_once(symbols: impl Iterator<Item = Symbol>) -> Vec<Symbol> {
    let mut seen = HashSet::new();
    symbols.filter(|symbol| seen.insert(symbol.clone())).collect()
}

/// What a stream name keeps unencoded in a URL.
const STREAM_NAME: AsciiSet = NON_ALPHANUMERIC.remove(b'@').remove(b'_').remove(b'-').remove(b'.');
/// Encodes non-ASCII bytes, as `utf8_percent_encode` always does, and nothing else.
const NOTHING_ASCII: AsciiSet = AsciiSet::EMPTY;

fn encode(name: &str) -> String {
    utf8_percent_encode(name, &STREAM_NAME).to_string()
}

fn decode(text: &str) -> Result<String, EndpointError> {
    let bad_name = |_| EndpointError::BadStreamName { name: text.chars().take(80).collect() };
    percent_decode_str(text).decode_utf8().map(String::from).map_err(bad_name)
}

#[cfg(test)]
mod tests;
