//! Recordings of more than one run, in one directory or in several, and what is left out of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cvd_stream::app::{App, AppError};
use cvd_stream::bars::BarSpec;
use cvd_stream::config::{Bound, Config, OutputFormat, ReplayConfig};
use cvd_stream::processor::{Ending, Summary};
use cvd_stream::recording::{RecordingReader, segments_of};
use cvd_stream::snapshot::Market;
use cvd_stream::units::UnixMillis;

use super::rerun::{Directory, difference, lines, piped};
use super::schedule::Plan;
use super::world::{START, run_with};
use crate::support::{raw_field, told};

const BARS: [&str; 2] = ["1s", "ticks:50"];

/// The first schedules of a market.
fn seeds<const MANY: usize>(market: Market) -> [u64; MANY] {
    let mut seeds = (0..).filter(|seed| Plan::of(*seed).market == market);
    std::array::from_fn(|_| seeds.next().expect("every market has its turn"))
}

/// Records a schedule; what the run wrote.
fn record(seed: u64, directory: &Path) -> Vec<String> {
    let outcome = run_with(
        &Plan::of(seed),
        |app| app.record_in_files_of(Duration::from_secs(30)).wait_for_recording(Duration::from_secs(60)),
        |config| {
            config.record.dir = Some(directory.to_owned());
            config.bars.specs = BARS.map(|spec| spec.parse().unwrap()).to_vec();
        },
    );
    assert_eq!(outcome.stuck, None, "seed {seed}");
    outcome.summary.unwrap();
    lines(&outcome.records)
}

/// What `cvd-stream replay` makes of recordings.
fn replay(directories: &[&Path], config: Config) -> (Vec<String>, Result<Summary, AppError>) {
    let directories: Vec<_> = directories.iter().map(|directory| directory.to_path_buf()).collect();
    let recording = RecordingReader::of(&directories).unwrap().expect("they are recordings");
    let config = Config { output: OutputFormat::Json, print_every: 1, ..config };
    let run = async |app: App| app.replay_recording(recording, std::future::pending()).await;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (records, ended) = runtime.block_on(piped(config, run));
    (lines(&records), ended)
}

fn whole(directories: &[&Path], config: Config) -> (Vec<String>, Summary) {
    let (lines, ended) = replay(directories, config);
    (lines, ended.map_err(|error| told(&error)).unwrap())
}

fn first_run(directory: &Path) -> String {
    let reader = RecordingReader::of(&[directory.to_owned()]).unwrap().unwrap();
    reader.segments().next().unwrap().1.run.clone()
}

fn trades(lines: &[String]) -> usize {
    lines.iter().filter(|line| line.contains("\"type\":\"cvd\"")).count()
}

/// Two runs in one directory, in the order in which they are replayed (both began at the same time).
fn two_runs(directory: &Path) -> [Vec<String>; 2] {
    let [one, other] = seeds(Market::UsdM);
    let one = record(one, directory);
    let run = first_run(directory);
    let other = record(other, directory);
    if first_run(directory) == run { [one, other] } else { [other, one] }
}

#[test]
fn runs_in_one_directory_come_again_one_after_the_other_each_with_its_end() {
    let directory = Directory::new("two-runs");
    let [one, other] = two_runs(&directory.0);
    let live: Vec<_> = one.iter().chain(&other).cloned().collect();
    let (again, _) = whole(&[&directory.0], Config::default());
    assert_eq!(difference(&live, &again), None);
    // The bars that nobody closed are told with the end of their run.
    assert!(
        one.last().unwrap().contains("\"type\":\"bar\"")
            && one.last().unwrap().contains("\"complete\":false")
    );

    // A count goes on from run to run, and begins with what is replayed.
    let count = (trades(&one) + 5) as u64;
    let (counted, summary) = whole(&[&directory.0], Config { count: Some(count), ..Config::default() });
    assert_eq!((trades(&counted) as u64, summary.ending), (count, Ending::CountReached));
    let later = segments_of(&directory.0).unwrap().pop().unwrap();
    let (rest, _) = whole(&[&later], Config::default());
    let count = trades(&rest) - 1;
    let (counted, _) = whole(&[&later], Config { count: Some(count as u64), ..Config::default() });
    assert_eq!(trades(&counted), count);
}

#[test]
fn other_bars_than_the_recorded_ones_hold_every_trade_of_every_run() {
    let directory = Directory::new("other-bars");
    let live = two_runs(&directory.0);
    let file = directory.0.with_extension("csv");
    let mut config = Config { write: Some(file.clone()), ..Config::default() };
    config.bars.specs = vec!["ticks:70".parse().unwrap()];
    let (again, _) = whole(&[&directory.0], config);
    let bars = again.iter().filter(|line| line.contains("\"type\":\"bar\""));
    let in_bars: usize = bars.map(|bar| raw_field(bar, "trades").parse::<usize>().unwrap()).sum();
    assert_eq!(in_bars, trades(&live[0]) + trades(&live[1]));
    let table = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(file).unwrap();
    assert_eq!(
        table.lines().count() - 1,
        again.iter().filter(|line| line.contains("\"type\":\"bar\"")).count()
    );
}

