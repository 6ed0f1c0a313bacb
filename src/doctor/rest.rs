//! REST: whether it answers, which symbols there are, and what time it is there.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use tokio::time::{Instant, timeout};

use super::address::millis;
use super::finding::{Check, Finding};
use super::wanted::{Judged, Probe, Wanted};
use super::{DoctorLimits, Subject};
use crate::clock::{Clock, ClockOffset, OffsetEstimator};
use crate::config::Config;
use crate::feed::Network;
use crate::feed::endpoint::Endpoint;
use crate::repair::rest::{RestClient, RestLimits};
use crate::repair::{Ask, CEILING_PERCENT, Request, RestError, WeightBudget};
use crate::report::rfc3339;
use crate::roster::Listings;
use crate::silence::{self, SymbolProblem};
use crate::snapshot::{Instrument, Market};
use crate::units::{AggTradeId, Symbol};

/// What REST told.
pub(super) struct Rest {
    pub(super) findings: Vec<Finding>,
    /// Who can be asked again.
    pub(super) client: Option<RestClient>,
    /// Why no trade can be expected.
    pub(super) no_trades: Option<String>,
    /// Who would be followed, as far as could be found out.
    pub(super) instruments: Vec<Instrument>,
    /// Where to listen; `None` if nobody can tell.
    pub(super) probe: Option<Probe>,
}

/// The exchange's code for a symbol that it does not know.
const INVALID_SYMBOL: i64 = -1121;
const ROUND_TRIPS: usize = 5;
/// All round trips together.
const CLOCK_LIMIT: Duration = Duration::from_secs(3);

/// Looks at REST, the symbols and the clock.
pub(super) async fn check(subject: &Subject, network: &Arc<dyn Network>, wanted: &Wanted) -> Rest {
    let Subject { config, limits, clock, .. } = subject;
    let endpoint = &wanted.endpoint;
    let Some(base) = wanted.rest(config, endpoint) else {
        let skipped = |check| Finding::skipped(check, "there is no REST to ask");
        let answered = nobody_to_ask(config, endpoint);
        let Judged { finding, instruments, probe, .. } = match wanted.is_plain {
            true => Judged { finding: skipped(Check::Symbol), ..Judged::plain(endpoint) },
            false => {
                let (listings, unasked) = wanted.listings(subject, network, None).await;
                wanted.judge(config, &listings, &unasked)
            }
        };
        let findings = vec![answered, finding, skipped(Check::Clock)];
        return Rest { findings, client: None, no_trades: None, instruments, probe };
    };
    let at = base.to_string();
    let within = |deadline| RestLimits { deadline, ..RestLimits::default() };
    let client = RestClient::new(Arc::clone(network), base, endpoint.market);
    let mut client = client.with_limits(within(limits.rest));

    let began = Instant::now();
    let symbol = wanted.first_name();
    let answer = match symbol {
        Some(_) => newest(&mut client, symbol.clone()).await.map(drop),
        // Somebody has to be asked before anybody can be said to answer.
        None => client.time().await.map(drop),
    };
    let took = began.elapsed();
    let unknown = matches!(&answer, Err(RestError::Refused { code: Some(INVALID_SYMBOL), .. }));
    if let Err(error) = &answer
        && !unknown
    {
        let skipped = |check| Finding::skipped(check, "REST does not answer");
        let judged = match wanted.is_plain || wanted.selection.needs_listings() {
            true => Judged { finding: skipped(Check::Symbol), ..Judged::plain(endpoint) },
            false => wanted.judge(config, &Listings::default(), &[]),
        };
        let Judged { finding, instruments, probe, .. } = judged;
        let instruments = if wanted.selection.needs_listings() { Vec::new() } else { instruments };
        // Without a name there is nothing to listen to.
        let probe = probe.filter(|probe| !probe.endpoint.symbols.is_empty());
        let findings = vec![refused(error), finding, skipped(Check::Clock)];
        return Rest { findings, client: None, no_trades: None, instruments, probe };
    }
    let answered = answered(&at, took, client.used_weight(), endpoint.market);
    client = client.with_limits(within(limits.listings));
    let Judged { finding, no_trades, instruments, probe } = match wanted.is_plain {
        true => {
            let (finding, no_trades) = symbols(&mut client, endpoint, unknown).await;
            Judged { finding, no_trades, ..Judged::plain(endpoint) }
        }
        false => {
            let (listings, unasked) = wanted.listings(subject, network, Some(&mut client)).await;
            wanted.judge(config, &listings, &unasked)
        }
    };
    client = client.with_limits(within(limits.rest));
    let clock = time(&mut client, *clock, limits).await;
    let client =
        probe.as_ref().is_none_or(|probe| probe.endpoint.market == endpoint.market).then_some(client);
    Rest { findings: vec![answered, finding, clock], client, no_trades, instruments, probe }
}

