//! What may be wrong with a selection, in words.

use std::collections::BTreeMap;
use std::fmt;

use super::selector::Selector;
use crate::feed::MAX_SHARDS;
use crate::pipeline::MAX_LANES;
use crate::snapshot::{Instrument, Market};

/// Wrong names beyond these are counted and not named.
const MOST_NAMED: usize = 20;

/// What is wrong with a selection, or with following it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The exchange does not list a name.
    Unknown {
        /// The name.
        instrument: Instrument,
        /// Up to three that may have been meant, the likeliest first.
        did_you_mean: Vec<Instrument>,
    },
    /// A name is listed, but cannot be traded now. It is followed: it may trade again.
    NotTrading {
        /// The name.
        instrument: Instrument,
        /// The exchange's word for it, escaped.
        status: String,
    },
    /// A pattern takes nothing.
    MatchesNothing {
        /// The pattern.
        selector: Selector,
        /// What it would take otherwise.
        left_out: LeftOut,
    },
    /// What a market lists is not known yet, so its patterns have to wait for that.
    NotListedYet {
        /// The market.
        market: Market,
    },
    /// An exclusion excludes nothing of what is wanted.
    ExcludesNothing {
        /// The exclusion.
        selector: Selector,
    },
    /// What is to be shown is nothing of what is followed.
    ShowsNothing {
        /// What is to be shown.
        selector: Selector,
    },
    /// Nothing is left to follow.
    NothingLeft,
    /// More instruments than can be followed.
    TooMany {
        /// How many.
        instruments: usize,
    },
    /// More connections than there may be.
    TooManyShards {
        /// How many instruments.
        instruments: usize,
        /// How many of them a connection may carry.
        streams_per_connection: usize,
        /// How many connections that would take.
        shards: usize,
    },
    /// There are as many connections as there may be, and all are full.
    NoRoom {
        /// How many instruments found no place.
        instruments: usize,
    },
    /// Something of a market that this run cannot reach.
    NoAddress {
        /// The market.
        market: Market,
    },
    /// An address that names its streams carries those and no others.
    FixedAddress {
        /// Its market.
        market: Market,
    },
}

/// What a pattern matches and does not take, in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeftOut {
    /// Contracts of types that are not taken, by the word that takes them.
    pub contracts: BTreeMap<&'static str, usize>,
    /// What cannot be traded now.
    pub not_trading: usize,
    /// What is excluded.
    pub excluded: usize,
}

impl Problem {
    /// Whether a run cannot begin with it.
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::NotTrading { .. }
            | Self::NotListedYet { .. }
            | Self::ExcludesNothing { .. }
            | Self::ShowsNothing { .. } => false,
            Self::Unknown { .. }
            | Self::MatchesNothing { .. }
            | Self::NothingLeft
            | Self::TooMany { .. }
            | Self::TooManyShards { .. }
            | Self::NoRoom { .. }
            | Self::NoAddress { .. }
            | Self::FixedAddress { .. } => true,
        }
    }

    /// The ones for which a run cannot begin, in one line; `None` if there are none. Wrong names beyond the first 20
    /// are counted.
    pub fn fault(problems: &[Self]) -> Option<String> {
        let is_unknown = |problem: &&Self| matches!(problem, Self::Unknown { .. });
        let unknown: Vec<_> = problems.iter().filter(is_unknown).collect();
        let is_other = |problem: &&Self| {
            problem.is_fatal() && !is_unknown(problem) && !matches!(problem, Self::NothingLeft)
        };
        let mut told: Vec<_> = unknown.iter().take(MOST_NAMED).map(ToString::to_string).collect();
        match unknown.len().saturating_sub(MOST_NAMED) {
            0 => {}
            more => told.push(format!("and {more} more that it does not list")),
        }
        told.extend(problems.iter().filter(is_other).take(MOST_NAMED).map(ToString::to_string));
        // What is left of a wrong name is nothing, which is no news.
        if told.is_empty() && problems.contains(&Self::NothingLeft) {
            told.push(Self::NothingLeft.to_string());
        }
        (!told.is_empty()).then(|| told.join("; "))
    }
}

impl fmt::Display for Problem {
    /// One line in lower case: the situation and what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { instrument, did_you_mean } => {
                write!(f, "the exchange lists no {} on {}", instrument.symbol, instrument.market)?;
                for (at, meant) in did_you_mean.iter().enumerate() {
                    f.write_str(if at == 0 { "; did you mean " } else { " or " })?;
                    if meant.market == instrument.market {
                        write!(f, "{}", meant.symbol)?;
                    } else {
                        write!(f, "{meant}")?;
                    }
                }
                f.write_str(if did_you_mean.is_empty() { "" } else { "?" })
            }
            Self::NotTrading { instrument, status } => {
                write!(f, "{instrument} cannot be traded now: the exchange's status of it is {status}")
            }
            Self::MatchesNothing { selector, left_out } => {
                write!(f, "{selector} matches nothing that trades{left_out}")
            }
            Self::NotListedYet { market } => {
                write!(
                    f,
                    "what {market} lists is not known yet: what patterns mean there joins when the list comes"
                )
            }
            Self::ExcludesNothing { selector } => {
                write!(
                    f,
                    "the exclusion of {selector} leaves nothing out of what is wanted: check its market and its letters, or drop it"
                )
            }
            Self::ShowsNothing { selector } => {
                write!(f, "--only {selector} shows nothing: no symbol that is followed matches it")
            }
            Self::NothingLeft => f.write_str("nothing is left to follow: name symbols, or exclude fewer"),
            Self::TooMany { instruments } => write!(
                f,
                "{instruments} symbols are wanted and at most {MAX_LANES} can be followed: leave some out with --exclude, \
                 or write narrower patterns"
            ),
            Self::TooManyShards { instruments, streams_per_connection, shards } => write!(
                f,
                "{instruments} symbols at {streams_per_connection} a connection need {shards} connections, and there \
                 may be {MAX_SHARDS}: raise --streams-per-connection, or leave some out with --exclude"
            ),
            Self::NoRoom { instruments } => write!(
                f,
                "{instruments} symbols found no connection, because all {MAX_SHARDS} are full: raise \
                 --streams-per-connection, or leave some out with --exclude"
            ),
            Self::NoAddress { market } => {
                write!(
                    f,
                    "nothing of {market} can join while this runs, because nothing of it was wanted at its start: restart it"
                )
            }
            Self::FixedAddress { market } => write!(
                f,
                "the address of {market} names its streams, so nothing joins or leaves there: give one without streams with \
                 --url"
            ),
        }
    }
}

impl fmt::Display for LeftOut {
    /// Begins with a colon; empty if nothing was left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = ": ";
        for (word, count) in &self.contracts {
            write!(f, "{before}{count} would with --contracts {word}")?;
            before = ", ";
        }
        if self.not_trading > 0 {
            write!(f, "{before}{} cannot be traded now", self.not_trading)?;
            before = ", ";
        }
        if self.excluded > 0 {
            write!(f, "{before}{} are excluded", self.excluded)?;
        }
        Ok(())
    }
}
