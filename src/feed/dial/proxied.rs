//! Through a proxy: a connection to it, then its leave, each with a deadline.

use std::net::IpAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::tcp;
use crate::feed::failure::ConnectError;
use crate::feed::network::Destination;
use crate::feed::proxy::{ProxyError, ProxyFailure, Scheme, Way, in_brackets, tunnel};

/// From the first word to the open way. The proxy looks up and connects in this time.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A connection to the destination by way of a proxy.
pub(super) async fn connected(way: &Way<'_>, to: Destination<'_>) -> Result<TcpStream, ConnectError> {
    let opened = match way.proxy.scheme {
        Scheme::Socks5 if to.host.parse::<IpAddr>().is_err() => by_address(way, to).await,
        _ => attempt(way, &format!("{}:{}", in_brackets(to.host), to.port)).await,
    };
    opened.map_err(|what| ProxyError { proxy: way.proxy.to_string(), what }.into())
}

/// Looks the name up here and asks for every address in turn.
async fn by_address(way: &Way<'_>, to: Destination<'_>) -> Result<TcpStream, ProxyFailure> {
    let unknown = |error| ProxyFailure::Resolve(Box::new(error));
    let mut last = None;
    for address in tcp::addresses(to.host, to.port, to.turn).await.map_err(unknown)? {
        match attempt(way, &address.to_string()).await {
            Err(failure) if failure.is_beyond() => last = Some(failure),
            end => return end,
        }
    }
    Err(last.unwrap_or_else(|| unknown(tcp::no_address(to.host))))
}

/// Asks once. The proxy's own name is looked up anew each time, and all its addresses are tried.
async fn attempt(way: &Way<'_>, to: &str) -> Result<TcpStream, ProxyFailure> {
    let connection = tcp::connected(&way.proxy.host, way.proxy.port, 0).await;
    let connection = connection.map_err(|error| ProxyFailure::Unreachable(Box::new(error)))?;
    match timeout(ANSWER_LIMIT, tunnel(way, connection, to)).await {
        Ok(opened) => opened,
        Err(_elapsed) => Err(ProxyFailure::Late { to: to.to_owned(), limit: ANSWER_LIMIT }),
    }
}
