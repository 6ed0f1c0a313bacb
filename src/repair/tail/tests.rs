//! Stories of the watch.

use super::*;
use crate::units::UnixMillis;
use proptest::prelude::*;

const MS: u64 = 1_000_000;
const NEVER: [u64; 0] = [];

fn at(seconds: f64) -> Stamp {
    Stamp { wall_ns: 0, mono_ns: (seconds * 1e9) as u64 }
}

fn rest(id: i64) -> Option<Newest> {
    Some(Newest { id: AggTradeId(id), traded_at: UnixMillis(0) })
}

fn id(id: i64) -> Option<AggTradeId> {
    Some(AggTradeId(id))
}

/// Whether a tick finds that a lane is to be looked at; if so it is.
fn is_looked_at(watch: &mut TailWatch, lane: usize, head: Option<AggTradeId>, now: Stamp) -> bool {
    let wants = matches!(watch.tick(lane, head, false, now), Tail::Probe(_));
    if wants {
        watch.looked(lane, now);
    }
    wants
}

/// Ticks once a second and tells the seconds in which a lane that stands still is looked at.
fn looks(
    watch: &mut TailWatch,
    head: Option<AggTradeId>,
    seconds: std::ops::RangeInclusive<u64>,
) -> Vec<u64> {
    seconds.filter(|s| is_looked_at(watch, 0, head, at(*s as f64))).collect()
}

#[test]
fn a_lane_that_stands_still_is_looked_at_less_and_less_often() {
    let mut watch = TailWatch::default();
    watch.opened(at(0.0));
    assert_eq!(looks(&mut watch, id(5), 0..=150), [3, 7, 15, 30, 60, 90, 120, 150]);
    assert_eq!(looks(&mut watch, id(6), 151..=250), [161, 181, 211, 241], "it moved, so it begins anew");
}

#[test]
fn a_lane_without_a_link_or_with_an_open_hole_is_not_looked_at() {
    let mut watch = TailWatch::default();
    assert_eq!(looks(&mut watch, id(5), 0..=100), NEVER);
    watch.opened(at(100.0));
    let probes = (101..=200).filter(|s| watch.tick(0, id(5), true, at(f64::from(*s))) != Tail::Quiet).count();
    assert_eq!(probes, 0);
    assert_eq!(looks(&mut watch, id(5), 201..=202), [201]);
    watch.closed();
    assert_eq!(looks(&mut watch, id(5), 203..=400), NEVER);
}

#[test]
fn a_trade_lost_before_a_reconnect_is_found_within_three_seconds_though_nobody_trades_any_more() {
    let mut watch = TailWatch::default();
    watch.opened(at(0.0));
    watch.tick(0, id(5), false, at(1.0));
    watch.closed();
    watch.opened(at(1.5));
    assert_eq!(looks(&mut watch, id(5), 2..=3), [3]);
    assert_eq!(watch.newest(0, rest(7), id(5), at(3.1)), Tail::Wait);
    assert_eq!(watch.tick(0, id(5), false, at(4.0)), Tail::Behind(AggTradeId(7)));
    // It is told once, and looked at again later.
    assert_eq!(watch.tick(0, id(5), true, at(5.0)), Tail::Quiet);
    assert_eq!(looks(&mut watch, id(7), 6..=20), [9, 13], "what REST brought is no sign of the stream");
}

#[test]
fn a_trade_that_rest_shows_late_after_a_reconnect_was_lost_and_the_connection_is_not_broken() {
    let mut watch = TailWatch::default();
    watch.opened(at(0.0));
    watch.tick(0, id(5), false, at(1.0));
    watch.opened(at(2.0));
    assert_eq!(looks(&mut watch, id(5), 3..=3), [3]);
    assert_eq!(watch.newest(0, rest(5), id(5), at(3.1)), Tail::Agreed);
    assert_eq!(looks(&mut watch, id(5), 4..=8), [5]);
    assert_eq!(watch.newest(0, rest(6), id(5), at(5.1)), Tail::Wait);
    assert_eq!(watch.tick(0, id(5), false, at(6.0)), Tail::Behind(AggTradeId(6)));
}

