//! The bounded queue between feed and processor: it never makes the feed wait, and when it is full the
//! *oldest* frame goes. What goes is counted, per session.
//!
//! The receiver takes everything there is in one go, so a burst costs one wake-up and one lock.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

use crate::feed::{Frame, LinkEvent, SessionId};
use crate::source::{Burst, Input, Source, SourceError};

/// The queue's two bounds; whichever is reached first evicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Frames, at least 1.
    pub frames: usize,
    /// Bytes of frame text. A single frame larger than this still passes, alone: the newest is never lost.
    pub bytes: usize,
}

impl QueueLimits {
    /// The byte bound that belongs to a bound in frames: 512 bytes each, and no less than 16 MiB.
    pub const fn for_frames(frames: usize) -> Self {
        let by_size = frames.saturating_mul(512);
        let floor = 16 * 1024 * 1024;
        Self { frames, bytes: if by_size > floor { by_size } else { floor } }
    }
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self::for_frames(1024)
    }
}

/// What went through so far, in frames. `pushed = popped + dropped + queued` at every moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueStats {
    /// Frames the feed handed in.
    pub pushed: u64,
    /// Frames the processor took.
    pub popped: u64,
    /// Frames that were evicted.
    pub dropped: u64,
    /// Frames waiting now.
    pub queued: u64,
    /// The most frames that have waited at once.
    pub high_water: u64,
}

/// What a push did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    /// Frames that had to go for it.
    pub evicted: usize,
    /// The queue is at least half full: let the processor run.
    pub half_full: bool,
}

/// A queue with these limits. A bound of zero frames is taken as one.
pub fn drop_oldest(limits: QueueLimits) -> (Sender, Receiver) {
    let limits = QueueLimits { frames: limits.frames.max(1), ..limits };
    let shared = Arc::new(Shared { limits, state: Mutex::new(State::default()), emptied: Notify::new() });
    (Sender { shared: Arc::clone(&shared) }, Receiver { shared })
}

/// The feed's end. Dropping it closes the queue: the receiver drains, then ends.
#[derive(Debug)]
pub struct Sender {
    shared: Arc<Shared>,
}

/// The processor's end.
#[derive(Debug)]
pub struct Receiver {
    shared: Arc<Shared>,
}

/// Reads the counters of a queue from anywhere.
#[derive(Debug, Clone)]
pub struct QueueGauge {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limits: QueueLimits,
    state: Mutex<State>,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct State {
    inputs: VecDeque<Input>,
    frames: usize,
    most: usize,
    bytes: usize,
    evicted: Vec<(SessionId, u64)>,
    /// Link events that stood before evicted frames: they outlive them.
    displaced: VecDeque<LinkEvent>,
    pushed: u64,
    popped: u64,
    dropped: u64,
    closed: bool,
    /// Who waits for the next input.
    waiting: Option<Waker>,
    /// The receiver is polled after every push anyhow.
    is_beside: bool,
}

/// Link events and sessions remembered while the processor takes nothing at all.
const REMEMBERED: usize = 4_096;

impl Sender {
    /// Does not wake the receiver for a frame. Whoever polls the feed has to poll the receiver right after it, each time
    /// and in the same task: to wake a task that runs makes it run twice.
    #[must_use]
    pub fn beside_receiver(self) -> Self {
        self.shared.lock().is_beside = true;
        self
    }

    /// Queues a frame; never waits.
    pub fn push(&self, frame: Frame) -> Pushed {
        let limits = self.shared.limits;
        let mut state = self.shared.lock();
        let was_empty = state.is_empty();
        let size = frame.text.len();
        let mut evicted = 0;
        while state.frames > 0 && (state.frames >= limits.frames || state.bytes + size > limits.bytes) {
            evicted += state.evict_oldest();
        }
        state.inputs.push_back(Input::Frame(frame));
        state.frames += 1;
        state.most = state.most.max(state.frames);
        state.bytes += size;
        state.pushed += 1;
        let half_full = state.is_half_full(limits);
        let waiting = if was_empty && !state.is_beside { state.waiting.take() } else { None };
        drop(state);
        wake(waiting);
        Pushed { evicted, half_full }
    }

