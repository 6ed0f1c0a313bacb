//! What a person is told while files are read.

use std::error::Error;
use std::path::Path;

use super::fault::FileFault;
use super::sort::SortRoom;
use crate::report::events::chain;
use crate::source::SourceError;
use crate::text::{one_line, shown};
use crate::units::Symbol;

const MIB: f64 = 1024.0 * 1024.0;
/// To look through so many bytes takes a while.
const NOTICED: u64 = 32 * 1024 * 1024;

/// A file is passed over.
pub(super) fn skipped(fault: &FileFault) {
    let (file, reason) = (shown(&fault.file), one_line(&fault.reason.to_string()));
    tracing::error!(event = "file_skipped", file, reason, "file skipped: {file}: {reason}");
}

/// A file is replayed under another name than its own.
pub(super) fn other_symbol(file: &Path, asked: &Symbol, published: &Symbol) {
    let file = shown(file);
    tracing::warn!(
        event = "other_symbol",
        file,
        symbol = asked.as_str(),
        own_symbol = published.as_str(),
        "{file} is of {published} by its name, and is replayed as {asked} (--symbol)"
    );
}

/// The rest of a file is passed over.
pub(super) fn broke_off(error: &SourceError) {
    let reason = chain(error as &dyn Error);
    tracing::error!(event = "file_broke_off", reason, "rest of the file skipped: {reason}");
}

/// Files were named in another order than that of their trades.
pub(super) fn rearranged() {
    tracing::info!(
        event = "files_rearranged",
        "the files are read in the order of their trades, not in that of their names"
    );
}

/// Two files have trades in common.
pub(super) fn overlap(first: &Path, second: &Path) {
    let (file, other_file) = (shown(first), shown(second));
    tracing::warn!(
        event = "files_overlap",
        file,
        other_file,
        "{file} and {other_file} overlap: they are read side by side, and a trade that is in both counts once"
    );
}

/// A file is looked through before it is read on; of a small one nobody would notice.
pub(super) fn looking_through(file: &Path, bytes: u64) {
    if bytes > NOTICED {
        let file = shown(file);
        tracing::info!(
            event = "file_looked_through",
            file,
            bytes,
            "{file} ({:.0} MiB) is looked through first: its rows may be out of the order of their ids",
            bytes as f64 / MIB
        );
    }
}

/// The rows of a file, or the rest of them, are about to be sorted.
pub(super) fn sorting(file: &Path, after_row: u64, rows: Option<u64>, room: &SortRoom) {
    let memory = room.memory as f64 / MIB;
    let bytes = rows.map(|rows| room.on_disk(rows));
    let place = match bytes {
        Some(0) => format!("in memory (--memory {memory:.0} MiB)"),
        Some(bytes) => format!(
            "with {:.0} MiB in {} and {memory:.0} MiB of memory (--temp-dir, --memory)",
            (bytes as f64 / MIB).ceil(),
            shown(&room.temp_dir)
        ),
        None => format!(
            "in {memory:.0} MiB of memory, and what does not fit it in {} (--memory, --temp-dir)",
            shown(&room.temp_dir)
        ),
    };
    let which = match (rows, after_row) {
        (Some(rows), 0) => format!("all {rows} rows are"),
        (Some(rows), _) => format!("{rows} rows behind row {after_row} are"),
        (None, _) => format!("everything behind row {after_row} is"),
    };
    let file = shown(file);
    tracing::info!(
        event = "rows_sorted",
        file,
        after_row,
        rows,
        memory_bytes = room.memory,
        "{file}: rows are not in the order of their ids: {which} sorted {place}"
    );
}

/// Rows that belong before the first one, which has been used already.
pub(super) fn misplaced(file: &Path, rows: u64, first: i64) {
    let file = shown(file);
    tracing::error!(
        event = "rows_misplaced",
        file,
        rows,
        first_id = first,
        "{file}: {rows} rows belong before its first one, id {first}, and come too late to count: unpack the file and sort \
         its rows by id"
    );
}
