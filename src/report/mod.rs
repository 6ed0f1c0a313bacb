//! What the world sees: records (CVD, statistics, states, the final one) on an output of their own, and
//! diagnostics through `tracing`. Everything here renders snapshots and metrics; nothing computes them.

pub mod events;
mod json;
mod lines;
pub mod output;
mod progress;
pub mod sink;
mod stats;
mod table;
mod text;

use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::bars::ClosedBar;
use crate::clock::{self, ClockOffset};
use crate::cvd::CvdConfig;
use crate::metrics::MonitoringMetrics;
use crate::pipeline::Telling;
use crate::progress::ReplayStatistics;
use crate::silence::Cause;
use crate::snapshot::{Coverage, Gap, LaneSummary, Market, Snapshot};
use crate::units::{Symbol, UnixMillis};

pub use lines::LineRecord;
pub use output::{OutputClosed, OutputProgress, RecordWriter};
pub use progress::{pace, show_progress};
use sink::RowWriter;
pub use stats::{ProcessingTimes, Timings};
pub use table::summary_table;
pub(crate) use text::rfc3339;

/// How records look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RecordFormat {
    /// Log lines for people.
    #[default]
    Text,
    /// One JSON object per line; see `docs/output.md`.
    Json,
}

/// The settings of a reporter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportSettings {
    /// How records look.
    pub format: RecordFormat,
    /// A CVD record for every so many trades of a lane; 0 for none.
    pub print_every: u64,
    /// Colours in text records.
    pub color: bool,
}

/// Every lane shows its first trades one by one.
pub const FIRST_TRADES: u64 = 5;

/// The state of the connection, as records show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkStatus {
    /// No connection, none since the start.
    Connecting,
    /// Connected, the subscription is not acknowledged yet.
    Connected,
    /// Connected and subscribed, no trade since.
    Subscribed,
    /// Trades arrive: the last one came within the time that is normal for this stream.
    Streaming,
    /// None came for longer than that, and REST confirms that nobody trades, or cannot be asked, or has not answered
    /// yet.
    Quiet,
    /// The market trades, or must be taken to, and nothing of it arrives.
    Stale,
    /// The connection is lost; the next attempt is waiting.
    Disconnected,
}

impl LinkStatus {
    /// The name in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Subscribed => "subscribed",
            Self::Streaming => "streaming",
            Self::Quiet => "quiet",
            Self::Stale => "stale",
            Self::Disconnected => "disconnected",
        }
    }
}

/// What a run watches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// The market.
    pub market: Market,
    /// The symbols; empty when whatever comes is taken.
    pub symbols: Vec<Symbol>,
}

/// A change of state, or a reminder of one that lasts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StateRecord<'a> {
    /// The state.
    pub status: LinkStatus,
    /// How long it has lasted, in seconds.
    pub seconds: f64,
    /// Why it is so, where there is something to say.
    pub cause: Option<&'a Cause>,
    /// Wall clock, milliseconds since 1970.
    pub at_ms: Option<i64>,
    /// Which ids the numbers cover; see [`covered`].
    pub coverage: Coverage,
}

/// What several lanes cover together: one lane's coverage as it is; of more than one the worst quality, the sum of what
/// is missing, the highest epoch, and no ids.
pub fn covered<'a>(mut lanes: impl Iterator<Item = &'a Coverage>) -> Coverage {
    let first = lanes.next().copied().unwrap_or_default();
    lanes.fold(first, |all, lane| Coverage {
        epoch: all.epoch.max(lane.epoch),
        first_id: None,
        last_id: None,
        // In the order of the names: complete, repairing, missing.
        quality: all.quality.max(lane.quality),
        missing_trades: all.missing_trades + lane.missing_trades,
    })
}

/// A periodic or final record of MonitoringMetrics.
#[derive(Debug, Clone, Copy)]
pub struct StatRecord<'a> {
    /// The counters.
    pub metrics: &'a MonitoringMetrics,
    /// Processing times and latencies.
    pub timings: &'a Timings,
    /// How far our clock is from the exchange's, where that is known.
    pub clock: Option<ClockOffset>,
    /// Wall clock, milliseconds since 1970; `None` in a replay.
    pub at_ms: Option<i64>,
    /// Which ids the numbers cover; see [`covered`].
    pub coverage: Coverage,
    /// The lines of a redundant feed; empty where there is one only.
    pub lines: &'a [LineRecord],
    /// What became of the files of a replay.
    pub files: Option<ReplayStatistics>,
}

