//! `/metrics`: everything that is known of the run, in the text format of OpenMetrics. `docs/output.md` says what each of
//! them means and what to do when it moves.

mod page;
mod process;

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use self::page::Page;
use self::process::Process;
use super::counts::Counts;
use super::watched::Watched;
use crate::alerts::{AlertCounts, Outcome, Sink};
use crate::metrics::MonitoringMetrics;
use crate::overview::{BOUNDS_US, Health, LatencyBuckets, Overview, ReconnectReason, Verdict};
use crate::report::LinkStatus;
use crate::snapshot::{Market, Quality};

/// What Prometheus 3 insists on.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Symbols with series of their own; those of more would be a burden to whoever keeps them.
const LABELLED: usize = 2_048;

/// The text of `/metrics` now.
pub(super) fn text(watched: &Watched, counts: &Arc<Counts>) -> Result<String, fmt::Error> {
    let (overview, age_s) = watched.looked();
    let health = Health::of(overview.as_deref(), age_s);
    let mut registry = Registry::default();
    let run = Run { overview: overview.unwrap_or_default(), age_s, health };
    registry.sub_registry_with_prefix("cvd_stream").register_collector(Box::new(run));
    let served = Served { counts: Arc::clone(counts), alerts: Arc::clone(&watched.alerts) };
    registry.sub_registry_with_prefix("cvd_stream").register_collector(Box::new(served));
    registry.register_collector(Box::new(Process));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

/// What is known of the run.
#[derive(Debug)]
struct Run {
    overview: Arc<Overview>,
    age_s: f64,
    health: Health,
}

impl Collector for Run {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut page = Page::new(encoder);
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        page.gauges("build_info", "the version that runs; always 1", [(version, 1u64)])?;
        self.health(&mut page)?;
        self.symbols(&mut page)?;
        self.connections(&mut page)?;
        self.queue(&mut page)?;
        self.counters(&mut page)?;
        self.clock(&mut page)?;
        self.latencies(&mut page)
    }
}

impl Run {
    fn health(&self, page: &mut Page<'_>) -> fmt::Result {
        let is_ready = self.health.verdict() != Verdict::NotReady;
        page.gauge("ready", "1 if every number can be relied on now", u64::from(is_ready))?;
        let is_degraded = self.health.degraded_symbols > 0;
        page.gauge("degraded", "1 if a symbol lacks trades that were given up", u64::from(is_degraded))?;
        page.gauge("status_age_seconds", "how old what is shown here is", self.age_s)
    }

    fn symbols(&self, page: &mut Page<'_>) -> fmt::Result {
        let Overview { lanes, .. } = &*self.overview;
        let of = |market| lanes.iter().filter(|lane| lane.summary.market == market).count() as u64;
        let markets = Market::ALL.map(|market| ([("market", market.as_str())], of(market)));
        page.gauges("symbols", "symbols that are followed", markets)?;
        let qualities = self.overview.qualities();
        let qualities = qualities.map(|(quality, count)| ([("quality", quality.as_str())], count));
        page.gauges("symbols_by_quality", "symbols by the quality of their numbers", qualities)?;
        let longest = self.overview.longest_repair_s().unwrap_or(0.0);
        page.gauge(
            "repairing_seconds",
            "how long the symbol has waited that waits longest for trades",
            longest,
        )?;
        let open = lanes.iter().filter(|lane| lane.summary.open.is_some()).count() as u64;
        page.gauge("open_gaps", "symbols that wait for missing trades", open)?;

        let labelled = || lanes.iter().take(LABELLED);
        let labels = |lane: &crate::overview::LaneOverview| {
            [("symbol", lane.summary.symbol.as_str().to_owned()), ("market", lane.summary.market.to_string())]
        };
        macro_rules! counters {
            ($($name:literal, $help:literal, $value:expr;)*) => {$(
                page.counters($name, $help, labelled().map(|lane| (labels(lane), $value(lane))))?;
            )*};
        }
        macro_rules! gauges {
            ($($name:literal, $help:literal, $value:expr;)*) => {$(
                let values = labelled().filter_map(|lane| Some((labels(lane), $value(lane)?)));
                page.gauges($name, $help, values)?;
            )*};
        }
        type Lane = crate::overview::LaneOverview;
        counters! {
            "trades", "trades that moved the numbers", |lane: &Lane| lane.summary.trades;
            "gaps", "holes in the ids that were found", |lane: &Lane| lane.summary.holes;
            "repaired_trades", "trades that came after their hole had been found", |lane: &Lane| lane.summary.repaired_trades;
            "missing_trades", "trades that were given up", |lane: &Lane| lane.missing_trades;
            "duplicate_trades", "trades whose id was known before", |lane: &Lane| lane.summary.duplicate_trades;
        }
        gauges! {
            "cvd", "cumulative volume delta, in base units (contracts on coinm)", |lane: &Lane| Some(lane.summary.reading.cvd.to_f64_lossy());
            "cvd_zscore", "how unusual that is, in standard deviations", |lane: &Lane| lane.summary.reading.z;
            "cvd_ema", "its exponential moving average", |lane: &Lane| lane.summary.reading.ema;
            "quality", "0 complete, 1 repairing, 2 missing", |lane: &Lane| Some(quality(lane.summary.coverage.quality));
            "epoch_missing_trades", "trades that the present epoch lacks", |lane: &Lane| Some(lane.summary.coverage.missing_trades);
            "completeness_ratio", "share of the ids of the present epoch that came", |lane: &Lane| Some(lane.completeness());
            "held_trades", "trades that wait behind a hole", |lane: &Lane| Some(lane.summary.held_trades);
        }
        Ok(())
    }

