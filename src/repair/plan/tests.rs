//! Bans and the clocks they are told by.

use super::*;
use crate::snapshot::Market;
use crate::units::{AggTradeId, IdRange, UnixMillis};

const HOUR_MS: i64 = 3_600_000;

/// How long a ban is that ends in a minute by the exchange's clock, which is so far ahead of ours.
fn ban(ahead_ms: i64, known: bool) -> Duration {
    let mut planner = Planner::new(WeightBudget::of(Market::UsdM), Duration::from_secs(60));
    let now = Stamp { wall_ns: 1_800_000_000_000_000_000, mono_ns: 1 };
    let offset = ClockOffset { offset_ms: ahead_ms as f64, error_ms: 0.0 };
    planner.clock_offset(known.then_some(offset));
    let (from, to) = (AggTradeId(5), AggTradeId(6));
    let hole = Hole { ids: IdRange { from, to }, after: UnixMillis(now.wall_ms() - 1_000) };
    planner.want(0, &Symbol::new("BTCUSDT").unwrap(), &[hole], now);
    assert!(matches!(planner.next(now), Step::Ask(_)));
    let banned = RestError::TooManyRequests {
        status: 418,
        retry_after: None,
        banned_until: Some(UnixMillis(now.wall_ms() + ahead_ms + 60_000)),
        used_weight: None,
        message: String::new(),
    };
    assert_eq!(planner.answered(Err(banned), now), None);
    match planner.take_notice() {
        Some(Notice::Banned { wait, .. }) => wait,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_ban_ends_by_the_exchanges_clock_and_not_by_ours() {
    for ahead_ms in [0, 8_000, HOUR_MS, -8_000, -HOUR_MS] {
        assert_eq!(ban(ahead_ms, true), Duration::from_secs(60), "{ahead_ms}");
    }
    assert_eq!(ban(8_000, false), Duration::from_secs(68), "while nothing is known, both clocks are one");
}
