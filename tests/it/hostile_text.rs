//! Text from outside that wants to be obeyed by a terminal, or to pass for a line of its own: in frames, close reasons,
//! answers of REST, listings, arguments, variables and files. Whatever the formats, it comes out as harmless text.

mod fakes;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use cvd_stream::config::OPTIONS;
use cvd_stream::exchange::{Act, AtEnd, Script};
use tokio::process::Command;

use crate::support::*;
use fakes::HttpServer;

/// Colours, clears and retitles; ends the line and forges another; C1, DEL, bidirectional and invisible characters.
const HOSTILE: &str =
    "x\u{1b}[31m\u{1b}]0;t\u{7}\u{9b}2J\u{7f}\u{85}\r\n2026 ERROR forged\u{202e}\u{2066}\u{200b}\u{feff}y";
const FORMATS: [(&str, &str); 6] = [
    ("text", "text"),
    ("text", "json"),
    ("text", "logfmt"),
    ("json", "text"),
    ("json", "json"),
    ("json", "logfmt"),
];

/// The command with nothing of our environment, in a directory of its own.
fn command(directory: &Scratch, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cvd-stream"));
    command.args(arguments).env_clear().env("COLUMNS", "100").current_dir(&directory.0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// A directory, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("hostile-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// What was written, on both streams; panics over whatever a terminal would obey.
#[track_caller]
fn harmless(output: &Output, of: &str) -> String {
    let text = [&output.stdout, &output.stderr].map(|bytes| std::str::from_utf8(bytes).expect("it is UTF-8"));
    for line in text.iter().flat_map(|text| text.split('\n')) {
        assert!(!line.contains(is_obeyed), "{of}: {line:?}");
        assert!(!line.starts_with("2026 ERROR forged"), "{of} forged a line");
    }
    text.concat()
}

/// Written out, so that it shares nothing with what it examines.
fn is_obeyed(c: char) -> bool {
    matches!(c, '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Whether a line of the log has the shape of its format, with the word for what happened.
fn has_its_event(line: &str, format: &str) -> bool {
    match format {
        "json" => {
            let object: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
            ["timestamp", "level", "event", "message", "target"].iter().all(|name| object[name].is_string())
        }
        "logfmt" => line.starts_with("ts=2") && line.contains(" level=") && line.contains(" event="),
        _ => line.as_bytes()[23] == b'Z' && !line.contains("event="),
    }
}

/// Frames of every kind that have words in them.
fn frames() -> Vec<Act> {
    let words = json(HOSTILE);
    let trade = |symbol: &str| {
        format!(
            "{{\"e\":\"aggTrade\",\"E\":1,\"s\":{symbol},\"a\":1,\"p\":\"1\",\"q\":\"1\",\"f\":1,\"l\":1,\"T\":1,\"m\":true}}"
        )
    };
    let texts = [
        HOSTILE.to_owned(),
        trade(&words),
        trade(&format!("\"{HOSTILE}\"")),
        trade("\"DOGE\u{202e}USDT\""),
        trade("\"BTCUSDT\"").replace("\"1\"", &words),
        format!("{{\"code\":2,\"msg\":{words},\"id\":9}}"),
        format!("{{\"error\":{{\"code\":2,\"msg\":{words}}},\"id\":9}}"),
        format!("{{\"stream\":{words},\"data\":{{\"e\":{words}}}}}"),
        format!("{{\"e\":\"serverShutdown\",\"E\":1,\"reason\":{words}}}"),
    ];
    let mut acts: Vec<Act> = texts.into_iter().map(Act::Frame).collect();
    acts.push(Act::Binary(HOSTILE.as_bytes().to_vec()));
    acts.push(Act::Binary(b"\0\x1b[2J\x9b\xff".to_vec()));
    acts
}

/// What an operator sees, without what differs from run to run: stamps, waits, and whether the feed or the processor was the
/// first to speak.
fn seen(log: &str) -> String {
    let lines = log.lines().filter(|line| line.contains("forged"));
    let without_stamp = lines.map(|line| &line["2026-11-20T00:00:00.123Z ".len()..]);
    let mut lines: Vec<_> =
        without_stamp.map(|line| line.split("; next attempt in").next().unwrap_or_default()).collect();
    lines.sort_unstable();
    lines.dedup();
    lines.join("\n")
}

#[tokio::test]
async fn what_an_exchange_says_is_shown_as_what_it_is() {
    story(async {
        let words = json(HOSTILE);
        let rest = HttpServer::answering(400, &format!("{{\"code\":-1,\"msg\":{words}}}")).await;
        let exchange = exchange([
            Act::Trades(10),
            Act::Frame(HOSTILE.to_owned()),
            Act::Frame(format!("{{\"e\":\"aggTrade\",\"s\":{words}}}")),
            Act::Frame(format!("{{\"code\":2,\"msg\":{words},\"id\":9}}")),
            Act::Binary(HOSTILE.as_bytes().to_vec()),
            Act::SkipIds(3),
            Act::Trades(10),
            Act::Close { code: 1001, reason: HOSTILE.to_owned() },
            Act::WaitForConnection(2),
            Act::Trades(10),
        ])
        .await;
        let (url, rest, scratch) = (exchange.stream_url(), rest.url(), Scratch::new("golden"));
        let arguments = ["--url", &url, "--rest-url", &rest, "--count", "30"];
        let output = command(&scratch, &arguments).output().await.unwrap();
        harmless(&output, "the golden run");
        insta::assert_snapshot!("hostile_lines", seen(std::str::from_utf8(&output.stderr).unwrap()));
        exchange.stop().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn nothing_that_an_exchange_says_gets_to_a_terminal_as_it_is() {
    story(async {
        for (records, diagnostics) in FORMATS {
            let rest =
                HttpServer::answering(400, &format!("{{\"code\":-1,\"msg\":{}}}", json(HOSTILE))).await;
            let mut acts = vec![Act::Trades(10)];
            acts.extend(frames());
            acts.extend([Act::SkipIds(3), Act::Trades(10)]);
            acts.push(Act::Close { code: 1001, reason: HOSTILE.to_owned() });
            acts.extend([Act::WaitForConnection(2), Act::Trades(10)]);
            let exchange = exchange(acts).await;
            let (url, rest_url, scratch) = (exchange.stream_url(), rest.url(), Scratch::new("exchange"));
            let arguments = ["--url", &url, "--rest-url", &rest_url, "--count", "30", "--print-every", "1"];
            let formats = ["--output", records, "--log-format", diagnostics, "--log-level", "debug"];
            let output = command(&scratch, &[&arguments[..], &formats].concat()).output().await.unwrap();
            let text = harmless(&output, &format!("{records} and {diagnostics}"));
            assert_eq!(output.status.code(), Some(0), "{text}");
            for line in std::str::from_utf8(&output.stderr).unwrap().lines() {
                assert!(has_its_event(line, diagnostics), "{diagnostics}: {line}");
            }
            // It was said, and in a harmless way.
            assert!(text.matches("forged").count() > 5, "{text}");
            exchange.stop().await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn nothing_that_refuses_a_handshake_or_lists_symbols_gets_to_a_terminal_as_it_is() {
    story(async {
        let listing = |symbol: &str| {
            let words = json(HOSTILE);
            format!("{{\"symbol\":{symbol},\"status\":{words},\"contractType\":{words},\"baseAsset\":{words},\"quoteAsset\":\"USDT\"}}")
        };
        let listings = [listing("\"BTCUSDT\""), listing(&json(HOSTILE)), listing("\"B\u{202e}TC\"")].join(",");
        let answers = [
            (404, HOSTILE.to_owned()),
            (451, format!("{{\"code\":0,\"msg\":{}}}", json(HOSTILE))),
            (200, format!("{{\"symbols\":[{listings}]}}")),
            (200, format!("{{\"symbols\":[{}]}}", json(HOSTILE))),
        ];
        let scratch = Scratch::new("refusal");
        for (status, body) in &answers {
            let server = HttpServer::answering(*status, body).await;
            let (stream, rest) = (format!("ws://127.0.0.1:{}/ws/btcusdt@aggTrade", server.port), server.url());
            let bare = format!("ws://127.0.0.1:{}/ws", server.port);
            // How records look changes nothing about what is logged.
            for (records, diagnostics) in FORMATS.into_iter().skip(2).take(3) {
                let formats = ["--output", records, "--log-format", diagnostics, "--duration", "200ms"];
                for way in [
                    &["--url", &stream][..],
                    &["--url", &stream, "--rest-url", &rest],
                    &["--url", &bare, "--rest-url", &rest, "--symbol", "BTC*"],
                ] {
                    let output = command(&scratch, &[way, &formats].concat()).output().await.unwrap();
                    harmless(&output, &format!("{status} {way:?} {formats:?}"));
                }
            }
            for json in [&["doctor"][..], &["doctor", "--json"]] {
                let way = ["--url", &stream, "--rest-url", &rest];
                let output = command(&scratch, &[json, &way].concat()).output().await.unwrap();
                harmless(&output, &format!("{status} {json:?}"));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn no_argument_variable_or_env_file_is_shown_as_it_is() {
    story(async {
        let scratch = Scratch::new("arguments");
        let flag = format!("--{HOSTILE}");
        for arguments in [
            &["--symbol", HOSTILE][..],
            &[HOSTILE],
            &[&flag],
            &["--count", HOSTILE],
            &["fetch", HOSTILE],
            &["replay", HOSTILE],
            &["replay", "--symbol", HOSTILE, HOSTILE],
            &["doctor", "--symbol", HOSTILE],
            &["--symbols-file", HOSTILE],
        ] {
            let output = command(&scratch, arguments).output().await.unwrap();
            let text = harmless(&output, &format!("{arguments:?}"));
            assert!(!output.status.success() && text.contains("forged"), "{arguments:?}: {text}");
        }
        for option in OPTIONS.iter().filter(|option| option.value_name.is_some()) {
            let flag = format!("--{}={HOSTILE}", option.name);
            let output = command(&scratch, &["config", &flag]).output().await.unwrap();
            harmless(&output, option.name);
            let name = option.variables().into_iter().next().expect("an option has a variable");
            let output = command(&scratch, &["config"]).env(name, HOSTILE).output().await.unwrap();
            harmless(&output, option.name);
        }
        let unknown = format!("CVD_STREAM_{HOSTILE}");
        let output = command(&scratch, &["config"]).env(&unknown, HOSTILE).output().await.unwrap();
        harmless(&output, "an unknown variable");
        std::fs::write(
            scratch.0.join(".env"),
            format!("SYMBOL='{HOSTILE}'\nCVD_STREAM_X='{HOSTILE}'\n{HOSTILE}\n"),
        )
        .unwrap();
        let output = command(&scratch, &["config"]).output().await.unwrap();
        insta::assert_snapshot!("hostile_env_file", harmless(&output, ".env"));
    })
    .await;
}

#[tokio::test]
async fn no_file_that_is_read_is_shown_as_it_is_nor_is_its_name() {
    story(async {
        let scratch = Scratch::new("files");
        let name = "a\u{1b}[31m\u{9b}\u{202e}\n2026 ERROR forged";
        let write = |name: &str, text: &str| {
            std::fs::write(scratch.0.join(name), text).unwrap();
        };
        let header = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n";
        let rows = "1,1,1,1,1,1700000000000,true\n2,\u{1b}[31m,1,2,2,1700000000001,true\n\u{9b}\u{202e},\r\n3,1,1,3,3,1700000000002,true\n";
        write(&format!("{name}.csv"), &format!("{header}{rows}"));
        write(&format!("{name}-garbage.csv"), HOSTILE);
        write(&format!("{name}.txt"), &format!("BTCUSDT\n{HOSTILE}\n"));
        let (table, garbage, list) = (format!("{name}.csv"), format!("{name}-garbage.csv"), format!("{name}.txt"));
        for (records, diagnostics) in FORMATS {
            let formats = ["--output", records, "--log-format", diagnostics];
            for (arguments, code) in [
                (&["replay", "--symbol", "BTCUSDT", &table, &garbage][..], 0),
                (&["replay", "--strict", "--symbol", "BTCUSDT", &table, &garbage], 1),
                (&["replay", "--symbol", "BTCUSDT", &garbage], 1),
                (&["--symbols-file", &list], 1),
            ] {
                let output = command(&scratch, &[arguments, &formats].concat()).output().await.unwrap();
                let text = harmless(&output, &format!("{arguments:?} {formats:?}"));
                assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
            }
        }
    })
    .await;
}

/// Whatever is logged, at any level and in any format.
#[tokio::test]
async fn credentials_stand_in_no_line_of_any_format() {
    story(async {
        const CANARY: &str = "c4nary";
        let scratch = Scratch::new("canary");
        let exchange = exchange(Script::default().at_end(AtEnd::Market { per_second: 1_000 })).await;
        let refusing = HttpServer::answering(404, "no").await;
        let with_credentials = |url: &str| {
            let url = url.replacen("ws://", &format!("ws://{CANARY}user:{CANARY}@"), 1);
            let mark = if url.contains('?') { '&' } else { '?' };
            format!("{url}{mark}listenKey={CANARY}&token={CANARY}")
        };
        let good = with_credentials(&exchange.stream_url());
        let refused = with_credentials(&format!("ws://127.0.0.1:{}/ws/btcusdt@aggTrade", refusing.port));
        let rest = exchange.rest_url().replacen("http://", &format!("http://{CANARY}:{CANARY}@"), 1);
        let proxy = format!("http://{CANARY}:{CANARY}@127.0.0.1:{}", refusing.port);
        for format in ["text", "json", "logfmt"] {
            let loud = ["--log-level", "trace", "--log-format", format, "--count", "10"];
            for way in [
                &["--url", &good][..],
                &["--url", &refused],
                &["--url", &good, "--rest-url", &rest, "--duration", "200ms"],
                &["--url", &good, "--proxy", &proxy, "--duration", "200ms"],
            ] {
                let output = command(&scratch, &[way, &loud].concat()).output().await.unwrap();
                let text = harmless(&output, format);
                assert!(!text.is_empty() && !text.contains(CANARY), "{way:?}: {text}");
            }
        }
        exchange.stop().await.unwrap();
    })
    .await;
}
