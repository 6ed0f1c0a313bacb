//! Looks through the ids of a file before, or while, its rows are used.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::frames::RecordingClock;
use super::range::Place;
use super::recognise::Recognised;
use super::{Current, FaultReason, ReplayStatistics, Room};
use crate::source::Input;
use crate::trade::AggTrade;

/// What the rows of a file, or those behind the first so many, are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Survey {
    /// How many there are.
    pub(super) rows: u64,
    /// Rows that are not where their ids belong.
    pub(super) disordered: u64,
    /// The row with the lowest id.
    pub(super) lowest: Option<Place>,
    /// Rows with ids below that of the first row of the file.
    pub(super) below_first: u64,
}

/// Reads a file that can be opened again; the first `skip` rows only for the newest of them. Where it breaks off is
/// for whoever reads it next to find out.
pub(super) fn survey(file: Recognised, skip: u64) -> Result<Survey, FaultReason> {
    let mut current = Current::open(file, &Arc::default()).map_err(|fault| fault.reason)?;
    let (mut room, mut inputs) = (Room::default(), VecDeque::new());
    let (mut clock, mut statistics) = (RecordingClock::default(), ReplayStatistics::default());
    let mut survey = Survey::default();
    let mut order = OrderWatch::default();
    let mut seen = 0;
    let mut first = None;
    loop {
        room.empty(&mut inputs, usize::MAX);
        let more = current.fill(&mut inputs, &mut room, &mut clock, &mut statistics);
        for input in &inputs {
            let Input::Rows(rows) = input else { continue };
            for trade in &rows.trades {
                seen += 1;
                let first = *first.get_or_insert(trade.id.0);
                let in_order = order.admits(trade);
                if seen > skip {
                    survey.note(trade, in_order, first);
                }
            }
        }
        match more {
            Ok(true) => {}
            Ok(false) => return Ok(survey),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Ok(survey),
        }
    }
}

impl Survey {
    fn note(&mut self, trade: &AggTrade, in_order: bool, first: i64) {
        self.rows += 1;
        self.disordered += u64::from(!in_order);
        self.below_first += u64::from(!in_order && trade.id.0 < first);
        if self.lowest.is_none_or(|(id, _)| trade.id.0 < id) {
            self.lowest = Some((trade.id.0, trade.traded_at));
        }
    }
}

/// Tells rows in their order from others, wherever ids are missing or repeated.
#[derive(Debug, Default)]
pub(super) struct OrderWatch {
    newest: Option<Place>,
}

impl OrderWatch {
    /// Whether a row is in order: its id is not below the newest one; or it is later than that, because the
    /// exchange numbers anew.
    #[inline]
    pub(super) fn admits(&mut self, trade: &AggTrade) -> bool {
        let place = (trade.id.0, trade.traded_at);
        match self.newest {
            Some((id, time)) if place.0 < id && place.1 <= time => false,
            _ => {
                self.newest = Some(place);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::sort::samples::trade;

    #[test]
    fn an_id_below_the_newest_is_out_of_order_unless_time_goes_on() {
        let mut watch = OrderWatch::default();
        let admitted: Vec<_> = [(5, 50), (6, 60), (6, 60), (9, 90), (7, 70), (8, 90), (1, 91), (2, 92)]
            .map(|(id, at)| watch.admits(&trade(id, at)))
            .into();
        assert_eq!(admitted, [true, true, true, true, false, false, true, true]);
    }
}
