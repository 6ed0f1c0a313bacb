//! `cvd-stream demo`: the whole monitor without a network, against the built-in practice exchange, and the
//! proof at its end.

use std::io;
use std::time::Duration;

use tokio::time::sleep;

use crate::app::{App, AppError};
use crate::config::{Config, StateConfig};
use crate::exchange::{Act, AtEnd, Exchange, Script};
use crate::feed::endpoint::Endpoint;
use crate::processor::Summary;
use crate::repair::rest::RestBase;
use crate::roster::Selection;
use crate::snapshot::{Instrument, LaneSummary, Market};
use crate::trade::AggTrade;
use crate::units::{IdRange, QtyDelta, Symbol};

/// How long the demonstration lasts unless it is told otherwise.
pub const DURATION: Duration = Duration::from_secs(12);
/// It prints more often than a live run.
pub const PRINT_EVERY: u64 = 25;
/// It compares many symbols more often than a live run.
pub const TABLE_EVERY: Duration = Duration::from_secs(3);
const TRADES_PER_SECOND: u32 = 50;
/// The same where there are many.
const TRADES_PER_SYMBOL: u32 = 20;
const MOST_TRADES_PER_SECOND: u32 = 2_000;
/// Of more symbols the proof is one line.
const TOLD_ONE_BY_ONE: usize = 10;
/// The longest wait between attempts to connect when things go wrong.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A demonstration that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// The practice exchange did not start or end.
    #[error("the practice exchange failed on the loopback interface")]
    Exchange(#[from] io::Error),
    /// The monitor failed.
    #[error(transparent)]
    App(#[from] AppError),
    /// The numbers are not the exchange's: a bug.
    #[error("CVD {cvd} is not the ledger's {ledger}: please report this")]
    Differs {
        /// The monitor's.
        cvd: QtyDelta,
        /// The exchange's.
        ledger: QtyDelta,
    },
}

/// With which conditions the demonstration is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Weather {
    /// Nothing goes wrong.
    #[default]
    Fair,
    /// The exchange hangs up for a while, and later sends messages that cannot be read.
    Faults,
}

