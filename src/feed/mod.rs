//! The feed: text and liveness. It keeps a connection standing and hands on what arrives; it knows nothing
//! of what a frame means.

pub mod backoff;
mod connect;
mod dial;
pub mod endpoint;
pub mod failure;
mod head;
mod line;
mod live;
pub mod liveness;
mod network;
mod proxy;
mod session;
mod steering;
mod timed;
pub mod tls;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use tokio_tungstenite::tungstenite::Utf8Bytes;

pub use backoff::ConnectionBudget;
pub use dial::SystemNetwork;
pub use failure::{ConnectError, FeedError, HandOverFailure, SessionEnd, Unreadable};
pub use live::{Live, LiveSettings};
pub use network::{ByteStream, Destination, Dialing, Network};
pub(crate) use proxy::redact_proxy;
pub use proxy::{Proxies, ProxyError, ProxyFailure};
pub(crate) use session::stopped;
pub use steering::{Renewal, Steering};

use crate::snapshot::Stamp;

/// A standing connection: one, or two when redundant. It outlives its sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct LineId(pub u8);

/// One life of a line, from handshake to end; counts up from 1 over the whole process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct SessionId(pub u64);

/// One text message as it arrived, and where it came from.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The line it came over.
    pub line: LineId,
    /// The session of that line.
    pub session: SessionId,
    /// Its number within the session, from 1.
    pub ordinal: u64,
    /// When its bytes were read from the socket; frames of one read share a stamp. `None` where a
    /// recording does not say.
    pub received: Option<Stamp>,
    /// The message, unread.
    pub text: Utf8Bytes,
}

/// What happened to a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkChange {
    /// The handshake is done.
    Opened,
    /// The session is over.
    Closed,
}

/// A change of a line, in order with its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkEvent {
    /// The line.
    pub line: LineId,
    /// Its session.
    pub session: SessionId,
    /// When.
    pub at: Stamp,
    /// What.
    pub change: LinkChange,
}

/// What the feed has to tell while it works.
#[derive(Debug)]
#[non_exhaustive]
pub enum FeedEvent<'a> {
    /// An attempt begins.
    Connecting {
        /// The URL, without credentials.
        url: &'a str,
    },
    /// The handshake is done.
    Connected {
        /// The URL, without credentials.
        url: &'a str,
        /// Which of several lines.
        line: Option<LineId>,
        /// Not the first time.
        again: bool,
    },
    /// A session ended.
    Ended {
        /// How.
        end: &'a SessionEnd,
        /// The wait before the next attempt.
        wait: Duration,
        /// Which of several lines.
        line: Option<LineId>,
    },
    /// A session ended while its successor was on its way, which goes on at once.
    EndedEarly {
        /// How.
        end: &'a SessionEnd,
        /// Which of several lines.
        line: Option<LineId>,
    },
    /// A connection is to be replaced while it goes on.
    HandOverBegun {
        /// Which of several lines.
        line: Option<LineId>,
        /// Why.
        why: Renewal,
        /// How old the connection is.
        age: Duration,
    },
    /// A new connection has taken over, and the old one is closed.
    HandedOver {
        /// Which of several lines.
        line: Option<LineId>,
        /// How long both were there, and the attempt before.
        took: Duration,
    },
    /// A new connection could not take over; the old one goes on.
    HandOverFailed {
        /// Which of several lines.
        line: Option<LineId>,
        /// What went wrong.
        what: &'a HandOverFailure,
        /// The pause before the next try.
        next_try: Duration,
    },
    /// An attempt failed.
    Failed {
        /// Why.
        error: &'a ConnectError,
        /// The wait before the next attempt.
        wait: Duration,
        /// What to do, where time alone is not likely to cure it: it would have ended the run, had there
        /// never been a connection.
        remedy: Option<&'static str>,
        /// Which of several lines.
        line: Option<LineId>,
    },
    /// A binary message came; the exchange sends none.
    Binary {
        /// Its length in bytes.
        length: usize,
        /// Its first characters, escaped.
        sample: String,
    },
    /// A message came that could not even be read as one. [`FeedEvent::Ended`] follows.
    Unreadable {
        /// What is wrong with it.
        reason: Unreadable,
    },
}

/// Hears what the feed has to tell. It is called between frames, so it must not block.
pub trait FeedObserver: Send + Sync {
    /// Something happened.
    fn on_event(&self, event: FeedEvent<'_>);
}

impl<F: Fn(FeedEvent<'_>) + Send + Sync> FeedObserver for F {
    fn on_event(&self, event: FeedEvent<'_>) {
        self(event);
    }
}
