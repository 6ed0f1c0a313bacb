//! Records as log lines for people: the original's lines, field for field, `none` for what is not known.

mod bar;

use std::fmt::{self, Display};
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::events::escaped_line;
use super::{LinkStatus, StatRecord, StateRecord};
use crate::snapshot::{Coverage, Gap, GapCause, GapEvent, LaneSummary, Quality, Snapshot};
use crate::trade::AggTrade;
use crate::units::{IdRange, UnixMillis};

pub(crate) use bar::{bar, closing};

/// When a trade arrived; where that is not known, as in a file, when it happened.
pub(crate) fn moment(snapshot: &Snapshot<'_>) -> SystemTime {
    snapshot.received.map_or_else(|| moment_of(snapshot.trade.traded_at), |stamp| at(stamp.wall_ns))
}

/// A moment by its nanoseconds since 1970; what lies before is shown as that.
pub(crate) fn at(wall_ns: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(u64::try_from(wall_ns).unwrap_or(0))
}

/// An instant of the exchange's as the system's.
pub(crate) fn moment_of(UnixMillis(ms): UnixMillis) -> SystemTime {
    // In nanoseconds no stamp leaves the range of any system.
    at(ms.saturating_mul(1_000_000))
}

/// The head that log lines share: an RFC 3339 UTC stamp and a level.
pub(crate) fn stamp(into: &mut Vec<u8>, level: &str, color: bool, at: SystemTime) {
    let at = rfc3339(at);
    put(into, format_args!("{}", Head { at: &at, level, color }));
}

struct Head<'a> {
    at: &'a str,
    level: &'a str,
    color: bool,
}

impl Display for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, level, color } = self;
        if *color {
            let tint = match *level {
                "ERROR" => 31,
                "WARN" => 33,
                _ => 32,
            };
            write!(f, "\x1b[2m{at}\x1b[0m \x1b[{tint}m{level:>5}\x1b[0m ")
        } else {
            write!(f, "{at} {level:>5} ")
        }
    }
}

pub(crate) fn trade(into: &mut Vec<u8>, snapshot: &Snapshot<'_>) {
    let reading = &snapshot.reading;
    put(
        into,
        format_args!(
            "CVD {} | cvd={:.6} z={} ema={} | warmup={} std_zero={} bad={} | latency={}{}\n",
            snapshot.symbol,
            reading.cvd,
            Known(reading.z, 3, ""),
            Known(reading.ema, 6, ""),
            reading.warmup,
            reading.std_zero,
            reading.bad_points,
            Known(snapshot.latency_ms(), 1, "ms"),
            Flaw(snapshot.coverage),
        ),
    );
}

/// What a number has to say about itself when it is not complete; nothing otherwise.
struct Flaw<'a>(&'a Coverage);

impl Display for Flaw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.quality {
            Quality::Complete => Ok(()),
            quality => write!(f, " | quality={} missing={}", quality.as_str(), self.0.missing_trades),
        }
    }
}

/// The level of a gap's line.
pub(crate) fn gap_level(event: GapEvent) -> &'static str {
    match event {
        GapEvent::Repaired => "INFO",
        GapEvent::Opened | GapEvent::Conflict | GapEvent::Reset => "WARN",
        GapEvent::Unrepaired => "ERROR",
    }
}

