//! The thin async shell around the repair: reads the clock, sends one request at a time, hands the answers on.

use std::collections::{BTreeSet, VecDeque};
use std::pin::Pin;

use tokio::time::sleep_until;

use super::rest::RestClient;
use super::{Answer, Notice, Page, Planner, Reply, RestError, Step, Tail, TailWatch};
use crate::clock::Clock;
use crate::feed::{LinkChange, LinkEvent, Nudge};
use crate::pipeline::LaneIds;
use crate::units::{AggTradeId, Symbol};

/// Ticks after which suspicious ids that are still there are asked about again.
const DOUBT_AGAIN: u64 = 5;

/// A request on its way; the client travels with it.
type Flight = Pin<Box<dyn Future<Output = (RestClient, Result<Page, RestError>)> + Send>>;

/// Asks REST for what is missing, and whether anything is.
pub struct Repair {
    planner: Planner,
    tail: TailWatch,
    /// `None` while it travels with a request.
    client: Option<RestClient>,
    flight: Option<Flight>,
    clock: Clock,
    nudge: Nudge,
    /// Lanes with suspicious ids: the newest id is asked for them, not for a lost tail.
    doubtful: BTreeSet<usize>,
    /// The newest ids known, lane by lane, as of the last tick.
    heads: Vec<Option<AggTradeId>>,
    /// Something was lost on our side since the last tick.
    disturbed: bool,
    ticks: u64,
    /// There is nothing to do until something is wanted: no reason to read the clock for every burst.
    idle: bool,
    /// What is to be told next.
    outcomes: VecDeque<Outcome>,
}

/// What comes of asking.
#[derive(Debug)]
pub enum Outcome {
    /// An answer for the pipeline.
    Reply(Reply),
    /// Something that the operator should know.
    Notice(Notice),
    /// A request failed that will be made again.
    Failed(RestError),
    /// The market trades on, but the connection delivers nothing of it. It is being replaced; the reply is for the
    /// pipeline.
    Broken {
        /// The symbol.
        symbol: Symbol,
        /// The newest id at the exchange.
        newest: AggTradeId,
        /// The newest one here.
        ours: Option<AggTradeId>,
        /// What it means for the pipeline.
        reply: Reply,
    },
}

impl Repair {
    /// A repair over `client`; `nudge` ends the session of a connection that has gone mute.
    pub fn new(planner: Planner, client: RestClient, clock: Clock, nudge: Nudge) -> Self {
        Self {
            planner,
            tail: TailWatch::new(),
            client: Some(client),
            flight: None,
            clock,
            nudge,
            doubtful: BTreeSet::new(),
            heads: Vec::new(),
            disturbed: false,
            ticks: 0,
            idle: false,
            outcomes: VecDeque::new(),
        }
    }

    /// The holes or the doubts of a lane have changed.
    pub fn want(&mut self, lane: usize, ids: &LaneIds<'_>) {
        self.idle = false;
        let now = self.clock.now();
        self.planner.want(lane, ids.symbol, &ids.holes, now);
        if !ids.in_doubt {
            self.doubtful.remove(&lane);
        } else if self.doubtful.insert(lane) {
            self.planner.probe(lane, ids.symbol, now);
        }
    }

