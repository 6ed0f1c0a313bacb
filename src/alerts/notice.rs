//! What is told.

use super::kind::Kind;
use super::measure::Measure;
use super::rule::{Severity, Sinks};
use crate::feed::ShardId;
use crate::snapshot::{Instrument, Market};
use crate::units::Symbol;

/// Something began, or is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// The name of the rule.
    pub rule: String,
    /// What it looks at.
    pub on: Kind,
    /// How bad it is.
    pub severity: Severity,
    /// Whether it began or is over.
    pub what: What,
    /// What it is about.
    pub subject: Subject,
    /// The value that began or ended it; `None` where what it is about is gone.
    pub value: Option<Measure>,
    /// The threshold of the rule.
    pub threshold: Measure,
    /// When, by our wall clock, in milliseconds since 1970.
    pub at_ms: i64,
    /// The same in a sentence: one line, nothing of it from outside but symbols.
    pub text: String,
    /// Who is to be told.
    pub sinks: Sinks,
}

/// Whether something began or is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It began; of what is momentary, it happened.
    Fired,
    /// It is over.
    Resolved,
}

impl What {
    /// `fired` or `resolved`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::Resolved => "resolved",
        }
    }
}

/// What a notice is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The run as a whole.
    Run,
    /// The connections of a shard.
    Shard(ShardId, Market),
    /// A symbol.
    Symbol(Instrument),
}

impl Notice {
    /// The symbol it is about.
    pub fn symbol(&self) -> Option<&Symbol> {
        match &self.subject {
            Subject::Symbol(instrument) => Some(&instrument.symbol),
            Subject::Run | Subject::Shard(..) => None,
        }
    }

    /// The market it is about.
    pub fn market(&self) -> Option<Market> {
        match &self.subject {
            Subject::Symbol(instrument) => Some(instrument.market),
            Subject::Shard(_, market) => Some(*market),
            Subject::Run => None,
        }
    }

    /// The shard it is about, as people count: from 1.
    pub fn shard(&self) -> Option<u32> {
        match &self.subject {
            Subject::Shard(shard, _) => Some(u32::from(shard.0) + 1),
            Subject::Run | Subject::Symbol(_) => None,
        }
    }
}
