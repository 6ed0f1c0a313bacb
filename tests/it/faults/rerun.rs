//! What a recording of a run gives again: the same bytes, from its beginning and from any of its files.

use std::path::{Path, PathBuf};

use cvd_stream::app::App;
use cvd_stream::config::{Config, OutputFormat};
use cvd_stream::paced::Paced;
use cvd_stream::pipeline::Wanted;
use cvd_stream::recording::{RecordingReader, RecordingThread, segments_of};
use cvd_stream::report::output::Output;
use cvd_stream::source::Source;
use std::time::Duration;

use super::schedule::Plan;
use super::world::{paused, run_with};
use crate::support::told;

/// What of the records is to come again.
const KINDS: [&str; 4] = ["cvd", "gap", "state", "bar"];

/// Schedules of a normal run of the tests; `RERUN_SEEDS` overrides it.
const SEEDS: u64 = 60;
/// One in so many schedules is replayed at another speed and on two threads too.
const OTHERWISE: u64 = 6;
/// From so many of a recording's files it is replayed too.
const SUFFIXES: usize = 3;

/// A directory that is removed at the end.
pub(super) struct Directory(pub(super) PathBuf);

impl Directory {
    pub(super) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// The lines that are to come again.
pub(super) fn lines(records: &[u8]) -> Vec<String> {
    let text = String::from_utf8(records.to_vec()).unwrap();
    let is_meant = |line: &&str| KINDS.iter().any(|kind| line.contains(&format!("\"type\":\"{kind}\"")));
    text.lines().filter(is_meant).map(str::to_owned).collect()
}

/// What a replay of these files writes, by reading and computing in turns.
fn replay(files: Vec<PathBuf>) -> Vec<u8> {
    let reader = RecordingReader::open(files).unwrap();
    paused(written(reader))
}

/// What a replay of these files writes, at so many times the speed of life.
fn replay_at(files: Vec<PathBuf>, speed: f64) -> Vec<u8> {
    let reader = RecordingReader::open(files).unwrap();
    paused(written(Paced::new(reader, speed)))
}

/// What a replay of these files writes, while another thread reads them.
fn replay_on_two_threads(files: Vec<PathBuf>) -> Vec<u8> {
    let thread = RecordingThread::start(RecordingReader::open(files).unwrap()).unwrap();
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(written(thread))
}

/// What a replay of this source writes.
async fn written(source: impl Source + 'static) -> Vec<u8> {
    let config = Config { output: OutputFormat::Json, print_every: 1, ..Config::default() };
    let run = async |app: App| app.replay(source, Wanted::Everything, std::future::pending()).await;
    let (records, replay) = piped(config, run).await;
    replay.map_err(|error| told(&error)).unwrap();
    records
}

/// What a run of a monitor writes, and how it ends.
pub(super) async fn piped<T>(config: Config, run: impl AsyncFnOnce(App) -> T) -> (Vec<u8>, T) {
    let (output, mut chunks) = Output::piped();
    let reading = tokio::spawn(async move {
        let mut records = Vec::new();
        while let Some(chunk) = chunks.recv().await {
            records.extend_from_slice(&chunk);
        }
        records
    });
    let ended = run(App::new(config).output(output)).await;
    (reading.await.unwrap(), ended)
}

/// The first line that differs, with its place.
pub(super) fn difference(
    live: &[String],
    again: &[String],
) -> Option<(usize, Option<String>, Option<String>)> {
    let at = (0..live.len().max(again.len())).find(|at| live.get(*at) != again.get(*at))?;
    Some((at, live.get(at).cloned(), again.get(at).cloned()))
}

#[test]
fn a_recording_gives_the_same_bytes_again_whatever_went_wrong() {
    let seeds = super::setting("RERUN_SEEDS").unwrap_or(SEEDS);
    let first = super::setting("FAULT_FIRST_SEED").unwrap_or(0);
    let (mut files_in_all, mut lines_in_all) = (0, 0);
    for seed in first..first + seeds {
        let plan = Plan::of(seed);
        let directory = Directory::new(&format!("rerun-{seed}"));
        let outcome = run_with(
            &plan,
            |app| app.record_in_files_of(Duration::from_secs(30)).wait_for_recording(Duration::from_secs(60)),
            |config| {
                config.record.dir = Some(directory.0.clone());
                config.bars.specs = ["1s", "1m", "ticks:50"].map(|spec| spec.parse().unwrap()).to_vec();
                config.bars.empty = true;
            },
        );
        assert_eq!(outcome.stuck, None, "seed {seed}");
        outcome.summary.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let live = lines(&outcome.records);
        assert!(!live.is_empty(), "seed {seed}");
        let files = segments_of(&directory.0).unwrap();
        let again = lines(&replay(files.clone()));
        assert_eq!(difference(&live, &again), None, "seed {seed}");
        if seed % OTHERWISE == 0 {
            let speed = [0.5, 60.0, 1_000.0][(seed / OTHERWISE) as usize % 3];
            let again = lines(&replay_at(files.clone(), speed));
            assert_eq!(difference(&live, &again), None, "seed {seed}, at another speed");
            let again = lines(&replay_on_two_threads(files.clone()));
            assert_eq!(difference(&live, &again), None, "seed {seed}, on two threads");
        }
        lines_in_all += live.len();
        files_in_all += files.len();
        // Every file begins with the state it goes on from: the rest of the run comes from the rest of the files.
        let mut dice = fastrand::Rng::with_seed(seed);
        let some = (0..SUFFIXES.min(files.len() - 1)).map(|_| dice.usize(1..files.len()));
        for later in some {
            let rest = lines(&replay(files[later..].to_vec()));
            let from = live.len().checked_sub(rest.len());
            let from = from.unwrap_or_else(|| panic!("seed {seed}, file {later}: more than the whole run"));
            assert_eq!(difference(&live[from..], &rest), None, "seed {seed}, file {later}");
        }
    }
    assert!(
        files_in_all > 2 * seeds as usize && lines_in_all > 1_000 * seeds as usize,
        "{files_in_all} {lines_in_all}"
    );
}
