//! The limits of REST: weight per minute, waits, and bans that grow. Pure: time is an argument.

use crate::units::UnixMillis;

const MINUTE_MS: i64 = 60_000;
/// The first ban for going on while told to wait; each further one is twice as long.
const FIRST_BAN_MS: i64 = 2 * MINUTE_MS;
const LONGEST_BAN_MS: i64 = 3 * 24 * 60 * MINUTE_MS;

/// What REST counts of its one client.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// The number of the minute that `used` belongs to; minutes begin at :00.
    minute: i64,
    used: u64,
    wait_until: Option<UnixMillis>,
    bans: u32,
}

/// A refusal for going too fast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TooMany {
    pub(super) status: u16,
    /// `Retry-After` as written.
    pub(super) retry_after: Option<String>,
    /// When it is over, for a body that tells so.
    pub(super) banned_until: Option<UnixMillis>,
}

impl Limits {
    /// Adds to the weight of this minute and gives all of it.
    pub(super) fn charge(&mut self, now: UnixMillis, weight: u64) -> u64 {
        let minute = now.0.div_euclid(MINUTE_MS);
        if minute != self.minute {
            (self.minute, self.used) = (minute, 0);
        }
        self.used += weight;
        self.used
    }

    /// Whether the client was told to wait, and has not.
    pub(super) fn is_waiting(&self, now: UnixMillis) -> bool {
        self.wait_until.is_some_and(|until| now < until)
    }

    /// The answer to a client that goes on while it is told to wait: a ban, longer each time.
    pub(super) fn ban(&mut self, now: UnixMillis) -> TooMany {
        let ban = self.next_ban();
        self.wait(UnixMillis(now.0.saturating_add(ban)));
        TooMany { status: 418, retry_after: Some((ban / 1_000).to_string()), banned_until: self.wait_until }
    }

    /// The answer to a client that has used too much weight.
    pub(super) fn too_much(&mut self, now: UnixMillis) -> TooMany {
        let end = end_of_minute(now);
        self.wait(end);
        let seconds = (end.0 - now.0).unsigned_abs().div_ceil(1_000);
        TooMany { status: 429, retry_after: Some(seconds.to_string()), banned_until: None }
    }

    /// The answer that a script asks for. Without a `Retry-After` that can be read a 429 holds until the minute
    /// is over, and a 418 is a ban whose end is told in the body.
    pub(super) fn scripted(&mut self, now: UnixMillis, status: u16, retry_after: Option<String>) -> TooMany {
        let seconds = retry_after.as_deref().and_then(|text| text.parse::<u32>().ok());
        let until = match (seconds, status) {
            (Some(seconds), 418 | 429) => Some(UnixMillis(now.0.saturating_add(i64::from(seconds) * 1_000))),
            (None, 418) => Some(UnixMillis(now.0.saturating_add(self.next_ban()))),
            (None, 429) => Some(end_of_minute(now)),
            // Trouble of its own: who asks again breaks no rule.
            _ => None,
        };
        if let Some(until) = until {
            self.wait(until);
        }
        let banned_until = until.filter(|_| status == 418 && seconds.is_none());
        TooMany { status, retry_after, banned_until }
    }

    fn next_ban(&mut self) -> i64 {
        let ban = FIRST_BAN_MS.checked_shl(self.bans.min(16)).unwrap_or(LONGEST_BAN_MS);
        self.bans += 1;
        ban.min(LONGEST_BAN_MS)
    }

    fn wait(&mut self, until: UnixMillis) {
        self.wait_until = self.wait_until.max(Some(until));
    }
}

fn end_of_minute(now: UnixMillis) -> UnixMillis {
    UnixMillis((now.0.div_euclid(MINUTE_MS) + 1) * MINUTE_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_is_counted_by_the_minute_of_the_clock() {
        let mut limits = Limits::default();
        let used = [59_000, 59_999, 60_000, 119_999, 120_000].map(|now| limits.charge(UnixMillis(now), 20));
        assert_eq!(used, [20, 40, 20, 40, 20]);
    }

    #[test]
    fn too_much_weight_waits_for_the_next_minute() {
        let mut limits = Limits::default();
        let refused = limits.too_much(UnixMillis(60_001));
        assert_eq!((refused.status, refused.retry_after.as_deref()), (429, Some("60")));
        assert!(limits.is_waiting(UnixMillis(119_999)));
        assert!(!limits.is_waiting(UnixMillis(120_000)));
    }

    #[test]
    fn going_on_is_banned_for_twice_as_long_each_time() {
        let mut limits = Limits::default();
        let mut bans = || limits.ban(UnixMillis(0)).retry_after.expect("a ban says how long");
        assert_eq!([bans(), bans(), bans()], ["120", "240", "480"]);
        for _ in 0..100 {
            bans();
        }
        assert_eq!(bans(), "259200");
    }

    #[test]
    fn a_scripted_refusal_holds_as_long_as_it_says_or_as_the_real_one_would() {
        for (status, retry_after, until) in [
            (429, Some("7"), Some(17_000)),
            (418, Some("7"), Some(17_000)),
            (503, Some("7"), None),
            (429, None, Some(60_000)),
            (429, Some("soon"), Some(60_000)),
            (418, None, Some(130_000)),
            (503, None, None),
        ] {
            let mut limits = Limits::default();
            let refused = limits.scripted(UnixMillis(10_000), status, retry_after.map(String::from));
            assert_eq!(limits.wait_until, until.map(UnixMillis), "{status} {retry_after:?}");
            assert_eq!(refused.banned_until.is_some(), status == 418 && retry_after.is_none());
        }
    }
}
