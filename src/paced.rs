//! A source that releases its inputs no faster than they once came.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::source::{Burst, Input, Note, Rows, Source, SourceError};
use crate::trade::AggTrade;

/// A step back in time further than this is a new beginning, such as the next symbol's; a smaller one is disorder.
const NEW_BEGINNING_MS: i64 = 10_000;

/// Releases the inputs of a source at a multiple of their own pace: a row when its trade happened, a frame when it was
/// received, every other input that has a stamp at that stamp. What has neither comes with what is before it.
///
/// The inputs and their order are those of the source; only blocks of rows are cut where their time has come. So the
/// numbers and the records are the same at any speed.
#[derive(Debug)]
pub struct Paced<S> {
    source: S,
    /// Seconds of theirs in one of ours; infinite for no waiting at all.
    speed: f64,
    waiting: Burst,
    pace: Option<Pace>,
    /// What came before this, in milliseconds since 1970, comes at once.
    from_ms: i64,
    has_ended: bool,
}

/// A moment of the inputs' and when it is here.
#[derive(Debug, Clone, Copy)]
struct Pace {
    theirs_ms: i64,
    ours: Instant,
    newest_ms: i64,
}

impl<S: Source> Paced<S> {
    /// `speed` times as fast as it happened; the first input comes at once.
    pub fn new(source: S, speed: f64) -> Self {
        Self { source, speed, waiting: Burst::default(), pace: None, from_ms: i64::MIN, has_ended: false }
    }

    /// Releases what came before a time, in nanoseconds since 1970, at once: nobody looks at it.
    #[must_use]
    pub fn from(mut self, wall_ns: Option<i64>) -> Self {
        self.from_ms = wall_ns.map_or(i64::MIN, |wall_ns| wall_ns.div_euclid(1_000_000));
        self
    }

    /// When an input of this time is due, looked at now.
    fn due(&mut self, at_ms: i64, now: Instant) -> Instant {
        if at_ms < self.from_ms {
            return now;
        }
        let pace = self.pace.get_or_insert(Pace { theirs_ms: at_ms, ours: now, newest_ms: at_ms });
        if pace.newest_ms.saturating_sub(at_ms) > NEW_BEGINNING_MS {
            *pace = Pace { theirs_ms: at_ms, ours: now, newest_ms: at_ms };
        }
        pace.newest_ms = pace.newest_ms.max(at_ms);
        let since_ms = u64::try_from(at_ms.saturating_sub(pace.theirs_ms)).unwrap_or(0);
        let wait = (since_ms as f64 / 1e3 / self.speed).min(NEVER.as_secs_f64());
        pace.ours + Duration::try_from_secs_f64(wait).unwrap_or(NEVER)
    }

    /// Moves what is due now; tells when the first input that is not will be.
    fn release(&mut self, inputs: &mut VecDeque<Input>) -> Option<Instant> {
        let now = Instant::now();
        while let Some(mut input) = self.waiting.inputs.pop_front() {
            if let Input::Rows(rows) = &mut input {
                let not_yet = rows.trades.iter().position(|trade| self.due(trade.traded_at.0, now) > now);
                let Some(count) = not_yet else {
                    inputs.push_back(input);
                    continue;
                };
                let due = self.due(rows.trades[count].traded_at.0, now);
                if count > 0 {
                    let rest: Vec<AggTrade> = rows.trades.split_off(count);
                    let rest = Rows { market: rows.market, symbol: rows.symbol.clone(), trades: rest };
                    inputs.push_back(input);
                    input = Input::Rows(rest);
                }
                self.waiting.inputs.push_front(input);
                return Some(due);
            }
            if matches!(input, Input::Begin(_)) {
                // Nobody waits for what lies between two recordings.
                self.pace = None;
            }
            if let Some(at_ms) = moment_of(&input) {
                let due = self.due(at_ms, now);
                if due > now {
                    self.waiting.inputs.push_front(input);
                    return Some(due);
                }
            }
            inputs.push_back(input);
        }
        None
    }
}

/// Longer than anybody waits, and no clock ends before it.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// When an input came, in milliseconds since 1970; `None` if it does not say.
fn moment_of(input: &Input) -> Option<i64> {
    let stamp = match input {
        Input::Frame(frame) => frame.received?,
        Input::Reply(reply) => reply.at,
        Input::Tick(at) | Input::Note(Note::Second(at)) => *at,
        Input::Begin(beginning) => beginning.at,
        _ => return None,
    };
    Some(stamp.wall_ms())
}

impl<S: Source> Source for Paced<S> {
    async fn next(&mut self, burst: &mut Burst) -> Result<bool, SourceError> {
        burst.inputs.clear();
        burst.evicted.clear();
        loop {
            if self.waiting.inputs.is_empty() {
                if self.has_ended {
                    return Ok(false);
                }
                // A dropped future takes nothing with it: what has been read is kept here.
                if !self.source.next(&mut self.waiting).await? {
                    self.has_ended = true;
                    self.waiting.inputs.clear();
                    return Ok(false);
                }
                burst.evicted.append(&mut self.waiting.evicted);
            }
            let due = self.release(&mut burst.inputs);
            match due {
                _ if !burst.inputs.is_empty() => return Ok(true),
                Some(due) => sleep_until(due).await,
                None => {}
            }
        }
    }
}

#[cfg(test)]
#[cfg(feature = "replay")]
mod tests {
    use super::*;
    use crate::replay::sort::samples::trade;
    use crate::snapshot::{Market, Stamp};
    use crate::source::Beginning;
    use crate::units::Symbol;

