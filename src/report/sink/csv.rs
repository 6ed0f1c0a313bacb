//! CSV: a header, a line for each row, decimals as text, nothing where nothing is known. No field needs quotes.

use std::fmt::Display;
use std::fs::File;
use std::io::Write;

use super::lines::Text;
use super::{Table, TableError};
use crate::bars::ClosedBar;
use crate::snapshot::Snapshot;
use crate::units::{AggTradeId, DecimalText, UnixMillis};

const TRADE_COLUMNS: &str = "symbol,market,epoch,agg_trade_id,trade_time_ms,price,qty,side,delta,cvd,z,ema,warmup,\
    std_zero,quality,missing_trades,source\n";

const BAR_COLUMNS: &str = "symbol,market,bar,start_ms,end_ms,open,high,low,close,volume,quote_volume,buy_volume,\
    sell_volume,delta,min_delta,max_delta,cvd_open,cvd_high,cvd_low,cvd_close,vwap,trades,fills,first_id,last_id,\
    first_trade_time_ms,last_trade_time_ms,epoch,complete\n";

pub(super) struct CsvTable(Text);

impl CsvTable {
    pub(super) fn new(file: File, has_bars: bool) -> Self {
        let mut text = Text::plain(file);
        let header = if has_bars { BAR_COLUMNS } else { TRADE_COLUMNS };
        text.buffer.extend_from_slice(header.as_bytes());
        Self(text)
    }
}

impl Table for CsvTable {
    fn trade(&mut self, snapshot: &Snapshot<'_>) -> Result<(), TableError> {
        let Snapshot { market, symbol, trade, source, reading, coverage, .. } = snapshot;
        let mut line = Line(&mut self.0.buffer);
        line.text(symbol.as_str());
        line.text(market.as_str());
        line.integer(coverage.epoch);
        line.integer(trade.id.0);
        line.integer(trade.traded_at.0);
        line.decimal(i128::from(trade.price.units()));
        line.decimal(i128::from(trade.qty.units()));
        line.text(trade.aggressor.side());
        line.decimal(reading.delta.units());
        line.decimal(reading.cvd.units());
        line.double(reading.z);
        line.double(reading.ema);
        line.boolean(reading.warmup);
        line.boolean(reading.std_zero);
        line.text(coverage.quality.as_str());
        line.integer(coverage.missing_trades);
        line.text(source.as_str());
        line.end();
        Ok(self.0.end_line()?)
    }

    fn bar(&mut self, closed: &ClosedBar<'_>) -> Result<(), TableError> {
        let ClosedBar { market, symbol, spec, bar, .. } = *closed;
        let mut line = Line(&mut self.0.buffer);
        line.text(symbol.as_str());
        line.text(market.as_str());
        line.shown(Some(spec));
        line.integer(bar.start.0);
        line.integer(bar.end.0);
        for price in [bar.open, bar.high, bar.low, bar.close] {
            line.decimal(i128::from(price.units()));
        }
        line.decimal(bar.volume().units());
        line.shown(bar.quote_volume(market));
        let (deltas, cvd) = (bar.delta(), bar.cvd_close());
        for sum in [bar.buy_volume, bar.sell_volume, deltas, bar.min_delta, bar.max_delta] {
            line.decimal(sum.units());
        }
        for sum in [bar.cvd_open, bar.cvd_high(), bar.cvd_low(), cvd] {
            line.decimal(sum.units());
        }
        line.shown(bar.vwap(market));
        line.integer(bar.trades);
        line.shown(bar.fills);
        line.shown(bar.first_id.map(|AggTradeId(id)| id));
        line.shown(bar.last_id.map(|AggTradeId(id)| id));
        line.shown(bar.first_trade_at.map(|UnixMillis(at)| at));
        line.shown(bar.last_trade_at.map(|UnixMillis(at)| at));
        line.integer(bar.epoch);
        line.boolean(bar.complete);
        line.end();
        Ok(self.0.end_line()?)
    }

    fn finish(self: Box<Self>) -> Result<File, TableError> {
        Ok(self.0.finish()?)
    }
}

/// A line that is written field by field.
struct Line<'a>(&'a mut Vec<u8>);

impl Line<'_> {
    fn text(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(b',');
    }

    fn integer(&mut self, value: impl itoa::Integer) {
        self.text(itoa::Buffer::new().format(value));
    }

    fn decimal(&mut self, units: i128) {
        self.text(DecimalText::new().shortest(units));
    }

    fn double(&mut self, value: Option<f64>) {
        match value {
            Some(value) if value.is_finite() => self.text(zmij::Buffer::new().format_finite(value)),
            _ => self.text(""),
        }
    }

    fn boolean(&mut self, value: bool) {
        self.text(if value { "true" } else { "false" });
    }

    fn shown(&mut self, value: Option<impl Display>) {
        if let Some(value) = value {
            write!(self.0, "{value}").expect("a Vec takes every byte, because its writer cannot fail");
        }
        self.0.push(b',');
    }

    /// The last field has no comma behind it.
    fn end(self) {
        self.0.pop();
        self.0.push(b'\n');
    }
}
