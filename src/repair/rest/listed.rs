//! Which symbols there are, out of `exchangeInfo`. Read as it streams by: of its megabytes only what is used is kept.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::text::escaped;
use crate::units::Symbol;

/// A symbol that the exchange lists. Its words are escaped, and shared by all that have the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The symbol.
    pub symbol: Symbol,
    /// Its status in the exchange's word: `TRADING`, `HALT`, `BREAK`, `SETTLING`, …; empty if it told none.
    pub status: Arc<str>,
    /// What kind of contract it is; `None` on spot, or if it told none.
    pub contract: Option<ContractType>,
    /// What a contract is worth, in dollars, at least 1; `None` but on COIN-M.
    pub contract_size: Option<u32>,
    /// What is bought and sold: `BTC`; empty if it told none.
    pub base: Arc<str>,
    /// What its price is in: `USDT`; empty if it told none.
    pub quote: Arc<str>,
    /// What is put up for it: `USDT`, on COIN-M `BTC`; empty on spot, or if it told none.
    pub margin: Arc<str>,
}

impl Listed {
    /// A symbol with a status, and nothing else known of it.
    pub fn new(symbol: Symbol, status: &str) -> Self {
        let nothing: Arc<str> = Arc::default();
        Self {
            symbol,
            status: status.into(),
            contract: None,
            contract_size: None,
            base: Arc::clone(&nothing),
            quote: Arc::clone(&nothing),
            margin: nothing,
        }
    }

    /// Whether it trades now.
    pub fn is_trading(&self) -> bool {
        &*self.status == "TRADING"
    }

    /// Whether it has traded for the last time: it is being settled or delivered, or is closed. A halt passes.
    pub fn is_final(&self) -> bool {
        matches!(
            &*self.status,
            "SETTLING"
                | "PRE_SETTLE"
                | "CLOSE"
                | "DELIVERED"
                | "DELIVERING"
                | "PRE_DELIVERING"
                | "PRE_DELIVERY"
        )
    }
}

/// What kind of contract a symbol is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ContractType {
    /// On a coin, without an end: `PERPETUAL`.
    Perpetual,
    /// On a share or a commodity, without an end: `TRADIFI_PERPETUAL`.
    TradFiPerpetual,
    /// Up to a date: `CURRENT_QUARTER`, `NEXT_MONTH`, …
    Dated,
    /// In a word that this version does not know.
    Other,
}

impl ContractType {
    /// By the exchange's word; `None` for an empty one.
    pub fn of(word: &str) -> Option<Self> {
        // While it ends, one is called `PERPETUAL DELIVERING`, or `CURRENT_QUARTER DELIVERING`.
        let word = word.strip_suffix("DELIVERING").unwrap_or(word).trim_end_matches([' ', '_']);
        match word {
            "" => None,
            "PERPETUAL" => Some(Self::Perpetual),
            "TRADIFI_PERPETUAL" => Some(Self::TradFiPerpetual),
            _ if word.starts_with("CURRENT_") || word.starts_with("NEXT_") => Some(Self::Dated),
            _ => Some(Self::Other),
        }
    }
}

/// More symbols than this are no exchange's; spot has about 3,500.
const MOST_SYMBOLS: usize = 100_000;

/// The symbols that an answer names, in its order.
pub(super) fn listings(body: &[u8]) -> Result<Vec<Listed>, String> {
    let info: Info = serde_json::from_slice(body).map_err(|fault| escaped(fault.to_string().as_bytes()))?;
    let Symbols(listed) = info.symbols;
    // Taken at its word it would make every symbol an unknown one.
    if listed.is_empty() { Err("it names no symbol".to_owned()) } else { Ok(listed) }
}

/// The one field of `exchangeInfo` that is read; whatever else there is, is passed over without being kept.
#[derive(Deserialize)]
struct Info {
    symbols: Symbols,
}

/// A symbol as the exchange writes it; COIN-M has `contractStatus` where the others have `status`.
#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "contractStatus")]
    contract_status: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "contractType")]
    contract_type: Option<Cow<'a, str>>,
    #[serde(default, rename = "contractSize")]
    contract_size: Size,
    #[serde(borrow, rename = "baseAsset")]
    base: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "quoteAsset")]
    quote: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "marginAsset")]
    margin: Option<Cow<'a, str>>,
}

struct Symbols(Vec<Listed>);

