//! One trade, as the exchange's aggTrade event describes it.

use crate::units::{AggTradeId, Price, Qty, QtyDelta, UnixMillis};

/// The side that took liquidity. On the wire `m: true` ("the buyer is the maker") is a [`Aggressor::Seller`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "net", derive(serde::Serialize, serde::Deserialize))]
pub enum Aggressor {
    /// An aggressive buy: adds to CVD.
    Buyer,
    /// An aggressive sell: takes from CVD.
    Seller,
}

impl Aggressor {
    /// The wire's `m`, turned around once and for all.
    pub const fn from_buyer_is_maker(buyer_is_maker: bool) -> Self {
        if buyer_is_maker { Self::Seller } else { Self::Buyer }
    }

    /// `buy` or `sell`: what records show as `side`.
    pub const fn side(self) -> &'static str {
        match self {
            Self::Buyer => "buy",
            Self::Seller => "sell",
        }
    }
}

/// An aggregate trade: fills of one price and one taker side that the exchange merged.
///
/// The symbol is not part of it: a trade lives in the lane of its market and symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "net", derive(serde::Serialize, serde::Deserialize))]
pub struct AggTrade {
    /// `a`: consecutive per symbol.
    pub id: AggTradeId,
    /// `p`.
    pub price: Price,
    /// `q`: base units, or contracts on COIN-M.
    pub qty: Qty,
    /// `nq`: the quantity without trades that involve retail-price-improvement orders, where the exchange
    /// tells (USDⓈ-M since 2026). Unknown is not zero.
    pub qty_without_rpi: Option<Qty>,
    /// `f`: first raw trade id; −1 on voided spot rows. Jumps from one `l` to the next `f` are normal.
    pub first_trade_id: i64,
    /// `l`: last raw trade id.
    pub last_trade_id: i64,
    /// `T`: when the trade happened in the matching engine.
    pub traded_at: UnixMillis,
    /// `E`: when the event was generated; unknown in files and over REST. For latency only.
    pub event_at: Option<UnixMillis>,
    /// Who took: `m`, turned around.
    pub aggressor: Aggressor,
}

impl AggTrade {
    /// Aggressor sign × quantity: what this trade adds to CVD.
    pub const fn delta(&self) -> QtyDelta {
        signed(self.aggressor, self.qty)
    }
}

/// Aggressor sign × quantity.
pub(crate) const fn signed(aggressor: Aggressor, qty: Qty) -> QtyDelta {
    QtyDelta::from_units(match aggressor {
        Aggressor::Buyer => qty.units() as i128,
        Aggressor::Seller => -(qty.units() as i128),
    })
}
