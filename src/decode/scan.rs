//! Second layer: the same keys in any order, unknown keys skipped, white space allowed. It gives up on
//! anything nested, escaped, repeated or otherwise odd and leaves it to the referee.

use std::borrow::Cow;

use super::{Message, ascii_symbol, digits};
use crate::trade::{AggTrade, Aggressor};
use crate::units::{AggTradeId, Price, Qty, Symbol, UnixMillis, parse_decimal};

/// Reads a trade, bare or wrapped.
pub(super) fn read(text: &[u8]) -> Option<Message<'_>> {
    std::str::from_utf8(text).ok()?;
    let mut scanner = Scanner { rest: text };
    let (mut bare, mut wrapped, mut stream) = (Fields::default(), None, false);
    scanner.object(|scanner, key| {
        match key {
            b"stream" if !stream => {
                scanner.string()?;
                stream = true;
            }
            b"data" if wrapped.is_none() => {
                let mut fields = Fields::default();
                scanner.object(|scanner, key| fields.member(scanner, key))?;
                wrapped = Some(fields);
            }
            b"stream" | b"data" | b"result" | b"id" | b"error" | b"code" | b"msg" => return None,
            _ => bare.member(scanner, key)?,
        }
        Some(())
    })?;
    scanner.space();
    if !scanner.rest.is_empty() {
        return None;
    }
    match (stream, wrapped) {
        (true, Some(fields)) => fields.trade(),
        (false, None) => bare.trade(),
        _ => None,
    }
}

/// The fields of an aggTrade, and a bit in `seen` for each that was there.
#[derive(Default)]
struct Fields<'a> {
    seen: u16,
    symbol: &'a [u8],
    id: i64,
    price: i64,
    qty: i64,
    qty_without_rpi: i64,
    first_trade_id: i64,
    last_trade_id: i64,
    traded_at: i64,
    event_at: i64,
    buyer_is_maker: bool,
}

const E: u16 = 1;
const EVENT_AT: u16 = 1 << 1;
const ID: u16 = 1 << 2;
const SYMBOL: u16 = 1 << 3;
const PRICE: u16 = 1 << 4;
const QTY: u16 = 1 << 5;
const QTY_WITHOUT_RPI: u16 = 1 << 6;
const FIRST: u16 = 1 << 7;
const LAST: u16 = 1 << 8;
const TRADED_AT: u16 = 1 << 9;
const MAKER: u16 = 1 << 10;
const REQUIRED: u16 = E | ID | SYMBOL | PRICE | QTY | FIRST | LAST | TRADED_AT | MAKER;

impl<'a> Fields<'a> {
    fn member(&mut self, scanner: &mut Scanner<'a>, key: &[u8]) -> Option<()> {
        match key {
            b"e" => {
                self.first(E)?;
                (scanner.string()? == b"aggTrade").then_some(())?;
            }
            b"E" => {
                self.first(EVENT_AT)?;
                self.event_at = scanner.natural()?;
            }
            b"a" => {
                self.first(ID)?;
                self.id = scanner.natural()?;
            }
            b"s" => {
                self.first(SYMBOL)?;
                self.symbol = scanner.string()?;
            }
            b"p" => {
                self.first(PRICE)?;
                self.price = scanner.decimal()?;
            }
            b"q" => {
                self.first(QTY)?;
                self.qty = scanner.decimal()?;
            }
            b"nq" => {
                self.first(QTY_WITHOUT_RPI)?;
                self.qty_without_rpi = scanner.decimal()?;
            }
            b"f" => {
                self.first(FIRST)?;
                self.first_trade_id = scanner.integer()?;
            }
            b"l" => {
                self.first(LAST)?;
                self.last_trade_id = scanner.integer()?;
            }
            b"T" => {
                self.first(TRADED_AT)?;
                self.traded_at = scanner.natural()?;
            }
            b"m" => {
                self.first(MAKER)?;
                self.buyer_is_maker = scanner.boolean()?;
            }
            _ => scanner.skip()?,
        }
        Some(())
    }

    /// Notes that a key was there; `None` if it was there before.
    #[inline(always)]
    fn first(&mut self, bit: u16) -> Option<()> {
        let repeated = self.seen & bit != 0;
        self.seen |= bit;
        (!repeated).then_some(())
    }

