use proptest::prelude::*;

use super::*;
use crate::cvd::{Cvd, CvdConfig, Reading};
use crate::pipeline::Worth;
use crate::trade::Aggressor;
use crate::units::{AggTradeId, Price, Qty, SCALE};

/// What the lanes of a test have come to.
#[derive(Debug, Default)]
struct Lanes {
    lanes: Vec<(Instrument, i128, Option<Worth>, Coverage)>,
}

const BTC: [&str; 3] = ["usdm:BTCUSDT", "spot:BTCUSDT", "coinm:BTCUSD_PERP"];
/// What a contract of the last of them is worth.
const SIZE: u32 = 100;

impl Lanes {
    fn lane(&mut self, name: &str, cvd: i128, worth: Option<Worth>) -> &mut Coverage {
        let coverage =
            Coverage { first_id: Some(AggTradeId(3)), last_id: Some(AggTradeId(9)), ..Coverage::default() };
        self.lanes.push((name.parse().unwrap(), cvd, worth, coverage));
        &mut self.lanes.last_mut().unwrap().3
    }

    fn totals_of(&self, instrument: &Instrument) -> Option<LaneTotals<'_>> {
        let found = self.lanes.iter().position(|(lane, ..)| lane == instrument)?;
        let (instrument, cvd, worth, coverage) = &self.lanes[found];
        let reading = Cvd::new(CvdConfig::default()).unwrap().reading();
        Some(LaneTotals {
            lane: found,
            instrument,
            contract_size: None,
            trades: 7,
            reading: Reading { cvd: QtyDelta::from_units(*cvd), ..reading },
            coverage,
            volume: QtyDelta::ZERO,
            worth: *worth,
        })
    }

    fn group(&self, members: &[&str]) -> Group {
        let members: Vec<Instrument> = members.iter().map(|name| name.parse().unwrap()).collect();
        Group::of("G", &members, |instrument| self.totals_of(instrument))
    }
}

fn worth(delta: i128) -> Option<Worth> {
    Some(Worth { delta, ..Worth::default() })
}

fn coins(delta: i128, coin_delta: i128, coin_trades: u64) -> Option<Worth> {
    Some(Worth { delta, coin_delta, coin_trades, ..Worth::default() })
}

#[test]
fn markets_add_up_and_their_spread_is_spot_minus_perpetual() {
    let mut lanes = Lanes::default();
    lanes.lane(BTC[0], 1_000, worth(50_000));
    lanes.lane(BTC[1], -300, worth(-20_000));
    lanes.lane(BTC[2], 70, coins(7_000, 45, 3));
    let group = lanes.group(&BTC);
    assert_eq!(group.sum, Sum { base: Some(745), quote: Some(37_000) });
    assert_eq!(group.spread, Sum { base: Some(-300 - 1_000 - 45), quote: Some(-20_000 - 50_000 - 7_000) });
    assert_eq!((group.rounded_trades, group.base_error()), (3, 15));
    assert_eq!(
        (group.base_units.to_string(), group.quote_units.to_string()),
        ("BTC".into(), "USDT+USD".into())
    );
    let inside: Vec<_> = group.inside.iter().map(|inside| inside.member.unwrap()).collect();
    assert_eq!([inside[0].cvd, inside[2].cvd].map(QtyDelta::units), [1_000, 70]);
    assert_eq!([inside[0].base, inside[2].base], [Some(1_000), Some(45)]);
}

#[test]
fn without_both_kinds_there_is_no_spread() {
    let mut lanes = Lanes::default();
    lanes.lane(BTC[0], 5, worth(1));
    lanes.lane(BTC[2], 5, coins(1, 1, 1));
    for members in [&BTC[..1], &[BTC[0], BTC[2]], &BTC] {
        assert_eq!(lanes.group(members).spread, Sum::default(), "{members:?}");
    }
}

#[test]
fn a_member_that_is_not_followed_adds_nothing_and_is_shown() {
    let mut lanes = Lanes::default();
    lanes.lane(BTC[1], 5, worth(1));
    let group = lanes.group(&BTC);
    assert_eq!(group.sum, Sum { base: Some(5), quote: Some(1) });
    let followed: Vec<_> = group.inside.iter().map(|inside| inside.member.is_some()).collect();
    assert_eq!(followed, [false, true, false]);
}

