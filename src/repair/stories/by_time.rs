//! Holes that are older than a day are found by time.

use super::*;

#[test]
fn a_search_through_silent_years_ends() {
    let mut world = World::new(vec![Tape::every_second(500)]);
    world.holes.insert(0, vec![Hole { ids: IdRange::new(400, 410), after: UnixMillis(0) }]);
    world.want(0);
    world.run(24 * 3_600 * SECOND, |_, request| match request.ask {
        Ask::FromId { .. } => (Err(RestError::TooOldForIds), Duration::ZERO),
        _ => (Ok(Page { trades: Vec::new(), used_weight: None }), Duration::ZERO),
    });
    assert_eq!((world.given_up.len(), world.missing()), (1, 0));
    assert!(world.mono < 3_600 * SECOND, "took {} s", world.mono / SECOND);
}

#[test]
fn trades_older_than_a_day_are_found_by_time() {
    let mut world = World::new(vec![Tape::every_second(100_000)]);
    world.tapes[0].too_old = 13_600;
    world.lose(0, &[(1_000, 9_999), (50_000, 50_010)]);
    world.run_truly(600 * SECOND);
    assert_eq!(world.missing(), 0);
    assert!(world.given_up.is_empty(), "{:?}", world.given_up);
    // The later hole was tried by id, and that helped; it did not wait for the end of the search.
    assert!(world.asked.iter().take(3).any(|(_, _, ask)| *ask == by_id(50_000, 11)), "{:?}", world.asked);
    let windows = world.asked.iter().filter(|(_, _, ask)| matches!(ask, Ask::Window { .. })).count();
    assert!((9..=11).contains(&windows), "{windows} windows");
}

#[test]
fn two_searches_through_time_take_turns() {
    let mut world = World::new(vec![Tape::every_second(200_000)]);
    world.tapes[0].too_old = 100_000;
    world.lose(0, &[(1_000, 20_000), (40_000, 60_000)]);
    world.run_truly(600 * SECOND);
    assert_eq!((world.missing(), world.given_up.len()), (0, 0));
    let starts: Vec<bool> = world
        .asked
        .iter()
        .filter_map(|(_, _, ask)| match ask {
            Ask::Window { start, .. } => Some(start.0 < world.tapes[0].times[30_000]),
            _ => None,
        })
        .collect();
    assert!(starts[..20].windows(2).all(|pair| pair[0] != pair[1]), "{starts:?}");
}

#[test]
fn silent_hours_are_passed_over() {
    let mut tape = Tape::every_second(100_000);
    for at in &mut tape.times[..1_001] {
        *at -= 5 * HOUR_MS;
    }
    tape.too_old = 13_600;
    let mut world = World::new(vec![tape]);
    // After id 1,000 nothing happened for five hours.
    world.lose(0, &[(1_001, 1_010)]);
    world.run_truly(600 * SECOND);
    assert_eq!((world.missing(), world.given_up.len()), (0, 0));
    assert!(world.asked.len() <= 8, "{:?}", world.asked);
}

#[test]
fn a_millisecond_with_more_rows_than_a_page_is_stepped_through_by_id() {
    for refusing in [false, true] {
        let mut tape = Tape::every_second(100_000);
        let at = tape.times[1_000];
        tape.times[1_000..=3_500].fill(at);
        tape.too_old = if refusing { 13_600 } else { 1_500 };
        let mut world = World::new(vec![tape]);
        world.lose(0, &[(1_200, 3_600)]);
        world.run_truly(600 * SECOND);
        assert_eq!(world.missing(), 0);
        let lost: u64 = world.given_up.iter().map(|(_, _, ids, _)| ids.count()).sum();
        // By time one page of that millisecond is to be had: up to id 1,999.
        assert_eq!(lost, if refusing { 1_501 } else { 0 }, "{:?}", world.given_up);
        assert!(world.asked.iter().any(|(_, _, ask)| *ask == by_id(2_000, 1_000)));
        // The millisecond is left after one refusal: four requests each time the search begins anew.
        assert!(world.asked.len() <= 70, "{} requests", world.asked.len());
    }
}