    /// Whether the queue is at least half full, in frames or in bytes.
    pub fn is_half_full(&self) -> bool {
        self.shared.lock().is_half_full(self.shared.limits)
    }

    /// Queues a change of the line, in order with the frames. It takes no room and outlives evicted
    /// frames; while nobody listens at all, the newest 4,096 are kept.
    pub fn link(&self, event: LinkEvent) {
        let mut state = self.shared.lock();
        if state.inputs.len() - state.frames >= REMEMBERED {
            // Nobody has listened for hundreds of reconnects; the newest changes are the ones that matter.
            let oldest = state.inputs.iter().position(|input| matches!(input, Input::Link(_)));
            if let Some(at) = oldest {
                state.inputs.remove(at);
            }
        }
        state.inputs.push_back(Input::Link(event));
        let waiting = state.waiting.take();
        drop(state);
        wake(waiting);
    }

    /// Waits until the receiver has taken what there is.
    ///
    /// # Cancel safety
    /// Safe: nothing is lost.
    pub async fn emptied(&self) {
        loop {
            let notified = self.shared.emptied.notified();
            if self.shared.lock().frames == 0 {
                return;
            }
            notified.await;
        }
    }

    /// A reader of this queue's counters.
    pub fn gauge(&self) -> QueueGauge {
        QueueGauge { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        let waiting = state.waiting.take();
        drop(state);
        wake(waiting);
    }
}

fn wake(waiting: Option<Waker>) {
    if let Some(waiting) = waiting {
        waiting.wake();
    }
}

impl Receiver {
    /// Takes everything there is; `false` when the queue is empty and closed.
    fn poll_take(&mut self, burst: &mut Burst, cx: &Context<'_>) -> Poll<bool> {
        let mut state = self.shared.lock();
        if state.is_empty() {
            if state.closed {
                return Poll::Ready(false);
            }
            if state.waiting.as_ref().is_none_or(|waiting| !waiting.will_wake(cx.waker())) {
                state.waiting = Some(cx.waker().clone());
            }
            return Poll::Pending;
        }
        std::mem::swap(&mut state.inputs, &mut burst.inputs);
        std::mem::swap(&mut state.evicted, &mut burst.evicted);
        while let Some(link) = state.displaced.pop_back() {
            burst.inputs.push_front(Input::Link(link));
        }
        state.popped += state.frames as u64;
        state.frames = 0;
        state.bytes = 0;
        drop(state);
        self.shared.emptied.notify_waiters();
        Poll::Ready(true)
    }
}

impl Source for Receiver {
    async fn next(&mut self, burst: &mut Burst) -> Result<bool, SourceError> {
        burst.inputs.clear();
        burst.evicted.clear();
        Ok(poll_fn(|cx| self.poll_take(burst, cx)).await)
    }
}

impl QueueGauge {
    /// The counters now.
    pub fn stats(&self) -> QueueStats {
        let state = self.shared.lock();
        QueueStats {
            pushed: state.pushed,
            popped: state.popped,
            dropped: state.dropped,
            queued: state.frames as u64,
            high_water: state.most as u64,
        }
    }

    /// How many frames may wait.
    pub fn capacity(&self) -> usize {
        self.shared.limits.frames
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds this lock, because it only moves values")
    }
}

impl State {
    fn is_empty(&self) -> bool {
        self.inputs.is_empty() && self.evicted.is_empty() && self.displaced.is_empty()
    }

    fn is_half_full(&self, limits: QueueLimits) -> bool {
        self.frames.saturating_mul(2) >= limits.frames || self.bytes.saturating_mul(2) >= limits.bytes
    }

    /// Removes the oldest frame; link events on the way to it step aside. Returns how many frames went.
    fn evict_oldest(&mut self) -> usize {
        while let Some(oldest) = self.inputs.pop_front() {
            match oldest {
                Input::Link(event) => {
                    if self.displaced.len() >= REMEMBERED {
                        self.displaced.pop_front();
                    }
                    self.displaced.push_back(event);
                }
                Input::Frame(frame) => {
                    self.frames -= 1;
                    self.bytes -= frame.text.len();
                    self.dropped += 1;
                    self.count_eviction(frame.session);
                    return 1;
                }
                // Only frames and link events are ever queued.
                _ => {}
            }
        }
        0
    }

