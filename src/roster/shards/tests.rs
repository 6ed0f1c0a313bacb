use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::units::Symbol;

fn instrument(market: Market, at: usize) -> Instrument {
    Instrument::new(market, Symbol::new(&format!("S{at}")).unwrap())
}

fn instruments(market: Market, count: usize) -> Vec<Instrument> {
    (0..count).map(|at| instrument(market, at)).collect()
}

fn sizes(shards: &Shards) -> Vec<usize> {
    shards.iter().map(|(_, shard)| shard.instruments.len()).collect()
}

/// Everything that holds at every moment.
fn check(shards: &Shards) {
    let mut carried: HashMap<&Instrument, Vec<ShardId>> = HashMap::new();
    for (id, shard) in shards.iter() {
        assert!(!shard.instruments.is_empty(), "{id:?} carries nothing");
        assert!(shard.instruments.len() <= shards.room, "{id:?} carries {}", shard.instruments.len());
        let once: HashSet<_> = shard.instruments.iter().collect();
        assert_eq!(once.len(), shard.instruments.len());
        for instrument in &shard.instruments {
            assert_eq!(instrument.market, shard.market);
            carried.entry(instrument).or_default().push(id);
        }
    }
    assert_eq!(carried.len(), shards.len());
    for (instrument, mut by) in carried {
        let place = shards.place(instrument).unwrap();
        let mut expected: Vec<_> = place.from.into_iter().chain([place.shard]).collect();
        by.sort_unstable();
        expected.sort_unstable();
        assert_eq!(by, expected, "{instrument}");
    }
}

/// What each shard of a market does when all moves are over.
fn loads(shards: &Shards, rates: &HashMap<Instrument, f64>) -> Vec<f64> {
    let done = |id| {
        let here =
            rates.iter().filter(|(instrument, _)| shards.place(instrument).is_some_and(|at| at.shard == id));
        here.map(|(_, rate)| rate).sum::<f64>()
    };
    shards.iter().map(|(id, _)| done(id)).collect()
}

fn busiest(loads: &[f64]) -> f64 {
    loads.iter().copied().fold(0.0, f64::max)
}

#[test]
fn many_spread_evenly_over_as_few_shards_as_carry_them() {
    for (count, expected) in [(1, &[1][..]), (200, &[200]), (201, &[101, 100]), (600, &[200, 200, 200])] {
        let mut shards = Shards::new(200);
        assert_eq!(shards.add(&instruments(Market::UsdM, count)), []);
        assert_eq!(sizes(&shards), expected);
        check(&shards);
    }
}

#[test]
fn a_shard_is_of_one_market() {
    let mut shards = Shards::new(3);
    let mut wanted = instruments(Market::Spot, 4);
    wanted.extend(instruments(Market::UsdM, 2));
    wanted.extend(instruments(Market::CoinM, 1));
    assert_eq!(shards.add(&wanted), []);
    check(&shards);
    let markets: Vec<_> = shards.iter().map(|(_, shard)| shard.market).collect();
    assert_eq!(markets, [Market::UsdM, Market::CoinM, Market::Spot, Market::Spot]);
}

#[test]
fn a_newcomer_goes_where_least_is_done_and_one_that_is_there_stays() {
    let mut shards = Shards::new(4);
    shards.add(&instruments(Market::UsdM, 6));
    let of = |at: usize| instrument(Market::UsdM, at);
    assert_eq!(shards.place(&of(0)).unwrap().shard, ShardId(0));
    // All of the first shard is idle.
    let first: HashSet<_> = shards.shards[&ShardId(0)].instruments.iter().cloned().collect();
    shards.rebalance(|instrument| Some(if first.contains(instrument) { 1.0 } else { 2.0 }));
    shards.add(&[of(7), of(0)]);
    assert_eq!(shards.place(&of(7)).unwrap().shard, ShardId(0));
    assert_eq!(sizes(&shards), [4, 3]);
    // No room there: the next goes to the other, and the one after that to a new one.
    shards.add(&[of(8)]);
    assert_eq!(sizes(&shards), [4, 4]);
    shards.add(&[of(9)]);
    assert_eq!(sizes(&shards), [4, 4, 1]);
    check(&shards);
}

