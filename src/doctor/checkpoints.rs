//! What a state directory holds, without changing anything in it.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use super::finding::{Check, Finding};
use crate::checkpoint::lock::NAME;
use crate::checkpoint::{DirectoryLock, Disk, Identity, Loaded, LockError, Store, SystemDisk};

/// Who uses it, and which checkpoints a run with these identities would go on from. `now_ms` is since 1970.
pub(super) fn look(directory: &Path, identities: &[Identity], now_ms: i64) -> Finding {
    let shown = directory.display();
    let mut store = Store::new(ReadOnly(SystemDisk), directory);
    let mut found = Vec::new();
    let mut doubts = Vec::new();
    for identity in identities {
        match store.load(identity) {
            Ok(None) => {}
            Ok(Some(Loaded { checkpoint, unusable, .. })) => {
                doubts
                    .extend(unusable.iter().map(|file| format!("{}: {}", file.file.display(), file.reason)));
                found.push((&identity.symbol, checkpoint.saved_at_ms));
            }
            Err(error) => {
                let files = error.files.iter().map(|(file, reason)| format!("{}: {reason}", file.display()));
                let files: Vec<String> = files.collect();
                return Finding::fail(
                    Check::StateDirectory,
                    format!("no checkpoint of {} can be used: {}", error.of, files.join("; ")),
                    "restore a good copy, run with the settings it was kept with, give another --state-dir, or move \
                     it away to begin anew",
                );
            }
        }
    }
    let newest = found.iter().map(|(_, saved_at_ms)| *saved_at_ms).max();
    let ago = newest.map(|at| age(now_ms.saturating_sub(at))).unwrap_or_default();
    let said = match (&*found, identities) {
        (_, []) => format!("{shown}: writable; whose checkpoints to look for is not known"),
        ([], _) => format!("{shown}: writable, no checkpoint yet"),
        ([(symbol, _)], [_]) => format!("{shown}: writable, 1 checkpoint of {symbol}, saved {ago} ago"),
        (found, all) => format!(
            "{shown}: writable, checkpoints of {} of {} symbols, the newest saved {ago} ago",
            found.len(),
            all.len()
        ),
    };
    if !doubts.is_empty() {
        let said = format!("{said}; a file before it cannot be used: {}", doubts.join("; "));
        return Finding::warn(
            Check::StateDirectory,
            said,
            "a run goes on from the one that can; keep an eye on the disk",
        );
    }
    match user(directory) {
        Some(process) => Finding::warn(
            Check::StateDirectory,
            format!("{said}; it is used by process {process}"),
            "a second run must have another --state-dir; if that process is the monitor itself, all is well",
        ),
        None => Finding::ok(Check::StateDirectory, said),
    }
}

/// The process that has locked it.
fn user(directory: &Path) -> Option<String> {
    let file = File::open(directory.join(NAME)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => match DirectoryLock::take(directory) {
            Err(LockError::Used { process, .. }) => Some(process),
            // It has just ended.
            _ => None,
        },
        _ => None,
    }
}

/// A disk on which nothing changes: what cannot be used is told, and stays where it is.
struct ReadOnly(SystemDisk);

impl Disk for ReadOnly {
    fn create(&self, _path: &Path, _contents: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_directory(&self, _path: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        self.0.read(path, limit)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.0.exists(path)
    }

    fn remove(&self, _path: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

/// `12 s`, `7 min`, `5 h` or `9 days`.
fn age(ms: i64) -> String {
    match ms.max(0) / 1_000 {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7_200 => format!("{} min", seconds / 60),
        seconds @ ..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;
    use crate::checkpoint::samples;
    use crate::checkpoint::temporary::Temporary;

    #[test]
    fn checkpoints_are_counted_and_damaged_ones_named_and_nothing_is_changed() {
        let directory = Temporary::new();
        let at = directory.directory();
        let identity = samples::identity(8);
        let told = |now_ms| look(at, std::slice::from_ref(&identity), now_ms);
        assert_eq!(told(0).level, Level::Ok);
        assert!(told(0).said.ends_with(": writable, no checkpoint yet"), "{}", told(0).said);

        let mut store = Store::new(SystemDisk, at);
        for saved_at_ms in [1_000, 2_000] {
            store.save(&identity, &samples::state_after(&identity, 20), saved_at_ms).unwrap();
        }
        let whole = told(14_000);
        assert_eq!(whole.level, Level::Ok);
        assert!(whole.said.contains("1 checkpoint of ETHUSDT, saved 12 s ago"), "{}", whole.said);

        let mut files: Vec<_> = std::fs::read_dir(at).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        for (damaged, level) in files.iter().zip([Level::Warn, Level::Fail]) {
            std::fs::write(damaged, "nothing").unwrap();
            assert_eq!(told(14_000).level, level, "{}", told(14_000).said);
        }
        let mut after: Vec<_> = std::fs::read_dir(at).unwrap().map(|file| file.unwrap().path()).collect();
        after.sort();
        assert_eq!(after, files);

        let lock = DirectoryLock::take(at).unwrap();
        files.iter().for_each(|file| std::fs::remove_file(file).unwrap());
        let used = told(0);
        assert_eq!(used.level, Level::Warn);
        assert!(
            used.said.ends_with(&format!("it is used by process {}", std::process::id())),
            "{}",
            used.said
        );
        drop(lock);
        assert_eq!(told(0).level, Level::Ok);
    }

    #[test]
    fn an_age_has_the_unit_that_fits() {
        let ages = [-5, 119_999, 120_000, 7_200_000, 172_800_000].map(age);
        assert_eq!(ages, ["0 s", "119 s", "2 min", "2 h", "2 days"]);
    }
}
