use std::fs;
use std::path::Path;

use cvd_stream::cli;
use cvd_stream::config::options::Group;
use cvd_stream::config::{Command, OPTIONS, OptionSpec, Origin};

use crate::configuration::{Directory, Run, example, in_group, row, run, up_to_date};

/// A directory with a configuration file, which the environment names.
fn with_file(text: impl AsRef<[u8]>) -> Directory {
    let directory = Directory::new();
    fs::write(directory.0.join("f.toml"), text).unwrap();
    directory
}

fn ran(text: impl AsRef<[u8]>, arguments: &[&str]) -> Run {
    with_file(text).run(arguments, &[("CVD_STREAM_CONFIG", "f.toml")])
}

#[test]
fn a_file_is_named_by_a_flag_a_variable_or_dotenv_and_its_values_show_their_line() {
    let text = "# mine\nsymbol = [\"BTCUSDT\", \"SOLUSDT\"]\nqueue_size = 2048\ntestnet = true\n";
    let directory = with_file(text);
    fs::write(directory.0.join(".env"), "CVD_STREAM_CONFIG=f.toml\nBACKOFF_MAX=1m\n").unwrap();
    fs::write(directory.0.join("other.toml"), "queue-size = 7").unwrap();
    let run = directory.run(&["config"], &[]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    for (option, shown) in [
        ("symbol", "BTCUSDT,SOLUSDT f.toml line 2"),
        ("queue-size", "2048 f.toml line 3"),
        ("testnet", "true f.toml line 4"),
        ("backoff-max", "60s .env BACKOFF_MAX"),
        ("config", "f.toml .env CVD_STREAM_CONFIG"),
    ] {
        assert_eq!(row(&run.stdout, option), shown);
    }
    let stronger = [("CVD_STREAM_CONFIG", "other.toml"), ("LOG_LEVEL", "warn")];
    assert_eq!(row(&directory.run(&["config"], &stronger).stdout, "queue-size"), "7 other.toml line 1");
    let run = directory.run(&["--config", "f.toml", "config", "--testnet=false"], &stronger);
    assert_eq!(row(&run.stdout, "queue-size"), "2048 f.toml line 3");
    assert_eq!(row(&run.stdout, "testnet"), "false flag --testnet");
}

#[test]
fn every_fault_of_the_file_and_of_the_rest_makes_one_report() {
    let text = "simbol = \"BTCUSDT\"\nqueue-size = \"many\"\ncount = [1, 2]\nmarket = \"\"\n\n[connection]\n\
                latency = \"low\"\n\n[[alert]]\nname = \"x\"\n";
    let run = ran(text, &["--ema-alpha", "2"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    insta::assert_snapshot!(run.stderr, @r#"
    cvd-stream: 7 faults in the configuration; nothing was started

    f.toml line 1
        problem  there is no option `simbol`
        remedy   did you mean symbol?

    f.toml line 6
        problem  there is no table `connection`
        remedy   put options at the top of the file, before any [table]; the only tables are [alerts] and [[alert]]

    f.toml, alert 1 (x): on
        problem  it is missing
        allowed  docs/alerts.md says what there is
        remedy   one of z, cvd_change, large_trade, gap, missing, stale, latency, reconnects, queue_dropped, parse_errors, negative_latency

    --market  [env: CVD_STREAM_MARKET]
        value    "" (f.toml line 4)
        problem  an empty value
        allowed  usdm, coinm or spot
        remedy   for example market = "spot", or leave it out for the default (usdm)

    --queue-size  [env: QUEUE_SIZE, CVD_STREAM_QUEUE_SIZE]
        value    "many" (f.toml line 2)
        problem  not a whole number
        allowed  1 to 16777216 frames
        remedy   for example queue-size = 4096, or leave it out for the default (1024)

    --ema-alpha  [env: CVD_STREAM_EMA_ALPHA]
        value    "2" (flag --ema-alpha)
        problem  out of range
        allowed  above 0, at most 1
        remedy   for example --ema-alpha 0.05, or leave it out for the default (0.2)

    --count  [env: CVD_STREAM_COUNT]
        value    "[…]" (f.toml line 3)
        problem  an array, but the option takes one value
        allowed  1 or more
        remedy   for example count = 10000, or leave it out
    "#);
}

#[test]
fn what_is_no_toml_is_shown_with_line_and_column() {
    let run = ran("count = 5\nsymbol = BTCUSDT\nproxy = \"http://me:s3cret@h\n", &["config", "--check"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    insta::assert_snapshot!(run.stderr, @r#"
    cvd-stream: 2 faults in the configuration; nothing was started

    f.toml line 2, column 10
        value    `symbol = BTCUSDT`
        problem  string values must be quoted, expected literal string
        allowed  name = value in TOML, texts in quotes; # begins a comment
        remedy   for example symbol = "BTCUSDT"

    f.toml line 3, column 28
        value    `proxy = …`
        problem  invalid basic string, expected `"`
        allowed  name = value in TOML, texts in quotes; # begins a comment
        remedy   for example proxy = "http://proxy.example:3128"
    "#);
}

#[test]
fn a_file_that_cannot_be_read_is_a_fault_that_names_what_asked_for_it() {
    let directory = with_file([b"# ".as_slice(), &[b'x'; 1 << 20]].concat());
    fs::create_dir(directory.0.join("d.toml")).unwrap();
    fs::write(directory.0.join("latin.toml"), b"count = 5\nsymbol = \"\xff\"\n").unwrap();
    for (name, problem) in [
        ("none.toml", "there is no such file"),
        ("f.toml", "the file is larger than 1 MiB"),
        ("latin.toml", "line 2 is not UTF-8"),
        ("", "an empty value"),
        #[cfg(unix)]
        ("d.toml", "it is a directory"),
    ] {
        let run = directory.run(&["config", "--check", "--config", name], &[]);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{name}");
        assert!(run.stderr.starts_with("cvd-stream: one fault in the configuration"), "{}", run.stderr);
        assert!(run.stderr.contains(&format!("\"{name}\" (flag --config)")), "{}", run.stderr);
        assert!(run.stderr.contains(problem) && run.stderr.contains("remedy"), "{}", run.stderr);
    }
    let variable = directory.run(&[], &[("CVD_STREAM_CONFIG", "none.toml")]);
    assert!(variable.stderr.contains("(environment CVD_STREAM_CONFIG)"), "{}", variable.stderr);
}

#[test]
fn a_check_says_in_one_line_that_all_is_good_and_what_a_run_would_say_if_not() {
    let run = ran("symbol = \"BTCUSDT\"\ncount = 5\nparallel = 3\n", &["config", "--check"]);
    let good = "the configuration is good; settings from 1 variable and 2 lines of f.toml\n";
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (Some(0), good, ""));
    let run = ran("", &["config", "--check", "--url", "wss://fstream.binance.com/ws/btcusdt@aggTrade"]);
    assert_eq!((run.code, run.stdout.lines().count()), (Some(0), 1), "{}", run.stderr);
    assert!(run.stderr.starts_with("warning: ") && run.stderr.lines().count() == 1, "{}", run.stderr);
    let run = ran("symbols-file = \"nowhere\"\n", &["config", "--check"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    assert!(run.stderr.contains("the symbols file nowhere cannot be used"), "{}", run.stderr);
    let run = ran("parallel = 99\nfrom = \"yesterday\"\n", &["config", "--check"]);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("--parallel") && run.stderr.contains("--from"), "{}", run.stderr);
}

#[test]
fn one_file_serves_a_command_that_does_not_read_all_of_it() {
    let recording = "BTCUSDT-aggTrades-2026-11-01.csv";
    let directory = with_file("url = \"http://x\"\nprint-every = 1\noutput = \"json\"\n");
    fs::write(directory.0.join(recording), "1,100.0,1.0,1,1,1793491200000,true\n").unwrap();
    let run = directory.run(&["replay", recording, "--config", "f.toml"], &[]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert!(run.stdout.starts_with('{'), "{}", run.stdout);
    let run = directory.run(&["--config", "f.toml", "--count", "1"], &[]);
    assert_eq!(run.code, Some(2), "the live run reads the address");
}

#[test]
fn no_byte_of_the_file_moves_the_terminal() {
    let hostile = "\u{1b}]0;owned\u{7}\u{202e}";
    let written = r"\u001b]0;owned\u0007\u202e";
    for (text, arguments) in [
        (format!("{hostile} = 1\n'{hostile}' = 2\nsymbol = {hostile}\n[{hostile}]\n"), &["config"][..]),
        (format!("\"{written}\" = 1\nqueue-size = \"{written}\"\nurl = \"{written}\"\n"), &["config"]),
        (format!("write = \"{written}.csv\"\nstate-dir = \"{written}\"\n"), &["config"]),
        (format!("symbols-file = \"{written}\"\n"), &["config"]),
        (format!("symbols-file = \"{written}\"\n"), &["config", "--check"]),
        (format!("ca-file = \"{written}\"\nlog-level = \"{written}\"\n"), &[]),
    ] {
        let run = ran(&text, arguments);
        assert!(run.stdout.len() + run.stderr.len() > 0, "{text:?}");
        for shown in [&run.stdout, &run.stderr] {
            let moves = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!shown.contains(moves), "{text:?} gives {shown:?}");
        }
    }
}

#[test]
fn the_manual_and_the_completions_work_where_the_configuration_is_broken() {
    let directory = with_file("= broken");
    fs::write(directory.0.join(".env"), "QUEUE_SIZE=0\nthis is no line\n").unwrap();
    let environment = [("CVD_STREAM_CONFIG", "f.toml"), ("CVD_STREAM_COUNT", "none")];
    assert_eq!(directory.run(&["config", "--check"], &environment).code, Some(2));
    for arguments in [
        &["man"][..],
        &["completions", "bash"],
        &["completions", "zsh"],
        &["completions", "fish"],
        &["completions", "powershell"],
        &["completions", "elvish"],
    ] {
        let run = directory.run(arguments, &environment);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        let text = run.stdout.replace("\\-", "-");
        for option in &OPTIONS {
            assert!(text.contains(option.name), "{arguments:?} without {}", option.name);
        }
        for subcommand in cli::command().get_subcommands() {
            assert!(text.contains(subcommand.get_name()), "{arguments:?} without {}", subcommand.get_name());
        }
    }
    assert_eq!(directory.run(&["completions", "tcsh"], &[]).code, Some(2));
}

#[test]
fn in_bash_every_subcommand_leads_to_what_completes_it() {
    let script = run(&["completions", "bash"], &[]).stdout;
    let states: Vec<&str> =
        script.lines().filter_map(|line| line.trim().strip_prefix("cmd=\"")?.strip_suffix('"')).collect();
    assert!(states.len() > cli::command().get_subcommands().count(), "{states:?}");
    for state in states.into_iter().filter(|state| !state.is_empty()) {
        assert!(
            script.lines().any(|line| line.trim() == format!("{state})")),
            "nothing is completed in {state}"
        );
    }
}

#[test]
fn the_manual_has_every_section_variable_and_exit_code() {
    let page = run(&["man"], &[]).stdout.replace("\\-", "-");
    for title in ["NAME", "SYNOPSIS", "DESCRIPTION", "SUBCOMMANDS", "ENVIRONMENT", "FILES", "EXAMPLES"] {
        assert!(page.contains(&format!("\n.SH {title}\n")), "{title}");
    }
    assert!(page.contains("\n.SH \"EXIT STATUS\"\n.TP\n\\fB0\\fR\n"), "{page}");
    for variable in OPTIONS.iter().flat_map(OptionSpec::variables) {
        assert!(page.contains(&variable), "{variable}");
    }
    for group in Group::ALL {
        let heading = group.heading().to_uppercase();
        let is_there = page.lines().any(|line| line.trim_start_matches(".SH ").trim_matches('"') == heading);
        assert!(is_there, "{heading}");
    }
}

#[test]
fn the_example_file_says_what_the_table_says() {
    up_to_date(&example_path(), &example_file());
}

#[test]
fn the_example_file_is_good_as_it_is() {
    let path = example_path();
    let run = run(&["--config", path.to_str().unwrap(), "config", "--check"], &[]);
    let good = "the configuration is good; settings from 1 flag\n";
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (Some(0), good, ""));
}

#[test]
fn every_option_of_the_example_file_works_without_its_comment_sign() {
    let text = fs::read_to_string(example_path()).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix('#')).filter(|line| !line.starts_with(' '));
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), OPTIONS.len() - 1, "all but --config itself");
    for line in lines {
        let name = line.split(" = ").next().unwrap();
        let option = OPTIONS.iter().find(|option| option.name == name).expect(name);
        let directory = Directory::new();
        // This one is looked into.
        let line = match name {
            "ca-file" => {
                let certificate = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap().cert;
                let path = directory.0.join("ca.pem");
                fs::write(&path, certificate.pem()).unwrap();
                format!("ca-file = '{}'", path.display())
            }
            _ => line.to_owned(),
        };
        fs::write(directory.0.join("f.toml"), line).unwrap();
        let command = match name {
            _ if option.applies_to(Command::Live) => &[][..],
            _ if option.applies_to(Command::Replay) => &["replay", "a.csv"],
            _ => &["fetch", "BTCUSDT"],
        };
        let arguments = [&["cvd-stream", "--config", "f.toml"], command].concat();
        let parsed = cli::parse(arguments.into_iter().map(Into::into), [], &directory.0);
        let resolved = parsed.unwrap_or_else(|exit| panic!("{name}: {exit}")).resolved;
        let set = resolved.options.iter().find(|option| option.name == name).unwrap();
        // Without an address of its own the market's holds.
        let expected = Origin::File { path: "f.toml".to_owned(), line: 1 };
        assert_eq!(set.origin, expected, "{name}");
    }
}

fn example_path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/cvd-stream.toml")
}

fn example_file() -> String {
    let mut text = "\
# Settings of cvd-stream, read where --config or CVD_STREAM_CONFIG names this file. Remove the # in front of what you
# want to change. A flag wins over the environment, that over .env, and that over this file. Shown is the default, or an
# example where there is none. Options stand before any [table]. To check it:
#   cvd-stream --config cvd-stream.toml config --check
# docs/configuration.md explains every option.
"
    .to_owned();
    for group in Group::ALL {
        let mut options = in_group(group).filter(|option| option.name != "config").peekable();
        if options.peek().is_some() {
            text += &format!("\n# --- {} ---\n", group.heading());
        }
        for option in options {
            let (value, kind) = example(option);
            text += &format!("\n# {} ({}{kind})\n#{}\n", option.help, option.range, option.in_file(value));
        }
    }
    text
}
