//! A market at its own pace: a thread that makes trades ahead of time and writes each event at its own microsecond,
//! with one call for each connection that carries it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::connection::Shared;
use super::hub::Hub;
use super::ledger::Ledger;
use super::market::{MAX_LATENCY_MS, MarketModel};
use super::pace::Pace;
use super::pen::{End, Pen};
use super::wire;
use crate::clock::Clock;
use crate::metrics::Histogram;
use crate::trade::AggTrade;
use crate::units::UnixMillis;

/// Trades are made so long before they happen, and so many events: a surge finds them made.
const AHEAD: Duration = Duration::from_millis(40);
const EVENTS_AHEAD: usize = 4_096;
/// Nothing is made so shortly before a moment: writing must not wait for it.
const MAKING: Duration = Duration::from_micros(15);
/// A longer pause than this is slept through, up to so long before its end.
const SPIN: Duration = Duration::from_micros(120);
/// With more than this waiting for a socket, everybody waits for its reader.
const MOST_WAITING: usize = 256 * 1024;
/// How long to wait before asking such a socket again.
const AGAIN: Duration = Duration::from_micros(50);
/// Counters are brought up to date after so many events, because telling costs as much as one.
const EVENTS_PER_COUNT: u64 = 128;
/// Stands where the time of the writing goes: it has as many digits as that, and no more than a client reads at full speed.
const STAMP: i64 = 100_000_000_000_000_000;

const GO: u8 = 0;
const PAUSE: u8 = 1;
const BREAK_OFF: u8 = 2;

/// What a busy market works with.
pub(super) struct Busy {
    pub(super) market: MarketModel,
    pub(super) pace: Pace,
    pub(super) shared: Shared,
    pub(super) ledger: Ledger,
    pub(super) hub: Hub,
    /// Trades happen by the exchange's clock.
    pub(super) steered: bool,
    /// Trades left to make.
    pub(super) left: u64,
}

/// The thread. Dropped, it ends at once.
pub(super) struct Running {
    order: Arc<AtomicU8>,
    over: oneshot::Receiver<Busy>,
    thread: Option<JoinHandle<()>>,
}

impl Busy {
    /// Begins to trade, on a thread of its own.
    pub(super) fn start(self) -> std::io::Result<Running> {
        let order = Arc::<AtomicU8>::default();
        let (done, over) = oneshot::channel();
        let orders = Arc::clone(&order);
        let trading = move || {
            // Whoever waited for it may be gone.
            drop(done.send(Floor::new(self, &orders).trade()));
        };
        let thread = std::thread::Builder::new().name("market".into()).spawn(trading)?;
        Ok(Running { order, over, thread: Some(thread) })
    }
}

impl Running {
    /// Waits until all trades are made and written.
    ///
    /// # Cancel safety
    /// Safe: the market goes on.
    pub(super) async fn over(&mut self) -> Busy {
        match (&mut self.over).await {
            Ok(busy) => {
                self.join();
                busy
            }
            Err(_) => {
                self.join();
                unreachable!(
                    "the thread gives the market back unless it panics, and then joining it does too"
                )
            }
        }
    }

    /// Ends it after what is made already.
    pub(super) fn pause(&self) {
        self.order.fetch_max(PAUSE, Ordering::Relaxed);
    }

    fn join(&mut self) {
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.order.store(BREAK_OFF, Ordering::Relaxed);
        // It looks at the order every few microseconds. A panic of it while another unwinds would abort.
        if std::thread::panicking() {
            drop(self.thread.take().map(JoinHandle::join));
        } else {
            self.join();
        }
    }
}

/// Trades of one symbol at one moment, ready to be written.
#[derive(Default)]
struct Event {
    at: Duration,
    trades: Vec<(usize, AggTrade)>,
    json: Vec<u8>,
    ends: Vec<End>,
    /// Where the time of the writing goes.
    stamps: Vec<usize>,
}

/// The thread's own.
struct Floor<'a> {
    busy: Busy,
    order: &'a AtomicU8,
    begun: Instant,
    /// What the exchange's clock showed then.
    begun_at: UnixMillis,
    ahead: VecDeque<Event>,
    /// Room that is used again.
    spare: Vec<Event>,
    lines: Vec<Arc<Pen>>,
    /// As which the register was when `lines` was taken from it.
    lines_of: u64,
    clock: Clock,
    uncounted: Uncounted,
    /// How long writing the stamped events took, in nanoseconds.
    writing: Histogram,
}

#[derive(Default)]
struct Uncounted {
    events: u64,
    frames: u64,
    bytes: u64,
    latest: Duration,
}

impl<'a> Floor<'a> {
    fn new(busy: Busy, order: &'a AtomicU8) -> Self {
        let begun_at = busy.shared.clock.now();
        let lines_of = busy.hub.version();
        Self {
            order,
            begun: Instant::now(),
            begun_at,
            ahead: VecDeque::new(),
            spare: Vec::new(),
            lines: busy.hub.pens(),
            lines_of,
            clock: Clock::system(),
            uncounted: Uncounted::default(),
            writing: Histogram::default(),
            busy,
        }
    }

