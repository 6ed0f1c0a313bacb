//! Which files a range of days is in: pure, the day it is today is an argument.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::calendar::{Day, Month};
use crate::snapshot::Market;
use crate::units::Symbol;

/// The days to fetch, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days {
    /// The first.
    pub from: Day,
    /// The last.
    pub to: Day,
}

/// What one archive file covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// A whole month.
    Month(Month),
    /// A day.
    Day(Day),
}

/// Days that cannot be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DaysError {
    /// They end before they begin.
    Backwards(Days),
    /// They reach into today or beyond.
    NotOver {
        /// The last day that was asked for.
        to: Day,
        /// The last day that can be there.
        latest: Day,
    },
    /// They begin before the exchange did.
    TooEarly {
        /// The first day that was asked for.
        from: Day,
        /// The first day that can be there.
        earliest: Day,
    },
}

impl DaysError {
    /// What is wrong, without the remedy.
    pub fn problem(&self) -> String {
        match self {
            Self::Backwards(Days { from, to }) => format!("{to} is before {from}, where the days begin"),
            Self::NotOver { to, latest } => format!(
                "{to} is not over yet: a day's file appears once the day has ended (UTC), so there is data until \
                 {latest} now"
            ),
            Self::TooEarly { from, .. } => format!("{from} is before the exchange's first trades"),
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Backwards(Days { from, to }) => format!("write --from {to} --to {from}"),
            Self::NotOver { latest, .. } => format!("write --to {latest}"),
            Self::TooEarly { earliest, .. } => format!("write --from {earliest} or later"),
        }
    }
}

impl fmt::Display for DaysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.problem(), self.remedy())
    }
}

impl std::error::Error for DaysError {}

/// The exchange opened in July 2017.
fn earliest() -> Day {
    Day::new(2017, 7, 1).expect("the first of July is a day because every month has one")
}

/// A day's file appears on the next day, but has been seen up to two days late.
pub const DAYS_LATE: i64 = 3;

/// The files of these days, oldest first: whole months as one file each where that can exist by now, every other day as
/// its own.
///
/// # Errors
/// [`DaysError`].
pub fn plan(days: Days, today: Day) -> Result<Vec<Period>, DaysError> {
    let Days { from, to } = days;
    let latest = today.plus(-1);
    if from > to {
        return Err(DaysError::Backwards(days));
    }
    if to > latest {
        return Err(DaysError::NotOver { to, latest });
    }
    if from < earliest() {
        return Err(DaysError::TooEarly { from, earliest: earliest() });
    }
    let mut periods = Vec::new();
    let mut next = from;
    while next <= to {
        let month = next.month();
        let whole = next == month.first() && month.last() <= to;
        if whole && today >= month.next().first_monday() {
            periods.push(Period::Month(month));
            next = month.next().first();
        } else {
            periods.push(Period::Day(next));
            next = next.plus(1);
        }
    }
    Ok(periods)
}

impl Period {
    /// How many days it covers.
    pub fn days(self) -> u32 {
        match self {
            Self::Month(month) => month.days().into(),
            Self::Day(_) => 1,
        }
    }

    /// Whether its file may not have appeared yet, although its days are over.
    pub fn may_be_late(self, today: Day) -> bool {
        match self {
            Self::Month(month) => today.since(month.next().first_monday()) < DAYS_LATE,
            Self::Day(day) => today.since(day) <= DAYS_LATE,
        }
    }
}

impl fmt::Display for Period {
    /// `2024-05` or `2024-05-01`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Month(month) => month.fmt(f),
            Self::Day(day) => day.fmt(f),
        }
    }
}

/// A file of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ArchiveFile {
    /// The market.
    pub market: Market,
    /// The symbol.
    pub symbol: Symbol,
    /// What it covers.
    pub period: Period,
}

/// What a symbol keeps unencoded in a path.
const SYMBOL: AsciiSet = NON_ALPHANUMERIC.remove(b'_').remove(b'-');

impl ArchiveFile {
    /// `BTCUSDT-aggTrades-2024-05-01.zip`.
    pub fn name(&self) -> String {
        format!("{}-aggTrades-{}.zip", self.symbol.as_str(), self.period)
    }

