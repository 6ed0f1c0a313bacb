//! Records as JSON, one object per line, written by hand: exact decimals as strings, doubles in shortest
//! round-trip form, `null` for what is not known. `docs/output.md` and its schema describe every field.

mod bar;

use super::{Scope, StatRecord, StateRecord};
use crate::metrics::MonitoringMetrics;
use crate::progress::ReplayStatistics;
use crate::report::LineRecord;
use crate::snapshot::{Coverage, Flow, Gap, GapEvent, LaneSummary, Market, Snapshot, Stamp};
use crate::trade::AggTrade;
use crate::units::{DecimalText, QtyDelta, Symbol};

pub(crate) use bar::bar;

/// The version of the record format.
pub(crate) const VERSION: u32 = 1;

/// Room for the fields of a CVD record behind its prefix; a longer one only costs an allocation.
const LONGEST_TRADE: usize = 640;

/// Writes the name of a field as one constant: a CVD record has fifteen of them.
macro_rules! name {
    ($into:expr, $name:literal) => {
        $into.extend_from_slice(concat!(",\"", $name, "\":").as_bytes())
    };
}

/// What the CVD records of a lane have in common: their beginning, and what they say about the ids they cover but for
/// the last one, until that changes.
#[derive(Debug)]
pub(crate) struct LaneText {
    head: Vec<u8>,
    covered: Coverage,
    before_last_id: Vec<u8>,
    after_last_id: Vec<u8>,
}

impl LaneText {
    pub(crate) fn new(snapshot: &Snapshot<'_>) -> Self {
        let mut text = Vec::new();
        head(&mut text, "cvd");
        lane(&mut text, snapshot.symbol, snapshot.market);
        field(&mut text, "unit");
        string(&mut text, snapshot.market.unit());
        text.extend_from_slice(b",\"source\":\"");
        let mut lane = Self {
            head: text,
            covered: *snapshot.coverage,
            before_last_id: Vec::new(),
            after_last_id: Vec::new(),
        };
        lane.cover(snapshot.coverage);
        lane
    }

    #[cold]
    fn cover(&mut self, coverage: &Coverage) {
        self.covered = *coverage;
        self.before_last_id.clear();
        before_last_id(&mut self.before_last_id, coverage);
        self.after_last_id.clear();
        after_last_id(&mut self.after_last_id, coverage);
        self.after_last_id.extend_from_slice(b"}\n");
    }

    fn is_current(&self, coverage: &Coverage) -> bool {
        let Coverage { epoch, first_id, quality, missing_trades, last_id: _ } = *coverage;
        let covered = &self.covered;
        missing_trades == covered.missing_trades
            && quality == covered.quality
            && first_id == covered.first_id
            && epoch == covered.epoch
    }
}

pub(crate) fn trade(into: &mut Vec<u8>, lane: &mut LaneText, snapshot: &Snapshot<'_>) {
    let (trade, reading) = (snapshot.trade, &snapshot.reading);
    if !lane.is_current(snapshot.coverage) {
        lane.cover(snapshot.coverage);
    }
    into.reserve(lane.head.len() + LONGEST_TRADE);
    into.extend_from_slice(&lane.head);
    into.extend_from_slice(snapshot.source.as_str().as_bytes());
    into.extend_from_slice(b"\",\"agg_trade_id\":");
    let mut digits = itoa::Buffer::new();
    let id = digits.format(trade.id.0).as_bytes();
    into.extend_from_slice(id);
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
    into.extend_from_slice(&lane.before_last_id);
    // The last id that is covered is the trade's.
    into.extend_from_slice(id);
    into.extend_from_slice(&lane.after_last_id);
}

/// What happened to the ids of a lane.
pub(crate) fn gap(into: &mut Vec<u8>, gap: &Gap<'_>) {
    head(into, "gap");
    lane(into, gap.symbol, gap.market);
    field(into, "event");
    string(into, gap.event.as_str());
    field(into, "cause");
    string(into, gap.cause.as_str());
    field(into, "from_id");
    integer(into, gap.ids.from.0);
    field(into, "to_id");
    integer(into, gap.ids.to.0);
    field(into, "trades");
    integer(into, gap.trades);
    field(into, "opened_at_ms");
    maybe_integer(into, gap.opened_at.map(Stamp::wall_ms));
    field(into, "at_ms");
    maybe_integer(into, gap.at.map(Stamp::wall_ms));
    field(into, "after_trade_time_ms");
    maybe_integer(into, gap.after_trade_at.map(|at| at.0));
    field(into, "seconds");
    double(into, gap.seconds().map(to_the_millisecond));
    field(into, "pages");
    integer(into, gap.pages);
    numbers(into, gap.reading.cvd, gap.reading.z, gap.reading.ema);
    coverage(into, gap.coverage);
    if let (GapEvent::Conflict, Some((kept, refused))) = (gap.event, gap.conflict) {
        for (name, trade) in [("kept", kept), ("refused", refused)] {
            field(into, name);
            content(into, trade);
        }
    }
    into.extend_from_slice(b"}\n");
}

