//! `/api/v1/stream`: the records as server-sent events. Whoever listens first gets a snapshot of every symbol, then every
//! record after it; whoever comes back with the id of its last event goes on behind that, as long as it is kept.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::stream::unfold;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use tokio::time::timeout;

use super::answer::Body;
use super::counts::{Counts, Lasting};
use super::watched::Watched;
use crate::overview::{LaneOverview, Overview};
use crate::report::{Chunk, Heard, Listener, Record, json};
use crate::snapshot::Instrument;

/// A comment is sent when nothing else is for so long, so that everybody on the way knows that the line lives.
const BREATH: Duration = Duration::from_secs(15);
/// How long the first look is waited for.
const FIRST_LOOK: Duration = Duration::from_secs(5);
/// A piece this long is sent on.
const PIECE: usize = 64 * 1024;
/// How long a client waits before it comes back, in milliseconds.
const RETRY_MS: u32 = 2_000;

/// What somebody wants to hear.
#[derive(Debug, Clone, Default)]
pub(super) struct Wish {
    /// Only of this symbol, and what is of no single one; `None` for all.
    pub(super) only: Option<Instrument>,
    /// The id of the last event that was heard before.
    pub(super) after: Option<String>,
}

/// What somebody hears who wishes for this, piece by piece; it is counted as long as it lasts.
pub(super) fn hearing(watched: &Watched, counts: &Arc<Counts>, wish: Wish, counted: Lasting) -> Body {
    let hearing = Hearing {
        watched: watched.clone(),
        records: watched.records.clone(),
        counts: Arc::clone(counts),
        only: wish.only,
        heard: 0,
        first: VecDeque::from([format!("retry: {RETRY_MS}\n\n")]),
        beginning: Some(wish.after),
        _counted: counted,
    };
    let pieces = unfold(hearing, |mut hearing| async move {
        let piece = hearing.next().await?;
        Some((Ok(Frame::data(Bytes::from(piece))), hearing))
    });
    StreamBody::new(pieces).boxed_unsync()
}

/// Somebody who listens.
struct Hearing {
    watched: Watched,
    records: Listener,
    counts: Arc<Counts>,
    only: Option<Instrument>,
    /// The number of the last record that was sent, or that the snapshots hold.
    heard: u64,
    /// What is to be sent before anything else.
    first: VecDeque<String>,
    /// It has not begun; the id of the last event that was heard before, if there was one.
    beginning: Option<Option<String>>,
    _counted: Lasting,
}

impl Hearing {
    /// The next piece; `None` when the run is over and everything is told.
    async fn next(&mut self) -> Option<String> {
        if let Some(after) = self.beginning.take() {
            self.begin(after.as_deref()).await;
        }
        loop {
            if let Some(piece) = self.first.pop_front() {
                return Some(piece);
            }
            match self.records.from(self.heard + 1) {
                Heard::Gone(_) => {
                    self.counts.too_slow.fetch_add(1, Ordering::Relaxed);
                    self.begin_anew(Some("too_slow")).await;
                }
                Heard::Chunks(chunks) if chunks.is_empty() => {
                    match timeout(BREATH, self.records.beyond(self.heard)).await {
                        Ok(true) => {}
                        Ok(false) => return None,
                        Err(_elapsed) => return Some(":\n\n".to_owned()),
                    }
                }
                Heard::Chunks(chunks) => {
                    let piece = self.piece(&chunks);
                    if !piece.is_empty() {
                        return Some(piece);
                    }
                }
            }
        }
    }

    /// Goes on behind what was heard before, if that is known and kept.
    async fn begin(&mut self, after: Option<&str>) {
        let Some(after) = after else { return self.begin_anew(None).await };
        let number = after.strip_prefix(self.records.epoch()).and_then(|rest| rest.strip_prefix('-'));
        let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) else {
            return self.begin_anew(Some("other_run")).await;
        };
        match self.records.from(number.saturating_add(1)) {
            Heard::Chunks(_) if number <= self.records.last() => self.heard = number,
            _ => self.begin_anew(Some("gone")).await,
        }
    }

    /// Tells how everything stands, and goes on from there.
    async fn begin_anew(&mut self, reason: Option<&'static str>) {
        let overview = match self.watched.posted.now() {
            Some((overview, _)) => Some(overview),
            None => timeout(FIRST_LOOK, self.watched.posted.next()).await.ok().flatten(),
        };
        let lanes = overview.iter().flat_map(|overview| &overview.lanes);
        let lanes: Vec<&LaneOverview> = lanes.filter(|lane| self.wants(&lane.instrument())).collect();
        if let Some(reason) = reason {
            let data = line(|into| json::reset(into, reason, lanes.len()));
            self.first.push_back(format!("event: reset\ndata: {data}\n\n"));
        }
        // What the snapshots do not hold comes next.
        self.heard = match &overview {
            Some(overview) if !matches!(self.records.from(overview.told + 1), Heard::Gone(_)) => {
                overview.told
            }
            _ => self.records.last(),
        };
        if let Some(overview) = &overview {
            self.first.extend(snapshots(overview, &lanes, self.records.epoch()));
        }
    }

    /// The next records as events, up to a length that is worth sending.
    fn piece(&mut self, chunks: &[Arc<Chunk>]) -> String {
        let mut piece = String::new();
        for record in chunks.iter().flat_map(|chunk| chunk.records()) {
            if record.number <= self.heard {
                continue;
            }
            if piece.len() >= PIECE {
                break;
            }
            self.heard = record.number;
            if record.of.is_none_or(|of| self.wants(of)) {
                let Record { number, kind, json, .. } = record;
                let epoch = self.records.epoch();
                piece.push_str(&format!("id: {epoch}-{number}\nevent: {kind}\ndata: {json}\n\n"));
            }
        }
        piece
    }

    fn wants(&self, instrument: &Instrument) -> bool {
        self.only.as_ref().is_none_or(|only| only == instrument)
    }
}

/// How everything stands, in pieces. Only the last has an id: whoever is cut off before it begins anew.
fn snapshots(overview: &Overview, lanes: &[&LaneOverview], epoch: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for (at, lane) in lanes.iter().enumerate() {
        if pieces.last().is_some_and(|piece| piece.len() >= PIECE) {
            pieces.push(String::new());
        }
        let data = line(|into| json::snapshot(into, overview, lane, epoch));
        if let Some(piece) = pieces.last_mut() {
            if at + 1 == lanes.len() {
                *piece += &format!("id: {epoch}-{}\n", overview.told);
            }
            *piece += &format!("event: snapshot\ndata: {data}\n\n");
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

fn line(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut into = Vec::new();
    write(&mut into);
    String::from_utf8_lossy(&into).trim_end().to_owned()
}
