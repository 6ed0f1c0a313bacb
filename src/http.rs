//! What the run looks like, over HTTP: `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever keeps it running,
//! `/api/v1/…` for programs. It only ever reads: there is nothing that a request could change.
//!
//! It runs on a thread of its own, never on the one that reads the exchange: whatever clients do, no trade waits for it.

mod answer;
mod ask;
mod counts;
mod events;
mod guard;
mod metrics;
mod patient;
mod routes;
mod server;
mod token;
mod watched;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::config::HttpConfig;

pub use ask::{AskError, Asked, health};
use counts::Counts;
use guard::Guard;
use routes::Site;
pub use token::{Token, TokenError};
pub use watched::Watched;

/// How often the end looks whether somebody still listens.
const GLANCE: Duration = Duration::from_millis(10);

/// What keeps it from being served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address} for HTTP: {}; choose another address with --http", .error.kind())]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The system gives no thread for it.
    #[error("cannot start the thread that serves HTTP")]
    Thread(#[source] io::Error),
    /// The token cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Other machines could ask without a token.
    #[error(
        "{0} can be reached from other machines: name a token with --http-token-file, or listen on 127.0.0.1"
    )]
    Open(SocketAddr),
}

/// A port that is open, before anything is answered.
#[derive(Debug)]
pub struct Port {
    listener: std::net::TcpListener,
    guard: Guard,
    address: SocketAddr,
    counts: Arc<Counts>,
}

impl Port {
    /// Opens it, if there is to be one.
    ///
    /// # Errors
    /// [`HttpError`] if the address cannot be listened on, the token cannot be used, or there has to be one.
    pub fn open(config: &HttpConfig) -> Result<Option<Self>, HttpError> {
        let Some(address) = config.listen else { return Ok(None) };
        let token = config.token_file.as_deref().map(Token::from_file).transpose()?;
        if token.is_none() && !address.ip().is_loopback() {
            return Err(HttpError::Open(address));
        }
        let failed = |error| HttpError::Listen { address, error };
        let listener = server::listen(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let names = config.allow_hosts.iter().map(|name| name.to_ascii_lowercase()).collect();
        Ok(Some(Self { listener, guard: Guard { token, names }, address, counts: Arc::default() }))
    }

    /// Where it is: with the port that was chosen, if any was to do.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ready when nobody listens to the stream any more.
    pub(crate) fn unheard(&self) -> impl Future<Output = ()> + use<> {
        let counts = Arc::clone(&self.counts);
        async move {
            while counts.listening.load(Ordering::Relaxed) > 0 {
                sleep(GLANCE).await;
            }
            // What was handed to the socket last is sent meanwhile.
            sleep(GLANCE).await;
        }
    }

    /// Answers until it is dropped.
    ///
    /// # Errors
    /// When the runtime does not take the port.
    pub async fn serve(self, watched: Watched) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        let site = Site { watched, guard: self.guard, counts: self.counts };
        server::serve(listener, Arc::new(site)).await;
        Ok(())
    }
}
