//! The last trades that were delivered, to tell a repetition from a contradiction.

use serde::{Deserialize, Serialize};

use crate::trade::AggTrade;

/// How many trades are remembered.
pub(super) const REMEMBERED: usize = 64;

/// A ring by id: trade `a` stands at `a mod 64`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Recent {
    /// Empty until the first trade.
    trades: Vec<AggTrade>,
}

impl Recent {
    /// Remembers a trade and forgets the one 64 ids before it.
    #[inline]
    pub(super) fn remember(&mut self, trade: &AggTrade) {
        match self.trades.get_mut(place(trade.id.0)) {
            Some(slot) => *slot = *trade,
            None => self.begin(trade),
        }
    }

    /// Remembers trades whose ids follow each other.
    pub(super) fn remember_all(&mut self, trades: &[AggTrade]) {
        trades[trades.len().saturating_sub(REMEMBERED)..].iter().for_each(|trade| self.remember(trade));
    }

    /// The trade with that id, if it is still remembered.
    pub(super) fn find(&self, id: i64) -> Option<&AggTrade> {
        self.trades.get(place(id)).filter(|trade| trade.id.0 == id)
    }

    /// Whether trades can have left it like this.
    pub(super) fn is_sound(&self) -> bool {
        self.trades.is_empty() || self.trades.len() == REMEMBERED
    }

    pub(super) fn forget(&mut self) {
        self.trades.clear();
    }

    /// Every place holds the first trade, so that none seems to hold another.
    #[cold]
    fn begin(&mut self, trade: &AggTrade) {
        self.trades = vec![*trade; REMEMBERED];
    }
}

#[inline]
fn place(id: i64) -> usize {
    (id as u64 % REMEMBERED as u64) as usize
}

/// Whether two trades with the same id say the same, as far as every source tells it.
pub(super) fn same_content(one: &AggTrade, other: &AggTrade) -> bool {
    let content = |trade: &AggTrade| {
        let AggTrade { price, qty, first_trade_id, last_trade_id, traded_at, aggressor, .. } = *trade;
        (price, qty, first_trade_id, last_trade_id, traded_at, aggressor)
    };
    content(one) == content(other)
}
