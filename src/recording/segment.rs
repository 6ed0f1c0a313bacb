//! One segment, read line by line: its header, its inputs, and how it ends.

use std::fmt;
use std::io::Read;
use std::path::Path;

use crate::snapshot::Stamp;
use crate::source::{Input, Note};
use crate::text::escaped;

use super::blocks::Broken;
use super::end::End;
use super::error::{RecordingFault, WhatIsWrong};
use super::header::{Header, HeaderError};
use super::line;
use super::lines::Lines;

/// No line of an input is longer: a message of a mebibyte, every byte of it escaped.
const LONGEST_LINE: usize = 8 * 1024 * 1024;
/// No first line is longer: it holds the state of every symbol.
const LONGEST_HEADER: usize = 1024 * 1024 * 1024;

/// Reads a segment.
pub struct SegmentReader {
    header: Header,
    lines: Lines,
    inputs: u64,
    last: Option<Stamp>,
    over: bool,
}

/// What comes next in a segment.
#[derive(Debug)]
pub enum Item {
    /// An input.
    Input(Input),
    /// The last line: the segment is whole.
    End(End),
    /// The segment cannot be read any further: a crash has cut it, or it is damaged.
    Cut(Cut),
}

/// Where a segment cannot be read any further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Why, in lower case: `damaged: …`.
    pub reason: String,
    /// Bytes of the file that are of no use.
    pub bytes: u64,
    /// Inputs of the segment before it.
    pub inputs: u64,
    /// When the last of them came that says when.
    pub last: Option<Stamp>,
}

impl SegmentReader {
    /// Reads the first line; `file` is its name for messages.
    ///
    /// # Errors
    /// [`RecordingFault`] if it is no recording, one of a later format, or damaged before the first input.
    pub fn open(reader: Box<dyn Read + Send>, file: &Path) -> Result<Self, RecordingFault> {
        let fault = |what| RecordingFault { file: file.to_owned(), what };
        let mut lines = Lines::new(reader).map_err(|error| fault(WhatIsWrong::Unreadable(error)))?;
        let header = read_header(&mut lines).map_err(fault)?;
        // A state can be large.
        lines.shrink();
        Ok(Self { header, lines, inputs: 0, last: None, over: false })
    }

    /// The first line.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The first line. What is left of it here has neither settings nor state.
    pub fn take_header(&mut self) -> Header {
        let settings = std::mem::take(&mut self.header.settings);
        let state = std::mem::take(&mut self.header.state);
        Header { settings, state, ..self.header.clone() }
    }

    /// Inputs that were read.
    pub fn inputs(&self) -> u64 {
        self.inputs
    }

    /// When the last of them came that says when.
    pub fn last(&self) -> Option<Stamp> {
        self.last
    }

    /// What comes next; `None` after the end, or after the cut.
    #[expect(
        clippy::should_implement_trait,
        reason = "it is not meant to be adapted, but to be read to its end"
    )]
    #[inline]
    pub fn next(&mut self) -> Option<Item> {
        if self.over {
            return None;
        }
        let line = match self.lines.next(LONGEST_LINE) {
            Ok(Some(line)) => line,
            Ok(None) => return Some(self.cut("ends without its last line, as after a crash".into())),
            Err(Broken(reason)) => return Some(self.cut(reason)),
        };
        if line.starts_with(b"{\"end\":") {
            let end = std::str::from_utf8(line).ok().and_then(End::read);
            return Some(self.end(end));
        }
        match line::read(line) {
            Ok(input) => {
                self.inputs += 1;
                if let Some(at) = stamp_of(&input) {
                    self.last = Some(at);
                }
                Some(Item::Input(input))
            }
            Err(error) => {
                self.lines.refuse();
                Some(self.cut(format!("damaged: line {} is {error}", self.inputs + 2)))
            }
        }
    }

    /// What follows from the last line.
    fn end(&mut self, end: Option<End>) -> Item {
        let Some(end) = end else {
            self.lines.refuse();
            return self.cut("damaged: its last line makes no sense".into());
        };
        if end.inputs != self.inputs {
            let (said, found) = (end.inputs, self.inputs);
            return self.cut(format!("damaged: its last line tells of {said} inputs, {found} are there"));
        }
        match self.lines.next(LONGEST_LINE) {
            Ok(None) => {
                self.over = true;
                Item::End(end)
            }
            Ok(Some(_)) => {
                self.lines.refuse();
                self.cut("damaged: something follows its last line".into())
            }
            Err(Broken(reason)) => self.cut(format!("something follows its last line, {reason}")),
        }
    }

    fn cut(&mut self, reason: String) -> Item {
        self.over = true;
        let bytes = self.lines.unused();
        Item::Cut(Cut { reason: escaped(reason.as_bytes()), bytes, inputs: self.inputs, last: self.last })
    }
}

fn read_header(lines: &mut Lines) -> Result<Header, WhatIsWrong> {
    match lines.next(LONGEST_HEADER) {
        Ok(Some(line)) => match std::str::from_utf8(line) {
            Ok(line) => Ok(Header::read(line)?),
            Err(_) => Err(HeaderError::NotAHeader.into()),
        },
        Ok(None) => Err(WhatIsWrong::Damaged("ends before its first line does".into())),
        Err(Broken(reason)) => Err(WhatIsWrong::Damaged(reason)),
    }
}

/// When an input came, where it says so.
pub(super) fn stamp_of(input: &Input) -> Option<Stamp> {
    match input {
        Input::Frame(frame) => frame.received,
        Input::Tick(at) | Input::Note(Note::Second(at) | Note::Silence { at, .. }) => Some(*at),
        Input::Link(event) => Some(event.at),
        Input::Reply(reply) => Some(reply.at),
        _ => None,
    }
}

impl fmt::Debug for SegmentReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (run, segment) = (&self.header.run, self.header.segment);
        f.debug_struct("SegmentReader")
            .field("run", run)
            .field("segment", &segment)
            .field("inputs", &self.inputs)
            .finish_non_exhaustive()
    }
}
