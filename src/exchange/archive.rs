//! The archive: files under the paths of the real one, each with its checksum, and what can go wrong with them.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Cursor, Write};
use std::sync::{Arc, Mutex, MutexGuard};

use hyper::body::Bytes;
use hyper::header::{
    CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_RANGE, LOCATION, RANGE,
    RETRY_AFTER,
};
use hyper::{Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use ring::digest::{SHA256, digest};

use super::body::Page;
use crate::calendar::{Day, Month};
use crate::snapshot::Market;
use crate::trade::{AggTrade, Aggressor};
use crate::units::{Symbol, UnixMillis};

/// Requests remembered word for word; more are only counted.
const MAX_REMEMBERED: usize = 100_000;

/// The archive of a practice exchange. Cheap to clone; the clones are one archive.
#[derive(Debug, Clone, Default)]
pub struct Archive {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Bytes>,
    faults: VecDeque<(String, ArchiveFault)>,
    requests: Vec<ArchiveRequest>,
    counts: ArchiveCounts,
    open: u64,
}

/// What goes wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArchiveFault {
    /// It is this status, without the file.
    Status {
        /// The status.
        status: u16,
        /// `Retry-After` as written, if there is to be one.
        retry_after: Option<String>,
    },
    /// The connection is cut after so many bytes of the body.
    Cut(usize),
    /// The connection is cut after so many bytes of the body, and the file is another one from then on, and its
    /// checksum.
    CutAndReplace(usize, Vec<u8>),
    /// Nothing comes after so many bytes of the body, and the connection stays open.
    Stall(usize),
    /// The body comes at so many bytes per second.
    Slow {
        /// The rate.
        per_second: u32,
    },
    /// One byte of it is another than the checksum was made of.
    Corrupt,
    /// All of it comes although the rest was asked for.
    Whole,
    /// It comes without its `ETag`.
    Untagged,
    /// The rest that comes begins a byte too late.
    Shifted,
}

/// A question to the archive, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveRequest {
    /// The path.
    pub path: String,
    /// `Range` as written.
    pub range: Option<String>,
    /// The status of the answer.
    pub status: u16,
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ArchiveCounts {
    /// Questions.
    pub requests: u64,
    /// Answers with a file, or a part of one, that were under way at the same time, at most.
    pub most_at_once: u64,
}

impl Archive {
    /// Puts a file there, and its checksum beside it; what was there before is replaced.
    pub fn put(&self, path: &str, file: impl Into<Vec<u8>>) {
        self.lock().put(path, file.into());
    }

    /// Puts bytes there and nothing else: a checksum that is wrong, a file without one.
    pub fn put_alone(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.lock().files.insert(path.to_owned(), Bytes::from(bytes.into()));
    }

    /// Takes a file away, and its checksum.
    pub fn remove(&self, path: &str) {
        let mut state = self.lock();
        state.files.remove(path);
        state.files.remove(&format!("{path}.CHECKSUM"));
    }

    /// The bytes of a file.
    pub fn file(&self, path: &str) -> Option<Vec<u8>> {
        self.lock().files.get(path).map(|file| file.to_vec())
    }

    /// Puts the file of a day there, with those of the trades that happened on it; gives its path.
    ///
    /// # Errors
    /// If the file cannot be compressed.
    pub fn publish_day(
        &self,
        market: Market,
        symbol: &Symbol,
        day: Day,
        trades: &[AggTrade],
    ) -> io::Result<String> {
        let (from, to) = (day.start(), day.plus(1).start());
        self.publish(market, symbol, ("daily", &day.to_string()), within(trades, from, to))
    }

    /// The same of a month.
    ///
    /// # Errors
    /// As for [`Archive::publish_day`].
    pub fn publish_month(
        &self,
        market: Market,
        symbol: &Symbol,
        month: Month,
        trades: &[AggTrade],
    ) -> io::Result<String> {
        let (from, to) = (month.first().start(), month.next().first().start());
        self.publish(market, symbol, ("monthly", &month.to_string()), within(trades, from, to))
    }

    fn publish<'a>(
        &self,
        market: Market,
        symbol: &Symbol,
        (frequency, period): (&str, &str),
        trades: impl Iterator<Item = &'a AggTrade>,
    ) -> io::Result<String> {
        let of_market = match market {
            Market::UsdM => "futures/um",
            Market::CoinM => "futures/cm",
            Market::Spot => "spot",
        };
        let symbol = symbol.as_str();
        let name = format!("{symbol}-aggTrades-{period}");
        let path = format!("/data/{of_market}/{frequency}/aggTrades/{symbol}/{name}.zip");
        self.put(&path, zipped(&format!("{name}.csv"), &table(market, trades)?)?);
        Ok(path)
    }

    /// Lets the next questions for a path that ends so go wrong, one after the other.
    pub fn fault(&self, path_end: &str, faults: impl IntoIterator<Item = ArchiveFault>) {
        let faults = faults.into_iter().map(|fault| (path_end.to_owned(), fault));
        self.lock().faults.extend(faults);
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        self.lock().faults.clear();
    }

    /// The first hundred thousand questions.
    pub fn requests(&self) -> Vec<ArchiveRequest> {
        self.lock().requests.clone()
    }

    /// The counts now.
    pub fn counts(&self) -> ArchiveCounts {
        self.lock().counts
    }

    /// The answer to a question for a path of the archive.
    pub(super) fn answer<B>(&self, request: &Request<B>) -> Response<Page> {
        let path = percent_decode_str(request.uri().path()).decode_utf8_lossy().into_owned();
        let mut state = self.lock();
        let fault = state.next_fault(&path);
        let mut response = state.respond(&path, request.headers(), fault.as_ref());
        let header = |name: HeaderName| {
            request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let (range, status) = (header(RANGE), response.status().as_u16());
        state.counts.requests += 1;
        if state.requests.len() < MAX_REMEMBERED {
            state.requests.push(ArchiveRequest { path, range, status });
        }
        if response.status().is_success() {
            state.open += 1;
            state.counts.most_at_once = state.counts.most_at_once.max(state.open);
            let until_over = Open(self.clone());
            response = response.map(|page| page.keeping(until_over));
        }
        response
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the state in hand, because nothing in it can")
    }
}

