//! The JSON object of version 1.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Checkpoint, FormatError, Identity};
use crate::cvd::{CvdConfig, CvdState, CvdStateError, TickRuleState};
use crate::pipeline::{LaneState, ResumeError, WorthSum};
use crate::sequence::{SequenceCounts, SequenceState};
use crate::snapshot::Market;
use crate::trade::Aggressor;
use crate::units::{AggTradeId, IdRange, Price, QtyDelta, UnixMillis};

/// More ranges are never kept; what claims to have more is refused before it fills the memory.
const RANGES: usize = 64;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    program: String,
    serial: u64,
    saved_at_ms: i64,
    ledger: String,
    market: String,
    symbol: String,
    epoch: u32,
    first_id: i64,
    next_id: i64,
    applied: u64,
    applied_before_epoch: u64,
    missing: u64,
    #[serde(deserialize_with = "ranges")]
    given_up: Vec<(i64, i64)>,
    newest_ms: i64,
    counts: Counts,
    settings: Settings,
    calculator: Calculator,
    /// Files of before do not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    worth: Option<WorthSum>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counts {
    gaps: u64,
    repaired: u64,
    missing: u64,
    duplicates: u64,
    conflicts: u64,
    implausible: u64,
    resets: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    z_window: usize,
    z_warmup: usize,
    ema_alpha: Bits,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Calculator {
    start: Sum,
    cvd: Sum,
    delta: Sum,
    ema: Option<Bits>,
    bad_points: u64,
    window_first: Option<Sum>,
    #[serde(deserialize_with = "steps")]
    window_steps: Vec<i64>,
    last_price: Option<i64>,
    last_side: Option<Side>,
    last_traded_at_ms: Option<i64>,
    repeats: u8,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Buy,
    Sell,
}

impl Body {
    pub(super) fn of(
        identity: &Identity,
        state: &LaneState,
        serial: u64,
        saved_at_ms: i64,
    ) -> Result<Self, FormatError> {
        let SequenceState { first, next, missing, given_up, newest, counts } = &state.sequence;
        let CvdConfig { z_window, ema_alpha, .. } = identity.calculator;
        Ok(Self {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            serial,
            saved_at_ms,
            ledger: identity.ledger.clone(),
            market: state.market.as_str().to_owned(),
            symbol: state.symbol.as_str().to_owned(),
            epoch: state.epoch,
            first_id: first.0,
            next_id: next.0,
            applied: state.applied,
            applied_before_epoch: state.applied_before_epoch,
            missing: *missing,
            given_up: given_up.iter().map(|ids| (ids.from.0, ids.to.0)).collect(),
            newest_ms: newest.0,
            counts: Counts::of(counts),
            settings: Settings {
                z_window,
                z_warmup: identity.calculator.warmup_values(),
                ema_alpha: Bits(ema_alpha.to_bits()),
            },
            calculator: Calculator::of(&state.calculator).map_err(FormatError::Impossible)?,
            worth: state.worth,
        })
    }

    pub(super) fn read(json: &[u8]) -> Result<Self, FormatError> {
        serde_json::from_slice(json).map_err(|error| FormatError::Contents(error.to_string()))
    }

    pub(super) fn check_identity(&self, identity: &Identity) -> Result<(), FormatError> {
        let Identity { ledger, market, symbol, calculator } = identity;
        if self.ledger != *ledger {
            return Err(FormatError::Ledger { found: self.ledger.clone(), wanted: ledger.clone() });
        }
        if self.market != market.as_str() || self.symbol != symbol.as_str() {
            let found = format!("{} {}", self.market, self.symbol);
            return Err(FormatError::Symbol { found, wanted: format!("{market} {symbol}") });
        }
        let setting = |name, found: String, wanted: String| {
            if found == wanted { Ok(()) } else { Err(FormatError::Setting { name, found, wanted }) }
        };
        let Settings { z_window, z_warmup, ema_alpha } = &self.settings;
        setting("--z-window", z_window.to_string(), calculator.z_window.to_string())?;
        setting("--z-warmup", z_warmup.to_string(), calculator.warmup_values().to_string())?;
        // The shortest text that leads back to the same bits.
        setting("--ema-alpha", f64::from_bits(ema_alpha.0).to_string(), calculator.ema_alpha.to_string())
    }