#[test]
fn a_lane_that_moves_after_a_disturbance_is_not_looked_at() {
    let mut watch = TailWatch::default();
    watch.opened(at(0.0));
    watch.tick(0, id(5), false, at(1.0));
    watch.disturbed(at(1.5));
    for second in 2..30 {
        assert_eq!(watch.tick(0, id(second + 4), false, at(second as f64)), Tail::Quiet);
    }
}

#[test]
fn a_move_that_may_have_been_before_the_disturbance_proves_nothing() {
    let mut watch = TailWatch::default();
    watch.opened(at(0.0));
    watch.tick(0, id(5), false, at(1.0));
    // 6 came at 1.2, 7 was lost at 1.5, and the market closed.
    watch.disturbed(at(1.5));
    assert_eq!(watch.tick(0, id(6), false, at(2.0)), Tail::Quiet);
    assert_eq!(looks(&mut watch, id(6), 3..=3), [3]);
    watch.newest(0, rest(7), id(6), at(3.1));
    assert_eq!(watch.tick(0, id(6), false, at(4.0)), Tail::Behind(AggTradeId(7)));
}

#[test]
fn a_move_proves_nothing_of_a_disturbance_that_may_have_come_after_it() {
    let mut watch = TailWatch::default();
    watch.opened(at(0.0));
    watch.tick(0, id(5), false, at(1.0));
    watch.disturbed(at(1.5));
    assert_eq!(watch.tick(0, id(5), false, at(2.0)), Tail::Quiet);
    // 6 came at 2.1; 7 was lost at 2.3.
    watch.disturbed(at(2.3));
    assert_eq!(watch.tick(0, id(6), false, at(3.0)), Tail::Quiet);
    assert_eq!(looks(&mut watch, id(6), 4..=6), [4]);
}

#[test]
fn disturbances_without_end_neither_prevent_a_look_nor_make_one_each_second() {
    let mut watch = TailWatch::default();
    watch.opened(at(0.0));
    watch.tick(0, id(5), false, at(0.0));
    let mut looks = 0;
    for tenth in 1..=600u32 {
        watch.disturbed(at(f64::from(tenth) / 10.0));
        if tenth % 10 == 0 && is_looked_at(&mut watch, 0, id(5), at(f64::from(tenth) / 10.0)) {
            looks += 1;
        }
    }
    assert!((10..=20).contains(&looks), "{looks} in a minute");
}

#[test]
fn a_connection_that_delivers_nothing_while_the_market_trades_is_broken_once() {
    let mut watch = TailWatch::default();
    watch.opened(at(0.0));
    watch.tick(0, id(4), false, at(1.0));
    watch.tick(0, id(5), false, at(2.0));
    assert_eq!(looks(&mut watch, id(5), 3..=12), [12]);
    assert_eq!(watch.newest(0, rest(9), id(5), at(12.2)), Tail::Wait);
    assert_eq!(looks(&mut watch, id(5), 13..=15), NEVER);
    assert_eq!(watch.tick(0, id(5), false, at(16.0)), Tail::Broken(AggTradeId(9)));
    // Another lane of the same session, or the same one again: only its ids are told.
    for minute in 1..5 {
        let now = 16.0 + 60.0 * f64::from(minute);
        watch.newest(0, rest(10), id(5), at(now));
        assert_eq!(watch.tick(0, id(5), false, at(now + 3.0)), Tail::Mute(AggTradeId(10)));
    }
}

#[test]
fn a_trade_that_comes_while_we_wait_is_no_alarm_even_if_a_later_one_is_known() {
    let mut watch = TailWatch::default();
    watch.opened(at(0.0));
    watch.tick(0, id(4), false, at(1.0));
    watch.tick(0, id(5), false, at(2.0));
    assert_eq!(looks(&mut watch, id(5), 3..=12), [12]);
    assert_eq!(watch.newest(0, rest(9), id(5), at(12.2)), Tail::Wait);
    assert_eq!(looks(&mut watch, id(6), 13..=20), NEVER);
}

