//! How many settings come from where.

use std::collections::BTreeSet;

use super::Resolved;
use crate::config::fault::Origin;

impl Resolved {
    /// `settings from 2 flags, 1 variable and 3 lines of cvd-stream.toml`.
    pub fn sources(&self) -> String {
        let mut files = Vec::new();
        let mut settings: BTreeSet<(usize, String)> = BTreeSet::new();
        for option in &self.options {
            settings.extend(match &option.origin {
                Origin::Flag(name) => Some((0, name.clone())),
                Origin::Environment(name) => Some((1, name.clone())),
                Origin::DotEnv(name) => Some((2, name.clone())),
                Origin::File { path, line } => {
                    files.push(path);
                    Some((3, line.to_string()))
                }
                Origin::Url | Origin::Default => None,
            });
        }
        let of_file = files.first().map(|path| format!(" of {path}")).unwrap_or_default();
        let kinds = [("flag", ""), ("variable", ""), ("line", " of .env"), ("line", &*of_file)];
        let counted = kinds.into_iter().enumerate().map(|(kind, (what, of))| {
            let count = settings.iter().filter(|(of_kind, _)| *of_kind == kind).count();
            (count, format!("{count} {what}{}{of}", if count == 1 { "" } else { "s" }))
        });
        let parts: Vec<String> = counted.filter(|(count, _)| *count > 0).map(|(_, part)| part).collect();
        match parts.split_last() {
            None => "all settings are defaults".to_owned(),
            Some((last, [])) => format!("settings from {last}"),
            Some((last, before)) => format!("settings from {} and {last}", before.join(", ")),
        }
    }
}
