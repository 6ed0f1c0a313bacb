//! The command `cvd-stream`: parse, build, run, report.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use cvd_stream::app::{App, AppError};
use cvd_stream::cli::{self, Action, Invocation};
use cvd_stream::config::resolve::Resolved;
use cvd_stream::config::{ColorChoice, Config, LogOutput, Origin};
use cvd_stream::demo::Weather;
use cvd_stream::feed::FeedError;
use cvd_stream::replay::{Replay, ReplayError, ReplayOptions};
use cvd_stream::report::events::report;
use cvd_stream::report::output::{LogWriter, Output, log_lines};
use cvd_stream::units::Symbol;
use cvd_stream::{demo, logging, shutdown};

/// How long the last log lines may take to be written.
const LAST_WORDS: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let directory = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let Invocation { action, resolved } =
        match cli::parse(std::env::args_os(), std::env::vars_os(), &directory) {
            Ok(invocation) => invocation,
            Err(exit) => return exit.print(),
        };
    // Whoever reads standard error may be blocked; nothing but this thread waits for it.
    let stderr = match log_lines(Box::new(std::io::stderr())) {
        Ok(stderr) => stderr,
        Err(_) => return ExitCode::FAILURE,
    };
    let result = match action {
        Action::ShowConfig => show(&resolved, &stderr),
        Action::Doctor { json } => return doctor(&resolved, json),
        action => run(action, resolved, &stderr),
    };
    if let Err(error) = &result {
        say(&stderr, &format!("cvd-stream: {}{}", report(error.as_ref()), hint(error)));
    }
    stderr.drain(LAST_WORDS);
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(action: Action, resolved: Resolved, stderr: &LogWriter) -> anyhow::Result<()> {
    let output = Output::new(Box::new(std::io::stdout())).context("cannot write to standard output")?;
    let config = &resolved.config;
    let log = start_logging(config, &output, stderr)?;
    for warning in &resolved.warnings {
        tracing::warn!("{warning}");
    }
    let color = colored(config.log.color, std::io::stdout().is_terminal());
    let build = move |config: Config| Ok(App::new(config).output(output).log(log).color(color));
    let signal = shutdown::listen().context("cannot listen for signals")?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let result = runtime.block_on(perform(action, resolved, build, signal, |line| say(stderr, line)));
    // A name look-up or a read that hangs must not hold up the end.
    runtime.shutdown_background();
    result
}

async fn perform(
    action: Action,
    resolved: Resolved,
    build: impl FnOnce(Config) -> Result<App, AppError>,
    signal: impl Future<Output = ()>,
    say: impl FnMut(&str),
) -> anyhow::Result<()> {
    let mut signal = pin!(signal);
    match action {
        Action::Live => drop(build(resolved.config)?.run(signal).await?),
        Action::Demo { faults } => {
            let mut config = resolved.config.clone();
            config.duration = config.duration.or_else(|| config.count.is_none().then_some(demo::DURATION));
            if resolved.is_default("print-every") {
                config.print_every = demo::PRINT_EVERY;
            }
            let weather = if faults { Weather::Faults } else { Weather::Fair };
            drop(demo::run(config, weather, build, signal, say).await?);
        }
        Action::Replay { files } => {
            let config = resolved.config.clone();
            // To know what a pipe holds takes reading it, which may take for ever.
            let opening = tokio::task::spawn_blocking(move || open(files, &resolved));
            let replay = tokio::select! {
                opened = opening => opened??,
                () = &mut signal => return Ok(()),
            };
            drop(build(config)?.replay_files(replay, signal).await?);
        }
        Action::ShowConfig | Action::Doctor { .. } => {}
    }
    Ok(())
}

/// The flag names the symbol of every file; a variable, which is there for live runs, only that of files
/// which do not tell theirs.
fn open(files: Vec<PathBuf>, resolved: &Resolved) -> Result<Replay, ReplayError> {
    let options = |symbol: Option<&Symbol>| ReplayOptions {
        symbol: symbol.cloned(),
        market: resolved.given_market(),
        ..ReplayOptions::default()
    };
    match resolved.given_symbol() {
        Some((symbol, Origin::Flag(_))) => Replay::open(files, options(Some(symbol))),
        Some((symbol, _)) => {
            Replay::open(files.clone(), options(None)).or_else(|_| Replay::open(files, options(Some(symbol))))
        }
        None => Replay::open(files, options(None)),
    }
}

/// Checks what a run needs; the exit code says the worst that was found.
fn doctor(resolved: &Resolved, json: bool) -> ExitCode {
    let color = colored(resolved.config.log.color, std::io::stdout().is_terminal());
    cvd_stream::doctor::run(resolved, json, color)
}

/// Where to look for the cause of what no other attempt can cure.
fn hint(error: &anyhow::Error) -> &'static str {
    match error.downcast_ref() {
        Some(AppError::Feed(FeedError::Refused { .. })) => "\nrun \"cvd-stream doctor\" to find out why",
        _ => "",
    }
}

/// Diagnostics to standard error, or in between the records.
fn start_logging(config: &Config, output: &Output, stderr: &LogWriter) -> anyhow::Result<LogWriter> {
    let (log, terminal) = match config.log.output {
        LogOutput::Stdout => (output.writer.log_lines(), std::io::stdout().is_terminal()),
        LogOutput::Stderr => (stderr.clone(), std::io::stderr().is_terminal()),
    };
    let filter = config.log.level.parse().context("the log level is not a list of directives")?;
    logging::start(config.log.format, filter, colored(config.log.color, terminal), log.clone());
    Ok(log)
}

fn colored(choice: ColorChoice, terminal: bool) -> bool {
    let variable = |name| std::env::var_os(name).is_some_and(|value: std::ffi::OsString| !value.is_empty());
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            terminal && !variable("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
        }
    }
}

fn show(resolved: &Resolved, stderr: &LogWriter) -> anyhow::Result<()> {
    for warning in &resolved.warnings {
        say(stderr, &format!("warning: {warning}"));
    }
    match write!(std::io::stdout().lock(), "{resolved}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Shows a line on standard error, if anybody looks.
fn say(stderr: &LogWriter, line: &str) {
    stderr.line(format!("{line}\n").as_bytes());
}