#[test]
fn what_is_lost_here_while_we_wait_does_not_make_the_connection_broken() {
    let mut watch = TailWatch::default();
    watch.opened(at(0.0));
    watch.tick(0, id(4), false, at(1.0));
    watch.tick(0, id(5), false, at(2.0));
    assert_eq!(looks(&mut watch, id(5), 3..=12), [12]);
    watch.newest(0, rest(6), id(5), at(12.2));
    watch.disturbed(at(12.5));
    assert_eq!(looks(&mut watch, id(5), 13..=15), NEVER);
    assert_eq!(watch.tick(0, id(5), false, at(16.0)), Tail::Behind(AggTradeId(6)));
}

#[test]
fn a_lane_that_never_had_a_trade_is_broken_only_if_the_market_moves_while_we_listen() {
    let mut watch = TailWatch::default();
    watch.opened(at(0.0));
    assert_eq!(looks(&mut watch, None, 0..=3), [3]);
    assert_eq!(watch.newest(0, rest(900), None, at(3.1)), Tail::Quiet, "perhaps an old trade");
    assert_eq!(looks(&mut watch, None, 4..=7), [7]);
    assert_eq!(watch.newest(0, rest(900), None, at(7.1)), Tail::Agreed, "an old trade");
    assert_eq!(looks(&mut watch, None, 8..=15), [15]);
    assert_eq!(watch.newest(0, rest(901), None, at(15.1)), Tail::Wait);
    let told: Vec<Tail> = (16..25).map(|s| watch.tick(0, None, false, at(f64::from(s)))).collect();
    assert!(told.contains(&Tail::Broken(AggTradeId(901))), "{told:?}");
    // What trades while nobody listens is no sign.
    watch.closed();
    watch.opened(at(200.0));
    assert_eq!(looks(&mut watch, None, 201..=203), [203]);
    assert_eq!(watch.newest(0, rest(950), None, at(203.1)), Tail::Quiet);
}

#[test]
fn a_symbol_that_is_never_delivered_cuts_off_the_others_less_and_less_often() {
    let mut watch = TailWatch::default();
    let (mut newest, mut head) = (100i64, 100i64);
    let mut broken = Vec::new();
    watch.opened(at(0.0));
    for second in 1..=7_200u32 {
        newest += 1;
        let now = at(f64::from(second));
        match watch.tick(0, id(head), false, now) {
            Tail::Probe(_) => {
                watch.looked(0, now);
                watch.newest(0, rest(newest), id(head), now);
            }
            Tail::Behind(id) | Tail::Mute(id) => head = id.0,
            Tail::Broken(id) => {
                broken.push(second);
                watch.closed();
                watch.opened(at(f64::from(second) + 0.1));
                head = id.0;
            }
            Tail::Quiet | Tail::Wait | Tail::Agreed => {}
        }
    }
    assert!((5..=7).contains(&broken.len()), "{broken:?}");
    assert!(newest - head < 40, "REST brings what the stream does not: {newest} and {head}");
}

/// A market, a stream that is `latency` behind it, and REST that is `lag` behind it.
struct Sketch {
    /// When each id is traded, in milliseconds, ascending.
    trades: Vec<u64>,
    latency: u64,
    lag: u64,
    round_trip: u64,
}

impl Sketch {
    fn newest_by(&self, ms: u64) -> i64 {
        self.trades.partition_point(|t| *t <= ms) as i64 - 1
    }
}

