//! One event, taken apart.

use std::fmt;
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// The code of an event that has none of its own: another library's.
pub(super) const FOREIGN: &str = "log";

/// More characters than this of a text are not shown.
const LONGEST: usize = 16 * 1024;

/// What an event says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    pub(super) at: SystemTime,
    pub(super) level: Level,
    pub(super) target: &'static str,
    /// Its stable word; `None` for another library's.
    pub(super) event: Option<String>,
    /// For people.
    pub(super) message: String,
    /// For machines, in the order of the source.
    pub(super) fields: Vec<(&'static str, Value)>,
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// A number or a truth, as JSON writes it.
    Plain(String),
    /// Anything else; exact decimals too, which no number of JSON keeps.
    Text(String),
}

impl Told {
    /// Takes an event apart that happened at `at`.
    pub(super) fn of(event: &Event<'_>, at: SystemTime) -> Self {
        let metadata = event.metadata();
        let (level, target) = (*metadata.level(), metadata.target());
        let mut told =
            Self { at, level, target, event: None, message: String::new(), fields: Vec::with_capacity(8) };
        event.record(&mut told);
        told
    }

    /// The stable word.
    pub(super) fn code(&self) -> &str {
        self.event.as_deref().unwrap_or(FOREIGN)
    }

    fn take(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("event", Value::Text(code)) => self.event = Some(code),
            ("message", Value::Text(message)) => self.message = message,
            (name, value) => self.fields.push((name, value)),
        }
    }
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, Value::Text(bounded(format!("{value:?}"))));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, Value::Text(bounded(value.to_owned())));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, Value::Plain(value.to_string()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, Value::Plain(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, Value::Plain(value.to_string()));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.take(field, Value::Plain(value.to_string()));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.take(field, Value::Plain(value.to_string()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        let text = value.to_string();
        // JSON has no word for the others.
        self.take(field, if value.is_finite() { Value::Plain(text) } else { Value::Text(text) });
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.take(field, Value::Text(bounded(value.to_string())));
    }
}

/// The text, cut where it is longer than anybody reads.
fn bounded(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}
