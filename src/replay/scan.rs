//! The literal shape of the exchange's rows, read by hand and eight digits at a time.
//!
//! From row to row hardly a field changes its width, so every field is taken where it stood in the row before, and one
//! check says whether all of them were there. A row that is like none of the last layouts is looked at anew; what is
//! anything but digits, plain decimals and `true` or `false` in the exchange's own columns is left to
//! [`Columns`](super::table), which knows everything and says what is wrong.

use crate::trade::{AggTrade, Aggressor};
use crate::units::{AggTradeId, Price, Qty, UnixMillis};

/// The flags of a row begin no later than here; their text and what ends them is shorter than the difference.
const SHAPE: usize = 112;
const LONGEST: usize = 128;
/// Bytes that have to be there behind the beginning of a row, so that no load of eight leaves them.
const WINDOW: usize = LONGEST + 8;

const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);

const POW10: [i64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// Layouts that are remembered: where zeros at the end of a number are left out, a few take turns.
const LAYOUTS: usize = 4;

/// Reads rows that look like one before.
#[derive(Debug)]
pub(super) struct Scanner {
    layouts: [Layout; LAYOUTS],
    /// The layout of the row before.
    current: usize,
    /// The one that is forgotten next.
    oldest: usize,
    /// Whether a column of `True` or `False` stands behind the others, as in spot files.
    spot: bool,
}

impl Scanner {
    pub(super) fn new(spot: bool) -> Self {
        Self { layouts: std::array::from_fn(|_| Layout::none()), current: 0, oldest: 0, spot }
    }

    /// Reads rows off the beginning of `text` until the block holds `most` of them or a row is left to others. Returns
    /// how many bytes they took.
    #[inline]
    pub(super) fn rows(&mut self, text: &[u8], block: &mut Vec<AggTrade>, most: usize) -> usize {
        if self.spot { self.scan::<true>(text, block, most) } else { self.scan::<false>(text, block, most) }
    }

    fn scan<const SPOT: bool>(&mut self, text: &[u8], block: &mut Vec<AggTrade>, most: usize) -> usize {
        let mut at = 0;
        let mut layout = &self.layouts[self.current];
        while block.len() < most
            && let Some(row) = text.get(at..).and_then(|rest| rest.first_chunk::<WINDOW>())
        {
            let (trade, length) = match layout.read::<SPOT>(row) {
                Some(read) => read,
                None => {
                    let Some(read) = self.read_otherwise::<SPOT>(row) else { break };
                    layout = &self.layouts[self.current];
                    read
                }
            };
            block.push(trade);
            at += length;
        }
        at
    }

    /// Reads a row that does not look like the one before.
    #[inline(never)]
    fn read_otherwise<const SPOT: bool>(&mut self, row: &[u8; WINDOW]) -> Option<(AggTrade, usize)> {
        for turn in 1..LAYOUTS {
            let other = (self.current + turn) % LAYOUTS;
            if let Some(read) = self.layouts[other].read::<SPOT>(row) {
                self.current = other;
                return Some(read);
            }
        }
        self.layouts[self.oldest] = Layout::of(row)?;
        self.current = self.oldest;
        self.oldest = (self.oldest + 1) % LAYOUTS;
        self.layouts[self.current].read::<SPOT>(row)
    }
}

/// Where the fields of a row stand, and what every other byte of it is.
#[derive(Debug)]
struct Layout {
    id: Integer,
    price: Decimal,
    qty: Decimal,
    first: Integer,
    last: Integer,
    time: Integer,
    side: usize,
    shape: Shape,
}

/// What every byte of a row may be, up to the flags: taken from a byte, the first leaves no more than the second.
#[derive(Debug)]
struct Shape {
    least: [u8; SHAPE],
    range: [u8; SHAPE],
}

impl Shape {
    /// Of a row whose digits may be other digits and whose other bytes must be the same.
    fn of(row: &[u8; WINDOW], side: usize) -> Self {
        let mut shape = Self { least: [0; SHAPE], range: [0; SHAPE] };
        let limits = shape.least.iter_mut().zip(&mut shape.range);
        for (byte, (least, range)) in row.iter().zip(limits) {
            let is_digit = byte.is_ascii_digit();
            *least = if is_digit { b'0' } else { *byte };
            *range = if is_digit { 9 } else { 0 };
        }
        shape.range[side..].fill(u8::MAX);
        shape
    }

    /// Demands the very same bytes.
    fn fix(&mut self, row: &[u8; WINDOW], from: usize, to: usize) {
        self.least[from..to].copy_from_slice(&row[from..to]);
        self.range[from..to].fill(0);
    }

    /// Zero for a row of this shape. Written so that it becomes a handful of vector instructions.
    #[inline(always)]
    fn differs(&self, row: &[u8; WINDOW]) -> u8 {
        let limits = self.least.iter().zip(&self.range);
        row.iter().zip(limits).fold(0, |differs, (byte, (least, range))| {
            differs | byte.wrapping_sub(*least).saturating_sub(*range)
        })
    }
}

impl Layout {
    /// How a row is laid out; `None` if it is not of the literal shape.
    #[cold]
    #[inline(never)]
    fn of(row: &[u8; WINDOW]) -> Option<Self> {
        let mut at = 0;
        let id = Integer::at(row, &mut at)?;
        let price = Decimal::at(row, &mut at)?;
        let qty = Decimal::at(row, &mut at)?;
        let first = Integer::at(row, &mut at)?;
        let last = Integer::at(row, &mut at)?;
        let time = Integer::at(row, &mut at)?;
        if at > SHAPE {
            return None;
        }
        let mut shape = Shape::of(row, at);
        for integer in [&id, &first, &last, &time] {
            shape.fix(row, integer.start, integer.low.at);
        }
        Some(Self { id, price, qty, first, last, time, side: at, shape })
    }

    /// Like no row.
    fn none() -> Self {
        let none = || Integer { low: Digits { at: 0, shift: 0 }, start: 0, above: 0 };
        let no = || Decimal {
            whole: Digits { at: 0, shift: 0 },
            decimals: Digits { at: 0, shift: 0 },
            decimals_mask: 0,
            joint_shift: 0,
            is_joint: false,
            scale: 0,
        };
        let shape = Shape { least: [0; SHAPE], range: [0; SHAPE] };
        Self { id: none(), price: no(), qty: no(), first: none(), last: none(), time: none(), side: 0, shape }
    }

    /// The trade in a row, and the length of the row, if it is laid out like this.
    #[inline(always)]
    fn read<const SPOT: bool>(&self, row: &[u8; WINDOW]) -> Option<(AggTrade, usize)> {
        let mut wrong = u64::from(self.shape.differs(row));
        let mut length = self.side;
        let buyer_is_maker = flag(row, &mut length, if SPOT { b',' } else { b'\n' }, &mut wrong);
        if SPOT {
            flag(row, &mut length, b'\n', &mut wrong);
        }
        if wrong != 0 {
            return None;
        }
        let trade = AggTrade {
            id: AggTradeId(self.id.read(row)),
            price: Price::from_units(self.price.read(row)),
            qty: Qty::from_units(self.qty.read(row)),
            qty_without_rpi: None,
            first_trade_id: self.first.read(row),
            last_trade_id: self.last.read(row),
            traded_at: UnixMillis::from_exchange(self.time.read(row)),
            event_at: None,
            aggressor: Aggressor::from_buyer_is_maker(buyer_is_maker),
        };
        Some((trade, length))
    }
}

/// Where an integer of at most sixteen digits stands: its last eight digits. Those before them hardly ever change and
/// belong to the shape.
#[derive(Debug)]
struct Integer {
    low: Digits,
    start: usize,
    /// What the digits before the last eight are worth.
    above: i64,
}

impl Integer {
    /// The integer at a place, which moves behind the comma after it.
    fn at(row: &[u8; WINDOW], at: &mut usize) -> Option<Self> {
        let start = *at;
        let width = digits(row, at)?;
        skip_comma(row, at)?;
        let high = width.saturating_sub(8);
        let low = Digits::new(start + high, width - high);
        let above = if high == 0 { 0 } else { number(Digits::new(start, high).load(row)) * POW10[8] };
        Some(Self { low, start, above })
    }

    #[inline(always)]
    fn read(&self, row: &[u8; WINDOW]) -> i64 {
        self.above + number(self.low.load(row))
    }
}

/// Where a plain decimal stands, with at most eight digits on either side of the point.
#[derive(Debug)]
struct Decimal {
    whole: Digits,
    decimals: Digits,
    /// Selects the decimals; nothing, where there is no point.
    decimals_mask: u64,
    /// The digits on both sides are eight at most, so that they are one number.
    is_joint: bool,
    /// Makes room for the decimals then.
    joint_shift: u32,
    /// What a unit of the last digit is worth.
    scale: i64,
}

impl Decimal {
    /// The decimal at a place, which moves behind the comma after it.
    fn at(row: &[u8; WINDOW], at: &mut usize) -> Option<Self> {
        let start = *at;
        let wholes = digits(row, at)?;
        let (point, mut decimals) = (*at, 0);
        if row[point] == b'.' {
            *at += 1;
            decimals = digits(row, at)?;
        }
        skip_comma(row, at)?;
        if wholes > 8 || decimals > 8 {
            return None;
        }
        Some(Self {
            whole: Digits::new(start, wholes),
            decimals: Digits::new(point + 1, decimals.max(1)),
            decimals_mask: if decimals == 0 { 0 } else { u64::MAX },
            is_joint: wholes + decimals <= 8,
            joint_shift: 8 * (decimals as u32 % 8),
            scale: POW10[8 - decimals],
        })
    }

    #[inline(always)]
    fn read(&self, row: &[u8; WINDOW]) -> i64 {
        let whole = self.whole.load(row);
        let decimals = self.decimals.load(row) & self.decimals_mask;
        if self.is_joint {
            number((whole >> (self.joint_shift % 64)) | decimals) * self.scale
        } else {
            number(whole) * POW10[8] + number(decimals) * self.scale
        }
    }
}

/// Where one to eight digits stand.
#[derive(Debug)]
struct Digits {
    at: usize,
    /// Moves them up to the last of eight bytes.
    shift: u32,
}

impl Digits {
    fn new(at: usize, width: usize) -> Self {
        Self { at, shift: 64 - 8 * width as u32 }
    }

    /// Their values, one in each byte, the last in the highest; zeros before them.
    #[inline(always)]
    fn load(&self, row: &[u8; WINDOW]) -> u64 {
        (load(row, self.at) ^ ZEROS) << (self.shift % 64)
    }
}

/// The number that eight digits are.
#[inline(always)]
fn number(values: u64) -> i64 {
    // Neighbours become pairs, then the four pairs one number, each multiplied by its power of ten.
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    let low = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(100 + (1_000_000 << 32));
    let high = ((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(1 + (10_000 << 32));
    (low.wrapping_add(high) >> 32) as i64
}

/// Reads `true` or `false`, the first letter in either case, and what ends it; moves behind that.
#[inline(always)]
fn flag(row: &[u8; WINDOW], at: &mut usize, end: u8, wrong: &mut u64) -> bool {
    const TRUE: u64 = u64::from_le_bytes(*b"true\0\0\0\0");
    const FALSE: u64 = u64::from_le_bytes(*b"false\0\0\0");
    let text = load(row, *at) | 0x20;
    let is_true = text as u8 == b't';
    let (letters, shift) = if is_true { (TRUE, 32) } else { (FALSE, 40) };
    let expected = letters | u64::from(end) << shift;
    *wrong |= (text ^ expected) << (56 - shift);
    *at += shift as usize / 8 + 1;
    is_true
}

/// How many digits stand at a place, at most sixteen; moves behind them.
fn digits(row: &[u8; WINDOW], at: &mut usize) -> Option<usize> {
    let mut width = leading_digits(load(row, *at));
    if width == 8 {
        width += leading_digits(load(row, *at + 8));
    }
    *at += width;
    let ends = *at < SHAPE && !row[*at].is_ascii_digit();
    (width > 0 && ends).then_some(width)
}

/// How many of eight bytes, from the first on, are digits.
fn leading_digits(text: u64) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let values = text ^ ZEROS;
    // Right up to the first byte that is not the value of a digit.
    let others = (values.wrapping_add(ONES * 0x76) | values) & (ONES * 0x80);
    others.trailing_zeros() as usize / 8
}

fn skip_comma(row: &[u8; WINDOW], at: &mut usize) -> Option<()> {
    *at += 1;
    (row[*at - 1] == b',').then_some(())
}

/// Eight bytes; the first is the lowest.
#[inline(always)]
fn load(row: &[u8; WINDOW], at: usize) -> u64 {
    let (_, rest) = row.split_at(at % LONGEST);
    rest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
