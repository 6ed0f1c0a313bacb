//! The feed: a line for each shard, or several that carry the same trades.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Semaphore, watch};

use super::backoff::ConnectionBudget;
use super::connect::{self, Connector};
use super::dial::SystemNetwork;
use super::endpoint::Endpoint;
use super::failure::FeedError;
use super::line::{Common, Line};
use super::liveness::LivenessLimits;
use super::network::Network;
use super::pace::ConnectionPace;
use super::session::{changes, stopped};
use super::shards::Shards;
use super::steering::Steering;
use super::{FeedObserver, LineId, ShardPlan};
use crate::clock::Clock;
use crate::queue::Sender;

/// The settings of a live feed.
#[derive(Debug, Clone)]
pub struct LiveSettings {
    /// The shards there are to be, each with its address and streams. Lines are opened, told of changes and closed as this
    /// changes; once nobody can change it any more it holds for good.
    pub plans: watch::Receiver<Arc<[ShardPlan]>>,
    /// When a connection counts as dead.
    pub liveness: LivenessLimits,
    /// The longest ceiling of a wait between attempts.
    pub backoff_max: Duration,
    /// Seed of the dice that spread the waits; `None` takes a new one each time.
    pub jitter_seed: Option<u64>,
    /// Lines of each shard that carry the same trades side by side, 1 to 3.
    pub redundancy: u8,
    /// Age at which a connection is replaced while it still runs; zero for never. The new one takes over when
    /// [`Steering::overlapped`] says so.
    pub handover_after: Duration,
}

impl LiveSettings {
    /// The defaults: one shard with one line, a heartbeat timeout of 60 s, waits of up to 30 s, and no hand-over, for which somebody
    /// has to read the trades.
    pub fn of(endpoint: Endpoint) -> Self {
        let (_, plans) = watch::channel(Arc::from([ShardPlan::of(endpoint)]));
        Self {
            plans,
            liveness: LivenessLimits::with_heartbeat(Duration::from_secs(60)),
            backoff_max: Duration::from_secs(30),
            jitter_seed: None,
            redundancy: 1,
            handover_after: Duration::ZERO,
        }
    }
}

/// A feed that stays up.
pub struct Live<'a> {
    common: Common<'a>,
}

impl<'a> Live<'a> {
    /// A feed into `queue` that tells `observer` what happens.
    ///
    /// # Errors
    /// [`FeedError::BadUrl`] if the URL of a shard cannot be asked for.
    pub fn new(
        settings: LiveSettings,
        queue: Sender,
        observer: &'a dyn FeedObserver,
        clock: Clock,
    ) -> Result<Self, FeedError> {
        settings.plans.borrow().iter().try_for_each(|plan| connect::check(&plan.endpoint))?;
        let mut dice = settings.jitter_seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let common = Common {
            connector: Connector { clock, network: Arc::new(SystemNetwork::default()) },
            settings,
            queue,
            observer,
            clock,
            budget: ConnectionBudget::default(),
            pace: ConnectionPace::default(),
            steering: Steering::default(),
            sessions: AtomicU64::new(0),
            connected_before: AtomicBool::new(false),
            among_shards: AtomicBool::new(false),
            lines: AtomicUsize::new(1),
            age_roll: dice.f64(),
            turn: Semaphore::new(1),
        };
        Ok(Self { common })
    }

    /// Shares a budget of connection attempts with other feeds of this process. Without it a feed has its own.
    #[must_use]
    pub fn with_budget(mut self, budget: ConnectionBudget) -> Self {
        self.common.budget = budget;
        self
    }

    /// Shares the pace of connections with other feeds of this process. Without it a feed has its own.
    #[must_use]
    pub fn with_pace(mut self, pace: ConnectionPace) -> Self {
        self.common.pace = pace;
        self
    }

    /// Connects through another network than the system's with its root certificates.
    #[must_use]
    pub fn with_network(mut self, network: Arc<dyn Network>) -> Self {
        self.common.connector.network = network;
        self
    }

    /// Lets somebody who reads the frames steer it.
    #[must_use]
    pub fn with_steering(mut self, steering: Steering) -> Self {
        self.common.steering = steering;
        self
    }

