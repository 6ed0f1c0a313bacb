//! How long to wait before the next connection: pure arithmetic, time and dice are arguments.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The first wait's ceiling.
pub const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The ceiling d of the wait after `attempt` failures in a row (from 0): 1 s, 2 s, 4 s … `max`.
pub fn ceiling(attempt: u32, max: Duration) -> Duration {
    // 2^20 s is twelve days; no maximum lies beyond it.
    FIRST_WAIT.saturating_mul(1 << attempt.min(20)).min(max)
}

/// The wait itself, evenly between half the ceiling and the ceiling, so that many clients that lost the
/// same server do not come back as one. `roll` is 0 to 1.
pub fn wait(ceiling: Duration, roll: f64) -> Duration {
    let half = ceiling / 2;
    half + half.mul_f64(roll.clamp(0.0, 1.0))
}

/// The wait where the exchange asks for patience: never shorter than that, and up to a tenth longer, so that
/// everyone it sent away does not come back at the same moment. `roll` is 0 to 1.
pub fn patient(patience: Duration, roll: f64) -> Duration {
    patience + patience.mul_f64(roll.clamp(0.0, 1.0) / 10.0)
}

/// At most so many connections in any such stretch of time; the exchange bans at 300 per 5 minutes.
pub const CONNECTIONS: usize = 240;
/// The stretch that [`CONNECTIONS`] counts in.
pub const CONNECTIONS_WITHIN: Duration = Duration::from_secs(300);

/// Keeps below the exchange's limit on connection attempts, whatever else happens. A handle: clones share one
/// budget, and feeds of one address should (see [`Live::with_budget`](super::Live::with_budget)).
#[derive(Debug, Clone)]
pub struct ConnectionBudget {
    most: usize,
    within: Duration,
    attempts: Arc<Mutex<VecDeque<Instant>>>,
}

impl Default for ConnectionBudget {
    /// [`CONNECTIONS`] in [`CONNECTIONS_WITHIN`].
    fn default() -> Self {
        Self::of(CONNECTIONS, CONNECTIONS_WITHIN)
    }
}

impl ConnectionBudget {
    /// At most so many connections (at least 1) in any stretch of this length: for a relay of your own, whose limits are
    /// not the exchange's.
    pub fn of(most: usize, within: Duration) -> Self {
        Self { most: most.max(1), within, attempts: Arc::default() }
    }

    /// Takes one attempt out of the budget and tells how long to wait before making it.
    pub fn take(&self, now: Instant) -> Duration {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut at = now;
        // What has long passed counts no more; there may be room for very many.
        while attempts.len() > CONNECTIONS
            && attempts.front().is_some_and(|oldest| *oldest + self.within <= now)
        {
            attempts.pop_front();
        }
        if attempts.len() >= self.most
            && let Some(oldest) = attempts.pop_front()
        {
            at = at.max(oldest + self.within);
        }
        attempts.push_back(at);
        at - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_ceiling_doubles_from_one_second_and_stays_at_the_maximum() {
        let seconds = |attempt| ceiling(attempt, Duration::from_secs(30)).as_secs();
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 31, u32::MAX].map(seconds), [1, 2, 4, 8, 16, 30, 30, 30, 30]);
    }

    #[test]
    fn a_maximum_below_one_second_holds() {
        assert_eq!(ceiling(0, Duration::from_millis(20)), Duration::from_millis(20));
    }

    #[test]
    fn patience_is_never_shorter_than_asked_for_and_at_most_a_tenth_longer() {
        let minute = Duration::from_secs(60);
        assert_eq!(patient(minute, 0.0), minute);
        assert_eq!(patient(minute, 0.5), Duration::from_secs(63));
        assert_eq!(patient(minute, 1.0), Duration::from_secs(66));
        assert_eq!(patient(minute, 7.0), Duration::from_secs(66));
    }

    #[test]
    fn clones_of_a_budget_spend_the_same_attempts() {
        let now = Instant::now();
        let (one, own) = (ConnectionBudget::default(), ConnectionBudget::default());
        let other = one.clone();
        for _ in 0..CONNECTIONS / 2 {
            assert_eq!([one.take(now), other.take(now)], [Duration::ZERO; 2]);
        }
        assert_eq!(one.take(now), CONNECTIONS_WITHIN);
        assert_eq!(other.take(now), CONNECTIONS_WITHIN);
        assert_eq!(own.take(now), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn a_wait_lies_between_half_the_ceiling_and_the_ceiling(
            attempt in any::<u32>(), max in 1u64..3_600_000, roll in 0.0f64..=1.0,
        ) {
            let top = ceiling(attempt, Duration::from_millis(max));
            let wait = wait(top, roll);
            prop_assert!(wait >= top / 2 && wait <= top);
        }

        #[test]
        fn no_stretch_of_five_minutes_sees_more_connections_than_allowed(
            pauses in prop::collection::vec(0u64..3_000, 300..900),
        ) {
            let budget = ConnectionBudget::default();
            let (mut now, mut made) = (Instant::now(), Vec::new());
            for pause in pauses {
                now += Duration::from_millis(pause);
                now += budget.take(now);
                made.push(now);
            }
            for window in made.windows(CONNECTIONS + 1) {
                prop_assert!(window[CONNECTIONS] - window[0] >= CONNECTIONS_WITHIN);
            }
        }
    }
}
