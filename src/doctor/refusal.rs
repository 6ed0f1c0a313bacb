//! What to do when a connection does not come about.

use std::io::{self, ErrorKind};

use rustls::CertificateError;

use crate::feed::failure::Verdict;
use crate::feed::{ConnectError, ProxyFailure};

pub(super) const NO_DNS: &str = "check the name and the DNS server (`getent hosts` asks the same); some providers block the exchange's names";
pub(super) const NO_TCP: &str =
    "check the network and the firewall; where a proxy is the only way out, name it with --proxy";

pub(super) const PROXY: &str =
    "check --proxy, or the variable HTTPS_PROXY or ALL_PROXY; --proxy none goes without one";

/// What to do about a failed attempt to connect.
pub(super) fn remedy(error: &ConnectError) -> String {
    match error {
        ConnectError::Resolve { .. } => NO_DNS.to_owned(),
        ConnectError::NotPublic { .. } => "name a host with a public address".to_owned(),
        ConnectError::Tcp { .. } => NO_TCP.to_owned(),
        ConnectError::Tls { cause, .. } => tls_remedy(cause).to_owned(),
        ConnectError::Status { status, .. } => status_remedy(*status, error.verdict()),
        ConnectError::Handshake(_) => {
            "what answers there does not speak WebSocket; check --url, and for a proxy or a login page in between"
                .to_owned()
        }
        ConnectError::Deadline { stage, .. } => {
            format!("{stage} is slow or swallowed; check the network, the firewall and a proxy in between")
        }
        ConnectError::Proxy(proxy) => match (&proxy.what, error.verdict()) {
            (_, Verdict::Refuse(remedy)) => remedy.to_owned(),
            (ProxyFailure::Forbidden { .. } | ProxyFailure::Beyond { .. }, _) => {
                "ask whoever runs the proxy to let the exchange's hosts through".to_owned()
            }
            _ => PROXY.to_owned(),
        },
        ConnectError::TlsSetup(_) => "install root certificates or set SSL_CERT_FILE".to_owned(),
    }
}

fn status_remedy(status: u16, verdict: Verdict) -> String {
    match (status, verdict) {
        (_, Verdict::Refuse(remedy)) => remedy.to_owned(),
        (429 | 418, Verdict::RetrySlowly(wait)) => format!(
            "too many connections from this address; wait {} s, and find out who else connects from it",
            wait.as_secs()
        ),
        (403, _) => "the exchange's firewall blocks this address; wait some minutes, or use another address"
            .to_owned(),
        (500.., _) => "the exchange has trouble of its own; try again in a minute".to_owned(),
        _ => "what answers there is not the exchange's stream; check --url".to_owned(),
    }
}

/// What to do about a TLS handshake that failed.
pub(super) fn tls_remedy(error: &io::Error) -> &'static str {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(fault)) => match fault {
            CertificateError::UnknownIssuer => {
                "no known authority has signed this certificate: where a proxy in between opens TLS, trust its root \
                 with --ca-file; else install ca-certificates"
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => {
                "check this machine's date; if it is right, somebody shows an old certificate"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the certificate is another host's: check --url, and for a login page or a proxy in between"
            }
            _ => "somebody shows a certificate that cannot be trusted: look for a proxy in between",
        },
        Some(_) => {
            "what answers there speaks another TLS, or none: check the port in --url, and for a proxy in between"
        }
        None if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
            "somebody in between cuts the connection when TLS begins: a firewall, or a proxy that must be named with \
             --proxy"
        }
        None => "check for a firewall or a proxy in between",
    }
}
