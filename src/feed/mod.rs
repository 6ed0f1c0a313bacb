//! The feed: text and liveness. It keeps a connection standing and hands on what arrives; it knows nothing
//! of what a frame means.

use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::snapshot::Stamp;

/// A standing connection: one, or two when redundant. It outlives its sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct LineId(pub u8);

/// One life of a line, from handshake to end; counts up from 1 over the whole process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct SessionId(pub u64);

/// One text message as it arrived, and where it came from.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The line it came over.
    pub line: LineId,
    /// The session of that line.
    pub session: SessionId,
    /// Its number within the session, from 1.
    pub ordinal: u64,
    /// When its bytes were read from the socket; frames of one read share a stamp. `None` where a
    /// recording does not say.
    pub received: Option<Stamp>,
    /// The message, unread.
    pub text: Utf8Bytes,
}

/// What happened to a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkChange {
    /// The handshake is done.
    Opened,
    /// The session is over.
    Closed,
}

/// A change of a line, in order with its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkEvent {
    /// The line.
    pub line: LineId,
    /// Its session.
    pub session: SessionId,
    /// When.
    pub at: Stamp,
    /// What.
    pub change: LinkChange,
}
