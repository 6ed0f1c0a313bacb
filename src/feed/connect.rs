//! From a name to an open WebSocket: a byte stream of the network's, then the handshake with its own deadline.

use std::sync::Arc;
use std::time::Duration;

use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, http};

use super::dial::within;
use super::endpoint::Endpoint;
use super::failure::{ConnectError, FeedError, retry_after};
use super::head::HeadFirst;
use super::network::{ByteStream, Destination, Network};
use super::timed::Timed;
use crate::clock::Clock;
use crate::text::escaped;

const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// A frame of the exchange has about 200 bytes; these bounds are for the broken and the hostile.
const MAX_FRAME: usize = 256 * 1024;
const MAX_MESSAGE: usize = 1024 * 1024;
const MAX_UNSENT: usize = 64 * 1024;

pub(crate) type Socket = WebSocketStream<Timed<HeadFirst<Box<dyn ByteStream>>>>;

/// Everything that outlives a single attempt.
pub(crate) struct Connector {
    pub(crate) clock: Clock,
    pub(crate) network: Arc<dyn Network>,
}

impl Connector {
    /// One attempt, all stages, with this one of the host's addresses first.
    pub(crate) async fn connect(&self, endpoint: &Endpoint, turn: usize) -> Result<Socket, ConnectError> {
        let Endpoint { host, port, tls, .. } = endpoint;
        let to = Destination { host, port: *port, tls: *tls, turn };
        let stream = self.network.dial(to).await?;
        let stream = Timed::new(HeadFirst::new(stream), self.clock);
        let request = request(endpoint).map_err(|cause| ConnectError::Handshake(Box::new(cause)))?;
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
}

/// Whether the URL can be asked for.
pub(crate) fn check(endpoint: &Endpoint) -> Result<(), FeedError> {
    request(endpoint)
        .map(drop)
        .map_err(|cause| FeedError::BadUrl { url: endpoint.display.clone(), cause: Box::new(cause) })
}

fn request(endpoint: &Endpoint) -> Result<Request, tungstenite::Error> {
    endpoint.url.as_str().into_client_request()
}

/// The room for one read of the socket. The library fills it with zeros before each, of which there are two for every
/// frame that comes alone: more room costs more than it saves.
const READ_BUFFER: usize = 4 * 1024;

fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .max_frame_size(Some(MAX_FRAME))
        .max_message_size(Some(MAX_MESSAGE))
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_UNSENT)
}

fn refusal(response: &http::Response<Option<Vec<u8>>>) -> ConnectError {
    let header = response.headers().get(http::header::RETRY_AFTER);
    ConnectError::Status {
        status: response.status().as_u16(),
        retry_after: retry_after(header.map(http::HeaderValue::as_bytes)),
        body: escaped(response.body().as_deref().unwrap_or_default()),
    }
}
