//! A byte stream that remembers when bytes last came out of it, so that one clock read serves every frame
//! of a read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::snapshot::Stamp;

#[derive(Debug)]
pub(crate) struct Timed<S> {
    inner: S,
    clock: Clock,
    pub(crate) read_at: Stamp,
    pub(crate) read_instant: Instant,
}

impl<S> Timed<S> {
    pub(crate) fn new(inner: S, clock: Clock) -> Self {
        let read_instant = Instant::now();
        Self { inner, clock, read_at: clock.stamp(read_instant), read_instant }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.inner).poll_read(cx, into));
        self.read_instant = Instant::now();
        self.read_at = self.clock.stamp(self.read_instant);
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
