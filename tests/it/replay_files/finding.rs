//! Which files are read, in which order, and what happens to those that are bad.

use super::{Folder, Read, gzipped, read, strict, symbol, zipped};
use cvd_stream::app::App;
use cvd_stream::config::Config;
use cvd_stream::replay::{FaultReason, Replay, ReplayOptions, expanded};
use cvd_stream::snapshot::Market;
use std::fs;
use std::path::PathBuf;

use crate::support::Monitor;

/// 2024-05-01 in milliseconds.
pub(super) const MAY: i64 = 1_714_521_600_000;
pub(super) const DAY: i64 = 86_400_000;

/// Rows of these ids, one a minute since the beginning of May.
pub(super) fn rows(ids: impl IntoIterator<Item = i64>) -> String {
    ids.into_iter()
        .map(|id| format!("{id},100.5,{}.25,{id},{id},{},{}\n", id % 7 + 1, MAY + id * 60_000, id % 3 == 0))
        .collect()
}

pub(super) fn ids(read: &Read) -> Vec<i64> {
    read.rows.iter().map(|row| row.trade.id.0).collect()
}

/// The same, each once.
pub(super) fn different_ids(read: &Read) -> Vec<i64> {
    let mut ids = ids(read);
    ids.dedup();
    ids
}

fn day(n: i64) -> String {
    format!("BTCUSDT-aggTrades-2024-05-{n:02}")
}

#[test]
fn a_directory_is_searched_and_its_files_are_read_in_the_order_of_their_trades() {
    let folder = Folder::new();
    fs::create_dir_all(folder.path.join("deeper/still")).unwrap();
    fs::create_dir_all(folder.path.join(".hidden")).unwrap();
    folder.write(&format!("{}.csv", day(3)), rows(2880..2890).as_bytes());
    folder.write(&format!("deeper/{}.zip", day(1)), &zipped(&[("x.csv", rows(0..10).as_bytes())], true));
    folder.write(&format!("deeper/still/{}.csv.gz", day(2)), &gzipped(rows(1440..1450).as_bytes()));
    folder.write("readme.md", b"not for us");
    folder.write(&format!("{}.csv.CHECKSUM.old", day(3)), b"nor this");
    folder.write(".hidden/BTCUSDT-aggTrades-2024-05-09.csv", rows(1..3).as_bytes());
    folder.write("ETHUSDT-aggTrades-2024-05-01.csv", rows(5..7).as_bytes());
    let found = read(vec![folder.path.clone()]);
    assert!(found.end.is_ok());
    assert_eq!(found.statistics.files, 4);
    let btcusdt: Vec<_> =
        found.rows.iter().filter(|row| row.symbol.as_str() == "BTCUSDT").map(|row| row.trade.id.0).collect();
    assert!(btcusdt.into_iter().eq((0..10).chain(1440..1450).chain(2880..2890)));
    assert_eq!(found.rows.iter().filter(|row| row.symbol.as_str() == "ETHUSDT").count(), 2);
}

#[test]
fn a_pattern_that_the_shell_did_not_expand_is_expanded_and_one_without_a_match_is_an_error() {
    let folder = Folder::new();
    for n in [2, 1, 3] {
        folder.write(&format!("{}.csv", day(n)), rows(n * 10..n * 10 + 10).as_bytes());
    }
    folder.write(&format!("{}.csv.CHECKSUM", day(4)), b"passed over");
    let found = read(vec![folder.path.join("BTC*-2024-05-0[1-9]*")]);
    assert!(ids(&found).into_iter().eq(10..40));
    let none = Replay::open(vec![folder.path.join("*.parquet")], ReplayOptions::default()).unwrap_err();
    assert!(none.to_string().contains("*.parquet: matches no file"), "{none}");
}

