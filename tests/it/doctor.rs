//! `cvd-stream doctor`: the healthy state, and every broken one by its name and exit code.

use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;

use cvd_stream::clock::Clock;
use cvd_stream::config::Config;
use cvd_stream::doctor::{Check, Finding, Level, Report, Subject, examine};
use cvd_stream::exchange::{Act, AtEnd, Exchange, ExchangeBuilder, Routing, Script};
use cvd_stream::feed::endpoint::Endpoint;
use cvd_stream::repair::rest::RestBase;
use cvd_stream::units::UnixMillis;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::{JoinHandle, JoinSet};

use crate::support::*;

/// The command with nothing of our environment and no `.env` in sight.
fn doctor(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cvd-stream"));
    command.arg("doctor").args(arguments).env_clear().current_dir(env!("CARGO_TARGET_TMPDIR"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

const MARKET: AtEnd = AtEnd::Market { per_second: 200 };

/// A busy market by the system's clock.
fn market(script: impl Into<Script>) -> ExchangeBuilder {
    btcusdt().wall_clock().script(script.into().at_end(MARKET))
}

async fn started(builder: ExchangeBuilder) -> Exchange {
    builder.start().await.expect("loopback has a free port")
}

/// What the command says about this exchange.
async fn examined(exchange: &Exchange, more: &[&str]) -> Said {
    let (url, rest) = (exchange.stream_url(), exchange.rest_url());
    said(&[&["--url", &url, "--rest-url", &rest][..], more].concat()).await
}

async fn said(arguments: &[&str]) -> Said {
    let Output { status, stdout, stderr } = doctor(arguments).output().await.expect("the command starts");
    assert_eq!(String::from_utf8_lossy(&stderr), "", "diagnostics");
    Said { text: String::from_utf8(stdout).expect("UTF-8"), code: status.code() }
}

/// What the command said.
struct Said {
    text: String,
    code: Option<i32>,
}

impl Said {
    /// The line of one check.
    fn line(&self, check: &str) -> &str {
        let of_check =
            |line: &&str| line.get(6..).is_some_and(|rest| rest.starts_with(&format!("{check:<16}")));
        self.text.lines().find(of_check).unwrap_or_else(|| panic!("no line of {check}:\n{}", self.text))
    }

    /// The first failing line, without its variable parts, and the exit code.
    fn cause(&self) -> (String, Option<i32>) {
        let first = self.text.lines().find(|line| line.starts_with("fail"));
        (masked(first.unwrap_or_else(|| panic!("nothing fails:\n{}", self.text))), self.code)
    }
}

/// The text without ports, times and counts.
fn masked(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, number) = rest.split_at(at);
        let end = number.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(number.len());
        let digits = number[..end].trim_end_matches('.');
        let after = &number[digits.len()..];
        out.push_str(before);
        rest = after;
        if out.ends_with("127.0.0.1:") {
            out.push_str("PORT");
        } else if let Some(unit) = [" ms", " s "].into_iter().find(|unit| after.starts_with(unit)) {
            out.push_str("TIME");
            rest = &after[unit.trim_end().len()..];
        } else if after.starts_with(" s\n")
            || after.starts_with(" s,")
            || after.starts_with(" s;")
            || after == " s"
        {
            out.push_str("TIME");
            rest = &after[2..];
        } else if [" trades", " newer"].into_iter().any(|what| after.starts_with(what))
            || out.ends_with("used ")
        {
            out.push('N');
        } else {
            out.push_str(digits);
        }
    }
    out + rest
}

/// A listener that shows a certificate which nobody has signed.
struct SelfSigned {
    /// The certificate.
    pem: String,
    task: JoinHandle<()>,
}

async fn untrusted() -> (u16, SelfSigned) {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows them")
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], key.signing_key.into())
        .expect("key and certificate belong together");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let task = tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            // Whether the client trusts it or turns away, it gets no more.
            drop(acceptor.accept(socket).await);
        }
    });
    (port, SelfSigned { pem: key.cert.pem(), task })
}

