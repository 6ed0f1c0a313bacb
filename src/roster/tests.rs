use proptest::prelude::*;

use super::*;
use crate::repair::rest::{ContractType, Listed};
use crate::units::Symbol;

fn at(seconds: u64) -> Stamp {
    Stamp { mono_ns: seconds * 1_000_000_000, ..Stamp::default() }
}

fn instrument(text: &str) -> Instrument {
    text.parse().unwrap()
}

fn instruments(text: &str) -> Vec<Instrument> {
    text.split_whitespace().map(instrument).collect()
}

/// `BTCUSDT ETHUSDT/HALT`, perpetual contracts.
fn listed(market: Market, names: &str) -> Listings {
    let one = |text: &str| {
        let (name, status) = text.split_once('/').unwrap_or((text, "TRADING"));
        let contract = (market != Market::Spot).then_some(ContractType::Perpetual);
        Listed { contract, ..Listed::new(Symbol::new(name).unwrap(), status) }
    };
    Listings::of(market, names.split_whitespace().map(one).collect())
}

fn selection(wanted: &str) -> Selection {
    Selection { wanted: Selector::parse_list(wanted, Market::UsdM).unwrap(), ..Selection::default() }
}

fn own(market: Market) -> Endpoint {
    Endpoint::bare(market, false)
}

fn settings(wanted: &str) -> RosterSettings {
    let endpoints = Market::ALL.map(own).to_vec();
    RosterSettings { selection: selection(wanted), streams_per_connection: 200, endpoints, may_change: false }
}

fn roster_with(settings: RosterSettings, listings: Listings) -> Roster {
    let instruments = settings.selection.resolve(&listings).instruments;
    Roster::new(settings, instruments, listings).unwrap()
}

fn roster(wanted: &str, listings: Listings) -> Roster {
    roster_with(settings(wanted), listings)
}

fn members(roster: &Roster) -> String {
    roster.members().iter().map(Instrument::to_string).collect::<Vec<_>>().join(" ")
}

/// `+usdm:BTCUSDT -usdm:ETHUSDT`, with `~` before one that is on its way.
fn told(change: Option<RosterChange>) -> String {
    let Some(RosterChange { seats, ended, .. }) = change else { return "nothing".to_owned() };
    let seats =
        seats.iter().map(|seat| format!("{}{}", if seat.is_moving { "~" } else { "+" }, seat.instrument));
    let ended = ended.iter().map(|gone| format!("-{} {}", gone.instrument, gone.why.as_str()));
    seats.chain(ended).collect::<Vec<_>>().join(" ")
}

/// What holds of every roster: each member has one seat, and the plans carry exactly the members, those that move twice.
fn check(roster: &Roster) {
    let seats = roster.seats();
    assert_eq!(seats.len(), roster.members().len());
    let mut carried: Vec<_> = Vec::new();
    for ShardPlan { shard, endpoint, streams } in roster.plans() {
        assert!(!streams.is_empty());
        carried.extend(streams.into_iter().map(|stream| (endpoint.market, shard, stream)));
    }
    for seat in &seats {
        let stream = stream_name(&seat.instrument.symbol);
        let by: Vec<_> = carried
            .iter()
            .filter(|(market, _, carried)| *market == seat.instrument.market && *carried == stream)
            .map(|(_, shard, _)| *shard)
            .collect();
        assert!(by.contains(&seat.shard));
        assert_eq!(by.len(), if seat.is_moving { 2 } else { 1 }, "{}", seat.instrument);
    }
    let moving = seats.iter().filter(|seat| seat.is_moving).count();
    assert_eq!(carried.len(), seats.len() + moving);
}

#[test]
fn a_few_names_on_the_exchanges_own_address_are_named_in_the_url() {
    let names: Vec<_> = (0..10).map(|at| format!("S{at}")).collect();
    let few = roster(&names.join(","), Listings::default());
    let symbols: Vec<_> = names.iter().map(|name| Symbol::new(name).unwrap()).collect();
    let [plan] = &few.plans()[..] else { panic!("one shard") };
    assert_eq!(plan.endpoint, Endpoint::for_symbols(Market::UsdM, false, &symbols));
    assert_eq!(plan.streams[9], "s9@aggTrade");
    check(&few);
}

