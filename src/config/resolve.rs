//! Flag over environment over `.env` over configuration file over default: from texts to a [`Config`]. Every value is
//! checked, and every fault is reported at once. But for the look into `--ca-file` it is a pure function.

use std::collections::BTreeMap;
use std::path::Path;

use super::dotenv::DotEnv;
use super::fault::{ConfigError, Fault, Origin};
use super::file::ConfigFile;
use super::options::{Command, OPTIONS, OptionSpec, VARIABLE_PREFIX};
use super::values::{self, Problem};
use super::violations::{self, normal_directives};
use super::{Config, QueueLimits};
use crate::alerts::{self, AlertFault, AlertsConfig};
use crate::feed::Proxies;
use crate::repair::rest::RestBase;
use crate::snapshot::Market;
use crate::units::Symbol;

mod effective;
mod sources;
pub(crate) mod spelling;
mod trades;

pub use effective::EffectiveOption;
use trades::Trades;

/// Everything that was said, strongest layer first.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// Flags by option name (`queue-size`), as typed; a switch without a value is `true`.
    pub flags: BTreeMap<String, String>,
    /// The environment. What is not UTF-8 has U+FFFD in it.
    pub environment: BTreeMap<String, String>,
    /// The file `.env`.
    pub dotenv: DotEnv,
    /// The configuration file.
    pub file: ConfigFile,
}

impl Layers {
    /// With the configuration file that the other layers name, if they do; a relative name begins at `directory`.
    pub fn with_file(self, directory: &Path) -> Self {
        let is_name = |given: &Given| !given.text.is_empty() && !given.text.contains('\u{fffd}');
        match find(&self, named("config")).filter(is_name) {
            Some(Given { text, origin, .. }) => {
                Self { file: ConfigFile::read(directory, &text, origin), ..self }
            }
            None => self,
        }
    }
}

/// A configuration and how it came about.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Resolved {
    /// The settings, all in range.
    pub config: Config,
    /// Every option the command reads, with its value and where that came from.
    pub options: Vec<EffectiveOption>,
    /// What the user should know although it is no fault; one line each.
    pub warnings: Vec<String>,
}

impl Resolved {
    /// The symbol, if somebody named one, and where.
    pub fn given_symbol(&self) -> Option<(&Symbol, &Origin)> {
        let option = self.options.iter().find(|option| option.name == "symbol")?;
        let symbol = self.config.endpoint.symbols.first()?;
        (option.origin != Origin::Default).then_some((symbol, &option.origin))
    }

    /// Whether nobody set this option.
    pub fn is_default(&self, name: &str) -> bool {
        self.options.iter().any(|option| option.name == name && option.origin == Origin::Default)
    }

    /// The market, if somebody named one.
    pub fn given_market(&self) -> Option<Market> {
        let option = self.options.iter().find(|option| option.name == "market")?;
        (option.origin != Origin::Default).then_some(self.config.market)
    }
}

/// Resolves the options that `command` reads; the others are not looked at.
///
/// # Errors
/// [`ConfigError`] with every fault: damaged lines of `.env` and of the configuration file, values that cannot be read
/// or are out of range, contradictions, and flags that the command does not know.
pub fn resolve(command: Command, layers: &Layers) -> Result<Resolved, ConfigError> {
    let faults = [layers.dotenv.faults.as_slice(), layers.file.faults.as_slice()].concat();
    let mut reader = Reader { command, layers, found: BTreeMap::new(), faults };
    reader.refuse_other_commands_flags();
    let config = reader.config();
    reader.check_ranges(&config);
    let Reader { found, faults, .. } = reader;
    ConfigError::check(in_table_order(faults))?;

    let mut warnings: Vec<String> = config.endpoint.unrouted_warning.iter().cloned().collect();
    warnings.extend_from_slice(config.proxies.warnings());
    warnings.extend(unknown_variables(layers));
    warnings.extend(rust_log_warning(layers, found.get("log-level")));
    let options = effective::options(command, &config, &found);
    Ok(Resolved { config, options, warnings })
}