    fn connections(&self, page: &mut Page<'_>) -> fmt::Result {
        let links = || self.overview.links.iter().filter(|link| link.symbols > 0);
        let labels = |link: &crate::overview::LinkOverview| {
            [("market", link.market.to_string()), ("shard", (u32::from(link.shard.0) + 1).to_string())]
        };
        const STATES: [LinkStatus; 7] = [
            LinkStatus::Connecting,
            LinkStatus::Connected,
            LinkStatus::Subscribed,
            LinkStatus::Streaming,
            LinkStatus::Quiet,
            LinkStatus::Stale,
            LinkStatus::Disconnected,
        ];
        let states = links().flat_map(|link| {
            STATES.map(|state| {
                let [market, shard] = labels(link);
                let state_label = ("state", state.as_str().to_owned());
                ([market, shard, state_label], u64::from(link.status == state))
            })
        });
        page.gauges("connection_state", "1 for the state of the connections of a shard", states)?;
        let lasting = links().map(|link| (labels(link), link.seconds));
        page.gauges("connection_state_seconds", "how long that state has lasted", lasting)?;
        let ages = links().filter_map(|link| Some((labels(link), link.connected_s?)));
        page.gauges("connection_age_seconds", "age of the newest connection of a shard", ages)?;
        let frames = links().filter_map(|link| Some((labels(link), link.last_frame_s?)));
        page.gauges("last_frame_age_seconds", "how long ago the last frame of a shard came", frames)?;
        let reconnects = links().flat_map(|link| {
            ReconnectReason::ALL.map(|reason| {
                let [market, shard] = labels(link);
                ([market, shard, ("reason", reason.as_str().to_owned())], link.reconnects.of(reason))
            })
        });
        page.counters(
            "reconnects",
            "connections that were made again, by what ended the one before",
            reconnects,
        )
    }

    fn queue(&self, page: &mut Page<'_>) -> fmt::Result {
        let queue = &self.overview.queue;
        page.counter("queue_pushed", "frames that the feed handed in", queue.stats.pushed)?;
        page.counter("queue_popped", "frames that the processor took", queue.stats.popped)?;
        page.counter("queue_dropped", "frames that had to give way", queue.stats.dropped)?;
        page.gauge("queue_length", "frames that wait", queue.stats.queued)?;
        page.gauge("queue_high_water", "the most frames that have waited at once", queue.stats.high_water)?;
        page.gauge("queue_capacity", "frames that may wait", queue.capacity)
    }

