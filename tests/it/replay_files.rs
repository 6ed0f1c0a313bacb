//! Recorded files of every kind, read through the public door.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod finding;
mod order;
mod range;
mod summary;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::recorded::shared;
use cvd_stream::feed::{Frame, SessionId};
use cvd_stream::replay::{FaultReason, Replay, ReplayError, ReplayOptions, ReplaySource, ReplayStatistics};
use cvd_stream::snapshot::Market;
use cvd_stream::source::{Burst, DamagedLine, Input, Rows, Source, SourceError};
use cvd_stream::trade::{AggTrade, Aggressor};
use cvd_stream::units::{AggTradeId, Price, Qty, QtyDelta, Symbol, UnixMillis};
use proptest::prelude::*;

const FUTURES_HEADER: &str =
    "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n";
const FUTURES_ROWS: &str =
    "7,64339.20,0.001,70,71,1714521600001,true\n8,64339.3,2,72,72,1714521600002,false\n";

#[test]
fn a_futures_table_reads_the_same_in_every_dress() {
    let folder = Folder::new();
    let headed = format!("{FUTURES_HEADER}{FUTURES_ROWS}");
    let quoted = "\"7\",\"64339.20\",0.001,70,71,1714521600001,\"true\"\n\
        8,64339.3,\"2\",72,72,1714521600002,false\n";
    let half = headed.find("8,").unwrap();
    let two_members = [gzipped(&headed.as_bytes()[..half]), gzipped(&headed.as_bytes()[half..])].concat();
    for (dress, bytes) in [
        ("plain", headed.clone().into_bytes()),
        ("without a header", FUTURES_ROWS.into()),
        ("without a last line end", headed.trim_end().into()),
        ("with CRLF", headed.replace('\n', "\r\n").into_bytes()),
        ("with a byte order mark", format!("\u{FEFF}{headed}").into_bytes()),
        ("a byte order mark and no header", format!("\u{FEFF}{FUTURES_ROWS}").into_bytes()),
        ("with capitals", headed.to_uppercase().into_bytes()),
        ("with digits for booleans", headed.replace("true", "1").replace("false", "0").into_bytes()),
        ("quoted", quoted.into()),
        ("quoted header", format!("{}{quoted}", FUTURES_HEADER.replace("price", "\"price\"")).into_bytes()),
        ("with empty lines", headed.replace('\n', "\n\n").into_bytes()),
        ("gzip", gzipped(headed.as_bytes())),
        ("gzip of two members", two_members),
        ("gzip of two files", [gzipped(headed.as_bytes()), gzipped(FUTURES_HEADER.as_bytes())].concat()),
        ("zstd", zstd::encode_all(headed.as_bytes(), 3).unwrap()),
        ("zip", zipped(&[("BTCUSDT-aggTrades-2024-05-01.csv", headed.as_bytes())], true)),
        ("stored zip", zipped(&[("x.csv", headed.as_bytes()), ("x.csv.CHECKSUM", b"00")], false)),
    ] {
        let read = read(vec![folder.write("BTCUSDT-aggTrades-2024-05-01.any", &bytes)]);
        assert_eq!(read.damaged.len(), 0, "{dress}: {:?}", read.damaged);
        assert_eq!(read.end.map_err(|e| e.to_string()), Ok(()), "{dress}");
        let trades: Vec<_> = read.rows.iter().map(|row| row.trade).collect();
        assert_eq!(
            trades,
            [
                trade(7, "64339.20", "0.001", (70, 71), 1_714_521_600_001, Aggressor::Seller),
                trade(8, "64339.3", "2", (72, 72), 1_714_521_600_002, Aggressor::Buyer),
            ],
            "{dress}"
        );
        assert!(read.rows.iter().all(|row| row.market == Market::UsdM && row.symbol.as_str() == "BTCUSDT"));
    }
}

