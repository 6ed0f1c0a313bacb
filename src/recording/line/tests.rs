use proptest::prelude::*;

use super::samples::{frame, input, said};
use super::*;
use crate::source::Input;

fn line(input: &Input) -> Vec<u8> {
    let mut text = Vec::new();
    assert!(write(&mut text, input));
    assert_eq!(text.pop(), Some(b'\n'));
    assert!(!text.contains(&b'\n'));
    text
}

proptest! {
    #[test]
    fn every_input_comes_back_as_it_was(input in input()) {
        let line = line(&input);
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&line).is_ok());
        prop_assert_eq!(said(&read(&line).unwrap()), said(&input));
    }

    #[test]
    fn both_ways_of_reading_agree(input in input()) {
        // A blank is all the same to JSON and unknown to the short way.
        let line = String::from_utf8(line(&input)).unwrap().replacen(':', ": ", 1);
        prop_assert_eq!(said(&read(line.as_bytes()).unwrap()), said(&input));
    }

    #[test]
    fn no_line_is_worse_than_an_error(bytes: Vec<u8>) {
        drop(read(&bytes));
    }

    #[test]
    fn a_line_with_a_byte_changed_is_read_or_refused(input in input(), at: prop::sample::Index, byte: u8) {
        let mut line = line(&input);
        let at = at.index(line.len());
        line[at] = byte;
        if let Ok(Input::Frame(frame)) = read(&line) {
            // Whatever was read can be written and is the same again.
            let again = self::line(&Input::Frame(frame.clone()));
            prop_assert_eq!(said(&read(&again).unwrap()), said(&Input::Frame(frame)));
        }
    }
}

#[test]
fn a_frame_is_readable_to_everybody() {
    let text = String::from_utf8(line(&frame(17))).unwrap();
    assert_eq!(
        text,
        concat!(
            r#"{"in":"frame","line":0,"session":1,"ordinal":17,"wall_ns":1795266000340000000,"mono_ns":340000000,"#,
            r#""text":"{\"e\":\"aggTrade\",\"E\":1795266000340,\"s\":\"BTCUSDT\",\"a\":17,\"p\":\"64339.20\","#,
            r#"\"q\":\"0.017\",\"m\":false}"}"#
        )
    );
}

#[test]
fn what_does_not_fit_together_is_refused_by_name() {
    for (line, reason) in [
        (r#"{"in":"dream"}"#, "unknown variant `dream`"),
        (r#"{"in":"tick","wall_ns":1}"#, "missing field `mono_ns`"),
        (r#"{"in":"tick","wall_ns":1.5,"mono_ns":1}"#, "invalid type"),
        (r#"{"in":"tick","wall_ns":1,"mono_ns":-1}"#, "invalid value"),
        (r#"{"in":"frame","line":65536,"session":1,"ordinal":1,"text":""}"#, "invalid value"),
        (r#"{"in":"frame","line":0,"session":1,"ordinal":1,"wall_ns":1,"text":""}"#, "do not fit together"),
        (r#"{"in":"frame","line":0,"session":01,"ordinal":1,"text":""}"#, "invalid number"),
        (r#"{"in":"frame","line":0,"session":1,"ordinal":18446744073709551616,"text":""}"#, "invalid"),
        (r#"{"in":"reply","lane":0,"wall_ns":1,"mono_ns":1,"answer":"newest"}"#, "do not fit together"),
        (
            r#"{"in":"reply","lane":0,"wall_ns":1,"mono_ns":1,"answer":"gave_up","from_id":2,"to_id":1,"reason":"refused"}"#,
            "do not fit together",
        ),
        ("{\"in\":\"\u{1b}[2J\"}", "control character"),
        ("", "EOF"),
    ] {
        let error = read(line.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("not an input: ") && error.contains(reason), "{line}: {error}");
        assert!(!error.contains('\u{1b}'));
    }
}
