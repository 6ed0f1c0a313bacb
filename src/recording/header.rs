//! The first line of a segment: what it is, and the state from which its inputs lead on.

use crate::snapshot::{Market, Stamp};
use crate::units::Symbol;

use super::{VERSION, json};

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The version of the program that wrote it.
    pub program: String,
    /// Which run of the program: letters and digits.
    pub run: String,
    /// Counts the segments of the run from 0.
    pub segment: u64,
    /// How many inputs of the run came before its first.
    pub first_input: u64,
    /// When it began.
    pub begun: Stamp,
    /// The market.
    pub market: Market,
    /// The symbols that were watched.
    pub symbols: Vec<Symbol>,
    /// What the numbers were computed with: a JSON object that this room does not look into.
    pub settings: String,
    /// The complete state right before the first input: a JSON value that this room does not look into.
    pub state: String,
}

/// Why a line is no header that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// It is something else.
    #[error("does not begin with the header of a recording")]
    NotAHeader,
    /// A later program wrote it.
    #[error("is a recording of format {0}; this program reads up to {VERSION}: use a newer one")]
    Newer(u32),
    /// It lacks something.
    #[error("has a header without a usable `{0}`")]
    Unusable(&'static str),
}

const BEGINNING: &str = "{\"recording\":";

impl Header {
    /// Appends the line.
    pub fn write(&self, into: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        into.reserve(self.state.len() + self.settings.len() + 512);
        into.extend_from_slice(BEGINNING.as_bytes());
        into.extend_from_slice(digits.format(VERSION).as_bytes());
        for (name, text) in [("program", self.program.as_str()), ("run", &self.run)] {
            field(into, name);
            json::string(into, text);
        }
        for (name, number) in [("segment", self.segment), ("first_input", self.first_input)] {
            field(into, name);
            into.extend_from_slice(digits.format(number).as_bytes());
        }
        field(into, "begun_wall_ns");
        into.extend_from_slice(digits.format(self.begun.wall_ns).as_bytes());
        field(into, "begun_mono_ns");
        into.extend_from_slice(digits.format(self.begun.mono_ns).as_bytes());
        field(into, "market");
        json::string(into, self.market.as_str());
        field(into, "symbols");
        into.push(b'[');
        for (at, symbol) in self.symbols.iter().enumerate() {
            if at > 0 {
                into.push(b',');
            }
            json::string(into, symbol.as_str());
        }
        into.push(b']');
        field(into, "settings");
        json::raw(into, &self.settings);
        field(into, "state");
        json::raw(into, &self.state);
        into.extend_from_slice(b"}\n");
    }

    /// Whether a file that begins like this may be a recording.
    pub fn is_beginning(head: &[u8]) -> bool {
        head.starts_with(BEGINNING.as_bytes())
    }

    /// Reads the line, without its line end.
    ///
    /// # Errors
    /// [`HeaderError`] says why it cannot be used.
    pub fn read(line: &str) -> Result<Self, HeaderError> {
        if !Self::is_beginning(line.as_bytes()) {
            return Err(HeaderError::NotAHeader);
        }
        let members = json::members(line).ok_or(HeaderError::NotAHeader)?;
        let find = |name: &'static str| members.get(name).copied().ok_or(HeaderError::Unusable(name));
        let version: u32 = number(find("recording")?, "recording")?;
        if version > VERSION {
            return Err(HeaderError::Newer(version));
        }
        let text = |name| {
            find(name).and_then(|value| {
                serde_json::from_str::<String>(value).map_err(|_| HeaderError::Unusable(name))
            })
        };
        let run = text("run")?;
        if run.is_empty() || run.len() > 64 || !run.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(HeaderError::Unusable("run"));
        }
        let market = text("market")?;
        let market = Market::ALL.into_iter().find(|known| known.as_str() == market);
        let symbols: Result<Vec<Symbol>, _> = serde_json::from_str::<Vec<String>>(find("symbols")?)
            .map_err(|_| HeaderError::Unusable("symbols"))?
            .iter()
            .map(|symbol| Symbol::new(symbol))
            .collect();
        Ok(Self {
            program: text("program")?,
            run,
            segment: number(find("segment")?, "segment")?,
            first_input: number(find("first_input")?, "first_input")?,
            begun: Stamp {
                wall_ns: number(find("begun_wall_ns")?, "begun_wall_ns")?,
                mono_ns: number(find("begun_mono_ns")?, "begun_mono_ns")?,
            },
            market: market.ok_or(HeaderError::Unusable("market"))?,
            symbols: symbols.map_err(|_| HeaderError::Unusable("symbols"))?,
            settings: find("settings")?.to_owned(),
            state: find("state")?.to_owned(),
        })
    }
}

fn number<T: std::str::FromStr>(text: &str, name: &'static str) -> Result<T, HeaderError> {
    text.parse().map_err(|_| HeaderError::Unusable(name))
}

fn field(into: &mut Vec<u8>, name: &str) {
    into.extend_from_slice(b",\"");
    into.extend_from_slice(name.as_bytes());
    into.extend_from_slice(b"\":");
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::recording) fn header(segment: u64, first_input: u64) -> Header {
        Header {
            program: "0.1.0".into(),
            run: "4f0c12ab".into(),
            segment,
            first_input,
            begun: Stamp { wall_ns: 1_795_266_000_000_000_000, mono_ns: 7 },
            market: Market::UsdM,
            symbols: vec![Symbol::new("BTCUSDT").unwrap(), Symbol::new("币安人生USDT").unwrap()],
            settings: r#"{"window":20,"x":[1.10,"}"]}"#.into(),
            state: r#"{"big":340282366920938463463374607431768211455,"f":0.1000}"#.into(),
        }
    }

    fn line(header: &Header) -> String {
        let mut text = Vec::new();
        header.write(&mut text);
        assert_eq!(text.pop(), Some(b'\n'));
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_header_comes_back_as_it_was_its_state_to_the_letter() {
        let header = header(3, u64::MAX);
        let line = line(&header);
        assert!(
            line.starts_with(r#"{"recording":1,"program":"0.1.0","run":"4f0c12ab","segment":3,"#),
            "{line}"
        );
        assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok());
        assert_eq!(Header::read(&line), Ok(header));
    }

    #[test]
    fn a_state_of_several_lines_becomes_one() {
        let header = Header { state: "{\n \"a\":\r\n 1}".into(), ..header(0, 0) };
        let read = Header::read(&line(&header)).unwrap();
        assert_eq!(read.state, "{  \"a\":   1}");
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let good = line(&header(0, 0));
        for (from, to, expected) in [
            (r#""recording":1"#, r#""recording":2"#, HeaderError::Newer(2)),
            (r#""recording":1"#, r#""recorded":1"#, HeaderError::NotAHeader),
            (r#""run":"4f0c12ab""#, r#""run":"../../etc""#, HeaderError::Unusable("run")),
            (r#""segment":0"#, r#""segment":-1"#, HeaderError::Unusable("segment")),
            ("usdm", "forex", HeaderError::Unusable("market")),
            ("BTCUSDT", "BTC USDT", HeaderError::Unusable("symbols")),
            (r#","state":{"#, r#","stat":{"#, HeaderError::Unusable("state")),
            ("}}", "}", HeaderError::NotAHeader),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good, "{from}");
            assert_eq!(Header::read(&bad), Err(expected), "{from}");
        }
    }
}
