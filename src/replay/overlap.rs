//! The files of one market and symbol, one after another; side by side where they have trades in common.
//!
//! Most files begin where another one ends. Where one begins before that (a day within a month, two recorders of one
//! stream), both are read at once and the lower id goes first: no trade is lost, whichever has it, and of those that
//! both have the second copy follows the first at once, where it is known for what it is.

use std::collections::VecDeque;
use std::path::Path;

use super::ordered::Ordered;
use super::recognise::Recognised;
use super::{Desk, FileFault, notices};
use crate::source::{Input, Rows, SourceError};
use crate::trade::AggTrade;

/// The files of one lane, or one file of frames.
#[derive(Debug)]
pub(super) struct Overlap {
    waiting: VecDeque<Recognised>,
    open: Vec<Open>,
    /// The last id of several files that are read side by side.
    newest: Option<i64>,
}

/// A file that is being read.
#[derive(Debug)]
struct Open {
    file: Ordered,
    /// What was read of it and waits for its turn.
    inputs: VecDeque<Input>,
    has_ended: bool,
}

impl Overlap {
    /// Of files in the order of their first rows.
    pub(super) fn of(files: Vec<Recognised>) -> Self {
        Self { waiting: files.into(), open: Vec::new(), newest: None }
    }

    /// Whether a file is a pipe.
    pub(super) fn has_pipe(&self) -> bool {
        self.waiting.iter().any(|file| file.held.is_some())
    }

    /// Reads while there is room, or a while without handing over anything; `Ok(false)` at the end of the last file.
    pub(super) fn fill(
        &mut self,
        inputs: &mut VecDeque<Input>,
        desk: &mut Desk,
    ) -> Result<bool, SourceError> {
        let before = inputs.len();
        let more = match self.open.as_slice() {
            [] => self.open_next(desk),
            [only] if only.inputs.is_empty() && !only.has_ended => self.read_on(inputs, desk),
            _ => self.read_side_by_side(inputs, desk),
        };
        if desk.rules.range.is_everything() {
            return more;
        }
        // What was read before a failure is handed over too.
        if desk.cut(inputs, before) {
            desk.statistics.files += self.open.len() as u64;
            self.waiting.iter().for_each(|file| desk.leave_out(file));
            return more.map(|_| false);
        }
        more
    }

    /// Opens the next file; `Ok(false)` if there is none.
    fn open_next(&mut self, desk: &mut Desk) -> Result<bool, SourceError> {
        let Some(file) = self.waiting.pop_front() else { return Ok(false) };
        if desk.rules.range.leaves_out(&file.extent, self.waiting.front().map(|next| &next.extent)) {
            desk.leave_out(&file);
            return Ok(true);
        }
        match begin(file, desk) {
            Ok(file) => self.open.push(Open { file, inputs: VecDeque::new(), has_ended: false }),
            Err(fault) => desk.skip(fault)?,
        }
        Ok(true)
    }

    /// The one open file, until the next one has trades in common with it.
    fn read_on(&mut self, inputs: &mut VecDeque<Input>, desk: &mut Desk) -> Result<bool, SourceError> {
        let before = inputs.len();
        let [only] = self.open.as_mut_slice() else { return Ok(true) };
        let more = only.file.fill(inputs, desk);
        let next = self.waiting.front();
        let meets = |input: &Input| matches!(input, Input::Rows(rows) if reaches(&rows.trades, next));
        if next.is_some()
            && let Some(at) = (before..inputs.len()).find(|at| meets(&inputs[*at]))
        {
            only.inputs = inputs.split_off(at);
            only.has_ended = !matches!(more, Ok(true));
            self.newest = None;
            match more {
                Ok(true) => {}
                Ok(false) => desk.statistics.files += 1,
                Err(trouble) => desk.break_off(trouble)?,
            }
            let first = only.file.file().to_owned();
            self.open_beside(&first, desk)?;
            return Ok(true);
        }
        match more {
            Ok(true) => return Ok(true),
            Ok(false) => desk.statistics.files += 1,
            Err(trouble) => {
                self.open.clear();
                desk.break_off(trouble)?;
            }
        }
        self.open.clear();
        Ok(!self.waiting.is_empty())
    }

    fn open_beside(&mut self, first: &Path, desk: &mut Desk) -> Result<(), SourceError> {
        let count = self.open.len();
        self.open_next(desk)?;
        if let Some(second) = self.open.get(count) {
            notices::overlap(first, second.file.file());
        }
        Ok(())
    }

