//! What a pipeline is told before it begins.

use crate::bars::{BarBuilder, NotionalBars};
use crate::cvd::CvdConfig;
use crate::snapshot::{Instrument, Market, TradeSource};
use crate::source::Seat;
use crate::units::Symbol;

/// Which trades make lanes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// These only; their lanes exist from the start, in this order.
    Only(Vec<Seat>),
    /// Whatever comes, up to [`MAX_LANES`].
    Everything,
}

impl Wanted {
    /// These symbols of a market, over one connection.
    pub fn of(market: Market, symbols: &[Symbol]) -> Self {
        let seat = |symbol: &Symbol| Seat::first(Instrument::new(market, symbol.clone()));
        Self::Only(symbols.iter().map(seat).collect())
    }
}

/// Most lanes that frames may open by themselves, so that a hostile stream cannot fill the memory.
pub const MAX_LANES: usize = 4_096;

/// The settings of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineConfig {
    /// The market that frames belong to, unless the seats of their shard are of another.
    pub market: Market,
    /// Where frames come from: the live stream, or a recording of it.
    pub frames_from: TradeSource,
    /// Which of their trades count.
    pub wanted: Wanted,
    /// The calculator of each lane.
    pub calculator: CvdConfig,
    /// Whether holes in the ids can be repaired: answers will come as [`Input::Reply`](crate::source::Input::Reply). Without that they are given up
    /// as they are found.
    pub repairs: bool,
    /// Trades of one symbol that may wait behind a hole, at least 1. All symbols together may hold as many, or
    /// [`HELD_IN_ALL`] if that is more.
    pub hold_size: usize,
    /// What gathers each lane's bars, as it is before the first trade; empty for no bars.
    pub bars: Vec<BarBuilder>,
    /// Whether it is added up what trades are worth, for groups and comparisons of symbols.
    pub counts_worth: bool,
}

impl PipelineConfig {
    /// What gathers the bars of a lane of this market: where no trade tells what it is worth, none by worth.
    pub(super) fn bars_of(&self, market: Market) -> Vec<BarBuilder> {
        let is_possible =
            |bar: &&BarBuilder| NotionalBars::check(market, std::iter::once(bar.spec())).is_ok();
        self.bars.iter().filter(is_possible).cloned().collect()
    }
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
    pub(super) fn untold_after(self, ordinal: u64) -> u64 {
        if ordinal < self.first {
            return 0;
        }
        match self.every {
            0 => u64::MAX,
            every => every - 1 - ordinal % every,
        }
    }
}
