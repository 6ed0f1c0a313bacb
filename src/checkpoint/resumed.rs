//! A run that is cut at any moment and goes on from its checkpoint gives the bits of one that was not.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::format::{Identity, decode, encode};
use super::samples::identity;
use crate::cvd::Reading;
use crate::pipeline::{Event, LaneState, Pipeline, PipelineConfig, Wanted};
use crate::repair::{Answer, GiveUpReason, Reply};
use crate::snapshot::{Coverage, Market, Quality, Stamp, TradeSource};
use crate::source::{Input, Rows};
use crate::trade::{AggTrade, Aggressor};
use crate::units::{AggTradeId, IdRange, Price, Qty, UnixMillis};

/// What happens next.
#[derive(Debug, Clone, Copy)]
enum Act {
    Trade,
    Void,
    /// The stream loses it, REST has it.
    Lost,
    /// Nobody has it.
    LostForEver,
    Repeated,
    Repair,
    /// The exchange numbers anew.
    NewEpochAbove,
    NewEpochBelow,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        60 => Just(Act::Trade),
        3 => Just(Act::Void),
        8 => Just(Act::Lost),
        4 => Just(Act::LostForEver),
        4 => Just(Act::Repeated),
        6 => Just(Act::Repair),
        1 => Just(Act::NewEpochAbove),
        1 => Just(Act::NewEpochBelow),
    ]
}

#[derive(Debug, Clone, Copy)]
enum Happening {
    Trade(AggTrade),
    Repair,
}

/// What a trade left behind: the ordinal, the id, the bits, and which ids they cover.
type Trace = (u64, AggTradeId, [Option<u64>; 2], Reading, Coverage);

struct World {
    happenings: Vec<Happening>,
    /// What REST has: `None` where it has lost it too. No two epochs have an id in common.
    rest: BTreeMap<AggTradeId, Option<AggTrade>>,
}

impl World {
    fn of(acts: &[Act], seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = Self { happenings: Vec::new(), rest: BTreeMap::new() };
        let (mut id, mut at) = (50_000_000, 1_795_132_800_000);
        let mut next = |id: &mut i64, qty: i64| {
            at += random.i64(1..50);
            let trade = AggTrade {
                id: AggTradeId(*id),
                price: Price::from_units(random.i64(1..9) * 100_000_000),
                qty: Qty::from_units(qty * random.i64(1..=i64::from(i32::MAX))),
                qty_without_rpi: None,
                first_trade_id: *id,
                last_trade_id: *id,
                traded_at: UnixMillis(at),
                event_at: None,
                aggressor: Aggressor::from_buyer_is_maker(random.bool()),
            };
            *id += 1;
            trade
        };
        let mut last = None;
        let tail = [Act::Trade, Act::Repair, Act::Trade, Act::Repair];
        for act in [Act::Trade].iter().chain(acts).chain(&tail) {
            let (trade, arrives, rest_has) = match act {
                Act::Repair => {
                    world.happenings.push(Happening::Repair);
                    continue;
                }
                Act::Repeated => {
                    world.happenings.extend(last.map(Happening::Trade));
                    continue;
                }
                Act::NewEpochAbove | Act::NewEpochBelow => {
                    // What is missing of the old numbering cannot be had after that.
                    let trade = next(&mut id, 1);
                    world.rest.insert(trade.id, Some(trade));
                    world.happenings.extend([Happening::Trade(trade), Happening::Repair]);
                    id = if matches!(act, Act::NewEpochAbove) { id + 8_000_000_000 } else { id / 2 };
                    for _ in 0..4 {
                        let trade = next(&mut id, 1);
                        world.rest.insert(trade.id, Some(trade));
                        world.happenings.push(Happening::Trade(trade));
                    }
                    continue;
                }
                Act::Trade => (next(&mut id, 1), true, true),
                Act::Void => (next(&mut id, 0), true, true),
                Act::Lost => (next(&mut id, 1), false, true),
                Act::LostForEver => (next(&mut id, 1), false, false),
            };
            world.rest.insert(trade.id, rest_has.then_some(trade));
            if arrives {
                world.happenings.push(Happening::Trade(trade));
                last = Some(trade);
            }
        }
        world
    }

    fn repair(&self, pipeline: &mut Pipeline, traces: &mut Vec<Trace>) {
        while let Some(hole) = pipeline.ids(0).holes.first().copied() {
            let first = self.rest[&hole.ids.from].is_some();
            let of_a_kind: Vec<_> = self
                .rest
                .range(hole.ids.from..=hole.ids.to)
                .take_while(|(_, trade)| trade.is_some() == first)
                .collect();
            let last = *of_a_kind.last().unwrap().0;
            let answer = if first {
                Answer::Trades(of_a_kind.iter().filter_map(|(_, trade)| **trade).collect())
            } else {
                let ids = IdRange { from: hole.ids.from, to: last };
                Answer::GaveUp { ids, reason: GiveUpReason::Deadline }
            };
            step(pipeline, &Input::Reply(Reply { lane: 0, at: Stamp::default(), answer }), traces);
        }
    }

    /// Plays some of what happens.
    fn play(&self, pipeline: &mut Pipeline, happenings: &[Happening], identity: &Identity) -> Vec<Trace> {
        let mut traces = Vec::new();
        for happening in happenings {
            match happening {
                Happening::Repair => self.repair(pipeline, &mut traces),
                Happening::Trade(trade) => {
                    let row = Rows::one(Market::UsdM, identity.symbol.clone(), *trade);
                    step(pipeline, &Input::Rows(row), &mut traces);
                }
            }
        }
        traces
    }
}

