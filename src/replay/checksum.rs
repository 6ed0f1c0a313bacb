//! The SHA-256 that the exchange publishes beside each file, in `FILE.CHECKSUM`: `<64 hex digits>  <name>`.
//!
//! A file is read once for its sum before any of its rows is used. The second reading finds it in the
//! system's cache, and the sum takes less time than the decompression that follows.

use std::ffi::OsString;
use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};

use super::fault::FaultReason;

/// Longer than any line with a sum in it.
const MOST: u64 = 64 * 1024;

/// Compares a file with the sum beside it, if there is one; tells whether there was.
pub(super) fn verify(file: &Path) -> Result<bool, FaultReason> {
    let beside = beside(file);
    let text = match File::open(&beside) {
        Ok(opened) => text_of(opened).map_err(FaultReason::ChecksumUnreadable)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(FaultReason::ChecksumUnreadable(error)),
    };
    let expected = published(&text, file).ok_or(FaultReason::NoChecksum)?;
    let found = File::open(file).and_then(sha256).map_err(FaultReason::Unreadable)?;
    if found == expected { Ok(true) } else { Err(FaultReason::Checksum { expected, found }) }
}

/// `FILE.CHECKSUM`.
pub(super) fn beside(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".CHECKSUM");
    PathBuf::from(name)
}

fn text_of(file: File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The sum of the line that names the file; of a single line whatever it names, because files get renamed.
fn published(text: &str, file: &Path) -> Option<String> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let sums: Vec<_> = text.lines().filter_map(sum_in).collect();
    match sums.as_slice() {
        [(sum, _)] => Some(sum.clone()),
        sums => sums.iter().find(|(_, of)| *of == name).map(|(sum, _)| sum.clone()),
    }
}

fn sum_in(line: &str) -> Option<(String, &str)> {
    let line = line.trim_start_matches('\u{FEFF}').trim();
    let (sum, name) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let is_sum = sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_sum.then(|| (sum.to_ascii_lowercase(), name.trim_start().trim_start_matches('*')))
}

fn sha256(mut file: File) -> io::Result<String> {
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => context.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let sum = context.finish();
    Ok(sum.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes every character, because it only grows");
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_line_of_sha256sum_is_read_in_every_dress() {
        let file = Path::new("dir/a.zip");
        let upper = EMPTY.to_ascii_uppercase();
        let other = "0".repeat(64);
        for (text, sum) in [
            (format!("{EMPTY}  a.zip\n"), Some(EMPTY)),
            (format!("{upper} *a.zip\r\n"), Some(EMPTY)),
            (format!("\u{FEFF}{EMPTY}"), Some(EMPTY)),
            (format!("{EMPTY}  renamed.zip\n"), Some(EMPTY)),
            (format!("{other}  b.zip\n{EMPTY}  a.zip\n"), Some(EMPTY)),
            (format!("{other}  b.zip\n{EMPTY}  c.zip\n"), None),
            ("not found".into(), None),
            (String::new(), None),
        ] {
            assert_eq!(published(&text, file).as_deref(), sum, "{text}");
        }
    }
}
