//! One connection to the archive, which is kept from file to file.

use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName};
use tokio::time::{Instant, timeout_at};

use super::partial::Version;
use crate::feed::failure::retry_after;
use crate::feed::{Destination, Network};
use crate::repair::rest::RestBase;
use crate::repair::rest::chain;
use crate::repair::rest::line::{Line, LineError};

/// A connection that rested for longer is not trusted.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// In a stretch of the patience's length at least so many bytes have to come.
const LEAST: u64 = 4 * 1024;
/// The end of an answer that does not matter is read up to here, to keep the connection.
const MAX_WORDS: usize = 32 * 1024;

pub(super) struct Client<'a> {
    network: &'a dyn Network,
    base: &'a RestBase,
    patience: Duration,
    state: State,
    /// Another of the host's machines each time a connection has failed.
    turn: usize,
}

enum State {
    Gone,
    Resting(Line, Instant),
    Reading { line: Line, body: Incoming, since: Instant, read: u64 },
}

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    /// Of the whole file: its version, where it has one.
    pub(super) version: Option<Version>,
    /// The length of the whole file.
    pub(super) length: Option<u64>,
    /// Of a part of it: where it begins.
    pub(super) begins: Option<u64>,
}

impl<'a> Client<'a> {
    pub(super) fn new(network: &'a dyn Network, base: &'a RestBase, patience: Duration) -> Self {
        Self { network, base, patience, state: State::Gone, turn: 0 }
    }

    /// Asks for a file, or its rest; gives the head of the answer. An earlier answer is left unread.
    ///
    /// # Errors
    /// What went wrong, in words; it may be asked again.
    pub(super) async fn ask(&mut self, path: &str, rest: Option<(u64, &str)>) -> Result<Head, String> {
        let range = rest.map(|(from, _)| format!("bytes={from}-"));
        let mut headers = Vec::new();
        if let (Some(range), Some((_, etag))) = (&range, rest) {
            headers.extend([(header::RANGE, range.as_str()), (header::IF_RANGE, etag)]);
        }
        let asked = self.asked(&format!("{}{path}", self.base.prefix()), &headers).await;
        asked.map_err(|error| {
            self.turn = self.turn.wrapping_add(1);
            self.told(error)
        })
    }

    /// The next piece of the answer; `None` at its end.
    ///
    /// # Errors
    /// As for [`Client::ask`].
    ///
    /// # Cancel safety
    /// A dropped future takes nothing with it.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, String> {
        let patience = self.patience;
        let State::Reading { line, body, since, read } = &mut self.state else { return Ok(None) };
        if since.elapsed() > patience {
            if *read < LEAST {
                self.state = State::Gone;
                return Err(format!("less than {LEAST} bytes came within {patience:?}"));
            }
            (*since, *read) = (Instant::now(), 0);
        }
        let next = timeout_at(Instant::now() + patience, line.next(body)).await;
        match next.unwrap_or(Err(LineError::Late)) {
            Ok(Some(bytes)) => {
                *read += bytes.len() as u64;
                Ok(Some(bytes))
            }
            Ok(None) => {
                if let State::Reading { line, .. } = std::mem::replace(&mut self.state, State::Gone) {
                    self.state = State::Resting(line, Instant::now());
                }
                Ok(None)
            }
            Err(error) => {
                self.state = State::Gone;
                self.turn = self.turn.wrapping_add(1);
                Err(self.told(error))
            }
        }
    }

    /// The whole rest of the answer, up to so many bytes.
    ///
    /// # Errors
    /// As for [`Client::ask`].
    pub(super) async fn all(&mut self, limit: usize) -> Result<Vec<u8>, String> {
        let mut all = Vec::new();
        while let Some(bytes) = self.next().await? {
            if bytes.len() > limit - all.len() {
                self.state = State::Gone;
                return Err(format!("more than {limit} bytes came, which is too much"));
            }
            all.extend_from_slice(&bytes);
        }
        Ok(all)
    }

    /// Passes over the rest of the answer, if that is short; else the connection is closed.
    pub(super) async fn skip(&mut self) {
        // What went wrong with it is of no interest; the connection is gone then.
        drop(self.all(MAX_WORDS).await);
    }

    async fn asked(&mut self, path: &str, headers: &[(HeaderName, &str)]) -> Result<Head, LineError> {
        if let State::Resting(line, since) = std::mem::replace(&mut self.state, State::Gone)
            && since.elapsed() <= LONGEST_REST
        {
            match self.asked_over(line, path, headers).await {
                // It was closed while it rested, as every server does after a while.
                Err(LineError::Gone(_)) => {}
                other => return other,
            }
        }
        let (host, port, tls) = self.base.destination();
        let dialing = self.network.dial(Destination { host, port, tls, turn: self.turn });
        let stream = match timeout_at(Instant::now() + self.patience, dialing).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(LineError::Broken(chain(&error))),
            Err(_elapsed) => return Err(LineError::Late),
        };
        self.asked_over(Line::over(stream).await?, path, headers).await
    }

    async fn asked_over(
        &mut self,
        mut line: Line,
        path: &str,
        headers: &[(HeaderName, &str)],
    ) -> Result<Head, LineError> {
        let sending = line.send_with(path, self.base.authority(), headers);
        let answer = timeout_at(Instant::now() + self.patience, sending).await;
        let (head, body) = answer.map_err(|_elapsed| LineError::Late)??.into_parts();
        self.state = State::Reading { line, body, since: Instant::now(), read: 0 };
        Ok(Head::of(head.status.as_u16(), &head.headers))
    }

    fn told(&self, error: LineError) -> String {
        let at = self.base;
        match error {
            LineError::Late => format!("{at} was silent for {:?}", self.patience),
            LineError::TooLong(limit) => format!("{at} sent more than {limit} bytes"),
            LineError::Gone(what) | LineError::Broken(what) => format!("{at}: {what}"),
        }
    }
}

