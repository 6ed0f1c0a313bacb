use super::*;
use crate::snapshot::TradeSource;
use crate::trade::Aggressor;
use crate::units::{Price, Qty};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// A trade that happens `id` milliseconds after the beginning.
fn trade(id: i64) -> AggTrade {
    AggTrade {
        id: AggTradeId(id),
        price: Price::from_units(100_000_000),
        qty: Qty::from_units(id % 1_000 + 1),
        qty_without_rpi: None,
        first_trade_id: id,
        last_trade_id: id,
        traded_at: UnixMillis(id),
        event_at: None,
        aggressor: Aggressor::Buyer,
    }
}

fn at(id: i64, ms: i64) -> AggTrade {
    AggTrade { traded_at: UnixMillis(ms), ..trade(id) }
}

struct Told {
    sequence: Sequence,
    story: Vec<String>,
    delivered: Vec<i64>,
}

impl Told {
    fn new(repairs: bool, hold: usize) -> Self {
        Self { sequence: Sequence::new(repairs, hold), story: Vec::new(), delivered: Vec::new() }
    }

    fn trade(&mut self, trade: AggTrade) -> &mut Self {
        if self.sequence.in_order(&trade) {
            self.delivered.push(trade.id.0);
            self.story.push(trade.id.0.to_string());
        } else {
            let arrival = Arrival { trade, source: TradeSource::Stream, received: None };
            self.sequence.offer(arrival, GapCause::Wire, None);
            self.drain();
        }
        self
    }

    fn ids(&mut self, ids: impl IntoIterator<Item = i64>) -> &mut Self {
        ids.into_iter().for_each(|id| _ = self.trade(trade(id)));
        self
    }

    fn page(&mut self, ids: impl IntoIterator<Item = i64>) -> &mut Self {
        for id in ids {
            let arrival = Arrival { trade: trade(id), source: TradeSource::Rest, received: None };
            self.sequence.begin_page(IdRange::new(id, id));
            self.sequence.offer_repair(arrival);
            self.drain();
        }
        self
    }

    fn with(&mut self, change: impl FnOnce(&mut Sequence)) -> &mut Self {
        change(&mut self.sequence);
        self.drain();
        self
    }

    fn drain(&mut self) {
        while let Some(step) = self.sequence.next_step() {
            let hole = |name, change: Change| format!("{name} {} ({})", change.ids, change.trades);
            self.story.push(match step {
                Step::Trade(arrival) => {
                    self.delivered.push(arrival.trade.id.0);
                    arrival.trade.id.0.to_string()
                }
                Step::Opened(change) => hole("opened", change),
                Step::Repaired(change) => hole("repaired", change),
                Step::Unrepaired(change) => hole("unrepaired", change),
                Step::Discarded { trades } => format!("discarded {trades}"),
                Step::Conflict { kept, .. } => format!("conflict {}", kept.id),
                Step::Reset => "reset".into(),
            });
        }
    }

    fn story(&mut self) -> String {
        std::mem::take(&mut self.story).join(", ")
    }
}

#[test]
fn a_hole_is_filled_before_anything_behind_it_moves() {
    let mut told = Told::new(true, 100);
    assert_eq!(told.ids([10, 11, 14, 15]).story(), "10, 11, opened 12 to 13 (2)");
    assert_eq!((told.sequence.quality(), told.sequence.held()), (Quality::Repairing, 2));
    assert_eq!(told.page([12]).story(), "12");
    assert_eq!(told.page([13, 14]).story(), "repaired 12 to 13 (2), 13, 14, 15");
    assert_eq!(told.sequence.quality(), Quality::Complete);
    assert_eq!(told.ids([16]).story(), "16");
    assert!(told.sequence.in_order(&trade(17)), "nothing is the matter any more");
    let counts = told.sequence.counts();
    assert_eq!((counts.gaps, counts.repaired, counts.missing, counts.duplicates), (1, 2, 0, 0));
}

