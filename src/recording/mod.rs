//! Recordings: every input of the pipeline, in the order in which it was seen, so that the same numbers can be computed
//! again, bit for bit, from a directory of compressed files.
//!
//! ```text
//! pipeline's door ─► Recorder ─(256 KiB or half a second)─► Desk ─► Writer, on a thread ─► SEGMENT.jsonl.zst.part ─► SEGMENT.jsonl.zst
//! SEGMENT.jsonl.zst … ─► Blocks (verified text) ─► SegmentReader (inputs) ─► RecordingReader (segment after segment)
//! ```
//!
//! [`mod@line`] is what a line says, [`header`] and [`end`] the first and the last line of a segment. [`Recorder`] never
//! waits for a disk, and never leaves anything out in silence: it stops instead, and says so. [`RecordingReader`] never
//! delivers an input that was not recorded, or out of order: it names what is lost instead.

mod blocks;
mod desk;
pub mod disk;
pub mod end;
mod error;
mod find;
pub mod header;
mod json;
pub mod line;
mod lines;
mod manifest;
mod name;
mod notice;
mod reader;
mod recorder;
mod retention;
mod segment;
#[cfg(test)]
pub(crate) mod simulated;
mod stock;
#[cfg(test)]
mod stories;
mod thread;
mod writer;

#[cfg(feature = "replay")]
pub(crate) use blocks::ZSTD;
pub use disk::RecordingDisk;
pub use end::{End, Ending};
pub use error::{RecordError, RecordingError, RecordingFault, WhatIsWrong};
#[cfg(feature = "replay")]
pub(crate) use find::has_manifest;
pub use find::segments_of;
pub use header::{Header, HeaderError};
pub use manifest::{MANIFEST, Manifest, SegmentEntry};
pub use name::{PART, SUFFIX};
pub use notice::{RecordNotice, Stop};
pub use reader::{Recorded, RecordingReader, RecordingStatistics};
pub use recorder::{RecordSettings, Recorder, RecorderHealth};
pub use segment::{Cut, Item, SegmentReader};
pub use thread::RecordingThread;

/// The version of the format that is written, and the newest that is read.
pub const VERSION: u32 = 1;
