//! When holes are given up.

use super::*;

#[test]
fn a_hole_that_rest_does_not_have_is_given_up_after_the_deadline_and_no_other() {
    let mut world = World::new(vec![Tape::every_second(5_000)]);
    world.tapes[0].omitted = (120..=125).collect();
    world.lose(0, &[(100, 149), (3_000, 3_001)]);
    world.run_truly(600 * SECOND);
    let [(at, 0, ids, GiveUpReason::Deadline)] = world.given_up[..] else { panic!("{:?}", world.given_up) };
    assert_eq!(ids, IdRange::new(120, 125));
    // From the answer that brought the rest at 100 ms.
    assert!((60 * SECOND..=61 * SECOND).contains(&at), "{at}");
    assert_eq!(world.missing(), 0);
    let second = world.asked.iter().find(|(_, _, ask)| *ask == by_id(3_000, 2)).expect("asked in its turn");
    assert!(second.0 < SECOND, "the first hole must not hold up the second");
}

#[test]
fn time_without_weight_does_not_count() {
    let mut world = World::new(vec![Tape::every_second(500)]);
    world.lose(0, &[(400, 410)]);
    world.run(3_600 * SECOND, |world, _| {
        // Somebody else uses the weight up for the first ten minutes.
        let used = if world.mono < 600 * SECOND { 2_300 } else { 20 };
        (Ok(Page { trades: Vec::new(), used_weight: Some(used) }), Duration::ZERO)
    });
    let [(at, ..)] = world.given_up[..] else { panic!("{:?}", world.given_up) };
    // The first minute with weight begins at 650 s.
    assert!((705 * SECOND..=711 * SECOND).contains(&at), "{at}");
    let short = world.notices.iter().filter(|n| matches!(n, Notice::BudgetExhausted { .. })).count();
    assert!((1..=11).contains(&short), "{:?}", world.notices);
}

#[test]
fn ids_that_came_start_the_time_anew_and_more_missing_ids_do_not() {
    for (second, expected) in [((403, 410), 90), ((400, 420), 60)] {
        let mut world = World::new(vec![Tape::every_second(500)]);
        world.tapes[0].visible = 400;
        world.lose(0, &[(400, 410)]);
        world.run_truly(30 * SECOND);
        world.lose(0, &[second]);
        world.run_truly(600 * SECOND);
        let [(at, _, ids, _)] = world.given_up[..] else { panic!("{:?}", world.given_up) };
        assert_eq!(ids, IdRange::new(second.0, second.1));
        assert!((expected * SECOND..(expected + 6) * SECOND).contains(&at), "{at} for {second:?}");
    }
}

#[test]
fn holes_that_become_one_win_no_time_by_it() {
    let mut world = World::new(vec![Tape::every_second(500)]);
    world.tapes[0].visible = 400;
    world.lose(0, &[(400, 410)]);
    world.run_truly(40 * SECOND);
    world.lose(0, &[(400, 410), (420, 430)]);
    world.run_truly(50 * SECOND);
    world.lose(0, &[(400, 430)]);
    world.run_truly(600 * SECOND);
    let [(at, _, ids, _)] = world.given_up[..] else { panic!("{:?}", world.given_up) };
    assert_eq!(ids, IdRange::new(400, 430));
    assert!((60 * SECOND..66 * SECOND).contains(&at), "{at}");
}

#[test]
fn a_hole_whose_time_is_over_while_others_had_their_turn_is_asked_for_once_more() {
    // Twenty holes too far apart for one page, and 8 s for each answer.
    let mut world = World::new(vec![Tape::every_second(50_000)]);
    world.tapes[0].visible = 2_000;
    let holes: Vec<(i64, i64)> = (1..=20).map(|n| (n * 2_000, n * 2_000 + 5)).collect();
    world.lose(0, &holes);
    world.run(3_600 * SECOND, |world, request| {
        world.tapes[0].visible = if world.asked.len() > 20 { 50_000 } else { 2_000 };
        (world.tapes[0].page(request.ask), Duration::from_secs(8))
    });
    assert_eq!((world.given_up.len(), world.missing()), (0, 0));
}

#[test]
fn a_hole_whose_first_id_never_comes_ends_even_if_its_end_comes_and_goes() {
    let mut world = World::new(vec![Tape::every_second(500)]);
    world.tapes[0].visible = 400;
    world.lose(0, &[(400, 410)]);
    while world.given_up.is_empty() && world.mono < 1_000 * SECOND {
        let until = world.mono + 20 * SECOND;
        let end = if (world.mono / (20 * SECOND)).is_multiple_of(2) { 405 } else { 410 };
        world.lose(0, &[(400, end)]);
        world.run_truly(until);
    }
    assert!(world.mono <= 200 * SECOND, "given up after {} s", world.mono / SECOND);
}

#[test]
fn the_later_of_two_holes_can_be_given_up_first() {
    let mut world = World::new(vec![Tape::every_second(5_000)]);
    world.tapes[0].omitted = (3_000..3_010).chain(100..200).collect();
    world.lose(0, &[(100, 199), (3_000, 3_009)]);
    world.run_truly(30 * SECOND);
    world.lose(0, &[(150, 199), (3_000, 3_009)]);
    world.run_truly(600 * SECOND);
    let order: Vec<IdRange> = world.given_up.iter().map(|(_, _, ids, _)| *ids).collect();
    assert_eq!(order, [IdRange::new(3_000, 3_009), IdRange::new(150, 199)]);
}

#[test]
fn a_hole_that_is_still_wanted_after_it_was_given_up_is_not_told_again_at_once() {
    let mut world = World::new(vec![Tape::every_second(500)]);
    world.tapes[0].visible = 400;
    world.lose(0, &[(400, 410)]);
    world.run_truly(70 * SECOND);
    assert_eq!(world.given_up.len(), 1);
    let mut planner = Planner::new(WeightBudget::of(Market::UsdM), Duration::from_secs(1));
    let hole = Hole { ids: IdRange::new(5, 6), after: UnixMillis(0) };
    let at = |mono_ns| Stamp { wall_ns: 0, mono_ns };
    planner.want(0, &World::symbol(0), &[hole], at(0));
    assert!(matches!(planner.next(at(0)), Step::Ask(_)));
    assert_eq!(planner.answered(Err(refused(404, None)), at(1)), None);
    assert!(matches!(planner.next(at(1)), Step::Reply(_)));
    planner.want(0, &World::symbol(0), &[hole], at(2));
    assert_eq!(planner.next(at(2)), Step::Wait(None));
    planner.want(0, &World::symbol(0), &[hole], at(6 * SECOND));
    assert!(matches!(planner.next(at(6 * SECOND)), Step::Reply(_)));
}
