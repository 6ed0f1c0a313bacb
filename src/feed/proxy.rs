//! Through what other machines are reached: HTTP CONNECT, SOCKS5, or nothing.

mod failure;
mod tunnel;
mod url;

use std::collections::BTreeMap;
use std::fmt;

use hyper::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use super::endpoint::is_loopback;

pub use failure::{ProxyError, ProxyFailure};
pub(crate) use tunnel::tunnel;
pub(crate) use url::{ProxyUrl, Scheme, in_brackets, redact_proxy};

/// Which proxies there are, and for which hosts. Credentials in them are never shown. The default is to use none.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Proxies {
    rules: Rules,
    warnings: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Default)]
enum Rules {
    /// Nobody named any.
    #[default]
    Unsaid,
    /// None, as somebody said.
    Direct,
    /// One for every destination.
    Explicit(ProxyUrl),
    Environment(Environment),
}

/// What the variables come to.
#[derive(Clone, PartialEq, Eq)]
struct Environment {
    /// For `wss` and `https`.
    encrypted: Option<Found>,
    /// For `ws` and `http`.
    plain: Option<Found>,
    /// The hosts that are reached without.
    except: Option<Exceptions>,
}

#[derive(Clone, PartialEq, Eq)]
struct Found {
    variable: &'static str,
    proxy: ProxyUrl,
}

#[derive(Clone, PartialEq, Eq)]
struct Exceptions {
    variable: &'static str,
    hosts: String,
}

/// The way to a destination.
pub(crate) struct Way<'a> {
    pub(crate) proxy: &'a ProxyUrl,
    intercept: Intercept,
}

/// A destination that cannot be put into words, so that nobody knows the way to it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoHost;

impl Proxies {
    /// What `--proxy` says: `[scheme://][user:password@]host[:port]` with the scheme `http` (HTTP CONNECT; the default),
    /// `socks5` (names are looked up here) or `socks5h` (by the proxy), user and password percent-encoded; or `none`.
    /// It holds for every destination, whatever the environment says.
    ///
    /// # Errors
    /// What is wrong with the text, in lower case, without any credentials.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rules = match text.trim() {
            none if none.eq_ignore_ascii_case("none") => Rules::Direct,
            text => Rules::Explicit(ProxyUrl::parse(text)?),
        };
        Ok(Self { rules, warnings: Vec::new() })
    }

    /// What the variables `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say, as other programs read them: in lower case
    /// or in upper case, where lower case counts first; for unencrypted destinations `http_proxy`, in lower case only.
    /// An empty one says nothing. This machine itself is never reached through a proxy of theirs.
    ///
    /// A variable that cannot be used is left, and [`warned of`](Self::warnings).
    pub fn from_environment(environment: &BTreeMap<String, String>) -> Self {
        let mut warnings = Vec::new();
        let all = found(environment, &["all_proxy", "ALL_PROXY"], &mut warnings);
        let mut either = |names| found(environment, names, &mut warnings).or_else(|| all.clone());
        let (encrypted, plain) = (either(&["https_proxy", "HTTPS_PROXY"]), either(&["http_proxy"]));
        if encrypted.is_none() && plain.is_none() {
            return Self { rules: Rules::Unsaid, warnings };
        }
        let except = set(environment, &["no_proxy", "NO_PROXY"])
            .map(|(variable, hosts)| Exceptions { variable, hosts: hosts.to_owned() });
        Self { rules: Rules::Environment(Environment { encrypted, plain, except }), warnings }
    }

    /// What the user should know about variables that could not be used; one line each, without credentials.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The variables of the environment that say something.
    #[cfg(feature = "cli")]
    pub(crate) fn variables(&self) -> Vec<&'static str> {
        let Rules::Environment(Environment { encrypted, plain, except }) = &self.rules else {
            return Vec::new();
        };
        let mut variables: Vec<_> =
            [encrypted, plain].into_iter().flatten().map(|found| found.variable).collect();
        variables.dedup();
        variables.extend(except.as_ref().map(|except| except.variable));
        variables
    }

    /// The way to a host; `None` straight ahead.
    ///
    /// # Errors
    /// [`NoHost`] where nobody can tell, so that no proxy is passed by.
    pub(crate) fn way_to(&self, host: &str, port: u16, tls: bool) -> Result<Option<Way<'_>>, NoHost> {
        let (matcher, proxy) = match &self.rules {
            Rules::Unsaid | Rules::Direct => return Ok(None),
            Rules::Explicit(proxy) => (Matcher::builder().all(proxy.secret()), proxy),
            Rules::Environment(environment) => {
                let found = if tls { &environment.encrypted } else { &environment.plain };
                let Some(Found { proxy, .. }) = found else { return Ok(None) };
                if is_loopback(host) {
                    return Ok(None);
                }
                let except = environment.except.as_ref().map_or("", |except| &except.hosts);
                (Matcher::builder().all(proxy.secret()).no(except), proxy)
            }
        };
        let scheme = if tls { "https" } else { "http" };
        let destination = format!("{scheme}://{}:{port}/", in_brackets(host));
        let destination: Uri = destination.parse().map_err(|_| NoHost)?;
        let intercept = matcher.build().intercept(&destination);
        Ok(intercept.map(|intercept| Way { proxy, intercept }))
    }
}

