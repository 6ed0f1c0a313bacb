//! Rules that watch the run and the market, and tell: to standard error, to a webhook, to a command.
//!
//! The middle is pure: an [`Engine`] looks at one [`Overview`](crate::overview::Overview) after the other and says what
//! begins and what is over. [`Deliveries`] hands that on behind bounded queues. [`watch`] drives both, on a runtime of
//! its own: nothing here is ever waited for by the thread that reads the sockets.

mod command;
mod config;
mod counts;
mod defaults;
mod deliveries;
mod engine;
#[cfg(feature = "cli")]
mod file;
mod json;
mod kind;
mod mailbox;
mod measure;
mod notice;
mod rule;
mod shown;
mod watch;
mod webhook;

pub use config::AlertsConfig;
pub use counts::{AlertCounts, Outcome, RuleCounts};
pub use deliveries::{Couriers, Deliveries};
pub use engine::Engine;
#[cfg(feature = "cli")]
pub use file::{AlertFault, parse};
pub use kind::{About, Kind};
pub use measure::Measure;
pub use notice::{Notice, Subject, What};
pub use rule::{Bound, MOST_RULES, Rule, Severity, Sink, Sinks};
pub use watch::{AT_THE_END, watch};
pub use webhook::{Secret, SecretError, Webhook, WebhookUrl, WebhookUrlError};
