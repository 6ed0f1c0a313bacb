//! The configuration file that `--config` names, in TOML: a layer below `.env`. What it says becomes texts, which are
//! read like those of flags; what it should not say becomes faults.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::fault::{Fault, Origin};
use super::options::{OPTIONS, OptionSpec};
use super::resolve::spelling;
use super::values::Problem;
use crate::text::{escaped, one_line};

mod syntax;
mod value;

use syntax::Lines;

/// A larger file is refused.
const LARGEST: u64 = 1 << 20;
/// So many faults of one file are told.
const MOST_FAULTS: usize = 20;
/// The tables of the alerts, which have a grammar of their own.
const TABLES: [&str; 2] = ["alerts", "alert"];

/// What the configuration file says, and what in it cannot be used.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ConfigFile {
    name: String,
    values: BTreeMap<&'static str, FileValue>,
    pub(super) faults: Vec<Fault>,
    /// The tables `[alerts]` and `[[alert]]` under these names, as they were found.
    pub(crate) alerts: toml::Table,
}

/// What the file says of an option.
#[derive(Debug, Clone, PartialEq)]
struct FileValue {
    text: String,
    /// Why the text cannot be that of an option.
    problem: Option<Problem>,
    line: usize,
}

impl ConfigFile {
    /// Reads the file of that name, as seen from `directory`; `origin` is what named it. Whatever cannot be read becomes
    /// a fault.
    pub(super) fn read(directory: &Path, name: &str, origin: Origin) -> Self {
        match contents(&directory.join(name)) {
            Ok(text) => Self::parse(name, &text),
            Err(Unreadable { problem, remedy }) => {
                let option = OptionSpec::named("config").expect("the option is in the table");
                let fault = Fault::of(option, name, Some(origin), problem).with_remedy(remedy.to_owned());
                Self { faults: vec![fault], ..Self::default() }
            }
        }
    }

    /// The text of an option, what is wrong with it already, and where it stands.
    pub(super) fn find(&self, option: &OptionSpec) -> Option<(&str, Option<&Problem>, Origin)> {
        let FileValue { text, problem, line } = self.values.get(option.name)?;
        let origin = Origin::File { path: self.name.clone(), line: *line };
        Some((text, problem.as_ref(), origin))
    }

    /// A fault of what stands under a key of the tables of alerts.
    pub(super) fn alert_fault(&self, key: &str, problem: String, remedy: String) -> Fault {
        Fault {
            subject: format!("{}, {key}", self.name),
            variables: Vec::new(),
            value: String::new(),
            origin: None,
            problem,
            allowed: "docs/alerts.md says what there is".to_owned(),
            remedy,
        }
    }

