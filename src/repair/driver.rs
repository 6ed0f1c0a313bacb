//! The thin async shell around the repair: reads the clock, sends one request at a time, hands the answers on.

mod watch;

use std::collections::{BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, sleep_until, timeout};

use super::errands::{Errand, Errands};
use super::looks::Looks;
use super::progress::Progress;
use super::rest::{Listed, RestClient, ServerTime};
use super::shards::Shards;
use super::{Answer, Ask, Outcome, Page, Planner, RestError, Step};
use crate::clock::{Clock, ClockOffset};
use crate::feed::{LinkEvent, SessionId, Steering};
use crate::pipeline::LaneIds;
use crate::silence::Newest;
use crate::snapshot::{Market, Stamp};

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
    Listings(Market, Result<Vec<Listed>, RestError>),
}

/// Asks REST for what is missing, and whether anything is, for the lanes of the markets that share a weight.
pub struct Repair {
    planner: Planner,
    shards: Shards,
    looks: Looks,
    progress: Progress,
    markets: Vec<Market>,
    /// One for each market, without the one that travels with a request.
    clients: Vec<RestClient>,
    flight: Option<Flight>,
    errands: Errands,
    /// Trades are missing while the request in flight asks for something else.
    urgent: Arc<Notify>,
    /// Why the last question about trades brought nothing; `None` if it did.
    trouble: Option<String>,
    clock: Clock,
    steering: Steering,
    /// Lanes with suspicious ids: the newest id is asked for them, not for a lost tail.
    doubtful: BTreeSet<usize>,
    ticks: u64,
    /// There is nothing to do until something is wanted: no reason to read the clock for every burst.
    idle: bool,
    /// What is to be told next.
    outcomes: VecDeque<Outcome>,
}

impl Repair {
    /// A repair over `clients`, one for each market that shares the weight of `planner`; `steering` ends the sessions of
    /// a shard that has gone mute.
    pub fn new(
        planner: Planner,
        clients: impl IntoIterator<Item = RestClient>,
        clock: Clock,
        steering: Steering,
    ) -> Self {
        let clients: Vec<_> = clients.into_iter().collect();
        let markets: Vec<_> = clients.iter().map(RestClient::market).collect();
        let looks_per_minute = planner.probes_per_minute();
        Self {
            planner,
            shards: Shards::new(looks_per_minute),
            looks: Looks::new(looks_per_minute),
            progress: Progress::default(),
            errands: Errands::new(markets.iter().copied()),
            markets,
            clients,
            flight: None,
            urgent: Arc::default(),
            trouble: None,
            clock,
            steering,
            doubtful: BTreeSet::new(),
            ticks: 0,
            idle: false,
            outcomes: VecDeque::new(),
        }
    }

    /// Watches silences for a feed that ends a session without data for so long, unless somebody vouches for it.
    #[must_use]
    pub fn with_heartbeat(mut self, heartbeat_timeout: Duration) -> Self {
        self.shards = self.shards.with_heartbeat(heartbeat_timeout);
        self
    }

    /// Asks for everything but the time, which somebody else does.
    #[must_use]
    pub fn without_time(mut self) -> Self {
        self.errands.without_time();
        self
    }

    /// Whether it asks about the lanes of a market.
    pub fn asks(&self, market: Market) -> bool {
        self.markets.contains(&market)
    }

    /// The holes or the doubts of a lane have changed.
    pub fn want(&mut self, lane: usize, ids: &LaneIds<'_>) {
        if !self.asks(ids.instrument.market) {
            return;
        }
        self.idle = false;
        let now = self.clock.now();
        let misses = !ids.holes.is_empty();
        if misses {
            self.shards.meet(ids);
            self.planner.liquidity(lane, self.shards.trades_per_hour(lane));
            self.urgent.notify_one();
        }
        self.planner.want(lane, &ids.instrument.symbol, &ids.holes, now);
        self.progress.lane(lane, misses, self.planner.repair_calls(), now);
        if !ids.in_doubt {
            self.doubtful.remove(&lane);
        } else if self.doubtful.insert(lane) {
            self.shards.meet(ids);
            self.planner.probe(lane, &ids.instrument.symbol, now);
        }
    }

