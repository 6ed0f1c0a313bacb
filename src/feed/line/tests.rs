//! Lines against a network that the test plays: every attempt is its to answer, every connection its to end. On a paused
//! clock, where a sleep lets everything that is ready happen and takes no time of ours.
#![allow(clippy::disallowed_methods, reason = "what a story says is bounded by the story")]

use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_async};

use super::super::endpoint::Endpoint;
use super::super::liveness::LivenessLimits;
use super::super::network::{ByteStream, Destination, Dialing, Network};
use super::super::{
    ConnectError, ConnectionBudget, FeedError, FeedEvent, Live, LiveSettings, Renewal, ShardId, ShardPlan,
    Steering,
};
use super::*;
use crate::queue::{QueueLimits, drop_oldest};
use crate::source::{Burst, Input, Source};

mod chaos;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// Lines of as many shards as these stories have.
const LINES: usize = 9;

/// An attempt that waits for its answer. Dropping it refuses the connection.
struct Dial {
    turn: usize,
    answer: oneshot::Sender<Result<Box<dyn ByteStream>, ConnectError>>,
}

struct Dials(mpsc::UnboundedSender<Dial>);

impl Network for Dials {
    fn dial<'a>(&'a self, to: Destination<'a>) -> Dialing<'a> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            drop(self.0.send(Dial { turn: to.turn, answer }));
            answered.await.unwrap_or_else(|_dropped| {
                let cause = std::io::ErrorKind::ConnectionRefused.into();
                Err(ConnectError::Tcp { address: "192.0.2.1:443".into(), cause })
            })
        })
    }
}

impl Dial {
    /// Lets it through, up to the end of the handshake.
    async fn accept(self) -> Peer {
        self.accept_over(1 << 16).await
    }

    /// The same over a pipe that holds so many bytes.
    async fn accept_over(self, room: usize) -> Peer {
        let (ours, theirs) = tokio::io::duplex(room);
        drop(self.answer.send(Ok(Box::new(ours))));
        Peer::new(accept_async(theirs).await.expect("a client shakes hands"))
    }

    fn answer_status(self, status: u16, retry_after: Option<Duration>) {
        let error = ConnectError::Status { status, retry_after, body: String::new() };
        drop(self.answer.send(Err(error)));
    }
}

/// How the feed took its leave.
#[derive(Debug, PartialEq, Eq)]
enum Farewell {
    Close,
    HungUp,
}

/// The exchange's end of a connection: answers pings, says what it is told to.
struct Peer {
    say: mpsc::UnboundedSender<Say>,
    farewell: JoinHandle<(Farewell, Instant)>,
}

enum Say {
    This(Message),
    /// Reads nothing any more, and writes on.
    Deaf,
}

impl Peer {
    fn new(mut socket: WebSocketStream<DuplexStream>) -> Self {
        let (say, mut told) = mpsc::unbounded_channel();
        let farewell = tokio::spawn(async move {
            let mut is_deaf = false;
            loop {
                tokio::select! {
                    message = socket.next(), if !is_deaf => match message {
                        // The end of the stream is waited for: it sends the answer.
                        Some(Ok(Message::Close(_))) => {
                            let at = Instant::now();
                            while let Some(Ok(_)) = socket.next().await {}
                            return (Farewell::Close, at);
                        }
                        Some(Ok(_)) => {}
                        Some(Err(_)) | None => return (Farewell::HungUp, Instant::now()),
                    },
                    message = told.recv() => match message {
                        Some(Say::This(message)) => drop(socket.send(message).await),
                        Some(Say::Deaf) => is_deaf = true,
                        None => return (Farewell::HungUp, Instant::now()),
                    },
                }
            }
        });
        Self { say, farewell }
    }

    fn trade(&self, id: u64) {
        let text = format!(
            r#"{{"e":"aggTrade","E":1,"s":"ETHUSDT","a":{id},"p":"1","q":"1","f":1,"l":1,"T":1,"m":true}}"#
        );
        self.say(Say::This(Message::Text(Utf8Bytes::from(text))));
    }