    /// What the text of a file of that name says.
    pub(super) fn parse(name: &str, text: &str) -> Self {
        let mut file = Self { name: one_line(name), ..Self::default() };
        let lines = Lines::of(text);
        let (table, errors) = DeTable::parse_recoverable(text);
        file.faults = lines.faults(&file.name, &errors);
        let damaged = lines.of_errors(&errors);
        let mut entries: Vec<_> = table.into_inner().into_iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            // What was guessed for a damaged value stands nowhere.
            let end = value.span().end.max(key.span().end);
            let (first, last) = (lines.line_of(key.span().start), lines.line_of(end));
            if damaged.range(first..=last).next().is_none() {
                file.take(key.get_ref(), value, first);
            }
        }
        file.faults = told(file.faults);
        file
    }

    fn take(&mut self, key: &str, value: Spanned<DeValue<'_>>, line: usize) {
        if TABLES.contains(&key) {
            if let Ok(value) = toml::Value::deserialize(ValueDeserializer::from(value)) {
                self.alerts.insert(key.to_owned(), value);
            }
            return;
        }
        let option = match OptionSpec::named(&key.replace('_', "-")) {
            Some(OptionSpec { name: "config", .. }) => {
                let remedy = "leave it out here; it is a flag and a variable".to_owned();
                return self.fault(line, "a configuration file cannot name another one".to_owned(), remedy);
            }
            Some(option) => option,
            None => return self.unknown(key, value.get_ref(), line),
        };
        if let Some(before) = self.values.get(option.name) {
            let problem = format!("`{}` is in line {} already", option.name, before.line);
            return self.fault(line, problem, "leave one of the two out".to_owned());
        }
        let (text, problem) = match value::text_of(option, value.get_ref()) {
            Ok(text) => (text, None),
            Err(unfit) => (unfit.shown, Some(unfit.problem)),
        };
        self.values.insert(option.name, FileValue { text, problem, line });
    }

    fn unknown(&mut self, key: &str, value: &DeValue<'_>, line: usize) {
        let is_table = match value {
            DeValue::Table(_) => true,
            DeValue::Array(all) => all.iter().any(|one| one.get_ref().is_table()),
            _ => false,
        };
        let what = if is_table { "table" } else { "option" };
        let problem = format!("there is no {what} `{}`", escaped(key.as_bytes()));
        // What was meant takes long to find out, and of so many nobody is told.
        let near = if self.faults.len() < MOST_FAULTS { meant(key, is_table) } else { None };
        let remedy = match near {
            Some(near) => format!("did you mean {near}?"),
            None if is_table => {
                "put options at the top of the file, before any [table]; the only tables are [alerts] and [[alert]]"
                    .to_owned()
            }
            None => "leave it out; `cvd-stream --help` lists the options".to_owned(),
        };
        self.fault(line, problem, remedy);
    }

    fn fault(&mut self, line: usize, problem: Problem, remedy: String) {
        self.faults.push(Fault {
            subject: format!("{} line {line}", self.name),
            variables: Vec::new(),
            value: String::new(),
            origin: None,
            problem,
            allowed: String::new(),
            remedy,
        });
    }
}

/// The option or table that a key was meant to be: by another of its names, or by one that is near.
fn meant(key: &str, is_table: bool) -> Option<String> {
    let word = key.trim_start_matches('-').replace('_', "-").to_lowercase();
    if is_table {
        let tables = TABLES.map(str::to_owned);
        return spelling::nearest(&word, &tables).map(|near| match near {
            "alert" => "[[alert]]".to_owned(),
            near => format!("[{near}]"),
        });
    }
    let settable = || OPTIONS.iter().filter(|option| option.name != "config");
    let is_variable =
        |option: &&OptionSpec| option.variables().iter().any(|name| name.eq_ignore_ascii_case(key));
    if let Some(option) = settable().find(is_variable) {
        return Some(option.name.to_owned());
    }
    let names: Vec<String> = settable().map(|option| option.name.to_owned()).collect();
    spelling::nearest(&word, &names).map(str::to_owned)
}

/// The first faults, and how many more there are.
fn told(mut faults: Vec<Fault>) -> Vec<Fault> {
    let more = faults.len().saturating_sub(MOST_FAULTS);
    faults.truncate(MOST_FAULTS);
    if let (Some(last), 1..) = (faults.last_mut(), more) {
        last.remedy += &format!("; {more} more of this file are not shown");
    }
    faults
}

/// Why a file is not read.
struct Unreadable {
    problem: Problem,
    remedy: &'static str,
}

fn contents(path: &Path) -> Result<String, Unreadable> {
    const CHECK: &str = "check the path, or leave it out";
    let unreadable = |problem: &str, remedy| Unreadable { problem: problem.to_owned(), remedy };
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => unreadable("there is no such file", CHECK),
        io::ErrorKind::IsADirectory => unreadable("it is a directory", "name the file in it"),
        io::ErrorKind::PermissionDenied => {
            unreadable("the file cannot be read: permission denied", "let this user read it, or leave it out")
        }
        kind => unreadable(&format!("the file cannot be read: {kind}"), CHECK),
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(unreadable("the file is larger than 1 MiB", "name a file of options"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        unreadable(&format!("line {line} is not UTF-8"), "save the file as UTF-8")
    })
}

#[cfg(test)]
mod tests;
