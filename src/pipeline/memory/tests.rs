use proptest::prelude::*;

use super::*;
use crate::feed::{Frame, LineId, LinkChange, LinkEvent, SessionId, ShardId};
use crate::pipeline::Wanted;
use crate::repair::{Answer, GiveUpReason, Reply};
use crate::snapshot::{Instrument, Market, Stamp, TradeSource};
use crate::source::{Departure, DepartureReason, Input, RosterChange, Seat};
use crate::trade::{AggTrade, Aggressor};
use crate::units::{AggTradeId, IdRange, Price, Qty, UnixMillis};

/// What happens next, by the id of the newest trade so far.
#[derive(Debug, Clone)]
enum Act {
    /// A session brings a trade, so many ids after the newest one (or before it), of this size.
    Frame {
        session: u64,
        step: i64,
        lots: i64,
        symbol: usize,
    },
    Broken,
    Link {
        session: u64,
        opened: bool,
    },
    Evicted,
    Tick,
    /// REST brings so many trades before the newest one, some of them with another content.
    Page {
        back: i64,
        ids: i64,
        lots: i64,
    },
    GaveUp {
        back: i64,
        ids: i64,
    },
    Newest(i64),
    Confirm(i64),
    /// A symbol has its place on a shard.
    Seat {
        symbol: usize,
        shard: u16,
        is_moving: bool,
    },
    Leaves {
        symbol: usize,
    },
}

const SYMBOLS: [&str; 2] = ["BTCUSDT", "ETHUSDT"];

fn act() -> impl Strategy<Value = Act> {
    let jump = prop_oneof![
        30 => Just(1i64),
        3 => 2..6i64,
        3 => -70..0i64,
        1 => Just(200_000i64),
        1 => Just(-300_000i64),
        1 => Just(3_000_000_000i64),
    ];
    prop_oneof![
        30 => (1..4u64, jump, 1..9i64, 0..2usize)
            .prop_map(|(session, step, lots, symbol)| Act::Frame { session, step, lots, symbol }),
        1 => Just(Act::Broken),
        2 => (1..4u64, any::<bool>()).prop_map(|(session, opened)| Act::Link { session, opened }),
        1 => Just(Act::Evicted),
        2 => Just(Act::Tick),
        4 => (0..12i64, 1..9i64, 1..9i64).prop_map(|(back, ids, lots)| Act::Page { back, ids, lots }),
        1 => (0..12i64, 1..9i64).prop_map(|(back, ids)| Act::GaveUp { back, ids }),
        1 => (0..4i64).prop_map(Act::Newest),
        1 => (-3..4i64).prop_map(Act::Confirm),
        1 => (0..2usize, 0..3u16, any::<bool>())
            .prop_map(|(symbol, shard, is_moving)| Act::Seat { symbol, shard, is_moving }),
        1 => (0..2usize).prop_map(|symbol| Act::Leaves { symbol }),
    ]
}

/// Sessions 1 and 2 are lines of the first shard, session 3 is the second one's.
fn line_of(session: u64) -> LineId {
    [LineId::of(ShardId(0), 0), LineId::of(ShardId(0), 1), LineId::of(ShardId(1), 0)][session as usize - 1]
}

fn seat(symbol: usize, shard: u16) -> Seat {
    let instrument = Instrument::new(Market::UsdM, Symbol::new(SYMBOLS[symbol]).unwrap());
    Seat { shard: ShardId(shard), ..Seat::first(instrument) }
}

fn config() -> PipelineConfig {
    let bars = ["1s", "ticks:7", "volume:11", "notional:200"];
    PipelineConfig {
        market: Market::UsdM,
        frames_from: TradeSource::Stream,
        wanted: Wanted::Only(vec![seat(0, 0), seat(1, 1)]),
        calculator: crate::cvd::CvdConfig { z_window: 6, z_warmup: Some(2), ema_alpha: 0.2 },
        repairs: true,
        hold_size: 6,
        bars: bars.iter().map(|spec| BarBuilder::new(spec.parse().unwrap(), true)).collect(),
        counts_worth: true,
    }
}