#[test]
fn trades_out_of_order_fill_the_hole_themselves() {
    let mut told = Told::new(true, 100);
    assert_eq!(
        told.ids([1, 5, 3, 4, 2, 6]).story(),
        "1, opened 2 to 4 (3), repaired 2 to 3 (2), repaired 4 to 4 (1), 2, 3, 4, 5, 6"
    );
}

#[test]
fn what_is_given_up_is_named_in_its_place_and_counted() {
    let mut told = Told::new(true, 100);
    told.ids([1, 4, 7]).story();
    assert_eq!(
        told.with(|ids| ids.give_up(IdRange::new(5, 6))).story(),
        "",
        "an earlier hole is still waited for"
    );
    assert_eq!(told.page([2]).story(), "2");
    assert_eq!(
        told.with(|ids| ids.give_up(IdRange::new(1, 4))).story(),
        "repaired 2 to 3 (1), unrepaired 3 to 3 (1), 4, unrepaired 5 to 6 (2), 7"
    );
    assert_eq!((told.sequence.missing(), told.sequence.quality()), (3, Quality::Missing));
    assert_eq!(told.ids([3, 5]).story(), "", "too late");
    assert_eq!(told.sequence.counts().duplicates, 2);
}

#[test]
fn without_repair_a_hole_is_given_up_as_it_is_found() {
    let mut told = Told::new(false, 100);
    assert_eq!(told.ids([1, 5, 6, 5]).story(), "1, opened 2 to 4 (3), unrepaired 2 to 4 (3), 5, 6");
}

#[test]
fn a_repetition_is_counted_and_a_contradiction_told_and_the_first_stays() {
    let mut told = Told::new(true, 100);
    told.ids(1..=200).story();
    assert_eq!(told.ids([200, 150, 3]).story(), "");
    let forged = AggTrade { qty: Qty::from_units(7), ..trade(180) };
    assert_eq!(told.trade(forged).story(), "conflict 180");
    let counts = told.sequence.counts();
    assert_eq!((counts.duplicates, counts.conflicts), (4, 1));
    // A held one too, and against REST.
    told.ids([203]).story();
    assert_eq!(told.trade(AggTrade { qty: Qty::from_units(7), ..trade(203) }).story(), "conflict 203");
    let arrival = |trade| Arrival { trade, source: TradeSource::Rest, received: None };
    let forged = AggTrade { price: Price::from_units(1), ..trade(200) };
    assert_eq!(told.with(|ids| ids.offer_repair(arrival(forged))).story(), "conflict 200");
    assert_eq!(told.sequence.counts().duplicates, 5, "what REST sends along is no repetition");
}

#[test]
fn a_full_hold_joins_the_hole() {
    let mut told = Told::new(true, 3);
    told.ids([1, 3, 4, 5]).story();
    assert_eq!(told.ids([6]).story(), "discarded 4, opened 2 to 6 (5)");
    assert_eq!(told.ids([7]).story(), "");
    assert_eq!(told.sequence.holes().map(|hole| hole.ids).collect::<Vec<_>>(), [IdRange::new(2, 6)]);
    assert_eq!(told.page(2..=6).story(), "2, 3, 4, 5, repaired 2 to 6 (5), 6, 7");
}

#[test]
fn an_absurd_id_is_held_until_its_neighbours_confirm_it() {
    let far = 2_000 + FAR;
    let mut told = Told::new(true, 100);
    told.ids([999, 1_000]).story();
    assert_eq!(told.ids([far, 1_001, far + 1]).story(), "1001");
    assert!(told.sequence.is_in_doubt());
    assert_eq!(told.ids([i64::MAX, 1_002]).story(), "1002");
    assert_eq!(told.sequence.counts().implausible, 3);
    assert_eq!(told.ids([far, far + 1]).story(), "");
    assert_eq!(told.ids([far + 2]).story(), format!("opened 1003 to {} ({})", far - 1, far - 1_003));
    assert_eq!(told.sequence.held(), 3);
}

