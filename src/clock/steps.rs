//! Notices when the wall clock is set, and when this process did not run for a while: pure.

use std::time::Duration;

use crate::snapshot::Stamp;

/// What happened to time between two ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jump {
    /// The wall clock went by so many milliseconds more (or less, if negative) than time did: it was set, or the whole
    /// machine slept, which looks the same.
    Step {
        /// How far, in milliseconds.
        by_ms: i64,
    },
    /// The process stood still, stopped or starved.
    Paused {
        /// For about so long.
        lasted: Duration,
    },
}

/// Compares the clocks from tick to tick.
#[derive(Debug, Clone)]
pub struct StepWatch {
    every: Duration,
    last: Option<Stamp>,
}

/// Slewing is slower than half a second between two ticks; a smaller step is left to the estimate of the offset.
const STEP: i128 = 500_000_000;
/// A tick may be so late before that is a pause.
const PAUSE: Duration = Duration::from_secs(5);

impl StepWatch {
    /// For ticks that come this often.
    pub fn new(every: Duration) -> Self {
        Self { every, last: None }
    }

    /// What happened since the last tick. Where both did, the step is told: it is what makes stamps incomparable.
    pub fn tick(&mut self, now: Stamp) -> Option<Jump> {
        let last = self.last.replace(now)?;
        let passed = now.mono_ns.saturating_sub(last.mono_ns);
        let by = i128::from(now.wall_ns) - i128::from(last.wall_ns) - i128::from(passed);
        if by.abs() > STEP {
            // Two readings of 64 bits are less than 2^65 ns apart, which is 4e13 ms.
            return Some(Jump::Step { by_ms: (by / 1_000_000) as i64 });
        }
        let lasted = Duration::from_nanos(passed).saturating_sub(self.every);
        (lasted > PAUSE).then_some(Jump::Paused { lasted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ticks at (wall, monotonic) milliseconds; what each tells.
    fn told(ticks: &[(i64, u64)]) -> Vec<Option<Jump>> {
        let mut watch = StepWatch::new(Duration::from_secs(1));
        let stamp = |(wall, mono): (i64, u64)| Stamp { wall_ns: wall * 1_000_000, mono_ns: mono * 1_000_000 };
        ticks.iter().map(|&at| watch.tick(stamp(at))).collect()
    }

    const fn step(by_ms: i64) -> Option<Jump> {
        Some(Jump::Step { by_ms })
    }

    const fn paused(ms: u64) -> Option<Jump> {
        Some(Jump::Paused { lasted: Duration::from_millis(ms) })
    }

    #[test]
    fn a_clock_that_goes_tells_nothing_slewed_or_late_as_it_may_be() {
        let ticks = [(0, 0), (1_000, 1_000), (2_500, 2_000), (3_000, 3_000), (9_000, 9_000), (8_990, 9_000)];
        assert_eq!(told(&ticks), [None; 6]);
        assert_eq!(told(&[(5, 7)]), [None], "nothing to compare with");
    }

    #[test]
    fn a_step_is_told_once_with_its_size_in_either_direction() {
        let ticks = [(0, 0), (4_600, 1_000), (5_600, 2_000), (5_500, 3_000), (5_900, 4_001)];
        assert_eq!(told(&ticks), [None, step(3_600), None, step(-1_100), step(-601)]);
    }

    #[test]
    fn a_machine_that_slept_is_a_step_and_a_process_that_stood_still_a_pause() {
        assert_eq!(told(&[(0, 0), (3_601_000, 1_000)]), [None, step(3_600_000)]);
        assert_eq!(told(&[(0, 0), (6_000, 6_000), (12_001, 12_001)]), [None, None, paused(5_001)]);
        assert_eq!(told(&[(0, 0), (20_000, 10_000)]), [None, step(10_000)], "both at once");
    }

    #[test]
    fn no_reading_is_a_panic() {
        let (low, high) =
            (Stamp { wall_ns: i64::MIN, mono_ns: u64::MAX }, Stamp { wall_ns: i64::MAX, mono_ns: 0 });
        for (first, second) in [(low, high), (high, low), (low, low), (high, high)] {
            let mut watch = StepWatch::new(Duration::MAX);
            assert_eq!(watch.tick(first), None);
            let told = watch.tick(second);
            assert_eq!(told.is_some(), first != second);
        }
    }
}
