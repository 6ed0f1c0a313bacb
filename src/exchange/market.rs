//! The market behind the practice exchange: seeded, realistic order flow in integers only, so that one seed
//! gives the same trades on every machine.

use crate::trade::{AggTrade, Aggressor};
use crate::units::{AggTradeId, Price, Qty, SCALE, Symbol, UnixMillis};

/// One symbol that the exchange lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The symbol.
    pub symbol: Symbol,
    /// Where the price starts, in units of 1e-8.
    pub price: Price,
    /// The price step, in units of 1e-8; at least 1.
    pub tick: Price,
    /// The quantity step, in units of 1e-8; at least 1.
    pub lot: Qty,
    /// Decimals that the wire shows of a price, 0 to 8.
    pub price_decimals: usize,
    /// Decimals that the wire shows of a quantity, 0 to 8.
    pub qty_decimals: usize,
    /// The id of the first trade.
    pub first_id: i64,
    /// How often the symbol trades compared with the others; at least 1.
    pub weight: u32,
    /// What `exchangeInfo` says of it: `TRADING`, `HALT`, `SETTLING`, … It trades as the script says all the same.
    pub status: String,
    /// What `exchangeInfo` says it is: `PERPETUAL`, `TRADIFI_PERPETUAL`, `CURRENT_QUARTER`, …; not used on spot.
    pub contract_type: String,
    /// Dollars per contract on COIN-M; not used elsewhere.
    pub contract_size: u32,
    /// The asset that is traded: `BTC`.
    pub base_asset: String,
    /// The asset that prices are in: `USDT`.
    pub quote_asset: String,
    /// The asset that futures are settled in: the base of COIN-M contracts, elsewhere the quote.
    pub margin_asset: String,
}

/// What prices are quoted in, as far as symbols tell.
const QUOTES: [&str; 10] = ["FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USD", "EUR", "TRY", "BTC", "BNB"];

impl Listing {
    /// A listing with believable figures: those of BTC and ETH for their symbols, of a mid-priced coin for
    /// others, whole contracts for symbols with a `_`.
    pub fn new(symbol: Symbol) -> Self {
        let (price, tick, lot, price_decimals, qty_decimals, weight) = match symbol.as_str() {
            name if name.contains('_') => (6_433_920_000_000, 10_000_000, SCALE, 1, 0, 4),
            name if name.starts_with("BTC") => (6_433_920_000_000, 10_000_000, 100_000, 2, 3, 8),
            name if name.starts_with("ETH") => (318_245_000_000, 1_000_000, 100_000, 2, 3, 6),
            _ => (123_450_000, 10_000, 10_000_000, 4, 1, 2),
        };
        let (pair, delivery) = symbol.as_str().split_once('_').unwrap_or((symbol.as_str(), ""));
        let quote =
            QUOTES.iter().find(|quote| pair.len() > quote.len() && pair.ends_with(**quote)).unwrap_or(&"");
        let (base_asset, quote_asset) = (pair[..pair.len() - quote.len()].to_owned(), (*quote).to_owned());
        let margin_asset = if *quote == "USD" { base_asset.clone() } else { quote_asset.clone() };
        let is_dated = delivery.bytes().any(|byte| byte.is_ascii_digit());
        let contract_type = if is_dated { "CURRENT_QUARTER" } else { "PERPETUAL" }.to_owned();
        let contract_size = if base_asset == "BTC" { 100 } else { 10 };
        Self {
            contract_type,
            contract_size,
            base_asset,
            quote_asset,
            margin_asset,
            symbol,
            price: Price::from_units(price),
            tick: Price::from_units(tick),
            lot: Qty::from_units(lot),
            price_decimals,
            qty_decimals,
            first_id: 3_339_472_001,
            weight,
            status: "TRADING".to_owned(),
        }
    }
}

/// Makes trades: a random walk on the tick, bursts of one aggressor, heavy-tailed quantities, consecutive
/// ids, raw ids with the normal jumps. Deterministic for a seed.
#[derive(Debug, Clone)]
pub struct MarketModel {
    rng: fastrand::Rng,
    lanes: Vec<Lane>,
    seed: u64,
    /// For each lane the weights up to and with it; a lane that is listed no more has none.
    weights: Vec<u64>,
    now: i64,
    /// Time comes from outside: bursts do not move it.
    steered: bool,
}

impl MarketModel {
    /// A market of these listings, whose first trade happens at `start` or a little later.
    pub fn new(listings: &[Listing], seed: u64, start: UnixMillis) -> Self {
        let lanes: Vec<Lane> = listings.iter().map(|listing| Lane::new(listing, seed)).collect();
        let rng = fastrand::Rng::with_seed(seed);
        let mut market = Self { rng, lanes, seed, weights: Vec::new(), now: start.0, steered: false };
        market.weigh();
        market
    }

