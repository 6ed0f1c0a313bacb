use super::*;
use crate::cvd::CvdConfig;
use crate::feed::{Frame, LineId, LinkChange, LinkEvent, SessionId};
use crate::pipeline::{PipelineConfig, Wanted};
use crate::snapshot::{Stamp, TradeSource};
use crate::source::{Arrival, DepartureReason, Input};

/// A pipeline of several shards, and what it said. Session `n + 1` is the one line of shard `n`.
struct Story {
    pipeline: Pipeline,
    now: u64,
}

const MS: u64 = 1_000_000;

fn instrument(text: &str) -> Instrument {
    text.parse().unwrap()
}

fn seat(text: &str, shard: u16) -> Seat {
    Seat { shard: ShardId(shard), ..Seat::first(instrument(text)) }
}

impl Story {
    fn of(seats: &[(&str, u16)]) -> Self {
        let pipeline = Pipeline::new(PipelineConfig {
            market: Market::UsdM,
            frames_from: TradeSource::Stream,
            wanted: Wanted::Only(seats.iter().map(|(text, shard)| seat(text, *shard)).collect()),
            calculator: CvdConfig::default(),
            repairs: true,
            hold_size: 1_000,
            bars: Vec::new(),
            counts_worth: true,
        });
        let mut story = Self { pipeline: pipeline.unwrap(), now: 0 };
        for shard in 0..story.pipeline.shards() {
            story.link(shard as u16, LinkChange::Opened);
        }
        story
    }

    fn stamp(&self) -> Stamp {
        Stamp { wall_ns: 1_000_000_000_000 + self.now as i64, mono_ns: self.now }
    }

    fn step(&mut self, input: &Input) -> String {
        let mut told = Vec::new();
        self.pipeline.step(input, &mut |event| match event {
            Event::Trade(it) => {
                told.push(format!("{}:{} {} cvd {}", it.market, it.symbol, it.trade.id, it.reading.cvd))
            }
            Event::Gap(gap) => told.push(format!("{} {} {}", gap.symbol, gap.event.as_str(), gap.ids)),
            Event::LaneOpened { lane, instrument, why } => {
                told.push(format!("{instrument} joins as {lane}, {}", why.as_str()));
            }
            Event::LaneEnded { lane, summary, why } => {
                told.push(format!("lane {lane} ends after {}, {}", summary.trades, why.as_str()));
            }
            Event::Unrequested { symbol } => told.push(format!("unrequested {symbol}")),
            _ => {}
        });
        told.join("; ")
    }

    fn link(&mut self, shard: u16, change: LinkChange) -> String {
        let (line, session) = (LineId::of(ShardId(shard), 0), SessionId(u64::from(shard) + 1));
        self.step(&Input::Link(LinkEvent { line, session, at: self.stamp(), change }))
    }

    fn brings(&mut self, shard: u16, symbol: &str, id: i64) -> String {
        self.now += MS;
        let text = format!(
            r#"{{"e":"aggTrade","E":{id},"s":"{symbol}","a":{id},"p":"2.5","q":"1","f":{id},"l":{id},"T":{id},"m":false}}"#
        );
        self.step(&Input::Frame(Frame {
            line: LineId::of(ShardId(shard), 0),
            session: SessionId(u64::from(shard) + 1),
            ordinal: 1,
            received: Some(self.stamp()),
            text: text.into(),
        }))
    }

    fn roster(&mut self, seats: Vec<Seat>, ended: &[(&str, DepartureReason)]) -> String {
        let departure =
            |(text, why): &(&str, DepartureReason)| Departure { instrument: instrument(text), why: *why };
        let ended = ended.iter().map(departure).collect();
        self.step(&Input::Roster(RosterChange { at: self.stamp(), seats, ended }))
    }
}

#[test]
fn the_same_name_on_two_markets_is_two_lanes() {
    let mut story = Story::of(&[("usdm:BTCUSDT", 0), ("spot:BTCUSDT", 1), ("coinm:BTCUSD_PERP", 2)]);
    assert_eq!(story.brings(1, "BTCUSDT", 7), "spot:BTCUSDT 7 cvd 1");
    assert_eq!(story.brings(0, "BTCUSDT", 3), "usdm:BTCUSDT 3 cvd 1");
    assert_eq!(story.brings(1, "BTCUSDT", 8), "spot:BTCUSDT 8 cvd 2");
    assert_eq!(story.brings(2, "BTCUSD_PERP", 1), "coinm:BTCUSD_PERP 1 cvd 1");
    assert_eq!(story.brings(2, "BTCUSDT", 9), "unrequested BTCUSDT");
    let worths: Vec<_> = story.pipeline.totals().map(|lane| lane.worth.unwrap()).collect();
    // 2.5 a piece; a contract is 100 dollars, which are 40 coins at 2.5.
    let quote = 10i128.pow(16);
    assert_eq!(
        worths.iter().map(|worth| worth.delta).collect::<Vec<_>>(),
        [quote * 5 / 2, 5 * quote, 100 * quote]
    );
    assert_eq!((worths[2].coin_delta, worths[2].coin_trades), (40 * 100_000_000, 1));
}

