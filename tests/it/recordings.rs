//! Recordings on real disks: killed, full, and read by other people's tools.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use cvd_stream::feed::{Frame, LineId, SessionId};
use cvd_stream::recording::{
    MANIFEST, Manifest, RecordNotice, RecordSettings, Recorded, Recorder, RecordingReader, Stop, segments_of,
};
use cvd_stream::snapshot::{Market, Stamp};
use cvd_stream::source::Input;

use crate::support::symbol;

/// A directory that is removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::remove_dir_all(&path).unwrap_or_default();
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

fn settings(directory: &Path) -> RecordSettings {
    RecordSettings {
        directory: directory.to_owned(),
        keep: None,
        limit: None,
        rotate: Duration::from_secs(3600),
        market: Market::UsdM,
        symbols: vec![symbol("BTCUSDT")],
        settings: r#"{"z_window":20}"#.into(),
    }
}

/// So many milliseconds after 2026-11-21 13:00 UTC.
fn at(ms: u64) -> Stamp {
    let mono_ns = ms * 1_000_000;
    Stamp { wall_ns: 1_795_266_000_000_000_000 + i64::try_from(mono_ns).unwrap(), mono_ns }
}

/// The frame of that ordinal.
fn frame(ordinal: u64) -> Input {
    let text = format!(
        r#"{{"e":"aggTrade","E":1795266000123,"s":"BTCUSDT","a":{ordinal},"p":"64339.20","q":"0.{:03}","f":{ordinal},"l":{ordinal},"T":1795266000120,"m":{}}}"#,
        ordinal * 7919 % 1000,
        ordinal.is_multiple_of(3)
    );
    let received = Some(at(ordinal));
    Input::Frame(Frame { line: LineId(0), session: SessionId(1), ordinal, received, text: text.into() })
}

