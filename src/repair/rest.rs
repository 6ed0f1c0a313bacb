//! REST over HTTP/1.1: one question at a time, over one connection that is kept while it lasts.
//!
//! What answers may be broken or hostile: time and memory have bounds, and every page is checked before it
//! counts. Nothing is spawned: a connection is driven while a question is out, and rests otherwise.

mod answer;
mod base;
mod facts;
pub(crate) mod line;
mod listed;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::{Instant, timeout_at};

use super::{Ask, Page, Request, RestError};
use crate::feed::{Destination, Network};
use crate::snapshot::Market;

pub use base::{RestBase, RestBaseError};
pub use facts::ServerTime;
pub use listed::{ContractType, Listed};

use answer::Answered;
use line::{Line, LineError};

/// How much a server may take of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestLimits {
    /// From the question to the last byte of the answer, connecting included.
    pub deadline: Duration,
    /// The longest body, in bytes.
    pub body: usize,
}

impl Default for RestLimits {
    /// 10 s and 4 MiB; a full page has about 130 kB.
    fn default() -> Self {
        Self { deadline: Duration::from_secs(10), body: 4 * 1024 * 1024 }
    }
}

/// Asks REST for trades, the time and the listings.
pub struct RestClient {
    network: Arc<dyn Network>,
    base: RestBase,
    market: Market,
    limits: RestLimits,
    /// The connection of the last question, if it is good for another.
    idle: Option<(Line, Instant)>,
    used_weight: Option<u64>,
}

/// A connection that rested for longer is not trusted: servers and routers forget it without a word.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// More words than this are not read.
const MAX_WORDS: usize = 32 * 1024;

impl RestClient {
    /// A client of the market's REST at `base`. It connects with the first question.
    pub fn new(network: Arc<dyn Network>, base: RestBase, market: Market) -> Self {
        Self { network, base, market, limits: RestLimits::default(), idle: None, used_weight: None }
    }

    /// Other limits than the usual ones.
    #[must_use]
    pub fn with_limits(mut self, limits: RestLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The market it asks.
    pub const fn market(&self) -> Market {
        self.market
    }

    /// `X-MBX-USED-WEIGHT-1M` as it was told last, by an answer of any kind.
    pub fn used_weight(&self) -> Option<u64> {
        self.used_weight
    }

    /// Asks once. A connection that was kept and turns out to be gone is replaced at once, unnoticed; other
    /// than that nothing is tried again.
    ///
    /// # Errors
    /// [`RestError`] says what can be done about it. A page that is not strictly ascending, or begins before
    /// the id that was asked for, is [`RestError::Passing`]: none of it is taken.
    ///
    /// # Cancel safety
    /// A dropped future drops the connection with it; the next question makes a new one.
    pub async fn fetch(&mut self, request: &Request) -> Result<Page, RestError> {
        let path = path(&self.base.prefix, self.market, request);
        self.answer(&path, self.limits.body).await?.page(request.ask)
    }

    /// Makes sure that a connection is there, so that the next question takes one round trip and no more. A
    /// connection that rests is taken for good.
    ///
    /// # Errors
    /// [`RestError::Passing`] if none can be made.
    ///
    /// # Cancel safety
    /// As for [`RestClient::fetch`].
    pub async fn connect(&mut self) -> Result<(), RestError> {
        if !self.is_connected() {
            let deadline = Instant::now() + self.limits.deadline;
            let line =
                dial(&*self.network, &self.base, deadline).await.map_err(|error| self.passing(error))?;
            self.idle = Some((line, Instant::now()));
        }
        Ok(())
    }

    /// Asks for whatever is at `path`; a body of 200 may have so many bytes.
    async fn answer(&mut self, path: &str, limit: usize) -> Result<Answered, RestError> {
        let deadline = Instant::now() + self.limits.deadline;
        let answered = self.ask(path, limit, deadline).await.map_err(|error| self.passing(error))?;
        self.used_weight = answered.used_weight.or(self.used_weight);
        Ok(answered)
    }

    /// Whether the connection of the last question has not rested for too long.
    fn is_connected(&self) -> bool {
        self.idle.as_ref().is_some_and(|(_, since)| since.elapsed() <= LONGEST_REST)
    }

    async fn ask(&mut self, path: &str, limit: usize, deadline: Instant) -> Result<Answered, LineError> {
        if self.is_connected()
            && let Some((line, _)) = self.idle.take()
        {
            match self.ask_over(line, path, limit, deadline).await {
                // It was closed while it rested, as every server does after a while.
                Err(LineError::Gone(_)) => {}
                other => return other,
            }
        }
        let line = dial(&*self.network, &self.base, deadline).await?;
        self.ask_over(line, path, limit, deadline).await
    }

    /// Asks over a connection, and keeps it if the answer was read to its end.
    async fn ask_over(
        &mut self,
        mut line: Line,
        path: &str,
        limit: usize,
        deadline: Instant,
    ) -> Result<Answered, LineError> {
        let sending = line.send(path, &self.base.authority);
        let head = timeout_at(deadline, sending).await.map_err(|_elapsed| LineError::Late)??;
        let (head, mut incoming) = head.into_parts();
        let mut body = Vec::new();
        let end = if head.status == 200 {
            let reading = line.read(&mut incoming, &mut body, limit);
            timeout_at(deadline, reading).await.map_err(|_elapsed| LineError::Late)?
        } else {
            // The status is what counts; its words are not worth the whole time.
            let deadline = deadline.min(Instant::now() + self.limits.deadline / 4);
            let reading = line.read(&mut incoming, &mut body, MAX_WORDS);
            timeout_at(deadline, reading).await.unwrap_or(Err(LineError::Late))
        };
        match end {
            Ok(()) => self.idle = Some((line, Instant::now())),
            Err(error) if head.status == 200 => return Err(error),
            Err(_) => {}
        }
        Ok(Answered::new(head.status, &head.headers, body))
    }

    fn passing(&self, error: LineError) -> RestError {
        let at = &self.base;
        RestError::Passing(match error {
            LineError::Late => format!("no whole answer from {at} within {:?}", self.limits.deadline),
            LineError::TooLong(limit) => format!("{at} sent more than {limit} bytes, which is too much"),
            LineError::Gone(what) | LineError::Broken(what) => format!("no whole answer from {at}: {what}"),
        })
    }
}

async fn dial(network: &dyn Network, base: &RestBase, deadline: Instant) -> Result<Line, LineError> {
    let RestBase { host, port, tls, .. } = base;
    let dialing = network.dial(Destination { host, port: *port, tls: *tls, turn: 0 });
    match timeout_at(deadline, dialing).await {
        Ok(Ok(stream)) => Line::over(stream).await,
        Ok(Err(error)) => Err(LineError::Broken(chain(&error))),
        Err(_elapsed) => Err(LineError::Late),
    }
}

impl fmt::Debug for RestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestClient")
            .field("base", &self.base)
            .field("market", &self.market)
            .field("limits", &self.limits)
            .field("connected", &self.idle.is_some())
            .finish_non_exhaustive()
    }
}

