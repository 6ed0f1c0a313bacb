//! What a lane's trades are worth: what makes lanes of different coins, and of different markets, comparable.

use serde::{Deserialize, Serialize};

use crate::groups::coins_of;
use crate::snapshot::Worth;
use crate::trade::{AggTrade, Aggressor};
use crate::units::{Price, SCALE};

/// Adds up what trades are worth; see [`Worth`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WorthSum {
    delta: i128,
    volume: i128,
    coin_delta: i128,
    coin_trades: u64,
    /// In units of 1e-8.
    last_price: Option<i64>,
    /// It has left the range of its integers, which no market does.
    is_beyond: bool,
}

impl WorthSum {
    /// Adds a trade; `contract_size` in dollars where quantities are contracts.
    #[inline]
    pub(super) fn add(&mut self, trade: &AggTrade, contract_size: Option<u32>) {
        let qty = i128::from(trade.qty.units());
        // Below 2^126 either way: price and quantity are i64.
        let worth = match contract_size {
            None => qty * i128::from(trade.price.units()),
            Some(size) => qty * i128::from(size) * i128::from(SCALE),
        };
        let signed = if trade.aggressor == Aggressor::Buyer { worth } else { -worth };
        match (self.delta.checked_add(signed), self.volume.checked_add(worth)) {
            (Some(delta), Some(volume)) => (self.delta, self.volume) = (delta, volume),
            _ => self.is_beyond = true,
        }
        if let Some(size) = contract_size {
            self.add_coins(trade, size);
        }
        self.last_price = Some(trade.price.units());
    }

    fn add_coins(&mut self, trade: &AggTrade, size: u32) {
        match coins_of(trade.qty, size, trade.price) {
            Some(coins) => {
                let signed = if trade.aggressor == Aggressor::Buyer { coins } else { -coins };
                self.coin_delta = self.coin_delta.saturating_add(signed);
                self.coin_trades = self.coin_trades.saturating_add(1);
            }
            None => self.is_beyond = true,
        }
    }

    /// What it adds up to; `None` beyond the range.
    pub(super) fn told(&self) -> Option<Worth> {
        let Self { delta, volume, coin_delta, coin_trades, last_price, is_beyond } = *self;
        let last_price = last_price.map(Price::from_units);
        (!is_beyond).then_some(Worth { delta, volume, coin_delta, coin_trades, last_price })
    }
}
