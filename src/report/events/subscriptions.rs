//! What is said about the streams a connection carries.

use std::time::Duration;

use super::{Events, Kind, of_line, seconds};
use crate::feed::{Difference, Method, Place};
use crate::text::escaped;

/// A connection carries every stream it should. With one connection nobody doubted it.
pub(super) fn subscribed(line: Place, streams: usize, took: Duration) {
    let (took, of, plural) = (seconds(took), of_line(line), if streams == 1 { "" } else { "s" });
    if line.shard.is_some() {
        tracing::info!("Subscribed: {streams} stream{plural} in {took}, as the exchange's list confirms{of}");
    } else {
        tracing::debug!(
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
        let (method, of) = (method.as_str(), of_line(line));
        let Some(remedy) = remedy else {
            return tracing::debug!("{method} refused: code {code}: {msg}{of}");
        };
        self.noisily(Kind::Subscription, || {
            tracing::warn!("{method} refused: code {code}: {msg}: {remedy}{of}");
        });
    }

    /// The exchange's list is not what was asked for.
    pub(super) fn list_differs(&self, line: Place, difference: &Difference) {
        let Difference { missing, excess, example, is_final } = difference;
        let (example, of) = (escaped(example.as_bytes()), of_line(line));
        let then = if *is_final { "given up, a new connection follows" } else { "put right" };
        self.noisily(Kind::Subscription, || {
            tracing::warn!(
                "the exchange's list of subscriptions differs: {missing} missing, {excess} nobody asked for ({example}, \
                 for one); {then}{of}"
            );
        });
    }
}
