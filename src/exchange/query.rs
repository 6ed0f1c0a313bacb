//! What a REST request asks for and what it is answered, without the network.

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::ledger::{From, Upto};
use super::market::Listing;
use super::rest::Rest;
use super::rest_script::{Shade, within};
use super::wire;
use crate::snapshot::Market;
use crate::units::{AggTradeId, Symbol, UnixMillis};

const HOUR_MS: i64 = 3_600_000;
const MAX_LIMIT: usize = 1_000;

/// A response before it is HTTP.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) weight: u64,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn error(status: u16, code: i64, msg: &str) -> Self {
        Self { status, weight: 1, body: json!({ "code": code, "msg": msg }).to_string().into_bytes() }
    }
}

/// Answers a path and query; what is in the shade is not visible yet.
pub(super) fn answer(rest: &Rest, path: &str, query: &str, shade: Shade) -> Answer {
    let (market, endpoint) = if let Some(endpoint) = path.strip_prefix("/fapi/v1/") {
        (Market::UsdM, endpoint)
    } else if let Some(endpoint) = path.strip_prefix("/dapi/v1/") {
        (Market::CoinM, endpoint)
    } else if let Some(endpoint) = path.strip_prefix("/api/v3/") {
        (Market::Spot, endpoint)
    } else {
        return Answer { status: 404, weight: 1, body: b"<html>not found</html>".to_vec() };
    };
    match endpoint {
        "aggTrades" => match trades(rest, market, query, shade) {
            Ok(body) => Answer { status: 200, weight: if market == Market::Spot { 4 } else { 20 }, body },
            Err((code, msg)) => Answer::error(400, code, msg),
        },
        "time" => {
            let now = rest.shared.clock.now().max(rest.ledger.last_traded_at().unwrap_or_default());
            Answer { status: 200, weight: 1, body: json!({ "serverTime": now.0 }).to_string().into_bytes() }
        }
        "exchangeInfo" => Answer { status: 200, weight: 1, body: exchange_info(rest, market) },
        _ => Answer { status: 404, weight: 1, body: b"<html>not found</html>".to_vec() },
    }
}

