//! Lanes that are opened, move from shard to shard and end while others run.

use super::lane::Lane;
use super::lines::Side;
use super::shard::Shard;
use super::{Event, LaneTotals, MAX_LANES, Pipeline};
use crate::bars::MOST_EMPTY_BARS;
use crate::feed::{MAX_SHARDS, ShardId};
use crate::snapshot::{Coverage, Instrument, LaneSummary, Market};
use crate::source::{Departure, RosterChange, Seat};
use crate::units::Symbol;

/// Where a lane is that has ended: no connection brings it.
pub(super) const NOWHERE: ShardId = ShardId(u16::MAX);

impl Pipeline {
    /// The lane of an instrument, if it has one that has not ended.
    pub fn lane_of(&self, instrument: &Instrument) -> Option<usize> {
        let at = self.index.lane(instrument.market, instrument.symbol.as_str())?;
        (!self.lanes[at].has_ended()).then_some(at)
    }

    /// How many lanes have ended and not come back.
    pub fn ended(&self) -> u64 {
        (self.lanes.len() - self.running().count()) as u64
    }

    /// What every lane that has not ended adds up to.
    pub fn totals(&self) -> impl Iterator<Item = LaneTotals<'_>> {
        self.running().map(|(at, lane)| lane.totals(at))
    }

    /// What there is to see of every lane that has not ended: its totals, its summary, and the trades of all its epochs that
    /// were given up.
    pub fn looks(&self) -> impl Iterator<Item = (LaneTotals<'_>, LaneSummary, u64)> {
        self.running().map(|(at, lane)| (lane.totals(at), lane.summary(), lane.sequence.counts().missing))
    }

    /// What the lane of an instrument adds up to, if it has one that has not ended.
    pub fn totals_of(&self, instrument: &Instrument) -> Option<LaneTotals<'_>> {
        self.lane_of(instrument).map(|at| self.lanes[at].totals(at))
    }

    /// Which ids the lanes of a shard cover.
    pub fn coverages_of(&self, shard: ShardId) -> impl Iterator<Item = &Coverage> {
        let of_shard = move |(_, lane): &(usize, &Lane)| lane.shard == shard;
        self.running().filter(of_shard).map(|(_, lane)| &lane.coverage)
    }

    /// The shard that brings a lane; `None` if there is no such lane, or it has ended.
    pub fn shard_of_lane(&self, lane: usize) -> Option<ShardId> {
        self.lanes.get(lane).map(|lane| lane.shard).filter(|shard| *shard != NOWHERE)
    }

    /// The shard that brings a symbol of a market, if it has a lane.
    pub fn shard_of(&self, market: Market, symbol: &Symbol) -> Option<ShardId> {
        let at = self.index.lane(market, symbol.as_str())?;
        Some(self.lanes[at].shard).filter(|shard| *shard != NOWHERE)
    }

    /// Trades that came over the connections of a shard, copies included.
    pub fn arrived(&self, shard: ShardId) -> u64 {
        self.shards.get(usize::from(shard.0)).map_or(0, |shard| shard.lines.arrived())
    }

    /// The shards there are or have been; their ids count from 0.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// The market of a shard.
    pub fn market_of(&self, shard: ShardId) -> Market {
        self.shards.get(usize::from(shard.0)).map_or(self.config.market, |shard| shard.market)
    }

    /// The lanes that have not ended, with their numbers.
    pub(super) fn running(&self) -> impl Iterator<Item = (usize, &Lane)> {
        self.lanes.iter().enumerate().filter(|(_, lane)| !lane.has_ended())
    }

    /// Gives a lane its place; opens it if it is not there. `None` if there are too many.
    pub(super) fn seat(&mut self, seat: &Seat) -> Option<(usize, bool)> {
        let Seat { instrument, shard, contract_size, is_moving, .. } = seat;
        let number = usize::from(shard.0);
        if number >= MAX_SHARDS {
            return None;
        }
        while self.shards.len() <= number {
            self.shards.push(Shard::of(instrument.market));
        }
        if self.shards[number].market != instrument.market
            && !self
                .running()
                .any(|(_, lane)| lane.shard == *shard && lane.instrument.market != instrument.market)
        {
            // The number had another shard, and nobody sits there any more.
            self.shards[number].market = instrument.market;
        }
        let known = self.index.lane(instrument.market, instrument.symbol.as_str());
        let (at, is_new) = match known {
            Some(at) if !self.lanes[at].has_ended() => (at, false),
            Some(at) => {
                self.lanes[at] = self.fresh(instrument.clone());
                (at, true)
            }
            None if self.lanes.len() >= MAX_LANES => return None,
            None => (self.open_lane(instrument.clone()), true),
        };
        let several = self.shards[number].lines.are_several();
        let lane = &mut self.lanes[at];
        if lane.shard != *shard || !(several || *is_moving) {
            lane.side = Side::default();
        }
        (lane.shard, lane.is_moving, lane.contract_size) = (*shard, *is_moving, *contract_size);
        lane.sequence.set_grace(several || *is_moving);
        Some((at, is_new))
    }

    pub(super) fn roster(&mut self, change: &RosterChange, emit: &mut impl FnMut(Event<'_>)) {
        self.bar_room = MOST_EMPTY_BARS;
        for Departure { instrument, why } in &change.ended {
            let Some(at) = self.lane_of(instrument) else { continue };
            if let Some(shard) = self.shards.get_mut(usize::from(self.lanes[at].shard.0)) {
                shard.changes += 1;
            }
            self.lanes[at].sequence.finish();
            self.settle(at, Some(change.at), emit);
            self.lanes[at].end_bars(at, emit);
            let summary = self.lanes[at].summary();
            let was_marked = self.lanes[at].is_marked;
            self.lanes[at] = self.fresh(instrument.clone());
            let lane = &mut self.lanes[at];
            (lane.shard, lane.is_marked) = (NOWHERE, true);
            if !was_marked {
                // Nobody needs to ask for what it missed.
                self.changed.push(at);
            }
            self.held -= usize::try_from(summary.held_trades).unwrap_or(0).min(self.held);
            self.doubtful.retain(|doubtful| *doubtful != at);
            emit(Event::LaneEnded { lane: at, summary: &summary, why: *why });
        }
        for seat in &change.seats {
            if let Some((lane, true)) = self.seat(seat) {
                emit(Event::LaneOpened { lane, instrument: &seat.instrument, why: seat.joined });
            }
        }
    }
}

#[cfg(test)]
mod tests;
