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
mod pace;
mod place;
mod proxy;
mod session;
mod shards;
mod steering;
mod subscriptions;
mod timed;
pub mod tls;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use tokio_tungstenite::tungstenite::Utf8Bytes;

pub use backoff::ConnectionBudget;
pub use dial::SystemNetwork;
#[cfg(feature = "ops")]
pub(crate) use dial::is_public;
pub use failure::{ConnectError, FeedError, HandOverFailure, SessionEnd, Unreadable};
pub use live::{Live, LiveSettings};
pub use network::{ByteStream, Destination, Dialing, Network};
pub use pace::{BETWEEN_CONNECTIONS, ConnectionPace};
pub use place::Place;
pub(crate) use proxy::redact_proxy;
pub use proxy::{Proxies, ProxyError, ProxyFailure};
pub(crate) use session::stopped;
pub use steering::{Renewal, Steering};
pub use subscriptions::{Difference, Method};

use crate::snapshot::Stamp;
use endpoint::Endpoint;

/// A standing connection: one for each shard, or several when redundant. It outlives its sessions.
///
/// The number is that of its shard times [`COPIES`] and its own within the shard, so that with one shard lines are
/// numbered from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct LineId(pub u16);

/// A share of the symbols that one connection carries, or several side by side; counts from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct ShardId(pub u16);

/// The most lines of a shard.
pub const COPIES: u16 = 3;
/// The most shards of a process.
pub const MAX_SHARDS: usize = 256;

impl LineId {
    /// The line with that number (from 0, less than [`COPIES`]) of a shard.
    pub const fn of(shard: ShardId, copy: u8) -> Self {
        Self(shard.0.saturating_mul(COPIES).saturating_add(copy as u16))
    }

    /// The shard it belongs to.
    pub const fn shard(self) -> ShardId {
        ShardId(self.0 / COPIES)
    }

    /// Its number within the shard.
    pub const fn copy(self) -> u8 {
        (self.0 % COPIES) as u8
    }
}

/// What the lines of a shard are to carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardPlan {
    /// Which shard.
    pub shard: ShardId,
    /// Where to connect. The streams that its URL names need no subscription.
    pub endpoint: Endpoint,
    /// The names of all streams, such as `btcusdt@aggTrade`; each once.
    pub streams: Vec<String>,
}

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
        /// Which of several connections.
        line: Place,
        /// Not the first time.
        again: bool,
    },
    /// A session ended.
    Ended {
        /// How.
        end: &'a SessionEnd,
        /// The wait before the next attempt.
        wait: Duration,
        /// Which of several connections.
        line: Place,
    },
    /// A session ended while its successor was on its way, which goes on at once.
    EndedEarly {
        /// How.
        end: &'a SessionEnd,
        /// Which of several connections.
        line: Place,
    },
    /// A connection is to be replaced while it goes on.
    HandOverBegun {
        /// Which of several connections.
        line: Place,
        /// Why.
        why: Renewal,
        /// How old the connection is.
        age: Duration,
    },
    /// A new connection has taken over, and the old one is closed.
    HandedOver {
        /// Which of several connections.
        line: Place,
        /// How long both were there, and the attempt before.
        took: Duration,
    },
    /// A new connection could not take over; the old one goes on.
    HandOverFailed {
        /// Which of several connections.
        line: Place,
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
        /// Which of several connections.
        line: Place,
    },
    /// The exchange has confirmed, by its own list, that a connection carries every stream it should. Nothing is asked and
    /// nothing told where the address names them all.
    Subscribed {
        /// Which of several connections.
        line: Place,
        /// How many streams.
        streams: usize,
        /// How long it took, from when they were wanted.
        took: Duration,
    },
    /// The exchange refused a request.
    SubscriptionRefused {
        /// Which of several connections.
        line: Place,
        /// What was asked for.
        method: Method,
        /// The exchange's code.
        code: i64,
        /// The exchange's words, escaped.
        msg: String,
        /// What to do, where that is known.
        remedy: Option<&'static str>,
    },
    /// The exchange's list of a connection's streams is not what was asked for. It is put right, or
    /// [`FeedEvent::Ended`] follows.
    ListDiffers {
        /// Which of several connections.
        line: Place,
        /// By what.
        difference: &'a Difference,
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
