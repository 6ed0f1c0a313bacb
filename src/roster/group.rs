//! Groups: instruments of several markets that are added up.

use std::fmt;

use super::selector::{Selector, SelectorError};
use crate::snapshot::{Instrument, Market};
use crate::text::escaped;

/// The most members of a group.
pub const MOST_MEMBERS: usize = 16;
/// The most groups.
pub const MOST_GROUPS: usize = 256;
/// The longest name of a group, in characters.
const LONGEST_NAME: usize = 32;

/// A group, written `BTC=usdm:BTCUSDT+spot:BTCUSDT+coinm:BTCUSD_PERP`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupSpec {
    /// 1 to 32 letters, digits, `_` or `-`, as written.
    pub name: String,
    /// 1 to 16 instruments, each once, in the order they were written.
    pub members: Vec<Instrument>,
}

impl GroupSpec {
    /// Reads one; a member without a market is of the market by default.
    ///
    /// # Errors
    /// [`GroupError`] names what is wrong and what to do.
    pub fn parse(text: &str, market_by_default: Market) -> Result<Self, GroupError> {
        let shown = || escaped(text.trim().as_bytes());
        let (name, members) = text.split_once('=').ok_or_else(|| GroupError::NoName { text: shown() })?;
        let name = name.trim();
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        if name.is_empty() || name.chars().count() > LONGEST_NAME || !name.chars().all(is_name) {
            return Err(GroupError::BadName { name: escaped(name.as_bytes()) });
        }
        let group = || name.to_owned();
        let mut read: Vec<Instrument> = Vec::new();
        for member in members.split('+') {
            let selector = Selector::parse(member, market_by_default)
                .map_err(|error| GroupError::Member { group: group(), error })?;
            let instrument = selector
                .instrument()
                .ok_or_else(|| GroupError::Pattern { group: group(), pattern: selector.to_string() })?;
            if read.contains(&instrument) {
                return Err(GroupError::Twice { group: group(), instrument });
            }
            if read.len() == MOST_MEMBERS {
                return Err(GroupError::TooManyMembers { group: group() });
            }
            read.push(instrument);
        }
        Ok(Self { name: group(), members: read })
    }

    /// Reads several, separated by commas. Names may not differ by case alone.
    ///
    /// # Errors
    /// [`GroupError`] about the first that is wrong.
    pub fn parse_list(text: &str, market_by_default: Market) -> Result<Vec<Self>, GroupError> {
        let mut groups: Vec<Self> = Vec::new();
        for part in text.split(',') {
            let group = Self::parse(part, market_by_default)?;
            if groups.iter().any(|other| other.name.to_lowercase() == group.name.to_lowercase()) {
                return Err(GroupError::SameName { name: group.name });
            }
            if groups.len() == MOST_GROUPS {
                return Err(GroupError::TooMany);
            }
            groups.push(group);
        }
        Ok(groups)
    }
}

impl fmt::Display for GroupSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=", self.name)?;
        for (at, member) in self.members.iter().enumerate() {
            write!(f, "{}{member}", if at == 0 { "" } else { "+" })?;
        }
        Ok(())
    }
}

/// Why a text is no group. What it shows of the text is escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupError {
    /// No `=`.
    NoName {
        /// What stands there.
        text: String,
    },
    /// Something else than a name before it.
    BadName {
        /// What stands there.
        name: String,
    },
    /// A member that is no instrument.
    Member {
        /// The group.
        group: String,
        /// What is wrong.
        error: SelectorError,
    },
    /// A pattern among the members.
    Pattern {
        /// The group.
        group: String,
        /// The pattern.
        pattern: String,
    },
    /// A member that is one already.
    Twice {
        /// The group.
        group: String,
        /// The member.
        instrument: Instrument,
    },
    /// More than 16 members.
    TooManyMembers {
        /// The group.
        group: String,
    },
    /// Two groups of one name.
    SameName {
        /// The name.
        name: String,
    },
    /// More than 256 groups.
    TooMany,
}

