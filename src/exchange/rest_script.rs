//! What the script wants of REST. The director writes it, the REST port reads it.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::limits::Limits;
use crate::units::AggTradeId;

/// Refusals that can be armed at once.
const MAX_REFUSALS: usize = 100_000;

/// The script's wishes, and what was counted. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct RestScript {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    refusals: VecDeque<(u16, Option<String>)>,
    cuts: u32,
    pub(super) shade: Shade,
    pub(super) slowness: Duration,
    pub(super) limits: Limits,
    /// By listing: ids that REST never has.
    lost: Vec<(usize, RangeInclusive<i64>)>,
}

/// How far REST is behind.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shade {
    /// So many of the newest ids of a symbol are not there yet.
    pub(super) ids: u64,
    /// Nor are trades made less than this ago.
    pub(super) time: Duration,
}

impl RestScript {
    pub(super) fn refuse(&self, status: u16, retry_after: Option<&str>, times: u32) {
        let mut state = self.lock();
        if times == 0 {
            state.refusals.clear();
        }
        let room = MAX_REFUSALS.saturating_sub(state.refusals.len());
        let refusal = (status, retry_after.map(String::from));
        state.refusals.extend(std::iter::repeat_n(refusal, room.min(times as usize)));
    }

    pub(super) fn cut(&self, times: u32) {
        self.lock().cuts = times;
    }

    pub(super) fn lose(&self, listing: usize, ids: RangeInclusive<i64>) {
        self.lock().lost.push((listing, ids));
    }

    /// The ids of a listing begin anew, and the lost ones with them.
    pub(super) fn begin_epoch(&self, listing: usize) {
        self.lock().lost.retain(|(other, _)| *other != listing);
    }

    pub(super) fn lost(&self, listing: usize) -> Vec<RangeInclusive<i64>> {
        let state = self.lock();
        state.lost.iter().filter(|(other, _)| *other == listing).map(|(_, ids)| ids.clone()).collect()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the state in hand, because nothing in it can")
    }
}

impl State {
    /// The next scripted refusal, which is used up.
    pub(super) fn next_refusal(&mut self) -> Option<(u16, Option<String>)> {
        self.refusals.pop_front()
    }

    /// Whether this answer is to be cut, which uses one cut up.
    pub(super) fn next_cut(&mut self) -> bool {
        let cut = self.cuts > 0;
        self.cuts -= u32::from(cut);
        cut
    }
}

/// Whether an id is in one of some ranges.
pub(super) fn within(ranges: &[RangeInclusive<i64>], id: AggTradeId) -> bool {
    ranges.iter().any(|range| range.contains(&id.0))
}
