//! The numbers of the domain as integers: price, quantity, signed sums, ids, times, symbols.
//!
//! Prices and quantities count units of 1e-8, the finest step the exchange uses, so that sums are exact
//! and associative: live, replay and repair reach the same bits in any grouping. `f64` appears only in the
//! conversions whose names say that they lose precision.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Units per whole: prices and quantities are stored in steps of 1e-8.
pub const SCALE: i64 = 100_000_000;
/// Decimal digits after the point that [`SCALE`] can hold.
pub const SCALE_DIGITS: usize = 8;
/// A decimal text longer than this is refused before it is read.
pub const MAX_DECIMAL_LEN: usize = 40;

/// Why a text is not a price or a quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecimalError {
    /// Nothing there, or a point without a digit on both sides.
    #[error("not a decimal number")]
    NotADecimal,
    /// A `-` or `+` in front; the exchange sends neither.
    #[error("a sign in front of the number")]
    Signed,
    /// An exponent such as `1e5`.
    #[error("an exponent")]
    Exponent,
    /// More than eight significant digits after the point, or more than 40 characters.
    #[error("more than 8 decimals, or more than 40 characters")]
    TooPrecise,
    /// Larger than about 9.2e10.
    #[error("out of range (largest is 92233720368.54775807)")]
    OutOfRange,
}

/// Reads an unsigned decimal such as `64339.20` into units of 1e-8. No float is involved.
///
/// # Errors
/// [`DecimalError`] names what is wrong: signs, exponents, separators, missing digits, more than eight
/// significant decimals and anything beyond `i64` are refused, never rounded.
pub fn parse_decimal(text: &[u8]) -> Result<i64, DecimalError> {
    if text.len() > MAX_DECIMAL_LEN {
        return Err(DecimalError::TooPrecise);
    }
    let mut value: i64 = 0;
    let mut digits_before = 0usize;
    let mut at = 0;
    while at < text.len() && text[at].is_ascii_digit() {
        value = push_digit(value, text[at])?;
        digits_before += 1;
        at += 1;
    }
    if digits_before == 0 {
        return Err(match text.first() {
            Some(b'-' | b'+') => DecimalError::Signed,
            _ => DecimalError::NotADecimal,
        });
    }
    let mut decimals = 0usize;
    if at < text.len() && text[at] == b'.' {
        at += 1;
        let first = at;
        while at < text.len() && text[at].is_ascii_digit() {
            if decimals < SCALE_DIGITS {
                value = push_digit(value, text[at])?;
                decimals += 1;
            } else if text[at] != b'0' {
                return Err(DecimalError::TooPrecise);
            }
            at += 1;
        }
        if at == first {
            return Err(DecimalError::NotADecimal);
        }
    }
    if at != text.len() {
        return Err(match text[at] {
            b'e' | b'E' => DecimalError::Exponent,
            _ => DecimalError::NotADecimal,
        });
    }
    value.checked_mul(POW10[SCALE_DIGITS - decimals]).ok_or(DecimalError::OutOfRange)
}

