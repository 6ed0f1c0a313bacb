//! What the rest of the process tells a feed that is up: what only those who read the frames can know.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;
use tokio::time::Instant;

use super::{LineId, SessionEnd, SessionId, ShardId};

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
type Listeners = Vec<Listener>;

#[derive(Debug)]
struct Listener {
    session: SessionId,
    shard: ShardId,
    orders: watch::Sender<Orders>,
}

/// What was said to a session so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Orders {
    pub(super) end: Option<Leave>,
    pub(super) renew: Option<Renewal>,
    /// It carries everything it should, by the exchange's own account.
    pub(super) subscribed: bool,
    /// Only once it is subscribed.
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
    /// Ends the sessions of a shard that are up with [`SessionEnd::Stale`], because the market trades on and nothing arrives;
    /// another attempt follows as after any other end. A session that is not up yet is not touched, nor is another shard.
    pub fn reconnect(&self, shard: ShardId) {
        self.tell(|listener| listener.shard == shard, |orders| orders.end = Some(Leave::Stale));
    }

    /// The same for one session only; nothing if it is over.
    pub fn reconnect_session(&self, session: SessionId) {
        self.tell(is(session), |orders| orders.end = Some(Leave::Stale));
    }

    /// Replaces the line of a session by a new connection, make before break; nothing if the session is over, or is
    /// being replaced already.
    pub fn renew(&self, session: SessionId, why: Renewal) {
        self.tell(is(session), |orders| {
            // Nothing is more urgent.
            if orders.renew != Some(Renewal::Shutdown) {
                orders.renew = Some(why);
            }
        });
    }

    /// A session that was opened to replace another one delivers everything from here on: the other one may go. It is to be
    /// said again and again: while the exchange has not confirmed all its streams, it is not heard.
    pub fn overlapped(&self, session: SessionId) {
        self.tell(is(session), |orders| orders.overlapped |= orders.subscribed);
    }

    /// REST has nothing of a shard's symbols that has not arrived: up to now every silence was the market's, not the
    /// connection's.
    pub fn vouch(&self, shard: ShardId) {
        let now = Instant::now();
        self.tell(|listener| listener.shard == shard, |orders| orders.vouched = Some(now));
    }

    /// A session is up and hears what is said from now on, until what this gives is dropped.
    pub(super) fn listen(&self, session: SessionId, line: LineId) -> Heard {
        let (orders, heard) = watch::channel(Orders::default());
        self.lock().push(Listener { session, shard: line.shard(), orders });
        Heard { heard, session, steering: self.clone() }
    }

    /// Ends a session because another one has taken its place, or because it could not take another one's.
    pub(super) fn replaced(&self, session: SessionId) {
        self.tell(is(session), |orders| orders.end = Some(Leave::Replaced));
    }

    fn tell(&self, whom: impl Fn(&Listener) -> bool, what: impl Fn(&mut Orders)) {
        for listener in self.lock().iter().filter(|listener| whom(listener)) {
            // A session that was told the same before need not wake up.
            listener.orders.send_if_modified(|orders| {
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

fn is(session: SessionId) -> impl Fn(&Listener) -> bool {
    move |listener| listener.session == session
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

    /// Tells whoever waits for it whether the session carries everything it should. What was said of its overlap before
    /// holds no more when it does not.
    pub(super) fn subscribed(&self, is_subscribed: bool) {
        self.steering.tell(is(self.session), |orders| {
            orders.subscribed = is_subscribed;
            orders.overlapped &= is_subscribed;
        });
    }

    /// The same for somebody else who wants to know.
    pub(super) fn also(&self) -> watch::Receiver<Orders> {
        self.heard.clone()
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        self.steering.lock().retain(|listener| listener.session != self.session);
    }
}