/// The newest id of a symbol; `None` where it never traded, or where there is no symbol.
pub(super) async fn newest(
    client: &mut RestClient,
    symbol: Option<Symbol>,
) -> Result<Option<AggTradeId>, RestError> {
    let Some(symbol) = symbol else { return Ok(None) };
    let page = client.fetch(&Request { lane: 0, symbol, ask: Ask::Newest }).await?;
    Ok(page.trades.last().map(|trade| trade.id))
}

fn nobody_to_ask(config: &Config, endpoint: &Endpoint) -> Finding {
    let host = &endpoint.host;
    match config.repair.enabled {
        false => Finding::skipped(Check::Rest, "--repair is off, so what is lost stays missing"),
        true => Finding::warn(
            Check::Rest,
            format!("no REST address is known for {host}: what is lost cannot be fetched again"),
            "name it with --rest-url",
        ),
    }
}

fn answered(at: &str, took: Duration, used: Option<u64>, market: Market) -> Finding {
    let said = format!("{at} answers in {}", millis(took));
    let Some(used) = used else { return Finding::ok(Check::Rest, said).took(took) };
    let ceiling = WeightBudget::of(market).ceiling();
    let limit = ceiling * 100 / CEILING_PERCENT;
    let said = format!("{said}; weight used {used} of {limit}");
    let finding = match used > ceiling {
        true => Finding::warn(
            Check::Rest,
            said,
            "others use this address's share: repairs have to wait, and a ban is near; find out who",
        ),
        false => Finding::ok(Check::Rest, said),
    };
    finding.took(took)
}

/// REST does not give what is asked for.
fn refused(error: &RestError) -> Finding {
    let said = error.to_string();
    let fail = |remedy: &str| Finding::fail(Check::Rest, said.clone(), remedy);
    match error {
        RestError::TooManyRequests { status: 429, retry_after, .. } => {
            let wait = retry_after.map_or("a minute".to_owned(), |wait| format!("{} s", wait.as_secs()));
            let remedy = format!("wait {wait}; find out who else asks from this address, or a ban follows");
            Finding::warn(Check::Rest, said, remedy)
        }
        RestError::TooManyRequests { retry_after, banned_until, .. } => {
            let until = match (banned_until, retry_after) {
                (Some(until), _) => {
                    let since = Duration::from_millis(u64::try_from(until.0).unwrap_or(0));
                    format!("until {}", rfc3339(UNIX_EPOCH + since))
                }
                (None, Some(wait)) => format!("for {} s", wait.as_secs()),
                (None, None) => "for 2 minutes to 3 days".to_owned(),
            };
            fail(&format!(
                "this address is banned {until}; ask nothing before, or it grows, and find out who else asks"
            ))
        }
        RestError::Refused { status: 451, .. } => fail(
            "the exchange does not serve this location; run where it does, or name another way out with --proxy",
        ),
        RestError::Refused { status: 403, .. } => {
            fail("the exchange's firewall blocks this address; wait some minutes, or use another address")
        }
        RestError::Refused { .. } => fail("what answers there is not the exchange's REST; check --rest-url"),
        RestError::Passing(_) | RestError::TooOldForIds => {
            fail("check the network, the proxy and --rest-url; while REST is away, what is lost is missing")
        }
    }
}

