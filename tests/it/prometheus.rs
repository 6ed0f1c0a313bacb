//! A real Prometheus scrapes a demonstration and a monitor that things happen to; the rules fire and end, and every
//! question of the dashboard has an answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use cvd_stream::app::App;
use cvd_stream::exchange::{Act, AtEnd, Exchange, Script};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::support::*;

/// Prometheus looks twice a second, and a story of many looks takes a while.
const PATIENCE: Duration = Duration::from_secs(150);

/// A program that is ended with the test.
struct Running {
    child: Child,
    address: SocketAddr,
}

impl Running {
    /// Starts it, and waits until standard error tells the address after `mark`.
    async fn start(command: &mut Command, mark: &str) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let address = loop {
            let line = lines.next_line().await.expect("UTF-8").expect("it says where it listens");
            if let Some((_, rest)) = line.split_once(mark) {
                break rest.split([' ', '/']).next().expect("a word").parse().expect("an address");
            }
        };
        // What it says later must not block it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, address }
    }
}

/// A Prometheus of these targets, with the rules of the package in quick motion: what takes an hour takes seconds.
struct Prometheus {
    running: Running,
    directory: PathBuf,
}

impl Prometheus {
    async fn of(targets: &[SocketAddr]) -> Option<Self> {
        if !is_there() {
            return None;
        }
        let directory =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("prometheus-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("rules.yml"), quick(&packaged("prometheus/cvd-stream.rules.yml")))
            .unwrap();
        let targets: Vec<String> = targets.iter().map(|target| format!("\"{target}\"")).collect();
        let config = format!(
            "global:\n  scrape_interval: 500ms\n  evaluation_interval: 500ms\nrule_files: [rules.yml]\nscrape_configs:\n  - \
             job_name: cvd-stream\n    static_configs:\n      - targets: [{}]\n",
            targets.join(", ")
        );
        std::fs::write(directory.join("prometheus.yml"), config).unwrap();
        let mut command = Command::new("prometheus");
        command.current_dir(&directory).args([
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            "--web.listen-address=127.0.0.1:0",
            "--log.format=logfmt",
        ]);
        Some(Self { running: Running::start(&mut command, "msg=\"Listening on\" address=").await, directory })
    }

    async fn ask(&self, path: &str) -> Value {
        loop {
            let (status, body) = self.answer(path).await;
            // It has just begun.
            if status != 503 {
                return serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {path}: {body}"));
            }
            tokio::task::yield_now().await;
        }
    }

    async fn answer(&self, path: &str) -> (u16, String) {
        let address = self.running.address;
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it is taken");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an answer");
        let text = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, if head.contains("chunked") { unchunked(body) } else { body.to_owned() })
    }

    /// What an expression comes to now.
    async fn query(&self, expression: &str) -> Vec<Value> {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = self.ask(&format!("/api/v1/query?query={encoded}")).await;
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        answer["data"]["result"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until an expression comes to something.
    async fn until_some(&self, expression: &str) {
        while self.query(expression).await.is_empty() {
            tokio::task::yield_now().await;
        }
    }

    /// The alerts that fire, by name.
    async fn firing(&self) -> BTreeMap<String, usize> {
        let mut firing = BTreeMap::new();
        let answer = self.ask("/api/v1/alerts").await;
        for alert in answer["data"]["alerts"].as_array().expect("alerts") {
            if alert["state"] == "firing" {
                *firing.entry(alert["labels"]["alertname"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
        firing
    }

    async fn until_firing(&self, name: &str, is_firing: bool) {
        while self.firing().await.contains_key(name) != is_firing {
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.running.child.start_kill().ok();
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

fn is_there() -> bool {
    let asked = std::process::Command::new("prometheus").arg("--version").stdin(Stdio::null()).output();
    if asked.is_ok_and(|output| output.status.success()) {
        return true;
    }
    let required = std::env::var_os("CVD_STREAM_OPS_REQUIRED").is_some_and(|value| value == "1");
    assert!(!required, "prometheus is not installed, but CVD_STREAM_OPS_REQUIRED is 1");
    use std::io::Write;
    // Past the capturing of what tests print: a skipped proof should be seen.
    writeln!(std::io::stderr(), "skipped: prometheus is not installed").ok();
    false
}

fn packaged(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The same rules, but windows of hours and minutes are seconds, and nothing has to last before it fires.
fn quick(rules: &str) -> String {
    let lines = rules.lines().map(|line| {
        if line.trim_start().starts_with("for: ") {
            return line.replace(line.trim_start(), "for: 0s");
        }
        let line = ["[1h]", "[15m]", "[10m]", "[5m]"]
            .iter()
            .fold(line.to_owned(), |line, window| line.replace(window, "[5s]"));
        line.replace("offset 1h", "offset 5s")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A body that came in pieces.
fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).expect("a length");
        if length == 0 {
            break;
        }
        whole.push_str(&rest[..length]);
        body = rest[length..].trim_start_matches("\r\n");
    }
    whole
}

/// What the dashboard asks, with everything in its variables.
fn questions() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&packaged("grafana/cvd-stream.json")).expect("JSON");
    let mut found = Vec::new();
    collect(&dashboard, &mut found);
    let filled = found.into_iter().map(|question| {
        // What is shown only if there is something is asked for as it is.
        let question = question.replace(" > 0", "");
        let question =
            question.replace("$__rate_interval", "5s").replace("$__range", "5s").replace("$__interval", "1s");
        ["instance", "market", "symbol", "job", "shard"].iter().fold(question, |question, name| {
            question.replace(&format!("${{{name}}}"), ".*").replace(&format!("${name}"), ".*")
        })
    });
    filled.collect()
}

fn collect(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            into.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| collect(value, into));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, into)),
        _ => {}
    }
}

/// The bodies of the rules: what each alert compares, without the comparison that is rarely true.
fn metrics_of(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    let mut names: Vec<String> = words
        .filter(|word| {
            word.starts_with("cvd_stream_") || word.starts_with("process_") || word.starts_with("instance")
        })
        .filter(|word| word.contains("cvd_stream_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    names
}

/// A monitor of this exchange that is served; nothing is repaired, so that a hole is one.
async fn served(exchange: &Exchange, state: &Path) -> (Monitor, SocketAddr) {
    let mut config = config(&exchange.stream_url());
    config.http.listen = Some("127.0.0.1:0".parse().expect("an address"));
    config.repair.enabled = false;
    // Three refusals are some seconds, which is many looks.
    config.backoff_max = Duration::from_secs(10);
    config.state.dir = Some(state.to_owned());
    let (opened, address) = oneshot::channel();
    let monitor = Monitor::watch(App::new(config).on_http(move |at| opened.send(at).unwrap()));
    (monitor, address.await.expect("it is served before anything else"))
}

#[tokio::test]
async fn a_real_prometheus_scrapes_a_demonstration_the_rules_fire_and_end_and_the_dashboard_is_answered() {
    if !is_there() {
        return;
    }
    let told = async {
        let mut demo = Command::new(env!("CARGO_BIN_EXE_cvd-stream"));
        demo.args(["demo", "--faults", "--duration", "10m", "--http", "0"]);
        demo.env_clear().current_dir(env!("CARGO_TARGET_TMPDIR"));
        let demo = Running::start(&mut demo, "Listening: http://").await;
        let exchange = exchange(Script::default().at_end(AtEnd::Market { per_second: 50 })).await;
        let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("scraped-{}", std::process::id()));
        let (monitor, address) = served(&exchange, &state).await;
        let prometheus = Prometheus::of(&[demo.address, address]).await.expect("it is there");
        prometheus.until_some("count(up == 1) == 2").await;

        // Everything that the dashboard asks and the rules look at is there.
        let demo_only = format!("{{instance=\"{}\"}}", demo.address);
        prometheus.until_some(&format!("cvd_stream_cvd_zscore{demo_only}")).await;
        prometheus.until_some(&format!("cvd_stream_clock_offset_seconds{demo_only}")).await;
        for question in questions() {
            timeout(Duration::from_secs(30), prometheus.until_some(&question))
                .await
                .unwrap_or_else(|_| panic!("the dashboard gets no answer to: {question}"));
        }
        for name in metrics_of(&packaged("prometheus/cvd-stream.rules.yml")) {
            let is_histogram = name.ends_with("_bucket");
            timeout(Duration::from_secs(30), prometheus.until_some(&name))
                .await
                .unwrap_or_else(|_| panic!("the rules look at {name}, which is not there ({is_histogram})"));
        }

        // A hole that nobody fills.
        assert!(!prometheus.firing().await.contains_key("CvdStreamMissingTrades"));
        exchange.play(Act::SkipIds(7)).await;
        prometheus.until_firing("CvdStreamMissingTrades", true).await;
        prometheus.until_firing("CvdStreamDegraded", true).await;
        prometheus.until_firing("CvdStreamMissingTrades", false).await;
        assert!(prometheus.firing().await.contains_key("CvdStreamDegraded"), "that hole stays");

        // A line that is cut and cannot be made anew for a while.
        exchange.play(Act::Refuse { status: 503, retry_after: None, times: 3 }).await;
        exchange.play(Act::Drop).await;
        prometheus.until_firing("CvdStreamDisconnected", true).await;
        prometheus.until_firing("CvdStreamNotReady", true).await;
        prometheus.until_firing("CvdStreamDisconnected", false).await;
        prometheus.until_firing("CvdStreamNotReady", false).await;
        monitor.stop().await.unwrap();
        std::fs::remove_dir_all(&state).ok();
    };
    timeout(PATIENCE, told).await.expect("the story must not hang");
}
