//! The text of a symbols file: selectors, comments, and an exclamation mark before what is not wanted.

use std::fmt;

use super::selector::{MOST_SELECTORS, Selector, SelectorError};
use crate::snapshot::Market;

/// The largest symbols file, in bytes: 1 MiB.
pub const LARGEST_FILE: usize = 1024 * 1024;
/// More wrong lines than this are not named.
const MOST_FAULTS: usize = 10;

/// What a symbols file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SymbolsFile {
    /// What is wanted, in the order of the file.
    pub wanted: Vec<Selector>,
    /// What is not.
    pub exclude: Vec<Selector>,
}

impl SymbolsFile {
    /// Reads one or several selectors per line, separated by commas or blanks; a `!` before one excludes it, and `#`
    /// begins a comment.
    ///
    /// # Errors
    /// [`SymbolsFileError`] names the lines that are wrong, the first ten of them. A file that says nothing is none.
    pub fn parse(text: &[u8], market_by_default: Market) -> Result<Self, SymbolsFileError> {
        if text.len() > LARGEST_FILE {
            return Err(SymbolsFileError::TooLarge);
        }
        let text = std::str::from_utf8(text).map_err(|fault| {
            let before = &text[..fault.valid_up_to()];
            SymbolsFileError::NotText { line: 1 + before.iter().filter(|byte| **byte == b'\n').count() }
        })?;
        let (mut file, mut faults, mut more) = (Self::default(), Vec::new(), 0);
        for (at, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            if let Err(error) = file.read_line(line, market_by_default) {
                if faults.len() < MOST_FAULTS {
                    faults.push((at + 1, error));
                } else {
                    more += 1;
                }
            }
        }
        if faults.is_empty() { Ok(file) } else { Err(SymbolsFileError::Lines { faults, more }) }
    }

    fn read_line(&mut self, line: &str, market_by_default: Market) -> Result<(), SelectorError> {
        let line = line.trim();
        // A list that goes on below may end with a comma.
        let line = line.strip_suffix(',').unwrap_or(line);
        if line.is_empty() {
            return Ok(());
        }
        for part in line.split(',') {
            if part.trim().is_empty() {
                return Err(SelectorError::EmptyItem);
            }
            for item in part.split_whitespace() {
                let (list, item) = match item.strip_prefix('!') {
                    Some(item) => (&mut self.exclude, item),
                    None => (&mut self.wanted, item),
                };
                if list.len() == MOST_SELECTORS {
                    return Err(SelectorError::TooMany);
                }
                list.push(Selector::parse(item, market_by_default)?);
            }
        }
        Ok(())
    }
}

/// Why a symbols file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SymbolsFileError {
    /// More than 1 MiB.
    TooLarge,
    /// Bytes that are not UTF-8.
    NotText {
        /// The line, from 1.
        line: usize,
    },
    /// Lines that are wrong.
    Lines {
        /// Which, from 1, and what is wrong with each; at most ten.
        faults: Vec<(usize, SelectorError)>,
        /// How many there are besides.
        more: usize,
    },
}

impl fmt::Display for SymbolsFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => {
                write!(f, "more than {} MiB: use patterns, such as usdm:*USDT", LARGEST_FILE / (1024 * 1024))
            }
            Self::NotText { line } => write!(f, "line {line} is not text in UTF-8"),
            Self::Lines { faults, more } => {
                for (at, (line, error)) in faults.iter().enumerate() {
                    write!(f, "{}line {line}: {error}", if at == 0 { "" } else { "; " })?;
                }
                match more {
                    0 => Ok(()),
                    more => write!(f, "; and {more} more lines"),
                }
            }
        }
    }
}

impl std::error::Error for SymbolsFileError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<(String, String), String> {
        let file = SymbolsFile::parse(text.as_bytes(), Market::UsdM).map_err(|error| error.to_string())?;
        let list =
            |selectors: &[Selector]| selectors.iter().map(Selector::to_string).collect::<Vec<_>>().join(" ");
        Ok((list(&file.wanted), list(&file.exclude)))
    }

    #[test]
    fn a_file_has_selectors_comments_and_exclusions() {
        let text = "\u{feff}# what we trade\r\nBTCUSDT, ethusdt,\r\n\n  spot:*USDT !spot:*UPUSDT # no leveraged tokens\n!spot:*DOWN*,coinm:BTCUSD_PERP";
        let expected = ("usdm:BTCUSDT usdm:ETHUSDT spot:*USDT coinm:BTCUSD_PERP", "spot:*UPUSDT spot:*DOWN*");
        assert_eq!(read(text), Ok((expected.0.to_owned(), expected.1.to_owned())));
        for nothing in ["", "\n\n", "# all of it\n"] {
            assert_eq!(read(nothing), Ok((String::new(), String::new())));
        }
    }

    #[test]
    fn what_is_wrong_is_named_by_its_line() {
        assert_eq!(
            read("BTCUSDT\n\nBTC/USDT # not so\num:A\n").unwrap_err(),
            "line 3: `BTC/USDT` is neither a symbol nor a pattern: 1 to 32 letters, digits, _ or -, with * and ?; write it as the exchange does: BTCUSDT, BTCUSD_PERP, or a pattern such as *USDT; line 4: `um` is no market; did you mean usdm:A?"
        );
        assert!(read("A\n! B").unwrap_err().starts_with("line 2: names no symbol"));
        assert!(read("!!B").unwrap_err().contains("line 1: `!B` has an exclamation mark"));
        assert!(read("A,,B").unwrap_err().starts_with("line 1: nothing stands between two commas"));
        assert!(read(&"?!\n".repeat(25)).unwrap_err().ends_with("; and 15 more lines"));
    }

    #[test]
    fn a_file_that_is_too_large_or_no_text_is_refused() {
        let error = |text: &[u8]| SymbolsFile::parse(text, Market::UsdM).unwrap_err().to_string();
        assert_eq!(error(b"A\nB\n\xff\n"), "line 3 is not text in UTF-8");
        assert!(SymbolsFile::parse(&[b'\n'; LARGEST_FILE], Market::UsdM).is_ok());
        assert!(error(&[b'\n'; LARGEST_FILE + 1]).starts_with("more than 1 MiB"));
        assert!(error("A ".repeat(MOST_SELECTORS + 1).as_bytes()).contains("more than 65536 items"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_stumble(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Err(error) = SymbolsFile::parse(&text, Market::Spot) {
                prop_assert!(!error.to_string().contains(char::is_control));
            }
        }

        #[test]
        fn no_text_makes_it_stumble(text in "[A!#*?:, \n币spotud]{0,60}") {
            drop(SymbolsFile::parse(text.as_bytes(), Market::Spot));
        }
    }
}
