//! Processing times and latencies: what the `[STAT]` line says in milliseconds.

use std::time::Duration;

use crate::clock::ClockOffset;
use crate::metrics::Histogram;
use crate::overview::{Latencies, LatencyBuckets};

/// Times since the last `[STAT]` record, or over a whole run: where the time from a trade to its record goes.
#[derive(Debug, Clone, Default)]
pub struct Timings {
    /// Processing times.
    pub processing: ProcessingTimes,
    /// At the exchange, in its own whole milliseconds: from the trade (`T`) to its event (`E`).
    pub exchange: Histogram,
    /// On the network, in microseconds: our clock on arrival minus the exchange's `E`, plus `clocks_us`.
    network: Histogram,
    /// Roughly what the two clocks differ by. Added before a latency is counted, because its error grows with it: 1 % of
    /// the hours that a clock is off would hide every latency.
    clocks_us: i64,
    /// Here, in microseconds: from the arrival of a burst's first frame to the end of the burst, for each of its trades.
    pub own: Histogram,
}

/// How long the processor takes per trade, in nanoseconds. Taken per burst and divided by its trades: one
/// clock read for each trade would cost more than the trade.
#[derive(Debug, Clone, Default)]
pub struct ProcessingTimes {
    per_trade: Histogram,
    total: Duration,
    trades: u64,
}

impl ProcessingTimes {
    /// A burst with so many trades took so long.
    pub fn record(&mut self, took: Duration, trades: u64) {
        if trades == 0 {
            return;
        }
        let each = took.as_nanos() / u128::from(trades);
        self.per_trade.record(i64::try_from(each).unwrap_or(i64::MAX), trades);
        self.total += took;
        self.trades += trades;
    }

    /// The mean in milliseconds.
    pub fn mean_ms(&self) -> Option<f64> {
        (self.trades > 0).then(|| self.total.as_secs_f64() * 1e3 / self.trades as f64)
    }

    /// A quantile (0 to 1) in milliseconds.
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        self.per_trade.quantile(q).map(|ns| ns / 1e6)
    }
}

/// Below this the error of a latency does not matter.
const ROUGHLY_US: u64 = 100_000;

impl Timings {
    /// A trade arrived with these latencies: at the exchange in milliseconds, on the network in microseconds.
    #[inline]
    pub fn arrived(&mut self, exchange_ms: i64, network_us: i64) {
        self.exchange.record(exchange_ms, 1);
        self.network.record(network_us.saturating_add(self.clocks_us), 1);
    }

    /// The clocks are known to differ by so much. What was counted before is less exact if that is news.
    pub fn clocks_differ(&mut self, clock: ClockOffset) {
        let known_us = (clock.offset_ms * 1e3) as i64;
        if known_us.abs_diff(self.clocks_us) > ROUGHLY_US {
            self.count_from(known_us);
        }
    }

    fn count_from(&mut self, clocks_us: i64) {
        if clocks_us != self.clocks_us {
            self.network.shift(clocks_us.saturating_sub(self.clocks_us));
            self.clocks_us = clocks_us;
        }
    }

    /// A burst with so many trades was done so long after its first frame had arrived.
    pub fn emitted(&mut self, after: Duration, trades: u64) {
        if trades > 0 {
            self.own.record(i64::try_from(after.as_micros()).unwrap_or(i64::MAX), trades);
        }
    }

    /// A quantile (0 to 1) of the latency at the exchange in milliseconds.
    pub fn exchange_quantile_ms(&self, q: f64) -> Option<f64> {
        self.exchange.quantile(q)
    }

    /// A quantile (0 to 1) of the latency on the network in milliseconds, by two clocks that may differ.
    pub fn latency_quantile_ms(&self, q: f64) -> Option<f64> {
        self.network.quantile(q).map(|us| (us - self.clocks_us as f64) / 1e3)
    }

