//! How many there are to look after, and how much may be asked for that.

use std::time::Duration;

use super::WITNESSES;

/// How many lanes share a weight, and what follows for looking at them: few are all looked after, as closely as the
/// exchange allows; of many, those on which most depends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowd {
    pub(super) is_many: bool,
    /// So many lanes of a silent shard, or all if there are fewer, have to be where REST is before its silence is the
    /// market's; at least one.
    pub(super) witnesses: usize,
}

impl Default for Crowd {
    fn default() -> Self {
        Self { is_many: false, witnesses: WITNESSES }
    }
}

impl Crowd {
    /// So many lanes, of which so many shards are silent, where the newest trade may be asked for so often a minute,
    /// and a session without data ends after `heartbeat`. The witnesses of all silent shards together are as many as
    /// can be asked in half that time.
    pub fn new(lanes: usize, silent_shards: usize, looks_per_minute: u64, heartbeat: Duration) -> Self {
        let half_heartbeats = u128::from(looks_per_minute) * (heartbeat / 2).as_millis() / 60_000;
        let each = half_heartbeats / silent_shards.max(1) as u128;
        let witnesses = usize::try_from(each).unwrap_or(WITNESSES).clamp(1, WITNESSES);
        Self { is_many: lanes > WITNESSES, witnesses }
    }

    /// Whether there are more lanes than can all be looked after closely.
    pub const fn is_many(&self) -> bool {
        self.is_many
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_silent_shards_together_have_as_many_witnesses_as_can_be_asked_in_time() {
        let minute = Duration::from_secs(60);
        for (lanes, silent, looks, heartbeat, witnesses, is_many) in [
            (1, 1, 18, minute, 8, false),
            (8, 1, 18, minute, 8, false),
            (600, 0, 18, minute, 8, true),
            (600, 1, 18, minute, 8, true),
            (600, 3, 18, minute, 3, true),
            (4_000, 20, 18, minute, 1, true),
            (600, 1, 18, minute / 6, 1, true),
            (4_000, 20, 225, minute, 5, true),
        ] {
            let crowd = Crowd::new(lanes, silent, looks, heartbeat);
            assert_eq!((crowd.witnesses, crowd.is_many), (witnesses, is_many), "{lanes} {silent} {looks}");
        }
    }
}
