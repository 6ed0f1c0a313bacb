//! Records as log lines for people: the original's lines, field for field, `none` for what is not known.

mod bar;
mod gap;
mod group;
mod movers;

use std::fmt::{self, Display};
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::scope::Name;
use super::{LinkStatus, ShardScope, StatRecord, StateRecord, SymbolRecord};
use crate::snapshot::{Coverage, LaneSummary, Quality, Snapshot};
use crate::text::one_line;
use crate::units::UnixMillis;

pub(crate) use bar::{bar, closing};
pub(crate) use gap::{gap, gap_level};
pub(crate) use group::group;
pub(crate) use movers::movers;

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
                "DEBUG" => 34,
                "TRACE" => 35,
                _ => 32,
            };
            write!(f, "\x1b[2m{at}\x1b[0m \x1b[{tint}m{level:>5}\x1b[0m ")
        } else {
            write!(f, "{at} {level:>5} ")
        }
    }
}

pub(crate) fn trade(into: &mut Vec<u8>, name: Name<'_>, snapshot: &Snapshot<'_>) {
    let reading = &snapshot.reading;
    put(
        into,
        format_args!(
            "CVD {name} | cvd={:.6} z={} ema={} | warmup={} std_zero={} bad={} | latency={}{}\n",
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

pub(crate) fn summary(into: &mut Vec<u8>, name: Name<'_>, lane: &LaneSummary, why_ended: Option<&str>) {
    let reading = &lane.reading;
    put(
        into,
        format_args!(
            "[FINAL] {name} | trades={} first_id={} last_id={} | cvd={} z={} ema={} | warmup={} std_zero={} bad={} | \
             quality={} ids_seen={} repaired={} missing={} duplicates={}{}{}\n",
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
            Ended(why_ended),
        ),
    );
}

/// A symbol that is followed from here on.
pub(crate) fn joined(into: &mut Vec<u8>, name: Name<'_>, record: &SymbolRecord<'_>) {
    put(into, format_args!("SYMBOL {name} {} | {}\n", record.event(), record.reason()));
}

/// Why a symbol ended before the run did; nothing at the end of the run.
struct Ended<'a>(Option<&'a str>);

impl Display for Ended<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |why| write!(f, " | ended: {why}"))
    }
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
    if record.ended_symbols > 0 {
        put(into, format_args!(" | ended_symbols={}", record.ended_symbols));
    }
    for line in record.lines {
        let (place, up) = (line.place, connected(line.connected_s));
        put(into, format_args!(" | {place} {up} first={}", line.first));
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
    if let Some(ShardScope { shard, market, symbols }) = record.shard {
        let number = shard.0 + 1;
        line.insert_str(0, &format!("shard {number} ({market}, {}): ", counted(symbols as u64, "symbol")));
    }
    if let Some(cause) = record.cause {
        line.push_str(&format!(" | {}: {}", cause.as_str(), one_line(&cause.to_string())));
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

/// `1 trade`, `2 trades`.
fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
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
