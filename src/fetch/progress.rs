//! How far it is: counted by the downloads, shown by whoever likes to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::plan::Period;
use super::summary::Outcome;

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Progress {
    /// Files that are done, whatever became of them.
    pub files_done: u64,
    /// Files in all, as far as is known: a month that is missing is looked for in its days.
    pub files: u64,
    /// Bytes received since the start.
    pub received: u64,
    /// Bytes still to come, estimated by those of the days that are known; `None` before the first.
    pub left: Option<u64>,
    /// What went wrong last and is being tried again; `None` once bytes come.
    pub trouble: Option<Arc<str>>,
}

/// What the downloads count.
#[derive(Debug, Default)]
pub(super) struct Tally {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    received: u64,
    /// Of the files being read: bytes that are here, and of the whole.
    reading: BTreeMap<Period, (u64, Option<u64>)>,
    done: u64,
    /// Days of all files, and of those that are done.
    days: u64,
    days_done: u64,
    /// Days and bytes of the files whose length is known.
    known: (u64, u64),
    files: u64,
    trouble: Option<Arc<str>>,
}

impl Tally {
    /// There is one file more to get.
    pub(super) fn expect(&self, period: Period) {
        let mut inner = self.lock();
        inner.files += 1;
        inner.days += u64::from(period.days());
    }

    /// A file is being read, of which so many bytes are here.
    pub(super) fn at(&self, period: Period, here: u64, length: Option<u64>) {
        self.lock().reading.insert(period, (here, length));
    }

    /// More of it came.
    pub(super) fn received(&self, period: Period, bytes: u64) {
        let mut inner = self.lock();
        inner.received += bytes;
        inner.trouble = None;
        if let Some((here, _)) = inner.reading.get_mut(&period) {
            *here += bytes;
        }
    }

    /// Something went wrong that is going to be tried again.
    pub(super) fn trouble(&self, why: &str) {
        self.lock().trouble = Some(why.into());
    }

    /// A file is done.
    pub(super) fn done(&self, period: Period, outcome: &Outcome) {
        let mut inner = self.lock();
        inner.reading.remove(&period);
        inner.done += 1;
        inner.days_done += u64::from(period.days());
        if let Outcome::Fetched { length } | Outcome::AlreadyThere { length } = outcome {
            inner.known.0 += u64::from(period.days());
            inner.known.1 += length;
        }
    }

    pub(super) fn progress(&self) -> Progress {
        let inner = self.lock();
        Progress {
            files_done: inner.done,
            files: inner.files,
            received: inner.received,
            left: inner.left(),
            trouble: inner.trouble.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn left(&self) -> Option<u64> {
        let (mut days, mut bytes) = self.known;
        let mut unknown = self.days.saturating_sub(self.days_done);
        let mut left = 0;
        for (period, (here, length)) in &self.reading {
            let Some(length) = length else { continue };
            let of_file = u64::from(period.days());
            (days, bytes) = (days + of_file, bytes + length);
            unknown = unknown.saturating_sub(of_file);
            left += length.saturating_sub(*here);
        }
        if unknown == 0 {
            return Some(left);
        }
        let of_unknown = u128::from(bytes) * u128::from(unknown) / u128::from((days > 0).then_some(days)?);
        Some(left.saturating_add(u64::try_from(of_unknown).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::Day;

    #[test]
    fn what_is_still_to_come_is_estimated_by_the_days_that_are_known() {
        let day = |text| Day::parse(text).unwrap();
        let (month, first, second) =
            (Period::Month(day("2024-04-01").month()), day("2024-05-01"), day("2024-05-02"));
        let tally = Tally::default();
        [month, Period::Day(first), Period::Day(second)].into_iter().for_each(|period| tally.expect(period));
        assert_eq!(tally.progress(), Progress { files: 3, ..Progress::default() });
        tally.at(Period::Day(first), 0, Some(1_000));
        tally.trouble("it broke off");
        assert_eq!(tally.progress().trouble.as_deref(), Some("it broke off"));
        tally.received(Period::Day(first), 400);
        assert_eq!(tally.progress().trouble, None);
        // 600 of the first day, and 31 days more.
        assert_eq!(tally.progress().left, Some(600 + 31_000));
        tally.done(Period::Day(first), &Outcome::Fetched { length: 1_000 });
        tally.done(Period::Day(second), &Outcome::Absent);
        assert_eq!(tally.progress().left, Some(30_000));
        tally.at(month, 5_000, Some(6_000));
        tally.received(month, 500);
        let progress = tally.progress();
        assert_eq!((progress.files_done, progress.received, progress.left), (2, 900, Some(500)));
        tally.done(month, &Outcome::Fetched { length: 6_000 });
        assert_eq!(tally.progress().left, Some(0));
    }
}
