//! A disk that can crash: whatever was not made durable may be lost, or half there.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::disk::Disk;

/// A disk in memory; clones are the same disk.
#[derive(Debug, Clone)]
pub(crate) struct SimulatedDisk(Arc<Mutex<State>>);

/// What happens to one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The machine stops in the middle of it; nothing works any more until [`SimulatedDisk::crash`].
    Stop,
    /// It fails, having done some of its work.
    Error(io::ErrorKind),
}

#[derive(Debug)]
struct State {
    random: fastrand::Rng,
    files: Vec<File>,
    /// What the running system sees.
    names: BTreeMap<PathBuf, usize>,
    /// What is certain to survive.
    durable: BTreeMap<PathBuf, usize>,
    /// What has been done to the names since they were durable.
    pending: Vec<Change>,
    /// Steps until the next fault, and which it is.
    fault: Option<(u32, Fault)>,
    stopped: bool,
}

#[derive(Debug, Clone)]
struct File {
    contents: Vec<u8>,
    durable: bool,
}

/// A change of names, which a crash undoes whole or not at all.
#[derive(Debug, Clone)]
enum Change {
    Name(PathBuf, usize),
    Rename { from: PathBuf, to: PathBuf, file: usize },
    Remove(PathBuf),
}

impl SimulatedDisk {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            random: fastrand::Rng::with_seed(seed),
            files: Vec::new(),
            names: BTreeMap::new(),
            durable: BTreeMap::new(),
            pending: Vec::new(),
            fault: None,
            stopped: false,
        })))
    }

    /// After so many steps more, this happens.
    pub(crate) fn fault_in(&self, steps: u32, fault: Fault) {
        self.lock().fault = Some((steps, fault));
    }

    /// The machine stops and starts again: of everything that was not durable any part may be lost.
    pub(crate) fn crash(&self) {
        let mut guard = self.lock();
        let State { random, files, names, durable, pending, fault, stopped, .. } = &mut *guard;
        for change in pending.drain(..) {
            if random.bool() {
                change.apply_to(durable);
            }
        }
        *names = durable.clone();
        (*fault, *stopped) = (None, false);
        for file in files.iter_mut().filter(|file| !file.durable) {
            let whole = file.contents.len();
            file.contents.truncate(random.usize(..=whole));
            // The length can be there before the contents are.
            if random.bool() {
                file.contents.resize(whole, if random.bool() { 0 } else { random.u8(..) });
            }
            file.durable = true;
        }
    }

    /// Everything there is, by name.
    pub(crate) fn listing(&self) -> Vec<String> {
        let state = self.lock();
        state.names.keys().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    }

    /// Changes what a file says, behind everybody's back.
    pub(crate) fn spoil(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.lock();
        let file = state.names[path];
        change(&mut state.files[file].contents);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    /// One step; gives its fault.
    fn step(&mut self) -> Option<Fault> {
        if self.stopped {
            return Some(Fault::Stop);
        }
        let (left, fault) = self.fault.as_mut()?;
        if *left > 0 {
            *left -= 1;
            return None;
        }
        let fault = *fault;
        self.fault = None;
        self.stopped = fault == Fault::Stop;
        Some(fault)
    }

    /// A step that is done whole or not at all.
    fn whole_step(&mut self) -> io::Result<()> {
        match self.step() {
            None => Ok(()),
            Some(fault) => Err(fault.into()),
        }
    }

    fn change(&mut self, change: Change) {
        change.apply_to(&mut self.names);
        self.pending.push(change);
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Change {
    fn apply_to(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Name(path, file) => drop(names.insert(path.clone(), *file)),
            Self::Rename { from, to, file } => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
            Self::Remove(path) => drop(names.remove(path)),
        }
    }
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Stop => Self::other("the machine has stopped"),
            Fault::Error(kind) => kind.into(),
        }
    }
}

impl Disk for SimulatedDisk {
    fn create(&self, path: &Path, contents: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        state.whole_step()?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.files.len();
        state.files.push(File { contents: Vec::new(), durable: false });
        state.change(Change::Name(path.to_owned(), file));
        if let Some(fault) = state.step() {
            let some = state.random.usize(..=contents.len());
            state.files[file].contents = contents[..some].to_owned();
            return Err(fault.into());
        }
        state.files[file].contents = contents.to_owned();
        // A sync that fails has made nothing durable.
        state.whole_step()?;
        state.files[file].durable = true;
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.whole_step()?;
        let file = state.find(from)?;
        state.change(Change::Rename { from: from.to_owned(), to: to.to_owned(), file });
        Ok(())
    }

    fn sync_directory(&self, _path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.whole_step()?;
        let State { pending, durable, .. } = &mut *state;
        pending.drain(..).for_each(|change| change.apply_to(durable));
        Ok(())
    }

    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let state = self.lock();
        let contents = &state.files[state.find(path)?].contents;
        Ok(contents[..contents.len().min(limit)].to_owned())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.lock().names.contains_key(path))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.whole_step()?;
        if state.names.contains_key(path) {
            state.change(Change::Remove(path.to_owned()));
        }
        Ok(())
    }
}