    /// The same without what the two clocks differ by; `None` while that is not known.
    pub fn network_quantile_ms(&self, q: f64, clock: Option<ClockOffset>) -> Option<f64> {
        Some(self.latency_quantile_ms(q)? + clock?.offset_ms)
    }

    /// A quantile (0 to 1) of the time a trade spent here in milliseconds.
    pub fn own_quantile_ms(&self, q: f64) -> Option<f64> {
        self.own.quantile(q).map(|us| us / 1e3)
    }

    /// The latencies, bucket by bucket.
    pub(crate) fn buckets(&self) -> Latencies {
        Latencies {
            exchange: LatencyBuckets::of(&self.exchange, 1_000),
            network: LatencyBuckets::of(&self.network, 1),
            own: LatencyBuckets::of(&self.own, 1),
        }
    }

    /// Adds all of `other` and leaves it empty.
    pub fn absorb(&mut self, other: &mut Self) {
        self.processing.per_trade.absorb(&mut other.processing.per_trade);
        self.processing.total += std::mem::take(&mut other.processing.total);
        self.processing.trades += std::mem::take(&mut other.processing.trades);
        self.exchange.absorb(&mut other.exchange);
        self.count_from(other.clocks_us);
        self.network.absorb(&mut other.network);
        self.own.absorb(&mut other.own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(told: Option<f64>, expected: f64) {
        let told = told.expect("something was counted");
        assert!((told - expected).abs() <= 1.0, "{told} for {expected}");
    }

    #[test]
    fn the_way_of_a_trade_is_told_in_parts() {
        let mut timings = Timings::default();
        timings.arrived(7, 30_000);
        timings.arrived(9, 40_000);
        timings.emitted(Duration::from_micros(50), 2);
        timings.emitted(Duration::from_secs(9), 0);
        let clock = Some(ClockOffset { offset_ms: -12.0, error_ms: 1.0 });
        assert_eq!(timings.exchange_quantile_ms(1.0), Some(9.0));
        near(timings.latency_quantile_ms(0.5), 30.0);
        near(timings.network_quantile_ms(0.5, clock), 18.0);
        assert_eq!(timings.network_quantile_ms(0.5, None), None);
        assert_eq!(timings.own_quantile_ms(1.0), Some(0.05));
        assert_eq!(Timings::default().network_quantile_ms(0.5, clock), None);
    }

    #[test]
    fn a_clock_that_is_an_hour_off_does_not_blur_what_it_is_corrected_for() {
        const HOUR_US: i64 = 3_600_000_000;
        let clock = ClockOffset { offset_ms: 3_600_000.4, error_ms: 1.0 };
        let (mut whole, mut interval) = (Timings::default(), Timings::default());
        interval.clocks_differ(clock);
        for network_us in [40_000, 45_000, 50_000] {
            interval.arrived(0, network_us - HOUR_US);
        }
        // Not worth being counted anew for.
        interval.clocks_differ(ClockOffset { offset_ms: 3_600_050.0, ..clock });
        assert_eq!(interval.clocks_us, HOUR_US + 400);
        for _ in 0..2 {
            near(interval.network_quantile_ms(0.5, Some(clock)), 45.4);
            near(interval.latency_quantile_ms(0.5), 45.0 - 3_600_000.0);
            whole.absorb(&mut interval);
            std::mem::swap(&mut whole, &mut interval);
        }
        assert_eq!(whole.network.count(), 0);
        assert_eq!(whole.clocks_us, HOUR_US + 400, "the next interval begins with what is known");
    }

    #[test]
    fn what_was_counted_before_the_clocks_were_known_is_kept_as_well_as_it_can_be() {
        let mut timings = Timings::default();
        timings.arrived(0, -8_000_000);
        timings.clocks_differ(ClockOffset { offset_ms: 8_040.0, error_ms: 1.0 });
        timings.arrived(0, -8_000_000);
        let raw = timings.latency_quantile_ms(1.0).unwrap();
        assert!((raw + 8_000.0).abs() <= 80.0, "{raw}");
        assert_eq!(timings.network.count(), 2);
    }
}
