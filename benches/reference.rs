//! The points of reference that `scripts/bench` measures the command against, in the same run:
//!
//! `reference read URL BYTES` shakes hands, then only takes that many bytes out of the socket: what the kernel
//! asks for anybody; without BYTES everything until the end. `reference read-all URL SYMBOLS STREAMS` does the same
//! for many symbols (separated by commas), so many on each connection, with one thread that waits for all of them.
//! `reference plain URL COUNT` is the same job written the plain way: a multi-threaded
//! runtime, a bounded channel, `serde_json::Value`, doubles, the window summed anew for every trade, and a
//! `tracing` event for every record.
//!
//! All end with one line of JSON on standard output.

use std::collections::VecDeque;
use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::http::Uri;

type Failure = Box<dyn Error + Send + Sync>;
type Outcome = Result<(), Failure>;

fn main() -> Outcome {
    // `cargo bench` adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["read", url] => read(url, None),
        ["read", url, bytes] => read(url, Some(bytes.parse()?)),
        ["read-all", url, symbols, streams] => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(read_all(url, symbols, streams.parse()?))
        }
        ["plain", url, count] => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(plain(url, count.parse()?))
        }
        // Without arguments, as `cargo bench` and `cargo test --benches` start it, there is nothing to do.
        [] => Ok(()),
        _ => Err("usage: reference read URL [BYTES] | read-all URL SYMBOLS STREAMS | plain URL COUNT".into()),
    }
}

fn address(url: &str) -> Result<String, Failure> {
    let uri: Uri = url.parse()?;
    Ok(uri.authority().ok_or("the URL names no host")?.to_string())
}

/// As much as tokio-tungstenite reads at once.
const READ_BUFFER: usize = 128 * 1024;

fn request(path: &str, address: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

fn read(url: &str, bytes: Option<u64>) -> Outcome {
    let address = address(url)?;
    let path = url.split_once(&address).map_or("/", |(_, path)| path);
    let mut socket = TcpStream::connect(&address)?;
    socket.write_all(request(path, &address).as_bytes())?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        socket.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let mut buffer = vec![0; READ_BUFFER];
    let mut taken = 0;
    while bytes.is_none_or(|bytes| taken < bytes) {
        match (socket.read(&mut buffer)?, bytes) {
            (0, None) => break,
            (0, Some(_)) => return Err("the socket ended early".into()),
            (more, _) => taken += more as u64,
        }
    }
    println!("{}", json!({ "bytes": taken }));
    Ok(())
}

/// Everything until the end of every connection.
async fn read_all(url: &str, symbols: &str, streams: usize) -> Outcome {
    let address = address(url)?;
    let names: Vec<_> = symbols.split(',').map(|name| format!("{}@aggTrade", name.to_lowercase())).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for names in names.chunks(streams.max(1)) {
        let path = format!("/market/stream?streams={}", names.join("/"));
        let mut socket = tokio::net::TcpStream::connect(&address).await?;
        socket.write_all(request(&path, &address).as_bytes()).await?;
        while !matches!(socket.read_u8().await?, b'\n') || socket.read_u8().await? != b'\r' {}
        socket.read_u8().await?;
        tasks.spawn(async move {
            let (mut buffer, mut taken) = (vec![0; READ_BUFFER], 0);
            loop {
                match socket.read(&mut buffer).await? {
                    0 => return Ok::<u64, Failure>(taken),
                    more => taken += more as u64,
                }
            }
        });
    }
    let mut taken = 0;
    while let Some(one) = tasks.join_next().await {
        taken += one??;
    }
    println!("{}", json!({ "bytes": taken }));
    Ok(())
}

async fn plain(url: &str, count: u64) -> Outcome {
    tracing_subscriber::fmt().with_ansi(false).init();
    let socket = tokio::net::TcpStream::connect(address(url)?).await?;
    let (mut socket, _response) = client_async(url, socket).await?;
    let (frames, mut queue) = tokio::sync::mpsc::channel::<String>(1024);
    tokio::spawn(async move {
        while let Some(Ok(message)) = socket.next().await {
            if let Ok(text) = message.into_text()
                && frames.send(text.to_string()).await.is_err()
            {
                break;
            }
        }
    });
    let work = tokio::spawn(async move {
        let mut calculator = Plain::default();
        while calculator.trades < count {
            let text = queue.recv().await.ok_or("the feed ended early")?;
            calculator.frame(&text)?;
        }
        Ok::<_, Failure>(calculator)
    });
    let Plain { trades, last_id, cvd, .. } = work.await??;
    println!("{}", json!({ "trades": trades, "last_id": last_id, "cvd": cvd }));
    Ok(())
}

#[derive(Default)]
struct Plain {
    trades: u64,
    last_id: i64,
    cvd: f64,
    ema: Option<f64>,
    window: VecDeque<f64>,
}

impl Plain {
    const WINDOW: usize = 300;

    fn frame(&mut self, text: &str) -> Outcome {
        let message: Value = serde_json::from_str(text)?;
        let trade = message.get("data").unwrap_or(&message);
        let quantity: f64 = trade["q"].as_str().ok_or("no quantity")?.parse()?;
        let price: f64 = trade["p"].as_str().ok_or("no price")?.parse()?;
        let sold = trade["m"].as_bool().ok_or("no side")?;
        self.last_id = trade["a"].as_i64().ok_or("no id")?;
        self.trades += 1;
        self.cvd += if sold { -quantity } else { quantity };
        let ema = self.ema.map_or(self.cvd, |last| 0.2 * self.cvd + 0.8 * last);
        self.ema = Some(ema);
        let z = self.z();
        if self.window.len() == Self::WINDOW - 1 {
            self.window.pop_front();
        }
        self.window.push_back(self.cvd);
        if self.trades <= 5 || self.trades.is_multiple_of(100) {
            let symbol = trade["s"].as_str().unwrap_or_default();
            tracing::info!(symbol, price, cvd = self.cvd, ?z, ema, "CVD");
        }
        Ok(())
    }

    fn z(&self) -> Option<f64> {
        if self.window.len() < Self::WINDOW / 5 {
            return None;
        }
        let n = self.window.len() as f64;
        let mean = self.window.iter().sum::<f64>() / n;
        let variance = self.window.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / n;
        let deviation = variance.sqrt();
        Some(if deviation > 1e-9 { (self.cvd - mean) / deviation } else { 0.0 })
    }
}
