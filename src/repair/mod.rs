//! Missing trades: what to ask REST for, how long to wait, when to give up. Everything but the HTTP client is
//! pure: time is an argument.
//!
//! The pipeline says which ids are missing ([`Hole`]); answers come back to it as [`Reply`], in order with the
//! frames, so that a recording of its inputs gives the same numbers again.

mod budget;
mod driver;
mod errands;
mod hole;
mod lane;
mod looks;
mod notice;
mod outcome;
mod plan;
mod pools;
mod progress;
pub mod rest;
mod shards;
#[cfg(test)]
mod stories;
mod tail;

use std::time::Duration;

use crate::snapshot::Stamp;
use crate::trade::AggTrade;
use crate::units::{AggTradeId, IdRange, Symbol, UnixMillis};

pub use budget::{CEILING_PERCENT, Kind, LONGEST_BAN, PROBE_PERCENT, SHORTEST_BAN, Until, WeightBudget};
pub use driver::Repair;
pub use hole::{PAGE_ROWS, PAUSES};
pub use lane::HOLES_PER_LANE;
pub use notice::Notice;
pub use outcome::Outcome;
pub use plan::{Planner, Step};
pub use pools::Repairs;
pub use tail::{Crowd, Tail, TailWatch, Urgency};

/// Ids of a lane that are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// Which.
    pub ids: IdRange,
    /// When the last known trade before them happened: where to look by time.
    pub after: UnixMillis,
}

/// What to ask REST's `aggTrades` for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The lane it is for.
    pub lane: usize,
    /// The lane's symbol.
    pub symbol: Symbol,
    /// Which trades.
    pub ask: Ask,
}

/// Which trades a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// From this id on, at most so many (1 to 1000).
    FromId {
        /// The first id, inclusive.
        from: AggTradeId,
        /// At most so many.
        limit: u32,
    },
    /// By time, both ends inclusive and less than an hour apart, at most so many, the oldest first.
    Window {
        /// From.
        start: UnixMillis,
        /// To.
        end: UnixMillis,
        /// At most so many.
        limit: u32,
    },
    /// The newest trade alone.
    Newest,
}

/// An answer, in order with the other inputs of the pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The lane it is for.
    pub lane: usize,
    /// When it came.
    pub at: Stamp,
    /// What it says.
    pub answer: Answer,
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Trades in ascending order of their ids; some may be known already.
    Trades(Vec<AggTrade>),
    /// The newest id the exchange has: everything up to it exists.
    Newest(AggTradeId),
    /// The same, asked for because of suspicious ids, which it confirms or denies; nothing else follows from it.
    Confirm(AggTradeId),
    /// These ids will not come any more.
    GaveUp {
        /// Which.
        ids: IdRange,
        /// Why.
        reason: GiveUpReason,
    },
}

/// Why ids were given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GiveUpReason {
    /// The time allowed for a repair was over.
    Deadline,
    /// REST refuses to answer.
    Refused,
}

impl GiveUpReason {
    /// `deadline` or `refused`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::Refused => "refused",
        }
    }
}

/// What REST brought for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Trades in ascending order of their ids.
    pub trades: Vec<AggTrade>,
    /// `X-MBX-USED-WEIGHT-1M`, where the exchange told it.
    pub used_weight: Option<u64>,
}

/// Why REST brought nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestError {
    /// 429 or 418: no request may be made for a while.
    #[error("REST answered {status}: too many requests{}", told(.message))]
    TooManyRequests {
        /// 429 or 418.
        status: u16,
        /// `Retry-After`, clamped to 1 s … 3 days.
        retry_after: Option<Duration>,
        /// The end of the ban, where the text says "banned until" and a stamp.
        banned_until: Option<UnixMillis>,
        /// `X-MBX-USED-WEIGHT-1M`, where the exchange told it.
        used_weight: Option<u64>,
        /// The exchange's words, escaped.
        message: String,
    },
    /// 451, 403, 404 and other answers that asking again will hardly change.
    #[error("REST answered {status}{}", told(.message))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The exchange's error code, where there is one.
        code: Option<i64>,
        /// The exchange's words, escaped.
        message: String,
    },
    /// Code −1000: ids older than 24 hours can only be found by time.
    #[error("REST knows ids of the last 24 hours only")]
    TooOldForIds,
    /// Anything that may pass: 5xx, a broken connection, a page that breaks off, a deadline.
    #[error("{0}")]
    Passing(String),
}

fn told(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}
