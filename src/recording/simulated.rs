//! A disk in memory that can be slow, full, or lose power.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::disk::{Growing, RecordingDisk};
use crate::checkpoint::Disk;

/// A disk in memory; clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct SimulatedDisk(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<PathBuf, Arc<Mutex<File>>>,
    /// Bytes that fit; `None` for no end.
    capacity: Option<usize>,
    /// Whether appending waits until it is released.
    stuck: bool,
    /// Appends fail with this.
    broken: Option<io::ErrorKind>,
    /// The next time something is to be made durable, this comes of it.
    not_durable: Option<io::ErrorKind>,
}

#[derive(Debug, Default)]
struct File {
    contents: Vec<u8>,
    durable: usize,
}

/// A file that is open for writing.
#[derive(Debug)]
pub(crate) struct Handle(SimulatedDisk, Arc<Mutex<File>>);

impl SimulatedDisk {
    /// So many bytes fit.
    pub(crate) fn hold(&self, bytes: Option<usize>) {
        self.state().capacity = bytes;
    }

    /// Appending waits from now on.
    pub(crate) fn stick(&self) {
        self.state().stuck = true;
    }

    /// It goes on.
    pub(crate) fn release(&self) {
        self.state().stuck = false;
        self.0.released.notify_all();
    }

    /// Appending fails from now on, or works again.
    pub(crate) fn fail(&self, with: Option<io::ErrorKind>) {
        self.state().broken = with;
    }

    /// What is made durable next turns out to have been lost.
    pub(crate) fn fail_sync(&self, with: io::ErrorKind) {
        self.state().not_durable = Some(with);
    }

    /// The power fails: of what is not durable, so much of a thousandth of each file is left.
    pub(crate) fn lose_power(&self, left: usize) -> Self {
        let state = self.state();
        let files = state.files.iter().map(|(path, file)| {
            let file = file.lock().unwrap();
            let loose = file.contents.len() - file.durable;
            let contents = file.contents[..file.durable + loose * left / 1000].to_owned();
            let durable = contents.len();
            (path.clone(), Arc::new(Mutex::new(File { contents, durable })))
        });
        let state = State { files: files.collect(), ..State::default() };
        Self(Arc::new(Shared { state: Mutex::new(state), released: Condvar::new() }))
    }

    /// The names of all files.
    pub(crate) fn names(&self) -> Vec<String> {
        self.state().files.keys().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    }

    /// What a file says.
    pub(crate) fn contents(&self, path: &Path) -> Vec<u8> {
        self.state().files[path].lock().unwrap().contents.clone()
    }

    /// Makes a file say something.
    pub(crate) fn put(&self, path: &Path, contents: &[u8]) {
        let file = File { contents: contents.to_owned(), durable: contents.len() };
        self.state().files.insert(path.to_owned(), Arc::new(Mutex::new(file)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }
}

impl State {
    /// How much more fits.
    fn room(&self) -> usize {
        let used: usize = self.files.values().map(|file| file.lock().unwrap().contents.len()).sum();
        self.capacity.map_or(usize::MAX, |capacity| capacity.saturating_sub(used))
    }
}

impl Growing for Handle {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.0.state();
        while state.stuck {
            state = self.0.0.released.wait(state).unwrap();
        }
        if let Some(kind) = state.broken {
            return Err(kind.into());
        }
        let fits = bytes.len().min(state.room());
        self.1.lock().unwrap().contents.extend_from_slice(&bytes[..fits]);
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        if let Some(kind) = self.0.state().not_durable.take() {
            return Err(kind.into());
        }
        let mut file = self.1.lock().unwrap();
        file.durable = file.contents.len();
        Ok(())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        let mut file = self.1.lock().unwrap();
        file.contents.truncate(usize::try_from(length).unwrap());
        file.durable = file.durable.min(file.contents.len());
        Ok(())
    }
}

impl RecordingDisk for SimulatedDisk {
    type File = Handle;

    fn begin(&self, path: &Path) -> io::Result<Handle> {
        let mut state = self.state();
        if state.files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = Arc::<Mutex<File>>::default();
        state.files.insert(path.to_owned(), Arc::clone(&file));
        Ok(Handle(self.clone(), file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(self.read(path, usize::MAX)?)))
    }

    fn files(&self, directory: &Path) -> io::Result<Vec<(String, u64)>> {
        let state = self.state();
        let within = state.files.iter().filter(|(path, _)| path.parent() == Some(directory));
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        Ok(within.map(|(path, file)| (name(path), file.lock().unwrap().contents.len() as u64)).collect())
    }
}

impl Disk for SimulatedDisk {
    fn create(&self, path: &Path, contents: &[u8]) -> io::Result<()> {
        let mut file = self.begin(path)?;
        file.append(contents)?;
        file.sync()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let file = state.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.files.insert(to.to_owned(), file);
        Ok(())
    }

    fn sync_directory(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let file = self.state().files.get(path).cloned().ok_or(io::ErrorKind::NotFound)?;
        let file = file.lock().unwrap();
        Ok(file.contents[..file.contents.len().min(limit)].to_owned())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.state().files.contains_key(path))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.state().files.remove(path);
        Ok(())
    }
}
