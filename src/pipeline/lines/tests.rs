use super::*;
use crate::cvd::CvdConfig;
use crate::feed::{Frame, ShardId};
use crate::pipeline::{Event, GRACE_NS, Pipeline, PipelineConfig, Wanted};
use crate::snapshot::{Market, Quality, TradeSource};
use crate::source::Input;
use proptest::prelude::*;

const MS: u64 = 1_000_000;

/// A pipeline behind several connections, and what it said.
struct Story {
    pipeline: Pipeline,
    now: u64,
    told: Vec<String>,
}

impl Story {
    fn new(repairs: bool) -> Self {
        let config = PipelineConfig {
            market: Market::UsdM,
            frames_from: TradeSource::Stream,
            wanted: Wanted::Everything,
            calculator: CvdConfig::default(),
            repairs,
            hold_size: 1_000,
            bars: Vec::new(),
            counts_worth: true,
        };
        Self { pipeline: Pipeline::new(config).unwrap(), now: 0, told: Vec::new() }
    }

    /// Sessions 1 and 2 of lines 1 and 2 are up.
    fn of_two() -> Self {
        let mut story = Self::new(true);
        story.link(0, 1, LinkChange::Opened);
        story.link(1, 2, LinkChange::Opened);
        story
    }

    fn stamp(&self) -> Stamp {
        Stamp { wall_ns: 1_000_000_000_000 + self.now as i64, mono_ns: self.now }
    }

    fn step(&mut self, input: &Input) {
        let told = &mut self.told;
        self.pipeline.step(input, &mut |event| match event {
            Event::Trade(snapshot) => told.push(snapshot.trade.id.to_string()),
            Event::Gap(gap) => told.push(format!("{} {}-{}", gap.event.as_str(), gap.ids.from, gap.ids.to)),
            _ => {}
        });
    }

    fn link(&mut self, line: u16, session: u64, change: LinkChange) {
        let (line, session) = (LineId(line), SessionId(session));
        self.step(&Input::Link(LinkEvent { line, session, at: self.stamp(), change }));
    }

    /// A session brings ids, a millisecond each.
    fn brings(&mut self, session: u64, ids: impl IntoIterator<Item = i64>) -> &mut Self {
        for id in ids {
            self.now += MS;
            self.frame("BTCUSDT", session, id);
        }
        self
    }

    fn frame(&mut self, symbol: &str, session: u64, id: i64) {
        let text = format!(
            r#"{{"e":"aggTrade","E":{id},"s":"{symbol}","a":{id},"p":"1","q":"1","f":{id},"l":{id},"T":{id},"m":false}}"#
        );
        let sessions = self.pipeline.live_sessions();
        let live = sessions.iter().find(|live| live.session.0 == session);
        let line = live.map_or(LineId(0), |live| live.line);
        let received = Some(self.stamp());
        self.step(&Input::Frame(Frame {
            line,
            session: SessionId(session),
            ordinal: 1,
            received,
            text: text.into(),
        }));
    }

    fn waits(&mut self, ns: u64) -> &mut Self {
        self.now += ns;
        self.step(&Input::Tick(self.stamp()));
        self
    }

    fn told(&mut self) -> String {
        std::mem::take(&mut self.told).join(" ")
    }

    fn overlap(&self, session: u64) -> Overlap {
        self.pipeline.overlap(SessionId(session), self.stamp())
    }
}

#[test]
fn the_first_copy_counts_and_the_second_is_only_counted() {
    let mut story = Story::of_two();
    story.brings(1, 1..=3).brings(2, 1..=4).brings(1, 4..=4);
    assert_eq!(story.told(), "1 2 3 4");
    assert_eq!(story.pipeline.counts().copies, 4);
    assert_eq!(story.pipeline.sequence_counts().duplicates, 0);
    let races = story.pipeline.races(ShardId(0)).unwrap();
    assert_eq!((races[0].first, races[1].first), (3, 1));
    // Three milliseconds ahead each time, and the other line one.
    assert_eq!(races[0].lead_us.quantile(0.5).map(f64::round), Some(2_992.0));
    assert_eq!(races[1].lead_us.count(), 1);
}

#[test]
fn what_one_connection_lost_the_other_brings_and_nobody_calls_it_a_hole() {
    let mut story = Story::of_two();
    story.brings(1, 1..=3).brings(2, 1..=3).brings(1, 6..=7);
    assert_eq!(story.told(), "1 2 3");
    let quality = story.pipeline.coverages().next().unwrap().quality;
    assert_eq!(quality, Quality::Complete, "nothing is known to be lost");
    assert!(!story.pipeline.is_repairing() && !story.pipeline.has_changed());
    story.brings(2, 4..=8);
    assert_eq!(story.told(), "4 5 6 7 8");
    let counts = story.pipeline.sequence_counts();
    assert_eq!((counts.gaps, counts.repaired, story.pipeline.tick_due()), (0, 0, None));
}

