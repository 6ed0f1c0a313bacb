//! What is counted of requests, for the metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::guard::Refusal;

/// Statuses that are answered with; others count as the last.
pub(super) const CODES: [u16; 8] = [200, 400, 401, 403, 404, 405, 503, 500];

/// What is counted of requests.
#[derive(Debug, Default)]
pub(super) struct Counts {
    codes: [AtomicU64; CODES.len()],
    refused: [AtomicU64; Refusal::ALL.len()],
    /// Connections that were closed at once, because there were too many.
    pub(super) turned_away: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) listening: AtomicU64,
    /// Listeners that fell behind what is kept, or took nothing for too long.
    pub(super) too_slow: AtomicU64,
}

impl Counts {
    pub(super) fn answered(&self, status: u16) {
        let at = CODES.iter().position(|code| *code == status).unwrap_or(CODES.len() - 1);
        self.codes[at].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, refusal: Refusal) {
        self.refused[refusal as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Requests by status.
    pub(super) fn codes(&self) -> impl Iterator<Item = (u16, u64)> {
        CODES.into_iter().zip(self.codes.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// Requests that were refused, by reason.
    pub(super) fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let reasons = Refusal::ALL.into_iter().map(Refusal::as_str);
        let counted = reasons.zip(self.refused.iter().map(|count| count.load(Ordering::Relaxed)));
        counted.chain(std::iter::once(("too_many", self.turned_away.load(Ordering::Relaxed))))
    }
}

/// Counts something as long as it lasts.
#[derive(Debug)]
pub(super) struct Lasting {
    counts: Arc<Counts>,
    counter: fn(&Counts) -> &AtomicU64,
}

impl Lasting {
    /// One more, unless there are `most` of them already.
    pub(super) fn begin(counts: &Arc<Counts>, counter: fn(&Counts) -> &AtomicU64, most: u64) -> Option<Self> {
        let more = |now: u64| (now < most).then_some(now + 1);
        counter(counts).fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Self { counts: Arc::clone(counts), counter })
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        (self.counter)(&self.counts).fetch_sub(1, Ordering::Relaxed);
    }
}