#[test]
fn the_quality_is_the_worst_and_what_is_missing_adds_up() {
    let mut lanes = Lanes::default();
    lanes.lane(BTC[0], 5, worth(1)).missing_trades = 2;
    let coverage = lanes.lane(BTC[1], 5, worth(1));
    (coverage.quality, coverage.missing_trades) = (Quality::Missing, 40);
    lanes.lane(BTC[2], 5, coins(1, 1, 1)).quality = Quality::Repairing;
    let group = lanes.group(&BTC);
    assert_eq!((group.quality, group.missing_trades), (Quality::Missing, 42));
}

#[test]
fn different_assets_are_not_added_up() {
    let mut lanes = Lanes::default();
    lanes.lane("usdm:ETHUSDT", 5, worth(1));
    lanes.lane("usdm:SOLUSDC", 6, worth(2));
    lanes.lane("spot:ETHBTC", 7, worth(3));
    let group = lanes.group(&["usdm:ETHUSDT", "usdm:SOLUSDC"]);
    assert_eq!(group.sum, Sum { base: None, quote: Some(3) });
    assert_eq!(group.base_units.to_string(), "ETH+SOL");
    let group = lanes.group(&["usdm:ETHUSDT", "spot:ETHBTC"]);
    assert_eq!(group.sum, Sum { base: Some(12), quote: None });
    assert_eq!(group.spread, Sum { base: Some(2), quote: None });
}

#[test]
fn what_is_not_known_or_beyond_the_range_is_no_sum() {
    let mut lanes = Lanes::default();
    lanes.lane(BTC[0], 5, None);
    lanes.lane(BTC[1], i128::MAX, worth(i128::MAX));
    lanes.lane(BTC[2], 5, None);
    assert_eq!(lanes.group(&BTC[..1]).sum, Sum { base: Some(5), quote: None });
    assert_eq!(lanes.group(&BTC[2..]).sum, Sum::default());
    assert_eq!(lanes.group(&BTC[..2]).sum, Sum::default(), "checked, not wrapped");
    assert_eq!(lanes.group(&BTC[..2]).spread.base, Some(i128::MAX - 5));
}

proptest! {
    /// Against a ledger of single trades that is added up in exact fractions.
    #[test]
    fn a_group_is_the_exact_sum_of_its_trades_within_its_bound(
        trades in prop::collection::vec((0..3usize, 1..100_000i64, 1_000_000..9_000_000i64, any::<bool>()), 1..80),
    ) {
        let (mut cvd, mut sums) = ([0i128; 3], [Worth::default(); 3]);
        let (mut exact, mut quote) = (0.0f64, 0i128);
        for (lane, qty, cents, buys) in trades {
            let qty = Qty::from_units(if lane == 2 { qty * SCALE } else { qty });
            let price = Price::from_units(cents * (SCALE / 100));
            let side = if buys { Aggressor::Buyer } else { Aggressor::Seller };
            let sign = if side == Aggressor::Buyer { 1 } else { -1 };
            cvd[lane] += sign * i128::from(qty.units());
            let sum = &mut sums[lane];
            let dollars = match lane {
                2 => i128::from(qty.units()) * i128::from(SIZE) * i128::from(SCALE),
                _ => i128::from(qty.units()) * i128::from(price.units()),
            };
            sum.delta += sign * dollars;
            quote += sign * dollars;
            if lane == 2 {
                sum.coin_delta += sign * coins_of(qty, SIZE, price).unwrap();
                sum.coin_trades += 1;
                exact += sign as f64 * dollars as f64 / price.units() as f64;
            } else {
                exact += (sign * i128::from(qty.units())) as f64;
            }
        }
        let mut lanes = Lanes::default();
        (0..3).for_each(|lane| { lanes.lane(BTC[lane], cvd[lane], Some(sums[lane])); });
        let group = lanes.group(&BTC);
        prop_assert_eq!(group.sum.quote, Some(quote));
        // In steps of 1e-8; the doubles of the reference are good to much less than a step.
        let off = (group.sum.base.unwrap() as f64 - exact).abs();
        prop_assert!(off <= group.base_error() as f64 / 10.0 + 1e-2, "off by {off}");
        let spread = lanes.group(&BTC).spread;
        prop_assert_eq!(spread.base.unwrap(), cvd[1] - cvd[0] - sums[2].coin_delta);
    }
}
