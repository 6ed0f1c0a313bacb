//! Bytes: WebSocket frames of a server, frames of a client, and an aggTrade as JSON.
//!
//! The exchange frames by hand so that it can write thousands of trades with one call, and break every rule
//! when a script says so.

use crate::snapshot::Market;
use crate::trade::{AggTrade, Aggressor};
use crate::units::DecimalText;

use super::market::Listing;

/// A client's message longer than this ends the connection.
const MAX_CLIENT_PAYLOAD: usize = 64 * 1024;

pub(super) const TEXT: u8 = 0x1;
pub(super) const BINARY: u8 = 0x2;
pub(super) const CLOSE: u8 = 0x8;
pub(super) const PING: u8 = 0x9;
pub(super) const PONG: u8 = 0xA;

/// Appends the head of an unmasked, final frame.
pub(super) fn push_head(out: &mut Vec<u8>, opcode: u8, len: usize) {
    out.push(0x80 | opcode);
    match len {
        0..=125 => out.push(len as u8),
        126..=0xFFFF => {
            out.push(126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// Appends a whole unmasked, final frame.
pub(super) fn push_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    push_head(out, opcode, payload.len());
    out.extend_from_slice(payload);
}

/// Appends a close frame; a reason beyond 123 bytes is cut at a character.
pub(super) fn push_close(out: &mut Vec<u8>, code: u16, reason: &str) {
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    push_head(out, CLOSE, 2 + end);
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(&reason.as_bytes()[..end]);
}

/// A frame of a client, unmasked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClientFrame {
    pub(super) opcode: u8,
    pub(super) payload: Vec<u8>,
}

/// Takes the next whole frame off the front of what was read; `Ok(None)` if it is not all there yet.
pub(super) fn take_frame(read: &mut Vec<u8>) -> Result<Option<ClientFrame>, &'static str> {
    let [first, second, ..] = read[..] else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err("a frame with reserved bits");
    }
    if first & 0x80 == 0 || first & 0x0F == 0 {
        return Err("a fragmented message");
    }
    if second & 0x80 == 0 {
        return Err("an unmasked frame");
    }
    let (len, head) = match second & 0x7F {
        126 => match read.get(2..4) {
            Some(bytes) => (usize::from(u16::from_be_bytes([bytes[0], bytes[1]])), 4),
            None => return Ok(None),
        },
        127 => return Err("a message of more than 64 KiB"),
        len => (usize::from(len), 2),
    };
    if len > MAX_CLIENT_PAYLOAD {
        return Err("a message of more than 64 KiB");
    }
    if read.len() < head + 4 + len {
        return Ok(None);
    }
    let mask = [read[head], read[head + 1], read[head + 2], read[head + 3]];
    let masked = &read[head + 4..head + 4 + len];
    let payload = masked.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]).collect();
    read.drain(..head + 4 + len);
    Ok(Some(ClientFrame { opcode: first & 0x0F, payload }))
}

/// Appends the aggTrade event as the stream of `market` sends it.
pub(super) fn push_event(out: &mut Vec<u8>, market: Market, listing: &Listing, trade: &AggTrade) {
    let event_at = trade.event_at.unwrap_or(trade.traded_at);
    push_field(out, "{\"e\":\"aggTrade\",\"E\":", event_at.0);
    push_field(out, ",\"a\":", trade.id.0);
    push_text(out, ",\"s\":\"", listing.symbol.as_str());
    out.extend_from_slice(b"\",");
    push_rest_of_trade(out, market, listing, trade);
    out.extend_from_slice(match market {
        Market::UsdM => b",\"st\":1}",
        Market::CoinM => b",\"st\":2}",
        Market::Spot => b",\"M\":true}",
    });
}

/// Appends one row of a REST page.
pub(super) fn push_row(out: &mut Vec<u8>, market: Market, listing: &Listing, trade: &AggTrade) {
    push_field(out, "{\"a\":", trade.id.0);
    out.push(b',');
    push_rest_of_trade(out, market, listing, trade);
    out.extend_from_slice(if market == Market::Spot { b",\"M\":true}" } else { b"}" });
}

