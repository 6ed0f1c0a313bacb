//! What the script wants of the answers to control messages. The director writes it, the connections read it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// Answers that can be armed at once.
const MOST: usize = 100_000;

/// What becomes of a control message that is not simply obeyed. See [`Act::Misanswer`](super::Act::Misanswer).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misanswer {
    /// Nothing is done and nothing is said.
    Ignore,
    /// Nothing is done, and an error says so.
    Refuse {
        /// Its code, such as 2, or 4 for too many subscriptions.
        code: i64,
        /// Its words.
        msg: String,
        /// Whether it says which request it answers.
        with_id: bool,
    },
    /// It is done at once, and said so only after this long.
    Late(Duration),
    /// It is said to be done, but the last so many of its streams are as before.
    Forget(usize),
}

/// The script's wishes. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Misanswers(Arc<Mutex<VecDeque<Misanswer>>>);

impl Misanswers {
    /// Lets the next control messages of any connection meet this.
    pub(super) fn arm(&self, how: &Misanswer, times: u32) {
        let mut armed = self.lock();
        if times == 0 {
            armed.clear();
        }
        let room = MOST.saturating_sub(armed.len());
        armed.extend(std::iter::repeat_n(how.clone(), room.min(times as usize)));
    }

    /// What the control message that has just come meets.
    pub(super) fn next(&self) -> Option<Misanswer> {
        self.lock().pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Misanswer>> {
        self.0.lock().expect("no thread panics with the list in hand, because nothing in it can")
    }
}