const POW10: [i64; SCALE_DIGITS + 1] =
    [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

#[inline]
fn push_digit(value: i64, digit: u8) -> Result<i64, DecimalError> {
    value.checked_mul(10).and_then(|v| v.checked_add(i64::from(digit - b'0'))).ok_or(DecimalError::OutOfRange)
}

/// A price in the quote asset (for COIN-M in US dollars), in units of 1e-8. Never negative when it comes
/// from the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "net", derive(serde::Serialize, serde::Deserialize))]
pub struct Price(i64);

/// A quantity in units of 1e-8: of the base asset on spot and USDⓈ-M, of contracts on COIN-M.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "net", derive(serde::Serialize, serde::Deserialize))]
pub struct Qty(i64);

/// A signed sum of quantities (a delta or a CVD) in units of 1e-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "net", derive(serde::Serialize, serde::Deserialize))]
pub struct QtyDelta(i128);

impl Price {
    /// A price of `units` × 1e-8.
    pub const fn from_units(units: i64) -> Self {
        Self(units)
    }

    /// The price in units of 1e-8.
    pub const fn units(self) -> i64 {
        self.0
    }

    /// The nearest double; may lose precision.
    pub fn to_f64_lossy(self) -> f64 {
        self.0 as f64 / SCALE as f64
    }
}

impl Qty {
    /// A quantity of `units` × 1e-8.
    pub const fn from_units(units: i64) -> Self {
        Self(units)
    }

    /// The quantity in units of 1e-8.
    pub const fn units(self) -> i64 {
        self.0
    }

    /// The nearest double; may lose precision.
    pub fn to_f64_lossy(self) -> f64 {
        self.0 as f64 / SCALE as f64
    }
}

impl QtyDelta {
    /// No flow at all.
    pub const ZERO: Self = Self(0);

    /// A sum of `units` × 1e-8.
    pub const fn from_units(units: i128) -> Self {
        Self(units)
    }

    /// The sum in units of 1e-8.
    pub const fn units(self) -> i128 {
        self.0
    }

    /// The exact sum, or `None` beyond `i128` (about 1.7e30 whole units).
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The nearest double (within one unit in the last place beyond 2^53 units); may lose precision.
    pub fn to_f64_lossy(self) -> f64 {
        nearest_f64(self.0) / SCALE as f64
    }
}

impl FromStr for Price {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        parse_decimal(text.as_bytes()).map(Self)
    }
}

impl FromStr for Qty {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        parse_decimal(text.as_bytes()).map(Self)
    }
}

impl FromStr for QtyDelta {
    type Err = DecimalError;

    /// Reads a decimal with an optional leading `-`, within the range of a [`Qty`].
    fn from_str(text: &str) -> Result<Self, DecimalError> {
        match text.strip_prefix('-') {
            Some(magnitude) => parse_decimal(magnitude.as_bytes()).map(|v| Self(-i128::from(v))),
            None => parse_decimal(text.as_bytes()).map(|v| Self(i128::from(v))),
        }
    }
}

/// Writes units of 1e-8 as a decimal. Without a precision the trailing zeros go (`0.5`, `12`); with one
/// (`{:.6}`) exactly that many digits stay, rounded half away from zero beyond them.
fn fmt_units(units: i128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = DecimalText::new();
    f.write_str(match f.precision() {
        None => text.shortest(units),
        Some(digits) => text.fixed(units, digits),
    })
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_units(i128::from(self.0), f)
    }
}

impl fmt::Display for Qty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_units(i128::from(self.0), f)
    }
}

impl fmt::Display for QtyDelta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_units(self.0, f)
    }
}

/// A stack buffer that turns units of 1e-8 into decimal text, for writers that allocate nothing.
#[derive(Debug)]
pub struct DecimalText {
    bytes: [u8; DecimalText::LEN],
}

impl Default for DecimalText {
    fn default() -> Self {
        Self::new()
    }
}

impl DecimalText {
    // 39 digits of an i128, a sign, a point, a leading zero and its decimals.
    const LEN: usize = 64;

    /// An empty buffer.
    pub const fn new() -> Self {
        Self { bytes: [0; Self::LEN] }
    }

    /// The exact decimal without trailing zeros: `-0.5`, `12`, `0.00000001`.
    pub fn shortest(&mut self, units: i128) -> &str {
        text_of(self.shortest_ascii(units))
    }

    /// The same as bytes.
    #[inline]
    pub(crate) fn shortest_ascii(&mut self, units: i128) -> &[u8] {
        const PER_WHOLE: u64 = SCALE as u64;
        // Almost every number has eight digits on either side of the point at most.
        match u64::try_from(units.unsigned_abs()) {
            Ok(small) if small < PER_WHOLE * PER_WHOLE => {
                self.short(units < 0, small / PER_WHOLE, small % PER_WHOLE)
            }
            _ => self.long(units),
        }
    }