/// One of the contents of a conflicting id.
fn content(into: &mut Vec<u8>, trade: &AggTrade) {
    into.extend_from_slice(b"{\"price\":");
    decimal(into, i128::from(trade.price.units()));
    field(into, "qty");
    decimal(into, i128::from(trade.qty.units()));
    field(into, "side");
    string(into, trade.aggressor.side());
    field(into, "trade_time_ms");
    integer(into, trade.traded_at.0);
    field(into, "first_trade_id");
    integer(into, trade.first_trade_id);
    field(into, "last_trade_id");
    integer(into, trade.last_trade_id);
    into.push(b'}');
}

pub(crate) fn state(into: &mut Vec<u8>, scope: &Scope, record: &StateRecord<'_>) {
    head(into, "state");
    subject(into, scope);
    field(into, "state");
    string(into, record.status.as_str());
    field(into, "seconds");
    double(into, Some(to_the_millisecond(record.seconds)));
    field(into, "cause");
    match record.cause {
        Some(cause) => string(into, cause.as_str()),
        None => null(into),
    }
    field(into, "detail");
    match record.cause {
        Some(cause) => foreign(into, &cause.to_string()),
        None => null(into),
    }
    field(into, "at_ms");
    maybe_integer(into, record.at_ms);
    coverage(into, &record.coverage);
    into.extend_from_slice(b"}\n");
}

pub(crate) fn stat(into: &mut Vec<u8>, scope: &Scope, record: &StatRecord<'_>) {
    head(into, "stat");
    subject(into, scope);
    field(into, "at_ms");
    maybe_integer(into, record.at_ms);
    coverage(into, &record.coverage);
    metrics(into, record.metrics);
    timings(into, record);
    lines(into, record.lines);
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
    coverage(into, &record.coverage);
    metrics(into, record.metrics);
    if let Some(read) = &record.files {
        files(into, read);
    }
    // A replay's numbers know no clock of ours, so that the same file gives the same bytes.
    if record.at_ms.is_some() {
        timings(into, record);
        lines(into, record.lines);
    }
    into.extend_from_slice(b"}\n");
}

/// The one symbol a record speaks of, or `null` where it is several.
fn subject(into: &mut Vec<u8>, scope: &Scope) {
    match scope.symbols.as_slice() {
        [only] => lane(into, only, scope.market),
        _ => {
            field(into, "symbol");
            null(into);
            field(into, "market");
            string(into, scope.market.as_str());
        }
    }
}

fn lane(into: &mut Vec<u8>, symbol: &Symbol, market: Market) {
    field(into, "symbol");
    string(into, symbol.as_str());
    field(into, "market");
    string(into, market.as_str());
}

/// Which ids the numbers cover, and whether all of them are in.
fn coverage(into: &mut Vec<u8>, coverage: &Coverage) {
    before_last_id(into, coverage);
    maybe_integer(into, coverage.last_id.map(|id| id.0));
    after_last_id(into, coverage);
}

fn before_last_id(into: &mut Vec<u8>, coverage: &Coverage) {
    name!(into, "epoch");
    integer(into, coverage.epoch);
    name!(into, "quality");
    string(into, coverage.quality.as_str());
    name!(into, "first_id");
    maybe_integer(into, coverage.first_id.map(|id| id.0));
    into.extend_from_slice(b",\"last_id\":");
}

fn after_last_id(into: &mut Vec<u8>, coverage: &Coverage) {
    name!(into, "missing_trades");
    integer(into, coverage.missing_trades);
}

fn to_the_millisecond(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
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
    coverage(into, &lane.coverage);
    for (name, value) in [
        ("ids_seen", lane.ids_seen),
        ("repaired_trades", lane.repaired_trades),
        ("duplicate_trades", lane.duplicate_trades),
        ("conflicts", lane.conflicts),
        ("held_trades", lane.held_trades),
    ] {
        field(into, name);
        integer(into, value);
    }
    field(into, "open_from_id");
    maybe_integer(into, lane.open.map(|ids| ids.from.0));
    field(into, "open_to_id");
    maybe_integer(into, lane.open.map(|ids| ids.to.0));
    field(into, "holes");
    integer(into, lane.holes);
    flow(into, &lane.flow);
    numbers(into, lane.reading.cvd, lane.reading.z, lane.reading.ema);
    field(into, "warmup");
    boolean(into, lane.reading.warmup);
    field(into, "std_zero");
    boolean(into, lane.reading.std_zero);
    field(into, "bad_points");
    integer(into, lane.reading.bad_points);
    into.push(b'}');
}

/// What the trades of a lane add up to.
fn flow(into: &mut Vec<u8>, flow: &Flow) {
    field(into, "first_trade_time_ms");
    maybe_integer(into, flow.span.map(|(first, _)| first.0));
    field(into, "last_trade_time_ms");
    maybe_integer(into, flow.span.map(|(_, last)| last.0));
    let (lowest, highest) = (flow.cvd.map(|(lowest, _)| lowest), flow.cvd.map(|(_, highest)| highest));
    for (name, value) in [
        ("buy_volume", Some(flow.buy)),
        ("sell_volume", Some(flow.sell)),
        ("delta", flow.delta()),
        ("cvd_low", lowest),
        ("cvd_high", highest),
    ] {
        field(into, name);
        match value {
            Some(value) => decimal(into, value.units()),
            None => null(into),
        }
    }
}