/// Turns what happens into records.
#[derive(Debug)]
pub struct Reporter {
    settings: ReportSettings,
    scope: Scope,
    writer: RecordWriter,
    /// A file of every trade or bar.
    rows: Option<RowWriter>,
    lanes: Vec<Option<json::LaneText>>,
    /// When the last shown trade arrived, or happened if it came from a file: with the times of what is told, the only
    /// clock of a replay.
    shown_at: Option<SystemTime>,
    /// Nothing is recorded but the statistics.
    is_silent: bool,
}

impl Reporter {
    /// A reporter onto `writer`.
    pub fn new(settings: ReportSettings, scope: Scope, writer: RecordWriter) -> Self {
        Self { settings, scope, writer, rows: None, lanes: Vec::new(), shown_at: None, is_silent: false }
    }

    /// Keeps every trade, or every bar, in a file besides.
    #[must_use]
    pub fn with_rows(mut self, rows: Option<RowWriter>) -> Self {
        self.rows = rows;
        self
    }

    /// A trade, whether or not it [gets a record](Self::shows): files have them all.
    #[inline]
    pub fn keep(&mut self, snapshot: &Snapshot<'_>) {
        if let Some(rows) = &mut self.rows
            && !self.is_silent
        {
            rows.trade(snapshot);
        }
    }

    /// Which trades anything is made of.
    pub fn telling(&self) -> Telling {
        match self.rows {
            Some(_) => Telling::default(),
            None => Telling { first: FIRST_TRADES, every: self.settings.print_every },
        }
    }

    /// What the run watches.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The run watches something else from here on, and its numbers are made with these settings.
    pub fn watch(&mut self, scope: Scope, calculator: CvdConfig) {
        if let Some(rows) = &mut self.rows {
            rows.begin(scope.market, calculator);
        }
        self.scope = scope;
        self.lanes.clear();
    }

    /// Records nothing but the statistics from here on, or everything again.
    pub fn silence(&mut self, is_silent: bool) {
        self.is_silent = is_silent;
    }

    /// Whether only the statistics are recorded now.
    pub fn is_silent(&self) -> bool {
        self.is_silent
    }

    /// Whether anything is made of a trade with this number in its lane (from 1).
    #[inline]
    pub fn keeps_or_shows(&self, ordinal: u64) -> bool {
        self.rows.is_some() || self.shows(ordinal)
    }

    /// Whether a trade with this number in its lane (from 1) gets a record.
    #[inline]
    pub fn shows(&self, ordinal: u64) -> bool {
        match self.settings.print_every {
            0 => ordinal <= FIRST_TRADES,
            1 => true,
            every => ordinal <= FIRST_TRADES || ordinal.is_multiple_of(every),
        }
    }

    /// The numbers after a trade.
    pub fn trade(&mut self, snapshot: &Snapshot<'_>) {
        if self.is_silent {
            return;
        }
        match self.settings.format {
            RecordFormat::Text => {
                let at = text::moment(snapshot);
                self.shown_at = Some(at);
                let into = self.writer.buffer();
                text::stamp(into, "INFO", self.settings.color, at);
                text::trade(into, snapshot);
            }
            RecordFormat::Json => {
                if self.lanes.len() <= snapshot.lane {
                    self.lanes.resize_with(snapshot.lane + 1, || None);
                }
                let lane = self.lanes[snapshot.lane].get_or_insert_with(|| json::LaneText::new(snapshot));
                json::trade(self.writer.buffer(), lane, snapshot);
            }
        }
    }

    /// Something that happened to the sequence of a lane's ids.
    pub fn gap(&mut self, gap: &Gap<'_>) {
        if self.is_silent {
            return;
        }
        match self.settings.format {
            RecordFormat::Text => {
                let Some(line) = text::gap(gap) else { return };
                // Where there is no clock the recording's own time goes on.
                let at = gap.at.map(|at| text::at(at.wall_ns));
                let at = at.or(self.shown_at.max(gap.after_trade_at.map(text::moment_of)));
                let at = at.unwrap_or_else(clock::wall);
                let into = self.writer.buffer();
                text::stamp(into, text::gap_level(gap.event), self.settings.color, at);
                into.extend_from_slice(line.as_bytes());
                into.push(b'\n');
            }
            RecordFormat::Json => json::gap(self.writer.buffer(), gap),
        }
    }

