//! Latencies in the buckets of a Prometheus histogram. They only ever grow, whatever is learned about the clocks.

use crate::metrics::Histogram;

/// The upper ends of the buckets, in microseconds: 10 µs and four times as much each, up to 42 s.
pub const BOUNDS_US: [i64; 12] =
    [10, 40, 160, 640, 2_560, 10_240, 40_960, 163_840, 655_360, 2_621_440, 10_485_760, 41_943_040];

/// How many durations fell into each bucket.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LatencyBuckets {
    /// Not cumulative; the last are those beyond all bounds. What is below zero is in the first.
    pub counts: [u64; BOUNDS_US.len() + 1],
    /// Of those in the first bucket, the ones below zero.
    pub negative: u64,
    /// The sum of all, in seconds; within 1 %.
    pub sum_s: f64,
}

/// Where the time from a trade to its record goes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Latencies {
    /// At the exchange: from the trade to its event.
    pub exchange: LatencyBuckets,
    /// On the network: from the event to its arrival here, corrected by what is known of the two clocks.
    pub network: LatencyBuckets,
    /// Here: from the arrival to the end of the burst.
    pub own: LatencyBuckets,
}

impl LatencyBuckets {
    /// What a histogram holds whose unit has so many microseconds.
    pub(crate) fn of(histogram: &Histogram, unit_us: i64) -> Self {
        let mut buckets = Self::default();
        for (value, times) in histogram.recorded() {
            let us = value * unit_us as f64;
            let at = BOUNDS_US.partition_point(|bound| (*bound as f64) < us);
            buckets.counts[at] += times;
            buckets.sum_s += us / 1e6 * times as f64;
            if value < 0.0 {
                buckets.negative += times;
            }
        }
        buckets
    }

    /// Adds what has come to `now` since `before`, which was the same histogram.
    pub(crate) fn grow(&mut self, before: &Self, now: &Self) {
        for (count, (before, now)) in self.counts.iter_mut().zip(before.counts.iter().zip(now.counts)) {
            *count += now.saturating_sub(*before);
        }
        self.negative += now.negative.saturating_sub(before.negative);
        self.sum_s += now.sum_s - before.sum_s;
    }

    /// How many there are in all.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

impl Latencies {
    /// Adds what has come to `now` since `before`.
    pub(crate) fn grow(&mut self, before: &Self, now: &Self) {
        self.exchange.grow(&before.exchange, &now.exchange);
        self.network.grow(&before.network, &now.network);
        self.own.grow(&before.own, &now.own);
    }
}
