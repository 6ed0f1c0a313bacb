//! Alerts as the configuration file has them: every fault at once, each with its key and what to do.

mod number;
mod section;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use toml::{Table, Value};

use self::number::{Wanted, number, shown};
use self::section::Section;
use super::config::AlertsConfig;
use super::defaults;
use super::kind::{About, Kind, Unit};
use super::measure::Measure;
use super::rule::{Bound, MOST_RULES, Rule, Severity, Sink, Sinks};
use super::webhook::{Secret, Webhook, WebhookUrl};
use crate::snapshot::Instrument;
use crate::units::QtyDelta;

/// One fault. All texts are one line and free of secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertFault {
    /// Where: `alerts.webhook`, or `alert 2 (btc-z): above`, counted from 1.
    pub key: String,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

const SECTION: [&str; 5] = ["webhook", "webhook-secret-file", "webhook-allow-private", "command", "defaults"];
const RULE: [&str; 12] = [
    "name", "on", "symbols", "above", "below", "beyond", "rearm", "for", "within", "cooldown", "severity",
    "sinks",
];
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
const WEEK: Duration = Duration::from_secs(7 * 86_400);
/// A command has so many parts at most, of so many bytes each.
const MOST_PARTS: usize = 64;
const LONGEST_PART: usize = 4_096;
const MOST_SYMBOLS: usize = 4_096;

/// What the keys `alerts` (a table) and `alert` (an array of tables) of a configuration file say; other keys are left
/// alone. Without either it is the built-in rules, told to standard error. Reads the secret's file.
///
/// # Errors
/// Every fault, in the order of the file.
pub fn parse(table: &Table) -> Result<AlertsConfig, Vec<AlertFault>> {
    let mut faults = Vec::new();
    let empty = Table::new();
    let settings = match table.get("alerts") {
        None => &empty,
        Some(Value::Table(settings)) => settings,
        Some(other) => {
            let problem = format!("a table is wanted, not {}", other.type_str());
            faults.push(AlertFault::new("alerts", problem, "write [alerts] on a line of its own"));
            &empty
        }
    };
    let mut section = Section::new("alerts", settings, &SECTION);
    let webhook = webhook(&mut section);
    let command = command(&mut section);
    let built_in = section.switch("defaults").unwrap_or(true);
    faults.append(&mut section.faults());

    let mut config = AlertsConfig { rules: Vec::new(), webhook, command };
    // One that is faulty is there all the same.
    let known = [(Sink::Webhook, "webhook"), (Sink::Command, "command")]
        .into_iter()
        .filter(|(_, key)| settings.contains_key(*key))
        .fold(Sinks::default().with(Sink::Stderr), |sinks, (sink, _)| sinks.with(sink));
    for (at, written) in rules_of(table, &mut faults).into_iter().enumerate() {
        let Value::Table(written) = written else {
            let problem = format!("a table is wanted, not {}", written.type_str());
            faults.push(AlertFault::new(
                &format!("alert {}", at + 1),
                problem,
                "write [[alert]] on a line of its own",
            ));
            continue;
        };
        let name = written.get("name").and_then(Value::as_str).filter(|name| is_name(name));
        let place = match name {
            Some(name) => format!("alert {} ({name}): ", at + 1),
            None => format!("alert {}: ", at + 1),
        };
        let mut section = Section::new(&place, written, &RULE);
        let read = rule(&mut section, known);
        let others = config.rules.iter().map(|rule| rule.name.as_str());
        if let Some(name) = name
            && others.into_iter().any(|other| other == name)
        {
            section.fault("name", "another rule has it".to_owned(), "give each rule a name of its own");
        }
        faults.append(&mut section.faults());
        config.rules.extend(read);
    }
    if built_in {
        // One of the user's takes the place of the built-in one of that name.
        let mut rules = defaults::rules();
        rules.retain(|rule| config.rules.iter().all(|own| own.name != rule.name));
        rules.append(&mut config.rules);
        config.rules = rules;
    }
    if config.rules.len() > MOST_RULES {
        let problem =
            format!("{} rules, built-in ones included; at most {MOST_RULES} are watched", config.rules.len());
        faults.push(AlertFault::new("alert", problem, "leave some out, or give one rule several symbols"));
    }
    if faults.is_empty() { Ok(config) } else { Err(faults) }
}

impl AlertFault {
    fn new(key: &str, problem: String, remedy: &str) -> Self {
        Self { key: key.to_owned(), problem, remedy: remedy.to_owned() }
    }
}

