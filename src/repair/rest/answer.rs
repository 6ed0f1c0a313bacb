//! What an HTTP answer means: pure.

use hyper::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::http::StatusCode;

use crate::decode::{self, Control, Message};
use crate::feed::failure::retry_after;
use crate::repair::{Ask, Page, RestError};
use crate::text::escaped;
use crate::trade::AggTrade;
use crate::units::UnixMillis;

/// An answer that was read as far as it matters.
#[derive(Debug)]
pub(super) struct Answered {
    status: u16,
    retry_after: Option<std::time::Duration>,
    pub(super) used_weight: Option<u64>,
    body: Vec<u8>,
}

/// "An unknown error occurred", and what is too old to be asked for by id.
const UNKNOWN: i64 = -1000;

impl Answered {
    pub(super) fn new(status: StatusCode, headers: &HeaderMap, body: Vec<u8>) -> Self {
        Self {
            status: status.as_u16(),
            retry_after: retry_after(headers.get(RETRY_AFTER).map(HeaderValue::as_bytes)),
            used_weight: used_weight(headers),
            body,
        }
    }

    /// The page, checked; or the one decision on what went wrong.
    pub(super) fn page(self, ask: Ask) -> Result<Page, RestError> {
        if self.status != 200 {
            return Err(self.refused(matches!(ask, Ask::FromId { .. })));
        }
        let trades = decode::page(&self.body).map_err(|fault| self.unusable("page", &fault.to_string()))?;
        in_order(&trades, ask).map_err(|fault| self.unusable("page", &fault))?;
        Ok(Page { trades, used_weight: self.used_weight })
    }

    /// Anything else that is read from a body and called `what` in errors; decided on as for a page.
    pub(super) fn fact<T>(
        self,
        what: &str,
        read: impl FnOnce(&[u8]) -> Result<T, String>,
    ) -> Result<T, RestError> {
        if self.status != 200 {
            return Err(self.refused(false));
        }
        read(&self.body).map_err(|fault| self.unusable(what, &fault))
    }

    /// What a status other than 200 means.
    fn refused(self, by_id: bool) -> RestError {
        let words = Words::of(&self.body);
        let (status, code, message) = (self.status, words.code, words.message);
        match status {
            418 | 429 => RestError::TooManyRequests {
                status,
                retry_after: self.retry_after,
                banned_until: words.banned_until,
                used_weight: self.used_weight,
                message,
            },
            _ if words.too_old && by_id => RestError::TooOldForIds,
            300..400 => {
                let message = "a redirection, which is not followed; check the REST address".to_owned();
                RestError::Refused { status, code, message }
            }
            400 if code == Some(UNKNOWN) && !words.too_old => RestError::Passing(passing(status, &message)),
            400..500 if status != 408 => RestError::Refused { status, code, message },
            _ => RestError::Passing(passing(status, &message)),
        }
    }

    fn unusable(&self, what: &str, fault: &str) -> RestError {
        let words = Words::of(&self.body);
        RestError::Passing(match words.code {
            Some(code) => format!("REST answered 200 with error {code}: {}", words.message),
            None => format!("REST's {what} cannot be used: {fault}"),
        })
    }
}

fn passing(status: u16, message: &str) -> String {
    if message.is_empty() {
        format!("REST answered {status}")
    } else {
        format!("REST answered {status}: {message}")
    }
}

/// The exchange's words about an error.
#[derive(Debug, PartialEq, Eq)]
struct Words {
    code: Option<i64>,
    /// Escaped, at most 160 characters, without our address.
    message: String,
    banned_until: Option<UnixMillis>,
    too_old: bool,
}

impl Words {
    /// `{"code":…,"msg":…}`, or any other text, such as the page of a proxy.
    fn of(body: &[u8]) -> Self {
        let (code, text) = match decode::decode(body) {
            Message::Control(Control::Error { code, msg, .. }) => (Some(code), msg),
            _ => (None, String::from_utf8_lossy(body)),
        };
        Self {
            code,
            message: escaped(without_address(&text).as_bytes()),
            banned_until: banned_until(&text, code.is_some()),
            too_old: code == Some(UNKNOWN) && text.contains("24 hours"),
        }
    }
}

