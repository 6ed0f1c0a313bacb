//! The command `cvd-stream`: parse, build, run, report.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use cvd_stream::app::{App, AppError, check_selection, runtime, system_network};
use cvd_stream::calendar::Day;
use cvd_stream::cli::{self, Action, Exit, Invocation};
use cvd_stream::config::resolve::Resolved;
use cvd_stream::config::{ColorChoice, Config, LatencyMode, LogOutput, Origin, OutputFormat, Showing};
use cvd_stream::demo::Weather;
use cvd_stream::feed::FeedError;
use cvd_stream::fetch::Days;
use cvd_stream::fetch::command::{asked, days, run as run_fetch};
use cvd_stream::latency::block_on;
use cvd_stream::ops::Service;
use cvd_stream::processor::Summary;
use cvd_stream::recording::RecordingReader;
use cvd_stream::replay::{Range, Replay, ReplayError, ReplayOptions, ReplayProgress, expanded};
use cvd_stream::report::events::report;
use cvd_stream::report::output::{LogWriter, Output, log_lines};
use cvd_stream::report::{pace, show_progress, summary_table};
use cvd_stream::text::one_line;
use cvd_stream::units::Symbol;
use cvd_stream::{demo, logging, shutdown};
use tokio::sync::Notify;
use tokio::time::Instant;

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
        Action::CheckConfig => check(&resolved, &stderr),
        Action::Man => cli::man_page().map_err(Into::into).and_then(|page| print(&page)),
        Action::Completions { shell } => print(&cli::completions(shell)),
        Action::Doctor { json } => return doctor(&resolved, json),
        Action::Health { live } => return health(&resolved, live),
        Action::Fetch { symbol } => match days(&resolved, Day::today()) {
            Ok(days) => fetch(&resolved, symbol, days, &stderr),
            Err(error) => return Exit::from(error).print(),
        },
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
    let log = start_logging(config, &output.writer.log_lines(), stderr)?;
    for warning in &resolved.warnings {
        tracing::warn!(event = "configuration_warning", "{warning}");
    }
    let color = colored(config.log.color, std::io::stdout().is_terminal());
    let service = Service::from_environment();
    // A service has no terminal that could be closed: there SIGHUP never ends the run.
    let hears_hang_up = config.symbols.file.is_some() || service.is_some();
    let reload = hears_hang_up.then(Arc::<Notify>::default);
    let signal = shutdown::listen(reload.clone()).context("cannot listen for signals")?;
    let build = move |config: Config| {
        let app = App::new(config).output(output).log(log).color(color).service(service);
        Ok(match reload {
            Some(reload) => app.reload_on(reload),
            None => app,
        })
    };
    let latency = match action {
        Action::Live | Action::Demo { .. } => config.latency,
        // Files are there when they are wanted.
        _ => LatencyMode::Default,
    };
    let runtime = runtime(latency).context("cannot start")?;
    let stderr = stderr.clone();
    let work = async move { perform(action, resolved, build, signal, &stderr).await };
    let result = block_on(&runtime, work);
    // A name look-up or a read that hangs must not hold up the end.
    runtime.shutdown_background();
    result
}

async fn perform(
    action: Action,
    resolved: Resolved,
    build: impl FnOnce(Config) -> Result<App, AppError>,
    signal: impl Future<Output = ()>,
    stderr: &LogWriter,
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
            if resolved.is_default("table-every") {
                config.table.every = demo::TABLE_EVERY;
            }
            let weather = if faults { Weather::Faults } else { Weather::Fair };
            drop(demo::run(config, weather, build, signal, |line| say(stderr, line)).await?);
        }
        Action::Replay { files } => {
            let config = resolved.config.clone();
            // To know what a pipe holds takes reading it, which may take for ever.
            let opening =
                tokio::task::spawn_blocking(move || match RecordingReader::of(&expanded(&files))? {
                    Some(recording) => anyhow::Ok(Replayed::Recording(recording)),
                    None => Ok(Replayed::Files(open(files, &resolved)?)),
                });
            let replayed = tokio::select! {
                opened = opening => opened??,
                () = &mut signal => return Ok(()),
            };
            match replayed {
                Replayed::Recording(recording) => {
                    drop(build(config)?.replay_recording(recording, signal).await?);
                }
                Replayed::Files(replay) => {
                    let (showing, format) = (config.replay.progress, config.output);
                    let running = (replay.progress(), build(config)?.replay_files(replay, signal));
                    watched(running, showing, format, stderr).await?;
                }
            }
        }
        // These need no run.
        Action::ShowConfig | Action::CheckConfig | Action::Doctor { .. } | Action::Health { .. } => {}
        Action::Fetch { .. } | Action::Man | Action::Completions { .. } => {}
    }
    Ok(())
}

/// What a replay reads.
enum Replayed {
    Recording(RecordingReader),
    Files(Replay),
}

