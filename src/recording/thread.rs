//! Reading and decompressing beside computing.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::SyncSender;

use tokio::sync::mpsc;

use super::reader::{BURST, RecordingReader};
use crate::source::{Burst, Input, Source, SourceError};

/// Bursts that are read ahead.
const AHEAD: usize = 4;

/// A [`RecordingReader`] on a thread of its own, which ends with the recording, or with the first burst that nobody takes.
#[derive(Debug)]
pub struct RecordingThread {
    bursts: mpsc::Receiver<VecDeque<Input>>,
    used: SyncSender<VecDeque<Input>>,
}

impl RecordingThread {
    /// Begins to read.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub fn start(mut reader: RecordingReader) -> io::Result<Self> {
        let (sender, bursts) = mpsc::channel(AHEAD);
        let (used, fresh) = std::sync::mpsc::sync_channel::<VecDeque<Input>>(AHEAD);
        std::thread::Builder::new().name("replay".into()).spawn(move || {
            loop {
                let mut inputs = fresh.try_recv().unwrap_or_default();
                // The last burst is an empty one.
                let is_last = !reader.read(&mut inputs, BURST);
                if sender.blocking_send(inputs).is_err() || is_last {
                    break;
                }
            }
        })?;
        Ok(Self { bursts, used })
    }
}

impl Source for RecordingThread {
    async fn next(&mut self, burst: &mut Burst) -> Result<bool, SourceError> {
        let next = self.bursts.recv().await;
        burst.evicted.clear();
        let Some(inputs) = next else {
            burst.inputs.clear();
            return Err(SourceError::thread());
        };
        let more = !inputs.is_empty();
        // A thread that has ended needs no room back.
        drop(self.used.try_send(std::mem::replace(&mut burst.inputs, inputs)));
        Ok(more)
    }
}
