//! Whether a table begins with its first row.
//!
//! A row that comes too late for its place, after higher ids have moved the numbers, is lost. Within a file that can be
//! helped by sorting the rest, but not if it belongs before the very first row. Files in order must cost nothing, so a
//! file is looked through beforehand only where something speaks for it: rows out of order in its first 64 KiB or at
//! places here and there (of text that is not compressed), a first row long after the day began that the name tells, or
//! a name that tells no day of a file so small that it does not matter.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::fault::FileFault;
use super::range::{Extent, Place};
use super::recognise::{Order, Recognised, lines_of};
use super::survey::{OrderWatch, survey};
use super::table::Table;
use super::{Format, notices};
use crate::trade::AggTrade;

/// Places at which a file of plain text is looked at.
const SAMPLES: u64 = 64;
/// Bytes that are read at each.
const SAMPLE_BYTES: usize = 4 * 1024;
/// A published file whose first trade comes so long after the beginning of its day may begin with a later one.
const LATE_MS: i64 = 3_600_000;
/// To look through so many bytes takes no time to speak of.
const SMALL: u64 = 1024 * 1024;

/// What the beginning of a table shows.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// It is all there is.
    is_whole: bool,
    rows: u64,
    is_in_order: bool,
    is_consecutive: bool,
}

impl Doubt {
    /// Reads the rows at the beginning and notes the lowest.
    pub(super) fn about(head: &[u8], is_whole: bool, table: &Table, extent: &mut Extent) -> Self {
        let mut doubt = Self { is_whole, rows: 0, is_in_order: true, is_consecutive: true };
        let end = match is_whole {
            true => head.len(),
            // The last line may go on.
            false => head.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1),
        };
        let mut order = OrderWatch::default();
        let mut next_id = None;
        let mut lowest: Option<Place> = None;
        for trade in lines_of(&head[..end]).filter_map(|line| table.read(line).ok().flatten()) {
            doubt.rows += 1;
            doubt.is_in_order &= order.admits(&trade);
            doubt.is_consecutive &= next_id.is_none_or(|next| next == trade.id.0);
            next_id = trade.id.0.checked_add(1);
            if lowest.is_none_or(|(id, _)| trade.id.0 < id) {
                lowest = Some((trade.id.0, trade.traded_at));
            }
        }
        extent.first = lowest;
        doubt
    }

    /// Looks through a file if there is reason to.
    pub(super) fn resolve(self, file: &mut Recognised, is_plain: bool) -> Result<(), FileFault> {
        let Self { is_whole, rows, is_in_order, is_consecutive } = self;
        if is_whole {
            file.order = if is_in_order { Order::Known } else { Order::Disordered { rows: Some(rows) } };
            return Ok(());
        }
        let Some(again) = file.again() else {
            if !is_in_order {
                file.order = Order::Disordered { rows: None };
            }
            return Ok(());
        };
        let begins_late = match (file.extent.period, file.extent.first) {
            (Some(period), Some((_, time))) => time.0 - period.start.0 > LATE_MS,
            _ => false,
        };
        let is_doubtful = !is_consecutive
            || begins_late
            || file.extent.period.is_none() && file.on_disk <= SMALL
            || is_plain && !samples_ascend(file);
        if is_doubtful {
            let fault = |reason| FileFault { file: file.file.to_path_buf(), reason };
            notices::looking_through(&file.file, file.on_disk);
            let survey = survey(again, 0).map_err(fault)?;
            file.extent.first = survey.lowest;
            file.order = match survey.disordered {
                0 => Order::Known,
                _ => Order::Disordered { rows: Some(survey.rows) },
            };
        }
        Ok(())
    }
}

/// Whether rows here and there in a file are in order; true where none can be read.
fn samples_ascend(file: &Recognised) -> bool {
    let Format::Table(table) = &file.format else { return true };
    let mut order = OrderWatch::default();
    samples(&file.file, table).is_none_or(|trades| trades.iter().all(|trade| order.admits(trade)))
}

fn samples(file: &Path, table: &Table) -> Option<Vec<AggTrade>> {
    let mut file = File::open(file).ok()?;
    let length = file.metadata().ok()?.len();
    let mut trades = Vec::new();
    for sample in 0..=SAMPLES {
        let at = match sample {
            SAMPLES => length.saturating_sub(SAMPLE_BYTES as u64),
            sample => length / SAMPLES * sample,
        };
        file.seek(SeekFrom::Start(at)).ok()?;
        let mut text = Vec::with_capacity(SAMPLE_BYTES);
        (&mut file).take(SAMPLE_BYTES as u64).read_to_end(&mut text).ok()?;
        // The first line may have begun before, the last one may go on.
        let mut whole = lines_of(&text).skip(1).peekable();
        while let Some(line) = whole.next() {
            if whole.peek().is_some()
                && let Ok(Some(trade)) = table.read(line)
            {
                trades.push(trade);
                break;
            }
        }
    }
    Some(trades)
}