/// Runs a replay of files; shows on a terminal how far it is, and at its end what records do not tell.
async fn watched(
    (progress, running): (ReplayProgress, impl Future<Output = Result<Summary, AppError>>),
    showing: Showing,
    format: OutputFormat,
    stderr: &LogWriter,
) -> Result<(), AppError> {
    let (is_terminal, begun) = (std::io::stderr().is_terminal(), Instant::now());
    let is_shown = match showing {
        Showing::Always => true,
        Showing::Never => false,
        // Records that scroll over the same terminal show it themselves.
        Showing::Auto => is_terminal && !std::io::stdout().is_terminal(),
    };
    let shower = is_shown.then(|| tokio::spawn(show_progress(progress, stderr.clone())));
    let ended = running.await;
    if let Some(shower) = shower {
        shower.abort();
        stderr.status("");
    }
    let Summary { lanes, files, .. } = ended?;
    if let (Some(files), true) = (files, is_terminal) {
        if format == OutputFormat::Json {
            say(stderr, summary_table(&lanes, &files).trim_end());
        }
        say(stderr, &pace(&files, begun.elapsed()));
    }
    Ok(())
}

/// The flag names the symbol of every file; a variable, which is there for live runs, only that of files
/// which do not tell theirs.
fn open(files: Vec<PathBuf>, resolved: &Resolved) -> Result<Replay, ReplayError> {
    let replay = &resolved.config.replay;
    let options = ReplayOptions {
        market: resolved.given_market(),
        range: Range { from: replay.from, to: replay.to },
        strict: replay.strict,
        temp_dir: replay.temp_dir.clone(),
        memory: replay.memory,
        ..ReplayOptions::default()
    };
    let options = match resolved.given_symbol() {
        Some((symbol, Origin::Flag(_))) => ReplayOptions { symbol: Some(symbol.clone()), ..options },
        Some((symbol, _)) => ReplayOptions { symbol_if_untold: Some(symbol.clone()), ..options },
        None => options,
    };
    Replay::open(files, options)
}

/// Checks what a run needs; the exit code says the worst that was found.
fn doctor(resolved: &Resolved, json: bool) -> ExitCode {
    let color = colored(resolved.config.log.color, std::io::stdout().is_terminal());
    cvd_stream::doctor::run(resolved, json, color)
}

/// Asks a running monitor how it does; the exit code says it too.
fn health(resolved: &Resolved, live: bool) -> ExitCode {
    match cvd_stream::http::health(&resolved.config.http, live) {
        Ok(asked) => {
            // Whoever asked for the exit code alone may have closed the output.
            writeln!(std::io::stdout().lock(), "{}", asked.text).unwrap_or_default();
            if asked.is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            writeln!(std::io::stderr().lock(), "cvd-stream: {}", report(&error)).unwrap_or_default();
            ExitCode::FAILURE
        }
    }
}

/// Downloads files; the summary goes to standard output, everything else to standard error.
fn fetch(resolved: &Resolved, symbol: Symbol, days: Days, stderr: &LogWriter) -> anyhow::Result<()> {
    let config = &resolved.config;
    let stdout = log_lines(Box::new(std::io::stdout())).context("cannot write to standard output")?;
    start_logging(config, &stdout, stderr)?;
    for warning in &resolved.warnings {
        tracing::warn!(event = "configuration_warning", "{warning}");
    }
    let network = system_network(config, None)?;
    let signal = shutdown::listen(None).context("cannot listen for signals")?;
    let rewrites = match config.replay.progress {
        Showing::Auto => std::io::stderr().is_terminal(),
        Showing::Always => true,
        Showing::Never => false,
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let asked = asked(resolved, symbol, days);
    let fetching = run_fetch(
        &asked,
        &network,
        signal,
        rewrites,
        |text| stderr.line(text.as_bytes()),
        |summary| stdout.line(summary.as_bytes()),
    );
    let result = runtime.block_on(fetching);
    // What is written or summed up meanwhile must not hold up the end.
    runtime.shutdown_background();
    stdout.drain(LAST_WORDS);
    result?;
    Ok(())
}

/// Where to look for the cause of what no other attempt can cure.
fn hint(error: &anyhow::Error) -> &'static str {
    match error.downcast_ref() {
        Some(AppError::Feed(FeedError::Refused { .. })) => "\nrun \"cvd-stream doctor\" to find out why",
        Some(AppError::SymbolsFile { .. }) => "\nmend it, or name another file with --symbols-file",
        _ => "",
    }
}

/// Diagnostics to standard error, or in between the records.
fn start_logging(config: &Config, stdout: &LogWriter, stderr: &LogWriter) -> anyhow::Result<LogWriter> {
    let (log, terminal) = match config.log.output {
        LogOutput::Stdout => (stdout.clone(), std::io::stdout().is_terminal()),
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

/// Prints what holds, and ends as a run would where nothing can be followed.
fn show(resolved: &Resolved, stderr: &LogWriter) -> anyhow::Result<()> {
    warn(resolved, stderr);
    print(&resolved.to_string())?;
    can_follow(resolved)
}

/// Says that the configuration is good, if it is.
fn check(resolved: &Resolved, stderr: &LogWriter) -> anyhow::Result<()> {
    warn(resolved, stderr);
    can_follow(resolved)?;
    print(&format!("the configuration is good; {}\n", resolved.sources()))
}

fn warn(resolved: &Resolved, stderr: &LogWriter) {
    for warning in &resolved.warnings {
        say(stderr, &one_line(&format!("warning: {warning}")));
    }
}

fn can_follow(resolved: &Resolved) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().context("cannot start")?;
    Ok(runtime.block_on(check_selection(&resolved.config))?)
}

/// Prints to standard output; that nobody reads on is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Shows a line on standard error, if anybody looks.
fn say(stderr: &LogWriter, line: &str) {
    stderr.line(format!("{line}\n").as_bytes());
}
