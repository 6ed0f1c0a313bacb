//! The integration tests: one binary, one module per subject.
#![allow(clippy::unwrap_used, reason = "a test that unwraps what is not there has failed")]

/// The calculator against slow exact references, at the extremes, and across splits of a run.
mod calculator;
/// The command line, the variables, `.env`, and the documents that describe them.
mod configuration;
/// Frames, real, made up and broken, against a slow reference.
mod decode;
/// The practice exchange, as a plain WebSocket and HTTP client sees it.
mod exchange;
/// The whole monitor through random schedules of everything that can go wrong, in simulated time.
mod faults;
/// The calculator on recorded trades, against exact results and against the original monitor's.
mod golden;
/// The whole monitor against the practice exchange: what comes in, what is counted, how it ends.
mod monitor;
/// What an exchange should never send.
mod monitor_hostile;
/// Everything that can happen to a connection.
mod monitor_links;
/// The command: streams, signals, pipes and exit codes.
mod monitor_process;
/// What the monitor writes, and the same again from a recording.
mod monitor_records;
/// What a review found, told as stories.
mod monitor_review;
/// What the README shows is what the command does.
mod readme;
/// Where the recorded market data is, and what to do without it.
mod recorded;
/// Whole or marked: what becomes of the numbers when trades are lost.
mod repair;
/// Recorded files read from outside: every format, every damage, and the real ones.
mod replay_files;
/// REST as the client that repairs holes sees it: the exchange's, and what a hostile server may answer.
mod rest;
/// What the stories share: a monitor that runs beside the test.
mod support;
