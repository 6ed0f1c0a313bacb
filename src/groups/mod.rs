//! Groups: several markets of a coin added up, such as its perpetual futures and its spot pair. Pure.
//!
//! Sums are exact, but for the coins of COIN-M: its trades are numbers of contracts, worth a fixed sum of dollars each, so
//! that each trade is rounded once to a number of coins. How far off that makes a sum at most is told with it.

mod coins;
mod unit;

use crate::pipeline::LaneTotals;
use crate::snapshot::{Coverage, Instrument, Market, Quality};
use crate::units::QtyDelta;

pub use coins::coins_of;
pub use unit::{Unit, Units};

/// What a group adds up to.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its members, in the order of its definition.
    pub inside: Vec<Inside>,
    /// What base quantities count. Of several assets there is no sum.
    pub base_units: Units,
    /// What quote amounts count. Several names of the dollar are one sum, any others are none.
    pub quote_units: Units,
    /// The sum over all members.
    pub sum: Sum,
    /// The sum over the spot members minus that over the others; nothing where one of the two kinds is missing.
    pub spread: Spread,
    /// Trades of COIN-M in the sum, each rounded to 1e-8 coins: the base sum, and the base spread, are off by half of
    /// that for each of them at most.
    pub rounded_trades: u64,
    /// The worst of the members.
    pub quality: Quality,
    /// Trades of all members that were given up.
    pub missing_trades: u64,
}

/// A member, and what it brings into the sum.
#[derive(Debug, Clone, PartialEq)]
pub struct Inside {
    /// Which.
    pub instrument: Instrument,
    /// Its numbers; `None` while it is not followed: then it adds nothing.
    pub member: Option<Member>,
}

/// The numbers of a member.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Member {
    /// CVD, in base units or contracts.
    pub cvd: QtyDelta,
    /// The same in base units, in steps of 1e-8: on COIN-M the rounded coins. `None` where that is not known.
    pub base: Option<i128>,
    /// The same in the quote unit, in steps of 1e-16: dollars on COIN-M. `None` where that is not known.
    pub quote: Option<i128>,
    /// Trades whose coins were rounded.
    pub rounded_trades: u64,
    /// Which ids it covers.
    pub coverage: Coverage,
}

/// A sum over members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum {
    /// In base units, in steps of 1e-8; `None` where the members count different assets, or where one of
    /// them is not known.
    pub base: Option<i128>,
    /// In the quote unit, in steps of 1e-16; `None` likewise.
    pub quote: Option<i128>,
}

/// Spot minus perpetual; see [`Sum`].
pub type Spread = Sum;

impl Group {
    /// Adds a group up. `totals_of` gives the numbers of a lane, and nothing where there is no such lane.
    pub fn of<'a>(
        name: &str,
        members: &[Instrument],
        totals_of: impl Fn(&Instrument) -> Option<LaneTotals<'a>>,
    ) -> Self {
        let inside: Vec<_> = members
            .iter()
            .map(|instrument| Inside {
                instrument: instrument.clone(),
                member: totals_of(instrument).map(|totals| Member::of(&totals)),
            })
            .collect();
        let base_units = Units::of(inside.iter().map(|inside| Unit::base_of(&inside.instrument)));
        let quote_units = Units::of(inside.iter().map(|inside| Unit::quote_of(&inside.instrument)));
        let within = |sum: Sum| Sum {
            base: sum.base.filter(|_| base_units.are_one()),
            quote: sum.quote.filter(|_| quote_units.are_one()),
        };
        let members = || inside.iter().filter_map(|inside| inside.member.as_ref());
        Self {
            name: name.to_owned(),
            sum: within(sum_of(&inside, |_| Sign::Plus)),
            spread: within(spread_of(&inside)),
            rounded_trades: members().map(|member| member.rounded_trades).fold(0, u64::saturating_add),
            quality: members().map(|member| member.coverage.quality).max().unwrap_or_default(),
            missing_trades: members()
                .map(|member| member.coverage.missing_trades)
                .fold(0, u64::saturating_add),
            base_units,
            quote_units,
            inside,
        }
    }

    /// How far the base sum, and the base spread, may be off, in steps of 1e-9 of the base unit: half a step of 1e-8 for
    /// each rounded trade. 0 where all of it is exact.
    pub fn base_error(&self) -> u128 {
        u128::from(self.rounded_trades) * 5
    }
}

impl Member {
    fn of(totals: &LaneTotals<'_>) -> Self {
        let is_contracts = totals.instrument.market == Market::CoinM;
        Self {
            cvd: totals.reading.cvd,
            base: match is_contracts {
                true => totals.worth.map(|worth| worth.coin_delta),
                false => Some(totals.reading.cvd.units()),
            },
            quote: totals.worth.map(|worth| worth.delta),
            rounded_trades: totals.worth.map_or(0, |worth| worth.coin_trades),
            coverage: *totals.coverage,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Plus,
    Minus,
}

fn sum_of(inside: &[Inside], sign_of: impl Fn(Market) -> Sign) -> Sum {
    let all = |amount: fn(&Member) -> Option<i128>| {
        inside.iter().try_fold(0i128, |sum, inside| match &inside.member {
            None => Some(sum),
            Some(member) => match sign_of(inside.instrument.market) {
                Sign::Plus => sum.checked_add(amount(member)?),
                Sign::Minus => sum.checked_sub(amount(member)?),
            },
        })
    };
    Sum { base: all(|member| member.base), quote: all(|member| member.quote) }
}

/// Both kinds have to be there: a spread against nothing would be a sum under another name.
fn spread_of(inside: &[Inside]) -> Spread {
    let is_there = |is_spot: bool| {
        inside
            .iter()
            .any(|inside| inside.member.is_some() && (inside.instrument.market == Market::Spot) == is_spot)
    };
    if !(is_there(true) && is_there(false)) {
        return Spread::default();
    }
    sum_of(inside, |market| if market == Market::Spot { Sign::Plus } else { Sign::Minus })
}

#[cfg(test)]
mod tests;
