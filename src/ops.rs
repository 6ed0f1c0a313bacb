//! What an operator asks of a service, on a thread of its own: HTTP, alerts, and word to the service manager. It looks at what the
//! run posts and listens to its records; the thread that reads the exchange never waits for it.

mod service;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout};

use crate::alerts::{self, AlertCounts, AlertsConfig};
use crate::config::Config;
use crate::feed::Network;
use crate::http::{HttpError, Port, Watched};

pub use service::Service;

/// How long the end waits for clients that listen to hear the last record.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What is to be run.
#[derive(Debug)]
pub struct Ops {
    port: Option<Port>,
    service: Option<Service>,
    alerts: Alerts,
}

/// Rules, how those are reached who are told, and what came of it.
struct Alerts {
    config: AlertsConfig,
    network: Arc<dyn Network>,
    counts: Arc<AlertCounts>,
}

/// What runs.
#[derive(Debug)]
pub struct OpsThread {
    stopping: watch::Sender<Stopping>,
    /// The other end is dropped when the thread has ended.
    ended: oneshot::Receiver<()>,
}

/// How far the run is with its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stopping {
    Not,
    /// It has been asked to end.
    Asked,
    /// It has ended.
    Done,
}

impl Ops {
    /// Opens what is to be opened; `None` if nothing is to run. Where something is, the built-in alerts are there too,
    /// unless the settings have others.
    ///
    /// # Errors
    /// [`HttpError`] if HTTP cannot be served.
    pub fn prepare(
        config: &Config,
        service: Option<Service>,
        network: &Arc<dyn Network>,
    ) -> Result<Option<Self>, HttpError> {
        let port = Port::open(&config.http)?;
        if port.is_none() && service.is_none() && config.alerts.is_none() {
            return Ok(None);
        }
        let rules = config.alerts.clone().unwrap_or_default();
        let counts = Arc::new(AlertCounts::new(&rules));
        let alerts = Alerts { config: rules, network: Arc::clone(network), counts };
        Ok(Some(Self { port, service, alerts }))
    }

    /// Whether somebody has to look for the trades of the greatest worth.
    pub fn wants_largest(&self) -> bool {
        self.alerts.config.wants_largest()
    }

    /// What the alerts come to.
    pub fn alert_counts(&self) -> Arc<AlertCounts> {
        Arc::clone(&self.alerts.counts)
    }

    /// Where HTTP is served.
    pub fn address(&self) -> Option<SocketAddr> {
        self.port.as_ref().map(Port::address)
    }

    /// Runs it.
    ///
    /// # Errors
    /// [`HttpError::Thread`] when the system gives no thread or no event queue.
    pub fn start(self, watched: Watched) -> Result<OpsThread, HttpError> {
        let (stopping, told) = watch::channel(Stopping::Not);
        let (running, ended) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(HttpError::Thread)?;
        if let Some(port) = &self.port {
            let address = port.address();
            tracing::info!(event = "http_listening", %address, "Listening: http://{address} (metrics, health, API)");
        }
        let spawned = thread::Builder::new().name("ops".into()).spawn(move || {
            runtime.block_on(self.run(watched, told));
            // A client that hangs must not hold up the end.
            runtime.shutdown_background();
            drop(running);
        });
        spawned.map_err(HttpError::Thread)?;
        Ok(OpsThread { stopping, ended })
    }

    async fn run(self, watched: Watched, mut stopping: watch::Receiver<Stopping>) {
        let Self { port, service, alerts: Alerts { config, network, counts } } = self;
        let alerting = alerts::watch(config, watched.posted.clone(), network, counts);
        let reporting = report(service, watched.clone(), stopping.clone());
        let unheard = port.as_ref().map(Port::unheard);
        let serving = async {
            if let Some(port) = port
                && let Err(error) = port.serve(watched).await
            {
                tracing::error!(event = "http_failed", "HTTP is not served: {error}; the monitor goes on");
            }
            std::future::pending().await
        };
        let over = async {
            // The sender lives as long as whoever waits for the end; without it there is nothing to wait for either.
            drop(stopping.wait_for(|stopping| *stopping == Stopping::Done).await);
            if let Some(unheard) = unheard {
                drop(timeout(LAST_WORDS, unheard).await);
            }
        };
        tokio::select! {
            biased;
            // The rules end by themselves when the run is over.
            _ = async { tokio::join!(over, alerting, reporting) } => {}
            () = serving => {}
        }
    }
}

/// Tells the service manager, second by second, until the run is to end.
async fn report(service: Option<Service>, mut watched: Watched, mut stopping: watch::Receiver<Stopping>) {
    let Some(mut service) = service else { return };
    loop {
        tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping >= Stopping::Asked) => break,
            overview = watched.posted.next() => match overview {
                Some(overview) => service.heed(&overview, Instant::now()),
                None => break,
            },
        }
    }
    service.stopping();
}

impl fmt::Debug for Alerts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alerts").field("config", &self.config).finish_non_exhaustive()
    }
}

impl OpsThread {
    /// The run has been asked to end.
    pub fn stopping(&self) {
        self.stopping.send_if_modified(|stopping| {
            let is_news = *stopping == Stopping::Not;
            *stopping = (*stopping).max(Stopping::Asked);
            is_news
        });
    }

    /// The run has ended: waits, but not for long, until those who listen have heard its last record.
    pub async fn finish(self) {
        self.stopping.send_replace(Stopping::Done);
        // The sender is dropped, never used: its end is the message.
        drop(timeout(2 * LAST_WORDS, self.ended).await);
    }
}
