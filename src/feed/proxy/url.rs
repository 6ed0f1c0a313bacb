//! The address of a proxy, with its secrets kept.

use std::fmt;
use std::net::Ipv6Addr;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::feed::endpoint::{parse_port, split_port};

/// What is spoken with a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// HTTP CONNECT.
    Http,
    /// SOCKS5 with the address of the destination.
    Socks5,
    /// SOCKS5 with the name of the destination.
    Socks5h,
}

impl Scheme {
    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "http" => Ok(Self::Http),
            "socks5" => Ok(Self::Socks5),
            "socks5h" => Ok(Self::Socks5h),
            "https" => {
                Err("https:// proxies are not supported: nearly every proxy is spoken to as http://, \
                            whatever goes through it, so try that"
                    .to_owned())
            }
            "socks" | "socks4" | "socks4a" => {
                Err("of SOCKS only version 5 is supported: write socks5:// or socks5h://".to_owned())
            }
            _ => Err("neither http:// nor socks5:// nor socks5h://".to_owned()),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Socks5 => "socks5",
            Self::Socks5h => "socks5h",
        }
    }

    /// As other programs take it.
    fn default_port(self) -> u16 {
        if self == Self::Http { 80 } else { 1_080 }
    }
}

/// A proxy. Shown, it holds no secrets.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ProxyUrl {
    pub(crate) scheme: Scheme,
    /// Name or address; an IPv6 address without its brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Empty, or `user:password@`, encoded.
    credentials: String,
}