#[test]
fn the_list_of_somebody_else_does_not_make_a_recording_and_a_part_of_one_is_told_as_such() {
    let folder = Folder::new();
    folder.write(&format!("{}.csv", day(1)), rows(0..10).as_bytes());
    fs::create_dir(folder.path.join("deeper")).unwrap();
    folder.write("manifest.json", b"{\"version\": 3}");
    folder.write("deeper/manifest.json", b"[]");
    folder.write(&format!("deeper/{}.csv", day(2)), rows(1440..1450).as_bytes());
    assert!(ids(&read(vec![folder.path.clone()])).into_iter().eq((0..10).chain(1440..1450)));
    let matching = expanded(&[folder.path.join("*.csv"), folder.path.join("*.none"), folder.path.clone()]);
    let expected = [format!("{}.csv", day(1)), "*.none".to_owned(), String::new()];
    assert!(matching.into_iter().eq(expected.iter().map(|name| folder.path.join(name))));

    let part = folder.write("part.jsonl", b"{\"recording\":1,\"program\":\"0.1.0\"}\n");
    let error = Replay::open(vec![part], ReplayOptions::default()).unwrap_err().to_string();
    assert!(error.contains("is a recording"), "{error}");
}

#[test]
fn a_file_that_is_named_twice_is_read_once() {
    let folder = Folder::new();
    let file = folder.write(&format!("{}.csv", day(1)), rows(0..10).as_bytes());
    let found = read(vec![file.clone(), folder.path.clone(), file, folder.path.join("*.csv")]);
    assert!(ids(&found).into_iter().eq(0..10));
}

#[test]
fn every_market_is_known_by_its_columns_in_every_packing() {
    let folder = Folder::new();
    let spot = "id,price,qty,first,last,time,isBuyerMaker,isBestMatch";
    let futures = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker";
    let us = "7,94276.5,0.002,70,71,1735689600012345,True,True\n";
    let ms = "7,94276.5,0.002,70,71,1735689600012,true\n";
    for (market, name, header, row) in [
        (Market::Spot, "BTCUSDT", spot, us),
        (Market::UsdM, "BTCUSDT", futures, ms),
        (Market::CoinM, "BTCUSD_PERP", futures, ms),
    ] {
        for text in [row.to_owned(), format!("{header}\n{row}")] {
            let entry = format!("{name}-aggTrades-2025-01-01.csv");
            for (ending, bytes) in [
                ("csv", text.clone().into_bytes()),
                ("csv.gz", gzipped(text.as_bytes())),
                ("zip", zipped(&[(&entry, text.as_bytes())], true)),
            ] {
                let file = folder.write(&format!("{name}-aggTrades-2025-01-01.{ending}"), &bytes);
                let found = read(vec![file]);
                assert_eq!(found.rows.len(), 1, "{market} {ending} {text}: {:?}", found.damaged);
                let row = &found.rows[0];
                assert_eq!((row.market, &row.symbol), (market, &symbol(name)), "{ending} {text}");
                assert_eq!(row.trade.traded_at.0, 1_735_689_600_012);
                assert_eq!(row.trade.aggressor.side(), "sell");
            }
        }
    }
}

#[test]
fn files_that_overlap_lose_nothing_and_every_trade_counts_once() {
    let folder = Folder::new();
    // A month with a hole in it, a day within the month that has what is missing there, one that begins with the last
    // trade of the month, and the same once more.
    let month = rows((0..1000).chain(1200..4000));
    let files = vec![
        folder.write("BTCUSDT-aggTrades-2024-06-01.csv", rows(3999..4100).as_bytes()),
        folder.write(&format!("{}.csv", day(1)), rows(900..1300).as_bytes()),
        folder.write("BTCUSDT-aggTrades-2024-05.csv.gz", &gzipped(month.as_bytes())),
        folder.write("btcusdt_again.csv", rows(3500..3600).as_bytes()),
    ];
    let found = read(files.clone());
    assert!(different_ids(&found).into_iter().eq(0..4100));
    let repeated = 100 + 100 + 1 + 100;
    assert_eq!(found.rows.len(), 4100 + repeated);
    assert_eq!(found.statistics.overlapping_rows, repeated as u64);
    assert_eq!(found.statistics.files, 4);

    // A file and a packed copy of it.
    let copies = vec![
        folder.write("one.csv", month.as_bytes()),
        folder.write("two.csv.gz", &gzipped(month.as_bytes())),
    ];
    let found = read(copies);
    assert_eq!((found.rows.len(), found.statistics.files), (2 * 3_800, 2));

    let replay = Replay::open(files, ReplayOptions::default()).unwrap();
    let ended = super::runtime_with_time().block_on(Monitor::replay(App::new(Config::default()), replay));
    let metrics = ended.summary.metrics;
    assert_eq!((metrics.applied_trades, metrics.duplicate_trades), (4100, repeated as u64));
    assert_eq!((metrics.missing_trades, metrics.gaps, metrics.conflicts), (0, 0, 0));
}

