//! The text of a file piece by piece: a compressed piece is given once its checksum has been compared.

use std::io::{self, ErrorKind, Read};

use zstd::stream::raw::{Decoder, Operation};
use zstd::zstd_safe::{InBuffer, OutBuffer};

/// How every compressed piece begins.
pub(crate) const ZSTD: &[u8] = b"\x28\xB5\x2F\xFD";
/// Bytes that are read at a time.
const PIECE: usize = 128 * 1024;
/// More of one compressed piece is not held back until its checksum is known. The recorder makes none as large; somebody
/// who has compressed a recording again may have.
const HELD: usize = 8 * 1024 * 1024;

/// Reads the text of a file, compressed or not.
pub(super) struct Blocks {
    reader: Box<dyn Read + Send>,
    decoder: Option<Decoder<'static>>,
    /// Read but not looked at: from `at` to `end`.
    piece: Vec<u8>,
    at: usize,
    end: usize,
    /// Bytes of the file that are looked at.
    looked_at: u64,
    /// Bytes of the file whose text was given.
    given: u64,
    /// Whether a compressed piece has begun and not ended.
    within: bool,
    out: Vec<u8>,
}

/// The text goes no further.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken(pub(super) String);

impl Blocks {
    /// # Errors
    /// What the system says when the first bytes are read.
    pub(super) fn new(reader: Box<dyn Read + Send>) -> io::Result<Self> {
        let mut blocks = Self {
            reader,
            decoder: None,
            piece: vec![0; PIECE],
            at: 0,
            end: 0,
            looked_at: 0,
            given: 0,
            within: false,
            out: Vec::new(),
        };
        while blocks.end < ZSTD.len() {
            let read = read_some(&mut blocks.reader, &mut blocks.piece[blocks.end..])?;
            if read == 0 {
                break;
            }
            blocks.end += read;
        }
        if blocks.piece[..blocks.end].starts_with(ZSTD) {
            blocks.decoder = Some(Decoder::new()?);
            blocks.out = vec![0; PIECE];
        }
        Ok(blocks)
    }

    /// Whether the text stands in the file as it is.
    pub(super) fn is_plain(&self) -> bool {
        self.decoder.is_none()
    }

    /// Bytes of the file whose text was given.
    pub(super) fn given(&self) -> u64 {
        self.given
    }

    /// Reads to the end of the file, and says how many bytes were not given.
    pub(super) fn rest(&mut self) -> u64 {
        let mut rest = (self.looked_at - self.given) + (self.end - self.at) as u64;
        self.at = self.end;
        while let Ok(read @ 1..) = read_some(&mut self.reader, &mut self.piece) {
            rest += read as u64;
        }
        rest
    }

    /// Appends some more text; `false` at the end.
    pub(super) fn next(&mut self, text: &mut Vec<u8>) -> Result<bool, Broken> {
        if self.decoder.is_some() { self.next_compressed(text) } else { self.next_plain(text) }
    }

    fn next_plain(&mut self, text: &mut Vec<u8>) -> Result<bool, Broken> {
        if !self.fill()? {
            return Ok(false);
        }
        text.extend_from_slice(&self.piece[self.at..self.end]);
        self.looked_at += (self.end - self.at) as u64;
        self.at = self.end;
        self.given = self.looked_at;
        Ok(true)
    }

    fn next_compressed(&mut self, text: &mut Vec<u8>) -> Result<bool, Broken> {
        let start = text.len();
        let result = self.one_frame(text);
        if result.is_err() {
            text.truncate(start);
        } else {
            self.given = self.looked_at;
        }
        result
    }

