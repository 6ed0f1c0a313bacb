//! The weight pools: `usdm` and `coinm` share one, `spot` has its own. Each asks on its own, one request at a time.

use std::collections::VecDeque;
use std::time::Duration;

use super::rest::RestClient;
use super::{Answer, GiveUpReason, Outcome, Planner, Repair, Reply, WeightBudget};
use crate::clock::{Clock, ClockOffset};
use crate::feed::{LinkChange, LinkEvent, SessionId, Steering};
use crate::pipeline::LaneIds;
use crate::snapshot::Market;

/// Asks REST for what is missing on all markets, each lane where its market is. Ids of a market whose REST nobody knows
/// are given up at once.
pub struct Repairs {
    pools: Vec<Repair>,
    /// Which of them was not heard first the last time.
    turn: usize,
    clock: Clock,
    /// What nobody can be asked about.
    given_up: VecDeque<Outcome>,
}

/// Pools that there can be.
const POOLS: [&[Market]; 2] = [&[Market::UsdM, Market::CoinM], &[Market::Spot]];

impl Repairs {
    /// Repairs over `clients`, one for each market at most. `deadline`: how long REST may bring nothing for a hole;
    /// `heartbeat_timeout`: how long the feed lets a session go without data unless somebody vouches for it; `steering`
    /// steers that feed.
    pub fn new(
        clients: impl IntoIterator<Item = RestClient>,
        deadline: Duration,
        heartbeat_timeout: Duration,
        clock: Clock,
        steering: &Steering,
    ) -> Self {
        let mut clients: Vec<_> = clients.into_iter().collect();
        let mut pools: Vec<Repair> = Vec::new();
        for markets in POOLS {
            let (ours, others) = clients.into_iter().partition(|client| markets.contains(&client.market()));
            clients = others;
            let ours: Vec<RestClient> = ours;
            let Some(first) = ours.first() else { continue };
            let planner = Planner::new(WeightBudget::of(first.market()), deadline);
            let repair = Repair::new(planner, ours, clock, steering.clone());
            let repair = repair.with_heartbeat(heartbeat_timeout);
            // The clock is one for all of them.
            pools.push(if pools.is_empty() { repair } else { repair.without_time() });
        }
        Self { pools, turn: 0, clock, given_up: VecDeque::new() }
    }

    /// See [`Repair::want`].
    pub fn want(&mut self, lane: usize, ids: &LaneIds<'_>) {
        match self.pools.iter_mut().find(|pool| pool.asks(ids.instrument.market)) {
            Some(pool) => pool.want(lane, ids),
            None if ids.holes.is_empty() => {}
            None => {
                let at = self.clock.now();
                let reason = GiveUpReason::Refused;
                let gave_up = |ids| Reply { lane, at, answer: Answer::GaveUp { ids, reason } };
                self.given_up.extend(ids.holes.iter().map(|hole| Outcome::Reply(gave_up(hole.ids))));
            }
        }
    }

