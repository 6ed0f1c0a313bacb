//! What was typed: the command line, made from the table of options, and what it asks for.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::{EnumValueParser, OsStringValueParser, PathBufValueParser};
use clap::{Arg, ArgAction, ArgMatches, ValueHint};
use clap_complete::Shell;

use crate::config::resolve::{Layers, Resolved, check, resolve};
use crate::config::{self, ConfigError, DotEnv, OPTIONS, OptionSpec};
use crate::text::{is_hidden, one_line};
use crate::units::Symbol;

mod completions;
mod help;
mod man;

pub use completions::completions;
use help::{DOCTOR_CODES, EXAMPLES, EXAMPLES_LONG, FETCH_HELP, HEALTH_HELP, LAYERS, LAYERS_LONG, LONG_ABOUT};
pub use man::man_page;

/// What the user wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Follow the live trades.
    Live,
    /// Follow the practice exchange on this machine.
    Demo {
        /// Whether things go wrong on the way.
        faults: bool,
    },
    /// Read recorded files.
    Replay {
        /// The files, at least one, in the order given.
        files: Vec<PathBuf>,
    },
    /// Fetch files of the exchange's archive.
    Fetch {
        /// Of which symbol.
        symbol: Symbol,
    },
    /// Print the configuration.
    ShowConfig,
    /// Ask a running monitor how it does.
    Health {
        /// Whether it is alive, not whether it is ready.
        live: bool,
    },
    /// Say whether the configuration is good.
    CheckConfig,
    /// Find out why it does not work here.
    Doctor {
        /// For programs: one JSON object.
        json: bool,
    },
    /// Print the manual page.
    Man,
    /// Print what completes the command line in a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

/// A command line that makes sense.
#[derive(Debug, Clone, PartialEq)]
pub struct Invocation {
    /// What to do.
    pub action: Action,
    /// With which settings.
    pub resolved: Resolved,
}

impl Invocation {
    /// What needs no settings must work where they are faulty.
    fn without_settings(action: Action) -> Self {
        let resolved = resolve(config::Command::Config, &Layers::default());
        Self { action, resolved: resolved.expect("the defaults are in range") }
    }
}

/// Why there is nothing to do: help was asked for, or the command line or the configuration is wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Exit {
    /// Help, version, or a command line that cannot be read.
    #[error(transparent)]
    CommandLine(Box<clap::Error>),
    /// Faults in the configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl Exit {
    /// 0 for help and version, 2 for a mistake of the user.
    pub fn code(&self) -> u8 {
        match self {
            Self::CommandLine(error) => u8::try_from(error.exit_code()).unwrap_or(2),
            Self::Config(_) => 2,
        }
    }

    /// Prints help to standard output and mistakes to standard error; returns the exit code. A closed
    /// output is no reason to fail differently.
    pub fn print(&self) -> ExitCode {
        match self {
            Self::CommandLine(error) => error.print().ok(),
            Self::Config(error) => write!(std::io::stderr().lock(), "cvd-stream: {error}").ok(),
        };
        ExitCode::from(self.code())
    }
}

