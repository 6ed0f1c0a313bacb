//! How a connection can fail or end, and, in one place, what is worth trying again.

use std::net::IpAddr;
use std::time::Duration;

use tokio_tungstenite::tungstenite;

use super::proxy::ProxyError;
use super::subscriptions::Method;

/// Why a session ended. Every one of these is expected in operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionEnd {
    /// We were asked to stop.
    #[error("stopped")]
    Stopped,
    /// The server said good-bye, or hung up (`code` is `None` then).
    #[error("{}", closed(*.code, .reason))]
    Closed {
        /// The close code, where a close frame came.
        code: Option<u16>,
        /// The server's words, escaped.
        reason: String,
    },
    /// No frame of any kind for `HEARTBEAT_TIMEOUT`.
    #[error("no frame for {0:?}")]
    HeartbeatTimeout(Duration),
    /// Nothing at all after our own ping.
    #[error("dead link: nothing came for {0:?} after a ping")]
    DeadLink(Duration),
    /// The link is alive, but no trade came for `HEARTBEAT_TIMEOUT`.
    #[error("no trade for {0:?} on a living link")]
    NoData(Duration),
    /// Somebody who can know said so: see [`Steering`](super::Steering).
    #[error("the market trades on, but nothing arrives over this connection")]
    Stale,
    /// Another connection has taken its place, or it could not take another one's.
    #[error("another connection carries on")]
    Replaced,
    /// The exchange did not answer a request, nor its repetition 10 s later.
    #[error("the exchange did not answer {} twice", .0.as_str())]
    Unanswered(Method),
    /// What the exchange lists is not what it was asked for, however often it was put right.
    #[error("the exchange's list of subscriptions stays wrong: {missing} missing, {excess} nobody asked for")]
    ListDiffers {
        /// Streams asked for that are not in it.
        missing: usize,
        /// Streams in it that nobody asked for.
        excess: usize,
    },
    /// The socket or the protocol failed.
    #[error("{0}")]
    Broken(#[source] Box<tungstenite::Error>),
}

fn closed(code: Option<u16>, reason: &str) -> String {
    match (code, reason) {
        (None, _) => "the server hung up without a close frame".into(),
        (Some(code), "") => code.to_string(),
        (Some(code), reason) => format!("{code} {reason}"),
    }
}

/// What is wrong with a message that the protocol obliges us to end the connection for (RFC 6455, 8.1 and 10.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreadable {
    /// Text that is not UTF-8.
    NotUtf8,
    /// More bytes than are taken.
    TooLong {
        /// Its size in bytes, as announced.
        size: usize,
        /// The most that is taken.
        limit: usize,
    },
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("text that is not UTF-8"),
            Self::TooLong { size, limit } => write!(f, "{size} bytes; at most {limit} are taken"),
        }
    }
}

/// Why a connection did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The host has no address.
    #[error("cannot resolve {host}: check the name, the network and the DNS server")]
    Resolve {
        /// The host.
        host: String,
        /// What the resolver said.
        #[source]
        cause: std::io::Error,
    },
    /// Only public addresses were to be reached, and the host has another.
    #[error("{host} is at {address}, which is this machine or in a private network")]
    NotPublic {
        /// The host.
        host: String,
        /// The first such address.
        address: IpAddr,
    },
    /// No address of the host takes a connection.
    #[error("cannot connect to {address}")]
    Tcp {
        /// The last address tried.
        address: String,
        /// What the system said.
        #[source]
        cause: std::io::Error,
    },
    /// A proxy lets nothing through. There is no direct attempt instead.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The certificate or the TLS protocol.
    #[error(
        "TLS with {host} failed: check the clock, a proxy in between, and the root certificates (--ca-file adds some)"
    )]
    Tls {
        /// The host.
        host: String,
        /// What TLS said.
        #[source]
        cause: std::io::Error,
    },
    /// The server answered the upgrade with a status other than 101.
    #[error("the server answered {status}{}", said(.body))]
    Status {
        /// The HTTP status.
        status: u16,
        /// `Retry-After`, clamped to 1 s … 3 days.
        retry_after: Option<Duration>,
        /// The first characters of the answer, escaped.
        body: String,
    },
    /// What answers is not a WebSocket server.
    #[error("the WebSocket handshake failed")]
    Handshake(#[source] Box<tungstenite::Error>),
    /// A stage took too long.
    #[error("{stage} took longer than {limit:?}")]
    Deadline {
        /// `DNS`, `TCP`, `TLS` or `the handshake`.
        stage: &'static str,
        /// How long it may take.
        limit: Duration,
    },
    /// No root certificates can be had; no `wss://` connection is possible.
    #[error("no usable TLS setup: {0}")]
    TlsSetup(String),
}

