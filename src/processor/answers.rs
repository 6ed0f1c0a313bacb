//! What comes of asking REST, and what follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::run_state::RunState;
use super::{Ending, Processor, ProcessorError, next_outcome};
use crate::repair::rest::Listed;
use crate::repair::{Notice, Outcome, Reply};
use crate::roster::Listings;
use crate::silence::{SymbolProblem, check, unknown};
use crate::snapshot::Market;
use crate::source::{Input, Note};

/// How long holes may still be filled once the source has ended.
const LAST_REPAIRS: Duration = Duration::from_secs(3);

impl Processor<'_> {
    /// Deals with what came of asking REST.
    pub(super) fn heed(
        &mut self,
        outcome: Outcome,
        state: &mut RunState,
    ) -> Result<Option<Ending>, ProcessorError> {
        let reply = match outcome {
            Outcome::Reply(reply) => reply,
            Outcome::Broken { instrument, newest, ours, reply, .. } => {
                self.events.feed_broken(&instrument.symbol, newest, ours);
                reply
            }
            Outcome::Notice(notice) => {
                self.tell_of_rest(&notice);
                return Ok(None);
            }
            Outcome::Failed(error) => {
                self.events.rest_failed(&error);
                return Ok(None);
            }
            Outcome::Silence { lane, instrument, finding } => {
                let symbol = instrument.symbol;
                let at = self.live.as_ref().map(|live| live.clock.now()).unwrap_or_default();
                self.look_around(state);
                self.step(&Input::Note(Note::Silence { lane, symbol, finding, at }), state);
                return Ok(None);
            }
            Outcome::Clock { sent, received, server } => {
                state.offset.sample(sent, received, server);
                let offset = state.clock_offset();
                if let Some(offset) = offset {
                    Self::learn_clock(state, offset);
                    self.events.clock_known(offset);
                }
                if let Some(repair) = &mut self.repair {
                    repair.clock_offset(offset);
                }
                return Ok(None);
            }
            Outcome::Listings { market, listed } => {
                self.heed_listings(market, &listed, state)?;
                self.listed(&Listings::of(market, listed), state);
                return Ok(None);
            }
        };
        Ok(self.answer(reply, state))
    }

    /// What the exchange lists is said about symbols that are silent; a trade that has come is stronger.
    fn heed_listings(
        &mut self,
        market: Market,
        listed: &[Listed],
        state: &mut RunState,
    ) -> Result<(), ProcessorError> {
        if self.live.is_none() {
            return Ok(());
        }
        let has_traded: BTreeMap<_, _> = self
            .pipeline
            .all_ids()
            .filter(|ids| ids.instrument.market == market)
            .map(|ids| (ids.instrument.symbol.clone(), ids.newest.is_some()))
            .collect();
        let symbols: Vec<_> = has_traded.keys().cloned().collect();
        let is_first = self.roster.as_ref().is_none_or(|desk| desk.is_first_list(market));
        let (mut halted, mut unlisted) = (BTreeMap::new(), BTreeSet::new());
        let mut missing = Vec::new();
        for problem in check(listed, &symbols) {
            match problem {
                SymbolProblem::NotTrading { symbol, status } => drop(halted.insert(symbol, status)),
                SymbolProblem::Unknown { symbol, .. }
                    if !is_first || has_traded.get(&symbol) == Some(&true) =>
                {
                    unlisted.insert(symbol);
                }
                SymbolProblem::Unknown { .. } => missing.push(problem),
            }
        }
        self.step(&Input::Note(Note::Listed { market, not_trading: halted, unlisted }), state);
        match unknown(&missing, market) {
            Some(line) => {
                let by = self.board.named_by(market, missing.iter().map(SymbolProblem::symbol));
                Err(ProcessorError::UnknownSymbol(format!("{line} ({by})")))
            }
            None => Ok(()),
        }
    }

    fn answer(&mut self, reply: Reply, state: &mut RunState) -> Option<Ending> {
        self.step(&Input::Reply(reply), state);
        self.pass_on_changes();
        self.has_counted_enough(state).then_some(Ending::CountReached)
    }

    fn tell_of_rest(&self, notice: &Notice) {
        match notice {
            Notice::Banned { status, wait, .. } => self.events.rest_banned(*status, *wait),
            Notice::Refused { symbol, status, message, remedy, .. } => {
                self.events.rest_refused(symbol.as_ref(), *status, message, remedy);
            }
            Notice::BudgetExhausted { used, ceiling, wait } => {
                self.events.rest_exhausted(*used, *ceiling, *wait);
            }
            Notice::ManyMayMiss { lanes, cost, ceiling, about } => {
                self.events.many_may_miss(*lanes, *cost, *ceiling, *about);
            }
            Notice::ManyMissing { cut_off, left, ceiling, about } => {
                self.events.many_missing(*cut_off, *left, *ceiling, *about);
            }
            Notice::ManyWhole { lanes, given_up, took, weight } => {
                self.events.many_whole(*lanes, *given_up, *took, *weight);
            }
        }
    }

    /// The source has ended with holes open: a little time to fill them.
    pub(super) async fn finish_repairs(&mut self, state: &mut RunState) -> Result<(), ProcessorError> {
        if self.repair.is_none() {
            return Ok(());
        }
        self.pass_on_changes();
        if self.pipeline.is_repairing() {
            // Nobody has to wait for REST to see what there is.
            self.flush(state).await.map_err(ProcessorError::Output)?;
        }
        let until = Instant::now() + LAST_REPAIRS;
        while self.pipeline.is_repairing() {
            match tokio::time::timeout_at(until, next_outcome(&mut self.repair)).await {
                Ok(outcome) => {
                    if self.heed(outcome, state)?.is_some() {
                        break;
                    }
                    self.flush(state).await.map_err(ProcessorError::Output)?;
                }
                Err(_elapsed) => break,
            }
        }
        Ok(())
    }
}
