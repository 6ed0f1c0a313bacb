//! One connection of the practice exchange: reads what the client sends, writes what the director cues.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::clock::ExchangeClock;
use super::control::Subscriptions;
use super::hub::{Batch, Cue, Entry};
use super::listings::{Entry as Listed, Listings};
use super::market::Listing;
use super::misanswer::{Misanswer, Misanswers};
use super::route::Route;
use super::rules::Rules;
use super::server::turned;
use super::socket::{ReadHalf, Socket, WriteHalf};
use super::stats::Counters;
use super::wire::{self, ClientFrame};

/// How long a closed connection waits for the client's side of the farewell.
const FAREWELL: Duration = Duration::from_secs(2);
/// With more than this unwritten, a client that does not read its answers is not listened to.
const MAX_OUT: usize = 1024 * 1024;
/// How long until a socket that took nothing is asked again.
const AGAIN: Duration = Duration::from_millis(1);
/// How often a dripping connection writes, unless that were less than a byte.
const DRIP: Duration = Duration::from_millis(20);

/// What every connection shares.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) listings: Listings,
    pub(super) rules: Rules,
    pub(super) counters: Counters,
    pub(super) clock: ExchangeClock,
    pub(super) misanswers: Misanswers,
}

/// How a connection ended on our side.
enum End {
    /// Close our half, let the rest arrive.
    Fin,
    Reset,
    /// Keep the socket and do nothing with it.
    HalfOpen,
}

/// Serves a connection after its handshake, until it ends or `stop` turns.
pub(super) async fn serve(
    mut socket: Socket,
    shared: Shared,
    route: Route,
    entry: Entry,
    cues: mpsc::Receiver<Cue>,
    mute: bool,
    mut stop: watch::Receiver<bool>,
) {
    let (read, write) = socket.split();
    let mut connection = Connection::new(&shared, &route, entry, mute);
    let end = tokio::select! {
        biased;
        end = connection.run(read, write, cues) => end.unwrap_or(End::Reset),
        () = turned(&mut stop) => return,
    };
    // Leaves the register first, so that nobody waits for a connection in its last moments.
    drop(connection);
    match end {
        End::Fin => {
            let farewell = async {
                if socket.shutdown().await.is_ok() {
                    let mut rest = [0; 1024];
                    while matches!(socket.read(&mut rest).await, Ok(1..)) {}
                }
            };
            tokio::select! {
                biased;
                _ = tokio::time::timeout(FAREWELL, farewell) => {}
                () = turned(&mut stop) => {}
            }
        }
        End::Reset => socket.reset(),
        End::HalfOpen => turned(&mut stop).await,
    }
}

struct Connection<'a> {
    shared: &'a Shared,
    delivers: bool,
    mute: bool,
    entry: Entry,
    subscriptions: Subscriptions,
    /// Everything goes out by the entry's pen, which the market's thread writes with as well.
    is_lent: bool,
    /// The pen has bytes that the socket would not take.
    is_waiting: bool,
    out: Vec<u8>,
    written: usize,
    frames_in_out: u64,
    /// Bytes per second while dripping, and when the next may go.
    drip: Option<(u32, Instant)>,
    next_ping: Option<Instant>,
    ping_in_flight: Option<PingInFlight>,
    recent_messages: VecDeque<Instant>,
    /// Answers to control messages that wait for their time, in the order of the messages.
    late_answers: VecDeque<(Instant, String)>,
    /// The farewell has been written or is on its way; after this moment nobody waits any more.
    closing: Option<Instant>,
    peer_closed: bool,
    half_open: bool,
}

struct PingInFlight {
    payload: Vec<u8>,
    /// Runs from the moment the ping is in the socket.
    deadline: Option<Instant>,
}

impl<'a> Connection<'a> {
    fn new(shared: &'a Shared, route: &Route, entry: Entry, mute: bool) -> Self {
        let mut connection = Self {
            shared,
            delivers: route.delivers,
            mute,
            entry,
            subscriptions: Subscriptions::of(&route.streams, route.combined),
            is_lent: false,
            is_waiting: false,
            out: Vec::with_capacity(128 * 1024),
            written: 0,
            frames_in_out: 0,
            drip: None,
            next_ping: shared.rules.server_ping.map(|every| Instant::now() + every),
            ping_in_flight: None,
            recent_messages: VecDeque::new(),
            late_answers: VecDeque::new(),
            closing: None,
            peer_closed: false,
            half_open: false,
        };
        connection.resubscribe();
        connection
    }

