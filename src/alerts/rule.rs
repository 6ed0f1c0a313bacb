//! A rule: what it looks at, when it fires, when that is over, and who is told.

use std::time::Duration;

use super::kind::Kind;
use super::measure::Measure;
use crate::snapshot::Instrument;

/// The most rules, built-in ones included.
pub const MOST_RULES: usize = 64;

/// A rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its name, unique: `[a-z0-9_-]{1,40}`.
    pub name: String,
    /// What it looks at.
    pub on: Kind,
    /// Which symbols; empty: every one that is followed. Of symbols only.
    pub symbols: Vec<Instrument>,
    /// When it fires.
    pub bound: Bound,
    /// Where a value must come back to before it may fire again; on the calm side of the bound, or the bound itself.
    pub rearm: Measure,
    /// How long a value must be beyond the bound.
    pub hold: Duration,
    /// The window, where there is one.
    pub within: Duration,
    /// The least time between two firings over one symbol.
    pub cooldown: Duration,
    /// How bad it is.
    pub severity: Severity,
    /// Who is told.
    pub sinks: Sinks,
}

/// Where it begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// A greater value.
    Above(Measure),
    /// This value or a greater one.
    AtLeast(Measure),
    /// A lesser value.
    Below(Measure),
    /// A value farther from zero, to either side.
    Beyond(Measure),
}

impl Bound {
    /// The threshold.
    pub const fn threshold(self) -> Measure {
        match self {
            Self::Above(at) | Self::AtLeast(at) | Self::Below(at) | Self::Beyond(at) => at,
        }
    }

    /// Whether a value is on the other side.
    pub(super) fn is_crossed(self, value: Measure) -> bool {
        match self {
            Self::Above(at) => value > at,
            Self::AtLeast(at) => value >= at,
            Self::Below(at) => value < at,
            Self::Beyond(at) => value.magnitude() > at,
        }
    }

    /// Whether a value has come back to `rearm`. Never true of one that crosses the bound.
    pub(super) fn is_back(self, value: Measure, rearm: Measure) -> bool {
        !self.is_crossed(value)
            && match self {
                Self::Above(_) | Self::AtLeast(_) => value <= rearm,
                Self::Below(_) => value >= rearm,
                Self::Beyond(_) => value.magnitude() <= rearm,
            }
    }

    /// The word for a person: `above`, `at least`, `below` or `beyond`.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Above(_) => "above",
            Self::AtLeast(_) => "at least",
            Self::Below(_) => "below",
            Self::Beyond(_) => "beyond",
        }
    }
}

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth a look.
    Warning,
    /// A person is needed.
    Critical,
}

impl Severity {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// The word in the configuration and in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// Who can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sink {
    /// The diagnostics.
    Stderr,
    /// The webhook.
    Webhook,
    /// The command.
    Command,
}

impl Sink {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Stderr, Self::Webhook, Self::Command];

    /// The word in the configuration, and the value of the label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stderr => "stderr",
            Self::Webhook => "webhook",
            Self::Command => "command",
        }
    }
}

/// Some of those who can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sinks([bool; Sink::ALL.len()]);

impl Sinks {
    /// Everybody.
    pub const ALL: Self = Self([true; Sink::ALL.len()]);

    /// Whether this one is among them.
    pub const fn has(self, sink: Sink) -> bool {
        self.0[sink as usize]
    }

    /// With this one.
    #[must_use]
    pub const fn with(mut self, sink: Sink) -> Self {
        self.0[sink as usize] = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_value_on_the_bound_has_not_crossed_it_unless_that_is_asked_for() {
        let at = Measure::Count(3);
        assert!(!Bound::Above(at).is_crossed(at) && Bound::Above(at).is_back(at, at));
        assert!(Bound::AtLeast(at).is_crossed(at) && !Bound::AtLeast(at).is_back(at, at));
        assert!(Bound::Beyond(Measure::Number(3.0)).is_crossed(Measure::Number(-3.1)));
        assert!(!Bound::Beyond(Measure::Number(3.0)).is_back(Measure::Number(-2.6), Measure::Number(2.5)));
    }

    proptest! {
        #[test]
        fn nothing_is_beyond_the_bound_and_back_at_once(
            value in -9.0f64..9.0, at in -9.0f64..9.0, rearm in -9.0f64..9.0,
        ) {
            let [value, at, rearm] = [value, at, rearm].map(Measure::Number);
            for bound in [Bound::Above(at), Bound::AtLeast(at), Bound::Below(at), Bound::Beyond(at)] {
                prop_assert!(!(bound.is_crossed(value) && bound.is_back(value, rearm)), "{bound:?}");
            }
        }
    }
}
