//! The window of the level Z-score, in integers only; `docs/math.md`, "Level Z-score".

use super::wide::U256;
use crate::units::{QtyDelta, nearest_f64};

/// The current CVD and the previous ones it is measured against (the baseline).
///
/// It never sees CVD itself, only the steps between its values: each value counts as its distance from
/// the *anchor*, one of the window's earlier values. A Z-score does not change when everything is shifted,
/// so neither the level of CVD nor the choice of the anchor can touch the result.
///
/// # Why nothing overflows
///
/// A step is a signed quantity, |step| < 2^63, and the baseline has n < 2^20 values. The anchor moves to
/// the oldest value once per turn of the ring, so it is never more than two turns behind the current value:
///
/// - distance from the anchor: |y| < 2 · 2^20 · 2^63 = 2^84
/// - `sum` = Σy and `n·y − sum`: below 2^20 · 2^84 = 2^104 and twice that; `i128` holds 2^127
/// - `squares` = Σy²: below 2^20 · 2^168 = 2^188
/// - `n · squares` and `sum²`: below 2^208; [`U256`] holds 2^256
/// - moving the anchor by c, |c| < 2^84: n·c² < 2^188 and 2·|c·sum| < 2^189
#[derive(Debug, Clone)]
pub(super) struct LevelWindow {
    /// A ring of the steps from each baseline value to its successor; the last one leads to the current
    /// value. As many as there are baseline values.
    steps: Box<[i64]>,
    /// Where the step out of the oldest value stands.
    head: usize,
    /// n, the number of baseline values.
    len: usize,
    /// Whether there is a current value.
    started: bool,
    /// Distance of the oldest baseline value (or of the current one, if there is none) from the anchor.
    oldest: i128,
    /// Distance of the current value from the anchor.
    current: i128,
    /// Σy over the baseline.
    sum: i128,
    /// Σy² over the baseline.
    squares: U256,
}

/// The current value against its baseline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Level {
    /// Fewer baseline values than wanted.
    WarmingUp,
    /// All baseline values are equal.
    Flat,
    /// Distance from the baseline's mean in population standard deviations.
    Z(f64),
}

impl LevelWindow {
    /// An empty window with room for `baseline` previous values, 1 to 999,999.
    pub(super) fn new(baseline: usize) -> Self {
        Self {
            steps: vec![0; baseline].into_boxed_slice(),
            head: 0,
            len: 0,
            started: false,
            oldest: 0,
            current: 0,
            sum: 0,
            squares: U256::ZERO,
        }
    }

    /// A window that holds these values, oldest first; the last one is the current.
    ///
    /// `Err` names the first value that no trade leads to from the one before it. There must not be more
    /// than `baseline + 1` values.
    pub(super) fn from_values(baseline: usize, values: &[QtyDelta]) -> Result<Self, usize> {
        let mut window = Self::new(baseline);
        if !values.is_empty() {
            window.push(0);
        }
        for (index, pair) in values.windows(2).enumerate() {
            let step = pair[1].units().checked_sub(pair[0].units()).and_then(|step| i64::try_from(step).ok());
            match step {
                Some(step) if step != 0 && step != i64::MIN => window.push(step),
                _ => return Err(index + 1),
            }
        }
        Ok(window)
    }

    /// The values, oldest first, given that the current one is `cvd`.
    pub(super) fn values(&self, cvd: QtyDelta) -> Vec<QtyDelta> {
        if !self.started {
            return Vec::new();
        }
        let mut value = cvd.units() - (self.current - self.oldest);
        let mut values = Vec::with_capacity(self.len + 1);
        values.push(QtyDelta::from_units(value));
        for at in 0..self.len {
            value += i128::from(self.steps[(self.head + at) % self.steps.len()]);
            values.push(QtyDelta::from_units(value));
        }
        values
    }

    /// Moves on: the current value joins the baseline and the value one step further becomes current. The
    /// step to the first value does not count.
    #[inline]
    pub(super) fn push(&mut self, step: i64) {
        if !self.started {
            self.started = true;
            return;
        }
        if self.len == self.steps.len() {
            self.replace_oldest(step);
            return;
        }
        self.sum += self.current;
        self.squares = self.squares.wrapping_add(U256::square(self.current));
        self.current += i128::from(step);
        self.steps[self.len] = step;
        self.len += 1;
    }

    /// The current value takes the place of the oldest of the baseline.
    #[inline]
    fn replace_oldest(&mut self, step: i64) {
        self.sum += self.current - self.oldest;
        self.squares = self.squares.exchange(self.current, self.oldest);
        self.current += i128::from(step);
        // With room for one value the step out of the oldest is the one the current value joined by.
        self.oldest += i128::from(std::mem::replace(&mut self.steps[self.head], step));
        self.head += 1;
        if self.head == self.steps.len() {
            self.head = 0;
            self.move_anchor();
        }
    }

