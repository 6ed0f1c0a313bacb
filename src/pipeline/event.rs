//! What the pipeline says while it digests an input.

use crate::bars::{BarSpec, ClosedBar};
use crate::cvd::BadPoint;
use crate::decode::{Control, Malformed};
use crate::feed::{LinkEvent, SessionId};
use crate::snapshot::{Gap, Instrument, LaneSummary, Snapshot};
use crate::source::{Arrival, DamagedLine, DepartureReason};
use crate::trade::AggTrade;
use crate::units::{AggTradeId, Symbol, UnixMillis};

/// What the pipeline says while it digests an input.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A trade moved the numbers.
    Trade(Snapshot<'a>),
    /// A trade was refused by the calculator.
    BadPoint {
        /// Its symbol.
        symbol: &'a Symbol,
        /// The trade.
        trade: &'a AggTrade,
        /// Why.
        bad: BadPoint,
    },
    /// A frame that cannot be read.
    Malformed {
        /// The session it came over.
        session: SessionId,
        /// Why.
        reason: Malformed,
        /// The frame, unescaped.
        text: &'a [u8],
    },
    /// A damaged place in a file.
    Damaged(&'a DamagedLine),
    /// The exchange's answer to a request of ours.
    Control(Control<'a>),
    /// A trade of a symbol nobody asked for, or beyond [`MAX_LANES`](super::MAX_LANES).
    Unrequested {
        /// Its symbol, as written.
        symbol: &'a str,
    },
    /// Another event of the exchange.
    Other,
    /// The exchange announces that it is about to end this connection.
    Shutdown {
        /// The session it came over.
        session: SessionId,
    },
    /// Something happened to the sequence of a lane's ids.
    Gap(Gap<'a>),
    /// What waited behind a hole was too much and joins it: trades come faster than the hole is filled.
    Discarded {
        /// The symbol.
        symbol: &'a Symbol,
        /// How many trades waited.
        trades: u64,
        /// How large the hole is now.
        missing: u64,
    },
    /// A trade whose id is far from all others: nothing moves until its neighbours or REST confirm it.
    Suspicious {
        /// The symbol.
        symbol: &'a Symbol,
        /// Its id.
        id: AggTradeId,
        /// The newest id known before it.
        newest: Option<AggTradeId>,
    },
    /// A bar is over. It comes after the trade that closed it.
    Bar(ClosedBar<'a>),
    /// Empty bars that are not made, because they are more than [`MOST_EMPTY_BARS`](crate::bars::MOST_EMPTY_BARS).
    EmptyBarsLeftOut {
        /// The symbol.
        symbol: &'a Symbol,
        /// What the bars gather.
        spec: BarSpec,
        /// How many.
        bars: u64,
        /// The beginning of the first.
        from: UnixMillis,
        /// The end of the last.
        to: UnixMillis,
    },
    /// A lane was opened while others run.
    LaneOpened {
        /// Its number.
        lane: usize,
        /// What it is of.
        instrument: &'a Instrument,
        /// Why.
        why: Arrival,
    },
    /// A lane has ended. Nothing more comes of it, unless it is opened again.
    LaneEnded {
        /// Its number.
        lane: usize,
        /// What it came to.
        summary: &'a LaneSummary,
        /// Why.
        why: DepartureReason,
    },
    /// A connection opened or closed.
    Link {
        /// Which, and how.
        event: &'a LinkEvent,
        /// How many connections of its shard are up now.
        up: usize,
    },
}
