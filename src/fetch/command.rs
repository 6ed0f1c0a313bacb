//! `cvd-stream fetch`: from the settings to the files, with something to look at meanwhile.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

use tokio::time::Instant;

use super::{ArchiveFile, Days, Fetch, FetchError, Outcome, Period, Progress, Summary, plan};
use crate::calendar::Day;
use crate::config::options::OptionSpec;
use crate::config::resolve::Resolved;
use crate::config::{Bound, ConfigError, Fault};
use crate::feed::Network;
use crate::replay::name::market_of;
use crate::text::{one_line, shown};
use crate::units::Symbol;

/// Why the command did not end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// Nothing, or nothing more, can be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Somebody asked it to stop.
    #[error("interrupted; what is here stays, and the same command goes on from there")]
    Interrupted,
    /// Some files are not here.
    #[error("{files} of the files could not be had; the same command tries them again")]
    Incomplete {
        /// How many.
        files: usize,
    },
}

/// The days of `--from` and `--to`, if there can be files of them by today.
///
/// # Errors
/// [`ConfigError`] with what is wrong with either.
pub fn days(resolved: &Resolved, today: Day) -> Result<Days, ConfigError> {
    let mut faults = Vec::new();
    let bounds = [("from", resolved.config.replay.from), ("to", resolved.config.replay.to)];
    let [from, to] = bounds.map(|(name, bound)| {
        let problem = match bound {
            Some(Bound::Time(time)) if Day::of(time).start() == time => return Some(Day::of(time)),
            Some(_) => "not a date",
            None => "missing: which days?",
        };
        faults.push(fault(resolved, name, problem.to_owned(), format!("write --{name} 2026-11-01")));
        None
    });
    ConfigError::check(faults)?;
    let (Some(from), Some(to)) = (from, to) else { unreachable!("what is missing is a fault") };
    let days = Days { from, to };
    if let Err(error) = plan(days, today) {
        let name = if matches!(error, super::DaysError::TooEarly { .. }) { "from" } else { "to" };
        ConfigError::check(vec![fault(resolved, name, error.problem(), error.remedy())])?;
    }
    Ok(days)
}

fn fault(resolved: &Resolved, name: &str, problem: String, remedy: String) -> Fault {
    let option = OptionSpec::named(name).expect("it is in the table because `fetch` reads it");
    let given = resolved.options.iter().find(|option| option.name == name);
    let (value, origin) = given.map(|given| (given.value.as_str(), given.origin.clone())).unzip();
    let value = value.unwrap_or_default();
    Fault::of(option, value, origin.filter(|_| !value.is_empty()), problem).with_remedy(remedy)
}

/// What the settings ask for.
pub fn asked(resolved: &Resolved, symbol: Symbol, days: Days) -> Fetch {
    let config = &resolved.config;
    // Some symbols tell it themselves.
    let market = resolved.given_market().or_else(|| market_of(&symbol)).unwrap_or(config.market);
    let mut fetch = Fetch::new(market, symbol, days);
    fetch.directory.clone_from(&config.fetch.dir);
    fetch.parallel = config.fetch.parallel;
    if let Some(url) = &config.fetch.url {
        fetch.base.clone_from(url);
    }
    fetch
}

