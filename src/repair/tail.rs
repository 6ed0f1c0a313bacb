//! Is the stream where the exchange is? A loss after the last trade has no later id that would show it, and a
//! connection that delivers nothing looks like a market in which nobody trades. REST knows the newest id.

use std::collections::BTreeMap;
use std::time::Duration;

use super::hole::{after, nanos};
use crate::snapshot::Stamp;
use crate::units::AggTradeId;

/// After a connection opened, or something was lost here: a lane that has not moved for so long is looked at.
const UNSURE: Duration = Duration::from_secs(1);
/// Two looks of that kind at one lane are so far apart at least.
const UNSURE_AGAIN: Duration = Duration::from_secs(3);
/// When a lane that stands still is looked at: after 10 s, then 20 s after that, 40 s, 60 s, 60 s …
const IDLE: [Duration; 4] =
    [Duration::from_secs(10), Duration::from_secs(20), Duration::from_secs(40), Duration::from_secs(60)];
/// REST may know a trade before the stream brings it (100 ms is normal): so long the stream has to catch up.
const BEHIND_AFTER: Duration = Duration::from_millis(800);
/// The same, before a connection is called broken.
const BROKEN_AFTER: Duration = Duration::from_secs(3);
/// A connection is called broken so long after the last one at the earliest; twice as long each time …
const BROKEN_AGAIN: Duration = Duration::from_secs(60);
/// … up to this …
const BROKEN_AGAIN_MAX: Duration = Duration::from_secs(3_600);
/// … and from the beginning after so long without one.
const BROKEN_FORGOTTEN: Duration = Duration::from_secs(2 * 3_600);

/// What is known about the end of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// Nothing to do.
    Quiet,
    /// The newest id is to be asked for, and the answer handed to [`TailWatch::newest`].
    Probe,
    /// The exchange has a later id. The stream may be about to bring it; [`TailWatch::tick`] will tell, a second or
    /// three later.
    Wait,
    /// The ids up to this one were lost before, or while we were unable to take them: they are missing.
    Behind(AggTradeId),
    /// The market trades and this connection delivers nothing: connect anew; the ids up to this one are missing. A
    /// lane that never had a trade has no first id that could be missing.
    Broken(AggTradeId),
}

/// Watches the ends of all lanes of a connection. Knows no clock: ticked once a second.
///
/// No lane whose head moves is ever called behind or broken, whatever REST says.
#[derive(Debug, Default)]
pub struct TailWatch {
    lanes: BTreeMap<usize, Lane>,
    link_up: bool,
    /// Counts disturbances, of all lanes: a connection that opened, frames that were lost here.
    disturbances: u64,
    broken_told: bool,
    broken: Option<Broken>,
}

#[derive(Debug)]
struct Lane {
    head: Option<AggTradeId>,
    /// When it moved last, or a disturbance began to raise doubts.
    still_since: u64,
    /// The next look while nothing moves, and which of [`IDLE`] comes after it.
    idle_at: u64,
    idle_step: usize,
    /// The disturbance up to which the end is known to be right.
    sure_of: u64,
    /// The head was seen after a disturbance: if it moves on from there, what was lost before will show as a hole.
    doubt: Option<Doubt>,
    /// The last look, and the last disturbance before it.
    looked_at: Option<u64>,
    looked_for: u64,
    /// The exchange has a later id, and the lane has not moved since.
    ahead: Option<Ahead>,
    /// A lane without any trade: the newest id that the first look found.
    floor: Option<AggTradeId>,
}

#[derive(Debug, Clone, Copy)]
struct Doubt {
    since: u64,
    disturbance: u64,
}

#[derive(Debug, Clone, Copy)]
struct Ahead {
    id: AggTradeId,
    until: u64,
    broken: bool,
}

#[derive(Debug, Clone, Copy)]
struct Broken {
    at: u64,
    pause: u64,
}

impl TailWatch {
    /// No lane and no link yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A connection opened.
    pub fn opened(&mut self, now: Stamp) {
        self.link_up = true;
        self.broken_told = false;
        self.lanes.values_mut().for_each(|lane| lane.ahead = None);
        self.disturbed(now);
    }

