//! Parquet, written column by column without Arrow: exact decimals, times as timestamps, Zstandard.

mod columns;

use std::fs::File;
use std::sync::Arc;

use ::parquet::basic::{Compression, Encoding, ZstdLevel};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use ::parquet::schema::types::ColumnPath;

use super::{Table, TableError, TableSettings};
use crate::bars::{BarSpec, ClosedBar};
use crate::cvd::CvdConfig;
use crate::snapshot::{Market, Quality, Snapshot, TradeSource};
use crate::trade::Aggressor;
use crate::units::{AggTradeId, Symbol, UnixMillis};

use columns::{Cell, Column, Columns, Kind, optional, required};

/// Rows of a row group: what is in memory until it is written, about 16 MiB. Bars are wider than trades.
const TRADES_OF_A_GROUP: usize = 131_072;
const BARS_OF_A_GROUP: usize = if cfg!(test) { 3_000 } else { 32_768 };

const TRADE_COLUMNS: [Column; 17] = [
    required("symbol", Kind::Text),
    required("market", Kind::Text),
    required("epoch", Kind::Integer),
    required("agg_trade_id", Kind::Integer),
    required("trade_time", Kind::Time),
    required("price", Kind::Price),
    required("qty", Kind::Sum),
    required("side", Kind::Text),
    required("delta", Kind::Sum),
    required("cvd", Kind::Sum),
    optional("z", Kind::Double),
    optional("ema", Kind::Double),
    required("warmup", Kind::Boolean),
    required("std_zero", Kind::Boolean),
    required("quality", Kind::Text),
    required("missing_trades", Kind::Integer),
    required("source", Kind::Text),
];

const BAR_COLUMNS: [Column; 29] = [
    required("symbol", Kind::Text),
    required("market", Kind::Text),
    required("bar", Kind::Text),
    required("start_time", Kind::Time),
    required("end_time", Kind::Time),
    required("open", Kind::Price),
    required("high", Kind::Price),
    required("low", Kind::Price),
    required("close", Kind::Price),
    required("volume", Kind::Sum),
    optional("quote_volume", Kind::Notional),
    required("buy_volume", Kind::Sum),
    required("sell_volume", Kind::Sum),
    required("delta", Kind::Sum),
    required("min_delta", Kind::Sum),
    required("max_delta", Kind::Sum),
    required("cvd_open", Kind::Sum),
    required("cvd_high", Kind::Sum),
    required("cvd_low", Kind::Sum),
    required("cvd_close", Kind::Sum),
    optional("vwap", Kind::Price),
    required("trades", Kind::Integer),
    optional("fills", Kind::Integer),
    optional("first_id", Kind::Integer),
    optional("last_id", Kind::Integer),
    optional("first_trade_time", Kind::Time),
    optional("last_trade_time", Kind::Time),
    required("epoch", Kind::Integer),
    required("complete", Kind::Boolean),
];

/// A file of trades or bars.
pub(super) fn table(file: File, settings: &TableSettings) -> Result<Box<dyn Table + Send>, TableError> {
    let has_bars = !settings.bars.is_empty();
    let (name, columns, group) = match has_bars {
        true => ("bars", &BAR_COLUMNS[..], BARS_OF_A_GROUP),
        false => ("trades", &TRADE_COLUMNS[..], TRADES_OF_A_GROUP),
    };
    let fields: String = columns.iter().map(Column::declaration).collect();
    let schema = parse_message_type(&format!("message {name} {{ {fields} }}")).map_err(failed)?;
    let level = ZstdLevel::try_new(3).map_err(failed)?;
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_dictionary_enabled(false);
    for column in columns {
        let path = ColumnPath::from(column.name);
        properties = match column.kind {
            Kind::Text => properties.set_column_dictionary_enabled(path, true),
            Kind::Integer | Kind::Time | Kind::Price => {
                properties.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED)
            }
            Kind::Sum | Kind::Notional | Kind::Double | Kind::Boolean => properties,
        };
    }
    let writer =
        SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties.build())).map_err(failed)?;
    let (columns, words, settings) = (Columns::new(columns), Words::default(), settings.clone());
    Ok(Box::new(ParquetTable { writer, columns, group, words, settings }))
}

