//! All counters of a run in one place.

use super::Processor;
use crate::metrics::MonitoringMetrics;
use crate::repair::Repairs;

impl Processor<'_> {
    /// Every counter as it stands.
    pub(super) fn metrics(&self) -> MonitoringMetrics {
        let (counts, ids) = (self.pipeline.counts(), self.pipeline.sequence_counts());
        let mut metrics = MonitoringMetrics {
            gaps: ids.gaps,
            repaired_trades: ids.repaired,
            missing_trades: ids.missing,
            duplicate_trades: ids.duplicates,
            copied_trades: counts.copies,
            conflicts: ids.conflicts,
            implausible_trades: ids.implausible,
            resets: ids.resets,
            held_trades: self.pipeline.held() as u64,
            rest_calls: self.repair.as_ref().map_or(0, Repairs::calls),
            repair_calls: self.repair.as_ref().map_or(0, Repairs::repair_calls),
            rest_used_weight: self.repair.as_ref().map_or(0, Repairs::used_weight),
            total_messages: counts.messages,
            parse_errors: counts.malformed,
            applied_trades: counts.applied,
            bad_points: counts.bad_points,
            unrequested_trades: counts.unrequested,
            control_messages: counts.control,
            other_messages: counts.other,
            ..MonitoringMetrics::default()
        };
        if let Some(live) = &self.live {
            let queue = live.queue.stats();
            metrics.queue_dropped = queue.dropped;
            metrics.total_messages = queue.pushed;
        }
        if let Some(checkpoints) = &self.checkpoints {
            checkpoints.add_to(&mut metrics);
        }
        if let Some(recording) = &self.recording {
            recording.add_to(&mut metrics);
        }
        self.events.add_to(&mut metrics);
        metrics
    }
}
