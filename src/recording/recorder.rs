//! The pipeline's side of a recording: takes inputs and hands them over. It never waits.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::checkpoint::disk::make_directory;
use crate::checkpoint::{DirectoryLock, LockError, SystemDisk};
use crate::snapshot::{Market, Stamp};
use crate::source::Input;
use crate::units::Symbol;

use super::desk::{Desk, Job};
use super::disk::RecordingDisk;
use super::error::RecordError;
use super::header::Header;
use super::line;
use super::notice::{RecordNotice, Stop};
use super::retention::Retention;
use super::stock;
use super::writer::{PIECE, Writer};

/// The name of the thread.
const THREAD: &str = "recording";
/// Bytes of text that may wait for the disk; beyond that it is too slow.
const PENDING: u64 = 16 * 1024 * 1024;
/// What is written is handed over this often, in nanoseconds; a flush that comes sooner changes nothing.
const FLUSH_NS: u64 = 500_000_000;
/// After so many flushes of nothing, everything is durable.
const IDLE: u32 = 3;

/// What a recording is told.
#[derive(Debug, Clone)]
pub struct RecordSettings {
    /// Where the files go. It is made if it is not there.
    pub directory: PathBuf,
    /// Age at which segments are deleted.
    pub keep: Option<Duration>,
    /// Bytes of all segments together beyond which the oldest are deleted.
    pub limit: Option<u64>,
    /// A new segment begins at every multiple of this in UTC; an hour, but for tests.
    pub rotate: Duration,
    /// The market.
    pub market: Market,
    /// The symbols.
    pub symbols: Vec<Symbol>,
    /// What the numbers are computed with, as a JSON object.
    pub settings: String,
}

/// How a recording does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecorderHealth {
    /// Why nothing is recorded now; it is tried again when the next segment is due.
    pub stopped: Option<Stop>,
    /// Inputs that are written.
    pub inputs: u64,
    /// Inputs that are not recorded, and will not be.
    pub not_recorded: u64,
    /// Bytes that are written, compressed.
    pub bytes: u64,
    /// Segments that were begun.
    pub segments: u64,
    /// Bytes of text that wait for the disk.
    pub waiting: u64,
}

/// Records the inputs of a run.
///
/// Nothing in here waits for the disk: lines are written into memory, and a thread compresses and writes them. If too many
/// wait, or the disk fails, nothing more is recorded until the next segment is due, whose header then says how many inputs
/// of the run came before it, and from which state it leads on: what is missing can be seen, and never is in the middle
/// of a segment.
pub struct Recorder {
    desk: Arc<Desk>,
    settings: RecordSettings,
    run: String,
    /// Lines that are not handed over.
    text: Vec<u8>,
    /// How many inputs they are.
    inputs_of_text: u64,
    /// When the text is so long, it is to be handed over.
    hand_over_at: usize,
    /// Inputs of the run.
    inputs: u64,
    not_recorded: u64,
    recording: bool,
    /// The number of the present segment.
    segment: u64,
    begun: Stamp,
    /// The last moment that is known.
    at: Stamp,
    flushed_ns: u64,
    /// Hand-overs of nothing since the last one of something.
    idle: u32,
    pending: u64,
}

impl Recorder {
    /// Makes and locks the directory, takes over what a crash has left there, deletes what is overdue, and begins the first
    /// segment, from `state`, a JSON value. This waits for the disk.
    ///
    /// # Errors
    /// [`RecordError`] says why nothing can be recorded there.
    pub fn start(settings: RecordSettings, now: Stamp, state: String) -> Result<Self, RecordError> {
        let directory = &settings.directory;
        make_directory(directory)
            .map_err(|source| RecordError::Directory { directory: directory.clone(), source })?;
        let lock = DirectoryLock::take(directory).map_err(locked)?;
        Self::start_on(SystemDisk, Some(lock), settings, now, state)
    }

