//! Whose turn it is.

use super::*;

#[test]
fn the_turns_of_others_do_not_count_and_nobody_is_starved() {
    // Requests that hang for 8 s each: of a lane's time, 8 s in 80 are its own, and a pause.
    let mut world = World::new((0..10).map(|_| Tape::every_second(500)).collect());
    (0..10).for_each(|lane| world.lose(lane, &[(400, 410)]));
    world.run(3_600 * SECOND, |_, _| (Err(passing()), Duration::from_secs(8)));
    assert_eq!(world.given_up.len(), 10);
    for lane in 0..10 {
        let asked = world.asked.iter().filter(|(_, l, _)| *l == lane).count();
        assert!(asked >= 5, "lane {lane} was asked {asked} times only");
    }
    let first: Vec<usize> = world.asked[..20].iter().map(|(_, lane, _)| *lane).collect();
    for (turn, lane) in first.iter().enumerate() {
        assert_eq!(*lane, turn % 10, "each lane in its turn: {first:?}");
    }
}

#[test]
fn a_long_hole_does_not_keep_a_later_one_or_another_lane_waiting() {
    let mut world = World::new(vec![Tape::every_second(50_000), Tape::every_second(500)]);
    world.lose(0, &[(100, 30_000), (40_000, 40_001)]);
    world.lose(1, &[(400, 410)]);
    world.run_truly(600 * SECOND);
    assert_eq!(world.missing(), 0);
    let place = |ask: Ask| world.asked.iter().position(|(_, _, a)| *a == ask).expect("asked");
    assert!(place(by_id(40_000, 2)) <= 3, "{:?}", &world.asked[..5]);
    assert!(place(by_id(400, 11)) <= 3, "{:?}", &world.asked[..5]);
    assert!(world.given_up.is_empty(), "{:?}", world.given_up);
}

#[test]
fn after_an_outage_the_most_liquid_symbol_is_asked_for_first() {
    let mut world = World::new((0..20).map(|_| Tape::every_second(500)).collect());
    for outage in 0..2 {
        (0..20).for_each(|lane| world.planner.liquidity(lane, (lane as u64 * 7) % 20));
        world.asked.clear();
        // The first that is noticed is asked for at once, whoever it is.
        (0..20).for_each(|lane| world.lose(lane, &[(100 + 50 * outage, 110 + 50 * outage)]));
        world.run_truly(u64::MAX);
        let rates: Vec<usize> = world.asked.iter().map(|(_, lane, _)| (lane * 7) % 20).collect();
        let expected: Vec<usize> = (0..20).rev().collect();
        assert_eq!(rates, expected);
    }
}

/// What may happen to a planner.
#[derive(Debug, Clone)]
enum Act {
    /// A lane misses some ids, unless it misses some already.
    Lose(usize, i64),
    /// So many requests are made and answered.
    Ask(usize),
}

fn acts(lanes: usize) -> impl Strategy<Value = Vec<Act>> {
    let lose = (0..lanes, 1i64..3_000).prop_map(|(lane, length)| Act::Lose(lane, length));
    prop::collection::vec(prop_oneof![lose, (1usize..8).prop_map(Act::Ask)], 1..80)
}

proptest! {
    #[test]
    fn of_n_lanes_that_want_each_is_asked_for_within_n_turns(
        acts in acts(12),
        rates in prop::collection::vec(0u64..5, 12),
    ) {
        let mut world = World::new(rates.iter().map(|_| Tape::every_second(12_000)).collect());
        rates.iter().enumerate().for_each(|(lane, rate)| world.planner.liquidity(lane, *rate));
        // Who misses something, and for how many turns of others each has waited.
        let mut waits: BTreeMap<usize, usize> = BTreeMap::new();
        let mut next = vec![10i64; rates.len()];
        for act in acts {
            match act {
                Act::Lose(lane, length) if !waits.contains_key(&lane) && next[lane] < 8_000 => {
                    world.lose(lane, &[(next[lane], next[lane] + length)]);
                    next[lane] += length + 10;
                    waits.insert(lane, 0);
                }
                Act::Lose(..) => {}
                Act::Ask(requests) => for _ in 0..requests {
                    let request = match world.planner.next(world.now()) {
                        Step::Ask(request) => request,
                        Step::Wait(Some(at)) => { world.mono = at; continue }
                        Step::Wait(None) | Step::Reply(_) => break,
                    };
                    let page = world.tapes[request.lane].page(request.ask);
                    let reply = world.planner.answered(page, world.now()).expect("a page has rows");
                    world.deliver(reply);
                    for (lane, waited) in &mut waits {
                        *waited = if *lane == request.lane { 0 } else { *waited + 1 };
                        prop_assert!(*waited < rates.len(), "lane {} waits for {} turns", lane, waited);
                    }
                    if world.holes[&request.lane].is_empty() {
                        waits.remove(&request.lane);
                    }
                }
            }
        }
    }

    #[test]
    fn lanes_take_turns_whatever_each_of_them_misses(
        holes in prop::collection::vec(1i64..6_000, 2..7),
    ) {
        let mut world = World::new(holes.iter().map(|_| Tape::every_second(8_000)).collect());
        for (lane, length) in holes.iter().enumerate() {
            world.lose(lane, &[(100, 100 + length)]);
        }
        world.run_truly(u64::MAX);
        prop_assert_eq!(world.missing(), 0);
        // While a lane has something to ask, nobody is asked twice before it.
        for lane in 0..holes.len() {
            let turns: Vec<usize> =
                world.asked.iter().enumerate().filter(|(_, (_, l, _))| *l == lane).map(|(at, _)| at).collect();
            prop_assert!(turns[0] < holes.len());
            for pair in turns.windows(2) {
                prop_assert!(pair[1] - pair[0] <= holes.len(), "lane {} waited: {:?}", lane, world.asked);
            }
        }
    }
}
