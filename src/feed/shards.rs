//! Which shards there are: those that are new are opened, those that changed are told, those that are gone are stopped.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use tokio::sync::watch;

use super::endpoint::Endpoint;
use super::{MAX_SHARDS, ShardId, ShardPlan};

/// The shards whose lines are kept up.
#[derive(Debug, Default)]
pub(super) struct Shards(BTreeMap<ShardId, Running>);

#[derive(Debug)]
struct Running {
    plan: watch::Sender<Arc<ShardPlan>>,
    stop: watch::Sender<bool>,
}

/// A shard whose lines are to be opened, and what they have to hear.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) shard: ShardId,
    pub(super) plan: watch::Receiver<Arc<ShardPlan>>,
    pub(super) stop: watch::Receiver<bool>,
}

impl Shards {
    /// From now on these; gives those that are new. Of two plans for one shard the first holds, and one beyond
    /// [`MAX_SHARDS`] none.
    pub(super) fn follow(&mut self, plans: &[ShardPlan]) -> Vec<Opening> {
        let mut before = std::mem::take(&mut self.0);
        let mut opening = Vec::new();
        for plan in plans.iter().filter(|plan| usize::from(plan.shard.0) < MAX_SHARDS) {
            let Entry::Vacant(place) = self.0.entry(plan.shard) else { continue };
            if let Some(running) = before.remove(&plan.shard) {
                // Whose plan is the same need not wake up.
                if **running.plan.borrow() != *plan {
                    running.plan.send_replace(Arc::new(plan.clone()));
                }
                place.insert(running);
                continue;
            }
            let (plan, followed) = watch::channel(Arc::new(plan.clone()));
            let (stop, stopped) = watch::channel(false);
            opening.push(Opening { shard: *place.key(), plan: followed, stop: stopped });
            place.insert(Running { plan, stop });
        }
        before.into_values().for_each(Running::stop);
        opening
    }

    /// There are to be none any more.
    pub(super) fn stop(&mut self) {
        std::mem::take(&mut self.0).into_values().for_each(Running::stop);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Running {
    fn stop(self) {
        self.stop.send_replace(true);
    }
}

impl ShardPlan {
    /// The first shard, of everything that an address brings.
    pub fn of(endpoint: Endpoint) -> Self {
        let streams = match endpoint.subscribe.is_empty() {
            true => named_by_url(&endpoint),
            false => endpoint.subscribe.clone(),
        };
        Self { shard: ShardId::default(), endpoint, streams }
    }
}

/// The streams that an address brings without being asked.
pub(super) fn named_by_url(endpoint: &Endpoint) -> Vec<String> {
    if !endpoint.subscribe.is_empty() {
        return Vec::new();
    }
    endpoint.symbols.iter().map(|symbol| symbol.stream_name() + "@aggTrade").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(shard: u16, streams: &[&str]) -> ShardPlan {
        let streams = streams.iter().map(|name| (*name).to_owned()).collect();
        ShardPlan { shard: ShardId(shard), streams, ..ShardPlan::of(Endpoint::default()) }
    }

    #[test]
    fn only_what_is_new_is_opened_what_changed_is_told_and_what_is_gone_is_stopped() {
        let mut shards = Shards::default();
        let mut first = shards.follow(&[plan(0, &["a"]), plan(1, &["b"]), plan(2, &["c"])]);
        assert_eq!(first.iter().map(|new| new.shard.0).collect::<Vec<_>>(), [0, 1, 2]);
        let second = shards.follow(&[plan(2, &["c", "d"]), plan(0, &["a"]), plan(7, &["e"])]);
        assert_eq!(second.iter().map(|new| new.shard.0).collect::<Vec<_>>(), [7]);
        assert_eq!(shards.len(), 3);
        assert_eq!(first.iter().map(|new| *new.stop.borrow()).collect::<Vec<_>>(), [false, true, false]);
        assert!(!first[0].plan.has_changed().expect("it is followed"));
        assert_eq!(first[2].plan.borrow_and_update().streams, ["c", "d"]);
        // Back again it is a new one.
        assert_eq!(shards.follow(&[plan(1, &["b"])]).len(), 1);
        assert_eq!(shards.len(), 1);
    }

    #[test]
    fn of_two_plans_for_a_shard_the_first_holds_and_no_plan_lies_beyond_the_most_there_may_be() {
        let mut shards = Shards::default();
        let opened = shards.follow(&[plan(0, &["a"]), plan(0, &["b"]), plan(MAX_SHARDS as u16, &["c"])]);
        assert_eq!(opened.len(), 1);
        assert_eq!(opened[0].plan.borrow().streams, ["a"]);
    }

    #[test]
    fn the_plan_of_an_address_has_the_streams_it_names_or_those_it_asks_for() {
        let plan = ShardPlan::of(Endpoint::default());
        assert_eq!(
            (&plan.streams[..], named_by_url(&plan.endpoint)),
            (&["ethusdt@aggTrade".to_owned()][..], plan.streams.clone())
        );
        let bare =
            Endpoint::from_url("wss://fstream.binance.com/market/ws", None, None, false).expect("an address");
        let plan = ShardPlan::of(bare);
        assert_eq!(plan.streams, ["ethusdt@aggTrade"]);
        assert_eq!(named_by_url(&plan.endpoint), [""; 0]);
    }
}
