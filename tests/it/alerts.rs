//! Alerts against a real server, real programs and hostile ones.

use std::path::PathBuf;
use std::sync::Arc;

use cvd_stream::alerts::{AlertCounts, AlertsConfig, Outcome, Sink, parse, watch};
use cvd_stream::feed::tls::ExtraRoots;
use cvd_stream::feed::{ConnectError, Destination, Network, Proxies, ShardId, SystemNetwork};
use cvd_stream::overview::{LinkOverview, Overview, posted};
use cvd_stream::report::LinkStatus;
use cvd_stream::silence::Cause;
use cvd_stream::snapshot::{Market, Stamp};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::support::*;

/// What must never be shown.
const SECRET: &str = "canary-0123456789abcdef";

/// A request as it came.
#[derive(Debug, Clone)]
struct Received {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Received {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A server that answers each request with the next status, then with 200.
struct Hook {
    port: u16,
    received: Growing<Vec<Received>>,
    task: JoinHandle<()>,
}

impl Hook {
    async fn start(tls: Option<TlsAcceptor>, statuses: &'static [(u16, &'static str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let received = Growing::<Vec<Received>>::default();
        let log = received.clone();
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                match &tls {
                    None => serve(socket, &log, statuses).await,
                    // Who does not trust it turns away.
                    Some(acceptor) => match acceptor.accept(socket).await {
                        Ok(stream) => serve(stream, &log, statuses).await,
                        Err(_) => continue,
                    },
                }
            }
        });
        Self { port, received, task }
    }

    async fn plain(statuses: &'static [(u16, &'static str)]) -> Self {
        Self::start(None, statuses).await
    }

    /// Waits for so many requests.
    async fn requests(&self, count: usize) -> Vec<Received> {
        self.received.until(|all| all.len() >= count).await
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<S>(socket: S, log: &Growing<Vec<Received>>, statuses: &'static [(u16, &'static str)])
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request| answer(request, log, statuses));
    // A client that has what it wants closes the connection.
    drop(http1::Builder::new().serve_connection(TokioIo::new(socket), service).await);
}

async fn answer(
    request: Request<Incoming>,
    log: &Growing<Vec<Received>>,
    statuses: &'static [(u16, &'static str)],
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let text = |value: &hyper::header::HeaderValue| value.to_str().expect("ASCII").to_owned();
    let received = Received {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        headers: head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: String::from_utf8(body.to_vec()).expect("UTF-8"),
    };
    let mut at = 0;
    log.grow(|all| {
        at = all.len();
        all.push(received);
    });
    let (status, words) = statuses.get(at).copied().unwrap_or((200, "fine"));
    let answer = Response::builder().status(status).header("Location", "https://elsewhere.example/");
    Ok(answer.body(Full::from(words)).expect("a response"))
}

/// A file of our own, removed at the end.
struct Temporary(PathBuf);

