//! Where inputs come from: the queue behind the live feed, or files. Both are a [`Source`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::feed::{Frame, LinkEvent, SessionId, ShardId};
use crate::repair::Reply;
use crate::silence::{Cause, Finding};
use crate::snapshot::{Instrument, Market, Stamp};
use crate::trade::AggTrade;
use crate::units::Symbol;

/// One thing for the pipeline to digest.
#[derive(Debug, Clone)]
pub enum Input {
    /// A message from the stream, or from a recording of one.
    Frame(Frame),
    /// Trades that were read from a table of trades.
    Rows(Rows),
    /// A row or line of a file that is damaged. It stands between the rows before and behind it.
    Damaged(DamagedLine),
    /// A place where a recording lacks something: nobody sent anything that could not be read.
    Lost(DamagedLine),
    /// A connection opened or closed.
    Link(LinkEvent),
    /// The queue had to evict frames of a session. It comes before the frames that outlived them.
    Evicted {
        /// The session.
        session: SessionId,
        /// How many frames.
        frames: u64,
    },
    /// An answer to a question about missing trades.
    Reply(Reply),
    /// Nothing but the time.
    Tick(Stamp),
    /// What is known around the pipeline. No number depends on it, but the state of the connection does.
    Note(Note),
    /// Lanes are opened, move or end.
    Roster(RosterChange),
    /// A recording begins, or goes on where nothing leads to from what came before.
    Begin(Box<Beginning>),
}

/// Which lanes there are from here on, as far as that has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterChange {
    /// When.
    pub at: Stamp,
    /// Lanes that are opened, or whose place has changed.
    pub seats: Vec<Seat>,
    /// Lanes that end.
    pub ended: Vec<Departure>,
}

/// The place of a lane: what it is of, and which connection brings it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// What it is of.
    pub instrument: Instrument,
    /// The shard whose connections bring it.
    pub shard: ShardId,
    /// Dollars that a contract of it stands for; `None` where quantities are not contracts.
    pub contract_size: Option<u32>,
    /// It is on its way here from another shard, whose connections may bring it too.
    pub is_moving: bool,
    /// Why it has joined, where it is new.
    pub joined: Arrival,
}

impl Seat {
    /// A lane that somebody asked for, on the first shard.
    pub fn first(instrument: Instrument) -> Self {
        let contract_size = usual_contract_size(&instrument);
        let (shard, joined) = (ShardId::default(), Arrival::Asked);
        Self { instrument, shard, contract_size, is_moving: false, joined }
    }
}

/// What a contract of COIN-M stands for in dollars, where the exchange has not told: 100 for bitcoin, 10 for everything
/// else. `None` on other markets.
pub fn usual_contract_size(instrument: &Instrument) -> Option<u32> {
    let size = if instrument.symbol.as_str().starts_with("BTCUSD_") { 100 } else { 10 };
    (instrument.market == Market::CoinM).then_some(size)
}

/// Why a lane has joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrival {
    /// Somebody asked for it.
    #[default]
    Asked,
    /// The exchange has begun to list it.
    Listed,
}

/// A lane that ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departure {
    /// What it is of.
    pub instrument: Instrument,
    /// Why it ends.
    pub why: DepartureReason,
}

/// Why a lane ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DepartureReason {
    /// Nobody asks for it any more.
    Removed,
    /// The exchange does not trade it any more.
    Delisted,
}

impl Arrival {
    /// `asked` or `listed`: the word in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Listed => "listed",
        }
    }
}

impl DepartureReason {
    /// `removed` or `delisted`: the word in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Delisted => "delisted",
        }
    }
}

impl Input {
    /// When it came, where it says so.
    pub fn at(&self) -> Option<Stamp> {
        match self {
            Self::Frame(frame) => frame.received,
            Self::Link(event) => Some(event.at),
            Self::Reply(reply) => Some(reply.at),
            Self::Tick(at) | Self::Note(Note::Second(at) | Note::Silence { at, .. }) => Some(*at),
            Self::Roster(change) => Some(change.at),
            Self::Begin(beginning) => Some(beginning.at),
            Self::Rows(_) | Self::Damaged(_) | Self::Lost(_) | Self::Evicted { .. } | Self::Note(_) => None,
        }
    }
}

