//! One open file and what its lines hold, in the order in which they stand in it.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::desk::Room;
use super::fault::FileFault;
use super::frames::{Frames, RecordingClock};
use super::lines::{Line, Lines};
use super::recognise::Recognised;
use super::table::{BlockEnd, Table};
use super::{ReplayStatistics, open};
use crate::source::{DamagedLine, Input, SourceError};
use crate::text::shown;

/// The file being read.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) file: Arc<PathBuf>,
    pub(super) format: Format,
    pub(super) lines: Lines,
}

#[derive(Debug, Clone)]
pub(super) enum Format {
    Table(Box<Table>),
    Frames(Frames),
}

impl Current {
    pub(super) fn open(file: Recognised, read: &Arc<AtomicU64>) -> Result<Self, FileFault> {
        let Recognised { file, format, held, .. } = file;
        let lines = match held {
            Some(lines) => lines,
            None => open::open(&file, read)
                .map(|opened| opened.lines())
                .map_err(|reason| FileFault { file: file.to_path_buf(), reason })?,
        };
        Ok(Self { file, format, lines })
    }

    /// Reads lines while there is room; `Ok(false)` at the end of the file.
    pub(super) fn fill(
        &mut self,
        inputs: &mut VecDeque<Input>,
        room: &mut Room,
        clock: &mut RecordingClock,
        statistics: &mut ReplayStatistics,
    ) -> io::Result<bool> {
        let Self { file, format, lines } = self;
        while room.is_left() {
            let damage = match format {
                Format::Table(table) => {
                    let mut trades = room.block();
                    let end = table.fill(lines, &mut trades, room.inputs, &mut statistics.bytes);
                    statistics.rows += trades.len() as u64;
                    room.deliver(trades, table, inputs);
                    match end? {
                        BlockEnd::Full => None,
                        BlockEnd::Damaged(damage) => Some(damage),
                        BlockEnd::LastRow => return Ok(false),
                    }
                }
                Format::Frames(frames) => {
                    let Some(line) = lines.next()? else { return Ok(false) };
                    statistics.bytes += line.length;
                    match if line.whole {
                        frames.read(line.text, line.number, clock)
                    } else {
                        Err(TOO_LONG.into())
                    } {
                        Ok(None) => None,
                        Ok(Some(frame)) => {
                            statistics.frames += 1;
                            room.inputs -= 1;
                            inputs.push_back(Input::Frame(frame));
                            None
                        }
                        Err(reason) => Some(Damage::of(&line, reason)),
                    }
                }
            };
            if let Some(Damage { line, reason, text }) = damage {
                statistics.damaged += 1;
                room.inputs = room.inputs.saturating_sub(1);
                inputs.push_back(Input::Damaged(DamagedLine { file: Arc::clone(file), line, reason, text }));
            }
        }
        Ok(true)
    }

    pub(super) fn interrupted(&self, cause: io::Error) -> SourceError {
        let (file, line) = (shown(&self.file), self.lines.number());
        let what = match cause.kind() {
            io::ErrorKind::UnexpectedEof => {
                format!("{file} is cut short after line {line}: copy or download it again")
            }
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                format!(
                    "{file} is damaged, found after line {line}; what was read of it cannot be trusted: \
                     copy or download it again"
                )
            }
            _ => format!("cannot read {file} any further than line {line}"),
        };
        SourceError { what, cause: Some(cause) }
    }
}

pub(super) const TOO_LONG: &str = "longer than 64 KiB";

/// A damaged line.
#[derive(Debug)]
pub(super) struct Damage {
    pub(super) line: u64,
    pub(super) reason: String,
    pub(super) text: String,
}

impl Damage {
    #[cold]
    pub(super) fn of(line: &Line<'_>, reason: String) -> Self {
        // 160 characters have at most 640 bytes.
        let start = &line.text[..line.text.len().min(640)];
        let text = String::from_utf8_lossy(start).chars().take(160).collect();
        Self { line: line.number, reason, text }
    }
}
