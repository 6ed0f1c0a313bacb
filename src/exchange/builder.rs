//! The settings of a practice exchange, and its start.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::Exchange;
use super::clock::ExchangeClock;
use super::connection::Shared;
use super::control::ErrorShape;
use super::director::Director;
use super::hub::Hub;
use super::ledger::Ledger;
use super::listings::Listings;
use super::market::{Listing, MAX_LATENCY_MS, MarketModel};
use super::misanswer::Misanswers;
use super::network::PipeNetwork;
use super::rest::Rest;
use super::rest_script::RestScript;
use super::route::Routing;
use super::rules::Rules;
use super::script::Script;
use super::server::{Port, turned};
use super::socket::Harbour;
use super::stats::Counters;
use super::universe::universe;
use crate::snapshot::Market;
use crate::units::{Symbol, UnixMillis};

/// When the model's first trade happens unless told otherwise: 2026-11-20 00:00:00 UTC.
const START: UnixMillis = UnixMillis(1_795_132_800_000);
/// Trades per symbol that the ledger keeps unless told otherwise.
const LEDGER_CAPACITY: usize = 1_000_000;
/// Acts and orders that can wait to be played.
const ACTS: usize = 64;

/// The ports of an exchange without sockets.
const FAKE_PORTS: (u16, u16) = (1, 2);

/// When trades happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Time {
    /// At the model's own times.
    OfTheModel,
    /// When they are made, by a clock that goes with tokio's.
    Simulated,
    /// When they are made, by the system's clock.
    OfTheSystem,
}

/// Settings of an exchange to be. See [`Exchange::builder`].
#[derive(Debug, Clone)]
#[must_use = "an exchange runs only after `start`"]
pub struct ExchangeBuilder {
    symbols: Vec<String>,
    listings: Vec<Listing>,
    seed: u64,
    start: UnixMillis,
    time: Time,
    clock_ahead_ms: i64,
    in_memory: bool,
    script: Script,
    rules: Rules,
    port: u16,
    rest_port: u16,
    ledger_capacity: usize,
    rest_lag: u64,
    rest_missing: Vec<RangeInclusive<i64>>,
}

impl Default for ExchangeBuilder {
    fn default() -> Self {
        Self {
            symbols: Vec::new(),
            listings: Vec::new(),
            seed: 0,
            start: START,
            time: Time::OfTheModel,
            clock_ahead_ms: 0,
            in_memory: false,
            script: Script::default(),
            rules: Rules::of(Market::UsdM),
            port: 0,
            rest_port: 0,
            ledger_capacity: LEDGER_CAPACITY,
            rest_lag: 0,
            rest_missing: Vec::new(),
        }
    }
}

impl ExchangeBuilder {
    /// Follows the habits and limits of this market; resets routing, pings and limits to its own.
    pub fn market(mut self, market: Market) -> Self {
        self.rules = Rules::of(market);
        self
    }

    /// Lists one symbol more, with believable figures. Without any, BTCUSDT (on COIN-M BTCUSD_PERP) is
    /// listed.
    pub fn symbol(mut self, symbol: &str) -> Self {
        self.symbols.push(symbol.to_owned());
        self
    }

    /// Lists one symbol more, with these figures.
    pub fn listing(mut self, listing: Listing) -> Self {
        self.listings.push(listing);
        self
    }

    /// Lists so many symbols, with believable names, prices and shares of the trading: few are busy, most are quiet.
    pub fn universe(mut self, count: usize) -> Self {
        self.listings.extend(universe(self.rules.market, count));
        self
    }

    /// The seed of the market: the same seed gives the same frames byte for byte, unless the clock is the
    /// wall's.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// What the exchange's clock shows at the start, and when the model's first trade happens. The clock goes with
    /// tokio's time.
    pub fn start_time(mut self, start: UnixMillis) -> Self {
        self.start = start;
        self
    }

    /// Lets trades happen now, by the system's clock, rather than at the model's own times.
    pub fn wall_clock(mut self) -> Self {
        self.time = Time::OfTheSystem;
        self
    }

    /// Lets the exchange's clock go so many milliseconds ahead of what it would show, behind if negative: the one it tells
    /// over REST, and the one its trades happen by if they happen when they are made.
    pub fn clock_ahead(mut self, ms: i64) -> Self {
        self.clock_ahead_ms = ms;
        self
    }