/// Resolves as for `cvd-stream config`, and what `fetch` alone reads is checked too: one file serves all commands.
///
/// # Errors
/// [`ConfigError`] with every fault.
pub fn check(layers: &Layers) -> Result<Resolved, ConfigError> {
    let resolved = resolve(Command::Config, layers);
    let mut of_fetch = layers.clone();
    of_fetch.flags.retain(|name, _| named(name).applies_to(Command::Fetch));
    let fetch = resolve(Command::Fetch, &of_fetch);
    let told = |result: &Result<Resolved, ConfigError>| match result {
        Ok(_) => Vec::new(),
        Err(error) => error.faults().to_vec(),
    };
    let unseen = OPTIONS.iter().filter(|option| !option.applies_to(Command::Config));
    let unseen: Vec<String> = unseen.map(OptionSpec::flag).collect();
    let mut faults = told(&resolved);
    faults.extend(told(&fetch).into_iter().filter(|fault| unseen.contains(&fault.subject)));
    ConfigError::check(in_table_order(faults))?;
    resolved
}

/// A text that was given for an option, and where.
#[derive(Debug, Clone)]
struct Given {
    text: String,
    origin: Origin,
    /// Why it cannot be the text of an option, whatever the option.
    problem: Option<Problem>,
}

impl Given {
    fn new(text: &str, origin: Origin) -> Self {
        Self { text: text.trim().to_owned(), origin, problem: None }
    }
}

