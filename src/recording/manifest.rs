//! What a directory of recordings holds, for people and for seeking. The reader does without it, and it can be made
//! again from the files.

use serde::{Deserialize, Serialize};

use super::VERSION;

/// Its name within the directory.
pub const MANIFEST: &str = "manifest.json";

/// The list of all segments but the one that is being written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of the format; what tells a directory of recordings from others.
    pub recording: u32,
    /// The version of the program that wrote the list last.
    pub program: String,
    /// In order of time.
    pub segments: Vec<SegmentEntry>,
}

/// What is known of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentEntry {
    /// The name of its file.
    pub file: String,
    /// The run it belongs to.
    pub run: String,
    /// Its number within the run, from 0.
    pub segment: u64,
    /// How many inputs of the run came before its first.
    pub first_input: u64,
    /// How many inputs it has.
    pub inputs: u64,
    /// When it begins, in nanoseconds since 1970: it can be replayed from there.
    pub begun_wall_ns: i64,
    /// When its last input came.
    pub ended_wall_ns: i64,
    /// The size of the file.
    pub bytes: u64,
    /// How it ends: `rotated`, `stopped`, `disk_full`, `too_slow`, `failed`, or `cut` by a crash.
    pub end: String,
}

impl Manifest {
    pub(super) fn new(segments: Vec<SegmentEntry>) -> Self {
        Self { recording: VERSION, program: env!("CARGO_PKG_VERSION").to_owned(), segments }
    }

    /// Reads it; `None` if it is damaged, in which case it is made again.
    pub fn read(contents: &[u8]) -> Option<Self> {
        serde_json::from_slice(contents).ok()
    }

    /// The version of one that a later program wrote, which has to be left alone.
    pub(super) fn newer(contents: &[u8]) -> Option<u32> {
        version(contents).filter(|version| *version > VERSION)
    }

    /// Whether it says that its directory is a recording, of whatever version.
    pub(super) fn tells_of_a_recording(contents: &[u8]) -> bool {
        version(contents).is_some()
    }

    pub(super) fn contents(&self) -> Vec<u8> {
        let mut contents = serde_json::to_vec_pretty(self)
            .expect("strings, numbers and a list, because that is all there is in it");
        contents.push(b'\n');
        contents
    }

    /// Bytes of all of them.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Adds a segment in its place.
    pub(super) fn add(&mut self, entry: SegmentEntry) {
        self.segments.retain(|known| known.file != entry.file);
        self.segments.push(entry);
        self.segments.sort_by(|a, b| (a.begun_wall_ns, &a.file).cmp(&(b.begun_wall_ns, &b.file)));
    }
}

fn version(contents: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Version {
        recording: u32,
    }
    serde_json::from_slice::<Version>(contents).ok().map(|version| version.recording)
}