#[test]
fn what_both_have_passed_over_is_a_hole_at_once() {
    let mut story = Story::of_two();
    story.brings(1, [1, 5]).brings(2, [1]);
    assert_eq!(story.told(), "1");
    story.brings(2, [5]);
    assert_eq!(story.told(), "opened 2-4");
    assert!(story.pipeline.is_repairing());
    story.brings(2, [2]).brings(1, 3..=4);
    assert_eq!(story.told(), "2 3 repaired 2-4 4 5");
}

#[test]
fn a_connection_that_is_late_has_a_quarter_of_a_second() {
    let mut story = Story::of_two();
    story.brings(1, [1, 3]);
    assert_eq!(story.pipeline.tick_due(), Some(story.now + GRACE_NS));
    story.waits(GRACE_NS - 1);
    assert_eq!(story.told(), "1");
    story.waits(1);
    assert_eq!(story.told(), "opened 2-2");
    assert_eq!(story.pipeline.tick_due(), None);
    assert_eq!(story.pipeline.take_changed(), [0]);
    story.brings(2, [2]);
    assert_eq!(story.told(), "repaired 2-2 2 3");
}

#[test]
fn a_hole_that_came_half_in_time_is_told_for_the_other_half() {
    let mut story = Story::of_two();
    story.brings(1, [1, 8]).brings(2, [2, 3, 5]);
    assert_eq!(story.told(), "1 2 3");
    story.waits(GRACE_NS);
    assert_eq!(story.told(), "opened 4-4 opened 6-7");
    story.brings(2, [4, 6, 7]);
    assert_eq!(story.told(), "repaired 4-4 4 5 6 repaired 6-7 7 8");
    assert_eq!(story.pipeline.sequence_counts().repaired, 3);
}

#[test]
fn without_anybody_to_ask_a_doubt_is_given_up_when_it_is_a_hole() {
    let mut story = Story::new(false);
    story.link(0, 1, LinkChange::Opened);
    story.link(1, 2, LinkChange::Opened);
    story.brings(1, [1, 3]);
    assert_eq!(story.told(), "1");
    story.waits(GRACE_NS);
    assert_eq!(story.told(), "opened 2-2 unrepaired 2-2 3");
}

#[test]
fn when_the_last_connection_closes_nobody_is_waited_for() {
    let mut story = Story::of_two();
    story.brings(1, [1, 3]);
    story.link(0, 1, LinkChange::Closed);
    assert_eq!(story.told(), "1", "the other one may still bring it");
    story.link(1, 2, LinkChange::Closed);
    assert_eq!(story.told(), "opened 2-2");
}

#[test]
fn either_connection_may_fail_at_no_cost() {
    let mut story = Story::of_two();
    story.brings(1, 1..=5).brings(2, 1..=4);
    story.link(0, 1, LinkChange::Closed);
    story.brings(2, 5..=9);
    story.link(0, 3, LinkChange::Opened);
    story.brings(3, [12]).brings(2, 10..=12).brings(3, [13]).brings(2, [13]);
    assert_eq!(story.told(), "1 2 3 4 5 6 7 8 9 10 11 12 13");
    let counts = story.pipeline.sequence_counts();
    assert_eq!((counts.gaps, counts.repaired, counts.duplicates), (0, 0, 1), "id 5 while there was one");
}

#[test]
fn a_different_content_is_a_conflict_whoever_brings_it() {
    let mut story = Story::of_two();
    story.brings(1, 1..=3);
    let text = r#"{"e":"aggTrade","E":2,"s":"BTCUSDT","a":2,"p":"1","q":"9","f":2,"l":2,"T":2,"m":false}"#;
    let (line, session, received) = (LineId(1), SessionId(2), Some(story.stamp()));
    story.step(&Input::Frame(Frame { line, session, ordinal: 1, received, text: text.into() }));
    assert_eq!(story.told(), "1 2 3 conflict 2-2");
    assert_eq!(story.pipeline.counts().copies, 0);
}

