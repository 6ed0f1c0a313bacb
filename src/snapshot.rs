//! What the rest of the world may see of a lane after a trade.

mod instrument;

use std::fmt;

use crate::cvd::Reading;
use crate::trade::AggTrade;
use crate::units::{AggTradeId, IdRange, Price, QtyDelta, Symbol, UnixMillis};

pub use instrument::{Instrument, InstrumentError};

/// The three Binance markets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "net", derive(serde::Serialize, serde::Deserialize))]
pub enum Market {
    /// USDⓈ-margined futures.
    #[default]
    UsdM,
    /// Coin-margined futures; quantities are contracts.
    CoinM,
    /// Spot.
    Spot,
}

impl Market {
    /// Every market, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::UsdM, Self::CoinM, Self::Spot];

    /// `usdm`, `coinm` or `spot`: the name in options and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UsdM => "usdm",
            Self::CoinM => "coinm",
            Self::Spot => "spot",
        }
    }

    /// What a quantity counts in this market: `base` (the base asset) or `contracts`.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::CoinM => "contracts",
            Self::UsdM | Self::Spot => "base",
        }
    }
}

impl fmt::Display for Market {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a trade came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "net", derive(serde::Serialize, serde::Deserialize))]
pub enum TradeSource {
    /// The live stream.
    Stream,
    /// A recorded file.
    File,
    /// Asked for over REST, because the stream did not bring it.
    Rest,
}

impl TradeSource {
    /// `stream`, `file` or `rest`: the name in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::File => "file",
            Self::Rest => "rest",
        }
    }
}

/// Whether the numbers hold every trade between their first id and their last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "net", derive(serde::Serialize, serde::Deserialize))]
pub enum Quality {
    /// Every one.
    #[default]
    Complete,
    /// Every one up to the last id; later ones wait for a hole that is being repaired.
    Repairing,
    /// Some were given up; see [`Coverage::missing_trades`].
    Missing,
}

impl Quality {
    /// `complete`, `repairing` or `missing`: the name in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Repairing => "repairing",
            Self::Missing => "missing",
        }
    }
}

/// Which ids the numbers of a lane cover: the proof that goes with every one of them.
///
/// `last_id − first_id + 1` = trades + bad points + missing trades, all of the present epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "net", derive(serde::Serialize, serde::Deserialize))]
pub struct Coverage {
    /// Counts from 1 up each time the exchange begins to number a symbol anew; the numbers begin anew with it.
    pub epoch: u32,
    /// The first id of the epoch: the anchor of CVD.
    pub first_id: Option<AggTradeId>,
    /// The last contiguous id; trades that are held behind a hole are beyond it.
    pub last_id: Option<AggTradeId>,
    /// Whether all between them are in.
    pub quality: Quality,
    /// Trades of the epoch that were given up.
    pub missing_trades: u64,
}

impl Default for Coverage {
    /// Nothing yet.
    fn default() -> Self {
        Self { epoch: 1, first_id: None, last_id: None, quality: Quality::Complete, missing_trades: 0 }
    }
}

/// What happened to the sequence of a lane's ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GapEvent {
    /// A hole was found. One whose range holds earlier open ones takes their place.
    Opened,
    /// A hole, or what was left of one, is filled.
    Repaired,
    /// These ids were given up; the numbers go on without them.
    Unrepaired,
    /// An id came twice with different content; the first is kept.
    Conflict,
    /// The exchange began to number the symbol anew; the epoch ends with this.
    Reset,
}

impl GapEvent {
    /// The name in records: `opened`, `repaired`, `unrepaired`, `conflict` or `reset`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Repaired => "repaired",
            Self::Unrepaired => "unrepaired",
            Self::Conflict => "conflict",
            Self::Reset => "reset",
        }
    }
}

