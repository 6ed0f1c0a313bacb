use std::collections::{BTreeMap, BTreeSet};

use super::{file, words};

/// A row of the table "Metrics" in docs/output.md.
pub(super) struct Metric {
    pub(super) kind: String,
    pub(super) labels: Vec<String>,
}

/// By name, as it is exposed; histograms by their base name.
pub(super) fn documented() -> BTreeMap<String, Metric> {
    let output = file("docs/output.md");
    let section = output.split("\n## Metrics\n").nth(1).expect("docs/output.md has a section Metrics");
    let section = section.split("\n## ").next().expect("a split has a first part");
    let mut metrics = BTreeMap::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [name, kind, labels, unit, meaning, remedy] = cells[..] else { panic!("six columns: {row}") };
        let name = name.trim_matches('`').to_owned();
        assert!(![unit, meaning, remedy].contains(&""), "{row}");
        let labels = words(labels, &['_'], "").filter(|label| !label.is_empty()).map(str::to_owned).collect();
        let metric = Metric { kind: kind.to_owned(), labels };
        assert!(metrics.insert(name, metric).is_none(), "twice: {row}");
    }
    metrics
}

/// The metrics that a text names, as documented names; what rules record has a colon and is none.
pub(super) fn named(text: &str, documented: &BTreeMap<String, Metric>) -> BTreeSet<String> {
    let ours = |word: &&str| {
        let prefixed = word.strip_prefix("cvd_stream_").or_else(|| word.strip_prefix("process_"));
        prefixed.is_some_and(|rest| !rest.is_empty())
    };
    let base = |word: &str| {
        let parts = ["_bucket", "_sum", "_count"].iter().filter_map(|part| word.strip_suffix(part));
        let histogram = |name: &&str| documented.get(*name).is_some_and(|metric| metric.kind == "histogram");
        parts.into_iter().find(histogram).unwrap_or(word).to_owned()
    };
    words(text, &['_', ':'], "").filter(ours).map(base).collect()
}

/// What a file of rules defines: `alert` or `record`.
fn defined<'a>(rules: &'a str, what: &str) -> Vec<&'a str> {
    let beginning = format!("- {what}: ");
    rules.lines().filter_map(|line| line.trim().strip_prefix(beginning.as_str())).collect()
}

const RULES: &str = "packaging/prometheus/cvd-stream.rules.yml";
const TESTS: &str = "packaging/prometheus/cvd-stream.rules.test.yml";
const DASHBOARD: &str = "packaging/grafana/cvd-stream.json";

#[test]
fn every_metric_is_documented_as_its_name_promises() {
    let metrics = documented();
    assert!(metrics.len() >= 72, "{} metrics", metrics.len());
    for (name, Metric { kind, labels }) in &metrics {
        assert!(["counter", "gauge", "histogram"].contains(&kind.as_str()), "{name} is a {kind}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        let bounded = [
            "symbol", "market", "shard", "state", "quality", "reason", "code", "rule", "sink", "outcome",
            "version",
        ];
        assert!(labels.iter().all(|label| bounded.contains(&label.as_str())), "{name}: {labels:?}");
        assert!(name.starts_with("cvd_stream_") || (name.starts_with("process_") && labels.is_empty()));
        // Base units only.
        for unit in ["_ms", "_millis", "_us", "_percent", "_kb", "_mb", "_minutes"] {
            assert!(!name.trim_end_matches("_total").ends_with(unit), "{name}");
        }
    }
}

#[test]
fn rules_their_tests_and_the_dashboard_name_only_metrics_that_exist() {
    let metrics = documented();
    for name in [RULES, TESTS, DASHBOARD] {
        let found = named(&file(name), &metrics);
        assert!(found.len() > 10, "{name} names {found:?}");
        let unknown: Vec<&String> = found.iter().filter(|metric| !metrics.contains_key(*metric)).collect();
        assert!(unknown.is_empty(), "{name} names {unknown:?}");
    }
    let found = named("rate(cvd_stream_trades_totals[5m]) / cvd_stream_own_latency_seconds_sum", &metrics);
    assert_eq!(
        found.into_iter().filter(|metric| !metrics.contains_key(metric)).collect::<Vec<_>>(),
        ["cvd_stream_trades_totals"]
    );
}

#[test]
fn what_is_computed_from_recorded_series_is_recorded() {
    let rules = file(RULES);
    let recorded = defined(&rules, "record");
    for name in [RULES, DASHBOARD] {
        let text = file(name);
        for used in words(&text, &['_', ':'], "instance").filter(|word| word.contains(":cvd_stream_")) {
            assert!(recorded.contains(&used), "{name} computes with {used}, which nothing records");
        }
    }
}

#[test]
fn every_alert_has_its_tests_and_its_section_in_the_operations() {
    let (rules, tests, operations) = (file(RULES), file(TESTS), file("docs/operations.md"));
    let alerts = defined(&rules, "alert");
    assert!(alerts.len() >= 16, "{alerts:?}");
    for alert in &alerts {
        let tested = |rest: &str| tests.contains(&format!("alertname: {alert}, exp_alerts: {rest}"));
        assert!(tested("[ {"), "no test sees {alert} fire");
        assert!(tested("[] }"), "no test sees {alert} silent");
        assert!(
            operations.contains(&format!("\n### {alert}\n")),
            "docs/operations.md does not say what to do about {alert}"
        );
        assert!(
            rules.contains(&format!("runbook: docs/operations.md#{}\n", alert.to_lowercase())),
            "{alert}"
        );
    }
    let documented = operations.lines().filter_map(|line| line.strip_prefix("### CvdStream"));
    assert_eq!(documented.count(), alerts.len(), "docs/operations.md speaks of an alert that is gone");
    for part in ["severity:", "summary:", "description:", "runbook:"] {
        assert_eq!(rules.matches(part).count(), alerts.len(), "each alert has one {part}");
    }
}

#[test]
fn links_from_the_metrics_lead_to_sections_that_exist() {
    let (output, operations) = (file("docs/output.md"), file("docs/operations.md"));
    let links: Vec<&str> =
        output.split("](operations.md#").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() > 20);
    let headings: Vec<String> =
        operations.lines().filter_map(|line| Some(line.strip_prefix("### ")?.to_lowercase())).collect();
    for link in links.iter().filter(|link| link.starts_with("cvdstream")) {
        assert!(headings.iter().any(|heading| heading == link), "docs/output.md leads to #{link}");
    }
}
