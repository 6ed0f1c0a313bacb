//! What is said about an outage of many symbols.

use std::fmt;
use std::time::Duration;

use super::{Events, in_seconds};

impl Events {
    /// Connections opened whose many symbols may have missed trades.
    pub fn many_may_miss(&self, lanes: usize, cost: u64, ceiling: u64, about: Duration) {
        tracing::info!(
            event = "many_may_miss",
            symbols = lanes,
            weight_each = cost,
            ceiling_weight = ceiling,
            about_s = in_seconds(about),
            "{lanes} symbols may have missed trades: {lanes} symbols at {cost} weight are about {} at {ceiling} weight a \
             minute, the most liquid first",
            About(about)
        );
    }

    /// Many symbols were cut off, and so many of them are not whole yet.
    pub fn many_missing(&self, cut_off: usize, left: usize, ceiling: u64, about: Duration) {
        let whole = cut_off.saturating_sub(left);
        tracing::info!(
            event = "many_missing",
            symbols = cut_off,
            whole,
            left,
            ceiling_weight = ceiling,
            about_s = in_seconds(about),
            "{cut_off} symbols were cut off: {whole} whole again, {left} left, about {} at {ceiling} weight a minute",
            About(about)
        );
    }

    /// None of them waits any more.
    pub fn many_whole(&self, lanes: usize, given_up: usize, took: Duration, weight: u64) {
        let (took_s, took, whole) = (in_seconds(took), About(took), lanes.saturating_sub(given_up));
        match given_up {
            0 => tracing::info!(
                event = "many_whole",
                symbols = lanes,
                given_up,
                took_s,
                weight,
                "all {lanes} symbols that were cut off are whole again after {took}, for {weight} weight"
            ),
            _ => tracing::warn!(
                event = "many_whole",
                symbols = lanes,
                given_up,
                took_s,
                weight,
                "of {lanes} symbols that were cut off {whole} are whole again after {took}, for {weight} weight; \
                 {given_up} have trades missing for good: the lines GAP … unrepaired name them"
            ),
        }
    }
}

/// A time that nobody needs to the second: `40 s`, `7 minutes`.
struct About(Duration);

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            seconds @ ..=99 => write!(f, "{} s", seconds.max(1)),
            seconds => write!(f, "{} minutes", (seconds + 30) / 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_as_roughly_as_it_is_known() {
        let told =
            [0, 40, 99, 100, 400, 3_600].map(|seconds| About(Duration::from_secs(seconds)).to_string());
        assert_eq!(told, ["1 s", "40 s", "99 s", "2 minutes", "7 minutes", "60 minutes"]);
    }
}
