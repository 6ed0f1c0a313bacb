//! One sorted run in a temporary file. Nothing of it is left behind: on Unix the file has no name from the
//! beginning, so that not even a kill leaves it; elsewhere it goes with its owner.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::row;
use crate::trade::AggTrade;

/// Bytes that are written at once.
const CHUNK: usize = 256 * 1024;

/// A file that removes itself.
#[derive(Debug)]
pub(super) struct Run {
    file: File,
    /// Where it is, while it has a name.
    path: Option<PathBuf>,
}

impl Run {
    fn create(directory: &Path) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = directory.join(format!("cvd-stream-sort-{}-{number}.tmp", std::process::id()));
            match options().open(&path) {
                Ok(file) => {
                    let unnamed = cfg!(unix) && std::fs::remove_file(&path).is_ok();
                    return Ok(Self { file, path: (!unnamed).then_some(path) });
                }
                // Left behind by a process of the same number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads it from its beginning.
    pub(super) fn read(mut self, buffer: usize) -> io::Result<RunReader> {
        self.file.seek(SeekFrom::Start(0))?;
        Ok(RunReader { rows: BufReader::with_capacity(buffer, ReadRun(self)) })
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // There is nobody to tell; it has the name of a temporary file.
            drop(std::fs::remove_file(path));
        }
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

/// Writes a run.
#[derive(Debug)]
pub(super) struct RunWriter {
    run: Run,
    buffer: Vec<u8>,
}

impl RunWriter {
    pub(super) fn create(directory: &Path) -> io::Result<Self> {
        Ok(Self { run: Run::create(directory)?, buffer: Vec::with_capacity(CHUNK) })
    }

    pub(super) fn push(&mut self, trade: &AggTrade) -> io::Result<()> {
        row::write(trade, &mut self.buffer);
        if self.buffer.len() + row::LENGTH as usize > CHUNK { self.write() } else { Ok(()) }
    }

    pub(super) fn finish(mut self) -> io::Result<Run> {
        self.write()?;
        Ok(self.run)
    }

    fn write(&mut self) -> io::Result<()> {
        self.run.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

/// Reads a run, which ends with its reader.
#[derive(Debug)]
pub(super) struct RunReader {
    rows: BufReader<ReadRun>,
}

impl RunReader {
    pub(super) fn next(&mut self) -> io::Result<Option<AggTrade>> {
        row::read(&mut self.rows)
    }
}

#[derive(Debug)]
struct ReadRun(Run);

impl io::Read for ReadRun {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.file.read(buffer)
    }
}
