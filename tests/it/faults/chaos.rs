//! A network that treats what the exchange sends as real ones do: late, in pieces, and not always to the end.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use cvd_stream::exchange::Exchange;
use cvd_stream::feed::{ByteStream, ConnectError, Destination, Dialing, Network};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How bad it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    /// One connection in so many cannot be made; 0 for none.
    pub(crate) refuse_one_in: u32,
    /// Bytes after which a connection breaks, about; 0 for never.
    pub(crate) breaks_after: u64,
    /// One read in so many is late; 0 for none.
    pub(crate) late_one_in: u32,
    /// How late, in milliseconds, at most.
    pub(crate) late_ms: u64,
    /// Bytes that arrive at once, at most.
    pub(crate) chunk: usize,
}

/// What the weather did.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    pub(crate) refused: AtomicU64,
    pub(crate) resets: AtomicU64,
    pub(crate) hang_ups: AtomicU64,
    pub(crate) half_open: AtomicU64,
}

/// The network of a seed.
pub(crate) struct Chaos {
    behind: Arc<dyn Network>,
    rest_port: u16,
    weather: Weather,
    dice: Mutex<fastrand::Rng>,
    calm: Arc<AtomicBool>,
    damage: Arc<Damage>,
}

impl Chaos {
    /// Weather between a client and the exchange, until it is calm.
    pub(crate) fn new(
        exchange: &Exchange,
        weather: Weather,
        seed: u64,
        calm: Arc<AtomicBool>,
        damage: Arc<Damage>,
    ) -> Self {
        let (behind, rest_port) = (exchange.network(), exchange.rest_addr().port());
        Self { behind, rest_port, weather, dice: Mutex::new(fastrand::Rng::with_seed(seed)), calm, damage }
    }
}

impl Network for Chaos {
    fn dial<'a>(&'a self, to: Destination<'a>) -> Dialing<'a> {
        Box::pin(async move {
            let Destination { host, port, .. } = to;
            let mut dice = self.dice.lock().unwrap().fork();
            let is_calm = || self.calm.load(Ordering::Relaxed);
            if !is_calm() {
                sleep(Duration::from_millis(dice.u64(0..200))).await;
                if one_in(&mut dice, self.weather.refuse_one_in) {
                    self.damage.refused.fetch_add(1, Ordering::Relaxed);
                    let cause = io::ErrorKind::TimedOut.into();
                    return Err(ConnectError::Tcp { address: format!("{host}:{port}"), cause });
                }
            }
            let stream = self.behind.dial(to).await?;
            let asks = port == self.rest_port;
            let left = match self.weather.breaks_after {
                0 => u64::MAX,
                // A question has about 200 bytes.
                _ if asks => dice.u64(1..4_000),
                about => dice.u64(1..about * 2),
            };
            let (calm, damage) = (Arc::clone(&self.calm), Arc::clone(&self.damage));
            let line =
                Line { stream: State::Open(stream), weather: self.weather, dice, left, asks, late: None };
            Ok(Box::new(Weathered { line, calm, damage }) as Box<dyn ByteStream>)
        })
    }
}

fn one_in(dice: &mut fastrand::Rng, n: u32) -> bool {
    n > 0 && dice.u32(0..n) == 0
}

/// A connection under the weather.
struct Weathered {
    line: Line,
    calm: Arc<AtomicBool>,
    damage: Arc<Damage>,
}

struct Line {
    stream: State,
    weather: Weather,
    dice: fastrand::Rng,
    /// Bytes until it breaks.
    left: u64,
    /// Whether it breaks while it is written to rather than read from. That is for REST: who cannot read that he must
    /// wait cannot be blamed for not waiting. Answers that break off are up to the script.
    asks: bool,
    late: Option<Pin<Box<Sleep>>>,
}

enum State {
    Open(Box<dyn ByteStream>),
    Reset,
    HungUp,
    /// The other end believes that we are there.
    HalfOpen {
        _held: Box<dyn ByteStream>,
    },
}

