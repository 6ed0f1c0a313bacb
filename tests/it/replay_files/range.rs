//! `--from` and `--to`.

use super::finding::{DAY, MAY, ids, rows};
use super::{Folder, drain, gzipped, strict};
use cvd_stream::config::Bound;
use cvd_stream::replay::{Range, Replay, ReplayOptions};
use cvd_stream::units::{AggTradeId, UnixMillis};
use std::path::PathBuf;

fn options(from: Option<Bound>, to: Option<Bound>) -> ReplayOptions {
    ReplayOptions { range: Range { from, to }, ..strict() }
}

fn id(id: i64) -> Option<Bound> {
    Some(Bound::Id(AggTradeId(id)))
}

fn time(ms: i64) -> Option<Bound> {
    Some(Bound::Time(UnixMillis(ms)))
}

/// Four days of 1440 trades each.
fn days(folder: &Folder) -> Vec<PathBuf> {
    let day = |n: i64| {
        let name = format!("BTCUSDT-aggTrades-2024-05-{n:02}.csv");
        folder.write(&name, rows((n - 1) * 1440..n * 1440).as_bytes())
    };
    (1..5).map(day).collect()
}

#[test]
fn a_range_of_ids_or_times_is_read_from_its_first_trade_to_the_one_before_its_end() {
    let folder = Folder::new();
    let files = days(&folder);
    for (from, to, expected, left_out) in [
        (id(2000), id(3000), 2000..3000, 2),
        (id(1440), None, 1440..5760, 1),
        (time(MAY + DAY), time(MAY + 2 * DAY), 1440..2880, 3),
        (time(MAY + 1), time(MAY + 60_000), 1..1, 3),
        (time(MAY + 1), time(MAY + 60_001), 1..2, 3),
        (None, id(10), 0..10, 3),
        (None, time(MAY + 600_000), 0..10, 3),
        (time(MAY + 3 * DAY + 1), None, 4321..5760, 3),
        (id(5000), id(100_000), 5000..5760, 3),
        (id(100_000), None, 0..0, 3),
    ] {
        let read = drain(Replay::open(files.clone(), options(from, to)).unwrap());
        assert!(read.end.is_ok());
        assert_eq!(ids(&read), expected.clone().collect::<Vec<_>>(), "{from:?} {to:?}");
        assert_eq!(read.statistics.left_out_files, left_out, "{from:?} {to:?}");
    }
}

#[test]
fn nothing_before_the_range_comes_of_a_file_that_breaks_off() {
    let folder = Folder::new();
    let bytes = gzipped(rows(0..5_000).as_bytes());
    let file = folder.write("BTCUSDT-aggTrades-2024-05.csv.gz", &bytes[..bytes.len() * 4 / 5]);
    let read = drain(Replay::open(vec![file], options(id(1_000_000), None)).unwrap());
    assert!(read.end.is_err() && read.rows.is_empty(), "{:?} {}", read.end, read.rows.len());
}

#[test]
fn a_range_of_frames_is_that_of_their_trades() {
    let folder = Folder::new();
    let frame = |id: i64| {
        format!(
            "{{\"e\":\"aggTrade\",\"E\":{0},\"s\":\"BTCUSDT\",\"a\":{id},\"p\":\"1\",\"q\":\"2\",\"f\":1,\"l\":1,\
             \"T\":{0},\"m\":true}}\n",
            MAY + id
        )
    };
    let text = format!("{{\"result\":null,\"id\":1}}\n{}", (0..10).map(frame).collect::<String>());
    let file = folder.write("frames.jsonl", text.as_bytes());
    let frames = |from, to| {
        let read = drain(Replay::open(vec![file.clone()], options(from, to)).unwrap());
        read.frames.iter().map(|frame| frame.ordinal).collect::<Vec<_>>()
    };
    assert_eq!(frames(id(3), id(6)), [1, 5, 6, 7]);
    assert_eq!(frames(time(MAY + 8), None), [1, 10, 11]);
}
