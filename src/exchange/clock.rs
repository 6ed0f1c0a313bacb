//! What time it is at the exchange.

use std::time::UNIX_EPOCH;

use tokio::time::Instant;

use crate::clock::wall;
use crate::units::UnixMillis;

/// The exchange's wall clock.
#[derive(Debug, Clone, Copy)]
pub(super) enum ExchangeClock {
    /// The system's, so many milliseconds ahead.
    System { ahead_ms: i64 },
    /// One that showed `at_origin` at `origin` and goes with tokio's time, which a test can pause.
    Simulated { origin: Instant, at_origin: UnixMillis },
}

impl ExchangeClock {
    /// A clock that shows `at_origin` now.
    pub(super) fn starting_at(at_origin: UnixMillis) -> Self {
        Self::Simulated { origin: Instant::now(), at_origin }
    }

    pub(super) fn now(&self) -> UnixMillis {
        let (start, since) = match self {
            Self::System { ahead_ms } => (*ahead_ms, wall().duration_since(UNIX_EPOCH).unwrap_or_default()),
            Self::Simulated { origin, at_origin } => (at_origin.0, origin.elapsed()),
        };
        UnixMillis(i64::try_from(since.as_millis()).map_or(i64::MAX, |ms| start.saturating_add(ms)))
    }
}