proptest! {
    #[test]
    fn a_lane_that_is_delivered_is_never_called_behind_or_broken(
        gaps in prop::collection::vec(prop_oneof![0u64..2_000, 0u64..40_000], 1..60),
        latency in 0u64..700,
        lag in 0u64..8_000,
        round_trip in 0u64..5_000,
        disturbances in prop::collection::vec(0u64..600_000, 0..8),
        phase in 0u64..1_000,
    ) {
        let trades = gaps.iter().scan(0, |t, gap| { *t += gap; Some(*t) }).collect();
        let market = Sketch { trades, latency, lag, round_trip };
        let mut watch = TailWatch::default();
        watch.opened(at(0.0));
        let mut answer_at = None;
        for ms in (0..600_000u64).step_by(100) {
            let now = Stamp { wall_ns: 0, mono_ns: ms * MS };
            let head = Some(market.newest_by(ms.saturating_sub(market.latency))).filter(|h| *h >= 0);
            if disturbances.iter().any(|d| d / 100 == ms / 100) {
                watch.disturbed(now);
            }
            if let Some((due, newest)) = answer_at && due <= ms {
                answer_at = None;
                watch.newest(0, rest(newest), head.map(AggTradeId), now);
            }
            if ms % 1_000 == phase / 100 * 100 {
                match watch.tick(0, head.map(AggTradeId), false, now) {
                    Tail::Quiet => {}
                    Tail::Probe(_) => {
                        watch.looked(0, now);
                        let newest = market.newest_by((ms + market.round_trip / 2).saturating_sub(market.lag));
                        if newest >= 0 {
                            answer_at = answer_at.or(Some((ms + market.round_trip, newest)));
                        }
                    }
                    alarm => prop_assert!(false, "{:?} at {} ms with head {:?}", alarm, ms, head),
                }
            }
        }
    }

    #[test]
    fn every_lost_tail_is_found(
        gaps in prop::collection::vec(prop_oneof![0u64..2_000, 0u64..30_000], 2..40),
        lag in 0u64..8_000,
        // Links that go down (and what is traded meanwhile is lost), and frames that are lost here.
        down in prop::collection::vec((0u64..300_000, 100u64..20_000), 0..4),
        lost in prop::collection::vec((0u64..300_000, 100u64..3_000), 0..4),
    ) {
        let trades: Vec<u64> = gaps.iter().scan(500, |t, gap| { *t += gap; Some(*t) }).collect();
        let end = trades.last().copied().unwrap_or(0).max(330_000) + 200_000;
        let market = Sketch { trades, latency: 100, lag, round_trip: 100 };
        let mut watch = TailWatch::default();
        let within = |spans: &[(u64, u64)], ms: u64| spans.iter().any(|(from, long)| (*from..from + long).contains(&ms));
        let (mut head, mut up, mut losing, mut answer_at) = (None, false, false, None);
        for ms in (0..end).step_by(100) {
            let now = Stamp { wall_ns: 0, mono_ns: ms * MS };
            let is_up = !within(&down, ms);
            if up && !is_up { watch.closed(); }
            if !up && is_up { watch.opened(now); }
            up = is_up;
            let delivered = market.newest_by(ms.saturating_sub(market.latency));
            let is_losing = within(&lost, ms);
            let fresh = delivered > market.newest_by(ms.saturating_sub(market.latency + 100));
            if (is_losing && up && fresh) || (losing && !is_losing) { watch.disturbed(now); }
            losing = is_losing;
            // A later id shows what was lost before it, which is somebody else's work and succeeds here at once.
            if up && !is_losing && fresh { head = Some(AggTradeId(delivered)); }
            if let Some((due, newest)) = answer_at && due <= ms {
                answer_at = None;
                watch.newest(0, rest(newest), head, now);
            }
            if ms % 1_000 == 300 {
                match watch.tick(0, head, false, now) {
                    Tail::Probe(_) => {
                        watch.looked(0, now);
                        let newest = market.newest_by(ms.saturating_sub(market.lag));
                        if newest >= 0 { answer_at = Some((ms + market.round_trip, newest)); }
                    }
                    Tail::Behind(id) | Tail::Broken(id) | Tail::Mute(id) => {
                        prop_assert!(Some(id) > head && id.0 <= market.newest_by(ms));
                        head = Some(id);
                    }
                    Tail::Quiet | Tail::Wait | Tail::Agreed => {}
                }
            }
        }
        if head.is_some() {
            prop_assert_eq!(head, Some(AggTradeId(market.newest_by(end))));
        }
    }
}

