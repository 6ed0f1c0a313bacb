use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use cvd_stream::cli::{self, Action};
use cvd_stream::config::options::{Group, Scope};
use cvd_stream::config::{OPTIONS, OptionSpec};

/// A working directory of its own, removed at the end.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("config-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn with_dotenv(text: &str) -> Self {
        let directory = Self::new();
        fs::write(directory.0.join(".env"), text).unwrap();
        directory
    }

    /// Runs the command here, with this environment and no other.
    pub(crate) fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Run {
        let output = Command::new(env!("CARGO_BIN_EXE_cvd-stream"))
            .args(arguments)
            .env_clear()
            .env("COLUMNS", "100")
            .envs(environment.iter().copied())
            .current_dir(&self.0)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Run::from(output)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

pub(crate) fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Run {
    Directory::new().run(arguments, environment)
}

/// The row of an option in `cvd-stream config`, blanks squeezed.
pub(crate) fn row(table: &str, option: &str) -> String {
    let line = table.lines().find(|line| line.split_whitespace().next() == Some(option));
    let words: Vec<&str> =
        line.unwrap_or_else(|| panic!("no {option} in\n{table}")).split_whitespace().collect();
    words[1..].join(" ")
}

#[test]
fn the_short_help_is_as_people_know_it() {
    let run = run(&["-h"], &[]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    insta::assert_snapshot!("short_help", run.stdout);
}

#[test]
fn the_long_help_is_as_people_know_it() {
    let run = run(&["--help"], &[]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    insta::assert_snapshot!("long_help", run.stdout);
}

#[test]
fn four_faults_make_one_report_and_exit_code_2() {
    let environment =
        [("QUEUE_SIZE", "0"), ("SYMBOL", "BTC USDT"), ("WS_URL", "http://x"), ("HEARTBEAT_TIMEOUT", "abc")];
    let run = run(&[], &environment);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    insta::assert_snapshot!("four_faults", run.stderr);
}

#[test]
fn config_shows_every_option_with_its_source() {
    let directory = Directory::with_dotenv("QUEUE_SIZE=2048\nBACKOFF_MAX=1m\n");
    let environment = [("BACKOFF_MAX", "10"), ("CVD_STREAM_SYMBOL", "btcusdt"), ("SYMBOL", "solusdt")];
    let run = directory.run(&["config", "--output", "json"], &environment);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    insta::assert_snapshot!("config", run.stdout);
}

#[test]
fn config_shows_the_streams_of_a_url_without_its_credentials() {
    let url = "wss://me:s3cret@fstream.binance.com/ws/btcusdt@aggTrade/ethusdt@aggTrade";
    let run = run(&["config"], &[("WS_URL", url)]);
    assert_eq!(row(&run.stdout, "symbol"), "BTCUSDT,ETHUSDT the URL");
    assert!(!run.stdout.contains("s3cret") && !run.stderr.contains("s3cret"));
    // The un-routed address connects, acknowledges and stays silent: said before it is tried.
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    assert!(run.stderr.contains("un-routed"), "{}", run.stderr);
}

#[test]
fn config_shows_where_lost_trades_will_be_asked_for_or_why_nowhere() {
    let relay = "wss://relay.example/ws/btcusdt@aggTrade";
    for (arguments, line) in [
        (&["config"][..], "repairs from https://fapi.binance.com"),
        (&["config", "--testnet"], "repairs from https://testnet.binancefuture.com"),
        (
            &["config", "--repair", "off"],
            "repairs from nowhere, as --repair off says: what is lost is missing",
        ),
        (
            &["config", "--url", relay],
            "repairs from nowhere: relay.example is not the exchange's own, so --rest-url must tell it",
        ),
        (
            &["config", "--url", relay, "--rest-url", "https://Relay.example:443/rest/"],
            "repairs from https://relay.example/rest",
        ),
    ] {
        let run = run(arguments, &[]);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(run.stdout.lines().any(|shown| shown == line), "{arguments:?}: {}", run.stdout);
    }
}

/// What is said of the connections: everything below the table.
fn connections(arguments: &[&str]) -> String {
    let run = run(&[&["config"], arguments].concat(), &[]);
    let (_, connections) = run.stdout.split_once("\n\n").unwrap_or_else(|| panic!("{}", run.stdout));
    connections.to_owned()
}

#[test]
fn config_shows_the_connections_that_a_run_would_make() {
    let three = ["--symbol", "BTCUSDT,ETHUSDT,SOLUSDT", "--streams-per-connection", "1"];
    insta::assert_snapshot!(connections(&three), @r#"
    connects to  wss://fstream.binance.com/market/stream, 3 connections
    repairs from https://fapi.binance.com
    subscribes   btcusdt@aggTrade
                 ethusdt@aggTrade
                 solusdt@aggTrade
    "#);
    insta::assert_snapshot!(connections(&["--symbol", "BTCUSDT,usdm:*USDC", "--group", "B=ETHUSDT"]), @r#"
    connects to  wss://fstream.binance.com/market/stream
    repairs from https://fapi.binance.com
    subscribes   btcusdt@aggTrade, ethusdt@aggTrade
                 plus what usdm:*USDC takes at the start
    "#);
    let file = connections(&["--symbols-file", "nowhere.txt"]);
    assert!(file.ends_with("subscribes   what nowhere.txt says\n"), "{file}");
    let seven = ["--symbol", "A,B,C,D,E,F,G", "--streams-per-connection", "1"];
    assert!(connections(&seven).ends_with("             e@aggTrade\n             and 2 more connections\n"));
    insta::assert_snapshot!(connections(&["--all", "--market", "spot"]), @r#"
    connects to  wss://stream.binance.com/stream
    repairs from https://api.binance.com
    subscribes   what spot:* takes at the start
    "#);
    insta::assert_snapshot!(connections(&["--symbol", "BTCUSDT,spot:BTCUSDT"]), @r#"
    connects to  wss://fstream.binance.com/market/stream
    repairs from https://fapi.binance.com
    subscribes   btcusdt@aggTrade

    connects to  wss://stream.binance.com/stream
    repairs from https://api.binance.com
    subscribes   btcusdt@aggTrade
    "#);
}

#[test]
fn config_ends_like_a_run_where_nothing_can_be_followed() {
    let directory = Directory::new();
    fs::write(directory.0.join("broken.txt"), "BTC/USDT\n").unwrap();
    fs::write(directory.0.join("good.txt"), "BTCUSDT\n").unwrap();
    for (arguments, code, told) in [
        (&["--symbol", "BTCUSDT", "--exclude", "BTCUSDT"][..], 1, "nothing is left to follow"),
        (&["--symbols-file", "nowhere.txt"], 1, "the symbols file nowhere.txt cannot be used: "),
        (&["--symbols-file", "broken.txt"], 1, "the symbols file broken.txt cannot be used: line 1: "),
        (&["--symbols-file", "good.txt"], 0, ""),
        (&["--all"], 0, ""),
    ] {
        let run = directory.run(&[&["config"], arguments].concat(), &[]);
        assert_eq!(run.code, Some(code), "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains(told) && run.stderr.is_empty() == told.is_empty(), "{}", run.stderr);
        let remedy = "\nmend it, or name another file with --symbols-file";
        assert_eq!(run.stderr.contains(remedy), told.contains("symbols file"), "{}", run.stderr);
        assert!(run.stdout.starts_with("option "), "{}", run.stdout);
    }
}

#[test]
fn options_of_repair_are_refused_where_nothing_can_be_repaired() {
    for arguments in [
        &["--repair", "off", "replay", "a.csv"][..],
        &["--hold-size", "1", "replay", "a.csv"],
        &["--repair-deadline", "1m", "replay", "a.csv"],
        &["--rest-url", "https://fapi.binance.com", "demo"],
    ] {
        let run = run(arguments, &[]);
        assert_eq!(run.code, Some(2), "{arguments:?}");
        assert!(run.stderr.contains("has no such option"), "{arguments:?}: {}", run.stderr);
    }
}

#[test]
fn options_stand_before_or_after_the_subcommand() {
    for arguments in [
        &["config", "--symbol", "BTCUSDT", "--testnet"][..],
        &["--symbol", "BTCUSDT", "--testnet", "config"],
        &["--symbol=SOLUSDT", "--testnet=true", "config", "--symbol=BTCUSDT"],
    ] {
        let run = run(arguments, &[("CVD_STREAM_TESTNET", "no")]);
        assert_eq!(row(&run.stdout, "symbol"), "BTCUSDT flag --symbol", "{arguments:?}");
        assert_eq!(row(&run.stdout, "testnet"), "true flag --testnet", "{arguments:?}");
        assert!(
            run.stdout.contains("wss://fstream.binancefuture.com/market/stream?streams=btcusdt@aggTrade")
        );
    }
}

#[test]
fn a_switch_can_be_turned_off_again() {
    let run = run(&["config", "--testnet=false"], &[("CVD_STREAM_TESTNET", "1")]);
    assert_eq!(row(&run.stdout, "testnet"), "false flag --testnet");
}

#[test]
fn each_subcommand_is_understood() {
    let parsed = |arguments: &[&str]| {
        let arguments = std::iter::once("cvd-stream").chain(arguments.iter().copied()).map(Into::into);
        cli::parse(arguments, [], &Directory::new().0).unwrap()
    };
    assert_eq!(parsed(&[]).action, Action::Live);
    assert_eq!(parsed(&["demo", "--count", "10"]).action, Action::Demo { faults: false });
    assert_eq!(parsed(&["config"]).action, Action::ShowConfig);
    assert_eq!(parsed(&["config", "--check"]).action, Action::CheckConfig);
    assert_eq!(parsed(&["man"]).action, Action::Man);
    let files = vec![PathBuf::from("a.csv"), PathBuf::from("b.zip")];
    for arguments in [
        &["replay", "a.csv", "b.zip", "--output", "json"][..],
        &["--output", "json", "replay", "a.csv", "b.zip"],
    ] {
        let invocation = parsed(arguments);
        assert_eq!(invocation.action, Action::Replay { files: files.clone() });
        assert_eq!(invocation.resolved.config.output, cvd_stream::config::OutputFormat::Json);
    }
}

#[test]
fn what_cannot_be_read_as_a_command_line_exits_with_2() {
    for arguments in [
        &["--no-such-option"][..],
        &["replay"],
        &["replay", "a.csv", "--url", "wss://h/ws"],
        &["--url", "wss://h/ws", "replay", "a.csv"],
        &["--symbol"],
        &["frobnicate"],
    ] {
        let run = run(arguments, &[]);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(!run.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn negative_numbers_are_faults_of_ours() {
    let run = run(&["--queue-size", "-1", "--ema-alpha", "-0.5"], &[]);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.starts_with("cvd-stream: 2 faults"), "{}", run.stderr);
}

#[test]
fn a_damaged_dotenv_is_one_more_fault_with_its_line() {
    let directory = Directory::with_dotenv("SYMBOL=BTCUSDT\n\nQUEUE_SIZE=0\nAPI_KEY=s3cret s3cret\n");
    let run = directory.run(&["config"], &[]);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.starts_with("cvd-stream: 2 faults"), "{}", run.stderr);
    assert!(run.stderr.contains("line 4") && run.stderr.contains("--queue-size"), "{}", run.stderr);
    assert!(!run.stderr.contains("s3cret"), "{}", run.stderr);
}

#[test]
fn a_dotenv_that_cannot_be_read_is_a_fault() {
    let directory = Directory::new();
    fs::create_dir(directory.0.join(".env")).unwrap();
    let run = directory.run(&["config"], &[]);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("the file cannot be read"), "{}", run.stderr);
}

#[cfg(unix)]
#[test]
fn a_value_that_is_not_utf8_is_a_fault_not_a_panic() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    let bad = || OsString::from_vec(b"BTC\xff".to_vec());
    let parsed = |arguments: Vec<OsString>, environment: Vec<(OsString, OsString)>| {
        cli::parse(arguments, environment, &Directory::new().0).map(|_| ()).unwrap_err().to_string()
    };
    for report in [
        parsed(vec!["cvd-stream".into()], vec![("SYMBOL".into(), bad())]),
        parsed(vec!["cvd-stream".into(), "--symbol".into(), bad()], vec![(bad(), bad())]),
    ] {
        assert!(report.contains("not UTF-8"), "{report}");
    }
}

#[test]
fn the_five_examples_of_the_help_are_command_lines_that_parse() {
    for help in ["-h", "--help"] {
        let text = run(&[help], &[]).stdout;
        let examples = text.split("Examples:").nth(1).unwrap();
        let lines: Vec<&str> = examples.lines().filter(|line| line.contains("cvd-stream ")).collect();
        assert_eq!(lines.len(), 5, "{lines:#?}");
        for line in lines {
            let command = line.split(['>', '|']).next().unwrap().trim().trim_end_matches(" 2");
            let (variables, arguments) = command.split_once("cvd-stream").unwrap();
            let variables = variables.split_whitespace().map(|pair| pair.split_once('=').unwrap());
            let environment = variables.map(|(name, value)| (name.into(), value.into()));
            let arguments = std::iter::once("cvd-stream").chain(arguments.split_whitespace()).map(Into::into);
            let parsed = cli::parse(arguments, environment, &Directory::new().0);
            assert!(parsed.is_ok_and(|invocation| invocation.resolved.warnings.is_empty()), "{line}");
        }
    }
}

#[test]
fn the_command_line_itself_is_consistent() {
    cli::command().debug_assert();
}

#[test]
fn the_reference_and_the_example_file_say_what_the_table_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let reference = root.join("docs/configuration.md");
    let text = fs::read_to_string(&reference).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the reference has the mark where its table begins");
    let (_, after) = rest.split_once(END).expect("the reference has the mark where its table ends");
    up_to_date(&reference, &format!("{before}{BEGIN}\n{}{END}{after}", reference_of_options()));
    up_to_date(&root.join(".env.example"), &example_file());
}

#[test]
fn every_value_of_the_example_file_works() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".env.example")).unwrap();
    for line in text.lines().filter_map(|line| line.strip_prefix('#')).filter(|line| !line.starts_with(' ')) {
        if line.is_empty() {
            continue;
        }
        let name = line.split('=').next().unwrap();
        let option = OPTIONS.iter().find(|option| option.variables().iter().any(|known| known == name));
        if !option.expect(name).applies_to(cvd_stream::config::Command::Config) {
            continue;
        }
        // These are looked into.
        let line = match name {
            "CVD_STREAM_CONFIG" => "CVD_STREAM_CONFIG=cvd-stream.toml",
            "CVD_STREAM_CA_FILE" => "CVD_STREAM_CA_FILE=ca.pem",
            "CVD_STREAM_SYMBOLS_FILE" => "CVD_STREAM_SYMBOLS_FILE=symbols",
            _ => line,
        };
        let directory = Directory::with_dotenv(line);
        fs::write(directory.0.join("symbols"), "BTCUSDT\n").unwrap();
        fs::write(directory.0.join("cvd-stream.toml"), "").unwrap();
        let certificate = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap().cert;
        fs::write(directory.0.join("ca.pem"), certificate.pem()).unwrap();
        let run = directory.run(&["config"], &[]);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{line}");
        assert!(run.stdout.contains(" .env "), "{line} had no effect");
    }
}

const BEGIN: &str =
    "<!-- options: made from the table in src/config/options.rs by UPDATE_DOCS=1 cargo test -->";
const END: &str = "<!-- end of options -->";

/// Compares a file with what it should be; with `UPDATE_DOCS=1` writes it.
pub(crate) fn up_to_date(path: &Path, expected: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path, expected).unwrap();
    }
    let found = fs::read_to_string(path).unwrap_or_default().replace("\r\n", "\n");
    assert!(
        found == expected,
        "{} is behind the table of options: run UPDATE_DOCS=1 cargo test",
        path.display()
    );
}

pub(crate) fn in_group(group: Group) -> impl Iterator<Item = &'static OptionSpec> {
    OPTIONS.iter().filter(move |option| option.group == group)
}

