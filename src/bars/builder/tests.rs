use super::*;
use crate::cvd::{Cvd, CvdConfig};
use crate::snapshot::Market;
use crate::trade::Aggressor;
use crate::units::{Price, Qty};

/// A trade of a second of the day, at this price: above 0 a buy of so many units, below a sell.
#[derive(Debug, Clone, Copy)]
struct At(f64, i64, i64);

struct Bars {
    builder: BarBuilder,
    cvd: Cvd,
    next: i64,
    epoch: u32,
    room: u64,
    told: Vec<String>,
}

impl Bars {
    fn of(spec: &str, empty: bool) -> Self {
        Self {
            builder: BarBuilder::new(spec.parse().unwrap(), empty),
            cvd: Cvd::new(CvdConfig::default()).unwrap(),
            next: 1,
            epoch: 1,
            room: MOST_EMPTY_BARS,
            told: Vec::new(),
        }
    }

    fn trade(&mut self, At(second, price, qty): At) {
        let trade = AggTrade {
            id: AggTradeId(self.next),
            price: Price::from_units(price),
            qty: Qty::from_units(qty.abs()),
            qty_without_rpi: None,
            first_trade_id: self.next * 10,
            last_trade_id: self.next * 10 + 1,
            traded_at: UnixMillis((second * 1e3) as i64),
            event_at: None,
            aggressor: if qty > 0 { Aggressor::Buyer } else { Aggressor::Seller },
        };
        self.next += 1;
        let reading = self.cvd.apply(&trade).unwrap();
        let Self { builder, epoch, room, told, .. } = self;
        builder.apply(&trade, &reading, *epoch, room, |built| told.push(short(built)));
    }

    fn trades(&mut self, trades: &[At]) -> Vec<String> {
        trades.iter().for_each(|trade| self.trade(*trade));
        std::mem::take(&mut self.told)
    }

    fn end(&mut self) -> Option<String> {
        self.builder.end().map(|bar| short(Built::Closed(&bar)))
    }
}

/// Start, ids, open, high, low and close, volumes, deltas, CVD, and whether it is complete.
fn short(built: Built<'_>) -> String {
    let Built::Closed(bar) = built else { return format!("{built:?}") };
    let id = |id: Option<AggTradeId>| id.map_or(0, |id| id.0);
    format!(
        "{} #{}-{} {}/{}/{}/{} +{}-{} d{} {}..{} cvd{}..{} {}",
        bar.start.0,
        id(bar.first_id),
        id(bar.last_id),
        bar.open.units(),
        bar.high.units(),
        bar.low.units(),
        bar.close.units(),
        bar.buy_volume.units(),
        bar.sell_volume.units(),
        bar.delta().units(),
        bar.min_delta.units(),
        bar.max_delta.units(),
        bar.cvd_open.units(),
        bar.cvd_close().units(),
        if bar.complete { "complete" } else { "incomplete" },
    )
}

#[test]
fn a_time_bar_is_closed_by_a_trade_of_a_later_interval_and_the_first_one_is_never_complete() {
    let mut bars = Bars::of("1s", false);
    let told =
        bars.trades(&[At(10.2, 5, 3), At(10.9, 7, -4), At(11.0, 6, 2), At(11.5, 4, -1), At(13.999, 9, 9)]);
    assert_eq!(
        told,
        [
            "10000 #1-2 5/7/5/7 +3-4 d-1 -1..3 cvd0..-1 incomplete",
            "11000 #3-4 6/6/4/4 +2-1 d1 0..2 cvd-1..0 complete"
        ]
    );
    assert_eq!(bars.end().unwrap(), "13000 #5-5 9/9/9/9 +9-0 d9 0..9 cvd0..9 incomplete");
    assert_eq!(bars.end(), None);
}

#[test]
fn a_time_that_steps_back_stays_in_the_open_bar() {
    let mut bars = Bars::of("1s", false);
    let told = bars.trades(&[At(1.0, 5, 1), At(2.0, 5, 1), At(1.9, 6, 1), At(2.1, 5, 1), At(3.0, 5, 1)]);
    assert_eq!(told[1..], ["2000 #2-4 5/6/5/5 +3-0 d3 0..3 cvd1..4 complete"]);
}

