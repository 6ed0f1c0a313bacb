//! Which of several connections something is about, where that is worth telling.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{LineId, ShardId};

/// A connection among several: nothing with one shard and one line, `line 2` with several lines of one shard, `shard 2` or
/// `shard 2, line 1` with several shards. People count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// Which of several shards.
    pub shard: Option<ShardId>,
    /// Which of the several lines of its shard, from 0.
    pub copy: Option<u8>,
}

impl Place {
    /// Whether there is only this one.
    pub const fn is_the_only_one(&self) -> bool {
        self.shard.is_none() && self.copy.is_none()
    }

    /// Shard and line, from 1 as people count; `None` of what there is only one of.
    pub fn numbers(&self) -> (Option<u32>, Option<u32>) {
        (self.shard.map(|ShardId(shard)| u32::from(shard) + 1), self.copy.map(|copy| u32::from(copy) + 1))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(ShardId(shard)) = self.shard {
            write!(f, "shard {}", u32::from(shard) + 1)?;
        }
        if self.shard.is_some() && self.copy.is_some() {
            f.write_str(", ")?;
        }
        if let Some(copy) = self.copy {
            write!(f, "line {}", u32::from(copy) + 1)?;
        }
        Ok(())
    }
}

/// A line, and what decides whether it has to be told from others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Badge<'a> {
    pub(crate) line: LineId,
    pub(crate) is_redundant: bool,
    /// Whether there are several shards now.
    pub(crate) among_shards: &'a AtomicBool,
}

impl Badge<'_> {
    pub(crate) fn place(&self) -> Place {
        Place {
            shard: self.among_shards.load(Ordering::Relaxed).then(|| self.line.shard()),
            copy: self.is_redundant.then(|| self.line.copy()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_is_told_as_is_needed_to_know_which() {
        let line = LineId::of(ShardId(1), 2);
        let told = |among_shards, is_redundant| {
            let badge = Badge { line, is_redundant, among_shards: &AtomicBool::new(among_shards) };
            badge.place().to_string()
        };
        assert_eq!(told(false, false), "");
        assert_eq!(told(false, true), "line 3");
        assert_eq!(told(true, false), "shard 2");
        assert_eq!(told(true, true), "shard 2, line 3");
    }
}
