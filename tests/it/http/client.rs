//! A client that sends whatever it is told to, and takes whatever comes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use cvd_stream::app::App;
use cvd_stream::config::Config;
use cvd_stream::exchange::Exchange;
use serde_json::Value;
use tokio::sync::oneshot::channel;

use crate::support::*;

/// An answer, as it came.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    fn of(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8(bytes.to_vec()).expect("answers are UTF-8");
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() })
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// Sends bytes and takes the answer, if there is one.
pub(super) async fn send(address: SocketAddr, bytes: impl Into<Vec<u8>>) -> Option<Answer> {
    let bytes = bytes.into();
    // A blocking thread keeps a paused clock where it is.
    let sending = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).expect("somebody listens");
        stream.set_read_timeout(Some(Duration::from_secs(50))).expect("a timeout");
        // What is refused early may close before everything is sent.
        stream.write_all(&bytes).ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok();
        stream.shutdown(Shutdown::Both).ok();
        Answer::of(&answer)
    });
    sending.await.expect("the client does not panic")
}

/// Asks for a target as a good client would.
pub(super) async fn get(address: SocketAddr, target: &str) -> Answer {
    get_with(address, target, "").await
}

/// The same, with more headers, each with its line end.
pub(super) async fn get_with(address: SocketAddr, target: &str, headers: &str) -> Answer {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
    send(address, request).await.expect("an answer")
}

/// A monitor of the exchange that is served over HTTP, and where.
pub(super) async fn served(exchange: &Exchange, change: impl FnOnce(&mut Config)) -> (Monitor, SocketAddr) {
    let mut config = config(&exchange.stream_url());
    config.repair.rest_url = Some(
        cvd_stream::repair::rest::RestBase::parse(&exchange.rest_url(), false)
            .expect("an address on this machine"),
    );
    change(&mut config);
    on_http(config, Monitor::watch).await
}

/// The same on the paused clock, of an exchange in memory.
pub(super) async fn served_in_memory(
    exchange: &Exchange,
    change: impl FnOnce(&mut Config),
) -> (Monitor, SocketAddr) {
    let (opened, address) = channel();
    let change = |config: &mut Config| {
        config.http.listen = Some("127.0.0.1:0".parse().expect("an address"));
        change(config);
    };
    let monitor =
        Monitor::simulated_with(exchange, change, |app| app.on_http(move |at| opened.send(at).unwrap()));
    (monitor, address.await.expect("it is served before anything else"))
}

async fn on_http(mut config: Config, watch: impl FnOnce(App) -> Monitor) -> (Monitor, SocketAddr) {
    config.http.listen.get_or_insert("127.0.0.1:0".parse().expect("an address"));
    let (opened, address) = channel();
    let monitor = watch(App::new(config).on_http(move |at| opened.send(at).unwrap()));
    (monitor, address.await.expect("it is served before anything else"))
}

/// Asks until the answer is as it should be; a story that waits too long fails.
pub(super) async fn until(address: SocketAddr, target: &str, is_right: impl Fn(&Answer) -> bool) -> Answer {
    loop {
        let answer = get(address, target).await;
        if is_right(&answer) {
            return answer;
        }
        tokio::task::yield_now().await;
    }
}
