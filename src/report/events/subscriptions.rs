//! What is said about the streams a connection carries.

use std::time::Duration;

use super::{Events, Kind, in_seconds, of_line, seconds};
use crate::feed::{Difference, Method, Place};
use crate::text::escaped;

/// A connection carries every stream it should. With one connection nobody doubted it.
pub(super) fn subscribed(line: Place, streams: usize, took: Duration) {
    let (took_s, (shard, copy)) = (in_seconds(took), line.numbers());
    let (took, of, plural) = (seconds(took), of_line(line), if streams == 1 { "" } else { "s" });
    if line.shard.is_some() {
        tracing::info!(
            event = "subscribed",
            streams,
            took_s,
            shard,
            line = copy,
            "Subscribed: {streams} stream{plural} in {took}, as the exchange's list confirms{of}"
        );
    } else {
        tracing::debug!(
            event = "subscribed",
            streams,
            took_s,
            shard,
            line = copy,
            "Subscribed: {streams} stream{plural} in {took}, as the exchange's list confirms{of}"
        );
    }
}

impl Events {
    /// What the exchange said is told where its frame is read; here, what to do about it.
    pub(super) fn subscription_refused(
        &self,
        line: Place,
        method: Method,
        code: i64,
        msg: &str,
        remedy: Option<&str>,
    ) {
        let (method, of, (shard, copy)) = (method.as_str(), of_line(line), line.numbers());
        let Some(remedy) = remedy else {
            return tracing::debug!(
                event = "request_refused",
                method,
                code,
                reason = msg,
                shard,
                line = copy,
                "{method} refused: code {code}: {msg}{of}"
            );
        };
        self.noisily(Kind::Subscription, || {
            tracing::warn!(
                event = "request_refused",
                method,
                code,
                reason = msg,
                remedy,
                shard,
                line = copy,
                "{method} refused: code {code}: {msg}: {remedy}{of}"
            );
        });
    }

    /// The exchange's list is not what was asked for.
    pub(super) fn list_differs(&self, line: Place, difference: &Difference) {
        let Difference { missing, excess, example, is_final } = difference;
        let (example, of) = (escaped(example.as_bytes()), of_line(line));
        let (shard, copy) = line.numbers();
        let then = if *is_final { "given up, a new connection follows" } else { "put right" };
        self.noisily(Kind::Subscription, || {
            tracing::warn!(
                event = "subscriptions_differ",
                missing_streams = missing,
                excess_streams = excess,
                is_final,
                shard,
                line = copy,
                "the exchange's list of subscriptions differs: {missing} missing, {excess} nobody asked for ({example}, \
                 for one); {then}{of}"
            );
        });
    }
}
