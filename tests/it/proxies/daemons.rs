//! Real proxies, started for a test and ended with it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::support::Growing;

/// A proxy at work. It is killed when dropped.
pub(super) struct Daemon {
    pub(super) port: u16,
    /// What it has said so far.
    pub(super) log: Growing<Vec<String>>,
    child: Child,
}

/// User and password that a proxy asks for.
pub(super) type Credentials<'a> = Option<(&'a str, &'a str)>;

/// HTTP CONNECT; `None` where it is not installed.
pub(super) async fn tinyproxy(port: Option<u16>, credentials: Credentials<'_>) -> Option<Daemon> {
    let start = |port: u16| {
        let settings = Settings::of_tinyproxy(port, credentials);
        let mut command = Command::new("tinyproxy");
        command.args(["-d", "-c"]).arg(&settings.0);
        (command, Some(settings))
    };
    Daemon::start("tinyproxy", port, start).await
}

/// SOCKS5; `None` where it is not installed.
pub(super) async fn microsocks(credentials: Credentials<'_>) -> Option<Daemon> {
    let start = |port: u16| {
        let mut command = Command::new("microsocks");
        command.args(["-i", "127.0.0.1", "-p"]).arg(port.to_string());
        if let Some((user, password)) = credentials {
            command.args(["-u", user, "-P", password]);
        }
        (command, None)
    };
    Daemon::start("microsocks", None, start).await
}

impl Daemon {
    async fn start(
        name: &str,
        port: Option<u16>,
        start: impl Fn(u16) -> (Command, Option<Settings>),
    ) -> Option<Self> {
        // Another process may take the free port first.
        for _ in 0..20 {
            let port = match port {
                Some(port) => port,
                None => free_port().await,
            };
            let (mut command, _settings) = start(port);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
            let mut child = match command.spawn() {
                Ok(child) => child,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return not_installed(name),
                Err(error) => panic!("{name}: {error}"),
            };
            let log = Growing::<Vec<String>>::default();
            keep(child.stdout.take().expect("it is piped"), log.clone());
            keep(child.stderr.take().expect("it is piped"), log.clone());
            loop {
                if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                    return Some(Self { port, log, child });
                }
                if child.try_wait().expect("it is ours").is_some() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        panic!("{name} does not start");
    }

    pub(super) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// How many lines so far have this in them.
    pub(super) fn said(&self, part: &str) -> usize {
        self.log.now().iter().filter(|line| line.contains(part)).count()
    }

    pub(super) async fn kill(mut self) {
        self.child.kill().await.expect("it is ours");
    }
}

fn keep(from: impl AsyncRead + Unpin + Send + 'static, log: Growing<Vec<String>>) {
    tokio::spawn(async move {
        let mut lines = BufReader::new(from).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            log.grow(|log| log.push(line));
        }
    });
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    listener.local_addr().expect("it is bound").port()
}

/// A word on standard error; a panic where the absence would hide a failure.
fn not_installed<T>(name: &str) -> Option<T> {
    let required = std::env::var_os("CVD_STREAM_PROXIES_REQUIRED").is_some_and(|value| value == "1");
    assert!(!required, "{name} is not installed, but CVD_STREAM_PROXIES_REQUIRED is 1");
    // Past the capturing of what tests print: a skipped proof should be seen.
    writeln!(std::io::stderr(), "skipped: {name} is not installed").ok();
    None
}

/// A file of settings, removed at the end.
struct Settings(PathBuf);

impl Settings {
    fn of_tinyproxy(port: u16, credentials: Credentials<'_>) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tinyproxy-{}-{number}", std::process::id()));
        let asked = credentials.map(|(user, password)| format!("BasicAuth {user} {password}\n"));
        let text = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 600\nMaxClients 100\nAllow 127.0.0.1\nLogLevel Connect\n{}",
            asked.unwrap_or_default()
        );
        std::fs::write(&path, text).expect("a file of ours");
        Self(path)
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}
