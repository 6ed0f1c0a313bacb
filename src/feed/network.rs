//! How byte streams to other machines come about: replaceable, so that a test can bring its own network.

use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

use super::failure::ConnectError;

/// A byte stream, plain or through TLS.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// Where a connection is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination<'a> {
    /// A name or an address.
    pub host: &'a str,
    /// The port.
    pub port: u16,
    /// With TLS.
    pub tls: bool,
    /// Of a host with several addresses the one to begin with, counted around: lines with different turns lie on
    /// different machines where there are any.
    pub turn: usize,
}

/// A connection that is being made.
pub type Dialing<'a> = Pin<Box<dyn Future<Output = Result<Box<dyn ByteStream>, ConnectError>> + Send + 'a>>;

/// Makes connections.
pub trait Network: Send + Sync {
    /// Connects. Each stage has a deadline of its own.
    ///
    /// # Cancel safety
    /// A dropped future leaves no connection behind.
    fn dial<'a>(&'a self, to: Destination<'a>) -> Dialing<'a>;
}