impl ProxyUrl {
    /// Reads `[scheme://][user[:password]@]host[:port]`; without a scheme it is HTTP.
    ///
    /// # Errors
    /// What is wrong, in lower case, with nothing of the text in it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Scheme::parse(scheme)?, rest),
            None => (Scheme::Http, text),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if !matches!(path, "" | "/") {
            let encode = "in user and password / must be written as %2F, ? as %3F and # as %23";
            let problem = if path.contains('@') { encode } else { "a proxy has no path: leave it out" };
            return Err(problem.to_owned());
        }
        let (credentials, address) = match authority.rsplit_once('@') {
            Some((credentials, address)) => (normal_credentials(scheme, credentials)?, address),
            None => (String::new(), authority),
        };
        let (host, port) = split_port(address);
        let host = host_of(host)?;
        let port = match port {
            None => scheme.default_port(),
            Some(port) => parse_port(port).ok_or("the port is not a number from 1 to 65535")?,
        };
        Ok(Self { scheme, host: host.to_ascii_lowercase(), port, credentials })
    }

    /// The address with everything in it; never to be shown.
    pub(super) fn secret(&self) -> String {
        self.spelled(&self.credentials)
    }

    pub(super) fn has_credentials(&self) -> bool {
        !self.credentials.is_empty()
    }

    fn spelled(&self, credentials: &str) -> String {
        let Self { scheme, port, .. } = self;
        format!("{}://{credentials}{}:{port}", scheme.as_str(), in_brackets(&self.host))
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spelled(if self.has_credentials() { "***@" } else { "" }))
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A host as it stands before a port.
pub(crate) fn in_brackets(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// Whatever stands where a proxy was expected, as it may be shown: scheme, host and port where they can be told
/// for certain, and nothing else.
pub(crate) fn redact_proxy(text: &str) -> String {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (scheme, rest),
        None => ("", text),
    };
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    if !scheme.bytes().all(word) || scheme.len() > 16 {
        return "***".to_owned();
    }
    let scheme = if text.contains("://") { format!("{scheme}://") } else { String::new() };
    let (credentials, rest) = match rest.rsplit_once('@') {
        Some((_, rest)) => ("***@", rest),
        None => ("", rest),
    };
    let (address, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (host, port) = split_port(address);
    let is_port = |port: &str| port.len() <= 6 && port.bytes().all(|byte| byte.is_ascii_digit());
    let shown =
        if host.is_empty() || (host_of(host).is_ok() && port.is_none_or(is_port)) { address } else { "***" };
    let path = if path.is_empty() { "" } else { "/***" };
    format!("{scheme}{credentials}{shown}{path}")
}

/// A name, an address, or an IPv6 address in brackets, which are taken off.
fn host_of(written: &str) -> Result<&str, String> {
    let problem = || "no host that can be looked up: a name or an address, IPv6 in brackets".to_owned();
    if let Some(inside) = written.strip_prefix('[') {
        let address = inside.strip_suffix(']').filter(|address| address.parse::<Ipv6Addr>().is_ok());
        return address.ok_or_else(problem);
    }
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let good = !written.is_empty() && written.len() <= 255 && written.bytes().all(known);
    if good { Ok(written) } else { Err(problem()) }
}

/// `user:password@`, every special character encoded, so that nothing in it separates anything.
fn normal_credentials(scheme: Scheme, text: &str) -> Result<String, String> {
    /// The most that a message of SOCKS5 holds.
    const LONGEST: usize = 255;
    if text.is_empty() {
        return Ok(String::new());
    }
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let decoded = |text| {
        let text = percent_decode_str(text).decode_utf8();
        let text = text.map_err(|_| "user and password are not UTF-8 once % is decoded".to_owned())?;
        if text.chars().any(char::is_control) {
            return Err("user or password have control characters in them".to_owned());
        }
        Ok(text)
    };
    let (user, password) = (decoded(user)?, decoded(password)?);
    match scheme {
        Scheme::Http if user.contains(':') => {
            return Err("a user with a colon in it cannot be told to an HTTP proxy".to_owned());
        }
        Scheme::Socks5 | Scheme::Socks5h
            if user.is_empty() || user.len() > LONGEST || password.len() > LONGEST =>
        {
            return Err("SOCKS5 takes a user of 1 to 255 bytes and a password of at most 255".to_owned());
        }
        _ => {}
    }
    let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    Ok(format!("{}:{}@", encoded(&user), encoded(&password)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_secrets_and_with_its_port() {
        for (text, shown) in [
            ("http://proxy.example:3128", "http://proxy.example:3128"),
            ("HTTP://Proxy.Example/", "http://proxy.example:80"),
            ("proxy.example:8080", "http://proxy.example:8080"),
            ("me:s3cret@proxy.example:8080", "http://***@proxy.example:8080"),
            ("http://me@h:1", "http://***@h:1"),
            ("http://@h:1", "http://h:1"),
            ("socks5://h", "socks5://h:1080"),
            (" socks5h://me:s3cret@[2001:DB8::1]:9050 ", "socks5h://***@[2001:db8::1]:9050"),
            ("http://me:s3@cret@h:1", "http://***@h:1"),
            ("http://me:s3%2Fcr%40et@127.0.0.1:1", "http://***@127.0.0.1:1"),
        ] {
            let url = ProxyUrl::parse(text).unwrap();
            assert_eq!((url.to_string(), format!("{url:?}")), (shown.to_owned(), shown.to_owned()), "{text}");
            assert_eq!(ProxyUrl::parse(&url.secret()), Ok(url), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_the_text() {
        let long = format!("socks5://me:{}@h:1", "s3cret".repeat(50));
        for (text, problem) in [
            ("https://me:s3cret@h:1", "https:// proxies are not supported"),
            ("socks4://s3cret@h:1", "only version 5"),
            ("ftp://s3cret@h:1", "neither http://"),
            ("s3cret://h:1", "neither http://"),
            ("", "no host"),
            ("http://", "no host"),
            ("http://me:s3cret@", "no host"),
            ("http://me:s3cret@:3128", "no host"),
            ("http://me:s3cret:h:3128", "no host"),
            ("http://[::1:3128", "no host"),
            ("http://me:s3cret@h h:1", "no host"),
            ("http://me:s3cret@h:", "the port"),
            ("http://me:s3cret@h:0", "the port"),
            ("http://me:s3cret@h:65536", "the port"),
            ("me:s3cret", "the port"),
            ("http://h:1/s3cret", "no path"),
            ("http://h:1?s3cret", "no path"),
            ("http://me:s3/cret@h:1", "%2F"),
            ("http://me:s3#cret@h:1", "%23"),
            ("http://me:s3cret%ff@h:1", "UTF-8"),
            ("http://me:s3cret%0d%0a@h:1", "control"),
            ("http://m%3Ae:s3cret@h:1", "colon"),
            ("socks5://:s3cret@h:1", "1 to 255"),
            (&long, "1 to 255"),
        ] {
            let told = ProxyUrl::parse(text).unwrap_err();
            assert!(told.contains(problem) && !told.contains("s3cret"), "{text}: {told}");
            assert!(!redact_proxy(text).contains("s3cret") || text.starts_with("s3cret://"), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_shown_as_far_as_it_is_safe() {
        for (text, shown) in [
            ("ftp://h:21", "ftp://h:21"),
            ("https://me:s3cret@h:1", "https://***@h:1"),
            ("http://me:s3cret:h:1", "http://***"),
            ("me:s3cret", "***"),
            ("http://h:99999", "http://h:99999"),
            ("http://h:1/s3cret?s3cret", "http://h:1/***"),
            ("http://me:s3/cret@h:1", "http://***@h:1"),
            ("me:s3://cret@h:1", "***"),
            ("", ""),
            ("http://", "http://"),
        ] {
            assert_eq!(redact_proxy(text), shown, "{text}");
        }
    }
}