#[test]
fn a_spot_table_is_known_by_its_eight_columns_and_its_microseconds_become_milliseconds() {
    let folder = Folder::new();
    let row = "3568588539,94276.5,0.002,4415430171,4415430171,1735689600012345,True,True\n";
    for header in [
        "",
        "id,price,qty,first,last,time,isBuyerMaker,isBestMatch\n",
        "Aggregate tradeId,Price,Quantity,First tradeId,Last tradeId,Timestamp,\
         Was the buyer the maker,Was the trade the best price match\n",
    ] {
        let read =
            read(vec![folder.write("BTCUSDT-aggTrades-2025-01-01.csv", format!("{header}{row}").as_bytes())]);
        let [Row { market, trade: found, .. }] = read.rows[..] else { panic!("{:?}", read.damaged) };
        assert_eq!(market, Market::Spot);
        let first_last = (4_415_430_171, 4_415_430_171);
        assert_eq!(
            found,
            trade(3_568_588_539, "94276.5", "0.002", first_last, 1_735_689_600_012, Aggressor::Seller)
        );
    }
}

#[test]
fn a_recorder_table_turns_is_buy_around_and_ignores_what_it_does_not_know() {
    let folder = Folder::new();
    let text = "cvd,is_buy,qty,price,event_time_ms,agg_trade_id,note\n\
        0.5,true,0.5,10,1000,1,\"a, b\"\n0.2,false,0.3,11,1001,2,ü\n";
    let read = read(vec![folder.write("x1usdt_recorder.csv", text.as_bytes())]);
    let trades: Vec<_> = read.rows.iter().map(|row| row.trade).collect();
    assert_eq!(
        trades,
        [
            trade(1, "10", "0.5", (-1, -1), 1000, Aggressor::Buyer),
            trade(2, "11", "0.3", (-1, -1), 1001, Aggressor::Seller)
        ]
    );
    assert_eq!(read.rows[0].symbol.as_str(), "X1USDT");
}

#[test]
fn the_time_of_the_trade_goes_before_the_time_of_the_event() {
    let folder = Folder::new();
    let text = "event_time_ms,agg_trade_id,price,qty,is_buyer_maker,transact_time\n9,1,1,1,true,5\n";
    let read = read(vec![folder.write("x1usdt.csv", text.as_bytes())]);
    assert_eq!(read.rows[0].trade.traded_at, UnixMillis(5));
}

#[test]
fn a_damaged_row_is_told_by_its_line_and_the_rest_is_read() {
    let folder = Folder::new();
    let long = format!("{},1,1,1,1,1,true", "9".repeat(200_000));
    let rows: [(&[u8], &str); 17] = [
        (b"x,1,1,1,1,1,true", "agg_trade_id `x`: not an integer"),
        (b",1,1,1,1,1,true", "no agg_trade_id"),
        (b"-4,1,1,1,1,1,true", "agg_trade_id `-4`: negative"),
        (b"9223372036854775808,1,1,1,1,1,true", "agg_trade_id `9223372036854775808`: not an integer"),
        (b"4,1,1,1,1,1", "6 columns where 7 are expected"),
        (b"4,1,1,1,1,1,true,true", "8 columns where 7 are expected"),
        (b"4,1e5,1,1,1,1,true", "price `1e5`: an exponent"),
        (b"4,1,-1,1,1,1,true", "quantity `-1`: a sign in front of the number"),
        (b"4,1,NaN,1,1,1,true", "quantity `NaN`: not a decimal number"),
        (b"4,1,1,1.5,1,1,true", "first_trade_id `1.5`: not an integer"),
        (b"4,1,1,1,1,yesterday,true", "transact_time `yesterday`: not an integer"),
        (b"4,1,1,1,1,-1,true", "transact_time `-1`: before 1970"),
        (b"4,1,1,1,1,1,yes", "is_buyer_maker `yes`: neither true nor false"),
        (b"4,1,1,1,1,1,tru", "is_buyer_maker `tru`: neither true nor false"),
        (b"4,1,1,1,1,1,tr\xFFe", "not UTF-8"),
        (b"4,\x1B[31m,1,1,1,1,true", "price `\\u{1b}[31m`: not a decimal number"),
        (long.as_bytes(), "longer than 64 KiB"),
    ];
    let mut bytes = FUTURES_HEADER.as_bytes().to_vec();
    for (row, _) in rows {
        bytes.extend_from_slice(row);
        bytes.extend_from_slice(b"\n5,1,1,1,1,1,true\n");
    }
    let file = folder.write("BTCUSDT-aggTrades-2024.csv", &bytes);
    let read = read(vec![file.clone()]);
    assert_eq!(read.rows.len(), rows.len());
    assert_eq!(read.damaged.len(), rows.len());
    for (index, ((row, reason), damaged)) in rows.iter().zip(&read.damaged).enumerate() {
        assert_eq!((damaged.line, damaged.reason.as_str()), (2 + 2 * index as u64, *reason));
        assert_eq!(damaged.text, String::from_utf8_lossy(row).chars().take(160).collect::<String>());
        assert_eq!(*damaged.file, file);
    }
    let statistics =
        ReplayStatistics { rows: 17, damaged: 17, bytes: bytes.len() as u64, files: 1, ..Default::default() };
    assert_eq!(read.statistics, statistics);
}

