//! What the world sees: records (CVD, statistics, states, the final one) on an output of their own, and
//! diagnostics through `tracing`. Everything here renders snapshots and metrics; nothing computes them.

pub(crate) mod amount;
mod broadcast;
pub mod events;
pub(crate) mod json;
mod lines;
pub mod output;
mod picked;
mod progress;
mod records;
mod scope;
pub mod sink;
mod stats;
mod symbol;
mod table;
mod text;

use std::path::Path;
use std::time::SystemTime;

use crate::bars::ClosedBar;
use crate::clock;
use crate::cvd::CvdConfig;
use crate::groups::Group;
use crate::movers::Interval;
use crate::pipeline::Telling;
use crate::snapshot::{Gap, Instrument, LaneSummary, Market, Snapshot};
use crate::units::{Symbol, UnixMillis};

pub use broadcast::{
    Broadcast, Chunk, Heard, KEPT_BYTES, KEPT_GAPS, KEPT_RECORDS, Listener, Record, broadcast,
};
#[cfg(feature = "ops")]
pub(crate) use json::VERSION as RECORD_VERSION;
pub use lines::LineRecord;
pub use output::{OutputClosed, OutputProgress, RecordWriter};
pub use picked::Pick;
use picked::Picked;
pub use progress::{pace, show_progress};
pub use records::{
    FIRST_TRADES, LinkStatus, RecordFormat, ReportSettings, ShardScope, StatRecord, StateRecord, covered,
};
pub use scope::{FEW, Scope};
use scope::{Name, named};
use sink::RowWriter;
pub use stats::{ProcessingTimes, Timings};
pub use symbol::SymbolRecord;
pub use table::summary_table;
pub(crate) use text::rfc3339;
#[cfg(feature = "cli")]
pub(crate) use text::stamp;

/// Turns what happens into records.
#[derive(Debug)]
pub struct Reporter {
    settings: ReportSettings,
    scope: Scope,
    /// Which trades of a lane get a record: the first so many, and every so many.
    shown: Telling,
    /// There are several markets, so that a symbol alone may mean several lanes.
    are_mixed: bool,
    /// Which lanes get records of trades, bars and movers.
    picked: Picked,
    writer: RecordWriter,
    /// A file of every trade or bar.
    rows: Option<RowWriter>,
    lanes: Vec<Option<json::LaneText>>,
    /// When the last shown trade arrived, or happened if it came from a file: with the times of what is told, the only
    /// clock of a replay.
    shown_at: Option<SystemTime>,
    /// Nothing is recorded but the statistics.
    is_silent: bool,
    /// Text has no records of trades, because there are too many symbols.
    is_flood: bool,
    /// Where records go besides, as JSON, to be listened to.
    broadcast: Option<Broadcast>,
}

/// Where a record goes that is JSON.
struct Json<'r> {
    /// `None` where records are text.
    writer: Option<&'r mut RecordWriter>,
    /// `None` where nobody listens.
    broadcast: Option<&'r mut Broadcast>,
    scope: &'r Scope,
}

impl Json<'_> {
    fn is_wanted(&self) -> bool {
        self.writer.is_some() || self.broadcast.is_some()
    }

    /// Writes a record wherever it is wanted; `of` is the one symbol that it is of, if it is of one.
    fn tell(
        self,
        kind: &'static str,
        of: Option<(Market, &Symbol)>,
        write: impl FnOnce(&mut Vec<u8>, &Scope),
    ) {
        match (self.writer, self.broadcast) {
            (Some(writer), broadcast) => {
                let into = writer.buffer();
                let begin = into.len();
                write(into, self.scope);
                if let Some(broadcast) = broadcast {
                    broadcast.copy(kind, of, &into[begin..]);
                }
            }
            (None, Some(broadcast)) => broadcast.write(kind, of, |into| write(into, self.scope)),
            (None, None) => {}
        }
    }
}

