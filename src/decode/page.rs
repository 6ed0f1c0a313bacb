//! A page of trades as REST sends it: a JSON array of rows.

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, SeqAccess, Visitor};

use super::{Malformed, typed};
use crate::trade::AggTrade;

/// REST sends at most so many rows at once; more is not a page.
pub const MAX_ROWS: usize = 1_000;

/// Why a page cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageFault {
    /// Bytes that are not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// Not JSON, or cut short.
    #[error("not JSON, or cut short")]
    NotJson,
    /// Something else than an array.
    #[error("not a list of trades")]
    NotAList,
    /// More rows than [`MAX_ROWS`].
    #[error("more than 1000 rows")]
    TooManyRows,
    /// Something in the array that is no object.
    #[error("row {row} is not a trade")]
    NotATrade {
        /// Its place, from 1.
        row: usize,
    },
    /// A row that is not as the exchange writes it.
    #[error("row {row}: {reason}")]
    Row {
        /// Its place, from 1.
        row: usize,
        /// What is wrong with it, naming the field.
        reason: Malformed,
    },
}

/// Reads a page, in the order of its rows: `[{"a":…,"p":…,"q":…,"f":…,"l":…,"T":…,"m":…},…]` with `nq` where
/// there is one.
///
/// - Values are taken as strictly as those of a frame (see [`decode`](super::decode)), in any order; keys of no
///   meaning in a row, `M` and `s` among them, are ignored whatever their values.
/// - A row says nothing about when its event was generated: [`AggTrade::event_at`] is `None`.
/// - Whether the ids ascend is the caller's question.
///
/// # Errors
/// [`PageFault`] of the first row that cannot be read; a page is taken whole or not at all.
pub fn page(text: &[u8]) -> Result<Vec<AggTrade>, PageFault> {
    let text = std::str::from_utf8(text).map_err(|_| PageFault::NotUtf8)?;
    let mut page = Page { trades: Vec::new(), fault: None };
    let mut json = serde_json::Deserializer::from_str(text);
    match (&mut page).deserialize(&mut json).and_then(|()| json.end()) {
        Ok(()) => Ok(page.trades),
        Err(error) if error.is_data() => Err(page.fault.unwrap_or(PageFault::NotAList)),
        Err(_) => Err(page.fault.unwrap_or(PageFault::NotJson)),
    }
}

#[derive(Debug)]
struct Page {
    trades: Vec<AggTrade>,
    fault: Option<PageFault>,
}

impl<'a> DeserializeSeed<'a> for &mut Page {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'a> Visitor<'a> for &mut Page {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of trades")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut rows: A) -> Result<(), A::Error> {
        while let Some(read) = rows.next_element_seed(Row)? {
            let row = self.trades.len() + 1;
            let fault = match read {
                _ if row > MAX_ROWS => PageFault::TooManyRows,
                Some(Ok(trade)) => {
                    self.trades.push(trade);
                    continue;
                }
                Some(Err(reason)) => PageFault::Row { row, reason },
                None => PageFault::NotATrade { row },
            };
            self.fault = Some(fault);
            return Err(A::Error::custom(fault));
        }
        Ok(())
    }
}

struct Row;