/// How an exchange and its stream look to a lane over a while: ticks once a second, answers 100 ms after the question.
/// Gives the seconds in which REST was asked, the longest time without a trade or a voucher, and how often the
/// connection was called broken.
fn watched(
    watch: &mut TailWatch,
    trades: impl Fn(u64) -> i64,
    seconds: std::ops::RangeInclusive<u64>,
) -> (Vec<u64>, u64, u64) {
    let (mut asked, mut longest, mut broken) = (Vec::new(), 0, 0);
    let (mut head, mut alive) = (None, *seconds.start());
    for second in seconds {
        let newest = trades(second);
        if head != Some(newest) {
            (head, alive) = (Some(newest), second);
        }
        longest = longest.max(second - alive);
        match watch.tick(0, id(newest), false, at(second as f64)) {
            Tail::Probe(_) => {
                watch.looked(0, at(second as f64));
                asked.push(second);
                let now = at(second as f64 + 0.1);
                if watch.newest(0, rest(newest), id(newest), now) == Tail::Agreed && watch.vouches(now) {
                    alive = second;
                }
            }
            Tail::Broken(_) | Tail::Mute(_) | Tail::Behind(_) => broken += 1,
            Tail::Quiet | Tail::Wait | Tail::Agreed => {}
        }
    }
    (asked, longest, broken)
}

#[test]
fn one_trade_in_ten_minutes_is_vouched_for_all_day_long_and_never_reconnected() {
    for heartbeat in [10, 60, 600] {
        let mut watch = TailWatch::new(Duration::from_secs(heartbeat));
        watch.opened(at(0.0));
        let (asked, longest, broken) = watched(&mut watch, |second| (second / 600) as i64, 0..=86_400);
        assert!(longest < heartbeat, "{longest} s without a sign of life, of {heartbeat}");
        assert_eq!(broken, 0);
        // Looks are half a heartbeat apart, but not more than a minute.
        let most = 86_400 / (heartbeat / 2).min(60) + 3 * 144;
        assert!(asked.len() as u64 <= most, "{} looks in a day", asked.len());
    }
}

#[test]
fn patience_follows_the_rate_of_the_lane() {
    // Trades a second until second 100, then silence.
    for (per_second, first_look) in [(100, 102), (4, 104), (2, 108), (1, 116)] {
        let mut watch = TailWatch::default();
        watch.opened(at(0.0));
        let trades = |second: u64| second.min(100) as i64 * per_second;
        let (asked, _, _) = watched(&mut watch, trades, 0..=200);
        assert_eq!(asked.first(), Some(&first_look), "{per_second} a second: {asked:?}");
        assert!(asked.windows(2).all(|pair| pair[1] - pair[0] <= 30), "{asked:?}");
    }
}

#[test]
fn a_trade_younger_than_the_connection_shows_at_the_first_look_that_nothing_is_delivered() {
    let opened_ms = 5_000_000;
    let offset = ClockOffset { offset_ms: 70_000.0, error_ms: 40.0 };
    // When it was traded, after the opening by the exchange's clock, and what follows.
    for (after_ms, follows) in
        [(-1, Tail::Agreed), (1_900, Tail::Agreed), (2_100, Tail::Wait), (2_900, Tail::Wait)]
    {
        let mut watch = TailWatch::default();
        watch.clock_offset(Some(offset));
        let at = |second: f64| Stamp {
            wall_ns: (opened_ms as f64 * 1e6 + second * 1e9) as i64,
            mono_ns: (second * 1e9) as u64,
        };
        watch.opened(at(0.0));
        let looked: Vec<_> = (0..=3).map(|s| watch.tick(0, None, false, at(f64::from(s)))).collect();
        assert!(matches!(looked.last(), Some(Tail::Probe(_))));
        watch.looked(0, at(3.0));
        let newest = Newest { id: AggTradeId(9), traded_at: UnixMillis(opened_ms + 70_000 + after_ms) };
        assert_eq!(watch.newest(0, Some(newest), None, at(3.1)), follows, "{after_ms} ms");
        let told: Vec<_> = (4..=7).map(|s| watch.tick(0, None, false, at(f64::from(s)))).collect();
        assert_eq!(told.contains(&Tail::Broken(newest.id)), follows == Tail::Wait, "{after_ms} ms");
    }
}

