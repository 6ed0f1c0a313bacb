//! Writes a table of aggregate trades as the exchange publishes them: BTCUSDT on USDⓈ-M, made up but plausible, the
//! same bytes for the same number of rows. Tells on standard output what it adds up to.
//!
//! ```sh
//! cargo run --release --example make_archive -- 10000000 BTCUSDT-aggTrades-2024-05.csv
//! ```
//!
//! `scripts/make-archive` compiles it without cargo: it needs nothing but the standard library.

use std::fs::File;
use std::io::{self, BufWriter, Write};

const HEADER: &str =
    "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n";
const FIRST_ID: u64 = 2_131_063_186;
const FIRST_RAW_ID: u64 = 4_929_093_042;
const FIRST_TIME: u64 = 1_714_521_600_047;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [rows, path] = arguments.as_slice() else { usage() };
    let Ok(rows @ 1..) = rows.parse::<u64>() else { usage() };
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    file.write_all(HEADER.as_bytes())?;

    let mut random = Random(7);
    let (mut tenths, mut cvd, mut bytes) = (606_645_u64, 0_i64, HEADER.len());
    let (mut raw_id, mut time, mut sold) = (FIRST_RAW_ID, FIRST_TIME, false);
    let mut line = Vec::with_capacity(128);
    for id in FIRST_ID..FIRST_ID + rows {
        // The price walks by ticks, between 20,000 and 90,000; the side goes on for a while.
        tenths = (tenths + random.below(7)).clamp(200_003, 899_997) - 3;
        sold ^= random.below(100) < 40;
        let last_raw_id = raw_id + random.below(4).saturating_sub(1);
        let thousandths = quantity(&mut random);
        cvd += if sold { -(thousandths as i64) } else { thousandths as i64 };
        line.clear();
        writeln!(
            line,
            "{id},{}.{}0,{}.{:03},{raw_id},{last_raw_id},{time},{sold}",
            tenths / 10,
            tenths % 10,
            thousandths / 1000,
            thousandths % 1000,
        )?;
        file.write_all(&line)?;
        bytes += line.len();
        raw_id = last_raw_id + 1;
        // Many trades share a millisecond; in between nothing happens for a while.
        time += if random.below(3) > 0 { 0 } else { random.below(500) };
    }
    file.into_inner()?.sync_all()?;

    let (sign, size) = (if cvd < 0 { "-" } else { "" }, cvd.unsigned_abs());
    let cvd = format!("{sign}{}.{:03}", size / 1000, size % 1000);
    let cvd = cvd.trim_end_matches('0').trim_end_matches('.');
    let last_id = FIRST_ID + rows - 1;
    writeln!(
        io::stdout(),
        r#"{{"rows":{rows},"bytes":{bytes},"first_id":{FIRST_ID},"last_id":{last_id},"cvd":"{cvd}"}}"#
    )
}

fn usage() -> ! {
    eprintln!("usage: make_archive ROWS FILE.csv");
    std::process::exit(2)
}

/// Thousandths: most trades are small, some are not.
fn quantity(random: &mut Random) -> u64 {
    match random.below(200) {
        0 => 1 + random.below(60_000),
        1..40 => 30 + random.below(8_970),
        _ => 1 + random.below(29),
    }
}

/// SplitMix64, so that every machine writes the same bytes.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (bits ^ (bits >> 31)) % bound
    }
}
