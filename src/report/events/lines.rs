//! What is said about connections that are up and yet of little use.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Events, Kind, chain, in_seconds, of_line, seconds};
use crate::feed::{HandOverFailure, Place, Renewal, SessionEnd};

impl Events {
    pub(super) fn ended_early(end: &SessionEnd, line: Place) {
        let (reason, (shard, copy)) = (chain(end), line.numbers());
        tracing::warn!(
            event = "connection_closed_early",
            reason,
            shard,
            line = copy,
            "Connection closed: {reason}; the one that replaces it goes on{}",
            of_line(line)
        );
    }

    pub(super) fn hand_over_begun(line: Place, why: Renewal, age: Duration) {
        let (why, of, (shard, copy)) = (why.as_str(), of_line(line), line.numbers());
        let (hours, minutes) = (age.as_secs() / 3_600, age.as_secs() / 60 % 60);
        tracing::info!(
            event = "hand_over_begun",
            cause = why,
            age_s = in_seconds(age),
            shard,
            line = copy,
            "Hand-over begun ({why}, after {hours}h {minutes:02}m): a new connection is opened while the old one goes on{of}"
        );
    }

    pub(super) fn handed_over(&self, line: Place, took: Duration) {
        let count = self.hand_overs.fetch_add(1, Ordering::Relaxed) + 1;
        let (took_s, (shard, copy)) = (in_seconds(took), line.numbers());
        let (took, of) = (seconds(took), of_line(line));
        tracing::info!(
            event = "handed_over",
            took_s,
            shard,
            line = copy,
            "Handed over after {took}: both carried the same trades, and the old connection is closed{of}"
        );
        tracing::info!(event = "hand_over_counted", count, "[METRICS] hand_overs={count}");
    }

    pub(super) fn hand_over_failed(&self, line: Place, what: &HandOverFailure, next_try: Duration) {
        let (reason, wait_s, (shard, copy)) = (chain(what), in_seconds(next_try), line.numbers());
        let (next_try, of) = (seconds(next_try), of_line(line));
        self.noisily(Kind::HandOver, || {
            tracing::warn!(
                event = "hand_over_failed",
                reason,
                wait_s,
                shard,
                line = copy,
                "Hand-over failed: {reason}; the old connection goes on, next try in {next_try}{of}"
            );
        });
    }

    /// A connection brings nothing while another one brings trades.
    pub fn line_silent(&self, line: Place) {
        let (shard, copy) = line.numbers();
        tracing::warn!(
            event = "line_silent",
            shard,
            line = copy,
            "{line} brings nothing while another line brings trades: it is connected anew; nothing is lost"
        );
    }

    /// A connection is far behind the exchange.
    pub fn line_lags(&self, by: Duration) {
        tracing::warn!(
            event = "line_lags",
            lag_s = in_seconds(by),
            "the stream is {:.1} s behind the exchange (--max-lag): a new connection takes over",
            by.as_secs_f64()
        );
    }

    /// The exchange is about to end a connection.
    pub fn shutdown_announced(&self) {
        tracing::info!(
            event = "shutdown_announced",
            "the exchange announces that it will end this connection: a new one takes over"
        );
    }
}
