//! From the text of a value to its type. Ranges are checked later, on the whole configuration. Errors say
//! what is wrong with the text, not what to do: the option knows that.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::violations::normal_directives;
use super::{Bound, ColorChoice, LatencyMode, LogFormat, LogOutput, OutputFormat, RankBy, Showing, Speed};
use crate::bars::BarSpec;
use crate::roster::Contracts;
use crate::snapshot::Market;
use crate::units::{AggTradeId, Symbol, UnixMillis};

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
    choice(text, &[("text", LogFormat::Text), ("json", LogFormat::Json), ("logfmt", LogFormat::Logfmt)])
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

/// `9464` and `:9464` are of this machine; `localhost` is.
pub(super) fn listen(text: &str) -> Result<SocketAddr, Problem> {
    let not_an_address = || "neither an address with its port, such as 127.0.0.1:9464, nor a port".to_owned();
    let port = text.strip_prefix("localhost:").or_else(|| text.strip_prefix(':')).unwrap_or(text);
    if port.bytes().all(|byte| byte.is_ascii_digit()) {
        return whole::<u16>(port)
            .map(|port| (Ipv4Addr::LOCALHOST, port).into())
            .map_err(|_| not_an_address());
    }
    text.parse().map_err(|_| not_an_address())
}

/// Host names, as they stand in a Host header without the port.
pub(super) fn host_names(text: &str) -> Result<Vec<String>, Problem> {
    let is_name = |name: &&str| {
        let is_of_one = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        !name.is_empty() && name.len() <= 253 && name.bytes().all(is_of_one)
    };
    let names: Vec<&str> = text.split(',').map(str::trim).collect();
    match names.iter().find(|name| !is_name(name)) {
        None => Ok(names.into_iter().map(str::to_ascii_lowercase).collect()),
        Some(name) => Err(format!("`{}` is no host name", name.escape_debug())),
    }
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

/// `1m,ticks:1000`: each once.
pub(super) fn bars(text: &str) -> Result<Vec<BarSpec>, Problem> {
    let mut specs = Vec::new();
    for part in text.split(',') {
        let spec = part.trim().parse().map_err(|error: crate::bars::BarSpecError| error.to_string())?;
        if specs.contains(&spec) {
            return Err(format!("`{spec}` is there twice"));
        }
        specs.push(spec);
    }
    Ok(specs)
}

/// `max`, `1x`, `0.5x`, `10`.
pub(super) fn speed(text: &str) -> Result<Speed, Problem> {
    if text.eq_ignore_ascii_case("max") {
        return Ok(Speed::Max);
    }
    let times = text.strip_suffix(['x', 'X']).unwrap_or(text);
    number(times).map(Speed::Times).map_err(|_| "neither max nor a number such as 10x".to_owned())
}

pub(super) fn latency(text: &str) -> Result<LatencyMode, Problem> {
    choice(text, &LatencyMode::ALL.map(|mode| (mode.as_str(), mode)))
}

pub(super) fn rank_by(text: &str) -> Result<RankBy, Problem> {
    choice(text, &RankBy::ALL.map(|by| (by.as_str(), by)))
}

pub(super) fn contracts(text: &str) -> Result<Contracts, Problem> {
    text.parse().map_err(|error: crate::roster::ContractsError| error.to_string())
}

pub(super) fn showing(text: &str) -> Result<Showing, Problem> {
    choice(text, &[Showing::Auto, Showing::Always, Showing::Never].map(|when| (when.as_str(), when)))
}

/// Bytes: `500MB`, `20GiB`, `4096`.
pub(super) fn size(text: &str) -> Result<u64, Problem> {
    let unit_at = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(unit_at);
    let unit = unit.trim().to_ascii_lowercase();
    let factor: u64 = match unit.as_str() {
        "" | "b" => 1,
        "kb" | "k" => 1_000,
        "mb" | "m" => 1_000_000,
        "gb" | "g" => 1_000_000_000,
        "tb" | "t" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err("not a size such as 500MB or 20GiB".to_owned()),
    };
    if count.is_empty() {
        return Err("not a size such as 500MB or 20GiB".to_owned());
    }
    count
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(factor))
        .ok_or_else(|| "too large".to_owned())
}

/// `2026-11-01`, `2026-11-01T12:30`, RFC 3339 in UTC, or an id in plain digits.
pub(super) fn bound(text: &str) -> Result<Bound, Problem> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return whole::<u64>(text)
            .and_then(|id| i64::try_from(id).map_err(|_| "too large".to_owned()))
            .map(|id| Bound::Id(AggTradeId(id)));
    }
    let not_a_time = || "neither a date or time in UTC (2026-11-01T12:30) nor an id".to_owned();
    let spelled = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        16 => format!("{text}:00Z"),
        _ => text.to_owned(),
    };
    let time = humantime::parse_rfc3339_weak(&spelled).map_err(|_| not_a_time())?;
    let since = time.duration_since(std::time::UNIX_EPOCH).map_err(|_| not_a_time())?;
    i64::try_from(since.as_millis()).map(|ms| Bound::Time(UnixMillis(ms))).map_err(|_| not_a_time())
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
    fn an_end_of_a_range_is_a_time_in_utc_or_an_id() {
        for (text, bound) in [
            ("1970-01-02", Bound::Time(UnixMillis(86_400_000))),
            ("1970-01-01T00:01", Bound::Time(UnixMillis(60_000))),
            ("1970-01-01 00:00:01", Bound::Time(UnixMillis(1_000))),
            ("1970-01-01T00:00:01.25Z", Bound::Time(UnixMillis(1_250))),
            ("3249829971", Bound::Id(AggTradeId(3_249_829_971))),
        ] {
            assert_eq!(super::bound(text), Ok(bound), "{text}");
        }
        for text in ["", "today", "2026-13-01", "2026-11-31T00:00", "-5", "1e9", "99999999999999999999"] {
            assert!(super::bound(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn sizes_and_speeds_are_read_with_their_units() {
        for (text, bytes) in [("4096", 4096), ("500MB", 500_000_000), ("20 GiB", 20 << 30), ("1k", 1_000)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MB", "1.5GB", "-1", "5 parsecs", "99999999999999999999", "99999999999TB"] {
            assert!(size(text).is_err(), "{text:?}");
        }
        assert_eq!(
            [speed("MAX"), speed("10x"), speed("0.5")].map(Result::unwrap),
            [Speed::Max, Speed::Times(10.0), Speed::Times(0.5)]
        );
        assert!(speed("fast").is_err());
    }

    #[test]
    fn a_port_alone_is_of_this_machine() {
        for (text, address) in [
            ("9464", "127.0.0.1:9464"),
            (":9464", "127.0.0.1:9464"),
            ("localhost:0", "127.0.0.1:0"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:9464", "[::1]:9464"),
        ] {
            assert_eq!(listen(text).unwrap().to_string(), address, "{text}");
        }
        for text in
            ["", ":", "65536", "127.0.0.1", "::1", "[::1]", "example.org:80", "-1", "http://127.0.0.1:80"]
        {
            assert!(listen(text).is_err(), "{text:?}");
        }
        assert_eq!(host_names("A.example, b").unwrap(), ["a.example", "b"]);
        for text in ["", "a,", "a:80", "*.example", "a b", "\u{1b}"] {
            assert!(host_names(text).is_err(), "{text:?}");
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
