//! What is said about checkpoints.

use std::path::Path;
use std::time::Duration;

use super::{Events, chain, in_seconds};
use crate::checkpoint::{Loaded, SetAside, StoreError};
use crate::processor::Resumption;
use crate::text::{one_line, shown};
use crate::units::Symbol;

/// What becomes of trades that nobody can be asked for.
const NOT_FETCHED: &str = "trades since then cannot be fetched, because repair is off or it is not known where to ask: they \
                           will be missing, and named";

impl Events {
    /// The numbers go on from a checkpoint that was saved so long ago.
    pub fn resumed(&self, loaded: &Loaded, age: Duration, repairs: bool) {
        self.damaged_checkpoints(loaded);
        let state = &loaded.checkpoint.state;
        let (symbol, next, cvd) = (&state.symbol, state.sequence.next.0, state.calculator.cvd);
        let (market, cvd) = (state.market.as_str(), cvd.to_string());
        let (at, age_s, age) = (next - 1, in_seconds(age), rough(age));
        if repairs {
            tracing::info!(
                event = "resumed",
                symbol = symbol.as_str(),
                market,
                id = at,
                cvd,
                age_s,
                "resumed {symbol} at id {at}, cvd={cvd}, saved {age} ago; trades since then are fetched"
            );
        } else {
            tracing::warn!(
                event = "resumed",
                symbol = symbol.as_str(),
                market,
                id = at,
                cvd,
                age_s,
                "resumed {symbol} at id {at}, cvd={cvd}, saved {age} ago; {NOT_FETCHED}"
            );
        }
    }

    /// The numbers of many symbols go on.
    pub(crate) fn many_resumed(&self, resumption: &Resumption, repairs: bool) {
        let Resumption { resumed, anew, oldest } = resumption;
        let oldest_s = in_seconds(*oldest);
        let begin = match anew {
            0 => String::new(),
            anew => format!("; {anew} have none and begin with their first trade"),
        };
        match (resumed, repairs) {
            (0, _) => {
                tracing::info!(
                    event = "begins_anew",
                    symbols = anew,
                    "no checkpoint of {anew} symbols yet: their numbers begin with the first trade"
                );
            }
            (_, true) => tracing::info!(
                event = "resumed",
                symbols = resumed,
                anew_symbols = anew,
                age_s = oldest_s,
                "resumed {resumed} symbols from checkpoints of up to {} ago; trades since then are fetched{begin}",
                rough(*oldest)
            ),
            (_, false) => tracing::warn!(
                event = "resumed",
                symbols = resumed,
                anew_symbols = anew,
                age_s = oldest_s,
                "resumed {resumed} symbols from checkpoints of up to {} ago; {NOT_FETCHED}{begin}",
                rough(*oldest)
            ),
        }
    }

    /// A symbol joined while this runs, and begins anew though an earlier run has kept it.
    pub fn checkpoint_made_room(&self, file: &Path, now: &Path) {
        let (file, kept_as) = (shown(file), shown(now));
        tracing::warn!(
            event = "checkpoint_made_room",
            file,
            kept_as,
            "the symbol of the checkpoint {file} joined while this runs, so it begins at zero: what an earlier run has kept of \
             it is now {kept_as}. To go on from there, stop, rename it back and start with the symbol"
        );
    }

    /// Which files of a symbol cannot be used, if any.
    pub fn damaged_checkpoints(&self, loaded: &Loaded) {
        for SetAside { file, reason, now } in &loaded.unusable {
            let used = if loaded.is_previous { "the previous one is used" } else { "the newer one is used" };
            let (file, reason) = (shown(file), one_line(reason));
            match now {
                Some(now) => {
                    let kept_as = shown(now);
                    tracing::warn!(
                        event = "checkpoint_unusable",
                        file,
                        reason,
                        kept_as,
                        "the checkpoint {file} cannot be used: {reason}; {used}, and the file is kept as {kept_as}. Look at the disk"
                    );
                }
                None => tracing::warn!(
                    event = "checkpoint_unusable",
                    file,
                    reason,
                    "the checkpoint {file} cannot be used: {reason}; {used}. The file cannot be moved out of the way: \
                     nothing is saved until it can"
                ),
            }
        }
        if loaded.is_previous && loaded.unusable.is_empty() {
            let symbol = &loaded.checkpoint.state.symbol;
            tracing::warn!(
                event = "checkpoint_previous",
                symbol = symbol.as_str(),
                "the newest checkpoint of {symbol} is not there, as after a crash in the middle of saving: the previous \
                 one is used"
            );
        }
    }

    /// There is no checkpoint of a symbol.
    pub fn begins_anew(&self, symbol: &Symbol, directory: &Path) {
        let directory = shown(directory);
        tracing::info!(
            event = "begins_anew",
            symbol = symbol.as_str(),
            directory,
            "no checkpoint of {symbol} in {directory} yet: its numbers begin with the first trade"
        );
    }

    /// Checkpoints cannot be kept.
    pub fn checkpoint_failed(&self, error: &StoreError, age: Option<Duration>, failures: u64) {
        let (reason, age_s) = (chain(error), age.map(in_seconds));
        let age = match age {
            Some(age) => format!("the last good one is {} old", rough(age)),
            None => "none was kept in this run".to_owned(),
        };
        tracing::error!(
            event = "checkpoint_failed",
            reason,
            failures,
            age_s,
            "{reason} ({failures} failures). Streaming goes on, but {age}: what came since would be fetched again after a crash. \
             Make room there, or make it writable; it is tried again"
        );
    }

    /// Checkpoints are kept again.
    pub fn checkpoints_again(&self, failures: u64) {
        tracing::info!(
            event = "checkpoints_again",
            failures,
            "checkpoints are kept again, after {failures} failures"
        );
    }

    /// A disk takes too long for the first checkpoint of a symbol.
    pub fn checkpoint_late(&self, waited: Duration) {
        tracing::error!(
            event = "checkpoint_late",
            waited_s = in_seconds(waited),
            "the disk has not kept the first checkpoint within {:.0} s: records are written without it. Choose a faster \
             --state-dir",
            waited.as_secs_f64()
        );
    }

    /// The end could not wait for the last checkpoint.
    pub fn last_checkpoint_missed(&self) {
        tracing::warn!(
            event = "last_checkpoint_missed",
            "the last checkpoint could not be kept in time: the next start goes on from the one before it, and some \
             records come again"
        );
    }
}

/// A time as people say it.
fn rough(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
