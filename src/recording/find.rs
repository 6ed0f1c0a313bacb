//! From what is named to the segments that are meant.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::blocks::Blocks;
use super::error::RecordingError;
use super::header::Header;
use super::manifest::{MANIFEST, Manifest};
use super::name;
use crate::checkpoint::lock;

/// A list that tells of a recording is looked at so far.
const LONGEST_MANIFEST: u64 = 256 * 1024 * 1024;

/// Ends of the names of data that is no recording.
const DATA: [&str; 7] = [".csv", ".gz", ".zip", ".jsonl", ".zst", ".ws", ".ndjson"];

/// The segments of a directory, or the file itself if it is one; `None` for anything else, and for what cannot be opened.
pub(super) fn recorded(argument: &Path) -> Result<Option<Vec<PathBuf>>, RecordingError> {
    if !argument.is_dir() {
        let is_beside = |name: &str| argument.ends_with(name) && argument.parent().is_some_and(has_manifest);
        if is_beside(MANIFEST) || is_beside(lock::NAME) {
            return Ok(Some(Vec::new()));
        }
        let is_segment = argument.is_file() && has_header(argument);
        return Ok(is_segment.then(|| vec![argument.to_owned()]));
    }
    let failed = |source| RecordingError::Directory { directory: argument.to_owned(), source };
    let has_manifest = has_manifest(argument);
    let mut segments = segments_of(argument).map_err(failed)?;
    if !has_manifest && !segments.iter().any(|file| has_header(file)) {
        return Ok(None);
    }
    if segments.is_empty() {
        return Err(RecordingError::Empty(argument.to_owned()));
    }
    if !has_manifest {
        // Somebody has put them there, maybe among others.
        segments.retain(|file| has_header(file));
        if let Some(other) = other_data(argument, &segments).map_err(failed)? {
            return Err(RecordingError::Mixed { recording: segments.swap_remove(0), other });
        }
    }
    Ok(Some(segments))
}

/// The segments in a directory, finished or not, in the order of their names; a file without a byte in it is none.
///
/// # Errors
/// What the system says.
pub fn segments_of(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let is_segment = path.file_name().and_then(|name| name.to_str()).is_some_and(name::is_segment);
        if is_segment && path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Another file of data in a directory.
fn other_data(directory: &Path, segments: &[PathBuf]) -> io::Result<Option<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        files.push(entry?.path());
    }
    files.sort();
    let is_data = |file: &PathBuf| {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        !name.starts_with('.') && DATA.iter().any(|ending| name.ends_with(ending))
    };
    Ok(files.into_iter().find(|file| is_data(file) && file.is_file() && !segments.contains(file)))
}

/// Whether a file begins like a segment, compressed or not.
fn has_header(file: &Path) -> bool {
    let Ok(mut blocks) = File::open(file).and_then(|file| Blocks::new(Box::new(file))) else { return false };
    let mut text = Vec::new();
    // A first line that is cut is one all the same: what there is says so.
    blocks.next(&mut text).is_ok() && Header::is_beginning(&text)
}

/// Whether the list of a recording is in a directory; others have manifests too.
pub(crate) fn has_manifest(directory: &Path) -> bool {
    let file = directory.join(MANIFEST);
    let is_short =
        file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() <= LONGEST_MANIFEST);
    is_short && fs::read(&file).is_ok_and(|contents| Manifest::tells_of_a_recording(&contents))
}
