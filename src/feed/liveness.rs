//! When a connection counts as dead: pure, time is an argument.
//!
//! Two silences have two names. No frame of any kind means the *link* is dead: our own ping every 5 s asks
//! for one. Frames without a trade mean the *data* is missing.

use std::time::Duration;

use tokio::time::Instant;

use super::failure::SessionEnd;

/// How patient a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LivenessLimits {
    /// No frame of any kind, or no trade, for this long ends the session.
    pub heartbeat_timeout: Duration,
    /// How often we ping.
    pub ping_every: Duration,
    /// Nothing for this long after a ping is a dead link.
    pub ping_patience: Duration,
}

impl LivenessLimits {
    /// The defaults (a ping every 5 s, 8 s of patience) around a heartbeat timeout.
    pub const fn with_heartbeat(heartbeat_timeout: Duration) -> Self {
        Self { heartbeat_timeout, ping_every: Duration::from_secs(5), ping_patience: Duration::from_secs(8) }
    }
}

/// A check that is this late was held up by something here.
const STOOD_STILL: Duration = Duration::from_secs(1);

/// So long a connection is kept without a trade, whoever vouches for it.
const VOUCHED_AT_MOST: Duration = Duration::from_secs(3_600);

/// What is due.
#[derive(Debug)]
pub(crate) enum Due {
    Nothing,
    Ping,
    End(SessionEnd),
}

#[derive(Debug)]
pub(crate) struct Liveness {
    limits: LivenessLimits,
    last_frame: Instant,
    last_data: Instant,
    /// When it was confirmed last that there was nothing to bring.
    vouched: Instant,
    next_ping: Instant,
    /// The first ping that nothing has followed yet.
    unanswered: Option<Instant>,
}

impl Liveness {
    pub(crate) fn new(limits: LivenessLimits, now: Instant) -> Self {
        let next_ping = now + limits.ping_every;
        Self { limits, last_frame: now, last_data: now, vouched: now, next_ping, unanswered: None }
    }

    /// A frame of any kind was read at `at`. Frames that were read before a ping do not answer it.
    pub(crate) fn frame(&mut self, at: Instant) {
        self.last_frame = self.last_frame.max(at);
        self.unanswered = self.unanswered.filter(|pinged| at < *pinged);
    }

    /// Whether a frame at `at` is worth the question "is this data?"; more often than once a second, or 64 times
    /// per timeout if that is shorter, is not.
    pub(crate) fn wants_data(&self, at: Instant) -> bool {
        let often_enough = (self.limits.heartbeat_timeout / 64).min(Duration::from_secs(1));
        at.saturating_duration_since(self.last_data) >= often_enough
    }

    /// A trade was read at `at`.
    pub(crate) fn data(&mut self, at: Instant) {
        self.last_data = self.last_data.max(at);
    }

    /// It was confirmed at `at` that there was nothing that has not come.
    pub(crate) fn vouched(&mut self, at: Instant) {
        self.vouched = self.vouched.max(at);
    }

    /// Since when data are missing, if they are.
    fn quiet_since(&self) -> Instant {
        // REST and this connection may be wrong together; a new one now and then costs nothing where nobody trades.
        self.last_data.max(self.vouched.min(self.last_data + VOUCHED_AT_MOST))
    }

    /// When [`Liveness::check`] has to be asked next.
    pub(crate) fn deadline(&self) -> Instant {
        let silence = self.last_frame.min(self.quiet_since()) + self.limits.heartbeat_timeout;
        let mut deadline = silence.min(self.next_ping);
        if let Some(since) = self.unanswered {
            deadline = deadline.min(since + self.limits.ping_patience);
        }
        deadline
    }

    pub(crate) fn check(&mut self, now: Instant) -> Due {
        self.forgive(now);
        let timeout = self.limits.heartbeat_timeout;
        if now >= self.last_frame + timeout {
            return Due::End(SessionEnd::HeartbeatTimeout(timeout));
        }
        if self.unanswered.is_some_and(|since| now >= since + self.limits.ping_patience) {
            return Due::End(SessionEnd::DeadLink(self.limits.ping_patience));
        }
        if now >= self.quiet_since() + timeout {
            return Due::End(SessionEnd::NoData(timeout));
        }
        if now >= self.next_ping {
            self.next_ping = now + self.limits.ping_every;
            self.unanswered = self.unanswered.or(Some(now));
            return Due::Ping;
        }
        Due::Nothing
    }

