//! The calculator per trade: across windows, against the loop over the window, and with quantities that
//! need 256 bits. `cargo bench --bench calculator`; each line is the time of 1,024 trades.

use std::collections::VecDeque;
use std::hint::black_box;

use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use cvd_stream::cvd::{Cvd, CvdConfig};
use cvd_stream::trade::{AggTrade, Aggressor};
use cvd_stream::units::{AggTradeId, Price, Qty, SCALE, UnixMillis};

const TRADES: usize = 1_024;

fn calculator(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("calculator");
    group.throughput(Throughput::Elements(TRADES as u64));
    // A thousandth of a coin to a hundred coins; a billion coins.
    let usual = trades(SCALE / 1_000, 100 * SCALE);
    let cheap = trades(500_000_000 * SCALE, 1_500_000_000 * SCALE);
    exact(&mut group, "window 300", 300, &usual);
    exact(&mut group, "window 3000", 3_000, &usual);
    exact(&mut group, "window 300, cheap coin", 300, &cheap);
    exact(&mut group, "window 3000, cheap coin", 3_000, &cheap);
    group.bench_function("loop over the window, 300", |bencher| {
        let mut looped = Looped::new(300);
        feed(&usual, |trade| _ = looped.apply(trade));
        bencher.iter(|| feed(&usual, |trade| _ = black_box(looped.apply(trade))));
    });
    group.finish();
}

/// The calculator with a full window.
fn exact(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, z_window: usize, trades: &[AggTrade]) {
    let mut cvd =
        Cvd::new(CvdConfig { z_window, ..CvdConfig::default() }).expect("300 and 3000 are in range");
    for _ in 0..4 {
        feed(trades, |trade| _ = cvd.apply(trade));
    }
    // The state carries on from batch to batch, as it does in life.
    group.bench_function(name, |bencher| {
        bencher.iter(|| feed(trades, |trade| _ = black_box(cvd.apply(trade))));
    });
}

fn feed(trades: &[AggTrade], mut apply: impl FnMut(&AggTrade)) {
    for trade in black_box(trades) {
        apply(trade);
    }
}

fn trades(least: i64, most: i64) -> Vec<AggTrade> {
    let mut random = fastrand::Rng::with_seed(1);
    (0..TRADES as i64)
        .map(|at| AggTrade {
            id: AggTradeId(at),
            price: Price::from_units(64_000 * SCALE + random.i64(0..100) * SCALE / 10),
            qty: Qty::from_units(random.i64(least..=most)),
            qty_without_rpi: None,
            first_trade_id: at,
            last_trade_id: at,
            traded_at: UnixMillis(1_735_689_600_000 + at),
            event_at: None,
            aggressor: if random.bool() { Aggressor::Buyer } else { Aggressor::Seller },
        })
        .collect()
}

/// The plain way: doubles, and two sums over the whole window for every trade.
#[derive(Clone)]
struct Looped {
    cvd: f64,
    ema: Option<f64>,
    window: VecDeque<f64>,
    z_window: usize,
}

impl Looped {
    fn new(z_window: usize) -> Self {
        Self { cvd: 0.0, ema: None, window: VecDeque::with_capacity(z_window), z_window }
    }

    fn apply(&mut self, trade: &AggTrade) -> (f64, f64, Option<f64>) {
        let qty = trade.qty.to_f64_lossy();
        self.cvd += if trade.aggressor == Aggressor::Buyer { qty } else { -qty };
        let ema = self.ema.map_or(self.cvd, |last| 0.2 * self.cvd + 0.8 * last);
        self.ema = Some(ema);
        let z = (self.window.len() >= self.z_window / 5).then(|| {
            let n = self.window.len() as f64;
            let (mut sum, mut squares) = (0.0, 0.0);
            for value in &self.window {
                sum += value;
                squares += value * value;
            }
            let mean = sum / n;
            let deviation = (squares / n - mean * mean).max(0.0).sqrt();
            if deviation <= 1e-9 { 0.0 } else { (self.cvd - mean) / deviation }
        });
        if self.window.len() == self.z_window - 1 {
            self.window.pop_front();
        }
        self.window.push_back(self.cvd);
        (self.cvd, ema, z)
    }
}

criterion_group!(benches, calculator);
criterion_main!(benches);
