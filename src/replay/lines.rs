//! Physical lines out of any reader, with a bound on their length.

use std::fmt;
use std::io::{self, BufRead, Read};

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

/// Text is read in pieces of this size.
const BUFFER: usize = 128 * 1024;
/// A line whose end is not within this is too long, whatever its beginning and its end are.
const SEARCHED: usize = MAX_LINE_LEN + 8;
/// So much of a line that is too long is kept.
const KEPT_OF_LONG: usize = 1024;

/// Reads line by line, without copying them.
pub(super) struct Lines {
    reader: Box<dyn Read + Send>,
    /// What was read and not taken is `buffer[start..end]`.
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    number: u64,
    /// The start of a line that was too long for the buffer.
    long: Vec<u8>,
}

impl Lines {
    pub(super) fn new(reader: Box<dyn Read + Send>) -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Self { reader, buffer, start: 0, end: 0, number: 0, long: Vec::new() }
    }

    /// How many lines were read.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// What is read already, without waiting for more; the last line of it may go on.
    #[inline]
    pub(super) fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Takes whole lines off what is [buffered](Self::buffered).
    #[inline]
    pub(super) fn take(&mut self, lines: u64, bytes: usize) {
        self.number += lines;
        self.start += bytes;
    }

    /// The next line; `None` at the end. A line that an error cuts off is not given.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        let mut searched = 0;
        loop {
            let text = self.buffered();
            if let Some(length) = line_length(&text[searched..]) {
                return Ok(Some(self.line(searched + length)));
            }
            searched = text.len();
            if searched >= SEARCHED {
                return self.long_line().map(Some);
            }
            if !self.read_more()? {
                return Ok((searched > 0).then(|| self.line(searched)));
            }
        }
    }

    /// The line that so many buffered bytes are.
    fn line(&mut self, length: usize) -> Line<'_> {
        let start = self.start;
        self.take(1, length);
        let text = without_end(&self.buffer[start..start + length], self.number);
        Line { number: self.number, text, whole: text.len() <= MAX_LINE_LEN, length: length as u64 }
    }

    /// A line that goes on behind the buffered bytes and is too long already.
    #[cold]
    fn long_line(&mut self) -> io::Result<Line<'_>> {
        self.long.clear();
        self.long.extend_from_slice(&self.buffer[self.start..self.start + KEPT_OF_LONG]);
        let mut length = 0;
        loop {
            let text = self.buffered();
            let (taken, ended) = line_length(text).map_or((text.len(), false), |length| (length, true));
            length += taken as u64;
            self.start += taken;
            if ended || !self.read_more()? {
                break;
            }
        }
        self.number += 1;
        let text = without_end(&self.long, self.number);
        Ok(Line { number: self.number, text, whole: false, length })
    }

    /// Reads once; `Ok(false)` at the end.
    fn read_more(&mut self) -> io::Result<bool> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        loop {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(read) => {
                    self.end += read;
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The length of the line that `text` begins with, its end included, if that is there.
fn line_length(mut text: &[u8]) -> Option<usize> {
    let all = text;
    let length = text.skip_until(b'\n').expect("no error, because nothing is read from outside");
    all[..length].ends_with(b"\n").then_some(length)
}

fn without_end(line: &[u8], number: u64) -> &[u8] {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    if number == 1 { text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text) } else { text }
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
