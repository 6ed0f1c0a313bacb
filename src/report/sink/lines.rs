//! Files of lines: text that goes to the disk in large pieces, compressed or not, and the records of standard output.

use std::fs::File;
use std::io::{self, Write};

use zstd::stream::write::Encoder;

use super::{Table, TableError};
use crate::bars::ClosedBar;
use crate::report::json;
use crate::snapshot::Snapshot;

/// Bytes that go to the disk together.
const PIECE: usize = 128 * 1024;
/// A level that keeps up with a fast replay.
const LEVEL: i32 = 3;

/// Text on its way to a file.
pub(super) struct Text {
    pub(super) buffer: Vec<u8>,
    into: Into,
}

enum Into {
    Plain(File),
    Compressed(Encoder<'static, File>),
}

impl Text {
    pub(super) fn plain(file: File) -> Self {
        Self { buffer: Vec::with_capacity(PIECE + 4_096), into: Into::Plain(file) }
    }

    fn compressed(file: File) -> io::Result<Self> {
        let mut encoder = Encoder::new(file, LEVEL)?;
        encoder.include_checksum(true)?;
        Ok(Self { into: Into::Compressed(encoder), buffer: Vec::with_capacity(PIECE + 4_096) })
    }

    /// To be called after each line.
    pub(super) fn end_line(&mut self) -> io::Result<()> {
        if self.buffer.len() >= PIECE { self.pass_on() } else { Ok(()) }
    }

    pub(super) fn finish(mut self) -> io::Result<File> {
        self.pass_on()?;
        match self.into {
            Into::Plain(file) => Ok(file),
            Into::Compressed(encoder) => encoder.finish(),
        }
    }

    fn pass_on(&mut self) -> io::Result<()> {
        match &mut self.into {
            Into::Plain(file) => file.write_all(&self.buffer)?,
            Into::Compressed(encoder) => encoder.write_all(&self.buffer)?,
        }
        self.buffer.clear();
        Ok(())
    }
}

/// The records of standard output, byte for byte.
pub(super) struct JsonTable {
    text: Text,
    lanes: Vec<Option<json::LaneText>>,
}

impl JsonTable {
    pub(super) fn plain(file: File) -> Self {
        Self { text: Text::plain(file), lanes: Vec::new() }
    }

    pub(super) fn compressed(file: File) -> io::Result<Self> {
        Ok(Self { text: Text::compressed(file)?, lanes: Vec::new() })
    }
}

impl Table for JsonTable {
    fn trade(&mut self, snapshot: &Snapshot<'_>) -> Result<(), TableError> {
        if self.lanes.len() <= snapshot.lane {
            self.lanes.resize_with(snapshot.lane + 1, || None);
        }
        let lane = self.lanes[snapshot.lane].get_or_insert_with(|| json::LaneText::new(snapshot));
        json::trade(&mut self.text.buffer, lane, snapshot);
        Ok(self.text.end_line()?)
    }

    fn bar(&mut self, bar: &ClosedBar<'_>) -> Result<(), TableError> {
        json::bar(&mut self.text.buffer, bar);
        Ok(self.text.end_line()?)
    }

    fn rename(&mut self, lane: usize) {
        if let Some(text) = self.lanes.get_mut(lane) {
            *text = None;
        }
    }

    fn finish(self: Box<Self>) -> Result<File, TableError> {
        Ok(self.text.finish()?)
    }
}