    /// The next trade of any symbol, and the index of its listing.
    ///
    /// # Panics
    /// If nothing is listed.
    pub fn trade(&mut self) -> (usize, AggTrade) {
        let total = self.weights.last().copied().unwrap_or_default();
        let index = if self.lanes.len() == 1 {
            0
        } else {
            // As many bits as the weights need, so that the same seed goes on giving the same trades.
            let roll = match u32::try_from(total) {
                Ok(total) => u64::from(self.rng.u32(..total)),
                Err(_) => self.rng.u64(..total),
            };
            self.weights.partition_point(|upto| *upto <= roll)
        };
        (index, self.trade_of(index))
    }

    /// Whether nothing is listed that could trade.
    pub(super) fn is_idle(&self) -> bool {
        self.weights.last().is_none_or(|total| *total == 0)
    }

    /// One symbol more, or again with new ids; gives its index.
    pub(super) fn list(&mut self, listing: &Listing) -> usize {
        let index = self.index_of(&listing.symbol);
        let lane = Lane::new(listing, self.seed);
        let index = match index {
            Some(index) => {
                self.lanes[index] = lane;
                index
            }
            None => {
                self.lanes.push(lane);
                self.lanes.len() - 1
            }
        };
        self.weigh();
        index
    }

    /// This symbol trades no more.
    pub(super) fn delist(&mut self, index: usize) {
        self.lanes[index].is_listed = false;
        self.weigh();
    }

    fn weigh(&mut self) {
        let weight = |lane: &Lane| if lane.is_listed { u64::from(lane.listing.weight.max(1)) } else { 0 };
        let mut upto = 0;
        self.weights = self
            .lanes
            .iter()
            .map(|lane| {
                upto += weight(lane);
                upto
            })
            .collect();
    }

    /// The next trade of one symbol, by the index of its listing.
    ///
    /// # Panics
    /// If there is no such listing.
    pub fn trade_of(&mut self, index: usize) -> AggTrade {
        let trade = self.lanes[index].trade(self.now, self.steered);
        self.now = trade.traded_at.0;
        trade
    }

    /// Takes the market's clock in hand: from now on trades happen at the latest `now` given instead of at
    /// the model's own times. It never goes back.
    pub fn advance_to(&mut self, now: UnixMillis) {
        self.steered = true;
        self.now = self.now.max(now.0);
    }

    /// The market's clock: when the last trade happened.
    pub fn now(&self) -> UnixMillis {
        UnixMillis(self.now)
    }

    /// Lets the ids of a symbol go on from `first`, as after a relisting.
    pub(super) fn restart_ids(&mut self, index: usize, first: i64) {
        self.lanes[index].next_id = first;
        self.lanes[index].last_trade_id = first.saturating_mul(2);
    }

    /// The index of a symbol's listing.
    pub(super) fn index_of(&self, symbol: &Symbol) -> Option<usize> {
        self.lanes.iter().position(|lane| lane.listing.symbol == *symbol)
    }

    pub(super) fn len(&self) -> usize {
        self.lanes.len()
    }
}

/// An event is generated this many milliseconds after its trade at the latest.
pub(super) const MAX_LATENCY_MS: i64 = 160;

/// The flow of one symbol.
#[derive(Debug, Clone)]
struct Lane {
    listing: Listing,
    is_listed: bool,
    rng: fastrand::Rng,
    price: i64,
    aggressor: Aggressor,
    left_in_burst: u32,
    next_id: i64,
    last_trade_id: i64,
    last_event_at: i64,
}

impl Lane {
    fn new(listing: &Listing, seed: u64) -> Self {
        // FNV-1a over the name: symbols walk independently, whatever their order.
        let name = listing.symbol.as_str().bytes();
        let salt = name.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self {
            listing: listing.clone(),
            is_listed: true,
            rng: fastrand::Rng::with_seed(seed ^ salt),
            price: listing.price.units(),
            aggressor: Aggressor::Buyer,
            left_in_burst: 0,
            next_id: listing.first_id,
            last_trade_id: listing.first_id.saturating_mul(2),
            last_event_at: 0,
        }
    }

