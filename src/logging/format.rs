//! How an event looks: in each format one line, in which nothing is hidden.

use super::told::{Told, Value};
use crate::report::{rfc3339, stamp};
use crate::text::{is_hidden, json_string, one_line};

/// A line for people, in the shape of the records: the message tells everything. Only of another library's event, which may
/// have kept something out of it, are the fields shown.
pub(super) fn text(told: &Told, color: bool) -> Vec<u8> {
    let mut line = Vec::with_capacity(160);
    stamp(&mut line, told.level.as_str(), color, told.at);
    line.extend_from_slice(one_line(&told.message).as_bytes());
    if told.event.is_none() {
        pairs(&mut line, told);
    }
    line.push(b'\n');
    line
}

/// One flat object.
pub(super) fn json(told: &Told) -> Vec<u8> {
    let mut line = Vec::with_capacity(320);
    let at = rfc3339(told.at);
    let head = [("timestamp", at.as_str()), ("level", told.level.as_str()), ("event", told.code())];
    line.push(b'{');
    for (name, value) in head {
        member(&mut line, name);
        json_string(&mut line, value);
    }
    member(&mut line, "message");
    json_string(&mut line, &told.message);
    for (name, value) in &told.fields {
        member(&mut line, name);
        match value {
            Value::Plain(plain) => line.extend_from_slice(plain.as_bytes()),
            Value::Text(text) => json_string(&mut line, text),
        }
    }
    member(&mut line, "target");
    json_string(&mut line, told.target);
    line.extend_from_slice(b"}\n");
    line
}

/// Pairs of names and values, as Loki and many others read them.
pub(super) fn logfmt(told: &Told) -> Vec<u8> {
    let mut line = Vec::with_capacity(320);
    line.extend_from_slice(b"ts=");
    line.extend_from_slice(rfc3339(told.at).as_bytes());
    pair(&mut line, "level", &told.level.as_str().to_ascii_lowercase());
    pair(&mut line, "event", told.code());
    line.extend_from_slice(b" msg=");
    json_string(&mut line, &told.message);
    pairs(&mut line, told);
    pair(&mut line, "target", told.target);
    line.push(b'\n');
    line
}

fn member(line: &mut Vec<u8>, name: &str) {
    if !line.ends_with(b"{") {
        line.push(b',');
    }
    json_string(line, name);
    line.push(b':');
}

fn pairs(line: &mut Vec<u8>, told: &Told) {
    for (name, value) in &told.fields {
        match value {
            Value::Plain(text) | Value::Text(text) => pair(line, name, text),
        }
    }
}

fn pair(line: &mut Vec<u8>, name: &str, value: &str) {
    line.push(b' ');
    line.extend_from_slice(name.as_bytes());
    line.push(b'=');
    let is_special = |c: char| matches!(c, ' ' | '"' | '=' | '\\') || is_hidden(c);
    if value.is_empty() || value.chars().any(is_special) {
        // What reads logfmt reads a quoted value as a string of JSON.
        json_string(line, value);
    } else {
        line.extend_from_slice(value.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;
    use tracing::Level;

    use super::*;

    fn told(message: &str, fields: &[(&'static str, Value)]) -> Told {
        Told {
            at: UNIX_EPOCH + Duration::from_millis(1_795_132_800_123),
            level: Level::WARN,
            target: "cvd_stream::report::events",
            event: Some("connect_failed".into()),
            message: message.into(),
            fields: fields.to_vec(),
        }
    }

    fn shown(line: Vec<u8>) -> String {
        String::from_utf8(line).expect("a line is text")
    }

    fn plain(text: &str) -> Value {
        Value::Plain(text.into())
    }

    fn words(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn each_format_shows_one_line_for_its_reader() {
        let fields = [
            ("wait_s", plain("1.5")),
            ("reason", words("it said \"no\"")),
            ("cvd", words("-0.623")),
            ("empty", words("")),
        ];
        let told = told("no way; next attempt in 1.5s", &fields);
        insta::assert_snapshot!(
            [text(&told, false), text(&told, true), json(&told), logfmt(&told)].map(shown).concat().replace('\x1b', "ESC"),
            @r#"
        2026-11-20T00:00:00.123Z  WARN no way; next attempt in 1.5s
        ESC[2m2026-11-20T00:00:00.123ZESC[0m ESC[33m WARNESC[0m no way; next attempt in 1.5s
        {"timestamp":"2026-11-20T00:00:00.123Z","level":"WARN","event":"connect_failed","message":"no way; next attempt in 1.5s","wait_s":1.5,"reason":"it said \"no\"","cvd":"-0.623","empty":"","target":"cvd_stream::report::events"}
        ts=2026-11-20T00:00:00.123Z level=warn event=connect_failed msg="no way; next attempt in 1.5s" wait_s=1.5 reason="it said \"no\"" cvd=-0.623 empty="" target=cvd_stream::report::events
        "#
        );
    }

    #[test]
    fn the_fields_of_another_librarys_event_are_shown_to_people_too() {
        let told = Told { event: None, ..told("closed", &[("peer", words("a b")), ("code", plain("7"))]) };
        insta::assert_snapshot!([text(&told, false), json(&told), logfmt(&told)].map(shown).concat(), @r#"
        2026-11-20T00:00:00.123Z  WARN closed peer="a b" code=7
        {"timestamp":"2026-11-20T00:00:00.123Z","level":"WARN","event":"log","message":"closed","peer":"a b","code":7,"target":"cvd_stream::report::events"}
        ts=2026-11-20T00:00:00.123Z level=warn event=log msg="closed" peer="a b" code=7 target=cvd_stream::report::events
        "#);
    }

    #[test]
    fn a_line_end_or_an_escape_sequence_is_escaped_in_every_format() {
        let hostile = "a\r\nb\u{1b}[31m\u{9b}m\u{7f}\u{202e}\0\u{e0041}";
        let told = told(hostile, &[("reason", words(hostile))]);
        insta::assert_snapshot!([text(&told, false), json(&told), logfmt(&told)].map(shown).concat(), @r#"
        2026-11-20T00:00:00.123Z  WARN a\r\nb\u{1b}[31m\u{9b}m\u{7f}\u{202e}\0\u{e0041}
        {"timestamp":"2026-11-20T00:00:00.123Z","level":"WARN","event":"connect_failed","message":"a\r\nb\u001b[31m\u009bm\u007f\u202e\u0000\udb40\udc41","reason":"a\r\nb\u001b[31m\u009bm\u007f\u202e\u0000\udb40\udc41","target":"cvd_stream::report::events"}
        ts=2026-11-20T00:00:00.123Z level=warn event=connect_failed msg="a\r\nb\u001b[31m\u009bm\u007f\u202e\u0000\udb40\udc41" reason="a\r\nb\u001b[31m\u009bm\u007f\u202e\u0000\udb40\udc41" target=cvd_stream::report::events
        "#);
    }

    proptest! {
        #[test]
        fn whatever_is_told_is_one_line_without_a_hidden_character(message: String, field: String) {
            let told = told(&message, &[("reason", words(&field))]);
            for line in [text(&told, false), json(&told), logfmt(&told)].map(shown) {
                let body = line.strip_suffix('\n').expect("a line has an end");
                prop_assert!(!body.contains(is_hidden), "{body:?}");
            }
            let json: serde_json::Value = serde_json::from_slice(&json(&told)).expect("JSON");
            prop_assert_eq!(json["message"].as_str(), Some(message.as_str()));
            prop_assert_eq!(json["reason"].as_str(), Some(field.as_str()));
        }
    }
}