    /// The connection closed. Its last trades have been seen before this is called.
    pub fn closed(&mut self) {
        self.link_up = false;
        self.lanes.values_mut().for_each(|lane| lane.ahead = None);
    }

    /// Frames were lost here, or could not be read. Any lane may have lost its last trade.
    pub fn disturbed(&mut self, now: Stamp) {
        self.disturbances += 1;
        for lane in self.lanes.values_mut() {
            lane.restart(now);
            if let Some(ahead) = &mut lane.ahead {
                // What we wait for may have been lost right now.
                ahead.broken = false;
            }
        }
    }

    /// Once a second for each lane: its newest known id (those held behind a hole included) and whether a hole is open.
    /// Never answers [`Tail::Wait`].
    pub fn tick(&mut self, lane: usize, head: Option<AggTradeId>, hole_open: bool, now: Stamp) -> Tail {
        let disturbances = self.disturbances;
        let link_up = self.link_up;
        let entry = self.lanes.entry(lane).or_insert_with(|| Lane::new(head, disturbances, now));
        entry.saw(head, disturbances, now);
        if !link_up || hole_open {
            entry.ahead = None;
            return Tail::Quiet;
        }
        if let Some(ahead) = entry.ahead {
            if now.mono_ns < ahead.until {
                return Tail::Quiet;
            }
            entry.ahead = None;
            return self.confirmed(lane, head, ahead, now);
        }
        match entry.wants_look(head, disturbances, now) {
            true => Tail::Probe,
            false => Tail::Quiet,
        }
    }

    /// The newest id the exchange has for a lane, and what its head is now: [`Tail::Quiet`] or [`Tail::Wait`]. REST
    /// may know a trade before the stream brings it, so it is [`TailWatch::tick`] that tells the rest.
    pub fn newest(&mut self, lane: usize, id: AggTradeId, head: Option<AggTradeId>, now: Stamp) -> Tail {
        let disturbances = self.disturbances;
        let Some(entry) = self.lanes.get_mut(&lane) else { return Tail::Quiet };
        entry.saw(head, disturbances, now);
        let floor = head.unwrap_or(*entry.floor.get_or_insert(id));
        if id <= floor || !self.link_up {
            return Tail::Quiet;
        }
        // Not moved since the last disturbance: it may have been lost then, and the connection be sound.
        let broken = head.is_none() || entry.sure_of == disturbances;
        let wait = if broken { BROKEN_AFTER } else { BEHIND_AFTER };
        entry.ahead.get_or_insert(Ahead { id, until: after(now, wait), broken });
        Tail::Wait
    }

    fn confirmed(&mut self, lane: usize, head: Option<AggTradeId>, ahead: Ahead, now: Stamp) -> Tail {
        if let Some(entry) = self.lanes.get_mut(&lane) {
            entry.floor = Some(ahead.id);
        }
        if ahead.broken && !self.broken_told && self.may_tell_broken(now) {
            self.broken_told = true;
            return Tail::Broken(ahead.id);
        }
        // Connecting anew did not help: then at least nothing is lost.
        if head.is_some() { Tail::Behind(ahead.id) } else { Tail::Quiet }
    }

    /// Less and less often, because a symbol that is never delivered must not cut off the others.
    fn may_tell_broken(&mut self, now: Stamp) -> bool {
        let first = nanos(BROKEN_AGAIN);
        let pause = match self.broken {
            None => first,
            Some(last) => match now.mono_ns.saturating_sub(last.at) {
                since if since < last.pause => return false,
                since if since >= nanos(BROKEN_FORGOTTEN) => first,
                _ => last.pause.saturating_mul(2).min(nanos(BROKEN_AGAIN_MAX)),
            },
        };
        self.broken = Some(Broken { at: now.mono_ns, pause });
        true
    }
}

impl Lane {
    fn new(head: Option<AggTradeId>, disturbances: u64, now: Stamp) -> Self {
        let mut lane = Self {
            head,
            still_since: 0,
            idle_at: 0,
            idle_step: 0,
            sure_of: disturbances,
            doubt: None,
            looked_at: None,
            looked_for: disturbances,
            ahead: None,
            floor: None,
        };
        lane.restart(now);
        lane
    }

