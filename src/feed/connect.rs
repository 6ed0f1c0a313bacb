//! From a name to an open WebSocket: DNS, TCP, TLS, handshake, each with its own deadline.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, http};

use super::endpoint::Endpoint;
use super::failure::{ConnectError, FeedError, retry_after};
use super::head::HeadFirst;
use super::timed::Timed;
use crate::clock::Clock;
use crate::text::escaped;

const DNS_LIMIT: Duration = Duration::from_secs(10);
const TCP_LIMIT: Duration = Duration::from_secs(5);
const TLS_LIMIT: Duration = Duration::from_secs(10);
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// A frame of the exchange has about 200 bytes; these bounds are for the broken and the hostile.
const MAX_FRAME: usize = 256 * 1024;
const MAX_MESSAGE: usize = 1024 * 1024;
const MAX_UNSENT: usize = 64 * 1024;

/// A byte stream, plain or through TLS.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Transport for S {}

pub(crate) type Socket = WebSocketStream<Timed<HeadFirst<Box<dyn Transport>>>>;

/// Everything that outlives a single attempt.
pub(crate) struct Connector {
    endpoint: Endpoint,
    clock: Clock,
    /// Loaded on the first `wss://` attempt: reading the system's certificates takes milliseconds.
    tls: Option<Arc<ClientConfig>>,
}

impl Connector {
    pub(crate) fn new(
        endpoint: Endpoint,
        clock: Clock,
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Self, FeedError> {
        let connector = Self { endpoint, clock, tls };
        connector.request().map_err(|cause| FeedError::BadUrl {
            url: connector.endpoint.display.clone(),
            cause: Box::new(cause),
        })?;
        Ok(connector)
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// One attempt, all stages.
    pub(crate) async fn connect(&mut self) -> Result<Socket, ConnectError> {
        let tcp = self.tcp().await?;
        let stream: Box<dyn Transport> =
            if self.endpoint.tls { Box::new(self.tls(tcp).await?) } else { Box::new(tcp) };
        let stream = Timed::new(HeadFirst::new(stream), self.clock);
        let request = self.request().map_err(|cause| ConnectError::Handshake(Box::new(cause)))?;
        let handshake = tokio_tungstenite::client_async_with_config(request, stream, Some(limits()));
        match within("the handshake", HANDSHAKE_LIMIT, handshake).await? {
            // Anew, with read buffers of full size; `HeadFirst` has kept every frame in the stream.
            Ok((socket, _response)) => {
                Ok(WebSocketStream::from_raw_socket(socket.into_inner(), Role::Client, Some(limits())).await)
            }
            Err(tungstenite::Error::Http(response)) => Err(refusal(&response)),
            Err(error) => Err(ConnectError::Handshake(Box::new(error))),
        }
    }

    fn request(&self) -> Result<Request, tungstenite::Error> {
        self.endpoint.url.as_str().into_client_request()
    }

    /// Resolves anew each time and tries every address in turn.
    async fn tcp(&self) -> Result<TcpStream, ConnectError> {
        let host = &self.endpoint.host;
        let resolve = |cause| ConnectError::Resolve { host: host.clone(), cause };
        let lookup = tokio::net::lookup_host((host.as_str(), self.endpoint.port));
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

    async fn tls(
        &mut self,
        tcp: TcpStream,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, ConnectError> {
        let config = match &self.tls {
            Some(config) => Arc::clone(config),
            None => Arc::clone(self.tls.insert(super::tls::client_config()?)),
        };
        let host = self.endpoint.host.clone();
        let failed = |cause| ConnectError::Tls { host: host.clone(), cause };
        let name = ServerName::try_from(host.clone())
            .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let connecting = tokio_rustls::TlsConnector::from(config).connect(name, tcp);
        within("TLS", TLS_LIMIT, connecting).await?.map_err(failed)
    }
}

async fn within<T>(
    stage: &'static str,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Result<T, ConnectError> {
    timeout(limit, work).await.map_err(|_elapsed| ConnectError::Deadline { stage, limit })
}

fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_frame_size(Some(MAX_FRAME))
        .max_message_size(Some(MAX_MESSAGE))
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_UNSENT)
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

fn refusal(response: &http::Response<Option<Vec<u8>>>) -> ConnectError {
    let header = response.headers().get(http::header::RETRY_AFTER);
    ConnectError::Status {
        status: response.status().as_u16(),
        retry_after: retry_after(header.map(http::HeaderValue::as_bytes)),
        body: escaped(response.body().as_deref().unwrap_or_default()),
    }
}
