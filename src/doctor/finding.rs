//! What a check found.

use std::fmt;
use std::time::Duration;

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Check {
    /// What the run was told.
    Configuration,
    /// Through what the exchange is reached.
    Proxy,
    /// The address behind the host's name.
    Dns,
    /// Whether these addresses take connections.
    Tcp,
    /// The certificate and the encryption.
    Tls,
    /// Whether REST answers.
    Rest,
    /// Whether the exchange lists the symbols, and whether they trade.
    Symbol,
    /// This machine's clock against the exchange's.
    Clock,
    /// Where checkpoints are kept.
    StateDirectory,
    /// Whether the stream opens.
    Stream,
    /// Whether trades come over it.
    Route,
}

impl Check {
    /// All of them, in the order in which they are to be read: causes come before what follows from them.
    pub const ALL: [Self; 11] = [
        Self::Configuration,
        Self::Proxy,
        Self::Dns,
        Self::Tcp,
        Self::Tls,
        Self::Rest,
        Self::Symbol,
        Self::Clock,
        Self::StateDirectory,
        Self::Stream,
        Self::Route,
    ];

    /// Its name for people: `state directory`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Proxy => "proxy",
            Self::Dns => "DNS",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Rest => "REST",
            Self::Symbol => "symbol",
            Self::Clock => "clock",
            Self::StateDirectory => "state directory",
            Self::Stream => "stream",
            Self::Route => "route",
        }
    }

    /// Its name for programs: `state_directory`.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Rest => "rest",
            Self::StateDirectory => "state_directory",
            _ => self.name(),
        }
    }
}

/// How good or bad it is, from the harmless to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// As it should be.
    Ok,
    /// Not looked at: not needed, or an earlier check failed.
    Skipped,
    /// A run would work; something deserves attention.
    Warn,
    /// A run would not work, or not bring whole numbers.
    Fail,
}

impl Level {
    /// `ok`, `skipped`, `warn` or `fail`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What one check found. All texts are one line, in lower case, without credentials, safe for a terminal.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Which check.
    pub check: Check,
    /// How good or bad it is.
    pub level: Level,
    /// The situation.
    pub said: String,
    /// What to do about it.
    pub remedy: Option<String>,
    /// How long it took, in milliseconds, where that tells something.
    pub millis: Option<f64>,
}

impl Finding {
    /// Everything is as it should be.
    pub fn ok(check: Check, said: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, said: said.into(), remedy: None, millis: None }
    }

    /// Not looked at, and why.
    pub fn skipped(check: Check, why: impl fmt::Display) -> Self {
        Self { level: Level::Skipped, ..Self::ok(check, format!("skipped: {why}")) }
    }

    /// A run would work; something deserves attention.
    pub fn warn(check: Check, said: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Warn, remedy: Some(remedy.into()), ..Self::ok(check, said) }
    }

    /// A run would not work.
    pub fn fail(check: Check, said: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Fail, ..Self::warn(check, said, remedy) }
    }

    /// The same, with the time it took.
    #[must_use]
    pub fn took(mut self, time: Duration) -> Self {
        self.millis = Some(time.as_secs_f64() * 1e3);
        self
    }
}
