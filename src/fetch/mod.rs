//! Downloads of the exchange's archive files: whole days and months of aggregate trades, each with its checksum.
//!
//! [`plan`](plan()) says which files a range of days is in; [`Fetch::run`] gets them, a few at a time, goes on where an
//! earlier attempt stopped, and takes nothing whose sum is not the published one.

mod checksum;
mod client;
#[cfg(feature = "cli")]
pub mod command;
mod download;
mod gate;
mod partial;
mod plan;
mod progress;
mod round;
mod summary;

use std::path::PathBuf;
use std::time::Duration;

use crate::calendar::Day;
use crate::feed::Network;
use crate::repair::rest::{RestBase, RestBaseError};
use crate::snapshot::Market;
use crate::units::Symbol;

pub use partial::DiskError;
pub use plan::{ArchiveFile, DAYS_LATE, Days, DaysError, Period, plan};
pub use progress::Progress;
pub use summary::{Outcome, Summary};

/// Where the exchange's archive is.
pub const ARCHIVE: &str = "https://data.binance.vision";
/// Files at the same time, at most.
pub const MOST_PARALLEL: u8 = 8;

/// What to fetch, and how.
#[derive(Debug, Clone)]
#[must_use = "nothing is fetched before `run`"]
pub struct Fetch {
    /// The market.
    pub market: Market,
    /// The symbol.
    pub symbol: Symbol,
    /// The days.
    pub days: Days,
    /// Where the files go; made if it is not there.
    pub directory: PathBuf,
    /// Where the archive is.
    pub base: RestBase,
    /// Files at the same time, 1 to [`MOST_PARALLEL`]; another number counts as the nearer of the two.
    pub parallel: u8,
    /// The longest wait between two attempts; waits begin at 1 s or at this, if it is less.
    pub longest_wait: Duration,
    /// Silence after which a connection is given up.
    pub patience: Duration,
    /// The day it is.
    pub today: Day,
}

/// Why nothing, or nothing more, can be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// Days that no archive has.
    #[error(transparent)]
    Days(#[from] DaysError),
    /// An address of the archive that cannot be used.
    #[error("the archive's address: {0}")]
    Base(#[from] RestBaseError),
    /// The disk refuses.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// None of the files is there.
    #[error(
        "the {market} archive has no file of {symbol} for these days; check the spelling, --market (usdm, coinm or \
         spot), and since when it is traded"
    )]
    NothingThere {
        /// The market.
        market: Market,
        /// The symbol.
        symbol: Symbol,
    },
    /// The archive wants to be left alone for longer than a command should wait.
    #[error(
        "the archive answers {status} and asks for {} s of patience; run the same command again after that, what is \
         here stays", .patience.as_secs()
    )]
    Unwelcome {
        /// The status.
        status: u16,
        /// How long it asks to be left alone.
        patience: Duration,
    },
    /// An answer that asking again does not change.
    #[error("the archive answers {status} for {path}; {remedy}")]
    Refused {
        /// The status.
        status: u16,
        /// What was asked for.
        path: String,
        /// What to do.
        remedy: &'static str,
    },
}

impl Fetch {
    /// These days of a symbol from the exchange's archive, into the working directory.
    pub fn new(market: Market, symbol: Symbol, days: Days) -> Self {
        Self {
            market,
            symbol,
            days,
            directory: PathBuf::from("."),
            base: RestBase::archive(),
            parallel: 2,
            longest_wait: Duration::from_secs(30),
            patience: Duration::from_secs(30),
            today: Day::today(),
        }
    }

    /// Fetches, and tells each time a file is done, and every half second, how far it is.
    ///
    /// # Errors
    /// [`FetchError`] when no other file would fare better. That single files are missing or failed is in the summary.
    ///
    /// # Cancel safety
    /// A dropped future leaves what another run goes on with.
    pub async fn run(
        &self,
        network: &dyn Network,
        told: impl FnMut(&Progress, Option<(&ArchiveFile, &Outcome)>),
    ) -> Result<Summary, FetchError> {
        round::run(self, network, told).await
    }

    fn file(&self, period: Period) -> ArchiveFile {
        ArchiveFile { market: self.market, symbol: self.symbol.clone(), period }
    }
}

/// Does blocking work on a thread for that.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime ends, and with it whoever waits here.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archives_own_address_is_one() {
        assert_eq!(RestBase::parse(ARCHIVE, false), Ok(RestBase::archive()));
    }
}
