//! Everything that later events depend on, for a recording whose segments replay alone. A checkpoint of a lane
//! ([`LaneState`](super::LaneState)) can do with less, because what waits behind a hole is fetched again.

use serde::{Deserialize, Serialize};

use super::flow::FlowSum;
use super::lane::Lane;
use super::lines::Side;
use super::shard::Shard;
use super::worth::WorthSum;
use super::{Losses, MAX_LANES, Pipeline, PipelineConfig, PipelineCounts, ResumeError};
use crate::bars::BarBuilder;
use crate::cvd::{Cvd, CvdState, CvdStateError};
use crate::feed::{MAX_SHARDS, ShardId};
use crate::sequence::{MOST_COUNTED, Sequence};
use crate::snapshot::{Coverage, Instrument};
use crate::units::Symbol;

/// The complete state of a pipeline between two inputs. One that goes on from it says the same as the one it was taken
/// from, for ever.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PipelineState {
    lanes: Vec<LaneMemory>,
    counts: PipelineCounts,
    losses: Losses,
    changed: Vec<usize>,
    epochs_begun: u64,
    shards: Vec<Shard>,
    doubtful: Vec<usize>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct LaneMemory {
    instrument: Instrument,
    shard: ShardId,
    is_moving: bool,
    contract_size: Option<u32>,
    worth: Option<WorthSum>,
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
            epochs_begun: self.epochs_begun,
            shards: self.shards.clone(),
            doubtful: self.doubtful.clone(),
        }
    }

    /// A pipeline that goes on from `state`, with the settings it was taken with.
    ///
    /// # Errors
    /// [`RestoreError`] if no pipeline with these settings can be in that state.
    pub fn restore(config: PipelineConfig, state: PipelineState) -> Result<Self, RestoreError> {
        let PipelineState { lanes, counts, losses, changed, epochs_begun, shards, doubtful } = state;
        let mut pipeline = Self::empty(config);
        if lanes.len() > MAX_LANES {
            return Err(ResumeError::TooManyLanes.into());
        }
        for lane in lanes {
            let Instrument { market, symbol } = lane.instrument.clone();
            if pipeline.index.lane(market, symbol.as_str()).is_some() {
                return Err(ResumeError::TooManyLanes.into());
            }
            pipeline.index.insert(market, symbol.as_str(), pipeline.lanes.len());
            let lane = lane.lane(&pipeline.config)?;
            pipeline.held = pipeline.held.saturating_add(lane.held);
            pipeline.lanes.push(lane);
        }
        let known = |at: &usize| *at < pipeline.lanes.len();
        let is_seated = |lane: &Lane| lane.has_ended() || usize::from(lane.shard.0) < shards.len();
        if !changed.iter().chain(&doubtful).all(known)
            || !(1..=MAX_SHARDS).contains(&shards.len())
            || !pipeline.lanes.iter().all(is_seated)
        {
            return Err(RestoreError::References);
        }
        let account = [losses.count, losses.last_evicted, losses.last_malformed, epochs_begun];
        if !counts.are_sound()
            || account.into_iter().any(|count| count > MOST_COUNTED)
            || !shards.iter().all(|shard| shard.lines.is_sound() && shard.changes <= MOST_COUNTED)
        {
            return Err(RestoreError::Counts);
        }
        (pipeline.counts, pipeline.losses, pipeline.shards) = (counts, losses, shards);
        (pipeline.changed, pipeline.epochs_begun) = (changed, epochs_begun);
        pipeline.doubtful = doubtful;
        Ok(pipeline)
    }
}

impl LaneMemory {
    fn of(lane: &Lane) -> Self {
        Self {
            instrument: lane.instrument.clone(),
            shard: lane.shard,
            is_moving: lane.is_moving,
            contract_size: lane.contract_size,
            worth: lane.worth,
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
        let Self { instrument, calculator, sequence, side, bars, .. } = self;
        let symbol = instrument.symbol.clone();
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
        if !bars.iter().map(kind).eq(config.bars_of(instrument.market).iter().map(kind)) {
            return Err(RestoreError::Bars(symbol));
        }
        let mut lane = Lane::new(instrument, calculator, sequence, bars, self.worth);
        lane.side = side;
        (lane.shard, lane.is_moving, lane.contract_size) = (self.shard, self.is_moving, self.contract_size);
        (lane.applied, lane.applied_before_epoch) = (self.applied, self.applied_before_epoch);
        (lane.coverage, lane.losses_seen, lane.is_marked) = (self.coverage, self.losses_seen, self.is_marked);
        (lane.held, lane.flow) = (lane.sequence.held(), self.flow);
        Ok(lane)
    }
}

#[cfg(test)]
mod tests;
