//! The ranges: what is wrong with a typed configuration. Files, flags and programs are all held to these. A file of
//! root certificates is read for it: better now than at the first connection.

use std::fmt::{Debug, Display};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::ledger::{self, Foreign};
use super::options::OptionSpec;
use super::{Bound, Config, QueueLimits, Speed};
use crate::bars::BarSpec;
use crate::feed::tls::{CaFileError, ExtraRoots};
use crate::pipeline::MAX_LANES;
use crate::snapshot::Market;

/// The largest `--queue-size`.
pub(super) const MAX_QUEUE_FRAMES: usize = 16_777_216;
/// The largest `--redundancy`.
const MAX_REDUNDANCY: u8 = 3;
/// The largest `--z-window`.
const MAX_Z_WINDOW: usize = 1_000_000;
const HEARTBEAT_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=HOUR;
const BACKOFF_MAX: RangeInclusive<Duration> = Duration::from_millis(10)..=HOUR;
const HANDOVER_AFTER: RangeInclusive<Duration> = Duration::from_secs(10)..=DAY;
const MAX_LAG: RangeInclusive<Duration> = Duration::from_millis(100)..=HOUR;
const STATE_INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=HOUR;
const REPAIR_DEADLINE: RangeInclusive<Duration> = Duration::from_millis(100)..=DAY;
/// The largest `--hold-size`.
const MAX_HOLD_SIZE: usize = 16_777_216;
const STATS_INTERVAL: RangeInclusive<Duration> = Duration::from_secs(1)..=DAY;
// Bounded, so that a deadline never leaves the clock's range.
const DURATION: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3650 * 86_400);
const RECORD_KEEP: RangeInclusive<Duration> = HOUR..=Duration::from_secs(3650 * 86_400);
/// The smallest `--record-limit` and `--memory`.
const MIB: u64 = 1 << 20;
/// The largest `--memory`.
const TIB: u64 = 1 << 40;
const THREADS: RangeInclusive<usize> = 1..=64;
const PARALLEL: RangeInclusive<u8> = 1..=8;
const SPEED: RangeInclusive<f64> = 0.001..=1_000_000.0;
const STREAMS: RangeInclusive<usize> = 1..=1_024;
const ROWS: RangeInclusive<usize> = 1..=MAX_LANES;
/// The most `--bars`.
const MAX_BARS: usize = 16;
const WRITTEN: [&str; 4] = [".csv", ".jsonl", ".jsonl.zst", ".parquet"];
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// A setting outside its range.
pub(super) struct Violation {
    pub(super) option: &'static OptionSpec,
    pub(super) value: String,
    pub(super) problem: String,
    /// What to do, where that is not to write another value of the kind.
    pub(super) remedy: Option<String>,
}

