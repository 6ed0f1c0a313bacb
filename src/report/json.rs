//! Records as JSON, one object per line, written by hand: exact decimals as strings, doubles in shortest
//! round-trip form, `null` for what is not known. `docs/output.md` and its schema describe every field.

use super::{Scope, StatRecord, StateRecord};
use crate::metrics::MonitoringMetrics;
use crate::report::Timings;
use crate::snapshot::{LaneSummary, Snapshot};
use crate::units::{DecimalText, QtyDelta};

/// The version of the record format.
pub(crate) const VERSION: u32 = 1;

/// Room for the fields of a CVD record behind its prefix; a longer one only costs an allocation.
const LONGEST_TRADE: usize = 512;

/// Writes the name of a field as one constant: a CVD record has fifteen of them.
macro_rules! name {
    ($into:expr, $name:literal) => {
        $into.extend_from_slice(concat!(",\"", $name, "\":").as_bytes())
    };
}

/// What every CVD record of a lane begins with.
#[derive(Debug)]
pub(crate) struct LanePrefix(Vec<u8>);

impl LanePrefix {
    pub(crate) fn new(snapshot: &Snapshot<'_>) -> Self {
        let market = snapshot.market;
        let mut text = Vec::new();
        head(&mut text, "cvd");
        field(&mut text, "symbol");
        string(&mut text, snapshot.symbol.as_str());
        field(&mut text, "market");
        string(&mut text, market.as_str());
        field(&mut text, "unit");
        string(&mut text, market.unit());
        field(&mut text, "source");
        string(&mut text, snapshot.source.as_str());
        text.extend_from_slice(b",\"agg_trade_id\":");
        Self(text)
    }
}

pub(crate) fn trade(into: &mut Vec<u8>, prefix: &LanePrefix, snapshot: &Snapshot<'_>) {
    let (trade, reading) = (snapshot.trade, &snapshot.reading);
    into.reserve(prefix.0.len() + LONGEST_TRADE);
    into.extend_from_slice(&prefix.0);
    integer(into, trade.id.0);
    name!(into, "event_time_ms");
    maybe_integer(into, trade.event_at.map(|at| at.0));
    name!(into, "trade_time_ms");
    integer(into, trade.traded_at.0);
    name!(into, "received_at_ms");
    maybe_integer(into, snapshot.received.map(|at| at.wall_ms()));
    name!(into, "latency_ms");
    double(into, snapshot.latency_ms());
    name!(into, "price");
    decimal(into, i128::from(trade.price.units()));
    name!(into, "qty");
    decimal(into, i128::from(trade.qty.units()));
    name!(into, "side");
    string(into, trade.aggressor.side());
    name!(into, "delta");
    decimal(into, reading.delta.units());
    numbers(into, reading.cvd, reading.z, reading.ema);
    name!(into, "warmup");
    boolean(into, reading.warmup);
    name!(into, "std_zero");
    boolean(into, reading.std_zero);
    name!(into, "bad_points");
    integer(into, reading.bad_points);
    into.extend_from_slice(b"}\n");
}

pub(crate) fn state(into: &mut Vec<u8>, scope: &Scope, record: &StateRecord) {
    head(into, "state");
    subject(into, scope);
    field(into, "state");
    string(into, record.status.as_str());
    field(into, "seconds");
    double(into, Some((record.seconds * 1e3).round() / 1e3));
    field(into, "at_ms");
    maybe_integer(into, record.at_ms);
    into.extend_from_slice(b"}\n");
}

pub(crate) fn stat(into: &mut Vec<u8>, scope: &Scope, record: &StatRecord<'_>) {
    head(into, "stat");
    subject(into, scope);
    field(into, "at_ms");
    maybe_integer(into, record.at_ms);
    metrics(into, record.metrics);
    timings(into, record.timings);
    into.extend_from_slice(b"}\n");
}

pub(crate) fn last(into: &mut Vec<u8>, scope: &Scope, lanes: &[LaneSummary], record: &StatRecord<'_>) {
    head(into, "final");
    match lanes {
        [only] => subject(into, &Scope { market: only.market, symbols: vec![only.symbol.clone()] }),
        _ => subject(into, scope),
    }
    field(into, "at_ms");
    maybe_integer(into, record.at_ms);
    into.extend_from_slice(b",\"symbols\":[");
    for (at, lane) in lanes.iter().enumerate() {
        if at > 0 {
            into.push(b',');
        }
        summary(into, lane);
    }
    into.push(b']');
    metrics(into, record.metrics);
    // A replay's numbers know no clock of ours, so that the same file gives the same bytes.
    if record.at_ms.is_some() {
        timings(into, record.timings);
    }
    into.extend_from_slice(b"}\n");
}

