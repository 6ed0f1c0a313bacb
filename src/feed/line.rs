//! One standing connection: connect, read, wait, again; and, before the exchange cuts it, the next one beside it.
//!
//! A disconnect is a state, never an error to the caller; only what no attempt can cure ends a line.

mod handover;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::backoff::{ConnectionBudget, FIRST_WAIT, ceiling, patient, wait};
use super::connect::{Connector, Socket};
use super::failure::{ConnectError, FeedError, PATIENCE, SessionEnd, Verdict};
use super::live::LiveSettings;
use super::pace::ConnectionPace;
use super::place::{Badge, Place};
use super::session::{Control, Ears, Session, SessionReport, stopped};
use super::shards::named_by_url;
use super::steering::{Orders, Steering};
use super::subscriptions::Subscriptions;
use super::{COPIES, FeedEvent, FeedObserver, LineId, LinkChange, LinkEvent, SessionId, ShardPlan};
use crate::clock::Clock;
use crate::queue::Sender;

/// A session that delivered trades for this long resets the backoff.
const HEALTHY: Duration = Duration::from_secs(60);

/// What the lines of a feed have in common.
pub(super) struct Common<'a> {
    pub(super) connector: Connector,
    pub(super) settings: LiveSettings,
    pub(super) queue: Sender,
    pub(super) observer: &'a dyn FeedObserver,
    pub(super) clock: Clock,
    pub(super) budget: ConnectionBudget,
    pub(super) pace: ConnectionPace,
    pub(super) steering: Steering,
    /// Sessions made so far.
    pub(super) sessions: AtomicU64,
    /// Whether any line ever had a connection.
    pub(super) connected_before: AtomicBool,
    /// Whether there are several shards now.
    pub(super) among_shards: AtomicBool,
    /// Lines there are now, of all shards.
    pub(super) lines: AtomicUsize,
    /// The dice that say when within its time a connection is replaced, the same for all lines.
    pub(super) age_roll: f64,
    /// Who holds it may replace a connection because of its age.
    pub(super) turn: Semaphore,
}

impl Common<'_> {
    /// Lines of each shard.
    pub(super) fn copies(&self) -> u8 {
        self.settings.redundancy.clamp(1, COPIES as u8)
    }

    /// How long to wait for other shards' connections before the next one is opened.
    fn paced(&self, now: Instant) -> Duration {
        if self.among_shards.load(Ordering::Relaxed) {
            return self.pace.take(now);
        }
        self.pace.pass(now);
        Duration::ZERO
    }
}

/// A line that stays up.
pub(super) struct Line<'a> {
    common: &'a Common<'a>,
    id: LineId,
    /// Where to connect, and what to carry.
    plan: watch::Receiver<Arc<ShardPlan>>,
    dice: fastrand::Rng,
    failures: u32,
    connected_before: bool,
    /// With which of the host's addresses the next attempt begins.
    address: usize,
}

/// A session that is up: whoever polls its end keeps it going.
struct Up<'a> {
    id: SessionId,
    since: Instant,
    end: Pin<Box<dyn Future<Output = SessionReport> + Send + 'a>>,
    orders: watch::Receiver<Orders>,
}

/// A connection that is being made, by the plan of that moment.
struct Attempt<'a> {
    plan: Arc<ShardPlan>,
    socket: Pin<Box<dyn Future<Output = Result<Socket, ConnectError>> + Send + 'a>>,
}