struct Reader<'a> {
    command: Command,
    layers: &'a Layers,
    found: BTreeMap<&'static str, Given>,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    /// Everything that was given and can be read; defaults for the rest.
    fn config(&mut self) -> Config {
        let allow_plaintext = self.read("allow-plaintext", values::switch).unwrap_or(false);
        let Trades { endpoint, others, symbols } = self.trades(allow_plaintext);
        let mut config = Config::with_endpoint(endpoint);
        (config.other_endpoints, config.symbols) = (others, symbols);
        if let Some(frames) = self.read("queue-size", values::whole) {
            config.queue = QueueLimits::for_frames(frames);
        }
        self.set("heartbeat-timeout", values::duration, &mut config.heartbeat_timeout);
        self.set("backoff-max", values::duration, &mut config.backoff_max);
        self.set("streams-per-connection", values::whole, &mut config.streams_per_connection);
        self.set("latency", values::latency, &mut config.latency);
        self.set("redundancy", values::whole, &mut config.lines.redundancy);
        self.set("handover-after", values::duration, &mut config.lines.handover_after);
        self.set("max-lag", values::duration, &mut config.lines.max_lag);
        config.proxies = self.proxies();
        config.ca_file = self.read("ca-file", values::path);
        self.set("repair", values::on_off, &mut config.repair.enabled);
        let first = config.market;
        for (market, base) in self.rest_urls(first, allow_plaintext) {
            match market == first {
                true => config.repair.rest_url = Some(base),
                false => config.repair.other_rest_urls.push((market, base)),
            }
        }
        self.set("repair-deadline", values::duration, &mut config.repair.deadline);
        self.set("hold-size", values::whole, &mut config.repair.hold_size);
        config.state.dir = self.read("state-dir", values::path);
        config.state.interval = self.read("state-interval", values::duration);
        self.set("z-window", values::whole, &mut config.calculator.z_window);
        config.calculator.z_warmup = self.read("z-warmup", values::whole);
        self.set("ema-alpha", values::number, &mut config.calculator.ema_alpha);
        self.set("output", values::output, &mut config.output);
        if let Some(every) = self.read("print-every", values::whole) {
            (config.print_every, config.table.with_trades) = (every, true);
        }
        self.set("stats-interval", values::duration, &mut config.stats_interval);
        self.set("table-every", values::duration, &mut config.table.every);
        config.table.top = self.read("top", values::whole);
        self.set("by", values::rank_by, &mut config.table.by);
        self.set("bars", values::bars, &mut config.bars.specs);
        self.set("empty-bars", values::switch, &mut config.bars.empty);
        config.write = self.read("write", values::path);
        config.record.dir = self.read("record", values::path);
        config.record.keep = self.read("record-keep", values::duration);
        config.record.limit = self.read("record-limit", values::size);
        config.replay.from = self.read("from", values::bound);
        config.replay.to = self.read("to", values::bound);
        self.set("speed", values::speed, &mut config.replay.speed);
        self.set("strict", values::switch, &mut config.replay.strict);
        config.replay.temp_dir = self.read("temp-dir", values::path);
        self.set("memory", values::size, &mut config.replay.memory);
        config.replay.threads = self.read("threads", values::whole);
        self.set("progress", values::showing, &mut config.replay.progress);
        self.set("dir", values::path, &mut config.fetch.dir);
        config.fetch.url = self.address("archive-url", allow_plaintext);
        self.set("parallel", values::whole, &mut config.fetch.parallel);
        config.http.listen = self.read("http", values::listen);
        config.http.token_file = self.read("http-token-file", values::path);
        self.set("http-allow-host", values::host_names, &mut config.http.allow_hosts);
        self.set("color", values::color, &mut config.log.color);
        self.set("log-level", values::log_level, &mut config.log.level);
        self.set("log-format", values::log_format, &mut config.log.format);
        self.set("log-output", values::log_output, &mut config.log.output);
        // It was read before all others; here its name is looked at.
        self.read("config", values::path);
        config.alerts = self.alerts();
        config.duration = self.read("duration", values::duration);
        config.count = self.read("count", values::whole);
        config
    }

    /// What the tables of the configuration file say, where the command heeds them.
    fn alerts(&mut self) -> Option<AlertsConfig> {
        let file = &self.layers.file;
        let heeds = named("http").applies_to(self.command) && self.command != Command::Health;
        if file.alerts.is_empty() || !heeds {
            return None;
        }
        let faults = match alerts::parse(&file.alerts) {
            Ok(alerts) => return Some(alerts),
            Err(faults) => faults,
        };
        let faults = faults
            .into_iter()
            .map(|AlertFault { key, problem, remedy }| file.alert_fault(&key, problem, remedy));
        self.faults.extend(faults);
        None
    }

    /// The proxy of the option, else those of the environment that every program heeds.
    fn proxies(&mut self) -> Proxies {
        if !named("proxy").applies_to(self.command) {
            return Proxies::default();
        }
        match self.read("proxy", Proxies::parse) {
            Some(explicit) => explicit,
            // Somebody tried to say something else.
            None if self.is_faulty("proxy") => Proxies::default(),
            None => Proxies::from_environment(&self.layers.environment),
        }
    }

    fn address(&mut self, name: &str, allow_plaintext: bool) -> Option<RestBase> {
        let url = self.read(name, |text| Ok(text.to_owned()))?;
        let base = RestBase::parse(&url, allow_plaintext).map_err(|error| {
            self.fault(name, error.problem().to_owned(), Some(error.remedy().to_owned()));
        });
        base.ok()
    }

    fn set<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, Problem>, setting: &mut T) {
        if let Some(value) = self.read(name, parse) {
            *setting = value;
        }
    }

    /// The value of an option, if one was given that can be read; else the fault is noted.
    fn read<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, Problem>) -> Option<T> {
        let option = named(name);
        if !option.applies_to(self.command) {
            return None;
        }
        let given = find(self.layers, option)?;
        let problem = if let Some(problem) = &given.problem {
            Err(problem.clone())
        } else if given.text.is_empty() {
            Err("an empty value".to_owned())
        } else if given.text.contains('\u{fffd}') {
            Err("not UTF-8".to_owned())
        } else {
            parse(&given.text)
        };
        self.found.insert(option.name, given);
        problem.map_err(|problem| self.fault(name, problem, None)).ok()
    }

    fn fault(&mut self, name: &str, problem: Problem, remedy: Option<String>) {
        let option = named(name);
        let (text, origin) = match self.found.get(name) {
            Some(given) => (given.text.as_str(), Some(given.origin.clone())),
            None => ("", None),
        };
        let fault = Fault::of(option, text, origin, problem);
        self.faults.push(match remedy {
            Some(remedy) => fault.with_remedy(remedy),
            None => fault,
        });
    }

    /// Adds what is out of range. What could not be read has its default by now, which is in range.
    fn check_ranges(&mut self, config: &Config) {
        for violation in violations::of(config) {
            let name = violation.option.name;
            // The warm-up is measured against the window, so a faulty window says nothing about it.
            let in_doubt = match name {
                "z-warmup" => config.calculator.z_warmup != Some(0) && self.is_faulty("z-window"),
                // Nor does a faulty address of the stream about whose trades REST has.
                "rest-url" => ["symbol", "market", "testnet", "url"].iter().any(|name| self.is_faulty(name)),
                _ => false,
            };
            if !in_doubt {
                self.fault(name, violation.problem, violation.remedy);
            }
        }
    }

    fn is_faulty(&self, name: &str) -> bool {
        let flag = named(name).flag();
        self.faults.iter().any(|fault| fault.subject == flag)
    }

    fn refuse_other_commands_flags(&mut self) {
        for option in OPTIONS.iter().filter(|option| !option.applies_to(self.command)) {
            if let Some(text) = self.layers.flags.get(option.name) {
                let command = format!("cvd-stream {}", self.command.name());
                let problem = format!("`{}` has no such option", command.trim_end());
                let fault = Fault::of(option, text, Some(Origin::Flag(option.flag())), problem);
                self.faults.push(fault.with_remedy(format!("leave {} out", option.flag())));
            }
        }
    }
}