struct ParquetTable {
    writer: SerializedFileWriter<File>,
    columns: Columns,
    /// Rows of a row group.
    group: usize,
    words: Words,
    settings: TableSettings,
}

impl ParquetTable {
    fn end_row(&mut self) -> Result<(), TableError> {
        self.columns.end_row();
        if self.columns.rows() >= self.group { self.write_group() } else { Ok(()) }
    }

    fn write_group(&mut self) -> Result<(), TableError> {
        let mut group = self.writer.next_row_group().map_err(failed)?;
        self.columns.write(&mut group, &self.words.all).map_err(failed)?;
        group.close().map(drop).map_err(failed)
    }
}

impl Table for ParquetTable {
    fn trade(&mut self, snapshot: &Snapshot<'_>) -> Result<(), TableError> {
        let Snapshot { lane, market, symbol, trade, source, reading, coverage, .. } = *snapshot;
        let symbol = self.words.symbol(lane, symbol);
        for cell in [
            Cell::Text(symbol),
            Cell::Text(Words::market(market)),
            Cell::Integer(i64::from(coverage.epoch)),
            Cell::Integer(trade.id.0),
            Cell::Integer(trade.traded_at.0),
            Cell::Price(trade.price),
            Cell::Sum(i128::from(trade.qty.units())),
            Cell::Text(Words::side(trade.aggressor)),
            Cell::Sum(reading.delta.units()),
            Cell::Sum(reading.cvd.units()),
            Cell::maybe(reading.z, Cell::Double),
            Cell::maybe(reading.ema, Cell::Double),
            Cell::Boolean(reading.warmup),
            Cell::Boolean(reading.std_zero),
            Cell::Text(Words::quality(coverage.quality)),
            Cell::count(coverage.missing_trades),
            Cell::Text(Words::source(source)),
        ] {
            self.columns.push(cell)?;
        }
        self.end_row()
    }

    fn bar(&mut self, closed: &ClosedBar<'_>) -> Result<(), TableError> {
        let ClosedBar { lane, market, symbol, spec, bar, .. } = *closed;
        let (symbol, spec) = (self.words.symbol(lane, symbol), self.words.spec(spec));
        let id = |id: Option<AggTradeId>| Cell::maybe(id.map(|id| id.0), Cell::Integer);
        let time = |at: Option<UnixMillis>| Cell::maybe(at.map(|at| at.0), Cell::Integer);
        for cell in [
            Cell::Text(symbol),
            Cell::Text(Words::market(market)),
            Cell::Text(spec),
            Cell::Integer(bar.start.0),
            Cell::Integer(bar.end.0),
            Cell::Price(bar.open),
            Cell::Price(bar.high),
            Cell::Price(bar.low),
            Cell::Price(bar.close),
            Cell::Sum(bar.volume().units()),
            Cell::maybe(bar.quote_volume(market), Cell::Notional),
            Cell::Sum(bar.buy_volume.units()),
            Cell::Sum(bar.sell_volume.units()),
            Cell::Sum(bar.delta().units()),
            Cell::Sum(bar.min_delta.units()),
            Cell::Sum(bar.max_delta.units()),
            Cell::Sum(bar.cvd_open.units()),
            Cell::Sum(bar.cvd_high().units()),
            Cell::Sum(bar.cvd_low().units()),
            Cell::Sum(bar.cvd_close().units()),
            Cell::maybe(bar.vwap(market), Cell::Price),
            Cell::count(bar.trades),
            Cell::maybe(bar.fills, Cell::count),
            id(bar.first_id),
            id(bar.last_id),
            time(bar.first_trade_at),
            time(bar.last_trade_at),
            Cell::Integer(i64::from(bar.epoch)),
            Cell::Boolean(bar.complete),
        ] {
            self.columns.push(cell)?;
        }
        self.end_row()
    }

    fn rename(&mut self, lane: usize) {
        if let Some(word) = self.words.symbols.get_mut(lane) {
            *word = None;
        }
    }

