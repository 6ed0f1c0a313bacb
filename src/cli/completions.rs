//! What a shell reads to complete the command line.

use clap_complete::{Shell, generate};

use super::command;

/// The script of a shell, from the same table as the command line itself.
pub fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    generate(shell, &mut command(), "cvd-stream", &mut script);
    let script = String::from_utf8_lossy(&script);
    match shell {
        // The generator spells a hyphen of the command in two ways, so that nothing would be completed after a
        // subcommand (clap-rs/clap#6421).
        Shell::Bash => script.replace("cvd__subcmd__stream", "cvd__stream"),
        _ => script.into_owned(),
    }
}
