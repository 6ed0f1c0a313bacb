//! How much of the exchange's patience is left: request weight per minute, and bans.

use std::collections::VecDeque;
use std::time::Duration;

use super::hole::after;
use crate::snapshot::{Market, Stamp};
use crate::units::UnixMillis;

/// The share of the exchange's limit that is used at most, in percent. The rest belongs to whatever else shares the
/// address.
pub const CEILING_PERCENT: u64 = 75;
/// The share of the ceiling that looking for the newest trade may take, in percent.
pub const PROBE_PERCENT: u64 = 20;
/// The shortest ban that is believed.
pub const SHORTEST_BAN: Duration = Duration::from_secs(1);
/// The longest ban that is believed: the longest the exchange imposes.
pub const LONGEST_BAN: Duration = Duration::from_secs(3 * 24 * 3600);

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Missing trades.
    Gap,
    /// The newest trade, to see whether the stream ends where the exchange does.
    Probe,
    /// The exchange's time.
    Time,
    /// Which symbols there are.
    Listings,
}

/// No request may be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Until {
    /// When to look again, on the monotonic clock.
    pub mono_ns: u64,
    /// Whether it is a ban; else the weight is used up.
    pub ban: bool,
}

/// The REST weight of one pool (`usdm` and `coinm` share one, `spot` has its own), for everything in the process that
/// asks. Knows no clock: time is an argument.
///
/// Two bounds, and a request has to keep both. Our own requests never weigh more than the ceiling in *any* 60 s of
/// the monotonic clock, whatever the wall clock does and whatever the exchange says. And the weight the exchange
/// tells, which includes other programs behind the same address, holds until our next full minute.
#[derive(Debug, Clone)]
pub struct WeightBudget {
    /// The weight of a request for trades.
    cost: u64,
    listings_cost: u64,
    ceiling: u64,
    /// When our requests of the last 60 s were made, the oldest first; at most `ceiling` of them.
    own: VecDeque<(u64, Kind)>,
    window: Window,
    /// When the request in flight was made.
    spent_at: u64,
    banned_until: u64,
    /// Bans in a row whose end was not told, or did not arrive.
    untold_bans: u32,
}

/// A minute of the exchange, as far as our wall clock knows. It is measured out once, when it begins, so that a wall
/// clock that steps meanwhile neither ends nor extends it.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    begins: u64,
    ends: u64,
    used: u64,
}

impl WeightBudget {
    /// The pool of a market, nothing used yet.
    pub fn of(market: Market) -> Self {
        let (limit, cost, listings_cost) = match market {
            Market::UsdM | Market::CoinM => (2_400, 20, 1),
            Market::Spot => (6_000, 4, 20),
        };
        Self {
            cost,
            listings_cost,
            ceiling: limit * CEILING_PERCENT / 100,
            own: VecDeque::new(),
            window: Window::default(),
            spent_at: 0,
            banned_until: 0,
            untold_bans: 0,
        }
    }

    /// The weight per minute that is not exceeded.
    pub const fn ceiling(&self) -> u64 {
        self.ceiling
    }

    /// How many requests for the newest trade a minute may have.
    pub const fn probes_per_minute(&self) -> u64 {
        self.ceiling * PROBE_PERCENT / 100 / self.cost
    }

    /// The weight used in this minute: what the exchange told, and our requests since.
    pub fn used_weight(&self, now: Stamp) -> u64 {
        self.window.at(now).used
    }

