//! What happened, one struct per occurrence: it writes the log line and moves the counter together, so
//! that they cannot disagree.

mod bars;
mod checkpoints;
mod clocks;
mod lines;
mod outages;
mod recordings;
mod rest;
mod rosters;
mod shards;
mod subscriptions;
mod symbols;
mod throttle;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::feed::{ConnectError, FeedEvent, FeedObserver, Place, SessionEnd, ShardId};
use crate::metrics::MonitoringMetrics;
use crate::overview::{ReconnectReason, Reconnects};
use crate::report::output::LogWriter;
use crate::silence::Cause;
use crate::source::DamagedLine;
use crate::text::{escaped, one_line, shown};

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
    last_end: Mutex<BTreeMap<ShardId, (Cause, ReconnectReason)>>,
    /// Connections that were made again, shard by shard.
    reasons: Mutex<BTreeMap<ShardId, Reconnects>>,
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
            let (reason, sample) = (reason.to_string(), escaped(text));
            tracing::warn!(
                event = "parse_error",
                reason,
                sample,
                "Parse error on message (truncated): {sample} | {reason}"
            );
        });
    }

    /// A damaged place in a file. A replay is faster than the limit per second is meant for: the first
    /// [`DAMAGED_SHOWN`] are all shown.
    pub fn damaged(&self, line: &DamagedLine) {
        if self.damaged.fetch_add(1, Ordering::Relaxed) >= DAMAGED_SHOWN {
            return self.throttles().of(Kind::Damaged).suppress();
        }
        let DamagedLine { file, line, reason, text } = line;
        let file = shown(file);
        if text.is_empty() {
            tracing::warn!(
                event = "file_damaged",
                file,
                row = line,
                reason,
                "damaged: {file}:{line}: {reason}"
            );
            return;
        }
        let sample = escaped(text.as_bytes());
        tracing::warn!(
            event = "row_damaged",
            file,
            row = line,
            reason,
            sample,
            "damaged row skipped: {file}:{line}: {reason} | {sample}"
        );
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

    /// The exchange refused a request of ours.
    pub fn control_error(&self, code: i64, msg: &str) {
        self.noisily(Kind::ControlError, || {
            let msg = escaped(msg.as_bytes());
            tracing::error!(
                event = "subscription_rejected",
                code,
                reason = msg,
                "the exchange refused the subscription: code {code}: {msg}"
            );
        });
    }

    /// Frames lost because the processor was behind.
    pub fn evicted(&self, frames: u64, repairs: bool) {
        let then = if repairs { "their trades are fetched again" } else { "their trades are missing" };
        self.noisily(Kind::Evicted, || {
            tracing::error!(
                event = "frames_dropped",
                frames,
                repairs,
                "{frames} frames dropped: the output is slower than the stream; {then}. Give the reader of the output \
                 more room, or raise QUEUE_SIZE."
            );
        });
    }

    /// The reader of the records takes nothing.
    pub fn output_blocked(&self, waited: Duration, dropped: u64) {
        tracing::error!(
            event = "output_blocked",
            waited_s = in_seconds(waited),
            dropped_frames = dropped,
            "the reader of the records has taken nothing for {:.0} s; {dropped} frames dropped so far. No record comes \
             until it reads again",
            waited.as_secs_f64()
        );
    }

    /// How the last session of a shard ended, or the last attempt failed, since its last connection was made.
    pub fn last_end(&self, shard: ShardId) -> Option<Cause> {
        self.ends().get(&shard).map(|(cause, _)| cause.clone())
    }

    /// The connections of a shard that were made again, by what ended the ones before.
    pub fn reconnects(&self, shard: ShardId) -> Reconnects {
        self.reasons().get(&shard).copied().unwrap_or_default()
    }

    fn ends(&self) -> std::sync::MutexGuard<'_, BTreeMap<ShardId, (Cause, ReconnectReason)>> {
        self.last_end.lock().expect("nothing panics while it holds this lock, because it only copies")
    }

    fn reasons(&self) -> std::sync::MutexGuard<'_, BTreeMap<ShardId, Reconnects>> {
        self.reasons.lock().expect("nothing panics while it holds this lock, because it only counts")
    }

    fn remember_end(&self, event: &FeedEvent<'_>) {
        let (line, ended) = match event {
            FeedEvent::Ended { end, line, .. } => {
                let reason = reason(end);
                let told = chain(*end);
                let cause = match end {
                    SessionEnd::DeadLink(_) | SessionEnd::HeartbeatTimeout(_) => Cause::DeadLink { told },
                    _ => Cause::ConnectionLost { told },
                };
                (line, (cause, reason))
            }
            FeedEvent::Failed { error, line, .. } => {
                // What ended the connection stays the reason, however often the next one fails.
                let before = self.ends().get(&line.shard.unwrap_or_default()).map(|(_, reason)| *reason);
                let cause = Cause::NotConnected { told: chain(*error) };
                (line, (cause, before.unwrap_or(ReconnectReason::Error)))
            }
            FeedEvent::Connected { line, again, .. } => {
                let shard = line.shard.unwrap_or_default();
                let ended = self.ends().remove(&shard);
                if *again {
                    let reason = ended.map_or(ReconnectReason::Error, |(_, reason)| reason);
                    self.reasons().entry(shard).or_default().count(reason);
                }
                return;
            }
            _ => return,
        };
        self.ends().insert(line.shard.unwrap_or_default(), ended);
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
            tracing::warn!(
                event = "suppressed",
                count = suppressed,
                kind = name,
                "{suppressed} warnings suppressed: {name} (more than {DAMAGED_SHOWN} in all)"
            );
        }
        _ if kind.is_error() => {
            tracing::error!(
                event = "suppressed",
                count = suppressed,
                kind = name,
                "{suppressed} warnings suppressed: {name} (more than {PER_SECOND} in a second)"
            );
        }
        _ => tracing::warn!(
            event = "suppressed",
            count = suppressed,
            kind = name,
            "{suppressed} warnings suppressed: {name} (more than {PER_SECOND} in a second)"
        ),
    }
}

