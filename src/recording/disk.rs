//! What a recording asks of a disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use crate::checkpoint::{Disk, SystemDisk};

/// What a recording does with files besides what a [`Disk`] does: files that grow. Contents are durable once
/// [`Growing::sync`] returns, names once [`Disk::sync_directory`] does.
pub trait RecordingDisk: Disk + 'static {
    /// A file that grows.
    type File: Growing;

    /// Makes a new, empty file.
    ///
    /// # Errors
    /// What the system says; a file of that name that exists already is one.
    fn begin(&self, path: &Path) -> io::Result<Self::File>;

    /// Opens a file for reading.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>>;

    /// The files of a directory: names that are UTF-8, and sizes in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn files(&self, directory: &Path) -> io::Result<Vec<(String, u64)>>;
}

/// A file that grows at its end.
pub trait Growing: Send {
    /// Writes all of this behind what is there; some of it may be there when it fails.
    ///
    /// # Errors
    /// What the system says.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes what is there durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync(&mut self) -> io::Result<()>;

    /// Takes back everything beyond so many bytes; the next append goes there.
    ///
    /// # Errors
    /// What the system says.
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

impl RecordingDisk for SystemDisk {
    type File = File;

    fn begin(&self, path: &Path) -> io::Result<File> {
        // Appending, so that what is cut away leaves no hole behind.
        let mut options = OpenOptions::new();
        options.append(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(path)?))
    }

    fn files(&self, directory: &Path) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            match entry.metadata() {
                Ok(metadata) if metadata.is_file() => files.push((name, metadata.len())),
                Ok(_) => {}
                // Somebody removed it in the meantime.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        files.sort();
        Ok(files)
    }
}

impl Growing for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::temporary::Temporary;

    #[test]
    fn a_file_grows_and_shrinks_at_its_end() {
        let directory = Temporary::new();
        let path = directory.path("one");
        let mut file = SystemDisk.begin(&path).unwrap();
        assert!(SystemDisk.begin(&path).is_err());
        file.append(b"one").unwrap();
        file.append(b"two").unwrap();
        file.cut(4).unwrap();
        file.append(b"!").unwrap();
        file.sync().unwrap();
        let mut text = String::new();
        SystemDisk.open(&path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "onet!");
        std::fs::create_dir(directory.path("not a file")).unwrap();
        assert_eq!(SystemDisk.files(directory.directory()).unwrap(), [("one".to_owned(), 5)]);
    }
}
