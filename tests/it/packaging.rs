use std::path::{Path, PathBuf};

use cvd_stream::config::OPTIONS;

/// The image.
mod container;
/// The dashboard.
mod dashboard;
/// The rules and the table that documents the metrics.
mod metrics;
/// The unit and the Debian package.
mod service;
/// Licences and the bill of materials.
mod supply;
/// Tools that judge what is ours.
mod tools;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn file(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The words of a text that begin so; a word is of letters, digits and what else is given.
fn words<'a>(text: &'a str, others: &'a [char], beginning: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(move |c: char| !c.is_ascii_alphanumeric() && !others.contains(&c))
        .filter(move |word| word.starts_with(beginning))
}

/// Flags and variables of ours, also in comments, are ones that the command knows.
fn knows_the_options_of(text: &str) {
    let flag = |name: &str| OPTIONS.iter().any(|option| option.name == name);
    for variable in words(text, &['_'], "CVD_STREAM_") {
        let known = OPTIONS.iter().any(|option| option.variables().iter().any(|known| known == variable));
        let name = variable["CVD_STREAM_".len()..].to_ascii_lowercase().replace('_', "-");
        assert!(known || flag(&name), "no option has the variable {variable}");
    }
    // Only what follows the command: other programs have flags too.
    for command in text.lines().filter_map(|line| line.split_once("cvd-stream ")).map(|(_, rest)| rest) {
        for name in words(command, &['-'], "--").map(|word| &word[2..]) {
            assert!(flag(name), "no option is called --{name}");
        }
    }
}

#[test]
fn a_flag_that_does_not_exist_is_noticed() {
    knows_the_options_of("ExecStart=/usr/bin/cvd-stream --symbol BTCUSDT\nCVD_STREAM_STATE_DIR=/x");
    for wrong in ["/usr/bin/cvd-stream --symbols BTCUSDT", "CVD_STREAM_STATE_DIRECTORY=/x"] {
        assert!(std::panic::catch_unwind(|| knows_the_options_of(wrong)).is_err(), "{wrong}");
    }
}
