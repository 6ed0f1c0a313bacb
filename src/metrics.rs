//! MonitoringMetrics: what a run has seen so far, as plain numbers.

/// The counters that records, logs and the library show. All count from the start of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MonitoringMetrics {
    /// Connections after the first one that reached the end of their handshake.
    pub reconnect_count: u64,
    /// Connections that were replaced while they still ran; no reconnects.
    pub hand_overs: u64,
    /// Frames the bounded queue had to evict because the processor was behind.
    pub queue_dropped: u64,
    /// Messages that arrived, of any kind; those that were dropped later included.
    pub total_messages: u64,
    /// Messages that could not be read, each for a named reason; damaged rows of a file included.
    pub parse_errors: u64,
    /// Trades that moved the numbers.
    pub applied_trades: u64,
    /// Trades that were read but refused by the calculator (quantity ≤ 0).
    pub bad_points: u64,
    /// Holes in the ids that were found.
    pub gaps: u64,
    /// Trades that came after their hole had been found: over REST, or late.
    pub repaired_trades: u64,
    /// Trades that were given up.
    pub missing_trades: u64,
    /// Trades whose id had been seen, or given up, before.
    pub duplicate_trades: u64,
    /// Trades that another connection had brought before: those of redundant lines and of hand-overs. They are no
    /// duplicates.
    pub copied_trades: u64,
    /// Duplicates whose content was different.
    pub conflicts: u64,
    /// Trades whose id no other id and no answer of REST confirmed: counted and left.
    pub implausible_trades: u64,
    /// Times the exchange began to number a symbol anew.
    pub resets: u64,
    /// Trades that wait behind a hole now.
    pub held_trades: u64,
    /// Requests to REST, of all kinds.
    pub rest_calls: u64,
    /// Requests to REST for missing trades.
    pub repair_calls: u64,
    /// REST weight used in this minute, as the exchange counts it.
    pub rest_used_weight: u64,
    /// Checkpoints that are durable.
    pub checkpoints: u64,
    /// Checkpoints that could not be kept.
    pub checkpoint_failures: u64,
    /// Inputs that are written to the recording.
    pub recorded_inputs: u64,
    /// Inputs that are not in it, because the disk was full or too slow.
    pub unrecorded_inputs: u64,
    /// Milliseconds since the state of the last durable checkpoint was taken; `None` before the first, and where none
    /// are kept.
    pub checkpoint_age_ms: Option<u64>,
    /// Trades of symbols nobody asked for: counted and left.
    pub unrequested_trades: u64,
    /// Acknowledgements and errors that answer our own control messages.
    pub control_messages: u64,
    /// Other events of the exchange (klines, tickers, …).
    pub other_messages: u64,
    /// Warnings that were not printed because there were more than 5 in a second.
    pub suppressed_warnings: u64,
    /// Log lines that were not printed because their reader was blocked.
    pub dropped_log_lines: u64,
}

impl MonitoringMetrics {
    /// `queue_dropped / total_messages`, 0 to 1; 0 before the first message.
    pub fn queue_dropped_rate(&self) -> f64 {
        if self.total_messages == 0 { 0.0 } else { self.queue_dropped as f64 / self.total_messages as f64 }
    }
}

/// A histogram of durations in whatever unit they are recorded in, negative ones included, over the whole range of
/// `i64`, with a relative error below 1 %: 64 steps per power of two, which is 29 KiB for each sign that occurs.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    negative: Vec<u64>,
    positive: Vec<u64>,
    count: u64,
}

const STEPS: u64 = 64;
/// One for the values below 64, and one for each power of two from 2^6 to 2^62.
const OCTAVES: usize = 58;
const BUCKETS: usize = STEPS as usize * OCTAVES;

impl Histogram {
    /// Counts `times` occurrences of one duration, in units of which [`Histogram::quantile`] answers.
    pub fn record(&mut self, value: i64, times: u64) {
        let side = if value < 0 { &mut self.negative } else { &mut self.positive };
        if side.is_empty() {
            side.resize(BUCKETS, 0);
        }
        side[bucket(value.unsigned_abs())] += times;
        self.count += times;
    }

    /// What was recorded and how often, from the least to the greatest.
    pub fn recorded(&self) -> impl Iterator<Item = (f64, u64)> {
        let falling = self.negative.iter().enumerate().rev().map(|(at, n)| (-middle(at), *n));
        let rising = self.positive.iter().enumerate().map(|(at, n)| (middle(at), *n));
        falling.chain(rising).filter(|(_, times)| *times > 0)
    }

