//! The pure middle: inputs in, events out, one lane per market and symbol. No I/O, no clock, no logging;
//! live and replay run this same code, so they reach the same bits.

use std::collections::HashMap;

use crate::cvd::{BadPoint, Cvd, CvdConfig, CvdConfigError};
use crate::decode::{Control, Malformed, Message, decode};
use crate::feed::{Frame, LinkEvent};
use crate::snapshot::{LaneSummary, Market, Snapshot, Stamp, TradeSource};
use crate::source::{DamagedLine, FileRow, Input};
use crate::trade::AggTrade;
use crate::units::{AggTradeId, Symbol};

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
    /// A connection opened or closed.
    Link(&'a LinkEvent),
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
}

/// What went through, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
}

/// One market and symbol.
#[derive(Debug)]
struct Lane {
    market: Market,
    symbol: Symbol,
    calculator: Cvd,
    applied: u64,
    first_id: Option<AggTradeId>,
    last_id: Option<AggTradeId>,
}

impl Pipeline {
    /// A pipeline at zero.
    ///
    /// # Errors
    /// [`CvdConfigError`] if a setting of the calculator is out of its range.
    pub fn new(config: PipelineConfig) -> Result<Self, CvdConfigError> {
        config.calculator.validate()?;
        let mut pipeline = Self {
            lanes: Vec::new(),
            index: Default::default(),
            recent: 0,
            counts: PipelineCounts::default(),
            config,
        };
        if let Wanted::Only(symbols) = pipeline.config.wanted.clone() {
            for symbol in symbols {
                pipeline.open_lane(pipeline.config.market, symbol);
            }
        }
        Ok(pipeline)
    }

    /// Digests one input. At most one trade comes out of it.
    pub fn step(&mut self, input: &Input, emit: &mut impl FnMut(Event<'_>)) {
        match input {
            Input::Frame(frame) => self.frame(frame, emit),
            Input::Row(row) => self.row(row, emit),
            Input::Damaged(line) => {
                self.counts.messages += 1;
                self.counts.malformed += 1;
                emit(Event::Damaged(line));
            }
            Input::Link(event) => emit(Event::Link(event)),
        }
    }

    /// What went through so far.
    pub fn counts(&self) -> PipelineCounts {
        self.counts
    }

    /// Every lane's totals, in order of first sight.
    pub fn summaries(&self) -> Vec<LaneSummary> {
        self.lanes.iter().map(Lane::summary).collect()
    }

    fn frame(&mut self, frame: &Frame, emit: &mut impl FnMut(Event<'_>)) {
        self.counts.messages += 1;
        let text = frame.text.as_bytes();
        match decode(text) {
            Message::Trade { symbol, trade } => {
                let PipelineConfig { market, frames_from, .. } = self.config;
                match self.lane(market, &symbol) {
                    Some(at) => self.apply(at, &trade, frames_from, frame.received, emit),
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
            Message::Other { .. } => {
                self.counts.other += 1;
                emit(Event::Other);
            }
            Message::Malformed(reason) => {
                self.counts.malformed += 1;
                emit(Event::Malformed { reason, text });
            }
        }
    }

    fn row(&mut self, row: &FileRow, emit: &mut impl FnMut(Event<'_>)) {
        self.counts.messages += 1;
        let at = match self.known_lane(row.market, row.symbol.as_str()) {
            Some(at) => at,
            None => self.open_lane(row.market, row.symbol.clone()),
        };
        self.apply(at, &row.trade, TradeSource::File, None, emit);
    }

    fn apply(
        &mut self,
        at: usize,
        trade: &AggTrade,
        source: TradeSource,
        received: Option<Stamp>,
        emit: &mut impl FnMut(Event<'_>),
    ) {
        self.recent = at;
        let lane = &mut self.lanes[at];
        match lane.calculator.apply(trade) {
            Ok(reading) => {
                lane.applied += 1;
                lane.first_id = lane.first_id.or(Some(trade.id));
                lane.last_id = Some(trade.id);
                self.counts.applied += 1;
                emit(Event::Trade(Snapshot {
                    lane: at,
                    market: lane.market,
                    symbol: &lane.symbol,
                    ordinal: lane.applied,
                    trade,
                    source,
                    received,
                    reading,
                }));
            }
            Err(bad) => {
                self.counts.bad_points += 1;
                emit(Event::BadPoint { symbol: &lane.symbol, trade, bad });
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
            Some(lane) if lane.market == market && lane.symbol.as_str() == symbol => Some(self.recent),
            _ if self.lanes.len() == 1 => None,
            _ => self.index[market as usize].get(symbol).copied(),
        }
    }

    fn open_lane(&mut self, market: Market, symbol: Symbol) -> usize {
        let at = self.lanes.len();
        self.index[market as usize].insert(symbol.as_str().into(), at);
        let calculator = Cvd::new(self.config.calculator).expect("valid, because `new` has checked it");
        self.lanes.push(Lane { market, symbol, calculator, applied: 0, first_id: None, last_id: None });
        at
    }
}

impl Lane {
    fn summary(&self) -> LaneSummary {
        LaneSummary {
            market: self.market,
            symbol: self.symbol.clone(),
            trades: self.applied,
            first_id: self.first_id,
            last_id: self.last_id,
            reading: self.calculator.reading(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trade::Aggressor;
    use crate::units::{Price, Qty, UnixMillis};

    fn row(id: i64, qty: i64) -> Input {
        let trade = AggTrade {
            id: AggTradeId(id),
            price: Price::from_units(100_000_000),
            qty: Qty::from_units(qty),
            qty_without_rpi: None,
            first_trade_id: id,
            last_trade_id: id,
            traded_at: UnixMillis(1),
            event_at: None,
            aggressor: Aggressor::Buyer,
        };
        Input::Row(FileRow { market: Market::UsdM, symbol: Symbol::new("BTCUSDT").unwrap(), trade })
    }

    #[test]
    fn trades_that_are_refused_are_neither_the_first_nor_the_last() {
        let mut pipeline = Pipeline::new(PipelineConfig {
            market: Market::UsdM,
            frames_from: TradeSource::File,
            wanted: Wanted::Everything,
            calculator: CvdConfig::default(),
        })
        .unwrap();
        let mut ends = |inputs: &[Input]| {
            inputs.iter().for_each(|input| pipeline.step(input, &mut |_| {}));
            let lane = pipeline.summaries().remove(0);
            (lane.trades, lane.first_id.map(|id| id.0), lane.last_id.map(|id| id.0))
        };
        assert_eq!(ends(&[row(1, 0)]), (0, None, None));
        assert_eq!(ends(&[row(2, 5), row(3, 5), row(4, -1)]), (2, Some(2), Some(3)));
    }
}
