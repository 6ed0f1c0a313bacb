//! Which part of the files is wanted: from a moment or an id, inclusive, to another, exclusive.

use super::name::Period;
use crate::config::Bound;
use crate::decode::{Message, decode};
use crate::trade::AggTrade;
use crate::units::UnixMillis;

/// The part of the files that is replayed; everything by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Range {
    /// Where it begins, inclusive; the numbers begin at zero there.
    pub from: Option<Bound>,
    /// Where it ends, exclusive.
    pub to: Option<Bound>,
}

/// The id and the time of a row.
pub(super) type Place = (i64, UnixMillis);

impl Range {
    /// Whether it leaves nothing out.
    pub fn is_everything(self) -> bool {
        self == Self::default()
    }

    /// Whether a trade is wanted.
    #[inline]
    pub(super) fn has(self, trade: &AggTrade) -> bool {
        self.from.is_none_or(|from| is_reached(from, trade)) && !self.is_over(trade)
    }

    /// Whether a trade is behind the end.
    #[inline]
    pub(super) fn is_over(self, trade: &AggTrade) -> bool {
        self.to.is_some_and(|to| is_reached(to, trade))
    }

    /// Whether a message is wanted: a trade within the range, or whatever is not a trade.
    pub(super) fn has_frame(self, text: &[u8]) -> bool {
        match decode(text) {
            Message::Trade { trade, .. } => self.has(&trade),
            _ => true,
        }
    }

    /// Takes out of a block, whose ids ascend, what is not wanted.
    pub(super) fn keep(self, trades: &mut Vec<AggTrade>) {
        if let (Some(first), Some(last)) = (trades.first(), trades.last())
            && self.has(first)
            && self.has(last)
            && trades.is_sorted_by_key(|trade| trade.traded_at)
        {
            return;
        }
        trades.retain(|trade| self.has(trade));
    }

    /// Whether no row of a file can be wanted, as far as that is known without reading it: because of the days
    /// that its name tells, of its first row, or of the file of the same symbol that follows it.
    pub(super) fn leaves_out(self, file: &Extent, next: Option<&Extent>) -> bool {
        let begins_too_late = match (self.to, file.first) {
            (Some(Bound::Time(to)), Some((_, time))) => time >= to,
            (Some(Bound::Id(to)), Some((id, _))) => id >= to.0,
            _ => false,
        };
        let ends_too_early = match (self.from, file.period) {
            (Some(Bound::Time(from)), Some(period)) => period.end <= from,
            (Some(Bound::Id(from)), Some(period)) => next.is_some_and(|next| {
                next.period.is_some_and(|next| period.end <= next.start)
                    && next.first.is_some_and(|(id, _)| id <= from.0)
            }),
            _ => false,
        };
        begins_too_late || ends_too_early
    }
}

/// Whether a trade is at a bound or behind it.
#[inline]
fn is_reached(bound: Bound, trade: &AggTrade) -> bool {
    match bound {
        Bound::Time(time) => trade.traded_at >= time,
        Bound::Id(id) => trade.id >= id,
    }
}

/// What is known of the rows of a file before they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Extent {
    /// The first row.
    pub(super) first: Option<Place>,
    /// The days that the name tells.
    pub(super) period: Option<Period>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::sort::samples::trade;
    use crate::units::AggTradeId;

    fn id(id: i64) -> Bound {
        Bound::Id(AggTradeId(id))
    }

    fn time(ms: i64) -> Option<Bound> {
        Some(Bound::Time(UnixMillis(ms)))
    }

    fn kept(range: Range) -> Vec<i64> {
        let mut trades: Vec<_> = (0..10).map(|n| trade(n, 100 * n)).collect();
        range.keep(&mut trades);
        trades.iter().map(|trade| trade.id.0).collect()
    }

    #[test]
    fn a_range_begins_with_the_trade_it_names_and_ends_before_it() {
        assert_eq!(kept(Range { from: Some(id(3)), to: Some(id(5)) }), [3, 4]);
        assert_eq!(kept(Range { from: time(301), to: time(500) }), [4]);
        assert_eq!(kept(Range { from: time(300), to: None }), [3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(kept(Range { from: None, to: time(101) }), [0, 1]);
        assert_eq!(kept(Range::default()).len(), 10);
    }

    #[test]
    fn a_file_is_left_out_only_if_no_row_of_it_can_be_wanted() {
        let day = |n: i64| Period { start: UnixMillis(n * 1000), end: UnixMillis((n + 1) * 1000) };
        let file = |n: i64| Extent { first: Some((n * 10, UnixMillis(n * 1000 + 5))), period: Some(day(n)) };
        let month = Extent {
            first: Some((0, UnixMillis(0))),
            period: Some(Period { start: UnixMillis(0), end: UnixMillis(31_000) }),
        };
        let unnamed = Extent { period: None, ..file(1) };
        let from = |from| Range { from: Some(from), to: None };
        let moment = |ms| Bound::Time(UnixMillis(ms));
        assert!(from(moment(2000)).leaves_out(&file(1), None));
        assert!(!from(moment(1999)).leaves_out(&file(1), Some(&file(2))));
        assert!(from(id(20)).leaves_out(&file(1), Some(&file(2))));
        assert!(!from(id(19)).leaves_out(&file(1), Some(&file(2))));
        assert!(!from(id(19)).leaves_out(&file(1), None));
        // The month goes on behind the day within it.
        assert!(!from(id(20)).leaves_out(&month, Some(&file(2))));
        assert!(!from(moment(9000)).leaves_out(&unnamed, Some(&file(2))));
        let to = |to| Range { from: None, to: Some(to) };
        assert!(to(moment(1005)).leaves_out(&file(1), None) && !to(moment(1006)).leaves_out(&file(1), None));
        assert!(to(id(10)).leaves_out(&unnamed, None) && !to(id(11)).leaves_out(&unnamed, None));
    }
}
