use super::*;
use crate::cvd::CvdConfig;
use crate::feed::{LineId, SessionId};
use crate::repair::GiveUpReason;
use crate::snapshot::Quality;
use crate::trade::Aggressor;
use crate::units::{Price, Qty, UnixMillis};

fn pipeline(repairs: bool, hold_size: usize) -> Pipeline {
    Pipeline::new(PipelineConfig {
        market: Market::UsdM,
        frames_from: TradeSource::Stream,
        wanted: Wanted::Everything,
        calculator: CvdConfig { z_window: 10, z_warmup: Some(2), ema_alpha: 0.2 },
        repairs,
        hold_size,
        bars: Vec::new(),
        counts_worth: true,
    })
    .unwrap()
}

fn trade(id: i64, qty: i64) -> AggTrade {
    AggTrade {
        id: AggTradeId(id),
        price: Price::from_units(100_000_000),
        qty: Qty::from_units(qty * 100_000_000),
        qty_without_rpi: None,
        first_trade_id: id,
        last_trade_id: id,
        traded_at: UnixMillis(1_000 + id),
        event_at: None,
        aggressor: Aggressor::Buyer,
    }
}

fn row(id: i64, qty: i64) -> Input {
    Input::Rows(Rows::one(Market::UsdM, Symbol::new("BTCUSDT").unwrap(), trade(id, qty)))
}

/// A trade of 1 from the stream.
fn frame_of(symbol: &str, id: i64) -> Input {
    let at = 1_000 + id;
    let text = format!(
        r#"{{"e":"aggTrade","E":{at},"s":"{symbol}","a":{id},"p":"1","q":"1","f":{id},"l":{id},"T":{at},"m":false}}"#
    );
    frame(&text)
}

fn frame(text: &str) -> Input {
    let (line, session, received) = (LineId(0), SessionId(1), Some(Stamp { wall_ns: 1, mono_ns: 1 }));
    Input::Frame(Frame { line, session, ordinal: 1, received, text: text.into() })
}

fn reply(lane: usize, answer: Answer) -> Input {
    Input::Reply(Reply { lane, at: Stamp { wall_ns: 2, mono_ns: 2_000_000_001 }, answer })
}

/// What the pipeline said, in short.
fn told(pipeline: &mut Pipeline, inputs: &[Input]) -> Vec<String> {
    let mut told = Vec::new();
    for input in inputs {
        pipeline.step(input, &mut |event| {
            told.push(match event {
                Event::Trade(it) => {
                    let (z, quality) = (if it.reading.z.is_some() { " z" } else { "" }, it.coverage.quality);
                    format!("{} {} {}{z} {}", it.symbol, it.trade.id, it.reading.cvd, quality.as_str())
                }
                Event::Gap(gap) => format!(
                    "{} {} {} {} of {} by {}",
                    gap.symbol,
                    gap.event.as_str(),
                    gap.ids,
                    gap.trades,
                    gap.cause.as_str(),
                    gap.coverage.quality.as_str()
                ),
                Event::BadPoint { .. } => "bad".into(),
                other => format!("{other:?}").chars().take(20).collect(),
            });
        });
    }
    told
}

#[test]
fn a_void_row_belongs_to_the_ids_but_moves_no_number() {
    let mut pipeline = pipeline(false, 8);
    let mut ends = |inputs: &[Input]| {
        told(&mut pipeline, inputs);
        let lane = pipeline.summaries().remove(0);
        let (first, last) = (lane.coverage.first_id.map(|id| id.0), lane.coverage.last_id.map(|id| id.0));
        (lane.trades, lane.ids_seen, first, last)
    };
    assert_eq!(ends(&[row(1, 0)]), (0, 1, Some(1), Some(1)));
    assert_eq!(ends(&[row(2, 5), row(3, 5), row(4, -1)]), (2, 4, Some(1), Some(4)));
    let free = AggTrade { price: Price::from_units(0), ..trade(5, 1) };
    let free = Input::Rows(Rows::one(Market::UsdM, Symbol::new("BTCUSDT").unwrap(), free));
    assert_eq!(ends(&[free, row(6, 1)]), (3, 6, Some(1), Some(6)));
}

