//! The command itself: what it prints, how signals and pipes end it, and with which exit code.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use cvd_stream::exchange::{Act, AtEnd, Exchange, Script};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

use crate::support::*;

/// The command with nothing of our environment and no `.env` in sight.
fn command(arguments: &[&str]) -> Command {
    program(env!("CARGO_BIN_EXE_cvd-stream"), arguments)
}

/// As `nohup` starts it.
#[cfg(target_os = "linux")]
fn ignoring_hang_up(arguments: &[&str]) -> Command {
    let script = r#"trap '' HUP; exec "$0" "$@""#;
    let mut all = vec!["-c", script, env!("CARGO_BIN_EXE_cvd-stream")];
    all.extend(arguments);
    program("/bin/sh", &all)
}

fn program(path: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(path);
    command.args(arguments).env_clear().current_dir(env!("CARGO_TARGET_TMPDIR"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

fn watching(exchange: &Exchange, arguments: &[&str]) -> Command {
    let url = exchange.stream_url();
    let mut all = vec!["--url", &url, "--output", "json"];
    all.extend(arguments);
    command(&all)
}

async fn market(per_second: u32) -> Exchange {
    exchange(Script::default().at_end(AtEnd::Market { per_second })).await
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("records are UTF-8")
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("diagnostics are UTF-8")
}

fn last(output: &Output) -> Value {
    let line = stdout(output).lines().last().unwrap_or_else(|| panic!("no records: {}", stderr(output)));
    let record: Value = serde_json::from_str(line).expect("a record is JSON");
    assert_eq!(record["type"], "final", "{line}");
    record
}

#[tokio::test]
async fn the_command_prints_records_on_one_stream_and_diagnostics_on_the_other() {
    story(async {
        let exchange = market(5_000).await;
        let output = watching(&exchange, &["--count", "500"]).output().await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(last(&output)["trades"], 500);
        for line in stdout(&output).lines() {
            serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        }
        let connected = format!(" INFO Connected: {}\n", exchange.stream_url());
        assert!(stderr(&output).contains(&connected), "{}", stderr(&output));
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn both_go_to_standard_output_when_asked_to() {
    story(async {
        let exchange = market(5_000).await;
        let arguments = ["--count", "500", "--log-output", "stdout", "--output", "text", "--repair", "off"];
        let url = exchange.stream_url();
        let output = command(&[&["--url", &url][..], &arguments].concat()).output().await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(stderr(&output), "");
        let text = stdout(&output);
        assert!(text.contains(" INFO Connected: ws://") && text.contains(" INFO CVD BTCUSDT | "), "{text}");
        // Log lines and records have one shape.
        for line in text.lines() {
            assert!(line.as_bytes()[23] == b'Z' && line[24..].starts_with("  INFO "), "{line}");
        }
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn the_log_level_hides_diagnostics_but_never_a_record() {
    story(async {
        let exchange = market(5_000).await;
        let mut command = watching(&exchange, &["--count", "300", "--print-every", "1"]);
        let output = command.env("LOG_LEVEL", "error").output().await.unwrap();
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
        let records = stdout(&output).lines().filter(|line| line.contains("\"type\":\"cvd\"")).count();
        assert_eq!(records, 300);
        stopped_in_peace(exchange).await;
    })
    .await;
}

async fn send(signal: &str, child: &Child) {
    let pid = child.id().expect("it is still running");
    let script = format!("kill -{signal} {pid}");
    let sent = Command::new("/bin/sh").args(["-c", &script]).status().await.expect("a shell");
    assert!(sent.success(), "{script}");
}

/// Reads diagnostics up to a line that contains `part`.
async fn until(log: &mut Lines<BufReader<ChildStderr>>, part: &str) {
    while let Some(line) = log.next_line().await.unwrap() {
        if line.contains(part) {
            return;
        }
    }
    panic!("the diagnostics ended without `{part}`");
}

fn log_of(child: &mut Child) -> Lines<BufReader<ChildStderr>> {
    BufReader::new(child.stderr.take().expect("it is piped")).lines()
}

#[cfg(unix)]
#[tokio::test]
async fn a_process_that_is_stopped_and_goes_on_says_so_and_misses_nothing() {
    story(async {
        let exchange = market(500).await;
        let rest_url = exchange.rest_url();
        let mut child =
            watching(&exchange, &["--rest-url", &rest_url, "--print-every", "1"]).spawn().unwrap();
        let mut log = log_of(&mut child);
        let mut records = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let reach = async |records: &mut Lines<BufReader<ChildStdout>>, id: i64| {
            while let Some(line) = records.next_line().await.unwrap() {
                let record: Value = serde_json::from_str(&line).unwrap();
                if record["agg_trade_id"].as_i64().is_some_and(|seen| seen >= id) {
                    return;
                }
            }
            panic!("the records end before id {id}");
        };
        let newest = || exchange.ledger().trades(&symbol("BTCUSDT")).last().map_or(0, |trade| trade.id.0);
        reach(&mut records, 0).await;
        reach(&mut records, newest()).await;

        send("STOP", &child).await;
        // Longer than a tick can be late.
        tokio::time::sleep(Duration::from_secs(7)).await;
        send("CONT", &child).await;
        until(&mut log, "nothing was done here for").await;
        reach(&mut records, newest()).await;

        send("TERM", &child).await;
        let mut last = Value::Null;
        while let Some(line) = records.next_line().await.unwrap() {
            last = serde_json::from_str(&line).unwrap();
        }
        assert_eq!(child.wait().await.unwrap().code(), Some(0));
        let number = |name: &str| last[name].as_u64().unwrap_or_else(|| panic!("no {name} in {last}"));
        assert_eq!((last["type"].as_str(), last["quality"].as_str()), (Some("final"), Some("complete")));
        assert_eq!(number("trades"), number("last_id") - number("first_id") + 1);
        assert_eq!((number("missing_trades"), number("duplicate_trades")), (0, 0));
        assert!(last["own_p95_ms"].as_f64().unwrap() >= 0.0, "{last}");
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_signal_under_load_ends_it_cleanly_with_the_final_record_within_five_seconds() {
    story(async {
        for signal in ["TERM", "INT"] {
            let exchange = exchange([Act::Trades(u64::MAX)]).await;
            let child = watching(&exchange, &[]).spawn().unwrap();
            exchange.wait_for(|stats| stats.frames_sent >= 20_000).await;
            let asked = tokio::time::Instant::now();
            send(signal, &child).await;
            let output = child.wait_with_output().await.unwrap();
            assert!(asked.elapsed() < Duration::from_secs(5));
            assert_eq!(output.status.code(), Some(0), "{signal}: {}", stderr(&output));
            let last = last(&output);
            let number = |name: &str| last[name].as_u64().unwrap();
            assert_eq!(number("trades") + number("queue_dropped"), number("total_messages"));
            assert!(number("trades") > 0);
            stopped_in_peace(exchange).await;
        }
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    story(async {
        let exchange = exchange([Act::Trades(20_000)]).await;
        // Nobody reads the records, so that a clean end is impossible.
        let mut child = watching(&exchange, &["--print-every", "1"]).spawn().unwrap();
        let _unread = child.stdout.take();
        exchange.wait_for(|stats| stats.script_finished).await;
        let mut log = log_of(&mut child);
        send("TERM", &child).await;
        until(&mut log, "a second signal ends at once").await;
        let ended = loop {
            send("TERM", &child).await;
            // One that comes while the process is still turning from the first to the second is lost.
            if let Ok(ended) = timeout(Duration::from_millis(500), child.wait()).await {
                break ended.unwrap();
            }
        };
        assert_eq!(ended.code(), Some(130));
        drop(exchange.stop().await);
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_signal_before_any_connection_ends_it_cleanly_too() {
    story(async {
        let exchange = exchange([]).await;
        let url = exchange.stream_url();
        stopped_in_peace(exchange).await;
        let mut child = command(&["--url", &url, "--output", "json"]).spawn().unwrap();
        let mut log = log_of(&mut child);
        until(&mut log, "Reconnect due to error: cannot connect to 127.0.0.1").await;
        send("TERM", &child).await;
        let output = child.wait_with_output().await.unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(last(&output)["total_messages"], 0);
    })
    .await;
}

#[tokio::test]
async fn a_pipe_that_is_closed_is_a_quiet_end() {
    story(async {
        let exchange = market(5_000).await;
        let mut child = watching(&exchange, &["--print-every", "1"]).spawn().unwrap();
        let mut records = child.stdout.take().expect("it is piped");
        let mut first = [0; 100];
        records.read_exact(&mut first).await.unwrap();
        drop(records);
        let output = child.wait_with_output().await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(
            !stderr(&output).contains("ERROR") && !stderr(&output).contains("panic"),
            "{}",
            stderr(&output)
        );
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn a_pipe_that_is_full_never_costs_a_pong() {
    story(async {
        let exchange = btcusdt()
            .server_ping(Duration::from_millis(100))
            .pong_deadline(Duration::from_secs(20))
            .messages_per_second(10_000)
            .start()
            .await
            .unwrap();
        let arguments = ["--print-every", "1", "--queue-size", "16", "--count", "30000"];
        let child = watching(&exchange, &arguments).spawn().unwrap();
        exchange.play(Act::Trades(30_000)).await;
        let before = exchange.stats().pongs_received;
        exchange.wait_for(|stats| stats.pongs_received >= before + 15).await;
        // It reads at last; the frames that did not fit are gone, so that only a market ends the count.
        let reading = tokio::spawn(child.wait_with_output());
        let mut done = 30_000;
        while !reading.is_finished() {
            exchange.play(Act::Trades(1_000).on(1)).await;
            done += 1_000;
        }
        let output = reading.await.unwrap().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let last = last(&output);
        assert!(last["queue_dropped"].as_u64().unwrap() > 0 && done > 30_000, "{last}");
        assert_eq!((&last["trades"], &last["reconnect_count"]), (&30_000.into(), &0.into()));
        let records = stdout(&output).lines().filter(|line| line.contains("\"type\":\"cvd\"")).count();
        assert_eq!(records, 30_000);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn a_refusal_for_good_is_exit_code_one_with_what_to_do() {
    story(async {
        let exchange = exchange([Act::Refuse { status: 451, retry_after: None, times: 1 }]).await;
        let output = watching(&exchange, &[]).output().await.unwrap();
        assert_eq!(output.status.code(), Some(1));
        let told = stderr(&output);
        let line = told.lines().find(|line| line.starts_with("cvd-stream: ")).expect(told);
        assert!(line.contains("run where it does") && line.contains("451"), "{line}");
        assert_eq!(last(&output)["trades"], 0);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn the_demo_ends_with_its_proof() {
    story(async {
        let output = command(&["demo", "--count", "100", "--color", "never"]).output().await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(stderr(&output).contains("CVD = ledger: "), "{}", stderr(&output));
        assert!(stdout(&output).lines().last().unwrap().contains("[FINAL] trades=100 "));
    })
    .await;
}

#[tokio::test]
async fn a_recording_is_replayed_by_the_command() {
    story(async {
        let frame = |id, seller| {
            format!(
                "1795132800.5: {{\"e\":\"aggTrade\",\"E\":1795132800400,\"a\":{id},\"s\":\"BTCUSDT\",\"p\":\"1.5\",\
                 \"q\":\"0.001\",\"f\":{id},\"l\":{id},\"T\":1795132800400,\"m\":{seller}}}\n"
            )
        };
        let text = (1..=30).map(|id| frame(id, id % 3 == 0)).collect::<String>();
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("command.{}", std::process::id()));
        std::fs::write(&file, text).unwrap();
        let path = file.to_str().unwrap();
        let output =
            command(&["replay", path, "--output", "json", "--print-every", "1"]).output().await.unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(stdout(&output).lines().count(), 31);
        assert_eq!(last(&output)["symbols"][0]["cvd"], "0.01");
        assert_eq!(raw_field(stdout(&output).lines().next().unwrap(), "latency_ms"), "100.0");
    })
    .await;
}

fn csv(name: &str, rows: impl IntoIterator<Item = String>) -> String {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let header =
        "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker".to_owned();
    let text = std::iter::once(header).chain(rows).map(|line| line + "\n").collect::<String>();
    std::fs::write(&path, text).expect("the folder for temporary files takes one");
    path.to_str().expect("the path is text").to_owned()
}

fn row(id: u64) -> String {
    format!("{id},64339.2,0.001,1,1,1763690000000,false")
}

#[tokio::test]
async fn log_lines_keep_their_place_among_the_records() {
    story(async {
        let rows = (1..=9).map(row).chain(["damaged".to_owned()]).chain((10..=11).map(row));
        let file = csv("BTCUSDT-aggTrades-place.csv", rows);
        let arguments = ["replay", &file, "--print-every", "1", "--log-output", "stdout"];
        let output = command(&arguments).output().await.unwrap();
        let lines: Vec<&str> = stdout(&output).lines().collect();
        let at = |part: &str| lines.iter().position(|line| line.contains(part)).expect("the line is there");
        assert_eq!(at("damaged row skipped"), 9, "{lines:#?}");
        assert_eq!(at("cvd=0.010000"), 10, "{lines:#?}");
    })
    .await;
}

#[tokio::test]
async fn files_without_a_readable_trade_are_a_failure() {
    story(async {
        let rows = (1..=3).map(|_| ",64339.2,0.001,1,1,1763690000000,false".to_owned());
        let output = command(&["replay", &csv("BTCUSDT-aggTrades-none.csv", rows)]).output().await.unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("all 3 rows are damaged"), "{}", stderr(&output));
    })
    .await;
}

/// A reader that takes nothing for as long as it likes: `sh` joins both streams on one pipe that is not read.
#[cfg(unix)]
#[tokio::test]
async fn a_signal_ends_it_although_records_and_log_go_into_one_blocked_pipe() {
    story(async {
        let exchange = market(50_000).await;
        let url = exchange.stream_url();
        let script = "exec \"$0\" --url \"$1\" --output json --print-every 1 2>&1";
        let mut shell = Command::new("sh");
        shell.args(["-c", script, env!("CARGO_BIN_EXE_cvd-stream"), &url]).env_clear();
        let mut child = shell.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let pid = child.id().expect("it runs").to_string();
        // 64 KiB is what a pipe holds; long after that everybody who writes to it is blocked.
        exchange.wait_for(|stats| stats.frames_sent > 50_000).await;
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = child.wait().await.unwrap();
        assert_eq!(status.code(), Some(1), "it ends, and says by its code that not everything was written");
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_signal_ends_a_replay_of_a_pipe_that_delivers_nothing() {
    story(async {
        let fifo = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fifo-{}", std::process::id()));
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let path = fifo.to_str().expect("the path is text");
        let mut child = command(&["replay", "--symbol", "BTCUSDT", path]).spawn().unwrap();
        // Opening it for writing waits until the command reads.
        let open = fifo.clone();
        let writer = tokio::task::spawn_blocking(move || std::fs::OpenOptions::new().write(true).open(open));
        let _held_open = writer.await.unwrap().unwrap();
        let pid = child.id().expect("it runs").to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert_eq!(child.wait().await.unwrap().code(), Some(0));
        std::fs::remove_file(fifo).unwrap();
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn sighup_reads_the_symbols_file_again_and_a_mistake_in_it_changes_nothing() {
    story(async {
        let market = Script::default().at_end(AtEnd::Market { per_second: 300 });
        let exchange =
            Exchange::builder().symbol("BTCUSDT").symbol("ETHUSDT").script(market).start().await.unwrap();
        let name = format!("symbols-{}", std::process::id());
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        // Because of the pattern, what the exchange lists is known from the start.
        write("BTC*");
        let (url, rest) = (format!("{}/market/stream", exchange.stream_base()), exchange.rest_url());
        let arguments = ["--url", &url, "--rest-url", &rest, "--symbols-file", &name, "--output", "json"];
        let mut child = command(&arguments).spawn().unwrap();
        let mut log = log_of(&mut child);
        until(&mut log, "Connected: ").await;
        write("BTCUSDT\n\nETH/USDT\n");
        send("HUP", &child).await;
        until(&mut log, "cannot be used: line 3: `ETH/USDT` is neither a symbol nor a pattern").await;
        write("ETHUSDT\nBTCUDST\n");
        send("HUP", &child).await;
        until(
            &mut log,
            "cannot be used: the exchange lists no BTCUDST on usdm; did you mean BTCUSDT? Nothing changes",
        )
        .await;
        write("# Nobody");
        send("HUP", &child).await;
        until(&mut log, "cannot be used: nothing is left to follow").await;
        write("BTCUSDT ETHUSDT");
        send("HUP", &child).await;
        until(&mut log, "was read again: joining usdm:ETHUSDT; leaving none").await;
        send("HUP", &child).await;
        until(&mut log, "was read again: nothing changes").await;
        send("TERM", &child).await;
        // Nobody may wait for the rest of the diagnostics.
        tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        let output = child.wait_with_output().await.unwrap();
        assert_eq!(output.status.code(), Some(0));
        let symbols: Vec<_> =
            last(&output)["symbols"].as_array().unwrap().iter().map(|of| of["symbol"].clone()).collect();
        assert_eq!(symbols, ["BTCUSDT", "ETHUSDT"]);
        std::fs::remove_file(&file).unwrap();
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_terminal_that_is_closed_ends_a_run_in_good_order_unless_nohup_keeps_it() {
    story(async {
        for keeps in [false, true] {
            let market = Script::default().at_end(AtEnd::Market { per_second: 300 });
            let exchange = Exchange::builder().symbol("BTCUSDT").script(market).start().await.unwrap();
            let (url, rest) = (format!("{}/market/stream", exchange.stream_base()), exchange.rest_url());
            let arguments = ["--symbol", "BTCUSDT", "--url", &url, "--rest-url", &rest];
            let mut child = match keeps {
                false => command(&arguments),
                true => ignoring_hang_up(&arguments),
            }
            .spawn()
            .unwrap();
            let mut log = log_of(&mut child);
            until(&mut log, "Connected: ").await;
            send("HUP", &child).await;
            if keeps {
                send("TERM", &child).await;
            }
            until(&mut log, "stopping in good order").await;
            tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
            let output = child.wait_with_output().await.unwrap();
            assert_eq!(output.status.code(), Some(0));
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.contains("[FINAL]"), "{text}");
            stopped_in_peace(exchange).await;
        }
    })
    .await;
}