/// Fetches until the end or until it is asked to stop. `show` is given what standard error is to show: whole lines, or
/// where `rewrites`, a line that takes the place of the one before too.
///
/// # Errors
/// [`CommandError`] unless everything is here that can be. What there is to say of that is in the summary, which is
/// handed over first.
pub async fn run(
    fetch: &Fetch,
    network: &dyn Network,
    shutdown: impl Future<Output = ()>,
    rewrites: bool,
    mut show: impl FnMut(&str),
    summarise: impl FnOnce(&str),
) -> Result<Summary, CommandError> {
    let mut pace = Pace::default();
    let mut trouble = None;
    let told = |progress: &Progress, done: Option<(&ArchiveFile, &Outcome)>| {
        let mut text = String::new();
        let clear = if rewrites { "\r\x1b[K" } else { "" };
        if let Some((file, outcome)) = done
            && (!rewrites || matches!(outcome, Outcome::Failed { .. } | Outcome::Absent))
        {
            text = format!("{clear}{}: {}\n", file.name(), outcome_in_words(outcome));
        } else if let Some(why) = &progress.trouble
            && trouble.as_ref() != Some(why)
        {
            trouble = Some(why.clone());
            text = format!("{clear}trying again: {}\n", one_line(why));
        }
        if rewrites {
            let line = pace.line(progress, Instant::now());
            text.push_str(clear);
            text.push_str(&line);
        }
        if !text.is_empty() {
            show(&text);
        }
    };
    let fetching = fetch.run(network, told);
    let ended = tokio::select! {
        ended = fetching => ended.map_err(CommandError::from),
        () = shutdown => Err(CommandError::Interrupted),
    };
    if rewrites {
        show("\n");
    }
    let summary = ended?;
    summarise(&in_words(fetch, &summary));
    match summary.missing.len() + summary.failed.len() + summary.not_tried.len() {
        0 => Ok(summary),
        files => Err(CommandError::Incomplete { files }),
    }
}

fn outcome_in_words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Fetched { length } => format!("fetched, {}", size(*length)),
        Outcome::AlreadyThere { length } => format!("already there, {}", size(*length)),
        Outcome::Absent => "not in the archive".to_owned(),
        Outcome::Failed { why } => format!("failed: {}", one_line(why)),
    }
}

/// The summary for people.
fn in_words(fetch: &Fetch, summary: &Summary) -> String {
    let Fetch { market, symbol, days, directory, .. } = fetch;
    let directory = shown(directory);
    let mut text = format!("{symbol} ({market}), {} to {}, in {directory}\n", days.from, days.to);
    let mut line = |title: &str, what: &str| {
        // Writing to a string cannot fail.
        writeln!(text, "  {title:<14}{}", one_line(what)).unwrap_or_default();
    };
    let Summary { fetched, bytes, received, already_there, .. } = summary;
    let over_the_wire =
        if received == bytes { String::new() } else { format!(" ({} received)", size(*received)) };
    line("fetched", &format!("{}, {}{over_the_wire}", files(*fetched), size(*bytes)));
    line("already there", &files(*already_there));
    if !summary.not_published.is_empty() {
        let late = "a day's file appears on the next day, at times up to two days later";
        line("not published", &format!("{} ({late})", list(&summary.not_published)));
    }
    if !summary.missing.is_empty() {
        line("missing", &format!("{} (the archive does not have them)", list(&summary.missing)));
    }
    for (period, why) in &summary.failed {
        line("failed", &format!("{period}: {why}"));
    }
    if !summary.not_tried.is_empty() {
        line("not tried", &format!("{} (after too many failures)", list(&summary.not_tried)));
    }
    text
}

fn files(count: u64) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

/// Days in a row as one range.
fn list(periods: &[Period]) -> String {
    let mut text = String::new();
    let mut rest = periods.iter().copied().peekable();
    while let Some(first) = rest.next() {
        let mut last = first;
        while let Some(next) = rest.next_if(|next| follows(last, *next)) {
            last = next;
        }
        let comma = if text.is_empty() { "" } else { ", " };
        let range = if first == last { first.to_string() } else { format!("{first} to {last}") };
        write!(text, "{comma}{range}").unwrap_or_default();
    }
    text
}

fn follows(before: Period, after: Period) -> bool {
    match (before, after) {
        (Period::Day(before), Period::Day(after)) => after.since(before) == 1,
        (Period::Month(before), Period::Month(after)) => before.next() == after,
        _ => false,
    }
}

/// `812.4 MB`.
fn size(bytes: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

/// `2m 05s`.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
    }
}

/// Moments that the rate is taken over, at half a second each.
const MOMENTS: usize = 20;

/// The rate of the last seconds.
#[derive(Debug, Default)]
struct Pace {
    moments: VecDeque<(Instant, u64)>,
}