#[test]
fn a_damaged_first_row_does_not_hide_what_the_file_is() {
    let folder = Folder::new();
    let text = format!("6,1,1,\n{FUTURES_ROWS}");
    let read = read(vec![folder.write("x1usdt.csv", text.as_bytes())]);
    assert_eq!((read.rows.len(), read.damaged.len(), read.damaged[0].line), (2, 1, 1));
}

#[test]
fn a_recording_keeps_its_messages_and_their_stamps() {
    let folder = Folder::new();
    let text = "wss://dstream.binance.com/stream?streams=btcusd_perp@aggTrade/ethusd_perp@depth <-> 1.5\n\
        1626992741.06217: {\"a\":1}\n\
        \n\
        1626992741062170500 {\"a\":\"ü\"}\r\n\
        {\"a\":3}\n\
        1626992741.0: {\"a\":4}\n";
    let file = folder.write("recording.txt", text.as_bytes());
    let replay = Replay::open(vec![file.clone()], ReplayOptions::default()).unwrap();
    let [lanes] = replay.lanes() else { panic!() };
    assert_eq!(*lanes.file, file);
    assert_eq!((lanes.session, lanes.market), (SessionId(1), Market::CoinM));
    assert_eq!(lanes.symbols, Some(vec![symbol("BTCUSD_PERP")]));

    let read = drain(replay);
    let frames: Vec<_> = read
        .frames
        .iter()
        .map(|frame| (frame.ordinal, frame.received.map(|at| (at.wall_ns, at.mono_ns)), frame.text.as_str()))
        .collect();
    assert_eq!(
        frames,
        [
            (2, Some((1_626_992_741_062_170_000, 0)), "{\"a\":1}"),
            (4, Some((1_626_992_741_062_170_500, 500)), "{\"a\":\"ü\"}"),
            (5, None, "{\"a\":3}"),
            (6, Some((1_626_992_741_000_000_000, 500)), "{\"a\":4}"),
        ]
    );
    assert_eq!((read.damaged.len(), read.statistics.frames), (0, 4));
}

#[test]
fn lines_that_are_no_messages_are_damaged() {
    let folder = Folder::new();
    let bytes = b"0\",\"m\":true}\n{\"a\":1}\n[1]\n12 x\n{\"a\":\"\xFF\"}\n{\"a\":2}";
    let read = read(vec![folder.write("recording", bytes)]);
    assert_eq!(read.frames.iter().map(|frame| frame.ordinal).collect::<Vec<_>>(), [2, 6]);
    let damaged: Vec<_> =
        read.damaged.iter().map(|damaged| (damaged.line, damaged.reason.as_str())).collect();
    let no_message = "not a message: no `{` at the beginning or behind a receive stamp";
    assert_eq!(damaged, [(1, no_message), (3, no_message), (4, no_message), (5, "not UTF-8")]);
}

