//! From the text of a value to its type. Ranges are checked later, on the whole configuration. Errors say
//! what is wrong with the text, not what to do: the option knows that.

use std::path::PathBuf;
use std::time::Duration;

use super::violations::normal_directives;
use super::{ColorChoice, LogFormat, LogOutput, OutputFormat};
use crate::snapshot::Market;
use crate::units::Symbol;

/// What is wrong with a text.
pub(super) type Problem = String;

pub(super) fn symbol(text: &str) -> Result<Symbol, Problem> {
    Symbol::new(text).map_err(|_| "not a symbol".to_owned())
}

pub(super) fn market(text: &str) -> Result<Market, Problem> {
    choice(text, &Market::ALL.map(|market| (market.as_str(), market)))
}

pub(super) fn switch(text: &str) -> Result<bool, Problem> {
    let words = [("true", true), ("1", true), ("yes", true), ("false", false), ("0", false), ("no", false)];
    choice(text, &words).map_err(|_| "neither true nor false".to_owned())
}

pub(super) fn on_off(text: &str) -> Result<bool, Problem> {
    choice(text, &[("on", true), ("off", false)])
        .or_else(|_| switch(text))
        .map_err(|_| "neither on nor off".to_owned())
}

pub(super) fn output(text: &str) -> Result<OutputFormat, Problem> {
    choice(text, &[("text", OutputFormat::Text), ("json", OutputFormat::Json)])
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, Problem> {
    choice(text, &[("text", LogFormat::Text), ("json", LogFormat::Json)])
}

pub(super) fn log_output(text: &str) -> Result<LogOutput, Problem> {
    choice(text, &[("stderr", LogOutput::Stderr), ("stdout", LogOutput::Stdout)])
}

pub(super) fn color(text: &str) -> Result<ColorChoice, Problem> {
    let words = [("auto", ColorChoice::Auto), ("always", ColorChoice::Always), ("never", ColorChoice::Never)];
    choice(text, &words)
}

pub(super) fn log_level(text: &str) -> Result<String, Problem> {
    normal_directives(text)
}

/// A whole number in plain digits.
pub(super) fn whole<T: TryFrom<u64>>(text: &str) -> Result<T, Problem> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("not a whole number".to_owned());
    }
    let number = text.parse::<u64>().ok().and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| "too large".to_owned())
}

pub(super) fn number(text: &str) -> Result<f64, Problem> {
    text.parse().map_err(|_| "not a number".to_owned())
}

/// Any text is one; whether it can be used is found out when it is.
pub(super) fn path(text: &str) -> Result<PathBuf, Problem> {
    Ok(PathBuf::from(text))
}

/// `60` and `0.5` are seconds; `60s`, `2m`, `1h 30m` and `500ms` say so themselves.
pub(super) fn duration(text: &str) -> Result<Duration, Problem> {
    let not_a_duration = || "not a duration such as 60, 60s or 2m".to_owned();
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_number {
        let seconds: f64 = text.parse().map_err(|_| not_a_duration())?;
        return Duration::try_from_secs_f64(seconds).map_err(|_| "too large".to_owned());
    }
    humantime::parse_duration(text).map_err(|e| match e {
        humantime::DurationError::NumberOverflow => "too large".to_owned(),
        _ => not_a_duration(),
    })
}

/// One of some words, in any case.
fn choice<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, Problem> {
    let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
    found.map(|(_, value)| *value).ok_or_else(|| "not one of the choices".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seconds_unless_they_say_otherwise() {
        for (text, millis) in [
            ("60", 60_000),
            ("0", 0),
            ("0.5", 500),
            ("60s", 60_000),
            ("2m", 120_000),
            ("1h 30m", 5_400_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("1.5s", 1_500),
            ("1d", 86_400_000),
            ("2min", 120_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text:?}");
        }
        for text in ["", ".", "abc", "-5", "-5s", "+5", "1e3", "nan", "inf", "5 parsecs", "s", "1.2.3", "5,5"]
        {
            assert!(duration(text).is_err(), "{text:?}");
        }
        for text in ["99999999999999999999999999", "99999999999999999999999999s"] {
            assert_eq!(duration(text).unwrap_err(), "too large", "{text:?}");
        }
    }

    #[test]
    fn whole_numbers_are_plain_digits() {
        assert_eq!(whole::<u64>("0"), Ok(0));
        assert_eq!(whole::<u64>("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(whole::<u64>("18446744073709551616").unwrap_err(), "too large");
        for text in ["", "-1", "+1", "1.0", "1e3", "1_000", "1,000", " 1", "٣", "0x10"] {
            assert_eq!(whole::<u64>(text).unwrap_err(), "not a whole number", "{text:?}");
        }
    }

    #[test]
    fn words_are_read_in_any_case() {
        assert_eq!(market("USDM"), Ok(Market::UsdM));
        assert_eq!(switch("Yes"), Ok(true));
        assert_eq!(switch("0"), Ok(false));
        assert!(switch("on").is_err());
        assert_eq!(["on", "OFF", "yes", "0"].map(on_off), [Ok(true), Ok(false), Ok(true), Ok(false)]);
        assert!(on_off("maybe").is_err());
        assert_eq!(color("Never"), Ok(ColorChoice::Never));
        assert_eq!(log_output("stdout"), Ok(LogOutput::Stdout));
        assert!(output("xml").is_err());
    }
}
