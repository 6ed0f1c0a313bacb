//! What every option amounts to: the table of `cvd-stream config`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::{Given, Resolved};
use crate::app::following;
use crate::config::fault::Origin;
use crate::config::options::{Command, OPTIONS};
use crate::config::{ColorChoice, Config, LogFormat, LogOutput, OutputFormat};
use crate::feed::ShardPlan;
use crate::feed::endpoint::Endpoint;
use crate::roster::{Listings, Selection, Selector};
use crate::snapshot::{Instrument, Market};
use crate::text::{one_line, shown};
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
        "symbol" => by_url && config.endpoint.subscribe.is_empty() && config.symbols.selection.is_none(),
        _ => false,
    };
    let applicable = OPTIONS.iter().filter(|option| option.applies_to(command));
    let effective = applicable.map(|option| {
        let name = option.name;
        let given = found.get(name);
        let origin = match given {
            // The URL may stream more symbols than the one that was named.
            _ if name == "symbol" && url_tells(name) => Origin::Url,
            _ if name == "market" => market_origin(config, found),
            Some(given) => given.origin.clone(),
            None if url_tells(name) => Origin::Url,
            None if name == "symbol" => symbol_origin(config, found),
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

/// What gave the symbols, where `--symbol` did not.
fn symbol_origin(config: &Config, found: &BTreeMap<&'static str, Given>) -> Origin {
    let Some(selection) = &config.symbols.selection else { return Origin::Default };
    let is_all = |given: &&Given| crate::config::values::switch(&given.text) == Ok(true);
    let given = match found.get("all").filter(is_all) {
        Some(all) => Some(all),
        None if !selection.wanted.is_empty() => None,
        None if !config.symbols.groups.is_empty() => found.get("group"),
        None => found.get("symbols-file"),
    };
    given.map_or(Origin::Default, |given| given.origin.clone())
}

/// What gave the market that holds: a symbol may name another than `--market` does.
fn market_origin(config: &Config, found: &BTreeMap<&'static str, Given>) -> Origin {
    let holds = |given: &&Given| crate::config::values::market(&given.text) == Ok(config.market);
    let by_url = found.contains_key("url");
    let given = match found.get("market") {
        Some(given) if holds(&given) => Some(given),
        _ if by_url && config.endpoint.rest_base().is_some() => return Origin::Url,
        None if config.market == Market::default() => None,
        _ if by_url => return Origin::Url,
        _ => found.get("symbol").or_else(|| found.get("group")),
    };
    given.map_or(Origin::Default, |given| given.origin.clone())
}

/// The value of an option in a configuration. `given` serves the switches, which leave no trace of their
/// own in it.
fn value(config: &Config, name: &str, given: Option<&str>) -> String {
    let calculator = &config.calculator;
    let symbols = || config.endpoint.symbols.iter().map(Symbol::as_str).collect::<Vec<_>>().join(",");
    match name {
        "symbol" => match &config.symbols.selection {
            Some(selection) if selection.wanted.is_empty() => list(&selection_of_groups(config)),
            Some(selection) => list(&selection.wanted),
            None => symbols(),
        },
        "all" => given.is_some_and(|text| crate::config::values::switch(text) == Ok(true)).to_string(),
        "exclude" => config.symbols.selection.as_ref().map(|all| list(&all.exclude)).unwrap_or_default(),
        "contracts" => {
            config.symbols.selection.as_ref().map(|all| all.contracts).unwrap_or_default().to_string()
        }
        "symbols-file" => path(config.symbols.file.as_deref()),
        "group" => list(&config.symbols.groups),
        "only" => list(&config.symbols.only),
        "market" => config.market.to_string(),
        "url" => given.map(|_| urls(config)).unwrap_or_default(),
        "testnet" | "allow-plaintext" => {
            given.is_some_and(|text| crate::config::values::switch(text) == Ok(true)).to_string()
        }
        "queue-size" => config.queue.frames.to_string(),
        "heartbeat-timeout" => duration(config.heartbeat_timeout),
        "backoff-max" => duration(config.backoff_max),
        "streams-per-connection" => config.streams_per_connection.to_string(),
        "latency" => config.latency.as_str().to_owned(),
        "redundancy" => config.lines.redundancy.to_string(),
        "handover-after" => duration(config.lines.handover_after),
        "max-lag" => duration(config.lines.max_lag),
        "proxy" => config.proxies.to_string(),
        "ca-file" => path(config.ca_file.as_deref()),
        "state-dir" => path(config.state.dir.as_deref()),
        "state-interval" => state_interval(config),
        "repair" => if config.repair.enabled { "on" } else { "off" }.to_owned(),
        "rest-url" => given.map(|_| rest_urls(config)).unwrap_or_default(),
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
        "table-every" => duration(config.table.every),
        "top" => config.table.top.unwrap_or(crate::config::TableConfig::ROWS).to_string(),
        "by" => config.table.by.as_str().to_owned(),
        "bars" => config.bars.specs.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        "empty-bars" => config.bars.empty.to_string(),
        "write" => path(config.write.as_deref()),
        "record" => path(config.record.dir.as_deref()),
        "record-keep" => config.record.keep.map(duration).unwrap_or_default(),
        "record-limit" => config.record.limit.map(size).unwrap_or_default(),
        "archive-url" => config.fetch.url.as_ref().map(ToString::to_string).unwrap_or_default(),
        "from" | "to" | "config" => given.unwrap_or_default().to_owned(),
        "speed" => config.replay.speed.to_string(),
        "strict" => config.replay.strict.to_string(),
        "temp-dir" => path(config.replay.temp_dir.as_deref()),
        "memory" => size(config.replay.memory),
        "threads" => config.replay.threads.map(|threads| threads.to_string()).unwrap_or_default(),
        "progress" => config.replay.progress.as_str().to_owned(),
        "dir" => path(Some(&config.fetch.dir)),
        "parallel" => config.fetch.parallel.to_string(),
        "http" => config.http.listen.map(|address| address.to_string()).unwrap_or_default(),
        "http-token-file" => path(config.http.token_file.as_deref()),
        "http-allow-host" => list(&config.http.allow_hosts),
        "color" => match config.log.color {
            ColorChoice::Auto => "auto".to_owned(),
            ColorChoice::Always => "always".to_owned(),
            ColorChoice::Never => "never".to_owned(),
        },
        "log-level" => config.log.level.clone(),
        "log-format" => match config.log.format {
            LogFormat::Text => "text".to_owned(),
            LogFormat::Json => "json".to_owned(),
            LogFormat::Logfmt => "logfmt".to_owned(),
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

/// The members of all groups, which are followed.
fn selection_of_groups(config: &Config) -> Vec<Instrument> {
    Selection::default().with_groups(&config.symbols.groups).names()
}

/// How many symbols there are is known only where all are named.
fn state_interval(config: &Config) -> String {
    let (state, selection) = (&config.state, config.selection());
    let is_open = selection.needs_listings() || config.symbols.file.is_some();
    match state.interval {
        None if is_open => {
            let (few, many) = (state.interval_for(1), state.interval_for(usize::MAX));
            format!("{}, {} with more than 10 symbols", duration(few), duration(many))
        }
        _ => duration(state.interval_for(selection.names().len())),
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

/// Streams that are shown by name.
const SHOWN_STREAMS: usize = 10;
/// Connections that are shown with their streams.
const SHOWN_CONNECTIONS: usize = 5;

impl Resolved {
    /// The connections of a market, as far as its symbols are named.
    fn show_connections(
        &self,
        f: &mut fmt::Formatter<'_>,
        endpoint: &Endpoint,
        plans: &[ShardPlan],
    ) -> fmt::Result {
        // All connections of a market have the same address.
        let address = match plans.first() {
            Some(plan) => plan.endpoint.clone(),
            None => endpoint.without_streams().unwrap_or_else(|| endpoint.clone()),
        };
        self.show_address(f, &address, plans.len())?;
        let mut streams = Vec::new();
        if address.symbols.is_empty() || !address.subscribe.is_empty() {
            let shown = plans.iter().take(SHOWN_CONNECTIONS);
            streams.extend(shown.map(|plan| abbreviated(&plan.streams, SHOWN_STREAMS)));
            if let more @ 1.. = plans.len().saturating_sub(SHOWN_CONNECTIONS) {
                streams.push(format!("and {more} more connections"));
            }
        }
        let plus = |before: usize| if before == 0 { "" } else { "plus " };
        let selection = self.config.selection();
        let is_open = |selector: &&Selector| selector.market == endpoint.market && !selector.is_name();
        let patterns: Vec<_> = selection.wanted.iter().filter(is_open).map(ToString::to_string).collect();
        if !patterns.is_empty() {
            let verb = if patterns.len() == 1 { "takes" } else { "take" };
            let patterns = abbreviated(&patterns, SHOWN_STREAMS);
            streams.push(format!("{}what {patterns} {verb} at the start", plus(plans.len())));
        }
        if let Some(file) = &self.config.symbols.file {
            streams.push(format!("{}what {} says", plus(streams.len()), shown(file)));
        }
        for (at, line) in streams.iter().enumerate() {
            writeln!(f, "{:<13}{}", if at == 0 { "subscribes" } else { "" }, one_line(line))?;
        }
        Ok(())
    }

    /// Where the trades of a market come from.
    fn show_address(
        &self,
        f: &mut fmt::Formatter<'_>,
        endpoint: &Endpoint,
        connections: usize,
    ) -> fmt::Result {
        let proxies = &self.config.proxies;
        let through = |host: &str, port, tls| match proxies.way_to(host, port, tls) {
            Ok(Some(way)) => format!(" through {}", way.proxy),
            _ => String::new(),
        };
        let way = through(&endpoint.host, endpoint.port, endpoint.tls);
        let times = if connections > 1 { format!(", {connections} connections") } else { String::new() };
        writeln!(f, "\nconnects to  {endpoint}{way}{times}")?;
        match self.config.rest_of(endpoint) {
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
        Ok(())
    }
}

/// The first so many of them, and the number of the others.
fn abbreviated(all: &[String], most: usize) -> String {
    let shown = all[..all.len().min(most)].join(", ");
    match all.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Things in a row, as they are written.
fn list<T: fmt::Display>(all: &[T]) -> String {
    all.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

/// The addresses, the market before each if there are several.
fn urls(config: &Config) -> String {
    let all: Vec<_> = config.endpoints().collect();
    match all.as_slice() {
        [only] => only.display.clone(),
        _ => all.iter().map(|one| format!("{}:{}", one.market, one.display)).collect::<Vec<_>>().join(","),
    }
}

fn rest_urls(config: &Config) -> String {
    let others = &config.repair.other_rest_urls;
    let first = config.repair.rest_url.as_ref();
    if others.is_empty() {
        return first.map(ToString::to_string).unwrap_or_default();
    }
    let first = first.map(|base| (config.market, base));
    let all = first.into_iter().chain(others.iter().map(|(market, base)| (*market, base)));
    all.map(|(market, base)| format!("{market}:{base}")).collect::<Vec<_>>().join(",")
}

impl fmt::Display for Resolved {
    /// The table of `cvd-stream config`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &str| if value.is_empty() { "-".to_owned() } else { one_line(value) };
        let width =
            self.options.iter().map(|option| option.value.chars().count()).max().unwrap_or(0).clamp(8, 40);
        writeln!(f, "{:<23}{:<width$}  source", "option", "value")?;
        for option in &self.options {
            writeln!(f, "{:<23}{:<width$}  {}", option.name, shown(&option.value), option.origin)?;
        }
        let selection = self.config.selection();
        let names = selection.names();
        let roster = following::roster(&self.config, selection, names, Listings::default());
        let plans = roster.map(|roster| roster.plans()).unwrap_or_default();
        for endpoint in self.config.endpoints() {
            let of_market = plans.iter().filter(|plan| plan.endpoint.market == endpoint.market);
            self.show_connections(f, endpoint, &of_market.cloned().collect::<Vec<_>>())?;
        }
        Ok(())
    }
}