#[test]
fn files_follow_each_other_in_the_given_order_in_bursts_of_the_given_size() {
    let folder = Folder::new();
    let row = |id: u64| format!("{id},1,1,1,1,1,true\n");
    let files = vec![
        folder.write("BTCUSDT-aggTrades-2024-05-02.csv", (0..5).map(row).collect::<String>().as_bytes()),
        folder.write("frames", b"{\"a\":1}\n{\"a\":2}\n"),
        folder.write("ETHUSD_PERP-aggTrades-2024-05-01.csv", (5..8).map(row).collect::<String>().as_bytes()),
    ];
    let options = ReplayOptions { burst: 4, ..Default::default() };
    let mut replay = Replay::open(files, options).unwrap();
    let lanes: Vec<_> = replay.lanes().iter().map(|lanes| (lanes.market, lanes.symbols.clone())).collect();
    assert_eq!(
        lanes,
        [
            (Market::UsdM, Some(vec![symbol("BTCUSDT")])),
            (Market::UsdM, None),
            (Market::CoinM, Some(vec![symbol("ETHUSD_PERP")]))
        ]
    );
    let mut burst = Burst::default();
    let mut sizes = Vec::new();
    let mut sessions = Vec::new();
    while runtime().block_on(replay.next(&mut burst)).unwrap() {
        let size = |input: &Input| if let Input::Rows(rows) = input { rows.trades.len() } else { 1 };
        sizes.push(burst.inputs.iter().map(size).sum::<usize>());
        sessions.extend(burst.inputs.iter().filter_map(|input| match input {
            Input::Frame(frame) => Some(frame.session),
            _ => None,
        }));
    }
    assert_eq!(sizes, [4, 4, 2]);
    assert_eq!(sessions, [SessionId(2); 2]);
    assert_eq!(replay.statistics().files, 3);
    assert!(!runtime().block_on(replay.next(&mut burst)).unwrap(), "the end is the end");
    assert!(burst.inputs.is_empty());
}

#[test]
fn options_go_before_what_a_file_tells() {
    let folder = Folder::new();
    let files = vec![
        folder.write("BTCUSDT-aggTrades-2024-05-02.csv", FUTURES_ROWS.as_bytes()),
        folder.write("frames", b"wss://fstream.binance.com/stream?streams=btcusdt@aggTrade\n"),
    ];
    let options = ReplayOptions {
        symbol: Some(symbol("ETHUSDT")),
        market: Some(Market::Spot),
        ..ReplayOptions::default()
    };
    let replay = Replay::open(files, options).unwrap();
    for lanes in replay.lanes() {
        assert_eq!((lanes.market, &lanes.symbols), (Market::Spot, &Some(vec![symbol("ETHUSDT")])));
    }
    assert!(
        drain(replay).rows.iter().all(|row| row.market == Market::Spot && row.symbol.as_str() == "ETHUSDT")
    );
}

#[test]
fn a_file_that_is_cut_short_gives_what_it_has_and_then_says_so() {
    let folder = Folder::new();
    let text: String = (0..20_000).map(|id| format!("{id},1.{id:08},1,1,1,1,true\n")).collect();
    let gzip = gzipped(text.as_bytes());
    let zstd = zstd::encode_all(text.as_bytes(), 3).unwrap();
    let mut zip = zipped(&[("x1usdt.csv", text.as_bytes())], true);
    let middle = zip.len() / 2;
    zip[middle..middle + 8].fill(0xFF);
    let mut stored = zipped(&[("x1usdt.csv", text.as_bytes())], false);
    let digit = stored.len() / 2 + stored[stored.len() / 2..].iter().position(|b| *b == b'.').unwrap() + 1;
    stored[digit] ^= 1;
    for (dress, bytes, says) in [
        ("gzip", &gzip[..gzip.len() / 2], "is cut short after line"),
        ("gzip without its end", &gzip[..gzip.len() - 3], "is cut short after line 20000"),
        ("zstd", &zstd[..zstd.len() / 2], "is cut short after line"),
        ("zip", &zip[..], "is damaged, found after line"),
        ("stored zip", &stored[..], "is damaged, found after line 20000"),
    ] {
        let file = folder.write("x1usdt.bin", bytes);
        let next = folder.write("x2usdt.csv", FUTURES_ROWS.as_bytes());
        let read = drain(Replay::open(vec![file.clone(), next], strict()).unwrap());
        let error = read.end.expect_err(dress).to_string();
        assert!(error.contains(says) && error.contains("again"), "{dress}: {error}");
        assert!(error.starts_with(file.to_str().unwrap()), "{dress}: {error}");
        assert!(read.rows.len() > 100, "{dress}: {}", read.rows.len());
        assert_eq!(read.statistics.files, 0, "{dress}");
        if says.contains("cut short") {
            assert!(read.rows.iter().zip(0..).all(|(row, id)| row.trade.id == AggTradeId(id)), "{dress}");
            assert_eq!(read.damaged.len(), 0, "{dress}");
        } else {
            // Rows behind the damage may look right; only the checksum at the end knows better.
            assert!(error.contains("cannot be trusted"), "{dress}: {error}");
        }
    }
}

