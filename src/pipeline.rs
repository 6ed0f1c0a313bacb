//! The pure middle: inputs in, events out, one lane per market and symbol. No I/O, no clock, no logging;
//! live and replay run this same code, so they reach the same bits.

mod config;
mod connections;
mod counts;
mod event;
mod flow;
pub mod index;
mod lane;
mod lines;
mod memory;
mod roster;
mod shard;
mod state;
mod worth;

pub use config::{HELD_IN_ALL, MAX_LANES, PipelineConfig, Telling, Wanted};
pub use connections::GRACE_NS;
use counts::Losses;
pub use counts::PipelineCounts;
pub use event::Event;
use index::LaneIndex;
use lane::Lane;
use lines::Origin;
pub use lines::{LiveSession, MAX_LINES, MAX_SESSIONS, Overlap, Race};
pub use memory::{PipelineState, RestoreError};
use roster::NOWHERE;
use shard::Shard;
pub use state::{LaneState, ResumeError};
pub use worth::WorthSum;

pub use crate::snapshot::{LaneTotals, Worth};

use crate::bars::{BarBuilder, MOST_EMPTY_BARS};
use crate::cvd::{Cvd, CvdConfigError};
use crate::decode::{Message, decode};
use crate::feed::{Frame, ShardId};
use crate::repair::{Answer, Hole, Reply};
use crate::sequence::{Arrival, Sequence, SequenceCounts};
use crate::snapshot::{Coverage, GapCause, Instrument, LaneSummary, Market, Stamp, TradeSource};
use crate::source::{Input, Rows};
use crate::trade::AggTrade;
use crate::units::{AggTradeId, IdRange, Symbol};

/// All lanes.
#[derive(Debug)]
pub struct Pipeline {
    config: PipelineConfig,
    lanes: Vec<Lane>,
    /// By market and symbol; lanes that have ended are in it too.
    index: LaneIndex,
    counts: PipelineCounts,
    /// No more trades are applied than this.
    limit: u64,
    telling: Telling,
    /// Losses that were told, by frames evicted or unreadable; which lane they concern shows only later.
    losses: Losses,
    /// Trades behind holes, all lanes together.
    held: usize,
    /// Lanes whose holes or doubts have changed.
    changed: Vec<usize>,
    /// First trades of a lane's epoch so far, all lanes together.
    epochs_begun: u64,
    /// Shares of the lanes, each with its connections; at least one.
    shards: Vec<Shard>,
    /// Lanes with holes that another connection may be about to fill.
    doubtful: Vec<usize>,
    /// Empty bars that the present input may still lead to.
    bar_room: u64,
}

impl Pipeline {
    /// A pipeline at zero.
    ///
    /// # Errors
    /// [`CvdConfigError`] if a setting of the calculator is out of its range.
    pub fn new(config: PipelineConfig) -> Result<Self, CvdConfigError> {
        config.calculator.validate()?;
        let mut pipeline = Self::empty(config);
        if let Wanted::Only(seats) = pipeline.config.wanted.clone() {
            for seat in seats {
                pipeline.seat(&seat);
            }
        }
        Ok(pipeline)
    }

    /// Without lanes, with settings that are known to be in range.
    fn empty(config: PipelineConfig) -> Self {
        Self {
            lanes: Vec::new(),
            index: LaneIndex::default(),
            counts: PipelineCounts::default(),
            limit: u64::MAX,
            telling: Telling::default(),
            losses: Losses::default(),
            held: 0,
            changed: Vec::new(),
            epochs_begun: 0,
            shards: vec![Shard::of(config.market)],
            doubtful: Vec::new(),
            bar_room: MOST_EMPTY_BARS,
            config,
        }
    }

