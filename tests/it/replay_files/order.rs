//! Rows out of their order within a file.

use super::finding::{MAY, ids, rows};
use super::{Folder, drain, gzipped, symbol, zipped};
use cvd_stream::replay::{Replay, ReplayOptions};
use proptest::prelude::*;
use std::io::Write;

/// Blocks of a table, some of them shuffled, with a hole and a repeated row.
fn shuffled() -> impl Strategy<Value = (Vec<i64>, Vec<Vec<i64>>)> {
    let cuts = prop::collection::vec(1usize..2500, 0..6);
    (0i64..1000, 300usize..2500, cuts, any::<bool>(), any::<bool>()).prop_flat_map(
        |(first, count, mut cuts, hole, repeated)| {
            let mut ids: Vec<_> = (first..first + count as i64).collect();
            if hole {
                ids.drain(count / 3..count / 3 + 7);
            }
            if repeated {
                ids.insert(count / 2, ids[count / 2]);
            }
            cuts.retain(|cut| *cut < ids.len());
            cuts.extend([0, ids.len()]);
            cuts.sort_unstable();
            let blocks: Vec<_> = cuts.windows(2).map(|cut| ids[cut[0]..cut[1]].to_vec()).collect();
            (Just(ids), Just(blocks).prop_shuffle())
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_permutation_of_the_blocks_of_a_table_reads_as_the_sorted_table(
        (sorted, blocks) in shuffled(),
        memory in prop::sample::select(vec![0u64, 200_000, 1 << 28]),
        dress in 0..3,
    ) {
        let folder = Folder::new();
        let text = rows(blocks.concat());
        let bytes = match dress {
            0 => text.clone().into_bytes(),
            1 => gzipped(text.as_bytes()),
            _ => zipped(&[("any.csv", text.as_bytes())], true),
        };
        let file = folder.write("btcusdt.any", &bytes);
        let temp_dir = Some(folder.path.clone());
        let options = ReplayOptions { memory, temp_dir, strict: true, ..ReplayOptions::default() };
        let read = drain(Replay::open(vec![file], options).unwrap());
        prop_assert!(read.end.is_ok());
        prop_assert_eq!(ids(&read), sorted);
        prop_assert_eq!(read.statistics.misplaced_rows, 0);
        prop_assert_eq!(std::fs::read_dir(&folder.path).unwrap().count(), 1, "no file is left behind");
    }
}

#[test]
fn two_halves_that_are_interleaved_behind_a_good_beginning_are_put_right() {
    let folder = Folder::new();
    // Nothing speaks for disorder before row 40,000: the halves alternate from there on.
    let good = 0..40_000;
    let halves = (40_000..60_000).zip(60_000..80_000).flat_map(|(a, b)| [b, a]);
    let text = rows(good.chain(halves));
    let file = folder.write("BTCUSDT-aggTrades-2024-05.zip", &zipped(&[("x.csv", text.as_bytes())], true));
    for memory in [0, 1 << 28] {
        let options = ReplayOptions { memory, ..ReplayOptions::default() };
        let read = drain(Replay::open(vec![file.clone()], options).unwrap());
        assert!(ids(&read).into_iter().eq(0..80_000));
        assert_eq!((read.statistics.sorted_files, read.statistics.misplaced_rows), (1, 0));
    }
}

#[test]
fn a_second_half_in_front_of_the_first_is_noticed_in_plain_text_and_by_the_day_in_the_name() {
    let folder = Folder::new();
    let text = rows((30_000..60_000).chain(0..30_000));
    for (name, bytes) in [
        ("btcusdt_recorder.csv", text.clone().into_bytes()),
        ("BTCUSDT-aggTrades-2024-05.csv.gz", gzipped(text.as_bytes())),
    ] {
        let file = folder.write(name, &bytes);
        let read = drain(Replay::open(vec![file], ReplayOptions::default()).unwrap());
        assert!(ids(&read).into_iter().eq(0..60_000), "{name}");
    }
}

#[test]
fn rows_that_belong_before_a_first_one_which_nobody_doubted_are_counted() {
    let folder = Folder::new();
    // The name says that a day begins, and so does the first row.
    let early = |id: i64| format!("{id},1,1,1,1,{},true\n", MAY + id / 1000);
    let text: String = (100_000..140_000).chain(0..30).map(early).collect();
    let file = folder.write("BTCUSDT-aggTrades-2024-05-01.csv.gz", &gzipped(text.as_bytes()));
    let read = drain(Replay::open(vec![file], ReplayOptions::default()).unwrap());
    assert_eq!(read.statistics.misplaced_rows, 30);
}

#[test]
fn holes_and_repetitions_alone_are_no_reason_to_sort() {
    let folder = Folder::new();
    let text = rows((0..30_000).chain(29_999..50_000).chain(60_000..70_000));
    let file = folder.write("BTCUSDT-aggTrades-2024-05.csv", text.as_bytes());
    let nowhere = Some("/nowhere/at/all".into());
    let options = ReplayOptions { memory: 0, temp_dir: nowhere, strict: true, ..ReplayOptions::default() };
    let read = drain(Replay::open(vec![file], options).unwrap());
    assert!(read.end.is_ok());
    assert_eq!((read.rows.len(), read.statistics.sorted_files), (60_001, 0));
}

#[test]
fn a_directory_for_temporary_files_that_is_not_there_is_an_error_that_says_what_to_do() {
    let folder = Folder::new();
    let text = rows((2000..4000).chain(0..2000));
    let file = folder.write("btcusdt.csv", text.as_bytes());
    let nowhere = Some("/nowhere/at/all".into());
    let options = ReplayOptions { memory: 0, temp_dir: nowhere, ..ReplayOptions::default() };
    let error = drain(Replay::open(vec![file], options).unwrap()).end.unwrap_err().to_string();
    assert!(error.contains("/nowhere/at/all") && error.contains("--temp-dir"), "{error}");
}

#[test]
#[cfg(target_os = "linux")]
fn what_comes_out_of_order_through_a_pipe_is_sorted_from_there_on() {
    use std::os::fd::AsRawFd;
    let text = rows((0..5000).chain(7000..9000).chain(5000..7000));
    let (reader, mut writer) = std::io::pipe().unwrap();
    let name = std::path::PathBuf::from(format!("/proc/self/fd/{}", reader.as_raw_fd()));
    let writing = std::thread::spawn(move || writer.write_all(text.as_bytes()));
    let options = ReplayOptions { symbol: Some(symbol("BTCUSDT")), memory: 0, ..ReplayOptions::default() };
    let read = drain(Replay::open(vec![name], options).unwrap());
    writing.join().unwrap().unwrap();
    assert!(ids(&read).into_iter().eq(0..9000));
}
