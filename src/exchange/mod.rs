//! The practice exchange: a loopback server that speaks Binance's protocol, plays a script of trades and
//! faults, and keeps a ledger of what truly happened.
//!
//! It serves tests, benches, examples and `cvd-stream demo`. Sockets are real and on free ports of 127.0.0.1, unless
//! [`ExchangeBuilder::in_memory`] does without them, for simulations under a paused clock;
//! every task is joined by [`Exchange::stop`], so that a panic inside is the caller's.
//!
//! ```
//! use cvd_stream::exchange::{Act, Exchange};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let script = [Act::Trades(1_000), Act::SkipIds(5), Act::Trades(1_000), Act::Drop, Act::Trades(1_000)];
//! let exchange = Exchange::builder().symbol("BTCUSDT").seed(7).script(script).start().await?;
//! println!("connect to {}", exchange.stream_url());
//! let report = exchange.stop().await?;
//! assert!(report.violations.is_empty());
//! # std::io::Result::Ok(()) }).unwrap();
//! ```

#[cfg(feature = "replay")]
mod archive;
#[cfg_attr(not(feature = "replay"), allow(dead_code, reason = "the archive alone needs some of it"))]
mod body;
mod builder;
mod busy;
mod clock;
mod connection;
mod control;
mod director;
mod hub;
mod ledger;
mod limits;
mod listings;
mod market;
mod misanswer;
mod network;
mod pace;
mod pen;
mod pipe;
mod query;
mod rest;
mod rest_script;
mod route;
mod rules;
mod script;
mod server;
mod socket;
mod stats;
mod universe;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::feed::Network;
use crate::snapshot::Market;
use crate::units::{AggTradeId, IdRange, Symbol};

#[cfg(feature = "replay")]
pub use archive::{Archive, ArchiveCounts, ArchiveFault, ArchiveRequest};
pub use builder::ExchangeBuilder;
pub use control::ErrorShape;
pub use ledger::Ledger;
pub use market::{Listing, MarketModel};
pub use misanswer::Misanswer;
pub use route::Routing;
pub use script::{Act, AtEnd, Script};
pub use stats::{ExchangeReport, Stats};

use director::Play;
use listings::Listings;
use network::{Loopback, PipeNetwork};
use rest_script::RestScript;
use server::Order;
use stats::Counters;

/// A running practice exchange. Dropped without [`Exchange::stop`] it ends too, but nobody hears of a panic.
#[derive(Debug)]
pub struct Exchange {
    address: SocketAddr,
    rest_address: SocketAddr,
    pipes: Option<Arc<PipeNetwork>>,
    rest_script: RestScript,
    rest_missing: Arc<[RangeInclusive<i64>]>,
    #[cfg(feature = "replay")]
    archive: Archive,
    /// Those of the start.
    symbols: Vec<Symbol>,
    listings: Listings,
    market: Market,
    routing: Routing,
    ledger: Ledger,
    counters: Counters,
    plays: mpsc::Sender<Play>,
    orders: mpsc::Sender<Order>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<io::Result<()>>>,
}

impl Exchange {
    /// Settings of an exchange to be: USDⓈ-M, BTCUSDT, the real exchange's limits, an empty script that
    /// holds.
    pub fn builder() -> ExchangeBuilder {
        ExchangeBuilder::default()
    }

    /// The stream's address.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The REST port's address.
    pub fn rest_addr(&self) -> SocketAddr {
        self.rest_address
    }

