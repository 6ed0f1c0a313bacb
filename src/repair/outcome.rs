//! What comes of asking REST.

use super::rest::Listed;
use super::{Notice, Reply, RestError};
use crate::feed::ShardId;
use crate::silence::Finding;
use crate::snapshot::{Instrument, Market, Stamp};
use crate::units::{AggTradeId, UnixMillis};

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
        /// What is not delivered.
        instrument: Instrument,
        /// The shard whose connection it is.
        shard: ShardId,
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
        /// What it is of.
        instrument: Instrument,
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
    Listings {
        /// On which market.
        market: Market,
        /// Which, and how they stand.
        listed: Vec<Listed>,
    },
}
