//! Saves checkpoints on a thread of its own, so that a slow disk never stops the reading of the socket.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::disk::Disk;
use super::format::Identity;
use super::lock::DirectoryLock;
use super::store::{Store, StoreError};
use crate::pipeline::LaneState;

/// The name of the thread.
pub(crate) const THREAD: &str = "checkpoints";

/// The thread that saves, and the way to it.
#[derive(Debug)]
pub struct Keeper {
    desk: Arc<Desk>,
}

/// A state to be saved.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Whose it is.
    pub identity: Arc<Identity>,
    /// The state.
    pub state: LaneState,
    /// When it was taken, in milliseconds since 1970.
    pub at_ms: i64,
    /// The same by the monotonic clock.
    pub taken: Instant,
}

/// What the thread has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeeperCounts {
    /// Saves that are durable.
    pub saved: u64,
    /// Saves that failed.
    pub failed: u64,
    /// When the last durable one was taken.
    pub last_taken: Option<Instant>,
    /// Whether the last save succeeded.
    pub last_succeeded: bool,
    /// How long the last round took, from the first state that waited to the last.
    pub round: Duration,
}

/// Where states wait and results lie.
#[derive(Debug, Default)]
struct Desk {
    tray: Mutex<Tray>,
    /// Something waits, or nothing more will come.
    filled: Condvar,
    /// Something is done.
    done: Notify,
}

#[derive(Debug, Default)]
struct Tray {
    /// By lane; at most one each, the newest.
    waiting: BTreeMap<usize, (Kept, Vec<oneshot::Sender<bool>>)>,
    busy: bool,
    closed: bool,
    ended: bool,
    counts: KeeperCounts,
    /// The last failure that nobody has asked about.
    failure: Option<StoreError>,
    /// Files of earlier runs that made room, and their names from now on.
    made_room: Vec<(PathBuf, PathBuf)>,
    /// What the thread said when it panicked.
    panicked: Option<String>,
}

impl Keeper {
    /// Starts the thread; `lock` is released when it has ended.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub fn start<D: Disk + 'static>(store: Store<D>, lock: Option<DirectoryLock>) -> io::Result<Self> {
        let desk = Arc::new(Desk::default());
        let of_thread = Arc::clone(&desk);
        std::thread::Builder::new().name(THREAD.into()).spawn(move || {
            let desk = &*of_thread;
            // The store is not looked at again, whatever state it is in.
            let work = std::panic::AssertUnwindSafe(|| work(desk, store));
            let panicked = std::panic::catch_unwind(work).err().map(|panic| words(&*panic));
            drop(lock);
            let mut tray = desk.tray();
            (tray.ended, tray.busy) = (true, false);
            tray.panicked = panicked;
            // Nobody waits for an answer that will not come.
            tray.waiting.clear();
            drop(tray);
            desk.done.notify_waiters();
        })?;
        Ok(Self { desk })
    }

    /// Has a state saved. One of the same lane that still waits is replaced: at most one waits for each.
    pub fn keep(&self, lane: usize, kept: Kept) {
        self.put(lane, kept, None);
    }

    /// The same, and tells whether it is durable when it is; `false` if it could not be saved.
    ///
    /// # Cancel safety
    /// A dropped future saves all the same.
    pub fn save(&self, lane: usize, kept: Kept) -> impl Future<Output = bool> + use<> {
        let (answer, durable) = oneshot::channel();
        self.put(lane, kept, Some(answer));
        async move { durable.await.unwrap_or(false) }
    }

    /// Whether nothing waits and nothing is being saved.
    pub fn is_idle(&self) -> bool {
        let tray = self.desk.tray();
        tray.waiting.is_empty() && !tray.busy
    }

    /// Ready when nothing waits and nothing is being saved.
    ///
    /// # Cancel safety
    /// A dropped future changes nothing.
    pub async fn settled(&self) {
        loop {
            let done = self.desk.done.notified();
            if self.is_idle() {
                return;
            }
            done.await;
        }
    }

    /// What was done so far.
    pub fn counts(&self) -> KeeperCounts {
        self.desk.tray().counts
    }

    /// The last failure since this was asked last.
    pub fn take_failure(&self) -> Option<StoreError> {
        self.desk.tray().failure.take()
    }

    /// Files of earlier runs that were set aside since this was asked last; and their names from now on.
    pub fn take_made_room(&self) -> Vec<(PathBuf, PathBuf)> {
        std::mem::take(&mut self.desk.tray().made_room)
    }

    /// What the thread said when it panicked, once it has.
    pub fn panicked(&self) -> Option<String> {
        self.desk.tray().panicked.clone()
    }

    /// Saves what waits and ends the thread; gives up waiting for it after `limit`. What it uses is released when it
    /// has ended.
    pub async fn end(self, limit: Duration) {
        self.close();
        let until = Instant::now() + limit;
        loop {
            let done = self.desk.done.notified();
            if self.desk.tray().ended || tokio::time::timeout_at(until, done).await.is_err() {
                return;
            }
        }
    }

    fn put(&self, lane: usize, kept: Kept, answer: Option<oneshot::Sender<bool>>) {
        let mut tray = self.desk.tray();
        if tray.ended {
            return;
        }
        // Whoever waits for the older one is served by the newer.
        let mut answers = tray.waiting.remove(&lane).map(|(_, answers)| answers).unwrap_or_default();
        answers.extend(answer);
        tray.waiting.insert(lane, (kept, answers));
        drop(tray);
        self.desk.filled.notify_one();
    }

    fn close(&self) {
        self.desk.tray().closed = true;
        self.desk.filled.notify_one();
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.close();
    }
}

impl Desk {
    fn tray(&self) -> MutexGuard<'_, Tray> {
        self.tray.lock().expect("nothing panics while it holds this lock, because it only moves values")
    }

    /// Waits for a state; `None` when no more will come.
    fn next(&self) -> Option<(Kept, Vec<oneshot::Sender<bool>>)> {
        let mut tray = self.tray();
        loop {
            if let Some((_, next)) = tray.waiting.pop_first() {
                tray.busy = true;
                return Some(next);
            }
            if tray.closed {
                return None;
            }
            let guard = self.filled.wait(tray);
            tray = guard.expect("nothing panics while it holds this lock, because it only moves values");
        }
    }
}

fn work<D: Disk>(desk: &Desk, mut store: Store<D>) {
    let mut begun = None;
    while let Some((kept, answers)) = desk.next() {
        let round_began = *begun.get_or_insert_with(Instant::now);
        let result = store.save(&kept.identity, &kept.state, kept.at_ms);
        let is_durable = result.is_ok();
        let mut tray = desk.tray();
        tray.made_room.append(&mut store.take_made_room());
        tray.busy = false;
        tray.counts.last_succeeded = is_durable;
        tray.counts.round = round_began.elapsed();
        if tray.waiting.is_empty() {
            begun = None;
        }
        match result {
            Ok(()) => {
                tray.counts.saved += 1;
                tray.counts.last_taken = Some(kept.taken);
            }
            Err(error) => {
                tray.counts.failed += 1;
                tray.failure = Some(error);
            }
        }
        drop(tray);
        for answer in answers {
            // Who asked may have stopped waiting.
            answer.send(is_durable).unwrap_or_default();
        }
        desk.done.notify_waiters();
    }
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no words".to_owned())
}

#[cfg(test)]
mod tests;
