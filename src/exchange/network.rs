//! The way to the exchange as a client's [`Network`]: the system's loopback, or pipes within the process.

use std::io;
use std::sync::{Mutex, MutexGuard};

use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::pipe::Pipe;
use crate::feed::{ByteStream, ConnectError, Destination, Dialing, Network};

/// Connections that wait to be accepted.
const BACKLOG: usize = 1_024;

/// A network within the process: who dials a port at which nobody listens is refused, as TCP would.
#[derive(Debug, Default)]
pub(super) struct PipeNetwork {
    listening: Mutex<Vec<(u16, mpsc::Sender<Pipe>)>>,
}

impl PipeNetwork {
    /// Listens on a port, until what it gives is dropped.
    pub(super) fn listen(&self, port: u16) -> mpsc::Receiver<Pipe> {
        let (pipes, accepted) = mpsc::channel(BACKLOG);
        let mut listening = self.lock();
        listening.retain(|(other, _)| *other != port);
        listening.push((port, pipes));
        accepted
    }

    fn connect(&self, port: u16) -> Result<Pipe, io::ErrorKind> {
        let listening = self.lock();
        let known = listening.iter().find(|(known, _)| *known == port);
        let (_, pipes) = known.ok_or(io::ErrorKind::ConnectionRefused)?;
        let (ours, theirs) = Pipe::pair();
        pipes.try_send(theirs).map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(ours)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(u16, mpsc::Sender<Pipe>)>> {
        self.listening.lock().expect("no thread panics with the list in hand, because nothing in it can")
    }
}

impl Network for PipeNetwork {
    /// `tls` is taken for granted: nobody else can listen.
    fn dial<'a>(&'a self, to: Destination<'a>) -> Dialing<'a> {
        let Destination { host, port, .. } = to;
        let connected = self.connect(port).map(|pipe| Box::new(pipe) as Box<dyn ByteStream>);
        Box::pin(std::future::ready(connected.map_err(|kind| refused(host, port, kind.into()))))
    }
}

/// The system's loopback, without TLS.
#[derive(Debug)]
pub(super) struct Loopback;

impl Network for Loopback {
    fn dial<'a>(&'a self, to: Destination<'a>) -> Dialing<'a> {
        Box::pin(async move {
            let Destination { host, port, .. } = to;
            let connected = TcpStream::connect((host, port)).await;
            let socket = connected.map_err(|cause| refused(host, port, cause))?;
            Ok(Box::new(socket) as Box<dyn ByteStream>)
        })
    }
}

fn refused(host: &str, port: u16, cause: io::Error) -> ConnectError {
    ConnectError::Tcp { address: format!("{host}:{port}"), cause }
}