/// What a live monitor comes to know besides what the pipeline digests, in order with that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// A second has passed.
    Second(Stamp),
    /// What others know of the connection has changed.
    Around(Surroundings),
    /// What REST says about the silence of a lane.
    Silence {
        /// The lane.
        lane: usize,
        /// Its symbol.
        symbol: Symbol,
        /// What it says.
        finding: Finding,
        /// When.
        at: Stamp,
    },
    /// What a market's list says about the symbols that are followed.
    Listed {
        /// The market.
        #[serde(default)]
        market: Market,
        /// Those that nobody can trade now, with the exchange's word for it.
        not_trading: BTreeMap<Symbol, String>,
        /// Those that traded, but that it does not list.
        unlisted: BTreeSet<Symbol>,
    },
}

/// What others know of the connection.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Surroundings {
    /// Which connections it is about.
    #[serde(default)]
    pub shard: ShardId,
    /// How the last connection ended, or the last attempt failed.
    pub ended: Option<Cause>,
    /// Why REST cannot be asked.
    pub trouble: Option<String>,
    /// How far the exchange's clock is ahead of ours, in milliseconds; 0 while that is not known.
    pub offset_ms: i64,
}

/// What a monitor was told and where it stood when a segment of its recording began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beginning {
    /// Which run: another one than before has numbers of its own.
    pub run: String,
    /// When.
    pub at: Stamp,
    /// Its settings, as JSON.
    pub settings: String,
    /// Its complete state, as JSON.
    pub state: String,
}

/// Consecutive trades out of one file: a block, so that what costs the same for one as for many is done once.
/// At most [`Rows::MOST`] of them; the source takes the room back when it fills the burst again.
#[derive(Debug, Clone)]
pub struct Rows {
    /// The market the file belongs to.
    pub market: Market,
    /// The symbol the file belongs to.
    pub symbol: Symbol,
    /// The trades, in the order of the file.
    pub trades: Vec<AggTrade>,
}

impl Rows {
    /// The most trades of a block: so many fit the cache nearest to the processor.
    pub const MOST: usize = 256;

    /// A single trade.
    pub fn one(market: Market, symbol: Symbol, trade: AggTrade) -> Self {
        Self { market, symbol, trades: vec![trade] }
    }
}

/// A damaged place in a file: counted, reported by line number, never fatal.
#[derive(Debug, Clone)]
pub struct DamagedLine {
    /// The file.
    pub file: Arc<PathBuf>,
    /// The line, from 1.
    pub line: u64,
    /// What is wrong, in lower case: `no agg_trade_id`.
    pub reason: String,
    /// The line itself, at most 160 characters of it, unescaped.
    pub text: String,
}

/// Everything that was there at once. Kept and refilled, so that a steady stream allocates nothing.
#[derive(Debug, Default)]
pub struct Burst {
    /// In order of arrival.
    pub inputs: std::collections::VecDeque<Input>,
    /// Frames of each session that the queue had to evict since the last burst, oldest session first.
    pub evicted: Vec<(SessionId, u64)>,
}

/// Delivers inputs in bursts.
pub trait Source: Send {
    /// Empties `burst` and fills it with everything there is, waiting until there is something.
    /// `Ok(false)` means the source has ended and the burst is empty.
    ///
    /// # Errors
    /// [`SourceError`] if the source cannot go on: a file that cannot be read.
    ///
    /// # Cancel safety
    /// A dropped future takes nothing with it.
    fn next(&mut self, burst: &mut Burst) -> impl Future<Output = Result<bool, SourceError>> + Send;
}

/// A source that cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct SourceError {
    /// The situation and what to do, lower case.
    pub what: String,
    /// Why.
    #[source]
    pub cause: Option<std::io::Error>,
}

impl SourceError {
    /// The thread that reads has panicked.
    pub(crate) fn thread() -> Self {
        let what = "the thread that reads what is replayed has ended unexpectedly: please report it";
        Self { what: what.to_owned(), cause: None }
    }
}