#[test]
fn every_file_that_cannot_be_replayed_is_named_at_once() {
    let folder = Folder::new();
    let noise: Vec<u8> = (0..5000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 | 0x80).collect();
    let zip = zipped(&[("x1usdt.csv", FUTURES_ROWS.as_bytes())], true);
    let two = zipped(&[("a.csv", FUTURES_ROWS.as_bytes()), ("b.csv", FUTURES_ROWS.as_bytes())], true);
    let empty = folder.path.join("empty");
    fs::create_dir(&empty).unwrap();
    let files = vec![
        folder.path.join("x1usdt-is-not-there.csv"),
        folder.write("noise.bin", &noise),
        folder.write("x2usdt-empty.csv", b""),
        folder.write("x3usdt-klines.csv", b"open_time,open,high,low,close\n1,2,3,4,5\n"),
        folder.write("x4usdt-trades.csv", b"id,price,qty,quote_qty,time,is_buyer_maker\n1,2,3,6,4,true\n"),
        folder.write("x5usdt-trades-spot.csv", b"1,2.5,3,7.5,1735689600012345,True,True\n"),
        folder.write("x6usdt-short.zip", &zip[..zip.len() / 2]),
        folder.write("x7usdt-two.zip", &two),
        folder.write("20240501.csv", FUTURES_ROWS.as_bytes()),
        folder.write("x8usdt-unsided.csv", b"id,price,qty,time,taker\n1,2,3,4,buy\n"),
        folder.write("x9usdt-twice.csv", b"id,price,price,qty,time,is_buyer_maker\n1,2,2,3,4,true\n"),
        empty,
        folder.write("x0usdt-good.csv", FUTURES_ROWS.as_bytes()),
    ];
    let ReplayError { faults } = Replay::open(files.clone(), strict()).unwrap_err();
    let said: Vec<_> = faults.iter().map(|fault| (fault.file.clone(), fault.reason.to_string())).collect();
    let expected = [
        "cannot be read: No such file",
        "neither a table of trades nor recorded frames, it begins with \"\\x",
        "is empty; expected a CSV of aggregate trades",
        "a header without the id of the aggregate trade (agg_trade_id)",
        "raw trades",
        "neither a table of trades nor recorded frames, it begins with \"1,2.5",
        "cut short or damaged",
        "a zip archive of 2 files",
        "give --symbol",
        "a header without a side (is_buyer_maker)",
        "two columns named `price`",
        "is a directory without a recording",
    ];
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (given, expected) in files.iter().zip(expected) {
        let reason = said.iter().find(|(file, _)| file == given).map(|(_, reason)| reason);
        assert!(reason.is_some_and(|reason| reason.contains(expected)), "{}: {reason:?}", given.display());
    }
    let forgiving = Replay::open(files.clone(), ReplayOptions::default()).unwrap();
    assert_eq!(forgiving.statistics().skipped_files, 12);
    assert_eq!(drain(forgiving).rows.len(), 2);
    let one = Replay::open(vec![files[8].clone()], ReplayOptions::default()).unwrap_err();
    assert!(matches!(one.faults[0].reason, FaultReason::NoSymbol));
    assert!(
        one.to_string().starts_with("cannot replay ") && one.to_string().contains("20240501.csv: does not")
    );
    let none = Replay::open(Vec::new(), ReplayOptions::default()).unwrap_err();
    assert_eq!(none.to_string(), "no file to replay: name at least one");
}

