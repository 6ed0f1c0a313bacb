//! Why a file cannot be used.

use crate::pipeline::ResumeError;

/// Why a checkpoint cannot be used, in one sentence.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// No byte.
    #[error("it is empty")]
    Empty,
    /// The end is missing.
    #[error("it is truncated: its end is missing")]
    Truncated,
    /// What it says is not what was written.
    #[error("it is damaged: its checksum does not fit its contents")]
    Damaged,
    /// More than any checkpoint.
    #[error("it is longer than any checkpoint")]
    TooLong,
    /// Somebody else's file.
    #[error("it is not a checkpoint of cvd-stream")]
    NotACheckpoint,
    /// A version of the future.
    #[error(
        "it is of version {0}, which a newer cvd-stream wrote; this one reads version {read}",
        read = super::VERSION
    )]
    Newer(u32),
    /// It is whole, but does not say what a checkpoint says.
    #[error("it does not say what a checkpoint says: {0}")]
    Contents(String),
    /// Of another network, whose ids mean other trades.
    #[error("its ids are those of {found}, but the stream's are those of {wanted}")]
    Ledger {
        /// The file's.
        found: String,
        /// The run's.
        wanted: String,
    },
    /// Of another market or symbol.
    #[error("it is of {found}, not of {wanted}")]
    Symbol {
        /// The file's market and symbol.
        found: String,
        /// The wanted ones.
        wanted: String,
    },
    /// Computed with other settings.
    #[error("it was kept with {name} {found}, but {name} is {wanted} now")]
    Setting {
        /// The option.
        name: &'static str,
        /// The file's value.
        found: String,
        /// The run's value.
        wanted: String,
    },
    /// No trades lead to it.
    #[error("its numbers contradict each other: {0}")]
    Impossible(#[source] ResumeError),
}
