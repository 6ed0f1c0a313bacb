//! How far our wall clock is from the exchange's, from round trips: pure.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::snapshot::Stamp;
use crate::units::UnixMillis;

/// How far the exchange's clock is from ours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClockOffset {
    /// Exchange minus ours, in milliseconds; positive when our clock is behind.
    pub offset_ms: f64,
    /// The truth lies within plus or minus so many milliseconds, if the exchange tells the truth.
    pub error_ms: f64,
}

impl fmt::Display for ClockOffset {
    /// `-3.2±1.1ms`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+.1}±{:.1}ms", self.offset_ms, self.error_ms)
    }
}

/// Keeps the best of the last round trips: 16 at most, 10 minutes at most.
///
/// Of a round trip it is known that the exchange looked at its clock between our question and its answer; where between,
/// nobody knows. So the offset is that of the middle, and half the trip is its error (Cristian, "Probabilistic clock
/// synchronization", 1989). The shortest trip says the most, until it is so old that the clocks may have drifted apart.
#[derive(Debug, Clone, Default)]
pub struct OffsetEstimator {
    /// The oldest first.
    trips: VecDeque<Trip>,
}

/// What a round trip says about the moment of its end, in nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Trip {
    /// When the question left, by the monotonic clock: the exchange looked at its own no earlier.
    asked_at: u64,
    /// How far the wall clock was ahead of the monotonic one.
    wall_ahead: i128,
    offset: i128,
    error: i128,
}

const MOST_TRIPS: usize = 16;
const OLDEST: Duration = Duration::from_secs(600);
/// A longer trip says too little.
const LONGEST_TRIP: Duration = Duration::from_secs(5);
/// Two quartz clocks that nobody disciplines part by less than 50 µs in a second.
const DRIFT: (i128, i128) = (50, 1_000_000);
/// The exchange tells whole milliseconds and cuts the rest off: half of one is added, and may be wrong.
const HALF_A_MS: i128 = 500_000;
/// Our two clocks are read one after the other, and may part a little: so much, and one in a thousand.
const UNEVEN: i128 = 1_000_000;
/// After a step of the wall clock by more than this, nothing that came before it counts.
const STEPPED: i128 = 500_000_000;

impl OffsetEstimator {
    /// One round trip: sent, answered with the exchange's time, received. Refused if it took more than 5 s, or if our
    /// clocks do not agree on how long it took: then one of them was set, or the machine slept.
    pub fn sample(&mut self, sent: Stamp, received: Stamp, server: UnixMillis) {
        let Some(took) = received.mono_ns.checked_sub(sent.mono_ns) else { return };
        let took_by_wall = i128::from(received.wall_ns) - i128::from(sent.wall_ns);
        let uneven = (took_by_wall - i128::from(took)).abs();
        if Duration::from_nanos(took) > LONGEST_TRIP || uneven > UNEVEN + i128::from(took) / 1_000 {
            return;
        }
        let half = i128::from(took) / 2;
        let trip = Trip {
            asked_at: sent.mono_ns,
            wall_ahead: wall_ahead(received),
            offset: i128::from(server.0) * 1_000_000 + HALF_A_MS - (i128::from(received.wall_ns) - half),
            error: half + 1 + HALF_A_MS + uneven,
        };
        // A clock that was set, here or there, cannot be told from one that was not but by the newest answer.
        self.trips.retain(|old| {
            old.error_at(received)
                .is_some_and(|error| (old.offset - trip.offset).abs() <= error.saturating_add(trip.error))
        });
        if self.trips.len() == MOST_TRIPS {
            self.trips.pop_front();
        }
        self.trips.push_back(trip);
    }

    /// Our wall clock was set: what was known of it is void.
    pub fn clock_stepped(&mut self) {
        self.trips.clear();
    }

    /// What is known now: the trip with the smallest error. `None` before the first and ten minutes after the last.
    pub fn estimate(&self, now: Stamp) -> Option<ClockOffset> {
        let known = self.trips.iter().filter_map(|trip| Some((trip.error_at(now)?, trip.offset)));
        let (error, offset) = known.min()?;
        Some(ClockOffset { offset_ms: millis(offset), error_ms: millis(error) })
    }
}

impl Trip {
    /// The error now; `None` if it says nothing any more.
    fn error_at(&self, now: Stamp) -> Option<i128> {
        let age = now.mono_ns.saturating_sub(self.asked_at);
        // What the wall clock did beyond what the monotonic one saw is a small step, or slewing.
        let moved = (wall_ahead(now) - self.wall_ahead).abs();
        let is_known = Duration::from_nanos(age) <= OLDEST && moved <= STEPPED;
        is_known.then(|| self.error + moved + i128::from(age) * DRIFT.0 / DRIFT.1)
    }
}

