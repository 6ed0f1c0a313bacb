//! A shard's connections at a moment, and what connections were lost to.

use crate::feed::ShardId;
use crate::report::LinkStatus;
use crate::silence::Cause;
use crate::snapshot::Market;

/// The connections of a shard at a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkOverview {
    /// Which; people count from 1.
    pub shard: ShardId,
    /// Its market.
    pub market: Market,
    /// How many symbols it carries. A shard of none concerns nobody.
    pub symbols: usize,
    /// The state.
    pub status: LinkStatus,
    /// How long it has lasted, in seconds.
    pub seconds: f64,
    /// Why it is so, where there is something to say.
    pub cause: Option<Cause>,
    /// The age of the newest connection, in seconds; `None` while there is none.
    pub connected_s: Option<f64>,
    /// Connections that were lost and made again, by what ended them.
    pub reconnects: Reconnects,
    /// How long the last frame is ago, in seconds; `None` before the first.
    pub last_frame_s: Option<f64>,
}

impl LinkOverview {
    /// Whether its trades arrive, or it is known that nobody trades.
    pub fn is_well(&self) -> bool {
        match self.status {
            LinkStatus::Streaming => true,
            LinkStatus::Quiet => self.is_known_to_be_quiet(),
            LinkStatus::Connecting
            | LinkStatus::Connected
            | LinkStatus::Subscribed
            | LinkStatus::Stale
            | LinkStatus::Disconnected => false,
        }
    }

    /// REST confirms that nobody trades.
    fn is_known_to_be_quiet(&self) -> bool {
        matches!(&self.cause, Some(Cause::QuietMarket { .. } | Cause::NotTrading { .. }))
    }
}

/// What a connection was lost to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReconnectReason {
    /// No frame of any kind for the heartbeat timeout.
    HeartbeatTimeout,
    /// The link lived, but no trade came for the heartbeat timeout.
    NoData,
    /// The market traded on, and nothing of it arrived.
    Stale,
    /// The peer vanished without a word.
    DeadLink,
    /// The exchange closed it.
    Closed,
    /// The exchange would not give what was subscribed to.
    Refused,
    /// The socket or the protocol failed.
    Error,
}

impl ReconnectReason {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::HeartbeatTimeout,
        Self::NoData,
        Self::Stale,
        Self::DeadLink,
        Self::Closed,
        Self::Refused,
        Self::Error,
    ];

    /// The value of the label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HeartbeatTimeout => "heartbeat_timeout",
            Self::NoData => "no_data",
            Self::Stale => "stale",
            Self::DeadLink => "dead_link",
            Self::Closed => "closed",
            Self::Refused => "refused",
            Self::Error => "error",
        }
    }
}

/// How many connections were made again, by what ended the ones before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reconnects([u64; ReconnectReason::ALL.len()]);

impl Reconnects {
    /// One more.
    pub fn count(&mut self, reason: ReconnectReason) {
        self.0[reason as usize] += 1;
    }

    /// How many for this reason.
    pub fn of(&self, reason: ReconnectReason) -> u64 {
        self.0[reason as usize]
    }
}
