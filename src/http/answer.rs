//! Answers: their bodies, and the headers that every one of them has.

use std::convert::Infallible;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};

use super::guard::Refusal;

/// A body, whole or as it comes.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

pub(super) const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

/// Headers that leave a browser nothing to do with an answer but to show it.
const STRICT: [(HeaderName, &str); 6] = [
    (CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("content-security-policy"), "default-src 'none'; frame-ancestors 'none'"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("referrer-policy"), "no-referrer"),
    (HeaderName::from_static("x-content-type-options"), "nosniff"),
    (HeaderName::from_static("x-frame-options"), "DENY"),
];

/// An answer of this type.
pub(super) fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Body> {
    stream(status, content_type, Full::new(body.into()).boxed_unsync())
}

/// An answer whose body comes as it comes.
pub(super) fn stream(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    for (name, value) in STRICT {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// What is wrong with a request, as `application/problem+json` (RFC 9457). The detail is ours: nothing of the request is
/// in it.
pub(super) fn problem(status: StatusCode, detail: &str) -> Response<Body> {
    let title = status.canonical_reason().unwrap_or("Error");
    let body = serde_json::json!({ "title": title, "status": status.as_u16(), "detail": detail });
    answer(status, PROBLEM, format!("{body}\n"))
}

/// The answer to a request that is refused.
pub(super) fn refused(refusal: Refusal) -> Response<Body> {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = problem(status, refusal.detail());
    let header = match refusal {
        Refusal::Method => Some((ALLOW, "GET")),
        Refusal::Token => Some((WWW_AUTHENTICATE, "Bearer realm=\"cvd-stream\"")),
        _ => None,
    };
    response.headers_mut().extend(header.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}

/// Too much is asked for at the moment.
pub(super) fn busy(detail: &str) -> Response<Body> {
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, detail);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
    response
}