    struct Given(VecDeque<Vec<Input>>);

    impl Source for Given {
        async fn next(&mut self, burst: &mut Burst) -> Result<bool, SourceError> {
            let next = self.0.pop_front();
            burst.inputs = next.unwrap_or_default().into();
            Ok(!burst.inputs.is_empty())
        }
    }

    fn rows(times: &[i64]) -> Input {
        let trades = times.iter().zip(1..).map(|(at, id)| trade(id, *at)).collect();
        Input::Rows(Rows { market: Market::UsdM, symbol: Symbol::new("BTCUSDT").unwrap(), trades })
    }

    fn tick(at_ms: i64) -> Input {
        Input::Tick(Stamp { wall_ns: at_ms * 1_000_000, mono_ns: 0 })
    }

    /// When each input came, in milliseconds, by its own time.
    async fn released(bursts: Vec<Vec<Input>>, speed: f64) -> Vec<(u64, Vec<i64>)> {
        let begun = Instant::now();
        let mut paced = Paced::new(Given(bursts.into()), speed);
        let mut burst = Burst::default();
        let mut released = Vec::new();
        while paced.next(&mut burst).await.unwrap() {
            let after_ms = begun.elapsed().as_millis() as u64;
            let times = burst.inputs.iter().flat_map(|input| match input {
                Input::Rows(rows) => rows.trades.iter().map(|trade| trade.traded_at.0).collect(),
                other => vec![moment_of(other).unwrap_or(-1)],
            });
            released.push((after_ms, times.collect()));
        }
        released
    }

    #[tokio::test(start_paused = true)]
    async fn every_input_comes_when_its_time_has_come() {
        let bursts = vec![
            vec![rows(&[1_000_000, 1_000_000, 1_000_100]), rows(&[1_000_400])],
            vec![tick(1_001_000), rows(&[1_001_000])],
        ];
        let at_once = [(0, vec![1_000_000, 1_000_000])];
        let expected = |times: [u64; 3]| {
            let rest = [vec![1_000_100], vec![1_000_400], vec![1_001_000, 1_001_000]];
            at_once.iter().cloned().chain(times.into_iter().zip(rest)).collect::<Vec<_>>()
        };
        assert_eq!(released(bursts.clone(), 1.0).await, expected([100, 400, 1000]));
        assert_eq!(released(bursts.clone(), 10.0).await, expected([10, 40, 100]));
        assert_eq!(released(bursts, 0.5).await, expected([200, 800, 2000]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_great_step_back_begins_anew_and_a_small_one_is_not_waited_for() {
        let times = [5_000_000, 4_999_000, 5_000_200, 1_000_000, 1_000_300];
        let bursts = times.map(|at| vec![rows(&[at])]).to_vec();
        let when: Vec<_> = released(bursts, 1.0).await.into_iter().map(|(after, _)| after).collect();
        assert_eq!(when, [0, 0, 200, 200, 500]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_before_the_beginning_that_is_wanted_is_not_waited_for() {
        let bursts = [1_000, 900_000, 2_000_000, 2_000_300].map(|at| vec![tick(at)]).to_vec();
        let mut paced = Paced::new(Given(bursts.into()), 1.0).from(Some(2_000_000 * 1_000_000));
        let (begun, mut burst, mut when) = (Instant::now(), Burst::default(), Vec::new());
        while paced.next(&mut burst).await.unwrap() {
            when.extend(burst.inputs.iter().map(|_| begun.elapsed().as_millis()));
        }
        assert_eq!(when, [0, 0, 0, 300]);
    }

    fn begin(at_ms: i64) -> Input {
        let at = Stamp { wall_ns: at_ms * 1_000_000, mono_ns: 0 };
        let (settings, state) = (String::new(), String::new());
        Input::Begin(Box::new(Beginning { run: at_ms.to_string(), at, settings, state }))
    }

    /// Under a clock that goes on between two looks at it, too.
    #[tokio::test]
    async fn what_is_not_waited_for_comes_at_once() {
        let bursts = vec![vec![begin(1_000), tick(1_200)], vec![begin(99_000_000), tick(99_500_000)]];
        let mut paced = Paced::new(Given(bursts.into()), 1e-3).from(Some(99_000_000 * 1_000_000));
        let mut burst = Burst::default();
        let mut count = 0;
        while count < 3 {
            let next = tokio::time::timeout(Duration::from_secs(60), paced.next(&mut burst)).await;
            assert!(next.expect("nothing is waited for").unwrap());
            count += burst.inputs.len();
        }
        assert_eq!(count, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_the_next_recording() {
        let bursts = vec![vec![begin(1_000), tick(1_200)], vec![begin(99_000_000), tick(99_000_100)]];
        let when: Vec<_> = released(bursts, 1.0).await.into_iter().map(|(after, _)| after).collect();
        assert_eq!(when, [0, 200, 200, 300]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_dropped_loses_nothing() {
        let mut paced = Paced::new(Given(vec![vec![rows(&[0, 60_000])]].into()), 1.0);
        let mut burst = Burst::default();
        assert!(paced.next(&mut burst).await.unwrap());
        let dropped = tokio::time::timeout(Duration::from_secs(1), paced.next(&mut burst)).await;
        assert!(dropped.is_err());
        assert!(paced.next(&mut burst).await.unwrap());
        assert_eq!(burst.inputs.len(), 1);
        assert!(!paced.next(&mut burst).await.unwrap());
    }
}
