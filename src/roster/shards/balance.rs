//! Moves from busy shards to idle ones. Pure.

use super::Shards;
use crate::feed::ShardId;
use crate::snapshot::{Instrument, Market};

/// The most instruments that move at a time.
pub const MOST_MOVES: usize = 20;
/// A shard is too busy that does so many times what the shards of its market do on average …
const TOO_BUSY: f64 = 1.5;
/// … if that is so many trades a second. Below it no connection is worth a move.
const WORTH_IT: f64 = 20.0;
/// A move must take so much of the average off the busier of two shards, so that nothing moves to and fro for nothing.
const STEP: f64 = 0.01;

impl Shards {
    /// Takes note of what each instrument does, in trades a second (what is not known stays as it was), and begins to
    /// move instruments from the busiest shard of a market to the idlest with room, if the busiest does more than 1.5
    /// times what they do on average and that is 20 trades a second or more. At most 20 move at a time, each makes
    /// the busier of the two do less, and none while others are on their way. Returns what moves.
    pub fn rebalance(&mut self, rate: impl Fn(&Instrument) -> Option<f64>) -> Vec<Instrument> {
        for (instrument, place) in &mut self.places {
            if let Some(rate) = rate(instrument) {
                place.rate = Some(if rate.is_finite() { rate.max(0.0) } else { 0.0 });
            }
        }
        if self.is_moving() {
            return Vec::new();
        }
        Market::ALL.into_iter().flat_map(|market| self.rebalance_market(market)).collect()
    }

    fn rebalance_market(&mut self, market: Market) -> Vec<Instrument> {
        let usual = self.usual_rate(market);
        let loads: Vec<(ShardId, f64)> =
            self.of_market(market).map(|id| (id, self.load(id, usual))).collect();
        let mean = loads.iter().map(|(_, load)| load).sum::<f64>() / loads.len().max(1) as f64;
        let Some((busiest, mut most)) = loads.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1)) else {
            return Vec::new();
        };
        if mean < WORTH_IT || most <= TOO_BUSY * mean {
            return Vec::new();
        }
        let room = |id: ShardId| self.room.saturating_sub(self.shards[&id].instruments.len());
        let others = loads.iter().copied().filter(|(id, _)| *id != busiest && room(*id) > 0);
        let Some((idlest, mut least)) = others.min_by(|a, b| a.1.total_cmp(&b.1)) else {
            return Vec::new();
        };

        let rate = |instrument: &Instrument| self.places[instrument].rate.unwrap_or(usual);
        let mut there: Vec<(Instrument, f64)> = self.shards[&busiest]
            .instruments
            .iter()
            .map(|instrument| (instrument.clone(), rate(instrument)))
            .collect();
        let mut moves = Vec::new();
        for _ in 0..room(idlest).min(MOST_MOVES) {
            // The one after which the busier of the two does least.
            let after = |rate: f64| (most - rate).max(least + rate);
            let best = there.iter().enumerate().min_by(|(_, a), (_, b)| after(a.1).total_cmp(&after(b.1)));
            let Some((at, &(_, rate))) = best else { break };
            if after(rate) > most - STEP * mean {
                break;
            }
            (most, least) = (most - rate, least + rate);
            moves.push(there.swap_remove(at).0);
        }
        moves.iter().for_each(|instrument| self.begin_move(instrument, idlest));
        moves
    }
}
