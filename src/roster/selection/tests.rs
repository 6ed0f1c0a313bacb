use proptest::prelude::*;

use super::*;
use crate::repair::rest::ContractType;
use crate::units::Symbol;

fn listed(name: &str, status: &str, contract: Option<ContractType>) -> Listed {
    Listed { contract, ..Listed::new(Symbol::new(name).unwrap(), status) }
}

/// A little of each market.
fn listings() -> Listings {
    use ContractType::{Dated, Perpetual, TradFiPerpetual};
    let mut listings = Listings::of(
        Market::UsdM,
        vec![
            listed("BTCUSDT", "TRADING", Some(Perpetual)),
            listed("ETHUSDT", "TRADING", Some(Perpetual)),
            listed("ETHUSDC", "TRADING", Some(Perpetual)),
            listed("TSLAUSDT", "TRADING", Some(TradFiPerpetual)),
            listed("BTCUSDT_260327", "TRADING", Some(Dated)),
            listed("LUNAUSDT", "SETTLING", Some(Perpetual)),
            listed("币安人生USDT", "TRADING", Some(Perpetual)),
        ],
    );
    listings.replace(
        Market::Spot,
        vec![
            listed("BTCUSDT", "TRADING", None),
            listed("BTCFDUSD", "TRADING", None),
            listed("XUSDT", "BREAK", None),
        ],
    );
    listings
}

fn selection(wanted: &str, exclude: &str, contracts: &str) -> Selection {
    let list = |text: &str| {
        if text.is_empty() { Vec::new() } else { Selector::parse_list(text, Market::UsdM).unwrap() }
    };
    Selection { wanted: list(wanted), exclude: list(exclude), contracts: contracts.parse().unwrap() }
}

fn resolved(wanted: &str, exclude: &str, contracts: &str) -> (String, Vec<String>) {
    let Resolution { instruments, problems } = selection(wanted, exclude, contracts).resolve(&listings());
    let instruments: Vec<_> = instruments.iter().map(Instrument::to_string).collect();
    (instruments.join(" "), problems.iter().map(Problem::to_string).collect())
}

#[test]
fn names_come_first_in_their_order_then_patterns_in_the_exchanges() {
    for (wanted, exclude, contracts, expected) in [
        ("ETHUSDT,BTCUSDT,ethusdt", "", "perpetual", "usdm:ETHUSDT usdm:BTCUSDT"),
        ("*USDT,ETHUSDC", "", "perpetual", "usdm:ETHUSDC usdm:BTCUSDT usdm:ETHUSDT usdm:币安人生USDT"),
        ("spot:*,*USDC", "", "perpetual", "spot:BTCUSDT spot:BTCFDUSD usdm:ETHUSDC"),
        ("*", "*USDT", "all", "usdm:ETHUSDC usdm:BTCUSDT_260327"),
        ("BTC*", "", "perpetual,dated", "usdm:BTCUSDT usdm:BTCUSDT_260327"),
        ("T*", "", "tradfi", "usdm:TSLAUSDT"),
        // What is named is taken whatever its type is.
        ("TSLAUSDT,BTCUSDT_260327", "", "perpetual", "usdm:TSLAUSDT usdm:BTCUSDT_260327"),
        // What is excluded is excluded, named or not, on its own market.
        ("BTCUSDT,ETHUSDT,spot:BTCUSDT", "BTC*", "perpetual", "usdm:ETHUSDT spot:BTCUSDT"),
    ] {
        let (instruments, problems) = resolved(wanted, exclude, contracts);
        assert_eq!((instruments.as_str(), problems), (expected, Vec::new()), "{wanted} without {exclude}");
    }
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    for (wanted, exclude, told) in [
        ("BTCUSD", "", "the exchange lists no BTCUSD on usdm; did you mean BTCUSDT or BTCUSDT_260327?"),
        (
            "BTCFDUSD",
            "",
            "lists no BTCFDUSD on usdm; did you mean spot:BTCFDUSD or BTCUSDT or BTCUSDT_260327?",
        ),
        ("QWERTYUIOP", "", "the exchange lists no QWERTYUIOP on usdm"),
        ("LUNAUSDT", "", "usdm:LUNAUSDT cannot be traded now: the exchange's status of it is SETTLING"),
        ("DOGE*", "", "usdm:DOGE* matches nothing that trades"),
        ("TSLA*", "", "usdm:TSLA* matches nothing that trades: 1 would with --contracts tradfi"),
        ("BTCUSDT_*", "", "usdm:BTCUSDT_* matches nothing that trades: 1 would with --contracts dated"),
        ("LUNA*", "", "usdm:LUNA* matches nothing that trades: 1 cannot be traded now"),
        ("spot:*", "spot:BTC*", "spot:* matches nothing that trades: 1 cannot be traded now, 2 are excluded"),
        (
            "BTCUSDT",
            "spot:BTCUSDT",
            "the exclusion of spot:BTCUSDT leaves nothing out of what is wanted: check its market",
        ),
        ("BTC*", "DOGE*", "the exclusion of usdm:DOGE* leaves nothing out"),
        ("BTCUSDT", "*", "nothing is left to follow"),
    ] {
        let (_, problems) = resolved(wanted, exclude, "perpetual");
        assert!(
            problems.iter().any(|problem| problem.contains(told)),
            "{wanted} without {exclude}: {problems:?}"
        );
    }
}

