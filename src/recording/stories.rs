//! Recordings from the first input to the last that is read again, on a disk that can be slow, full, or lose power.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::disk::RecordingDisk;
use super::line::samples::{frame, said};
use super::reader::Recorded;
use super::simulated::SimulatedDisk;
use super::*;
use crate::snapshot::{Market, Stamp};
use crate::source::Input;
use crate::units::Symbol;

mod crashes;
mod directory;
mod disks;
mod whole;

/// 2026-11-21 13:00 UTC.
const BEGIN_NS: i64 = 1_795_266_000_000_000_000;
const SECOND: u64 = 1_000_000_000;
const DIRECTORY: &str = "/recording";

/// So many seconds after the beginning.
fn at(seconds: u64) -> Stamp {
    let mono_ns = seconds * SECOND;
    Stamp { wall_ns: BEGIN_NS + i64::try_from(mono_ns).unwrap(), mono_ns }
}

fn settings() -> RecordSettings {
    RecordSettings {
        directory: DIRECTORY.into(),
        keep: None,
        limit: None,
        rotate: Duration::from_secs(3600),
        market: Market::UsdM,
        symbols: vec![Symbol::new("BTCUSDT").unwrap()],
        settings: r#"{"z_window":20}"#.into(),
    }
}

fn state(number: u64) -> String {
    format!(r#"{{"state":{number}}}"#)
}

/// A recording that goes on in simulated time.
struct Story {
    disk: SimulatedDisk,
    recorder: Recorder,
    ordinal: u64,
}

impl Story {
    fn begin(disk: &SimulatedDisk, settings: RecordSettings, now: Stamp) -> Self {
        let recorder = Recorder::start_on(disk.clone(), None, settings, now, state(0)).unwrap();
        Self { disk: disk.clone(), recorder, ordinal: 0 }
    }

    /// Records the next so many frames.
    fn frames(&mut self, count: u64) {
        for _ in 0..count {
            self.ordinal += 1;
            self.recorder.input(&frame(self.ordinal));
        }
    }

    /// Hands over and waits until the disk has it.
    async fn flushed(&mut self, now: Stamp) {
        self.recorder.flush(now);
        self.recorder.desk().settled().await;
    }

    /// Begins the next segment; the state is the number of inputs so far.
    fn rotate(&mut self, now: Stamp) {
        self.recorder.rotate(now, state(self.ordinal));
    }

    async fn finish(self, now: Stamp) -> RecorderHealth {
        self.recorder.finish(now, Duration::from_secs(60)).await.0
    }
}

/// The segments on a disk.
fn segments(disk: &SimulatedDisk) -> Vec<PathBuf> {
    disk.names()
        .iter()
        .filter(|name| super::name::is_segment(name))
        .map(|name| Path::new(DIRECTORY).join(name))
        .collect()
}

fn reader(disk: &SimulatedDisk, files: Vec<PathBuf>) -> RecordingReader {
    let disk = disk.clone();
    RecordingReader::open_with(files, Box::new(move |path| disk.open(path))).unwrap()
}

/// What a recording tells, in short: `begin {"state":0}`, `1..17` for frames in a row, `lost: …`.
fn told(disk: &SimulatedDisk) -> Vec<String> {
    tell(reader(disk, segments(disk)))
}

fn tell(mut reader: RecordingReader) -> Vec<String> {
    let (mut told, mut row) = (Vec::new(), None::<(u64, u64)>);
    loop {
        let next = reader.next();
        if let Some(Recorded::Input(input @ Input::Frame(_))) = &next {
            let Input::Frame(found) = input else { continue };
            assert_eq!(said(input), said(&frame(found.ordinal)));
            row = match row {
                Some((from, to)) if to + 1 == found.ordinal => Some((from, found.ordinal)),
                None => Some((found.ordinal, found.ordinal)),
                Some(row) => panic!("{} after {row:?}", found.ordinal),
            };
            continue;
        }
        if let Some((from, to)) = row.take() {
            told.push(format!("{from}..{to}"));
        }
        match next {
            None => return told,
            Some(Recorded::Begin(header)) => told.push(format!("begin {}", header.state)),
            Some(Recorded::Lost(lost)) => told.push(format!("lost: {}", lost.reason)),
            Some(Recorded::Input(input)) => told.push(said(&input)),
        }
    }
}
