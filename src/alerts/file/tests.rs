//! What is written, and what is said about it.

use std::path::PathBuf;

use super::*;

fn read(text: &str) -> Result<AlertsConfig, String> {
    let table: Table = text.parse().expect("TOML");
    parse(&table).map_err(|faults| {
        let lines = faults.iter().map(|fault| format!("{}: {}; {}", fault.key, fault.problem, fault.remedy));
        lines.collect::<Vec<_>>().join("\n")
    })
}

fn only(text: &str) -> Rule {
    let config = read(&format!("[alerts]\ndefaults = false\n{text}")).expect("no fault");
    let [rule] = config.rules.as_slice() else { panic!("{config:?}") };
    rule.clone()
}

fn secret_file(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("cvd-stream-{name}-{}", std::process::id()));
    std::fs::write(&path, text).expect("a file of our own");
    path
}

#[test]
fn without_a_word_the_built_in_rules_watch() {
    let config = read("other = 1").expect("no fault");
    assert_eq!(config, AlertsConfig::default());
    let rules: Vec<_> = config
        .rules
        .iter()
        .map(|rule| {
            let Rule { name, bound, within, cooldown, severity, .. } = rule;
            format!("{name} {bound:?} {within:?} {cooldown:?} {}", severity.as_str())
        })
        .collect();
    insta::assert_snapshot!(rules.join("\n"), @r"
    reconnects Above(Count(3)) 3600s 300s warning
    queue-dropped Above(Number(0.005)) 300s 300s warning
    parse-errors Above(Count(0)) 300s 300s warning
    latency Above(Number(1.0)) 60s 300s warning
    negative-latency Above(Count(0)) 60s 3600s info
    missing Above(Count(0)) 60s 300s critical
    stale Above(Number(60.0)) 0ns 300s critical
    ");
    assert_eq!(read("[alerts]\ndefaults = false").expect("no fault").rules, []);
}

#[test]
fn a_rule_of_the_user_takes_the_place_of_the_built_in_one_of_its_name() {
    let config = read("[[alert]]\nname = \"latency\"\non = \"latency\"\nabove = 0.25").expect("no fault");
    let named: Vec<_> = config.rules.iter().filter(|rule| rule.name == "latency").collect();
    assert_eq!(named.len(), 1);
    assert_eq!((named[0].bound, config.rules.len()), (Bound::Above(Measure::Number(0.25)), 7));
}

#[test]
fn the_example_of_the_documentation_has_every_key_and_no_fault() {
    let docs = include_str!("../../../docs/alerts.md");
    let (_, rest) = docs.split_once("```toml\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    let secret = secret_file("example", "0123456789abcdef");
    let example = example.replace("/etc/cvd-stream/webhook.secret", &secret.display().to_string());
    let config = read(&example).unwrap_or_else(|faults| panic!("{faults}\n{example}"));
    std::fs::remove_file(secret).expect("it is ours");
    let Some(Webhook { url, secret: Some(_), allow_private: false }) = &config.webhook else {
        panic!("{config:?}")
    };
    assert_eq!(url.to_string(), "https://hooks.example");
    assert!(config.command.is_some() && config.wants_largest());
    for key in SECTION.iter().chain(&RULE) {
        assert!(example.contains(&format!("{key} = ")), "no {key} in the example");
    }
    for kind in Kind::ALL {
        assert!(docs.contains(&format!("| `{}` |", kind.as_str())), "{} is not explained", kind.as_str());
    }
    let named = config.rules.iter().find(|rule| rule.name == "btc-z").expect("the example's rule");
    assert_eq!(named.rearm, Measure::Number(2.5));
    assert_eq!((named.hold, named.cooldown), (Duration::from_secs(5), Duration::from_secs(300)));
}

#[test]
fn decimals_are_exact_however_they_are_written() {
    let tenth = Measure::Quantity(QtyDelta::from_units(10_000_000));
    for text in ["0.1", "1e-1", "\"0.1\"", "\"0.10000000\""] {
        let rule = only(&format!("[[alert]]\nname = \"a\"\non = \"cvd_change\"\nbeyond = {text}"));
        assert_eq!(rule.bound, Bound::Beyond(tenth), "{text}");
    }
    let rule = only("[[alert]]\nname = \"a\"\non = \"large_trade\"\nabove = 1_000_000");
    assert_eq!(rule.bound, Bound::AtLeast(Measure::Worth(1_000_000 * 10i128.pow(16))));
    let rule =
        only("[[alert]]\nname = \"a\"\non = \"cvd_change\"\nbelow = -5\nrearm = -4.5\nwithin = \"1h 30m\"");
    assert_eq!(rule.rearm, Measure::Quantity(QtyDelta::from_units(-450_000_000)));
    assert_eq!(rule.within, Duration::from_secs(5_400));
    let rule = only("[[alert]]\nname = \"a\"\non = \"reconnects\"\nabove = 4.0");
    assert_eq!(rule.bound, Bound::Above(Measure::Count(4)));
    let rule = only("[[alert]]\nname = \"a\"\non = \"gap\"\nfor = \"30s\"");
    assert_eq!((rule.bound, rule.hold), (Bound::Above(Measure::Number(30.0)), Duration::ZERO));
}

#[test]
fn every_fault_is_told_at_once_with_its_place_and_what_to_do() {
    let text = r#"
        [alerts]
        webhok = "https://hooks.example"
        webhook = "http://hooks.example/s3cret"
        webhook-secret-file = "/nowhere/at/all"
        webhook-allow-private = "no"
        command = []
        defaults = 1
        [[alert]]
        name = "Btc Z"
        on = "zz"
        abov = 3
        [[alert]]
        name = "two"
        on = "z"
        above = nan
        rearm = 4
        for = "-1s"
        severity = "warn"
        sinks = ["stderr", "webhook", "pager"]
        symbols = ["BTCUSDT", "usdm:BTC\u001B[31m"]
        [[alert]]
        name = "two"
        on = "stale"
        above = 3
        within = "1m"
        symbols = []
        [[alert]]
        on = "large_trade"
        below = 1
        rearm = 1
        for = "5s"
        cooldown = "8d"
        [[alert]]
        name = "both"
        on = "cvd_change"
        above = 1
        below = -1
        within = "500ms"
        [[alert]]
        name = "back"
        on = "reconnects"
        above = 2.5
        [[alert]]
        name = "other-side"
        on = "z"
        above = 3
        rearm = 4
    "#;
    let faults = read(text).unwrap_err();
    assert!(!faults.contains("s3cret"), "{faults}");
    insta::assert_snapshot!(faults);
}

#[test]
fn what_is_no_table_is_told_and_too_many_rules_are_refused() {
    insta::assert_snapshot!(read("alerts = 1\nalert = 2").unwrap_err(), @r"
    alerts: a table is wanted, not integer; write [alerts] on a line of its own
    alert: an array of tables is wanted, not integer; write [[alert]], with two brackets
    ");
    let rules: String =
        (0..100).map(|at| format!("[[alert]]\nname = \"r{at}\"\non = \"missing\"\n")).collect();
    insta::assert_snapshot!(read(&rules).unwrap_err(), @"alert: 72 rules, built-in ones included; at most 64 are watched; leave some out, or give one rule several symbols");
}

#[test]
fn a_webhook_of_this_machine_or_a_private_network_wants_a_word_for_it() {
    for url in ["http://127.0.0.1:8080/hook", "https://localhost/hook", "https://10.1.2.3/hook"] {
        let faults = read(&format!("[alerts]\nwebhook = \"{url}\"")).unwrap_err();
        assert!(faults.contains("say webhook-allow-private = true"), "{faults}");
        assert!(!faults.contains("/hook"), "{faults}");
        let allowed = format!("[alerts]\nwebhook = \"{url}\"\nwebhook-allow-private = true");
        assert!(read(&allowed).expect("no fault").webhook.is_some_and(|webhook| webhook.allow_private));
    }
    // No flag makes it right to send in the clear to somebody else.
    let plain = read("[alerts]\nwebhook = \"http://10.1.2.3/\"\nwebhook-allow-private = true").unwrap_err();
    assert!(plain.contains("not encrypted"), "{plain}");
}

#[test]
fn a_secret_is_neither_shown_nor_told() {
    let path = secret_file("canary", "canary-0123456789abcdef\n");
    let text = format!(
        "[alerts]\nwebhook = \"https://hooks.example/canary\"\nwebhook-secret-file = \"{}\"",
        path.display()
    );
    let config = read(&text).expect("no fault");
    let shown = format!("{config:?}").replace(&path.display().to_string(), "");
    assert!(!shown.contains("canary"), "{shown}");
    std::fs::write(&path, "canary").expect("it is ours");
    let faults = read(&text).unwrap_err().replace(&path.display().to_string(), "FILE");
    insta::assert_snapshot!(faults, @"alerts.webhook-secret-file: the secret file FILE holds 6 bytes; 16 to 4096 bytes make a secret: `openssl rand -hex 32 > FILE`");
    std::fs::remove_file(path).expect("it is ours");
}
