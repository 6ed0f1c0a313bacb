//! States of a lane for tests: real ones, out of trades.

use crate::checkpoint::format::Identity;
use crate::cvd::CvdConfig;
use crate::pipeline::{LaneState, Pipeline, PipelineConfig, Wanted};
use crate::snapshot::{Market, TradeSource};
use crate::source::{Input, Rows};
use crate::trade::{AggTrade, Aggressor};
use crate::units::{AggTradeId, Price, Qty, Symbol, UnixMillis};

/// ETHUSDT on USDⓈ-M with a window of so many values.
pub(crate) fn identity(z_window: usize) -> Identity {
    Identity {
        ledger: "binance".into(),
        market: Market::UsdM,
        symbol: Symbol::new("ETHUSDT").unwrap(),
        calculator: CvdConfig { z_window, ..CvdConfig::default() },
    }
}

/// A lane of `identity` that trades come to.
pub(crate) struct SampleLane {
    pipeline: Pipeline,
    symbol: Symbol,
    random: fastrand::Rng,
    id: i64,
}

impl SampleLane {
    pub(crate) fn of(identity: &Identity, seed: u64) -> Self {
        let pipeline = Pipeline::new(PipelineConfig {
            market: identity.market,
            frames_from: TradeSource::Stream,
            wanted: Wanted::of(identity.market, std::slice::from_ref(&identity.symbol)),
            calculator: identity.calculator,
            repairs: false,
            hold_size: 8,
            bars: Vec::new(),
            counts_worth: true,
        });
        Self {
            pipeline: pipeline.unwrap(),
            symbol: identity.symbol.clone(),
            random: fastrand::Rng::with_seed(seed),
            id: 3_000_000_000,
        }
    }

    /// The next trade; now and then one is voided, or some before it are lost.
    pub(crate) fn trade(&mut self) {
        if self.random.u32(..1_500) == 0 {
            self.id += self.random.i64(1..40);
        }
        let qty = if self.random.u32(..200) == 0 { 0 } else { self.random.i64(1_000..50_000) * 100_000 };
        let trade = AggTrade {
            id: AggTradeId(self.id),
            price: Price::from_units(self.random.i64(300_000..310_000) * 1_000_000),
            qty: Qty::from_units(qty),
            qty_without_rpi: None,
            first_trade_id: self.id * 2,
            last_trade_id: self.id * 2 + 1,
            traded_at: UnixMillis(1_795_132_800_000 + self.id - 3_000_000_000),
            event_at: None,
            aggressor: Aggressor::from_buyer_is_maker(self.random.bool()),
        };
        let row = Rows::one(Market::UsdM, self.symbol.clone(), trade);
        self.pipeline.step(&Input::Rows(row), &mut |_| {});
        self.id += 1;
    }

    pub(crate) fn state(&self) -> LaneState {
        self.pipeline.lane_state(0).expect("there was a trade")
    }
}

/// The state of a lane after so many trades.
pub(crate) fn state_after(identity: &Identity, trades: usize) -> LaneState {
    let mut lane = SampleLane::of(identity, 7);
    (0..trades).for_each(|_| lane.trade());
    lane.state()
}

/// A trade of 1 with this id, made at this millisecond.
pub(crate) fn trade_of(identity: &Identity, id: i64, at: i64) -> Rows {
    let trade = AggTrade {
        id: AggTradeId(id),
        price: Price::from_units(100_000_000),
        qty: Qty::from_units(100_000_000),
        qty_without_rpi: None,
        first_trade_id: id,
        last_trade_id: id,
        traded_at: UnixMillis(at),
        event_at: None,
        aggressor: Aggressor::Buyer,
    };
    Rows::one(identity.market, identity.symbol.clone(), trade)
}
