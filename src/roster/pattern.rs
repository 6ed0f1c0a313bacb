//! A symbol, or many of them: `BTCUSDT`, `*USDT`, `BTCUSD_??????`.

use std::fmt;

use crate::units::Symbol;

/// The longest pattern, in characters.
const LONGEST: usize = 64;

/// A symbol's name, or a pattern of names: `*` stands for any characters or none, `?` for one. ASCII letters match in
/// either case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// Reads a name or a pattern; `None` if it is neither: empty, longer than a symbol may be (a pattern: 64
    /// characters), or with anything but letters, digits, `_`, `-`, `*` and `?`.
    pub fn new(text: &str) -> Option<Self> {
        let is_wild = text.contains(is_wildcard);
        let is_possible = if is_wild {
            let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-') || is_wildcard(c);
            text.len() <= LONGEST * 4 && text.chars().count() <= LONGEST && text.chars().all(allowed)
        } else {
            Symbol::is_symbol(text)
        };
        is_possible.then(|| Self(text.to_ascii_uppercase().into()))
    }

    /// Whatever there is: `*`.
    pub fn everything() -> Self {
        Self("*".into())
    }

    /// In upper case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The symbol it names; `None` if it is a pattern.
    pub fn name(&self) -> Option<Symbol> {
        if self.0.contains(is_wildcard) { None } else { Symbol::new(&self.0).ok() }
    }

    /// Whether a symbol is among those it means.
    pub fn matches(&self, symbol: &Symbol) -> bool {
        is_match(&self.0, symbol.as_str())
    }
}

impl From<Symbol> for Pattern {
    fn from(symbol: Symbol) -> Self {
        Self(symbol.as_str().into())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_wildcard(character: char) -> bool {
    matches!(character, '*' | '?')
}

/// Of all stars only the last one met has to give way, so that no pattern takes more than the product of both lengths.
fn is_match(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    // Where to go on when what follows the last star does not fit here.
    let mut star: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let mut ahead = pattern.clone();
        match (ahead.next(), text.clone().next()) {
            (Some('*'), _) => {
                pattern = ahead;
                star = Some((pattern.clone(), text.clone()));
            }
            (Some(wanted), Some(there)) if wanted == '?' || wanted == there => {
                pattern = ahead;
                text.next();
            }
            (None, None) => return true,
            _ => {
                let Some((after_star, taken)) = &mut star else { return false };
                if taken.next().is_none() {
                    return false;
                }
                (pattern, text) = (after_star.clone(), taken.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).unwrap_or_else(|| panic!("{text} is a pattern"))
    }

    #[test]
    fn a_star_is_any_characters_and_a_question_mark_is_one() {
        for (text, matching, other) in [
            ("*", &["A", "BTCUSDT", "币安人生USDT"][..], &[][..]),
            ("*usdt", &["BTCUSDT", "USDT", "币安人生USDT"], &["USDTX", "BTCUSDC"]),
            ("BTC*", &["BTC", "BTCUSDT", "BTCUSD_PERP"], &["WBTC", "BT"]),
            ("*A*A*", &["AA", "XAYAZ", "AAA"], &["A", "XAY"]),
            ("btcusd_??????", &["BTCUSD_260327"], &["BTCUSD_PERP", "BTCUSD_2603270"]),
            ("币?人生*", &["币安人生USDT", "币安人生"], &["币安USDT"]),
            ("?", &["A", "币"], &["AB"]),
            ("BTCUSDT", &["BTCUSDT"], &["BTCUSDT_260327", "BTCUSD"]),
        ] {
            for name in matching {
                assert!(pattern(text).matches(&Symbol::new(name).unwrap()), "{text} {name}");
            }
            for name in other {
                assert!(!pattern(text).matches(&Symbol::new(name).unwrap()), "{text} {name}");
            }
        }
    }

    #[test]
    fn a_name_is_no_pattern_and_what_is_neither_is_refused() {
        assert_eq!(pattern("btcUSDT").name(), Some(Symbol::new("BTCUSDT").unwrap()));
        assert_eq!(pattern("btc*").name(), None);
        assert_eq!(pattern("btc*").to_string(), "BTC*");
        for bad in [
            "",
            " ",
            "a b",
            "!BTC",
            "BTC/USDT",
            "btcusdt@aggTrade",
            "a\u{1b}*",
            &"A".repeat(33),
            &"*".repeat(65),
        ] {
            assert_eq!(Pattern::new(bad), None, "{bad:?}");
        }
    }

    /// The definition, taken at its word.
    fn slowly(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', rest @ ..], _) => (0..=text.len()).any(|taken| slowly(rest, &text[taken..])),
            (['?', rest @ ..], [_, after @ ..]) => slowly(rest, after),
            ([wanted, rest @ ..], [there, after @ ..]) => wanted == there && slowly(rest, after),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn the_quick_way_agrees_with_the_definition(text in "[AB币]{0,9}", pattern in "[AB币*?]{0,9}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(is_match(&pattern, &text), slowly(&chars(&pattern), &chars(&text)));
        }
    }
}
