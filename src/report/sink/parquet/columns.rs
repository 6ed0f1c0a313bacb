//! The columns of a row group, until it is written.

use std::fs::File;

use ::parquet::column::writer::ColumnWriterImpl;
use ::parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FixedLenByteArray, FixedLenByteArrayType,
    Int64Type,
};
use ::parquet::errors::ParquetError;
use ::parquet::file::writer::SerializedRowGroupWriter;

use super::TableError;
use crate::bars::{NOTIONAL_DIGITS, Notional};
use crate::units::{DecimalText, Price, SCALE_DIGITS};

/// The largest numbers of 18 and 38 digits: what a decimal of 8 bytes, and one of 16, may hold.
const DIGITS_18: i64 = 10_i64.pow(18) - 1;
const DIGITS_38: i128 = 10_i128.pow(38) - 1;
/// Values that are turned into Parquet's own at a time.
const PIECE: usize = 1_024;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One of few words.
    Text,
    /// A whole number.
    Integer,
    /// An instant in UTC, in milliseconds.
    Time,
    /// A decimal of at most 18 digits, 8 of them behind the point.
    Price,
    /// A decimal of at most 38 digits, 8 of them behind the point.
    Sum,
    /// A decimal of at most 38 digits, 16 of them behind the point.
    Notional,
    /// A double.
    Double,
    /// Yes or no.
    Boolean,
}

/// A column's name and type.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    is_optional: bool,
}

pub(super) const fn required(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, is_optional: false }
}

pub(super) const fn optional(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, is_optional: true }
}

impl Column {
    /// In the language of Parquet's schemas.
    pub(super) fn declaration(&self) -> String {
        let (name, presence) = (self.name, if self.is_optional { "OPTIONAL" } else { "REQUIRED" });
        let (physical, logical) = match self.kind {
            Kind::Text => ("BYTE_ARRAY", " (STRING)".to_owned()),
            Kind::Integer => ("INT64", String::new()),
            Kind::Time => ("INT64", " (TIMESTAMP(MILLIS,true))".to_owned()),
            Kind::Price => ("INT64", format!(" (DECIMAL(18,{SCALE_DIGITS}))")),
            Kind::Sum => ("FIXED_LEN_BYTE_ARRAY(16)", format!(" (DECIMAL(38,{SCALE_DIGITS}))")),
            Kind::Notional => ("FIXED_LEN_BYTE_ARRAY(16)", format!(" (DECIMAL(38,{NOTIONAL_DIGITS}))")),
            Kind::Double => ("DOUBLE", String::new()),
            Kind::Boolean => ("BOOLEAN", String::new()),
        };
        format!("{presence} {physical} {name}{logical}; ")
    }
}

/// A value of a row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cell {
    /// A word by its number.
    Text(u32),
    /// A whole number, or milliseconds since 1970.
    Integer(i64),
    Price(Price),
    /// Units of 1e-8.
    Sum(i128),
    Notional(Notional),
    Double(f64),
    Boolean(bool),
    Null,
}

impl Cell {
    pub(super) fn maybe<T>(value: Option<T>, cell: impl FnOnce(T) -> Self) -> Self {
        value.map_or(Self::Null, cell)
    }

    /// No run counts as far as 2^63.
    pub(super) fn count(count: u64) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

/// The rows of a group.
pub(super) struct Columns {
    columns: Vec<Values>,
    /// The column that the next cell belongs to.
    at: usize,
    rows: usize,
}

/// The values of a column, without those that are not there.
struct Values {
    column: Column,
    values: Buffer,
    /// For each row of an optional column 1 if there is a value, else 0.
    levels: Vec<i16>,
}

enum Buffer {
    Text(Vec<u32>),
    Whole(Vec<i64>),
    Wide(Vec<i128>),
    Double(Vec<f64>),
    Boolean(Vec<bool>),
}

impl Columns {
    pub(super) fn new(columns: &[Column]) -> Self {
        let values = |column: &Column| Values {
            column: *column,
            values: match column.kind {
                Kind::Text => Buffer::Text(Vec::new()),
                Kind::Integer | Kind::Time | Kind::Price => Buffer::Whole(Vec::new()),
                Kind::Sum | Kind::Notional => Buffer::Wide(Vec::new()),
                Kind::Double => Buffer::Double(Vec::new()),
                Kind::Boolean => Buffer::Boolean(Vec::new()),
            },
            levels: Vec::new(),
        };
        Self { columns: columns.iter().map(values).collect(), at: 0, rows: 0 }
    }