/// Whether the exchange lists the symbols, and why no trade can be expected.
async fn symbols(client: &mut RestClient, endpoint: &Endpoint, unknown: bool) -> (Finding, Option<String>) {
    let symbols = &endpoint.symbols;
    match client.listings().await {
        Ok(listed) => judged(&silence::check(&listed, symbols), symbols, endpoint.market),
        // It has said so when it was asked for trades.
        Err(_) if unknown => {
            let unknown = symbols.first().cloned();
            let unknown = unknown.map(|symbol| SymbolProblem::Unknown { symbol, did_you_mean: Vec::new() });
            judged(&unknown.into_iter().collect::<Vec<_>>(), symbols, endpoint.market)
        }
        Err(error) => {
            let said = format!("which symbols there are could not be asked: {error}");
            (Finding::warn(Check::Symbol, said, "try again"), None)
        }
    }
}

/// Symbols that are listed may rest all the same.
fn judged(problems: &[SymbolProblem], symbols: &[Symbol], market: Market) -> (Finding, Option<String>) {
    let silent = |why: String| (problems.len() == symbols.len()).then_some(why);
    if let Some(said) = silence::unknown(problems, market) {
        let reason = silent("the exchange does not list the symbol".to_owned());
        return (Finding::fail(Check::Symbol, said, "check --symbol, --group and --market"), reason);
    }
    let resting = problems.iter().filter_map(|problem| match problem {
        SymbolProblem::NotTrading { symbol, status } => Some((symbol, status.as_str())),
        SymbolProblem::Unknown { .. } => None,
    });
    let said: Vec<String> = resting.clone().map(|(symbol, status)| format!("{symbol} is {status}")).collect();
    let said = said.join(", ");
    if said.is_empty() {
        let symbols: Vec<&str> = symbols.iter().map(Symbol::as_str).collect();
        let are = if symbols.len() == 1 { "is" } else { "are" };
        return (Finding::ok(Check::Symbol, format!("{} {are} TRADING", symbols.join(", "))), None);
    }
    let over = |status| matches!(status, "SETTLING" | "PRE_SETTLE" | "DELIVERING" | "DELIVERED" | "CLOSE");
    let finding = if resting.clone().any(|(_, status)| over(status)) {
        Finding::fail(Check::Symbol, said.clone(), "it will not trade any more; choose another --symbol")
    } else {
        let remedy = "no trade comes until it is TRADING; nothing is wrong here";
        Finding::warn(Check::Symbol, said.clone(), remedy)
    };
    (finding, silent(said))
}

/// Some round trips, and what they tell about this machine's clock.
async fn time(client: &mut RestClient, clock: Clock, limits: &DoctorLimits) -> Finding {
    let mut estimator = OffsetEstimator::default();
    let asking = async {
        client.connect().await?;
        for _ in 0..ROUND_TRIPS {
            let sent = clock.now();
            let told = client.time().await?;
            estimator.sample(sent, clock.now(), told.at);
        }
        Ok::<(), RestError>(())
    };
    let failure = match timeout(CLOCK_LIMIT.min(limits.rest), asking).await {
        Ok(Err(error)) => Some(error),
        // However many answers there were.
        Ok(Ok(())) | Err(_) => None,
    };
    match (estimator.estimate(clock.now()), failure) {
        (Some(offset), _) => compared(offset),
        (None, Some(error)) => {
            Finding::skipped(Check::Clock, format!("the exchange's time could not be asked: {error}"))
        }
        (None, None) => Finding::skipped(Check::Clock, "the exchange did not tell its time in time"),
    }
}

/// Beyond what cannot be told from the way, in milliseconds.
const WORTH_A_WORD_MS: f64 = 100.0;
const FAR_OFF_MS: f64 = 1_000.0;

