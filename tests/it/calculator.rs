//! The calculator against references that share nothing with it: sums and windows kept in full, integers
//! of any size, no shortcut.
#![allow(clippy::unwrap_used)]

use std::cmp::Ordering;

use cvd_stream::cvd::{Cvd, CvdConfig, CvdState, Reading};
use cvd_stream::trade::Aggressor;
use cvd_stream::units::{Price, Qty, QtyDelta, UnixMillis};
use proptest::prelude::*;

/// Few roundings lie between the exact integers and a Z-score: about 2.5 units in the last place.
const Z_TOLERANCE: f64 = 1e-15;

#[test]
fn extreme_quantities_are_as_exact_as_small_ones_at_window_300() {
    let mut random = fastrand::Rng::with_seed(300);
    type Steps<'a> = Box<dyn FnMut(usize) -> i64 + 'a>;
    let runs: [(&str, Steps<'_>); 5] = [
        ("all buys of i64::MAX", Box::new(|_| i64::MAX)),
        ("all sells of i64::MAX", Box::new(|_| -i64::MAX)),
        ("alternating", Box::new(|at| if at % 2 == 0 { i64::MAX } else { -i64::MAX })),
        ("a thousand of each", Box::new(|at| if at / 1_000 % 2 == 0 { i64::MAX } else { -i64::MAX })),
        ("every magnitude", Box::new(|_| random_step(&mut random))),
    ];
    for (name, mut step) in runs {
        let mut cvd = Cvd::new(CvdConfig::default()).unwrap();
        let mut values = Vec::new();
        for at in 0..2_500 {
            let reading = apply(&mut cvd, step(at));
            values.push(reading.cvd.units());
            // The slow reference only where something new can happen: every value around the turns.
            if at < 1_300 || at % 7 == 0 {
                assert_z(&reading, &values, 300, 60, &format!("{name}, trade {}", at + 1));
            }
        }
    }
}

#[test]
fn extreme_quantities_are_exact_at_the_largest_window() {
    let config = CvdConfig { z_window: CvdConfig::MAX_WINDOW, z_warmup: Some(999_999), ema_alpha: 0.2 };
    let n = 999_999f64;

    // x = 1, 2, … times i64::MAX: the current value is (n + 1)/2 above the mean; variance (n² − 1)/12.
    let climbing = (n + 1.0) / 2.0 / ((n * n - 1.0) / 12.0).sqrt();
    let mut cvd = Cvd::new(config).unwrap();
    for at in 0..3_100_000 {
        let z = apply(&mut cvd, i64::MAX).z;
        assert_eq!(z.is_some(), at >= 999_999, "trade {}", at + 1);
        assert!(z.is_none_or(|z| (z / climbing - 1.0).abs() < Z_TOLERANCE), "trade {}: {z:?}", at + 1);
    }

    // x = 1, 0, 1, 0, …: among n values the current one's opposite is in the majority by one.
    let (more, fewer) = (500_000f64, 499_999f64);
    let alternating = more / (more * fewer).sqrt();
    cvd.reset();
    for at in 0..3_100_000 {
        let up = at % 2 == 0;
        let z = apply(&mut cvd, if up { i64::MAX } else { -i64::MAX }).z;
        let expected = if up { alternating } else { -alternating };
        assert_eq!(z.is_some(), at >= 999_999, "trade {}", at + 1);
        assert!(z.is_none_or(|z| (z / expected - 1.0).abs() < Z_TOLERANCE), "trade {}: {z:?}", at + 1);
    }
}

#[test]
fn a_start_at_the_end_of_the_range_is_no_different() {
    let config = CvdConfig { z_window: 20, ..CvdConfig::default() };
    let high = i128::MAX - 1_000 * i128::from(i64::MAX);
    for start in [high, -high, 10i128.pow(17), 10i128.pow(26)] {
        let mut near = Cvd::new(config).unwrap();
        let mut far = Cvd::with_start(config, QtyDelta::from_units(start)).unwrap();
        let mut random = fastrand::Rng::with_seed(20);
        for _ in 0..1_000 {
            let step = random_step(&mut random);
            let (near, far) = (apply(&mut near, step), apply(&mut far, step));
            assert_eq!(near.z.map(f64::to_bits), far.z.map(f64::to_bits));
            assert_eq!(near.cvd.units() + start, far.cvd.units());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn cvd_is_the_naive_sum(steps in steps(1..600, i64::MAX), start in -(1i128 << 100)..1i128 << 100) {
        let mut cvd = Cvd::with_start(CvdConfig::default(), QtyDelta::from_units(start)).unwrap();
        let mut sum = start;
        for step in steps {
            sum += i128::from(step);
            let reading = apply(&mut cvd, step);
            prop_assert_eq!((reading.cvd.units(), reading.delta.units()), (sum, i128::from(step)));
        }
    }

    #[test]
    fn z_is_that_of_a_window_kept_in_full(
        (z_window, z_warmup) in (2usize..400).prop_flat_map(|w| (Just(w), proptest::option::of(1..w))),
        steps in steps(1..900, 1 << 38),
    ) {
        let config = CvdConfig { z_window, z_warmup, ema_alpha: 0.2 };
        let needed = z_warmup.unwrap_or((z_window / 5).max(5).min(z_window - 1));
        let mut cvd = Cvd::new(config).unwrap();
        let mut values = Vec::new();
        for (at, step) in steps.into_iter().enumerate() {
            let reading = apply(&mut cvd, step);
            values.push(reading.cvd.units());
            assert_z_small(&reading, &values, z_window, needed, at);
        }
    }

    #[test]
    fn the_ema_stays_within_its_bound(steps in steps(1..2_000, 1 << 40), weight in 1i128..=1024) {
        // A weight in steps of 2^-10 is exact as a double; the reference counts in steps of 2^-60 units.
        let ema_alpha = weight as f64 / 1024.0;
        let mut cvd = Cvd::new(CvdConfig { ema_alpha, ..CvdConfig::default() }).unwrap();
        let mut exact: Option<i128> = None;
        let mut largest = 0f64;
        for step in steps {
            let reading = apply(&mut cvd, step);
            let value = reading.cvd.units() << 60;
            let next = exact.map_or(value, |last| last + (value - last) / 1024 * weight);
            exact = Some(next);
            largest = largest.max(reading.cvd.to_f64_lossy().abs());
            let expected = next as f64 / (1u64 << 60) as f64 / 1e8;
            let bound = 5.0 / ema_alpha * f64::EPSILON / 2.0 * largest;
            let error = (reading.ema.unwrap() - expected).abs();
            prop_assert!(error <= bound, "{} is {} from {}", reading.ema.unwrap(), error, expected);
        }
    }

    #[test]
    fn a_stored_state_continues_with_the_same_bits(
        z_window in 2usize..60,
        inputs in proptest::collection::vec(input(), 1..400),
        every in 1usize..50,
        start in -(1i128 << 90)..1i128 << 90,
    ) {
        let config = CvdConfig { z_window, z_warmup: None, ema_alpha: 0.2 };
        let mut whole = Cvd::with_start(config, QtyDelta::from_units(start)).unwrap();
        let mut split = whole.clone();
        for (at, input) in inputs.iter().enumerate() {
            if at % every == 0 {
                let state = split.state();
                split = Cvd::from_state(config, state.clone()).unwrap();
                prop_assert_eq!(split.state(), state);
                prop_assert_eq!(bits(&split.reading()), bits(&whole.reading()));
            }
            prop_assert_eq!(input.apply(&mut split), input.apply(&mut whole), "input {}", at);
        }
        prop_assert_eq!(split.state(), whole.state());
    }

    #[test]
    fn after_a_reset_nothing_is_left_of_the_past(
        before in proptest::collection::vec(input(), 0..200),
        after in proptest::collection::vec(input(), 0..200),
    ) {
        let config = CvdConfig { z_window: 30, z_warmup: None, ema_alpha: 0.2 };
        let start = QtyDelta::from_units(12_345);
        let mut fresh = Cvd::with_start(config, start).unwrap();
        let mut used = fresh.clone();
        for input in &before {
            input.apply(&mut used).ok();
        }
        used.reset();
        prop_assert_eq!(used.state(), fresh.state());
        for input in &after {
            prop_assert_eq!(input.apply(&mut used), input.apply(&mut fresh));
        }
    }

    #[test]
    fn no_state_makes_a_panic(
        z_window in 2usize..8,
        start in any::<i128>(),
        values in proptest::collection::vec(any::<i128>(), 0..8),
        (delta, ema_bits, bad_points) in (any::<i128>(), proptest::option::of(any::<u64>()), any::<u64>()),
    ) {
        let config = CvdConfig { z_window, z_warmup: Some(1), ema_alpha: 0.2 };
        let state = CvdState {
            start: QtyDelta::from_units(start),
            cvd: QtyDelta::from_units(values.last().copied().unwrap_or(start)),
            delta: QtyDelta::from_units(delta),
            ema_bits,
            window: values.into_iter().map(QtyDelta::from_units).collect(),
            bad_points,
            tick_rule: Default::default(),
        };
        if let Ok(mut cvd) = Cvd::from_state(config, state.clone()) {
            prop_assert_eq!(cvd.state(), state);
            cvd.apply_sided(Qty::from_units(i64::MAX), Aggressor::Buyer).ok();
        }
    }
}

/// What the bits of a reading are, so that equality is not that of doubles.
type Bits = (i128, i128, Option<u64>, Option<u64>, bool, bool, u64);

fn bits(reading: &Reading) -> Bits {
    let Reading { delta, cvd, z, ema, warmup, std_zero, bad_points } = *reading;
    let (z, ema) = (z.map(f64::to_bits), ema.map(f64::to_bits));
    (delta.units(), cvd.units(), z, ema, warmup, std_zero, bad_points)
}

/// One call of the calculator, good or bad.
#[derive(Debug, Clone)]
enum Input {
    Sided(i64),
    Unsided { price: i64, qty: i64, at: Option<i64> },
}

impl Input {
    fn apply(&self, cvd: &mut Cvd) -> Result<Bits, Bits> {
        match *self {
            Self::Sided(step) if step < 0 => {
                cvd.apply_sided(Qty::from_units(step.saturating_neg()), Aggressor::Seller)
            }
            Self::Sided(step) => cvd.apply_sided(Qty::from_units(step), Aggressor::Buyer),
            Self::Unsided { price, qty, at } => {
                cvd.apply_unsided(Price::from_units(price), Qty::from_units(qty), at.map(UnixMillis))
            }
        }
        .map(|reading| bits(&reading))
        .map_err(|bad| bits(&bad.reading))
    }
}

fn input() -> impl Strategy<Value = Input> {
    let step = prop_oneof![-1_000_000_000i64..1_000_000_000, any::<i64>()];
    prop_oneof![
        step.prop_map(Input::Sided),
        (1i64..4, -1i64..1_000, proptest::option::of(0i64..5_000))
            .prop_map(|(price, qty, at)| Input::Unsided { price, qty, at }),
    ]
}

/// Signed quantities of every magnitude up to `most`, never zero.
fn steps(count: std::ops::Range<usize>, most: i64) -> impl Strategy<Value = Vec<i64>> {
    let step = prop_oneof![-9i64..=9, -most..=most].prop_map(|step| if step == 0 { 1 } else { step });
    proptest::collection::vec(step, count)
}

fn random_step(random: &mut fastrand::Rng) -> i64 {
    let magnitude = (random.i64(1..) >> random.u32(0..63)).max(1);
    if random.bool() { magnitude } else { -magnitude }
}

fn apply(cvd: &mut Cvd, step: i64) -> Reading {
    let side = if step > 0 { Aggressor::Buyer } else { Aggressor::Seller };
    cvd.apply_sided(Qty::from_units(step.abs()), side).unwrap()
}

/// The previous values that the last one is measured against.
fn baseline(values: &[i128], z_window: usize) -> (&[i128], i128) {
    let (current, previous) = values.split_last().unwrap();
    (&previous[previous.len().saturating_sub(z_window - 1)..], *current)
}

/// Compares with two passes over the window in `i128`; for steps up to 2^38 and windows up to 400.
fn assert_z_small(reading: &Reading, values: &[i128], z_window: usize, needed: usize, at: usize) {
    let (previous, current) = baseline(values, z_window);
    assert_eq!(reading.warmup, previous.len() < needed, "trade {}", at + 1);
    if reading.warmup {
        assert_eq!((reading.z, reading.std_zero), (None, false), "trade {}", at + 1);
        return;
    }
    // Everything times n, so that the mean is an integer; the second pass takes the distances from it.
    let n = previous.len() as i128;
    let origin = previous[0];
    let mean: i128 = previous.iter().map(|x| x - origin).sum();
    let squares: i128 = previous.iter().map(|x| (n * (x - origin) - mean).pow(2)).sum();
    let distance = n * (current - origin) - mean;
    assert_eq!(reading.std_zero, squares == 0, "trade {}", at + 1);
    let expected = if squares == 0 { 0.0 } else { distance as f64 / (squares as f64 / n as f64).sqrt() };
    assert_close(reading.z.unwrap(), expected, &format!("trade {}", at + 1));
}

/// The same in integers of any size.
fn assert_z(reading: &Reading, values: &[i128], z_window: usize, needed: usize, place: &str) {
    let (previous, current) = baseline(values, z_window);
    assert_eq!(reading.warmup, previous.len() < needed, "{place}");
    if reading.warmup {
        assert_eq!((reading.z, reading.std_zero), (None, false), "{place}");
        return;
    }
    let n = previous.len() as i128;
    let mean: i128 = previous.iter().sum();
    let squares =
        previous.iter().fold(Big::default(), |sum, x| sum.plus(&Big::square((n * x - mean).unsigned_abs())));
    let distance = n * current - mean;
    assert_eq!(reading.std_zero, squares.cmp(&Big::default()) == Ordering::Equal, "{place}");
    let expected = distance as f64 / (squares.to_f64() / n as f64).sqrt();
    assert_close(reading.z.unwrap(), expected, place);
}

fn assert_close(z: f64, expected: f64, place: &str) {
    let error = if z == expected { 0.0 } else { ((z - expected) / expected).abs() };
    assert!(error < Z_TOLERANCE, "{place}: {z} is not {expected} (by {error:e})");
}

/// A schoolbook integer: base 2^32, the least digit first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Big(Vec<u32>);

impl Big {
    fn square(value: u128) -> Self {
        let digits: Vec<u64> = (0..4).map(|at| (value >> (32 * at)) as u64 & 0xffff_ffff).collect();
        let mut product = vec![0u32; 8];
        for (i, a) in digits.iter().enumerate() {
            let mut carry = 0;
            for (j, b) in digits.iter().enumerate() {
                let sum = a * b + u64::from(product[i + j]) + carry;
                product[i + j] = sum as u32;
                carry = sum >> 32;
            }
            product[i + 4] = carry as u32;
        }
        Self(product)
    }

    fn plus(&self, other: &Self) -> Self {
        let mut carry = 0;
        let mut sum = Vec::new();
        for at in 0..self.0.len().max(other.0.len()) {
            let digit = |big: &Self| u64::from(big.0.get(at).copied().unwrap_or(0));
            let total = digit(self) + digit(other) + carry;
            sum.push(total as u32);
            carry = total >> 32;
        }
        sum.push(carry as u32);
        Self(sum)
    }

    fn cmp(&self, other: &Self) -> Ordering {
        let trimmed = |big: &Self| {
            let mut digits = big.0.clone();
            while digits.last() == Some(&0) {
                digits.pop();
            }
            digits
        };
        let (a, b) = (trimmed(self), trimmed(other));
        a.len().cmp(&b.len()).then_with(|| a.iter().rev().cmp(b.iter().rev()))
    }

    /// Within one unit in the last place: the four leading digits hold at least 97 bits.
    fn to_f64(&self) -> f64 {
        let Some(top) = self.0.iter().rposition(|digit| *digit != 0) else { return 0.0 };
        let lowest = top.saturating_sub(3);
        let head =
            self.0[lowest..=top].iter().rev().fold(0u128, |head, digit| head << 32 | u128::from(*digit));
        head as f64 * 2f64.powi(32 * lowest as i32)
    }
}