/// Reads a command line (the program's name first), the environment, `.env` in `directory`, and the configuration file
/// that these name. For the manual page and completions nothing but the command line is looked at.
///
/// # Errors
/// [`Exit`] with what to print and the exit code.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    directory: &Path,
) -> Result<Invocation, Exit> {
    let args: Vec<OsString> = args.into_iter().collect();
    let matches = command()
        .try_get_matches_from(&args)
        .map_err(|error| Exit::CommandLine(Box::new(showing_nothing_hidden(error, &args))))?;
    let (action, command) = match matches.subcommand() {
        Some(("demo", demo)) => (Action::Demo { faults: demo.get_flag("faults") }, config::Command::Demo),
        Some(("replay", replay)) => (Action::Replay { files: files(replay) }, config::Command::Replay),
        Some(("fetch", fetch)) => (Action::Fetch { symbol: fetched(fetch) }, config::Command::Fetch),
        Some(("doctor", doctor)) => {
            (Action::Doctor { json: doctor.get_flag("json") }, config::Command::Doctor)
        }
        Some(("health", health)) => {
            (Action::Health { live: health.get_flag("live") }, config::Command::Health)
        }
        Some(("config", config)) if config.get_flag("check") => {
            (Action::CheckConfig, config::Command::Config)
        }
        Some(("config", _)) => (Action::ShowConfig, config::Command::Config),
        Some(("man", _)) => return Ok(Invocation::without_settings(Action::Man)),
        Some(("completions", completions)) => {
            return Ok(Invocation::without_settings(Action::Completions { shell: shell(completions) }));
        }
        _ => (Action::Live, config::Command::Live),
    };
    let mut flags = flags(&matches);
    if let Some((_, below)) = matches.subcommand() {
        flags.extend(self::flags(below));
    }
    let text = |os: OsString| os.to_string_lossy().into_owned();
    let environment = environment.into_iter().map(|(name, value)| (text(name), text(value))).collect();
    let layers = Layers { flags, environment, dotenv: DotEnv::read(directory), ..Layers::default() };
    let layers = layers.with_file(directory);
    let resolved = match action {
        Action::CheckConfig => check(&layers)?,
        _ => resolve(command, &layers)?,
    };
    Ok(Invocation { action, resolved })
}

/// What a mistake is about is quoted as it was typed, whatever a terminal would make of that: where arguments hold something
/// hidden, the same is said of arguments in which it is escaped.
fn showing_nothing_hidden(error: clap::Error, args: &[OsString]) -> clap::Error {
    let args: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
    if !args.iter().any(|arg| arg.contains(is_hidden)) {
        return error;
    }
    match command().try_get_matches_from(args.iter().map(|arg| one_line(arg))) {
        Err(escaped) => escaped,
        Ok(_) => command().error(error.kind(), "an argument holds characters that cannot be shown"),
    }
}

/// The whole command line. Options stand before or after the subcommand; there the subcommand shows only
/// those it reads.
pub fn command() -> clap::Command {
    clap::Command::new("cvd-stream")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Exact cumulative volume delta (CVD) of Binance trades, live and in replay")
        .long_about(LONG_ABOUT)
        .args(arguments(config::Command::Live))
        .subcommand(
            clap::Command::new("demo")
                .about("Follow a practice exchange on this machine; needs no network")
                .arg(faults_argument())
                .args(arguments(config::Command::Demo)),
        )
        .subcommand(
            clap::Command::new("replay")
                .about("Read recorded files through the same calculation")
                .arg(files_argument())
                .args(arguments(config::Command::Replay)),
        )
        .subcommand(
            clap::Command::new("fetch")
                .about("Download files of the exchange's archive, with their checksums, to be replayed")
                .arg(fetched_argument())
                .args(arguments(config::Command::Fetch))
                .after_help(FETCH_HELP),
        )
        .subcommand(
            clap::Command::new("config")
                .about("Print every option's value and where it comes from, and end")
                .arg(check_argument())
                .args(arguments(config::Command::Config)),
        )
        .subcommand(
            clap::Command::new("health")
                .about("Ask a running monitor whether its numbers can be relied on now, and end")
                .arg(live_argument())
                .args(arguments(config::Command::Health))
                .after_help(HEALTH_HELP),
        )
        .subcommand(
            clap::Command::new("doctor")
                .about("Check everything a run needs, one line each with the remedy, and end")
                .arg(json_argument())
                .args(arguments(config::Command::Doctor))
                .after_help(DOCTOR_CODES),
        )
        .subcommand(clap::Command::new("man").about("Print the manual page: cvd-stream man | man -l -"))
        .subcommand(
            clap::Command::new("completions")
                .about("Print what completes the command line in a shell")
                .arg(shell_argument()),
        )
        .after_help(format!("{LAYERS}\n\n{EXAMPLES}"))
        .after_long_help(format!("{LAYERS_LONG}\n\n{EXAMPLES_LONG}"))
}

fn files(replay: &ArgMatches) -> Vec<PathBuf> {
    replay.get_many::<PathBuf>("files").unwrap_or_default().cloned().collect()
}

fn fetched(fetch: &ArgMatches) -> Symbol {
    fetch.get_one("fetched").cloned().expect("there is a symbol because the command line demands one")
}