    fn say(&self, what: Say) {
        assert!(self.say.send(what).is_ok(), "the connection stands");
    }

    fn close(&self, code: u16) {
        let frame = CloseFrame { code: code.into(), reason: Utf8Bytes::default() };
        self.say(Say::This(Message::Close(Some(frame))));
    }

    fn is_open(&self) -> bool {
        !self.farewell.is_finished()
    }

    async fn farewell(self) -> (Farewell, Instant) {
        self.farewell.await.expect("a peer does not panic")
    }

    /// Goes without a word.
    fn vanish(self) {
        self.farewell.abort();
    }
}

/// A feed that runs, and what it does.
struct Feed {
    dials: mpsc::UnboundedReceiver<Dial>,
    steering: Steering,
    /// `opened 1`, `1: frame 7`, `closed 1`: what came out of the queue.
    arrived: Arc<Mutex<Vec<String>>>,
    /// What was told, as [`told`] puts it.
    told: Arc<Mutex<Vec<String>>>,
    /// Sessions of each line that are up, as the queue tells it.
    up: Arc<Mutex<[i32; LINES]>>,
    plans: watch::Sender<Arc<[ShardPlan]>>,
    stop: watch::Sender<bool>,
    running: JoinHandle<Result<(), FeedError>>,
}

fn told(event: &FeedEvent<'_>) -> Option<String> {
    Some(match event {
        FeedEvent::Connected { line, again, .. } => format!("connected{} again={again}", of(*line)),
        FeedEvent::Ended { end, line, .. } => format!("ended{}: {end}", of(*line)),
        FeedEvent::EndedEarly { end, line } => format!("ended early{}: {end}", of(*line)),
        FeedEvent::HandOverBegun { line, why, .. } => format!("begun{} {}", of(*line), why.as_str()),
        FeedEvent::HandedOver { line, .. } => format!("handed over{}", of(*line)),
        FeedEvent::HandOverFailed { line, what, next_try } => {
            format!("hand-over failed{}: {what}; {}", of(*line), next_try.as_secs())
        }
        FeedEvent::Failed { line, .. } => format!("failed{}", of(*line)),
        _ => return None,
    })
}

fn of(line: Place) -> String {
    line.copy.map_or_else(String::new, |copy| format!(" {copy}"))
}

/// Lines that no silence ends.
fn settings(redundancy: u8, handover_after: Duration) -> LiveSettings {
    let liveness = LivenessLimits::with_heartbeat(100 * HOUR);
    LiveSettings { liveness, ..impatient(redundancy, handover_after) }
}

/// The same with a heartbeat timeout of a minute.
fn impatient(redundancy: u8, handover_after: Duration) -> LiveSettings {
    let endpoint = Endpoint::default();
    LiveSettings { redundancy, handover_after, jitter_seed: Some(7), ..LiveSettings::of(endpoint) }
}

fn shard_of(shard: u16) -> ShardPlan {
    ShardPlan { shard: ShardId(shard), ..ShardPlan::of(Endpoint::default()) }
}

/// The same with several shards.
fn sharded(shards: &[u16], settings: LiveSettings) -> LiveSettings {
    let (_, plans) = watch::channel(shards.iter().map(|shard| shard_of(*shard)).collect());
    LiveSettings { plans, ..settings }
}

impl Feed {
    fn start(settings: LiveSettings) -> Self {
        Self::start_within(settings, ConnectionBudget::default())
    }

