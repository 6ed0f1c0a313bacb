//! Thresholds: from what is written to the numbers of a kind.

use std::fmt;

use toml::Value;

use crate::alerts::kind::{Kind, Unit};
use crate::alerts::measure::Measure;
use crate::units::QtyDelta;

/// A number as a kind wants it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    unit: Unit,
    /// Not below this.
    least: f64,
    /// Not above this.
    most: f64,
}

impl Wanted {
    pub(super) fn of(on: Kind) -> Self {
        let (least, most) = match on {
            Kind::Z => (-1_000.0, 1_000.0),
            Kind::CvdChange => (-9e10, 9e10),
            Kind::LargeTrade => (0.0, 9e10),
            Kind::Latency | Kind::Gap | Kind::Stale => (0.0, 3_600.0),
            Kind::QueueDropped => (0.0, 1.0),
            Kind::Missing | Kind::Reconnects | Kind::ParseErrors | Kind::NegativeLatency => (0.0, 1e9),
        };
        Self { unit: on.numbers(), least, most }
    }

    /// The same, not below zero.
    pub(super) fn positive(on: Kind) -> Self {
        Self { least: 0.0, ..Self::of(on) }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { least, most, .. } = self;
        match self.unit {
            Unit::Number => write!(f, "a number from {least} to {most}"),
            Unit::Count => write!(f, "a whole number from {least} to {most}"),
            Unit::Quantity | Unit::Worth => {
                write!(f, "a number from {least} to {most} with 8 decimals at most")
            }
        }
    }
}

/// What is written as a number, or exactly as a text.
pub(super) fn number(value: &Value, wanted: Wanted) -> Result<Measure, String> {
    // A float is shown in as many digits as tell it from every other, which are those that were written.
    let text = match value {
        Value::Integer(whole) => whole.to_string(),
        Value::Float(float) if float.is_finite() => float.to_string(),
        Value::Float(float) => return Err(format!("{float} is no threshold")),
        Value::String(text) => text.clone(),
        other => return Err(format!("a number is wanted, not {}", other.type_str())),
    };
    let refused = || format!("{} is no such number", shown(&text));
    let decimal: QtyDelta = text.parse().map_err(|_| refused())?;
    let (least, most) = (wanted.least, wanted.most);
    if !(least..=most).contains(&decimal.to_f64_lossy()) {
        return Err(format!("{} is out of range", shown(&text)));
    }
    match wanted.unit {
        Unit::Number => text.parse().map(Measure::Number).map_err(|_| refused()),
        Unit::Count => {
            let whole = (decimal.units() % 100_000_000 == 0).then_some(decimal.units() / 100_000_000);
            whole.and_then(|whole| u64::try_from(whole).ok()).map(Measure::Count).ok_or_else(refused)
        }
        Unit::Quantity => Ok(Measure::Quantity(decimal)),
        Unit::Worth => Ok(Measure::Worth(decimal.units().saturating_mul(100_000_000))),
    }
}

/// A text of the file as a fault may show it: quoted, escaped, cut.
pub(super) fn shown(text: &str) -> String {
    let cut: String = text.chars().take(60).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("{cut:?}{more}")
}
