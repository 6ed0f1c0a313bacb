//! First layer: the exchange's own literal shapes, in one pass. Whatever deviates in any way is left to the
//! next layer, which starts afresh.

use std::borrow::Cow;

use super::{Message, ascii_symbol, digits};
use crate::trade::{AggTrade, Aggressor};
use crate::units::{AggTradeId, Price, Qty, Symbol, UnixMillis};

/// Reads a trade if `text` is written exactly as the exchange writes it, without a space anywhere:
///
/// - wrapped in `{"stream":"…","data":{…}}` or bare;
/// - futures `e E a s p q [nq] f l T m [st]`, spot `e E s a p q [nq] f l T m [M] [st]`.
#[inline]
pub(super) fn read(text: &[u8]) -> Option<Message<'_>> {
    let (wrapped, rest) = match text.strip_prefix(b"{\"stream\":\"") {
        Some(rest) => (true, after(string(rest)?.1, b",\"data\":{")?),
        None => (false, after(text, b"{")?),
    };
    let (event_at, rest) = digits::integer(after(rest, b"\"e\":\"aggTrade\",\"E\":")?)?;
    let (id, symbol, rest) = if let Some(rest) = after(rest, b",\"a\":") {
        let (id, rest) = digits::integer(rest)?;
        let (symbol, rest) = string(after(rest, b",\"s\":\"")?)?;
        (id, symbol, rest)
    } else {
        let (symbol, rest) = string(after(rest, b",\"s\":\"")?)?;
        let (id, rest) = digits::integer(after(rest, b",\"a\":")?)?;
        (id, symbol, rest)
    };
    if !ascii_symbol(symbol) && !Symbol::is_symbol(symbol) {
        return None;
    }
    let (price, rest) = digits::decimal(after(rest, b",\"p\":\"")?)?;
    let (qty, rest) = digits::decimal(after(rest, b"\",\"q\":\"")?)?;
    let (qty_without_rpi, rest) = match after(rest, b"\",\"nq\":\"") {
        Some(rest) => digits::decimal(rest).map(|(qty, rest)| (Some(Qty::from_units(qty)), rest))?,
        None => (None, rest),
    };
    let (first_trade_id, rest) = digits::integer(after(rest, b"\",\"f\":")?)?;
    let (last_trade_id, rest) = digits::integer(after(rest, b",\"l\":")?)?;
    let (traded_at, rest) = digits::integer(after(rest, b",\"T\":")?)?;
    let (buyer_is_maker, mut rest) = boolean(after(rest, b",\"m\":")?)?;
    if let Some(ignored) = after(rest, b",\"M\":") {
        rest = boolean(ignored)?.1;
    }
    if let Some(ignored) = after(rest, b",\"st\":") {
        rest = digits::integer(ignored)?.1;
    }
    if rest != if wrapped { &b"}}"[..] } else { &b"}"[..] } {
        return None;
    }
    Some(Message::Trade {
        symbol: Cow::Borrowed(symbol),
        trade: AggTrade {
            id: AggTradeId(id),
            price: Price::from_units(price),
            qty: Qty::from_units(qty),
            qty_without_rpi,
            first_trade_id,
            last_trade_id,
            traded_at: UnixMillis::from_exchange(traded_at),
            event_at: Some(UnixMillis::from_exchange(event_at)),
            aggressor: Aggressor::from_buyer_is_maker(buyer_is_maker),
        },
    })
}

#[inline(always)]
fn after<'a, const N: usize>(text: &'a [u8], literal: &[u8; N]) -> Option<&'a [u8]> {
    let (head, rest) = text.split_first_chunk::<N>()?;
    (head == literal).then_some(rest)
}

/// A string without escapes whose opening quote is behind us, and what follows its closing quote.
#[inline(always)]
fn string(text: &[u8]) -> Option<(&str, &[u8])> {
    let (string, rest) = text.split_at_checked(digits::string_len(text)?)?;
    Some((std::str::from_utf8(string).ok()?, after(rest, b"\"")?))
}

#[inline(always)]
fn boolean(text: &[u8]) -> Option<(bool, &[u8])> {
    match after(text, b"true") {
        Some(rest) => Some((true, rest)),
        None => Some((false, after(text, b"false")?)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{SHAPES, trade};
    use super::*;

    #[test]
    fn every_shape_of_the_exchange_is_read_by_the_first_layer() {
        for (name, text) in SHAPES {
            assert!(matches!(read(text.as_bytes()), Some(Message::Trade { .. })), "{name}");
        }
    }

    #[test]
    fn the_fields_go_where_they_belong() {
        let text = SHAPES.iter().find(|(name, _)| *name == "usdm, wrapped, nq and st").unwrap().1;
        assert_eq!(read(text.as_bytes()), Some(trade()));
    }

    #[test]
    fn any_deviation_is_left_to_the_next_layer() {
        for (name, text) in SHAPES {
            for at in 0..text.len() {
                assert_eq!(read(&text.as_bytes()[..at]), None, "{name} cut at {at}");
                if !text.is_char_boundary(at) {
                    continue;
                }
                let (head, tail) = text.split_at(at);
                // A space is harmless text in a stream's name only.
                if !(head.starts_with("{\"stream\":\"") && !head.contains("\",") && at > 10) {
                    assert_eq!(read(format!("{head} {tail}").as_bytes()), None, "{name} space at {at}");
                }
            }
            assert_eq!(read(format!("{text} ").as_bytes()), None);
            assert_eq!(read(format!("{text}}}").as_bytes()), None);
        }
    }
}