/// What is read back, run by run: how many frames, from 1 on and none left out, and what is lost at the end.
fn runs(directory: &Path) -> Vec<(u64, Vec<String>)> {
    let mut reader = RecordingReader::of(&[directory.to_owned()]).unwrap().expect("it is a recording");
    let mut runs = Vec::new();
    while let Some(recorded) = reader.next() {
        match recorded {
            Recorded::Begin(header) => {
                assert_eq!(header.state, format!(r#"{{"inputs":{}}}"#, header.first_input));
                if header.first_input == 0 {
                    runs.push((0, Vec::new()));
                } else {
                    runs.last_mut().unwrap().0 = header.first_input;
                }
            }
            Recorded::Input(input) => {
                let run: &mut (u64, Vec<String>) = runs.last_mut().unwrap();
                run.0 += 1;
                let (Input::Frame(found), Input::Frame(frame)) = (&input, frame(run.0)) else {
                    panic!("{input:?}")
                };
                let told = |frame: &Frame| (frame.session, frame.ordinal, frame.received, frame.text.clone());
                assert_eq!(told(found), told(&frame));
            }
            // What was cut in its first line comes before every run.
            Recorded::Lost(lost) => {
                runs.last_mut().into_iter().for_each(|run| run.1.push(lost.reason.clone()))
            }
        }
    }
    runs
}

/// Where a child of a test records, and when by its clock it begins, in milliseconds.
const CHILD: &str = "CVD_STREAM_TEST_RECORDS_TO";
const CHILD_BEGINS: &str = "CVD_STREAM_TEST_RECORDS_FROM";

/// The child of the next test: records as fast as it can, tells how many inputs are written, and never ends.
#[test]
#[ignore = "runs as the child of another test"]
fn a_child_that_records_until_it_is_killed() {
    let Some(directory) = std::env::var_os(CHILD) else { return };
    let begun: u64 = std::env::var(CHILD_BEGINS).unwrap().parse().unwrap();
    let settings = settings(Path::new(&directory));
    let mut recorder = Recorder::start(settings, at(begun), r#"{"inputs":0}"#.into()).unwrap();
    for round in 1..100_000 {
        for ordinal in (round - 1) * 50 + 1..=round * 50 {
            recorder.input(&frame(ordinal));
        }
        // Five rounds to a flush, and a hundred to a segment.
        let now = at(begun + round * 100);
        if round % 100 == 0 {
            recorder.rotate(now, format!(r#"{{"inputs":{}}}"#, round * 50));
        }
        recorder.flush(now);
        println!("written {}", recorder.health().inputs);
        // As fast as the disk can: it is too slow in another test.
        while recorder.health().waiting > 1 << 20 {
            std::thread::yield_now();
        }
    }
}

#[tokio::test]
async fn killed_at_any_moment_everything_that_was_flushed_replays_and_the_next_run_goes_on_beside_it() {
    let directory = Directory::new("killed");
    let mut random = fastrand::Rng::with_seed(5);
    for life in 0..8_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "recordings::a_child_that_records_until_it_is_killed",
                "--ignored",
                "--nocapture",
            ])
            .env(CHILD, &directory.0)
            .env(CHILD_BEGINS, (life * 86_400_000).to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut written = lines.filter_map(|line| line.ok()?.strip_prefix("written ")?.parse::<u64>().ok());
        let told = written.by_ref().take(random.usize(1..400)).last().expect("it tells");
        child.kill().unwrap();
        // What it had told before it was killed.
        let told = written.last().unwrap_or(told);
        child.wait().unwrap();
        let (inputs, lost) = runs(&directory.0).pop().unwrap();
        assert!(inputs >= told && inputs.is_multiple_of(50), "{inputs} of {told}");
        assert!(lost.len() <= 1, "{lost:?}");
    }
    let recorder =
        Recorder::start(settings(&directory.0), at(8 * 86_400_000), r#"{"inputs":0}"#.into()).unwrap();
    // None is unfinished if the last life ended between two segments.
    assert!(matches!(recorder.take_notices()[..], [] | [RecordNotice::Adopted { segments: 1 }]));
    recorder.finish(at(8 * 86_400_000), Duration::from_secs(60)).await;
    assert_eq!(runs(&directory.0).len(), 9);
}

/// Whether a program is there.
fn is_installed(program: &str) -> bool {
    let there = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let there = there.is_ok_and(|status| status.success());
    if !there {
        println!("not shown: {program} is not installed");
    }
    there
}

#[tokio::test]
async fn what_is_recorded_can_be_read_with_zstdcat_and_jq() {
    if !is_installed("zstdcat") || !is_installed("jq") {
        return;
    }
    let directory = Directory::new("tools");
    let mut recorder = Recorder::start(settings(&directory.0), at(0), r#"{"inputs":0}"#.into()).unwrap();
    for ordinal in 1..=1_000 {
        recorder.input(&frame(ordinal));
        recorder.flush(at(ordinal * 10));
    }
    recorder.finish(at(10_000), Duration::from_secs(60)).await;
    let shell = |command: &str| {
        let output = Command::new("sh").args(["-c", command]).current_dir(&directory.0).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let trades = shell(r#"zstdcat *.jsonl.zst | jq -r 'select(.in == "frame") | .text | fromjson | .a'"#);
    let expected: String = (1..=1_000).map(|id| format!("{id}\n")).collect();
    assert_eq!(trades, expected);
    let ends = r#"zstdcat *.jsonl.zst | jq -c 'select(.recording), select(.end)' | jq -c '[.recording, .symbols, .end, .inputs]'"#;
    assert_eq!(shell(ends), "[1,[\"BTCUSDT\"],null,null]\n[null,null,\"stopped\",1000]\n");
    assert_eq!(shell("jq -c '[.recording, .segments[].inputs]' manifest.json"), "[1,1000]\n");
}

/// A small disk of its own, for as long as it lives; `None` where this user may not mount one.
pub(crate) struct SmallDisk(Directory);

impl SmallDisk {
    /// With room for so much, as `mount` writes it.
    pub(crate) fn mount(name: &str, size: &str) -> Option<Self> {
        let directory = Directory::new(name);
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(&directory.0)
            .stderr(Stdio::null())
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            println!("not shown: this user may not mount a small disk");
            return None;
        }
        Some(Self(directory))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0.0
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0.0).status());
    }
}

#[tokio::test]
async fn a_disk_that_fills_up_stops_the_recording_with_an_alarm_and_what_is_there_replays() {
    let Some(disk) = SmallDisk::mount("full", "1m") else { return };
    let directory = disk.0.0.join("recording");
    let mut recorder = Recorder::start(settings(&directory), at(0), r#"{"inputs":0}"#.into()).unwrap();
    let mut notices = Vec::new();
    let mut ordinal = 0;
    // Fifty times what fits.
    while notices.is_empty() && ordinal < 2_000_000 {
        ordinal += 1;
        recorder.input(&frame(ordinal));
        if ordinal % 1_000 == 0 {
            recorder.flush(at(ordinal));
            notices = recorder.take_notices();
        }
    }
    assert!(
        matches!(&notices[..], [RecordNotice::Stopped { stop: Stop::DiskFull(_), directory: named }] if *named == directory),
        "{notices:?}"
    );
    for _ in 0..1_000 {
        ordinal += 1;
        recorder.input(&frame(ordinal));
    }
    let (health, _) = recorder.finish(at(ordinal), Duration::from_secs(60)).await;
    assert_eq!(health.inputs + health.not_recorded, ordinal);
    assert!(health.inputs > 10_000 && health.not_recorded >= 1_000, "{health:?}");
    let runs = runs(&directory);
    assert_eq!((runs.len(), runs[0].0), (1, health.inputs));
    let lost = &runs[0].1[0];
    assert!(lost.contains("disk_full") || lost.contains("ends without its last line"), "{lost}");
    let manifest = std::fs::read(directory.join(MANIFEST)).unwrap();
    assert!(Manifest::read(&manifest).is_some());
    assert_eq!(segments_of(&directory).unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_no_recording_is_left_to_others_and_a_mixture_is_refused() {
    let directory = Directory::new("arguments");
    let (recording, other) = (directory.0.join("recording"), directory.0.join("other.csv"));
    std::fs::write(&other, "1,2,3\n").unwrap();
    assert!(RecordingReader::of(&[other.clone(), directory.0.join("gone")]).unwrap().is_none());
    assert!(RecordingReader::of(std::slice::from_ref(&directory.0)).unwrap().is_none());
    let recorder = Recorder::start(settings(&recording), at(0), r#"{"inputs":0}"#.into()).unwrap();
    // While it is being written too.
    assert!(RecordingReader::of(std::slice::from_ref(&recording)).unwrap().is_some());
    recorder.finish(at(1), Duration::from_secs(60)).await;
    let segment = segments_of(&recording).unwrap().remove(0);
    assert!(RecordingReader::of(std::slice::from_ref(&segment)).unwrap().is_some());
    // What a pattern brings along.
    let beside = [recording.join("lock"), recording.join(MANIFEST), segment.clone()];
    assert_eq!(RecordingReader::of(&beside).unwrap().unwrap().segments().count(), 1);
    // Together in a directory of somebody's own.
    let mixture = directory.0.join("mixture");
    std::fs::create_dir(&mixture).unwrap();
    std::fs::copy(&segment, mixture.join(segment.file_name().unwrap())).unwrap();
    assert!(RecordingReader::of(std::slice::from_ref(&mixture)).unwrap().is_some());
    std::fs::copy(&other, mixture.join("other.csv")).unwrap();
    let error = RecordingReader::of(&[mixture]).unwrap_err().to_string();
    assert!(error.contains("is a recording and") && error.contains("other.csv is not"), "{error}");
    let error = RecordingReader::of(&[other, segment.clone()]).unwrap_err().to_string();
    assert!(error.contains("is a recording and") && error.contains("other.csv is not"), "{error}");
    std::fs::remove_file(segment).unwrap();
    let error = RecordingReader::of(&[recording]).unwrap_err().to_string();
    assert!(error.ends_with("recording has no recorded file yet"), "{error}");
}
