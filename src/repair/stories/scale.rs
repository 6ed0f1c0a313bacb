//! Hundreds of lanes whose holes change thousands of times a second.

use super::*;

const LANES: usize = 600;

/// A hole in each of six hundred lanes, and a new one in one of them with every burst, for so many seconds. What REST is
/// asked takes 100 ms and brings nothing.
fn bursts(per_second: u64, seconds: u64) -> Planner {
    let mut planner = Planner::new(WeightBudget::of(Market::UsdM), Duration::from_secs(3_600));
    let symbols: Vec<_> = (0..LANES).map(World::symbol).collect();
    let mut holes: Vec<Vec<Hole>> = vec![Vec::new(); LANES];
    let mut flight: Option<u64> = None;
    for burst in 0..per_second * seconds {
        let mono_ns = burst * SECOND / per_second;
        let now = Stamp { wall_ns: mono_ns as i64, mono_ns };
        let lane = burst as usize % LANES;
        let id = 10 * burst as i64;
        holes[lane].push(Hole { ids: IdRange::new(id, id + 4), after: UnixMillis(0) });
        let first = holes[lane].len().saturating_sub(crate::repair::HOLES_PER_LANE);
        planner.want(lane, &symbols[lane], &holes[lane][first..], now);
        if flight.is_some_and(|back| back <= mono_ns) {
            flight = None;
            planner.answered(Ok(Page { trades: Vec::new(), used_weight: None }), now);
        }
        loop {
            match planner.next(now) {
                Step::Ask(_) => flight = Some(mono_ns + 100 * MS),
                Step::Reply(reply) => panic!("nothing is given up: {reply:?}"),
                Step::Wait(_) => break,
            }
        }
    }
    planner
}

#[test]
fn thousands_of_changes_a_second_are_looked_through_fifty_times() {
    let planner = bursts(5_000, 4);
    assert!(planner.rest_calls() >= 30, "{}", planner.rest_calls());
    // Twice for each request besides.
    let most = 4 * 51 + 3 * planner.rest_calls();
    assert!(planner.passes() <= most, "{} passes and {} requests", planner.passes(), planner.rest_calls());
    assert_eq!(planner.lanes_missing(), LANES);
}

#[test]
#[ignore = "measures: run it alone, with --release --nocapture"]
fn the_time_of_six_hundred_lanes_with_holes_and_twenty_thousand_bursts_a_second() {
    let begun = tokio::time::Instant::now();
    let planner = bursts(20_000, 10);
    let took = begun.elapsed();
    println!(
        "600 lanes, 20,000 changes/s for 10 s: {:.1} % of a core, {} passes, {} requests",
        took.as_secs_f64() * 10.0,
        planner.passes(),
        planner.rest_calls()
    );
}
