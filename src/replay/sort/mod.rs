//! Sorts trades by id within a bound of memory: what does not fit is spilled to temporary files in sorted
//! runs, which are merged afterwards. Trades of one id keep the order in which they came.

mod merge;
mod row;
mod run;
#[cfg(test)]
pub(crate) mod samples;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use merge::Merge;
use run::{Run, RunWriter};

use crate::text::shown;
use crate::trade::AggTrade;

/// Runs that are merged at once.
const FAN_IN: usize = 64;
/// Fewer trades in memory make more files than there is sense in.
const LEAST_ROWS: usize = 1024;

/// Where, and within how much memory.
#[derive(Debug, Clone)]
pub(super) struct SortRoom {
    /// Bytes that the trades may take, the room for sorting them included.
    pub(super) memory: u64,
    /// Where runs are kept.
    pub(super) temp_dir: Arc<Path>,
    /// Runs that are merged at once.
    fan_in: usize,
    /// Trades of a run.
    rows: usize,
}

impl SortRoom {
    pub(super) fn new(memory: u64, temp_dir: &Path) -> Self {
        // Sorting needs half of it again; the readers of runs come after that and need less.
        let bytes = usize::try_from(memory).unwrap_or(usize::MAX) / 3 * 2;
        let rows = (bytes / size_of::<AggTrade>()).max(LEAST_ROWS);
        Self { memory, temp_dir: temp_dir.into(), fan_in: FAN_IN, rows }
    }

    /// Bytes in the temporary directory that so many trades take; 0 if they fit the memory.
    pub(super) fn on_disk(&self, rows: u64) -> u64 {
        if rows <= self.rows as u64 { 0 } else { rows.saturating_mul(row::LENGTH) }
    }
}

/// Trades cannot be sorted.
#[derive(Debug, thiserror::Error)]
#[error("{what} in the directory for temporary files, {}", shown(.directory))]
pub(super) struct SortError {
    what: &'static str,
    directory: PathBuf,
    #[source]
    pub(super) cause: io::Error,
}

impl SortError {
    fn new(directory: &Path, cause: io::Error) -> Self {
        let what = match cause.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                "there is no room left"
            }
            _ => "rows cannot be sorted",
        };
        Self { what, directory: directory.to_owned(), cause }
    }
}

/// Takes trades in any order.
#[derive(Debug)]
pub(super) struct Sorter {
    room: SortRoom,
    rows: Vec<AggTrade>,
    /// By level: a run of one is made of `fan_in` runs of the level below; older runs come first.
    levels: Vec<Vec<Run>>,
}

impl Sorter {
    pub(super) fn new(room: SortRoom) -> Self {
        Self { room, rows: Vec::new(), levels: Vec::new() }
    }

    /// Takes one more.
    pub(super) fn push(&mut self, trade: &AggTrade) -> Result<(), SortError> {
        if self.rows.len() == self.rows.capacity() {
            // Doubling, but never beyond the bound.
            let left = self.room.rows.saturating_sub(self.rows.len());
            let more = self.rows.len().max(LEAST_ROWS).min(left.max(1));
            self.rows.reserve_exact(more);
        }
        self.rows.push(*trade);
        if self.rows.len() >= self.room.rows { self.spill() } else { Ok(()) }
    }

    /// Nothing more comes.
    pub(super) fn finish(mut self) -> Result<Sorted, SortError> {
        if self.levels.is_empty() {
            self.rows.sort_by_key(|trade| trade.id);
            return Ok(Sorted::InMemory(std::mem::take(&mut self.rows).into_iter()));
        }
        if !self.rows.is_empty() {
            self.spill()?;
        }
        self.rows = Vec::new();
        let runs: Vec<_> = self.levels.into_iter().rev().flatten().collect();
        Merge::of(runs, self.room.memory)
            .map(|merge| Sorted::OnDisk(Box::new(merge), Arc::clone(&self.room.temp_dir)))
            .map_err(|cause| SortError::new(&self.room.temp_dir, cause))
    }

    /// Writes what is in memory as a run; merges runs when there are enough of them, so that files stay few.
    fn spill(&mut self) -> Result<(), SortError> {
        self.try_spill().map_err(|cause| SortError::new(&self.room.temp_dir, cause))
    }

    fn try_spill(&mut self) -> io::Result<()> {
        self.rows.sort_by_key(|trade| trade.id);
        let mut writer = RunWriter::create(&self.room.temp_dir)?;
        for trade in &self.rows {
            writer.push(trade)?;
        }
        self.rows.clear();
        let mut run = writer.finish()?;
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            self.levels[level].push(run);
            if self.levels[level].len() < self.room.fan_in {
                break;
            }
            let mut merge = Merge::of(std::mem::take(&mut self.levels[level]), self.room.memory)?;
            let mut writer = RunWriter::create(&self.room.temp_dir)?;
            while let Some(trade) = merge.next()? {
                writer.push(&trade)?;
            }
            run = writer.finish()?;
        }
        Ok(())
    }
}

/// Trades in the order of their ids.
#[derive(Debug)]
pub(super) enum Sorted {
    InMemory(std::vec::IntoIter<AggTrade>),
    OnDisk(Box<Merge>, Arc<Path>),
}

impl Sorted {
    /// The next one.
    pub(super) fn next(&mut self) -> Result<Option<AggTrade>, SortError> {
        match self {
            Self::InMemory(trades) => Ok(trades.next()),
            Self::OnDisk(merge, directory) => merge.next().map_err(|cause| SortError::new(directory, cause)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::trade;
    use super::*;
    use proptest::prelude::*;

    fn room(rows: usize, fan_in: usize) -> SortRoom {
        SortRoom { rows, fan_in, ..SortRoom::new(0, &std::env::temp_dir()) }
    }

    fn sorted(room: SortRoom, trades: &[AggTrade]) -> Vec<AggTrade> {
        let mut sorter = Sorter::new(room);
        trades.iter().for_each(|trade| sorter.push(trade).unwrap());
        let mut sorted = sorter.finish().unwrap();
        std::iter::from_fn(|| sorted.next().unwrap()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_trades_come_out_as_a_stable_sort_would_have_them(
            ids in prop::collection::vec((0i64..80, any::<i64>()), 0..300),
            rows in 1usize..40,
            fan_in in 2usize..5,
        ) {
            let trades: Vec<_> = ids.iter().map(|(id, at)| trade(*id, *at)).collect();
            let mut expected = trades.clone();
            expected.sort_by_key(|trade| trade.id);
            prop_assert_eq!(sorted(room(rows, fan_in), &trades), expected);
        }
    }

    #[test]
    fn what_fits_the_memory_needs_no_directory() {
        let nowhere = SortRoom { rows: 3, ..SortRoom::new(0, Path::new("/nowhere/at/all")) };
        let two = [trade(2, 0), trade(1, 0)];
        assert_eq!(sorted(nowhere.clone(), &two)[0].id.0, 1);
        let mut sorter = Sorter::new(nowhere);
        sorter.push(&two[0]).unwrap();
        sorter.push(&two[1]).unwrap();
        let error = sorter.push(&trade(0, 0)).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    }

    #[test]
    fn the_size_on_disk_is_that_of_the_rows() {
        assert_eq!(room(10, 2).on_disk(10), 0);
        assert_eq!(room(10, 2).on_disk(11), 11 * row::LENGTH);
    }
}
