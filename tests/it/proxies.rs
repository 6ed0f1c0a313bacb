mod daemons;
mod fakes;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cvd_stream::config::Config;
use cvd_stream::exchange::{Act, AtEnd, Exchange, Script};
use cvd_stream::feed::failure::Verdict;
use cvd_stream::feed::{
    ConnectError, Destination, Network, Proxies, ProxyError, ProxyFailure, SystemNetwork,
};
use cvd_stream::repair::rest::RestBase;
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;

use self::daemons::{Daemon, microsocks, tinyproxy};
use self::fakes::{Fake, nobody};
use crate::support::*;

/// What must never be shown.
const USER: &str = "canary-user";
const PASSWORD: &str = "canary-s3cret";

/// Trades with a hole in the middle that only REST can fill.
const HOLE: [Act; 3] = [Act::Trades(100), Act::SkipIds(20), Act::Trades(100)];

/// A monitor of this exchange, REST included, through this proxy.
fn proxied(exchange: &Exchange, url: &str, proxy: &str) -> Config {
    let mut config = Config { proxies: Proxies::parse(proxy).expect("a proxy"), ..config(url) };
    config.repair.rest_url = RestBase::parse(&exchange.rest_url(), false).ok();
    config
}

/// What has come to the exchange: connections to the stream's port, and questions to REST.
fn reached(exchange: &Exchange) -> (u64, u64) {
    let stats = exchange.stats();
    (stats.attempts, stats.rest_requests)
}

/// Runs until the hole is filled; the numbers must be those of the exchange.
async fn fills_the_hole(exchange: &Exchange, config: Config) {
    let monitor = Monitor::with(config);
    monitor.trades.reach(220).await;
    let ended = monitor.stop().await.expect("nothing is refused");
    ended.assert_whole(exchange, "BTCUSDT");
    assert_eq!(ended.summary.metrics.repaired_trades, 20);
    assert_eq!(exchange.connections(), 1);
}

