//! What the run was told.

use super::Subject;
use super::finding::{Check, Finding};
use super::wanted::Wanted;
use crate::units::Symbol;

/// What is effective, and every warning about it.
pub(super) fn check(subject: &Subject, wanted: &Wanted) -> Finding {
    let symbols: Vec<&str> = wanted.endpoint.symbols.iter().map(Symbol::as_str).collect();
    let said = match wanted.is_plain {
        true => format!("{} on {}, {}", symbols.join(", "), subject.config.market, subject.sources),
        false => format!("{}, {}", wanted.described(), subject.sources),
    };
    match &*subject.warnings {
        [] => Finding::ok(Check::Configuration, said),
        warnings => Finding::warn(Check::Configuration, said, warnings.join("; ")),
    }
}