    /// Opens no sockets: the exchange is reached through [`Exchange::network`], at addresses that mean nothing
    /// elsewhere. Trades happen when they are made, by the exchange's clock, so that under tokio's paused time the
    /// same seed and the same client give the same bytes.
    pub fn in_memory(mut self) -> Self {
        self.in_memory = true;
        self.time = Time::Simulated;
        self
    }

    /// What the exchange does.
    pub fn script(mut self, script: impl Into<Script>) -> Self {
        self.script = script.into();
        self
    }

    /// Which paths deliver.
    pub fn routing(mut self, routing: Routing) -> Self {
        self.rules.routing = routing;
        self
    }

    /// In which shape errors are written.
    pub fn error_shape(mut self, shape: ErrorShape) -> Self {
        self.rules.error_shape = shape;
        self
    }

    /// Pings every connection so often. Default 3 minutes, on spot 20 s.
    pub fn server_ping(mut self, every: Duration) -> Self {
        self.rules.server_ping = Some(every);
        self
    }

    /// Never pings.
    pub fn no_server_ping(mut self) -> Self {
        self.rules.server_ping = None;
        self
    }

    /// How long a ping may stay unanswered before the connection is closed. Default 10 minutes, on spot 1
    /// minute.
    pub fn pong_deadline(mut self, deadline: Duration) -> Self {
        self.rules.pong_deadline = deadline;
        self
    }

    /// How many messages (pings, pongs, JSON) a client may send per second. Default 10, on spot 5.
    pub fn messages_per_second(mut self, limit: u32) -> Self {
        self.rules.messages_per_second = limit;
        self
    }

    /// After how long a connection is cut. Default 24 hours.
    pub fn connection_life(mut self, life: Duration) -> Self {
        self.rules.connection_life = Some(life);
        self
    }

    /// How many connections may be opened per window; more is a violation. Default 300 per 5 minutes.
    pub fn connection_limit(mut self, limit: usize, window: Duration) -> Self {
        self.rules.connections_per_window = limit;
        self.rules.connection_window = window;
        self
    }

    /// Lets REST trail the ledger by so many ids per symbol.
    pub fn rest_lag(mut self, ids: u64) -> Self {
        self.rest_lag = ids;
        self
    }

    /// Ids that REST never has, in every symbol.
    pub fn rest_missing(mut self, ids: RangeInclusive<i64>) -> Self {
        self.rest_missing.push(ids);
        self
    }

    /// Refuses `fromId` (code -1000) for trades older than this in ledger time; the real futures do at 24
    /// hours.
    pub fn rest_from_id_reach(mut self, reach: Duration) -> Self {
        self.rules.rest_from_id_reach = Some(reach);
        self
    }

    /// REST weight per minute beyond which requests are answered 429. Default 2400, on spot 6000.
    pub fn rest_weight_limit(mut self, per_minute: u64) -> Self {
        self.rules.rest_weight_per_minute = per_minute;
        self
    }

    /// The stream's port; 0, the default, takes a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The REST port; 0, the default, takes a free one.
    pub fn rest_port(mut self, port: u16) -> Self {
        self.rest_port = port;
        self
    }

    /// Lets both raw trade ids of each trade of [`Act::Bursts`](super::Act::Bursts) be the time at which it is written, so
    /// that a client can tell how long a trade was on its way: 10¹⁷ plus the nanoseconds since 1970 modulo 10¹⁷. The ledger
    /// and REST keep the ids.
    pub fn stamp_writes(mut self) -> Self {
        self.rules.stamps = true;
        self
    }

    /// Trades per symbol that the ledger keeps; sums stay exact beyond. Default one million.
    pub fn ledger_capacity(mut self, trades: usize) -> Self {
        self.ledger_capacity = trades;
        self
    }

