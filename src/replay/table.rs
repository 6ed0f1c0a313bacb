//! A table of aggregate trades: CSV, one trade per row.
//!
//! Columns are found by their names in the header; case, `_` and spaces do not count, and other columns are
//! ignored:
//!
//! | what | names |
//! | --- | --- |
//! | id | `agg_trade_id`, `aggregate_trade_id`, `id` |
//! | price | `price` |
//! | quantity | `quantity`, `qty` |
//! | first raw trade id (−1 where there is no such column) | `first_trade_id`, `first` |
//! | last raw trade id (likewise) | `last_trade_id`, `last` |
//! | time | `transact_time`, `trade_time`, `time`, `timestamp`; without those `event_time_ms`, `event_time` |
//! | side | `is_buyer_maker`, `buyer_maker`, `was_the_buyer_the_maker`; or `is_buy` (the buyer took) |
//!
//! Without a header, seven columns are a futures file and eight a spot file of the exchange, in their order.
//! Times are milliseconds or microseconds since 1970. A time of event stands in for the time of the trade
//! and is not used for latency.

use std::borrow::Cow;
use std::io;

use crate::snapshot::Market;
use crate::source::Rows;
use crate::trade::{AggTrade, Aggressor};
use crate::units::{AggTradeId, Price, Qty, Symbol, UnixMillis, parse_decimal};

use super::fault::FaultReason;
use super::lines::Lines;
use super::scan::Scanner;
use super::{Damage, TOO_LONG};

/// Reads the rows of one table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) market: Market,
    pub(super) symbol: Symbol,
    columns: Columns,
    /// Reads rows in the exchange's own columns; whatever it leaves, and every other table, is read by `columns`.
    scanner: Option<Scanner>,
}

/// The same table, read from its beginning.
impl Clone for Table {
    fn clone(&self) -> Self {
        Self::new(self.columns.clone(), self.market, self.symbol.clone())
    }
}

impl Table {
    pub(super) fn new(columns: Columns, market: Market, symbol: Symbol) -> Self {
        let scanner = columns.are_the_exchanges().then(|| Scanner::new(columns.spot));
        Self { market, symbol, columns, scanner }
    }

    /// Reads rows until the block holds `most` of them, or as many as a block may; counts the bytes they take in
    /// the file.
    ///
    /// # Errors
    /// When the file cannot be read further; the rows before that are in the block.
    pub(super) fn fill(
        &mut self,
        lines: &mut Lines,
        block: &mut Vec<AggTrade>,
        most: usize,
        bytes: &mut u64,
    ) -> io::Result<BlockEnd> {
        let most = most.min(Rows::MOST);
        while block.len() < most {
            if let Some(scanner) = &mut self.scanner {
                let before = block.len();
                let taken = scanner.rows(lines.buffered(), block, most);
                lines.take((block.len() - before) as u64, taken);
                *bytes += taken as u64;
                if block.len() == most {
                    break;
                }
            }
            let Some(line) = lines.next()? else { return Ok(BlockEnd::LastRow) };
            *bytes += line.length;
            match if line.whole { self.read(line.text) } else { Err(TOO_LONG.into()) } {
                Ok(trade) => block.extend(trade),
                Err(reason) => return Ok(BlockEnd::Damaged(Damage::of(&line, reason))),
            }
        }
        Ok(BlockEnd::Full)
    }

    /// The trade in a row; `None` for an empty line and for the header, wherever it stands (a gzip file may be
    /// several in a row).
    pub(super) fn read(&self, line: &[u8]) -> Result<Option<AggTrade>, String> {
        if line.is_empty() {
            return Ok(None);
        }
        match self.columns.trade(line) {
            Ok(trade) => Ok(Some(trade)),
            Err(_) if self.columns.header.as_deref() == Some(line) => Ok(None),
            Err(reason) => Err(reason),
        }
    }
}

/// Why a block of rows ended.
#[derive(Debug)]
pub(super) enum BlockEnd {
    /// It is full.
    Full,
    /// The next line is damaged.
    Damaged(Damage),
    /// The file ends.
    LastRow,
}

/// What a trade needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Id,
    Price,
    Qty,
    First,
    Last,
    Time,
    Side,
}

const NEEDS: usize = 7;

/// The cells of a row that a trade needs, by [`Need`]; empty where the table has no such column.
type Cells<'a> = [&'a [u8]; NEEDS];