impl GroupError {
    /// What is wrong, without the remedy: lower case, one line.
    pub fn problem(&self) -> String {
        match self {
            Self::NoName { text } => format!("`{text}` has no name and =, with which a group begins"),
            Self::BadName { name } => {
                format!("`{name}` is no name of a group: 1 to {LONGEST_NAME} letters, digits, _ or -")
            }
            Self::Member { group, error } => format!("group {group}: {}", error.problem()),
            Self::Pattern { group, pattern } => {
                format!(
                    "group {group}: {pattern} is a pattern, and a group is added up from instruments that are named"
                )
            }
            Self::Twice { group, instrument } => format!("group {group}: {instrument} is in it twice"),
            Self::TooManyMembers { group } => format!("group {group}: more than {MOST_MEMBERS} members"),
            Self::SameName { name } => format!("two groups are called {name}"),
            Self::TooMany => format!("more than {MOST_GROUPS} groups"),
        }
    }

    /// What to do about it: lower case, one line.
    pub fn remedy(&self) -> String {
        match self {
            Self::Member { error: SelectorError::Nothing, .. } => {
                "name a member on both sides of each +".to_owned()
            }
            Self::Member { error, .. } => error.remedy(),
            Self::NoName { .. } | Self::BadName { .. } | Self::Pattern { .. } => {
                "write BTC=usdm:BTCUSDT+spot:BTCUSDT+coinm:BTCUSD_PERP".to_owned()
            }
            Self::Twice { .. } => "name it once".to_owned(),
            Self::TooManyMembers { .. } => "make several groups of it".to_owned(),
            Self::SameName { .. } => "give one another name".to_owned(),
            Self::TooMany => "leave some out".to_owned(),
        }
    }
}

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.problem(), self.remedy())
    }
}

impl std::error::Error for GroupError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Result<Vec<String>, String> {
        let groups = GroupSpec::parse_list(text, Market::UsdM).map_err(|error| error.to_string())?;
        Ok(groups.iter().map(GroupSpec::to_string).collect())
    }

    #[test]
    fn a_group_is_read_as_it_is_written() {
        let written = "BTC=usdm:BTCUSDT+spot:BTCUSDT+coinm:BTCUSD_PERP";
        assert_eq!(list(written).unwrap(), [written]);
        assert_eq!(
            list("eth = ethusdt + spot:ethusdt,x_-9=usdm:A").unwrap(),
            ["eth=usdm:ETHUSDT+spot:ETHUSDT", "x_-9=usdm:A"]
        );
    }

    #[test]
    fn what_is_no_group_is_refused_with_what_to_do() {
        let many = format!("A={}", (0..17).map(|at| format!("S{at}")).collect::<Vec<_>>().join("+"));
        for (text, told) in [
            ("", "`` has no name and ="),
            ("BTCUSDT", "`BTCUSDT` has no name and =, with which a group begins; write BTC="),
            ("=BTCUSDT", "`` is no name of a group"),
            ("a b=BTCUSDT", "`a b` is no name of a group: 1 to 32 letters, digits, _ or -; write BTC="),
            ("A=", "group A: names no symbol; name a member on both sides of each +"),
            ("A=BTCUSDT+", "name a member on both sides"),
            ("A=um:BTCUSDT", "group A: `um` is no market; did you mean usdm:BTCUSDT?"),
            ("A=*USDT", "group A: usdm:*USDT is a pattern"),
            ("A=BTCUSDT+usdm:btcusdt", "group A: usdm:BTCUSDT is in it twice; name it once"),
            ("A=BTCUSDT,a=ETHUSDT", "two groups are called a; give one another name"),
            ("A=B,,C=D", "`` has no name"),
            (&many, "group A: more than 16 members; make several groups of it"),
        ] {
            let refused = list(text).unwrap_err();
            assert!(refused.contains(told), "{text:?}: {refused}");
        }
        let many: Vec<_> = (0..=MOST_GROUPS).map(|at| format!("G{at}=A")).collect();
        assert!(list(&many.join(",")).unwrap_err().contains("more than 256 groups"));
        assert!(list(&many[1..].join(",")).is_ok());
    }
}
