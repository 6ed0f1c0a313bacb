//! When a market trades: at random, several trades at once, and now and then everything together. Pure: time is what
//! it gives, not what it takes.

use std::time::Duration;

/// Mean time between the ends and beginnings of surges.
const CALM: f64 = 3.0;
/// How long a surge lasts, in seconds.
const SURGE: (f64, f64) = (0.05, 0.15);
/// How much faster than the calm market a surge is.
const FORCE: (f64, f64) = (5.0, 10.0);
/// Surges bring so many trades for each that the calm brings.
const SURGED: f64 = (SURGE.0 + SURGE.1) / 2.0 * (FORCE.0 + FORCE.1) / 2.0 / CALM;
/// The share of time that is calm.
const CALM_SHARE: f64 = CALM / (CALM + (SURGE.0 + SURGE.1) / 2.0);
/// One event in four is of several trades.
const SEVERAL: u8 = 4;
/// So many at the most.
const MOST: u32 = 5;
/// Trades per event in the mean: one, or two to five.
const TRADES: f64 = (3.0 + 3.5) / 4.0;

/// The moments of a market with so many trades a second in the mean; the same seed gives the same moments.
///
/// Events come at random (their pauses are exponential). Three in four are one trade, the others two to five of one
/// symbol at the same moment. About every three seconds the whole market trades five to ten times as fast for 50 to
/// 150 ms.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    random: fastrand::Rng,
    /// Events per second while it is calm.
    calm: f64,
    /// Seconds since the beginning.
    at: f64,
    /// The present surge, or the next.
    surge: (f64, f64),
    force: f64,
}

/// Something happens in the market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// When, from the beginning.
    pub(super) at: Duration,
    /// How many trades there are of one symbol.
    pub(super) trades: u32,
}

impl Pace {
    pub(super) fn new(seed: u64, per_second: u32) -> Self {
        let mut random = fastrand::Rng::with_seed(seed ^ 0x7061_6365);
        let calm = f64::from(per_second.max(1)) / TRADES / (CALM_SHARE * (1.0 + SURGED));
        let surge = next_surge(&mut random, 0.0);
        Self { random, calm, at: 0.0, surge, force: FORCE.0 }
    }

    /// Goes on, counted from a new beginning.
    pub(super) fn begin_again(&mut self) {
        let (begins, ends) = self.surge;
        self.surge = (begins - self.at, ends - self.at);
        self.at = 0.0;
    }

    pub(super) fn next(&mut self) -> Moment {
        // A pause that reaches into another rate goes on at that rate.
        let mut left = exponential(&mut self.random);
        loop {
            let (begins, ends) = self.surge;
            let (rate, until) =
                if self.at < begins { (self.calm, begins) } else { (self.calm * self.force, ends) };
            let reach = self.at + left / rate;
            if reach < until {
                self.at = reach;
                break;
            }
            left -= (until - self.at) * rate;
            self.at = until;
            if until == ends {
                self.surge = next_surge(&mut self.random, ends);
            } else {
                self.force = between(&mut self.random, FORCE);
            }
        }
        let trades = if self.random.u8(..SEVERAL) == 0 { self.random.u32(2..=MOST) } else { 1 };
        Moment { at: Duration::from_secs_f64(self.at), trades }
    }
}

fn next_surge(random: &mut fastrand::Rng, after: f64) -> (f64, f64) {
    let begins = after + exponential(random) * CALM;
    (begins, begins + between(random, SURGE))
}

/// Of mean 1.
fn exponential(random: &mut fastrand::Rng) -> f64 {
    -(1.0 - random.f64()).ln()
}

fn between(random: &mut fastrand::Rng, (least, most): (f64, f64)) -> f64 {
    least + random.f64() * (most - least)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(seed: u64, per_second: u32, seconds: u64) -> Vec<Moment> {
        let mut pace = Pace::new(seed, per_second);
        let until = Duration::from_secs(seconds);
        std::iter::from_fn(|| Some(pace.next())).take_while(|moment| moment.at < until).collect()
    }

    #[test]
    fn the_mean_is_what_was_asked_for_and_surges_are_several_times_faster() {
        let moments = moments(7, 5_000, 400);
        assert!(moments.windows(2).all(|two| two[0].at <= two[1].at));
        let trades: u32 = moments.iter().map(|moment| moment.trades).sum();
        let per_second = f64::from(trades) / 400.0;
        assert!((4_600.0..5_400.0).contains(&per_second), "{per_second}");
        // Trades of each 20 ms.
        let mut slices = vec![0u32; 400 * 50 + 1];
        moments.iter().for_each(|moment| slices[moment.at.as_millis() as usize / 20] += moment.trades);
        let fast = slices.iter().filter(|trades| **trades > 300).count();
        assert!((200..1_000).contains(&fast), "{fast} of 20,000 slices with more than three times the mean");
        assert!(slices.iter().all(|trades| *trades < 1_300), "{:?}", slices.iter().max());
    }

    #[test]
    fn one_seed_gives_the_same_moments() {
        assert_eq!(moments(7, 1_000, 5), moments(7, 1_000, 5));
        assert_ne!(moments(7, 1_000, 5), moments(8, 1_000, 5));
    }
}
