//! What happened, one struct per occurrence: it writes the log line and moves the counter together, so
//! that they cannot disagree.

mod bars;
mod checkpoints;
mod clocks;
mod lines;
mod outages;
mod recordings;
mod rosters;
mod shards;
mod subscriptions;
mod throttle;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::feed::{ConnectError, FeedEvent, FeedObserver, Place, SessionEnd, ShardId};
use crate::metrics::MonitoringMetrics;
use crate::repair::RestError;
use crate::report::output::LogWriter;
use crate::silence::{Cause, Finding};
use crate::source::DamagedLine;
use crate::text::escaped;
use crate::units::{AggTradeId, Symbol};

use clocks::ClockDoubt;
pub(crate) use recordings::nothing_in_range;
pub use shards::ShardLine;
pub use throttle::PER_SECOND;
use throttle::{Kind, Pass, Throttles};

/// The counters that occurrences move, and the throttles that noisy ones pass.
#[derive(Debug, Default)]
pub struct Events {
    reconnects: AtomicU64,
    hand_overs: AtomicU64,
    /// Messages that were counted here, because they never reached the queue.
    unqueued: AtomicU64,
    damaged: AtomicU64,
    doubt: ClockDoubt,
    throttles: Mutex<Throttles>,
    /// How the last session of each shard ended, or the last attempt failed; nothing of a shard that is up.
    last_end: Mutex<BTreeMap<ShardId, Cause>>,
    /// Clocks are those of whoever recorded, not ours.
    replay: bool,
    log: Option<LogWriter>,
}

impl Events {
    /// Counters at zero, of a live run; the lines that `log` has to drop are counted with them.
    pub fn new(log: Option<LogWriter>) -> Self {
        Self { log, ..Self::default() }
    }

    /// The same, of a replay: what is said about clocks is about the recorder's.
    pub fn for_replay(log: Option<LogWriter>) -> Self {
        Self { replay: true, ..Self::new(log) }
    }

    /// Adds what is counted here to `metrics`.
    pub fn add_to(&self, metrics: &mut MonitoringMetrics) {
        let unqueued = self.unqueued.load(Ordering::Relaxed);
        metrics.reconnect_count += self.reconnects.load(Ordering::Relaxed);
        metrics.hand_overs += self.hand_overs.load(Ordering::Relaxed);
        metrics.total_messages += unqueued;
        metrics.parse_errors += unqueued;
        metrics.suppressed_warnings += self.throttles().suppressed_in_all();
        metrics.dropped_log_lines += self.log.as_ref().map_or(0, LogWriter::dropped);
    }

    /// Whether the thread that writes the log has ended, which it never should.
    pub fn log_has_ended(&self) -> bool {
        self.log.as_ref().is_some_and(LogWriter::has_ended)
    }

    /// A frame that cannot be read.
    pub fn parse_error(&self, reason: impl Display, text: &[u8]) {
        self.noisily(Kind::ParseError, || {
            tracing::warn!("Parse error on message (truncated): {} | {reason}", escaped(text));
        });
    }

    /// A damaged place in a file. A replay is faster than the limit per second is meant for: the first
    /// [`DAMAGED_SHOWN`] are all shown.
    pub fn damaged(&self, line: &DamagedLine) {
        if self.damaged.fetch_add(1, Ordering::Relaxed) >= DAMAGED_SHOWN {
            return self.throttles().of(Kind::Damaged).suppress();
        }
        let DamagedLine { file, line, reason, text } = line;
        if text.is_empty() {
            tracing::warn!("damaged: {}:{line}: {reason}", file.display());
            return;
        }
        let text = escaped(text.as_bytes());
        tracing::warn!("damaged row skipped: {}:{line}: {reason} | {text}", file.display());
    }

    /// Tells what was suppressed in seconds that are over. To be called once a second, so that the rest of a flood
    /// is told even if no other follows.
    pub fn tick(&self) {
        self.wait_for_the_clock();
        let now = Instant::now();
        for kind in Kind::ALL {
            let suppressed = self.throttles().of(kind).rest_of_a_past_second(now);
            tell_suppressed(kind, suppressed);
        }
    }

    /// The run is over: tells what was suppressed and not told yet.
    pub fn over(&self) {
        self.explain_in_any_case();
        for kind in Kind::ALL {
            let suppressed = self.throttles().of(kind).rest();
            tell_suppressed(kind, suppressed);
        }
    }