    /// See [`Repair::link`].
    pub fn link<'a>(&mut self, event: &LinkEvent, lanes: impl Iterator<Item = LaneIds<'a>>) {
        let lanes: Vec<_> = match event.change {
            LinkChange::Opened => lanes.filter(|ids| ids.shard == event.line.shard()).collect(),
            LinkChange::Closed => Vec::new(),
        };
        for pool in &mut self.pools {
            pool.link(event, lanes.iter().cloned());
        }
    }

    /// See [`Repair::tick`].
    pub fn tick<'a>(&mut self, lanes: impl Iterator<Item = LaneIds<'a>>) {
        let mut now = self.clock.now();
        for pool in &mut self.pools {
            now = pool.begin_tick();
        }
        for ids in lanes {
            for pool in &mut self.pools {
                pool.see(&ids, now);
            }
        }
        for pool in &mut self.pools {
            pool.end_tick(now);
        }
    }

    /// See [`Repair::clock_offset`].
    pub fn clock_offset(&mut self, offset: Option<ClockOffset>) {
        self.pools.iter_mut().for_each(|pool| pool.clock_offset(offset));
    }

    /// See [`Repair::clock_stepped`].
    pub fn clock_stepped(&mut self) {
        self.pools.iter_mut().for_each(Repair::clock_stepped);
    }

    /// Whether REST is asked about a market.
    pub fn asks(&self, market: Market) -> bool {
        self.pools.iter().any(|pool| pool.asks(market))
    }

    /// See [`Repair::trouble`]; of the pool that a market belongs to.
    pub fn trouble_of(&self, market: Market) -> Option<&str> {
        self.pools.iter().find(|pool| pool.asks(market)).and_then(Repair::trouble)
    }

    /// See [`Repair::disturbed`].
    pub fn disturbed(&mut self, session: Option<SessionId>) {
        self.pools.iter_mut().for_each(|pool| pool.disturbed(session));
    }

    /// See [`Repair::repair_calls`].
    pub fn repair_calls(&self) -> u64 {
        self.pools.iter().map(Repair::repair_calls).sum()
    }

    /// See [`Repair::calls`].
    pub fn calls(&self) -> u64 {
        self.pools.iter().map(Repair::calls).sum()
    }

    /// See [`Repair::used_weight`]; of the pool that has used the most.
    pub fn used_weight(&self) -> u64 {
        self.pools.iter().map(Repair::used_weight).max().unwrap_or(0)
    }

    /// See [`Repair::next`]. Nobody waits for another's requests, and none is always heard before the other.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn next(&mut self) -> Outcome {
        if let Some(outcome) = self.given_up.pop_front() {
            return outcome;
        }
        self.turn = self.turn.wrapping_add(1);
        match self.pools.as_mut_slice() {
            [] => std::future::pending().await,
            [only] => only.next().await,
            [first, second, ..] => {
                let (first, second) =
                    if self.turn.is_multiple_of(2) { (first, second) } else { (second, first) };
                tokio::select! {
                    biased;
                    outcome = first.next() => outcome,
                    outcome = second.next() => outcome,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::ShardId;
    use crate::repair::Hole;
    use crate::repair::rest::RestBase;
    use crate::snapshot::Instrument;
    use crate::units::{IdRange, Symbol, UnixMillis};

    /// Repairs of these markets, over a network that nobody uses in vain.
    fn repairs(markets: &[Market]) -> Repairs {
        let network = || std::sync::Arc::new(crate::feed::SystemNetwork::default());
        let base = || RestBase::parse("http://127.0.0.1:9", false).expect("an address");
        let clients = markets.iter().map(|market| RestClient::new(network(), base(), *market));
        let (minute, clock) = (Duration::from_secs(60), Clock::system());
        Repairs::new(clients, minute, minute, clock, &Steering::default())
    }

    #[test]
    fn the_futures_share_a_pool_and_spot_has_its_own_and_one_asks_for_the_time() {
        let all = repairs(&Market::ALL);
        assert_eq!(all.pools.len(), 2);
        let asks = |pool: &Repair| Market::ALL.map(|market| pool.asks(market));
        let of = |market| all.pools.iter().position(|pool| pool.asks(market));
        assert_eq!(of(Market::UsdM), of(Market::CoinM));
        assert_ne!(of(Market::UsdM), of(Market::Spot));
        assert!(all.pools.iter().all(|pool| asks(pool).contains(&true)));
        assert_eq!(repairs(&[Market::Spot]).pools.len(), 1);
    }

    #[tokio::test]
    async fn what_nobody_can_be_asked_about_is_given_up_at_once_hole_by_hole() {
        let mut none = repairs(&[]);
        let instrument = Instrument::new(Market::Spot, Symbol::new("BTCUSDT").expect("a symbol"));
        let hole = |from, to| Hole { ids: IdRange::new(from, to), after: UnixMillis(0) };
        let ids = LaneIds {
            lane: 3,
            instrument: &instrument,
            shard: ShardId(0),
            applied: 0,
            newest: None,
            holes: vec![hole(5, 9), hole(12, 12)],
            in_doubt: false,
        };
        none.want(3, &ids);
        for expected in [IdRange::new(5, 9), IdRange::new(12, 12)] {
            let Outcome::Reply(reply) = none.next().await else { panic!("a reply") };
            let reason = GiveUpReason::Refused;
            assert_eq!((reply.lane, reply.answer), (3, Answer::GaveUp { ids: expected, reason }));
        }
    }
}