/// Plays the demonstration. `build` makes the monitor out of the settings with the exchange's address in them;
/// `say` shows a line that is neither record nor diagnostic.
///
/// # Errors
/// [`DemoError`].
pub async fn run(
    mut config: Config,
    weather: Weather,
    build: impl FnOnce(Config) -> Result<App, AppError>,
    shutdown: impl Future<Output = ()>,
    mut say: impl FnMut(&str),
) -> Result<Summary, DemoError> {
    let selection = selection(&config);
    let stages = stages(&selection, config.market).await?;
    let stage = &stages[0];
    if stage.endpoint.symbols.is_empty() {
        config.symbols.selection = Some(selection);
    }
    config.market = stage.market;
    config.endpoint = stage.endpoint.clone();
    config.other_endpoints = stages[1..].iter().map(|stage| stage.endpoint.clone()).collect();
    // The practice exchange begins anew each time, and so do the numbers.
    config.state = StateConfig::default();
    if weather == Weather::Faults {
        // A demonstration is short: it shows the wait for a connection, not how long waits can grow.
        config.backoff_max = config.backoff_max.min(LONGEST_WAIT);
    }
    config.repair.rest_url = Some(stage.rest.clone());
    config.repair.other_rest_urls =
        stages[1..].iter().map(|stage| (stage.market, stage.rest.clone())).collect();

    let how_long = match config.duration {
        Some(duration) => format!("for {:.0} s", duration.as_secs_f64()),
        None => "for a while".to_owned(),
    };
    say(&introduction(&stages));
    let symbols: usize = stages.iter().map(|stage| stage.symbols).sum();
    let what = if symbols > TOLD_ONE_BY_ONE { "Each MOVER row" } else { "Each CVD line" };
    say(&format!("cvd-stream watches it {how_long}, exactly as it would watch Binance. {what} shows:"));
    if symbols > TOLD_ONE_BY_ONE {
        say(
            "  cvd    what aggressive buyers bought minus what aggressive sellers sold, exact to the last digit",
        );
        say(
            "  delta  how far that moved since the last table, and what it is worth; who moved most comes first",
        );
        say("  z      how unusual the level is against the last 299 trades (none while warming up)");
        say("  rate, vol and price are of the time since the last table");
    } else {
        say(
            "  cvd  what aggressive buyers bought minus what aggressive sellers sold, exact to the last digit",
        );
        say("  z    how unusual that level is against the last 299 trades (none while warming up)");
        say("  ema  its moving average; latency: how old the trade's event was on arrival");
    }
    say("");
    let watching = build(config)?.run(shutdown);
    let summary = tokio::select! {
        biased;
        summary = watching => summary?,
        never = let_it_rain(weather, &stages[0].exchange, &mut say) => match never? {},
    };
    let mut ledgers = Vec::new();
    for stage in stages {
        ledgers.push((stage.market, stage.exchange.ledger()));
        stage.exchange.stop().await?;
    }
    let ledger_of = |market| ledgers.iter().find(|(of, _)| *of == market).map(|(_, ledger)| ledger);

    for lane in &summary.lanes {
        let Some(ledger) = ledger_of(lane.market) else { continue };
        let proof = proof(lane, &ledger.trades(&lane.symbol))?;
        if summary.lanes.len() > TOLD_ONE_BY_ONE {
            continue;
        }
        say("");
        if summary.lanes.len() > 1 {
            say(&format!("{}:{}", lane.market, lane.symbol));
        }
        say(&proof);
        let LaneSummary { ids_seen, repaired_trades, duplicate_trades, .. } = lane;
        say(&format!(
            "Ids seen {ids_seen}, of them fetched again {repaired_trades}; missing {}, repeated {duplicate_trades}.",
            lane.coverage.missing_trades
        ));
    }
    if summary.lanes.len() > TOLD_ONE_BY_ONE {
        say("");
        say(&format!("CVD = ledger for each of the {} symbols, to the last digit.", summary.lanes.len()));
    }
    if weather == Weather::Fair {
        say("Next, with losses on the way: cvd-stream demo --faults");
    }
    say("Next, on the real exchange: cvd-stream --symbol BTCUSDT");
    Ok(summary)
}

/// A market of the demonstration.
struct Stage {
    market: Market,
    exchange: Exchange,
    symbols: usize,
    /// The one that is traded, if there is one only.
    name: String,
    endpoint: Endpoint,
    rest: RestBase,
}

/// What is asked for; a plain symbol is of the market that is asked for.
fn selection(config: &Config) -> Selection {
    let named = config.endpoint.symbols.iter().map(|symbol| Instrument::new(config.market, symbol.clone()));
    let selection = config.symbols.selection.clone().unwrap_or_else(|| Selection::of(named));
    selection.with_groups(&config.symbols.groups)
}

/// An exchange for each market that is asked for. It lists what is named, and where a pattern asks for more, some others.
async fn stages(selection: &Selection, first: Market) -> io::Result<Vec<Stage>> {
    let mut markets = selection.markets();
    if markets.is_empty() {
        markets.push(first);
    }
    // Symbols without a market are of the first one.
    markets.sort_by_key(|market| *market != first);
    let needs_more = selection.markets_to_list();
    let named = selection.names();
    let mut stages = Vec::new();
    for market in markets {
        let mut names: Vec<String> = Vec::new();
        let asked = named.iter().filter(|name| name.market == market).map(|name| &name.symbol);
        for symbol in asked {
            names.push(listed_name(market, Some(symbol)).to_owned());
        }
        if needs_more.contains(&market) {
            names.extend(more_symbols(market));
        }
        if names.is_empty() {
            names.push(listed_name(market, None).to_owned());
        }
        names.sort();
        names.dedup();
        stages.push(stage(market, names, selection.needs_listings()).await?);
    }
    Ok(stages)
}

