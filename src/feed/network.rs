//! How byte streams to other machines come about: replaceable, so that a test can bring its own network.

use std::io;
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

    /// The same, to public addresses only: [`ConnectError::NotPublic`] if one of the host's belongs to this machine or
    /// a private network. A name that a proxy looks up is for the proxy to judge.
    ///
    /// A network that cannot tell addresses makes no such connection.
    ///
    /// # Cancel safety
    /// As for [`Network::dial`].
    fn dial_public<'a>(&'a self, to: Destination<'a>) -> Dialing<'a> {
        let cause =
            io::Error::new(io::ErrorKind::Unsupported, "this network does not tell the addresses of hosts");
        Box::pin(std::future::ready(Err(ConnectError::Resolve { host: to.host.to_owned(), cause })))
    }
}
