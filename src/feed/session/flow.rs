//! What passed through a session, and whose turn it is.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::queue::Sender;

/// Frames handed over before the processor gets its turn on the shared thread: half of the default queue.
const TURN: usize = 512;
/// How long a full queue may hold up reading, once, before frames are dropped instead: a hiccup of the
/// output is then met by the socket's own buffers, while a blocked output never stops pings and pongs.
const GRACE: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub(super) struct Flow {
    pub(super) ordinal: u64,
    pub(super) since_turn: usize,
    /// The queue was, when the last frame was handed over.
    pub(super) half_full: bool,
    grace_spent: bool,
    first_data: Option<Instant>,
    last_data: Option<Instant>,
}

impl Flow {
    pub(super) fn turn_is_over(&self) -> bool {
        self.half_full || self.since_turn >= TURN
    }

    /// Lets the processor run, and waits for it a little if it is behind.
    pub(super) async fn give_turn(&mut self, queue: &Sender) {
        self.since_turn = 0;
        if self.half_full && !self.grace_spent {
            self.grace_spent = timeout(GRACE, queue.emptied()).await.is_err();
        } else {
            tokio::task::yield_now().await;
        }
        self.half_full = false;
        self.grace_spent &= queue.is_half_full();
    }

    pub(super) fn data(&mut self, at: Instant) {
        self.first_data = self.first_data.or(Some(at));
        self.last_data = Some(at);
    }

    /// From the first trade to the last.
    pub(super) fn span(&self) -> Duration {
        match (self.first_data, self.last_data) {
            (Some(first), Some(last)) => last.saturating_duration_since(first),
            _ => Duration::ZERO,
        }
    }
}