#[test]
fn a_bar_by_size_closes_with_the_trade_that_reaches_it_which_belongs_to_it_as_a_whole() {
    let trades = [At(1.0, 200_000_000, 3), At(2.0, 300_000_000, 4), At(3.0, 100_000_000, -9), At(4.0, 1, 1)];
    let by_ticks = ["1000 #1-2 200000000/300000000/200000000/300000000 +7-0 d7 0..7 cvd0..7 complete"];
    assert_eq!(Bars::of("ticks:2", false).trades(&trades)[..1], by_ticks);
    // 3 + 4 reach 6, 9 alone does.
    let told = Bars::of("volume:0.00000006", false).trades(&trades);
    assert_eq!(told.len(), 2);
    assert_eq!(told[..1], by_ticks);
    assert_eq!(told[1], "3000 #3-3 100000000/100000000/100000000/100000000 +0-9 d-9 -9..0 cvd7..-2 complete");
    // 2 · 3 + 3 · 4 = 18, 1 · 9 + … does not.
    let mut bars = Bars::of("notional:0.00000018", false);
    assert_eq!(bars.trades(&trades), by_ticks);
    assert_eq!(bars.end().unwrap(), "3000 #3-4 100000000/100000000/1/1 +1-9 d-8 -9..0 cvd7..-1 incomplete");
}

#[test]
fn given_up_trades_mark_the_bar_they_fall_into_and_a_time_bar_that_begins_behind_them() {
    let mut bars = Bars::of("1s", false);
    bars.trades(&[At(0.0, 5, 1), At(1.0, 5, 1)]);
    bars.builder.lose();
    // In the middle of a bar the next one knows its beginning.
    let told = bars.trades(&[At(1.5, 5, 1), At(2.0, 5, 1), At(3.0, 5, 1)]);
    assert!(told[0].ends_with(" incomplete") && told[1].ends_with(" complete"), "{told:?}");
    bars.builder.lose();
    let told = bars.trades(&[At(4.0, 5, 1), At(5.0, 5, 1), At(6.0, 5, 1)]);
    assert_eq!(told.len(), 3);
    assert!(told[0].starts_with("3000 ") && told[0].ends_with(" incomplete"), "{told:?}");
    assert!(told[1].starts_with("4000 ") && told[1].ends_with(" incomplete"), "{told:?}");
    assert!(told[2].starts_with("5000 ") && told[2].ends_with(" complete"), "{told:?}");

    let mut bars = Bars::of("ticks:2", false);
    bars.trades(&[At(0.0, 5, 1), At(1.0, 5, 1)]);
    // Between two bars: they would have been in the next.
    bars.builder.lose();
    let told = bars.trades(&[At(2.0, 5, 1), At(3.0, 5, 1), At(4.0, 5, 1)]);
    assert!(told[0].ends_with(" incomplete"), "{told:?}");
    bars.builder.lose();
    let told = bars.trades(&[At(5.0, 5, 1), At(6.0, 5, 1), At(7.0, 5, 1)]);
    assert!(told[0].ends_with(" incomplete") && told[1].ends_with(" complete"), "{told:?}");
}

#[test]
fn a_new_numbering_begins_like_a_run() {
    let mut bars = Bars::of("1s", true);
    bars.trades(&[At(0.0, 5, 1), At(1.0, 5, 1)]);
    assert!(bars.end().unwrap().ends_with(" incomplete"));
    bars.epoch = 2;
    let told = bars.trades(&[At(9.0, 5, 1), At(10.0, 5, 1)]);
    assert!(told.len() == 1 && told[0].ends_with(" incomplete"), "{told:?}");
    assert_eq!(bars.builder.open_bar().map(|bar| bar.epoch), Some(2));
}

#[test]
fn empty_bars_are_made_between_two_trades_when_asked_for_and_show_the_last_close() {
    let trades = [At(1.0, 5, 1), At(2.0, 7, 2), At(5.5, 9, 1), At(6.0, 9, 1)];
    let told = Bars::of("1s", true).trades(&trades);
    assert_eq!(
        told[1..],
        [
            "2000 #2-2 7/7/7/7 +2-0 d2 0..2 cvd1..3 complete",
            "3000 #0-0 7/7/7/7 +0-0 d0 0..0 cvd3..3 complete",
            "4000 #0-0 7/7/7/7 +0-0 d0 0..0 cvd3..3 complete",
            "5000 #3-3 9/9/9/9 +1-0 d1 0..1 cvd3..4 complete",
        ]
    );
    assert_eq!(Bars::of("1s", false).trades(&trades).len(), 3);

    // Nobody knows whether nothing happened where something is missing.
    let mut bars = Bars::of("1s", true);
    bars.trades(&trades[..2]);
    bars.builder.lose();
    let told = bars.trades(&trades[2..]);
    assert!(told.iter().all(|bar| bar.ends_with(" incomplete")) && told.len() == 4, "{told:?}");
}