    /// A trade that the calculator refuses.
    pub fn bad_point(&self, symbol: impl Display, id: impl Display, reason: impl Display) {
        self.noisily(Kind::BadPoint, || tracing::warn!("trade not counted: {symbol} id {id}: {reason}"));
    }

    /// A trade of a symbol nobody asked for.
    pub fn unrequested(&self, symbol: &str) {
        self.noisily(Kind::Unrequested, || {
            tracing::warn!("trade of a symbol nobody asked for: {}", escaped(symbol.as_bytes()));
        });
    }

    /// The exchange refused a request of ours.
    pub fn control_error(&self, code: i64, msg: &str) {
        self.noisily(Kind::ControlError, || {
            let msg = escaped(msg.as_bytes());
            tracing::error!("the exchange refused the subscription: code {code}: {msg}");
        });
    }

    /// Frames lost because the processor was behind.
    pub fn evicted(&self, frames: u64, repairs: bool) {
        let then = if repairs { "their trades are fetched again" } else { "their trades are missing" };
        self.noisily(Kind::Evicted, || {
            tracing::error!(
                "{frames} frames dropped: the output is slower than the stream; {then}. Give the reader of the output \
                 more room, or raise QUEUE_SIZE."
            );
        });
    }

    /// The reader of the records takes nothing.
    pub fn output_blocked(&self, waited: Duration, dropped: u64) {
        tracing::error!(
            "the reader of the records has taken nothing for {:.0} s; {dropped} frames dropped so far. No record comes \
             until it reads again",
            waited.as_secs_f64()
        );
    }

    /// Nobody knows where the trades of this host could be asked for.
    pub fn repair_off(&self, host: &str) {
        tracing::warn!(
            "REST repair is off: {} is not a host of the exchange, so it is not known where its trades could be asked for. \
             Lost trades will be missing; give --rest-url, or --repair off to say that this is intended.",
            escaped_line(host)
        );
    }

    /// REST must not be asked for a while.
    pub fn rest_banned(&self, status: u16, wait: Duration) {
        tracing::warn!(
            "REST answered {status}, too many requests from this address: nothing is asked for {:.0} s",
            wait.as_secs_f64()
        );
    }

    /// REST will not answer, and asking again will hardly change that.
    pub fn rest_refused(&self, symbol: Option<&Symbol>, status: u16, message: &str, remedy: &str) {
        let of = symbol.map_or_else(String::new, |symbol| format!(" for {symbol}"));
        let said = if message.is_empty() { String::new() } else { format!(" ({})", escaped_line(message)) };
        tracing::error!("REST answered {status}{of}{said}: {remedy}");
    }

    /// The weight of a minute is used up while trades are missing.
    pub fn rest_exhausted(&self, used: u64, ceiling: u64, wait: Duration) {
        tracing::info!(
            "REST weight {used} of {ceiling} a minute is used up: the rest of the missing trades is asked for in {:.0} s",
            wait.as_secs_f64()
        );
    }

    /// A request failed that is made again.
    pub fn rest_failed(&self, error: &RestError) {
        self.noisily(Kind::Rest, || tracing::warn!("{}; asking again", chain(error)));
    }

    /// The market trades, and the connection delivers nothing.
    pub fn feed_broken(&self, symbol: impl Display, newest: impl Display, ours: Option<AggTradeId>) {
        let ours = ours.map_or_else(|| "none".to_owned(), |id| id.to_string());
        tracing::error!(
            "the market trades on ({symbol} id {newest} at REST, {ours} here) but nothing arrives over this connection: \
             reconnecting, and fetching what was missed"
        );
    }

    /// A symbol is silent while others stream, and it is not the market's silence.
    pub fn symbol_not_delivered(&self, symbol: &Symbol, finding: Finding) {
        let Finding::NotDelivered { newest, ours } = finding else { return };
        let cause = Cause::NotDelivered { symbol: symbol.clone(), newest, ours };
        tracing::warn!("{symbol} is silent while others stream | {}: {cause}", cause.as_str());
    }

    /// The exchange lists a symbol but nobody can trade it now.
    pub fn not_trading(&self, symbol: &Symbol, status: &str) {
        tracing::warn!(
            "{symbol} cannot be traded now: the exchange's status of it is {} | not_trading: no trade will come until \
             that changes",
            escaped_line(status)
        );
    }

    /// A symbol trades although the exchange does not list it.
    pub fn not_listed(&self, symbol: &Symbol) {
        tracing::warn!(
            "the exchange does not list {symbol} (any more), but trades of it came: it is followed on"
        );
    }

