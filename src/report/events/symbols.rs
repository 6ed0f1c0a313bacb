//! What is said about the trades of one symbol.

use std::fmt::Display;

use super::{Events, Kind};
use crate::silence::{Cause, Finding};
use crate::text::{escaped, one_line};
use crate::units::{AggTradeId, Symbol};

impl Events {
    /// A trade that the calculator refuses.
    pub fn bad_point(&self, symbol: &Symbol, id: AggTradeId, reason: impl Display) {
        self.noisily(Kind::BadPoint, || {
            let (symbol, reason) = (symbol.as_str(), reason.to_string());
            tracing::warn!(
                event = "trade_not_counted",
                symbol,
                id = id.0,
                reason,
                "trade not counted: {symbol} id {id}: {reason}"
            );
        });
    }

    /// A trade of a symbol nobody asked for.
    pub fn unrequested(&self, symbol: &str) {
        self.noisily(Kind::Unrequested, || {
            let symbol = escaped(symbol.as_bytes());
            tracing::warn!(
                event = "trade_unrequested",
                symbol,
                "trade of a symbol nobody asked for: {symbol}"
            );
        });
    }

    /// The market trades, and the connection delivers nothing.
    pub fn feed_broken(&self, symbol: &Symbol, newest: AggTradeId, ours: Option<AggTradeId>) {
        let our_id = ours.map(|id| id.0);
        let ours = ours.map_or_else(|| "none".to_owned(), |id| id.to_string());
        tracing::error!(
            event = "feed_broken",
            symbol = symbol.as_str(),
            newest_id = newest.0,
            our_id,
            "the market trades on ({symbol} id {newest} at REST, {ours} here) but nothing arrives over this connection: \
             reconnecting, and fetching what was missed"
        );
    }

    /// A symbol is silent while others stream, and it is not the market's silence.
    pub fn symbol_not_delivered(&self, symbol: &Symbol, finding: Finding) {
        let Finding::NotDelivered { newest, ours } = finding else { return };
        let cause = Cause::NotDelivered { symbol: symbol.clone(), newest, ours };
        tracing::warn!(
            event = "symbol_not_delivered",
            symbol = symbol.as_str(),
            newest_id = newest.0,
            our_id = ours.map(|id| id.0),
            "{symbol} is silent while others stream | {}: {cause}",
            cause.as_str()
        );
    }

    /// The exchange lists a symbol but nobody can trade it now.
    pub fn not_trading(&self, symbol: &Symbol, status: &str) {
        let status = one_line(status);
        tracing::warn!(
            event = "symbol_not_trading",
            symbol = symbol.as_str(),
            status,
            "{symbol} cannot be traded now: the exchange's status of it is {status} | not_trading: no trade will come until \
             that changes"
        );
    }

    /// A symbol trades although the exchange does not list it.
    pub fn not_listed(&self, symbol: &Symbol) {
        tracing::warn!(
            event = "symbol_not_listed",
            symbol = symbol.as_str(),
            "the exchange does not list {symbol} (any more), but trades of it came: it is followed on"
        );
    }

    /// More is lost than REST may give back.
    pub fn falling_behind(&self, symbol: &Symbol, missing: u64, discarded: u64) {
        self.noisily(Kind::FallingBehind, || {
            tracing::warn!(
                event = "trades_discarded",
                symbol = symbol.as_str(),
                discarded_trades = discarded,
                missing_trades = missing,
                "{symbol}: trades come faster than their hole is filled: {discarded} that waited are discarded and fetched \
                 again later; {missing} are missing now"
            );
        });
    }

    /// A trade whose id is far from all others.
    pub fn suspicious(&self, symbol: &Symbol, id: AggTradeId, newest: Option<AggTradeId>) {
        let newest_id = newest.map(|id| id.0);
        let newest = newest.map_or_else(|| "none".to_owned(), |id| id.to_string());
        self.noisily(Kind::Suspicious, || {
            tracing::warn!(
                event = "id_suspicious",
                symbol = symbol.as_str(),
                id = id.0,
                newest_id,
                "{symbol}: id {id} makes no sense after {newest}: it waits until its neighbours, or REST, confirm it"
            );
        });
    }
}
