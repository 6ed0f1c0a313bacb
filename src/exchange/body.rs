//! The body of an HTTP answer, which may be slow, break off or stop.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// Between two pieces of a slow body.
const BREATH: Duration = Duration::from_millis(100);

/// A body of known length, whatever becomes of it.
pub(super) struct Page {
    rest: Bytes,
    /// What is announced and not sent yet.
    left: u64,
    end: End,
    flushed: bool,
    pace: Option<Pace>,
    /// Dropped with the body.
    _until_over: Option<Box<dyn Send + Sync>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    Cut,
    Stall,
}

struct Pace {
    piece: usize,
    breath: Pin<Box<Sleep>>,
}

impl Page {
    pub(super) fn whole(body: impl Into<Bytes>) -> Self {
        let rest = body.into();
        let left = rest.len() as u64;
        Self { rest, left, end: End::Whole, flushed: false, pace: None, _until_over: None }
    }

    /// The connection is cut after so many bytes.
    pub(super) fn cut_after(self, bytes: usize) -> Self {
        self.ends_after(bytes, End::Cut)
    }

    /// Nothing comes after so many bytes, and the connection stays.
    pub(super) fn stalls_after(self, bytes: usize) -> Self {
        self.ends_after(bytes, End::Stall)
    }

    fn ends_after(mut self, bytes: usize, end: End) -> Self {
        if bytes < self.rest.len() {
            self.rest.truncate(bytes);
            self.end = end;
        }
        self
    }

    /// Comes at so many bytes per second.
    pub(super) fn paced(mut self, per_second: u32) -> Self {
        let piece = (per_second / 10).max(1) as usize;
        self.pace = Some(Pace { piece, breath: Box::pin(sleep(BREATH)) });
        self
    }

    /// Keeps something until it is over.
    pub(super) fn keeping(mut self, until_over: impl Send + Sync + 'static) -> Self {
        self._until_over = Some(Box::new(until_over));
        self
    }
}

impl Body for Page {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if !self.rest.is_empty() {
            let mut piece = self.rest.len();
            if let Some(pace) = &mut self.pace {
                ready!(pace.breath.as_mut().poll(context));
                pace.breath = Box::pin(sleep(BREATH));
                piece = piece.min(pace.piece);
            }
            let bytes = self.rest.split_to(piece);
            self.left = self.left.saturating_sub(bytes.len() as u64);
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        match self.end {
            End::Whole => Poll::Ready(None),
            End::Stall => Poll::Pending,
            End::Cut if !self.flushed => {
                // One breath for hyper to flush the half: an error would throw it away.
                self.flushed = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            End::Cut => Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::ConnectionReset)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.end == End::Whole
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
