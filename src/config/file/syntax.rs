//! Where something stands in the file, and what is said of a line that is not TOML.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::fault::Fault;
use crate::config::options::OptionSpec;
use crate::text::escaped;

/// The lines of a text, by their bytes.
pub(super) struct Lines<'a> {
    text: &'a str,
    /// Where each begins, in order.
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(after_breaks).collect() }
    }

    /// The line of a byte, from 1.
    pub(super) fn line_of(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at)
    }

    /// The lines where errors begin and end.
    pub(super) fn of_errors(&self, errors: &[toml::de::Error]) -> BTreeSet<usize> {
        let spans = errors.iter().filter_map(toml::de::Error::span);
        spans.flat_map(|span| [self.line_of(span.start), self.line_of(span.end)]).collect()
    }

    /// What is wrong with the syntax, and where: the first fault of each line, as others follow from it.
    pub(super) fn faults(&self, file: &str, errors: &[toml::de::Error]) -> Vec<Fault> {
        let mut by_line = BTreeMap::new();
        for error in errors {
            let at = error.span().map_or(self.text.len(), |span| span.start);
            by_line.entry(self.line_of(at)).or_insert((at, error.message()));
        }
        by_line.into_iter().map(|(line, (at, message))| self.fault(file, line, at, message)).collect()
    }

    fn fault(&self, file: &str, line: usize, at: usize, message: &str) -> Fault {
        let start = self.starts[line - 1];
        let before = self.text.get(start..at).unwrap_or_default().trim_start_matches('\u{feff}');
        let whole = self.text[start..].lines().next().unwrap_or_default().trim_start_matches('\u{feff}');
        Fault {
            subject: format!("{file} line {line}, column {}", before.chars().count() + 1),
            variables: Vec::new(),
            value: harmless(whole),
            origin: None,
            problem: escaped(message.as_bytes()),
            allowed: "name = value in TOML, texts in quotes; # begins a comment".to_owned(),
            remedy: remedy(whole),
        }
    }
}

/// As much of a line as cannot be a secret: it may belong to an address with a password, or to an alert with a token.
fn harmless(line: &str) -> String {
    let line = line.trim();
    let is_header = line.starts_with('[') && !line.contains(['=', '@', ':', '"', '\'']);
    let is_open = |option: &OptionSpec| !option.is_address() && !line.contains('@') && !line.contains("://");
    if is_header || option_of(line).is_some_and(is_open) {
        return format!("`{}`", escaped(line.as_bytes()));
    }
    let (key, value) = line.split_once('=').unwrap_or_default();
    let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ');
    // What ends in = may be a token itself.
    if value.trim_matches(['=', ' ']).is_empty() || !key.chars().all(is_key) {
        return String::new();
    }
    format!("`{} = …`", escaped(key.trim().as_bytes()))
}

/// An example of the line's own option, if it is one.
fn remedy(line: &str) -> String {
    match option_of(line) {
        Some(option) => format!("for example {}", option.in_file(option.example)),
        None => "write it like symbol = \"BTCUSDT\", or put a # before it".to_owned(),
    }
}

/// The option that a line is about.
fn option_of(line: &str) -> Option<&'static OptionSpec> {
    let key = line.trim_start().split(|c: char| c == '=' || c == ':' || c.is_whitespace()).next()?;
    OptionSpec::named(&key.replace('_', "-"))
}
