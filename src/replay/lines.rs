//! Physical lines out of any reader, with a bound on their length.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

/// A line longer than this is not kept.
pub(super) const MAX_LINE_LEN: usize = 64 * 1024;

/// One line, without its end.
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: u64,
    /// The line without `\n` or `\r\n`, the first one also without a byte order mark; the start of it if it
    /// is too long.
    pub(super) text: &'a [u8],
    /// Whether that is all of it.
    pub(super) whole: bool,
    /// Bytes it takes in the file, its end included.
    pub(super) length: u64,
}

/// Reads line by line into one buffer that is used again.
pub(super) struct Lines {
    reader: BufReader<Box<dyn Read + Send>>,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    pub(super) fn new(reader: Box<dyn Read + Send>) -> Self {
        Self {
            reader: BufReader::with_capacity(128 * 1024, reader),
            line: Vec::with_capacity(512),
            number: 0,
        }
    }

    /// How many lines were read.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The next line; `None` at the end. A line that an error cuts off is not given.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let limit = MAX_LINE_LEN as u64 + 2;
        let mut length = (&mut self.reader).take(limit).read_until(b'\n', &mut self.line)? as u64;
        if length == 0 {
            return Ok(None);
        }
        let ended = self.line.last() == Some(&b'\n');
        if !ended && length == limit {
            length += self.reader.skip_until(b'\n')? as u64;
        }
        self.number += 1;
        let mut text = self.line.as_slice();
        text = text.strip_suffix(b"\n").unwrap_or(text);
        text = text.strip_suffix(b"\r").unwrap_or(text);
        if self.number == 1 {
            text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
        }
        Ok(Some(Line { number: self.number, text, whole: text.len() <= MAX_LINE_LEN, length }))
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("number", &self.number).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Vec<(u64, usize, bool, u64)> {
        let mut lines = Lines::new(Box::new(io::Cursor::new(text.to_vec())));
        let mut found = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            found.push((line.number, line.text.len(), line.whole, line.length));
        }
        found
    }

    #[test]
    fn every_line_end_is_taken_off_and_every_byte_counted() {
        assert_eq!(
            all(b"\xEF\xBB\xBFone\r\n\ntwo\nlast"),
            [(1, 3, true, 8), (2, 0, true, 1), (3, 3, true, 4), (4, 4, true, 4)]
        );
        assert_eq!(all(b""), []);
    }

    #[test]
    fn a_line_beyond_the_bound_is_cut_and_the_next_one_is_whole() {
        for end in ["\n", "\r\n"] {
            for (length, whole) in
                [(MAX_LINE_LEN, true), (MAX_LINE_LEN + 1, false), (MAX_LINE_LEN * 3, false)]
            {
                let text = format!("{}{end}next{end}", "x".repeat(length));
                let found = all(text.as_bytes());
                assert_eq!(found.len(), 2, "{length}");
                assert_eq!(found[0].2, whole, "{length}");
                assert_eq!(found[0].3, (length + end.len()) as u64);
                assert_eq!(found[1], (2, 4, true, 4 + end.len() as u64));
            }
        }
    }
}
