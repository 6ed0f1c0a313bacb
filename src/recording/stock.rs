//! What is in a directory when a recording begins there: what a crash has left is taken over, and the list of segments is
//! brought up to date.

use std::io;
use std::path::Path;

use super::disk::RecordingDisk;
use super::error::RecordError;
use super::manifest::{MANIFEST, Manifest, SegmentEntry};
use super::name::{self, PART};
use super::segment::{Item, SegmentReader};

/// The list that is read is no longer.
const LONGEST_MANIFEST: usize = 256 * 1024 * 1024;

/// Gives unfinished segments their names, and lists all segments; also tells how many were unfinished.
pub(super) fn take<D: RecordingDisk>(disk: &D, directory: &Path) -> Result<(Manifest, u64), RecordError> {
    let failed = |doing| move |source| RecordError::Disk { directory: directory.to_owned(), doing, source };
    let known = known(disk, directory)?;
    let files = disk.files(directory).map_err(failed("list the files"))?;
    let (mut manifest, mut adopted) = (Manifest::new(Vec::new()), 0);
    for (file, bytes) in files.into_iter().filter(|(file, _)| name::is_segment(file)) {
        let file = match file.strip_suffix(PART) {
            None => file,
            Some(_) if bytes == 0 => {
                disk.remove(&directory.join(&file)).map_err(failed("remove an empty file"))?;
                continue;
            }
            Some(whole) => {
                let (from, to) = (directory.join(&file), directory.join(whole));
                if disk.exists(&to).map_err(failed("look for a file"))? {
                    // Not of our making; a person has to look at it.
                    continue;
                }
                disk.rename(&from, &to).map_err(failed("rename an unfinished file"))?;
                adopted += 1;
                whole.to_owned()
            }
        };
        let entry = known.iter().find(|entry| entry.file == file && entry.bytes == bytes);
        match entry {
            Some(entry) => manifest.add(entry.clone()),
            None => {
                let read = disk.open(&directory.join(&file)).map(|reader| read_through(reader, &file, bytes));
                if let Some(entry) = read.map_err(failed("read an unfinished file"))? {
                    manifest.add(entry);
                }
            }
        }
    }
    if adopted > 0 {
        disk.sync_directory(directory).map_err(failed("rename an unfinished file"))?;
    }
    Ok((manifest, adopted))
}

/// What the list says, as far as it can be read.
fn known<D: RecordingDisk>(disk: &D, directory: &Path) -> Result<Vec<SegmentEntry>, RecordError> {
    let directory = directory.to_owned();
    match disk.read(&directory.join(MANIFEST), LONGEST_MANIFEST) {
        Ok(contents) => match Manifest::newer(&contents) {
            Some(version) => Err(RecordError::Newer { directory, version }),
            None => Ok(Manifest::read(&contents).map(|manifest| manifest.segments).unwrap_or_default()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(RecordError::Disk { directory, doing: "read the list of files", source }),
    }
}

/// What a segment holds that the list does not know; nothing if it has not even a first line.
fn read_through(reader: Box<dyn io::Read + Send>, file: &str, bytes: u64) -> Option<SegmentEntry> {
    let mut segment = SegmentReader::open(reader, Path::new(file)).ok()?;
    let mut end = "cut";
    while let Some(item) = segment.next() {
        if let Item::End(found) = item {
            end = found.ending.as_str();
        }
    }
    let header = segment.header();
    Some(SegmentEntry {
        file: file.to_owned(),
        run: header.run.clone(),
        segment: header.segment,
        first_input: header.first_input,
        inputs: segment.inputs(),
        begun_wall_ns: header.begun.wall_ns,
        ended_wall_ns: segment.last().map_or(header.begun.wall_ns, |at| at.wall_ns),
        bytes,
        end: end.to_owned(),
    })
}