    /// A bar that is over.
    pub fn bar(&mut self, bar: &ClosedBar<'_>) {
        if self.is_silent {
            return;
        }
        if let Some(rows) = &mut self.rows {
            rows.bar(bar);
        }
        match self.settings.format {
            RecordFormat::Text => {
                let at = text::closing(bar);
                let into = self.writer.buffer();
                text::stamp(into, "INFO", self.settings.color, at);
                text::bar(into, bar);
            }
            RecordFormat::Json => json::bar(self.writer.buffer(), bar),
        }
    }

    /// The state of the connection.
    pub fn state(&mut self, record: &StateRecord<'_>) {
        if self.is_silent {
            return;
        }
        match self.settings.format {
            RecordFormat::Text => {
                let Some(line) = text::state(record) else { return };
                let into = self.writer.buffer();
                let at = record.at_ms.map(|ms| text::moment_of(UnixMillis(ms)));
                let at = at.unwrap_or_else(clock::wall);
                text::stamp(into, text::state_level(record.status), self.settings.color, at);
                into.extend_from_slice(line.as_bytes());
                into.push(b'\n');
            }
            RecordFormat::Json => json::state(self.writer.buffer(), &self.scope, record),
        }
    }

    /// The periodic statistics.
    pub fn stat(&mut self, record: &StatRecord<'_>) {
        match self.settings.format {
            RecordFormat::Text => {
                let into = self.writer.buffer();
                text::stamp(into, "INFO", self.settings.color, clock::wall());
                text::stat(into, "[STAT]", record);
            }
            RecordFormat::Json => json::stat(self.writer.buffer(), &self.scope, record),
        }
    }

    /// The last record: every lane's totals and all metrics.
    pub fn last(&mut self, lanes: &[LaneSummary], record: &StatRecord<'_>) {
        if let Some(rows) = &mut self.rows {
            rows.last();
        }
        // A live run has a clock; in a replay the recording's own time goes on.
        let last_trade =
            lanes.iter().filter_map(|lane| lane.flow.span).map(|(_, last)| text::moment_of(last)).max();
        let recorded = if record.at_ms.is_none() { self.shown_at.max(last_trade) } else { None };
        let at = recorded.unwrap_or_else(clock::wall);
        let into = self.writer.buffer();
        match self.settings.format {
            RecordFormat::Text => {
                for lane in lanes {
                    text::stamp(into, "INFO", self.settings.color, at);
                    text::summary(into, lane);
                }
                text::stamp(into, "INFO", self.settings.color, at);
                text::stat(into, "[FINAL]", record);
                if let Some(files) = &record.files {
                    into.extend_from_slice(summary_table(lanes, files).as_bytes());
                }
            }
            RecordFormat::Json => json::last(into, &self.scope, lanes, record),
        }
    }

    /// Hands what is written to the output, and rows to their file once they are enough; see [`RecordWriter::flush`].
    ///
    /// # Errors
    /// [`OutputClosed`] if nobody reads the output any more or it, or the file, cannot be written.
    pub async fn flush(&mut self) -> Result<(), OutputClosed> {
        if let Some(rows) = &mut self.rows {
            rows.flush().await?;
        }
        self.writer.flush().await
    }

    /// The file whose disk is behind, where that is what a [flush](Self::flush) waits for.
    pub fn awaited_file(&self) -> Option<&Path> {
        self.rows.as_ref().filter(|rows| rows.is_waiting()).map(RowWriter::path)
    }

    /// How much is written of what was handed to the output.
    pub fn progress(&self) -> OutputProgress {
        self.writer.progress()
    }

    /// Ready when everything that was handed to the output is written, or will never be.
    pub async fn all_written(&self) {
        self.writer.all_written().await;
    }

    /// Ready when a log line waits to go between the records.
    pub async fn log_line_arrived(&self) {
        self.writer.log_line_arrived().await;
    }

    /// Whether so much is written that waiting for the end of the burst would be too much.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.writer.is_full() || self.rows.as_ref().is_some_and(RowWriter::is_full)
    }
}

/// The lines of the final record, without stamps.
pub fn totals(lanes: &[LaneSummary], record: &StatRecord<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    lanes.iter().for_each(|lane| text::summary(&mut lines, lane));
    text::stat(&mut lines, "[FINAL]", record);
    String::from_utf8_lossy(&lines).lines().map(str::to_owned).collect()
}