#[test]
fn what_happens_to_a_connection_concerns_its_shard_only() {
    let mut story = Story::of(&[("usdm:BTCUSDT", 0), ("usdm:ETHUSDT", 1)]);
    story.brings(0, "BTCUSDT", 1);
    story.brings(1, "ETHUSDT", 1);
    let changes = story.pipeline.changes(ShardId(0));
    assert_eq!(story.brings(1, "ETHUSDT", 4), "ETHUSDT opened 2 to 3");
    assert_eq!(story.pipeline.changes(ShardId(0)), changes);
    assert_ne!(story.pipeline.changes(ShardId(1)), 0);
    story.link(1, LinkChange::Closed);
    assert_eq!((story.pipeline.arrived(ShardId(0)), story.pipeline.arrived(ShardId(1))), (1, 2));
    assert_eq!(story.brings(0, "BTCUSDT", 2), "usdm:BTCUSDT 2 cvd 2");
}

#[test]
fn a_lane_that_moves_loses_nothing_and_counts_nothing_twice() {
    let mut story = Story::of(&[("usdm:BTCUSDT", 0), ("usdm:ETHUSDT", 0)]);
    story.brings(0, "ETHUSDT", 1);
    story.roster(vec![Seat { is_moving: true, ..seat("usdm:ETHUSDT", 1) }], &[]);
    let moving = instrument("usdm:ETHUSDT");
    assert!(!story.pipeline.has_moved(&moving), "its new shard is not up");
    story.link(1, LinkChange::Opened);
    assert!(story.pipeline.has_moved(&moving), "nobody trades it");
    // Whoever is first.
    assert_eq!(story.brings(0, "ETHUSDT", 2), "usdm:ETHUSDT 2 cvd 2");
    assert!(!story.pipeline.has_moved(&moving), "only the old shard has brought it");
    assert_eq!(story.brings(1, "ETHUSDT", 2), "");
    assert!(story.pipeline.has_moved(&moving));
    assert_eq!(story.brings(1, "ETHUSDT", 3), "usdm:ETHUSDT 3 cvd 3");
    assert_eq!(story.brings(0, "ETHUSDT", 3), "");
    // The new connection is ahead by more than one: no hole, as long as the old one may bring it.
    assert_eq!(story.brings(1, "ETHUSDT", 5), "");
    assert_eq!(story.brings(0, "ETHUSDT", 4), "usdm:ETHUSDT 4 cvd 4; usdm:ETHUSDT 5 cvd 5");
    assert_eq!(story.brings(0, "ETHUSDT", 5), "");
    // It has arrived; what the old one still brings is a copy.
    story.roster(vec![seat("usdm:ETHUSDT", 1)], &[]);
    assert_eq!(story.brings(1, "ETHUSDT", 6), "usdm:ETHUSDT 6 cvd 6");
    assert_eq!(story.brings(0, "ETHUSDT", 6), "");
    assert_eq!(story.pipeline.counts().copies, 4);
    assert_eq!(story.pipeline.sequence_counts().duplicates, 0);
    assert_eq!(story.brings(1, "ETHUSDT", 8), "ETHUSDT opened 7 to 7");
}

#[test]
fn a_lane_ends_with_its_totals_and_may_begin_again_from_zero() {
    let mut story = Story::of(&[("usdm:BTCUSDT", 0), ("usdm:ETHUSDT", 0)]);
    story.brings(0, "ETHUSDT", 1);
    story.brings(0, "ETHUSDT", 2);
    assert_eq!(
        story.roster(Vec::new(), &[("usdm:ETHUSDT", DepartureReason::Delisted)]),
        "lane 1 ends after 2, delisted"
    );
    // Twice is once.
    assert_eq!(story.roster(Vec::new(), &[("usdm:ETHUSDT", DepartureReason::Delisted)]), "");
    let unrequested = story.pipeline.counts().unrequested;
    assert_eq!(story.brings(0, "ETHUSDT", 3), "", "its stream may end a little later");
    assert_eq!(story.pipeline.counts().unrequested, unrequested + 1);
    assert_eq!(story.pipeline.summaries().len(), 1);
    assert_eq!(story.pipeline.lane_of(&instrument("usdm:ETHUSDT")), None);
    let again = Seat { joined: Arrival::Listed, ..seat("usdm:ETHUSDT", 0) };
    assert_eq!(story.roster(vec![again], &[]), "usdm:ETHUSDT joins as 1, listed");
    assert_eq!(story.brings(0, "ETHUSDT", 9), "usdm:ETHUSDT 9 cvd 1");
    assert_eq!(story.roster(vec![seat("usdm:SOLUSDT", 0)], &[]), "usdm:SOLUSDT joins as 2, asked");
    assert_eq!(story.brings(0, "SOLUSDT", 1), "usdm:SOLUSDT 1 cvd 1");
}

