use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::service::UNIT;
use super::{file, path};

/// The command, or `None` with a word on standard error; a panic where its absence would hide a failure.
pub(super) fn tool(name: &str, is_usable: impl Fn(&str) -> bool) -> Option<Command> {
    let asked = Command::new(name).arg("--version").stdin(Stdio::null()).output();
    let usable = asked.is_ok_and(|output| {
        is_usable(&format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ))
    });
    if usable {
        return Some(Command::new(name));
    }
    let required = std::env::var_os("CVD_STREAM_OPS_REQUIRED").is_some_and(|value| value == "1");
    assert!(!required, "no usable {name} is installed, but CVD_STREAM_OPS_REQUIRED is 1");
    // Past the capturing of what tests print: a skipped proof should be seen.
    writeln!(std::io::stderr(), "skipped: no usable {name} is installed").ok();
    None
}

fn succeeds(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    said
}

fn promtool() -> Option<Command> {
    let mut promtool = tool("promtool", |version| version.starts_with("promtool, version"))?;
    promtool.current_dir(path("packaging/prometheus"));
    Some(promtool)
}

/// `--offline` came with 250.
fn systemd_analyze() -> Option<Command> {
    let recent = |version: &str| {
        let number = version.split_whitespace().nth(1).and_then(|number| number.parse::<u32>().ok());
        number.is_some_and(|number| number >= 250)
    };
    let mut analyze = tool("systemd-analyze", recent)?;
    analyze.env("SYSTEMD_PAGER", "");
    Some(analyze)
}

/// The unit with a command that is there, removed at the end.
struct Unit(PathBuf);

impl Unit {
    fn new(test: &str) -> Self {
        let folder =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("unit-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let text = file(UNIT).replace(
            "ExecStart=/usr/bin/cvd-stream ",
            concat!("ExecStart=", env!("CARGO_BIN_EXE_cvd-stream"), " "),
        );
        std::fs::write(folder.join("cvd-stream.service"), text).unwrap();
        Self(folder)
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

#[test]
fn prometheus_takes_the_rules_and_the_configuration() {
    let Some(mut promtool) = promtool() else { return };
    let said = succeeds(promtool.args(["check", "config", "prometheus.yml"]));
    assert!(said.contains("cvd-stream.rules.yml") && said.contains("rules found"), "{said}");
}

#[test]
fn every_alert_fires_and_ends_as_its_test_says() {
    let Some(mut promtool) = promtool() else { return };
    succeeds(promtool.args(["test", "rules", "cvd-stream.rules.test.yml"]));
}

#[test]
fn systemd_understands_every_line_of_the_unit() {
    let Some(mut analyze) = systemd_analyze() else { return };
    let unit = Unit::new("verify");
    let said = succeeds(analyze.args(["verify", "--man=no"]).arg(unit.0.join("cvd-stream.service")));
    // It warns of lines that it ignores and is content all the same.
    assert!(!said.contains("cvd-stream.service"), "{said}");
}

#[test]
fn the_service_may_do_no_more_than_it_needs() {
    let Some(mut analyze) = systemd_analyze() else { return };
    let unit = Unit::new("security");
    // At most 2.0 of 10.
    let told = succeeds(
        analyze.args(["security", "--offline=true", "--threshold=20"]).arg(unit.0.join("cvd-stream.service")),
    );
    assert!(told.contains("Overall exposure level"), "{told}");
}
