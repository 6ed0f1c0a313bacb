//! Bars: trades gathered by time, count, volume or notional value. Pure; the same live and in replay.

mod bar;
mod builder;
mod notional;
mod spec;

pub use bar::{Bar, ClosedBar};
pub use builder::{BarBuilder, Built, MOST_EMPTY_BARS};
pub use notional::{NOTIONAL_DIGITS, Notional};
pub use spec::{BarSpec, BarSpecError, NotionalBars};
