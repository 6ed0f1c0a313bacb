//! What is said about the recording.

use super::{Events, escaped_line};
use crate::cvd::CvdConfig;
use crate::recording::{RecordNotice, RecorderHealth};
use crate::report::scope::named;
use crate::report::text;
use crate::snapshot::LaneSummary;

/// Nothing that is replayed lies between `--from` and `--to`.
pub(crate) fn nothing_in_range() {
    tracing::warn!("no trade lies between --from and --to (the end is exclusive): nothing is shown");
}

impl Events {
    /// Something happened to the recording.
    pub fn recording(&self, notice: &RecordNotice) {
        match notice {
            RecordNotice::Adopted { segments } => tracing::warn!(
                "the run before did not end its recording: {segments} unfinished files have their names now and can be \
                 replayed up to where they were cut"
            ),
            RecordNotice::Removed { segments, bytes } => {
                let mib = bytes / (1024 * 1024);
                tracing::info!(
                    "{segments} recorded files ({mib} MiB) were deleted, as --record-keep or --record-limit says"
                );
            }
            RecordNotice::CannotRemove { file, reason } => tracing::warn!(
                "the recorded file {} cannot be deleted: {}; delete it by hand, or the disk fills up",
                escaped_line(&file.display().to_string()),
                escaped_line(reason)
            ),
            RecordNotice::Stopped { directory, stop } => tracing::error!(
                "recording to {} stopped: {}; {}. The monitor goes on, and its numbers are whole",
                escaped_line(&directory.display().to_string()),
                escaped_line(&stop.to_string()),
                stop.remedy()
            ),
            RecordNotice::Again { not_recorded } => tracing::warn!(
                "recording goes on with a new file; {not_recorded} inputs of this run are not recorded"
            ),
        }
    }

    /// The recording is over.
    pub fn recording_ended(&self, health: &RecorderHealth) {
        let RecorderHealth { inputs, not_recorded, bytes, segments, waiting, .. } = health;
        if *waiting > 0 {
            tracing::error!(
                "the end of the recording could not be written in time: {waiting} bytes of it are lost"
            );
        }
        tracing::info!(
            "recorded {inputs} inputs in {segments} files of this run, {bytes} bytes; {not_recorded} not recorded"
        );
    }

    /// A recorded run is over, and another one follows, with numbers of its own.
    pub fn next_run(&self, lanes: &[LaneSummary]) {
        for (lane, name) in named(lanes) {
            let mut line = Vec::new();
            text::summary(&mut line, name, lane, None);
            tracing::info!("a run ends here: {}", String::from_utf8_lossy(&line).trim_end());
        }
    }

    /// A recording is replayed with the calculator's settings it was made with, which are not those that hold here.
    pub fn recorded_settings(&self, recorded: &CvdConfig) {
        let CvdConfig { z_window, ema_alpha, .. } = recorded;
        let z_warmup = recorded.warmup_values();
        tracing::warn!(
            "the recording was made with z-window {z_window}, z-warmup {z_warmup} and ema-alpha {ema_alpha}: it is \
             replayed with these, whatever is set here"
        );
    }
}
