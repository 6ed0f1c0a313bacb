//! Frames in the exchange's shapes, with values of our own.

use std::borrow::Cow;

use super::Message;
use crate::trade::{AggTrade, Aggressor};
use crate::units::{AggTradeId, Price, Qty, UnixMillis};

/// Every shape the exchange is known to write, by name.
pub(super) const SHAPES: [(&str, &str); 11] = [
    (
        "usdm, wrapped",
        r#"{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1700000000123,"a":2000000001,"s":"BTCUSDT","p":"37123.40","q":"0.015","f":4200000001,"l":4200000003,"T":1700000000045,"m":true}}"#,
    ),
    (
        "usdm, wrapped, nq",
        r#"{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1700000000123,"a":2000000001,"s":"BTCUSDT","p":"37123.40","q":"0.015","nq":"0.010","f":4200000001,"l":4200000003,"T":1700000000045,"m":true}}"#,
    ),
    (
        "usdm, wrapped, nq and st",
        r#"{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1700000000123,"a":2000000001,"s":"BTCUSDT","p":"37123.40","q":"0.015","nq":"0.010","f":4200000001,"l":4200000003,"T":1700000000045,"m":true,"st":1}}"#,
    ),
    (
        "usdm, bare, nq and st",
        r#"{"e":"aggTrade","E":1700000000123,"a":2000000001,"s":"BTCUSDT","p":"37123.40","q":"0.015","nq":"0.010","f":4200000001,"l":4200000003,"T":1700000000045,"m":true,"st":1}"#,
    ),
    (
        "usdm, wrapped, the documents' order",
        r#"{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1700000000123,"s":"BTCUSDT","a":2000000001,"p":"37123.40","q":"0.015","nq":"0.010","f":4200000001,"l":4200000003,"T":1700000000045,"m":true}}"#,
    ),
    (
        "usdm, wrapped, first trade of a listing",
        r#"{"stream":"1000xusdt@aggTrade","data":{"e":"aggTrade","E":1700000000123,"a":1,"s":"1000XUSDT","p":"7","q":"1200","f":1,"l":1,"T":1700000000045,"m":false}}"#,
    ),
    (
        "usdm, wrapped, a symbol beyond ASCII",
        r#"{"stream":"币安人生usdt@aggTrade","data":{"e":"aggTrade","E":1700000000123,"a":17,"s":"币安人生USDT","p":"0.1720400","q":"58","nq":"58","f":1,"l":1,"T":1700000000045,"m":false}}"#,
    ),
    (
        "coinm, wrapped, st",
        r#"{"stream":"btcusd_perp@aggTrade","data":{"e":"aggTrade","E":1700000000123,"a":900000001,"s":"BTCUSD_PERP","p":"37123.4","q":"12","f":1200000001,"l":1200000001,"T":1700000000045,"m":false,"st":2}}"#,
    ),
    (
        "spot, wrapped",
        r#"{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1700000000123,"s":"BTCUSDT","a":3000000001,"p":"37123.40000000","q":"0.01500000","f":5200000001,"l":5200000003,"T":1700000000045,"m":true,"M":true}}"#,
    ),
    (
        "spot, bare",
        r#"{"e":"aggTrade","E":1700000000123,"s":"BTCUSDT","a":0,"p":"37123.40000000","q":"0.01500000","f":0,"l":3,"T":1700000000045,"m":true,"M":false}"#,
    ),
    (
        "spot, wrapped, microseconds",
        r#"{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1700000000123456,"s":"BTCUSDT","a":3000000001,"p":"37123.40000000","q":"0.01500000","f":5200000001,"l":5200000003,"T":1700000000045678,"m":true,"M":true}}"#,
    ),
];

/// What the shapes of BTCUSDT on USDⓈ-M with `nq` say.
pub(super) fn trade() -> Message<'static> {
    Message::Trade {
        symbol: Cow::Borrowed("BTCUSDT"),
        trade: AggTrade {
            id: AggTradeId(2_000_000_001),
            price: Price::from_units(3_712_340_000_000),
            qty: Qty::from_units(1_500_000),
            qty_without_rpi: Some(Qty::from_units(1_000_000)),
            first_trade_id: 4_200_000_001,
            last_trade_id: 4_200_000_003,
            traded_at: UnixMillis(1_700_000_000_045),
            event_at: Some(UnixMillis(1_700_000_000_123)),
            aggressor: Aggressor::Seller,
        },
    }
}