/// The line about a gap. Of a file the loss alone is told: nobody can be asked for what is not in it.
pub(crate) fn gap(gap: &Gap<'_>) -> Option<String> {
    let Gap { symbol, ids, trades, .. } = gap;
    let event = gap.event.as_str();
    let ids = named(*ids);
    let missing = format!("GAP {symbol} {event} | {ids} ({})", counted(*trades, "trade"));
    let place = match gap.cause {
        GapCause::Wire => "lost on the wire",
        GapCause::Queue => "dropped by our own full buffers",
        GapCause::Malformed => "in messages that could not be read",
        GapCause::Restart => "lost",
        GapCause::File => "not in the file",
    };
    Some(match gap.event {
        GapEvent::Opened if gap.cause == GapCause::File => return None,
        GapEvent::Opened => format!("{missing} {place}; later trades of {symbol} wait"),
        GapEvent::Repaired => {
            let whole = if gap.coverage.quality == Quality::Complete { "; CVD is whole" } else { "" };
            let seconds = gap.seconds().map_or_else(String::new, |seconds| format!(" after {seconds:.3} s"));
            let pages = counted(u64::from(gap.pages), "page");
            format!(
                "GAP {symbol} {event} | {ids}: {} came{seconds}, {pages} from REST{whole}",
                counted(*trades, "trade")
            )
        }
        GapEvent::Unrepaired => format!(
            "{missing} {place} and cannot be had: CVD goes on without them ({} missing in all), the Z-score begins anew",
            gap.coverage.missing_trades
        ),
        GapEvent::Conflict => {
            let contents = gap
                .conflict
                .map(|(kept, refused)| format!(": kept {}, refused {}", Content(kept), Content(refused)));
            format!("GAP {symbol} {event} | {ids} came twice{}", contents.unwrap_or_default())
        }
        GapEvent::Reset => format!(
            "GAP {symbol} {event} | the exchange numbers {symbol} anew: epoch {} ends with cvd={} over {}, {ids}, {} missing; \
             all numbers begin anew",
            gap.coverage.epoch,
            gap.reading.cvd,
            counted(*trades, "trade"),
            gap.coverage.missing_trades
        ),
    })
}

/// `id 5`, `ids 5 to 7`.
fn named(ids: IdRange) -> String {
    if ids.from == ids.to { format!("id {}", ids.from) } else { format!("ids {ids}") }
}

/// `1 trade`, `2 trades`.
fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// A trade's price, quantity and side.
struct Content<'a>(&'a AggTrade);

impl Display for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} at {}", self.0.aggressor.side(), self.0.qty, self.0.price)
    }
}

pub(crate) fn summary(into: &mut Vec<u8>, lane: &LaneSummary) {
    let reading = &lane.reading;
    put(
        into,
        format_args!(
            "[FINAL] {} | trades={} first_id={} last_id={} | cvd={} z={} ema={} | warmup={} std_zero={} bad={} | \
             quality={} ids_seen={} repaired={} missing={} duplicates={}{}\n",
            lane.symbol,
            lane.trades,
            Or(lane.coverage.first_id),
            Or(lane.coverage.last_id),
            reading.cvd,
            Known(reading.z, 3, ""),
            Known(reading.ema, 6, ""),
            reading.warmup,
            reading.std_zero,
            reading.bad_points,
            lane.coverage.quality.as_str(),
            lane.ids_seen,
            lane.repaired_trades,
            lane.coverage.missing_trades,
            lane.duplicate_trades,
            StillOpen(lane),
        ),
    );
}

/// What was still missing, and what waited for it, when the run ended.
struct StillOpen<'a>(&'a LaneSummary);

impl Display for StillOpen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.open {
            None => Ok(()),
            Some(ids) => {
                let held = self.0.held_trades;
                write!(f, " open={}..{} held={held} (ended before that was repaired)", ids.from, ids.to)
            }
        }
    }
}

