//! What a checkpoint file says: a line with the version, one JSON object, and a line with the checksum of both.
//!
//! ```text
//! cvd-stream checkpoint v1
//! {"program":"0.1.0","serial":17,…}
//! crc32 0b7c3f12 length 2931
//! ```
//!
//! Doubles are written as their bits in hexadecimal and sums as decimal text, so that no reader can round them. The
//! window of the Z-score is its first value and the steps between its values.

mod body;
mod error;

use crate::cvd::CvdConfig;
use crate::pipeline::LaneState;
use crate::snapshot::Market;
use crate::units::Symbol;

use body::Body;
pub use error::FormatError;

/// The version that is written, and the newest that is read.
pub const VERSION: u32 = 1;
/// No checkpoint is longer, in bytes: a window of a million values, each step of the largest size.
pub const LONGEST: usize = 24 * 1024 * 1024;

const HEADING: &str = "cvd-stream checkpoint v";

/// Whose state it is, and what it was computed with.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// Which network's ids these are: `binance`, `binance-test`, `binance-us`, or `other`.
    pub ledger: String,
    /// The market.
    pub market: Market,
    /// The symbol.
    pub symbol: Symbol,
    /// The settings of the calculator.
    pub calculator: CvdConfig,
}

/// What a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Counts up with every save of the symbol.
    pub serial: u64,
    /// When it was saved, in milliseconds since 1970.
    pub saved_at_ms: i64,
    /// The version of the program that saved it.
    pub program: String,
    /// The state.
    pub state: LaneState,
}

/// The text of a checkpoint of `state`, which `identity` is of.
///
/// # Errors
/// [`FormatError::Impossible`] if no trades lead from one value of the window to the next.
pub fn encode(
    identity: &Identity,
    state: &LaneState,
    serial: u64,
    saved_at_ms: i64,
) -> Result<Vec<u8>, FormatError> {
    let body = Body::of(identity, state, serial, saved_at_ms)?;
    let mut text = format!("{HEADING}{VERSION}\n").into_bytes();
    // Strings, numbers and lists: nothing that JSON cannot say, and memory takes everything.
    serde_json::to_writer(&mut text, &body).map_err(|error| FormatError::Contents(error.to_string()))?;
    text.push(b'\n');
    let last = last_line(&text);
    text.extend_from_slice(last.as_bytes());
    Ok(text)
}

/// Reads a checkpoint that has to be of `identity`. Never panics, whatever the bytes.
///
/// # Errors
/// [`FormatError`] says in one sentence why it cannot be used.
pub fn decode(bytes: &[u8], identity: &Identity) -> Result<Checkpoint, FormatError> {
    let body = Body::read(checked(bytes)?)?;
    body.check_identity(identity)?;
    let checkpoint = body.into_checkpoint(identity)?;
    checkpoint.state.validate(identity.calculator).map_err(FormatError::Impossible)?;
    Ok(checkpoint)
}

/// The JSON of a whole and undamaged file of a version that can be read.
fn checked(bytes: &[u8]) -> Result<&[u8], FormatError> {
    if bytes.is_empty() {
        return Err(FormatError::Empty);
    }
    if bytes.len() > LONGEST {
        return Err(FormatError::TooLong);
    }
    let Some(after_heading) = bytes.strip_prefix(HEADING.as_bytes()) else {
        let is_beginning = HEADING.as_bytes().starts_with(bytes);
        return Err(if is_beginning { FormatError::Truncated } else { FormatError::NotACheckpoint });
    };
    let Some(lines) = bytes.strip_suffix(b"\n") else { return Err(FormatError::Truncated) };
    let last = lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if !bytes[last..].starts_with(b"crc32 ") {
        return Err(FormatError::Truncated);
    }
    if bytes[last..] != *last_line(&bytes[..last]).as_bytes() {
        return Err(FormatError::Damaged);
    }
    let mut lines = after_heading[..last - HEADING.len()].split(|byte| *byte == b'\n');
    let version = lines.next().and_then(|version| std::str::from_utf8(version).ok()?.parse::<u32>().ok());
    match (version, lines.next(), lines.next(), lines.next()) {
        (Some(VERSION), Some(json), Some([]), None) => Ok(json),
        (Some(version), ..) if version > VERSION => Err(FormatError::Newer(version)),
        _ => Err(FormatError::NotACheckpoint),
    }
}

fn last_line(before: &[u8]) -> String {
    format!("crc32 {:08x} length {}\n", crc32fast::hash(before), before.len())
}

#[cfg(test)]
mod tests;
