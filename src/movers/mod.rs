//! Movers: what many lanes did in an interval, the most remarkable first. Pure; looked at once an interval, never per trade.

mod rank;
mod then;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::RankBy;
use crate::pipeline::LaneTotals;
use crate::snapshot::{Coverage, Instrument, Market, Quality, Stamp};
use crate::units::{Price, QtyDelta};

use rank::{Best, key};
use then::{Change, Then};

/// Compares every lane with itself an interval ago.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Movers {
    /// The length of an interval, in nanoseconds.
    every: u64,
    /// When the present interval began; `None` before the first second.
    begun: Option<Stamp>,
    /// What each lane had come to then, by its number; `None` of a lane that was not there.
    then: Vec<Option<Then>>,
}

/// Which lanes are the first ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranking {
    /// By what they are ranked.
    pub by: RankBy,
    /// How many there are at most.
    pub top: usize,
}

/// What an interval came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Interval {
    /// When it ended.
    pub at: Stamp,
    /// How long it was, in seconds.
    pub seconds: f64,
    /// By what its movers are ranked.
    pub by: RankBy,
    /// All lanes, whether or not they are among the movers.
    pub lanes: LaneCounts,
    /// Trades of all lanes that were there all the time.
    pub trades: u64,
    /// The first ones, at most so many as were asked for. A lane that did not trade is none.
    pub movers: Vec<Mover>,
}

/// How many lanes there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LaneCounts {
    /// Of each market, in the order of [`Market::ALL`].
    pub followed: [u64; Market::ALL.len()],
    /// Those whose numbers hold every trade.
    pub complete: u64,
    /// Those with a hole that is being repaired.
    pub repairing: u64,
    /// Those with trades that were given up.
    pub missing: u64,
    /// Those that traded in the interval.
    pub traded: u64,
    /// Those that joined in it: they have nothing to be compared with yet.
    pub joined: u64,
    /// Those whose connection is down now.
    pub disconnected: u64,
    /// Those that the exchange numbered anew in it: their numbers began anew, and do not compare either.
    pub new_epochs: u64,
}

impl LaneCounts {
    /// How many are followed.
    pub fn all(&self) -> u64 {
        self.followed.iter().sum()
    }
}

/// What a lane did in an interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Mover {
    /// Its number.
    pub lane: usize,
    /// What it is of.
    pub instrument: Instrument,
    /// CVD at the end.
    pub cvd: QtyDelta,
    /// How far CVD moved: exact, in base units or contracts.
    pub delta: QtyDelta,
    /// The same in the quote unit (dollars on COIN-M), exact, in steps of 1e-16; `None` where that is not known.
    pub quote_delta: Option<i128>,
    /// Trades.
    pub trades: u64,
    /// Trades a second.
    pub rate: f64,
    /// Quantity traded.
    pub volume: QtyDelta,
    /// What was traded in the quote unit (dollars on COIN-M), exact, in steps of 1e-16; `None` where that is not known.
    pub quote_volume: Option<i128>,
    /// The Z-score at the end; `None` while warming up.
    pub z: Option<f64>,
    /// The price of the last trade; `None` where what trades are worth is not known.
    pub price: Option<Price>,
    /// What the numbers cover at the end.
    pub coverage: Coverage,
    /// Trades that were given up in the interval: the delta is off by theirs, which nobody knows.
    pub lost: u64,
}

/// Seconds come a little early and a little late: the one that ends an interval is the nearest to its end.
const EARLY: u64 = 500_000_000;

impl Movers {
    /// Before the first second.
    pub fn new(every: Duration) -> Self {
        Self { every: nanoseconds(every), begun: None, then: Vec::new() }
    }

    /// With other intervals from here on.
    #[must_use]
    pub fn every(self, every: Duration) -> Self {
        Self { every: nanoseconds(every), ..self }
    }

    /// Whether there was a second already.
    pub fn have_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// A second has passed. When the interval is over, what it came to: the first ones of the lanes that `is_told`
    /// admits. The next one begins then. The lanes are looked at only then; one that does not come has ended.
    pub fn second<'a>(
        &mut self,
        now: Stamp,
        lanes: impl Iterator<Item = LaneTotals<'a>>,
        ranking: Ranking,
        is_told: impl FnMut(usize, &Instrument) -> bool,
    ) -> Option<Interval> {
        let Some(begun) = self.begun.filter(|begun| begun.mono_ns <= now.mono_ns) else {
            self.begin(now, lanes);
            return None;
        };
        let passed = now.mono_ns - begun.mono_ns;
        if passed.saturating_add(EARLY) < self.every || passed == 0 {
            return None;
        }
        self.begun = Some(now);
        Some(self.compare(now, passed as f64 / 1e9, lanes, ranking, is_told))
    }

    fn begin<'a>(&mut self, now: Stamp, lanes: impl Iterator<Item = LaneTotals<'a>>) {
        self.begun = Some(now);
        self.then.clear();
        lanes.for_each(|lane| self.remember(&lane));
    }

    /// From here on a lane is compared with what it is now.
    fn remember(&mut self, totals: &LaneTotals<'_>) {
        if self.then.len() <= totals.lane {
            self.then.resize_with(totals.lane + 1, || None);
        }
        self.then[totals.lane] = Some(Then::of(totals));
    }

    fn compare<'a>(
        &mut self,
        at: Stamp,
        seconds: f64,
        lanes: impl Iterator<Item = LaneTotals<'a>>,
        Ranking { by, top }: Ranking,
        mut is_told: impl FnMut(usize, &Instrument) -> bool,
    ) -> Interval {
        let mut best = Best::new(top);
        let mut interval =
            Interval { at, seconds, by, lanes: LaneCounts::default(), trades: 0, movers: Vec::new() };
        // A lane that does not come any more is forgotten.
        let before = std::mem::take(&mut self.then);
        for totals in lanes {
            let lane = totals.lane;
            interval.lanes.admit(&totals);
            match Change::since(before.get(lane).and_then(Option::as_ref), &totals) {
                Change::Joined => interval.lanes.joined += 1,
                Change::NewEpoch => interval.lanes.new_epochs += 1,
                Change::Trades { trades: 0, .. } => {}
                Change::Trades { trades, then } => {
                    interval.lanes.traded += 1;
                    interval.trades += trades;
                    if is_told(lane, totals.instrument) {
                        let key = key(by, then, &totals, trades);
                        best.offer(key, lane, || mover(then, &totals, trades, seconds));
                    }
                }
            }
            self.remember(&totals);
        }
        interval.movers = best.into_ranked();
        interval
    }
}

impl LaneCounts {
    fn admit(&mut self, totals: &LaneTotals<'_>) {
        self.followed[totals.instrument.market as usize] += 1;
        match totals.coverage.quality {
            Quality::Complete => self.complete += 1,
            Quality::Repairing => self.repairing += 1,
            Quality::Missing => self.missing += 1,
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn mover(then: &Then, now: &LaneTotals<'_>, trades: u64, seconds: f64) -> Mover {
    Mover {
        lane: now.lane,
        instrument: now.instrument.clone(),
        cvd: now.reading.cvd,
        delta: then.delta(now),
        quote_delta: then.quote_delta(now),
        trades,
        rate: trades as f64 / seconds,
        volume: then.volume(now),
        quote_volume: then.quote_volume(now),
        z: now.reading.z,
        price: now.worth.and_then(|worth| worth.last_price),
        coverage: *now.coverage,
        lost: now.coverage.missing_trades.saturating_sub(then.missing()),
    }
}

#[cfg(test)]
mod tests;
