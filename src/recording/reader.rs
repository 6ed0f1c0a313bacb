//! Many segments as one stream of inputs, run by run, with everything named that is not there.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use crate::report::rfc3339;
use crate::snapshot::Stamp;
use crate::source::{Beginning, Burst, DamagedLine, Input, Source, SourceError};
use crate::text::escaped;

use super::end::{End, Ending};
use super::error::{RecordingError, RecordingFault, WhatIsWrong};
use super::find;
use super::header::{Header, HeaderError};
use super::name::PART;
use super::segment::{Cut, Item, SegmentReader};

/// Inputs per burst.
pub(super) const BURST: usize = 1024;

/// Opens a file for reading; tests read what is on a simulated disk.
type Open = Box<dyn Fn(&Path) -> io::Result<Box<dyn io::Read + Send>> + Send>;

/// Reads segments in the order in which they were recorded.
///
/// What the first segment of a run leads on from is delivered as [`Input::Begin`], and again wherever the inputs do not go
/// on where the segment before ended; there, and wherever a segment cannot be read to its end, [`Input::Lost`] comes
/// first and says what is missing.
pub struct RecordingReader {
    open: Open,
    segments: VecDeque<Segment>,
    current: Option<(Arc<PathBuf>, SegmentReader)>,
    /// Up to where the present run is read.
    place: Option<Place>,
    /// What comes before anything else is read.
    waiting: VecDeque<Recorded>,
    statistics: RecordingStatistics,
}

/// A segment that waits for its turn.
#[derive(Debug, Clone)]
struct Segment {
    file: Arc<PathBuf>,
    /// The first line without settings and state.
    header: Header,
}

/// Up to where a run is read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    run: String,
    /// The number of the segment that was read last.
    segment: u64,
    /// How many inputs of the run came before the next.
    inputs: u64,
    /// Whether the segment was read to its end, and ended because the next was to begin.
    rotated: bool,
}

/// What was read so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordingStatistics {
    /// Inputs.
    pub inputs: u64,
    /// Segments that were read to their end, or as far as they go.
    pub segments: u64,
    /// Places where something is missing.
    pub lost: u64,
}

/// Something out of a recording.
#[derive(Debug)]
pub enum Recorded {
    /// Inputs lead on from this state, not from what came before.
    Begin(Header),
    /// An input.
    Input(Input),
    /// Something is missing here; nothing comes after it that leads on from what came before it.
    Lost(DamagedLine),
}

impl RecordingReader {
    /// What is named on a command line: recordings, files of them, or something else, which is none of this room's
    /// (`None`).
    ///
    /// # Errors
    /// [`RecordingError`] if it is a mixture of both, or cannot be read.
    pub fn of(arguments: &[PathBuf]) -> Result<Option<Self>, RecordingError> {
        let (mut files, mut recording, mut other) = (Vec::new(), None, None);
        for argument in arguments {
            let found = find::recorded(argument)?;
            let kind = if found.is_some() { &mut recording } else { &mut other };
            kind.get_or_insert(argument);
            files.extend(found.into_iter().flatten());
        }
        match (recording, other) {
            (None, _) => Ok(None),
            (Some(_), None) => Self::open(files).map(Some),
            (Some(recording), Some(other)) => {
                Err(RecordingError::Mixed { recording: recording.clone(), other: other.clone() })
            }
        }
    }

    /// Opens segments, in whatever order they are given, and reads none of them further than its first line. A file that
    /// cannot be used is left out; that is the first thing that is delivered then.
    ///
    /// # Errors
    /// [`RecordingError::Files`] if none can be used, or a later program wrote one.
    pub fn open(files: Vec<PathBuf>) -> Result<Self, RecordingError> {
        Self::open_with(files, Box::new(|path: &Path| Ok(Box::new(File::open(path)?))))
    }

    pub(super) fn open_with(files: Vec<PathBuf>, open: Open) -> Result<Self, RecordingError> {
        let (mut segments, mut faults) = (Vec::new(), Vec::new());
        for file in files {
            match open_segment(&open, &file) {
                Ok(reader) => {
                    let header =
                        Header { settings: String::new(), state: String::new(), ..reader.header().clone() };
                    segments.push(Segment { file: Arc::new(file), header });
                }
                Err(fault) => faults.push(fault),
            }
        }
        let is_newer =
            |fault: &RecordingFault| matches!(fault.what, WhatIsWrong::Header(HeaderError::Newer(_)));
        if segments.is_empty() && !faults.is_empty() || faults.iter().any(is_newer) {
            faults.sort_by_key(|fault| !is_newer(fault));
            return Err(RecordingError::Files(faults));
        }
        let mut reader = Self {
            open,
            segments: in_order(segments).into(),
            current: None,
            place: None,
            waiting: VecDeque::new(),
            statistics: RecordingStatistics::default(),
        };
        for RecordingFault { file, what } in faults {
            reader.lose(&Arc::new(file), 1, format!("{what}; it is left out"));
        }
        Ok(reader)
    }