    fn start_within(settings: LiveSettings, budget: ConnectionBudget) -> Self {
        let (dialed, dials) = mpsc::unbounded_channel();
        let clock = Clock::simulated(0);
        let (queue, mut receiver) = drop_oldest(QueueLimits::default());
        let (arrived, heard) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let steering = Steering::default();
        let (stop, stopped) = watch::channel(false);
        let up = Arc::<Mutex<[i32; LINES]>>::default();
        let (plans, followed) = watch::channel(settings.plans.borrow().clone());
        let settings = LiveSettings { plans: followed, ..settings };
        let counts = Arc::clone(&up);
        let (into, hears, steers) = (Arc::clone(&arrived), Arc::clone(&heard), steering.clone());
        tokio::spawn(async move {
            let mut burst = Burst::default();
            while receiver.next(&mut burst).await.expect("a queue does not fail") {
                for input in &burst.inputs {
                    if let Input::Link(LinkEvent { line, change, .. }) = input {
                        let by = if *change == LinkChange::Opened { 1 } else { -1 };
                        counts.lock().unwrap()[usize::from(line.0)] += by;
                    }
                }
                let lines = burst.inputs.iter().filter_map(|input| match input {
                    Input::Link(LinkEvent { session, change: LinkChange::Opened, .. }) => {
                        Some(format!("opened {}", session.0))
                    }
                    Input::Link(LinkEvent { session, .. }) => Some(format!("closed {}", session.0)),
                    Input::Frame(frame) => Some(format!("frame of {}", frame.session.0)),
                    _ => None,
                });
                into.lock().unwrap().extend(lines);
            }
        });
        let running = tokio::spawn(async move {
            let observer = |event: FeedEvent<'_>| hears.lock().unwrap().extend(told(&event));
            let live = Live::new(settings, queue, &observer, clock)?;
            let live = live.with_network(Arc::new(Dials(dialed))).with_steering(steers).with_budget(budget);
            live.run(stopped).await
        });
        Self { dials, steering, arrived, told: heard, up, plans, stop, running }
    }

    /// From now on there are these shards, whose addresses name their streams.
    fn follow(&self, shards: &[u16]) {
        self.plans.send_replace(shards.iter().map(|shard| shard_of(*shard)).collect());
    }

    /// The next attempt, however late it comes.
    async fn dial(&mut self) -> Dial {
        self.dials.recv().await.expect("the feed runs")
    }

    async fn accept(&mut self) -> Peer {
        self.dial().await.accept().await
    }

    /// Whether an attempt is made within this time.
    async fn dials_within(&mut self, limit: Duration) -> Option<Dial> {
        tokio::time::timeout(limit, self.dials.recv()).await.ok().flatten()
    }

    fn arrived(&self) -> Vec<String> {
        self.arrived.lock().unwrap().clone()
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }

    async fn stop(self) -> Result<(), FeedError> {
        self.stop.send_replace(true);
        self.running.await.expect("the feed does not panic")
    }
}

/// Lets everything that is ready happen.
async fn settle() {
    sleep(Duration::from_millis(10)).await;
}

/// A line that has been handed over to a second connection, which has not shown anything yet.
async fn amid_a_hand_over() -> (Feed, Peer, Peer) {
    let mut feed = Feed::start(settings(1, Duration::ZERO));
    let old = feed.accept().await;
    settle().await;
    feed.steering.renew(SessionId(1), Renewal::Shutdown);
    let new = feed.accept().await;
    settle().await;
    (feed, old, new)
}

