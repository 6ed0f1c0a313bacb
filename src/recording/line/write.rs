//! From an input to a line.

use crate::feed::{Frame, LinkChange, LinkEvent};
use crate::recording::json;
use crate::repair::{Answer, Reply};
use crate::snapshot::Stamp;
use crate::source::Input;
use crate::trade::{AggTrade, Aggressor};
use crate::units::DecimalText;

/// What the beginning of a frame's line takes at most, its end included.
const AROUND_TEXT: usize = 192;

/// Appends the line of an input, its line end included. What only files bring (rows, damaged lines, the beginning of a
/// recording) is no input of a live run: nothing is appended for it, and `false` is returned.
#[inline]
pub fn write(into: &mut Vec<u8>, input: &Input) -> bool {
    match input {
        Input::Frame(input) => frame(into, input),
        Input::Tick(at) => {
            into.extend_from_slice(b"{\"in\":\"tick\"");
            stamp(into, *at);
        }
        Input::Link(event) => link(into, event),
        Input::Evicted { session, frames } => {
            into.extend_from_slice(b"{\"in\":\"evicted\",\"session\":");
            integer(into, session.0);
            into.extend_from_slice(b",\"frames\":");
            integer(into, *frames);
        }
        Input::Reply(input) => reply(into, input),
        Input::Note(note) => {
            into.extend_from_slice(b"{\"in\":\"note\",\"note\":");
            let start = into.len();
            if serde_json::to_writer(&mut *into, note).is_err() {
                // Nothing in a note is impossible in JSON; if there ever is, the reader refuses the line by name.
                into.truncate(start);
            }
        }
        Input::Roster(change) => {
            into.extend_from_slice(b"{\"in\":\"roster\",\"roster\":");
            let start = into.len();
            if serde_json::to_writer(&mut *into, change).is_err() {
                into.truncate(start);
            }
        }
        Input::Rows(_) | Input::Damaged(_) | Input::Lost(_) | Input::Begin(_) => return false,
    }
    into.extend_from_slice(b"}\n");
    true
}

#[inline]
fn frame(into: &mut Vec<u8>, frame: &Frame) {
    into.reserve(2 * frame.text.len() + AROUND_TEXT);
    into.extend_from_slice(b"{\"in\":\"frame\",\"line\":");
    integer(into, frame.line.0);
    into.extend_from_slice(b",\"session\":");
    integer(into, frame.session.0);
    into.extend_from_slice(b",\"ordinal\":");
    integer(into, frame.ordinal);
    if let Some(received) = frame.received {
        stamp(into, received);
    }
    into.extend_from_slice(b",\"text\":");
    json::string(into, &frame.text);
}

fn link(into: &mut Vec<u8>, event: &LinkEvent) {
    into.extend_from_slice(b"{\"in\":\"link\",\"line\":");
    integer(into, event.line.0);
    into.extend_from_slice(b",\"session\":");
    integer(into, event.session.0);
    into.extend_from_slice(match event.change {
        LinkChange::Opened => b",\"change\":\"opened\"",
        LinkChange::Closed => b",\"change\":\"closed\"",
    });
    stamp(into, event.at);
}

fn reply(into: &mut Vec<u8>, reply: &Reply) {
    into.extend_from_slice(b"{\"in\":\"reply\",\"lane\":");
    integer(into, reply.lane);
    stamp(into, reply.at);
    match &reply.answer {
        Answer::Trades(trades) => {
            into.extend_from_slice(b",\"answer\":\"trades\",\"trades\":[");
            for (at, one) in trades.iter().enumerate() {
                if at > 0 {
                    into.push(b',');
                }
                trade(into, one);
            }
            into.push(b']');
        }
        Answer::Newest(id) => {
            into.extend_from_slice(b",\"answer\":\"newest\",\"id\":");
            integer(into, id.0);
        }
        Answer::Confirm(id) => {
            into.extend_from_slice(b",\"answer\":\"confirm\",\"id\":");
            integer(into, id.0);
        }
        Answer::GaveUp { ids, reason } => {
            into.extend_from_slice(b",\"answer\":\"gave_up\",\"from_id\":");
            integer(into, ids.from.0);
            into.extend_from_slice(b",\"to_id\":");
            integer(into, ids.to.0);
            into.extend_from_slice(b",\"reason\":");
            json::string(into, reason.as_str());
        }
    }
}

/// A trade with the names of the exchange.
fn trade(into: &mut Vec<u8>, trade: &AggTrade) {
    into.extend_from_slice(b"{\"a\":");
    integer(into, trade.id.0);
    into.extend_from_slice(b",\"p\":");
    decimal(into, trade.price.units());
    into.extend_from_slice(b",\"q\":");
    decimal(into, trade.qty.units());
    if let Some(without_rpi) = trade.qty_without_rpi {
        into.extend_from_slice(b",\"nq\":");
        decimal(into, without_rpi.units());
    }
    into.extend_from_slice(b",\"f\":");
    integer(into, trade.first_trade_id);
    into.extend_from_slice(b",\"l\":");
    integer(into, trade.last_trade_id);
    into.extend_from_slice(b",\"T\":");
    integer(into, trade.traded_at.0);
    if let Some(event_at) = trade.event_at {
        into.extend_from_slice(b",\"E\":");
        integer(into, event_at.0);
    }
    into.extend_from_slice(match trade.aggressor {
        Aggressor::Seller => b",\"m\":true}",
        Aggressor::Buyer => b",\"m\":false}",
    });
}

fn stamp(into: &mut Vec<u8>, at: Stamp) {
    into.extend_from_slice(b",\"wall_ns\":");
    integer(into, at.wall_ns);
    into.extend_from_slice(b",\"mono_ns\":");
    integer(into, at.mono_ns);
}

#[inline]
fn integer(into: &mut Vec<u8>, number: impl itoa::Integer) {
    into.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn decimal(into: &mut Vec<u8>, units: i64) {
    into.push(b'"');
    into.extend_from_slice(DecimalText::new().shortest(i128::from(units)).as_bytes());
    into.push(b'"');
}
