//! Which trades are followed: symbols, markets and addresses, which have to fit together.

use super::Reader;
use crate::config::options::Command;
use crate::config::{SymbolsConfig, values};
use crate::feed::endpoint::{Endpoint, EndpointError, stream_name};
use crate::repair::rest::RestBase;
use crate::roster::{GroupSpec, Selection, Selector};
use crate::snapshot::{Instrument, Market};
use crate::units::Symbol;

/// What was said about the trades.
pub(super) struct Trades {
    pub(super) endpoint: Endpoint,
    pub(super) others: Vec<Endpoint>,
    pub(super) symbols: SymbolsConfig,
}

/// A text, of one market if it says so.
type OfMarket = (Option<Market>, String);

impl Reader<'_> {
    /// Everything that says which trades, and from where.
    pub(super) fn trades(&mut self, allow_plaintext: bool) -> Trades {
        let market = self.read("market", values::market);
        if matches!(self.command, Command::Replay | Command::Fetch) {
            let symbol = self.read("symbol", values::symbol);
            let symbols = symbol.map_or_else(|| Endpoint::default().symbols, |symbol| vec![symbol]);
            let endpoint = Endpoint::for_symbols(market.unwrap_or_default(), false, &symbols);
            return Trades { endpoint, others: Vec::new(), symbols: SymbolsConfig::default() };
        }
        let by_default = market.unwrap_or_default();
        let symbols = self.symbols(by_default);
        let testnet = self.read("testnet", values::switch).unwrap_or(false);
        let urls = self.read("url", |text| Ok(of_markets(text))).unwrap_or_default();
        if urls.is_empty() {
            return self.of_the_exchange(symbols, by_default, testnet);
        }
        if testnet {
            let origin = self.found.get("url").map(|given| given.origin.to_string()).unwrap_or_default();
            let problem = format!("a URL is given too ({origin}), and it names its host itself");
            self.fault("testnet", problem, Some("leave one of the two out".to_owned()));
        }
        self.over_urls(symbols, market, &urls, allow_plaintext)
    }

    /// What is asked for; without anything the selection is `None`.
    fn symbols(&mut self, market: Market) -> SymbolsConfig {
        let wanted = self.selectors("symbol", market);
        let mut selection = Selection { wanted, ..Selection::default() };
        if self.read("all", values::switch) == Some(true) {
            selection.wanted.push(Selector::everything(market));
        }
        selection.exclude = self.selectors("exclude", market);
        self.set("contracts", values::contracts, &mut selection.contracts);
        let file = self.read("symbols-file", values::path);
        let groups = self.read("group", |text| Ok(GroupSpec::parse_list(text, market))).and_then(|parsed| {
            parsed.map_err(|error| self.fault("group", error.problem(), Some(error.remedy()))).ok()
        });
        let groups = groups.unwrap_or_default();
        let only = self.selectors("only", market);
        let is_said = selection != Selection::default() || file.is_some() || !groups.is_empty();
        if is_said && selection.wanted.is_empty() && file.is_none() && groups.is_empty() {
            selection.wanted = Endpoint::default()
                .symbols
                .into_iter()
                .map(|symbol| Selector::from(Instrument::new(market, symbol)))
                .collect();
        }
        SymbolsConfig { selection: is_said.then_some(selection), file, groups, only }
    }

    fn selectors(&mut self, name: &str, market: Market) -> Vec<Selector> {
        let parsed = self.read(name, |text| Ok(Selector::parse_list(text, market)));
        match parsed {
            None => Vec::new(),
            Some(Ok(selectors)) => selectors,
            Some(Err(error)) => {
                self.fault(name, error.problem(), Some(error.remedy()));
                Vec::new()
            }
        }
    }

    /// The exchange's own addresses of everything that is asked for.
    fn of_the_exchange(&mut self, symbols: SymbolsConfig, market: Market, testnet: bool) -> Trades {
        let Some(selection) = &symbols.selection else {
            let endpoint = Endpoint::for_symbols(market, testnet, &Endpoint::default().symbols);
            return Trades { endpoint, others: Vec::new(), symbols };
        };
        let all = selection.with_groups(&symbols.groups);
        let mut markets = all.markets();
        if markets.is_empty() {
            markets.push(market);
        }
        // Symbols without a market are of the first one.
        markets.sort_by_key(|of| *of != market);
        let names = all.names();
        let mut endpoints = markets.iter().map(|market| {
            let of_market = names.iter().filter(|name| name.market == *market);
            let symbols: Vec<Symbol> = of_market.map(|name| name.symbol.clone()).collect();
            Endpoint::for_symbols(*market, testnet, &symbols)
        });
        let endpoint = endpoints.next().unwrap_or_default();
        let others: Vec<_> = endpoints.collect();
        Trades { symbols: plain(symbols, others.is_empty().then_some(endpoint.market)), endpoint, others }
    }

    /// Addresses that somebody gave, one for each market.
    fn over_urls(
        &mut self,
        symbols: SymbolsConfig,
        market: Option<Market>,
        urls: &[OfMarket],
        allow_plaintext: bool,
    ) -> Trades {
        let all = symbols.selection.as_ref().map(|selection| selection.with_groups(&symbols.groups));
        let names = all.as_ref().map(Selection::names).unwrap_or_default();
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for (of, url) in urls {
            let Some(endpoint) = self.over_url(url, of.or(market), &names, all.is_some(), allow_plaintext)
            else {
                continue;
            };
            if endpoints.iter().any(|known| known.market == endpoint.market) {
                let problem = format!("two addresses of {}", endpoint.market);
                let remedy = "give one for each market, the market before it: usdm:wss://…,spot:wss://…";
                self.fault("url", problem, Some(remedy.to_owned()));
                continue;
            }
            endpoints.push(endpoint);
        }
        for wanted in all.iter().flat_map(Selection::markets) {
            if !self.is_faulty("url") && !endpoints.iter().any(|endpoint| endpoint.market == wanted) {
                let problem = format!("no address of {wanted}, whose symbols are asked for");
                let remedy = format!("add {wanted}:wss://… to it, or leave the symbols out");
                self.fault("url", problem, Some(remedy));
            }
        }
        if endpoints.is_empty() {
            return Trades { endpoint: Endpoint::default(), others: Vec::new(), symbols };
        }
        let endpoint = endpoints.remove(0);
        Trades {
            symbols: plain(symbols, endpoints.is_empty().then_some(endpoint.market)),
            endpoint,
            others: endpoints,
        }
    }

    /// One address, and which of the symbols come over it.
    fn over_url(
        &mut self,
        url: &str,
        market: Option<Market>,
        names: &[Instrument],
        is_selected: bool,
        allow_plaintext: bool,
    ) -> Option<Endpoint> {
        let read = Endpoint::from_url(url, None, market, allow_plaintext);
        let mut endpoint = read.map_err(|error| self.bad_endpoint(&error)).ok()?;
        let mine = names.iter().filter(|name| name.market == endpoint.market).map(|name| &name.symbol);
        let mine: Vec<Symbol> = mine.cloned().collect();
        if endpoint.subscribe.is_empty() {
            // It names its streams itself.
            for symbol in mine {
                if !endpoint.symbols.contains(&symbol) {
                    let streamed = endpoint.symbols.clone();
                    self.bad_endpoint(&EndpointError::SymbolContradicted { symbol, streamed });
                    return None;
                }
            }
        } else if is_selected {
            endpoint.subscribe = mine.iter().map(stream_name).collect();
            endpoint.symbols = mine;
        }
        Some(endpoint)
    }

    fn bad_endpoint(&mut self, error: &EndpointError) {
        let option = match error {
            EndpointError::SymbolContradicted { .. } => "symbol",
            EndpointError::MarketContradicted { .. } => "market",
            _ => "url",
        };
        self.fault(option, error.problem(), Some(error.remedy()));
    }

    /// Where REST is, market by market; one without a market is of the first.
    pub(super) fn rest_urls(&mut self, first: Market, allow_plaintext: bool) -> Vec<(Market, RestBase)> {
        let urls = self.read("rest-url", |text| Ok(of_markets(text))).unwrap_or_default();
        let mut bases: Vec<(Market, RestBase)> = Vec::new();
        for (market, url) in urls {
            match RestBase::parse(&url, allow_plaintext) {
                Ok(base) => bases.push((market.unwrap_or(first), base)),
                Err(error) => {
                    let (problem, remedy) = (error.problem().to_owned(), error.remedy().to_owned());
                    self.fault("rest-url", problem, Some(remedy));
                }
            }
        }
        bases
    }
}

/// A few names of one market, and nothing else, need no selection: they are the endpoint's.
fn plain(mut symbols: SymbolsConfig, only: Option<Market>) -> SymbolsConfig {
    let is_plain = |selection: &Selection| {
        let Selection { wanted, exclude, contracts } = selection;
        wanted.iter().all(|selector| selector.is_name() && Some(selector.market) == only)
            && exclude.is_empty()
            && *contracts == Selection::default().contracts
    };
    if only.is_some() && symbols.file.is_none() && symbols.groups.is_empty() {
        symbols.selection = symbols.selection.filter(|selection| !is_plain(selection));
    }
    symbols
}

/// `wss://…`, or `usdm:wss://…,spot:wss://…`.
fn of_markets(text: &str) -> Vec<OfMarket> {
    let marked = |part: &str| {
        let (word, rest) = part.split_once(':')?;
        let market = Market::ALL.into_iter().find(|market| market.as_str().eq_ignore_ascii_case(word))?;
        Some((Some(market), rest.trim().to_owned()))
    };
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    // A comma may be part of an address; then nothing behind one begins like another.
    match parts.iter().map(|part| marked(part)).collect::<Option<Vec<_>>>() {
        Some(marked) => marked,
        None => vec![(None, text.to_owned())],
    }
}
