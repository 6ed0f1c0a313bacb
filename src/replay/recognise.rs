//! Finds out what a file is from its first lines.

use std::path::PathBuf;
use std::sync::Arc;

use crate::feed::SessionId;
use crate::snapshot::Market;
use crate::units::Symbol;

use super::fault::{FaultReason, FileFault};
use super::frames::{self, Frames};
use super::lines::Lines;
use super::table::{Columns, Table};
use super::{FileLanes, Format, ReplayOptions, name, open};

/// A file that is known and waits for its turn.
#[derive(Debug)]
pub(super) struct Recognised {
    pub(super) file: Arc<PathBuf>,
    pub(super) format: Format,
    /// The lines of a pipe, which cannot be opened again.
    pub(super) held: Option<Lines>,
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
) -> Result<(FileLanes, Recognised), FileFault> {
    let file = Arc::new(file);
    let fault = |reason| FileFault { file: file.to_path_buf(), reason };
    let (head, opened) = open::open(&file).and_then(|opened| opened.peek(HEAD_BYTES)).map_err(fault)?;
    let (format, market, symbols) = match kind_of(&head).map_err(fault)? {
        Kind::Table(columns) => {
            let symbol = options.symbol.clone().or_else(|| symbol_of(&file, opened.entry.as_deref()));
            let symbol = symbol.ok_or_else(|| fault(FaultReason::NoSymbol))?;
            let market =
                options.market.or_else(|| name::market_of(&symbol)).unwrap_or(match columns.spot() {
                    true => Market::Spot,
                    false => Market::UsdM,
                });
            let table = Table::new(columns, market, symbol.clone());
            (Format::Table(Box::new(table)), market, Some(vec![symbol]))
        }
        Kind::Frames(address) => {
            let market = options.market.or(address.as_ref().and_then(|a| a.market)).unwrap_or_default();
            let symbols = match &options.symbol {
                Some(symbol) => Some(vec![symbol.clone()]),
                None => address.and_then(|address| address.symbols),
            };
            (Format::Frames(Frames::new(session)), market, symbols)
        }
    };
    let held = if opened.regular { None } else { Some(opened.lines()) };
    let lanes = FileLanes { file: Arc::clone(&file), session, market, symbols };
    Ok((lanes, Recognised { file, format, held }))
}

enum Kind {
    Table(Columns),
    Frames(Option<frames::Address>),
}

/// The first line that is understood decides; those before it are damaged.
fn kind_of(head: &[u8]) -> Result<Kind, FaultReason> {
    let text = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
    let lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    for line in lines.filter(|line| !line.is_empty()).take(HEAD_LINES) {
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
    Err(match text.trim_ascii().is_empty() {
        true => FaultReason::Empty,
        false => FaultReason::Unrecognised(start_of(head)),
    })
}

/// The first characters, escaped.
fn start_of(head: &[u8]) -> String {
    head[..head.len().min(48)].escape_ascii().to_string()
}

fn symbol_of(file: &std::path::Path, entry: Option<&str>) -> Option<Symbol> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let entry = entry.map(|entry| entry.rsplit(['/', '\\']).next().unwrap_or(entry));
    name::published_symbol(&name)
        .or_else(|| name::published_symbol(entry?))
        .or_else(|| name::leading_symbol(&name))
        .or_else(|| name::leading_symbol(entry?))
}
