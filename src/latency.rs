//! The runtime that a monitor runs on, and what it does while nothing happens: it sleeps until something does, it
//! never sleeps, or it sleeps a little longer than it must.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

use crate::config::LatencyMode;

/// A runtime on the calling thread, as [`LatencyMode`] says.
///
/// - [`LatencyMode::Default`] wakes when something arrives. Waking an idle processor takes some 30 µs and costs more
///   than the work.
/// - [`LatencyMode::Low`] looks at the sockets again and again without ever sleeping: **it takes a core for itself**,
///   at any rate of trades.
/// - [`LatencyMode::Eco`] sleeps until at least two milliseconds have passed since it last woke, so that it works at
///   most 500 times a second and takes everything that has arrived meanwhile together. What arrives later than that
///   wakes it at once.
///
/// Nothing is lost in any of them: what arrives meanwhile waits in the sockets, whose buffers take about a million
/// bytes each, and the connections slow down before they lose anything. Timers and signals are late by two milliseconds at most.
///
/// # Errors
/// If the system gives no event queue.
pub fn runtime(mode: LatencyMode) -> io::Result<Runtime> {
    let mut builder = Builder::new_current_thread();
    builder.enable_all();
    match mode {
        LatencyMode::Default => builder.build(),
        LatencyMode::Low => {
            let runtime = builder.build()?;
            runtime.spawn(spin());
            Ok(runtime)
        }
        LatencyMode::Eco => {
            builder.on_thread_park(sleep_the_rest).on_thread_unpark(|| AWAKE_SINCE.set(Some(Instant::now())));
            builder.build()
        }
    }
}

/// Runs something on a runtime of ours to its end, as one of its tasks: what `block_on` polls itself makes the runtime
/// look for events each time it wakes itself, which costs a call of the system more than the work.
///
/// # Panics
/// With the panic of `work`.
pub fn block_on<T: Send + 'static>(runtime: &Runtime, work: impl Future<Output = T> + Send + 'static) -> T {
    match runtime.block_on(runtime.spawn(work)) {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => unreachable!("nobody else has its handle, so nobody has cancelled it"),
        },
    }
}

/// A runtime with a task that is always ready asks for what has arrived without waiting for it.
async fn spin() {
    loop {
        tokio::task::yield_now().await;
    }
}

/// How far apart waking up is, at least.
const PERIOD: Duration = Duration::from_millis(2);

thread_local! {
    static AWAKE_SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Before the runtime waits for what comes next.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that is meant to stop the thread that reads the socket"
)]
fn sleep_the_rest() {
    if let Some(awake) = AWAKE_SINCE.get().map(|since| since.elapsed()).filter(|awake| *awake < PERIOD) {
        std::thread::sleep(PERIOD - awake);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// Something that is waited for, in each mode.
    fn in_each(story: impl AsyncFn()) {
        for mode in LatencyMode::ALL {
            runtime(mode).expect("an event queue").block_on(story());
        }
    }

    #[test]
    fn timers_and_what_other_threads_say_arrive_in_each_mode() {
        in_each(async || {
            sleep(Duration::from_millis(3)).await;
            let (sender, told) = tokio::sync::oneshot::channel();
            let teller = std::thread::spawn(move || sender.send(7));
            assert_eq!(told.await, Ok(7));
            assert_eq!(teller.join().expect("the teller does not panic"), Ok(()));
        });
    }

    #[test]
    fn the_economical_one_wakes_at_most_once_in_its_period() {
        let runtime = runtime(LatencyMode::Eco).expect("an event queue");
        let metrics = runtime.metrics();
        let begun = Instant::now();
        runtime.block_on(async {
            let (sender, mut receiver) = tokio::sync::mpsc::channel(10_000);
            // Whoever woke for each word would wake hundreds of times.
            let teller = std::thread::spawn(move || {
                for _ in 0..1_000 {
                    std::thread::park_timeout(Duration::from_micros(10));
                    sender.blocking_send(()).expect("somebody listens until the end");
                }
            });
            while receiver.recv().await.is_some() {}
            teller.join().expect("the teller does not panic");
        });
        let periods = (begun.elapsed().as_micros() / PERIOD.as_micros()) as u64;
        let parks = metrics.worker_park_count(0);
        assert!(parks <= periods + 2, "{parks} in {periods} periods");
    }
}
