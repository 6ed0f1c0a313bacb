//! The thin async shell around the repair: reads the clock, sends one request at a time, hands the answers on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, sleep_until, timeout};

use super::errands::Errands;
use super::rest::{Listed, RestClient, ServerTime};
use super::{Answer, Ask, Kind, Notice, Page, Planner, Reply, RestError, Step, Tail, TailWatch};
use crate::clock::{Clock, ClockOffset};
use crate::feed::{LinkChange, LinkEvent, SessionId, Steering};
use crate::pipeline::LaneIds;
use crate::silence::{Finding, Newest};
use crate::snapshot::Stamp;
use crate::units::{AggTradeId, Symbol, UnixMillis};

/// Ticks after which suspicious ids that are still there are asked about again.
const DOUBT_AGAIN: u64 = 5;

/// An answer to "what time is it" that takes longer tells nothing, and holds up what is missing.
const TIME_LIMIT: Duration = Duration::from_secs(3);

/// What is asked besides trades makes way for missing ones, but not without a moment to come to its end.
const MAKE_WAY: Duration = Duration::from_millis(250);

/// A request on its way; the client travels with it.
type Flight = Pin<Box<dyn Future<Output = (RestClient, Brought)> + Send>>;

/// What a request brought.
enum Brought {
    /// For a lane; whether it was asked for the newest trade.
    Page {
        lane: usize,
        newest: bool,
        result: Result<Page, RestError>,
    },
    Time {
        sent: Stamp,
        received: Stamp,
        result: Result<ServerTime, RestError>,
    },
    Listings(Result<Vec<Listed>, RestError>),
}

/// Asks REST for what is missing, and whether anything is.
pub struct Repair {
    planner: Planner,
    tail: TailWatch,
    /// `None` while it travels with a request.
    client: Option<RestClient>,
    flight: Option<Flight>,
    errands: Errands,
    /// Trades are missing while the request in flight asks for something else.
    urgent: Arc<Notify>,
    /// Why the last question about trades brought nothing; `None` if it did.
    trouble: Option<String>,
    clock: Clock,
    steering: Steering,
    /// The sessions that are up.
    sessions: BTreeSet<SessionId>,
    /// Lanes with suspicious ids: the newest id is asked for them, not for a lost tail.
    doubtful: BTreeSet<usize>,
    /// The newest ids known, lane by lane, as of the last tick.
    heads: Vec<Option<AggTradeId>>,
    symbols: Vec<Symbol>,
    /// Lanes of which the present connection let trades pass, and up to which id.
    undelivered: BTreeMap<usize, AggTradeId>,
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
    /// What REST says about the silence of a lane.
    Silence {
        /// The lane.
        lane: usize,
        /// Its symbol.
        symbol: Symbol,
        /// What it says.
        finding: Finding,
    },
    /// The exchange told its time.
    Clock {
        /// When it was asked.
        sent: Stamp,
        /// When the answer came.
        received: Stamp,
        /// What its clock showed between the two.
        server: UnixMillis,
    },
    /// The symbols that the exchange lists.
    Listings(Vec<Listed>),
}

impl Repair {
    /// A repair over `client`; `steering` ends the session of a connection that has gone mute.
    pub fn new(planner: Planner, client: RestClient, clock: Clock, steering: Steering) -> Self {
        Self {
            planner,
            tail: TailWatch::default(),
            client: Some(client),
            flight: None,
            errands: Errands::new(),
            urgent: Arc::default(),
            trouble: None,
            clock,
            steering,
            sessions: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            heads: Vec::new(),
            symbols: Vec::new(),
            disturbed: false,
            undelivered: BTreeMap::new(),
            ticks: 0,
            idle: false,
            outcomes: VecDeque::new(),
        }
    }

    /// Watches silences for a feed that ends a session without data for so long, unless somebody vouches for it.
    #[must_use]
    pub fn with_heartbeat(mut self, heartbeat_timeout: Duration) -> Self {
        self.tail = TailWatch::new(heartbeat_timeout);
        self
    }

