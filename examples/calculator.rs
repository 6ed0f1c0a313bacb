//! The calculator alone: exact CVD, EMA and Z-score of trades from anywhere. No network, no async:
//! `cvd-stream = { path = "../cvd-stream", default-features = false }`.
//!
//! `cargo run --example calculator`

use cvd_stream::cvd::{Cvd, CvdConfig};
use cvd_stream::trade::Aggressor;
use cvd_stream::units::{Price, Qty, UnixMillis};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut cvd = Cvd::new(CvdConfig { z_window: 20, ..CvdConfig::default() })?;

    // Trades whose aggressor is known …
    for (qty, aggressor) in
        [("0.250", Aggressor::Buyer), ("0.100", Aggressor::Seller), ("1.300", Aggressor::Buyer)].repeat(4)
    {
        let reading = cvd.apply_sided(qty.parse::<Qty>()?, aggressor)?;
        println!(
            "{:>6} {:<4} cvd={} ema={:?} z={:?}",
            qty,
            aggressor.side(),
            reading.cvd,
            reading.ema,
            reading.z
        );
    }

    // … and trades whose aggressor has to be told from the price (the tick rule): the first one's cannot be.
    let price = |text: &str| text.parse::<Price>();
    let refused = cvd.apply_unsided(price("64339.20")?, "0.5".parse()?, Some(UnixMillis(1_781_416_438_926)));
    println!(
        "without a side and a price before it: {}",
        refused.expect_err("nothing to compare with").reason
    );
    Ok(())
}