async fn stage(market: Market, names: Vec<String>, is_open: bool) -> io::Result<Stage> {
    let busy = u32::try_from(names.len()).unwrap_or(u32::MAX).saturating_mul(TRADES_PER_SYMBOL);
    let per_second = busy.clamp(TRADES_PER_SECOND, MOST_TRADES_PER_SECOND);
    let script = Script::default().at_end(AtEnd::Market { per_second });
    let builder = Exchange::builder().market(market).wall_clock().seed(7).script(script);
    let builder = names.iter().fold(builder, |builder, name| builder.symbol(name));
    let exchange = builder.start().await?;
    let url = match is_open || names.len() > 1 {
        // Whoever joins later is subscribed to.
        true => format!(
            "{}/{}stream",
            exchange.stream_base(),
            if market == Market::UsdM { "market/" } else { "" }
        ),
        false => exchange.stream_url(),
    };
    let mut endpoint = Endpoint::from_url(&url, None, Some(market), false).map_err(io::Error::other)?;
    if !endpoint.subscribe.is_empty() {
        (endpoint.symbols, endpoint.subscribe) = (Vec::new(), Vec::new());
    }
    let rest = RestBase::parse(&exchange.rest_url(), false).map_err(io::Error::other)?;
    let (symbols, name) = (names.len(), names[0].clone());
    Ok(Stage { market, exchange, symbols, name, endpoint, rest })
}

/// What an exchange lists besides for patterns.
fn more_symbols(market: Market) -> impl Iterator<Item = String> {
    const COINS: [&str; 16] = [
        "BTC", "ETH", "SOL", "XRP", "BNB", "DOGE", "ADA", "LINK", "AVAX", "LTC", "SUI", "DOT", "TRX", "UNI",
        "NEAR", "ATOM",
    ];
    let quote = if market == Market::CoinM { "USD_PERP" } else { "USDT" };
    COINS.into_iter().map(move |coin| format!("{coin}{quote}"))
}

fn introduction(stages: &[Stage]) -> String {
    if let [Stage { market, symbols: 1, name, .. }] = stages {
        let of_market = if *market == Market::default() { String::new() } else { format!(" ({market})") };
        return format!(
            "A practice exchange on this machine trades {name}{of_market}, about {TRADES_PER_SECOND} times a second."
        );
    }
    let markets = stages.iter().map(|stage| format!("{} of {}", stage.symbols, stage.market));
    let markets = markets.collect::<Vec<_>>().join(", ");
    format!("A practice exchange on this machine trades several symbols: {markets}.")
}

/// Lets things go wrong while the monitor watches, and says what; never ends.
async fn let_it_rain(
    weather: Weather,
    exchange: &Exchange,
    say: &mut impl FnMut(&str),
) -> io::Result<std::convert::Infallible> {
    if weather == Weather::Faults {
        sleep(Duration::from_secs(3)).await;
        say("--- Fault 1: the exchange hangs up and takes nobody for 2 s, while its market trades on. ---");
        exchange.stop_listening().await;
        sleep(Duration::from_secs(2)).await;
        exchange.listen_again().await?;
        sleep(Duration::from_secs(4)).await;
        say("--- Fault 2: three messages arrive cut in the middle. ---");
        exchange.play(Act::Corrupt(3)).await;
    }
    std::future::pending().await
}

/// The symbol to list: the one asked for, if the market could have it. COIN-M symbols, and only futures', have
/// an underscore (BTCUSD_PERP).
fn listed_name(market: Market, asked: Option<&Symbol>) -> &str {
    let default = if market == Market::CoinM { "BTCUSD_PERP" } else { "ETHUSDT" };
    let name = asked.map_or(default, Symbol::as_str);
    let possible = match market {
        Market::CoinM => name.contains('_'),
        Market::Spot => !name.contains('_'),
        Market::UsdM => true,
    };
    if possible { name } else { default }
}

