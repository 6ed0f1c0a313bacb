//! Who may ask, and how: what is refused before anything else looks at a request. Pure.
//!
//! A page of the open web can make a browser on this machine send requests to it, under a name that it lets point here
//! (DNS rebinding) or across origins. So a name is taken only if it is known, and an origin only if it is our own.

use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, ORIGIN, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::{Method, Uri};

use super::token::Token;

/// The longest path with its query, in bytes.
const LONGEST_TARGET: usize = 2_048;

/// Who may ask.
#[derive(Debug, Clone, Default)]
pub(super) struct Guard {
    /// What every request must bring; `None` lets every one in.
    pub(super) token: Option<Token>,
    /// Names that this machine may be called by, besides `localhost` and addresses; lower case.
    pub(super) names: Vec<String>,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is no GET.
    Method,
    /// It brings a body, or says that it does.
    Body,
    /// Its target is too long, or names another machine.
    Target,
    /// It names no host, or several.
    NoHost,
    /// It names a host that is not known to be this one.
    Host,
    /// A page from elsewhere asks.
    Origin,
    /// It does not bring the token.
    Token,
}

impl Refusal {
    /// All of them.
    pub(super) const ALL: [Self; 7] =
        [Self::Method, Self::Body, Self::Target, Self::NoHost, Self::Host, Self::Origin, Self::Token];

    /// The value of the label.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Body => "body",
            Self::Target => "target",
            Self::NoHost => "no_host",
            Self::Host => "host",
            Self::Origin => "origin",
            Self::Token => "token",
        }
    }

    /// The status of the answer.
    pub(super) const fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::Body | Self::Target | Self::NoHost => 400,
            Self::Host | Self::Origin => 403,
            Self::Token => 401,
        }
    }

    /// What to do instead.
    pub(super) const fn detail(self) -> &'static str {
        match self {
            Self::Method => "only GET is answered",
            Self::Body => "a request has no body here",
            Self::Target => "the target is longer than 2048 bytes, or names another machine",
            Self::NoHost => "a request needs exactly one Host header",
            Self::Host => {
                "the Host header names a host that is not known; use an address, or --http-allow-host"
            }
            Self::Origin => "pages of other origins may not ask",
            Self::Token => {
                "the header `Authorization: Bearer TOKEN` with the token of --http-token-file is missing or wrong"
            }
        }
    }
}

impl Guard {
    /// Whether a request may be answered.
    pub(super) fn check(&self, request: &Parts) -> Result<(), Refusal> {
        let headers = &request.headers;
        if request.method != Method::GET {
            return Err(Refusal::Method);
        }
        if !is_plain(&request.uri) {
            return Err(Refusal::Target);
        }
        let host = only(headers, HOST).ok_or(Refusal::NoHost)?;
        if !self.is_ours(host) {
            return Err(Refusal::Host);
        }
        if headers.contains_key(ORIGIN) && only(headers, ORIGIN).is_none_or(|origin| !is_same(origin, host)) {
            return Err(Refusal::Origin);
        }
        if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
            return Err(Refusal::Origin);
        }
        if let Some(token) = &self.token
            && !bearer(headers).is_some_and(|offered| token.matches(offered))
        {
            return Err(Refusal::Token);
        }
        let is_empty = headers.get(CONTENT_LENGTH).is_none_or(|length| length == "0");
        if headers.contains_key(TRANSFER_ENCODING) || !is_empty {
            return Err(Refusal::Body);
        }
        Ok(())
    }

    /// An address cannot be made to point elsewhere; a name can.
    fn is_ours(&self, host: &str) -> bool {
        let Some(name) = without_port(host) else { return false };
        let name = name.to_ascii_lowercase();
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let is_address = match address {
            Some(six) => six.parse::<std::net::Ipv6Addr>().is_ok(),
            None => name.parse::<std::net::Ipv4Addr>().is_ok(),
        };
        is_address || name == "localhost" || self.names.contains(&name)
    }
}

/// A path on this machine, of which nobody can say more than one thing.
fn is_plain(uri: &Uri) -> bool {
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    uri.authority().is_none() && uri.scheme().is_none() && target.len() <= LONGEST_TARGET
}

