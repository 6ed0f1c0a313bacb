//! Inputs of every kind, for property tests.

use proptest::prelude::*;

use crate::feed::{Frame, LineId, LinkChange, LinkEvent, SessionId, ShardId};
use crate::repair::{Answer, GiveUpReason, Reply};
use crate::snapshot::{Instrument, Market, Stamp};
use crate::source::{Arrival, Departure, DepartureReason, Input, Note, RosterChange, Seat, Surroundings};
use crate::trade::{AggTrade, Aggressor};
use crate::units::{AggTradeId, IdRange, Price, Qty, Symbol, UnixMillis};

pub(crate) fn stamp() -> impl Strategy<Value = Stamp> {
    (any::<i64>(), any::<u64>()).prop_map(|(wall_ns, mono_ns)| Stamp { wall_ns, mono_ns })
}

/// Texts as they come, and as they should never come.
pub(crate) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just(r#"{"e":"aggTrade","E":1700000000123,"s":"BTCUSDT","p":"64339.20","m":true}"#.to_owned()),
        1 => "[\"\\\\{}a-z币\u{0}-\u{20}\u{7f}\u{2028}𝄞]{0,60}",
        1 => any::<String>(),
    ]
}

fn trade() -> impl Strategy<Value = AggTrade> {
    let units = || prop_oneof![0..=i64::MAX, -1_000_000_000..0_i64, Just(i64::MIN + 1)];
    let ids = (any::<i64>(), any::<i64>(), any::<i64>());
    let times = (any::<i64>(), any::<Option<i64>>());
    let amounts = (units(), units(), proptest::option::of(units()));
    (ids, times, amounts, any::<bool>()).prop_map(|((a, f, l), (traded, event), (p, q, nq), m)| AggTrade {
        id: AggTradeId(a),
        price: Price::from_units(p),
        qty: Qty::from_units(q),
        qty_without_rpi: nq.map(Qty::from_units),
        first_trade_id: f,
        last_trade_id: l,
        traded_at: UnixMillis(traded),
        event_at: event.map(UnixMillis),
        aggressor: Aggressor::from_buyer_is_maker(m),
    })
}

fn answer() -> impl Strategy<Value = Answer> {
    let reason = prop_oneof![Just(GiveUpReason::Deadline), Just(GiveUpReason::Refused)];
    let given_up = (any::<i64>(), any::<i64>(), reason)
        .prop_map(|(a, b, reason)| Answer::GaveUp { ids: IdRange::new(a.min(b), a.max(b)), reason });
    prop_oneof![
        proptest::collection::vec(trade(), 0..4).prop_map(Answer::Trades),
        any::<i64>().prop_map(|id| Answer::Newest(AggTradeId(id))),
        any::<i64>().prop_map(|id| Answer::Confirm(AggTradeId(id))),
        given_up,
    ]
}

fn instrument() -> impl Strategy<Value = Instrument> {
    let symbol = prop_oneof![Just("BTCUSDT"), Just("BTCUSD_PERP"), Just("币安人生USDT")];
    (prop::sample::select(&Market::ALL), symbol)
        .prop_map(|(market, symbol)| Instrument::new(market, Symbol::new(symbol).expect("a symbol")))
}

fn roster() -> impl Strategy<Value = RosterChange> {
    let joined = prop_oneof![Just(Arrival::Asked), Just(Arrival::Listed)];
    let seat = (instrument(), any::<u16>(), any::<Option<u32>>(), any::<bool>(), joined).prop_map(
        |(instrument, shard, contract_size, is_moving, joined)| {
            let shard = ShardId(shard);
            Seat { instrument, shard, contract_size, is_moving, joined }
        },
    );
    let why = prop_oneof![Just(DepartureReason::Removed), Just(DepartureReason::Delisted)];
    let departure = (instrument(), why).prop_map(|(instrument, why)| Departure { instrument, why });
    let seats = proptest::collection::vec(seat, 0..4);
    (stamp(), seats, proptest::collection::vec(departure, 0..3)).prop_map(|(at, seats, ended)| RosterChange {
        at,
        seats,
        ended,
    })
}

/// Any input that a live run can have.
pub(crate) fn input() -> impl Strategy<Value = Input> {
    let place =
        || (any::<u16>(), any::<u64>()).prop_map(|(line, session)| (LineId(line), SessionId(session)));
    let frame = (place(), any::<u64>(), proptest::option::of(stamp()), text()).prop_map(
        |((line, session), ordinal, received, text)| {
            Input::Frame(Frame { line, session, ordinal, received, text: text.into() })
        },
    );
    let change = prop_oneof![Just(LinkChange::Opened), Just(LinkChange::Closed)];
    let link = (place(), stamp(), change)
        .prop_map(|((line, session), at, change)| Input::Link(LinkEvent { line, session, at, change }));
    let evicted = (any::<u64>(), any::<u64>())
        .prop_map(|(session, frames)| Input::Evicted { session: SessionId(session), frames });
    let around = (proptest::option::of(text()), any::<i64>()).prop_map(|(trouble, offset_ms)| {
        Note::Around(Surroundings { shard: ShardId(1), ended: None, trouble, offset_ms })
    });
    let listed = text().prop_map(|status| Note::Listed {
        market: Market::Spot,
        not_trading: [(Symbol::new("币安人生USDT").expect("a symbol"), status)].into(),
        unlisted: [Symbol::new("BTCUSDT").expect("a symbol")].into(),
    });
    let note = prop_oneof![stamp().prop_map(Note::Second), around, listed].prop_map(Input::Note);
    let reply = (any::<usize>(), stamp(), answer())
        .prop_map(|(lane, at, answer)| Input::Reply(Reply { lane, at, answer }));
    prop_oneof![
        6 => frame,
        1 => stamp().prop_map(Input::Tick),
        1 => link,
        1 => evicted,
        2 => reply,
        1 => note,
        1 => roster().prop_map(Input::Roster),
    ]
}

/// The frame of that ordinal, as the exchange would send it.
pub(crate) fn frame(ordinal: u64) -> Input {
    let at = 1_795_266_000_000_000_000 + i64::try_from(ordinal).unwrap() * 20_000_000;
    let text = format!(
        r#"{{"e":"aggTrade","E":{at},"s":"BTCUSDT","a":{ordinal},"p":"64339.20","q":"0.0{}","m":{}}}"#,
        ordinal % 97,
        ordinal.is_multiple_of(3),
        at = at / 1_000_000
    );
    let received = Some(Stamp { wall_ns: at, mono_ns: ordinal * 20_000_000 });
    Input::Frame(Frame { line: LineId(0), session: SessionId(1), ordinal, received, text: text.into() })
}

/// What an input says, for comparing.
pub(crate) fn said(input: &Input) -> String {
    format!("{input:?}")
}
