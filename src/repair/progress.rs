//! How far the repair after an outage has come, where many symbols are concerned: pure, time is an argument.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Notice;
use crate::snapshot::Stamp;

/// With more lanes than this, how it goes on is told.
const MANY: usize = 10;
/// How often.
const EVERY: Duration = Duration::from_secs(10);
/// Connections that open within this time of each other are told of together.
const TOGETHER: Duration = Duration::from_secs(2);
/// A page takes about so long while the weight does not limit it.
const PAGE: Duration = Duration::from_millis(100);

/// Tells what an outage of many lanes takes: beforehand, every ten seconds, and in the end.
#[derive(Debug, Default)]
pub(super) struct Progress {
    opened: Option<Opened>,
    outage: Option<Outage>,
}

/// Connections that opened, and the lanes that may have lost trades before.
#[derive(Debug, Clone, Copy)]
struct Opened {
    lanes: usize,
    last: u64,
}

#[derive(Debug)]
struct Outage {
    since: u64,
    /// Lanes that missed something in it.
    cut_off: BTreeSet<usize>,
    /// Those among them that miss something now.
    left: BTreeSet<usize>,
    given_up: BTreeSet<usize>,
    /// Requests for missing trades that were made before it.
    calls: u64,
    told_at: Option<u64>,
}

/// What asking costs, and how much of it there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Work {
    /// Requests to be made.
    pub(super) requests: u64,
    /// The weight of one.
    pub(super) cost: u64,
    /// The weight a minute may have.
    pub(super) ceiling: u64,
    /// How much of this minute's is used.
    pub(super) used: u64,
}

impl Work {
    /// About how long it takes.
    fn takes(&self) -> Duration {
        let weight = self.requests.saturating_mul(self.cost);
        if weight <= self.ceiling.saturating_sub(self.used) {
            let pages = PAGE.saturating_mul(u32::try_from(self.requests).unwrap_or(u32::MAX));
            return Duration::from_secs(pages.as_secs() + 1);
        }
        Duration::from_secs(weight.saturating_mul(60).div_ceil(self.ceiling.max(1)))
    }
}

impl Progress {
    /// A connection opened whose lanes, so many of them, had traded before.
    pub(super) fn opened(&mut self, lanes: usize, now: Stamp) {
        let before = self.opened.map_or(0, |opened| opened.lanes);
        self.opened = Some(Opened { lanes: before + lanes, last: now.mono_ns });
    }

    /// A lane misses something, or nothing any more. `calls`: the requests for missing trades so far.
    pub(super) fn lane(&mut self, lane: usize, misses: bool, calls: u64, now: Stamp) {
        if misses {
            let outage = self.outage.get_or_insert_with(|| Outage::new(calls, now));
            outage.cut_off.insert(lane);
            outage.left.insert(lane);
        } else if let Some(outage) = &mut self.outage {
            outage.left.remove(&lane);
        }
    }

    /// Ids of a lane were given up.
    pub(super) fn gave_up(&mut self, lane: usize) {
        if let Some(outage) = &mut self.outage {
            outage.given_up.insert(lane);
        }
    }

    /// Once a second. `each`: what asking costs, requests not counted; `left`: how many it takes to fill what is missing.
    pub(super) fn tick(&mut self, each: Work, left: impl Fn() -> u64, calls: u64, now: Stamp) -> Vec<Notice> {
        let mut notices = Vec::new();
        let Work { cost, ceiling, .. } = each;
        if let Some(opened) = self.opened.filter(|opened| since(now, opened.last) >= TOGETHER) {
            self.opened = None;
            if opened.lanes > MANY {
                let about = Work { requests: opened.lanes as u64, ..each }.takes();
                notices.push(Notice::ManyMayMiss { lanes: opened.lanes, cost, ceiling, about });
            }
        }
        let Some(outage) = &mut self.outage else { return notices };
        if outage.left.is_empty() {
            if outage.told_at.is_some() {
                notices.push(Notice::ManyWhole {
                    lanes: outage.cut_off.len(),
                    given_up: outage.given_up.len(),
                    took: since(now, outage.since),
                    weight: calls.saturating_sub(outage.calls).saturating_mul(cost),
                });
            }
            self.outage = None;
            return notices;
        }
        let last = outage.told_at.unwrap_or(outage.since);
        if outage.left.len() > MANY && since(now, last) >= EVERY {
            outage.told_at = Some(now.mono_ns);
            notices.push(Notice::ManyMissing {
                cut_off: outage.cut_off.len(),
                left: outage.left.len(),
                ceiling,
                about: Work { requests: left(), ..each }.takes(),
            });
        }
        notices
    }
}

