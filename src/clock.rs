//! The one place that reads a clock.

mod offset;
mod steps;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::snapshot::Stamp;

pub use offset::{ClockOffset, OffsetEstimator};
pub use steps::{Jump, StepWatch};

/// Hands out [`Stamp`]s: wall clock for latency, monotonic clock for deadlines.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
    wall: Wall,
}

#[derive(Debug, Clone, Copy)]
enum Wall {
    System,
    Simulated { at_origin_ns: i64 },
}

impl Clock {
    /// The system's clocks; monotonic time counts from now.
    pub fn system() -> Self {
        Self { origin: Instant::now(), wall: Wall::System }
    }

    /// A wall clock that starts at `at_origin_ns` and goes with tokio's time, which a test can pause.
    pub fn simulated(at_origin_ns: i64) -> Self {
        Self { origin: Instant::now(), wall: Wall::Simulated { at_origin_ns } }
    }

    /// Both clocks, now.
    pub fn now(&self) -> Stamp {
        self.stamp(Instant::now())
    }

    /// Both clocks at a moment that has just been read off the monotonic one.
    pub fn stamp(&self, now: Instant) -> Stamp {
        let mono_ns = self.mono_ns(now);
        let wall_ns = match self.wall {
            Wall::Simulated { at_origin_ns } => at_origin_ns.saturating_add_unsigned(mono_ns),
            Wall::System => match wall().duration_since(UNIX_EPOCH) {
                Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
                Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
            },
        };
        Stamp { wall_ns, mono_ns }
    }

    /// What the monotonic clock showed at that moment, in nanoseconds.
    pub fn mono_ns(&self, at: Instant) -> u64 {
        nanos(at.saturating_duration_since(self.origin))
    }

    /// The moment at which the monotonic clock shows so many nanoseconds.
    pub fn instant(&self, mono_ns: u64) -> Instant {
        // Far enough to be never, and no clock ends before it.
        const NEVER: u64 = 100 * 365 * 86_400 * 1_000_000_000;
        self.origin + Duration::from_nanos(mono_ns.min(NEVER))
    }

    /// Monotonic time since the clock was made.
    pub fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// The system's wall clock. It may be set at any time: for showing alone, never for a deadline.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
