//! The integration tests: one binary, one module per subject.
#![allow(clippy::unwrap_used, reason = "a test that unwraps what is not there has failed")]

/// Alerts: signed, bounded, and told to nobody else.
mod alerts;
/// Trades gathered in bars: against a slow computation, live against replay.
mod bars;
/// The calculator against slow exact references, at the extremes, and across splits of a run.
mod calculator;
/// Killed, crashed and started again: the numbers go on as if it had never stopped.
mod checkpoint;
/// Clocks that differ, and what is known of them.
mod clocks;
/// The configuration file, its example, the check of a configuration, and the printed manual and completions.
mod config_file;
/// The command line, the variables, `.env`, and the documents that describe them.
mod configuration;
/// Frames, real, made up and broken, against a slow reference.
mod decode;
/// Why it does not work here: every broken state by its name.
mod doctor;
/// The practice exchange, as a plain WebSocket and HTTP client sees it.
mod exchange;
/// The whole monitor through random schedules of everything that can go wrong, in simulated time.
mod faults;
/// The archive: what is fetched, resumed, checked and refused.
mod fetch;
/// The calculator on recorded trades, against exact results and against the original monitor's.
mod golden;
/// A link that swallows bytes.
mod half_open;
/// Text from outside that wants to be obeyed: no terminal, log or record gets it raw.
mod hostile_text;
/// What a run looks like over HTTP: metrics, health, the API, the stream; and what is refused there.
mod http;
/// `--latency`: however the monitor waits, nothing is lost.
mod latency;
/// A line that never lets go: hand-overs, redundant lines, a month of cuts.
mod lines;
/// The words by which machines know log lines, and the document that explains them.
mod log_codes;
/// Many symbols in one run.
mod many;
/// Several markets in one run: one that goes down, restarts, recordings.
mod markets;
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
/// Outages of many symbols on several shards.
mod outage;
/// What is beside the program: unit, image, package, rules, dashboard, bill of materials. Nothing in it names what does not exist.
mod packaging;
/// A real Prometheus: it scrapes, evaluates the rules, and answers what the dashboard asks.
mod prometheus;
/// The whole monitor through real proxies, and the feed through broken ones.
mod proxies;
/// What the README shows is what the command does.
mod readme;
/// Thousands of reconnects leave nothing behind.
mod reconnects;
/// Where the recorded market data is, and what to do without it.
mod recorded;
/// Recordings of live runs: killed, on a full disk, read with other tools.
mod recordings;
/// Whole or marked: what becomes of the numbers when trades are lost.
mod repair;
/// Recorded files read from outside: every format, every damage, and the real ones.
mod replay_files;
/// REST as the client that repairs holes sees it: the exchange's, and what a hostile server may answer.
mod rest;
/// Who is followed: patterns by what the exchange lists, and what comes and goes while it runs.
mod roster;
/// The word to the service manager.
#[cfg(unix)]
mod service;
/// Many symbols over several connections, each of which carries exactly what it should.
mod shards;
/// Silence is never mistaken for health: every one has a name.
mod silence;
/// Files of results: the same rows in every format, whole or not at all.
mod sinks;
/// No silent half-life: a part that ends unexpectedly ends the whole, with its name.
mod supervision;
/// What the stories share: a monitor that runs beside the test.
mod support;
