//! Asks a running monitor how it does: for containers, which have no other client.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::header::{AUTHORIZATION, HOST};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::token::{Token, TokenError};
use crate::config::HttpConfig;

/// How long it may take.
const WITHIN: Duration = Duration::from_secs(5);
/// The longest answer, in bytes.
const LONGEST: usize = 64 * 1024;

/// What a running monitor says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Whether it says that it is well.
    pub is_well: bool,
    /// What it says, as it came.
    pub text: String,
}

/// Why nothing came.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// Nobody answers.
    #[error("no answer from {address}: {what}; is it running, with --http {address}?")]
    Silent {
        /// Who was asked.
        address: SocketAddr,
        /// What became of it.
        what: String,
    },
    /// The token cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Nothing can be asked at all.
    #[error("cannot ask")]
    System(#[source] io::Error),
}

/// Where a monitor is asked for if nothing is said.
const USUAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);

/// Asks the monitor with these settings whether it is alive, or whether it is ready.
///
/// # Errors
/// [`AskError`] if no answer comes within 5 s, or the token cannot be used.
pub fn health(config: &HttpConfig, live: bool) -> Result<Asked, AskError> {
    let token = config.token_file.as_deref().map(Token::from_file).transpose()?;
    let path = if live { "/healthz" } else { "/readyz" };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let address = reachable(config.listen.unwrap_or(USUAL));
    let asking = async { timeout(WITHIN, converse(address, token.as_ref(), path)).await };
    let asked = runtime.map_err(AskError::System)?.block_on(asking);
    let asked = asked.unwrap_or_else(|_| Err("it takes too long".to_owned()));
    asked.map_err(|what| AskError::Silent { address, what })
}

async fn converse(address: SocketAddr, token: Option<&Token>, path: &str) -> Result<Asked, String> {
    let told = |error: hyper::Error| error.to_string();
    let stream = TcpStream::connect(address).await.map_err(|error| error.kind().to_string())?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(told)?;
    let request = Request::get(path).header(HOST, address.to_string());
    let request = match token {
        Some(token) => request.header(AUTHORIZATION, format!("Bearer {}", token.reveal())),
        None => request,
    };
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    let asking = async {
        let response = sender.send_request(request).await.map_err(told)?;
        let is_well = response.status().is_success();
        let body = Limited::new(response.into_body(), LONGEST).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        Ok(Asked { is_well, text: String::from_utf8_lossy(&body).trim_end().to_owned() })
    };
    tokio::pin!(asking);
    tokio::select! {
        biased;
        asked = &mut asking => asked,
        // The answer may be here whole when the connection has ended.
        _ = connection => asking.await,
    }
}

/// Whoever listens everywhere is reached on this machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
