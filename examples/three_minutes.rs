//! Runs the monitor of BTCUSDT for three minutes from other code, records as JSON into a file, and looks at
//! what it came to. Needs the network; `cargo run --example three_minutes -- URL` takes another address.

use std::fs::File;
use std::time::Duration;

use cvd_stream::app::App;
use cvd_stream::config::{Config, OutputFormat};
use cvd_stream::feed::endpoint::Endpoint;
use cvd_stream::snapshot::Market;
use cvd_stream::units::Symbol;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let endpoint = match std::env::args().nth(1) {
        Some(url) => Endpoint::from_url(&url, None, None, false)?,
        None => Endpoint::for_symbols(Market::UsdM, false, &[Symbol::new("BTCUSDT")?]),
    };
    let config = Config {
        endpoint,
        output: OutputFormat::Json,
        print_every: 1,
        duration: Some(Duration::from_secs(180)),
        ..Config::default()
    };
    let file = std::env::temp_dir().join("cvd-stream-three-minutes.jsonl");
    let app = App::new(config).write_to(File::create(&file)?)?;

    // Anything can end it earlier; here nothing does.
    let summary = app.run(std::future::pending()).await?;

    for lane in &summary.lanes {
        let reading = lane.reading;
        println!("{}: {} trades, CVD {}, Z {:?}", lane.symbol, lane.trades, reading.cvd, reading.z);
    }
    println!(
        "{} frames dropped, {} reconnects",
        summary.metrics.queue_dropped, summary.metrics.reconnect_count
    );
    println!("records in {}", file.display());
    Ok(())
}
