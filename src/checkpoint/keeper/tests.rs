use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::*;
use crate::checkpoint::samples::{identity, state_after};
use crate::checkpoint::simulated::{Fault, SimulatedDisk};

fn kept(identity: &Arc<Identity>, trades: usize) -> Kept {
    let (identity, state) = (Arc::clone(identity), state_after(identity, trades));
    Kept { identity, state, at_ms: 7, taken: Instant::now() }
}

/// A disk that waits for a word before it writes a file, and tells that it does.
struct SlowDisk {
    disk: SimulatedDisk,
    asked: SyncSender<()>,
    go_on: Mutex<Receiver<()>>,
}

impl Disk for SlowDisk {
    fn create(&self, path: &Path, contents: &[u8]) -> io::Result<()> {
        self.asked.send(()).unwrap();
        self.go_on.lock().unwrap().recv().expect("told to go on");
        self.disk.create(path, contents)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_directory(path)
    }

    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        self.disk.read(path, limit)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
}

fn directory() -> PathBuf {
    PathBuf::from("/state")
}

fn loaded(disk: &SimulatedDisk, identity: &Identity) -> LaneState {
    Store::new(disk.clone(), &directory()).load(identity).unwrap().unwrap().checkpoint.state
}

#[tokio::test]
async fn what_is_saved_is_durable_when_that_is_said() {
    let (disk, identity) = (SimulatedDisk::new(1), Arc::new(identity(5)));
    let keeper = Keeper::start(Store::new(disk.clone(), &directory()), None).unwrap();
    let kept = kept(&identity, 3);
    let taken = kept.taken;
    assert!(keeper.save(0, kept).await);
    disk.crash();
    assert_eq!(loaded(&disk, &identity), state_after(&identity, 3));
    let counts = keeper.counts();
    assert_eq!((counts.saved, counts.failed, counts.last_taken), (1, 0, Some(taken)));
}

#[tokio::test]
async fn at_most_the_newest_state_of_a_lane_waits_while_the_disk_is_slow() {
    let identity = Arc::new(identity(5));
    let (disk, (asked, is_asked), (go_on, told)) = (SimulatedDisk::new(1), sync_channel(9), sync_channel(9));
    let slow = SlowDisk { disk: disk.clone(), asked, go_on: Mutex::new(told) };
    let keeper = Keeper::start(Store::new(slow, &directory()), None).unwrap();
    let first = keeper.save(0, kept(&identity, 1));
    is_asked.recv().unwrap();
    let second = keeper.save(0, kept(&identity, 2));
    keeper.keep(0, kept(&identity, 3));
    keeper.keep(0, kept(&identity, 4));
    assert!(!keeper.is_idle());
    (0..2).for_each(|_| go_on.send(()).unwrap());
    // Who asked for an older one is served by the newer.
    assert!(first.await && second.await);
    assert_eq!(loaded(&disk, &identity), state_after(&identity, 4));
    assert_eq!(keeper.counts().saved, 2);
}

#[tokio::test]
async fn a_disk_that_fails_is_told_and_tried_again_with_the_next_state() {
    let (disk, identity) = (SimulatedDisk::new(1), Arc::new(identity(5)));
    let keeper = Keeper::start(Store::new(disk.clone(), &directory()), None).unwrap();
    disk.fault_in(2, Fault::Error(io::ErrorKind::StorageFull));
    assert!(!keeper.save(0, kept(&identity, 1)).await);
    let failure = keeper.take_failure().unwrap();
    assert_eq!(failure.to_string(), "cannot keep a checkpoint in /state: cannot write a new file");
    assert!(keeper.take_failure().is_none());
    assert!(keeper.save(0, kept(&identity, 2)).await);
    let counts = keeper.counts();
    assert_eq!((counts.saved, counts.failed), (1, 1));
}

#[tokio::test]
async fn the_end_waits_for_what_is_still_to_be_saved_but_not_for_ever() {
    let identity = Arc::new(identity(5));
    let disk = SimulatedDisk::new(1);
    let keeper = Keeper::start(Store::new(disk.clone(), &directory()), None).unwrap();
    keeper.keep(0, kept(&identity, 7));
    keeper.end(Duration::from_secs(60)).await;
    assert_eq!(loaded(&disk, &identity), state_after(&identity, 7));

    let ((asked, is_asked), (go_on, told)) = (sync_channel(9), sync_channel(9));
    let slow = SlowDisk { disk, asked, go_on: Mutex::new(told) };
    let keeper = Keeper::start(Store::new(slow, &directory()), None).unwrap();
    keeper.keep(0, kept(&identity, 8));
    is_asked.recv().unwrap();
    keeper.end(Duration::from_millis(1)).await;
    go_on.send(()).unwrap();
}

#[tokio::test]
async fn a_thread_that_panics_says_what_and_answers_those_who_wait() {
    let identity = Arc::new(identity(5));
    let ((asked, is_asked), (go_on, told)) = (sync_channel(9), sync_channel(9));
    let slow = SlowDisk { disk: SimulatedDisk::new(1), asked, go_on: Mutex::new(told) };
    let keeper = Keeper::start(Store::new(slow, &directory()), None).unwrap();
    assert_eq!(keeper.panicked(), None);
    let (first, second) = (keeper.save(0, kept(&identity, 1)), keeper.save(1, kept(&identity, 1)));
    is_asked.recv().unwrap();
    // Nobody tells it to go on, which it does not expect.
    drop(go_on);
    assert!(!first.await && !second.await);
    assert!(!keeper.save(0, kept(&identity, 2)).await);
    assert!(keeper.panicked().unwrap().contains("told to go on"), "{:?}", keeper.panicked());
    keeper.settled().await;
}