/// Where the ids of a hole were lost, as far as can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "net", derive(serde::Serialize, serde::Deserialize))]
pub enum GapCause {
    /// Before they reached us: a lost connection, or the exchange.
    Wire,
    /// In our own buffers, which were full: the frame queue, or what waits behind a hole.
    Queue,
    /// In a message that could not be read.
    Malformed,
    /// The exchange began to number anew.
    Restart,
    /// They are not in the file.
    File,
}

impl GapCause {
    /// The name in records: `wire`, `queue`, `malformed`, `restart` or `file`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wire => "wire",
            Self::Queue => "queue",
            Self::Malformed => "malformed",
            Self::Restart => "restart",
            Self::File => "file",
        }
    }
}

/// Something happened to the sequence of a lane's ids. Borrowed from the pipeline; everything a reporter needs.
#[derive(Debug, Clone, Copy)]
pub struct Gap<'a> {
    /// Which lane of the pipeline.
    pub lane: usize,
    /// The lane's market.
    pub market: Market,
    /// The lane's symbol.
    pub symbol: &'a Symbol,
    /// What happened.
    pub event: GapEvent,
    /// Where the loss happened.
    pub cause: GapCause,
    /// The ids concerned; of a reset, the first and the last of the epoch that ends.
    pub ids: IdRange,
    /// How many trades: of `Opened` and `Unrepaired` all of the range, of `Repaired` those that came after all (fewer
    /// where others of the range were given up), of a conflict 1, of a reset those applied in the epoch.
    pub trades: u64,
    /// When the hole was found; `None` where there is no clock.
    pub opened_at: Option<Stamp>,
    /// When this happened; `None` where there is no clock.
    pub at: Option<Stamp>,
    /// When the last trade before the hole happened.
    pub after_trade_at: Option<UnixMillis>,
    /// Answers of REST that brought something for it.
    pub pages: u32,
    /// The two contents of a conflicting id: the kept and the refused.
    pub conflict: Option<(&'a AggTrade, &'a AggTrade)>,
    /// What the lane's numbers cover now; of a reset, what those of the ended epoch covered.
    pub coverage: &'a Coverage,
    /// The lane's numbers now; of a reset, the last of the ended epoch.
    pub reading: Reading,
}

impl Gap<'_> {
    /// Seconds since the hole was found; `None` where there is no clock.
    pub fn seconds(&self) -> Option<f64> {
        let (at, opened_at) = (self.at?, self.opened_at?);
        Some(at.mono_ns.saturating_sub(opened_at.mono_ns) as f64 / 1e9)
    }
}

/// A moment on two clocks: the wall clock for showing and for latency, the monotonic one for deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "net", derive(serde::Serialize, serde::Deserialize))]
pub struct Stamp {
    /// Nanoseconds since 1970, UTC; may step.
    pub wall_ns: i64,
    /// Nanoseconds since the process (or the recording) began; never steps.
    pub mono_ns: u64,
}

impl Stamp {
    /// The wall clock in whole milliseconds since 1970.
    pub const fn wall_ms(self) -> i64 {
        self.wall_ns.div_euclid(1_000_000)
    }
}

/// A lane's numbers right after one applied trade. Borrowed from the pipeline; everything a reporter needs.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    /// Which lane of the pipeline; dense from 0 in order of first sight.
    pub lane: usize,
    /// The lane's market.
    pub market: Market,
    /// The lane's symbol.
    pub symbol: &'a Symbol,
    /// How many trades this lane has applied, this one included.
    pub ordinal: u64,
    /// The trade.
    pub trade: &'a AggTrade,
    /// Where it came from.
    pub source: TradeSource,
    /// When its bytes arrived here; `None` where the source does not say.
    pub received: Option<Stamp>,
    /// CVD, Z-score and EMA after it.
    pub reading: Reading,
    /// Which ids they cover; the last one is the trade's.
    pub coverage: &'a Coverage,
}