/// What became of the files of a replay.
fn files(into: &mut Vec<u8>, files: &ReplayStatistics) {
    into.extend_from_slice(b",\"files\":{\"read\":");
    integer(into, files.files);
    for (name, value) in [
        ("skipped", files.skipped_files),
        ("left_out", files.left_out_files),
        ("sorted", files.sorted_files),
        ("overlapping_rows", files.overlapping_rows),
        ("misplaced_rows", files.misplaced_rows),
    ] {
        field(into, name);
        integer(into, value);
    }
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
        ("hand_overs", metrics.hand_overs),
        ("queue_dropped", metrics.queue_dropped),
        ("total_messages", metrics.total_messages),
        ("parse_errors", metrics.parse_errors),
        ("bad_points", metrics.bad_points),
        ("gaps", metrics.gaps),
        ("repaired_trades", metrics.repaired_trades),
        ("missing_trades_total", metrics.missing_trades),
        ("duplicate_trades", metrics.duplicate_trades),
        ("copied_trades", metrics.copied_trades),
        ("conflicts", metrics.conflicts),
        ("implausible_trades", metrics.implausible_trades),
        ("resets", metrics.resets),
        ("held_trades", metrics.held_trades),
        ("rest_calls", metrics.rest_calls),
        ("repair_calls", metrics.repair_calls),
        ("rest_used_weight", metrics.rest_used_weight),
        ("checkpoints", metrics.checkpoints),
        ("checkpoint_failures", metrics.checkpoint_failures),
        ("recorded_inputs", metrics.recorded_inputs),
        ("unrecorded_inputs", metrics.unrecorded_inputs),
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
    field(into, "checkpoint_age_ms");
    maybe_integer(into, metrics.checkpoint_age_ms.map(|age| i64::try_from(age).unwrap_or(i64::MAX)));
    field(into, "queue_dropped_rate");
    double(into, Some(metrics.queue_dropped_rate()));
}

/// Of a redundant feed only.
fn lines(into: &mut Vec<u8>, lines: &[LineRecord]) {
    if lines.is_empty() {
        return;
    }
    into.extend_from_slice(b",\"lines\":[");
    for (at, line) in lines.iter().enumerate() {
        into.extend_from_slice(if at > 0 { b",{\"line\":" } else { b"{\"line\":" });
        integer(into, line.line.0 + 1);
        field(into, "connected_s");
        double(into, line.connected_s.map(to_the_millisecond));
        field(into, "first");
        integer(into, line.first);
        let [p50, p99, max] = line.lead_ms.map_or([None; 3], |lead| lead.map(Some));
        for (name, value) in [("lead_p50_ms", p50), ("lead_p99_ms", p99), ("lead_max_ms", max)] {
            field(into, name);
            double(into, value);
        }
        into.push(b'}');
    }
    into.push(b']');
}

fn timings(into: &mut Vec<u8>, record: &StatRecord<'_>) {
    let (timings, clock) = (record.timings, record.clock);
    let processing = &timings.processing;
    let times = [
        ("avg_proc_ms", processing.mean_ms()),
        ("proc_p50_ms", processing.quantile_ms(0.5)),
        ("proc_p95_ms", processing.quantile_ms(0.95)),
        ("proc_p99_ms", processing.quantile_ms(0.99)),
        ("latency_p50_ms", timings.latency_quantile_ms(0.5)),
        ("latency_p95_ms", timings.latency_quantile_ms(0.95)),
        ("latency_p99_ms", timings.latency_quantile_ms(0.99)),
        ("exchange_p50_ms", timings.exchange_quantile_ms(0.5)),
        ("exchange_p95_ms", timings.exchange_quantile_ms(0.95)),
        ("network_p50_ms", timings.network_quantile_ms(0.5, clock)),
        ("network_p95_ms", timings.network_quantile_ms(0.95, clock)),
        ("network_p99_ms", timings.network_quantile_ms(0.99, clock)),
        ("own_p50_ms", timings.own_quantile_ms(0.5)),
        ("own_p95_ms", timings.own_quantile_ms(0.95)),
        ("clock_offset_ms", clock.map(|clock| clock.offset_ms)),
        ("clock_error_ms", clock.map(|clock| clock.error_ms)),
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

/// A sentence that may hold words from outside.
fn foreign(into: &mut Vec<u8>, text: &str) {
    into.push(b'"');
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                into.push(b'\\');
                into.push(character as u8);
            }
            control if control.is_control() => {
                into.extend_from_slice(format!("\\u{:04x}", control as u32).as_bytes());
            }
            plain => into.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
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
    into.extend_from_slice(DecimalText::new().shortest_ascii(units));
    into.push(b'"');
}

fn boolean(into: &mut Vec<u8>, value: bool) {
    into.extend_from_slice(if value { b"true" } else { b"false" });
}

fn null(into: &mut Vec<u8>) {
    into.extend_from_slice(b"null");
}