    /// The rhythm of looks begins anew.
    fn restart(&mut self, now: Stamp) {
        self.still_since = now.mono_ns;
        self.idle_at = after(now, IDLE[0]);
        self.idle_step = 1;
        self.floor = None;
    }

    /// Takes note of the head. A lane that moves is sound: what was lost before shows as a hole.
    fn saw(&mut self, head: Option<AggTradeId>, disturbances: u64, now: Stamp) {
        if head == self.head {
            return;
        }
        let first = self.head.is_none();
        self.head = head;
        self.ahead = None;
        self.restart(now);
        if let Some(doubt) = self.doubt.take() {
            self.sure_of = doubt.disturbance;
        }
        if first {
            self.sure_of = disturbances;
        } else if self.sure_of != disturbances {
            // It may have moved before that disturbance: only the next move is proof.
            self.doubt = Some(Doubt { since: now.mono_ns, disturbance: disturbances });
        }
    }

    fn wants_look(&mut self, head: Option<AggTradeId>, disturbances: u64, now: Stamp) -> bool {
        let idle = now.mono_ns >= self.idle_at;
        if idle {
            self.idle_at = after(now, IDLE[self.idle_step]);
            self.idle_step = (self.idle_step + 1).min(IDLE.len() - 1);
        }
        let looks = self.is_unsure(head, disturbances, now) || idle;
        if looks {
            self.looked_for = disturbances;
            self.looked_at = Some(now.mono_ns);
        }
        looks
    }

