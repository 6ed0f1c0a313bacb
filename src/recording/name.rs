//! The names of segments: in the order of time when sorted.

use std::time::{Duration, UNIX_EPOCH};

use crate::report::rfc3339;
use crate::snapshot::Stamp;

/// How the name of a segment ends.
pub const SUFFIX: &str = ".jsonl.zst";
/// How it goes on while it is being written.
pub const PART: &str = ".part";

/// `20261121T130000Z-4f0c12ab-00017.jsonl.zst`: when it began (UTC), the run, the number within the run.
pub(super) fn of(begun: Stamp, run: &str, segment: u64) -> String {
    let since = Duration::from_nanos(u64::try_from(begun.wall_ns).unwrap_or(0));
    let at: String = rfc3339(UNIX_EPOCH + since).chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let seconds = at.split('.').next().unwrap_or_default();
    format!("{seconds}Z-{run}-{segment:05}{SUFFIX}")
}

/// Whether a file of that name is a segment: a whole one, or with `.part` one that is or was being written.
pub(super) fn is_segment(name: &str) -> bool {
    name.strip_suffix(PART).unwrap_or(name).ends_with(SUFFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_when_who_and_which() {
        let begun = Stamp { wall_ns: 1_795_266_000_123_456_789, mono_ns: 5 };
        let name = of(begun, "4f0c12ab", 17);
        assert_eq!(name, "20261121T130000Z-4f0c12ab-00017.jsonl.zst");
        assert!(is_segment(&name) && is_segment(&format!("{name}.part")));
        assert!(!is_segment("manifest.json") && !is_segment("lock") && !is_segment("x.jsonl.zst.tmp"));
        assert!(of(Stamp { wall_ns: -1, mono_ns: 0 }, "r", 0).starts_with("19700101T000000Z-r-00000"));
        assert!(
            of(begun, "r", 99_999) < of(Stamp { wall_ns: begun.wall_ns + 1_000_000_000, mono_ns: 0 }, "a", 0)
        );
    }
}
