//! The whole monitor from other code: the feed, the exact numbers and the records, with a listener of our own.
//!
//! `cargo run --example whole` watches the built-in practice exchange, so it needs no network; give it a URL
//! such as `wss://fstream.binance.com/market/stream?streams=btcusdt@aggTrade` to watch the real one.

use cvd_stream::app::App;
use cvd_stream::config::Config;
use cvd_stream::exchange::{AtEnd, Exchange, Script};
use cvd_stream::feed::endpoint::Endpoint;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let script = Script::default().at_end(AtEnd::Market { per_second: 200 });
    let exchange = Exchange::builder().symbol("BTCUSDT").seed(7).script(script).start().await?;
    let url = std::env::args().nth(1).unwrap_or_else(|| exchange.stream_url());

    let endpoint = Endpoint::from_url(&url, None, None, false)?;
    let config = Config { endpoint, count: Some(500), ..Config::default() };
    let mut largest = None;
    let app = App::new(config).on_trade(move |snapshot| {
        if largest < Some(snapshot.trade.qty) {
            largest = Some(snapshot.trade.qty);
            eprintln!("largest trade so far: {} at {}", snapshot.trade.qty, snapshot.trade.price);
        }
    });
    let never = std::future::pending();
    let summary = app.run(never).await?;
    eprintln!("{} trades of {}", summary.metrics.applied_trades, summary.lanes[0].symbol);

    exchange.stop().await?;
    Ok(())
}
