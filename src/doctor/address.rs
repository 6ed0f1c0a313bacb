//! From the host's name to an encrypted connection, stage by stage.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use futures_util::future::join_all;
use rustls::ProtocolVersion;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::certificate::Certificate;
use super::finding::{Check, Finding};
use super::refusal::{NO_DNS, NO_TCP, PROXY, remedy, tls_remedy};
use super::{DoctorLimits, Subject};
use crate::clock::wall;
use crate::config::Config;
use crate::feed::endpoint::{Endpoint, is_loopback};
use crate::feed::tls::{ExtraRoots, client_config_trusting};
use crate::feed::{ConnectError, Destination, Network};
use crate::repair::rest::RestBase;
use crate::report::events::chain;
use crate::text::escaped;

/// What lies between this machine and the exchange.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) findings: Vec<Finding>,
    /// Why no connection can be made.
    pub(super) obstacle: Option<String>,
}

/// More addresses than this are not tried.
const MOST_ADDRESSES: usize = 16;
/// A certificate that ends within so many days is worth a word.
const SHORT_LIFE_DAYS: i64 = 7;

const STAGES: [Check; 4] = [Check::Proxy, Check::Dns, Check::Tcp, Check::Tls];

/// Looks at every stage on the way to `endpoint`, up to the first that fails.
pub(super) async fn check(subject: &Subject, network: &Arc<dyn Network>, endpoint: &Endpoint) -> Address {
    if subject.network.is_some() {
        let why = "the network is another than the system's";
        let findings = STAGES.map(|check| Finding::skipped(check, why)).into();
        return Address { findings, obstacle: None };
    }
    let Subject { config, limits, .. } = subject;
    let Endpoint { host, port, tls, .. } = endpoint;
    let mut findings = Vec::with_capacity(STAGES.len());
    let passed = match config.proxies.way_to(host, *port, *tls) {
        Ok(None) => {
            findings.push(Finding::ok(Check::Proxy, no_proxy(config, endpoint)));
            direct(config, endpoint, limits, &mut findings).await
        }
        Ok(Some(way)) => proxied(endpoint, &way.proxy.to_string(), network, limits, &mut findings).await,
        Err(_) => {
            let said = format!("nobody can tell whether {host} is behind the proxy");
            findings.push(Finding::fail(Check::Proxy, said, "check the host in --url, or say --proxy none"));
            Err("the proxy cannot be told the host")
        }
    };
    for check in STAGES.into_iter().skip(findings.len()) {
        findings.push(Finding::skipped(check, passed.err().unwrap_or_default()));
    }
    Address { findings, obstacle: passed.err().map(str::to_owned) }
}

/// The stream goes straight; REST, or other hosts, may not.
fn no_proxy(config: &Config, endpoint: &Endpoint) -> String {
    let rest = config.rest_of(endpoint);
    let rest = rest.as_ref().map(RestBase::destination);
    let way = rest.and_then(|(host, port, tls)| config.proxies.way_to(host, port, tls).ok().flatten());
    let other = config.proxies.to_string();
    match way {
        Some(way) => format!("none for the stream; REST goes through {}", way.proxy),
        None if other.is_empty() || other == "none" => "none".to_owned(),
        None => format!("none for this host ({other} for others)"),
    }
}

/// Through a proxy, by the connector of a run, which says itself at which stage it fails.
async fn proxied(
    endpoint: &Endpoint,
    proxy: &str,
    network: &Arc<dyn Network>,
    limits: &DoctorLimits,
    findings: &mut Vec<Finding>,
) -> Result<(), &'static str> {
    let Endpoint { host, port, tls, .. } = endpoint;
    let limit = limits.tcp + limits.tls;
    let began = Instant::now();
    let dialing = network.dial(Destination { host, port: *port, tls: *tls, turn: 0 });
    let dialed = timeout(limit, dialing).await;
    let took = began.elapsed();
    let through = || Finding::ok(Check::Proxy, format!("{proxy} lets us through to {host}:{port}"));
    let left_to_it = [Check::Dns, Check::Tcp].map(|check| Finding::skipped(check, "left to the proxy"));
    match dialed {
        Ok(Ok(_stream)) => {
            findings.push(through());
            findings.extend(left_to_it);
            let said = || format!("handshake with {host} done through the proxy, all in {}", millis(took));
            findings
                .push(unencrypted(endpoint).unwrap_or_else(|| Finding::ok(Check::Tls, said()).took(took)));
            Ok(())
        }
        Ok(Err(
            error @ (ConnectError::Tls { .. }
            | ConnectError::TlsSetup(_)
            | ConnectError::Deadline { stage: "TLS", .. }),
        )) => {
            findings.push(through());
            findings.extend(left_to_it);
            findings.push(Finding::fail(Check::Tls, chain(&error), remedy(&error)));
            Err("TLS fails")
        }
        Ok(Err(error)) => {
            findings.push(Finding::fail(Check::Proxy, chain(&error), remedy(&error)));
            Err("the proxy lets nothing through")
        }
        Err(_elapsed) => {
            let said = format!("{proxy} opened no way to {host}:{port} within {}", millis(limit));
            findings.push(Finding::fail(Check::Proxy, said, PROXY));
            Err("the proxy lets nothing through")
        }
    }
}

