//! Notices posted to an address: signed, over HTTPS, never following a redirect.

mod address;
mod secret;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{self, HeaderName};
use tokio::time::{Instant, sleep, timeout_at};

use crate::clock;
use crate::feed::{Destination, Network};
use crate::repair::rest::chain;
use crate::repair::rest::line::{Line, LineError};
use crate::text::escaped;

pub use address::{WebhookUrl, WebhookUrlError};
pub use secret::{Secret, SecretError};

/// Where notices are posted to.
#[derive(Debug, Clone, PartialEq)]
pub struct Webhook {
    /// The address.
    pub url: WebhookUrl,
    /// What requests are signed with.
    pub secret: Option<Secret>,
    /// It may be on this machine or in a private network.
    pub allow_private: bool,
}

/// From dialing to the answer.
const DEADLINE: Duration = Duration::from_secs(10);
/// What the words of an answer are worth, of which one line is shown.
const WORDS_DEADLINE: Duration = Duration::from_secs(1);
/// More of an answer is not read.
const MOST_WORDS: usize = 64 * 1024;
/// The waits between the attempts.
const BACKOFF: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

const TIMESTAMP: HeaderName = HeaderName::from_static("x-cvd-stream-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("x-cvd-stream-signature");

/// Posts, one body at a time, each over a connection of its own.
pub(super) struct Courier {
    webhook: Webhook,
    network: Arc<dyn Network>,
}

/// Why an attempt came to nothing.
struct Failure {
    told: String,
    /// Another attempt would come to the same.
    is_final: bool,
}

impl Courier {
    pub(super) fn new(webhook: Webhook, network: Arc<dyn Network>) -> Self {
        Self { webhook, network }
    }

    /// The address as it may be shown.
    pub(super) fn to(&self) -> String {
        self.webhook.url.to_string()
    }

    /// Posts a JSON text: three attempts where another may help.
    ///
    /// # Errors
    /// Why the last one failed, in words without secrets.
    pub(super) async fn deliver(&self, body: Bytes) -> Result<(), String> {
        let mut backoff = BACKOFF.into_iter();
        loop {
            let failure = match self.attempt(body.clone()).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            match backoff.next().filter(|_| !failure.is_final) {
                Some(wait) => sleep(wait).await,
                None => return Err(failure.told),
            }
        }
    }

    async fn attempt(&self, body: Bytes) -> Result<(), Failure> {
        let deadline = Instant::now() + DEADLINE;
        match timeout_at(deadline, self.answer(body)).await {
            Ok(Ok((status, words))) => judge(status, &words),
            Ok(Err(told)) => Err(Failure { told, is_final: false }),
            Err(_elapsed) => Err(Failure { told: format!("no answer within {DEADLINE:?}"), is_final: false }),
        }
    }

    /// The status of the answer, and its first words.
    async fn answer(&self, body: Bytes) -> Result<(StatusCode, Vec<u8>), String> {
        let url = &self.webhook.url;
        let (host, port, tls) = url.base.destination();
        let to = Destination { host, port, tls, turn: 0 };
        let dialing =
            if self.webhook.allow_private { self.network.dial(to) } else { self.network.dial_public(to) };
        let stream = dialing.await.map_err(|error| chain(&error))?;
        let mut line = Line::over(stream).await.map_err(told)?;

        let since = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        let timestamp = since.as_secs().to_string();
        let signature = self.webhook.secret.as_ref().map(|secret| secret.signature(&timestamp, &body));
        let mut headers = vec![(header::CONTENT_TYPE, "application/json"), (TIMESTAMP, &*timestamp)];
        if let Some(signature) = &signature {
            headers.push((SIGNATURE, signature));
        }
        let answer = line.post(&url.path, url.base.authority(), &headers, body).await.map_err(told)?;

        let (head, mut incoming) = answer.into_parts();
        let mut words = Vec::new();
        // The status is what counts: an answer that is too long or too slow is left where it is.
        let reading = line.read(&mut incoming, &mut words, MOST_WORDS);
        drop(timeout_at(Instant::now() + WORDS_DEADLINE, reading).await);
        Ok((head.status, words))
    }
}

fn judge(status: StatusCode, words: &[u8]) -> Result<(), Failure> {
    if status.is_success() {
        return Ok(());
    }
    if status.is_redirection() {
        let told = format!(
            "it answered {} and redirects are not followed: give the address itself",
            status.as_u16()
        );
        return Err(Failure { told, is_final: true });
    }
    let passes = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
    let said = escaped(words);
    let told = match said.as_str() {
        "" => format!("it answered {}", status.as_u16()),
        said => format!("it answered {}: {said}", status.as_u16()),
    };
    Err(Failure { told, is_final: !passes })
}

fn told(error: LineError) -> String {
    match error {
        LineError::Late => "no answer in time".to_owned(),
        LineError::TooLong(limit) => format!("it sent more than {limit} bytes"),
        LineError::Gone(what) | LineError::Broken(what) => format!("no whole answer: {what}"),
    }
}

impl fmt::Debug for Courier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Courier").field("webhook", &self.webhook).finish_non_exhaustive()
    }
}
