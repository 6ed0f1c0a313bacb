//! One market and symbol: its ids, its numbers, and what it has to tell about them.

use super::flow::FlowSum;
use super::lines::Side;
use super::roster::NOWHERE;
use super::worth::WorthSum;
use super::{Event, LaneIds, PipelineCounts, Telling};
use crate::bars::{BarBuilder, Built, ClosedBar, MOST_EMPTY_BARS};
use crate::cvd::Cvd;
use crate::feed::ShardId;
use crate::repair::HOLES_PER_LANE;
use crate::sequence::{Arrival, Change, Sequence, Step};
use crate::snapshot::{
    Coverage, Flow, Gap, GapCause, GapEvent, Instrument, LaneSummary, LaneTotals, Snapshot, Stamp,
    TradeSource,
};
use crate::source::usual_contract_size;
use crate::trade::AggTrade;
use crate::units::{IdRange, UnixMillis};

/// One market and symbol.
///
/// Among hundreds of lanes nearly every trade finds its own out of the cache: what a trade in order touches stands
/// together, in the order in which it does.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Lane {
    /// The shard whose connections bring it; [`NOWHERE`] once it has ended.
    pub(super) shard: ShardId,
    /// It comes from another shard, which may bring it too.
    pub(super) is_moving: bool,
    /// It is among the lanes whose holes have changed.
    pub(super) is_marked: bool,
    /// Dollars that a contract stands for.
    pub(super) contract_size: Option<u32>,
    /// Its front is what matters most of the time.
    pub(super) sequence: Sequence,
    /// How many losses of ours were known when the last trade arrived.
    pub(super) losses_seen: u64,
    pub(super) applied: u64,
    pub(super) coverage: Coverage,
    pub(super) calculator: Cvd,
    /// What the applied trades add up to.
    pub(super) flow: FlowSum,
    /// What those of the epoch are worth; `None` where that is not counted or not known.
    pub(super) worth: Option<WorthSum>,
    pub(super) instrument: Instrument,
    /// What gathers its bars.
    pub(super) bars: Vec<BarBuilder>,
    pub(super) applied_before_epoch: u64,
    /// What each of several connections brings of it.
    pub(super) side: Side,
    /// Trades behind a hole, as the pipeline has counted them.
    pub(super) held: usize,
}

impl Lane {
    pub(super) fn new(
        instrument: Instrument,
        calculator: Cvd,
        sequence: Sequence,
        bars: Vec<BarBuilder>,
        worth: Option<WorthSum>,
    ) -> Self {
        let contract_size = usual_contract_size(&instrument);
        Self {
            instrument,
            shard: ShardId::default(),
            is_moving: false,
            contract_size,
            worth,
            calculator,
            sequence,
            side: Side::default(),
            applied: 0,
            applied_before_epoch: 0,
            flow: FlowSum::NONE,
            coverage: Coverage::default(),
            losses_seen: 0,
            held: 0,
            is_marked: false,
            bars,
        }
    }

    /// The epoch, once it has a first trade.
    pub(super) fn epoch_begun(&self) -> Option<u32> {
        self.coverage.first_id.map(|_| self.coverage.epoch)
    }

    /// Whether it is over; its number is kept for the case that it is opened again.
    pub(super) fn has_ended(&self) -> bool {
        self.shard == NOWHERE
    }