    /// Fills the buffer from the left, eight digits at a time.
    #[inline]
    fn short(&mut self, negative: bool, whole: u64, fraction: u64) -> &[u8] {
        self.bytes[0] = b'-';
        let mut at = usize::from(negative);
        let mut put = |at: usize, digits: u64| self.bytes[at..at + 8].copy_from_slice(&digits.to_le_bytes());
        let digits = eight_digits(whole);
        // The last digit stays, even if it is a zero.
        let zeros = (digits | (1 << 56)).trailing_zeros() / 8;
        put(at, (digits | ASCII_ZEROS) >> (8 * zeros));
        at += 8 - zeros as usize;
        if fraction > 0 {
            let digits = eight_digits(fraction);
            put(at + 1, digits | ASCII_ZEROS);
            self.bytes[at] = b'.';
            at += 9 - digits.leading_zeros() as usize / 8;
        }
        &self.bytes[..at]
    }

    #[cold]
    fn long(&mut self, units: i128) -> &[u8] {
        let (whole, mut fraction) = split(units.unsigned_abs());
        let mut digits = if fraction == 0 { 0 } else { SCALE_DIGITS };
        while digits > 0 && fraction.is_multiple_of(10) {
            fraction /= 10;
            digits -= 1;
        }
        self.write(units < 0, whole, fraction, digits, 0).as_bytes()
    }

    /// The decimal with exactly `digits` places (at most 16), rounded half away from zero.
    pub fn fixed(&mut self, units: i128, digits: usize) -> &str {
        let digits = digits.min(16);
        let magnitude = units.unsigned_abs();
        let (kept, zeros) = (digits.min(SCALE_DIGITS), digits.saturating_sub(SCALE_DIGITS));
        let step = POW10[SCALE_DIGITS - kept] as u128;
        let rounded = magnitude.saturating_add(step / 2) / step;
        let per_whole = POW10[kept] as u128;
        let negative = units < 0 && rounded != 0;
        self.write(negative, rounded / per_whole, (rounded % per_whole) as u64, kept, zeros)
    }

    /// Fills the buffer from the right.
    fn write(&mut self, negative: bool, whole: u128, fraction: u64, digits: usize, zeros: usize) -> &str {
        let mut at = Self::LEN;
        for _ in 0..zeros {
            at -= 1;
            self.bytes[at] = b'0';
        }
        let mut fraction = fraction;
        for _ in 0..digits {
            at -= 1;
            self.bytes[at] = b'0' + (fraction % 10) as u8;
            fraction /= 10;
        }
        if digits + zeros > 0 {
            at -= 1;
            self.bytes[at] = b'.';
        }
        // Almost every number fits u64, whose division is many times cheaper.
        let mut large = whole;
        while large > u128::from(u64::MAX) {
            at -= 1;
            self.bytes[at] = b'0' + (large % 10) as u8;
            large /= 10;
        }
        let mut small = large as u64;
        loop {
            at -= 1;
            self.bytes[at] = b'0' + (small % 10) as u8;
            small /= 10;
            if small == 0 {
                break;
            }
        }
        if negative {
            at -= 1;
            self.bytes[at] = b'-';
        }
        text_of(&self.bytes[at..])
    }
}

fn text_of(digits: &[u8]) -> &str {
    std::str::from_utf8(digits)
        .expect("nothing but digits, a point and a sign, because they are all that is written")
}

const ASCII_ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);

