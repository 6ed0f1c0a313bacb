//! A table of the file: its values by key, and its faults.

use std::time::Duration;

use toml::{Table, Value};

use super::AlertFault;
use super::number::shown;
use crate::text::edits;

pub(super) struct Section<'a> {
    /// What stands before a key in a fault.
    place: String,
    table: &'a Table,
    faults: Vec<AlertFault>,
}

impl<'a> Section<'a> {
    /// Keys that are not known are faults at once.
    pub(super) fn new(place: &str, table: &'a Table, known: &[&str]) -> Self {
        let place = if place.ends_with(": ") { place.to_owned() } else { format!("{place}.") };
        let mut section = Self { place, table, faults: Vec::new() };
        for key in table.keys().filter(|key| !known.contains(&key.as_str())) {
            let remedy = match nearest(key, known) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("one of {}", known.join(", ")),
            };
            let fault = AlertFault {
                key: format!("{}{}", section.place, shown(key).trim_matches('"')),
                problem: "there is no such key".to_owned(),
                remedy,
            };
            section.faults.push(fault);
        }
        section
    }

    pub(super) fn faults(self) -> Vec<AlertFault> {
        self.faults
    }

    pub(super) fn fault(&mut self, key: &str, problem: String, remedy: &str) {
        let key = format!("{}{key}", self.place);
        self.faults.push(AlertFault { key, problem, remedy: remedy.to_owned() });
    }

    /// A key that is there makes no sense here.
    pub(super) fn unfit(&mut self, key: &str, problem: String, remedy: &str) {
        if self.table.contains_key(key) {
            self.fault(key, problem, remedy);
        }
    }

    pub(super) fn value(&self, key: &str) -> Option<&'a Value> {
        self.table.get(key)
    }

    pub(super) fn text(&mut self, key: &str) -> Option<&'a str> {
        let value = self.table.get(key)?;
        if value.as_str().is_none() {
            let problem = format!("a text is wanted, not {}", value.type_str());
            self.fault(key, problem, "write it in quotes");
        }
        value.as_str()
    }

    /// The same of a key that must be there.
    pub(super) fn wanted(&mut self, key: &str, remedy: &str) -> Option<&'a str> {
        if self.table.contains_key(key) {
            return self.text(key);
        }
        self.fault(key, "it is missing".to_owned(), remedy);
        None
    }

    pub(super) fn switch(&mut self, key: &str) -> Option<bool> {
        let value = self.table.get(key)?;
        if value.as_bool().is_none() {
            let problem = format!("true or false is wanted, not {}", value.type_str());
            self.fault(key, problem, "write true or false, without quotes");
        }
        value.as_bool()
    }

    /// Texts, at most so many.
    pub(super) fn texts(&mut self, key: &str, most: usize) -> Option<Vec<&'a str>> {
        let value = self.table.get(key)?;
        let texts =
            value.as_array().map(|values| values.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
        match texts.flatten() {
            Some(texts) if texts.len() <= most => Some(texts),
            Some(texts) => {
                self.fault(key, format!("{} of them are too many", texts.len()), &format!("at most {most}"));
                None
            }
            None => {
                self.fault(key, "a list of texts is wanted".to_owned(), "write [\"…\", \"…\"]");
                None
            }
        }
    }

    /// One of some words; nothing is said of one that is not there, or no text.
    pub(super) fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let word = self.table.get(key)?.as_str();
        if let Some((_, found)) = choices.iter().find(|(choice, _)| word == Some(*choice)) {
            return Some(*found);
        }
        let choices: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
        match word {
            None => drop(self.text(key)),
            Some(word) => {
                let meant = nearest(word, &choices).map(|meant| format!(", did you mean {meant}?"));
                let problem =
                    format!("{} is none of what is known{}", shown(word), meant.unwrap_or_default());
                self.fault(key, problem, &format!("one of {}", choices.join(", ")));
            }
        }
        None
    }

    pub(super) fn duration(&mut self, key: &str, least: Duration, most: Duration) -> Option<Duration> {
        let text = self.text(key)?;
        let read = humantime::parse_duration(text);
        let remedy =
            format!("from {} to {}", humantime::format_duration(least), humantime::format_duration(most));
        match read {
            Ok(read) if (least..=most).contains(&read) => Some(read),
            Ok(_) => {
                self.fault(key, format!("{} is out of range", shown(text)), &remedy);
                None
            }
            Err(_) => {
                self.fault(
                    key,
                    format!("{} is no duration such as 500ms, 5s, 1m or 1h 30m", shown(text)),
                    &remedy,
                );
                None
            }
        }
    }
}

/// The word that was meant, if one is near.
fn nearest<'a>(word: &str, words: &[&'a str]) -> Option<&'a str> {
    let near = words.iter().map(|candidate| (edits(word, candidate), *candidate));
    // Of short words nearly every other one is within three slips.
    near.min()
        .filter(|(edits, nearest)| *edits <= 3 && *edits * 2 <= nearest.len())
        .map(|(_, nearest)| nearest)
}