#[test]
fn a_shard_that_carries_nothing_is_dropped_and_its_number_rests_for_as_long_as_possible() {
    let mut shards = Shards::new(1);
    let of = |at: usize| instrument(Market::UsdM, at);
    shards.add(&[of(0), of(1)]);
    assert!(shards.remove(&of(0)) && !shards.remove(&of(0)));
    assert_eq!(shards.iter().map(|(id, _)| id).collect::<Vec<_>>(), [ShardId(1)]);
    shards.add(&[of(2)]);
    assert_eq!(shards.place(&of(2)).unwrap().shard, ShardId(2));
    // Until all have been used.
    assert_eq!(shards.add(&(3..300).map(of).collect::<Vec<_>>()).len(), 300 - 257);
    assert_eq!(shards.iter().count(), MAX_SHARDS);
    assert!(shards.iter().any(|(id, _)| id == ShardId(0)));
    check(&shards);
}

#[test]
fn busy_instruments_move_in_two_steps() {
    let mut shards = Shards::new(10);
    shards.add(&instruments(Market::UsdM, 12));
    let first = shards.shards[&ShardId(0)].instruments.clone();
    let rates: HashMap<_, _> = instruments(Market::UsdM, 12)
        .into_iter()
        .map(|one| (one.clone(), if first.contains(&one) { 100.0 } else { 1.0 }))
        .collect();
    let rate = |instrument: &Instrument| rates.get(instrument).copied();
    let moved = shards.rebalance(rate);
    assert_eq!(moved.len(), 3, "600 and 6 become 300 and 306");
    check(&shards);
    for instrument in &moved {
        let place = shards.place(instrument).unwrap();
        assert_eq!((place.shard, place.from), (ShardId(1), Some(ShardId(0))));
    }
    assert!(shards.is_moving());
    assert_eq!(shards.rebalance(rate), [], "one after the other");
    let mut finished = shards.finish_moves();
    finished.sort();
    check(&shards);
    let mut moved = moved;
    moved.sort();
    assert_eq!(finished, moved);
    assert_eq!(sizes(&shards), [3, 9]);
    assert_eq!(shards.finish_moves(), []);
    assert_eq!(shards.rebalance(rate), [], "nothing moves to and fro");
}

#[test]
fn what_leaves_on_its_way_leaves_both_shards() {
    let mut shards = Shards::new(4);
    shards.add(&instruments(Market::UsdM, 5));
    let busy = shards.shards[&ShardId(1)].instruments.clone();
    let moved = shards.rebalance(|one| Some(if busy.contains(one) { 100.0 } else { 1.0 }));
    assert_eq!(moved.len(), 1);
    shards.remove(&moved[0]);
    check(&shards);
    assert!(!shards.is_moving());
}

#[test]
fn nothing_moves_that_is_not_worth_it() {
    let wanted = instruments(Market::UsdM, 6);
    let mut shards = Shards::new(3);
    shards.add(&wanted);
    let busy = shards.shards[&ShardId(0)].instruments.clone();
    let of = |shards: &Shards, each: f64| {
        let mut shards = shards.clone();
        shards.rebalance(|one| Some(if busy.contains(one) { each } else { 0.0 })).len()
    };
    assert_eq!(of(&shards, 100.0), 0, "the idle one has no room");
    let mut roomy = Shards { room: 6, ..shards.clone() };
    assert_eq!(of(&roomy, 100.0), 1);
    assert_eq!(of(&roomy, 13.0), 0, "39 trades a second over two connections");
    assert_eq!(of(&roomy, f64::NAN) + of(&roomy, f64::INFINITY) + of(&roomy, -1e9), 0);
    roomy.remove(&busy[0]);
    roomy.remove(&busy[1]);
    assert_eq!(of(&roomy, 1_000.0), 0, "one that is busy alone stays where it is");
}

