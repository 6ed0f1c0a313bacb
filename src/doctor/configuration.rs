//! What the run was told.

use std::collections::BTreeSet;

use super::Subject;
use super::finding::{Check, Finding};
use super::wanted::Wanted;
use crate::config::Origin;
use crate::config::resolve::Resolved;
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

/// How many settings come from where: `settings from 2 flags and 1 variable`.
pub(super) fn sources(resolved: &Resolved) -> String {
    let given = |wanted: fn(&Origin) -> Option<&String>| {
        let names: BTreeSet<&String> =
            resolved.options.iter().filter_map(|option| wanted(&option.origin)).collect();
        names.len()
    };
    let flags = given(|origin| if let Origin::Flag(name) = origin { Some(name) } else { None });
    let variables = given(|origin| if let Origin::Environment(name) = origin { Some(name) } else { None });
    let dotenv = given(|origin| if let Origin::DotEnv(name) = origin { Some(name) } else { None });
    let counted = [(flags, "flag", ""), (variables, "variable", ""), (dotenv, "line", " of .env")];
    let parts: Vec<String> = counted
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, what, of)| format!("{count} {what}{}{of}", if count == 1 { "" } else { "s" }))
        .collect();
    match parts.split_last() {
        None => "all settings are defaults".to_owned(),
        Some((last, [])) => format!("settings from {last}"),
        Some((last, before)) => format!("settings from {} and {last}", before.join(", ")),
    }
}