    async fn run(
        &mut self,
        mut read: ReadHalf<'_>,
        mut write: WriteHalf<'_>,
        mut cues: mpsc::Receiver<Cue>,
    ) -> io::Result<End> {
        let end_of_life = self.shared.rules.connection_life.map(|life| Instant::now() + life);
        let mut inbox = Vec::with_capacity(4 * 1024);
        if self.entry.lends() {
            self.lend(&write);
        }
        loop {
            self.write_with_pen()?;
            let idle = self.written == self.out.len() && !self.is_waiting;
            if idle {
                self.all_written();
                if self.half_open {
                    return Ok(End::HalfOpen);
                }
                if self.peer_closed {
                    return Ok(End::Fin);
                }
            }
            let deadline = self.next_deadline(end_of_life);
            tokio::select! {
                biased;
                got = read.read_buf(&mut inbox), if self.out.len() < MAX_OUT => {
                    if got? == 0 {
                        return Ok(End::Fin);
                    }
                    while let Some(frame) = self.take(&mut inbox) {
                        self.receive(frame);
                    }
                }
                // Before the writing, which at full speed is always ready.
                () = at(deadline) => {
                    if let Some(end) = self.time_out(end_of_life) {
                        return Ok(end);
                    }
                }
                wrote = write_some(&mut write, &self.out[self.written..], self.drip), if !idle && !self.is_lent => {
                    let wrote = wrote?;
                    self.written += wrote;
                    if let Some((per_second, next)) = &mut self.drip {
                        *next = Instant::now() + Duration::from_secs(1) * wrote as u32 / *per_second;
                    }
                    self.shared.counters.count(|stats| stats.bytes_sent += wrote as u64);
                }
                () = tokio::time::sleep(AGAIN), if self.is_waiting => {}
                cue = cues.recv(), if idle && self.closing.is_none() => match cue {
                    Some(Cue::Lend) => self.lend(&write),
                    Some(cue) => if let Some(end) = self.play(cue) { return Ok(end) },
                    None => return Ok(End::Fin),
                },
            }
        }
    }

    /// Lets the market's thread write too, where there is a socket for that.
    fn lend(&mut self, write: &WriteHalf<'_>) {
        if let Some(socket) = write.duplicate() {
            self.entry.pen.lend(socket);
            self.is_lent = true;
        }
    }

    /// Writes what there is with the pen, if that is how it goes.
    fn write_with_pen(&mut self) -> io::Result<()> {
        if self.is_lent {
            let new = self.out.len() - self.written;
            self.is_waiting = self.entry.pen.write(&self.out[self.written..])? > 0;
            self.written = self.out.len();
            if new > 0 {
                self.shared.counters.count(|stats| stats.bytes_sent += new as u64);
            }
        }
        Ok(())
    }

    fn take(&mut self, inbox: &mut Vec<u8>) -> Option<ClientFrame> {
        match wire::take_frame(inbox) {
            Ok(frame) => frame,
            Err(reason) => {
                inbox.clear();
                self.violation(reason);
                self.close(1002, "protocol error");
                None
            }
        }
    }

    fn receive(&mut self, frame: ClientFrame) {
        if self.closing.is_some() && frame.opcode != wire::CLOSE {
            return;
        }
        match frame.opcode {
            wire::CLOSE => {
                self.shared.counters.count(|stats| stats.closes_received += 1);
                if self.closing.is_none() {
                    wire::push_frame(&mut self.out, wire::CLOSE, &frame.payload);
                }
                self.peer_closed = true;
                return;
            }
            wire::PING => {
                self.shared.counters.count(|stats| stats.pings_received += 1);
                wire::push_frame(&mut self.out, wire::PONG, &frame.payload);
            }
            wire::PONG => {
                let answers = self.ping_in_flight.as_ref().is_some_and(|ping| ping.payload == frame.payload);
                if answers {
                    self.ping_in_flight = None;
                }
                self.shared.counters.count(|stats| match answers {
                    true => stats.pongs_received += 1,
                    false => stats.stray_pongs += 1,
                });
            }
            wire::TEXT => self.receive_request(&frame.payload),
            _ => {
                self.violation("a message that is neither text nor control");
                self.close(1003, "text only");
            }
        }
        self.limit_messages();
    }

    fn receive_request(&mut self, text: &[u8]) {
        self.shared.counters.count(|stats| stats.requests_received += 1);
        let misanswer = self.shared.misanswers.next();
        match self.subscriptions.misanswer(text, self.shared.rules.error_shape, misanswer.as_ref()) {
            Some(answer) => {
                match misanswer {
                    Some(Misanswer::Ignore) => {}
                    Some(Misanswer::Late(by)) => self.late_answers.push_back((Instant::now() + by, answer)),
                    _ => wire::push_frame(&mut self.out, wire::TEXT, answer.as_bytes()),
                }
                self.resubscribe();
            }
            None => self.violation("a request of more than 4096 bytes, which the exchange never answers"),
        }
    }

    fn limit_messages(&mut self) {
        let limit = self.shared.rules.messages_per_second as usize;
        let now = Instant::now();
        while self.recent_messages.front().is_some_and(|&first| now - first >= Duration::from_secs(1)) {
            self.recent_messages.pop_front();
        }
        self.recent_messages.push_back(now);
        if self.recent_messages.len() > limit && self.closing.is_none() {
            self.violation(&format!("more than {limit} messages within a second"));
            self.close(1008, "Too many requests");
        }
    }

