//! The files of a state directory: written so that no crash at any moment leaves a wrong one, read so that a wrong one
//! is never taken for a right one.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::format::{self, Checkpoint, FormatError, Identity, decode, encode};
use super::name::{Names, with};
use crate::pipeline::LaneState;
use crate::text::shown;

/// Files of one symbol that are set aside at most; with more, the disk is what needs care.
const SET_ASIDE: usize = 99;

/// A state directory. Nothing else may write to it: see [`DirectoryLock`](super::DirectoryLock).
#[derive(Debug)]
pub struct Store<D> {
    disk: D,
    directory: PathBuf,
    slots: HashMap<PathBuf, Slot>,
    /// Files of earlier runs that made room, and their names from now on.
    made_room: Vec<(PathBuf, PathBuf)>,
}

/// What is known of the files of a symbol.
#[derive(Debug, Default)]
struct Slot {
    /// The last one that was used; those that may never have become durable included.
    serial: u64,
    /// Files that cannot be used and stand where others are to be written.
    in_the_way: Vec<PathBuf>,
}

/// What a directory had.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The newest checkpoint that can be used.
    pub checkpoint: Checkpoint,
    /// It is not the file that should have been the newest.
    pub is_previous: bool,
    /// What could not be used.
    pub unusable: Vec<SetAside>,
}

/// A file that cannot be used while another can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Its name.
    pub file: PathBuf,
    /// What is wrong with it.
    pub reason: String,
    /// Its name from now on; `None` where it could not be renamed, which is tried again before anything is saved.
    pub now: Option<PathBuf>,
}

/// A save that failed. What was saved before is still there.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep a checkpoint in {}: cannot {doing}", shown(directory))]
pub struct StoreError {
    /// The state directory.
    pub directory: PathBuf,
    /// What could not be done.
    pub doing: &'static str,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// Nothing that is there can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    /// Whose checkpoint it should be.
    pub of: String,
    /// Each file and what is wrong with it.
    pub files: Vec<(PathBuf, String)>,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no checkpoint of {} can be used", self.of)?;
        for (at, (file, reason)) in self.files.iter().enumerate() {
            write!(f, "{} {}: {reason}", if at == 0 { ":" } else { ";" }, shown(file))?;
        }
        let (they, were, them) =
            if self.files.len() == 1 { ("it", "was", "it") } else { ("they", "were", "them") };
        write!(
            f,
            ". Nothing begins at zero while {they} may be of use: restore a good copy, run with what {they} {were} \
             kept with, give another --state-dir, or move {them} away to begin anew"
        )
    }
}

impl std::error::Error for LoadError {}

impl<D: Disk> Store<D> {
    /// A store in a directory, which exists.
    pub fn new(disk: D, directory: &Path) -> Self {
        Self { disk, directory: directory.to_owned(), slots: HashMap::new(), made_room: Vec::new() }
    }

