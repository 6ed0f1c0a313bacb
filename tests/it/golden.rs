//! The recorded sets of the shared data: the truth in exact arithmetic, and the doubles of the original
//! monitor's level mode. Every figure asserted here is measured here; `--nocapture` prints them.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use crate::recorded::shared;
use cvd_stream::cvd::{Cvd, CvdConfig, Reading};
use cvd_stream::trade::Aggressor;
use cvd_stream::units::{Qty, QtyDelta};
use flate2::read::GzDecoder;

/// A set and how far the original's doubles are from the truth, as the data's own description lists it.
struct Set {
    name: &'static str,
    rows: usize,
    original_cvd_error: f64,
    original_ema_error: f64,
    original_z_error: f64,
}

const SETS: [Set; 3] = [
    Set {
        name: "ethusdt_testnet_2h_20251017",
        rows: 14_501,
        original_cvd_error: 5.9e-9,
        original_ema_error: 5.9e-9,
        original_z_error: 5.0e-7,
    },
    Set {
        name: "btcusdt_testnet_40min_20251018",
        rows: 3_399,
        original_cvd_error: 1.9e-11,
        original_ema_error: 2.1e-11,
        original_z_error: 2.9e-8,
    },
    Set {
        name: "ethusdt_mainnet_aggtrades_20230202",
        rows: 1_000,
        original_cvd_error: 6.0e-13,
        original_ema_error: 1.1e-12,
        original_z_error: 1.2e-14,
    },
];

/// The listed errors have two digits; the third may have been rounded down.
const TWO_DIGITS: f64 = 1.05;

#[test]
fn the_numbers_equal_the_truth() {
    for set in &SETS {
        let Some((trades, truth)) = set.read() else { return };
        let (mut z_error, mut ema_error, mut largest, mut z_count) = (0f64, 0f64, 0f64, 0);
        for (at, (reading, row)) in run(&trades, QtyDelta::ZERO).zip(&truth).enumerate() {
            let place = format!("{} row {}", set.name, at + 1);
            let cvd: QtyDelta = row.column("cvd_exact").parse().unwrap();
            assert_eq!(reading.cvd, cvd, "{place}");
            assert_eq!(reading.warmup, at < 60, "{place}");
            assert!(!reading.std_zero, "{place}: with positive quantities no window of 60 is flat");
            largest = largest.max(cvd.to_f64_lossy().abs());
            let ema = (reading.ema.unwrap() - row.number("ema_exact").unwrap()).abs();
            ema_error = ema_error.max(ema / largest);
            assert_eq!(reading.z.is_some(), row.number("z_exact_prev299").is_some(), "{place}");
            if let (Some(z), Some(exact)) = (reading.z, row.number("z_exact_prev299")) {
                z_count += 1;
                z_error = z_error.max(if z == exact { 0.0 } else { ((z - exact) / exact).abs() });
            }
        }
        println!(
            "{}: {} trades, {z_count} z; from the truth: CVD 0, Z {z_error:.1e} relative, EMA {ema_error:.1e} \
             of the largest |CVD|",
            set.name,
            trades.len()
        );
        assert_eq!(z_count, set.rows - 60, "{}", set.name);
        assert!(z_error <= 1e-12, "{}: Z {z_error:e}", set.name);
        assert!(ema_error <= 1e-13, "{}: EMA {ema_error:e}", set.name);
    }
}

