//! Where what is to be written waits for the thread that writes, and what becomes of it is told.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;

use crate::snapshot::Stamp;

use super::header::Header;
use super::notice::{RecordNotice, Stop};
use super::writer::Done;

/// Pieces that may wait; beyond that they become larger instead of more.
const WAITING: usize = 64;
/// Notices that nobody has asked for.
const NOTICES: usize = 64;
/// In place of a segment's number: all that may come.
const ALL: u64 = u64::MAX;
/// Buffers that are used again.
const SPARE: usize = 4;

/// Something for the thread to do.
#[derive(Debug)]
pub(super) enum Job {
    /// End the segment, if there is one, and begin another.
    Begin { header: Box<Header>, at: Stamp },
    /// Write lines of inputs; none of them is a sign of the time.
    Lines { text: Vec<u8>, inputs: u64, at: Stamp },
    /// End the segment: the disk was too slow.
    Stop { stop: Stop, at: Stamp },
    /// End the segment: the run is over.
    End { at: Stamp },
}

/// What was done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    /// Inputs that are written.
    pub(super) inputs: u64,
    /// Inputs that came to the thread while nothing could be written.
    pub(super) not_recorded: u64,
    /// Bytes that are written, compressed.
    pub(super) bytes: u64,
    /// Segments that were begun.
    pub(super) segments: u64,
}

#[derive(Debug, Default)]
pub(super) struct Desk {
    tray: Mutex<Tray>,
    filled: Condvar,
    done: Notify,
    over: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct Tray {
    jobs: VecDeque<Job>,
    /// Bytes of lines that wait or are being written.
    pub(super) bytes: u64,
    /// The thread has a job in its hands.
    busy: bool,
    closed: bool,
    ended: bool,
    pub(super) counts: Counts,
    /// The last segment that was stopped, and why.
    stopped: Option<(u64, Stop)>,
    notices: VecDeque<RecordNotice>,
    spare: Vec<Vec<u8>>,
}

impl Desk {
    pub(super) fn tray(&self) -> MutexGuard<'_, Tray> {
        self.tray.lock().expect("nothing panics while it holds this lock, because it only moves values")
    }

    /// Lays down a job.
    pub(super) fn put(&self, mut tray: MutexGuard<'_, Tray>, job: Job) {
        if tray.ended {
            return;
        }
        if let Job::Lines { text, .. } = &job {
            tray.bytes += text.len() as u64;
        }
        tray.jobs.push_back(job);
        drop(tray);
        self.filled.notify_one();
    }

    /// No more jobs will come.
    pub(super) fn close(&self) {
        self.tray().closed = true;
        self.filled.notify_one();
    }

    /// Waits for a job; `None` when no more will come.
    fn next(&self) -> Option<Job> {
        let mut tray = self.tray();
        loop {
            if let Some(job) = tray.jobs.pop_front() {
                tray.busy = true;
                return Some(job);
            }
            if tray.closed {
                return None;
            }
            let guard = self.filled.wait(tray);
            tray = guard.expect("nothing panics while it holds this lock, because it only moves values");
        }
    }

    /// The same for the thread, which does each job with `work`.
    pub(super) fn serve(&self, mut work: impl FnMut(Job) -> Option<Vec<u8>>) {
        while let Some(job) = self.next() {
            let bytes = match &job {
                Job::Lines { text, .. } => text.len() as u64,
                _ => 0,
            };
            let used = work(job);
            let mut tray = self.tray();
            tray.bytes -= bytes;
            tray.busy = false;
            if let Some(mut used) = used
                && tray.spare.len() < SPARE
            {
                used.clear();
                tray.spare.push(used);
            }
            drop(tray);
            self.done.notify_waiters();
        }
    }

    /// Takes in what a job came to; gives the buffer that it needs no more.
    pub(super) fn report(&self, done: Done, directory: &Path) -> Option<Vec<u8>> {
        let mut tray = self.tray();
        tray.counts.inputs += done.inputs;
        tray.counts.not_recorded += done.not_recorded;
        tray.counts.bytes += done.bytes;
        tray.counts.segments += done.segments;
        for notice in done.notices {
            let not_recorded = tray.counts.not_recorded;
            tray.notice(match notice {
                RecordNotice::Again { .. } => RecordNotice::Again { not_recorded },
                notice => notice,
            });
        }
        if let Some((segment, stop)) = done.stopped {
            tray.stop(segment, stop, directory);
        }
        done.used
    }

    /// The thread has ended.
    pub(super) fn end(&self, panicked: bool, directory: &Path) {
        let mut tray = self.tray();
        (tray.ended, tray.busy) = (true, false);
        if panicked {
            let stop = Stop::Failed("the thread that writes has ended unexpectedly: please report it".into());
            tray.stop(ALL, stop, directory);
        }
        drop(tray);
        self.over.notify_all();
        self.done.notify_waiters();
    }

    /// Waits until the thread has ended, but no longer than `limit`. It stops the thread that calls it.
    pub(super) fn wait_until_ended(&self, limit: Duration) {
        drop(self.over.wait_timeout_while(self.tray(), limit, |tray| !tray.ended));
    }

    /// Ready when nothing waits and nothing is being done.
    #[cfg(test)]
    pub(super) async fn settled(&self) {
        loop {
            let done = self.done.notified();
            if self.is_settled() {
                return;
            }
            done.await;
        }
    }

    #[cfg(test)]
    fn is_settled(&self) -> bool {
        let tray = self.tray();
        tray.ended || tray.is_idle()
    }
}

impl Tray {
    /// Whether another piece may wait.
    pub(super) fn has_room(&self) -> bool {
        self.jobs.len() < WAITING
    }

    /// Whether nothing waits and nothing is being done.
    pub(super) fn is_idle(&self) -> bool {
        self.jobs.is_empty() && !self.busy
    }

    /// Whether a new segment may begin: what does not record at the moment first has to get rid of what waits.
    pub(super) fn is_idle_or_recording(&self, recording: bool) -> bool {
        let begins = self.jobs.iter().any(|job| matches!(job, Job::Begin { .. }));
        if recording { !begins } else { self.is_idle() }
    }

    /// Whether the end of the recording is laid down.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Nothing more of a segment is recorded.
    pub(super) fn stop(&mut self, segment: u64, stop: Stop, directory: &Path) {
        self.stopped = Some((segment, stop.clone()));
        self.notice(RecordNotice::Stopped { directory: directory.to_owned(), stop });
    }

    /// Why nothing more of that segment is recorded.
    pub(super) fn why_stopped(&self, segment: u64) -> Option<&Stop> {
        self.stopped
            .as_ref()
            .filter(|(stopped, _)| *stopped == segment || *stopped == ALL)
            .map(|(_, stop)| stop)
    }

    /// A buffer that was used before.
    pub(super) fn spare(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    pub(super) fn notice(&mut self, notice: RecordNotice) {
        if self.notices.len() == NOTICES {
            self.notices.pop_front();
        }
        self.notices.push_back(notice);
    }

    pub(super) fn take_notices(&mut self) -> Vec<RecordNotice> {
        self.notices.drain(..).collect()
    }
}