    /// How the last session of a shard ended, or the last attempt failed, since its last connection was made.
    pub fn last_end(&self, shard: ShardId) -> Option<Cause> {
        self.ends().get(&shard).cloned()
    }

    fn ends(&self) -> std::sync::MutexGuard<'_, BTreeMap<ShardId, Cause>> {
        self.last_end.lock().expect("nothing panics while it holds this lock, because it only copies")
    }

    fn remember_end(&self, event: &FeedEvent<'_>) {
        let (line, cause) = match event {
            FeedEvent::Ended { end, line, .. } => {
                let told = chain(*end);
                let cause = match end {
                    SessionEnd::DeadLink(_) | SessionEnd::HeartbeatTimeout(_) => Cause::DeadLink { told },
                    _ => Cause::ConnectionLost { told },
                };
                (line, Some(cause))
            }
            FeedEvent::Failed { error, line, .. } => {
                (line, Some(Cause::NotConnected { told: chain(*error) }))
            }
            FeedEvent::Connected { line, .. } => (line, None),
            _ => return,
        };
        let shard = line.shard.unwrap_or_default();
        match cause {
            Some(cause) => drop(self.ends().insert(shard, cause)),
            None => drop(self.ends().remove(&shard)),
        }
    }

    /// More is lost than REST may give back.
    pub fn falling_behind(&self, symbol: impl Display, missing: u64, discarded: u64) {
        self.noisily(Kind::FallingBehind, || {
            tracing::warn!(
                "{symbol}: trades come faster than their hole is filled: {discarded} that waited are discarded and fetched \
                 again later; {missing} are missing now"
            );
        });
    }

    /// A trade whose id is far from all others.
    pub fn suspicious(&self, symbol: impl Display, id: impl Display, newest: Option<AggTradeId>) {
        let newest = newest.map_or_else(|| "none".to_owned(), |id| id.to_string());
        self.noisily(Kind::Suspicious, || {
            tracing::warn!(
                "{symbol}: id {id} makes no sense after {newest}: it waits until its neighbours, or REST, confirm it"
            );
        });
    }

    /// At most [`PER_SECOND`] of a kind a second; the rest is counted, and the count is told.
    fn noisily(&self, kind: Kind, emit: impl FnOnce()) {
        let pass = self.throttles().of(kind).pass(Instant::now());
        if let Pass::Open { suppressed } = pass {
            tell_suppressed(kind, suppressed);
            emit();
        }
    }

    fn throttles(&self) -> std::sync::MutexGuard<'_, Throttles> {
        self.throttles.lock().expect("nothing panics while it holds this lock, because it only counts")
    }
}

fn tell_suppressed(kind: Kind, suppressed: u64) {
    let name = kind.name();
    match (suppressed, kind) {
        (0, _) => {}
        (_, Kind::Damaged) => {
            tracing::warn!("{suppressed} warnings suppressed: {name} (more than {DAMAGED_SHOWN} in all)");
        }
        _ if kind.is_error() => {
            tracing::error!("{suppressed} warnings suppressed: {name} (more than {PER_SECOND} in a second)");
        }
        _ => tracing::warn!("{suppressed} warnings suppressed: {name} (more than {PER_SECOND} in a second)"),
    }
}

