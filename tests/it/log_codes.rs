//! The words by which machines know log lines: every call has one, and `docs/output.md` explains each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The levels at which something is said, by its word.
type Codes = BTreeMap<String, BTreeSet<&'static str>>;

const LEVELS: [&str; 5] = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"];
/// What has a row but no call: the rooms that say it are not always built, or it is what others' lines get.
const SAID_ELSEWHERE: [&str; 3] = ["alert", "alert_resolved", "log"];

#[test]
fn every_word_of_the_log_is_explained_at_its_level_and_nothing_else_is() {
    let (said, explained) = (said(), explained());
    assert!(said.len() > 80, "the sources were not found: {said:?}");
    for (code, levels) in &said {
        assert!(is_a_word(code), "{code} is not in snake case");
        assert_eq!(explained.get(code), Some(levels), "the row of `{code}` in docs/output.md");
    }
    let known = |code: &String| said.contains_key(code) || SAID_ELSEWHERE.contains(&code.as_str());
    let nobody: Vec<_> = explained.keys().filter(|code| !known(code)).collect();
    assert!(nobody.is_empty(), "docs/output.md explains what nobody says: {nobody:?}");
}

fn is_a_word(code: &str) -> bool {
    !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// What the sources say: each call of `tracing` begins with its word.
fn said() -> Codes {
    let mut said = Codes::new();
    for source in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        for call in source.split("tracing::").skip(1) {
            let level = LEVELS.into_iter().find(|level| {
                call.strip_prefix(&level.to_lowercase()).is_some_and(|rest| rest.starts_with("!("))
            });
            let Some(level) = level else { continue };
            let inside = call[level.len() + 2..].trim_start();
            let code = inside.strip_prefix("event = \"").and_then(|rest| rest.split('"').next());
            let code =
                code.unwrap_or_else(|| panic!("a call without a word: {}", &inside[..inside.len().min(80)]));
            said.entry(code.to_owned()).or_default().insert(level);
        }
    }
    said
}

fn sources(directory: &Path) -> Vec<String> {
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(directory).expect("the sources are here") {
        let path = entry.expect("the sources are here").path();
        if path.is_dir() {
            sources.extend(self::sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(std::fs::read_to_string(path).expect("sources are text"));
        }
    }
    sources
}

/// What the table of the documentation explains.
fn explained() -> Codes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/output.md");
    let text = std::fs::read_to_string(path).expect("the document is part of the project");
    let section = text.split("\n## Diagnostics\n").nth(1).and_then(|rest| rest.split("\n## ").next());
    let mut explained = Codes::new();
    for row in section.expect("there is a section on diagnostics").lines() {
        let Some((code, rest)) = row.strip_prefix("| `").and_then(|row| row.split_once("` | ")) else {
            continue;
        };
        let level = rest.split(" | ").next().expect("a row has cells");
        let levels = LEVELS.into_iter().filter(|word| level.contains(word));
        explained.entry(code.to_owned()).or_default().extend(levels);
    }
    explained
}