    /// Where it is in the archive: `/data/futures/um/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2024-05-01.zip`.
    pub fn path(&self) -> String {
        let market = match self.market {
            Market::UsdM => "futures/um",
            Market::CoinM => "futures/cm",
            Market::Spot => "spot",
        };
        let frequency = match self.period {
            Period::Month(_) => "monthly",
            Period::Day(_) => "daily",
        };
        let symbol = utf8_percent_encode(self.symbol.as_str(), &SYMBOL);
        format!("/data/{market}/{frequency}/aggTrades/{symbol}/{symbol}-aggTrades-{}.zip", self.period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn day(text: &str) -> Day {
        Day::parse(text).unwrap()
    }

    fn planned(from: &str, to: &str, today: &str) -> String {
        let days = Days { from: day(from), to: day(to) };
        match plan(days, day(today)) {
            Ok(periods) => periods.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn whole_months_come_as_one_file_and_the_days_around_them_as_their_own() {
        assert_eq!(
            planned("2024-04-29", "2024-07-02", "2024-12-24"),
            "2024-04-29 2024-04-30 2024-05 2024-06 2024-07-01 2024-07-02"
        );
        assert_eq!(planned("2023-12-01", "2024-02-29", "2024-12-24"), "2023-12 2024-01 2024-02");
        assert_eq!(planned("2024-05-02", "2024-05-04", "2024-12-24"), "2024-05-02 2024-05-03 2024-05-04");
    }

    #[test]
    fn a_months_file_is_expected_from_the_first_monday_after_it() {
        // 2026-11-02 was a Monday.
        let days = planned("2026-10-01", "2026-10-31", "2026-11-01");
        assert_eq!(days.split(' ').count(), 31);
        assert_eq!(planned("2026-10-01", "2026-10-31", "2026-11-02"), "2026-10");
    }

    #[test]
    fn what_is_not_over_or_makes_no_sense_is_refused_with_what_to_write() {
        let told = planned("2026-11-01", "2026-11-21", "2026-11-21");
        assert!(told.contains("2026-11-21 is not over") && told.ends_with("write --to 2026-11-20"), "{told}");
        assert!(planned("2026-11-01", "2027-01-01", "2026-11-21").ends_with("write --to 2026-11-20"));
        assert_eq!(planned("2026-11-20", "2026-11-20", "2026-11-21"), "2026-11-20");
        assert!(
            planned("2024-05-02", "2024-05-01", "2026-11-21")
                .ends_with("write --from 2024-05-01 --to 2024-05-02")
        );
        assert!(
            planned("2017-06-30", "2024-05-01", "2026-11-21").ends_with("write --from 2017-07-01 or later")
        );
    }

    #[test]
    fn what_may_be_late_is_told_from_what_should_be_there() {
        let late = |text, today: &str| Period::Day(day(text)).may_be_late(day(today));
        assert!(late("2026-11-20", "2026-11-21") && late("2026-11-18", "2026-11-21"));
        assert!(!late("2026-11-17", "2026-11-21"));
        let month = Period::Month(Month::parse("2026-10").unwrap());
        assert!(month.may_be_late(day("2026-11-04")) && !month.may_be_late(day("2026-11-05")));
    }

    #[test]
    fn a_file_lies_where_the_archive_has_it() {
        let path = |market, symbol, period| {
            let file = ArchiveFile { market, symbol: Symbol::new(symbol).unwrap(), period };
            (file.path(), file.name())
        };
        let (daily, monthly) = (Period::Day(day("2024-05-01")), Period::Month(day("2024-05-01").month()));
        let (at, name) = path(Market::UsdM, "btcusdt", daily);
        assert_eq!(at, format!("/data/futures/um/daily/aggTrades/BTCUSDT/{name}"));
        assert_eq!(name, "BTCUSDT-aggTrades-2024-05-01.zip");
        let (at, name) = path(Market::CoinM, "BTCUSD_PERP", monthly);
        assert_eq!(at, format!("/data/futures/cm/monthly/aggTrades/BTCUSD_PERP/{name}"));
        assert_eq!(name, "BTCUSD_PERP-aggTrades-2024-05.zip");
        let (at, name) = path(Market::Spot, "币USDT", daily);
        assert_eq!(at, "/data/spot/daily/aggTrades/%E5%B8%81USDT/%E5%B8%81USDT-aggTrades-2024-05-01.zip");
        assert_eq!(name, "币USDT-aggTrades-2024-05-01.zip");
    }

    proptest! {
        #[test]
        fn every_day_is_in_exactly_one_file_and_no_other_day_is(
            from in 0i64..3_400, length in 0i64..800, later in 1i64..400,
        ) {
            let from = earliest().plus(from);
            let days = Days { from, to: from.plus(length) };
            let today = days.to.plus(later);
            let mut next = from;
            for period in plan(days, today).unwrap() {
                let first = match period { Period::Day(day) => day, Period::Month(month) => month.first() };
                prop_assert_eq!(first, next);
                next = first.plus(period.days().into());
                if let Period::Month(month) = period {
                    prop_assert!(month.next().first_monday() <= today);
                }
            }
            prop_assert_eq!(next, days.to.plus(1));
        }
    }
}
