//! Outputs with a policy, each written by a thread of its own, so that a blocked pipe never stops the
//! reading of the socket or a pong.
//!
//! Records are *lossless*: when their reader is slow the processor waits, and what then overflows is the
//! frame queue, which counts. Log lines are *latest*: when their reader is blocked they are dropped and counted.

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

/// Chunks on their way to the writing thread.
const CHUNKS: usize = 8;
/// A buffer this full is handed over in the middle of a burst.
const CHUNK_FULL: usize = 128 * 1024;
/// Log lines on their way to a writing thread of their own.
const LOG_LINES: usize = 1024;
/// Bytes of log lines that wait to go between the records.
const LOG_BYTES: usize = 1024 * 1024;

/// The output takes no more records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutputClosed {
    /// Its reader has gone (EPIPE): a quiet end.
    #[error("the reader of the output has gone")]
    ReaderGone,
    /// It cannot be written.
    #[error("cannot write the output: {0}; free space or choose another place for it")]
    Failed(io::ErrorKind),
    /// The file of results cannot be written; its own thread tells why.
    #[error("the file of results cannot be written")]
    File,
    /// The thread that writes it has ended, which it never should.
    #[error(
        "the thread that writes the records has ended unexpectedly; the message above tells why: please report it"
    )]
    ThreadEnded,
}

/// An output for records and the thread that writes it, which ends when the writer is gone.
#[derive(Debug)]
pub struct Output {
    /// Takes records.
    pub writer: RecordWriter,
    /// Tells when everything is written.
    pub thread: OutputThread,
}

/// Where records are written before they are handed to the writing thread.
#[derive(Debug)]
pub struct RecordWriter {
    buffer: Vec<u8>,
    chunks: mpsc::Sender<Vec<u8>>,
    used: mpsc::Receiver<Vec<u8>>,
    failure: Arc<OnceLock<OutputClosed>>,
    between: Arc<Between>,
    /// Chunks that were handed over.
    handed: u64,
    written: Arc<Written>,
}

/// How far the writing thread is.
#[derive(Debug, Default)]
struct Written {
    chunks: AtomicU64,
    moved: Notify,
}

/// How much of what was handed over is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutputProgress {
    /// Chunks that were handed over.
    pub handed: u64,
    /// Those of them that whoever reads the output can have. Of a piped output all.
    pub written: u64,
}

/// Log lines that are to stand between the records, in the order in which both were written.
#[derive(Debug, Default)]
struct Between {
    lines: Mutex<Vec<u8>>,
    waiting: AtomicBool,
    arrived: Notify,
}

/// The writing thread of an output, or whoever reads a piped one.
#[derive(Debug)]
pub struct OutputThread {
    reader: Reader,
    failure: Arc<OnceLock<OutputClosed>>,
}

#[derive(Debug)]
enum Reader {
    /// The other end is dropped when the thread has written everything.
    Thread(oneshot::Receiver<()>),
    /// Has read everything when there is room for [`CHUNKS`] again.
    Pipe(mpsc::Sender<Vec<u8>>),
}

impl Output {
    /// Opens an output.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub fn new(into: Box<dyn Write + Send>) -> io::Result<Self> {
        let (chunks, rx) = mpsc::channel::<Vec<u8>>(CHUNKS);
        let (recycle, used) = mpsc::channel(CHUNKS);
        let failure = Arc::new(OnceLock::new());
        let (finished, done) = oneshot::channel();
        let on_failure = Arc::clone(&failure);
        let written = Arc::new(Written::default());
        let by_thread = Arc::clone(&written);
        std::thread::Builder::new().name("records".into()).spawn(move || {
            let mut rx = rx;
            let writing = AssertUnwindSafe(|| write_chunks(into, &mut rx, &recycle, &by_thread));
            if let Err(error) = catch_unwind(writing).unwrap_or(Err(OutputClosed::ThreadEnded)) {
                // The first failure is the one that tells. It is there before anybody sees the channel closed.
                on_failure.get_or_init(|| error);
                by_thread.moved.notify_one();
            }
            drop((rx, finished));
        })?;
        Ok(Self::of(chunks, used, failure, written, Reader::Thread(done)))
    }

    /// An output without a thread, whose chunks the caller reads at a pace of its own: as much waits for it as would
    /// for the thread, and dropping the receiver is a reader that has gone. The receiver ends once everything is read
    /// and [`OutputThread::finish`] is done, or the thread's end is dropped.
    pub fn piped() -> (Self, mpsc::Receiver<Vec<u8>>) {
        let (chunks, records) = mpsc::channel(CHUNKS);
        let (_, used) = mpsc::channel(1);
        let reader = Reader::Pipe(chunks.clone());
        // What is handed to whoever reads it is that one's.
        let written = Arc::new(Written { chunks: AtomicU64::new(u64::MAX), moved: Notify::new() });
        (Self::of(chunks, used, Arc::default(), written, reader), records)
    }

    fn of(
        chunks: mpsc::Sender<Vec<u8>>,
        used: mpsc::Receiver<Vec<u8>>,
        failure: Arc<OnceLock<OutputClosed>>,
        written: Arc<Written>,
        reader: Reader,
    ) -> Self {
        let (buffer, between) = (Vec::new(), Arc::default());
        let of_writer = Arc::clone(&failure);
        let writer = RecordWriter { buffer, chunks, used, failure: of_writer, between, handed: 0, written };
        Self { writer, thread: OutputThread { reader, failure } }
    }
}

