//! What alerts have come to, readable from anywhere.

use std::sync::atomic::{AtomicU64, Ordering};

use super::config::AlertsConfig;
use super::engine::Engine;
use super::notice::{Notice, What};
use super::rule::Sink;

/// What has fired, what is firing, and what became of the deliveries.
#[derive(Debug)]
pub struct AlertCounts {
    rules: Vec<Counted>,
    deliveries: [[AtomicU64; Outcome::ALL.len()]; Sink::ALL.len()],
}

#[derive(Debug)]
struct Counted {
    name: String,
    fired: AtomicU64,
    firing: AtomicU64,
}

/// A rule at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleCounts<'a> {
    /// Its name.
    pub rule: &'a str,
    /// How often it has fired.
    pub fired: u64,
    /// Over how many symbols or shards it is firing now; of what is about the run 0 or 1.
    pub firing: u64,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was taken.
    Ok,
    /// It was not, after all attempts.
    Failed,
    /// It was never tried: too many were waiting, or the run was over.
    Dropped,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ok, Self::Failed, Self::Dropped];

    /// The value of the label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

impl AlertCounts {
    /// Zero for every rule.
    pub fn new(config: &AlertsConfig) -> Self {
        let zero = |name: &str| Counted {
            name: name.to_owned(),
            fired: AtomicU64::default(),
            firing: AtomicU64::default(),
        };
        Self {
            rules: config.rules.iter().map(|rule| zero(&rule.name)).collect(),
            deliveries: Default::default(),
        }
    }

    /// Every rule, in the order of the configuration.
    pub fn rules(&self) -> impl Iterator<Item = RuleCounts<'_>> {
        self.rules.iter().map(|rule| RuleCounts {
            rule: &rule.name,
            fired: rule.fired.load(Ordering::Relaxed),
            firing: rule.firing.load(Ordering::Relaxed),
        })
    }

    /// How many deliveries came to this.
    pub fn deliveries(&self, sink: Sink, outcome: Outcome) -> u64 {
        self.deliveries[sink as usize][outcome as usize].load(Ordering::Relaxed)
    }

    /// After a look of the engine of the same configuration: what it said.
    pub fn look(&self, engine: &Engine, notices: &[Notice]) {
        for (rule, firing) in self.rules.iter().zip(engine.firing()) {
            rule.firing.store(firing, Ordering::Relaxed);
        }
        for notice in notices.iter().filter(|notice| notice.what == What::Fired) {
            if let Some(rule) = self.rules.iter().find(|rule| rule.name == notice.rule) {
                rule.fired.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn delivery(&self, sink: Sink, outcome: Outcome) {
        self.deliveries[sink as usize][outcome as usize].fetch_add(1, Ordering::Relaxed);
    }
}