/// An answer under way.
struct Open(Archive);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.lock().open -= 1;
    }
}

impl State {
    fn put(&mut self, path: &str, file: Vec<u8>) {
        let name = path.rsplit('/').next().unwrap_or(path);
        let sum = digest(&SHA256, &file);
        let hex: String = sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        self.files.insert(format!("{path}.CHECKSUM"), format!("{hex}  {name}\n").into());
        self.files.insert(path.to_owned(), file.into());
    }

    fn next_fault(&mut self, path: &str) -> Option<ArchiveFault> {
        let at = self.faults.iter().position(|(end, _)| path.ends_with(end.as_str()))?;
        self.faults.remove(at).map(|(_, fault)| fault)
    }

    fn respond(&mut self, path: &str, headers: &HeaderMap, fault: Option<&ArchiveFault>) -> Response<Page> {
        if let Some(ArchiveFault::Status { status, retry_after }) = fault {
            return refusal(*status, retry_after.as_deref());
        }
        let Some(mut file) = self.files.get(path).cloned() else { return refusal(404, None) };
        let etag = etag(&file);
        if fault == Some(&ArchiveFault::Corrupt) && !file.is_empty() {
            let mut bytes = file.to_vec();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            file = bytes.into();
        }
        let length = file.len();
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let from =
            text(RANGE).and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        let is_same = text(IF_RANGE).is_none_or(|wanted| wanted == etag);
        let from: Option<usize> = from.filter(|_| is_same && fault != Some(&ArchiveFault::Whole));
        if from.is_some_and(|from| from >= length) {
            return refusal(416, None);
        }
        let shift = usize::from(fault == Some(&ArchiveFault::Shifted));
        let begins = from.map_or(0, |from| (from + shift).min(length - 1));
        let page = Page::whole(file.slice(begins..));
        let page = match fault {
            Some(ArchiveFault::Cut(bytes) | ArchiveFault::CutAndReplace(bytes, _)) => page.cut_after(*bytes),
            Some(ArchiveFault::Stall(bytes)) => page.stalls_after(*bytes),
            Some(ArchiveFault::Slow { per_second }) => page.paced(*per_second),
            _ => page,
        };
        if let Some(ArchiveFault::CutAndReplace(_, other)) = fault {
            self.put(path, other.clone());
        }
        let mut response = Response::new(page);
        let mut tell = |name, value: String| {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(name, value);
            }
        };
        tell(CONTENT_TYPE, "application/zip".to_owned());
        if fault != Some(&ArchiveFault::Untagged) {
            tell(ETAG, etag);
        }
        if from.is_some() {
            tell(CONTENT_RANGE, format!("bytes {begins}-{}/{length}", length - 1));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        response
    }
}

fn refusal(status: u16, retry_after: Option<&str>) -> Response<Page> {
    let words = format!("<Error><Code>{status}</Code></Error>");
    let mut response = Response::new(Page::whole(words));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    if let Some(Ok(value)) = retry_after.map(HeaderValue::from_str) {
        response.headers_mut().insert(RETRY_AFTER, value);
    }
    if (300..400).contains(&status) {
        response.headers_mut().insert(LOCATION, HeaderValue::from_static("https://elsewhere.example/"));
    }
    response
}

fn etag(file: &[u8]) -> String {
    let sum = digest(&SHA256, file);
    let hex: String = sum.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

fn within(trades: &[AggTrade], from: UnixMillis, to: UnixMillis) -> impl Iterator<Item = &AggTrade> {
    trades.iter().filter(move |trade| from <= trade.traded_at && trade.traded_at < to)
}

/// As the archive writes it: the futures with a header and in milliseconds; spot without, in microseconds from 2025 on.
fn table<'a>(market: Market, trades: impl Iterator<Item = &'a AggTrade>) -> io::Result<Vec<u8>> {
    const MICROSECONDS_SINCE: UnixMillis = UnixMillis(1_735_689_600_000);
    let mut out = Vec::new();
    if market != Market::Spot {
        out.extend_from_slice(
            b"agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n",
        );
    }
    for trade in trades {
        let AggTrade { id, price, qty, first_trade_id, last_trade_id, traded_at, .. } = trade;
        let is_buyer_maker = trade.aggressor == Aggressor::Seller;
        write!(out, "{},{price},{qty},{first_trade_id},{last_trade_id},", id.0)?;
        match market {
            Market::Spot => {
                let time = traded_at.0 * if *traded_at < MICROSECONDS_SINCE { 1 } else { 1_000 };
                let capital = if is_buyer_maker { "True" } else { "False" };
                writeln!(out, "{time},{capital},True")?;
            }
            _ => writeln!(out, "{},{is_buyer_maker}", traded_at.0)?,
        }
    }
    Ok(out)
}

fn zipped(name: &str, text: &[u8]) -> io::Result<Vec<u8>> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(name, zip::write::SimpleFileOptions::default()).map_err(io::Error::other)?;
    zip.write_all(text)?;
    Ok(zip.finish().map_err(io::Error::other)?.into_inner())
}
