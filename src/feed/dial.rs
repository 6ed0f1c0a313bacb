//! The system's own network: DNS, TCP, a proxy where there is one, and TLS, each with its own deadline.

mod proxied;
mod reach;
mod tcp;

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::failure::ConnectError;
use super::network::{ByteStream, Destination, Dialing, Network};
use super::proxy::{NoHost, Proxies};
use super::tls::{ExtraRoots, client_config_trusting};
use reach::Reach;
#[cfg(feature = "ops")]
pub(crate) use reach::is_public;

const TLS_LIMIT: Duration = Duration::from_secs(10);

/// Connects through the operating system. Names are resolved anew each time, and every address is tried in
/// turn. A stage that takes too long (DNS 10 s, TCP 5 s per address, a proxy's answer 10 s, TLS 10 s) is a
/// [`ConnectError::Deadline`], of a proxy a [`ConnectError::Proxy`].
///
/// Where there is a proxy for a destination, nothing goes past it, whatever becomes of it.
#[derive(Debug, Default)]
pub struct SystemNetwork {
    proxies: Proxies,
    extra_roots: ExtraRoots,
    /// Loaded on the first connection that wants TLS: reading the system's certificates takes milliseconds.
    tls: OnceLock<Arc<ClientConfig>>,
}

impl SystemNetwork {
    /// With these TLS settings; `None` takes the system's root certificates when first needed. Without a proxy.
    pub fn new(tls: Option<Arc<ClientConfig>>) -> Self {
        Self { tls: tls.map(OnceLock::from).unwrap_or_default(), ..Self::default() }
    }

    /// Connects through these proxies.
    #[must_use]
    pub fn with_proxies(mut self, proxies: Proxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// Trusts these root certificates too. TLS settings that were given stay as they are.
    #[must_use]
    pub fn with_extra_roots(mut self, roots: ExtraRoots) -> Self {
        self.extra_roots = roots;
        self
    }

    async fn tcp(&self, to: Destination<'_>, reach: Reach) -> Result<TcpStream, ConnectError> {
        let way = self.proxies.way_to(to.host, to.port, to.tls).map_err(|NoHost| ConnectError::Resolve {
            host: to.host.to_owned(),
            cause: io::Error::new(io::ErrorKind::InvalidInput, "not a host that a proxy could be told"),
        })?;
        match way {
            None => tcp::connected(to.host, to.port, to.turn, reach).await,
            Some(way) => proxied::connected(&way, to, reach).await,
        }
    }

    async fn tls(&self, host: &str, tcp: TcpStream) -> Result<TlsStream<TcpStream>, ConnectError> {
        let config = match self.tls.get() {
            Some(config) => config,
            None => {
                let loaded = client_config_trusting(&self.extra_roots)?;
                self.tls.get_or_init(|| loaded)
            }
        };
        let failed = |cause| ConnectError::Tls { host: host.to_owned(), cause };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let connecting = tokio_rustls::TlsConnector::from(Arc::clone(config)).connect(name, tcp);
        within("TLS", TLS_LIMIT, connecting).await?.map_err(failed)
    }
}

impl SystemNetwork {
    fn dialing<'a>(&'a self, to: Destination<'a>, reach: Reach) -> Dialing<'a> {
        Box::pin(async move {
            let tcp = self.tcp(to, reach).await?;
            let stream: Box<dyn ByteStream> =
                if to.tls { Box::new(self.tls(to.host, tcp).await?) } else { Box::new(tcp) };
            Ok(stream)
        })
    }
}

impl Network for SystemNetwork {
    fn dial<'a>(&'a self, to: Destination<'a>) -> Dialing<'a> {
        self.dialing(to, Reach::Anywhere)
    }

    fn dial_public<'a>(&'a self, to: Destination<'a>) -> Dialing<'a> {
        self.dialing(to, Reach::Public)
    }
}

/// One stage of a connection, with its deadline.
pub(super) async fn within<T>(
    stage: &'static str,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Result<T, ConnectError> {
    timeout(limit, work).await.map_err(|_elapsed| ConnectError::Deadline { stage, limit })
}
