//! Which part of what is replayed is told, and how many of its trades count.

use super::Processor;
use super::run_state::RunState;
use crate::source::Input;

/// How many trades this process has applied, of those that a recording goes on from none.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    /// By the pipelines before.
    before: u64,
    /// The pipeline's own count where this one began.
    base: u64,
}

impl Counted {
    /// The trades that count, of a pipeline that has applied so many.
    pub(super) fn of(self, applied: u64) -> u64 {
        self.before.saturating_add(applied.saturating_sub(self.base))
    }

    /// What the pipeline's own count is once `count` trades count.
    pub(super) fn limit(self, count: u64) -> u64 {
        self.base.saturating_add(count.saturating_sub(self.before))
    }

    /// What comes after `applied` trades of the pipeline counts again, or what comes after `restored` ones of another.
    pub(super) fn go_on(&mut self, restored: u64) {
        self.base = restored;
    }

    /// What the pipeline has applied counts; what comes now is told later.
    pub(super) fn add(&mut self, applied: u64) {
        *self = Self { before: self.of(applied), base: applied };
    }
}

impl Processor<'_> {
    /// Whether the records are to begin with this input.
    #[inline]
    pub(super) fn end_silence(&mut self, input: &Input, state: &mut RunState) {
        if state.is_silent
            && let Some(until) = self.silent_until
            && input.at().is_some_and(|at| at.wall_ns >= until)
        {
            self.silence(false, state);
            state.counted.go_on(self.pipeline.counts().applied);
            self.limit_count(state);
        }
    }

    pub(super) fn silence(&mut self, is_silent: bool, state: &mut RunState) {
        state.is_silent = is_silent;
        self.reporter.silence(is_silent);
    }

    /// Has the pipeline stop where enough trades are counted, within a block too.
    pub(super) fn limit_count(&mut self, state: &RunState) {
        let count = self.count.filter(|_| !state.is_silent);
        self.pipeline.stop_after(count.map_or(u64::MAX, |count| state.counted.limit(count)));
    }

    pub(super) fn has_counted_enough(&self, state: &RunState) -> bool {
        let is_enough = |count| state.counted.of(self.pipeline.counts().applied) >= count;
        !state.is_silent && self.count.is_some_and(is_enough)
    }
}