    /// The holes or the doubts of a lane have changed.
    pub fn want(&mut self, lane: usize, ids: &LaneIds<'_>) {
        self.idle = false;
        let now = self.clock.now();
        self.planner.want(lane, ids.symbol, &ids.holes, now);
        if !ids.holes.is_empty() {
            self.urgent.notify_one();
        }
        if !ids.in_doubt {
            self.doubtful.remove(&lane);
        } else if self.doubtful.insert(lane) {
            self.planner.probe(lane, ids.symbol, now);
        }
    }

    /// A session opened or closed, while the lanes stood like this. With several of them only the first that opens
    /// raises doubts about what was before, and only the last that closes ends the watch: another line, or a hand-over,
    /// asks nothing.
    pub fn link<'a>(&mut self, event: &LinkEvent, lanes: impl Iterator<Item = LaneIds<'a>>) {
        let now = self.clock.now();
        match event.change {
            LinkChange::Opened => {
                let is_first = self.sessions.is_empty();
                if self.sessions.insert(event.session) && is_first {
                    // Where each lane stood before: while the link is down, nothing follows from looking.
                    for (lane, ids) in lanes.enumerate() {
                        self.tail.tick(lane, ids.newest, !ids.holes.is_empty(), now);
                    }
                    self.tail.opened(now);
                    self.undelivered.clear();
                }
            }
            LinkChange::Closed => {
                if self.sessions.remove(&event.session) && self.sessions.is_empty() {
                    self.tail.closed();
                }
            }
        }
    }

    /// How far our wall clock is from the exchange's, as far as it is known now.
    pub fn clock_offset(&mut self, offset: Option<ClockOffset>) {
        self.tail.clock_offset(offset);
        self.planner.clock_offset(offset);
    }

    /// Our wall clock was set: how far it is from the exchange's has to be asked for again.
    pub fn clock_stepped(&mut self) {
        self.idle = false;
        self.clock_offset(None);
        self.errands.clock_stepped(self.clock.now());
    }

    /// Why REST cannot be asked about trades now; `None` as long as it answers.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
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
            if self.symbols.len() <= lane {
                self.symbols.push(ids.symbol.clone());
            }
            // The first question about it may have remained without an answer.
            if ids.in_doubt && self.ticks.is_multiple_of(DOUBT_AGAIN) {
                self.doubtful.insert(lane);
                self.planner.probe(lane, ids.symbol, now);
            }
            match self.tail.tick(lane, ids.newest, !ids.holes.is_empty(), now) {
                Tail::Quiet | Tail::Wait | Tail::Agreed => {}
                Tail::Probe => {
                    if ids.newest.is_none() {
                        self.errands.is_silent(now);
                    }
                    self.planner.probe(lane, ids.symbol, now);
                }
                Tail::Behind(id) => {
                    self.undelivered.insert(lane, id);
                    let reply = Reply { lane, at: now, answer: Answer::Newest(id) };
                    self.outcomes.push_back(Outcome::Reply(reply));
                }
                Tail::Mute(newest) => {
                    self.not_delivered(lane, newest, &ids);
                    self.undelivered.insert(lane, newest);
                    if ids.newest.is_some() {
                        let reply = Reply { lane, at: now, answer: Answer::Newest(newest) };
                        self.outcomes.push_back(Outcome::Reply(reply));
                    }
                }
                Tail::Broken(newest) => {
                    self.steering.reconnect();
                    self.not_delivered(lane, newest, &ids);
                    let reply = Reply { lane, at: now, answer: Answer::Newest(newest) };
                    let (symbol, ours) = (ids.symbol.clone(), ids.newest);
                    self.outcomes.push_back(Outcome::Broken { symbol, newest, ours, reply });
                }
            }
        }
    }

    fn not_delivered(&mut self, lane: usize, newest: AggTradeId, ids: &LaneIds<'_>) {
        let finding = Finding::NotDelivered { newest, ours: ids.newest };
        self.outcomes.push_back(Outcome::Silence { lane, symbol: ids.symbol.clone(), finding });
    }

    /// Requests that asked for missing trades.
    pub fn repair_calls(&self) -> u64 {
        self.planner.repair_calls()
    }

    /// Requests made so far, of all kinds.
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
                    self.fly(|mut client| {
                        Box::pin(async move {
                            let result = client.fetch(&request).await;
                            let newest = request.ask == Ask::Newest;
                            (client, Brought::Page { lane: request.lane, newest, result })
                        })
                    });
                    continue;
                }
                Step::Wait(until) => until,
            };
            self.run_errand(now);
            self.idle = until.is_none() && self.flight.is_none();
            tokio::select! {
                biased;
                (client, brought) = landing(&mut self.flight) => {
                    self.flight = None;
                    self.client = Some(client);
                    if let Some(outcome) = self.landed(brought) {
                        return outcome;
                    }
                }
                () = at(self.clock, until) => {}
            }
        }
    }

    fn fly(&mut self, request: impl FnOnce(RestClient) -> Flight) {
        if let Some(client) = self.client.take() {
            self.flight = Some(request(client));
        }
    }

    /// Asks for the time or the listings, if that is due and nothing else is under way.
    fn run_errand(&mut self, now: Stamp) {
        let Some(kind) = self.errands.due(now).filter(|_| self.flight.is_none()) else { return };
        if !self.planner.errand(kind, now) {
            return;
        }
        let clock = self.clock;
        self.urgent = Arc::default();
        let urgent = Arc::clone(&self.urgent);
        self.fly(|mut client| match kind {
            Kind::Listings => Box::pin(async move {
                let result = making_way(&urgent, client.listings()).await;
                (client, Brought::Listings(result))
            }),
            _ => Box::pin(async move {
                let mut sent = clock.now();
                let asking = async {
                    client.connect().await?;
                    sent = clock.now();
                    client.time().await
                };
                let result = timeout(TIME_LIMIT, making_way(&urgent, asking)).await;
                let late = |_elapsed| Err(RestError::Passing("the time came too late".into()));
                let result = result.unwrap_or_else(late);
                (client, Brought::Time { sent, received: clock.now(), result })
            }),
        });
    }

    fn landed(&mut self, brought: Brought) -> Option<Outcome> {
        let now = self.clock.now();
        match brought {
            Brought::Page { lane, newest, result } => {
                self.trouble = result.as_ref().err().map(ToString::to_string);
                if let Err(error @ RestError::Passing(_)) = &result {
                    self.outcomes.push_back(Outcome::Failed(error.clone()));
                }
                let last = result.as_ref().ok().map(|page| {
                    let last = page.trades.iter().max_by_key(|row| row.id);
                    last.map(|row| Newest { id: row.id, traded_at: row.traded_at })
                });
                let reply = self.planner.answered(result, now);
                match last {
                    Some(last) if newest => self.judge(lane, last, now).map(Outcome::Reply),
                    _ => reply.map(Outcome::Reply),
                }
            }
            Brought::Time { sent, received, result } => {
                self.errands.answered(Kind::Time, result.as_ref().err(), now);
                let server = result.as_ref().ok().map(|time| time.at);
                self.planner.errand_answered(result.map(|time| time.used_weight), now);
                server.map(|server| Outcome::Clock { sent, received, server })
            }
            Brought::Listings(result) => {
                self.errands.answered(Kind::Listings, result.as_ref().err(), now);
                let (listed, result) = match result {
                    Ok(listed) => (Some(listed), Ok(None)),
                    Err(error) => (None, Err(error)),
                };
                self.planner.errand_answered(result, now);
                listed.map(Outcome::Listings)
            }
        }
    }

    /// The newest id is news for the pipeline only where it confirms suspicious ones; otherwise the watch waits whether
    /// the stream brings it.
    fn judge(&mut self, lane: usize, newest: Option<Newest>, now: Stamp) -> Option<Reply> {
        if let Some(newest) = newest
            && self.doubtful.remove(&lane)
        {
            return Some(Reply { lane, at: now, answer: Answer::Confirm(newest.id) });
        }
        let head = self.heads.get(lane).copied().flatten();
        if self.tail.newest(lane, newest, head, now) == Tail::Agreed {
            self.errands.is_silent(now);
            // A connection that let something pass is no witness until it has brought something newer.
            if head.is_some_and(|head| self.undelivered.get(&lane).is_some_and(|id| head > *id)) {
                self.undelivered.remove(&lane);
            }
            if self.undelivered.is_empty() && self.tail.vouches(now) {
                self.steering.vouch();
            }
            if let Some(symbol) = self.symbols.get(lane).cloned() {
                self.outcomes.push_back(Outcome::Silence { lane, symbol, finding: Finding::Quiet(newest) });
            }
        }
        None
    }
}

