//! The symbols of a whole market: names, prices and shares of the trading as they are, without being anybody's.

use std::collections::HashSet;

use super::market::Listing;
use crate::snapshot::Market;
use crate::units::{Price, Qty, SCALE, Symbol};

/// The coins everybody knows, with prices in units of 1e-8, busiest first.
const KNOWN: [(&str, i64); 24] = [
    ("BTC", 6_433_920_000_000),
    ("ETH", 318_245_000_000),
    ("SOL", 14_523_000_000),
    ("XRP", 214_350_000),
    ("DOGE", 18_231_000),
    ("BNB", 61_240_000_000),
    ("1000PEPE", 1_184_500),
    ("SUI", 324_180_000),
    ("ADA", 71_240_000),
    ("LINK", 1_489_300_000),
    ("AVAX", 2_741_000_000),
    ("LTC", 8_834_000_000),
    ("WIF", 94_120_000),
    ("1000SHIB", 1_348_200),
    ("AAVE", 18_214_000_000),
    ("BCH", 41_233_000_000),
    ("DOT", 431_700_000),
    ("NEAR", 264_500_000),
    ("UNI", 744_100_000),
    ("FIL", 271_300_000),
    ("APT", 512_400_000),
    ("ARB", 38_470_000),
    ("OP", 74_630_000),
    ("TRX", 27_114_000),
];

const BEGINNINGS: [&str; 16] =
    ["A", "BO", "CRA", "DE", "FLO", "GA", "HY", "JU", "KA", "LO", "MO", "NE", "PI", "RA", "STA", "ZE"];
const MIDDLES: [&str; 12] = ["", "LI", "NO", "RE", "TA", "VI", "X", "BO", "MI", "SO", "DA", "KU"];
const ENDS: [&str; 10] = ["N", "R", "X", "S", "TH", "M", "AI", "Y", "L", "D"];

/// So many listings of a market, busiest first. The `k`-th trades `k` to the power of three quarters times less often
/// than the first: of 600 the first has about one trade in twenty, the last one in 2,000.
pub(super) fn universe(market: Market, count: usize) -> Vec<Listing> {
    let mut seen = HashSet::new();
    let known = KNOWN.iter().map(|(coin, price)| ((*coin).to_owned(), *price));
    let coins = known.chain((0..).map(coin)).filter(|(coin, _)| seen.insert(coin.clone()));
    coins.take(count).zip(1u64..).map(|((coin, price), rank)| listing(market, &coin, price, rank)).collect()
}

/// A coin that could be one.
fn coin(number: usize) -> (String, i64) {
    // A step that shares no factor with the number of names visits each of them, in no visible order.
    let names = BEGINNINGS.len() * MIDDLES.len() * ENDS.len();
    let (round, at) = (number / names, number % names * 1_009 % names);
    let beginning = BEGINNINGS[at % BEGINNINGS.len()];
    let middle = MIDDLES[at / BEGINNINGS.len() % MIDDLES.len()];
    let end = ENDS[at / BEGINNINGS.len() / MIDDLES.len()];
    let name = if round == 0 {
        format!("{beginning}{middle}{end}")
    } else {
        format!("{beginning}{middle}{end}{round}")
    };
    // From 0.001 to 100, most below one.
    let magnitude = [100_000, 1_000_000, 10_000_000, 10_000_000, 100_000_000, 1_000_000_000][at % 6];
    (name, magnitude * (1 + at as i64 * 37 % 89) / 10)
}

fn listing(market: Market, coin: &str, price: i64, rank: u64) -> Listing {
    let symbol = match market {
        Market::UsdM | Market::Spot => format!("{coin}USDT"),
        Market::CoinM => format!("{coin}USD_PERP"),
    };
    let symbol = Symbol::new(&symbol).expect("letters and digits, because the syllables are");
    // A price shows four to six digits that matter, and a lot is worth about ten cents.
    let (tick, price_decimals) = match price {
        ..1_000_000 => (10, 7),
        1_000_000..10_000_000 => (100, 6),
        10_000_000..100_000_000 => (1_000, 5),
        100_000_000..1_000_000_000 => (10_000, 4),
        1_000_000_000..10_000_000_000 => (100_000, 3),
        10_000_000_000..1_000_000_000_000 => (1_000_000, 2),
        _ => (10_000_000, 2),
    };
    let (lot, qty_decimals) = match price {
        _ if market == Market::CoinM => (SCALE, 0),
        ..100_000_000 => (SCALE, 0),
        100_000_000..10_000_000_000 => (SCALE / 10, 1),
        _ => (SCALE / 1_000, 3),
    };
    Listing {
        price: Price::from_units(price / tick * tick),
        tick: Price::from_units(tick),
        lot: Qty::from_units(lot),
        price_decimals,
        qty_decimals,
        first_id: 1_000_000_000 + i64::try_from(rank).unwrap_or_default() * 1_000_003,
        weight: weight(rank),
        ..Listing::new(symbol)
    }
}

/// 10,000 divided by the rank to the power of three quarters, by integers alone.
fn weight(rank: u64) -> u32 {
    let hundred_fold = (rank.pow(3) * 100_000_000).isqrt().isqrt();
    u32::try_from(1_000_000 / hundred_fold.max(1)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_busy_most_are_quiet_and_none_is_listed_twice() {
        for market in Market::ALL {
            let listings = universe(market, 2_500);
            let names: HashSet<_> = listings.iter().map(|listing| &listing.symbol).collect();
            assert_eq!(names.len(), 2_500);
            let total: u32 = listings[..600].iter().map(|listing| listing.weight).sum();
            assert!((15..25).contains(&(total / listings[0].weight)), "{total}");
            assert!(listings[0].weight / listings[599].weight > 100);
            for Listing { price, tick, lot, price_decimals, qty_decimals, symbol, .. } in &listings {
                assert!(price.units() > 100 * tick.units(), "{symbol}");
                let shown = |units: i64, decimals: usize| units % 10_i64.pow(8 - decimals as u32) == 0;
                assert!(
                    shown(tick.units(), *price_decimals) && shown(lot.units(), *qty_decimals),
                    "{symbol}"
                );
            }
        }
    }

    #[test]
    fn a_listing_knows_its_assets() {
        let told = |market: Market| {
            let first = &universe(market, 1)[0];
            format!("{} {} {} {}", first.symbol, first.base_asset, first.quote_asset, first.margin_asset)
        };
        assert_eq!(told(Market::UsdM), "BTCUSDT BTC USDT USDT");
        assert_eq!(told(Market::CoinM), "BTCUSD_PERP BTC USD BTC");
    }
}
