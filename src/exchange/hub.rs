//! Where the director meets the connections: who is there, what is handed to them, how the next handshakes
//! go.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{mpsc, oneshot, watch};

use super::pen::{End, Pen};
use super::stats::Counters;

/// Cues that wait for a connection; a batch is one.
const CUES: usize = 4;
/// Handshakes that can be armed at once.
const MAX_ARMED: usize = 100_000;

/// What the director tells a connection, in order.
#[derive(Debug)]
pub(super) enum Cue {
    Trades(Arc<Batch>),
    /// One data message with this opcode.
    Message(u8, Arc<[u8]>),
    Raw(Arc<[u8]>),
    Mute,
    Slow(u32),
    Close(u16, Arc<str>),
    Drop,
    Reset,
    HalfOpen,
    /// Answered when everything before it is written.
    Mark(oneshot::Sender<()>),
    /// Let the market's thread write to the socket.
    Lend,
    /// What is listed has changed.
    Relisted,
}

/// Trades as JSON, one after the other.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) json: Vec<u8>,
    pub(super) ends: Vec<End>,
}

/// How a handshake will go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Welcome {
    Accept,
    Mute,
    ThenClose,
    Stall,
    Refuse { status: u16, retry_after: Option<String> },
}

/// The register of open connections. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Hub {
    inner: Arc<Mutex<Inner>>,
    changed: Arc<watch::Sender<u64>>,
    counters: Counters,
    /// A market has been on that writes to sockets itself.
    lends: Arc<AtomicBool>,
    /// Counts up with every change, for those who cannot wait for one.
    version: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Inner {
    made: u64,
    lines: Vec<Line>,
    armed: VecDeque<Welcome>,
}

#[derive(Debug)]
struct Line {
    number: u64,
    receiving: bool,
    cues: mpsc::Sender<Cue>,
    pen: Arc<Pen>,
}

impl Hub {
    pub(super) fn new(counters: Counters) -> Self {
        Self {
            inner: Arc::default(),
            changed: Arc::default(),
            counters,
            lends: Arc::default(),
            version: Arc::default(),
        }
    }

    /// Enters a connection whose handshake is done; it leaves when the entry is dropped.
    pub(super) fn enter(&self, receiving: bool) -> (Entry, mpsc::Receiver<Cue>) {
        let (cues, inbox) = mpsc::channel(CUES);
        let pen = Arc::<Pen>::default();
        let number = {
            let mut inner = self.lock();
            inner.made += 1;
            let number = inner.made;
            inner.lines.push(Line { number, receiving, cues, pen: Arc::clone(&pen) });
            number
        };
        self.announce(1);
        (Entry { hub: self.clone(), number, pen }, inbox)
    }

    /// The pens of the connections that receive now.
    pub(super) fn pens(&self) -> Vec<Arc<Pen>> {
        let inner = self.lock();
        inner.lines.iter().filter(|line| line.receiving).map(|line| Arc::clone(&line.pen)).collect()
    }

    /// Another number whenever the register or what a connection carries has changed.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// From now on connections lend their sockets; gives those that are open.
    pub(super) fn lend(&self) -> Vec<mpsc::Sender<Cue>> {
        let inner = self.lock();
        self.lends.store(true, Ordering::Release);
        inner.lines.iter().map(Line::sender).collect()
    }

    /// Whether connections lend their sockets.
    pub(super) fn lends(&self) -> bool {
        self.lends.load(Ordering::Acquire)
    }

    /// Waits until each of these listings would reach some connection.
    pub(super) async fn carried(&self, listings: &[usize]) {
        let mut changed = self.changed.subscribe();
        loop {
            let pens = self.pens();
            if listings.iter().all(|index| pens.iter().any(|pen| pen.carries(*index))) {
                return;
            }
            changed.changed().await.expect("the sender lives in this hub, so it cannot be gone");
        }
    }

    /// Waits until a connection (or this one) receives; gives their senders. Of one that is gone, none.
    pub(super) async fn receivers(&self, target: Option<u64>) -> Vec<mpsc::Sender<Cue>> {
        let mut changed = self.changed.subscribe();
        loop {
            {
                let inner = self.lock();
                let ready: Vec<_> =
                    inner.concerned(target).filter(|line| line.receiving).map(Line::sender).collect();
                let gone = target
                    .is_some_and(|number| number <= inner.made && inner.concerned(target).next().is_none());
                if !ready.is_empty() || gone {
                    return ready;
                }
            }
            changed.changed().await.expect("the sender lives in this hub, so it cannot be gone");
        }
    }

    /// The senders of every open connection, or of this one.
    pub(super) fn lines(&self, target: Option<u64>) -> Vec<mpsc::Sender<Cue>> {
        self.lock().concerned(target).map(Line::sender).collect()
    }

    /// The senders of the connections that receive now.
    pub(super) fn receiving(&self) -> Vec<mpsc::Sender<Cue>> {
        self.lock().lines.iter().filter(|line| line.receiving).map(Line::sender).collect()
    }

    /// Lets the next handshakes go differently.
    pub(super) fn arm(&self, welcome: &Welcome, times: u32) {
        let mut inner = self.lock();
        let room = MAX_ARMED.saturating_sub(inner.armed.len());
        inner.armed.extend(std::iter::repeat_n(welcome.clone(), room.min(times as usize)));
    }

    /// How the handshake that has just begun goes.
    pub(super) fn welcome(&self) -> Welcome {
        self.lock().armed.pop_front().unwrap_or(Welcome::Accept)
    }

    fn announce(&self, new: u64) {
        {
            // Counted with the register in hand, so that an older count never overwrites a newer one.
            let inner = self.lock();
            let receiving = inner.lines.iter().filter(|line| line.receiving).count() as u64;
            self.counters.count(|stats| {
                stats.connections += new;
                (stats.open, stats.receiving) = (inner.lines.len() as u64, receiving);
            });
        }
        self.version.fetch_add(1, Ordering::AcqRel);
        self.changed.send_modify(|version| *version += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no thread panics with the register in hand, because nothing in it can")
    }
}

impl Inner {
    fn concerned(&self, target: Option<u64>) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(move |line| target.is_none_or(|number| line.number == number))
    }
}

impl Line {
    fn sender(&self) -> mpsc::Sender<Cue> {
        self.cues.clone()
    }
}

/// A connection's place in the register.
#[derive(Debug)]
pub(super) struct Entry {
    hub: Hub,
    /// Its number among all connections, from 1.
    pub(super) number: u64,
    pub(super) pen: Arc<Pen>,
}

impl Entry {
    /// Says whether a trade of some symbol would reach this connection, or that it carries others than before.
    pub(super) fn set_receiving(&self, receiving: bool) {
        self.pen.set_receives(receiving);
        if let Some(line) = self.hub.lock().lines.iter_mut().find(|line| line.number == self.number) {
            line.receiving = receiving;
        }
        self.hub.announce(0);
    }

    /// Whether this connection lends its socket from the beginning.
    pub(super) fn lends(&self) -> bool {
        self.hub.lends()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.pen.take_back();
        self.hub.lock().lines.retain(|line| line.number != self.number);
        self.hub.announce(0);
    }
}