    pub(super) fn start_on<D: RecordingDisk>(
        disk: D,
        lock: Option<DirectoryLock>,
        settings: RecordSettings,
        now: Stamp,
        state: String,
    ) -> Result<Self, RecordError> {
        let run = format!("{:08x}", fastrand::u32(..));
        let (manifest, adopted) = stock::take(&disk, &settings.directory)?;
        let retention = Retention { keep: settings.keep, limit: settings.limit };
        let recorder = Self {
            desk: Arc::default(),
            run,
            text: Vec::new(),
            inputs_of_text: 0,
            hand_over_at: PIECE,
            inputs: 0,
            not_recorded: 0,
            recording: true,
            segment: 0,
            begun: now,
            at: now,
            flushed_ns: now.mono_ns,
            idle: 0,
            pending: PENDING,
            settings,
        };
        let directory = &recorder.settings.directory;
        let failed = |doing| {
            let directory = directory.clone();
            move |source| RecordError::Disk { directory, doing, source }
        };
        let mut writer = Writer::new(disk, directory, retention, manifest).map_err(failed("compress"))?;
        let header = recorder.header(now, state);
        let mut done = super::writer::Done::default();
        writer.begin(&header, now, &mut done).map_err(failed("begin a recording"))?;
        if adopted > 0 {
            recorder.desk.tray().notice(RecordNotice::Adopted { segments: adopted });
        }
        recorder.desk.report(done, directory);
        let (desk, directory) = (Arc::clone(&recorder.desk), directory.clone());
        std::thread::Builder::new()
            .name(THREAD.into())
            .spawn(move || {
                // The writer is not looked at again, whatever state it is in.
                let work = std::panic::AssertUnwindSafe(|| {
                    desk.serve(|job| desk.report(writer.work(job), &directory));
                });
                let panicked = std::panic::catch_unwind(work).is_err();
                drop(lock);
                desk.end(panicked, &directory);
            })
            .map_err(RecordError::Thread)?;
        Ok(recorder)
    }

    /// Takes an input, in the order in which the pipeline sees it.
    #[inline]
    pub fn input(&mut self, input: &Input) {
        if !self.recording {
            self.miss(input);
            return;
        }
        if !line::write(&mut self.text, input) {
            return;
        }
        self.inputs += 1;
        self.inputs_of_text += 1;
        if self.text.len() >= self.hand_over_at {
            self.hand_over();
        }
    }

    /// Whether a new segment is to begin now; then [`Recorder::rotate`] has to be called before the next input.
    #[inline]
    pub fn due(&self, now: Stamp) -> bool {
        let rotate = i64::try_from(self.settings.rotate.as_nanos().max(1)).unwrap_or(i64::MAX);
        let is_due = now.wall_ns.div_euclid(rotate) > self.begun.wall_ns.div_euclid(rotate)
            || now.mono_ns.saturating_sub(self.begun.mono_ns) >= rotate.unsigned_abs();
        // What has stopped, or does not keep up, first has to get rid of what waits.
        is_due && self.desk.tray().is_idle_or_recording(self.recording)
    }

    /// Begins a new segment, from `state`, a JSON value: the complete state after the last input and before the next.
    pub fn rotate(&mut self, now: Stamp, state: String) {
        self.at = now;
        if self.recording {
            self.hand_over_at = 0;
            self.hand_over();
        }
        self.not_recorded += self.inputs_of_text;
        self.text.clear();
        self.inputs_of_text = 0;
        self.recording = true;
        self.begun = now;
        self.flushed_ns = now.mono_ns;
        self.segment += 1;
        let header = Box::new(self.header(now, state));
        self.desk.put(self.desk.tray(), Job::Begin { header, at: now });
    }

    /// Hands over what has been taken, at most twice a second; to be called at least once a second and after bursts. What
    /// is lost in a crash came after the last call that handed over.
    pub fn flush(&mut self, now: Stamp) {
        self.at = now;
        if now.mono_ns.saturating_sub(self.flushed_ns) < FLUSH_NS {
            return;
        }
        self.flushed_ns = now.mono_ns;
        // Nothing is handed over a few times too, so that what was written before becomes durable.
        self.idle = if self.text.is_empty() { self.idle.saturating_add(1) } else { 0 };
        if self.recording && self.idle <= IDLE {
            self.hand_over();
        }
    }

