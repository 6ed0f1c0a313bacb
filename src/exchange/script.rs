//! What the exchange will do: a list of acts, and what comes after the last.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::market::Listing;
use super::misanswer::Misanswer;
use crate::units::Symbol;

/// One thing the exchange does.
///
/// Acts are played in order by one director for the whole exchange; the position goes on across reconnects.
/// An act that concerns open connections concerns all of them, so redundant lines see the same trades;
/// [`Act::on`] aims at one. An act that sends waits until a connection is there to receive. It is over when
/// every connection concerned has written it to its socket, or is gone.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Act {
    /// Makes and sends so many trades, as fast as the slowest connection takes them.
    Trades(u64),
    /// The same, evenly at a rate.
    TradesPaced {
        /// How many.
        n: u64,
        /// How many per second; at least 1.
        per_second: u32,
    },
    /// The same, as a busy market trades: see [`AtEnd::Bursts`]. In memory, where there are no sockets, evenly.
    Bursts {
        /// How many.
        n: u64,
        /// How many per second in the mean; at least 1.
        per_second: u32,
    },
    /// Lists one symbol more while the exchange runs, or again: then its ids begin anew with the listing's first, and
    /// REST knows nothing older. Needs no connection.
    List(Listing),
    /// Ends a symbol: it trades no more, and neither the listings nor REST know it. Needs no connection.
    Delist(Symbol),
    /// What `exchangeInfo` says of a symbol from now on, such as `SETTLING`; it trades as before. Needs no connection.
    Status(Symbol, String),
    /// Makes trades that the wire does not carry: a hole in the ids. Needs no connection.
    SkipIds(u64),
    /// Sends the last so many trades again (of at most 4,096 that are remembered).
    Repeat(usize),
    /// Makes so many trades (at most 4,096) and sends them newest first.
    Reorder(usize),
    /// Makes so many trades and sends each cut in the middle of its JSON.
    Corrupt(u64),
    /// Makes and sends so many voided trades: price and quantity zero, raw ids −1. They have ids like all others, in
    /// the ledger and in REST, and add nothing.
    ZeroQty(u64),
    /// Sends the last so many trades again (see [`Act::Repeat`]), each with one lot more than it had.
    Conflict(usize),
    /// Sends one believable trade with this id, which is in no ledger.
    Implausible(i64),
    /// Lets the ids go on from here, as after a relisting. REST knows nothing older from then on.
    RestartIds(i64),
    /// Sends a text message with exactly this text.
    Frame(String),
    /// Sends a binary message.
    Binary(Vec<u8>),
    /// Sends a text message of these bytes, UTF-8 or not.
    Garbage(Vec<u8>),
    /// Writes bytes to the TCP stream as they are, whatever the WebSocket protocol says about it.
    Raw(Vec<u8>),
    /// Sends no data for a while; pings go on and are answered.
    Stall(Duration),
    /// Open connections stay open, acknowledge and ping, but get no more data: a lost subscription. SUBSCRIBE
    /// does not cure it, a new connection does.
    Mute,
    /// Ends connections with a close frame.
    Close {
        /// The code, such as 1001 or 1008.
        code: u16,
        /// The reason, at most 123 bytes of it.
        reason: String,
    },
    /// Ends connections without a close frame; what was sent before arrives.
    Drop,
    /// Resets connections (RST); what the peer has not received yet is lost.
    Reset,
    /// Stops reading and writing but keeps the socket open until the exchange stops.
    HalfOpen,
    /// From now on open connections write so many bytes per second; 0 ends the drip.
    SlowBytes {
        /// The rate.
        per_second: u32,
    },
    /// Answers the next handshakes with an HTTP status.
    Refuse {
        /// The status, such as 429, 418, 403, 451, 503.
        status: u16,
        /// `Retry-After` as written, if there is to be one.
        retry_after: Option<String>,
        /// How many handshakes.
        times: u32,
    },
    /// The next connection ends (without a close frame) as soon as its handshake is done.
    AcceptThenClose,
    /// The next connection is [`Act::Mute`] from the start: connected, acknowledged, silent.
    AckWithoutData,
    /// The next TCP connection is accepted and its handshake never answered.
    StallHandshake,
    /// Waits until so many connections have been made since the start (handshake done).
    WaitForConnection(u64),
    /// Waits until every symbol that is listed now would reach some connection.
    WaitForSymbols,
    /// Waits until notified; a permit given earlier counts.
    Until(Arc<Notify>),
    /// Answers the next REST requests with a status.
    RefuseRest {
        /// The status.
        status: u16,
        /// `Retry-After` as written. After a 429 or a 418, asking again within that many seconds is a violation;
        /// without a number of seconds a 429 holds until the minute is over and a 418 until the time its body tells.
        retry_after: Option<String>,
        /// How many requests; 0 takes back all refusals that are still to come.
        times: u32,
    },
    /// Cuts the next REST answers off in the middle of the body.
    CutRest(u32),
    /// Lets REST trail the ledger by so many ids per symbol.
    LagRest(u64),
    /// Lets REST see a trade only this long after it was made; zero ends it.
    LagRestTime(Duration),
    /// REST answers, with what is true at the time of the request, only after this long; zero ends it. Refusals come
    /// at once, so that no client can miss one for want of patience.
    SlowRest(Duration),
    /// REST never has the last so many trades made of each symbol.
    LoseFromRest(u64),
    /// Lets the next control messages, of whichever connection, meet something else than obedience.
    Misanswer {
        /// What.
        how: Misanswer,
        /// How many control messages; 0 takes back everything armed.
        times: u32,
    },
    /// An act for one connection only, by its number from 1. See [`Act::on`].
    On(u64, Box<Act>),
    /// An act for one symbol only. See [`Act::of`].
    Of(Symbol, Box<Act>),
}