impl<'a> DeserializeSeed<'a> for Row {
    type Value = Option<Result<AggTrade, Malformed>>;

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<Self::Value, D::Error> {
        typed::row(json)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::trade::Aggressor;
    use crate::units::{AggTradeId, DecimalError, Price, Qty, UnixMillis};

    const ROW: &str = r#"{"a":26129,"p":"0.01633102","q":"4.70443515","f":27781,"l":27781,"T":1498793709153,"m":true,"M":true}"#;

    fn the_row() -> AggTrade {
        AggTrade {
            id: AggTradeId(26129),
            price: Price::from_units(1_633_102),
            qty: Qty::from_units(470_443_515),
            qty_without_rpi: None,
            first_trade_id: 27781,
            last_trade_id: 27781,
            traded_at: UnixMillis(1_498_793_709_153),
            event_at: None,
            aggressor: Aggressor::Seller,
        }
    }

    fn read(text: &str) -> Result<Vec<AggTrade>, PageFault> {
        page(text.as_bytes())
    }

    #[test]
    fn rows_of_every_market_are_read_in_any_order_of_their_keys() {
        assert_eq!(read(" [ ] "), Ok(vec![]));
        assert_eq!(read(&format!("[{ROW}]")), Ok(vec![the_row()]));
        let usdm = r#"[{"nq":"4.5","m":false,"T":1498793709153,"l":27781,"f":27781,"q":"4.70443515","p":"0.01633102","a":26129}]"#;
        let expected = AggTrade {
            qty_without_rpi: Some(Qty::from_units(450_000_000)),
            aggressor: Aggressor::Buyer,
            ..the_row()
        };
        assert_eq!(read(usdm), Ok(vec![expected]));
    }

    #[test]
    fn what_has_no_meaning_in_a_row_is_ignored() {
        let odd = ROW
            .replace(r#""M":true"#, r#""M":[{"a":1}],"s":7,"e":null,"E":"x","data":{"a":2},"id":{},"M":0"#);
        assert_eq!(read(&format!("[{odd}]")), Ok(vec![the_row()]));
    }

    #[test]
    fn a_voided_spot_row_and_a_stamp_in_microseconds_are_read() {
        let text = r#"[{"a":5,"p":"0.00000000","q":"0.00000000","f":-1,"l":-1,"T":1735689600123456,"m":true,"M":true}]"#;
        let trade = read(text).unwrap()[0];
        assert_eq!((trade.first_trade_id, trade.last_trade_id), (-1, -1));
        assert_eq!((trade.price, trade.qty), (Price::from_units(0), Qty::from_units(0)));
        assert_eq!(trade.traded_at, UnixMillis(1_735_689_600_123));
    }

    #[test]
    fn a_broken_row_is_named_with_its_place_and_its_field() {
        use Malformed::*;
        for (from, to, reason) in [
            (r#""a":26129"#, r#""a":-1"#, WrongType("a")),
            (r#""a":26129"#, r#""a":"26129""#, WrongType("a")),
            (r#""a":26129"#, r#""a":26129.0"#, WrongType("a")),
            (r#""a":26129"#, r#""a":9223372036854775808"#, WrongType("a")),
            (r#""a":26129,"#, "", Missing("a")),
            (r#""a":26129"#, r#""a":26129,"a":26129"#, DuplicateKey("a")),
            (r#""0.01633102""#, "0.01633102", WrongType("p")),
            (r#""0.01633102""#, r#""1e5""#, Decimal("p", DecimalError::Exponent)),
            (r#""4.70443515""#, r#""-4.7""#, Decimal("q", DecimalError::Signed)),
            (r#""m":true"#, r#""m":"true""#, WrongType("m")),
            (r#""m":true"#, r#""m":true,"nq":null"#, WrongType("nq")),
            (r#""T":1498793709153"#, r#""T":-1"#, WrongType("T")),
            (r#""f":27781"#, r#""f":null"#, WrongType("f")),
        ] {
            let broken = ROW.replace(from, to);
            assert_ne!(broken, ROW, "{from}");
            assert_eq!(
                read(&format!("[{ROW},{broken}]")),
                Err(PageFault::Row { row: 2, reason }),
                "{broken}"
            );
        }
        assert_eq!(read(&format!("[{ROW},7]")), Err(PageFault::NotATrade { row: 2 }));
        let told = PageFault::Row { row: 2, reason: Missing("a") };
        assert_eq!(told.to_string(), "row 2: no `a`");
    }

    #[test]
    fn what_is_not_a_page_is_refused_by_name() {
        for text in [r#"{"code":-1121,"msg":"Invalid symbol."}"#, "null", "7", r#""[]""#, "{}"] {
            assert_eq!(read(text), Err(PageFault::NotAList), "{text}");
        }
        for text in [
            "",
            "[",
            "<html>",
            "[] []",
            &format!("[{ROW}"),
            &format!("[{ROW},]"),
            &format!("[{}", &ROW[..40]),
        ] {
            assert_eq!(read(text), Err(PageFault::NotJson), "{text}");
        }
        assert_eq!(page(b"[\"\xff\"]"), Err(PageFault::NotUtf8));
        let rows = |count| format!("[{}]", vec![ROW; count].join(","));
        assert_eq!(read(&rows(1_000)).map(|trades| trades.len()), Ok(1_000));
        assert_eq!(read(&rows(1_001)), Err(PageFault::TooManyRows));
        assert_eq!(read(&"[".repeat(100_000)), Err(PageFault::NotJson));
    }

    fn any_trade() -> impl Strategy<Value = AggTrade> {
        let amount = || 0..=i64::MAX;
        let ids = (amount(), -1..=i64::MAX, -1..=i64::MAX, 0..100_000_000_000_000_i64);
        let values = (amount(), amount(), proptest::option::of(amount()), any::<bool>());
        (ids, values).prop_map(|((id, first, last, at), (price, qty, nq, maker))| AggTrade {
            id: AggTradeId(id),
            price: Price::from_units(price),
            qty: Qty::from_units(qty),
            qty_without_rpi: nq.map(Qty::from_units),
            first_trade_id: first,
            last_trade_id: last,
            traded_at: UnixMillis(at),
            event_at: None,
            aggressor: Aggressor::from_buyer_is_maker(maker),
        })
    }

    fn printed(trade: &AggTrade) -> String {
        let AggTrade { id, price, qty, first_trade_id: f, last_trade_id: l, traded_at, .. } = trade;
        let nq = trade.qty_without_rpi.map_or(String::new(), |nq| format!(r#","nq":"{nq}""#));
        let m = trade.aggressor == Aggressor::Seller;
        format!(r#"{{"a":{id},"p":"{price}","q":"{qty}"{nq},"f":{f},"l":{l},"T":{},"m":{m}}}"#, traded_at.0)
    }

    fn any_page() -> impl Strategy<Value = (Vec<AggTrade>, String)> {
        proptest::collection::vec(any_trade(), 0..20).prop_map(|trades| {
            let rows: Vec<_> = trades.iter().map(printed).collect();
            (trades, format!("[{}]", rows.join(",")))
        })
    }

    proptest! {
        #[test]
        fn what_was_printed_reads_back_equal((trades, text) in any_page()) {
            prop_assert_eq!(read(&text), Ok(trades));
        }

        #[test]
        fn no_damage_makes_it_panic_or_invent_rows(
            (trades, text) in any_page(),
            damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
            cut in any::<proptest::sample::Index>(),
        ) {
            let mut bytes = text.into_bytes();
            let end = cut.index(bytes.len());
            prop_assert!(page(&bytes[..end]).is_err());
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Ok(read) = page(&bytes) {
                prop_assert!(read.len() <= trades.len());
            }
        }
    }
}
