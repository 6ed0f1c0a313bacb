//! What is wrong with a configuration: every fault at once, each with what to do about it.

use std::fmt;

use super::options::OptionSpec;
use crate::feed::endpoint::redact_url;
use crate::feed::redact_proxy;
use crate::text::one_line;

/// Where a value was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// On the command line: `--symbol`.
    Flag(String),
    /// In a variable of the environment: `SYMBOL`.
    Environment(String),
    /// In a variable of the file `.env`.
    DotEnv(String),
    /// In the configuration file.
    File {
        /// Which file, as it was named; safe to show.
        path: String,
        /// The line, from 1.
        line: usize,
    },
    /// In the URL, which tells the symbols and the market itself.
    Url,
    /// Nowhere: the default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::DotEnv(variable) => write!(f, ".env {variable}"),
            Self::File { path, line } => write!(f, "{path} line {line}"),
            Self::Url => f.write_str("the URL"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One fault. All texts are one line and free of credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The flag, `--queue-size`; or the file, `.env` or `cvd-stream.toml line 3`.
    pub subject: String,
    /// The variables that set the same; empty for a file.
    pub variables: Vec<String>,
    /// The value, quoted and escaped, credentials removed; empty where there is none.
    pub value: String,
    /// Where the value was found; `None` when a program set it.
    pub origin: Option<Origin>,
    /// What is wrong with it.
    pub problem: String,
    /// What is allowed; may be empty.
    pub allowed: String,
    /// What to do.
    pub remedy: String,
}

impl Fault {
    /// A fault of an option's value.
    pub(crate) fn of(option: &OptionSpec, value: &str, origin: Option<Origin>, problem: String) -> Self {
        Self {
            subject: option.flag(),
            variables: option.variables(),
            value: quoted(option, value),
            remedy: remedy(option, origin.as_ref()),
            origin,
            problem,
            allowed: option.range.to_owned(),
        }
    }

    /// With a remedy of its own.
    pub(crate) fn with_remedy(self, remedy: String) -> Self {
        Self { remedy, ..self }
    }
}

/// At most this much of a value is shown, in characters.
const LONGEST_SHOWN: usize = 160;

/// The value as a report may show it.
fn quoted(option: &OptionSpec, value: &str) -> String {
    let value = match option.name {
        "url" | "rest-url" | "archive-url" => redact_url(value),
        "proxy" => redact_proxy(value),
        _ => value.to_owned(),
    };
    let cut: String = value.chars().take(LONGEST_SHOWN).collect();
    let more = if cut.len() < value.len() { "…" } else { "" };
    format!("{cut:?}{more}")
}

/// "Set QUEUE_SIZE=4096, or …": in the words of the place the value came from.
fn remedy(option: &OptionSpec, origin: Option<&Origin>) -> String {
    let setting = match origin {
        Some(Origin::Environment(variable) | Origin::DotEnv(variable)) => {
            format!("{variable}={}", option.example)
        }
        Some(Origin::File { .. }) => option.in_file(option.example),
        _ => format!("{} {}", option.flag(), option.example),
    };
    match option.default {
        "" => format!("for example {setting}, or leave it out"),
        default => format!("for example {setting}, or leave it out for the default ({default})"),
    }
}

/// A configuration that cannot be used, with every fault in it. Its display is the report for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    faults: Vec<Fault>,
}

impl ConfigError {
    /// `Err` with the faults, if there are any.
    pub(crate) fn check(faults: Vec<Fault>) -> Result<(), Self> {
        if faults.is_empty() { Ok(()) } else { Err(Self { faults }) }
    }

    /// Every fault, at least one, in the order of the options.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.faults.len() {
            1 => writeln!(f, "one fault in the configuration; nothing was started")?,
            n => writeln!(f, "{n} faults in the configuration; nothing was started")?,
        }
        self.faults.iter().try_for_each(|fault| write!(f, "\n{fault}"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.variables.as_slice() {
            [] => writeln!(f, "{}", one_line(&self.subject))?,
            variables => {
                // The bare name first, because people know it.
                let variables: Vec<&str> = variables.iter().rev().map(String::as_str).collect();
                writeln!(f, "{}  [env: {}]", one_line(&self.subject), one_line(&variables.join(", ")))?;
            }
        }
        let mut line = |title: &str, text: &str| match text {
            "" => Ok(()),
            text => writeln!(f, "    {title:<9}{}", one_line(text)),
        };
        match &self.origin {
            Some(origin) if !self.value.is_empty() => line("value", &format!("{} ({origin})", self.value))?,
            _ => line("value", &self.value)?,
        }
        line("problem", &self.problem)?;
        line("allowed", &self.allowed)?;
        line("remedy", &self.remedy)
    }
}

impl std::error::Error for ConfigError {}
