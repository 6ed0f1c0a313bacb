//! The thread that writes a file.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use tokio::sync::{mpsc, oneshot};

use super::file::TemporaryFile;
use super::rows::{BATCHES, Batch, Lanes};
use super::{FileFormat, RowWriter, Table, TableError, TableSettings, WriteError, csv, lines};

/// A file of results and the thread that writes it, which ends when the writer is gone.
#[derive(Debug)]
pub struct RowFile {
    /// Takes rows.
    pub writer: RowWriter,
    /// Tells when the file is there.
    pub thread: RowThread,
}

/// The thread that writes a file.
#[derive(Debug)]
pub struct RowThread {
    path: PathBuf,
    /// What the file is called until it is whole.
    temporary: PathBuf,
    /// Whether the file is to be kept; without an answer it is not.
    keep: Option<oneshot::Sender<()>>,
    done: oneshot::Receiver<Result<(), WriteError>>,
    is_done: bool,
}

impl RowFile {
    /// Makes the file under its temporary name.
    ///
    /// # Errors
    /// [`WriteError`] if that is not possible, or the name has no ending of a format that this program was built with.
    pub fn create(path: &Path, settings: &TableSettings) -> Result<Self, WriteError> {
        let refused = |error| TableError::Io(error).of(path);
        let (temporary, file) = TemporaryFile::create(path).map_err(refused)?;
        let temporary_path = temporary.temporary().to_owned();
        let table = table(path, file, settings).map_err(|error| error.of(path))?;
        let (batches, rx) = mpsc::channel(BATCHES);
        let (recycle, used) = mpsc::channel(BATCHES);
        let ((keep, kept), (finished, done)) = (oneshot::channel(), oneshot::channel());
        let writing = move || {
            let to = temporary.path().to_owned();
            let writing = AssertUnwindSafe(|| write(temporary, table, rx, &recycle, kept));
            let ended = |_panic| Err(WriteError::Ended(to));
            // Nobody may be waiting for it any more.
            drop(finished.send(catch_unwind(writing).unwrap_or_else(ended)));
        };
        std::thread::Builder::new().name("rows".into()).spawn(writing).map_err(refused)?;
        let writer = RowWriter::new(path.to_owned(), !settings.bars.is_empty(), batches, used);
        let (path, keep) = (path.to_owned(), Some(keep));
        let thread = RowThread { path, temporary: temporary_path, keep, done, is_done: false };
        Ok(Self { writer, thread })
    }
}

impl RowThread {
    /// Waits until the file is there under its name, whole and durable, or, if it is not to be kept or cannot be written,
    /// until nothing of it is. The writer must be gone by then.
    ///
    /// # Errors
    /// [`WriteError`] if it could not be written.
    ///
    /// # Cancel safety
    /// If this is dropped, the file may or may not be kept; it is never there in part.
    pub async fn finish(mut self, is_kept: bool) -> Result<(), WriteError> {
        match self.keep.take() {
            // A thread that has failed does not wait for it.
            Some(keep) if is_kept => drop(keep.send(())),
            keep => drop(keep),
        }
        let done = (&mut self.done).await;
        self.is_done = true;
        done.unwrap_or_else(|_ended| Err(WriteError::Ended(self.path.clone())))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RowThread {
    fn drop(&mut self) {
        if !self.is_done {
            // Nobody waits any more, and the process may be gone before the thread cleans up.
            std::fs::remove_file(&self.temporary).unwrap_or_default();
        }
    }
}

fn write(
    temporary: TemporaryFile,
    mut table: Box<dyn Table + Send>,
    mut batches: mpsc::Receiver<Batch>,
    recycle: &mpsc::Sender<Batch>,
    kept: oneshot::Receiver<()>,
) -> Result<(), WriteError> {
    let path = temporary.path().to_owned();
    let mut lanes = Lanes::default();
    while let Some(mut batch) = batches.blocking_recv() {
        lanes.write(&mut batch, &mut *table).map_err(|error| error.of(&path))?;
        // A writer that is gone needs no batches back.
        drop(recycle.try_send(batch));
    }
    if kept.blocking_recv().is_err() {
        return Ok(());
    }
    let file = table.finish().map_err(|error| error.of(&path))?;
    temporary.keep(file).map_err(|error| TableError::Io(error).of(&path))
}

fn table(path: &Path, file: File, settings: &TableSettings) -> Result<Box<dyn Table + Send>, TableError> {
    let unknown = "its name ends in none of .csv, .jsonl, .jsonl.zst and .parquet";
    Ok(match FileFormat::of(path).ok_or_else(|| TableError::Format(unknown.to_owned()))? {
        FileFormat::Csv => Box::new(csv::CsvTable::new(file, !settings.bars.is_empty())),
        FileFormat::Jsonl => Box::new(lines::JsonTable::plain(file)),
        FileFormat::JsonlZst => Box::new(lines::JsonTable::compressed(file)?),
        #[cfg(feature = "parquet")]
        FileFormat::Parquet => super::parquet::table(file, settings)?,
        #[cfg(not(feature = "parquet"))]
        FileFormat::Parquet => {
            let without =
                "this program was built without the feature `parquet`; take .csv, .jsonl or .jsonl.zst";
            return Err(TableError::Format(without.to_owned()));
        }
    })
}
