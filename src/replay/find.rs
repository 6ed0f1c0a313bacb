//! From what was named to the files that are meant: directories are searched, patterns expanded.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::fault::{FaultReason, FileFault};
use crate::recording::has_manifest;

/// Ends of the names that are looked for in a directory. A file that is named itself may be called anything.
const ENDINGS: [&str; 10] =
    [".csv", ".csv.gz", ".csv.zip", ".zip", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".ws", ".ws.gz", ".ndjson"];
/// Directories within directories that are looked into.
const DEPTH: usize = 16;
/// Standard input, as an argument.
pub(super) const STDIN: &str = "-";

/// What an argument turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// A file, a pipe, or [`STDIN`].
    File(PathBuf),
    /// A directory that a recorder has written.
    Recording(PathBuf),
}

/// Everything that the arguments name, each once: in their order, within directories and patterns by name.
pub(super) fn find(arguments: Vec<PathBuf>) -> (Vec<Found>, Vec<FileFault>) {
    let mut search = Search::default();
    for argument in arguments {
        search.argument(argument);
    }
    (search.found, search.faults)
}

/// The arguments, with what matches them in the place of patterns that the shell did not expand.
pub fn expanded(arguments: &[PathBuf]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for argument in arguments {
        let matches = match !argument.exists() && is_pattern(argument) {
            true => glob::glob(&argument.to_string_lossy()).ok(),
            false => None,
        };
        let before = files.len();
        files.extend(matches.into_iter().flatten().flatten().filter(|file| !is_checksum(file)));
        if files.len() == before {
            files.push(argument.clone());
        }
    }
    files
}

#[derive(Default)]
struct Search {
    found: Vec<Found>,
    faults: Vec<FileFault>,
    known: HashSet<PathBuf>,
    /// Files and recordings that were met, known ones included.
    met: u64,
}

impl Search {
    fn argument(&mut self, argument: PathBuf) {
        if argument.as_os_str() == STDIN {
            self.add(Found::File(argument));
        } else if argument.is_dir() {
            self.named_directory(argument);
        } else if !argument.exists() && is_pattern(&argument) {
            self.pattern(argument);
        } else {
            // What cannot be opened is found out by opening it.
            self.add(Found::File(argument));
        }
    }

    fn pattern(&mut self, pattern: PathBuf) {
        let matches = match glob::glob(&pattern.to_string_lossy()) {
            Ok(matches) => matches,
            Err(error) => return self.fault(pattern, FaultReason::Pattern(error.msg)),
        };
        let mut any = false;
        for found in matches {
            any = true;
            match found {
                Ok(path) if path.is_dir() => self.named_directory(path),
                Ok(path) if is_checksum(&path) => {}
                Ok(path) => self.add(Found::File(path)),
                Err(error) => {
                    let path = error.path().to_owned();
                    self.fault(path, FaultReason::Unreadable(error.into()));
                }
            }
        }
        if !any {
            self.fault(pattern, FaultReason::NoMatch);
        }
    }

    fn named_directory(&mut self, directory: PathBuf) {
        let before = (self.met, self.faults.len());
        self.directory(&directory, 0);
        if before == (self.met, self.faults.len()) {
            self.fault(directory, FaultReason::EmptyDirectory);
        }
    }

    fn directory(&mut self, directory: &Path, depth: usize) {
        if has_manifest(directory) {
            return self.add(Found::Recording(directory.to_owned()));
        }
        // A link may lead back to where we are.
        if depth > DEPTH || depth > 0 && !self.known.insert(identity(directory)) {
            return;
        }
        let entries = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut paths: Vec<_> = match entries {
            Ok(entries) => entries.into_iter().map(|entry| entry.path()).collect(),
            Err(error) => return self.fault(directory.to_owned(), FaultReason::Unreadable(error)),
        };
        paths.sort();
        for path in paths.into_iter().filter(|path| !is_hidden(path)) {
            if path.is_dir() {
                self.directory(&path, depth + 1);
            } else if is_known(&path) {
                self.add(Found::File(path));
            }
        }
    }

    fn add(&mut self, found: Found) {
        self.met += 1;
        let (Found::File(path) | Found::Recording(path)) = &found;
        if self.known.insert(identity(path)) {
            self.found.push(found);
        }
    }

    fn fault(&mut self, file: PathBuf, reason: FaultReason) {
        self.faults.push(FileFault { file, reason });
    }
}

/// The same for two names of one file.
fn identity(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '['])
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

fn is_known(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

fn is_checksum(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("checksum"))
}
