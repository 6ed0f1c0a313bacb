//! How byte streams to other machines come about: replaceable, so that a test can bring its own network.

use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

use super::failure::ConnectError;

/// A byte stream, plain or through TLS.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// A connection that is being made.
pub type Dialing<'a> = Pin<Box<dyn Future<Output = Result<Box<dyn ByteStream>, ConnectError>> + Send + 'a>>;

/// Makes connections.
pub trait Network: Send + Sync {
    /// Connects to a host, with TLS if wanted. Each stage has a deadline of its own.
    ///
    /// # Cancel safety
    /// A dropped future leaves no connection behind.
    fn dial<'a>(&'a self, host: &'a str, port: u16, tls: bool) -> Dialing<'a>;
}