#[test]
fn everything_else_is_subscribed_to_after_connecting() {
    let bare = |settings: RosterSettings, listings: Listings| {
        let roster = roster_with(settings, listings);
        check(&roster);
        assert!(roster.plans().iter().all(|plan| plan.endpoint == own(plan.endpoint.market)));
        roster.plans().len()
    };
    let names: Vec<_> = (0..11).map(|at| format!("S{at}")).collect();
    assert_eq!(bare(settings(&names.join(",")), Listings::default()), 1, "more than ten");
    assert_eq!(bare(settings("BTCUSDT,spot:BTCUSDT"), Listings::default()), 2, "two markets");
    assert_eq!(bare(settings("*"), listed(Market::UsdM, "BTCUSDT")), 1, "a pattern");
    let file = RosterSettings { may_change: true, ..settings("BTCUSDT") };
    assert_eq!(bare(file, Listings::default()), 1, "a file that may change");
    let narrow = RosterSettings { streams_per_connection: 1, ..settings("BTCUSDT,ETHUSDT") };
    assert_eq!(bare(narrow, Listings::default()), 2, "several shards");
}

#[test]
fn an_address_of_the_users_own_is_used_as_it_is() {
    let given = |url| Endpoint::from_url(url, None, Some(Market::UsdM), false).unwrap();
    let endpoints = vec![given("ws://127.0.0.1:9/stream")];
    let roster =
        roster_with(RosterSettings { endpoints, ..settings("BTCUSDT,ETHUSDT") }, Listings::default());
    let [plan] = &roster.plans()[..] else { panic!("one shard") };
    assert_eq!((plan.endpoint.url.as_str(), plan.endpoint.subscribe.len()), ("ws://127.0.0.1:9/stream", 0));
    assert_eq!(plan.streams, ["btcusdt@aggTrade", "ethusdt@aggTrade"]);
}

#[test]
fn an_address_that_names_its_streams_is_a_roster_that_never_changes() {
    let url = "ws://127.0.0.1:9/stream?streams=btcusdt@aggTrade/ethusdt@aggTrade";
    let endpoint = Endpoint::from_url(url, None, Some(Market::UsdM), false).unwrap();
    let one = RosterSettings {
        streams_per_connection: 1,
        endpoints: vec![endpoint.clone()],
        ..settings("BTCUSDT,ETHUSDT")
    };
    let mut roster = roster_with(one.clone(), Listings::default());
    let [plan] = &roster.plans()[..] else { panic!("one shard") };
    assert_eq!(plan.endpoint, endpoint);
    check(&roster);

    assert_eq!(roster.reload(selection("BTCUSDT,SOLUSDT"), at(1)), None);
    assert_eq!(roster.take_problems(), [Problem::FixedAddress { market: Market::UsdM }]);
    for _ in 0..3 {
        assert_eq!(roster.listed(&listed(Market::UsdM, "ETHUSDT"), at(2)), None);
    }
    assert_eq!(members(&roster), "usdm:BTCUSDT usdm:ETHUSDT");
    let refused = Roster::new(one, instruments("usdm:SOLUSDT"), Listings::default()).unwrap_err();
    assert_eq!(refused, Problem::FixedAddress { market: Market::UsdM });
}

#[test]
fn what_is_wanted_now_joins_and_what_is_not_leaves() {
    let mut roster =
        roster_with(RosterSettings { may_change: true, ..settings("BTCUSDT,ETHUSDT") }, Listings::default());
    let change = roster.want(&instruments("usdm:ETHUSDT spot:BTCUSDT usdm:SOLUSDT"), at(7)).unwrap();
    assert_eq!(change.at, at(7));
    assert!(change.seats.iter().all(|seat| seat.joined == Arrival::Asked && !seat.is_moving));
    assert_eq!(told(Some(change)), "+spot:BTCUSDT +usdm:SOLUSDT -usdm:BTCUSDT removed");
    assert_eq!(members(&roster), "usdm:ETHUSDT spot:BTCUSDT usdm:SOLUSDT");
    check(&roster);
    assert_eq!(roster.want(&instruments("usdm:SOLUSDT spot:BTCUSDT usdm:ETHUSDT"), at(8)), None);
    assert_eq!(roster.shard_of(&instrument("usdm:SOLUSDT")), Some(ShardId(0)));
    assert_eq!(roster.shard_of(&instrument("usdm:BTCUSDT")), None);
}