impl Head {
    fn of(status: u16, headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        // Content-Range: bytes 200-999/1000
        let range = text(header::CONTENT_RANGE).and_then(|range| {
            let (ends, length) = range.strip_prefix("bytes ")?.split_once('/')?;
            let (begins, last) = ends.split_once('-')?;
            let numbers = [begins, last, length].map(|number| number.trim().parse::<u64>().ok());
            let [Some(begins), Some(last), Some(length)] = numbers else { return None };
            (begins <= last && last.checked_add(1) == Some(length)).then_some((begins, length))
        });
        let length = match status {
            206 => range.map(|(_, length)| length),
            _ => text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok()),
        };
        // A weak one does not promise the same bytes.
        let etag = text(header::ETAG).filter(|etag| etag.len() <= 256 && etag.starts_with('"'));
        let version = etag.zip(length).map(|(etag, length)| Version { etag: etag.to_owned(), length });
        let begins = range.filter(|_| status == 206).map(|(begins, _)| begins);
        let retry_after = retry_after(headers.get(header::RETRY_AFTER).map(|value| value.as_bytes()));
        Self { status, retry_after, version, length, begins }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn head(status: u16, headers: &[(&'static str, &'static str)]) -> Head {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        Head::of(status, &headers.collect())
    }

    #[test]
    fn a_whole_file_has_a_version_only_by_a_strong_etag_and_a_length() {
        let whole = head(200, &[("etag", "\"abc\""), ("content-length", "1000")]);
        assert_eq!(whole.version, Some(Version { etag: "\"abc\"".into(), length: 1_000 }));
        for headers in [
            &[("etag", "W/\"abc\""), ("content-length", "1000")][..],
            &[("etag", "\"abc\"")],
            &[("content-length", "1000")],
            &[("etag", "abc"), ("content-length", "1000")],
        ] {
            assert_eq!(head(200, headers).version, None, "{headers:?}");
        }
    }

    #[test]
    fn a_part_says_where_it_begins_and_reaches_the_end() {
        let part = head(
            206,
            &[("content-range", "bytes 200-999/1000"), ("content-length", "800"), ("etag", "\"e\"")],
        );
        assert_eq!((part.begins, part.length), (Some(200), Some(1_000)));
        assert_eq!(part.version.map(|version| version.length), Some(1_000));
        for odd in [
            "bytes 200-899/1000",
            "bytes 200-999/*",
            "bytes 999-200/201",
            "200-999/1000",
            "bytes 0-18446744073709551615/0",
            "",
        ] {
            let part = head(206, &[("content-range", odd)]);
            assert_eq!((part.begins, part.length), (None, None), "{odd}");
        }
    }
}