    /// The weight of a request.
    pub const fn cost(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Gap | Kind::Probe => self.cost,
            Kind::Time => 1,
            Kind::Listings => self.listings_cost,
        }
    }

    /// Whether a request may be made now.
    ///
    /// # Errors
    /// [`Until`] tells when to look again: later than `now`, and at most 60 s later unless it is a ban.
    pub fn ready_at(&self, now: Stamp, kind: Kind) -> Result<(), Until> {
        if now.mono_ns < self.banned_until {
            return Err(Until { mono_ns: self.banned_until, ban: true });
        }
        let window = self.window.at(now);
        let cost = self.cost(kind);
        let told = if window.used.saturating_add(cost) > self.ceiling { window.ends } else { 0 };
        let own = self.room_at(now, cost, self.ceiling, |_| true);
        let probes = match kind {
            Kind::Probe => self.room_at(now, cost, self.ceiling * PROBE_PERCENT / 100, |k| k == Kind::Probe),
            Kind::Gap | Kind::Time | Kind::Listings => 0,
        };
        match told.max(own).max(probes) {
            at if at > now.mono_ns => Err(Until { mono_ns: at, ban: false }),
            _ => Ok(()),
        }
    }

    /// A request is being made.
    pub fn spend(&mut self, now: Stamp, kind: Kind) {
        self.window = self.window.at(now);
        self.window.used = self.window.used.saturating_add(self.cost(kind));
        self.spent_at = now.mono_ns;
        while self.own.front().is_some_and(|(at, _)| at.saturating_add(MINUTE) <= now.mono_ns) {
            self.own.pop_front();
        }
        self.own.push_back((now.mono_ns, kind));
    }

    /// The request in flight was answered; `used` is the weight the exchange told with it.
    pub fn answered(&mut self, now: Stamp, used: Option<u64>) {
        self.window = self.window.at(now);
        self.untold_bans = 0;
        self.told(used);
    }

    /// The request in flight was answered with 429 or 418. Returns how long nothing may be asked: `retry_after`, else
    /// until `banned_until`, both within 1 s to 3 days; else after a 429 until the next full minute, and after a 418, whose
    /// shortest ban is two minutes, for two, four, eight … minutes more.
    pub fn banned(
        &mut self,
        now: Stamp,
        status: u16,
        used: Option<u64>,
        retry_after: Option<Duration>,
        banned_until: Option<UnixMillis>,
    ) -> Duration {
        self.window = self.window.at(now);
        self.told(used);
        let until = |at: UnixMillis| {
            Duration::from_millis(u64::try_from(at.0.saturating_sub(now.wall_ms())).unwrap_or(0))
        };
        let told = retry_after.or(banned_until.map(until));
        let wait = told.unwrap_or_else(|| {
            let minutes = if status == 418 { 2 << self.untold_bans.min(10) } else { 0 };
            self.untold_bans += u32::from(status == 418);
            Duration::from_nanos(to_next_minute(now) + minutes * MINUTE)
        });
        let wait = wait.clamp(SHORTEST_BAN, LONGEST_BAN);
        self.banned_until = self.banned_until.max(after(now, wait));
        Duration::from_nanos(self.banned_until.saturating_sub(now.mono_ns))
    }

    /// An answer to a request of the minute before tells that minute's weight, which says nothing of this one.
    fn told(&mut self, used: Option<u64>) {
        match used {
            Some(used) if self.spent_at >= self.window.begins => self.window.used = used,
            _ => {}
        }
    }

    /// From when on one more of our own requests of this cost, and of some kinds, keeps `limit` in every 60 s; 0 if it
    /// does now.
    fn room_at(&self, now: Stamp, cost: u64, limit: u64, counts: impl Fn(Kind) -> bool) -> u64 {
        let mut weight = cost;
        let recent = self.own.iter().rev().take_while(|(at, _)| at.saturating_add(MINUTE) > now.mono_ns);
        for (at, kind) in recent.filter(|(_, kind)| counts(*kind)) {
            weight = weight.saturating_add(self.cost(*kind));
            if weight > limit {
                // The one that has to be 60 s old before another may follow.
                return at.saturating_add(MINUTE);
            }
        }
        0
    }
}