pub(crate) fn stat(into: &mut Vec<u8>, name: &str, record: &StatRecord<'_>) {
    let (metrics, timings) = (record.metrics, record.timings);
    let processing = &timings.processing;
    put(
        into,
        format_args!(
            "{name} trades={} avg_proc={} p50={} p95={} p99={} latency_p50={} latency_p95={} latency_p99={} | \
             reconnect_count={} queue_dropped={} total_messages={} parse_errors={} queue_dropped_rate={:.6} | \
             gaps={} repaired={} missing={} duplicates={} rest_calls={} | \
             exchange_p50={} exchange_p95={} network_p50={} network_p95={} own_p50={} own_p95={} clock={}",
            metrics.applied_trades,
            Known(processing.mean_ms(), 4, "ms"),
            Known(processing.quantile_ms(0.5), 4, "ms"),
            Known(processing.quantile_ms(0.95), 4, "ms"),
            Known(processing.quantile_ms(0.99), 4, "ms"),
            Known(timings.latency_quantile_ms(0.5), 1, "ms"),
            Known(timings.latency_quantile_ms(0.95), 1, "ms"),
            Known(timings.latency_quantile_ms(0.99), 1, "ms"),
            metrics.reconnect_count,
            metrics.queue_dropped,
            metrics.total_messages,
            metrics.parse_errors,
            metrics.queue_dropped_rate(),
            metrics.gaps,
            metrics.repaired_trades,
            metrics.missing_trades,
            metrics.duplicate_trades,
            metrics.rest_calls,
            Known(timings.exchange_quantile_ms(0.5), 0, "ms"),
            Known(timings.exchange_quantile_ms(0.95), 0, "ms"),
            Known(timings.network_quantile_ms(0.5, record.clock), 1, "ms"),
            Known(timings.network_quantile_ms(0.95, record.clock), 1, "ms"),
            Known(timings.own_quantile_ms(0.5), 3, "ms"),
            Known(timings.own_quantile_ms(0.95), 3, "ms"),
            Or(record.clock),
        ),
    );
    if let Some(age) = metrics.checkpoint_age_ms {
        let (kept, failed) = (metrics.checkpoints, metrics.checkpoint_failures);
        let age = age as f64 / 1e3;
        put(
            into,
            format_args!(" | checkpoints={kept} checkpoint_failures={failed} checkpoint_age={age:.1}s"),
        );
    } else if metrics.checkpoint_failures > 0 {
        put(into, format_args!(" | checkpoints=0 checkpoint_failures={}", metrics.checkpoint_failures));
    }
    if metrics.recorded_inputs + metrics.unrecorded_inputs > 0 {
        let (recorded, not) = (metrics.recorded_inputs, metrics.unrecorded_inputs);
        put(into, format_args!(" | recorded={recorded} not_recorded={not}"));
    }
    for line in record.lines {
        let number = line.line.0 + 1;
        put(into, format_args!(" | line {number} {} first={}", connected(line.connected_s), line.first));
        if let Some([p50, p99, _]) = line.lead_ms {
            put(into, format_args!(" lead_p50={p50:.1}ms lead_p99={p99:.1}ms"));
        }
    }
    into.push(b'\n');
}

fn connected(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "down".to_owned(), |seconds| format!("up {seconds:.0}s"))
}

/// The level of a state's line.
pub(crate) fn state_level(status: LinkStatus) -> &'static str {
    match status {
        LinkStatus::Stale => "WARN",
        _ => "INFO",
    }
}

/// The line for a state that lasts; the changes themselves are told by the diagnostics.
pub(crate) fn state(record: &StateRecord<'_>) -> Option<String> {
    let seconds = record.seconds.round();
    if seconds < 1.0 {
        return None;
    }
    let mut line = match record.status {
        LinkStatus::Connecting => format!("not connected yet ({seconds} s)"),
        LinkStatus::Connected => format!("connected, subscription not acknowledged yet ({seconds} s)"),
        LinkStatus::Subscribed => format!("connected, subscribed, no trade yet ({seconds} s)"),
        LinkStatus::Quiet => format!("connected, no trade for {seconds} s"),
        LinkStatus::Stale => format!("connected, but no trade for {seconds} s: stale"),
        LinkStatus::Disconnected => format!("disconnected ({seconds} s)"),
        LinkStatus::Streaming => return None,
    };
    if let Some(cause) = record.cause {
        line.push_str(&format!(" | {}: {}", cause.as_str(), escaped_line(&cause.to_string())));
    }
    Some(line)
}

/// RFC 3339, UTC, milliseconds.
pub(crate) fn rfc3339(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, rest) = ((since.as_secs() / 86_400) as i64, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
}

/// Days since 1970 to a date of the Gregorian calendar (Howard Hinnant, "chrono-compatible low-level date
/// algorithms", `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// A number with fixed digits and its unit, or `none`.
struct Known(Option<f64>, usize, &'static str);

impl Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(Some(value), digits, unit) => write!(f, "{value:.digits$}{unit}"),
            Self(None, ..) => f.write_str("none"),
        }
    }
}

/// A value, or `none`.
struct Or<T>(Option<T>);

impl<T: Display> Display for Or<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("none"),
        }
    }
}

fn put(into: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    into.write_fmt(text).expect("a Vec takes every byte, because its writer cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_rfc_3339_in_utc() {
        let at = |seconds: u64, millis: u32| rfc3339(UNIX_EPOCH + Duration::new(seconds, millis * 1_000_000));
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(1_709_164_799, 999), "2024-02-28T23:59:59.999Z");
        assert_eq!(at(1_709_164_800, 0), "2024-02-29T00:00:00.000Z");
        assert_eq!(at(1_767_225_599, 1), "2025-12-31T23:59:59.001Z");
        assert_eq!(at(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
    }
}