#[test]
fn without_bars_of_its_own_a_file_of_results_has_the_recorded_ones() {
    let directory = Directory::new("own-bars");
    let [seed] = seeds(Market::UsdM);
    let live = record(seed, &directory.0);
    let file = directory.0.with_extension("jsonl");
    whole(&[&directory.0], Config { write: Some(file.clone()), ..Config::default() });
    let rows = std::fs::read_to_string(&file).unwrap().lines().count();
    std::fs::remove_file(file).unwrap();
    assert_eq!(rows, live.iter().filter(|line| line.contains("\"type\":\"bar\"")).count());
}

#[test]
fn recordings_side_by_side_lose_nothing_to_a_range_that_is_not_their_own() {
    let directories = [Directory::new("side-one"), Directory::new("side-other")];
    for (directory, seed) in directories.iter().zip(seeds::<2>(Market::UsdM)) {
        record(seed, &directory.0);
    }
    let [one, other] = [&directories[0].0, &directories[1].0].map(PathBuf::as_path);
    let both = RecordingReader::of(&[one.to_owned(), other.to_owned()]).unwrap().unwrap();
    let is_first = both.segments().next().unwrap().0.starts_with(one);
    let in_order = if is_first { [one, other] } else { [other, one] };
    let at = |seconds: i64| Some(Bound::Time(UnixMillis(START.0 + seconds * 1_000)));
    for (from, to) in [(at(45), None), (None, at(45)), (at(20), at(70)), (at(100_000), None)] {
        let config =
            || Config { replay: ReplayConfig { from, to, ..ReplayConfig::default() }, ..Config::default() };
        let alone = in_order.map(|directory| whole(&[directory], config()).0);
        let (again, _) = whole(&in_order, config());
        assert_eq!(difference(&alone.concat(), &again), None, "{from:?} {to:?}");
        let (all, _) = whole(&in_order, Config::default());
        assert!(again.len() < all.len(), "{from:?} {to:?}");
        assert_eq!(from == at(100_000), again.is_empty());
    }
}

#[test]
fn strict_ends_at_the_first_place_where_something_is_missing() {
    let directory = Directory::new("strict-run");
    let live = record(3, &directory.0);
    let files = segments_of(&directory.0).unwrap();
    let bytes = std::fs::read(&files[0]).unwrap();
    std::fs::write(&files[0], &bytes[..bytes.len() - 20]).unwrap();
    let (lenient, ended) = replay(&[&directory.0], Config::default());
    // What nobody sent is no message that could not be read.
    assert!(ended.is_ok() && lenient.len() > live.len() / 2, "{}", lenient.len());
    let config =
        Config { replay: ReplayConfig { strict: true, ..ReplayConfig::default() }, ..Config::default() };
    let (strict, ended) = replay(&[&directory.0], config);
    let error = told(&ended.unwrap_err());
    assert!(error.contains(files[0].to_str().unwrap()) && error.contains("--strict"), "{error}");
    assert!(!strict.is_empty() && strict.len() < lenient.len());
    // The end of a run that fails is told too.
    let common = strict.iter().zip(&live).take_while(|(one, other)| one == other).count();
    assert!(strict.len() - common <= BARS.len(), "{common} of {}", strict.len());
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_read() {
    let directory = Directory::new("refused");
    let [seed] = seeds(Market::CoinM);
    record(seed, &directory.0);
    let mut config = Config::default();
    config.bars.specs = vec![BarSpec::Notional(100_000_000)];
    let (lines, ended) = replay(&[&directory.0], config);
    assert!(lines.is_empty() && matches!(ended, Err(AppError::NotionalBars(_))), "{ended:?}");

    let file = segments_of(&directory.0).unwrap().remove(0);
    let before = std::fs::read(&file).unwrap();
    let (_, ended) = replay(&[&file], Config { write: Some(file.clone()), ..Config::default() });
    assert!(matches!(ended, Err(AppError::WriteReplacesInput(_))), "{ended:?}");
    assert_eq!(std::fs::read(&file).unwrap(), before);

    let other = Directory::new("refused-other");
    let [seed] = seeds(Market::UsdM);
    record(seed, &other.0);
    let (_, ended) = replay(&[&directory.0, &other.0], Config::default());
    assert!(matches!(ended, Err(AppError::MixedMarkets(..))), "{ended:?}");
}