fn rules_of<'a>(table: &'a Table, faults: &mut Vec<AlertFault>) -> Vec<&'a Value> {
    match table.get("alert") {
        None => Vec::new(),
        // As many as can be right, and one more to tell that there are too many.
        Some(Value::Array(rules)) => rules.iter().take(MOST_RULES + 1).collect(),
        Some(other) => {
            let problem = format!("an array of tables is wanted, not {}", other.type_str());
            faults.push(AlertFault::new("alert", problem, "write [[alert]], with two brackets"));
            Vec::new()
        }
    }
}

fn webhook(section: &mut Section<'_>) -> Option<Webhook> {
    let allow_private = section.switch("webhook-allow-private").unwrap_or(false);
    let file = section.text("webhook-secret-file");
    let secret = file.and_then(|path| match Secret::from_file(Path::new(path)) {
        Ok(secret) => Some(secret),
        Err(error) => {
            section.fault("webhook-secret-file", error.to_string(), error.remedy());
            None
        }
    });
    let Some(text) = section.text("webhook") else {
        if file.is_some() {
            let problem = "there is no webhook to sign for".to_owned();
            section.fault("webhook-secret-file", problem, "name the webhook, or leave this out");
        }
        return None;
    };
    let url = match WebhookUrl::parse(text) {
        Ok(url) => url,
        Err(error) => {
            section.fault("webhook", error.problem().to_owned(), error.remedy());
            return None;
        }
    };
    if url.is_private() && !allow_private {
        let problem = format!("{url} is this machine or in a private network");
        section.fault("webhook", problem, "if that is meant, say webhook-allow-private = true");
    }
    Some(Webhook { url, secret, allow_private })
}

fn command(section: &mut Section<'_>) -> Option<Vec<String>> {
    let command = section.texts("command", MOST_PARTS)?;
    let is_fit = |part: &&str| part.len() <= LONGEST_PART && !part.contains('\0');
    let is_program = command.first().is_some_and(|program| !program.is_empty());
    if !is_program || !command.iter().all(is_fit) {
        let problem = "not a program and its arguments".to_owned();
        section.fault(
            "command",
            problem,
            "for example [\"/usr/local/bin/page\", \"--now\"]; there is no shell",
        );
    }
    Some(command.into_iter().map(str::to_owned).collect())
}

/// A rule; `None` where what it looks at is not known. What is faulty in it is as if it were not there.
fn rule(section: &mut Section<'_>, known: Sinks) -> Option<Rule> {
    let name = section.wanted("name", "for example name = \"btc-z\"");
    if let Some(name) = name.filter(|name| !is_name(name)) {
        section.fault("name", format!("{} is no name", shown(name)), "1 to 40 of a-z, 0-9, _ and -");
    }
    let kinds = Kind::ALL.map(|kind| (kind.as_str(), kind));
    if section.value("on").is_none() {
        let words = Kind::ALL.map(Kind::as_str).join(", ");
        section.fault("on", "it is missing".to_owned(), &format!("one of {words}"));
    }
    let on = section.choice("on", &kinds);
    let severities = Severity::ALL.map(|severity| (severity.as_str(), severity));
    let severity = section.choice("severity", &severities).unwrap_or(Severity::Warning);
    let sinks = sinks(section, known);
    let hold = section.duration("for", Duration::ZERO, DAY);
    let within = section.duration("within", SECOND, DAY);
    let cooldown = section.duration("cooldown", Duration::ZERO, WEEK);
    let symbols = symbols(section);
    let on = on?;
    if on.about() != About::Symbols {
        let problem = format!("{} is not about single symbols", on.as_str());
        section.unfit("symbols", problem, "leave it out");
    }
    if !on.has_window() {
        section.unfit("within", format!("{} has no window", on.as_str()), "leave it out");
    }
    if on.is_momentary() {
        section.unfit("for", format!("{} is over as soon as it happens", on.as_str()), "leave it out");
    }
    let (bound, rearm) = bounds(section, on, hold.unwrap_or_default());
    let usual = defaults::rule(name.unwrap_or_default(), on, severity);
    Some(Rule {
        symbols,
        bound,
        rearm,
        hold: if on.is_duration() { Duration::ZERO } else { hold.unwrap_or_default() },
        within: within.unwrap_or(usual.within),
        cooldown: cooldown.unwrap_or(usual.cooldown),
        sinks,
        ..usual
    })
}

/// When it fires, and where it is armed again.
fn bounds(section: &mut Section<'_>, on: Kind, hold: Duration) -> (Bound, Measure) {
    let (bound, is_sound) = bound(section, on, hold);
    let rearm = if is_sound { rearm(section, on, bound) } else { bound.threshold() };
    (bound, rearm)
}

