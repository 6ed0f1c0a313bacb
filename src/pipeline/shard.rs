//! A share of the lanes: those that the same connections bring.

use serde::{Deserialize, Serialize};

use super::lines::Lines;
use crate::snapshot::Market;

/// A share of the lanes, and the connections that bring it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Shard {
    /// The market that its frames belong to.
    pub(super) market: Market,
    /// Its connections.
    pub(super) lines: Lines,
    /// How often the holes or doubts of its lanes have changed.
    pub(super) changes: u64,
}

impl Shard {
    /// Without a connection yet.
    pub(super) fn of(market: Market) -> Self {
        Self { market, lines: Lines::default(), changes: 0 }
    }
}
