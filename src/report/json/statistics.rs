//! What statistics have in records: counters, times, lines, files.

use super::{double, field, integer, maybe_integer, to_the_millisecond};
use crate::metrics::MonitoringMetrics;
use crate::progress::ReplayStatistics;
use crate::report::{LineRecord, StatRecord};

pub(super) fn metrics(into: &mut Vec<u8>, metrics: &MonitoringMetrics) {
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
pub(super) fn lines(into: &mut Vec<u8>, lines: &[LineRecord]) {
    if lines.is_empty() {
        return;
    }
    into.extend_from_slice(b",\"lines\":[");
    for (at, line) in lines.iter().enumerate() {
        into.extend_from_slice(if at > 0 { b",{\"line\":" } else { b"{\"line\":" });
        integer(into, line.place.copy.map_or(1, |copy| u32::from(copy) + 1));
        if let Some(shard) = line.place.shard {
            field(into, "shard");
            integer(into, u32::from(shard.0) + 1);
        }
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

pub(super) fn timings(into: &mut Vec<u8>, record: &StatRecord<'_>) {
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

/// Of a run in which symbols ended only.
pub(super) fn ended(into: &mut Vec<u8>, record: &StatRecord<'_>) {
    if record.ended_symbols > 0 {
        field(into, "ended_symbols");
        integer(into, record.ended_symbols);
    }
}

/// What became of the files of a replay.
pub(super) fn files(into: &mut Vec<u8>, files: &ReplayStatistics) {
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
