//! `.CHECKSUM` files, and the sums of what is on disk.

use std::fmt::Write as _;
use std::io::{self, Read};

use ring::digest::{Context, SHA256};

/// A SHA-256 sum.
pub(super) type Digest = [u8; 32];

/// The longest `.CHECKSUM` file that is read; the exchange's have about 100 bytes.
pub(super) const LONGEST: usize = 4 * 1024;

/// What a `.CHECKSUM` file says, and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checksum {
    pub(super) digest: Digest,
    pub(super) text: Vec<u8>,
}

impl Checksum {
    /// Reads `<64 hexadecimal digits>  <name>`, as `sha256sum` writes it.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn parse(text: Vec<u8>, name: &str) -> Result<Self, String> {
        let line = std::str::from_utf8(&text).map_err(|_| "it is not text")?.trim();
        let (sum, named) = line.split_once([' ', '\t']).ok_or("it is not a sum and a name")?;
        let named = named.trim_start().trim_start_matches('*');
        if named != name {
            return Err(format!("it is of \"{}\"", crate::text::escaped(named.as_bytes())));
        }
        let digest = digest(sum).ok_or("its sum is not 64 hexadecimal digits")?;
        Ok(Self { digest, text })
    }
}

fn digest(hex: &str) -> Option<Digest> {
    if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}

/// As `sha256sum` writes it.
pub(super) fn hex(digest: &Digest) -> String {
    digest.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}

/// A sum that grows with what is written.
#[derive(Clone)]
pub(super) struct Running(Context);

impl Running {
    pub(super) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn digest(&self) -> Digest {
        let mut digest = [0; 32];
        digest.copy_from_slice(self.0.clone().finish().as_ref());
        digest
    }

    /// Adds everything there is; gives how many bytes that was.
    pub(super) fn add_all(&mut self, mut from: impl Read) -> io::Result<u64> {
        let mut buffer = vec![0; 256 * 1024];
        let mut length = 0;
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return Ok(length),
                Ok(read) => {
                    self.add(&buffer[..read]);
                    length += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "BTCUSDT-aggTrades-2024-05-01.zip";
    /// Of no bytes at all.
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_sum_is_read_as_sha256sum_writes_it() {
        for text in [
            format!("{EMPTY}  {NAME}\n"),
            format!("{EMPTY} *{NAME}\r\n"),
            format!("{}\t{NAME}", EMPTY.to_uppercase()),
        ] {
            let read = Checksum::parse(text.clone().into_bytes(), NAME).unwrap();
            assert_eq!((hex(&read.digest).as_str(), read.text), (EMPTY, text.into_bytes()));
        }
        assert_eq!(hex(&Running::new().digest()), EMPTY);
    }

    #[test]
    fn what_is_no_sum_of_the_file_is_refused() {
        let short = &EMPTY[1..];
        for (text, told) in [
            (String::new(), "not a sum"),
            (EMPTY.to_owned(), "not a sum"),
            (format!("{EMPTY}  other.zip"), "of \"other.zip\""),
            (format!("{short}  {NAME}"), "64 hexadecimal"),
            (format!("+{short}  {NAME}"), "64 hexadecimal"),
            (format!("<html> {NAME}"), "64 hexadecimal"),
        ] {
            let fault = Checksum::parse(text.clone().into_bytes(), NAME).unwrap_err();
            assert!(fault.contains(told), "{text}: {fault}");
        }
        assert!(Checksum::parse(vec![0xFF, b' ', b'x'], NAME).is_err());
    }
}