/// Without a proxy.
async fn direct(
    config: &Config,
    endpoint: &Endpoint,
    limits: &DoctorLimits,
    findings: &mut Vec<Finding>,
) -> Result<(), &'static str> {
    let (addresses, finding) = dns(endpoint, limits.dns).await;
    findings.push(finding);
    if addresses.is_empty() {
        return Err("the name has no address");
    }
    let (connection, finding) = tcp(&addresses, limits.tcp).await;
    findings.push(finding);
    let connection = connection.ok_or("no address takes a connection")?;
    let (passed, finding) = tls(config, endpoint, connection, limits.tls).await;
    findings.push(finding);
    if passed { Ok(()) } else { Err("TLS fails") }
}

async fn dns(endpoint: &Endpoint, limit: Duration) -> (Vec<SocketAddr>, Finding) {
    let Endpoint { host, port, .. } = endpoint;
    if let Ok(address) = host.parse::<IpAddr>() {
        let said = format!("{address} is an address, no name to look up");
        return (vec![SocketAddr::new(address, *port)], Finding::ok(Check::Dns, said));
    }
    let began = Instant::now();
    let found = timeout(limit, tokio::net::lookup_host((host.as_str(), *port))).await;
    let took = began.elapsed();
    let fail = |said: String| (Vec::new(), Finding::fail(Check::Dns, said, NO_DNS).took(took));
    let mut addresses: Vec<SocketAddr> = match found {
        Ok(Ok(found)) => found.take(MOST_ADDRESSES).collect(),
        Ok(Err(error)) => return fail(format!("cannot resolve {host}: {}", chain(&error))),
        Err(_elapsed) => return fail(format!("no answer about {host} within {}", millis(limit))),
    };
    let mut seen = std::collections::HashSet::new();
    addresses.retain(|address| seen.insert(*address));
    if addresses.is_empty() {
        return fail(format!("{host} has no address"));
    }
    let count = counted(addresses.len(), "address", "addresses");
    let said = format!("{host} has {count} (took {})", millis(took));
    (addresses, Finding::ok(Check::Dns, said).took(took))
}

/// All addresses side by side, because a run begins with any of them.
async fn tcp(addresses: &[SocketAddr], limit: Duration) -> (Option<TcpStream>, Finding) {
    let attempts = addresses.iter().map(|address| async move {
        let began = Instant::now();
        let connected = match timeout(limit, TcpStream::connect(address)).await {
            Ok(connected) => connected,
            Err(_elapsed) => {
                Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {}", millis(limit))))
            }
        };
        (*address, connected, began.elapsed())
    });
    let mut open = Vec::new();
    let mut closed = Vec::new();
    for (address, connected, took) in join_all(attempts).await {
        match connected {
            Ok(stream) => open.push((took, address, stream)),
            Err(error) => closed.push((address, error)),
        }
    }
    open.sort_by_key(|(took, ..)| *took);
    let total = addresses.len();
    let Some((took, address, stream)) = open.into_iter().next() else {
        let (address, error) = &closed[0];
        let others = if total > 1 { format!(" (nor to the other {})", total - 1) } else { String::new() };
        let said = format!("cannot connect to {address}{others}: {}", chain(error));
        return (None, Finding::fail(Check::Tcp, said, NO_TCP));
    };
    // A machine without IPv6 is a matter of course, not a dead address.
    let unreachable = |(address, error): &&(SocketAddr, io::Error)| {
        let no_way = matches!(
            error.kind(),
            io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::AddrNotAvailable
        );
        address.is_ipv6() && no_way
    };
    let without_way = closed.iter().filter(unreachable).count();
    let dead: Vec<_> = closed.iter().filter(|closed| !unreachable(closed)).collect();
    let mut said = format!("{address} answers in {}", millis(took));
    if without_way > 0 {
        said.push_str(&format!(
            "; no way to {} from here",
            counted(without_way, "IPv6 address", "IPv6 addresses")
        ));
    }
    let finding = match dead.first() {
        None => Finding::ok(Check::Tcp, said),
        Some((first, error)) => {
            let dead = dead.len();
            let said = format!(
                "{said}, but {dead} of {total} addresses cannot be reached ({first}: {})",
                chain(error)
            );
            Finding::warn(
                Check::Tcp,
                said,
                "a run uses the others; a connection that begins with a dead one is slow",
            )
        }
    };
    (Some(stream), finding.took(took))
}