    /// Makes the oldest baseline value the anchor: every distance y becomes y − c.
    #[cold]
    fn move_anchor(&mut self) {
        let (c, n) = (self.oldest, self.len as u64);
        // Σ(y − c)² = Σy² − 2c·Σy + n·c². The sign of c·Σy decides between taking and adding.
        let cross = U256::product(c.unsigned_abs(), self.sum.unsigned_abs()).wrapping_mul(2);
        let grown = self.squares.wrapping_add(U256::square(c).wrapping_mul(n));
        let same_sign = (c < 0) == (self.sum < 0);
        self.squares = if same_sign { grown.wrapping_sub(cross) } else { grown.wrapping_add(cross) };
        self.sum -= i128::from(n) * c;
        self.current -= c;
        self.oldest = 0;
    }

    /// Where the current value lies, if there are at least `needed` baseline values (1 or more).
    #[inline]
    pub(super) fn level(&self, needed: usize) -> Level {
        if self.len < needed {
            return Level::WarmingUp;
        }
        let spread = self.spread();
        if spread == U256::ZERO {
            return Level::Flat;
        }
        let above_mean = self.len as i128 * self.current - self.sum;
        Level::Z(nearest_f64(above_mean) / spread.to_f64().sqrt())
    }

    /// n·Σy² − (Σy)², which is n² times the population variance.
    #[inline]
    fn spread(&self) -> U256 {
        let n = self.len as u64;
        if let Some(squares) = self.squares.to_u128()
            && squares >> 108 == 0
        {
            // n < 2^20, so n·Σy² fits 128 bits, and (Σy)² is never larger (Cauchy–Schwarz): |Σy| < 2^64.
            let sum = u128::from(self.sum.unsigned_abs() as u64);
            return U256::from_u128(u128::from(n) * squares - sum * sum);
        }
        self.squares.wrapping_mul(n).wrapping_sub(U256::square(self.sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_window_gives_the_z_of_the_textbook() {
        let mut window = LevelWindow::new(4);
        // The first step counts only as a beginning: the values are 0, 2, 4, 2, 7.
        for step in [1_000, 2, 2, -2] {
            window.push(step);
        }
        assert_eq!(window.level(4), Level::WarmingUp);
        window.push(5);
        // Mean 2, variance 2.
        assert_eq!(window.level(4), Level::Z(5.0 / 2f64.sqrt()));
        window.push(1);
        // Baseline 2, 4, 2, 7: mean 3.75, variance 4.1875; current 8.
        assert_eq!(window.level(4), Level::Z(17.0 / 67f64.sqrt()));
    }

    #[test]
    fn one_previous_value_has_no_spread() {
        let mut window = LevelWindow::new(1);
        window.push(3);
        assert_eq!(window.level(1), Level::WarmingUp);
        for step in [5, -7, i64::MAX, -i64::MAX] {
            window.push(step);
            assert_eq!(window.level(1), Level::Flat);
        }
    }

    #[test]
    fn the_window_returns_the_values_it_was_made_of() {
        let mut window = LevelWindow::new(3);
        let mut cvd = 1i128 << 100;
        let mut all = Vec::new();
        for step in [1, -2, 3, 4, -5, 6, 7] {
            window.push(step);
            cvd += i128::from(step);
            all.push(QtyDelta::from_units(cvd));
            let expected = &all[all.len().saturating_sub(4)..];
            assert_eq!(window.values(QtyDelta::from_units(cvd)), expected);
            let rebuilt = LevelWindow::from_values(3, expected).unwrap();
            assert_eq!(rebuilt.level(1), window.level(1));
        }
    }

    #[test]
    fn a_jump_that_no_trade_makes_is_refused_with_its_place() {
        let units = |values: &[i128]| values.iter().map(|v| QtyDelta::from_units(*v)).collect::<Vec<_>>();
        let max = i128::from(i64::MAX);
        assert!(LevelWindow::from_values(5, &units(&[0, max, 0])).is_ok());
        assert_eq!(LevelWindow::from_values(5, &units(&[1, 2, 2])).err(), Some(2));
        assert_eq!(LevelWindow::from_values(5, &units(&[0, max + 1])).err(), Some(1));
        assert_eq!(LevelWindow::from_values(5, &units(&[0, -max - 1])).err(), Some(1));
        assert_eq!(LevelWindow::from_values(5, &units(&[i128::MIN, i128::MAX])).err(), Some(1));
    }

    #[test]
    fn the_distances_stay_local_however_far_cvd_runs() {
        let mut window = LevelWindow::new(10);
        for _ in 0..10_000 {
            window.push(i64::MAX);
        }
        assert!(window.current <= 20 * i128::from(i64::MAX), "{}", window.current);
    }
}
