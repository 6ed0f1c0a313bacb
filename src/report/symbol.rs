//! A symbol that joins or ends while others are followed.

use crate::snapshot::{Instrument, LaneSummary, Market};
use crate::source::{Arrival, DepartureReason};
use crate::units::Symbol;

/// A symbol joins or ends while others are followed.
#[derive(Debug, Clone, Copy)]
pub enum SymbolRecord<'a> {
    /// It is followed from here on.
    Joined {
        /// What it is.
        instrument: &'a Instrument,
        /// Why.
        why: Arrival,
        /// Wall clock, milliseconds since 1970.
        at_ms: Option<i64>,
    },
    /// It is not followed any more.
    Ended {
        /// What it came to.
        summary: &'a LaneSummary,
        /// Why.
        why: DepartureReason,
        /// Wall clock, milliseconds since 1970.
        at_ms: Option<i64>,
    },
}

impl SymbolRecord<'_> {
    /// The market.
    pub fn market(&self) -> Market {
        match self {
            Self::Joined { instrument, .. } => instrument.market,
            Self::Ended { summary, .. } => summary.market,
        }
    }

    /// The symbol.
    pub fn symbol(&self) -> &Symbol {
        match self {
            Self::Joined { instrument, .. } => &instrument.symbol,
            Self::Ended { summary, .. } => &summary.symbol,
        }
    }

    /// `joined` or `ended`: the name in records.
    pub const fn event(&self) -> &'static str {
        match self {
            Self::Joined { .. } => "joined",
            Self::Ended { .. } => "ended",
        }
    }

    /// Why, as records call it.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Joined { why, .. } => why.as_str(),
            Self::Ended { why, .. } => why.as_str(),
        }
    }

    /// Wall clock, milliseconds since 1970.
    pub const fn at_ms(&self) -> Option<i64> {
        match self {
            Self::Joined { at_ms, .. } | Self::Ended { at_ms, .. } => *at_ms,
        }
    }
}