impl<'de> Deserialize<'de> for Symbols {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        struct Rows;
        impl<'de> Visitor<'de> for Rows {
            type Value = Symbols;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of symbols")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Symbols, A::Error> {
                let (mut listed, mut words) = (Vec::new(), Words::default());
                while let Some(row) = rows.next_element::<Row<'de>>()? {
                    // Nobody could ask for one that is no symbol to us.
                    let Ok(symbol) = Symbol::new(&row.symbol) else { continue };
                    if listed.len() == MOST_SYMBOLS {
                        return Err(A::Error::custom(format_args!("more than {MOST_SYMBOLS} symbols")));
                    }
                    listed.push(Listed {
                        symbol,
                        status: words.once(row.contract_status.or(row.status)),
                        contract: row.contract_type.as_deref().and_then(ContractType::of),
                        contract_size: row.contract_size.0,
                        base: words.once(row.base),
                        quote: words.once(row.quote),
                        margin: words.once(row.margin),
                    });
                }
                Ok(Symbols(listed))
            }
        }
        source.deserialize_seq(Rows)
    }
}

/// Every word once, however many symbols have it.
#[derive(Default)]
struct Words(HashSet<Arc<str>>);

impl Words {
    fn once(&mut self, word: Option<Cow<'_, str>>) -> Arc<str> {
        let word = word.unwrap_or_default();
        if let Some(known) = self.0.get(&*word) {
            return Arc::clone(known);
        }
        let safe = escaped(word.as_bytes());
        if let Some(known) = self.0.get(safe.as_str()) {
            return Arc::clone(known);
        }
        let safe: Arc<str> = safe.into();
        self.0.insert(Arc::clone(&safe));
        safe
    }
}