#[test]
fn the_last_one_never_leaves() {
    let mut roster = roster("BTCUSDT,ETHUSDT", Listings::default());
    assert_eq!(told(roster.want(&[], at(1))), "-usdm:BTCUSDT removed");
    assert_eq!(told(roster.want(&[], at(2))), "nothing");
    for second in 3..9 {
        assert_eq!(told(roster.listed(&listed(Market::UsdM, "SOLUSDT"), at(second))), "nothing");
    }
    assert_eq!(members(&roster), "usdm:ETHUSDT");
    // But it may be followed by another.
    assert_eq!(told(roster.want(&instruments("usdm:SOLUSDT"), at(9))), "+usdm:SOLUSDT -usdm:ETHUSDT removed");
    check(&roster);
}

#[test]
fn a_listing_lets_members_of_patterns_join() {
    let mut roster = roster("*USDT", listed(Market::UsdM, "BTCUSDT"));
    let change =
        roster.listed(&listed(Market::UsdM, "BTCUSDT NEWUSDT NEWUSDC SOONUSDT/PENDING_TRADING"), at(1));
    assert_eq!(change.as_ref().unwrap().seats[0].joined, Arrival::Listed);
    assert_eq!(told(change), "+usdm:NEWUSDT");
    assert_eq!(told(roster.listed(&listed(Market::Spot, "SOLUSDT"), at(2))), "nothing");
    let newer = listed(Market::UsdM, "BTCUSDT NEWUSDT SOONUSDT");
    assert_eq!(told(roster.listed(&newer, at(3))), "+usdm:SOONUSDT");
    check(&roster);
}

#[test]
fn what_two_lists_in_a_row_do_not_have_any_more_leaves_and_comes_back_when_it_trades_again() {
    let mut roster = roster("*", listed(Market::UsdM, "BTCUSDT LUNAUSDT FTTUSDT HALTUSDT"));
    let mut hear = |names: &str, second| told(roster.listed(&listed(Market::UsdM, names), at(second)));
    assert_eq!(hear("BTCUSDT FTTUSDT/SETTLING HALTUSDT/HALT", 1), "nothing");
    // One list in between takes it back.
    assert_eq!(hear("BTCUSDT LUNAUSDT FTTUSDT/SETTLING HALTUSDT/BREAK", 2), "-usdm:FTTUSDT delisted");
    assert_eq!(hear("BTCUSDT FTTUSDT/CLOSE HALTUSDT/HALT", 3), "nothing");
    assert_eq!(hear("BTCUSDT LUNAUSDT/DELIVERED HALTUSDT/HALT", 4), "-usdm:LUNAUSDT delisted");
    assert_eq!(hear("BTCUSDT LUNAUSDT/PENDING_TRADING HALTUSDT", 5), "nothing");
    assert_eq!(hear("BTCUSDT LUNAUSDT HALTUSDT", 6), "+usdm:LUNAUSDT");
    assert_eq!(members(&roster), "usdm:BTCUSDT usdm:HALTUSDT usdm:LUNAUSDT");
    check(&roster);
}

#[test]
fn a_name_that_was_delisted_comes_back_too() {
    let mut roster = roster("BTCUSDT,LUNAUSDT", Listings::default());
    let mut hear = |names: &str, second| told(roster.listed(&listed(Market::UsdM, names), at(second)));
    assert_eq!(hear("BTCUSDT LUNAUSDT/SETTLING", 1), "nothing");
    assert_eq!(hear("BTCUSDT LUNAUSDT/SETTLING", 2), "-usdm:LUNAUSDT delisted");
    assert_eq!(hear("BTCUSDT LUNAUSDT/SETTLING", 3), "nothing");
    assert_eq!(hear("BTCUSDT LUNAUSDT", 4), "+usdm:LUNAUSDT");
}

