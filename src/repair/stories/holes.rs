//! How holes are filled.

use super::*;

#[test]
fn one_page_fills_all_the_holes_it_covers() {
    let mut world = World::new(vec![Tape::every_second(5_000)]);
    world.lose(0, &[(100, 149), (200, 200), (900, 1_000)]);
    world.run_truly(60 * SECOND);
    assert_eq!(world.asked, [(0, 0, by_id(100, 901))]);
    assert_eq!(world.missing(), 0);
    assert_eq!(world.planner.rest_calls(), 1);
}

#[test]
fn a_long_hole_is_fetched_page_after_page_without_a_pause() {
    let mut world = World::new(vec![Tape::every_second(5_000)]);
    world.lose(0, &[(100, 3_099)]);
    world.run_truly(60 * SECOND);
    let pages =
        [(0, 0, by_id(100, 1_000)), (100 * MS, 0, by_id(1_100, 1_000)), (200 * MS, 0, by_id(2_100, 1_000))];
    assert_eq!(world.asked, pages);
    assert_eq!(world.missing(), 0);
}

#[test]
fn while_rest_trails_the_stream_it_is_asked_again_soon_and_then_less_often() {
    let mut world = World::new(vec![Tape::every_second(500)]);
    world.tapes[0].visible = 400;
    world.lose(0, &[(400, 410)]);
    world.run(30 * SECOND, |world, request| {
        if world.mono >= 20 * SECOND {
            world.tapes[0].visible = 500;
        }
        (world.tapes[0].page(request.ask), Duration::ZERO)
    });
    assert_eq!(world.asked_ms(), [0, 250, 750, 1_750, 3_750, 8_750, 13_750, 18_750, 23_750]);
    assert_eq!(world.missing(), 0);
}

#[test]
fn progress_resets_the_pause() {
    let mut world = World::new(vec![Tape::every_second(500)]);
    world.tapes[0].visible = 400;
    world.lose(0, &[(400, 410)]);
    world.run(30 * SECOND, |world, request| {
        // One more id each time REST was asked twice.
        world.tapes[0].visible = 400 + world.asked.len() as i64 / 2;
        (world.tapes[0].page(request.ask), Duration::ZERO)
    });
    assert_eq!(world.missing(), 0);
    let asked = world.asked_ms();
    assert!(asked.windows(2).all(|pair| pair[1] - pair[0] <= 500), "{asked:?}");
}
