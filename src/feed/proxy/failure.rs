//! How the way through a proxy can fail, and what is worth trying again.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::feed::failure::{ConnectError, PATIENCE, Verdict};

/// A proxy lets nothing through. Nothing goes past it for that.
#[derive(Debug)]
pub struct ProxyError {
    /// The proxy, without credentials: `http://***@proxy.example:3128`.
    pub proxy: String,
    /// What is wrong.
    pub what: ProxyFailure,
}

/// What is wrong with a proxy, or with what was asked of it. Its display continues "the proxy …".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyFailure {
    /// It has no address, or none of them takes a connection.
    #[error("cannot be reached: check its host and port, and that it runs")]
    Unreachable(#[source] Box<ConnectError>),
    /// The destination's name has to be looked up here, and cannot be.
    #[error("is told addresses, and there is none to tell: with socks5h:// it looks names up itself")]
    Resolve(#[source] Box<ConnectError>),
    /// It wants a user and a password, and has been given none.
    #[error("asks for a user and a password")]
    CredentialsMissing,
    /// It does not accept the user and the password.
    #[error("does not accept the user and the password")]
    CredentialsRefused,
    /// It has been given a user and a password, and takes none.
    #[error("does not take a user and a password")]
    CredentialsUnwanted,
    /// User, password and host do not fit into the messages of SOCKS5.
    #[error("cannot be told a user and a password as long as these")]
    CredentialsTooLong,
    /// It does not let anybody through to this destination.
    #[error("does not allow connections to {to} ({said})")]
    Forbidden {
        /// Host and port.
        to: String,
        /// What it said.
        said: String,
    },
    /// It tried, and the destination does not answer.
    #[error("cannot reach {to} ({said})")]
    Beyond {
        /// Host and port.
        to: String,
        /// What it said.
        said: String,
    },
    /// It answered something else.
    #[error("opens no way to {to} ({said})")]
    Refused {
        /// Host and port.
        to: String,
        /// What it said.
        said: String,
    },
    /// What answers is no proxy of this kind.
    #[error("does not speak {0}: check scheme and port")]
    NotAProxy(&'static str),
    /// An answer that does not end.
    #[error("answers with more than 8 kB, which is no answer of a proxy")]
    AnswerTooLong,
    /// It closed the connection instead of answering.
    #[error("hung up without an answer")]
    HungUp,
    /// The connection to it broke.
    #[error("broke off")]
    Broken(#[source] io::Error),
    /// It took too long to answer.
    #[error("opened no way to {to} within {limit:?}")]
    Late {
        /// Host and port.
        to: String,
        /// How long it may take.
        limit: Duration,
    },
}

impl ProxyFailure {
    /// What to do after an attempt that failed so.
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::CredentialsMissing => Verdict::Refuse(
                "put them into the proxy's address, as in http://user:password@host:port, special characters as %XX",
            ),
            Self::CredentialsRefused => Verdict::Refuse(
                "check them in the proxy's address (--proxy, or the variable that names it); special characters are \
                 written as %XX",
            ),
            Self::CredentialsUnwanted => Verdict::Refuse("take them out of the proxy's address"),
            Self::CredentialsTooLong => {
                Verdict::Refuse("use shorter ones, or HTTP CONNECT if the proxy speaks it")
            }
            // Nobody changes the rules of a proxy within seconds.
            Self::Forbidden { .. } => Verdict::RetrySlowly(PATIENCE),
            _ => Verdict::RetrySoon,
        }
    }

    /// Whether another address of the destination may fare better.
    pub(crate) fn is_beyond(&self) -> bool {
        matches!(
            self,
            Self::Beyond { .. } | Self::Late { .. } | Self::Refused { .. } | Self::Forbidden { .. }
        )
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the proxy {} {}", self.proxy, self.what)
    }
}

impl Error for ProxyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // `what` is in the message already.
        self.what.source()
    }
}
