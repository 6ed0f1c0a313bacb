//! The newest trade.

use super::*;

#[test]
fn the_newest_trade_is_asked_for_once_and_after_the_holes() {
    let mut world = World::new(vec![Tape::every_second(500), Tape::every_second(600)]);
    world.planner.probe(0, &World::symbol(0), world.now());
    world.planner.probe(0, &World::symbol(0), world.now());
    world.lose(1, &[(400, 410)]);
    world.run_truly(60 * SECOND);
    assert_eq!(world.asked, [(0, 1, by_id(400, 11)), (100 * MS, 0, Ask::Newest)]);
    assert_eq!(world.newest, [(0, 499)]);
}

#[test]
fn holes_that_keep_rest_busy_leave_the_newest_trade_a_turn() {
    let mut world = World::new(vec![Tape::every_second(90_000), Tape::every_second(600)]);
    world.lose(0, &[(100, 80_000)]);
    world.planner.probe(1, &World::symbol(1), world.now());
    world.run_truly(10 * SECOND);
    assert_eq!(world.asked.iter().position(|(_, _, ask)| *ask == Ask::Newest), Some(8));
}

#[test]
fn the_newest_trade_is_not_asked_for_again_and_again_when_that_fails() {
    let mut world = World::new(vec![Tape::every_second(500)]);
    world.planner.probe(0, &World::symbol(0), world.now());
    world.run_failing(600 * SECOND, passing());
    assert_eq!(world.asked.len(), 4);
    assert!(world.newest.is_empty());
}

#[test]
fn an_answer_nobody_waits_for_is_ignored() {
    let mut planner = Planner::new(WeightBudget::of(Market::Spot), Duration::from_secs(60));
    let page = Page { trades: vec![row(1, 1)], used_weight: Some(5) };
    assert_eq!(planner.answered(Ok(page), Stamp::default()), None);
    assert_eq!(planner.next(Stamp::default()), Step::Wait(None));
}
