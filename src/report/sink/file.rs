//! A file that is there as a whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A file under a temporary name, which is removed unless the file is [kept](Self::keep).
#[derive(Debug)]
pub(super) struct TemporaryFile {
    path: PathBuf,
    temporary: PathBuf,
    kept: bool,
}

impl TemporaryFile {
    /// Makes the temporary file, in the directory of the one it is to become.
    pub(super) fn create(path: &Path) -> io::Result<(Self, File)> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        if path.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
        }
        let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let mut temporary = OsString::from(name);
        // One process may write several, and another one may have died with the same number.
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        temporary.push(format!(".tmp-{}-{count}", std::process::id()));
        let temporary = path.with_file_name(temporary);
        let file = File::create(&temporary)?;
        Ok((Self { path: path.to_owned(), temporary, kept: false }, file))
    }

    /// Where it is to be.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What it is called until then.
    pub(super) fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Makes the file durable and gives it its name.
    pub(super) fn keep(mut self, file: File) -> io::Result<()> {
        file.sync_all()?;
        drop(file);
        fs::rename(&self.temporary, &self.path)?;
        self.kept = true;
        sync_directory_of(&self.path)
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if !self.kept {
            // Nobody is left to tell that it stays; its name says what it is.
            fs::remove_file(&self.temporary).unwrap_or_default();
        }
    }
}

#[cfg(unix)]
fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// Elsewhere a directory cannot be opened; its names are as durable as the system makes them.
#[cfg(not(unix))]
fn sync_directory_of(_path: &Path) -> io::Result<()> {
    Ok(())
}