/// When it fires, and whether that is what was written.
fn bound(section: &mut Section<'_>, on: Kind, hold: Duration) -> (Bound, bool) {
    if on.is_duration() || on.is_momentary() {
        let problem = format!("{} is over when it is over", on.as_str());
        section.unfit("rearm", problem, "leave it out");
    }
    if on.is_duration() {
        for key in ["above", "below", "beyond"] {
            let problem = format!("{} is measured in time", on.as_str());
            section.unfit(key, problem, "write for = \"30s\"");
        }
        return (Bound::Above(Measure::Number(hold.as_secs_f64())), false);
    }
    if !on.has_two_sides() {
        for key in ["below", "beyond"] {
            section.unfit(key, format!("{} has one side", on.as_str()), "write above");
        }
    }
    let zero = zero(on);
    let (mut bounds, mut is_sound) = (Vec::new(), true);
    for (key, wanted, bound) in [
        ("above", Wanted::of(on), Bound::Above as fn(Measure) -> Bound),
        ("below", Wanted::of(on), Bound::Below),
        ("beyond", Wanted::positive(on), Bound::Beyond),
    ] {
        if let Some(value) = section.value(key)
            && (on.has_two_sides() || key == "above")
        {
            match number(value, wanted) {
                Ok(threshold) => bounds.push(bound(threshold)),
                Err(problem) => {
                    section.fault(key, problem, &wanted.to_string());
                    bounds.push(bound(zero));
                    is_sound = false;
                }
            }
        }
    }
    let bound = match (bounds.as_slice(), on.usual().0) {
        ([bound], _) => *bound,
        ([], Some(usual)) => Bound::Above(usual),
        ([], None) => {
            let also = if on.has_two_sides() { ", below or beyond" } else { "" };
            section.fault("above", "there is no threshold".to_owned(), &format!("give one: above{also}"));
            is_sound = false;
            Bound::Above(zero)
        }
        ([first, ..], _) => {
            section.fault(
                "above",
                "there are several thresholds".to_owned(),
                "keep one of above, below and beyond",
            );
            is_sound = false;
            *first
        }
    };
    match bound {
        Bound::Above(at) if on.is_momentary() => (Bound::AtLeast(at), false),
        bound => (bound, is_sound),
    }
}

fn rearm(section: &mut Section<'_>, on: Kind, bound: Bound) -> Measure {
    let threshold = bound.threshold();
    let Some(value) = section.value("rearm") else { return threshold };
    let wanted = if matches!(bound, Bound::Beyond(_)) { Wanted::positive(on) } else { Wanted::of(on) };
    match number(value, wanted) {
        // It must have been left before it is come back to.
        Ok(rearm) if bound.is_back(rearm, rearm) => rearm,
        Ok(rearm) => {
            let problem = format!("{rearm} is on the other side of the threshold {threshold}");
            section.fault("rearm", problem, "give a value between the threshold and calm");
            threshold
        }
        Err(problem) => {
            section.fault("rearm", problem, &wanted.to_string());
            threshold
        }
    }
}

fn zero(on: Kind) -> Measure {
    match on.numbers() {
        Unit::Number => Measure::Number(0.0),
        Unit::Count => Measure::Count(0),
        Unit::Quantity => Measure::Quantity(QtyDelta::ZERO),
        Unit::Worth => Measure::Worth(0),
    }
}

fn sinks(section: &mut Section<'_>, known: Sinks) -> Sinks {
    let Some(words) = section.texts("sinks", Sink::ALL.len()) else { return Sinks::ALL };
    let mut sinks = Sinks::default();
    for word in words {
        match Sink::ALL.into_iter().find(|sink| sink.as_str() == word) {
            None => {
                section.fault("sinks", format!("{} is no sink", shown(word)), "stderr, webhook or command")
            }
            Some(sink) if !known.has(sink) => {
                let problem = format!("there is no {word} in [alerts]");
                section.fault("sinks", problem, "name it there, or leave it out here");
            }
            Some(sink) => sinks = sinks.with(sink),
        }
    }
    sinks
}

fn symbols(section: &mut Section<'_>) -> Vec<Instrument> {
    let Some(words) = section.texts("symbols", MOST_SYMBOLS) else { return Vec::new() };
    if words.is_empty() {
        section.fault("symbols", "there is none".to_owned(), "name some, or leave it out for every symbol");
    }
    let mut symbols = Vec::new();
    for word in words {
        match word.parse::<Instrument>() {
            Ok(symbol) => symbols.push(symbol),
            Err(error) => {
                let problem = format!("{} is no symbol of a market: {error}", shown(word));
                section.fault("symbols", problem, "for example \"usdm:BTCUSDT\"");
            }
        }
    }
    symbols
}

fn is_name(text: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    (1..=40).contains(&text.len()) && text.bytes().all(is_fit)
}
