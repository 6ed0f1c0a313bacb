//! Which path answers what.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use percent_encoding::percent_decode_str;

use super::answer::{self, Body, JSON, answer, busy, problem, refused};
use super::counts::{Counts, Lasting};
use super::events::{Wish, hearing};
use super::guard::Guard;
use super::metrics;
use super::watched::Watched;
use crate::overview::{DEAD_AFTER_S, Health, LaneOverview, Overview, Verdict};
use crate::report::json;
use crate::snapshot::{Instrument, Market};
use crate::units::Symbol;

/// What the API offers, for programs.
const OPENAPI: &str = include_str!("../../docs/openapi.json");
/// Clients that may listen to the stream at once.
const MOST_LISTENERS: u64 = 32;
const EVENT_STREAM: &str = "text/event-stream";

/// Everything that answers.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) watched: Watched,
    pub(super) guard: Guard,
    pub(super) counts: Arc<Counts>,
}

impl Site {
    /// Answers a request, whatever it is.
    pub(super) async fn respond(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let (head, _) = request.into_parts();
        let response = match self.guard.check(&head) {
            Ok(()) => self.route(&head),
            Err(refusal) => {
                self.counts.refused(refusal);
                refused(refusal)
            }
        };
        self.counts.answered(response.status().as_u16());
        Ok(response)
    }

    /// Paths are taken as they are: nothing is decoded or resolved, so that there is one way to write each.
    fn route(&self, head: &Parts) -> Response<Body> {
        let query = head.uri.query();
        match head.uri.path() {
            "/healthz" => self.alive(),
            "/readyz" => self.ready(),
            "/metrics" => match metrics::text(&self.watched, &self.counts) {
                Ok(text) => answer(StatusCode::OK, metrics::CONTENT_TYPE, text),
                Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written"),
            },
            "/api/v1/symbols" => self.of_overview(|overview| body(|into| json::symbols(into, overview))),
            "/api/v1/snapshot" => self.snapshot(query),
            "/api/v1/gaps" => {
                let (gaps, all) = self.watched.records.gaps();
                answer(StatusCode::OK, JSON, body(|into| json::gaps(into, &gaps, all)))
            }
            "/api/v1/stream" => self.stream(head),
            "/api/v1/openapi.json" => answer(StatusCode::OK, JSON, OPENAPI),
            _ => problem(StatusCode::NOT_FOUND, "no such path; /api/v1/openapi.json lists all"),
        }
    }

    /// Whether the process is worth keeping: it comes round, whatever it finds there.
    fn alive(&self) -> Response<Body> {
        let (_, age_s) = self.watched.looked();
        match age_s > DEAD_AFTER_S {
            false => answer(StatusCode::OK, JSON, "{\"v\":1,\"type\":\"alive\",\"alive\":true}\n"),
            true => answer(
                StatusCode::SERVICE_UNAVAILABLE,
                JSON,
                format!("{{\"v\":1,\"type\":\"alive\",\"alive\":false,\"stuck_s\":{age_s:.0}}}\n"),
            ),
        }
    }

    /// Whether its numbers can be relied on now.
    fn ready(&self) -> Response<Body> {
        let (overview, age_s) = self.watched.looked();
        let health = Health::of(overview.as_deref(), age_s);
        let status = match health.verdict() {
            Verdict::Ready | Verdict::Degraded => StatusCode::OK,
            Verdict::NotReady => StatusCode::SERVICE_UNAVAILABLE,
        };
        answer(status, JSON, body(|into| json::health(into, &health)))
    }

    fn of_overview(&self, write: impl FnOnce(&Overview) -> Vec<u8>) -> Response<Body> {
        match self.watched.looked() {
            (Some(overview), _) => answer(StatusCode::OK, JSON, write(&overview)),
            (None, _) => busy("the run has just begun: ask again in a second"),
        }
    }

    fn snapshot(&self, query: Option<&str>) -> Response<Body> {
        let Some(asked) = parameter(query, "symbol") else {
            return problem(
                StatusCode::BAD_REQUEST,
                "which symbol? ?symbol=BTCUSDT, or ?symbol=spot:BTCUSDT",
            );
        };
        let Some((overview, _)) = self.watched.posted.now() else {
            return busy("the run has just begun: ask again in a second");
        };
        match found(&overview, &asked) {
            Ok(lane) => {
                let epoch = self.watched.records.epoch();
                answer(StatusCode::OK, JSON, body(|into| json::snapshot(into, &overview, lane, epoch)))
            }
            Err(response) => *response,
        }
    }

    fn stream(&self, head: &Parts) -> Response<Body> {
        let query = head.uri.query();
        let only = match parameter(query, "symbol") {
            None => None,
            Some(asked) => {
                let Some((overview, _)) = self.watched.posted.now() else {
                    return busy("the run has just begun: ask again in a second");
                };
                match found(&overview, &asked) {
                    Ok(lane) => Some(lane.instrument()),
                    Err(response) => return *response,
                }
            }
        };
        let header = head.headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        let after = header.or_else(|| parameter(query, "last_event_id"));
        let Some(counted) = Lasting::begin(&self.counts, |counts| &counts.listening, MOST_LISTENERS) else {
            return busy("as many listen to the stream as may");
        };
        let events = hearing(&self.watched, &self.counts, Wish { only, after }, counted);
        answer::stream(StatusCode::OK, EVENT_STREAM, events)
    }
}

fn body(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut into = Vec::new();
    write(&mut into);
    into
}

/// A parameter of the query, decoded; the first of its name. What is not UTF-8 is nothing.
fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let mut pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    percent_decode_str(value).decode_utf8().ok().map(|value| value.into_owned())
}

/// The symbol that is meant: `spot:BTCUSDT`, or `BTCUSDT` where that is followed on one market only.
fn found<'o>(overview: &'o Overview, asked: &str) -> Result<&'o LaneOverview, Box<Response<Body>>> {
    let (market, name) = match asked.split_once(':') {
        Some((market, name)) => (Market::ALL.into_iter().find(|known| known.as_str() == market), name),
        None => (None, asked),
    };
    let symbol = Symbol::new(name).ok().filter(|_| market.is_some() || !asked.contains(':'));
    let Some(symbol) = symbol else {
        return Err(Box::new(problem(
            StatusCode::BAD_REQUEST,
            "that is no symbol: BTCUSDT, or spot:BTCUSDT",
        )));
    };
    let is_meant = |lane: &&LaneOverview| {
        let Instrument { market: of, symbol: named } = &lane.instrument();
        *named == symbol && market.is_none_or(|market| market == *of)
    };
    let mut lanes = overview.lanes.iter().filter(is_meant);
    match (lanes.next(), lanes.next()) {
        (Some(lane), None) => Ok(lane),
        (Some(_), Some(_)) => {
            let detail = "several markets have that symbol: write the market before it, as in spot:BTCUSDT";
            Err(Box::new(problem(StatusCode::BAD_REQUEST, detail)))
        }
        (None, _) => {
            let detail = "that symbol is not followed; /api/v1/symbols lists those that are";
            Err(Box::new(problem(StatusCode::NOT_FOUND, detail)))
        }
    }
}