/// What became of a session.
enum After<'a> {
    Stopped,
    /// Another one has taken over.
    Replaced(Up<'a>),
    /// It ended while its successor was being connected.
    Attempt(Attempt<'a>),
    /// Wait so long before the next attempt.
    Wait(Duration),
}

impl<'a> Line<'a> {
    pub(super) fn new(common: &'a Common<'a>, id: LineId, plan: watch::Receiver<Arc<ShardPlan>>) -> Self {
        let spread = u64::from(id.0).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let seed = common.settings.jitter_seed.map(|seed| seed ^ spread);
        let dice = seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let copies = usize::from(common.copies());
        let address = usize::from(id.shard().0) * copies + usize::from(id.copy());
        Self { common, id, plan, dice, failures: 0, connected_before: false, address }
    }

    /// Keeps the line up until `stop` turns true.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), FeedError> {
        let mut after = After::Wait(Duration::ZERO);
        loop {
            let attempt = match after {
                After::Stopped => return Ok(()),
                After::Replaced(up) => {
                    after = self.live_through(up, &stop).await;
                    continue;
                }
                After::Attempt(attempt) => attempt,
                After::Wait(pause) => {
                    if stopped_within(&mut stop, pause).await
                        || stopped_within(&mut stop, self.common.paced(Instant::now())).await
                        || stopped_within(&mut stop, self.common.budget.take(Instant::now())).await
                    {
                        return Ok(());
                    }
                    let attempt = self.attempt(Duration::ZERO);
                    self.tell(FeedEvent::Connecting { url: &attempt.plan.endpoint.display });
                    attempt
                }
            };
            let began = Instant::now();
            let Attempt { plan, socket } = attempt;
            let attempted = tokio::select! {
                biased;
                attempted = socket => attempted,
                () = stopped(&mut stop) => return Ok(()),
            };
            after = match attempted {
                Ok(socket) => {
                    let again = std::mem::replace(&mut self.connected_before, true);
                    let url = &plan.endpoint.display;
                    self.tell(FeedEvent::Connected { url, line: self.shown(), again });
                    let up = self.open(socket, &plan, &stop);
                    self.live_through(up, &stop).await
                }
                Err(error) => After::Wait(self.failed(error, &plan, began.elapsed())?),
            };
        }
    }

    /// A connection that was made by this plan is up.
    fn open(&self, socket: Socket, made_by: &ShardPlan, stop: &watch::Receiver<bool>) -> Up<'a> {
        let (common, line) = (self.common, self.id);
        let id = SessionId(common.sessions.fetch_add(1, Ordering::Relaxed) + 1);
        common.connected_before.store(true, Ordering::Relaxed);
        self.link(id, LinkChange::Opened);
        let mut heard = common.steering.listen(id, line);
        let (orders, mut stop, since) = (heard.also(), stop.clone(), Instant::now());
        let (by_url, mut plan) = (named_by_url(&made_by.endpoint), self.plan.clone());
        let streams = Subscriptions::new(&by_url, &plan.borrow_and_update().streams, since);
        let session = Session {
            socket,
            line,
            id,
            limits: common.settings.liveness,
            queue: &common.queue,
            observer: common.observer,
            control: Control::new(streams, common.observer, self.badge()),
        };
        let end = Box::pin(async move {
            let ears = Ears { stop: &mut stop, heard: &mut heard, plan: &mut plan };
            let report = session.run(ears).await;
            let (at, change) = (common.clock.now(), LinkChange::Closed);
            common.queue.link(LinkEvent { line, session: id, at, change });
            report
        });
        Up { id, since, end, orders }
    }

    fn attempt(&self, pause: Duration) -> Attempt<'a> {
        let (common, address) = (self.common, self.address);
        let plan = Arc::clone(&self.plan.borrow());
        let by = Arc::clone(&plan);
        let socket = Box::pin(async move {
            tokio::time::sleep(pause).await;
            common.connector.connect(&by.endpoint, address).await
        });
        Attempt { plan, socket }
    }

    /// An attempt that took so long has failed.
    fn failed(
        &mut self,
        error: ConnectError,
        plan: &ShardPlan,
        took: Duration,
    ) -> Result<Duration, FeedError> {
        self.another_address();
        let mut remedy = None;
        let wait = match error.verdict() {
            // What the attempt itself took has been waited already.
            Verdict::RetrySoon => {
                let wait = self.next_wait();
                wait.saturating_sub(took).max(wait.min(FIRST_WAIT / 2))
            }
            Verdict::RetrySlowly(patience) => self.patient_wait(patience),
            // What has worked may work again: a deployment of theirs, a proxy that comes up before its backend.
            Verdict::Refuse(what_to_do) if self.common.connected_before.load(Ordering::Relaxed) => {
                remedy = Some(what_to_do);
                self.patient_wait(PATIENCE)
            }
            Verdict::Refuse(remedy) => {
                return Err(FeedError::Refused {
                    url: plan.endpoint.display.clone(),
                    remedy,
                    cause: Box::new(error),
                });
            }
        };
        self.tell(FeedEvent::Failed { error: &error, wait, remedy, line: self.shown() });
        Ok(wait)
    }

    /// A session that delivered for long enough makes up for the failures before it.
    fn was_of_use(&mut self, report: &SessionReport) {
        if report.data_for >= HEALTHY {
            self.failures = 0;
        }
    }

    /// A session is over, and nothing takes its place yet.
    fn ended(&mut self, end: &SessionEnd) -> After<'a> {
        if matches!(end, SessionEnd::Stopped) {
            return After::Stopped;
        }
        if end.was_silent() {
            self.another_address();
        }
        let wait = match end.patience() {
            Some(patience) => self.patient_wait(patience),
            None => self.next_wait(),
        };
        self.tell(FeedEvent::Ended { end, wait, line: self.shown() });
        After::Wait(wait)
    }

    /// The next attempt begins with an address that no other line of the shard has.
    fn another_address(&mut self) {
        self.address = self.address.wrapping_add(usize::from(self.common.copies()));
    }

    fn patient_wait(&mut self, patience: Duration) -> Duration {
        let asked_for = patient(patience, self.dice.f64());
        self.next_wait().max(asked_for)
    }

    fn next_wait(&mut self) -> Duration {
        let top = ceiling(self.failures, self.common.settings.backoff_max);
        self.failures = self.failures.saturating_add(1);
        wait(top, self.dice.f64())
    }

    fn link(&self, session: SessionId, change: LinkChange) {
        let (line, at) = (self.id, self.common.clock.now());
        self.common.queue.link(LinkEvent { line, session, at, change });
    }

    /// Which line it is, where that is worth telling.
    fn shown(&self) -> Place {
        self.badge().place()
    }

    fn badge(&self) -> Badge<'a> {
        let is_redundant = self.common.copies() > 1;
        Badge { line: self.id, is_redundant, among_shards: &self.common.among_shards }
    }

    fn tell(&self, event: FeedEvent<'_>) {
        self.common.observer.on_event(event);
    }
}

/// Sleeps, unless `stop` turns true first.
async fn stopped_within(stop: &mut watch::Receiver<bool>, pause: Duration) -> bool {
    // A stop whose sender is gone can never come any more; then the sleep decides.
    tokio::time::timeout(pause, stop.wait_for(|stop| *stop)).await.is_ok_and(|stopped| stopped.is_ok())
}

#[cfg(test)]
mod tests;