#[test]
fn the_numbers_wait_for_a_hole_and_then_are_as_if_it_had_never_been() {
    let mut whole = pipeline(true, 100);
    let all: Vec<_> = (1..=8).map(|id| frame_of("BTCUSDT", id)).collect();
    let unbroken = told(&mut whole, &all);
    let mut pipeline = pipeline(true, 100);
    let first = told(&mut pipeline, &[all[0].clone(), all[1].clone(), all[2].clone(), all[5].clone()]);
    assert_eq!(first[..3], unbroken[..3]);
    assert_eq!(first[3..], ["BTCUSDT opened 4 to 5 2 of wire by repairing"]);
    assert_eq!((pipeline.held(), pipeline.counts().arrived()), (1, 4));
    let changed = pipeline.take_changed();
    let holes: Vec<_> = changed.iter().flat_map(|lane| pipeline.ids(*lane).holes).collect();
    assert_eq!(holes, [Hole { ids: IdRange::new(4, 5), after: UnixMillis(1_003) }]);
    // Another symbol is not affected.
    assert_eq!(told(&mut pipeline, &[frame_of("ETHUSDT", 7)]), ["ETHUSDT 7 1 complete"]);
    let page = Answer::Trades((4..=6).map(|id| trade(id, 1)).collect());
    let after = told(&mut pipeline, &[reply(0, page), all[6].clone(), all[7].clone()]);
    assert_eq!(after[0], unbroken[3].replace("complete", "repairing"));
    assert_eq!(after[1], "BTCUSDT repaired 4 to 5 2 of wire by complete");
    assert_eq!(after[2..], unbroken[4..]);
    assert_eq!((pipeline.held(), pipeline.counts().applied), (0, 9));
}

#[test]
fn over_ids_that_are_given_up_cvd_goes_on_and_the_window_begins_anew() {
    let mut pipeline = pipeline(true, 100);
    let inputs = [1, 2, 3, 6, 7, 8].map(|id| frame_of("BTCUSDT", id));
    told(&mut pipeline, &inputs);
    let gave_up = Answer::GaveUp { ids: IdRange::new(4, 5), reason: GiveUpReason::Deadline };
    assert_eq!(
        told(&mut pipeline, &[reply(0, gave_up)]),
        [
            "BTCUSDT unrepaired 4 to 5 2 of wire by missing",
            "BTCUSDT 6 4 missing",
            "BTCUSDT 7 5 missing",
            "BTCUSDT 8 6 z missing",
        ]
    );
    let lane = pipeline.summaries().remove(0);
    let Coverage { first_id, last_id, quality, missing_trades, .. } = lane.coverage;
    assert_eq!((first_id, last_id), (Some(AggTradeId(1)), Some(AggTradeId(8))));
    assert_eq!((quality, missing_trades, lane.ids_seen), (Quality::Missing, 2, 6));
}

#[test]
fn where_a_trade_was_lost_is_told_by_what_happened_before_it_was_missed() {
    let evicted = || Input::Evicted { session: SessionId(1), frames: 1 };
    let mut pipeline = pipeline(false, 100);
    let mut causes = |inputs: &[Input]| {
        let told = told(&mut pipeline, inputs);
        let opened =
            told.iter().filter_map(|line| line.split_once(" opened ")).map(|(_, gap)| gap.to_owned());
        opened.collect::<Vec<_>>().join(", ")
    };
    causes(&[frame_of("BTCUSDT", 1)]);
    assert_eq!(causes(&[frame_of("BTCUSDT", 3)]), "2 to 2 1 of wire by repairing");
    assert_eq!(causes(&[frame("{"), frame_of("BTCUSDT", 5)]), "4 to 4 1 of malformed by repairing");
    assert_eq!(causes(&[evicted(), frame_of("BTCUSDT", 7)]), "6 to 6 1 of queue by repairing");
    // What was lost before a trade that came has nothing to do with one that is missed after it.
    assert_eq!(
        causes(&[evicted(), frame_of("BTCUSDT", 8), frame_of("BTCUSDT", 10)]),
        "9 to 9 1 of wire by repairing"
    );
    assert_eq!(causes(&[row(12, 1)]), "11 to 11 1 of file by repairing");
}

#[test]
fn a_new_numbering_ends_the_epoch_with_its_account() {
    let mut pipeline = pipeline(true, 100);
    let restarted = |id: i64| {
        let text = format!(
            r#"{{"e":"aggTrade","E":1,"s":"BTCUSDT","a":{id},"p":"1","q":"3","f":1,"l":1,"T":{},"m":false}}"#,
            9_000_000 + id
        );
        frame(&text)
    };
    told(&mut pipeline, &[500_000, 500_001].map(|id| frame_of("BTCUSDT", id)));
    let mut told_of = told(&mut pipeline, &[restarted(1), restarted(2), restarted(3)]);
    assert!(told_of.remove(0).starts_with("Suspicious"), "{told_of:?}");
    assert_eq!(
        told_of,
        [
            "BTCUSDT reset 500000 to 500001 2 of restart by complete",
            "BTCUSDT 1 3 complete",
            "BTCUSDT 2 6 complete",
            "BTCUSDT 3 9 z complete",
        ]
    );
    let lane = pipeline.summaries().remove(0);
    assert_eq!((lane.coverage.epoch, lane.coverage.first_id, lane.trades), (2, Some(AggTradeId(1)), 5));
}

#[test]
fn no_more_trades_are_applied_than_asked_for_even_out_of_one_answer() {
    let mut pipeline = pipeline(true, 100);
    pipeline.stop_after(4);
    told(&mut pipeline, &[frame_of("BTCUSDT", 1), frame_of("BTCUSDT", 9)]);
    let page = Answer::Trades((2..=8).map(|id| trade(id, 1)).collect());
    told(&mut pipeline, &[reply(0, page)]);
    assert_eq!(
        (pipeline.counts().applied, pipeline.summaries()[0].reading.cvd.to_string().as_str()),
        (4, "4")
    );
}

