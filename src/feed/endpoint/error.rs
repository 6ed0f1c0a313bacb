//! Why a URL is refused.

use std::fmt;

use crate::snapshot::Market;
use crate::units::Symbol;

/// A URL that cannot be used, with the reason and the remedy. URLs in it are redacted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointError {
    /// No `wss://` in front.
    NoScheme,
    /// `http://` or `https://`.
    HttpScheme {
        /// The scheme as given, lower case.
        scheme: String,
    },
    /// Neither `ws` nor `wss`.
    UnknownScheme {
        /// The scheme as given, lower case.
        scheme: String,
    },
    /// Not a URL at all: characters, brackets, length.
    Unreadable {
        /// What the reader said.
        reason: String,
    },
    /// No host name, or one that is not ASCII.
    BadHost,
    /// A port that is no number from 1 to 65535.
    BadPort,
    /// `#…` behind the address.
    Fragment,
    /// Unencrypted, and not to this machine.
    Plaintext {
        /// The host.
        host: String,
    },
    /// A stream name that holds no symbol, or is not UTF-8 when percent-decoded.
    BadStreamName {
        /// As written.
        name: String,
    },
    /// A stream name that the exchange acknowledges without ever sending anything.
    StreamCase {
        /// As written.
        name: String,
        /// As the exchange writes it.
        correct: String,
    },
    /// Streams, but no `@aggTrade` among them.
    NoAggTrade {
        /// The first of them.
        name: String,
    },
    /// `streams=` behind a path that does not read it.
    MisplacedStreams,
    /// The symbol that was asked for is not among the URL's.
    SymbolContradicted {
        /// What was asked for.
        symbol: Symbol,
        /// What the URL streams.
        streamed: Vec<Symbol>,
    },
    /// The market that was asked for is not the host's.
    MarketContradicted {
        /// What was asked for.
        market: Market,
        /// The host.
        host: String,
        /// What it serves.
        served: Market,
    },
}

impl EndpointError {
    /// What to do about it, lower case, one line.
    pub fn remedy(&self) -> String {
        match self {
            Self::NoScheme => "put wss:// in front".to_owned(),
            Self::HttpScheme { .. } | Self::UnknownScheme { .. } => {
                "write wss:// instead (ws:// to this machine)".to_owned()
            }
            Self::Unreadable { .. } => {
                "write wss://<host>/market/stream?streams=<symbol>@aggTrade, and encode other characters as %XX"
                    .to_owned()
            }
            Self::BadHost => "write a host name or address; an international name in its xn-- form".to_owned(),
            Self::BadPort => "write a port from 1 to 65535, or none".to_owned(),
            Self::Fragment => "remove the # and what follows, or write %23 for a # that belongs there".to_owned(),
            Self::Plaintext { .. } => {
                "write wss://, or allow it by --allow-plaintext if the way there is safe".to_owned()
            }
            Self::BadStreamName { .. } => "write <symbol>@aggTrade, for example btcusdt@aggTrade".to_owned(),
            Self::StreamCase { correct, .. } => format!("write {correct}"),
            Self::NoAggTrade { .. } => {
                "add <symbol>@aggTrade (capital T), or leave the streams out and choose by --symbol".to_owned()
            }
            Self::MisplacedStreams => "write /stream?streams=<names>, or /ws/<names> without streams=".to_owned(),
            Self::SymbolContradicted { .. } => {
                "leave the symbol out, because the URL names it, or name it in the URL".to_owned()
            }
            Self::MarketContradicted { served, .. } => {
                format!("leave the market out, write {served}, or use a host of the other market")
            }
        }
    }

    /// What is wrong, without the remedy.
    pub fn problem(&self) -> String {
        match self {
            Self::NoScheme => "the URL has no scheme".to_owned(),
            Self::HttpScheme { scheme } => format!("{scheme}:// is not a WebSocket address"),
            Self::UnknownScheme { scheme } => format!("{scheme:?} is not a WebSocket scheme"),
            Self::Unreadable { reason } => format!("not a URL: {reason}"),
            Self::BadHost => "the URL has no host name that can be looked up".to_owned(),
            Self::BadPort => "the URL's port is not a number from 1 to 65535".to_owned(),
            Self::Fragment => "a WebSocket address has no #fragment".to_owned(),
            Self::Plaintext { host } => {
                format!("ws:// to {host} is not encrypted: anyone on the way could change the trades")
            }
            Self::BadStreamName { name } => format!("{name:?} is not a stream of a symbol"),
            Self::StreamCase { name, .. } => format!(
                "the exchange would acknowledge the stream {name:?} and send nothing, because names are case-sensitive"
            ),
            Self::NoAggTrade { name } => {
                format!("the URL names streams ({name:?}), but no @aggTrade, so there is no trade to count")
            }
            Self::MisplacedStreams => "the exchange reads streams= behind /stream only".to_owned(),
            Self::SymbolContradicted { symbol, streamed } => {
                let streamed: Vec<&str> = streamed.iter().map(Symbol::as_str).collect();
                format!("the symbol is {symbol}, but the URL streams {}", streamed.join(", "))
            }
            Self::MarketContradicted { market, host, served } => {
                format!("the market is {market}, but the URL's host {host} serves {served}")
            }
        }
    }
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.problem(), self.remedy())
    }
}

impl std::error::Error for EndpointError {}
