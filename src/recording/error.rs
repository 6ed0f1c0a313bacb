//! Why nothing can be recorded, or a recording not be read.

use std::io;
use std::path::PathBuf;

use super::header::HeaderError;

use crate::text::shown;

/// Why a run with a recording does not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The directory cannot be made.
    #[error(
        "cannot make the directory {} of the recording; give a --record that this user can write to",
        shown(directory)
    )]
    Directory {
        /// Which.
        directory: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process records there.
    #[error("{} is recorded to by process {process}; stop it or give another --record", shown(directory))]
    Used {
        /// The directory.
        directory: PathBuf,
        /// The process's number, or words where that is not known.
        process: String,
    },
    /// The directory cannot be locked.
    #[error(
        "cannot lock {}; give a --record that this user can write to, on a disk that knows locks",
        shown(file)
    )]
    Lock {
        /// The file that is locked.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Something there cannot be read or written.
    #[error("cannot {doing} in {}; make room there, or give another --record", shown(directory))]
    Disk {
        /// The directory.
        directory: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A later program recorded there.
    #[error(
        "{} has a recording of format {version}, which this program does not know: use a newer one or give another --record",
        shown(directory)
    )]
    Newer {
        /// The directory.
        directory: PathBuf,
        /// The version of its manifest.
        version: u32,
    },
    /// No thread to write files on.
    #[error("cannot record")]
    Thread(#[source] io::Error),
}

/// Why nothing can be replayed as a recording.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// Recordings cannot be mixed with other files, whose trades have another order.
    #[error("{} is a recording and {} is not: replay one after the other", shown(recording), shown(other))]
    Mixed {
        /// The first recording.
        recording: PathBuf,
        /// The first that is none.
        other: PathBuf,
    },
    /// A directory of recordings without a file in it.
    #[error("{} has no recorded file yet", shown(.0))]
    Empty(PathBuf),
    /// A directory that cannot be read.
    #[error("cannot read {}", shown(directory))]
    Directory {
        /// Which.
        directory: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Files of which none can be used, or one that a later program wrote.
    #[error("cannot replay: {}{}", .0[0], more(.0.len() - 1))]
    Files(Vec<RecordingFault>),
}

fn more(others: usize) -> String {
    match others {
        0 => String::new(),
        1 => " (and another file)".to_owned(),
        others => format!(" (and {others} other files)"),
    }
}

/// Why a file cannot be replayed as a recording.
#[derive(Debug, thiserror::Error)]
#[error("{} {what}", shown(file))]
pub struct RecordingFault {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub what: WhatIsWrong,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WhatIsWrong {
    /// It cannot be opened or read.
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    /// Its first line.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// It is damaged before the end of its first line.
    #[error("is damaged at its beginning ({0}): nothing of it can be used")]
    Damaged(String),
}
