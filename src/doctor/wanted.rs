//! Who a run would follow, found out as the run does it: what was said, what the symbols file says, and what patterns
//! mean by what the exchange lists.

use std::sync::Arc;

use super::Subject;
use super::finding::{Check, Finding};
use crate::app::AppError;
use crate::app::following;
use crate::config::Config;
use crate::feed::Network;
use crate::feed::endpoint::{Endpoint, stream_name};
use crate::repair::rest::{RestBase, RestClient, RestLimits};
use crate::roster::{Listings, Problem, Resolution, Roster, Selection, Selector};
use crate::snapshot::{Instrument, Market};

/// So many symbols are listened to where a run would subscribe to more.
const SAMPLE: usize = 3;
/// More selectors than this are counted and not named.
const MOST_NAMED: usize = 5;
const REMEDY: &str = "check what is asked for: --symbol, --symbols-file, --group and --exclude";

/// What a run would be asked for.
pub(super) struct Wanted {
    pub(super) selection: Selection,
    /// Where the trades of the first market come from; this way is examined.
    pub(super) endpoint: Endpoint,
    /// A few names that come over one connection, and nothing else.
    pub(super) is_plain: bool,
}

/// Where to listen.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) endpoint: Endpoint,
    /// Of how many symbols these are a sample; empty if they are all.
    pub(super) sample: String,
}

/// What is asked for, by what the exchange lists.
pub(super) struct Judged {
    pub(super) finding: Finding,
    /// Why no trade can be expected.
    pub(super) no_trades: Option<String>,
    pub(super) instruments: Vec<Instrument>,
    /// Where to listen; `None` if nobody can tell.
    pub(super) probe: Option<Probe>,
}

impl Judged {
    /// All symbols of an endpoint, and nothing is known of them.
    pub(super) fn plain(endpoint: &Endpoint) -> Self {
        let instruments = endpoint.symbols.iter();
        let instruments =
            instruments.map(|symbol| Instrument::new(endpoint.market, symbol.clone())).collect();
        let probe = Probe { endpoint: endpoint.clone(), sample: String::new() };
        let finding = Finding::ok(Check::Symbol, String::new());
        Self { finding, no_trades: None, instruments, probe: Some(probe) }
    }

    fn unknown(finding: Finding) -> Self {
        Self { finding, no_trades: None, instruments: Vec::new(), probe: None }
    }
}

impl Wanted {
    /// Reads the symbols file, if there is one.
    ///
    /// # Errors
    /// [`AppError::SymbolsFile`] as in a run.
    pub(super) async fn of(config: &Config) -> Result<Self, AppError> {
        let selection = following::selection(config).await?;
        let is_plain = config.symbols.selection.is_none()
            && config.symbols.file.is_none()
            && config.symbols.groups.is_empty()
            && config.endpoint.symbols.len() <= config.streams_per_connection;
        let markets = selection.markets();
        let is_wanted = |endpoint: &&Endpoint| markets.is_empty() || markets.contains(&endpoint.market);
        let endpoints = following::endpoints(config);
        let endpoint = endpoints.iter().find(is_wanted).unwrap_or(&config.endpoint).clone();
        Ok(Self { selection, endpoint, is_plain })
    }

    /// A name of the first market, if there is one.
    pub(super) fn first_name(&self) -> Option<crate::units::Symbol> {
        if self.is_plain {
            return self.endpoint.symbols.first().cloned();
        }
        let mut names = self.selection.names().into_iter();
        names.find(|name| name.market == self.endpoint.market).map(|name| name.symbol)
    }

    /// Where the REST of an endpoint's market is, if a run would ask there at all.
    pub(super) fn rest(&self, config: &Config, endpoint: &Endpoint) -> Option<RestBase> {
        match self.selection.markets_to_list().contains(&endpoint.market) {
            // Patterns need a list, whether or not anything is repaired.
            true => config.rest_address(endpoint),
            false => config.rest_of(endpoint),
        }
    }

    /// What each market lists, and why some could not be asked. `first` is the client of the first one.
    pub(super) async fn listings(
        &self,
        subject: &Subject,
        network: &Arc<dyn Network>,
        mut first: Option<&mut RestClient>,
    ) -> (Listings, Vec<(Market, String)>) {
        let Subject { config, limits, .. } = subject;
        let (mut listings, mut unasked) = (Listings::default(), Vec::new());
        let endpoints = following::endpoints(config);
        let mut markets = self.selection.markets();
        markets.sort_by_key(|market| *market != self.endpoint.market);
        for market in markets {
            let endpoint = endpoints.iter().find(|endpoint| endpoint.market == market);
            let mut own = None;
            let client = match first.take().filter(|_| market == self.endpoint.market) {
                Some(client) => client,
                None => {
                    let Some(base) = endpoint.and_then(|endpoint| self.rest(config, endpoint)) else {
                        if self.selection.markets_to_list().contains(&market) {
                            unasked.push((market, AppError::NothingListed(market).to_string()));
                        }
                        continue;
                    };
                    let within = RestLimits { deadline: limits.listings, ..RestLimits::default() };
                    let client = RestClient::new(Arc::clone(network), base, market);
                    own.insert(client.with_limits(within))
                }
            };
            match client.listings().await {
                Ok(listed) => listings.replace(market, listed),
                Err(error) => {
                    unasked.push((market, format!("what {market} lists could not be asked: {error}")));
                }
            }
        }
        (listings, unasked)
    }