/// Compares a lane with what the exchange knows. That the numbers differ is a bug only if no trade was given up.
fn proof(lane: &LaneSummary, ledger: &[AggTrade]) -> Result<String, DemoError> {
    let (Some(first), Some(last)) = (lane.coverage.first_id, lane.coverage.last_id) else {
        return Ok(format!("No trade of {} arrived; let it run longer.", lane.symbol));
    };
    let told: Vec<_> = ledger.iter().filter(|trade| first <= trade.id && trade.id <= last).collect();
    let sum = QtyDelta::from_units(told.iter().map(|trade| trade.delta().units()).sum());
    let (cvd, trades, expected) = (lane.reading.cvd, lane.trades, IdRange { from: first, to: last }.count());
    let missing = lane.coverage.missing_trades;
    if missing > 0 {
        return Ok(format!(
            "CVD {cvd} is of {trades} of the {expected} trades with ids {first} to {last}: {missing} could not be had \
             again."
        ));
    }
    if told.len() as u64 != expected {
        let kept = told.len();
        return Ok(format!(
            "CVD {cvd}, over {trades} trades; the ledger keeps the last {kept} of them only."
        ));
    }
    if sum == cvd && trades == expected {
        return Ok(format!("CVD = ledger: {cvd} = {sum}, over {trades} trades with ids {first} to {last}."));
    }
    Err(DemoError::Differs { cvd, ledger: sum })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cvd::{Cvd, CvdConfig};
    use crate::snapshot::Coverage;
    use crate::trade::Aggressor;
    use crate::units::{AggTradeId, Price, Qty, UnixMillis};

    fn trade(id: i64) -> AggTrade {
        AggTrade {
            id: AggTradeId(id),
            price: Price::from_units(100_000_000),
            qty: Qty::from_units(id * 100_000_000),
            qty_without_rpi: None,
            first_trade_id: id,
            last_trade_id: id,
            traded_at: UnixMillis(1),
            event_at: None,
            aggressor: Aggressor::Buyer,
        }
    }

    fn told(seen: &[AggTrade], ledger: &[AggTrade], missing: u64) -> String {
        let mut calculator = Cvd::new(CvdConfig::default()).unwrap();
        for trade in seen {
            calculator.apply(trade).unwrap();
        }
        let lane = LaneSummary {
            market: Market::UsdM,
            symbol: Symbol::new("ETHUSDT").unwrap(),
            trades: seen.len() as u64,
            reading: calculator.reading(),
            coverage: Coverage {
                first_id: seen.first().map(|trade| trade.id),
                last_id: seen.last().map(|trade| trade.id),
                missing_trades: missing,
                ..Coverage::default()
            },
            ids_seen: seen.len() as u64,
            repaired_trades: 0,
            duplicate_trades: 0,
            conflicts: 0,
            held_trades: 0,
            open: None,
            holes: 0,
            flow: crate::snapshot::Flow::default(),
        };
        proof(&lane, ledger).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn the_numbers_are_proved_and_a_difference_is_a_bug_unless_trades_were_given_up() {
        let all: Vec<_> = (1..=5).map(trade).collect();
        let holed: Vec<_> = [1, 2, 5].map(trade).into();
        let mut wrong = all.clone();
        wrong[2].qty = Qty::from_units(1);
        assert_eq!(told(&all, &all, 0), "CVD = ledger: 15 = 15, over 5 trades with ids 1 to 5.");
        assert_eq!(told(&[], &all, 0), "No trade of ETHUSDT arrived; let it run longer.");
        let lost = told(&holed, &all, 2);
        assert!(
            lost.contains("3 of the 5 trades with ids 1 to 5") && lost.contains("2 could not be had"),
            "{lost}"
        );
        let short = told(&all, &all[2..], 0);
        assert!(short.contains("keeps the last 3 of them"), "{short}");
        assert!(told(&wrong, &all, 0).contains("please report this"));
        assert!(told(&holed, &all, 0).contains("please report this"), "a hole that nobody knows of");
    }

    #[test]
    fn a_symbol_that_the_market_cannot_have_gives_way_to_one_it_has() {
        let symbol = |name| Symbol::new(name).unwrap();
        let name = |market, asked| listed_name(market, Some(&symbol(asked))).to_owned();
        assert_eq!(name(Market::CoinM, "ETHUSDT"), "BTCUSD_PERP");
        assert_eq!(name(Market::CoinM, "ETHUSD_PERP"), "ETHUSD_PERP");
        assert_eq!(name(Market::Spot, "ETHUSD_PERP"), "ETHUSDT");
        assert_eq!(name(Market::UsdM, "BTCUSDT_260626"), "BTCUSDT_260626");
        assert_eq!(listed_name(Market::Spot, None), "ETHUSDT");
    }
}
