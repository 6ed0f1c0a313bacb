//! From a line to an input.

use serde::Deserialize;

use crate::feed::{Frame, LineId, LinkChange, LinkEvent, SessionId};
use crate::recording::json;
use crate::repair::{Answer, GiveUpReason, Reply};
use crate::snapshot::Stamp;
use crate::source::{Input, Note, RosterChange};
use crate::text::escaped;
use crate::trade::{AggTrade, Aggressor};
use crate::units::{AggTradeId, IdRange, Price, Qty, QtyDelta, UnixMillis};

/// Why a line is no input, in lower case and on one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an input: {0}")]
pub struct LineError(String);

/// Reads a line, without its line end.
///
/// # Errors
/// [`LineError`] says what is wrong with it. There is no line that makes this panic.
#[inline]
pub fn read(line: &[u8]) -> Result<Input, LineError> {
    match frame(line) {
        Some(frame) => Ok(Input::Frame(frame)),
        None => any(line),
    }
}

/// A frame that is written exactly as this program writes it, which almost all are.
fn frame(line: &[u8]) -> Option<Frame> {
    let rest = line.strip_prefix(b"{\"in\":\"frame\",\"line\":")?;
    let (of_line, rest) = number(rest)?;
    let (session, rest) = number(rest.strip_prefix(b",\"session\":")?)?;
    let (ordinal, rest) = number(rest.strip_prefix(b",\"ordinal\":")?)?;
    let (received, rest) = match rest.strip_prefix(b",\"wall_ns\":") {
        Some(rest) => {
            let (wall_ns, rest) = number(rest)?;
            let (mono_ns, rest) = number(rest.strip_prefix(b",\"mono_ns\":")?)?;
            (Some(Stamp { wall_ns: i64::try_from(wall_ns).ok()?, mono_ns }), rest)
        }
        None => (None, rest),
    };
    let text = json::plain(rest.strip_prefix(b",\"text\":\"")?.strip_suffix(b"\"}")?)?;
    Some(Frame {
        line: LineId(u16::try_from(of_line).ok()?),
        session: SessionId(session),
        ordinal,
        received,
        text: text.try_into().ok()?,
    })
}

/// Digits without a leading zero, and what follows them.
#[inline]
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut value: u64 = 0;
    let mut at = 0;
    while let Some(digit) = text.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
        at += 1;
    }
    let has_form = at == 1 || (at > 1 && text[0] != b'0');
    has_form.then(|| (value, &text[at..]))
}

/// Any line, by a full reader.
#[cold]
fn any(line: &[u8]) -> Result<Input, LineError> {
    let line: Line =
        serde_json::from_slice(line).map_err(|error| LineError(escaped(error.to_string().as_bytes())))?;
    line.input().ok_or_else(|| LineError("its members do not fit together".into()))
}

#[derive(Deserialize)]
#[serde(tag = "in", rename_all = "snake_case")]
enum Line {
    Frame {
        line: u16,
        session: u64,
        ordinal: u64,
        wall_ns: Option<i64>,
        mono_ns: Option<u64>,
        text: String,
    },
    Reply {
        lane: usize,
        wall_ns: i64,
        mono_ns: u64,
        answer: AnswerName,
        trades: Option<Vec<Trade>>,
        id: Option<i64>,
        from_id: Option<i64>,
        to_id: Option<i64>,
        reason: Option<ReasonName>,
    },
    Tick {
        wall_ns: i64,
        mono_ns: u64,
    },
    Link {
        line: u16,
        session: u64,
        change: ChangeName,
        wall_ns: i64,
        mono_ns: u64,
    },
    Evicted {
        session: u64,
        frames: u64,
    },
    Note {
        note: Note,
    },
    Roster {
        roster: RosterChange,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum AnswerName {
    Trades,
    Newest,
    Confirm,
    GaveUp,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReasonName {
    Deadline,
    Refused,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ChangeName {
    Opened,
    Closed,
}

#[derive(Deserialize)]
struct Trade {
    a: i64,
    p: String,
    q: String,
    nq: Option<String>,
    f: i64,
    l: i64,
    #[serde(rename = "T")]
    traded_at: i64,
    #[serde(rename = "E")]
    event_at: Option<i64>,
    m: bool,
}

impl Line {
    fn input(self) -> Option<Input> {
        Some(match self {
            Self::Frame { line, session, ordinal, wall_ns, mono_ns, text } => {
                let received = match (wall_ns, mono_ns) {
                    (Some(wall_ns), Some(mono_ns)) => Some(Stamp { wall_ns, mono_ns }),
                    (None, None) => None,
                    _ => return None,
                };
                let (line, session) = (LineId(line), SessionId(session));
                Input::Frame(Frame { line, session, ordinal, received, text: text.into() })
            }
            Self::Reply { lane, wall_ns, mono_ns, answer, trades, id, from_id, to_id, reason } => {
                let id = id.map(AggTradeId);
                let answer = match answer {
                    AnswerName::Trades => {
                        Answer::Trades(trades?.into_iter().map(Trade::trade).collect::<Option<_>>()?)
                    }
                    AnswerName::Newest => Answer::Newest(id?),
                    AnswerName::Confirm => Answer::Confirm(id?),
                    AnswerName::GaveUp => {
                        let (from, to) = (from_id?, to_id?);
                        if from > to {
                            return None;
                        }
                        let reason = match reason? {
                            ReasonName::Deadline => GiveUpReason::Deadline,
                            ReasonName::Refused => GiveUpReason::Refused,
                        };
                        Answer::GaveUp { ids: IdRange::new(from, to), reason }
                    }
                };
                Input::Reply(Reply { lane, at: Stamp { wall_ns, mono_ns }, answer })
            }
            Self::Tick { wall_ns, mono_ns } => Input::Tick(Stamp { wall_ns, mono_ns }),
            Self::Link { line, session, change, wall_ns, mono_ns } => {
                let change = match change {
                    ChangeName::Opened => LinkChange::Opened,
                    ChangeName::Closed => LinkChange::Closed,
                };
                let (line, session) = (LineId(line), SessionId(session));
                Input::Link(LinkEvent { line, session, at: Stamp { wall_ns, mono_ns }, change })
            }
            Self::Evicted { session, frames } => Input::Evicted { session: SessionId(session), frames },
            Self::Note { note } => Input::Note(note),
            Self::Roster { roster } => Input::Roster(roster),
        })
    }
}

impl Trade {
    fn trade(self) -> Option<AggTrade> {
        Some(AggTrade {
            id: AggTradeId(self.a),
            price: Price::from_units(units(&self.p)?),
            qty: Qty::from_units(units(&self.q)?),
            qty_without_rpi: match self.nq {
                Some(text) => Some(Qty::from_units(units(&text)?)),
                None => None,
            },
            first_trade_id: self.f,
            last_trade_id: self.l,
            traded_at: UnixMillis(self.traded_at),
            event_at: self.event_at.map(UnixMillis),
            aggressor: Aggressor::from_buyer_is_maker(self.m),
        })
    }
}

fn units(decimal: &str) -> Option<i64> {
    i64::try_from(decimal.parse::<QtyDelta>().ok()?.units()).ok()
}
