//! Writes a table of invented trades, in the columns of Binance's futures archive, to standard output. It made
//! `examples/data/BTCUSDT-aggTrades-practice.csv`, which the README replays:
//!
//! `cargo run --example make_recording > examples/data/BTCUSDT-aggTrades-practice.csv`

use cvd_stream::exchange::{Listing, MarketModel};
use cvd_stream::trade::Aggressor;
use cvd_stream::units::{Symbol, UnixMillis};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listing = Listing::new(Symbol::new("BTCUSDT")?);
    let mut market = MarketModel::new(&[listing], 7, UnixMillis(1_793_491_200_000));
    println!("agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker");
    for _ in 0..500 {
        let (_, trade) = market.trade();
        println!(
            "{},{:.2},{:.3},{},{},{},{}",
            trade.id,
            trade.price,
            trade.qty,
            trade.first_trade_id,
            trade.last_trade_id,
            trade.traded_at.0,
            trade.aggressor == Aggressor::Seller,
        );
    }
    Ok(())
}
