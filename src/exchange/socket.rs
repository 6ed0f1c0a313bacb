//! What the exchange serves over: a TCP connection on loopback, or a pipe within the process.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, tcp};
use tokio::sync::mpsc;

use super::network::PipeNetwork;
use super::pipe::Pipe;

/// The pause after a failed accept.
const ACCEPT_AGAIN: Duration = Duration::from_millis(10);

/// A connection.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Pipe(Pipe),
}

/// Where connections are accepted; dropped, it refuses them.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Pipe(mpsc::Receiver<Pipe>),
}

/// Where a listener can be opened, again and again.
#[derive(Debug, Clone)]
pub(super) enum Harbour {
    Tcp,
    Pipe(Arc<PipeNetwork>),
}

impl Harbour {
    /// Listens on a port; of a real one, 0 takes a free one, and earlier connections in TIME_WAIT do not prevent it.
    pub(super) fn listen(&self, port: u16) -> io::Result<Listener> {
        match self {
            Self::Pipe(network) => Ok(Listener::Pipe(network.listen(port))),
            Self::Tcp => {
                let socket = TcpSocket::new_v4()?;
                socket.set_reuseaddr(true)?;
                socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
                socket.listen(1_024).map(Listener::Tcp)
            }
        }
    }
}

impl Listener {
    /// The port of a real listener; a pipe's is what it was asked for.
    pub(super) fn port(&self, asked: u16) -> io::Result<u16> {
        match self {
            Self::Tcp(listener) => Ok(listener.local_addr()?.port()),
            Self::Pipe(_) => Ok(asked),
        }
    }

    async fn accept(&mut self) -> Socket {
        loop {
            match self {
                Self::Tcp(listener) => match listener.accept().await {
                    Ok((socket, _)) => return Socket::Tcp(socket),
                    // The peer gave up already, or descriptors ran out: both pass.
                    Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
                },
                Self::Pipe(pipes) => match pipes.recv().await {
                    Some(pipe) => return Socket::Pipe(pipe),
                    None => std::future::pending().await,
                },
            }
        }
    }
}

/// The next connection; none while there is no listener.
pub(super) async fn accept(listener: Option<&mut Listener>) -> Socket {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

impl Socket {
    /// Both directions, to be used at the same time.
    pub(super) fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        match self {
            Self::Tcp(socket) => {
                let (read, write) = socket.split();
                (ReadHalf::Tcp(read), WriteHalf::Tcp(write))
            }
            Self::Pipe(pipe) => (ReadHalf::Pipe(pipe), WriteHalf::Pipe(pipe)),
        }
    }

    /// Small frames must not wait for one another.
    pub(super) fn send_at_once(&self) {
        if let Self::Tcp(socket) = self {
            // Where the option cannot be set, they wait.
            drop(socket.set_nodelay(true));
        }
    }

    /// Ends the connection with RST instead of FIN.
    pub(super) fn reset(self) {
        match self {
            // Where the option cannot be set, the plain end is the next best.
            Self::Tcp(socket) => drop(socket.set_zero_linger()),
            Self::Pipe(pipe) => pipe.reset(),
        }
    }
}

/// What the peer sends.
#[derive(Debug)]
pub(super) enum ReadHalf<'a> {
    Tcp(tcp::ReadHalf<'a>),
    Pipe(&'a Pipe),
}

/// What the peer gets.
#[derive(Debug)]
pub(super) enum WriteHalf<'a> {
    Tcp(tcp::WriteHalf<'a>),
    Pipe(&'a Pipe),
}

impl WriteHalf<'_> {
    /// A second handle of a real socket, on which nothing waits.
    pub(super) fn duplicate(&self) -> Option<std::net::TcpStream> {
        match self {
            Self::Tcp(half) => socket2::SockRef::from(half.as_ref()).try_clone().ok().map(Into::into),
            Self::Pipe(_) => None,
        }
    }
}

/// Asks whichever of the two it is.
macro_rules! either {
    ($socket:ident.$($call:tt)*) => {
        match $socket.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).$($call)*,
            Self::Pipe(pipe) => Pin::new(pipe).$($call)*,
        }
    };
}

impl AsyncRead for ReadHalf<'_> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self.poll_read(cx, into))
    }
}

impl AsyncWrite for WriteHalf<'_> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.poll_shutdown(cx))
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self.poll_read(cx, into))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.poll_shutdown(cx))
    }
}