/// Every setting outside its range, in the order of the options.
pub(super) fn of(config: &Config) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut add = |name: &str, value: String, problem: &str| found.push(violation(name, value, problem));
    let Config { endpoint, queue, calculator, repair, lines, .. } = config;

    if endpoint.symbols.is_empty() && config.symbols.selection.is_none() {
        add("symbol", String::new(), "no symbol, so nothing would arrive");
    }
    if config.market != endpoint.market {
        add("market", config.market.to_string(), &format!("the endpoint serves {}", endpoint.market));
    }
    if let Some(problem) = outside(&queue.frames, &(1..=MAX_QUEUE_FRAMES)) {
        add("queue-size", queue.frames.to_string(), problem);
    } else if !(1..=QueueLimits::for_frames(queue.frames).bytes).contains(&queue.bytes) {
        add("queue-size", format!("{} bytes", queue.bytes), "more bytes than the frames allow, or none");
    }
    if let Some(problem) = outside(&config.streams_per_connection, &STREAMS) {
        add("streams-per-connection", config.streams_per_connection.to_string(), problem);
    }
    if let Some(top) = config.table.top
        && let Some(problem) = outside(&top, &ROWS)
    {
        add("top", top.to_string(), problem);
    }
    let mut duration = |name: &str, value: Duration, range: &RangeInclusive<Duration>| {
        if let Some(problem) = outside(&value, range) {
            add(name, format!("{value:?}"), problem);
        }
    };
    duration("table-every", config.table.every, &STATS_INTERVAL);
    duration("heartbeat-timeout", config.heartbeat_timeout, &HEARTBEAT_TIMEOUT);
    duration("backoff-max", config.backoff_max, &BACKOFF_MAX);
    duration("repair-deadline", repair.deadline, &REPAIR_DEADLINE);
    if !lines.handover_after.is_zero() {
        duration("handover-after", lines.handover_after, &HANDOVER_AFTER);
    }
    if !lines.max_lag.is_zero() {
        duration("max-lag", lines.max_lag, &MAX_LAG);
    }
    if let Some(value) = config.state.interval {
        duration("state-interval", value, &STATE_INTERVAL);
    }
    if !config.stats_interval.is_zero() {
        duration("stats-interval", config.stats_interval, &STATS_INTERVAL);
    }
    if let Some(value) = config.duration {
        duration("duration", value, &DURATION);
    }
    if let Some(value) = config.record.keep {
        duration("record-keep", value, &RECORD_KEEP);
    }
    if let Some(problem) = outside(&lines.redundancy, &(1..=MAX_REDUNDANCY)) {
        add("redundancy", lines.redundancy.to_string(), problem);
    }
    if let Some(problem) = outside(&repair.hold_size, &(1..=MAX_HOLD_SIZE)) {
        add("hold-size", repair.hold_size.to_string(), problem);
    }
    if let Some(problem) = outside(&calculator.z_window, &(2..=MAX_Z_WINDOW)) {
        add("z-window", calculator.z_window.to_string(), problem);
    }
    let most = calculator.z_window.saturating_sub(1);
    if let Some(warmup) = calculator.z_warmup
        && let Some(problem) = outside(&warmup, &(1..=most))
    {
        add("z-warmup", warmup.to_string(), &format!("{problem} for a z-window of {}", calculator.z_window));
    }
    // Written so that NaN is refused too.
    if !(calculator.ema_alpha > 0.0 && calculator.ema_alpha <= 1.0) {
        add("ema-alpha", calculator.ema_alpha.to_string(), "out of range");
    }
    if let Err(problem) = normal_directives(&config.log.level) {
        add("log-level", config.log.level.clone(), &problem);
    }
    if config.bars.specs.len() > MAX_BARS {
        add("bars", config.bars.specs.len().to_string(), "more than 16");
    }
    if let Some(path) = &config.write {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        if !WRITTEN.iter().any(|ending| name.ends_with(ending) && name.len() > ending.len()) {
            add("write", path.display().to_string(), "no known ending");
        } else if cfg!(not(feature = "parquet")) && name.ends_with(".parquet") {
            add("write", path.display().to_string(), "built without the feature `parquet`");
        }
    }
    if let Some(limit) = config.record.limit
        && let Some(problem) = outside(&limit, &(MIB..=u64::MAX))
    {
        add("record-limit", limit.to_string(), problem);
    }
    let replay = &config.replay;
    if let (Some(Bound::Time(from)), Some(Bound::Time(to))) = (replay.from, replay.to)
        && to < from
    {
        add("to", String::new(), "before --from");
    }
    if let (Some(Bound::Id(from)), Some(Bound::Id(to))) = (replay.from, replay.to)
        && to < from
    {
        add("to", to.0.to_string(), "before --from");
    }
    if let Speed::Times(times) = replay.speed
        && !SPEED.contains(&times)
    {
        add("speed", replay.speed.to_string(), "out of range");
    }
    if let Some(problem) = outside(&replay.memory, &(MIB..=TIB)) {
        add("memory", replay.memory.to_string(), problem);
    }
    if let Some(threads) = replay.threads
        && let Some(problem) = outside(&threads, &THREADS)
    {
        add("threads", threads.to_string(), problem);
    }
    if let Some(problem) = outside(&config.fetch.parallel, &PARALLEL) {
        add("parallel", config.fetch.parallel.to_string(), problem);
    }
    if config.count == Some(0) {
        add("count", "0".to_owned(), "too small");
    }
    let mut by_worth = config.bars.specs.iter().filter(|spec| matches!(spec, BarSpec::Notional(_)));
    let has_contracts = config.endpoints().any(|endpoint| endpoint.market == Market::CoinM);
    if let (true, Some(spec)) = (has_contracts, by_worth.next()) {
        let violation = violation("bars", spec.to_string(), "no trade of a contract tells what it is worth");
        let remedy = "take volume:N, in contracts, on coinm".to_owned();
        found.push(Violation { remedy: Some(remedy), ..violation });
    }
    let first = repair.rest_url.iter().map(|base| (base, endpoint));
    let others = repair.other_rest_urls.iter();
    let others = others.filter_map(|(market, base)| Some((base, config.endpoint_of(*market)?)));
    for (rest_url, endpoint) in first.chain(others) {
        let Err(Foreign { problem, remedy }) = ledger::check(rest_url, endpoint) else { continue };
        let violation = violation("rest-url", rest_url.to_string(), &problem);
        found.push(Violation { remedy: Some(remedy), ..violation });
    }
    if let Some(path) = &config.ca_file
        && let Err(CaFileError { problem, .. }) = ExtraRoots::from_file(path)
    {
        let violation = violation("ca-file", path.display().to_string(), &problem.to_string());
        found.push(Violation { remedy: Some(problem.remedy().to_owned()), ..violation });
    }
    if let Some(address) = config.http.listen
        && !address.ip().is_loopback()
        && config.http.token_file.is_none()
    {
        let violation = violation(
            "http",
            address.to_string(),
            "other machines can reach it, and nothing is asked of them",
        );
        let remedy = "listen on 127.0.0.1, or name a file with a token by --http-token-file".to_owned();
        found.push(Violation { remedy: Some(remedy), ..violation });
    }
    found.sort_by_key(|violation| super::OPTIONS.iter().position(|option| option == violation.option));
    found
}