    /// The newest checkpoint of a symbol; `None` if there is no file. To be asked before the first save of a symbol that
    /// is to go on from it: what was never looked at is set aside by that save.
    ///
    /// # Errors
    /// [`LoadError`] if there are files and none can be used.
    pub fn load(&mut self, identity: &Identity) -> Result<Option<Loaded>, LoadError> {
        let names = Names::of(&self.directory, identity.market, &identity.symbol);
        let mut unusable = Vec::new();
        let mut usable = Vec::new();
        for (path, is_previous) in [(&names.current, false), (&names.previous, true)] {
            match self.disk.read(path, format::LONGEST + 1) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => unusable.push((path.clone(), format!("it cannot be read: {error}"))),
                Ok(bytes) => match decode(&bytes, identity) {
                    Ok(checkpoint) => usable.push((checkpoint, is_previous)),
                    Err(error) => unusable.push((path.clone(), error.to_string())),
                },
            }
        }
        let newest =
            usable.into_iter().max_by_key(|(checkpoint, is_previous)| (checkpoint.serial, !is_previous));
        let Some((checkpoint, is_previous)) = newest else {
            if unusable.is_empty() {
                return Ok(None);
            }
            let of = format!("{} {}", identity.market, identity.symbol);
            return Err(LoadError { of, files: unusable });
        };
        let set_aside = |(file, reason): (PathBuf, String)| {
            let now = self.set_aside(&file).ok();
            SetAside { file, reason, now }
        };
        let unusable: Vec<_> = unusable.into_iter().map(set_aside).collect();
        let still_there = unusable.iter().filter(|file| file.now.is_none());
        let in_the_way = still_there.map(|file| file.file.clone()).collect();
        self.slots.insert(names.current, Slot { serial: checkpoint.serial, in_the_way });
        Ok(Some(Loaded { checkpoint, is_previous, unusable }))
    }

    /// Saves a checkpoint. When this returns, it is what [`Store::load`] gives after a crash, or a later one.
    ///
    /// # Errors
    /// [`StoreError`]: what was saved before is still there, and saving may be tried again.
    pub fn save(
        &mut self,
        identity: &Identity,
        state: &LaneState,
        saved_at_ms: i64,
    ) -> Result<(), StoreError> {
        let names = Names::of(&self.directory, identity.market, &identity.symbol);
        let directory = self.directory.clone();
        let failed = |doing| {
            let directory = directory.clone();
            move |source| StoreError { directory, doing, source }
        };
        let serial = self.slots.get(&names.current).map_or(0, |slot| slot.serial).saturating_add(1);
        let encoded = encode(identity, state, serial, saved_at_ms);
        let contents =
            encoded.map_err(|error: FormatError| failed("write what it says")(io::Error::other(error)))?;
        self.make_room(&names).map_err(failed("set aside a file of an earlier run"))?;
        // Even if it is never durable, no other one may have its number.
        self.slots.entry(names.current.clone()).or_default().serial = serial;
        self.clear_the_way(&names.current).map_err(failed("set aside a file that cannot be used"))?;
        // Never written over: what has that name may, after a crash, be the same file as another.
        self.disk.remove(&names.temporary).map_err(failed("remove an old temporary file"))?;
        self.disk.create(&names.temporary, &contents).map_err(failed("write a new file"))?;
        match self.disk.rename(&names.current, &names.previous) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result.map_err(failed("rename the last file"))?,
        }
        self.disk.rename(&names.temporary, &names.current).map_err(failed("rename the new file"))?;
        self.disk.sync_directory(&self.directory).map_err(failed("make the new file's name durable"))
    }

    /// Files of earlier runs that were set aside, because nobody went on from them, since this was asked last; and their
    /// names from now on.
    pub fn take_made_room(&mut self) -> Vec<(PathBuf, PathBuf)> {
        std::mem::take(&mut self.made_room)
    }

    /// Before the first save of a symbol whose files nobody has looked at.
    fn make_room(&mut self, names: &Names) -> io::Result<()> {
        if self.slots.contains_key(&names.current) {
            return Ok(());
        }
        for file in [&names.current, &names.previous] {
            if self.disk.exists(file)? {
                let now = self.rename_aside(file, ".earlier")?;
                self.made_room.push((file.clone(), now));
            }
        }
        self.slots.insert(names.current.clone(), Slot::default());
        Ok(())
    }

    /// Sets aside what stands in the way and could not be set aside before.
    fn clear_the_way(&mut self, current: &Path) -> io::Result<()> {
        while let Some(file) = self.slots.get(current).and_then(|slot| slot.in_the_way.last().cloned()) {
            self.set_aside(&file)?;
            if let Some(slot) = self.slots.get_mut(current) {
                slot.in_the_way.pop();
            }
        }
        Ok(())
    }

    /// Gives a file that cannot be used a name under which it is left alone.
    fn set_aside(&self, file: &Path) -> io::Result<PathBuf> {
        self.rename_aside(file, ".unreadable")
    }

    fn rename_aside(&self, file: &Path, ending: &str) -> io::Result<PathBuf> {
        for number in 1..=SET_ASIDE {
            let ending = if number == 1 { ending.to_owned() } else { format!("{ending}-{number}") };
            let to = with(file, &ending);
            if !self.disk.exists(&to)? {
                self.disk.rename(file, &to)?;
                self.disk.sync_directory(&self.directory)?;
                return Ok(to);
            }
        }
        Err(io::Error::other(format!(
            "{SET_ASIDE} files are set aside already; look at them, and at the disk"
        )))
    }
}

#[cfg(test)]
mod tests;
