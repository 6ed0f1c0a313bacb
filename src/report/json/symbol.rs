//! The record of a symbol that joins or ends.

use super::{field, head, lane, maybe_integer, null, string, summary};
use crate::report::SymbolRecord;

pub(crate) fn symbol(into: &mut Vec<u8>, record: &SymbolRecord<'_>) {
    head(into, "symbol");
    lane(into, record.symbol(), record.market());
    field(into, "event");
    string(into, record.event());
    field(into, "reason");
    string(into, record.reason());
    field(into, "at_ms");
    maybe_integer(into, record.at_ms());
    field(into, "ended");
    match record {
        SymbolRecord::Joined { .. } => null(into),
        SymbolRecord::Ended { summary: lane, .. } => summary(into, lane),
    }
    into.extend_from_slice(b"}\n");
}
