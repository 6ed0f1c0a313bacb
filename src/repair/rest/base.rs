//! Where REST is: the address that a user may give.

use std::fmt;
use std::net::Ipv6Addr;

use hyper::http::uri::PathAndQuery;

use crate::feed::endpoint::{is_loopback, parse_port, split_port};

/// Scheme, host, port and a path to put in front of the exchange's own: `https://fapi.binance.com`, or
/// `https://proxy.example:8443/binance`. Shown, it holds no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RestBase {
    pub(super) tls: bool,
    /// Name or address; an IPv6 address without its brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// What the `Host` header says.
    pub(super) authority: String,
    /// Empty, or `/` and a path that does not end with one.
    pub(super) prefix: String,
}

/// A REST address that cannot be used. It never shows the address, which may hold credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestBaseError {
    /// Neither `https` nor `http`.
    Scheme,
    /// Unencrypted, and not to this machine.
    Plaintext,
    /// A user name or password.
    Credentials,
    /// `?…` or `#…`.
    Query,
    /// No host name, or one that cannot be looked up.
    Host,
    /// A port that is no number from 1 to 65535.
    Port,
    /// A path with characters that a path cannot have.
    Path,
    /// The exchange's own path, which is added anyway.
    OwnPath,
}

impl RestBase {
    /// Reads `https://host[:port][/prefix]`; `http://` only to this machine, or with `allow_plaintext`.
    ///
    /// # Errors
    /// [`RestBaseError`] names what is wrong and what to do.
    pub fn parse(text: &str, allow_plaintext: bool) -> Result<Self, RestBaseError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(RestBaseError::Scheme)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(RestBaseError::Scheme),
        };
        // A password may hold anything, a slash too.
        if rest.contains('@') {
            return Err(RestBaseError::Credentials);
        }
        if rest.contains(['?', '#']) {
            return Err(RestBaseError::Query);
        }
        let (host_and_port, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (written, port) = split_port(host_and_port);
        let host = host_of(written).ok_or(RestBaseError::Host)?;
        let port = match port {
            None if tls => 443,
            None => 80,
            Some(port) => parse_port(port).ok_or(RestBaseError::Port)?,
        };
        if !tls && !allow_plaintext && !is_loopback(host) {
            return Err(RestBaseError::Plaintext);
        }
        let authority = if port == if tls { 443 } else { 80 } {
            written.to_ascii_lowercase()
        } else {
            format!("{}:{port}", written.to_ascii_lowercase())
        };
        let host = host.to_ascii_lowercase();
        Ok(Self { tls, host, port, authority, prefix: prefix_of(path)?.to_owned() })
    }
}

impl RestBase {
    /// The exchange's archive.
    #[cfg(feature = "replay")]
    pub(crate) fn archive() -> Self {
        let host = "data.binance.vision".to_owned();
        Self { tls: true, authority: host.clone(), host, port: 443, prefix: String::new() }
    }

    /// Host (an IPv6 address without its brackets), port, and whether the connection is encrypted.
    #[cfg(any(feature = "ops", feature = "replay"))]
    pub(crate) fn destination(&self) -> (&str, u16, bool) {
        (&self.host, self.port, self.tls)
    }

    /// What the `Host` header says.
    #[cfg(any(feature = "ops", feature = "replay"))]
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Empty, or `/` and a path that does not end with one.
    #[cfg(feature = "replay")]
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl fmt::Display for RestBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.prefix)
    }
}

/// A name, an address, or an IPv6 address in brackets, which are taken off.
fn host_of(written: &str) -> Option<&str> {
    if let Some(inside) = written.strip_prefix('[') {
        let address = inside.strip_suffix(']')?;
        return address.parse::<Ipv6Addr>().is_ok().then_some(address);
    }
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (!written.is_empty() && written.len() <= 255 && written.bytes().all(known)).then_some(written)
}

fn prefix_of(path: &str) -> Result<&str, RestBaseError> {
    let prefix = path.trim_end_matches('/');
    if prefix.is_empty() {
        return Ok(prefix);
    }
    let visible = prefix.bytes().all(|byte| byte.is_ascii_graphic());
    if !visible || prefix.parse::<PathAndQuery>().is_err() {
        return Err(RestBaseError::Path);
    }
    let own = ["/fapi/v1", "/dapi/v1", "/api/v3", "/aggTrades"];
    if own.iter().any(|own| prefix.ends_with(own)) { Err(RestBaseError::OwnPath) } else { Ok(prefix) }
}

