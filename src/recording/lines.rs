//! The lines of a file, as far as they can be trusted.

use std::io::{self, BufRead, Read};

use super::blocks::{Blocks, Broken};

/// Reads the lines of a file into one buffer that is used again.
pub(super) struct Lines {
    blocks: Blocks,
    text: Vec<u8>,
    /// Where the last line begins.
    line: usize,
    /// Where the next line begins.
    at: usize,
    /// Bytes of the file that were given when none of the present text was there.
    before_text: u64,
}

impl Lines {
    /// # Errors
    /// What the system says when the first bytes are read.
    pub(super) fn new(reader: Box<dyn Read + Send>) -> io::Result<Self> {
        Ok(Self { blocks: Blocks::new(reader)?, text: Vec::new(), line: 0, at: 0, before_text: 0 })
    }

    /// The next line without its end, of at most about so many bytes; `None` at the end of the file.
    #[inline]
    pub(super) fn next(&mut self, longest: usize) -> Result<Option<&[u8]>, Broken> {
        let mut searched = self.at;
        loop {
            let found = (&self.text[searched..]).skip_until(b'\n').unwrap_or(0);
            if found > 0 && self.text[searched + found - 1] == b'\n' {
                self.line = self.at;
                self.at = searched + found;
                return Ok(Some(&self.text[self.line..self.at - 1]));
            }
            let unfinished = self.text.len() - self.at;
            if unfinished > longest {
                return Err(Broken("damaged: a line without an end".into()));
            }
            if unfinished == 0 {
                self.before_text = self.blocks.given();
            }
            self.text.drain(..self.at);
            (self.at, self.line, searched) = (0, 0, unfinished);
            if !self.blocks.next(&mut self.text)? {
                return match unfinished {
                    0 => Ok(None),
                    _ => Err(Broken("cut short in the middle of a line".into())),
                };
            }
        }
    }

    /// Gives back the room that a long line took.
    pub(super) fn shrink(&mut self) {
        self.text.drain(..self.at);
        (self.at, self.line) = (0, 0);
        self.text.shrink_to(self.text.len());
    }

    /// The last line was of no use: it and what follows it count as unused.
    pub(super) fn refuse(&mut self) {
        self.at = self.line;
    }

    /// Reads to the end of the file and says how many of its bytes were of no use. Of a compressed piece that was of use
    /// in part, nobody can tell which bytes: they count all.
    pub(super) fn unused(&mut self) -> u64 {
        let text = (self.text.len() - self.at) as u64;
        let given = if text > 0 { self.blocks.given() - self.before_text } else { 0 };
        self.blocks.rest() + if self.blocks.is_plain() { text } else { given }
    }
}
