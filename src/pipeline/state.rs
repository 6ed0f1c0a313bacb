//! Everything a lane carries from one trade to the next, to be stored and continued from.

use super::Pipeline;
use super::WorthSum;
use super::lane::Lane;
use crate::cvd::{Cvd, CvdConfig, CvdConfigError, CvdState, CvdStateError};
use crate::sequence::{MOST_COUNTED, Sequence, SequenceCounts, SequenceState, SequenceStateError};
use crate::snapshot::{Instrument, Market};
use crate::units::{AggTradeId, Symbol, UnixMillis};

/// The complete state of a lane but for the trades that wait behind a hole, which are fetched again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneState {
    /// The market.
    pub market: Market,
    /// The symbol.
    pub symbol: Symbol,
    /// Counts up from 1 whenever the exchange begins to number anew.
    pub epoch: u32,
    /// Trades applied since the anchor of the first epoch.
    pub applied: u64,
    /// Those of earlier epochs.
    pub applied_before_epoch: u64,
    /// Where the ids stand.
    pub sequence: SequenceState,
    /// Where the numbers stand.
    pub calculator: CvdState,
    /// What the trades of the epoch are worth, where that is known.
    pub worth: Option<WorthSum>,
}

/// Why a lane cannot go on from a state.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// The numbers contradict each other or the settings.
    #[error(transparent)]
    Calculator(#[from] CvdStateError),
    /// The ids contradict each other.
    #[error(transparent)]
    Sequence(#[from] SequenceStateError),
    /// Epochs are counted from 1.
    #[error("the epoch is 0, but the first one is 1")]
    Epoch,
    /// More trades before the epoch than in all.
    #[error("{0} trades were applied before the epoch, but only {1} in all")]
    Before(u64, u64),
    /// Every id was applied, refused or given up, but these numbers do not add up.
    #[error("{ids} ids are not {applied} applied, {bad_points} refused and {missing} missing trades")]
    Sum {
        /// Ids of the epoch.
        ids: u64,
        /// Trades applied in it.
        applied: u64,
        /// Trades refused in it.
        bad_points: u64,
        /// Trades given up in it.
        missing: u64,
    },
    /// No lane more is opened.
    #[error("there are too many symbols")]
    TooManyLanes,
}

impl Pipeline {
    /// The state of a lane, in order of first sight; `None` before its first trade.
    pub fn lane_state(&self, lane: usize) -> Option<LaneState> {
        let lane = self.lanes.get(lane)?;
        Some(LaneState {
            market: lane.instrument.market,
            symbol: lane.instrument.symbol.clone(),
            epoch: lane.coverage.epoch,
            applied: lane.applied,
            applied_before_epoch: lane.applied_before_epoch,
            sequence: lane.sequence.state()?,
            calculator: lane.calculator.state(),
            worth: lane.worth,
        })
    }

    /// The state of a lane as it was right before the first trade of its epoch; `None` before its first trade of all.
    pub fn anchor_state(&self, lane: usize) -> Option<LaneState> {
        let lane = self.lanes.get(lane)?;
        let mut calculator = lane.calculator.clone();
        calculator.reset();
        Some(LaneState {
            market: lane.instrument.market,
            symbol: lane.instrument.symbol.clone(),
            epoch: lane.coverage.epoch,
            applied: lane.applied_before_epoch,
            applied_before_epoch: lane.applied_before_epoch,
            sequence: lane.sequence.anchor_state()?,
            calculator: calculator.state(),
            worth: Some(WorthSum::default()),
        })
    }

    /// Goes on from a state, before the first input. A lane of the same market and symbol is replaced.
    ///
    /// # Errors
    /// [`ResumeError`] if no run of trades leads to the state with the present settings.
    pub fn resume(&mut self, state: &LaneState) -> Result<(), ResumeError> {
        let calculator = state.calculator(self.config.calculator)?;
        let sequence = Sequence::from_state(&state.sequence, self.config.repairs, self.config.hold_size)?;
        let instrument = Instrument::new(state.market, state.symbol.clone());
        let at = match self.known_lane(state.market, state.symbol.as_str()) {
            Some(at) => at,
            None if self.lanes.len() >= super::MAX_LANES => return Err(ResumeError::TooManyLanes),
            None => self.open_lane(instrument.clone()),
        };
        let bars = self.config.bars_of(state.market);
        let before = &self.lanes[at];
        let (shard, contract_size) = (before.shard, before.contract_size);
        let worth = state.worth.filter(|_| self.config.counts_worth);
        let mut lane = Lane::new(instrument, calculator, sequence, bars, worth);
        (lane.shard, lane.contract_size) = (shard, contract_size);
        (lane.applied, lane.applied_before_epoch) = (state.applied, state.applied_before_epoch);
        lane.coverage.epoch = state.epoch;
        lane.cover();
        self.lanes[at] = lane;
        Ok(())
    }

    /// Counts up whenever a lane has the first trade of an epoch.
    pub(crate) fn epochs_begun(&self) -> u64 {
        self.epochs_begun
    }

    /// Where the ids of a lane stand, in one number that every step of it changes: the epoch and the next id.
    pub(crate) fn position(&self, lane: usize) -> Option<(u32, AggTradeId)> {
        let lane = self.lanes.get(lane)?;
        Some((lane.epoch_begun()?, lane.sequence.last_id()?))
    }
}

impl LaneState {
    /// A lane right before its first trade, which was made at `newest` or later: what is durable before anything is
    /// told.
    ///
    /// # Errors
    /// [`CvdConfigError`] if a setting is out of its range.
    pub fn anchor(
        market: Market,
        symbol: Symbol,
        first: AggTradeId,
        newest: UnixMillis,
        config: CvdConfig,
    ) -> Result<Self, CvdConfigError> {
        Ok(Self {
            market,
            symbol,
            epoch: 1,
            applied: 0,
            applied_before_epoch: 0,
            sequence: SequenceState::anchor(first, newest, SequenceCounts::default()),
            calculator: Cvd::new(config)?.state(),
            worth: Some(WorthSum::default()),
        })
    }

    /// Whether some run of trades leads to the state with these settings.
    ///
    /// # Errors
    /// [`ResumeError`] if none does.
    pub fn validate(&self, config: CvdConfig) -> Result<(), ResumeError> {
        self.calculator(config)?;
        Sequence::from_state(&self.sequence, true, 1)?;
        Ok(())
    }

    /// The calculator that goes on from the state.
    fn calculator(&self, config: CvdConfig) -> Result<Cvd, ResumeError> {
        self.check_sums()?;
        Ok(Cvd::from_state(config, self.calculator.clone())?)
    }

    fn check_sums(&self) -> Result<(), ResumeError> {
        if self.epoch == 0 {
            return Err(ResumeError::Epoch);
        }
        let (ids, missing) = (self.sequence.ids(), self.sequence.missing);
        let bad_points = self.calculator.bad_points;
        if self.applied > MOST_COUNTED || bad_points > MOST_COUNTED || self.epoch == u32::MAX {
            return Err(SequenceStateError::Count.into());
        }
        let Some(applied) = self.applied.checked_sub(self.applied_before_epoch) else {
            return Err(ResumeError::Before(self.applied_before_epoch, self.applied));
        };
        let sum = applied.checked_add(bad_points).and_then(|sum| sum.checked_add(missing));
        if sum != Some(ids) {
            return Err(ResumeError::Sum { ids, applied, bad_points, missing });
        }
        // A trade leaves an average behind, and nothing else does.
        if (applied > 0) != self.calculator.ema_bits.is_some() {
            return Err(CvdStateError::Ema.into());
        }
        Ok(())
    }
}