/// The digits of a number below 10^8, one in each byte, the first in the lowest.
#[inline]
const fn eight_digits(value: u64) -> u64 {
    // Halves, quarters and single digits, each by a division that is a multiplication in every part at once.
    let halves = (value / 10_000) | ((value % 10_000) << 32);
    let hundreds = ((halves * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let quarters = hundreds | ((halves - hundreds * 100) << 16);
    let tens = ((quarters * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((quarters - tens * 10) << 8)
}

/// `value as f64`, bit for bit; what fits `i64`, which is almost everything, takes one instruction.
#[inline]
pub(crate) fn nearest_f64(value: i128) -> f64 {
    let small = value as i64;
    if i128::from(small) == value { small as f64 } else { large_as_f64(value) }
}

/// Kept out of the way: next to the one instruction the compiler would take this for both.
#[cold]
#[inline(never)]
fn large_as_f64(value: i128) -> f64 {
    value as f64
}

/// Wholes and hundred-millionths. Almost every number fits `u64`, whose division is many times cheaper.
fn split(magnitude: u128) -> (u128, u64) {
    const PER_WHOLE: u64 = SCALE as u64;
    match u64::try_from(magnitude) {
        Ok(small) => (u128::from(small / PER_WHOLE), small % PER_WHOLE),
        Err(_) => (magnitude / u128::from(PER_WHOLE), (magnitude % u128::from(PER_WHOLE)) as u64),
    }
}

/// The aggregate trade id `a`: consecutive per symbol and market, so a hole in it is a lost trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "net", derive(serde::Serialize, serde::Deserialize))]
pub struct AggTradeId(pub i64);

impl fmt::Display for AggTradeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Ids from one to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "net", derive(serde::Serialize, serde::Deserialize))]
pub struct IdRange {
    /// The first.
    pub from: AggTradeId,
    /// The last; not before the first.
    pub to: AggTradeId,
}

impl IdRange {
    /// From one id to another, both included.
    pub const fn new(from: i64, to: i64) -> Self {
        Self { from: AggTradeId(from), to: AggTradeId(to) }
    }

    /// How many ids they are.
    pub const fn count(self) -> u64 {
        self.to.0.abs_diff(self.from.0).saturating_add(1)
    }
}

impl fmt::Display for IdRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.from, self.to)
    }
}

/// A UTC instant in whole milliseconds since 1970, as the exchange stamps its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "net", derive(serde::Serialize, serde::Deserialize))]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// A stamp as the exchange writes it: milliseconds, or microseconds where the stream or the archive
    /// uses those (spot files since 2025). Values of 1e14 and more are microseconds: as milliseconds
    /// they would lie beyond the year 5138.
    pub const fn from_exchange(stamp: i64) -> Self {
        if stamp >= 100_000_000_000_000 { Self(stamp / 1_000) } else { Self(stamp) }
    }
}

/// Why a text is not a symbol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a symbol: 1 to 32 letters, digits, '_' or '-', such as BTCUSDT or BTCUSD_PERP")]
pub struct SymbolError(pub String);

/// A contract or pair, upper case as the exchange shows it (`BTCUSDT`, `BTCUSD_PERP`, `币安人生USDT`).
/// Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "net",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "String", into = "String")
)]
pub struct Symbol(Arc<str>);

impl Symbol {
    /// Checks and upper-cases (ASCII letters only) a symbol.
    ///
    /// # Errors
    /// [`SymbolError`] if it is empty, longer than 32 characters, or holds anything but letters, digits,
    /// `_` and `-`.
    pub fn new(text: &str) -> Result<Self, SymbolError> {
        if !Self::is_symbol(text) {
            return Err(SymbolError(text.chars().take(80).collect()));
        }
        Ok(Self(text.to_ascii_uppercase().into()))
    }

    /// Whether a text could be a symbol; see [`Symbol::new`].
    pub fn is_symbol(text: &str) -> bool {
        !text.is_empty()
            && text.len() <= 32 * 4
            && text.chars().count() <= 32
            && text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-')
    }

