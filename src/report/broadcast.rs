//! The records as JSON for whoever listens while the run goes on: numbered, in a ring that holds the last of them. Nobody
//! who listens can hold up the run; whoever is too slow finds that what it wants next is gone.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use crate::snapshot::{Instrument, Market};
use crate::units::Symbol;

/// Records that are kept.
pub const KEPT_RECORDS: usize = 16_384;
/// Bytes of records that are kept.
pub const KEPT_BYTES: usize = 8 * 1024 * 1024;
/// Gaps that are kept, besides.
pub const KEPT_GAPS: usize = 1_000;

/// Where the records of a run go to be listened to.
#[derive(Debug)]
pub struct Broadcast {
    /// What waits for the next flush.
    pending: Chunk,
    ring: Arc<Ring>,
}

/// A way to listen to the records of a run.
#[derive(Debug, Clone)]
pub struct Listener {
    ring: Arc<Ring>,
    moved: watch::Receiver<Moved>,
}

/// How far the records are.
#[derive(Debug, Clone, Copy, Default)]
struct Moved {
    last: u64,
    is_over: bool,
}

/// Records that were handed over together.
#[derive(Debug, Clone, Default)]
pub struct Chunk {
    /// The number of the first, from 1.
    first: u64,
    text: Vec<u8>,
    records: Vec<Told>,
}

/// A record of a chunk.
#[derive(Debug, Clone)]
struct Told {
    kind: &'static str,
    /// What it is of, if it is of one symbol.
    of: Option<Instrument>,
    end: usize,
}

/// A record as it is listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its number; the first of a run is 1.
    pub number: u64,
    /// Its type: `cvd`, `gap`, `state`, …
    pub kind: &'static str,
    /// What it is of, if it is of one symbol.
    pub of: Option<&'a Instrument>,
    /// One JSON object, without the end of the line.
    pub json: &'a str,
}

/// What there is from a number on.
#[derive(Debug, Clone)]
pub enum Heard {
    /// These, of which the first may begin before it; none if there are no later ones yet.
    Chunks(Vec<Arc<Chunk>>),
    /// Gone: the oldest that is kept has this number.
    Gone(u64),
}

#[derive(Debug)]
struct Ring {
    /// What the numbers belong to: they begin anew with each run.
    epoch: String,
    kept: Mutex<Kept>,
    moved: watch::Sender<Moved>,
}

#[derive(Debug, Default)]
struct Kept {
    chunks: VecDeque<Arc<Chunk>>,
    gaps: VecDeque<Arc<str>>,
    /// Gaps that were told in all.
    all_gaps: u64,
    records: usize,
    bytes: usize,
    /// The number of the last record.
    last: u64,
}

/// A ring that is empty, and a way to listen to it. The epoch says which run it is; letters and digits only.
pub fn broadcast(epoch: String) -> (Broadcast, Listener) {
    let (moved, listener) = watch::channel(Moved::default());
    let ring = Arc::new(Ring { epoch, kept: Mutex::default(), moved });
    let pending = Chunk { first: 1, ..Chunk::default() };
    (Broadcast { pending, ring: Arc::clone(&ring) }, Listener { ring, moved: listener })
}

impl Broadcast {
    /// Takes a record that is written elsewhere already.
    pub(super) fn copy(&mut self, kind: &'static str, of: Option<(Market, &Symbol)>, json: &[u8]) {
        self.write(kind, of, |into| into.extend_from_slice(json));
    }

    /// Takes a record that ends with the end of its line.
    pub(super) fn write(
        &mut self,
        kind: &'static str,
        of: Option<(Market, &Symbol)>,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let Chunk { text, records, .. } = &mut self.pending;
        write(text);
        let of = of.map(|(market, symbol)| Instrument::new(market, symbol.clone()));
        records.push(Told { kind, of, end: text.len() });
    }

    /// The number of the last record that was taken.
    pub(super) fn told(&self) -> u64 {
        self.pending.first + self.pending.records.len() as u64 - 1
    }

    /// Whether so much waits that it should be handed over now.
    #[inline]
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.records.is_empty()
    }

    /// Lets those who listen have what was taken.
    pub(super) fn flush(&mut self) {
        if !self.has_pending() {
            return;
        }
        let next = Chunk { first: self.told() + 1, ..Chunk::default() };
        let chunk = Arc::new(std::mem::replace(&mut self.pending, next));
        let mut kept = self.ring.lock();
        kept.take(chunk);
        let last = kept.last;
        drop(kept);
        self.ring.moved.send_modify(|moved| moved.last = last);
    }
}

impl Kept {
    fn take(&mut self, chunk: Arc<Chunk>) {
        for record in chunk.records().filter(|record| record.kind == "gap") {
            self.all_gaps += 1;
            self.gaps.push_back(record.json.into());
            if self.gaps.len() > KEPT_GAPS {
                self.gaps.pop_front();
            }
        }
        self.records += chunk.records.len();
        self.bytes += chunk.text.len();
        self.last = chunk.last();
        self.chunks.push_back(chunk);
        while (self.records > KEPT_RECORDS || self.bytes > KEPT_BYTES) && self.chunks.len() > 1 {
            let Some(oldest) = self.chunks.pop_front() else { break };
            self.records -= oldest.records.len();
            self.bytes -= oldest.text.len();
        }
    }
}

