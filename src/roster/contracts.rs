//! Which kinds of contracts patterns take.

use std::fmt;
use std::str::FromStr;

use crate::repair::rest::ContractType;
use crate::text::escaped;

/// The contract types that patterns and `--all` take. Spot has none and is taken whole; what is named by its name is
/// taken whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Contracts {
    /// Perpetual contracts on coins.
    pub perpetual: bool,
    /// Perpetual contracts on shares and commodities.
    pub tradfi: bool,
    /// Contracts that end at a date.
    pub dated: bool,
    /// Types that this version does not know.
    pub other: bool,
}

impl Default for Contracts {
    /// Perpetual contracts on coins.
    fn default() -> Self {
        Self { perpetual: true, ..Self::NONE }
    }
}

impl Contracts {
    /// Every type, unknown ones too.
    pub const ALL: Self = Self { perpetual: true, tradfi: true, dated: true, other: true };
    const NONE: Self = Self { perpetual: false, tradfi: false, dated: false, other: false };

    /// Whether a contract of this type is taken; `None` is no contract.
    pub fn takes(self, contract: Option<ContractType>) -> bool {
        match contract {
            None => true,
            Some(ContractType::Perpetual) => self.perpetual,
            Some(ContractType::TradFiPerpetual) => self.tradfi,
            Some(ContractType::Dated) => self.dated,
            Some(ContractType::Other) => self.other,
        }
    }
}

/// The word that lets a type in.
pub(super) const fn word(contract: ContractType) -> &'static str {
    match contract {
        ContractType::Perpetual => "perpetual",
        ContractType::TradFiPerpetual => "tradfi",
        ContractType::Dated => "dated",
        ContractType::Other => "all",
    }
}

/// A list of contract types with a word that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no contract type; write perpetual, tradfi, dated or all, separated by commas")]
pub struct ContractsError(String);

impl FromStr for Contracts {
    type Err = ContractsError;

    /// Reads `perpetual`, `perpetual,tradfi`, `all`, …
    fn from_str(text: &str) -> Result<Self, ContractsError> {
        let mut contracts = Self::NONE;
        for word in text.split(',').map(str::trim) {
            match word.to_ascii_lowercase().as_str() {
                "perpetual" => contracts.perpetual = true,
                "tradfi" => contracts.tradfi = true,
                "dated" => contracts.dated = true,
                "all" => contracts = Self::ALL,
                _ => return Err(ContractsError(escaped(word.as_bytes()))),
            }
        }
        Ok(contracts)
    }
}

impl fmt::Display for Contracts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            return f.write_str("all");
        }
        let words = [(self.perpetual, "perpetual"), (self.tradfi, "tradfi"), (self.dated, "dated")];
        let words: Vec<_> =
            words.into_iter().filter_map(|(is_taken, word)| is_taken.then_some(word)).collect();
        f.write_str(&words.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contract_types_are_read_as_they_are_written() {
        for text in ["perpetual", "tradfi", "perpetual,dated", "perpetual,tradfi,dated", "all"] {
            assert_eq!(text.parse::<Contracts>().unwrap().to_string(), text);
        }
        assert_eq!(" Dated , PERPETUAL".parse::<Contracts>().unwrap().to_string(), "perpetual,dated");
        assert_eq!("perpetual,all".parse(), Ok(Contracts::ALL));
        assert_eq!(Contracts::default().to_string(), "perpetual");
        for (text, told) in
            [("", "``"), ("perpetual,", "``"), ("quarterly", "`quarterly` is no contract type; write")]
        {
            assert!(text.parse::<Contracts>().unwrap_err().to_string().contains(told), "{text}");
        }
    }

    #[test]
    fn spot_is_always_taken_and_an_unknown_type_only_with_all() {
        let perpetual = Contracts::default();
        assert!(perpetual.takes(None) && perpetual.takes(Some(ContractType::Perpetual)));
        for contract in [ContractType::TradFiPerpetual, ContractType::Dated, ContractType::Other] {
            assert!(!perpetual.takes(Some(contract)), "{contract:?}");
            assert!(Contracts::ALL.takes(Some(contract)), "{contract:?}");
            let worded: Contracts = word(contract).parse().unwrap();
            assert!(worded.takes(Some(contract)), "{contract:?}");
        }
    }
}
