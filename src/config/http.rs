//! What is served over HTTP.

use std::net::SocketAddr;
use std::path::PathBuf;

/// What is served over HTTP. Off by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpConfig {
    /// Where; `None` for nowhere. Port 0 takes a free one. An address that other machines can reach needs a token.
    pub listen: Option<SocketAddr>,
    /// A file with the token that every request has to bring; `None` lets every request in.
    pub token_file: Option<PathBuf>,
    /// Names that this machine may be called by in the Host header, besides `localhost` and addresses.
    pub allow_hosts: Vec<String>,
}
