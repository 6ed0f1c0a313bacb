//! A value of TOML as the text that a flag would have.

use toml::de::{DeInteger, DeValue};

use crate::config::options::OptionSpec;
use crate::config::values::Problem;

/// A value that no text of an option can be made of.
pub(super) struct Unfit {
    /// What it is, for the report.
    pub(super) shown: String,
    pub(super) problem: Problem,
}

/// The text of a value; elements of an array are joined by commas where the option is a list.
pub(super) fn text_of(option: &OptionSpec, value: &DeValue<'_>) -> Result<String, Unfit> {
    if let Some(text) = plain(value) {
        return Ok(text);
    }
    let unfit = |shown: &str, problem: &str| Unfit { shown: shown.to_owned(), problem: problem.to_owned() };
    match value {
        DeValue::Array(elements) if option.is_list => {
            let is_text = |value: &DeValue<'_>| matches!(value, DeValue::String(_) | DeValue::Integer(_));
            let texts = elements.iter().map(|one| plain(one.get_ref()).filter(|_| is_text(one.get_ref())));
            match texts.collect::<Option<Vec<_>>>() {
                Some(texts) => Ok(texts.join(",")),
                None => Err(unfit("[…]", "an array of other things than texts and whole numbers")),
            }
        }
        DeValue::Array(_) => Err(unfit("[…]", "an array, but the option takes one value")),
        _ => Err(unfit("{…}", "a table, but the option takes a value")),
    }
}

/// The text of a value that is one.
fn plain(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(decimal(number)),
        DeValue::Float(number) => Some(number.as_str().trim_start_matches('+').to_owned()),
        DeValue::Boolean(value) => Some(value.to_string()),
        // `from = 2026-11-01`
        DeValue::Datetime(when) => Some(when.to_string()),
        DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// `0x10` is 16. What is too large for a number stays as it is, and is too large for every option.
fn decimal(number: &DeInteger<'_>) -> String {
    let parsed = i128::from_str_radix(number.as_str(), number.radix());
    parsed.map_or_else(|_| number.as_str().to_owned(), |number| number.to_string())
}
