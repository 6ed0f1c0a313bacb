//! The practice exchange as a process of its own, with a whole market that trades in bursts: for measuring a client.
//!
//! `cargo run --release --example market_server -- --symbols 600 --rate 20000 --seconds 60` lists 600 symbols and
//! prints one line of JSON with its addresses. When all of them are followed it makes 60 × 20,000 trades at the pace of
//! a busy market, prints a line with what was sent, and waits for a line on standard input (or its end). Then it closes all
//! connections and prints what is true: CVD, count and ids of each symbol.
//!
//! `--rate 0` sends as fast as the slowest connection takes it (`--trades N` of them, a million by default);
//! `--stamps` writes the time of the writing where raw trade ids would be, for `examples/latency.rs`.

use std::time::Duration;

use cvd_stream::exchange::{Act, Exchange, Script};
use serde_json::json;
use tokio::io::{AsyncReadExt, stdin};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Lets a client that has just subscribed come to rest.
const CALM: Duration = Duration::from_millis(500);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let Options { symbols, rate, trades, seed, stamps } = Options::of(std::env::args().skip(1))?;
    let market = match rate {
        0 => Act::Trades(trades),
        per_second => Act::Bursts { n: trades, per_second },
    };
    let script = Script::new([Act::WaitForSymbols, Act::Stall(CALM), market]);
    let builder = Exchange::builder().universe(symbols).seed(seed).wall_clock().script(script);
    let builder = builder.ledger_capacity(10_000);
    let builder = if stamps { builder.stamp_writes() } else { builder };
    let exchange = builder.start().await?;
    let listed = exchange.listed();
    let names: Vec<_> = listed.iter().map(|symbol| symbol.as_str()).collect();
    println!(
        "{}",
        json!({ "stream": exchange.stream_base(), "rest": exchange.rest_url(), "trades": trades, "symbols": names })
    );

    exchange.wait_for(|stats| stats.acts_played >= 2).await;
    let since = tokio::time::Instant::now();
    let sent = exchange.wait_for(|stats| stats.script_finished).await;
    println!(
        "{}",
        json!({
            "sent": sent.frames_sent,
            "bytes": sent.bytes_sent,
            "seconds": since.elapsed().as_secs_f64(),
            "latest_write_us": u64::try_from(sent.latest_write.as_micros())?,
            "median_write_us": sent.median_write.as_secs_f64() * 1e6,
            "connections": sent.connections,
        })
    );
    // Whatever it says: that it says something, or ends, is what counts.
    let _bytes = stdin().read(&mut [0]).await?;

    let ledger = exchange.ledger();
    exchange.play(Act::Drop).await;
    let truth = listed.iter().map(|symbol| {
        let made = ledger.made(symbol);
        let last = ledger.last_id(symbol).map(|id| id.0);
        json!({ "symbol": symbol.as_str(), "cvd": ledger.cvd(symbol).to_string(), "trades": made, "last_id": last })
    });
    println!("{}", json!({ "truth": truth.collect::<Vec<_>>(), "violations": exchange.violations() }));
    exchange.stop().await?;
    Ok(())
}

struct Options {
    symbols: usize,
    rate: u32,
    trades: u64,
    seed: u64,
    stamps: bool,
}

impl Options {
    fn of(words: impl Iterator<Item = String>) -> Outcome<Self> {
        let mut options = Self { symbols: 600, rate: 20_000, trades: 0, seed: 7, stamps: false };
        let (mut seconds, mut words) = (60.0, words);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} wants a value"));
            match word.as_str() {
                "--symbols" => options.symbols = value()?.parse()?,
                "--rate" => options.rate = value()?.parse()?,
                "--seconds" => seconds = value()?.parse()?,
                "--trades" => options.trades = value()?.parse()?,
                "--seed" => options.seed = value()?.parse()?,
                "--stamps" => options.stamps = true,
                other => return Err(format!("{other} is no option").into()),
            }
        }
        if options.trades == 0 {
            let paced = f64::from(options.rate) * seconds;
            options.trades = if options.rate == 0 { 1_000_000 } else { (paced as u64).max(1) };
        }
        Ok(options)
    }
}
