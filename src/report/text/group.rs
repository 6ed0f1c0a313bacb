//! The line of a group.

use std::fmt;

use super::{Or, put};
use crate::groups::{Group, Inside};
use crate::report::amount::{Exact, HalfSteps};
use crate::snapshot::Market;
use crate::units::QtyDelta;

pub(crate) fn group(into: &mut Vec<u8>, group: &Group) {
    put(
        into,
        format_args!(
            "GROUP {} | base={}{} quote={} spread_base={} spread_quote={} unit={}/{} | quality={} missing={} | inside:",
            group.name,
            Or(group.sum.base.map(QtyDelta::from_units)),
            Error(group),
            Or(group.sum.quote.map(Exact)),
            Or(group.spread.base.map(QtyDelta::from_units)),
            Or(group.spread.quote.map(Exact)),
            Or(Some(group.base_units.to_string()).filter(|units| !units.is_empty())),
            Or(Some(group.quote_units.to_string()).filter(|units| !units.is_empty())),
            group.quality.as_str(),
            group.missing_trades,
        ),
    );
    for (at, inside) in group.inside.iter().enumerate() {
        put(into, format_args!("{} {}", if at > 0 { ";" } else { "" }, Told(inside)));
    }
    into.push(b'\n');
}

/// How far the coins may be off, where any were rounded.
struct Error<'a>(&'a Group);

impl fmt::Display for Error<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.sum.base, self.0.base_error()) {
            (None, _) | (_, 0) => Ok(()),
            (Some(_), error) => write!(f, " (±{})", HalfSteps(error)),
        }
    }
}

/// What a member brings into the sum.
struct Told<'a>(&'a Inside);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inside { instrument, member } = self.0;
        let Some(member) = member else { return write!(f, "{instrument} not followed") };
        write!(f, "{instrument} cvd={}", member.cvd)?;
        if instrument.market == Market::CoinM {
            write!(f, " contracts coins={}", Or(member.base.map(QtyDelta::from_units)))?;
        }
        match member.coverage.first_id.zip(member.coverage.last_id) {
            Some((first, last)) => write!(f, " ids={first}..{last}"),
            None => f.write_str(" ids=none"),
        }
    }
}

#[cfg(test)]
mod tests;