    /// Whole rows that wait.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The next cell of a row.
    pub(super) fn push(&mut self, cell: Cell) -> Result<(), TableError> {
        let Values { column, values, levels } = &mut self.columns[self.at];
        self.at += 1;
        if column.is_optional {
            levels.push(i16::from(!matches!(cell, Cell::Null)));
        }
        match (values, cell) {
            (Buffer::Text(words), Cell::Text(word)) => words.push(word),
            (Buffer::Whole(values), Cell::Integer(value)) => values.push(value),
            (Buffer::Whole(values), Cell::Price(price)) if price.units().abs() <= DIGITS_18 => {
                values.push(price.units());
            }
            (Buffer::Wide(values), Cell::Sum(units)) if units.unsigned_abs() <= DIGITS_38 as u128 => {
                values.push(units);
            }
            (Buffer::Wide(values), Cell::Notional(notional)) => match notional.to_i128() {
                Some(units) if units <= DIGITS_38 => values.push(units),
                _ => return Err(too_long(column, notional.to_string())),
            },
            (_, Cell::Price(price)) => return Err(too_long(column, price.to_string())),
            (_, Cell::Sum(units)) => {
                return Err(too_long(column, DecimalText::new().shortest(units).to_owned()));
            }
            (Buffer::Double(values), Cell::Double(value)) => values.push(value),
            (Buffer::Boolean(values), Cell::Boolean(value)) => values.push(value),
            (_, Cell::Null) if column.is_optional => {}
            _ => unreachable!("the cells of a row are in the order of its columns: {}", column.name),
        }
        Ok(())
    }

    pub(super) fn end_row(&mut self) {
        debug_assert_eq!(self.at, self.columns.len());
        (self.at, self.rows) = (0, self.rows + 1);
    }

    /// Writes all columns and empties them. `words` are what the text columns' numbers stand for.
    pub(super) fn write(
        &mut self,
        group: &mut SerializedRowGroupWriter<'_, File>,
        words: &[String],
    ) -> Result<(), ParquetError> {
        let words: Vec<ByteArray> = words.iter().map(|word| ByteArray::from(word.as_str())).collect();
        for column in &mut self.columns {
            let Some(mut writer) = group.next_column()? else { break };
            let levels = column.column.is_optional.then_some(&column.levels[..]);
            match &mut column.values {
                Buffer::Text(values) => {
                    let word = |piece: &[u32]| piece.iter().map(|at| words[*at as usize].clone()).collect();
                    pieces(writer.typed::<ByteArrayType>(), values, levels, word)?;
                    values.clear();
                }
                Buffer::Whole(values) => {
                    pieces(writer.typed::<Int64Type>(), values, levels, <[i64]>::to_vec)?;
                    values.clear();
                }
                Buffer::Wide(values) => {
                    pieces(writer.typed::<FixedLenByteArrayType>(), values, levels, wide)?;
                    values.clear();
                }
                Buffer::Double(values) => {
                    pieces(writer.typed::<DoubleType>(), values, levels, <[f64]>::to_vec)?;
                    values.clear();
                }
                Buffer::Boolean(values) => {
                    pieces(writer.typed::<BoolType>(), values, levels, <[bool]>::to_vec)?;
                    values.clear();
                }
            }
            column.levels.clear();
            writer.close()?;
        }
        self.rows = 0;
        Ok(())
    }
}

/// Hands a column over, a piece of it at a time.
fn pieces<T, D: DataType>(
    writer: &mut ColumnWriterImpl<'_, D>,
    mut values: &[T],
    levels: Option<&[i16]>,
    convert: impl Fn(&[T]) -> Vec<D::T>,
) -> Result<(), ParquetError> {
    match levels {
        None => {
            for piece in values.chunks(PIECE) {
                writer.write_batch(&convert(piece), None, None)?;
            }
        }
        Some(levels) => {
            for levels in levels.chunks(PIECE) {
                let there = levels.iter().filter(|level| **level == 1).count();
                let (piece, rest) = values.split_at(there);
                writer.write_batch(&convert(piece), Some(levels), None)?;
                values = rest;
            }
        }
    }
    Ok(())
}

/// As 16 bytes each, the highest first, which share one allocation.
fn wide(piece: &[i128]) -> Vec<FixedLenByteArray> {
    let bytes: Vec<u8> = piece.iter().flat_map(|value| value.to_be_bytes()).collect();
    let bytes = ByteArray::from(bytes);
    (0..piece.len()).map(|at| FixedLenByteArray::from(bytes.slice(at * 16, 16))).collect()
}

#[cold]
fn too_long(column: &Column, value: String) -> TableError {
    let name = column.name;
    TableError::Format(format!(
        "{value} in column {name} has more digits than Parquet's decimals; take .csv or .jsonl"
    ))
}
