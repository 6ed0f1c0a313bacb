use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::path;
use super::tools::tool;

/// A script of ours that is written in Python, 3.11 or newer.
fn script(name: &str, arguments: &[&str]) -> Option<Command> {
    let recent = |version: &str| {
        let minor = version.trim().strip_prefix("Python 3.").and_then(|rest| rest.split('.').next());
        minor.and_then(|minor| minor.parse::<u32>().ok()).is_some_and(|minor| minor >= 11)
    };
    let mut python = tool("python3", recent)?;
    python
        .arg(path(name))
        .args(arguments)
        .env("CARGO", env!("CARGO"))
        .env_remove("SOURCE_DATE_EPOCH")
        .stdin(Stdio::null());
    Some(python)
}

fn printed(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it is text")
}

#[test]
fn every_dependency_has_a_licence_that_is_allowed() {
    let Some(mut check) = script("scripts/check-licenses", &[]) else { return };
    let said = printed(&mut check);
    assert!(said.ends_with("packages have licences and sources that deny.toml allows\n"), "{said}");
}

#[test]
fn the_bill_of_materials_lists_everything_that_is_built_in() {
    let Some(mut sbom) = script("scripts/sbom", &[]) else { return };
    let text = printed(&mut sbom);
    let bill: Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    assert_eq!(bill["metadata"]["component"]["name"], "cvd-stream");
    assert!(bill["metadata"]["timestamp"].is_null(), "the same commit gives the same bytes");

    let components = bill["components"].as_array().expect("it lists components");
    let listed: BTreeSet<String> = components
        .iter()
        .map(|entry| {
            let (name, version) = (entry["name"].as_str().unwrap(), entry["version"].as_str().unwrap());
            assert_eq!(entry["purl"], format!("pkg:cargo/{name}@{}", version.replace('+', "%2B")));
            assert_eq!(
                entry["hashes"][0]["content"].as_str().map(str::len),
                Some(64),
                "{name} has no checksum"
            );
            assert!(entry["licenses"][0]["expression"].is_string(), "{name} has no licence");
            assert!(["required", "excluded"].map(Value::from).contains(&entry["scope"]), "{name}");
            format!("{name} v{version}")
        })
        .collect();
    assert_eq!(listed.len(), components.len(), "each once");

    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .current_dir(path(""));
    let tree = printed(&mut tree);
    let needed: BTreeSet<String> =
        tree.lines().skip(1).map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    assert!(needed.len() > 100);
    let forgotten: Vec<&String> = needed.iter().filter(|package| !listed.contains(*package)).collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");

    // Every arrow of the graph leads to a component, and only the command itself is nobody's need.
    let refs: BTreeSet<&str> = components.iter().filter_map(|entry| entry["bom-ref"].as_str()).collect();
    let graph = bill["dependencies"].as_array().expect("it has a graph");
    assert_eq!(graph.len(), components.len() + 1);
    let led_to: BTreeSet<&str> = graph
        .iter()
        .flat_map(|node| node["dependsOn"].as_array().unwrap())
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(led_to, refs);

    let again = printed(&mut script("scripts/sbom", &[]).expect("it was there before"));
    assert_eq!(text, again);
}