#[test]
fn rest_confirms_or_denies_an_absurd_id() {
    let far = 2 * FAR;
    let mut told = Told::new(true, 100);
    told.ids([1, 2, far]).story();
    assert_eq!(told.with(|ids| ids.confirm(AggTradeId(3), GapCause::Wire, None)).story(), "");
    assert_eq!((told.sequence.is_in_doubt(), told.sequence.counts().implausible), (false, 1));
    told.ids([far]);
    let story = told.with(|ids| ids.confirm(AggTradeId(far), GapCause::Wire, None)).story();
    assert_eq!(story, format!("opened 3 to {} ({})", far - 1, far - 3));
}

#[test]
fn a_new_numbering_ends_the_epoch_once_three_ids_in_a_row_say_so() {
    let mut told = Told::new(true, 100);
    told.ids(1_000_000..1_000_100).story();
    assert_eq!(told.trade(at(1, 1_000_200)).trade(at(2, 1_000_201)).story(), "");
    assert_eq!(told.trade(at(3, 1_000_202)).story(), "reset, 1, 2, 3");
    assert_eq!(told.sequence.first_id(), Some(AggTradeId(1)));
    assert_eq!(told.trade(at(4, 1_000_203)).story(), "4");
    // What is missing of the old numbering cannot be had any more.
    told.trade(at(7, 1_000_300)).story();
    told.trade(at(1, 1_000_400)).trade(at(2, 1_000_401));
    assert_eq!(told.trade(at(3, 1_000_402)).story(), "unrepaired 5 to 6 (2), 7, reset, 1, 2, 3");
    assert_eq!(told.sequence.counts().resets, 2);
}

#[test]
fn a_new_numbering_begins_with_all_its_trades_however_few_may_wait() {
    let mut told = Told::new(true, 1);
    told.ids(1_000_000..1_000_100).story();
    (1..=5).for_each(|id| _ = told.trade(at(id, 1_000_099)));
    assert_eq!(told.trade(at(6, 1_000_200)).story(), "reset, 1, 2, 3, 4, 5, 6");
}

#[test]
fn old_trades_that_come_again_are_no_new_numbering() {
    let mut told = Told::new(true, 100);
    told.ids(1..=500).story();
    assert_eq!(told.ids(1..=500).story(), "");
    let counts = told.sequence.counts();
    assert_eq!((counts.duplicates, counts.resets, counts.conflicts), (500, 0, 0));
}

#[test]
fn ids_that_come_after_they_were_given_up_are_no_new_numbering() {
    let mut told = Told::new(true, 100);
    told.ids([1, 2]).story();
    told.with(|ids| ids.exists(AggTradeId(8), GapCause::Wire, None));
    told.with(|ids| ids.give_up(IdRange::new(3, 8))).story();
    assert_eq!(told.ids([3, 4, 5, 6, 7, 8, 9]).story(), "9");
    assert_eq!((told.sequence.counts().duplicates, told.sequence.counts().resets), (6, 0));
}

#[test]
fn a_jump_that_no_hole_can_be_is_a_new_numbering_and_rest_can_confirm_one_below() {
    let mut told = Told::new(true, 100);
    told.ids([1, 2]).story();
    let far = MAX_GAP + 10;
    assert_eq!(told.ids([far, far + 1, far + 2]).story(), format!("reset, {far}, {}, {}", far + 1, far + 2));
    told.trade(at(5, far + 10));
    let story = told.with(|ids| ids.confirm(AggTradeId(6), GapCause::Wire, None)).story();
    assert_eq!(story, "reset, 5");
}

#[test]
fn a_lost_tail_is_a_hole_once_rest_says_that_it_exists() {
    let mut told = Told::new(true, 100);
    told.ids([1, 2]).story();
    assert_eq!(told.with(|ids| ids.exists(AggTradeId(4), GapCause::Wire, None)).story(), "opened 3 to 4 (2)");
    assert_eq!(told.ids([7]).story(), "opened 5 to 6 (2)");
    assert_eq!(told.page([3, 4]).story(), "3, repaired 3 to 4 (2), 4");
    assert_eq!(told.page([5, 6]).story(), "5, repaired 5 to 6 (2), 6, 7");
    assert_eq!(told.with(|ids| ids.exists(AggTradeId(7), GapCause::Wire, None)).story(), "");
}

