use std::path::Path;
use std::process::Command;

use clap::ColorChoice;

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name))
        .expect("the file is part of the project")
}

/// The bodies of the fenced blocks of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}\n");
    let bodies = text.split(&opening).skip(1);
    bodies.map(|rest| rest.split("```").next().expect("a split has a first part").to_owned()).collect()
}

fn cvd_stream(args: &[&str]) -> (String, String, Option<i32>) {
    let run = Command::new(env!("CARGO_BIN_EXE_cvd-stream"))
        .args(args)
        .env_clear()
        .current_dir(std::env::temp_dir())
        .output()
        .expect("the command starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is text");
    (text(run.stdout), text(run.stderr), run.status.code())
}

/// Digits become `9`, so that only the shape is left: `cvd=-0.623000 z=-2.537` and `cvd=1.5 z=2.1` are alike.
fn shape(line: &str) -> String {
    let mut shape = String::new();
    for c in line.chars() {
        match c {
            '-' if shape.ends_with(['=', ' ']) => {}
            '0'..='9' if shape.ends_with('9') => {}
            '0'..='9' => shape.push('9'),
            c => shape.push(c),
        }
    }
    shape
}

#[test]
fn the_demonstration_prints_what_the_readme_shows() {
    let (records, log, code) = cvd_stream(&["demo", "--count", "200"]);
    assert_eq!(code, Some(0), "{log}");
    let printed = format!("{records}\n{log}");
    let shapes: Vec<String> = printed.lines().map(shape).collect();
    let capture = &blocks(&file("README.md"), "text")[0];
    for line in capture.lines().filter(|line| !line.is_empty() && !line.starts_with(['$', '…'])) {
        // The demonstration of the capture ran for its default time, this one for a number of trades.
        let line = line.replace("it for 12 s", "it for a while");
        assert!(
            shapes.contains(&shape(&line)),
            "the README shows {line:?}, but the command prints\n{printed}"
        );
    }
}

#[test]
fn the_demonstration_of_faults_prints_what_the_readme_shows() {
    let (records, log, code) = cvd_stream(&["demo", "--faults", "--duration", "8s"]);
    assert_eq!(code, Some(0), "{log}");
    let printed = format!("{records}\n{log}");
    let shapes: Vec<String> = printed.lines().map(shape).collect();
    let capture = &blocks(&file("README.md"), "text")[1];
    for line in capture.lines().filter(|line| !line.starts_with(['$', '…'])) {
        assert!(
            shapes.contains(&shape(line)),
            "the README shows {line:?}, but the command prints\n{printed}"
        );
    }
}

#[test]
fn every_command_the_readme_names_is_understood_and_the_one_without_a_network_replays() {
    let readme = file("README.md");
    let commands = blocks(&readme, "sh").join("\n");
    let mut seen = Vec::new();
    for line in commands.lines() {
        let Some(args) = line.strip_prefix("cargo run --release -- ") else { continue };
        let args = args.split(" #").next().expect("a split has a first part");
        let args: Vec<&str> = args.split_whitespace().collect();
        let line = std::iter::once("cvd-stream").chain(args.iter().copied());
        cvd_stream::cli::command().color(ColorChoice::Never).try_get_matches_from(line).expect("it parses");
        if let ["replay", recording] = args[..] {
            let path = format!("{}/{recording}", env!("CARGO_MANIFEST_DIR"));
            let (records, log, code) = cvd_stream(&["replay", &path]);
            assert_eq!((code, log.as_str()), (Some(0), ""));
            assert!(records.contains("[FINAL] BTCUSDT | trades=500 "), "{records}");
        }
        seen.push(args[0].to_owned());
    }
    assert_eq!(seen, ["demo", "--symbol", "replay"]);
}

#[test]
fn the_record_in_the_readme_is_what_the_replay_of_that_file_prints() {
    let Some(shared) = crate::recorded::shared() else { return };
    let path = shared.join("data/trades/ethusdt_20230202_aggtrades_1000.csv.gz");
    let path = std::fs::canonicalize(path).expect("the file is there");
    let path = path.to_str().expect("the path is text");
    let (records, log, code) = cvd_stream(&["replay", path, "--output", "json", "--print-every", "1"]);
    assert_eq!((code, log.as_str()), (Some(0), ""));
    let records: Vec<&str> = records.lines().collect();
    assert_eq!(records.len(), 1_001, "a thousand trades and the final record");
    let shown = &blocks(&file("README.md"), "json")[0];
    assert_eq!(records[999], shown.trim_end());
}