    /// Whom that makes a run follow, and over how many connections.
    pub(super) fn judge(&self, config: &Config, listings: &Listings, unasked: &[(Market, String)]) -> Judged {
        let need = self.selection.markets_to_list();
        if let Some((_, why)) = unasked.iter().find(|(market, _)| need.contains(market)) {
            return Judged::unknown(Finding::fail(
                Check::Symbol,
                why.clone(),
                "a run waits for it, because without it no pattern means anything; try again, or name the symbols",
            ));
        }
        let Resolution { instruments, problems } = self.selection.resolve(listings);
        if let Some(fault) = Problem::fault(&problems) {
            return Judged::unknown(Finding::fail(Check::Symbol, fault, REMEDY));
        }
        let roster = following::roster(config, self.selection.clone(), instruments, listings.clone());
        let roster = match roster {
            Ok(roster) => roster,
            Err(problem) => {
                return Judged::unknown(Finding::fail(Check::Symbol, problem.to_string(), REMEDY));
            }
        };
        let said = self.counted(&roster);
        let words = problems.iter().map(ToString::to_string);
        let words: Vec<String> = words.chain(unasked.iter().map(|(_, why)| why.clone())).collect();
        let finding = match &*words {
            [] => Finding::ok(Check::Symbol, said),
            words => Finding::warn(Check::Symbol, said, words.join("; ")),
        };
        let halted = |one: &&Instrument| {
            let is_it = |problem: &Problem| matches!(problem, Problem::NotTrading { instrument, .. } if instrument == *one);
            problems.iter().any(is_it)
        };
        let (probe, no_trades) = self.probe(&roster, halted);
        Judged { finding, no_trades, instruments: roster.members().to_vec(), probe: Some(probe) }
    }

    /// `16 symbols of usdm (usdm:*) over 1 connection`.
    fn counted(&self, roster: &Roster) -> String {
        let (symbols, connections) = (roster.members().len(), roster.shards().count());
        let is_followed = |market: &Market| roster.members().iter().any(|one| one.market == *market);
        let markets: Vec<_> =
            Market::ALL.into_iter().filter(is_followed).map(|market| market.to_string()).collect();
        format!(
            "{symbols} symbol{} of {} ({}) over {connections} connection{}",
            if symbols == 1 { "" } else { "s" },
            markets.join(" and "),
            self.described(),
            if connections == 1 { "" } else { "s" },
        )
    }

    /// Where a run would connect first, with a few symbols; and why nothing can be expected of them.
    fn probe(&self, roster: &Roster, halted: impl Fn(&&Instrument) -> bool) -> (Probe, Option<String>) {
        let market = self.endpoint.market;
        let plans = roster.plans();
        let plan = plans.iter().find(|plan| plan.endpoint.market == market).or(plans.first());
        let mut endpoint = plan.map_or_else(|| self.endpoint.clone(), |plan| plan.endpoint.clone());
        let members = || roster.members().iter().filter(|one| one.market == endpoint.market);
        let trading = members().filter(|one| !halted(one)).take(SAMPLE);
        let mut chosen: Vec<_> = trading.map(|one| one.symbol.clone()).collect();
        let no_trades = chosen.is_empty().then(|| "what is asked for cannot be traded now".to_owned());
        if chosen.is_empty() {
            chosen = members().take(SAMPLE).map(|one| one.symbol.clone()).collect();
        }
        if endpoint.symbols.is_empty() {
            endpoint.subscribe = chosen.iter().map(stream_name).collect();
            endpoint.symbols = chosen;
        }
        let (asked, all) = (endpoint.symbols.len(), roster.members().len());
        let sample = match asked < all {
            true => format!(" (a try with {asked} of {all} symbols, on {})", endpoint.market),
            false => String::new(),
        };
        (Probe { endpoint, sample }, no_trades)
    }

    /// What is asked for, as it was written: `usdm:*, spot:BTCUSDT without usdm:*UP*`.
    pub(super) fn described(&self) -> String {
        let list = |selectors: &[Selector]| {
            let named = selectors.iter().take(MOST_NAMED).map(ToString::to_string);
            let named = named.collect::<Vec<_>>().join(", ");
            match selectors.len().saturating_sub(MOST_NAMED) {
                0 => named,
                more => format!("{named} and {more} more"),
            }
        };
        let Selection { wanted, exclude, .. } = &self.selection;
        match (&**wanted, &**exclude) {
            ([], _) => "nothing to follow".to_owned(),
            (wanted, []) => list(wanted),
            (wanted, exclude) => format!("{} without {}", list(wanted), list(exclude)),
        }
    }
}
