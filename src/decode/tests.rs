//! The contract of [`decode`], malformation by malformation.

use super::samples::{SHAPES, trade};
use super::*;
use crate::units::{DecimalError, UnixMillis};

const WRAPPED: &str = SHAPES[1].1;

fn bare() -> &'static str {
    WRAPPED.split_once(r#""data":"#).unwrap().1.strip_suffix('}').unwrap()
}

fn read(text: &str) -> Message<'_> {
    assert!(decode_layers_agree(text.as_bytes()), "{text}");
    decode(text.as_bytes())
}

/// What becomes of the sample trade when `from` in it is `to`, which must be the same wrapped and bare.
#[track_caller]
fn with(from: &str, to: &str) -> Result<AggTrade, Malformed> {
    assert_eq!(bare().matches(from).count(), 1, "{from}");
    let changed = bare().replace(from, to);
    let wrapped = format!(r#"{{"stream":"btcusdt@aggTrade","data":{changed}}}"#);
    let result = match read(&changed) {
        Message::Trade { trade, .. } => Ok(trade),
        Message::Malformed(reason) => Err(reason),
        other => panic!("{other:?}"),
    };
    match read(&wrapped) {
        Message::Trade { trade, .. } => assert_eq!(Ok(trade), result),
        Message::Malformed(reason) => assert_eq!(Err(reason), result, "{wrapped}"),
        other => panic!("{other:?}"),
    }
    result
}

#[test]
fn a_trade_is_read_wrapped_and_bare() {
    assert_eq!(read(WRAPPED), trade());
    assert_eq!(read(bare()), trade());
}

#[test]
fn microseconds_become_milliseconds() {
    let Message::Trade { trade, .. } = read(SHAPES[10].1) else { panic!() };
    assert_eq!(trade.traded_at, UnixMillis(1_700_000_000_045));
    assert_eq!(trade.event_at, Some(UnixMillis(1_700_000_000_123)));
}

#[test]
fn what_may_be_missing_is_unknown_and_what_may_not_is_named() {
    assert_eq!(with(r#""E":1700000000123,"#, "").map(|t| t.event_at), Ok(None));
    assert_eq!(with(r#","nq":"0.010""#, "").map(|t| t.qty_without_rpi), Ok(None));
    for (field, name) in [
        (r#""a":2000000001,"#, "a"),
        (r#""s":"BTCUSDT","#, "s"),
        (r#""p":"37123.40","#, "p"),
        (r#""q":"0.015","#, "q"),
        (r#""f":4200000001,"#, "f"),
        (r#""l":4200000003,"#, "l"),
        (r#""T":1700000000045,"#, "T"),
        (r#","m":true"#, "m"),
    ] {
        assert_eq!(with(field, ""), Err(Malformed::Missing(name)));
    }
    assert_eq!(with(r#""e":"aggTrade","#, ""), Err(Malformed::NotAnEvent));
}

#[test]
fn a_wrong_type_is_never_taken_for_the_right_one() {
    let anything = ["null", "true", "1", "1.0", "-1", "\"1\"", "\"false\"", "[1]", "{\"a\":1}", "[]", "{}"];
    for (field, name, right) in [
        (r#""aggTrade""#, "e", &["\"1\"", "\"false\""][..]),
        ("1700000000123", "E", &["1"]),
        ("2000000001", "a", &["1"]),
        (r#""BTCUSDT""#, "s", &["\"1\"", "\"false\""]),
        (r#""37123.40""#, "p", &["\"1\"", "\"false\""]),
        (r#""0.015""#, "q", &["\"1\"", "\"false\""]),
        (r#""0.010""#, "nq", &["\"1\"", "\"false\""]),
        ("4200000001", "f", &["1", "-1"]),
        ("4200000003", "l", &["1", "-1"]),
        ("1700000000045", "T", &["1"]),
    ] {
        for value in anything.iter().filter(|value| !right.contains(value)) {
            assert_eq!(with(field, value), Err(Malformed::WrongType(name)), "{name}: {value}");
        }
    }
    for value in anything.iter().filter(|value| **value != "true") {
        assert_eq!(
            with(r#""m":true"#, &format!(r#""m":{value}"#)),
            Err(Malformed::WrongType("m")),
            "{value}"
        );
    }
}

#[test]
fn an_integer_is_an_integer_within_its_range() {
    for (text, expected) in [
        ("0", Ok(0)),
        ("9223372036854775807", Ok(i64::MAX)),
        ("9223372036854775808", Err(Malformed::WrongType("a"))),
        ("18446744073709551616", Err(Malformed::WrongType("a"))),
        ("1e3", Err(Malformed::WrongType("a"))),
        ("2000000001.0", Err(Malformed::WrongType("a"))),
        ("-0", Err(Malformed::WrongType("a"))),
        ("-9223372036854775808", Err(Malformed::WrongType("a"))),
        ("007", Err(Malformed::NotJson)),
        ("+7", Err(Malformed::NotJson)),
        ("0x7", Err(Malformed::NotJson)),
        ("7.", Err(Malformed::NotJson)),
        ("NaN", Err(Malformed::NotJson)),
        ("1_000", Err(Malformed::NotJson)),
        // Beyond every double.
        ("1e999", Err(Malformed::NotJson)),
    ] {
        assert_eq!(with("2000000001", text).map(|trade| trade.id.0), expected, "{text}");
    }
    assert_eq!(with("4200000001", "-9223372036854775808").map(|t| t.first_trade_id), Ok(i64::MIN));
    assert_eq!(with("4200000001", "-9223372036854775809"), Err(Malformed::WrongType("f")));
}

#[test]
fn a_price_is_a_plain_decimal_in_a_string() {
    use DecimalError::*;
    for (field, name) in [("37123.40", "p"), ("0.015", "q"), ("0.010", "nq")] {
        for (text, reason) in [
            ("-1", Signed),
            ("+1", Signed),
            ("1e5", Exponent),
            ("NaN", NotADecimal),
            ("inf", NotADecimal),
            ("", NotADecimal),
            (" 1", NotADecimal),
            ("1 ", NotADecimal),
            ("1,5", NotADecimal),
            ("1_000", NotADecimal),
            (".5", NotADecimal),
            ("5.", NotADecimal),
            ("0.000000001", TooPrecise),
            ("1.00000000000000000000000000000000000000000", TooPrecise),
            ("92233720368.54775808", OutOfRange),
            ("100000000000", OutOfRange),
        ] {
            assert_eq!(with(field, text), Err(Malformed::Decimal(name, reason)), "{name}: {text:?}");
        }
    }
    for (text, units) in [
        ("92233720368.54775807", i64::MAX),
        ("0", 0),
        ("0.00000001", 1),
        ("007.50", 750_000_000),
        ("1.000000000000", 100_000_000),
        (r"1\u0030", 1_000_000_000),
    ] {
        assert_eq!(with("37123.40", text).map(|trade| trade.price.units()), Ok(units), "{text}");
    }
}

#[test]
fn a_key_twice_is_refused_for_every_key_that_is_read() {
    for field in bare()[1..bare().len() - 1].split(',') {
        let name = field[1..].split('"').next().unwrap();
        let expected =
            |result| assert!(matches!(result, Err(Malformed::DuplicateKey(key)) if key == name), "{name}");
        expected(with(field, &format!("{field},{field}")));
        expected(with(field, &format!(r#"{field},"{name}":null"#)));
    }
    let escaped = with(r#""m":true"#, r#""m":true,"\u006d":false"#);
    assert_eq!(escaped, Err(Malformed::DuplicateKey("m")));
    let duplicate =
        |text: String, key| assert_eq!(read(&text), Message::Malformed(Malformed::DuplicateKey(key)));
    duplicate(WRAPPED.replace(r#","data""#, r#","stream":"x","data""#), "stream");
    duplicate(format!(r#"{{"data":{},{}"#, bare(), &WRAPPED[1..]), "data");
    duplicate(r#"{"result":null,"id":1,"id":2}"#.to_owned(), "id");
    duplicate(r#"{"error":{"code":1,"code":2,"msg":""},"id":1}"#.to_owned(), "code");
    assert!(with(r#""m":true"#, r#""m":true,"M":true,"M":false"#).is_ok(), "an unknown key may come twice");
}

#[test]
fn unknown_keys_are_ignored_whatever_they_hold() {
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    for value in
        ["null", "1e5", "-0.0", r#""\ud83d\ude00""#, r#"{"m":false,"m":[{"p":"x"}]}"#, "[[],{}]", &deep]
    {
        for key in ["M", "st", "ps", "X", "mm", "", "\\u0000", "币"] {
            let before = with(r#""e":"#, &format!(r#""{key}":{value},"e":"#));
            let after = with(r#""m":true"#, &format!(r#""m":true,"{key}" : {value}"#));
            assert!(before.is_ok() && after.is_ok(), "{key}: {value}");
        }
    }
}

#[test]
fn a_symbol_holds_nothing_that_could_move_a_terminal() {
    for bad in [
        "",
        r"BTC\u001b[31m",
        r"BTC\n",
        "BTC USDT",
        "BTC\u{202e}",
        "BTC\u{200b}",
        "btc@aggTrade",
        &"A".repeat(33),
    ] {
        assert_eq!(with("BTCUSDT", bad), Err(Malformed::Symbol), "{bad:?}");
    }
    for raw in ["BTC\u{1b}[31m", "BTC\n", "BTC\0"] {
        assert_eq!(with("BTCUSDT", raw), Err(Malformed::NotJson), "{raw:?}");
    }
    let text = bare().replace("BTCUSDT", r"\u5e01\u5b89USDT");
    assert!(matches!(read(&text), Message::Trade { symbol, .. } if symbol == "币安USDT"));
}

#[test]
fn the_trade_of_a_wrapped_frame_is_in_data() {
    let contradicted = WRAPPED.replace(r#"{"stream""#, r#"{"e":"kline","m":false,"p":1,"stream""#);
    assert_eq!(read(&contradicted), trade());
    let swapped = format!(r#"{{"data":{},"stream":"btcusdt@aggTrade"}}"#, bare());
    assert_eq!(read(&swapped), trade());
    let lone = |key: &str, value: &str| bare().replacen('{', &format!(r#"{{"{key}":{value},"#), 1);
    assert_eq!(read(&lone("data", r#"{"p":"1","p":"2"}"#)), trade(), "`data` alone is an unknown key");
    assert_eq!(read(&lone("stream", "1")), trade(), "`stream` alone is an unknown key");
    let number = WRAPPED.replace(r#""btcusdt@aggTrade""#, "7");
    assert_eq!(read(&number), Message::Malformed(Malformed::WrongType("stream")));
    for data in ["null", "1", "\"x\"", "[]", "{}", r#"[{"e":"aggTrade"}]"#] {
        let text = format!(r#"{{"stream":"btcusdt@aggTrade","data":{data}}}"#);
        assert_eq!(read(&text), Message::Malformed(Malformed::NotAnEvent), "{text}");
    }
    assert_eq!(read(&format!(r#"{{"data":{}}}"#, bare())), Message::Malformed(Malformed::NotAnEvent));
}

#[test]
fn the_answers_of_the_exchange_are_control() {
    let ack = |id: Option<&'static str>| Message::Control(Control::Ack { id: id.map(Cow::Borrowed) });
    for (text, id) in [
        (r#"{"result":null,"id":1}"#, Some("1")),
        (r#"{"id":18446744073709551615,"result":null}"#, Some("18446744073709551615")),
        (r#"{"result":null,"id":-5}"#, Some("-5")),
        (r#"{"result":null,"id":"ab\u0063"}"#, Some("abc")),
        (r#"{"result":null,"id":null}"#, None),
        (r#"{"result":null}"#, None),
        (r#"{"result":["btcusdt@aggTrade","ethusdt@aggTrade"],"id":3}"#, Some("3")),
        (r#"{"result":true,"id":6}"#, Some("6")),
        (r#"{"result":{"a":[1]},"error":null,"id":6,"status":200}"#, Some("6")),
    ] {
        assert_eq!(read(text), ack(id), "{text}");
    }
    for (text, code, msg, id) in [
        (r#"{"code":2,"msg":"Invalid request","id":7}"#, 2, "Invalid request", Some("7")),
        (r#"{"code":-1,"msg":"x","id":null}"#, -1, "x", None),
        (r#"{"error":{"code":4,"msg":"Too many","x":1},"id":"q"}"#, 4, "Too many", Some("q")),
        (r#"{"result":null,"error":{"code":4,"msg":"\n"}}"#, 4, "\n", None),
    ] {
        let id = id.map(Cow::Borrowed);
        assert_eq!(read(text), Message::Control(Control::Error { code, msg: msg.into(), id }), "{text}");
    }
    for (text, reason) in [
        (r#"{"result":null,"id":1.5}"#, Malformed::WrongType("id")),
        (r#"{"result":null,"id":[1]}"#, Malformed::WrongType("id")),
        (r#"{"code":"2","msg":"x","id":1}"#, Malformed::WrongType("code")),
        (r#"{"code":2,"id":1}"#, Malformed::Missing("msg")),
        (r#"{"code":2,"msg":null,"id":1}"#, Malformed::WrongType("msg")),
        (r#"{"error":"x","id":1}"#, Malformed::WrongType("error")),
        (r#"{"error":{"msg":"x"},"id":1}"#, Malformed::Missing("code")),
        (r#"{"error":null,"id":1}"#, Malformed::NotAnEvent),
        (r#"{"id":1}"#, Malformed::NotAnEvent),
        (r#"{"msg":"x","id":1}"#, Malformed::NotAnEvent),
    ] {
        assert_eq!(read(text), Message::Malformed(reason), "{text}");
    }
}

#[test]
fn other_events_are_told_apart_and_never_errors() {
    for (text, stream, event) in [
        (r#"{"e":"kline","E":"x","a":[],"k":{"t":1}}"#, None, Some("kline")),
        (r#"{"e":"serverShutdown","E":1700000000000}"#, None, Some("serverShutdown")),
        (
            r#"{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}"#,
            Some("!serverShutdown"),
            Some("serverShutdown"),
        ),
        (
            r#"{"stream":"x@depth","data":{"e":"depthUpdate","a":[["1","2"]],"b":[]}}"#,
            Some("x@depth"),
            Some("depthUpdate"),
        ),
        (r#"{"stream":"x@bookTicker","data":{"u":1,"s":"X","a":"1"}}"#, Some("x@bookTicker"), None),
        (
            r#"{"stream":"!ticker@arr","data":[{"e":"24hrTicker"},{"e":"24hrTicker"}]}"#,
            Some("!ticker@arr"),
            None,
        ),
        (r#"{"stream":"x@trade","data":{"e":"trade","p":"1","X":"MARKET"}}"#, Some("x@trade"), Some("trade")),
        (r#"{"e":"aggtrade"}"#, None, Some("aggtrade")),
    ] {
        let other = Message::Other { stream: stream.map(Cow::Borrowed), event: event.map(Cow::Borrowed) };
        assert_eq!(read(text), other, "{text}");
    }
}

#[test]
fn what_is_no_message_is_named() {
    for text in ["{}", "[]", "[{}]", "null", "true", "1", "\"aggTrade\"", " {} ", r#"{"x":{"e":"aggTrade"}}"#]
    {
        assert_eq!(read(text), Message::Malformed(Malformed::NotAnEvent), "{text}");
    }
    let deep = "[".repeat(60_000);
    let deep_objects = r#"{"data":"#.repeat(8_000);
    for text in [
        "",
        " ",
        "{",
        "x",
        "{}x",
        "{}{}",
        "{,}",
        "{\"e\"}",
        "{'e':1}",
        "\u{feff}{}",
        "\0",
        &deep,
        &deep_objects,
    ] {
        assert_eq!(read(text), Message::Malformed(Malformed::NotJson), "{text:.20}");
    }
    let text = format!("{WRAPPED}}}");
    assert_eq!(read(&text), Message::Malformed(Malformed::NotJson));
    for at in 1..WRAPPED.len() {
        assert_eq!(read(&WRAPPED[..at]), Message::Malformed(Malformed::NotJson), "cut at {at}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused_wherever_they_stand() {
    for at in 0..=WRAPPED.len() {
        let mut bytes = WRAPPED.as_bytes().to_vec();
        bytes.splice(at..at, [0xff]);
        assert!(decode_layers_agree(&bytes));
        assert_eq!(decode(&bytes), Message::Malformed(Malformed::NotUtf8), "at {at}");
    }
}

#[test]
fn a_frame_of_the_largest_size_is_read_and_a_larger_one_is_not() {
    let padded = |len: usize| format!("{WRAPPED}{}", " ".repeat(len - WRAPPED.len()));
    assert_eq!(read(&padded(MAX_FRAME_LEN)), trade());
    assert_eq!(read(&padded(MAX_FRAME_LEN + 1)), Message::Malformed(Malformed::TooLong));
    let hostile = vec![0xff; MAX_FRAME_LEN + 1];
    assert_eq!(decode(&hostile), Message::Malformed(Malformed::TooLong));
}

#[test]
fn every_shape_looks_like_a_trade_and_others_do_not() {
    for (name, text) in SHAPES {
        assert!(looks_like_trade(text.as_bytes()), "{name}");
    }
    for text in [
        "",
        "aggTrade\"",
        r#"{"e":"kline","s":"AGGTRADE"}"#,
        r#"{"stream":"btcusdt@depth","data":{"e":"depthUpdate"}}"#,
        r#"{"result":null,"id":1}"#,
        r#"{"e":"xaggTrade","E":1}"#,
        &format!("{}{}", " ".repeat(91), r#""aggTrade""#),
    ] {
        assert!(!looks_like_trade(text.as_bytes()), "{text}");
    }
    assert!(looks_like_trade(format!("{}{}", " ".repeat(90), r#""aggTrade""#).as_bytes()));
}
