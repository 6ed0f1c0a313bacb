//! How often something trades, and how long a silence of it means nothing.

use serde::{Deserialize, Serialize};

use std::time::Duration;

/// A silence of what has no known rate means nothing for so long.
pub const UNKNOWN_PATIENCE: Duration = Duration::from_secs(10);
/// No silence means anything before.
const SHORTEST: Duration = Duration::from_secs(2);
/// So many mean intervals without a trade are a silence.
const INTERVALS: u32 = 16;
/// The weight of one observation: an eighth.
const SHIFT: u32 = 3;
/// Observations before the rate counts as known.
const KNOWN: u32 = 4;
/// A pause beyond this is one interval; shorter ones are shared by the trades of the time.
const PAUSE: Duration = Duration::from_millis(1_500);

/// The mean interval between the trades of something, exponentially weighted, from looks about a second apart. A
/// pause counts in full however many trades end it, so that bursts do not make what is rare look frequent.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Rate {
    mean_ns: u64,
    observations: u32,
}

impl Rate {
    /// So many trades (at least one) came in the time since the trades before them.
    pub fn moved(&mut self, since: Duration, trades: u64) {
        let since_ns = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX >> 1);
        let interval = if since > PAUSE { since_ns } else { since_ns / trades.max(1) };
        self.mean_ns = match self.observations {
            0 => interval,
            _ => self.mean_ns - (self.mean_ns >> SHIFT) + (interval >> SHIFT),
        };
        self.observations = self.observations.saturating_add(1);
    }

    /// The mean interval; `None` while too little is known.
    pub fn mean(&self) -> Option<Duration> {
        (self.observations >= KNOWN).then(|| Duration::from_nanos(self.mean_ns))
    }

    /// How long a silence means nothing: 16 mean intervals, or 10 s while the rate is not known, but at least 2 s, and
    /// otherwise at most `longest`.
    pub fn patience(&self, longest: Duration) -> Duration {
        let wanted = self.mean().map_or(UNKNOWN_PATIENCE, |mean| mean.saturating_mul(INTERVALS));
        wanted.min(longest).max(SHORTEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(30);

    fn patience_after(looks: impl IntoIterator<Item = (f64, u64)>) -> f64 {
        let mut rate = Rate::default();
        looks.into_iter().for_each(|(since, trades)| rate.moved(Duration::from_secs_f64(since), trades));
        rate.patience(LONGEST).as_secs_f64()
    }

    #[test]
    fn patience_follows_the_rate_within_its_bounds() {
        let same = |since, trades, times| patience_after(std::iter::repeat_n((since, trades), times));
        for (told, expected) in [
            (patience_after([]), 10.0),
            (same(1.0, 50, 3), 10.0),
            (same(1.0, 50, 4), 2.0),
            (same(1.0, 4, 100), 4.0),
            (same(1.0, 1, 100), 16.0),
            (same(600.0, 1, 4), 30.0),
            // A hundred trades at once every half minute are no ten a second.
            (same(29.0, 100, 50), 30.0),
        ] {
            assert!((told - expected).abs() < 0.01, "{told} instead of {expected}");
        }
    }

    #[test]
    fn one_long_pause_of_something_lively_makes_patient_for_a_while_only() {
        let lively = || std::iter::repeat_n((1.0, 100), 50);
        let just_after = patience_after(lively().chain([(10.0, 1)]));
        assert!((19.0..=21.0).contains(&just_after), "{just_after}");
        assert!(patience_after(lively().chain([(10.0, 1)]).chain(lively())) < 3.0);
    }

    #[test]
    fn no_time_and_no_count_breaks_it() {
        let mut rate = Rate::default();
        (0..10).for_each(|_| rate.moved(Duration::MAX, 0));
        assert_eq!(rate.patience(LONGEST), LONGEST);
        (0..2_000).for_each(|_| rate.moved(Duration::ZERO, u64::MAX));
        assert_eq!(rate.patience(LONGEST), SHORTEST);
        assert_eq!(rate.patience(Duration::ZERO), SHORTEST);
    }
}
