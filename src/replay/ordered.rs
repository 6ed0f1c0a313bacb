//! One file, its rows in the order of their ids.
//!
//! Rows of a good file have consecutive ids, and nothing more is done than seeing that. At the first row that has not the
//! next id, the rest of the file is [looked through](super::survey): either ids are missing, and that is that; or rows
//! are out of order, and everything from there on is [sorted](super::sort). What arrives through a pipe cannot be looked
//! through and is sorted in any case.

use std::collections::VecDeque;
use std::io;

use super::recognise::{Order, Recognised};
use super::sort::{SortError, SortRoom, Sorted, Sorter};
use super::survey::survey;
use super::{Current, Desk, FileFault, Format, Room, notices};
use crate::source::{Input, Rows, SourceError};
use crate::trade::AggTrade;

/// What keeps a file from being read on.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It is damaged: others may be read all the same.
    File(SourceError),
    /// Not the file's fault.
    Fatal(SourceError),
}

impl From<SortError> for Trouble {
    fn from(error: SortError) -> Self {
        let what = format!("{error}: free some, or name another directory with --temp-dir");
        Self::Fatal(SourceError { what, cause: Some(error.cause) })
    }
}

/// A file that is being read.
#[derive(Debug)]
pub(super) struct Ordered {
    current: Current,
    /// How to open it again; `None` for a pipe.
    again: Option<Recognised>,
    state: State,
    /// The id of the first row.
    first_id: Option<i64>,
    /// The id that should come next.
    next_id: Option<i64>,
    /// Rows that were handed over as they came.
    rows: u64,
}

#[derive(Debug)]
enum State {
    /// All ids were consecutive so far.
    Watching,
    /// There is nothing to watch for.
    Known,
    Sorting(Box<Sorting>),
    /// Everything is sorted; the file may have ended with an error.
    Sorted(Sorted, Option<io::Error>),
    /// Everything is handed over.
    Over,
}

#[derive(Debug)]
struct Sorting {
    sorter: Sorter,
    room: Room,
    inputs: VecDeque<Input>,
}

impl Ordered {
    pub(super) fn open(file: Recognised, desk: &mut Desk) -> Result<Self, FileFault> {
        let sort = &desk.rules.sort;
        let again = file.again();
        let order = file.order;
        desk.progress.begin(&file.file);
        let current = Current::open(file, &desk.progress.counter())?;
        let state = match (&current.format, order) {
            (Format::Frames(_), _) | (_, Order::Known) => State::Known,
            (_, Order::Unknown) => State::Watching,
            (_, Order::Disordered { rows }) => {
                desk.statistics.sorted_files += 1;
                notices::sorting(&current.file, 0, rows, sort);
                State::sorting(sort)
            }
        };
        Ok(Self { current, again, state, first_id: None, next_id: None, rows: 0 })
    }

    pub(super) fn file(&self) -> &std::path::Path {
        &self.current.file
    }

    /// Reads while there is room, or a while without handing over anything; `Ok(false)` at the end of the file.
    pub(super) fn fill(&mut self, inputs: &mut VecDeque<Input>, desk: &mut Desk) -> Result<bool, Trouble> {
        let before = inputs.len();
        match &mut self.state {
            State::Known => desk.fill(&mut self.current, inputs).map_err(|cause| self.interrupted(cause)),
            State::Watching => {
                let more = desk.fill(&mut self.current, inputs);
                if let Some(at) = self.first_break(inputs, before) {
                    self.look(inputs, at, desk)?;
                }
                match (more, &mut self.state) {
                    (Ok(true), _) => Ok(true),
                    (end, State::Sorting(_)) => self.end_of_rows(end.err()).map(|()| true),
                    (end, _) => end.map_err(|cause| self.interrupted(cause)),
                }
            }
            State::Sorting(sorting) => match sorting.read(&mut self.current, inputs, desk)? {
                Ok(true) => Ok(true),
                end => self.end_of_rows(end.err()).map(|()| true),
            },
            State::Sorted(sorted, error) => {
                if desk.deliver_sorted(&self.current.format, sorted, inputs)? {
                    return Ok(true);
                }
                let error = error.take();
                self.state = State::Over;
                error.map_or(Ok(false), |cause| Err(self.interrupted(cause)))
            }
            State::Over => Ok(false),
        }
    }