/// The first of these variables that says something, and can be used.
fn found(
    environment: &BTreeMap<String, String>,
    names: &[&'static str],
    warnings: &mut Vec<String>,
) -> Option<Found> {
    let (variable, text) = set(environment, names)?;
    match ProxyUrl::parse(text) {
        Ok(proxy) => Some(Found { variable, proxy }),
        Err(problem) => {
            let shown = redact_proxy(text);
            warnings.push(format!(
                "{variable}={shown} of the environment is ignored: {problem} (--proxy names a proxy for certain, or none)"
            ));
            None
        }
    }
}

fn set<'a>(
    environment: &'a BTreeMap<String, String>,
    names: &[&'static str],
) -> Option<(&'static str, &'a str)> {
    let text =
        |name: &&'static str| environment.get(*name).map(|text| text.trim()).filter(|text| !text.is_empty());
    names.iter().find_map(|name| Some((*name, text(name)?)))
}

impl fmt::Display for Proxies {
    /// The proxies, without credentials, separated by commas; `none` where somebody said so, and nothing where nobody
    /// said anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rules {
            Rules::Unsaid => Ok(()),
            Rules::Direct => f.write_str("none"),
            Rules::Explicit(proxy) => proxy.fmt(f),
            Rules::Environment(Environment { encrypted, plain, .. }) => {
                let mut shown: Vec<_> =
                    [encrypted, plain].into_iter().flatten().map(|found| found.proxy.to_string()).collect();
                shown.dedup();
                f.write_str(&shown.join(", "))
            }
        }
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxies({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Proxies {
        Proxies::from_environment(
            &pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        )
    }

    /// The proxy on the way to a `wss://` host.
    fn way(proxies: &Proxies, host: &str) -> Option<String> {
        proxies.way_to(host, 443, true).unwrap().map(|way| way.proxy.to_string())
    }

    fn plain_way(proxies: &Proxies, host: &str) -> Option<String> {
        proxies.way_to(host, 80, false).unwrap().map(|way| way.proxy.to_string())
    }

    const FAR: &str = "fstream.binance.com";

    #[test]
    fn what_was_said_explicitly_holds_for_every_destination() {
        let proxies = Proxies::parse("http://me:s3cret@h:1").unwrap();
        for host in [FAR, "localhost", "127.0.0.1", "::1"] {
            assert_eq!(way(&proxies, host).as_deref(), Some("http://***@h:1"), "{host}");
            assert_eq!(plain_way(&proxies, host).as_deref(), Some("http://***@h:1"), "{host}");
        }
        assert!(proxies.way_to("no host", 1, true).is_err_and(|error| error == NoHost));
        let none = Proxies::parse(" None ").unwrap();
        assert_eq!((way(&none, FAR), none.to_string()), (None, "none".to_owned()));
        assert_eq!((way(&Proxies::default(), FAR), Proxies::default().to_string()), (None, String::new()));
    }

    #[test]
    fn the_environment_is_read_as_other_programs_read_it() {
        let a = Some("http://a:1".to_owned());
        let b = Some("socks5://b:1080".to_owned());
        let https = environment(&[("HTTPS_PROXY", "http://a:1")]);
        assert_eq!((way(&https, FAR), plain_way(&https, FAR)), (a.clone(), None));
        let all = environment(&[("all_proxy", "socks5://b"), ("https_proxy", "a:1")]);
        assert_eq!((way(&all, FAR), plain_way(&all, FAR)), (a.clone(), b.clone()));
        assert_eq!(all.to_string(), "http://a:1, socks5://b:1080");
        assert_eq!(all.variables(), ["https_proxy", "all_proxy"]);
        let lower_first = environment(&[("HTTPS_PROXY", "socks5://b"), ("https_proxy", "a:1")]);
        assert_eq!(way(&lower_first, FAR), a);
        // An empty one says nothing, as unset.
        let empty = environment(&[("https_proxy", " "), ("HTTPS_PROXY", ""), ("ALL_PROXY", "socks5://b")]);
        assert_eq!((way(&empty, FAR), empty.variables()), (b, vec!["ALL_PROXY"]));
        // In upper case it may come from a request to a CGI program.
        assert_eq!(plain_way(&environment(&[("HTTP_PROXY", "a:1")]), FAR), None);
        assert_eq!(plain_way(&environment(&[("http_proxy", "a:1")]), FAR), a);
        assert_eq!(environment(&[("NO_PROXY", "x")]), Proxies::default());
    }

    #[test]
    fn hosts_that_are_excepted_and_this_machine_are_reached_straight() {
        let proxies = environment(&[
            ("HTTPS_PROXY", "http://a:1"),
            ("NO_PROXY", "example.com, .corp.example,10.0.0.0/8,192.0.2.7,2001:db8::/32"),
        ]);
        for (host, proxied) in [
            (FAR, true),
            ("example.com", false),
            ("EXAMPLE.com", false),
            ("a.example.com", false),
            ("notexample.com", true),
            ("corp.example", false),
            ("a.b.corp.example", false),
            ("10.1.2.3", false),
            ("11.1.2.3", true),
            ("192.0.2.7", false),
            ("192.0.2.8", true),
            ("2001:db8::5", false),
            ("2001:db9::5", true),
            ("localhost", false),
            ("LOCALHOST.", false),
            ("127.9.9.9", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
        ] {
            assert_eq!(way(&proxies, host).is_some(), proxied, "{host}");
        }
        assert_eq!(proxies.variables(), ["HTTPS_PROXY", "NO_PROXY"]);
        let everywhere = environment(&[("ALL_PROXY", "http://a:1"), ("no_proxy", "*")]);
        assert_eq!((way(&everywhere, FAR), plain_way(&everywhere, FAR)), (None, None));
    }

    #[test]
    fn a_variable_that_cannot_be_used_is_left_and_told_without_its_secrets() {
        let proxies = environment(&[("HTTPS_PROXY", "https://me:s3cret@h:1"), ("ALL_PROXY", "http://a:1")]);
        assert_eq!(way(&proxies, FAR).as_deref(), Some("http://a:1"));
        let [warning] = proxies.warnings() else { panic!("{:?}", proxies.warnings()) };
        assert!(
            warning.starts_with("HTTPS_PROXY=https://***@h:1 of the environment is ignored: "),
            "{warning}"
        );
        let alone = environment(&[("ALL_PROXY", "ftp://me:s3cret@h:1")]);
        assert_eq!((way(&alone, FAR), alone.warnings().len(), alone.to_string()), (None, 1, String::new()));
    }

    #[test]
    fn credentials_reach_the_proxy_decoded_and_nobody_else() {
        let proxies = Proxies::parse("http://me:s3%2Fcr%40et@h:1").unwrap();
        let found = proxies.way_to(FAR, 443, true).unwrap().unwrap();
        // "me:s3/cr@et" in base64.
        assert_eq!(found.intercept.basic_auth().unwrap(), "Basic bWU6czMvY3JAZXQ=");
        let proxies = Proxies::parse("socks5h://m%3Ae:s3%2Fcr@et@h:1").unwrap();
        let found = proxies.way_to(FAR, 443, true).unwrap().unwrap();
        assert_eq!(found.intercept.raw_auth(), Some(("m:e", "s3/cr@et")));
        let shown = format!("{proxies} {proxies:?} {:?} {:?}", found.intercept, found.proxy);
        assert!(!shown.contains("s3") && !shown.contains("m:e"), "{shown}");
    }
}
