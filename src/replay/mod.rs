//! Recorded files as a [`Source`]: tables of aggregate trades and recorded frames, one file after another.
//!
//! Two formats, each plain, gzipped or zipped (told by the first bytes, never by the name):
//!
//! * a **table**: CSV of aggregate trades as the exchange publishes them, with or without a header, or with
//!   the columns of a recorder; see [`table`] for the names it knows;
//! * **frames**: one JSON message per line as it came from the stream, with or without the time it came;
//!   see [`frames`].
//!
//! Nothing is ever dropped here: a replay is read as fast as it is digested and no faster. Order and gaps of
//! the ids are not this room's concern.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::feed::SessionId;
use crate::snapshot::Market;
use crate::source::{Burst, DamagedLine, FileRow, Input, Source, SourceError};
use crate::units::Symbol;

mod fault;
pub mod frames;
mod lines;
mod name;
mod open;
mod recognise;
pub mod table;
mod thread;

pub use fault::{FaultReason, FileFault, ReplayError};

use frames::{Frames, RecordingClock};
use lines::{Line, Lines};
use recognise::Recognised;
use table::Table;
pub use thread::ReplayThread;

/// What the files do not say themselves, and how much to hand over at a time.
#[derive(Debug, Clone)]
pub struct ReplayOptions {
    /// The symbol of every table; for frames, the only symbol wanted. `None`: tables are asked by name
    /// (`BTCUSDT-aggTrades-2024-05-01.zip`), frames say it themselves.
    pub symbol: Option<Symbol>,
    /// The market of every file. `None`: told by the recorded address, by the symbol (`BTCUSD_PERP`) or by
    /// the columns (spot has eight); otherwise USDⓈ-M.
    pub market: Option<Market>,
    /// Inputs per burst; 0 counts as 1.
    pub burst: usize,
}

impl Default for ReplayOptions {
    fn default() -> Self {
        Self { symbol: None, market: None, burst: 1024 }
    }
}

/// What a file holds, known before its first row is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLanes {
    /// The file.
    pub file: Arc<PathBuf>,
    /// The session that its frames carry: the number of the file, from 1.
    pub session: SessionId,
    /// The market of all its trades.
    pub market: Market,
    /// The symbols wanted from it; `None` takes every symbol that appears.
    pub symbols: Option<Vec<Symbol>>,
}

/// What was read so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReplayStatistics {
    /// Trades out of tables.
    pub rows: u64,
    /// Messages out of recordings, readable or not.
    pub frames: u64,
    /// Lines that are neither.
    pub damaged: u64,
    /// Bytes of text, uncompressed.
    pub bytes: u64,
    /// Files read to their end.
    pub files: u64,
}

/// Recorded files, read one after another in the given order.
///
/// Reading and decompressing block the thread that polls [`Source::next`]; a [`ReplayThread`] reads on a
/// thread of its own.
#[derive(Debug)]
pub struct Replay {
    lanes: Vec<FileLanes>,
    waiting: std::vec::IntoIter<Recognised>,
    current: Option<Current>,
    /// Found behind rows that were still good; reported once those are delivered.
    fault: Option<SourceError>,
    clock: RecordingClock,
    burst: usize,
    statistics: ReplayStatistics,
}

/// The file being read.
#[derive(Debug)]
struct Current {
    file: Arc<PathBuf>,
    format: Format,
    lines: Lines,
}

#[derive(Debug)]
enum Format {
    Table(Box<Table>),
    Frames(Frames),
}

impl Replay {
    /// Opens every file, finds out what each is, and reads none of them further than that.
    ///
    /// Regular files are opened again when their turn comes, so that a year of daily files does not need a
    /// year of handles; pipes stay open.
    ///
    /// # Errors
    /// [`ReplayError`] with every file that cannot be opened, is of no known format, or does not tell its
    /// symbol; also if there is no file at all.
    pub fn open(files: Vec<PathBuf>, options: ReplayOptions) -> Result<Self, ReplayError> {
        let mut lanes = Vec::with_capacity(files.len());
        let mut recognised = Vec::with_capacity(files.len());
        let mut faults = Vec::new();
        for (session, file) in (1..).map(SessionId).zip(files) {
            match recognise::recognise(file, session, &options) {
                Ok((file_lanes, file)) => {
                    lanes.push(file_lanes);
                    recognised.push(file);
                }
                Err(fault) => faults.push(fault),
            }
        }
        if recognised.is_empty() || !faults.is_empty() {
            return Err(ReplayError { faults });
        }
        Ok(Self {
            lanes,
            waiting: recognised.into_iter(),
            current: None,
            fault: None,
            clock: RecordingClock::default(),
            burst: options.burst.max(1),
            statistics: ReplayStatistics::default(),
        })
    }

