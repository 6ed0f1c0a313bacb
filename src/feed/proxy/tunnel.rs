//! The first words on a connection to a proxy: HTTP CONNECT or SOCKS5, spoken by hyper-util.

use std::future::{self, Ready};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use hyper::Uri;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower_service::Service;

use super::{ProxyFailure, Scheme, Way};

/// Makes of a connection to the proxy one to `to`, a host and a port.
///
/// # Errors
/// [`ProxyFailure`] says what the proxy did instead.
pub(crate) async fn tunnel<S: Stream>(way: &Way<'_>, connection: S, to: &str) -> Result<S, ProxyFailure> {
    let destination: Uri = format!("http://{to}/").parse().map_err(|error| {
        let said = io::Error::new(io::ErrorKind::InvalidInput, error);
        ProxyFailure::Broken(said)
    })?;
    let heard = FirstBytes::default();
    let overheard = Overheard { inner: connection, heard: heard.clone() };
    let handed = Handed(Some(TokioIo::new(overheard)));
    let proxy = way.intercept.uri().clone();
    let with_credentials = way.proxy.has_credentials();
    let opened = match way.proxy.scheme {
        Scheme::Http => {
            let mut tunnel = Tunnel::new(proxy, handed);
            if let Some(credentials) = way.intercept.basic_auth() {
                tunnel = tunnel.with_auth(credentials.clone());
            }
            tunnel
                .call(destination)
                .await
                .map_err(|error| refused_tunnel(error, &heard, with_credentials, to))
        }
        Scheme::Socks5 | Scheme::Socks5h => {
            let mut socks = SocksV5::new(proxy, handed);
            if let Some((user, password)) = way.intercept.raw_auth() {
                socks = socks.with_auth(user.to_owned(), password.to_owned());
            }
            socks.call(destination).await.map_err(|error| refused_socks(error, with_credentials, to))
        }
    };
    Ok(opened?.into_inner().inner)
}

/// What may lead to a proxy.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for S {}

type Socket = tokio::net::TcpStream;
type TunnelError = <Tunnel<Handed<Socket>> as Service<Uri>>::Error;
type SocksError = <SocksV5<Handed<Socket>> as Service<Uri>>::Error;

fn refused_tunnel(error: TunnelError, heard: &FirstBytes, with_credentials: bool, to: &str) -> ProxyFailure {
    match error {
        TunnelError::ProxyAuthRequired if with_credentials => ProxyFailure::CredentialsRefused,
        TunnelError::ProxyAuthRequired => ProxyFailure::CredentialsMissing,
        TunnelError::ProxyHeadersTooLong => ProxyFailure::AnswerTooLong,
        TunnelError::TunnelUnexpectedEof => ProxyFailure::HungUp,
        TunnelError::Io(error) => broken(error),
        TunnelError::TunnelUnsuccessful => match heard.status() {
            // Not what RFC 9110 says, but what tinyproxy does where they are wrong.
            Some(401) if with_credentials => ProxyFailure::CredentialsRefused,
            Some(401) => ProxyFailure::CredentialsMissing,
            status => refused_status(status, to),
        },
        TunnelError::MissingHost | TunnelError::ConnectFailed(_) => {
            ProxyFailure::Broken(io::Error::other(error))
        }
    }
}

/// The library knows of an answer only that it was not 200.
fn refused_status(status: Option<u16>, to: &str) -> ProxyFailure {
    let Some(status) = status.filter(|status| *status != 200) else { return ProxyFailure::NotAProxy("HTTP") };
    let (to, said) = (to.to_owned(), format!("it answered {status}"));
    match status {
        403 | 405 | 451 => ProxyFailure::Forbidden { to, said },
        502..=504 => ProxyFailure::Beyond { to, said },
        _ => ProxyFailure::Refused { to, said },
    }
}

fn refused_socks(error: SocksError, with_credentials: bool, to: &str) -> ProxyFailure {
    // The library does not give its inner types a name that could be matched, only words.
    let said = match error {
        SocksError::Io(error) | SocksError::Inner(error) => return broken(error),
        SocksError::Parsing(_) => return ProxyFailure::NotAProxy("SOCKS5"),
        SocksError::Serialize(_) => return ProxyFailure::CredentialsTooLong,
        SocksError::V5(said) => said.to_string(),
        other => other.to_string(),
    };
    let to = to.to_owned();
    match said.as_str() {
        "server does not support user/pass authentication" if with_credentials => {
            ProxyFailure::CredentialsUnwanted
        }
        "server does not support user/pass authentication" => ProxyFailure::CredentialsMissing,
        "server implements authentication incorrectly" => ProxyFailure::NotAProxy("SOCKS5"),
        "credentials not accepted" => ProxyFailure::CredentialsRefused,
        "connection not allowed" => ProxyFailure::Forbidden { to, said },
        "general server failure"
        | "network unreachable"
        | "host unreachable"
        | "connection refused"
        | "ttl expired" => ProxyFailure::Beyond { to, said },
        _ => ProxyFailure::Refused { to, said },
    }
}

fn broken(error: io::Error) -> ProxyFailure {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    match error.kind() {
        UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe => ProxyFailure::HungUp,
        _ => ProxyFailure::Broken(error),
    }
}

/// The connector below hyper-util's: the connection is there already, made with deadlines and options of our own.
struct Handed<S>(Option<TokioIo<Overheard<S>>>);

impl<S: Stream> Service<Uri> for Handed<S> {
    type Response = TokioIo<Overheard<S>>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _proxy: Uri) -> Self::Future {
        future::ready(self.0.take().ok_or_else(|| io::Error::other("the connection is taken")))
    }
}

/// As much of an answer as tells its status: `HTTP/1.1 403`.
const STATUS_LINE: usize = 12;

/// The first bytes that came from the proxy.
#[derive(Clone, Default)]
struct FirstBytes(Arc<Mutex<Vec<u8>>>);

impl FirstBytes {
    fn keep(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = STATUS_LINE.saturating_sub(kept.len());
        kept.extend(bytes.iter().take(missing));
    }

    fn status(&self) -> Option<u16> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (version, code) = kept.split_at_checked(STATUS_LINE - 3)?;
        let is_http = version.starts_with(b"HTTP/1.") && version.ends_with(b" ");
        if !is_http || !code.iter().all(u8::is_ascii_digit) {
            return None;
        }
        std::str::from_utf8(code).ok()?.parse().ok()
    }
}

/// A stream whose first bytes are kept, to tell why the library refused them.
struct Overheard<S> {
    inner: S,
    heard: FirstBytes,
}

impl<S: Stream> AsyncRead for Overheard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let result = ready!(Pin::new(&mut self.inner).poll_read(cx, into));
        self.heard.keep(&into.filled()[before..]);
        Poll::Ready(result)
    }
}

impl<S: Stream> AsyncWrite for Overheard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
