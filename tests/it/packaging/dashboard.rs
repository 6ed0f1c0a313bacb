use std::collections::BTreeSet;

use serde_json::Value;

use super::file;

fn dashboard() -> Value {
    serde_json::from_str(&file("packaging/grafana/cvd-stream.json")).expect("it is JSON")
}

fn panels(dashboard: &Value) -> Vec<&Value> {
    dashboard["panels"].as_array().expect("it has panels").iter().collect()
}

/// Every value under a key, however deep.
fn under<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(entries) => {
            for (name, value) in entries {
                if name == key {
                    found.push(value);
                }
                under(value, key, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| under(value, key, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_belongs_to_no_grafana_in_particular() {
    let dashboard = dashboard();
    assert!(dashboard["schemaVersion"].as_u64().is_some_and(|version| version >= 38), "Grafana 10 or newer");
    assert!(dashboard["id"].is_null());
    let mut sources = Vec::new();
    under(&dashboard, "datasource", &mut sources);
    assert!(sources.len() > 30);
    for source in sources {
        let ours = source["uid"] == "${datasource}" && source["type"] == "prometheus";
        assert!(ours || source["uid"] == "-- Grafana --", "{source}");
    }
    let variables = dashboard["templating"]["list"].as_array().expect("it has variables");
    let names: Vec<&str> = variables.iter().filter_map(|variable| variable["name"].as_str()).collect();
    assert_eq!(names, ["datasource", "instance", "market", "symbol"]);
}

#[test]
fn every_panel_says_what_to_do_and_in_which_unit() {
    let dashboard = dashboard();
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().expect("it has a title");
        if panel["type"] == "row" {
            continue;
        }
        assert!(
            panel["description"].as_str().is_some_and(|text| text.len() > 20),
            "{title} is not described"
        );
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title} has no unit");
        let targets = panel["targets"].as_array().expect("it shows something");
        for target in targets {
            let expression = target["expr"].as_str().expect("it is asked of Prometheus");
            assert!(
                expression.contains("$instance"),
                "{title} does not heed the choice of instances: {expression}"
            );
            assert!(
                !expression.contains("rate(") || !expression.contains("[5m]"),
                "{title}: $__rate_interval"
            );
        }
    }
}

#[test]
fn panels_have_their_own_places() {
    let dashboard = dashboard();
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels(&dashboard) {
        assert!(ids.insert(panel["id"].as_u64().expect("it has a number")), "{}", panel["title"]);
        let place = |key: &str| panel["gridPos"][key].as_u64().expect("it has a place");
        assert!(place("x") + place("w") <= 24, "{} is too wide", panel["title"]);
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{} covers another panel", panel["title"]);
            }
        }
    }
}
