//! Recorded frames: one JSON message per line, as it came from the stream.
//!
//! In front of the message may stand the time it was received, a number with or without a colon behind it:
//! `1626992741062170000 {…}` or `1626992741.06217: {…}`. A number with a fraction counts seconds; one without
//! is told by its size: below 1e11 seconds, below 1e14 milliseconds, below 1e17 microseconds, else
//! nanoseconds since 1970. A first line `wss://…` is the address that was recorded: it tells the market and
//! the symbols, and is no message.

use percent_encoding::percent_decode_str;

use crate::feed::{Frame, LineId, SessionId};
use crate::snapshot::{Market, Stamp};
use crate::units::Symbol;

/// Reads the lines of one recording.
#[derive(Debug, Clone)]
pub(super) struct Frames {
    session: SessionId,
    /// The recorded address, once seen.
    address: Option<String>,
}

impl Frames {
    pub(super) fn new(session: SessionId) -> Self {
        Self { session, address: None }
    }

    /// The message in a line; its ordinal is the number of the line. `None` for a line that holds none.
    pub(super) fn read(
        &mut self,
        line: &[u8],
        number: u64,
        clock: &mut RecordingClock,
    ) -> Result<Option<Frame>, String> {
        let text = std::str::from_utf8(line).map_err(|_| "not UTF-8")?.trim_ascii();
        if text.is_empty() {
            return Ok(None);
        }
        if let Some(address) = url_in(text) {
            return match &self.address {
                Some(first) if first != address => Err(
                    "another address in the middle of a recording: cut the file here and replay both parts"
                        .into(),
                ),
                _ => {
                    self.address = Some(address.into());
                    Ok(None)
                }
            };
        }
        let (wall_ns, message) = split_stamp(text)?;
        let received = wall_ns.map(|wall_ns| clock.stamp(wall_ns));
        let (line, session) = (LineId(0), self.session);
        Ok(Some(Frame { line, session, ordinal: number, received, text: message.into() }))
    }
}

/// The monotonic clock of a replay: it starts with the first stamp, stands still while stamps step back, and
/// goes on over the ends of files.
#[derive(Debug, Default)]
pub(super) struct RecordingClock {
    first_ns: Option<i64>,
    mono_ns: u64,
}

impl RecordingClock {
    fn stamp(&mut self, wall_ns: i64) -> Stamp {
        let first_ns = *self.first_ns.get_or_insert(wall_ns);
        let since = u64::try_from(wall_ns.saturating_sub(first_ns)).unwrap_or(0);
        self.mono_ns = self.mono_ns.max(since);
        Stamp { wall_ns, mono_ns: self.mono_ns }
    }
}

/// What the address of a stream tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// `None` for a host that is not the exchange's.
    pub(super) market: Option<Market>,
    /// The symbols of its aggTrade streams; `None` if the address names no streams.
    pub(super) symbols: Option<Vec<Symbol>>,
}

impl Address {
    /// The address in a line, which may go on behind it.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        let url = url_in(std::str::from_utf8(line).ok()?.trim_ascii())?;
        let rest = url.split_once("://")?.1;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let streams = match path.split_once("streams=") {
            Some((_, streams)) => Some(streams.split('&').next().unwrap_or(streams)),
            None => path.strip_prefix("ws/").or_else(|| path.split_once("/ws/").map(|(_, streams)| streams)),
        };
        Some(Self { market: market_of_host(host), symbols: streams.map(traded_symbols) })
    }
}

/// Whether a line is a whole message, with or without a stamp.
pub(super) fn is_frame(line: &[u8]) -> bool {
    std::str::from_utf8(line).is_ok_and(|text| {
        let text = text.trim_ascii();
        text.ends_with('}') && split_stamp(text).is_ok()
    })
}

/// The nanoseconds in front of the message of a line.
pub(super) fn stamp_of(line: &[u8]) -> Option<i64> {
    split_stamp(std::str::from_utf8(line).ok()?.trim_ascii()).ok()?.0
}

fn url_in(text: &str) -> Option<&str> {
    let is_url = text.starts_with("wss://") || text.starts_with("ws://");
    if is_url { text.split_ascii_whitespace().next() } else { None }
}

fn market_of_host(host: &str) -> Option<Market> {
    let host = host.to_ascii_lowercase();
    let says = |part: &str| host.contains(part);
    if says("dstream") {
        Some(Market::CoinM)
    } else if says("fstream") || says("binancefuture") {
        Some(Market::UsdM)
    } else if says("stream.binance") || says("binance.vision") {
        Some(Market::Spot)
    } else {
        None
    }
}

/// The symbols of the aggTrade streams in `btcusdt@aggTrade/ethusdt@depth/…`, each once.
fn traded_symbols(streams: &str) -> Vec<Symbol> {
    let streams = percent_decode_str(streams).decode_utf8_lossy();
    let mut symbols = Vec::new();
    for stream in streams.split('/') {
        let Some(symbol) = stream.strip_suffix("@aggTrade") else { continue };
        match Symbol::new(symbol) {
            Ok(symbol) if !symbols.contains(&symbol) => symbols.push(symbol),
            _ => {}
        }
    }
    symbols
}

