//! Which segments have to go. Pure.

use std::time::Duration;

use super::manifest::SegmentEntry;

/// How long and how much is kept. The segment that is being written is never deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Retention {
    /// Segments whose last input is older go.
    pub(super) keep: Option<Duration>,
    /// While all files together have more bytes, the oldest goes.
    pub(super) limit: Option<u64>,
}

impl Retention {
    /// How many of the segments, which are in order of time, have to go at `now`, beside a file of so many bytes that is
    /// being written.
    pub(super) fn overdue(&self, segments: &[SegmentEntry], writing: u64, now_wall_ns: i64) -> Vec<usize> {
        let mut left: u64 = segments.iter().map(|segment| segment.bytes).sum::<u64>().saturating_add(writing);
        let oldest_ns = self
            .keep
            .map(|keep| now_wall_ns.saturating_sub(i64::try_from(keep.as_nanos()).unwrap_or(i64::MAX)));
        let mut overdue = Vec::new();
        for (at, segment) in segments.iter().enumerate() {
            let is_old = oldest_ns.is_some_and(|oldest_ns| segment.ended_wall_ns < oldest_ns);
            let is_too_much = self.limit.is_some_and(|limit| left > limit);
            if is_old || is_too_much {
                left -= segment.bytes;
                overdue.push(at);
            }
        }
        overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(ended_s: i64, bytes: u64) -> SegmentEntry {
        SegmentEntry {
            file: format!("{ended_s}"),
            run: "r".into(),
            segment: 0,
            first_input: 0,
            inputs: 1,
            begun_wall_ns: 0,
            ended_wall_ns: ended_s * 1_000_000_000,
            bytes,
            end: "rotated".into(),
        }
    }

    #[test]
    fn what_is_too_old_or_too_much_goes_the_oldest_first() {
        let segments = [segment(10, 5), segment(20, 5), segment(30, 5)];
        let overdue = |keep: Option<u64>, limit, writing| {
            let retention = Retention { keep: keep.map(Duration::from_secs), limit };
            retention.overdue(&segments, writing, 40_000_000_000)
        };
        assert_eq!(overdue(None, None, u64::MAX), [0; 0]);
        assert_eq!(overdue(Some(20), None, 0), [0], "what ended right at the bound stays");
        assert_eq!(overdue(Some(5), None, 0), [0, 1, 2]);
        assert_eq!(overdue(None, Some(15), 0), [0; 0]);
        assert_eq!(overdue(None, Some(15), 1), [0]);
        assert_eq!(overdue(None, Some(15), 100), [0, 1, 2]);
        assert_eq!(overdue(Some(25), Some(10), 5), [0, 1]);
        assert_eq!(overdue(Some(u64::MAX), None, 0), [0; 0]);
    }
}
