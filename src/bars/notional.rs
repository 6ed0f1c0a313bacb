//! Sums of price × quantity, exact whatever is added.

use std::fmt;

use crate::units::{Price, Qty, QtyDelta};

/// A sum of price × quantity, in units of 1e-16 of the quote asset.
///
/// A product of both is below 2^126, and no run has 2^64 trades, so 192 bits hold every sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "net", derive(serde::Serialize, serde::Deserialize))]
pub struct Notional {
    // The order of the fields makes the derived comparison the numeric one.
    high: u64,
    #[cfg_attr(feature = "net", serde(with = "text"))]
    low: u128,
}

/// Decimal digits behind the point of a [`Notional`].
pub const NOTIONAL_DIGITS: usize = 16;
/// Units of a [`Notional`] per unit of 1e-8.
const PER_UNIT: u128 = 100_000_000;
/// Units of a [`Notional`] per whole.
const PER_WHOLE: u128 = PER_UNIT * PER_UNIT;

impl Notional {
    /// Nothing.
    pub const ZERO: Self = Self { high: 0, low: 0 };

    /// Price × quantity; what is not positive counts as nothing.
    #[inline]
    pub fn of(price: Price, qty: Qty) -> Self {
        let positive = |units: i64| u128::from(u64::try_from(units).unwrap_or(0));
        Self { high: 0, low: positive(price.units()) * positive(qty.units()) }
    }

    /// So many units of 1e-8; what is negative counts as nothing.
    pub fn from_units(units: i64) -> Self {
        Self { high: 0, low: u128::from(u64::try_from(units).unwrap_or(0)) * PER_UNIT }
    }

    /// The exact sum.
    #[inline]
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let (low, carry) = self.low.overflowing_add(other.low);
        Self { high: self.high.saturating_add(other.high).saturating_add(u64::from(carry)), low }
    }

    /// The sum in units of 1e-16, if that fits.
    pub fn to_i128(self) -> Option<i128> {
        if self.high == 0 { i128::try_from(self.low).ok() } else { None }
    }

    /// The volume-weighted mean price of a quantity that cost this, rounded to 1e-8, half to even; `None` without a
    /// quantity, or where it is out of a price's range, as no mean of prices is.
    pub fn per(self, volume: QtyDelta) -> Option<Price> {
        let volume = u128::try_from(volume.units()).ok().filter(|volume| *volume > 0)?;
        // 1e-16 by 1e-8 is 1e-8.
        let (quotient, rest) = self.divided(volume);
        let quotient = i64::try_from(quotient.to_i128()?).ok()?;
        // `rest` is below `volume`, which is below 2^127.
        let up = rest * 2 > volume || (rest * 2 == volume && quotient % 2 == 1);
        Some(Price::from_units(quotient.checked_add(i64::from(up))?))
    }

    /// Quotient and rest; the divisor is above 0 and below 2^127.
    fn divided(self, divisor: u128) -> (Self, u128) {
        if self.high == 0 {
            return (Self { high: 0, low: self.low / divisor }, self.low % divisor);
        }
        let (mut quotient, mut rest) = (Self::ZERO, 0u128);
        for bit in (0..192).rev() {
            let one = match bit {
                128.. => u128::from(self.high >> (bit - 128)) & 1,
                _ => self.low >> bit & 1,
            };
            rest = rest << 1 | one;
            if rest >= divisor {
                rest -= divisor;
                match bit {
                    128.. => quotient.high |= 1 << (bit - 128),
                    _ => quotient.low |= 1 << bit,
                }
            }
        }
        (quotient, rest)
    }
}

impl fmt::Display for Notional {
    /// The exact decimal without trailing zeros.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = self.divided(PER_WHOLE);
        if whole.high == 0 {
            write!(f, "{}", whole.low)?;
        } else {
            // Below 2^192 / 1e16, so that the upper part fits easily.
            let (upper, lower) = whole.divided(PER_WHOLE);
            write!(f, "{}{lower:0width$}", upper.low, width = NOTIONAL_DIGITS)?;
        }
        if fraction == 0 {
            return Ok(());
        }
        let digits = format!("{fraction:0width$}", width = NOTIONAL_DIGITS);
        write!(f, ".{}", digits.trim_end_matches('0'))
    }
}

/// 128 bits as text: not every reader of JSON has such numbers.
#[cfg(feature = "net")]
mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::custom("not a whole number below 2^128"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(low: u128, high: u64) -> Notional {
        Notional { high, low }
    }

    #[test]
    fn a_sum_of_the_largest_products_goes_beyond_128_bits_and_stays_exact() {
        let most = Notional::of(Price::from_units(i64::MAX), Qty::from_units(i64::MAX));
        let five = (0..5).fold(Notional::ZERO, |sum, _| sum.plus(most));
        // 5 · (2^63 − 1)² = 425352958651173079236984538921162506245
        assert_eq!(five.to_string(), "42535295865117307923698.4538921162506245");
        let volume = QtyDelta::from_units(5 * i128::from(i64::MAX));
        assert_eq!(five.per(volume), Some(Price::from_units(i64::MAX)));
        assert_eq!(five.to_i128(), None);
    }

    #[test]
    fn an_extreme_sum_is_printed_digit_for_digit() {
        assert_eq!(
            sum(u128::MAX, u64::MAX).to_string(),
            "627710173538668076383578942320766641610235.5444464034512895"
        );
        assert_eq!(sum(0, 1).to_string(), "34028236692093846346337.4607431768211456");
        assert_eq!(sum(1, 0).to_string(), "0.0000000000000001");
        assert_eq!(Notional::from_units(150_000_000).to_string(), "1.5");
        assert_eq!(Notional::ZERO.to_string(), "0");
    }

    #[test]
    fn a_mean_price_is_rounded_half_to_even() {
        let mean = |notional: u128, volume: i128| {
            sum(notional, 0).per(QtyDelta::from_units(volume)).map(Price::units)
        };
        assert_eq!(mean(5, 2), Some(2), "2.5");
        assert_eq!(mean(7, 2), Some(4), "3.5");
        assert_eq!(mean(8, 3), Some(3), "2.67");
        assert_eq!(mean(7, 3), Some(2), "2.33");
        assert_eq!(mean(7, 0), None);
        assert_eq!(mean(u128::MAX, 1), None);
    }

    #[cfg(feature = "net")]
    #[test]
    fn a_stored_sum_is_read_back() {
        let stored = serde_json::to_string(&sum(u128::MAX, 3)).unwrap();
        assert_eq!(stored, r#"{"high":3,"low":"340282366920938463463374607431768211455"}"#);
        assert_eq!(serde_json::from_str::<Notional>(&stored).unwrap(), sum(u128::MAX, 3));
        assert!(serde_json::from_str::<Notional>(r#"{"high":0,"low":"-1"}"#).is_err());
    }
}
