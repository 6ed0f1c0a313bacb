//! The line of a gap.

use std::fmt::{self, Display};

use super::counted;
use crate::report::scope::Name;
use crate::snapshot::{Gap, GapCause, GapEvent, Quality};
use crate::trade::AggTrade;
use crate::units::IdRange;

/// The level of a gap's line.
pub(crate) fn gap_level(event: GapEvent) -> &'static str {
    match event {
        GapEvent::Repaired => "INFO",
        GapEvent::Opened | GapEvent::Conflict | GapEvent::Reset => "WARN",
        GapEvent::Unrepaired => "ERROR",
    }
}

/// The line about a gap. Of a file the loss alone is told: nobody can be asked for what is not in it.
pub(crate) fn gap(symbol: Name<'_>, gap: &Gap<'_>) -> Option<String> {
    let Gap { ids, trades, .. } = gap;
    let event = gap.event.as_str();
    let ids = named(*ids);
    let missing = format!("GAP {symbol} {event} | {ids} ({})", counted(*trades, "trade"));
    let place = match gap.cause {
        GapCause::Wire => "lost on the wire",
        GapCause::Queue => "dropped by our own full buffers",
        GapCause::Malformed => "in messages that could not be read",
        GapCause::Restart => "lost",
        GapCause::File => "not in the file",
    };
    Some(match gap.event {
        GapEvent::Opened if gap.cause == GapCause::File => return None,
        GapEvent::Opened => format!("{missing} {place}; later trades of {symbol} wait"),
        GapEvent::Repaired => {
            let whole = if gap.coverage.quality == Quality::Complete { "; CVD is whole" } else { "" };
            let seconds = gap.seconds().map_or_else(String::new, |seconds| format!(" after {seconds:.3} s"));
            let pages = counted(u64::from(gap.pages), "page");
            format!(
                "GAP {symbol} {event} | {ids}: {} came{seconds}, {pages} from REST{whole}",
                counted(*trades, "trade")
            )
        }
        GapEvent::Unrepaired => format!(
            "{missing} {place} and cannot be had: CVD goes on without them ({} missing in all), the Z-score begins anew",
            gap.coverage.missing_trades
        ),
        GapEvent::Conflict => {
            let contents = gap
                .conflict
                .map(|(kept, refused)| format!(": kept {}, refused {}", Content(kept), Content(refused)));
            format!("GAP {symbol} {event} | {ids} came twice{}", contents.unwrap_or_default())
        }
        GapEvent::Reset => format!(
            "GAP {symbol} {event} | the exchange numbers {symbol} anew: epoch {} ends with cvd={} over {}, {ids}, {} missing; \
             all numbers begin anew",
            gap.coverage.epoch,
            gap.reading.cvd,
            counted(*trades, "trade"),
            gap.coverage.missing_trades
        ),
    })
}

/// `id 5`, `ids 5 to 7`.
fn named(ids: IdRange) -> String {
    if ids.from == ids.to { format!("id {}", ids.from) } else { format!("ids {ids}") }
}

/// A trade's price, quantity and side.
struct Content<'a>(&'a AggTrade);

impl Display for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} at {}", self.0.aggressor.side(), self.0.qty, self.0.price)
    }
}