/// Turns acts into inputs; the same acts always give the same ones.
fn inputs(acts: &[Act]) -> Vec<Input> {
    let mut newest = [1_000_000i64; 2];
    let mut time = 1_800_000_000_000i64;
    let mut inputs = Vec::new();
    for (at, act) in acts.iter().enumerate() {
        let mono_ns = at as u64 * 60_000_000;
        let now = Stamp { wall_ns: time * 1_000_000, mono_ns };
        time += 130;
        let lane = at % 2;
        let reply = |answer| Input::Reply(Reply { lane, at: now, answer });
        let trade = |id: i64, lots: i64| AggTrade {
            id: AggTradeId(id),
            price: Price::from_units(30_0000_0000 + id % 7),
            qty: Qty::from_units(lots * 100_000_000),
            qty_without_rpi: None,
            first_trade_id: id,
            last_trade_id: id,
            traded_at: UnixMillis(time),
            event_at: None,
            aggressor: if id % 3 == 0 { Aggressor::Seller } else { Aggressor::Buyer },
        };
        let frame = |session: u64, text: String| {
            let line = line_of(session);
            Input::Frame(Frame {
                line,
                session: SessionId(session),
                ordinal: 1,
                received: Some(now),
                text: text.into(),
            })
        };
        inputs.push(match *act {
            Act::Frame { session, step, lots, symbol } => {
                let id = newest[symbol] + step;
                if step.abs() < 10 {
                    newest[symbol] = newest[symbol].max(id);
                }
                let (name, buyer_is_maker) = (SYMBOLS[symbol], id % 3 == 0);
                frame(session, format!(
                    r#"{{"e":"aggTrade","E":{time},"s":"{name}","a":{id},"p":"30","q":"{lots}","f":{id},"l":{id},"T":{time},"m":{buyer_is_maker}}}"#
                ))
            }
            Act::Broken => frame(1, "{broken".into()),
            Act::Link { session, opened } => {
                let change = if opened { LinkChange::Opened } else { LinkChange::Closed };
                let (line, session) = (line_of(session), SessionId(session));
                Input::Link(LinkEvent { line, session, at: now, change })
            }
            Act::Evicted => Input::Evicted { session: SessionId(1), frames: 3 },
            Act::Tick => Input::Tick(now),
            Act::Page { back, ids, lots } => {
                let from = newest[lane] - back;
                reply(Answer::Trades((from..from + ids).map(|id| trade(id, lots)).collect()))
            }
            Act::GaveUp { back, ids } => {
                let from = newest[lane] - back;
                let ids = IdRange::new(from, from + ids - 1);
                reply(Answer::GaveUp { ids, reason: GiveUpReason::Deadline })
            }
            Act::Newest(ahead) => reply(Answer::Newest(AggTradeId(newest[lane] + ahead))),
            Act::Confirm(ahead) => reply(Answer::Confirm(AggTradeId(newest[lane] + ahead))),
            Act::Seat { symbol, shard, is_moving } => {
                let seats = vec![Seat { is_moving, ..seat(symbol, shard) }];
                Input::Roster(RosterChange { at: now, seats, ended: Vec::new() })
            }
            Act::Leaves { symbol } => {
                let (instrument, why) = (seat(symbol, 0).instrument, DepartureReason::Removed);
                let ended = vec![Departure { instrument, why }];
                Input::Roster(RosterChange { at: now, seats: Vec::new(), ended })
            }
        });
    }
    inputs
}

/// Everything a pipeline says.
fn play(pipeline: &mut Pipeline, inputs: &[Input]) -> Vec<String> {
    let mut told = Vec::new();
    for input in inputs {
        pipeline.step(input, &mut |event| told.push(format!("{event:?}")));
        let changed = pipeline.take_changed();
        told.push(format!("{changed:?} {:?} {:?}", pipeline.tick_due(), pipeline.live_sessions()));
    }
    told
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_pipeline_that_was_written_down_says_the_same_as_the_one_it_was_taken_from(
        acts in prop::collection::vec(act(), 0..200),
        cut in any::<prop::sample::Index>(),
    ) {
        let inputs = inputs(&acts);
        let cut = cut.index(inputs.len() + 1);
        let mut unbroken = Pipeline::new(config()).unwrap();
        play(&mut unbroken, &inputs[..cut]);
        let text = serde_json::to_string(&unbroken.memory()).unwrap();
        let mut restored = Pipeline::restore(config(), serde_json::from_str(&text).unwrap()).unwrap();
        prop_assert_eq!(serde_json::to_string(&restored.memory()).unwrap(), text);
        prop_assert_eq!(restored.held(), unbroken.held());
        prop_assert_eq!(play(&mut restored, &inputs[cut..]), play(&mut unbroken, &inputs[cut..]));
        let mut last = [Vec::new(), Vec::new()];
        unbroken.finish(&mut |event| last[0].push(format!("{event:?}")));
        restored.finish(&mut |event| last[1].push(format!("{event:?}")));
        prop_assert_eq!(&last[0], &last[1]);
        prop_assert_eq!(restored.summaries(), unbroken.summaries());
    }

    #[test]
    fn a_state_that_somebody_has_edited_is_refused_or_goes_on_without_a_panic(
        acts in prop::collection::vec(act(), 20..80),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..6usize), 1..4),
    ) {
        let inputs = inputs(&acts);
        let mut pipeline = Pipeline::new(config()).unwrap();
        play(&mut pipeline, &inputs[..acts.len() / 2]);
        let mut text = serde_json::to_string(&pipeline.memory()).unwrap();
        for (place, number) in edits {
            // Another number in the place of one.
            let digits: Vec<usize> = text.bytes().enumerate().filter(|(_, b)| b.is_ascii_digit()).map(|(at, _)| at).collect();
            let from = digits[place.index(digits.len())];
            let to = from + text[from..].bytes().take_while(u8::is_ascii_digit).count();
            let numbers = ["0", "1", "-1", "9223372036854775807", "4611686018427387904", "18446744073709551615"];
            text.replace_range(from..to, numbers[number]);
        }
        if let Ok(state) = serde_json::from_str(&text)
            && let Ok(mut restored) = Pipeline::restore(config(), state)
        {
            play(&mut restored, &inputs[acts.len() / 2..]);
            restored.finish(&mut |_| {});
        }
    }
}