#[test]
fn a_gap_of_years_leads_to_so_many_empty_bars_and_no_more() {
    let mut bars = Bars::of("1s", true);
    let year = 365.0 * 86_400.0;
    let told = bars.trades(&[At(0.0, 5, 1), At(year, 5, 1)]);
    assert_eq!(told.len() as u64, 1 + MOST_EMPTY_BARS + 1);
    let (from, to) = (UnixMillis(100_001_000), UnixMillis(31_536_000_000));
    let left_out = Built::LeftOut { bars: 31_536_000 - 100_001, from, to };
    assert_eq!(told.last(), Some(&short(left_out)));
    assert_eq!(bars.room, 0);
    let told = bars.trades(&[At(year + 2.0, 5, 1)]);
    assert!(told.len() == 2 && told[1].starts_with("LeftOut { bars: 1,"), "{told:?}");
}

#[test]
fn the_ends_of_time_are_no_trap() {
    let mut bars = Bars::of("1d", true);
    for at in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX, i64::MAX] {
        bars.room = 2;
        let second = at as f64 / 1e3;
        bars.trade(At(second, 5, 1));
    }
    assert!(bars.end().is_some());
}

#[test]
fn fills_are_known_only_if_every_trade_tells_them() {
    let mut bars = Bars::of("ticks:9", false);
    bars.trades(&[At(0.0, 5, 1), At(1.0, 5, 1)]);
    assert_eq!(bars.builder.open_bar().and_then(|bar| bar.fills), Some(4));
    bars.next = -5;
    bars.trade(At(2.0, 5, 1));
    assert_eq!(bars.builder.open_bar().and_then(|bar| bar.fills), None);
}

#[test]
fn a_contract_has_no_worth_that_a_trade_tells() {
    let mut bars = Bars::of("1s", false);
    bars.trades(&[At(0.0, 300_000_000, 100_000_000), At(0.1, 400_000_000, 200_000_000)]);
    let bar = *bars.builder.open_bar().unwrap();
    assert_eq!(bar.quote_volume(Market::Spot).map(|sum| sum.to_string()), Some("11".into()));
    assert_eq!(bar.vwap(Market::UsdM).map(|price| price.to_string()), Some("3.66666667".into()));
    assert_eq!((bar.quote_volume(Market::CoinM), bar.vwap(Market::CoinM)), (None, None));
}

#[test]
fn a_stored_builder_goes_on_where_it_was() {
    for spec in ["1s", "ticks:3", "volume:0.00000005", "notional:0.0000002"] {
        let trades: Vec<_> = (0..40)
            .map(|at| At(f64::from(at) * 0.4, 100_000_000 + i64::from(at % 7), i64::from(at % 5) - 2))
            .collect();
        let trades: Vec<_> = trades.into_iter().filter(|At(_, _, qty)| *qty != 0).collect();
        let mut unbroken = Bars::of(spec, true);
        let mut bars = Bars::of(spec, true);
        for (at, trade) in trades.iter().enumerate() {
            if at % 11 == 5 {
                unbroken.builder.lose();
                bars.builder.lose();
            }
            let stored = serde_json::to_string(&bars.builder).unwrap();
            bars.builder = serde_json::from_str(&stored).unwrap();
            assert_eq!(bars.builder, unbroken.builder);
            assert_eq!(bars.trades(&[*trade]), unbroken.trades(&[*trade]));
        }
    }
}

#[test]
fn a_stored_builder_that_contradicts_itself_is_refused() {
    let mut bars = Bars::of("1s", false);
    bars.trades(&[At(5.0, 7, 3), At(5.1, 8, -2)]);
    let stored = serde_json::to_string(&bars.builder).unwrap();
    assert!(serde_json::from_str::<BarBuilder>(&stored).is_ok());
    for (what, forged) in [
        ("\"ms\":1000", "\"ms\":0"),
        ("\"ms\":1000", "\"ms\":7000"),
        ("\"start\":5000", "\"start\":5001"),
        ("\"end\":6000", "\"end\":9000"),
        ("\"trades\":2", "\"trades\":0"),
        ("\"trades\":2", "\"trades\":3"),
        ("\"low\":7", "\"low\":9"),
        ("\"low\":7", "\"low\":0"),
        ("\"buy_volume\":3", "\"buy_volume\":-3"),
        ("\"max_delta\":3", "\"max_delta\":0"),
        ("\"min_delta\":0", "\"min_delta\":1"),
        ("\"cvd_open\":0", "\"cvd_open\":170141183460469231731687303715884105727"),
        ("\"last_trade_at\":5100", "\"last_trade_at\":6100"),
        ("\"hole\":false", "\"hole\":false,\"more\":1"),
    ] {
        let text = stored.replacen(what, forged, 1);
        assert_ne!(text, stored, "{what}");
        assert!(serde_json::from_str::<BarBuilder>(&text).is_err(), "{forged}");
    }
}
