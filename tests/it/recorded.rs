use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder, or `None` with a word on standard error; a panic where its absence would hide a failure. Without
/// the variable a folder `shared` beside the project is taken.
pub(crate) fn shared() -> Option<PathBuf> {
    let named = std::env::var_os("CVD_STREAM_SHARED").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"));
    if folder.is_dir() {
        return Some(folder);
    }
    let required = std::env::var_os("CVD_STREAM_SHARED_REQUIRED").is_some_and(|value| value == "1");
    assert!(!required, "CVD_STREAM_SHARED names no folder, but CVD_STREAM_SHARED_REQUIRED is 1");
    // Past the capturing of what tests print: a skipped proof should be seen.
    writeln!(std::io::stderr(), "skipped: no recorded market data (CVD_STREAM_SHARED is not set)").ok();
    None
}
