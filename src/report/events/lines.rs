//! What is said about connections that are up and yet of little use.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Events, Kind, chain, of_line, seconds};
use crate::feed::{HandOverFailure, Place, Renewal, SessionEnd};

impl Events {
    pub(super) fn ended_early(end: &SessionEnd, line: Place) {
        tracing::warn!(
            "Connection closed: {}; the one that replaces it goes on{}",
            chain(end),
            of_line(line)
        );
    }

    pub(super) fn hand_over_begun(line: Place, why: Renewal, age: Duration) {
        let (why, line) = (why.as_str(), of_line(line));
        let (hours, minutes) = (age.as_secs() / 3_600, age.as_secs() / 60 % 60);
        tracing::info!(
            "Hand-over begun ({why}, after {hours}h {minutes:02}m): a new connection is opened while the old one goes on{line}"
        );
    }

    pub(super) fn handed_over(&self, line: Place, took: Duration) {
        let count = self.hand_overs.fetch_add(1, Ordering::Relaxed) + 1;
        let (took, line) = (seconds(took), of_line(line));
        tracing::info!(
            "Handed over after {took}: both carried the same trades, and the old connection is closed{line}"
        );
        tracing::info!("[METRICS] hand_overs={count}");
    }

    pub(super) fn hand_over_failed(&self, line: Place, what: &HandOverFailure, next_try: Duration) {
        let (what, next_try, line) = (chain(what), seconds(next_try), of_line(line));
        self.noisily(Kind::HandOver, || {
            tracing::warn!(
                "Hand-over failed: {what}; the old connection goes on, next try in {next_try}{line}"
            );
        });
    }

    /// A connection brings nothing while another one brings trades.
    pub fn line_silent(&self, line: Place) {
        tracing::warn!(
            "{line} brings nothing while another line brings trades: it is connected anew; nothing is lost"
        );
    }

    /// A connection is far behind the exchange.
    pub fn line_lags(&self, by: Duration) {
        tracing::warn!(
            "the stream is {:.1} s behind the exchange (--max-lag): a new connection takes over",
            by.as_secs_f64()
        );
    }

    /// The exchange is about to end a connection.
    pub fn shutdown_announced(&self) {
        tracing::info!("the exchange announces that it will end this connection: a new one takes over");
    }
}
