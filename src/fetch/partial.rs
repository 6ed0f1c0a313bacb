//! A file on its way: `<file>.part`, and beside it `<file>.part.etag`, which says of what it is the beginning.
//!
//! Everything here blocks and belongs on a thread for that.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use super::checksum::{Checksum, Digest, Running};

use crate::text::shown;

/// Something that the disk refused.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.situation())]
pub struct DiskError {
    /// The file or directory.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub cause: io::Error,
}

/// What a server said of the file that it sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    /// A strong validator, with its quotes.
    pub(super) etag: String,
    /// The length of the whole file in bytes.
    pub(super) length: u64,
}

/// The beginning of a file, locked against other processes.
pub(super) struct Partial {
    path: PathBuf,
    file: File,
    sum: Running,
    length: u64,
    /// `None` where a server cannot be asked for the rest.
    version: Option<Version>,
    /// Its name is not its own any more.
    is_over: bool,
}

/// Another process has the lock.
const USED: &str = "another process is fetching it";
/// Files that vanish between being opened and being locked.
const VANISHED: usize = 10;

impl Partial {
    /// Takes up what an earlier attempt at `target` has left, or begins anew where it left nothing usable.
    pub(super) fn open(target: &Path) -> Result<Self, DiskError> {
        let path = beside(target, ".part");
        let failed = |cause| DiskError { path: path.clone(), cause };
        let file = locked(&path).map_err(failed)?;
        let mut partial =
            Self { path: path.clone(), file, sum: Running::new(), length: 0, version: None, is_over: false };
        match partial.known_version() {
            Some(version) => {
                partial.length = partial.sum.add_all(&partial.file).map_err(failed)?;
                if partial.length > version.length {
                    partial.restart(None)?;
                } else {
                    partial.version = Some(version);
                }
            }
            None => partial.restart(None)?,
        }
        Ok(partial)
    }

    /// The first byte that is not here and the validator of what is: `None` if all of it has to come.
    pub(super) fn rest(&self) -> Option<(u64, &str)> {
        let version = self.version.as_ref().filter(|_| self.length > 0)?;
        Some((self.length, &version.etag))
    }

    /// How many bytes are here.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Of which version it is the beginning.
    pub(super) fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }

    /// Whether nothing is missing.
    pub(super) fn is_whole(&self) -> bool {
        self.version.as_ref().is_some_and(|version| version.length == self.length)
    }

    /// Throws away what is here; what comes now is of this version.
    pub(super) fn restart(&mut self, version: Option<Version>) -> Result<(), DiskError> {
        (self.sum, self.length) = (Running::new(), 0);
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        emptied.map_err(|cause| self.failed(cause))?;
        // The note describes what comes after it: written before, removed before.
        let note = self.note();
        match &version {
            Some(Version { etag, length }) => fs::write(&note, format!("{etag}\n{length}\n")),
            None => removed(&note),
        }
        .map_err(|cause| DiskError { path: note, cause })?;
        self.version = version;
        Ok(())
    }

    /// Adds bytes at the end. If the disk fails, what it took before is kept.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), DiskError> {
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err(self.failed(io::ErrorKind::WriteZero.into())),
                Ok(written) => {
                    self.sum.add(&bytes[..written]);
                    self.length += written as u64;
                    bytes = &bytes[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(())
    }

    /// The sum of what is here.
    pub(super) fn digest(&self) -> Digest {
        self.sum.digest()
    }

    /// Removes it.
    pub(super) fn discard(mut self) -> Result<(), DiskError> {
        self.is_over = true;
        for path in [self.note(), self.path.clone()] {
            removed(&path).map_err(|cause| DiskError { path, cause })?;
        }
        Ok(())
    }

    /// Makes it the file it was to be, with its checksum beside it; both are on the disk then.
    pub(super) fn install(mut self, target: &Path, checksum: &Checksum) -> Result<(), DiskError> {
        self.file.sync_all().map_err(|cause| self.failed(cause))?;
        let sums = checksum_of(target);
        // A crash in between leaves a file without a checksum, never one beside that of another version.
        removed(&sums).map_err(|cause| DiskError { path: sums, cause })?;
        fs::rename(&self.path, target).map_err(|cause| DiskError { path: target.to_owned(), cause })?;
        self.is_over = true;
        let note = self.note();
        removed(&note).map_err(|cause| DiskError { path: note, cause })?;
        keep(target, checksum)
    }

    fn failed(&self, cause: io::Error) -> DiskError {
        DiskError { path: self.path.clone(), cause }
    }

    fn note(&self) -> PathBuf {
        beside(&self.path, ".etag")
    }

    fn known_version(&self) -> Option<Version> {
        let note = fs::read_to_string(self.note()).ok()?;
        let (etag, length) = note.strip_suffix('\n')?.split_once('\n')?;
        let visible = etag.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        visible.then_some(Version { etag: etag.to_owned(), length: length.parse().ok()? })
    }
}

impl Drop for Partial {
    /// An empty one is of no use to anybody.
    fn drop(&mut self) {
        if self.length == 0 && !self.is_over {
            [self.note(), self.path.clone()].iter().for_each(|path| removed(path).unwrap_or_default());
        }
    }
}

/// Writes the checksum beside its file, unless it is there.
pub(super) fn keep(target: &Path, checksum: &Checksum) -> Result<(), DiskError> {
    let path = checksum_of(target);
    if fs::read(&path).is_ok_and(|text| text == checksum.text) {
        return Ok(());
    }
    let failed = |cause| DiskError { path: path.clone(), cause };
    let unfinished = beside(&path, ".part");
    let mut file = File::create(&unfinished).map_err(failed)?;
    file.write_all(&checksum.text).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&unfinished, &path).map_err(failed)?;
    #[cfg(unix)]
    if let Some(directory) = path.parent() {
        // Names are kept by the directory.
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
    }
    Ok(())
}

/// The sum and length of a file; `None` if there is none.
pub(super) fn sum_of(target: &Path) -> Result<Option<(Digest, u64)>, DiskError> {
    let failed = |cause| DiskError { path: target.to_owned(), cause };
    match File::open(target) {
        Ok(file) => {
            let mut sum = Running::new();
            let length = sum.add_all(file).map_err(failed)?;
            Ok(Some((sum.digest(), length)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(failed(cause)),
    }
}

fn checksum_of(target: &Path) -> PathBuf {
    beside(target, ".CHECKSUM")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn removed(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Opens and locks the file that has this name once it is locked: the one that was opened may have been finished and
/// renamed by another process meanwhile.
fn locked(path: &Path) -> io::Result<File> {
    for _ in 0..VANISHED {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(io::Error::new(io::ErrorKind::ResourceBusy, USED)),
            // A disk without locks is no reason not to fetch.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        if is_still(path, &file)? {
            return Ok(file);
        }
    }
    Err(io::Error::new(io::ErrorKind::ResourceBusy, USED))
}

#[cfg(unix)]
fn is_still(path: &Path, file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let opened = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (opened.dev(), opened.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
fn is_still(_: &Path, _: &File) -> io::Result<bool> {
    Ok(true)
}

impl DiskError {
    /// Whether no other file would fare better.
    pub(super) fn is_for_all(&self) -> bool {
        self.cause.kind() != io::ErrorKind::ResourceBusy
    }

    fn situation(&self) -> String {
        let path = shown(&self.path);
        match self.cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                format!("no room for {path}; free some and run the same command again, it goes on from there")
            }
            io::ErrorKind::ResourceBusy => format!("{path} is in use; wait for the other command to end"),
            _ => format!("cannot write {path}; give a --dir that can be written"),
        }
    }
}
