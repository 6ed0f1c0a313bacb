//! What is said about clocks: trades that seem to come from the future, and time that jumps.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Events, in_seconds};
use crate::clock::{ClockOffset, Jump};

/// Latencies below zero are explained once, and better if one waits a little for what the clocks differ by.
#[derive(Debug, Default)]
pub(super) struct ClockDoubt {
    /// There was one: everything else is no longer for every trade.
    is_raised: AtomicBool,
    /// The one that is to be explained, and the ticks that have passed since.
    waiting: Mutex<Option<(i64, u32)>>,
}

/// The exchange's time is asked for at the start; after so many seconds it may never come.
const PATIENCE: u32 = 4;

impl Events {
    /// A trade that seems to come from the future, in nanoseconds; explained once, at the latest a few ticks later.
    #[inline]
    pub fn negative_latency(&self, latency_ns: i64, clock: impl FnOnce() -> Option<ClockOffset>) {
        // A load alone is no more than a read: on a machine whose clock is behind, every trade comes here.
        if !self.doubt.is_raised.load(Ordering::Relaxed) {
            self.raise(latency_ns, clock());
        }
    }

    #[cold]
    fn raise(&self, latency_ns: i64, clock: Option<ClockOffset>) {
        if self.doubt.is_raised.swap(true, Ordering::Relaxed) {
            return;
        }
        if clock.is_some() || self.replay {
            self.explain(latency_ns, clock);
        } else {
            *self.waiting() = Some((latency_ns, 0));
        }
    }

    /// The clocks are known to differ by so much.
    pub fn clock_known(&self, clock: ClockOffset) {
        let waiting = self.waiting().take();
        if let Some((latency_ns, _)) = waiting {
            self.explain(latency_ns, Some(clock));
        }
    }

    /// A second has passed.
    pub(super) fn wait_for_the_clock(&self) {
        if let Some((_, ticks)) = &mut *self.waiting() {
            *ticks += 1;
            if *ticks < PATIENCE {
                return;
            }
        }
        self.explain_in_any_case();
    }

    /// Nothing more will be known.
    pub(super) fn explain_in_any_case(&self) {
        let waiting = self.waiting().take();
        if let Some((latency_ns, _)) = waiting {
            self.explain(latency_ns, None);
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Option<(i64, u32)>> {
        self.doubt.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn explain(&self, latency_ns: i64, clock: Option<ClockOffset>) {
        let latency_ms = latency_ns as f64 / 1e6;
        let (offset_ms, error_ms) = clock.map(|clock| (clock.offset_ms, clock.error_ms)).unzip();
        let whose = if self.replay { Whose::Recorder } else { Whose::Ours(clock) };
        let told = why_negative(latency_ms, whose);
        tracing::warn!(event = "latency_negative", latency_ms, offset_ms, error_ms, "{told}");
    }

    /// Time did something else than to pass.
    pub fn time_jumped(&self, jump: Jump) {
        let line = told(jump);
        match jump {
            Jump::Step { by_ms } => tracing::warn!(event = "clock_stepped", by_ms, "{line}"),
            Jump::Paused { lasted } => {
                tracing::warn!(event = "process_paused", lasted_s = in_seconds(lasted), "{line}");
            }
        }
    }
}

/// Whose clock a latency was measured with.
enum Whose {
    Recorder,
    Ours(Option<ClockOffset>),
}

fn why_negative(latency_ms: f64, whose: Whose) -> String {
    let why = match whose {
        Whose::Recorder => {
            "the clock of the machine that recorded this was behind the exchange's. The numbers are not affected"
                .to_owned()
        }
        Whose::Ours(None) => {
            "this machine's clock is behind the exchange's. The numbers are not affected; let NTP set the clock"
                .to_owned()
        }
        Whose::Ours(Some(ClockOffset { offset_ms, error_ms })) if offset_ms > 0.0 => format!(
            "this machine's clock is {offset_ms:.1} ms behind the exchange's (±{error_ms:.1}). The numbers are not \
             affected; let NTP set the clock"
        ),
        Whose::Ours(Some(ClockOffset { offset_ms, error_ms })) => format!(
            "yet this machine's clock is {:.1} ms ahead of the exchange's (±{error_ms:.1}): it stamps events with \
             another one. The numbers are not affected",
            offset_ms.abs()
        ),
    };
    format!("latency is negative ({latency_ms:.1}ms): {why}. Said once.")
}

fn told(jump: Jump) -> String {
    match jump {
        Jump::Step { by_ms } => format!(
            "this machine's clock jumped by {:+.1} s: it was set, or the machine slept. Latencies across the jump mean \
             nothing; the numbers are not affected",
            by_ms as f64 / 1e3
        ),
        Jump::Paused { lasted } => format!(
            "nothing was done here for {:.1} s: this process was stopped, or the machine is overloaded. What was missed is \
             fetched again where REST can be asked",
            lasted.as_secs_f64()
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ours(latency_ms: f64, clock: Option<(f64, f64)>) -> String {
        let clock = clock.map(|(offset_ms, error_ms)| ClockOffset { offset_ms, error_ms });
        why_negative(latency_ms, Whose::Ours(clock))
    }

    #[test]
    fn a_negative_latency_is_explained_by_what_is_known_of_the_clocks() {
        assert_eq!(
            ours(-8_700.14, Some((8_712.0, 1.06))),
            "latency is negative (-8700.1ms): this machine's clock is 8712.0 ms behind the exchange's (±1.1). The \
             numbers are not affected; let NTP set the clock. Said once."
        );
        assert!(ours(-3.0, Some((-2.5, 1.0))).contains("yet this machine's clock is 2.5 ms ahead"));
        assert!(ours(-3.0, None).contains("this machine's clock is behind the exchange's. The"));
        assert!(why_negative(-3.0, Whose::Recorder).contains("the clock of the machine that recorded this"));
    }

    #[test]
    fn an_explanation_waits_for_the_clock_but_not_for_ever_and_comes_once() {
        let waits = |events: &Events| events.waiting().is_some();
        let clock = ClockOffset { offset_ms: 5.0, error_ms: 1.0 };

        let events = Events::default();
        events.negative_latency(-1, || None);
        assert!(waits(&events));
        events.clock_known(clock);
        assert!(!waits(&events));
        events.negative_latency(-1, || unreachable!("it was explained"));

        let events = Events::default();
        events.negative_latency(-1, || Some(clock));
        assert!(!waits(&events), "explained at once");

        let events = Events::default();
        events.wait_for_the_clock();
        events.negative_latency(-1, || None);
        for _ in 1..PATIENCE {
            events.tick();
            assert!(waits(&events));
        }
        events.tick();
        assert!(!waits(&events));

        let events = Events::for_replay(None);
        events.negative_latency(-1, || None);
        assert!(!waits(&events), "the recorder's clock will never be known");
    }

    #[test]
    fn a_jump_is_told_with_its_size() {
        assert!(told(Jump::Step { by_ms: -3_600_500 }).contains("jumped by -3600.5 s"));
        assert!(
            told(Jump::Paused { lasted: Duration::from_millis(7_250) })
                .contains("nothing was done here for 7.2 s")
        );
    }
}
