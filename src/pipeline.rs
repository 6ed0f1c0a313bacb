//! The pure middle: inputs in, events out, one lane per market and symbol. No I/O, no clock, no logging;
//! live and replay run this same code, so they reach the same bits.

mod flow;
mod lane;
mod lines;
mod memory;
mod state;

use std::collections::HashMap;

use lane::Lane;
use lines::{Lines, Origin, Side};
pub use lines::{LiveSession, MAX_LINES, MAX_SESSIONS, Overlap, Race};
pub use memory::{PipelineState, RestoreError};
pub use state::{LaneState, ResumeError};

use serde::{Deserialize, Serialize};

use crate::bars::{BarBuilder, BarSpec, ClosedBar, MOST_EMPTY_BARS};
use crate::cvd::{BadPoint, Cvd, CvdConfig, CvdConfigError};
use crate::decode::{Control, Malformed, Message, decode};
use crate::feed::{Frame, LinkEvent, SessionId};
use crate::repair::{Answer, Hole, Reply};
use crate::sequence::{Arrival, MOST_COUNTED, Sequence, SequenceCounts};
use crate::snapshot::{Coverage, Gap, GapCause, LaneSummary, Market, Snapshot, Stamp, TradeSource};
use crate::source::{DamagedLine, Input, Rows};
use crate::trade::AggTrade;
use crate::units::{AggTradeId, IdRange, Symbol, UnixMillis};

/// What the pipeline says while it digests an input.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A trade moved the numbers.
    Trade(Snapshot<'a>),
    /// A trade was refused by the calculator.
    BadPoint {
        /// Its symbol.
        symbol: &'a Symbol,
        /// The trade.
        trade: &'a AggTrade,
        /// Why.
        bad: BadPoint,
    },
    /// A frame that cannot be read.
    Malformed {
        /// Why.
        reason: Malformed,
        /// The frame, unescaped.
        text: &'a [u8],
    },
    /// A damaged place in a file.
    Damaged(&'a DamagedLine),
    /// The exchange's answer to a request of ours.
    Control(Control<'a>),
    /// A trade of a symbol nobody asked for, or beyond [`MAX_LANES`].
    Unrequested {
        /// Its symbol, as written.
        symbol: &'a str,
    },
    /// Another event of the exchange.
    Other,
    /// The exchange announces that it is about to end this connection.
    Shutdown {
        /// The session it came over.
        session: SessionId,
    },
    /// Something happened to the sequence of a lane's ids.
    Gap(Gap<'a>),
    /// What waited behind a hole was too much and joins it: trades come faster than the hole is filled.
    Discarded {
        /// The symbol.
        symbol: &'a Symbol,
        /// How many trades waited.
        trades: u64,
        /// How large the hole is now.
        missing: u64,
    },
    /// A trade whose id is far from all others: nothing moves until its neighbours or REST confirm it.
    Suspicious {
        /// The symbol.
        symbol: &'a Symbol,
        /// Its id.
        id: AggTradeId,
        /// The newest id known before it.
        newest: Option<AggTradeId>,
    },
    /// A bar is over. It comes after the trade that closed it.
    Bar(ClosedBar<'a>),
    /// Empty bars that are not made, because they are more than [`MOST_EMPTY_BARS`].
    EmptyBarsLeftOut {
        /// The symbol.
        symbol: &'a Symbol,
        /// What the bars gather.
        spec: BarSpec,
        /// How many.
        bars: u64,
        /// The beginning of the first.
        from: UnixMillis,
        /// The end of the last.
        to: UnixMillis,
    },
    /// A connection opened or closed.
    Link {
        /// Which, and how.
        event: &'a LinkEvent,
        /// How many connections are up now.
        up: usize,
    },
}

/// Which trades make lanes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// These symbols only; their lanes exist from the start.
    Only(Vec<Symbol>),
    /// Whatever comes, up to [`MAX_LANES`].
    Everything,
}

/// Most lanes that frames may open by themselves, so that a hostile stream cannot fill the memory.
pub const MAX_LANES: usize = 4_096;

/// The settings of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineConfig {
    /// The market that frames belong to.
    pub market: Market,
    /// Where frames come from: the live stream, or a recording of it.
    pub frames_from: TradeSource,
    /// Which of their trades count.
    pub wanted: Wanted,
    /// The calculator of each lane.
    pub calculator: CvdConfig,
    /// Whether holes in the ids can be repaired: answers will come as [`Input::Reply`]. Without that they are given up
    /// as they are found.
    pub repairs: bool,
    /// Trades of one symbol that may wait behind a hole, at least 1. All symbols together may hold as many, or
    /// [`HELD_IN_ALL`] if that is more.
    pub hold_size: usize,
    /// What gathers each lane's bars, as it is before the first trade; empty for no bars.
    pub bars: Vec<BarBuilder>,
}

/// Trades that all symbols together may hold behind holes: about 64 MiB.
pub const HELD_IN_ALL: usize = 524_288;

/// Which of a lane's trades somebody looks at, by their number in the lane from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Telling {
    /// So many from the beginning.
    pub first: u64,
    /// Every so many-th; 0 for none.
    pub every: u64,
}

impl Default for Telling {
    /// All of them.
    fn default() -> Self {
        Self { first: 0, every: 1 }
    }
}

impl Telling {
    /// How many trades behind one with this number come before the next that somebody looks at.
    fn untold_after(self, ordinal: u64) -> u64 {
        if ordinal < self.first {
            return 0;
        }
        match self.every {
            0 => u64::MAX,
            every => every - 1 - ordinal % every,
        }
    }
}

/// What went through, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PipelineCounts {
    /// Frames, rows and damaged lines digested.
    pub messages: u64,
    /// Trades that moved the numbers.
    pub applied: u64,
    /// Trades refused by the calculator.
    pub bad_points: u64,
    /// Frames that cannot be read, and damaged lines.
    pub malformed: u64,
    /// Answers to our requests.
    pub control: u64,
    /// Other events of the exchange.
    pub other: u64,
    /// Trades of symbols nobody asked for.
    pub unrequested: u64,
    /// Trades that another connection had brought before.
    pub copies: u64,
}

