//! What a bar gathers, and how that is written.

use std::fmt;
use std::str::FromStr;

use crate::snapshot::Market;
use crate::units::{Qty, parse_decimal};

/// What a bar gathers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "net", derive(serde::Serialize, serde::Deserialize))]
pub enum BarSpec {
    /// The trades of an interval of so many milliseconds, 1 s to 1 day, that divides the UTC day.
    Time {
        /// Its length.
        ms: i64,
    },
    /// So many trades, at least 1.
    Ticks(u64),
    /// Trades of at least this quantity together, above 0: base units, or contracts on COIN-M.
    Volume(Qty),
    /// Trades worth at least this together (price × quantity), above 0, in 1e-8 quote units.
    Notional(i64),
}

/// A text that names no bar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BarSpecError(String);

/// No trade of a contract tells what it is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "bars by notional value are not possible on COIN-M, whose trades count contracts: take volume:N, in contracts"
)]
pub struct NotionalBars;

impl NotionalBars {
    /// Whether such bars can be made in a market.
    ///
    /// # Errors
    /// [`NotionalBars`] if one of them cannot.
    pub fn check(market: Market, mut specs: impl Iterator<Item = BarSpec>) -> Result<(), Self> {
        let is_notional = |spec| matches!(spec, BarSpec::Notional(_));
        if market == Market::CoinM && specs.any(is_notional) { Err(Self) } else { Ok(()) }
    }
}

const DAY_MS: i64 = 86_400_000;
const UNITS: [(&str, i64); 4] = [("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", DAY_MS)];

impl FromStr for BarSpec {
    type Err = BarSpecError;

    /// Reads `1s`, `5m`, `1h`, `1d`, `ticks:1000`, `volume:500` or `notional:1e6`.
    fn from_str(text: &str) -> Result<Self, BarSpecError> {
        let wrong = |why: &str| BarSpecError(format!("`{text}` {why}"));
        let Some((kind, size)) = text.split_once(':') else { return time(text).map_err(wrong) };
        let above_zero = |units: Option<i64>| match units {
            Some(units @ 1..) => Ok(units),
            _ => Err(wrong("has no size above 0, at most 92233720368 with 8 decimals")),
        };
        match kind {
            "ticks" => match size.parse::<u64>() {
                Ok(ticks @ 1..) if !size.starts_with('+') => Ok(Self::Ticks(ticks)),
                _ => Err(wrong("has no whole number of trades above 0")),
            },
            "volume" => above_zero(units(size)).map(|units| Self::Volume(Qty::from_units(units))),
            "notional" => above_zero(units(size)).map(Self::Notional),
            _ => Err(wrong("is neither a time such as 1m nor ticks:N, volume:X or notional:X")),
        }
    }
}

/// `1m` in milliseconds.
fn time(text: &str) -> Result<BarSpec, &'static str> {
    let not_a_time = "is neither a time such as 1s, 5m or 1h nor ticks:N, volume:X or notional:X";
    let found = UNITS.iter().find_map(|(unit, ms)| Some((text.strip_suffix(unit)?, *ms)));
    let (count, unit) = found.ok_or(not_a_time)?;
    if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(not_a_time);
    }
    let ms = count.parse::<i64>().ok().and_then(|count| count.checked_mul(unit));
    match ms {
        Some(ms @ 1..=DAY_MS) if DAY_MS % ms == 0 => Ok(BarSpec::Time { ms }),
        _ => Err("does not divide the day evenly; take 1s, 5s, 15s, 1m, 5m, 15m, 1h, 4h or 1d"),
    }
}

/// A decimal, or one with an exponent such as `1e6`, in 1e-8.
fn units(text: &str) -> Option<i64> {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else {
        return parse_decimal(text.as_bytes()).ok();
    };
    let exponent = exponent.parse::<u32>().ok().filter(|exponent| *exponent <= 18)?;
    parse_decimal(mantissa.as_bytes()).ok()?.checked_mul(10_i64.checked_pow(exponent)?)
}

impl fmt::Display for BarSpec {
    /// The shortest text that reads as the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Time { ms } => {
                let (unit, unit_ms) =
                    UNITS.iter().rev().find(|(_, unit_ms)| ms % unit_ms == 0).copied().unwrap_or(("ms", 1));
                write!(f, "{}{unit}", ms / unit_ms)
            }
            Self::Ticks(ticks) => write!(f, "ticks:{ticks}"),
            Self::Volume(qty) => write!(f, "volume:{qty}"),
            Self::Notional(units) => write!(f, "notional:{}", Qty::from_units(units)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_and_written_in_its_shortest_form() {
        for (text, shown) in [
            ("1s", "1s"),
            ("60s", "1m"),
            ("5m", "5m"),
            ("240m", "4h"),
            ("24h", "1d"),
            ("ticks:1000", "ticks:1000"),
            ("volume:500", "volume:500"),
            ("volume:0.5", "volume:0.5"),
            ("notional:1e6", "notional:1000000"),
            ("notional:2.5E3", "notional:2500"),
        ] {
            let spec: BarSpec = text.parse().unwrap();
            assert_eq!(spec.to_string(), shown);
            assert_eq!(shown.parse(), Ok(spec));
        }
    }

    #[test]
    fn what_is_no_bar_is_refused_with_the_reason() {
        for text in [
            "",
            "m",
            "1",
            "0s",
            "7s",
            "1w",
            "2d",
            "-1m",
            "+1m",
            "1.5m",
            "99999999999999999999s",
            "ticks:0",
            "ticks:+1",
            "ticks:1.5",
            "volume:0",
            "volume:-1",
            "volume:",
            "notional:1e30",
            "notional:1e-6",
            "range:5",
            "ms",
        ] {
            let error = text.parse::<BarSpec>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{text}` ")), "{error}");
        }
    }
}
