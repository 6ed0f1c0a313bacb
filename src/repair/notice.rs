//! What the operator has to know about asking REST: once per occurrence, not per request.

use std::time::Duration;

use crate::units::Symbol;

/// Something about REST that an operator has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The exchange wants no request for a while; none is made.
    Banned {
        /// 429 or 418.
        status: u16,
        /// For how long from now.
        wait: Duration,
        /// The exchange's words, escaped.
        message: String,
    },
    /// REST does not answer, and asking again will hardly change that. Told again only after an answer between.
    Refused {
        /// The symbol it concerns; `None` for all of them.
        symbol: Option<Symbol>,
        /// The HTTP status.
        status: u16,
        /// The exchange's error code, where there is one.
        code: Option<i64>,
        /// The exchange's words, escaped.
        message: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Missing trades wait because the weight of this minute is used up.
    BudgetExhausted {
        /// The weight used in this minute, as far as it is known.
        used: u64,
        /// The weight per minute that is not exceeded.
        ceiling: u64,
        /// For how long from now.
        wait: Duration,
    },
    /// Connections opened whose many symbols may have missed trades: what asking for them takes at most, if each needs
    /// one request.
    ManyMayMiss {
        /// How many symbols.
        lanes: usize,
        /// The weight of a request.
        cost: u64,
        /// The weight per minute that is not exceeded.
        ceiling: u64,
        /// How long about.
        about: Duration,
    },
    /// Many symbols were cut off, and not all of them are whole again. Told every ten seconds.
    ManyMissing {
        /// Symbols that missed something in this outage.
        cut_off: usize,
        /// Those among them that miss something now.
        left: usize,
        /// The weight per minute that is not exceeded.
        ceiling: u64,
        /// How long it takes about.
        about: Duration,
    },
    /// The last of many symbols that were cut off has nothing to wait for any more.
    ManyWhole {
        /// Symbols that missed something in this outage.
        lanes: usize,
        /// Those among them of which ids were given up.
        given_up: usize,
        /// Since the first one missed something.
        took: Duration,
        /// The weight of the requests that were made.
        weight: u64,
    },
}

/// What to do about a refusal.
pub(super) fn remedy(status: u16, code: Option<i64>) -> &'static str {
    match (status, code) {
        (451, _) => {
            "the exchange does not serve this place: run from one it serves; missing trades are named, not repaired"
        }
        (403, _) => {
            "a firewall before the exchange turns this address away: ask less from it, or wait; tried again each minute"
        }
        (404, _) => "check that the REST address belongs to this market and has nothing after the host",
        (_, Some(-1121)) => "check the symbol: this market's REST does not know it",
        (401, _) => {
            "this REST address wants a login, which public market data does not need: check the address"
        }
        _ => {
            "check the REST address and the symbol; the next hole tries again, at the earliest after a minute"
        }
    }
}