    fn trade(&mut self, now: i64, steered: bool) -> AggTrade {
        let pause = if self.left_in_burst == 0 { self.begin_burst() } else { 0 };
        let traded_at = if steered { now } else { now.saturating_add(pause) };
        self.left_in_burst -= 1;
        self.walk();

        let qty = self.lots();
        let qty_without_rpi = if self.rng.u8(..20) == 0 { self.rng.i64(0..=qty) } else { qty };
        let skipped = if self.rng.u8(..16) == 0 { self.rng.i64(1..4) } else { 0 };
        let first_trade_id = self.last_trade_id.saturating_add(1 + skipped);
        let fills = i64::from(self.rng.u32(1..).trailing_zeros());
        self.last_trade_id = first_trade_id.saturating_add(fills);
        self.last_event_at =
            self.last_event_at.max(traded_at.saturating_add(self.rng.i64(3..=MAX_LATENCY_MS)));

        let id = self.next_id;
        self.next_id = self.next_id.saturating_add(1);
        let lot = self.listing.lot.units();
        AggTrade {
            id: AggTradeId(id),
            price: Price::from_units(self.price),
            qty: Qty::from_units(qty * lot),
            qty_without_rpi: Some(Qty::from_units(qty_without_rpi * lot)),
            first_trade_id,
            last_trade_id: self.last_trade_id,
            traded_at: UnixMillis(traded_at),
            event_at: Some(UnixMillis(self.last_event_at)),
            aggressor: self.aggressor,
        }
    }

    /// Flow clusters: the same side comes again in two of three bursts. Gives the pause before it in ms.
    fn begin_burst(&mut self) -> i64 {
        if self.rng.u8(..3) == 0 {
            self.aggressor = match self.aggressor {
                Aggressor::Buyer => Aggressor::Seller,
                Aggressor::Seller => Aggressor::Buyer,
            };
        }
        let size = self.rng.u32(1..).trailing_zeros().min(4);
        self.left_in_burst = self.rng.u32(1..=(1 << size));
        let pause = self.rng.u32(1..).trailing_zeros().min(5);
        self.rng.i64(1..=(20 << pause))
    }

    /// One tick with the aggressor in two of five trades; held within a quarter and four times the start.
    fn walk(&mut self) {
        if self.rng.u8(..5) >= 2 {
            return;
        }
        let tick = self.listing.tick.units().max(1);
        let start = self.listing.price.units();
        let step = if self.aggressor == Aggressor::Buyer { tick } else { -tick };
        let next = self.price + step;
        self.price = if next < (start / 4).max(tick) || next > start.saturating_mul(4) {
            self.price - step
        } else {
            next
        };
    }

    /// Lots of one trade: a uniform number shifted by a geometric one, about a Pareto tail of exponent 1, up
    /// to 2^17.
    fn lots(&mut self) -> i64 {
        let magnitude = self.rng.u32(1..).trailing_zeros().min(14);
        self.rng.i64(1..=8) << magnitude
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn market(seed: u64) -> MarketModel {
        let listings = ["BTCUSDT", "ETHUSDT"].map(|name| Listing::new(Symbol::new(name).unwrap()));
        MarketModel::new(&listings, seed, UnixMillis(1_000))
    }

    #[test]
    fn one_seed_gives_the_same_trades_and_another_gives_others() {
        let trades = |seed| {
            let mut market = market(seed);
            (0..1_000).map(|_| market.trade()).collect::<Vec<_>>()
        };
        assert_eq!(trades(7), trades(7));
        assert_ne!(trades(7), trades(8));
    }

    #[test]
    fn a_steered_market_trades_when_it_is_told() {
        let mut market = market(7);
        for now in [5_000, 5_000, 7_000, 6_000] {
            market.advance_to(UnixMillis(now));
            for _ in 0..100 {
                assert_eq!(market.trade().1.traded_at, UnixMillis(now.max(market.now().0)));
            }
        }
        assert_eq!(market.now(), UnixMillis(7_000));
    }

    #[test]
    fn the_flow_keeps_the_rules_of_the_wire() {
        let mut market = market(7);
        let mut last: [Option<AggTrade>; 2] = [None, None];
        let (mut raw_id_jumps, mut same_side, mut largest) = (0, 0, 0);
        for _ in 0..20_000 {
            let (index, trade) = market.trade();
            assert!(trade.qty.units() > 0 && trade.qty.units() % 100_000 == 0, "{trade:?}");
            assert!(trade.price.units() > 0 && trade.first_trade_id <= trade.last_trade_id, "{trade:?}");
            assert!(trade.event_at > Some(trade.traded_at), "{trade:?}");
            largest = largest.max(trade.qty.units());
            if let Some(before) = last[index].replace(trade) {
                assert_eq!(trade.id.0, before.id.0 + 1);
                assert!(trade.traded_at >= before.traded_at && trade.event_at >= before.event_at);
                assert!(trade.first_trade_id > before.last_trade_id);
                raw_id_jumps += u32::from(trade.first_trade_id != before.last_trade_id + 1);
                same_side += u32::from(trade.aggressor == before.aggressor);
            }
        }
        assert!(raw_id_jumps > 500, "{raw_id_jumps}");
        assert!(same_side > 13_000, "order flow should cluster: {same_side} of 20000");
        assert!(largest > 1_000 * 100_000, "quantities should have a heavy tail: {largest}");
    }
}
