//! Writes segments: what the thread does with each job. It knows neither threads nor clocks; the disk is a trait.

use std::io;
use std::path::{Path, PathBuf};

use zstd::bulk::Compressor;

use crate::snapshot::Stamp;

use super::desk::Job;
use super::disk::{Growing, RecordingDisk};
use super::end::{End, Ending};
use super::header::Header;
use super::manifest::{MANIFEST, Manifest, SegmentEntry};
use super::name::{self, PART};
use super::notice::{RecordNotice, Stop};
use super::retention::Retention;

/// How hard to compress: 3 takes a fifth of the bytes at hundreds of megabytes a second.
const LEVEL: i32 = 3;
/// Text that is compressed in one piece, up to the end of a line.
pub(super) const PIECE: usize = 256 * 1024;
/// The time between two moments at which what is written is made durable, in nanoseconds.
const SYNC_NS: u64 = 1_000_000_000;

/// Writes the segments of one run.
pub(super) struct Writer<D: RecordingDisk> {
    disk: D,
    directory: PathBuf,
    retention: Retention,
    manifest: Manifest,
    compressor: Compressor<'static>,
    compressed: Vec<u8>,
    current: Option<Current<D::File>>,
    /// The number of the last segment that was begun, or was to be.
    segment: u64,
    /// Nothing is recorded until the next segment.
    stopped: bool,
    /// Deleting has failed, and is not tried again before the next segment.
    cannot_remove: bool,
}

/// The segment that is being written.
struct Current<F> {
    file: F,
    entry: SegmentEntry,
    synced_ns: u64,
    dirty: bool,
}

/// What a job came to.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Inputs that are written.
    pub(super) inputs: u64,
    /// Inputs that could not be written, or were not because of what happened before.
    pub(super) not_recorded: u64,
    /// Bytes that are written.
    pub(super) bytes: u64,
    /// Segments that were begun.
    pub(super) segments: u64,
    /// The segment of which nothing more is recorded, and why.
    pub(super) stopped: Option<(u64, Stop)>,
    /// What else happened.
    pub(super) notices: Vec<RecordNotice>,
    /// A buffer that may be used again.
    pub(super) used: Option<Vec<u8>>,
}

impl<D: RecordingDisk> Writer<D> {
    /// # Errors
    /// When there is no memory for compressing.
    pub(super) fn new(
        disk: D,
        directory: &Path,
        retention: Retention,
        manifest: Manifest,
    ) -> io::Result<Self> {
        let mut compressor = Compressor::new(LEVEL)?;
        compressor.include_checksum(true)?;
        Ok(Self {
            disk,
            directory: directory.to_owned(),
            retention,
            manifest,
            compressor,
            compressed: Vec::new(),
            current: None,
            segment: 0,
            stopped: false,
            cannot_remove: false,
        })
    }

    /// Does a job. What fails ends the segment, and is told.
    pub(super) fn work(&mut self, job: Job) -> Done {
        let mut done = Done::default();
        match job {
            Job::Begin { header, at } => {
                let had_stopped = self.stopped;
                self.segment = header.segment;
                let ended = self.end_segment(Ending::Rotated, at, &mut done);
                let begun = ended.and_then(|()| self.begin(&header, at, &mut done));
                match begun {
                    Ok(()) => {
                        self.stopped = false;
                        if had_stopped {
                            // Completed by who knows the number.
                            done.notices.push(RecordNotice::Again { not_recorded: 0 });
                        }
                    }
                    Err(error) => self.stop(Stop::of(&error), at, &mut done),
                }
            }
            Job::Lines { text, inputs, at } => {
                if self.stopped {
                    done.not_recorded = inputs;
                } else {
                    match self.append(&text, at, &mut done) {
                        Ok(()) => self.count(inputs, at, &mut done),
                        Err(error) => {
                            done.not_recorded = inputs;
                            self.stop(Stop::of(&error), at, &mut done);
                        }
                    }
                }
                done.used = Some(text);
            }
            Job::Stop { stop, at } => {
                if !self.stopped {
                    self.stop(stop, at, &mut done);
                    // Who has laid this down has told it already.
                    done.stopped = None;
                }
            }
            Job::End { at } => {
                if let Err(error) = self.end_segment(Ending::Stopped, at, &mut done) {
                    self.stop(Stop::of(&error), at, &mut done);
                }
            }
        }
        done
    }