    /// The first row whose id is not the next one: its block, its place in there. Counts the rows before it.
    fn first_break(&mut self, inputs: &VecDeque<Input>, from: usize) -> Option<(usize, usize)> {
        for (at, input) in inputs.iter().enumerate().skip(from) {
            let Input::Rows(rows) = input else { continue };
            self.first_id = self.first_id.or(rows.trades.first().map(|trade| trade.id.0));
            if let Some(row) = break_in(&rows.trades, self.next_id) {
                self.rows += row as u64;
                return Some((at, row));
            }
            self.rows += rows.trades.len() as u64;
            self.next_id = rows.trades.last().map(|trade| trade.id.0.saturating_add(1)).or(self.next_id);
        }
        None
    }

    /// Finds out what the first row out of sequence means.
    fn look(
        &mut self,
        inputs: &mut VecDeque<Input>,
        (at, row): (usize, usize),
        desk: &mut Desk,
    ) -> Result<(), Trouble> {
        let file = &self.current.file;
        let rows = match self.again.take() {
            None => None,
            Some(again) => {
                notices::looking_through(file, again.on_disk);
                let survey = match survey(again, self.rows) {
                    Ok(survey) => survey,
                    Err(reason) => {
                        return Err(Trouble::File(FileFault { file: file.to_path_buf(), reason }.into()));
                    }
                };
                if survey.disordered == 0 {
                    self.state = State::Known;
                    return Ok(());
                }
                if survey.below_first > 0 {
                    notices::misplaced(file, survey.below_first, self.first_id.unwrap_or_default());
                    desk.statistics.misplaced_rows += survey.below_first;
                }
                Some(survey.rows)
            }
        };
        notices::sorting(file, self.rows, rows, &desk.rules.sort);
        desk.statistics.sorted_files += 1;
        let mut sorter = Sorter::new(desk.rules.sort.clone());
        let rest = inputs.split_off(at);
        for (number, input) in rest.into_iter().enumerate() {
            match input {
                Input::Rows(mut rows) if number == 0 && row > 0 => {
                    rows.trades[row..].iter().try_for_each(|trade| sorter.push(trade))?;
                    rows.trades.truncate(row);
                    inputs.push_back(Input::Rows(rows));
                }
                Input::Rows(rows) => {
                    rows.trades.iter().try_for_each(|trade| sorter.push(trade))?;
                    desk.room.spare(rows.trades);
                }
                other => inputs.push_back(other),
            }
        }
        self.state = State::Sorting(Box::new(Sorting::new(sorter)));
        Ok(())
    }

    fn end_of_rows(&mut self, error: Option<io::Error>) -> Result<(), Trouble> {
        if let State::Sorting(sorting) = std::mem::replace(&mut self.state, State::Over) {
            self.state = State::Sorted(sorting.sorter.finish()?, error);
        }
        Ok(())
    }

    fn interrupted(&self, cause: io::Error) -> Trouble {
        Trouble::File(self.current.interrupted(cause))
    }
}

impl State {
    fn sorting(room: &SortRoom) -> Self {
        Self::Sorting(Box::new(Sorting::new(Sorter::new(room.clone()))))
    }
}

impl Sorting {
    fn new(sorter: Sorter) -> Self {
        Self { sorter, room: Room::default(), inputs: VecDeque::new() }
    }

    /// Takes in the next rows of the file; damaged lines are passed on.
    fn read(
        &mut self,
        current: &mut Current,
        inputs: &mut VecDeque<Input>,
        desk: &mut Desk,
    ) -> Result<io::Result<bool>, SortError> {
        self.room.empty(&mut self.inputs, Rows::MOST);
        let more = current.fill(&mut self.inputs, &mut self.room, &mut desk.clock, &mut desk.statistics);
        let mut damaged = VecDeque::new();
        for input in &self.inputs {
            match input {
                Input::Rows(rows) => rows.trades.iter().try_for_each(|trade| self.sorter.push(trade))?,
                other => damaged.push_back(other.clone()),
            }
        }
        desk.room.take(damaged.len());
        inputs.append(&mut damaged);
        Ok(more)
    }
}

/// The first row of a block whose id is not the next one.
fn break_in(trades: &[AggTrade], next_id: Option<i64>) -> Option<usize> {
    let first = trades.first()?;
    if next_id.is_some_and(|next| first.id.0 != next) {
        return Some(0);
    }
    let follows = |pair: &[AggTrade]| pair[0].id.0.checked_add(1) == Some(pair[1].id.0);
    trades.windows(2).position(|pair| !follows(pair)).map(|before| before + 1)
}
