//! What is said about bars and files of results.

use std::path::Path;
use std::time::Duration;

use super::{Events, Kind, in_seconds};
use crate::bars::{BarSpec, MOST_EMPTY_BARS};
use crate::report::text::{moment_of, rfc3339};
use crate::text::shown;
use crate::units::{Symbol, UnixMillis};

impl Events {
    /// The file of results has its name, or, after a run that failed, is not there.
    pub fn results(&self, path: &Path, is_whole: bool) {
        let path = shown(path);
        if is_whole {
            tracing::info!(event = "results_written", file = path, "wrote {path}");
        } else {
            tracing::error!(
                event = "results_not_written",
                file = path,
                "{path} is not written: the run failed"
            );
        }
    }

    /// The disk of the file of results takes nothing.
    pub fn file_blocked(&self, path: &Path, waited: Duration, dropped: u64) {
        let path = shown(path);
        tracing::error!(
            event = "results_blocked",
            file = path,
            waited_s = in_seconds(waited),
            dropped_frames = dropped,
            "{path} has taken nothing for {:.0} s: its disk is too slow; {dropped} frames dropped so far. No record comes until \
             it goes on",
            waited.as_secs_f64()
        );
    }

    /// Empty bars that are not made.
    pub fn empty_bars_left_out(
        &self,
        symbol: &Symbol,
        spec: BarSpec,
        bars: u64,
        from: UnixMillis,
        to: UnixMillis,
    ) {
        self.noisily(Kind::EmptyBars, || {
            let [from, to] = [from, to].map(|at| rfc3339(moment_of(at)));
            tracing::warn!(
                event = "empty_bars_left_out",
                symbol = symbol.as_str(),
                bars,
                from,
                to,
                "{symbol}: {bars} empty bars of {spec} from {from} to {to} are left out: no more than {MOST_EMPTY_BARS} \
                 are made at once"
            );
        });
    }
}