/// The host without its port; `None` if that is no port.
fn without_port(host: &str) -> Option<&str> {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    (!name.is_empty() && port.is_none_or(is_port)).then_some(name)
}

/// Whether a page of this origin was got from this host.
fn is_same(origin: &str, host: &str) -> bool {
    let of = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    of.is_some_and(|of| of.eq_ignore_ascii_case(host))
}

/// The value of a header that is there exactly once and is text.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).into_iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, word) = only(headers, AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(word.trim().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn judged(guard: &Guard, method: &str, target: &str, headers: &[(&str, &str)]) -> Result<(), Refusal> {
        let request = Request::builder().method(method).uri(target);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        guard.check(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_host_is_an_address_or_a_name_that_is_known() {
        let guard = Guard { names: vec!["cvd.example".into()], ..Guard::default() };
        for host in [
            "127.0.0.1",
            "127.0.0.1:9464",
            "10.1.2.3:1",
            "[::1]",
            "[::1]:9464",
            "localhost:9464",
            "LOCALHOST",
            "cvd.example",
            "CVD.example:80",
        ] {
            assert_eq!(judged(&guard, "GET", "/metrics", &[("host", host)]), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "127.0.0.1:x",
            "127.0.0.1:99999",
            "[::1",
            "::1",
            "",
            ":9464",
            "127.0.0.1:9464:1",
            "user@localhost",
            "0x7f.1",
            "cvd.example.",
            "[::1%25lo]:1",
            "2130706433",
        ] {
            assert_eq!(judged(&guard, "GET", "/metrics", &[("host", host)]), Err(Refusal::Host), "{host}");
        }
        assert_eq!(judged(&guard, "GET", "/metrics", &[]), Err(Refusal::NoHost));
        let twice = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(judged(&guard, "GET", "/metrics", &twice), Err(Refusal::NoHost));
    }

    #[test]
    fn a_page_from_elsewhere_may_not_ask_and_our_own_may() {
        let guard = Guard::default();
        let asks = |origin| judged(&guard, "GET", "/", &[("host", "localhost:9464"), ("origin", origin)]);
        assert_eq!(asks("http://localhost:9464"), Ok(()));
        for origin in [
            "null",
            "http://evil.example",
            "http://localhost",
            "http://localhost:9465",
            "localhost:9464",
            "http://localhost:9464.evil.example",
            "http://localhost:9464/",
            "file://",
            "",
        ] {
            assert_eq!(asks(origin), Err(Refusal::Origin), "{origin}");
        }
        let across = [("host", "localhost"), ("sec-fetch-site", "cross-site")];
        assert_eq!(judged(&guard, "GET", "/", &across), Err(Refusal::Origin));
    }

    #[test]
    fn only_get_without_a_body_to_a_path_of_ours_is_answered() {
        let guard = Guard::default();
        let local = ("host", "localhost");
        for method in
            ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "get", "PROPFIND"]
        {
            let target = if method == "CONNECT" { "localhost:80" } else { "/metrics" };
            assert_eq!(judged(&guard, method, target, &[local]), Err(Refusal::Method), "{method}");
        }
        assert_eq!(judged(&guard, "GET", "http://localhost/metrics", &[local]), Err(Refusal::Target));
        let long = format!("/{}", "a".repeat(LONGEST_TARGET));
        assert_eq!(judged(&guard, "GET", &long, &[local]), Err(Refusal::Target));
        assert_eq!(judged(&guard, "GET", "/", &[local, ("content-length", "1")]), Err(Refusal::Body));
        assert_eq!(judged(&guard, "GET", "/", &[local, ("content-length", "0")]), Ok(()));
        assert_eq!(
            judged(&guard, "GET", "/", &[local, ("transfer-encoding", "chunked")]),
            Err(Refusal::Body)
        );
    }

    #[test]
    fn each_refusal_has_a_status_a_word_and_a_remedy() {
        for refusal in Refusal::ALL {
            assert!((400..500).contains(&refusal.status()) && !refusal.detail().is_empty());
            assert!(refusal.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
        }
    }
}
