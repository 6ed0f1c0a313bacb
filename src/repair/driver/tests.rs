//! How often REST is asked while nobody trades.

use super::*;
use crate::exchange::{Act, Exchange};
use crate::feed::{LineId, LinkChange, ShardId};
use crate::repair::WeightBudget;
use crate::repair::rest::RestBase;
use crate::snapshot::Instrument;
use crate::units::Symbol;

/// How often REST is asked in two minutes in which nobody trades, sessions opening (`true`) and closing at these
/// seconds.
async fn asked(links: &[(u64, u64, bool)]) -> u64 {
    let exchange =
        Exchange::builder().in_memory().script([Act::SkipIds(5)]).start().await.expect("memory has ports");
    exchange.wait_for(|stats| stats.script_finished).await;
    let symbol = Symbol::new("BTCUSDT").expect("a symbol");
    let newest = exchange.ledger().last_id(&symbol);
    let instrument = Instrument::new(Market::UsdM, symbol);
    let clock = Clock::simulated(0);
    let base = RestBase::parse(&exchange.rest_url(), false).expect("an address");
    let client = RestClient::new(exchange.network(), base, Market::UsdM);
    let planner = Planner::new(WeightBudget::of(Market::UsdM), Duration::from_secs(60));
    let mut repair = Repair::new(planner, [client], clock, Steering::default());
    let lanes = || {
        std::iter::once(LaneIds {
            lane: 0,
            instrument: &instrument,
            shard: ShardId(0),
            applied: 0,
            newest,
            holes: Vec::new(),
            in_doubt: false,
        })
    };
    for second in 0..120 {
        for (_, session, opens) in links.iter().filter(|(at, ..)| *at == second) {
            let change = if *opens { LinkChange::Opened } else { LinkChange::Closed };
            let (line, session) = (LineId(0), SessionId(*session));
            repair.link(&LinkEvent { line, session, at: clock.now(), change }, lanes());
        }
        repair.tick(lanes());
        let next_second = tokio::time::Instant::now() + Duration::from_secs(1);
        while timeout(next_second - tokio::time::Instant::now(), repair.next()).await.is_ok() {}
    }
    assert_eq!(repair.repair_calls(), 0);
    exchange.stop().await.expect("the ports work to the end");
    repair.calls()
}

#[tokio::test(start_paused = true)]
async fn a_second_line_and_a_hand_over_ask_rest_nothing_and_a_lost_connection_does() {
    let alone = asked(&[(0, 1, true)]).await;
    let second_line = asked(&[(0, 1, true), (50, 2, true), (70, 2, false)]).await;
    let handed_over =
        asked(&[(0, 1, true), (50, 2, true), (51, 1, false), (90, 3, true), (91, 2, false)]).await;
    let lost = asked(&[(0, 1, true), (50, 1, false), (51, 2, true)]).await;
    assert_eq!((second_line, handed_over), (alone, alone));
    assert!(lost > alone, "{lost} and {alone}");
    assert!((5..20).contains(&alone), "{alone}");
}
