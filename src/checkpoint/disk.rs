//! What a store asks of a disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

/// The few things that a store does with files. Nothing but what [`Disk::create`] and [`Disk::sync_directory`] say is
/// durable survives a crash for certain.
pub trait Disk: Send {
    /// Writes a new file. Its contents are durable when this returns, its name is not.
    ///
    /// # Errors
    /// What the system says; a file of that name that exists already is one.
    fn create(&self, path: &Path, contents: &[u8]) -> io::Result<()>;

    /// Gives a file another name, at once or not at all; a file that had that name is gone.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes the names of a directory durable as they are.
    ///
    /// # Errors
    /// What the system says.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// Reads a file, but no more than so many bytes of it.
    ///
    /// # Errors
    /// What the system says.
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>>;

    /// Whether there is a file of that name.
    ///
    /// # Errors
    /// What the system says.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Removes a file; none of that name is no error.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// The system's.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn create(&self, path: &Path, contents: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(contents)?;
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    #[cfg(unix)]
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    /// Elsewhere a directory cannot be opened; its names are as durable as the system makes them.
    #[cfg(not(unix))]
    fn sync_directory(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let mut contents = Vec::new();
        File::open(path)?.take(limit as u64).read_to_end(&mut contents)?;
        Ok(contents)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        // Not whether what a link leads to is there: its name is taken.
        match fs::symlink_metadata(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}

/// Makes a directory for its owner alone, if it is not there, and makes it durable.
///
/// # Errors
/// What the system says.
pub fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => SystemDisk.sync_directory(parent),
        _ => SystemDisk.sync_directory(Path::new(".")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::temporary::Temporary;

    #[test]
    fn a_file_is_made_once_read_up_to_a_limit_renamed_and_removed() {
        let directory = Temporary::new();
        let (one, two) = (directory.path("one"), directory.path("two"));
        SystemDisk.create(&one, b"words").unwrap();
        assert_eq!(SystemDisk.create(&one, b"").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(SystemDisk.read(&one, 3).unwrap(), b"wor");
        SystemDisk.rename(&one, &two).unwrap();
        SystemDisk.sync_directory(directory.path("").as_path()).unwrap();
        assert_eq!(SystemDisk.read(&one, 9).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(SystemDisk.exists(&two).unwrap() && !SystemDisk.exists(&one).unwrap());
        SystemDisk.remove(&two).unwrap();
        SystemDisk.remove(&two).unwrap();
        assert!(!SystemDisk.exists(&two).unwrap());
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_that_is_made_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let directory = Temporary::new();
        let path = directory.path("a/b");
        make_directory(&path).unwrap();
        make_directory(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