impl FeedObserver for Events {
    fn on_event(&self, event: FeedEvent<'_>) {
        self.remember_end(&event);
        match event {
            FeedEvent::Connecting { url } => tracing::debug!("connecting to {url}"),
            FeedEvent::Connected { url, line, again } => {
                tracing::info!("Connected: {url}{}", of_line(line));
                if again {
                    let count = self.reconnects.fetch_add(1, Ordering::Relaxed) + 1;
                    tracing::info!("[METRICS] reconnect_count={count}");
                }
            }
            FeedEvent::Ended { end, wait, line } => ended(end, wait, line),
            FeedEvent::EndedEarly { end, line } => Self::ended_early(end, line),
            FeedEvent::HandOverBegun { line, why, age } => Self::hand_over_begun(line, why, age),
            FeedEvent::HandedOver { line, took } => self.handed_over(line, took),
            FeedEvent::HandOverFailed { line, what, next_try } => self.hand_over_failed(line, what, next_try),
            FeedEvent::Failed { error, wait, remedy: None, line } => {
                let hint = match error {
                    ConnectError::Resolve { .. } => " (run \"cvd-stream doctor\" to find out why)",
                    _ => "",
                };
                let (error, wait, line) = (chain(error), seconds(wait), of_line(line));
                tracing::warn!("Reconnect due to error: {error}{hint}; next attempt in {wait}{line}");
            }
            FeedEvent::Failed { error, wait, remedy: Some(remedy), line } => {
                let (error, wait, line) = (chain(error), seconds(wait), of_line(line));
                tracing::error!("Reconnect due to error: {error}: {remedy}; next attempt in {wait}{line}");
            }
            FeedEvent::Subscribed { line, streams, took } => subscriptions::subscribed(line, streams, took),
            FeedEvent::SubscriptionRefused { line, method, code, msg, remedy } => {
                self.subscription_refused(line, method, code, &msg, remedy);
            }
            FeedEvent::ListDiffers { line, difference } => self.list_differs(line, difference),
            FeedEvent::Binary { length, sample } => {
                self.unqueued.fetch_add(1, Ordering::Relaxed);
                self.noisily(Kind::ParseError, || {
                    tracing::warn!(
                        "Parse error on message (truncated): {sample} | a binary message of {length} bytes"
                    );
                });
            }
            FeedEvent::Unreadable { reason } => {
                self.unqueued.fetch_add(1, Ordering::Relaxed);
                // There is no text to show.
                self.parse_error(reason, b"");
            }
        }
    }
}

/// The close code of a client that has broken a rule: with too many requests, of all that is known.
const POLICY: u16 = 1_008;
const TOO_MUCH: &str = "the exchange counts what it is sent, and connections from this address: find out what else connects \
                        from here";

fn ended(end: &SessionEnd, wait: Duration, line: Place) {
    let wait = seconds(wait) + &of_line(line);
    match end {
        SessionEnd::HeartbeatTimeout(limit) => {
            tracing::warn!(
                "Heartbeat timeout (>{}s). Reconnecting... | no frame at all; next attempt in {wait}",
                limit.as_secs_f64()
            );
        }
        SessionEnd::NoData(limit) => {
            tracing::warn!(
                "Heartbeat timeout (>{}s). Reconnecting... | the link is alive but no trade came; next attempt in {wait}",
                limit.as_secs_f64()
            );
        }
        SessionEnd::Closed { code: Some(POLICY), .. } => {
            tracing::warn!("Connection closed: {end}; next attempt in {wait} | {TOO_MUCH}");
        }
        SessionEnd::Closed { .. } => tracing::warn!("Connection closed: {end}; next attempt in {wait}"),
        _ => tracing::warn!("Reconnect due to error: {}; next attempt in {wait}", chain(end)),
    }
}

/// Which of several lines something is about, behind what is said.
fn of_line(line: Place) -> String {
    if line.is_the_only_one() { String::new() } else { format!(" ({line})") }
}

fn seconds(wait: Duration) -> String {
    format!("{:.1}s", wait.as_secs_f64())
}

/// An error and its causes on one line, foreign text escaped: for a log.
pub fn chain(error: &dyn std::error::Error) -> String {
    escaped_line(&joined(error))
}

/// An error and its causes, line by line, foreign text escaped: for the end of the command.
pub fn report(error: &dyn std::error::Error) -> String {
    joined(error).lines().map(escaped_line).collect::<Vec<_>>().join("\n")
}

fn joined(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // Some libraries repeat their cause in their own words.
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

pub(crate) fn escaped_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

/// Damaged rows of files that are shown, each with its line number.
pub const DAMAGED_SHOWN: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::Unreadable;

    #[test]
    fn a_flood_of_one_kind_hides_no_other() {
        let events = Events::new(None);
        (0..100).for_each(|_| events.parse_error("no JSON", b"x"));
        let told = std::cell::Cell::new(0);
        let tell = || told.set(told.get() + 1);
        events.noisily(Kind::ParseError, tell);
        assert_eq!(told.get(), 0);
        for kind in Kind::ALL {
            events.noisily(kind, tell);
        }
        assert_eq!(told.get(), Kind::ALL.len() - 1);
    }

    #[test]
    fn a_message_that_never_became_a_frame_is_counted_as_a_message_and_as_a_parse_error() {
        let events = Events::new(None);
        events.on_event(FeedEvent::Unreadable { reason: Unreadable::NotUtf8 });
        events.on_event(FeedEvent::Binary { length: 1, sample: "x".into() });
        let mut metrics = MonitoringMetrics::default();
        events.add_to(&mut metrics);
        assert_eq!((metrics.total_messages, metrics.parse_errors), (2, 2));
    }
}