impl Pace {
    /// `3/14 files  812.4 MB  23.1 MB/s  2m 05s left`.
    fn line(&mut self, progress: &Progress, now: Instant) -> String {
        let Progress { files_done, files, received, left, .. } = *progress;
        self.moments.push_back((now, received));
        if self.moments.len() > MOMENTS {
            self.moments.pop_front();
        }
        let rate = self.rate();
        let mut line = format!("{files_done}/{files} files  {}", size(received));
        if let Some(rate) = rate.filter(|rate| *rate > 0) {
            write!(line, "  {}/s", size(rate)).unwrap_or_default();
            if let Some(left) = left.filter(|left| *left > 0) {
                write!(line, "  {} left", span(left / rate)).unwrap_or_default();
            }
        }
        line
    }

    /// Bytes per second.
    fn rate(&self) -> Option<u64> {
        let ((begin, before), (end, after)) = (self.moments.front()?, self.moments.back()?);
        let millis = u64::try_from(end.duration_since(*begin).as_millis()).ok()?;
        (millis >= Duration::from_millis(100).as_millis() as u64)
            .then(|| after.saturating_sub(*before).saturating_mul(1_000) / millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Market;

    fn day(text: &str) -> Day {
        Day::parse(text).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_line_tells_files_bytes_rate_and_what_is_left() {
        let mut pace = Pace::default();
        let progress =
            |files_done, received, left| Progress { files_done, files: 14, received, left, trouble: None };
        assert_eq!(pace.line(&progress(0, 0, None), Instant::now()), "0/14 files  0 B");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(
            pace.line(&progress(1, 50_000_000, Some(3_150_000_000)), Instant::now()),
            "1/14 files  50.0 MB  25.0 MB/s  2m 06s left"
        );
        // Of a while ago, nothing is known any more.
        for _ in 0..MOMENTS {
            tokio::time::advance(Duration::from_millis(500)).await;
            pace.line(&progress(14, 60_000_000, Some(0)), Instant::now());
        }
        assert_eq!(pace.line(&progress(14, 60_000_000, Some(0)), Instant::now()), "14/14 files  60.0 MB");
    }

    #[test]
    fn the_summary_names_what_is_not_here() {
        let symbol = Symbol::new("BTCUSDT").unwrap();
        let days = Days { from: day("2024-04-28"), to: day("2024-07-02") };
        let fetch = Fetch { directory: "archive".into(), ..Fetch::new(Market::UsdM, symbol, days) };
        let of = |text: &str| Period::Day(day(text));
        let mut summary = Summary { fetched: 1, bytes: 1_234_567, received: 1_234_567, ..Summary::default() };
        assert_eq!(
            in_words(&fetch, &summary),
            "BTCUSDT (usdm), 2024-04-28 to 2024-07-02, in archive\n  fetched       1 file, 1.2 MB\n  already there 0 \
             files\n"
        );
        summary.received = 999;
        summary.not_published = ["2024-07-01", "2024-07-02"].map(of).to_vec();
        let months = ["2024-05-01", "2024-06-01"].map(|text| Period::Month(day(text).month()));
        summary.missing = [vec![of("2024-04-28"), of("2024-04-30")], months.to_vec()].concat();
        summary.failed = vec![(of("2024-04-29"), "no luck".to_owned())];
        let told = in_words(&fetch, &summary);
        for line in [
            "fetched       1 file, 1.2 MB (999 B received)",
            "not published 2024-07-01 to 2024-07-02 (",
            "missing       2024-04-28, 2024-04-30, 2024-05 to 2024-06 (",
            "failed        2024-04-29: no luck",
        ] {
            assert!(told.contains(line), "{line}: {told}");
        }
    }

    #[test]
    fn sizes_and_spans_are_short() {
        assert_eq!(
            [0, 999, 1_000, 1_950_000, u64::MAX].map(size),
            ["0 B", "999 B", "1.0 kB", "1.9 MB", "18446744073.7 GB"]
        );
        assert_eq!([59, 60, 125, 3_599, 7_260].map(span), ["59s", "1m 00s", "2m 05s", "59m 59s", "2h 01m"]);
    }
}
