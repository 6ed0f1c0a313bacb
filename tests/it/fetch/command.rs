//! `cvd-stream fetch` as a process: what it prints, how it is stopped, its exit codes.

use std::process::{Output, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::*;
use crate::support::story;

/// An exchange on a real port, and a directory.
struct Site {
    exchange: Exchange,
    directory: PathBuf,
}

impl Site {
    async fn with(periods: &[(&str, usize)]) -> Self {
        let exchange = Exchange::builder().symbol("BTCUSDT").start().await.unwrap();
        for (period, length) in periods {
            exchange.archive().put(&path(period), bytes(*length));
        }
        Self { exchange, directory: directory() }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let directory = self.directory.to_str().unwrap();
        let url = self.exchange.rest_url();
        let own = ["fetch", "BTCUSDT", "--archive-url", &url, "--dir", directory];
        command(&[&own[..], arguments].concat())
    }

    async fn run(&self, from: &str, to: &str) -> Output {
        self.command(&["--from", from, "--to", to]).output().await.unwrap()
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        fs::remove_dir_all(self.directory.parent().expect("below another")).unwrap_or_default();
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cvd-stream"));
    command.args(arguments).env_clear().current_dir(env!("CARGO_TARGET_TMPDIR"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn files_are_told_one_by_one_and_summed_up_at_the_end() {
    story(async {
        let site = Site::with(&[("2024-04-30", 1_500), ("2024-05", 20_000), ("2024-06-01", 10)]).await;
        let output = site.run("2024-04-30", "2024-06-01").await;
        let (stdout, stderr) = texts(&output);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        let mut lines: Vec<_> = stderr.lines().collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            [
                "BTCUSDT-aggTrades-2024-04-30.zip: fetched, 1.5 kB",
                "BTCUSDT-aggTrades-2024-05.zip: fetched, 20.0 kB",
                "BTCUSDT-aggTrades-2024-06-01.zip: fetched, 10 B",
            ]
        );
        let head = format!("BTCUSDT (usdm), 2024-04-30 to 2024-06-01, in {}\n", site.directory.display());
        assert_eq!(stdout, format!("{head}  fetched       3 files, 21.5 kB\n  already there 0 files\n"));
        assert_eq!(fs::read(site.at(&name("2024-05"))).unwrap(), bytes(20_000));

        let (stdout, stderr) = texts(&site.run("2024-04-30", "2024-06-01").await);
        assert!(stdout.contains("already there 3 files"), "{stdout}");
        assert!(stderr.contains("2024-05.zip: already there, 20.0 kB"), "{stderr}");
    })
    .await;
}

#[tokio::test]
async fn progress_is_one_line_that_is_written_again_and_again() {
    story(async {
        let site = Site::with(&[("2024-05-01", 1_500), ("2024-05-02", 1_500)]).await;
        let days = ["--from", "2024-05-01", "--to", "2024-05-02", "--progress", "always"];
        let output = site.command(&days).output().await.unwrap();
        let (_, stderr) = texts(&output);
        assert!(stderr.starts_with("\r\u{1b}[K0/2 files  0 B"), "{stderr:?}");
        let last = stderr.rsplit('\r').next().unwrap();
        assert!(last.starts_with("\u{1b}[K2/2 files  3.0 kB") && last.ends_with('\n'), "{stderr:?}");
        assert_eq!(stderr.matches('\n').count(), 1, "{stderr:?}");
    })
    .await;
}

#[tokio::test]
async fn what_is_missing_is_named_and_the_exit_code_tells() {
    story(async {
        let site = Site::with(&[("2024-05-01", 10), ("2024-05-03", 10)]).await;
        let output = site.run("2024-05-01", "2024-05-03").await;
        let (stdout, stderr) = texts(&output);
        assert_eq!(output.status.code(), Some(1));
        assert!(stdout.contains("missing       2024-05-02 (the archive does not have them)"), "{stdout}");
        assert!(stderr.contains("2024-05-02.zip: not in the archive"), "{stderr}");
        assert!(
            stderr.ends_with(
                "cvd-stream: 1 of the files could not be had; the same command tries them again\n"
            )
        );

        let other = site.run("2023-05-01", "2023-05-03").await;
        let (stdout, stderr) = texts(&other);
        assert_eq!((other.status.code(), stdout.as_str()), (Some(1), ""));
        assert!(
            stderr.contains("no file of BTCUSDT for these days; check the spelling, --market"),
            "{stderr}"
        );

        // Not there yet is no failure.
        let yesterday = Day::today().plus(-1).to_string();
        let output = site.run(&yesterday, &yesterday).await;
        let (stdout, stderr) = texts(&output);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        assert!(stdout.contains(&format!("not published {yesterday} (a day's file appears")), "{stdout}");
    })
    .await;
}

#[tokio::test]
async fn a_mistake_is_told_before_anything_is_asked() {
    story(async {
        let site = Site::with(&[]).await;
        let today = Day::today();
        let yesterday = today.plus(-1).to_string();
        let today = today.to_string();
        for (arguments, told) in [
            (&["--from", "2024-05-01"][..], "--to"),
            (&["--from", "2024-05-02", "--to", "2024-05-01"], "before --from"),
            (&["--from", "2024-05-01", "--to", &today], &format!("write --to {yesterday}")),
            (&["--from", "2016-05-01", "--to", "2024-05-01"], "write --from 2017-07-01 or later"),
            (&["--from", "2024-05-01T12:00", "--to", "2024-05-02"], "not a date"),
            (&["--from", "77", "--to", "88"], "not a date"),
            (&["--from", "2024-05-01", "--to", "2024-05-02", "--parallel", "9"], "1 to 8"),
            (&["--from", "2024-05-01", "--to", "2024-05-02", "--speed", "1x"], "--speed"),
        ] {
            let output = site.command(arguments).output().await.unwrap();
            let (stdout, stderr) = texts(&output);
            assert_eq!((output.status.code(), stdout.as_str()), (Some(2), ""), "{arguments:?}: {stderr}");
            assert!(stderr.contains(told), "{arguments:?}: {stderr}");
        }
        let without_symbol = command(&["fetch", "--from", "2024-05-01", "--to", "2024-05-02"]);
        let output = { without_symbol }.output().await.unwrap();
        assert_eq!(output.status.code(), Some(2));
        let elsewhere = ["fetch", "BTCUSDT", "--from", "2024-05-01", "--to", "2024-05-02", "--archive-url"];
        let plain = [&elsewhere[..], &["http://mirror.example"]].concat();
        let (_, stderr) = texts(&command(&plain).output().await.unwrap());
        assert!(stderr.contains("--allow-plaintext"), "{stderr}");
        assert!(site.exchange.archive().requests().is_empty());
    })
    .await;
}

#[tokio::test]
async fn the_first_signal_ends_it_within_a_second_and_the_same_command_goes_on() {
    story(async {
        let site = Site::with(&[("2024-05-01", 100_000), ("2024-05-02", 10)]).await;
        site.exchange.archive().fault("01.zip", [ArchiveFault::Stall(60_000)]);
        let days = ["--from", "2024-05-01", "--to", "2024-05-02", "--progress", "always"];
        let mut child = site.command(&days).spawn().unwrap();
        let mut shown = BufReader::new(child.stderr.take().unwrap()).split(b'\r');
        let part = site.at(&format!("{}.part", name("2024-05-01")));
        // What has come is on the disk a second later: a look with every line that it shows.
        while fs::metadata(&part).map_or(0, |meta| meta.len()) < 60_000 {
            shown.next_segment().await.unwrap().expect("it does not end by itself");
        }
        let pid = child.id().unwrap().to_string();
        let begun = tokio::time::Instant::now();
        assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let output = child.wait_with_output().await.unwrap();
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(1), "{took:?}");
        let mut last = Vec::new();
        while let Some(line) = shown.next_segment().await.unwrap() {
            last = line;
        }
        let last = String::from_utf8(last).unwrap();
        assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]), "{last}");
        assert!(last.ends_with(
            "cvd-stream: interrupted; what is here stays, and the same command goes on from there\n"
        ));

        let (stdout, stderr) = texts(&site.run("2024-05-01", "2024-05-02").await);
        assert!(stdout.contains("fetched       1 file, 100.0 kB (40.0 kB received)"), "{stdout}{stderr}");
        assert_eq!(fs::read(site.at(&name("2024-05-01"))).unwrap(), bytes(100_000));
    })
    .await;
}

