//! What rules look at, as numbers of their own kinds.

use std::fmt;

use crate::report::amount::Exact;
use crate::units::QtyDelta;

/// A value and its threshold; both of a rule are of the same kind, and only such are compared.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub enum Measure {
    /// A Z-score, seconds, or a share from 0 to 1.
    Number(f64),
    /// How often.
    Count(u64),
    /// A signed sum of quantities: exact.
    Quantity(QtyDelta),
    /// A worth in 1e-16 of the quote asset: exact.
    Worth(i128),
}

impl Measure {
    /// Without its sign.
    #[must_use]
    pub fn magnitude(self) -> Self {
        match self {
            Self::Number(number) => Self::Number(number.abs()),
            Self::Count(count) => Self::Count(count),
            Self::Quantity(sum) => Self::Quantity(QtyDelta::from_units(sum.units().saturating_abs())),
            Self::Worth(worth) => Self::Worth(worth.saturating_abs()),
        }
    }

    /// Neither NaN nor infinite.
    pub fn is_finite(self) -> bool {
        !matches!(self, Self::Number(number) if !number.is_finite())
    }
}

impl fmt::Display for Measure {
    /// Exact; of a [`Number`](Self::Number) up to six decimals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => {
                let text = format!("{number:.6}");
                let text = text.trim_end_matches('0').trim_end_matches('.');
                f.write_str(if text == "-0" { "0" } else { text })
            }
            Self::Count(count) => count.fmt(f),
            Self::Quantity(sum) => sum.fmt(f),
            Self::Worth(worth) => Exact(*worth).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measure_is_shown_without_more_digits_than_it_has() {
        for (measure, text) in [
            (Measure::Number(3.0), "3"),
            (Measure::Number(0.005), "0.005"),
            (Measure::Number(-2.123_456_789), "-2.123457"),
            (Measure::Number(-0.000_000_1), "0"),
            (Measure::Count(20), "20"),
            (Measure::Quantity(QtyDelta::from_units(-25_050_000_000)), "-250.5"),
            (Measure::Worth(12_500_000_000_000_000_000_000), "1250000"),
        ] {
            assert_eq!(measure.to_string(), text);
        }
    }

    #[test]
    fn what_lies_as_far_to_the_other_side_has_the_same_magnitude() {
        for measure in [
            Measure::Number(-3.5),
            Measure::Quantity(QtyDelta::from_units(-7)),
            Measure::Quantity(QtyDelta::from_units(i128::MIN)),
            Measure::Worth(-1),
        ] {
            assert!(measure.magnitude() > measure);
        }
    }
}