/// Which column holds what.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    /// By column.
    needs: Vec<Option<Need>>,
    /// By [`Need`], as the header writes it; empty where the table has no such column.
    names: [Cow<'static, str>; NEEDS],
    /// Whether `true` in the column of the side means that the buyer took.
    true_is_buy: bool,
    spot: bool,
    header: Option<Vec<u8>>,
}

impl Columns {
    /// The columns that a first line tells: a header, or a good row of a file without one. `Ok(None)` if it
    /// is neither, an error if it is a header without the columns that are needed.
    pub(super) fn recognise(line: &[u8]) -> Result<Option<Self>, FaultReason> {
        let Ok(text) = std::str::from_utf8(line) else { return Ok(None) };
        let cells = split(text);
        if cells.len() < 3 {
            return Ok(None);
        }
        if cells[0].bytes().next().is_some_and(|byte| byte.is_ascii_digit()) {
            let columns = match cells.len() {
                7 => Self::without_header(false),
                8 => Self::without_header(true),
                _ => return Ok(None),
            };
            return Ok(columns.trade(line).is_ok().then_some(columns));
        }
        match cells.iter().all(|cell| is_name(cell)) {
            true => Self::of_header(line, &cells).map(Some),
            false => Ok(None),
        }
    }

    /// Whether these are the exchange's own columns in their own order.
    fn are_the_exchanges(&self) -> bool {
        !self.true_is_buy && self.needs == Self::without_header(self.spot).needs
    }

    /// Whether it has the columns of a spot file.
    pub(super) fn spot(&self) -> bool {
        self.spot
    }

    fn without_header(spot: bool) -> Self {
        use Need::*;
        let mut needs = [Id, Price, Qty, First, Last, Time, Side].map(Some).to_vec();
        needs.extend(spot.then_some(None));
        let names = [
            "agg_trade_id",
            "price",
            "quantity",
            "first_trade_id",
            "last_trade_id",
            "transact_time",
            "is_buyer_maker",
        ];
        Self { needs, names: names.map(Cow::Borrowed), true_is_buy: false, spot, header: None }
    }

    fn of_header(line: &[u8], cells: &[String]) -> Result<Self, FaultReason> {
        let plain: Vec<String> = cells.iter().map(|cell| plain_name(cell)).collect();
        let known = |name: &&str| plain.iter().any(|cell| cell == name);
        if ["quoteqty", "quotequantity"].iter().any(&known) {
            return Err(FaultReason::RawTrades);
        }
        let mut columns = Self {
            needs: vec![None; cells.len()],
            names: [const { Cow::Borrowed("") }; NEEDS],
            true_is_buy: false,
            spot: known(&"isbestmatch") || known(&"wasthetradethebestpricematch"),
            header: Some(line.to_vec()),
        };
        for (need, names) in KNOWN {
            let Some(name) = names.iter().copied().find(|name| known(name)) else { continue };
            let mut at = (0..cells.len()).filter(|at| plain[*at] == name);
            if let (Some(at), None) = (at.next(), at.next()) {
                columns.needs[at] = Some(need);
                columns.names[need as usize] = Cow::Owned(cells[at].trim().to_owned());
                columns.true_is_buy |= name == IS_BUY;
            } else {
                return Err(FaultReason::DuplicateColumn(name.to_owned()));
            }
        }
        for (need, missing) in [
            (Need::Id, "the id of the aggregate trade (agg_trade_id)"),
            (Need::Price, "a price (price)"),
            (Need::Qty, "a quantity (quantity)"),
            (Need::Time, "a time (transact_time)"),
            (Need::Side, "a side (is_buyer_maker)"),
        ] {
            if columns.names[need as usize].is_empty() {
                return Err(FaultReason::MissingColumn(missing));
            }
        }
        Ok(columns)
    }

    fn trade(&self, line: &[u8]) -> Result<AggTrade, String> {
        if line.contains(&b'"') {
            let record = quoted(line);
            self.trade_of(self.cells(record.iter())?, line)
        } else {
            self.trade_of(self.cells(line.split(|byte| *byte == b','))?, line)
        }
    }

