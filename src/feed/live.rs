//! The life of many sessions: connect, read, wait, again. A disconnect is a state, never an error to the
//! caller; only what no attempt can cure ends it.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::sync::watch;
use tokio::time::Instant;

use super::backoff::{ConnectionBudget, ceiling, patient, wait};
use super::connect::{Connector, Socket};
use super::endpoint::Endpoint;
use super::failure::{ConnectError, FeedError, PATIENCE, SessionEnd, Verdict};
use super::liveness::LivenessLimits;
use super::session::{Session, SessionReport, stopped};
use super::{FeedEvent, FeedObserver, LineId, LinkChange, LinkEvent, SessionId};
use crate::clock::Clock;
use crate::queue::Sender;

/// The settings of a live feed.
#[derive(Debug, Clone)]
pub struct LiveSettings {
    /// Where to connect.
    pub endpoint: Endpoint,
    /// When a connection counts as dead.
    pub liveness: LivenessLimits,
    /// The longest ceiling of a wait between attempts.
    pub backoff_max: Duration,
    /// TLS settings; `None` takes the system's root certificates when first needed.
    pub tls: Option<Arc<ClientConfig>>,
    /// Seed of the dice that spread the waits; `None` takes a new one each time.
    pub jitter_seed: Option<u64>,
}

/// A line that stays up.
pub struct Live<'a> {
    connector: Connector,
    settings: LiveSettings,
    queue: Sender,
    observer: &'a dyn FeedObserver,
    clock: Clock,
    dice: fastrand::Rng,
    budget: ConnectionBudget,
    sessions: u64,
    connected_before: bool,
    failures: u32,
}

/// A session that delivered trades for this long resets the backoff.
const HEALTHY: Duration = Duration::from_secs(60);

impl<'a> Live<'a> {
    /// A feed into `queue` that tells `observer` what happens.
    ///
    /// # Errors
    /// [`FeedError::BadUrl`] if the URL cannot be asked for.
    pub fn new(
        settings: LiveSettings,
        queue: Sender,
        observer: &'a dyn FeedObserver,
        clock: Clock,
    ) -> Result<Self, FeedError> {
        let connector = Connector::new(settings.endpoint.clone(), clock, settings.tls.clone())?;
        let dice = settings.jitter_seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        Ok(Self {
            connector,
            settings,
            queue,
            observer,
            clock,
            dice,
            budget: ConnectionBudget::default(),
            sessions: 0,
            connected_before: false,
            failures: 0,
        })
    }

    /// Shares a budget of connection attempts with other feeds of this process. Without it a feed has its own.
    #[must_use]
    pub fn with_budget(mut self, budget: ConnectionBudget) -> Self {
        self.budget = budget;
        self
    }

    /// Keeps the line up until `stop` turns true; the queue closes when this returns.
    ///
    /// # Errors
    /// [`FeedError::Refused`] if the exchange refuses, before there ever was a connection, for a reason that
    /// trying again cannot cure.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), FeedError> {
        loop {
            let pause = self.budget.take(Instant::now());
            if stopped_within(&mut stop, pause).await {
                return Ok(());
            }
            self.observer.on_event(FeedEvent::Connecting { url: &self.connector.endpoint().display });
            let attempt = tokio::select! {
                attempt = self.connector.connect() => attempt,
                () = stopped(&mut stop) => return Ok(()),
            };
            let pause = match attempt {
                Ok(socket) => match self.live_through(socket, &mut stop).await {
                    None => return Ok(()),
                    Some(pause) => pause,
                },
                Err(error) => self.failed(error)?,
            };
            if stopped_within(&mut stop, pause).await {
                return Ok(());
            }
        }
    }

    /// One session; `None` if we were asked to stop, else the wait before the next.
    async fn live_through(&mut self, socket: Socket, stop: &mut watch::Receiver<bool>) -> Option<Duration> {
        self.sessions += 1;
        let (line, id) = (LineId(0), SessionId(self.sessions));
        let endpoint = self.connector.endpoint();
        self.observer.on_event(FeedEvent::Connected { url: &endpoint.display, again: self.connected_before });
        self.connected_before = true;
        self.queue.link(LinkEvent { line, session: id, at: self.clock.now(), change: LinkChange::Opened });
        let session = Session {
            socket,
            line,
            id,
            limits: self.settings.liveness,
            queue: &self.queue,
            observer: self.observer,
            subscribe: &endpoint.subscribe,
        };
        let SessionReport { end, data_for } = session.run(stop).await;
        self.queue.link(LinkEvent { line, session: id, at: self.clock.now(), change: LinkChange::Closed });
        if matches!(end, SessionEnd::Stopped) {
            return None;
        }
        if data_for >= HEALTHY {
            self.failures = 0;
        }
        let pause = match end.patience() {
            Some(patience) => self.patient_wait(patience),
            None => self.next_wait(),
        };
        self.observer.on_event(FeedEvent::Ended { end: &end, wait: pause });
        Some(pause)
    }

    fn failed(&mut self, error: ConnectError) -> Result<Duration, FeedError> {
        let mut remedy = None;
        let pause = match error.verdict() {
            Verdict::RetrySoon => self.next_wait(),
            Verdict::RetrySlowly(patience) => self.patient_wait(patience),
            // What has worked may work again: a deployment of theirs, a proxy that comes up before its backend.
            Verdict::Refuse(what_to_do) if self.connected_before => {
                remedy = Some(what_to_do);
                self.patient_wait(PATIENCE)
            }
            Verdict::Refuse(remedy) => {
                let url = self.connector.endpoint().display.clone();
                return Err(FeedError::Refused { url, remedy, cause: Box::new(error) });
            }
        };
        self.observer.on_event(FeedEvent::Failed { error: &error, wait: pause, remedy });
        Ok(pause)
    }

    fn patient_wait(&mut self, patience: Duration) -> Duration {
        let asked_for = patient(patience, self.dice.f64());
        self.next_wait().max(asked_for)
    }

    fn next_wait(&mut self) -> Duration {
        let top = ceiling(self.failures, self.settings.backoff_max);
        self.failures = self.failures.saturating_add(1);
        wait(top, self.dice.f64())
    }
}

/// Sleeps, unless `stop` turns true first.
async fn stopped_within(stop: &mut watch::Receiver<bool>, pause: Duration) -> bool {
    // A stop whose sender is gone can never come any more; then the sleep decides.
    tokio::time::timeout(pause, stop.wait_for(|stop| *stop)).await.is_ok_and(|stopped| stopped.is_ok())
}