async fn landing(flight: &mut Option<Flight>) -> (RestClient, Brought) {
    match flight {
        Some(flight) => flight.as_mut().await,
        None => std::future::pending().await,
    }
}

/// What a question brings, unless something more urgent comes up and it takes longer than [`MAKE_WAY`] from there.
async fn making_way<T>(
    urgent: &Notify,
    asking: impl Future<Output = Result<T, RestError>>,
) -> Result<T, RestError> {
    let made_way = async {
        urgent.notified().await;
        sleep(MAKE_WAY).await;
    };
    tokio::select! {
        biased;
        result = asking => result,
        () = made_way => Err(RestError::Passing("missing trades were more urgent".into())),
    }
}

/// Ready at a moment of the monotonic clock; never, if there is none.
async fn at(clock: Clock, mono_ns: Option<u64>) {
    match mono_ns {
        Some(mono_ns) => sleep_until(clock.instant(mono_ns)).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
#[cfg(feature = "exchange")]
mod tests {
    use super::*;
    use crate::exchange::{Act, Exchange};
    use crate::feed::LineId;
    use crate::repair::WeightBudget;
    use crate::repair::rest::RestBase;
    use crate::snapshot::Market;

    /// How often REST is asked in two minutes in which nobody trades, sessions opening (`true`) and closing at these
    /// seconds.
    async fn asked(links: &[(u64, u64, bool)]) -> u64 {
        let exchange = Exchange::builder()
            .in_memory()
            .script([Act::SkipIds(5)])
            .start()
            .await
            .expect("memory has ports");
        exchange.wait_for(|stats| stats.script_finished).await;
        let symbol = Symbol::new("BTCUSDT").expect("a symbol");
        let newest = exchange.ledger().last_id(&symbol);
        let clock = Clock::simulated(0);
        let base = RestBase::parse(&exchange.rest_url(), false).expect("an address");
        let client = RestClient::new(exchange.network(), base, Market::UsdM);
        let planner = Planner::new(WeightBudget::of(Market::UsdM), Duration::from_secs(60));
        let mut repair = Repair::new(planner, client, clock, Steering::default());
        let lanes =
            || std::iter::once(LaneIds { symbol: &symbol, newest, holes: Vec::new(), in_doubt: false });
        for second in 0..120 {
            for (_, session, opens) in links.iter().filter(|(at, ..)| *at == second) {
                let change = if *opens { LinkChange::Opened } else { LinkChange::Closed };
                let (line, session) = (LineId(0), SessionId(*session));
                repair.link(&LinkEvent { line, session, at: clock.now(), change }, lanes());
            }
            repair.tick(lanes());
            let next_second = tokio::time::Instant::now() + Duration::from_secs(1);
            while timeout(next_second - tokio::time::Instant::now(), repair.next()).await.is_ok() {}
        }
        assert_eq!(repair.repair_calls(), 0);
        exchange.stop().await.expect("the ports work to the end");
        repair.calls()
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_line_and_a_hand_over_ask_rest_nothing_and_a_lost_connection_does() {
        let alone = asked(&[(0, 1, true)]).await;
        let second_line = asked(&[(0, 1, true), (50, 2, true), (70, 2, false)]).await;
        let handed_over =
            asked(&[(0, 1, true), (50, 2, true), (51, 1, false), (90, 3, true), (91, 2, false)]).await;
        let lost = asked(&[(0, 1, true), (50, 1, false), (51, 2, true)]).await;
        assert_eq!((second_line, handed_over), (alone, alone));
        assert!(lost > alone, "{lost} and {alone}");
        assert!((5..20).contains(&alone), "{alone}");
    }
}