#[test]
fn an_exchange_that_numbers_anew_is_not_an_overlap() {
    let folder = Folder::new();
    let later = |ids: std::ops::Range<i64>| -> String {
        ids.map(|id| format!("{id},1,1,1,1,{},true\n", MAY + 10 * DAY + id)).collect()
    };
    let files = vec![
        folder.write("BTCUSDT-aggTrades-2024-05-11.csv", later(1..50).as_bytes()),
        folder.write("BTCUSDT-aggTrades-2024-05-01.csv", rows(100..200).as_bytes()),
    ];
    assert!(ids(&read(files)).into_iter().eq((100..200).chain(1..50)));
}

const SUM_OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[test]
fn a_file_that_is_not_what_was_published_is_skipped_by_name_or_fatal() {
    let folder = Folder::new();
    let good = folder.write(&format!("{}.csv", day(1)), rows(0..10).as_bytes());
    let bad = folder.write(&format!("{}.csv", day(2)), rows(10..20).as_bytes());
    let last = folder.write(&format!("{}.csv", day(3)), rows(20..30).as_bytes());
    let sum = ring::digest::digest(&ring::digest::SHA256, rows(0..10).as_bytes());
    let sum: String = sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    folder.write(&format!("{}.csv.CHECKSUM", day(1)), format!("{sum}  {}.csv\n", day(1)).as_bytes());
    folder.write(&format!("{}.csv.CHECKSUM", day(2)), format!("{SUM_OF_ABC}  {}.csv\n", day(2)).as_bytes());
    let files = vec![good, bad.clone(), last];

    let found = read(files.clone());
    assert!(found.end.is_ok());
    assert_eq!((found.statistics.files, found.statistics.skipped_files), (2, 1));
    assert!(ids(&found).into_iter().eq((0..10).chain(20..30)));

    let faults = Replay::open(files, strict()).unwrap_err().faults;
    let [fault] = faults.as_slice() else { panic!("{faults:?}") };
    let FaultReason::Checksum { expected, found } = &fault.reason else { panic!("{fault}") };
    assert_eq!((expected.as_str(), found.len(), &fault.file), (SUM_OF_ABC, 64, &bad));
    assert!(fault.to_string().contains(found) && fault.to_string().contains("download both again"));
}

#[test]
fn a_file_that_breaks_off_is_named_and_the_next_one_is_read() {
    let folder = Folder::new();
    let gzip = gzipped(rows(0..5000).as_bytes());
    let files = vec![
        folder.write(&format!("{}.csv.gz", day(1)), &gzip[..gzip.len() / 2]),
        folder.write(&format!("{}.csv", day(5)), rows(5000..5010).as_bytes()),
        folder.path.join("is-not-there.csv"),
    ];
    let found = read(files.clone());
    assert!(found.end.is_ok());
    assert_eq!((found.statistics.files, found.statistics.skipped_files), (1, 2));
    let read_ids = ids(&found);
    let broken_at = read_ids.len() as i64 - 10;
    assert!(broken_at > 100 && broken_at < 4900, "{broken_at}");
    assert!(read_ids.into_iter().eq((0..broken_at).chain(5000..5010)));

    let replay = Replay::open(files, ReplayOptions::default()).unwrap();
    let ended = super::runtime_with_time().block_on(Monitor::replay(App::new(Config::default()), replay));
    assert_eq!(ended.summary.metrics.missing_trades as i64, 5000 - broken_at);
}

#[test]
fn nothing_but_bad_files_is_an_error() {
    let folder = Folder::new();
    let files: Vec<PathBuf> = vec![folder.path.join("a.csv"), folder.write("b.csv", b"")];
    let error = Replay::open(files, ReplayOptions::default()).unwrap_err();
    assert!(error.to_string().starts_with("2 files cannot be replayed:"), "{error}");
}
