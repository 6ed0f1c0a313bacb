//! From trades to bars.

use super::{Bar, BarSpec, Notional};
use crate::cvd::Reading;
use crate::trade::AggTrade;
use crate::units::{AggTradeId, QtyDelta, UnixMillis};

/// So many empty bars, of all kinds together, are made at once; what is beyond is left out, and said to be.
pub const MOST_EMPTY_BARS: u64 = 100_000;

/// What a builder has to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Built<'a> {
    /// A bar is over.
    Closed(&'a Bar),
    /// Empty bars that are not made, because they are too many.
    LeftOut {
        /// How many.
        bars: u64,
        /// The beginning of the first of them.
        from: UnixMillis,
        /// The end of the last of them.
        to: UnixMillis,
    },
}

/// Gathers the trades of one symbol in bars of one kind. It knows no clock: a bar closes with a trade, so live and
/// replay give the same.
///
/// - A **time bar** closes when a trade of a later interval comes, in the order of ids. A trade whose time steps back
///   before the open bar belongs to the open bar.
/// - A bar by **size** closes with the trade that reaches it, which belongs to it as a whole.
///
/// A trade costs the same however many a bar has, and allocates nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "net", derive(serde::Serialize, serde::Deserialize), serde(try_from = "Stored"))]
pub struct BarBuilder {
    spec: BarSpec,
    /// Intervals without a trade have bars too.
    empty: bool,
    /// The bar that gathers; `complete` says whether it is so far.
    open: Option<Bar>,
    /// Trades were given up since the last one.
    hole: bool,
}

impl BarBuilder {
    /// A builder before its first trade. With `empty`, time bars without a trade are made, if trades come before and after
    /// them.
    pub fn new(spec: BarSpec, empty: bool) -> Self {
        Self { spec, empty, open: None, hole: false }
    }

    /// What its bars gather.
    pub fn spec(&self) -> BarSpec {
        self.spec
    }

    /// Whether it makes bars of intervals without a trade.
    pub fn makes_empty_bars(&self) -> bool {
        self.empty
    }

    /// The bar that gathers, as it is so far.
    pub fn open_bar(&self) -> Option<&Bar> {
        self.open.as_ref()
    }

