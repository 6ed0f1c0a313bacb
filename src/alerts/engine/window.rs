//! What a number was a while ago.

use std::collections::VecDeque;
use std::time::Duration;

/// The most samples of a window.
pub(super) const SLOTS: usize = 60;

/// Remembers a number over a span of time, one sample for each sixtieth of it, and none while it stands still.
#[derive(Debug)]
pub(super) struct Window<T> {
    span: u64,
    /// The oldest first; when, by the monotonic clock.
    samples: VecDeque<(u64, T)>,
}

impl<T: Copy + PartialEq> Window<T> {
    /// Over this span; remembers nothing yet.
    pub(super) fn new(span: Duration) -> Self {
        let span = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self { span: span.max(SLOTS as u64), samples: VecDeque::new() }
    }

    /// The same, of a number that was this until now.
    pub(super) fn from(span: Duration, at: u64, value: T) -> Self {
        let mut window = Self::new(span);
        window.samples.push_back((at, value));
        window
    }

    /// What it was at the beginning of the window that ends now, within a sixtieth of it; where less is remembered, the
    /// first of that. It is `value` now.
    pub(super) fn before(&mut self, at: u64, value: T) -> T {
        while self.samples.get(1).is_some_and(|(next, _)| next.saturating_add(self.span) <= at) {
            self.samples.pop_front();
        }
        let before = self.samples.front().map_or(value, |(_, first)| *first);
        let slot = |at: u64| at / (self.span / SLOTS as u64);
        let is_settled = self.samples.len() > 1;
        match self.samples.back_mut() {
            Some((_, last)) if *last == value => {}
            // The first one stays: it says what was before.
            Some(last) if is_settled && slot(last.0) == slot(at) => *last = (at, value),
            _ => {
                if self.samples.len() == SLOTS {
                    self.samples.pop_front();
                }
                self.samples.push_back((at, value));
            }
        }
        before
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.samples.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn it_tells_what_was_a_minute_ago_to_the_second() {
        let mut window = Window::new(Duration::from_secs(60));
        for second in 0..300u64 {
            let before = window.before(second * SECOND, second);
            assert_eq!(before, second.saturating_sub(60), "at {second}");
        }
    }

    #[test]
    fn what_stands_still_is_remembered_by_one_sample() {
        let mut window = Window::new(Duration::from_secs(60));
        for second in 0..300u64 {
            assert_eq!(window.before(second * SECOND, 7), 7);
        }
        assert_eq!(window.samples.len(), 1);
        assert_eq!(window.before(300 * SECOND, 9), 7);
        assert_eq!(window.before(359 * SECOND, 9), 7);
        assert_eq!(window.before(361 * SECOND, 9), 9);
    }

    proptest! {
        #[test]
        fn it_is_bounded_and_as_old_as_it_says_whatever_the_pace(
            span in 1u64..5_000,
            steps in prop::collection::vec((1u64..40_000, any::<bool>()), 1..300),
        ) {
            // Thousandths of a second; the value is the time of its last change.
            let unit = SECOND / 1_000;
            let mut window = Window::new(Duration::from_millis(span * 60));
            let mut changes: Vec<(u64, u64)> = Vec::new();
            let (mut at, mut value) = (0, 0);
            for (step, moves) in steps {
                at += step;
                if moves || changes.is_empty() {
                    value = at;
                    changes.push((at, value));
                }
                let before = window.before(at * unit, value);
                prop_assert!(window.samples.len() <= SLOTS);
                let at_most = |age: u64| changes.iter().rev().find(|(then, _)| then + age <= at);
                // Not younger than the window less two slots, not older than it and two slots, as far as there was any.
                let (youngest, oldest) = (span * 58, span * 62);
                let newest_allowed = at_most(youngest).map_or(changes[0].1, |change| change.1);
                let oldest_allowed = at_most(oldest).map_or(changes[0].1, |change| change.1);
                prop_assert!(before <= newest_allowed, "{before} is too young at {at}");
                prop_assert!(oldest_allowed <= before, "{before} is too old at {at}");
            }
        }
    }
}
