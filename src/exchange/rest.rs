//! The REST port: pages of trades, the time and the listings, all from the same ledger; and the archive.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::body::Page;
use super::connection::Shared;
use super::ledger::Ledger;
use super::limits::TooMany;
use super::query::{self, Answer};
use super::rest_script::RestScript;
use super::server::{MAX_SOCKETS, join_all, raise, turned};
use super::socket::{Listener, Socket, accept};
use crate::units::UnixMillis;

/// Everything the port needs.
#[derive(Debug, Clone)]
pub(super) struct Rest {
    pub(super) shared: Shared,
    pub(super) ledger: Ledger,
    pub(super) script: RestScript,
    pub(super) missing: Arc<[std::ops::RangeInclusive<i64>]>,
    #[cfg(feature = "replay")]
    pub(super) archive: super::archive::Archive,
}

impl Rest {
    /// Serves until `stop` turns.
    pub(super) async fn run(self, mut listener: Listener, stop: watch::Receiver<bool>) -> io::Result<()> {
        let mut tasks = JoinSet::new();
        let mut stopped = stop.clone();
        loop {
            tokio::select! {
                biased;
                () = turned(&mut stopped) => break,
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => raise(ended),
                socket = accept(Some(&mut listener)) => {
                    if tasks.len() < MAX_SOCKETS {
                        tasks.spawn(self.clone().serve(socket, stop.clone()));
                    }
                }
            }
        }
        join_all(&mut tasks).await;
        Ok(())
    }

    async fn serve(self, socket: Socket, mut stop: watch::Receiver<bool>) {
        let service = service_fn(|request| self.respond(request));
        let mut http = hyper::server::conn::http1::Builder::new();
        // The same seed is to give the same bytes.
        http.auto_date_header(false);
        tokio::select! {
            biased;
            // A client that breaks off is its own affair.
            _ = http.serve_connection(TokioIo::new(socket), service) => {}
            () = turned(&mut stop) => {}
        }
    }

    /// Answers with what is true now, be it that the answer takes its time.
    async fn respond(&self, request: Request<Incoming>) -> Result<Response<Page>, Infallible> {
        #[cfg(feature = "replay")]
        if request.uri().path().starts_with("/data/") {
            return Ok(self.archive.answer(&request));
        }
        let (response, slowness) = self.decide(request.uri());
        if !slowness.is_zero() {
            sleep(slowness).await;
        }
        Ok(response)
    }

    fn decide(&self, uri: &Uri) -> (Response<Page>, Duration) {
        let Shared { rules, counters, clock, .. } = &self.shared;
        let shade = self.script.lock().shade;
        let answer = query::answer(self, uri.path(), uri.query().unwrap_or_default(), shade);
        let now = clock.now();

        let mut state = self.script.lock();
        let used = state.limits.charge(now, answer.weight);
        let told_to_wait = state.limits.is_waiting(now);
        let (refusal, cut) = if told_to_wait {
            (Some(state.limits.ban(now)), false)
        } else if let Some((status, retry_after)) = state.next_refusal() {
            (Some(state.limits.scripted(now, status, retry_after)), false)
        } else if used > rules.rest_weight_per_minute {
            (Some(state.limits.too_much(now)), false)
        } else {
            (None, state.next_cut())
        };
        let slowness = if refusal.is_some() { Duration::ZERO } else { state.slowness };
        drop(state);

        counters.count(|stats| {
            stats.rest_requests += 1;
            stats.rest_weight += answer.weight;
            stats.rest_refused += u64::from(refusal.is_some());
        });
        if told_to_wait {
            counters.violation("a REST request before Retry-After was over".into());
        }
        let mut response = match refusal {
            Some(refusal) => refused(&refusal),
            None => page(answer, cut),
        };
        response.headers_mut().insert("x-mbx-used-weight-1m", HeaderValue::from(used));
        (response, slowness)
    }
}

fn refused(refusal: &TooMany) -> Response<Page> {
    let TooMany { status, retry_after, banned_until } = refusal;
    let answer = match (status, banned_until) {
        (_, Some(UnixMillis(until))) => {
            let told = format!("Way too much request weight used; IP banned until {until}.");
            Answer::error(*status, -1003, &told)
        }
        (418 | 429, None) => Answer::error(*status, -1003, "Too many requests."),
        (451, None) => Answer::error(*status, 0, "Service unavailable from a restricted location."),
        _ => Answer::error(*status, -1000, "An unknown error occurred while processing the request."),
    };
    let mut response = page(answer, false);
    if let Some(Ok(value)) = retry_after.as_deref().map(HeaderValue::from_str) {
        response.headers_mut().insert(RETRY_AFTER, value);
    }
    response
}

fn page(answer: Answer, cut: bool) -> Response<Page> {
    let half = answer.body.len() / 2;
    let body = Page::whole(answer.body);
    let mut response = Response::new(if cut { body.cut_after(half) } else { body });
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let json = HeaderValue::from_static("application/json;charset=UTF-8");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