    /// Digests one input. An answer of REST and a block of rows may let many trades go on; anything else, one at
    /// most, unless it fills a hole.
    pub fn step(&mut self, input: &Input, emit: &mut impl FnMut(Event<'_>)) {
        match input {
            Input::Frame(frame) => self.frame(frame, emit),
            Input::Rows(rows) => self.rows(rows, emit),
            Input::Damaged(line) => {
                self.counts.messages += 1;
                self.counts.malformed += 1;
                emit(Event::Damaged(line));
            }
            Input::Lost(line) => emit(Event::Damaged(line)),
            Input::Link(event) => self.link(event, emit),
            Input::Evicted { .. } => self.losses.evicted(),
            Input::Reply(reply) => self.reply(reply, emit),
            Input::Tick(now) => self.believe_all(Some(*now), NOWHERE, emit),
            Input::Roster(change) => self.roster(change, emit),
            Input::Note(_) | Input::Begin(_) => {}
        }
    }

    /// Its settings.
    pub fn config(&self) -> &PipelineConfig {
        &self.config
    }

    /// Gathers other bars from here on, in every lane.
    pub fn gather(&mut self, bars: Vec<BarBuilder>) {
        self.config.bars = bars;
        for lane in &mut self.lanes {
            lane.bars = self.config.bars_of(lane.instrument.market);
        }
    }

    /// Applies no more trades than this, all lanes together; what is beyond stays where it is, and of a block of rows
    /// that reaches it the rest is not looked at.
    pub fn stop_after(&mut self, trades: u64) {
        self.limit = trades;
    }

    /// Which trades out of tables are worth an [`Event::Trade`]; every one, until this is called. It moves no number
    /// and makes the others cheaper.
    pub fn tell(&mut self, telling: Telling) {
        self.telling = telling;
    }

    /// Nothing more will come. Afterwards the counts are final.
    pub fn finish(&mut self, emit: &mut impl FnMut(Event<'_>)) {
        self.bar_room = MOST_EMPTY_BARS;
        for at in 0..self.lanes.len() {
            self.lanes[at].sequence.finish();
            self.settle(at, None, emit);
            self.lanes[at].end_bars(at, emit);
        }
    }

    /// What went through so far.
    pub fn counts(&self) -> PipelineCounts {
        self.counts
    }

    /// What was counted about the ids of all lanes.
    pub fn sequence_counts(&self) -> SequenceCounts {
        self.lanes.iter().fold(SequenceCounts::default(), |sum, lane| sum.plus(lane.sequence.counts()))
    }

    /// Trades that wait behind holes.
    pub fn held(&self) -> usize {
        self.held
    }

    /// The totals of every lane that has not ended, in order of first sight.
    pub fn summaries(&self) -> Vec<LaneSummary> {
        self.running().map(|(_, lane)| lane.summary()).collect()
    }

    /// Which ids each lane's numbers cover.
    pub fn coverages(&self) -> impl Iterator<Item = &Coverage> {
        self.running().map(|(_, lane)| &lane.coverage)
    }

    /// The lanes whose holes or doubts have changed since this was asked last.
    pub fn take_changed(&mut self) -> Vec<usize> {
        self.changed.iter().for_each(|at| self.lanes[*at].is_marked = false);
        std::mem::take(&mut self.changed)
    }

    /// Whether a lane's holes or doubts have changed.
    #[inline]
    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Counts up whenever the holes or doubts of a lane of this shard change.
    #[inline]
    pub fn changes(&self, shard: ShardId) -> u64 {
        self.shards.get(usize::from(shard.0)).map_or(0, |shard| shard.changes)
    }

    /// How the ids of a lane stand.
    ///
    /// # Panics
    /// If there is no such lane.
    pub fn ids(&self, lane: usize) -> LaneIds<'_> {
        self.lanes[lane].ids(lane)
    }

    /// How the ids of every lane that has not ended stand, in order of first sight.
    pub fn all_ids(&self) -> impl Iterator<Item = LaneIds<'_>> {
        self.running().map(|(at, lane)| lane.ids(at))
    }

    /// Whether a single trade may lead to many bars: those of the intervals without one before it.
    pub fn makes_empty_bars(&self) -> bool {
        self.config.bars.iter().any(BarBuilder::makes_empty_bars)
    }

    /// Whether any lane has a hole that somebody waits for.
    pub fn is_repairing(&self) -> bool {
        self.lanes.iter().any(|lane| lane.sequence.open_range().is_some())
    }