    /// How many were recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The value that a share `q` (0 to 1) of all recorded values does not exceed; `None` when empty.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let rank = ((q * self.count as f64).ceil() as u64).clamp(1, self.count);
        let mut seen = 0;
        for (value, times) in self.recorded() {
            seen += times;
            if seen >= rank {
                return Some(value);
            }
        }
        None
    }

    /// Adds `by` to every value that was recorded. What the values had of error they keep.
    pub fn shift(&mut self, by: i64) {
        let old = std::mem::take(self);
        for (value, times) in old.recorded() {
            self.record((value as i64).saturating_add(by), times);
        }
    }

    /// Adds all of `other` and leaves it empty.
    pub fn absorb(&mut self, other: &mut Self) {
        let sides = [(&mut self.negative, &mut other.negative), (&mut self.positive, &mut other.positive)];
        for (into, from) in sides {
            if into.is_empty() {
                into.resize(from.len(), 0);
            }
            for (a, b) in into.iter_mut().zip(from.iter_mut()) {
                *a += std::mem::take(b);
            }
        }
        self.count += std::mem::take(&mut other.count);
    }
}

/// Values below 64 have a bucket each; above, 64 buckets per power of two. 2^63, the amount of `i64::MIN`, shares
/// the last one.
fn bucket(value: u64) -> usize {
    if value < STEPS {
        return value as usize;
    }
    let octave = value.ilog2() - STEPS.ilog2();
    let step = (value >> octave) - STEPS;
    (((u64::from(octave) + 1) * STEPS + step) as usize).min(BUCKETS - 1)
}

fn middle(bucket: usize) -> f64 {
    let (octave, step) = (bucket as u64 / STEPS, bucket as u64 % STEPS);
    match octave {
        0 => step as f64,
        _ => {
            let width = 1u64 << (octave - 1);
            ((STEPS + step) * width) as f64 + (width - 1) as f64 / 2.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_recorded_has_no_quantile() {
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn negative_values_come_before_positive_ones() {
        let mut histogram = Histogram::default();
        for value in [-500_000, -3, 0, 7, 900] {
            histogram.record(value, 1);
        }
        assert!((histogram.quantile(0.2).unwrap() + 500_000.0).abs() < 5_000.0);
        assert_eq!(histogram.quantile(0.4), Some(-3.0));
        assert_eq!(histogram.quantile(0.6), Some(0.0));
        assert_eq!(histogram.quantile(0.8), Some(7.0));
    }

    #[test]
    fn the_extremes_are_told_as_truly_as_everything_else() {
        for value in
            [i64::MAX, i64::MIN, i64::MAX / 2, 600_000_000_000, -86_400_000_000_000, 1 << 39, -(1 << 62)]
        {
            let mut histogram = Histogram::default();
            histogram.record(value, 1);
            let told = histogram.quantile(1.0).unwrap();
            assert!((told - value as f64).abs() <= (value as f64).abs() * 0.01, "{told} for {value}");
        }
    }

    proptest! {
        #[test]
        fn a_quantile_is_within_one_percent_of_the_sorted_truth(
            mut values in prop::collection::vec(prop_oneof![any::<i64>(), -5_000_000i64..5_000_000], 1..300),
            q in 0.0f64..=1.0,
        ) {
            let mut histogram = Histogram::default();
            for value in &values {
                histogram.record(*value, 1);
            }
            values.sort_unstable();
            let rank = ((q * values.len() as f64).ceil() as usize).clamp(1, values.len());
            let truth = values[rank - 1] as f64;
            let told = histogram.quantile(q).expect("values were recorded");
            prop_assert!((told - truth).abs() <= truth.abs() * 0.01, "{told} for {truth}");
        }

        #[test]
        fn a_shift_moves_every_value_and_adds_little_to_its_error(
            values in prop::collection::vec(-5_000_000i64..5_000_000, 1..100),
            by in -9_000_000i64..9_000_000,
            q in 0.0f64..=1.0,
        ) {
            let mut histogram = Histogram::default();
            values.iter().for_each(|value| histogram.record(*value, 1));
            let expected = histogram.quantile(q).expect("values were recorded") + by as f64;
            histogram.shift(by);
            let told = histogram.quantile(q).expect("no value was lost");
            prop_assert_eq!(histogram.count(), values.len() as u64);
            prop_assert!((told - expected).abs() <= expected.abs() * 0.01 + 1.0, "{told} for {expected}");
        }

        #[test]
        fn absorbing_is_the_same_as_recording_in_one(
            first in prop::collection::vec(-9_999i64..9_999, 0..50),
            second in prop::collection::vec(-9_999i64..9_999, 1..50),
        ) {
            let (mut a, mut b, mut all) = (Histogram::default(), Histogram::default(), Histogram::default());
            first.iter().for_each(|v| { a.record(*v, 1); all.record(*v, 1); });
            second.iter().for_each(|v| { b.record(*v, 1); all.record(*v, 1); });
            a.absorb(&mut b);
            prop_assert_eq!(b.count(), 0);
            for q in [0.0, 0.25, 0.5, 0.95, 1.0] {
                prop_assert_eq!(a.quantile(q), all.quantile(q));
            }
        }
    }
}
