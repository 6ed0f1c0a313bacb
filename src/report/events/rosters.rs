//! What is said about symbols that join and leave.

use std::path::Path;

use super::{Events, chain, in_seconds};
use crate::roster::{Asking, Problem};
use crate::snapshot::{Instrument, LaneSummary};
use crate::source::{Arrival, DepartureReason, RosterChange};
use crate::text::{one_line, shown};

impl Events {
    /// A market is asked what it lists before anything else.
    pub fn asking(&self, asking: &Asking<'_>) {
        match asking {
            Asking::Asked { market } => {
                tracing::info!(
                    event = "listing_asked",
                    market = market.as_str(),
                    "asking what {market} lists, to find the symbols that are meant"
                )
            }
            Asking::Failed { market, error, wait } => {
                let (reason, wait_s) = (chain(*error), in_seconds(*wait));
                tracing::warn!(
                    event = "listing_failed",
                    market = market.as_str(),
                    reason,
                    wait_s,
                    "what {market} lists is not known yet: {reason}; asking again in {:.1}s",
                    wait.as_secs_f64()
                );
            }
            Asking::Listed { market, symbols } => tracing::debug!(
                event = "listing_known",
                market = market.as_str(),
                symbols,
                "{market} lists {symbols} symbols"
            ),
        }
    }

    /// Something about what is to be followed that is no reason not to go on.
    pub fn roster_problem(&self, problem: &Problem) {
        let reason = one_line(&problem.to_string());
        tracing::warn!(event = "selection_problem", reason, "{reason}");
    }

    /// Symbols begin to move from busy connections to idle ones; none where moves have come to their end.
    pub fn moves(&self, symbols: usize) {
        match symbols {
            0 => tracing::info!(
                event = "moves_ended",
                "the symbols that moved between connections have arrived"
            ),
            _ => tracing::info!(
                event = "moves_begun",
                symbols,
                "{symbols} symbols move from a busy connection to an idle one, make before break"
            ),
        }
    }

    /// The symbols file was read again.
    pub fn symbols_file_read(&self, file: &Path, change: Option<&RosterChange>) {
        let file = shown(file);
        let seats = change.iter().flat_map(|change| &change.seats);
        let joining: Vec<_> = seats.map(|seat| &seat.instrument).collect();
        let departures = change.iter().flat_map(|change| &change.ended);
        let leaving: Vec<_> = departures.map(|departure| &departure.instrument).collect();
        let (joining_symbols, leaving_symbols) = (joining.len(), leaving.len());
        match (named(&joining), named(&leaving)) {
            (None, None) => tracing::info!(
                event = "symbols_file_read",
                file,
                joining_symbols,
                leaving_symbols,
                "{file} was read again: nothing changes"
            ),
            (joining, leaving) => {
                let none = || "none".to_owned();
                let (joining, leaving) = (joining.unwrap_or_else(none), leaving.unwrap_or_else(none));
                tracing::info!(
                    event = "symbols_file_read",
                    file,
                    joining_symbols,
                    leaving_symbols,
                    "{file} was read again: joining {joining}; leaving {leaving}"
                );
            }
        }
    }

    /// The symbols file cannot be used; what it said before holds on.
    pub fn symbols_file_refused(&self, file: &Path, what: &str) {
        let (file, what) = (shown(file), one_line(what));
        let stop = if what.ends_with('?') { "" } else { "." };
        tracing::error!(
            event = "symbols_file_refused",
            file,
            reason = what,
            "{file} was to be read again and cannot be used: {what}{stop} Nothing changes; mend it and send SIGHUP again"
        );
    }

    /// A symbol is followed from here on; the records tell it too.
    pub fn joined(&self, instrument: &Instrument, why: Arrival) {
        let why = match why {
            Arrival::Asked => "it is asked for",
            Arrival::Listed => "the exchange has begun to list it",
        };
        let Instrument { market, symbol } = instrument;
        tracing::debug!(
            event = "symbol_joined",
            symbol = symbol.as_str(),
            market = market.as_str(),
            reason = why,
            "{instrument} joins: {why}"
        );
    }

    /// A symbol is not followed any more; the records tell it too.
    pub fn ended(&self, summary: &LaneSummary, why: DepartureReason) {
        let why = match why {
            DepartureReason::Removed => "nobody asks for it any more",
            DepartureReason::Delisted => "the exchange does not trade it any more",
        };
        let LaneSummary { market, symbol, trades, reading, .. } = summary;
        tracing::debug!(
            event = "symbol_left",
            symbol = symbol.as_str(),
            market = market.as_str(),
            reason = why,
            trades,
            cvd = reading.cvd.to_string(),
            "{market}:{symbol} leaves: {why}; cvd={} over {trades} trades",
            reading.cvd
        );
    }
}

/// So many are named, and the others counted.
const NAMED: usize = 10;

/// Some symbols by their names; `None` for none.
fn named(instruments: &[&Instrument]) -> Option<String> {
    let (first, others) = instruments.split_at(instruments.len().min(NAMED));
    let names: Vec<_> = first.iter().map(ToString::to_string).collect();
    match others.len() {
        0 if names.is_empty() => None,
        0 => Some(names.join(", ")),
        more => Some(format!("{} and {more} more", names.join(", "))),
    }
}
