use super::*;
use crate::cvd::{Cvd, CvdConfig};
use crate::feed::ShardId;
use crate::overview::LaneOverview;
use crate::snapshot::{Coverage, Flow, LaneSummary, Quality};
use crate::units::{AggTradeId, IdRange, Symbol, UnixMillis};

fn lane(quality: Quality, missing_trades: u64) -> LaneOverview {
    let summary = LaneSummary {
        market: Market::UsdM,
        symbol: Symbol::new("BTCUSDT").unwrap(),
        trades: 10,
        reading: Cvd::new(CvdConfig::default()).unwrap().reading(),
        coverage: Coverage { quality, missing_trades, ..Coverage::default() },
        ids_seen: 10,
        repaired_trades: 0,
        duplicate_trades: 0,
        conflicts: 0,
        held_trades: 0,
        open: None,
        holes: 0,
        flow: Flow::default(),
    };
    LaneOverview {
        summary,
        missing_trades,
        last_price: None,
        repairing_s: None,
        largest: None,
        is_undelivered: false,
    }
}

fn link(status: LinkStatus, cause: Option<Cause>) -> LinkOverview {
    LinkOverview {
        shard: ShardId(0),
        market: Market::UsdM,
        symbols: 1,
        status,
        seconds: 3.0,
        cause,
        connected_s: None,
        last_frame_s: None,
        reconnects: Default::default(),
    }
}

fn run(status: LinkStatus, cause: Option<Cause>, lanes: Vec<LaneOverview>) -> Overview {
    Overview { lanes, links: vec![link(status, cause)], ..Overview::default() }
}

fn told(overview: &Overview, age_s: f64) -> String {
    let health = Health::of(Some(overview), age_s);
    let reasons: Vec<_> = health.reasons.iter().map(Reason::as_str).collect();
    format!("{} {}", health.verdict().as_str(), reasons.join(",")).trim_end().to_owned()
}

fn repairing(seconds: f64) -> LaneOverview {
    let mut lane = lane(Quality::Repairing, 0);
    lane.summary.open = Some(IdRange { from: AggTradeId(1), to: AggTradeId(2) });
    lane.repairing_s = Some(seconds);
    lane
}

/// Every state of a connection with every cause it may have, and every quality of the numbers.
#[test]
fn each_state_of_the_feed_and_of_the_numbers_has_its_answer() {
    let symbol = || Symbol::new("BTCUSDT").unwrap();
    let text = || "why".to_owned();
    let not_delivered = Cause::NotDelivered { symbol: symbol(), newest: AggTradeId(9), ours: None };
    let quiet = Cause::QuietMarket { symbol: symbol(), newest: None, ago: None };
    let halted = Cause::NotTrading { symbol: symbol(), status: text(), others: 0 };
    let late = Cause::NotAcknowledged { waited: std::time::Duration::from_secs(12) };
    let links = [
        (LinkStatus::Connecting, None, Some("connecting")),
        (LinkStatus::Connecting, Some(Cause::NotConnected { told: text() }), Some("connecting")),
        (LinkStatus::Connected, None, Some("connected")),
        (LinkStatus::Connected, Some(late), Some("connected")),
        (LinkStatus::Subscribed, None, Some("subscribed")),
        (LinkStatus::Streaming, None, None),
        (LinkStatus::Quiet, None, None),
        (LinkStatus::Quiet, Some(quiet), None),
        (LinkStatus::Quiet, Some(halted), None),
        (LinkStatus::Quiet, Some(Cause::NoAnswer { why: text() }), Some("quiet")),
        (LinkStatus::Quiet, Some(Cause::UnknownSymbol { symbol: symbol() }), Some("quiet")),
        (LinkStatus::Stale, Some(not_delivered), Some("stale")),
        (LinkStatus::Stale, Some(Cause::WrongRoute { told: text() }), Some("stale")),
        (LinkStatus::Disconnected, Some(Cause::ConnectionLost { told: text() }), Some("disconnected")),
        (LinkStatus::Disconnected, Some(Cause::DeadLink { told: text() }), Some("disconnected")),
    ];
    let lanes = [
        (lane(Quality::Complete, 0), None, false),
        (repairing(1.0), None, false),
        (repairing(REPAIRING_TOO_LONG_S + 1.0), Some("repairing"), false),
        (lane(Quality::Missing, 12), None, true),
    ];
    for (status, cause, of_link) in &links {
        for (lane, of_lane, lacks) in &lanes {
            let overview = run(*status, cause.clone(), vec![lane.clone()]);
            let reasons: Vec<_> = of_link.iter().chain(of_lane).copied().collect();
            let verdict = match (reasons.is_empty(), lacks) {
                (false, _) => "not_ready",
                (true, true) => "degraded",
                (true, false) => "ready",
            };
            let expected = format!("{verdict} {}", reasons.join(","));
            assert_eq!(told(&overview, 0.5), expected.trim_end(), "{status:?} {cause:?}");
        }
    }
}

#[test]
fn an_old_hole_alone_never_takes_a_service_out() {
    let overview =
        run(LinkStatus::Streaming, None, vec![lane(Quality::Missing, 12), lane(Quality::Complete, 0)]);
    let health = Health::of(Some(&overview), 0.0);
    assert_eq!(health.verdict(), Verdict::Degraded);
    assert_eq!((health.degraded_symbols, health.missing_trades, health.symbols), (1, 12, 2));
}

#[test]
fn before_the_first_look_without_symbols_and_when_it_hangs_it_is_not_ready() {
    assert_eq!(Health::of(None, 0.0).verdict(), Verdict::NotReady);
    assert_eq!(told(&Overview::default(), 0.0), "not_ready nothing_followed");
    let fine = run(LinkStatus::Streaming, None, vec![lane(Quality::Complete, 0)]);
    assert_eq!(told(&fine, STUCK_AFTER_S), "ready");
    assert_eq!(told(&fine, STUCK_AFTER_S + 0.1), "not_ready stuck");
}

#[test]
fn a_symbol_that_is_not_delivered_is_a_fault_although_others_stream() {
    let undelivered = LaneOverview { is_undelivered: true, ..lane(Quality::Complete, 0) };
    let overview = run(LinkStatus::Streaming, None, vec![lane(Quality::Complete, 0), undelivered]);
    assert_eq!(told(&overview, 0.0), "not_ready not_delivered");
}

#[test]
fn a_share_without_symbols_concerns_nobody_and_many_reasons_are_counted() {
    let mut overview = run(LinkStatus::Disconnected, None, vec![lane(Quality::Complete, 0)]);
    overview.links[0].symbols = 0;
    assert_eq!(told(&overview, 0.0), "ready");
    overview.lanes = vec![repairing(100.0); REASONS + 7];
    let health = Health::of(Some(&overview), 0.0);
    assert_eq!((health.reasons.len(), health.more), (REASONS, 7));
}

#[test]
fn each_reason_says_what_is_the_matter() {
    let at = |status, cause| Reason::Link { link: link(status, cause), is_one_of_several: false }.detail();
    assert_eq!(at(LinkStatus::Subscribed, None), "no trade has come over this connection yet");
    let quiet = Cause::QuietMarket {
        symbol: Symbol::new("BTCUSDT").unwrap(),
        newest: Some(crate::silence::Newest { id: AggTradeId(7), traded_at: UnixMillis(0) }),
        ago: None,
    };
    assert_eq!(at(LinkStatus::Quiet, Some(quiet.clone())), quiet.to_string());
    assert!(Reason::Stuck { seconds: 12.0 }.detail().contains("12 s"));
}
