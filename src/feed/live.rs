//! The life of many sessions: connect, read, wait, again. A disconnect is a state, never an error to the
//! caller; only what no attempt can cure ends it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::backoff::{ConnectionBudget, ceiling, patient, wait};
use super::connect::{Connector, Socket};
use super::dial::SystemNetwork;
use super::endpoint::Endpoint;
use super::failure::{ConnectError, FeedError, PATIENCE, SessionEnd, Verdict};
use super::liveness::LivenessLimits;
use super::network::Network;
use super::nudge::Nudge;
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
    nudge: Nudge,
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
        let connector = Connector::new(settings.endpoint.clone(), clock, Arc::new(SystemNetwork::default()))?;
        let dice = settings.jitter_seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        Ok(Self {
            connector,
            settings,
            queue,
            observer,
            clock,
            dice,
            budget: ConnectionBudget::default(),
            nudge: Nudge::default(),
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

    /// Connects through another network than the system's with its root certificates.
    #[must_use]
    pub fn with_network(mut self, network: Arc<dyn Network>) -> Self {
        self.connector.network = network;
        self
    }

    /// Lets somebody outside end the present session.
    #[must_use]
    pub fn with_nudge(mut self, nudge: Nudge) -> Self {
        self.nudge = nudge;
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
                biased;
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
        let SessionReport { end, data_for } = session.run(stop, &mut self.nudge.listen()).await;
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::io::DuplexStream;
    use tokio::sync::mpsc;
    use tokio_tungstenite::accept_async;

    use super::*;
    use crate::feed::network::{ByteStream, Dialing};
    use crate::queue::{QueueLimits, drop_oldest};

    /// Hands the other end of every connection to the test.
    struct Pipes(mpsc::Sender<DuplexStream>);

    impl Network for Pipes {
        fn dial<'a>(&'a self, _: &'a str, _: u16, _: bool) -> Dialing<'a> {
            Box::pin(async {
                let (ours, theirs) = tokio::io::duplex(1 << 16);
                self.0.send(theirs).await.expect("the test listens");
                let ours: Box<dyn ByteStream> = Box::new(ours);
                Ok(ours)
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_nudge_ends_the_session_that_is_up_and_never_the_next() {
        let (dialed, mut pipes) = mpsc::channel(1);
        let clock = Clock::simulated(0);
        let (queue, _receiver) = drop_oldest(QueueLimits::default(), clock);
        let ends = Mutex::new(Vec::new());
        let observer = |event: FeedEvent<'_>| {
            if let FeedEvent::Ended { end, wait } = event {
                ends.lock().expect("nobody panics here").push((end.to_string(), wait));
            }
        };
        let settings = LiveSettings {
            endpoint: Endpoint::default(),
            liveness: LivenessLimits::with_heartbeat(Duration::from_secs(60)),
            backoff_max: Duration::from_secs(30),
            jitter_seed: Some(1),
        };
        let nudge = Nudge::default();
        let live = Live::new(settings, queue, &observer, clock).expect("the URL is good");
        let live = live.with_network(Arc::new(Pipes(dialed))).with_nudge(nudge.clone());
        let (stop, stopped) = watch::channel(false);
        let story = async {
            // Nothing is up yet.
            nudge.reconnect();
            for round in 0..2 {
                let pipe = pipes.recv().await.expect("the feed dials");
                let mut server = accept_async(pipe).await.expect("a client shakes hands");
                // Late enough that an old nudge would have been heard, early enough that nothing else ends it.
                tokio::time::sleep(Duration::from_secs(1)).await;
                assert_eq!(ends.lock().expect("nobody panics here").len(), round);
                nudge.reconnect();
                use futures_util::StreamExt;
                while let Some(Ok(_)) = server.next().await {}
                // Twice, while nothing is up.
                nudge.reconnect();
            }
            stop.send_replace(true);
        };
        let (run, ()) = tokio::join!(live.run(stopped), story);
        run.expect("nothing is refused");
        let ends = ends.into_inner().expect("nobody panics here");
        assert_eq!(ends.len(), 2, "{ends:?}");
        for ((end, wait), ceiling) in ends.iter().zip([1, 2]) {
            assert_eq!(end, "the market trades on, but nothing arrives over this connection");
            let ceiling = Duration::from_secs(ceiling);
            assert!(*wait >= ceiling / 2 && *wait <= ceiling, "{wait:?} of {ceiling:?}");
        }
    }
}
