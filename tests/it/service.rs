//! The command as the unit of the package starts it, under a service manager that listens on a socket, as systemd does.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use cvd_stream::exchange::{Act, Script};
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};

use crate::support::*;

/// A service manager, and what it was told.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    told: Vec<String>,
}

impl Manager {
    fn new(name: &str) -> Self {
        // Names of sockets are short.
        let path = std::env::temp_dir().join(format!("cvd-{name}-{}.sock", std::process::id()));
        std::fs::remove_file(&path).ok();
        Self { socket: UnixDatagram::bind(&path).expect("a socket"), path, told: Vec::new() }
    }

    /// Starts the command; the watchdog is fed about once a second then.
    fn start(&self, arguments: &[String]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cvd-stream"));
        command.args(arguments).env_clear().current_dir(env!("CARGO_TARGET_TMPDIR"));
        command.env("NOTIFY_SOCKET", &self.path).env("WATCHDOG_USEC", "4000000");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        command.spawn().expect("the command starts")
    }

    /// The next line that it is told.
    async fn next(&mut self) -> String {
        while self.told.is_empty() {
            let mut bytes = [0; 4096];
            let length = self.socket.recv(&mut bytes).await.expect("the socket works");
            let text = std::str::from_utf8(&bytes[..length]).expect("UTF-8");
            self.told.extend(text.lines().map(str::to_owned));
        }
        self.told.remove(0)
    }

    /// Everything up to a line that is as it should be, that line included.
    async fn until(&mut self, is_right: impl Fn(&str) -> bool) -> Vec<String> {
        let mut told = Vec::new();
        loop {
            told.push(self.next().await);
            if told.last().is_some_and(|line| is_right(line)) {
                return told;
            }
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).ok();
    }
}

/// The arguments that the unit of the package starts the command with, where its places are ours.
fn packaged(state: &Path) -> Vec<String> {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    let unit = std::fs::read_to_string(packaging.join("systemd/cvd-stream.service")).expect("the unit");
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/cvd-stream "));
    let words = line.expect("the unit starts the command").split_whitespace().map(|word| match word {
        "/etc/cvd-stream/cvd-stream.toml" => packaging.join("cvd-stream.toml").display().to_string(),
        "%S/cvd-stream" => state.display().to_string(),
        "127.0.0.1:9464" => "127.0.0.1:0".to_owned(),
        word => word.to_owned(),
    });
    words.collect()
}

fn signal(name: &str, child: &Child) {
    let pid = child.id().expect("it runs").to_string();
    let sent = std::process::Command::new("/bin/sh").args(["-c", &format!("kill -{name} {pid}")]).status();
    assert!(sent.expect("a shell").success());
}

fn is_status(line: &str, word: &str) -> bool {
    line.starts_with(&format!("STATUS={word}"))
}

#[tokio::test]
async fn ready_comes_with_the_first_trade_the_watchdog_stops_with_the_trades_and_the_end_is_told() {
    story(async {
        let mut manager = Manager::new("life");
        let exchange = exchange(Script::new([])).await;
        let state = std::env::temp_dir().join(format!("cvd-life-{}", std::process::id()));
        // Nobody confirms that a market is quiet.
        let url = exchange.stream_url();
        let ours = ["--url", &url, "--repair", "off"].map(str::to_owned);
        let mut child = manager.start(&[packaged(&state), ours.to_vec()].concat());

        // Connected and subscribed is not ready, and no reason to be kept alive.
        exchange.wait_for(|stats| stats.connections == 1).await;
        let is_up = |line: &str| is_status(line, "not_ready") && !line.contains("(connecting)");
        let before = manager.until(is_up).await;
        assert!(before.iter().all(|line| line != "READY=1" && line != "WATCHDOG=1"), "{before:?}");
        exchange.play(Act::Trades(1)).await;
        let first = manager.until(|line| line == "READY=1").await;
        assert!(first.iter().all(|line| line != "WATCHDOG=1"), "{first:?}");

        // As long as trades come, it is alive.
        exchange.play(Act::TradesPaced { n: 60, per_second: 20 }).await;
        let alive = manager.until(|line| is_status(line, "ready: 1 of 1 symbols complete")).await;
        assert!(alive.iter().filter(|line| *line == "WATCHDOG=1").count() >= 2, "{alive:?}");
        assert!(alive.iter().all(|line| line != "READY=1"), "once is enough: {alive:?}");

        // SIGHUP has nothing to read again, and ends nothing.
        signal("HUP", &child);
        // Nothing comes in any more: what the timers do is no sign of life.
        exchange.stop().await.unwrap();
        manager.until(|line| is_status(line, "not_ready")).await;
        let dead = manager.until(|line| is_status(line, "not_ready")).await;
        assert!(dead.iter().all(|line| line != "WATCHDOG=1"), "{dead:?}");

        signal("TERM", &child);
        let last = manager.until(|line| line == "STOPPING=1").await;
        assert!(last.iter().all(|line| line != "WATCHDOG=1"), "{last:?}");
        assert_eq!(child.wait().await.unwrap().code(), Some(0));
        assert!(state.read_dir().unwrap().count() > 0, "the state is kept");
        std::fs::remove_dir_all(&state).unwrap();
    })
    .await;
}