    fn trade(mut self) -> Busy {
        loop {
            let order = self.order.load(Ordering::Relaxed);
            if order == BREAK_OFF {
                break;
            }
            let is_making = order == GO && self.busy.left > 0 && !self.busy.market.is_idle();
            let now = self.begun.elapsed();
            let pause = self.ahead.front().map(|event| event.at.saturating_sub(now));
            match pause {
                Some(Duration::ZERO) => self.write(now),
                None if is_making => self.make(),
                None if order == GO && self.busy.left > 0 => self.rest(AHEAD),
                None => break,
                Some(pause) if is_making && pause > MAKING && self.has_room(now) => self.make(),
                Some(pause) if pause > SPIN => self.rest(pause - SPIN),
                Some(_) => std::hint::spin_loop(),
            }
        }
        self.count();
        if let Some(median) = self.writing.quantile(0.5) {
            let median = Duration::from_nanos(median as u64);
            self.busy.shared.counters.count(|stats| stats.median_write = median);
        }
        self.drain();
        self.busy
    }

    fn has_room(&self, now: Duration) -> bool {
        let latest = self.ahead.back().map_or(Duration::ZERO, |event| event.at);
        self.ahead.len() < EVENTS_AHEAD && latest < now + AHEAD
    }

    /// Makes the next event.
    fn make(&mut self) {
        let Busy { market, pace, shared, steered, left, .. } = &mut self.busy;
        let moment = pace.next();
        let mut event = self.spare.pop().unwrap_or_default();
        event.at = moment.at;
        if *steered {
            let ms = i64::try_from(moment.at.as_millis()).unwrap_or(i64::MAX);
            market.advance_to(UnixMillis(self.begun_at.0.saturating_add(ms) - MAX_LATENCY_MS));
        }
        let trades = u64::from(moment.trades).min(*left);
        *left -= trades;
        let first = market.trade();
        event.trades.push(first);
        for _ in 1..trades {
            event.trades.push((first.0, market.trade_of(first.0)));
        }
        let listings = shared.listings.read();
        for (index, trade) in &event.trades {
            let stamped = AggTrade { first_trade_id: STAMP, last_trade_id: STAMP, ..*trade };
            let shown = if shared.rules.stamps { &stamped } else { trade };
            let start = event.json.len();
            wire::push_event(&mut event.json, shared.rules.market, &listings[*index].listing, shown);
            event.ends.push((*index, event.json.len()));
            if shared.rules.stamps {
                event.stamps.extend(places_of_stamps(&event.json[start..]).map(|at| start + at));
            }
        }
        drop(listings);
        self.ahead.push_back(event);
    }

    /// Writes the event that is due.
    fn write(&mut self, now: Duration) {
        let Some(mut event) = self.ahead.pop_front() else { return };
        let Busy { hub, ledger, .. } = &self.busy;
        if hub.version() != self.lines_of {
            self.lines_of = hub.version();
            self.lines = hub.pens();
        }
        let is_stamped = !event.stamps.is_empty();
        let begun = Instant::now();
        if is_stamped {
            let mut digits = itoa::Buffer::new();
            let digits = digits.format(STAMP + self.clock.now().wall_ns.rem_euclid(STAMP)).as_bytes();
            for at in event.stamps.drain(..) {
                event.json[at..at + digits.len()].copy_from_slice(digits);
            }
        }
        let (mut is_sent, mut is_stuck) = (false, false);
        for line in &self.lines {
            let wrote = line.write_trades(&event.json, &event.ends);
            is_sent |= wrote.frames > 0;
            is_stuck |= wrote.waiting > MOST_WAITING;
            self.uncounted.frames += wrote.frames;
            self.uncounted.bytes += wrote.bytes;
        }
        if is_stamped {
            self.writing.record(begun.elapsed().as_nanos() as i64, 1);
        }
        ledger.record(&event.trades, is_sent);
        self.uncounted.events += 1;
        self.uncounted.latest = self.uncounted.latest.max(now.saturating_sub(event.at));
        event.trades.clear();
        event.json.clear();
        event.ends.clear();
        self.spare.push(event);
        if self.uncounted.events >= EVENTS_PER_COUNT {
            self.count();
        }
        if is_stuck {
            self.drain();
        }
    }

    /// Waits until every socket has taken what was written; one that is gone takes nothing.
    fn drain(&mut self) {
        while self.order.load(Ordering::Relaxed) != BREAK_OFF {
            // A refreshed list lets go of those that left.
            if self.busy.hub.version() != self.lines_of {
                self.lines_of = self.busy.hub.version();
                self.lines = self.busy.hub.pens();
            }
            if self.lines.iter().all(|line| line.flush().unwrap_or(0) == 0) {
                return;
            }
            std::thread::park_timeout(AGAIN);
        }
    }

    /// Nothing to do for a while but what sockets have not taken.
    fn rest(&mut self, pause: Duration) {
        self.count();
        let waiting = self.lines.iter().filter(|line| line.flush().unwrap_or(0) > 0).count();
        std::thread::park_timeout(if waiting > 0 { AGAIN } else { pause });
    }

    fn count(&mut self) {
        let Uncounted { events, frames, bytes, latest } = std::mem::take(&mut self.uncounted);
        if events > 0 {
            self.busy.shared.counters.count(|stats| {
                stats.frames_sent += frames;
                stats.bytes_sent += bytes;
                stats.latest_write = stats.latest_write.max(latest);
            });
        }
    }
}

/// Where [`STAMP`] stands in an event.
fn places_of_stamps(json: &[u8]) -> impl Iterator<Item = usize> {
    let stamp = b":100000000000000000,";
    json.windows(stamp.len()).enumerate().filter(move |(_, window)| *window == stamp).map(|(at, _)| at + 1)
}
