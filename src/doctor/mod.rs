//! Why it does not work here: everything a run needs, looked at once, each with its remedy.
//!
//! [`examine`] does the looking and is what a program or a test calls; [`run`] is the command.

mod address;
mod certificate;
mod checkpoints;
mod configuration;
mod finding;
mod refusal;
mod report;
mod rest;
mod route;
mod state_dir;
mod stream;
mod wanted;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use wanted::Wanted;

use crate::app::system_network;
use crate::clock::Clock;
use crate::config::Config;
use crate::config::resolve::Resolved;
use crate::feed::Network;
use crate::report::events::chain;

pub use finding::{Check, Finding, Level};
pub use report::{EXIT_FAIL, EXIT_WARN, Report, line};

/// How long each check may take. The longest examination is a little longer than `dns + tcp + tls + open + data`,
/// because REST and the state directory are looked at in the meantime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DoctorLimits {
    /// For the look-up of the name.
    pub dns: Duration,
    /// For a connection to each of the addresses, side by side.
    pub tcp: Duration,
    /// For the TLS handshake.
    pub tls: Duration,
    /// For a question to REST.
    pub rest: Duration,
    /// For the list of all symbols, which has 10 MB on spot.
    pub listings: Duration,
    /// For the stream to open, all stages together.
    pub open: Duration,
    /// For the first trade.
    pub data: Duration,
    /// After the first trade: how long they are counted.
    pub sample: Duration,
    /// For the state directory.
    pub disk: Duration,
}

impl Default for DoctorLimits {
    /// About 25 s altogether, when everything takes as long as it may.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            dns: seconds(3),
            tcp: seconds(3),
            tls: seconds(3),
            rest: seconds(4),
            listings: seconds(8),
            open: seconds(6),
            data: seconds(10),
            sample: seconds(2),
            disk: seconds(4),
        }
    }
}

/// Who is examined: the settings of a run, and the world around it.
pub struct Subject {
    config: Config,
    /// Another network than the system's, of which only the far end can be examined.
    network: Option<Arc<dyn Network>>,
    clock: Clock,
    limits: DoctorLimits,
    /// Where the settings come from.
    sources: String,
    warnings: Vec<String>,
}

impl Subject {
    /// A run with these settings, on this machine's network.
    pub fn new(config: Config) -> Self {
        let warnings = config.endpoint.unrouted_warning.iter().cloned().collect();
        let (clock, limits) = (Clock::system(), DoctorLimits::default());
        Self { config, network: None, clock, limits, sources: "settings of a program".to_owned(), warnings }
    }

    /// A run of the command.
    pub fn of(resolved: &Resolved) -> Self {
        let mut subject = Self::new(resolved.config.clone());
        subject.sources = resolved.sources();
        subject.warnings = resolved.warnings.clone();
        subject
    }

    /// Over another network; names, addresses and certificates are not looked at then.
    #[must_use]
    pub fn network(mut self, network: Arc<dyn Network>) -> Self {
        self.network = Some(network);
        self
    }

    /// With another clock than the system's.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// With other deadlines than the usual ones.
    #[must_use]
    pub fn limits(mut self, limits: DoctorLimits) -> Self {
        self.limits = limits;
        self
    }
}

/// Checks everything a run needs. `tell` hears each finding as soon as it and all before it are known.
///
/// # Cancel safety
/// A dropped future leaves no connection behind, and no file but for the moment of the disk's check.
pub async fn examine(subject: &Subject, mut tell: impl FnMut(&Finding)) -> Report {
    let config = &subject.config;
    let mut report = Report {
        symbols: config.endpoint.symbols.clone(),
        market: config.market,
        findings: Vec::with_capacity(Check::ALL.len()),
    };
    let Report { symbols, market, findings } = &mut report;
    let mut add = |found: Vec<Finding>| {
        found.iter().for_each(&mut tell);
        findings.extend(found);
    };
    let network = match (&subject.network, system_network(config, None)) {
        (Some(network), _) => Arc::clone(network),
        (None, Ok(system)) => Arc::new(system),
        (None, Err(error)) => {
            add(unusable(chain(&error), "name a readable file with --ca-file"));
            return report;
        }
    };
    let wanted = match Wanted::of(config).await {
        Ok(wanted) => wanted,
        Err(error) => {
            add(unusable(
                chain(&error),
                "without it a run ends at once: name a file of symbols with --symbols-file",
            ));
            return report;
        }
    };
    if !wanted.is_plain {
        symbols.clear();
    }
    add(vec![configuration::check(subject, &wanted)]);
    let rest_and_state = async {
        let rest = rest::check(subject, &network, &wanted).await;
        let state = state_dir::check(subject, &rest.instruments).await;
        (rest, state)
    };
    let (address, (mut rest, state)) =
        tokio::join!(address::check(subject, &network, &wanted.endpoint), rest_and_state);
    add(address.findings);
    add(std::mem::take(&mut rest.findings));
    add(vec![state]);

    let not_opened = |why: &str| {
        vec![Finding::skipped(Check::Stream, why), Finding::skipped(Check::Route, "the stream does not open")]
    };
    add(match (address.obstacle, rest.probe.take()) {
        (Some(obstacle), _) => not_opened(&obstacle),
        (None, None) => not_opened("nobody can tell whom a run would follow"),
        (None, Some(probe)) => stream::check(subject, &network, &probe, &mut rest).await,
    });
    if let [first, ..] = &*rest.instruments {
        *market = first.market;
        *symbols = rest.instruments.into_iter().map(|one| one.symbol).collect();
    }
    report
}

/// The settings cannot be used, so nothing else is worth a look.
fn unusable(said: String, remedy: &str) -> Vec<Finding> {
    let others = Check::ALL.iter().skip(1);
    let others = others.map(|check| Finding::skipped(*check, "the configuration cannot be used"));
    std::iter::once(Finding::fail(Check::Configuration, said, remedy)).chain(others).collect()
}

/// Examines a run of the command and prints what it finds, as lines or as one JSON object; the exit code says the
/// worst: 0, [`EXIT_WARN`] or [`EXIT_FAIL`].
pub fn run(resolved: &Resolved, json: bool, color: bool) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            show(&mut std::io::stderr(), &format!("cvd-stream: cannot start: {error}\n"));
            return ExitCode::FAILURE;
        }
    };
    let mut out = std::io::stdout();
    let subject = Subject::of(resolved);
    let report = runtime.block_on(examine(&subject, |finding| {
        if !json {
            show(&mut out, &line(finding, color));
        }
    }));
    show(&mut out, &if json { report.json() } else { report.verdict() });
    // A name look-up or a disk that hangs must not hold up the end.
    runtime.shutdown_background();
    ExitCode::from(report.exit_code())
}

/// Nobody may be looking; the exit code still says it.
fn show(out: &mut impl Write, text: &str) {
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).unwrap_or_default();
}
