//! Third layer and referee: serde_json reads the text, this file says what it means. Whatever the two
//! layers before accept reads the same here.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Control, Malformed, Message, ascii_symbol};
use crate::trade::{AggTrade, Aggressor};
use crate::units::{AggTradeId, Price, Qty, Symbol, UnixMillis, parse_decimal};

/// Reads any frame.
pub(super) fn read(text: &[u8]) -> Message<'_> {
    let Ok(text) = std::str::from_utf8(text) else {
        return Message::Malformed(Malformed::NotUtf8);
    };
    let mut frame = Frame::default();
    let mut json = serde_json::Deserializer::from_str(text);
    match frame.reader().deserialize(&mut json).and_then(|value| json.end().map(|()| value)) {
        Err(_) => Message::Malformed(Malformed::NotJson),
        Ok(Value::Object) => frame.message().unwrap_or_else(Message::Malformed),
        Ok(_) => Message::Malformed(Malformed::NotAnEvent),
    }
}

/// The members of a frame that have a meaning, in whichever of its objects they stand.
#[derive(Default)]
struct Frame<'a> {
    root: Fields<'a>,
    data: Fields<'a>,
    error: Fields<'a>,
}

impl<'a> Frame<'a> {
    fn reader(&mut self) -> Reader<'_, 'a> {
        Reader { own: Some((&mut self.root, Keys::All)), parts: Some((&mut self.data, &mut self.error)) }
    }

    fn message(mut self) -> Result<Message<'a>, Malformed> {
        self.root.unique()?;
        match (self.root.take(Key::Stream), self.root.take(Key::Data)) {
            (Some(Value::Text(stream)), Some(Value::Object)) => event(self.data, Some(stream)),
            // All-market streams.
            (Some(Value::Text(stream)), Some(Value::Array)) if !is_trade_stream(&stream) => {
                Ok(Message::Other { stream: Some(stream), event: None })
            }
            (Some(Value::Text(_)), Some(_)) => Err(Malformed::NotAnEvent),
            (Some(_), Some(_)) => Err(Malformed::WrongType("stream")),
            _ if self.root.has(Key::Event) => event(self.root, None),
            _ => control(self.root, self.error),
        }
    }
}

fn event<'a>(mut fields: Fields<'a>, stream: Option<Cow<'a, str>>) -> Result<Message<'a>, Malformed> {
    fields.unique()?;
    match (fields.take(Key::Event), stream) {
        (Some(Value::Text(event)), _) if event == "aggTrade" => trade(fields),
        (Some(Value::Text(event)), stream) => Ok(Message::Other { stream, event: Some(event) }),
        (Some(_), _) => Err(Malformed::WrongType("e")),
        // Spot's bookTicker and partial depth carry no `e`.
        (None, Some(stream)) if !is_trade_stream(&stream) => {
            Ok(Message::Other { stream: Some(stream), event: None })
        }
        (None, _) => Err(Malformed::NotAnEvent),
    }
}

fn is_trade_stream(stream: &str) -> bool {
    stream.ends_with("@aggTrade")
}

