//! The rules of the house: limits and habits of the exchange, each a setting.

use std::time::Duration;

use super::control::ErrorShape;
use super::route::Routing;
use crate::snapshot::Market;

/// The limits and habits of the exchange. Only what differs from the real one is for the sake of tests.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) market: Market,
    pub(super) routing: Routing,
    pub(super) error_shape: ErrorShape,
    pub(super) server_ping: Option<Duration>,
    pub(super) pong_deadline: Duration,
    pub(super) messages_per_second: u32,
    pub(super) connection_life: Option<Duration>,
    pub(super) connections_per_window: usize,
    pub(super) connection_window: Duration,
    pub(super) rest_weight_per_minute: u64,
    pub(super) rest_from_id_reach: Option<Duration>,
    /// Raw trade ids of bursts are the time of their writing.
    pub(super) stamps: bool,
}

impl Rules {
    /// What the real exchange does, as far as is known.
    pub(super) fn of(market: Market) -> Self {
        let spot = market == Market::Spot;
        Self {
            market,
            routing: if market == Market::UsdM { Routing::Routed } else { Routing::Unrouted },
            error_shape: ErrorShape::Flat,
            server_ping: Some(Duration::from_secs(if spot { 20 } else { 180 })),
            pong_deadline: Duration::from_secs(if spot { 60 } else { 600 }),
            messages_per_second: if spot { 5 } else { 10 },
            connection_life: Some(Duration::from_secs(24 * 3_600)),
            connections_per_window: 300,
            connection_window: Duration::from_secs(300),
            rest_weight_per_minute: if spot { 6_000 } else { 2_400 },
            rest_from_id_reach: None,
            stamps: false,
        }
    }
}