    /// Appends one compressed frame, or as much of a large one as may be held.
    fn one_frame(&mut self, text: &mut Vec<u8>) -> Result<bool, Broken> {
        let start = text.len();
        loop {
            if !self.fill()? {
                if !self.within {
                    return Ok(false);
                }
                return Err(Broken("cut short in the middle of a compressed piece".into()));
            }
            let decoder = self.decoder.as_mut().expect("there is one, because the caller has looked");
            let mut input = InBuffer::around(&self.piece[self.at..self.end]);
            let mut output = OutBuffer::around(&mut self.out[..]);
            let result = decoder.run(&mut input, &mut output);
            let (read, written) = (input.pos(), output.pos());
            self.at += read;
            self.looked_at += read as u64;
            match result {
                Ok(left) => {
                    self.within = left != 0;
                    text.extend_from_slice(&self.out[..written]);
                    if left == 0 || text.len() - start >= HELD {
                        return Ok(true);
                    }
                }
                Err(error) => return Err(Broken(format!("damaged: {error}"))),
            }
        }
    }

    /// Has something to look at; `false` at the end of the file.
    fn fill(&mut self) -> Result<bool, Broken> {
        if self.at == self.end {
            let read = read_some(&mut self.reader, &mut self.piece);
            self.end = read.map_err(|error| Broken(format!("cannot be read any further: {error}")))?;
            self.at = 0;
        }
        Ok(self.at < self.end)
    }
}

fn read_some(reader: &mut dyn Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(into) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn frame(text: &[u8]) -> Vec<u8> {
        let mut compressor = zstd::bulk::Compressor::new(3).unwrap();
        compressor.include_checksum(true).unwrap();
        compressor.compress(text).unwrap()
    }

    fn all(bytes: Vec<u8>) -> (Vec<u8>, Result<(), Broken>, u64) {
        let mut blocks = Blocks::new(Box::new(Cursor::new(bytes))).unwrap();
        let mut text = Vec::new();
        loop {
            match blocks.next(&mut text) {
                Ok(true) => {}
                Ok(false) => return (text, Ok(()), blocks.rest()),
                Err(broken) => return (text, Err(broken), blocks.rest()),
            }
        }
    }

    #[test]
    fn whole_pieces_are_given_and_the_rest_is_counted() {
        let (one, two) = (frame(b"one\n"), frame(&b"two\n".repeat(100_000)));
        let both = [one.clone(), two.clone()].concat();
        assert_eq!(all(both.clone()), ([b"one\n".to_vec(), b"two\n".repeat(100_000)].concat(), Ok(()), 0));
        for cut in one.len() + 1..both.len() {
            let (text, result, rest) = all(both[..cut].to_vec());
            assert_eq!((text, rest), (b"one\n".to_vec(), (cut - one.len()) as u64), "{cut}");
            assert_eq!(result, Err(Broken("cut short in the middle of a compressed piece".into())));
        }
        let (text, result, rest) = all([one.clone(), vec![0; 300_000]].concat());
        assert_eq!((text.as_slice(), rest), (b"one\n".as_slice(), 300_000));
        assert!(result.unwrap_err().0.starts_with("damaged: "));
    }

    #[test]
    fn a_byte_that_flipped_gives_none_of_its_piece() {
        let (one, two) = (frame(b"one\n"), frame(b"some text that is compressed, compressed, compressed\n"));
        let whole = all([one.clone(), two.clone()].concat()).0;
        let mut told = 0;
        for bit in 0..8 * two.len() {
            let mut flipped = two.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let (text, result, _) = all([one.clone(), flipped].concat());
            // The bit that says whether there is a checksum leaves the text as it is, and the checksum as garbage.
            assert!(text == b"one\n" || text == whole, "{bit}: {result:?}");
            told += u32::from(result.is_err());
        }
        // Bits that mean nothing may flip.
        assert!(told as usize >= 8 * two.len() - 2, "{told} of {}", 8 * two.len());
    }

    #[test]
    fn a_large_piece_is_given_in_parts_and_plain_text_as_it_is() {
        let large = b"0123456789abcde\n".repeat(1_500_000);
        assert_eq!(all(frame(&large)), (large, Ok(()), 0));
        assert_eq!(all(b"plain\n".to_vec()), (b"plain\n".to_vec(), Ok(()), 0));
        assert_eq!(all(Vec::new()), (Vec::new(), Ok(()), 0));
    }
}
