//! Reading ahead on a thread of its own, so that a pipe which delivers nothing stops nobody.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::SyncSender;

use tokio::sync::mpsc;

use super::{Reached, Replay, ReplayProgress, ReplayStatistics};
use crate::source::{Burst, Input, Source, SourceError};

/// Bursts that are read ahead.
const AHEAD: usize = 4;

/// A [`Replay`] that is read on a thread of its own. The thread ends with the files, or with the first burst
/// that nobody takes.
#[derive(Debug)]
pub struct ReplayThread {
    bursts: mpsc::Receiver<Result<Read, SourceError>>,
    used: SyncSender<VecDeque<Input>>,
    progress: ReplayProgress,
}

/// A burst, empty at the end, and what was read until then.
#[derive(Debug)]
struct Read {
    inputs: VecDeque<Input>,
    statistics: ReplayStatistics,
}

impl ReplayThread {
    /// Begins to read.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub fn start(mut replay: Replay) -> io::Result<Self> {
        let progress = replay.progress();
        let (sender, bursts) = mpsc::channel(AHEAD);
        let (used, fresh) = std::sync::mpsc::sync_channel::<VecDeque<Input>>(AHEAD);
        std::thread::Builder::new().name("replay".into()).spawn(move || {
            loop {
                let mut inputs = fresh.try_recv().unwrap_or_default();
                let burst = loop {
                    match replay.read(&mut inputs) {
                        // Nobody may be there any more to wait for what takes its time.
                        Ok(Reached::Nothing) if sender.is_closed() => return,
                        Ok(Reached::Nothing) => {}
                        Ok(Reached::Inputs | Reached::End) => {
                            break Ok(Read { inputs, statistics: replay.statistics() });
                        }
                        Err(fault) => break Err(fault),
                    }
                };
                let last = burst.as_ref().map_or(true, |read| read.inputs.is_empty());
                if sender.blocking_send(burst).is_err() || last {
                    break;
                }
            }
        })?;
        Ok(Self { bursts, used, progress })
    }
}

/// Files, read in turns with the computing or beside it. The numbers do not depend on it.
#[derive(Debug)]
pub enum ReplaySource {
    /// Everything happens on the thread that computes. Boxed: it is much larger.
    InTurns(Box<Replay>),
    /// Reading has a thread of its own.
    Beside(ReplayThread),
}

impl ReplaySource {
    /// Begins to read. `threads`: how many may be busy; with one, only what may never deliver anything, a pipe, has a
    /// thread of its own, so that it holds up nobody.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub fn start(replay: Replay, threads: usize) -> io::Result<Self> {
        match threads {
            ..=1 if !replay.has_pipe() => Ok(Self::InTurns(Box::new(replay))),
            _ => ReplayThread::start(replay).map(Self::Beside),
        }
    }
}

impl Source for ReplaySource {
    async fn next(&mut self, burst: &mut Burst) -> Result<bool, SourceError> {
        match self {
            Self::InTurns(replay) => replay.next(burst).await,
            Self::Beside(thread) => thread.next(burst).await,
        }
    }
}

impl Source for ReplayThread {
    async fn next(&mut self, burst: &mut Burst) -> Result<bool, SourceError> {
        let next = self.bursts.recv().await;
        burst.evicted.clear();
        let inputs = match next {
            Some(Ok(Read { inputs, statistics })) => {
                self.progress.tell(statistics);
                inputs
            }
            Some(Err(fault)) => {
                burst.inputs.clear();
                return Err(fault);
            }
            // The last burst is an empty one.
            None => {
                burst.inputs.clear();
                return Err(SourceError::thread());
            }
        };
        if inputs.is_empty() {
            burst.inputs.clear();
            return Ok(false);
        }
        // A thread that has ended needs no room back.
        drop(self.used.try_send(std::mem::replace(&mut burst.inputs, inputs)));
        Ok(true)
    }
}
