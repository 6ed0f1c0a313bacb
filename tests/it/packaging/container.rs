//! No container engine is needed: the file is read as one would read it.

use std::path::Path;

use super::{file, knows_the_options_of, path};

/// An instruction and what follows it, continued lines joined, comments left out.
struct Instruction {
    name: String,
    rest: String,
}

/// The stages of a Containerfile; the first list is what precedes them.
fn stages(text: &str) -> Vec<Vec<Instruction>> {
    let mut stages = vec![Vec::new()];
    let mut pending = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(begun) = line.strip_suffix('\\') {
            pending.push_str(begun);
            continue;
        }
        pending.push_str(line);
        let (name, rest) = pending.split_once(' ').expect("an instruction says something");
        if name == "FROM" {
            stages.push(Vec::new());
        }
        let instruction = Instruction { name: name.to_owned(), rest: rest.trim().to_owned() };
        stages.last_mut().expect("there is one").push(instruction);
        pending.clear();
    }
    assert!(pending.is_empty(), "the last line goes on");
    stages
}

/// What an instruction that comes once says.
fn only<'a>(stage: &'a [Instruction], name: &str) -> &'a str {
    let found: Vec<&Instruction> = stage.iter().filter(|instruction| instruction.name == name).collect();
    assert_eq!(found.len(), 1, "{name}");
    &found[0].rest
}

#[test]
fn the_image_holds_the_binary_the_licences_and_an_empty_directory() {
    let text = file("packaging/container/Containerfile");
    let stages = stages(&text);
    let [_, build, last] = &stages[..] else { panic!("two stages") };
    assert!(only(build, "FROM").ends_with(" AS build"));
    assert!(
        build.iter().any(|step| step.name == "RUN" && step.rest.contains("cargo build --release --locked "))
    );
    assert_eq!(only(last, "FROM"), "scratch");
    let copied: Vec<&str> =
        last.iter().filter(|step| step.name == "COPY").map(|step| step.rest.as_str()).collect();
    assert_eq!(
        copied,
        [
            "--from=build /build/target/release/cvd-stream /cvd-stream",
            "--from=build /build/LICENSE-APACHE /build/LICENSE-MIT /licenses/",
            "--from=build --chown=65532:65532 /state /var/lib/cvd-stream",
        ]
    );
    let known = [
        "FROM",
        "LABEL",
        "COPY",
        "ENV",
        "WORKDIR",
        "VOLUME",
        "EXPOSE",
        "USER",
        "STOPSIGNAL",
        "HEALTHCHECK",
        "ENTRYPOINT",
    ];
    for step in last {
        assert!(known.contains(&step.name.as_str()), "an image without a shell cannot {}", step.name);
    }
}

#[test]
fn the_image_runs_as_nobody_tells_its_health_and_ends_in_order() {
    let text = file("packaging/container/Containerfile");
    let stages = stages(&text);
    let last = stages.last().expect("there is a stage");
    // A number, since nothing in the image knows names.
    for number in only(last, "USER").split(':') {
        assert_eq!(number.parse(), Ok(65_532));
    }
    let exec =
        |text: &str| -> Vec<String> { serde_json::from_str(text).expect("the exec form: there is no shell") };
    assert_eq!(exec(only(last, "ENTRYPOINT")), ["/cvd-stream"]);
    let (options, command) = only(last, "HEALTHCHECK").split_once("CMD ").expect("it has a command");
    assert_eq!(exec(command), ["/cvd-stream", "health"]);
    for option in ["--interval=", "--timeout=", "--start-period=", "--retries="] {
        assert!(options.contains(option), "{option}");
    }
    assert_eq!((only(last, "STOPSIGNAL"), only(last, "EXPOSE")), ("SIGTERM", "9464"));
    // What it keeps is in the volume, and the volume is its own.
    let state = only(last, "VOLUME");
    assert_eq!(only(last, "WORKDIR"), state);
    assert!(only(last, "ENV").contains(&format!("CVD_STREAM_STATE_DIR={state}")));
    assert!(only(last, "ENV").contains("CVD_STREAM_HTTP=127.0.0.1:9464"), "from outside only with a token");
}

#[test]
fn the_image_names_options_that_exist() {
    knows_the_options_of(&file("packaging/container/Containerfile"));
}

#[test]
fn what_the_image_is_built_from_is_all_that_is_sent() {
    let ignored = file(".containerignore");
    assert_eq!(ignored, file(".dockerignore"), "both engines see the same");
    let lines: Vec<&str> = ignored.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines[0], "*", "nothing but what is named");
    let manifest: toml::Table = file("Cargo.toml").parse().expect("it is TOML");
    assert!(
        manifest.contains_key("bench") && manifest.contains_key("example") && manifest.contains_key("test")
    );
    for needed in
        ["Cargo.toml", "Cargo.lock", "README.md", "LICENSE-*", "src", "benches", "examples", "tests"]
    {
        assert!(lines.contains(&format!("!{needed}").as_str()), "cargo needs {needed}");
    }
    // What the sources take in from elsewhere is compiled with them; tests are not compiled there.
    let taken_in = included(&path("src"));
    assert!(taken_in.contains(&"docs/openapi.json".to_owned()), "{taken_in:?}");
    for needed in taken_in {
        assert!(lines.contains(&format!("!{needed}").as_str()), "the sources need {needed}");
    }
}

/// The files outside of the sources that these sources hold, but for their tests.
fn included(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("the sources are here") {
        let path = entry.expect("the sources are here").path();
        if path.is_dir() {
            found.extend(included(&path));
        } else if !path.ends_with("tests.rs") {
            let source = std::fs::read_to_string(&path).expect("sources are text");
            let names = source.split("include_str!(\"").skip(1).filter_map(|rest| rest.split('"').next());
            found.extend(names.map(|name| name.trim_start_matches("../").to_owned()));
        }
    }
    found
}
