//! The table at the end of a replay: what the trades of each symbol add up to.

use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use super::text::rfc3339;
use crate::progress::ReplayStatistics;
use crate::snapshot::{LaneSummary, Market};
use crate::units::{QtyDelta, UnixMillis};

/// Symbols side by side; more follow below.
const BESIDE: usize = 3;

/// What the trades of each symbol add up to, a column per symbol, and what became of the files; whole lines. It tells
/// no time of ours, so that the same files give the same table.
pub fn summary_table(lanes: &[LaneSummary], files: &ReplayStatistics) -> String {
    let mut text = String::new();
    for lanes in lanes.chunks(BESIDE) {
        let columns: Vec<_> = lanes.iter().map(column).collect();
        for row in 0..LABELS.len() {
            line(&mut text, LABELS[row], columns.iter().map(|column| column[row].as_str()));
        }
    }
    let ReplayStatistics { files: read, skipped_files, left_out_files, sorted_files, .. } = files;
    let mut told = format!("{} read", grouped(i128::from(*read)));
    for (count, what) in
        [(skipped_files, "skipped (see the errors)"), (left_out_files, "left out"), (sorted_files, "sorted")]
    {
        if *count > 0 {
            told.push_str(&format!(", {} {what}", grouped(i128::from(*count))));
        }
    }
    line(&mut text, "files", [told.as_str()].into_iter());
    if files.misplaced_rows > 0 {
        let rows =
            format!("{} came too late to count (see the errors)", grouped(files.misplaced_rows.into()));
        line(&mut text, "misplaced rows", [rows.as_str()].into_iter());
    }
    text
}

const LABELS: [&str; 14] = [
    "symbol",
    "trades",
    "first",
    "last",
    "quantities in",
    "buy",
    "sell",
    "delta",
    "CVD lowest",
    "CVD highest",
    "holes",
    "missing",
    "duplicates",
    "refused",
];

fn column(lane: &LaneSummary) -> [String; LABELS.len()] {
    let flow = &lane.flow;
    let count = |count: u64| grouped(i128::from(count));
    let moment = |at: Option<UnixMillis>| at.map_or_else(none, moment);
    let amount = |amount: Option<QtyDelta>| amount.map_or_else(none, |amount| amount.to_string());
    [
        format!("{} ({})", lane.symbol, lane.market),
        count(lane.trades),
        moment(flow.span.map(|(first, _)| first)),
        moment(flow.span.map(|(_, last)| last)),
        match lane.market {
            Market::CoinM => "contracts",
            Market::UsdM | Market::Spot => "the base asset",
        }
        .to_owned(),
        amount(Some(flow.buy)),
        amount(Some(flow.sell)),
        amount(flow.delta()),
        amount(flow.cvd.map(|(lowest, _)| lowest)),
        amount(flow.cvd.map(|(_, highest)| highest)),
        count(lane.holes),
        count(lane.coverage.missing_trades),
        count(lane.duplicate_trades),
        count(lane.reading.bad_points),
    ]
}

fn none() -> String {
    "none".to_owned()
}

fn moment(at: UnixMillis) -> String {
    rfc3339(UNIX_EPOCH + Duration::from_millis(u64::try_from(at.0).unwrap_or(0)))
}

fn line<'a>(text: &mut String, label: &str, cells: impl Iterator<Item = &'a str>) {
    write!(text, "{label:<14}").expect("a String takes every character, because it only grows");
    let cells: Vec<_> = cells.map(|cell| format!(" {cell:<26}")).collect();
    text.push_str(cells.concat().trim_end());
    text.push('\n');
}

/// `1,234,567`.
pub(crate) fn grouped(number: i128) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (-1_234_567, "-1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
