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
use crate::snapshot::{LaneSummary, Market};
use crate::trade::AggTrade;
use crate::units::{IdRange, QtyDelta, Symbol};

/// How long the demonstration lasts unless it is told otherwise.
pub const DURATION: Duration = Duration::from_secs(12);
/// It prints more often than a live run.
pub const PRINT_EVERY: u64 = 25;
const TRADES_PER_SECOND: u32 = 50;
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
    let market = config.market;
    let symbol = config.endpoint.symbols.first().cloned();
    let name = listed_name(market, symbol.as_ref());
    let script = Script::default().at_end(AtEnd::Market { per_second: TRADES_PER_SECOND });
    let exchange =
        Exchange::builder().market(market).symbol(name).wall_clock().seed(7).script(script).start().await?;
    let url = exchange.stream_url();
    config.endpoint = Endpoint::from_url(&url, None, Some(market), false).map_err(io::Error::other)?;
    // The practice exchange begins anew each time, and so do the numbers.
    config.state = StateConfig::default();
    if weather == Weather::Faults {
        // A demonstration is short: it shows the wait for a connection, not how long waits can grow.
        config.backoff_max = config.backoff_max.min(LONGEST_WAIT);
    }
    config.repair.rest_url = Some(RestBase::parse(&exchange.rest_url(), false).map_err(io::Error::other)?);

    let of_market = if market == Market::default() { String::new() } else { format!(" ({market})") };
    let how_long = match config.duration {
        Some(duration) => format!("for {:.0} s", duration.as_secs_f64()),
        None => "for a while".to_owned(),
    };
    say(&format!(
        "A practice exchange on this machine trades {name}{of_market}, about {TRADES_PER_SECOND} times a second."
    ));
    say(&format!(
        "cvd-stream watches it {how_long}, exactly as it would watch Binance. Each CVD line shows:"
    ));
    say("  cvd  what aggressive buyers bought minus what aggressive sellers sold, exact to the last digit");
    say("  z    how unusual that level is against the last 299 trades (none while warming up)");
    say("  ema  its moving average; latency: how old the trade's event was on arrival");
    say("");
    let watching = build(config)?.run(shutdown);
    let summary = tokio::select! {
        biased;
        summary = watching => summary?,
        never = let_it_rain(weather, &exchange, &mut say) => match never? {},
    };
    let ledger = exchange.ledger();
    exchange.stop().await?;

    for lane in &summary.lanes {
        say("");
        say(&proof(lane, &ledger.trades(&lane.symbol))?);
        let LaneSummary { ids_seen, repaired_trades, duplicate_trades, .. } = lane;
        say(&format!(
            "Ids seen {ids_seen}, of them fetched again {repaired_trades}; missing {}, repeated {duplicate_trades}.",
            lane.coverage.missing_trades
        ));
    }
    if weather == Weather::Fair {
        say("Next, with losses on the way: cvd-stream demo --faults");
    }
    say("Next, on the real exchange: cvd-stream --symbol BTCUSDT");
    Ok(summary)
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
