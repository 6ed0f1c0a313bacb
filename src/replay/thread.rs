//! Reading ahead on a thread of its own, so that a pipe which delivers nothing stops nobody.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::SyncSender;

use tokio::sync::mpsc;

use super::Replay;
use crate::source::{Burst, Input, Source, SourceError};

/// Bursts that are read ahead.
const AHEAD: usize = 4;

/// A [`Replay`] that is read on a thread of its own. The thread ends with the files, or with the first burst
/// that nobody takes.
#[derive(Debug)]
pub struct ReplayThread {
    bursts: mpsc::Receiver<Result<VecDeque<Input>, SourceError>>,
    used: SyncSender<VecDeque<Input>>,
}

impl ReplayThread {
    /// Begins to read.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub fn start(mut replay: Replay) -> io::Result<Self> {
        let (sender, bursts) = mpsc::channel(AHEAD);
        let (used, fresh) = std::sync::mpsc::sync_channel::<VecDeque<Input>>(AHEAD);
        std::thread::Builder::new().name("replay".into()).spawn(move || {
            loop {
                let mut inputs = fresh.try_recv().unwrap_or_default();
                let burst = match replay.read(&mut inputs) {
                    Ok(false) => break,
                    Ok(true) => Ok(inputs),
                    Err(fault) => Err(fault),
                };
                let last = burst.is_err();
                if sender.blocking_send(burst).is_err() || last {
                    break;
                }
            }
        })?;
        Ok(Self { bursts, used })
    }
}

impl Source for ReplayThread {
    async fn next(&mut self, burst: &mut Burst) -> Result<bool, SourceError> {
        let next = self.bursts.recv().await;
        burst.evicted.clear();
        burst.taken = None;
        burst.inputs.clear();
        let Some(inputs) = next.transpose()? else { return Ok(false) };
        // A thread that has ended needs no room back.
        drop(self.used.try_send(std::mem::replace(&mut burst.inputs, inputs)));
        Ok(true)
    }
}
