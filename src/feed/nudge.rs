//! A word from outside to a feed that is up: this connection is of no use any more.

use std::sync::Arc;

use tokio::sync::watch;

/// Lets the owner of a [`Live`](super::Live) end its present session because the market trades on and nothing
/// arrives. Cheap to clone: every clone nudges the same feeds.
#[derive(Debug, Clone, Default)]
pub struct Nudge(Arc<watch::Sender<u64>>);

impl Nudge {
    /// Ends the present session with [`SessionEnd::Stale`](super::SessionEnd::Stale); another attempt follows
    /// as after any other end. While no session is up nothing happens: the next one is not touched.
    pub fn reconnect(&self) {
        self.0.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Hears what is said from now on.
    pub(super) fn listen(&self) -> Nudged {
        Nudged(self.0.subscribe())
    }
}

/// The end of a nudge that a session holds. What was said before it is not heard.
#[derive(Debug)]
pub(super) struct Nudged(watch::Receiver<u64>);

impl Nudged {
    /// Whether it has come.
    pub(super) fn has_come(&self) -> bool {
        self.0.has_changed().unwrap_or(false)
    }

    /// Ready when it comes; never, once nobody is left to give it.
    ///
    /// # Cancel safety
    /// A dropped future takes nothing with it.
    pub(super) async fn comes(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
