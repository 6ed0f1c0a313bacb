//! The question before a run whose selection has patterns: what is there to be followed?

use std::time::Duration;

use tokio::time::sleep;

use super::listings::Listings;
use crate::clock::Clock;
use crate::repair::rest::RestClient;
use crate::repair::{RestError, WeightBudget};
use crate::snapshot::Market;

/// The wait after the first failure; twice as long after each further one …
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// … up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How the asking goes, for whoever waits for it.
#[derive(Debug)]
pub enum Asking<'a> {
    /// A market is asked what it lists.
    Asked {
        /// The market.
        market: Market,
    },
    /// There was no answer; the market is asked again.
    Failed {
        /// The market.
        market: Market,
        /// Why.
        error: &'a RestError,
        /// After so long.
        wait: Duration,
    },
    /// The list has come.
    Listed {
        /// The market.
        market: Market,
        /// How many symbols it has.
        symbols: usize,
    },
}

/// A market that will not say what it lists.
#[derive(Debug, thiserror::Error)]
#[error("what {market} lists cannot be asked, and without that no pattern means anything: {remedy}")]
pub struct AskError {
    /// The market.
    pub market: Market,
    /// What to do.
    pub remedy: &'static str,
    /// How it refused.
    #[source]
    pub cause: RestError,
}

/// Asks each market what it lists, one after the other, until all have answered: again after a second, then after twice
/// as long each time up to 30 s, and not before the end of a ban. `tell` hears how it goes. `None` if `stop` is ready
/// before that.
///
/// # Errors
/// [`AskError`] if a market refuses in a way that asking again will hardly change: 451, 404 and the like.
///
/// # Cancel safety
/// A dropped future forgets the lists that have come.
pub async fn ask_listings(
    clients: &mut [(Market, RestClient)],
    clock: Clock,
    mut tell: impl FnMut(Asking<'_>),
    stop: impl Future<Output = ()>,
) -> Result<Option<Listings>, AskError> {
    let asking = async {
        let mut listings = Listings::default();
        for (market, client) in clients {
            let market = *market;
            tell(Asking::Asked { market });
            let (mut usual, mut bans) = (FIRST_WAIT, WeightBudget::of(market));
            loop {
                let error = match client.listings().await {
                    Ok(listed) => {
                        tell(Asking::Listed { market, symbols: listed.len() });
                        listings.replace(market, listed);
                        break;
                    }
                    Err(error) => error,
                };
                let wait = match &error {
                    RestError::TooManyRequests { status, retry_after, banned_until, used_weight, .. } => {
                        bans.banned(clock.now(), *status, *used_weight, *retry_after, *banned_until)
                    }
                    // A firewall that turns everybody away for a while.
                    RestError::Refused { status: 403, .. } => LONGEST_WAIT,
                    RestError::Refused { status, .. } => {
                        return Err(AskError { market, remedy: remedy(*status), cause: error });
                    }
                    RestError::Passing(_) | RestError::TooOldForIds => usual,
                };
                tell(Asking::Failed { market, error: &error, wait });
                sleep(wait).await;
                usual = (usual * 2).min(LONGEST_WAIT);
            }
        }
        Ok(Some(listings))
    };
    tokio::select! {
        biased;
        () = stop => Ok(None),
        asked = asking => asked,
    }
}

fn remedy(status: u16) -> &'static str {
    match status {
        451 => "the exchange does not serve this place: run from one that it serves",
        _ => {
            "check that the address of REST (--rest-url) belongs to this market, or name symbols instead of patterns"
        }
    }
}
