//! The table of movers: a headline, a heading, and a row for each, made to fit a terminal of 120 columns.

use crate::movers::{Interval, LaneCounts, Mover};
use crate::report::amount::Short;
use crate::report::scope::Name;
use crate::snapshot::{Market, Quality};

/// What stands before the columns: stamp, level and `MOVER`.
const BEFORE: usize = "2026-11-21T03:15:10.000Z  INFO MOVER ".len();
const TERMINAL: usize = 120;
const COLUMNS: usize = 8;

/// The lines of a table, without stamps. `are_mixed`: there are several markets; `are_some`: not all symbols may be
/// among the rows.
pub(crate) fn movers(interval: &Interval, are_mixed: bool, are_some: bool) -> Vec<String> {
    let mut lines = vec![headline(interval, are_some)];
    if interval.movers.is_empty() {
        return lines;
    }
    let cells: Vec<_> = std::iter::once(heading(&interval.movers))
        .chain(interval.movers.iter().map(|mover| row(mover, are_mixed)))
        .collect();
    let width = |column: usize| cells.iter().map(|row| columns_of(&row[column])).max().unwrap_or(0);
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let (room, used) = (TERMINAL - BEFORE, widths.iter().sum::<usize>());
    let gap = if used + 2 * (COLUMNS - 1) <= room { 2 } else { 1 };
    let rows = cells.iter().map(|row| aligned(row, &widths, gap));
    // What is not complete need not fit.
    let flaws = std::iter::once(String::new()).chain(interval.movers.iter().map(flaw));
    lines.extend(rows.zip(flaws).map(|(row, flaw)| row + &flaw));
    lines
}

fn headline(interval: &Interval, are_some: bool) -> String {
    let Interval { lanes, seconds, by, trades, .. } = interval;
    let followed: Vec<_> = Market::ALL
        .into_iter()
        .map(|market| (lanes.followed[market as usize], market))
        .filter(|(count, _)| *count > 0)
        .map(|(count, market)| format!("{count} {market}"))
        .collect();
    let followed = if followed.is_empty() { "0 symbols".to_owned() } else { followed.join(", ") };
    let rate = Short(*trades as f64 / seconds);
    let some = if are_some { " | rows: --only" } else { "" };
    format!(
        "MOVERS {followed} | by {} over {} s | {} traded, {rate}/s | {}{some}",
        by.as_str(),
        whole_or_tenths(*seconds),
        lanes.traded,
        state_of(lanes),
    )
}

fn whole_or_tenths(seconds: f64) -> String {
    let tenths = format!("{seconds:.1}");
    tenths.strip_suffix(".0").map_or(tenths.clone(), str::to_owned)
}

fn state_of(lanes: &LaneCounts) -> String {
    let LaneCounts { complete, repairing, missing, joined, disconnected, new_epochs, .. } = *lanes;
    let mut told = match repairing + missing {
        // Nobody knows what a connection that is down would bring.
        0 if disconnected > 0 => vec!["none missing".to_owned()],
        0 => vec!["all complete".to_owned()],
        _ => vec![format!("{complete} complete")],
    };
    for (count, what) in [
        (repairing, "repairing"),
        (missing, "missing"),
        (disconnected, "not connected"),
        (joined, "joined"),
        (new_epochs, "numbered anew"),
    ] {
        if count > 0 {
            told.push(format!("{count} {what}"));
        }
    }
    told.join(", ")
}

fn heading(movers: &[Mover]) -> [String; COLUMNS] {
    let contracts = movers.iter().filter(|mover| mover.instrument.market == Market::CoinM).count();
    let unit = match contracts {
        0 => "base",
        all if all == movers.len() => "contracts",
        // Contracts.
        _ => "base|ct",
    };
    let (cvd, delta) = (format!("cvd[{unit}]"), format!("delta[{unit}]"));
    ["symbol", &cvd, &delta, "=[quote]", "z", "rate/s", "vol[quote]", "price"].map(str::to_owned)
}

fn row(mover: &Mover, are_mixed: bool) -> [String; COLUMNS] {
    let Mover { instrument, .. } = mover;
    let name =
        Name { market: instrument.market, symbol: &instrument.symbol, is_one_of_several_markets: are_mixed };
    let none = || "none".to_owned();
    let short = |amount: Option<i128>| amount.map_or_else(none, |amount| Short::of(amount).to_string());
    [
        name.to_string(),
        mover.cvd.to_string(),
        mover.delta.to_string(),
        short(mover.quote_delta),
        mover.z.map_or_else(none, |z| format!("{z:.2}")),
        Short(mover.rate).to_string(),
        short(mover.quote_volume),
        mover.price.map_or_else(none, |price| price.to_string()),
    ]
}

/// What a row has to say about itself when it is not complete; nothing otherwise.
fn flaw(mover: &Mover) -> String {
    let coverage = &mover.coverage;
    match coverage.quality {
        Quality::Complete => String::new(),
        quality => {
            let lost = if mover.lost > 0 { format!(" lost={}", mover.lost) } else { String::new() };
            format!(" | quality={} missing={}{lost}", quality.as_str(), coverage.missing_trades)
        }
    }
}

/// Names to the left, numbers to the right.
fn aligned(row: &[String; COLUMNS], widths: &[usize; COLUMNS], gap: usize) -> String {
    let mut line = String::from("MOVER ");
    for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
        let padding = width - columns_of(cell);
        match at {
            0 => line.extend([cell.as_str(), &" ".repeat(padding)]),
            _ => line.extend([&" ".repeat(gap + padding), cell.as_str()]),
        }
    }
    line
}

/// How many columns of a terminal a text takes: names beyond ASCII are Chinese, whose characters take two.
fn columns_of(text: &str) -> usize {
    text.chars().map(|character| if character.is_ascii() { 1 } else { 2 }).sum()
}

#[cfg(test)]
mod tests;