impl Temporary {
    fn holding(name: &str, text: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("alerts-{name}"));
        std::fs::write(&path, text).expect("a file of our own");
        Self(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

fn config(text: &str) -> AlertsConfig {
    let table = text.parse().expect("TOML");
    parse(&table).unwrap_or_else(|faults| panic!("{faults:?}"))
}

/// One rule that fires when a shard brings nothing.
const STALE: &str = "[[alert]]\nname = \"stale\"\non = \"stale\"\nfor = \"1s\"\ncooldown = \"0s\"\n";

/// A shard that is well or not, in this second.
fn shard(second: u64, status: LinkStatus) -> Overview {
    let hostile = "words \u{1b}[31m\r\nof others \u{202e}".to_owned();
    let link = LinkOverview {
        shard: ShardId(0),
        market: Market::UsdM,
        symbols: 1,
        status,
        // Seen for the first time, it has been so for a while.
        seconds: 2.0,
        cause: Some(Cause::ConnectionLost { told: hostile }),
        connected_s: None,
        last_frame_s: None,
        reconnects: cvd_stream::overview::Reconnects::default(),
    };
    let at = Stamp { wall_ns: 1_790_000_000_000_000_000, mono_ns: second * 1_000_000_000 };
    Overview { at, links: vec![link], ..Overview::default() }
}

/// Fires and resolves, and waits until both are told, whatever becomes of it.
async fn told(config: AlertsConfig, network: Arc<dyn Network>) -> Arc<AlertCounts> {
    let counts = Arc::new(AlertCounts::new(&config));
    let (poster, board) = posted(config.wants_largest());
    let watching = watch(config, board, network, Arc::clone(&counts));
    let stale = || counts.rules().find(|rule| rule.rule == "stale").expect("the rule");
    let delivered = || {
        let of = |sink| Outcome::ALL.map(|outcome| counts.deliveries(sink, outcome)).iter().sum::<u64>();
        of(Sink::Webhook).max(of(Sink::Command))
    };
    let posting = async {
        poster.post(shard(2, LinkStatus::Stale));
        until(|| stale().fired == 1 && delivered() == 1).await;
        poster.post(shard(4, LinkStatus::Streaming));
        until(|| stale().firing == 0 && delivered() == 2).await;
        drop(poster);
    };
    tokio::join!(watching, posting);
    counts
}

/// Lets everybody else go on until then.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

fn system() -> Arc<dyn Network> {
    Arc::new(SystemNetwork::default())
}

fn hmac(secret: &[u8], text: &[u8]) -> String {
    // By the definition (RFC 2104), so that it is not the code under test that says what is right.
    let sha =
        |parts: [&[u8]; 2]| ring::digest::digest(&ring::digest::SHA256, &parts.concat()).as_ref().to_vec();
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(secret).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = sha([&pad(0x36), text]);
    sha([&pad(0x5c), &inner]).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn an_alert_comes_signed_over_tls_and_its_end_after_it() {
    story(async {
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows them")
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.der().clone()], key.signing_key.into())
            .expect("key and certificate belong together");
        let hook = Hook::start(Some(TlsAcceptor::from(Arc::new(server))), &[]).await;
        let authority = Temporary::holding("ca.pem", &key.cert.pem());
        let secret = Temporary::holding("secret", &format!("{SECRET}\n"));
        let network = SystemNetwork::default()
            .with_extra_roots(ExtraRoots::from_file(&authority.0).expect("a certificate of our own"));
        let text = format!(
            "[alerts]\nwebhook = \"https://localhost:{}/hook/canary?key=canary\"\nwebhook-allow-private = true\n\
             webhook-secret-file = \"{}\"\n{STALE}",
            hook.port,
            secret.0.display()
        );
        let counts = told(config(&text), Arc::new(network)).await;

        let requests = hook.requests(2).await;
        let [fired, resolved] = requests.as_slice() else { panic!("{requests:?}") };
        for request in [fired, resolved] {
            assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/hook/canary?key=canary"));
            assert_eq!(request.header("content-type"), Some("application/json"));
            assert_eq!(request.header("host"), Some(format!("localhost:{}", hook.port).as_str()));
            let agent = concat!("cvd-stream/", env!("CARGO_PKG_VERSION"));
            assert_eq!(request.header("user-agent"), Some(agent));
            let stamp = request.header("x-cvd-stream-timestamp").expect("a stamp");
            let expected = hmac(SECRET.as_bytes(), format!("{stamp}.{}", request.body).as_bytes());
            assert_eq!(request.header("x-cvd-stream-signature"), Some(format!("sha256={expected}").as_str()));
            assert_valid(&schema(), &request.body);
        }
        insta::assert_snapshot!(fired.body, @r#"{"v":1,"type":"alert","symbol":null,"market":"usdm","shard":1,"event":"fired","rule":"stale","on":"stale","severity":"warning","value":2.0,"threshold":1.0,"unit":"seconds","at_ms":1790000000000,"text":"stale: no trades over shard 1 (usdm, 1 symbols) for 2 s: stale, connection_lost, above 1"}"#);
        assert!(resolved.body.contains(r#""event":"resolved""#), "{}", resolved.body);
        assert_eq!(counts.deliveries(Sink::Webhook, Outcome::Ok), 2);
        let stale = counts.rules().find(|rule| rule.rule == "stale").expect("the rule");
        assert_eq!((stale.fired, stale.firing), (1, 0));
    })
    .await;
}

#[tokio::test]
async fn a_redirect_is_refused_and_what_the_server_says_is_escaped() {
    story(async {
        let (log, _guard) = everything();
        let hook = Hook::plain(&[(302, ""), (403, "no\u{1b}[2J\r\nway")]).await;
        let text = format!(
            "[alerts]\nwebhook = \"http://127.0.0.1:{}/canary\"\nwebhook-allow-private = true\n{STALE}",
            hook.port
        );
        let counts = told(config(&text), system()).await;
        assert_eq!(hook.requests(2).await.len(), 2);
        assert_eq!(counts.deliveries(Sink::Webhook, Outcome::Failed), 2);
        let log = String::from_utf8(log.now()).expect("UTF-8");
        assert!(log.contains("it answered 302 and redirects are not followed"), "{log}");
        assert!(log.contains(r"it answered 403: no\u{1b}[2J\r\nway"), "{log}");
        assert!(log.contains(&format!("not delivered to http://127.0.0.1:{}: ", hook.port)), "{log}");
    })
    .await;
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_not_public() {
    story(async {
        let hook = Hook::plain(&[]).await;
        let network = system();
        for host in ["localhost", "127.0.0.1", "::1", "0.0.0.0", "::ffff:127.0.0.1"] {
            let to = Destination { host, port: hook.port, tls: false, turn: 0 };
            let Err(error) = network.dial_public(to).await else { panic!("{host} was reached") };
            assert!(
                error.to_string().contains("which is this machine or in a private network"),
                "{host}: {error}"
            );
        }
        let to = Destination { host: "localhost", port: hook.port, tls: false, turn: 0 };
        assert!(network.dial(to).await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn no_proxy_is_asked_for_an_address_that_is_not_public() {
    story(async {
        // Nobody listens there: whoever asked it would tell.
        for (proxy, host) in [
            ("http://127.0.0.1:9", "10.0.0.1"),
            ("socks5h://127.0.0.1:9", "::1"),
            ("socks5://127.0.0.1:9", "169.254.169.254"),
            ("socks5://127.0.0.1:9", "localhost"),
        ] {
            let network = SystemNetwork::default().with_proxies(Proxies::parse(proxy).expect("a proxy"));
            let to = Destination { host, port: 443, tls: true, turn: 0 };
            let Err(error) = network.dial_public(to).await else { panic!("{host} was reached") };
            assert!(matches!(error, ConnectError::NotPublic { .. }), "{proxy} {host}: {error}");
        }
    })
    .await;
}

/// Everything that any part of the program has to say, at the level of the finest detail.
fn everything() -> (Written, tracing::subscriber::DefaultGuard) {
    let log = Written::default();
    let into = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || into.clone())
        .finish();
    (log, tracing::subscriber::set_default(subscriber))
}

#[tokio::test]
async fn no_secret_is_ever_logged() {
    story(async {
        let (log, _guard) = everything();
        let hook = Hook::plain(&[(302, "")]).await;
        let secret = Temporary::holding("canary", SECRET);
        let text = format!(
            "[alerts]\nwebhook = \"http://127.0.0.1:{}/canary/hook?key=canary\"\nwebhook-allow-private = true\n\
             webhook-secret-file = \"{}\"\ncommand = [\"/nowhere/pager\", \"--token=canary\"]\n{STALE}",
            hook.port,
            secret.0.display()
        );
        let counts = told(config(&text), system()).await;
        assert_eq!(hook.requests(2).await[0].path, "/canary/hook?key=canary");
        assert_eq!(counts.deliveries(Sink::Command, Outcome::Failed), 2);
        let log = String::from_utf8(log.now()).expect("UTF-8");
        assert!(log.contains("event=\"alert\"") && log.contains("event=\"alert_resolved\""), "{log}");
        assert!(log.contains("not delivered to /nowhere/pager: it cannot be started: No such file"), "{log}");
        assert!(!log.contains("canary") && !log.contains('\u{1b}') && !log.contains('\u{202e}'), "{log}");
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_command_gets_the_record_and_the_variables_and_nothing_else_of_ours() {
    story(async {
        let out = Temporary::holding("command.out", "");
        let script = r#"[ $CVD_STREAM_ALERT_STATE = resolved ] && exit 0; cat > "$1"; env >> "$1""#;
        let text =
            format!("[alerts]\ncommand = ['sh', '-c', '{script}', 'sh', '{}']\n{STALE}", out.0.display());
        let counts = told(config(&text), system()).await;
        assert_eq!(counts.deliveries(Sink::Command, Outcome::Ok), 2);
        let written = std::fs::read_to_string(&out.0).expect("it was written");
        let (record, environment) = written.split_once('\n').expect("a line");
        assert_valid(&schema(), record);
        let mut names: Vec<&str> = environment.lines().filter_map(|line| line.split('=').next()).collect();
        names.retain(|name| !["PATH", "HOME", "LANG", "PWD", "SHLVL", "_", "OLDPWD"].contains(name));
        names.sort_unstable();
        let prefix = "CVD_STREAM_ALERT_";
        let told = ["MARKET", "RULE", "SEVERITY", "STATE", "SYMBOL", "TEXT", "THRESHOLD", "VALUE"];
        assert_eq!(names, told.map(|name| format!("{prefix}{name}")));
        for line in [
            "RULE=stale",
            "STATE=fired",
            "SEVERITY=warning",
            "MARKET=usdm",
            "SYMBOL=",
            "VALUE=2",
            "THRESHOLD=1",
        ] {
            assert!(environment.contains(&format!("{prefix}{line}\n")), "no {line} in {environment}");
        }
    })
    .await;
}

#[test]
fn the_record_of_the_documentation_is_valid() {
    let docs = include_str!("../../docs/output.md");
    let line = docs.lines().find(|line| line.contains(r#""type":"alert""#)).expect("an example");
    assert_valid(&schema(), line);
    // The exact decimals of the others are strings.
    let trade = line.replace(r#""value":3.2"#, r#""value":"1250000.0000000000000001""#);
    assert_valid(&schema(), &trade);
}
