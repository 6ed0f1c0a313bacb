//! Several sorted runs as one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::io;

use super::run::{Run, RunReader};
use crate::trade::AggTrade;

/// Merges runs; of one id, the trade of the earlier run comes first.
#[derive(Debug)]
pub(in crate::replay) struct Merge {
    runs: Vec<RunReader>,
    /// The first trade of each run that has one.
    heads: BinaryHeap<Reverse<Head>>,
}

#[derive(Debug, Clone, Copy)]
struct Head {
    run: usize,
    trade: AggTrade,
}

impl Head {
    fn key(&self) -> (i64, usize) {
        (self.trade.id.0, self.run)
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Head {}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl Merge {
    /// Of these runs, oldest first, within so much memory for their buffers.
    pub(super) fn of(runs: Vec<Run>, memory: u64) -> io::Result<Self> {
        let share = usize::try_from(memory).unwrap_or(usize::MAX) / runs.len().max(1);
        let buffer = share.clamp(4 * 1024, 256 * 1024);
        let mut merge = Self { runs: Vec::with_capacity(runs.len()), heads: BinaryHeap::new() };
        for (number, run) in runs.into_iter().enumerate() {
            let mut reader = run.read(buffer)?;
            if let Some(trade) = reader.next()? {
                merge.heads.push(Reverse(Head { run: number, trade }));
            }
            merge.runs.push(reader);
        }
        Ok(merge)
    }

    pub(super) fn next(&mut self) -> io::Result<Option<AggTrade>> {
        let Some(mut head) = self.heads.peek_mut() else { return Ok(None) };
        let Head { run, trade } = head.0;
        match self.runs[run].next()? {
            Some(next) => head.0.trade = next,
            None => drop(PeekMut::pop(head)),
        }
        Ok(Some(trade))
    }
}