#[test]
fn the_original_is_off_by_no_more_than_its_own_rounding() {
    for set in &SETS {
        let Some((trades, _)) = set.read() else { return };
        let (mut cvd_error, mut ema_error, mut z_error, mut largest) = (0f64, 0f64, 0f64, 0f64);
        for (at, (reading, row)) in run(&trades, QtyDelta::ZERO).zip(&trades).enumerate() {
            let place = format!("{} row {}", set.name, at + 1);
            let cvd = reading.cvd.to_f64_lossy();
            largest = largest.max(cvd.abs());
            cvd_error = cvd_error.max((cvd - row.number("cvd").unwrap()).abs());
            ema_error = ema_error.max((reading.ema.unwrap() - row.number("ema").unwrap()).abs());
            assert_eq!(reading.warmup.to_string(), row.column("warmup"), "{place}");
            assert_eq!(reading.std_zero.to_string(), row.column("std_zero"), "{place}");
            assert_eq!(reading.z.is_some(), row.number("z").is_some(), "{place}");
            if let (Some(z), Some(original)) = (reading.z, row.number("z")) {
                z_error = z_error.max((z - original).abs());
            }
        }
        println!(
            "{}: from the original's doubles: CVD {cvd_error:.2e}, EMA {ema_error:.2e}, Z {z_error:.2e}",
            set.name
        );
        // Our own doubles are rounded too: CVD once or twice, the EMA a little more, |Z| < 20 a few times.
        let ulp = largest * f64::EPSILON;
        for (what, error, listed, room) in [
            ("CVD", cvd_error, set.original_cvd_error, ulp),
            ("EMA", ema_error, set.original_ema_error, 4.0 * ulp),
            ("Z", z_error, set.original_z_error, 40.0 * f64::EPSILON),
        ] {
            assert!(error <= listed * TWO_DIGITS + room, "{}: {what} {error:e}", set.name);
        }
    }
}

#[test]
fn a_start_far_from_zero_changes_no_bit_of_z() {
    for set in &SETS {
        let Some((trades, _)) = set.read() else { return };
        // 1e9 and 1e18 whole units, as units of 1e-8.
        for start in [10i128.pow(17), -10i128.pow(17), 10i128.pow(26)] {
            for (near, far) in run(&trades, QtyDelta::ZERO).zip(run(&trades, QtyDelta::from_units(start))) {
                assert_eq!(far.cvd.units(), near.cvd.units() + start, "{}", set.name);
                assert_eq!(far.delta, near.delta);
                assert_eq!(far.z.map(f64::to_bits), near.z.map(f64::to_bits), "{}", set.name);
                assert_eq!((far.warmup, far.std_zero), (near.warmup, near.std_zero));
            }
            println!("{}: CVD started at {}: every Z the same bits", set.name, QtyDelta::from_units(start));
        }
    }
}

impl Set {
    /// The original's rows and the exact ones; `None` (said on the terminal) without the shared data.
    fn read(&self) -> Option<(Vec<Row>, Vec<Row>)> {
        let folder = shared()?.join("data/golden");
        let [original, exact] = ["level-v1", "exact"].map(|kind| {
            let rows = read_rows(folder.join(format!("{}.{kind}.csv.gz", self.name)));
            assert_eq!(rows.len(), self.rows, "{}.{kind}", self.name);
            rows
        });
        Some((original, exact))
    }
}

/// The readings of the calculator with its defaults, fed with quantity and side.
fn run(trades: &[Row], start: QtyDelta) -> impl Iterator<Item = Reading> {
    let mut cvd = Cvd::with_start(CvdConfig::default(), start).unwrap();
    trades.iter().map(move |row| {
        let qty: Qty = row.column("qty").parse().unwrap();
        let side = if row.column("is_buy") == "true" { Aggressor::Buyer } else { Aggressor::Seller };
        cvd.apply_sided(qty, side).unwrap()
    })
}

/// A line of a table, by the names of its columns.
struct Row(Vec<(String, String)>);

impl Row {
    fn column(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(column, _)| column == name);
        &found.unwrap_or_else(|| panic!("no column {name}")).1
    }

    /// The double nearest to the text; empty is none.
    fn number(&self, name: &str) -> Option<f64> {
        let text = self.column(name);
        (!text.is_empty()).then(|| text.parse().unwrap())
    }
}

fn read_rows(path: PathBuf) -> Vec<Row> {
    let mut text = String::new();
    let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    lines
        .map(|line| {
            let values: Vec<&str> = line.split(',').collect();
            assert_eq!(values.len(), header.len(), "{line}");
            Row(header.iter().zip(values).map(|(name, value)| (name.to_string(), value.to_owned())).collect())
        })
        .collect()
}