    /// Its identity has been checked.
    pub(super) fn into_checkpoint(self, identity: &Identity) -> Result<Checkpoint, FormatError> {
        let sequence = SequenceState {
            first: AggTradeId(self.first_id),
            next: AggTradeId(self.next_id),
            missing: self.missing,
            given_up: self.given_up.iter().map(|(from, to)| range(*from, *to)).collect(),
            newest: UnixMillis(self.newest_ms),
            counts: self.counts.into_counts(),
        };
        let market: Market = identity.market;
        let state = LaneState {
            market,
            symbol: identity.symbol.clone(),
            epoch: self.epoch,
            applied: self.applied,
            applied_before_epoch: self.applied_before_epoch,
            sequence,
            calculator: self.calculator.into_state().map_err(FormatError::Impossible)?,
            worth: self.worth,
        };
        let Self { serial, saved_at_ms, program, .. } = self;
        Ok(Checkpoint { serial, saved_at_ms, program, state })
    }
}

fn range(from: i64, to: i64) -> IdRange {
    IdRange { from: AggTradeId(from), to: AggTradeId(to) }
}

impl Counts {
    fn of(counts: &SequenceCounts) -> Self {
        let SequenceCounts { gaps, repaired, missing, duplicates, conflicts, implausible, resets } = *counts;
        Self { gaps, repaired, missing, duplicates, conflicts, implausible, resets }
    }

    fn into_counts(self) -> SequenceCounts {
        let Self { gaps, repaired, missing, duplicates, conflicts, implausible, resets } = self;
        SequenceCounts { gaps, repaired, missing, duplicates, conflicts, implausible, resets }
    }
}

impl Calculator {
    fn of(state: &CvdState) -> Result<Self, ResumeError> {
        let TickRuleState { last_price, last_side, last_traded_at, repeats } = state.tick_rule;
        let mut window_steps = Vec::with_capacity(state.window.len().saturating_sub(1));
        for (index, pair) in state.window.windows(2).enumerate() {
            let step = pair[1].units().checked_sub(pair[0].units()).and_then(|step| i64::try_from(step).ok());
            window_steps.push(step.ok_or(CvdStateError::Step(index + 1))?);
        }
        Ok(Self {
            start: Sum(state.start.units()),
            cvd: Sum(state.cvd.units()),
            delta: Sum(state.delta.units()),
            ema: state.ema_bits.map(Bits),
            bad_points: state.bad_points,
            window_first: state.window.first().map(|value| Sum(value.units())),
            window_steps,
            last_price: last_price.map(Price::units),
            last_side: last_side.map(|side| match side {
                Aggressor::Buyer => Side::Buy,
                Aggressor::Seller => Side::Sell,
            }),
            last_traded_at_ms: last_traded_at.map(|at| at.0),
            repeats,
        })
    }

    fn into_state(self) -> Result<CvdState, ResumeError> {
        let mut window = Vec::with_capacity(self.window_steps.len() + 1);
        if let Some(Sum(first)) = self.window_first {
            window.push(QtyDelta::from_units(first));
        } else if !self.window_steps.is_empty() {
            return Err(CvdStateError::Step(1).into());
        }
        for (index, step) in self.window_steps.iter().enumerate() {
            let next = window[index].checked_add(QtyDelta::from_units(i128::from(*step)));
            window.push(next.ok_or(CvdStateError::Step(index + 1))?);
        }
        let last_side = self.last_side.map(|side| match side {
            Side::Buy => Aggressor::Buyer,
            Side::Sell => Aggressor::Seller,
        });
        Ok(CvdState {
            start: QtyDelta::from_units(self.start.0),
            cvd: QtyDelta::from_units(self.cvd.0),
            delta: QtyDelta::from_units(self.delta.0),
            ema_bits: self.ema.map(|bits| bits.0),
            window,
            bad_points: self.bad_points,
            tick_rule: TickRuleState {
                last_price: self.last_price.map(Price::from_units),
                last_side,
                last_traded_at: self.last_traded_at_ms.map(UnixMillis),
                repeats: self.repeats,
            },
        })
    }
}

/// A double, as its bits in hexadecimal.
#[derive(Debug, Clone, Copy)]
struct Bits(u64);

impl Serialize for Bits {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Bits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        u64::from_str_radix(text, 16).map(Self).map_err(D::Error::custom)
    }
}

/// A sum in 1e-8 units, as decimal text.
#[derive(Debug, Clone, Copy)]
struct Sum(i128);

impl Serialize for Sum {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Sum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&str>::deserialize(deserializer)?.parse().map(Self).map_err(D::Error::custom)
    }
}

fn ranges<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(i64, i64)>, D::Error> {
    deserializer.deserialize_seq(AtMost { most: RANGES, of: PhantomData })
}

fn steps<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<i64>, D::Error> {
    deserializer.deserialize_seq(AtMost { most: CvdConfig::MAX_WINDOW, of: PhantomData })
}

/// A list that is refused when it is longer than it may be, before it is kept.
struct AtMost<T> {
    most: usize,
    of: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for AtMost<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {}", self.most)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            if values.len() == self.most {
                return Err(A::Error::invalid_length(self.most + 1, &self));
            }
            values.push(value);
        }
        Ok(values)
    }
}
