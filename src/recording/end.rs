//! The last line of a segment: why it ends, and after how many inputs. A segment without one was cut by a crash.

use super::json;

/// Why a segment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The next segment goes on where it ends.
    Rotated,
    /// The run was over.
    Stopped,
    /// The disk was full. Nothing is recorded until the next segment.
    DiskFull,
    /// The disk did not keep up. Nothing is recorded until the next segment.
    TooSlow,
    /// The disk failed otherwise. Nothing is recorded until the next segment.
    Failed,
}

/// The last line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Why.
    pub ending: Ending,
    /// How many inputs the segment has.
    pub inputs: u64,
    /// What the system said, where something failed.
    pub reason: Option<String>,
}

impl Ending {
    const ALL: [Self; 5] = [Self::Rotated, Self::Stopped, Self::DiskFull, Self::TooSlow, Self::Failed];

    /// `rotated`, `stopped`, `disk_full`, `too_slow` or `failed`: the name in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rotated => "rotated",
            Self::Stopped => "stopped",
            Self::DiskFull => "disk_full",
            Self::TooSlow => "too_slow",
            Self::Failed => "failed",
        }
    }

    /// Whether it ends because it was meant to.
    pub const fn is_clean(self) -> bool {
        matches!(self, Self::Rotated | Self::Stopped)
    }

    /// The ending of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ending| ending.as_str() == name)
    }
}

/// What the line begins with.
const BEGINNING: &str = "{\"end\":";

impl End {
    /// Appends the line.
    pub fn write(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(BEGINNING.as_bytes());
        json::string(into, self.ending.as_str());
        into.extend_from_slice(b",\"inputs\":");
        into.extend_from_slice(itoa::Buffer::new().format(self.inputs).as_bytes());
        into.extend_from_slice(b",\"reason\":");
        match &self.reason {
            Some(reason) => json::string(into, reason),
            None => into.extend_from_slice(b"null"),
        }
        into.extend_from_slice(b"}\n");
    }

    /// Reads the line, without its line end; `None` if it is another one.
    pub fn read(line: &str) -> Option<Self> {
        if !line.starts_with(BEGINNING) {
            return None;
        }
        let members = json::members(line)?;
        let value = |name| members.get(name).copied();
        let ending = Ending::named(&serde_json::from_str::<String>(value("end")?).ok()?)?;
        let inputs = value("inputs")?.parse().ok()?;
        let reason = serde_json::from_str(value("reason").unwrap_or("null")).ok()?;
        Some(Self { ending, inputs, reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_says_why_and_after_how_many() {
        for ending in Ending::ALL {
            for reason in [None, Some("no \"room\"\n".to_owned())] {
                let end = End { ending, inputs: u64::MAX, reason };
                let mut text = Vec::new();
                end.write(&mut text);
                let text = String::from_utf8(text).unwrap();
                assert_eq!(End::read(text.strip_suffix('\n').unwrap()), Some(end));
            }
        }
        for other in
            [r#"{"in":"tick"}"#, r#"{"end":"later","inputs":1}"#, r#"{"end":"rotated","inputs":-1}"#, "{"]
        {
            assert_eq!(End::read(other), None, "{other}");
        }
    }
}