impl Reporter {
    /// A reporter onto `writer`.
    pub fn new(settings: ReportSettings, scope: Scope, writer: RecordWriter) -> Self {
        let mut reporter = Self {
            settings,
            scope,
            shown: Telling::default(),
            are_mixed: false,
            picked: Picked::default(),
            writer,
            rows: None,
            lanes: Vec::new(),
            shown_at: None,
            is_silent: false,
            is_flood: false,
            broadcast: None,
        };
        reporter.heed_scope();
        reporter
    }

    /// Limits the records of trades, bars and movers to the lanes of some instruments. Everything else is told of all.
    #[must_use]
    pub fn only(mut self, pick: Option<Pick>) -> Self {
        self.picked = Picked::by(pick);
        self
    }

    /// Lets others listen to the records, as JSON whatever they look like.
    #[must_use]
    pub fn with_broadcast(mut self, broadcast: Option<Broadcast>) -> Self {
        self.broadcast = broadcast;
        self.heed_scope();
        self
    }

    /// The number of the last record that was told to those who [listen](Listener); 0 before the first.
    pub fn told(&self) -> u64 {
        self.broadcast.as_ref().map_or(0, Broadcast::told)
    }

    fn json(&mut self) -> Json<'_> {
        let Self { settings, writer, broadcast, scope, .. } = self;
        let writer = (settings.format == RecordFormat::Json).then_some(writer);
        Json { writer, broadcast: broadcast.as_mut(), scope }
    }

    /// What is shown depends on how much is watched.
    fn heed_scope(&mut self) {
        let ReportSettings { format, print_every, prints_many, .. } = self.settings;
        self.is_flood = format == RecordFormat::Text && self.scope.are_many() && !prints_many;
        self.shown = match self.is_flood && self.broadcast.is_none() {
            true => Telling { first: 0, every: 0 },
            false => Telling { first: FIRST_TRADES, every: print_every },
        };
        self.are_mixed = self.scope.only_market().is_none();
    }

    /// Whether a [table of movers](Self::movers) gets a record.
    pub fn shows_movers(&self) -> bool {
        match self.settings.format {
            RecordFormat::Text => self.settings.is_table_asked || self.scope.are_many(),
            RecordFormat::Json => self.settings.is_table_asked,
        }
    }

    /// Whether a lane may be among the movers.
    pub fn is_picked(&mut self, lane: usize, instrument: &Instrument) -> bool {
        self.picked.is(lane, instrument.market, &instrument.symbol)
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
            None => self.shown,
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
        self.picked.forget();
        self.heed_scope();
    }

    /// Records nothing but the statistics from here on, or everything again.
    pub fn silence(&mut self, is_silent: bool) {
        self.is_silent = is_silent;
    }

    /// Whether only the statistics are recorded now.
    pub fn is_silent(&self) -> bool {
        self.is_silent
    }

    /// Whether anything is made of a trade of a lane with this number in it (from 1).
    #[inline]
    pub fn keeps_or_shows(&self, lane: usize, ordinal: u64) -> bool {
        self.rows.is_some() || self.shows(lane, ordinal)
    }

    /// Whether a trade of a lane with this number in it (from 1) gets a record, as far as is known.
    #[inline]
    pub fn shows(&self, lane: usize, ordinal: u64) -> bool {
        let is_due = match self.shown.every {
            0 => ordinal <= self.shown.first,
            1 => true,
            every => ordinal <= self.shown.first || ordinal.is_multiple_of(every),
        };
        is_due && self.picked.may(lane)
    }

    /// The numbers after a trade.
    pub fn trade(&mut self, snapshot: &Snapshot<'_>) {
        if self.is_silent || !self.picked.is(snapshot.lane, snapshot.market, snapshot.symbol) {
            return;
        }
        if self.settings.format == RecordFormat::Text && !self.is_flood {
            let at = text::moment(snapshot);
            self.shown_at = Some(at);
            let name = self.name(snapshot.market, snapshot.symbol);
            let into = self.writer.buffer();
            text::stamp(into, "INFO", self.settings.color, at);
            text::trade(into, name, snapshot);
        }
        let Self { settings, writer, broadcast, scope, lanes, .. } = self;
        let writer = (settings.format == RecordFormat::Json).then_some(writer);
        let json = Json { writer, broadcast: broadcast.as_mut(), scope };
        if json.is_wanted() {
            if lanes.len() <= snapshot.lane {
                lanes.resize_with(snapshot.lane + 1, || None);
            }
            let lane = lanes[snapshot.lane].get_or_insert_with(|| json::LaneText::new(snapshot));
            let of = Some((snapshot.market, snapshot.symbol));
            json.tell("cvd", of, |into, _| json::trade(into, lane, snapshot));
        }
    }

    /// Something that happened to the sequence of a lane's ids.
    pub fn gap(&mut self, gap: &Gap<'_>) {
        if self.is_silent {
            return;
        }
        if self.settings.format == RecordFormat::Text
            && let Some(line) = text::gap(self.name(gap.market, gap.symbol), gap)
        {
            // Where there is no clock the recording's own time goes on.
            let at = gap.at.map(|at| text::at(at.wall_ns));
            let at = at.or(self.shown_at.max(gap.after_trade_at.map(text::moment_of)));
            let at = at.unwrap_or_else(clock::wall);
            let into = self.writer.buffer();
            text::stamp(into, text::gap_level(gap.event), self.settings.color, at);
            into.extend_from_slice(line.as_bytes());
            into.push(b'\n');
        }
        self.json().tell("gap", Some((gap.market, gap.symbol)), |into, _| json::gap(into, gap));
    }

    /// A bar that is over.
    pub fn bar(&mut self, bar: &ClosedBar<'_>) {
        if self.is_silent {
            return;
        }
        if let Some(rows) = &mut self.rows {
            rows.bar(bar);
        }
        if !self.picked.is(bar.lane, bar.market, bar.symbol) {
            return;
        }
        if self.settings.format == RecordFormat::Text {
            let (at, name) = (text::closing(bar), self.name(bar.market, bar.symbol));
            let into = self.writer.buffer();
            text::stamp(into, "INFO", self.settings.color, at);
            text::bar(into, name, bar);
        }
        self.json().tell("bar", Some((bar.market, bar.symbol)), |into, _| json::bar(into, bar));
    }

    /// The state of the connection.
    pub fn state(&mut self, record: &StateRecord<'_>) {
        if self.is_silent {
            return;
        }
        if self.settings.format == RecordFormat::Text
            && let Some(line) = text::state(record)
        {
            let into = self.writer.buffer();
            let at = record.at_ms.map(|ms| text::moment_of(UnixMillis(ms)));
            let at = at.unwrap_or_else(clock::wall);
            text::stamp(into, text::state_level(record.status), self.settings.color, at);
            into.extend_from_slice(line.as_bytes());
            into.push(b'\n');
        }
        self.json().tell("state", None, |into, scope| json::state(into, scope, record));
    }

    /// What an interval came to, if that [is shown](Self::shows_movers).
    pub fn movers(&mut self, interval: &Interval) {
        if self.is_silent || !self.shows_movers() {
            return;
        }
        let are_some = self.picked.are_some();
        if self.settings.format == RecordFormat::Text {
            let into = self.writer.buffer();
            for line in text::movers(interval, self.are_mixed, are_some) {
                text::stamp(into, "INFO", self.settings.color, text::at(interval.at.wall_ns));
                into.extend_from_slice(line.as_bytes());
                into.push(b'\n');
            }
        }
        self.json().tell("movers", None, |into, scope| json::movers(into, scope, interval, are_some));
    }

    /// What a group adds up to; the time is the wall clock's, in milliseconds since 1970.
    pub fn group(&mut self, group: &Group, at_ms: Option<i64>) {
        if self.is_silent {
            return;
        }
        if self.settings.format == RecordFormat::Text {
            let at = at_ms.map(|ms| text::moment_of(UnixMillis(ms)));
            let at = at.or(self.shown_at).unwrap_or_else(clock::wall);
            let into = self.writer.buffer();
            text::stamp(into, "INFO", self.settings.color, at);
            text::group(into, group);
        }
        self.json().tell("group", None, |into, _| json::group(into, group, at_ms));
    }

    /// A symbol joins or ends while others are followed.
    pub fn symbol(&mut self, record: &SymbolRecord<'_>) {
        // Told as what it was before it is forgotten, and as what it is once it is known.
        match record {
            SymbolRecord::Joined { instrument, .. } => {
                self.scope.join(instrument);
                self.heed_scope();
                self.tell_symbol(record);
            }
            SymbolRecord::Ended { summary, .. } => {
                self.tell_symbol(record);
                self.scope.leave(summary.market, &summary.symbol);
                self.heed_scope();
            }
        }
    }

    fn tell_symbol(&mut self, record: &SymbolRecord<'_>) {
        if self.is_silent {
            return;
        }
        let of = (record.market(), record.symbol());
        if self.settings.format == RecordFormat::Text {
            let at = record.at_ms().map(|ms| text::moment_of(UnixMillis(ms))).unwrap_or_else(clock::wall);
            let name = self.name(of.0, of.1);
            let into = self.writer.buffer();
            text::stamp(into, "INFO", self.settings.color, at);
            match record {
                SymbolRecord::Joined { .. } => text::joined(into, name, record),
                SymbolRecord::Ended { summary, why, .. } => {
                    text::summary(into, name, summary, Some(why.as_str()));
                }
            }
        }
        self.json().tell("symbol", Some(of), |into, _| json::symbol(into, record));
    }

    fn name<'n>(&self, market: Market, symbol: &'n Symbol) -> Name<'n> {
        Name { market, symbol, is_one_of_several_markets: self.are_mixed }
    }

    /// The periodic statistics.
    pub fn stat(&mut self, record: &StatRecord<'_>) {
        if self.settings.format == RecordFormat::Text {
            let into = self.writer.buffer();
            text::stamp(into, "INFO", self.settings.color, clock::wall());
            text::stat(into, "[STAT]", record);
        }
        self.json().tell("stat", None, |into, scope| json::stat(into, scope, record));
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
        if self.settings.format == RecordFormat::Text {
            let into = self.writer.buffer();
            for (lane, name) in named(lanes) {
                text::stamp(into, "INFO", self.settings.color, at);
                text::summary(into, name, lane, None);
            }
            text::stamp(into, "INFO", self.settings.color, at);
            text::stat(into, "[FINAL]", record);
            if let Some(files) = &record.files {
                into.extend_from_slice(summary_table(lanes, files).as_bytes());
            }
        }
        self.json().tell("final", None, |into, scope| json::last(into, scope, lanes, record));
    }

    /// Hands what is written to the output, and rows to their file once they are enough; see [`RecordWriter::flush`].
    ///
    /// # Errors
    /// [`OutputClosed`] if nobody reads the output any more or it, or the file, cannot be written.
    pub async fn flush(&mut self) -> Result<(), OutputClosed> {
        if let Some(broadcast) = &mut self.broadcast {
            broadcast.flush();
        }
        if let Some(rows) = &mut self.rows {
            rows.flush().await?;
        }
        self.writer.flush().await
    }

    /// Whether a flush would do anything at all.
    #[inline]
    pub fn has_to_flush(&self) -> bool {
        self.rows.is_some()
            || self.writer.has_to_flush()
            || self.broadcast.as_ref().is_some_and(Broadcast::has_pending)
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

    /// Whether so much is written that it should be handed over now.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.writer.is_full() || self.rows.as_ref().is_some_and(RowWriter::is_full)
    }
}

/// The lines of the final record, without stamps.
pub fn totals(lanes: &[LaneSummary], record: &StatRecord<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    named(lanes).for_each(|(lane, name)| text::summary(&mut lines, name, lane, None));
    text::stat(&mut lines, "[FINAL]", record);
    String::from_utf8_lossy(&lines).lines().map(str::to_owned).collect()
}