fn said(body: &str) -> String {
    if body.is_empty() { String::new() } else { format!(": {body}") }
}

/// The feed cannot go on, and trying again cannot cure it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// The exchange refuses us for a reason that stays.
    #[error("{url}: {cause}: {remedy}")]
    Refused {
        /// Where.
        url: String,
        /// What is wrong and what to do.
        remedy: &'static str,
        /// What it said.
        #[source]
        cause: Box<ConnectError>,
    },
    /// The URL cannot be asked for.
    #[error("{url} is not a URL that can be connected to")]
    BadUrl {
        /// Which.
        url: String,
        /// Why.
        #[source]
        cause: Box<tungstenite::Error>,
    },
}

/// Why a new connection did not take over from an old one, which goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandOverFailure {
    /// It did not come about.
    #[error(transparent)]
    Connect(ConnectError),
    /// It ended before it had shown that it brings everything.
    #[error("the new connection ended: {0}")]
    Ended(SessionEnd),
    /// The exchange did not confirm all its streams in time.
    #[error("the new connection did not have all its subscriptions within {0:?}")]
    NotSubscribed(Duration),
    /// It did not show in time that it brings everything.
    #[error("the new connection did not bring the same trades within {0:?}")]
    NoOverlap(Duration),
}

/// What to do after an attempt that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Wait by the backoff and try again.
    RetrySoon,
    /// The exchange asks for patience: wait at least this long.
    RetrySlowly(Duration),
    /// Trying again cannot help; the text says what to do. Where a connection has stood before, what is wrong
    /// may well be the exchange's passing trouble: then it is tried again, slowly.
    Refuse(&'static str),
}

/// The wait when the exchange asks for patience without saying how much.
pub const PATIENCE: Duration = Duration::from_secs(60);
const LONGEST_BAN: Duration = Duration::from_secs(3 * 24 * 3600);

impl ConnectError {
    /// The one place that decides what is worth trying again.
    pub fn verdict(&self) -> Verdict {
        let Self::Status { status, retry_after, .. } = self else {
            return match self {
                Self::TlsSetup(_) => Verdict::Refuse("install root certificates or set SSL_CERT_FILE"),
                Self::Proxy(error) => error.what.verdict(),
                _ => Verdict::RetrySoon,
            };
        };
        match status {
            400 => Verdict::Refuse("the path or a stream name is wrong; check --url and --symbol"),
            404 => Verdict::Refuse("this host or path is retired; check --url, or run without it"),
            451 => Verdict::Refuse(
                "the exchange does not serve this location; run where it does (spot market data is also at \
                 wss://data-stream.binance.vision)",
            ),
            403 | 418 | 429 => Verdict::RetrySlowly(retry_after.unwrap_or(PATIENCE)),
            _ => match retry_after {
                Some(patience) => Verdict::RetrySlowly(*patience),
                None => Verdict::RetrySoon,
            },
        }
    }
}

impl SessionEnd {
    /// The one place that decides what follows the end of a session, which is always another attempt: the least
    /// wait before it, or `None` where the backoff alone decides.
    pub fn patience(&self) -> Option<Duration> {
        // Policy violation: the exchange's answer to too many requests.
        matches!(self, Self::Closed { code: Some(1008), .. }).then_some(PATIENCE)
    }

