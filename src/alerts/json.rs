//! A notice as a record.

use serde::{Serialize, Serializer};

use super::measure::Measure;
use super::notice::Notice;
use crate::snapshot::Market;

#[derive(Serialize)]
struct Record<'a> {
    v: u32,
    r#type: &'static str,
    symbol: Option<&'a str>,
    market: Option<&'static str>,
    shard: Option<u32>,
    event: &'static str,
    rule: &'a str,
    on: &'static str,
    severity: &'static str,
    #[serde(serialize_with = "measure")]
    value: Option<Measure>,
    #[serde(serialize_with = "measure")]
    threshold: Option<Measure>,
    unit: &'static str,
    at_ms: i64,
    text: &'a str,
}

/// One JSON object on one line, without its end: what the webhook and the command are given. `docs/output.md` and the
/// schema describe it.
pub(super) fn json(notice: &Notice) -> String {
    let record = Record {
        v: crate::report::RECORD_VERSION,
        r#type: "alert",
        symbol: notice.symbol().map(|symbol| symbol.as_str()),
        market: notice.market().map(Market::as_str),
        shard: notice.shard(),
        event: notice.what.as_str(),
        rule: &notice.rule,
        on: notice.on.as_str(),
        severity: notice.severity.as_str(),
        value: notice.value,
        threshold: Some(notice.threshold),
        unit: notice.on.unit(),
        at_ms: notice.at_ms,
        text: &notice.text,
    };
    serde_json::to_string(&record).expect("no part of it can fail, because all are texts and finite numbers")
}

/// Exact decimals as strings, all others as numbers.
fn measure<S: Serializer>(measure: &Option<Measure>, serializer: S) -> Result<S::Ok, S::Error> {
    match measure {
        None => serializer.serialize_none(),
        Some(Measure::Number(number)) => serializer.serialize_f64(*number),
        Some(Measure::Count(count)) => serializer.serialize_u64(*count),
        Some(exact @ (Measure::Quantity(_) | Measure::Worth(_))) => serializer.collect_str(exact),
    }
}