    /// Whether the last trade may have been lost, and nobody has looked since.
    fn is_unsure(&mut self, head: Option<AggTradeId>, disturbances: u64, now: Stamp) -> bool {
        if head.is_none() || self.sure_of == disturbances {
            return false;
        }
        let doubt = Doubt { since: self.still_since, disturbance: disturbances };
        let since = self.doubt.get_or_insert(doubt).since;
        let rested = self.looked_at.is_none_or(|at| now.mono_ns.saturating_sub(at) >= nanos(UNSURE_AGAIN));
        self.looked_for != disturbances && rested && now.mono_ns.saturating_sub(since) >= nanos(UNSURE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;
    const NEVER: [u64; 0] = [];

    fn at(seconds: f64) -> Stamp {
        Stamp { wall_ns: 0, mono_ns: (seconds * 1e9) as u64 }
    }

    fn id(id: i64) -> Option<AggTradeId> {
        Some(AggTradeId(id))
    }

    /// Ticks once a second and tells the seconds in which a lane that stands still is looked at.
    fn looks(
        watch: &mut TailWatch,
        head: Option<AggTradeId>,
        seconds: std::ops::RangeInclusive<u64>,
    ) -> Vec<u64> {
        seconds.filter(|s| watch.tick(0, head, false, at(*s as f64)) == Tail::Probe).collect()
    }

    #[test]
    fn a_lane_that_stands_still_is_looked_at_less_and_less_often() {
        let mut watch = TailWatch::new();
        watch.opened(at(0.0));
        assert_eq!(looks(&mut watch, id(5), 0..=300), [10, 30, 70, 130, 190, 250]);
        assert_eq!(looks(&mut watch, id(6), 301..=320), [311], "it moved, so it begins anew");
    }

    #[test]
    fn a_lane_without_a_link_or_with_an_open_hole_is_not_looked_at() {
        let mut watch = TailWatch::new();
        assert_eq!(looks(&mut watch, id(5), 0..=100), NEVER);
        watch.opened(at(100.0));
        let probes =
            (101..=200).filter(|s| watch.tick(0, id(5), true, at(f64::from(*s))) != Tail::Quiet).count();
        assert_eq!(probes, 0);
        assert_eq!(looks(&mut watch, id(5), 201..=202), [201]);
        watch.closed();
        assert_eq!(looks(&mut watch, id(5), 203..=400), NEVER);
    }

    #[test]
    fn a_trade_lost_before_a_reconnect_is_found_within_three_seconds_though_nobody_trades_any_more() {
        let mut watch = TailWatch::new();
        watch.opened(at(0.0));
        watch.tick(0, id(5), false, at(1.0));
        watch.closed();
        watch.opened(at(1.5));
        assert_eq!(looks(&mut watch, id(5), 2..=3), [3]);
        assert_eq!(watch.newest(0, AggTradeId(7), id(5), at(3.1)), Tail::Wait);
        assert_eq!(watch.tick(0, id(5), false, at(4.0)), Tail::Behind(AggTradeId(7)));
        // It is told once, and looked at again later.
        assert_eq!(watch.tick(0, id(5), true, at(5.0)), Tail::Quiet);
        assert_eq!(looks(&mut watch, id(7), 6..=20), [16]);
    }

    #[test]
    fn a_trade_that_rest_shows_late_after_a_reconnect_was_lost_and_the_connection_is_not_broken() {
        let mut watch = TailWatch::new();
        watch.opened(at(0.0));
        watch.tick(0, id(5), false, at(1.0));
        watch.opened(at(2.0));
        assert_eq!(looks(&mut watch, id(5), 3..=3), [3]);
        assert_eq!(watch.newest(0, AggTradeId(5), id(5), at(3.1)), Tail::Quiet);
        assert_eq!(looks(&mut watch, id(5), 4..=12), [12]);
        assert_eq!(watch.newest(0, AggTradeId(6), id(5), at(12.1)), Tail::Wait);
        assert_eq!(watch.tick(0, id(5), false, at(13.0)), Tail::Behind(AggTradeId(6)));
    }

    #[test]
    fn a_lane_that_moves_after_a_disturbance_is_not_looked_at() {
        let mut watch = TailWatch::new();
        watch.opened(at(0.0));
        watch.tick(0, id(5), false, at(1.0));
        watch.disturbed(at(1.5));
        for second in 2..30 {
            assert_eq!(watch.tick(0, id(second + 4), false, at(second as f64)), Tail::Quiet);
        }
    }

    #[test]
    fn a_move_that_may_have_been_before_the_disturbance_proves_nothing() {
        let mut watch = TailWatch::new();
        watch.opened(at(0.0));
        watch.tick(0, id(5), false, at(1.0));
        // 6 came at 1.2, 7 was lost at 1.5, and the market closed.
        watch.disturbed(at(1.5));
        assert_eq!(watch.tick(0, id(6), false, at(2.0)), Tail::Quiet);
        assert_eq!(looks(&mut watch, id(6), 3..=3), [3]);
        watch.newest(0, AggTradeId(7), id(6), at(3.1));
        assert_eq!(watch.tick(0, id(6), false, at(4.0)), Tail::Behind(AggTradeId(7)));
    }

    #[test]
    fn a_move_proves_nothing_of_a_disturbance_that_may_have_come_after_it() {
        let mut watch = TailWatch::new();
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
        let mut watch = TailWatch::new();
        watch.opened(at(0.0));
        watch.tick(0, id(5), false, at(0.0));
        let mut looks = 0;
        for tenth in 1..=600u32 {
            watch.disturbed(at(f64::from(tenth) / 10.0));
            if tenth % 10 == 0 && watch.tick(0, id(5), false, at(f64::from(tenth) / 10.0)) == Tail::Probe {
                looks += 1;
            }
        }
        assert!((10..=20).contains(&looks), "{looks} in a minute");
    }

    #[test]
    fn a_connection_that_delivers_nothing_while_the_market_trades_is_broken_once() {
        let mut watch = TailWatch::new();
        watch.opened(at(0.0));
        watch.tick(0, id(4), false, at(1.0));
        watch.tick(0, id(5), false, at(2.0));
        assert_eq!(looks(&mut watch, id(5), 3..=12), [12]);
        assert_eq!(watch.newest(0, AggTradeId(9), id(5), at(12.2)), Tail::Wait);
        assert_eq!(looks(&mut watch, id(5), 13..=15), NEVER);
        assert_eq!(watch.tick(0, id(5), false, at(16.0)), Tail::Broken(AggTradeId(9)));
        // Another lane of the same session, or the same one again: only its ids are told.
        for minute in 1..5 {
            let now = 16.0 + 60.0 * f64::from(minute);
            watch.newest(0, AggTradeId(10), id(5), at(now));
            assert_eq!(watch.tick(0, id(5), false, at(now + 3.0)), Tail::Behind(AggTradeId(10)));
        }
    }

    #[test]
    fn a_trade_that_comes_while_we_wait_is_no_alarm_even_if_a_later_one_is_known() {
        let mut watch = TailWatch::new();
        watch.opened(at(0.0));
        watch.tick(0, id(4), false, at(1.0));
        watch.tick(0, id(5), false, at(2.0));
        assert_eq!(looks(&mut watch, id(5), 3..=12), [12]);
        assert_eq!(watch.newest(0, AggTradeId(9), id(5), at(12.2)), Tail::Wait);
        assert_eq!(looks(&mut watch, id(6), 13..=20), NEVER);
    }

    #[test]
    fn what_is_lost_here_while_we_wait_does_not_make_the_connection_broken() {
        let mut watch = TailWatch::new();
        watch.opened(at(0.0));
        watch.tick(0, id(4), false, at(1.0));
        watch.tick(0, id(5), false, at(2.0));
        assert_eq!(looks(&mut watch, id(5), 3..=12), [12]);
        watch.newest(0, AggTradeId(6), id(5), at(12.2));
        watch.disturbed(at(12.5));
        assert_eq!(looks(&mut watch, id(5), 13..=15), NEVER);
        assert_eq!(watch.tick(0, id(5), false, at(16.0)), Tail::Behind(AggTradeId(6)));
    }

    #[test]
    fn a_lane_that_never_had_a_trade_is_broken_only_if_the_market_moves_while_we_listen() {
        let mut watch = TailWatch::new();
        watch.opened(at(0.0));
        assert_eq!(looks(&mut watch, None, 0..=10), [10]);
        assert_eq!(watch.newest(0, AggTradeId(900), None, at(10.1)), Tail::Quiet, "an old trade");
        assert_eq!(looks(&mut watch, None, 11..=30), [30]);
        assert_eq!(watch.newest(0, AggTradeId(901), None, at(30.1)), Tail::Wait);
        let told: Vec<Tail> = (31..40).map(|s| watch.tick(0, None, false, at(f64::from(s)))).collect();
        assert!(told.contains(&Tail::Broken(AggTradeId(901))), "{told:?}");
        // What trades while nobody listens is no sign.
        watch.closed();
        watch.opened(at(200.0));
        assert_eq!(looks(&mut watch, None, 201..=210), [210]);
        assert_eq!(watch.newest(0, AggTradeId(950), None, at(210.1)), Tail::Quiet);
    }

    #[test]
    fn a_symbol_that_is_never_delivered_cuts_off_the_others_less_and_less_often() {
        let mut watch = TailWatch::new();
        let (mut newest, mut head) = (100i64, 100i64);
        let mut broken = Vec::new();
        watch.opened(at(0.0));
        for second in 1..=7_200u32 {
            newest += 1;
            let now = at(f64::from(second));
            match watch.tick(0, id(head), false, now) {
                Tail::Probe => {
                    watch.newest(0, AggTradeId(newest), id(head), now);
                }
                Tail::Behind(id) => head = id.0,
                Tail::Broken(id) => {
                    broken.push(second);
                    watch.closed();
                    watch.opened(at(f64::from(second) + 0.1));
                    head = id.0;
                }
                Tail::Quiet | Tail::Wait => {}
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
            let mut watch = TailWatch::new();
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
                    watch.newest(0, AggTradeId(newest), head.map(AggTradeId), now);
                }
                if ms % 1_000 == phase / 100 * 100 {
                    match watch.tick(0, head.map(AggTradeId), false, now) {
                        Tail::Quiet => {}
                        Tail::Probe => {
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
            let mut watch = TailWatch::new();
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
                    watch.newest(0, AggTradeId(newest), head, now);
                }
                if ms % 1_000 == 300 {
                    match watch.tick(0, head, false, now) {
                        Tail::Probe => {
                            let newest = market.newest_by(ms.saturating_sub(market.lag));
                            if newest >= 0 { answer_at = Some((ms + market.round_trip, newest)); }
                        }
                        Tail::Behind(id) | Tail::Broken(id) => {
                            prop_assert!(Some(id) > head && id.0 <= market.newest_by(ms));
                            head = Some(id);
                        }
                        Tail::Quiet | Tail::Wait => {}
                    }
                }
            }
            if head.is_some() {
                prop_assert_eq!(head, Some(AggTradeId(market.newest_by(end))));
            }
        }
    }
}