impl PipelineCounts {
    /// Whether they can have been counted.
    fn are_sound(&self) -> bool {
        let Self { messages, applied, bad_points, malformed, control, other, unrequested, copies } = *self;
        let all = [messages, applied, bad_points, malformed, control, other, unrequested, copies];
        all.iter().all(|count| *count <= MOST_COUNTED)
            && messages >= malformed + control + other + unrequested
    }

    /// Trades that came, whatever became of them.
    pub fn arrived(&self) -> u64 {
        self.messages - self.malformed - self.control - self.other - self.unrequested
    }
}

/// All lanes.
#[derive(Debug)]
pub struct Pipeline {
    config: PipelineConfig,
    lanes: Vec<Lane>,
    /// By market, then symbol.
    index: [HashMap<Box<str>, usize>; Market::ALL.len()],
    /// The lane of the last trade: on most streams the next one's too.
    recent: usize,
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
    /// How often that happened.
    changes: u64,
    /// First trades of a lane's epoch so far, all lanes together.
    epochs_begun: u64,
    /// The connections that are up.
    lines: Lines,
    /// Lanes with holes that another connection may be about to fill.
    doubtful: Vec<usize>,
    /// Empty bars that the present input may still lead to.
    bar_room: u64,
}

/// So long a hole may be filled by another connection before it is one.
pub const GRACE_NS: u64 = 250_000_000;
/// So long nobody may have traded before a new connection without a trade is taken for an old one without.
const QUIET_OVERLAP_NS: u64 = 10_000_000_000;
/// A symbol that the old connection brings so long after the new one opened has to come over the new one too.
const SETTLED_NS: u64 = 2_000_000_000;
/// A connection that brings nothing for so long, while others bring so many trades, is of no use.
const SILENT_NS: u64 = 15_000_000_000;
const SILENT_TRADES: u64 = 10;

/// When we lost something ourselves, by a count of such occurrences.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Losses {
    count: u64,
    last_evicted: u64,
    last_malformed: u64,
}

impl Losses {
    fn evicted(&mut self) {
        self.count += 1;
        self.last_evicted = self.count;
    }

    fn malformed(&mut self) {
        self.count += 1;
        self.last_malformed = self.count;
    }

    /// Where something was lost after the count stood at `seen`.
    fn cause_since(&self, seen: u64) -> GapCause {
        if self.last_evicted > seen {
            GapCause::Queue
        } else if self.last_malformed > seen {
            GapCause::Malformed
        } else {
            GapCause::Wire
        }
    }
}

impl Pipeline {
    /// A pipeline at zero.
    ///
    /// # Errors
    /// [`CvdConfigError`] if a setting of the calculator is out of its range.
    pub fn new(config: PipelineConfig) -> Result<Self, CvdConfigError> {
        config.calculator.validate()?;
        let mut pipeline = Self::empty(config);
        if let Wanted::Only(symbols) = pipeline.config.wanted.clone() {
            for symbol in symbols {
                pipeline.open_lane(pipeline.config.market, symbol);
            }
        }
        Ok(pipeline)
    }

    /// Without lanes, with settings that are known to be in range.
    fn empty(config: PipelineConfig) -> Self {
        Self {
            lanes: Vec::new(),
            index: Default::default(),
            recent: 0,
            counts: PipelineCounts::default(),
            limit: u64::MAX,
            telling: Telling::default(),
            losses: Losses::default(),
            held: 0,
            changed: Vec::new(),
            changes: 0,
            epochs_begun: 0,
            lines: Lines::default(),
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
            Input::Tick(now) => self.believe_all(Some(*now), |_| false, emit),
            Input::Note(_) | Input::Begin(_) => {}
        }
    }

