//! The record of a group.

use super::movers::amount;
use super::{begin, coverage, decimal, field, head, integer, maybe_integer, null, string, subject};
use crate::groups::{Group, Inside, Units};
use crate::report::Scope;
use crate::report::amount::HalfSteps;

/// What a group adds up to, and what is inside.
pub(crate) fn group(into: &mut Vec<u8>, group: &Group, at_ms: Option<i64>) {
    head(into, "group");
    let instruments = group.inside.iter().map(|inside| inside.instrument.clone()).collect();
    subject(into, &Scope { instruments, ..Scope::default() });
    field(into, "group");
    super::foreign(into, &group.name);
    field(into, "at_ms");
    maybe_integer(into, at_ms);
    field(into, "base");
    maybe_decimal(into, group.sum.base);
    field(into, "base_error");
    string(into, &HalfSteps(group.base_error()).to_string());
    field(into, "quote");
    amount(into, group.sum.quote);
    field(into, "spread_base");
    maybe_decimal(into, group.spread.base);
    field(into, "spread_quote");
    amount(into, group.spread.quote);
    field(into, "base_units");
    units(into, &group.base_units);
    field(into, "quote_units");
    units(into, &group.quote_units);
    field(into, "quality");
    string(into, group.quality.as_str());
    field(into, "missing_trades");
    integer(into, group.missing_trades);
    into.extend_from_slice(b",\"inside\":[");
    for (at, member) in group.inside.iter().enumerate() {
        if at > 0 {
            into.push(b',');
        }
        inside(into, member);
    }
    into.extend_from_slice(b"]}\n");
}

fn inside(into: &mut Vec<u8>, inside: &Inside) {
    let Inside { instrument, member } = inside;
    begin(into, &instrument.symbol, instrument.market);
    field(into, "unit");
    string(into, instrument.market.unit());
    field(into, "followed");
    super::boolean(into, member.is_some());
    field(into, "cvd");
    maybe_decimal(into, member.map(|member| member.cvd.units()));
    field(into, "base");
    maybe_decimal(into, member.and_then(|member| member.base));
    field(into, "quote");
    amount(into, member.and_then(|member| member.quote));
    field(into, "rounded_trades");
    integer(into, member.map_or(0, |member| member.rounded_trades));
    coverage(into, &member.map(|member| member.coverage).unwrap_or_default());
    into.push(b'}');
}

fn maybe_decimal(into: &mut Vec<u8>, units: Option<i128>) {
    match units {
        Some(units) => decimal(into, units),
        None => null(into),
    }
}

fn units(into: &mut Vec<u8>, units: &Units) {
    into.push(b'[');
    for (at, name) in units.names().enumerate() {
        if at > 0 {
            into.push(b',');
        }
        string(into, name);
    }
    into.push(b']');
}
