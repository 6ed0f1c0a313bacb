//! One look after the other in, notices out. Pure: no clock, no I/O; the same looks give the same notices.

mod memory;
mod sentence;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod tests;
mod watched;
mod window;

use std::collections::BTreeMap;

use self::memory::Memory;
use self::watched::Watched;
use super::config::AlertsConfig;
use super::kind::About;
use super::measure::Measure;
use super::notice::{Notice, Subject, What};
use super::rule::Rule;
use crate::overview::{LaneOverview, LinkOverview, Overview};

/// Looks at a run through its rules. What it remembers is bounded: of every rule and symbol a state and 60 samples at
/// most; what is not in a look any more is forgotten.
#[derive(Debug)]
pub struct Engine {
    guards: Vec<Guard>,
    looks: u64,
}

/// A rule, and what it watches.
#[derive(Debug)]
struct Guard {
    rule: Rule,
    watched: BTreeMap<Subject, Watched>,
}

/// What a rule looks at in one look.
#[derive(Debug, Clone, Copy)]
enum Seen<'a> {
    Run,
    Shard(&'a LinkOverview),
    Lane(&'a LaneOverview),
}

impl Engine {
    /// Has not seen anything yet.
    pub fn new(config: &AlertsConfig) -> Self {
        let guard = |rule: &Rule| Guard { rule: rule.clone(), watched: BTreeMap::new() };
        Self { guards: config.rules.iter().map(guard).collect(), looks: 0 }
    }

    /// What has begun and what is over since the look before: rule by rule in the order of the configuration.
    pub fn look(&mut self, overview: &Overview) -> Vec<Notice> {
        self.looks += 1;
        let mut notices = Vec::new();
        for guard in &mut self.guards {
            guard.look(overview, self.looks, &mut notices);
        }
        notices
    }

    /// Over how many symbols or shards each rule is firing, in the order of the configuration.
    pub fn firing(&self) -> impl Iterator<Item = u64> {
        self.guards
            .iter()
            .map(|guard| guard.watched.values().filter(|watched| watched.is_firing()).count() as u64)
    }
}

impl Guard {
    fn look(&mut self, overview: &Overview, look: u64, notices: &mut Vec<Notice>) {
        match self.rule.on.about() {
            About::Run => self.see(Seen::Run, overview, look, notices),
            About::Shards => {
                for link in overview.links.iter().filter(|link| link.symbols > 0) {
                    self.see(Seen::Shard(link), overview, look, notices);
                }
            }
            About::Symbols => {
                for lane in &overview.lanes {
                    if wants(&self.rule, lane) {
                        self.see(Seen::Lane(lane), overview, look, notices);
                    }
                }
            }
        }
        let rule = &self.rule;
        self.watched.retain(|subject, watched| {
            let is_there = watched.was_seen(look);
            if !is_there && watched.is_firing() {
                let text = sentence::gone(rule, subject);
                notices.push(notice(rule, subject.clone(), What::Resolved, None, text, overview));
            }
            is_there
        });
    }

    fn see(&mut self, seen: Seen<'_>, overview: &Overview, look: u64, notices: &mut Vec<Notice>) {
        let rule = &self.rule;
        let at = overview.at.mono_ns;
        let watched =
            self.watched.entry(seen.subject()).or_insert_with(|| Watched::new(Memory::of(rule, at)));
        let value = watched.memory.value(rule, seen, overview);
        let value = value.filter(|value| value.is_finite());
        if let (Some(what), Some(value)) = (watched.step(rule, value, at, look), value) {
            let text = sentence::sentence(rule, seen, what, value, overview);
            notices.push(notice(rule, seen.subject(), what, Some(value), text, overview));
        }
    }
}

impl Seen<'_> {
    fn subject(self) -> Subject {
        match self {
            Self::Run => Subject::Run,
            Self::Shard(link) => Subject::Shard(link.shard, link.market),
            Self::Lane(lane) => Subject::Symbol(lane.instrument()),
        }
    }
}

fn wants(rule: &Rule, lane: &LaneOverview) -> bool {
    let is_it = |wanted: &crate::snapshot::Instrument| {
        wanted.market == lane.summary.market && wanted.symbol == lane.summary.symbol
    };
    rule.symbols.is_empty() || rule.symbols.iter().any(is_it)
}

fn notice(
    rule: &Rule,
    subject: Subject,
    what: What,
    value: Option<Measure>,
    text: String,
    overview: &Overview,
) -> Notice {
    Notice {
        rule: rule.name.clone(),
        on: rule.on,
        severity: rule.severity,
        what,
        subject,
        value,
        threshold: rule.bound.threshold(),
        at_ms: overview.at.wall_ms(),
        text,
        sinks: rule.sinks,
    }
}