impl Outage {
    fn new(calls: u64, now: Stamp) -> Self {
        Self {
            since: now.mono_ns,
            cut_off: BTreeSet::new(),
            left: BTreeSet::new(),
            given_up: BTreeSet::new(),
            calls,
            told_at: None,
        }
    }
}

fn since(now: Stamp, at: u64) -> Duration {
    Duration::from_nanos(now.mono_ns.saturating_sub(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::hole::nanos;

    const WORK: Work = Work { requests: 0, cost: 20, ceiling: 1_800, used: 0 };

    fn at(second: u64) -> Stamp {
        Stamp { wall_ns: 0, mono_ns: nanos(Duration::from_secs(second)) }
    }

    /// What is told from the beginning of an outage of so many lanes, one of which is whole again every second after
    /// the first ten.
    fn told(lanes: usize) -> Vec<(u64, Notice)> {
        let mut progress = Progress::default();
        (0..lanes).for_each(|lane| progress.lane(lane, true, 100, at(0)));
        let mut told = Vec::new();
        for second in 1..=lanes as u64 + 20 {
            let whole = second.saturating_sub(10).min(lanes as u64);
            if whole > 0 {
                progress.lane(whole as usize - 1, false, 100 + whole, at(second));
            }
            let left = || lanes as u64 - whole;
            let notices = progress.tick(WORK, left, 100 + whole, at(second));
            told.extend(notices.into_iter().map(|notice| (second, notice)));
        }
        told
    }

    #[test]
    fn of_few_lanes_nothing_is_told() {
        assert_eq!(told(10), []);
    }

    #[test]
    fn of_many_it_is_told_every_ten_seconds_how_far_it_is_and_what_it_took() {
        let told = told(200);
        let seconds: Vec<u64> = told.iter().map(|(second, _)| *second).collect();
        let every_ten: Vec<u64> = (1..=19).map(|n| n * 10).collect();
        assert_eq!((&seconds[..19], seconds[19]), (&every_ten[..], 210));
        let about = Duration::from_secs;
        let missing = |left, about| Notice::ManyMissing { cut_off: 200, left, ceiling: 1_800, about };
        assert_eq!(told[0].1, missing(200, about(134)));
        assert_eq!(told[10].1, missing(100, about(67)), "as much as the weight allows");
        assert_eq!(told[12].1, missing(80, about(9)), "the weight of this minute is enough");
        let took = Duration::from_secs(210);
        assert_eq!(told[19].1, Notice::ManyWhole { lanes: 200, given_up: 0, took, weight: 200 * 20 });
    }

    #[test]
    fn what_was_given_up_is_not_called_whole_and_the_next_outage_is_another() {
        let mut progress = Progress::default();
        (0..20).for_each(|lane| progress.lane(lane, true, 0, at(0)));
        assert_eq!(progress.tick(WORK, || 20, 0, at(9)), []);
        assert_eq!(progress.tick(WORK, || 20, 0, at(10)).len(), 1);
        (0..3).for_each(|lane| progress.gave_up(lane));
        (0..20).for_each(|lane| progress.lane(lane, false, 40, at(11)));
        let [Notice::ManyWhole { lanes: 20, given_up: 3, weight: 800, .. }] =
            progress.tick(WORK, || 0, 40, at(12))[..]
        else {
            panic!("it is over")
        };
        progress.lane(0, true, 40, at(100));
        progress.lane(0, false, 41, at(101));
        assert_eq!(progress.tick(WORK, || 0, 41, at(200)), []);
    }

    #[test]
    fn what_it_may_take_is_told_beforehand_once_for_all_that_connects_together() {
        let mut progress = Progress::default();
        (0..3).for_each(|shard| progress.opened(200, at(shard)));
        assert_eq!(progress.tick(WORK, || 0, 0, at(3)), []);
        let about = Duration::from_secs(400);
        let notice = Notice::ManyMayMiss { lanes: 600, cost: 20, ceiling: 1_800, about };
        assert_eq!(progress.tick(WORK, || 0, 0, at(4)), [notice]);
        assert_eq!(progress.tick(WORK, || 0, 0, at(5)), []);
        progress.opened(10, at(6));
        assert_eq!(progress.tick(WORK, || 0, 0, at(60)), [], "few are soon whole");
    }
}
