//! What the rest of the process tells a feed that is up: what only those who read the frames can know.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;
use tokio::time::Instant;

use super::{SessionEnd, SessionId};

/// Why a connection is to be replaced while it still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Renewal {
    /// It has reached its age; the exchange would cut it soon.
    Age,
    /// The exchange announced that it is about to end it.
    Shutdown,
    /// It lags behind.
    Lag,
}

impl Renewal {
    /// The name in the log: `age`, `shutdown` or `lag`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Shutdown => "shutdown",
            Self::Lag => "lag",
        }
    }
}

/// Lets those who read the frames steer the feed that brings them. Cheap to clone: every clone steers the same feed.
#[derive(Debug, Clone, Default)]
pub struct Steering(Arc<Mutex<Listeners>>);

/// The sessions that are up.
type Listeners = Vec<(SessionId, watch::Sender<Orders>)>;

/// What was said to a session so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Orders {
    pub(super) end: Option<Leave>,
    pub(super) renew: Option<Renewal>,
    pub(super) overlapped: bool,
    pub(super) vouched: Option<Instant>,
}

/// Why a session is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// It brings nothing although there is something.
    Stale,
    /// Another one has taken over, or it could not.
    Replaced,
}

impl From<Leave> for SessionEnd {
    fn from(leave: Leave) -> Self {
        match leave {
            Leave::Stale => Self::Stale,
            Leave::Replaced => Self::Replaced,
        }
    }
}

impl Steering {
    /// Ends the sessions that are up with [`SessionEnd::Stale`], because the market trades on and nothing arrives;
    /// another attempt follows as after any other end. A session that is not up yet is not touched.
    pub fn reconnect(&self) {
        self.tell(|_| true, |orders| orders.end = Some(Leave::Stale));
    }

    /// The same for one session only; nothing if it is over.
    pub fn reconnect_session(&self, session: SessionId) {
        self.tell(|id| id == session, |orders| orders.end = Some(Leave::Stale));
    }

    /// Replaces the line of a session by a new connection, make before break; nothing if the session is over, or is
    /// being replaced already.
    pub fn renew(&self, session: SessionId, why: Renewal) {
        self.tell(
            |id| id == session,
            |orders| {
                // Nothing is more urgent.
                if orders.renew != Some(Renewal::Shutdown) {
                    orders.renew = Some(why);
                }
            },
        );
    }

    /// A session that was opened to replace another one delivers everything from here on: the other one may go.
    pub fn overlapped(&self, session: SessionId) {
        self.tell(|id| id == session, |orders| orders.overlapped = true);
    }

    /// REST has nothing that has not arrived: up to now every silence was the market's, not the connection's.
    pub fn vouch(&self) {
        let now = Instant::now();
        self.tell(|_| true, |orders| orders.vouched = Some(now));
    }

    /// A session is up and hears what is said from now on, until what this gives is dropped.
    pub(super) fn listen(&self, session: SessionId) -> Heard {
        let (orders, heard) = watch::channel(Orders::default());
        self.lock().push((session, orders));
        Heard { heard, session, steering: self.clone() }
    }

    /// Ends a session because another one has taken its place, or because it could not take another one's.
    pub(super) fn replaced(&self, session: SessionId) {
        self.tell(|id| id == session, |orders| orders.end = Some(Leave::Replaced));
    }

    fn tell(&self, whom: impl Fn(SessionId) -> bool, what: impl Fn(&mut Orders)) {
        for (_, orders) in self.lock().iter().filter(|(session, _)| whom(*session)) {
            // A session that was told the same before need not wake up.
            orders.send_if_modified(|orders| {
                let before = *orders;
                what(orders);
                *orders != before
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Listeners> {
        self.0.lock().expect("nothing panics while it holds this lock, because it only moves values")
    }
}

/// What a session hears. What was said before it listened is not heard.
#[derive(Debug)]
pub(super) struct Heard {
    heard: watch::Receiver<Orders>,
    session: SessionId,
    steering: Steering,
}

impl Heard {
    /// Whether something was said that [`Heard::orders`] has not given yet.
    pub(super) fn has_come(&self) -> bool {
        self.heard.has_changed().unwrap_or(false)
    }

    /// Everything that was said so far.
    pub(super) fn orders(&mut self) -> Orders {
        *self.heard.borrow_and_update()
    }

    /// Ready when something new is said.
    ///
    /// # Cancel safety
    /// A dropped future takes nothing with it.
    pub(super) async fn comes(&mut self) {
        if self.heard.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The same for somebody else who wants to know.
    pub(super) fn also(&self) -> watch::Receiver<Orders> {
        self.heard.clone()
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        self.steering.lock().retain(|(session, _)| *session != self.session);
    }
}
