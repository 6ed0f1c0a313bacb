use super::{file, knows_the_options_of, path};

pub(super) const UNIT: &str = "packaging/systemd/cvd-stream.service";

/// What a unit says about a key, in order.
fn settings<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    let pairs = unit.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    pairs.filter(|(name, _)| *name == key).map(|(_, value)| value).collect()
}

#[test]
fn the_unit_names_options_that_exist() {
    knows_the_options_of(&file(UNIT));
}

#[test]
fn an_outage_does_not_end_the_service_and_a_wrong_configuration_does_not_repeat() {
    let unit = file(UNIT);
    assert_eq!(settings(&unit, "Type"), ["notify"]);
    assert_eq!(settings(&unit, "NotifyAccess"), ["main"]);
    // Readiness comes with the first trade.
    assert_eq!(settings(&unit, "TimeoutStartSec"), ["infinity"]);
    assert_eq!(settings(&unit, "StartLimitIntervalSec"), ["0"]);
    assert_eq!(settings(&unit, "WatchdogSec"), ["10min"]);
    assert_eq!(settings(&unit, "Restart"), ["on-failure"]);
    assert_eq!(settings(&unit, "RestartPreventExitStatus"), ["2"]);
}

#[test]
fn the_package_installs_files_that_are_there_or_made_for_it() {
    let manifest: toml::Table = file("Cargo.toml").parse().expect("it is TOML");
    let package = &manifest["package"]["metadata"]["deb"];
    let script = file("scripts/package-deb");
    let assets = package["assets"].as_array().expect("it has assets");
    let mut targets = Vec::new();
    for asset in assets {
        let [source, target, _mode] = &asset.as_array().expect("source, target, mode")[..] else {
            panic!("{asset:?}")
        };
        let source = source.as_str().expect("a path");
        match source.strip_prefix("target/package/") {
            Some(made) => {
                assert!(script.contains(&format!("\"$build/{made}\"")), "scripts/package-deb makes no {made}")
            }
            None => {
                let found = glob::glob(path(source).to_str().expect("the path is text")).expect("a pattern");
                assert!(found.count() > 0, "{source} is not there");
            }
        }
        targets.push(target.as_str().expect("a path"));
    }
    for needed in ["usr/bin/", "etc/cvd-stream/", "usr/share/man/man1/"] {
        assert!(targets.contains(&needed), "{needed}");
    }
    assert_eq!(package["conf-files"][0].as_str(), Some("/etc/cvd-stream/cvd-stream.toml"));
    assert!(file(UNIT).contains("--config /etc/cvd-stream/cvd-stream.toml "));
    let units = package["systemd-units"]["unit-scripts"].as_str().expect("it names a directory");
    assert!(path(units).join("cvd-stream.service").is_file());
    assert!(path(package["maintainer-scripts"].as_str().expect("a path")).join("postrm").is_file());
    // An update must not wait for the first trade.
    for key in ["restart-after-upgrade", "stop-on-upgrade", "start"] {
        assert_eq!(package["systemd-units"][key].as_bool(), Some(false), "{key}");
    }
}