#[test]
fn a_file_that_vanishes_after_the_opening_is_skipped_or_ends_the_replay_by_name() {
    let folder = Folder::new();
    let (first, second) = ("x1usdt.csv", "x2usdt.csv");
    let files = [first, second].map(|name| folder.write(name, FUTURES_ROWS.as_bytes()));
    let (replay, forgiving) =
        (Replay::open(files.to_vec(), strict()), Replay::open(files.to_vec(), ReplayOptions::default()));
    fs::remove_file(&files[1]).unwrap();
    let skipped = drain(forgiving.unwrap());
    assert_eq!((skipped.rows.len(), skipped.end.is_ok(), skipped.statistics.skipped_files), (2, true, 1));
    let read = drain(replay.unwrap());
    assert_eq!(read.rows.len(), 2);
    let error = read.end.unwrap_err();
    assert!(error.what.contains(second) && error.cause.is_some(), "{error}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_pipe_is_read_once_from_its_beginning_to_its_end() {
    use std::os::fd::AsRawFd;
    let gzip = gzipped(FUTURES_ROWS.repeat(100).as_bytes());
    for (bytes, rows, cut_short) in
        [(FUTURES_ROWS.as_bytes(), 2, false), (&gzip, 200, false), (&gzip[..gzip.len() - 4], 200, true)]
    {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(bytes).unwrap();
        drop(writer);
        let file = PathBuf::from(format!("/proc/self/fd/{}", reader.as_raw_fd()));
        let options = ReplayOptions { symbol: Some(symbol("BTCUSDT")), ..ReplayOptions::default() };
        let options = ReplayOptions { strict: true, ..options };
        let replay = Replay::open(vec![file], options).unwrap();
        drop(reader);
        let read = drain(replay);
        assert_eq!((read.rows.len(), read.damaged.len(), read.end.is_err()), (rows, 0, cut_short));
    }
}

#[test]
fn the_recorded_mainnet_trades_add_up_exactly() {
    let Some(shared) = shared() else { return };
    let read = read(vec![shared.join("data/trades/ethusdt_20230202_aggtrades_1000.csv.gz")]);
    assert_eq!((read.rows.len(), read.damaged.len()), (1000, 0));
    assert!(read.rows.iter().zip(1_206_419_187..).all(|(row, id)| row.trade.id == AggTradeId(id)));
    assert!(read.rows.iter().all(|row| row.symbol.as_str() == "ETHUSDT" && row.market == Market::UsdM));
    let sum = read.rows.iter().map(|row| row.trade.delta()).try_fold(QtyDelta::ZERO, QtyDelta::checked_add);
    assert_eq!(sum.unwrap().to_string(), "391.13");
}

#[test]
fn two_recorders_of_the_same_stream_are_read_alike() {
    let Some(shared) = shared() else { return };
    let rows = ["a", "b"].map(|which| {
        let read = read(vec![shared.join(format!("data/trades/btcusdt_testnet_recorder_{which}.csv.gz"))]);
        assert_eq!(read.damaged.len(), 0);
        assert!(read.rows.iter().all(|row| row.symbol.as_str() == "BTCUSDT"));
        read.rows
            .into_iter()
            .map(|row| (row.trade.id, row.trade))
            .collect::<std::collections::BTreeMap<_, _>>()
    });
    assert_eq!((rows[0].len(), rows[1].len()), (3396, 3399));
    let common = rows[0].iter().filter(|(id, _)| rows[1].contains_key(id)).count();
    assert!(common > 3000);
    assert!(rows[0].iter().all(|(id, trade)| rows[1].get(id).is_none_or(|other| other == trade)));
    assert_eq!(rows[0].values().next().unwrap().delta().to_string(), "0.007");
}

#[test]
fn recorded_frames_tell_their_market_and_what_was_wanted() {
    let Some(shared) = shared() else { return };
    for (name, market, symbols, frames) in [
        ("usdm", Market::UsdM, vec!["SUSHIUSDT", "AKROUSDT", "KEEPUSDT", "CTKUSDT"], 1535),
        ("coinm", Market::CoinM, vec!["LINKUSD_211231", "LINKUSD_PERP"], 4371),
    ] {
        let file = shared.join(format!("data/frames/binance_{name}_2021-07-22.ws.gz"));
        let replay = Replay::open(vec![file], ReplayOptions::default()).unwrap();
        let lanes = &replay.lanes()[0];
        assert_eq!(lanes.market, market);
        let wanted = lanes.symbols.clone().unwrap();
        assert!(symbols.iter().map(|name| symbol(name)).eq(wanted.into_iter().take(symbols.len())));
        let read = drain(replay);
        assert_eq!((read.frames.len(), read.damaged.len(), read.rows.len()), (frames, 0, 0));
        assert_eq!(read.frames[0].ordinal, 2);
        assert!(read.frames.iter().all(|frame| frame.received.is_some()));
    }
}

fn any_trade() -> impl Strategy<Value = AggTrade> {
    let ids = (0..=i64::MAX, -1..=i64::MAX, -1..=i64::MAX);
    (ids, 0..=i64::MAX, 0..=i64::MAX, 0..100_000_000_000_000i64, any::<bool>()).prop_map(
        |((id, first_trade_id, last_trade_id), price, qty, time, maker)| AggTrade {
            id: AggTradeId(id),
            price: Price::from_units(price),
            qty: Qty::from_units(qty),
            qty_without_rpi: None,
            first_trade_id,
            last_trade_id,
            traded_at: UnixMillis(time),
            event_at: None,
            aggressor: Aggressor::from_buyer_is_maker(maker),
        },
    )
}

#[test]
fn the_number_of_threads_changes_nothing_that_is_read() {
    let folder = Folder::new();
    let rows: String =
        (0..5_000).map(|id| format!("{id},1.5,{}.25,1,1,{},true\n", id % 50, id * 7)).collect();
    let rows = rows.replace("77,1.5", "77,1e5");
    let read = |threads| {
        let file = folder.write("BTCUSDT-aggTrades-2024-05-01.csv", rows.as_bytes());
        let other = folder.write("BTCUSDT-aggTrades-2024-05-02.csv", FUTURES_ROWS.as_bytes());
        let replay = Replay::open(vec![file, other], ReplayOptions::default()).unwrap();
        let mut source = ReplaySource::start(replay, threads).unwrap();
        let (mut burst, mut found) = (Burst::default(), Vec::new());
        runtime().block_on(async {
            while source.next(&mut burst).await.unwrap() {
                found.extend(burst.inputs.iter().map(|input| format!("{input:?}")));
            }
        });
        assert!(burst.inputs.is_empty());
        found
    };
    let alone = read(1);
    assert!(alone.len() > 20, "blocks, and damaged lines between them");
    assert_eq!(read(2), alone);
    assert_eq!(read(4), alone);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rows_written_are_read_back_equal(
        first in 0..i64::MAX - 60,
        mut trades in prop::collection::vec(any_trade(), 1..60),
        header: bool,
        spot: bool,
        line_end in prop::sample::select(vec!["\n", "\r\n"]),
        dress in 0..3,
        burst in 0..70usize,
    ) {
        let folder = Folder::new();
        for (trade, id) in trades.iter_mut().zip(first..) {
            trade.id = AggTradeId(id);
        }
        let mut text = String::new();
        if header {
            let names = FUTURES_HEADER.trim_end();
            text += &format!("{names}{}{line_end}", if spot { ",is_best_match" } else { "" });
        }
        for t in &trades {
            let maker = t.aggressor == Aggressor::Seller;
            text += &format!(
                "{},{},{},{},{},{},{maker}{}{line_end}",
                t.id, t.price, t.qty, t.first_trade_id, t.last_trade_id, t.traded_at.0,
                if spot { ",true" } else { "" },
            );
        }
        let bytes = match dress {
            0 => text.clone().into_bytes(),
            1 => gzipped(text.as_bytes()),
            _ => zipped(&[("any.csv", text.as_bytes())], true),
        };
        let file = folder.write("btcusdt.any", &bytes);
        let read = drain(Replay::open(vec![file], ReplayOptions { burst, ..Default::default() }).unwrap());
        prop_assert!(read.damaged.is_empty(), "{:?}", read.damaged);
        prop_assert_eq!(read.rows.iter().map(|row| row.trade).collect::<Vec<_>>(), trades);
        prop_assert_eq!(read.statistics.bytes, text.len() as u64);
        let market = if spot { Market::Spot } else { Market::UsdM };
        prop_assert!(read.rows.iter().all(|row| row.market == market));
    }

    #[test]
    fn no_bytes_at_all_make_the_reader_panic(
        start in prop::sample::select(vec![
            FUTURES_HEADER.as_bytes(), FUTURES_ROWS.as_bytes(), b"{\"a\":1}\n", b"wss://x/ws\n",
            b"PK\x03\x04", b"\x1F\x8B\x08\0\0\0\0\0\0\xFF", b"",
        ]),
        noise in prop::collection::vec(
            prop::sample::select(b"0123456789,.\n\r\"{}: true\xFF\x00PK\x1F\x8B".to_vec()),
            0..400,
        ),
    ) {
        let folder = Folder::new();
        let file = folder.write("btcusdt.any", &[start, &noise].concat());
        if let Ok(replay) = Replay::open(vec![file], ReplayOptions::default()) {
            let read = drain(replay);
            let found = (read.rows.len() as u64, read.frames.len() as u64, read.damaged.len() as u64);
            prop_assert_eq!(found, (read.statistics.rows, read.statistics.frames, read.statistics.damaged));
        }
    }
}

/// Everything a replay gave, by kind.
struct Read {
    rows: Vec<Row>,
    frames: Vec<Frame>,
    damaged: Vec<DamagedLine>,
    end: Result<(), SourceError>,
    statistics: ReplayStatistics,
}

struct Row {
    market: Market,
    symbol: Symbol,
    trade: AggTrade,
}

fn read(files: Vec<PathBuf>) -> Read {
    drain(Replay::open(files, ReplayOptions::default()).unwrap())
}

fn drain(mut replay: Replay) -> Read {
    let (mut rows, mut frames, mut damaged) = (Vec::new(), Vec::new(), Vec::new());
    let end = runtime().block_on(async {
        let mut burst = Burst::default();
        while replay.next(&mut burst).await? {
            for input in burst.inputs.drain(..) {
                match input {
                    Input::Rows(Rows { market, symbol, trades }) => {
                        assert!((1..=Rows::MOST).contains(&trades.len()));
                        rows.extend(trades.into_iter().map(|trade| Row {
                            market,
                            symbol: symbol.clone(),
                            trade,
                        }));
                    }
                    Input::Frame(frame) => frames.push(frame),
                    Input::Damaged(line) => damaged.push(line),
                    other => panic!("files have no links, no queue and no REST: {other:?}"),
                }
            }
        }
        Ok(())
    });
    Read { rows, frames, damaged, end, statistics: replay.statistics() }
}

fn strict() -> ReplayOptions {
    ReplayOptions { strict: true, ..ReplayOptions::default() }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

fn runtime_with_time() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn symbol(text: &str) -> Symbol {
    Symbol::new(text).unwrap()
}

fn trade(id: i64, price: &str, qty: &str, raw: (i64, i64), at: i64, aggressor: Aggressor) -> AggTrade {
    AggTrade {
        id: AggTradeId(id),
        price: price.parse().unwrap(),
        qty: qty.parse().unwrap(),
        qty_without_rpi: None,
        first_trade_id: raw.0,
        last_trade_id: raw.1,
        traded_at: UnixMillis(at),
        event_at: None,
        aggressor,
    }
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn zipped(entries: &[(&str, &[u8])], deflated: bool) -> Vec<u8> {
    use zip::write::SimpleFileOptions;
    let method = if deflated { zip::CompressionMethod::Deflated } else { zip::CompressionMethod::Stored };
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A folder of its own, removed at the end.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("cvd-replay-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self { path }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let file = self.path.join(name);
        fs::write(&file, bytes).unwrap();
        file
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that stays behind does no harm to the test.
        drop(fs::remove_dir_all(&self.path));
    }
}