    /// Its settings.
    pub fn config(&self) -> &PipelineConfig {
        &self.config
    }

    /// Gathers other bars from here on, in every lane.
    pub fn gather(&mut self, bars: Vec<BarBuilder>) {
        self.lanes.iter_mut().for_each(|lane| lane.bars = bars.clone());
        self.config.bars = bars;
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

    /// Every lane's totals, in order of first sight.
    pub fn summaries(&self) -> Vec<LaneSummary> {
        self.lanes.iter().map(Lane::summary).collect()
    }

    /// Which ids each lane's numbers cover.
    pub fn coverages(&self) -> impl Iterator<Item = &Coverage> {
        self.lanes.iter().map(|lane| &lane.coverage)
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

    /// Counts up whenever a lane's holes or doubts change.
    #[inline]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// How the ids of a lane stand.
    ///
    /// # Panics
    /// If there is no such lane.
    pub fn ids(&self, lane: usize) -> LaneIds<'_> {
        self.lanes[lane].ids()
    }

    /// How the ids of every lane stand, in order of first sight.
    pub fn all_ids(&self) -> impl Iterator<Item = LaneIds<'_>> {
        self.lanes.iter().map(Lane::ids)
    }

    /// When [`Input::Tick`] has to come at the latest, by the monotonic clock; `None` while nothing depends on it.
    pub fn tick_due(&self) -> Option<u64> {
        let since = self.doubtful.iter().filter_map(|at| self.lanes[*at].sequence.tentative_since());
        since.map(|since| since.mono_ns.saturating_add(GRACE_NS)).min()
    }

    /// The connections that are up, in the order in which they opened.
    pub fn live_sessions(&self) -> &[LiveSession] {
        self.lines.live()
    }

    /// How often each line was first.
    pub fn races(&self) -> &[Race; MAX_LINES] {
        self.lines.races()
    }

    /// Connections that bring nothing while others do.
    pub fn silent_sessions(&self, now: Stamp) -> impl Iterator<Item = SessionId> {
        self.lines.silent(now, SILENT_NS, SILENT_TRADES)
    }

