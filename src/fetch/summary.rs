//! What became of the files.

use super::plan::Period;

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It is here now, and its sum is the published one.
    Fetched {
        /// Its length in bytes.
        length: u64,
    },
    /// It was here already, with the published sum.
    AlreadyThere {
        /// Its length in bytes.
        length: u64,
    },
    /// The archive does not have it.
    Absent,
    /// It could not be had.
    Failed {
        /// Why, in words.
        why: String,
    },
}

/// What a run came to. Lists are in the order of time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Summary {
    /// Files that were fetched.
    pub fetched: u64,
    /// Bytes of the files that were fetched.
    pub bytes: u64,
    /// Bytes of files that came over the wire; less where an earlier run had left a beginning.
    pub received: u64,
    /// Files that were here already.
    pub already_there: u64,
    /// Days whose file has not appeared yet.
    pub not_published: Vec<Period>,
    /// Days and months whose file should be there and is not.
    pub missing: Vec<Period>,
    /// What could not be had, and why.
    pub failed: Vec<(Period, String)>,
    /// What was not asked for any more, because too much had failed.
    pub not_tried: Vec<Period>,
}

impl Summary {
    /// Whether everything is here that can be.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.failed.is_empty() && self.not_tried.is_empty()
    }
}
