//! Why a run failed.

use std::path::PathBuf;
use std::time::Duration;

use crate::bars::NotionalBars;
use crate::checkpoint::CheckpointError;
use crate::cvd::CvdConfigError;
use crate::feed::FeedError;
use crate::feed::tls::CaFileError;
use crate::processor::ProcessorError;
use crate::report::OutputClosed;
use crate::report::sink::WriteError;
use crate::roster::AskError;
use crate::snapshot::Market;
use crate::text::shown;

/// A run that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// A setting of the calculator is out of its range.
    #[error(transparent)]
    Calculator(#[from] CvdConfigError),
    /// The feed cannot go on.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The source or the output failed.
    #[error(transparent)]
    Processor(#[from] ProcessorError),
    /// The state directory cannot be used, or nothing in it can be gone on from.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The file of root certificates cannot be used.
    #[error(transparent)]
    CaFile(#[from] CaFileError),
    /// The output could not be opened or written.
    #[error("cannot write records")]
    Output(#[source] std::io::Error),
    /// Files of two markets in one replay.
    #[error(
        "the files belong to different markets ({0} and {1}): replay them one market at a time, or name it with --market"
    )]
    MixedMarkets(Market, Market),
    /// Not one trade in files that are full of damage.
    #[error(
        "no trade could be read: all {damaged} rows are damaged; see the warnings for what is wrong with them"
    )]
    NothingReadable {
        /// Damaged rows.
        damaged: u64,
    },
    /// What is to be followed cannot be: names that the exchange does not list, patterns that mean nothing, too much.
    #[error("{0}")]
    Selection(String),
    /// The symbols file cannot be read.
    #[error("the symbols file {} cannot be used: {what}", shown(.path))]
    SymbolsFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Nobody can be asked what a market lists.
    #[error(
        "what {0} lists cannot be asked, and without that no pattern means anything: name where its REST is by --rest-url, \
         or name the symbols"
    )]
    NothingListed(Market),
    /// A market will not say what it lists.
    #[error(transparent)]
    Asking(#[from] AskError),
    /// HTTP cannot be served.
    #[cfg(feature = "ops")]
    #[error(transparent)]
    Http(#[from] crate::http::HttpError),
    /// The file of results could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The file of results would replace one that is read.
    #[error("{} is among the files that are replayed: choose another name for --write", shown(.0))]
    WriteReplacesInput(PathBuf),
    /// No trade of a contract tells what it is worth.
    #[error(transparent)]
    NotionalBars(#[from] NotionalBars),
    /// Every file had to be skipped.
    #[error("no file could be read; see the errors above for what is wrong with each")]
    NothingReplayed,
    /// A part of a recording is told by its times.
    #[error("--from and --to of a recording are times, not ids: 2026-11-01T12:30")]
    RecordingByIds,
    /// No thread to read files on.
    #[error("cannot read files")]
    Thread(#[source] std::io::Error),
    /// The output failed at the very end.
    #[error(transparent)]
    OutputClosed(OutputClosed),
    /// A part of the program ended although nobody asked it to: the rest of it must not seem to be healthy.
    #[error("the {task} ended unexpectedly{}: please report it", told(.what))]
    TaskEnded {
        /// Which part: `feed` or `processor`.
        task: &'static str,
        /// The panic's message; empty where it simply ended.
        what: String,
    },
    /// Something did not end in time; most likely nobody reads the output.
    #[error(
        "not everything was written within {0:?} of being asked to stop: is the reader of the output blocked?"
    )]
    ShutdownDeadline(Duration),
}

fn told(what: &str) -> String {
    if what.is_empty() { String::new() } else { format!(" ({what})") }
}
