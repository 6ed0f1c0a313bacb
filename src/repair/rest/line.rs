//! One HTTP/1.1 connection, driven by whoever waits for an answer.

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper::http::request;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;

use super::chain;
use crate::feed::ByteStream;

/// What is sent; of a question nothing.
type Sent = Full<Bytes>;
type Http = Connection<TokioIo<Box<dyn ByteStream>>, Sent>;

/// The longest head of an answer; the exchange's have about 1 kB.
const MAX_HEAD: usize = 64 * 1024;
const USER_AGENT: &str = concat!("cvd-stream/", env!("CARGO_PKG_VERSION"));

/// Why a connection brought no whole answer.
#[derive(Debug)]
pub(crate) enum LineError {
    /// It ended before the first byte of an answer.
    Gone(String),
    /// It ended or failed in the middle, or what came was no HTTP.
    Broken(String),
    /// A body beyond so many bytes.
    TooLong(usize),
    /// The time was over.
    Late,
}

pub(crate) struct Line {
    sender: SendRequest<Sent>,
    /// `None` once it has ended. Bytes of the last answer may still be with the answer then.
    connection: Option<Http>,
}

impl Line {
    pub(crate) async fn over(stream: Box<dyn ByteStream>) -> Result<Self, LineError> {
        let mut builder = Builder::new();
        builder.max_buf_size(MAX_HEAD);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(broken)?;
        Ok(Self { sender, connection: Some(connection) })
    }

    /// Sends a question and waits for the head of the answer.
    pub(super) async fn send(
        &mut self,
        path: &str,
        authority: &str,
    ) -> Result<Response<Incoming>, LineError> {
        self.send_with(path, authority, &[(header::ACCEPT, "application/json")]).await
    }

    /// The same, with these headers besides host and user agent.
    pub(crate) async fn send_with(
        &mut self,
        path: &str,
        authority: &str,
        headers: &[(header::HeaderName, &str)],
    ) -> Result<Response<Incoming>, LineError> {
        self.say(Request::get(path), authority, headers, Sent::default()).await
    }

    /// Sends a body and waits for the head of the answer.
    #[cfg(feature = "ops")]
    pub(crate) async fn post(
        &mut self,
        path: &str,
        authority: &str,
        headers: &[(header::HeaderName, &str)],
        body: Bytes,
    ) -> Result<Response<Incoming>, LineError> {
        self.say(Request::post(path), authority, headers, Sent::new(body)).await
    }

    async fn say(
        &mut self,
        request: request::Builder,
        authority: &str,
        headers: &[(header::HeaderName, &str)],
        body: Sent,
    ) -> Result<Response<Incoming>, LineError> {
        let request = request.header(header::HOST, authority).header(header::USER_AGENT, USER_AGENT);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(name, *value));
        let request = request.body(body).map_err(|error| LineError::Broken(error.to_string()))?;
        let Self { sender, connection } = self;
        let sending = async {
            sender.ready().await?;
            sender.send_request(request).await
        };
        driven(connection, sending).await.map_err(|error| {
            let told = chain(&error);
            if error.is_parse() { LineError::Broken(told) } else { LineError::Gone(told) }
        })
    }

    /// Appends the body to `into`, up to `limit` bytes.
    pub(crate) async fn read(
        &mut self,
        body: &mut Incoming,
        into: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(), LineError> {
        if body.size_hint().lower() > limit as u64 {
            return Err(LineError::TooLong(limit));
        }
        let reading = async {
            while let Some(frame) = body.frame().await {
                let Ok(bytes) = frame.map_err(broken)?.into_data() else { continue };
                if bytes.len() > limit - into.len() {
                    return Err(LineError::TooLong(limit));
                }
                into.extend_from_slice(&bytes);
            }
            Ok(())
        };
        driven(&mut self.connection, reading).await
    }

    /// The next piece of a body, of any length but 0; `None` at its end.
    #[cfg(feature = "replay")]
    pub(crate) async fn next(&mut self, body: &mut Incoming) -> Result<Option<Bytes>, LineError> {
        let reading = async {
            while let Some(frame) = body.frame().await {
                match frame.map_err(broken)?.into_data() {
                    Ok(bytes) if !bytes.is_empty() => return Ok(Some(bytes)),
                    _ => {}
                }
            }
            Ok(None)
        };
        driven(&mut self.connection, reading).await
    }
}

/// Does some work while the connection does its part.
async fn driven<C: Future + Unpin, T>(connection: &mut Option<C>, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    if let Some(alive) = connection {
        tokio::select! {
            biased;
            done = &mut work => return done,
            _ = alive => *connection = None,
        }
    }
    work.await
}

fn broken(error: hyper::Error) -> LineError {
    LineError::Broken(chain(&error))
}