fn write_chunks(
    mut into: Box<dyn Write + Send>,
    chunks: &mut mpsc::Receiver<Vec<u8>>,
    recycle: &mpsc::Sender<Vec<u8>>,
    written: &Written,
) -> Result<(), OutputClosed> {
    let closed = |error: io::Error| match error.kind() {
        io::ErrorKind::BrokenPipe => OutputClosed::ReaderGone,
        kind => OutputClosed::Failed(kind),
    };
    while let Some(mut chunk) = chunks.blocking_recv() {
        into.write_all(&chunk).and_then(|()| into.flush()).map_err(closed)?;
        written.chunks.fetch_add(1, Ordering::Release);
        written.moved.notify_one();
        chunk.clear();
        // Most are little more than full; what one trade brought at once may have been many times that.
        chunk.shrink_to(4 * CHUNK_FULL);
        // A writer that is gone needs no buffers back.
        drop(recycle.try_send(chunk));
    }
    Ok(())
}

impl RecordWriter {
    /// What is written since the last flush; whole lines only.
    #[inline]
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        if self.between.waiting.load(Ordering::Relaxed) {
            self.take_log_lines();
        }
        &mut self.buffer
    }

    /// Whether there is so much that it should be handed over now.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.buffer.len() >= CHUNK_FULL
    }

    /// Whether a flush would do anything at all.
    #[inline]
    pub fn has_to_flush(&self) -> bool {
        !self.buffer.is_empty()
            || self.between.waiting.load(Ordering::Relaxed)
            || self.failure.get().is_some()
    }

    /// Hands the buffer to the writing thread, waiting while that is behind.
    ///
    /// # Errors
    /// [`OutputClosed`] if an earlier chunk could not be written.
    ///
    /// # Cancel safety
    /// The buffer stays where it is until there is room for it.
    pub async fn flush(&mut self) -> Result<(), OutputClosed> {
        self.take_log_lines();
        if self.buffer.is_empty() {
            return match self.failure.get() {
                Some(failure) => Err(*failure),
                None => Ok(()),
            };
        }
        let failure = &self.failure;
        let closed = |_| failure.get().copied().unwrap_or(OutputClosed::ReaderGone);
        let permit = self.chunks.reserve().await.map_err(closed)?;
        let fresh = self.used.try_recv().unwrap_or_default();
        permit.send(std::mem::replace(&mut self.buffer, fresh));
        self.handed += 1;
        Ok(())
    }

    /// How much is written of what was handed over.
    pub fn progress(&self) -> OutputProgress {
        let written = self.written.chunks.load(Ordering::Acquire).min(self.handed);
        OutputProgress { handed: self.handed, written }
    }

    /// Ready when everything that was handed over is written, or will never be.
    pub async fn all_written(&self) {
        loop {
            let moved = self.written.moved.notified();
            let OutputProgress { handed, written } = self.progress();
            if written == handed || self.failure.get().is_some() {
                return;
            }
            moved.await;
        }
    }

    /// Ready when a log line waits to go between the records.
    pub async fn log_line_arrived(&self) {
        self.between.arrived.notified().await;
    }

    /// A way into the same output for log lines; they keep their place among the records.
    pub fn log_lines(&self) -> LogWriter {
        LogWriter { lines: Lines::Between(Arc::clone(&self.between)), dropped: Arc::default() }
    }

    fn take_log_lines(&mut self) {
        if self.between.waiting.swap(false, Ordering::Relaxed) {
            self.buffer.append(&mut self.between.lock());
        }
    }
}

