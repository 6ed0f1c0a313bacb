//! Values, as JSON has them.

use crate::text::json_string;
use crate::units::DecimalText;

#[inline]
pub(super) fn field(into: &mut Vec<u8>, name: &str) {
    into.extend_from_slice(b",\"");
    into.extend_from_slice(name.as_bytes());
    into.extend_from_slice(b"\":");
}

/// Symbols and our own words hold nothing that JSON escapes: letters, digits, `_` and `-`.
pub(super) fn string(into: &mut Vec<u8>, text: &str) {
    into.push(b'"');
    into.extend_from_slice(text.as_bytes());
    into.push(b'"');
}

/// A sentence that may hold words from outside.
pub(super) fn foreign(into: &mut Vec<u8>, text: &str) {
    json_string(into, text);
}

#[inline]
pub(super) fn integer(into: &mut Vec<u8>, value: impl itoa::Integer) {
    into.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

pub(super) fn maybe_integer(into: &mut Vec<u8>, value: Option<i64>) {
    match value {
        Some(value) => integer(into, value),
        None => null(into),
    }
}

#[inline]
pub(super) fn double(into: &mut Vec<u8>, value: Option<f64>) {
    match value {
        Some(value) if value.is_finite() => {
            into.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes())
        }
        _ => null(into),
    }
}

#[inline]
pub(super) fn decimal(into: &mut Vec<u8>, units: i128) {
    into.push(b'"');
    into.extend_from_slice(DecimalText::new().shortest_ascii(units));
    into.push(b'"');
}

pub(super) fn boolean(into: &mut Vec<u8>, value: bool) {
    into.extend_from_slice(if value { b"true" } else { b"false" });
}

pub(super) fn null(into: &mut Vec<u8>) {
    into.extend_from_slice(b"null");
}

pub(super) fn to_the_millisecond(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}
