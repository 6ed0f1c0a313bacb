//! What everything that reads works with: the room of a burst, the clock of recordings, the account, the rules.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;

use super::current::{Current, Format};
use super::fault::FileFault;
use super::frames::RecordingClock;
use super::ordered::Trouble;
use super::range::Range;
use super::recognise::Recognised;
use super::sort::{SortError, SortRoom, Sorted};
use super::table::Table;
use super::{ReplayProgress, ReplayStatistics, notices};
use crate::source::{Input, Rows, SourceError};
use crate::trade::AggTrade;

/// What everything that reads works with.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) room: Room,
    pub(super) clock: RecordingClock,
    pub(super) statistics: ReplayStatistics,
    pub(super) progress: ReplayProgress,
    pub(super) rules: Rules,
}

/// How files are to be read.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) range: Range,
    pub(super) strict: bool,
    pub(super) sort: SortRoom,
}

/// The most blocks of rows in a burst, however short damaged lines make them: each has room for the longest.
pub(super) const MOST_BLOCKS: usize = 8;

/// What may still go into a burst, and the emptied blocks of earlier ones.
#[derive(Debug, Default)]
pub(super) struct Room {
    pub(super) inputs: usize,
    pub(super) blocks: usize,
    pub(super) spare: Vec<Vec<AggTrade>>,
}

impl Desk {
    /// Reads on in a file.
    pub(super) fn fill(&mut self, current: &mut Current, inputs: &mut VecDeque<Input>) -> io::Result<bool> {
        current.fill(inputs, &mut self.room, &mut self.clock, &mut self.statistics)
    }

    /// Does something that needs room, but not that of the burst.
    pub(super) fn aside<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let room = Room { inputs: Rows::MOST, blocks: 1, spare: std::mem::take(&mut self.room.spare) };
        let burst = std::mem::replace(&mut self.room, room);
        let done = work(self);
        let room = std::mem::replace(&mut self.room, burst);
        self.room.spare = room.spare;
        done
    }

    /// Delivers a block of sorted rows; `Ok(false)` if there are no more.
    pub(super) fn deliver_sorted(
        &mut self,
        format: &Format,
        sorted: &mut Sorted,
        inputs: &mut VecDeque<Input>,
    ) -> Result<bool, SortError> {
        let Format::Table(table) = format else { return Ok(false) };
        let mut trades = self.room.block();
        let mut more = true;
        while more && trades.len() < self.room.inputs.min(Rows::MOST) {
            let next = sorted.next()?;
            more = next.is_some();
            trades.extend(next);
        }
        self.room.deliver(trades, table, inputs);
        Ok(more)
    }

    /// Takes what is not wanted out of the inputs from this one on; tells whether the end of what is wanted is reached.
    pub(super) fn cut(&mut self, inputs: &mut VecDeque<Input>, from: usize) -> bool {
        let range = self.rules.range;
        let mut is_over = false;
        for mut input in inputs.split_off(from) {
            match &mut input {
                Input::Rows(rows) => {
                    is_over = rows.trades.iter().all(|trade| range.is_over(trade));
                    range.keep(&mut rows.trades);
                    if rows.trades.is_empty() {
                        self.room.spare(std::mem::take(&mut rows.trades));
                        continue;
                    }
                }
                Input::Frame(frame) if !range.has_frame(frame.text.as_bytes()) => continue,
                _ => {}
            }
            inputs.push_back(input);
        }
        is_over
    }

    /// Leaves out a file of which nothing is wanted.
    pub(super) fn leave_out(&mut self, file: &Recognised) {
        self.statistics.left_out_files += 1;
        self.progress.counter().fetch_add(file.on_disk, Ordering::Relaxed);
    }

    /// Passes over a file.
    pub(super) fn skip(&mut self, fault: FileFault) -> Result<(), SourceError> {
        if self.rules.strict {
            return Err(fault.into());
        }
        self.statistics.skipped_files += 1;
        notices::skipped(&fault);
        Ok(())
    }

    /// Passes over the rest of a file.
    pub(super) fn break_off(&mut self, trouble: Trouble) -> Result<(), SourceError> {
        match trouble {
            Trouble::File(error) if !self.rules.strict => {
                self.statistics.skipped_files += 1;
                notices::broke_off(&error);
                Ok(())
            }
            Trouble::File(error) | Trouble::Fatal(error) => Err(error),
        }
    }
}

impl Room {
    /// Takes the room of a burst back.
    pub(super) fn empty(&mut self, inputs: &mut VecDeque<Input>, burst: usize) {
        for input in inputs.drain(..) {
            if let Input::Rows(rows) = input {
                self.spare(rows.trades);
            }
        }
        (self.inputs, self.blocks) = (burst, MOST_BLOCKS);
    }

    /// Takes back a block that is not needed any more.
    pub(super) fn spare(&mut self, trades: Vec<AggTrade>) {
        if self.spare.len() < MOST_BLOCKS && trades.capacity() >= Rows::MOST {
            self.spare.push(trades);
        }
    }

    /// So many inputs were handed over.
    pub(super) fn take(&mut self, inputs: usize) {
        self.inputs = self.inputs.saturating_sub(inputs);
    }

    pub(super) fn is_left(&self) -> bool {
        self.inputs > 0 && self.blocks > 0
    }

    /// An empty block.
    pub(super) fn block(&mut self) -> Vec<AggTrade> {
        let mut trades = self.spare.pop().unwrap_or_default();
        trades.clear();
        trades.reserve_exact(Rows::MOST);
        trades
    }

    /// Delivers a block, unless it is empty.
    pub(super) fn deliver(&mut self, trades: Vec<AggTrade>, table: &Table, inputs: &mut VecDeque<Input>) {
        if trades.is_empty() {
            self.spare.push(trades);
            return;
        }
        self.inputs -= trades.len();
        self.blocks -= 1;
        inputs.push_back(Input::Rows(Rows { market: table.market, symbol: table.symbol.clone(), trades }));
    }
}