#[test]
fn a_lane_that_ends_with_a_hole_names_what_is_missing_and_holds_nothing_any_more() {
    let mut story = Story::of(&[("usdm:BTCUSDT", 0), ("usdm:ETHUSDT", 0)]);
    story.brings(0, "ETHUSDT", 1);
    story.brings(0, "ETHUSDT", 4);
    assert_eq!(story.pipeline.held(), 1);
    assert!(story.roster(Vec::new(), &[("usdm:ETHUSDT", DepartureReason::Removed)]).ends_with("removed"));
    assert_eq!(story.pipeline.held(), 0);
    assert!(!story.pipeline.is_repairing());
}

#[test]
fn while_a_lane_moves_the_end_of_its_new_connection_makes_no_hole_that_the_old_one_may_fill() {
    let mut story = Story::of(&[("usdm:BTCUSDT", 0), ("usdm:ETHUSDT", 0)]);
    story.brings(0, "ETHUSDT", 1);
    story.roster(vec![Seat { is_moving: true, ..seat("usdm:ETHUSDT", 1) }], &[]);
    story.link(1, LinkChange::Opened);
    assert_eq!(story.brings(1, "ETHUSDT", 3), "");
    assert_eq!(story.link(1, LinkChange::Closed), "", "the old one has still to pass it");
    assert_eq!(story.brings(0, "ETHUSDT", 2), "usdm:ETHUSDT 2 cvd 2; usdm:ETHUSDT 3 cvd 3");
}

#[test]
fn whoever_asks_for_what_is_missing_hears_of_a_lane_that_has_ended() {
    let mut story = Story::of(&[("usdm:BTCUSDT", 0), ("usdm:ETHUSDT", 0)]);
    story.brings(0, "ETHUSDT", 1);
    story.brings(0, "ETHUSDT", 5);
    assert_eq!(story.pipeline.take_changed(), [1]);
    story.roster(Vec::new(), &[("usdm:ETHUSDT", DepartureReason::Removed)]);
    assert_eq!(story.pipeline.take_changed(), [1]);
    assert!(story.pipeline.ids(1).holes.is_empty());
}

#[test]
fn the_number_of_a_shard_that_is_gone_serves_another_market_even_while_its_connection_ends() {
    let mut story = Story::of(&[("usdm:BTCUSDT", 0), ("usdm:ETHUSDT", 1)]);
    story.roster(vec![seat("spot:ETHUSDT", 1)], &[("usdm:ETHUSDT", DepartureReason::Removed)]);
    assert_eq!(story.pipeline.market_of(ShardId(1)), Market::Spot);
    assert_eq!(story.brings(1, "ETHUSDT", 9), "spot:ETHUSDT 9 cvd 1");
}

#[test]
fn contracts_have_no_bars_by_worth_and_the_others_do() {
    let specs =
        ["notional:5", "ticks:1"].map(|spec| crate::bars::BarBuilder::new(spec.parse().unwrap(), false));
    let mut story = Story::of(&[("usdm:BTCUSDT", 0), ("coinm:BTCUSD_PERP", 1)]);
    story.pipeline.gather(specs.into());
    let mut bars = |shard, symbol: &str| {
        let text = format!(
            r#"{{"e":"aggTrade","E":1,"s":"{symbol}","a":1,"p":"2.5","q":"4","f":1,"l":1,"T":1,"m":false}}"#
        );
        let (line, session) = (LineId::of(ShardId(shard), 0), SessionId(u64::from(shard) + 1));
        let frame = Frame { line, session, ordinal: 1, received: Some(story.stamp()), text: text.into() };
        let mut specs = Vec::new();
        story.pipeline.step(&Input::Frame(frame), &mut |event| {
            if let Event::Bar(bar) = event {
                specs.push(bar.spec.to_string());
            }
        });
        specs
    };
    assert_eq!(bars(0, "BTCUSDT"), ["notional:5", "ticks:1"]);
    assert_eq!(bars(1, "BTCUSD_PERP"), ["ticks:1"]);
}
