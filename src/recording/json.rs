//! The little JSON that is written and taken apart by hand.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// Appends a text as a JSON string with its quotes. What is not ASCII stays as it is.
pub(super) fn string(into: &mut Vec<u8>, text: &str) {
    into.push(b'"');
    let bytes = text.as_bytes();
    let start = into.len();
    into.resize(start + 2 * bytes.len(), 0);
    let room = &mut into[start..];
    let (mut at, mut has_control) = (0, false);
    // One message of the exchange has its quotes where the one before has them: the branch is predicted.
    for byte in bytes {
        if *byte == b'"' || *byte == b'\\' {
            room[at] = b'\\';
            at += 1;
        }
        room[at] = *byte;
        at += 1;
        has_control |= *byte < 0x20;
    }
    into.truncate(start + at);
    if has_control {
        into.truncate(start);
        bytes.iter().for_each(|byte| escaped(into, *byte));
    }
    into.push(b'"');
}

fn escaped(into: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' | b'\\' => into.extend_from_slice(&[b'\\', byte]),
        b'\n' => into.extend_from_slice(b"\\n"),
        b'\r' => into.extend_from_slice(b"\\r"),
        b'\t' => into.extend_from_slice(b"\\t"),
        0..0x20 => {
            into.extend_from_slice(b"\\u00");
            into.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        _ => into.push(byte),
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// What stands between the quotes of a string that [`string`] has written without control characters; `None` for
/// anything else, which is left to a full reader.
pub(super) fn plain(between_quotes: &[u8]) -> Option<Vec<u8>> {
    let mut text = vec![0; between_quotes.len() + 8];
    let (mut at, mut rest) = (0, between_quotes);
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        text[at..at + 8].copy_from_slice(word);
        let plain = plain_bytes(u64::from_le_bytes(*word));
        at += plain;
        rest = match plain {
            8 => after,
            _ => escape(&rest[plain..], &mut text, &mut at)?,
        };
    }
    while let Some((byte, after)) = rest.split_first() {
        rest = match byte {
            b'\\' => escape(rest, &mut text, &mut at)?,
            b'"' | 0..0x20 => return None,
            _ => {
                text[at] = *byte;
                at += 1;
                after
            }
        };
    }
    text.truncate(at);
    Some(text)
}

/// How many of eight bytes, the lowest first, come before a quote, a backslash or a control character.
fn plain_bytes(word: u64) -> usize {
    // The lowest byte of a word that is zero, or below a bound, sets its high bit; what a borrow does, it does above.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let is_same = |byte: u8| zero(word ^ (ONES * u64::from(byte)));
    let is_control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
    ((is_same(b'"') | is_same(b'\\') | is_control).trailing_zeros() / 8) as usize
}

/// Reads `\"` or `\\` and gives what comes after it.
#[inline]
fn escape<'a>(rest: &'a [u8], text: &mut [u8], at: &mut usize) -> Option<&'a [u8]> {
    let [b'\\', byte @ (b'"' | b'\\'), after @ ..] = rest else { return None };
    text[*at] = *byte;
    *at += 1;
    Some(after)
}

/// Appends a JSON text that others made on one line: line ends outside of strings, which is the only place where they
/// may be, become spaces.
pub(super) fn raw(into: &mut Vec<u8>, json: &str) {
    into.extend(json.bytes().map(|byte| if byte == b'\n' || byte == b'\r' { b' ' } else { byte }));
}

/// The members of an object, each with the text of its value as it stands there; `None` if it is none, or if a name is
/// escaped, as none of ours is.
pub(super) fn members(object: &str) -> Option<BTreeMap<&str, &str>> {
    let members: BTreeMap<&str, &RawValue> = serde_json::from_str(object).ok()?;
    Some(members.into_iter().map(|(name, value)| (name, value.get())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut into = Vec::new();
        string(&mut into, text);
        String::from_utf8(into).unwrap()
    }

    #[test]
    fn a_string_is_what_every_reader_of_json_takes_it_for() {
        for text in
            ["", "x", r#"{"e":"aggTrade"}"#, r"\", r#"\""#, "a\u{0}b\u{1f}\n\r\t\u{7f}", "币安\u{2028}𝄞"]
        {
            assert_eq!(serde_json::from_str::<String>(&written(text)).unwrap(), text);
        }
        assert_eq!(written("a\"\u{1}"), r#""a\"\u0001""#);
    }

    #[test]
    fn the_short_way_back_gives_up_on_what_it_does_not_know() {
        assert_eq!(plain(br#"{\"a\":\"\\\\\"}"#).unwrap(), br#"{"a":"\\"}"#);
        for length in 0..20 {
            // Whatever the place of an escape within a word.
            let text = format!("{}\"\\{}é", "x".repeat(length), "y".repeat(9));
            let written = written(&text);
            assert_eq!(plain(&written.as_bytes()[1..written.len() - 1]).unwrap(), text.as_bytes());
            let control = format!("{}\u{1f}{}", "\u{7f}".repeat(length), "y".repeat(9));
            assert_eq!(plain(control.as_bytes()), None);
        }
        for strange in [r#"a"b"#, r"a\", r"a\n", r"\u0041", "a\nb", r"\\\"] {
            assert_eq!(plain(strange.as_bytes()), None, "{strange}");
        }
    }

    #[test]
    fn an_object_is_taken_apart_without_touching_its_values() {
        let text = r#" {"a":1.10, "b" : {"x":[1,{"}":"\"]"}]} ,"c":"},\\","d":[],"e":null } "#;
        let expected = [
            ("a", "1.10"),
            ("b", r#"{"x":[1,{"}":"\"]"}]}"#),
            ("c", r#""},\\""#),
            ("d", "[]"),
            ("e", "null"),
        ];
        assert_eq!(members(text).unwrap(), BTreeMap::from(expected));
        assert_eq!(members("{}").unwrap(), BTreeMap::new());
        for none in ["", "[1]", "1", r#"{"a":1"#, r#"{"a":1}}"#, "{a:1}", r#""{""#] {
            assert_eq!(members(none), None, "{none}");
        }
    }
}
