//! What became of the trades that a bar gathers.

use super::{BarSpec, Notional};
use crate::snapshot::{Market, Stamp};
use crate::trade::{AggTrade, Aggressor};
use crate::units::{AggTradeId, Price, QtyDelta, Symbol, UnixMillis};

/// The trades of an interval, or as many as it takes to reach a size. All sums are exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "net", derive(serde::Serialize, serde::Deserialize))]
pub struct Bar {
    /// Of a time bar the beginning of its interval, a multiple of its length since 1970, UTC. Of others the time of
    /// the first trade.
    pub start: UnixMillis,
    /// Of a time bar the beginning of the next interval: the bar ends before it. Of others the time of the last trade.
    pub end: UnixMillis,
    /// The first price; of an empty bar, as all its prices, the last one before.
    pub open: Price,
    /// The highest price.
    pub high: Price,
    /// The lowest price.
    pub low: Price,
    /// The last price.
    pub close: Price,
    /// What aggressive buyers bought.
    pub buy_volume: QtyDelta,
    /// What aggressive sellers sold.
    pub sell_volume: QtyDelta,
    /// Σ price × quantity. Where quantities are contracts this is no worth of anything: see [`Bar::quote_volume`].
    pub notional: Notional,
    /// The lowest sum of deltas since the beginning of the bar, which is 0 there.
    pub min_delta: QtyDelta,
    /// The highest such sum.
    pub max_delta: QtyDelta,
    /// CVD before the first trade.
    pub cvd_open: QtyDelta,
    /// Aggregate trades.
    pub trades: u64,
    /// Raw trades: the sum of `l − f + 1`; `None` if an aggregate trade does not tell them, or there is none.
    pub fills: Option<u64>,
    /// The id of the first trade; `None` of an empty bar, as of the next three.
    pub first_id: Option<AggTradeId>,
    /// The id of the last trade.
    pub last_id: Option<AggTradeId>,
    /// When the first trade happened.
    pub first_trade_at: Option<UnixMillis>,
    /// When the last trade happened.
    pub last_trade_at: Option<UnixMillis>,
    /// The numbering that the ids belong to; see [`Coverage::epoch`](crate::snapshot::Coverage::epoch).
    pub epoch: u32,
    /// Every trade that belongs into it is in, as the ids prove: nothing was given up in it or right before it, it ended
    /// with a trade that closed it, and, of a time bar, a trade of an earlier interval came before it.
    pub complete: bool,
}

impl Bar {
    /// Buys and sells together, in base units, or in contracts on COIN-M.
    pub fn volume(&self) -> QtyDelta {
        sum(self.buy_volume, self.sell_volume)
    }

    /// Buys less sells.
    pub fn delta(&self) -> QtyDelta {
        QtyDelta::from_units(self.buy_volume.units().saturating_sub(self.sell_volume.units()))
    }

    /// The highest CVD, that before the first trade included.
    pub fn cvd_high(&self) -> QtyDelta {
        sum(self.cvd_open, self.max_delta)
    }

    /// The lowest CVD, that before the first trade included.
    pub fn cvd_low(&self) -> QtyDelta {
        sum(self.cvd_open, self.min_delta)
    }

    /// CVD after the last trade.
    pub fn cvd_close(&self) -> QtyDelta {
        sum(self.cvd_open, self.delta())
    }

    /// What was paid, in the quote asset; `None` on COIN-M, whose contracts are worth a fixed sum of dollars each that no
    /// trade tells.
    pub fn quote_volume(&self, market: Market) -> Option<Notional> {
        match market {
            Market::UsdM | Market::Spot => Some(self.notional),
            Market::CoinM => None,
        }
    }

    /// Quote volume by volume, rounded to 1e-8, half to even; `None` of an empty bar and on COIN-M.
    pub fn vwap(&self, market: Market) -> Option<Price> {
        self.quote_volume(market)?.per(self.volume())
    }

    /// A bar without a trade.
    pub(super) fn empty(
        (start, end): (UnixMillis, UnixMillis),
        price: Price,
        cvd: QtyDelta,
        epoch: u32,
    ) -> Self {
        Self {
            start,
            end,
            open: price,
            high: price,
            low: price,
            close: price,
            buy_volume: QtyDelta::ZERO,
            sell_volume: QtyDelta::ZERO,
            notional: Notional::ZERO,
            min_delta: QtyDelta::ZERO,
            max_delta: QtyDelta::ZERO,
            cvd_open: cvd,
            trades: 0,
            fills: Some(0),
            first_id: None,
            last_id: None,
            first_trade_at: None,
            last_trade_at: None,
            epoch,
            complete: true,
        }
    }

    /// Takes a trade in.
    #[inline]
    pub(super) fn add(&mut self, trade: &AggTrade) {
        if self.trades == 0 {
            (self.open, self.high, self.low) = (trade.price, trade.price, trade.price);
            (self.first_id, self.first_trade_at) = (Some(trade.id), Some(trade.traded_at));
        }
        self.high = self.high.max(trade.price);
        self.low = self.low.min(trade.price);
        self.close = trade.price;
        let qty = QtyDelta::from_units(i128::from(trade.qty.units()));
        match trade.aggressor {
            Aggressor::Buyer => self.buy_volume = sum(self.buy_volume, qty),
            Aggressor::Seller => self.sell_volume = sum(self.sell_volume, qty),
        }
        self.notional = self.notional.plus(Notional::of(trade.price, trade.qty));
        let delta = self.delta();
        self.min_delta = self.min_delta.min(delta);
        self.max_delta = self.max_delta.max(delta);
        self.trades = self.trades.saturating_add(1);
        self.fills = self.fills.zip(fills(trade)).and_then(|(all, more)| all.checked_add(more));
        (self.last_id, self.last_trade_at) = (Some(trade.id), Some(trade.traded_at));
    }
}

/// Cannot saturate: quantities are below 2^63, there are fewer than 2^64 trades, and CVD was a number before.
#[inline]
fn sum(a: QtyDelta, b: QtyDelta) -> QtyDelta {
    QtyDelta::from_units(a.units().saturating_add(b.units()))
}

/// Raw trades of an aggregate one, where it tells.
#[inline]
fn fills(trade: &AggTrade) -> Option<u64> {
    let AggTrade { first_trade_id: first, last_trade_id: last, .. } = *trade;
    (first >= 0 && last >= first).then(|| last.abs_diff(first).saturating_add(1))
}

/// A bar that has closed, and whose it is. Borrowed from the pipeline; everything a reporter needs.
#[derive(Debug, Clone, Copy)]
pub struct ClosedBar<'a> {
    /// Which lane of the pipeline.
    pub lane: usize,
    /// The lane's market.
    pub market: Market,
    /// The lane's symbol.
    pub symbol: &'a Symbol,
    /// What the bar gathers.
    pub spec: BarSpec,
    /// The bar.
    pub bar: &'a Bar,
    /// The trade that closed it; `None` at the end of the run or of an epoch.
    pub closed_by: Option<&'a AggTrade>,
    /// When that one's bytes arrived here; `None` where the source does not say.
    pub received: Option<Stamp>,
}
