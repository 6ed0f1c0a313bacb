//! The stream's port: accepts, shakes hands as the script says, and can fall silent and come back.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};

use super::connection::{Shared, serve};
use super::hub::{Hub, Welcome};
use super::route::Route;
use super::socket::{Harbour, Listener, Socket, accept};

/// A client that has not sent its handshake by then is cut off.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// More sockets than this at once are reset as they come.
pub(super) const MAX_SOCKETS: usize = 4_096;

/// An order to the port.
pub(super) enum Order {
    /// Stop listening and drop every connection.
    Down(oneshot::Sender<()>),
    /// Listen again on the same port.
    Up(oneshot::Sender<io::Result<()>>),
}

/// Everything the port needs.
pub(super) struct Port {
    pub(super) shared: Shared,
    pub(super) hub: Hub,
    pub(super) harbour: Harbour,
    pub(super) port: u16,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) stop: watch::Receiver<bool>,
}

impl Port {
    /// Serves until `stop` turns; then every connection is dropped and joined.
    pub(super) async fn run(self, listener: Listener) -> io::Result<()> {
        let Self { shared, hub, harbour, port, mut orders, mut stop } = self;
        let mut listener = Some(listener);
        let mut recent = VecDeque::new();
        let mut tasks = JoinSet::new();
        let mut down = watch::Sender::new(false);
        loop {
            tokio::select! {
                biased;
                () = turned(&mut stop) => break,
                order = orders.recv() => match order {
                    None => break,
                    Some(Order::Down(done)) => {
                        listener = None;
                        down.send_replace(true);
                        join_all(&mut tasks).await;
                        down = watch::Sender::new(false);
                        // Nobody may be waiting any more.
                        done.send(()).ok();
                    }
                    Some(Order::Up(done)) => {
                        let listening = match &listener {
                            Some(_) => Ok(()),
                            None => harbour.listen(port).map(|again| listener = Some(again)),
                        };
                        drop(done.send(listening));
                    }
                },
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => raise(ended),
                socket = accept(listener.as_mut()) => {
                    count_attempt(&shared, &mut recent);
                    if tasks.len() >= MAX_SOCKETS {
                        socket.reset();
                        continue;
                    }
                    let welcome = hub.welcome();
                    let (shared, hub) = (shared.clone(), hub.clone());
                    tasks.spawn(greet(socket, welcome, shared, hub, down.subscribe()));
                }
            }
        }
        down.send_replace(true);
        join_all(&mut tasks).await;
        Ok(())
    }
}

fn count_attempt(shared: &Shared, recent: &mut VecDeque<Instant>) {
    shared.counters.count(|stats| stats.attempts += 1);
    let rules = &shared.rules;
    let now = Instant::now();
    while recent.front().is_some_and(|&first| now - first >= rules.connection_window) {
        recent.pop_front();
    }
    recent.push_back(now);
    if recent.len() > rules.connections_per_window {
        recent.pop_front();
        let (limit, window) = (rules.connections_per_window, rules.connection_window);
        shared.counters.violation(format!("more than {limit} connections within {window:?}"));
    }
}

/// Waits until a flag turns true, or nobody is left to turn it.
pub(super) async fn turned(flag: &mut watch::Receiver<bool>) {
    drop(flag.wait_for(|&turned| turned).await);
}

/// Answers a handshake as the welcome says and serves what comes of it.
async fn greet(
    mut socket: Socket,
    welcome: Welcome,
    shared: Shared,
    hub: Hub,
    mut down: watch::Receiver<bool>,
) {
    if welcome == Welcome::Stall {
        let hold = async {
            let mut ignored = [0; 1024];
            while matches!(socket.read(&mut ignored).await, Ok(1..)) {}
        };
        tokio::select! {
            biased;
            () = hold => {}
            () = turned(&mut down) => socket.reset(),
        }
        return;
    }
    socket.send_at_once();
    let handshake = tokio::time::timeout(HANDSHAKE_DEADLINE, shake_hands(socket, &welcome, &shared));
    let shaken = tokio::select! {
        biased;
        shaken = handshake => shaken,
        () = turned(&mut down) => return,
    };
    match shaken {
        Ok(Ok((socket, route))) => {
            let mute = welcome == Welcome::Mute;
            let (entry, cues) = hub.enter(false);
            if welcome == Welcome::ThenClose {
                return;
            }
            serve(socket, shared, route, entry, cues, mute, down).await;
        }
        Ok(Err(())) => shared.counters.count(|stats| stats.refused += 1),
        Err(_) => shared.counters.violation("no handshake within 10 s of the connection".into()),
    }
}

/// `Err` where the handshake was refused or was none.
async fn shake_hands(socket: Socket, welcome: &Welcome, shared: &Shared) -> Result<(Socket, Route), ()> {
    let mut route = None;
    // The signature is the library's.
    #[allow(clippy::result_large_err)]
    let callback = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        if let Welcome::Refuse { status, retry_after } = welcome {
            return Err(refusal(*status, retry_after.as_deref()));
        }
        let (path, query) = (request.uri().path(), request.uri().query());
        route = Some(Route::of(path, query, shared.rules.routing).map_err(|status| refusal(status, None))?);
        Ok(response)
    };
    let shaken = accept_hdr_async(socket, callback).await;
    match (shaken, route) {
        (Ok(websocket), Some(route)) => Ok((websocket.into_inner(), route)),
        _ => Err(()),
    }
}

fn refusal(status: u16, retry_after: Option<&str>) -> ErrorResponse {
    let mut response = ErrorResponse::new(None);
    *response.status_mut() = match StatusCode::from_u16(status) {
        Ok(status) if !status.is_success() => status,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    let headers = response.headers_mut();
    headers.insert("content-length", HeaderValue::from_static("0"));
    headers.insert("connection", HeaderValue::from_static("close"));
    if let Some(Ok(value)) = retry_after.map(HeaderValue::from_str) {
        headers.insert("retry-after", value);
    }
    response
}

/// Joins what is left; a panic in it goes on here.
pub(super) async fn join_all(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        raise(ended);
    }
}

pub(super) fn raise(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}