    /// Begins a segment: its first line is written when this returns, and the old ones that are overdue are gone.
    pub(super) fn begin(&mut self, header: &Header, at: Stamp, done: &mut Done) -> io::Result<()> {
        self.cannot_remove = false;
        self.retain(at, done);
        self.write_manifest()?;
        let file = name::of(header.begun, &header.run, header.segment);
        let path = self.directory.join(format!("{file}{PART}"));
        let entry = SegmentEntry {
            file,
            run: header.run.clone(),
            segment: header.segment,
            first_input: header.first_input,
            inputs: 0,
            begun_wall_ns: header.begun.wall_ns,
            ended_wall_ns: header.begun.wall_ns,
            bytes: 0,
            end: String::new(),
        };
        let mut text = Vec::new();
        header.write(&mut text);
        let file = self.disk.begin(&path)?;
        self.current = Some(Current { file, entry, synced_ns: at.mono_ns, dirty: false });
        let written = self.append(&text, at, done);
        let synced = self.current.as_mut().map_or(Ok(()), |current| current.file.sync());
        let written = written.and(synced).and_then(|()| self.disk.sync_directory(&self.directory));
        if written.is_err() {
            // It tells nothing, not even where it begins.
            self.current = None;
            self.disk.remove(&path).unwrap_or_default();
        }
        written?;
        done.segments += 1;
        Ok(())
    }

    /// Compresses text and writes it; makes it durable when the time has come.
    fn append(&mut self, text: &[u8], at: Stamp, done: &mut Done) -> io::Result<()> {
        let Some(current) = &mut self.current else { return Ok(()) };
        let before = current.entry.bytes;
        for piece in Pieces(text) {
            self.compressed.clear();
            self.compressed.reserve(zstd::zstd_safe::compress_bound(piece.len()));
            let result = self
                .compressor
                .compress_to_buffer(piece, &mut self.compressed)
                .and_then(|_| current.file.append(&self.compressed));
            if let Err(error) = result {
                self.cut(before);
                return Err(error);
            }
            current.dirty = true;
            current.entry.bytes += self.compressed.len() as u64;
        }
        if current.dirty && at.mono_ns.saturating_sub(current.synced_ns) >= SYNC_NS {
            if let Err(error) = current.file.sync() {
                // What counts as not recorded must not be there.
                self.cut(before);
                return Err(error);
            }
            (current.dirty, current.synced_ns) = (false, at.mono_ns);
        }
        done.bytes += current.entry.bytes - before;
        let writing = current.entry.bytes;
        if self.retention.limit.is_some_and(|limit| self.manifest.bytes() + writing > limit)
            && !self.cannot_remove
        {
            self.retain(at, done);
            // It is also written with the next segment.
            self.write_manifest().unwrap_or_default();
        }
        Ok(())
    }

    /// Takes back what was written last: half a piece would hide what comes after it.
    fn cut(&mut self, length: u64) {
        let Some(current) = &mut self.current else { return };
        current.entry.bytes = length;
        if current.file.cut(length).is_err() {
            // It gets neither a last line nor its name, until it is taken over.
            self.current = None;
        }
    }

    fn count(&mut self, inputs: u64, at: Stamp, done: &mut Done) {
        done.inputs = inputs;
        if let Some(current) = &mut self.current {
            current.entry.inputs += inputs;
            current.entry.ended_wall_ns = at.wall_ns;
        }
    }