    /// Several files, the lower id first.
    fn read_side_by_side(
        &mut self,
        inputs: &mut VecDeque<Input>,
        desk: &mut Desk,
    ) -> Result<bool, SourceError> {
        let mut at = 0;
        while let Some(open) = self.open.get_mut(at) {
            if open.show_rows(inputs, desk)? {
                at += 1;
            } else {
                self.open.remove(at);
            }
        }
        let heads = self.open.iter().enumerate().map(|(at, open)| (open.head(), at));
        let Some((_, lowest)) = heads.min() else { return Ok(!self.waiting.is_empty()) };
        let others = self.open.iter().enumerate().filter(|(at, _)| *at != lowest);
        let limit = others.map(|(_, open)| open.head()).min();
        let open = &self.open[lowest];
        if reaches(open.rows(), self.waiting.front()) {
            let first = open.file.file().to_owned();
            self.open_beside(&first, desk)?;
            return Ok(true);
        }
        let before = self.open[lowest].rows();
        let count = match limit {
            // Two of the same id follow each other.
            Some(limit) => before.partition_point(|trade| trade.id.0 < limit).max(1),
            None => before.len(),
        };
        let first = before.first().map(|trade| trade.id.0);
        desk.statistics.overlapping_rows += u64::from(first.is_some() && first == self.newest);
        self.newest = before.get(count - 1).map(|trade| trade.id.0);
        self.open[lowest].hand_over(count, inputs, desk);
        Ok(true)
    }
}

impl Open {
    /// Reads until there are rows; `Ok(false)` if there are no more.
    fn show_rows(&mut self, inputs: &mut VecDeque<Input>, desk: &mut Desk) -> Result<bool, SourceError> {
        loop {
            match self.inputs.front() {
                Some(Input::Rows(_)) => return Ok(true),
                Some(_) => inputs.extend(self.inputs.pop_front()),
                None if self.has_ended => return Ok(false),
                None => match desk.aside(|desk| self.file.fill(&mut self.inputs, desk)) {
                    Ok(true) => {}
                    Ok(false) => {
                        self.has_ended = true;
                        desk.statistics.files += 1;
                    }
                    Err(trouble) => {
                        self.has_ended = true;
                        desk.break_off(trouble)?;
                    }
                },
            }
        }
    }

    fn rows(&self) -> &[AggTrade] {
        match self.inputs.front() {
            Some(Input::Rows(rows)) => &rows.trades,
            _ => &[],
        }
    }

    /// The lowest id.
    fn head(&self) -> i64 {
        self.rows().first().map_or(i64::MAX, |trade| trade.id.0)
    }

    /// Hands over the first rows.
    fn hand_over(&mut self, count: usize, inputs: &mut VecDeque<Input>, desk: &mut Desk) {
        let Some(Input::Rows(rows)) = self.inputs.front_mut() else { return };
        desk.room.take(count);
        match inputs.back_mut() {
            Some(Input::Rows(last))
                if last.symbol == rows.symbol && last.trades.len() + count <= Rows::MOST =>
            {
                last.trades.extend(rows.trades.drain(..count));
            }
            _ => {
                let mut trades = desk.room.block();
                trades.extend(rows.trades.drain(..count));
                desk.room.blocks = desk.room.blocks.saturating_sub(1);
                inputs.push_back(Input::Rows(Rows {
                    market: rows.market,
                    symbol: rows.symbol.clone(),
                    trades,
                }));
            }
        }
        if rows.trades.is_empty() {
            desk.room.spare(std::mem::take(&mut rows.trades));
            self.inputs.pop_front();
        }
    }
}

/// Whether rows go on beyond the beginning of another file, in ids and in time: an exchange that numbers anew begins
/// with low ids too, but later.
fn reaches(rows: &[AggTrade], next: Option<&Recognised>) -> bool {
    let (Some(last), Some((id, time))) = (rows.last(), next.and_then(|next| next.extent.first)) else {
        return false;
    };
    id <= last.id.0 && time <= last.traded_at
}

/// Opens a file whose sum is the published one.
fn begin(file: Recognised, desk: &mut Desk) -> Result<Ordered, FileFault> {
    if !desk.rules.strict {
        // Under --strict all sums were compared before anything was computed.
        file.verify()?;
    }
    Ordered::open(file, desk)
}
