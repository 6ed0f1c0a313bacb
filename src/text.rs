//! Text from outside, made safe to show.

use std::path::Path;

/// More characters of a foreign text than this are not shown.
pub const SAMPLE_CHARS: usize = 160;

/// The first 160 characters of what came from outside, on one line, safe for a terminal and a log: bytes that are
/// not UTF-8 become `�`; control, bidirectional, invisible and combining characters become `\n`, `\u{1b}`
/// and so on; a backslash becomes two, so that nothing can pretend to have been escaped.
pub fn escaped(text: &[u8]) -> String {
    // A character has four bytes at most, so the cut cannot touch the ones shown.
    let head = &text[..text.len().min(4 * (SAMPLE_CHARS + 1))];
    let mut sample = String::with_capacity(SAMPLE_CHARS + 16);
    for character in String::from_utf8_lossy(head).chars().take(SAMPLE_CHARS) {
        match character {
            '"' | '\'' => sample.push(character),
            _ => sample.extend(character.escape_debug()),
        }
    }
    sample
}

/// Whether a character does something to a line other than to stand in it: control (also those of 0x80 to 0x9f), bidirectional,
/// invisible and combining characters, and ends of lines.
pub fn is_hidden(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_control();
    }
    // The standard library knows what cannot be printed, and beyond ASCII it escapes nothing else.
    character.escape_debug().len() > 1
}

/// A text of ours that may hold words from outside, as one line, safe for a terminal and a log: what is hidden is escaped
/// as by [`escaped`]. A backslash stays one, so that what is escaped already stays readable.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hidden(character) { line.extend(character.escape_debug()) } else { line.push(character) }
    }
    line
}

/// A path as it may stand in a line; what is not Unicode in it becomes `�`.
pub fn shown(path: &Path) -> String {
    one_line(&path.to_string_lossy())
}

/// Writes a text as a string of JSON in which nothing is hidden: what JSON allows to stand raw but a terminal would obey
/// is escaped too.
pub fn json_string(into: &mut Vec<u8>, text: &str) {
    into.push(b'"');
    for character in text.chars() {
        match character {
            '"' | '\\' => into.extend_from_slice(&[b'\\', character as u8]),
            '\n' => into.extend_from_slice(b"\\n"),
            '\r' => into.extend_from_slice(b"\\r"),
            '\t' => into.extend_from_slice(b"\\t"),
            hidden if is_hidden(hidden) => {
                for unit in hidden.encode_utf16(&mut [0; 2]) {
                    into.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
                }
            }
            plain => into.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    into.push(b'"');
}

/// Letters to insert, remove or replace to make `from` into `to` (Levenshtein). Of `from` only the first 200 are
/// looked at: beyond that nothing is near.
pub(crate) fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().take(200).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_of_two_words_is_the_number_of_slips_between_them() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!((edits("", "abc"), edits("abc", ""), edits("abc", "abc")), (3, 3, 0));
    }

    #[test]
    fn an_honest_frame_is_shown_as_it_is() {
        let text = r#"{"e":"aggTrade","s":"币安人生USDT","p":"it's 1.5"}"#;
        assert_eq!(escaped(text.as_bytes()), text);
    }

    #[test]
    fn nothing_that_moves_a_terminal_gets_through() {
        let hostile = "a\u{1b}[31mb\r\nc\td\0e\u{7f}f\u{9b}g\u{202e}h\u{2066}i\u{200b}j\u{2028}k\u{feff}l\u{e0041}m\u{ad}n\u{61c}o\\n";
        assert_eq!(
            escaped(hostile.as_bytes()),
            r"a\u{1b}[31mb\r\nc\td\0e\u{7f}f\u{9b}g\u{202e}h\u{2066}i\u{200b}j\u{2028}k\u{feff}l\u{e0041}m\u{ad}n\u{61c}o\\n"
        );
        assert_eq!(escaped(b"\xff{\xc3"), "\u{fffd}{\u{fffd}");
    }

    #[test]
    fn a_path_is_shown_whole_and_as_it_is_but_moves_no_terminal() {
        let path = format!("C:\\{}\\it's \u{1b}[31m\u{202e}\r\n.toml", "x".repeat(200));
        assert_eq!(
            one_line(&path),
            format!("C:\\{}\\it's \\u{{1b}}[31m\\u{{202e}}\\r\\n.toml", "x".repeat(200))
        );
    }

    #[test]
    fn no_character_of_a_dangerous_kind_survives() {
        for character in ('\0'..=char::MAX).filter(|c| c.is_control()) {
            assert!(!escaped(character.to_string().as_bytes()).contains(character));
        }
        let invisible = [
            '\u{200c}', '\u{200d}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202d}', '\u{2060}', '\u{2069}',
            '\u{301}',
        ];
        for character in invisible {
            assert!(!escaped(character.to_string().as_bytes()).contains(character), "{character:?}");
        }
    }

    #[test]
    fn a_line_of_ours_keeps_what_is_visible_and_what_was_escaped_before() {
        let line = "币安 é \u{a3} \\n \\u{1b}: \"it's\" 100 %";
        assert_eq!(one_line(line), line);
        assert_eq!(one_line("a\u{1b}[31m\u{9b}\r\n\0\u{202e}"), r"a\u{1b}[31m\u{9b}\r\n\0\u{202e}");
        for character in ('\0'..=char::MAX).filter(|c| c.is_control()) {
            assert!(is_hidden(character), "{character:?}");
        }
        assert!(!(' '..='~').any(is_hidden));
    }

    #[test]
    fn a_string_of_json_hides_nothing_and_is_read_back_as_it_was() {
        let hostile = "\"\\/\n\r\t\u{8}\u{1b}\u{7f}\u{9b}\u{202e}\u{e0041}币𝄞";
        let mut json = Vec::new();
        json_string(&mut json, hostile);
        let text = String::from_utf8(json).unwrap();
        assert!(!text.contains(is_hidden), "{text}");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), hostile);
    }

    #[test]
    fn only_the_beginning_is_shown() {
        assert_eq!(escaped(&[b'x'; 70_000]), "x".repeat(160));
        let wide = "币".repeat(1_000);
        assert_eq!(escaped(wide.as_bytes()), "币".repeat(160));
        let widest = "𝄞".repeat(1_000);
        assert_eq!(escaped(widest.as_bytes()), "𝄞".repeat(160));
    }
}