/// The one symbol a record speaks of, or `null` where it is several.
fn subject(into: &mut Vec<u8>, scope: &Scope) {
    field(into, "symbol");
    match scope.symbols.as_slice() {
        [only] => string(into, only.as_str()),
        _ => null(into),
    }
    field(into, "market");
    string(into, scope.market.as_str());
}

fn summary(into: &mut Vec<u8>, lane: &LaneSummary) {
    into.extend_from_slice(b"{\"symbol\":");
    string(into, lane.symbol.as_str());
    field(into, "market");
    string(into, lane.market.as_str());
    field(into, "unit");
    string(into, lane.market.unit());
    field(into, "trades");
    integer(into, lane.trades);
    field(into, "first_id");
    maybe_integer(into, lane.first_id.map(|id| id.0));
    field(into, "last_id");
    maybe_integer(into, lane.last_id.map(|id| id.0));
    numbers(into, lane.reading.cvd, lane.reading.z, lane.reading.ema);
    field(into, "warmup");
    boolean(into, lane.reading.warmup);
    field(into, "std_zero");
    boolean(into, lane.reading.std_zero);
    field(into, "bad_points");
    integer(into, lane.reading.bad_points);
    into.push(b'}');
}

fn numbers(into: &mut Vec<u8>, cvd: QtyDelta, z: Option<f64>, ema: Option<f64>) {
    name!(into, "cvd");
    decimal(into, cvd.units());
    name!(into, "z");
    double(into, z);
    name!(into, "ema");
    double(into, ema);
}

fn metrics(into: &mut Vec<u8>, metrics: &MonitoringMetrics) {
    let counters = [
        ("trades", metrics.applied_trades),
        ("reconnect_count", metrics.reconnect_count),
        ("queue_dropped", metrics.queue_dropped),
        ("total_messages", metrics.total_messages),
        ("parse_errors", metrics.parse_errors),
        ("bad_points", metrics.bad_points),
        ("unrequested_trades", metrics.unrequested_trades),
        ("control_messages", metrics.control_messages),
        ("other_messages", metrics.other_messages),
        ("suppressed_warnings", metrics.suppressed_warnings),
        ("dropped_log_lines", metrics.dropped_log_lines),
    ];
    for (name, value) in counters {
        field(into, name);
        integer(into, value);
    }
    field(into, "queue_dropped_rate");
    double(into, Some(metrics.queue_dropped_rate()));
}

fn timings(into: &mut Vec<u8>, timings: &Timings) {
    let processing = &timings.processing;
    let times = [
        ("avg_proc_ms", processing.mean_ms()),
        ("proc_p50_ms", processing.quantile_ms(0.5)),
        ("proc_p95_ms", processing.quantile_ms(0.95)),
        ("proc_p99_ms", processing.quantile_ms(0.99)),
        ("latency_p50_ms", timings.latency_quantile_ms(0.5)),
        ("latency_p95_ms", timings.latency_quantile_ms(0.95)),
        ("latency_p99_ms", timings.latency_quantile_ms(0.99)),
    ];
    for (name, value) in times {
        field(into, name);
        double(into, value);
    }
}

fn head(into: &mut Vec<u8>, kind: &str) {
    into.extend_from_slice(b"{\"v\":");
    integer(into, VERSION);
    field(into, "type");
    string(into, kind);
}

#[inline]
fn field(into: &mut Vec<u8>, name: &str) {
    into.extend_from_slice(b",\"");
    into.extend_from_slice(name.as_bytes());
    into.extend_from_slice(b"\":");
}

/// Symbols and our own words hold nothing that JSON escapes: letters, digits, `_` and `-`.
fn string(into: &mut Vec<u8>, text: &str) {
    into.push(b'"');
    into.extend_from_slice(text.as_bytes());
    into.push(b'"');
}

#[inline]
fn integer(into: &mut Vec<u8>, value: impl itoa::Integer) {
    into.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn maybe_integer(into: &mut Vec<u8>, value: Option<i64>) {
    match value {
        Some(value) => integer(into, value),
        None => null(into),
    }
}

#[inline]
fn double(into: &mut Vec<u8>, value: Option<f64>) {
    match value {
        Some(value) if value.is_finite() => {
            into.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes())
        }
        _ => null(into),
    }
}

#[inline]
fn decimal(into: &mut Vec<u8>, units: i128) {
    into.push(b'"');
    into.extend_from_slice(DecimalText::new().shortest(units).as_bytes());
    into.push(b'"');
}

fn boolean(into: &mut Vec<u8>, value: bool) {
    into.extend_from_slice(if value { b"true" } else { b"false" });
}

fn null(into: &mut Vec<u8>) {
    into.extend_from_slice(b"null");
}
