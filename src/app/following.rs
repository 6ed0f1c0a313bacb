//! Before a live run: which symbols are to be followed, and over which connections.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use tokio::sync::{Notify, watch};

use super::AppError;
use crate::clock::Clock;
use crate::config::Config;
use crate::feed::endpoint::Endpoint;
use crate::feed::{Network, ShardPlan};
use crate::pipeline::Wanted;
use crate::processor::{Reload, RosterDesk, ShardLink, read_file};
use crate::repair::rest::RestClient;
use crate::report::events::Events;
use crate::roster::{
    Listings, Problem, Resolution, Roster, RosterSettings, Selection, Selector, SymbolsFile, ask_listings,
};
use crate::snapshot::{Instrument, Market};

/// Who is followed when a run begins, and how that reaches the feed.
pub(super) struct Following {
    pub(super) wanted: Wanted,
    pub(super) links: Vec<ShardLink>,
    pub(super) plans: watch::Receiver<Arc<[ShardPlan]>>,
    pub(super) desk: RosterDesk,
    /// Where everything that may be followed comes from.
    pub(super) endpoints: Vec<Endpoint>,
}

/// Finds out who is to be followed; `None` if `stop` was ready before that.
pub(super) async fn following(
    config: &Config,
    reload: Option<Arc<Notify>>,
    network: &Arc<dyn Network>,
    events: &Events,
    clock: Clock,
    stop: impl Future<Output = ()>,
) -> Result<Option<Following>, AppError> {
    let mut stop = pin!(stop);
    let selection = match &config.symbols.file {
        Some(_) => tokio::select! {
            biased;
            () = &mut stop => return Ok(None),
            selection = selection(config) => selection?,
        },
        None => config.selection(),
    };
    let endpoints = endpoints(config);
    let Some(listings) = listings(config, &selection, &endpoints, network, (events, clock), stop).await?
    else {
        return Ok(None);
    };
    let Resolution { instruments, problems } = selection.resolve(&listings);
    if let Some(fault) = Problem::fault(&problems) {
        return Err(AppError::Selection(fault));
    }
    let shows_nothing = |selector: &&Selector| !instruments.iter().any(|one| selector.matches(one));
    let unseen = config.symbols.only.iter().filter(shows_nothing);
    let unseen = unseen.map(|selector| Problem::ShowsNothing { selector: selector.clone() });
    problems.into_iter().chain(unseen).for_each(|problem| events.roster_problem(&problem));
    let roster = roster(config, selection, instruments, listings)
        .map_err(|problem| AppError::Selection(problem.to_string()))?;
    let reload = config.symbols.file.clone().zip(reload);
    let reload = reload.map(|(path, asked)| Reload::new(path, config.selection(), config.market, asked));
    let wanted = Wanted::Only(roster.seats());
    let shards: Vec<ShardPlan> = roster.plans();
    let links = links(&shards);
    let (publish, plans) = watch::channel(Arc::from(shards));
    let desk = RosterDesk::new(roster, publish, reload);
    Ok(Some(Following { wanted, links, plans, desk, endpoints }))
}

/// Whether what is asked for can be followed, as far as that can be told without asking the exchange.
///
/// # Errors
/// Those with which a run would end at once: a symbols file that cannot be used, nothing to follow, or too much.
pub async fn check_selection(config: &Config) -> Result<(), AppError> {
    let selection = selection(config).await?;
    let Resolution { instruments, problems } = selection.resolve(&Listings::default());
    if instruments.is_empty() && selection.needs_listings() {
        return Ok(());
    }
    if let Some(fault) = Problem::fault(&problems) {
        return Err(AppError::Selection(fault));
    }
    roster(config, selection, instruments, Listings::default())
        .map(drop)
        .map_err(|problem| AppError::Selection(problem.to_string()))
}

/// What is wanted: what was said, and what the symbols file says, if there is one.
pub(crate) async fn selection(config: &Config) -> Result<Selection, AppError> {
    let said = config.selection();
    match &config.symbols.file {
        Some(path) => Ok(said.with_file(&symbols_file(path, config.market).await?)),
        None => Ok(said),
    }
}

/// Which connection carries which of these.
pub(crate) fn roster(
    config: &Config,
    selection: Selection,
    instruments: Vec<Instrument>,
    listings: Listings,
) -> Result<Roster, Problem> {
    let settings = RosterSettings {
        selection,
        streams_per_connection: config.streams_per_connection,
        endpoints: endpoints(config),
        may_change: config.symbols.file.is_some(),
    };
    Roster::new(settings, instruments, listings)
}

async fn symbols_file(path: &Path, market: Market) -> Result<SymbolsFile, AppError> {
    let failed = |what: String| AppError::SymbolsFile { path: PathBuf::from(path), what };
    let bytes = read_file(path.to_owned()).await.map_err(|error| failed(error.to_string()))?;
    SymbolsFile::parse(&bytes, market).map_err(|error| failed(error.to_string()))
}

/// Where trades may come from: what is asked for, and where a file may ask for more, the exchange's other markets too.
pub(crate) fn endpoints(config: &Config) -> Vec<Endpoint> {
    let mut endpoints: Vec<_> = config.endpoints().cloned().collect();
    if let (Some(testnet), true) = (config.endpoint.own_network(), config.symbols.file.is_some()) {
        for market in Market::ALL {
            if !endpoints.iter().any(|endpoint| endpoint.market == market) {
                endpoints.push(Endpoint::bare(market, testnet));
            }
        }
    }
    endpoints
}

/// What the exchange lists of the markets of which patterns are asked for.
async fn listings(
    config: &Config,
    selection: &Selection,
    endpoints: &[Endpoint],
    network: &Arc<dyn Network>,
    (events, clock): (&Events, Clock),
    stop: impl Future<Output = ()>,
) -> Result<Option<Listings>, AppError> {
    let mut clients = Vec::new();
    for market in selection.markets_to_list() {
        let endpoint = endpoints.iter().find(|endpoint| endpoint.market == market);
        let Some(base) = endpoint.and_then(|endpoint| config.rest_address(endpoint)) else {
            return Err(AppError::NothingListed(market));
        };
        clients.push((market, RestClient::new(Arc::clone(network), base, market)));
    }
    if clients.is_empty() {
        return Ok(Some(Listings::default()));
    }
    Ok(ask_listings(&mut clients, clock, |asking| events.asking(&asking), stop).await?)
}

/// What the connections of each shard are like, by number.
fn links(plans: &[ShardPlan]) -> Vec<ShardLink> {
    let mut links = Vec::new();
    for ShardPlan { shard, endpoint, .. } in plans {
        let at = usize::from(shard.0);
        if links.len() <= at {
            links.resize_with(at + 1, ShardLink::default);
        }
        let awaits_ack = endpoint.symbols.is_empty() || !endpoint.subscribe.is_empty();
        links[at] = ShardLink { awaits_ack, route: endpoint.route() };
    }
    links
}
