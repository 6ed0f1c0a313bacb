//! The built-in rules: what the original monitor warned of, trades that were given up, connections that bring nothing.

use std::time::Duration;

use super::kind::Kind;
use super::measure::Measure;
use super::rule::{Bound, Rule, Severity, Sinks};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// The built-in rules.
pub(super) fn rules() -> Vec<Rule> {
    // A connection that is replaced is well again within seconds, and backs off for a minute at most.
    let stale =
        Rule { bound: Bound::Above(Measure::Number(60.0)), ..rule("stale", Kind::Stale, Severity::Critical) };
    vec![
        rule("reconnects", Kind::Reconnects, Severity::Warning),
        rule("queue-dropped", Kind::QueueDropped, Severity::Warning),
        rule("parse-errors", Kind::ParseErrors, Severity::Warning),
        rule("latency", Kind::Latency, Severity::Warning),
        // Near the exchange the error of the clocks' offset is as large as the latency itself.
        Rule { cooldown: HOUR, ..rule("negative-latency", Kind::NegativeLatency, Severity::Info) },
        rule("missing", Kind::Missing, Severity::Critical),
        stale,
    ]
}

/// A rule with the usual threshold and window of its kind.
pub(super) fn rule(name: &str, on: Kind, severity: Severity) -> Rule {
    let (threshold, window) = on.usual();
    let threshold = threshold.unwrap_or(Measure::Number(0.0));
    Rule {
        name: name.to_owned(),
        on,
        symbols: Vec::new(),
        bound: Bound::Above(threshold),
        rearm: threshold,
        hold: Duration::ZERO,
        within: Duration::from_secs(window),
        cooldown: 5 * MINUTE,
        severity,
        sinks: Sinks::ALL,
    }
}
