//! What waits to be delivered: bounded, the oldest goes first when it is full.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use super::notice::Notice;

/// The most notices that wait for one sink.
pub(super) const ROOM: usize = 64;

/// One hands in, one takes.
#[derive(Debug, Clone, Default)]
pub(super) struct Mailbox(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Arc<Notice>>,
    is_closed: bool,
    /// The last one that was taken is under way.
    is_busy: bool,
}

impl Mailbox {
    /// Never waits. Returns whether an older one had to go for it.
    pub(super) fn push(&self, notice: Arc<Notice>) -> bool {
        let mut state = self.lock();
        let is_full = state.waiting.len() >= ROOM;
        if is_full {
            state.waiting.pop_front();
        }
        state.waiting.push_back(notice);
        drop(state);
        self.0.changed.notify_one();
        is_full
    }

    /// The oldest, once there is one; `None` when it is empty and closed. What was taken before is delivered then.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn next(&self) -> Option<Arc<Notice>> {
        loop {
            let changed = self.0.changed.notified();
            {
                let mut state = self.lock();
                state.is_busy = !state.waiting.is_empty();
                if let Some(notice) = state.waiting.pop_front() {
                    return Some(notice);
                }
                if state.is_closed {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.0.changed.notify_one();
    }

    /// Throws away what waits; returns how many, with the one that is under way.
    pub(super) fn clear(&self) -> usize {
        let mut state = self.lock();
        let busy = usize::from(std::mem::take(&mut state.is_busy));
        std::mem::take(&mut state.waiting).len() + busy
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("nothing panics while it holds this lock, because it only moves values")
    }
}
