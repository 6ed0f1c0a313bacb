//! Restarts without loss: the command is killed, crashed into and started again, and the numbers go on.

/// Files that cannot be used, and directories that must not be.
mod files;
/// Killed at random moments, again and again.
mod kills;
/// What a recording holds after the worst.
mod recorded;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use cvd_stream::cvd::{Cvd, CvdConfig, Reading};
use cvd_stream::exchange::{Act, Exchange, ExchangeBuilder, Script};
use cvd_stream::snapshot::Market;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::support::*;

/// A directory of its own, removed when dropped.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = path.join(format!("checkpoint-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("there is room for a directory");
        Self(path)
    }

    /// Where the state is kept; the command makes it.
    fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    fn current(&self) -> PathBuf {
        self.state().join("spot-BTCUSDT.checkpoint")
    }

    fn previous(&self) -> PathBuf {
        self.state().join("spot-BTCUSDT.checkpoint.previous")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

/// A market that trades when the test says so. Spot, because its REST allows so many restarts a minute.
fn market() -> ExchangeBuilder {
    btcusdt().market(Market::Spot).connection_limit(100_000, std::time::Duration::from_secs(300))
}

async fn open_market() -> Exchange {
    market().script(Script::default()).start().await.expect("loopback has a free port")
}

/// One life of the command.
struct Life {
    child: Child,
    records: Growing<Vec<String>>,
    log: Growing<Vec<String>>,
    readers: [JoinHandle<()>; 2],
}

/// What a life left behind.
struct Remains {
    status: ExitStatus,
    records: Vec<Value>,
    log: String,
}

impl Life {
    fn begin(exchange: &Exchange, directory: &Directory, more: &[&str]) -> Self {
        let (url, rest) = (exchange.stream_url(), exchange.rest_url());
        let state = directory.state();
        let mut command = Command::new(env!("CARGO_BIN_EXE_cvd-stream"));
        command.args(["--url", &url, "--rest-url", &rest, "--market", "spot", "--output", "json"]);
        command
            .args(["--print-every", "1", "--backoff-max", "100ms"])
            .arg("--state-dir")
            .arg(state)
            .args(more);
        command.env_clear().current_dir(env!("CARGO_TARGET_TMPDIR"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the command is there");
        let (records, log) = (Growing::default(), Growing::default());
        let stdout = child.stdout.take().expect("it is piped");
        let stderr = child.stderr.take().expect("it is piped");
        let readers =
            [tokio::spawn(collect(stdout, records.clone())), tokio::spawn(collect(stderr, log.clone()))];
        Self { child, records, log, readers }
    }

    /// Waits for a record of this id.
    async fn id(&self, id: i64) {
        let mark = format!("\"agg_trade_id\":{id},");
        self.records.until(|lines| lines.iter().any(|line| line.contains(&mark))).await;
    }

    /// Waits for a line of diagnostics with this in it, and gives it.
    async fn line(&self, part: &str) -> String {
        let lines = self.log.until(|lines| lines.iter().any(|line| line.contains(part))).await;
        lines.into_iter().find(|line| line.contains(part)).expect("it was waited for")
    }

    async fn kill(mut self) -> Remains {
        // One that has ended already has a status all the same.
        self.child.start_kill().unwrap_or_default();
        self.ended().await
    }

    async fn terminate(self) -> Remains {
        let pid = self.child.id().expect("it is running");
        let script = format!("kill -TERM {pid}");
        let sent = Command::new("/bin/sh").args(["-c", &script]).status().await.expect("a shell");
        assert!(sent.success());
        self.ended().await
    }

    async fn ended(mut self) -> Remains {
        let status = self.child.wait().await.expect("it was started");
        for reader in self.readers {
            reader.await.expect("readers do not panic");
        }
        let records = self.records.now().iter().map(|line| serde_json::from_str(line).expect(line)).collect();
        Remains { status, records, log: self.log.now().join("\n") }
    }
}

/// Whole lines only: a process that is killed may leave half a one.
async fn collect(from: impl AsyncRead + Unpin, into: Growing<Vec<String>>) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
        if line.pop() == Some(b'\n') {
            let text = String::from_utf8(std::mem::take(&mut line)).expect("lines are UTF-8");
            into.grow(|lines| lines.push(text));
        }
    }
}

impl Remains {
    fn of_type<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.records.iter().filter(move |record| record["type"] == kind)
    }

    /// The totals of the only symbol.
    fn totals(&self) -> &Value {
        assert!(self.status.success(), "{}", self.log);
        let last = self.records.last().expect("there are records");
        assert_eq!(last["type"], "final", "{}", self.log);
        &last["symbols"][0]
    }
}