    /// Leaves out the segments that end before a time: of each directory, which one process at a time writes to, reading
    /// begins with the last one that begins before it, or with the first.
    pub fn skip_to(&mut self, wall_ns: i64) {
        let mut begun_before = HashMap::new();
        for (at, Segment { file, header }) in self.segments.iter().enumerate() {
            if header.begun.wall_ns <= wall_ns {
                begun_before.insert(directory_of(file), at);
            }
        }
        let mut at = 0..;
        let is_over = self.segments.iter().map(|segment| {
            let at = at.next().unwrap_or(usize::MAX);
            begun_before.get(&directory_of(&segment.file)).is_some_and(|last| at < *last)
        });
        let mut is_over = is_over.collect::<Vec<_>>().into_iter();
        self.segments.retain(|_| is_over.next() == Some(false));
    }

    /// Leaves out the segments that begin at a time or later.
    pub fn end_at(&mut self, wall_ns: i64) {
        self.segments.retain(|segment| segment.header.begun.wall_ns < wall_ns);
    }

    /// The settings of the monitor in the first file, as JSON; `None` if it cannot be read.
    pub fn first_settings(&self) -> Option<String> {
        let first = self.segments.front()?;
        Some(open_segment(&self.open, &first.file).ok()?.take_header().settings)
    }

    /// The files that are still to be read, with their first lines (without settings and state), in that order.
    pub fn segments(&self) -> impl Iterator<Item = (&Path, &Header)> {
        self.segments.iter().map(|segment| (segment.file.as_path(), &segment.header))
    }

    /// What was read so far.
    pub fn statistics(&self) -> RecordingStatistics {
        self.statistics
    }

    /// What comes next; `None` at the end of the last segment.
    #[expect(
        clippy::should_implement_trait,
        reason = "it is not meant to be adapted, but to be read to its end"
    )]
    #[inline]
    pub fn next(&mut self) -> Option<Recorded> {
        loop {
            if let Some(waiting) = self.waiting.pop_front() {
                return Some(waiting);
            }
            match self.current.as_mut().map(|(_, reader)| reader.next()) {
                Some(Some(Item::Input(input))) => {
                    self.statistics.inputs += 1;
                    return Some(Recorded::Input(input));
                }
                Some(Some(end)) => self.leave(&end),
                Some(None) => self.current = None,
                None => {
                    let next = self.segments.pop_front()?;
                    self.turn_to(&next);
                }
            }
        }
    }

    /// Empties `inputs` and reads the next so many; `false` at the end.
    pub fn read(&mut self, inputs: &mut VecDeque<Input>, burst: usize) -> bool {
        inputs.clear();
        while inputs.len() < burst.max(1) {
            match self.next() {
                Some(recorded) => inputs.push_back(recorded.into()),
                None => break,
            }
        }
        !inputs.is_empty()
    }

    /// Opens a segment, and says what lies between it and the one before.
    fn turn_to(&mut self, segment: &Segment) {
        let before = self.place.take();
        let header = match open_segment(&self.open, &segment.file) {
            Ok(mut reader) => {
                let header = reader.take_header();
                self.current = Some((Arc::clone(&segment.file), reader));
                header
            }
            Err(fault) => return self.lose(&segment.file, 1, fault.what.to_string()),
        };
        let before = before.filter(|before| before.run == header.run);
        if let Some(before) = &before
            && before.segment == header.segment
        {
            let what =
                format!("is segment {} of run {} once more, and is left out", header.segment, header.run);
            self.current = None;
            self.place = Some(before.clone());
            return self.lose(&segment.file, 1, what);
        }
        self.place = Some(Place {
            run: header.run.clone(),
            segment: header.segment,
            inputs: header.first_input,
            rotated: false,
        });
        let gap = before.as_ref().and_then(|before| gap(before, &header));
        let leads_on = before.is_some_and(|before| before.rotated) && gap.is_none();
        if let Some(what) = gap {
            self.lose(&segment.file, 1, what);
        }
        if !leads_on {
            self.waiting.push_back(Recorded::Begin(header));
        }
    }

    /// The segment ends, one way or the other.
    fn leave(&mut self, end: &Item) {
        let Some((file, reader)) = self.current.take() else { return };
        self.statistics.segments += 1;
        if let Some(place) = &mut self.place {
            place.inputs = place.inputs.saturating_add(reader.inputs());
            place.rotated = matches!(end, Item::End(end) if end.ending == Ending::Rotated);
        }
        let what = match end {
            Item::End(end) if end.ending.is_clean() => return,
            Item::End(End { ending, reason, .. }) => {
                let (ending, reason) = (ending.as_str(), reason.as_deref().unwrap_or_default());
                let reason = escaped(reason.as_bytes());
                format!(
                    "the recording stopped {} ({ending}: {reason}): nothing is recorded from there",
                    after(&reader)
                )
            }
            Item::Cut(Cut { reason, bytes, .. }) => {
                let after = after(&reader);
                match bytes {
                    // Nobody knows what was not handed to the disk any more.
                    0 => format!("{reason}; what came {after} is not in it: a second or less"),
                    bytes => format!("{reason}; {bytes} bytes are lost {after}"),
                }
            }
            Item::Input(_) => return,
        };
        self.lose(&file, reader.inputs() + 2, what);
    }

    fn lose(&mut self, file: &Arc<PathBuf>, line: u64, reason: String) {
        self.statistics.lost += 1;
        let lost = DamagedLine { file: Arc::clone(file), line, reason, text: String::new() };
        self.waiting.push_back(Recorded::Lost(lost));
    }
}

