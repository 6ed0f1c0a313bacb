//! Finds out what a file is from its first lines.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::feed::SessionId;
use crate::recording::Header;
use crate::snapshot::Market;
use crate::units::Symbol;

use super::doubt::Doubt;
use super::fault::{FaultReason, FileFault};
use super::frames::{self, Frames};
use super::lines::Lines;
use super::range::Extent;
use super::table::{Columns, Table};
use super::{FileLanes, Format, ReplayOptions, checksum, name, notices, open};

/// A file that is known and waits for its turn.
#[derive(Debug)]
pub(super) struct Recognised {
    pub(super) file: Arc<PathBuf>,
    pub(super) lanes: FileLanes,
    pub(super) format: Format,
    /// The lines of a pipe, which cannot be opened again.
    pub(super) held: Option<Lines>,
    /// What is known of its rows.
    pub(super) extent: Extent,
    pub(super) order: Order,
    /// The first stamp of a file of frames, in nanoseconds since 1970.
    pub(super) first_stamp_ns: Option<i64>,
    /// Its bytes on disk; 0 for a pipe.
    pub(super) on_disk: u64,
}

/// What is known of the order of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// It has to be watched.
    Unknown,
    /// All are in order, though ids may be missing.
    Known,
    /// Some are not.
    Disordered {
        /// All rows, where that is known.
        rows: Option<u64>,
    },
}

impl Recognised {
    /// The same file, to be opened once more; `None` for a pipe.
    pub(super) fn again(&self) -> Option<Self> {
        self.held.is_none().then(|| Self {
            file: Arc::clone(&self.file),
            lanes: self.lanes.clone(),
            format: self.format.clone(),
            held: None,
            ..*self
        })
    }

    /// Compares it with the checksum beside it, if there is one.
    pub(super) fn verify(&self) -> Result<(), FileFault> {
        if self.held.is_some() {
            return Ok(());
        }
        let verified = checksum::verify(&self.file);
        verified.map(drop).map_err(|reason| FileFault { file: self.file.to_path_buf(), reason })
    }
}

/// How far a file is looked into.
const HEAD_BYTES: usize = 64 * 1024;
/// How many lines may be damaged before the first that tells.
const HEAD_LINES: usize = 10;

/// Finds out what a file is.
pub(super) fn recognise(
    file: PathBuf,
    session: SessionId,
    options: &ReplayOptions,
) -> Result<Recognised, FileFault> {
    let file = Arc::new(file);
    let fault = |reason| FileFault { file: file.to_path_buf(), reason };
    let (head, opened) =
        open::open(&file, &Arc::default()).and_then(|opened| opened.peek(HEAD_BYTES)).map_err(fault)?;
    let mut extent = Extent::default();
    let mut first_stamp_ns = None;
    let mut doubt = None;
    if Header::is_beginning(&head) {
        return Err(fault(FaultReason::Recording));
    }
    let (format, market, symbols) = match kind_of(&head).map_err(fault)? {
        Kind::Table(columns) => {
            let name = file_name(&file);
            let entry = opened.entry.as_deref().map(entry_name);
            let published = name::published_symbol(&name).or_else(|| name::published_symbol(entry?));
            if let (Some(asked), Some(published)) = (&options.symbol, published)
                && published != *asked
            {
                notices::other_symbol(&file, asked, &published);
            }
            let symbol = options.symbol.clone().or_else(|| symbol_of(&name, entry));
            let symbol = symbol.or_else(|| options.symbol_if_untold.clone());
            let symbol = symbol.ok_or_else(|| fault(FaultReason::NoSymbol))?;
            let market =
                options.market.or_else(|| name::market_of(&symbol)).unwrap_or(match columns.spot() {
                    true => Market::Spot,
                    false => Market::UsdM,
                });
            let table = Table::new(columns, market, symbol.clone());
            extent.period = name::published_period(&name).or_else(|| name::published_period(entry?));
            doubt = Some(Doubt::about(&head, head.len() < HEAD_BYTES, &table, &mut extent));
            (Format::Table(Box::new(table)), market, Some(vec![symbol]))
        }
        Kind::Frames(address) => {
            first_stamp_ns = lines_of(&head).find_map(frames::stamp_of);
            let market = options.market.or(address.as_ref().and_then(|a| a.market)).unwrap_or_default();
            let symbols = match &options.symbol {
                Some(symbol) => Some(vec![symbol.clone()]),
                None => address.and_then(|address| address.symbols),
            };
            (Format::Frames(Frames::new(session)), market, symbols)
        }
    };
    let (regular, is_plain) = (opened.regular, opened.is_plain);
    let held = if regular { None } else { Some(opened.lines()) };
    let lanes = FileLanes { file: Arc::clone(&file), session, market, symbols };
    let order = Order::Unknown;
    let on_disk = match regular {
        true => std::fs::metadata(&*file).map_or(0, |about| about.len()),
        false => 0,
    };
    let mut recognised = Recognised { file, lanes, format, held, extent, order, first_stamp_ns, on_disk };
    if let Some(doubt) = doubt {
        doubt.resolve(&mut recognised, is_plain)?;
    }
    Ok(recognised)
}

enum Kind {
    Table(Columns),
    Frames(Option<frames::Address>),
}

/// The first line that is understood decides; those before it are damaged.
fn kind_of(head: &[u8]) -> Result<Kind, FaultReason> {
    for line in lines_of(head).take(HEAD_LINES) {
        if let Some(address) = frames::Address::read(line) {
            return Ok(Kind::Frames(Some(address)));
        }
        if frames::is_frame(line) {
            return Ok(Kind::Frames(None));
        }
        if let Some(columns) = Columns::recognise(line)? {
            return Ok(Kind::Table(columns));
        }
    }
    Err(match without_mark(head).trim_ascii().is_empty() {
        true => FaultReason::Empty,
        false => FaultReason::Unrecognised(start_of(head)),
    })
}

/// The lines that are not empty; the last one may be cut.
pub(super) fn lines_of(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = without_mark(head).split(|byte| *byte == b'\n');
    lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line)).filter(|line| !line.is_empty())
}

fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text)
}

/// The first characters, escaped.
fn start_of(head: &[u8]) -> String {
    head[..head.len().min(48)].escape_ascii().to_string()
}

fn file_name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn entry_name(entry: &str) -> &str {
    entry.rsplit(['/', '\\']).next().unwrap_or(entry)
}

fn symbol_of(name: &str, entry: Option<&str>) -> Option<Symbol> {
    name::published_symbol(name)
        .or_else(|| name::published_symbol(entry?))
        .or_else(|| name::leading_symbol(name))
        .or_else(|| name::leading_symbol(entry?))
}
