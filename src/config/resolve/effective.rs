//! What every option amounts to: the table of `cvd-stream config`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::{Given, Resolved};
use crate::config::fault::Origin;
use crate::config::options::{Command, OPTIONS};
use crate::config::{ColorChoice, Config, LogFormat, LogOutput, OutputFormat};
use crate::units::Symbol;

/// An option, its value in normal form, and where that came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveOption {
    /// `queue-size`.
    pub name: &'static str,
    /// The value, credentials removed; empty where there is none.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// Every option that `command` reads, in the order of the table.
pub(super) fn options(
    command: Command,
    config: &Config,
    found: &BTreeMap<&'static str, Given>,
) -> Vec<EffectiveOption> {
    let by_url = found.contains_key("url");
    let url_tells = |name: &str| match name {
        "symbol" => by_url && config.endpoint.subscribe.is_empty(),
        "market" => by_url && config.endpoint.rest_base().is_some(),
        _ => false,
    };
    let applicable = OPTIONS.iter().filter(|option| option.applies_to(command));
    let effective = applicable.map(|option| {
        let name = option.name;
        let given = found.get(name);
        let origin = match given {
            // The URL may stream more symbols than the one that was named.
            _ if name == "symbol" && url_tells(name) => Origin::Url,
            Some(given) => given.origin.clone(),
            None if url_tells(name) => Origin::Url,
            None if name == "proxy" && !config.proxies.variables().is_empty() => {
                Origin::Environment(config.proxies.variables().join(", "))
            }
            None => Origin::Default,
        };
        let value = value(config, name, given.map(|given| given.text.as_str()));
        EffectiveOption { name, value, origin }
    });
    effective.collect()
}

/// The value of an option in a configuration. `given` serves the switches, which leave no trace of their
/// own in it.
fn value(config: &Config, name: &str, given: Option<&str>) -> String {
    let calculator = &config.calculator;
    let symbols = || config.endpoint.symbols.iter().map(Symbol::as_str).collect::<Vec<_>>().join(",");
    match name {
        "symbol" => symbols(),
        "market" => config.market.to_string(),
        "url" => given.map(|_| config.endpoint.display.clone()).unwrap_or_default(),
        "testnet" | "allow-plaintext" => {
            given.is_some_and(|text| crate::config::values::switch(text) == Ok(true)).to_string()
        }
        "queue-size" => config.queue.frames.to_string(),
        "heartbeat-timeout" => duration(config.heartbeat_timeout),
        "backoff-max" => duration(config.backoff_max),
        "redundancy" => config.lines.redundancy.to_string(),
        "handover-after" => duration(config.lines.handover_after),
        "max-lag" => duration(config.lines.max_lag),
        "proxy" => config.proxies.to_string(),
        "ca-file" => path(config.ca_file.as_deref()),
        "state-dir" => path(config.state.dir.as_deref()),
        "state-interval" => duration(config.state.interval_for(config.endpoint.symbols.len())),
        "repair" => if config.repair.enabled { "on" } else { "off" }.to_owned(),
        "rest-url" => config.repair.rest_url.as_ref().map(ToString::to_string).unwrap_or_default(),
        "repair-deadline" => duration(config.repair.deadline),
        "hold-size" => config.repair.hold_size.to_string(),
        "z-window" => calculator.z_window.to_string(),
        "z-warmup" => calculator.warmup_values().to_string(),
        "ema-alpha" => calculator.ema_alpha.to_string(),
        "output" => match config.output {
            OutputFormat::Text => "text".to_owned(),
            OutputFormat::Json => "json".to_owned(),
        },
        "print-every" => match config.print_every {
            0 => "0 (off)".to_owned(),
            trades => trades.to_string(),
        },
        "stats-interval" => duration(config.stats_interval),
        "bars" => config.bars.specs.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        "empty-bars" => config.bars.empty.to_string(),
        "write" => path(config.write.as_deref()),
        "record" => path(config.record.dir.as_deref()),
        "record-keep" => config.record.keep.map(duration).unwrap_or_default(),
        "record-limit" => config.record.limit.map(size).unwrap_or_default(),
        "archive-url" => config.fetch.url.as_ref().map(ToString::to_string).unwrap_or_default(),
        "from" | "to" => given.unwrap_or_default().to_owned(),
        "speed" => config.replay.speed.to_string(),
        "strict" => config.replay.strict.to_string(),
        "temp-dir" => path(config.replay.temp_dir.as_deref()),
        "memory" => size(config.replay.memory),
        "threads" => config.replay.threads.map(|threads| threads.to_string()).unwrap_or_default(),
        "progress" => config.replay.progress.as_str().to_owned(),
        "dir" => path(Some(&config.fetch.dir)),
        "parallel" => config.fetch.parallel.to_string(),
        "color" => match config.log.color {
            ColorChoice::Auto => "auto".to_owned(),
            ColorChoice::Always => "always".to_owned(),
            ColorChoice::Never => "never".to_owned(),
        },
        "log-level" => config.log.level.clone(),
        "log-format" => match config.log.format {
            LogFormat::Text => "text".to_owned(),
            LogFormat::Json => "json".to_owned(),
        },
        "log-output" => match config.log.output {
            LogOutput::Stderr => "stderr".to_owned(),
            LogOutput::Stdout => "stdout".to_owned(),
        },
        "duration" => config.duration.map(duration).unwrap_or_default(),
        "count" => config.count.map(|count| count.to_string()).unwrap_or_default(),
        _ => String::new(),
    }
}

