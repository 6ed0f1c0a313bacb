//! When a certificate ends and who made it: the few fields of its DER that a person asks for. Anything that
//! is not as expected is `None`; whether the certificate is good is TLS's own judgement.

/// What a person wants to know of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    /// Seconds since 1970 when it stops being valid.
    pub(super) not_after: i64,
    /// The issuer's common name or organisation; may be empty, and is anybody's text.
    pub(super) issuer: String,
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;
/// commonName and organizationName (X.520).
const NAMES: [&[u8]; 2] = [&[0x55, 0x04, 0x03], &[0x55, 0x04, 0x0a]];

impl Certificate {
    /// Reads an X.509 certificate (RFC 5280, 4.1).
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let (certificate, _) = element(der, SEQUENCE)?;
        let (mut rest, _) = element(certificate, SEQUENCE)?;
        if rest.first() == Some(&VERSION) {
            (_, _, rest) = any(rest)?;
        }
        // Serial number, then the signature's algorithm.
        (_, _, rest) = any(rest)?;
        (_, _, rest) = any(rest)?;
        let (issuer, rest) = element(rest, SEQUENCE)?;
        let (validity, _) = element(rest, SEQUENCE)?;
        let (_, _, not_after) = any(validity)?;
        let (tag, time, _) = any(not_after)?;
        let issuer = NAMES.iter().find_map(|name| named(issuer, name)).unwrap_or_default();
        Some(Self { not_after: seconds(tag, time)?, issuer })
    }
}

/// The first value of this attribute in a distinguished name.
fn named(mut names: &[u8], attribute: &[u8]) -> Option<String> {
    while !names.is_empty() {
        let (set, rest) = element(names, SET)?;
        let (pair, _) = element(set, SEQUENCE)?;
        let (oid, value) = element(pair, OID)?;
        if oid == attribute {
            let (_, text, _) = any(value)?;
            return Some(String::from_utf8_lossy(text).into_owned());
        }
        names = rest;
    }
    None
}

/// The content of an element of this kind, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = any(der)?;
    (found == tag).then_some((content, rest))
}

/// Kind and content of the first element, and what follows it.
fn any(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ` (1950 to 2049) or `YYYYMMDDHHMMSSZ`.
fn seconds(tag: u8, time: &[u8]) -> Option<i64> {
    let digits = time.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |part: &[u8]| part.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let year = number(&digits[..2]);
            (if year < 50 { 2_000 + year } else { 1_900 + year }, &digits[2..])
        }
        (GENERALIZED_TIME, 14) => (number(&digits[..4]), &digits[4..]),
        _ => return None,
    };
    let two = |at: usize| number(&rest[at..at + 2]);
    Some(days(year, two(0), two(2)) * 86_400 + two(4) * 3_600 + two(6) * 60 + two(8))
}

/// Days since 1970-01-01 in the Gregorian calendar (Howard Hinnant, `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(year: i32) -> Vec<u8> {
        let mut parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(year, 3, 4);
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "The Practice Authority");
        let key = rcgen::KeyPair::generate().unwrap();
        parameters.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_and_the_issuer_are_read_from_either_form_of_time() {
        for (year, not_after) in [(2031, 1_930_348_800), (2060, 2_845_584_000)] {
            let issuer = "The Practice Authority".to_owned();
            assert_eq!(Certificate::read(&made(year)), Some(Certificate { not_after, issuer }));
        }
    }

    #[test]
    fn whatever_is_broken_is_no_certificate_and_no_panic() {
        let whole = made(2031);
        for cut in 0..whole.len() {
            assert_eq!(Certificate::read(&whole[..cut]), None, "cut at {cut}");
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                std::hint::black_box(Certificate::read(&flipped));
            }
        }
        assert_eq!(seconds(UTC_TIME, b"310304000000Z"), Some(1_930_348_800));
        assert_eq!(seconds(UTC_TIME, b"3103040000Z"), None);
        assert_eq!(days(1970, 1, 1), 0);
        assert_eq!(days(2000, 2, 29), 11_016);
    }
}