type Refusal = (i64, &'static str);

fn trades(rest: &Rest, market: Market, query: &str, shade: Shade) -> Result<Vec<u8>, Refusal> {
    let symbol = parameter(query, "symbol")
        .filter(|symbol| !symbol.is_empty())
        .ok_or((-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."))?;
    let listings = rest.shared.listings.read();
    let index = listings
        .iter()
        .position(|entry| entry.is_listed && entry.listing.symbol.as_str() == symbol)
        .ok_or((-1121, "Invalid symbol."))?;
    let listing = &listings[index].listing;
    let from_id = number(query, "fromId")?;
    let (start, end) = (number(query, "startTime")?, number(query, "endTime")?);
    let limit = number(query, "limit")?.unwrap_or(500);
    // Spot gives what it has to give; the futures refuse.
    let most = if market == Market::Spot { usize::MAX } else { MAX_LIMIT };
    let limit = usize::try_from(limit)
        .ok()
        .filter(|&limit| limit > 0 && limit <= most)
        .ok_or((-1130, "Data sent for parameter 'limit' is not valid."))?;

    if from_id.is_some() && (start.is_some() || end.is_some()) {
        rest.shared.counters.violation("a REST request with fromId and a time".into());
        return Err((-1128, "Combination of optional parameters invalid."));
    }
    if let (Some(start), Some(end)) = (start, end) {
        if end < start {
            return Err((-1023, "Start time is greater than end time."));
        }
        if market != Market::Spot && end.saturating_sub(start) >= HOUR_MS {
            return Err((-1127, "More than 1 hours between startTime and endTime."));
        }
    }
    if let Some(id) = from_id {
        check_reach(rest, &listing.symbol, id)?;
    }
    let from = match (from_id, start) {
        (Some(id), _) => From::Id(AggTradeId(id)),
        (None, Some(start)) => From::Time(UnixMillis(start)),
        (None, None) => From::Newest,
    };
    let upto = end.map_or(Upto::End, |end| Upto::Time(UnixMillis(end)));
    let wanted = Wanted { index, listing, from, upto, limit: limit.min(MAX_LIMIT) };
    Ok(rows(rest, market, &wanted, shade))
}

/// "Only recent trade history": what is older than the setting cannot be had by id.
fn check_reach(rest: &Rest, symbol: &Symbol, id: i64) -> Result<(), Refusal> {
    let Some(reach) = rest.shared.rules.rest_from_id_reach else { return Ok(()) };
    let page = rest.ledger.page(symbol, From::Id(AggTradeId(id)), Upto::End, 1, |_| true);
    let (Some(now), Some(first)) = (rest.ledger.last_traded_at(), page.first()) else { return Ok(()) };
    if now.0.saturating_sub(first.traded_at.0) > i64::try_from(reach.as_millis()).unwrap_or(i64::MAX) {
        return Err((-1000, "Only recent trade history within the past 24 hours is supported for aggTrades"));
    }
    Ok(())
}

/// Which trades of which listing.
struct Wanted<'a> {
    index: usize,
    listing: &'a Listing,
    from: From,
    upto: Upto,
    limit: usize,
}

fn rows(rest: &Rest, market: Market, wanted: &Wanted<'_>, shade: Shade) -> Vec<u8> {
    let Wanted { index, listing, from, upto, limit } = *wanted;
    let newest = rest.ledger.newest_visible(index, shade);
    let lost = rest.script.lost(index);
    let visible = |id: AggTradeId| {
        newest.is_some_and(|newest| id <= newest) && !within(&rest.missing, id) && !within(&lost, id)
    };
    let mut body = Vec::from(b"[");
    for trade in rest.ledger.page(&listing.symbol, from, upto, limit, visible) {
        if body.len() > 1 {
            body.push(b',');
        }
        wire::push_row(&mut body, market, listing, &trade);
    }
    body.push(b']');
    body
}

fn exchange_info(rest: &Rest, market: Market) -> Vec<u8> {
    let listings = rest.shared.listings.read();
    let listed = listings.iter().filter(|entry| entry.is_listed).map(|entry| &entry.listing);
    let symbols = listed.map(|listing| listed_as(listing, market));
    let limit = rest.shared.rules.rest_weight_per_minute;
    json!({
        "timezone": "UTC",
        "serverTime": rest.ledger.last_traded_at().unwrap_or_default().0,
        "rateLimits": [
            { "rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": limit },
        ],
        "symbols": symbols.collect::<Vec<_>>(),
    })
    .to_string()
    .into_bytes()
}

/// One entry of `exchangeInfo`, of which each market has its own shape.
fn listed_as(listing: &Listing, market: Market) -> Value {
    let (base, quote) = (listing.base_asset.as_str(), listing.quote_asset.as_str());
    let mut symbol = json!({
        "symbol": listing.symbol.as_str(),
        "baseAsset": base,
        "quoteAsset": quote,
        "filters": [
            { "filterType": "PRICE_FILTER", "tickSize": listing.tick.to_string() },
            { "filterType": "LOT_SIZE", "stepSize": listing.lot.to_string() },
        ],
    });
    symbol[if market == Market::CoinM { "contractStatus" } else { "status" }] = json!(listing.status);
    if market == Market::Spot {
        symbol["baseAssetPrecision"] = json!(8);
        symbol["quoteAssetPrecision"] = json!(8);
        return symbol;
    }
    symbol["pair"] = json!(format!("{base}{quote}"));
    symbol["contractType"] = json!(listing.contract_type);
    symbol["marginAsset"] = json!(listing.margin_asset);
    symbol["pricePrecision"] = json!(listing.price_decimals);
    symbol["quantityPrecision"] = json!(listing.qty_decimals);
    if market == Market::CoinM {
        symbol["contractSize"] = json!(listing.contract_size);
    }
    symbol
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let value = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?.1;
    percent_decode_str(value).decode_utf8().ok().map(String::from)
}

fn number(query: &str, name: &str) -> Result<Option<i64>, Refusal> {
    parameter(query, name)
        .map(|text| text.parse::<i64>().ok().filter(|&number| number >= 0))
        .map(|number| number.ok_or((-1100, "Illegal characters found in a parameter.")))
        .transpose()
}
