//! What is said about the recording.

use super::Events;
use crate::cvd::CvdConfig;
use crate::recording::{RecordNotice, RecorderHealth};
use crate::report::scope::named;
use crate::report::text;
use crate::snapshot::LaneSummary;
use crate::text::{one_line, shown};

/// Nothing that is replayed lies between `--from` and `--to`.
pub(crate) fn nothing_in_range() {
    tracing::warn!(
        event = "nothing_in_range",
        "no trade lies between --from and --to (the end is exclusive): nothing is shown"
    );
}

impl Events {
    /// Something happened to the recording.
    pub fn recording(&self, notice: &RecordNotice) {
        match notice {
            RecordNotice::Adopted { segments } => tracing::warn!(
                event = "recording_adopted",
                files = segments,
                "the run before did not end its recording: {segments} unfinished files have their names now and can be \
                 replayed up to where they were cut"
            ),
            RecordNotice::Removed { segments, bytes } => {
                let mib = bytes / (1024 * 1024);
                tracing::info!(
                    event = "recordings_deleted",
                    files = segments,
                    bytes,
                    "{segments} recorded files ({mib} MiB) were deleted, as --record-keep or --record-limit says"
                );
            }
            RecordNotice::CannotRemove { file, reason } => {
                let (file, reason) = (shown(file), one_line(reason));
                tracing::warn!(
                    event = "recording_not_deleted",
                    file,
                    reason,
                    "the recorded file {file} cannot be deleted: {reason}; delete it by hand, or the disk fills up"
                );
            }
            RecordNotice::Stopped { directory, stop } => {
                let (directory, reason, remedy) =
                    (shown(directory), one_line(&stop.to_string()), stop.remedy());
                tracing::error!(
                    event = "recording_stopped",
                    directory,
                    reason,
                    remedy,
                    "recording to {directory} stopped: {reason}; {remedy}. The monitor goes on, and its numbers are whole"
                );
            }
            RecordNotice::Again { not_recorded } => tracing::warn!(
                event = "recording_again",
                unrecorded_inputs = not_recorded,
                "recording goes on with a new file; {not_recorded} inputs of this run are not recorded"
            ),
        }
    }

    /// The recording is over.
    pub fn recording_ended(&self, health: &RecorderHealth) {
        let RecorderHealth { inputs, not_recorded, bytes, segments, waiting, .. } = health;
        if *waiting > 0 {
            tracing::error!(
                event = "recording_cut",
                lost_bytes = waiting,
                "the end of the recording could not be written in time: {waiting} bytes of it are lost"
            );
        }
        tracing::info!(
            event = "recording_ended",
            inputs,
            unrecorded_inputs = not_recorded,
            files = segments,
            bytes,
            "recorded {inputs} inputs in {segments} files of this run, {bytes} bytes; {not_recorded} not recorded"
        );
    }

    /// A recorded run is over, and another one follows, with numbers of its own.
    pub fn next_run(&self, lanes: &[LaneSummary]) {
        for (lane, name) in named(lanes) {
            let mut line = Vec::new();
            text::summary(&mut line, name, lane, None);
            tracing::info!(
                event = "run_ended",
                symbol = lane.symbol.as_str(),
                market = lane.market.as_str(),
                trades = lane.trades,
                cvd = lane.reading.cvd.to_string(),
                "a run ends here: {}",
                String::from_utf8_lossy(&line).trim_end()
            );
        }
    }

    /// A recording is replayed with the calculator's settings it was made with, which are not those that hold here.
    pub fn recorded_settings(&self, recorded: &CvdConfig) {
        let CvdConfig { z_window, ema_alpha, .. } = recorded;
        let z_warmup = recorded.warmup_values();
        tracing::warn!(
            event = "recorded_settings",
            z_window,
            z_warmup,
            ema_alpha,
            "the recording was made with z-window {z_window}, z-warmup {z_warmup} and ema-alpha {ema_alpha}: it is \
             replayed with these, whatever is set here"
        );
    }
}