fn violation(name: &str, value: String, problem: &str) -> Violation {
    let option = OptionSpec::named(name).expect("the name is in the table because a test runs every line");
    Violation { option, value, problem: problem.to_owned(), remedy: None }
}

fn outside<T: PartialOrd + Debug>(value: &T, range: &RangeInclusive<T>) -> Option<&'static str> {
    if value < range.start() {
        Some("too small")
    } else if value > range.end() {
        Some("too large")
    } else {
        None
    }
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Log directives as `tracing_subscriber::filter::Targets` reads them: levels in lower case, `warning` as
/// `warn`, no blanks.
///
/// # Errors
/// The first directive that is neither a level nor `target=level`.
pub(super) fn normal_directives(text: &str) -> Result<String, String> {
    let level = |word: &str| {
        let word = word.trim().to_ascii_lowercase();
        let word = if word == "warning" { "warn" } else { word.as_str() };
        LEVELS.iter().copied().find(|level| *level == word)
    };
    let directive = |part: &str| {
        let part = part.trim();
        let normal = match part.split_once('=') {
            None => level(part).map(str::to_owned),
            Some((target, word)) => {
                let target = target.trim();
                let is_target = !target.is_empty()
                    && target
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '-' | '.'));
                level(word).filter(|_| is_target).map(|level| format!("{target}={level}"))
            }
        };
        normal.ok_or_else(|| not_a_level(part))
    };
    let parts = text.split(',').map(directive).collect::<Result<Vec<_>, _>>()?;
    Ok(parts.join(","))
}

