//! Takes connections, and sees to it that none of them costs much: how many there are, how long the head of a request may
//! take, how long it is, and for how long a client may take nothing of its answer. All have bounds.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::counts::Lasting;
use super::patient::Patient;
use super::routes::Site;

/// Connections at once; what comes beyond is closed at once.
const MOST_CONNECTIONS: u64 = 256;
/// From the beginning of a connection, or from the last answer, to the end of the head of the next request.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// The longest head, in bytes.
const LONGEST_HEAD: usize = 16 * 1024;
const MOST_HEADERS: usize = 64;
/// A client that takes nothing of its answer for so long is dropped.
const PATIENCE: Duration = Duration::from_secs(10);
/// What waits after the system had no descriptor for a connection.
const BREATH: Duration = Duration::from_millis(100);

/// Answers until it is dropped.
pub(super) async fn serve(listener: TcpListener, site: Arc<Site>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let begun = Lasting::begin(&site.counts, |counts| &counts.connections, MOST_CONNECTIONS);
                    match begun {
                        Some(counted) => drop(connections.spawn(converse(stream, Arc::clone(&site), counted))),
                        None => drop(site.counts.turned_away.fetch_add(1, Ordering::Relaxed)),
                    }
                }
                // A connection that is gone again, or no descriptor left: others may come.
                Err(_) => sleep(BREATH).await,
            },
        }
    }
}

async fn converse(stream: TcpStream, site: Arc<Site>, counted: Lasting) {
    // Small answers go at once; what cannot be set is no reason not to answer.
    drop(stream.set_nodelay(true));
    let stream = Patient::new(stream, PATIENCE, Arc::clone(&site.counts));
    let service = service_fn(|request| site.respond(request));
    let mut http = Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(LONGEST_HEAD)
        .max_headers(MOST_HEADERS)
        .half_close(false);
    // A client that breaks off, or sends what is no HTTP, is its own affair.
    drop(http.serve_connection(TokioIo::new(stream), service).await);
    drop(counted);
}

/// Listens on an address.
pub(super) fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
