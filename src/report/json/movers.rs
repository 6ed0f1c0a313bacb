//! The record of an interval: how many symbols there are, and what the first of them did.

use super::{begin, coverage, decimal, double, field, head, integer, maybe_integer, null, string, subject};
use crate::movers::{Interval, Mover};
use crate::report::Scope;
use crate::report::amount::Exact;
use crate::snapshot::Market;

/// What the first ones of many did. `are_some`: not all symbols may be among them.
pub(crate) fn movers(into: &mut Vec<u8>, scope: &Scope, interval: &Interval, are_some: bool) {
    let Interval { at, seconds, by, lanes, trades, movers } = interval;
    head(into, "movers");
    subject(into, scope);
    field(into, "at_ms");
    maybe_integer(into, Some(at.wall_ms()));
    field(into, "seconds");
    double(into, Some(super::to_the_millisecond(*seconds)));
    field(into, "by");
    string(into, by.as_str());
    field(into, "only");
    super::boolean(into, are_some);
    for market in Market::ALL {
        field(into, market.as_str());
        integer(into, lanes.followed[market as usize]);
    }
    for (name, count) in [
        ("complete", lanes.complete),
        ("repairing", lanes.repairing),
        ("missing", lanes.missing),
        ("disconnected", lanes.disconnected),
        ("traded", lanes.traded),
        ("joined", lanes.joined),
        ("new_epochs", lanes.new_epochs),
        ("trades", *trades),
    ] {
        field(into, name);
        integer(into, count);
    }
    field(into, "rate");
    double(into, Some(*trades as f64 / seconds));
    into.extend_from_slice(b",\"movers\":[");
    for (at, mover) in movers.iter().enumerate() {
        if at > 0 {
            into.push(b',');
        }
        row(into, mover);
    }
    into.extend_from_slice(b"]}\n");
}

fn row(into: &mut Vec<u8>, mover: &Mover) {
    let Mover { instrument, .. } = mover;
    begin(into, &instrument.symbol, instrument.market);
    field(into, "unit");
    string(into, instrument.market.unit());
    field(into, "cvd");
    decimal(into, mover.cvd.units());
    field(into, "delta");
    decimal(into, mover.delta.units());
    field(into, "quote_delta");
    amount(into, mover.quote_delta);
    field(into, "z");
    double(into, mover.z);
    field(into, "trades");
    integer(into, mover.trades);
    field(into, "rate");
    double(into, Some(mover.rate));
    field(into, "volume");
    decimal(into, mover.volume.units());
    field(into, "quote_volume");
    amount(into, mover.quote_volume);
    field(into, "price");
    match mover.price {
        Some(price) => decimal(into, i128::from(price.units())),
        None => null(into),
    }
    field(into, "lost_trades");
    integer(into, mover.lost);
    coverage(into, &mover.coverage);
    into.push(b'}');
}

/// An exact amount in the quote unit, up to 16 decimals.
pub(super) fn amount(into: &mut Vec<u8>, amount: Option<i128>) {
    match amount {
        Some(amount) => string(into, &Exact(amount).to_string()),
        None => null(into),
    }
}
