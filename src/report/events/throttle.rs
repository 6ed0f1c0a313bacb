//! What keeps noisy warnings from drowning the log: each kind has a budget of its own, so that no flood of one
//! hides another.

use std::time::Duration;

use tokio::time::Instant;

/// Noisy warnings of one kind that pass in a second.
pub const PER_SECOND: u32 = 5;

const SECOND: Duration = Duration::from_secs(1);

/// The noisy occurrences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    ParseError,
    Damaged,
    BadPoint,
    Unrequested,
    ControlError,
    Evicted,
    Rest,
    FallingBehind,
    Suspicious,
    HandOver,
    Subscription,
    EmptyBars,
}

impl Kind {
    pub(super) const ALL: [Self; 12] = [
        Self::ParseError,
        Self::Damaged,
        Self::BadPoint,
        Self::Unrequested,
        Self::ControlError,
        Self::Evicted,
        Self::Rest,
        Self::FallingBehind,
        Self::Suspicious,
        Self::HandOver,
        Self::Subscription,
        Self::EmptyBars,
    ];

    /// What the line about suppressed ones calls them.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ParseError => "parse errors",
            Self::Damaged => "damaged rows",
            Self::BadPoint => "trades not counted",
            Self::Unrequested => "trades of symbols nobody asked for",
            Self::ControlError => "refused subscriptions",
            Self::Evicted => "dropped frames",
            Self::Rest => "failed requests to REST",
            Self::FallingBehind => "discarded trades",
            Self::Suspicious => "ids that make no sense",
            Self::HandOver => "failed hand-overs",
            Self::Subscription => "differing subscriptions",
            Self::EmptyBars => "empty bars left out",
        }
    }

    /// Data is lost or missing: told as an error.
    pub(super) const fn is_error(self) -> bool {
        matches!(self, Self::ControlError | Self::Evicted)
    }
}

/// One throttle for each kind.
#[derive(Debug, Default)]
pub(super) struct Throttles([Throttle; Kind::ALL.len()]);

impl Throttles {
    pub(super) fn of(&mut self, kind: Kind) -> &mut Throttle {
        &mut self.0[kind as usize]
    }

    pub(super) fn suppressed_in_all(&self) -> u64 {
        self.0.iter().map(|throttle| throttle.suppressed_in_all).sum()
    }
}

#[derive(Debug, Default)]
pub(super) struct Throttle {
    second: Option<Instant>,
    passed: u32,
    suppressed: u64,
    suppressed_in_all: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pass {
    Open { suppressed: u64 },
    Shut,
}

impl Throttle {
    pub(super) fn suppress(&mut self) {
        self.suppressed += 1;
        self.suppressed_in_all += 1;
    }

    pub(super) fn pass(&mut self, now: Instant) -> Pass {
        if self.second.is_none_or(|begun| now.saturating_duration_since(begun) >= SECOND) {
            self.second = Some(now);
            self.passed = 0;
        }
        if self.passed >= PER_SECOND {
            self.suppress();
            return Pass::Shut;
        }
        self.passed += 1;
        Pass::Open { suppressed: self.rest() }
    }

    /// What was suppressed in a second that is over, and not told yet.
    pub(super) fn rest_of_a_past_second(&mut self, now: Instant) -> u64 {
        let past = self.second.is_some_and(|begun| now.saturating_duration_since(begun) >= SECOND);
        if past { self.rest() } else { 0 }
    }

    /// What was suppressed and not told yet.
    pub(super) fn rest(&mut self) -> u64 {
        std::mem::take(&mut self.suppressed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_warnings_a_second_pass_and_the_next_second_tells_how_many_did_not() {
        let start = Instant::now();
        let mut throttle = Throttle::default();
        let at = |ms| start + Duration::from_millis(ms);
        let open = |suppressed| Pass::Open { suppressed };
        for ms in 0..5 {
            assert_eq!(throttle.pass(at(ms)), open(0));
        }
        assert_eq!(throttle.pass(at(500)), Pass::Shut);
        assert_eq!(throttle.pass(at(999)), Pass::Shut);
        assert_eq!(throttle.pass(at(1_000)), open(2));
        assert_eq!(throttle.pass(at(1_001)), open(0));
        assert_eq!(throttle.suppressed_in_all, 2);
    }

    #[test]
    fn what_was_suppressed_is_told_once_when_its_second_is_over() {
        let start = Instant::now();
        let mut throttle = Throttle::default();
        for _ in 0..8 {
            throttle.pass(start);
        }
        assert_eq!(throttle.rest_of_a_past_second(start + SECOND / 2), 0);
        assert_eq!(throttle.rest_of_a_past_second(start + SECOND), 3);
        assert_eq!(throttle.rest_of_a_past_second(start + SECOND * 2), 0);
    }

    #[test]
    fn every_kind_has_a_place_of_its_own() {
        for (at, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, at);
        }
    }
}