    #[inline]
    fn trade(&self) -> Option<Message<'a>> {
        let symbol = std::str::from_utf8(self.symbol).ok()?;
        if self.seen & REQUIRED != REQUIRED || !(ascii_symbol(symbol) || Symbol::is_symbol(symbol)) {
            return None;
        }
        let seen = |bit: u16| self.seen & bit != 0;
        Some(Message::Trade {
            symbol: Cow::Borrowed(symbol),
            trade: AggTrade {
                id: AggTradeId(self.id),
                price: Price::from_units(self.price),
                qty: Qty::from_units(self.qty),
                qty_without_rpi: seen(QTY_WITHOUT_RPI).then_some(Qty::from_units(self.qty_without_rpi)),
                first_trade_id: self.first_trade_id,
                last_trade_id: self.last_trade_id,
                traded_at: UnixMillis::from_exchange(self.traded_at),
                event_at: seen(EVENT_AT).then_some(UnixMillis::from_exchange(self.event_at)),
                aggressor: Aggressor::from_buyer_is_maker(self.buyer_is_maker),
            },
        })
    }
}

struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    /// An object; `member` is called behind the colon of each of its keys and must take the value.
    #[inline(always)]
    fn object(&mut self, mut member: impl FnMut(&mut Self, &'a [u8]) -> Option<()>) -> Option<()> {
        self.expect(b'{')?;
        if self.next_is(b'}') {
            return Some(());
        }
        loop {
            let key = self.key()?;
            self.expect(b':')?;
            member(self, key)?;
            if !self.next_is(b',') {
                return self.expect(b'}');
            }
        }
    }

    /// A key without escapes; almost all have one letter.
    #[inline(always)]
    fn key(&mut self) -> Option<&'a [u8]> {
        self.space();
        if let [b'"', letter @ (b'A'..=b'Z' | b'a'..=b'z'), b'"', rest @ ..] = self.rest {
            self.rest = rest;
            return Some(std::slice::from_ref(letter));
        }
        self.string()
    }

    /// A string without escapes.
    #[inline(always)]
    fn string(&mut self) -> Option<&'a [u8]> {
        self.expect(b'"')?;
        let (string, rest) = self.rest.split_at_checked(digits::string_len(self.rest)?)?;
        self.rest = rest.get(1..)?;
        Some(string)
    }

    /// A string that holds a plain decimal, in units of 1e-8.
    #[inline(always)]
    fn decimal(&mut self) -> Option<i64> {
        self.space();
        if let [b'"', text @ ..] = self.rest
            && let Some((units, [b'"', rest @ ..])) = digits::decimal(text)
        {
            self.rest = rest;
            return Some(units);
        }
        parse_decimal(self.string()?).ok()
    }

    /// An integer of at most 18 digits.
    #[inline(always)]
    fn integer(&mut self) -> Option<i64> {
        self.space();
        let [b'-', rest @ ..] = self.rest else {
            return self.natural();
        };
        if !rest.first()?.is_ascii_digit() {
            return None;
        }
        self.rest = rest;
        // `-0` is a float to the referee.
        self.natural().filter(|value| *value != 0).map(|value| -value)
    }

    /// An integer without sign.
    #[inline(always)]
    fn natural(&mut self) -> Option<i64> {
        self.space();
        let (value, rest) = digits::integer(self.rest)?;
        if matches!(rest.first(), Some(b'.' | b'e' | b'E')) {
            return None;
        }
        self.rest = rest;
        Some(value)
    }

    #[inline(always)]
    fn boolean(&mut self) -> Option<bool> {
        self.space();
        if self.literal(b"true") { Some(true) } else { self.literal(b"false").then_some(false) }
    }

    /// Any flat value.
    fn skip(&mut self) -> Option<()> {
        self.space();
        match self.rest.first()? {
            b'"' => self.string().map(drop),
            b't' | b'f' => self.boolean().map(drop),
            b'n' => self.literal(b"null").then_some(()),
            b'0'..=b'9' | b'-' => self.number(),
            _ => None,
        }
    }

    /// A number without exponent.
    fn number(&mut self) -> Option<()> {
        let unsigned = self.rest.strip_prefix(b"-").unwrap_or(self.rest);
        let (whole, mut rest) = split_digits(unsigned)?;
        if whole.len() > 1 && whole[0] == b'0' {
            return None;
        }
        if let Some(decimals) = rest.strip_prefix(b".") {
            rest = split_digits(decimals)?.1;
        }
        self.rest = rest;
        (!matches!(rest.first(), Some(b'e' | b'E'))).then_some(())
    }

    #[inline(always)]
    fn literal(&mut self, literal: &[u8]) -> bool {
        let rest = self.rest.strip_prefix(literal);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    #[inline(always)]
    fn expect(&mut self, byte: u8) -> Option<()> {
        self.next_is(byte).then_some(())
    }

    /// Skips white space, and `byte` if it is next.
    #[inline(always)]
    fn next_is(&mut self, byte: u8) -> bool {
        self.space();
        match self.rest {
            [first, rest @ ..] if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    #[inline(always)]
    fn space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }
}

/// At least one digit, and what follows.
fn split_digits(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 { None } else { text.split_at_checked(count) }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{SHAPES, trade};
    use super::*;

    const FIELDS: [&str; 11] = [
        r#""e":"aggTrade""#,
        r#""E":1700000000123"#,
        r#""a":2000000001"#,
        r#""s":"BTCUSDT""#,
        r#""p":"37123.40""#,
        r#""q":"0.015""#,
        r#""nq":"0.010""#,
        r#""f":4200000001"#,
        r#""l":4200000003"#,
        r#""T":1700000000045"#,
        r#""m":true"#,
    ];

    #[test]
    fn every_shape_of_the_exchange_is_read() {
        for (name, text) in SHAPES {
            assert!(matches!(read(text.as_bytes()), Some(Message::Trade { .. })), "{name}");
        }
    }

    #[test]
    fn the_order_does_not_matter_and_unknown_keys_are_skipped() {
        let mut random = fastrand::Rng::with_seed(3);
        let unknown = [
            r#""M":true"#,
            r#""st":1"#,
            r#""ps":"BTCUSDT""#,
            r#""X":null"#,
            r#""x":-0.50"#,
            r#""":"""#,
            r#""E ":12345678901234567890123"#,
            r#""币":"币""#,
        ];
        for _ in 0..2_000 {
            let mut fields = FIELDS.to_vec();
            fields.extend(&unknown[..random.usize(0..=unknown.len())]);
            random.shuffle(&mut fields);
            let comma = *random.choice(&[",", ", ", "\t,\r\n"]).unwrap();
            let object = format!("{{{}}}", fields.join(comma));
            let mut members = vec![
                format!(r#""data" : {object}"#),
                r#""stream":"btcusdt@aggTrade""#.to_owned(),
                r#""x":1.5"#.to_owned(),
            ];
            random.shuffle(&mut members);
            let wrapped = format!(" {{ {} }} ", members.join(comma));
            assert_eq!(read(object.as_bytes()), Some(trade()), "{object}");
            assert_eq!(read(wrapped.as_bytes()), Some(trade()), "{wrapped}");
        }
    }

    #[test]
    fn a_voided_trade_of_spot_is_read() {
        let text = SHAPES[0].1.replace("4200000001", "-1").replace("4200000003", "-1");
        match read(text.as_bytes()) {
            Some(Message::Trade { trade, .. }) => {
                assert_eq!((trade.first_trade_id, trade.last_trade_id), (-1, -1))
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_odd_is_left_to_the_referee() {
        let whole = format!("{{{}}}", FIELDS.join(","));
        assert_eq!(read(whole.as_bytes()), Some(trade()));
        for (from, to) in [
            (r#""m":true"#, r#""m":"true""#),
            (r#""m":true"#, r#""m":true,"m":true"#),
            (r#""m":true"#, r#""m":true,"id":1"#),
            (r#""m":true"#, r#""m":true,"stream":"x""#),
            (r#""m":true"#, r#""m":true,"x":{}"#),
            (r#""m":true"#, r#""m":true,"x":[]"#),
            (r#""m":true"#, r#""m":true,"x":1e5"#),
            (r#""m":true"#, r#""m":true,"x":01"#),
            (r#""m":true"#, r#""m":true,"x":1."#),
            (r#""m":true"#, r#""m":true,"x":-"#),
            (r#""m":true"#, r#""m":true,"x":"\u0041""#),
            (r#""m":true"#, r#""m":true,"x":nul"#),
            (r#""m":true"#, r#""m":true,"#),
            (r#""m":true"#, r#""m":true "x":1"#),
            (r#""m":true"#, r#""m":trueish"#),
            ("aggTrade", "trade"),
            (":2000000001", ":-2000000001"),
            (":2000000001", ":2000000001.0"),
            (":2000000001", ":2000000001e0"),
            (":2000000001", ":02000000001"),
            (":2000000001", ":9223372036854775808"),
            (":4200000001", ":- 4200000001"),
            (":4200000001", ":-0"),
            (":4200000001", ":--1"),
            ("\"37123.40\"", "37123.40"),
            ("\"37123.40\"", "\"-37123.40\""),
            ("\"37123.40\"", "\"3.712340e4\""),
            ("BTCUSDT", "BTC USDT"),
            ("BTCUSDT", ""),
            ("BTCUSDT", "BTC\u{1}USDT"),
            ("BTCUSDT", "BTC\u{202e}USDT"),
        ] {
            let odd = whole.replace(from, to);
            assert_ne!(odd, whole, "{from}");
            assert_eq!(read(odd.as_bytes()), None, "{odd}");
        }
        for field in FIELDS.iter().filter(|field| !field.starts_with(r#""E"#) && !field.starts_with(r#""nq"#))
        {
            assert_eq!(read(whole.replace(field, r#""x":0"#).as_bytes()), None, "without {field}");
        }
    }
}