#[test]
fn a_run_cannot_begin_with_a_wrong_name_but_with_one_that_is_halted() {
    let fault = |wanted, exclude| selection(wanted, exclude, "perpetual").resolve(&listings()).fault();
    assert_eq!(fault("BTCUSDT,LUNAUSDT", "spot:X"), None);
    assert_eq!(
        fault("BTCUSD,QWERTYUIOP,DOGE*", "").unwrap(),
        "the exchange lists no BTCUSD on usdm; did you mean BTCUSDT or BTCUSDT_260327?; the exchange lists no QWERTYUIOP on usdm; usdm:DOGE* matches nothing that trades"
    );
    let many: Vec<_> = (0..30).map(|at| format!("QWERTYUIOP{at}")).collect();
    let fault = fault(&many.join(","), "").unwrap();
    assert!(fault.ends_with("; and 10 more that it does not list"), "{fault}");
    assert_eq!(fault.matches("QWERTYUIOP").count(), 20);
}

#[test]
fn without_a_list_names_are_taken_at_their_word_and_patterns_wait() {
    let wanted = selection("coinm:*,coinm:BTCUSD_PERP,usdm:QWERTYUIOP", "coinm:ETH*", "perpetual");
    assert_eq!((wanted.needs_listings(), wanted.markets_to_list()), (true, vec![Market::CoinM]));
    assert_eq!(wanted.markets(), [Market::CoinM, Market::UsdM]);
    let resolution = wanted.resolve(&Listings::default());
    let instruments: Vec<_> = resolution.instruments.iter().map(Instrument::to_string).collect();
    assert_eq!(instruments, ["coinm:BTCUSD_PERP", "usdm:QWERTYUIOP"]);
    assert_eq!(resolution.problems, []);
    assert!(!selection("BTCUSDT,spot:BTCUSDT", "B*", "all").needs_listings());
}

#[test]
fn a_file_and_groups_add_to_what_is_wanted() {
    let file = SymbolsFile::parse(b"spot:BTCUSDT\n!ETHUSDT", Market::UsdM).unwrap();
    let groups = GroupSpec::parse_list("B=BTCUSDT+spot:BTCUSDT,E=ETHUSDC", Market::UsdM).unwrap();
    let wanted = selection("ETHUSDT", "", "perpetual").with_file(&file).with_groups(&groups);
    let names: Vec<_> = wanted.names().iter().map(Instrument::to_string).collect();
    assert_eq!(names, ["spot:BTCUSDT", "usdm:BTCUSDT", "usdm:ETHUSDC"]);
    assert_eq!(Selection::of(wanted.names()).names(), wanted.names());
    let instrument = |text: &str| text.parse::<Instrument>().unwrap();
    assert!(wanted.wants(&instrument("usdm:ETHUSDC")) && !wanted.wants(&instrument("usdm:ETHUSDT")));
}

#[test]
fn too_many_are_refused_with_their_number_and_what_to_do() {
    let of = |market, count: usize| {
        (0..count).map(move |at| Instrument::new(market, Symbol::new(&format!("S{at}")).unwrap()))
    };
    let both = |usdm, spot| of(Market::UsdM, usdm).chain(of(Market::Spot, spot)).collect::<Vec<_>>();
    let told = |instruments: &[Instrument], each| {
        check_size(instruments, each).map_err(|problem| problem.to_string())
    };
    assert_eq!(told(&both(MAX_LANES - 1, 1), 200), Ok(()));
    assert_eq!(
        told(&both(MAX_LANES, 1), 200).unwrap_err(),
        "4097 symbols are wanted and at most 4096 can be followed: leave some out with --exclude, or write narrower patterns"
    );
    assert_eq!(told(&both(255, 1), 1), Ok(()));
    assert_eq!(told(&both(254 * 2 + 1, 2), 2), Ok(()));
    assert_eq!(
        told(&both(255 * 2 + 1, 2), 2).unwrap_err(),
        "513 symbols at 2 a connection need 257 connections, and there may be 256: raise --streams-per-connection, or leave some out with --exclude"
    );
}

proptest! {
    #[test]
    fn each_instrument_is_there_once_and_none_that_is_excluded(
        wanted in "[ABC*]{1,3}(,[ABC*]{1,3}){0,4}",
        exclude in "([ABC?]{1,2}){0,1}",
        names in proptest::collection::btree_set("[ABC]{1,3}", 1..12),
    ) {
        let listed: Vec<_> = names.iter().map(|name| listed(name, "TRADING", None)).collect();
        let listings = Listings::of(Market::UsdM, listed);
        let selection = selection(&wanted, &exclude, "perpetual");
        let Resolution { instruments, problems } = selection.resolve(&listings);
        let once: HashSet<_> = instruments.iter().collect();
        prop_assert_eq!(once.len(), instruments.len());
        for instrument in &instruments {
            prop_assert!(selection.wants(instrument) && listings.find(instrument).is_some());
        }
        // Whatever is wanted and listed is there.
        for name in &names {
            let instrument = Instrument::new(Market::UsdM, Symbol::new(name).unwrap());
            prop_assert_eq!(selection.wants(&instrument), once.contains(&instrument));
        }
        prop_assert_eq!(instruments.is_empty(), problems.contains(&Problem::NothingLeft));
    }
}
