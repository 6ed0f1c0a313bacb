//! One connection from handshake to its end, over any byte stream.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Bytes, Message, Utf8Bytes};

use super::failure::{SessionEnd, Unreadable};
use super::liveness::{Due, Liveness, LivenessLimits};
use super::steering::Heard;
use super::timed::Timed;
use super::{FeedEvent, FeedObserver, Frame, LineId, SessionId};
use crate::decode::looks_like_trade;
use crate::queue::Sender;
use crate::text::escaped;

/// What a session was like, for the decision on what comes next.
#[derive(Debug)]
pub(crate) struct SessionReport {
    pub(crate) end: SessionEnd,
    /// From the first trade to the last.
    pub(crate) data_for: Duration,
}

/// Frames handed over before the processor gets its turn on the shared thread: half of the default queue.
const TURN: usize = 512;
/// How long a full queue may hold up reading, once, before frames are dropped instead: a hiccup of the
/// output is then met by the socket's own buffers, while a blocked output never stops pings and pongs.
const GRACE: Duration = Duration::from_millis(50);
const SEND_LIMIT: Duration = Duration::from_secs(5);
const GOODBYE_LIMIT: Duration = Duration::from_millis(300);

pub(crate) struct Session<'a, S> {
    pub(crate) socket: WebSocketStream<Timed<S>>,
    pub(crate) line: LineId,
    pub(crate) id: SessionId,
    pub(crate) limits: LivenessLimits,
    pub(crate) queue: &'a Sender,
    pub(crate) observer: &'a dyn FeedObserver,
    /// Stream names to ask for; empty when the URL named them.
    pub(crate) subscribe: &'a [String],
    /// How many times was asked, and when the next time is due.
    pub(crate) asked: u64,
    pub(crate) ask_at: Instant,
}

/// Streams in one request: its size stays below what the exchange takes.
const STREAMS_PER_REQUEST: usize = 100;
/// Requests are so far apart, because the exchange counts what it is sent: 5 messages a second on spot, pings included.
const ASK_EVERY: Duration = Duration::from_millis(400);