/// What is to be said of a connection without TLS.
fn unencrypted(endpoint: &Endpoint) -> Option<Finding> {
    let host = &endpoint.host;
    if endpoint.tls {
        return None;
    }
    Some(match is_loopback(host) {
        true => Finding::ok(Check::Tls, "not used: the stream of this machine is not encrypted"),
        false => Finding::warn(
            Check::Tls,
            format!("not used: whoever is between here and {host} can change the trades"),
            "use wss:// and leave --allow-plaintext out",
        ),
    })
}

/// Whether the way is free, and what TLS said.
async fn tls(config: &Config, endpoint: &Endpoint, tcp: TcpStream, limit: Duration) -> (bool, Finding) {
    let host = &endpoint.host;
    if let Some(finding) = unencrypted(endpoint) {
        return (true, finding);
    }
    let began = Instant::now();
    let failed = |said: String, remedy: String| (false, Finding::fail(Check::Tls, said, remedy));
    let roots = match config.ca_file.as_deref().map(ExtraRoots::from_file).transpose() {
        Ok(roots) => roots.unwrap_or_default(),
        Err(error) => return failed(chain(&error), "name a readable file with --ca-file".to_owned()),
    };
    let config = match client_config_trusting(&roots) {
        Ok(config) => config,
        Err(error) => return failed(chain(&error), remedy(&error)),
    };
    let name = match ServerName::try_from(host.clone()) {
        Ok(name) => name,
        Err(error) => return failed(chain(&error), "check the host in --url".to_owned()),
    };
    let stream = match timeout(limit, TlsConnector::from(config).connect(name, tcp)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return failed(format!("{host}: {}", chain(&error)), tls_remedy(&error).to_owned()),
        Err(_elapsed) => {
            let said = format!("{host} did not finish the handshake within {}", millis(limit));
            return failed(said, "check for a firewall or a proxy in between".to_owned());
        }
    };
    let took = began.elapsed();
    let (_, session) = stream.get_ref();
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS",
    };
    let certificate = session.peer_certificates().and_then(|all| Certificate::read(all.first()?));
    let mut said = format!("{version} with {host} in {}", millis(took));
    let mut days = None;
    if let Some(Certificate { not_after, issuer }) = certificate {
        let now = wall().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let left = (not_after - i64::try_from(now).unwrap_or(i64::MAX)) / 86_400;
        said.push_str(&format!("; certificate valid {left} days more"));
        if !issuer.is_empty() {
            said.push_str(&format!(", issued by {}", escaped(issuer.as_bytes())));
        }
        days = Some(left);
    }
    let finding = match days {
        Some(left) if left < SHORT_LIFE_DAYS => {
            Finding::warn(Check::Tls, said, "it ends soon; whose is it, if not the exchange's?")
        }
        _ => Finding::ok(Check::Tls, said),
    };
    (true, finding.took(took))
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// `0.4 ms`, `12 ms`, `1.3 s`.
pub(super) fn millis(time: Duration) -> String {
    match time.as_secs_f64() * 1e3 {
        ms if ms < 9.95 => format!("{ms:.1} ms"),
        ms if ms < 999.5 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1e3),
    }
}
