//! Days and months of the exchange, which are those of UTC, in the Gregorian calendar.

use std::fmt;
use std::time::UNIX_EPOCH;

use crate::clock::wall;
use crate::units::UnixMillis;

const DAY_MS: i64 = 86_400_000;

/// A day, of the years 1 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day {
    month: Month,
    /// 1 to 31.
    day: u8,
}

/// A month, of the years 1 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    year: u16,
    /// 1 to 12.
    month: u8,
}

impl Day {
    /// A day of the calendar; `None` if there is none such, as 2023-02-29.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let month = Month::new(year, month)?;
        (1..=month.days()).contains(&day).then_some(Self { month, day })
    }

    /// Reads `2024-05-01`, with every digit.
    pub fn parse(text: &str) -> Option<Self> {
        let (month, day) = text.split_at_checked(7)?;
        let day = day.strip_prefix('-')?;
        let month = Month::parse(month)?;
        Self::new(month.year, month.month, digits(day, 2)?.try_into().ok()?)
    }

    /// The day of a moment; the first or last there is for one that lies beyond.
    pub fn of(moment: UnixMillis) -> Self {
        Self::from_number(moment.0.div_euclid(DAY_MS))
    }

    /// Today, by the system's clock.
    pub fn today() -> Self {
        let since = wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::of(UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Its month.
    pub fn month(self) -> Month {
        self.month
    }

    /// Its first moment.
    pub fn start(self) -> UnixMillis {
        UnixMillis(self.number() * DAY_MS)
    }

    /// The day so many days later, earlier if negative; the first or last there is, if that lies beyond.
    #[must_use]
    pub fn plus(self, days: i64) -> Self {
        Self::from_number(self.number().saturating_add(days))
    }

    /// Days from the other to this one.
    pub fn since(self, other: Self) -> i64 {
        self.number() - other.number()
    }

    /// Days since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms", `days_from_civil`).
    fn number(self) -> i64 {
        let (month, day) = (i64::from(self.month.month), i64::from(self.day));
        // Years begin in March there, so that the odd day comes last.
        let year = i64::from(self.month.year) - i64::from(month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
    }

    /// The inverse of [`Day::number`] (`civil_from_days`), within the years 1 to 9999.
    fn from_number(number: i64) -> Self {
        let number = number.clamp(-719_162, 2_932_896) + 719_468;
        let (era, day_of_era) = (number.div_euclid(146_097), number.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self { month: Month { year: year as u16, month: month as u8 }, day: day as u8 }
    }

    /// 0 for Monday, 6 for Sunday.
    fn weekday(self) -> i64 {
        // 1970-01-01 was a Thursday.
        (self.number() + 3).rem_euclid(7)
    }
}

impl Month {
    /// A month of the calendar; `None` if there is none such.
    pub fn new(year: u16, month: u8) -> Option<Self> {
        ((1..=9_999).contains(&year) && (1..=12).contains(&month)).then_some(Self { year, month })
    }

    /// Reads `2024-05`, with every digit.
    pub fn parse(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-')?;
        Self::new(digits(year, 4)?, digits(month, 2)?.try_into().ok()?)
    }

    /// Its first day.
    pub fn first(self) -> Day {
        Day { month: self, day: 1 }
    }

    /// Its last day.
    pub fn last(self) -> Day {
        Day { month: self, day: self.days() }
    }

    /// The month after it; of the last there is, itself.
    #[must_use]
    pub fn next(self) -> Self {
        self.last().plus(1).month
    }

    /// How many days it has.
    pub fn days(self) -> u8 {
        let divides = |years| self.year.is_multiple_of(years);
        let leap = divides(4) && (!divides(100) || divides(400));
        match self.month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    /// Its first Monday.
    pub fn first_monday(self) -> Day {
        self.first().plus((7 - self.first().weekday()) % 7)
    }
}

fn digits(text: &str, count: usize) -> Option<u16> {
    (text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

impl fmt::Display for Day {
    /// `2024-05-01`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:02}", self.month, self.day)
    }
}

impl fmt::Display for Month {
    /// `2024-05`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        Day::parse(text).unwrap()
    }

    #[test]
    fn every_day_of_a_thousand_years_follows_the_one_before_by_the_rules_of_the_calendar() {
        let mut today = day("1600-01-01");
        let mut number = today.number();
        while today < day("2600-01-01") {
            let month = today.month;
            let next = if today == month.last() {
                let (year, month) =
                    if month.month == 12 { (month.year + 1, 1) } else { (month.year, month.month + 1) };
                Day::new(year, month, 1).unwrap()
            } else {
                Day::new(month.year, month.month, today.day + 1).unwrap()
            };
            number += 1;
            assert_eq!((next.number(), Day::from_number(number)), (number, next));
            today = next;
        }
    }

    #[test]
    fn known_days_have_their_known_numbers() {
        for (text, number) in
            [("1970-01-01", 0), ("1969-12-31", -1), ("2000-02-29", 11_016), ("2026-11-20", 20_777)]
        {
            assert_eq!(day(text).number(), number, "{text}");
        }
        assert_eq!(Day::of(UnixMillis(1_795_132_800_000)).to_string(), "2026-11-20");
        assert_eq!(Day::of(UnixMillis(1_795_132_799_999)).to_string(), "2026-11-19");
        assert_eq!(Day::of(UnixMillis(-1)).to_string(), "1969-12-31");
        assert_eq!(day("2026-11-20").start(), UnixMillis(1_795_132_800_000));
    }

    #[test]
    fn beyond_the_calendar_lies_its_end() {
        assert_eq!(Day::of(UnixMillis(i64::MAX)).to_string(), "9999-12-31");
        assert_eq!(Day::of(UnixMillis(i64::MIN)).to_string(), "0001-01-01");
        assert_eq!(day("9999-12-31").plus(1), day("9999-12-31"));
        assert_eq!(day("0001-01-01").plus(i64::MIN), day("0001-01-01"));
        assert_eq!(Month::parse("9999-12").unwrap().next().to_string(), "9999-12");
    }

    #[test]
    fn what_is_no_day_is_not_read_as_one() {
        for text in [
            "",
            "2024",
            "2024-05",
            "2024-5-1",
            "2024-05-1",
            "2024-05-01 ",
            "24-05-01",
            "2024-13-01",
            "2024-00-01",
            "2024-05-00",
            "2024-04-31",
            "2023-02-29",
            "1900-02-29",
            "0000-01-01",
            "+024-05-01",
            "2024-05-+1",
            "2024/05/01",
            "20240501",
            "2024-05-01T00:00",
            "２０２４-05-01",
            "202é-05-01",
        ] {
            assert_eq!(Day::parse(text), None, "{text}");
        }
        assert_eq!(day("2024-02-29").to_string(), "2024-02-29");
    }

    #[test]
    fn the_first_monday_of_a_month_is_within_its_first_week() {
        for (month, monday) in [
            ("2024-07", "2024-07-01"),
            ("2026-11", "2026-11-02"),
            ("2026-08", "2026-08-03"),
            ("2024-05", "2024-05-06"),
            ("2024-09", "2024-09-02"),
            ("2024-10", "2024-10-07"),
        ] {
            assert_eq!(Month::parse(month).unwrap().first_monday(), day(monday));
        }
    }
}
