//! Notices handed to a program: JSON on its standard input, the same in variables, no shell.

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr};
use tokio::time::timeout;

use super::json::json;
use super::notice::Notice;
use crate::text::escaped;

/// A program that runs for longer is ended.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long the last words of a program that has ended are waited for.
const WORDS_DEADLINE: Duration = Duration::from_millis(500);
/// So much of its first line on standard error is kept.
const MOST_WORDS: usize = 4 * 1024;
/// What a program gets of our environment.
const KEPT: [&str; 3] = ["PATH", "HOME", "LANG"];

/// A program and its arguments; one run at a time.
#[derive(Debug)]
pub(super) struct Command {
    program: String,
    arguments: Vec<String>,
    kept: Vec<(&'static str, OsString)>,
    deadline: Duration,
}

impl Command {
    /// `None` without a program.
    pub(super) fn new(command: &[String]) -> Option<Self> {
        let (program, arguments) = command.split_first()?;
        let kept = KEPT.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
        Some(Self {
            program: program.clone(),
            arguments: arguments.to_vec(),
            kept: kept.collect(),
            deadline: DEADLINE,
        })
    }

    /// The program as it may be shown. Its arguments may hold secrets.
    pub(super) fn to(&self) -> String {
        escaped(self.program.as_bytes())
    }

    /// Runs it to its end, 30 s at most.
    ///
    /// # Errors
    /// What went wrong, in words: it cannot be started, hung, or ended with another code than 0.
    ///
    /// # Cancel safety
    /// A dropped future ends the program.
    pub(super) async fn run(&self, notice: &Notice) -> Result<(), String> {
        let mut child = self.spawn(notice)?;
        let mut words = Vec::new();
        let running = ended(&mut child, json(notice) + "\n", &mut words);
        let Ok(ended) = timeout(self.deadline, running).await else {
            // That it has ended meanwhile is no failure. Its end is not waited for: one that the disk holds may not come.
            drop(child.start_kill());
            return Err(format!("it ran for more than {:?} and was ended", self.deadline));
        };
        let status = ended.map_err(|error| format!("its end cannot be seen: {error}"))?;
        if status.success() {
            return Ok(());
        }
        let line = words.split(|byte| *byte == b'\n').next().unwrap_or_default();
        match escaped(line).as_str() {
            "" => Err(format!("{status}")),
            said => Err(format!("{status}: {said}")),
        }
    }

    fn spawn(&self, notice: &Notice) -> Result<Child, String> {
        let value = notice.value.map_or_else(String::new, |value| value.to_string());
        tokio::process::Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .envs(self.kept.iter().map(|(name, value)| (name, value)))
            .env("CVD_STREAM_ALERT_RULE", &notice.rule)
            .env("CVD_STREAM_ALERT_STATE", notice.what.as_str())
            .env("CVD_STREAM_ALERT_SEVERITY", notice.severity.as_str())
            .env("CVD_STREAM_ALERT_SYMBOL", notice.symbol().map_or("", |symbol| symbol.as_str()))
            .env("CVD_STREAM_ALERT_MARKET", notice.market().map_or("", |market| market.as_str()))
            .env("CVD_STREAM_ALERT_VALUE", value)
            .env("CVD_STREAM_ALERT_THRESHOLD", notice.threshold.to_string())
            .env("CVD_STREAM_ALERT_TEXT", &notice.text)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("it cannot be started: {error}"))
    }
}

/// Waits for the end of a program, which gets a text on its standard input.
async fn ended(
    child: &mut Child,
    text: String,
    words: &mut Vec<u8>,
) -> std::io::Result<std::process::ExitStatus> {
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let telling = async {
        if let Some(mut stdin) = stdin {
            // A program that reads nothing of it may end well.
            drop(stdin.write_all(text.as_bytes()).await);
        }
    };
    let mut listening = std::pin::pin!(listen(stderr, words));
    let mut telling_and_waiting = std::pin::pin!(async { tokio::join!(telling, child.wait()).1 });
    tokio::select! {
        biased;
        status = &mut telling_and_waiting => {
            // A program that it started and left behind may hold the pipe open.
            drop(timeout(WORDS_DEADLINE, listening).await);
            status
        }
        () = &mut listening => telling_and_waiting.await,
    }
}

/// Takes what comes, so that nobody waits for it, and keeps the beginning.
async fn listen(stderr: Option<ChildStderr>, words: &mut Vec<u8>) {
    let Some(mut stderr) = stderr else { return };
    let mut piece = [0; 1_024];
    while let Ok(length @ 1..) = stderr.read(&mut piece).await {
        let room = MOST_WORDS - words.len();
        words.extend_from_slice(&piece[..length.min(room)]);
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::kind::Kind;
    use crate::alerts::measure::Measure;
    use crate::alerts::notice::{Subject, What};
    use crate::alerts::rule::{Severity, Sinks};

    fn command(arguments: &[&str]) -> Command {
        Command::new(&arguments.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn notice() -> Notice {
        Notice {
            rule: "z".into(),
            on: Kind::Z,
            severity: Severity::Warning,
            what: What::Fired,
            subject: Subject::Run,
            value: None,
            threshold: Measure::Number(3.0),
            at_ms: 0,
            text: "z".into(),
            sinks: Sinks::ALL,
        }
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_ended() {
        // It says so to nobody but the test, by the time that it would otherwise have taken.
        let hung = Command { deadline: Duration::from_millis(20), ..command(&["sleep", "600"]) };
        let told = hung.run(&notice()).await.unwrap_err();
        assert_eq!(told, "it ran for more than 20ms and was ended");
    }

    #[tokio::test]
    async fn the_first_line_of_its_complaint_is_told_escaped() {
        let script = "printf 'no \\033[31mpager\\nmore' >&2; exit 3";
        let told = command(&["sh", "-c", script]).run(&notice()).await.unwrap_err();
        assert_eq!(told, "exit status: 3: no \\u{1b}[31mpager");
        // However much it says, it is heard out.
        let script = "head -c 1000000 /dev/zero >&2; exit 4";
        let told = command(&["sh", "-c", script]).run(&notice()).await.unwrap_err();
        assert!(told.starts_with("exit status: 4: \\0\\0"), "{told}");
    }

    #[tokio::test]
    async fn a_program_that_reads_nothing_may_end_well() {
        assert_eq!(command(&["true"]).run(&notice()).await, Ok(()));
    }
}
