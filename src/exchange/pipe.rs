//! A byte stream within the process that behaves like a TCP connection: what was written before the end arrives, a
//! reset takes away what was not read yet, and an end that is merely held open says nothing for ever.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes under way in one direction: what the buffers of two sockets would hold.
const CAPACITY: usize = 64 * 1024;

/// One end of a pipe. Dropped, it hangs up: what it has written still arrives.
#[derive(Debug)]
pub(super) struct Pipe {
    between: Arc<Mutex<Between>>,
    side: usize,
}

#[derive(Debug, Default)]
struct Between {
    /// `ways[side]` is what the end of that side writes.
    ways: [Way; 2],
    reset: bool,
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    bytes: VecDeque<u8>,
    /// The writer has no more.
    finished: bool,
    /// Nobody will read any more.
    deaf: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    /// Both ends of a new pipe.
    pub(super) fn pair() -> (Self, Self) {
        let between = Arc::<Mutex<Between>>::default();
        (Self { between: Arc::clone(&between), side: 0 }, Self { between, side: 1 })
    }

    /// Ends both directions at once; what is under way is lost, and the other end hears of it.
    pub(super) fn reset(self) {
        let mut between = self.lock();
        between.reset = true;
        for way in &mut between.ways {
            way.bytes.clear();
        }
        wake_all(between);
    }

    fn lock(&self) -> MutexGuard<'_, Between> {
        self.between.lock().expect("no thread panics with the pipe in hand, because nothing in it can")
    }
}

/// By reference, because both directions are used at the same time.
impl AsyncRead for &Pipe {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut between = self.lock();
        if between.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let way = &mut between.ways[1 - self.side];
        if way.bytes.is_empty() && !way.finished {
            way.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let (head, _) = way.bytes.as_slices();
        let taken = head.len().min(into.remaining());
        into.put_slice(&head[..taken]);
        way.bytes.drain(..taken);
        let writer = way.writer.take();
        wake(between, [writer]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for &Pipe {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut between = self.lock();
        if between.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let way = &mut between.ways[self.side];
        if way.finished || way.deaf {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let taken = bytes.len().min(CAPACITY - way.bytes.len());
        if taken == 0 && !bytes.is_empty() {
            way.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        way.bytes.extend(&bytes[..taken]);
        let reader = way.reader.take();
        wake(between, [reader]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut between = self.lock();
        let way = &mut between.ways[self.side];
        way.finished = true;
        let reader = way.reader.take();
        wake(between, [reader]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_read(cx, into)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut &*self).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut &*self).poll_shutdown(cx)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let mut between = self.lock();
        between.ways[self.side].finished = true;
        let incoming = &mut between.ways[1 - self.side];
        incoming.deaf = true;
        incoming.bytes.clear();
        wake_all(between);
    }
}

fn wake_all(mut between: MutexGuard<'_, Between>) {
    let [first, second] = &mut between.ways;
    let wakers = [first.reader.take(), first.writer.take(), second.reader.take(), second.writer.take()];
    wake(between, wakers);
}

/// Wakes whoever waits, once nothing is locked any more.
fn wake<const N: usize>(between: MutexGuard<'_, Between>, wakers: [Option<Waker>; N]) {
    drop(between);
    wakers.into_iter().flatten().for_each(Waker::wake);
}