impl Window {
    /// The window of a moment: this one, or a new one if this is over.
    fn at(self, now: Stamp) -> Self {
        if now.mono_ns < self.ends {
            return self;
        }
        let ends = now.mono_ns.saturating_add(to_next_minute(now));
        Self { begins: now.mono_ns, ends, used: 0 }
    }
}

const MINUTE: u64 = 60_000_000_000;

/// From 1 ns to 60 s.
fn to_next_minute(now: Stamp) -> u64 {
    MINUTE - now.wall_ns.rem_euclid(MINUTE as i64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn at(wall_s: f64, mono_s: f64) -> Stamp {
        Stamp { wall_ns: (wall_s * 1e9) as i64, mono_ns: (mono_s * 1e9) as u64 }
    }

    #[test]
    fn usdm_and_coinm_allow_90_requests_a_minute_and_spot_1125() {
        for (market, requests) in [(Market::UsdM, 90), (Market::CoinM, 90), (Market::Spot, 1_125)] {
            let mut budget = WeightBudget::of(market);
            let now = at(0.0, 5.0);
            let mut made = 0;
            while budget.ready_at(now, Kind::Gap).is_ok() {
                budget.spend(now, Kind::Gap);
                made += 1;
            }
            assert_eq!(made, requests, "{market}");
            assert_eq!(budget.ready_at(now, Kind::Gap), Err(Until { mono_ns: 65 * SECOND, ban: false }));
        }
    }

    #[test]
    fn what_the_header_tells_counts_until_the_next_full_minute_and_no_longer() {
        let mut budget = WeightBudget::of(Market::UsdM);
        budget.spend(at(30.0, 1.0), Kind::Gap);
        budget.answered(at(30.1, 1.1), Some(1_790));
        assert_eq!(budget.used_weight(at(30.1, 1.1)), 1_790);
        // The window began with the request at second 30.
        let until = Until { mono_ns: 31 * SECOND, ban: false };
        assert_eq!(budget.ready_at(at(30.1, 1.1), Kind::Gap), Err(until));
        assert_eq!(budget.ready_at(at(60.0, 31.0), Kind::Gap), Ok(()));
        assert_eq!(budget.used_weight(at(60.0, 31.0)), 0);
    }

    #[test]
    fn a_header_that_still_tells_the_weight_of_the_minute_before_makes_us_wait_one_more_minute_at_most() {
        let mut budget = WeightBudget::of(Market::UsdM);
        budget.spend(at(60.0, 0.0), Kind::Gap);
        budget.answered(at(60.1, 0.1), Some(2_390));
        assert_eq!(
            budget.ready_at(at(60.1, 0.1), Kind::Gap),
            Err(Until { mono_ns: 60 * SECOND, ban: false })
        );
        assert_eq!(budget.ready_at(at(120.0, 60.0), Kind::Gap), Ok(()));
    }

    #[test]
    fn an_answer_that_crosses_the_minute_says_nothing_of_the_new_one() {
        let mut budget = WeightBudget::of(Market::UsdM);
        budget.spend(at(59.9, 9.9), Kind::Gap);
        budget.answered(at(60.1, 10.1), Some(2_390));
        assert_eq!(budget.used_weight(at(60.1, 10.1)), 0);
        assert_eq!(budget.ready_at(at(60.1, 10.1), Kind::Gap), Ok(()));
    }

    #[test]
    fn a_wall_clock_that_steps_back_does_not_extend_the_wait() {
        let mut budget = WeightBudget::of(Market::Spot);
        budget.spend(at(1_000_000_050.0, 0.0), Kind::Gap);
        budget.answered(at(1_000_000_050.0, 0.0), Some(9_999));
        let Err(before) = budget.ready_at(at(1_000_000_050.0, 0.0), Kind::Gap) else { panic!("must wait") };
        assert_eq!(budget.ready_at(at(5.0, 1.0), Kind::Gap), Err(before));
        assert_eq!(budget.ready_at(Stamp { wall_ns: 0, mono_ns: before.mono_ns }, Kind::Gap), Ok(()));
    }

    #[test]
    fn looking_for_the_newest_trade_takes_a_fifth_at_most() {
        let mut budget = WeightBudget::of(Market::UsdM);
        let now = at(0.0, 0.0);
        let mut probes = 0;
        while budget.ready_at(now, Kind::Probe).is_ok() {
            budget.spend(now, Kind::Probe);
            probes += 1;
        }
        assert_eq!(probes, 18);
        assert_eq!(budget.ready_at(now, Kind::Gap), Ok(()));
    }

    #[test]
    fn the_time_and_the_listings_count_with_their_own_weight_and_find_no_room_once_the_ceiling_is_reached() {
        for (market, listings) in [(Market::UsdM, 1), (Market::CoinM, 1), (Market::Spot, 20)] {
            let mut budget = WeightBudget::of(market);
            let now = at(0.0, 0.0);
            budget.spend(now, Kind::Time);
            budget.spend(now, Kind::Listings);
            assert_eq!(budget.used_weight(now), 1 + listings, "{market}");
            let mut weight = budget.used_weight(now);
            while budget.ready_at(now, Kind::Gap).is_ok() {
                budget.spend(now, Kind::Gap);
                weight += budget.cost(Kind::Gap);
            }
            while budget.ready_at(now, Kind::Time).is_ok() {
                budget.spend(now, Kind::Time);
                weight += 1;
            }
            assert_eq!(weight, budget.ceiling(), "{market}");
            let until = Until { mono_ns: 60 * SECOND, ban: false };
            assert_eq!(budget.ready_at(at(59.0, 59.0), Kind::Time), Err(until));
            assert_eq!(budget.ready_at(at(60.0, 60.0), Kind::Time), Ok(()));
        }
    }

    #[test]
    fn a_ban_lasts_as_long_as_it_says_within_reason() {
        let day = 24 * 3600;
        for (retry_after, until_ms, seconds) in [
            (Some(30), None, 30),
            (Some(0), None, 1),
            (Some(u64::MAX), None, 3 * day),
            (Some(30), Some(999_000), 30),
            (None, Some(1_000_000 + 120_000), 120),
            (None, Some(5), 1),
            (None, Some(i64::MAX), 3 * day),
            (None, Some(i64::MIN), 1),
            // The clock shows 1,000 s, which is 40 s after a full minute.
            (None, None, 20),
        ] {
            let mut budget = WeightBudget::of(Market::UsdM);
            let now = at(1_000.0, 7.0);
            budget.spend(now, Kind::Gap);
            let wait =
                budget.banned(now, 429, None, retry_after.map(Duration::from_secs), until_ms.map(UnixMillis));
            assert_eq!(wait.as_secs(), seconds, "{retry_after:?} {until_ms:?}");
            let ends = (7 + seconds) * SECOND;
            for kind in [Kind::Gap, Kind::Probe] {
                assert_eq!(budget.ready_at(now, kind), Err(Until { mono_ns: ends, ban: true }));
                let last = Stamp { wall_ns: i64::MAX, mono_ns: ends - 1 };
                assert_eq!(budget.ready_at(last, kind), Err(Until { mono_ns: ends, ban: true }));
                assert_eq!(budget.ready_at(Stamp { wall_ns: 0, mono_ns: ends }, kind), Ok(()));
            }
        }
    }

    #[test]
    fn a_ban_without_an_end_lasts_until_the_next_minute_each_time() {
        let mut budget = WeightBudget::of(Market::UsdM);
        let wait = |budget: &mut WeightBudget, now: f64| budget.banned(at(now, now), 429, None, None, None);
        assert_eq!(wait(&mut budget, 10.0), Duration::from_secs(50));
        assert_eq!(wait(&mut budget, 60.0), Duration::from_secs(60));
        assert_eq!(wait(&mut budget, 179.9), SHORTEST_BAN);
        let ban =
            |budget: &mut WeightBudget| budget.banned(at(200.0, 200.0), 418, None, None, None).as_secs();
        assert_eq!([ban(&mut budget), ban(&mut budget)], [40 + 120, 40 + 240]);
    }

    #[test]
    fn an_absurd_weight_delays_but_does_not_stop() {
        let mut budget = WeightBudget::of(Market::UsdM);
        budget.spend(at(0.0, 0.0), Kind::Gap);
        budget.answered(at(0.0, 0.0), Some(u64::MAX));
        budget.spend(at(0.0, 0.0), Kind::Gap);
        assert_eq!(budget.used_weight(at(0.0, 0.0)), u64::MAX);
        assert_eq!(budget.ready_at(at(60.0, 60.0), Kind::Gap), Ok(()));
    }

    /// An exchange that counts by its own clock, ours being off by `skew_ms`, stepping now and then.
    fn most_weight_in_a_minute_of_theirs(
        market: Market,
        headers: bool,
        steps: &[(u64, i64)],
        foreign: u64,
    ) -> (u64, u64) {
        let mut budget = WeightBudget::of(market);
        let (mut mono, mut skew) = (17 * SECOND, 0i64);
        let (mut minute, mut ours, mut most) = (0, 0, 0);
        let mut made = 0;
        for (pause_ms, step_ms) in steps.iter().cycle().take(4_000) {
            mono += pause_ms * 1_000_000;
            skew += step_ms;
            let now = Stamp { wall_ns: mono as i64 + skew * 1_000_000, mono_ns: mono };
            let kind = if pause_ms % 5 == 0 { Kind::Listings } else { Kind::Gap };
            match budget.ready_at(now, kind) {
                Err(until) => {
                    assert!(until.mono_ns > mono && until.mono_ns <= mono + MINUTE, "{until:?} at {mono}");
                    mono = until.mono_ns;
                }
                Ok(()) => {
                    budget.spend(now, kind);
                    made += 1;
                    if mono / MINUTE != minute {
                        (minute, ours) = (mono / MINUTE, 0);
                    }
                    ours += budget.cost(kind);
                    most = most.max(ours);
                    budget.answered(now, headers.then_some(ours + foreign));
                }
            }
        }
        assert!(made > 0, "nobody waits for ever");
        (most, budget.ceiling)
    }

    proptest! {
        #[test]
        fn no_minute_of_the_exchange_sees_more_than_the_ceiling_whatever_our_clock_shows(
            market in prop::sample::select(Market::ALL.to_vec()),
            headers: bool,
            steps in prop::collection::vec(
                (0u64..2_000, prop_oneof![9 => Just(0i64), 1 => -100_000_000i64..100_000_000]), 1..40),
            foreign in prop_oneof![Just(0u64), 0u64..3_000],
        ) {
            let (most, ceiling) = most_weight_in_a_minute_of_theirs(market, headers, &steps, foreign);
            prop_assert!(most <= ceiling, "{most} of {ceiling}");
        }

        #[test]
        fn while_others_use_the_ceiling_up_we_only_look_once_a_minute(
            skew_s in 0i64..60,
            latency_ms in 1u64..400,
        ) {
            let mut budget = WeightBudget::of(Market::UsdM);
            let (mut mono, mut made) = (0, 0);
            while mono < 600 * SECOND {
                let stamp = |mono: u64| Stamp { wall_ns: mono as i64 + skew_s * SECOND as i64, mono_ns: mono };
                match budget.ready_at(stamp(mono), Kind::Gap) {
                    Err(until) => mono = until.mono_ns,
                    Ok(()) => {
                        budget.spend(stamp(mono), Kind::Gap);
                        made += 1;
                        mono += latency_ms * 1_000_000;
                        budget.answered(stamp(mono), Some(2_000));
                    }
                }
            }
            prop_assert!(made <= 11, "{made} in ten minutes");
        }
    }
}
