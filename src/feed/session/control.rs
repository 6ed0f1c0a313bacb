//! The exchange's answers among what arrives, and what they and the plan mean for a session.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::feed::failure::SessionEnd;
use crate::feed::place::Badge;
use crate::feed::subscriptions::{Answer, Finding, Method, Step, Subscriptions};
use crate::feed::{FeedEvent, FeedObserver};
use crate::text::escaped;

/// What too many subscriptions are called by the exchange.
const TOO_MANY: i64 = 4;
/// A list of as many streams as a connection may carry fits; more is not looked at.
const LONGEST: usize = 64 * 1024;

/// The streams of a session, and who hears how it stands with them.
pub(crate) struct Control<'a> {
    streams: Subscriptions,
    observer: &'a dyn FeedObserver,
    badge: Badge<'a>,
}

impl<'a> Control<'a> {
    pub(crate) fn new(streams: Subscriptions, observer: &'a dyn FeedObserver, badge: Badge<'a>) -> Self {
        Self { streams, observer, badge }
    }

    pub(super) fn want(&mut self, streams: &[String], now: Instant) {
        self.streams.want(streams, now);
    }

    /// Whether everything that is wanted is there, as far as the exchange can be believed.
    pub(super) fn is_complete(&self) -> bool {
        self.streams.is_verified()
    }

    /// When there is something to say.
    pub(super) fn due(&self) -> Option<Instant> {
        self.streams.due()
    }

    /// The next request, if it is time for one.
    pub(super) fn next_request(&mut self, now: Instant) -> Result<Option<String>, SessionEnd> {
        match self.streams.step(now) {
            Step::Send(text) => Ok(Some(text)),
            Step::GiveUp(method) => Err(SessionEnd::Unanswered(method)),
            Step::Nothing => Ok(None),
        }
    }

    /// Whether a frame that is no data is one of the answers that are waited for.
    pub(super) fn expects(&self, text: &str) -> bool {
        self.streams.awaits_answer() && text.len() <= LONGEST
    }

    /// Takes an answer; anything else means nothing here.
    pub(super) fn hear(&mut self, text: &str, now: Instant) -> Result<(), SessionEnd> {
        let Some(answer) = answer(text) else { return Ok(()) };
        match self.streams.hear(answer, now) {
            Finding::Nothing => {}
            Finding::Subscribed { streams, took } => {
                self.observer.on_event(FeedEvent::Subscribed { line: self.badge.place(), streams, took });
            }
            Finding::Refused { method, code, msg, is_believed } => {
                let (msg, remedy) = (escaped(msg.as_bytes()), remedy(method, code, is_believed));
                let line = self.badge.place();
                self.observer.on_event(FeedEvent::SubscriptionRefused { line, method, code, msg, remedy });
            }
            Finding::Differs(difference) => {
                let line = self.badge.place();
                self.observer.on_event(FeedEvent::ListDiffers { line, difference: &difference });
                if difference.is_final {
                    let (missing, excess) = (difference.missing, difference.excess);
                    return Err(SessionEnd::ListDiffers { missing, excess });
                }
            }
        }
        Ok(())
    }
}

fn remedy(method: Method, code: i64, is_believed: bool) -> Option<&'static str> {
    match (method, code) {
        (Method::Subscribe, TOO_MANY) => Some(
            "the exchange takes no more streams on this connection: lower --streams-per-connection (200 is always taken)",
        ),
        (Method::ListSubscriptions, _) if is_believed => {
            Some("what this connection carries cannot be verified; the acknowledgements are believed")
        }
        _ => None,
    }
}

/// Whether a frame is data by its first bytes: `{"stream":…`, `{"e":…`.
#[inline]
pub(super) fn is_data(text: &[u8]) -> bool {
    match text.get(2) {
        Some(b's') => true,
        // Not `{"error":…`.
        Some(b'e') => text.get(3) == Some(&b'"'),
        _ => false,
    }
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    code: Option<i64>,
    #[serde(borrow)]
    msg: Option<Cow<'a, str>>,
    #[serde(borrow)]
    error: Option<RawError<'a>>,
}

#[derive(Deserialize)]
struct RawError<'a> {
    #[serde(default)]
    code: i64,
    #[serde(borrow, default)]
    msg: Cow<'a, str>,
}

/// Reads an answer in any of its shapes; `None` if it is none.
fn answer(text: &str) -> Option<Answer> {
    let raw: Raw<'_> = serde_json::from_str(text).ok()?;
    let id = raw.id.and_then(|id| id.get().parse().ok());
    if let Some(RawError { code, msg }) = raw.error {
        return Some(Answer::Refused { id, code, msg: msg.into_owned() });
    }
    if let Some(code) = raw.code {
        return Some(Answer::Refused { id, code, msg: raw.msg.unwrap_or_default().into_owned() });
    }
    // Without an id it says nothing.
    id?;
    match raw.result.map(|result| serde_json::from_str(result.get())) {
        Some(Ok(streams)) => Some(Answer::List { id, streams }),
        _ => Some(Answer::Done { id }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_in_every_shape() {
        let refused = |id, code, msg: &str| Some(Answer::Refused { id, code, msg: msg.into() });
        for (text, expected) in [
            (r#"{"result":null,"id":7}"#, Some(Answer::Done { id: Some(7) })),
            (r#"{"id":7,"result":null}"#, Some(Answer::Done { id: Some(7) })),
            (
                r#"{"result":["a@aggTrade","b"],"id":3}"#,
                Some(Answer::List { id: Some(3), streams: vec!["a@aggTrade".into(), "b".into()] }),
            ),
            (r#"{"result":[],"id":3}"#, Some(Answer::List { id: Some(3), streams: vec![] })),
            (r#"{"result":[1],"id":3}"#, Some(Answer::Done { id: Some(3) })),
            (r#"{"code":2,"msg":"Invalid request","id":1}"#, refused(Some(1), 2, "Invalid request")),
            (r#"{"error":{"code":4,"msg":"Too many \"x\""},"id":1}"#, refused(Some(1), 4, "Too many \"x\"")),
            (r#"{"code":3,"msg":"Invalid JSON"}"#, refused(None, 3, "Invalid JSON")),
            (r#"{"code":3,"msg":"Invalid JSON","id":null}"#, refused(None, 3, "Invalid JSON")),
            (r#"{"error":{"msg":"?"},"id":"x"}"#, refused(None, 0, "?")),
            (r#"{"result":null}"#, None),
            (r#"{"result":null,"id":-1}"#, None),
            (r#"{"result":null,"id":1"#, None),
            (r#"[1]"#, None),
            (r#"{"a":1,"s":"BTCUSDT"}"#, None),
        ] {
            assert_eq!(answer(text), expected, "{text}");
        }
    }

    #[test]
    fn a_frame_of_data_is_known_by_its_third_byte_and_no_answer_is_taken_for_one() {
        for data in [r#"{"stream":"x","data":{}}"#, r#"{"e":"aggTrade"}"#] {
            assert!(is_data(data.as_bytes()), "{data}");
        }
        for answer in
            [r#"{"result":null,"id":1}"#, r#"{"error":{}}"#, r#"{"code":1}"#, r#"{"id":1}"#, "{", ""]
        {
            assert!(!is_data(answer.as_bytes()), "{answer}");
        }
    }
}