fn shell(completions: &ArgMatches) -> Shell {
    *completions.get_one("shell").expect("there is a shell because the command line demands one")
}

/// The options that stand in one place of the command line, by name.
fn flags(matches: &ArgMatches) -> BTreeMap<String, String> {
    let typed = |option: &OptionSpec| {
        let value = matches.try_get_one::<OsString>(option.name).ok().flatten()?;
        Some((option.name.to_owned(), value.to_string_lossy().into_owned()))
    };
    OPTIONS.iter().filter_map(typed).collect()
}

fn arguments(command: config::Command) -> impl Iterator<Item = Arg> {
    OPTIONS.iter().filter(move |option| option.applies_to(command)).map(argument)
}

/// Every value is taken as it is: it is checked later, with all the others.
fn argument(option: &OptionSpec) -> Arg {
    let arg = Arg::new(option.name)
        .long(option.name)
        .help_heading(option.group.heading())
        .help(short_help(option))
        .long_help(long_help(option))
        .action(ArgAction::Set)
        .value_parser(OsStringValueParser::new());
    match option.value_name {
        Some(value_name) => {
            let hint = match value_name {
                "FILE" => ValueHint::FilePath,
                "DIR" => ValueHint::DirPath,
                _ => ValueHint::Other,
            };
            arg.value_name(value_name).value_hint(hint).allow_negative_numbers(true)
        }
        None => arg
            .value_name("BOOL")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .hide_possible_values(true),
    }
}

fn files_argument() -> Arg {
    Arg::new("files")
        .value_name("FILE")
        .help("Files of trades, directories of them, patterns, or - for standard input")
        .long_help(
            "What to read: archive files of the exchange (.csv, .csv.gz, .zip), recorded frames, directories and \
             patterns of them, - for standard input, or the directory that --record wrote. They are read in the \
             order of their trades. The symbol and the market of an archive file are in its name.",
        )
        .required(true)
        .num_args(1..)
        .value_hint(ValueHint::AnyPath)
        .value_parser(PathBufValueParser::new())
}

fn fetched_argument() -> Arg {
    Arg::new("fetched")
        .value_name("SYMBOL")
        .help("The contract or pair, for example BTCUSDT")
        .required(true)
        .value_parser(|text: &str| Symbol::new(text).map_err(|_| "not a symbol such as BTCUSDT"))
}

fn faults_argument() -> Arg {
    Arg::new("faults")
        .long("faults")
        .help("Let the connection break and messages be lost on the way, to see how that is repaired")
        .action(ArgAction::SetTrue)
}

fn live_argument() -> Arg {
    Arg::new("live")
        .long("live")
        .help("Ask only whether it is alive (/healthz), not whether it is ready (/readyz)")
        .action(ArgAction::SetTrue)
}

fn json_argument() -> Arg {
    Arg::new("json").long("json").help("Print one JSON object instead of lines").action(ArgAction::SetTrue)
}

fn check_argument() -> Arg {
    Arg::new("check")
        .long("check")
        .help("Say in one line whether the configuration is good: exit code 0, or 2 with every fault")
        .action(ArgAction::SetTrue)
}

fn shell_argument() -> Arg {
    Arg::new("shell")
        .value_name("SHELL")
        .help("The shell")
        .required(true)
        .value_parser(EnumValueParser::<Shell>::new())
}

fn short_help(option: &OptionSpec) -> String {
    let default =
        if option.default.is_empty() { String::new() } else { format!(" [default: {}]", option.default) };
    format!("{} [env: {}]{default} [allowed: {}]", option.help, variables(option), option.range)
}

fn long_help(option: &OptionSpec) -> String {
    let more = if option.more.is_empty() { String::new() } else { format!(" {}", option.more) };
    let default =
        if option.default.is_empty() { String::new() } else { format!("\n[default: {}]", option.default) };
    format!("{}.{more}\n\n[env: {}]{default}\n[allowed: {}]", option.help, variables(option), option.range)
}

/// The bare name first, because people know it.
fn variables(option: &OptionSpec) -> String {
    let mut variables = option.variables();
    variables.reverse();
    variables.join(", ")
}
