//! Reading text eight bytes at a time: what the two hand-written layers are made of.
//!
//! A load of eight bytes is a `u64` whose lowest byte is the first character. Every mask below may be wrong
//! *behind* its first hit (carries and borrows run that way), so only the lowest hit is ever used.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// More digits than this are left to the next layer: they might not fit `i64`.
const MAX_INTEGER_DIGITS: usize = 18;
/// Eight decimals below this many digits always fit `i64`.
const MAX_WHOLE_DIGITS: usize = 10;

const POW10: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// A JSON integer without sign at the beginning of `text`, and what follows it. `None` where there is none,
/// where it has a leading zero, or where it has more than 18 digits.
#[inline(always)]
pub(super) fn integer(text: &[u8]) -> Option<(i64, &[u8])> {
    let (mut count, mut value) = leading_digits(text);
    if count == 0 || (count > 1 && text.first() == Some(&b'0')) {
        return None;
    }
    while count % 8 == 0 {
        let (more, low) = leading_digits(text.get(count..)?);
        if more == 0 {
            break;
        }
        if count + more > MAX_INTEGER_DIGITS {
            return None;
        }
        value = value * POW10[more] + low;
        count += more;
    }
    Some((value as i64, text.get(count..)?))
}

/// A plain decimal at the beginning of `text` in units of 1e-8, and what follows it. `None` where there is
/// none or where it has more than ten digits before or eight behind the point.
#[inline(always)]
pub(super) fn decimal(text: &[u8]) -> Option<(i64, &[u8])> {
    let (mut count, mut whole) = leading_digits(text);
    if count == 0 {
        return None;
    }
    if count == 8 {
        let (more, low) = leading_digits(text.get(8..)?);
        if count + more > MAX_WHOLE_DIGITS {
            return None;
        }
        whole = whole * POW10[more] + low;
        count += more;
    }
    let units = whole * POW10[8];
    let rest = text.get(count..)?;
    let Some(decimals) = rest.strip_prefix(b".") else {
        return Some((units as i64, rest));
    };
    let (count, value) = leading_digits(decimals);
    if count == 0 {
        return None;
    }
    Some(((units + value * POW10[8 - count]) as i64, decimals.get(count..)?))
}

/// The length of the string whose opening quote is just before `text`. `None` where it has an escape or a
/// control character, or no end. Bytes beyond ASCII pass: UTF-8 is the caller's to check.
#[inline(always)]
pub(super) fn string_len(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let bytes = load(text.get(at..)?);
        let control = bytes.wrapping_sub(ONES * 0x20) & !bytes;
        let hits = (control | zeros(bytes ^ (ONES * 0x22)) | zeros(bytes ^ (ONES * 0x5c))) & HIGH;
        if hits != 0 {
            at += (hits.trailing_zeros() / 8) as usize;
            return (text.get(at) == Some(&b'"')).then_some(at);
        }
        at += 8;
    }
}

/// Sets the high bit of bytes that are zero; other bits are arbitrary.
#[inline(always)]
fn zeros(bytes: u64) -> u64 {
    bytes.wrapping_sub(ONES) & !bytes
}

/// How many digits `text` begins with, eight at most, and their value.
#[inline(always)]
fn leading_digits(text: &[u8]) -> (usize, u64) {
    let values = load(text) ^ (ONES * 0x30);
    let others = (values.wrapping_add(ONES * 0x76) | values) & HIGH;
    let count = (others.trailing_zeros() / 8) as usize;
    if count == 0 {
        return (0, 0);
    }
    // The digits move up, so that the missing ones in front count as zeros.
    let digits = values << (64 - 8 * count);
    // Neighbours become pairs, then the four pairs one number, each multiplied by its power of ten.
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let low = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(100 + (1_000_000 << 32));
    let high = ((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(1 + (10_000 << 32));
    (count, low.wrapping_add(high) >> 32)
}

/// The first eight bytes; behind the end there are zeros, which are neither digits nor text.
#[inline(always)]
fn load(text: &[u8]) -> u64 {
    match text.first_chunk() {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => load_short(text),
    }
}

#[cold]
fn load_short(text: &[u8]) -> u64 {
    text.iter().rev().fold(0, |bytes, byte| bytes << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::parse_decimal;

    #[test]
    fn an_integer_of_every_length_is_read() {
        for digits in 1..=18 {
            let text = &"123456789012345678"[..digits];
            for tail in ["", ",", ",\"f\":12345678901234567890"] {
                let whole = format!("{text}{tail}");
                assert_eq!(
                    integer(whole.as_bytes()),
                    Some((text.parse().unwrap(), tail.as_bytes())),
                    "{whole}"
                );
            }
        }
        assert_eq!(integer(b"0,"), Some((0, &b","[..])));
        for refused in ["", "-1", "x", "01", "00", "0000000012", "1234567890123456789", &"9".repeat(40)] {
            assert_eq!(integer(refused.as_bytes()), None, "{refused}");
        }
    }

    #[test]
    fn only_digits_are_digits() {
        for byte in 0..=u8::MAX {
            for place in 0..8 {
                let mut text = *b"11111111";
                text[place] = byte;
                let count = text.iter().take_while(|b| b.is_ascii_digit()).count();
                assert_eq!(leading_digits(&text).0, count, "{text:?}");
            }
        }
    }

    #[test]
    fn a_decimal_is_what_the_units_say_or_left_to_them() {
        let mut random = fastrand::Rng::with_seed(11);
        let mut read = 0;
        for _ in 0..100_000 {
            let text: String = (0..random.usize(0..24))
                .map(|_| random.choice(b"0123456789987..e").map(|b| char::from(*b)))
                .collect::<Option<_>>()
                .unwrap();
            let quoted = format!("{text}\"");
            if let Some((units, b"\"")) = decimal(quoted.as_bytes()) {
                assert_eq!(parse_decimal(text.as_bytes()), Ok(units), "{text}");
                read += 1;
            }
        }
        assert!(read > 10_000, "{read}");
        assert_eq!(decimal(b"9999999999.99999999\""), Some((999_999_999_999_999_999, &b"\""[..])));
    }

    #[test]
    fn a_string_ends_at_its_quote_and_nothing_else_ends_it() {
        for before in 0..20 {
            let text = "a".repeat(before);
            assert_eq!(string_len(format!("{text}\"").as_bytes()), Some(before));
            assert_eq!(string_len(format!("{text}\"\u{1}\\\"more").as_bytes()), Some(before));
            for bad in ["", "\u{0}\"", "\u{1f}\"", "\n\"", "\\\"", "\\\\\""] {
                assert_eq!(string_len(format!("{text}{bad}").as_bytes()), None, "{before} {bad:?}");
            }
            let text = "币".repeat(before);
            assert_eq!(string_len(format!("{text}\"").as_bytes()), Some(before * 3));
        }
        assert_eq!(string_len(b" !#[]~\x7f\x80\xff\""), Some(9));
    }
}
