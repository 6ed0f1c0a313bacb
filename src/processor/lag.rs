//! Does a connection fall behind? The exchange drops nothing for a slow connection, it only delivers ever later.

use std::time::Duration;

use crate::clock::ClockOffset;
use crate::feed::SessionId;
use crate::pipeline::LiveSession;

/// So many seconds in a row a connection has to lag.
const IN_A_ROW: i32 = 5;
/// After it was said, so many seconds have to pass until it is said again.
const AGAIN: i32 = 60;

/// Watches the lag of every connection; asked once a second.
#[derive(Debug)]
pub(super) struct LagWatch {
    /// Zero for never.
    limit: Duration,
    sessions: Vec<Lagging>,
}

#[derive(Debug, Clone, Copy)]
struct Lagging {
    session: SessionId,
    /// The smallest lag seen, in milliseconds: what the clocks differ by and the way takes.
    least_ms: i64,
    trades: u64,
    /// Seconds beyond the limit in a row; below zero while it was said lately.
    beyond: i32,
}

/// A connection that lags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lag {
    pub(super) session: SessionId,
    pub(super) by: Duration,
}

impl LagWatch {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, sessions: Vec::new() }
    }

    /// Our wall clock was set: what was measured with it means nothing any more.
    pub(super) fn clock_stepped(&mut self) {
        self.sessions.clear();
    }

    /// The first connection that has lagged for long enough. Without a known offset of the clocks only the growth of
    /// its lag counts.
    pub(super) fn tick(&mut self, live: &[LiveSession], offset: Option<ClockOffset>) -> Option<Lag> {
        if self.limit.is_zero() {
            return None;
        }
        self.sessions.retain(|known| live.iter().any(|live| live.session == known.session));
        let mut found = None;
        for live in live {
            let (Some(received), Some(event_at)) = (live.received, live.event_at) else { continue };
            let lag_ms = received.wall_ms().saturating_sub(event_at.0);
            let session = live.session;
            let known = match self.sessions.iter_mut().find(|known| known.session == session) {
                Some(known) => known,
                None => {
                    self.sessions.push(Lagging { session, least_ms: lag_ms, trades: 0, beyond: 0 });
                    continue;
                }
            };
            known.least_ms = known.least_ms.min(lag_ms);
            if known.trades == live.trades {
                continue;
            }
            known.trades = live.trades;
            let lag_ms = match offset {
                Some(offset) => lag_ms.saturating_add(offset.offset_ms as i64),
                None => lag_ms - known.least_ms,
            };
            let by = Duration::from_millis(u64::try_from(lag_ms).unwrap_or(0));
            known.beyond = match by > self.limit {
                true => known.beyond + 1,
                // Time passes either way since it was said.
                false => (known.beyond + 1).min(0),
            };
            if known.beyond >= IN_A_ROW && found.is_none() {
                known.beyond = -AGAIN;
                found = Some(Lag { session, by });
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::LineId;
    use crate::snapshot::Stamp;
    use crate::units::UnixMillis;

    /// Plays trades whose lag, second by second, is this many milliseconds; tells the seconds in which it is called one.
    fn told(limit_s: u64, lags: &[i64], offset_ms: Option<f64>) -> Vec<(usize, u64)> {
        let mut watch = LagWatch::new(Duration::from_secs(limit_s));
        let offset = offset_ms.map(|offset_ms| ClockOffset { offset_ms, error_ms: 1.0 });
        let mut told = Vec::new();
        for (second, lag_ms) in lags.iter().enumerate() {
            let wall_ms = 1_800_000_000_000 + second as i64 * 1_000;
            let received = Stamp { wall_ns: wall_ms * 1_000_000, mono_ns: second as u64 * 1_000_000_000 };
            let live = LiveSession {
                line: LineId(0),
                session: SessionId(1),
                opened_at: Stamp::default(),
                trades: second as u64 + 1,
                received: Some(received),
                event_at: Some(UnixMillis(wall_ms - lag_ms)),
                others: 0,
            };
            if let Some(lag) = watch.tick(&[live], offset) {
                told.push((second, lag.by.as_secs()));
            }
        }
        told
    }

    #[test]
    fn a_lag_that_grows_is_told_after_five_seconds_and_a_clock_that_is_off_is_none() {
        let mut lags = vec![100; 10];
        lags.extend([12_000; 80]);
        assert_eq!(told(10, &lags, None), [(14, 11), (79, 11)]);
        assert_eq!(told(10, &[60_000; 80], None), []);
        assert_eq!(told(0, &lags, None), [], "switched off");
    }

    #[test]
    fn with_a_known_offset_of_the_clocks_the_true_lag_counts_from_the_start() {
        assert_eq!(told(10, &[15_000; 10], Some(0.0)), [(5, 15)]);
        assert_eq!(told(10, &[15_000; 10], Some(-14_000.0)), []);
        let spikes: Vec<i64> = (0..50).map(|second| if second % 5 == 0 { 0 } else { 20_000 }).collect();
        assert_eq!(told(10, &spikes, Some(0.0)), [], "never five seconds in a row");
    }
}
