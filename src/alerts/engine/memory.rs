//! The value of a rule: what a look shows, and what it takes of earlier ones.

use super::Seen;
use super::window::Window;
use crate::alerts::kind::Kind;
use crate::alerts::measure::Measure;
use crate::alerts::rule::Rule;
use crate::overview::{BOUNDS_US, LaneOverview, LinkOverview, Overview};
use crate::units::QtyDelta;

const BUCKETS: usize = BOUNDS_US.len() + 1;

/// What a rule remembers of earlier looks.
#[derive(Debug)]
pub(super) enum Memory {
    Nothing,
    Count(Window<u64>),
    /// Dropped messages, and all of them.
    Share(Window<(u64, u64)>),
    Buckets(Window<[u64; BUCKETS]>),
    /// CVD of an epoch.
    Cvd(u32, Window<QtyDelta>),
    /// Since when trades do not arrive, by the monotonic clock.
    Unwell(Option<u64>),
}

impl Memory {
    /// Of a rule that looks for the first time, at that moment.
    pub(super) fn of(rule: &Rule, at: u64) -> Self {
        match rule.on {
            Kind::Z | Kind::LargeTrade | Kind::Gap => Self::Nothing,
            Kind::Stale => Self::Unwell(None),
            Kind::CvdChange => Self::Cvd(0, Window::new(rule.within)),
            // An earlier run may have given up trades before this symbol is seen for the first time.
            Kind::Missing => Self::Count(Window::new(rule.within)),
            // These began with the run, at zero.
            Kind::Reconnects | Kind::ParseErrors | Kind::NegativeLatency => {
                Self::Count(Window::from(rule.within, at, 0))
            }
            Kind::QueueDropped => Self::Share(Window::from(rule.within, at, (0, 0))),
            Kind::Latency => Self::Buckets(Window::from(rule.within, at, [0; BUCKETS])),
        }
    }

    /// The value now; `None` where it is not known.
    pub(super) fn value(&mut self, rule: &Rule, seen: Seen<'_>, overview: &Overview) -> Option<Measure> {
        let at = overview.at.mono_ns;
        match (self, seen) {
            (Self::Nothing, Seen::Lane(lane)) => at_once(rule.on, lane),
            (Self::Cvd(epoch, window), Seen::Lane(lane)) => {
                // The sum of another epoch is another sum.
                if *epoch != lane.summary.coverage.epoch {
                    *epoch = lane.summary.coverage.epoch;
                    window.clear();
                }
                let cvd = lane.summary.reading.cvd;
                let before = window.before(at, cvd);
                let change = cvd.units().saturating_sub(before.units());
                Some(Measure::Quantity(QtyDelta::from_units(change)))
            }
            (Self::Count(window), seen) => {
                let count = count(rule.on, seen, overview)?;
                Some(Measure::Count(count.saturating_sub(window.before(at, count))))
            }
            (Self::Share(window), _) => {
                let now = (overview.metrics.queue_dropped, overview.metrics.total_messages);
                let before = window.before(at, now);
                let (dropped, all) = (now.0.saturating_sub(before.0), now.1.saturating_sub(before.1));
                // What is dropped may have come before the window.
                let share = if dropped == 0 { 0.0 } else { dropped as f64 / all.max(dropped) as f64 };
                Some(Measure::Number(share))
            }
            (Self::Buckets(window), _) => {
                let now = overview.latencies.network.counts;
                let before = window.before(at, now);
                let mut grown = [0; BUCKETS];
                for (grown, (now, before)) in grown.iter_mut().zip(now.iter().zip(before)) {
                    *grown = now.saturating_sub(before);
                }
                quantile(&grown, 0.95).map(Measure::Number)
            }
            (Self::Unwell(since), Seen::Shard(link)) => Some(Measure::Number(unwell_s(since, link, at))),
            (Self::Nothing | Self::Cvd(..) | Self::Unwell(_), _) => None,
        }
    }
}

/// What needs no memory.
fn at_once(on: Kind, lane: &LaneOverview) -> Option<Measure> {
    match on {
        Kind::Z => lane.summary.reading.z.map(Measure::Number),
        Kind::Gap => Some(Measure::Number(lane.repairing_s.unwrap_or(0.0))),
        Kind::LargeTrade => lane.largest.map(|largest| Measure::Worth(largest.notional)),
        _ => None,
    }
}

/// What has been counted since the beginning.
fn count(on: Kind, seen: Seen<'_>, overview: &Overview) -> Option<u64> {
    match (on, seen) {
        (Kind::Missing, Seen::Lane(lane)) => Some(lane.missing_trades),
        (Kind::Reconnects, _) => Some(overview.metrics.reconnect_count),
        (Kind::ParseErrors, _) => Some(overview.metrics.parse_errors),
        (Kind::NegativeLatency, _) => Some(overview.latencies.network.negative),
        _ => None,
    }
}

/// How long trades have not arrived, in seconds; 0 while they do.
fn unwell_s(since: &mut Option<u64>, link: &LinkOverview, at: u64) -> f64 {
    if link.is_well() {
        *since = None;
        return 0.0;
    }
    // Seen for the first time, the present state may have lasted for a while.
    let before = (link.seconds.max(0.0) * 1e9) as u64;
    let since = *since.get_or_insert(at.saturating_sub(before));
    at.saturating_sub(since) as f64 / 1e9
}

/// The value in seconds that a share of all does not exceed, as `histogram_quantile` of Prometheus tells it: evenly
/// spread within a bucket, of those beyond all bounds the last bound. `None` of nothing.
fn quantile(counts: &[u64; BUCKETS], share: f64) -> Option<f64> {
    let all: u64 = counts.iter().sum();
    if all == 0 {
        return None;
    }
    let rank = share * all as f64;
    let (mut below, mut lower) = (0u64, 0i64);
    for (count, upper) in counts.iter().zip(BOUNDS_US) {
        if *count > 0 && (below + count) as f64 >= rank {
            let part = (rank - below as f64).max(0.0) / *count as f64;
            return Some((lower as f64 + (upper - lower) as f64 * part) / 1e6);
        }
        below += count;
        lower = upper;
    }
    Some(lower as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_quantile_lies_within_its_bucket_as_prometheus_has_it() {
        let mut counts = [0; BUCKETS];
        assert_eq!(quantile(&counts, 0.95), None);
        counts[8] = 100;
        // 163.84 ms … 655.36 ms: 95 % of the way.
        let expected = (163_840.0 + 0.95 * (655_360.0 - 163_840.0)) / 1e6;
        assert!((quantile(&counts, 0.95).unwrap() - expected).abs() < 1e-12);
        counts[BUCKETS - 1] = 100;
        assert_eq!(quantile(&counts, 0.95), Some(41.943_04));
        counts = [0; BUCKETS];
        counts[0] = 4;
        assert_eq!(quantile(&counts, 0.5), Some(5e-6));
    }

    proptest! {
        #[test]
        fn a_greater_share_has_no_lesser_quantile(
            counts in prop::array::uniform13(0u64..50), one in 0.0f64..1.0, other in 0.0f64..1.0,
        ) {
            let (less, more) = (one.min(other), one.max(other));
            prop_assert!(quantile(&counts, less) <= quantile(&counts, more));
        }
    }
}