    /// Whether a connection that was opened to replace an older one of its line may take over from it.
    pub fn overlap(&self, new: SessionId, now: Stamp) -> Overlap {
        let live = self.lines.live();
        let Some(new) = live.iter().find(|live| live.session == new) else { return Overlap::Waiting };
        let Some(old) = live.iter().find(|old| old.line == new.line && old.session < new.session) else {
            return Overlap::Waiting;
        };
        let settled = new.opened_at.mono_ns.saturating_add(SETTLED_NS);
        let mut brought_any = false;
        for Lane { side, sequence, .. } in &self.lanes {
            match (side.reach(new.session), side.reach(old.session)) {
                // Everything before what it brought first has come.
                (Some(reach), _) if sequence.last_id().is_some_and(|last| last.0 >= reach.first) => {
                    brought_any = true;
                }
                (Some(_), _) => return Overlap::Waiting,
                // The old one brings what the new one does not.
                (None, Some(reach)) if reach.at > settled => return Overlap::Waiting,
                (None, _) => {}
            }
        }
        let is_quiet = now.mono_ns.saturating_sub(new.opened_at.mono_ns) >= QUIET_OVERLAP_NS
            && old.received.is_none_or(|received| received.mono_ns <= settled);
        match brought_any {
            true => Overlap::Proven,
            false if is_quiet => Overlap::Quiet,
            false => Overlap::Waiting,
        }
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
                let PipelineConfig { market, frames_from, .. } = self.config;
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
                emit(Event::Malformed { reason, text });
            }
        }
    }

    /// A block of a table, as far as the limit allows.
    fn rows(&mut self, rows: &Rows, emit: &mut impl FnMut(Event<'_>)) {
        let at = match self.known_lane(rows.market, rows.symbol.as_str()) {
            Some(at) => at,
            None => self.open_lane(rows.market, rows.symbol.clone()),
        };
        self.recent = at;
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
        self.recent = at;
        let mut received = None;
        if let Some(from) = from {
            received = from.received;
            self.lines.brought(from, trade.event_at);
            if self.lines.are_several() && self.is_copy(at, trade, from, emit) {
                return;
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
            emit(Event::Suspicious { symbol: &lane.symbol, id: arrival.trade.id, newest });
        }
        self.settle(at, arrival.received, emit);
    }

    /// A connection opened or closed.
    fn link(&mut self, event: &LinkEvent, emit: &mut impl FnMut(Event<'_>)) {
        self.lines.link(event);
        let several = self.lines.are_several();
        for lane in &mut self.lanes {
            lane.sequence.set_grace(several);
            if !several {
                lane.side = Side::default();
            }
        }
        if self.lines.live().is_empty() {
            // Nobody is left who could bring them.
            self.believe_all(None, |_| true, emit);
        }
        emit(Event::Link { event, up: self.lines.live().len() });
    }

    /// One of several connections brought a trade: whether it is a copy of what another one had brought.
    #[cold]
    fn is_copy(
        &mut self,
        at: usize,
        trade: &AggTrade,
        from: Origin,
        emit: &mut impl FnMut(Event<'_>),
    ) -> bool {
        let lane = &mut self.lanes[at];
        let before = lane.side.brought(trade.id.0, from);
        let is_copy = match before {
            Some((first, lead_ns)) if lane.sequence.has(trade) => {
                self.lines.copied(first, lead_ns, from.line);
                self.counts.copies += 1;
                true
            }
            Some(_) => false,
            None => {
                self.lines.won(from.line);
                false
            }
        };
        if lane.sequence.tentative_since().is_some() {
            self.believe_all(from.received, |_| false, emit);
        }
        is_copy
    }

    /// Doubts become holes once every connection has passed them, or had its time.
    fn believe_all(
        &mut self,
        now: Option<Stamp>,
        is_lost: impl Fn(IdRange) -> bool,
        emit: &mut impl FnMut(Event<'_>),
    ) {
        self.bar_room = MOST_EMPTY_BARS;
        for at in std::mem::take(&mut self.doubtful) {
            let (lane, live) = (&mut self.lanes[at], self.lines.live());
            let side = &lane.side;
            lane.sequence.believe_holes(|ids, since| {
                let waited = now.map_or(0, |now| now.mono_ns.saturating_sub(since.mono_ns));
                waited >= GRACE_NS || is_lost(ids) || side.all_beyond(ids.to.0, live)
            });
            if lane.sequence.tentative_since().is_some() {
                self.doubtful.push(at);
            }
            self.settle(at, now, emit);
        }
    }

    fn reply(&mut self, reply: &Reply, emit: &mut impl FnMut(Event<'_>)) {
        self.bar_room = MOST_EMPTY_BARS;
        let Some(lane) = self.lanes.get_mut(reply.lane) else { return };
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

    /// Takes every consequence out of a lane's sequence.
    fn settle(&mut self, at: usize, now: Option<Stamp>, emit: &mut impl FnMut(Event<'_>)) {
        let most = self.config.hold_size.max(HELD_IN_ALL);
        let lane = &mut self.lanes[at];
        let epoch_before = lane.epoch_begun();
        lane.settle(at, now, &mut self.counts, self.limit, &mut self.bar_room, emit);
        self.held = self.held - lane.held + lane.sequence.held();
        lane.held = lane.sequence.held();
        if self.held > most {
            lane.sequence.discard_held();
            lane.settle(at, now, &mut self.counts, self.limit, &mut self.bar_room, emit);
            self.held = self.held - lane.held + lane.sequence.held();
            lane.held = lane.sequence.held();
        }
        self.epochs_begun += u64::from(lane.epoch_begun() != epoch_before);
        if lane.sequence.take_holes_changed() || lane.sequence.is_in_doubt() {
            self.changes += 1;
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
        Some(known.unwrap_or_else(|| self.open_lane(market, symbol)))
    }

    fn known_lane(&self, market: Market, symbol: &str) -> Option<usize> {
        match self.lanes.get(self.recent) {
            Some(lane) if lane.is(market, symbol) => Some(self.recent),
            _ if self.lanes.len() == 1 => None,
            _ => self.index[market as usize].get(symbol).copied(),
        }
    }

    fn open_lane(&mut self, market: Market, symbol: Symbol) -> usize {
        let at = self.lanes.len();
        self.index[market as usize].insert(symbol.as_str().into(), at);
        let calculator = Cvd::new(self.config.calculator).expect("valid, because `new` has checked it");
        let mut sequence = Sequence::new(self.config.repairs, self.config.hold_size);
        sequence.set_grace(self.lines.are_several());
        let bars = self.config.bars.clone();
        self.lanes.push(Lane::new(market, symbol, calculator, sequence, bars));
        at
    }
}

/// How the ids of a lane stand.
#[derive(Debug, Clone)]
pub struct LaneIds<'a> {
    /// The lane's symbol.
    pub symbol: &'a Symbol,
    /// The largest id known to exist, if there is any.
    pub newest: Option<AggTradeId>,
    /// What is missing and waited for, ascending; the first [`HOLES_PER_LANE`](crate::repair::HOLES_PER_LANE).
    pub holes: Vec<Hole>,
    /// There are suspicious ids that REST's newest one would confirm or deny.
    pub in_doubt: bool,
}

#[cfg(test)]
mod tests;