/// What may happen to shards.
#[derive(Debug, Clone)]
enum Step {
    Add(Vec<usize>),
    Remove(usize),
    Rebalance(Vec<u16>),
    Finish,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        proptest::collection::vec(0..60_usize, 1..20).prop_map(Step::Add),
        (0..60_usize).prop_map(Step::Remove),
        proptest::collection::vec(0..2_000_u16, 60).prop_map(Step::Rebalance),
        Just(Step::Finish),
    ];
    proptest::collection::vec(step, 1..40)
}

fn either_market(at: usize) -> Instrument {
    instrument(if at.is_multiple_of(2) { Market::UsdM } else { Market::Spot }, at)
}

proptest! {
    #[test]
    fn whatever_happens_each_instrument_has_one_place_and_no_shard_carries_too_much(
        room in 1..9_usize,
        steps in steps(),
    ) {
        let mut shards = Shards::new(room);
        let mut wanted = HashSet::new();
        for step in steps {
            match step {
                Step::Add(numbers) => {
                    let new: Vec<_> = numbers.into_iter().map(either_market).collect();
                    prop_assert_eq!(shards.add(&new), []);
                    wanted.extend(new);
                }
                Step::Remove(number) => {
                    let one = either_market(number);
                    prop_assert_eq!(shards.remove(&one), wanted.remove(&one));
                }
                Step::Rebalance(rates) => {
                    let before = shards.clone();
                    let rate = |one: &Instrument| {
                        let at: usize = one.symbol.as_str()[1..].parse().unwrap();
                        Some(f64::from(rates[at]))
                    };
                    let moved = shards.rebalance(rate);
                    prop_assert!(moved.len() <= MOST_MOVES * 2);
                    let table: HashMap<_, _> =
                        wanted.iter().map(|one| (one.clone(), rate(one).unwrap())).collect();
                    for market in [Market::UsdM, Market::Spot] {
                        let table: HashMap<_, _> =
                            table.clone().into_iter().filter(|(one, _)| one.market == market).collect();
                        let (before, after) = (loads(&before, &table), loads(&shards, &table));
                        prop_assert!(busiest(&after) <= busiest(&before));
                        let squares = |loads: &[f64]| loads.iter().map(|load| load * load).sum::<f64>();
                        let some = moved.iter().any(|one| one.market == market);
                        prop_assert_eq!(some, squares(&after) < squares(&before));
                    }
                }
                Step::Finish => drop(shards.finish_moves()),
            }
            check(&shards);
            prop_assert_eq!(shards.len(), wanted.len());
        }
    }

    #[test]
    fn with_rates_that_stay_all_moves_come_to_an_end(
        room in 2..9_usize,
        rates in proptest::collection::vec(0..2_000_u16, 2..60),
    ) {
        let wanted = instruments(Market::UsdM, rates.len());
        let table: HashMap<_, _> = wanted.iter().cloned().zip(rates.into_iter().map(f64::from)).collect();
        let mut shards = Shards::new(room);
        shards.add(&wanted);
        let mut rounds = 0;
        while !shards.rebalance(|one| table.get(one).copied()).is_empty() {
            shards.finish_moves();
            rounds += 1;
            prop_assert!(rounds < 1_000);
        }
        // With room, nothing is left that could be better.
        let done = loads(&shards, &table);
        let mean = done.iter().sum::<f64>() / done.len() as f64;
        let all_have_room = shards.iter().all(|(_, shard)| shard.instruments.len() < room);
        let largest = table.values().copied().fold(0.0, f64::max);
        if all_have_room && mean >= 20.0 && largest < mean / 4.0 {
            prop_assert!(busiest(&done) <= 1.5 * mean);
        }
    }
}