    /// How it does.
    pub fn health(&self) -> RecorderHealth {
        let tray = self.desk.tray();
        RecorderHealth {
            stopped: tray.why_stopped(self.segment).cloned(),
            inputs: tray.counts.inputs,
            not_recorded: tray.counts.not_recorded + self.not_recorded,
            bytes: tray.counts.bytes,
            segments: tray.counts.segments,
            waiting: tray.bytes + self.text.len() as u64,
        }
    }

    /// What has happened since this was asked last; each is told once.
    pub fn take_notices(&self) -> Vec<RecordNotice> {
        let mut notices = self.desk.tray().take_notices();
        for notice in &mut notices {
            if let RecordNotice::Again { not_recorded } = notice {
                *not_recorded += self.not_recorded;
            }
        }
        notices
    }

    /// Ends the recording: what was taken is written, and the segment gets its last line and its name. Gives up waiting
    /// for the disk after `limit`; what is not written then is not recorded.
    pub async fn finish(mut self, now: Stamp, limit: Duration) -> (RecorderHealth, Vec<RecordNotice>) {
        self.at = now;
        self.close();
        // A thread of its own waits, and its time is the disk's.
        let desk = Arc::clone(&self.desk);
        drop(tokio::task::spawn_blocking(move || desk.wait_until_ended(limit)).await);
        (self.health(), self.take_notices())
    }

    /// Has the rest written and the thread end.
    fn close(&mut self) {
        if self.recording {
            self.hand_over_at = 0;
            self.hand_over();
        }
        self.recording = false;
        let tray = self.desk.tray();
        if !tray.is_closed() {
            self.desk.put(tray, Job::End { at: self.at });
            self.desk.close();
        }
    }

    /// Hands over the lines, if there is room for them; stops if there is not and will not be.
    #[cold]
    fn hand_over(&mut self) {
        let at = self.at;
        let mut tray = self.desk.tray();
        if tray.why_stopped(self.segment).is_some() {
            drop(tray);
            self.give_up();
            return;
        }
        let length = self.text.len() as u64;
        if tray.bytes + length > self.pending {
            let stop = Stop::TooSlow(tray.bytes + length);
            tray.stop(self.segment, stop.clone(), &self.settings.directory);
            self.desk.put(tray, Job::Stop { stop, at });
            self.give_up();
            return;
        }
        // At the end of a segment it has to go, however many wait.
        if tray.has_room() || self.hand_over_at == 0 {
            let text = std::mem::replace(&mut self.text, tray.spare());
            let inputs = std::mem::take(&mut self.inputs_of_text);
            self.desk.put(tray, Job::Lines { text, inputs, at });
            self.hand_over_at = PIECE;
        } else {
            drop(tray);
            self.hand_over_at = self.text.len() + PIECE;
        }
    }

    /// Nothing more is recorded, and what was not handed over is not either.
    fn give_up(&mut self) {
        self.not_recorded += std::mem::take(&mut self.inputs_of_text);
        self.text = Vec::new();
        self.hand_over_at = PIECE;
        self.recording = false;
    }

    #[cold]
    fn miss(&mut self, input: &Input) {
        if !matches!(input, Input::Rows(_) | Input::Damaged(_) | Input::Lost(_) | Input::Begin(_)) {
            self.inputs += 1;
            self.not_recorded += 1;
        }
    }

    fn header(&self, now: Stamp, state: String) -> Header {
        Header {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            run: self.run.clone(),
            segment: self.segment,
            first_input: self.inputs,
            begun: now,
            market: self.settings.market,
            symbols: self.settings.symbols.clone(),
            settings: self.settings.settings.clone(),
            state,
        }
    }

    /// For tests: how much may wait.
    #[cfg(test)]
    pub(super) fn bound(&mut self, pending: u64) {
        self.pending = pending;
    }

    #[cfg(test)]
    pub(super) fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("run", &self.run)
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}

fn locked(error: LockError) -> RecordError {
    match error {
        LockError::Used { directory, process } => RecordError::Used { directory, process },
        LockError::System { file, source } => RecordError::Lock { file, source },
    }
}
