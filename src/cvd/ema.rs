//! The exponential moving average of CVD, per trade; `docs/math.md`, "EMA".

/// `EMA_1 = CVD_1`, `EMA_i = α·CVD_i + (1 − α)·EMA_(i−1)`, in doubles.
#[derive(Debug, Clone)]
pub(super) struct Ema {
    alpha: f64,
    value: Option<f64>,
}

impl Ema {
    /// An average that continues from `value`, or begins with the next one.
    pub(super) const fn new(alpha: f64, value: Option<f64>) -> Self {
        Self { alpha, value }
    }

    /// Takes the next CVD in whole units; returns the average after it.
    #[inline]
    pub(super) fn push(&mut self, cvd: f64) -> f64 {
        let next = match self.value {
            None => cvd,
            // Two products and a sum, each rounded: a fused `mul_add` gives other bits, and which machine
            // fuses is not ours to know.
            Some(last) => self.alpha * cvd + (1.0 - self.alpha) * last,
        };
        self.value = Some(next);
        next
    }

    pub(super) const fn value(&self) -> Option<f64> {
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_is_taken_as_it_is_and_the_rest_are_weighted() {
        let mut ema = Ema::new(0.25, None);
        assert_eq!(ema.value(), None);
        assert_eq!(ema.push(8.0), 8.0);
        assert_eq!(ema.push(4.0), 7.0);
        assert_eq!(ema.push(-1.0), 5.0);
        assert_eq!(ema.value(), Some(5.0));
    }

    #[test]
    fn a_weight_of_one_follows_the_value() {
        let mut ema = Ema::new(1.0, Some(1e9));
        assert_eq!(ema.push(-3.5), -3.5);
    }
}