impl FeedObserver for Events {
    fn on_event(&self, event: FeedEvent<'_>) {
        self.remember_end(&event);
        match event {
            FeedEvent::Connecting { url } => {
                tracing::debug!(event = "connecting", url, "connecting to {url}")
            }
            FeedEvent::Connected { url, line, again } => {
                let (shard, copy) = line.numbers();
                tracing::info!(
                    event = "connected",
                    url,
                    again,
                    shard,
                    line = copy,
                    "Connected: {url}{}",
                    of_line(line)
                );
                if again {
                    let count = self.reconnects.fetch_add(1, Ordering::Relaxed) + 1;
                    tracing::info!(event = "reconnected", count, "[METRICS] reconnect_count={count}");
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
                let (reason, wait_s, (shard, copy)) = (chain(error), in_seconds(wait), line.numbers());
                let (wait, of) = (seconds(wait), of_line(line));
                tracing::warn!(
                    event = "connect_failed",
                    reason,
                    wait_s,
                    shard,
                    line = copy,
                    "Reconnect due to error: {reason}{hint}; next attempt in {wait}{of}"
                );
            }
            FeedEvent::Failed { error, wait, remedy: Some(remedy), line } => {
                let (reason, wait_s, (shard, copy)) = (chain(error), in_seconds(wait), line.numbers());
                let (wait, of) = (seconds(wait), of_line(line));
                tracing::error!(
                    event = "connect_refused",
                    reason,
                    remedy,
                    wait_s,
                    shard,
                    line = copy,
                    "Reconnect due to error: {reason}: {remedy}; next attempt in {wait}{of}"
                );
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
                        event = "parse_error",
                        reason = "a binary message",
                        length_bytes = length,
                        sample,
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

/// What a lost connection counts as.
fn reason(end: &SessionEnd) -> ReconnectReason {
    match end {
        SessionEnd::HeartbeatTimeout(_) => ReconnectReason::HeartbeatTimeout,
        SessionEnd::NoData(_) => ReconnectReason::NoData,
        SessionEnd::Stale => ReconnectReason::Stale,
        SessionEnd::DeadLink(_) => ReconnectReason::DeadLink,
        SessionEnd::Closed { .. } => ReconnectReason::Closed,
        SessionEnd::Unanswered(_) | SessionEnd::ListDiffers { .. } => ReconnectReason::Refused,
        _ => ReconnectReason::Error,
    }
}

/// The close code of a client that has broken a rule: with too many requests, of all that is known.
const POLICY: u16 = 1_008;
const TOO_MUCH: &str = "the exchange counts what it is sent, and connections from this address: find out what else connects \
                        from here";

fn ended(end: &SessionEnd, wait: Duration, line: Place) {
    let (wait_s, (shard, copy)) = (in_seconds(wait), line.numbers());
    let wait = seconds(wait) + &of_line(line);
    match end {
        SessionEnd::HeartbeatTimeout(limit) => {
            tracing::warn!(
                event = "heartbeat_timeout",
                limit_s = in_seconds(*limit),
                wait_s,
                shard,
                line = copy,
                "Heartbeat timeout (>{}s). Reconnecting... | no frame at all; next attempt in {wait}",
                limit.as_secs_f64()
            );
        }
        SessionEnd::NoData(limit) => {
            tracing::warn!(
                event = "no_data",
                limit_s = in_seconds(*limit),
                wait_s,
                shard,
                line = copy,
                "Heartbeat timeout (>{}s). Reconnecting... | the link is alive but no trade came; next attempt in {wait}",
                limit.as_secs_f64()
            );
        }
        SessionEnd::Closed { code: Some(POLICY), .. } => {
            tracing::warn!(
                event = "connection_closed",
                code = POLICY,
                reason = end.to_string(),
                wait_s,
                shard,
                line = copy,
                "Connection closed: {end}; next attempt in {wait} | {TOO_MUCH}"
            );
        }
        SessionEnd::Closed { code, .. } => tracing::warn!(
            event = "connection_closed",
            code,
            reason = end.to_string(),
            wait_s,
            shard,
            line = copy,
            "Connection closed: {end}; next attempt in {wait}"
        ),
        _ => {
            let (cause, reason) = (lost_by(end), chain(end));
            tracing::warn!(
                event = "connection_lost",
                cause,
                reason,
                wait_s,
                shard,
                line = copy,
                "Reconnect due to error: {reason}; next attempt in {wait}"
            );
        }
    }
}

/// How a connection was lost that neither closed nor timed out: the machine word.
fn lost_by(end: &SessionEnd) -> &'static str {
    match end {
        SessionEnd::DeadLink(_) => "dead_link",
        SessionEnd::Stale => "stale",
        SessionEnd::Unanswered(_) => "unanswered",
        SessionEnd::ListDiffers { .. } => "list_differs",
        _ => "broken",
    }
}

/// Which of several lines something is about, behind what is said.
fn of_line(line: Place) -> String {
    if line.is_the_only_one() { String::new() } else { format!(" ({line})") }
}

/// For machines: seconds, to the millisecond.
fn in_seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e3).round() / 1e3
}

fn seconds(wait: Duration) -> String {
    format!("{:.1}s", wait.as_secs_f64())
}

/// An error and its causes on one line, foreign text escaped: for a log.
pub fn chain(error: &dyn std::error::Error) -> String {
    one_line(&joined(error))
}

/// An error and its causes, line by line, foreign text escaped: for the end of the command.
pub fn report(error: &dyn std::error::Error) -> String {
    joined(error).lines().map(one_line).collect::<Vec<_>>().join("\n")
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
