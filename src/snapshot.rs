//! What the rest of the world may see of a lane after a trade.

use std::fmt;

use crate::cvd::Reading;
use crate::trade::AggTrade;
use crate::units::{AggTradeId, Symbol};

/// The three Binance markets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
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
pub enum TradeSource {
    /// The live stream.
    Stream,
    /// A recorded file.
    File,
}

impl TradeSource {
    /// `stream` or `file`: the name in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::File => "file",
        }
    }
}

/// A moment on two clocks: the wall clock for showing and for latency, the monotonic one for deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
}

impl Snapshot<'_> {
    /// Our clock on arrival minus the exchange's `E`, in milliseconds; negative when our clock is behind.
    pub fn latency_ms(&self) -> Option<f64> {
        let (received, event_at) = (self.received?, self.trade.event_at?);
        Some((received.wall_ns - event_at.0.saturating_mul(1_000_000)) as f64 / 1e6)
    }
}

/// What a lane adds up to at the end of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneSummary {
    /// The lane's market.
    pub market: Market,
    /// The lane's symbol.
    pub symbol: Symbol,
    /// Applied trades.
    pub trades: u64,
    /// The first applied id.
    pub first_id: Option<AggTradeId>,
    /// The last applied id.
    pub last_id: Option<AggTradeId>,
    /// The last numbers.
    pub reading: Reading,
}