#[test]
fn a_new_connection_may_take_over_once_everything_before_its_first_trade_is_in() {
    let mut story = Story::new(true);
    story.link(0, 1, LinkChange::Opened);
    story.brings(1, 1..=5);
    story.link(0, 2, LinkChange::Opened);
    assert_eq!(story.overlap(2), Overlap::Waiting, "it has brought nothing");
    story.brings(2, [9]);
    assert_eq!(story.overlap(2), Overlap::Waiting, "6 to 8 are on their way over the old one");
    story.brings(1, 6..=8);
    assert_eq!(story.overlap(2), Overlap::Proven);
    assert_eq!(story.overlap(1), Overlap::Waiting, "the old one does not replace the new");
    story.link(0, 1, LinkChange::Closed);
    story.brings(2, 10..=12);
    assert_eq!(story.told(), "1 2 3 4 5 6 7 8 9 10 11 12");
    assert_eq!(story.pipeline.sequence_counts().gaps, 0);
}

#[test]
fn a_new_connection_that_carries_only_some_symbols_does_not_take_over() {
    let mut story = Story::new(true);
    story.link(0, 1, LinkChange::Opened);
    story.brings(1, 1..=2);
    story.frame("ETHUSDT", 1, 1);
    story.link(0, 2, LinkChange::Opened);
    story.now += 3_000 * MS;
    story.frame("ETHUSDT", 1, 2);
    story.brings(1, [3]).brings(2, [3]);
    assert_eq!(story.overlap(2), Overlap::Waiting);
    story.frame("ETHUSDT", 2, 2);
    assert_eq!(story.overlap(2), Overlap::Proven);
}

#[test]
fn where_nobody_trades_a_new_connection_takes_over_after_a_while() {
    let mut story = Story::new(true);
    story.link(0, 1, LinkChange::Opened);
    story.brings(1, 1..=2);
    story.link(0, 2, LinkChange::Opened);
    story.waits(9_999 * MS);
    assert_eq!(story.overlap(2), Overlap::Waiting);
    story.waits(MS);
    assert_eq!(story.overlap(2), Overlap::Quiet);
    story.brings(1, [3]);
    assert_eq!(story.overlap(2), Overlap::Waiting, "the old one brings something, the new one does not");
}

#[test]
fn a_connection_that_brings_nothing_while_another_does_is_named() {
    let mut story = Story::of_two();
    let silent = |story: &Story| {
        let silent = story.pipeline.silent_sessions(story.stamp());
        silent.map(|session| session.0).collect::<Vec<_>>()
    };
    story.brings(1, 1..=5).brings(2, 1..=5);
    story.now += 20_000 * MS;
    assert_eq!(silent(&story), [] as [u64; 0], "nobody brings anything");
    story.brings(1, 6..=14);
    assert_eq!(silent(&story), [] as [u64; 0]);
    story.brings(1, [15]);
    assert_eq!(silent(&story), [2]);
    story.brings(2, [15]);
    assert_eq!(silent(&story), [] as [u64; 0]);
}

#[test]
fn a_shutdown_is_told_with_its_connection() {
    let mut story = Story::of_two();
    let mut told = None;
    let frame = Frame {
        line: LineId(1),
        session: SessionId(2),
        ordinal: 1,
        received: None,
        text: r#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}"#.into(),
    };
    story.pipeline.step(&Input::Frame(frame), &mut |event| {
        if let Event::Shutdown { session } = event {
            told = Some(session);
        }
    });
    assert_eq!(told, Some(SessionId(2)));
}

proptest! {
    /// Two connections lose, delay and break as they like: as long as every id comes over one of them within the grace,
    /// every trade is told once and in order, and there is no hole.
    #[test]
    fn whatever_one_of_two_brings_in_time_is_never_missed(
        fates in prop::collection::vec((0u8..4, 0u64..200), 1..200),
    ) {
        let (mut arrivals, mut late) = (Vec::new(), 0);
        for (at, (fate, delay)) in fates.iter().enumerate() {
            let (id, sent) = (at as i64 + 1, at as u64 * MS);
            // The first is kept by both, so that both have begun.
            let over = if at == 0 { 0 } else { *fate };
            if over != 1 {
                arrivals.push((sent, 1, id));
            }
            if over != 2 {
                // A connection keeps its own order.
                late = late.max(sent + delay * MS);
                arrivals.push((late, 2, id));
            }
        }
        arrivals.sort_by_key(|(at, session, id)| (*at, *session == 2, *id));
        let mut story = Story::of_two();
        for (at, session, id) in arrivals {
            story.now = at;
            if story.pipeline.tick_due().is_some_and(|due| due <= at) {
                story.step(&Input::Tick(story.stamp()));
            }
            story.frame("BTCUSDT", session, id);
        }
        let expected: Vec<String> = (1..=fates.len()).map(|id| id.to_string()).collect();
        let trades: Vec<String> = story.told.iter().filter(|told| !told.contains(' ')).cloned().collect();
        prop_assert_eq!(trades, expected);
        prop_assert_eq!(story.pipeline.sequence_counts().gaps, 0);
    }
}
