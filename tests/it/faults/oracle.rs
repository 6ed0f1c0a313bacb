//! What must be true of a run, whatever happened in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::AddAssign;
use std::sync::atomic::Ordering;

use cvd_stream::cvd::{Cvd, CvdConfig, Reading};
use cvd_stream::exchange::Listing;
use cvd_stream::metrics::MonitoringMetrics;
use cvd_stream::processor::Ending;
use cvd_stream::snapshot::{LaneSummary, Quality};
use cvd_stream::trade::AggTrade;
use cvd_stream::units::{IdRange, Price, Qty, QtyDelta, Symbol};
use serde::Deserialize;

use super::schedule::Plan;
use super::world::{Outcome, Truth};
use crate::support::raw_field;

/// A record as far as it matters here.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Record {
    Cvd(CvdRecord),
    Gap(GapRecord),
    Stat {},
    State {},
    Final(FinalRecord),
}

#[derive(Debug, Deserialize)]
struct CvdRecord {
    symbol: String,
    agg_trade_id: i64,
    price: String,
    qty: String,
    side: String,
    trade_time_ms: i64,
    delta: String,
    cvd: String,
    epoch: u32,
    quality: String,
    missing_trades: u64,
}

#[derive(Debug, Deserialize)]
struct GapRecord {
    symbol: String,
    event: String,
    from_id: i64,
    to_id: i64,
    trades: u64,
}

#[derive(Debug, Deserialize)]
struct FinalRecord {
    symbols: Vec<LaneRecord>,
    gaps: u64,
    repaired_trades: u64,
    #[serde(rename = "missing_trades_total")]
    missing_trades: u64,
    trades: u64,
}

#[derive(Debug, Deserialize)]
struct LaneRecord {
    symbol: String,
    trades: u64,
    first_id: Option<i64>,
    last_id: Option<i64>,
    cvd: String,
    quality: String,
    missing_trades: u64,
}

type Verdict<T = ()> = Result<T, String>;

/// Fails with words unless a condition holds.
macro_rules! ensure {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err(format!($($words)+));
        }
    };
}

/// Checks everything; gives what was counted.
pub(crate) fn judge(plan: &Plan, outcome: &Outcome) -> Verdict<Tally> {
    if let Some(stuck) = &outcome.stuck {
        return Err(format!("stuck: {stuck}; {:?}; {}", outcome.summary, rules_broken(outcome)));
    }
    let summary = outcome.summary.as_ref().map_err(|error| format!("it ended with an error: {error}"))?;
    ensure!(summary.ending == Ending::SourceEnded, "it ended otherwise: {:?}", summary.ending);
    ensure!(outcome.exchange.violations.is_empty(), "{}", rules_broken(outcome));

    let records = parsed(&outcome.records)?;
    let (mut unrepaired, mut repaired, mut opened) = (0, 0, 0);
    for (at, symbol) in plan.symbols.iter().enumerate() {
        let lane = summary.lanes.iter().find(|lane| lane.symbol == *symbol).ok_or("a lane is missing")?;
        let about = |error| format!("{symbol}: {error}");
        let told = told_of(symbol, &records, &outcome.truth[at]).map_err(about)?;
        check_lane(plan, lane, &told, &outcome.truth[at]).map_err(about)?;
        unrepaired += told.missing_in_all;
        repaired += told.repaired;
        opened += told.opened;
    }
    let metrics = &summary.metrics;
    ensure!(metrics.missing_trades == unrepaired, "missing_trades: {metrics:?}; named were {unrepaired}");
    ensure!(
        std::env::var_os("LAX").is_some() || metrics.repaired_trades == repaired,
        "repaired_trades: {metrics:?}; named were {repaired}"
    );
    ensure!(metrics.gaps == opened, "gaps: {metrics:?}; opened were {opened}");
    ensure!(metrics.held_trades == 0, "held_trades: {metrics:?}");
    let text = String::from_utf8_lossy(&outcome.records);
    check_final(text.lines().last().unwrap_or_default(), &records, metrics, &summary.lanes)?;
    Ok(Tally::of(plan, outcome, metrics))
}

fn rules_broken(outcome: &Outcome) -> String {
    format!("rules of the exchange broken: {:?}", outcome.exchange.violations)
}

fn parsed(records: &[u8]) -> Verdict<Vec<Record>> {
    let text = std::str::from_utf8(records).map_err(|error| format!("records are not UTF-8: {error}"))?;
    let parse = |line: &str| serde_json::from_str(line).map_err(|error| format!("{error} in {line}"));
    text.lines().map(parse).collect()
}

/// What the records tell of a symbol.
#[derive(Default)]
struct Told {
    /// What was applied, and the last CVD, of the present epoch.
    applied: BTreeMap<i64, AggTrade>,
    cvd: QtyDelta,
    missing: Vec<IdRange>,
    /// Of all epochs.
    missing_in_all: u64,
    repaired: u64,
    opened: u64,
    epoch: u32,
}