#[test]
fn a_changed_file_is_taken_as_far_as_it_makes_sense() {
    let file =
        RosterSettings { may_change: true, endpoints: vec![own(Market::UsdM)], ..settings("BTC*,ETHUSDT") };
    let mut roster = roster_with(file, listed(Market::UsdM, "BTCUSDT BTCUSDC ETHUSDT SOLUSDT"));
    roster.listed(&listed(Market::UsdM, "BTCUSDT/HALT BTCUSDC ETHUSDT SOLUSDT"), at(1));

    // What is halted and still meant stays; what is wrong is told and left out.
    let change = roster.reload(selection("*USDT,ETHUSD,spot:BTCUSDT"), at(2));
    assert_eq!(told(change), "+usdm:SOLUSDT -usdm:BTCUSDC removed");
    let problems = roster.take_problems();
    assert!(
        matches!(&problems[0], Problem::Unknown { did_you_mean, .. } if did_you_mean[0] == instrument("usdm:ETHUSDT"))
    );
    assert_eq!(problems[1..], [Problem::NoAddress { market: Market::Spot }]);
    assert_eq!(members(&roster), "usdm:ETHUSDT usdm:BTCUSDT usdm:SOLUSDT");
    assert_eq!(roster.take_problems(), []);

    // A selection of nothing is not taken.
    assert_eq!(roster.reload(selection("QWERTYUIOP"), at(3)), None);
    assert!(roster.take_problems().contains(&Problem::NothingLeft));
    assert_eq!(roster.selection(), &selection("*USDT,ETHUSD,spot:BTCUSDT"));
    assert_eq!(
        told(roster.reload(selection("BTCUSDT"), at(4))),
        "-usdm:ETHUSDT removed -usdm:SOLUSDT removed"
    );
    check(&roster);
}

#[test]
fn a_file_with_patterns_of_a_market_without_a_list_waits_for_that() {
    let file = RosterSettings { may_change: true, ..settings("BTCUSDT") };
    let mut roster = roster_with(file, Listings::default());
    assert_eq!(told(roster.reload(selection("BTC*,spot:ETH*"), at(1))), "nothing");
    let waiting = [Market::UsdM, Market::Spot].map(|market| Problem::NotListedYet { market });
    assert_eq!(roster.take_problems(), waiting);
    assert_eq!(members(&roster), "usdm:BTCUSDT");
    assert_eq!(told(roster.listed(&listed(Market::Spot, "ETHUSDT BTCUSDT"), at(2))), "+spot:ETHUSDT");
}

#[test]
fn contract_sizes_are_the_usual_ones_until_the_exchange_tells_them() {
    let mut roster = roster("coinm:BTCUSD_PERP,coinm:ETHUSD_PERP,BTCUSDT", Listings::default());
    let sizes = |roster: &Roster| roster.seats().iter().map(|seat| seat.contract_size).collect::<Vec<_>>();
    assert_eq!(sizes(&roster), [Some(100), Some(10), None]);
    let sized = |name: &str, size| Listed {
        contract_size: Some(size),
        ..Listed::new(Symbol::new(name).unwrap(), "TRADING")
    };
    let newer = Listings::of(Market::CoinM, vec![sized("BTCUSD_PERP", 100), sized("ETHUSD_PERP", 5)]);
    let change = roster.listed(&newer, at(1)).unwrap();
    assert_eq!((change.seats.len(), change.seats[0].contract_size), (1, Some(5)));
    assert_eq!(sizes(&roster), [Some(100), Some(5), None]);
    assert_eq!(roster.listed(&newer, at(2)), None);
}

#[test]
fn a_busy_shard_hands_over_in_two_steps() {
    let names: Vec<_> = (0..12).map(|at| format!("S{at}")).collect();
    let mut roster = roster_with(
        RosterSettings { streams_per_connection: 10, ..settings(&names.join(",")) },
        Listings::default(),
    );
    let busy: HashSet<_> =
        roster.members().iter().filter(|one| roster.shard_of(one) == Some(ShardId(0))).cloned().collect();
    let rate = |one: &Instrument| Some(if busy.contains(one) { 100.0 } else { 1.0 });
    let change = roster.rebalance(rate, at(1)).unwrap();
    assert!(
        change.seats.iter().all(|seat| seat.is_moving && seat.shard == ShardId(1)) && change.ended.is_empty()
    );
    assert!(roster.is_moving());
    check(&roster);
    let moved: Vec<_> = change.seats.iter().map(|seat| seat.instrument.clone()).collect();
    assert_eq!(roster.rebalance(rate, at(2)), None);
    let finished = roster.finish_moves(at(3)).unwrap();
    assert_eq!(finished.seats.len(), moved.len());
    assert!(finished.seats.iter().all(|seat| !seat.is_moving && moved.contains(&seat.instrument)));
    check(&roster);
    assert_eq!((roster.finish_moves(at(4)), roster.is_moving()), (None, false));
}