    /// A check that comes far too late says that this process stood still (it was suspended, or had no processor):
    /// that is no silence of the peer's. What the kernel holds of its words may not even be known to the runtime yet.
    fn forgive(&mut self, now: Instant) {
        let late = now.saturating_duration_since(self.deadline());
        if late < STOOD_STILL {
            return;
        }
        for moment in [&mut self.last_frame, &mut self.last_data, &mut self.vouched] {
            *moment = (*moment + late).min(now);
        }
        self.unanswered = self.unanswered.map(|since| (since + late).min(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Plays frames and trades at given seconds and tells when and how the session ends.
    fn played(heartbeat: u64, frames: &[u64], trades: &[u64], until: u64) -> (u64, String) {
        let start = Instant::now();
        let mut life = Liveness::new(LivenessLimits::with_heartbeat(SECOND * heartbeat as u32), start);
        for second in 0..=until {
            let now = start + SECOND * second as u32;
            if frames.contains(&second) || trades.contains(&second) {
                life.frame(now);
            }
            if trades.contains(&second) && life.wants_data(now) {
                life.data(now);
            }
            while life.deadline() <= now {
                match life.check(now) {
                    Due::End(end) => return (second, format!("{end:?}")),
                    Due::Ping | Due::Nothing => {}
                }
            }
        }
        (until, "alive".into())
    }

    #[test]
    fn trades_keep_it_alive() {
        let every: Vec<u64> = (0..500).collect();
        assert_eq!(played(60, &[], &every, 499), (499, "alive".into()));
    }

    #[test]
    fn silence_after_our_ping_is_a_dead_link_after_thirteen_seconds() {
        assert_eq!(played(60, &[], &[0], 100), (13, "DeadLink(8s)".into()));
    }

    #[test]
    fn pongs_without_trades_are_a_living_link_without_data() {
        let every: Vec<u64> = (0..500).collect();
        assert_eq!(played(60, &every, &[7], 499), (67, "NoData(60s)".into()));
    }

    #[test]
    fn a_short_heartbeat_timeout_comes_before_the_ping_is_missed() {
        assert_eq!(played(3, &[1], &[1], 100), (4, "HeartbeatTimeout(3s)".into()));
    }

    #[test]
    fn a_frame_that_was_read_before_the_ping_does_not_answer_it() {
        let start = Instant::now();
        let at = |seconds| start + SECOND * seconds;
        let pinged = || {
            let mut life = Liveness::new(LivenessLimits::with_heartbeat(SECOND * 60), start);
            assert!(matches!(life.check(at(5)), Due::Ping));
            life
        };
        let mut life = pinged();
        life.frame(at(4));
        assert!(matches!(life.check(at(10)), Due::Ping));
        assert!(matches!(life.check(at(13)), Due::End(SessionEnd::DeadLink(_))));
        let mut life = pinged();
        life.frame(at(5));
        assert!(matches!(life.check(at(10)), Due::Ping));
        assert!(matches!(life.check(at(13)), Due::Nothing));
    }

    #[test]
    fn silence_is_counted_from_the_last_vouch_but_a_vouch_does_not_raise_a_dead_link() {
        let start = Instant::now();
        let at = |seconds| start + SECOND * seconds;
        let mut life = Liveness::new(LivenessLimits::with_heartbeat(SECOND * 60), start);
        let end = (1..).find_map(|second| {
            life.frame(at(second));
            if second == 50 {
                life.vouched(at(second));
            }
            match life.check(at(second)) {
                Due::End(end) => Some((second, format!("{end:?}"))),
                _ => None,
            }
        });
        assert_eq!(end, Some((110, "NoData(60s)".into())));
        let mut life = Liveness::new(LivenessLimits::with_heartbeat(SECOND * 60), start);
        let end = (1..).find_map(|second| {
            life.vouched(at(second));
            match life.check(at(second)) {
                Due::End(end) => Some((second, format!("{end:?}"))),
                _ => None,
            }
        });
        assert_eq!(end, Some((13, "DeadLink(8s)".into())));
    }

    #[test]
    fn minutes_in_which_this_process_stood_still_are_no_silence_and_the_next_ping_decides() {
        let start = Instant::now();
        let at = |seconds| start + SECOND * seconds;
        for pinged in [false, true] {
            let mut life = Liveness::new(LivenessLimits::with_heartbeat(SECOND * 60), start);
            if pinged {
                assert!(matches!(life.check(at(5)), Due::Ping));
            }
            assert!(matches!(life.check(at(305)), Due::Ping), "it asks before it judges");
            let end = (306..).find_map(|second| match life.check(at(second)) {
                Due::End(end) => Some((second, format!("{end:?}"))),
                _ => None,
            });
            // Five of the eight seconds of patience had passed before, where it had asked.
            let died_at = if pinged { 308 } else { 313 };
            assert_eq!(end, Some((died_at, "DeadLink(8s)".into())));
        }
    }

    #[test]
    fn data_is_looked_for_every_second_however_long_the_timeout_is() {
        let start = Instant::now();
        for (heartbeat, often) in [(SECOND * 3_600, SECOND), (SECOND * 64, SECOND), (SECOND * 32, SECOND / 2)]
        {
            let mut life = Liveness::new(LivenessLimits::with_heartbeat(heartbeat), start);
            life.data(start);
            assert!(life.wants_data(start + often));
            assert!(!life.wants_data(start + often - Duration::from_millis(1)));
        }
    }

    #[test]
    fn any_frame_within_the_patience_answers_the_ping() {
        let frames: Vec<u64> = (0..100).filter(|s| s % 7 == 0).collect();
        assert_eq!(played(60, &frames, &frames, 99), (99, "alive".into()));
    }
}
