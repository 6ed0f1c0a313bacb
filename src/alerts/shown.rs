//! Alerts among the diagnostics.

use std::time::Duration;

use tokio::time::Instant;

use super::counts::Outcome;
use super::notice::{Notice, What};
use super::rule::{Severity, Sink};
use crate::text::one_line;

/// Alerts that are shown in a second; of an outage of all symbols the others are counted.
const PER_SECOND: u32 = 64;
const SECOND: Duration = Duration::from_secs(1);

/// What was shown in the present second.
#[derive(Debug, Default)]
pub(super) struct Shown {
    since: Option<Instant>,
    shown: u32,
    /// By sink.
    left_out: [u64; Sink::ALL.len()],
}

/// One event for each level: a level is part of the place in the code.
macro_rules! event {
    ($level:ident, $name:literal, $notice:expr) => {{
        let notice: &Notice = $notice;
        tracing::$level!(
            event = $name,
            rule = notice.rule,
            severity = notice.severity.as_str(),
            symbol = notice.symbol().map(|symbol| symbol.as_str()),
            market = notice.market().map(|market| market.as_str()),
            value = notice.value.map(|value| tracing::field::display(value)),
            threshold = %notice.threshold,
            "{}",
            one_line(&notice.text)
        )
    }};
}

impl Shown {
    /// Shows it, unless too many were in this second.
    pub(super) fn show(&mut self, notice: &Notice) -> Outcome {
        let now = Instant::now();
        if self.since.is_none_or(|since| now.duration_since(since) >= SECOND) {
            (self.since, self.shown) = (Some(now), 0);
        }
        if self.shown >= PER_SECOND {
            self.leave_out(Sink::Stderr);
            return Outcome::Dropped;
        }
        self.shown += 1;
        match (notice.what, notice.severity) {
            (What::Resolved, _) => event!(info, "alert_resolved", notice),
            (What::Fired, Severity::Info) => event!(info, "alert", notice),
            (What::Fired, Severity::Warning) => event!(warn, "alert", notice),
            (What::Fired, Severity::Critical) => event!(error, "alert", notice),
        }
        Outcome::Ok
    }

    /// One more that was too many.
    pub(super) fn leave_out(&mut self, sink: Sink) {
        self.left_out[sink as usize] += 1;
    }

    /// Tells how many were left out, if any were.
    pub(super) fn tick(&mut self) {
        for (sink, left_out) in Sink::ALL.into_iter().zip(std::mem::take(&mut self.left_out)) {
            if left_out > 0 {
                tracing::warn!(
                    event = "alerts_suppressed",
                    sink = sink.as_str(),
                    alerts = left_out,
                    "{left_out} alerts too many at once for {}: not told",
                    sink.as_str()
                );
            }
        }
    }
}