fn trade(mut fields: Fields<'_>) -> Result<Message<'_>, Malformed> {
    let event_at = match fields.has(Key::EventAt) {
        true => Some(UnixMillis::from_exchange(fields.natural(Key::EventAt)?)),
        false => None,
    };
    let id = AggTradeId(fields.natural(Key::TradeId)?);
    let symbol = fields.text(Key::Symbol)?;
    if !ascii_symbol(&symbol) && !Symbol::is_symbol(&symbol) {
        return Err(Malformed::Symbol);
    }
    let trade = trade_of(&mut fields, id, event_at)?;
    Ok(Message::Trade { symbol, trade })
}

/// Reads one row of REST's, which knows no `e`, `E` and `s`. The outer error is the JSON's; `Ok(None)` is a
/// value that is no object.
pub(super) fn row<'a, D: Deserializer<'a>>(json: D) -> Result<Option<Result<AggTrade, Malformed>>, D::Error> {
    let mut fields = Fields::default();
    let reader = Reader { own: Some((&mut fields, Keys::OfRow)), parts: None };
    let Value::Object = reader.deserialize(json)? else { return Ok(None) };
    let mut trade = || {
        fields.unique()?;
        let id = AggTradeId(fields.natural(Key::TradeId)?);
        trade_of(&mut fields, id, None)
    };
    Ok(Some(trade()))
}

fn trade_of(
    fields: &mut Fields<'_>,
    id: AggTradeId,
    event_at: Option<UnixMillis>,
) -> Result<AggTrade, Malformed> {
    let price = Price::from_units(fields.decimal(Key::Price)?);
    let qty = Qty::from_units(fields.decimal(Key::Qty)?);
    let qty_without_rpi = match fields.has(Key::QtyWithoutRpi) {
        true => Some(Qty::from_units(fields.decimal(Key::QtyWithoutRpi)?)),
        false => None,
    };
    let first_trade_id = fields.integer(Key::FirstTradeId)?;
    let last_trade_id = fields.integer(Key::LastTradeId)?;
    let traded_at = UnixMillis::from_exchange(fields.natural(Key::TradedAt)?);
    let aggressor = match fields.required(Key::BuyerIsMaker)? {
        Value::Bool(buyer_is_maker) => Aggressor::from_buyer_is_maker(buyer_is_maker),
        _ => return Err(Malformed::WrongType(Key::BuyerIsMaker.text())),
    };
    Ok(AggTrade {
        id,
        price,
        qty,
        qty_without_rpi,
        first_trade_id,
        last_trade_id,
        traded_at,
        event_at,
        aggressor,
    })
}

/// `error` counts before `result`, and a `null` in it means that there was none.
fn control<'a>(mut root: Fields<'a>, error: Fields<'a>) -> Result<Message<'a>, Malformed> {
    let id = root.take(Key::Id);
    let refusal = match root.take(Key::Error) {
        Some(Value::Object) => Some(error),
        None | Some(Value::Null) if root.has(Key::Result) => None,
        None | Some(Value::Null) if root.has(Key::Code) => Some(root),
        None | Some(Value::Null) => return Err(Malformed::NotAnEvent),
        Some(_) => return Err(Malformed::WrongType(Key::Error.text())),
    };
    let id = match id {
        None | Some(Value::Null) => None,
        Some(Value::Integer(id)) => Some(Cow::Owned(id.to_string())),
        Some(Value::Large(id)) => Some(Cow::Owned(id.to_string())),
        Some(Value::Text(id)) => Some(id),
        Some(_) => return Err(Malformed::WrongType(Key::Id.text())),
    };
    let Some(mut refusal) = refusal else {
        return Ok(Message::Control(Control::Ack { id }));
    };
    refusal.unique()?;
    let code = refusal.integer(Key::Code)?;
    let msg = refusal.text(Key::Msg)?;
    Ok(Message::Control(Control::Error { code, msg, id }))
}

/// The keys that have a meaning; all others are ignored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Event,
    EventAt,
    TradeId,
    Symbol,
    Price,
    Qty,
    QtyWithoutRpi,
    FirstTradeId,
    LastTradeId,
    TradedAt,
    BuyerIsMaker,
    Stream,
    Data,
    Result,
    Id,
    Error,
    Code,
    Msg,
}

/// In the order of [`Key`].
const KEYS: [&str; 18] = [
    "e", "E", "a", "s", "p", "q", "nq", "f", "l", "T", "m", "stream", "data", "result", "id", "error",
    "code", "msg",
];

impl Key {
    fn text(self) -> &'static str {
        KEYS[self as usize]
    }
}

/// Which keys have a meaning in an object: every one in the frame itself, those of an event in `data`, those
/// of a trade in a row, code and message in `error`.
#[derive(Clone, Copy)]
enum Keys {
    All,
    OfEvent,
    OfRow,
    OfError,
}

impl Keys {
    fn find(self, text: &str) -> Option<Key> {
        let key = match text {
            "e" => Key::Event,
            "E" => Key::EventAt,
            "a" => Key::TradeId,
            "s" => Key::Symbol,
            "p" => Key::Price,
            "q" => Key::Qty,
            "nq" => Key::QtyWithoutRpi,
            "f" => Key::FirstTradeId,
            "l" => Key::LastTradeId,
            "T" => Key::TradedAt,
            "m" => Key::BuyerIsMaker,
            "stream" => Key::Stream,
            "data" => Key::Data,
            "result" => Key::Result,
            "id" => Key::Id,
            "error" => Key::Error,
            "code" => Key::Code,
            "msg" => Key::Msg,
            _ => return None,
        };
        let known = match self {
            Self::All => true,
            Self::OfEvent => (key as usize) < Key::Stream as usize,
            Self::OfRow => {
                (key as usize) < Key::Stream as usize
                    && !matches!(key, Key::Event | Key::EventAt | Key::Symbol)
            }
            Self::OfError => key as usize >= Key::Code as usize,
        };
        known.then_some(key)
    }
}