impl<S: AsyncRead + AsyncWrite + Unpin> Session<'_, S> {
    /// Reads until the connection ends, dies, is told to or `stop` turns true.
    pub(crate) async fn run(mut self, stop: &mut watch::Receiver<bool>, heard: &mut Heard) -> SessionReport {
        let started = Instant::now();
        let mut life = Liveness::new(self.limits, started);
        let mut flow = Flow::default();
        let end = self.read(&mut life, &mut flow, stop, heard).await;
        match (end.unreadable(), &end) {
            (Some(reason), _) => {
                self.observer.on_event(FeedEvent::Unreadable { reason });
                self.say_goodbye(Some(complaint(reason))).await;
            }
            (None, SessionEnd::Broken(_)) => {}
            (None, SessionEnd::Replaced | SessionEnd::Stopped) => self.part_in_peace().await,
            (None, _) => self.say_goodbye(None).await,
        }
        SessionReport { end, data_for: flow.span() }
    }

    async fn read(
        &mut self,
        life: &mut Liveness,
        flow: &mut Flow,
        stop: &mut watch::Receiver<bool>,
        heard: &mut Heard,
    ) -> SessionEnd {
        if let Err(error) = self.ask().await {
            return broken(error);
        }
        let alarm = sleep_until(self.due(life));
        tokio::pin!(alarm);
        loop {
            tokio::select! {
                biased;
                turn = poll_fn(|cx| self.poll_turn(cx, life, flow)) => {
                    match turn {
                        Turn::Over => {}
                        Turn::Message(Some(Ok(Message::Binary(bytes)))) => self.binary(&bytes),
                        Turn::Message(Some(Ok(Message::Close(frame)))) => return closed(frame),
                        // Pings are answered by the library; the answer goes out with the next read.
                        Turn::Message(Some(Ok(_))) => {}
                        Turn::Message(Some(Err(error))) => return broken(error),
                        Turn::Message(None) => return closed(None),
                    }
                    if flow.turn_is_over() {
                        flow.give_turn(self.queue).await;
                        // At full speed the socket is always ready, and `select` never looks any further.
                        if *stop.borrow() {
                            return SessionEnd::Stopped;
                        }
                        if heard.has_come()
                            && let Some(end) = heed(heard, life)
                        {
                            return end;
                        }
                        if self.due(life) <= self.socket.get_ref().read_instant
                            && let Some(end) = self.heed_alarm(life).await
                        {
                            return end;
                        }
                    }
                }
                () = &mut alarm => {
                    if let Some(end) = self.heed_alarm(life).await {
                        return end;
                    }
                    alarm.as_mut().reset(self.due(life));
                }
                () = stopped(stop) => return SessionEnd::Stopped,
                () = heard.comes() => {
                    if let Some(end) = heed(heard, life) {
                        return end;
                    }
                    alarm.as_mut().reset(self.due(life));
                }
            }
        }
    }

    /// Does what is due; `Some` if that is the end.
    async fn heed_alarm(&mut self, life: &mut Liveness) -> Option<SessionEnd> {
        let done = match life.check(Instant::now()) {
            Due::End(end) => return Some(end),
            Due::Ping => self.send(Message::Ping(Bytes::new())).await,
            Due::Nothing => self.ask().await,
        };
        done.err().map(broken)
    }

    /// When something has to be done, whether or not anything arrives.
    fn due(&self, life: &Liveness) -> Instant {
        match self.next_request() {
            Some(_) => life.deadline().min(self.ask_at),
            None => life.deadline(),
        }
    }

    /// Hands over text after text until something else comes or the turn is over. In one go, because a
    /// `select` for each frame costs as much as reading it.
    ///
    /// # Cancel safety
    /// Safe: a frame that was read is in the queue.
    fn poll_turn(&mut self, cx: &mut Context<'_>, life: &mut Liveness, flow: &mut Flow) -> Poll<Turn> {
        while !flow.turn_is_over() {
            let message = ready!(self.socket.poll_next_unpin(cx));
            flow.since_turn += 1;
            let at = self.socket.get_ref().read_instant;
            life.frame(at);
            let Some(Ok(Message::Text(text))) = message else {
                return Poll::Ready(Turn::Message(message));
            };
            if life.wants_data(at) && looks_like_trade(text.as_bytes()) {
                life.data(at);
                flow.data(at);
            }
            flow.half_full = self.hand_over(text, flow);
        }
        Poll::Ready(Turn::Over)
    }

    /// Queues a message; tells whether the queue is at least half full.
    fn hand_over(&self, text: Utf8Bytes, flow: &mut Flow) -> bool {
        flow.ordinal += 1;
        let received = Some(self.socket.get_ref().read_at);
        let frame = Frame { line: self.line, session: self.id, ordinal: flow.ordinal, received, text };
        self.queue.push(frame).half_full
    }

    fn binary(&self, bytes: &Bytes) {
        self.observer.on_event(FeedEvent::Binary { length: bytes.len(), sample: escaped(bytes) });
    }

    /// Asks for the next of the streams that the URL does not name, if it is time to.
    async fn ask(&mut self) -> Result<(), tungstenite::Error> {
        let now = Instant::now();
        let Some(streams) = self.next_request().filter(|_| now >= self.ask_at) else { return Ok(()) };
        let id = self.asked + 1;
        let request = serde_json::json!({ "method": "SUBSCRIBE", "params": streams, "id": id });
        (self.asked, self.ask_at) = (id, now + ASK_EVERY);
        self.send(Message::text(request.to_string())).await
    }

    fn next_request(&self) -> Option<&[String]> {
        let asked = usize::try_from(self.asked).unwrap_or(usize::MAX);
        self.subscribe.chunks(STREAMS_PER_REQUEST).nth(asked)
    }

    async fn send(&mut self, message: Message) -> Result<(), tungstenite::Error> {
        timeout(SEND_LIMIT, self.socket.send(message)).await.unwrap_or_else(|_elapsed| {
            let text = "the connection takes no more bytes";
            Err(tungstenite::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, text)))
        })
    }

    /// Says good-bye and reads on until it is answered: a socket that is closed with something unread in it is reset, and
    /// the peer may lose our last words.
    async fn part_in_peace(&mut self) {
        let parting = async {
            if self.socket.close(None).await.is_ok() {
                while let Some(Ok(message)) = self.socket.next().await
                    && !message.is_close()
                {}
            }
        };
        drop(timeout(GOODBYE_LIMIT, parting).await);
    }

    async fn say_goodbye(&mut self, words: Option<CloseFrame>) {
        // The session is over either way; a server that does not listen changes nothing.
        drop(timeout(GOODBYE_LIMIT, self.socket.close(words)).await);
    }
}

