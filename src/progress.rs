//! How far the reading of files is: shared between what reads them and what tells of it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// What was read of files, and what could not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReplayStatistics {
    /// Trades out of tables, those outside of the wanted range included.
    pub rows: u64,
    /// Messages out of recordings, readable or not.
    pub frames: u64,
    /// Lines that are neither.
    pub damaged: u64,
    /// Bytes of text, uncompressed.
    pub bytes: u64,
    /// Files read to their end, or to that of the wanted range.
    pub files: u64,
    /// Files that could not be read, or not to their end.
    pub skipped_files: u64,
    /// Files that were left out because none of their trades is wanted.
    pub left_out_files: u64,
    /// Files whose rows had to be sorted.
    pub sorted_files: u64,
    /// Rows that another file had brought before.
    pub overlapping_rows: u64,
    /// Rows that belong before the first one of their file and came too late to count.
    pub misplaced_rows: u64,
}

/// How far a replay is. A clone tells of the same one.
#[derive(Debug, Clone, Default)]
pub struct ReplayProgress(Arc<Told>);

#[derive(Debug, Default)]
struct Told {
    /// Bytes of all regular files as they are on disk.
    on_disk: AtomicU64,
    /// Those of them that are read.
    read: Arc<AtomicU64>,
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    statistics: ReplayStatistics,
    file: Option<Arc<PathBuf>>,
}

impl ReplayProgress {
    /// What was handed over so far.
    pub fn statistics(&self) -> ReplayStatistics {
        self.now().statistics
    }

    /// The file whose reading began last.
    pub fn file(&self) -> Option<Arc<PathBuf>> {
        self.now().file.clone()
    }

    /// The share of the bytes on disk that is read, 0 to 1; `None` where pipes are read.
    pub fn share(&self) -> Option<f64> {
        let (read, of) = (self.0.read.load(Ordering::Relaxed), self.0.on_disk.load(Ordering::Relaxed));
        (of > 0).then(|| (read as f64 / of as f64).min(1.0))
    }

    /// Tells how many bytes there are on disk; 0 if that is not known of all.
    #[cfg(feature = "replay")]
    pub(crate) fn set_on_disk(&self, bytes: u64) {
        self.0.on_disk.store(bytes, Ordering::Relaxed);
    }

    /// Counts the bytes that are read.
    #[cfg(feature = "replay")]
    pub(crate) fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.0.read)
    }

    /// Tells what was handed over.
    #[cfg(feature = "replay")]
    pub(crate) fn tell(&self, statistics: ReplayStatistics) {
        self.now().statistics = statistics;
    }

    /// Tells which file is read now.
    #[cfg(feature = "replay")]
    pub(crate) fn begin(&self, file: &Arc<PathBuf>) {
        self.now().file = Some(Arc::clone(file));
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.0.now.lock().expect("nothing panics while it holds this lock, because it only copies")
    }
}
