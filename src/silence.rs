//! Why nothing arrives: every silence has a name and one sentence, and a patience of its own. Pure.

mod listed;
mod rate;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units::{AggTradeId, Symbol, UnixMillis};

pub(crate) use listed::meant;
pub use listed::{SymbolProblem, check, unknown};
pub use rate::{Rate, UNKNOWN_PATIENCE};

/// The newest trade the exchange has of a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Newest {
    /// Its id.
    pub id: AggTradeId,
    /// When it happened, by the exchange's clock.
    pub traded_at: UnixMillis,
}

/// What REST says about a symbol that stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finding {
    /// The exchange has nothing that has not arrived; `None`: it has never seen a trade of it.
    Quiet(Option<Newest>),
    /// The exchange has later trades, and this connection did not bring them.
    NotDelivered {
        /// The newest id at the exchange.
        newest: AggTradeId,
        /// The newest one here.
        ours: Option<AggTradeId>,
    },
}

/// Whether trades can come over an address at all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Route {
    /// Nothing speaks against it.
    #[default]
    Fine,
    /// On the exchange's own host nothing would come this way. What to do instead, in a sentence.
    Suspected(String),
    /// Nothing will come this way. What to do instead, in a sentence.
    Wrong(String),
}

/// Why nothing arrives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Cause {
    /// The address connects and acknowledges, but carries no trades.
    WrongRoute {
        /// The situation and what to do.
        told: String,
    },
    /// The exchange does not list a symbol.
    UnknownSymbol {
        /// The symbol.
        symbol: Symbol,
    },
    /// The exchange lists the symbol, but nobody can trade it now.
    NotTrading {
        /// The symbol.
        symbol: Symbol,
        /// The exchange's word for its status, escaped.
        status: String,
        /// How many other symbols do not trade either.
        others: usize,
    },
    /// REST confirms that nobody trades.
    QuietMarket {
        /// The symbol that traded last.
        symbol: Symbol,
        /// Its last trade; `None` if there never was one.
        newest: Option<Newest>,
        /// How long ago that was.
        ago: Option<Duration>,
    },
    /// The market trades on.
    NotDelivered {
        /// A symbol that trades.
        symbol: Symbol,
        /// Its newest id at the exchange.
        newest: AggTradeId,
        /// The newest one here.
        ours: Option<AggTradeId>,
    },
    /// The peer vanished without a word.
    DeadLink {
        /// How that was found.
        told: String,
    },
    /// The connection ended in another way.
    ConnectionLost {
        /// How.
        told: String,
    },
    /// No connection could be made.
    NotConnected {
        /// Why.
        told: String,
    },
    /// REST cannot be asked whether anybody trades.
    NoAnswer {
        /// Why.
        why: String,
    },
    /// The subscription is not acknowledged.
    NotAcknowledged {
        /// For how long.
        waited: Duration,
    },
}

impl Cause {
    /// The machine word of records: `wrong_route`, `unknown_symbol`, `not_trading`, `quiet_market`, `not_delivered`,
    /// `dead_link`, `connection_lost`, `not_connected`, `no_answer` or `not_acknowledged`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::WrongRoute { .. } => "wrong_route",
            Self::UnknownSymbol { .. } => "unknown_symbol",
            Self::NotTrading { .. } => "not_trading",
            Self::QuietMarket { .. } => "quiet_market",
            Self::NotDelivered { .. } => "not_delivered",
            Self::DeadLink { .. } => "dead_link",
            Self::ConnectionLost { .. } => "connection_lost",
            Self::NotConnected { .. } => "not_connected",
            Self::NoAnswer { .. } => "no_answer",
            Self::NotAcknowledged { .. } => "not_acknowledged",
        }
    }
}

impl fmt::Display for Cause {
    /// One sentence for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongRoute { told }
            | Self::DeadLink { told }
            | Self::ConnectionLost { told }
            | Self::NotConnected { told } => f.write_str(told),
            Self::UnknownSymbol { symbol } => write!(f, "the exchange does not list {symbol}"),
            Self::NotTrading { symbol, status, others } => {
                write!(f, "{symbol} cannot be traded now: the exchange's status of it is {status}")?;
                match others {
                    0 => Ok(()),
                    others => write!(f, " (and {others} more do not trade)"),
                }
            }
            Self::QuietMarket { symbol, newest: None, .. } => {
                write!(f, "nobody trades: REST knows no trade of {symbol} at all")
            }
            Self::QuietMarket { symbol, newest: Some(newest), ago } => {
                write!(
                    f,
                    "nobody trades, as REST confirms: the newest trade of {symbol} is still id {}",
                    newest.id
                )?;
                match ago {
                    Some(ago) => write!(f, ", {} s ago", ago.as_secs()),
                    None => Ok(()),
                }
            }
            Self::NotDelivered { symbol, newest, ours } => {
                write!(
                    f,
                    "the market trades on and nothing of it arrives: {symbol} is at id {newest} at REST, here "
                )?;
                match ours {
                    Some(ours) => write!(f, "at {ours}"),
                    None => f.write_str("there is none"),
                }
            }
            Self::NoAnswer { why } => {
                write!(f, "whether anybody trades is not known, because REST cannot be asked: {why}")
            }
            Self::NotAcknowledged { waited } => {
                write!(f, "the exchange has not acknowledged the subscription for {} s", waited.as_secs())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_a_word_and_a_sentence() {
        let symbol = || Symbol::new("BTCUSDT").unwrap();
        let newest = Newest { id: AggTradeId(7), traded_at: UnixMillis(0) };
        let told = || "said so".to_owned();
        let table = [
            (Cause::WrongRoute { told: told() }, "wrong_route: said so"),
            (Cause::UnknownSymbol { symbol: symbol() }, "unknown_symbol: the exchange does not list BTCUSDT"),
            (
                Cause::NotTrading { symbol: symbol(), status: "HALT".into(), others: 2 },
                "not_trading: BTCUSDT cannot be traded now: the exchange's status of it is HALT (and 2 more do not trade)",
            ),
            (
                Cause::QuietMarket {
                    symbol: symbol(),
                    newest: Some(newest),
                    ago: Some(Duration::from_secs(61)),
                },
                "quiet_market: nobody trades, as REST confirms: the newest trade of BTCUSDT is still id 7, 61 s ago",
            ),
            (
                Cause::QuietMarket { symbol: symbol(), newest: None, ago: None },
                "quiet_market: nobody trades: REST knows no trade of BTCUSDT at all",
            ),
            (
                Cause::NotDelivered { symbol: symbol(), newest: newest.id, ours: None },
                "not_delivered: the market trades on and nothing of it arrives: BTCUSDT is at id 7 at REST, here there is none",
            ),
            (Cause::DeadLink { told: told() }, "dead_link: said so"),
            (Cause::ConnectionLost { told: told() }, "connection_lost: said so"),
            (Cause::NotConnected { told: told() }, "not_connected: said so"),
            (
                Cause::NoAnswer { why: told() },
                "no_answer: whether anybody trades is not known, because REST cannot be asked: said so",
            ),
            (
                Cause::NotAcknowledged { waited: Duration::from_millis(12_300) },
                "not_acknowledged: the exchange has not acknowledged the subscription for 12 s",
            ),
        ];
        for (cause, expected) in table {
            assert_eq!(format!("{}: {cause}", cause.as_str()), expected);
        }
    }
}