#[tokio::test]
async fn a_disk_that_is_full_is_told_and_gone_on_with_once_there_is_room() {
    story(async {
        let site = Site::with(&[("2024-05-01", 600_000)]).await;
        fs::create_dir_all(&site.directory).unwrap();
        let (url, zip) = (site.exchange.rest_url(), name("2024-05-01"));
        // Another disk of 300 kB in the place of the directory, seen by nobody else, and a larger one later.
        let script = "mount -t tmpfs -o size=300k none \"$DIR\" || exit 99; \"$@\"; echo \"first $?\"; \
                      mount -o remount,size=2m \"$DIR\"; \"$@\"; echo \"second $?\"; ls \"$DIR\"";
        let mut shell = Command::new("unshare");
        shell.args([
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            script,
            "sh",
            env!("CARGO_BIN_EXE_cvd-stream"),
        ]);
        shell.args(["fetch", "BTCUSDT", "--from", "2024-05-01", "--to", "2024-05-01"]);
        shell
            .args(["--archive-url", &url, "--dir"])
            .arg(&site.directory)
            .env("DIR", &site.directory)
            .env_remove("CVD_STREAM_SHARED");
        let output = match shell.output().await {
            Ok(output) if output.status.code() == Some(0) => output,
            other => return eprintln!("skipped: nothing can be mounted here ({other:?})"),
        };
        let (stdout, stderr) = texts(&output);
        let told = format!("no room for {}.part; free some", site.at(&zip).display());
        assert!(stdout.starts_with("first 1\n") && stderr.contains(&told), "{stdout}{stderr}");
        assert!(stdout.contains("fetched       1 file, 600.0 kB ("), "{stdout}{stderr}");
        assert!(stdout.ends_with(&format!("second 0\n{zip}\n{zip}.CHECKSUM\n")), "{stdout}{stderr}");
    })
    .await;
}

#[tokio::test]
async fn a_symbol_that_tells_its_market_needs_no_other_word_for_it() {
    story(async {
        let site = Site::with(&[]).await;
        let (archive, perp) = (site.exchange.archive(), symbol("BTCUSD_PERP"));
        archive.publish_day(Market::CoinM, &perp, day("2024-05-01"), &[]).unwrap();
        let (url, directory) = (site.exchange.rest_url(), site.directory.to_str().unwrap());
        let days = ["--from", "2024-05-01", "--to", "2024-05-01", "--archive-url", &url, "--dir", directory];
        let output = command(&[&["fetch", "btcusd_perp"][..], &days].concat()).output().await.unwrap();
        let (stdout, stderr) = texts(&output);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        assert!(stdout.starts_with("BTCUSD_PERP (coinm), "), "{stdout}");
        // Who says otherwise is believed.
        let spot = [&["fetch", "BTCUSD_PERP", "--market", "spot"][..], &days].concat();
        let (_, stderr) = texts(&command(&spot).output().await.unwrap());
        assert!(stderr.contains("the spot archive has no file of BTCUSD_PERP"), "{stderr}");
    })
    .await;
}