    fn frame(&mut self, frame: &Frame, emit: &mut impl FnMut(Event<'_>)) {
        self.counts.messages += 1;
        let text = frame.text.as_bytes();
        match decode(text) {
            Message::Trade { symbol, trade } => {
                let number = usize::from(frame.line.shard().0);
                let market = self.shards.get(number).map_or(self.config.market, |shard| shard.market);
                let frames_from = self.config.frames_from;
                match self.lane(market, &symbol) {
                    Some(at) => {
                        let Frame { line, session, received, .. } = *frame;
                        let from = Origin { line, session, received };
                        self.arrive(at, &trade, frames_from, Some(from), emit);
                    }
                    None => {
                        self.counts.unrequested += 1;
                        emit(Event::Unrequested { symbol: &symbol });
                    }
                }
            }
            Message::Control(control) => {
                self.counts.control += 1;
                emit(Event::Control(control));
            }
            Message::Other { event, .. } => {
                self.counts.other += 1;
                emit(match event.as_deref() {
                    Some("serverShutdown") => Event::Shutdown { session: frame.session },
                    _ => Event::Other,
                });
            }
            Message::Malformed(reason) => {
                self.counts.malformed += 1;
                self.losses.malformed();
                emit(Event::Malformed { session: frame.session, reason, text });
            }
        }
    }

    /// A block of a table, as far as the limit allows.
    fn rows(&mut self, rows: &Rows, emit: &mut impl FnMut(Event<'_>)) {
        let at = match self.known_lane(rows.market, rows.symbol.as_str()) {
            Some(at) => at,
            None => self.open_lane(Instrument::new(rows.market, rows.symbol.clone())),
        };
        let mut rest = rows.trades.as_slice();
        while !rest.is_empty() && self.counts.applied < self.limit {
            // As many as may be applied: the sequence must not be ahead of the numbers when the limit is reached.
            let room = usize::try_from(self.limit - self.counts.applied).unwrap_or(usize::MAX);
            let lane = &mut self.lanes[at];
            let in_order = lane.sequence.in_order_run(&rest[..room.min(rest.len())]);
            let (run, behind) = rest.split_at(in_order);
            if let Some(next) = behind.first().filter(|_| run.is_empty()) {
                self.counts.messages += 1;
                self.out_of_order(
                    at,
                    Arrival { trade: *next, source: TradeSource::File, received: None },
                    emit,
                );
                rest = &behind[1..];
                continue;
            }
            self.counts.messages += run.len() as u64;
            lane.losses_seen = self.losses.count;
            lane.apply_run(at, run, self.telling, &mut self.counts, emit);
            rest = behind;
        }
    }

    #[inline]
    fn arrive(
        &mut self,
        at: usize,
        trade: &AggTrade,
        source: TradeSource,
        from: Option<Origin>,
        emit: &mut impl FnMut(Event<'_>),
    ) {
        let mut received = None;
        if let Some(from) = from {
            received = from.received;
            let shard = from.line.shard();
            if let Some(Shard { lines, .. }) = self.shards.get_mut(usize::from(shard.0)) {
                lines.brought(from, trade.event_at);
                let lane = &self.lanes[at];
                let is_shared = lines.are_several() || lane.shard != shard || lane.is_moving;
                if is_shared && self.is_copy(at, trade, from, emit) {
                    return;
                }
            }
        }
        let lane = &mut self.lanes[at];
        if lane.sequence.in_order(trade) {
            lane.losses_seen = self.losses.count;
            lane.coverage.last_id = Some(trade.id);
            let room = &mut { MOST_EMPTY_BARS };
            lane.apply(at, trade, source, received, &mut self.counts, room, emit);
        } else {
            self.out_of_order(at, Arrival { trade: *trade, source, received }, emit);
        }
    }

    /// The first trade of a lane, and whatever is not the next one.
    #[cold]
    fn out_of_order(&mut self, at: usize, arrival: Arrival, emit: &mut impl FnMut(Event<'_>)) {
        self.bar_room = MOST_EMPTY_BARS;
        let lane = &mut self.lanes[at];
        let cause = match arrival.source {
            TradeSource::File => GapCause::File,
            TradeSource::Stream | TradeSource::Rest => self.losses.cause_since(lane.losses_seen),
        };
        lane.losses_seen = self.losses.count;
        let (newest, in_doubt) = (lane.sequence.newest_known(), lane.sequence.is_in_doubt());
        lane.sequence.offer(arrival, cause, arrival.received);
        if lane.sequence.tentative_since().is_some() && !self.doubtful.contains(&at) {
            self.doubtful.push(at);
        }
        if !in_doubt && lane.sequence.is_in_doubt() {
            emit(Event::Suspicious { symbol: &lane.instrument.symbol, id: arrival.trade.id, newest });
        }
        self.settle(at, arrival.received, emit);
    }

    fn reply(&mut self, reply: &Reply, emit: &mut impl FnMut(Event<'_>)) {
        self.bar_room = MOST_EMPTY_BARS;
        let Some(lane) = self.lanes.get_mut(reply.lane).filter(|lane| !lane.has_ended()) else { return };
        let (at, now) = (reply.lane, Some(reply.at));
        let cause = self.losses.cause_since(lane.losses_seen);
        match &reply.answer {
            Answer::Trades(trades) => {
                if let (Some(first), Some(last)) = (trades.first(), trades.last()) {
                    lane.sequence.begin_page(IdRange { from: first.id, to: last.id });
                }
                for trade in trades {
                    let arrival = Arrival { trade: *trade, source: TradeSource::Rest, received: now };
                    self.lanes[at].sequence.offer_repair(arrival);
                    self.settle(at, now, emit);
                }
            }
            Answer::Newest(id) => lane.sequence.exists(*id, cause, now),
            Answer::Confirm(id) => lane.sequence.confirm(*id, cause, now),
            Answer::GaveUp { ids, .. } => lane.sequence.give_up(*ids),
        }
        if self.lanes[at].sequence.tentative_since().is_some() && !self.doubtful.contains(&at) {
            self.doubtful.push(at);
        }
        self.settle(at, now, emit);
    }

    /// Takes every consequence out of a lane's sequence. If all lanes together hold too much, the one that holds the most
    /// holds nothing from then on.
    fn settle(&mut self, at: usize, now: Option<Stamp>, emit: &mut impl FnMut(Event<'_>)) {
        self.settle_lane(at, now, emit);
        if self.held > self.config.hold_size.max(HELD_IN_ALL)
            && let Some(fullest) = (0..self.lanes.len()).max_by_key(|at| self.lanes[*at].held)
        {
            self.lanes[fullest].sequence.discard_held();
            self.settle_lane(fullest, now, emit);
        }
    }

    fn settle_lane(&mut self, at: usize, now: Option<Stamp>, emit: &mut impl FnMut(Event<'_>)) {
        let lane = &mut self.lanes[at];
        let epoch_before = lane.epoch_begun();
        lane.settle(at, now, &mut self.counts, self.limit, &mut self.bar_room, emit);
        self.held = self.held - lane.held + lane.sequence.held();
        lane.held = lane.sequence.held();
        self.epochs_begun += u64::from(lane.epoch_begun() != epoch_before);
        if lane.sequence.take_holes_changed() || lane.sequence.is_in_doubt() {
            if let Some(shard) = self.shards.get_mut(usize::from(lane.shard.0)) {
                shard.changes += 1;
            }
            if !lane.is_marked {
                lane.is_marked = true;
                self.changed.push(at);
            }
        }
    }

    /// The lane of a frame's symbol, opened on its first sight if everything is wanted.
    fn lane(&mut self, market: Market, symbol: &str) -> Option<usize> {
        if let Some(at) = self.known_lane(market, symbol) {
            return Some(at);
        }
        if self.config.wanted != Wanted::Everything || self.lanes.len() >= MAX_LANES {
            return None;
        }
        let symbol = Symbol::new(symbol).ok()?;
        // The exchange writes upper case; another spelling of a known symbol is the same lane.
        let known = self.known_lane(market, symbol.as_str());
        Some(known.unwrap_or_else(|| self.open_lane(Instrument::new(market, symbol))))
    }

    #[inline]
    fn known_lane(&self, market: Market, symbol: &str) -> Option<usize> {
        self.index.lane(market, symbol)
    }

    fn open_lane(&mut self, instrument: Instrument) -> usize {
        let at = self.lanes.len();
        self.index.insert(instrument.market, instrument.symbol.as_str(), at);
        let mut lane = self.fresh(instrument);
        lane.sequence.set_grace(self.shards[0].lines.are_several());
        self.lanes.push(lane);
        at
    }

    /// A lane at zero, on the first shard.
    fn fresh(&self, instrument: Instrument) -> Lane {
        let calculator = Cvd::new(self.config.calculator).expect("valid, because `new` has checked it");
        let sequence = Sequence::new(self.config.repairs, self.config.hold_size);
        let worth = self.config.counts_worth.then(WorthSum::default);
        let bars = self.config.bars_of(instrument.market);
        Lane::new(instrument, calculator, sequence, bars, worth)
    }
}

/// How the ids of a lane stand.
#[derive(Debug, Clone)]
pub struct LaneIds<'a> {
    /// The lane.
    pub lane: usize,
    /// What it is of.
    pub instrument: &'a Instrument,
    /// The shard whose connections bring it.
    pub shard: ShardId,
    /// Trades it has applied.
    pub applied: u64,
    /// The largest id known to exist, if there is any.
    pub newest: Option<AggTradeId>,
    /// What is missing and waited for, ascending; the first [`HOLES_PER_LANE`](crate::repair::HOLES_PER_LANE).
    pub holes: Vec<Hole>,
    /// There are suspicious ids that REST's newest one would confirm or deny.
    pub in_doubt: bool,
}

#[cfg(test)]
mod tests;
