//! What the exchange counted, and the rules its clients broke.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

/// Violations kept word for word; more are only counted.
const MAX_VIOLATIONS: usize = 1_000;

/// Counters of the whole exchange since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// TCP connections accepted on the stream's port.
    pub attempts: u64,
    /// Handshakes answered with 101.
    pub connections: u64,
    /// Handshakes answered with another status.
    pub refused: u64,
    /// Connections open now.
    pub open: u64,
    /// Open connections that a trade of some symbol would reach now.
    pub receiving: u64,
    /// Data messages (of any content) written to sockets.
    pub frames_sent: u64,
    /// Bytes written to sockets after the handshake.
    pub bytes_sent: u64,
    /// How long after its moment an event of [`Act::Bursts`](super::Act::Bursts) was written, at most.
    pub latest_write: Duration,
    /// How long it took to write an event of [`Act::Bursts`](super::Act::Bursts), half of the time at most; zero unless
    /// its trades are stamped.
    pub median_write: Duration,
    /// Pings sent.
    pub pings_sent: u64,
    /// Pongs received with the payload of the last ping.
    pub pongs_received: u64,
    /// Pongs received that answer nothing.
    pub stray_pongs: u64,
    /// Pings received (each is answered).
    pub pings_received: u64,
    /// JSON messages received.
    pub requests_received: u64,
    /// Close frames received.
    pub closes_received: u64,
    /// REST requests received.
    pub rest_requests: u64,
    /// REST requests answered with a refusal, be it scripted, for too much weight, or a ban.
    pub rest_refused: u64,
    /// REST weight used.
    pub rest_weight: u64,
    /// Acts that are over.
    pub acts_played: u64,
    /// Whether the last act of the script is over.
    pub script_finished: bool,
    /// Rules broken by clients.
    pub violations: u64,
}

/// What was counted when the exchange stopped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExchangeReport {
    /// The counters.
    pub stats: Stats,
    /// The first thousand rules that clients broke, in words.
    pub violations: Vec<String>,
}

/// The shared end of the counters.
#[derive(Debug, Clone, Default)]
pub(super) struct Counters {
    stats: Arc<watch::Sender<Stats>>,
    violations: Arc<Mutex<Vec<String>>>,
}

impl Counters {
    pub(super) fn count(&self, change: impl FnOnce(&mut Stats)) {
        self.stats.send_modify(change);
    }

    pub(super) fn violation(&self, what: String) {
        {
            let mut violations = self
                .violations
                .lock()
                .expect("no thread panics with the list in hand, because pushing cannot");
            if violations.len() < MAX_VIOLATIONS {
                violations.push(what);
            }
        }
        self.count(|stats| stats.violations += 1);
    }

    pub(super) fn watch(&self) -> watch::Receiver<Stats> {
        self.stats.subscribe()
    }

    pub(super) fn now(&self) -> Stats {
        *self.stats.borrow()
    }

    pub(super) fn report(&self) -> ExchangeReport {
        let violations =
            self.violations.lock().expect("no thread panics with the list in hand, because pushing cannot");
        ExchangeReport { stats: self.now(), violations: violations.clone() }
    }
}
