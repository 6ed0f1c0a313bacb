//! How long trades are on their way: from the write of the practice exchange to the listener of the library.
//!
//! `examples/market_server --stamps` writes the time of each write where raw trade ids would be; both run on
//! one machine and so by one clock. `cargo run --release --example latency -- low --url … --count 100000` takes a mode of
//! `--latency` and then what `cvd-stream` takes, and prints quantiles in microseconds as one line of JSON.

use std::sync::{Arc, Mutex};

use cvd_stream::app::{App, runtime};
use cvd_stream::cli;
use cvd_stream::clock::Clock;
use cvd_stream::config::LatencyMode;
use cvd_stream::latency::block_on;
use serde_json::json;

/// Stamps are this and what remains of the time when it is divided by it.
const STAMP: i64 = 100_000_000_000_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [mode, flags @ ..] = &words[..] else {
        return Err("usage: latency default|low|eco FLAGS OF CVD-STREAM".into());
    };
    let mode =
        LatencyMode::ALL.into_iter().find(|known| known.as_str() == mode).ok_or("default, low or eco")?;
    let flags = ["cvd-stream".to_owned()].into_iter().chain(flags.iter().cloned()).map(Into::into);
    let here = std::env::current_dir()?;
    let invocation =
        cli::parse(flags, std::iter::empty(), &here).map_err(|_| "not the flags of cvd-stream")?;

    let histogram = Arc::new(Mutex::new(Histogram::default()));
    let (into, clock) = (Arc::clone(&histogram), Clock::system());
    let app = App::new(invocation.resolved.config).write_to(std::io::sink())?.on_trade(move |snapshot| {
        let written_ns = snapshot.trade.first_trade_id;
        if let (now, Ok(mut histogram)) = (clock.now().wall_ns, into.lock()) {
            histogram.add((now - written_ns).rem_euclid(STAMP).unsigned_abs());
        }
    });
    let runtime = runtime(mode)?;
    let summary = block_on(&runtime, app.run(std::future::pending()))?;
    runtime.shutdown_background();

    let metrics = summary.metrics;
    let histogram = histogram.lock().map_err(|_| "the listener panicked")?;
    let us = |q| histogram.quantile_ns(q) as f64 / 1e3;
    let lost = metrics.queue_dropped + metrics.parse_errors;
    println!(
        "{}",
        json!({
            "mode": mode.as_str(), "trades": metrics.applied_trades, "lost": lost,
            "p50": us(0.5), "p90": us(0.9), "p99": us(0.99), "p999": us(0.999), "max": us(1.0),
        })
    );
    Ok(())
}

/// Nanoseconds in steps of less than one percent.
struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; 64 << Self::FINE], total: 0 }
    }
}

impl Histogram {
    /// Each power of two is cut into `2^FINE` steps.
    const FINE: u32 = 7;

    fn add(&mut self, ns: u64) {
        let shift = (u64::BITS - ns.leading_zeros()).saturating_sub(Self::FINE + 1);
        let step = (shift << Self::FINE) as usize + (ns >> shift) as usize;
        self.counts[step] += 1;
        self.total += 1;
    }

    fn quantile_ns(&self, q: f64) -> u64 {
        let rank = (self.total as f64 * q).ceil() as u64;
        let mut seen = 0;
        for (step, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank.max(1) {
                let shift = (step >> Self::FINE).saturating_sub(1) as u32;
                return ((step as u64) - (u64::from(shift) << Self::FINE)) << shift;
            }
        }
        0
    }
}
