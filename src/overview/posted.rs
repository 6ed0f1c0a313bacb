//! How an overview gets from the run to those who look at it.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Overview;

/// Where the run posts what it looks like. To post takes no time, whether or not anybody looks.
#[derive(Debug)]
pub struct Poster {
    board: watch::Sender<Option<Look>>,
    /// Whether the largest trades are looked for.
    wants_largest: bool,
}

/// What the run looked like when it was last looked at.
#[derive(Debug, Clone)]
pub struct Posted(watch::Receiver<Option<Look>>);

/// What the run looked like, and when that was.
type Look = (Arc<Overview>, Instant);

/// A board that is empty, and a way to read it.
pub fn posted(wants_largest: bool) -> (Poster, Posted) {
    let (board, reader) = watch::channel(None);
    (Poster { board, wants_largest }, Posted(reader))
}

impl Poster {
    /// What the run looks like now.
    pub fn post(&self, overview: Overview) {
        self.board.send_replace(Some((Arc::new(overview), Instant::now())));
    }

    /// Whether anybody wants to know of the largest trades.
    pub fn wants_largest(&self) -> bool {
        self.wants_largest
    }
}

impl Posted {
    /// The last look; `None` before the first.
    pub fn now(&self) -> Option<(Arc<Overview>, Instant)> {
        self.0.borrow().clone()
    }

    /// The next look, once there is one that was not seen yet; `None` when there will be none, because the run is over.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn next(&mut self) -> Option<Arc<Overview>> {
        self.0.changed().await.ok()?;
        self.0.borrow_and_update().as_ref().map(|(overview, _)| Arc::clone(overview))
    }
}
