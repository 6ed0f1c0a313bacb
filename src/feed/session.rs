//! One connection from handshake to its end, over any byte stream.

mod control;
mod flow;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Bytes, Message, Utf8Bytes};

use super::failure::{SessionEnd, Unreadable};
use super::liveness::{Due, Liveness, LivenessLimits};
use super::steering::Heard;
use super::timed::Timed;
use super::{FeedEvent, FeedObserver, Frame, LineId, SessionId, ShardPlan};
use crate::decode::looks_like_trade;
use crate::doorbell::Doorbell;
use crate::queue::Sender;
use crate::text::escaped;

pub(crate) use control::Control;
use control::is_data;
use flow::Flow;

/// What a session was like, for the decision on what comes next.
#[derive(Debug)]
pub(crate) struct SessionReport {
    pub(crate) end: SessionEnd,
    /// From the first trade to the last.
    pub(crate) data_for: Duration,
}

const SEND_LIMIT: Duration = Duration::from_secs(5);
const GOODBYE_LIMIT: Duration = Duration::from_millis(300);

pub(crate) struct Session<'a, S> {
    pub(crate) socket: WebSocketStream<Timed<S>>,
    pub(crate) line: LineId,
    pub(crate) id: SessionId,
    pub(crate) limits: LivenessLimits,
    pub(crate) queue: &'a Sender,
    pub(crate) observer: &'a dyn FeedObserver,
    /// The streams it carries and should carry.
    pub(crate) control: Control<'a>,
}

/// What a session hears while it runs.
pub(crate) struct Ears<'a> {
    /// Turns true when everything ends.
    pub(crate) stop: &'a mut watch::Receiver<bool>,
    /// What is said to it alone.
    pub(crate) heard: &'a mut Heard,
    /// The streams its shard is to carry.
    pub(crate) plan: &'a mut watch::Receiver<Arc<ShardPlan>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<'_, S> {
    /// Reads until the connection ends, dies, is told to or `stop` turns true.
    pub(crate) async fn run(mut self, mut ears: Ears<'_>) -> SessionReport {
        let started = Instant::now();
        let mut life = Liveness::new(self.limits, started);
        let mut flow = Flow::default();
        let end = self.read(&mut life, &mut flow, &mut ears).await;
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

    async fn read(&mut self, life: &mut Liveness, flow: &mut Flow, ears: &mut Ears<'_>) -> SessionEnd {
        self.heed_plan(ears);
        if let Err(end) = self.ask().await {
            return end;
        }
        let alarm = sleep_until(self.due(life));
        tokio::pin!(alarm);
        let mut doorbell = Doorbell::default();
        loop {
            let next = {
                let aside = pin!(aside(alarm.as_mut(), ears));
                tokio::select! {
                    biased;
                    turn = poll_fn(|cx| self.poll_turn(cx, life, flow)) => Next::Turn(turn),
                    aside = doorbell.guard(aside) => Next::Aside(aside),
                }
            };
            match next {
                Next::Turn(turn) => {
                    match turn {
                        Turn::Over => {}
                        Turn::Answer(Ok(())) => {
                            ears.heard.subscribed(self.control.is_complete());
                            alarm.as_mut().reset(self.due(life));
                        }
                        Turn::Answer(Err(end)) => return end,
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
                        if let Some(end) = self.look_around(life, ears).await {
                            return end;
                        }
                    }
                }
                Next::Aside(aside) => {
                    let end = match aside {
                        Aside::Alarm => self.heed_alarm(life).await,
                        Aside::Orders => heed(ears.heard, life),
                        Aside::Plan => {
                            self.heed_plan(ears);
                            None
                        }
                        Aside::Stop => Some(SessionEnd::Stopped),
                    };
                    if let Some(end) = end {
                        return end;
                    }
                    alarm.as_mut().reset(self.due(life));
                }
            }
        }
    }

    /// Whatever was said or has come due while frame after frame was read; `Some` if that is the end.
    async fn look_around(&mut self, life: &mut Liveness, ears: &mut Ears<'_>) -> Option<SessionEnd> {
        if *ears.stop.borrow() {
            return Some(SessionEnd::Stopped);
        }
        if ears.heard.has_come()
            && let Some(end) = heed(ears.heard, life)
        {
            return Some(end);
        }
        if ears.plan.has_changed().unwrap_or(false) {
            self.heed_plan(ears);
        }
        if self.due(life) <= self.socket.get_ref().read_instant {
            return self.heed_alarm(life).await;
        }
        None
    }

    /// From now on it is to carry what the plan says.
    fn heed_plan(&mut self, ears: &mut Ears<'_>) {
        self.control.want(&ears.plan.borrow_and_update().streams, Instant::now());
        ears.heard.subscribed(self.control.is_complete());
    }

    /// Does what is due; `Some` if that is the end.
    async fn heed_alarm(&mut self, life: &mut Liveness) -> Option<SessionEnd> {
        match life.check(Instant::now()) {
            Due::End(end) => Some(end),
            Due::Ping => self.send(Message::Ping(Bytes::new())).await.err().map(broken),
            Due::Nothing => self.ask().await.err(),
        }
    }

    /// When something has to be done, whether or not anything arrives.
    fn due(&self, life: &Liveness) -> Instant {
        self.control.due().map_or(life.deadline(), |ask_at| ask_at.min(life.deadline()))
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
            if !is_data(text.as_bytes()) && self.control.expects(&text) {
                let heard = self.control.hear(&text, at);
                flow.half_full = self.hand_over(text, flow);
                return Poll::Ready(Turn::Answer(heard));
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

    /// Asks for what is to be asked for next, if it is time to.
    async fn ask(&mut self) -> Result<(), SessionEnd> {
        match self.control.next_request(Instant::now())? {
            Some(request) => self.send(Message::text(request)).await.map_err(broken),
            None => Ok(()),
        }
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

/// Waits for whatever else than a frame there is to wait for.
///
/// # Cancel safety
/// Safe: whoever waits again finds what has come meanwhile.
async fn aside(mut alarm: Pin<&mut Sleep>, ears: &mut Ears<'_>) -> Aside {
    tokio::select! {
        biased;
        () = alarm.as_mut() => Aside::Alarm,
        () = stopped(ears.stop) => Aside::Stop,
        () = ears.heard.comes() => Aside::Orders,
        () = changes(ears.plan) => Aside::Plan,
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

/// Ready when the plan changes; never, once nobody is left to change it.
///
/// # Cancel safety
/// A dropped future takes nothing with it.
pub(crate) async fn changes<T>(plan: &mut watch::Receiver<T>) {
    if plan.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What happens next to a session.
enum Next {
    Turn(Turn),
    Aside(Aside),
}

/// What else than frames there is to heed.
enum Aside {
    /// Something has come due.
    Alarm,
    /// Everything ends.
    Stop,
    /// Something was said to it.
    Orders,
    /// It is to carry other streams.
    Plan,
}

/// Why [`Session::poll_turn`] is ready.
enum Turn {
    /// The processor should have its turn.
    Over,
    /// What may be an answer of the exchange was handed over, too.
    Answer(Result<(), SessionEnd>),
    /// Something that is no text, or the end.
    Message(Option<Result<Message, tungstenite::Error>>),
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
mod tests;