    /// A connection opened or closed, while the lanes stood like this.
    pub fn link<'a>(&mut self, event: &LinkEvent, lanes: impl Iterator<Item = LaneIds<'a>>) {
        let now = self.clock.now();
        match event.change {
            LinkChange::Opened => {
                // Where each lane stood before: while the link is down, nothing follows from looking.
                for (lane, ids) in lanes.enumerate() {
                    self.tail.tick(lane, ids.newest, !ids.holes.is_empty(), now);
                }
                self.tail.opened(now);
            }
            LinkChange::Closed => self.tail.closed(),
        }
    }

    /// Something was lost on our side: whether it was the newest, only REST can tell.
    pub fn disturbed(&mut self) {
        self.disturbed = true;
    }

    /// Once a second: looks for lanes whose silence should be questioned.
    pub fn tick<'a>(&mut self, lanes: impl Iterator<Item = LaneIds<'a>>) {
        let now = self.clock.now();
        if std::mem::take(&mut self.disturbed) {
            self.tail.disturbed(now);
        }
        self.heads.clear();
        self.ticks += 1;
        self.idle = false;
        for (lane, ids) in lanes.enumerate() {
            self.heads.push(ids.newest);
            // The first question about it may have remained without an answer.
            if ids.in_doubt && self.ticks.is_multiple_of(DOUBT_AGAIN) {
                self.doubtful.insert(lane);
                self.planner.probe(lane, ids.symbol, now);
            }
            match self.tail.tick(lane, ids.newest, !ids.holes.is_empty(), now) {
                Tail::Quiet | Tail::Wait => {}
                Tail::Probe => self.planner.probe(lane, ids.symbol, now),
                Tail::Behind(id) => {
                    let reply = Reply { lane, at: now, answer: Answer::Newest(id) };
                    self.outcomes.push_back(Outcome::Reply(reply));
                }
                Tail::Broken(newest) => {
                    self.nudge.reconnect();
                    let reply = Reply { lane, at: now, answer: Answer::Newest(newest) };
                    let (symbol, ours) = (ids.symbol.clone(), ids.newest);
                    self.outcomes.push_back(Outcome::Broken { symbol, newest, ours, reply });
                }
            }
        }
    }

    /// Requests made so far.
    pub fn calls(&self) -> u64 {
        self.planner.rest_calls()
    }

    /// The weight used in this minute.
    pub fn used_weight(&self) -> u64 {
        self.planner.used_weight(self.clock.now())
    }

    /// Waits until there is something to tell; for ever, if nothing is missing.
    ///
    /// # Cancel safety
    /// Safe: a request goes on where it was when this is called again.
    pub async fn next(&mut self) -> Outcome {
        if self.idle {
            return std::future::pending().await;
        }
        loop {
            if let Some(outcome) = self.outcomes.pop_front() {
                return outcome;
            }
            let now = self.clock.now();
            if let Some(notice) = self.planner.take_notice() {
                return Outcome::Notice(notice);
            }
            let until = match self.planner.next(now) {
                Step::Reply(reply) => return Outcome::Reply(reply),
                Step::Ask(request) => {
                    if let Some(mut client) = self.client.take() {
                        self.flight = Some(Box::pin(async move {
                            let page = client.fetch(&request).await;
                            (client, page)
                        }));
                    }
                    continue;
                }
                Step::Wait(until) => until,
            };
            self.idle = until.is_none() && self.flight.is_none();
            tokio::select! {
                biased;
                result = landing(&mut self.flight) => {
                    let (client, result) = result;
                    self.flight = None;
                    self.client = Some(client);
                    if let Err(error @ RestError::Passing(_)) = &result {
                        self.outcomes.push_back(Outcome::Failed(error.clone()));
                    }
                    let reply = self.planner.answered(result, self.clock.now());
                    if let Some(reply) = reply.and_then(|reply| self.judge(reply)) {
                        return Outcome::Reply(reply);
                    }
                }
                () = at(self.clock, until) => {}
            }
        }
    }

    /// The newest id is news for the pipeline only where it confirms suspicious ones; otherwise the watch waits whether
    /// the stream brings it.
    fn judge(&mut self, reply: Reply) -> Option<Reply> {
        let Answer::Newest(newest) = reply.answer else { return Some(reply) };
        if self.doubtful.remove(&reply.lane) {
            return Some(Reply { answer: Answer::Confirm(newest), ..reply });
        }
        let head = self.heads.get(reply.lane).copied().flatten();
        self.tail.newest(reply.lane, newest, head, reply.at);
        None
    }
}

async fn landing(flight: &mut Option<Flight>) -> (RestClient, Result<Page, RestError>) {
    match flight {
        Some(flight) => flight.as_mut().await,
        None => std::future::pending().await,
    }
}

/// Ready at a moment of the monotonic clock; never, if there is none.
async fn at(clock: Clock, mono_ns: Option<u64>) {
    match mono_ns {
        Some(mono_ns) => sleep_until(clock.instant(mono_ns)).await,
        None => std::future::pending().await,
    }
}