    /// Works the subscriptions out into what comes before each symbol's trades.
    fn resubscribe(&mut self) {
        let Subscriptions { streams, combined } = &self.subscriptions;
        let prefix = |listing: &Listing| {
            let stream = format!("{}@aggTrade", listing.symbol.stream_name());
            streams.contains(&stream).then(|| match combined {
                true => format!("{{\"stream\":\"{stream}\",\"data\":").into_bytes(),
                false => Vec::new(),
            })
        };
        let listed = |entry: &Listed| if entry.is_listed { prefix(&entry.listing) } else { None };
        self.entry.pen.carry(self.shared.listings.read().iter().map(listed).collect());
        self.entry.set_receiving(self.receives());
    }

    fn receives(&self) -> bool {
        self.delivers && !self.mute && self.closing.is_none() && self.entry.pen.carries_any()
    }

    /// Plays one cue; everything before it is written.
    fn play(&mut self, cue: Cue) -> Option<End> {
        let receives = self.receives();
        match cue {
            Cue::Trades(batch) => {
                if receives {
                    self.push_batch(&batch);
                }
            }
            Cue::Message(opcode, payload) => {
                if receives {
                    wire::push_frame(&mut self.out, opcode, &payload);
                    self.frames_in_out += 1;
                }
            }
            Cue::Raw(bytes) => self.out.extend_from_slice(&bytes),
            Cue::Mute => {
                self.mute = true;
                self.entry.set_receiving(false);
            }
            Cue::Slow(per_second) => {
                self.drip = (per_second > 0).then(|| (per_second, Instant::now()));
            }
            Cue::Close(code, reason) => self.close(code, &reason),
            Cue::Drop => return Some(End::Fin),
            Cue::Reset => return Some(End::Reset),
            Cue::HalfOpen => self.half_open = true,
            Cue::Mark(done) => mark(done),
            Cue::Relisted => self.resubscribe(),
            // Where there is a socket, `run` has done it.
            Cue::Lend => {}
        }
        None
    }

    fn push_batch(&mut self, batch: &Batch) {
        self.frames_in_out += self.entry.pen.frame(&mut self.out, &batch.json, &batch.ends);
    }

    fn all_written(&mut self) {
        if let Some(PingInFlight { deadline: deadline @ None, .. }) = &mut self.ping_in_flight {
            *deadline = Some(Instant::now() + self.shared.rules.pong_deadline);
        }
        if self.frames_in_out > 0 {
            self.shared.counters.count(|stats| stats.frames_sent += self.frames_in_out);
        }
        self.frames_in_out = 0;
        self.written = 0;
        self.out.clear();
    }

    fn next_deadline(&self, end_of_life: Option<Instant>) -> Option<Instant> {
        let pong = self.ping_in_flight.as_ref().and_then(|ping| ping.deadline);
        let ping = if self.closing.is_some() { None } else { self.next_ping };
        let answer = self.late_answers.iter().map(|(at, _)| *at).min();
        [ping, pong, answer, self.closing, end_of_life].into_iter().flatten().min()
    }

    /// Does whatever has come due.
    fn time_out(&mut self, end_of_life: Option<Instant>) -> Option<End> {
        let now = Instant::now();
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(end_of_life) || due(self.closing) {
            return Some(End::Fin);
        }
        if due(self.ping_in_flight.as_ref().and_then(|ping| ping.deadline)) {
            self.violation("no pong with the payload of the ping in time");
            self.ping_in_flight = None;
            self.next_ping = None;
            self.close(1008, "Pong timeout");
        }
        let out = &mut self.out;
        self.late_answers.retain(|(at, answer)| {
            let is_due = *at <= now;
            if is_due {
                wire::push_frame(out, wire::TEXT, answer.as_bytes());
            }
            !is_due
        });
        if due(self.next_ping) {
            self.next_ping = self.shared.rules.server_ping.map(|every| now + every);
            // While one is unanswered no other is sent, so that its deadline stands.
            if self.ping_in_flight.is_none() {
                let count = self.shared.counters.now().pings_sent + 1;
                let payload = format!("{}-{count}", self.entry.number).into_bytes();
                wire::push_frame(&mut self.out, wire::PING, &payload);
                self.ping_in_flight = Some(PingInFlight { payload, deadline: None });
                self.shared.counters.count(|stats| stats.pings_sent += 1);
            }
        }
        None
    }

    fn close(&mut self, code: u16, reason: &str) {
        if self.closing.is_none() {
            wire::push_close(&mut self.out, code, reason);
            self.closing = Some(Instant::now() + FAREWELL);
            self.entry.set_receiving(false);
        }
    }

    fn violation(&self, what: &str) {
        self.shared.counters.violation(format!("connection {}: {what}", self.entry.number));
    }
}

/// Writes what the socket takes, or a drop of it; cancel safe.
async fn write_some(
    write: &mut WriteHalf<'_>,
    bytes: &[u8],
    drip: Option<(u32, Instant)>,
) -> io::Result<usize> {
    let bytes = match drip {
        None => bytes,
        Some((per_second, next)) => {
            sleep_until(next).await;
            let drop = (per_second as usize * DRIP.as_millis() as usize / 1_000).max(1);
            &bytes[..drop.min(bytes.len())]
        }
    };
    write.write(bytes).await
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

/// Answers a mark; whether the director still waits for it is its own affair.
fn mark(done: oneshot::Sender<()>) {
    done.send(()).ok();
}
