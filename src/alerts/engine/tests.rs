//! Whatever the values do.

use std::collections::HashMap;

use proptest::prelude::*;

use super::stories::{SECOND, at, engine, lane, rule, seconds};
use super::*;
use crate::alerts::kind::Kind;
use crate::alerts::rule::Bound;

fn any_rule() -> impl Strategy<Value = Rule> {
    let bound = prop_oneof![
        (-4.0f64..4.0).prop_map(|at| (Bound::Above(Measure::Number(at)), -1.0)),
        (-4.0f64..4.0).prop_map(|at| (Bound::Below(Measure::Number(at)), 1.0)),
        (1.0f64..4.0).prop_map(|at| (Bound::Beyond(Measure::Number(at)), -1.0)),
    ];
    (bound, 0.0f64..1.0, 0u64..4, 0u64..8).prop_map(|((bound, side), gap, hold, cooldown)| {
        let Measure::Number(threshold) = bound.threshold() else { unreachable!("all are numbers") };
        Rule {
            rearm: Measure::Number(threshold + side * gap),
            hold: seconds(hold),
            cooldown: seconds(cooldown),
            ..rule(Kind::Z, bound)
        }
    })
}

/// One look: how many seconds later, and the Z-scores of two symbols. `None`: not known; a symbol may be gone.
type Look = (u64, [Option<Option<f64>>; 2]);

fn looks() -> impl Strategy<Value = Vec<Look>> {
    let value = || prop::option::weighted(0.95, prop::option::weighted(0.9, -6.0f64..6.0));
    prop::collection::vec((1u64..3, [value(), value()]), 1..120)
}

fn overview((_, values): &Look) -> Overview {
    let lanes = ["AUSDT", "BUSDT"].into_iter().zip(values).filter_map(|(symbol, value)| {
        let mut lane = lane(symbol);
        lane.summary.reading.z = (*value)?;
        Some(lane)
    });
    Overview { lanes: lanes.collect(), ..Overview::default() }
}

proptest! {
    #[test]
    fn firings_and_ends_alternate_are_as_far_apart_as_they_must_be_and_true(rule in any_rule(), looks in looks()) {
        let mut engine = engine(vec![rule.clone()]);
        let mut now = 0;
        let mut firing: HashMap<Subject, bool> = HashMap::new();
        let mut fired_at: HashMap<Subject, u64> = HashMap::new();
        let mut crossed_since: HashMap<Subject, u64> = HashMap::new();
        for look in &looks {
            now += look.0;
            let overview = at(overview(look), now);
            // What has held, and since when, by the plain words of the rule.
            let mut values: HashMap<Subject, Option<Measure>> = HashMap::new();
            for lane in &overview.lanes {
                let value = lane.summary.reading.z.map(Measure::Number);
                values.insert(Subject::Symbol(lane.instrument()), value);
            }
            crossed_since.retain(|subject, _| {
                values.get(subject).copied().flatten().is_some_and(|value| rule.bound.is_crossed(value))
            });
            for (subject, value) in &values {
                if value.is_some_and(|value| rule.bound.is_crossed(value)) {
                    crossed_since.entry(subject.clone()).or_insert(now);
                }
            }
            fired_at.retain(|subject, _| values.contains_key(subject));
            let mut said: Vec<Subject> = Vec::new();
            for notice in engine.look(&overview) {
                let subject = notice.subject.clone();
                prop_assert!(!said.contains(&subject), "twice in one look");
                said.push(subject.clone());
                let was_firing = firing.insert(subject.clone(), notice.what == What::Fired).unwrap_or(false);
                prop_assert_eq!(was_firing, notice.what == What::Resolved, "{} at {}", notice.text, now);
                match (notice.what, notice.value) {
                    (What::Fired, Some(value)) => {
                        prop_assert!(rule.bound.is_crossed(value));
                        let held = now - crossed_since[&subject];
                        prop_assert!(held >= rule.hold.as_secs(), "held for {held} s only");
                        if let Some(before) = fired_at.insert(subject, now) {
                            prop_assert!(now - before >= rule.cooldown.as_secs());
                        }
                    }
                    (What::Resolved, Some(value)) => prop_assert!(rule.bound.is_back(value, rule.rearm)),
                    (What::Resolved, None) => prop_assert!(!values.contains_key(&subject)),
                    (What::Fired, None) => prop_assert!(false, "nothing fires without a value"),
                }
            }
            let expected = firing.values().filter(|firing| **firing).count() as u64;
            prop_assert_eq!(engine.firing().collect::<Vec<_>>(), [expected]);
            prop_assert!(engine.guards[0].watched.len() <= overview.lanes.len());
        }
    }

    #[test]
    fn the_same_looks_give_the_same_notices(rule in any_rule(), looks in looks()) {
        let run = || {
            let mut engine = engine(vec![rule.clone()]);
            let looks = looks.iter().enumerate();
            looks.flat_map(|(second, look)| engine.look(&at(overview(look), second as u64))).collect::<Vec<_>>()
        };
        prop_assert_eq!(run(), run());
    }
}

#[test]
fn thousands_of_symbols_that_come_and_go_leave_nothing_behind() {
    let bound = Bound::Above(Measure::Quantity(crate::units::QtyDelta::from_units(1)));
    let mut engine =
        engine(vec![rule(Kind::CvdChange, bound), rule(Kind::Missing, Bound::Above(Measure::Count(0)))]);
    for second in 0..200u64 {
        let lanes = (0..20).map(|symbol| lane(&format!("S{}USDT", second * 10 + symbol))).collect();
        engine.look(&at(Overview { lanes, ..Overview::default() }, second));
        assert!(engine.guards.iter().all(|guard| guard.watched.len() == 20));
    }
    assert_eq!(SECOND, 1_000_000_000);
}
