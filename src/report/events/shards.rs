//! How each share of the symbols does: for whoever looks for the reason of something, so at debug level.

use super::Events;
use crate::feed::ShardId;
use crate::snapshot::Market;

/// How a shard does, at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShardLine {
    /// Which; people count from 1.
    pub shard: ShardId,
    /// Its market.
    pub market: Market,
    /// How many symbols it carries.
    pub symbols: usize,
    /// The age of its newest connection in seconds; `None` while it has none.
    pub connected_s: Option<f64>,
    /// Trades that came over it so far, copies included.
    pub trades: u64,
    /// Trades a second since the line before.
    pub rate: f64,
    /// By how much its last trade was behind the exchange on arrival, in milliseconds; corrected by what is known of the
    /// clocks.
    pub lag_ms: Option<f64>,
}

impl Events {
    /// Whether anybody would read how the shards do.
    pub fn tells_shards(&self) -> bool {
        tracing::enabled!(tracing::Level::DEBUG)
    }

    /// How a shard does.
    pub fn shard(&self, line: &ShardLine) {
        let ShardLine { shard, market, symbols, connected_s, trades, rate, lag_ms } = *line;
        let number = shard.0 + 1;
        let plural = if symbols == 1 { "" } else { "s" };
        let up = connected_s.map_or_else(|| "down".to_owned(), |seconds| format!("up {seconds:.0}s"));
        let behind = lag_ms.map_or_else(|| "none".to_owned(), |lag| format!("{lag:.1}ms"));
        tracing::debug!(
            event = "shard",
            shard = number,
            market = market.as_str(),
            symbols,
            connected_s,
            trades,
            trades_per_s = rate,
            lag_ms,
            "[SHARD] {number} ({market}, {symbols} symbol{plural}) | {up} trades={trades} rate={rate:.1}/s lag={behind}"
        );
    }
}
