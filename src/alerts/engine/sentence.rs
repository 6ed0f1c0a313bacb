//! A notice in a sentence.

use super::Seen;
use crate::alerts::kind::Kind;
use crate::alerts::measure::Measure;
use crate::alerts::notice::{Subject, What};
use crate::alerts::rule::{Bound, Rule};
use crate::overview::{LaneOverview, LinkOverview, Overview};
use crate::report::amount::Exact;

/// What has begun or is over, with the value and the threshold.
pub(super) fn sentence(
    rule: &Rule,
    seen: Seen<'_>,
    what: What,
    value: Measure,
    overview: &Overview,
) -> String {
    let told = told(rule, seen, value, overview);
    match what {
        What::Fired => format!("{}: {told}, {}{}", rule.name, bound(rule), advice(rule, overview)),
        What::Resolved => format!("{} is over: {told}", rule.name),
    }
}

/// What it was about is not there any more.
pub(super) fn gone(rule: &Rule, subject: &Subject) -> String {
    let name = &rule.name;
    match subject {
        Subject::Symbol(instrument) => format!("{name} is over: {instrument} is not followed any more"),
        Subject::Shard(shard, market) => {
            format!("{name} is over: shard {} ({market}) carries nothing any more", u32::from(shard.0) + 1)
        }
        Subject::Run => format!("{name} is over"),
    }
}

fn told(rule: &Rule, seen: Seen<'_>, value: Measure, overview: &Overview) -> String {
    let within = format!("within {:?}", rule.within);
    match (rule.on, seen) {
        (on, Seen::Lane(lane)) => of_symbol(on, lane, value, &within),
        (_, Seen::Shard(link)) => of_shard(link, value),
        (Kind::Latency, Seen::Run) => {
            format!("95 % of trades took at most {value} s on the network {within}")
        }
        (Kind::Reconnects, Seen::Run) => format!("{value} reconnects {within}"),
        (Kind::QueueDropped, Seen::Run) => {
            format!(
                "the queue dropped a share of {value} of the messages {within} ({} in all)",
                overview.metrics.queue_dropped
            )
        }
        (Kind::ParseErrors, Seen::Run) => format!("{value} messages could not be read {within}"),
        (Kind::NegativeLatency, Seen::Run) => {
            format!("{value} trades arrived before they were sent {within}")
        }
        (on, Seen::Run) => format!("{} is {value}", on.as_str()),
    }
}

fn of_symbol(on: Kind, lane: &LaneOverview, value: Measure, within: &str) -> String {
    let instrument = lane.instrument();
    match (on, &lane.largest) {
        (Kind::CvdChange, _) => format!("CVD of {instrument} has changed by {value} {within}"),
        (Kind::LargeTrade, Some(largest)) => {
            let trade = &largest.trade;
            let side = trade.aggressor.side();
            let worth = Exact(largest.notional);
            format!("{instrument} {side} {} at {} (id {}) is worth {worth}", trade.qty, trade.price, trade.id)
        }
        (Kind::Gap, _) if lane.repairing_s.is_some() => {
            format!("the oldest hole in the ids of {instrument} has been open for {value} s")
        }
        (Kind::Gap, _) => format!("no hole is open in the ids of {instrument}"),
        (Kind::Missing, _) => {
            format!("{value} trades of {instrument} were given up {within} ({} in all)", lane.missing_trades)
        }
        (on, _) => format!("{} of {instrument} is {value}", on.as_str()),
    }
}

fn of_shard(link: &LinkOverview, value: Measure) -> String {
    let LinkOverview { market, symbols, status, .. } = link;
    let place = format!("shard {} ({market}, {symbols} symbols)", u32::from(link.shard.0) + 1);
    if link.is_well() {
        return format!("{place} is well again: {}", status.as_str());
    }
    // Its own words may hold words from outside; the name of the cause does not.
    let cause = link.cause.as_ref().map_or_else(String::new, |cause| format!(", {}", cause.as_str()));
    format!("no trades over {place} for {value} s: {}{cause}", status.as_str())
}

fn bound(rule: &Rule) -> String {
    let threshold = rule.bound.threshold();
    match rule.bound {
        Bound::Beyond(_) => format!("beyond ±{threshold}"),
        bound => format!("{} {threshold}", bound.as_str()),
    }
}

/// What else must be known to read it.
fn advice(rule: &Rule, overview: &Overview) -> &'static str {
    match rule.on {
        Kind::Latency if overview.clock.is_none() => {
            " (this machine's clock is not compared with the exchange's, and what it is off is part of this)"
        }
        Kind::NegativeLatency if overview.clock.is_none() => ": this machine's clock is behind",
        _ => "",
    }
}
