//! How fast connections follow one another, and when each of many is replaced: pure arithmetic, time is an argument.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Connections of several shards are opened at least this far apart.
pub const BETWEEN_CONNECTIONS: Duration = Duration::from_millis(250);

/// Keeps connections of several shards apart. A handle: clones share one pace, and feeds of one process should
/// (see [`Live::with_pace`](super::Live::with_pace)).
#[derive(Debug, Clone)]
pub struct ConnectionPace {
    every: Duration,
    /// The next may be opened then.
    free_at: Arc<Mutex<Option<Instant>>>,
}

impl Default for ConnectionPace {
    /// [`BETWEEN_CONNECTIONS`].
    fn default() -> Self {
        Self::of(BETWEEN_CONNECTIONS)
    }
}

impl ConnectionPace {
    /// At least this far apart.
    pub fn of(every: Duration) -> Self {
        Self { every, free_at: Arc::default() }
    }

    /// Takes the next free moment and tells how far off it is. In the order of asking.
    pub fn take(&self, now: Instant) -> Duration {
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let at = free_at.map_or(now, |free_at| free_at.max(now));
        *free_at = Some(at + self.every);
        at - now
    }

    /// A connection is opened now, whatever the pace.
    pub fn pass(&self, now: Instant) {
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        *free_at = (*free_at).max(Some(now + self.every));
    }
}

/// How long before `age` the line number `line` of `lines` is replaced: up to a twentieth of it, or a minute for each
/// line if that is more, up to half of it. Lines that were opened together are as far apart in it as can be; `roll` (0
/// to 1, the same for all lines) keeps those of many processes apart.
pub(super) fn ahead_of_age(age: Duration, line: usize, lines: usize, roll: f64) -> Duration {
    /// The golden ratio's fraction: its multiples, taken modulo 1, stay well apart however many there are.
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let minutes = Duration::from_secs(60).saturating_mul(u32::try_from(lines).unwrap_or(u32::MAX));
    let window = (age / 20).max(if lines > 1 { minutes } else { Duration::ZERO }).min(age / 2);
    window.mul_f64((roll.clamp(0.0, 1.0) + line as f64 * GOLDEN).fract())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_goes_at_once_and_the_others_follow_in_order() {
        let (pace, now) = (ConnectionPace::default(), Instant::now());
        let waits: Vec<_> = (0..4).map(|_| pace.clone().take(now).as_millis()).collect();
        assert_eq!(waits, [0, 250, 500, 750]);
        assert_eq!(pace.take(now + Duration::from_secs(2)), Duration::ZERO);
        assert_eq!(pace.take(now + Duration::from_millis(2_100)).as_millis(), 150);
    }

    #[test]
    fn a_connection_that_does_not_ask_still_keeps_the_next_one_away() {
        let (pace, now) = (ConnectionPace::default(), Instant::now());
        pace.pass(now);
        pace.pass(now);
        assert_eq!(pace.take(now).as_millis(), 250);
        pace.pass(now);
        assert_eq!(pace.take(now).as_millis(), 500, "what was taken stays taken");
    }

    #[test]
    fn one_line_is_replaced_up_to_a_twentieth_before_its_time() {
        let hour = Duration::from_secs(3_600);
        assert_eq!(ahead_of_age(hour, 0, 1, 0.0), Duration::ZERO);
        assert_eq!(ahead_of_age(hour, 0, 1, 0.5), Duration::from_secs(90));
        assert!(ahead_of_age(hour, 0, 1, 1.0) <= hour / 20);
    }

    proptest! {
        #[test]
        fn connections_are_never_closer_than_the_pace(
            pauses in prop::collection::vec((0u64..600, any::<bool>()), 1..200),
        ) {
            let pace = ConnectionPace::default();
            let (mut now, mut opened) = (Instant::now(), Vec::new());
            for (pause, asks) in pauses {
                now += Duration::from_millis(pause);
                if asks {
                    opened.push(now + pace.take(now));
                } else {
                    pace.pass(now);
                }
            }
            for pair in opened.windows(2) {
                prop_assert!(pair[1] - pair[0] >= BETWEEN_CONNECTIONS);
            }
        }

        #[test]
        fn lines_that_were_opened_together_do_not_come_due_together(lines in 2usize..=768, roll in 0.0f64..=1.0) {
            let age = Duration::from_secs(23 * 3_600);
            let mut due: Vec<_> = (0..lines).map(|line| ahead_of_age(age, line, lines, roll)).collect();
            due.sort();
            prop_assert!(due[lines - 1] <= age / 2);
            for pair in due.windows(2) {
                // A third of what a perfectly even spread would give, at the very least.
                prop_assert!(pair[1] - pair[0] >= Duration::from_secs(60).min(age / 2 / lines as u32) / 3, "{pair:?}");
            }
        }
    }
}