#[tokio::test]
async fn where_all_is_well_every_line_says_so() {
    story(async {
        let exchange = started(market([])).await;
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("doctor-healthy");
        std::fs::create_dir_all(&directory).expect("a directory of our own");
        let shown = directory.display().to_string();
        let healthy = examined(&exchange, &["--state-dir", &shown]).await;
        // A clock is ahead or behind by a part of a millisecond.
        let text = masked(&healthy.text.replace(&shown, "DIR").replace("ahead of the", "behind the"));
        insta::assert_snapshot!(text, @r#"
        ok    configuration   BTCUSDT on usdm, settings from 3 flags
        ok    proxy           none
        ok    DNS             127.0.0.1 is an address, no name to look up
        ok    TCP             127.0.0.1:PORT answers in TIME
        ok    TLS             not used: the stream of this machine is not encrypted
        ok    REST            http://127.0.0.1:PORT answers in TIME; weight used N of 2400
        ok    symbol          BTCUSDT is TRADING
        ok    clock           TIME behind the exchange (±TIME)
        ok    state directory DIR: writable, no checkpoint yet
        ok    stream          ws://127.0.0.1:PORT/market/stream?streams=btcusdt@aggTrade opened in TIME
        ok    route           first trade after TIME, N trades in TIME
        all good
        "#);
        assert_eq!(healthy.code, Some(0));
        assert_eq!(
            std::fs::read_dir(&directory).expect("it is still there").count(),
            0,
            "nothing is left behind"
        );
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn programs_are_told_the_same_as_people() {
    story(async {
        let exchange = started(market([])).await;
        let (people, programs) = tokio::join!(examined(&exchange, &[]), examined(&exchange, &["--json"]));
        let record: Value = serde_json::from_str(&programs.text).expect("one JSON object");
        assert_valid(&schema(), &programs.text);
        assert_eq!((people.code, programs.code), (Some(0), Some(0)));
        assert_eq!(record["worst"], "ok");
        let checks = record["checks"].as_array().expect("a list");
        assert_eq!(checks.len() + 1, people.text.lines().count());
        for (check, line) in checks.iter().zip(people.text.lines()) {
            let said = check["said"].as_str().expect("a text");
            // The clocks are measured anew each time: less than a millisecond apart, on either side.
            let same = |text: &str| masked(text).replace("behind", "ahead of");
            assert!(same(line).ends_with(&same(said)), "{check} {line}");
        }
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn nobody_listens() {
    story(async {
        let exchange = started(market([])).await;
        exchange.stop_listening().await;
        let (cause, code) = examined(&exchange, &[]).await.cause();
        insta::assert_snapshot!(cause, @"fail  TCP             cannot connect to 127.0.0.1:PORT: Connection refused (os error 111): check the network and the firewall; where a proxy is the only way out, name it with --proxy");
        assert_eq!(code, Some(1));
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn the_location_is_not_served() {
    story(async {
        let refuse = Act::Refuse { status: 451, retry_after: None, times: 9 };
        let exchange = started(btcusdt().wall_clock().script([refuse])).await;
        let (cause, code) = examined(&exchange, &[]).await.cause();
        insta::assert_snapshot!(cause, @"fail  stream          the server answered 451: the exchange does not serve this location; run where it does (spot market data is also at wss://data-stream.binance.vision)");
        assert_eq!(code, Some(1));
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn an_unrouted_address_is_named_with_the_one_to_use() {
    story(async {
        let exchange = started(market([]).routing(Routing::Routed)).await;
        let url = format!("{}/ws/btcusdt@aggTrade", exchange.stream_base());
        let said = said(&["--url", &url, "--rest-url", &exchange.rest_url()]).await;
        let (cause, code) = said.cause();
        insta::assert_snapshot!(cause, @"fail  route           opened, but no trade in TIME although REST has N newer ones: nothing will arrive from ws://127.0.0.1:PORT/ws/btcusdt@aggTrade: since 2026-04-23 the exchange accepts and acknowledges this un-routed address but sends no aggTrade over it; use ws://127.0.0.1:PORT/market/ws/btcusdt@aggTrade");
        assert!(said.line("stream").starts_with("ok"));
        assert_eq!(code, Some(1));
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn a_symbol_that_does_not_exist_is_named_with_the_one_that_was_meant() {
    story(async {
        let exchange = started(market([])).await;
        let url = format!("{}/market/ws", exchange.stream_base());
        let said = said(&["--url", &url, "--rest-url", &exchange.rest_url(), "--symbol", "BTCUSD"]).await;
        let (cause, code) = said.cause();
        insta::assert_snapshot!(cause, @"fail  symbol          the exchange lists no BTCUSD on usdm; did you mean BTCUSDT?: check --symbol, --group and --market");
        insta::assert_snapshot!(masked(said.line("route")), @"-     route           skipped: no trade can be expected: the exchange does not list the symbol");
        assert_eq!(code, Some(1));
        stopped_in_peace(exchange).await;
    })
    .await;
}

/// Four symbols, by the system's clock.
fn four() -> ExchangeBuilder {
    ["ETHUSDT", "SOLUSDT", "XRPUSDT"].iter().fold(market([]), |all, name| all.symbol(name))
}

/// What the command says of this exchange, whose address names no stream.
async fn examined_bare(exchange: &Exchange, more: &[&str]) -> Said {
    let (url, rest) = (format!("{}/market/stream", exchange.stream_base()), exchange.rest_url());
    said(&[&["--url", &url, "--rest-url", &rest][..], more].concat()).await
}

/// The lines of these checks, without their variable parts.
fn lines_of(said: &Said, checks: &[&str]) -> String {
    checks.iter().map(|check| masked(said.line(check)) + "\n").collect()
}

const FOLLOWING: [&str; 5] = ["configuration", "REST", "symbol", "stream", "route"];

#[tokio::test]
async fn a_symbols_file_that_cannot_be_used_is_a_failure_as_in_a_run() {
    story(async {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        std::fs::write(directory.join("doctor-broken.txt"), "BTCUSDT\nBTC/USDT\n")
            .expect("a file of our own");
        let missing = said(&["--symbols-file", "doctor-nowhere.txt"]).await;
        let (cause, code) = missing.cause();
        insta::assert_snapshot!(cause, @"fail  configuration   the symbols file doctor-nowhere.txt cannot be used: No such file or directory (os error 2): without it a run ends at once: name a file of symbols with --symbols-file");
        assert_eq!(code, Some(1));
        assert!(missing.line("stream").contains("skipped"), "{}", missing.text);
        let (cause, code) = said(&["--symbols-file", "doctor-broken.txt"]).await.cause();
        assert!(cause.contains("doctor-broken.txt cannot be used: line 2: `BTC/USDT` is neither"), "{cause}");
        assert_eq!(code, Some(1));
    })
    .await;
}

#[tokio::test]
async fn the_symbols_of_a_file_are_counted_with_their_connections() {
    story(async {
        let exchange = started(four()).await;
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        std::fs::write(directory.join("doctor-three.txt"), "BTCUSDT ETHUSDT\nXRPUSDT\n").expect("our own");
        let more = ["--symbols-file", "doctor-three.txt", "--streams-per-connection", "2"];
        let said = examined_bare(&exchange, &more).await;
        insta::assert_snapshot!(lines_of(&said, &FOLLOWING), @r#"
        ok    configuration   usdm:BTCUSDT, usdm:ETHUSDT, usdm:XRPUSDT, settings from 4 flags
        ok    REST            http://127.0.0.1:PORT answers in TIME; weight used N of 2400
        ok    symbol          3 symbols of usdm (usdm:BTCUSDT, usdm:ETHUSDT, usdm:XRPUSDT) over 2 connections
        ok    stream          ws://127.0.0.1:PORT/market/stream opened and acknowledged in TIME
        ok    route           first trade after TIME, N trades in TIME
        "#);
        assert_eq!(said.code, Some(0), "{}", said.text);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn what_patterns_mean_is_asked_and_said() {
    story(async {
        let exchange = started(four()).await;
        let more = ["--all", "--exclude", "SOLUSDT,NOPE*", "--streams-per-connection", "1"];
        let (some, all) = (examined_bare(&exchange, &more).await, examined_bare(&exchange, &["--all"]).await);
        insta::assert_snapshot!(lines_of(&some, &FOLLOWING), @r#"
        ok    configuration   usdm:* without usdm:SOLUSDT, usdm:NOPE*, settings from 5 flags
        ok    REST            http://127.0.0.1:PORT answers in TIME; weight used N of 2400
        warn  symbol          3 symbols of usdm (usdm:* without usdm:SOLUSDT, usdm:NOPE*) over 3 connections: the exclusion of usdm:NOPE* leaves nothing out of what is wanted: check its market and its letters, or drop it
        ok    stream          ws://127.0.0.1:PORT/market/stream opened and acknowledged in TIME
        ok    route           first trade after TIME, N trades in TIME
        "#);
        assert_eq!(some.code, Some(3), "{}", some.text);
        insta::assert_snapshot!(lines_of(&all, &FOLLOWING), @r#"
        ok    configuration   usdm:*, settings from 3 flags
        ok    REST            http://127.0.0.1:PORT answers in TIME; weight used N of 2400
        ok    symbol          4 symbols of usdm (usdm:*) over 1 connection
        ok    stream          ws://127.0.0.1:PORT/market/stream opened and acknowledged in TIME (a try with 3 of 4 symbols, on usdm)
        ok    route           first trade after TIME, N trades in TIME
        "#);
        assert_eq!(all.code, Some(0), "{}", all.text);
        assert!(!all.text.contains("answers in 0.0 ms"), "{}", all.text);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn a_selection_that_cannot_be_followed_is_a_failure() {
    story(async {
        let exchange = started(four()).await;
        for (more, cause) in [
            (&["--symbol", "*EUR"][..], "usdm:*EUR matches nothing that trades"),
            (&["--symbol", "*USDT,BTCUSD"], "the exchange lists no BTCUSD on usdm; did you mean BTCUSDT?"),
            (&["--symbol", "BTCUSDT", "--exclude", "BTC*"], "nothing is left to follow"),
        ] {
            let said = examined_bare(&exchange, more).await;
            assert!(said.cause().0.starts_with(&format!("fail  symbol          {cause}")), "{}", said.text);
            assert!(said.line("stream").contains("skipped"), "{}", said.text);
            assert_eq!(said.code, Some(1));
        }
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn without_a_name_rest_is_asked_all_the_same() {
    story(async {
        let (exchange, gone) = tokio::join!(started(four()), started(market([])));
        gone.stop_listening().await;
        let (url, rest) =
            (format!("{}/market/stream", exchange.stream_base()), gone.stream_base().replace("ws:", "http:"));
        let said = said(&["--url", &url, "--rest-url", &rest, "--all"]).await;
        assert!(said.line("REST").starts_with("fail  REST            no whole answer from"), "{}", said.text);
        assert!(said.line("symbol").ends_with("skipped: REST does not answer"), "{}", said.text);
        assert!(said.line("stream").contains("skipped: nobody can tell whom"), "{}", said.text);
        assert_eq!(said.code, Some(1));
        stopped_in_peace(exchange).await;
        stopped_in_peace(gone).await;
    })
    .await;
}

#[tokio::test]
async fn rest_is_away() {
    story(async {
        let (exchange, gone) = tokio::join!(started(market([])), started(market([])));
        gone.stop_listening().await;
        let rest = gone.stream_base().replace("ws:", "http:");
        let said = said(&["--url", &exchange.stream_url(), "--rest-url", &rest]).await;
        let (cause, code) = said.cause();
        insta::assert_snapshot!(cause, @"fail  REST            no whole answer from http://127.0.0.1:PORT: cannot connect to 127.0.0.1:PORT: Connection refused (os error 111): check the network, the proxy and --rest-url; while REST is away, what is lost is missing");
        assert!(said.line("route").starts_with("ok"));
        assert!(said.line("clock").starts_with("-     clock           skipped: "));
        assert_eq!(code, Some(1));
        stopped_in_peace(exchange).await;
        stopped_in_peace(gone).await;
    })
    .await;
}

#[tokio::test]
async fn rest_has_banned_this_address() {
    story(async {
        let ban = Act::RefuseRest { status: 418, retry_after: None, times: 9 };
        let exchange = started(market([ban])).await;
        let (cause, code) = examined(&exchange, &[]).await.cause();
        assert!(cause.starts_with("fail  REST            REST answered 418"), "{cause}");
        assert!(cause.contains("this address is banned until 20"), "{cause}");
        assert_eq!(code, Some(1));
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_worth_a_word() {
    story(async {
        let now = Clock::system().now().wall_ms();
        let ahead = UnixMillis(now + 600_000);
        let exchange = started(btcusdt().start_time(ahead).script(Script::default().at_end(MARKET))).await;
        let said = examined(&exchange, &[]).await;
        let line = said.line("clock");
        assert!(
            line.starts_with("warn  clock           ") && line.contains(" s behind the exchange (±"),
            "{line}"
        );
        assert!(line.ends_with("certificates may count as not valid"), "{line}");
        assert_eq!(said.code, Some(3), "{}", said.text);
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn the_name_does_not_exist() {
    story(async {
        let url = "wss://nothing.invalid/market/stream?streams=btcusdt@aggTrade";
        let said = said(&["--url", url]).await;
        assert!(said.line("DNS").starts_with("fail  DNS             "), "{}", said.text);
        assert!(said.line("DNS").contains("nothing.invalid"), "{}", said.text);
        for check in ["TCP", "TLS", "stream", "route"] {
            assert!(said.line(check)[22..].starts_with("skipped: "), "{}", said.text);
        }
        assert_eq!(said.code, Some(1));
    })
    .await;
}

#[tokio::test]
async fn a_certificate_that_nobody_has_signed_is_named() {
    story(async {
        let (port, serving) = untrusted().await;
        let url = format!("wss://localhost:{port}/market/stream?streams=btcusdt@aggTrade");
        let said = said(&["--url", &url]).await;
        let line = masked(&said.line("TLS").replace(&port.to_string(), "PORT"));
        insta::assert_snapshot!(line, @"fail  TLS             localhost: invalid peer certificate: UnknownIssuer: no known authority has signed this certificate: where a proxy in between opens TLS, trust its root with --ca-file; else install ca-certificates");
        assert_eq!(said.code, Some(1));
        serving.task.abort();
    })
    .await;
}

#[tokio::test]
async fn a_certificate_that_was_named_is_trusted_and_shown() {
    story(async {
        let (port, serving) = untrusted().await;
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("doctor-root.pem");
        std::fs::write(&file, serving.pem).expect("a file of our own");
        let url = format!("wss://localhost:{port}/market/stream?streams=btcusdt@aggTrade");
        let said = said(&["--url", &url, "--ca-file", &file.display().to_string()]).await;
        let line = masked(said.line("TLS"));
        assert!(
            line.starts_with("ok    TLS             TLS 1.3 with localhost in TIME; certificate valid "),
            "{line}"
        );
        assert!(line.ends_with(" days more, issued by rcgen self signed cert"), "{line}");
        // It speaks TLS and nothing else.
        assert!(said.line("stream").starts_with("fail"), "{}", said.text);
        serving.task.abort();
    })
    .await;
}

/// A proxy that answers every CONNECT with this head and, where that lets through, carries the bytes.
async fn proxy(answer: &'static str) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let serving = tokio::spawn(async move {
        let mut carried = JoinSet::new();
        while let Ok((mut client, _)) = listener.accept().await {
            carried.spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") && client.read_buf(&mut head).await.unwrap_or(0) > 0 {}
                let head = String::from_utf8_lossy(&head).into_owned();
                let to = head.split(' ').nth(1).unwrap_or_default();
                client.write_all(answer.as_bytes()).await.ok();
                if answer.starts_with("HTTP/1.1 200")
                    && let Ok(mut server) = TcpStream::connect(to).await
                {
                    tokio::io::copy_bidirectional(&mut client, &mut server).await.ok();
                }
            });
        }
    });
    (port, serving)
}

#[tokio::test]
async fn behind_a_proxy_all_is_well_too() {
    story(async {
        let exchange = started(market([])).await;
        let (port, serving) = proxy("HTTP/1.1 200 OK\r\n\r\n").await;
        let said = examined(&exchange, &["--proxy", &format!("http://me:secret@127.0.0.1:{port}")]).await;
        let lines: String =
            ["proxy", "DNS", "TCP", "route"].map(|check| masked(said.line(check)) + "\n").concat();
        insta::assert_snapshot!(lines, @r#"
        ok    proxy           http://***@127.0.0.1:PORT lets us through to 127.0.0.1:PORT
        -     DNS             skipped: left to the proxy
        -     TCP             skipped: left to the proxy
        ok    route           first trade after TIME, N trades in TIME
        "#);
        assert!(!said.text.contains("secret") && !said.text.contains("fail"), "{}", said.text);
        serving.abort();
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_does_not_let_us_through_is_named_without_its_password() {
    story(async {
        let exchange = started(market([])).await;
        let (unwilling, serving) = proxy("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
        let gone = started(market([])).await;
        gone.stop_listening().await;
        let unwilling = format!("http://me:secret@127.0.0.1:{unwilling}");
        let gone_proxy = format!("socks5://{}", gone.addr());
        let (unwilling, unreachable) = (["--proxy", &unwilling], ["--proxy", &gone_proxy]);
        let (refused, unreachable) =
            tokio::join!(examined(&exchange, &unwilling), examined(&exchange, &unreachable));
        assert!(!refused.text.contains("secret"), "{}", refused.text);
        let (cause, code) = refused.cause();
        insta::assert_snapshot!(cause, @"fail  proxy           the proxy http://***@127.0.0.1:PORT does not accept the user and the password: check them in the proxy's address (--proxy, or the variable that names it); special characters are written as %XX");
        assert_eq!(code, Some(1));
        assert!(refused.line("stream").contains("skipped: the proxy lets nothing through"));
        let (cause, code) = unreachable.cause();
        insta::assert_snapshot!(cause, @"fail  proxy           the proxy socks5://127.0.0.1:PORT cannot be reached: check its host and port, and that it runs: cannot connect to 127.0.0.1:PORT: Connection refused (os error 111): check --proxy, or the variable HTTPS_PROXY or ALL_PROXY; --proxy none goes without one");
        assert_eq!(code, Some(1));
        serving.abort();
        stopped_in_peace(exchange).await;
        stopped_in_peace(gone).await;
    })
    .await;
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_written_is_named() {
    story(async {
        let exchange = started(market([])).await;
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("doctor-no-directory");
        std::fs::write(&file, "x").expect("a file of our own");
        let (at, below) = (file.display().to_string(), file.join("below").display().to_string());
        let (at, below) = (["--state-dir", &at], ["--state-dir", &below]);
        let (said, below) = tokio::join!(examined(&exchange, &at), examined(&exchange, &below));
        let (cause, code) = said.cause();
        insta::assert_snapshot!(cause.replace(at[1], "FILE"), @"fail  state directory FILE is not a directory: name a directory with --state-dir, or move the file away");
        insta::assert_snapshot!(below.cause().0.replace(at[1], "FILE"), @"fail  state directory cannot write to FILE/below: Not a directory (os error 20): check the disk, or name another --state-dir");
        assert_eq!((code, below.code), (Some(1), Some(1)));
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn a_state_directory_in_use_is_worth_a_word_with_its_process_and_its_checkpoint() {
    story(async {
        let exchange = started(market([])).await;
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("doctor-in-use");
        std::fs::remove_dir_all(&directory).ok();
        let shown = directory.display().to_string();
        let (url, rest) = (exchange.stream_url(), exchange.rest_url());
        let monitor = ["--url", &url, "--rest-url", &rest, "--state-dir", &shown, "--print-every", "1"];
        let mut monitor = Command::new(env!("CARGO_BIN_EXE_cvd-stream"))
            .args(monitor)
            .env_clear()
            .current_dir(env!("CARGO_TARGET_TMPDIR"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the command starts");
        // The first checkpoint is durable before the first record.
        let mut records = BufReader::new(monitor.stdout.take().expect("it is piped")).lines();
        records.next_line().await.expect("records are text").expect("a record");
        let said = examined(&exchange, &["--state-dir", &shown]).await;
        let process = monitor.id().expect("it still runs");
        let line = masked(&said.line("state directory").replace(&shown, "DIR").replace(&process.to_string(), "ID"));
        insta::assert_snapshot!(line, @"warn  state directory DIR: writable, 1 checkpoint of BTCUSDT, saved TIME ago; it is used by process ID: a second run must have another --state-dir; if that process is the monitor itself, all is well");
        assert_eq!(said.code, Some(3), "{}", said.text);
        monitor.kill().await.expect("it still ran");
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn checkpoints_are_looked_for_of_everything_that_patterns_take() {
    story(async {
        let exchange = started(four()).await;
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("doctor-patterns");
        std::fs::remove_dir_all(&directory).ok();
        let shown = directory.display().to_string();
        let (url, rest) = (format!("{}/market/stream", exchange.stream_base()), exchange.rest_url());
        let run = ["--url", &url, "--rest-url", &rest, "--state-dir", &shown];
        let run = [&run[..], &["--symbol", "BTCUSDT", "--count", "1"]].concat();
        let ended = Command::new(env!("CARGO_BIN_EXE_cvd-stream"))
            .args(run)
            .env_clear()
            .current_dir(env!("CARGO_TARGET_TMPDIR"))
            .output();
        assert!(ended.await.expect("the command starts").status.success());
        let said = examined_bare(&exchange, &["--all", "--state-dir", &shown]).await;
        let line = masked(&said.line("state directory").replace(&shown, "DIR"));
        assert!(line.contains("DIR: writable, checkpoints of 1 of 4 symbols"), "{line}");
        let nothing = examined_bare(&exchange, &["--symbol", "*EUR", "--state-dir", &shown]).await;
        assert!(nothing.line("state directory").ends_with("whose checkpoints to look for is not known"));
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn a_stream_host_without_rest_is_worth_a_word_and_no_more() {
    story(async {
        let exchange = started(market([])).await;
        let said = said(&["--url", &exchange.stream_url()]).await;
        insta::assert_snapshot!(masked(said.line("REST")), @"warn  REST            no REST address is known for 127.0.0.1: what is lost cannot be fetched again: name it with --rest-url");
        assert_eq!(said.code, Some(3));
        stopped_in_peace(exchange).await;
    })
    .await;
}

/// Over the exchange in memory, by the paused clock: the deadlines cost nothing.
async fn simulated(builder: ExchangeBuilder, change: impl FnOnce(&mut Config)) -> (Report, Exchange) {
    let exchange = started(builder.in_memory()).await;
    let mut config = config(&exchange.stream_url());
    config.repair.rest_url = RestBase::parse(&exchange.rest_url(), false).ok();
    change(&mut config);
    let clock = Clock::simulated(1_795_132_800_000_000_000);
    let subject = Subject::new(config).network(exchange.network()).clock(clock);
    let mut told = Vec::new();
    let report = examine(&subject, |finding| told.push(finding.clone())).await;
    assert_eq!(told, report.findings, "everything is told, in order");
    (report, exchange)
}

fn finding(report: &Report, check: Check) -> &Finding {
    report.findings.iter().find(|finding| finding.check == check).expect("every check says something")
}

#[tokio::test(start_paused = true)]
async fn acknowledged_but_silent_while_the_market_trades_is_a_failure() {
    let (report, exchange) = simulated(market([Act::AckWithoutData]), |_| {}).await;
    let route = finding(&report, Check::Route);
    assert_eq!(route.level, Level::Fail);
    insta::assert_snapshot!(masked(&route.said), @"opened, but no trade in TIME although REST has N newer ones");
    assert_eq!(finding(&report, Check::Stream).level, Level::Ok);
    stopped_in_peace(exchange).await;
}

#[tokio::test(start_paused = true)]
async fn a_quiet_market_is_no_failure() {
    let (report, exchange) = simulated(btcusdt(), |_| {}).await;
    let route = finding(&report, Check::Route);
    assert_eq!((route.level, report.exit_code()), (Level::Warn, 3), "{report:?}");
    insta::assert_snapshot!(route.said, @"opened, but no trade in 10 s, nor has REST any: a quiet market");
    stopped_in_peace(exchange).await;
}

#[tokio::test(start_paused = true)]
async fn silence_without_a_witness_is_told_apart() {
    let (report, exchange) = simulated(market([Act::AckWithoutData]), |config| {
        config.repair.rest_url = None;
    })
    .await;
    insta::assert_snapshot!(finding(&report, Check::Route).said, @"opened, but no trade in 10 s, and REST cannot tell whether the market is quiet");
    assert_eq!(report.exit_code(), 3);
    stopped_in_peace(exchange).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_taken_and_dropped_is_not_an_open_stream() {
    let (report, exchange) = simulated(btcusdt().script([Act::AcceptThenClose]), |_| {}).await;
    let stream = finding(&report, Check::Stream);
    assert_eq!(stream.level, Level::Fail);
    insta::assert_snapshot!(masked(&stream.said), @"ws://127.0.0.1:PORT/market/stream?streams=btcusdt@aggTrade opened and was ended: the server hung up without a close frame");
    stopped_in_peace(exchange).await;
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_is_never_answered_ends_in_time() {
    let began = tokio::time::Instant::now();
    let (report, exchange) = simulated(btcusdt().script([Act::StallHandshake]), |_| {}).await;
    insta::assert_snapshot!(masked(&finding(&report, Check::Stream).said), @"ws://127.0.0.1:PORT/market/stream?streams=btcusdt@aggTrade did not open within TIME");
    assert_eq!(report.exit_code(), 1);
    assert!(began.elapsed().as_secs() <= 25, "{:?}", began.elapsed());
    stopped_in_peace(exchange).await;
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_is_refused_is_named() {
    let refusal = r#"{"code":2,"msg":"Invalid request: no such stream","id":1}"#;
    let script = [Act::WaitForConnection(1), Act::Frame(refusal.into())];
    let (report, exchange) = simulated(btcusdt().script(script), |config| {
        let url = config.endpoint.url.replace("stream?streams=btcusdt@aggTrade", "ws");
        config.endpoint = Endpoint::from_url(&url, Some(&symbol("BTCUSDT")), None, false).expect("a URL");
    })
    .await;
    insta::assert_snapshot!(finding(&report, Check::Stream).said, @"ws://127.0.0.1:1/market/ws opened, but refused the subscription with 2: Invalid request: no such stream");
    stopped_in_peace(exchange).await;
}