#[test]
fn what_waits_is_bounded_and_joins_the_hole() {
    let mut pipeline = pipeline(true, 3);
    told(&mut pipeline, &[frame_of("BTCUSDT", 1)]);
    let flood: Vec<_> = (3..=30).map(|id| frame_of("BTCUSDT", id)).collect();
    let story = told(&mut pipeline, &flood);
    assert!(pipeline.held() <= 3);
    assert_eq!(story.iter().filter(|line| line.starts_with("Discarded")).count(), 7, "{story:?}");
    let page = Answer::Trades((2..=30).map(|id| trade(id, 1)).collect());
    told(&mut pipeline, &[reply(0, page)]);
    let lane = pipeline.summaries().remove(0);
    assert_eq!((lane.trades, lane.coverage.quality, lane.open), (30, Quality::Complete, None));
}

#[test]
fn a_block_of_rows_says_what_its_rows_say_and_a_limit_stops_within_it() {
    let (market, symbol) = (Market::UsdM, Symbol::new("BTCUSDT").unwrap());
    let ids = [1, 2, 4, 4, 5, 3, 6, 9, 10];
    let one_by_one: Vec<_> = ids.iter().map(|id| row(*id, 1)).collect();
    let trades = ids.iter().map(|id| trade(*id, 1)).collect();
    let block = Input::Rows(Rows { market, symbol, trades });
    let (mut single, mut blocks) = (pipeline(false, 8), pipeline(false, 8));
    assert_eq!(told(&mut blocks, std::slice::from_ref(&block)), told(&mut single, &one_by_one));
    assert_eq!(blocks.counts(), single.counts());
    assert_eq!(blocks.summaries(), single.summaries());

    let mut limited = pipeline(false, 8);
    limited.stop_after(4);
    told(&mut limited, &[block]);
    assert_eq!((limited.counts().applied, limited.counts().messages), (4, 5), "the repeated one included");
}

#[test]
fn rows_that_nobody_looks_at_move_the_numbers_all_the_same() {
    let (market, symbol) = (Market::UsdM, Symbol::new("BTCUSDT").unwrap());
    let block = |ids: std::ops::Range<i64>| {
        let trades = ids.map(|id| trade(id, (id % 7) * (id % 3))).collect();
        Input::Rows(Rows { market, symbol: symbol.clone(), trades })
    };
    let blocks = [block(1..40), block(40..41), block(43..100)];
    for telling in [(0, 0), (5, 0), (5, 10), (0, 1), (3, 7)] {
        let (mut quiet, mut all) = (pipeline(false, 8), pipeline(false, 8));
        let (first, every) = telling;
        quiet.tell(Telling { first, every });
        let (mut heard, mut ordinals) = (Vec::new(), Vec::new());
        for block in &blocks {
            quiet.step(block, &mut |event| {
                if let Event::Trade(it) = event {
                    heard.push((it.ordinal, it.reading, *it.coverage));
                }
            });
            all.step(block, &mut |event| {
                if let Event::Trade(it) = event {
                    ordinals.push((it.ordinal, it.reading, *it.coverage));
                }
            });
        }
        assert_eq!(quiet.summaries(), all.summaries());
        assert_eq!(quiet.counts(), all.counts());
        let is_told = |ordinal: u64| ordinal <= first || every > 0 && ordinal.is_multiple_of(every);
        let told: Vec<_> = ordinals.iter().filter(|(ordinal, ..)| is_told(*ordinal)).collect();
        assert!(told.iter().all(|told| heard.contains(told)), "{telling:?}");
        // What opens a lane or stands behind a hole comes another way, and is told.
        assert!(
            heard.len() <= told.len() + 2 && heard.iter().all(|one| ordinals.contains(one)),
            "{telling:?}"
        );
    }
}

#[test]
fn when_all_symbols_hold_too_much_the_one_that_holds_the_most_gives_way() {
    let mut pipeline = pipeline(true, HELD_IN_ALL);
    told(
        &mut pipeline,
        &[("ETHUSDT", 1), ("BTCUSDT", 1), ("BTCUSDT", 3), ("ETHUSDT", 3)].map(|(s, id)| frame_of(s, id)),
    );
    for id in 4..=HELD_IN_ALL as i64 + 1 {
        pipeline.arrive(0, &trade(id, 1), TradeSource::Stream, None, &mut |_| {});
    }
    assert_eq!(pipeline.held(), HELD_IN_ALL);
    let story = told(&mut pipeline, &[frame_of("BTCUSDT", 4)]);
    assert!(story[0].starts_with("Discarded") && story[1].starts_with("ETHUSDT opened 2 to"), "{story:?}");
    assert_eq!(pipeline.held(), 2);
}
