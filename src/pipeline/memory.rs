//! Everything that later events depend on, for a recording whose segments replay alone. A checkpoint of a lane
//! ([`LaneState`](super::LaneState)) can do with less, because what waits behind a hole is fetched again.

use serde::{Deserialize, Serialize};

use super::flow::FlowSum;
use super::lane::Lane;
use super::lines::{Lines, MAX_SESSIONS, Side};
use super::{Losses, MAX_LANES, Pipeline, PipelineConfig, PipelineCounts, ResumeError};
use crate::bars::BarBuilder;
use crate::cvd::{Cvd, CvdState, CvdStateError};
use crate::sequence::{MOST_COUNTED, Sequence};
use crate::snapshot::{Coverage, Market};
use crate::units::Symbol;

/// The complete state of a pipeline between two inputs. One that goes on from it says the same as the one it was taken
/// from, for ever.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PipelineState {
    lanes: Vec<LaneMemory>,
    counts: PipelineCounts,
    losses: Losses,
    changed: Vec<usize>,
    changes: u64,
    epochs_begun: u64,
    lines: Lines,
    doubtful: Vec<usize>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct LaneMemory {
    market: Market,
    symbol: Symbol,
    calculator: CvdState,
    sequence: Sequence,
    side: Side,
    applied: u64,
    applied_before_epoch: u64,
    coverage: Coverage,
    losses_seen: u64,
    is_marked: bool,
    bars: Vec<BarBuilder>,
    flow: FlowSum,
}

/// Why no pipeline can be in a state.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The numbers of a lane contradict each other or the settings.
    #[error("{symbol}: {source}")]
    Calculator {
        /// The lane's symbol.
        symbol: Symbol,
        /// What is wrong.
        #[source]
        source: CvdStateError,
    },
    /// The ids of a lane, or what waits for others, are not what trades leave behind.
    #[error("{0}: its ids are not what trades leave behind")]
    Sequence(Symbol),
    /// A lane has other bars than the settings say.
    #[error("{0}: its bars are not those of the settings")]
    Bars(Symbol),
    /// There are too many lanes, or one of them is there twice.
    #[error(transparent)]
    Lanes(#[from] ResumeError),
    /// A count is beyond everything that can have been counted, or parts are more than their sum.
    #[error("its counts do not add up")]
    Counts,
    /// Something refers to a lane or a connection that cannot be.
    #[error("it speaks of lanes or connections that are not there")]
    References,
}

impl Pipeline {
    /// Everything that later events depend on. Allocates as much as the pipeline holds.
    pub fn memory(&self) -> PipelineState {
        PipelineState {
            lanes: self.lanes.iter().map(LaneMemory::of).collect(),
            counts: self.counts,
            losses: self.losses,
            changed: self.changed.clone(),
            changes: self.changes,
            epochs_begun: self.epochs_begun,
            lines: self.lines.clone(),
            doubtful: self.doubtful.clone(),
        }
    }

    /// A pipeline that goes on from `state`, with the settings it was taken with.
    ///
    /// # Errors
    /// [`RestoreError`] if no pipeline with these settings can be in that state.
    pub fn restore(config: PipelineConfig, state: PipelineState) -> Result<Self, RestoreError> {
        let PipelineState { lanes, counts, losses, changed, changes, epochs_begun, lines, doubtful } = state;
        let mut pipeline = Self::empty(config);
        if lanes.len() > MAX_LANES {
            return Err(ResumeError::TooManyLanes.into());
        }
        for lane in lanes {
            let (market, symbol) = (lane.market, lane.symbol.clone());
            if pipeline.index[market as usize].contains_key(symbol.as_str()) {
                return Err(ResumeError::TooManyLanes.into());
            }
            pipeline.index[market as usize].insert(symbol.as_str().into(), pipeline.lanes.len());
            let lane = lane.lane(&pipeline.config)?;
            pipeline.held = pipeline.held.saturating_add(lane.held);
            pipeline.lanes.push(lane);
        }
        let known = |at: &usize| *at < pipeline.lanes.len();
        if !changed.iter().chain(&doubtful).all(known) || lines.live().len() > MAX_SESSIONS {
            return Err(RestoreError::References);
        }
        let account = [losses.count, losses.last_evicted, losses.last_malformed, changes, epochs_begun];
        let brought = lines.live().iter().flat_map(|live| [live.trades, live.others]);
        if !counts.are_sound() || account.into_iter().chain(brought).any(|count| count > MOST_COUNTED) {
            return Err(RestoreError::Counts);
        }
        (pipeline.counts, pipeline.losses, pipeline.lines) = (counts, losses, lines);
        (pipeline.changed, pipeline.changes, pipeline.epochs_begun) = (changed, changes, epochs_begun);
        pipeline.doubtful = doubtful;
        Ok(pipeline)
    }
}

impl LaneMemory {
    fn of(lane: &Lane) -> Self {
        Self {
            market: lane.market,
            symbol: lane.symbol.clone(),
            calculator: lane.calculator.state(),
            sequence: lane.sequence.clone(),
            side: lane.side.clone(),
            applied: lane.applied,
            applied_before_epoch: lane.applied_before_epoch,
            coverage: lane.coverage,
            losses_seen: lane.losses_seen,
            is_marked: lane.is_marked,
            bars: lane.bars.clone(),
            flow: lane.flow,
        }
    }

    fn lane(self, config: &PipelineConfig) -> Result<Lane, RestoreError> {
        let Self { market, symbol, calculator, sequence, side, bars, .. } = self;
        let calculator = Cvd::from_state(config.calculator, calculator)
            .map_err(|source| RestoreError::Calculator { symbol: symbol.clone(), source })?;
        let counted = [self.applied, self.coverage.missing_trades, self.losses_seen];
        if !sequence.is_sound()
            || !side.is_sound()
            || !self.flow.is_sound()
            || self.applied_before_epoch > self.applied
            || counted.iter().any(|count| *count > MOST_COUNTED)
        {
            return Err(RestoreError::Sequence(symbol));
        }
        let kind = |bar: &BarBuilder| (bar.spec(), bar.makes_empty_bars());
        if !bars.iter().map(kind).eq(config.bars.iter().map(kind)) {
            return Err(RestoreError::Bars(symbol));
        }
        let mut lane = Lane::new(market, symbol, calculator, sequence, bars);
        lane.side = side;
        (lane.applied, lane.applied_before_epoch) = (self.applied, self.applied_before_epoch);
        (lane.coverage, lane.losses_seen, lane.is_marked) = (self.coverage, self.losses_seen, self.is_marked);
        (lane.held, lane.flow) = (lane.sequence.held(), self.flow);
        Ok(lane)
    }
}

#[cfg(test)]
mod tests;
