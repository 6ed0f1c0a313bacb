//! What goes out over one connection: which symbols it carries, and, while a market is on that paces itself by
//! microseconds, the socket itself, which the market's thread then writes to without asking the connection's task.

use std::io::{self, ErrorKind, Write};
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard};

use super::wire;

/// Shared by a connection and the market's thread.
#[derive(Debug, Default)]
pub(super) struct Pen {
    sheet: Mutex<Sheet>,
}

#[derive(Debug, Default)]
struct Sheet {
    /// For each listing what comes before the JSON of its trades, or `None` without a subscription.
    prefixes: Vec<Option<Vec<u8>>>,
    receives: bool,
    /// A second handle of the connection's socket, once it is written to directly.
    socket: Option<TcpStream>,
    /// What the socket has not taken yet, from `written` on.
    out: Vec<u8>,
    written: usize,
}

/// What came of writing trades.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wrote {
    pub(super) frames: u64,
    pub(super) bytes: u64,
    /// Bytes that the socket has not taken yet.
    pub(super) waiting: usize,
}

/// One trade as JSON: the number of its listing, and where it ends.
pub(super) type End = (usize, usize);

impl Pen {
    /// Notes which listings are carried.
    pub(super) fn carry(&self, prefixes: Vec<Option<Vec<u8>>>) {
        self.lock().prefixes = prefixes;
    }

    /// Notes whether trades go out at all.
    pub(super) fn set_receives(&self, receives: bool) {
        self.lock().receives = receives;
    }

    /// Whether any listing is carried.
    pub(super) fn carries_any(&self) -> bool {
        self.lock().prefixes.iter().any(Option::is_some)
    }

    /// Whether a trade of this listing would go out now.
    pub(super) fn carries(&self, listing: usize) -> bool {
        let sheet = self.lock();
        sheet.receives && sheet.prefixes.get(listing).is_some_and(Option::is_some)
    }

    /// Appends the frames of trades that are carried; gives their number.
    pub(super) fn frame(&self, out: &mut Vec<u8>, json: &[u8], ends: &[End]) -> u64 {
        push_frames(&self.lock().prefixes, out, json, ends)
    }

    /// From now on everything goes out by this handle, whoever writes it.
    pub(super) fn lend(&self, socket: TcpStream) {
        self.lock().socket = Some(socket);
    }

    /// Lets go of the socket; what it has not taken is lost.
    pub(super) fn take_back(&self) {
        let mut sheet = self.lock();
        (sheet.socket, sheet.receives) = (None, false);
    }

    /// Writes what is no trade, behind what waits; gives what waits afterwards.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut sheet = self.lock();
        sheet.out.extend_from_slice(bytes);
        sheet.flush()
    }

    /// Writes trades, if they are carried and the socket is lent, with one call; an error is the connection's to find.
    pub(super) fn write_trades(&self, json: &[u8], ends: &[End]) -> Wrote {
        let mut sheet = self.lock();
        if !sheet.receives || sheet.socket.is_none() {
            return Wrote::default();
        }
        let before = sheet.out.len();
        let Sheet { prefixes, out, .. } = &mut *sheet;
        let frames = push_frames(prefixes, out, json, ends);
        let bytes = (sheet.out.len() - before) as u64;
        match frames {
            0 => Wrote { waiting: sheet.waiting(), ..Wrote::default() },
            _ => Wrote { frames, bytes, waiting: sheet.flush().unwrap_or(0) },
        }
    }

    /// Writes what waits, as far as the socket takes it; gives what waits afterwards.
    pub(super) fn flush(&self) -> io::Result<usize> {
        self.lock().flush()
    }

    fn lock(&self) -> MutexGuard<'_, Sheet> {
        self.sheet.lock().expect("no thread panics with the pen in hand, because nothing in it can")
    }
}

impl Sheet {
    fn waiting(&self) -> usize {
        self.out.len() - self.written
    }

    fn flush(&mut self) -> io::Result<usize> {
        let Some(socket) = &mut self.socket else { return Ok(self.waiting()) };
        while self.written < self.out.len() {
            match socket.write(&self.out[self.written..]) {
                Ok(taken) => self.written += taken,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(self.waiting()),
                Err(error) => {
                    (self.socket, self.receives) = (None, false);
                    return Err(error);
                }
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(0)
    }
}

fn push_frames(prefixes: &[Option<Vec<u8>>], out: &mut Vec<u8>, json: &[u8], ends: &[End]) -> u64 {
    let (mut start, mut frames) = (0, 0);
    for &(index, end) in ends {
        let json = &json[start..end];
        start = end;
        let Some(prefix) = prefixes.get(index).and_then(Option::as_ref) else { continue };
        let wrapped = !prefix.is_empty();
        wire::push_head(out, wire::TEXT, prefix.len() + json.len() + usize::from(wrapped));
        out.extend_from_slice(prefix);
        out.extend_from_slice(json);
        if wrapped {
            out.push(b'}');
        }
        frames += 1;
    }
    frames
}
