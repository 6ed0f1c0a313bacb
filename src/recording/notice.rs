//! What happens to a recording that its owner has to hear of.

use std::io;
use std::path::PathBuf;

use super::end::{End, Ending};

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordNotice {
    /// Files that a crash has left unfinished have their names now, and can be replayed.
    Adopted {
        /// How many.
        segments: u64,
    },
    /// Old files were deleted.
    Removed {
        /// How many.
        segments: u64,
        /// Their bytes together.
        bytes: u64,
    },
    /// Old files were to be deleted and could not be.
    CannotRemove {
        /// The first of them.
        file: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Nothing is recorded any more, until the next segment begins.
    Stopped {
        /// Where the files are.
        directory: PathBuf,
        /// Why.
        stop: Stop,
    },
    /// A new segment has begun after that.
    Again {
        /// Inputs that were not recorded, since the run began.
        not_recorded: u64,
    },
}

/// Why nothing is recorded any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Stop {
    /// There is no room on the disk.
    #[error("the disk is full: {0}")]
    DiskFull(String),
    /// The disk has failed otherwise.
    #[error("the disk has failed: {0}")]
    Failed(String),
    /// So many bytes wait for the disk.
    #[error("the disk is too slow: {} MiB wait for it", .0 / (1024 * 1024))]
    TooSlow(u64),
}

impl Stop {
    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::DiskFull(_) => "make room there, or give a --record-limit",
            Self::Failed(_) => "look at the disk, or give another --record",
            Self::TooSlow(_) => "choose a faster disk for --record",
        }
    }

    pub(super) fn of(error: &io::Error) -> Self {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Self::DiskFull(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }

    /// The last line of a segment that ends for this.
    pub(super) fn end(&self, inputs: u64) -> End {
        let (ending, reason) = match self {
            Self::DiskFull(reason) => (Ending::DiskFull, reason.clone()),
            Self::Failed(reason) => (Ending::Failed, reason.clone()),
            Self::TooSlow(_) => (Ending::TooSlow, self.to_string()),
        };
        End { ending, inputs, reason: Some(reason) }
    }
}
