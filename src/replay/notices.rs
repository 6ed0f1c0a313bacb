//! What a person is told while files are read.

use std::error::Error;
use std::path::Path;

use super::fault::FileFault;
use super::sort::SortRoom;
use crate::report::events::{chain, escaped_line};
use crate::source::SourceError;
use crate::units::Symbol;

const MIB: f64 = 1024.0 * 1024.0;
/// To look through so many bytes takes a while.
const NOTICED: u64 = 32 * 1024 * 1024;

/// A file is passed over.
pub(super) fn skipped(fault: &FileFault) {
    tracing::error!("file skipped: {}", escaped_line(&fault.to_string()));
}

/// A file is replayed under another name than its own.
pub(super) fn other_symbol(file: &Path, asked: &Symbol, published: &Symbol) {
    tracing::warn!("{} is of {published} by its name, and is replayed as {asked} (--symbol)", shown(file));
}

/// The rest of a file is passed over.
pub(super) fn broke_off(error: &SourceError) {
    tracing::error!("rest of the file skipped: {}", chain(error as &dyn Error));
}

/// Files were named in another order than that of their trades.
pub(super) fn rearranged() {
    tracing::info!("the files are read in the order of their trades, not in that of their names");
}

/// Two files have trades in common.
pub(super) fn overlap(first: &Path, second: &Path) {
    tracing::warn!(
        "{} and {} overlap: they are read side by side, and a trade that is in both counts once",
        shown(first),
        shown(second)
    );
}

/// A file is looked through before it is read on; of a small one nobody would notice.
pub(super) fn looking_through(file: &Path, bytes: u64) {
    if bytes > NOTICED {
        tracing::info!(
            "{} ({:.0} MiB) is looked through first: its rows may be out of the order of their ids",
            shown(file),
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
    tracing::info!("{}: rows are not in the order of their ids: {which} sorted {place}", shown(file));
}

/// Rows that belong before the first one, which has been used already.
pub(super) fn misplaced(file: &Path, rows: u64, first: i64) {
    tracing::error!(
        "{}: {rows} rows belong before its first one, id {first}, and come too late to count: unpack the file and sort \
         its rows by id",
        shown(file)
    );
}

fn shown(path: &Path) -> String {
    escaped_line(&path.to_string_lossy())
}