fn directory_of(file: &Path) -> Option<PathBuf> {
    file.parent().map(Path::to_owned)
}

/// Up to where a segment was read: `after input 17 (2026-11-21T13:00:00.000Z)`, counted from the beginning of its run.
fn after(reader: &SegmentReader) -> String {
    let inputs = reader.header().first_input.saturating_add(reader.inputs());
    match reader.last() {
        Some(at) => format!("after input {inputs} ({})", shown(at)),
        None => format!("after input {inputs}"),
    }
}

fn shown(at: Stamp) -> String {
    rfc3339(UNIX_EPOCH + Duration::from_nanos(u64::try_from(at.wall_ns).unwrap_or(0)))
}

/// What is missing between the end of a segment and one of the same run.
fn gap(before: &Place, header: &Header) -> Option<String> {
    let run = &header.run;
    let missing = header.first_input.checked_sub(before.inputs);
    match (header.segment.checked_sub(before.segment), missing) {
        (Some(1), Some(0)) => None,
        (Some(1), Some(inputs)) => Some(format!("{inputs} inputs of run {run} before it are not recorded")),
        (Some(2..), Some(inputs)) => {
            let (from, to) = (before.segment + 1, header.segment - 1);
            Some(format!(
                "segments {from} to {to} of run {run} before it are not there, {inputs} inputs together"
            ))
        }
        _ => Some(format!("contradicts the segment of run {run} before it")),
    }
}

/// The runs in the order in which they began, each in the order of its segments.
fn in_order(mut segments: Vec<Segment>) -> Vec<Segment> {
    let mut begun: BTreeMap<String, (u64, i64)> = BTreeMap::new();
    for Segment { header, .. } in &segments {
        let first = (header.segment, header.begun.wall_ns);
        begun.entry(header.run.clone()).and_modify(|known| *known = first.min(*known)).or_insert(first);
    }
    segments.sort_by_cached_key(|Segment { file, header }| {
        let begun = begun.get(&header.run).map(|(_, begun)| *begun);
        (begun, header.run.clone(), header.segment, Arc::clone(file))
    });
    segments
}

fn open_segment(open: &Open, file: &Path) -> Result<SegmentReader, RecordingFault> {
    // One that was being written when it was found may be finished by now.
    let finished = || file.to_str().and_then(|name| name.strip_suffix(PART)).map(Path::new);
    let reader = open(file)
        .or_else(|error| match (error.kind(), finished()) {
            (io::ErrorKind::NotFound, Some(finished)) => open(finished),
            _ => Err(error),
        })
        .map_err(|error| RecordingFault { file: file.to_owned(), what: WhatIsWrong::Unreadable(error) })?;
    SegmentReader::open(reader, file)
}

impl From<Recorded> for Input {
    fn from(recorded: Recorded) -> Self {
        match recorded {
            Recorded::Input(input) => input,
            Recorded::Lost(lost) => Self::Lost(lost),
            Recorded::Begin(Header { run, begun: at, settings, state, .. }) => {
                Self::Begin(Box::new(Beginning { run, at, settings, state }))
            }
        }
    }
}

impl Source for RecordingReader {
    async fn next(&mut self, burst: &mut Burst) -> Result<bool, SourceError> {
        // The only await comes before anything is read: a dropped future takes nothing with it.
        tokio::task::yield_now().await;
        burst.evicted.clear();
        Ok(self.read(&mut burst.inputs, BURST))
    }
}

impl fmt::Debug for RecordingReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordingReader")
            .field("segments", &self.segments)
            .field("statistics", &self.statistics)
            .finish_non_exhaustive()
    }
}
