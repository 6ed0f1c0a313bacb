//! **cvd-stream** watches the flow of aggressive trades on Binance: exact cumulative volume delta (CVD), its
//! Z-score and moving average, live and in replay, through the same code and with the same bits.
//!
//! Three ways in, by how much of it you want:
//!
//! - **The calculator alone** ([`cvd`], [`trade`], [`units`]): pure, no I/O; `default-features = false`.
//! - **The feed alone** ([`feed`], [`queue`]): a connection that stays up and hands on text; feature `net`.
//! - **The whole** ([`app`]): what the command runs; `net` for live, `replay` for files, `exchange` for the
//!   practice exchange that tests and examples talk to.
//!
//! `docs/architecture.md` has the picture and follows one frame from end to end.
//!
//! ```
//! use cvd_stream::cvd::{Cvd, CvdConfig};
//! use cvd_stream::trade::Aggressor;
//!
//! let mut cvd = Cvd::new(CvdConfig::default())?;
//! let reading = cvd.apply_sided("0.25".parse()?, Aggressor::Buyer)?;
//! assert_eq!(reading.cvd.to_string(), "0.25");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "ops")]
pub mod alerts;
#[cfg(feature = "net")]
pub mod app;
#[cfg(feature = "net")]
pub mod bars;
#[cfg(feature = "net")]
pub mod calendar;
#[cfg(feature = "net")]
pub mod checkpoint;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "net")]
pub mod clock;
#[cfg(feature = "net")]
pub mod config;
pub mod cvd;
#[cfg(feature = "net")]
pub mod decode;
#[cfg(feature = "cli")]
pub mod demo;
#[cfg(feature = "cli")]
pub mod doctor;
#[cfg(feature = "net")]
mod doorbell;
#[cfg(feature = "exchange")]
pub mod exchange;
#[cfg(feature = "net")]
pub mod feed;
#[cfg(feature = "replay")]
pub mod fetch;
#[cfg(feature = "net")]
pub mod groups;
#[cfg(feature = "ops")]
pub mod http;
#[cfg(feature = "net")]
pub mod latency;
#[cfg(feature = "cli")]
pub mod logging;
#[cfg(feature = "net")]
pub mod metrics;
#[cfg(feature = "net")]
pub mod movers;
#[cfg(feature = "ops")]
pub mod ops;
#[cfg(feature = "net")]
pub mod overview;
#[cfg(feature = "net")]
pub mod paced;
#[cfg(feature = "net")]
pub mod pipeline;
#[cfg(feature = "net")]
pub mod processor;
#[cfg(feature = "net")]
pub mod progress;
#[cfg(feature = "net")]
pub mod queue;
#[cfg(feature = "net")]
pub mod recording;
#[cfg(feature = "net")]
pub mod repair;
#[cfg(feature = "replay")]
pub mod replay;
#[cfg(feature = "net")]
pub mod report;
#[cfg(feature = "net")]
pub mod roster;
#[cfg(feature = "net")]
pub mod sequence;
#[cfg(feature = "cli")]
pub mod shutdown;
#[cfg(feature = "net")]
pub mod silence;
pub mod snapshot;
#[cfg(feature = "net")]
pub mod source;
#[cfg(feature = "net")]
pub mod text;
pub mod trade;
pub mod units;

/// The README's library example is compiled and run with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