impl Between {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.lines.lock().expect("nothing panics while it holds this lock, because it only moves bytes")
    }

    /// Whether there was room for the line.
    fn take(&self, line: &[u8]) -> bool {
        let mut lines = self.lock();
        if lines.len() + line.len() > LOG_BYTES {
            return false;
        }
        lines.extend_from_slice(line);
        self.waiting.store(true, Ordering::Relaxed);
        drop(lines);
        self.arrived.notify_one();
        true
    }
}

impl OutputThread {
    /// Waits until everything is written. The writers must be gone by then.
    ///
    /// # Errors
    /// [`OutputClosed`] if something could not be written; a reader that has gone is no error here.
    pub async fn finish(self) -> Result<(), OutputClosed> {
        match self.reader {
            // The sender is dropped, never used: its end is the message.
            Reader::Thread(done) => drop(done.await),
            // Nobody who reads is nobody to wait for.
            Reader::Pipe(chunks) => drop(chunks.reserve_many(CHUNKS).await),
        }
        match self.failure.get() {
            Some(OutputClosed::ReaderGone) | None => Ok(()),
            Some(failure) => Err(*failure),
        }
    }
}

/// Takes log lines and never waits: what does not fit is dropped and counted.
#[derive(Debug, Clone)]
pub struct LogWriter {
    lines: Lines,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug, Clone)]
enum Lines {
    Own(SyncSender<LogItem>),
    Between(Arc<Between>),
}

#[derive(Debug)]
enum LogItem {
    Line(Vec<u8>),
    /// A line that lasts until the next one of any kind: of a terminal.
    Status(Vec<u8>),
    /// Everything before it is written when this is answered.
    Drain(SyncSender<()>),
}

/// Goes back to the beginning of a line of a terminal and empties it.
const ERASE: &[u8] = b"\r\x1b[K";

/// An output for log lines with a writing thread of its own, which lasts as long as the process.
///
/// # Errors
/// When the system gives no more threads.
pub fn log_lines(mut into: Box<dyn Write + Send>) -> io::Result<LogWriter> {
    let (lines, items) = std::sync::mpsc::sync_channel(LOG_LINES);
    std::thread::Builder::new().name("log".into()).spawn(move || {
        let mut shows_status = false;
        while let Ok(item) = items.recv() {
            let (bytes, is_status) = match item {
                LogItem::Line(line) => (line, false),
                LogItem::Status(line) => (line, true),
                LogItem::Drain(answer) => {
                    // Nobody may wait for it any more.
                    answer.try_send(()).unwrap_or_default();
                    continue;
                }
            };
            let erased: &[u8] = if shows_status { ERASE } else { b"" };
            shows_status = is_status && !bytes.is_empty();
            // Where should the failure to write a log line be logged?
            drop(into.write_all(&[erased, &bytes].concat()).and_then(|()| into.flush()));
        }
    })?;
    Ok(LogWriter { lines: Lines::Own(lines), dropped: Arc::default() })
}

