//! Frames as the exchange really sent them, frames made up at random, and frames broken on purpose, against a
//! slow reference that looks into a whole tree of JSON.

use std::fmt;
use std::io::Read;

use crate::recorded::shared;
use cvd_stream::decode::{Malformed, Message, decode, decode_layers_agree, looks_like_trade};
use cvd_stream::trade::{AggTrade, Aggressor};
use cvd_stream::units::{AggTradeId, Price, Qty, Symbol, UnixMillis};
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

fn observed() -> Option<String> {
    let path = shared()?.join("data/frames/observed-aggtrade-frames.jsonl");
    Some(std::fs::read_to_string(path).expect("the observed frames are readable"))
}

#[test]
fn every_observed_frame_is_read_as_it_was_written() {
    let Some(lines) = observed() else { return };
    let (mut trades, mut malformed) = (0, 0);
    for line in lines.lines() {
        // The frame is the last member of the line; its text ends one brace before the line does.
        let (_, rest) = line.split_once(r#""frame":"#).expect("a line has a frame");
        let raw = rest.strip_suffix('}').expect("a line is an object");
        let frame: Value = serde_json::from_str(raw).expect("a frame is JSON");
        // Sorted keys: an order that no exchange writes.
        let again = frame.to_string();
        let bare = frame["data"].to_string();
        for text in [raw, &again, &bare] {
            assert!(decode_layers_agree(text.as_bytes()), "{text}");
            assert_eq!(decode(text.as_bytes()), decode_by_tree(text).unwrap(), "{text}");
        }
        assert!(looks_like_trade(raw.as_bytes()));
        match decode(raw.as_bytes()) {
            Message::Trade { symbol, trade } => {
                let data = &frame["data"];
                assert_eq!(symbol, data["s"].as_str().unwrap());
                assert_eq!(trade.id.0, data["a"].as_i64().unwrap());
                assert_eq!(trade.aggressor == Aggressor::Seller, data["m"].as_bool().unwrap());
                assert_eq!(trade.qty_without_rpi.is_some(), data.get("nq").is_some());
                assert_eq!(as_decimal(trade.price.units()), data["p"].as_str().unwrap().parse().unwrap());
                assert_eq!(as_decimal(trade.qty.units()), data["q"].as_str().unwrap().parse().unwrap());
                trades += 1;
            }
            Message::Malformed(reason) => {
                assert_eq!(reason, Malformed::WrongType("m"), "{raw}");
                assert!(raw.contains(r#""m":"false""#), "{raw}");
                malformed += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((trades, malformed), (7, 1));
}

#[test]
fn two_recordings_of_combined_streams_hold_their_trades_and_no_damage() {
    let Some(shared) = shared() else { return };
    for (file, expected, others) in
        [("binance_usdm_2021-07-22", 91, 1_444), ("binance_coinm_2021-07-22", 51, 4_320)]
    {
        let packed = std::fs::read(shared.join(format!("data/frames/{file}.ws.gz"))).expect("a recording");
        let mut text = String::new();
        flate2::read::GzDecoder::new(&*packed).read_to_string(&mut text).expect("a whole recording");
        let (mut trades, mut rest) = (0, 0);
        for line in text.lines().skip(1) {
            let (_, frame) = line.split_once(": ").expect("a line has a time");
            assert!(decode_layers_agree(frame.as_bytes()), "{frame}");
            match decode(frame.as_bytes()) {
                Message::Trade { .. } => {
                    assert!(looks_like_trade(frame.as_bytes()));
                    trades += 1;
                }
                Message::Other { stream: Some(_), event: Some(_) } => {
                    assert!(!looks_like_trade(frame.as_bytes()));
                    rest += 1;
                }
                other => panic!("{other:?}: {frame}"),
            }
        }
        assert_eq!((trades, rest), (expected, others), "{file}");
    }
}

#[test]
fn broken_frames_are_read_alike_by_every_layer() {
    let mut random = fastrand::Rng::with_seed(0x5eed);
    let pieces: [&[u8]; 26] = [
        b"\"",
        b"\\",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b" ",
        b"-",
        b"0",
        b"9",
        b".",
        b"e",
        b"null",
        b"true",
        b"\"m\":false",
        b"\"a\":1,",
        b",\"id\":1",
        b"\\u0031",
        b"\xff",
        b"\xe5\xb8\x81",
        b"\0",
        b"1e5",
        b"\"data\":",
        b"99999999999999999999",
    ];
    let (mut trades, mut malformed, mut others) = (0, 0, 0);
    for _ in 0..300_000 {
        let mut frame = random.choice(SEEDS).expect("there are seeds").as_bytes().to_vec();
        for _ in 0..*random.choice(&[1, 1, 1, 2, 4]).expect("there are numbers") {
            let at = random.usize(0..=frame.len());
            let end = (at + random.usize(0..4)).min(frame.len());
            match random.u8(0..10) {
                0 if at < frame.len() => frame[at] ^= 1 << random.u8(0..8),
                1 if at < frame.len() => frame[at] = random.u8(..),
                // A neighbour's character: the frame often stays whole.
                5..=7 if at < frame.len() => frame[at] = frame[random.usize(0..frame.len())],
                2 if random.u8(0..4) == 0 => frame.truncate(at),
                3 => drop(frame.drain(at..end)),
                4 => {
                    let copy = frame[at..(at + random.usize(0..30)).min(frame.len())].to_vec();
                    let to = random.usize(0..=frame.len());
                    frame.splice(to..to, copy);
                }
                _ => drop(
                    frame.splice(at..end, random.choice(pieces).expect("there are pieces").iter().copied()),
                ),
            }
        }
        assert!(decode_layers_agree(&frame), "{:?}", String::from_utf8_lossy(&frame));
        let message = decode(&frame);
        match &message {
            Message::Trade { .. } => trades += 1,
            Message::Malformed(_) => malformed += 1,
            _ => others += 1,
        }
        // The tree is slow and knows nothing of bytes that are not text: it judges a part.
        if random.u8(0..8) == 0
            && let Some(expected) = std::str::from_utf8(&frame).ok().and_then(decode_by_tree)
        {
            assert_eq!(message, expected, "{:?}", String::from_utf8_lossy(&frame));
        }
    }
    assert!(trades > 10_000 && malformed > 50_000 && others > 10_000, "{trades} {malformed} {others}");
}

#[test]
fn the_corpus_of_the_fuzzer_is_read_alike_by_every_layer() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/decode");
    let mut seeds = 0;
    for entry in std::fs::read_dir(folder).expect("the corpus is there") {
        let text = std::fs::read(entry.expect("an entry").path()).expect("a seed");
        assert!(decode_layers_agree(&text), "{:?}", String::from_utf8_lossy(&text));
        seeds += 1;
    }
    assert!(seeds >= 10, "{seeds}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_generated_frame_is_read_as_the_tree_reads_it(frame in frame()) {
        prop_assert!(decode_layers_agree(frame.as_bytes()), "{frame}");
        let expected = decode_by_tree(&frame).expect("a generated frame is JSON");
        prop_assert_eq!(decode(frame.as_bytes()), expected, "{}", frame);
    }

    #[test]
    fn a_price_is_what_a_big_decimal_says(text in r"[0-9]{1,12}(\.[0-9]{1,10})?") {
        let frame = SEEDS[0].replace("37123.40", &text);
        prop_assert!(decode_layers_agree(frame.as_bytes()));
        let exact: Decimal = text.parse().expect("a decimal");
        let fits = exact.normalize().scale() <= 8 && exact <= as_decimal(i64::MAX);
        match decode(frame.as_bytes()) {
            Message::Trade { trade, .. } => prop_assert_eq!(as_decimal(trade.price.units()), exact),
            Message::Malformed(Malformed::Decimal("p", _)) => prop_assert!(!fits, "{}", text),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn any_bytes_at_all_are_read_alike(text in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(decode_layers_agree(&text));
    }
}

fn as_decimal(units: i64) -> Decimal {
    Decimal::from_i128_with_scale(i128::from(units), 8)
}

const SEEDS: &[&str] = &[
    r#"{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1700000000123,"a":2000000001,"s":"BTCUSDT","p":"37123.40","q":"0.015","nq":"0.010","f":4200000001,"l":4200000003,"T":1700000000045,"m":true,"st":1}}"#,
    r#"{"stream":"x@aggTrade","data":{"e":"aggTrade","E":1,"s":"X","a":7,"p":"1","q":"2","f":3,"l":4,"T":5,"m":false,"M":true}}"#,
    r#"{"e":"aggTrade","E":1,"a":7,"s":"币X","p":"1.5","q":"2","f":3,"l":4,"T":5,"m":false}"#,
    r#"{"e":"aggTrade","E":1,"s":"X","a":7,"p":"1.5","q":"2","f":-1,"l":-1,"T":1700000000045678,"m":false}"#,
    r#"{ "data" : { "m" : true , "X" : -1.5 , "T" : 5 , "q" : "2" , "p" : "1" , "s" : "X" , "a" : 7 , "l" : 4 , "f" : 3 , "e" : "aggTrade" } , "stream" : "x@aggTrade" }"#,
    r#"{"stream":"x@kline_1m","data":{"e":"kline","E":1,"s":"X","k":{"t":1,"a":[1]}}}"#,
    r#"{"result":null,"id":1}"#,
    r#"{"error":{"code":2,"msg":"no"},"id":"x"}"#,
    r#"{"code":2,"msg":"no","id":null}"#,
];

/// Frames that are JSON, most of them nearly trades: any order, any white space, escaped and unknown keys,
/// nested values, sometimes a repeated or a strange one.
fn frame() -> impl Strategy<Value = String> {
    let object = (
        prop::collection::vec((0..100_u8, value()), FIELDS.len()),
        prop::collection::vec((unknown_key(), value()), 0..4),
        prop::option::weighted(0.05, 0..FIELDS.len()),
    )
        .prop_map(|(changes, unknown, repeated)| {
            let mut members: Vec<(String, String)> = Vec::new();
            for ((key, honest), (change, value)) in FIELDS.iter().zip(changes) {
                let mut escaped = String::new();
                let text = match change {
                    0 => continue,
                    1 => value,
                    2 if honest.starts_with('"') => {
                        format!("\"\\u{:04x}{}", honest.as_bytes()[1], &honest[2..])
                    }
                    _ => (*honest).to_owned(),
                };
                match change {
                    3 => escaped.extend(key.bytes().map(|byte| format!("\\u{byte:04x}"))),
                    _ => escaped.push_str(key),
                }
                members.push((escaped, text));
            }
            members.extend(unknown);
            if let Some((key, honest)) = repeated.map(|index| FIELDS[index]) {
                members.push((key.to_owned(), honest.to_owned()));
            }
            members
        })
        .prop_shuffle();
    (object, space(), 0..20_u8, space()).prop_map(|(members, space, wrapping, end)| {
        let members: Vec<_> = members
            .iter()
            .map(|(key, value)| format!("{space}\"{key}\"{space}:{space}{value}{space}"))
            .collect();
        let object = format!("{{{}}}", members.join(","));
        match wrapping {
            0..8 => format!("{end}{object}{end}"),
            8..12 => format!(r#"{{"data":{object},"stream":"x@aggTrade"}}"#),
            12 => format!(r#"{{"data":{object},"stream":7}}"#),
            13 => format!(r#"{{"data":{object},"stream":"x@depth","stream":"y"}}"#),
            14 => format!(r#"{{"id":1,"data":{object},"e":2}}"#),
            _ => format!(r#"{{"stream":"x@aggTrade",{end}"data":{space}{object},"x":[{{}}]}}"#),
        }
    })
}

const FIELDS: [(&str, &str); 11] = [
    ("e", "\"aggTrade\""),
    ("E", "1700000000123"),
    ("a", "26129"),
    ("s", "\"BTCUSDT\""),
    ("p", "\"37123.40\""),
    ("q", "\"0.015\""),
    ("nq", "\"0.010\""),
    ("f", "-1"),
    ("l", "105"),
    ("T", "1700000000045678"),
    ("m", "true"),
];

fn unknown_key() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["M", "st", "ps", "X", "", "mm", "币", "\\n", "id", "result", "u", "A"])
        .prop_map(str::to_owned)
}

fn space() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", "", " ", "\n", "\t \r\n"])
}

fn value() -> impl Strategy<Value = String> {
    let flat = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        Just("18446744073709551616".to_owned()),
        any::<f64>().prop_filter("JSON has no NaN", |n| n.is_finite()).prop_map(|n| format!("{n:e}")),
        r"[0-9]{1,12}(\.[0-9]{1,10})?".prop_map(|text| format!("\"{text}\"")),
        any::<String>().prop_map(|text| Value::from(text).to_string()),
        prop::sample::select(vec![
            "null",
            "true",
            "false",
            "-0",
            "0.0",
            "\"\"",
            "\"-1\"",
            "\"1e5\"",
            "\"false\""
        ])
        .prop_map(str::to_owned),
    ];
    flat.prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec((unknown_key(), inner), 0..3).prop_map(|members| {
                let members: Vec<_> =
                    members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

/// The slow reference: builds the whole tree, repeated keys included, then looks. `None` where serde_json
/// refuses to build it, which it also does for some texts that are JSON (half surrogates in a key nobody
/// reads).
fn decode_by_tree(text: &str) -> Option<Message<'static>> {
    let Tree::Object(root) = serde_json::from_str(text).ok()? else {
        return Some(Message::Malformed(Malformed::NotAnEvent));
    };
    Some(judge(&root).unwrap_or_else(Message::Malformed))
}

const EVENT_KEYS: [&str; 11] = ["e", "E", "a", "s", "p", "q", "nq", "f", "l", "T", "m"];
const OTHER_KEYS: [&str; 7] = ["stream", "data", "result", "id", "error", "code", "msg"];

fn judge(root: &[(String, Tree)]) -> Result<Message<'static>, Malformed> {
    refuse_repeated(root, &[&EVENT_KEYS[..], &OTHER_KEYS[..]].concat())?;
    let (object, stream) = match (find(root, "stream"), find(root, "data")) {
        (Some(Tree::Leaf(Value::String(stream))), Some(Tree::Object(data))) => {
            (data.as_slice(), Some(stream))
        }
        (Some(Tree::Leaf(Value::String(stream))), Some(Tree::Array)) if !stream.ends_with("@aggTrade") => {
            return Ok(Message::Other { stream: Some(stream.clone().into()), event: None });
        }
        (Some(Tree::Leaf(Value::String(_))), Some(_)) => return Err(Malformed::NotAnEvent),
        (Some(_), Some(_)) => return Err(Malformed::WrongType("stream")),
        _ => (root, None),
    };
    if stream.is_some() {
        refuse_repeated(object, &EVENT_KEYS)?;
    }
    match (find(object, "e"), stream) {
        (Some(Tree::Leaf(Value::String(event))), _) if event == "aggTrade" => trade(object),
        (Some(Tree::Leaf(Value::String(event))), stream) => {
            Ok(Message::Other { stream: stream.cloned().map(Into::into), event: Some(event.clone().into()) })
        }
        (Some(_), _) => Err(Malformed::WrongType("e")),
        (None, Some(stream)) if !stream.ends_with("@aggTrade") => {
            Ok(Message::Other { stream: Some(stream.clone().into()), event: None })
        }
        (None, Some(_)) => Err(Malformed::NotAnEvent),
        (None, None) => control(root),
    }
}

fn control(root: &[(String, Tree)]) -> Result<Message<'static>, Malformed> {
    use cvd_stream::decode::Control;
    let refusal = match find(root, "error") {
        None | Some(Tree::Leaf(Value::Null)) => {
            let answered = find(root, "result").is_some();
            if !answered && find(root, "code").is_none() {
                return Err(Malformed::NotAnEvent);
            }
            (!answered).then_some(root)
        }
        Some(Tree::Object(error)) => Some(error.as_slice()),
        Some(_) => return Err(Malformed::WrongType("error")),
    };
    let id = match find(root, "id") {
        None | Some(Tree::Leaf(Value::Null)) => None,
        Some(Tree::Leaf(Value::String(id))) => Some(id.clone().into()),
        Some(Tree::Leaf(Value::Number(id))) if !id.is_f64() => Some(id.to_string().into()),
        Some(_) => return Err(Malformed::WrongType("id")),
    };
    let Some(refusal) = refusal else { return Ok(Message::Control(Control::Ack { id })) };
    refuse_repeated(refusal, &["code", "msg"])?;
    let code = match leaf(refusal, "code")? {
        Value::Number(code) => code.as_i64().ok_or(Malformed::WrongType("code"))?,
        _ => return Err(Malformed::WrongType("code")),
    };
    let msg = string(refusal, "msg")?.to_owned().into();
    Ok(Message::Control(Control::Error { code, msg, id }))
}

fn trade(object: &[(String, Tree)]) -> Result<Message<'static>, Malformed> {
    let optional = |key| find(object, key).is_some();
    let event_at =
        if optional("E") { Some(UnixMillis::from_exchange(integer(object, "E", 0)?)) } else { None };
    let id = AggTradeId(integer(object, "a", 0)?);
    let symbol = string(object, "s")?;
    if !Symbol::is_symbol(symbol) {
        return Err(Malformed::Symbol);
    }
    let price = Price::from_units(decimal(object, "p")?);
    let qty = Qty::from_units(decimal(object, "q")?);
    let qty_without_rpi = if optional("nq") { Some(Qty::from_units(decimal(object, "nq")?)) } else { None };
    let trade = AggTrade {
        id,
        price,
        qty,
        qty_without_rpi,
        event_at,
        first_trade_id: integer(object, "f", i64::MIN)?,
        last_trade_id: integer(object, "l", i64::MIN)?,
        traded_at: UnixMillis::from_exchange(integer(object, "T", 0)?),
        aggressor: match leaf(object, "m")? {
            Value::Bool(true) => Aggressor::Seller,
            Value::Bool(false) => Aggressor::Buyer,
            _ => return Err(Malformed::WrongType("m")),
        },
    };
    Ok(Message::Trade { symbol: symbol.to_owned().into(), trade })
}

fn integer(object: &[(String, Tree)], key: &'static str, least: i64) -> Result<i64, Malformed> {
    let value = leaf(object, key)?;
    value.as_i64().filter(|value| *value >= least).ok_or(Malformed::WrongType(key))
}

fn string<'a>(object: &'a [(String, Tree)], key: &'static str) -> Result<&'a str, Malformed> {
    leaf(object, key)?.as_str().ok_or(Malformed::WrongType(key))
}

fn decimal(object: &[(String, Tree)], key: &'static str) -> Result<i64, Malformed> {
    let text = string(object, key)?;
    cvd_stream::units::parse_decimal(text.as_bytes()).map_err(|reason| Malformed::Decimal(key, reason))
}

fn leaf<'a>(object: &'a [(String, Tree)], key: &'static str) -> Result<&'a Value, Malformed> {
    match find(object, key) {
        None => Err(Malformed::Missing(key)),
        Some(Tree::Leaf(value)) => Ok(value),
        Some(_) => Err(Malformed::WrongType(key)),
    }
}

fn find<'a>(object: &'a [(String, Tree)], key: &str) -> Option<&'a Tree> {
    object.iter().find(|(name, _)| name == key).map(|(_, value)| value)
}

fn refuse_repeated(object: &[(String, Tree)], keys: &[&'static str]) -> Result<(), Malformed> {
    let again = object
        .iter()
        .enumerate()
        .find(|(place, (name, _))| keys.contains(&name.as_str()) && find(&object[..*place], name).is_some());
    match again {
        Some((_, (name, _))) => {
            let key =
                keys.iter().find(|key| *key == name).expect("it is one of the keys because it was found");
            Err(Malformed::DuplicateKey(key))
        }
        None => Ok(()),
    }
}

/// JSON with nothing forgotten that matters here: the members of an object in order, repeated ones too.
enum Tree {
    Object(Vec<(String, Tree)>),
    Array,
    Leaf(Value),
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(Grow)
    }
}

struct Grow;

impl<'de> Visitor<'de> for Grow {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Leaf(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        while items.next_element::<Tree>()?.is_some() {}
        Ok(Tree::Array)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
        let mut object = Vec::new();
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        Ok(Tree::Object(object))
    }
}