/// Follows the records of a symbol, one by one, against the ledger.
fn told_of(symbol: &Symbol, records: &[Record], truth: &Truth) -> Verdict<Told> {
    let (symbol, lot) = (symbol.as_str(), Listing::new(symbol.clone()).lot);
    let epochs = epochs(&truth.trades);
    // The monitor may miss a whole epoch; it never goes back to one.
    let mut book = 0;
    let mut told = Told { epoch: 1, ..Told::default() };
    let mut open: Vec<IdRange> = Vec::new();
    for record in records {
        match record {
            Record::Cvd(record) if record.symbol == symbol => {
                let id = record.agg_trade_id;
                ensure!(record.epoch == told.epoch, "epoch {} in epoch {}", record.epoch, told.epoch);
                while told.applied.is_empty() && find(epochs[book], id).is_none() {
                    book += 1;
                    ensure!(book < epochs.len(), "{id} is in no ledger");
                }
                let last = told.applied.last_key_value().map(|(last, _)| *last);
                ensure!(last.is_none_or(|last| last < id), "{id} comes after {last:?}");
                let trade = find(epochs[book], id).ok_or_else(|| format!("{id} is not in the ledger"))?;
                told.applied.insert(id, check_trade(record, trade, lot, told.cvd)?);
                told.cvd = decimal(&record.cvd)?;
                let missing: u64 = told.missing.iter().map(|ids| ids.count()).sum();
                ensure!(record.missing_trades == missing, "{record:?}, but {missing} were given up");
                open.retain(|ids| ids.to.0 > id);
                let expected = match (open.is_empty(), missing) {
                    (_, 1..) => Quality::Missing,
                    (false, 0) => Quality::Repairing,
                    (true, 0) => Quality::Complete,
                };
                let fits = record.quality == expected.as_str()
                    || !open.is_empty() && record.quality == Quality::Repairing.as_str();
                ensure!(fits, "{record:?}, while open are {open:?} and given up {:?}", told.missing);
            }
            Record::Gap(gap) if gap.symbol == symbol => {
                let ids = IdRange::new(gap.from_id, gap.to_id);
                match gap.event.as_str() {
                    "opened" => {
                        ensure!(gap.trades == ids.count(), "{gap:?}");
                        // One that takes the place of others is no new one.
                        let grows = open.iter().any(|other| ids.from <= other.to && other.from <= ids.to);
                        told.opened += u64::from(!grows);
                        take_away(&mut open, ids);
                        open.push(ids);
                    }
                    "repaired" => {
                        told.repaired += gap.trades;
                        take_away(&mut open, ids);
                    }
                    "unrepaired" => {
                        ensure!(gap.trades == ids.count(), "{gap:?}");
                        told.missing_in_all += gap.trades;
                        told.missing.push(ids);
                        take_away(&mut open, ids);
                    }
                    "reset" => {
                        close_epoch(&told, epochs[book])?;
                        book += 1;
                        ensure!(book < epochs.len(), "{gap:?}, and the ledger has no new numbering");
                        open.clear();
                        let Told { missing_in_all, repaired, opened, epoch, .. } = told;
                        told = Told { epoch: epoch + 1, missing_in_all, repaired, opened, ..Told::default() };
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
    close_epoch(&told, epochs[book])?;
    // Of a hole that was given up in part, what had come before is in.
    open.retain(|ids| told.applied.last_key_value().is_none_or(|(last, _)| ids.to.0 > *last));
    ensure!(book + 1 == epochs.len(), "the last epoch of the ledger was never reached");
    ensure!(open.is_empty(), "still open at the end: {open:?}");
    Ok(told)
}

/// What is left of some ranges without these ids.
fn take_away(ranges: &mut Vec<IdRange>, ids: IdRange) {
    let (from, to) = (ids.from.0, ids.to.0);
    let parts = |range: &IdRange| {
        let (first, last) = (range.from.0, range.to.0);
        let (below, above) = ((first, last.min(from - 1)), (first.max(to + 1), last));
        [below, above]
            .into_iter()
            .filter(|(first, last)| first <= last)
            .map(|(first, last)| IdRange::new(first, last))
    };
    *ranges = ranges.iter().flat_map(parts).collect();
}

/// The missing ids of an epoch are exactly those that are in the ledger and were not applied.
fn close_epoch(told: &Told, ledger: &[AggTrade]) -> Verdict {
    let (Some((first, _)), Some((last, _))) = (told.applied.first_key_value(), told.applied.last_key_value())
    else {
        return Ok(());
    };
    let mut missing = BTreeSet::new();
    for ids in &told.missing {
        for id in ids.from.0..=ids.to.0 {
            ensure!(missing.insert(id), "{id} is given up twice");
            ensure!(!told.applied.contains_key(&id), "{id} is given up and applied");
            ensure!(find(ledger, id).is_some(), "{id} is given up and was never there");
        }
    }
    for trade in ledger {
        let id = trade.id.0;
        let is_accounted_for =
            told.applied.contains_key(&id) || missing.contains(&id) || trade.qty.units() == 0;
        ensure!(
            id < *first || id > *last || is_accounted_for,
            "{id} is neither applied nor named as missing"
        );
    }
    Ok(())
}

fn check_trade(record: &CvdRecord, trade: &AggTrade, lot: Qty, before: QtyDelta) -> Verdict<AggTrade> {
    let price: Price = record.price.parse().map_err(|error| format!("{error} in {record:?}"))?;
    let qty: Qty = record.qty.parse().map_err(|error| format!("{error} in {record:?}"))?;
    let same = (price, record.side.as_str(), record.trade_time_ms)
        == (trade.price, trade.aggressor.side(), trade.traded_at.0);
    // Of two contents of an id the first to arrive counts, and that may be the wrong one.
    let one_lot_more = Qty::from_units(trade.qty.units() + lot.units());
    ensure!(same && (qty == trade.qty || qty == one_lot_more), "{record:?} is not {trade:?}");
    let (delta, cvd) = (decimal(&record.delta)?, decimal(&record.cvd)?);
    let applied = AggTrade { qty, ..*trade };
    ensure!(delta == applied.delta() && Some(cvd) == before.checked_add(delta), "{record:?} after {before}");
    Ok(applied)
}

fn decimal(text: &str) -> Verdict<QtyDelta> {
    text.parse().map_err(|error| format!("{error} in {text}"))
}

/// The numbers at the end are those of an unbroken run, where everything could be had.
fn check_lane(plan: &Plan, lane: &LaneSummary, told: &Told, truth: &Truth) -> Verdict {
    let ledger = epochs(&truth.trades).last().copied().unwrap_or_default();
    let coverage = &lane.coverage;
    let first = coverage.first_id.ok_or("nothing was covered")?;
    ensure!(coverage.last_id == ledger.last().map(|trade| trade.id), "{coverage:?} is not the whole ledger");
    ensure!(lane.open.is_none() && lane.held_trades == 0, "{lane:?}");
    ensure!(coverage.epoch == told.epoch, "{coverage:?}, but records tell of epoch {}", told.epoch);
    let missing: u64 = told.missing.iter().map(|ids| ids.count()).sum();
    ensure!(coverage.missing_trades == missing, "{coverage:?}, but {missing} were named");
    let span = IdRange { from: first, to: coverage.last_id.unwrap_or(first) }.count();
    ensure!(lane.ids_seen + missing == span, "{} seen + {missing} missing are not {span}", lane.ids_seen);
    let quality = if missing > 0 { Quality::Missing } else { Quality::Complete };
    ensure!(coverage.quality == quality, "{coverage:?}");

    let mut calculator = Cvd::new(CvdConfig::default()).map_err(|error| error.to_string())?;
    let mut sum = QtyDelta::ZERO;
    for trade in ledger.iter().filter(|trade| trade.id >= first) {
        let applied = told.applied.get(&trade.id.0);
        // Voided ones are refused, as they should be.
        calculator.apply(applied.unwrap_or(trade)).ok();
        if let Some(applied) = applied {
            sum = sum.checked_add(applied.delta()).ok_or("overflow")?;
        }
    }
    ensure!(lane.reading.cvd == sum, "CVD is {}, the sum of what was applied {sum}", lane.reading.cvd);
    if missing == 0 {
        let (theirs, ours) = (bits(&calculator.reading()), bits(&lane.reading));
        ensure!(theirs == ours, "{:?}, an unbroken run says {:?}", lane.reading, calculator.reading());
    }
    // Where REST loses trades, or refuses or lags until the deadline, some may well be missing.
    ensure!(plan.lossy || missing == 0, "{missing} are missing, and all could be had: {:?}", told.missing);
    Ok(())
}

type Bits = (QtyDelta, Option<u64>, Option<u64>, bool, bool);

fn bits(reading: &Reading) -> Bits {
    let (ema, z) = (reading.ema.map(f64::to_bits), reading.z.map(f64::to_bits));
    (reading.cvd, ema, z, reading.warmup, reading.std_zero)
}

/// The bits of a number of a symbol in the final record: read from the text, because serde_json may be off by one.
fn double(line: &str, symbol: &str, name: &str) -> Option<u64> {
    let lane = &line[line.find(&format!("{{\"symbol\":\"{symbol}\""))?..];
    raw_field(lane, name).parse().ok().map(f64::to_bits)
}

/// The last record says what the summary says.
fn check_final(
    line: &str,
    records: &[Record],
    metrics: &MonitoringMetrics,
    lanes: &[LaneSummary],
) -> Verdict {
    let Some((Record::Final(last), others)) = records.split_last() else {
        return Err(format!("the last record is not the final one: {:?}", records.last()));
    };
    ensure!(!others.iter().any(|record| matches!(record, Record::Final(_))), "two final records");
    let told = (last.gaps, last.repaired_trades, last.missing_trades, last.trades);
    let counted = (metrics.gaps, metrics.repaired_trades, metrics.missing_trades, metrics.applied_trades);
    ensure!(told == counted, "{last:?} is not {metrics:?}");
    for (record, lane) in last.symbols.iter().zip(lanes) {
        let told = (record.symbol.as_str(), record.trades, record.first_id, record.last_id);
        let ids = (lane.coverage.first_id, lane.coverage.last_id);
        let summed = (lane.symbol.as_str(), lane.trades, ids.0.map(|id| id.0), ids.1.map(|id| id.0));
        ensure!(told == summed, "{record:?} is not {lane:?}");
        let numbers =
            (decimal(&record.cvd)?, double(line, &record.symbol, "ema"), double(line, &record.symbol, "z"));
        let reading = bits(&lane.reading);
        ensure!(numbers == (reading.0, reading.1, reading.2), "{line} is not {lane:?}");
        let proof = (record.quality.as_str(), record.missing_trades);
        let expected = (lane.coverage.quality.as_str(), lane.coverage.missing_trades);
        ensure!(proof == expected, "{record:?} is not {lane:?}");
    }
    Ok(())
}

/// The runs of ids in a ledger.
fn epochs(trades: &[AggTrade]) -> Vec<&[AggTrade]> {
    trades.chunk_by(|before, after| after.id.0 == before.id.0 + 1).collect()
}

fn find(ledger: &[AggTrade], id: i64) -> Option<&AggTrade> {
    let at = id.checked_sub(ledger.first()?.id.0)?;
    ledger.get(usize::try_from(at).ok()?)
}

macro_rules! tally {
    ($($field:ident),+ $(,)?) => {
        /// What happened, over all schedules: the proof that things do go wrong.
        #[derive(Debug, Default, Clone, Copy)]
        pub(crate) struct Tally {
            $($field: u64,)+
        }

        impl AddAssign for Tally {
            fn add_assign(&mut self, other: Self) {
                $(self.$field += other.$field;)+
            }
        }

        impl fmt::Display for Tally {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let fields = [$((stringify!($field), self.$field)),+];
                for (name, count) in fields {
                    writeln!(f, "  {name:<24}{count:>12}")?;
                }
                Ok(())
            }
        }

        impl Tally {
            /// A suite in which something never happens proves nothing about it.
            pub(crate) fn assert_that_everything_happened(&self) {
                $(assert!(self.$field > 0, "{} never happened", stringify!($field));)+
            }
        }
    };
}

tally! {
    schedules, lossy_schedules, simulated_minutes, ledger_trades, applied_trades, duplicate_trades,
    reconnects, refused_handshakes, network_refusals, network_resets, network_hang_ups, network_half_open,
    evicted_frames, malformed, gaps, repaired_trades, missing_trades, conflicts, implausible_trades, resets,
    voided_trades, rest_requests, rest_refusals,
}

impl Tally {
    fn of(plan: &Plan, outcome: &Outcome, metrics: &MonitoringMetrics) -> Self {
        let made = outcome.truth.iter().flat_map(|truth| &truth.trades);
        let damage = &outcome.damage;
        Self {
            schedules: 1,
            lossy_schedules: u64::from(plan.lossy),
            simulated_minutes: outcome.took.as_secs() / 60,
            ledger_trades: made.clone().count() as u64,
            applied_trades: metrics.applied_trades,
            duplicate_trades: metrics.duplicate_trades,
            reconnects: metrics.reconnect_count,
            refused_handshakes: outcome.exchange.stats.refused,
            network_refusals: damage.refused.load(Ordering::Relaxed),
            network_resets: damage.resets.load(Ordering::Relaxed),
            network_hang_ups: damage.hang_ups.load(Ordering::Relaxed),
            network_half_open: damage.half_open.load(Ordering::Relaxed),
            evicted_frames: metrics.queue_dropped,
            malformed: metrics.parse_errors,
            gaps: metrics.gaps,
            repaired_trades: metrics.repaired_trades,
            missing_trades: metrics.missing_trades,
            conflicts: metrics.conflicts,
            implausible_trades: metrics.implausible_trades,
            resets: metrics.resets,
            voided_trades: made.filter(|trade| trade.qty.units() == 0).count() as u64,
            rest_requests: outcome.exchange.stats.rest_requests,
            rest_refusals: outcome.exchange.stats.rest_refused,
        }
    }
}