#[tokio::test(start_paused = true)]
async fn at_its_age_a_connection_is_replaced_and_ends_only_when_both_bring_the_same() {
    let mut feed = Feed::start(settings(1, HOUR));
    let old = feed.accept().await;
    let opened_at = Instant::now();
    let new = feed.accept().await;
    let age = opened_at.elapsed();
    assert!(age >= HOUR.mul_f64(0.95) && age <= HOUR + SECOND, "{age:?}");
    old.trade(1);
    new.trade(1);
    settle().await;
    assert_eq!(feed.arrived(), ["opened 1", "opened 2", "frame of 1", "frame of 2"]);
    feed.steering.overlapped(SessionId(2));
    assert_eq!(old.farewell().await.0, Farewell::Close);
    new.trade(2);
    settle().await;
    assert_eq!(feed.arrived()[4..], ["closed 1", "frame of 2"]);
    assert_eq!(feed.told(), ["connected again=false", "begun age", "handed over"]);
    // The new one has its own age.
    let begun_at = Instant::now();
    assert!(feed.dials_within(2 * HOUR).await.is_some());
    assert!(begun_at.elapsed() >= HOUR.mul_f64(0.95) - MINUTE, "{:?}", begun_at.elapsed());
    feed.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_that_shows_nothing_is_given_up_politely_and_tried_again_ever_later() {
    let (mut feed, old, new) = amid_a_hand_over().await;
    let mut candidate = new;
    let pauses = [60, 120, 240, 480, 900, 900];
    for pause in pauses {
        let began = Instant::now();
        assert_eq!(candidate.farewell().await.0, Farewell::Close);
        let dial = feed.dial().await;
        let waited = began.elapsed();
        let expected = Duration::from_secs(30 + pause);
        assert!(waited + SECOND >= expected && waited <= expected + SECOND, "{waited:?} of {expected:?}");
        candidate = dial.accept().await;
        settle().await;
        old.trade(1);
    }
    assert!(old.is_open());
    feed.steering.overlapped(SessionId(8));
    assert_eq!(old.farewell().await.0, Farewell::Close);
    settle().await;
    let told = feed.told();
    assert_eq!(told[2], "hand-over failed: the new connection did not bring the same trades within 30s; 60");
    assert_eq!(told.last().map(String::as_str), Some("handed over"));
    assert!(!told.iter().any(|told| told.contains("again=true")), "a hand-over is no reconnect: {told:?}");
    feed.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_that_dies_before_the_new_one_has_shown_anything_costs_no_wait() {
    let (mut feed, old, new) = amid_a_hand_over().await;
    old.vanish();
    settle().await;
    new.trade(1);
    settle().await;
    assert_eq!(feed.arrived(), ["opened 1", "opened 2", "closed 1", "frame of 2"]);
    assert_eq!(
        feed.told()[2..],
        ["ended early: the server hung up without a close frame"],
        "nothing is connected anew"
    );
    assert!(feed.dials_within(5 * MINUTE).await.is_none() && new.is_open());
    feed.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_that_dies_while_the_new_one_is_made_waits_for_that_one_alone() {
    let mut feed = Feed::start(settings(1, Duration::ZERO));
    let old = feed.accept().await;
    settle().await;
    feed.steering.renew(SessionId(1), Renewal::Shutdown);
    let dial = feed.dial().await;
    old.vanish();
    settle().await;
    assert!(feed.dials_within(MINUTE).await.is_none(), "one attempt is enough");
    let new = dial.accept().await;
    settle().await;
    assert_eq!(feed.arrived(), ["opened 1", "closed 1", "opened 2"]);
    assert_eq!(feed.told().last().map(String::as_str), Some("connected again=true"));
    assert!(new.is_open());
    feed.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_that_dies_while_the_old_one_says_good_bye_is_replaced_for_its_own_reason() {
    let mut feed = Feed::start(settings(1, Duration::ZERO));
    // There is room for one ping, so that a good-bye after it takes its time.
    let old = feed.dial().await.accept_over(8).await;
    old.say(Say::Deaf);
    settle().await;
    feed.steering.renew(SessionId(1), Renewal::Shutdown);
    let new = feed.accept().await;
    sleep(6 * SECOND).await;
    feed.steering.overlapped(SessionId(2));
    new.close(1001);
    sleep(SECOND).await;
    assert_eq!(feed.arrived(), ["opened 1", "opened 2", "closed 2", "closed 1"]);
    assert_eq!(feed.told()[2..], ["ended: 1001"]);
    assert!(feed.dials_within(2 * SECOND).await.is_some());
    feed.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn asked_twice_it_is_handed_over_once() {
    let mut feed = Feed::start(settings(1, Duration::ZERO));
    let _old = feed.accept().await;
    settle().await;
    feed.steering.renew(SessionId(1), Renewal::Lag);
    feed.steering.renew(SessionId(1), Renewal::Lag);
    let _new = feed.accept().await;
    settle().await;
    feed.steering.renew(SessionId(1), Renewal::Lag);
    feed.steering.overlapped(SessionId(2));
    assert!(feed.dials_within(HOUR).await.is_none());
    assert_eq!(feed.told()[1..], ["begun lag", "handed over"]);
    feed.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_announced_end_does_not_wait_for_the_pause_after_a_failure_and_lag_does() {
    let mut feed = Feed::start(settings(1, Duration::ZERO));
    let _old = feed.accept().await;
    settle().await;
    feed.steering.renew(SessionId(1), Renewal::Lag);
    drop(feed.dial().await);
    settle().await;
    feed.steering.renew(SessionId(1), Renewal::Lag);
    assert!(feed.dials_within(50 * SECOND).await.is_none(), "the pause is not over");
    feed.steering.renew(SessionId(1), Renewal::Shutdown);
    let dial = feed.dials_within(SECOND).await.expect("there is no time to lose");
    // Lag takes nothing of its urgency, and failure after failure does not become a flood.
    feed.steering.renew(SessionId(1), Renewal::Lag);
    drop(dial);
    settle().await;
    feed.steering.renew(SessionId(1), Renewal::Shutdown);
    assert!(feed.dials_within(110 * SECOND).await.is_none());
    assert!(feed.dials_within(20 * SECOND).await.is_some());
    feed.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_announced_during_a_hand_over_for_another_reason_is_heeded_when_that_fails() {
    let mut feed = Feed::start(settings(1, Duration::ZERO));
    let _old = feed.accept().await;
    settle().await;
    feed.steering.renew(SessionId(1), Renewal::Lag);
    let dial = feed.dial().await;
    feed.steering.renew(SessionId(1), Renewal::Shutdown);
    settle().await;
    drop(dial);
    let _dial = feed.dials_within(SECOND).await.expect("there is no time to lose");
    settle().await;
    assert_eq!(
        feed.told()[1..],
        ["begun lag", "hand-over failed: cannot connect to 192.0.2.1:443; 60", "begun shutdown"]
    );
    feed.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_announced_to_the_new_connection_is_heeded_once_it_has_taken_over() {
    let (mut feed, _old, new) = amid_a_hand_over().await;
    feed.steering.renew(SessionId(2), Renewal::Shutdown);
    settle().await;
    feed.steering.overlapped(SessionId(2));
    let third = feed.dials_within(SECOND).await.expect("the new one is about to be ended too").accept().await;
    settle().await;
    feed.steering.overlapped(SessionId(3));
    assert_eq!(new.farewell().await.0, Farewell::Close);
    assert!(third.is_open());
    feed.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_ban_that_meets_a_hand_over_is_obeyed() {
    let mut feed = Feed::start(settings(1, Duration::ZERO));
    let old = feed.accept().await;
    settle().await;
    feed.steering.renew(SessionId(1), Renewal::Lag);
    feed.dial().await.answer_status(418, Some(20 * MINUTE));
    assert!(feed.dials_within(20 * MINUTE).await.is_none());
    assert!(feed.dials_within(3 * MINUTE).await.is_some());
    assert!(old.is_open());
    feed.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_hand_over_that_waits_for_its_turn_under_the_exchange_s_limit_holds_nothing_up() {
    let budget = ConnectionBudget::default();
    let mut feed = Feed::start_within(settings(1, Duration::ZERO), budget.clone());
    let old = feed.accept().await;
    while budget.take(Instant::now()).is_zero() {}
    settle().await;
    feed.steering.renew(SessionId(1), Renewal::Shutdown);
    for id in 0..100 {
        old.trade(id);
        assert!(feed.dials_within(SECOND).await.is_none());
        assert_eq!(feed.arrived().len() as u64, id + 2, "read at once");
    }
    assert!(feed.dials_within(10 * MINUTE).await.is_some());
    feed.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn two_lines_begin_at_different_addresses_and_a_failure_or_staleness_leaves_one() {
    let mut feed = Feed::start(settings(2, Duration::ZERO));
    let (first, second) = (feed.dial().await, feed.dial().await);
    assert_eq!((first.turn, second.turn), (0, 1));
    let _first = first.accept().await;
    drop(second);
    let again = feed.dial().await;
    assert_eq!(again.turn, 3, "an address that refuses is left for another one of this line");
    let _second = again.accept().await;
    settle().await;
    feed.steering.reconnect_session(SessionId(1));
    assert_eq!(feed.dial().await.turn, 2, "so is one that brings nothing");
    feed.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_line_that_dies_leaves_the_other_alone_and_is_the_only_one_connected_anew() {
    let mut feed = Feed::start(settings(2, Duration::ZERO));
    let (first, second) = (feed.dial().await, feed.dial().await);
    let (first, second) = (first.accept().await, second.accept().await);
    settle().await;
    first.vanish();
    for id in 0..10 {
        second.trade(id);
    }
    settle().await;
    assert_eq!(feed.arrived().iter().filter(|line| *line == "frame of 2").count(), 10);
    let _third = feed.dials_within(SECOND + SECOND / 10).await.expect("its own backoff").accept().await;
    assert!(feed.dials_within(5 * MINUTE).await.is_none() && second.is_open());
    let again: Vec<_> = feed.told().into_iter().filter(|told| told.ends_with("again=true")).collect();
    assert_eq!(again, ["connected 0 again=true"]);
    feed.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn two_lines_of_the_same_age_are_replaced_one_after_the_other() {
    let mut feed = Feed::start(settings(2, HOUR));
    let (first, second) = (feed.dial().await, feed.dial().await);
    let (first, second) = (first.accept().await, second.accept().await);
    let dial = feed.dial().await;
    assert!(feed.dials_within(HOUR).await.is_none(), "both are of age, and one is being replaced");
    let new = dial.accept().await;
    assert!(feed.dials_within(29 * SECOND).await.is_none(), "as long as both are there");
    feed.steering.overlapped(SessionId(3));
    let dial = feed.dials_within(2 * SECOND).await.expect("now it is the other one's turn");
    assert_eq!([first.is_open(), second.is_open()].iter().filter(|open| **open).count(), 1);
    let other = dial.accept().await;
    settle().await;
    feed.steering.overlapped(SessionId(4));
    settle().await;
    assert!(!first.is_open() && !second.is_open() && new.is_open() && other.is_open());
    feed.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_quiet_connection_that_is_vouched_for_stays_and_ends_when_nobody_vouches_any_more() {
    let mut feed = Feed::start(impatient(1, Duration::ZERO));
    let peer = feed.accept().await;
    for _ in 0..60 {
        sleep(50 * SECOND).await;
        feed.steering.vouch(ShardId(0));
    }
    assert!(peer.is_open());
    let vouched = Instant::now();
    let (farewell, at) = peer.farewell().await;
    assert_eq!(farewell, Farewell::Close);
    let after = at - vouched;
    assert!(after >= MINUTE && after <= MINUTE + SECOND, "{after:?}");
    settle().await;
    assert_eq!(feed.told()[1..], ["ended: no trade for 60s on a living link"]);
    feed.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_amid_a_hand_over_ends_both_politely_and_in_time() {
    let (feed, old, new) = amid_a_hand_over().await;
    let asked = Instant::now();
    let (arrived, told) = (Arc::clone(&feed.arrived), Arc::clone(&feed.told));
    feed.stop().await.unwrap();
    assert!(asked.elapsed() <= Duration::from_millis(300), "{:?}", asked.elapsed());
    assert_eq!((old.farewell().await.0, new.farewell().await.0), (Farewell::Close, Farewell::Close));
    settle().await;
    let mut arrived = arrived.lock().unwrap().split_off(2);
    arrived.sort();
    assert_eq!(arrived, ["closed 1", "closed 2"]);
    assert_eq!(told.lock().unwrap().len(), 2, "no end of it is told as a failure");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_good_ends_a_run_that_never_had_a_connection_and_no_other() {
    let mut feed = Feed::start(settings(2, Duration::ZERO));
    let (first, second) = (feed.dial().await, feed.dial().await);
    let _first = first.accept().await;
    settle().await;
    second.answer_status(404, None);
    assert!(feed.dials_within(59 * SECOND).await.is_none());
    assert!(feed.dials_within(10 * SECOND).await.is_some(), "slowly, but again");
    feed.stop().await.unwrap();

    let mut feed = Feed::start(settings(2, Duration::ZERO));
    let (_first, second) = (feed.dial().await, feed.dial().await);
    second.answer_status(404, None);
    let end = feed.running.await.expect("the feed does not panic");
    assert!(matches!(end, Err(FeedError::Refused { .. })), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_one_shard_after_another_has_connected_ends_nothing() {
    let mut feed = Feed::start(sharded(&[0, 1], settings(1, Duration::ZERO)));
    let _first = feed.accept().await;
    feed.dial().await.answer_status(404, None);
    assert!(feed.dials_within(59 * SECOND).await.is_none());
    let _second = feed.dials_within(10 * SECOND).await.expect("slowly, but again").accept().await;
    settle().await;
    assert_eq!(feed.up.lock().unwrap()[..6], [1, 0, 0, 1, 0, 0]);
    feed.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_shard_is_steered_alone() {
    let mut feed = Feed::start(sharded(&[0, 1], impatient(1, Duration::ZERO)));
    let (first, second) = (feed.accept().await, feed.accept().await);
    for _ in 0..5 {
        sleep(50 * SECOND).await;
        feed.steering.vouch(ShardId(0));
    }
    assert!(first.is_open() && !second.is_open(), "nobody vouched for the second");
    let second = feed.accept().await;
    settle().await;
    feed.steering.reconnect(ShardId(0));
    settle().await;
    assert!(!first.is_open() && second.is_open());
    let again = feed.dials_within(2 * SECOND).await.expect("the first, anew").accept().await;
    settle().await;
    feed.steering.renew(SessionId(3), Renewal::Lag);
    let new = feed.accept().await;
    settle().await;
    feed.steering.overlapped(SessionId(5));
    settle().await;
    assert!(!second.is_open() && new.is_open() && again.is_open(), "the hand-over was the second's");
    feed.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_goes_while_it_waits_connects_or_stands_leaves_nothing_and_may_come_back() {
    let mut feed = Feed::start(sharded(&[0, 1, 2], settings(1, Duration::ZERO)));
    let first = feed.accept().await;
    let attempt = feed.dial().await;
    drop(feed.dial().await);
    feed.follow(&[]);
    settle().await;
    assert!(attempt.answer.is_closed(), "given up");
    assert_eq!(first.farewell().await.0, Farewell::Close);
    assert!(feed.dials_within(HOUR).await.is_none(), "nobody waits for the next attempt");
    assert_eq!(feed.arrived(), ["opened 1", "closed 1"]);
    feed.follow(&[2]);
    let _again = feed.dials_within(SECOND).await.expect("a new one").accept().await;
    settle().await;
    assert_eq!(feed.up.lock().unwrap()[6], 1);
    feed.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn first_connections_of_shards_are_a_quarter_of_a_second_apart_and_those_of_one_shard_are_not() {
    let mut feed = Feed::start(sharded(&[0, 1, 2], settings(2, Duration::ZERO)));
    let begun = Instant::now();
    for number in 0..6 {
        let _dial = feed.dial().await;
        assert_eq!(begun.elapsed().as_millis(), number * 250);
    }
    feed.stop().await.unwrap();
    let mut feed = Feed::start(settings(2, Duration::ZERO));
    let begun = Instant::now();
    let _dials = (feed.dial().await, feed.dial().await);
    assert!(begun.elapsed().is_zero());
    feed.stop().await.unwrap();
}
