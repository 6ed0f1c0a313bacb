//! Processing times and latencies: what the `[STAT]` line says in milliseconds.

use std::time::Duration;

use crate::metrics::Histogram;

/// Times since the last `[STAT]` record, or over a whole run.
#[derive(Debug, Clone, Default)]
pub struct Timings {
    /// Processing times.
    pub processing: ProcessingTimes,
    /// Latencies in microseconds: our clock on arrival minus the exchange's `E`.
    pub latency: Histogram,
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

impl Timings {
    /// A trade arrived with this latency.
    pub fn latency_ms(&mut self, latency: f64) {
        self.latency.record((latency * 1e3) as i64, 1);
    }

    /// A quantile (0 to 1) of the latency in milliseconds.
    pub fn latency_quantile_ms(&self, q: f64) -> Option<f64> {
        self.latency.quantile(q).map(|us| us / 1e3)
    }

    /// Adds all of `other` and leaves it empty.
    pub fn absorb(&mut self, other: &mut Self) {
        self.processing.per_trade.absorb(&mut other.processing.per_trade);
        self.processing.total += std::mem::take(&mut other.processing.total);
        self.processing.trades += std::mem::take(&mut other.processing.trades);
        self.latency.absorb(&mut other.latency);
    }
}
