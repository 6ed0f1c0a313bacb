//! One gate for all: when the archive asks for patience, nobody asks it for anything.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::FetchError;
use crate::feed::backoff::patient;

/// Longer waits are left to the user.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// As many refusals in a row end the run.
const REFUSALS: u32 = 8;

/// Shut while the archive wants to be left alone.
#[derive(Debug, Default)]
pub(super) struct Gate {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    until: Option<Instant>,
    in_a_row: u32,
    ever: bool,
}

impl Gate {
    /// Waits until the gate is open.
    pub(super) async fn pass(&self) {
        loop {
            let until = self.lock().until;
            match until {
                Some(until) if until > Instant::now() => sleep_until(until).await,
                _ => return,
            }
        }
    }

    /// Shuts the gate for so long; `roll` is 0 to 1.
    ///
    /// # Errors
    /// [`FetchError::Unwelcome`] if that is too long or was too often.
    pub(super) fn shut(&self, status: u16, patience: Duration, roll: f64) -> Result<(), FetchError> {
        let mut inner = self.lock();
        inner.in_a_row += 1;
        inner.ever = true;
        if patience > LONGEST_WAIT || inner.in_a_row >= REFUSALS {
            return Err(FetchError::Unwelcome { status, patience });
        }
        let until = Instant::now() + patient(patience, roll);
        inner.until = Some(inner.until.map_or(until, |already| already.max(until)));
        Ok(())
    }

    /// It was answered with what was asked for.
    pub(super) fn answered(&self) {
        self.lock().in_a_row = 0;
    }

    /// Whether it was ever shut: one file at a time is enough then.
    pub(super) fn was_shut(&self) -> bool {
        self.lock().ever
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