/// The nanoseconds in front of a message, if there are any, and the message, which begins with `{`.
fn split_stamp(text: &str) -> Result<(Option<i64>, &str), String> {
    if text.starts_with('{') {
        return Ok((None, text));
    }
    let (whole, rest) = split_digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => split_digits(rest),
        None => ("", rest),
    };
    let message = rest.strip_prefix(':').unwrap_or(rest).trim_ascii_start();
    if whole.is_empty() || !message.starts_with('{') {
        return Err("not a message: no `{` at the beginning or behind a receive stamp".into());
    }
    let ns = nanoseconds(whole, fraction);
    let ns =
        ns.ok_or_else(|| format!("the receive stamp `{}` is out of range", super::table::shown(whole)))?;
    Ok((Some(ns), message))
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len()))
}

/// Reads a stamp without a float, which would lose the last hundred nanoseconds.
fn nanoseconds(whole: &str, fraction: &str) -> Option<i64> {
    let whole: i64 = whole.parse().ok()?;
    if fraction.is_empty() {
        let unit = match whole {
            0..100_000_000_000 => 1_000_000_000,
            100_000_000_000..100_000_000_000_000 => 1_000_000,
            100_000_000_000_000..100_000_000_000_000_000 => 1_000,
            _ => 1,
        };
        return whole.checked_mul(unit);
    }
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let fraction = digits.fold(0, |ns, digit| ns * 10 + i64::from(digit - b'0'));
    whole.checked_mul(1_000_000_000)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_to_the_nanosecond() {
        for (text, ns) in [
            ("1626992741.06217: {}", Some(1_626_992_741_062_170_000)),
            ("1626992741.123456789: {}", Some(1_626_992_741_123_456_789)),
            ("1626992741.1234567899: {}", Some(1_626_992_741_123_456_789)),
            ("1626992741.5 {}", Some(1_626_992_741_500_000_000)),
            ("1626992741062170001 {}", Some(1_626_992_741_062_170_001)),
            ("1626992741062170\t{}", Some(1_626_992_741_062_170_000)),
            ("1626992741062 {}", Some(1_626_992_741_062_000_000)),
            ("1626992741: {}", Some(1_626_992_741_000_000_000)),
            ("{}", None),
        ] {
            assert_eq!(split_stamp(text), Ok((ns, "{}")), "{text}");
        }
        for text in ["", "x", "12", "12 [", ".5 {}", "-5 {}", "99999999999999999999 {}", "9999999999999.5 {}"]
        {
            assert!(split_stamp(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_tells_market_and_traded_symbols() {
        for (line, market, symbols) in [
            (
                "wss://fstream.binance.com/stream?streams=a1usdt@aggTrade/b1usdt@depth/A1USDT@aggTrade <-> 1",
                Some(Market::UsdM),
                Some(vec!["A1USDT"]),
            ),
            (
                "wss://dstream.binance.com/stream?streams=btcusd_perp@aggTrade&timeUnit=MICROSECOND",
                Some(Market::CoinM),
                Some(vec!["BTCUSD_PERP"]),
            ),
            ("wss://stream.binance.com:9443/ws/btcusdt@aggTrade", Some(Market::Spot), Some(vec!["BTCUSDT"])),
            ("wss://stream.binancefuture.com/ws", Some(Market::UsdM), None),
            ("ws://127.0.0.1:4000/market/stream?streams=x1usdt%40aggTrade", None, Some(vec!["X1USDT"])),
            ("wss://fstream.binance.com/stream?streams=btcusdt@depth", Some(Market::UsdM), Some(vec![])),
        ] {
            let symbols = symbols.map(|s| s.into_iter().map(|s| Symbol::new(s).unwrap()).collect());
            assert_eq!(Address::read(line.as_bytes()), Some(Address { market, symbols }), "{line}");
        }
        assert_eq!(Address::read(b"https://fstream.binance.com"), None);
    }

    #[test]
    fn the_clock_of_a_recording_never_steps_back() {
        let mut clock = RecordingClock::default();
        let mono: Vec<_> = [100, 150, 120, 90, 160].map(|ns| clock.stamp(ns).mono_ns).into();
        assert_eq!(mono, [0, 50, 50, 50, 60]);
    }

    #[test]
    fn another_address_within_a_recording_is_damage() {
        let mut frames = Frames::new(SessionId(1));
        let mut clock = RecordingClock::default();
        let mut read = |line: &str| frames.read(line.as_bytes(), 1, &mut clock).map(|frame| frame.is_some());
        assert_eq!(read("wss://a/ws <-> 1"), Ok(false));
        assert_eq!(read("wss://a/ws <-> 2"), Ok(false));
        assert!(read("wss://b/ws").unwrap_err().contains("another address"));
        assert_eq!(read("{}"), Ok(true));
    }
}
