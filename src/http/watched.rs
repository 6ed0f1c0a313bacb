//! What there is to be asked about.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::alerts::AlertCounts;
use crate::overview::{Overview, Posted};
use crate::report::Listener;

/// What there is to be asked about.
#[derive(Debug, Clone)]
pub struct Watched {
    /// What the run looks like, by the second.
    pub posted: Posted,
    /// Its records, as they come.
    pub records: Listener,
    /// What the alerts come to.
    pub alerts: Arc<AlertCounts>,
    /// When the run began.
    pub since: Instant,
}

impl Watched {
    /// The last look and how old it is, in seconds; before the first look, how old the run is.
    pub(super) fn looked(&self) -> (Option<Arc<Overview>>, f64) {
        let looked = self.posted.now();
        let age = match &looked {
            Some((_, at)) => at.elapsed(),
            None => self.since.elapsed(),
        };
        (looked.map(|(overview, _)| overview), age.max(Duration::ZERO).as_secs_f64())
    }
}
