//! Trades for tests.

use crate::trade::{AggTrade, Aggressor};
use crate::units::{AggTradeId, Price, Qty, UnixMillis};

/// A trade of 1 at 100.
pub(crate) fn trade(id: i64, at: i64) -> AggTrade {
    AggTrade {
        id: AggTradeId(id),
        price: Price::from_units(10_000_000_000),
        qty: Qty::from_units(100_000_000),
        qty_without_rpi: None,
        first_trade_id: id,
        last_trade_id: id,
        traded_at: UnixMillis(at),
        event_at: None,
        aggressor: Aggressor::Seller,
    }
}