impl Snapshot<'_> {
    /// Our clock on arrival minus the exchange's `E`, in milliseconds; negative when our clock is behind.
    pub fn latency_ms(&self) -> Option<f64> {
        self.latency_ns().map(|ns| ns as f64 / 1e6)
    }

    /// The same in nanoseconds.
    #[inline]
    pub fn latency_ns(&self) -> Option<i64> {
        let (received, event_at) = (self.received?, self.trade.event_at?);
        Some(received.wall_ns.saturating_sub(event_at.0.saturating_mul(1_000_000)))
    }
}

/// What the trades of a lane are worth since its anchor, so that lanes of different coins and markets can be compared and
/// added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Worth {
    /// Σ aggressor sign × price × quantity, in units of 1e-16 of the quote asset, exact; of COIN-M contracts in dollars:
    /// Σ sign × contracts × contract size.
    pub delta: i128,
    /// The same without signs.
    pub volume: i128,
    /// Of COIN-M contracts only: Σ sign × contracts × contract size / price in coins of 1e-8, each trade rounded half to
    /// even.
    pub coin_delta: i128,
    /// Trades in `coin_delta`, each of which may be wrong by half of 1e-8.
    pub coin_trades: u64,
    /// The price of the last trade.
    pub last_price: Option<Price>,
}

/// What a lane adds up to at a moment of its run.
#[derive(Debug, Clone, Copy)]
pub struct LaneTotals<'a> {
    /// Which lane of the pipeline.
    pub lane: usize,
    /// What it is of.
    pub instrument: &'a Instrument,
    /// Dollars that a contract stands for; `None` where quantities are not contracts.
    pub contract_size: Option<u32>,
    /// Applied trades of all epochs.
    pub trades: u64,
    /// Its numbers: CVD in base units, on COIN-M in contracts.
    pub reading: Reading,
    /// Which ids they cover.
    pub coverage: &'a Coverage,
    /// Quantity of all trades of this run, buys and sells: base units, on COIN-M contracts.
    pub volume: QtyDelta,
    /// What they are worth since the anchor of the epoch; `None` where that is not counted, or not known because the
    /// checkpoint that the lane went on from did not tell.
    pub worth: Option<Worth>,
}

/// What a lane adds up to at the end of a run.
///
/// `ids_seen + coverage.missing_trades` is the number of ids from the first to the last of the present epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneSummary {
    /// The lane's market.
    pub market: Market,
    /// The lane's symbol.
    pub symbol: Symbol,
    /// Applied trades.
    pub trades: u64,
    /// The last numbers.
    pub reading: Reading,
    /// Which ids they cover.
    pub coverage: Coverage,
    /// Different ids that came, whichever way, and went into the numbers in their order; voided rows included.
    pub ids_seen: u64,
    /// Those among them that came after a hole had been found.
    pub repaired_trades: u64,
    /// Trades whose id had been seen, or given up, before.
    pub duplicate_trades: u64,
    /// Those among them whose content was different.
    pub conflicts: u64,
    /// Trades that wait behind a hole.
    pub held_trades: u64,
    /// The ids from the first hole to the end of the last one, while one is open.
    pub open: Option<IdRange>,
    /// Holes in the ids that were found.
    pub holes: u64,
    /// What the applied trades add up to.
    pub flow: Flow,
}

/// What the trades add up to that a run has applied to one lane, all epochs together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flow {
    /// Quantity of aggressive buys: base units, or contracts on COIN-M.
    pub buy: QtyDelta,
    /// Quantity of aggressive sells, not negative.
    pub sell: QtyDelta,
    /// The lowest and the highest CVD after a trade; `None` without one.
    pub cvd: Option<(QtyDelta, QtyDelta)>,
    /// The earliest and the latest time of a trade.
    pub span: Option<(UnixMillis, UnixMillis)>,
}

impl Flow {
    /// Buys less sells; `None` beyond the range, which no market reaches.
    pub fn delta(&self) -> Option<QtyDelta> {
        let sell = QtyDelta::from_units(self.sell.units().checked_neg()?);
        self.buy.checked_add(sell)
    }
}