    fn cells<'a>(&self, cells: impl Iterator<Item = &'a [u8]>) -> Result<Cells<'a>, String> {
        let mut needed: Cells<'a> = [&[]; NEEDS];
        let mut count = 0;
        for cell in cells {
            if let Some(Some(need)) = self.needs.get(count) {
                needed[*need as usize] = cell;
            }
            count += 1;
        }
        if count == self.needs.len() {
            Ok(needed)
        } else {
            Err(format!("{count} columns where {} are expected", self.needs.len()))
        }
    }

    fn trade_of(&self, cells: Cells<'_>, line: &[u8]) -> Result<AggTrade, String> {
        if std::str::from_utf8(line).is_err() {
            return Err("not UTF-8".into());
        }
        let id = self.integer(Need::Id, &cells)?;
        if id < 0 {
            return Err(self.damage(Need::Id, &cells, "negative"));
        }
        let time = self.integer(Need::Time, &cells)?;
        if time < 0 {
            return Err(self.damage(Need::Time, &cells, "before 1970"));
        }
        let raw_id = |need| match self.names[need as usize].is_empty() {
            true => Ok(-1),
            false => self.integer(need, &cells),
        };
        Ok(AggTrade {
            id: AggTradeId(id),
            price: Price::from_units(self.decimal(Need::Price, &cells)?),
            qty: Qty::from_units(self.decimal(Need::Qty, &cells)?),
            qty_without_rpi: None,
            first_trade_id: raw_id(Need::First)?,
            last_trade_id: raw_id(Need::Last)?,
            traded_at: UnixMillis::from_exchange(time),
            event_at: None,
            aggressor: Aggressor::from_buyer_is_maker(self.flag(Need::Side, &cells)? != self.true_is_buy),
        })
    }

    fn integer(&self, need: Need, cells: &Cells<'_>) -> Result<i64, String> {
        integer(cells[need as usize]).ok_or_else(|| self.damage(need, cells, "not an integer"))
    }

    fn decimal(&self, need: Need, cells: &Cells<'_>) -> Result<i64, String> {
        parse_decimal(cells[need as usize]).map_err(|error| self.damage(need, cells, &error.to_string()))
    }

    fn flag(&self, need: Need, cells: &Cells<'_>) -> Result<bool, String> {
        match cells[need as usize] {
            b"true" | b"True" | b"TRUE" | b"1" => Ok(true),
            b"false" | b"False" | b"FALSE" | b"0" => Ok(false),
            _ => Err(self.damage(need, cells, "neither true nor false")),
        }
    }

    #[cold]
    fn damage(&self, need: Need, cells: &Cells<'_>, what: &str) -> String {
        let (name, cell) = (&self.names[need as usize], cells[need as usize]);
        match cell {
            [] => format!("no {name}"),
            _ => format!("{name} `{}`: {what}", shown(&String::from_utf8_lossy(cell))),
        }
    }
}

const IS_BUY: &str = "isbuy";

/// The names of columns, without case and separators; an earlier name goes before a later one.
const KNOWN: [(Need, &[&str]); NEEDS] = [
    (Need::Id, &["aggtradeid", "aggregatetradeid", "id"]),
    (Need::Price, &["price"]),
    (Need::Qty, &["quantity", "qty"]),
    (Need::First, &["firsttradeid", "first"]),
    (Need::Last, &["lasttradeid", "last"]),
    (Need::Time, &["transacttime", "tradetime", "time", "timestamp", "eventtimems", "eventtime"]),
    (Need::Side, &["isbuyermaker", "buyermaker", "wasthebuyerthemaker", IS_BUY]),
];

/// Whether a cell could be the name of a column. A line of such cells is a header that has to be understood:
/// rows below columns of unknown meaning are not guessed at.
fn is_name(cell: &str) -> bool {
    let cell = cell.trim();
    cell.starts_with(char::is_alphabetic) && cell.chars().all(|c| c.is_alphanumeric() || " _-()".contains(c))
}

fn plain_name(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect()
}

/// A value as reasons show it: escaped, at most 40 characters.
pub(super) fn shown(value: &str) -> String {
    let mut start: String = value.chars().take(40).flat_map(char::escape_debug).collect();
    if value.chars().nth(40).is_some() {
        start.push('…');
    }
    start
}

/// Splits any line into its cells.
fn split(line: &str) -> Vec<String> {
    let cells = |record: csv::ByteRecord| {
        record.iter().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect()
    };
    match line.contains('"') {
        true => cells(quoted(line.as_bytes())),
        false => line.split(',').map(str::to_owned).collect(),
    }
}

/// Splits a line with quotes in it, which no file of the exchange has.
fn quoted(line: &[u8]) -> csv::ByteRecord {
    let mut record = csv::ByteRecord::new();
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(line.len().max(1))
        .from_reader(line);
    if reader.read_byte_record(&mut record).is_err() {
        record.clear();
    }
    record
}

fn integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value: i64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(i64::from(digit - b'0'))?;
    }
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests;
