//! Files of results: every trade, or every bar, as CSV, JSON lines or Parquet.
//!
//! A file is written by a thread of its own under a temporary name beside it, and gets its name when it is whole and
//! durable. The sink is lossless: when the disk is slow, the processor waits.

mod csv;
mod file;
mod lines;
#[cfg(feature = "parquet")]
mod parquet;
mod rows;
mod thread;

use std::io;
use std::path::{Path, PathBuf};

use crate::bars::{BarSpec, ClosedBar};
use crate::cvd::CvdConfig;
use crate::snapshot::{Market, Snapshot};
use crate::text::shown;

pub use rows::RowWriter;
pub use thread::{RowFile, RowThread};

/// What a file is written as, by the ending of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// `.csv`: a header and a line for each row.
    Csv,
    /// `.jsonl`: the records of standard output.
    Jsonl,
    /// `.jsonl.zst`: the same, compressed by Zstandard.
    JsonlZst,
    /// `.parquet`: typed columns, compressed by Zstandard.
    Parquet,
}

impl FileFormat {
    /// What the name of a file asks for, upper or lower case.
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        let endings = [
            (".csv", Self::Csv),
            (".jsonl", Self::Jsonl),
            (".jsonl.zst", Self::JsonlZst),
            (".parquet", Self::Parquet),
        ];
        let fits = |ending: &str| name.ends_with(ending) && name.len() > ending.len();
        endings.into_iter().find_map(|(ending, format)| fits(ending).then_some(format))
    }
}

/// What the rows of a file are.
#[derive(Debug, Clone, PartialEq)]
pub struct TableSettings {
    /// The market.
    pub market: Market,
    /// The calculator that the numbers come from.
    pub calculator: CvdConfig,
    /// The bars that make the rows; empty where trades do.
    pub bars: Vec<BarSpec>,
    /// Whether intervals without a trade have bars.
    pub empty_bars: bool,
}

/// Why a file of results is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The system refuses.
    #[error("cannot write {}: nothing of it is kept; {}", shown(.path), remedy(.error))]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A row cannot be written in this format.
    #[error("cannot write {}: {what}", shown(.path))]
    Format {
        /// The file.
        path: PathBuf,
        /// What does not fit, and what to do.
        what: String,
    },
    /// The thread that writes it has ended, which it never should.
    #[error("the thread that writes {} has ended unexpectedly: please report it", shown(.0))]
    Ended(PathBuf),
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "make its directory first",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free space or choose another place for it"
        }
        _ => "choose another place for it",
    }
}

/// Why a row or a file could not be written.
#[derive(Debug, thiserror::Error)]
enum TableError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{0}")]
    Format(String),
}

impl TableError {
    fn of(self, path: &Path) -> WriteError {
        let path = path.to_owned();
        match self {
            Self::Io(error) => WriteError::Io { path, error },
            Self::Format(what) => WriteError::Format { path, what },
        }
    }
}

/// A file in one of the formats. It has rows of one of the two kinds.
trait Table {
    fn trade(&mut self, snapshot: &Snapshot<'_>) -> Result<(), TableError>;

    fn bar(&mut self, bar: &ClosedBar<'_>) -> Result<(), TableError>;

    /// A lane has another name from here on than any it may have had.
    fn rename(&mut self, _lane: usize) {}

    /// The numbers are made with other settings from here on.
    fn made_with(&mut self, _market: Market, _calculator: CvdConfig) {}

    /// Writes what is left and gives the file back.
    fn finish(self: Box<Self>) -> Result<std::fs::File, TableError>;
}
