//! TCP: every address of a host in turn, and what the kernel is asked to watch.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use super::reach::Reach;
use super::within;
use crate::feed::failure::ConnectError;

const DNS_LIMIT: Duration = Duration::from_secs(10);
const TCP_LIMIT: Duration = Duration::from_secs(5);

/// Resolves anew each time and tries every address, beginning with the one whose turn it is.
pub(super) async fn connected(
    host: &str,
    port: u16,
    turn: usize,
    reach: Reach,
) -> Result<TcpStream, ConnectError> {
    let mut last = None;
    // Those that are tried are those that were judged: a name may mean something else a moment later.
    for address in reach.judge(host, addresses(host, port, turn).await?)? {
        let failed = |cause| ConnectError::Tcp { address: address.to_string(), cause };
        match within("TCP", TCP_LIMIT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => match prepared(&stream) {
                Ok(()) => return Ok(stream),
                Err(cause) => last = Some(failed(cause)),
            },
            Ok(Err(cause)) => last = Some(failed(cause)),
            Err(deadline) => last = Some(deadline),
        }
    }
    Err(last.unwrap_or_else(|| no_address(host)))
}

/// The addresses of a host, at least one, each once, beginning with the one whose turn it is.
pub(super) async fn addresses(host: &str, port: u16, turn: usize) -> Result<Vec<SocketAddr>, ConnectError> {
    let lookup = tokio::net::lookup_host((host, port));
    let answer = within("DNS", DNS_LIMIT, lookup).await?;
    let answer = answer.map_err(|cause| ConnectError::Resolve { host: host.to_owned(), cause })?;
    let mut addresses = in_order(answer.collect());
    if addresses.is_empty() {
        return Err(no_address(host));
    }
    let first = turn % addresses.len();
    addresses.rotate_left(first);
    Ok(addresses)
}

pub(super) fn no_address(host: &str) -> ConnectError {
    let cause = io::Error::new(io::ErrorKind::NotFound, "no address");
    ConnectError::Resolve { host: host.to_owned(), cause }
}

/// An order that stays when the resolver's rotates, so that different turns mean different addresses: both families
/// by turns, the one the resolver prefers first, each in ascending order.
fn in_order(answer: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(preferred) = answer.first().map(SocketAddr::is_ipv6) else { return answer };
    let (mut first, mut second): (Vec<_>, Vec<_>) =
        answer.into_iter().partition(|address| address.is_ipv6() == preferred);
    for family in [&mut first, &mut second] {
        family.sort_unstable();
        family.dedup();
    }
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut ordered = Vec::with_capacity(first.len() + second.len());
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return ordered;
        }
        ordered.extend(pair.into_iter().flatten());
    }
}

/// A peer that vanished without a word is noticed by the kernel too.
fn prepared(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(5)).with_interval(Duration::from_secs(2));
    #[cfg(any(target_os = "linux", target_os = "macos", target_os = "android", target_os = "freebsd"))]
    let keepalive = keepalive.with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(Duration::from_secs(15)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(answer: &[&str]) -> Vec<String> {
        let answer = answer.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 443)).collect();
        in_order(answer).iter().map(|address| address.ip().to_string()).collect()
    }

    #[test]
    fn addresses_keep_their_order_however_the_resolver_turns_them() {
        let expected = ["10.0.0.1", "2001:db8::1", "10.0.0.2", "2001:db8::2", "10.0.0.3"];
        assert_eq!(
            ordered(&["10.0.0.2", "10.0.0.3", "10.0.0.1", "10.0.0.2", "2001:db8::2", "2001:db8::1"]),
            expected
        );
        assert_eq!(ordered(&["10.0.0.3", "2001:db8::1", "10.0.0.1", "10.0.0.2", "2001:db8::2"]), expected);
        assert_eq!(
            ordered(&["2001:db8::9", "10.0.0.2", "10.0.0.1"]),
            ["2001:db8::9", "10.0.0.1", "10.0.0.2"]
        );
        assert_eq!(ordered(&[]), [""; 0]);
    }

    #[tokio::test]
    async fn a_turn_counts_around() {
        let turned = async |turn| addresses("127.0.0.1", 1, turn).await.unwrap();
        assert_eq!(turned(0).await, turned(7).await);
        assert!(matches!(addresses("", 1, 0).await, Err(ConnectError::Resolve { .. })));
    }
}
