//! One process per state directory: the second is refused with the number of the first.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::text::shown;

/// The name of the file that is locked. It stays when the lock is gone.
pub(crate) const NAME: &str = "lock";
/// No process number is longer.
const LONGEST: u64 = 32;

/// A directory that no other process may use. The system releases it with the process, however that ends.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

/// Why a directory may not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process uses it.
    #[error("{} is used by process {process}; stop it or give another --state-dir", shown(directory))]
    Used {
        /// The directory.
        directory: PathBuf,
        /// The process's number, or words where that is not known.
        process: String,
    },
    /// The file cannot be opened or locked.
    #[error(
        "cannot lock {}; give a --state-dir that this user can write to, on a disk that knows locks",
        shown(file)
    )]
    System {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl DirectoryLock {
    /// Takes a directory, which exists, for this process.
    ///
    /// # Errors
    /// [`LockError`] if another process has it, or it cannot be locked.
    pub fn take(directory: &Path) -> Result<Self, LockError> {
        let path = directory.join(NAME);
        let failed = |source| LockError::System { file: path.clone(), source };
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).create(true).truncate(false).open(&path);
        // One that is there can be locked even where nothing can be written.
        let mut file = opened.or_else(|error| File::open(&path).map_err(|_| error)).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {
                // Only for the message that another process would give; the lock does not depend on it.
                sign(&mut file).unwrap_or_default();
                Ok(Self { _file: file })
            }
            Err(TryLockError::WouldBlock) => {
                let directory = directory.to_owned();
                Err(LockError::Used { directory, process: signature(&mut file) })
            }
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// Who has locked it.
fn signature(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(LONGEST).read_to_string(&mut text);
    let number = text.trim();
    match read {
        Ok(_) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => number.to_owned(),
        _ => "(its number is not known)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::temporary::Temporary;

    #[test]
    fn a_directory_belongs_to_one_until_that_one_is_gone() {
        let directory = Temporary::new();
        let first = DirectoryLock::take(directory.directory()).unwrap();
        let second = DirectoryLock::take(directory.directory()).unwrap_err().to_string();
        let expected = format!(
            "{} is used by process {}; stop it or give another --state-dir",
            shown(directory.directory()),
            std::process::id()
        );
        assert_eq!(second, expected);
        drop(first);
        DirectoryLock::take(directory.directory()).unwrap();
    }

    #[test]
    fn who_holds_it_is_not_invented() {
        let directory = Temporary::new();
        let first = DirectoryLock::take(directory.directory()).unwrap();
        std::fs::write(directory.path(NAME), b"\x1b[2J").unwrap();
        let second = DirectoryLock::take(directory.directory()).unwrap_err().to_string();
        assert!(second.contains("process (its number is not known)"), "{second}");
        drop(first);
        let gone = directory.path("gone");
        assert!(matches!(DirectoryLock::take(&gone), Err(LockError::System { .. })));
    }
}