    /// Nothing came any more, which another of the host's machines may cure.
    pub(crate) fn was_silent(&self) -> bool {
        matches!(self, Self::HeartbeatTimeout(_) | Self::DeadLink(_) | Self::NoData(_) | Self::Stale)
    }

    /// For a message that could not even be read as one: what is wrong with it.
    pub(crate) fn unreadable(&self) -> Option<Unreadable> {
        use tungstenite::error::CapacityError;
        let Self::Broken(error) = self else { return None };
        match &**error {
            tungstenite::Error::Utf8(_) => Some(Unreadable::NotUtf8),
            tungstenite::Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
                Some(Unreadable::TooLong { size: *size, limit: *max_size })
            }
            _ => None,
        }
    }
}

impl HandOverFailure {
    /// The least wait before the next try, where the exchange asks for one.
    pub fn patience(&self) -> Option<Duration> {
        match self {
            Self::Connect(error) => match error.verdict() {
                Verdict::RetrySlowly(patience) => Some(patience),
                Verdict::Refuse(_) => Some(PATIENCE),
                Verdict::RetrySoon => None,
            },
            Self::Ended(end) => end.patience(),
            Self::NotSubscribed(_) | Self::NoOverlap(_) => None,
        }
    }
}

/// `Retry-After` in seconds, clamped to 1 s … 3 days; anything else is as if it were not there.
pub fn retry_after(header: Option<&[u8]>) -> Option<Duration> {
    let text = std::str::from_utf8(header?).ok()?.trim();
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let seconds: u64 = text.parse().unwrap_or(u64::MAX);
    Some(Duration::from_secs(seconds).clamp(Duration::from_secs(1), LONGEST_BAN))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, header: Option<&str>) -> Verdict {
        let retry_after = retry_after(header.map(str::as_bytes));
        ConnectError::Status { status, retry_after, body: String::new() }.verdict()
    }

    #[test]
    fn a_status_that_cannot_be_cured_is_refused_with_what_to_do() {
        for code in [400, 404, 451] {
            assert!(
                matches!(status(code, Some("5")), Verdict::Refuse(remedy) if remedy.len() > 20),
                "{code}"
            );
        }
    }

    #[test]
    fn a_limit_is_obeyed_for_as_long_as_it_says() {
        let slowly = |seconds| Verdict::RetrySlowly(Duration::from_secs(seconds));
        assert_eq!(status(429, Some("7")), slowly(7));
        assert_eq!(status(418, None), slowly(60));
        assert_eq!(status(403, Some("0")), slowly(1));
        assert_eq!(status(429, Some("99999999999999999999")), slowly(259_200));
        assert_eq!(status(429, Some("Wed, 21 Oct 2026 07:28:00 GMT")), slowly(60));
        assert_eq!(status(503, Some("5")), slowly(5));
    }

    #[test]
    fn everything_else_is_tried_again_soon() {
        assert_eq!(status(503, None), Verdict::RetrySoon);
        assert_eq!(status(502, Some("-1")), Verdict::RetrySoon);
        let closed = |code| SessionEnd::Closed { code, reason: String::new() }.patience();
        assert_eq!(closed(None), None);
        assert_eq!(closed(Some(1001)), None);
        assert_eq!(closed(Some(1008)), Some(PATIENCE));
    }

    #[test]
    fn a_refusal_says_where_why_and_what_to_do_and_its_cause_adds_nothing_new() {
        let cause = ConnectError::Status { status: 404, retry_after: None, body: "gone".into() };
        let Verdict::Refuse(remedy) = cause.verdict() else { panic!("a 404 is refused") };
        let url = "wss://fstream.binance.com/ws".to_owned();
        let told = FeedError::Refused { url, remedy, cause: Box::new(cause) };
        let line = "wss://fstream.binance.com/ws: the server answered 404: gone: this host or path is retired; \
                    check --url, or run without it";
        assert_eq!(told.to_string(), line);
        assert_eq!(crate::report::events::chain(&told), line);
    }
}
