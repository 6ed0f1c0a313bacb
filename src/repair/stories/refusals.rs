//! Bans and refusals.

use super::*;

#[test]
fn a_ban_stops_everything_and_its_time_does_not_count() {
    let mut world = World::new(vec![Tape::every_second(500), Tape::every_second(500)]);
    world.lose(0, &[(400, 410)]);
    world.lose(1, &[(400, 410)]);
    let mut bans = 0;
    world.run(3_600 * SECOND, |_, _| {
        bans += 1;
        let error = if bans <= 2 { too_many(600) } else { passing() };
        (Err(error), Duration::ZERO)
    });
    assert_eq!(world.asked_ms()[..3], [0, 600_000, 1_200_000]);
    assert_eq!(world.given_up.len(), 2);
    for (at, ..) in &world.given_up {
        assert!((1_260 * SECOND..1_266 * SECOND).contains(at), "{at}");
    }
    let banned = world.notices.iter().filter(|n| matches!(n, Notice::Banned { status: 429, .. })).count();
    assert_eq!(banned, 2, "{:?}", world.notices);
}

#[test]
fn bans_without_end_are_a_refusal_in_the_end() {
    let mut world = World::new(vec![Tape::every_second(500), Tape::every_second(500)]);
    world.lose(0, &[(400, 410)]);
    world.lose(1, &[(400, 410)]);
    world.run_failing(u64::MAX, too_many(60));
    assert_eq!((world.asked.len(), world.missing()), (100, 0));
    assert!(world.given_up.iter().all(|(.., reason)| *reason == GiveUpReason::Refused));
    // After the last ban a new hole tries again, and it may be over.
    world.mono += 60 * SECOND;
    world.lose(1, &[(400, 410)]);
    world.run_truly(u64::MAX);
    assert_eq!((world.asked.len(), world.missing(), world.given_up.len()), (101, 0, 2));
}

#[test]
fn a_451_gives_up_every_hole_and_one_may_try_again_after_ten_minutes() {
    let mut world = World::new(vec![Tape::every_second(500), Tape::every_second(500)]);
    world.lose(0, &[(400, 410), (420, 421)]);
    world.lose(1, &[(400, 410)]);
    world.run_failing(SECOND, refused(451, None));
    assert_eq!(world.asked.len(), 1);
    assert_eq!(world.given_up.len(), 3);
    assert!(world.given_up.iter().all(|(.., reason)| *reason == GiveUpReason::Refused));
    let [Notice::Refused { symbol: None, status: 451, .. }] = world.notices[..] else {
        panic!("{:?}", world.notices)
    };
    // A new one is given up at once, and nobody asks.
    world.mono = 500 * SECOND;
    world.lose(1, &[(430, 431)]);
    world.planner.probe(0, &World::symbol(0), world.now());
    world.run_truly(510 * SECOND);
    assert_eq!((world.asked.len(), world.given_up.len()), (1, 4));
    // Later one asks again, in vain; the other is given up without.
    world.mono = 601 * SECOND;
    world.lose(0, &[(440, 441)]);
    world.lose(1, &[(440, 441)]);
    world.run_failing(602 * SECOND, refused(451, None));
    assert_eq!((world.asked.len(), world.given_up.len(), world.notices.len()), (2, 6, 1));
    // And at last it helps.
    world.mono = 1_300 * SECOND;
    world.lose(0, &[(440, 441)]);
    world.lose(1, &[(440, 441)]);
    world.run_truly(1_400 * SECOND);
    assert_eq!((world.asked.len(), world.given_up.len(), world.missing()), (4, 6, 0));
    // After an answer, a new refusal is news.
    world.lose(0, &[(440, 441)]);
    world.run_failing(1_500 * SECOND, refused(451, None));
    assert_eq!(world.notices.len(), 2);
}

#[test]
fn after_a_403_everybody_waits_a_minute_and_the_deadline_decides() {
    let mut world = World::new(vec![Tape::every_second(500), Tape::every_second(500)]);
    world.lose(0, &[(400, 410)]);
    world.lose(1, &[(400, 410)]);
    world.run_failing(600 * SECOND, refused(403, None));
    let asked = world.asked_ms();
    assert_eq!(asked[..2], [0, 60_000]);
    assert_eq!(world.given_up.len(), 2);
    for (at, _, _, reason) in &world.given_up {
        assert!((60 * SECOND..=121 * SECOND).contains(at), "{at}");
        assert_eq!(*reason, GiveUpReason::Deadline);
    }
    assert_eq!(world.notices.len(), 1, "{:?}", world.notices);
}

#[test]
fn an_unknown_symbol_is_given_up_alone_and_asked_again_after_a_minute_at_the_earliest() {
    let mut world = World::new(vec![Tape::every_second(500), Tape::every_second(500)]);
    world.lose(1, &[(400, 410), (420, 430)]);
    world.run_failing(SECOND, refused(400, Some(-1121)));
    world.lose(0, &[(400, 410)]);
    world.lose(1, &[(440, 441)]);
    world.run_truly(2 * SECOND);
    assert_eq!(world.asked.len(), 2, "lane 0 is asked for, lane 1 not: {:?}", world.asked);
    let lanes: Vec<usize> = world.given_up.iter().map(|(_, lane, ..)| *lane).collect();
    assert_eq!(lanes, [1, 1, 1]);
    let [Notice::Refused { symbol: Some(symbol), remedy, .. }] = &world.notices[..] else {
        panic!("{:?}", world.notices)
    };
    assert_eq!((symbol.as_str(), remedy.contains("symbol")), ("LANE1", true));
    world.mono = 62 * SECOND;
    world.lose(1, &[(440, 441)]);
    world.run_truly(70 * SECOND);
    assert_eq!((world.asked.len(), world.missing()), (3, 0));
}