impl Line {
    /// Shows what REST is asked and answers, if that is wanted.
    fn note(&self, way: &str, bytes: &[u8]) {
        if self.asks && std::env::var_os("FAULT_VERBOSE").is_some() {
            let text = String::from_utf8_lossy(bytes);
            let at = tokio::time::Instant::now();
            let line = text.lines().next().unwrap_or_default();
            if line.starts_with("GET") || line.starts_with("HTTP") {
                eprintln!(
                    "{at:?} {way} {}",
                    text.chars().take(300).collect::<String>().replace("\r\n", " | ")
                );
            }
        }
    }

    /// Whether it breaks after so many bytes more in a direction that counts or does not.
    fn is_over_after(&mut self, counts: bool, bytes: usize) -> bool {
        if counts {
            self.left = self.left.saturating_sub(bytes as u64);
        }
        self.left == 0
    }

    /// Breaks in one of three ways; what is under way is lost.
    fn break_off(&mut self, damage: &Damage) {
        let how = self.dice.u8(0..5);
        let (state, count) = match std::mem::replace(&mut self.stream, State::Reset) {
            State::Open(held) if how == 0 => (State::HalfOpen { _held: held }, &damage.half_open),
            _ if how <= 2 => (State::HungUp, &damage.hang_ups),
            _ => (State::Reset, &damage.resets),
        };
        self.stream = state;
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl AsyncRead for Weathered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { line, calm, damage } = &mut *self;
        let stream = match &mut line.stream {
            State::Open(stream) => stream,
            State::Reset => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            State::HungUp => return Poll::Ready(Ok(())),
            State::HalfOpen { .. } => return Poll::Pending,
        };
        if let Some(late) = &mut line.late {
            ready!(late.as_mut().poll(cx));
            line.late = None;
        }
        if calm.load(Ordering::Relaxed) {
            ready!(Pin::new(stream).poll_read(cx, into))?;
            line.note("<", into.filled());
            return Poll::Ready(Ok(()));
        }
        let mut space = [0; 4096];
        let most = line.weather.chunk.min(space.len()).min(into.remaining());
        // Decided anew at each attempt, which changes nothing: the number of attempts is the same each time.
        let until_the_end = if line.asks { most } else { usize::try_from(line.left).unwrap_or(most) };
        let wanted = line.dice.usize(1..=most).min(until_the_end.max(1));
        let mut piece = ReadBuf::new(&mut space[..wanted]);
        ready!(Pin::new(stream).poll_read(cx, &mut piece))?;
        into.put_slice(piece.filled());
        line.note("<", piece.filled());
        if line.is_over_after(!line.asks, piece.filled().len()) {
            line.break_off(damage);
        } else if !line.asks && one_in(&mut line.dice, line.weather.late_one_in) {
            // Not on the way from REST: here time only runs while somebody reads, and who is held up by his output
            // would find what a real socket has long received still under way.
            let pause = Duration::from_millis(line.dice.u64(0..=line.weather.late_ms));
            line.late = Some(Box::pin(sleep(pause)));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Weathered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { line, calm, damage } = &mut *self;
        // Before the bytes go: a question that breaks off is never asked.
        if matches!(line.stream, State::Open(_))
            && !calm.load(Ordering::Relaxed)
            && line.asks
            && line.is_over_after(true, bytes.len())
        {
            line.break_off(damage);
        }
        line.note(">", bytes);
        match &mut line.stream {
            State::Open(stream) => Pin::new(stream).poll_write(cx, bytes),
            State::Reset => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            State::HungUp => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            State::HalfOpen { .. } => Poll::Ready(Ok(bytes.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.line.stream {
            State::Open(stream) => Pin::new(stream).poll_flush(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.line.stream {
            State::Open(stream) => Pin::new(stream).poll_shutdown(cx),
            _ => Poll::Ready(Ok(())),
        }
    }
}
