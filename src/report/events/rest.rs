//! What is said about REST, which gives lost trades back.

use std::time::Duration;

use super::{Events, Kind, chain, in_seconds};
use crate::repair::RestError;
use crate::text::one_line;
use crate::units::Symbol;

impl Events {
    /// Nobody knows where the trades of this host could be asked for.
    pub fn repair_off(&self, host: &str) {
        let host = one_line(host);
        tracing::warn!(
            event = "repair_off",
            host,
            "REST repair is off: {host} is not a host of the exchange, so it is not known where its trades could be asked for. \
             Lost trades will be missing; give --rest-url, or --repair off to say that this is intended."
        );
    }

    /// REST must not be asked for a while.
    pub fn rest_banned(&self, status: u16, wait: Duration) {
        tracing::warn!(
            event = "rest_banned",
            status,
            wait_s = in_seconds(wait),
            "REST answered {status}, too many requests from this address: nothing is asked for {:.0} s",
            wait.as_secs_f64()
        );
    }

    /// REST will not answer, and asking again will hardly change that.
    pub fn rest_refused(&self, symbol: Option<&Symbol>, status: u16, message: &str, remedy: &str) {
        let of = symbol.map_or_else(String::new, |symbol| format!(" for {symbol}"));
        let said = if message.is_empty() { String::new() } else { format!(" ({})", one_line(message)) };
        tracing::error!(
            event = "rest_refused",
            symbol = symbol.map(Symbol::as_str),
            status,
            reason = one_line(message),
            remedy,
            "REST answered {status}{of}{said}: {remedy}"
        );
    }

    /// The weight of a minute is used up while trades are missing.
    pub fn rest_exhausted(&self, used: u64, ceiling: u64, wait: Duration) {
        tracing::info!(
            event = "rest_exhausted",
            used_weight = used,
            ceiling_weight = ceiling,
            wait_s = in_seconds(wait),
            "REST weight {used} of {ceiling} a minute is used up: the rest of the missing trades is asked for in {:.0} s",
            wait.as_secs_f64()
        );
    }

    /// A request failed that is made again.
    pub fn rest_failed(&self, error: &RestError) {
        self.noisily(Kind::Rest, || {
            let reason = chain(error);
            tracing::warn!(event = "rest_failed", reason, "{reason}; asking again");
        });
    }
}
