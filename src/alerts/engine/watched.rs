//! What a rule knows of one symbol, shard or run: whether it fires.

use super::memory::Memory;
use crate::alerts::measure::Measure;
use crate::alerts::notice::What;
use crate::alerts::rule::Rule;

/// Calm, beyond the bound for a while, or firing.
#[derive(Debug)]
pub(super) struct Watched {
    /// What its value is made of.
    pub(super) memory: Memory,
    state: State,
    /// When it fired last, by the monotonic clock.
    fired_at: Option<u64>,
    seen: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Calm,
    /// Beyond the bound since then.
    Crossed(u64),
    /// Until the value is back.
    Firing,
}

impl Watched {
    pub(super) fn new(memory: Memory) -> Self {
        Self { memory, state: State::Calm, fired_at: None, seen: 0 }
    }

    pub(super) fn is_firing(&self) -> bool {
        matches!(self.state, State::Firing)
    }

    pub(super) fn was_seen(&self, look: u64) -> bool {
        self.seen == look
    }

    /// The value at a moment; `None`: not known, which neither fires nor resolves anything.
    pub(super) fn step(&mut self, rule: &Rule, value: Option<Measure>, at: u64, look: u64) -> Option<What> {
        self.seen = look;
        let (state, what) = self.next(rule, value, at);
        self.state = state;
        if what == Some(What::Fired) {
            self.fired_at = Some(at);
        }
        what
    }

    fn next(&self, rule: &Rule, value: Option<Measure>, at: u64) -> (State, Option<What>) {
        let crossed = value.is_some_and(|value| rule.bound.is_crossed(value));
        match (self.state, value) {
            (State::Firing, Some(value)) if rule.bound.is_back(value, rule.rearm) => {
                (State::Calm, Some(What::Resolved))
            }
            (State::Firing, _) => (State::Firing, None),
            (_, _) if !crossed => (State::Calm, None),
            (state, _) => {
                let since = if let State::Crossed(since) = state { since } else { at };
                if u128::from(at.saturating_sub(since)) < rule.hold.as_nanos() || self.is_cooling(rule, at) {
                    return (State::Crossed(since), None);
                }
                let then = if rule.on.is_momentary() { State::Calm } else { State::Firing };
                (then, Some(What::Fired))
            }
        }
    }

    fn is_cooling(&self, rule: &Rule, at: u64) -> bool {
        self.fired_at.is_some_and(|fired| u128::from(at.saturating_sub(fired)) < rule.cooldown.as_nanos())
    }
}