    /// Opens the ports and begins the script.
    ///
    /// # Errors
    /// If a port cannot be had, or a symbol is none or listed twice.
    pub async fn start(self) -> io::Result<Exchange> {
        let listings = self.listed()?;
        let pipes = self.in_memory.then(|| Arc::new(PipeNetwork::default()));
        let harbour = pipes.clone().map_or(Harbour::Tcp, Harbour::Pipe);
        let asked = if self.in_memory { FAKE_PORTS } else { (self.port, self.rest_port) };
        let (stream, rest) = (harbour.listen(asked.0)?, harbour.listen(asked.1)?);
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (address, rest_address) = (at(stream.port(asked.0)?), at(rest.port(asked.1)?));
        let clock = match self.time {
            Time::OfTheSystem => ExchangeClock::System { ahead_ms: self.clock_ahead_ms },
            Time::OfTheModel | Time::Simulated => {
                ExchangeClock::starting_at(UnixMillis(self.start.0.saturating_add(self.clock_ahead_ms)))
            }
        };

        let counters = Counters::default();
        let hub = Hub::new(counters.clone());
        let ledger = Ledger::new(&listings, self.ledger_capacity);
        let rest_script = RestScript::default();
        rest_script.lock().shade.ids = self.rest_lag;
        let symbols = listings.iter().map(|listing| listing.symbol.clone()).collect();
        let first_moment = match self.time {
            Time::OfTheModel => self.start,
            Time::Simulated | Time::OfTheSystem => UnixMillis(clock.now().0 - MAX_LATENCY_MS),
        };
        let model = MarketModel::new(&listings, self.seed, first_moment);
        let (market, routing) = (self.rules.market, self.rules.routing);
        let listings = Listings::new(listings);
        let shared = Shared {
            listings: listings.clone(),
            rules: self.rules,
            counters: counters.clone(),
            clock,
            misanswers: Misanswers::default(),
        };
        let (plays, to_play) = mpsc::channel(ACTS);
        let (orders, to_obey) = mpsc::channel(ACTS);
        let stop = watch::Sender::new(false);

        let mut director =
            Director::new(shared.clone(), model, ledger.clone(), hub.clone(), rest_script.clone(), to_play);
        director.steered = self.time != Time::OfTheModel;
        (director.is_in_memory, director.seed) = (self.in_memory, self.seed);
        let mut acts = VecDeque::from(self.script.acts);
        director.open(&mut acts);
        let mut stopped = stop.subscribe();
        let at_end = self.script.at_end;
        let directing = async move {
            tokio::select! {
                biased;
                () = director.run(acts, at_end) => {}
                () = turned(&mut stopped) => {}
            }
            Ok(())
        };
        let port = Port {
            shared: shared.clone(),
            hub,
            harbour,
            port: address.port(),
            orders: to_obey,
            stop: stop.subscribe(),
        };
        #[cfg(feature = "replay")]
        let archive = super::archive::Archive::default();
        let missing: Arc<[_]> = self.rest_missing.into();
        let rest_port = Rest {
            shared,
            ledger: ledger.clone(),
            script: rest_script.clone(),
            missing: Arc::clone(&missing),
            #[cfg(feature = "replay")]
            archive: archive.clone(),
        };
        let tasks = vec![
            tokio::spawn(directing),
            tokio::spawn(port.run(stream)),
            tokio::spawn(rest_port.run(rest, stop.subscribe())),
        ];
        Ok(Exchange {
            address,
            rest_address,
            pipes,
            rest_script,
            rest_missing: missing,
            #[cfg(feature = "replay")]
            archive,
            symbols,
            listings,
            market,
            routing,
            ledger,
            counters,
            plays,
            orders,
            stop,
            tasks,
        })
    }

    fn listed(&self) -> io::Result<Vec<Listing>> {
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
        let mut listings = self.listings.clone();
        for symbol in &self.symbols {
            listings.push(Listing::new(Symbol::new(symbol).map_err(|error| invalid(error.to_string()))?));
        }
        if listings.is_empty() {
            let symbol = if self.rules.market == Market::CoinM { "BTCUSD_PERP" } else { "BTCUSDT" };
            listings.push(Listing::new(Symbol::new(symbol).map_err(|error| invalid(error.to_string()))?));
        }
        for (at, listing) in listings.iter().enumerate() {
            if listings[..at].iter().any(|other| other.symbol == listing.symbol) {
                return Err(invalid(format!("{} is listed twice", listing.symbol)));
            }
        }
        Ok(listings)
    }
}
