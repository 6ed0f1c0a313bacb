//! Where a webhook is. What follows the host is taken for a secret: it is never shown.

use std::fmt;
use std::net::IpAddr;

use hyper::http::uri::PathAndQuery;

use crate::feed::endpoint::is_loopback;
use crate::feed::is_public;
use crate::repair::rest::{RestBase, RestBaseError};

/// `https://host[:port][/path][?query]`; `http://` to this machine only. Shown, it is scheme, host and port.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl {
    /// Scheme, host and port.
    pub(super) base: RestBase,
    /// Path and query.
    pub(super) path: String,
}

/// An address that nothing can be posted to. It never shows the address, which may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebhookUrlError {
    /// Neither `https` nor `http`.
    Scheme,
    /// Unencrypted, and not to this machine.
    Plaintext,
    /// An `@`, which a user name or password has.
    Credentials,
    /// No host name, or one that cannot be looked up.
    Host,
    /// A port that is no number from 1 to 65535.
    Port,
    /// A path or query with characters that it cannot have.
    Path,
}

impl WebhookUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// [`WebhookUrlError`] names what is wrong and what to do.
    pub fn parse(text: &str) -> Result<Self, WebhookUrlError> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").ok_or(WebhookUrlError::Scheme)?;
        // A password may hold anything, a slash too.
        if rest.contains('@') {
            return Err(WebhookUrlError::Credentials);
        }
        let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let base = RestBase::parse(&format!("{scheme}://{host}"), false)?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        // The parser would drop a fragment without a word.
        let is_visible = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if !is_visible || path.parse::<PathAndQuery>().is_err() {
            return Err(WebhookUrlError::Path);
        }
        Ok(Self { base, path })
    }

    /// The host is this machine or in a private network, as far as its text tells. A name is judged by its addresses
    /// when it is connected to.
    pub fn is_private(&self) -> bool {
        let (host, ..) = self.base.destination();
        is_loopback(host) || host.parse::<IpAddr>().is_ok_and(|address| !is_public(address))
    }
}

impl From<RestBaseError> for WebhookUrlError {
    fn from(error: RestBaseError) -> Self {
        match error {
            RestBaseError::Scheme => Self::Scheme,
            RestBaseError::Plaintext => Self::Plaintext,
            RestBaseError::Credentials => Self::Credentials,
            RestBaseError::Host => Self::Host,
            RestBaseError::Port => Self::Port,
            RestBaseError::Query | RestBaseError::Path | RestBaseError::OwnPath => Self::Path,
        }
    }
}

impl WebhookUrlError {
    /// What is wrong, without the remedy.
    pub fn problem(&self) -> &'static str {
        match self {
            Self::Scheme => "not an address that begins with https://",
            Self::Plaintext => {
                "http:// to another machine is not encrypted: anyone on the way could read and forge alerts"
            }
            Self::Credentials => "the address has an @, as a user name or password has",
            Self::Host => "the address has no host name that can be looked up",
            Self::Port => "the port is not a number from 1 to 65535",
            Self::Path => "the path has characters that a path cannot have",
        }
    }

    /// What to do about it, lower case, one line.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Scheme => "write https://<host>/<path>",
            Self::Plaintext => "write https://; http:// is for this machine alone",
            Self::Credentials => {
                "put the secret into the path or a webhook-secret-file; an @ of the path is %40"
            }
            Self::Host => {
                "write a host name or address, IPv6 in brackets, an international name in its xn-- form"
            }
            Self::Port => "write a port from 1 to 65535, or none",
            Self::Path => "encode other characters as %XX, and leave out what follows a #",
        }
    }
}

impl fmt::Display for WebhookUrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.problem(), self.remedy())
    }
}

impl std::error::Error for WebhookUrlError {}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.base.fmt(f)
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookUrl({self}/***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_path_and_query_for_the_receiver_alone() {
        for (text, shown, path) in [
            ("https://hooks.example/s3cret?k=v", "https://hooks.example", "/s3cret?k=v"),
            (" https://Hooks.example:8443/a//b/ ", "https://hooks.example:8443", "/a//b/"),
            ("https://hooks.example", "https://hooks.example", "/"),
            ("https://hooks.example?k=s3cret", "https://hooks.example", "/?k=s3cret"),
            ("http://127.0.0.1:80/x", "http://127.0.0.1", "/x"),
            ("https://[2606:4700::1111]/x", "https://[2606:4700::1111]", "/x"),
        ] {
            let url = WebhookUrl::parse(text).unwrap();
            assert_eq!((url.to_string().as_str(), url.path.as_str()), (shown, path));
            assert!(!format!("{url} {url:?}").contains("s3cret"));
        }
    }

    #[test]
    fn an_address_that_cannot_be_used_is_refused_by_name_and_not_repeated() {
        use WebhookUrlError::*;
        for (text, error) in [
            ("", Scheme),
            ("hooks.example/s3cret", Scheme),
            ("ftp://hooks.example/s3cret", Scheme),
            ("http://hooks.example/s3cret", Plaintext),
            ("http://10.0.0.1/s3cret", Plaintext),
            ("https://me:s3cret@hooks.example", Credentials),
            ("https://me:1/s3cret@hooks.example", Credentials),
            ("https:///s3cret", Host),
            ("https://ho oks.example/s3cret", Host),
            ("https://hooks.example:0/s3cret", Port),
            ("https://hooks.example/s3cret\r\nX: y", Path),
            ("https://hooks.example/s3cret#fragment", Path),
            ("https://hooks.example/币", Path),
        ] {
            assert_eq!(WebhookUrl::parse(text), Err(error), "{text}");
            assert!(!error.to_string().contains("s3cret"));
        }
    }

    #[test]
    fn what_is_private_by_its_text_is_known_at_once() {
        for (text, private) in [
            ("https://hooks.example/", false),
            ("https://8.8.8.8/", false),
            ("https://LOCALHOST./", true),
            ("http://[::1]/", true),
            ("https://169.254.169.254/latest", true),
            ("https://[fd00::1]/", true),
        ] {
            assert_eq!(WebhookUrl::parse(text).unwrap().is_private(), private, "{text}");
        }
    }
}