    /// What each file holds, in the order of the files.
    pub fn lanes(&self) -> &[FileLanes] {
        &self.lanes
    }

    /// What was read so far.
    pub fn statistics(&self) -> ReplayStatistics {
        self.statistics
    }

    /// Fills `inputs` up to a burst; leaves it empty only at the end of the last file.
    fn fill(&mut self, inputs: &mut VecDeque<Input>) -> Result<(), SourceError> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        while inputs.len() < self.burst {
            let current = match &mut self.current {
                Some(current) => current,
                None => match self.waiting.next() {
                    Some(next) => self.current.insert(Current::open(next)?),
                    None => return Ok(()),
                },
            };
            match current.fill(inputs, self.burst, &mut self.clock, &mut self.statistics) {
                Ok(true) => {}
                Ok(false) => {
                    self.current = None;
                    self.statistics.files += 1;
                }
                Err(cause) => return Err(current.interrupted(cause)),
            }
        }
        Ok(())
    }
}

impl Replay {
    /// Empties `inputs` and reads the next burst; `Ok(false)` at the end.
    fn read(&mut self, inputs: &mut VecDeque<Input>) -> Result<bool, SourceError> {
        inputs.clear();
        if let Err(fault) = self.fill(inputs) {
            self.current = None;
            self.waiting = Vec::new().into_iter();
            if inputs.is_empty() {
                return Err(fault);
            }
            self.fault = Some(fault);
        }
        Ok(!inputs.is_empty())
    }
}

impl Source for Replay {
    async fn next(&mut self, burst: &mut Burst) -> Result<bool, SourceError> {
        // The only await comes before anything is read: a dropped future takes nothing with it.
        tokio::task::yield_now().await;
        burst.evicted.clear();
        burst.taken = None;
        self.read(&mut burst.inputs)
    }
}

impl Current {
    fn open(file: Recognised) -> Result<Self, SourceError> {
        let Recognised { file, format, held } = file;
        let lines = match held {
            Some(lines) => lines,
            None => open::open(&file)
                .map(|opened| opened.lines())
                .map_err(|reason| FileFault { file: file.to_path_buf(), reason })?,
        };
        Ok(Self { file, format, lines })
    }

    /// Reads lines until `inputs` holds a burst; `Ok(false)` at the end of the file.
    fn fill(
        &mut self,
        inputs: &mut VecDeque<Input>,
        burst: usize,
        clock: &mut RecordingClock,
        statistics: &mut ReplayStatistics,
    ) -> io::Result<bool> {
        while inputs.len() < burst {
            let Some(line) = self.lines.next()? else { return Ok(false) };
            statistics.bytes += line.length;
            if line.text.is_empty() {
                continue;
            }
            match self.format.read(&line, clock) {
                Ok(None) => {}
                Ok(Some(input)) => {
                    match input {
                        Input::Row(_) => statistics.rows += 1,
                        _ => statistics.frames += 1,
                    }
                    inputs.push_back(input);
                }
                Err(reason) => {
                    statistics.damaged += 1;
                    inputs.push_back(Input::Damaged(damaged(&self.file, &line, reason)));
                }
            }
        }
        Ok(true)
    }

    fn interrupted(&self, cause: io::Error) -> SourceError {
        let (file, line) = (self.file.display(), self.lines.number());
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

impl Format {
    /// The input in a line, if there is any; an error says why the line is damaged.
    fn read(&mut self, line: &Line<'_>, clock: &mut RecordingClock) -> Result<Option<Input>, String> {
        if !line.whole {
            return Err("longer than 64 KiB".into());
        }
        match self {
            Self::Table(table) => Ok(table.read(line.text)?.map(|trade| {
                Input::Row(FileRow { market: table.market, symbol: table.symbol.clone(), trade })
            })),
            Self::Frames(frames) => Ok(frames.read(line.text, line.number, clock)?.map(Input::Frame)),
        }
    }
}

fn damaged(file: &Arc<PathBuf>, line: &Line<'_>, reason: String) -> DamagedLine {
    // 160 characters have at most 640 bytes.
    let start = &line.text[..line.text.len().min(640)];
    let text = String::from_utf8_lossy(start).chars().take(160).collect();
    DamagedLine { file: Arc::clone(file), line: line.number, reason, text }
}