    /// A session opened or closed, while the lanes stood like this. With several sessions of a shard only the first that
    /// opens raises doubts about what was before, and only the last that closes ends the watch: another line, or a
    /// hand-over, asks nothing.
    pub fn link<'a>(&mut self, event: &LinkEvent, lanes: impl Iterator<Item = LaneIds<'a>>) {
        let now = self.clock.now();
        if self.shards.is_first(event) {
            // Where each lane stood before: while the link is down, nothing follows from looking.
            let shard = event.line.shard();
            let mut traded = 0;
            for ids in lanes.filter(|ids| ids.shard == shard && self.markets.contains(&ids.instrument.market))
            {
                traded += usize::from(ids.newest.is_some());
                self.shards.see(&ids, now);
            }
            self.progress.opened(traded, now);
        }
        self.shards.link(event, now);
    }

    /// How far our wall clock is from the exchange's, as far as it is known now.
    pub fn clock_offset(&mut self, offset: Option<ClockOffset>) {
        self.shards.clock_offset(offset);
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

    /// Something was lost on our side, of what this session brought, or of any: whether it was the newest, only REST can
    /// tell.
    pub fn disturbed(&mut self, session: Option<SessionId>) {
        self.shards.disturbed(session);
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
                Step::Reply(reply) => {
                    if matches!(reply.answer, Answer::GaveUp { .. }) {
                        self.progress.gave_up(reply.lane);
                    }
                    return Outcome::Reply(reply);
                }
                Step::Ask(request) => {
                    let market = self.shards.instrument(request.lane).map(|instrument| instrument.market);
                    self.fly(market, |mut client| {
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
                    self.clients.push(client);
                    if let Some(outcome) = self.landed(brought) {
                        return outcome;
                    }
                }
                () = at(self.clock, until) => {}
            }
        }
    }

    /// Sends a request to a market; `None` for any.
    fn fly(&mut self, market: Option<Market>, request: impl FnOnce(RestClient) -> Flight) {
        let place =
            self.clients.iter().position(|client| market.is_none_or(|market| client.market() == market));
        if let Some(place) = place {
            let client = self.clients.remove(place);
            self.flight = Some(request(client));
        }
    }

    /// Asks for the time or the listings, if that is due and nothing else is under way.
    fn run_errand(&mut self, now: Stamp) {
        let Some(errand) = self.errands.due(now).filter(|_| self.flight.is_none()) else { return };
        if !self.planner.errand(errand.kind(), now) {
            return;
        }
        let clock = self.clock;
        self.urgent = Arc::default();
        let urgent = Arc::clone(&self.urgent);
        match errand {
            Errand::Listings(market) => self.fly(Some(market), |mut client| {
                Box::pin(async move {
                    let result = making_way(&urgent, client.listings()).await;
                    (client, Brought::Listings(market, result))
                })
            }),
            Errand::Time => self.fly(self.markets.first().copied(), |mut client| {
                Box::pin(async move {
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
                })
            }),
        }
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
                self.errands.answered(Errand::Time, result.as_ref().err(), now);
                let server = result.as_ref().ok().map(|time| time.at);
                self.planner.errand_answered(result.map(|time| time.used_weight), now);
                server.map(|server| Outcome::Clock { sent, received, server })
            }
            Brought::Listings(market, result) => {
                self.errands.answered(Errand::Listings(market), result.as_ref().err(), now);
                let (listed, result) = match result {
                    Ok(listed) => (Some(listed), Ok(None)),
                    Err(error) => (None, Err(error)),
                };
                self.planner.errand_answered(result, now);
                listed.map(|listed| Outcome::Listings { market, listed })
            }
        }
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
mod tests;
