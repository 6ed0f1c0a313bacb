//! Records as JSON, one object per line, written by hand: exact decimals as strings, doubles in shortest
//! round-trip form, `null` for what is not known. `docs/output.md` and its schema describe every field.

mod bar;
mod group;
mod movers;
#[cfg(feature = "ops")]
mod overview;
mod statistics;
mod symbol;
mod write;

use super::{Scope, ShardScope, StatRecord, StateRecord};
use crate::snapshot::{Coverage, Flow, Gap, GapEvent, LaneSummary, Market, Snapshot, Stamp};
use crate::trade::AggTrade;
use crate::units::{QtyDelta, Symbol};

pub(crate) use bar::bar;
pub(crate) use group::group;
pub(crate) use movers::movers;
#[cfg(feature = "ops")]
pub(crate) use overview::{gaps, health, reset, snapshot, symbols};
use statistics::{ended, files, lines, metrics, timings};
pub(crate) use symbol::symbol;
use write::{
    boolean, decimal, double, field, foreign, integer, maybe_integer, null, string, to_the_millisecond,
};

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
    match &record.shard {
        None => subject(into, scope),
        Some(ShardScope { shard, market, .. }) => {
            speaks_of(into, None, Some(*market));
            field(into, "shard");
            integer(into, u32::from(shard.0) + 1);
        }
    }
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
    ended(into, record);
    timings(into, record);
    lines(into, record.lines);
    into.extend_from_slice(b"}\n");
}

pub(crate) fn last(into: &mut Vec<u8>, scope: &Scope, lanes: &[LaneSummary], record: &StatRecord<'_>) {
    head(into, "final");
    match lanes {
        [only] => lane(into, &only.symbol, only.market),
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
    ended(into, record);
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

/// The one symbol a record speaks of, or `null` where it is several; of several markets `null` too.
fn subject(into: &mut Vec<u8>, scope: &Scope) {
    match scope.instruments.as_slice() {
        [only] => lane(into, &only.symbol, only.market),
        _ => speaks_of(into, None, scope.only_market()),
    }
}

fn speaks_of(into: &mut Vec<u8>, symbol: Option<&Symbol>, market: Option<Market>) {
    field(into, "symbol");
    match symbol {
        Some(symbol) => string(into, symbol.as_str()),
        None => null(into),
    }
    field(into, "market");
    match market {
        Some(market) => string(into, market.as_str()),
        None => null(into),
    }
}

fn lane(into: &mut Vec<u8>, symbol: &Symbol, market: Market) {
    speaks_of(into, Some(symbol), Some(market));
}

/// The beginning of an object within a record.
fn begin(into: &mut Vec<u8>, symbol: &Symbol, market: Market) {
    into.extend_from_slice(b"{\"symbol\":");
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

fn summary(into: &mut Vec<u8>, lane: &LaneSummary) {
    begin(into, &lane.symbol, lane.market);
    summed_up(into, lane);
    into.push(b'}');
}

/// What a lane adds up to, behind its symbol and its market.
fn summed_up(into: &mut Vec<u8>, lane: &LaneSummary) {
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

fn numbers(into: &mut Vec<u8>, cvd: QtyDelta, z: Option<f64>, ema: Option<f64>) {
    name!(into, "cvd");
    decimal(into, cvd.units());
    name!(into, "z");
    double(into, z);
    name!(into, "ema");
    double(into, ema);
}

fn head(into: &mut Vec<u8>, kind: &str) {
    into.extend_from_slice(b"{\"v\":");
    integer(into, VERSION);
    field(into, "type");
    string(into, kind);
}