/// What a symbol keeps unencoded.
const SYMBOL: AsciiSet = NON_ALPHANUMERIC.remove(b'_').remove(b'-');

/// Path and query. Ids and times are never combined: the exchange answers that with a timeout.
fn path(prefix: &str, market: Market, request: &Request) -> String {
    let endpoint = match market {
        Market::UsdM => "/fapi/v1/aggTrades",
        Market::CoinM => "/dapi/v1/aggTrades",
        Market::Spot => "/api/v3/aggTrades",
    };
    let symbol = utf8_percent_encode(request.symbol.as_str(), &SYMBOL);
    let which = match request.ask {
        Ask::FromId { from, limit } => format!("&fromId={}&limit={}", from.0.max(0), limit.clamp(1, 1_000)),
        Ask::Window { start, end, limit } => {
            format!("&startTime={}&endTime={}&limit={}", start.0.max(0), end.0.max(0), limit.clamp(1, 1_000))
        }
        Ask::Newest => "&limit=1".to_owned(),
    };
    format!("{prefix}{endpoint}?symbol={symbol}{which}")
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |told, cause| format!("{told}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{AggTradeId, Symbol, UnixMillis};

    fn asked(prefix: &str, market: Market, symbol: &str, ask: Ask) -> String {
        path(prefix, market, &Request { lane: 0, symbol: Symbol::new(symbol).unwrap(), ask })
    }

    #[test]
    fn a_question_names_ids_or_times_and_never_both() {
        let from_id = Ask::FromId { from: AggTradeId(17), limit: 1_000 };
        assert_eq!(
            asked("", Market::UsdM, "btcusdt", from_id),
            "/fapi/v1/aggTrades?symbol=BTCUSDT&fromId=17&limit=1000"
        );
        let window = Ask::Window { start: UnixMillis(5), end: UnixMillis(9), limit: 5_000 };
        assert_eq!(
            asked("/a/b", Market::CoinM, "BTCUSD_PERP", window),
            "/a/b/dapi/v1/aggTrades?symbol=BTCUSD_PERP&startTime=5&endTime=9&limit=1000"
        );
        assert_eq!(
            asked("", Market::Spot, "币安人生USDT", Ask::Newest),
            "/api/v3/aggTrades?symbol=%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT&limit=1"
        );
    }
}