/// A value as far as it matters here; the members of arrays and objects are elsewhere or ignored.
enum Value<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    /// Beyond `i64`.
    Large(u64),
    /// Any other number.
    Float,
    Text(Cow<'a, str>),
    Array,
    Object,
}

#[derive(Default)]
struct Fields<'a> {
    values: [Option<Value<'a>>; KEYS.len()],
    repeated: Option<Key>,
}

impl<'a> Fields<'a> {
    fn put(&mut self, key: Key, value: Value<'a>) {
        if self.values[key as usize].replace(value).is_some() {
            self.repeated.get_or_insert(key);
        }
    }

    fn unique(&self) -> Result<(), Malformed> {
        self.repeated.map_or(Ok(()), |key| Err(Malformed::DuplicateKey(key.text())))
    }

    fn has(&self, key: Key) -> bool {
        self.values[key as usize].is_some()
    }

    fn take(&mut self, key: Key) -> Option<Value<'a>> {
        self.values[key as usize].take()
    }

    fn required(&mut self, key: Key) -> Result<Value<'a>, Malformed> {
        self.take(key).ok_or(Malformed::Missing(key.text()))
    }

    fn text(&mut self, key: Key) -> Result<Cow<'a, str>, Malformed> {
        match self.required(key)? {
            Value::Text(text) => Ok(text),
            _ => Err(Malformed::WrongType(key.text())),
        }
    }

    /// A string that holds a plain decimal, in units of 1e-8.
    fn decimal(&mut self, key: Key) -> Result<i64, Malformed> {
        let text = self.text(key)?;
        parse_decimal(text.as_bytes()).map_err(|reason| Malformed::Decimal(key.text(), reason))
    }

    fn integer(&mut self, key: Key) -> Result<i64, Malformed> {
        match self.required(key)? {
            Value::Integer(value) => Ok(value),
            _ => Err(Malformed::WrongType(key.text())),
        }
    }

    fn natural(&mut self, key: Key) -> Result<i64, Malformed> {
        match self.integer(key)? {
            value if value < 0 => Err(Malformed::WrongType(key.text())),
            value => Ok(value),
        }
    }
}

/// Takes any value from serde_json. Of an object it keeps the members that `own` knows; those of `data` and
/// `error` in it go into `parts`. Everything deeper is skipped, which serde_json does without recursion.
#[derive(Default)]
struct Reader<'r, 'a> {
    own: Option<(&'r mut Fields<'a>, Keys)>,
    parts: Option<(&'r mut Fields<'a>, &'r mut Fields<'a>)>,
}

impl<'a> DeserializeSeed<'a> for Reader<'_, 'a> {
    type Value = Value<'a>;

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<Value<'a>, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Reader<'_, 'a> {
    type Value = Value<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value<'a>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'a>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value<'a>, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value<'a>, E> {
        Ok(i64::try_from(value).map_or(Value::Large(value), Value::Integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value<'a>, E> {
        Ok(Value::Float)
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'a>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Value<'a>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut items: A) -> Result<Value<'a>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Array)
    }

    fn visit_map<A: MapAccess<'a>>(self, mut members: A) -> Result<Value<'a>, A::Error> {
        let Self { own: Some((fields, keys)), mut parts } = self else {
            while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Value::Object);
        };
        while let Some(key) = members.next_key_seed(KeyReader(keys))? {
            let Some(key) = key else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            let own = match (key, &mut parts) {
                (Key::Data, Some((data, _))) => Some((&mut **data, Keys::OfEvent)),
                (Key::Error, Some((_, error))) => Some((&mut **error, Keys::OfError)),
                _ => None,
            };
            fields.put(key, members.next_value_seed(Reader { own, parts: None })?);
        }
        Ok(Value::Object)
    }
}

/// Takes a key, escaped or not, without keeping its text.
struct KeyReader(Keys);

impl<'a> DeserializeSeed<'a> for KeyReader {
    type Value = Option<Key>;

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<Option<Key>, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyReader {
    type Value = Option<Key>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, text: &str) -> Result<Option<Key>, E> {
        Ok(self.0.find(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_keys_is_in_the_order_of_the_keys() {
        for (place, text) in KEYS.iter().enumerate() {
            let key = Keys::All.find(text).unwrap();
            assert_eq!((key as usize, key.text()), (place, *text));
        }
    }
}