impl LogWriter {
    /// Takes one whole line.
    pub fn line(&self, line: &[u8]) {
        let taken = match &self.lines {
            Lines::Own(lines) => lines.try_send(LogItem::Line(line.to_vec())).is_ok(),
            Lines::Between(between) => between.take(line),
        };
        if !taken {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Shows a line without an end that gives way to the next line of any kind; an empty one only erases. Where there
    /// is no room for it, it is not shown. Lines between records have no such thing.
    pub fn status(&self, line: &str) {
        if let Lines::Own(lines) = &self.lines {
            // The next one comes soon.
            drop(lines.try_send(LogItem::Status(line.as_bytes().to_vec())));
        }
    }

    /// Lines that were dropped so far because their reader was blocked.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Whether the thread that writes them has ended, which it never should.
    pub fn has_ended(&self) -> bool {
        match &self.lines {
            Lines::Own(lines) => {
                let (probe, _) = std::sync::mpsc::sync_channel(1);
                let sent = lines.try_send(LogItem::Drain(probe));
                matches!(sent, Err(std::sync::mpsc::TrySendError::Disconnected(_)))
            }
            Lines::Between(_) => false,
        }
    }

    /// Waits until the lines taken so far are written, but no longer than `limit`: for the end of a process.
    /// It stops the thread that calls it.
    pub fn drain(&self, limit: Duration) {
        let Lines::Own(lines) = &self.lines else { return };
        let until = Instant::now() + limit;
        let (answer, written) = std::sync::mpsc::sync_channel(1);
        let mut request = LogItem::Drain(answer);
        while let Err(std::sync::mpsc::TrySendError::Full(back)) = lines.try_send(request) {
            if Instant::now() >= until {
                return;
            }
            request = back;
            std::thread::park_timeout(Duration::from_millis(2));
        }
        // Past the limit the lines are lost with the process; there is no one left to tell.
        written.recv_timeout(until.saturating_duration_since(Instant::now())).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    async fn write(writer: &mut RecordWriter, line: &[u8]) -> Result<(), OutputClosed> {
        writer.buffer().extend_from_slice(line);
        writer.flush().await
    }

    #[test]
    fn a_status_is_erased_before_whatever_follows_it() {
        #[derive(Clone, Default)]
        struct Seen(Arc<Mutex<Vec<u8>>>);
        impl Write for Seen {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let seen = Seen::default();
        let log = log_lines(Box::new(seen.clone())).unwrap();
        log.line(b"one\n");
        log.status("1 %");
        log.status("2 %");
        log.line(b"two\n");
        log.status("3 %");
        log.status("");
        log.status("");
        log.drain(Duration::from_secs(60));
        let text = String::from_utf8(seen.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "one\n1 %\r\x1b[K2 %\r\x1b[Ktwo\n3 %\r\x1b[K");
    }

    #[tokio::test(start_paused = true)]
    async fn a_piped_output_takes_as_much_as_a_thread_would_and_then_waits() {
        let (Output { mut writer, thread: _thread }, mut records) = Output::piped();
        for _ in 0..CHUNKS {
            write(&mut writer, b"line\n").await.expect("there is room");
        }
        let patience = Duration::from_secs(3_600);
        assert!(timeout(patience, write(&mut writer, b"last\n")).await.is_err(), "it is full");
        assert_eq!(records.recv().await.as_deref(), Some(&b"line\n"[..]));
        writer.flush().await.expect("there is room again");
        for _ in 1..CHUNKS {
            records.recv().await.expect("nothing is lost");
        }
        assert_eq!(records.recv().await.as_deref(), Some(&b"last\n"[..]));
    }

    #[tokio::test]
    async fn what_is_written_is_told_from_what_is_only_handed_over() {
        struct Gate(std::sync::mpsc::Receiver<()>);
        impl Write for Gate {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.recv().map(|()| bytes.len()).map_err(io::Error::other)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (open, gate) = std::sync::mpsc::sync_channel(9);
        let Output { mut writer, thread: _thread } = Output::new(Box::new(Gate(gate))).unwrap();
        assert_eq!(writer.progress(), OutputProgress::default());
        write(&mut writer, b"line\n").await.unwrap();
        write(&mut writer, b"line\n").await.unwrap();
        assert_eq!(writer.progress(), OutputProgress { handed: 2, written: 0 });
        (0..2).for_each(|_| open.send(()).unwrap());
        writer.all_written().await;
        assert_eq!(writer.progress(), OutputProgress { handed: 2, written: 2 });

        let (Output { mut writer, thread: _thread }, _records) = Output::piped();
        write(&mut writer, b"line\n").await.unwrap();
        assert_eq!(writer.progress(), OutputProgress { handed: 1, written: 1 });
    }

    #[tokio::test(start_paused = true)]
    async fn a_piped_output_is_finished_when_everything_is_read() {
        let (Output { mut writer, thread }, mut records) = Output::piped();
        write(&mut writer, b"line\n").await.expect("there is room");
        drop(writer);
        let mut finishing = std::pin::pin!(thread.finish());
        assert!(timeout(Duration::from_secs(3_600), &mut finishing).await.is_err(), "a chunk is unread");
        assert!(records.recv().await.is_some());
        assert_eq!(finishing.await, Ok(()));
        assert_eq!(records.recv().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_piped_output_whose_reader_has_gone_says_so_and_is_finished() {
        let (Output { mut writer, thread }, records) = Output::piped();
        write(&mut writer, b"line\n").await.expect("there is room");
        drop(records);
        assert_eq!(write(&mut writer, b"line\n").await, Err(OutputClosed::ReaderGone));
        drop(writer);
        assert_eq!(thread.finish().await, Ok(()));
    }
}
