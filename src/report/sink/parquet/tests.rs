use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::Field;

use super::*;
use crate::bars::{Bar, BarBuilder, Built};
use crate::checkpoint::temporary::Temporary;
use crate::cvd::Cvd;
use crate::trade::AggTrade;
use crate::units::{Price, Qty};

fn settings(bars: &[&str]) -> TableSettings {
    let bars = bars.iter().map(|text| text.parse().unwrap()).collect();
    TableSettings { market: Market::UsdM, calculator: CvdConfig::default(), bars, empty_bars: true }
}

/// Empty bars and others in turns, so that columns of many pages have nothing here and there.
fn bars(count: i64) -> Vec<Bar> {
    let mut builder = BarBuilder::new("1s".parse().unwrap(), true);
    let mut cvd = Cvd::new(CvdConfig::default()).unwrap();
    let mut bars = Vec::new();
    for id in 1..=count {
        let trade = AggTrade {
            id: AggTradeId(id),
            price: Price::from_units(id),
            qty: Qty::from_units(1),
            qty_without_rpi: None,
            first_trade_id: -1,
            last_trade_id: -1,
            traded_at: UnixMillis(id * 1_000 + id / 3 * 1_000),
            event_at: None,
            aggressor: Aggressor::Buyer,
        };
        let reading = cvd.apply(&trade).unwrap();
        builder.apply(&trade, &reading, 1, &mut 9, |built| {
            if let Built::Closed(bar) = built {
                bars.push(*bar);
            }
        });
    }
    bars
}

#[test]
fn row_groups_are_bounded_and_what_is_not_there_stays_in_its_place() {
    let folder = Temporary::new();
    let (path, symbol) = (folder.path("x.parquet"), Symbol::new("X").unwrap());
    let bars = bars(3 * BARS_OF_A_GROUP as i64);
    let mut table = table(File::create(&path).unwrap(), &settings(&["1s"])).unwrap();
    for bar in &bars {
        let spec = "1s".parse().unwrap();
        let (market, symbol) = (Market::UsdM, &symbol);
        let closed = ClosedBar { lane: 3, market, symbol, spec, bar, closed_by: None, received: None };
        table.bar(&closed).unwrap();
    }
    table.finish().unwrap();
    let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
    let groups: Vec<_> = reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
    assert!(
        groups.len() > 3 && groups[..groups.len() - 1].iter().all(|rows| *rows == BARS_OF_A_GROUP as i64),
        "{groups:?}"
    );
    let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.len(), bars.len());
    for (row, bar) in rows.iter().zip(&bars) {
        let column = |name: &str| row.get_column_iter().find(|(column, _)| *column == name).unwrap().1;
        let id = bar.first_id.map_or(Field::Null, |id| Field::Long(id.0));
        assert_eq!(column("first_id"), &id);
        assert_eq!(column("vwap") == &Field::Null, bar.first_id.is_none());
        assert_eq!(column("start_time"), &Field::TimestampMillis(bar.start.0));
        assert_eq!(column("fills") == &Field::Null, bar.first_id.is_some());
        assert_eq!(column("symbol"), &Field::Str("X".into()));
    }
}

#[test]
fn a_file_without_rows_has_its_columns() {
    let folder = Temporary::new();
    for (specs, columns) in [(&[][..], TRADE_COLUMNS.len()), (&["1m"][..], BAR_COLUMNS.len())] {
        let path = folder.path("x.parquet");
        table(File::create(&path).unwrap(), &settings(specs)).unwrap().finish().unwrap();
        let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        let metadata = reader.metadata().file_metadata();
        assert_eq!((metadata.num_rows(), metadata.schema_descr().num_columns()), (0, columns));
    }
}

#[test]
fn every_word_stands_where_its_number_says() {
    let words = Words::default();
    let word = |at: u32| words.all[at as usize].as_str();
    assert!(Market::ALL.iter().all(|market| word(Words::market(*market)) == market.as_str()));
    assert!(SIDES.iter().all(|side| word(Words::side(*side)) == side.side()));
    assert!(QUALITIES.iter().all(|quality| word(Words::quality(*quality)) == quality.as_str()));
    assert!(SOURCES.iter().all(|source| word(Words::source(*source)) == source.as_str()));
}