fn not_a_level(part: impl Display) -> String {
    let part: String = part.to_string().chars().take(40).collect();
    format!("{part:?} is neither a level nor target=level")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::endpoint::Endpoint;
    use crate::repair::rest::RestBase;
    use crate::snapshot::Market;

    #[test]
    fn the_defaults_are_in_range() {
        assert!(Config::default().validate().is_ok());
    }

    #[test]
    fn every_violation_is_found_at_once() {
        let mut config = Config::default();
        config.market = Market::Spot;
        config.endpoint = Endpoint { symbols: Vec::new(), ..config.endpoint };
        config.queue = QueueLimits::for_frames(0);
        config.heartbeat_timeout = Duration::from_millis(99);
        config.backoff_max = HOUR + Duration::from_nanos(1);
        config.stats_interval = Duration::from_millis(999);
        config.repair.rest_url = RestBase::parse("https://api.binance.com", false).ok();
        config.repair.deadline = Duration::ZERO;
        config.repair.hold_size = 0;
        config.calculator.z_window = 1;
        config.calculator.z_warmup = Some(1);
        config.calculator.ema_alpha = f64::NAN;
        config.log.level = "loud".to_owned();
        config.duration = Some(Duration::ZERO);
        config.count = Some(0);
        let error = config.validate().unwrap_err();
        let subjects: Vec<_> = error.faults().iter().map(|fault| fault.subject.as_str()).collect();
        assert_eq!(
            subjects,
            [
                "--symbol",
                "--market",
                "--queue-size",
                "--heartbeat-timeout",
                "--backoff-max",
                "--rest-url",
                "--repair-deadline",
                "--hold-size",
                "--z-window",
                "--z-warmup",
                "--ema-alpha",
                "--stats-interval",
                "--log-level",
                "--duration",
                "--count"
            ]
        );
    }

    #[test]
    fn the_edges_of_the_ranges_are_in_them() {
        let mut config = Config::default();
        for (frames, valid) in [(1, true), (MAX_QUEUE_FRAMES, true), (MAX_QUEUE_FRAMES + 1, false)] {
            config.queue = QueueLimits::for_frames(frames);
            assert_eq!(config.validate().is_ok(), valid, "{frames}");
        }
        config.queue = QueueLimits { frames: 1, bytes: 16 * 1024 * 1024 + 1 };
        assert!(config.validate().is_err());
        config.queue = QueueLimits::default();
        config.stats_interval = Duration::ZERO;
        config.calculator.z_window = 2;
        config.calculator.z_warmup = Some(1);
        config.calculator.ema_alpha = 1.0;
        config.count = Some(1);
        config.duration = Some(Duration::from_millis(1));
        assert_eq!(config.validate(), Ok(()));
        config.calculator.z_warmup = Some(2);
        assert!(config.validate().is_err());
    }

    #[test]
    fn the_edges_of_what_repair_may_be_told_are_in_range() {
        let mut config = Config::default();
        for (size, valid) in [(0, false), (1, true), (MAX_HOLD_SIZE, true), (MAX_HOLD_SIZE + 1, false)] {
            config.repair.hold_size = size;
            assert_eq!(config.validate().is_ok(), valid, "{size}");
        }
        config.repair.hold_size = 1;
        let (least, most) = (Duration::from_millis(100), DAY);
        let nano = Duration::from_nanos(1);
        for (deadline, valid) in [(least - nano, false), (least, true), (most, true), (most + nano, false)] {
            config.repair.deadline = deadline;
            assert_eq!(config.validate().is_ok(), valid, "{deadline:?}");
        }
    }

    #[test]
    fn the_queue_holds_512_bytes_a_frame_and_at_least_16_mib() {
        assert_eq!(QueueLimits::for_frames(1).bytes, 16 << 20);
        assert_eq!(QueueLimits::for_frames(32_768).bytes, 16 << 20);
        assert_eq!(QueueLimits::for_frames(32_769).bytes, 32_769 * 512);
        assert_eq!(QueueLimits::for_frames(MAX_QUEUE_FRAMES).bytes, 8 << 30);
    }

    #[test]
    fn levels_are_read_in_any_case_and_directives_by_target() {
        for (text, normal) in [
            ("INFO", "info"),
            ("Warning", "warn"),
            (" warn ", "warn"),
            ("off", "off"),
            ("warn, cvd_stream::feed = DEBUG", "warn,cvd_stream::feed=debug"),
        ] {
            assert_eq!(normal_directives(text).as_deref(), Ok(normal), "{text:?}");
        }
        for text in ["", "loud", "info,", "=info", "a b=info", "feed=loud", "[span]=info", "feed=info=warn"] {
            assert!(normal_directives(text).is_err(), "{text:?}");
        }
    }
}