    fn made_with(&mut self, market: Market, calculator: CvdConfig) {
        (self.settings.market, self.settings.calculator) = (market, calculator);
    }

    fn finish(mut self: Box<Self>) -> Result<File, TableError> {
        if self.columns.rows() > 0 {
            self.write_group()?;
        }
        metadata(&self.settings).into_iter().for_each(|pair| self.writer.append_key_value_metadata(pair));
        self.writer.into_inner().map_err(failed)
    }
}

/// The words of the text columns, by number. Those of the enums come first, in the order of their variants.
struct Words {
    all: Vec<String>,
    symbols: Vec<Option<u32>>,
    specs: Vec<(BarSpec, u32)>,
}

const SIDES: [Aggressor; 2] = [Aggressor::Buyer, Aggressor::Seller];
const QUALITIES: [Quality; 3] = [Quality::Complete, Quality::Repairing, Quality::Missing];
const SOURCES: [TradeSource; 3] = [TradeSource::Stream, TradeSource::File, TradeSource::Rest];

impl Default for Words {
    fn default() -> Self {
        let markets = Market::ALL.map(Market::as_str);
        let (sides, qualities) = (SIDES.map(Aggressor::side), QUALITIES.map(Quality::as_str));
        let sources = SOURCES.map(TradeSource::as_str);
        let all = markets.iter().chain(&sides).chain(&qualities).chain(&sources);
        Self { all: all.map(ToString::to_string).collect(), symbols: Vec::new(), specs: Vec::new() }
    }
}

impl Words {
    fn market(market: Market) -> u32 {
        market as u32
    }

    fn side(side: Aggressor) -> u32 {
        Market::ALL.len() as u32 + side as u32
    }

    fn quality(quality: Quality) -> u32 {
        (Market::ALL.len() + SIDES.len()) as u32 + quality as u32
    }

    fn source(source: TradeSource) -> u32 {
        (Market::ALL.len() + SIDES.len() + QUALITIES.len()) as u32 + source as u32
    }

    fn symbol(&mut self, lane: usize, symbol: &Symbol) -> u32 {
        if self.symbols.len() <= lane {
            self.symbols.resize(lane + 1, None);
        }
        match self.symbols[lane] {
            Some(word) => word,
            None => {
                let word = self.learn(symbol.to_string());
                self.symbols[lane] = Some(word);
                word
            }
        }
    }

    fn spec(&mut self, spec: BarSpec) -> u32 {
        match self.specs.iter().find(|(known, _)| *known == spec) {
            Some((_, word)) => *word,
            None => {
                let word = self.learn(spec.to_string());
                self.specs.push((spec, word));
                word
            }
        }
    }

    fn learn(&mut self, word: String) -> u32 {
        let at = self.all.iter().position(|known| *known == word).unwrap_or(self.all.len());
        if at == self.all.len() {
            self.all.push(word);
        }
        u32::try_from(at).expect("fewer than 2^32, because so many symbols fit no memory")
    }
}

/// How the file was made; of several recordings, as the last one of them was.
fn metadata(settings: &TableSettings) -> Vec<KeyValue> {
    let rows = if settings.bars.is_empty() { "trades" } else { "bars" };
    let TableSettings { market, calculator, bars, empty_bars } = settings;
    let mut pairs = vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("rows", rows.to_owned()),
        ("market", market.to_string()),
        ("unit", market.unit().to_owned()),
        ("z_window", calculator.z_window.to_string()),
        ("z_warmup", calculator.warmup_values().to_string()),
        ("ema_alpha", calculator.ema_alpha.to_string()),
    ];
    if !bars.is_empty() {
        pairs.push(("bars", bars.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")));
        pairs.push(("empty_bars", empty_bars.to_string()));
    }
    pairs.into_iter().map(|(key, value)| KeyValue::new(format!("cvd_stream.{key}"), value)).collect()
}

/// What the system said, where it did.
fn failed(error: ParquetError) -> TableError {
    match error {
        ParquetError::External(cause) => match cause.downcast::<std::io::Error>() {
            Ok(error) => TableError::Io(*error),
            Err(cause) => TableError::Format(cause.to_string()),
        },
        other => TableError::Format(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
