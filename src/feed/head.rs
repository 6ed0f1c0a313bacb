//! A byte stream whose first read ends where the answer to a WebSocket handshake ends, so that the frames
//! behind it are still in the stream when the handshake is done.
//!
//! Why that matters: what the handshake has read too far becomes tungstenite's read buffer, and from then on
//! every buffer it makes is as small as that remainder (`BytesMut` keeps its first capacity). While frames
//! wait in the queue their buffer cannot be used again, so it makes many: measured, 100,000 reads of 2 KiB
//! for a million frames instead of 4,000 of 50 KiB.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[derive(Debug)]
pub(crate) struct HeadFirst<S> {
    inner: S,
    collecting: bool,
    /// Read from `inner` and not handed out yet.
    ahead: Vec<u8>,
    /// How much of `ahead` is the head.
    head: usize,
}

/// The handshake's own limit is 64 KiB; the exchange's heads have about 200 bytes.
const LONGEST_HEAD: usize = 64 * 1024;
const SWITCHING_PROTOCOLS: &[u8] = b"HTTP/1.1 101";

impl<S> HeadFirst<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, collecting: true, ahead: Vec::new(), head: 0 }
    }

    /// Hands out the head alone, then what came with it.
    fn hand_out(&mut self, into: &mut ReadBuf<'_>) {
        let until = if self.head > 0 { self.head } else { self.ahead.len() };
        let taken = until.min(into.remaining());
        into.put_slice(&self.ahead[..taken]);
        self.ahead.drain(..taken);
        self.head = self.head.saturating_sub(taken);
    }
}

impl<S: AsyncRead + Unpin> HeadFirst<S> {
    /// Reads until the head is complete, or cannot be one that frames follow: then all of it is handed out.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let known = self.ahead.len().min(SWITCHING_PROTOCOLS.len());
            if self.ahead[..known] != SWITCHING_PROTOCOLS[..known] || self.ahead.len() > LONGEST_HEAD {
                break;
            }
            if let Some(at) = self.ahead.windows(4).position(|four| four == b"\r\n\r\n") {
                self.head = at + 4;
                break;
            }
            let mut space = [0; 1024];
            let mut space = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut space))?;
            if space.filled().is_empty() {
                break;
            }
            self.ahead.extend_from_slice(space.filled());
        }
        self.collecting = false;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeadFirst<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.collecting {
            ready!(self.poll_head(cx))?;
        }
        if self.ahead.is_empty() {
            return Pin::new(&mut self.inner).poll_read(cx, into);
        }
        self.hand_out(into);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeadFirst<S> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const HEAD: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

    /// What single reads of at most `room` bytes hand out when the bytes arrive in these pieces.
    async fn reads(pieces: &[&[u8]], room: usize) -> Vec<Vec<u8>> {
        let (mut theirs, ours) = tokio::io::duplex(1 << 16);
        let mut stream = HeadFirst::new(ours);
        let mut out = Vec::new();
        let mut space = vec![0; room];
        let writing = async {
            for piece in pieces {
                theirs.write_all(piece).await.expect("the pipe is open");
                tokio::task::yield_now().await;
            }
            drop(theirs);
        };
        let reading = async {
            loop {
                match stream.read(&mut space).await.expect("the pipe does not fail") {
                    0 => break,
                    taken => out.push(space[..taken].to_vec()),
                }
            }
        };
        tokio::join!(writing, reading);
        out
    }

    #[tokio::test]
    async fn a_read_never_crosses_the_end_of_the_head_however_the_bytes_arrive() {
        let all = [HEAD, b"\x81\x02hi\r\n\r\n"].concat();
        for cut in 0..=all.len() {
            let (first, second) = all.split_at(cut);
            for room in [7, 4096] {
                let told = reads(&[first, second], room).await;
                assert_eq!(told.concat(), all);
                let mut so_far = 0;
                let ends = told.iter().map(|read| {
                    so_far += read.len();
                    so_far
                });
                assert!(ends.into_iter().any(|end| end == HEAD.len()), "cut at {cut}: {told:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_refusal_is_handed_out_with_its_body() {
        let refusal = b"HTTP/1.1 429 Too Many Requests\r\n\r\nslow down";
        assert_eq!(reads(&[refusal], 4096).await, [refusal.to_vec()]);
    }

    #[tokio::test]
    async fn a_head_that_breaks_off_is_handed_out_as_it_is() {
        assert_eq!(reads(&[&HEAD[..30]], 4096).await, [HEAD[..30].to_vec()]);
    }
}