fn path(path: Option<&Path>) -> String {
    path.map(|path| path.display().to_string()).unwrap_or_default()
}

/// `256MiB`: the largest binary unit that leaves a whole number.
fn size(bytes: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let whole = units.iter().find(|(_, shift)| bytes != 0 && bytes.trailing_zeros() >= *shift);
    whole.map_or_else(|| format!("{bytes}"), |(unit, shift)| format!("{}{unit}", bytes >> shift))
}

fn duration(value: Duration) -> String {
    const HOUR: u64 = 3_600;
    match value.as_secs() {
        0 if value.is_zero() => "0 (off)".to_owned(),
        // Nobody reads 82800s.
        seconds if seconds >= 2 * HOUR && value == Duration::from_secs(seconds / HOUR * HOUR) => {
            format!("{}h", seconds / HOUR)
        }
        _ => format!("{value:?}"),
    }
}

impl fmt::Display for Resolved {
    /// The table of `cvd-stream config`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &str| if value.is_empty() { "-".to_owned() } else { value.to_owned() };
        let width =
            self.options.iter().map(|option| option.value.chars().count()).max().unwrap_or(0).clamp(8, 40);
        writeln!(f, "{:<19}{:<width$}  source", "option", "value")?;
        for option in &self.options {
            writeln!(f, "{:<19}{:<width$}  {}", option.name, shown(&option.value), option.origin)?;
        }
        let endpoint = &self.config.endpoint;
        let proxies = &self.config.proxies;
        let through = |host: &str, port, tls| match proxies.way_to(host, port, tls) {
            Ok(Some(way)) => format!(" through {}", way.proxy),
            _ => String::new(),
        };
        let way = through(&endpoint.host, endpoint.port, endpoint.tls);
        writeln!(f, "\nconnects to  {endpoint}{way}")?;
        match self.config.rest() {
            Some(base) => {
                let (host, port, tls) = base.destination();
                writeln!(f, "repairs from {base}{}", through(host, port, tls))?;
            }
            None if !self.config.repair.enabled => {
                writeln!(f, "repairs from nowhere, as --repair off says: what is lost is missing")?;
            }
            None => {
                let host = &endpoint.host;
                writeln!(
                    f,
                    "repairs from nowhere: {host} is not the exchange's own, so --rest-url must tell it"
                )?;
            }
        }
        if !endpoint.subscribe.is_empty() {
            writeln!(f, "subscribes   {}", endpoint.subscribe.join(", "))?;
        }
        Ok(())
    }
}