    fn counters(&self, page: &mut Page<'_>) -> fmt::Result {
        let MonitoringMetrics {
            hand_overs,
            total_messages,
            parse_errors,
            bad_points,
            copied_trades,
            conflicts,
            implausible_trades,
            resets,
            rest_calls,
            repair_calls,
            rest_used_weight,
            checkpoints,
            checkpoint_failures,
            recorded_inputs,
            unrecorded_inputs,
            checkpoint_age_ms,
            unrequested_trades,
            control_messages,
            other_messages,
            suppressed_warnings,
            dropped_log_lines,
            // These have series of their own: by symbol, by reason, of the queue.
            applied_trades: _,
            gaps: _,
            repaired_trades: _,
            missing_trades: _,
            duplicate_trades: _,
            held_trades: _,
            reconnect_count: _,
            queue_dropped: _,
        } = self.overview.metrics;
        for (name, help, value) in [
            ("hand_overs", "connections that were replaced while they still ran", hand_overs),
            ("messages", "messages that arrived, of any kind", total_messages),
            ("parse_errors", "messages that could not be read", parse_errors),
            ("bad_points", "trades that the calculator refused", bad_points),
            ("copied_trades", "trades that another connection had brought before", copied_trades),
            ("conflicts", "ids that came with two contents", conflicts),
            ("implausible_trades", "trades whose id nothing confirmed", implausible_trades),
            ("resets", "times that the exchange began to number a symbol anew", resets),
            ("rest_calls", "requests to REST", rest_calls),
            ("repair_calls", "requests to REST for missing trades", repair_calls),
            ("checkpoints", "checkpoints that are durable", checkpoints),
            ("checkpoint_failures", "checkpoints that could not be kept", checkpoint_failures),
            ("recorded_inputs", "inputs that are in the recording", recorded_inputs),
            ("unrecorded_inputs", "inputs that are not in it", unrecorded_inputs),
            ("unrequested_trades", "trades of symbols nobody asked for", unrequested_trades),
            ("control_messages", "answers of the exchange to our own messages", control_messages),
            ("other_messages", "other events of the exchange", other_messages),
            ("suppressed_warnings", "warnings that were too many in a second", suppressed_warnings),
            ("dropped_log_lines", "log lines whose reader was blocked", dropped_log_lines),
            ("ended_symbols", "symbols that ended before the run", self.overview.ended_symbols),
        ] {
            page.counter(name, help, value)?;
        }
        page.gauge("rest_used_weight", "REST weight used in this minute", rest_used_weight)?;
        let age = checkpoint_age_ms.map(|ms| ms as f64 / 1e3);
        page.maybe_gauge("checkpoint_age_seconds", "age of the last durable checkpoint", age)
    }

    fn clock(&self, page: &mut Page<'_>) -> fmt::Result {
        let clock = self.overview.clock;
        let offset = clock.map(|clock| clock.offset_ms / 1e3);
        page.maybe_gauge("clock_offset_seconds", "how far the exchange's clock is ahead of ours", offset)?;
        let error = clock.map(|clock| clock.error_ms / 1e3);
        page.maybe_gauge("clock_error_seconds", "how far off that may be", error)
    }

    fn latencies(&self, page: &mut Page<'_>) -> fmt::Result {
        let latencies = &self.overview.latencies;
        for (name, help, of) in [
            ("exchange_latency_seconds", "from a trade to its event, at the exchange", &latencies.exchange),
            ("network_latency_seconds", "from the event to its arrival here", &latencies.network),
            ("own_latency_seconds", "from the arrival to the end of its burst", &latencies.own),
        ] {
            page.histogram(name, help, of.sum_s, of.count(), &bounded(of))?;
        }
        let negative = latencies.network.negative;
        page.counter("negative_latency_trades", "trades that seemed to come from the future", negative)
    }
}

fn bounded(of: &LatencyBuckets) -> Vec<(f64, u64)> {
    let bounds = BOUNDS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::INFINITY]);
    bounds.zip(of.counts).collect()
}

const fn quality(quality: Quality) -> u64 {
    match quality {
        Quality::Complete => 0,
        Quality::Repairing => 1,
        Quality::Missing => 2,
    }
}

/// What is known of requests and of alerts.
#[derive(Debug)]
struct Served {
    counts: Arc<Counts>,
    alerts: Arc<AlertCounts>,
}

impl Collector for Served {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        use std::sync::atomic::Ordering::Relaxed;
        let mut page = Page::new(encoder);
        let counts = &self.counts;
        let codes = counts.codes().map(|(code, count)| ([("code", code.to_string())], count));
        page.counters("http_requests", "requests that were answered, by status", codes)?;
        let refused = counts.refusals().map(|(reason, count)| ([("reason", reason)], count));
        page.counters("http_refused", "requests that were refused", refused)?;
        page.gauge("http_connections", "connections of clients", counts.connections.load(Relaxed))?;
        page.gauge("stream_clients", "clients that listen to the stream", counts.listening.load(Relaxed))?;
        let slow = counts.too_slow.load(Relaxed);
        page.counter("stream_dropped_clients", "clients that were too slow for the stream", slow)?;
        self.alerts(&mut page)
    }
}

impl Served {
    fn alerts(&self, page: &mut Page<'_>) -> fmt::Result {
        let label = |rule: &str| [("rule", rule.to_owned())];
        let fired = self.alerts.rules().map(|rule| (label(rule.rule), rule.fired));
        page.counters("alerts_fired", "times that a rule has fired", fired)?;
        let firing = self.alerts.rules().map(|rule| (label(rule.rule), rule.firing));
        page.gauges("alerts_firing", "symbols or shards that a rule is firing for", firing)?;
        let outcomes = Sink::ALL.into_iter().flat_map(|sink| {
            Outcome::ALL.map(|outcome| {
                let labels = [("sink", sink.as_str()), ("outcome", outcome.as_str())];
                (labels, self.alerts.deliveries(sink, outcome))
            })
        });
        page.counters("alert_deliveries", "what became of telling", outcomes)
    }
}