impl RestBaseError {
    /// What is wrong, without the remedy.
    pub fn problem(&self) -> &'static str {
        match self {
            Self::Scheme => "not an address of REST, which begins with https://",
            Self::Plaintext => {
                "http:// to another machine is not encrypted: anyone on the way could change the trades"
            }
            Self::Credentials => "the address has a user name or password, and REST's trades need none",
            Self::Query => "the address has a ? or # part",
            Self::Host => "the address has no host name that can be looked up",
            Self::Port => "the port is not a number from 1 to 65535",
            Self::Path => "the path has characters that a path cannot have",
            Self::OwnPath => "the address ends with the exchange's own path, which is added anyway",
        }
    }

    /// What to do about it, lower case, one line.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Scheme => "write https://<host>, for example https://fapi.binance.com",
            Self::Plaintext => "write https://, or allow it by --allow-plaintext if the way there is safe",
            Self::Credentials => "remove everything up to the @",
            Self::Query => "remove the ? or # and what follows",
            Self::Host => {
                "write a host name or address, IPv6 in brackets, an international name in its xn-- form"
            }
            Self::Port => "write a port from 1 to 65535, or none",
            Self::Path => "encode other characters as %XX",
            Self::OwnPath => "write what stands before it",
        }
    }
}

impl fmt::Display for RestBaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.problem(), self.remedy())
    }
}

impl std::error::Error for RestBaseError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(text: &str) -> Result<RestBase, RestBaseError> {
        RestBase::parse(text, false)
    }

    #[test]
    fn an_address_is_read_with_what_it_leaves_out() {
        for (text, tls, host, port, authority, prefix) in [
            ("https://fapi.binance.com", true, "fapi.binance.com", 443, "fapi.binance.com", ""),
            (" HTTPS://Fapi.Binance.com:443/ ", true, "fapi.binance.com", 443, "fapi.binance.com", ""),
            ("https://h:8443/a/b%20c//", true, "h", 8443, "h:8443", "/a/b%20c"),
            ("http://127.0.0.1:80", false, "127.0.0.1", 80, "127.0.0.1", ""),
            ("http://localhost:443", false, "localhost", 443, "localhost:443", ""),
            ("http://[::1]:8080/x", false, "::1", 8080, "[::1]:8080", "/x"),
            ("https://[2001:DB8::1]", true, "2001:db8::1", 443, "[2001:db8::1]", ""),
        ] {
            let (host, authority, prefix) = (host.into(), authority.into(), prefix.into());
            let expected = RestBase { tls, host, port, authority, prefix };
            assert_eq!(base(text), Ok(expected), "{text}");
        }
        assert_eq!(base("https://h:8443/a/").unwrap().to_string(), "https://h:8443/a");
    }

    #[test]
    fn an_address_that_cannot_be_used_is_refused_by_name_and_not_repeated() {
        use RestBaseError::*;
        for (text, error) in [
            ("", Scheme),
            ("fapi.binance.com", Scheme),
            ("wss://fstream.binance.com", Scheme),
            ("http://fapi.binance.com", Plaintext),
            ("http://127.0.0.1.example.com", Plaintext),
            ("https://me:s3cret@h", Credentials),
            ("https://me:1/s3cret@h", Credentials),
            ("https://h?x=s3cret", Query),
            ("https://h/#s3cret", Query),
            ("https://", Host),
            ("https:///fapi", Host),
            ("https://:443", Host),
            ("https://::1", Host),
            ("https://[::1", Host),
            ("https://[h]", Host),
            ("https://[::1]x", Host),
            ("https://币.com", Host),
            ("https://a b", Host),
            ("https://h:0", Port),
            ("https://h:", Port),
            ("https://h:+1", Port),
            ("https://h:65536", Port),
            ("https://h/a b", Path),
            ("https://h/a\r\nX: y", Path),
            ("https://h/币", Path),
            ("https://h/fapi/v1/", OwnPath),
            ("https://h/x/api/v3/aggTrades", OwnPath),
        ] {
            assert_eq!(base(text), Err(error), "{text}");
            assert!(!error.to_string().contains("s3cret"));
        }
        assert!(RestBase::parse("http://fapi.binance.com", true).is_ok());
    }

    #[test]
    fn every_host_that_the_feed_knows_is_a_base() {
        use crate::feed::endpoint::Endpoint;
        use crate::snapshot::Market;
        for market in [Market::UsdM, Market::CoinM, Market::Spot] {
            for testnet in [false, true] {
                let endpoint = Endpoint::for_symbols(market, testnet, &[]);
                let known = endpoint.rest_base().unwrap();
                assert_eq!(base(&known).unwrap().to_string(), known);
            }
        }
    }
}
