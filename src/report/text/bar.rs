//! The line of a bar.

use std::time::SystemTime;

use super::{Or, at, moment_of, put, rfc3339};
use crate::bars::{BarSpec, ClosedBar};
use crate::report::scope::Name;

/// When the trade arrived that closed a bar; where that is not known, as in a file, when it happened; where none
/// closed it, when its last trade happened.
pub(crate) fn closing(closed: &ClosedBar<'_>) -> SystemTime {
    match (closed.received, closed.closed_by) {
        (Some(stamp), _) => at(stamp.wall_ns),
        (None, Some(trade)) => moment_of(trade.traded_at),
        (None, None) => moment_of(closed.bar.last_trade_at.unwrap_or(closed.bar.end)),
    }
}

pub(crate) fn bar(into: &mut Vec<u8>, name: Name<'_>, closed: &ClosedBar<'_>) {
    let ClosedBar { market, spec, bar, .. } = *closed;
    let start = match spec {
        // Whole seconds always.
        BarSpec::Time { .. } => rfc3339(moment_of(bar.start)).replace(".000Z", "Z"),
        _ => rfc3339(moment_of(bar.start)),
    };
    put(
        into,
        format_args!(
            "BAR {name} {spec} {start} | o={} h={} l={} c={} v={} delta={} cvd={} trades={} vwap={} | {}\n",
            bar.open,
            bar.high,
            bar.low,
            bar.close,
            bar.volume(),
            bar.delta(),
            bar.cvd_close(),
            bar.trades,
            Or(bar.vwap(market)),
            if bar.complete { "complete" } else { "incomplete" },
        ),
    );
}