    /// Lets a trade, which is the next one, move the numbers.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "the pipeline's own, lent for one trade")]
    pub(super) fn apply(
        &mut self,
        at: usize,
        trade: &AggTrade,
        source: TradeSource,
        received: Option<Stamp>,
        counts: &mut PipelineCounts,
        bar_room: &mut u64,
        emit: &mut impl FnMut(Event<'_>),
    ) {
        match self.calculator.apply(trade) {
            Ok(reading) => {
                self.applied += 1;
                counts.applied += 1;
                self.flow.add(trade, reading.cvd);
                if let Some(worth) = &mut self.worth {
                    worth.add(trade, self.contract_size);
                }
                emit(Event::Trade(Snapshot {
                    lane: at,
                    market: self.instrument.market,
                    symbol: &self.instrument.symbol,
                    ordinal: self.applied,
                    trade,
                    source,
                    received,
                    reading,
                    coverage: &self.coverage,
                }));
                if !self.bars.is_empty() {
                    self.gather(at, trade, received, bar_room, emit);
                }
            }
            Err(bad) => {
                counts.bad_points += 1;
                emit(Event::BadPoint { symbol: &self.instrument.symbol, trade, bad });
            }
        }
    }

    /// Lets rows of a table, which are the next ones, move the numbers.
    pub(super) fn apply_run(
        &mut self,
        at: usize,
        mut run: &[AggTrade],
        telling: Telling,
        counts: &mut PipelineCounts,
        emit: &mut impl FnMut(Event<'_>),
    ) {
        while let Some(first) = run.first() {
            let untold = match self.bars.is_empty() {
                true => {
                    usize::try_from(telling.untold_after(self.applied)).unwrap_or(usize::MAX).min(run.len())
                }
                false => 0,
            };
            if untold == 0 {
                self.coverage.last_id = Some(first.id);
                let room = &mut { MOST_EMPTY_BARS };
                self.apply(at, first, TradeSource::File, None, counts, room, emit);
                run = &run[1..];
            } else {
                let (quiet, rest) = run.split_at(untold);
                self.apply_untold(quiet, counts, emit);
                run = rest;
            }
        }
    }

    /// The same for rows that nobody looks at: what each of them did need not even be put together.
    #[inline(never)]
    fn apply_untold(
        &mut self,
        trades: &[AggTrade],
        counts: &mut PipelineCounts,
        emit: &mut impl FnMut(Event<'_>),
    ) {
        self.coverage.last_id = trades.last().map(|trade| trade.id).or(self.coverage.last_id);
        let mut bad_points = 0;
        for trade in trades {
            match self.calculator.apply(trade) {
                Ok(reading) => self.flow.add(trade, reading.cvd),
                Err(bad) => {
                    bad_points += 1;
                    emit(Event::BadPoint { symbol: &self.instrument.symbol, trade, bad });
                }
            }
        }
        let applied = trades.len() as u64 - bad_points;
        self.applied += applied;
        counts.applied += applied;
        counts.bad_points += bad_points;
    }

    /// Lets a trade into the bars.
    #[inline(never)]
    fn gather(
        &mut self,
        at: usize,
        trade: &AggTrade,
        received: Option<Stamp>,
        room: &mut u64,
        emit: &mut impl FnMut(Event<'_>),
    ) {
        let Self { instrument: Instrument { market, symbol }, bars, coverage, calculator, .. } = self;
        let reading = &calculator.reading();
        for builder in bars {
            let spec = builder.spec();
            builder.apply(trade, reading, coverage.epoch, room, |built| {
                emit(match built {
                    Built::Closed(bar) => {
                        let (market, closed_by) = (*market, Some(trade));
                        Event::Bar(ClosedBar { lane: at, market, symbol, spec, bar, closed_by, received })
                    }
                    Built::LeftOut { bars, from, to } => {
                        Event::EmptyBarsLeftOut { symbol, spec, bars, from, to }
                    }
                });
            });
        }
    }

    /// Ends the bars that gather, unfinished.
    pub(super) fn end_bars(&mut self, at: usize, emit: &mut impl FnMut(Event<'_>)) {
        let Self { instrument: Instrument { market, symbol }, bars, .. } = self;
        for builder in bars {
            let (market, spec) = (*market, builder.spec());
            if let Some(bar) = &builder.end() {
                let (closed_by, received) = (None, None);
                emit(Event::Bar(ClosedBar { lane: at, market, symbol, spec, bar, closed_by, received }));
            }
        }
    }

    /// Takes every consequence out of the sequence, as long as no more than `limit` trades are applied.
    pub(super) fn settle(
        &mut self,
        at: usize,
        now: Option<Stamp>,
        counts: &mut PipelineCounts,
        limit: u64,
        bar_room: &mut u64,
        emit: &mut impl FnMut(Event<'_>),
    ) {
        while counts.applied < limit
            && let Some(step) = self.sequence.next_step()
        {
            // Of an epoch that ends, the account stays as it was at its end.
            if step != Step::Reset {
                self.cover();
            }
            match step {
                Step::Trade(arrival) => {
                    let Arrival { trade, source, received } = arrival;
                    self.apply(at, &trade, source, received, counts, bar_room, emit);
                }
                Step::Opened(change) => emit(self.gap(at, GapEvent::Opened, change, now)),
                Step::Repaired(change) => emit(self.gap(at, GapEvent::Repaired, change, now)),
                Step::Unrepaired(change) => {
                    self.calculator.restart_window();
                    self.bars.iter_mut().for_each(BarBuilder::lose);
                    emit(self.gap(at, GapEvent::Unrepaired, change, now));
                }
                Step::Discarded { trades } => {
                    let missing = self.sequence.open_range().map_or(0, IdRange::count);
                    emit(Event::Discarded { symbol: &self.instrument.symbol, trades, missing });
                }
                Step::Conflict { kept, refused } => {
                    let ids = IdRange { from: kept.id, to: kept.id };
                    let change = unopened(ids, 1, GapCause::Wire, kept.traded_at);
                    if let Event::Gap(gap) = self.gap(at, GapEvent::Conflict, change, now) {
                        emit(Event::Gap(Gap { conflict: Some((&kept, &refused)), ..gap }));
                    }
                }
                Step::Reset => self.begin_epoch(at, now, emit),
            }
        }
        self.cover();
    }

    /// The exchange numbers anew: the epoch ends with its own record, and everything begins again.
    fn begin_epoch(&mut self, at: usize, now: Option<Stamp>, emit: &mut impl FnMut(Event<'_>)) {
        let Coverage { epoch, first_id, last_id, .. } = self.coverage;
        self.end_bars(at, emit);
        if let (Some(from), Some(to)) = (first_id, last_id) {
            let trades = self.applied - self.applied_before_epoch;
            let change = unopened(IdRange { from, to }, trades, GapCause::Restart, UnixMillis(0));
            emit(self.gap(at, GapEvent::Reset, change, now));
        }
        self.applied_before_epoch = self.applied;
        self.calculator.reset();
        self.worth = self.worth.map(|_| WorthSum::default());
        self.coverage = Coverage { epoch: epoch.saturating_add(1), ..Coverage::default() };
    }

    /// Brings what the numbers cover up to date.
    pub(super) fn cover(&mut self) {
        if let Some(first) = self.sequence.first_id() {
            self.coverage.first_id = Some(first);
            self.coverage.last_id = self.sequence.last_id();
            self.coverage.missing_trades = self.sequence.missing();
        }
        self.coverage.quality = self.sequence.quality();
    }

    fn gap(&self, at: usize, event: GapEvent, change: Change, now: Option<Stamp>) -> Event<'_> {
        let Change { ids, trades, cause, opened_at, after, pages } = change;
        Event::Gap(Gap {
            lane: at,
            market: self.instrument.market,
            symbol: &self.instrument.symbol,
            event,
            cause,
            ids,
            trades,
            opened_at,
            at: now,
            after_trade_at: (after.0 > 0).then_some(after),
            pages,
            conflict: None,
            coverage: &self.coverage,
            reading: self.calculator.reading(),
        })
    }

    pub(super) fn ids(&self, at: usize) -> LaneIds<'_> {
        LaneIds {
            lane: at,
            instrument: &self.instrument,
            shard: self.shard,
            applied: self.applied,
            newest: self.sequence.newest_known(),
            holes: self.sequence.holes().take(HOLES_PER_LANE).collect(),
            in_doubt: self.sequence.is_in_doubt(),
        }
    }

    pub(super) fn totals(&self, at: usize) -> LaneTotals<'_> {
        let Flow { buy, sell, .. } = self.flow.told();
        LaneTotals {
            lane: at,
            instrument: &self.instrument,
            contract_size: self.contract_size,
            trades: self.applied,
            reading: self.calculator.reading(),
            coverage: &self.coverage,
            volume: buy.checked_add(sell).unwrap_or(buy),
            worth: self.worth.as_ref().and_then(WorthSum::told),
        }
    }

    pub(super) fn summary(&self) -> LaneSummary {
        let counts = self.sequence.counts();
        let Coverage { first_id, last_id, missing_trades, .. } = self.coverage;
        let ids = first_id.zip(last_id).map_or(0, |(from, to)| IdRange { from, to }.count());
        LaneSummary {
            market: self.instrument.market,
            symbol: self.instrument.symbol.clone(),
            trades: self.applied,
            reading: self.calculator.reading(),
            coverage: self.coverage,
            ids_seen: ids.saturating_sub(missing_trades),
            repaired_trades: counts.repaired,
            duplicate_trades: counts.duplicates,
            conflicts: counts.conflicts,
            held_trades: self.sequence.held() as u64,
            open: self.sequence.open_range(),
            holes: counts.gaps,
            flow: self.flow.told(),
        }
    }
}

/// A change that is not about a hole.
fn unopened(ids: IdRange, trades: u64, cause: GapCause, after: UnixMillis) -> Change {
    Change { ids, trades, cause, opened_at: None, after, pages: 0 }
}
