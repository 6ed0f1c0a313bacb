//! Amounts of a quote asset: exact, and short for people.

use std::fmt;

/// An exact amount of a quote asset in steps of 1e-16, which is what a product of price and quantity has: without
/// trailing zeros, `-803211.2512`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exact(pub(crate) i128);

const DIGITS: usize = 16;
const PER_WHOLE: u128 = 10_000_000_000_000_000;

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}", magnitude / PER_WHOLE)?;
        match magnitude % PER_WHOLE {
            0 => Ok(()),
            fraction => {
                let digits = format!("{fraction:0DIGITS$}");
                write!(f, ".{}", digits.trim_end_matches('0'))
            }
        }
    }
}

/// An exact number of base units in steps of 1e-9: half a step of the exchange's finest one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HalfSteps(pub(crate) u128);

impl fmt::Display for HalfSteps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / 1_000_000_000, self.0 % 1_000_000_000);
        match fraction {
            0 => write!(f, "{whole}"),
            _ => write!(f, "{whole}.{}", format!("{fraction:09}").trim_end_matches('0')),
        }
    }
}

/// Four digits and a magnitude, for people: `81.20`, `-803.2k`, `12.35M`, `1.204B` (1e9), `3.000T` (1e12).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Short(pub(crate) f64);

impl Short {
    /// An amount in steps of 1e-16.
    pub(crate) fn of(amount: i128) -> Self {
        Self(amount as f64 / 1e16)
    }
}

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SUFFIXES: [&str; 5] = ["", "k", "M", "B", "T"];
        if self.0 == 0.0 || !self.0.is_finite() {
            return f.write_str("0");
        }
        let (mut value, mut at) = (self.0, 0);
        // Compared with what is shown, so that 999,960 is 1.000M and not 1000k.
        while value.abs() >= 999.95 && at + 1 < SUFFIXES.len() {
            (value, at) = (value / 1_000.0, at + 1);
        }
        let decimals = match value.abs() {
            ..9.9995 => 3,
            ..99.995 => 2,
            ..999.95 => 1,
            _ => 0,
        };
        write!(f, "{value:.decimals$}{}", SUFFIXES[at])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_exact_amount_has_every_digit_and_no_more() {
        for (amount, text) in [
            (0, "0"),
            (1, "0.0000000000000001"),
            (-1, "-0.0000000000000001"),
            (12_345_000_000_000_000, "1.2345"),
            (-8_032_112_512_000_000_000_000, "-803211.2512"),
            (i128::MAX, "17014118346046923173168.7303715884105727"),
            (i128::MIN, "-17014118346046923173168.7303715884105728"),
        ] {
            assert_eq!(Exact(amount).to_string(), text);
        }
        assert_eq!(HalfSteps(5).to_string(), "0.000000005");
        assert_eq!(HalfSteps(2_350).to_string(), "0.00000235");
        assert_eq!(HalfSteps(1_000_000_000).to_string(), "1");
    }

    #[test]
    fn a_short_amount_has_four_digits() {
        for (amount, text) in [
            (0.0, "0"),
            (81.2, "81.20"),
            (0.5, "0.500"),
            (9.99949, "9.999"),
            (9.9996, "10.00"),
            (999.94, "999.9"),
            (999.96, "1.000k"),
            (-803_211.25, "-803.2k"),
            (999_960.0, "1.000M"),
            (12_345_678.0, "12.35M"),
            (1.204e9, "1.204B"),
            (3e12, "3.000T"),
            (1.5e16, "15000T"),
        ] {
            assert_eq!(Short(amount).to_string(), text);
        }
        assert_eq!(Short::of(-8_032_112_512_000_000_000_000).to_string(), "-803.2k");
    }

    proptest! {
        #[test]
        fn an_exact_amount_reads_back(amount in any::<i128>()) {
            let text = Exact(amount).to_string();
            let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
            let digits = format!("{whole}{fraction:0<16}");
            prop_assert_eq!(digits.parse::<i128>().unwrap(), amount);
        }

        #[test]
        fn a_short_amount_is_short_and_near(amount in prop_oneof![-1e3..1e3f64, -1e14..1e14f64]) {
            let text = Short(amount).to_string();
            prop_assert!(text.len() <= 8, "{}", text);
            let (number, times) = match text.trim_end_matches(char::is_alphabetic) {
                number if number.len() == text.len() => (number, 1.0),
                number => (number, 1e3f64.powi(1 + "kMBT".find(&text[number.len()..]).unwrap() as i32)),
            };
            let read = number.parse::<f64>().unwrap() * times;
            prop_assert!((read - amount).abs() <= amount.abs() * 0.00051 + 0.00051, "{} is {}", amount, text);
        }
    }
}
