//! Where inputs come from: the queue behind the live feed, or files. Both are a [`Source`].

use std::path::PathBuf;
use std::sync::Arc;

use crate::feed::{Frame, LinkEvent, SessionId};
use crate::repair::Reply;
use crate::snapshot::{Market, Stamp};
use crate::trade::AggTrade;
use crate::units::Symbol;

/// One thing for the pipeline to digest.
#[derive(Debug, Clone)]
pub enum Input {
    /// A message from the stream, or from a recording of one.
    Frame(Frame),
    /// A trade that was read from a table of trades.
    Row(FileRow),
    /// A row or line of a file that is damaged.
    Damaged(DamagedLine),
    /// A connection opened or closed.
    Link(LinkEvent),
    /// The queue had to evict frames of a session. It comes before the frames that outlived them.
    Evicted {
        /// The session.
        session: SessionId,
        /// How many frames.
        frames: u64,
    },
    /// An answer to a question about missing trades.
    Reply(Reply),
    /// Nothing but the time.
    Tick(Stamp),
}

/// A trade out of a file.
#[derive(Debug, Clone)]
pub struct FileRow {
    /// The market the file belongs to.
    pub market: Market,
    /// The symbol the file belongs to.
    pub symbol: Symbol,
    /// The trade.
    pub trade: AggTrade,
}

/// A damaged place in a file: counted, reported by line number, never fatal.
#[derive(Debug, Clone)]
pub struct DamagedLine {
    /// The file.
    pub file: Arc<PathBuf>,
    /// The line, from 1.
    pub line: u64,
    /// What is wrong, in lower case: `no agg_trade_id`.
    pub reason: String,
    /// The line itself, at most 160 characters of it, unescaped.
    pub text: String,
}

/// Everything that was there at once. Kept and refilled, so that a steady stream allocates nothing.
#[derive(Debug, Default)]
pub struct Burst {
    /// In order of arrival.
    pub inputs: std::collections::VecDeque<Input>,
    /// Frames of each session that the queue had to evict since the last burst, oldest session first.
    pub evicted: Vec<(SessionId, u64)>,
    /// When the burst was taken; `None` in a replay, whose numbers know no clock of ours.
    pub taken: Option<Stamp>,
}

/// Delivers inputs in bursts.
pub trait Source: Send {
    /// Empties `burst` and fills it with everything there is, waiting until there is something.
    /// `Ok(false)` means the source has ended and the burst is empty.
    ///
    /// # Errors
    /// [`SourceError`] if the source cannot go on: a file that cannot be read.
    ///
    /// # Cancel safety
    /// A dropped future takes nothing with it.
    fn next(&mut self, burst: &mut Burst) -> impl Future<Output = Result<bool, SourceError>> + Send;
}

/// A source that cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct SourceError {
    /// The situation and what to do, lower case.
    pub what: String,
    /// Why.
    #[source]
    pub cause: Option<std::io::Error>,
}
