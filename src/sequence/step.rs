//! What goes into a sequence and what comes out of it.

use serde::{Deserialize, Serialize};

use crate::snapshot::{GapCause, Stamp, TradeSource};
use crate::trade::AggTrade;
use crate::units::{IdRange, UnixMillis};

/// A trade as it came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// The trade.
    pub trade: AggTrade,
    /// Which way it came.
    pub source: TradeSource,
    /// When its bytes arrived; `None` where the source does not say.
    pub received: Option<Stamp>,
}

/// What comes out of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// The next trade in order.
    Trade(Arrival),
    /// A hole was found.
    Opened(Change),
    /// A hole was filled.
    Repaired(Change),
    /// Ids were given up; the next trade is the one behind them.
    Unrepaired(Change),
    /// What was held had to be discarded and joins the hole, which is [`Step::Opened`] anew.
    Discarded {
        /// How many trades.
        trades: u64,
    },
    /// An id came twice with different content.
    Conflict {
        /// The first content, which stays.
        kept: AggTrade,
        /// The other one.
        refused: AggTrade,
    },
    /// The exchange began to number anew: forget everything before the next trade.
    Reset,
}

/// What changed about a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which ids.
    pub ids: IdRange,
    /// How many of them have opened, come or been given up.
    pub trades: u64,
    /// Where they were lost.
    pub cause: GapCause,
    /// When the hole was found.
    pub opened_at: Option<Stamp>,
    /// When the last trade before it happened.
    pub after: UnixMillis,
    /// Answers of REST that brought some of it.
    pub pages: u32,
}

/// What a sequence counted since its beginning, over all epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SequenceCounts {
    /// Holes found.
    pub gaps: u64,
    /// Trades that came after their hole had been found.
    pub repaired: u64,
    /// Trades given up.
    pub missing: u64,
    /// Trades whose id was known.
    pub duplicates: u64,
    /// Those with different content.
    pub conflicts: u64,
    /// Trades whose id nothing confirmed.
    pub implausible: u64,
    /// New numberings.
    pub resets: u64,
}

impl SequenceCounts {
    /// The counts of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            gaps: self.gaps + other.gaps,
            repaired: self.repaired + other.repaired,
            missing: self.missing + other.missing,
            duplicates: self.duplicates + other.duplicates,
            conflicts: self.conflicts + other.conflicts,
            implausible: self.implausible + other.implausible,
            resets: self.resets + other.resets,
        }
    }
}
