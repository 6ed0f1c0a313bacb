//! Recorded files as a [`Source`]: tables of aggregate trades and recorded frames, one file after another.
//!
//! Two formats, each plain, gzipped, zstandard or zipped (told by the first bytes, never by the name):
//!
//! * a **table**: CSV of aggregate trades as the exchange publishes them, with or without a header, or with
//!   the columns of a recorder; see [`table`] for the names it knows;
//! * **frames**: one JSON message per line as it came from the stream, with or without the time it came;
//!   see [`frames`].
//!
//! Nothing is ever dropped here: a replay is read as fast as it is digested and no faster. The trades of a symbol
//! are handed over in the order of their ids, whatever the order of files and rows; what is missing or repeated is
//! not this room's concern.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use crate::feed::SessionId;
use crate::snapshot::Market;
use crate::source::{Burst, Input, Source, SourceError};
use crate::units::Symbol;

mod arrange;
mod checksum;
mod current;
mod desk;
mod doubt;
mod fault;
mod find;
pub mod frames;
mod lines;
pub(crate) mod name;
mod notices;
mod open;
mod ordered;
mod overlap;
mod range;
mod recognise;
mod scan;
pub(crate) mod sort;
mod survey;
pub mod table;
mod thread;

pub use crate::progress::{ReplayProgress, ReplayStatistics};
pub use fault::{FaultReason, FileFault, ReplayError};
pub use range::Range;

use current::{Current, Damage, Format, TOO_LONG};
use desk::{Desk, Room, Rules};
use find::Found;
pub use find::expanded;
use frames::RecordingClock;
use overlap::Overlap;
use sort::SortRoom;
pub use thread::{ReplaySource, ReplayThread};

/// What the files do not say themselves, and how much to hand over at a time.
#[derive(Debug, Clone)]
pub struct ReplayOptions {
    /// The symbol of every table; for frames, the only symbol wanted. `None`: tables are asked by name
    /// (`BTCUSDT-aggTrades-2024-05-01.zip`), frames say it themselves.
    pub symbol: Option<Symbol>,
    /// The market of every file. `None`: told by the recorded address, by the symbol (`BTCUSD_PERP`) or by
    /// the columns (spot has eight); otherwise USDⓈ-M.
    pub market: Option<Market>,
    /// The symbol of tables that neither `symbol` nor their names tell.
    pub symbol_if_untold: Option<Symbol>,
    /// Rows, frames and damaged lines per burst; 0 counts as 1.
    pub burst: usize,
    /// Which part of the trades is wanted.
    pub range: Range,
    /// Whether a bad file is the end instead of being skipped.
    pub strict: bool,
    /// Where rows that are out of order are sorted if they do not fit `memory`; `None` for the system's directory for
    /// temporary files.
    pub temp_dir: Option<PathBuf>,
    /// Bytes that sorting may take.
    pub memory: u64,
}