/// CVD as text, Z and EMA by their bits.
type Numbers = (String, Option<u64>, Option<u64>);

/// What a record says.
fn numbers(record: &Value) -> Numbers {
    let bits = |name: &str| record[name].as_f64().map(f64::to_bits);
    (record["cvd"].as_str().expect("CVD is text").to_owned(), bits("z"), bits("ema"))
}

fn expected(reading: &Reading) -> Numbers {
    (reading.cvd.to_string(), reading.z.map(f64::to_bits), reading.ema.map(f64::to_bits))
}

/// The readings of one run over the ledger from an id on, by id.
fn unbroken(exchange: &Exchange, from: i64) -> BTreeMap<i64, Reading> {
    let mut cvd = Cvd::new(CvdConfig::default()).expect("the defaults are in range");
    let trades = exchange.ledger().trades(&symbol("BTCUSDT"));
    let trades = trades.iter().filter(|trade| trade.id.0 >= from);
    trades.map(|trade| (trade.id.0, cvd.apply(trade).expect("the model's trades are good"))).collect()
}

fn last_id(exchange: &Exchange) -> i64 {
    exchange.ledger().last_id(&symbol("BTCUSDT")).expect("there were trades").0
}

#[tokio::test]
async fn a_restart_goes_on_with_the_next_ordinal_and_fetches_what_it_missed() {
    story(async {
        let (exchange, directory) = (open_market().await, Directory::new());
        let life = Life::begin(&exchange, &directory, &[]);
        exchange.play(Act::Trades(300)).await;
        life.id(last_id(&exchange)).await;
        let first = life.terminate().await;
        assert_eq!(first.totals()["trades"], 300);
        let line = format!("no checkpoint of BTCUSDT in {} yet", directory.state().display());
        assert!(first.log.contains(&line), "{}", first.log);

        exchange.play(Act::SkipIds(50)).await;
        let life = Life::begin(&exchange, &directory, &[]);
        let resumed = life.line("resumed BTCUSDT at id").await;
        let cvd = first.totals()["cvd"].as_str().unwrap();
        assert!(resumed.contains(&format!("cvd={cvd}, saved ")), "{resumed}");
        assert!(resumed.ends_with(" s ago; trades since then are fetched"), "{resumed}");
        exchange.play(Act::Trades(10)).await;
        life.id(last_id(&exchange)).await;
        let second = life.terminate().await;
        let (totals, first_id) = (second.totals(), first.totals()["first_id"].as_i64().unwrap());
        let readings = unbroken(&exchange, first_id);
        assert_eq!(numbers(totals), expected(readings.last_key_value().unwrap().1));
        assert_eq!((totals["trades"].as_u64(), totals["first_id"].as_i64()), (Some(360), Some(first_id)));
        assert_eq!(
            (totals["missing_trades"].as_u64(), totals["quality"].as_str()),
            (Some(0), Some("complete"))
        );
        let ids: Vec<_> =
            second.of_type("cvd").map(|record| record["agg_trade_id"].as_i64().unwrap()).collect();
        assert_eq!(ids, (first_id + 300..first_id + 360).collect::<Vec<_>>());
        for record in second.of_type("cvd") {
            let reading = &readings[&record["agg_trade_id"].as_i64().unwrap()];
            assert_eq!(numbers(record), expected(reading), "{record}");
        }
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn the_first_checkpoint_is_there_before_the_first_record() {
    story(async {
        for _ in 0..5 {
            let (exchange, directory) = (open_market().await, Directory::new());
            // The only one besides the last, so that no other can be in its place.
            let life = Life::begin(&exchange, &directory, &["--state-interval", "1h"]);
            exchange.play(Act::Trades(20)).await;
            life.records.until(|lines| lines.iter().any(|line| line.contains("\"cvd\""))).await;
            let text = std::fs::read_to_string(directory.current()).expect("it is durable");
            let first = life.kill().await;
            let id = first.of_type("cvd").next().unwrap()["agg_trade_id"].as_i64().unwrap();
            assert!(text.contains(&format!("\"first_id\":{id},")), "{text}");
            // The record of every trade that was told and is not covered comes again.
            let life = Life::begin(&exchange, &directory, &[]);
            exchange.play(Act::Trades(1)).await;
            life.id(id + 20).await;
            let second = life.terminate().await;
            let ids: Vec<_> =
                second.of_type("cvd").map(|record| record["agg_trade_id"].as_i64().unwrap()).collect();
            assert_eq!(*ids.last().unwrap(), id + 20);
            assert!(ids[0] <= first.of_type("cvd").last().unwrap()["agg_trade_id"].as_i64().unwrap() + 1);
            assert_eq!(second.totals()["trades"], 21);
            stopped_in_peace(exchange).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_outage_that_rest_does_not_reach_back_over_is_named() {
    story(async {
        let (exchange, directory) = (open_market().await, Directory::new());
        let life = Life::begin(&exchange, &directory, &[]);
        exchange.play(Act::Trades(100)).await;
        life.id(last_id(&exchange)).await;
        let first = life.terminate().await;
        let lost_from = last_id(&exchange) + 1;
        exchange.play(Act::SkipIds(40)).await;
        exchange.play(Act::LoseFromRest(40)).await;

        let life = Life::begin(&exchange, &directory, &["--repair-deadline", "200ms"]);
        life.line("resumed").await;
        exchange.play(Act::Trades(30)).await;
        life.id(last_id(&exchange)).await;
        let second = life.terminate().await;
        let gap = second.of_type("gap").find(|gap| gap["event"] == "unrepaired").expect("a hole is named");
        assert_eq!(
            (gap["from_id"].as_i64(), gap["to_id"].as_i64(), gap["trades"].as_u64()),
            (Some(lost_from), Some(lost_from + 39), Some(40))
        );
        let totals = second.totals();
        assert_eq!((totals["trades"].as_u64(), totals["missing_trades"].as_u64()), (Some(130), Some(40)));
        assert_eq!(
            (&totals["quality"], &totals["first_id"]),
            (&Value::from("missing"), &first.totals()["first_id"])
        );

        // What is missing stays missing over the next restart.
        let life = Life::begin(&exchange, &directory, &[]);
        life.line("resumed").await;
        exchange.play(Act::Trades(1)).await;
        life.id(last_id(&exchange)).await;
        let third = life.terminate().await;
        assert_eq!(
            (&third.totals()["missing_trades"], &third.totals()["quality"]),
            (&Value::from(40), &Value::from("missing"))
        );
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn without_repair_what_was_missed_is_named_and_nothing_else_is_lost() {
    story(async {
        let (exchange, directory) = (open_market().await, Directory::new());
        let life = Life::begin(&exchange, &directory, &["--repair", "off"]);
        exchange.play(Act::Trades(100)).await;
        life.id(last_id(&exchange)).await;
        let first = life.terminate().await;
        assert_eq!(first.totals()["trades"], 100);
        exchange.play(Act::SkipIds(7)).await;
        let life = Life::begin(&exchange, &directory, &["--repair", "off"]);
        let said = life.line("resumed BTCUSDT").await;
        assert!(said.contains(" WARN ") && said.contains("they will be missing, and named"), "{said}");
        exchange.play(Act::Trades(3)).await;
        life.id(last_id(&exchange)).await;
        let second = life.terminate().await;
        let totals = second.totals();
        assert_eq!((totals["trades"].as_u64(), totals["missing_trades"].as_u64()), (Some(103), Some(7)));
        stopped_in_peace(exchange).await;
    })
    .await;
}
