//! A trade as temporary files hold it.

use std::io::{self, Read};

use crate::trade::{AggTrade, Aggressor};
use crate::units::{AggTradeId, Price, Qty, UnixMillis};

/// Bytes of a row.
pub(super) const LENGTH: u64 = SIZE as u64;
const SIZE: usize = 8 * 8 + 1;

const BUYER: u8 = 1;
const WITHOUT_RPI: u8 = 2;
const EVENT: u8 = 4;

pub(super) fn write(trade: &AggTrade, into: &mut Vec<u8>) {
    let integers = [
        trade.id.0,
        trade.price.units(),
        trade.qty.units(),
        trade.first_trade_id,
        trade.last_trade_id,
        trade.traded_at.0,
        trade.qty_without_rpi.map_or(0, Qty::units),
        trade.event_at.map_or(0, |at| at.0),
    ];
    for integer in integers {
        into.extend_from_slice(&integer.to_le_bytes());
    }
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    into.push(
        flag(trade.aggressor == Aggressor::Buyer, BUYER)
            | flag(trade.qty_without_rpi.is_some(), WITHOUT_RPI)
            | flag(trade.event_at.is_some(), EVENT),
    );
}

/// The next row; `None` at the end.
pub(super) fn read(from: &mut impl Read) -> io::Result<Option<AggTrade>> {
    let mut bytes = [0; SIZE];
    let mut filled = 0;
    while filled < SIZE {
        match from.read(&mut bytes[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut integers = [0i64; 8];
    for (integer, bytes) in integers.iter_mut().zip(bytes.as_chunks().0) {
        *integer = i64::from_le_bytes(*bytes);
    }
    let [id, price, qty, first_trade_id, last_trade_id, traded_at, without_rpi, event_at] = integers;
    let has = |flag| bytes[SIZE - 1] & flag != 0;
    Ok(Some(AggTrade {
        id: AggTradeId(id),
        price: Price::from_units(price),
        qty: Qty::from_units(qty),
        qty_without_rpi: has(WITHOUT_RPI).then_some(Qty::from_units(without_rpi)),
        first_trade_id,
        last_trade_id,
        traded_at: UnixMillis(traded_at),
        event_at: has(EVENT).then_some(UnixMillis(event_at)),
        aggressor: if has(BUYER) { Aggressor::Buyer } else { Aggressor::Seller },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::sort::samples::trade;

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let plain = trade(7, 8);
        let full = AggTrade {
            qty_without_rpi: Some(Qty::from_units(0)),
            event_at: Some(UnixMillis(-1)),
            aggressor: Aggressor::Buyer,
            first_trade_id: -1,
            ..plain
        };
        let mut bytes = Vec::new();
        write(&plain, &mut bytes);
        write(&full, &mut bytes);
        assert_eq!(bytes.len() as u64, 2 * LENGTH);
        let mut from = bytes.as_slice();
        assert_eq!(read(&mut from).unwrap(), Some(plain));
        assert_eq!(read(&mut from).unwrap(), Some(full));
        assert_eq!(read(&mut from).unwrap(), None);
        assert!(read(&mut &bytes[..9]).is_err());
    }
}