    /// Nothing is recorded any more.
    fn stop(&mut self, stop: Stop, at: Stamp, done: &mut Done) {
        self.stopped = true;
        let inputs = self.current.as_ref().map_or(0, |current| current.entry.inputs);
        // What fails here has failed before.
        self.close(&stop.end(inputs), at, done).unwrap_or_default();
        done.stopped = Some((self.segment, stop));
    }

    /// Ends the segment as it was meant to, if there is one.
    fn end_segment(&mut self, ending: Ending, at: Stamp, done: &mut Done) -> io::Result<()> {
        let Some(current) = &self.current else { return Ok(()) };
        let end = End { ending, inputs: current.entry.inputs, reason: None };
        self.close(&end, at, done)?;
        self.retain(at, done);
        self.write_manifest()
    }

    /// Writes the last line, makes all of it durable, and gives the file its name.
    fn close(&mut self, end: &End, at: Stamp, done: &mut Done) -> io::Result<()> {
        let mut text = Vec::new();
        end.write(&mut text);
        let written = self.append(&text, at, done);
        let Some(Current { mut file, mut entry, .. }) = self.current.take() else { return written };
        let synced = file.sync();
        drop(file);
        let named = self.name(&entry.file);
        entry.end = match written {
            Ok(()) => end.ending.as_str().to_owned(),
            Err(_) => "cut".to_owned(),
        };
        if named.is_ok() {
            self.manifest.add(entry);
        }
        if !end.ending.is_clean() {
            self.write_manifest().unwrap_or_default();
        }
        written.and(synced).and(named)
    }

    fn name(&self, file: &str) -> io::Result<()> {
        let path = self.directory.join(file);
        self.disk.rename(&self.directory.join(format!("{file}{PART}")), &path)?;
        self.disk.sync_directory(&self.directory)
    }

    /// Deletes what is overdue.
    fn retain(&mut self, at: Stamp, done: &mut Done) {
        let writing = self.current.as_ref().map_or(0, |current| current.entry.bytes);
        let overdue = self.retention.overdue(&self.manifest.segments, writing, at.wall_ns);
        let (mut segments, mut bytes, mut gone) = (0, 0, Vec::new());
        for entry in overdue.into_iter().map(|at| &self.manifest.segments[at]) {
            let file = self.directory.join(&entry.file);
            match self.disk.remove(&file) {
                Ok(()) => {
                    (segments, bytes) = (segments + 1, bytes + entry.bytes);
                    gone.push(entry.file.clone());
                }
                Err(error) => {
                    self.cannot_remove = true;
                    done.notices.push(RecordNotice::CannotRemove { file, reason: error.to_string() });
                    break;
                }
            }
        }
        if segments > 0 {
            self.manifest.segments.retain(|entry| !gone.contains(&entry.file));
            done.notices.push(RecordNotice::Removed { segments, bytes });
        }
    }

    /// Replaces the list; a crash leaves the old one or the new one.
    pub(super) fn write_manifest(&self) -> io::Result<()> {
        let temporary = self.directory.join(format!("{MANIFEST}.tmp"));
        self.disk.remove(&temporary)?;
        let written = self
            .disk
            .create(&temporary, &self.manifest.contents())
            .and_then(|()| self.disk.rename(&temporary, &self.directory.join(MANIFEST)))
            .and_then(|()| self.disk.sync_directory(&self.directory));
        if written.is_err() {
            self.disk.remove(&temporary).unwrap_or_default();
        }
        written
    }
}

/// Cuts a text into pieces at ends of lines; a line that is longer than a piece is cut too.
struct Pieces<'a>(&'a [u8]);

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let mut length = self.0.len();
        if length > PIECE {
            let last_end = self.0[..PIECE].iter().rposition(|byte| *byte == b'\n');
            length = last_end.map_or(PIECE, |at| at + 1);
        }
        let (piece, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(piece)
    }
}
