//! Is it well, right now? Pure: what the run looks like in, a judgement with its reasons out.

use super::{LinkOverview, Overview};
use crate::report::LinkStatus;
use crate::silence::Cause;
use crate::snapshot::{Instrument, Market};

/// A hole that has been waited for longer than this, in seconds, is a fault.
pub const REPAIRING_TOO_LONG_S: f64 = 30.0;
/// A run that has not been looked at for longer than this, in seconds, is stuck: it is looked at every second.
pub const STUCK_AFTER_S: f64 = 10.0;
/// So long, in seconds, that it is not alive.
pub const DEAD_AFTER_S: f64 = 60.0;
/// Reasons that are told; the others are counted.
pub const REASONS: usize = 50;

/// How a run does.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    /// Why its numbers cannot be relied on now; none if they can. At most [`REASONS`].
    pub reasons: Vec<Reason>,
    /// Reasons beyond those.
    pub more: u64,
    /// Symbols whose present epoch lacks trades that were given up: an old hole, which no restart mends.
    pub degraded_symbols: u64,
    /// The trades that these lack.
    pub missing_trades: u64,
    /// Symbols that are followed.
    pub symbols: u64,
}

/// Why the numbers cannot be relied on now.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// Nothing has been looked at yet.
    Starting,
    /// The run has not come round for so many seconds: the reader of its output is blocked, or it hangs.
    Stuck {
        /// Since when, in seconds.
        seconds: f64,
    },
    /// The run is ending.
    Ending,
    /// No symbol is followed.
    NothingFollowed,
    /// The trades of a share of the symbols do not arrive, or may not.
    Link {
        /// Its state, `streaming` never.
        link: LinkOverview,
        /// Whether it is one of several.
        is_one_of_several: bool,
    },
    /// The market trades on, but nothing of this symbol arrives while others do.
    NotDelivered {
        /// The symbol.
        instrument: Instrument,
    },
    /// A hole is waited for for too long: the numbers of this symbol stand still.
    Repairing {
        /// The symbol.
        instrument: Instrument,
        /// Since when, in seconds.
        seconds: f64,
    },
}

/// How a run does, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every number can be relied on, and is whole.
    Ready,
    /// Every number can be relied on, but some lack trades that were given up.
    Degraded,
    /// Some cannot be relied on now.
    NotReady,
}

impl Verdict {
    /// `ready`, `degraded` or `not_ready`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::NotReady => "not_ready",
        }
    }
}

impl Reason {
    /// The word for programs: `starting`, `stuck`, `ending`, `nothing_followed`, `not_delivered`, `repairing`, or the state of the
    /// connection.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Stuck { .. } => "stuck",
            Self::Ending => "ending",
            Self::NothingFollowed => "nothing_followed",
            Self::Link { link, .. } => link.status.as_str(),
            Self::NotDelivered { .. } => "not_delivered",
            Self::Repairing { .. } => "repairing",
        }
    }

    /// Which market it concerns, if not all.
    pub const fn market(&self) -> Option<Market> {
        match self {
            Self::Link { link, .. } => Some(link.market),
            Self::NotDelivered { instrument } | Self::Repairing { instrument, .. } => Some(instrument.market),
            Self::Starting | Self::Stuck { .. } | Self::Ending | Self::NothingFollowed => None,
        }
    }

    /// What is the matter and what to do, in a sentence.
    pub fn detail(&self) -> String {
        match self {
            Self::Starting => "the run has just begun".to_owned(),
            Self::Stuck { seconds } => format!(
                "the monitor has not come round for {seconds:.0} s: is the reader of its output blocked? The log tells"
            ),
            Self::Ending => "the run is ending".to_owned(),
            Self::NothingFollowed => "no symbol is followed: look at the symbols file".to_owned(),
            Self::Link { link, .. } => match &link.cause {
                Some(cause) => cause.to_string(),
                None => match link.status {
                    LinkStatus::Connecting => "no connection yet".to_owned(),
                    LinkStatus::Connected => "the subscription is not acknowledged yet".to_owned(),
                    LinkStatus::Subscribed => "no trade has come over this connection yet".to_owned(),
                    _ => format!("for {:.0} s", link.seconds),
                },
            },
            Self::NotDelivered { instrument } => {
                format!("{instrument} trades at the exchange, but nothing of it arrives while others do")
            }
            Self::Repairing { instrument, seconds } => format!(
                "{instrument} has waited for missing trades for {seconds:.0} s, so its numbers stand still; the log tells \
                 why REST does not bring them"
            ),
        }
    }
}

impl Health {
    /// Of a run that looked like this so many seconds ago; `None` before the first look.
    pub fn of(overview: Option<&Overview>, age_s: f64) -> Self {
        let Some(overview) = overview else { return Self::starting() };
        let mut reasons = Vec::new();
        if age_s > STUCK_AFTER_S {
            reasons.push(Reason::Stuck { seconds: age_s });
        }
        if overview.is_last {
            reasons.push(Reason::Ending);
        }
        if overview.lanes.is_empty() {
            reasons.push(Reason::NothingFollowed);
        }
        let carrying = || overview.links.iter().filter(|link| link.symbols > 0);
        let is_one_of_several = carrying().count() > 1;
        let down = carrying().filter(|link| is_fault(link));
        reasons.extend(down.map(|link| Reason::Link { link: link.clone(), is_one_of_several }));
        for lane in &overview.lanes {
            if lane.is_undelivered {
                reasons.push(Reason::NotDelivered { instrument: lane.instrument() });
            }
            if let Some(seconds) = lane.repairing_s.filter(|seconds| *seconds > REPAIRING_TOO_LONG_S) {
                reasons.push(Reason::Repairing { instrument: lane.instrument(), seconds });
            }
        }
        let more = reasons.len().saturating_sub(REASONS) as u64;
        reasons.truncate(REASONS);
        let missing = overview.lanes.iter().map(|lane| lane.summary.coverage.missing_trades);
        let (degraded_symbols, missing_trades) =
            missing.filter(|missing| *missing > 0).fold((0, 0), |(n, sum), missing| (n + 1, sum + missing));
        let symbols = overview.lanes.len() as u64;
        Self { reasons, more, degraded_symbols, missing_trades, symbols }
    }

    fn starting() -> Self {
        let reasons = vec![Reason::Starting];
        Self { reasons, more: 0, degraded_symbols: 0, missing_trades: 0, symbols: 0 }
    }

    /// In a word.
    pub fn verdict(&self) -> Verdict {
        match (self.reasons.as_slice(), self.degraded_symbols) {
            ([], 0) => Verdict::Ready,
            ([], _) => Verdict::Degraded,
            _ => Verdict::NotReady,
        }
    }
}

/// Whether the trades of this share of the symbols do not arrive, or may not. A market that is known to be quiet, and a
/// pause that is shorter than it takes to find out, are none.
fn is_fault(link: &LinkOverview) -> bool {
    match (link.status, &link.cause) {
        (LinkStatus::Streaming, _) => false,
        (LinkStatus::Quiet, None | Some(Cause::QuietMarket { .. } | Cause::NotTrading { .. })) => false,
        (LinkStatus::Quiet, _) => true,
        (
            LinkStatus::Connecting
            | LinkStatus::Connected
            | LinkStatus::Subscribed
            | LinkStatus::Stale
            | LinkStatus::Disconnected,
            _,
        ) => true,
    }
}

#[cfg(test)]
mod tests;