#[test]
fn a_symbol_that_never_traded_is_quiet_and_one_that_has_here_and_not_there_says_nothing() {
    let mut watch = TailWatch::default();
    watch.opened(at(0.0));
    assert_eq!(looks(&mut watch, None, 0..=3), [3]);
    assert_eq!(watch.newest(0, None, None, at(3.1)), Tail::Agreed);
    assert!(watch.vouches(at(3.1)));
    assert_eq!(watch.tick(0, id(5), false, at(4.0)), Tail::Quiet);
    assert_eq!(watch.newest(0, None, id(5), at(5.0)), Tail::Quiet);
    assert_eq!(watch.newest(0, rest(4), id(5), at(5.0)), Tail::Quiet, "REST is behind");
    assert!(!watch.vouches(at(20.0)));
}

#[test]
fn many_silent_lanes_need_several_witnesses_and_one_contradiction_is_enough() {
    let mut watch = TailWatch::default();
    watch.opened(at(0.0));
    let tick = |watch: &mut TailWatch, second: u32| {
        for lane in 0..20 {
            watch.tick(lane, id(5), false, at(f64::from(second)));
        }
    };
    (0..20).for_each(|second| tick(&mut watch, second));
    for lane in 0..WITNESSES {
        assert!(!watch.vouches(at(20.0)), "{lane} of {WITNESSES}");
        assert_eq!(watch.newest(lane, rest(5), id(5), at(20.0)), Tail::Agreed);
    }
    assert!(watch.vouches(at(20.0)));
    assert_eq!(watch.newest(15, rest(6), id(5), at(20.0)), Tail::Wait);
    assert!(!watch.vouches(at(20.0)));
    (21..30).for_each(|second| tick(&mut watch, second));
    assert!(!watch.vouches(at(30.0)), "its silence is not the market's");
    assert_eq!(watch.tick(15, id(6), false, at(31.0)), Tail::Quiet);
    assert_eq!(watch.tick(15, id(7), false, at(32.0)), Tail::Quiet);
    assert!(watch.vouches(at(32.0)), "it moves");
}

#[test]
fn of_many_lanes_of_which_nothing_is_known_only_a_few_are_looked_at_early() {
    let mut watch = TailWatch::default();
    watch.opened(at(0.0));
    let mut early = 0;
    for second in 0..10 {
        early += (0..300).filter(|lane| is_looked_at(&mut watch, *lane, None, at(f64::from(second)))).count();
    }
    assert_eq!(early, 2 * CANARIES);
}

#[test]
fn what_was_traded_before_a_lane_joined_does_not_speak_against_the_connection() {
    let joined_ms = 5_000_000;
    // When it was traded, after the lane joined, and what follows; the connection is up for 100 s by then.
    for (after_ms, follows) in [(-90_000, Tail::Agreed), (1_900, Tail::Agreed), (2_100, Tail::Wait)] {
        let mut watch = TailWatch::default();
        watch.clock_offset(Some(ClockOffset { offset_ms: 0.0, error_ms: 40.0 }));
        let at = |second: f64| Stamp {
            wall_ns: (joined_ms as f64 * 1e6 + (second - 100.0) * 1e9) as i64,
            mono_ns: (second * 1e9) as u64,
        };
        watch.opened(at(0.0));
        watch.tick(0, id(5), false, at(1.0));
        let looked: Vec<_> = (100..=103).map(|s| watch.tick(1, None, false, at(f64::from(s)))).collect();
        assert!(matches!(looked.last(), Some(Tail::Probe(_))), "{looked:?}");
        watch.looked(1, at(103.0));
        let newest = Newest { id: AggTradeId(9), traded_at: UnixMillis(joined_ms + after_ms) };
        assert_eq!(watch.newest(1, Some(newest), None, at(103.1)), follows, "{after_ms} ms");
    }
}
