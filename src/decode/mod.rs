//! From the text of a frame to a message. Prices and quantities go from text to integers, never through a
//! float.
//!
//! Three layers read alike and differ in speed only: `literal` knows the exchange's own literal shapes,
//! `scan` the same keys in any order, and `typed` is serde_json, the referee, which alone names what is
//! wrong. A layer that meets anything it does not know gives up, and the next starts afresh.

use std::borrow::Cow;

use crate::trade::AggTrade;
use crate::units::DecimalError;

mod digits;
mod literal;
mod page;
mod scan;
mod typed;

pub use page::{MAX_ROWS, PageFault, page};

/// What a frame says.
#[derive(Debug, Clone, PartialEq)]
pub enum Message<'a> {
    /// An aggregate trade.
    Trade {
        /// `s`, as written.
        symbol: Cow<'a, str>,
        /// The trade.
        trade: AggTrade,
    },
    /// An answer to something we asked.
    Control(Control<'a>),
    /// Any other event of the exchange (`kline`, `serverShutdown`, …).
    Other {
        /// The stream's name in a wrapped frame.
        stream: Option<Cow<'a, str>>,
        /// `e`, where there is one.
        event: Option<Cow<'a, str>>,
    },
    /// Not a message of the exchange.
    Malformed(Malformed),
}

/// The exchange's answer to a control message.
#[derive(Debug, Clone, PartialEq)]
pub enum Control<'a> {
    /// `{"result":…,"id":…}`.
    Ack {
        /// The request's id, as written; `null` is `None`.
        id: Option<Cow<'a, str>>,
    },
    /// `{"code":…,"msg":…,"id":…}` or `{"error":{"code":…,"msg":…},"id":…}`.
    Error {
        /// The exchange's code.
        code: i64,
        /// The exchange's words.
        msg: Cow<'a, str>,
        /// The request's id, as written.
        id: Option<Cow<'a, str>>,
    },
}

/// Why a frame cannot be read. Each is counted in `parse_errors`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Bytes that are not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// A binary message where text is expected.
    #[error("a binary message")]
    Binary,
    /// Longer than [`MAX_FRAME_LEN`].
    #[error("longer than 64 KiB")]
    TooLong,
    /// Not JSON, or cut short.
    #[error("not JSON")]
    NotJson,
    /// JSON, but not an object with an event in it.
    #[error("not an event of the exchange")]
    NotAnEvent,
    /// A key twice in one object: which one holds?
    #[error("duplicate key `{0}`")]
    DuplicateKey(&'static str),
    /// An aggTrade without one of its fields.
    #[error("no `{0}`")]
    Missing(&'static str),
    /// A field of another type than the exchange sends, `"m":"false"` for instance, or out of its range.
    #[error("`{0}` has a wrong type or is out of range")]
    WrongType(&'static str),
    /// A price or quantity that is not a plain decimal.
    #[error("`{0}` is {1}")]
    Decimal(&'static str, DecimalError),
    /// A symbol with characters that no symbol has.
    #[error("`s` is not a symbol")]
    Symbol,
}

/// A frame of the exchange has about 200 bytes; more than this is not read.
pub const MAX_FRAME_LEN: usize = 64 * 1024;

/// Reads one frame, bare or wrapped (`{"stream":…,"data":{…}}`), fields in any order.
///
/// - Keys are matched by name; unknown ones are ignored, whatever their values.
/// - A frame is wrapped if it has both `stream` and `data`; then only `data` is read.
/// - Of two reasons why a frame is malformed the first of this list is named: its length, its encoding, its
///   JSON, a repeated key (of those this program knows), then the fields in the order `E a s p q nq f l T m`.
/// - `E` and `nq` may be missing. `f` and `l` may be negative (spot voids trades with −1); `a`, `T` and `E`
///   may not.
/// - Texts in the message are the exchange's, or an attacker's: escape them before they are shown. Only
///   `symbol` is known to hold nothing but letters, digits, `_` and `-`.
pub fn decode(text: &[u8]) -> Message<'_> {
    if text.len() > MAX_FRAME_LEN {
        return Message::Malformed(Malformed::TooLong);
    }
    match literal::read(text) {
        Some(message) => message,
        None => scan::read(text).unwrap_or_else(|| typed::read(text)),
    }
}

/// Whether a frame looks like a trade: `"aggTrade"` or `@aggTrade"` within its first hundred bytes.
///
/// A hint for liveness only, cheap enough for the reading task: an acknowledgement that quotes a stream's
/// name passes too, and a trade written in another order may not.
pub fn looks_like_trade(text: &[u8]) -> bool {
    const NAME: &[u8] = b"aggTrade\"";
    if text.starts_with(b"{\"e\":\"aggTrade\"") {
        return true;
    }
    let head = &text[..text.len().min(100)];
    // The name in the wrapping ends where its quote is, whatever it is.
    if let Some(stream) = head.strip_prefix(b"{\"stream\":\"")
        && let Some(end) = digits::string_len(stream)
        && stream[..end].ends_with(b"@aggTrade")
    {
        return true;
    }
    head.windows(1 + NAME.len()).any(|bytes| matches!(bytes[0], b'"' | b'@') && &bytes[1..] == NAME)
}

/// Whether the three layers read `text` alike: what the first accepts the second accepts, what either
/// accepts the referee reads the same, and [`decode`] says what the referee says. For fuzzing and tests.
#[doc(hidden)]
pub fn decode_layers_agree(text: &[u8]) -> bool {
    if text.len() > MAX_FRAME_LEN {
        return decode(text) == Message::Malformed(Malformed::TooLong);
    }
    let referee = typed::read(text);
    let (literal, scan) = (literal::read(text), scan::read(text));
    (literal.is_none() || literal == scan)
        && scan.is_none_or(|message| message == referee)
        && decode(text) == referee
}

/// [`Symbol::is_symbol`](crate::units::Symbol::is_symbol) for almost every symbol there is; `false` only
/// means that the slow test must decide.
#[inline(always)]
fn ascii_symbol(text: &str) -> bool {
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    !text.is_empty() && text.len() <= 32 && text.as_bytes().iter().all(known)
}

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
