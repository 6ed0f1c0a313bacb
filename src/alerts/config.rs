//! What is watched, and who is told.

use super::defaults;
use super::kind::Kind;
use super::rule::{Rule, Sink, Sinks};
use super::webhook::Webhook;

/// What is watched, and who is told. Nothing in it shows a secret.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertsConfig {
    /// At most [`MOST_RULES`](super::MOST_RULES), each with a name of its own.
    pub rules: Vec<Rule>,
    /// Where notices are posted to.
    pub webhook: Option<Webhook>,
    /// A program and its arguments, run for each notice; no shell.
    pub command: Option<Vec<String>>,
}

impl Default for AlertsConfig {
    /// The built-in rules, told to standard error.
    fn default() -> Self {
        Self { rules: defaults::rules(), webhook: None, command: None }
    }
}

impl AlertsConfig {
    /// Whether somebody has to look for the trades of the greatest worth: see [`posted`](crate::overview::posted).
    pub fn wants_largest(&self) -> bool {
        self.rules.iter().any(|rule| rule.on == Kind::LargeTrade)
    }

    /// Who can be told at all.
    pub fn sinks(&self) -> Sinks {
        let mut sinks = Sinks::default().with(Sink::Stderr);
        if self.webhook.is_some() {
            sinks = sinks.with(Sink::Webhook);
        }
        if self.command.is_some() {
            sinks = sinks.with(Sink::Command);
        }
        sinks
    }
}