fn compared(ClockOffset { offset_ms, error_ms }: ClockOffset) -> Finding {
    let side = if offset_ms >= 0.0 { "behind" } else { "ahead of" };
    let off = match offset_ms.abs() {
        ms if ms < 9_999.5 => format!("{ms:.0} ms"),
        ms => format!("{:.0} s", ms / 1e3),
    };
    let said = format!("{off} {side} the exchange (±{:.0} ms)", error_ms.ceil());
    match offset_ms.abs() - error_ms {
        surely if surely > FAR_OFF_MS => Finding::warn(
            Check::Clock,
            said,
            "set it, by NTP: logs and raw latencies are off by as much, and certificates may count as not valid",
        ),
        surely if surely > WORTH_A_WORD_MS => {
            Finding::warn(Check::Clock, said, "let NTP set it; raw latencies are off by as much")
        }
        _ => Finding::ok(Check::Clock, said),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;
    use crate::units::UnixMillis;

    #[test]
    fn each_refusal_of_rest_has_a_remedy_of_its_own() {
        let refused_with = |status| RestError::Refused { status, code: None, message: "no".into() };
        let too_many = |status, banned_until| RestError::TooManyRequests {
            status,
            retry_after: Some(Duration::from_secs(7)),
            banned_until,
            used_weight: None,
            message: String::new(),
        };
        let until = Some(UnixMillis(1_795_132_800_000));
        for (error, level, remedy) in [
            (refused_with(451), Level::Fail, "location"),
            (refused_with(403), Level::Fail, "firewall"),
            (refused_with(404), Level::Fail, "--rest-url"),
            (too_many(429, None), Level::Warn, "wait 7 s"),
            (too_many(418, until), Level::Fail, "banned until 2026-11-20T00:00:00"),
            (too_many(418, None), Level::Fail, "banned for 7 s"),
            (RestError::Passing("gone".into()), Level::Fail, "network"),
        ] {
            let finding = refused(&error);
            let told = finding.remedy.unwrap();
            assert!(finding.level == level && told.contains(remedy), "{error}: {told}");
        }
    }

    #[test]
    fn a_clock_is_wrong_only_beyond_its_doubt() {
        for (offset_ms, error_ms, level, said) in [
            (180.0, 4.0, Level::Warn, "180 ms behind the exchange (±4 ms)"),
            (-180.0, 4.0, Level::Warn, "180 ms ahead of the exchange (±4 ms)"),
            (180.0, 90.0, Level::Ok, "180 ms behind the exchange (±90 ms)"),
            (12.0, 4.2, Level::Ok, "12 ms behind the exchange (±5 ms)"),
            (-5_000.0, 4.0, Level::Warn, "5000 ms ahead of the exchange (±4 ms)"),
            (86_400_000.0, 4.0, Level::Warn, "86400 s behind the exchange (±4 ms)"),
        ] {
            let finding = compared(ClockOffset { offset_ms, error_ms });
            assert_eq!((finding.level, finding.said.as_str()), (level, said));
        }
    }

    #[test]
    fn a_symbol_that_rests_is_worth_a_word_and_one_that_ended_is_a_failure() {
        let symbol = |name: &str| Symbol::new(name).unwrap();
        let rests = SymbolProblem::NotTrading { symbol: symbol("ETHUSDT"), status: "BREAK".into() };
        let ended = SymbolProblem::NotTrading { symbol: symbol("LUNAUSDT"), status: "SETTLING".into() };
        let unknown = SymbolProblem::Unknown { symbol: symbol("X"), did_you_mean: vec![symbol("XUSDT")] };
        let two = ["BTCUSDT", "ETHUSDT"].map(symbol);
        for (problems, symbols, level, said, silent) in [
            (vec![], &two[..1], Level::Ok, "BTCUSDT is TRADING", false),
            (vec![], &two, Level::Ok, "BTCUSDT, ETHUSDT are TRADING", false),
            (vec![rests.clone()], &two[1..], Level::Warn, "ETHUSDT is BREAK", true),
            (vec![rests.clone()], &two, Level::Warn, "ETHUSDT is BREAK", false),
            (vec![rests, ended], &two, Level::Fail, "ETHUSDT is BREAK, LUNAUSDT is SETTLING", true),
            (vec![unknown], &two, Level::Fail, "the exchange lists no X on usdm; did you mean XUSDT?", false),
        ] {
            let (finding, no_trades) = judged(&problems, symbols, Market::UsdM);
            assert_eq!((finding.level, finding.said.as_str(), no_trades.is_some()), (level, said, silent));
        }
    }
}