    /// Takes in the next trade, which has moved the numbers to `reading`, in the numbering `epoch`; tells which bars that
    /// closes, in their order. `room` is how many empty bars may still be made.
    #[inline]
    pub fn apply(
        &mut self,
        trade: &AggTrade,
        reading: &Reading,
        epoch: u32,
        room: &mut u64,
        mut tell: impl FnMut(Built<'_>),
    ) {
        match self.spec {
            BarSpec::Time { ms } => {
                if self.open.as_ref().is_none_or(|bar| trade.traded_at >= bar.end) {
                    self.turn(trade, reading, epoch, ms, room, &mut tell);
                }
                if let Some(bar) = &mut self.open {
                    bar.add(trade);
                }
            }
            BarSpec::Ticks(_) | BarSpec::Volume(_) | BarSpec::Notional(_) => {
                let (whole, spec) = (!self.hole, self.spec);
                let bar = self.open.get_or_insert_with(|| {
                    let at = (trade.traded_at, trade.traded_at);
                    Bar { complete: whole, ..Bar::empty(at, trade.price, before(reading), epoch) }
                });
                bar.add(trade);
                bar.end = trade.traded_at;
                if reaches(bar, spec) {
                    tell(Built::Closed(bar));
                    self.open = None;
                }
            }
        }
        self.hole = false;
    }

    /// Trades between the last one and the next were given up: neither the bar in which they would be nor, of a time bar,
    /// the next one can be complete.
    pub fn lose(&mut self) {
        self.hole = true;
        if let Some(bar) = &mut self.open {
            bar.complete = false;
        }
    }

    /// Nothing more will come, or the exchange numbers anew: the bar that gathers ends unfinished, and everything begins
    /// again.
    pub fn end(&mut self) -> Option<Bar> {
        self.hole = false;
        self.open.take().map(|bar| Bar { complete: false, ..bar })
    }

    /// The first trade of an interval: closes the bar of the one before, if there is one, and opens another.
    #[cold]
    fn turn(
        &mut self,
        trade: &AggTrade,
        reading: &Reading,
        epoch: u32,
        ms: i64,
        room: &mut u64,
        tell: &mut impl FnMut(Built<'_>),
    ) {
        let start = start_of(trade.traded_at, ms);
        let known = match self.open.take() {
            None => false,
            Some(bar) => {
                tell(Built::Closed(&bar));
                if self.empty {
                    self.fill(&bar, start, ms, room, tell);
                }
                !self.hole
            }
        };
        let bar = Bar::empty((start, after(start, ms)), trade.price, before(reading), epoch);
        self.open = Some(Bar { complete: known, ..bar });
    }

    /// Makes the empty bars between a bar and the next that has a trade.
    fn fill(&self, bar: &Bar, until: UnixMillis, ms: i64, room: &mut u64, tell: &mut impl FnMut(Built<'_>)) {
        let mut start = bar.end;
        while start < until && *room > 0 {
            let end = after(start, ms);
            let empty = Bar::empty((start, end), bar.close, bar.cvd_close(), bar.epoch);
            tell(Built::Closed(&Bar { complete: !self.hole, ..empty }));
            (start, *room) = (end, *room - 1);
        }
        if start < until {
            let bars = until.0.abs_diff(start.0) / ms.unsigned_abs();
            tell(Built::LeftOut { bars, from: start, to: until });
        }
    }
}

/// Whether a bar has its size.
#[inline]
fn reaches(bar: &Bar, spec: BarSpec) -> bool {
    match spec {
        BarSpec::Time { .. } => false,
        BarSpec::Ticks(ticks) => bar.trades >= ticks,
        BarSpec::Volume(qty) => bar.volume().units() >= i128::from(qty.units()),
        BarSpec::Notional(units) => bar.notional >= Notional::from_units(units),
    }
}

/// CVD before the trade that led to a reading.
fn before(reading: &Reading) -> QtyDelta {
    QtyDelta::from_units(reading.cvd.units().saturating_sub(reading.delta.units()))
}

/// The beginning of the interval of an instant.
fn start_of(at: UnixMillis, ms: i64) -> UnixMillis {
    UnixMillis(at.0.saturating_sub(at.0.rem_euclid(ms)))
}

/// The beginning of the next interval.
fn after(start: UnixMillis, ms: i64) -> UnixMillis {
    UnixMillis(start.0.saturating_add(ms))
}

/// A builder as it was stored, by whomever.
#[cfg(feature = "net")]
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    spec: BarSpec,
    empty: bool,
    open: Option<Bar>,
    hole: bool,
}

/// A stored builder that no run of trades leads to.
#[cfg(feature = "net")]
#[derive(Debug, thiserror::Error)]
#[error("a stored bar of {0} contradicts itself")]
struct Impossible(BarSpec);

#[cfg(feature = "net")]
impl TryFrom<Stored> for BarBuilder {
    type Error = Impossible;

    fn try_from(stored: Stored) -> Result<Self, Impossible> {
        let Stored { spec, empty, open, hole } = stored;
        let sized = match spec {
            BarSpec::Time { ms } => ms > 0 && 86_400_000 % ms == 0,
            BarSpec::Ticks(ticks) => ticks > 0,
            BarSpec::Volume(qty) => qty.units() > 0,
            BarSpec::Notional(units) => units > 0,
        };
        if sized && open.is_none_or(|bar| is_possible(&bar, spec)) {
            Ok(Self { spec, empty, open, hole })
        } else {
            Err(Impossible(spec))
        }
    }
}

#[cfg(feature = "net")]
fn is_possible(bar: &Bar, spec: BarSpec) -> bool {
    let placed = match (spec, bar.first_trade_at, bar.last_trade_at) {
        (BarSpec::Time { ms }, Some(first), Some(last)) => {
            bar.start == start_of(first, ms) && bar.end == after(bar.start, ms) && last < bar.end
        }
        (_, Some(first), Some(last)) => bar.start == first && bar.end == last && !reaches(bar, spec),
        _ => false,
    };
    let ids = bar.first_id.zip(bar.last_id).map(|(AggTradeId(first), AggTradeId(last))| {
        i128::from(last).checked_sub(i128::from(first)).is_some_and(|more| more >= i128::from(bar.trades) - 1)
    });
    let prices = bar.low.units() > 0
        && (bar.low..=bar.high).contains(&bar.open)
        && (bar.low..=bar.high).contains(&bar.close);
    let (buy, sell) = (bar.buy_volume, bar.sell_volume);
    let sums = buy >= QtyDelta::ZERO
        && sell >= QtyDelta::ZERO
        && buy.checked_add(sell).is_some_and(|volume| volume > QtyDelta::ZERO)
        && bar.min_delta <= QtyDelta::ZERO.min(bar.delta())
        && bar.max_delta >= QtyDelta::ZERO.max(bar.delta());
    let cvd = [bar.min_delta, bar.delta(), bar.max_delta];
    let fits = cvd.iter().all(|delta| bar.cvd_open.checked_add(*delta).is_some());
    placed && ids == Some(true) && prices && sums && fits && bar.trades > 0
}

#[cfg(test)]
mod tests;