fn wall_ahead(stamp: Stamp) -> i128 {
    i128::from(stamp.wall_ns) - i128::from(stamp.mono_ns)
}

fn millis(nanos: i128) -> f64 {
    nanos as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;
    const BEGUN: i64 = 1_795_132_800_000_000_000;

    /// Our clocks, so many nanoseconds after the start.
    fn ours(mono_ns: u64) -> Stamp {
        Stamp { wall_ns: BEGUN + mono_ns as i64, mono_ns }
    }

    fn estimate(estimator: &OffsetEstimator, now: Stamp) -> (f64, f64) {
        let ClockOffset { offset_ms, error_ms } = estimator.estimate(now).expect("something is known");
        (offset_ms, error_ms)
    }

    fn near(told: (f64, f64), expected: (f64, f64)) {
        let is_near = (told.0 - expected.0).abs() < 1e-3 && (told.1 - expected.1).abs() < 1e-3;
        assert!(is_near, "{told:?} for {expected:?}");
    }

    /// The exchange's clock `ahead_ms` ahead of ours, read in the middle of a trip.
    fn trip(estimator: &mut OffsetEstimator, sent_ms: u64, took_ms: u64, ahead_ms: i64) {
        let (sent, received) = (ours(sent_ms * MS), ours((sent_ms + took_ms) * MS));
        let server = UnixMillis(BEGUN / 1_000_000 + (sent_ms + took_ms / 2) as i64 + ahead_ms);
        estimator.sample(sent, received, server);
    }

    #[test]
    fn the_shortest_trip_says_the_most_until_it_is_old() {
        let mut estimator = OffsetEstimator::default();
        assert_eq!(estimator.estimate(ours(0)), None);
        trip(&mut estimator, 0, 200, 30);
        near(estimate(&estimator, ours(200 * MS)), (30.5, 100.51));
        trip(&mut estimator, 1_000, 10, 32);
        trip(&mut estimator, 2_000, 40, 25);
        near(estimate(&estimator, ours(2_000 * MS)), (32.5, 5.55));
        // 50 µs a second: after 5 minutes the younger trip, with 20.5, would have been better by nothing yet.
        near(estimate(&estimator, ours(301_000 * MS)), (32.5, 20.5));
        trip(&mut estimator, 400_000, 20, 20);
        near(estimate(&estimator, ours(400_020 * MS)), (20.5, 10.501));
        assert_eq!(estimator.estimate(ours(1_000_001 * MS)), None, "ten minutes after the last");
    }

    #[test]
    fn a_trip_that_took_too_long_or_saw_the_clock_being_set_is_refused() {
        let refused = |sent: Stamp, received: Stamp| {
            let mut estimator = OffsetEstimator::default();
            estimator.sample(sent, received, UnixMillis(BEGUN / 1_000_000));
            estimator.estimate(received).is_none()
        };
        let stepped = |by_ns: i64| Stamp { wall_ns: ours(100 * MS).wall_ns + by_ns, ..ours(100 * MS) };
        assert!(!refused(ours(0), ours(5_000 * MS)));
        assert!(refused(ours(0), ours(5_000 * MS + 1)));
        assert!(refused(ours(1), ours(0)), "backwards");
        assert!(!refused(ours(0), stepped(1_000_000)));
        for by_ms in [-3_600_000, -2, 2, 3_600_000] {
            assert!(refused(ours(0), stepped(by_ms * 1_000_000)), "{by_ms}");
        }
        let extreme = |wall_ns| Stamp { wall_ns, mono_ns: 0 };
        assert!(refused(extreme(i64::MIN), extreme(i64::MAX)));
    }

    #[test]
    fn after_a_step_nothing_is_known_until_the_next_trip() {
        let mut estimator = OffsetEstimator::default();
        trip(&mut estimator, 0, 10, 3);
        let by = |ms: i64| Stamp { wall_ns: ours(20 * MS).wall_ns + ms * 1_000_000, ..ours(20 * MS) };
        near(estimate(&estimator, by(-200)), (3.5, 205.501));
        near(estimate(&estimator, by(200)), (3.5, 205.501));
        assert_eq!(estimator.estimate(by(600)), None, "noticed without being told");
        estimator.clock_stepped();
        assert_eq!(estimator.estimate(ours(20 * MS)), None);
        trip(&mut estimator, 30, 10, -4);
        near(estimate(&estimator, ours(40 * MS)), (-3.5, 5.501));
    }

    #[test]
    fn the_newest_answer_overrules_those_it_contradicts() {
        let mut estimator = OffsetEstimator::default();
        trip(&mut estimator, 0, 10, 0);
        trip(&mut estimator, 1_000, 200, 90);
        near(estimate(&estimator, ours(1_200 * MS)), (0.5, 5.56));
        // Beyond what both errors and the drift allow.
        trip(&mut estimator, 2_000, 200, 300);
        near(estimate(&estimator, ours(2_200 * MS)), (300.5, 100.51));
    }

    #[test]
    fn a_clock_that_is_days_off_is_told_as_such_and_the_absurd_is_no_panic() {
        let mut estimator = OffsetEstimator::default();
        trip(&mut estimator, 0, 10, -3 * 86_400_000);
        near(estimate(&estimator, ours(10 * MS)), (-3.0 * 86_400_000.0 + 0.5, 5.501));
        for server in [0, -1, i64::MIN, i64::MAX] {
            estimator.sample(ours(0), ours(MS), UnixMillis(server));
            let (offset_ms, _) = estimate(&estimator, ours(MS));
            assert!(offset_ms.is_finite() && (offset_ms < 0.0) == (server <= 0), "{offset_ms}");
        }
        for wall_ns in [i64::MIN, i64::MAX] {
            let stamp = Stamp { wall_ns, mono_ns: u64::MAX };
            estimator.sample(stamp, stamp, UnixMillis(i64::MIN));
            assert!(estimator.estimate(stamp).is_some());
        }
    }

    #[test]
    fn no_more_than_sixteen_trips_are_kept() {
        let mut estimator = OffsetEstimator::default();
        trip(&mut estimator, 0, 2, 0);
        for at in 0..15 {
            trip(&mut estimator, 100 + 100 * at, 50, 0);
        }
        near(estimate(&estimator, ours(1_600 * MS)), (0.5, 1.58));
        trip(&mut estimator, 1_600, 50, 0);
        assert_eq!(estimator.trips.len(), MOST_TRIPS);
        assert!(estimate(&estimator, ours(1_700 * MS)).1 > 25.0);
    }

    #[test]
    fn an_offset_reads_as_a_person_would_write_it() {
        let told = |offset_ms, error_ms| ClockOffset { offset_ms, error_ms }.to_string();
        assert_eq!(told(-3.21, 1.08), "-3.2±1.1ms");
        assert_eq!(told(1_000.0, 12.5), "+1000.0±12.5ms");
    }

    #[derive(Debug, Clone)]
    struct Way {
        pause_ms: u64,
        there_us: u64,
        back_us: u64,
    }

    fn ways() -> impl Strategy<Value = Vec<Way>> {
        let delay = || prop_oneof![0u64..1_000, 1_000u64..100_000, Just(0), 100_000u64..3_000_000];
        let way = (0u64..120_000, delay(), delay());
        let way = way.prop_map(|(pause_ms, there_us, back_us)| Way { pause_ms, there_us, back_us });
        prop::collection::vec(way, 1..40)
    }

    proptest! {
        #[test]
        fn the_truth_lies_within_the_error_however_uneven_the_way_and_however_the_clocks_drift(
            ways in ways(),
            offset_us in -200_000_000_000i64..200_000_000_000,
            drift_ppm in -50i64..=50,
            later_ms in 0u64..700_000,
        ) {
            // The exchange's clock in nanoseconds since 1970 when ours is monotonic.
            let theirs = |mono_ns: u64| {
                let drifted = i128::from(mono_ns) * i128::from(drift_ppm) / 1_000_000;
                i128::from(ours(mono_ns).wall_ns) + i128::from(offset_us) * 1_000 + drifted
            };
            let mut estimator = OffsetEstimator::default();
            let mut now = 0;
            for Way { pause_ms, there_us, back_us } in ways {
                now += pause_ms * MS;
                let sent = ours(now);
                now += there_us * 1_000;
                let server = UnixMillis((theirs(now) / 1_000_000) as i64);
                now += back_us * 1_000;
                estimator.sample(sent, ours(now), server);
                for at in [now, now + later_ms * MS] {
                    let Some(told) = estimator.estimate(ours(at)) else { continue };
                    let truth = (theirs(at) - i128::from(ours(at).wall_ns)) as f64 / 1e6;
                    prop_assert!((told.offset_ms - truth).abs() <= told.error_ms + 1e-6, "{told} for {truth}");
                }
                let took = there_us + back_us;
                if took <= 5_000_000 {
                    let told = estimator.estimate(ours(now)).expect("an answer came right now");
                    let worst = took as f64 / 2e3 + 0.5 + 0.26;
                    prop_assert!(told.error_ms <= worst, "{told} is no better than the last trip, {worst}");
                }
            }
        }
    }
}