impl Ring {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("nothing panics while it holds this lock, because it only moves values")
    }
}

impl Chunk {
    /// The number of the last record.
    fn last(&self) -> u64 {
        self.first + self.records.len() as u64 - 1
    }

    /// Its records, in order.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let begins = std::iter::once(0).chain(self.records.iter().map(|told| told.end));
        (self.first..).zip(begins.zip(&self.records)).map(|(number, (begin, told))| {
            let line = std::str::from_utf8(&self.text[begin..told.end]).unwrap_or_default();
            Record { number, kind: told.kind, of: told.of.as_ref(), json: line.trim_end_matches('\n') }
        })
    }
}

impl Listener {
    /// Which run the numbers belong to.
    pub fn epoch(&self) -> &str {
        &self.ring.epoch
    }

    /// What there is from a number on.
    pub fn from(&self, number: u64) -> Heard {
        let kept = self.ring.lock();
        let oldest = kept.chunks.front().map_or(kept.last + 1, |chunk| chunk.first);
        if number < oldest {
            return Heard::Gone(oldest);
        }
        let later = kept.chunks.partition_point(|chunk| chunk.last() < number);
        Heard::Chunks(kept.chunks.range(later..).cloned().collect())
    }

    /// The last gaps as JSON, oldest first, and how many there were in all.
    pub fn gaps(&self) -> (Vec<Arc<str>>, u64) {
        let kept = self.ring.lock();
        (kept.gaps.iter().cloned().collect(), kept.all_gaps)
    }

    /// The number of the last record.
    pub fn last(&self) -> u64 {
        self.moved.borrow().last
    }

    /// Ready when there are records after this number; `false` if there will be none any more.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn beyond(&mut self, number: u64) -> bool {
        let moved = self.moved.wait_for(|moved| moved.last > number || moved.is_over).await;
        moved.is_ok_and(|moved| moved.last > number)
    }
}

impl Drop for Broadcast {
    /// What was taken is told, and that there will be no more.
    fn drop(&mut self) {
        self.flush();
        self.ring.moved.send_modify(|moved| moved.is_over = true);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heard(listener: &Listener, from: u64) -> Result<Vec<(u64, String)>, u64> {
        match listener.from(from) {
            Heard::Gone(oldest) => Err(oldest),
            Heard::Chunks(chunks) => Ok(chunks
                .iter()
                .flat_map(|chunk| chunk.records())
                .filter(|record| record.number >= from)
                .map(|record| (record.number, record.json.to_owned()))
                .collect()),
        }
    }

    proptest! {
        #[test]
        fn whoever_goes_on_from_a_number_hears_everything_after_it_once_or_that_it_is_gone(
            flushes in prop::collection::vec(0usize..700, 1..60),
            from in 1u64..25_000,
        ) {
            let (mut broadcast, listener) = broadcast("e".into());
            let mut number = 0;
            for records in flushes {
                for _ in 0..records {
                    number += 1;
                    broadcast.write("cvd", None, |into| into.extend_from_slice(format!("{number}\n").as_bytes()));
                }
                prop_assert_eq!(broadcast.told(), number);
                broadcast.flush();
            }
            match heard(&listener, from) {
                Ok(records) => {
                    let expected: Vec<_> = (from..=number).map(|n| (n, n.to_string())).collect();
                    prop_assert_eq!(records, expected);
                }
                Err(oldest) => {
                    prop_assert!(from < oldest && number - oldest >= KEPT_RECORDS as u64 - 700);
                    prop_assert_eq!(heard(&listener, oldest).unwrap().len() as u64, number + 1 - oldest);
                }
            }
        }
    }

    #[test]
    fn gaps_outlive_the_records_around_them_and_are_bounded_too() {
        let (mut broadcast, listener) = broadcast("e".into());
        for gap in 0..KEPT_GAPS + 5 {
            broadcast.write("gap", None, |into| into.extend_from_slice(format!("{gap}\n").as_bytes()));
            (0..20).for_each(|_| broadcast.copy("cvd", None, b"x\n"));
            broadcast.flush();
        }
        assert!(matches!(listener.from(1), Heard::Gone(_)));
        let (gaps, all) = listener.gaps();
        assert_eq!((gaps.len(), all, &*gaps[0]), (KEPT_GAPS, KEPT_GAPS as u64 + 5, "5"));
    }

    #[test]
    fn memory_is_bounded_in_bytes_whatever_the_records_are_like() {
        let (mut broadcast, listener) = broadcast("e".into());
        for _ in 0..100 {
            broadcast.write("final", None, |into| into.resize(into.len() + 1_000_000, b'x'));
            broadcast.flush();
        }
        assert!(listener.ring.lock().bytes <= KEPT_BYTES);
        assert_eq!(heard(&listener, 100).unwrap().len(), 1, "the newest is there");
    }

    #[tokio::test]
    async fn the_end_of_the_run_is_heard_and_so_is_what_was_told_before_it() {
        let (mut broadcast, mut listener) = broadcast("e".into());
        broadcast.copy("final", None, b"{}\n");
        drop(broadcast);
        assert!(listener.beyond(0).await);
        assert_eq!(heard(&listener, 1), Ok(vec![(1, "{}".to_owned())]));
        assert!(!listener.beyond(1).await);
    }
}