/// Does what was said; `Some` if that is to end.
fn heed(heard: &mut Heard, life: &mut Liveness) -> Option<SessionEnd> {
    let orders = heard.orders();
    if let Some(at) = orders.vouched {
        life.vouched(at);
    }
    orders.end.map(SessionEnd::from)
}

/// Ready when `stop` turns true, or nobody is left to turn it. It lets go of the value, which must not be
/// held while something else is awaited: the run could not be spawned then.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// Why [`Session::poll_turn`] is ready.
enum Turn {
    /// The processor should have its turn.
    Over,
    /// Something that is no text, or the end.
    Message(Option<Result<Message, tungstenite::Error>>),
}

/// What passed through a session.
#[derive(Debug, Default)]
struct Flow {
    ordinal: u64,
    since_turn: usize,
    /// The queue was, when the last frame was handed over.
    half_full: bool,
    grace_spent: bool,
    first_data: Option<Instant>,
    last_data: Option<Instant>,
}

impl Flow {
    fn turn_is_over(&self) -> bool {
        self.half_full || self.since_turn >= TURN
    }

    /// Lets the processor run, and waits for it a little if it is behind.
    async fn give_turn(&mut self, queue: &Sender) {
        self.since_turn = 0;
        if self.half_full && !self.grace_spent {
            self.grace_spent = timeout(GRACE, queue.emptied()).await.is_err();
        } else {
            tokio::task::yield_now().await;
        }
        self.half_full = false;
        self.grace_spent &= queue.is_half_full();
    }

    fn data(&mut self, at: Instant) {
        self.first_data = self.first_data.or(Some(at));
        self.last_data = Some(at);
    }

    fn span(&self) -> Duration {
        match (self.first_data, self.last_data) {
            (Some(first), Some(last)) => last.saturating_duration_since(first),
            _ => Duration::ZERO,
        }
    }
}

/// What the protocol wants to be said to a peer whose message cannot be read.
fn complaint(reason: Unreadable) -> CloseFrame {
    let code = match reason {
        Unreadable::NotUtf8 => CloseCode::Invalid,
        Unreadable::TooLong { .. } => CloseCode::Size,
    };
    CloseFrame { code, reason: Utf8Bytes::from_static("") }
}

fn closed(frame: Option<CloseFrame>) -> SessionEnd {
    match frame {
        None => SessionEnd::Closed { code: None, reason: String::new() },
        Some(frame) => {
            let reason = escaped(frame.reason.as_bytes());
            SessionEnd::Closed { code: Some(frame.code.into()), reason }
        }
    }
}