impl Act {
    /// This act for one connection only: the `connection`-th since the start. If that one is already gone the
    /// act is skipped, except that its trades are made; if it is yet to come, sending waits for it.
    pub fn on(self, connection: u64) -> Self {
        Self::On(connection, Box::new(self))
    }

    /// This act with trades of one symbol only. Of a symbol that is not listed nothing is made.
    pub fn of(self, symbol: Symbol) -> Self {
        Self::Of(symbol, Box::new(self))
    }

    /// Whether it prepares a coming handshake rather than doing something now.
    pub(super) fn is_for_a_handshake(&self) -> bool {
        matches!(
            self,
            Self::Refuse { .. }
                | Self::AcceptThenClose
                | Self::AckWithoutData
                | Self::StallHandshake
                | Self::Misanswer { .. }
        )
    }

    /// Whether connections end by it, so that the next handshake may come at any moment.
    pub(super) fn ends_connections(&self) -> bool {
        match self {
            Self::Close { .. } | Self::Drop | Self::Reset | Self::HalfOpen => true,
            Self::On(_, act) | Self::Of(_, act) => act.ends_connections(),
            _ => false,
        }
    }
}

/// What happens after the last act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AtEnd {
    /// Connections stay open and quiet; acts can still be played by hand.
    #[default]
    Hold,
    /// Open connections are closed with code 1000; new ones stay quiet.
    Close,
    /// The market trades for ever, whether or not anybody listens.
    Market {
        /// Trades per second; at least 1.
        per_second: u32,
    },
    /// The same as a busy market trades: events at random moments, one in four of several trades of one symbol, and every
    /// few seconds a surge of five to ten times the mean for about 100 ms. A thread of its own writes each event at its
    /// own microsecond, with one call, as the exchange does; it uses a core for that. Bytes do not drip
    /// ([`Act::SlowBytes`]) meanwhile, and acts can be played by hand, between events.
    Bursts {
        /// Trades per second in the mean; at least 1.
        per_second: u32,
    },
    /// The same for a market that is seldom traded: one trade every so often, at least 10 ms.
    SlowMarket {
        /// How often.
        every: Duration,
    },
}

/// A list of acts, and what comes after the last.
///
/// Acts for a coming handshake (refusals and the like) are armed before the act in front of them ends a
/// connection, so a peer that reconnects at once cannot slip between.
#[derive(Debug, Clone, Default)]
pub struct Script {
    pub(super) acts: Vec<Act>,
    pub(super) at_end: AtEnd,
}

impl Script {
    /// A script of these acts that then holds.
    pub fn new(acts: impl IntoIterator<Item = Act>) -> Self {
        Self { acts: acts.into_iter().collect(), at_end: AtEnd::Hold }
    }

    /// One act more.
    #[must_use]
    pub fn then(mut self, act: Act) -> Self {
        self.acts.push(act);
        self
    }

    /// The acts so far, `times` times in all.
    #[must_use]
    pub fn repeated(mut self, times: usize) -> Self {
        let acts = std::mem::take(&mut self.acts);
        self.acts = std::iter::repeat_n(acts, times).flatten().collect();
        self
    }

    /// What happens after the last act.
    #[must_use]
    pub fn at_end(mut self, at_end: AtEnd) -> Self {
        self.at_end = at_end;
        self
    }
}

impl<const N: usize> From<[Act; N]> for Script {
    fn from(acts: [Act; N]) -> Self {
        Self::new(acts)
    }
}

impl From<Vec<Act>> for Script {
    fn from(acts: Vec<Act>) -> Self {
        Self::new(acts)
    }
}