    /// Keeps the lines of all shards up until `stop` turns true; the queue closes when this returns.
    ///
    /// # Errors
    /// [`FeedError::Refused`] if the exchange refuses, before there ever was a connection, for a reason that
    /// trying again cannot cure.
    pub async fn run(self, mut stop: watch::Receiver<bool>) -> Result<(), FeedError> {
        let (common, mut shards, mut open) = (&self.common, Shards::default(), 0_usize);
        // What is woken is polled, and nothing else: there may be hundreds of lines.
        let mut tasks: FuturesUnordered<Task<'_>> = FuturesUnordered::new();
        tasks.push(Box::pin(async move {
            stopped(&mut stop).await;
            Turn::Stop
        }));
        let mut turn = Turn::Plans(common.settings.plans.clone());
        loop {
            match turn {
                Turn::Ended(ended) => {
                    ended?;
                    open -= 1;
                }
                Turn::Plans(mut plans) => {
                    let new = shards.follow(&plans.borrow_and_update());
                    common.among_shards.store(shards.len() > 1, Ordering::Relaxed);
                    common.lines.store(shards.len() * usize::from(common.copies()), Ordering::Relaxed);
                    for opening in new {
                        for copy in 0..common.copies() {
                            let line =
                                Line::new(common, LineId::of(opening.shard, copy), opening.plan.clone());
                            let line = line.run(opening.stop.clone());
                            tasks.push(Box::pin(async move { Turn::Ended(line.await) }));
                            open += 1;
                        }
                    }
                    tasks.push(Box::pin(async move {
                        changes(&mut plans).await;
                        Turn::Plans(plans)
                    }));
                }
                Turn::Stop => break,
            }
            turn = tasks.next().await.unwrap_or(Turn::Stop);
        }
        shards.stop();
        while open > 0
            && let Some(turn) = tasks.next().await
        {
            if let Turn::Ended(ended) = turn {
                ended?;
                open -= 1;
            }
        }
        Ok(())
    }
}

type Task<'a> = Pin<Box<dyn Future<Output = Turn> + Send + 'a>>;

/// What has happened to a feed.
enum Turn {
    Ended(Result<(), FeedError>),
    Plans(watch::Receiver<Arc<[ShardPlan]>>),
    Stop,
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::io::DuplexStream;
    use tokio::sync::mpsc;
    use tokio_tungstenite::accept_async;

    use super::*;
    use crate::feed::network::{ByteStream, Destination, Dialing};
    use crate::feed::{FeedEvent, ShardId};
    use crate::queue::{QueueLimits, drop_oldest};

    /// Hands the other end of every connection to the test.
    struct Pipes(mpsc::Sender<DuplexStream>);

    impl Network for Pipes {
        fn dial<'a>(&'a self, _: Destination<'a>) -> Dialing<'a> {
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
        let (queue, _receiver) = drop_oldest(QueueLimits::default());
        let ends = Mutex::new(Vec::new());
        let observer = |event: FeedEvent<'_>| {
            if let FeedEvent::Ended { end, wait, .. } = event {
                ends.lock().expect("nobody panics here").push((end.to_string(), wait));
            }
        };
        let settings = LiveSettings {
            liveness: LivenessLimits::with_heartbeat(Duration::from_secs(60)),
            backoff_max: Duration::from_secs(30),
            jitter_seed: Some(1),
            ..LiveSettings::of(Endpoint::default())
        };
        let steering = Steering::default();
        let live = Live::new(settings, queue, &observer, clock).expect("the URL is good");
        let live = live.with_network(Arc::new(Pipes(dialed))).with_steering(steering.clone());
        let (stop, stopped) = watch::channel(false);
        let story = async {
            // Nothing is up yet.
            steering.reconnect(ShardId::default());
            for round in 0..2 {
                let pipe = pipes.recv().await.expect("the feed dials");
                let mut server = accept_async(pipe).await.expect("a client shakes hands");
                // Late enough that an old steering would have been heard, early enough that nothing else ends it.
                tokio::time::sleep(Duration::from_secs(1)).await;
                assert_eq!(ends.lock().expect("nobody panics here").len(), round);
                steering.reconnect(ShardId::default());
                use futures_util::StreamExt;
                while let Some(Ok(_)) = server.next().await {}
                // Twice, while nothing is up.
                steering.reconnect(ShardId::default());
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
