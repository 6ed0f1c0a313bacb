//! What was typed: the command line, made from the table of options, and what it asks for.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::{OsStringValueParser, PathBufValueParser};
use clap::{Arg, ArgAction, ArgMatches};

use crate::config::resolve::{Layers, Resolved, resolve};
use crate::config::{self, ConfigError, DotEnv, OPTIONS, OptionSpec};
use crate::units::Symbol;

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
    /// Find out why it does not work here.
    Doctor {
        /// For programs: one JSON object.
        json: bool,
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

/// Reads a command line (the program's name first), the environment, and `.env` in `directory`.
///
/// # Errors
/// [`Exit`] with what to print and the exit code.
pub fn parse(
    args: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    directory: &Path,
) -> Result<Invocation, Exit> {
    let matches = command().try_get_matches_from(args).map_err(|error| Exit::CommandLine(Box::new(error)))?;
    let (action, command) = match matches.subcommand() {
        Some(("demo", demo)) => (Action::Demo { faults: demo.get_flag("faults") }, config::Command::Demo),
        Some(("replay", replay)) => (Action::Replay { files: files(replay) }, config::Command::Replay),
        Some(("fetch", fetch)) => (Action::Fetch { symbol: fetched(fetch) }, config::Command::Fetch),
        Some(("doctor", doctor)) => {
            (Action::Doctor { json: doctor.get_flag("json") }, config::Command::Doctor)
        }
        Some(("config", _)) => (Action::ShowConfig, config::Command::Config),
        _ => (Action::Live, config::Command::Live),
    };
    let mut flags = flags(&matches);
    if let Some((_, below)) = matches.subcommand() {
        flags.extend(self::flags(below));
    }
    let text = |os: OsString| os.to_string_lossy().into_owned();
    let environment = environment.into_iter().map(|(name, value)| (text(name), text(value))).collect();
    let resolved = resolve(command, &Layers { flags, environment, dotenv: DotEnv::read(directory) })?;
    Ok(Invocation { action, resolved })
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
                .args(arguments(config::Command::Config)),
        )
        .subcommand(
            clap::Command::new("doctor")
                .about("Check everything a run needs, one line each with the remedy, and end")
                .arg(json_argument())
                .args(arguments(config::Command::Doctor))
                .after_help(DOCTOR_CODES),
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
        Some(value_name) => arg.value_name(value_name).allow_negative_numbers(true),
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

fn json_argument() -> Arg {
    Arg::new("json").long("json").help("Print one JSON object instead of lines").action(ArgAction::SetTrue)
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

const LONG_ABOUT: &str = "\
Exact cumulative volume delta (CVD) of Binance trades, live and in replay.

Without a subcommand it follows the live trades of the symbols you name (ETHUSDT if none) until Ctrl-C, and \
prints CVD, its Z-score and its moving average (EMA). It needs no configuration and no account.";

const LAYERS: &str = "\
A flag wins over the environment, that over .env in the working directory, that over the default.
`cvd-stream --help` says more; docs/configuration.md says everything.";

// One line per paragraph: clap wraps it to the terminal and keeps the indent.
const LAYERS_LONG: &str = "\
Where values come from:
  A flag wins over an environment variable, that over the same variable in the file .env in the working \
directory, that over the default. A variable with the prefix CVD_STREAM_ wins over the one without. An empty \
variable counts as not set. `cvd-stream config` shows what holds, and why.

Durations:
  60 and 0.5 are seconds; 500ms, 60s, 2m, 1h 30m and 1d say so themselves.

Exit codes:
  0 a clean end, 1 a failure, 2 a mistake on the command line or in the configuration. Mistakes are reported \
all at once, each with its remedy.";

const FETCH_HELP: &str = "\
Whole months come as one file, other days as their own; a file that is here with the published sum is not fetched \
again, and one that was interrupted goes on where it stopped.

Examples:
  cvd-stream fetch BTCUSDT --from 2026-01-01 --to 2026-10-31 --dir archive
  cvd-stream fetch BTCUSD_PERP --market coinm --from 2026-11-01 --to 2026-11-18

Exit codes:
  0 everything is here that is published, 1 something that should be there is not, 2 a mistake on the command line or in \
the configuration.";

const DOCTOR_CODES: &str = "\
Exit codes:
  0 all good, 1 a run would not work, 2 a mistake in the configuration, 3 a run would work but something deserves \
attention.";

const EXAMPLES: &str = "\
Examples:
  cvd-stream --symbol BTCUSDT
  cvd-stream --symbol BTCUSDT --output json --duration 1h > btcusdt.jsonl
  cvd-stream replay BTCUSDT-aggTrades-2026-11-01.zip
  cvd-stream demo --faults
  SYMBOL=ETHUSDT LOG_LEVEL=warn cvd-stream --log-format json 2>> cvd-stream.log";

const EXAMPLES_LONG: &str = "\
Examples:
  Follow BTCUSDT on USDⓈ-M futures:
    cvd-stream --symbol BTCUSDT

  Collect an hour of it as JSON, one object per line, for jq or pandas:
    cvd-stream --symbol BTCUSDT --output json --duration 1h > btcusdt.jsonl

  Calculate a recorded day, for example an archive file of data.binance.vision:
    cvd-stream replay BTCUSDT-aggTrades-2026-11-01.zip

  See it work without a network, and what it does when trades are lost:
    cvd-stream demo --faults

  Run it as a service that is configured by its environment:
    SYMBOL=ETHUSDT LOG_LEVEL=warn cvd-stream --log-format json 2>> cvd-stream.log";
