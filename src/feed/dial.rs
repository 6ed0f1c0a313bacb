//! The system's own network: DNS, TCP and TLS, each with its own deadline.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::failure::ConnectError;
use super::network::{ByteStream, Dialing, Network};

const DNS_LIMIT: Duration = Duration::from_secs(10);
const TCP_LIMIT: Duration = Duration::from_secs(5);
const TLS_LIMIT: Duration = Duration::from_secs(10);

/// Connects through the operating system. Names are resolved anew each time, and every address is tried in
/// turn. A stage that takes too long (DNS 10 s, TCP 5 s per address, TLS 10 s) is a
/// [`ConnectError::Deadline`].
#[derive(Debug, Default)]
pub struct SystemNetwork {
    /// Loaded on the first connection that wants TLS: reading the system's certificates takes milliseconds.
    tls: OnceLock<Arc<ClientConfig>>,
}

impl SystemNetwork {
    /// With these TLS settings; `None` takes the system's root certificates when first needed.
    pub fn new(tls: Option<Arc<ClientConfig>>) -> Self {
        Self { tls: tls.map(OnceLock::from).unwrap_or_default() }
    }

    async fn tls(&self, host: &str, tcp: TcpStream) -> Result<TlsStream<TcpStream>, ConnectError> {
        let config = match self.tls.get() {
            Some(config) => config,
            None => {
                let loaded = super::tls::client_config()?;
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

impl Network for SystemNetwork {
    fn dial<'a>(&'a self, host: &'a str, port: u16, tls: bool) -> Dialing<'a> {
        Box::pin(async move {
            let tcp = tcp(host, port).await?;
            let stream: Box<dyn ByteStream> =
                if tls { Box::new(self.tls(host, tcp).await?) } else { Box::new(tcp) };
            Ok(stream)
        })
    }
}

/// Resolves anew each time and tries every address in turn.
async fn tcp(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let resolve = |cause| ConnectError::Resolve { host: host.to_owned(), cause };
    let lookup = tokio::net::lookup_host((host, port));
    let addresses: Vec<SocketAddr> = within("DNS", DNS_LIMIT, lookup).await?.map_err(resolve)?.collect();
    let mut last = resolve(io::Error::new(io::ErrorKind::NotFound, "no address"));
    for address in addresses {
        match within("TCP", TCP_LIMIT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => match prepared(&stream) {
                Ok(()) => return Ok(stream),
                Err(cause) => last = ConnectError::Tcp { address: address.to_string(), cause },
            },
            Ok(Err(cause)) => last = ConnectError::Tcp { address: address.to_string(), cause },
            Err(deadline) => last = deadline,
        }
    }
    Err(last)
}

/// One stage of a connection, with its deadline.
pub(super) async fn within<T>(
    stage: &'static str,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Result<T, ConnectError> {
    timeout(limit, work).await.map_err(|_elapsed| ConnectError::Deadline { stage, limit })
}

/// A peer that vanished without a word is noticed by the kernel too.
fn prepared(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(5)).with_interval(Duration::from_secs(2));
    #[cfg(any(target_os = "linux", target_os = "macos", target_os = "android", target_os = "freebsd"))]
    let keepalive = keepalive.with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(Duration::from_secs(15)))?;
    Ok(())
}
