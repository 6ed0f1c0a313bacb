use super::*;
use crate::groups::{Member, Sum};
use crate::snapshot::{Coverage, Instrument};
use crate::units::AggTradeId;

fn told(group_of: &Group) -> String {
    let mut text = Vec::new();
    group(&mut text, group_of);
    String::from_utf8(text).unwrap()
}

/// A group out of lanes with these CVDs; the worth of a lane is its CVD times a hundred.
fn group_of(lanes: &[(&str, Option<i128>)]) -> Group {
    let members: Vec<Instrument> = lanes.iter().map(|(name, _)| name.parse().unwrap()).collect();
    let mut group = Group::of("BTC", &members, |_| None);
    for (inside, (_, cvd)) in group.inside.iter_mut().zip(lanes) {
        let coverage =
            Coverage { first_id: Some(AggTradeId(1)), last_id: Some(AggTradeId(20)), ..Coverage::default() };
        inside.member = cvd.map(|cvd| Member {
            cvd: QtyDelta::from_units(cvd),
            base: Some(cvd),
            quote: Some(cvd * 100),
            rounded_trades: 0,
            coverage,
        });
    }
    group
}

#[test]
fn a_line_of_a_group_tells_the_sums_their_bound_and_what_is_inside() {
    let mut group = group_of(&[
        ("usdm:BTCUSDT", Some(-1_500_000_000)),
        ("spot:BTCUSDT", None),
        ("coinm:BTCUSD_PERP", Some(250_000_000)),
    ]);
    group.sum = Sum { base: Some(-1_250_000_123), quote: Some(-8_032_112_512_000_000_000_000) };
    (group.rounded_trades, group.missing_trades) = (471, 2);
    assert_eq!(
        told(&group),
        "GROUP BTC | base=-12.50000123 (±0.000002355) quote=-803211.2512 spread_base=none spread_quote=none \
         unit=BTC/USDT+USD | quality=complete missing=2 | inside: usdm:BTCUSDT cvd=-15 ids=1..20; \
         spot:BTCUSDT not followed; coinm:BTCUSD_PERP cvd=2.5 contracts coins=2.5 ids=1..20\n"
    );
}

#[test]
fn what_is_exact_has_no_bound_and_what_is_not_known_is_none() {
    let mut group = group_of(&[("usdm:BTCUSDT", Some(5)), ("spot:WHATSTHIS", Some(7))]);
    group.sum = Sum { base: Some(12), quote: None };
    group.spread = Sum { base: Some(2), quote: None };
    let line = told(&group);
    assert!(line.starts_with("GROUP BTC | base=0.00000012 quote=none spread_base=0.00000002 "), "{line}");
}