fn named(name: &str) -> &'static OptionSpec {
    OptionSpec::named(name).expect("the name is in the table because every resolution asks for all of them")
}

/// What was given for an option in the strongest layer that says something. An empty variable says nothing;
/// an empty flag was typed, so it does, and so does an empty text in the file.
fn find(layers: &Layers, option: &OptionSpec) -> Option<Given> {
    if let Some(text) = layers.flags.get(option.name) {
        return Some(Given::new(text, Origin::Flag(option.flag())));
    }
    variable(layers, option).or_else(|| {
        let (text, problem, origin) = layers.file.find(option)?;
        Some(Given { problem: problem.cloned(), ..Given::new(text, origin) })
    })
}

/// What the environment says, or else `.env`.
fn variable(layers: &Layers, option: &OptionSpec) -> Option<Given> {
    let variables = option.variables();
    let mut layered = [
        (&layers.environment, Origin::Environment as fn(String) -> Origin),
        (&layers.dotenv.values, Origin::DotEnv),
    ]
    .into_iter();
    layered.find_map(|(layer, origin)| {
        let own = variables.iter().find_map(|name| set(layer, name).map(|text| (name.clone(), text)));
        let foreign = || {
            let text = set(layer, RUST_LOG).filter(|text| normal_directives(text).is_ok())?;
            (option.name == "log-level").then(|| (RUST_LOG.to_owned(), text))
        };
        let (name, text) = own.or_else(foreign)?;
        Some(Given::new(text, origin(name)))
    })
}

/// Other programs' variable: read where LOG_LEVEL is not set, and never a reason not to start.
const RUST_LOG: &str = "RUST_LOG";

fn set<'a>(layer: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    layer.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
}

fn in_table_order(mut faults: Vec<Fault>) -> Vec<Fault> {
    let flags: Vec<String> = OPTIONS.iter().map(OptionSpec::flag).collect();
    // Those of files come first: they may be why the others are wrong.
    faults.sort_by_key(|fault| flags.iter().position(|flag| *flag == fault.subject));
    faults
}

/// A warning for each variable with our prefix that is none of ours.
fn unknown_variables(layers: &Layers) -> Vec<String> {
    let known: Vec<String> = OPTIONS.iter().flat_map(OptionSpec::variables).collect();
    let unknown = |layer: &BTreeMap<String, String>, place: &str| {
        let names = layer.keys().filter(|name| name.starts_with(VARIABLE_PREFIX) && !known.contains(name));
        let warnings = names.map(|name| {
            let hint = match spelling::nearest(name, &known) {
                Some(near) => format!("; did you mean {near}?"),
                None => "; `cvd-stream --help` lists the variables".to_owned(),
            };
            format!("unknown variable {} in {place} is ignored{hint}", name.escape_debug())
        });
        warnings.collect::<Vec<_>>()
    };
    let mut warnings = unknown(&layers.environment, "the environment");
    warnings.extend(unknown(&layers.dotenv.values, ".env"));
    warnings
}

fn rust_log_warning(layers: &Layers, level: Option<&Given>) -> Option<String> {
    if matches!(level, Some(Given { origin: Origin::Flag(_) | Origin::Environment(_), .. })) {
        return None;
    }
    let problem = normal_directives(set(&layers.environment, RUST_LOG)?).err()?;
    Some(format!("RUST_LOG is ignored: {problem}; set LOG_LEVEL to be sure of the level"))
}

#[cfg(test)]
mod tests;
