//! A stream whose reader has to take something now and then.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::counts::Counts;

/// Fails once its peer has taken nothing for too long.
#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    limit: Duration,
    /// When a write that waits fails.
    waiting: Option<Pin<Box<Sleep>>>,
    counts: Arc<Counts>,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S, limit: Duration, counts: Arc<Counts>) -> Self {
        Self { stream, limit, waiting: None, counts }
    }

    /// What became of a write, unless it has waited for too long.
    fn judge<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(waiting.as_mut().poll(cx));
        // Whoever asks again gets the same answer, without being counted again.
        waiting.as_mut().reset(Instant::now() + Duration::from_secs(86_400));
        self.counts.too_slow.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.judge(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_something_now_and_then_is_waited_for_and_whoever_takes_nothing_is_not() {
        let counts = Arc::new(Counts::default());
        let (ours, mut theirs) = duplex(1);
        let mut ours = Patient::new(ours, Duration::from_secs(10), Arc::clone(&counts));
        let writing = tokio::spawn(async move { ours.write_all(b"abcdef").await });
        for _ in 0..3 {
            sleep(Duration::from_secs(9)).await;
            theirs.read_u8().await.expect("the other end waits");
        }
        sleep(Duration::from_secs(11)).await;
        let error = writing.await.expect("it does not panic").expect_err("nobody reads on");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(counts.too_slow.load(Ordering::Relaxed), 1);
    }
}