    /// The symbol as shown: upper case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The symbol as stream names want it: ASCII letters in lower case, the rest untouched.
    pub fn stream_name(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Symbol {
    type Error = SymbolError;

    fn try_from(text: String) -> Result<Self, SymbolError> {
        Self::new(&text)
    }
}

impl From<Symbol> for String {
    fn from(symbol: Symbol) -> Self {
        symbol.0.as_ref().to_owned()
    }
}

impl AsRef<str> for Symbol {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_to_a_decimal_is_the_long_way() {
        for value in (0..100_000_000u64).step_by(997).chain([9, 10, 99, 100, 9_999, 10_000, 99_999_999]) {
            let digits = format!("{value:08}");
            assert_eq!((eight_digits(value) | ASCII_ZEROS).to_le_bytes(), digits.as_bytes());
        }
        let mut random = fastrand::Rng::with_seed(17);
        let (mut one, mut other) = (DecimalText::new(), DecimalText::new());
        let edges = [0, 1, 10, 99_999_999, 100_000_000, 9_999_999_999_999_999, 10_000_000_000_000_000];
        let random = (0..20_000).map(|_| random.i128(..) >> random.u32(60..127) << random.u32(0..8));
        for units in edges.into_iter().flat_map(|edge: i128| [edge, -edge]).chain(random) {
            let expected = other.long(units);
            assert_eq!(one.shortest_ascii(units), expected, "{units}");
        }
    }

    #[test]
    fn a_decimal_is_read_exactly() {
        for (text, units) in [
            ("64339.20", 6_433_920_000_000),
            ("0.00000001", 1),
            ("0", 0),
            ("1", SCALE),
            ("92233720368.54775807", i64::MAX),
            ("0.100000000000", 10_000_000),
        ] {
            assert_eq!(parse_decimal(text.as_bytes()), Ok(units), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_plain_decimal_is_refused_by_name() {
        use DecimalError::*;
        for (text, reason) in [
            ("", NotADecimal),
            (".", NotADecimal),
            (".5", NotADecimal),
            ("5.", NotADecimal),
            ("1_000", NotADecimal),
            ("1,5", NotADecimal),
            (" 1", NotADecimal),
            ("1 ", NotADecimal),
            ("NaN", NotADecimal),
            ("inf", NotADecimal),
            ("0x10", NotADecimal),
            ("1.2.3", NotADecimal),
            ("-1", Signed),
            ("+1", Signed),
            ("1e5", Exponent),
            ("1.5E-3", Exponent),
            ("0.000000001", TooPrecise),
            ("92233720368.54775808", OutOfRange),
            ("99999999999999999999999", OutOfRange),
            ("00000000000000000000000000000000000000000", TooPrecise),
        ] {
            assert_eq!(parse_decimal(text.as_bytes()), Err(reason), "{text:?}");
        }
    }

    #[test]
    fn decimals_print_without_floats() {
        let cvd = QtyDelta::from_units(-1_518_033_400_000);
        assert_eq!(format!("{cvd}"), "-15180.334");
        assert_eq!(format!("{cvd:.6}"), "-15180.334000");
        assert_eq!(format!("{:.10}", QtyDelta::from_units(1)), "0.0000000100");
        assert_eq!(format!("{:.2}", QtyDelta::from_units(-499_999)), "0.00");
        assert_eq!(format!("{:.2}", QtyDelta::from_units(-500_000)), "-0.01");
        assert_eq!(format!("{}", QtyDelta::ZERO), "0");
        assert_eq!(
            format!("{}", QtyDelta::from_units(i128::MIN)),
            "-1701411834604692317316873037158.84105728"
        );
    }

    #[test]
    fn the_short_way_to_a_double_is_the_long_way_bit_for_bit() {
        let edges =
            [0, 1, (1 << 53) + 1, (1 << 54) + 3, i128::from(i64::MAX), i128::from(i64::MAX) + 1, i128::MAX];
        for value in edges.into_iter().flat_map(|edge| [edge, -edge]) {
            assert_eq!(nearest_f64(value).to_bits(), (value as f64).to_bits(), "{value}");
        }
    }

    #[test]
    fn a_symbol_is_upper_cased_for_display_and_lower_cased_for_the_stream() {
        let symbol = Symbol::new("btcUSDT").unwrap();
        assert_eq!((symbol.as_str(), symbol.stream_name().as_str()), ("BTCUSDT", "btcusdt"));
        let symbol = Symbol::new("币安人生usdt").unwrap();
        assert_eq!((symbol.as_str(), symbol.stream_name().as_str()), ("币安人生USDT", "币安人生usdt"));
        for bad in ["", "BTC USDT", "BTC/USDT", "btcusdt@aggTrade", "\u{1b}[31m", &"A".repeat(33)] {
            assert!(Symbol::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_stamp_in_microseconds_becomes_milliseconds() {
        assert_eq!(UnixMillis::from_exchange(1_735_689_600_123_456), UnixMillis(1_735_689_600_123));
        assert_eq!(UnixMillis::from_exchange(1_735_689_600_123), UnixMillis(1_735_689_600_123));
    }
}
