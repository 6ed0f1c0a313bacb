//! Why a run cannot keep checkpoints, or not go on from one.

use std::io;
use std::path::PathBuf;

use super::lock::LockError;
use super::store::LoadError;
use crate::pipeline::ResumeError;
use crate::text::shown;
use crate::units::Symbol;

/// Why a run with a state directory does not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The directory cannot be made.
    #[error(
        "cannot make the state directory {}; give a --state-dir that this user can write to",
        shown(directory)
    )]
    Directory {
        /// Which.
        directory: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It belongs to another process, or cannot be locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// It has files, none of which can be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A checkpoint that could be read leads nowhere.
    #[error("cannot go on from the checkpoint of {symbol}")]
    Resume {
        /// Of which symbol.
        symbol: Symbol,
        /// Why not.
        #[source]
        source: ResumeError,
    },
    /// No thread to write files on.
    #[error("cannot keep checkpoints")]
    Thread(#[source] io::Error),
}
