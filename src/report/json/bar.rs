//! The record of a bar.

use super::{boolean, decimal, field, head, integer, lane, maybe_integer, null, string};
use crate::bars::{Bar, ClosedBar};
use crate::units::{AggTradeId, Price, UnixMillis};

/// A bar that has closed.
pub(crate) fn bar(into: &mut Vec<u8>, closed: &ClosedBar<'_>) {
    let ClosedBar { market, symbol, spec, bar, .. } = *closed;
    head(into, "bar");
    lane(into, symbol, market);
    field(into, "unit");
    string(into, market.unit());
    field(into, "bar");
    string(into, &spec.to_string());
    field(into, "start_ms");
    integer(into, bar.start.0);
    field(into, "end_ms");
    integer(into, bar.end.0);
    for (name, price) in [("open", bar.open), ("high", bar.high), ("low", bar.low), ("close", bar.close)] {
        field(into, name);
        decimal(into, i128::from(price.units()));
    }
    field(into, "volume");
    decimal(into, bar.volume().units());
    field(into, "quote_volume");
    match bar.quote_volume(market) {
        Some(notional) => string(into, &notional.to_string()),
        None => null(into),
    }
    for (name, sum) in sums(bar) {
        field(into, name);
        decimal(into, sum);
    }
    field(into, "vwap");
    match bar.vwap(market).map(Price::units) {
        Some(units) => decimal(into, i128::from(units)),
        None => null(into),
    }
    field(into, "trades");
    integer(into, bar.trades);
    field(into, "fills");
    match bar.fills {
        Some(fills) => integer(into, fills),
        None => null(into),
    }
    let id = |id: Option<AggTradeId>| id.map(|id| id.0);
    let time = |at: Option<UnixMillis>| at.map(|at| at.0);
    for (name, value) in [
        ("first_id", id(bar.first_id)),
        ("last_id", id(bar.last_id)),
        ("first_trade_time_ms", time(bar.first_trade_at)),
        ("last_trade_time_ms", time(bar.last_trade_at)),
    ] {
        field(into, name);
        maybe_integer(into, value);
    }
    field(into, "epoch");
    integer(into, bar.epoch);
    field(into, "complete");
    boolean(into, bar.complete);
    into.extend_from_slice(b"}\n");
}

fn sums(bar: &Bar) -> [(&'static str, i128); 9] {
    [
        ("buy_volume", bar.buy_volume),
        ("sell_volume", bar.sell_volume),
        ("delta", bar.delta()),
        ("min_delta", bar.min_delta),
        ("max_delta", bar.max_delta),
        ("cvd_open", bar.cvd_open),
        ("cvd_high", bar.cvd_high()),
        ("cvd_low", bar.cvd_low()),
        ("cvd_close", bar.cvd_close()),
    ]
    .map(|(name, sum)| (name, sum.units()))
}