#[test]
fn nothing_joins_beyond_what_can_be_followed() {
    let many: Vec<_> = (0..MAX_LANES).map(|at| instrument(&format!("usdm:S{at}"))).collect();
    let mut roster = Roster::new(settings("*"), many.clone(), Listings::default()).unwrap();
    assert_eq!(roster.want(&[&many[..], &instruments("usdm:NEW spot:NEW")].concat(), at(1)), None);
    assert_eq!(roster.take_problems(), [Problem::TooMany { instruments: MAX_LANES + 2 }]);
    // Nor in place of others, whose lanes are kept; but those may come back.
    assert_eq!(
        told(roster.want(&[&many[1..], &instruments("usdm:NEW")].concat(), at(2))),
        "-usdm:S0 removed"
    );
    assert_eq!(told(roster.want(&many, at(3))), "+usdm:S0");

    let narrow = RosterSettings { streams_per_connection: 1, ..settings("*") };
    assert!(matches!(
        Roster::new(narrow.clone(), many.clone(), Listings::default()),
        Err(Problem::TooManyShards { shards: MAX_LANES, .. })
    ));
    let mut roster = Roster::new(narrow, many[..256].to_vec(), Listings::default()).unwrap();
    assert_eq!(roster.want(&many[..258], at(1)), None);
    assert_eq!(roster.take_problems(), [Problem::NoRoom { instruments: 2 }]);
    check(&roster);
    assert_eq!(
        Roster::new(settings("*"), Vec::new(), Listings::default()).unwrap_err(),
        Problem::NothingLeft
    );
}

#[test]
fn a_shard_keeps_its_address_for_as_long_as_it_lives() {
    let mut roster = roster("BTCUSDT,ETHUSDT", Listings::default());
    let before = roster.plans()[0].clone();
    roster.want(&instruments("usdm:ETHUSDT usdm:SOLUSDT"), at(1));
    let after = roster.plans()[0].clone();
    assert_eq!((after.shard, &after.endpoint), (before.shard, &before.endpoint));
    assert_eq!(after.streams, ["ethusdt@aggTrade", "solusdt@aggTrade"]);
}

proptest! {
    #[test]
    fn whoever_applies_the_changes_knows_the_members(
        room in 1..5_usize,
        steps in proptest::collection::vec(
            (0..4_u8, proptest::collection::btree_set(0..12_usize, 0..12)), 1..30),
    ) {
        let name = |at: &usize| format!("{}:S{at}", if at.is_multiple_of(3) { "spot" } else { "usdm" });
        let start = settings("*,spot:*");
        let start = RosterSettings { streams_per_connection: room, ..start };
        let mut roster = Roster::new(start, instruments("usdm:S1 spot:S0"), Listings::default()).unwrap();
        let mut seats: HashMap<Instrument, (ShardId, bool)> =
            roster.seats().into_iter().map(|seat| (seat.instrument, (seat.shard, seat.is_moving))).collect();
        for (second, (what, numbers)) in steps.into_iter().enumerate() {
            let now = at(second as u64);
            let names: Vec<_> = numbers.iter().map(|at| instrument(&name(at))).collect();
            let change = match what {
                0 => roster.want(&names, now),
                1 => {
                    let mut listings = Listings::default();
                    for market in [Market::UsdM, Market::Spot] {
                        let of_market = names.iter().filter(|one| one.market == market);
                        let listed = of_market.map(|one| Listed::new(one.symbol.clone(), "TRADING")).collect();
                        listings.replace(market, listed);
                    }
                    roster.listed(&listings, now)
                }
                2 => roster.rebalance(|one| Some(if names.contains(one) { 1_000.0 } else { 1.0 }), now),
                _ => roster.finish_moves(now),
            };
            let some = change.is_some();
            let RosterChange { seats: new, ended, .. } =
                change.unwrap_or(RosterChange { at: now, seats: Vec::new(), ended: Vec::new() });
            prop_assert_eq!(some, !new.is_empty() || !ended.is_empty());
            for Departure { instrument, .. } in ended {
                prop_assert!(seats.remove(&instrument).is_some(), "{} was not there", instrument);
            }
            for seat in new {
                seats.insert(seat.instrument, (seat.shard, seat.is_moving));
            }
            check(&roster);
            prop_assert!(!roster.members().is_empty());
            let expected: HashMap<_, _> =
                roster.seats().into_iter().map(|seat| (seat.instrument, (seat.shard, seat.is_moving))).collect();
            prop_assert_eq!(&seats, &expected);
        }
    }
}
