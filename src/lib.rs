//! cvd-stream

pub mod cvd;
#[cfg(feature = "net")]
pub mod decode;
#[cfg(feature = "exchange")]
pub mod exchange;
#[cfg(feature = "net")]
pub mod feed;
#[cfg(feature = "replay")]
pub mod replay;
pub mod snapshot;
#[cfg(feature = "net")]
pub mod source;
pub mod trade;
pub mod units;