    fn count_eviction(&mut self, session: SessionId) {
        match self.evicted.last_mut() {
            Some((last, count)) if *last == session => *count += 1,
            _ => {
                if self.evicted.len() >= REMEMBERED {
                    let (_, count) = self.evicted.remove(0);
                    self.evicted[0].1 += count;
                }
                self.evicted.push((session, 1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::{LineId, LinkChange};
    use crate::snapshot::Stamp;
    use proptest::prelude::*;

    fn frame(session: u64, ordinal: u64, len: usize) -> Frame {
        Frame {
            line: LineId(0),
            session: SessionId(session),
            ordinal,
            received: None,
            text: "x".repeat(len).into(),
        }
    }

    fn link(session: u64) -> LinkEvent {
        let (line, session) = (LineId(0), SessionId(session));
        LinkEvent { line, session, at: Stamp::default(), change: LinkChange::Opened }
    }

    fn queue(frames: usize, bytes: usize) -> (Sender, Receiver) {
        drop_oldest(QueueLimits { frames, bytes })
    }

    fn ordinals(burst: &Burst) -> Vec<u64> {
        let frames = burst.inputs.iter().filter_map(|input| match input {
            Input::Frame(frame) => Some(frame.ordinal),
            _ => None,
        });
        frames.collect()
    }

    #[tokio::test]
    async fn the_oldest_goes_and_is_counted_for_its_session() {
        let (sender, mut receiver) = queue(2, usize::MAX);
        for (session, ordinal) in [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3)] {
            sender.push(frame(session, ordinal, 10));
        }
        let mut burst = Burst::default();
        assert!(receiver.next(&mut burst).await.unwrap());
        assert_eq!(ordinals(&burst), [2, 3]);
        assert_eq!(burst.evicted, [(SessionId(1), 2), (SessionId(2), 1)]);
        let stats = QueueStats { pushed: 5, popped: 2, dropped: 3, queued: 0, high_water: 2 };
        assert_eq!(sender.gauge().stats(), stats);
    }

    #[tokio::test]
    async fn bytes_bound_it_too_but_the_newest_is_never_lost() {
        let (sender, mut receiver) = queue(100, 50);
        sender.push(frame(1, 1, 30));
        assert_eq!(sender.push(frame(1, 2, 30)).evicted, 1);
        assert_eq!(sender.push(frame(1, 3, 500)).evicted, 1);
        let mut burst = Burst::default();
        assert!(receiver.next(&mut burst).await.unwrap());
        assert_eq!(ordinals(&burst), [3]);
    }

    #[tokio::test]
    async fn a_link_event_outlives_the_frames_around_it_and_keeps_its_place() {
        let (sender, mut receiver) = queue(1, usize::MAX);
        sender.push(frame(1, 1, 1));
        sender.link(link(2));
        sender.push(frame(2, 1, 1));
        sender.link(link(3));
        sender.push(frame(3, 1, 1));
        let mut burst = Burst::default();
        assert!(receiver.next(&mut burst).await.unwrap());
        let sessions: Vec<_> = burst
            .inputs
            .iter()
            .map(|input| match input {
                Input::Link(event) => ("link", event.session.0),
                Input::Frame(frame) => ("frame", frame.session.0),
                _ => unreachable!(),
            })
            .collect();
        assert_eq!(sessions, [("link", 2), ("link", 3), ("frame", 3)]);
    }

    #[tokio::test]
    async fn after_the_sender_is_gone_the_receiver_drains_and_ends() {
        let (sender, mut receiver) = queue(8, usize::MAX);
        sender.push(frame(1, 1, 1));
        drop(sender);
        let mut burst = Burst::default();
        assert!(receiver.next(&mut burst).await.unwrap());
        assert!(!receiver.next(&mut burst).await.unwrap());
        assert!(burst.inputs.is_empty());
    }

    #[tokio::test]
    async fn a_waiting_receiver_is_woken_by_a_push_and_by_the_end() {
        let (sender, mut receiver) = queue(8, usize::MAX);
        let waiting = tokio::spawn(async move {
            let mut burst = Burst::default();
            let first = receiver.next(&mut burst).await.unwrap();
            let second = receiver.next(&mut burst).await.unwrap();
            (first, second)
        });
        tokio::task::yield_now().await;
        sender.push(frame(1, 1, 1));
        tokio::task::yield_now().await;
        drop(sender);
        assert_eq!(waiting.await.unwrap(), (true, false));
    }

    #[tokio::test]
    async fn beside_its_sender_a_receiver_is_not_woken_for_frames_and_finds_them_when_it_is_polled() {
        use futures_util::FutureExt;
        let (sender, mut receiver) = queue(8, usize::MAX);
        let sender = sender.beside_receiver();
        let mut burst = Burst::default();
        let woken = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        struct Count(Arc<std::sync::atomic::AtomicUsize>);
        impl std::task::Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
        let waker = Waker::from(Arc::new(Count(Arc::clone(&woken))));
        let mut cx = Context::from_waker(&waker);
        {
            let mut waiting = std::pin::pin!(receiver.next(&mut burst));
            assert!(waiting.poll_unpin(&mut cx).is_pending());
            sender.push(frame(1, 1, 1));
            assert_eq!(woken.load(std::sync::atomic::Ordering::Relaxed), 0);
            assert!(matches!(waiting.poll_unpin(&mut cx), Poll::Ready(Ok(true))));
        }
        assert_eq!(ordinals(&burst), [1]);
        {
            let mut waiting = std::pin::pin!(receiver.next(&mut burst));
            assert!(waiting.poll_unpin(&mut cx).is_pending());
            drop(sender);
            assert_eq!(woken.load(std::sync::atomic::Ordering::Relaxed), 1);
            assert!(matches!(waiting.poll_unpin(&mut cx), Poll::Ready(Ok(false))));
        }
    }

    #[derive(Debug, Clone)]
    enum Act {
        Push(usize),
        Take,
    }

    proptest! {
        #[test]
        fn it_behaves_like_a_list_that_forgets_its_head(
            frames in 1usize..6,
            bytes in 1usize..40,
            acts in prop::collection::vec(
                prop_oneof![4 => (0usize..20).prop_map(Act::Push), 1 => Just(Act::Take)], 0..80),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let (sender, mut receiver) = queue(frames, bytes);
            let (mut model, mut dropped, mut popped) = (VecDeque::new(), 0u64, 0u64);
            let mut burst = Burst::default();
            for (at, act) in acts.iter().enumerate() {
                match act {
                    Act::Push(len) => {
                        let mut evicted = 0;
                        let held = |model: &VecDeque<(u64, usize)>| model.iter().map(|m| m.1).sum::<usize>();
                        while !model.is_empty() && (model.len() >= frames || held(&model) + len > bytes) {
                            model.pop_front();
                            evicted += 1;
                        }
                        model.push_back((at as u64, *len));
                        dropped += evicted as u64;
                        let pushed = sender.push(frame(1, at as u64, *len));
                        prop_assert_eq!(pushed.evicted, evicted);
                        let half = model.len() * 2 >= frames || held(&model) * 2 >= bytes;
                        prop_assert_eq!(pushed.half_full, half);
                    }
                    Act::Take if !model.is_empty() => {
                        runtime.block_on(receiver.next(&mut burst)).expect("a queue cannot fail");
                        let expected: Vec<u64> = model.drain(..).map(|m| m.0).collect();
                        popped += expected.len() as u64;
                        prop_assert_eq!(ordinals(&burst), expected);
                    }
                    Act::Take => {}
                }
                let stats = sender.gauge().stats();
                prop_assert_eq!(stats.pushed, stats.popped + stats.dropped + stats.queued);
                prop_assert_eq!((stats.dropped, stats.popped), (dropped, popped));
            }
        }
    }
}