impl Default for ReplayOptions {
    fn default() -> Self {
        Self {
            symbol: None,
            market: None,
            symbol_if_untold: None,
            burst: 1024,
            range: Range::default(),
            strict: false,
            temp_dir: None,
            memory: 256 * 1024 * 1024,
        }
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

/// Recorded files, read in the order of their trades.
///
/// Reading and decompressing block the thread that polls [`Source::next`]; a [`ReplayThread`] reads on a
/// thread of its own.
#[derive(Debug)]
pub struct Replay {
    lanes: Vec<FileLanes>,
    waiting: std::vec::IntoIter<Overlap>,
    current: Option<Overlap>,
    /// Found behind rows that were still good; reported once those are delivered.
    fault: Option<SourceError>,
    burst: usize,
    /// Bursts since others had their turn.
    in_a_row: u32,
    desk: Desk,
}

/// So many bursts, a millisecond's work, are read before others have their turn.
const BURSTS_IN_A_ROW: u32 = 16;

impl Replay {
    /// Finds every file that is meant (directories and patterns may be named), finds out what each is, and reads none
    /// of them further than that takes. What cannot be replayed is told in the log and skipped, unless `strict`.
    ///
    /// Regular files are opened again when their turn comes, so that a year of daily files does not need a
    /// year of handles; pipes stay open.
    ///
    /// # Errors
    /// [`ReplayError`] if there is no file that can be replayed, or if any cannot and the options are `strict`: every
    /// file that cannot be opened, is of no known format, or does not tell its symbol; under `strict` also every one
    /// whose checksum is not the published one.
    pub fn open(files: Vec<PathBuf>, options: ReplayOptions) -> Result<Self, ReplayError> {
        let (found, mut faults) = find::find(files);
        let mut recognised = Vec::with_capacity(found.len());
        for (session, found) in (1..).map(SessionId).zip(found) {
            let file = match found {
                Found::File(file) => file,
                Found::Recording(file) => {
                    faults.push(FileFault { file, reason: FaultReason::Recording });
                    continue;
                }
            };
            match recognise::recognise(file, session, &options) {
                Ok(file) => recognised.push(file),
                Err(fault) => faults.push(fault),
            }
        }
        if options.strict {
            let sums = recognised.iter().filter_map(|file| file.verify().err());
            faults.extend(sums);
        }
        if recognised.is_empty() || options.strict && !faults.is_empty() {
            return Err(ReplayError { faults });
        }
        faults.iter().for_each(notices::skipped);
        let temp_dir = options.temp_dir.unwrap_or_else(std::env::temp_dir);
        let rules = Rules {
            range: options.range,
            strict: options.strict,
            sort: SortRoom::new(options.memory, &temp_dir),
        };
        let skipped_files = faults.len() as u64;
        let progress = ReplayProgress::default();
        let is_known = recognised.iter().all(|file| file.on_disk > 0);
        progress.set_on_disk(if is_known { recognised.iter().map(|file| file.on_disk).sum() } else { 0 });
        let (lanes, parts) = arrange::arrange(recognised);
        Ok(Self {
            lanes,
            waiting: parts.into_iter(),
            current: None,
            fault: None,
            burst: options.burst.max(1),
            in_a_row: 0,
            desk: Desk {
                room: Room::default(),
                clock: RecordingClock::default(),
                statistics: ReplayStatistics { skipped_files, ..ReplayStatistics::default() },
                progress,
                rules,
            },
        })
    }

    /// What each file holds, in the order in which they are read.
    pub fn lanes(&self) -> &[FileLanes] {
        &self.lanes
    }

    /// Whether a file is a pipe, which may deliver nothing for as long as it likes.
    pub fn has_pipe(&self) -> bool {
        self.waiting.as_slice().iter().any(Overlap::has_pipe)
    }

    /// What was read so far.
    pub fn statistics(&self) -> ReplayStatistics {
        self.desk.statistics
    }

    /// Tells how far it is, also while something else reads it.
    pub fn progress(&self) -> ReplayProgress {
        self.desk.progress.clone()
    }

    /// Fills `inputs` up to a burst, or to where something that takes time has gone on a little.
    fn fill(&mut self, inputs: &mut VecDeque<Input>) -> Result<Reached, SourceError> {
        self.desk.room.empty(inputs, self.burst);
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let mut idle = 0;
        while self.desk.room.is_left() && idle < IDLE {
            let before = inputs.len();
            let current = match &mut self.current {
                Some(current) => current,
                None => match self.waiting.next() {
                    Some(next) => self.current.insert(next),
                    None if inputs.is_empty() => return Ok(Reached::End),
                    None => break,
                },
            };
            if !current.fill(inputs, &mut self.desk)? {
                self.current = None;
            } else if inputs.len() == before {
                idle += 1;
            }
        }
        Ok(if inputs.is_empty() { Reached::Nothing } else { Reached::Inputs })
    }

    /// Empties `inputs` and reads the next burst.
    fn read(&mut self, inputs: &mut VecDeque<Input>) -> Result<Reached, SourceError> {
        self.fill(inputs).or_else(|fault| {
            self.current = None;
            self.waiting = Vec::new().into_iter();
            if inputs.is_empty() {
                return Err(fault);
            }
            self.fault = Some(fault);
            Ok(Reached::Inputs)
        })
    }
}

/// What is read so often without bringing anything takes its time: whoever waits looks around in between.
const IDLE: u32 = 8;

/// How far a reading came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    /// There are inputs.
    Inputs,
    /// None yet: rows are being sorted, or passed over.
    Nothing,
    /// No more will come.
    End,
}

impl Source for Replay {
    async fn next(&mut self, burst: &mut Burst) -> Result<bool, SourceError> {
        burst.evicted.clear();
        loop {
            // The only await comes before anything is handed over: a dropped future takes nothing with it. Letting
            // others have their turn costs as much as many rows.
            self.in_a_row = (self.in_a_row + 1) % BURSTS_IN_A_ROW;
            if self.in_a_row == 0 {
                tokio::task::yield_now().await;
            }
            let reached = self.read(&mut burst.inputs)?;
            self.desk.progress.tell(self.desk.statistics);
            match reached {
                Reached::Inputs => return Ok(true),
                Reached::Nothing => {}
                Reached::End => return Ok(false),
            }
        }
    }
}
