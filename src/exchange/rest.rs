//! The REST port: pages of trades, the time and the listings, all from the same ledger.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::connection::Shared;
use super::ledger::Ledger;
use super::query::{self, Answer};
use super::server::{MAX_SOCKETS, accept, join_all, raise, turned};

/// What the script wants of REST, and how much weight was used. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct RestScript {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    refusals: std::collections::VecDeque<(u16, Option<String>)>,
    cuts: u32,
    lag: u64,
    banned_until: Option<Instant>,
    window: Option<Instant>,
    used: u64,
}

/// Refusals that can be armed at once.
const MAX_REFUSALS: usize = 100_000;

impl RestScript {
    pub(super) fn refuse(&self, status: u16, retry_after: Option<&str>, times: u32) {
        let mut state = self.lock();
        let room = MAX_REFUSALS.saturating_sub(state.refusals.len());
        let refusal = (status, retry_after.map(String::from));
        state.refusals.extend(std::iter::repeat_n(refusal, room.min(times as usize)));
    }

    pub(super) fn cut(&self, times: u32) {
        self.lock().cuts = times;
    }

    pub(super) fn lag(&self, ids: u64) {
        self.lock().lag = ids;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the state in hand, because nothing in it can")
    }
}

/// Everything the port needs.
#[derive(Debug, Clone)]
pub(super) struct Rest {
    pub(super) shared: Shared,
    pub(super) ledger: Ledger,
    pub(super) script: RestScript,
    pub(super) missing: Arc<[std::ops::RangeInclusive<i64>]>,
}

impl Rest {
    /// Serves until `stop` turns.
    pub(super) async fn run(self, listener: TcpListener, stop: watch::Receiver<bool>) -> io::Result<()> {
        let mut tasks = JoinSet::new();
        let mut stopped = stop.clone();
        loop {
            tokio::select! {
                () = turned(&mut stopped) => break,
                socket = accept(Some(&listener)) => {
                    if tasks.len() < MAX_SOCKETS {
                        let (rest, mut stop) = (self.clone(), stop.clone());
                        tasks.spawn(async move {
                            let service = service_fn(|request| std::future::ready(rest.respond(&request)));
                            let http = hyper::server::conn::http1::Builder::new();
                            tokio::select! {
                                // A client that breaks off is its own affair.
                                _ = http.serve_connection(TokioIo::new(socket), service) => {}
                                () = turned(&mut stop) => {}
                            }
                        });
                    }
                }
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => raise(ended),
            }
        }
        join_all(&mut tasks).await;
        Ok(())
    }

    fn respond(&self, request: &Request<Incoming>) -> Result<Response<Page>, Infallible> {
        let uri = request.uri();
        let (lag, cut, refusal) = {
            let mut state = self.script.lock();
            let refusal = state.refusals.pop_front();
            let cut = refusal.is_none() && state.cuts > 0;
            state.cuts -= u32::from(cut);
            (state.lag, cut, refusal)
        };
        let answer = query::answer(self, uri.path(), uri.query().unwrap_or_default(), lag);
        let used = self.charge(answer.weight);
        let refusal = refusal.or_else(|| {
            let too_much = used > self.shared.rules.rest_weight_per_minute;
            too_much.then(|| (429, Some(self.seconds_left().to_string())))
        });
        let mut response = match refusal {
            Some((status, retry_after)) => self.refused(status, retry_after.as_deref()),
            None => page(answer, cut),
        };
        response.headers_mut().insert("x-mbx-used-weight-1m", HeaderValue::from(used));
        Ok(response)
    }

    /// Adds to the weight of this minute, notes a request within a ban, and gives the weight used.
    fn charge(&self, weight: u64) -> u64 {
        let now = Instant::now();
        let (used, banned) = {
            let mut state = self.script.lock();
            if state.window.is_none_or(|start| now - start >= MINUTE) {
                (state.window, state.used) = (Some(now), 0);
            }
            state.used += weight;
            (state.used, state.banned_until.is_some_and(|until| now < until))
        };
        if banned {
            self.shared.counters.violation("a REST request before Retry-After was over".into());
        }
        self.shared.counters.count(|stats| {
            stats.rest_requests += 1;
            stats.rest_weight += weight;
        });
        used
    }

    fn seconds_left(&self) -> u64 {
        let start = self.script.lock().window;
        start.map_or(60, |start| MINUTE.saturating_sub(start.elapsed()).as_secs() + 1)
    }

    fn refused(&self, status: u16, retry_after: Option<&str>) -> Response<Page> {
        if let Some(seconds) = retry_after.and_then(|text| text.parse::<u32>().ok()) {
            let until = Instant::now() + Duration::from_secs(seconds.into());
            self.script.lock().banned_until = Some(until);
        }
        let answer = match status {
            418 | 429 => Answer::error(status, -1003, "Too many requests."),
            451 => Answer::error(status, 0, "Service unavailable from a restricted location."),
            _ => Answer::error(status, -1000, "An unknown error occurred while processing the request."),
        };
        let mut response = page(answer, false);
        if let Some(Ok(value)) = retry_after.map(HeaderValue::from_str) {
            response.headers_mut().insert(RETRY_AFTER, value);
        }
        response
    }
}

const MINUTE: Duration = Duration::from_secs(60);

fn page(answer: Answer, cut: bool) -> Response<Page> {
    let mut body = answer.body;
    let len = body.len() as u64;
    if cut {
        body.truncate(body.len() / 2);
    }
    let mut response = Response::new(Page { rest: Some(body.into()), left: len, cut, flushed: false });
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let json = HeaderValue::from_static("application/json;charset=UTF-8");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// A body that may break off before its announced length.
struct Page {
    rest: Option<Bytes>,
    left: u64,
    cut: bool,
    flushed: bool,
}

impl Body for Page {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(bytes) = self.rest.take() {
            self.left = self.left.saturating_sub(bytes.len() as u64);
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if !self.cut {
            return Poll::Ready(None);
        }
        if !std::mem::replace(&mut self.flushed, true) {
            // One breath for hyper to flush the half: an error would throw it away.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::ConnectionReset))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && !self.cut
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