fn reference_of_options() -> String {
    let mut text = String::new();
    for group in Group::ALL {
        text += &format!("\n### {}\n\n", group.heading());
        text += "| flag | variable | default | allowed | meaning |\n| --- | --- | --- | --- | --- |\n";
        for option in in_group(group) {
            let variables: Vec<String> =
                option.variables().iter().rev().map(|name| format!("`{name}`")).collect();
            let value = option.value_name.map(|name| format!(" {name}")).unwrap_or_default();
            let default = match option.default {
                "" => "–".to_owned(),
                default => format!("`{default}`"),
            };
            let scope = match option.scope {
                Scope::Every | Scope::Computing => "",
                Scope::Connected => " Not for `replay`.",
                Scope::Live => " Not for `replay` and `demo`.",
                Scope::Served => " Also for `health`; not for `replay`.",
                Scope::Exchange => " Also for `fetch`; not for `replay` and `demo`.",
                Scope::Replay => " For `replay` only.",
                Scope::Ranged => " For `replay` and `fetch` only.",
                Scope::Fetch => " For `fetch` only.",
            };
            let more = if option.more.is_empty() { String::new() } else { format!(" {}", option.more) };
            text += &format!(
                "| `{}{value}` | {} | {default} | {} | {}.{}{scope} |\n",
                option.flag(),
                variables.join("<br>"),
                option.range,
                option.help,
                more.replace('|', "\\|").replace('<', "&lt;"),
            );
        }
    }
    text + "\n"
}

/// A value for an example, and how it relates to the default.
pub(crate) fn example(option: &OptionSpec) -> (&'static str, String) {
    let fixed_default = !option.default.is_empty() && !option.default.contains(' ');
    match option.default {
        default if fixed_default => (default, String::new()),
        "" => (option.example, "; none by default".to_owned()),
        default => (option.example, format!("; by default {default}")),
    }
}

fn example_file() -> String {
    let mut text = "\
# Settings of cvd-stream. Copy this file to .env in the working directory and remove the # in front of what
# you want to change. A flag wins over the environment, that over this file, and this over the file of --config. Each of the bare names works
# with the prefix CVD_STREAM_ too, which wins. Shown is the default, or an example where there is none.
# docs/configuration.md explains every option.
"
    .to_owned();
    for group in Group::ALL {
        text += &format!("\n# --- {} ---\n", group.heading());
        for option in in_group(group) {
            let name = option.bare_variable.map_or_else(|| option.variable(), str::to_owned);
            let (value, kind) = example(option);
            text += &format!("\n# {} ({}{kind})\n#{name}={value}\n", option.help, option.range);
        }
    }
    text
}