/// `… IP(203.0.113.7) banned until …`: our own address is nobody's business.
fn without_address(text: &str) -> String {
    match text.split_once("IP(").and_then(|(before, rest)| Some((before, rest.split_once(')')?.1))) {
        Some((before, after)) => format!("{before}IP(***){after}"),
        None => text.to_owned(),
    }
}

/// The end of a ban in "banned until <ms>". Of a text that may have broken off, a number at its very end is not
/// believed: the first digits of a moment tell one long past.
fn banned_until(text: &str, is_whole: bool) -> Option<UnixMillis> {
    let (_, rest) = text.split_once("banned until ")?;
    let digits = &rest[..rest.bytes().take_while(u8::is_ascii_digit).count()];
    if digits.len() == rest.len() && !is_whole {
        return None;
    }
    digits.parse().ok().map(UnixMillis::from_exchange)
}

fn used_weight(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get("x-mbx-used-weight-1m")?.to_str().ok()?.trim();
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Ids that do not ascend, or begin too early, are no answer to the question.
fn in_order(trades: &[AggTrade], ask: Ask) -> Result<(), String> {
    if let Some(pair) = trades.windows(2).find(|pair| pair[0].id >= pair[1].id) {
        return Err(format!("ids are not in order ({} after {})", pair[1].id, pair[0].id));
    }
    match (ask, trades.first()) {
        (Ask::FromId { from, .. }, Some(first)) if first.id < from => {
            Err(format!("it begins with id {}, before {from} that was asked for", first.id))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::units::AggTradeId;

    const BY_ID: Ask = Ask::FromId { from: AggTradeId(5), limit: 10 };
    const BY_TIME: Ask = Ask::Window { start: UnixMillis(0), end: UnixMillis(1), limit: 10 };

    fn said(
        status: u16,
        headers: &[(&'static str, &'static str)],
        body: &str,
        ask: Ask,
    ) -> Result<Page, RestError> {
        let headers = headers.iter().map(|(name, value)| {
            (name.parse::<hyper::header::HeaderName>().unwrap(), HeaderValue::from_static(value))
        });
        let status = StatusCode::from_u16(status).unwrap();
        Answered::new(status, &headers.collect(), body.as_bytes().to_vec()).page(ask)
    }

    fn told(status: u16, body: &str) -> String {
        said(status, &[], body, BY_ID).unwrap_err().to_string()
    }

    fn rows(ids: &[i64]) -> String {
        let row = |id| format!(r#"{{"a":{id},"p":"1","q":"1","f":1,"l":1,"T":1,"m":true}}"#);
        let rows: Vec<_> = ids.iter().map(row).collect();
        format!("[{}]", rows.join(","))
    }

    #[test]
    fn a_page_comes_with_the_weight_that_was_used() {
        let page = said(200, &[("X-MBX-USED-WEIGHT-1M", "2399")], &rows(&[5, 7]), BY_ID).unwrap();
        assert_eq!(page.trades.iter().map(|trade| trade.id.0).collect::<Vec<_>>(), [5, 7]);
        assert_eq!(page.used_weight, Some(2_399));
        for odd in ["", "-1", "+1", "1e3", "99999999999999999999"] {
            assert_eq!(said(200, &[("x-mbx-used-weight-1m", odd)], "[]", BY_ID).unwrap().used_weight, None);
        }
    }

    #[test]
    fn a_page_out_of_order_is_not_taken() {
        for (ids, fault) in [
            (&[5, 7, 6][..], "ids are not in order (6 after 7)"),
            (&[5, 5], "ids are not in order (5 after 5)"),
            (&[4, 5], "it begins with id 4, before 5 that was asked for"),
        ] {
            let expected = RestError::Passing(format!("REST's page cannot be used: {fault}"));
            assert_eq!(said(200, &[], &rows(ids), BY_ID), Err(expected));
        }
        assert!(said(200, &[], &rows(&[4, 5]), BY_TIME).is_ok());
    }

    #[test]
    fn what_is_no_page_passes_with_its_reason() {
        let passing = |text: &str| Err(RestError::Passing(text.to_owned()));
        assert_eq!(
            said(200, &[], r#"{"code":-1121,"msg":"Invalid symbol."}"#, BY_ID),
            passing("REST answered 200 with error -1121: Invalid symbol.")
        );
        let broken = rows(&[5]).replace("true", "1");
        assert_eq!(
            said(200, &[], &broken, BY_ID),
            passing("REST's page cannot be used: row 1: `m` has a wrong type or is out of range")
        );
        assert_eq!(said(200, &[], "", BY_ID), passing("REST's page cannot be used: not JSON, or cut short"));
    }

    #[test]
    fn too_many_requests_tells_how_long_to_wait_and_not_who_we_are() {
        let body = r#"{"code":-1003,"msg":"Way too many requests; IP(203.0.113.7) banned until 1795132800123. Please use the websocket."}"#;
        let headers = [("Retry-After", "7"), ("X-MBX-USED-WEIGHT-1M", "2401")];
        let expected = RestError::TooManyRequests {
            status: 418,
            retry_after: Some(Duration::from_secs(7)),
            banned_until: Some(UnixMillis(1_795_132_800_123)),
            used_weight: Some(2_401),
            message: "Way too many requests; IP(***) banned until 1795132800123. Please use the websocket."
                .into(),
        };
        assert_eq!(said(418, &headers, body, BY_ID), Err(expected));
        let bare = RestError::TooManyRequests {
            status: 429,
            retry_after: None,
            banned_until: None,
            used_weight: None,
            message: String::new(),
        };
        assert_eq!(said(429, &[("Retry-After", "soon")], "", BY_ID), Err(bare));
        assert_eq!(banned_until("banned until 99999999999999999999", true), None);
        assert_eq!(banned_until("banned until tomorrow", true), None);
        assert_eq!(banned_until("banned until 1795132800", false), None, "the rest of it may be missing");
        assert_eq!(banned_until("banned until 17.", false), Some(UnixMillis(17)));
    }

    #[test]
    fn ids_that_are_too_old_send_us_to_times_and_times_send_us_nowhere() {
        let body = r#"{"code":-1000,"msg":"Only recent trade history within the past 24 hours is supported for aggTrades"}"#;
        assert_eq!(said(400, &[], body, BY_ID), Err(RestError::TooOldForIds));
        let refused = said(400, &[], body, BY_TIME);
        assert!(
            matches!(refused, Err(RestError::Refused { status: 400, code: Some(-1000), .. })),
            "{refused:?}"
        );
        let unknown = r#"{"code":-1000,"msg":"An unknown error occurred while processing the request."}"#;
        assert!(matches!(said(400, &[], unknown, BY_ID), Err(RestError::Passing(_))));
    }

    #[test]
    fn a_refusal_is_told_by_its_status_and_whatever_words_came() {
        assert_eq!(
            told(400, r#"{"code":-1121,"msg":"Invalid symbol."}"#),
            "REST answered 400: Invalid symbol."
        );
        assert_eq!(told(404, "<html>\u{1b}[31mnot found"), r"REST answered 404: <html>\u{1b}[31mnot found");
        assert_eq!(told(403, ""), "REST answered 403");
        for status in [400, 401, 403, 404, 410, 451] {
            assert!(matches!(said(status, &[], "", BY_ID), Err(RestError::Refused { .. })), "{status}");
        }
        for status in [202, 204, 408, 500, 502, 503, 504, 599] {
            assert!(matches!(said(status, &[], "", BY_ID), Err(RestError::Passing(_))), "{status}");
        }
        assert!(told(302, "").contains("not followed; check the REST address"));
        assert!(told(451, &"x".repeat(70_000)).len() < 200);
    }
}