fn broken(error: tungstenite::Error) -> SessionEnd {
    use tungstenite::error::ProtocolError;
    match error {
        tungstenite::Error::ConnectionClosed
        | tungstenite::Error::AlreadyClosed
        | tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => closed(None),
        error => SessionEnd::Broken(Box::new(error)),
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "what a story says is bounded by the story")]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::feed::steering::Steering;
    use crate::queue::{QueueLimits, drop_oldest};
    use tokio::io::DuplexStream;
    use tokio_tungstenite::tungstenite::protocol::Role;

    const TRADE: &str =
        r#"{"e":"aggTrade","E":1,"s":"BTCUSDT","a":1,"p":"1","q":"1","f":1,"l":1,"T":1,"m":true}"#;

    type Server = WebSocketStream<DuplexStream>;

    /// Runs a session over an in-memory pipe against `server` on a paused clock; tells how it ended and
    /// after how many seconds.
    async fn session<F: Future<Output = ()> + Send + 'static>(
        server: impl FnOnce(Server) -> F,
    ) -> (SessionReport, u64, u64) {
        observed(server, &|_: FeedEvent<'_>| {}).await
    }

    async fn observed<F: Future<Output = ()> + Send + 'static>(
        server: impl FnOnce(Server) -> F,
        observer: &dyn FeedObserver,
    ) -> (SessionReport, u64, u64) {
        asking(server, observer, &[]).await
    }

    async fn asking<F: Future<Output = ()> + Send + 'static>(
        server: impl FnOnce(Server) -> F,
        observer: &dyn FeedObserver,
        subscribe: &[String],
    ) -> (SessionReport, u64, u64) {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let clock = Clock::simulated(0);
        let (queue, _receiver) = drop_oldest(QueueLimits::default(), clock);
        let (_stop, mut stopped) = watch::channel(false);
        let socket = WebSocketStream::from_raw_socket(Timed::new(ours, clock), Role::Client, None).await;
        let theirs = WebSocketStream::from_raw_socket(theirs, Role::Server, None).await;
        let mut playing = tokio::spawn(server(theirs));
        let started = Instant::now();
        let session = Session {
            socket,
            line: LineId(0),
            id: SessionId(1),
            limits: LivenessLimits::with_heartbeat(Duration::from_secs(60)),
            queue: &queue,
            observer,
            subscribe,
            asked: 0,
            ask_at: started,
        };
        let report = session.run(&mut stopped, &mut Steering::default().listen(SessionId(1))).await;
        let seconds = started.elapsed().as_secs();
        // It may still be hearing our last words.
        if timeout(Duration::from_secs(1), &mut playing).await.is_err() {
            playing.abort();
        }
        (report, seconds, queue.gauge().stats().pushed)
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_stops_reading_and_writing_is_a_dead_link_after_thirteen_seconds() {
        let (report, seconds, _) = session(|server| async move {
            let _held_open = server;
            std::future::pending::<()>().await;
        })
        .await;
        assert!(matches!(report.end, SessionEnd::DeadLink(_)), "{report:?}");
        assert_eq!(seconds, 13);
    }

    const FIVE_MINUTES: Duration = Duration::from_secs(300);

    #[tokio::test(start_paused = true)]
    async fn what_came_while_the_process_stood_still_is_read_before_anything_is_judged() {
        let (report, seconds, pushed) = session(|mut server| async move {
            for _ in 0..3 {
                server.send(Message::text(TRADE)).await.expect("the session reads");
            }
            tokio::time::advance(FIVE_MINUTES).await;
            server.close(None).await.expect("the session reads");
        })
        .await;
        assert!(matches!(report.end, SessionEnd::Closed { .. }), "{report:?}");
        assert_eq!((seconds, pushed), (300, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_peer_is_asked_before_it_is_judged_when_the_process_stood_still() {
        for answers in [true, false] {
            let (report, seconds, _) = session(move |mut server| async move {
                // Late enough that a ping is on its way.
                tokio::time::sleep(Duration::from_millis(5_001)).await;
                tokio::time::advance(FIVE_MINUTES).await;
                let listening = async { while server.next().await.is_some() {} };
                if answers {
                    drop(timeout(Duration::from_secs(30), listening).await);
                    server.close(None).await.expect("the session reads");
                }
                std::future::pending::<()>().await;
            })
            .await;
            match answers {
                true => {
                    assert!(matches!(report.end, SessionEnd::Closed { .. }), "{report:?}");
                    assert_eq!(seconds, 335);
                }
                false => {
                    assert!(matches!(report.end, SessionEnd::DeadLink(_)), "{report:?}");
                    assert!((306..=313).contains(&seconds), "{seconds}");
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_streams_are_asked_for_below_the_exchange_s_limit_while_trades_are_read() {
        let names: Vec<String> = (0..1_050).map(|number| format!("s{number}@aggTrade")).collect();
        let (told, mut requests) = tokio::sync::mpsc::unbounded_channel();
        let server = |mut server: Server| async move {
            let mut tick = tokio::time::interval(Duration::from_millis(100));
            let until = Instant::now() + Duration::from_secs(10);
            while Instant::now() < until {
                tokio::select! {
                    message = server.next() => match message {
                        Some(Ok(message)) => told.send((Instant::now(), message)).expect("the test listens"),
                        _ => return,
                    },
                    _ = tick.tick() => server.send(Message::text(TRADE)).await.expect("the session reads"),
                }
            }
        };
        let (_, _, pushed) = asking(server, &|_: FeedEvent<'_>| {}, &names).await;
        assert!(pushed >= 99, "{pushed}");
        let (mut asked, mut at) = (Vec::new(), Vec::new());
        while let Some((when, message)) = requests.recv().await {
            at.push(when);
            if let Message::Text(text) = message {
                let request: serde_json::Value = serde_json::from_str(&text).expect("a request is JSON");
                let params = request["params"].as_array().expect("a list of streams");
                asked.extend(params.iter().map(|name| name.as_str().expect("a name").to_owned()));
            }
        }
        assert_eq!(asked, names);
        for five in at.windows(5) {
            assert!(five[4] - five[0] > Duration::from_secs(1), "{at:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_answers_pings_but_sends_no_trade_is_left_after_the_heartbeat_timeout() {
        let (report, seconds, _) = session(|mut server| async move {
            // Reading is what answers pings.
            while server.next().await.is_some() {}
        })
        .await;
        assert!(matches!(report.end, SessionEnd::NoData(_)), "{report:?}");
        assert_eq!(seconds, 60);
    }

    #[tokio::test(start_paused = true)]
    async fn every_frame_reaches_the_queue_and_the_time_of_data_is_told() {
        let (report, _, pushed) = session(|mut server| async move {
            for _ in 0..90 {
                server.send(Message::text(TRADE)).await.expect("the session reads");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            server.close(None).await.expect("the session reads");
        })
        .await;
        assert!(matches!(report.end, SessionEnd::Closed { .. }), "{report:?}");
        assert_eq!(pushed, 90);
        assert!(report.data_for >= Duration::from_secs(87), "{report:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_ping_is_answered_with_its_payload_while_trades_flow() {
        let (sender, mut answers) = tokio::sync::mpsc::channel(1);
        let (_, _, pushed) = session(|mut server| async move {
            server.send(Message::text(TRADE)).await.expect("the session reads");
            server
                .send(Message::Ping(Bytes::from_static(b"1763690000000")))
                .await
                .expect("the session reads");
            while let Some(Ok(message)) = server.next().await {
                if let Message::Pong(payload) = message {
                    sender.send(payload).await.expect("the test listens");
                    break;
                }
            }
        })
        .await;
        assert_eq!(answers.recv().await.as_deref(), Some(&b"1763690000000"[..]));
        assert_eq!(pushed, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_close_frame_is_told_with_its_code_and_its_words_escaped() {
        let (report, ..) = session(|mut server| async move {
            let reason = "Too many\u{1b}[31m requests".into();
            let frame = CloseFrame { code: 1008.into(), reason };
            server.close(Some(frame)).await.expect("the session reads");
        })
        .await;
        assert_eq!(report.end.to_string(), "1008 Too many\\u{1b}[31m requests");
    }

    /// What is observed and what the server hears when it sends a message that cannot be read.
    async fn complained_of(raw: Vec<u8>) -> (Vec<Unreadable>, Option<CloseFrame>) {
        let (sender, mut heard) = tokio::sync::mpsc::channel(1);
        let seen = std::sync::Mutex::new(Vec::new());
        let observer = |event: FeedEvent<'_>| {
            if let FeedEvent::Unreadable { reason } = event {
                seen.lock().expect("nobody panics here").push(reason);
            }
        };
        let server = |mut server: Server| async move {
            use tokio::io::AsyncWriteExt;
            server.get_mut().write_all(&raw).await.expect("the session reads");
            while let Some(Ok(message)) = server.next().await {
                if let Message::Close(frame) = message {
                    sender.send(frame).await.expect("the test listens");
                }
            }
        };
        let (report, ..) = observed(server, &observer).await;
        assert!(matches!(report.end, SessionEnd::Broken(_)), "{report:?}");
        (seen.into_inner().expect("nobody panics here"), heard.recv().await.flatten())
    }

    #[tokio::test(start_paused = true)]
    async fn text_that_is_not_utf_8_is_told_and_answered_with_1007() {
        let (seen, heard) = complained_of(vec![0x81, 2, 0xff, 0xfe]).await;
        assert_eq!(seen, [Unreadable::NotUtf8]);
        assert_eq!(heard.map(|frame| u16::from(frame.code)), Some(1007));
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_is_too_long_is_told_and_answered_with_1009() {
        let (seen, heard) = complained_of(vec![0x81, 127, 0, 0, 1, 0, 0, 0, 0, 0]).await;
        assert!(matches!(seen[..], [Unreadable::TooLong { size: 0x100_0000_0000, .. }]), "{seen:?}");
        assert_eq!(heard.map(|frame| u16::from(frame.code)), Some(1009));
    }
}