fn step(pipeline: &mut Pipeline, input: &Input, traces: &mut Vec<Trace>) {
    pipeline.step(input, &mut |event| {
        if let Event::Trade(it) = event {
            let bits = [it.reading.z.map(f64::to_bits), it.reading.ema.map(f64::to_bits)];
            // Whether something is being repaired at this moment is of the moment.
            let quality = if it.coverage.missing_trades > 0 { Quality::Missing } else { Quality::Complete };
            traces.push((it.ordinal, it.trade.id, bits, it.reading, Coverage { quality, ..*it.coverage }));
        }
    });
}

fn pipeline(identity: &Identity) -> Pipeline {
    Pipeline::new(PipelineConfig {
        market: Market::UsdM,
        frames_from: TradeSource::Stream,
        wanted: Wanted::of(identity.market, std::slice::from_ref(&identity.symbol)),
        calculator: identity.calculator,
        repairs: true,
        hold_size: 10_000,
        bars: Vec::new(),
        counts_worth: true,
    })
    .unwrap()
}

/// Through a file and back.
fn stored(identity: &Identity, state: &LaneState) -> LaneState {
    decode(&encode(identity, state, 1, 1).unwrap(), identity).unwrap().state
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_run_goes_on_from_any_moment_as_if_it_had_never_stopped(
        acts in prop::collection::vec(act(), 0..250),
        seed: u64,
        cut in any::<prop::sample::Index>(),
        z_window in prop_oneof![Just(2usize), Just(5), Just(40)],
    ) {
        let identity = identity(z_window);
        let world = World::of(&acts, seed);
        let mut unbroken = pipeline(&identity);
        let whole = world.play(&mut unbroken, &world.happenings, &identity);

        // What is suspicious when it ends is not kept, and then the new numbering may begin with a later id.
        let mut cut = 1 + cut.index(world.happenings.len() - 2);
        let mut broken = pipeline(&identity);
        world.play(&mut broken, &world.happenings[..cut], &identity);
        while broken.ids(0).in_doubt {
            world.play(&mut broken, &world.happenings[cut..=cut], &identity);
            cut += 1;
        }
        let state = broken.lane_state(0).expect("the first thing is a trade");
        let stored = stored(&identity, &state);
        prop_assert_eq!(&stored, &state);

        // Had the exchange begun to number anew meanwhile, nobody could have fetched what was missed of the old ids.
        let next = world.happenings[cut..].iter().find_map(|happening| match happening {
            Happening::Trade(trade) => Some(trade.id.0),
            Happening::Repair => None,
        });
        let goes_on = (0..1_000_000).contains(&(next.unwrap() - state.sequence.first.0));
        prop_assume!(goes_on || broken.ids(0).holes.is_empty());

        let mut resumed = pipeline(&identity);
        resumed.resume(&stored).unwrap();
        prop_assert_eq!(resumed.lane_state(0), Some(state.clone()));
        let rest = world.play(&mut resumed, &world.happenings[cut..], &identity);
        prop_assert_eq!(&rest[..], &whole[state.applied as usize..]);
        let (lane, expected) = (resumed.summaries().remove(0), unbroken.summaries().remove(0));
        prop_assert_eq!(lane.coverage, expected.coverage);
        prop_assert_eq!(lane.reading, expected.reading);
        prop_assert_eq!((lane.trades, lane.ids_seen), (expected.trades, expected.ids_seen));

        // From the anchor of the epoch, which was durable before its first record.
        let anchor = broken.anchor_state(0).expect("the first thing is a trade");
        let stored = self::stored(&identity, &anchor);
        prop_assert_eq!(&stored, &anchor);
        let mut resumed = pipeline(&identity);
        resumed.resume(&stored).unwrap();
        prop_assert_eq!(resumed.lane_state(0), None);
        prop_assume!(goes_on);
        let rest = world.play(&mut resumed, &world.happenings[cut..], &identity);
        prop_assert_eq!(&rest[..], &whole[anchor.applied as usize..]);
        prop_assert_eq!(resumed.summaries().remove(0).coverage, expected.coverage);
    }
}

#[test]
fn a_lane_that_is_made_by_hand_is_the_one_that_its_first_trade_leaves_behind() {
    let identity = identity(5);
    let world = World::of(&[], 1);
    let mut used = pipeline(&identity);
    assert_eq!((used.lane_state(0), used.anchor_state(0), used.lane_state(9)), (None, None, None));
    world.play(&mut used, &world.happenings[..1], &identity);
    let Happening::Trade(trade) = world.happenings[0] else { panic!("the first thing is a trade") };
    let by_hand = LaneState::anchor(
        Market::UsdM,
        identity.symbol.clone(),
        trade.id,
        trade.traded_at,
        identity.calculator,
    );
    assert_eq!(used.anchor_state(0), Some(by_hand.unwrap()));
    assert_eq!((used.epochs_begun(), used.position(0)), (1, Some((1, trade.id))));
}

#[test]
fn an_outage_opens_a_hole_with_the_first_trade_that_comes() {
    let identity = identity(5);
    let world = World::of(&[Act::Trade; 20], 1);
    let mut before = pipeline(&identity);
    world.play(&mut before, &world.happenings[..5], &identity);
    let mut after = pipeline(&identity);
    after.resume(&before.lane_state(0).unwrap()).unwrap();
    world.play(&mut after, &world.happenings[12..13], &identity);
    let holes: Vec<_> = after.ids(0).holes.iter().map(|hole| hole.ids).collect();
    assert_eq!(holes, [IdRange::new(50_000_005, 50_000_011)]);
}