/// A whole number of dollars; what is none is as good as not told: it must not cost the whole list.
#[derive(Default)]
struct Size(Option<u32>);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a contract size")
            }

            fn visit_u64<E>(self, size: u64) -> Result<Size, E> {
                Ok(Size(u32::try_from(size).ok().filter(|size| *size > 0)))
            }

            fn visit_i64<E>(self, _negative: i64) -> Result<Size, E> {
                Ok(Size(None))
            }

            fn visit_f64<E>(self, size: f64) -> Result<Size, E> {
                let is_whole = size >= 1.0 && size <= f64::from(u32::MAX) && size.fract() == 0.0;
                Ok(Size(is_whole.then_some(size as u32)))
            }

            fn visit_str<E>(self, size: &str) -> Result<Size, E> {
                let whole = size.split_once('.').map_or(size, |(whole, rest)| {
                    if rest.bytes().all(|digit| digit == b'0') { whole } else { "" }
                });
                Ok(Size(whole.parse().ok().filter(|size| *size > 0)))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Size, E> {
                Ok(Size(None))
            }

            fn visit_unit<E>(self) -> Result<Size, E> {
                Ok(Size(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut rest: A) -> Result<Size, A::Error> {
                while rest.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Size(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut rest: A) -> Result<Size, A::Error> {
                while rest.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Size(None))
            }
        }
        source.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(body: &str) -> Result<Vec<(String, String)>, String> {
        let told = |listed: Listed| (listed.symbol.to_string(), listed.status.as_ref().to_owned());
        listings(body.as_bytes()).map(|all| all.into_iter().map(told).collect())
    }

    #[test]
    fn of_a_listing_only_what_is_used_is_read() {
        let body = r#"{"timezone":"UTC","rateLimits":[{"limit":2400}],"symbols":[
            {"symbol":"BTCUSDT","pair":"BTCUSDT","status":"TRADING","filters":[{"tickSize":"0.10"}],"x":null},
            {"contractStatus":"PENDING_TRADING","symbol":"BTCUSD_PERP"},
            {"symbol":"no symbol","status":"TRADING"},
            {"symbol":"币安人生USDT","status":"a\u001b[31mb"},
            {"symbol":"NEWUSDT"}
        ],"assets":[{"asset":"USDT"}]}"#;
        let expected = [
            ("BTCUSDT", "TRADING"),
            ("BTCUSD_PERP", "PENDING_TRADING"),
            ("币安人生USDT", r"a\u{1b}[31mb"),
            ("NEWUSDT", ""),
        ];
        let expected = expected.map(|(symbol, status)| (symbol.to_owned(), status.to_owned()));
        assert_eq!(told(body), Ok(expected.to_vec()));
        let listed = listings(body.as_bytes()).unwrap();
        let trading: Vec<bool> = listed.iter().map(Listed::is_trading).collect();
        assert_eq!(trading, [true, false, false, false]);
    }

    #[test]
    fn a_contract_tells_its_type_its_size_and_its_assets() {
        let body = r#"{"symbols":[
            {"symbol":"BTCUSD_PERP","contractType":"PERPETUAL","contractSize":100,"contractStatus":"TRADING",
             "baseAsset":"BTC","quoteAsset":"USD","marginAsset":"BTC"},
            {"symbol":"ETHUSD_260327","contractType":"CURRENT_QUARTER","contractSize":"10","contractStatus":"TRADING",
             "baseAsset":"ETH","quoteAsset":"USD","marginAsset":"ETH"},
            {"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","isSpotTradingAllowed":true}
        ]}"#;
        let listed = listings(body.as_bytes()).unwrap();
        let told =
            listed.iter().map(|one| (one.contract, one.contract_size, &*one.base, &*one.quote, &*one.margin));
        let expected = [
            (Some(ContractType::Perpetual), Some(100), "BTC", "USD", "BTC"),
            (Some(ContractType::Dated), Some(10), "ETH", "USD", "ETH"),
            (None, None, "BTC", "USDT", ""),
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected);
        assert!(Arc::ptr_eq(&listed[0].quote, &listed[1].quote), "every word is kept once");
        assert!(Arc::ptr_eq(&listed[0].base, &listed[2].base));
    }

    #[test]
    fn a_contract_size_that_is_none_costs_nothing_but_itself() {
        for (size, read) in [
            ("100", Some(100)),
            ("10.0", Some(10)),
            (r#""100""#, Some(100)),
            (r#""10.00""#, Some(10)),
            ("0", None),
            ("-10", None),
            ("0.5", None),
            (r#""0.5""#, None),
            ("1e30", None),
            ("4294967296", None),
            ("null", None),
            ("true", None),
            ("[1,[2]]", None),
            (r#"{"a":{}}"#, None),
            (r#""a hundred""#, None),
        ] {
            let body = format!(r#"{{"symbols":[{{"symbol":"A","contractSize":{size},"status":"X"}}]}}"#);
            let listed = listings(body.as_bytes()).unwrap_or_else(|fault| panic!("{size}: {fault}"));
            assert_eq!((listed[0].contract_size, &*listed[0].status), (read, "X"), "{size}");
        }
    }

    #[test]
    fn contract_types_are_known_by_their_words() {
        for (word, contract) in [
            ("PERPETUAL", Some(ContractType::Perpetual)),
            ("PERPETUAL_DELIVERING", Some(ContractType::Perpetual)),
            ("PERPETUAL DELIVERING", Some(ContractType::Perpetual)),
            ("TRADIFI_PERPETUAL", Some(ContractType::TradFiPerpetual)),
            ("CURRENT_QUARTER", Some(ContractType::Dated)),
            ("CURRENT_QUARTER DELIVERING", Some(ContractType::Dated)),
            ("NEXT_MONTH", Some(ContractType::Dated)),
            ("SOMETHING_NEW", Some(ContractType::Other)),
            ("", None),
        ] {
            assert_eq!(ContractType::of(word), contract, "{word}");
        }
    }

    #[test]
    fn a_halt_passes_and_a_settlement_does_not() {
        let of = |status| Listed::new(Symbol::new("A").unwrap(), status);
        for status in ["SETTLING", "CLOSE", "DELIVERED", "DELIVERING", "PRE_DELIVERING"] {
            assert!(of(status).is_final(), "{status}");
        }
        for status in ["TRADING", "HALT", "BREAK", "PENDING_TRADING", "CANCEL_ONLY", ""] {
            assert!(!of(status).is_final(), "{status}");
        }
    }

    #[test]
    fn what_is_no_list_of_symbols_is_refused() {
        for (body, fault) in [
            ("", "EOF"),
            ("[]", "expected"),
            ("{}", "missing field `symbols`"),
            (r#"{"symbols":{}}"#, "expected a list of symbols"),
            (r#"{"symbols":[]}"#, "it names no symbol"),
            (r#"{"symbols":[{"symbol":"?"}]}"#, "it names no symbol"),
            (r#"{"symbols":[{"status":"TRADING"}]}"#, "missing field `symbol`"),
            (r#"{"symbols":[{"symbol":7}]}"#, "invalid type"),
            (r#"{"symbols":[{"symbol":"A"},"#, "EOF"),
        ] {
            let refused = told(body).unwrap_err();
            assert!(refused.contains(fault), "{body}: {refused}");
        }
    }

    #[test]
    fn so_many_symbols_are_kept_and_not_one_more() {
        let of = |count: usize| {
            let rows: Vec<String> = (0..count).map(|at| format!(r#"{{"symbol":"S{at}"}}"#)).collect();
            listings(format!(r#"{{"symbols":[{}]}}"#, rows.join(",")).as_bytes())
        };
        assert_eq!(of(MOST_SYMBOLS).map(|listed| listed.len()), Ok(MOST_SYMBOLS));
        assert!(of(MOST_SYMBOLS + 1).unwrap_err().contains("more than 100000 symbols"));
    }
}