#[derive(Debug, Clone)]
enum Act {
    Stream(i64),
    Page(i64, i64),
    GiveUp(i64, i64),
    Exists(i64),
    Discard,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (0i64..60).prop_map(Act::Stream),
        3 => (0i64..60, 0i64..12).prop_map(|(from, n)| Act::Page(from, from + n)),
        1 => (0i64..60, 0i64..12).prop_map(|(from, n)| Act::GiveUp(from, from + n)),
        1 => (0i64..70).prop_map(Act::Exists),
        1 => Just(Act::Discard),
    ]
}

proptest! {
    /// Whatever comes in whatever order: ids go out once and ascending; each from the first to the last was either
    /// delivered or named as missing; the holes are exactly what is known to exist and has not come.
    #[test]
    fn every_id_goes_out_once_in_order_or_is_named(
        acts in prop::collection::vec(act(), 0..120), hold in 1usize..20,
    ) {
        let mut told = Told::new(true, hold);
        let mut named = BTreeSet::new();
        let mut known = -1;
        let mut told_repaired = 0;
        for act in acts {
            // All at one time, so that no id below the others can be a new numbering.
            let one_time = |id| AggTrade { traded_at: UnixMillis(5), ..trade(id) };
            match act {
                Act::Stream(id) => {
                    if told.sequence.first_id().is_none_or(|first| id > first.0) || known == -1 {
                        known = known.max(id);
                        told.trade(one_time(id));
                    }
                }
                Act::Page(from, to) => for id in from..=to {
                    let arrival = Arrival { trade: one_time(id), source: TradeSource::Rest, received: None };
                    told.with(|ids| ids.offer_repair(arrival));
                },
                Act::GiveUp(from, to) => _ = told.with(|ids| ids.give_up(IdRange::new(from, to))),
                Act::Exists(id) => {
                    if known >= 0 {
                        known = known.max(id);
                    }
                    told.with(|ids| ids.exists(AggTradeId(id), GapCause::Wire, None));
                }
                Act::Discard => _ = told.with(Sequence::discard_held),
            }
            for line in told.story.drain(..) {
                if line.starts_with("repaired ") {
                    let count = line.split(['(', ')']).nth(1).and_then(|count| count.parse::<u64>().ok());
                    told_repaired += count.expect("the line ends with a count");
                }
                if let Some(range) = line.strip_prefix("unrepaired ") {
                    let mut numbers = range.split([' ', '(']).filter_map(|word| word.parse::<i64>().ok());
                    let (from, to) = (numbers.next().unwrap(), numbers.next().unwrap());
                    prop_assert!((from..=to).all(|id| named.insert(id)), "{line}: named twice");
                }
            }
            prop_assert!(told.delivered.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", told.delivered);
            let delivered: BTreeSet<_> = told.delivered.iter().copied().collect();
            prop_assert!(delivered.is_disjoint(&named));
            prop_assert_eq!(told.sequence.missing(), named.len() as u64);
            if told.sequence.open_range().is_none() {
                prop_assert_eq!(told.sequence.counts().repaired, told_repaired, "the records and the counter agree");
            }
            if let (Some(first), Some(last)) = (told.sequence.first_id(), told.sequence.last_id()) {
                prop_assert!((first.0..=last.0).all(|id| delivered.contains(&id) || named.contains(&id)));
                let open = (last.0 + 1..=known).filter(|id| !told.sequence.held.contains_key(id));
                let given_up: Vec<_> = told.sequence.holes.wanted().collect();
                let wanted: Vec<_> =
                    given_up.iter().flat_map(|hole| hole.ids.from.0..=hole.ids.to.0).collect();
                let open: Vec<_> = open.collect();
                prop_assert!(wanted.iter().all(|id| open.contains(id)), "{wanted:?} of {open:?}");
                prop_assert_eq!(told.sequence.quality() == Quality::Repairing, !open.is_empty());
                prop_assert!(told.sequence.held() <= hold);
            }
        }
    }
}
