//! Whatever REST does, every hole ends.

use super::*;

/// How a pretended REST behaves for one request.
#[derive(Debug, Clone, Copy)]
enum Mood {
    Truth,
    Nothing,
    Known,
    Half,
    Passing,
    TooOld,
    Ban(u64),
    Refused(u16),
    Garbage(i64),
}

impl World {
    /// Each lane loses its holes: so many trades after the last hole, a hole of so many trades and one more.
    fn lose_all(&mut self, lanes: &[Vec<(i64, i64)>]) {
        for (lane, holes) in lanes.iter().enumerate() {
            let mut next = 10;
            let hole = |(between, length): &(i64, i64)| {
                let from = next + between;
                next = from + length + 1;
                (from, from + length)
            };
            let ranges: Vec<_> = holes.iter().map(hole).collect();
            self.lose(lane, &ranges);
        }
    }
}

fn moods() -> impl Strategy<Value = Mood> {
    prop_oneof![
        6 => Just(Mood::Truth),
        2 => Just(Mood::Nothing),
        2 => Just(Mood::Known),
        2 => Just(Mood::Half),
        3 => Just(Mood::Passing),
        2 => Just(Mood::TooOld),
        1 => (0u64..200).prop_map(Mood::Ban),
        1 => prop::sample::select(vec![400, 403, 404, 451]).prop_map(Mood::Refused),
        1 => any::<i64>().prop_map(Mood::Garbage),
    ]
}

fn answer(mood: Mood, tape: &Tape, ask: Ask) -> Result<Page, RestError> {
    let page = |trades| Ok(Page { trades, used_weight: Some(100) });
    match mood {
        Mood::Truth => tape.page(ask),
        Mood::Nothing => page(Vec::new()),
        Mood::Known => page((0..1_000).map(|id| row(id, tape.times[id as usize])).collect()),
        Mood::Half => tape.page(ask).map(|mut page| {
            page.trades.truncate(page.trades.len() / 2);
            page
        }),
        Mood::Passing => Err(passing()),
        Mood::TooOld => Err(RestError::TooOldForIds),
        Mood::Ban(seconds) => Err(too_many(seconds)),
        Mood::Refused(status) => Err(refused(status, None)),
        Mood::Garbage(seed) => page(
            (0..seed.rem_euclid(1_001)).map(|i| row(seed.wrapping_mul(i), seed.wrapping_add(i))).collect(),
        ),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_hole_ends_whatever_rest_does_and_no_request_is_made_inside_a_ban(
        lanes in prop::collection::vec(prop::collection::vec((1i64..40, 1i64..1_500), 1..6), 1..5),
        moods in prop::collection::vec((moods(), 0u64..12_000), 1..25),
        too_old in prop_oneof![Just(0i64), 0i64..5_000],
    ) {
        let mut tape = Tape::every_second(10_000);
        tape.too_old = too_old;
        let mut world = World::new(lanes.iter().map(|_| tape.clone()).collect());
        world.lose_all(&lanes);
        let mut banned_until = 0;
        let mut turn = 0;
        let mut requests: Vec<u64> = Vec::new();
        world.run(u64::MAX, |world, request| {
            assert!(world.mono >= banned_until, "asked at {} inside a ban until {banned_until}", world.mono);
            requests.push(world.mono);
            assert!(requests.len() < 10_000, "it never ends");
            let (mood, latency) = moods[turn % moods.len()];
            turn += 1;
            if let Mood::Ban(seconds) = mood {
                banned_until = world.mono + latency * MS + seconds * SECOND;
            }
            (answer(mood, &world.tapes[request.lane], request.ask), Duration::from_millis(latency))
        });
        prop_assert_eq!(world.missing(), 0);
        prop_assert!(world.mono <= requests.len() as u64 * 300 * SECOND + 120 * SECOND, "waits without asking");
        for (index, at) in requests.iter().enumerate().skip(90) {
            prop_assert!(at - requests[index - 90] >= 60 * SECOND, "more than 90 requests in a minute");
        }
        prop_assert_eq!(world.planner.next(world.now()), Step::Wait(None));
    }

    #[test]
    fn a_truthful_exchange_fills_everything_whatever_happens_on_the_way(
        lanes in prop::collection::vec(prop::collection::vec((1i64..1_000, 1i64..1_500), 1..4), 1..4),
        moods in prop::collection::vec((moods().prop_filter("no refusal", |m| !matches!(m, Mood::Refused(_))), 0u64..2_000), 0..8),
    ) {
        let mut world = World::new(lanes.iter().map(|_| Tape::every_second(10_000)).collect());
        world.lose_all(&lanes);
        let mut turn = 0;
        world.run(u64::MAX, |world, request| {
            let (mood, latency) = moods.get(turn).copied().unwrap_or((Mood::Truth, 50));
            turn += 1;
            (answer(mood, &world.tapes[request.lane], request.ask), Duration::from_millis(latency))
        });
        prop_assert_eq!(world.missing(), 0);
        prop_assert!(world.given_up.is_empty(), "{:?}", world.given_up);
    }

    #[test]
    fn a_random_walk_of_holes_never_panics_and_ends(
        walk in prop::collection::vec(
            (0usize..3, prop::collection::vec((any::<i64>(), any::<i64>()), 0..6), moods(), any::<bool>(), 0u64..90_000),
            1..60),
    ) {
        let tape = Tape::every_second(2_000);
        let mut planner = Planner::new(WeightBudget::of(Market::CoinM), Duration::from_secs(60));
        let mut mono = 0u64;
        for (lane, ranges, mood, probe, pause) in walk {
            mono += pause * MS;
            let now = Stamp { wall_ns: pause as i64 * mono as i64, mono_ns: mono };
            let symbol = World::symbol(lane);
            // Even holes out of order, overlapping and inside out.
            let holes: Vec<Hole> = ranges
                .iter()
                .map(|(a, b)| Hole { ids: IdRange::new(a >> (b & 63), *b), after: UnixMillis(*a) })
                .collect();
            planner.want(lane, &symbol, &holes, now);
            if probe {
                planner.probe(lane, &symbol, now);
            }
            for _ in 0..5 {
                match planner.next(now) {
                    Step::Ask(request) => {
                        let result = match (mood, request.ask) {
                            (Mood::Truth | Mood::Half, _) => Ok(Page { trades: vec![row(7, 8)], used_weight: None }),
                            (mood, ask) => answer(mood, &tape, ask),
                        };
                        planner.answered(result, now);
                    }
                    Step::Reply(_) => {}
                    Step::Wait(at) => {
                        prop_assert!(at.is_none_or(|at| at > mono));
                        break;
                    }
                }
            }
        }
        // What is left over ends when REST never brings anything.
        for _ in 0..100_000 {
            let now = Stamp { wall_ns: 0, mono_ns: mono };
            match planner.next(now) {
                Step::Ask(_) => { planner.answered(Err(passing()), now); }
                Step::Reply(Reply { lane, .. }) => planner.want(lane, &World::symbol(lane), &[], now),
                Step::Wait(None) => return Ok(()),
                Step::Wait(Some(at)) => mono = at,
            }
        }
        prop_assert!(false, "it never ends");
    }
}