#[tokio::test]
async fn stream_and_rest_go_through_an_http_proxy() {
    story(async {
        let Some(proxy) = tinyproxy(None, None).await else { return };
        let exchange = exchange(HOLE).await;
        let url = exchange.stream_url();
        fills_the_hole(&exchange, proxied(&exchange, &url, &proxy.url("http"))).await;
        for there in [exchange.addr(), exchange.rest_addr()] {
            assert!(proxy.said(&format!("CONNECT {there} HTTP/1.1")) > 0, "{:?}", proxy.log.now());
        }
        let asked = proxy.said(&format!("CONNECT {} ", exchange.addr()));
        assert_eq!(exchange.stats().attempts, asked as u64, "nothing may go past it");
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn stream_and_rest_go_through_a_socks5_proxy_by_address_or_by_name() {
    story(async {
        let Some(proxy) = microsocks(None).await else { return };
        for (scheme, told) in [("socks5", "127.0.0.1"), ("socks5h", "localhost")] {
            let exchange = exchange(HOLE).await;
            let (port, rest_port) = (exchange.addr().port(), exchange.rest_addr().port());
            let url = exchange.stream_url().replace("127.0.0.1", "localhost");
            let mut config = proxied(&exchange, &url, &proxy.url(scheme));
            let rest = format!("http://localhost:{rest_port}");
            config.repair.rest_url = RestBase::parse(&rest, false).ok();
            fills_the_hole(&exchange, config).await;
            for port in [port, rest_port] {
                let log =
                    proxy.log.until(|log| log.iter().any(|line| line.ends_with(&format!(":{port}")))).await;
                let named = format!("connected to {told}:{port}");
                assert!(log.iter().any(|line| line.contains(&named)), "no `{named}` in {log:?}");
            }
            assert_eq!(exchange.stats().attempts, 1);
            stopped_in_peace(exchange).await;
        }
    })
    .await;
}

/// Proxies that ask for user and password, the right ones and an address for each.
async fn asking() -> Option<[(Daemon, &'static str); 2]> {
    let wanted = Some((USER, PASSWORD));
    Some([(tinyproxy(None, wanted).await?, "http"), (microsocks(wanted).await?, "socks5h")])
}

#[tokio::test]
async fn user_and_password_open_the_way() {
    story(async {
        let Some(proxies) = asking().await else { return };
        for (proxy, scheme) in proxies {
            let exchange = exchange(HOLE).await;
            // Encoded, as they have to be if they are special.
            let address = format!("{scheme}://{USER}:canary%2Ds3cret@127.0.0.1:{}", proxy.port);
            fills_the_hole(&exchange, proxied(&exchange, &exchange.stream_url(), &address)).await;
            stopped_in_peace(exchange).await;
        }
    })
    .await;
}

#[tokio::test]
async fn without_the_right_user_and_password_the_run_ends_with_what_to_do() {
    story(async {
        let Some(proxies) = asking().await else { return };
        for (proxy, scheme) in proxies {
            let exchange = exchange(HOLE).await;
            for (credentials, problem, remedy) in [
                ("", "asks for a user and a password", "put them into the proxy's address"),
                ("canary-user:canary-wr0ng@", "does not accept the user and the password", "check them"),
            ] {
                let address = format!("{scheme}://{credentials}127.0.0.1:{}", proxy.port);
                let error = Monitor::with(proxied(&exchange, &exchange.stream_url(), &address))
                    .end()
                    .await
                    .unwrap_err();
                let told = told(&error);
                let shown = if credentials.is_empty() { "" } else { "***@" };
                let named = format!("the proxy {scheme}://{shown}127.0.0.1:{} {problem}", proxy.port);
                assert!(told.contains(&named) && told.contains(remedy), "{told}");
                assert!(!format!("{told}{error:?}").contains("canary"), "{error:?}");
            }
            assert_eq!(reached(&exchange), (0, 0), "nothing may go past it");
            stopped_in_peace(exchange).await;
        }
        let Some(open) = microsocks(None).await else { return };
        let failed = failure(&format!("socks5h://{USER}:{PASSWORD}@127.0.0.1:{}", open.port)).await;
        assert!(matches!(failed.what, ProxyFailure::CredentialsUnwanted), "{failed:?}");
    })
    .await;
}

/// How a connection through this proxy fails.
async fn failure(proxy: &str) -> ProxyError {
    let network = SystemNetwork::new(None).with_proxies(Proxies::parse(proxy).expect("a proxy"));
    let to = Destination { host: "stream.example", port: 443, tls: true, turn: 0 };
    match network.dial(to).await {
        Err(ConnectError::Proxy(error)) => error,
        Err(other) => panic!("{proxy}: {other:?}"),
        Ok(_) => panic!("{proxy}: a way is open"),
    }
}

/// Says everything about a failure, and whether an attempt follows.
fn story_of(error: ProxyError) -> (String, Verdict) {
    let error = ConnectError::from(error);
    let (told, verdict) = (told(&error), error.verdict());
    assert!(!format!("{told}{error:?}").contains("canary"), "{error:?}");
    (told, verdict)
}

const PATIENT: Verdict = Verdict::RetrySlowly(Duration::from_secs(60));

#[tokio::test]
async fn an_http_proxy_that_does_anything_else_is_named_with_what_it_did() {
    const TO: &str = "stream.example:443";
    story(async {
        for (answer, told, verdict) in [
            (
                "HTTP/1.1 403 Filtered\r\n\r\n",
                "does not allow connections to stream.example:443 (it answered 403)",
                PATIENT,
            ),
            (
                "HTTP/1.0 502 Bad\r\n\r\n",
                "cannot reach stream.example:443 (it answered 502)",
                Verdict::RetrySoon,
            ),
            (
                "HTTP/1.1 503 Busy\r\n\r\n",
                "cannot reach stream.example:443 (it answered 503)",
                Verdict::RetrySoon,
            ),
            (
                "HTTP/1.1 504 Late\r\nX: y\r\n\r\n",
                "cannot reach stream.example:443 (it answered 504)",
                Verdict::RetrySoon,
            ),
            (
                "HTTP/1.1 500 Oops\r\n\r\n",
                "opens no way to stream.example:443 (it answered 500)",
                Verdict::RetrySoon,
            ),
            (
                "HTTP/1.1 204 No Content\r\n\r\n",
                "opens no way to stream.example:443 (it answered 204)",
                Verdict::RetrySoon,
            ),
            (
                "HTTP/1.1 200 \r\n\0\x01\r\n\r\n",
                "does not speak HTTP: check scheme and port",
                Verdict::RetrySoon,
            ),
            ("HTTP/1.1 2000 OK\r\n\r\n", "does not speak HTTP", Verdict::RetrySoon),
            ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "does not speak HTTP", Verdict::RetrySoon),
            ("\u{15}\u{3}\u{3}\0\u{2}\u{2}\u{16}", "does not speak HTTP", Verdict::RetrySoon),
            ("HTTP/1.1 200 OK\r\n", "hung up without an answer", Verdict::RetrySoon),
            ("", "hung up without an answer", Verdict::RetrySoon),
        ] {
            let fake = Fake::answering(answer).await;
            let (said, what_next) = story_of(failure(&fake.url()).await);
            let expected = format!("the proxy {} {told}", fake.url());
            assert!(said.starts_with(&expected), "{answer:?}: {said}");
            assert_eq!(what_next, verdict, "{answer:?}");
            assert!(fake.heads.now()[0].starts_with(&format!("CONNECT {TO} HTTP/1.1\r\nHost: {TO}\r\n")));
        }
        let wrong = Fake::answering("HTTP/1.0 401 Unauthorized\r\n\r\n").await;
        let failed = failure(&format!("{USER}:{PASSWORD}@127.0.0.1:{}", wrong.port)).await;
        assert!(matches!(failed.what, ProxyFailure::CredentialsRefused), "{failed:?}");
        let fake = Fake::answering("HTTP/1.1 407 Who are you\r\n\r\n").await;
        let (said, verdict) = story_of(failure(&fake.url()).await);
        assert!(said.ends_with("asks for a user and a password"), "{said}");
        assert!(
            matches!(verdict, Verdict::Refuse(remedy) if remedy.contains("user:password@")),
            "{verdict:?}"
        );
        let with = format!("http://{USER}:{PASSWORD}@127.0.0.1:{}", fake.port);
        let (said, verdict) = story_of(failure(&with).await);
        let shown = format!("the proxy http://***@127.0.0.1:{} does not accept", fake.port);
        assert!(said.starts_with(&shown), "{said}");
        assert!(matches!(verdict, Verdict::Refuse(remedy) if remedy.contains("%XX")), "{verdict:?}");
        // "canary-user:canary-s3cret"
        let sent = "Proxy-Authorization: Basic Y2FuYXJ5LXVzZXI6Y2FuYXJ5LXMzY3JldA==\r\n";
        assert!(fake.heads.now()[1].contains(sent), "{:?}", fake.heads.now());
    })
    .await;
}

#[tokio::test]
async fn an_answer_without_an_end_ends_after_eight_kilobytes() {
    story(async {
        let fake = Fake::http(|_, mut socket| async move {
            let mut answer = socket.write_all(b"HTTP/1.1 200 OK\r\nX-Endless: ").await;
            while answer.is_ok() {
                answer = socket.write_all(&[b'x'; 1_000]).await;
            }
        })
        .await;
        let (said, verdict) = story_of(failure(&fake.url()).await);
        assert!(said.ends_with("answers with more than 8 kB, which is no answer of a proxy"), "{said}");
        assert_eq!(verdict, Verdict::RetrySoon);
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_never_answers_is_left_after_ten_seconds() {
    story(async {
        let fake = Fake::http(|_, socket| async move {
            // Everything that has to happen on the socket has happened; from here on time is free.
            tokio::time::pause();
            std::future::pending::<()>().await;
            drop(socket);
        })
        .await;
        let (said, verdict) = story_of(failure(&fake.url()).await);
        assert!(said.ends_with("opened no way to stream.example:443 within 10s"), "{said}");
        assert_eq!(verdict, Verdict::RetrySoon);
    })
    .await;
}

#[tokio::test]
async fn a_socks5_proxy_that_does_anything_else_is_named_with_what_it_did() {
    story(async {
        let open = |status: u8| -> &'static [&'static [u8]] {
            let answer: &'static [u8] = Vec::leak(vec![5, status, 0, 1, 0, 0, 0, 0, 0, 0]);
            Vec::leak(vec![&[5, 0], answer])
        };
        let beyond = |why: &str| format!("cannot reach stream.example:443 ({why})");
        let soon = Verdict::RetrySoon;
        for (words, told, verdict) in [
            (open(1), beyond("general server failure"), soon),
            (
                open(2),
                "does not allow connections to stream.example:443 (connection not allowed)".into(),
                PATIENT,
            ),
            (open(3), beyond("network unreachable"), soon),
            (open(4), beyond("host unreachable"), soon),
            (open(5), beyond("connection refused"), soon),
            (open(6), beyond("ttl expired"), soon),
            (open(7), "opens no way to stream.example:443 (command not supported)".into(), soon),
            (open(8), "opens no way to stream.example:443 (address type not supported)".into(), soon),
            (open(99), "does not speak SOCKS5: check scheme and port".into(), soon),
            (&[b"HTTP/1.1 400 Bad Request\r\n\r\n"], "does not speak SOCKS5".into(), soon),
            (&[&[5, 77]], "does not speak SOCKS5".into(), soon),
            (&[&[5, 2]], "does not speak SOCKS5".into(), soon),
            (&[&[5, 0], &[5, 0, 0]], "hung up without an answer".into(), soon),
            (&[&[5]], "hung up without an answer".into(), soon),
            (&[], "hung up without an answer".into(), soon),
        ] {
            let fake = Fake::saying(words).await;
            let url = format!("socks5h://127.0.0.1:{}", fake.port);
            let (said, what_next) = story_of(failure(&url).await);
            assert!(said.starts_with(&format!("the proxy {url} {told}")), "{words:?}: {said}");
            assert_eq!(what_next, verdict, "{words:?}");
        }
        const NONE: &[&[u8]] = &[&[5, 0xff]];
        const WRONG: &[&[u8]] = &[&[5, 2], &[1, 1]];
        for (credentials, words, told) in [
            ("", NONE, "asks for a user and a password"),
            ("canary-user:canary-s3cret@", NONE, "does not take a user and a password"),
            ("canary-user:canary-s3cret@", WRONG, "does not accept the user and the password"),
        ] {
            let fake = Fake::saying(words).await;
            let (said, verdict) =
                story_of(failure(&format!("socks5h://{credentials}127.0.0.1:{}", fake.port)).await);
            assert!(said.ends_with(told), "{said}");
            assert!(matches!(verdict, Verdict::Refuse(_)), "{verdict:?}");
        }
        let long = format!("socks5h://{}:{}@127.0.0.1", "canary".repeat(40), "canary".repeat(40));
        let fake = Fake::saying(&[&[5, 2]]).await;
        let (said, verdict) = story_of(failure(&format!("{long}:{}", fake.port)).await);
        assert!(said.ends_with("cannot be told a user and a password as long as these"), "{said}");
        assert!(matches!(verdict, Verdict::Refuse(_)), "{verdict:?}");
    })
    .await;
}

#[tokio::test]
async fn a_name_that_socks5_cannot_look_up_here_is_told_with_the_remedy() {
    story(async {
        let proxy = Fake::saying(&[]).await;
        let network = SystemNetwork::new(None)
            .with_proxies(Proxies::parse(&format!("socks5://127.0.0.1:{}", proxy.port)).unwrap());
        // No resolver takes a label of more than 63 letters.
        let host = format!("{}.example", "x".repeat(64));
        let to = Destination { host: &host, port: 443, tls: true, turn: 0 };
        let Err(ConnectError::Proxy(error)) = network.dial(to).await else { panic!("a way is open") };
        let (said, _) = story_of(error);
        assert!(said.contains("socks5h:// it looks names up itself: cannot resolve xxx"), "{said}");
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_nobody_runs_is_named_with_address_and_remedy() {
    story(async {
        let port = nobody().await;
        for scheme in ["http", "socks5", "socks5h"] {
            let network = SystemNetwork::new(None)
                .with_proxies(Proxies::parse(&format!("{scheme}://{USER}:{PASSWORD}@127.0.0.1:{port}")).unwrap());
            let to = Destination { host: "127.0.0.1", port: 443, tls: true, turn: 0 };
            let Err(ConnectError::Proxy(error)) = network.dial(to).await else { panic!("a way is open") };
            let ProxyFailure::Unreachable(cause) = &error.what else { panic!("{error:?}") };
            assert!(matches!(&**cause, ConnectError::Tcp { cause, .. } if cause.kind() == io::ErrorKind::ConnectionRefused));
            let (said, verdict) = story_of(error);
            let expected = format!(
                "the proxy {scheme}://***@127.0.0.1:{port} cannot be reached: check its host and port, and that it \
                 runs: cannot connect to 127.0.0.1:{port}: "
            );
            assert!(said.starts_with(&expected), "{said}");
            assert_eq!(verdict, Verdict::RetrySoon);
        }
    })
    .await;
}

/// The command with nothing of our environment.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cvd-stream"));
    command.args(arguments).env_clear().current_dir(env!("CARGO_TARGET_TMPDIR"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

fn both(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it is UTF-8");
    text(&output.stdout) + &text(&output.stderr)
}

#[tokio::test]
async fn when_the_proxy_dies_nothing_goes_past_it_and_when_it_is_back_cvd_is_whole() {
    story(async {
        let Some(proxy) = tinyproxy(None, None).await else { return };
        let script = Script::new([Act::Trades(200)]).at_end(AtEnd::Market { per_second: 500 });
        let exchange = exchange(script).await;
        let (url, rest, address) = (exchange.stream_url(), exchange.rest_url(), proxy.url("http"));
        let port = proxy.port;
        let arguments = ["--url", &url, "--rest-url", &rest, "--output", "json", "--backoff-max", "50ms"];
        let mut child = command(&arguments).env("CVD_STREAM_PROXY", &address).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut until = async |part: &str| loop {
            let line =
                log.next_line().await.unwrap().unwrap_or_else(|| panic!("the log ends without `{part}`"));
            if line.contains(part) {
                return line;
            }
        };
        until("INFO Connected: ws://127.0.0.1").await;
        exchange.wait_for(|stats| stats.frames_sent >= 300).await;
        proxy.kill().await;
        let before = reached(&exchange);
        let line = until("the proxy").await;
        let named = format!("the proxy {address} cannot be reached");
        assert!(line.contains(&named), "{line}");
        for _ in 0..3 {
            until(&named).await;
        }
        assert_eq!(reached(&exchange), before, "nothing may go past it");
        let Some(_proxy) = tinyproxy(Some(port), None).await else { return };
        until("reconnect_count=1").await;
        let sent = exchange.stats().frames_sent;
        exchange.wait_for(|stats| stats.frames_sent >= sent + 300).await;
        let pid = child.id().expect("it is still running");
        let asked =
            Command::new("/bin/sh").args(["-c", &format!("kill -TERM {pid}")]).status().await.unwrap();
        assert!(asked.success());
        let rest_of_the_log = tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        let output = child.wait_with_output().await.unwrap();
        rest_of_the_log.await.unwrap();
        let records = String::from_utf8(output.stdout).unwrap();
        let last: serde_json::Value = serde_json::from_str(records.lines().last().unwrap()).unwrap();
        assert_eq!((&last["type"], &last["quality"]), (&"final".into(), &"complete".into()), "{last}");
        assert!(last["repaired_trades"].as_u64() > Some(0), "{last}");
        stopped_in_peace(exchange).await;
    })
    .await;
}

#[tokio::test]
async fn user_and_password_are_shown_nowhere_whatever_happens() {
    story(async {
        let fake = Fake::answering("HTTP/1.1 407 canary\r\n\r\n").await;
        let exchange = exchange([]).await;
        let url = exchange.stream_url();
        let refusing = format!("http://{USER}:{PASSWORD}@127.0.0.1:{}", fake.port);
        let absent = format!("socks5://{USER}:{PASSWORD}@127.0.0.1:{}", nobody().await);
        let unreadable = format!("http://{USER}:{PASSWORD}:127.0.0.1:{}", fake.port);
        let rest = exchange.rest_url();
        let loud = [
            "--log-level",
            "trace",
            "--log-format",
            "json",
            "--url",
            &url,
            "--rest-url",
            &rest,
            "--duration",
            "300ms",
        ];
        for (arguments, proxy, code) in [
            (&loud[..], &refusing, 1),
            (&loud, &absent, 0),
            (&loud, &unreadable, 2),
            (&["config"], &refusing, 0),
            (&["config"], &unreadable, 2),
        ] {
            for by_flag in [true, false] {
                let mut command = command(arguments);
                if by_flag {
                    command.args(["--proxy", proxy]);
                } else {
                    command.env("CVD_STREAM_PROXY", proxy);
                }
                let output = command.output().await.unwrap();
                let shown = both(&output);
                assert_eq!(output.status.code(), Some(code), "{shown}");
                assert!(!shown.contains("canary"), "{shown}");
                assert!(shown.contains("***"), "{shown}");
            }
        }
        for proxy in [&refusing, &unreadable] {
            let output = command(&["config"]).env("HTTPS_PROXY", proxy).output().await.unwrap();
            let shown = both(&output);
            assert!(!shown.contains("canary") && shown.contains("HTTPS_PROXY"), "{shown}");
            assert_eq!(output.status.code(), Some(0));
        }
        let config = Config { proxies: Proxies::parse(&refusing).unwrap(), ..config(&url) };
        assert!(!format!("{config:?}").contains("canary"), "{config:?}");
        assert_eq!(reached(&exchange), (0, 0), "nothing may go past it");
        stopped_in_peace(exchange).await;
    })
    .await;
}

/// A port that speaks TLS with this certificate and passes what it hears on.
async fn tls_in_front_of(
    behind: std::net::SocketAddr,
    certificate: &CertifiedKey<KeyPair>,
) -> std::net::SocketAddr {
    let key = PrivateKeyDer::Pkcs8(certificate.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut outside) = acceptor.accept(socket).await else { return };
                let mut inside = TcpStream::connect(behind).await.unwrap();
                tokio::io::copy_bidirectional(&mut outside, &mut inside).await.ok();
            });
        }
    });
    address
}

/// A file, removed at the end.
struct Temporary(PathBuf);

impl Temporary {
    fn holding(name: &str, text: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
        std::fs::write(&path, text).expect("a file of ours");
        Self(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

/// An exchange behind TLS, that only a proxy finds, with a certificate that only a file vouches for.
#[tokio::test]
async fn the_variables_of_the_environment_lead_to_encrypted_hosts_that_only_a_proxy_finds() {
    story(async {
        let exchange = exchange(HOLE).await;
        let certificate =
            generate_simple_self_signed(["stream.example".to_owned(), "rest.example".to_owned()]).unwrap();
        let file = Temporary::holding("company.pem", &certificate.cert.pem());
        let stream = tls_in_front_of(exchange.addr(), &certificate).await;
        let rest = tls_in_front_of(exchange.rest_addr(), &certificate).await;
        let proxy =
            Fake::finding(vec![("stream.example:443".into(), stream), ("rest.example:443".into(), rest)])
                .await;
        let url = exchange.stream_url().replace(&exchange.stream_base(), "wss://stream.example");
        let arguments =
            ["--url", &url, "--rest-url", "https://rest.example", "--output", "json", "--count", "220"];
        let address = format!("http://{USER}:{PASSWORD}@127.0.0.1:{}", proxy.port);

        // Without the file the certificate is not trusted, and nothing gets through.
        let mut untrusting = command(&[&arguments[..], &["--duration", "500ms"]].concat());
        let output = untrusting.env("HTTPS_PROXY", &address).output().await.unwrap();
        let shown = both(&output);
        assert!(shown.contains("TLS with stream.example failed") && shown.contains("--ca-file"), "{shown}");
        assert_eq!(exchange.connections(), 0);

        let mut trusting = command(&[&arguments[..], &["--ca-file"]].concat());
        trusting.arg(&file.0).env("HTTPS_PROXY", &address).env("NO_PROXY", "elsewhere.example");
        let output = trusting.output().await.unwrap();
        let shown = both(&output);
        assert_eq!(output.status.code(), Some(0), "{shown}");
        let records = String::from_utf8(output.stdout).unwrap();
        let last: serde_json::Value = serde_json::from_str(records.lines().last().unwrap()).unwrap();
        assert_eq!((&last["type"], &last["trades"]), (&"final".into(), &220.into()), "{last}");
        assert!(!shown.contains("canary"), "{shown}");
        let heads = proxy.heads.now();
        for host in ["CONNECT stream.example:443 ", "CONNECT rest.example:443 "] {
            assert!(heads.iter().any(|head| head.starts_with(host)), "{heads:?}");
        }
        stopped_in_peace(exchange).await;
    })
    .await;
}