fn push_rest_of_trade(out: &mut Vec<u8>, market: Market, listing: &Listing, trade: &AggTrade) {
    // Voided rows show a plain zero.
    let voided = trade.last_trade_id < 0;
    let (price_decimals, qty_decimals) =
        if voided { (0, 0) } else { (listing.price_decimals, listing.qty_decimals) };
    push_decimal(out, "\"p\":\"", trade.price.units(), price_decimals);
    push_decimal(out, "\",\"q\":\"", trade.qty.units(), qty_decimals);
    if let (Market::UsdM, Some(qty)) = (market, trade.qty_without_rpi) {
        push_decimal(out, "\",\"nq\":\"", qty.units(), qty_decimals);
    }
    push_field(out, "\",\"f\":", trade.first_trade_id);
    push_field(out, ",\"l\":", trade.last_trade_id);
    push_field(out, ",\"T\":", trade.traded_at.0);
    let maker = if trade.aggressor == Aggressor::Seller { "true" } else { "false" };
    push_text(out, ",\"m\":", maker);
}

fn push_text(out: &mut Vec<u8>, key: &str, text: &str) {
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn push_field(out: &mut Vec<u8>, key: &str, number: i64) {
    push_text(out, key, itoa::Buffer::new().format(number));
}

fn push_decimal(out: &mut Vec<u8>, key: &str, units: i64, decimals: usize) {
    push_text(out, key, DecimalText::new().fixed(i128::from(units), decimals));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{AggTradeId, Price, Qty, Symbol, UnixMillis};

    fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x80 | opcode];
        match payload.len() {
            len @ 0..=125 => bytes.push(0x80 | len as u8),
            len => {
                bytes.push(0x80 | 126);
                bytes.extend_from_slice(&(len as u16).to_be_bytes());
            }
        }
        let mask = [1, 2, 3, 4];
        bytes.extend_from_slice(&mask);
        bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
        bytes
    }

    #[test]
    fn a_client_frame_is_read_whole_whatever_the_pieces() {
        let payload = vec![b'x'; 300];
        let bytes = [masked(PING, b"12"), masked(TEXT, &payload)].concat();
        let (mut read, mut frames) = (Vec::new(), Vec::new());
        for byte in bytes {
            read.push(byte);
            frames.extend(take_frame(&mut read).unwrap());
        }
        assert_eq!(frames[0], ClientFrame { opcode: PING, payload: b"12".to_vec() });
        assert_eq!(frames[1], ClientFrame { opcode: TEXT, payload });
        assert!(frames.len() == 2 && read.is_empty());
    }

    #[test]
    fn a_client_that_breaks_the_protocol_is_told_apart() {
        for (bytes, reason) in [
            (vec![0x81, 0x01, b'x'], "an unmasked frame"),
            (vec![0xC1, 0x80], "a frame with reserved bits"),
            (vec![0x01, 0x80], "a fragmented message"),
            (vec![0x81, 0xFF], "a message of more than 64 KiB"),
        ] {
            assert_eq!(take_frame(&mut bytes.clone()), Err(reason));
        }
    }

    #[test]
    fn an_event_reads_like_the_exchanges() {
        let listing = Listing::new(Symbol::new("BTCUSDT").unwrap());
        let trade = AggTrade {
            id: AggTradeId(3_339_472_008),
            price: Price::from_units(6_433_920_000_000),
            qty: Qty::from_units(12_300_000),
            qty_without_rpi: Some(Qty::from_units(12_300_000)),
            first_trade_id: 7_786_568_797,
            last_trade_id: 7_786_568_801,
            traded_at: UnixMillis(1_781_416_438_926),
            event_at: Some(UnixMillis(1_781_416_439_080)),
            aggressor: Aggressor::Seller,
        };
        let event = |market| {
            let mut out = Vec::new();
            push_event(&mut out, market, &listing, &trade);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            event(Market::UsdM),
            "{\"e\":\"aggTrade\",\"E\":1781416439080,\"a\":3339472008,\"s\":\"BTCUSDT\",\"p\":\"64339.20\",\
             \"q\":\"0.123\",\"nq\":\"0.123\",\"f\":7786568797,\"l\":7786568801,\"T\":1781416438926,\"m\":true,\"st\":1}"
        );
        assert!(event(Market::Spot).ends_with("\"T\":1781416438926,\"m\":true,\"M\":true}"));
        assert!(!event(Market::CoinM).contains("nq"));
    }
}
