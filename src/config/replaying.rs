//! What a replay, and the fetching of what it reads, is told.

use std::fmt;
use std::path::PathBuf;

use crate::repair::rest::RestBase;
use crate::units::{AggTradeId, UnixMillis};

/// How files are replayed.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayConfig {
    /// How fast.
    pub speed: Speed,
    /// Where it begins, inclusive; `None` for the beginning.
    pub from: Option<Bound>,
    /// Where it ends, exclusive; `None` for the end.
    pub to: Option<Bound>,
    /// Whether a bad file ends the run instead of being skipped.
    pub strict: bool,
    /// Where sorting puts what does not fit the memory; `None` for the system's temporary directory.
    pub temp_dir: Option<PathBuf>,
    /// Bytes that sorting may take, 1 MiB or more.
    pub memory: u64,
    /// Threads that read and compute, 1 to 64; `None` for as many as the machine has cores, at most 4.
    pub threads: Option<usize>,
    /// Whether progress is shown on standard error.
    pub progress: Showing,
}

impl Default for ReplayConfig {
    fn default() -> Self {
        Self {
            speed: Speed::Max,
            from: None,
            to: None,
            strict: false,
            temp_dir: None,
            memory: 256 * 1024 * 1024,
            threads: None,
            progress: Showing::Auto,
        }
    }
}

/// How fast a replay goes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Speed {
    /// As fast as the machine can.
    #[default]
    Max,
    /// So many times as fast as it happened, 0.001 to 1,000,000.
    Times(f64),
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Max => f.write_str("max"),
            Self::Times(times) => write!(f, "{times}x"),
        }
    }
}

/// An end of a range of trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// A time, of the trade.
    Time(UnixMillis),
    /// An id.
    Id(AggTradeId),
}

/// When something for people is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Showing {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Showing {
    /// `auto`, `always` or `never`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}

/// How archive files are fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchConfig {
    /// Where they go.
    pub dir: PathBuf,
    /// Where they are; `None` for the exchange's own archive.
    pub url: Option<RestBase>,
    /// Files that are fetched at the same time, 1 to 8.
    pub parallel: u8,
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self { dir: PathBuf::from("."), url: None, parallel: 2 }
    }
}
