//! Through a proxy: a connection to it, then its leave, each with a deadline.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::reach::Reach;
use super::tcp;
use crate::feed::failure::ConnectError;
use crate::feed::network::Destination;
use crate::feed::proxy::{ProxyError, ProxyFailure, Scheme, Way, in_brackets, tunnel};

/// From the first word to the open way. The proxy looks up and connects in this time.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A connection to the destination by way of a proxy.
pub(super) async fn connected(
    way: &Way<'_>,
    to: Destination<'_>,
    reach: Reach,
) -> Result<TcpStream, ConnectError> {
    let literal = to.host.parse::<IpAddr>().ok();
    let failed = |what| ConnectError::from(ProxyError { proxy: way.proxy.to_string(), what });
    let opened = match (way.proxy.scheme, literal) {
        (Scheme::Socks5, None) => {
            let found = tcp::addresses(to.host, to.port, to.turn).await;
            let found = found.map_err(|error| failed(ProxyFailure::Resolve(Box::new(error))))?;
            by_address(way, to.host, reach.judge(to.host, found)?).await
        }
        (_, literal) => {
            reach.judge(
                to.host,
                literal.map(|address| SocketAddr::new(address, to.port)).into_iter().collect(),
            )?;
            attempt(way, &format!("{}:{}", in_brackets(to.host), to.port)).await
        }
    };
    opened.map_err(failed)
}

/// Asks for every address in turn.
async fn by_address(
    way: &Way<'_>,
    host: &str,
    addresses: Vec<SocketAddr>,
) -> Result<TcpStream, ProxyFailure> {
    let mut last = None;
    for address in addresses {
        match attempt(way, &address.to_string()).await {
            Err(failure) if failure.is_beyond() => last = Some(failure),
            end => return end,
        }
    }
    Err(last.unwrap_or_else(|| ProxyFailure::Resolve(Box::new(tcp::no_address(host)))))
}

/// Asks once. The proxy's own name is looked up anew each time, and all its addresses are tried.
async fn attempt(way: &Way<'_>, to: &str) -> Result<TcpStream, ProxyFailure> {
    let connection = tcp::connected(&way.proxy.host, way.proxy.port, 0, Reach::Anywhere).await;
    let connection = connection.map_err(|error| ProxyFailure::Unreachable(Box::new(error)))?;
    match timeout(ANSWER_LIMIT, tunnel(way, connection, to)).await {
        Ok(opened) => opened,
        Err(_elapsed) => Err(ProxyFailure::Late { to: to.to_owned(), limit: ANSWER_LIMIT }),
    }
}
