//! Futures that are polled only once they have been woken themselves. Of many that one task waits for, one is ready,
//! and it costs more to ask all the others than to read a trade.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// Rings for what waits behind it: for one future at a time.
#[derive(Debug)]
pub(crate) struct Doorbell {
    bell: Arc<Bell>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Bell {
    has_rung: AtomicBool,
    owner: AtomicWaker,
}

/// A future behind a [`Doorbell`].
#[derive(Debug)]
pub(crate) struct Behind<'a, F> {
    door: &'a Doorbell,
    work: F,
}

impl Default for Doorbell {
    fn default() -> Self {
        let bell = Arc::<Bell>::default();
        Self { waker: Waker::from(Arc::clone(&bell)), bell }
    }
}

impl Doorbell {
    /// Puts a future behind it, which is polled once at first and then whenever it has been woken.
    pub(crate) fn guard<F: Future + Unpin>(&mut self, work: F) -> Behind<'_, F> {
        self.bell.has_rung.store(true, Ordering::Release);
        Behind { door: self, work }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, Ordering::Release);
        self.owner.wake();
    }
}

impl<F: Future + Unpin> Future for Behind<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Doorbell { bell, waker } = self.door;
        // Before the look at the bell: who rings in between finds somebody to wake.
        bell.owner.register(cx.waker());
        if !bell.has_rung.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        Pin::new(&mut self.work).poll(&mut Context::from_waker(waker))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::sync::Notify;
    use tokio::time::{Instant, sleep, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_nobody_wakes_is_not_asked_again_and_what_is_woken_is() {
        let (mut asked, mut door, news) = (0, Doorbell::default(), Notify::new());
        let mut heard = pin!(news.notified());
        let mut guarded = door.guard(poll_fn(|cx| {
            asked += 1;
            heard.as_mut().poll(cx)
        }));
        for _ in 0..10 {
            // Others of the same task are ready.
            tokio::select! {
                biased;
                () = &mut guarded => unreachable!("nobody has rung"),
                () = sleep(Duration::from_secs(1)) => {}
            }
        }
        news.notify_one();
        guarded.await;
        assert_eq!(asked, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn somebody_elses_task_that_takes_it_over_is_woken() {
        let (mut door, news) = (Doorbell::default(), Arc::new(Notify::new()));
        let mut heard = pin!(news.notified());
        let mut guarded = door.guard(&mut heard);
        assert!((&mut guarded).now_or_never().is_none());
        // Another waker than that of the poll before, and nobody else wakes this task.
        let ringer = Arc::clone(&news);
        let ringing = tokio::spawn(async move { ringer.notify_one() });
        let begun = Instant::now();
        timeout(Duration::from_secs(60), guarded).await.expect("it looks once more at the end");
        assert_eq!(begun.elapsed(), Duration::ZERO, "the ring is heard");
        ringing.await.expect("it rings");
    }

    #[tokio::test]
    async fn one_bell_serves_one_future_after_another() {
        let mut door = Doorbell::default();
        for answer in 0..3 {
            assert_eq!(door.guard(std::future::ready(answer)).await, answer);
            let mut never = door.guard(std::future::pending::<()>());
            assert!((&mut never).now_or_never().is_none());
        }
    }
}
