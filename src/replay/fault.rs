//! Why files cannot be replayed.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::source::SourceError;
use crate::text::shown;

/// Files that cannot be replayed: all of them, so that one look is enough.
#[derive(Debug)]
pub struct ReplayError {
    /// In the order of the files; empty if no file was given.
    pub faults: Vec<FileFault>,
}

/// A file that cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", shown(file))]
pub struct FileFault {
    /// The file.
    pub file: PathBuf,
    /// Why.
    pub reason: FaultReason,
}

/// Why a file cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FaultReason {
    /// It cannot be opened or read.
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    /// A zip archive without a directory, which stands at the end.
    #[error("is a zip archive that is cut short or damaged ({0}): copy or download it again")]
    Archive(zip::result::ZipError),
    /// A zip archive that holds not exactly one file.
    #[error("is a zip archive of {0} files; expected one: unpack it and name the files in order")]
    ArchiveOf(usize),
    /// A zip archive whose file cannot be read.
    #[error("is a zip archive that is {0}; expected stored or deflated, without a password")]
    ArchiveKind(&'static str),
    /// A zip archive that arrives through a pipe.
    #[error("is a zip archive in a pipe; its directory is at the end: name a regular file")]
    ArchiveInPipe,
    /// A pattern that is none.
    #[error("is not a file, and as a pattern it is wrong: {0}")]
    Pattern(&'static str),
    /// A pattern without a match.
    #[error("matches no file")]
    NoMatch,
    /// A directory without a file that could be replayed.
    #[error(
        "is a directory without a recording and without a file whose name ends in .csv, .csv.gz, .zip, .jsonl or .ws"
    )]
    EmptyDirectory,
    /// A recording, which something else has to read.
    #[error(
        "is a recording, which is read from its file or directory: name that, without anything else besides"
    )]
    Recording,
    /// Its published checksum cannot be read.
    #[error("has a .CHECKSUM file beside it that cannot be read: {0}")]
    ChecksumUnreadable(io::Error),
    /// Its published checksum is none.
    #[error(
        "has a .CHECKSUM file beside it without a SHA-256 sum of it: fetch that again, or remove it to go without"
    )]
    NoChecksum,
    /// It is not the file that was published.
    #[error(
        "is not what was published: its .CHECKSUM file says SHA-256 {expected}, it has {found}; download both again"
    )]
    Checksum {
        /// The published sum.
        expected: String,
        /// The sum of the file.
        found: String,
    },
    /// Nothing in it.
    #[error("is empty; expected {EXPECTED}")]
    Empty,
    /// Raw trades, whose ids are not those of aggregate trades.
    #[error("is a table of raw trades, not of aggregate trades: take the aggTrades file of that day")]
    RawTrades,
    /// A header without the columns that are needed.
    #[error("has a header without {0}; expected {EXPECTED}")]
    MissingColumn(&'static str),
    /// A header with a name in it twice.
    #[error("has two columns named `{0}`; expected one")]
    DuplicateColumn(String),
    /// Neither a table nor frames.
    #[error("is neither a table of trades nor recorded frames, it begins with \"{0}\"; expected {EXPECTED}")]
    Unrecognised(String),
    /// A table, but whose?
    #[error(
        "does not tell its symbol: give --symbol, or name the file like BTCUSDT-aggTrades-2024-05-01.csv.zip"
    )]
    NoSymbol,
}

const EXPECTED: &str = "a CSV of aggregate trades (agg_trade_id, price, quantity, first_trade_id, \
    last_trade_id, transact_time, is_buyer_maker) or one JSON frame per line; plain, .gz or .zip";

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.faults.as_slice() {
            [] => f.write_str("no file to replay: name at least one"),
            [fault] => write!(f, "cannot replay {fault}"),
            faults => {
                write!(f, "{} files cannot be replayed:", faults.len())?;
                faults.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
            }
        }
    }
}

impl std::error::Error for ReplayError {}

/// A file that was fine when the replay was opened and is not any more.
impl From<FileFault> for SourceError {
    fn from(fault: FileFault) -> Self {
        match fault.reason {
            FaultReason::Unreadable(cause) => {
                Self { what: format!("cannot read {} any more", shown(&fault.file)), cause: Some(cause) }
            }
            reason => Self { what: format!("{} has changed: it {reason}", shown(&fault.file)), cause: None },
        }
    }
}