    /// `ws://127.0.0.1:PORT`, to which a path is to be added.
    pub fn stream_base(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// The combined stream of every symbol that was listed at the start, on the path that delivers.
    pub fn stream_url(&self) -> String {
        let names = self.symbols.iter().map(|symbol| {
            let name = symbol.stream_name();
            // Only letters beyond ASCII need it; `_` and `-` are harmless as they are.
            if name.is_ascii() { name } else { utf8_percent_encode(&name, NON_ALPHANUMERIC).to_string() }
        });
        let streams: Vec<_> = names.map(|name| format!("{name}@aggTrade")).collect();
        let category = if self.routing == Routing::Routed { "/market" } else { "" };
        format!("{}{category}/stream?streams={}", self.stream_base(), streams.join("/"))
    }

    /// `http://127.0.0.1:PORT`, to which `/fapi/v1/aggTrades` and the like are to be added.
    pub fn rest_url(&self) -> String {
        format!("http://{}", self.rest_address)
    }

    /// Its archive, which is at [`Exchange::rest_url`] and empty at first.
    #[cfg(feature = "replay")]
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// The way to its two ports: of an exchange in memory the only one.
    pub fn network(&self) -> Arc<dyn Network> {
        match &self.pipes {
            Some(pipes) => Arc::<PipeNetwork>::clone(pipes),
            None => Arc::new(Loopback),
        }
    }

    /// The ids of a symbol's present epoch that REST never has, in the order in which it lost them.
    pub fn lost_from_rest(&self, symbol: &Symbol) -> Vec<IdRange> {
        let listing = self.listings.index_of(symbol);
        let by_script = listing.map(|listing| self.rest_script.lost(listing)).unwrap_or_default();
        let ranges = self.rest_missing.iter().cloned().chain(by_script);
        ranges.map(|ids| IdRange { from: AggTradeId(*ids.start()), to: AggTradeId(*ids.end()) }).collect()
    }

    /// The symbols that are listed now.
    pub fn listed(&self) -> Vec<Symbol> {
        let listings = self.listings.read();
        listings.iter().filter(|entry| entry.is_listed).map(|entry| entry.listing.symbol.clone()).collect()
    }

    /// The symbols it listed at the start, busiest first where they are a whole market.
    pub fn symbols(&self) -> &[Symbol] {
        &self.symbols
    }

    /// The market whose habits it follows.
    pub fn market(&self) -> Market {
        self.market
    }

    /// What truly happened so far.
    pub fn ledger(&self) -> Ledger {
        self.ledger.clone()
    }

    /// Handshakes done so far.
    pub fn connections(&self) -> u64 {
        self.stats().connections
    }

    /// The counters now.
    pub fn stats(&self) -> Stats {
        self.counters.now()
    }

    /// The rules broken so far, in words.
    pub fn violations(&self) -> Vec<String> {
        self.counters.report().violations
    }

    /// Waits until the counters fulfil a condition. There is no deadline: put one around it.
    ///
    /// # Cancel safety
    /// A dropped future changes nothing.
    pub async fn wait_for(&self, condition: impl FnMut(&Stats) -> bool) -> Stats {
        let mut stats = self.counters.watch();
        match stats.wait_for(condition).await {
            Ok(stats) => *stats,
            Err(_) => self.stats(),
        }
    }

    /// Plays an act after the script and waits until it is over: until every connection concerned has written
    /// it to its socket, or is gone. Under [`AtEnd::Market`] it is played between trades.
    pub async fn play(&self, act: Act) {
        let (done, over) = oneshot::channel();
        if self.plays.send(Play { act, done }).await.is_ok() {
            // An error means that the director has ended, and then `stop` tells why.
            drop(over.await);
        }
    }

    /// Closes the stream's port and drops every connection, as a crash would. REST and the ledger stay.
    pub async fn stop_listening(&self) {
        let (done, over) = oneshot::channel();
        if self.orders.send(Order::Down(done)).await.is_ok() {
            drop(over.await);
        }
    }

    /// Opens the stream's port again, with the same number.
    ///
    /// # Errors
    /// If the system does not give the port back.
    pub async fn listen_again(&self) -> io::Result<()> {
        let (done, over) = oneshot::channel();
        let gone = || io::Error::other("the stream's port has stopped for good");
        self.orders.send(Order::Up(done)).await.map_err(|_| gone())?;
        over.await.map_err(|_| gone())?
    }

    /// Ends every connection, joins every task and gives the account.
    ///
    /// # Errors
    /// If a port failed.
    ///
    /// # Panics
    /// With the panic of a task that panicked.
    pub async fn stop(mut self) -> io::Result<ExchangeReport> {
        self.stop.send_replace(true);
        for task in std::mem::take(&mut self.tasks) {
            match task.await {
                Ok(ended) => ended?,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(self.counters.report())
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
