//! The order in which files are read.
//!
//! Tables are gathered by market and symbol and go in the order of their first rows. Files of frames go in the order of
//! their first stamps, or as they were named if one has none. Where both are named, each kind keeps its places.

use std::sync::Arc;

use super::overlap::Overlap;
use super::range::Place;
use super::recognise::Recognised;
use super::{FileLanes, Format, notices};
use crate::snapshot::Market;
use crate::units::Symbol;

/// Brings files into their order; tables of one market and symbol together.
pub(super) fn arrange(files: Vec<Recognised>) -> (Vec<FileLanes>, Vec<Overlap>) {
    let named: Vec<_> = files.iter().map(|file| Arc::clone(&file.file)).collect();
    let is_table: Vec<_> = files.iter().map(|file| matches!(file.format, Format::Table(_))).collect();
    let (tables, frames): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|file| matches!(file.format, Format::Table(_)));
    let (mut tables, mut frames) = (by_lane(tables).into_iter(), by_stamp(frames).into_iter());
    let parts: Vec<Vec<_>> = is_table
        .into_iter()
        .filter_map(|is_table| if is_table { tables.next() } else { frames.next().map(|file| vec![file]) })
        .collect();
    let in_order = parts.iter().flatten().map(|file| &file.file);
    if !in_order.eq(&named) {
        notices::rearranged();
    }
    let lanes = parts.iter().flatten().map(|file| file.lanes.clone()).collect();
    (lanes, parts.into_iter().map(Overlap::of).collect())
}

fn by_lane(mut tables: Vec<Recognised>) -> Vec<Vec<Recognised>> {
    // In the order in which they were named: so do lanes appear.
    let mut lanes: Vec<(Market, Option<Symbol>)> = Vec::new();
    for table in &tables {
        if !lanes.contains(&lane(table)) {
            lanes.push(lane(table));
        }
    }
    // A file without a good row at its beginning stays behind those that have one.
    tables.sort_by_key(|table| (table.extent.first.is_none(), table.extent.first.map(by_time)));
    let mut groups: Vec<Vec<_>> = lanes.iter().map(|_| Vec::new()).collect();
    for table in tables {
        let of = lane(&table);
        if let Some(at) = lanes.iter().position(|lane| *lane == of) {
            groups[at].push(table);
        }
    }
    groups
}

fn lane(table: &Recognised) -> (Market, Option<Symbol>) {
    (table.lanes.market, table.lanes.symbols.as_ref().and_then(|symbols| symbols.first().cloned()))
}

fn by_time((id, time): Place) -> (i64, i64) {
    (time.0, id)
}

fn by_stamp(mut frames: Vec<Recognised>) -> Vec<Recognised> {
    if frames.iter().all(|file| file.first_stamp_ns.is_some()) {
        frames.sort_by_key(|file| file.first_stamp_ns);
    }
    frames
}
