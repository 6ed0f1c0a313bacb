//! The manual page: one for the whole command.

use std::io;

use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

use super::help::EXAMPLES_LONG;
use super::{argument, command};
use crate::config::{self, OPTIONS, OptionSpec};

/// The page as roff: every option, subcommand, exit code, variable and file.
///
/// # Errors
/// Those of writing to memory, of which there are none.
pub fn man_page() -> io::Result<String> {
    let mut page = Vec::new();
    write(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

fn write(page: &mut Vec<u8>) -> io::Result<()> {
    // What subcommands alone read is explained once, with all the others.
    let of_subcommands = OPTIONS.iter().filter(|option| !option.applies_to(config::Command::Live));
    let mut whole = command().args(of_subcommands.map(argument)).disable_help_subcommand(true);
    whole.build();
    let usage: Vec<String> = std::iter::once("cvd-stream [OPTIONS]".to_owned())
        .chain(whole.get_subcommands_mut().map(usage))
        .collect();
    let man = Man::new(whole.clone().override_usage(usage.join("\n"))).manual("User Commands");
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    for section in [subcommands(&mut whole), exit_status(), environment(), files(), examples()] {
        section.to_writer(page)?;
    }
    Ok(())
}

/// `cvd-stream replay [OPTIONS] <FILE>...`
fn usage(subcommand: &mut clap::Command) -> String {
    let usage = subcommand.render_usage().to_string();
    usage.strip_prefix("Usage: ").unwrap_or(&usage).to_owned()
}

/// What each does, what it takes besides the options of the table, and which of those it does not read.
fn subcommands(whole: &mut clap::Command) -> Roff {
    let mut section = section("SUBCOMMANDS");
    let live = unread(|option| option.applies_to(config::Command::Live));
    section.text([roman(format!("Without one it follows the live trades. {live}"))]);
    for subcommand in whole.get_subcommands_mut() {
        section.control("SS", [subcommand.get_name()]);
        let about = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
        section.text([roman(format!("{about}."))]);
        section.control("PP", []).text([bold(usage(subcommand))]);
        let is_option = |name: &str| OPTIONS.iter().any(|option| option.name == name);
        let own = subcommand.get_arguments().filter(|arg| !is_option(arg.get_id().as_str()));
        for arg in own.filter(|arg| arg.get_id() != "help") {
            let name = match (arg.get_long(), arg.get_value_names()) {
                (Some(long), _) => bold(format!("--{long}")),
                (None, Some([name, ..])) => italic(name.to_string()),
                (None, _) => italic(arg.get_id().as_str()),
            };
            let help = arg.get_long_help().or_else(|| arg.get_help());
            let help = help.map(ToString::to_string).unwrap_or_default();
            let values: Vec<String> =
                arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
            let values =
                if values.is_empty() { String::new() } else { format!(": one of {}", values.join(", ")) };
            section.control("TP", []).text([name]).text([roman(format!("{help}{values}"))]);
        }
        let reads = |option: &OptionSpec| subcommand.get_arguments().any(|arg| arg.get_id() == option.name);
        section.control("PP", []).text([roman(unread(reads))]);
        let after = subcommand.get_after_help().map(ToString::to_string).unwrap_or_default();
        paragraphs(&mut section, &after);
    }
    section
}

/// Which options are not read.
fn unread(reads: impl Fn(&OptionSpec) -> bool) -> String {
    let unread: Vec<String> =
        OPTIONS.iter().filter(|option| !reads(option)).map(|option| option.flag()).collect();
    match unread.len() {
        0 => "It reads every option.".to_owned(),
        all if all == OPTIONS.len() => "It reads no option.".to_owned(),
        _ => format!("It does not read {}.", unread.join(", ")),
    }
}

fn exit_status() -> Roff {
    entries(
        "EXIT STATUS",
        [
            (
                "0",
                "A clean end; of doctor: all good; of config: the configuration is good; of health: the monitor is well.",
            ),
            (
                "1",
                "A failure, which standard error names; of doctor: a run would not work; of health: the monitor is not well, or \
                 does not answer.",
            ),
            (
                "2",
                "A mistake on the command line or in the configuration: all of them are told, each with its remedy.",
            ),
            ("3", "Of doctor: a run would work, but something deserves attention."),
        ],
    )
}

fn environment() -> Roff {
    let own = OPTIONS.iter().map(|option| {
        let mut variables = option.variables();
        variables.reverse();
        (variables.join(", "), format!("{}: {}.", option.flag(), option.help))
    });
    let foreign = FOREIGN.map(|(name, meaning)| (name.to_owned(), meaning.to_owned()));
    entries("ENVIRONMENT", own.chain(foreign))
}

/// Variables that other programs heed too.
const FOREIGN: [(&str, &str); 5] = [
    ("RUST_LOG", "As --log-level where neither CVD_STREAM_LOG_LEVEL nor LOG_LEVEL is set."),
    (
        "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY",
        "Proxies where --proxy is not given; in lower or upper case.",
    ),
    ("NO_COLOR", "No colours where --color is auto."),
    (
        "NOTIFY_SOCKET, WATCHDOG_USEC",
        "The service manager that is told: ready with the first trade, alive, stopping.",
    ),
    ("TERM", "No colours where it is dumb and --color is auto."),
];

fn files() -> Roff {
    entries(
        "FILES",
        [
            (
                ".env",
                "In the working directory: variables, one NAME=value a line. The environment wins over it.",
            ),
            (
                "the file of --config",
                "Options in TOML, by their names without the dashes: queue-size = 4096. Everything else wins over it. It has \
                 no usual place: it is read where --config or CVD_STREAM_CONFIG names it.",
            ),
            ("the file of --symbols-file", "Symbols to follow; read again on SIGHUP."),
            ("the directory of --state-dir", "Checkpoints, with which the numbers go on after a restart."),
            ("the directory of --record", "Recordings, for cvd-stream replay."),
        ],
    )
}

/// Lines as they are: a command that is wrapped cannot be copied.
fn examples() -> Roff {
    let mut section = section("EXAMPLES");
    section.control("nf", []);
    for line in EXAMPLES_LONG.lines().skip(1) {
        section.text([roman(line)]);
    }
    section.control("fi", []);
    section
}

fn section(title: &str) -> Roff {
    let mut section = Roff::new();
    section.control("SH", [title]);
    section
}

fn entries<T: AsRef<str>>(title: &str, entries: impl IntoIterator<Item = (T, T)>) -> Roff {
    let mut section = section(title);
    for (name, meaning) in entries {
        section.control("TP", []).text([bold(name.as_ref())]).text([roman(meaning.as_ref())]);
    }
    section
}

/// Paragraphs of a help text; a line that begins with blanks stays one, and a command is not wrapped.
fn paragraphs(section: &mut Roff, text: &str) {
    if !text.is_empty() {
        section.control("PP", []);
    }
    for line in text.lines() {
        match line.trim_start() {
            "" => section.control("PP", []),
            command if command.starts_with("cvd-stream ") => {
                section.control("nf", []).text([roman(line)]).control("fi", [])
            }
            _ => section.text([roman(line)]),
        };
    }
}
