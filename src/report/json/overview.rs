//! What a run looks like, for those who ask for it: in the style of the records, but never among them.

use std::sync::Arc;

use super::{
    begin, boolean, decimal, double, field, foreign, head, integer, lane, maybe_integer, null, string,
    summed_up, to_the_millisecond,
};
use crate::overview::{Health, LaneOverview, Overview, Reason};
use crate::snapshot::Market;

/// Every symbol that is followed.
pub(crate) fn symbols(into: &mut Vec<u8>, overview: &Overview) {
    head(into, "symbols");
    field(into, "at_ms");
    integer(into, overview.at.wall_ms());
    into.extend_from_slice(b",\"symbols\":[");
    for (at, of) in overview.lanes.iter().enumerate() {
        if at > 0 {
            into.push(b',');
        }
        begin(into, &of.summary.symbol, of.summary.market);
        standing(into, of);
        into.push(b'}');
    }
    into.extend_from_slice(b"]}\n");
}

/// One symbol. The records that are told after it have numbers from `told + 1` on.
pub(crate) fn snapshot(into: &mut Vec<u8>, overview: &Overview, of: &LaneOverview, epoch: &str) {
    head(into, "snapshot");
    lane(into, &of.summary.symbol, of.summary.market);
    field(into, "at_ms");
    integer(into, overview.at.wall_ms());
    field(into, "event_id");
    string(into, &format!("{epoch}-{}", overview.told));
    standing(into, of);
    into.extend_from_slice(b"}\n");
}

fn standing(into: &mut Vec<u8>, of: &LaneOverview) {
    summed_up(into, &of.summary);
    field(into, "missing_trades_total");
    integer(into, of.missing_trades);
    field(into, "completeness");
    double(into, Some(of.completeness()));
    field(into, "price");
    match of.last_price {
        Some(price) => decimal(into, i128::from(price.units())),
        None => null(into),
    }
    field(into, "repairing_s");
    double(into, of.repairing_s.map(to_the_millisecond));
}

/// The last gaps, each a record, oldest first, of so many in all.
pub(crate) fn gaps(into: &mut Vec<u8>, gaps: &[Arc<str>], all: u64) {
    head(into, "gaps");
    field(into, "total");
    integer(into, all);
    into.extend_from_slice(b",\"gaps\":[");
    for (at, gap) in gaps.iter().enumerate() {
        if at > 0 {
            into.push(b',');
        }
        into.extend_from_slice(gap.as_bytes());
    }
    into.extend_from_slice(b"]}\n");
}

/// What was listened to before cannot be gone on from; snapshots of everything follow.
pub(crate) fn reset(into: &mut Vec<u8>, reason: &str, symbols: usize) {
    head(into, "reset");
    field(into, "reason");
    string(into, reason);
    field(into, "symbols");
    integer(into, symbols as u64);
    into.extend_from_slice(b"}\n");
}

/// How a run does.
pub(crate) fn health(into: &mut Vec<u8>, health: &Health) {
    head(into, "health");
    field(into, "status");
    string(into, health.verdict().as_str());
    field(into, "complete");
    boolean(into, health.reasons.is_empty() && health.degraded_symbols == 0);
    for (name, value) in [
        ("symbols", health.symbols),
        ("degraded_symbols", health.degraded_symbols),
        ("missing_trades", health.missing_trades),
        ("more_reasons", health.more),
    ] {
        field(into, name);
        integer(into, value);
    }
    into.extend_from_slice(b",\"reasons\":[");
    for (at, of) in health.reasons.iter().enumerate() {
        if at > 0 {
            into.push(b',');
        }
        reason(into, of);
    }
    into.extend_from_slice(b"]}\n");
}

fn reason(into: &mut Vec<u8>, reason: &Reason) {
    into.extend_from_slice(b"{\"reason\":");
    string(into, reason.as_str());
    field(into, "market");
    match reason.market().map(Market::as_str) {
        Some(market) => string(into, market),
        None => null(into),
    }
    let (symbol, shard, cause, seconds) = match reason {
        Reason::Link { link, is_one_of_several } => {
            let shard = is_one_of_several.then(|| i64::from(link.shard.0) + 1);
            (None, shard, link.cause.as_ref().map(|cause| cause.as_str()), Some(link.seconds))
        }
        Reason::Repairing { instrument, seconds } => (Some(&instrument.symbol), None, None, Some(*seconds)),
        Reason::NotDelivered { instrument } => (Some(&instrument.symbol), None, None, None),
        Reason::Stuck { seconds } => (None, None, None, Some(*seconds)),
        Reason::Starting | Reason::Ending | Reason::NothingFollowed => (None, None, None, None),
    };
    field(into, "symbol");
    match symbol {
        Some(symbol) => string(into, symbol.as_str()),
        None => null(into),
    }
    field(into, "shard");
    maybe_integer(into, shard);
    field(into, "cause");
    match cause {
        Some(cause) => string(into, cause),
        None => null(into),
    }
    field(into, "seconds");
    double(into, seconds.map(to_the_millisecond));
    field(into, "detail");
    foreign(into, &reason.detail());
    into.push(b'}');
}
